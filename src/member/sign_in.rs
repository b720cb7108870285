//! Members sign in and out.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::caller::Member;
use crate::auth::code::{self, CodeRequest, CodeSent, CodeSignIn};
use crate::auth::issued::{Issued, issue};
use crate::auth::token::Audience;
use crate::error::Answer;
use crate::http::extract::Body;
use crate::http::fields::{At, Text};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::member::{Profile, queries, wechat};

/// A code that WeChat gave the mini program: 1 to 128 characters.
pub type WechatCode = Text<1, 128>;

/// Signing in through WeChat.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WechatSignIn {
    /// What `wx.login` gave.
    pub code: WechatCode,
}

/// A signed-in member.
#[derive(Serialize, ToSchema)]
pub struct MemberSession {
    /// For `Authorization: Bearer …`.
    pub token: String,
    /// The token is good before this instant.
    pub expires_at: At,
    /// Who signed in.
    pub member: Profile,
}

#[derive(Deserialize)]
struct SignedIn {
    token_version: i64,
    member: Profile,
}

fn session(ctx: &Ctx, signed_in: SignedIn) -> Answer<Json<MemberSession>> {
    let SignedIn { token_version, member } = signed_in;
    let Issued { token, expires_at } = issue(ctx, Audience::Member, &member.id, token_version)?;
    Ok(Json(MemberSession { token, expires_at, member }))
}

/// Sign in through WeChat
///
/// Whoever comes for the first time becomes a member.
#[utoipa::path(
    post, path = "/api/v1/auth/wechat", operation_id = "sign_in_by_wechat", tag = "member",
    request_body = WechatSignIn,
    responses((status = 200, description = "Signed in", body = MemberSession)),
)]
pub async fn by_wechat(ctx: Ctx, Body(body): Body<WechatSignIn>) -> Answer<Json<MemberSession>> {
    limits::count(&ctx, Limiter::SignIn, &ctx.client_ip).await?;
    let who = wechat::session(&ctx, body.code.as_str()).await?;
    let upsert = queries::by_openid(&ctx.new_id()?, &who, ctx.now);
    let rows = ctx.db()?.batch(vec![upsert]).await?;
    session(&ctx, rows.one(0)?)
}

/// Ask for a one-time code by SMS
#[utoipa::path(
    post, path = "/api/v1/auth/code", operation_id = "ask_sign_in_code", tag = "member",
    request_body = CodeRequest,
    responses((status = 202, description = "The code is on its way", body = CodeSent)),
)]
pub async fn ask_code(ctx: Ctx, Body(body): Body<CodeRequest>) -> Answer<Response> {
    limits::count(&ctx, Limiter::Code, &ctx.client_ip).await?;
    let unsent = code::new(&ctx, Audience::Member, &body.phone.0).await?;
    unsent.send(&ctx).await?;
    Ok((StatusCode::ACCEPTED, Json(code::SENT)).into_response())
}

/// Sign in by one-time code
///
/// Whoever comes for the first time becomes a member.
#[utoipa::path(
    post, path = "/api/v1/auth/phone", operation_id = "sign_in_by_phone", tag = "member",
    request_body = CodeSignIn,
    responses((status = 200, description = "Signed in", body = MemberSession)),
)]
pub async fn by_phone(ctx: Ctx, Body(body): Body<CodeSignIn>) -> Answer<Json<MemberSession>> {
    limits::count(&ctx, Limiter::SignIn, &ctx.client_ip).await?;
    let phone = &body.phone.0;
    let use_up = code::check(&ctx, Audience::Member, phone, body.code.as_str()).await?;
    let upsert = queries::by_phone(&ctx.new_id()?, phone, ctx.now);
    let rows = ctx.db()?.batch(vec![use_up, upsert]).await?;
    code::won(&rows)?;
    session(&ctx, rows.one(1)?)
}

/// Sign out
///
/// Everywhere: each of the member's tokens is void.
#[utoipa::path(
    post, path = "/api/v1/auth/sign-out", operation_id = "sign_out", tag = "member",
    responses((status = 204, description = "Signed out")),
)]
pub async fn sign_out(ctx: Ctx, member: Member) -> Answer<StatusCode> {
    ctx.db()?.batch(vec![queries::sign_out(&member.id)]).await?;
    Ok(StatusCode::NO_CONTENT)
}
