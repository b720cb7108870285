//! The keys that WeChat Pay signs with: those that are configured, and the platform certificates that
//! it hands out itself, kept in D1. So its keys change without a deployment.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Deserialize;
use zhundian_providers::wechat_pay::{CertificatesOutcome, Merchant};

use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::payment::crypto::WebCrypto;
use crate::payment::{provider, queries};

/// How long an isolate goes by what it has read, when somebody names a serial it does not know.
const READ_AGAIN_MS: i64 = 60_000;

thread_local! {
    /// The merchant with every known key, and when that was read.
    static MERCHANT: RefCell<Option<(Arc<Merchant>, i64)>> = const { RefCell::new(None) };
}

#[derive(Deserialize)]
struct Kept {
    pem: String,
}

/// The merchant, with the keys that are configured. When `serial` is none of them, those in D1 are
/// read as well, at most once a minute.
///
/// # Errors
/// `payment_not_offered` when WeChat Pay is not configured.
pub async fn merchant(ctx: &Ctx, serial: Option<&str>) -> Answer<Arc<Merchant>> {
    let configured = ctx.config().wechat_pay.as_ref().ok_or(Code::PaymentNotOffered)?;
    let (known, read_at) =
        MERCHANT.with_borrow(Clone::clone).unwrap_or_else(|| (Arc::new(configured.clone()), 0));
    let missing = serial.is_some_and(|serial| known.verification_keys.get(serial).is_none());
    if !missing || now_ms() - read_at < READ_AGAIN_MS {
        return Ok(known);
    }
    let mut merchant = configured.clone();
    let kept: Vec<Kept> =
        ctx.db()?.read(vec![queries::keys("wechat_pay", now_ms())]).await?.all(0)?;
    for key in kept {
        merchant
            .verification_keys
            .insert_certificate(&key.pem)
            .map_err(|error| Problem::internal(format!("provider_key: {error}")))?;
    }
    let merchant = Arc::new(merchant);
    MERCHANT.replace(Some((Arc::clone(&merchant), now_ms())));
    Ok(merchant)
}

/// Asks WeChat Pay for its certificates and keeps them. Answers how many there are.
///
/// # Errors
/// 503 when it does not answer.
pub async fn refresh(ctx: &Ctx) -> Answer<usize> {
    if ctx.config().wechat_pay.is_none() {
        return Ok(0);
    }
    let merchant = merchant(ctx, None).await?;
    let request = provider::built(merchant.certificates(&WebCrypto, provider::stamp()?).await)?;
    let received =
        provider::to_wechat_pay(&merchant, &request).await.map_err(Problem::unavailable)?;
    let reply = received.signed();
    match merchant.read_certificates(&WebCrypto, provider::seconds(), reply).await {
        CertificatesOutcome::NotOffered => Ok(0),
        CertificatesOutcome::Unknown(doubt) => Err(Problem::unavailable(doubt)),
        CertificatesOutcome::Certificates(certificates) => {
            let count = certificates.len();
            let statements = certificates
                .into_iter()
                .map(|one| {
                    queries::keep_key("wechat_pay", &one.serial, &one.pem, one.expires_at_ms)
                })
                .collect();
            ctx.db()?.batch(statements).await?;
            // This isolate need not wait until it may read them again.
            MERCHANT.replace(None);
            Ok(count)
        }
    }
}
