//! A token as it goes out to somebody who has just signed in.

use crate::auth::token::Audience;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::fields::{At, Id};

/// A token and its end.
pub struct Issued {
    /// The JWT.
    pub token: String,
    /// Good before this instant.
    pub expires_at: At,
}

/// A token for a row whose token version is `version`.
///
/// # Errors
/// None in practice: the configuration has a key.
pub fn issue(ctx: &Ctx, audience: Audience, id: &Id, version: i64) -> Answer<Issued> {
    let token = ctx.config().keys.issue(audience, id.as_str(), version, ctx.now);
    let token = token.ok_or_else(|| Problem::internal("no key signs tokens"))?;
    // A token's end has no milliseconds.
    let end = (ctx.now + audience.life_ms()).div_euclid(1000) * 1000;
    Ok(Issued { token, expires_at: At::utc(end) })
}
