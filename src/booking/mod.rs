//! Taking time: what is free, booking, moving, blocking.
//!
//! All of them read an [`offer::Offer`] in one D1 batch, ask the calendar object once, and commit in
//! one D1 batch. The object alone decides who has the time (I1, I2); D1 alone decides the order.
//!
//! - [`offer`]: the read model of a service in a store, and the checks that need no calendar;
//! - [`availability`]: `GET /api/v1/availability`;
//! - [`book`]: `POST /api/v1/bookings`, and the same for staff;
//! - [`reschedule`]: moving an appointment, by the same claim path;
//! - [`block`]: time that staff take away;
//! - [`visit`]: where a booking at the customer's home takes place, and what can be reached in time;
//! - [`claim`]: what the three have in common: the operation's id, the hold, alternatives.
//!
//! Start at `book` in [`book`]: it is the whole saga on one page.

pub mod availability;
pub mod block;
pub mod book;
pub mod claim;
pub mod offer;
pub mod queries;
pub mod reschedule;
pub mod visit;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(availability::availability))
        .member(routes!(book::book_as_member))
        .staff(Permission::BookingWrite, routes!(book::book_as_staff))
        .member(routes!(reschedule::reschedule_as_member))
        .staff(Permission::BookingWrite, routes!(reschedule::reschedule_as_staff))
        .staff(Permission::CalendarBlockOwn, routes!(block::block_time))
        .staff(Permission::CalendarBlockOwn, routes!(block::remove_block))
}
