//! Rooms and equipment: what a service takes besides a technician. Each has a calendar of its own, which is
//! open whenever it is used at all; a store's hours are looked at by the booking.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::record::{self, AtVersion, Cursor, Limit, Record, Refs, Table, after, document};
use super::services::Status;
use super::{queries, windows};
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Id, Int, Name, Text};
use crate::http::page::Page;
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::outbox::{Message, Row};

/// What it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A room, a table, a seat.
    Room,
    /// A device.
    Equipment,
}

/// By which a service asks for one.
pub type ResourceType = Text<1, 32>;

document! {
    /// A room or a piece of equipment.
    NewResource, ChangedResource {
        /// Where it is; cannot be changed later.
        store_id: Id,
        /// Cannot be changed later.
        kind: Kind,
        /// Which ones serve alike; cannot be changed later.
        r#type: ResourceType,
        /// 1 to 64 characters.
        name: Name,
        /// Customers at the same time.
        #[serde(default = "Int::of::<1>")]
        capacity: Int<1, 500>,
    }
}

/// A room or a piece of equipment as the merchant sees it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Its id.
    pub id: Id,
    /// Where it is.
    pub store_id: Id,
    /// What it is.
    pub kind: Kind,
    /// Which ones serve alike.
    pub r#type: String,
    /// Its name.
    pub name: String,
    /// Customers at the same time.
    pub capacity: i64,
    /// Whether it can be taken.
    pub status: Status,
    /// Grows with each change.
    pub version: i64,
}

impl Record for Resource {
    const TABLE: Table = Table::Resource;

    fn version(&self) -> i64 {
        self.version
    }

    fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }
}

/// Which resources.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindResources {
    /// The store's.
    #[param(inline)]
    store_id: Id,
    /// Items in the page.
    #[serde(default = "Int::of::<20>")]
    #[param(inline)]
    limit: Limit,
    /// `next_cursor` of the page before.
    #[serde(default)]
    #[param(inline)]
    cursor: Option<Cursor>,
}

/// Rooms and equipment of a store, retired ones among them
#[utoipa::path(
    get, path = "/api/v1/admin/resources", tag = "catalog", operation_id = "admin_list_resources",
    params(FindResources),
    responses((status = 200, description = "By type and name", body = Page<Resource>)),
)]
pub async fn admin_list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<FindResources>,
) -> Answer<Json<Page<Resource>>> {
    staff.require(Permission::CatalogRead, &query.store_id)?;
    let limit = query.limit.get();
    let statement = queries::resources(&query.store_id, after(query.cursor.as_ref())?, limit + 1);
    let found = ctx.db()?.read(vec![statement]).await?.all::<Resource>(0)?;
    let key = |it: &Resource| (it.r#type.clone(), it.name.clone(), it.id.clone());
    Ok(Json(Page::of(found, limit as u32, key)))
}

/// A new room or piece of equipment
#[utoipa::path(
    post, path = "/api/v1/admin/resources", tag = "catalog", operation_id = "create_resource",
    request_body = NewResource,
    responses((status = 201, description = "Created", body = Resource)),
)]
pub async fn create(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<NewResource>,
) -> Answer<Created<Resource>> {
    staff.require(Permission::CatalogWrite, &body.store_id)?;
    let id = ctx.new_id()?;
    write(&ctx, &id, None, body).await.map(Created)
}

/// A room or a piece of equipment
#[utoipa::path(
    get, path = "/api/v1/admin/resources/{id}", tag = "catalog", operation_id = "admin_get_resource",
    params(("id" = Id, Path, description = "The resource")),
    responses((status = 200, description = "As it is", body = Resource)),
)]
pub async fn admin_get(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Resource>> {
    let resource: Resource = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogRead, &resource.store_id)?;
    Ok(Json(resource))
}

/// Change a room or a piece of equipment
#[utoipa::path(
    put, path = "/api/v1/admin/resources/{id}", tag = "catalog", operation_id = "change_resource",
    params(("id" = Id, Path, description = "The resource")),
    request_body = ChangedResource,
    responses((status = 200, description = "Changed", body = Resource)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedResource>,
) -> Answer<Json<Resource>> {
    let (version, body) = body.split();
    let current: Resource = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &current.store_id)?;
    record::require_fresh(&current, version)?;
    let fixed = [
        ("store_id", body.store_id == current.store_id),
        ("kind", body.kind == current.kind),
        ("type", body.r#type.as_str() == current.r#type),
    ];
    if let Some((field, _)) = fixed.into_iter().find(|(_, same)| !same) {
        return Err(Problem::from(Code::FieldFixed).at(field));
    }
    write(&ctx, &id, Some(version), body).await.map(Json)
}

async fn write(ctx: &Ctx, id: &Id, version: Option<i64>, body: NewResource) -> Answer<Resource> {
    let document = serde_json::json!({
        "store_id": body.store_id,
        "kind": body.kind,
        "type": body.r#type,
        "name": body.name,
        "capacity": body.capacity,
    });
    let calendar = calendars::room(id);
    let row = Row::new(ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    let statements =
        vec![queries::put_resource(id, &document.to_string(), ctx.now), row.insert(ctx)?];
    let refs = vec![Refs::new(Table::Store, [("store_id".to_owned(), body.store_id)])];
    let resource = record::write(ctx, id, version, refs, statements).await?;
    windows::sync_now(ctx, &calendar, row).await;
    Ok(resource)
}

/// Retire a room or a piece of equipment
#[utoipa::path(
    post, path = "/api/v1/admin/resources/{id}/retire", tag = "catalog", operation_id = "retire_resource",
    params(("id" = Id, Path, description = "The resource")),
    request_body = AtVersion,
    responses((status = 200, description = "Retired", body = Resource)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AtVersion>,
) -> Answer<Json<Resource>> {
    let current: Resource = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &current.store_id)?;
    let calendar = calendars::room(&id);
    let row = Row::new(&ctx, Message::SyncCalendar { calendar: calendar.clone() })?;
    let also = vec![row.insert(&ctx)?];
    let retired = record::retire(&ctx, &id, body.version.get(), also).await?;
    windows::sync_now(&ctx, &calendar, row).await;
    Ok(Json(retired))
}
