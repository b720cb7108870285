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

use std::future::Future;

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

/// How often a change is decided on an order that others change at the same moment: a visit has six lines at
/// most, each with somebody who may.
const MAX_ROUNDS: u32 = 8;

/// Decides a change anew when somebody else has changed the order since it was read. It is for what concerns
/// one line, or is as right after the other's change as before; what looked at all of the order is refused.
///
/// # Errors
/// Those of `decide`; `order_changed` when others were quicker each time.
pub async fn anew<T, F: Future<Output = Answer<T>>>(decide: impl Fn() -> F) -> Answer<T> {
    for _ in 1..MAX_ROUNDS {
        match decide().await {
            Err(problem) if problem.code() == Code::OrderChanged => {}
            done => return done,
        }
    }
    decide().await
}

/// The order as clients see it, without its timeline.
///
/// # Errors
/// 404.
pub async fn detail_view(ctx: &Ctx, id: &Id) -> Answer<view::Order> {
    let row: Option<view::Row> = ctx.db()?.first(queries::order(id)).await?;
    Ok(row.ok_or_else(|| Problem::from(Code::NotFound))?.into_view())
}
