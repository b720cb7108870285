//! Moving an appointment, to another time or another technician.
//!
//! How the time changes hands stands in [`super::moving`]. Where the customer chose no technician, or the one
//! they chose has declined, anybody may have it at the new time.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::staffing::Assignment;

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::book::{self, OrderAnswer, dates_around};
use crate::booking::claim::{self, Operator};
use crate::booking::moving::{self, Move, ToMove};
use crate::booking::offer::{Offer, Row};
use crate::booking::queries::{self, Asked, Detail};
use crate::catalog::Mode;
use crate::d1::Rows;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Instant, Int};
use crate::http::limits::{self, Limiter};
use crate::order;

/// Where to move an appointment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reschedule {
    line_id: Id,
    start_at: Instant,
    /// The same one when absent.
    technician_id: Option<Id>,
    /// The order's version that was looked at: an order that has changed since is not moved.
    version: Option<Int<1, 1_000_000_000>>,
}

/// Move an appointment
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/reschedule", tag = "booking", operation_id = "reschedule",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Reschedule,
    responses((status = 200, description = "Moved", body = OrderAnswer)),
)]
pub(crate) async fn reschedule_as_member(
    ctx: Ctx,
    member: TokenMember,
    PathId(order_id): PathId,
    operation: Operation<Reschedule>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    reschedule(&ctx, Mover::Member(member), operator, &order_id, operation.body).await
}

/// Move a customer's appointment
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/reschedule", tag = "booking", operation_id = "staff_reschedule",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Reschedule,
    responses((status = 200, description = "Moved", body = OrderAnswer)),
)]
pub(crate) async fn reschedule_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Reschedule>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    reschedule(&ctx, Mover::Staff(staff), operator, &order_id, operation.body).await
}

pub(crate) enum Mover {
    Member(TokenMember),
    Staff(Staff),
}

impl Mover {
    /// Who moves it, and what they may move; `index` is the statement that has checked a member.
    ///
    /// # Errors
    /// 401, 403, 404.
    pub fn of(
        self,
        rows: &Rows,
        index: usize,
        known: Option<ToMove>,
    ) -> Answer<(order::Actor, ToMove)> {
        let found = || moving::found(known);
        match self {
            Self::Member(member) => {
                let id = member.checked(rows, index)?.id;
                let known = found()?;
                // Somebody else's order is as if it were not there.
                if known.member_id.as_ref() != Some(&id) {
                    return Err(Code::NotFound.into());
                }
                Ok((order::Actor::Member(id), known))
            }
            Self::Staff(staff) => {
                let known = found()?;
                staff.require(Permission::BookingWrite, &known.store_id)?;
                Ok((order::Actor::Staff(staff.id), known))
            }
        }
    }
}

async fn reschedule(
    ctx: &Ctx,
    mover: Mover,
    operator: Operator,
    order_id: &Id,
    wish: Reschedule,
) -> Answer<Response> {
    let db = ctx.db()?;
    let (from, until) = dates_around(wish.start_at);
    let asked = Asked::Line { line_id: &wish.line_id, technician_id: wish.technician_id.as_ref() };
    let mut reads = vec![
        operator.stored(),
        queries::order_to_move(order_id, &wish.line_id),
        queries::offer(&asked, from, until, Detail::NamesAndLoads),
    ];
    let by_staff = matches!(mover, Mover::Staff(_));
    if let Mover::Member(member) = &mover {
        reads.push(member.check());
    }
    let rows = db.read(reads).await?;
    let (actor, known) = mover.of(&rows, 3, rows.first(1)?)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if wish.version.is_some_and(|version| version.get() != known.version) {
        return Err(Code::OrderChanged.into());
    }
    known.check(ctx.now, &actor)?;
    let mut offer = rows.one::<Row>(2)?.into_offer()?;
    offer.require_open()?;
    let by_store = known.mode == Mode::Assigned.as_str();
    if by_store && !by_staff && wish.technician_id.is_some() {
        return Err(Problem::from(Code::TechnicianByStore).at("technician_id"));
    }
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    if known.assignment.is_open() && wish.technician_id.is_none() {
        // Whoever is found for it is nobody who has declined it.
        offer.technicians.retain(|one| !known.declined_by.contains(one.id()));
        if offer.technicians.is_empty() {
            return Err(Problem::from(Code::SlotTaken).at("start_at"));
        }
    }
    known.visit(&mut offer)?;
    let (start, date) = offer.start(ctx.now, wish.start_at, by_staff)?;
    let same_technician = wish.technician_id.as_ref().is_none_or(|id| *id == known.technician_id);
    if same_technician && start.ms() == known.start_at {
        let response = moving::text(order::detail_view(ctx, order_id).await?, &actor)?;
        return claim::commit_nothing(ctx, &operator, StatusCode::OK, response).await;
    }
    let (technicians, free) = book::by_rule(&offer, &operator.op(), start, date);
    let change = Move {
        order_id,
        line_id: &wish.line_id,
        known: &known,
        offer: &offer,
        technicians: (technicians, free),
        to: (start, date),
        actor: &actor,
        event: "moved",
        assignment: assignment(&known, &offer, wish.technician_id.as_ref(), by_staff),
    };
    match change.make(ctx, &operator).await? {
        Ok(answer) => Ok(answer),
        // What it should replace is gone: somebody else has moved or cancelled it.
        Err(not_held) if not_held.refusal == Refusal::Released => Err(Code::OrderChanged.into()),
        Err(not_held) => Err(book::refusal(ctx, &offer, &not_held, (start, date), by_staff)),
    }
}

/// How far it has come to its technician after the move: with whom staff named, it is settled; whom the
/// member named, or who is found in place of one who declined, accepts it as ever.
fn assignment(
    known: &ToMove,
    offer: &Offer,
    named: Option<&Id>,
    by_staff: bool,
) -> (Assignment, Option<i64>) {
    let another = named.is_some_and(|id| *id != known.technician_id);
    match known.assignment {
        _ if by_staff && named.is_some() => (Assignment::Assigned, None),
        Assignment::Provisional => (Assignment::Provisional, None),
        Assignment::Assigned if !another => (Assignment::Assigned, None),
        _ => moving::to_accept(offer),
    }
}
