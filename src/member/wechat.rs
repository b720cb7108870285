//! WeChat's server API on behalf of members.

use std::cell::RefCell;

use serde::Deserialize;
use zhundian_providers::phone::Phone;
use zhundian_providers::wechat::{Session, WechatError};

use crate::error::{Answer, Code, Problem};
use crate::http::outbound::{LIMITED_RETRY_SECONDS, UNAVAILABLE_RETRY_SECONDS};
use crate::http::{Ctx, outbound};
use crate::member::queries;

/// An access token is renewed so long before its end: WeChat then gives the next one, and takes the old
/// one until its end.
const RENEW_BEFORE_MS: i64 = 5 * 60_000;

#[derive(Clone, Deserialize)]
struct Kept {
    token: String,
    expires_at: i64,
}

thread_local! {
    /// What this isolate has last read or been given.
    static KNOWN: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// Who is behind a code of `wx.login`.
///
/// # Errors
/// By `problem`.
pub async fn session(ctx: &Ctx, code: &str) -> Answer<Session> {
    let program = &ctx.config().wechat;
    let received = outbound::send(&program.session(code)).await.map_err(unavailable)?;
    program.read_session(received.reply()).map_err(|error| problem(&error, "code"))
}

/// The phone number behind a code of the phone number button.
///
/// # Errors
/// By `problem`.
pub async fn phone_number(ctx: &Ctx, code: &str) -> Answer<Phone> {
    let token = access_token(ctx, None).await?;
    match ask_phone_number(ctx, &token, code).await? {
        // WeChat can void a token before its end; the code is not used up by that.
        Err(WechatError::TokenExpired) => {
            let token = access_token(ctx, Some(&token)).await?;
            ask_phone_number(ctx, &token, code).await?
        }
        answered => answered,
    }
    .map_err(|error| problem(&error, "phone_code"))
}

async fn ask_phone_number(
    ctx: &Ctx,
    token: &str,
    code: &str,
) -> Answer<Result<Phone, WechatError>> {
    let program = &ctx.config().wechat;
    let received = outbound::send(&program.phone_number(token, code)).await.map_err(unavailable)?;
    Ok(program.read_phone_number(received.reply()))
}

/// The access token that all isolates share; a new one when it nears its end, or when it is `stale`. An
/// isolate reads it from D1 once: if another one has renewed it, WeChat says so.
///
/// # Errors
/// By `problem`; 503.
pub async fn access_token(ctx: &Ctx, stale: Option<&str>) -> Answer<String> {
    let good = |kept: &Kept| {
        kept.expires_at - RENEW_BEFORE_MS > ctx.now && Some(kept.token.as_str()) != stale
    };
    if let Some(known) = KNOWN.with_borrow(Clone::clone).filter(good) {
        return Ok(known.token);
    }
    let db = ctx.db()?;
    let kept: Option<Kept> = db.first(queries::access_token()).await?;
    if let Some(kept) = kept.filter(good) {
        KNOWN.replace(Some(kept.clone()));
        return Ok(kept.token);
    }
    let program = &ctx.config().wechat;
    let received = outbound::send(&program.access_token()).await.map_err(unavailable)?;
    let token = program
        .read_access_token(received.reply())
        .map_err(|error| problem(&error, "phone_code"))?;
    db.batch(vec![queries::keep_access_token(&token, ctx.now, stale)]).await?;
    Ok(token.token)
}

fn unavailable(cause: impl std::fmt::Display) -> Problem {
    Problem::from(Code::WechatUnavailable).retry_after(UNAVAILABLE_RETRY_SECONDS).caused_by(cause)
}

/// What a client gets to see of WeChat's refusal; `field` is where its code stands.
fn problem(error: &WechatError, field: &str) -> Problem {
    match error {
        WechatError::InvalidCode => Problem::from(Code::WechatCodeInvalid).at(field),
        WechatError::CodeUsed => Problem::from(Code::WechatCodeUsed).at(field),
        WechatError::UnsupportedPhone => Problem::from(Code::InvalidPhone).at(field),
        WechatError::HighRiskUser => Code::WechatRefused.into(),
        WechatError::RateLimited => {
            Problem::from(Code::RateLimited).retry_after(LIMITED_RETRY_SECONDS).caused_by(error)
        }
        WechatError::Misconfigured { .. } => Problem::from(Code::Misconfigured)
            .with("WeChat")
            .retry_after(LIMITED_RETRY_SECONDS)
            .caused_by(error),
        WechatError::Busy | WechatError::TokenExpired | WechatError::Unexpected { .. } => {
            unavailable(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_answer() {
        let unexpected =
            WechatError::Unexpected { status: 200, errcode: Some(1), reason: "not in the table" };
        let cases = [
            (WechatError::InvalidCode, Code::WechatCodeInvalid, None),
            (WechatError::CodeUsed, Code::WechatCodeUsed, None),
            (WechatError::HighRiskUser, Code::WechatRefused, None),
            (WechatError::RateLimited, Code::RateLimited, Some(60)),
            (WechatError::Busy, Code::WechatUnavailable, Some(5)),
            (WechatError::TokenExpired, Code::WechatUnavailable, Some(5)),
            (unexpected, Code::WechatUnavailable, Some(5)),
            (WechatError::UnsupportedPhone, Code::InvalidPhone, None),
            (WechatError::Misconfigured { errcode: 40125 }, Code::Misconfigured, Some(60)),
        ];
        for (error, code, wait) in cases {
            let problem = problem(&error, "code");
            assert_eq!((problem.code(), problem.retry_after_seconds()), (code, wait), "{error}");
        }
    }
}
