//! WeChat's server API for mini programs (`https://api.weixin.qq.com`): who signs in, the app's
//! access token, the user's phone number, that what was paid for has been delivered, and messages.
//!
//! Source: WeChat Open Documentation, mini program server API, calls `code2Session`
//! (`/sns/jscode2session`), `getStableAccessToken` (`/cgi-bin/stable_token`), `getPhoneNumber`
//! (`/wxa/business/getuserphonenumber`), `uploadShippingInfo`
//! (`/wxa/sec/order/upload_shipping_info`, in `shipping`) and `subscribeMessage.send`
//! (`/cgi-bin/message/subscribe/send`, in [`subscribe`]). All answer failures with status 200 and
//! `{"errcode", "errmsg"}`; on success `errcode` is absent or 0. [`WechatError`] has the table.
//!
//! The two codes are different: the one of `wx.login` goes to [`MiniProgram::session`], the one
//! of the phone number button to [`MiniProgram::phone_number`]. Each is good once, for 5 minutes.
//!
//! Start at [`MiniProgram`].

mod error;
mod shipping;
pub mod subscribe;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::http::{MAX_REPLY_BYTES, Reply, Request, query};
use crate::phone::Phone;

pub use error::WechatError;
use error::{Bearer, malformed};
pub use shipping::{Delivery, Shipping, ShippingOutcome};

/// The longest life an access token is believed to have, in seconds (documented: at most 7200).
const MAX_TOKEN_LIFE_SECONDS: u64 = 7200;

/// The longest openid or unionid taken, in bytes. Today's have 28; the payment API allows 128.
const MAX_ID_BYTES: usize = 128;

/// A mini program's identity at WeChat. `Debug` does not show the secret.
#[derive(Clone)]
pub struct MiniProgram {
    /// `https://api.weixin.qq.com`, or a relay or stand-in for it that serves the same paths.
    pub base_url: String,
    /// The mini program's AppID (`wx…`).
    pub appid: String,
    /// Its AppSecret.
    pub secret: String,
}

impl fmt::Debug for MiniProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MiniProgram")
            .field("base_url", &self.base_url)
            .field("appid", &self.appid)
            .finish_non_exhaustive()
    }
}

/// Who signed in. The reply's `session_key` is not here: nothing needs it, so it is never kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// The user's id in this mini program, 1 to 128 visible ASCII characters.
    pub openid: String,
    /// The user's id across the merchant's apps, when the mini program is bound to an open
    /// platform account.
    pub unionid: Option<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// The mini program's access token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The token, not empty, several hundred characters long.
    pub token: String,
    /// How long it is good for, 1 to 7200 seconds.
    pub expires_in_seconds: u32,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_in_seconds", &self.expires_in_seconds)
            .finish_non_exhaustive()
    }
}

impl MiniProgram {
    /// Asks who is behind a code of `wx.login` (`code2Session`). The code is encoded, whatever is
    /// in it; its length is the caller's to limit.
    #[must_use]
    pub fn session(&self, code: &str) -> Request {
        let query = query(&[
            ("appid", &self.appid),
            ("secret", &self.secret),
            ("js_code", code),
            ("grant_type", "authorization_code"),
        ]);
        Request::get(self.url("/sns/jscode2session", &query))
    }

    /// Reads the reply to [`session`](Self::session).
    ///
    /// # Errors
    /// By the table of [`WechatError`].
    pub fn read_session(&self, reply: Reply<'_>) -> Result<Session, WechatError> {
        let wire: SessionWire = read(reply, Bearer::Secret)?;
        let openid = wire
            .openid
            .filter(|id| is_id(id))
            .ok_or(malformed("openid is missing or malformed"))?;
        let unionid = wire.unionid.filter(|id| !id.is_empty());
        if unionid.as_deref().is_some_and(|id| !is_id(id)) {
            return Err(malformed("unionid is malformed"));
        }
        Ok(Session { openid, unionid })
    }

    /// Asks for the access token (`getStableAccessToken`, normal mode: the same token until its
    /// last 5 minutes, then a new one while the old still works, so that callers need no lock).
    #[must_use]
    pub fn access_token(&self) -> Request {
        let body = json!({
            "appid": self.appid,
            "grant_type": "client_credential",
            "secret": self.secret,
        });
        post(self.url("/cgi-bin/stable_token", ""), &body)
    }

    /// Reads the reply to [`access_token`](Self::access_token).
    ///
    /// # Errors
    /// By the table of [`WechatError`].
    pub fn read_access_token(&self, reply: Reply<'_>) -> Result<AccessToken, WechatError> {
        let wire: AccessTokenWire = read(reply, Bearer::Secret)?;
        let token = wire
            .access_token
            .filter(|token| !token.is_empty())
            .ok_or(malformed("access_token is missing"))?;
        let expires_in_seconds = wire
            .expires_in
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| u32::try_from(seconds.min(MAX_TOKEN_LIFE_SECONDS)).ok())
            .ok_or(malformed("expires_in is missing or zero"))?;
        Ok(AccessToken { token, expires_in_seconds })
    }

    /// Asks for the phone number behind a code of the phone number button (`getPhoneNumber`). The
    /// code is not the one of `wx.login`; its length is the caller's to limit.
    #[must_use]
    pub fn phone_number(&self, access_token: &str, code: &str) -> Request {
        let query = query(&[("access_token", access_token)]);
        let body = json!({ "code": code });
        post(self.url("/wxa/business/getuserphonenumber", &query), &body)
    }

    /// Reads the reply to [`phone_number`](Self::phone_number). The reply's watermark must name
    /// this mini program.
    ///
    /// # Errors
    /// [`WechatError::UnsupportedPhone`] for a number outside mainland China or not a mobile one,
    /// otherwise by the table of [`WechatError`].
    pub fn read_phone_number(&self, reply: Reply<'_>) -> Result<Phone, WechatError> {
        let wire: PhoneNumberWire = read(reply, Bearer::Token)?;
        let info = wire.phone_info.ok_or(malformed("phone_info is missing"))?;
        if info.watermark.and_then(|mark| mark.appid).as_ref() != Some(&self.appid) {
            return Err(malformed("the watermark does not name our appid"));
        }
        // The documents say a string; numbers have been seen.
        let is_mainland = match info.country_code {
            Some(Value::String(code)) => code == "86",
            Some(Value::Number(code)) => code.as_u64() == Some(86),
            _ => return Err(malformed("countryCode is missing or malformed")),
        };
        let number = info.pure_phone_number.ok_or(malformed("purePhoneNumber is missing"))?;
        if !is_mainland {
            return Err(WechatError::UnsupportedPhone);
        }
        Phone::parse(&number).map_err(|_not_a_mobile| WechatError::UnsupportedPhone)
    }

    fn url(&self, path: &str, query: &str) -> String {
        let base = self.base_url.trim_end_matches('/');
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{base}{path}{mark}{query}")
    }
}

#[derive(Deserialize)]
struct SessionWire {
    openid: Option<String>,
    unionid: Option<String>,
}

#[derive(Deserialize)]
struct AccessTokenWire {
    access_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct PhoneNumberWire {
    phone_info: Option<PhoneInfoWire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PhoneInfoWire {
    pure_phone_number: Option<String>,
    country_code: Option<Value>,
    watermark: Option<WatermarkWire>,
}

#[derive(Deserialize)]
struct WatermarkWire {
    appid: Option<String>,
}

fn post(url: String, body: &Value) -> Request {
    Request::post(url, "application/json", body.to_string().into_bytes())
}

/// Reads the fields of a reply that reports success: status 200, a JSON object, `errcode` absent,
/// null or 0. All else is an error.
fn read<T: DeserializeOwned>(reply: Reply<'_>, bearer: Bearer) -> Result<T, WechatError> {
    match reply.status {
        200 => {}
        429 => return Err(WechatError::RateLimited),
        500..=599 => return Err(WechatError::Busy),
        status => {
            let reason = "the HTTP status is not 200";
            return Err(WechatError::Unexpected { status, errcode: None, reason });
        }
    }
    if reply.body.len() > MAX_REPLY_BYTES {
        return Err(malformed("the reply is too long"));
    }
    // A JSON error's own text may quote the reply, so it goes no further than here.
    let fields: Map<String, Value> = serde_json::from_slice(reply.body)
        .map_err(|_quotes_reply| malformed("the reply is not a JSON object"))?;
    match fields.get("errcode") {
        None | Some(Value::Null) => {}
        Some(errcode) => match errcode.as_i64() {
            Some(0) => {}
            Some(errcode) => return Err(WechatError::of_errcode(bearer, errcode)),
            None => return Err(malformed("errcode is not an integer")),
        },
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|_quotes_reply| malformed("a field has the wrong type"))
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
