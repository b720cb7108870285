//! HQ's switch for service plans.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Body;
use crate::http::fields::Int;
use crate::http::{Ctx, Json};
use crate::plan::queries;

/// What the merchant has turned on.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Features {
    /// Service plans.
    pub plans: bool,
    /// Grows with each change.
    pub version: i64,
}

/// What to turn on or off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetFeatures {
    /// Service plans. Off hides every trace of them; sessions that were agreed stand as appointments.
    plans: bool,
    /// The version that was looked at.
    version: Int<1, 1_000_000_000>,
}

/// What is turned on
#[utoipa::path(
    get, path = "/api/v1/admin/features", tag = "catalog", operation_id = "get_features",
    responses((status = 200, description = "As it is", body = Features)),
)]
pub(crate) async fn get(ctx: Ctx, staff: Staff) -> Answer<Json<Features>> {
    staff.require_everywhere(Permission::SettingsWrite)?;
    read(&ctx).await.map(Json)
}

/// Turn something on or off
#[utoipa::path(
    put, path = "/api/v1/admin/features", tag = "catalog", operation_id = "set_features",
    request_body = SetFeatures,
    responses((status = 200, description = "As it is now", body = Features)),
)]
pub(crate) async fn set(
    ctx: Ctx,
    staff: Staff,
    Body(wish): Body<SetFeatures>,
) -> Answer<Json<Features>> {
    staff.require_everywhere(Permission::SettingsWrite)?;
    let statement = queries::set_features(wish.plans, wish.version.get(), ctx.now);
    let changed: Option<Features> = ctx.db()?.batch(vec![statement]).await?.first(0)?;
    if let Some(features) = changed {
        return Ok(Json(features));
    }
    let current = serde_json::to_value(read(&ctx).await?).map_err(Problem::internal)?;
    Err(Problem::from(Code::StaleVersion).and("current", current))
}

async fn read(ctx: &Ctx) -> Answer<Features> {
    let features: Option<Features> = ctx.db()?.first(queries::features()).await?;
    features.ok_or_else(|| Problem::internal("no features"))
}

/// A statement that tells whether plans are on.
#[must_use]
pub fn is_on() -> Statement {
    queries::features()
}

/// Refuses when plans are off, as if the route were not there; `index` is that of [`is_on`].
///
/// # Errors
/// 404.
pub fn require_on(rows: &Rows, index: usize) -> Answer<()> {
    if rows.one::<Features>(index)?.plans { Ok(()) } else { Err(Code::NotFound.into()) }
}
