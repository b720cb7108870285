//! Classes as customers and staff see them: one D1 query, with the seats left.

use chrono::Days;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::pricing::price;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{PathId, Query};
use crate::http::fields::{At, Date, Id, Int, Text};
use crate::http::page::{self, Page};
use crate::http::{Ctx, Json};
use crate::order;
use crate::order::view::Resource;
use crate::session::{Counts, Row, SessionStatus, queries};

/// A session of a class.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// Its id.
    id: Id,
    /// Where.
    store_id: Id,
    /// The service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// Who holds it.
    technician_id: Id,
    /// Their name.
    technician_name: String,
    /// In which room, when it has one.
    room: Option<Resource>,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// Seats.
    capacity: i64,
    /// Seats that can be booked.
    seats_left: i64,
    /// Of one seat, in fen.
    price_fen: i64,
    /// Whether it takes place.
    status: SessionStatus,
    #[serde(skip)]
    key: (i64, Id),
}

/// A session with what staff see of it.
#[derive(Serialize, ToSchema)]
pub struct ManagedSession {
    /// The session.
    session: Session,
    /// Seats booked.
    booked: i64,
    /// Seats offered to those who waited.
    offered: i64,
    /// How many wait.
    waiting: i64,
    /// Grows with every change of the session's own.
    version: i64,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        let zone = row.time_zone;
        Self {
            key: (row.start_at, row.id.clone()),
            seats_left: row.left(),
            price_fen: price(row.price.0, &row.price.1, &row.price.2).total_fen,
            room: row.room.map(|room| Resource { id: room.id, name: room.name }),
            id: row.id,
            store_id: row.store_id,
            service_id: row.service_id,
            service_name: row.names.0,
            technician_id: row.technician_id,
            technician_name: row.names.1,
            start_at: At::new(zone, row.start_at),
            end_at: At::new(zone, row.end_at),
            capacity: row.capacity,
            status: row.status,
        }
    }
}

impl From<Row> for ManagedSession {
    fn from(row: Row) -> Self {
        let (Counts { booked, offered, waiting, .. }, version) = (row.seats, row.version);
        Self { session: row.into(), booked, offered, waiting, version }
    }
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The store.
    #[param(inline)]
    store_id: Id,
    /// Of one service.
    #[param(inline)]
    service_id: Option<Id>,
    /// Of one technician.
    #[param(inline)]
    technician_id: Option<Id>,
    /// First date, on the store's clock.
    #[param(inline)]
    from: Date,
    /// How many dates.
    #[param(inline)]
    days: Int<1, 31>,
    /// Sessions in the page.
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    /// `next_cursor` of the page before.
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

async fn rows(ctx: &Ctx, wanted: &Wanted, public: bool) -> Answer<(Vec<Row>, u32)> {
    let days = u64::try_from(wanted.days.get()).unwrap_or(1);
    let until = wanted.from.0.checked_add_days(Days::new(days));
    let limit = wanted.limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(100);
    let filter = queries::Filter {
        store_id: &wanted.store_id,
        service_id: wanted.service_id.as_ref(),
        technician_id: wanted.technician_id.as_ref(),
        from: wanted.from.0,
        until: until.ok_or_else(|| Problem::from(Code::InvalidDate).at("from"))?,
        public,
        after: page::decode(wanted.cursor.as_ref().map(Text::as_str))?,
        limit,
    };
    let reads = vec![order::queries::store_zone(&wanted.store_id), queries::list(ctx.now, &filter)];
    let rows = ctx.db()?.read(reads).await?;
    if rows.text(0).is_none() {
        return Err(Problem::from(Code::UnknownStore).at("store_id"));
    }
    Ok((rows.all(1)?, limit))
}

/// A store's timetable
///
/// Sessions that take place and have not begun, by start.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "classes", operation_id = "sessions", params(Wanted),
    responses((status = 200, description = "A page", body = Page<Session>)),
)]
pub(crate) async fn list(ctx: Ctx, Query(wanted): Query<Wanted>) -> Answer<Json<Page<Session>>> {
    let (rows, limit) = rows(&ctx, &wanted, true).await?;
    let items = rows.into_iter().map(Session::from).collect();
    Ok(Json(Page::of(items, limit, |session: &Session| session.key.clone())))
}

/// A session
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "classes", operation_id = "session",
    params(("id" = Id, Path, description = "The session")),
    responses((status = 200, description = "As it is", body = Session)),
)]
pub(crate) async fn one(ctx: Ctx, PathId(id): PathId) -> Answer<Json<Session>> {
    Ok(Json(row(&ctx, &id).await?.into()))
}

/// A session's row.
///
/// # Errors
/// 404.
pub async fn row(ctx: &Ctx, id: &Id) -> Answer<Row> {
    let row: Option<Row> = ctx.db()?.first(queries::session(id, ctx.now)).await?;
    row.ok_or_else(|| Problem::from(Code::NotFound))
}

/// A store's timetable with what is booked
///
/// Sessions that were cancelled or are over among them; a technician sees their own.
#[utoipa::path(
    get, path = "/api/v1/staff/sessions", tag = "classes", operation_id = "staff_sessions", params(Wanted),
    responses((status = 200, description = "A page", body = Page<ManagedSession>)),
)]
pub(crate) async fn staff_list(
    ctx: Ctx,
    staff: Staff,
    Query(mut wanted): Query<Wanted>,
) -> Answer<Json<Page<ManagedSession>>> {
    if !staff.may(Permission::BookingRead, &wanted.store_id) {
        staff.require(Permission::BookingReadOwn, &wanted.store_id)?;
        let own = staff.technician_id;
        if own.is_none() || wanted.technician_id.is_some() && wanted.technician_id != own {
            return Err(Problem::from(Code::Forbidden).with(Permission::BookingRead.as_str()));
        }
        wanted.technician_id = own;
    }
    let (rows, limit) = rows(&ctx, &wanted, false).await?;
    let items = rows.into_iter().map(ManagedSession::from).collect();
    Ok(Json(Page::of(items, limit, |it: &ManagedSession| it.session.key.clone())))
}
