//! The keys, and the three operations with them that this crate leaves to its host: the Worker does
//! them with WebCrypto, which is native and constant-time, the tests with host crates.
//!
//! Sources: RFC 8017 (RSASSA-PKCS1-v1_5), NIST SP 800-38D (GCM), RFC 7468 (PEM), RFC 5280
//! (certificates).
//!
//! Start at [`Crypto`]; [`PrivateKey::parse`], [`PublicKey::parse`], [`Certificate::parse`] and
//! [`AeadKey::new`] read what is configured.

mod der;
#[cfg(test)]
pub(crate) mod host;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest key file read, in bytes. A certificate has about 1500.
const MAX_KEY_BYTES: usize = 16 * 1024;

/// What the host does with the keys. A key's [`KeyId`] lets it keep what it has imported.
pub trait Crypto: Sync {
    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    fn sign(
        &self,
        key: &PrivateKey,
        message: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CryptoError>> + Send;

    /// Whether `signature` is the key's over `message`, by RSASSA-PKCS1-v1_5 and SHA-256. A
    /// signature of a wrong length is none: `false`, not an error.
    fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, CryptoError>> + Send;

    /// Opens what AES-256-GCM sealed: `sealed` is the ciphertext and then the 16 bytes of the tag.
    /// `None` when the tag does not fit, or there is no room for one.
    fn open(
        &self,
        key: &AeadKey,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CryptoError>> + Send;
}

/// The host could not do what was asked. It says nothing about the message: a signature that does
/// not fit is no error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the crypto engine failed: {0}")]
pub struct CryptoError(String);

impl CryptoError {
    /// With its cause, which must not hold key material.
    #[must_use]
    pub fn new(cause: impl fmt::Display) -> Self {
        Self(cause.to_string())
    }
}

/// What was configured is not the key it should be. The reason does not quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a usable key: {0}")]
pub struct InvalidKey(&'static str);

/// A key's name for a cache: the same key has the same one, another kind of key another. It is the
/// beginning of a SHA-256 over the key and stays in the process: it is not for logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    fn of(kind: &[u8], key: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(kind).chain_update([0]).chain_update(key).finalize();
        let mut id = [0; 16];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(id)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId")
    }
}

macro_rules! key_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
key_debug!(PrivateKey, PublicKey, AeadKey);

/// Our RSA key, with which requests are signed. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pkcs8: Vec<u8>,
    id: KeyId,
}

impl PrivateKey {
    /// Reads a PKCS#8 key: PEM with the label `PRIVATE KEY` (WeChat Pay's `apiclient_key.pem`), or
    /// its bare base64, as Alipay's key tool writes it for Java.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else: also for PKCS#1 (`RSA PRIVATE KEY`), which
    /// `openssl pkcs8 -topk8 -nocrypt` turns into PKCS#8.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let pkcs8 = match unarmor(text)? {
            (None | Some("PRIVATE KEY"), der) => der,
            (Some("RSA PRIVATE KEY"), _) => {
                return Err(InvalidKey("it is PKCS#1; convert it to PKCS#8"));
            }
            _ => return Err(InvalidKey("it has not the label PRIVATE KEY")),
        };
        if !der::is_rsa_private_key(&pkcs8) {
            return Err(InvalidKey("it holds no RSA key in PKCS#8"));
        }
        let id = KeyId::of(b"private", &pkcs8);
        Ok(Self { pkcs8, id })
    }

    /// The key as PKCS#8 in DER, as WebCrypto's `importKey("pkcs8", …)` takes it.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Its name for a cache.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// An RSA key of 2048 to 4096 bits with which a vendor's signatures are verified.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
    id: KeyId,
}

impl PublicKey {
    /// Reads PEM with the label `PUBLIC KEY` (WeChat Pay's `pub_key.pem`) or `CERTIFICATE`
    /// (`alipayCertPublicKey_RSA2.crt`; the key is taken out of it), or the bare base64 of the
    /// former, as Alipay's console shows it.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        match unarmor(text)? {
            (None | Some("PUBLIC KEY"), spki) => Self::from_spki(&spki),
            (Some("CERTIFICATE"), der) => Ok(Certificate::from_der(&der)?.key),
            _ => Err(InvalidKey("its label is neither PUBLIC KEY nor CERTIFICATE")),
        }
    }

    fn from_spki(spki: &[u8]) -> Result<Self, InvalidKey> {
        if !der::is_rsa_public_key(spki) {
            return Err(InvalidKey("it holds no RSA public key of 2048 to 4096 bits"));
        }
        Ok(Self { spki: spki.to_vec(), id: KeyId::of(b"public", spki) })
    }

    /// The key as `SubjectPublicKeyInfo` in DER, as WebCrypto's `importKey("spki", …)` takes it.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Its name for a cache.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// What is used of an X.509 certificate. Nobody's signature on it is verified: it is trusted because
/// of where it came from, the configuration or a sealed reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The serial number in hexadecimal, upper case, without leading zero bytes.
    pub serial: String,
    /// The subject's key.
    pub key: PublicKey,
}

impl Certificate {
    /// Reads PEM with the label `CERTIFICATE`; of several the first.
    ///
    /// # Errors
    /// [`InvalidKey`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        match unarmor(text)? {
            (Some("CERTIFICATE"), der) => Self::from_der(&der),
            _ => Err(InvalidKey("it has not the label CERTIFICATE")),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, InvalidKey> {
        let (serial, spki) = der::certificate(der).ok_or(InvalidKey("it is no certificate"))?;
        Ok(Self { serial: upper_hex(serial), key: PublicKey::from_spki(spki)? })
    }
}

/// A key of AES-256-GCM. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct AeadKey {
    bytes: [u8; 32],
    id: KeyId,
}

impl AeadKey {
    /// Takes the key's 32 bytes as they are. WeChat Pay's APIv3 key is 32 ASCII characters, used
    /// raw, neither base64 nor hexadecimal.
    ///
    /// # Errors
    /// [`InvalidKey`] for any other length.
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes = bytes.try_into().map_err(|_length| InvalidKey("it has not 32 bytes"))?;
        Ok(Self { bytes, id: KeyId::of(b"aead", &bytes) })
    }

    /// The key, as WebCrypto's `importKey("raw", …)` takes it.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Its name for a cache.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

/// Signs, and writes the signature in base64 as the vendors want it.
pub(crate) async fn sign_base64(
    crypto: &impl Crypto,
    key: &PrivateKey,
    message: &[u8],
) -> Result<String, CryptoError> {
    Ok(STANDARD.encode(crypto.sign(key, message).await?))
}

/// Verifies a signature in base64. What is not base64 is no signature, and that is an answer, not a
/// fault: WeChat sends such ones (`WECHATPAY/SIGNTEST/…`) to see whether they are refused.
pub(crate) async fn verify_base64(
    crypto: &impl Crypto,
    key: &PublicKey,
    message: &[u8],
    signature: &str,
) -> Result<bool, CryptoError> {
    match STANDARD.decode(signature) {
        Ok(signature) => crypto.verify(key, message, &signature).await,
        Err(_not_base64) => Ok(false),
    }
}

pub(crate) fn upper_hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect()
}

/// Takes the first PEM block out of a text, with its label; a text that is no PEM is bare base64.
fn unarmor(text: &str) -> Result<(Option<&str>, Vec<u8>), InvalidKey> {
    if text.len() > MAX_KEY_BYTES {
        return Err(InvalidKey("it is too long"));
    }
    let (label, body) = match text.split_once("-----BEGIN ") {
        None => (None, text),
        Some((_, block)) => {
            let broken = InvalidKey("its PEM has a beginning but no end");
            let (label, rest) = block.split_once("-----").ok_or(broken)?;
            let (body, end) = rest.split_once("-----END ").ok_or(broken)?;
            if end.split_once("-----").is_none_or(|(end_label, _)| end_label != label) {
                return Err(broken);
            }
            (Some(label), body)
        }
    };
    let base64: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(base64).map_err(|_quotes_key| InvalidKey("it is not base64"))?;
    Ok((label, der))
}
