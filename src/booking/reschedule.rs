//! Moving an appointment, to another time or another technician.
//!
//! How the time changes hands stands in [`super::moving`]. A visit of several lines moves as a whole. Where the customer chose no technician, or the one
//! they chose has declined, anybody may have it at the new time.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::composition::Begins;
use zhundian_domain::staffing::Assignment;
use zhundian_domain::time::Tick;

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::book::{self, OrderAnswer, dates_around};
use crate::booking::claim::{self, Operator};
use crate::booking::moving::{self, LineMove, Move, ToMove};
use crate::booking::offer::{Offer, Row};
use crate::booking::party::{self, Plan, Seeker};
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
    /// The line of an order that has one; the whole visit when absent.
    line_id: Option<Id>,
    /// The new start; of a visit, of its first line, and the others move by as much.
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
    let line_id = if let Some(line_id) = &wish.line_id {
        line_id.clone()
    } else {
        let mut lines: Vec<ToMove> =
            db.read(vec![queries::lines_to_move(order_id)]).await?.all(0)?;
        if lines.len() > 1 {
            return whole(ctx, mover, operator, order_id, (wish, lines)).await;
        }
        // Of an order that was given up, the replay of an answer is all there may be.
        lines.pop().map_or_else(|| order_id.clone(), |line| line.line.id)
    };
    let (from, until) = dates_around(wish.start_at);
    let asked = Asked::Line { line_id: &line_id, technician_id: wish.technician_id.as_ref() };
    let mut reads = vec![
        operator.stored(),
        queries::order_to_move(order_id, &line_id),
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
    if !known.line.others.is_empty() {
        return Err(Problem::from(Code::VisitMovesWhole).at("line_id"));
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
    let line = LineMove {
        known: &known,
        offer: &offer,
        needs: moving::needs(&known, &offer, (technicians, free), start)?,
        date,
        assignment: assignment(&known, &offer, wish.technician_id.as_ref(), by_staff),
    };
    let lines = &[line];
    let change = Move { order_id, lines, actor: &actor, event: "moved", more: None };
    match change.make(ctx, &operator).await? {
        Ok(answer) => Ok(answer),
        // What it should replace is gone: somebody else has moved or cancelled it.
        Err(not_held) if not_held.refusal == Refusal::Released => Err(Code::OrderChanged.into()),
        Err(not_held) => Err(book::refusal(ctx, &offer, &not_held, (start, date), by_staff)),
    }
}

/// Moves all lines of a visit by as much, each with its technician, as one decision; with another where theirs
/// has declined.
async fn whole(
    ctx: &Ctx,
    mover: Mover,
    operator: Operator,
    order_id: &Id,
    (wish, lines): (Reschedule, Vec<ToMove>),
) -> Answer<Response> {
    let (from, until) = dates_around(wish.start_at);
    let ids: Vec<Id> = lines.iter().map(|line| line.line.id.clone()).collect();
    let mut reads = vec![operator.stored(), queries::lines_to_move(order_id)];
    let by_staff = matches!(mover, Mover::Staff(_));
    let member_at = reads.len() + ids.len() + 1;
    for line_id in &ids {
        let asked = Asked::Line { line_id, technician_id: None };
        reads.push(queries::offer(&asked, from, until, Detail::NamesAndLoads));
    }
    let store_id = &lines.first().ok_or_else(|| Problem::from(Code::NotFound))?.store_id;
    reads.push(party::crowds(store_id, (from, until)));
    if let Mover::Member(member) = &mover {
        reads.push(member.check());
    }
    let rows = ctx.db()?.read(reads).await?;
    let mut lines: Vec<ToMove> = rows.all(1)?;
    let first = if lines.is_empty() { None } else { Some(lines.remove(0)) };
    let (actor, first) = mover.of(&rows, member_at, first)?;
    lines.insert(0, first);
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if lines.iter().map(|line| &line.line.id).ne(&ids) {
        return Err(Code::OrderChanged.into());
    }
    if wish.technician_id.is_some() {
        return Err(Problem::from(Code::VisitMovesWhole).at("technician_id"));
    }
    let mut offers = Vec::new();
    for (index, known) in lines.iter().enumerate() {
        if wish.version.is_some_and(|version| version.get() != known.version) {
            return Err(Code::OrderChanged.into());
        }
        known.check(ctx.now, &actor)?;
        let mut offer = rows.one::<Row>(index + 2)?.into_offer()?;
        offer.require_open()?;
        if offer.technicians.is_empty() {
            return Err(Code::TechnicianNotOffered.into());
        }
        if known.assignment.is_open() {
            offer.technicians.retain(|one| !known.declined_by.contains(one.id()));
        }
        offers.push(offer);
    }
    let (Some(first), Some(offer)) = (lines.first(), offers.first()) else {
        return Err(Code::NotFound.into());
    };
    let (start, _) = offer.start(ctx.now, wish.start_at, by_staff)?;
    let shift = start.since(first.start()?);
    if shift == 0 {
        let response = moving::text(order::detail_view(ctx, order_id).await?, &actor)?;
        return claim::commit_nothing(ctx, &operator, StatusCode::OK, response).await;
    }
    let crowds: Vec<party::Crowd> = rows.one(ids.len() + 2)?;
    let op = operator.op();
    let seekers: Vec<Seeker> = lines
        .iter()
        .zip(&offers)
        .map(|(known, offer)| Seeker {
            offer,
            begins: Begins::AfterPrevious,
            guest: known.line.guest.as_deref(),
            technician_id: (!known.assignment.is_open()).then_some(&known.technician_id),
            own: &known.claims,
        })
        .collect();
    let mut at = Vec::new();
    for (known, offer) in lines.iter().zip(&offers) {
        let start = known.start()?.plus(shift);
        at.push((start, offer.check_start(ctx.now, start, by_staff)?));
    }
    let seen = party::Seen { now: ctx.now, by_staff, crowds: &crowds, fresh: &[] };
    let starts: Vec<Tick> = at.iter().map(|(start, _)| *start).collect();
    let plan = Plan::at(&seekers, &starts, &op, seen)?;
    let taken = || Problem::from(Code::SlotTaken).at("start_at");
    let needs = plan.needs(&starts).ok_or_else(taken)?;
    let all: Vec<LineMove> = lines
        .iter()
        .zip(&offers)
        .zip(needs.into_iter().zip(&at))
        .map(|((known, offer), (needs, (_, date)))| LineMove {
            known,
            offer,
            needs,
            date: *date,
            assignment: assignment(known, offer, None, by_staff),
        })
        .collect();
    let change = Move { order_id, lines: &all, actor: &actor, event: "moved", more: None };
    match change.make(ctx, &operator).await? {
        Ok(answer) => Ok(answer),
        Err(not_held) if not_held.refusal == Refusal::Released => Err(Code::OrderChanged.into()),
        Err(_) => Err(taken()),
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
