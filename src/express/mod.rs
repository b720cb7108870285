//! Express orders: the customer says what they wish for and when, and pays a deposit; staff propose service,
//! technician and time; one tap confirms it, and the deposit counts towards the price.
//!
//! - [`place`]: the wish; an order without a line, which takes no time yet;
//! - [`propose`]: staff's proposal, whose time is held in the calendars until its deadline;
//! - [`answer`]: the customer accepts it, and the line is made on those holds, or declines it;
//! - [`list`]: what waits.
//!
//! What is waited for has a deadline, `express.due_at`. Past it `jobs/answer_deadlines.rs` cancels the order,
//! and the deposit goes back in full.

pub mod answer;
pub mod list;
pub mod place;
pub mod propose;
pub mod queries;

use serde::{Deserialize, Serialize};
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::order::Status;
use zhundian_domain::pricing::Part;

use crate::auth::permission::Permission;
use crate::http::Routes;
use crate::http::fields::Id;
use crate::order::view::Resource;
use crate::outbox::Claimed;
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(place::place))
        .member(routes!(answer::accept))
        .member(routes!(answer::decline))
        .staff(Permission::BookingWrite, routes!(propose::propose))
        .staff(Permission::BookingRead, routes!(list::list))
}

/// What an express order waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpressState {
    /// For a proposal.
    Waiting,
    /// For the customer's answer to it.
    Proposed,
    /// For nothing: it is an appointment.
    Accepted,
    /// For nothing: it was given up.
    Ended,
}

/// A proposal as it is kept: all that its acceptance needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// The service.
    pub service_id: Id,
    /// Its name.
    pub service_name: String,
    /// The technician.
    pub technician_id: Id,
    /// Their name.
    pub technician_name: String,
    /// Service time, UTC milliseconds.
    pub start_at: i64,
    /// Its end.
    pub end_at: i64,
    /// The store's business date of the start.
    pub date: chrono::NaiveDate,
    /// The price, in fen.
    pub total_fen: i64,
    /// What it is made of.
    pub parts: Vec<Part>,
    /// What comes back when the appointment is given up.
    pub cancellation: Tiers,
    /// Least minutes before the start for the member to change it.
    pub change_notice_minutes: i64,
    /// How often the member may move it; `None` for no limit.
    pub max_moves: Option<i64>,
    /// Most appointments of the service a store and date.
    pub max_per_day: Option<i64>,
    /// Rooms and equipment taken with it.
    pub resources: Vec<Resource>,
    /// The holds; the line's own first.
    pub claims: Vec<Claimed>,
}

/// An express order as it is decided on.
#[derive(Deserialize)]
struct Known {
    member_id: Option<Id>,
    store_id: Id,
    status: Status,
    version: i64,
    state: ExpressState,
    due_at: Option<i64>,
    from_at: i64,
    until_at: i64,
    propose_minutes: i64,
    answer_minutes: i64,
    proposal: Option<Proposal>,
}
