//! Technicians: who they are, what they can do, where. When they work is in [`super::windows`].

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::working::MAX_STORES;

use super::fields::{Set, Skills};
use super::home::Coordinates;
use super::record::{
    self, AtVersion, Cursor, Limit, ListQuery, Record, Refs, Table, after, document,
};
use super::services::Status;
use super::{queries, windows};
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Code};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Id, Int, List, LongText, Name, Text};
use crate::http::page::Page;
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::outbox::{Message, Row};

/// A photo of a technician's work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The photo's id.
    pub photo: Id,
    /// What is seen.
    #[serde(default)]
    pub caption: Text<0, 100>,
}

type WorksIn = Set<Id, MAX_STORES, 1>;
type Works = List<Work, 50>;

document! {
    /// A technician.
    NewTechnician, ChangedTechnician {
        /// 1 to 64 characters.
        name: Name,
        /// A photo's id.
        #[serde(default)]
        photo: Option<Id>,
        /// In several lines.
        #[serde(default)]
        introduction: LongText,
        /// In the trade.
        #[serde(default = "Int::of::<0>")]
        years_experience: Int<0, 80>,
        /// By which services may set prices.
        #[serde(default)]
        level: Text<0, 32>,
        /// What they know.
        #[serde(default)]
        skills: Skills,
        /// Where they work.
        stores: WorksIn,
        /// In order.
        #[serde(default)]
        works: Works,
        /// Customers at the same time.
        #[serde(default = "Int::of::<1>")]
        capacity: Int<1, 500>,
        /// Where they set out from to customers' homes, and where they return to, within their working
        /// time; the store when it is null.
        #[serde(default)]
        start_point: Option<Coordinates>,
    }
}

impl NewTechnician {
    fn refs(&self) -> Vec<Refs> {
        let photo = self.photo.iter().map(|id| ("photo".to_owned(), id.clone()));
        let works = self.works.0.iter().enumerate();
        let works = works.map(|(at, work)| (format!("works[{at}].photo"), work.photo.clone()));
        vec![
            Refs::list(Table::Store, "stores", &self.stores.0),
            Refs::new(Table::Photo, photo.chain(works)),
        ]
    }

    fn statements(&self, ctx: &Ctx, id: &Id) -> Answer<Vec<Statement>> {
        let document = serde_json::json!({
            "name": self.name,
            "photo": self.photo,
            "introduction": self.introduction,
            "years_experience": self.years_experience,
            "level": self.level,
            "skills": self.skills,
            "stores": self.stores,
            "works": self.works,
            "capacity": self.capacity,
            "start_point": self.start_point.map(Coordinates::point).transpose()?,
        });
        Ok(queries::put_technician(id, &document.to_string(), ctx.now))
    }
}

/// A technician as the merchant sees them.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Technician {
    /// Their id.
    pub id: Id,
    /// Their name.
    pub name: String,
    /// A photo's id.
    pub photo: Option<Id>,
    /// In several lines.
    pub introduction: String,
    /// In the trade.
    pub years_experience: i64,
    /// By which services may set prices.
    pub level: String,
    /// What they know.
    pub skills: Vec<String>,
    /// Where they work; stores that are retired are left out.
    pub stores: Vec<Id>,
    /// In order.
    pub works: Vec<Work>,
    /// Customers at the same time.
    pub capacity: i64,
    /// Where they set out from to customers' homes; null for the store.
    #[serde(deserialize_with = "Coordinates::from_row")]
    pub start_point: Option<Coordinates>,
    /// Whether they can be booked.
    pub status: Status,
    /// Grows with each change.
    pub version: i64,
}

impl Record for Technician {
    const TABLE: Table = Table::Technician;

    fn version(&self) -> i64 {
        self.version
    }

    fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }
}

/// Technicians, retired ones among them
#[utoipa::path(
    get, path = "/api/v1/admin/technicians", tag = "catalog", operation_id = "admin_list_technicians",
    params(ListQuery),
    responses((status = 200, description = "By name, within the caller's stores", body = Page<Technician>)),
)]
pub async fn admin_list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Page<Technician>>> {
    let scope = staff.scope(Permission::CatalogRead).json();
    let limit = query.limit.get();
    let statement = queries::list_technicians(scope, after(query.cursor.as_ref())?, limit + 1);
    let found = ctx.db()?.read(vec![statement]).await?.all::<Technician>(0)?;
    Ok(Json(Page::of(found, limit as u32, |it| (it.name.clone(), it.id.clone()))))
}

/// A new technician
#[utoipa::path(
    post, path = "/api/v1/admin/technicians", tag = "catalog", operation_id = "create_technician",
    request_body = NewTechnician,
    responses((status = 201, description = "Created", body = Technician)),
)]
pub async fn create(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<NewTechnician>,
) -> Answer<Created<Technician>> {
    staff.require_each(Permission::CatalogWrite, &body.stores.0)?;
    let id = ctx.new_id()?;
    let calendar = calendars::technician(&id);
    let row = Row::new(&ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    let mut statements = body.statements(&ctx, &id)?;
    statements.push(row.insert(&ctx)?);
    let technician = record::write(&ctx, &id, None, body.refs(), statements).await?;
    windows::sync_now(&ctx, &calendar, row).await;
    Ok(Created(technician))
}

/// A technician
#[utoipa::path(
    get, path = "/api/v1/admin/technicians/{id}", tag = "catalog", operation_id = "admin_get_technician",
    params(("id" = Id, Path, description = "The technician")),
    responses((status = 200, description = "As they are", body = Technician)),
)]
pub async fn admin_get(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Technician>> {
    let technician: Technician = record::load(&ctx, &id).await?;
    record::require_in_any(&staff, Permission::CatalogRead, &technician.stores)?;
    Ok(Json(technician))
}

/// Change a technician
#[utoipa::path(
    put, path = "/api/v1/admin/technicians/{id}", tag = "catalog", operation_id = "change_technician",
    params(("id" = Id, Path, description = "The technician")),
    request_body = ChangedTechnician,
    responses((status = 200, description = "Changed", body = Technician)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedTechnician>,
) -> Answer<Json<Technician>> {
    let (version, body) = body.split();
    let current: Technician = record::load(&ctx, &id).await?;
    record::require_in_each(&staff, Permission::CatalogWrite, &current.stores)?;
    staff.require_each(Permission::CatalogWrite, &body.stores.0)?;
    record::require_fresh(&current, version)?;
    let mut statements = body.statements(&ctx, &id)?;
    let same_stores = body.stores.0.len() == current.stores.len()
        && body.stores.0.iter().all(|store| current.stores.contains(store));
    if same_stores && body.capacity.get() == current.capacity {
        return record::write(&ctx, &id, Some(version), body.refs(), statements).await.map(Json);
    }
    let calendar = calendars::technician(&id);
    let row = Row::new(&ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    statements.push(row.insert(&ctx)?);
    let changed = record::write(&ctx, &id, Some(version), body.refs(), statements).await?;
    windows::sync_now(&ctx, &calendar, row).await;
    Ok(Json(changed))
}

/// Retire a technician
#[utoipa::path(
    post, path = "/api/v1/admin/technicians/{id}/retire", tag = "catalog", operation_id = "retire_technician",
    params(("id" = Id, Path, description = "The technician")),
    request_body = AtVersion,
    responses((status = 200, description = "Retired", body = Technician)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AtVersion>,
) -> Answer<Json<Technician>> {
    let current: Technician = record::load(&ctx, &id).await?;
    record::require_in_each(&staff, Permission::CatalogWrite, &current.stores)?;
    let calendar = calendars::technician(&id);
    let row = Row::new(&ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    let also = vec![row.insert(&ctx)?];
    let retired = record::retire(&ctx, &id, body.version.get(), also).await?;
    windows::sync_now(&ctx, &calendar, row).await;
    Ok(Json(retired))
}

/// A service that a technician does.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct OfferedService {
    /// Its id.
    pub id: Id,
    /// For grouping.
    pub category: String,
    /// Its name.
    pub name: String,
    /// How long it takes.
    pub duration_minutes: i64,
    /// Its base price.
    pub price_fen: i64,
}

/// A technician as customers see them.
#[derive(Serialize, ToSchema)]
pub struct PublicTechnician {
    /// Their id.
    pub id: Id,
    /// Their name.
    pub name: String,
    /// A photo's id.
    pub photo: Option<Id>,
    /// In several lines.
    pub introduction: String,
    /// In the trade.
    pub years_experience: i64,
    /// By which services may set prices.
    pub level: String,
    /// What they know.
    pub skills: Vec<String>,
    /// Where they work.
    pub stores: Vec<Id>,
    /// In order.
    pub works: Vec<Work>,
    /// What they do; only in the answer for one technician.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<OfferedService>>,
}

impl From<Technician> for PublicTechnician {
    fn from(it: Technician) -> Self {
        Self {
            id: it.id,
            name: it.name,
            photo: it.photo,
            introduction: it.introduction,
            years_experience: it.years_experience,
            level: it.level,
            skills: it.skills,
            stores: it.stores,
            works: it.works,
            services: None,
        }
    }
}

/// Which technicians.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindTechnicians {
    /// Who work in this store.
    #[serde(default)]
    #[param(inline)]
    store_id: Option<Id>,
    /// Who do this service, in that store or in any.
    #[serde(default)]
    #[param(inline)]
    service_id: Option<Id>,
    /// Items in the page.
    #[serde(default = "Int::of::<20>")]
    #[param(inline)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[serde(default)]
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// Technicians
#[utoipa::path(
    get, path = "/api/v1/technicians", tag = "catalog", operation_id = "list_technicians",
    params(FindTechnicians),
    responses((status = 200, description = "By name", body = Page<PublicTechnician>)),
)]
pub async fn list(
    ctx: Ctx,
    Query(query): Query<FindTechnicians>,
) -> Answer<Json<Page<PublicTechnician>>> {
    let limit = query.limit.get();
    let (store, service) = (query.store_id.as_ref(), query.service_id.as_ref());
    let after = after(query.cursor.as_ref())?;
    let statement = queries::technicians(store, service, after, limit + 1);
    let found = ctx.db()?.read(vec![statement]).await?.all::<Technician>(0)?;
    let found = found.into_iter().map(PublicTechnician::from).collect();
    let key = |it: &PublicTechnician| (it.name.clone(), it.id.clone());
    Ok(Json(Page::of(found, limit as u32, key)))
}

/// A technician
#[utoipa::path(
    get, path = "/api/v1/technicians/{id}", tag = "catalog", operation_id = "get_technician",
    params(("id" = Id, Path, description = "The technician")),
    responses((status = 200, description = "With the services that they do", body = PublicTechnician)),
)]
pub async fn get(ctx: Ctx, PathId(id): PathId) -> Answer<Json<PublicTechnician>> {
    let statements = vec![queries::record(Table::Technician, &id), queries::services_of(&id)];
    let rows = ctx.db()?.read(statements).await?;
    let technician: Technician = rows.first(0)?.ok_or(Code::NotFound)?;
    if technician.is_retired() {
        return Err(Code::NotFound.into());
    }
    let services = Some(rows.all(1)?);
    Ok(Json(PublicTechnician { services, ..technician.into() }))
}
