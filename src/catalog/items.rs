//! Items: what a store sells with a booking, such as a table's dishes.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::queries;
use super::record::{self, AtVersion, Cursor, Limit, Record, Refs, Table, after, document};
use super::services::Status;
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Fen, Id, Int, LongText, Name, Text};
use crate::http::page::Page;
use crate::http::respond::Created;
use crate::http::{Ctx, Json};

document! {
    /// An item.
    NewItem, ChangedItem {
        /// Where it is sold; cannot be changed later.
        store_id: Id,
        /// Under which customers find it.
        category: Text<1, 32>,
        /// 1 to 64 characters.
        name: Name,
        /// In several lines.
        #[serde(default)]
        description: LongText,
        /// Id of a photo.
        #[serde(default)]
        photo: Option<Id>,
        /// Of one.
        price_fen: Fen,
        /// How many one order may have.
        #[serde(default = "Int::of::<99>")]
        max_per_order: Int<1, 99>,
    }
}

/// An item as the merchant sees it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// Its id.
    pub id: Id,
    /// Where it is sold.
    pub store_id: Id,
    /// Under which customers find it.
    pub category: String,
    /// Its name.
    pub name: String,
    /// In several lines.
    pub description: String,
    /// Id of a photo.
    pub photo: Option<Id>,
    /// Of one, in fen.
    pub price_fen: i64,
    /// How many one order may have.
    pub max_per_order: i64,
    /// Whether it is sold.
    pub status: Status,
    /// Grows with each change.
    pub version: i64,
}

impl Record for Item {
    const TABLE: Table = Table::Item;

    fn version(&self) -> i64 {
        self.version
    }

    fn is_retired(&self) -> bool {
        self.status == Status::Retired
    }
}

/// An item as customers see it.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PublicItem {
    /// Its id.
    pub id: Id,
    /// For grouping.
    pub category: String,
    /// Its name.
    pub name: String,
    /// In several lines.
    pub description: String,
    /// Id of a photo.
    pub photo: Option<Id>,
    /// Of one, in fen.
    pub price_fen: i64,
    /// How many one order may have.
    pub max_per_order: i64,
}

/// Which items.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindItems {
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

/// What a store sells with a booking
#[utoipa::path(
    get, path = "/api/v1/items", tag = "catalog", operation_id = "list_items",
    params(FindItems),
    responses((status = 200, description = "By category and name", body = Page<PublicItem>)),
)]
pub async fn list(ctx: Ctx, Query(query): Query<FindItems>) -> Answer<Json<Page<PublicItem>>> {
    let limit = query.limit.get();
    let after = after(query.cursor.as_ref())?;
    let statement = queries::items(&query.store_id, false, after, limit + 1);
    let found = ctx.db()?.read(vec![statement]).await?.all::<PublicItem>(0)?;
    let key = |it: &PublicItem| (it.category.clone(), it.name.clone(), it.id.clone());
    Ok(Json(Page::of(found, limit as u32, key)))
}

/// Items of a store, retired ones among them
#[utoipa::path(
    get, path = "/api/v1/admin/items", tag = "catalog", operation_id = "admin_list_items",
    params(FindItems),
    responses((status = 200, description = "By category and name", body = Page<Item>)),
)]
pub async fn admin_list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<FindItems>,
) -> Answer<Json<Page<Item>>> {
    staff.require(Permission::CatalogRead, &query.store_id)?;
    let limit = query.limit.get();
    let after = after(query.cursor.as_ref())?;
    let statement = queries::items(&query.store_id, true, after, limit + 1);
    let found = ctx.db()?.read(vec![statement]).await?.all::<Item>(0)?;
    let key = |it: &Item| (it.category.clone(), it.name.clone(), it.id.clone());
    Ok(Json(Page::of(found, limit as u32, key)))
}

/// A new item
#[utoipa::path(
    post, path = "/api/v1/admin/items", tag = "catalog", operation_id = "create_item",
    request_body = NewItem,
    responses((status = 201, description = "Created", body = Item)),
)]
pub async fn create(ctx: Ctx, staff: Staff, Body(body): Body<NewItem>) -> Answer<Created<Item>> {
    staff.require(Permission::CatalogWrite, &body.store_id)?;
    let id = ctx.new_id()?;
    write(&ctx, &id, None, body).await.map(Created)
}

/// An item
#[utoipa::path(
    get, path = "/api/v1/admin/items/{id}", tag = "catalog", operation_id = "admin_get_item",
    params(("id" = Id, Path, description = "The item")),
    responses((status = 200, description = "As it is", body = Item)),
)]
pub async fn admin_get(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Item>> {
    let item: Item = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogRead, &item.store_id)?;
    Ok(Json(item))
}

/// Change an item
///
/// What was ordered before keeps its name and price.
#[utoipa::path(
    put, path = "/api/v1/admin/items/{id}", tag = "catalog", operation_id = "change_item",
    params(("id" = Id, Path, description = "The item")),
    request_body = ChangedItem,
    responses((status = 200, description = "Changed", body = Item)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedItem>,
) -> Answer<Json<Item>> {
    let (version, body) = body.split();
    let current: Item = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &current.store_id)?;
    record::require_fresh(&current, version)?;
    if body.store_id != current.store_id {
        return Err(Problem::from(Code::FieldFixed).at("store_id"));
    }
    write(&ctx, &id, Some(version), body).await.map(Json)
}

async fn write(ctx: &Ctx, id: &Id, version: Option<i64>, body: NewItem) -> Answer<Item> {
    let document = serde_json::json!({
        "store_id": body.store_id,
        "category": body.category,
        "name": body.name,
        "description": body.description,
        "photo": body.photo,
        "price_fen": body.price_fen,
        "max_per_order": body.max_per_order,
    });
    let refs = vec![
        Refs::new(Table::Store, [("store_id".to_owned(), body.store_id)]),
        Refs::new(Table::Photo, body.photo.map(|photo| ("photo".to_owned(), photo))),
    ];
    let statements = vec![queries::put_item(id, &document.to_string(), ctx.now)];
    record::write(ctx, id, version, refs, statements).await
}

/// Retire an item
///
/// Orders that have it keep it.
#[utoipa::path(
    post, path = "/api/v1/admin/items/{id}/retire", tag = "catalog", operation_id = "retire_item",
    params(("id" = Id, Path, description = "The item")),
    request_body = AtVersion,
    responses((status = 200, description = "Retired", body = Item)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AtVersion>,
) -> Answer<Json<Item>> {
    let current: Item = record::load(&ctx, &id).await?;
    staff.require(Permission::CatalogWrite, &current.store_id)?;
    let version = body.version.get();
    record::require_fresh(&current, version)?;
    let statements = vec![queries::retire(Table::Item, &id, ctx.now)];
    record::write(&ctx, &id, Some(version), Vec::new(), statements).await.map(Json)
}
