//! Technicians answer for what they are asked: accept, decline, pass on; and grab what is offered to all.
//!
//! Declining changes the line alone: its time stays taken until [`super::handover`] has found the next one,
//! right after the answer and by cron if that fails.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::staffing::{Assignment, Event, Refusal, apply};
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::OrderAnswer;
use crate::booking::claim::Operator;
use crate::booking::moving::{self, Move, ToMove};
use crate::booking::{handover, queries};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, Operation, PathId, Query};
use crate::http::fields::{At, Id, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::order::{self, Actor};

/// Which appointment is answered for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    line_id: Id,
}

/// Accept an appointment
///
/// Accepting one that is accepted already answers it as it is.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/accept", tag = "booking", operation_id = "accept_order",
    params(("id" = Id, Path, description = "The order")), request_body = Answered,
    responses((status = 200, description = "Accepted", body = OrderAnswer)),
)]
pub(crate) async fn accept(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    Body(Answered { line_id }): Body<Answered>,
) -> Answer<Json<OrderAnswer>> {
    let accepted = |known: &ToMove| Event::Accepted { now: ctx.now, answer_by: known.answer_by };
    change(&ctx, &staff, (&order_id, &line_id), accepted, "accepted").await
}

/// Decline an appointment
///
/// It goes to the next technician or is offered to all, as the store says; when nobody is left, it is
/// cancelled and what was paid goes back.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/decline", tag = "booking", operation_id = "decline_order",
    params(("id" = Id, Path, description = "The order")), request_body = Answered,
    responses((status = 200, description = "Declined", body = OrderAnswer)),
)]
pub(crate) async fn decline(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    Body(Answered { line_id }): Body<Answered>,
) -> Answer<Json<OrderAnswer>> {
    change(&ctx, &staff, (&order_id, &line_id), |_| Event::Declined, "declined").await
}

/// Pass an appointment on
///
/// As declining, of one that was accepted before.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/pass-on", tag = "booking", operation_id = "pass_order_on",
    params(("id" = Id, Path, description = "The order")), request_body = Answered,
    responses((status = 200, description = "Passed on", body = OrderAnswer)),
)]
pub(crate) async fn pass_on(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    Body(Answered { line_id }): Body<Answered>,
) -> Answer<Json<OrderAnswer>> {
    change(&ctx, &staff, (&order_id, &line_id), |_| Event::PassedOn, "passed_on").await
}

async fn read(ctx: &Ctx, order_id: &Id, line_id: &Id) -> Answer<ToMove> {
    moving::found(ctx.db()?.first(queries::order_to_move(order_id, line_id)).await?)
}

/// What is one's own one answers for oneself; for others, whoever may move their appointments.
pub(super) fn require(staff: &Staff, technician_id: &Id, store_id: &Id) -> Answer<()> {
    let own = staff.technician_id.as_ref() == Some(technician_id);
    let permission = if own { Permission::BookingWriteOwn } else { Permission::BookingWrite };
    staff.require(permission, store_id)
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::NotAwaited | Refusal::TooEarly => Code::NotYoursToAnswer.into(),
        Refusal::TooLate => Code::AnswerTooLate.into(),
    }
}

/// Each technician of a visit answers for their own line, perhaps at the same moment.
async fn change(
    ctx: &Ctx,
    staff: &Staff,
    line: (&Id, &Id),
    event: impl Fn(&ToMove) -> Event,
    kind: &str,
) -> Answer<Json<OrderAnswer>> {
    order::anew(|| change_once(ctx, staff, line, &event, kind)).await
}

async fn change_once(
    ctx: &Ctx,
    staff: &Staff,
    (order_id, line_id): (&Id, &Id),
    event: &impl Fn(&ToMove) -> Event,
    kind: &str,
) -> Answer<Json<OrderAnswer>> {
    let known = &read(ctx, order_id, line_id).await?;
    require(staff, &known.technician_id, &known.store_id)?;
    if !known.may_change_hands() {
        return Err(Code::OrderNotChangeable.into());
    }
    let next = apply(known.assignment, event(known)).map_err(refused)?;
    let mut view = order::detail_view(ctx, order_id).await?;
    if next == known.assignment {
        return Ok(Json(OrderAnswer { order: view }));
    }
    let declines = next == Assignment::Declined;
    let answer_by = declines.then_some(ctx.now);
    let line = (order_id, line_id);
    let by = Actor::Staff(staff.id.clone());
    handover::write(ctx, line, known, (next, answer_by), (kind, &by), None).await?;
    if declines {
        handover::soon(ctx, order_id, line_id).await;
    }
    view.assigned(line_id, next);
    Ok(Json(OrderAnswer { order: view }))
}

/// What is grabbed, and for whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grab {
    line_id: Id,
    /// Oneself when absent.
    technician_id: Option<Id>,
}

/// Grab an appointment that is offered to all
///
/// Of many at once one has it.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/grab", tag = "booking", operation_id = "grab_order",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Grab,
    responses((status = 200, description = "Theirs", body = OrderAnswer)),
)]
pub(crate) async fn grab(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Grab>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let Grab { line_id, technician_id } = operation.body;
    let technician_id = technician_id
        .or_else(|| staff.technician_id.clone())
        .ok_or_else(|| Problem::from(Code::Forbidden).with(Permission::BookingWrite.as_str()))?;
    // Somebody may grab another line of the visit at the same moment. What was held before that is given back
    // after the answer, so each round has holds of its own.
    let round = AtomicU32::new(0);
    let line = (&order_id, &line_id);
    let grabbed = order::anew(|| {
        let round = round.fetch_add(1, Ordering::Relaxed);
        grab_once(&ctx, &staff, &operator, line, (&technician_id, round))
    });
    grabbed.await.map_err(|problem| match problem.code() {
        Code::OrderChanged => Code::OfferGone.into(),
        _ => problem,
    })
}

async fn grab_once(
    ctx: &Ctx,
    staff: &Staff,
    operator: &Operator,
    (order_id, line_id): (&Id, &Id),
    (technician_id, round): (&Id, u32),
) -> Answer<Response> {
    let reads = vec![operator.stored(), queries::order_to_move(order_id, line_id)];
    let rows = ctx.db()?.read(reads).await?;
    let known = moving::found(rows.first(1)?)?;
    require(staff, technician_id, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if !known.may_change_hands() {
        return Err(Code::OfferGone.into());
    }
    let event = Event::Grabbed { now: ctx.now, answer_by: known.answer_by };
    let next = apply(known.assignment, event).map_err(|refusal| match refusal {
        Refusal::TooLate => Problem::from(Code::AnswerTooLate),
        _ => Code::OfferGone.into(),
    })?;
    let found = moving::offer_of(ctx, line_id, known, Some(technician_id)).await?;
    if found.offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    let line = found.to(vec![technician_id], (next, None))?;
    let (lines, actor) = (&[line], &Actor::Staff(staff.id.clone()));
    let grabbed = Move { order_id, lines, actor, event: "grabbed", more: None };
    let op = if round == 0 { operator.op() } else { format!("{}-{round}", operator.op()) };
    match grabbed.make_as(ctx, operator, &op).await? {
        Ok(answer) => Ok(answer),
        Err(not_held) if not_held.refusal == zhundian_domain::calendar::Refusal::Released => {
            Err(Code::OfferGone.into())
        }
        Err(_) => Err(Problem::from(Code::SlotTaken).at("technician_id")),
    }
}

/// Of which store.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    #[param(inline)]
    store_id: Id,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// An appointment that waits for an answer.
#[derive(Serialize, ToSchema)]
pub struct OpenLine {
    /// The order.
    order_id: Id,
    /// Its line.
    line_id: Id,
    /// `asked` or `offered`.
    assignment: String,
    /// Who is asked; null when it is offered to all.
    technician_id: Option<Id>,
    /// The service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// From.
    start_at: At,
    /// Until.
    end_at: At,
    /// Until when an answer is waited for.
    answer_by: Option<At>,
    /// What the customer wishes.
    note: String,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct OpenRow {
    order_id: Id,
    line_id: Id,
    assignment: Assignment,
    technician_id: Option<Id>,
    service_id: Id,
    service_name: String,
    start_at: i64,
    end_at: i64,
    answer_by: Option<i64>,
    note: String,
    time_zone: Zone,
}

/// What waits for an answer
///
/// By start: what one is asked oneself, and what is offered to all who can do it; in the whole store for
/// those who may move its appointments.
#[utoipa::path(
    get, path = "/api/v1/staff/offers", tag = "booking", operation_id = "offers", params(Wanted),
    responses((status = 200, description = "A page", body = Page<OpenLine>)),
)]
pub(crate) async fn offers(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<Page<OpenLine>>> {
    let own = if staff.may(Permission::BookingWrite, &wanted.store_id) {
        None
    } else {
        staff.require(Permission::BookingWriteOwn, &wanted.store_id)?;
        let forbidden = || Problem::from(Code::Forbidden).with(Permission::BookingWrite.as_str());
        Some(staff.technician_id.as_ref().ok_or_else(forbidden)?)
    };
    let limit = wanted.limit.and_then(|limit| u32::try_from(limit.get()).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let after = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let statement = queries::open_lines(&wanted.store_id, own, after, limit);
    let rows = ctx.db()?.read(vec![statement]).await?.all::<OpenRow>(0)?;
    let items = rows.into_iter().map(|row| OpenLine {
        key: (row.start_at, row.line_id.clone()),
        order_id: row.order_id,
        line_id: row.line_id,
        assignment: row.assignment.as_str().into(),
        technician_id: row.technician_id,
        service_id: row.service_id,
        service_name: row.service_name,
        start_at: At::new(row.time_zone, row.start_at),
        end_at: At::new(row.time_zone, row.end_at),
        answer_by: row.answer_by.map(|at| At::new(row.time_zone, at)),
        note: row.note,
    });
    Ok(Json(Page::of(items.collect(), limit, |item: &OpenLine| item.key.clone())))
}
