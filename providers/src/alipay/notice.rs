//! Notices, which Alipay posts as a form to the `notify_url`. They are answered with the seven bytes
//! `success` ([`ACKNOWLEDGED`](Notice::ACKNOWLEDGED)), or come again, up to 8 times in a day.
//!
//! | `trade_status` | and | notice |
//! |---|---|---|
//! | any | `refund_fee` above 0 | `Refunded` |
//! | `TRADE_SUCCESS`, `TRADE_FINISHED` | | `Paid` |
//! | `TRADE_CLOSED` | | `Closed` |
//! | any other | | `Other` |

use std::collections::BTreeMap;
use std::fmt;

use super::App;
use crate::crypto::Crypto;
use crate::http::MAX_REPLY_BYTES;
use crate::payment::{
    CNY, Mismatch, NoticeError, Transaction, VerifiedNotice, clean, fen_of_yuan, is_id,
};
use crate::time::beijing_ms;

/// What is read of a notice.
const READ: [&str; 17] = [
    "app_id",
    "buyer_id",
    "buyer_open_id",
    "buyer_pay_amount",
    "charset",
    "gmt_payment",
    "gmt_refund",
    "notify_type",
    "out_biz_no",
    "out_trade_no",
    "refund_fee",
    "seller_id",
    "sign_type",
    "total_amount",
    "trade_no",
    "trade_status",
    "trans_currency",
];

/// A notice as it came: nothing in it counts before [`verify`](Self::verify). `Debug` shows the body's
/// length.
#[derive(Clone, Copy)]
pub struct Notice<'a> {
    /// The body's raw bytes, at most [`MAX_REPLY_BYTES`].
    pub body: &'a [u8],
}

impl fmt::Debug for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice").field("body_bytes", &self.body.len()).finish()
    }
}

impl Notice<'_> {
    /// The body, as `text/plain` with status 200, that tells Alipay the notice has been dealt with.
    pub const ACKNOWLEDGED: &'static str = "success";

    /// Verifies and reads the notice. It names this app and merchant.
    ///
    /// There is no time in the signature: a notice may be old, and what it says has to be taken for
    /// what was true then.
    ///
    /// # Errors
    /// [`NoticeError`], whose [`http_status`](NoticeError::http_status) is the answer.
    pub async fn verify(
        &self,
        app: &App,
        crypto: &impl Crypto,
    ) -> Result<VerifiedNotice, NoticeError> {
        if self.body.len() > MAX_REPLY_BYTES {
            return Err(NoticeError::NotVerified("the body is too long"));
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(self.body) {
            // What is signed is a text in which a value is not marked off from the next name, so that
            // one value could hide another parameter.
            if READ.iter().any(|name| value.contains(&format!("&{name}="))) {
                return Err(NoticeError::NotVerified("a value holds another parameter"));
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(NoticeError::NotVerified("a parameter is there twice"));
            }
        }
        let value =
            |name: &str| parameters.get(name).map(String::as_str).filter(|text| !text.is_empty());
        if value("sign_type") != Some("RSA2") {
            return Err(NoticeError::NotVerified("sign_type is not RSA2"));
        }
        if value("charset").is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return Err(NoticeError::NotVerified("charset is not utf-8"));
        }
        if !app.verification.has_signed(crypto, &parameters).await? {
            return Err(NoticeError::NotVerified("the signature does not verify"));
        }
        read(app, value)
    }
}

fn read<'a>(
    app: &App,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<VerifiedNotice, NoticeError> {
    if value("app_id") != Some(&app.app_id) {
        return Err(Mismatch::AppId.into());
    }
    let kind = value("notify_type").unwrap_or_default();
    if kind != "trade_status_sync" {
        return Ok(VerifiedNotice::Other { kind: clean(kind) });
    }
    if value("seller_id") != Some(&app.seller_id) {
        return Err(Mismatch::MerchantId.into());
    }
    let fen = |name: &str, reason| {
        let read = |text| fen_of_yuan(text).ok_or(NoticeError::Unreadable(reason));
        value(name).map(read).transpose()
    };
    let id = |name: &str, reason| {
        let text = value(name).filter(|text| is_id(text)).ok_or(NoticeError::Unreadable(reason))?;
        Ok::<_, NoticeError>(text.to_owned())
    };
    let out_trade_no = id("out_trade_no", "out_trade_no is missing or malformed")?;
    let transaction = || {
        Ok::<_, NoticeError>(Transaction {
            app_id: app.app_id.clone(),
            merchant_id: app.seller_id.clone(),
            out_trade_no: out_trade_no.clone(),
            transaction_id: id("trade_no", "trade_no is missing or malformed")?,
            total_fen: fen("total_amount", "total_amount is malformed")?
                .ok_or(NoticeError::Unreadable("total_amount is missing"))?,
            payer_total_fen: fen("buyer_pay_amount", "buyer_pay_amount is malformed")?,
            // Documented: amounts are in yuan when no currency is said.
            currency: value("trans_currency").unwrap_or(CNY).to_owned(),
            paid_at_ms: value("gmt_payment").and_then(beijing_ms),
            payer: value("buyer_open_id")
                .or_else(|| value("buyer_id"))
                .filter(|text| is_id(text))
                .map(ToOwned::to_owned),
        })
    };
    let refunded_fen = fen("refund_fee", "refund_fee is malformed")?.unwrap_or(0);
    if refunded_fen > 0 {
        let out_refund_no = value("out_biz_no").filter(|text| is_id(text)).map(ToOwned::to_owned);
        let transaction = transaction()?;
        return Ok(VerifiedNotice::Refunded { transaction, refunded_fen, out_refund_no });
    }
    match value("trade_status") {
        Some("TRADE_SUCCESS" | "TRADE_FINISHED") => Ok(VerifiedNotice::Paid(transaction()?)),
        Some("TRADE_CLOSED") if value("gmt_refund").is_some() => {
            Err(NoticeError::Unreadable("a refund without refund_fee"))
        }
        Some("TRADE_CLOSED") => Ok(VerifiedNotice::Closed { out_trade_no }),
        status => Ok(VerifiedNotice::Other { kind: clean(status.unwrap_or_default()) }),
    }
}
