//! Another session of the same service instead: the seats there are held first, and those here are given
//! back when the order has moved.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::Assignment;
use zhundian_domain::time::date_at;
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Staff, TokenMember};
use crate::booking::book::OrderAnswer;
use crate::booking::claim::{self, Commit, Operator, Terms};
use crate::booking::moving::{self, ToMove};
use crate::booking::offer;
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::booking::reschedule::Mover;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Int};
use crate::http::limits::{self, Limiter};
use crate::order;
use crate::outbox::{self, Message};
use crate::reminder;
use crate::session::{self, Row, queries};

/// Into which session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSession {
    line_id: Id,
    /// Of the same service.
    session_id: Id,
    /// The order's version that was looked at: an order that has changed since is not moved.
    version: Option<Int<1, 1_000_000_000>>,
}

/// Move seats to another session
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/session", tag = "classes", operation_id = "change_session",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = ChangeSession,
    responses((status = 200, description = "Moved", body = OrderAnswer)),
)]
pub(crate) async fn as_member(
    ctx: Ctx,
    member: TokenMember,
    PathId(order_id): PathId,
    operation: Operation<ChangeSession>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    change(&ctx, Mover::Member(member), operator, &order_id, operation.body).await
}

/// Move a customer's seats to another session
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/session", tag = "classes", operation_id = "staff_change_session",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = ChangeSession,
    responses((status = 200, description = "Moved", body = OrderAnswer)),
)]
pub(crate) async fn as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<ChangeSession>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    change(&ctx, Mover::Staff(staff), operator, &order_id, operation.body).await
}

async fn change(
    ctx: &Ctx,
    mover: Mover,
    operator: Operator,
    order_id: &Id,
    wish: ChangeSession,
) -> Answer<Response> {
    let today = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
    let asked = Asked::Session { session_id: &wish.session_id };
    let mut reads = vec![
        operator.stored(),
        booking::order_to_move(order_id, &wish.line_id),
        queries::session(&wish.session_id, ctx.now),
        booking::offer(&asked, today, today, Detail::Names),
    ];
    let by_staff = matches!(mover, Mover::Staff(_));
    if let Mover::Member(member) = &mover {
        reads.push(member.check());
    }
    let rows = ctx.db()?.read(reads).await?;
    let known: Option<ToMove> = rows.first(1)?;
    let (actor, known) = mover.of(&rows, 4, known)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if wish.version.is_some_and(|version| version.get() != known.version) {
        return Err(Code::OrderChanged.into());
    }
    known.check(ctx.now, &actor)?;
    let unknown = || Problem::from(Code::UnknownSession).at("session_id");
    let to: Row = rows.first(2)?.ok_or_else(unknown)?;
    let same = known.store_id == to.store_id && known.service_id == to.service_id;
    let (from, seats) = &known.class;
    let (true, Some(from), seats) = (same, from, *seats) else { return Err(unknown()) };
    if *from == to.id {
        let response = moving::text(order::detail_view(ctx, order_id).await?, &actor)?;
        return claim::commit_nothing(ctx, &operator, StatusCode::OK, response).await;
    }
    to.require_bookable(ctx.now, seats.into())?;
    let offer = rows.one::<offer::Row>(3)?.into_offer()?;
    offer.require_open()?;
    let technician = offer.technicians.first().ok_or(Code::TechnicianNotOffered)?;
    session::require_notice(&offer, ctx.now, to.interval()?.start, by_staff)?;
    if to.is_waited_for(seats.into()) {
        return Err(Code::SessionFull.into());
    }

    let op = operator.op();
    let terms = Terms { op: &op, store_id: &to.store_id, hold_ms: claim::HOLD_MS };
    let taken = session::hold_seats(ctx, terms, session::seats_need(&to, seats)?).await?;
    let claim_id = taken.own()?.claim.spec.id.clone();
    let line = booking::Line {
        home: None,
        service_id: &to.service_id,
        store_id: &to.store_id,
        technician_id: technician.id(),
        claim_id: &claim_id,
        start_at: to.start_at,
        end_at: to.end_at,
        block_start: to.start_at,
        block_end: to.end_at,
        date: to.date,
        assignment: Assignment::Assigned,
        answer_by: None,
        add_ons: None,
        guest: None,
    };
    let order = Some(order_id.clone());
    let confirm = Message::Confirm { claims: taken.claims(), order_id: order, paid: false };
    let mut rows = vec![outbox::Row::new(ctx, confirm)?];
    rows.extend(outbox::releases(ctx, moving::named(&known.claims))?);
    let mut view = order::detail_view(ctx, order_id).await?;
    let by_member = matches!(actor, order::Actor::Member(_));
    view.line_is(&wish.line_id, &line, &technician.1, &[]);
    view.moved(&[&wish.line_id], line.start_at, by_member, false);
    view.seated(&to.id, seats);
    let response = moving::text(view, &actor)?;
    let detail = serde_json::json!({
        "from": known.start_at, "from_session_id": from, "start_at": to.start_at,
        "session_id": to.id,
    });
    let mut statements = vec![
        queries::seats_stand((&to.id, to.version), seats, false, &line, None),
        booking::order_stands(order_id, known.version, false),
    ];
    let line_id = &wish.line_id;
    statements.extend(booking::move_line(line_id, &line));
    statements.push(booking::lines_changed(order_id, ctx.now));
    statements.push(queries::seat(line_id.as_str(), &to.id, seats));
    statements.push(booking::moved(order_id, by_member, false));
    statements.push(booking::line_moved(line_id));
    let event_id = ctx.new_id()?;
    statements
        .push(order::queries::insert_event(&event_id, order_id, ctx.now, "moved", &actor, &detail));
    let appointment = reminder::Appointment {
        order_id,
        start_at: to.start_at,
        zone: offer.store.time_zone,
        leads: &offer.reminder_minutes,
        lines: &[],
    };
    // The technicians have their classes, whoever sits in them.
    let change = Change::Moved { same_technician: true };
    statements.extend(reminder::follow(ctx, change, &appointment, &actor, ctx.now)?);
    let commit = Commit { statements, rows, status: StatusCode::OK, response };
    claim::commit(ctx, &operator, taken.into_held(), commit).await
}
