//! How far a visit has come: the technician sets out, arrives, starts, finishes. Said once, a mark stays;
//! saying it again changes nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::order::{Event, Refusal, Status, apply};
use zhundian_domain::pricing::remaining_fen;

use crate::auth::caller::Staff;
use crate::booking::book::OrderAnswer;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId};
use crate::http::fields::{Degrees, Id, List};
use crate::http::{Ctx, Json};
use crate::order::{self, Actor, refused};
use crate::visit::{queries, require};

/// Photos of one visit.
type Photos = List<Id, 9>;

/// A point on the map, WGS 84.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// WGS 84.
    pub latitude: Degrees<90>,
    /// WGS 84.
    pub longitude: Degrees<180>,
}

/// Where the technician is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Whereabouts {
    /// As their telephone says; the customer does not see it.
    place: Option<Point>,
}

/// What a visit ends with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// Ids of photos of what was done; the customer sees them.
    #[serde(default)]
    photos: Photos,
}

#[derive(Deserialize)]
struct Known {
    order_id: Id,
    store_id: Id,
    technician_id: Id,
    live: bool,
    status: Status,
    version: i64,
    start_at: i64,
    departed_at: Option<i64>,
    arrived_at: Option<i64>,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    /// Whether another line of the order is not finished.
    others_unfinished: bool,
    total_fen: i64,
    paid_fen: i64,
}

enum Mark {
    Departed(Option<Point>),
    Arrived(Option<Point>),
    Started,
    Finished(Vec<Id>),
}

impl Mark {
    const fn of(&self, known: &Known) -> Option<i64> {
        match self {
            Self::Departed(_) => known.departed_at,
            Self::Arrived(_) => known.arrived_at,
            Self::Started => known.started_at,
            Self::Finished(_) => known.finished_at,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Departed(_) => "departed",
            Self::Arrived(_) => "arrived",
            Self::Started => "started",
            Self::Finished(_) => "finished",
        }
    }
}

/// Set out for an appointment
#[utoipa::path(
    post, path = "/api/v1/staff/appointments/{id}/depart", tag = "visits", operation_id = "depart",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    request_body = Whereabouts,
    responses((status = 200, description = "Noted", body = OrderAnswer)),
)]
pub(crate) async fn depart(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<Whereabouts>,
) -> Answer<Json<OrderAnswer>> {
    mark(&ctx, staff, &id, Mark::Departed(body.place)).await
}

/// Arrive at an appointment
#[utoipa::path(
    post, path = "/api/v1/staff/appointments/{id}/arrive", tag = "visits", operation_id = "arrive",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    request_body = Whereabouts,
    responses((status = 200, description = "Noted", body = OrderAnswer)),
)]
pub(crate) async fn arrive(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<Whereabouts>,
) -> Answer<Json<OrderAnswer>> {
    mark(&ctx, staff, &id, Mark::Arrived(body.place)).await
}

/// Start an appointment
///
/// A customer who is served is there: they are checked in by that.
#[utoipa::path(
    post, path = "/api/v1/staff/appointments/{id}/start", tag = "visits", operation_id = "start",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    responses((status = 200, description = "Started", body = OrderAnswer)),
)]
pub(crate) async fn start(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<OrderAnswer>> {
    mark(&ctx, staff, &id, Mark::Started).await
}

/// Finish an appointment
///
/// With its last line the order is completed when nothing remains to be paid; otherwise it waits for
/// the counter, which completes it by taking the rest.
#[utoipa::path(
    post, path = "/api/v1/staff/appointments/{id}/finish", tag = "visits", operation_id = "finish",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    request_body = Finish,
    responses((status = 200, description = "Finished", body = OrderAnswer)),
)]
pub(crate) async fn finish(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<Finish>,
) -> Answer<Json<OrderAnswer>> {
    mark(&ctx, staff, &id, Mark::Finished(body.photos.0)).await
}

/// What becomes of the order, and whether its time is over with something due.
fn next(now: i64, known: &Known, mark: &Mark) -> Result<(Status, bool), Refusal> {
    let start_at = known.start_at;
    match mark {
        Mark::Departed(_) | Mark::Arrived(_) => {
            apply(known.status, Event::Attended { now, start_at }).map(|status| (status, false))
        }
        Mark::Started => {
            apply(known.status, Event::Started { now, start_at }).map(|status| (status, false))
        }
        Mark::Finished(_) => {
            // Whoever forgot to say that it began says so with its end, which is not before the start.
            if known.started_at.is_none() && now < start_at {
                return Err(Refusal::TooEarly);
            }
            let status = apply(known.status, Event::Started { now, start_at })?;
            if known.others_unfinished {
                return Ok((status, false));
            }
            let remaining_fen = remaining_fen(known.total_fen, known.paid_fen);
            match apply(status, Event::Completed { remaining_fen }) {
                Err(Refusal::BalanceDue) => Ok((status, true)),
                done => done.map(|status| (status, false)),
            }
        }
    }
}

/// Of a visit of several lines each technician marks their own, perhaps at the same moment: whether one is
/// the last is decided anew then.
async fn mark(ctx: &Ctx, staff: Staff, line_id: &Id, mark: Mark) -> Answer<Json<OrderAnswer>> {
    let order_id = order::anew(|| mark_once(ctx, &staff, line_id, &mark)).await?;
    Ok(Json(OrderAnswer { order: order::detail_view(ctx, &order_id).await? }))
}

/// Answers the order.
async fn mark_once(ctx: &Ctx, staff: &Staff, line_id: &Id, mark: &Mark) -> Answer<Id> {
    let known: Option<Known> = ctx.db()?.first(queries::to_keep(line_id)).await?;
    let known = known.ok_or_else(|| Problem::from(Code::NotFound))?;
    require(staff, &known.store_id, [&known.technician_id])?;
    if mark.of(&known).is_none() {
        if !known.live {
            return Err(Code::OrderNotChangeable.into());
        }
        let next = next(ctx.now, &known, mark).map_err(refused)?;
        write(ctx, &Actor::Staff(staff.id.clone()), line_id, &known, mark, next).await?;
    }
    Ok(known.order_id)
}

async fn write(
    ctx: &Ctx,
    actor: &Actor,
    line_id: &Id,
    known: &Known,
    mark: &Mark,
    (status, ended): (Status, bool),
) -> Answer<()> {
    let (order_id, now) = (&known.order_id, ctx.now);
    let mut statements = vec![queries::unchanged(order_id, known.version)];
    let point =
        |place: &Option<Point>| place.map(|point| (point.latitude.get(), point.longitude.get()));
    match mark {
        Mark::Departed(place) => statements.push(queries::departed(line_id, point(place), now)),
        Mark::Arrived(place) => statements.push(queries::arrived(line_id, point(place), now)),
        Mark::Started => statements.push(queries::started(line_id, now)),
        Mark::Finished(photos) => {
            let photos = serde_json::to_string(photos).map_err(Problem::internal)?;
            statements.push(queries::photos_exist(&photos));
            statements.push(queries::finished(line_id, now));
            statements.push(queries::keep_photos(line_id, &photos));
        }
    }
    if matches!(mark, Mark::Started | Mark::Finished(_)) {
        statements.push(queries::served(order_id, status.as_str(), ended, now));
    }
    let detail = serde_json::json!({ "line_id": line_id, "status": status });
    let event_id = ctx.new_id()?;
    let kind = mark.kind();
    statements.push(order::queries::insert_event(&event_id, order_id, now, kind, actor, &detail));
    ctx.db()?.batch(statements).await.map_err(|error| {
        let problem = Problem::from(error);
        if problem.code() == Code::UnknownPhoto { problem.at("photos") } else { problem }
    })?;
    Ok(())
}
