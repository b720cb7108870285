//! How an appointment comes to its technician.
//!
//! Its time is held in one technician's calendar from the first moment on, whoever it will be. A count of who
//! is free would not do: two who are free in turn are not one who is free throughout, and between counting
//! and assigning everybody may be taken. With a claim, an order that was accepted can always be staffed, by
//! the same path as every other (I2). What is still open is whether it stays with them.
//!
//! | state | staff assign | accepted | declined | passed on | silent | next asked | offered to all | grabbed |
//! |---|---|---|---|---|---|---|---|---|
//! | assigned | stays | stays | · | declined | · | · | · | · |
//! | provisional | assigned | · | · | · | · | · | · | · |
//! | asked | assigned | assigned ¹ | declined | declined | declined ² | · | · | · |
//! | declined | assigned | · | · | · | · | asked, or assigned when nothing is to be accepted | offered | · |
//! | offered | assigned | · | · | · | · | · | · | assigned ¹ |
//!
//! 1. until the deadline, and [`Refusal::TooLate`] from it on;
//! 2. from the deadline on, and [`Refusal::TooEarly`] before.
//!
//! An order that nobody is left for, and one that was offered and grabbed by nobody until its deadline, is
//! cancelled by the store, which [`crate::order::apply`] decides.

use serde::{Deserialize, Serialize};

/// Minutes that an answer is waited for where the store does not say.
pub const USUAL_WAIT_MINUTES: i64 = 30;

/// How far an appointment has come to its technician.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assignment {
    /// It is theirs.
    Assigned,
    /// Staff will say whose it is.
    Provisional,
    /// The technician is to accept it.
    Asked,
    /// The technician does not want it, and the next one is looked for.
    Declined,
    /// Whoever can do it may have it.
    Offered,
}

impl Assignment {
    /// Every state, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::Assigned, Self::Provisional, Self::Asked, Self::Declined, Self::Offered];

    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Assigned => "assigned",
            Self::Provisional => "provisional",
            Self::Asked => "asked",
            Self::Declined => "declined",
            Self::Offered => "offered",
        }
    }

    /// Whether nobody has been chosen yet: the customer is told no name, and it may go to anybody.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Provisional | Self::Declined | Self::Offered)
    }
}

/// What happens to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Staff say whose it is.
    StaffAssign,
    /// The technician accepts it.
    Accepted {
        /// UTC milliseconds.
        now: i64,
        /// Until when; `None` as long as it waits for its payment.
        answer_by: Option<i64>,
    },
    /// The technician does not.
    Declined,
    /// The technician gives it on, accepted before or not.
    PassedOn,
    /// The technician does not answer.
    Silent {
        /// UTC milliseconds.
        now: i64,
        /// Until when an answer was waited for.
        answer_by: Option<i64>,
    },
    /// The next technician has it.
    NextAsked {
        /// Whether they are to accept it.
        to_accept: bool,
    },
    /// It is offered to all.
    OfferedToAll,
    /// A technician takes what is offered.
    Grabbed {
        /// UTC milliseconds.
        now: i64,
        /// Until when.
        answer_by: Option<i64>,
    },
}

/// Why an event is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Nobody waits for that.
    NotAwaited,
    /// The deadline is over.
    TooLate,
    /// The deadline is not over.
    TooEarly,
}

/// The one place where an assignment changes.
///
/// # Errors
/// [`Refusal`], and it stays.
pub const fn apply(assignment: Assignment, event: Event) -> Result<Assignment, Refusal> {
    use Assignment::{Asked, Assigned, Declined, Offered};
    match (assignment, event) {
        (_, Event::StaffAssign) | (Assigned, Event::Accepted { .. }) => Ok(Assigned),
        (Asked, Event::Accepted { now, answer_by })
        | (Offered, Event::Grabbed { now, answer_by }) => {
            if is_over(now, answer_by) {
                Err(Refusal::TooLate)
            } else {
                Ok(Assigned)
            }
        }
        (Asked, Event::Declined) | (Asked | Assigned, Event::PassedOn) => Ok(Declined),
        (Asked, Event::Silent { now, answer_by }) => {
            if is_over(now, answer_by) {
                Ok(Declined)
            } else {
                Err(Refusal::TooEarly)
            }
        }
        (Declined, Event::NextAsked { to_accept }) => Ok(if to_accept { Asked } else { Assigned }),
        (Declined, Event::OfferedToAll) => Ok(Offered),
        _ => Err(Refusal::NotAwaited),
    }
}

const fn is_over(now: i64, answer_by: Option<i64>) -> bool {
    matches!(answer_by, Some(by) if now >= by)
}

/// Until when an answer is waited for: so many minutes from `now` on, and no longer than until the
/// appointment starts. UTC milliseconds.
#[must_use]
pub fn answer_by(now: i64, minutes: i64, start_at: i64) -> i64 {
    (now + minutes * 60_000).min(start_at)
}
