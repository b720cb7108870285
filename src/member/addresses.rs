//! A member's addresses, for visits at home. An order keeps the one it was made with: later changes here
//! change no order.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::caller::{Member, TokenMember};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId};
use crate::http::fields::{Degrees, Id, Name, Phone, Text, present};
use crate::http::limits::{self, Limiter};
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::member::queries;

/// Addresses of one member.
pub const MAX_ADDRESSES: u32 = 20;

type Label = Text<1, 16>;
/// Street, house, flat.
pub type AddressText = Text<1, 200>;

/// A new address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAddress {
    /// What the member calls it.
    #[serde(default)]
    pub label: Option<Label>,
    /// Who is there.
    pub contact_name: Name,
    /// Their phone.
    pub contact_phone: Phone,
    /// Street, house, flat.
    pub text: AddressText,
    /// Of the same system as those of stores.
    pub latitude: Degrees<90>,
    /// Of the same system as those of stores.
    pub longitude: Degrees<180>,
}

/// What changes; what is left out stays. A point changes as a whole.
#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedAddress {
    /// What the member calls it; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Label>)]
    pub label: Option<Option<Label>>,
    /// Who is there.
    pub contact_name: Option<Name>,
    /// Their phone.
    pub contact_phone: Option<Phone>,
    /// Street, house, flat.
    pub text: Option<AddressText>,
    /// With `longitude`.
    pub latitude: Option<Degrees<90>>,
    /// With `latitude`.
    pub longitude: Option<Degrees<180>>,
}

/// An address.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Address {
    /// Its id.
    pub id: Id,
    /// What the member calls it.
    pub label: Option<String>,
    /// Who is there.
    pub contact_name: String,
    /// Their phone.
    pub contact_phone: String,
    /// Street, house, flat.
    pub text: String,
    /// In degrees.
    pub latitude: f64,
    /// In degrees.
    pub longitude: f64,
}

/// All addresses of a member.
#[derive(Serialize, ToSchema)]
pub struct Addresses {
    /// In the order in which they were made; at most 20.
    items: Vec<Address>,
}

/// My addresses
#[utoipa::path(
    get, path = "/api/v1/me/addresses", operation_id = "list_my_addresses", tag = "member",
    responses((status = 200, description = "All of them", body = Addresses)),
)]
pub(crate) async fn list(ctx: Ctx, member: TokenMember) -> Answer<Json<Addresses>> {
    let rows = ctx.db()?.read(vec![member.check(), queries::addresses(&member.id)]).await?;
    member.checked(&rows, 0)?;
    Ok(Json(Addresses { items: rows.all(1)? }))
}

/// A new address of mine
#[utoipa::path(
    post, path = "/api/v1/me/addresses", operation_id = "add_my_address", tag = "member",
    request_body = NewAddress,
    responses((status = 201, description = "Kept", body = Address)),
)]
pub(crate) async fn add(
    ctx: Ctx,
    member: Member,
    Body(body): Body<NewAddress>,
) -> Answer<Created<Address>> {
    limits::count(&ctx, Limiter::Booking, &format!("address:{}", member.id)).await?;
    let id = ctx.new_id()?;
    let statements = queries::add_address(&id, &member.id, &body, ctx.now, MAX_ADDRESSES);
    let rows = ctx.db()?.batch(statements.into()).await?;
    Ok(Created(rows.one(1)?))
}

/// Change an address of mine
#[utoipa::path(
    patch, path = "/api/v1/me/addresses/{id}", operation_id = "change_my_address", tag = "member",
    params(("id" = Id, Path, description = "The address")),
    request_body = ChangedAddress,
    responses((status = 200, description = "As it is now", body = Address)),
)]
pub(crate) async fn change(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
    Body(body): Body<ChangedAddress>,
) -> Answer<Json<Address>> {
    let missing = |field: &str| Err(Problem::from(Code::MissingField).at(field));
    match (body.latitude, body.longitude) {
        (None, Some(_)) => return missing("latitude"),
        (Some(_), None) => return missing("longitude"),
        _ => {}
    }
    let change = queries::change_address(&id, &member.id, &body, ctx.now);
    let rows = ctx.db()?.batch(vec![change]).await?;
    Ok(Json(rows.first(0)?.ok_or(Code::NotFound)?))
}

/// Take an address of mine away
#[utoipa::path(
    delete, path = "/api/v1/me/addresses/{id}", operation_id = "remove_my_address", tag = "member",
    params(("id" = Id, Path, description = "The address")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn remove(ctx: Ctx, member: Member, PathId(id): PathId) -> Answer<Response> {
    let rows = ctx.db()?.batch(vec![queries::remove_address(&id, &member.id)]).await?;
    let _: Id = rows.first(0)?.ok_or(Code::NotFound)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
