//! Those who wait for a place: seats in a class that is full, or an appointment within a range of time.
//!
//! | state | offered | accepted | ran out | left | of no use any more |
//! |---|---|---|---|---|---|
//! | waiting | offered | · | · | left | expired |
//! | offered | · | booked | expired | left | expired |
//!
//! A place is offered by holding it in its calendar for as long as the offer lasts, so no place is ever
//! offered twice, nor booked by somebody else: the calendar says so and no row. It goes to the first in
//! order whom it serves. The hold carries the entry's own operation id, so whoever finds an entry whose
//! hold was got and not noted, after a crash, gets that hold again. Accepting books by a claim that takes
//! the hold's place, as a move takes its old time's. Seats for which somebody waits are booked by nobody
//! else.
//!
//! Who is offered a place is told of it once, while the offer stands. In the quiet hours nobody is: an offer
//! that is made then lasts into the morning, `WAITLIST_OFFER_MINUTES` from their end on. Only for what begins
//! so early that it would be over by then somebody is told at night.
//!
//! - [`join`]: joining and leaving; one's own list, a store's;
//! - [`offer`]: offering, by the outbox right after something was given back, and by
//!   [`crate::jobs::offer_places`];
//! - [`accept`]: booking what was offered.

pub mod accept;
pub mod join;
pub mod offer;
pub mod queries;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(join::join_session))
        .member(routes!(join::join))
        .member(routes!(join::list))
        .member(routes!(join::leave))
        .member(routes!(accept::accept))
        .staff(Permission::BookingRead, routes!(join::staff_list))
}
