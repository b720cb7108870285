//! Finding the member to book for.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::Answer;
use crate::http::extract::Query;
use crate::http::fields::{Id, Phone};
use crate::http::{Ctx, Json};
use crate::member::Gender;
use crate::staff::queries;

/// Which member.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindMember {
    /// The whole number.
    pub phone: Phone,
}

/// The members found.
#[derive(Serialize, ToSchema)]
pub struct FoundMembers {
    /// One at most.
    pub items: Vec<FoundMember>,
}

/// A member, as staff see them.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct FoundMember {
    /// The member's id.
    pub id: Id,
    /// Empty until they give one.
    pub nickname: String,
    /// A photo's id.
    pub avatar: Option<Id>,
    /// Their gender.
    pub gender: Option<Gender>,
    /// With its middle hidden: `138****0000`.
    pub phone: String,
}

/// Find a member by phone
#[utoipa::path(
    get, path = "/api/v1/staff/members", operation_id = "find_members", tag = "staff",
    params(FindMember),
    responses((status = 200, description = "The members found", body = FoundMembers)),
)]
pub async fn find(ctx: Ctx, Query(query): Query<FindMember>) -> Answer<Json<FoundMembers>> {
    let found: Option<FoundMember> =
        ctx.db()?.first(queries::member_by_phone(&query.phone)).await?;
    let masked = found.map(|found| FoundMember { phone: query.phone.0.masked(), ..found });
    Ok(Json(FoundMembers { items: masked.into_iter().collect() }))
}
