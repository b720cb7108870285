//! Who calls: a member or a member of staff, known by the token in `Authorization: Bearer …`.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::auth::permission::{Permission, Role};
use crate::auth::token::{Audience, Claims};
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::fields::Id;
use crate::sql;

fn claims(ctx: &Ctx, headers: &HeaderMap, audience: Audience) -> Answer<(Id, i64)> {
    let header = headers.get(http::header::AUTHORIZATION).ok_or(Code::SignInRequired)?;
    let token = header
        .to_str()
        .ok()
        .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
        .ok_or(Code::InvalidToken)?;
    let Claims { sub, ver, .. } = ctx.config().keys.verify(token.trim(), audience, ctx.now)?;
    Ok((sub.parse().map_err(|()| Problem::from(Code::InvalidToken))?, ver))
}

/// A member whose token is good, but whose row has not been looked at. A handler that wants to save a
/// query puts [`TokenMember::check`] into its own first batch; every other takes [`Member`].
#[derive(Clone, Debug)]
pub struct TokenMember {
    /// The member's id.
    pub id: Id,
    version: i64,
}

/// The member that a request's token speaks of.
///
/// # Errors
/// 401.
pub fn member(ctx: &Ctx, headers: &HeaderMap) -> Answer<TokenMember> {
    claims(ctx, headers, Audience::Member).map(|(id, version)| TokenMember { id, version })
}

impl TokenMember {
    /// A statement that answers a row if the member is still there and has not signed out since.
    #[must_use]
    pub fn check(&self) -> Statement {
        sql!(
            "SELECT 'true' AS json FROM member
             WHERE id = ?1 AND token_version = ?2 AND status = 'active'",
            &self.id,
            self.version
        )
    }

    /// Reads the answer of [`TokenMember::check`], which was statement `index` of a batch.
    ///
    /// # Errors
    /// 401 `invalid_token`.
    pub fn checked(self, rows: &Rows, index: usize) -> Answer<Member> {
        match rows.text(index) {
            Some(_) => Ok(Member { id: self.id }),
            None => Err(Code::InvalidToken.into()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for TokenMember {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::internal("no member on this route"))
    }
}

/// A signed-in member.
#[derive(Clone, Debug)]
pub struct Member {
    /// The member's id.
    pub id: Id,
}

impl<S: Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let ctx = Ctx::from_request_parts(parts, state).await?;
        let member = TokenMember::from_request_parts(parts, state).await?;
        let rows = ctx.db()?.read(vec![member.check()]).await?;
        member.checked(&rows, 0)
    }
}

/// A role in one store, or in all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The store; all stores when absent or null.
    #[serde(default)]
    pub store_id: Option<Id>,
}

/// A signed-in member of staff.
#[derive(Clone, Debug, Deserialize)]
pub struct Staff {
    /// The staff row's id.
    pub id: Id,
    /// Their name.
    pub name: String,
    /// The technician that they are, if they are one.
    pub technician_id: Option<Id>,
    token_version: i64,
    /// Their roles.
    pub grants: Vec<Grant>,
}

/// In which stores somebody has a permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In all, future ones among them.
    All,
    /// In these.
    Stores(Vec<Id>),
}

impl Scope {
    /// A JSON list of the stores for `json_each`, or `None` for all of them.
    #[must_use]
    pub fn json(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Stores(ids) => serde_json::to_string(ids).ok(),
        }
    }
}

/// The member of staff that a request's token speaks of, with `needed` in some store.
///
/// # Errors
/// 401, or 403 `forbidden` with the permission's name.
pub async fn staff(ctx: &Ctx, headers: &HeaderMap, needed: Option<Permission>) -> Answer<Staff> {
    let (id, version) = claims(ctx, headers, Audience::Staff)?;
    let statement = sql!(
        "SELECT json_object('id', id, 'name', name, 'technician_id', technician_id,
            'token_version', token_version,
            'grants', (SELECT json_group_array(json_object('role', role, 'store_id', store_id))
                FROM staff_grant WHERE staff_id = staff.id)) AS json
         FROM staff WHERE id = ?1 AND status = 'active'",
        &id
    );
    let staff: Option<Staff> = ctx.db()?.first(statement).await?;
    let staff = staff.filter(|staff| staff.token_version == version).ok_or(Code::InvalidToken)?;
    if let Some(needed) = needed
        && staff.scope(needed) == Scope::Stores(Vec::new())
    {
        return Err(Problem::from(Code::Forbidden).with(needed.as_str()));
    }
    Ok(staff)
}

impl Staff {
    /// Where they have a permission.
    #[must_use]
    pub fn scope(&self, permission: Permission) -> Scope {
        let mut stores = Vec::new();
        for grant in self.grants.iter().filter(|grant| grant.role.has(permission)) {
            match &grant.store_id {
                None => return Scope::All,
                Some(store) => stores.push(store.clone()),
            }
        }
        Scope::Stores(stores)
    }

    /// Whether they have a permission in a store.
    #[must_use]
    pub fn may(&self, permission: Permission, store: &Id) -> bool {
        match self.scope(permission) {
            Scope::All => true,
            Scope::Stores(stores) => stores.contains(store),
        }
    }

    /// Requires a permission in a store.
    ///
    /// # Errors
    /// 403 `foreign_store`.
    pub fn require(&self, permission: Permission, store: &Id) -> Answer<()> {
        if self.may(permission, store) { Ok(()) } else { Err(Code::ForeignStore.into()) }
    }

    /// Requires a permission in every one of several stores.
    ///
    /// # Errors
    /// 403 `foreign_store`.
    pub fn require_each<'a>(
        &self,
        permission: Permission,
        stores: impl IntoIterator<Item = &'a Id>,
    ) -> Answer<()> {
        stores.into_iter().try_for_each(|store| self.require(permission, store))
    }

    /// Requires a permission in all stores.
    ///
    /// # Errors
    /// 403 `foreign_store`.
    pub fn require_everywhere(&self, permission: Permission) -> Answer<()> {
        if self.scope(permission) == Scope::All { Ok(()) } else { Err(Code::ForeignStore.into()) }
    }
}

impl<S: Sync> FromRequestParts<S> for Staff {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::internal("no staff on this route"))
    }
}
