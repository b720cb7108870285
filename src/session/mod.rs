//! Classes: sessions of a timetable, each with seats that customers book one by one.
//!
//! A session takes its technician's and its room's time by the one claim path, whole, whatever they carry
//! at a time. Its seats are a calendar of their own, `session:<id>`, open during the session alone, with
//! as many units as there are seats; that object decides who gets the last one (I1, I2). An order's line
//! that is seats has its claim there, and takes none of the technician's time.
//!
//! - [`timetable`]: making sessions, weekly; all of them or none;
//! - [`find`]: what customers see, with the seats left; what staff see;
//! - [`book`]: taking seats;
//! - [`change_seats`]: another class instead;
//! - [`resize`]: more seats or fewer;
//! - [`cancel`]: giving a session up with all its bookings.
//!
//! Who finds a class full may wait: [`crate::waitlist`].

pub mod book;
pub mod cancel;
pub mod change_seats;
pub mod find;
pub mod queries;
pub mod resize;
pub mod timetable;

pub use book::Seats;

use serde::Deserialize;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::time::{Interval, Tick};
use zhundian_domain::zone::Zone;

use crate::auth::permission::Permission;
use crate::booking::claim::{self, NotHeld, Taken, Terms};
use crate::booking::offer::Offer;
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::fields::{Id, Int};
use crate::http::{Ctx, Routes};
use crate::routes;

/// The most seats that a session has.
pub const MAX_SEATS: i64 = zhundian_domain::calendar::MAX_CAPACITY as i64;
/// Seats, at least one.
pub type SeatCount = Int<1, MAX_SEATS>;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(find::list))
        .public(routes!(find::one))
        .member(routes!(book::book_as_member))
        .member(routes!(change_seats::as_member))
        .staff(Permission::BookingWrite, routes!(book::book_as_staff))
        .staff(Permission::BookingWrite, routes!(change_seats::as_staff))
        .staff(Permission::BookingReadOwn, routes!(find::staff_list))
        .staff(Permission::ScheduleWrite, routes!(timetable::create))
        .staff(Permission::ScheduleWrite, routes!(resize::resize))
        .staff(Permission::ScheduleWrite, routes!(cancel::cancel))
}

/// How far a session has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It takes place.
    Scheduled,
    /// It was given up.
    Cancelled,
}

/// A session's row, as [`queries::session`] answers it.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// Its id.
    pub id: Id,
    /// Where.
    pub store_id: Id,
    /// Of which service.
    pub service_id: Id,
    /// Who holds it.
    pub technician_id: Id,
    /// The service's and the technician's.
    names: (String, String),
    /// The service's price, its prices by level, the technician's level.
    price: (i64, Vec<(String, i64)>, String),
    room: Option<Room>,
    time_zone: Zone,
    /// UTC milliseconds.
    pub start_at: i64,
    /// UTC milliseconds.
    pub end_at: i64,
    /// The store's business date of the start.
    pub date: chrono::NaiveDate,
    /// Seats.
    pub capacity: i64,
    /// How far it has come.
    pub status: SessionStatus,
    /// Grows with every change of its own.
    pub version: i64,
    seats: Counts,
}

/// The room that a session takes whole.
#[derive(Debug, Deserialize)]
struct Room {
    id: Id,
    name: String,
    capacity: i64,
}

/// What became of a session's seats, as far as D1 knows.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Counts {
    /// Of live orders.
    booked: i64,
    /// Held for those who waited.
    offered: i64,
    /// How many wait.
    waiting: i64,
    /// The fewest that somebody waits for.
    least_waiting: Option<i64>,
}

impl Row {
    /// When it takes place.
    ///
    /// # Errors
    /// A row that does not fit.
    pub fn interval(&self) -> Answer<Interval> {
        Tick::from_ms(self.start_at)
            .zip(Tick::from_ms(self.end_at))
            .and_then(|(start, end)| Interval::new(start, end))
            .ok_or_else(|| Problem::internal(format!("session {}: no interval", self.id)))
    }

    /// Seats that are neither booked nor held for somebody who waited, as far as D1 knows.
    #[must_use]
    pub fn left(&self) -> i64 {
        (self.capacity - self.seats.booked - self.seats.offered).max(0)
    }

    /// Whether so many seats may be asked for at all.
    ///
    /// # Errors
    /// `session_cancelled`, `start_in_past`, `seats_over_capacity`.
    pub fn require_bookable(&self, now: i64, seats: i64) -> Answer<()> {
        if self.status == SessionStatus::Cancelled {
            return Err(Code::SessionCancelled.into());
        }
        if self.start_at <= now {
            return Err(Code::StartInPast.into());
        }
        if seats > self.capacity {
            return Err(Problem::from(Code::SeatsOverCapacity).with(self.capacity).at("seats"));
        }
        Ok(())
    }

    /// Whether somebody waits whom these seats would serve: they come first.
    #[must_use]
    pub fn is_waited_for(&self, seats: i64) -> bool {
        self.seats.least_waiting.is_some_and(|least| least <= seats)
    }
}

/// Whether the session may be booked by now: notice and horizon of its service.
///
/// # Errors
/// `start_too_soon`, `start_too_far`.
pub fn require_notice(offer: &Offer, now: i64, start: Tick, by_staff: bool) -> Answer<()> {
    let window = offer.rule(by_staff).notice.window(now);
    match window {
        Some(window) if start < window.start => Err(Code::StartTooSoon.into()),
        Some(window) if start < window.end => Ok(()),
        _ => Err(Code::StartTooFar.into()),
    }
}

/// Holds seats. The object of a session just made may not know yet when it takes place and how many seats
/// it has; then it is told, and asked again.
///
/// # Errors
/// 503; `session_full`, `seats_over_capacity`, `offer_expired`.
pub async fn hold_seats(ctx: &Ctx, terms: Terms<'_>, need: claim::Need) -> Answer<Taken> {
    let (needs, calendar) = ([need], |need: &claim::Need| need.calendars.first().cloned());
    let mut not_held = match claim::hold_all(ctx, terms, &needs).await? {
        Ok(taken) => return Ok(taken),
        Err(not_held) => not_held,
    };
    if matches!(not_held.refusal, Refusal::OutsideWorkingTime | Refusal::Malformed)
        && let Some(calendar) = needs.first().and_then(calendar)
    {
        crate::catalog::windows::sync(ctx, &calendar).await?;
        not_held = match claim::hold_all(ctx, terms, &needs).await? {
            Ok(taken) => return Ok(taken),
            Err(not_held) => not_held,
        };
    }
    Err(refused(&not_held))
}

fn refused(not_held: &NotHeld) -> Problem {
    match not_held.refusal {
        Refusal::Taken => Code::SessionFull.into(),
        Refusal::Released => Code::OfferExpired.into(),
        Refusal::Malformed => Code::SessionChanged.into(),
        Refusal::OutsideWorkingTime => Problem::internal("a session is not open during itself"),
    }
}

/// What so many seats of a session need.
///
/// # Errors
/// A row that does not fit.
pub fn seats_need(session: &Row, seats: u16) -> Answer<claim::Need> {
    let interval = session.interval()?;
    let calendar = calendars::session(&session.id);
    let mut need = claim::Need::of(vec![calendar], vec![(interval, interval)]);
    need.quantity = seats;
    Ok(need)
}
