//! Staff sign in and out.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_providers::phone::Phone;

use crate::auth::caller::{Grant, Scope, Staff};
use crate::auth::code::{self, CodeRequest, CodeSent, CodeSignIn, Unsent};
use crate::auth::issued::{Issued, issue};
use crate::auth::permission::Permission;
use crate::auth::token::Audience;
use crate::error::Answer;
use crate::http::extract::Body;
use crate::http::fields::{At, Id};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::staff::queries;

/// A member of staff, as they see themselves.
#[derive(Serialize, ToSchema)]
pub struct StaffSelf {
    /// The staff row's id.
    pub id: Id,
    /// Their name.
    pub name: String,
    /// The technician that they are, if they are one.
    pub technician_id: Option<Id>,
    /// Their roles.
    pub grants: Vec<Grant>,
    /// What the roles allow.
    pub permissions: Vec<PermissionScope>,
}

/// Where somebody has a permission.
#[derive(Serialize, ToSchema)]
pub struct PermissionScope {
    /// Such as `booking.read`.
    pub permission: String,
    /// The stores; all of them when null.
    pub store_ids: Option<Vec<Id>>,
}

impl From<Staff> for StaffSelf {
    fn from(staff: Staff) -> Self {
        let permissions = Permission::ALL
            .iter()
            .filter_map(|permission| {
                let store_ids = match staff.scope(*permission) {
                    Scope::All => None,
                    Scope::Stores(stores) if stores.is_empty() => return None,
                    Scope::Stores(mut stores) => {
                        stores.sort();
                        stores.dedup();
                        Some(stores)
                    }
                };
                Some(PermissionScope { permission: permission.as_str().to_owned(), store_ids })
            })
            .collect();
        let Staff { id, name, technician_id, grants, .. } = staff;
        Self { id, name, technician_id, grants, permissions }
    }
}

/// A signed-in member of staff.
#[derive(Serialize, ToSchema)]
pub struct StaffSession {
    /// For `Authorization: Bearer …`.
    pub token: String,
    /// The token is good before this instant.
    pub expires_at: At,
    /// Who signed in.
    pub staff: StaffSelf,
}

/// Ask for a one-time code by SMS
///
/// The answer is the same whether or not somebody of the staff has the phone.
#[utoipa::path(
    post, path = "/api/v1/staff/auth/code", operation_id = "ask_staff_code", tag = "staff",
    request_body = CodeRequest,
    responses((status = 202, description = "A code is on its way if the phone is known", body = CodeSent)),
)]
pub async fn ask_code(ctx: Ctx, Body(body): Body<CodeRequest>) -> Answer<Response> {
    limits::count(&ctx, Limiter::Code, &ctx.client_ip).await?;
    // Counted and written for any phone; who has it is looked up after the answer, so that neither the
    // answer nor the time it takes tells.
    let phone = body.phone.0;
    let unsent = code::new(&ctx, Audience::Staff, &phone).await?;
    let after = ctx.clone();
    ctx.after_response(async move {
        if let Err(problem) = send_if_known(&after, &phone, unsent).await {
            let line = serde_json::json!({
                "event": "staff_code",
                "request_id": after.request_id,
                "code": problem.code().as_str(),
                "cause": problem.cause(),
            });
            worker::console_error!("{line}");
        }
    })
    .await;
    Ok((StatusCode::ACCEPTED, Json(code::SENT)).into_response())
}

async fn send_if_known(ctx: &Ctx, phone: &Phone, unsent: Unsent) -> Answer<()> {
    let known = queries::is_known(phone.as_str(), *phone == ctx.config().owner_phone);
    match ctx.db()?.first::<bool>(known).await? {
        Some(_) => unsent.send(ctx).await,
        None => Ok(()),
    }
}

/// Sign in by one-time code
///
/// The phone of the configuration makes the first owner.
#[utoipa::path(
    post, path = "/api/v1/staff/auth/token", operation_id = "sign_in_staff", tag = "staff",
    request_body = CodeSignIn,
    responses((status = 200, description = "Signed in", body = StaffSession)),
)]
pub async fn by_code(ctx: Ctx, Body(body): Body<CodeSignIn>) -> Answer<Json<StaffSession>> {
    #[derive(Deserialize)]
    struct Version {
        token_version: i64,
    }
    limits::count(&ctx, Limiter::SignIn, &ctx.client_ip).await?;
    let phone = &body.phone.0;
    let mut batch = vec![code::check(&ctx, Audience::Staff, phone, body.code.as_str()).await?];
    if *phone == ctx.config().owner_phone {
        batch.extend(queries::make_owner(&ctx.new_id()?, phone.as_str(), ctx.now));
    }
    let last = batch.len();
    batch.push(queries::by_phone(phone.as_str()));
    let rows = ctx.db()?.batch(batch).await?;
    code::won(&rows)?;
    let staff: Staff = rows.first(last)?.ok_or_else(code::wrong)?;
    let Version { token_version } = rows.one(last)?;
    let Issued { token, expires_at } = issue(&ctx, Audience::Staff, &staff.id, token_version)?;
    Ok(Json(StaffSession { token, expires_at, staff: staff.into() }))
}

/// Sign out
///
/// Everywhere: each of one's tokens is void.
#[utoipa::path(
    post, path = "/api/v1/staff/auth/sign-out", operation_id = "sign_out_staff", tag = "staff",
    responses((status = 204, description = "Signed out")),
)]
pub async fn sign_out(ctx: Ctx, staff: Staff) -> Answer<StatusCode> {
    ctx.db()?.batch(vec![queries::sign_out(&staff.id)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who am I, and what may I do
#[utoipa::path(
    get, path = "/api/v1/staff/me", operation_id = "read_staff_me", tag = "staff",
    responses((status = 200, description = "The member of staff", body = StaffSelf)),
)]
pub async fn me(staff: Staff) -> Json<StaffSelf> {
    Json(staff.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_name_their_stores_once() {
        let a = "a".repeat(32);
        let staff: Staff = serde_json::from_value(serde_json::json!({
            "id": "0".repeat(32), "name": "小王", "technician_id": null, "token_version": 0,
            "grants": [
                {"role": "technician", "store_id": null},
                {"role": "cashier", "store_id": a},
                {"role": "manager", "store_id": a},
            ],
        }))
        .expect("a row");
        let seen = serde_json::to_value(StaffSelf::from(staff)).expect("JSON");
        let scope = |name: &str| {
            let mut all = seen["permissions"].as_array().expect("a list").iter();
            all.find(|scope| scope["permission"] == name).map(|scope| scope["store_ids"].clone())
        };
        assert_eq!(scope("booking.read_own"), Some(serde_json::Value::Null));
        assert_eq!(scope("booking.read"), Some(serde_json::json!([a])));
        assert_eq!(scope("staff.write"), None);
    }
}
