//! Alibaba Cloud SMS, action `SendSms`, version 2017-05-25 (`https://dysmsapi.aliyuncs.com`), for
//! mainland numbers, one number a request.
//!
//! Source: Alibaba Cloud documents, "SendSms" and "V3 request signature". Alibaba refuses callers
//! outside the mainland (`isv.DENY_IP_RANGE`), so this goes through a relay there.
//!
//! | code | outcome |
//! |---|---|
//! | `OK` with status 200 | [`Sent`] |
//! | `isv.BUSINESS_LIMIT_CONTROL`, `isv.DAY_LIMIT_CONTROL`, `isv.MONTH_LIMIT_CONTROL`, `Throttling` (also with a suffix), HTTP 429 | [`SmsError::RateLimited`] |
//! | `isv.MOBILE_NUMBER_ILLEGAL` | [`SmsError::InvalidPhone`] |
//! | `isv.TEMPLATE_MISSING_PARAMETERS`, `isv.INVALID_JSON_PARAM` | [`SmsError::Refused`] |
//! | `isv.AMOUNT_NOT_ENOUGH`, `isv.OUT_OF_SERVICE`, `isv.SMS_TEMPLATE_ILLEGAL`, `isv.SMS_SIGNATURE_ILLEGAL`, `isv.SMS_SIGNATURE_SCENE_ILLEGAL`, `isv.DENY_IP_RANGE`, `isp.RAM_PERMISSION_DENY`, `SignatureDoesNotMatch`, `SignatureNonceUsed`, and `InvalidTimeStamp`, `InvalidAccessKeyId` with any suffix | [`SmsError::Misconfigured`] |
//! | any other, any status but 200, 400, 403, 404, any reply that does not fit | [`SmsError::Unavailable`] |
//!
//! Start at [`AliyunSms`].

mod acs3;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Sent, SmsError, clean, origin_and_host};
use crate::http::{MAX_REPLY_BYTES, Method, Reply, Request, query};
use crate::phone::Phone;

const ACTION: &str = "SendSms";
const VERSION: &str = "2017-05-25";

/// A merchant's account at Alibaba Cloud SMS. `Debug` shows neither half of the key.
#[derive(Clone)]
pub struct AliyunSms {
    /// `https://dysmsapi.aliyuncs.com`, or a stand-in for it: scheme, host, and port if any.
    pub base_url: String,
    /// The AccessKey's id.
    pub access_key_id: String,
    /// The AccessKey's secret.
    pub access_key_secret: String,
    /// The approved signature (签名) that stands before each message, without its brackets.
    pub sign_name: String,
}

impl fmt::Debug for AliyunSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AliyunSms")
            .field("base_url", &self.base_url)
            .field("sign_name", &self.sign_name)
            .finish_non_exhaustive()
    }
}

impl AliyunSms {
    /// Sends the approved template `template_code`, its variables filled by name, to one number.
    /// `now_unix_seconds` must be within 15 minutes of Alibaba's clock, `nonce` fresh and random.
    #[must_use]
    pub fn send(
        &self,
        now_unix_seconds: i64,
        nonce: [u8; 16],
        phone: &Phone,
        template_code: &str,
        variables: &[(&str, &str)],
    ) -> Request {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let template_param = serde_json::json!(variables).to_string();
        // In the order of their names, as they are signed.
        let query = query(&[
            ("PhoneNumbers", phone.as_str()),
            ("SignName", &self.sign_name),
            ("TemplateCode", template_code),
            ("TemplateParam", &template_param),
        ]);
        let (origin, host) = origin_and_host(&self.base_url);
        let signing = acs3::Signing {
            host: &host,
            action: ACTION,
            version: VERSION,
            query: &query,
            body: b"",
            unix_seconds: now_unix_seconds,
            nonce,
        };
        let mut request = Request::get(format!("{origin}/?{query}"));
        request.method = Method::Post;
        request.headers.extend(signing.headers());
        request.headers.push((
            "Authorization",
            signing.authorization(&self.access_key_id, &self.access_key_secret),
        ));
        request
    }

    /// Reads the reply to [`send`](Self::send).
    ///
    /// # Errors
    /// By the [module's](self) table.
    pub fn read_send(&self, reply: Reply<'_>) -> Result<Sent, SmsError> {
        match reply.status {
            200 | 400 | 403 | 404 => {}
            429 => return Err(SmsError::RateLimited { code: "HTTP 429".to_owned() }),
            _ => return Err(unavailable(reply, "the HTTP status is not documented")),
        }
        if reply.body.len() > MAX_REPLY_BYTES {
            return Err(unavailable(reply, "the reply is too long"));
        }
        // A JSON error's own text may quote the reply, so it goes no further than here.
        let wire: Wire = serde_json::from_slice(reply.body).map_err(|_quotes_reply| {
            unavailable(reply, "the reply is not the JSON it should be")
        })?;
        if reply.status == 200 && wire.code == "OK" {
            let serial_no = wire.biz_id.map(|text| clean(&text)).filter(|text| !text.is_empty());
            return Ok(Sent { serial_no });
        }
        Err(outcome_of_code(reply, &wire.code))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    code: String,
    biz_id: Option<String>,
}

/// The module's table, for any code but `OK`.
fn outcome_of_code(reply: Reply<'_>, code: &str) -> SmsError {
    let family = code.split('.').next().unwrap_or_default();
    match (family, code) {
        (_, "isv.MOBILE_NUMBER_ILLEGAL") => SmsError::InvalidPhone,
        (_, "isv.BUSINESS_LIMIT_CONTROL" | "isv.DAY_LIMIT_CONTROL" | "isv.MONTH_LIMIT_CONTROL")
        | ("Throttling", _) => SmsError::RateLimited { code: clean(code) },
        (_, "isv.TEMPLATE_MISSING_PARAMETERS" | "isv.INVALID_JSON_PARAM") => {
            SmsError::Refused { code: clean(code) }
        }
        (
            _,
            "isv.AMOUNT_NOT_ENOUGH"
            | "isv.OUT_OF_SERVICE"
            | "isv.SMS_TEMPLATE_ILLEGAL"
            | "isv.SMS_SIGNATURE_ILLEGAL"
            | "isv.SMS_SIGNATURE_SCENE_ILLEGAL"
            | "isv.DENY_IP_RANGE"
            | "isp.RAM_PERMISSION_DENY"
            | "SignatureDoesNotMatch"
            | "SignatureNonceUsed",
        )
        | ("InvalidTimeStamp" | "InvalidAccessKeyId", _) => {
            SmsError::Misconfigured { code: clean(code) }
        }
        _ => unavailable(reply, &clean(code)),
    }
}

fn unavailable(reply: Reply<'_>, reason: &str) -> SmsError {
    SmsError::Unavailable { status: reply.status, reason: reason.to_owned() }
}
