//! ACS3-HMAC-SHA256, the signature of Alibaba Cloud's API ("V3 request signature" in its documents),
//! for a POST to `/`.
//!
//! Signed are the query, `host`, the `x-acs-` headers and the body's hash. All must be exactly those
//! sent, the query's parameters in the order of their names.

use chrono::{DateTime, SecondsFormat};
use sha2::{Digest, Sha256};

use crate::sms::{hex, hmac};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
const SIGNED_HEADERS: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;\
                              x-acs-signature-nonce;x-acs-version";

/// What is signed.
pub(super) struct Signing<'a> {
    /// The `Host` header as sent, with the port if it has one.
    pub host: &'a str,
    /// The action's name.
    pub action: &'static str,
    /// The API's version.
    pub version: &'static str,
    /// The query as sent.
    pub query: &'a str,
    /// The body as sent.
    pub body: &'a [u8],
    /// The time.
    pub unix_seconds: i64,
    /// Random bytes, never used before.
    pub nonce: [u8; 16],
}

impl Signing<'_> {
    /// The signed headers but `host`, in the order of their names.
    pub fn headers(&self) -> [(&'static str, String); 5] {
        let at = DateTime::from_timestamp(self.unix_seconds, 0).unwrap_or_default();
        [
            ("x-acs-action", self.action.to_owned()),
            ("x-acs-content-sha256", hex(&Sha256::digest(self.body))),
            ("x-acs-date", at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            ("x-acs-signature-nonce", hex(&self.nonce)),
            ("x-acs-version", self.version.to_owned()),
        ]
    }

    /// The value of the `Authorization` header.
    pub fn authorization(&self, access_key_id: &str, access_key_secret: &str) -> String {
        let signature = self.signature(access_key_secret);
        format!(
            "{ALGORITHM} Credential={access_key_id},SignedHeaders={SIGNED_HEADERS},\
             Signature={signature}"
        )
    }

    pub fn canonical_request(&self) -> String {
        let mut text = format!("POST\n/\n{}\nhost:{}\n", self.query, self.host);
        for (name, value) in self.headers() {
            text.extend([name, ":", &value, "\n"]);
        }
        let body_hash = hex(&Sha256::digest(self.body));
        text.extend(["\n", SIGNED_HEADERS, "\n", &body_hash]);
        text
    }

    pub fn string_to_sign(&self) -> String {
        format!("{ALGORITHM}\n{}", hex(&Sha256::digest(self.canonical_request())))
    }

    pub fn signature(&self, access_key_secret: &str) -> String {
        hex(&hmac(access_key_secret.as_bytes(), self.string_to_sign().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::host::vectors;

    /// The worked example of Alibaba Cloud's "V3 request signature" document (action `RunInstances`).
    #[test]
    fn the_published_example_is_reproduced() {
        let vector = &vectors()["aliyun_acs3"];
        let text = |name: &str| vector[name].as_str().unwrap();
        let signing = Signing {
            host: "ecs.cn-shanghai.aliyuncs.com",
            action: "RunInstances",
            version: "2014-05-26",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd\
                    &RegionId=cn-shanghai",
            body: b"",
            unix_seconds: 1_698_315_752, // 2023-10-26T10:22:32Z
            nonce: 0x3156_8532_99f3_13e2_3d16_73dc_12e1_703d_u128.to_be_bytes(),
        };
        assert_eq!(signing.canonical_request(), text("canonical_request"));
        assert_eq!(signing.string_to_sign(), text("string_to_sign"));
        assert_eq!(signing.signature(text("access_key_secret")), text("signature"));
        assert_eq!(
            signing.authorization("YourAccessKeyId", text("access_key_secret")),
            format!(
                "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;\
                 x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature={}",
                text("signature")
            )
        );
    }
}
