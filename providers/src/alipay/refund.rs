//! Refunds: `alipay.trade.refund` and `alipay.trade.fastpay.refund.query`.
//!
//! Alipay answers a refund at once, but says only whether money moved with this call
//! (`fund_change`): a refund that is asked for twice answers `N` the second time, and the query, from
//! 10 seconds after, says whether it is done.

use serde::{Deserialize, Serialize};

use super::App;
use super::error::Failed;
use super::sign::Call;
use crate::crypto::Crypto;
use crate::http::{Reply, Request};
use crate::payment::{
    BuildError, Mismatch, Refund, RefundOrder, RefundOutcome, fen_of_yuan, plain_text, yuan_of_fen,
};
use crate::time::beijing_ms;

const REFUND: &str = "alipay.trade.refund";
const QUERY: &str = "alipay.trade.fastpay.refund.query";

/// The longest reason, in bytes (documented: 256 characters).
const MAX_REASON_BYTES: usize = 256;

#[derive(Serialize)]
struct RefundOrderWire<'a> {
    out_trade_no: &'a str,
    refund_amount: String,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reason: Option<String>,
}

#[derive(Serialize)]
struct QueryWire<'a> {
    out_trade_no: &'a str,
    out_request_no: &'a str,
    query_options: [&'static str; 1],
}

#[derive(Deserialize)]
struct RefundedWire {
    out_trade_no: Option<String>,
    fund_change: Option<String>,
    refund_fee: Option<String>,
}

#[derive(Deserialize)]
struct FoundWire {
    out_trade_no: Option<String>,
    out_request_no: Option<String>,
    refund_status: Option<String>,
    refund_amount: Option<String>,
    total_amount: Option<String>,
    gmt_refund_pay: Option<String>,
}

impl App {
    /// Asks for a refund, or asks again.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the refund breaks a rule, [`BuildError::Crypto`].
    pub async fn refund(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        refund: &RefundOrder<'_>,
    ) -> Result<Request, BuildError> {
        refund.validate()?;
        let reason = refund.reason.map(|reason| plain_text(reason, "/=&`", MAX_REASON_BYTES));
        let content = RefundOrderWire {
            out_trade_no: refund.out_trade_no,
            refund_amount: yuan_of_fen(refund.refund_fen),
            out_request_no: refund.out_refund_no,
            refund_reason: reason.filter(|reason| !reason.is_empty()),
        };
        let call = Call { method: REFUND, notify_url: None };
        self.call(crypto, now_unix_seconds, call, &content).await
    }

    /// Reads the reply to [`refund`](Self::refund). `refund_fee` is the sum of all refunds of the
    /// order, so it is at least what was asked for now and at most the price.
    pub async fn read_refund(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'_>,
        asked: &RefundOrder<'_>,
    ) -> RefundOutcome {
        let object = match self.success(crypto, reply, REFUND).await {
            Ok(object) => object,
            Err(failed) => return refund_failure(failed),
        };
        let Ok(wire) = serde_json::from_str::<RefundedWire>(object) else {
            return unknown("a field has the wrong type");
        };
        if wire.out_trade_no.as_deref() != Some(asked.out_trade_no) {
            return unknown(Mismatch::OutTradeNo.to_string());
        }
        let all_fen = wire.refund_fee.as_deref().and_then(fen_of_yuan);
        if all_fen.is_none_or(|fen| !(asked.refund_fen..=asked.total_fen).contains(&fen)) {
            return unknown(Mismatch::RefundAmount.to_string());
        }
        let refund = Refund {
            out_refund_no: asked.out_refund_no.to_owned(),
            refund_id: None,
            out_trade_no: asked.out_trade_no.to_owned(),
            refund_fen: asked.refund_fen,
            total_fen: None,
            succeeded_at_ms: None,
        };
        match wire.fund_change.as_deref() {
            Some("Y") => RefundOutcome::Succeeded(refund),
            _ => RefundOutcome::Processing(refund),
        }
    }

    /// Asks how a refund stands.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the refund breaks a rule, [`BuildError::Crypto`].
    pub async fn query_refund(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        refund: &RefundOrder<'_>,
    ) -> Result<Request, BuildError> {
        refund.validate()?;
        let content = QueryWire {
            out_trade_no: refund.out_trade_no,
            out_request_no: refund.out_refund_no,
            query_options: ["gmt_refund_pay"],
        };
        let call = Call { method: QUERY, notify_url: None };
        self.call(crypto, now_unix_seconds, call, &content).await
    }

    /// Reads the reply to [`query_refund`](Self::query_refund).
    ///
    /// | reply | outcome |
    /// |---|---|
    /// | `refund_status` `REFUND_SUCCESS`, with our numbers and amounts | `Succeeded` |
    /// | a refund with another status, or none | `Processing` |
    /// | no refund | `NotFound` (documented: not received, or failed) |
    pub async fn read_query_refund(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'_>,
        asked: &RefundOrder<'_>,
    ) -> RefundOutcome {
        let object = match self.success(crypto, reply, QUERY).await {
            Ok(object) => object,
            Err(failed) => return refund_failure(failed),
        };
        let Ok(wire) = serde_json::from_str::<FoundWire>(object) else {
            return unknown("a field has the wrong type");
        };
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (status, amount) = (filled(wire.refund_status), filled(wire.refund_amount));
        let Some(amount) = amount else {
            return match status {
                None => RefundOutcome::NotFound,
                Some(_) => unknown("refund_amount is missing"),
            };
        };
        let Some(refund_fen) = fen_of_yuan(&amount) else {
            return unknown("refund_amount is malformed");
        };
        let total_fen = filled(wire.total_amount).map(|text| fen_of_yuan(&text));
        let refund = Refund {
            out_refund_no: wire.out_request_no.unwrap_or_default(),
            refund_id: None,
            out_trade_no: wire.out_trade_no.unwrap_or_default(),
            refund_fen,
            total_fen: total_fen.map(|fen| fen.unwrap_or(-1)),
            succeeded_at_ms: wire.gmt_refund_pay.as_deref().and_then(beijing_ms),
        };
        if let Err(mismatch) = refund.check(asked) {
            return unknown(mismatch.to_string());
        }
        match status.as_deref() {
            Some("REFUND_SUCCESS") => RefundOutcome::Succeeded(refund),
            _ => RefundOutcome::Processing(refund),
        }
    }
}

fn unknown(reason: impl Into<std::borrow::Cow<'static, str>>) -> RefundOutcome {
    RefundOutcome::Unknown(Failed::because(200, reason).into_doubt())
}

fn refund_failure(failed: Failed) -> RefundOutcome {
    match failed.sub_code() {
        Some("ACQ.SELLER_BALANCE_NOT_ENOUGH") => RefundOutcome::NotEnough,
        Some("ACQ.TRADE_NOT_EXIST") => RefundOutcome::NotFound,
        _ => failed.into_refusal().map_or_else(RefundOutcome::Unknown, RefundOutcome::Refused),
    }
}
