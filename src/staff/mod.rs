//! Staff: signing in by one-time code, and who makes whom what.
//!
//! A person of the staff is a row with grants: a role in one store, or in all of them. Nobody gives
//! what they do not have: a grant is made, changed and taken away only by those who may write staff in
//! its store, and one for all stores only by those who may everywhere (`scope`). One active owner of
//! all stores always remains; the database holds that in the batch of each change.
//!
//! The first owner is whoever has the phone of the configuration (`OWNER_PHONE`): signing in makes them
//! one as long as no row has that phone. Another phone in the configuration is also the way back in for
//! a merchant whose owners have all lost theirs.
//!
//! - `sign_in`: `/staff/auth/…`, `/staff/me`;
//! - `admin`: `/admin/staff`;
//! - `members`: finding the member to book for.
//!
//! Touches `staff` and `staff_grant`; reads `member`.

mod admin;
mod members;
mod queries;
mod scope;
mod sign_in;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::routes;

/// Routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(sign_in::ask_code))
        .public(routes!(sign_in::by_code))
        .any_staff(routes!(sign_in::sign_out))
        .any_staff(routes!(sign_in::me))
        .staff(Permission::StaffRead, routes!(admin::list))
        .staff(Permission::StaffWrite, routes!(admin::create))
        .staff(Permission::StaffRead, routes!(admin::read))
        .staff(Permission::StaffWrite, routes!(admin::change))
        .staff(Permission::StaffWrite, routes!(admin::retire))
        .staff(Permission::MemberRead, routes!(members::find))
}
