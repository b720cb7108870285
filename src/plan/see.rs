//! Plans as members and staff see them: lists with progress, one plan with its sessions.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{PathId, Query};
use crate::http::fields::{At, Id, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::plan::{feature, queries};

/// A plan.
#[derive(Serialize, ToSchema)]
pub struct Plan {
    /// Its id.
    id: Id,
    /// `active` while sessions are to come, then `ended`.
    status: String,
    /// Whose.
    member_id: Id,
    /// Their name, as far as known.
    member_name: String,
    /// In which store.
    store_id: Id,
    /// Its name.
    store_name: String,
    /// The service.
    service_id: Id,
    /// Its name.
    service_name: String,
    /// By whom, as the plan was made.
    technician_id: Id,
    /// Their name.
    technician_name: String,
    /// The room, when one was asked for.
    room_id: Option<Id>,
    /// How it was asked for.
    #[schema(value_type = Object)]
    repetition: Value,
    /// The card that gives a use for each session.
    card_id: Option<Id>,
    /// For the technician.
    note: String,
    /// How many sessions it has; cancelled ones are not counted.
    total: i64,
    /// How many of them are done.
    done: i64,
    /// How many the member did not come to.
    missed: i64,
    /// How many were cancelled.
    cancelled: i64,
    /// When the next one starts.
    next_at: Option<At>,
    /// When it was made.
    created_at: At,
    /// Its sessions by time, when one plan was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<Vec<PlanSession>>,
}

impl Plan {
    /// Whether a session is one of those read.
    #[must_use]
    pub fn has(&self, session_id: &Id) -> bool {
        self.sessions.iter().flatten().any(|session| session.id == *session_id)
    }
}

/// A session of a plan.
#[derive(Serialize, ToSchema)]
pub struct PlanSession {
    /// Its order's id.
    id: Id,
    /// From 1 on, as the plan was made.
    number: i64,
    /// Its order's status.
    status: String,
    /// By whom.
    technician_id: Id,
    /// Their name.
    technician_name: String,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// When it was found to be done.
    done_at: Option<At>,
    /// Its order's version.
    version: i64,
}

/// A plan just made, changed or asked for.
#[derive(Serialize, ToSchema)]
pub struct PlanAnswer {
    /// The plan.
    pub plan: Plan,
}

/// A plan's row.
#[derive(Deserialize)]
pub struct PlanRow {
    /// Its id.
    pub id: Id,
    /// Whose.
    pub member_id: Id,
    /// Their name.
    pub member_name: String,
    /// The store.
    pub store_id: Id,
    /// Its name.
    pub store_name: String,
    /// Its clock.
    pub time_zone: Zone,
    /// The service.
    pub service_id: Id,
    /// Its name.
    pub service_name: String,
    /// By whom.
    pub technician_id: Id,
    /// Their name.
    pub technician_name: String,
    /// The room, when one was asked for.
    pub room_id: Option<Id>,
    /// How it was asked for.
    pub repetition: Value,
    /// The card.
    pub card_id: Option<Id>,
    /// For the technician.
    pub note: String,
    /// UTC milliseconds.
    pub created_at: i64,
    /// How far it has come.
    pub progress: Progress,
    /// By time.
    #[serde(default)]
    pub sessions: Option<Vec<SessionRow>>,
}

/// How far a plan has come.
#[derive(Clone, Copy, Default, Deserialize)]
pub struct Progress {
    /// Sessions that were not cancelled.
    pub total: i64,
    /// Done ones.
    pub done: i64,
    /// Those that the member did not come to.
    pub missed: i64,
    /// Cancelled ones.
    pub cancelled: i64,
    /// When the next one starts, UTC milliseconds.
    pub next_at: Option<i64>,
}

/// A session's row.
#[derive(Deserialize)]
pub struct SessionRow {
    /// Its order's id.
    pub id: Id,
    /// From 1 on.
    pub number: i64,
    /// Its order's status.
    pub status: String,
    /// By whom.
    pub technician_id: Id,
    /// Their name.
    pub technician_name: String,
    /// UTC milliseconds.
    pub start_at: i64,
    /// UTC milliseconds.
    pub end_at: i64,
    /// UTC milliseconds.
    pub done_at: Option<i64>,
    /// Its order's version.
    pub version: i64,
}

impl PlanRow {
    /// As clients see it.
    #[must_use]
    pub fn into_view(self) -> Plan {
        let zone = self.time_zone;
        let Progress { total, done, missed, cancelled, next_at } = self.progress;
        let session = |row: SessionRow| PlanSession {
            id: row.id,
            number: row.number,
            status: row.status,
            technician_id: row.technician_id,
            technician_name: row.technician_name,
            start_at: At::new(zone, row.start_at),
            end_at: At::new(zone, row.end_at),
            done_at: row.done_at.map(|at| At::new(zone, at)),
            version: row.version,
        };
        let status = if next_at.is_some() { "active" } else { "ended" };
        Plan {
            id: self.id,
            status: status.into(),
            member_id: self.member_id,
            member_name: self.member_name,
            store_id: self.store_id,
            store_name: self.store_name,
            service_id: self.service_id,
            service_name: self.service_name,
            technician_id: self.technician_id,
            technician_name: self.technician_name,
            room_id: self.room_id,
            repetition: self.repetition,
            card_id: self.card_id,
            note: self.note,
            total,
            done,
            missed,
            cancelled,
            next_at: next_at.map(|at| At::new(zone, at)),
            created_at: At::new(zone, self.created_at),
            sessions: self.sessions.map(|rows| rows.into_iter().map(session).collect()),
        }
    }
}

/// Which of a member's plans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OwnPlans {
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// Which of a store's plans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StorePlans {
    #[param(inline)]
    store_id: Id,
    /// One member's alone.
    #[param(inline)]
    member_id: Option<Id>,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// One's own plans
#[utoipa::path(
    get, path = "/api/v1/plans", tag = "plans", operation_id = "list_plans", params(OwnPlans),
    responses((status = 200, description = "A page, the newest first, with progress", body = Page<Plan>)),
)]
pub(crate) async fn list_as_member(
    ctx: Ctx,
    member: Member,
    Query(wanted): Query<OwnPlans>,
) -> Answer<Json<Page<Plan>>> {
    list(&ctx, Some(&member.id), None, wanted.limit, wanted.cursor.as_ref()).await
}

/// A store's plans
#[utoipa::path(
    get, path = "/api/v1/staff/plans", tag = "plans", operation_id = "staff_list_plans", params(StorePlans),
    responses((status = 200, description = "A page, the newest first, with progress", body = Page<Plan>)),
)]
pub(crate) async fn list_as_staff(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<StorePlans>,
) -> Answer<Json<Page<Plan>>> {
    staff.require(Permission::BookingPlan, &wanted.store_id)?;
    let (member, store) = (wanted.member_id.as_ref(), Some(&wanted.store_id));
    list(&ctx, member, store, wanted.limit, wanted.cursor.as_ref()).await
}

async fn list(
    ctx: &Ctx,
    member_id: Option<&Id>,
    store_id: Option<&Id>,
    limit: Option<Int<1, 100>>,
    cursor: Option<&Text<1, 200>>,
) -> Answer<Json<Page<Plan>>> {
    let limit = limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(DEFAULT_LIMIT);
    let after: Option<Id> = page::decode(cursor.map(Text::as_str))?;
    let statement = queries::list(member_id, store_id, after.as_ref(), limit);
    let rows = ctx.db()?.read(vec![feature::is_on(), statement]).await?;
    feature::require_on(&rows, 0)?;
    let plans: Vec<Plan> = rows.all::<PlanRow>(1)?.into_iter().map(PlanRow::into_view).collect();
    Ok(Json(Page::of(plans, limit, |plan| plan.id.clone())))
}

/// One of one's own plans
#[utoipa::path(
    get, path = "/api/v1/plans/{id}", tag = "plans", operation_id = "get_plan",
    params(("id" = Id, Path, description = "The plan")),
    responses((status = 200, description = "With its sessions", body = PlanAnswer)),
)]
pub(crate) async fn detail_as_member(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
) -> Answer<Json<PlanAnswer>> {
    let plan = read(&ctx, &id).await?;
    // Somebody else's plan is as if it were not there.
    if plan.member_id != member.id {
        return Err(Code::NotFound.into());
    }
    Ok(Json(PlanAnswer { plan }))
}

/// A plan
#[utoipa::path(
    get, path = "/api/v1/staff/plans/{id}", tag = "plans", operation_id = "staff_get_plan",
    params(("id" = Id, Path, description = "The plan")),
    responses((status = 200, description = "With its sessions", body = PlanAnswer)),
)]
pub(crate) async fn detail_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<PlanAnswer>> {
    let plan = read(&ctx, &id).await?;
    staff.require(Permission::BookingPlan, &plan.store_id)?;
    Ok(Json(PlanAnswer { plan }))
}

/// A plan with its sessions.
///
/// # Errors
/// 404.
pub async fn read(ctx: &Ctx, id: &Id) -> Answer<Plan> {
    let rows = ctx.db()?.read(vec![feature::is_on(), queries::plan(id)]).await?;
    feature::require_on(&rows, 0)?;
    let row: Option<PlanRow> = rows.first(1)?;
    Ok(row.ok_or_else(|| Problem::from(Code::NotFound))?.into_view())
}
