//! One-time codes by SMS, for members and for staff: six digits, good for five minutes, once, for five
//! tries; one a minute and ten a Beijing day for each phone and audience.
//!
//! A code stands in the database as a keyed digest only. Every count is one conditional statement in
//! `queries`, so it is exact however many ask at once.
//!
//! Start at [`new`] and [`check`]. Touches `sign_in_code` and nothing else.

mod queries;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_providers::phone::Phone;

use crate::auth::token::Audience;
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::context::random;
use crate::http::fields;
use crate::http::{Ctx, outbound};

/// How long a code is good, in milliseconds.
const LIFE_MS: i64 = 5 * 60_000;
/// Least time between two codes for one phone, in milliseconds.
const MIN_GAP_MS: i64 = 60_000;
/// Codes a Beijing day for one phone.
const DAILY_CODES: i64 = 10;
/// Tries of one code.
const MAX_TRIES: i64 = 5;
/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;
/// What Beijing is ahead of UTC, in milliseconds; China has kept one offset since 1991.
const BEIJING_MS: i64 = 8 * 3_600_000;

/// Whose sign-in code is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    /// Where the code goes.
    pub phone: fields::Phone,
}

/// A code is on its way.
#[derive(Serialize, ToSchema)]
pub struct CodeSent {
    /// The next code for this phone may be asked for after so many seconds.
    pub retry_after_seconds: u32,
    /// The code is good for so many seconds.
    pub expires_in_seconds: u32,
}

/// A code that came by SMS.
pub type OneTimeCode = fields::Text<6, 6>;

/// Signing in with a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeSignIn {
    /// Where the code went.
    pub phone: fields::Phone,
    /// The six digits.
    pub code: OneTimeCode,
}

/// What every code is answered with.
pub const SENT: CodeSent = CodeSent {
    retry_after_seconds: MIN_GAP_MS as u32 / 1000,
    expires_in_seconds: LIFE_MS as u32 / 1000,
};

struct Asked {
    audience: Audience,
    phone: Phone,
    digest: String,
    now: i64,
    day: String,
}

#[derive(Deserialize)]
struct Counted {
    sent_at: i64,
    day: String,
    sent_today: i64,
}

#[derive(Deserialize)]
struct Tried {
    tries: i64,
    digest: String,
    sent_at: i64,
}

/// A code that has been counted and written, but not sent.
pub struct Unsent {
    audience: Audience,
    phone: Phone,
    code: String,
    digest: String,
}

/// Makes a code, if the phone's minute and day allow one.
///
/// # Errors
/// 429 `rate_limited`, with the exact time to wait.
pub async fn new(ctx: &Ctx, audience: Audience, phone: &Phone) -> Answer<Unsent> {
    let code = new_digits()?;
    let digest = ctx.config().keys.digest(&message(audience, phone, &code));
    let digest = digest.ok_or_else(|| Problem::internal("no key digests codes"))?;
    let day = beijing_day(ctx.now);
    let asked = Asked { audience, phone: phone.clone(), digest: digest.clone(), now: ctx.now, day };
    let statements = vec![queries::ask(&asked), queries::counted(audience, phone.as_str())];
    let rows = ctx.db()?.batch(statements).await?;
    if rows.text(0).is_some() {
        return Ok(Unsent { audience, phone: phone.clone(), code, digest });
    }
    let counted: Counted = rows.one(1)?;
    Err(Problem::from(Code::RateLimited).retry_after(wait_seconds(ctx.now, &counted)))
}

impl Unsent {
    /// Sends it. A code that was not sent is no code any more; that it was asked for stays counted.
    ///
    /// # Errors
    /// As [`outbound::sms`].
    pub async fn send(self, ctx: &Ctx) -> Answer<()> {
        let template = &ctx.config().sms_code_template;
        let sent = outbound::sms(ctx, &self.phone, template, &[("code", &self.code)]).await;
        if let Err(problem) = sent {
            let undo = queries::use_up(self.audience, self.phone.as_str(), &self.digest);
            ctx.db()?.batch(vec![undo]).await?;
            return Err(problem);
        }
        Ok(())
    }
}

/// Counts a try and compares. The statement answered uses the code up; the caller puts it first into
/// the batch of what the code is for, and asks [`won`] of that batch's rows.
///
/// # Errors
/// `wrong_code`, or `too_many_tries` from the sixth try on.
pub async fn check(ctx: &Ctx, audience: Audience, phone: &Phone, code: &str) -> Answer<Statement> {
    let counted = queries::try_once(audience, phone.as_str(), ctx.now);
    let rows = ctx.db()?.batch(vec![counted]).await?;
    let tried: Tried = rows.first(0)?.ok_or_else(wrong)?;
    if tried.tries > MAX_TRIES {
        let wait = seconds_until(tried.sent_at + MIN_GAP_MS, ctx.now);
        return Err(Problem::from(Code::TooManyTries).retry_after(wait));
    }
    if !ctx.config().keys.is_digest(&message(audience, phone, code), &tried.digest) {
        return Err(wrong());
    }
    Ok(queries::use_up(audience, phone.as_str(), &tried.digest))
}

/// Whether this caller was the one who used the code up.
///
/// # Errors
/// `wrong_code`: another request was first.
pub fn won(rows: &Rows) -> Answer<()> {
    rows.text(0).map(drop).ok_or_else(wrong)
}

/// A code that is not good, whatever the reason.
#[must_use]
pub fn wrong() -> Problem {
    Problem::from(Code::WrongCode).at("code")
}

fn message(audience: Audience, phone: &Phone, code: &str) -> String {
    format!("{}|{}|{code}", audience.as_str(), phone.as_str())
}

fn new_digits() -> Answer<String> {
    loop {
        if let Some(code) = digits(u32::from_be_bytes(random()?)) {
            return Ok(code);
        }
    }
}

/// Six digits from 32 random bits, each code as likely as any other: what lies beyond the last full
/// million (one draw in 4,400) is thrown away.
fn digits(random: u32) -> Option<String> {
    const CODES: u32 = 1_000_000;
    (random < u32::MAX / CODES * CODES).then(|| format!("{:06}", random % CODES))
}

fn beijing_day(now: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(now + BEIJING_MS);
    at.map(|at| at.date_naive().to_string()).unwrap_or_default()
}

/// Seconds after which a phone that was refused a code may have one.
fn wait_seconds(now: i64, counted: &Counted) -> u32 {
    let midnight = ((now + BEIJING_MS).div_euclid(DAY_MS) + 1) * DAY_MS - BEIJING_MS;
    let minute = counted.sent_at + MIN_GAP_MS;
    let is_full = counted.sent_today >= DAILY_CODES && counted.day >= beijing_day(now);
    seconds_until(if is_full { minute.max(midnight) } else { minute }, now)
}

/// Whole seconds from `now` until an instant has come, at least one.
fn seconds_until(at: i64, now: i64) -> u32 {
    u32::try_from((at - now + 999).div_euclid(1000)).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T12:00:00+08:00.
    const NOON: i64 = 1_795_406_400_000;

    #[test]
    fn a_code_has_six_digits_and_no_bias() {
        let cases = [
            (0, Some("000000")),
            (7, Some("000007")),
            (999_999, Some("999999")),
            (1_000_000, Some("000000")),
            (4_293_999_999, Some("999999")),
            (4_294_000_000, None),
            (u32::MAX, None),
        ];
        for (random, code) in cases {
            assert_eq!(digits(random).as_deref(), code, "{random}");
        }
    }

    #[test]
    fn the_day_is_beijings() {
        assert_eq!(beijing_day(NOON), "2026-11-23");
        assert_eq!(beijing_day(NOON + 12 * 3_600_000 - 1), "2026-11-23");
        assert_eq!(beijing_day(NOON + 12 * 3_600_000), "2026-11-24");
    }

    #[test]
    fn retry_after_is_exact() {
        let wait = |now, sent_at, sent_today, day: &str| {
            wait_seconds(now, &Counted { sent_at, day: day.to_owned(), sent_today })
        };
        let today = "2026-11-23";
        assert_eq!(wait(NOON, NOON, 1, today), 60);
        assert_eq!(wait(NOON + 1, NOON, 1, today), 60);
        assert_eq!(wait(NOON + 1_000, NOON, 9, today), 59);
        assert_eq!(wait(NOON + 59_001, NOON, 1, today), 1);
        assert_eq!(wait(NOON + 60_000, NOON, 1, today), 1, "never zero");
        // The tenth of the day: until midnight.
        assert_eq!(wait(NOON, NOON - 100_000, 10, today), 12 * 3600);
        // The tenth was sent just before midnight: the minute is what is left.
        let late = NOON + 12 * 3_600_000 - 10_000;
        assert_eq!(wait(late + 1_000, late, 10, today), 59);
        // Yesterday's ten do not count today.
        assert_eq!(wait(NOON, NOON - 1_000, 10, "2026-11-22"), 59);
    }

    #[test]
    fn a_digest_is_of_one_audience_and_phone() {
        let phone = |text| Phone::parse(text).expect("a phone");
        let one = message(Audience::Member, &phone("13800000000"), "000000");
        assert_eq!(one, "member|13800000000|000000");
        assert_ne!(one, message(Audience::Staff, &phone("13800000000"), "000000"));
    }
}
