//! How a store takes bookings: what it offers of what a service offers, who gets an order that names no
//! technician, whether technicians accept their orders, and what an express order is about.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fields::Set;
use super::services::Mode;
use crate::http::fields::{Fen, Int};

/// The longest wait for an answer: two days.
const MAX_WAIT_MINUTES: i64 = 2 * 24 * 60;

type Modes = Set<Mode, 4>;
/// Minutes that an answer is waited for.
pub type WaitMinutes = Int<1, MAX_WAIT_MINUTES>;

/// Who comes first among the technicians who are free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignBy {
    /// Who has the fewest appointments that day.
    #[default]
    LeastLoaded,
    /// Who is of the level with the highest price for the service.
    BestSkill,
    /// Who was given an order longest ago.
    FairTurn,
}

/// What becomes of an order that its technician declines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenDeclined {
    /// The next technician who is free is asked.
    #[default]
    AskNext,
    /// It is offered to all who can do it: the first who grabs it has it.
    OfferToAll,
}

/// What an express order is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressTerms {
    /// Paid at once, and counted towards the price.
    pub deposit_fen: Fen,
    /// How long a proposal is waited for; then the deposit goes back.
    pub propose_within_minutes: WaitMinutes,
    /// How long the customer may take to accept it; then the deposit goes back.
    pub answer_within_minutes: WaitMinutes,
}

/// How a store takes bookings.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ways {
    /// Of the modes that a service offers, those that this store does; all of them when it is empty.
    #[serde(default)]
    pub modes: Modes,
    /// Who gets an order that names no technician.
    #[serde(default)]
    pub assign_by: AssignBy,
    /// Whether that settles orders of mode `assigned`; otherwise staff assign them.
    #[serde(default)]
    pub assign_at_once: bool,
    /// How long a technician may take to accept an order of mode `direct`; null when there is nothing
    /// to accept.
    #[serde(default)]
    pub accept_within_minutes: Option<WaitMinutes>,
    /// What becomes of an order that its technician declines.
    #[serde(default)]
    pub when_declined: WhenDeclined,
    /// Null when the store takes no express orders.
    #[serde(default)]
    pub express: Option<ExpressTerms>,
}

impl Ways {
    /// Whether the store offers a mode, as far as a service does.
    #[must_use]
    pub fn offer(&self, mode: Mode) -> bool {
        self.modes.0.is_empty() || self.modes.0.contains(&mode)
    }

    /// What express orders are about, when the store takes them.
    #[must_use]
    pub fn express(&self) -> Option<&ExpressTerms> {
        self.express.as_ref().filter(|_| self.offer(Mode::Express))
    }
}
