//! The signature `WECHATPAY2-SHA256-RSA2048`: RSASSA-PKCS1-v1_5 with SHA-256, in base64.
//!
//! Source: WeChat Pay documentation, "签名生成" and "签名验证".
//!
//! | whose | lines signed, each with its `\n` |
//! |---|---|
//! | request | method, path and query, timestamp, nonce, body |
//! | reply, notice | `Wechatpay-Timestamp`, `Wechatpay-Nonce`, body |
//! | `wx.requestPayment` | appid, timestamp, nonce, package |

use std::fmt;

use serde::Serialize;

use super::Merchant;
use super::error::Failed;
use crate::crypto::{Crypto, CryptoError, sign_base64, upper_hex, verify_base64};
use crate::http::{Headers, MAX_REPLY_BYTES, Method, Request, SignedReply};
use crate::payment::{BuildError, all_true, is_id};

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";

/// A signature whose time is this far from ours or farther is refused, in seconds (documented: five
/// minutes).
pub const MAX_CLOCK_DIFFERENCE_SECONDS: u64 = 300;

/// What makes a signature unlike any other: the time and 16 fresh random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Now, in Unix seconds, within 5 minutes of WeChat's clock.
    pub now_unix_seconds: i64,
    /// Random bytes, never used before.
    pub nonce: [u8; 16],
}

impl Stamp {
    /// The nonce as it is sent: 32 hexadecimal digits, as in the documents' examples.
    fn nonce_str(&self) -> String {
        upper_hex(&self.nonce)
    }
}

/// What the mini program gives to `wx.requestPayment`, in its own names when serialised. `Debug`
/// does not show it: whoever has it can pay this order.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JsapiParameters {
    /// The time, in seconds, as text.
    pub time_stamp: String,
    /// The nonce.
    pub nonce_str: String,
    /// `prepay_id=…`
    pub package: String,
    /// `RSA`
    pub sign_type: &'static str,
    /// The signature.
    pub pay_sign: String,
}

impl fmt::Debug for JsapiParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsapiParameters").finish_non_exhaustive()
    }
}

/// Why a message does not count: the vendor did not sign it, or we could not look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unverified {
    Because(&'static str),
    Crypto(CryptoError),
}

impl Merchant {
    /// The parameters of `wx.requestPayment` for an order that is ready. They are good as long as the
    /// `prepay_id`. That the mini program reports success is no proof of payment.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for what is no `prepay_id`, [`BuildError::Crypto`].
    pub async fn jsapi_parameters(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        prepay_id: &str,
    ) -> Result<JsapiParameters, BuildError> {
        all_true([(is_id(prepay_id), "prepay_id is malformed")])?;
        let (time_stamp, nonce_str) = (stamp.now_unix_seconds.to_string(), stamp.nonce_str());
        let package = format!("prepay_id={prepay_id}");
        let message = format!("{}\n{time_stamp}\n{nonce_str}\n{package}\n", self.appid);
        let pay_sign = sign_base64(crypto, &self.private_key, message.as_bytes()).await?;
        Ok(JsapiParameters { time_stamp, nonce_str, package, sign_type: "RSA", pay_sign })
    }

    pub(super) async fn get(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        path_and_query: &str,
    ) -> Result<Request, BuildError> {
        let request = Request::get(self.url(path_and_query));
        self.signed(crypto, stamp, path_and_query, request).await
    }

    pub(super) async fn post(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Request, BuildError> {
        let body = serde_json::to_vec(body)
            .map_err(|_never_fails| BuildError::Invalid("the body cannot be written as JSON"))?;
        let request = Request::post(self.url(path), "application/json", body);
        self.signed(crypto, stamp, path, request).await
    }

    /// The path is signed as WeChat Pay receives it: a relay's own path, part of the base address, is
    /// not part of it.
    async fn signed(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        path_and_query: &str,
        mut request: Request,
    ) -> Result<Request, BuildError> {
        if request.method == Method::Get {
            request.headers.push(("Content-Type", "application/json".to_owned()));
        }
        self.signed_anew(crypto, stamp, path_and_query, request).await
    }

    /// Signs a request, instead of what it was signed with before.
    pub(super) async fn signed_anew(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        path_and_query: &str,
        mut request: Request,
    ) -> Result<Request, BuildError> {
        request.headers.retain(|(name, _)| !matches!(*name, "Authorization" | "Wechatpay-Serial"));
        let (timestamp, nonce) = (stamp.now_unix_seconds, stamp.nonce_str());
        let head = format!("{}\n{path_and_query}\n{timestamp}\n{nonce}\n", request.method.as_str());
        let message = [head.as_bytes(), &request.body, b"\n"].concat();
        let signature = sign_base64(crypto, &self.private_key, &message).await?;
        let Self { mchid, serial_no, .. } = self;
        request.headers.push((
            "Authorization",
            format!(
                "{SCHEME} mchid=\"{mchid}\",nonce_str=\"{nonce}\",signature=\"{signature}\",\
                 timestamp=\"{timestamp}\",serial_no=\"{serial_no}\""
            ),
        ));
        if let Some(serial) = self.verification_keys.preferred_serial() {
            request.headers.push(("Wechatpay-Serial", serial.to_owned()));
        }
        Ok(request)
    }

    fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.base_url.trim_end_matches('/'))
    }

    /// The body of a reply that reports success and is signed. All else is a failure, by the table of
    /// `error`.
    pub(super) async fn success<'a>(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'a>,
    ) -> Result<&'a [u8], Failed> {
        if !matches!(reply.status, 200 | 204) {
            return Err(Failed::by_reply(reply));
        }
        let SignedReply { headers, body, .. } = reply;
        self.verification_keys.verify(crypto, now_unix_seconds, headers, body).await.map_err(
            |unverified| match unverified {
                Unverified::Because(reason) => Failed::because(reply, reason),
                Unverified::Crypto(error) => Failed::because(reply, error.to_string()),
            },
        )?;
        Ok(body)
    }
}

impl super::VerificationKeys {
    /// Verifies a reply or a notice: its headers and its raw body.
    pub(super) async fn verify(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<(), Unverified> {
        let header = |name, missing| headers.get(name).ok_or(Unverified::Because(missing));
        let timestamp = header("Wechatpay-Timestamp", "Wechatpay-Timestamp is missing or twice")?;
        let nonce = header("Wechatpay-Nonce", "Wechatpay-Nonce is missing or twice")?;
        let signature = header("Wechatpay-Signature", "Wechatpay-Signature is missing or twice")?;
        let serial = header("Wechatpay-Serial", "Wechatpay-Serial is missing or twice")?;
        if body.len() > MAX_REPLY_BYTES {
            return Err(Unverified::Because("the body is too long"));
        }
        // The one algorithm there is, also when the header that names it is not there (documented).
        if headers.0.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("Wechatpay-Signature-Type") && value != SCHEME
        }) {
            return Err(Unverified::Because("Wechatpay-Signature-Type is another algorithm"));
        }
        let is_number = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        let at = timestamp
            .parse::<i64>()
            .ok()
            .filter(|_| is_number)
            .ok_or(Unverified::Because("Wechatpay-Timestamp is not a time"))?;
        if now_unix_seconds.abs_diff(at) >= MAX_CLOCK_DIFFERENCE_SECONDS {
            return Err(Unverified::Because("Wechatpay-Timestamp is not within five minutes"));
        }
        let key = self.get(serial).ok_or(Unverified::Because("Wechatpay-Serial is unknown"))?;
        let head = format!("{timestamp}\n{nonce}\n");
        let message = [head.as_bytes(), body, b"\n"].concat();
        match verify_base64(crypto, key, &message, signature).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unverified::Because("the signature does not verify")),
            Err(error) => Err(Unverified::Crypto(error)),
        }
    }
}
