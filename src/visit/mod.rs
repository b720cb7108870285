//! The visit: the customer checks in, the technician sets out, arrives, starts, finishes; or nobody comes.
//!
//! - [`check_in`]: by QR code, by booking code, by phone;
//! - [`progress`]: departure, arrival, start, finish of a line;
//! - [`absence`]: who did not come, and what it costs;
//! - [`day`]: a technician's own day; [`detail`]: one appointment with what is known of its customer;
//! - [`feed`]: one's appointments for a calendar application.
//!
//! What ends by itself is in [`crate::jobs`]: `complete_visits`, `mark_no_shows`. An order's state changes by
//! `zhundian_domain::order::apply` alone; how far a line has come stands in columns of its own.
//!
//! Whoever may keep their own visits (`visit.write_own`) keeps those of the technician that they are; the
//! others of a store are for those who may keep any (`visit.write`).

pub mod absence;
pub mod check_in;
pub mod day;
pub mod detail;
pub mod feed;
pub mod progress;
pub mod queries;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::Answer;
use crate::http::Routes;
use crate::http::fields::Id;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(check_in::show))
        .staff(Permission::VisitWriteOwn, routes!(check_in::code_as_staff))
        .staff(Permission::VisitWriteOwn, routes!(check_in::by_qr))
        .staff(Permission::VisitWriteOwn, routes!(check_in::by_code))
        .staff(Permission::VisitWriteOwn, routes!(check_in::find))
        .staff(Permission::VisitWriteOwn, routes!(check_in::by_order))
        .staff(Permission::VisitWriteOwn, routes!(progress::depart))
        .staff(Permission::VisitWriteOwn, routes!(progress::arrive))
        .staff(Permission::VisitWriteOwn, routes!(progress::start))
        .staff(Permission::VisitWriteOwn, routes!(progress::finish))
        .staff(Permission::VisitWrite, routes!(absence::no_show))
        .staff(Permission::BookingReadOwn, routes!(day::my_day))
        .staff(Permission::VisitWriteOwn, routes!(detail::read))
        .staff(Permission::VisitWriteOwn, routes!(detail::history))
        .staff(Permission::VisitWriteOwn, routes!(detail::put_note))
        .staff(Permission::VisitWriteOwn, routes!(detail::put_preferences))
        .staff(Permission::BookingReadOwn, routes!(feed::read, feed::make, feed::revoke))
        .public(routes!(feed::get))
}

/// Requires that somebody may keep a visit of a store that these technicians do.
///
/// # Errors
/// 403 `foreign_store`.
pub fn require<'a>(
    staff: &Staff,
    store_id: &Id,
    technicians: impl IntoIterator<Item = &'a Id>,
) -> Answer<()> {
    let own = technicians.into_iter().any(|id| staff.technician_id.as_ref() == Some(id));
    let needed = if own { Permission::VisitWriteOwn } else { Permission::VisitWrite };
    staff.require(needed, store_id)
}
