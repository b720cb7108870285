//! What can be booked, where and with whom: stores, services, technicians, rooms, working time, photos.
//!
//! Touches the catalog's tables, the R2 bucket of photos, and through [`windows`] the technicians'
//! calendar objects; of orders it only reads what stands in the way of a change. D1 decides all of it
//! but working time, which the calendar object keeps.
//!
//! Where to start: `stores` for the pattern that services and technicians follow, `record` for what
//! guards a change (a version, ids that must name something, an end that deletes nothing), `queries` for
//! the SQL, among it [`ELIGIBLE`], the one rule of who does which service, and [`cancellation`], the one of
//! what comes back.

pub mod fields;
mod holidays;
pub mod home;
mod items;
mod near;
pub mod photos;
mod queries;
mod record;
mod resources;
mod services;
mod stores;
mod technicians;
pub mod ways;
pub mod windows;

use crate::auth::permission::Permission::{
    CatalogRead, CatalogWrite, ScheduleWrite, VisitWriteOwn,
};
use crate::http::Routes;
use crate::routes;

pub use fields::Set;
pub use queries::{ELIGIBLE, cancellation};
pub use services::{AddOn, Mode, Place};

/// The catalog's routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(stores::list))
        .public(routes!(stores::get))
        .public(routes!(services::list))
        .public(routes!(services::get))
        .public(routes!(technicians::list))
        .public(routes!(technicians::get))
        .public(routes!(photos::get))
        .public(routes!(items::list))
        .staff(CatalogRead, routes!(stores::admin_list))
        .staff(CatalogRead, routes!(stores::admin_get))
        .staff(CatalogWrite, routes!(stores::create))
        .staff(CatalogWrite, routes!(stores::change))
        .staff(CatalogWrite, routes!(stores::retire))
        .staff(CatalogRead, routes!(services::admin_list))
        .staff(CatalogRead, routes!(services::admin_get))
        .staff(CatalogWrite, routes!(services::create))
        .staff(CatalogWrite, routes!(services::change))
        .staff(CatalogWrite, routes!(services::retire))
        .staff(CatalogRead, routes!(technicians::admin_list))
        .staff(CatalogRead, routes!(technicians::admin_get))
        .staff(CatalogWrite, routes!(technicians::create))
        .staff(CatalogWrite, routes!(technicians::change))
        .staff(CatalogWrite, routes!(technicians::retire))
        .staff(CatalogRead, routes!(resources::admin_list))
        .staff(CatalogRead, routes!(resources::admin_get))
        .staff(CatalogWrite, routes!(resources::create))
        .staff(CatalogWrite, routes!(resources::change))
        .staff(CatalogWrite, routes!(resources::retire))
        .staff(CatalogRead, routes!(items::admin_list))
        .staff(CatalogRead, routes!(items::admin_get))
        .staff(CatalogWrite, routes!(items::create))
        .staff(CatalogWrite, routes!(items::change))
        .staff(CatalogWrite, routes!(items::retire))
        .staff(ScheduleWrite, routes!(windows::get))
        .staff(ScheduleWrite, routes!(windows::set_weekly, windows::remove_weekly))
        .staff(ScheduleWrite, routes!(windows::set_date, windows::remove_date))
        .staff(ScheduleWrite, routes!(windows::add_time_off))
        .staff(ScheduleWrite, routes!(windows::remove_time_off))
        .staff(ScheduleWrite, routes!(holidays::list))
        .staff(ScheduleWrite, routes!(holidays::put, holidays::remove))
        .staff(CatalogWrite, routes!(photos::upload))
        .staff(VisitWriteOwn, routes!(photos::upload_for_visit))
}
