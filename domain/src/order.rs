//! What may become of an order.
//!
//! The rows are states, the columns events; a cell is the state that follows, `·` refuses.
//!
//! | state | placed | paid | claim confirmed | claim lost | expired | member cancels | staff cancel | member or staff move | attended | started | settled | completed | no show |
//! |---|---|---|---|---|---|---|---|---|---|---|---|---|---|
//! | created | pending payment, or confirmed when nothing is due | · | · | · | · | · | · | · | · | · | · | · | · |
//! | pending payment | · | paid | · | · | closed | cancelled | cancelled | · | · | · | · | · | · |
//! | paid | · | · | confirmed | cancelled | · | cancelled ¹ | cancelled | · | · | · | · | · | · |
//! | confirmed | · | · | stays | cancelled | · | cancelled ¹ | cancelled | stays ¹ | stays ⁵ | in service ⁵ | completed ² | completed ³ | no show ⁴ |
//! | in service | · | · | stays | stays | · | · | cancelled | · | stays ⁵ | stays ⁵ | completed ² | completed ³ | · |
//! | completed | · | · | stays | stays | · | · | · | · | stays ⁵ | stays ⁵ | · | stays | · |
//! | no show | · | · | stays | stays | · | · | · | · | · | · | · | · | · |
//! | cancelled | · | · | stays | stays | · | · | · | · | · | · | · | · | · |
//! | closed | · | paid | · | · | stays | · | · | · | · | · | · | · | · |
//!
//! 1. by the member before the notice only ([`Refusal::TooLate`]), and moved only so often
//!    ([`Refusal::TooOften`]); by staff at any time;
//! 2. when nothing remains due, otherwise it stays;
//! 3. when nothing remains due, otherwise [`Refusal::BalanceDue`];
//! 4. from the appointment's start on ([`Refusal::TooEarly`]);
//! 5. from [`EARLY_MINUTES`] before the start on ([`Refusal::TooEarly`]).
//!
//! An order that is paid in full at the counter is completed there, perhaps before the service: the visit
//! goes on all the same, so what is then said of it changes nothing. One whose visit is over and on
//! which something remains due stays as it is until the counter has settled it, or staff say that nobody
//! came.
//!
//! `created` is where an order starts, and is never stored. What is said of a claim may come late and
//! more than once, so a state that it no longer concerns stays: a confirm that meets a cancelled order
//! changes nothing (but what it took is to be released), and a claim that is lost while the customer is
//! being served is no reason to send them home. A payment that a state refuses is not lost: [`crate::payment::on_paid`] gives it back.
//! How far a refund has come stands beside the order, in [`crate::payment::RefundStatus`].

use serde::{Deserialize, Serialize};

/// An order's state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Being made; never stored.
    Created,
    /// Its time is held until it is paid.
    PendingPayment,
    /// Paid; its time is about to be confirmed.
    Paid,
    /// The appointment stands.
    Confirmed,
    /// The customer is being served.
    InService,
    /// Served, and nothing remains due.
    Completed,
    /// It was given up, by the member, by staff or because its time was lost.
    Cancelled,
    /// The customer did not come.
    NoShow,
    /// It was not paid in time.
    Closed,
}

impl Status {
    /// Every state, in the order of the table above.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::PendingPayment,
        Self::Paid,
        Self::Confirmed,
        Self::InService,
        Self::Completed,
        Self::NoShow,
        Self::Cancelled,
        Self::Closed,
    ];

    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::PendingPayment => "pending_payment",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::InService => "in_service",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::NoShow => "no_show",
            Self::Closed => "closed",
        }
    }

    /// Whether the order's lines are live and its claim may stand in the calendar. What an order that
    /// keeps no time has there is to be released.
    #[must_use]
    pub const fn keeps_time(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Closed)
    }
}

/// Before the start, nobody checks in, sets out or begins earlier than so many minutes: twelve hours. It
/// keeps tomorrow's appointment from being begun today by mistake.
pub const EARLY_MINUTES: i64 = 12 * 60;

/// What happens to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It is made, and its time is held.
    Placed {
        /// What must be paid before the visit, in fen.
        due_fen: i64,
    },
    /// What was due is paid.
    Paid,
    /// The calendar has confirmed its time.
    ClaimConfirmed,
    /// The calendar could not give its time.
    ClaimLost,
    /// Its hold has ended, and every payment of it is closed at its provider.
    Expired,
    /// The member gives it up. One that is not paid yet may be given up at any time.
    CancelledByMember {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment, UTC milliseconds.
        start_at: i64,
        /// Least minutes before the start.
        notice_minutes: i64,
    },
    /// Staff give it up; at any time.
    CancelledByStaff,
    /// The member moves it; the notice counts from the time it leaves.
    MovedByMember {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment before the move.
        start_at: i64,
        /// Least minutes before the start.
        notice_minutes: i64,
        /// How often the member has moved it.
        moves: i64,
        /// How often they may; as often as they like when `None`.
        max_moves: Option<i64>,
    },
    /// Staff move it.
    MovedByStaff,
    /// The customer or the technician is on the way or there: a check-in, a departure, an arrival.
    Attended {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment, UTC milliseconds.
        start_at: i64,
    },
    /// The service begins.
    Started {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment, UTC milliseconds.
        start_at: i64,
    },
    /// The cashier has taken money.
    Settled {
        /// What remains due after that, in fen.
        remaining_fen: i64,
    },
    /// The service is done.
    Completed {
        /// What remains due, in fen.
        remaining_fen: i64,
    },
    /// The customer did not come.
    NoShow {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment, UTC milliseconds.
        start_at: i64,
    },
}

/// Why an event is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The order is not in a state for it.
    WrongStatus(Status),
    /// The appointment is too near, or over.
    TooLate,
    /// The appointment has not begun, or is not near enough.
    TooEarly,
    /// The member has moved it as often as they may.
    TooOften,
    /// Something remains to be paid.
    BalanceDue,
}

/// The one place where an order's state changes.
///
/// # Errors
/// [`Refusal`], and the state stays.
#[allow(clippy::match_same_arms)] // By event, as the table is read.
pub fn apply(status: Status, event: Event) -> Result<Status, Refusal> {
    use Status::{
        Cancelled, Closed, Completed, Confirmed, Created, InService, NoShow, Paid, PendingPayment,
    };
    match (status, event) {
        (Created, Event::Placed { due_fen }) => {
            Ok(if due_fen > 0 { PendingPayment } else { Confirmed })
        }
        (PendingPayment | Closed, Event::Paid) => Ok(Paid),
        (Paid, Event::ClaimConfirmed) => Ok(Confirmed),
        (Paid | Confirmed, Event::ClaimLost) => Ok(Cancelled),
        (
            Confirmed | InService | Completed | NoShow | Cancelled,
            Event::ClaimConfirmed | Event::ClaimLost,
        ) => Ok(status),
        (PendingPayment | Closed, Event::Expired) => Ok(Closed),
        (PendingPayment, Event::CancelledByMember { .. }) => Ok(Cancelled),
        (Paid | Confirmed, Event::CancelledByMember { now, start_at, notice_minutes }) => {
            in_time(now, start_at, notice_minutes).map(|()| Cancelled)
        }
        (PendingPayment | Paid | Confirmed | InService, Event::CancelledByStaff) => Ok(Cancelled),
        (Confirmed, Event::MovedByMember { now, start_at, notice_minutes, moves, max_moves }) => {
            in_time(now, start_at, notice_minutes)?;
            if max_moves.is_some_and(|most| moves >= most) {
                Err(Refusal::TooOften)
            } else {
                Ok(Confirmed)
            }
        }
        (Confirmed, Event::MovedByStaff) => Ok(Confirmed),
        (Confirmed | InService | Completed, Event::Attended { now, start_at }) => {
            near(now, start_at).map(|()| status)
        }
        (Confirmed | InService | Completed, Event::Started { now, start_at }) => {
            near(now, start_at)?;
            Ok(if status == Completed { Completed } else { InService })
        }
        (Confirmed | InService, Event::Settled { remaining_fen }) => {
            Ok(if remaining_fen > 0 { status } else { Completed })
        }
        (Confirmed | InService, Event::Completed { remaining_fen }) => {
            if remaining_fen > 0 {
                Err(Refusal::BalanceDue)
            } else {
                Ok(Completed)
            }
        }
        (Completed, Event::Completed { .. }) => Ok(Completed),
        (Confirmed, Event::NoShow { now, start_at }) => {
            if now < start_at {
                Err(Refusal::TooEarly)
            } else {
                Ok(NoShow)
            }
        }
        _ => Err(Refusal::WrongStatus(status)),
    }
}

fn in_time(now: i64, start_at: i64, notice_minutes: i64) -> Result<(), Refusal> {
    if now <= start_at - notice_minutes * 60_000 && now < start_at {
        Ok(())
    } else {
        Err(Refusal::TooLate)
    }
}

fn near(now: i64, start_at: i64) -> Result<(), Refusal> {
    if now < start_at - EARLY_MINUTES * 60_000 { Err(Refusal::TooEarly) } else { Ok(()) }
}
