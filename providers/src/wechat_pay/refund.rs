//! Refunds: `POST /v3/refund/domestic/refunds`, and the query by our number.
//!
//! A refund can be asked for within a year, in up to 50 parts, a minute apart. `PROCESSING` says that
//! it was accepted and no more; what became of it says the notice, or the query a minute later.

use super::Merchant;
use super::error::Failed;
use super::sign::Stamp;
use super::wire::{RefundAmountToWire, RefundOrderWire, RefundWire, read_json};
use crate::crypto::Crypto;
use crate::http::{Request, SignedReply};
use crate::payment::{
    BuildError, CNY, MAX_FEN, Refund, RefundOrder, RefundOutcome, RefundStatus, is_id, plain_text,
};
use crate::time::rfc3339_ms;

const PATH: &str = "/v3/refund/domestic/refunds";

/// The longest reason, in bytes (documented: 80, without saying of what).
const MAX_REASON_BYTES: usize = 80;

impl Merchant {
    /// Asks for a refund, or asks again.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the refund breaks a rule, [`BuildError::Crypto`].
    pub async fn refund(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        refund: &RefundOrder<'_>,
    ) -> Result<Request, BuildError> {
        refund.validate()?;
        let reason = refund.reason.map(|reason| plain_text(reason, "`", MAX_REASON_BYTES));
        let wire = RefundOrderWire {
            out_trade_no: refund.out_trade_no,
            out_refund_no: refund.out_refund_no,
            reason: reason.filter(|reason| !reason.is_empty()),
            notify_url: refund.notify_url,
            amount: RefundAmountToWire {
                refund: refund.refund_fen,
                total: refund.total_fen,
                currency: CNY,
            },
        };
        self.post(crypto, stamp, PATH, &wire).await
    }

    /// Asks how a refund stands.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the refund breaks a rule, [`BuildError::Crypto`].
    pub async fn query_refund(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        refund: &RefundOrder<'_>,
    ) -> Result<Request, BuildError> {
        refund.validate()?;
        self.get(crypto, stamp, &format!("{PATH}/{}", refund.out_refund_no)).await
    }

    /// Reads the reply to [`refund`](Self::refund) or [`query_refund`](Self::query_refund): both show
    /// the refund. One with other numbers or amounts than `asked` is unknown.
    pub async fn read_refund(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
        asked: &RefundOrder<'_>,
    ) -> RefundOutcome {
        let body = match self.success(crypto, now_unix_seconds, reply).await {
            Ok(body) => body,
            Err(failed) => return refund_failure(failed),
        };
        let read = || {
            let wire: RefundWire =
                read_json(body).ok_or("the reply is not the JSON it should be".to_owned())?;
            let (status, refund) = wire.into_refund()?;
            refund.check(asked).map_err(|mismatch| mismatch.to_string())?;
            Ok(RefundOutcome::of(status, refund))
        };
        read().unwrap_or_else(|reason: String| {
            RefundOutcome::Unknown(Failed::because(reply, reason).into_doubt())
        })
    }
}

impl RefundWire {
    /// The refund and where it stands. A status the documents do not name is still under way.
    pub fn into_refund(self) -> Result<(RefundStatus, Refund), &'static str> {
        let id = |text: Option<String>, reason| text.filter(|text| is_id(text)).ok_or(reason);
        let fen =
            |fen: Option<i64>, reason| fen.filter(|fen| (0..=MAX_FEN).contains(fen)).ok_or(reason);
        let status = self.status.or(self.refund_status).ok_or("the status is missing")?;
        let status = match status.as_str() {
            "SUCCESS" => RefundStatus::Succeeded,
            "ABNORMAL" => RefundStatus::Abnormal,
            "CLOSED" => RefundStatus::Closed,
            _ => RefundStatus::Processing,
        };
        let amount = self.amount.ok_or("amount is missing")?;
        let refund = Refund {
            out_refund_no: id(self.out_refund_no, "out_refund_no is missing or malformed")?,
            refund_id: Some(id(self.refund_id, "refund_id is missing or malformed")?),
            out_trade_no: id(self.out_trade_no, "out_trade_no is missing or malformed")?,
            refund_fen: fen(amount.refund, "amount.refund is missing or out of range")?,
            total_fen: Some(fen(amount.total, "amount.total is missing or out of range")?),
            succeeded_at_ms: self.success_time.as_deref().and_then(rfc3339_ms),
        };
        Ok((status, refund))
    }
}

fn refund_failure(failed: Failed) -> RefundOutcome {
    match failed.code().as_deref() {
        Some("NOTENOUGH") => RefundOutcome::NotEnough,
        Some("RESOURCENOTEXISTS" | "ORDERNOTEXIST") => RefundOutcome::NotFound,
        _ => failed.into_refusal().map_or_else(RefundOutcome::Unknown, RefundOutcome::Refused),
    }
}
