//! Members: signing in by WeChat or by one-time code, and what they say of themselves.
//!
//! A member is one person with one row, known by WeChat's openid, by a phone, or by both. A person who
//! came in both ways is two rows until they show WeChat's phone code; then the row without an openid is
//! merged into the other, in one batch (`queries::take_phone`). That no openid and no phone stands in
//! two rows is the unique indexes' to hold.
//!
//! - `sign_in`: `/auth/wechat`, `/auth/code`, `/auth/phone`, `/auth/sign-out`;
//! - `me`: `/me`;
//! - `addresses`: `/me/addresses`;
//! - `wechat`: the calls of WeChat's server API, with its access token.
//!
//! Touches `member`, `member_address`, `provider_token`, and of `orders` the member they belong to.

mod addresses;
mod me;
mod queries;
mod sign_in;
pub mod wechat;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Routes;
use crate::http::fields::{Id, Text};
use crate::routes;

/// What a member is called: 1 to 32 characters.
pub type Nickname = Text<1, 32>;

/// A gender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gender {
    /// Female.
    Female,
    /// Male.
    Male,
    /// Other.
    Other,
}

impl Gender {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Female => "female",
            Self::Male => "male",
            Self::Other => "other",
        }
    }
}

/// A member, as they see themselves.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The member's id.
    pub id: Id,
    /// Empty until they give one.
    pub nickname: String,
    /// A photo's id.
    pub avatar: Option<Id>,
    /// Their gender.
    pub gender: Option<Gender>,
    /// `YYYY-MM-DD`.
    pub birthday: Option<String>,
    /// Whole: it is their own.
    pub phone: Option<String>,
}

/// Routes.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(sign_in::by_wechat))
        .public(routes!(sign_in::ask_code))
        .public(routes!(sign_in::by_phone))
        .member(routes!(sign_in::sign_out))
        .member(routes!(me::read, me::change))
        .member(routes!(me::put_avatar))
        .member(routes!(addresses::list, addresses::add))
        .member(routes!(addresses::change, addresses::remove))
}
