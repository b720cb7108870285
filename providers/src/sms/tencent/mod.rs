//! Tencent Cloud SMS, action `SendSms`, version 2021-01-11
//! (`https://sms.tencentcloudapi.com`), for mainland numbers, one number a request.
//!
//! Source: Tencent Cloud API documents, "SendSms" and "Signature v3". A reply has status 200
//! whatever happened; the request has failed when it holds `Response.Error`, and the message when
//! its entry in `Response.SendStatusSet` has a `Code` other than `Ok`.
//!
//! | code, of the request or of the number | outcome |
//! |---|---|
//! | `Ok`, of the number | [`Sent`] |
//! | `RequestLimitExceeded` (also with a suffix), `LimitExceeded` (also with a suffix), HTTP 429 | [`SmsError::RateLimited`] |
//! | `InvalidParameterValue.IncorrectPhoneNumber` | [`SmsError::InvalidPhone`] |
//! | `FailedOperation.PhoneNumberInBlacklist`, `.PhoneNumberOnBlacklist`, `.ContainSensitiveWord` | [`SmsError::Refused`] |
//! | `InvalidParameterValue.ContentLengthLimit`, `.TemplateParameterFormatError`, `.TemplateParameterLengthLimit`, `.ProhibitedUseUrlInTemplateParameter` | [`SmsError::Refused`] |
//! | `FailedOperation.SignatureIncorrectOrUnapproved`, `.TemplateIncorrectOrUnapproved`, `.MissingSignature`, `.InsufficientBalanceInSmsPackage`, `.MarketingSendTimeConstraint` | [`SmsError::Misconfigured`] |
//! | `AuthFailure`, `UnauthorizedOperation`, `InvalidParameter`, `InvalidParameterValue`, `MissingParameter`, `UnknownParameter`, `UnsupportedOperation`, `UnsupportedRegion`, `InvalidAction`, `NoSuchVersion`, with any suffix not named above | [`SmsError::Misconfigured`] |
//! | any other (`InternalError.Timeout`, …), any other status, any reply that does not fit | [`SmsError::Unavailable`] |
//!
//! Start at [`TencentSms`].

mod tc3;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserialize;
use serde_json::json;

use super::{Sent, SmsError, clean, origin_and_host};
use crate::http::{MAX_REPLY_BYTES, Reply, Request};
use crate::phone::Phone;

const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// A merchant's account at Tencent Cloud SMS. `Debug` shows neither half of the key.
#[derive(Clone)]
pub struct TencentSms {
    /// `https://sms.tencentcloudapi.com`, or a stand-in for it: scheme, host, and port if any.
    /// A path is not used: the service lives at `/`, and that is what is signed.
    pub base_url: String,
    /// The API key's id.
    pub secret_id: String,
    /// The API key's secret.
    pub secret_key: String,
    /// The SMS application's id (`SmsSdkAppId`, such as `1400006666`).
    pub sdk_app_id: String,
    /// The approved signature (签名) that stands before each message, without its brackets.
    pub sign_name: String,
    /// The region asked, such as `ap-guangzhou`.
    pub region: String,
}

impl fmt::Debug for TencentSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TencentSms")
            .field("base_url", &self.base_url)
            .field("sdk_app_id", &self.sdk_app_id)
            .field("sign_name", &self.sign_name)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl TencentSms {
    /// Sends the approved template `template_id`, its variables filled with `params` in order, to
    /// one number. `now_unix_seconds` must be within 5 minutes of Tencent's clock.
    #[must_use]
    pub fn send(
        &self,
        now_unix_seconds: i64,
        phone: &Phone,
        template_id: &str,
        params: &[&str],
    ) -> Request {
        let body = json!({
            "PhoneNumberSet": [phone.e164()],
            "SignName": self.sign_name,
            "SmsSdkAppId": self.sdk_app_id,
            "TemplateId": template_id,
            "TemplateParamSet": params,
        })
        .to_string();
        let (origin, host) = origin_and_host(&self.base_url);
        let authorization = tc3::Signing {
            service: "sms",
            host: &host,
            content_type: CONTENT_TYPE,
            body: body.as_bytes(),
            unix_seconds: now_unix_seconds,
        }
        .authorization(&self.secret_id, &self.secret_key);

        let mut request = Request::post(format!("{origin}/"), CONTENT_TYPE, body.into_bytes());
        request.headers.extend([
            ("X-TC-Action", "SendSms".to_owned()),
            ("X-TC-Version", "2021-01-11".to_owned()),
            ("X-TC-Region", self.region.clone()),
            ("X-TC-Timestamp", now_unix_seconds.to_string()),
            ("Authorization", authorization),
        ]);
        request
    }

    /// Reads the reply to [`send`](Self::send).
    ///
    /// # Errors
    /// By the [module's](self) table.
    pub fn read_send(&self, reply: Reply<'_>) -> Result<Sent, SmsError> {
        match reply.status {
            200 => {}
            429 => {
                return Err(SmsError::RateLimited { code: "HTTP 429".to_owned() });
            }
            _ => return Err(unavailable(reply, "the HTTP status is not 200")),
        }
        if reply.body.len() > MAX_REPLY_BYTES {
            return Err(unavailable(reply, "the reply is too long"));
        }
        // A JSON error's own text may quote the reply, so it goes no further than here.
        let wire: Wire = serde_json::from_slice(reply.body).map_err(|_quotes_reply| {
            unavailable(reply, "the reply is not the JSON it should be")
        })?;
        if let Some(error) = wire.response.error {
            return Err(outcome_of_code(reply, &error.code));
        }
        let [status] = wire.response.send_status_set.unwrap_or_default().try_into().map_err(
            |_other_count: Vec<_>| unavailable(reply, "SendStatusSet has not one entry"),
        )?;
        let StatusWire { code, serial_no } = status;
        if code != "Ok" {
            return Err(outcome_of_code(reply, &code));
        }
        Ok(Sent { serial_no: serial_no.map(|text| clean(&text)).filter(|text| !text.is_empty()) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    response: ResponseWire,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseWire {
    error: Option<ErrorWire>,
    send_status_set: Option<Vec<StatusWire>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorWire {
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatusWire {
    code: String,
    serial_no: Option<String>,
}

/// The module's table, for any code but a number's `Ok`.
fn outcome_of_code(reply: Reply<'_>, code: &str) -> SmsError {
    let family = code.split('.').next().unwrap_or_default();
    match (family, code) {
        (_, "InvalidParameterValue.IncorrectPhoneNumber") => SmsError::InvalidPhone,
        (
            _,
            "FailedOperation.PhoneNumberInBlacklist"
            | "FailedOperation.PhoneNumberOnBlacklist"
            | "FailedOperation.ContainSensitiveWord"
            | "InvalidParameterValue.ContentLengthLimit"
            | "InvalidParameterValue.TemplateParameterFormatError"
            | "InvalidParameterValue.TemplateParameterLengthLimit"
            | "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter",
        ) => SmsError::Refused { code: clean(code) },
        ("RequestLimitExceeded" | "LimitExceeded", _) => {
            SmsError::RateLimited { code: clean(code) }
        }
        (
            "AuthFailure"
            | "UnauthorizedOperation"
            | "InvalidParameter"
            | "InvalidParameterValue"
            | "MissingParameter"
            | "UnknownParameter"
            | "UnsupportedOperation"
            | "UnsupportedRegion"
            | "InvalidAction"
            | "NoSuchVersion",
            _,
        )
        | (
            _,
            "FailedOperation.SignatureIncorrectOrUnapproved"
            | "FailedOperation.TemplateIncorrectOrUnapproved"
            | "FailedOperation.MissingSignature"
            | "FailedOperation.InsufficientBalanceInSmsPackage"
            | "FailedOperation.MarketingSendTimeConstraint",
        ) => SmsError::Misconfigured { code: clean(code) },
        _ => unavailable(reply, &clean(code)),
    }
}

fn unavailable(reply: Reply<'_>, reason: &str) -> SmsError {
    SmsError::Unavailable { status: reply.status, reason: reason.to_owned() }
}
