//! Orders after they are made: lists, detail with its timeline, cancelling, the staff's day.
//!
//! - [`view`]: the order as clients see it;
//! - [`list`], [`detail`]: reading, for members their own, for staff their stores';
//! - [`cancel`]: giving one up;
//! - [`appointments`]: a store's and a technician's day and week.
//!
//! What may become of an order is decided by `zhundian_domain::order::apply` alone.

pub mod appointments;
pub mod cancel;
pub mod detail;
pub mod list;
pub mod queries;
pub mod view;

use zhundian_domain::order::Refusal;

use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::fields::Id;
use crate::http::{Ctx, Routes};
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(list::list_as_member))
        .member(routes!(detail::detail_as_member))
        .member(routes!(cancel::cancel_as_member))
        .staff(Permission::BookingReadOwn, routes!(list::list_as_staff))
        .staff(Permission::BookingReadOwn, routes!(detail::detail_as_staff))
        .staff(Permission::BookingWrite, routes!(cancel::cancel_as_staff))
        .staff(Permission::BookingReadOwn, routes!(appointments::appointments))
}

/// Who did something to an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// The member.
    Member(Id),
    /// Staff.
    Staff(Id),
    /// The system itself.
    System,
}

impl Actor {
    /// As rows say it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Staff(_) => "staff",
            Self::System => "system",
        }
    }

    /// Who, when it is somebody.
    #[must_use]
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::Member(id) | Self::Staff(id) => Some(id),
            Self::System => None,
        }
    }
}

/// The problem of a refused event.
#[must_use]
pub fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::WrongStatus(_) | Refusal::BalanceDue => Code::OrderNotChangeable.into(),
        Refusal::TooEarly => Code::TooEarly.into(),
        Refusal::TooOften => Code::TooManyMoves.into(),
        Refusal::TooLate => Code::TooLate.into(),
    }
}

/// The order as clients see it, without its timeline.
///
/// # Errors
/// 404.
pub async fn detail_view(ctx: &Ctx, id: &Id) -> Answer<view::Order> {
    let row: Option<view::Row> = ctx.db()?.first(queries::order(id)).await?;
    Ok(row.ok_or_else(|| Problem::from(Code::NotFound))?.into_view())
}
