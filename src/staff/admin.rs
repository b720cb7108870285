//! Owners make and change staff; managers see them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::caller::{Grant, Staff};
use crate::auth::permission::Permission;
use crate::d1::{DbError, Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{Id, Int, List, Name, Phone, Text};
use crate::http::page::{DEFAULT_LIMIT, Page, decode};
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::staff::queries::{self, Written};
use crate::staff::scope;

/// Most grants of one person.
pub const MAX_GRANTS: usize = 50;

/// What somebody may do, where.
pub type Grants = List<Grant, MAX_GRANTS>;

/// A row's version, as its reader saw it.
pub type Version = Int<1, 1_000_000_000>;

/// Whether somebody still works here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StaffStatus {
    /// They do.
    Active,
    /// They do not, and cannot sign in.
    Retired,
}

/// A member of staff.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct StaffRow {
    /// The row's id.
    pub id: Id,
    /// Their name.
    pub name: String,
    /// Whole for those who may change the row, otherwise `138****0000`.
    pub phone: String,
    /// The technician that they are, if they are one.
    pub technician_id: Option<Id>,
    /// Their roles.
    pub grants: Vec<Grant>,
    /// Whether they still work here.
    pub status: StaffStatus,
    /// For changes.
    pub version: i64,
}

impl StaffRow {
    /// As somebody else of the staff may see it.
    fn seen_by(mut self, staff: &Staff) -> Self {
        if !scope::covers(&staff.scope(Permission::StaffWrite), &self.grants) {
            let phone = zhundian_providers::phone::Phone::parse(&self.phone);
            self.phone = phone.map(|phone| phone.masked()).unwrap_or_default();
        }
        self
    }
}

/// A new member of staff.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStaff {
    /// Where their sign-in codes go.
    pub phone: Phone,
    /// Their name.
    pub name: Name,
    /// The technician that they are, if they are one.
    #[serde(default)]
    pub technician_id: Option<Id>,
    /// At least one, none twice.
    pub grants: Grants,
}

/// A member of staff, changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedStaff {
    /// The version that is changed.
    pub version: Version,
    /// Where their sign-in codes go; another phone signs them out.
    pub phone: Phone,
    /// Their name.
    pub name: Name,
    /// The technician that they are, if they are one.
    #[serde(default)]
    pub technician_id: Option<Id>,
    /// At least one, none twice; other grants sign them out.
    pub grants: Grants,
}

/// Which version is meant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetiredStaff {
    /// The version that is retired.
    pub version: Version,
}

/// A list's page.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListStaff {
    /// Items in the page; 20 when left out.
    pub limit: Option<Int<1, 100>>,
    /// `next_cursor` of the page before.
    pub cursor: Option<Text<0, 200>>,
}

/// List staff
///
/// Those with a grant in a store of the caller's, oldest first.
#[utoipa::path(
    get, path = "/api/v1/admin/staff", operation_id = "list_staff", tag = "staff",
    params(ListStaff),
    responses((status = 200, description = "A page", body = Page<StaffRow>)),
)]
pub async fn list(
    ctx: Ctx,
    staff: Staff,
    Query(query): Query<ListStaff>,
) -> Answer<Json<Page<StaffRow>>> {
    let limit = query.limit.map_or(DEFAULT_LIMIT, |limit| limit.get() as u32);
    let after: Option<Id> = decode(query.cursor.as_ref().map(Text::as_str))?;
    let scope = staff.scope(Permission::StaffRead);
    let statement = queries::list(&scope, after.as_ref(), limit + 1);
    let rows: Vec<StaffRow> = ctx.db()?.read(vec![statement]).await?.all(0)?;
    let rows = rows.into_iter().map(|row| row.seen_by(&staff)).collect();
    Ok(Json(Page::of(rows, limit, |row: &StaffRow| row.id.clone())))
}

/// Make a member of staff
///
/// Each grant must lie in the stores where the caller may write staff.
#[utoipa::path(
    post, path = "/api/v1/admin/staff", operation_id = "create_staff", tag = "staff",
    request_body = NewStaff,
    responses((status = 201, description = "Made", body = StaffRow)),
)]
pub async fn create(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<NewStaff>,
) -> Answer<Created<StaffRow>> {
    let grants = &body.grants.0;
    scope::check(grants)?;
    scope::require(&staff, grants)?;
    let written = Written {
        id: &ctx.new_id()?,
        phone: &body.phone,
        name: body.name.as_str(),
        technician_id: body.technician_id.as_ref(),
        grants,
    };
    let batch = written.create(&staff.scope(Permission::StaffWrite), ctx.now)?;
    let last = batch.len() - 1;
    let rows = ctx.db()?.batch(batch).await.map_err(refused)?;
    Ok(Created(rows.one(last)?))
}

/// Read a member of staff
#[utoipa::path(
    get, path = "/api/v1/admin/staff/{id}", operation_id = "read_staff", tag = "staff",
    params(("id" = Id, Path, description = "The staff row's id")),
    responses((status = 200, description = "The member of staff", body = StaffRow)),
)]
pub async fn read(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<StaffRow>> {
    let row = row(&ctx, &id).await?;
    if !scope::shares_a_store(&staff.scope(Permission::StaffRead), &row.grants) {
        return Err(Code::ForeignStore.into());
    }
    Ok(Json(row.seen_by(&staff)))
}

/// Change a member of staff
///
/// Both the grants that they had and those that they get must lie in the stores where the caller may
/// write staff. Another phone or other grants sign them out.
#[utoipa::path(
    put, path = "/api/v1/admin/staff/{id}", operation_id = "change_staff", tag = "staff",
    params(("id" = Id, Path, description = "The staff row's id")),
    request_body = ChangedStaff,
    responses((status = 200, description = "Changed", body = StaffRow)),
)]
pub async fn change(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<ChangedStaff>,
) -> Answer<Json<StaffRow>> {
    let grants = &body.grants.0;
    scope::check(grants)?;
    let row = changeable(&ctx, &staff, &id, body.version).await?;
    scope::require(&staff, grants)?;
    let written = Written {
        id: &id,
        phone: &body.phone,
        name: body.name.as_str(),
        technician_id: body.technician_id.as_ref(),
        grants,
    };
    let of = queries::Change {
        version: row.version,
        signs_out: row.phone != body.phone.0.as_str() || !scope::same(&row.grants, grants),
        was_owner: scope::own_everything(&row.grants),
        now: ctx.now,
    };
    let batch = written.change(&staff.scope(Permission::StaffWrite), of)?;
    write(&ctx, &staff, &id, batch).await
}

/// Retire a member of staff
///
/// They cannot sign in any more, and their phone is free for a new row.
#[utoipa::path(
    post, path = "/api/v1/admin/staff/{id}/retire", operation_id = "retire_staff", tag = "staff",
    params(("id" = Id, Path, description = "The staff row's id")),
    request_body = RetiredStaff,
    responses((status = 200, description = "Retired", body = StaffRow)),
)]
pub async fn retire(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<RetiredStaff>,
) -> Answer<Json<StaffRow>> {
    let row = changeable(&ctx, &staff, &id, body.version).await?;
    let of = queries::Change {
        version: row.version,
        signs_out: true,
        was_owner: scope::own_everything(&row.grants),
        now: ctx.now,
    };
    write(&ctx, &staff, &id, queries::retire(&id, of)).await
}

async fn row(ctx: &Ctx, id: &Id) -> Answer<StaffRow> {
    let row: Option<StaffRow> = ctx.db()?.first(queries::read(id)).await?;
    row.ok_or_else(|| Code::NotFound.into())
}

/// The row, if the caller may change it and saw it as it is. Its grants are those of its version: the
/// batch of the change requires the same version again.
async fn changeable(ctx: &Ctx, staff: &Staff, id: &Id, version: Version) -> Answer<StaffRow> {
    let row = row(ctx, id).await?;
    scope::require(staff, &row.grants)?;
    if row.status == StaffStatus::Retired {
        return Err(Code::Retired.into());
    }
    if row.version != version.get() {
        return Err(stale(row.seen_by(staff)));
    }
    Ok(row)
}

async fn write(ctx: &Ctx, staff: &Staff, id: &Id, batch: Vec<Statement>) -> Answer<Json<StaffRow>> {
    let last = batch.len() - 1;
    let written: Result<Rows, DbError> = ctx.db()?.batch(batch).await;
    match written {
        Ok(rows) => Ok(Json(rows.one::<StaffRow>(last)?.seen_by(staff))),
        Err(error) if error.is_constraint(queries::STALE) => {
            Err(stale(row(ctx, id).await?.seen_by(staff)))
        }
        Err(error) => Err(refused(error)),
    }
}

fn stale(current: StaffRow) -> Problem {
    let problem = Problem::from(Code::StaleVersion).at("version");
    match serde_json::to_value(current) {
        Ok(current) => problem.and("current", current),
        Err(_) => problem,
    }
}

/// What the database's refusal of a row means, and which field it speaks of.
fn refused(error: DbError) -> Problem {
    // The technician has been looked for by then, so the key that leads nowhere is a store's.
    if error.is_constraint("foreign_key") {
        return Problem::from(Code::UnknownStore).at("grants");
    }
    let problem = Problem::from(error);
    match problem.code() {
        Code::StaffPhoneTaken => problem.at("phone"),
        Code::UnknownTechnician => problem.at("technician_id"),
        _ => problem,
    }
}
