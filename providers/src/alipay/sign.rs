//! The signature RSA2: RSASSA-PKCS1-v1_5 with SHA-256, in base64.
//!
//! Source: Alipay documentation, "签名", "验签", and its official SDK for Node.
//!
//! | whose | what is signed |
//! |---|---|
//! | request | all parameters with a value but `sign`, sorted by name, as `name=value` joined by `&`, not encoded |
//! | reply | the text of its object `…_response`, as it came |
//! | notice | its decoded parameters but `sign`, sorted and joined in the same way |
//!
//! Of a notice the documents and Alipay's own SDKs disagree whether `sign_type`, parameters without a
//! value, and `alipay_cert_sn` are signed. Each way is tried: none makes a notice good that Alipay has
//! not signed, for what differs says nothing about the payment.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::Failed;
use super::{App, Verification};
use crate::crypto::{Crypto, CryptoError, PublicKey, sign_base64, verify_base64};
use crate::http::{MAX_REPLY_BYTES, Reply, Request, query};
use crate::payment::BuildError;
use crate::time::beijing;

/// A call of the gateway: its method's name, and where its notice goes if it has one.
pub(super) struct Call<'a> {
    pub method: &'static str,
    pub notify_url: Option<&'a str>,
}

impl App {
    /// Builds a call. The common parameters go into the query, as Alipay's SDKs have it, and the
    /// content into the body.
    pub(super) async fn call(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        call: Call<'_>,
        content: &impl Serialize,
    ) -> Result<Request, BuildError> {
        let content = serde_json::to_string(content)
            .map_err(|_never_fails| BuildError::Invalid("the content cannot be written as JSON"))?;
        let timestamp = beijing(now_unix_seconds).ok_or(BuildError::Invalid("now is no time"))?;
        let mut common = vec![
            ("app_id", self.app_id.as_str()),
            ("charset", "utf-8"),
            ("format", "JSON"),
            ("method", call.method),
            ("sign_type", "RSA2"),
            ("timestamp", timestamp.as_str()),
            ("version", "1.0"),
        ];
        common.extend(call.notify_url.map(|url| ("notify_url", url)));
        if let Verification::Certificates { app_cert_sn, alipay_root_cert_sn, .. } =
            &self.verification
        {
            common.extend([
                ("app_cert_sn", app_cert_sn.as_str()),
                ("alipay_root_cert_sn", alipay_root_cert_sn.as_str()),
            ]);
        }
        let mut signed = common.clone();
        signed.push(("biz_content", &content));
        signed.sort_unstable();
        let message = join(signed);
        let signature = sign_base64(crypto, &self.private_key, message.as_bytes()).await?;
        common.push(("sign", &signature));
        let url = format!("{}?{}", self.gateway_url, query(&common));
        let body = query(&[("biz_content", &content)]).into_bytes();
        Ok(Request::post(url, "application/x-www-form-urlencoded;charset=utf-8", body))
    }

    /// The text of a reply's object, when it reports success and is signed. All else is a failure, by
    /// the table of `error`.
    pub(super) async fn success<'a>(
        &self,
        crypto: &impl Crypto,
        reply: Reply<'a>,
        method: &str,
    ) -> Result<&'a str, Failed> {
        let failed = |reason: &'static str| Failed::because(reply.status, reason);
        if reply.status != 200 {
            return Err(failed("the HTTP status is not 200"));
        }
        if reply.body.len() > MAX_REPLY_BYTES {
            return Err(failed("the reply is too long"));
        }
        // A JSON error's own text may quote the reply, so it goes no further than here.
        let parts: BTreeMap<String, &RawValue> = serde_json::from_slice(reply.body)
            .map_err(|_quotes_reply| failed("the reply is not a JSON object"))?;
        let text = |name: &str| {
            parts.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        };
        let object = parts
            .get(&format!("{}_response", method.replace('.', "_")))
            .or_else(|| parts.get("error_response"))
            .ok_or_else(|| failed("the reply holds no answer to the call"))?
            .get();
        let signature = text("sign");
        if let Some(signature) = &signature {
            let key = self.verification.key(text("alipay_cert_sn").as_deref());
            let key = key.ok_or_else(|| failed("alipay_cert_sn is missing or unknown"))?;
            match verify_base64(crypto, key, object.as_bytes(), signature).await {
                Ok(true) => {}
                Ok(false) => return Err(failed("the signature does not verify")),
                Err(error) => return Err(Failed::because(reply.status, error.to_string())),
            }
        }
        match Failed::of_object(object) {
            Some(failed) => Err(failed),
            None if signature.is_some() => Ok(object),
            None => Err(failed("a success without a signature")),
        }
    }
}

impl Verification {
    /// The key of a reply or notice that names this certificate.
    fn key(&self, sn: Option<&str>) -> Option<&PublicKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Certificates { alipay, .. } => {
                alipay.iter().find(|(known, _)| Some(known.as_str()) == sn).map(|(_, key)| key)
            }
        }
    }

    /// The keys one of which must have signed a notice. A notice need not name its certificate.
    fn notice_keys(&self, sn: Option<&str>) -> Vec<&PublicKey> {
        match (self, sn) {
            (Self::Certificates { alipay, .. }, None) => {
                alipay.iter().map(|(_, key)| key).collect()
            }
            _ => self.key(sn).into_iter().collect(),
        }
    }

    /// Whether Alipay has signed a notice's parameters, in one of the ways there are. They are sorted
    /// by name, and no name occurs twice.
    pub(super) async fn has_signed(
        &self,
        crypto: &impl Crypto,
        parameters: &BTreeMap<String, String>,
    ) -> Result<bool, CryptoError> {
        let value = |name: &str| parameters.get(name).filter(|text| !text.is_empty());
        let Some(signature) = value("sign") else { return Ok(false) };
        let keys = self.notice_keys(value("alipay_cert_sn").map(String::as_str));
        let mut tried: Vec<String> = Vec::new();
        for left_out in [&["sign", "sign_type"][..], &["sign"]] {
            for with_empty in [true, false] {
                for with_certificate in [true, false] {
                    let message = join(parameters.iter().filter_map(|(name, value)| {
                        let signed = !left_out.contains(&name.as_str())
                            && (with_empty || !value.is_empty())
                            && (with_certificate || name != "alipay_cert_sn");
                        signed.then_some((name.as_str(), value.as_str()))
                    }));
                    if tried.contains(&message) {
                        continue;
                    }
                    for key in &keys {
                        if verify_base64(crypto, key, message.as_bytes(), signature).await? {
                            return Ok(true);
                        }
                    }
                    tried.push(message);
                }
            }
        }
        Ok(false)
    }
}

fn join<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend([name, "=", value]);
    }
    text
}
