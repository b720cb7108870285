//! What a booking costs, as parts that sum to the total.

use serde::{Deserialize, Serialize};

/// The largest price, in fen: one million yuan.
pub const MAX_PRICE_FEN: i64 = 100_000_000;

/// What must be paid before the visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DepositRule {
    /// Nothing; all is paid at the store.
    None,
    /// A fixed amount, at most the total.
    Fixed {
        /// 1 or more.
        fen: i64,
    },
    /// A share of the total, rounded half up to the fen.
    Percent {
        /// 1 to 100.
        percent: i64,
    },
    /// The total.
    Full,
}

impl DepositRule {
    /// What the rule asks for of a total, in fen.
    #[must_use]
    pub fn of(self, total_fen: i64) -> i64 {
        match self {
            Self::None => 0,
            Self::Fixed { fen } => fen.min(total_fen),
            Self::Percent { percent } => (total_fen * percent + 50) / 100,
            Self::Full => total_fen,
        }
    }
}

/// One part of a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is for: `service`, `level`.
    pub kind: String,
    /// Signed fen.
    pub fen: i64,
}

/// A price with its explanation. The parts sum to the total.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Price {
    /// In fen.
    pub total_fen: i64,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// The price of a service done by a technician of a level.
///
/// `level_prices` holds the prices that differ from the base price, by level.
#[must_use]
pub fn price(base_fen: i64, level_prices: &[(String, i64)], level: &str) -> Price {
    let total_fen =
        level_prices.iter().find(|(name, _)| name == level).map_or(base_fen, |(_, fen)| *fen);
    let mut parts = vec![Part { kind: "service".into(), fen: base_fen }];
    if total_fen != base_fen {
        parts.push(Part { kind: "level".into(), fen: total_fen - base_fen });
    }
    Price { total_fen, parts }
}
