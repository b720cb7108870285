//! Orders: `POST /v3/pay/transactions/{jsapi,native}`, the query by our number, and close.
//!
//! The same number with the same parameters is the same order, and gives a new `prepay_id` or
//! `code_url`; a price cannot change, so another price is another number.

use super::Merchant;
use super::error::Failed;
use super::sign::Stamp;
use super::wire::{
    CloseWire, OrderAmountWire, OrderWire, PayerToWire, PrepaidWire, TransactionWire, read_json,
};
use crate::crypto::Crypto;
use crate::http::{Request, SignedReply, query};
use crate::payment::{
    BuildError, CNY, CloseOutcome, Order, Prepaid, PrepayOutcome, QueryOutcome, all_true, is_id,
    is_number, plain_text,
};
use crate::time::rfc3339_beijing;

/// The longest description, in bytes (documented: 127, without saying of what).
const MAX_DESCRIPTION_BYTES: usize = 127;

/// A bill marks its cells with this character, so no text of ours holds it.
const UNWANTED: &str = "`";

impl Merchant {
    /// Makes an order that `openid`, the customer in this app, can pay in the mini program. Once it
    /// is ready, [`jsapi_parameters`](Self::jsapi_parameters) are for the mini program.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the order breaks a rule, [`BuildError::Crypto`].
    pub async fn jsapi_order(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        order: &Order<'_>,
        openid: &str,
    ) -> Result<Request, BuildError> {
        all_true([(is_id(openid), "openid is malformed")])?;
        let payer = Some(PayerToWire { openid });
        self.order(crypto, stamp, "/v3/pay/transactions/jsapi", order, payer).await
    }

    /// Makes an order that anybody can pay who scans its QR code.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] when the order breaks a rule, [`BuildError::Crypto`].
    pub async fn native_order(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        order: &Order<'_>,
    ) -> Result<Request, BuildError> {
        self.order(crypto, stamp, "/v3/pay/transactions/native", order, None).await
    }

    async fn order(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        path: &str,
        order: &Order<'_>,
        payer: Option<PayerToWire<'_>>,
    ) -> Result<Request, BuildError> {
        order.validate()?;
        let description = plain_text(order.description, UNWANTED, MAX_DESCRIPTION_BYTES);
        all_true([(!description.is_empty(), "nothing is left of the description")])?;
        let time_expire = order
            .expires_at_unix_seconds
            .map(|at| rfc3339_beijing(at).ok_or(BuildError::Invalid("the expiry is no time")))
            .transpose()?;
        let wire = OrderWire {
            appid: &self.appid,
            mchid: &self.mchid,
            description: &description,
            out_trade_no: order.out_trade_no,
            time_expire,
            notify_url: order.notify_url,
            amount: OrderAmountWire { total: order.total_fen, currency: CNY },
            payer,
        };
        self.post(crypto, stamp, path, &wire).await
    }

    /// Reads the reply to [`jsapi_order`](Self::jsapi_order) (a `prepay_id`) or
    /// [`native_order`](Self::native_order) (a `code_url`).
    pub async fn read_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
    ) -> PrepayOutcome {
        let body = match self.success(crypto, now_unix_seconds, reply).await {
            Ok(body) => body,
            Err(failed) => return order_failure(failed),
        };
        let wire: Option<PrepaidWire> = read_json(body);
        match wire.map(|wire| (wire.prepay_id, wire.code_url)) {
            Some((Some(id), None)) if is_id(&id) => PrepayOutcome::Ready(Prepaid::PrepayId(id)),
            Some((None, Some(url))) if is_code_url(&url) => {
                PrepayOutcome::Ready(Prepaid::CodeUrl(url))
            }
            _ => {
                let reason = "neither prepay_id nor code_url, or malformed";
                PrepayOutcome::Unknown(Failed::because(reply, reason).into_doubt())
            }
        }
    }

    /// Asks what became of an order, by our number.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no number, [`BuildError::Crypto`].
    pub async fn query_order(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        let query = query(&[("mchid", &self.mchid)]);
        let path = format!("{}?{query}", path_of(out_trade_no)?);
        self.get(crypto, stamp, &path).await
    }

    /// Reads the reply to [`query_order`](Self::query_order). The order is of this app and merchant
    /// and has this number; its price is the caller's to compare
    /// ([`Transaction::check`](crate::payment::Transaction::check)).
    ///
    /// | `trade_state` | outcome |
    /// |---|---|
    /// | `SUCCESS` | `Paid` |
    /// | `REFUND` | `RefundedSince` |
    /// | `NOTPAY`, `PAYERROR` | `NotPaid` |
    /// | `CLOSED`, `REVOKED` | `Closed` |
    /// | `USERPAYING`, `ACCEPT`, any other | `Pending` |
    pub async fn read_query_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
        out_trade_no: &str,
    ) -> QueryOutcome {
        let unknown = |reason: &'static str| {
            QueryOutcome::Unknown(Failed::because(reply, reason).into_doubt())
        };
        let body = match self.success(crypto, now_unix_seconds, reply).await {
            Ok(body) => body,
            Err(failed) if failed.is("ORDERNOTEXIST") => return QueryOutcome::NotFound,
            Err(failed) => return QueryOutcome::Unknown(failed.into_doubt()),
        };
        let Some(wire) = read_json::<TransactionWire>(body) else {
            return unknown("the reply is not the JSON it should be");
        };
        if wire.out_trade_no.as_deref() != Some(out_trade_no) {
            return unknown("the reply is about another order");
        }
        if wire.mchid.as_ref() != Some(&self.mchid) || wire.appid.as_ref() != Some(&self.appid) {
            return unknown("the reply is about another merchant or app");
        }
        let found = match wire.trade_state.as_deref() {
            Some("SUCCESS") => QueryOutcome::Paid,
            Some("REFUND") => QueryOutcome::RefundedSince,
            Some("NOTPAY" | "PAYERROR") => return QueryOutcome::NotPaid,
            Some("CLOSED" | "REVOKED") => return QueryOutcome::Closed,
            Some(_) => return QueryOutcome::Pending,
            None => return unknown("trade_state is missing"),
        };
        wire.into_transaction().map_or_else(unknown, found)
    }

    /// Closes an order, so that nobody can pay it any more. Closing it twice is no error.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no number, [`BuildError::Crypto`].
    pub async fn close_order(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        out_trade_no: &str,
    ) -> Result<Request, BuildError> {
        let path = format!("{}/close", path_of(out_trade_no)?);
        self.post(crypto, stamp, &path, &CloseWire { mchid: &self.mchid }).await
    }

    /// Reads the reply to [`close_order`](Self::close_order).
    pub async fn read_close_order(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
    ) -> CloseOutcome {
        match self.success(crypto, now_unix_seconds, reply).await {
            Ok(_) => CloseOutcome::Closed,
            Err(failed) => match failed.code().as_deref() {
                Some("ORDERCLOSED") => CloseOutcome::Closed,
                Some("ORDERPAID") => CloseOutcome::AlreadyPaid,
                Some("ORDERNOTEXIST") => CloseOutcome::NotFound,
                _ => CloseOutcome::Unknown(failed.into_doubt()),
            },
        }
    }
}

fn path_of(out_trade_no: &str) -> Result<String, BuildError> {
    all_true([(is_number(out_trade_no, 6, 32), "out_trade_no is not 6 to 32 of 0-9 A-Z a-z _")])?;
    Ok(format!("/v3/pay/transactions/out-trade-no/{out_trade_no}"))
}

fn order_failure(failed: Failed) -> PrepayOutcome {
    if failed.is_busy() {
        return PrepayOutcome::Busy;
    }
    if failed.parameters_changed() {
        return PrepayOutcome::ParametersChanged;
    }
    match failed.code().as_deref() {
        Some("ORDERPAID") => PrepayOutcome::AlreadyPaid,
        Some("ORDERCLOSED") => PrepayOutcome::Closed,
        _ => failed.into_refusal().map_or_else(PrepayOutcome::Unknown, PrepayOutcome::Refused),
    }
}

/// What can be made a QR code: visible ASCII, as all that has been seen (`weixin://wxpay/…`).
fn is_code_url(text: &str) -> bool {
    (1..=512).contains(&text.len())
        && text.contains("://")
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
