//! Bringing a pending payment to its end: the provider is asked, then told to close it. Money is never
//! given up on a guess, so what the provider does not say leaves the payment pending.

use zhundian_providers::payment::{CloseOutcome, QueryOutcome};

use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::payment::channel::Provider;
use crate::payment::record::{self, Recorded, Row};
use crate::payment::{provider, queries};

/// The provider is asked about a pending payment this long after it was asked for; later and later up
/// to the longest pause.
pub const FIRST_CHECK_MS: i64 = 30_000;
const MAX_CHECK_MS: i64 = 5 * 60_000;

/// How a payment ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was paid, and is recorded.
    Paid,
    /// Nobody can pay it any more.
    Closed,
    /// It may still be paid.
    Pending,
}

/// Asks about a payment, and records it when it is paid.
///
/// # Errors
/// 503 when the provider does not say.
pub async fn ask(ctx: &Ctx, row: &Row) -> Answer<Ended> {
    match provider::query(ctx, row.provider, row.id.as_str()).await? {
        QueryOutcome::Paid(said) | QueryOutcome::RefundedSince(said) => {
            match record::record(ctx, row.provider, &said).await? {
                Recorded::Done => Ok(Ended::Paid),
                // Staff have been told; it is not the payment that was asked for.
                Recorded::Mismatch(_) | Recorded::Unknown => Ok(Ended::Pending),
            }
        }
        QueryOutcome::Closed => closed(ctx, row.id.as_str()).await,
        QueryOutcome::NotPaid | QueryOutcome::NotFound | QueryOutcome::Pending => {
            Ok(Ended::Pending)
        }
        QueryOutcome::Unknown(doubt) => Err(Problem::unavailable(doubt)),
    }
}

/// Asks about a payment and closes it if it is not paid. One that is paid in the last moment is
/// recorded.
///
/// # Errors
/// 503 when the provider does not say; the payment stays pending.
pub async fn conclude(ctx: &Ctx, payment_id: &str) -> Answer<Ended> {
    let Some(row) = record::read(ctx, payment_id).await? else { return Ok(Ended::Closed) };
    match row.status {
        zhundian_domain::payment::PaymentStatus::Paid => return Ok(Ended::Paid),
        zhundian_domain::payment::PaymentStatus::Closed => return Ok(Ended::Closed),
        zhundian_domain::payment::PaymentStatus::Pending => {}
    }
    match ask(ctx, &row).await? {
        Ended::Pending => {}
        ended => return Ok(ended),
    }
    match provider::close(ctx, row.provider, payment_id).await? {
        CloseOutcome::Closed => closed(ctx, payment_id).await,
        // A QR code of Alipay's that nobody has scanned is no trade yet. One who scans it later pays in
        // vain, and is refunded.
        CloseOutcome::NotFound if row.provider == Provider::Alipay || now_ms() > row.expires_at => {
            closed(ctx, payment_id).await
        }
        CloseOutcome::NotFound => Ok(Ended::Pending),
        CloseOutcome::AlreadyPaid => match ask(ctx, &row).await? {
            Ended::Paid => Ok(Ended::Paid),
            Ended::Closed => Ok(Ended::Closed),
            Ended::Pending => Err(Problem::unavailable("paid, as it says, and not paid")),
        },
        CloseOutcome::Unknown(doubt) => Err(Problem::unavailable(doubt)),
    }
}

async fn closed(ctx: &Ctx, payment_id: &str) -> Answer<Ended> {
    ctx.db()?.batch(vec![queries::payment_closed(payment_id, now_ms())]).await?;
    Ok(Ended::Closed)
}

/// When the provider is asked next, after so many times.
#[must_use]
pub fn next_check(checks: i64) -> i64 {
    now_ms() + (FIRST_CHECK_MS << checks.clamp(0, 5)).min(MAX_CHECK_MS)
}
