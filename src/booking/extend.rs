//! Lengthening an appointment by add-ons, while it goes on or before (加钟).
//!
//! The line's claims are replaced by longer ones, as in a move to where it is: with its technician, in its
//! room. When what comes next leaves no time, nothing has changed.

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::order::Status;
use zhundian_domain::time::Tick;

use crate::auth::caller::Staff;
use crate::booking::answer::require;
use crate::booking::book::{AddOnIds, OrderAnswer};
use crate::booking::claim::{Need, Operator};
use crate::booking::moving::{self, LineMove, Move, OwnClaim, ToMove};
use crate::booking::queries;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Int};
use crate::order::Actor;

/// What an appointment gets besides.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    line_id: Id,
    /// Add-ons of its service, at least one.
    add_ons: AddOnIds,
    /// The order's version that was looked at: an order that has changed since is not lengthened.
    version: Option<Int<1, 1_000_000_000>>,
}

/// Lengthen an appointment by add-ons
///
/// Before it or while it goes on; the price grows by theirs. Refused when its technician, its room or its
/// guest is taken next.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/extend", tag = "booking", operation_id = "extend_order",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Extend,
    responses((status = 200, description = "Lengthened", body = OrderAnswer)),
)]
pub(crate) async fn extend(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Extend>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let Extend { line_id, add_ons, version } = operation.body;
    let reads = vec![operator.stored(), queries::order_to_move(&order_id, &line_id)];
    let rows = ctx.db()?.read(reads).await?;
    let known = moving::found(rows.first(1)?)?;
    require(&staff, &known.technician_id, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if add_ons.0.is_empty() {
        return Err(Problem::from(Code::OutOfRange).with("1..10").at("add_ons"));
    }
    if version.is_some_and(|version| version.get() != known.version) {
        return Err(Code::OrderChanged.into());
    }
    let under_way = matches!(known.status, Status::Confirmed | Status::InService);
    if !under_way || known.line.finished_at.is_some() || known.class.0.is_some() {
        return Err(Code::OrderNotChangeable.into());
    }
    let technician_id = known.technician_id.clone();
    let mut found = moving::offer_of(&ctx, &line_id, known, Some(&technician_id)).await?;
    if found.offer.technicians.is_empty() {
        return Err(Code::TechnicianNotOffered.into());
    }
    let before = found.offer.add_ons().len();
    found.offer.add(&add_ons.0)?;
    let (known, offer) = (&found.known, &found.offer);
    let more = offer.add_ons().get(before..).unwrap_or_default();
    let cannot = || Problem::from(Code::CannotExtend).at("add_ons");
    let (service, _) = offer.shape().at(found.start).ok_or_else(cannot)?;
    let open = offer.rule(true).opening.ticks(service).ones().count();
    if open as i64 != service.ticks() || guest_is_taken(known, service.end.ms()) {
        return Err(cannot());
    }
    let mut needs = moving::needs(known, offer, (vec![&technician_id], 1), found.start)?;
    let mut own = moving::named(&known.claims);
    for need in &mut needs {
        stay(need, &mut own, &known.claims);
    }
    let assignment = (known.assignment, None);
    let lines = &[LineMove { known, offer, needs, date: found.date, assignment }];
    let actor = &Actor::Staff(staff.id);
    let order_id = &order_id;
    let extended = Move { order_id, lines, actor, event: "extended", more: Some(more) };
    match extended.make(&ctx, &operator).await? {
        Ok(answer) => Ok(answer),
        Err(not_held) if not_held.refusal == Refusal::Released => Err(Code::OrderChanged.into()),
        Err(_) => Err(cannot()),
    }
}

/// Who is served stays where they are. A need begins when what it takes the place of does: a visit's lines may
/// lie closer to each other than either would to a stranger's.
fn stay(need: &mut Need, own: &mut Vec<(String, String)>, claims: &[OwnClaim]) {
    if !need.take_over(own) {
        return;
    }
    let of = claims.iter().filter(|(_, id, ..)| need.replaces.iter().any(|(_, its)| its == id));
    let from = of.map(|(_, _, from, _)| *from).min().and_then(Tick::from_ms);
    if let (Some(from), Some((_, block))) = (from, need.parts.first_mut()) {
        block.start = from;
    }
}

/// Whether another line of the visit is for the same guest and begins after this one, before it would end.
fn guest_is_taken(known: &ToMove, end: i64) -> bool {
    let mut others = known.line.others.iter();
    others.any(|(from, _, guest)| {
        *guest == known.line.guest && *from >= known.line.end_at && *from < end
    })
}
