//! What is the same whoever moves the money: what is asked for, and what can have become of it. Both
//! [`wechat_pay`](crate::wechat_pay) and [`alipay`](crate::alipay) answer in these words, so that
//! there is one code path behind them.
//!
//! Money is whole fen (分, a hundredth of a yuan), never a fraction and never below zero.
//!
//! Three rules hold for every outcome:
//! - `Unknown` means that the call may or may not have had an effect: ask again, with the same
//!   number. It never means no.
//! - What an unsigned error says (`AlreadyPaid`, `NotFound`, …) is a hint where to look, and the look
//!   is a query. Only what a verified message says is proof.
//! - A status the documents do not name leaves things pending.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

use crate::crypto::CryptoError;

/// The one currency: renminbi, by ISO 4217.
pub const CNY: &str = "CNY";

/// The largest amount, in fen: 100 million yuan, Alipay's limit for one trade.
pub const MAX_FEN: i64 = 10_000_000_000;

/// The longest text of a vendor that is kept for a log, in characters.
const MAX_CODE_CHARS: usize = 64;

/// The longest number or id of a vendor that is taken, in bytes. All documented ones have at most 64.
const MAX_ID_BYTES: usize = 128;

/// An order to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<'a> {
    /// Our number: 6 to 32 of `0-9 A-Z a-z _`. One number is one payment, for ever.
    pub out_trade_no: &'a str,
    /// What the customer reads. It is cut and cleaned to the vendor's rules; something must be left.
    pub description: &'a str,
    /// The price in fen, 1 to [`MAX_FEN`].
    pub total_fen: i64,
    /// Where the vendor sends its notice: absolute, https, without a query, at most 255 bytes.
    pub notify_url: &'a str,
    /// When paying is no longer possible, in Unix seconds. It does not close the order.
    pub expires_at_unix_seconds: Option<i64>,
}

/// A refund of an order, or a part of it: as it is asked for, and as the answer is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundOrder<'a> {
    /// The order's number.
    pub out_trade_no: &'a str,
    /// The refund's number: 1 to 64 of `0-9 A-Z a-z _`. One number is one refund: after a doubt it is
    /// asked again with the same number, and a new number is a second refund.
    pub out_refund_no: &'a str,
    /// What goes back, in fen, 1 to `total_fen`.
    pub refund_fen: i64,
    /// The order's price in fen.
    pub total_fen: i64,
    /// Why; the customer reads it. Cut and cleaned to the vendor's rules.
    pub reason: Option<&'a str>,
    /// Where the vendor sends its notice, if it can be given for a refund (WeChat Pay).
    pub notify_url: Option<&'a str>,
}

/// A payment that happened, from a verified message. `Debug` does not show the payer.
#[derive(Clone, PartialEq, Eq)]
pub struct Transaction {
    /// WeChat's appid or Alipay's app_id.
    pub app_id: String,
    /// WeChat Pay's mchid or Alipay's seller_id.
    pub merchant_id: String,
    /// Our number.
    pub out_trade_no: String,
    /// The vendor's number.
    pub transaction_id: String,
    /// The order's price in fen: what is compared.
    pub total_fen: i64,
    /// What the customer paid in fen, after the vendor's coupons: it can be less, down to 0.
    pub payer_total_fen: Option<i64>,
    /// The price's currency.
    pub currency: String,
    /// When it was paid, in milliseconds since 1970.
    pub paid_at_ms: Option<i64>,
    /// Who paid, as the vendor calls them: openid, or Alipay's buyer id.
    pub payer: Option<String>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("app_id", &self.app_id)
            .field("merchant_id", &self.merchant_id)
            .field("out_trade_no", &self.out_trade_no)
            .field("transaction_id", &self.transaction_id)
            .field("total_fen", &self.total_fen)
            .field("payer_total_fen", &self.payer_total_fen)
            .field("currency", &self.currency)
            .field("paid_at_ms", &self.paid_at_ms)
            .finish_non_exhaustive()
    }
}

/// What a payment of ours must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// See [`Transaction::app_id`].
    pub app_id: &'a str,
    /// See [`Transaction::merchant_id`].
    pub merchant_id: &'a str,
    /// Our number.
    pub out_trade_no: &'a str,
    /// The price in fen.
    pub total_fen: i64,
    /// Always [`CNY`].
    pub currency: &'a str,
}

/// The field in which a verified message is not about what we asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// It names another app.
    #[error("the app is another")]
    AppId,
    /// It names another merchant.
    #[error("the merchant is another")]
    MerchantId,
    /// It names another order.
    #[error("out_trade_no is another")]
    OutTradeNo,
    /// It names another refund.
    #[error("out_refund_no is another")]
    OutRefundNo,
    /// The order's price is another.
    #[error("the total is another")]
    Total,
    /// Another amount goes back.
    #[error("the refunded amount is another")]
    RefundAmount,
    /// The currency is another.
    #[error("the currency is another")]
    Currency,
}

impl Transaction {
    /// Whether this is the payment we asked for. A verified notice must pass it before it counts.
    ///
    /// # Errors
    /// The first field that differs.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), Mismatch> {
        let Expected { app_id, merchant_id, out_trade_no, total_fen, currency } = *expected;
        first_mismatch([
            (self.app_id == app_id, Mismatch::AppId),
            (self.merchant_id == merchant_id, Mismatch::MerchantId),
            (self.out_trade_no == out_trade_no, Mismatch::OutTradeNo),
            (self.total_fen == total_fen, Mismatch::Total),
            (self.currency == currency, Mismatch::Currency),
        ])
    }
}

/// A refund as the vendor has it, from a verified message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Our number of the refund.
    pub out_refund_no: String,
    /// The vendor's number of it; Alipay has none.
    pub refund_id: Option<String>,
    /// Our number of the order.
    pub out_trade_no: String,
    /// What goes back, in fen.
    pub refund_fen: i64,
    /// The order's price in fen, where the message says it.
    pub total_fen: Option<i64>,
    /// When it had gone back, in milliseconds since 1970, where the message says it.
    pub succeeded_at_ms: Option<i64>,
}

impl Refund {
    /// Whether this is the refund we asked for.
    ///
    /// # Errors
    /// The first field that differs.
    pub fn check(&self, asked: &RefundOrder<'_>) -> Result<(), Mismatch> {
        first_mismatch([
            (self.out_refund_no == asked.out_refund_no, Mismatch::OutRefundNo),
            (self.out_trade_no == asked.out_trade_no, Mismatch::OutTradeNo),
            (self.refund_fen == asked.refund_fen, Mismatch::RefundAmount),
            (self.total_fen.is_none_or(|fen| fen == asked.total_fen), Mismatch::Total),
        ])
    }
}

fn first_mismatch<const N: usize>(fields: [(bool, Mismatch); N]) -> Result<(), Mismatch> {
    fields.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, mismatch)| Err(mismatch))
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStatus {
    /// The money has gone back.
    Succeeded,
    /// It was accepted, or stands in a way the documents do not name.
    Processing,
    /// The customer's account cannot take it: a person has to act at the vendor.
    Abnormal,
    /// It will not happen.
    Closed,
}

/// What a call could not find out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("outcome unknown (HTTP {status}, code {code:?}, request {request_id:?}): {reason}")]
pub struct Doubt {
    /// The reply's HTTP status.
    pub status: u16,
    /// The vendor's code, if there is one, cut and cleaned.
    pub code: Option<String>,
    /// The vendor's number of the request, for its support.
    pub request_id: Option<String>,
    /// What is wrong with the reply.
    pub reason: Cow<'static, str>,
}

/// The vendor did not take the request, and asking again will not help: the request or the merchant's
/// settings are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("refused ({code}, field {field:?}, request {request_id:?})")]
pub struct Refusal {
    /// The vendor's code, cut and cleaned.
    pub code: String,
    /// The field that is wrong, where the vendor says it.
    pub field: Option<String>,
    /// The vendor's number of the request, for its support.
    pub request_id: Option<String>,
}

/// What lets the customer pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepaid {
    /// WeChat's `prepay_id`, good for 2 hours.
    PrepayId(String),
    /// The text of a QR code, good for 2 hours.
    CodeUrl(String),
}

/// What became of an order that was to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrepayOutcome {
    /// The customer can pay.
    Ready(Prepaid),
    /// An order with this number is paid: query it.
    AlreadyPaid,
    /// An order with this number is closed: make another one with a new number.
    Closed,
    /// An order with this number is there, and it was not this one: close it, then a new number.
    ParametersChanged,
    /// Asking again will not help.
    Refused(Refusal),
    /// Too many requests, and this one had no effect: later.
    Busy,
    /// The same order may be asked for again.
    Unknown(Doubt),
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryOutcome {
    /// It is paid.
    Paid(Transaction),
    /// It is not paid, and may still be.
    NotPaid,
    /// It is closed and was not paid.
    Closed,
    /// It was paid, and all or a part of it has gone back or is going back since.
    RefundedSince(Transaction),
    /// There is no order with this number, or it is not there yet.
    NotFound,
    /// The customer is paying, or it stands in a way the documents do not name.
    Pending,
    /// Ask again.
    Unknown(Doubt),
}

/// What became of an order that was to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseOutcome {
    /// Nobody can pay it any more.
    Closed,
    /// It is paid: query it.
    AlreadyPaid,
    /// There is no order with this number, so nobody can pay it; a request to make it that is still
    /// under way may bring it to be.
    NotFound,
    /// Query it, and close it again.
    Unknown(Doubt),
}

/// What became of a refund, asked for or queried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money has gone back.
    Succeeded(Refund),
    /// It was accepted: query it later.
    Processing(Refund),
    /// The customer's account cannot take it: a person has to act at the vendor.
    Abnormal(Refund),
    /// It will not happen; a new number may.
    Closed(Refund),
    /// The merchant's balance is too low: again, with the same number, when there is more.
    NotEnough,
    /// There is no such order, or no such refund: then it may be asked for, with the same number.
    NotFound,
    /// Asking again will not help.
    Refused(Refusal),
    /// Ask again with the same number and the same amounts.
    Unknown(Doubt),
}

impl RefundOutcome {
    /// The outcome of a refund that stands so.
    pub(crate) fn of(status: RefundStatus, refund: Refund) -> Self {
        match status {
            RefundStatus::Succeeded => Self::Succeeded(refund),
            RefundStatus::Processing => Self::Processing(refund),
            RefundStatus::Abnormal => Self::Abnormal(refund),
            RefundStatus::Closed => Self::Closed(refund),
        }
    }
}

/// What a notice says whose signature is verified. It may come more than once, late and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedNotice {
    /// An order is paid: [`Transaction::check`] says whether it is ours.
    Paid(Transaction),
    /// A refund stands so: [`Refund::check`] says whether it is ours (WeChat Pay).
    Refund(RefundStatus, Refund),
    /// Some of an order has gone back, `refunded_fen` in all so far; how a refund stands says its
    /// query (Alipay).
    Refunded {
        /// The payment.
        transaction: Transaction,
        /// All that has gone back so far, in fen.
        refunded_fen: i64,
        /// Our number of the refund the notice is about, if it says so.
        out_refund_no: Option<String>,
    },
    /// An order is closed and was not paid (Alipay).
    Closed {
        /// Our number.
        out_trade_no: String,
    },
    /// Something this crate does not read: acknowledge it.
    Other {
        /// What the vendor calls it, cut and cleaned.
        kind: String,
    },
}

/// A notice that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoticeError {
    /// It does not come from the vendor, or not now, or has been changed: nothing in it counts.
    #[error("the notice is not verified: {0}")]
    NotVerified(&'static str),
    /// It comes from the vendor and cannot be read.
    #[error("the verified notice cannot be read: {0}")]
    Unreadable(&'static str),
    /// It comes from the vendor and is for another app or merchant.
    #[error("the verified notice is not for us: {0}")]
    Mismatch(#[from] Mismatch),
    /// We could not look at it.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl NoticeError {
    /// The HTTP status to answer with, so that the vendor sends it again: 401 when it is not
    /// verified, 422 when it is and does not fit, 500 when the fault is ours.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NotVerified(_) => 401,
            Self::Unreadable(_) | Self::Mismatch(_) => 422,
            Self::Crypto(_) => 500,
        }
    }
}

/// A request that was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// An argument breaks the vendor's rules.
    #[error("the request breaks the service's rules: {0}")]
    Invalid(&'static str),
    /// It could not be signed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl Order<'_> {
    /// The rules both vendors have.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        all_true([
            (is_number(self.out_trade_no, 6, 32), "out_trade_no is not 6 to 32 of 0-9 A-Z a-z _"),
            ((1..=MAX_FEN).contains(&self.total_fen), "total_fen is out of range"),
            (is_notify_url(self.notify_url), "notify_url is not an absolute URL without a query"),
        ])
    }
}

impl RefundOrder<'_> {
    /// The rules both vendors have.
    pub(crate) fn validate(&self) -> Result<(), BuildError> {
        all_true([
            (is_number(self.out_trade_no, 6, 32), "out_trade_no is not 6 to 32 of 0-9 A-Z a-z _"),
            (is_number(self.out_refund_no, 1, 64), "out_refund_no is not 1 to 64 of 0-9 A-Z a-z _"),
            ((1..=MAX_FEN).contains(&self.total_fen), "total_fen is out of range"),
            ((1..=self.total_fen).contains(&self.refund_fen), "refund_fen is out of range"),
            (
                self.notify_url.is_none_or(is_notify_url),
                "notify_url is not an absolute URL without a query",
            ),
        ])
    }
}

pub(crate) fn all_true<const N: usize>(rules: [(bool, &'static str); N]) -> Result<(), BuildError> {
    let broken = rules.into_iter().find(|(holds, _)| !holds);
    broken.map_or(Ok(()), |(_, rule)| Err(BuildError::Invalid(rule)))
}

/// Whether a text is a number of ours. What is not allowed here needs no encoding anywhere.
pub(crate) fn is_number(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A stand-in on plain http may be told of, so the scheme is left to the configuration's own check.
fn is_notify_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    text.len() <= 255
        && rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
        })
}

/// A vendor's number or id: 1 to 128 visible ASCII characters.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Keeps of the vendor's text what a code, a field's name or a request's number is made of.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || ".:-_/".contains(*c))
        .take(MAX_CODE_CHARS)
        .collect()
}

/// A text for the customer as the vendors take it: without control characters and characters of
/// four bytes in UTF-8 (emoji), which WeChat Pay refuses, without those in `unwanted`, and cut at
/// `max_bytes`. The vendors do not say whether their limits count bytes or characters; bytes are
/// right either way.
pub(crate) fn plain_text(text: &str, unwanted: &str, max_bytes: usize) -> String {
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_control() && c.len_utf8() < 4 && !unwanted.contains(*c))
    {
        if plain.len() + c.len_utf8() > max_bytes {
            break;
        }
        plain.push(c);
    }
    plain.trim().to_owned()
}

/// Reads an amount in yuan (`0`, `88.8`, `88.80`) as fen, exactly: digits, and at most two after a
/// point. `None` for anything else, or more than [`MAX_FEN`].
pub(crate) fn fen_of_yuan(text: &str) -> Option<i64> {
    let (yuan, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(yuan) || !digits(fraction) || fraction.len() > 2 {
        return None;
    }
    let cents: i64 = fraction.parse().ok()?;
    let cents = if fraction.len() == 1 { cents * 10 } else { cents };
    let fen = yuan.parse::<i64>().ok()?.checked_mul(100)?.checked_add(cents)?;
    (fen <= MAX_FEN).then_some(fen)
}

/// Writes fen, which are not negative, as yuan with two decimals: `88.80`.
pub(crate) fn yuan_of_fen(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fen_go_to_yuan_and_back(fen in 0..=MAX_FEN) {
            prop_assert_eq!(fen_of_yuan(&yuan_of_fen(fen)), Some(fen));
        }

        #[test]
        fn no_text_makes_the_amount_reader_fail(text in "[0-9.+\\- e,]{0,24}") {
            if let Some(fen) = fen_of_yuan(&text) {
                let float: f64 = text.parse().unwrap();
                prop_assert!((float * 100.0 - fen as f64).abs() < 0.01, "{}", text);
            }
        }

        #[test]
        fn a_plain_text_fits(text in any::<String>(), max in 0_usize..200) {
            let plain = plain_text(&text, "&=", max);
            prop_assert!(plain.len() <= max);
            prop_assert!(plain.chars().all(|c| c.len_utf8() < 4 && !c.is_control()));
            prop_assert!(!plain.contains(['&', '=']));
        }
    }

    #[test]
    fn amounts_in_yuan_are_read_exactly_or_not_at_all() {
        let cases = [
            ("0", Some(0)),
            ("0.00", Some(0)),
            ("0.01", Some(1)),
            ("0.1", Some(10)),
            ("88.88", Some(8888)),
            ("88", Some(8800)),
            ("0088.80", Some(8880)),
            ("100000000.00", Some(MAX_FEN)),
            ("100000000.01", None),
            ("99999999999999999999", None),
            ("92233720368547758.07", None),
            ("", None),
            (".", None),
            (".5", None),
            ("5.", None),
            ("0.001", None),
            ("-0.01", None),
            ("+1", None),
            ("1e2", None),
            (" 1", None),
            ("1,000.00", None),
            ("１", None),
        ];
        for (text, fen) in cases {
            assert_eq!(fen_of_yuan(text), fen, "{text:?}");
        }
        assert_eq!([0, 1, 10, 8880].map(yuan_of_fen), ["0.00", "0.01", "0.10", "88.80"]);
    }

    #[test]
    fn every_field_of_a_payment_is_compared_and_named() {
        let paid = Transaction {
            app_id: "wx1".to_owned(),
            merchant_id: "1900".to_owned(),
            out_trade_no: "T1".to_owned(),
            transaction_id: "42".to_owned(),
            total_fen: 100,
            payer_total_fen: Some(0),
            currency: CNY.to_owned(),
            paid_at_ms: None,
            payer: Some("hush".to_owned()),
        };
        let ours = Expected {
            app_id: "wx1",
            merchant_id: "1900",
            out_trade_no: "T1",
            total_fen: 100,
            currency: CNY,
        };
        let cases = [
            (ours, Ok(())),
            (Expected { app_id: "wx2", ..ours }, Err(Mismatch::AppId)),
            (Expected { merchant_id: "1901", ..ours }, Err(Mismatch::MerchantId)),
            (Expected { out_trade_no: "T2", ..ours }, Err(Mismatch::OutTradeNo)),
            (Expected { total_fen: 101, ..ours }, Err(Mismatch::Total)),
            (Expected { total_fen: 0, ..ours }, Err(Mismatch::Total)),
            (Expected { currency: "HKD", ..ours }, Err(Mismatch::Currency)),
        ];
        for (expected, result) in cases {
            assert_eq!(paid.check(&expected), result, "{expected:?}");
        }
        assert!(!format!("{paid:?}").contains("hush"));
    }

    #[test]
    fn every_field_of_a_refund_is_compared_and_named() {
        let refund = Refund {
            out_refund_no: "R1".to_owned(),
            refund_id: None,
            out_trade_no: "T00001".to_owned(),
            refund_fen: 60,
            total_fen: Some(100),
            succeeded_at_ms: None,
        };
        let asked = RefundOrder {
            out_trade_no: "T00001",
            out_refund_no: "R1",
            refund_fen: 60,
            total_fen: 100,
            reason: None,
            notify_url: None,
        };
        let cases = [
            (asked, Ok(())),
            (RefundOrder { out_refund_no: "R2", ..asked }, Err(Mismatch::OutRefundNo)),
            (RefundOrder { out_trade_no: "T00002", ..asked }, Err(Mismatch::OutTradeNo)),
            (RefundOrder { refund_fen: 61, ..asked }, Err(Mismatch::RefundAmount)),
            (RefundOrder { total_fen: 101, ..asked }, Err(Mismatch::Total)),
        ];
        for (asked, result) in cases {
            assert_eq!(refund.check(&asked), result, "{asked:?}");
        }
        let silent = Refund { total_fen: None, ..refund };
        assert_eq!(silent.check(&RefundOrder { total_fen: 101, ..asked }), Ok(()));
    }

    #[test]
    fn an_order_that_breaks_the_rules_is_not_sent() {
        let order = Order {
            out_trade_no: "T00001",
            description: "洗吹",
            total_fen: 1,
            notify_url: "https://shop.example/notices/wechat",
            expires_at_unix_seconds: None,
        };
        assert_eq!(order.validate(), Ok(()));
        let long_url = format!("https://shop.example/{}", "x".repeat(235));
        let broken = [
            Order { out_trade_no: "T0001", ..order },
            Order { out_trade_no: "T00000000000000000000000000000000", ..order },
            Order { out_trade_no: "T-00001", ..order },
            Order { out_trade_no: "T/00001", ..order },
            Order { out_trade_no: "单号00001", ..order },
            Order { total_fen: 0, ..order },
            Order { total_fen: -1, ..order },
            Order { total_fen: MAX_FEN + 1, ..order },
            Order { notify_url: "", ..order },
            Order { notify_url: "/notices", ..order },
            Order { notify_url: "https://shop.example/?a=1", ..order },
            Order { notify_url: &long_url, ..order },
        ];
        for order in broken {
            assert!(matches!(order.validate(), Err(BuildError::Invalid(_))), "{order:?}");
        }
    }

    #[test]
    fn what_a_notice_error_answers() {
        let crypto = NoticeError::Crypto(CryptoError::new("no key"));
        let cases = [
            (NoticeError::NotVerified("x"), 401),
            (NoticeError::Unreadable("x"), 422),
            (NoticeError::Mismatch(Mismatch::AppId), 422),
            (crypto, 500),
        ];
        for (error, status) in cases {
            assert_eq!(error.http_status(), status, "{error}");
        }
    }
}
