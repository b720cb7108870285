//! One appointment with what is known of its customer: what a technician reads before it, and what they note
//! of it. The notes and preferences are the staff's; no member sees them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::pricing::remaining_fen;
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{At, Id, Int, Note, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::order::view::{LineVisit, LineVisitRow};
use crate::visit::{queries, require};

/// An appointment.
#[derive(Serialize, ToSchema)]
pub struct VisitDetail {
    /// The line's id.
    id: Id,
    /// The order.
    order_id: Id,
    /// Its status.
    status: String,
    /// In which store.
    store_id: Id,
    /// Its name.
    store_name: String,
    /// The service's name.
    service_name: Option<String>,
    /// Who does it.
    technician_id: Id,
    /// From.
    start_at: At,
    /// Until.
    end_at: At,
    /// Who comes, or has booked for a guest.
    customer: Customer,
    /// For whom, when it is somebody else than the one who booked.
    guest: Option<String>,
    /// What remains to be paid at the store, in fen.
    remaining_fen: i64,
    /// When the customer checked in.
    checked_in_at: Option<At>,
    /// How far it has come.
    visit: LineVisit,
    /// Where the technician set out.
    departed_from: Option<MapPoint>,
    /// Where they arrived.
    arrived_at: Option<MapPoint>,
    /// What was noted of it.
    visit_note: String,
}

/// A place that was told.
#[derive(Serialize, ToSchema)]
pub struct MapPoint {
    /// WGS 84.
    latitude: f64,
    /// WGS 84.
    longitude: f64,
}

/// Who comes.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// Their name, as far as known.
    name: String,
    /// Their phone, as far as known.
    phone: String,
    /// What they wish this time.
    note: String,
    /// The member, when they are one; all below is of members alone.
    member_id: Option<Id>,
    /// Visits that were completed.
    visits: i64,
    /// Appointments that they missed.
    no_shows: Option<i64>,
    /// What staff keep of their preferences.
    preferences: Option<String>,
    /// For changing them; 0 when there are none.
    preferences_version: i64,
}

#[derive(Deserialize)]
struct Row {
    id: Id,
    order_id: Id,
    status: String,
    store: StoreRow,
    service_name: Option<String>,
    technician_id: Id,
    start_at: i64,
    end_at: i64,
    customer: Customer,
    guest: Option<String>,
    total_fen: i64,
    paid_fen: i64,
    checked_in_at: Option<i64>,
    visit: LineVisitRow,
    /// Where the technician set out, and where they arrived.
    places: (PointRow, PointRow),
    visit_note: String,
}

type PointRow = (Option<f64>, Option<f64>);

#[derive(Deserialize)]
struct StoreRow {
    id: Id,
    name: String,
    time_zone: Zone,
}

fn place((latitude, longitude): PointRow) -> Option<MapPoint> {
    Some(MapPoint { latitude: latitude?, longitude: longitude? })
}

impl Row {
    fn into_detail(self) -> VisitDetail {
        let zone = self.store.time_zone;
        let comes = !matches!(self.status.as_str(), "cancelled" | "closed" | "no_show");
        VisitDetail {
            id: self.id,
            order_id: self.order_id,
            status: self.status,
            store_id: self.store.id,
            store_name: self.store.name,
            service_name: self.service_name,
            technician_id: self.technician_id,
            start_at: At::new(zone, self.start_at),
            end_at: At::new(zone, self.end_at),
            customer: self.customer,
            guest: self.guest,
            remaining_fen: if comes { remaining_fen(self.total_fen, self.paid_fen) } else { 0 },
            checked_in_at: self.checked_in_at.map(|at| At::new(zone, at)),
            visit: self.visit.into_view(zone),
            departed_from: place(self.places.0),
            arrived_at: place(self.places.1),
            visit_note: self.visit_note,
        }
    }
}

/// An appointment with its customer
#[utoipa::path(
    get, path = "/api/v1/staff/appointments/{id}", tag = "visits", operation_id = "appointment",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    responses((status = 200, description = "The appointment", body = VisitDetail)),
)]
pub(crate) async fn read(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<VisitDetail>> {
    let row: Option<Row> = ctx.db()?.first(queries::appointment(&id)).await?;
    let row = row.ok_or_else(|| Problem::from(Code::NotFound))?;
    require(&staff, &row.store.id, [&row.technician_id])?;
    Ok(Json(row.into_detail()))
}

#[derive(Deserialize)]
struct Whose {
    store: Id,
    technician: Id,
    order: Id,
    member: Option<Id>,
}

/// The line, if the caller may keep it.
async fn keeps(ctx: &Ctx, staff: &Staff, id: &Id) -> Answer<Whose> {
    let whose: Option<Whose> = ctx.db()?.first(queries::whose(id)).await?;
    let whose = whose.ok_or_else(|| Problem::from(Code::NotFound))?;
    require(staff, &whose.store, [&whose.technician])?;
    Ok(whose)
}

/// Which page of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WantedHistory {
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// A visit of the past.
#[derive(Serialize, ToSchema)]
pub struct PastVisit {
    /// The order.
    order_id: Id,
    /// Its status.
    status: String,
    /// In which store.
    store_name: String,
    /// When it began.
    start_at: At,
    /// What the customer wished.
    note: String,
    /// What was done.
    lines: Vec<PastLine>,
    #[serde(skip)]
    key: (i64, Id),
}

/// What was done in a visit.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PastLine {
    /// The service's name.
    service_name: Option<String>,
    /// The technician's name.
    technician_name: Option<String>,
    /// What was noted of it.
    visit_note: String,
}

#[derive(Deserialize)]
struct PastRow {
    order_id: Id,
    status: String,
    store_name: String,
    time_zone: Zone,
    start_at: i64,
    note: String,
    lines: Vec<PastLine>,
}

/// What an appointment's customer had before
///
/// Their visits at the merchant, the latest first; none of somebody who is no member.
#[utoipa::path(
    get, path = "/api/v1/staff/appointments/{id}/history", tag = "visits", operation_id = "appointment_history",
    params(("id" = Id, Path, description = "The appointment: the order's line"), WantedHistory),
    responses((status = 200, description = "A page", body = Page<PastVisit>)),
)]
pub(crate) async fn history(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Query(wanted): Query<WantedHistory>,
) -> Answer<Json<Page<PastVisit>>> {
    let whose = keeps(&ctx, &staff, &id).await?;
    let after: Option<(i64, String)> = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let limit = wanted.limit.and_then(|limit| u32::try_from(limit.get()).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let rows: Vec<PastRow> = match &whose.member {
        None => Vec::new(),
        Some(member_id) => {
            let but = &whose.order;
            let statement = queries::history(member_id, but, ctx.now, after.as_ref(), limit);
            ctx.db()?.read(vec![statement]).await?.all(0)?
        }
    };
    let items = rows.into_iter().map(|row| PastVisit {
        key: (row.start_at, row.order_id.clone()),
        order_id: row.order_id,
        status: row.status,
        store_name: row.store_name,
        start_at: At::new(row.time_zone, row.start_at),
        note: row.note,
        lines: row.lines,
    });
    Ok(Json(Page::of(items.collect(), limit, |item: &PastVisit| item.key.clone())))
}

/// What is noted of a visit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitNote {
    note: Note,
}

/// Note something of a visit
///
/// In place of what was noted of it. Only staff see it.
#[utoipa::path(
    put, path = "/api/v1/staff/appointments/{id}/note", tag = "visits", operation_id = "put_visit_note",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    request_body = VisitNote, responses((status = 204, description = "Noted")),
)]
pub(crate) async fn put_note(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<VisitNote>,
) -> Answer<http::StatusCode> {
    keeps(&ctx, &staff, &id).await?;
    ctx.db()?.batch(vec![queries::put_note(&id, body.note.as_str())]).await?;
    Ok(http::StatusCode::NO_CONTENT)
}

/// A member's preferences.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPreferences {
    /// What staff should know.
    text: Note,
    /// The version that is changed; 0 when there is none.
    version: Int<0, 1_000_000_000>,
}

/// A member's preferences.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Preferences {
    /// What staff should know.
    text: String,
    /// For changes.
    version: i64,
}

/// Keep what an appointment's customer prefers
///
/// For every visit of this member. Only staff see it.
#[utoipa::path(
    put, path = "/api/v1/staff/appointments/{id}/preferences", tag = "visits", operation_id = "put_preferences",
    params(("id" = Id, Path, description = "The appointment: the order's line")),
    request_body = NewPreferences,
    responses((status = 200, description = "Kept", body = Preferences)),
)]
pub(crate) async fn put_preferences(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<NewPreferences>,
) -> Answer<Json<Preferences>> {
    let whose = keeps(&ctx, &staff, &id).await?;
    let member_id = whose.member.ok_or_else(|| Problem::from(Code::UnknownMember))?;
    let (text, version) = (body.text.as_str(), body.version.get());
    let statements = queries::put_preferences(&member_id, text, version, &staff.id, ctx.now);
    let rows = ctx.db()?.batch(statements.into()).await?;
    if let Some(kept) = rows.first(0)? {
        return Ok(Json(kept));
    }
    let current: Option<Preferences> = rows.first(1)?;
    let current = serde_json::to_value(current).map_err(Problem::internal)?;
    Err(Problem::from(Code::StaleVersion).at("version").and("current", current))
}
