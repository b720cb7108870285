//! Moving an appointment, to another time or another technician.
//!
//! The new time is held beside the old one; the commit moves the line from one claim to the other, and
//! the confirm that follows releases the old claim in the same step as it confirms the new one. A move
//! that fails anywhere leaves the old time as it was: its hold is given back or expires.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::time::Tick;

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::book::{self, OrderAnswer, dates_around, line};
use crate::booking::claim::{self, Commit, Need, Operator, Terms};
use crate::booking::offer::{Offer, Row};
use crate::booking::queries::{self, Asked, Detail};
use crate::booking::visit::VisitAddress;
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Instant, Int};
use crate::http::limits::{self, Limiter};
use crate::order::{self, refused};
use crate::outbox::{self, Message};

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

enum Mover {
    Member(TokenMember),
    Staff(Staff),
}

#[derive(Deserialize)]
struct ToMove {
    member_id: Option<Id>,
    store_id: Id,
    status: Status,
    version: i64,
    change_notice_minutes: i64,
    technician_id: Id,
    start_at: i64,
    moves: i64,
    max_moves: Option<i64>,
    /// Calendar and id of each, the line's own first in its calendar.
    claims: Vec<(String, String)>,
    /// Where, when not in the store.
    address: Option<VisitAddress>,
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
        queries::offer(&asked, from, until, Detail::Names),
    ];
    let by_staff = matches!(mover, Mover::Staff(_));
    if let Mover::Member(member) = &mover {
        reads.push(member.check());
    }
    let rows = db.read(reads).await?;
    let known: Option<ToMove> = rows.first(1)?;
    let found = || known.ok_or_else(|| Problem::from(Code::NotFound));
    let (actor, known) = match mover {
        Mover::Member(member) => {
            let id = member.checked(&rows, 3)?.id;
            let known = found()?;
            // Somebody else's order is as if it were not there.
            if known.member_id.as_ref() != Some(&id) {
                return Err(Code::NotFound.into());
            }
            (order::Actor::Member(id), known)
        }
        Mover::Staff(staff) => {
            let known = found()?;
            staff.require(Permission::BookingWrite, &known.store_id)?;
            (order::Actor::Staff(staff.id), known)
        }
    };
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if wish.version.is_some_and(|version| version.get() != known.version) {
        return Err(Code::OrderChanged.into());
    }
    let notice_minutes = known.change_notice_minutes;
    let event = match actor {
        order::Actor::Member(_) => {
            let ToMove { start_at, moves, max_moves, .. } = known;
            Event::MovedByMember { now: ctx.now, start_at, notice_minutes, moves, max_moves }
        }
        _ => Event::MovedByStaff,
    };
    apply(known.status, event).map_err(refused)?;
    let mut offer = rows.one::<Row>(2)?.into_offer()?;
    offer.require_open()?;
    let Some(technician) = offer.technicians.first() else {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    };
    let technician_id = technician.id().clone();
    if let Some(address) = &known.address {
        offer.visit(address.point()?, false)?;
    }
    let technician = offer.attending(&calendars::technician(&technician_id))?;
    let (start, date) = offer.start(ctx.now, wish.start_at, by_staff)?;
    let same_technician = *technician.id() == known.technician_id;
    if same_technician && start.ms() == known.start_at {
        let response = text(order::detail_view(ctx, order_id).await?)?;
        return claim::commit_nothing(ctx, &operator, StatusCode::OK, response).await;
    }

    let op = operator.op();
    let needs = needs(&offer, &known, technician.id(), start)?;
    let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms: claim::HOLD_MS };
    let taken = match claim::hold_all(ctx, terms, &needs).await? {
        Ok(taken) => taken,
        // What it should replace is gone: somebody else has moved or cancelled it.
        Err(not_held) if not_held.refusal == Refusal::Released => {
            return Err(Code::OrderChanged.into());
        }
        Err(not_held) => {
            return Err(book::refusal(ctx, &offer, &not_held, (start, date), by_staff));
        }
    };

    let spec = taken.own()?.claim.spec.clone();
    let to = line(&offer, technician.id(), &spec, date);
    let claims = taken.claims();
    // The confirm releases the claims that its own replace. A hold of an earlier run of this operation
    // may replace one that the order has left since.
    let replaced: Vec<_> = claims.iter().filter_map(|one| one.spec.replaces.clone()).collect();
    let left = known.claims.iter().filter(|(_, id)| !replaced.contains(id)).cloned().collect();
    let order = Some(order_id.clone());
    let confirm = Message::Confirm { claims, order_id: order, paid: false };
    let mut rows = vec![outbox::Row::new(ctx, confirm)?];
    rows.extend(outbox::releases(ctx, left)?);
    let mut view = order::detail_view(ctx, order_id).await?;
    let resources = taken.resources(&offer);
    let zone = offer.store.time_zone;
    view.moved(&wish.line_id, &to, &technician.1, &resources, zone, !by_staff);
    let response = text(view)?;
    let detail = serde_json::json!({
        "from": known.start_at, "from_technician_id": known.technician_id,
        "start_at": to.start_at, "technician_id": to.technician_id,
    });
    let mut statements = vec![queries::appointment_stands(
        &to,
        wish.line_id.as_str(),
        offer.service.max_per_day,
        None,
    )];
    statements.extend(queries::move_line(order_id, known.version, &wish.line_id, &to, ctx.now));
    statements.extend(taken.insert_besides(order_id, wish.line_id.as_str(), to.store_id)?);
    statements.extend(queries::moved(order_id, &wish.line_id, !by_staff));
    let event_id = ctx.new_id()?;
    statements
        .push(order::queries::insert_event(&event_id, order_id, ctx.now, "moved", &actor, &detail));
    let commit = Commit { statements, rows, status: StatusCode::OK, response };
    claim::commit(ctx, &operator, taken.into_held(), commit).await
}

/// What the new time needs, in place of what the line has in the same calendars.
fn needs(offer: &Offer, known: &ToMove, technician_id: &Id, start: Tick) -> Answer<Vec<Need>> {
    let shape = offer.shape();
    let intervals = shape.at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
    let mut technician =
        Need::of(vec![calendars::technician(technician_id)], shape.attended(start));
    technician.homes = offer.homes();
    let mut needs = vec![technician];
    needs.extend(book::pool_needs(offer, start, intervals));
    for need in &mut needs {
        // The room that it has now, first: it counts as taken by itself.
        let own = |calendar: &String| known.claims.iter().any(|(of, _)| of == calendar);
        if let Some(at) = need.calendars.iter().position(own) {
            let calendar = need.calendars.remove(at);
            need.calendars.insert(0, calendar);
            need.tries += 1;
        }
        if let Some(calendar) = need.calendars.first() {
            let of = known.claims.iter().filter(|(of, _)| of == calendar);
            need.replaces = Some((calendar.clone(), of.map(|(_, id)| id.clone()).collect()));
        }
    }
    Ok(needs)
}

fn text(order: order::view::Order) -> Answer<String> {
    serde_json::to_string(&OrderAnswer { order }).map_err(Problem::internal)
}
