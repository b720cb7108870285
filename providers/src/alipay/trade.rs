//! Orders: `alipay.trade.precreate` (a QR code), `.query`, `.close` and `.cancel`.
//!
//! A QR code is no order yet: Alipay makes the order when a customer scans it. Until then a query and
//! a close find nothing, and the code can still be scanned.

use serde::{Deserialize, Serialize};

use super::App;
use super::error::Failed;
use super::sign::Call;
use crate::crypto::Crypto;
use crate::http::{Reply, Request};
use crate::payment::{
    BuildError, CNY, CloseOutcome, Doubt, Order, Prepaid, PrepayOutcome, QueryOutcome, Transaction,
    all_true, fen_of_yuan, is_id, is_number, plain_text, yuan_of_fen,
};
use crate::time::{beijing, beijing_ms};

const PRECREATE: &str = "alipay.trade.precreate";
const QUERY: &str = "alipay.trade.query";
const CLOSE: &str = "alipay.trade.close";
const CANCEL: &str = "alipay.trade.cancel";

/// The longest subject, in bytes (documented: 256 characters).
const MAX_SUBJECT_BYTES: usize = 256;

/// What a subject may not hold (documented: `/`, `=`, `&`), and what marks a bill's cells.
const UNWANTED: &str = "/=&`";

/// What became of an order that was to be cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was not paid, and nobody can pay it any more.
    Closed,
    /// It was paid, and all of it has gone back.
    Refunded,
    /// Cancel it again.
    Unknown(Doubt),
}

#[derive(Serialize)]
struct PrecreateWire<'a> {
    out_trade_no: &'a str,
    total_amount: String,
    subject: String,
    product_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_expire: Option<String>,
}

#[derive(Serialize)]
struct NumberWire<'a> {
    out_trade_no: &'a str,
}

#[derive(Deserialize)]
struct PrecreatedWire {
    out_trade_no: Option<String>,
    qr_code: Option<String>,
}

#[derive(Deserialize)]
struct TradeWire {
    out_trade_no: Option<String>,
    trade_no: Option<String>,
    trade_status: Option<String>,
    total_amount: Option<String>,
    buyer_pay_amount: Option<String>,
    trans_currency: Option<String>,
    send_pay_date: Option<String>,
    buyer_open_id: Option<String>,
    buyer_user_id: Option<String>,
}

#[derive(Deserialize)]
struct CancelledWire {
    out_trade_no: Option<String>,
    action: Option<String>,
    retry_flag: Option<String>,
}

impl App {
    /// Makes a QR code that anybody can pay who scans it.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the order breaks a rule, [`BuildError::Crypto`].
    pub async fn precreate(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        order: &Order<'_>,
    ) -> Result<Request, BuildError> {
        order.validate()?;
        let subject = plain_text(order.description, UNWANTED, MAX_SUBJECT_BYTES);
        all_true([(!subject.is_empty(), "nothing is left of the description")])?;
        let time_expire = order
            .expires_at_unix_seconds
            .map(|at| beijing(at).ok_or(BuildError::Invalid("the expiry is no time")))
            .transpose()?;
        let content = PrecreateWire {
            out_trade_no: order.out_trade_no,
            total_amount: yuan_of_fen(order.total_fen),
            subject,
            product_code: "FACE_TO_FACE_PAYMENT",
            time_expire,
        };
        let call = Call { method: PRECREATE, notify_url: Some(order.notify_url) };
        self.call(crypto, now_unix_seconds, call, &content).await
    }

    /// Reads the reply to [`precreate`](Self::precreate).
    pub async fn read_precreate(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'_>,
        out_trade_no: &str,
    ) -> PrepayOutcome {
        let object = match self.success(crypto, reply, PRECREATE).await {
            Ok(object) => object,
            Err(failed) => return precreate_failure(failed),
        };
        match serde_json::from_str(object) {
            Ok(PrecreatedWire { out_trade_no: Some(number), qr_code: Some(url) })
                if number == out_trade_no && is_id(&url) =>
            {
                PrepayOutcome::Ready(Prepaid::CodeUrl(url))
            }
            _ => PrepayOutcome::Unknown(
                Failed::because(200, "no qr_code for this order, or malformed").into_doubt(),
            ),
        }
    }

    /// Asks what became of an order, by our number.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no number, [`BuildError::Crypto`].
    pub async fn query_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        self.by_number(crypto, now_unix_seconds, QUERY, out_trade_no).await
    }

    /// Reads the reply to [`query_order`](Self::query_order). It does not name app and merchant: that
    /// they are ours follows from whose question it answers.
    ///
    /// | `trade_status` | outcome |
    /// |---|---|
    /// | `TRADE_SUCCESS`, `TRADE_FINISHED` | `Paid` (also when a part has gone back: Alipay does not say) |
    /// | `TRADE_CLOSED` with the time it was paid | `RefundedSince` |
    /// | `TRADE_CLOSED` without | `Closed` |
    /// | `WAIT_BUYER_PAY` | `NotPaid` |
    /// | any other | `Pending` |
    pub async fn read_query_order(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'_>,
        out_trade_no: &str,
    ) -> QueryOutcome {
        let unknown =
            |reason: &'static str| QueryOutcome::Unknown(Failed::because(200, reason).into_doubt());
        let object = match self.success(crypto, reply, QUERY).await {
            Ok(object) => object,
            Err(failed) if failed.sub_code() == Some("ACQ.TRADE_NOT_EXIST") => {
                return QueryOutcome::NotFound;
            }
            Err(failed) => return QueryOutcome::Unknown(failed.into_doubt()),
        };
        let Ok(wire) = serde_json::from_str::<TradeWire>(object) else {
            return unknown("a field has the wrong type");
        };
        if wire.out_trade_no.as_deref() != Some(out_trade_no) {
            return unknown("the reply is about another order");
        }
        let was_paid = wire.send_pay_date.as_ref().is_some_and(|date| !date.is_empty());
        let found = match wire.trade_status.as_deref() {
            Some("TRADE_SUCCESS" | "TRADE_FINISHED") => QueryOutcome::Paid,
            Some("TRADE_CLOSED") if was_paid => QueryOutcome::RefundedSince,
            Some("TRADE_CLOSED") => return QueryOutcome::Closed,
            Some("WAIT_BUYER_PAY") => return QueryOutcome::NotPaid,
            Some(_) => return QueryOutcome::Pending,
            None => return unknown("trade_status is missing"),
        };
        self.transaction(wire, out_trade_no).map_or_else(unknown, found)
    }

    fn transaction(
        &self,
        wire: TradeWire,
        out_trade_no: &str,
    ) -> Result<Transaction, &'static str> {
        Ok(Transaction {
            app_id: self.app_id.clone(),
            merchant_id: self.seller_id.clone(),
            out_trade_no: out_trade_no.to_owned(),
            transaction_id: wire
                .trade_no
                .filter(|text| is_id(text))
                .ok_or("trade_no is missing or malformed")?,
            total_fen: wire
                .total_amount
                .as_deref()
                .and_then(fen_of_yuan)
                .ok_or("total_amount is missing or malformed")?,
            payer_total_fen: wire.buyer_pay_amount.as_deref().and_then(fen_of_yuan),
            // Documented: amounts are in yuan when no currency is said.
            currency: wire.trans_currency.unwrap_or_else(|| CNY.to_owned()),
            paid_at_ms: wire.send_pay_date.as_deref().and_then(beijing_ms),
            payer: wire.buyer_open_id.or(wire.buyer_user_id).filter(|text| is_id(text)),
        })
    }

    /// Closes an order that is not paid. One that nobody has scanned is not found, and can still be
    /// scanned: [`cancel_order`](Self::cancel_order) ends that too.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no number, [`BuildError::Crypto`].
    pub async fn close_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        self.by_number(crypto, now_unix_seconds, CLOSE, out_trade_no).await
    }

    /// Reads the reply to [`close_order`](Self::close_order).
    pub async fn read_close_order(&self, crypto: &impl Crypto, reply: Reply<'_>) -> CloseOutcome {
        match self.success(crypto, reply, CLOSE).await {
            Ok(_) => CloseOutcome::Closed,
            Err(failed) => match failed.sub_code() {
                Some("ACQ.TRADE_HAS_CLOSE") => CloseOutcome::Closed,
                Some("ACQ.TRADE_HAS_SUCCESS" | "ACQ.TRADE_HAS_FINISHED") => {
                    CloseOutcome::AlreadyPaid
                }
                Some("ACQ.TRADE_NOT_EXIST") => CloseOutcome::NotFound,
                _ => CloseOutcome::Unknown(failed.into_doubt()),
            },
        }
    }

    /// Ends an order whatever became of it: one that is paid goes back whole.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no number, [`BuildError::Crypto`].
    pub async fn cancel_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        self.by_number(crypto, now_unix_seconds, CANCEL, out_trade_no).await
    }

    /// Reads the reply to [`cancel_order`](Self::cancel_order).
    pub async fn read_cancel_order(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'_>,
        out_trade_no: &str,
    ) -> CancelOutcome {
        let object = match self.success(crypto, reply, CANCEL).await {
            Ok(object) => object,
            Err(failed) => return CancelOutcome::Unknown(failed.into_doubt()),
        };
        match serde_json::from_str(object) {
            Ok(CancelledWire { out_trade_no: Some(number), action, retry_flag })
                if number == out_trade_no && retry_flag.as_deref() != Some("Y") =>
            {
                match action.as_deref() {
                    Some("refund") => CancelOutcome::Refunded,
                    // Without an action there was nothing to do.
                    Some("close" | "") | None => CancelOutcome::Closed,
                    Some(_) => {
                        CancelOutcome::Unknown(Failed::because(200, "unknown action").into_doubt())
                    }
                }
            }
            _ => CancelOutcome::Unknown(
                Failed::because(200, "not cancelled yet, or about another order").into_doubt(),
            ),
        }
    }

    async fn by_number(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        method: &'static str,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        let reason = "out_trade_no is not 6 to 32 of 0-9 A-Z a-z _";
        all_true([(is_number(out_trade_no, 6, 32), reason)])?;
        let call = Call { method, notify_url: None };
        self.call(crypto, now_unix_seconds, call, &NumberWire { out_trade_no }).await
    }
}

fn precreate_failure(failed: Failed) -> PrepayOutcome {
    if failed.is_busy() {
        return PrepayOutcome::Busy;
    }
    match failed.sub_code() {
        Some("ACQ.TRADE_HAS_SUCCESS" | "ACQ.TRADE_HAS_FINISHED") => PrepayOutcome::AlreadyPaid,
        Some("ACQ.TRADE_HAS_CLOSE") => PrepayOutcome::Closed,
        Some("ACQ.CONTEXT_INCONSISTENT") => PrepayOutcome::ParametersChanged,
        _ => failed.into_refusal().map_or_else(PrepayOutcome::Unknown, PrepayOutcome::Refused),
    }
}
