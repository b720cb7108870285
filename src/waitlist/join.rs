//! Joining a waitlist, leaving it, and seeing who is on it.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::time::{DAY_MS, date_at};
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::booking::offer::{self, resolve};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::catalog::Mode;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{At, Id, Instant, Int, Text};
use crate::http::limits::{self, Limiter};
use crate::http::page::{self, Page};
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::outbox::{self, Message};
use crate::session::{SeatCount, find};
use crate::waitlist::queries;

/// Places that a member may wait for at once.
const MAX_WAITS: i64 = 20;
/// The longest range of starts that somebody waits for.
const MAX_RANGE_DAYS: i64 = 14;

/// How many seats to wait for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinSession {
    seats: SeatCount,
}

/// An appointment to wait for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinWaitlist {
    store_id: Id,
    service_id: Id,
    /// Any technician when absent.
    technician_id: Option<Id>,
    /// The earliest start that would do.
    from: Instant,
    /// The latest; at most 14 days later.
    until: Instant,
}

/// Somebody on a waitlist.
#[derive(Serialize, ToSchema)]
pub struct Waiting {
    /// The entry's id.
    id: Id,
    /// Who.
    member_id: Id,
    /// Their name, as far as known.
    member_name: String,
    /// `waiting`, `offered`, `booked`, `expired`, `left`.
    status: String,
    /// Where.
    store_id: Id,
    /// For which service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// For seats in which session; null for an appointment.
    session_id: Option<Id>,
    /// How many seats.
    seats: i64,
    /// For which technician; null for any.
    technician_id: Option<Id>,
    /// The earliest start.
    from: At,
    /// The latest.
    until: At,
    /// What is offered.
    offer: Option<Offer>,
    /// The order that took it.
    order_id: Option<Id>,
    /// When they joined.
    created_at: At,
}

/// A place that is held for somebody who waited.
#[derive(Serialize, ToSchema)]
pub struct Offer {
    /// When it starts.
    start_at: At,
    /// With whom, of an appointment.
    technician_id: Option<Id>,
    /// Until when it is held.
    expires_at: At,
}

/// An entry's row.
#[derive(Deserialize)]
pub struct Row {
    /// Its id.
    pub id: Id,
    /// Who waits.
    pub member_id: Id,
    /// Their name, and the service's.
    names: (String, String),
    /// Where.
    pub store_id: Id,
    time_zone: Zone,
    /// For which service.
    pub service_id: Id,
    /// For seats in which session.
    pub session_id: Option<Id>,
    technician_id: Option<Id>,
    from_at: i64,
    until_at: i64,
    /// How many.
    pub seats: i64,
    /// How far it has come.
    pub status: String,
    /// What is or was offered.
    pub offer: Option<OfferRow>,
    order_id: Option<Id>,
    created_at: i64,
}

/// What is offered.
#[derive(Deserialize)]
pub struct OfferRow {
    /// Claim and calendar of each hold.
    pub held: Vec<(String, String)>,
    /// When the place starts, UTC milliseconds.
    pub start_at: i64,
    /// With whom.
    pub technician_id: Option<Id>,
    expires_at: i64,
}

impl From<Row> for Waiting {
    fn from(row: Row) -> Self {
        let at = |ms| At::new(row.time_zone, ms);
        Self {
            offer: row.offer.filter(|_| row.status == "offered").map(|offer| Offer {
                start_at: at(offer.start_at),
                technician_id: offer.technician_id,
                expires_at: at(offer.expires_at),
            }),
            from: at(row.from_at),
            until: at(row.until_at),
            created_at: at(row.created_at),
            id: row.id,
            member_id: row.member_id,
            member_name: row.names.0,
            status: row.status,
            store_id: row.store_id,
            service_id: row.service_id,
            service_name: row.names.1,
            session_id: row.session_id,
            seats: row.seats,
            technician_id: row.technician_id,
            order_id: row.order_id,
        }
    }
}

/// Wait for seats in a class
///
/// Refused as long as there are such seats and nobody waits for them.
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/waitlist", tag = "classes", operation_id = "join_session_waitlist",
    params(("id" = Id, Path, description = "The session")), request_body = JoinSession,
    responses((status = 201, description = "On the list", body = Waiting)),
)]
pub(crate) async fn join_session(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
    Body(wish): Body<JoinSession>,
) -> Answer<Created<Waiting>> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let session = find::row(&ctx, &id).await?;
    let seats = wish.seats.get();
    session.require_bookable(ctx.now, seats)?;
    if session.left() >= seats && !session.is_waited_for(seats) {
        return Err(Code::PlacesFree.into());
    }
    let entry = queries::Entry {
        id: &ctx.new_id()?,
        member_id: &member.id,
        store_id: &session.store_id,
        service_id: &session.service_id,
        session_id: Some(&session.id),
        technician_id: None,
        from_at: session.start_at,
        until_at: session.start_at,
        seats,
        now: ctx.now,
    };
    add(&ctx, &entry).await.map(Created)
}

/// Wait for an appointment
#[utoipa::path(
    post, path = "/api/v1/waitlist", tag = "booking", operation_id = "join_waitlist",
    request_body = JoinWaitlist,
    responses((status = 201, description = "On the list", body = Waiting)),
)]
pub(crate) async fn join(
    ctx: Ctx,
    member: Member,
    Body(wish): Body<JoinWaitlist>,
) -> Answer<Created<Waiting>> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let today = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
    let asked = Asked::Service {
        service_id: &wish.service_id,
        store_id: &wish.store_id,
        technician_id: wish.technician_id.as_ref(),
        home: false,
    };
    let found: Option<offer::Row> =
        ctx.db()?.first(booking::offer(&asked, today, today, Detail::Starts)).await?;
    let offer = found.ok_or_else(|| Problem::internal("no offer"))?.into_offer()?;
    offer.require_open()?;
    if !offer.service.modes.contains(&Mode::Direct) || !offer.store.ways.offer(Mode::Direct) {
        return Err(Code::ModeNotOffered.into());
    }
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    let zone = offer.store.time_zone;
    let at =
        |instant, field: &str| resolve(zone, instant).map_err(|code| Problem::from(code).at(field));
    let (from, until) = (at(wish.from, "from")?.ms(), at(wish.until, "until")?.ms());
    if until < from || until - from > MAX_RANGE_DAYS * DAY_MS {
        return Err(Problem::from(Code::InvalidRange).at("until"));
    }
    let window = offer.rule(false).notice.window(ctx.now);
    let Some(window) = window else { return Err(Code::StartTooFar.into()) };
    if until < window.start.ms() {
        return Err(Problem::from(Code::StartTooSoon).at("until"));
    }
    if from >= window.end.ms() {
        return Err(Problem::from(Code::StartTooFar).at("from"));
    }
    let entry = queries::Entry {
        id: &ctx.new_id()?,
        member_id: &member.id,
        store_id: &wish.store_id,
        service_id: &wish.service_id,
        session_id: None,
        technician_id: wish.technician_id.as_ref(),
        from_at: from,
        until_at: until,
        seats: 1,
        now: ctx.now,
    };
    add(&ctx, &entry).await.map(Created)
}

async fn add(ctx: &Ctx, entry: &queries::Entry<'_>) -> Answer<Waiting> {
    let db = ctx.db()?;
    let waits: Option<i64> = db.first(queries::waits_of(entry.member_id)).await?;
    if waits.unwrap_or_default() >= MAX_WAITS {
        return Err(Problem::from(Code::TooManyWaits).with(MAX_WAITS));
    }
    db.batch(queries::insert(entry).into()).await?;
    row(ctx, entry.id).await.map(Waiting::from)
}

/// An entry's row.
///
/// # Errors
/// 404.
pub async fn row(ctx: &Ctx, id: &Id) -> Answer<Row> {
    let row: Option<Row> = ctx.db()?.first(queries::entry(id)).await?;
    row.ok_or_else(|| Problem::from(Code::NotFound))
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Own {
    /// Entries in the page; 20 when absent.
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    /// `next_cursor` of the page before.
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

fn page_of(limit: Option<Int<1, 100>>) -> u32 {
    limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(page::DEFAULT_LIMIT)
}

/// What one waits or has waited for
#[utoipa::path(
    get, path = "/api/v1/waitlist", tag = "booking", operation_id = "waitlist", params(Own),
    responses((status = 200, description = "The latest first", body = Page<Waiting>)),
)]
pub(crate) async fn list(
    ctx: Ctx,
    member: Member,
    Query(wanted): Query<Own>,
) -> Answer<Json<Page<Waiting>>> {
    let before: Option<Id> = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let limit = page_of(wanted.limit);
    let statement = queries::of_member(&member.id, before.as_ref().map(Id::as_str), limit);
    let rows: Vec<Row> = ctx.db()?.read(vec![statement]).await?.all(0)?;
    let items = rows.into_iter().map(Waiting::from).collect();
    Ok(Json(Page::of(items, limit, |one: &Waiting| one.id.clone())))
}

/// Who waits where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InStore {
    /// The store.
    #[param(inline)]
    store_id: Id,
    /// For one session.
    #[param(inline)]
    session_id: Option<Id>,
    /// Entries in the page; 20 when absent.
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    /// `next_cursor` of the page before.
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// Who waits, in order
#[utoipa::path(
    get, path = "/api/v1/staff/waitlist", tag = "staff", operation_id = "staff_waitlist", params(InStore),
    responses((status = 200, description = "The first first", body = Page<Waiting>)),
)]
pub(crate) async fn staff_list(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<InStore>,
) -> Answer<Json<Page<Waiting>>> {
    staff.require(Permission::BookingRead, &wanted.store_id)?;
    let after: Option<Id> = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let limit = page_of(wanted.limit);
    let statement = queries::of_store(
        &wanted.store_id,
        wanted.session_id.as_ref(),
        after.as_ref().map(Id::as_str),
        limit,
    );
    let rows: Vec<Row> = ctx.db()?.read(vec![statement]).await?.all(0)?;
    let items = rows.into_iter().map(Waiting::from).collect();
    Ok(Json(Page::of(items, limit, |one: &Waiting| one.id.clone())))
}

/// Wait no longer
///
/// What was offered goes to the next. An entry that has ended is answered as it is.
#[utoipa::path(
    post, path = "/api/v1/waitlist/{id}/leave", tag = "booking", operation_id = "leave_waitlist",
    params(("id" = Id, Path, description = "The entry")),
    responses((status = 200, description = "Off the list", body = Waiting)),
)]
pub(crate) async fn leave(ctx: Ctx, member: Member, PathId(id): PathId) -> Answer<Json<Waiting>> {
    let row = own(&ctx, &member.id, &id).await?;
    let mut statements: Vec<_> = queries::leave(&id, ctx.now).into();
    let mut rows = Vec::new();
    // An offer that is booked meanwhile keeps nothing here: its booking has a claim of its own.
    for (claim_id, calendar) in row.offer.map(|offer| offer.held).unwrap_or_default() {
        let row = outbox::Row::new(&ctx, Message::Release { calendar, claim_id })?;
        statements.push(row.insert(&ctx)?);
        rows.push(row);
    }
    if matches!(row.status.as_str(), "waiting" | "offered") {
        ctx.db()?.batch(statements).await?;
        outbox::deliver_soon(&ctx, rows).await;
    }
    Ok(Json(self::row(&ctx, &id).await?.into()))
}

/// A member's own entry.
///
/// # Errors
/// 404, for somebody else's, too.
async fn own(ctx: &Ctx, member_id: &Id, id: &Id) -> Answer<Row> {
    let row = row(ctx, id).await?;
    if row.member_id == *member_id { Ok(row) } else { Err(Code::NotFound.into()) }
}
