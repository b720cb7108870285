//! WeChat Pay, API v3, for a merchant of its own (`https://api.mch.weixin.qq.com`): JSAPI and Native
//! orders, refunds, bills, notices.
//!
//! Source: WeChat Pay merchant documentation (`https://pay.weixin.qq.com/doc/v3/merchant/`), its
//! official SDKs for Go and Java where it is silent. Requests and replies are both signed; what is
//! signed is in `sign`. Nothing of a reply with status 200 or 204 is read before its signature is
//! verified over the raw body; errors are not signed, and what they say is no proof (see
//! [`payment`](crate::payment)).
//!
//! A call is a pair: a function makes the signed [`Request`], `read_…` reads its reply. A request may
//! be sent to the second host too ([`Merchant::at_fallback`]), signed anew.
//! Whoever gets no reply has an unknown outcome, as for [`Doubt`](crate::payment::Doubt).
//!
//! | file | what |
//! |---|---|
//! | `sign` | signatures of requests, replies, notices and of what `wx.requestPayment` takes |
//! | `keys` | WeChat Pay's keys, several at a time, and how they are renewed |
//! | `order` | make, query and close an order |
//! | `refund` | refund, and query a refund |
//! | `bill` | the bills of a day: ask, download, read |
//! | `notice` | notices of payments and refunds |
//! | `error` | what goes wrong, in one table |
//! | `wire` | the JSON |
//!
//! Start at [`Merchant`], and at [`Notice`] for what WeChat Pay sends.

mod bill;
mod error;
mod keys;
mod notice;
mod order;
mod refund;
mod sign;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;

use crate::crypto::{AeadKey, Crypto, PrivateKey};
use crate::http::Request;
use crate::payment::BuildError;

pub use bill::{
    BillError, BillOutcome, BillUrl, Direction, FundFlow, FundFlowBill, MAX_BILL_BYTES, TradeBill,
    TradeKind, TradeRow,
};
pub use keys::{CertificatesOutcome, PlatformCertificate, VerificationKeys};
pub use notice::Notice;
pub use sign::{JsapiParameters, MAX_CLOCK_DIFFERENCE_SECONDS, Stamp};

/// A merchant at WeChat Pay, with a mini program or service account bound to it. `Debug` shows no key.
#[derive(Clone)]
pub struct Merchant {
    /// `https://api.mch.weixin.qq.com`, or a relay or stand-in for it that serves the same paths.
    pub base_url: String,
    /// `https://api2.mch.weixin.qq.com`, WeChat Pay's second host, if it may be used.
    pub fallback_base_url: Option<String>,
    /// The app the payer uses; it is bound to the merchant.
    pub appid: String,
    /// The merchant's number.
    pub mchid: String,
    /// The merchant API certificate's serial number (40 hexadecimal digits).
    pub serial_no: String,
    /// Its key (`apiclient_key.pem`).
    pub private_key: PrivateKey,
    /// The APIv3 key, with which notices and certificates are sealed.
    pub api_v3_key: AeadKey,
    /// The keys WeChat Pay signs with. Without any, nothing is ever verified.
    pub verification_keys: VerificationKeys,
}

impl fmt::Debug for Merchant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merchant")
            .field("base_url", &self.base_url)
            .field("fallback_base_url", &self.fallback_base_url)
            .field("appid", &self.appid)
            .field("mchid", &self.mchid)
            .field("serial_no", &self.serial_no)
            .field("verification_keys", &self.verification_keys)
            .finish_non_exhaustive()
    }
}

impl Merchant {
    /// The same request, to the second host: for when the first cannot be reached. It is the same
    /// order or refund, with the same number, so that it cannot happen twice. It is signed anew, because
    /// the first host may have received it, and WeChat Pay takes a nonce once. `None` when there is no
    /// second host, or the request is not one of the first.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn at_fallback(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        request: &Request,
    ) -> Result<Option<Request>, BuildError> {
        let Some(fallback) = self.fallback_base_url.as_deref() else { return Ok(None) };
        let path = request.url.strip_prefix(self.base_url.trim_end_matches('/'));
        let Some(path) = path.filter(|path| path.starts_with('/')) else { return Ok(None) };
        let url = format!("{}{path}", fallback.trim_end_matches('/'));
        let unsigned = Request { url, ..request.clone() };
        self.signed_anew(crypto, stamp, path, unsigned).await.map(Some)
    }
}
