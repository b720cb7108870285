//! Notices of payments and refunds, which WeChat Pay posts to the `notify_url`.
//!
//! They are answered with 200 or 204 within 5 seconds, or come again, up to 15 times in a day; that
//! they come at all is not promised. One whose signature is false on purpose
//! (`WECHATPAY/SIGNTEST/…`) comes now and then, to see whether it is refused.
//!
//! The order of work: the signature over the raw body, then the envelope, then the seal, then the
//! content.

use std::fmt;

use serde::Deserialize;

use super::Merchant;
use super::sign::Unverified;
use super::wire::{RefundWire, Sealed, TransactionWire, read_json};
use crate::crypto::Crypto;
use crate::http::Headers;
use crate::payment::{Mismatch, NoticeError, VerifiedNotice, clean};

/// A notice as it came: nothing in it counts before [`verify`](Self::verify). `Debug` shows the
/// headers' names and the body's length.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// All headers of the request.
    pub headers: Headers<'a>,
    /// The body's raw bytes, at most [`MAX_REPLY_BYTES`](crate::http::MAX_REPLY_BYTES).
    pub body: &'a [u8],
}

impl fmt::Debug for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

#[derive(Deserialize)]
struct Envelope {
    event_type: String,
    resource: Resource,
}

#[derive(Deserialize)]
struct Resource {
    original_type: Option<String>,
    #[serde(flatten)]
    sealed: Sealed,
}

impl Notice<'_> {
    /// Verifies, opens and reads the notice. It names this merchant, and a payment this app.
    ///
    /// # Errors
    /// [`NoticeError`], whose [`http_status`](NoticeError::http_status) is the answer.
    pub async fn verify(
        &self,
        merchant: &Merchant,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
    ) -> Result<VerifiedNotice, NoticeError> {
        let keys = &merchant.verification_keys;
        keys.verify(crypto, now_unix_seconds, self.headers, self.body).await.map_err(
            |unverified| match unverified {
                Unverified::Because(reason) => NoticeError::NotVerified(reason),
                Unverified::Crypto(error) => NoticeError::Crypto(error),
            },
        )?;
        let envelope: Envelope = read_json(self.body)
            .ok_or(NoticeError::Unreadable("the body is not the JSON it should be"))?;
        let content = envelope.resource.sealed.open(crypto, &merchant.api_v3_key).await.map_err(
            |unopened| match unopened {
                Unverified::Because(reason) => NoticeError::Unreadable(reason),
                Unverified::Crypto(error) => NoticeError::Crypto(error),
            },
        )?;
        let event_type = envelope.event_type.as_str();
        match (event_type, envelope.resource.original_type.as_deref()) {
            ("TRANSACTION.SUCCESS", Some("transaction")) => paid(merchant, &content),
            ("REFUND.SUCCESS" | "REFUND.ABNORMAL" | "REFUND.CLOSED", Some("refund")) => {
                refund(merchant, &content)
            }
            _ => Ok(VerifiedNotice::Other { kind: clean(event_type) }),
        }
    }
}

fn paid(merchant: &Merchant, content: &[u8]) -> Result<VerifiedNotice, NoticeError> {
    let wire: TransactionWire =
        read_json(content).ok_or(NoticeError::Unreadable("the content is not a transaction"))?;
    if wire.trade_state.as_deref() != Some("SUCCESS") {
        return Err(NoticeError::Unreadable("trade_state is not SUCCESS"));
    }
    let transaction = wire.into_transaction().map_err(NoticeError::Unreadable)?;
    if transaction.app_id != merchant.appid {
        return Err(Mismatch::AppId.into());
    }
    if transaction.merchant_id != merchant.mchid {
        return Err(Mismatch::MerchantId.into());
    }
    Ok(VerifiedNotice::Paid(transaction))
}

fn refund(merchant: &Merchant, content: &[u8]) -> Result<VerifiedNotice, NoticeError> {
    let wire: RefundWire =
        read_json(content).ok_or(NoticeError::Unreadable("the content is not a refund"))?;
    if wire.mchid.as_ref() != Some(&merchant.mchid) {
        return Err(Mismatch::MerchantId.into());
    }
    let (status, refund) = wire.into_refund().map_err(NoticeError::Unreadable)?;
    Ok(VerifiedNotice::Refund(status, refund))
}
