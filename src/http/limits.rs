//! Rate limits against abuse. Cloudflare's counters are per location and eventually consistent, which
//! is enough to blunt an attack; where the count must be exact (sign-in codes), D1 keeps it.

use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;

/// A limiter; its numbers stand beside its binding in `wrangler.toml`.
#[derive(Clone, Copy)]
pub enum Limiter {
    /// Sign-in attempts of one address.
    SignIn,
    /// Sign-in codes asked for by one address.
    Code,
    /// Bookings, moves and cancellations of one member.
    Booking,
}

impl Limiter {
    const fn binding(self) -> &'static str {
        match self {
            Self::SignIn => "LIMIT_SIGN_IN",
            Self::Code => "LIMIT_CODE",
            Self::Booking => "LIMIT_BOOKING",
        }
    }
}

/// Counts one use.
///
/// # Errors
/// 429 `rate_limited` when there were too many. A limiter that does not answer limits nobody: it damps
/// abuse, it guards no invariant.
pub async fn count(ctx: &Ctx, limiter: Limiter, key: &str) -> Answer<()> {
    let Ok(binding) = ctx.env().rate_limiter(limiter.binding()) else { return Ok(()) };
    match binding.limit(key.to_owned()).await {
        Ok(outcome) if !outcome.success => Err(Problem::from(Code::RateLimited).retry_after(60)),
        _ => Ok(()),
    }
}
