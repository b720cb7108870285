//! What members say of themselves.

use axum::extract::Request;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use zhundian_domain::time::date_at;
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, TokenMember};
use crate::catalog::photos;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, bytes, refusal};
use crate::http::fields::{Birthday, present};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::member::sign_in::WechatCode;
use crate::member::{Gender, Nickname, Profile, queries, wechat};

/// What changes; what is left out stays, null takes away.
#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What they are called.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Nickname>)]
    pub nickname: Option<Option<Nickname>>,
    /// Only null, which takes the avatar away; `PUT /api/v1/me/avatar` puts one.
    #[serde(default, deserialize_with = "null")]
    #[schema(schema_with = null_schema)]
    pub avatar: bool,
    /// Their gender.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Gender>)]
    pub gender: Option<Option<Gender>>,
    /// Their birthday, not in the future.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Birthday>)]
    pub birthday: Option<Option<Birthday>>,
    /// What WeChat's phone number button gave: the phone behind it becomes theirs.
    #[serde(default)]
    pub phone_code: Option<WechatCode>,
}

/// A field that can only be null; whether it was there.
fn null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Option::<serde::de::IgnoredAny>::deserialize(deserializer)? {
        None => Ok(true),
        Some(_) => Err(refusal(Code::WrongType, "null")),
    }
}

fn null_schema() -> RefOr<Schema> {
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::Null).build()))
}

/// A photo's bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "a schema; the body is read as bytes")]
pub struct AvatarBytes(Vec<u8>);

/// Who am I
#[utoipa::path(
    get, path = "/api/v1/me", operation_id = "read_me", tag = "member",
    responses((status = 200, description = "The member", body = Profile)),
)]
pub async fn read(ctx: Ctx, member: TokenMember) -> Answer<Json<Profile>> {
    let rows = ctx.db()?.read(vec![member.check(), queries::read(&member.id)]).await?;
    member.checked(&rows, 0)?;
    Ok(Json(rows.one(1)?))
}

/// Change what I say of myself
///
/// With `phone_code`, a member known only by that phone is merged into this one, with their orders.
#[utoipa::path(
    patch, path = "/api/v1/me", operation_id = "change_me", tag = "member",
    request_body = Change,
    responses((status = 200, description = "The member", body = Profile)),
)]
pub async fn change(ctx: Ctx, member: Member, Body(body): Body<Change>) -> Answer<Json<Profile>> {
    if let Some(Some(birthday)) = body.birthday {
        let today = date_at(Zone::SHANGHAI, ctx.now);
        if let Some(today) = today.filter(|today| birthday.0 > *today) {
            let range = format!("1900-01-01..{today}");
            return Err(Problem::from(Code::OutOfRange).with(range).at("birthday"));
        }
    }
    let mut statements = Vec::new();
    if let Some(code) = &body.phone_code {
        limits::count(&ctx, Limiter::SignIn, &ctx.client_ip).await?;
        let phone = wechat::phone_number(&ctx, code.as_str()).await?;
        statements = queries::take_phone(&member.id, &phone, ctx.now);
    }
    statements.push(queries::change(&member.id, &body, ctx.now));
    let last = statements.len() - 1;
    let rows = ctx.db()?.batch(statements).await?;
    Ok(Json(rows.one(last)?))
}

/// Put my avatar
///
/// JPEG, PNG or WebP, 5 MB at most; which of them is told from the bytes.
#[utoipa::path(
    put, path = "/api/v1/me/avatar", operation_id = "put_my_avatar", tag = "member",
    request_body(content(
        (AvatarBytes = "image/jpeg"),
        (AvatarBytes = "image/png"),
        (AvatarBytes = "image/webp"),
    )),
    responses((status = 200, description = "The member", body = Profile)),
)]
pub async fn put_avatar(ctx: Ctx, member: Member, request: Request) -> Answer<Json<Profile>> {
    limits::count(&ctx, Limiter::Booking, &format!("avatar:{}", member.id)).await?;
    let photo = photos::store(&ctx, bytes(request).await?).await?;
    let put = queries::put_avatar(&member.id, &photo, ctx.now);
    let rows = ctx.db()?.batch(vec![put]).await?;
    Ok(Json(rows.one(0)?))
}
