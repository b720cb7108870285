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
    /// A share of the total, ordered items among it, rounded half up to the fen: what is made ready for
    /// somebody who does not come is the store's loss like their time.
    Percent {
        /// 1 to 100.
        percent: i64,
    },
    /// The total.
    Full,
}

impl DepositRule {
    /// What the rule asks for of a total, in fen: never below zero, never above the total.
    #[must_use]
    pub fn of(self, total_fen: i64) -> i64 {
        let asked = match self {
            Self::None => 0,
            Self::Fixed { fen } => fen,
            Self::Percent { percent } => percent_of(total_fen, percent),
            Self::Full => total_fen,
        };
        asked.min(total_fen).max(0)
    }

    /// When which part of a total is paid.
    #[must_use]
    pub fn split(self, total_fen: i64) -> Split {
        let due_fen = self.of(total_fen);
        Split { due_fen, balance_fen: total_fen - due_fen }
    }
}

/// A total, by when it is paid. The two sum to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Split {
    /// Before the visit, in fen.
    pub due_fen: i64,
    /// At the store, in fen.
    pub balance_fen: i64,
}

impl Price {
    /// The price of so many of it.
    #[must_use]
    pub fn times(mut self, quantity: u16) -> Self {
        for part in &mut self.parts {
            part.fen *= i64::from(quantity);
        }
        self.total_fen *= i64::from(quantity);
        self
    }
}

/// What remains to be paid at the store, in fen. `paid_fen` is what has been paid and not refunded.
#[must_use]
pub fn remaining_fen(total_fen: i64, paid_fen: i64) -> i64 {
    (total_fen - paid_fen).max(0)
}

/// A share of an amount, rounded half up to the fen. `fen` is 0 to [`MAX_PRICE_FEN`].
#[must_use]
pub(crate) const fn percent_of(fen: i64, percent: i64) -> i64 {
    (fen * percent + 50) / 100
}

/// One part of a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// What it is for: `service`, `level`, `travel`, `add_on`, `items`.
    pub kind: String,
    /// Signed fen.
    pub fen: i64,
    /// What it is called, when it has a name of its own: an add-on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The line whose price it is a part of, when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_id: Option<String>,
}

impl Part {
    /// A part of this kind.
    #[must_use]
    pub fn new(kind: &str, fen: i64) -> Self {
        Self { kind: kind.into(), fen, name: None, line_id: None }
    }

    /// What an add-on costs.
    #[must_use]
    pub fn add_on(name: &str, fen: i64) -> Self {
        Self { name: Some(name.into()), ..Self::new("add_on", fen) }
    }
}

/// A price with its explanation. The parts sum to the total.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Price {
    /// In fen.
    pub total_fen: i64,
    /// What it is made of.
    pub parts: Vec<Part>,
}

impl Price {
    /// The price that consists of these parts.
    #[must_use]
    pub fn of(parts: Vec<Part>) -> Self {
        Self { total_fen: parts.iter().map(|part| part.fen).sum(), parts }
    }

    /// The price with more parts, if there are any.
    #[must_use]
    pub fn and(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.parts.extend(parts);
        Self::of(self.parts)
    }

    /// The price with what is ordered beforehand: a part for each item, of so many at so much.
    #[must_use]
    pub fn with_items(mut self, items: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let part = |(quantity, each_fen)| Part::new("items", quantity * each_fen);
        self.parts.extend(items.into_iter().map(part));
        Self::of(self.parts)
    }

    /// The same, as what one line of several costs.
    #[must_use]
    pub fn of_line(mut self, line_id: &str) -> Self {
        for part in &mut self.parts {
            part.line_id = Some(line_id.into());
        }
        self
    }
}

/// The price of a service done by a technician of a level.
///
/// `level_prices` holds the prices that differ from the base price, by level. It is computed once, when
/// the order is made, and kept on it: what a service costs later changes no order.
#[must_use]
pub fn price(base_fen: i64, level_prices: &[(String, i64)], level: &str) -> Price {
    let with_level =
        level_prices.iter().find(|(name, _)| name == level).map_or(base_fen, |(_, fen)| *fen);
    let mut parts = vec![Part::new("service", base_fen)];
    if with_level != base_fen {
        parts.push(Part::new("level", with_level - base_fen));
    }
    Price::of(parts)
}
