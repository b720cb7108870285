//! Taking time: what is free, booking, moving, blocking.
//!
//! All of them read an [`offer::Offer`] in one D1 batch, ask the calendar object once, and commit in
//! one D1 batch. The object alone decides who has the time (I1, I2); D1 alone decides the order.
//!
//! - [`offer`]: the read model of a service in a store, and the checks that need no calendar;
//! - [`availability`]: `GET /api/v1/availability`;
//! - [`book`]: `POST /api/v1/bookings`, and the same for staff;
//! - [`compose`]: visits of several lines; [`party`]: who serves them;
//! - [`extend`]: lengthening an appointment by add-ons;
//! - [`reschedule`]: moving an appointment, by the same claim path;
//! - [`moving`]: what reschedule, assign and answer have in common;
//! - [`assign`]: staff say who does it;
//! - [`answer`]: technicians accept, decline, pass on and grab; [`handover`]: what follows;
//! - [`recommended`]: the starts that suit best;
//! - [`block`]: time that staff take away;
//! - [`visit`]: where a booking at the customer's home takes place, and what can be reached in time;
//! - [`claim`]: what the three have in common: the operation's id, the hold, alternatives.
//!
//! Start at `book` in [`book`]: it is the whole saga on one page.

pub mod answer;
pub mod assign;
pub mod availability;
pub mod block;
pub mod book;
pub mod claim;
pub mod compose;
pub mod extend;
pub mod handover;
pub mod moving;
pub mod offer;
pub mod party;
pub mod queries;
pub mod recommended;
pub mod reschedule;
pub mod visit;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(availability::availability))
        .member(routes!(recommended::recommended))
        .member(routes!(book::book_as_member))
        .staff(Permission::BookingWrite, routes!(book::book_as_staff))
        .public(routes!(compose::availability))
        .member(routes!(compose::visit_as_member))
        .staff(Permission::BookingWrite, routes!(compose::visit_as_staff))
        .staff(Permission::BookingWriteOwn, routes!(extend::extend))
        .member(routes!(reschedule::reschedule_as_member))
        .staff(Permission::BookingWrite, routes!(reschedule::reschedule_as_staff))
        .staff(Permission::BookingWrite, routes!(assign::candidates))
        .staff(Permission::BookingWrite, routes!(assign::assign))
        .staff(Permission::BookingWriteOwn, routes!(answer::offers))
        .staff(Permission::BookingWriteOwn, routes!(answer::accept))
        .staff(Permission::BookingWriteOwn, routes!(answer::decline))
        .staff(Permission::BookingWriteOwn, routes!(answer::pass_on))
        .staff(Permission::BookingWriteOwn, routes!(answer::grab))
        .staff(Permission::CalendarBlockOwn, routes!(block::block_time))
        .staff(Permission::CalendarBlock, routes!(block::block_resource))
        .staff(Permission::CalendarBlockOwn, routes!(block::remove_block))
}
