//! Stores: what the merchant keeps of them, and how customers find them.

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::time::date_at;
use zhundian_domain::zone::Zone;

use super::fields::{Cancellation, CancellationTier, ContactPhone, PhotoIds, WeekHours, tiers};
use super::holidays::Holiday;
use super::record::{
    self, AtVersion, Cursor, Limit, ListQuery, Record, Refs, Table, after, document,
};
use super::services::Mode;
use super::ways::{ExpressTerms, Ways};
use super::{near, queries, windows};
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Degrees, Id, Int, LongText, Name, Text, TimeZone};
use crate::http::page::Page;
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::outbox::{Message, Row};

/// Days of holidays that customers are told of.
const HOLIDAYS_SHOWN_DAYS: u64 = 90;

/// Whether a store takes bookings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenOrClosed {
    /// It does.
    #[default]
    Open,
    /// It does not at present; customers still see it.
    Closed,
}

/// Whether a store is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreStatus {
    /// It takes bookings.
    Open,
    /// It takes none at present.
    Closed,
    /// For good.
    Retired,
}

fn shanghai() -> TimeZone {
    TimeZone(Zone::SHANGHAI)
}

/// What a store does about visits by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VisitRules {
    /// So many minutes after its end an appointment on which nothing is due is completed; 30 when it is
    /// left out.
    pub complete_after_minutes: Int<0, 1440>,
    /// So many minutes after its start one without a check-in is a no-show; null for never.
    pub no_show_after_minutes: Option<Int<5, 1440>>,
    /// A member who did not come so often pays online, before the visit; null for never.
    pub prepay_after_no_shows: Option<Int<1, 100>>,
}

impl Default for VisitRules {
    fn default() -> Self {
        Self {
            complete_after_minutes: Int::of::<30>(),
            no_show_after_minutes: None,
            prepay_after_no_shows: None,
        }
    }
}

document! {
    /// A store.
    NewStore, ChangedStore {
        /// 1 to 64 characters.
        name: Name,
        /// As customers find it.
        address: Text<1, 200>,
        /// WGS 84.
        latitude: Degrees<90>,
        /// WGS 84.
        longitude: Degrees<180>,
        /// For customers to call.
        phone: ContactPhone,
        /// Opening hours.
        hours: WeekHours,
        /// Cannot be changed later.
        #[serde(default = "shanghai")]
        time_zone: TimeZone,
        /// Ids of photos.
        #[serde(default)]
        photos: PhotoIds,
        /// In several lines.
        #[serde(default)]
        introduction: LongText,
        /// What comes back when a member cancels an appointment, for services that do not say it
        /// themselves: the earliest tier first, each later and with less to come back than the one
        /// before; nothing after the last one. Everything until the start when it is null.
        #[serde(default)]
        cancellation: Option<Cancellation>,
        /// Appointments that it has room for at once; null for no limit.
        #[serde(default)]
        capacity: Option<Int<1, 500>>,
        /// How it takes bookings.
        #[serde(default)]
        ways: Ways,
        /// What it does about visits by itself.
        #[serde(default)]
        visit: VisitRules,
        /// Whether it takes bookings.
        #[serde(default)]
        status: OpenOrClosed,
    }
}

impl NewStore {
    fn refs(&self) -> Vec<Refs> {
        vec![Refs::list(Table::Photo, "photos", &self.photos.0)]
    }

    fn statements(&self, ctx: &Ctx, id: &Id) -> Answer<Vec<crate::d1::Statement>> {
        let cancellation = self.cancellation.as_ref().map(|list| tiers(list, "cancellation"));
        let document = serde_json::json!({
            "name": self.name,
            "address": self.address,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "phone": self.phone,
            "time_zone": self.time_zone,
            "hours": self.hours.week("hours")?,
            "photos": self.photos,
            "introduction": self.introduction,
            "cancellation": cancellation.transpose()?,
            "capacity": self.capacity,
            "ways": self.ways,
            "visit": self.visit,
            "status": self.status,
        });
        let pieces = near::bigrams_json(&[self.name.as_str(), self.address.as_str()]);
        Ok(queries::put_store(id, &document.to_string(), &pieces, ctx.now))
    }
}

/// A store as the merchant sees it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Store {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// As customers find it.
    pub address: String,
    /// WGS 84.
    pub latitude: f64,
    /// WGS 84.
    pub longitude: f64,
    /// For customers to call.
    pub phone: String,
    /// An IANA zone: that of its clock.
    pub time_zone: String,
    /// Opening hours.
    #[serde(deserialize_with = "WeekHours::from_row")]
    pub hours: WeekHours,
    /// In several lines.
    pub introduction: String,
    /// Ids of photos.
    pub photos: Vec<Id>,
    /// What comes back when a member cancels; null when nothing is said: everything until the start.
    #[schema(value_type = Option<Vec<CancellationTier>>)]
    pub cancellation: Option<Tiers>,
    /// Appointments that it has room for at once; null for no limit.
    pub capacity: Option<i64>,
    /// How it takes bookings.
    pub ways: Ways,
    /// What it does about visits by itself.
    pub visit: VisitRules,
    /// Whether it takes bookings.
    pub status: StoreStatus,
    /// Grows with each change.
    pub version: i64,
}

impl Store {
    /// Its clock's zone.
    ///
    /// # Errors
    /// 500 for a zone that is none.
    pub fn zone(&self) -> Answer<Zone> {
        let id = &self.id;
        self.time_zone.parse().map_err(|_| Problem::internal(format!("store {id}: time zone")))
    }
}

impl Store {
    /// The date at a store.
    ///
    /// # Errors
    /// 404.
    pub async fn today(ctx: &Ctx, id: &Id) -> Answer<NaiveDate> {
        let store: Self = record::load(ctx, id).await?;
        date_at(store.zone()?, ctx.now).ok_or_else(|| Code::Internal.into())
    }
}

impl Record for Store {
    const TABLE: Table = Table::Store;

    fn version(&self) -> i64 {
        self.version
    }

    fn is_retired(&self) -> bool {
        self.status == StoreStatus::Retired
    }
}

/// Stores, retired ones among them
#[utoipa::path(
    get, path = "/api/v1/admin/stores", tag = "catalog", operation_id = "admin_list_stores",
    params(ListQuery),
    responses((status = 200, description = "By name, within the caller's stores", body = Page<Store>)),
)]
pub async fn admin_list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Page<Store>>> {
    let scope = staff.scope(Permission::CatalogRead).json();
    let limit = query.limit.get();
    let statement = queries::list_stores(scope, after(query.cursor.as_ref())?, limit + 1);
    let stores = ctx.db()?.read(vec![statement]).await?.all::<Store>(0)?;
    Ok(Json(Page::of(stores, limit as u32, |store| (store.name.clone(), store.id.clone()))))
}

/// A new store
#[utoipa::path(
    post, path = "/api/v1/admin/stores", tag = "catalog", operation_id = "create_store",
    request_body = NewStore,
    responses((status = 201, description = "Created", body = Store)),
)]
pub async fn create(ctx: Ctx, staff: Staff, Body(body): Body<NewStore>) -> Answer<Created<Store>> {
    staff.require_everywhere(Permission::CatalogWrite)?;
    let id = ctx.new_id()?;
    write(&ctx, &id, None, body, None).await.map(Created)
}

/// Writes a store, and tells the calendar of its capacity when that has changed from `before`.
async fn write(
    ctx: &Ctx,
    id: &Id,
    version: Option<i64>,
    body: NewStore,
    before: Option<i64>,
) -> Answer<Store> {
    let mut statements = body.statements(ctx, id)?;
    if body.capacity.map(Int::get) == before {
        return record::write(ctx, id, version, body.refs(), statements).await;
    }
    let calendar = calendars::store(id);
    let row = Row::new(ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    statements.push(row.insert(ctx)?);
    let store = record::write(ctx, id, version, body.refs(), statements).await?;
    windows::sync_now(ctx, &calendar, row).await;
    Ok(store)
}

/// A store
#[utoipa::path(
    get, path = "/api/v1/admin/stores/{id}", tag = "catalog", operation_id = "admin_get_store",
    params(("id" = Id, Path, description = "The store")),
    responses((status = 200, description = "As it is", body = Store)),
)]
pub async fn admin_get(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Store>> {
    let store = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogRead, &id)?;
    Ok(Json(store))
}

/// Change a store
#[utoipa::path(
    put, path = "/api/v1/admin/stores/{id}", tag = "catalog", operation_id = "change_store",
    params(("id" = Id, Path, description = "The store")),
    request_body = ChangedStore,
    responses((status = 200, description = "Changed", body = Store)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedStore>,
) -> Answer<Json<Store>> {
    let (version, body) = body.split();
    let current: Store = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &id)?;
    record::require_fresh(&current, version)?;
    if current.zone()? != body.time_zone.0 {
        return Err(Problem::from(Code::TimeZoneFixed).at("time_zone"));
    }
    write(&ctx, &id, Some(version), body, current.capacity).await.map(Json)
}

/// Retire a store
#[utoipa::path(
    post, path = "/api/v1/admin/stores/{id}/retire", tag = "catalog", operation_id = "retire_store",
    params(("id" = Id, Path, description = "The store")),
    request_body = AtVersion,
    responses((status = 200, description = "Retired", body = Store)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AtVersion>,
) -> Answer<Json<Store>> {
    let _: Store = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &id)?;
    let also = vec![queries::sync_technicians_of(&id, ctx.now)];
    record::retire(&ctx, &id, body.version.get(), also).await.map(Json)
}

/// A store as customers see it.
#[derive(Serialize, ToSchema)]
pub struct PublicStore {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// WGS 84.
    pub latitude: f64,
    /// WGS 84.
    pub longitude: f64,
    /// To call.
    pub phone: String,
    /// An IANA zone: that of its clock.
    pub time_zone: String,
    /// Opening hours.
    pub hours: WeekHours,
    /// In several lines.
    pub introduction: String,
    /// Ids of photos.
    pub photos: Vec<Id>,
    /// What comes back when an appointment is cancelled, of services that do not say it themselves: the
    /// earliest tier first; nothing after the last one.
    #[schema(value_type = Vec<CancellationTier>)]
    pub cancellation: Tiers,
    /// Of the modes that a service offers, those that this store does; all of them when it is empty.
    pub modes: Vec<Mode>,
    /// What an express order is about; null when it takes none.
    pub express: Option<ExpressTerms>,
    /// Whether it takes bookings.
    pub status: StoreStatus,
    /// From the point that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<i64>,
    /// Of the next 90 days; only in the answer for one store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holidays: Option<Vec<Holiday>>,
}

impl From<Store> for PublicStore {
    fn from(store: Store) -> Self {
        Self {
            id: store.id,
            name: store.name,
            address: store.address,
            latitude: store.latitude,
            longitude: store.longitude,
            phone: store.phone,
            time_zone: store.time_zone,
            hours: store.hours,
            introduction: store.introduction,
            photos: store.photos,
            cancellation: store.cancellation.unwrap_or_default(),
            express: store.ways.express().cloned(),
            modes: store.ways.modes.0,
            status: store.status,
            distance_m: None,
            holidays: None,
        }
    }
}

/// How to find stores.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindStores {
    /// With `longitude`: stores near this point, nearest first.
    #[serde(default)]
    #[param(inline)]
    latitude: Option<Degrees<90>>,
    /// With `latitude`.
    #[serde(default)]
    #[param(inline)]
    longitude: Option<Degrees<180>>,
    /// How far away at most, in metres; 5,000 when absent.
    #[serde(default)]
    #[param(inline)]
    radius_m: Option<Int<1, 50_000>>,
    /// A piece of the name or address, two characters upwards.
    #[serde(default)]
    #[param(inline)]
    q: Option<Text<2, 16>>,
    /// Items in the page.
    #[serde(default = "Int::of::<20>")]
    #[param(inline)]
    limit: Limit,
    /// `next_cursor` of the page before; not with a point.
    #[serde(default)]
    #[param(inline)]
    cursor: Option<Cursor>,
}

impl FindStores {
    fn point(&self) -> Answer<Option<(f64, f64)>> {
        let missing = |field: &str| Err(Problem::from(Code::MissingField).at(field));
        match (self.latitude, self.longitude) {
            (Some(latitude), Some(longitude)) => Ok(Some((latitude.get(), longitude.get()))),
            (None, Some(_)) => missing("latitude"),
            (Some(_), None) => missing("longitude"),
            (None, None) if self.radius_m.is_some() => missing("latitude"),
            (None, None) => Ok(None),
        }
    }
}

/// Find stores
///
/// Near a point, by text, or both; by name when neither is given.
#[utoipa::path(
    get, path = "/api/v1/stores", tag = "catalog", operation_id = "list_stores",
    params(FindStores),
    responses((status = 200, description = "Nearest first, or by name", body = Page<PublicStore>)),
)]
pub async fn list(ctx: Ctx, Query(query): Query<FindStores>) -> Answer<Json<Page<PublicStore>>> {
    let limit = query.limit.get();
    let q = query.q.as_ref().map(|q| near::fold(q.as_str()));
    let Some(point) = query.point()? else {
        let after = after(query.cursor.as_ref())?;
        let statement = match &q {
            Some(q) => queries::stores_by_text(q, &near::bigrams_json(&[q]), after, limit + 1),
            None => queries::stores_by_name(after, limit + 1),
        };
        let stores = ctx.db()?.read(vec![statement]).await?.all::<Store>(0)?;
        let stores = stores.into_iter().map(PublicStore::from).collect();
        let key = |store: &PublicStore| (store.name.clone(), store.id.clone());
        return Ok(Json(Page::of(stores, limit as u32, key)));
    };
    if query.cursor.is_some() {
        return Err(Problem::from(Code::InvalidCursor).at("cursor"));
    }
    let radius = query.radius_m.map_or(5_000, Int::get) as f64;
    let statement = queries::stores_near(&near::Area::around(point, radius), point, q, limit);
    let stores = ctx.db()?.read(vec![statement]).await?.all::<Store>(0)?;
    let mut items: Vec<PublicStore> = stores
        .into_iter()
        .map(|store| (near::distance_m(point, (store.latitude, store.longitude)), store))
        .filter(|(distance, _)| *distance <= radius)
        .map(|(distance, store)| PublicStore {
            distance_m: Some(distance.round() as i64),
            ..PublicStore::from(store)
        })
        .collect();
    items.sort_by(|a, b| (a.distance_m, &a.id).cmp(&(b.distance_m, &b.id)));
    Ok(Json(Page { items, next_cursor: None }))
}

/// A store
#[utoipa::path(
    get, path = "/api/v1/stores/{id}", tag = "catalog", operation_id = "get_store",
    params(("id" = Id, Path, description = "The store")),
    responses((status = 200, description = "With its holidays of the next 90 days", body = PublicStore)),
)]
pub async fn get(ctx: Ctx, PathId(id): PathId) -> Answer<Json<PublicStore>> {
    // Which date it is at the store follows from its row; one more on either side is read with it.
    let utc = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
    let (from, to) = (utc - Days::new(1), utc + Days::new(HOLIDAYS_SHOWN_DAYS + 1));
    let statements =
        vec![queries::record(Table::Store, &id), queries::holidays(&id, from, Some(to))];
    let rows = ctx.db()?.read(statements).await?;
    let store: Store = rows.first(0)?.ok_or(Code::NotFound)?;
    if store.is_retired() {
        return Err(Code::NotFound.into());
    }
    let today = date_at(store.zone()?, ctx.now).ok_or(Code::Internal)?;
    let last = today + Days::new(HOLIDAYS_SHOWN_DAYS);
    let mut holidays: Vec<Holiday> = rows.all(1)?;
    holidays.retain(|holiday| (today..=last).contains(&holiday.date.0));
    Ok(Json(PublicStore { holidays: Some(holidays), ..PublicStore::from(store) }))
}
