//! Short messages: one-time codes and reminders, by [`tencent`] or [`aliyun`]; [`Sms`] is either, and
//! the outcome of a message, [`Sent`] or [`SmsError`], is the same for both.

pub mod aliyun;
pub mod tencent;

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;

use crate::http::{Reply, Request};
use crate::phone::Phone;
use aliyun::AliyunSms;
use tencent::TencentSms;

/// The longest value of a template's variable, in characters. The vendors' own limits are by contract
/// and kind of variable; no text that fits a short message's purpose needs more.
pub const MAX_VALUE_CHARS: usize = 20;

/// The longest of the vendor's codes and numbers that is kept, in characters. The longest known
/// code has 69.
const MAX_CODE_CHARS: usize = 100;

/// The vendor has taken the message. It is on its way, not yet on the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The vendor's number of this message, for its delivery report and its support, if given.
    pub serial_no: Option<String>,
}

/// A message the vendor did not take. Each vendor's module has a table from its codes to these;
/// `code` is the vendor's, cut and cleaned so that it can be logged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SmsError {
    /// Too many messages, to this number or by the merchant in all: later, not again at once.
    #[error("too many messages ({code})")]
    RateLimited {
        /// The vendor's code, which says which limit it was.
        code: String,
    },
    /// The vendor says the number does not exist.
    #[error("the phone number is not valid")]
    InvalidPhone,
    /// This message will not be sent to this number, however often it is tried.
    #[error("the message was refused ({code})")]
    Refused {
        /// The vendor's code.
        code: String,
    },
    /// The account, keys, signature, template or balance is not in order; a person has to act.
    #[error("the SMS account's settings are refused ({code})")]
    Misconfigured {
        /// The vendor's code, which says what is wrong.
        code: String,
    },
    /// The vendor failed, or answered what its documents do not name. Whether the message was
    /// sent is not known.
    #[error("the SMS service is unavailable (HTTP {status}): {reason}")]
    Unavailable {
        /// The reply's HTTP status.
        status: u16,
        /// The vendor's code, or what is wrong with the reply.
        reason: String,
    },
}

/// The merchant's account at one of the vendors.
#[derive(Clone, Debug)]
pub enum Sms {
    /// Tencent Cloud.
    Tencent(TencentSms),
    /// Alibaba Cloud.
    Aliyun(AliyunSms),
}

impl Sms {
    /// Sends an approved template to one number. Its variables are named; Tencent takes their values in
    /// order, Alibaba by name. Each is cleaned and cut to [`MAX_VALUE_CHARS`]. `nonce` is fresh and
    /// random.
    #[must_use]
    pub fn send(
        &self,
        now_unix_seconds: i64,
        nonce: [u8; 16],
        phone: &Phone,
        template: &str,
        variables: &[(&str, &str)],
    ) -> Request {
        let values: Vec<String> = variables.iter().map(|(_, text)| value(text)).collect();
        match self {
            Self::Tencent(tencent) => {
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                tencent.send(now_unix_seconds, phone, template, &values)
            }
            Self::Aliyun(aliyun) => {
                let by_name: Vec<_> =
                    variables.iter().zip(&values).map(|((name, _), it)| (*name, &**it)).collect();
                aliyun.send(now_unix_seconds, nonce, phone, template, &by_name)
            }
        }
    }

    /// Reads the reply to [`send`](Self::send).
    ///
    /// # Errors
    /// By the vendor's table.
    pub fn read_send(&self, reply: Reply<'_>) -> Result<Sent, SmsError> {
        match self {
            Self::Tencent(tencent) => tencent.read_send(reply),
            Self::Aliyun(aliyun) => aliyun.read_send(reply),
        }
    }
}

/// A text as the value of a variable.
fn value(text: &str) -> String {
    let plain: String = text
        .chars()
        .filter(|c| !c.is_control() && c.len_utf8() < 4)
        .take(MAX_VALUE_CHARS)
        .collect();
    plain.trim().to_owned()
}

/// Keeps of the vendor's text what a code or serial number is made of.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || ".:-_^".contains(*c))
        .take(MAX_CODE_CHARS)
        .collect()
}

/// The origin the request goes to and the `Host` its sender will write: lower case, without the
/// scheme's own port, as the URL standard has it.
fn origin_and_host(base_url: &str) -> (String, String) {
    let (scheme, rest) = base_url.split_once("://").unwrap_or(("https", base_url));
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let default_port = if scheme == "http" { ":80" } else { ":443" };
    let host = authority.strip_suffix(default_port).unwrap_or(authority).to_ascii_lowercase();
    (format!("{scheme}://{host}"), host)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_goes_to_either_vendor() {
        let tencent = Sms::Tencent(TencentSms {
            base_url: "https://sms.example.com".to_owned(),
            secret_id: "id".to_owned(),
            secret_key: "key".to_owned(),
            sdk_app_id: "1400000001".to_owned(),
            sign_name: "准点".to_owned(),
            region: "ap-guangzhou".to_owned(),
        });
        let aliyun = Sms::Aliyun(AliyunSms {
            base_url: "https://sms.example.com".to_owned(),
            access_key_id: "id".to_owned(),
            access_key_secret: "key".to_owned(),
            sign_name: "准点".to_owned(),
        });
        let phone = Phone::parse("13800000000").unwrap();
        let long = "一".repeat(MAX_VALUE_CHARS + 1);
        let variables = [("store", long.as_str()), ("start", "11月25日\n15:01 💆")];
        let cut = "一".repeat(MAX_VALUE_CHARS);
        let request = tencent.send(1_700_000_000, [7; 16], &phone, "1", &variables);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["TemplateParamSet"], serde_json::json!([cut, "11月25日15:01"]));
        let request = aliyun.send(1_700_000_000, [7; 16], &phone, "SMS_1", &variables);
        let param = serde_json::json!({"store": cut, "start": "11月25日15:01"}).to_string();
        let param: String = form_urlencoded::byte_serialize(param.as_bytes()).collect();
        assert!(request.url.contains(&format!("TemplateParam={param}")), "{}", request.url);
        let sent = Reply { status: 200, body: br#"{"Code":"OK","BizId":"9"}"# };
        assert_eq!(aliyun.read_send(sent).unwrap().serial_no.as_deref(), Some("9"));
    }

    /// RFC 4231, test cases 1, 2 and 6 (the last has a key longer than the hash's block).
    #[test]
    fn hmac_agrees_with_its_rfc() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&hmac(key, message)), expected);
        }
    }
}
