//! What comes back when an appointment is given up.
//!
//! A service or store says it in tiers: "free until 24 hours before, then half until 2 hours before,
//! then nothing" is `[{"until_minutes_before": 1440, "refund_percent": 100}, {"until_minutes_before":
//! 120, "refund_percent": 50}]`. An order keeps the tiers that held when it was made, and they are applied
//! by [`refund_fen`] alone.
//!
//! Whoever does not come gives it up once it has begun: what comes back of that is what the scale says
//! for the time after the start ([`no_show_refund_fen`]), which is nothing unless its last tier goes on past
//! the start, as `{"until_minutes_before": -60, "refund_percent": 20}` does.
//!
//! Whether a member may cancel at all is another rule, the notice in
//! [`crate::order::Event::CancelledByMember`].

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::order::Status;
use crate::pricing::percent_of;

/// Tiers of one service or store.
pub const MAX_TIERS: usize = 5;
/// The longest time before the start that a tier may name: ninety days.
pub const MAX_UNTIL_MINUTES: i64 = 90 * 24 * 60;
/// The longest time after the start that a tier may name, as a negative number: a day.
pub const MIN_UNTIL_MINUTES: i64 = -24 * 60;

/// One step of the scale.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// It holds until so many minutes before the start, that minute included: [`MIN_UNTIL_MINUTES`] to
    /// [`MAX_UNTIL_MINUTES`]. One that is negative holds for those who do not come.
    pub until_minutes_before: i64,
    /// What comes back of what was paid: 0 to 100.
    pub refund_percent: i64,
}

/// A scale of tiers: each later than the one before and with less to come back. After the last one
/// nothing comes back; so nothing ever does when there is none.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Tier>", into = "Vec<Tier>")]
pub struct Tiers(Vec<Tier>);

/// Why tiers are no scale.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BadTiers {
    /// More than [`MAX_TIERS`].
    #[error("more than {MAX_TIERS} tiers")]
    TooMany,
    /// A time or a share out of its range, in the tier with this index.
    #[error("tier {0} is out of range")]
    OutOfRange(usize),
    /// The tier with this index ends no later than the one before.
    #[error("tier {0} does not end after the one before")]
    NotOrdered(usize),
    /// The tier with this index gives back no less than the one before.
    #[error("tier {0} does not give back less than the one before")]
    NotFalling(usize),
}

impl Tiers {
    /// The tiers, when they are a scale.
    ///
    /// # Errors
    /// [`BadTiers`], for the first that does not fit.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, BadTiers> {
        if tiers.len() > MAX_TIERS {
            return Err(BadTiers::TooMany);
        }
        let mut before: Option<Tier> = None;
        for (index, tier) in tiers.iter().enumerate() {
            if !(MIN_UNTIL_MINUTES..=MAX_UNTIL_MINUTES).contains(&tier.until_minutes_before)
                || !(0..=100).contains(&tier.refund_percent)
            {
                return Err(BadTiers::OutOfRange(index));
            }
            if let Some(before) = before {
                if tier.until_minutes_before >= before.until_minutes_before {
                    return Err(BadTiers::NotOrdered(index));
                }
                if tier.refund_percent >= before.refund_percent {
                    return Err(BadTiers::NotFalling(index));
                }
            }
            before = Some(*tier);
        }
        Ok(Self(tiers))
    }

    /// The tiers, the earliest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Tier] {
        &self.0
    }

    /// The share that comes back at `now`, in percent. Both times are UTC milliseconds.
    #[must_use]
    pub fn percent_at(&self, start_at: i64, now: i64) -> i64 {
        self.0
            .iter()
            .find(|tier| now <= start_at.saturating_sub(tier.until_minutes_before * 60_000))
            .map_or(0, |tier| tier.refund_percent)
    }
}

/// Everything comes back until the start: what holds where nothing else was said.
impl Default for Tiers {
    fn default() -> Self {
        Self(vec![Tier { until_minutes_before: 0, refund_percent: 100 }])
    }
}

impl TryFrom<Vec<Tier>> for Tiers {
    type Error = BadTiers;

    fn try_from(tiers: Vec<Tier>) -> Result<Self, BadTiers> {
        Self::new(tiers)
    }
}

impl From<Tiers> for Vec<Tier> {
    fn from(Tiers(tiers): Tiers) -> Self {
        tiers
    }
}

/// On whose side it lies that an appointment is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The member's: the tiers decide.
    Member,
    /// The store's, a technician's or the system's (its time was lost): everything comes back.
    Store,
}

impl Side {
    /// Whose it is when a member gives up an order in this state. Before its time is confirmed the store
    /// has promised nothing, so the member owes nothing.
    #[must_use]
    pub const fn of_member(status: Status) -> Self {
        if matches!(status, Status::Confirmed) { Self::Member } else { Self::Store }
    }
}

/// What comes back of `paid_fen`, in fen, rounded half up; never above it.
///
/// `paid_fen` is what was paid and not refunded yet, `start_at` the start of the appointment; the times
/// are UTC milliseconds.
#[must_use]
pub fn refund_fen(tiers: &Tiers, side: Side, paid_fen: i64, start_at: i64, now: i64) -> i64 {
    let paid_fen = paid_fen.max(0);
    match side {
        Side::Member => percent_of(paid_fen, tiers.percent_at(start_at, now)).min(paid_fen),
        Side::Store => paid_fen,
    }
}

/// What comes back of `paid_fen` to a member who does not come, in fen: what the scale says right after
/// the start, whenever it is that somebody notes it.
#[must_use]
pub fn no_show_refund_fen(tiers: &Tiers, paid_fen: i64, start_at: i64) -> i64 {
    refund_fen(tiers, Side::Member, paid_fen, start_at, start_at.saturating_add(1))
}
