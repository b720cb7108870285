//! Staff say who does an appointment: whom they can choose from, and the choice, which may be made anew.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::calendar::Refusal;
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::{Event, apply};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::{self, OrderAnswer};
use crate::booking::claim::{Commit, Operator, commit};
use crate::booking::moving::{self, Found, Move};
use crate::booking::queries;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Operation, PathId, Query};
use crate::http::fields::Id;
use crate::http::{Ctx, Json};
use crate::order::{self, Actor};
use crate::reminder;

/// Of which appointment.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Line {
    /// The order's line.
    #[param(inline)]
    line_id: Id,
}

/// Technicians who can do an appointment.
#[derive(Serialize, ToSchema)]
pub struct Candidates {
    /// Those first who are free and whom the store's rule prefers.
    items: Vec<Candidate>,
}

/// A technician who can do it.
#[derive(Serialize, ToSchema)]
pub struct Candidate {
    /// The technician.
    technician_id: Id,
    /// Their name.
    technician_name: String,
    /// Their level.
    level: String,
    /// Whether they are free for it, or have it now.
    free: bool,
    /// Whether its time is held in their calendar now.
    current: bool,
    /// Whether they have declined it.
    declined: bool,
    /// How many appointments they have that day.
    appointments: i64,
}

/// Who can do an appointment
#[utoipa::path(
    get, path = "/api/v1/staff/orders/{id}/candidates", tag = "booking", operation_id = "candidates",
    params(("id" = Id, Path, description = "The order"), Line),
    responses((status = 200, description = "Those who can do it", body = Candidates)),
)]
pub(crate) async fn candidates(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    Query(Line { line_id }): Query<Line>,
) -> Answer<Json<Candidates>> {
    let known = ctx.db()?.first(queries::order_to_move(&order_id, &line_id)).await?;
    let known = moving::found(known)?;
    staff.require(Permission::BookingWrite, &known.store_id)?;
    let Found { known, offer, start, date } = moving::offer_of(&ctx, &line_id, known, None).await?;
    let (ids, _) = book::by_rule(&offer, order_id.as_str(), start, date);
    let item = |id: &Id| {
        let technician = offer.technicians.iter().find(|one| one.id() == id)?;
        let current = *id == known.technician_id;
        Some(Candidate {
            technician_id: id.clone(),
            technician_name: technician.1.clone(),
            level: technician.level().to_owned(),
            free: current || offer.is_free(technician, start),
            current,
            declined: known.declined_by.contains(id),
            appointments: technician.load(date),
        })
    };
    let mut items: Vec<Candidate> = ids.into_iter().filter_map(item).collect();
    items.sort_by_key(|item| !item.free);
    Ok(Json(Candidates { items }))
}

/// Who is to do it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    line_id: Id,
    technician_id: Id,
}

/// Assign an appointment, or assign it anew
///
/// Its time goes to the technician's calendar, or everything stays as it was.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/assign", tag = "booking", operation_id = "assign",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Assign,
    responses((status = 200, description = "Assigned", body = OrderAnswer)),
)]
pub(crate) async fn assign(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Assign>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let Assign { line_id, technician_id } = operation.body;
    let reads = vec![operator.stored(), queries::order_to_move(&order_id, &line_id)];
    let rows = ctx.db()?.read(reads).await?;
    let known = moving::found(rows.first(1)?)?;
    staff.require(Permission::BookingWrite, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if !known.may_change_hands() {
        return Err(Code::OrderNotChangeable.into());
    }
    let next = apply(known.assignment, Event::StaffAssign)
        .map_err(|refusal| Problem::internal(format!("{refusal:?}")))?;
    let actor = Actor::Staff(staff.id);
    if technician_id == known.technician_id {
        // The claims stay where they are.
        let mut view = order::detail_view(&ctx, &order_id).await?;
        view.assigned(&line_id, next);
        let order = (&order_id, known.version);
        let mut statements: Vec<_> =
            queries::set_assignment(order, &line_id, (next, None), false, ctx.now).into();
        let detail = serde_json::json!({ "line_id": line_id, "technician_id": technician_id });
        let event_id = ctx.new_id()?;
        statements.push(order::queries::insert_event(
            &event_id, &order_id, ctx.now, "assigned", &actor, &detail,
        ));
        // Who had it for the time being hears that it is theirs.
        if known.assignment != next {
            let terms = reminder::terms_of(&ctx, &line_id).await?;
            let (change, start_at) = (Change::Reassigned, known.start_at);
            let line = (&order_id, &line_id);
            statements.extend(if known.line.others.is_empty() {
                terms.follow(&ctx, change, &order_id, start_at, &actor)?
            } else {
                terms.follow_line(&ctx, change, line, start_at, &actor)?
            });
        }
        let response = moving::text(view, &actor)?;
        let effect = Commit { statements, rows: Vec::new(), status: StatusCode::OK, response };
        return commit(&ctx, &operator, Vec::new(), effect).await;
    }
    let found = moving::offer_of(&ctx, &line_id, known, Some(&technician_id)).await?;
    if found.offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    let line = found.to(vec![&technician_id], (next, None))?;
    let lines = &[line];
    let assigned =
        Move { order_id: &order_id, lines, actor: &actor, event: "assigned", more: None };
    match assigned.make(&ctx, &operator).await? {
        Ok(answer) => Ok(answer),
        Err(not_held) if not_held.refusal == Refusal::Released => Err(Code::OrderChanged.into()),
        Err(not_held) => {
            let at = (found.start, found.date);
            Err(book::refusal(&ctx, &found.offer, &not_held, at, true).at("technician_id"))
        }
    }
}
