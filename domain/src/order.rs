//! What may become of an order.
//!
//! | state | cancel by member | cancel by staff | claim lost | reschedule |
//! |---|---|---|---|---|
//! | confirmed | cancelled, before the service's cancellation notice | cancelled | cancelled | stays confirmed |
//! | cancelled | refused | refused | stays | refused |

use serde::{Deserialize, Serialize};

/// An order's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The appointment stands.
    Confirmed,
    /// It was given up, by the member, by staff or because its time was lost.
    Cancelled,
}

/// What happens to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The member gives it up.
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
    /// The calendar could not give its time.
    ClaimLost,
    /// The member moves it; the notice counts from the time it leaves.
    MovedByMember {
        /// UTC milliseconds.
        now: i64,
        /// Start of the appointment before the move.
        start_at: i64,
        /// Least minutes before the start.
        notice_minutes: i64,
    },
    /// Staff move it.
    MovedByStaff,
}

/// Why an event is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The order is not in a state for it.
    WrongStatus(Status),
    /// The appointment is too near, or over.
    TooLate,
}

/// The one place where an order's state changes.
///
/// # Errors
/// [`Refusal`], and the state stays.
pub fn apply(status: Status, event: Event) -> Result<Status, Refusal> {
    if status == Status::Cancelled {
        return match event {
            Event::ClaimLost => Ok(Status::Cancelled),
            _ => Err(Refusal::WrongStatus(status)),
        };
    }
    match event {
        Event::CancelledByMember { now, start_at, notice_minutes } => {
            in_time(now, start_at, notice_minutes).map(|()| Status::Cancelled)
        }
        Event::MovedByMember { now, start_at, notice_minutes } => {
            in_time(now, start_at, notice_minutes).map(|()| Status::Confirmed)
        }
        Event::CancelledByStaff | Event::ClaimLost => Ok(Status::Cancelled),
        Event::MovedByStaff => Ok(Status::Confirmed),
    }
}

fn in_time(now: i64, start_at: i64, notice_minutes: i64) -> Result<(), Refusal> {
    if now <= start_at - notice_minutes * 60_000 && now < start_at {
        Ok(())
    } else {
        Err(Refusal::TooLate)
    }
}
