//! TC3-HMAC-SHA256, the signature of Tencent Cloud's API ("Signature v3" in its documents), for
//! a JSON POST to `/`.
//!
//! Signed are `content-type`, `host` and the body's hash; the key is derived for one UTC day and
//! one service. Both header values must be exactly those sent.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const SIGNED_HEADERS: &str = "content-type;host";
const SECONDS_PER_DAY: i64 = 86_400;

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

/// The UTC date as `YYYY-MM-DD`, by Howard Hinnant's `civil_from_days`: years begin in March, so
/// that a leap day is a year's last, and repeat every 400 years (146 097 days).
pub(super) fn utc_date(unix_seconds: i64) -> String {
    // 719 468 days lie between 0000-03-01 and 1970-01-01.
    let days = unix_seconds.div_euclid(SECONDS_PER_DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of Tencent Cloud's "Signature v3" document (service `cvm`).
    #[test]
    fn the_published_example_is_reproduced() {
        let signing = Signing {
            service: "cvm",
            host: "cvm.tencentcloudapi.com",
            content_type: "application/json; charset=utf-8",
            body: br#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#,
            unix_seconds: 1_551_113_065,
        };
        assert_eq!(
            signing.canonical_request(),
            "POST\n/\n\ncontent-type:application/json; charset=utf-8\n\
             host:cvm.tencentcloudapi.com\n\ncontent-type;host\n\
             35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
        );
        assert_eq!(
            signing.string_to_sign(),
            "TC3-HMAC-SHA256\n1551113065\n2019-02-25/cvm/tc3_request\n\
             5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031"
        );
        // The document blanks the key's end with asterisks, and signs with them.
        let secret_key = "Gu5t9xGARNpq86cd98joQYCN3*******";
        let signature = "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c";
        assert_eq!(signing.signature(secret_key), signature);
        assert_eq!(
            signing.authorization("AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******", secret_key),
            format!(
                "TC3-HMAC-SHA256 Credential=AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******/2019-02-25/cvm\
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

    /// Counts every day of four centuries by the calendar's plain rule.
    #[test]
    fn dates_agree_with_counting() {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut unix_seconds = 0;
        for year in 1970..2370 {
            let february = if is_leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    assert_eq!(utc_date(unix_seconds), format!("{year}-{month:02}-{day:02}"));
                    unix_seconds += SECONDS_PER_DAY;
                }
            }
        }
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
