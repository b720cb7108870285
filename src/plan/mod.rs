//! Service plans (服务计划): staff book a member's sessions ahead, weekly, daily or at times of their
//! choice, in one operation.
//!
//! A plan's session is an order of its own with one line, so lists, the visit, cancelling, moving, the
//! audit and the technician's load treat it as any appointment. The plan is the row that they share.
//!
//! - [`wish`]: what is asked for, and which sessions follow from it;
//! - [`draft`]: sessions that have no time yet: what stands in their way, the nearest free times;
//! - [`hold`]: many intervals of a calendar held at once, and what is committed on them;
//! - [`make`]: the preview, and making a plan: one call of each calendar, one commit;
//! - [`see`]: lists with progress, one plan with its sessions;
//! - [`change`]: moving and cancelling one session, the rest, or all;
//! - [`feature`]: HQ's switch. While it is off, no route of this slice is there, and no service of mode
//!   `plan` is shown; sessions that were agreed stand as appointments.
//!
//! `domain::recurrence` decides when the sessions are, `domain::calendar::hold_all` whether all of them
//! can be had. `jobs::complete_sessions` ends each at its time.

pub mod change;
pub mod draft;
pub mod feature;
pub mod hold;
pub mod make;
pub mod queries;
pub mod see;
pub mod wish;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .staff(Permission::SettingsWrite, routes!(feature::get, feature::set))
        .staff(Permission::BookingPlan, routes!(make::preview))
        .staff(Permission::BookingPlan, routes!(make::make, see::list_as_staff))
        .staff(Permission::BookingPlan, routes!(see::detail_as_staff))
        .staff(Permission::BookingPlan, routes!(change::cancel))
        .staff(Permission::BookingPlan, routes!(change::reschedule))
        .member(routes!(see::list_as_member))
        .member(routes!(see::detail_as_member))
}
