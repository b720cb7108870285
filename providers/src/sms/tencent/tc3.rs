//! TC3-HMAC-SHA256, the signature of Tencent Cloud's API ("Signature v3" in its documents), for
//! a JSON POST to `/`.
//!
//! Signed are `content-type`, `host` and the body's hash; the key is derived for one UTC day and
//! one service. Both header values must be exactly those sent.

use chrono::DateTime;
use sha2::{Digest, Sha256};

use crate::sms::{hex, hmac};

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const SIGNED_HEADERS: &str = "content-type;host";

/// What is signed.
pub(super) struct Signing<'a> {
    /// The product's name: the first label of its host.
    pub service: &'a str,
    /// The `Host` header as sent, with the port if it has one.
    pub host: &'a str,
    /// The `Content-Type` header as sent.
    pub content_type: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
    /// The time, the same as in `X-TC-Timestamp`.
    pub unix_seconds: i64,
}

impl Signing<'_> {
    /// The value of the `Authorization` header.
    pub fn authorization(&self, secret_id: &str, secret_key: &str) -> String {
        let scope = self.scope();
        let signature = self.signature(secret_key);
        format!(
            "{ALGORITHM} Credential={secret_id}/{scope}, SignedHeaders={SIGNED_HEADERS}, \
             Signature={signature}"
        )
    }

    pub fn canonical_request(&self) -> String {
        let Self { host, content_type, .. } = self;
        let body_hash = hex(&Sha256::digest(self.body));
        format!(
            "POST\n/\n\ncontent-type:{content_type}\nhost:{host}\n\n{SIGNED_HEADERS}\n{body_hash}"
        )
    }

    pub fn string_to_sign(&self) -> String {
        let scope = self.scope();
        let canonical_hash = hex(&Sha256::digest(self.canonical_request()));
        format!("{ALGORITHM}\n{}\n{scope}\n{canonical_hash}", self.unix_seconds)
    }

    pub fn signature(&self, secret_key: &str) -> String {
        let first_key = format!("TC3{secret_key}");
        let day_key = hmac(first_key.as_bytes(), utc_date(self.unix_seconds).as_bytes());
        let service_key = hmac(&day_key, self.service.as_bytes());
        let key = hmac(&service_key, b"tc3_request");
        hex(&hmac(&key, self.string_to_sign().as_bytes()))
    }

    fn scope(&self) -> String {
        format!("{}/{}/tc3_request", utc_date(self.unix_seconds), self.service)
    }
}

/// The UTC date as `YYYY-MM-DD`; 1970-01-01 for what is no time.
pub(super) fn utc_date(unix_seconds: i64) -> String {
    DateTime::from_timestamp(unix_seconds, 0).unwrap_or_default().date_naive().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::host::vectors;

    /// The worked example of Tencent Cloud's "Signature v3" document (service `cvm`). The document
    /// blanks the key's end with asterisks, and signs with them.
    #[test]
    fn the_published_example_is_reproduced() {
        let vector = &vectors()["tencent_tc3"];
        let text = |name: &str| vector[name].as_str().unwrap();
        let signing = Signing {
            service: text("service"),
            host: text("host"),
            content_type: text("content_type"),
            body: text("payload").as_bytes(),
            unix_seconds: vector["timestamp"].as_i64().unwrap(),
        };
        let (date, secret_key, signature) = (text("date"), text("secret_key"), text("signature"));
        assert_eq!(signing.canonical_request(), text("canonical_request"));
        assert_eq!(signing.string_to_sign(), text("string_to_sign"));
        assert_eq!(signing.signature(secret_key), signature);
        assert_eq!(
            signing.authorization("AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******", secret_key),
            format!(
                "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******/{date}/cvm\
                 /tc3_request, SignedHeaders=content-type;host, Signature={signature}"
            )
        );
    }

    #[test]
    fn dates_are_utc_and_know_leap_years() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_551_113_065, "2019-02-25"),
            (1_709_164_800, "2024-02-29"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (unix_seconds, date) in cases {
            assert_eq!(utc_date(unix_seconds), date, "{unix_seconds}");
        }
    }
}
