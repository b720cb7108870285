//! Staff propose service, technician and time. The time is held until the customer's deadline, and a little
//! longer, so that an answer in the last moment still finds it.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::order::Status;
use zhundian_domain::reminder::Kind;
use zhundian_domain::staffing::{Assignment, answer_by};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::{self, OrderAnswer, dates_around, line};
use crate::booking::claim::{self, Commit, Operator, Terms};
use crate::booking::offer::{Offer, Row};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::catalog::Mode;
use crate::error::{Answer, Code, Problem};
use crate::express::{ExpressState, Known, Proposal, queries};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Instant};
use crate::order::{self, Actor};
use crate::reminder::{self, Notice};

/// A proposal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    service_id: Id,
    /// Who is free and comes first by the store's rule when absent.
    technician_id: Option<Id>,
    start_at: Instant,
}

/// Make a proposal for an express order
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/proposal", tag = "booking", operation_id = "propose",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Propose,
    responses((status = 200, description = "Proposed", body = OrderAnswer)),
)]
pub(crate) async fn propose(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Propose>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let Propose { service_id, technician_id, start_at } = operation.body;
    let db = ctx.db()?;
    let rows = db.read(vec![operator.stored(), queries::known(&order_id)]).await?;
    let known: Known = rows.first(1)?.ok_or_else(|| Problem::from(Code::NotFound))?;
    staff.require(Permission::BookingWrite, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if known.status != Status::Confirmed || known.state != ExpressState::Waiting {
        return Err(Code::OrderNotChangeable.into());
    }
    if known.due_at.is_none_or(|due_at| due_at <= ctx.now) {
        return Err(Code::AnswerTooLate.into());
    }
    let (from, until) = dates_around(start_at);
    let asked = Asked::Service {
        service_id: &service_id,
        store_id: &known.store_id,
        technician_id: technician_id.as_ref(),
        home: false,
    };
    let row: Option<Row> =
        db.first(booking::offer(&asked, from, until, Detail::NamesAndLoads)).await?;
    let offer = row.ok_or_else(|| Problem::internal("no offer row"))?.into_offer()?;
    check(&offer)?;
    let (start, date) = offer.start(ctx.now, start_at, true)?;
    if !(known.from_at..known.until_at).contains(&start.ms()) {
        return Err(Problem::from(Code::OutsideWish).at("start_at"));
    }

    let due_at = answer_by(ctx.now, known.answer_minutes, start.ms());
    let op = operator.op();
    let needs = book::needs(&offer, &op, start, date, technician_id.is_some())?;
    let hold_ms = due_at - ctx.now + claim::HOLD_MS;
    let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms };
    let taken = match claim::hold_all(&ctx, terms, &needs).await? {
        Ok(taken) => taken,
        Err(not_held) => return Err(book::refusal(&ctx, &offer, &not_held, (start, date), true)),
    };
    let technician = offer.attending(&taken.own()?.calendar)?;
    let spec = taken.own()?.claim.spec.clone();
    let line = line(&offer, technician.id(), &spec, date, (Assignment::Assigned, None));
    let price = offer.price(technician);
    let proposal = Proposal {
        service_id: offer.service.id.clone(),
        service_name: offer.service.name.clone(),
        technician_id: technician.id().clone(),
        technician_name: technician.1.clone(),
        start_at: line.start_at,
        end_at: line.end_at,
        date: line.date,
        total_fen: price.total_fen,
        parts: price.parts,
        cancellation: offer.service.cancellation(),
        change_notice_minutes: offer.service.change_notice_minutes,
        max_moves: offer.service.max_moves,
        max_per_day: offer.service.max_per_day,
        resources: taken.resources(&offer),
        claims: taken.claims(),
    };
    let json = serde_json::to_string(&proposal).map_err(Problem::internal)?;
    let stands = booking::appointment_stands(&line, &spec.id, offer.service.max_per_day, None);
    let mut statements = vec![stands];
    statements.extend(queries::set_state(
        &order_id,
        known.version,
        "proposed",
        Some(due_at),
        Some(&json),
    ));
    statements.push(queries::touch(&order_id, ctx.now));
    let detail = serde_json::json!({
        "service_id": proposal.service_id, "technician_id": proposal.technician_id,
        "start_at": proposal.start_at, "answer_by": due_at,
    });
    let (event_id, actor) = (ctx.new_id()?, Actor::Staff(staff.id));
    statements.push(order::queries::insert_event(
        &event_id, &order_id, ctx.now, "proposed", &actor, &detail,
    ));
    let notice = Notice {
        kind: Kind::Proposal,
        subject: order_id.as_str(),
        order_id: Some(&order_id),
        member_id: None,
        store_id: &known.store_id,
        service_id: Some(&proposal.service_id),
        technician_id: Some(&proposal.technician_id),
        start_at: Some(proposal.start_at),
        lead_minutes: 0,
        occasion: known.version,
        due_at: ctx.now,
        expires_at: due_at,
    };
    statements.extend(reminder::enqueue(&ctx, &notice));
    let mut view = order::detail_view(&ctx, &order_id).await?;
    view.proposed(&proposal, due_at);
    let response =
        serde_json::to_string(&OrderAnswer { order: view }).map_err(Problem::internal)?;
    let commit = Commit { statements, rows: Vec::new(), status: StatusCode::OK, response };
    claim::commit(&ctx, &operator, taken.into_held(), commit).await
}

fn check(offer: &Offer) -> Answer<()> {
    offer.require_open()?;
    if !offer.service.modes.contains(&Mode::Express) {
        return Err(Problem::from(Code::ModeNotOffered).at("service_id"));
    }
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    Ok(())
}
