//! The keys WeChat Pay signs with, and `GET /v3/certificates`, which renews them.
//!
//! There are two kinds, and while a merchant moves from one to the other both sign:
//! - a WeChat Pay public key, whose id (`PUB_KEY_ID_…`) and file (`pub_key.pem`) are taken from the
//!   merchant platform and do not expire;
//! - platform certificates, named by their serial number in hexadecimal, good for five years. New
//!   merchants have none.

use std::fmt;

use serde::Deserialize;

use super::Merchant;
use super::error::Failed;
use super::sign::{Stamp, Unverified};
use super::wire::{Sealed, read_json};
use crate::crypto::{Certificate, Crypto, InvalidKey, PublicKey};
use crate::http::{MAX_REPLY_BYTES, Request, SignedReply};
use crate::payment::{BuildError, Doubt};
use crate::time::rfc3339_ms;

const PUBLIC_KEY_ID_PREFIX: &str = "PUB_KEY_ID_";

/// The most keys a reply may bring; two have been seen, in the weeks of a renewal.
const MAX_CERTIFICATES: usize = 16;

/// WeChat Pay's keys by their serials. A serial that is not among them verifies nothing.
#[derive(Clone, Default)]
pub struct VerificationKeys(Vec<(String, PublicKey)>);

impl VerificationKeys {
    /// No key: nothing verifies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key by the serial WeChat Pay names it with; a key it had with this serial goes. The
    /// first one is what requests name in `Wechatpay-Serial`.
    pub fn insert(&mut self, serial: impl Into<String>, key: PublicKey) {
        let serial = serial.into();
        match self.0.iter_mut().find(|(known, _)| same_serial(known, &serial)) {
            Some((_, known)) => *known = key,
            None => self.0.push((serial, key)),
        }
    }

    /// Adds a platform certificate from its PEM, by its own serial number.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is none.
    pub fn insert_certificate(&mut self, pem: &str) -> Result<(), InvalidKey> {
        let Certificate { serial, key } = Certificate::parse(pem)?;
        self.insert(serial, key);
        Ok(())
    }

    /// The key with this serial: that of a public key is compared whole, that of a certificate
    /// without regard to case.
    #[must_use]
    pub fn get(&self, serial: &str) -> Option<&PublicKey> {
        self.0.iter().find(|(known, _)| same_serial(known, serial)).map(|(_, key)| key)
    }

    pub(super) fn preferred_serial(&self) -> Option<&str> {
        self.0.first().map(|(serial, _)| serial.as_str())
    }
}

fn same_serial(known: &str, given: &str) -> bool {
    if known.starts_with(PUBLIC_KEY_ID_PREFIX) || given.starts_with(PUBLIC_KEY_ID_PREFIX) {
        known == given
    } else {
        known.eq_ignore_ascii_case(given)
    }
}

/// Shows the serials, which are public.
impl fmt::Debug for VerificationKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(serial, _)| serial)).finish()
    }
}

/// A platform certificate WeChat Pay handed out, sealed with the APIv3 key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformCertificate {
    /// Its serial number.
    pub serial: String,
    /// Its key.
    pub key: PublicKey,
    /// The certificate, to be stored and given to [`VerificationKeys::insert_certificate`].
    pub pem: String,
    /// From when it is good, in milliseconds since 1970.
    pub effective_at_ms: i64,
    /// Until when it is good, in milliseconds since 1970.
    pub expires_at_ms: i64,
}

/// What became of the question for certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificatesOutcome {
    /// Those that have not expired.
    Certificates(Vec<PlatformCertificate>),
    /// This merchant has none: it uses a WeChat Pay public key.
    NotOffered,
    /// Ask again, and keep the keys there are.
    Unknown(Doubt),
}

impl Merchant {
    /// Asks for the platform certificates.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn certificates(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
    ) -> Result<Request, BuildError> {
        self.get(crypto, stamp, "/v3/certificates").await
    }

    /// Reads the reply to [`certificates`](Self::certificates).
    ///
    /// It is the one reply that may be signed with a key it brings itself: whoever knows no key yet
    /// can begin here. A certificate counts only when the APIv3 key opens it, which only WeChat Pay
    /// and the merchant have, and the reply only when one of the known or opened keys has signed it.
    pub async fn read_certificates(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
    ) -> CertificatesOutcome {
        match self.opened_certificates(crypto, now_unix_seconds, reply).await {
            Ok(certificates) => CertificatesOutcome::Certificates(certificates),
            Err(failed) if failed.is("RESOURCENOTEXISTS") => CertificatesOutcome::NotOffered,
            Err(failed) => CertificatesOutcome::Unknown(failed.into_doubt()),
        }
    }

    async fn opened_certificates(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
    ) -> Result<Vec<PlatformCertificate>, Failed> {
        let malformed = |reason: &'static str| Failed::because(reply, reason);
        if reply.status != 200 {
            return Err(Failed::by_reply(reply));
        }
        if reply.body.len() > MAX_REPLY_BYTES {
            return Err(malformed("the body is too long"));
        }
        let wire: CertificatesWire = read_json(reply.body)
            .ok_or_else(|| malformed("the reply is not the JSON it should be"))?;
        if wire.data.len() > MAX_CERTIFICATES {
            return Err(malformed("there are too many certificates"));
        }
        let mut keys = self.verification_keys.clone();
        let mut certificates = Vec::new();
        for wire in wire.data {
            let opened = wire.encrypt_certificate.open(crypto, &self.api_v3_key).await;
            let pem = match opened {
                Ok(bytes) => String::from_utf8(bytes)
                    .map_err(|_not_text| malformed("a certificate is not PEM"))?,
                Err(Unverified::Because(reason)) => return Err(malformed(reason)),
                Err(Unverified::Crypto(error)) => {
                    return Err(Failed::because(reply, error.to_string()));
                }
            };
            let Certificate { serial, key } = Certificate::parse(&pem)
                .map_err(|_invalid| malformed("a certificate cannot be read"))?;
            if !serial.eq_ignore_ascii_case(&wire.serial_no) {
                return Err(malformed("a certificate has another serial number than it is said"));
            }
            let time =
                |text: &str| rfc3339_ms(text).ok_or_else(|| malformed("a time is malformed"));
            let effective_at_ms = time(&wire.effective_time)?;
            let expires_at_ms = time(&wire.expire_time)?;
            if expires_at_ms > now_unix_seconds.saturating_mul(1000) {
                keys.insert(&serial, key.clone());
                certificates.push(PlatformCertificate {
                    serial,
                    key,
                    pem,
                    effective_at_ms,
                    expires_at_ms,
                });
            }
        }
        let verifier = Self { verification_keys: keys, ..self.clone() };
        verifier.success(crypto, now_unix_seconds, reply).await?;
        Ok(certificates)
    }
}

#[derive(Deserialize)]
struct CertificatesWire {
    data: Vec<CertificateWire>,
}

#[derive(Deserialize)]
struct CertificateWire {
    serial_no: String,
    effective_time: String,
    expire_time: String,
    encrypt_certificate: Sealed,
}
