//! What the Worker does with WebCrypto, done with host crates, and the keys of the tests.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use sha2::{Digest, Sha256};

use super::{AeadKey, Crypto, CryptoError, PrivateKey, PublicKey};

/// The vendor's key in the tests, made for them with `openssl genrsa 2048`.
pub(crate) const VENDOR_KEY: &str = include_str!("../../testdata/platform_key.pem");
/// Its public half.
pub(crate) const VENDOR_PUBLIC_KEY: &str = include_str!("../../testdata/platform_pub.pem");
/// A certificate of it, signed by itself.
pub(crate) const VENDOR_CERTIFICATE: &str = include_str!("../../testdata/platform_cert.pem");
/// The certificate's serial number, as `openssl x509 -serial` says.
pub(crate) const VENDOR_SERIAL: &str = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";

pub(crate) struct Host;

impl Crypto for Host {
    async fn sign(&self, key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let key = rsa::PrivateKey::from_pkcs8_der(key.pkcs8()).map_err(CryptoError::new)?;
        key.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)).map_err(CryptoError::new)
    }

    async fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        let key = rsa::PublicKey::from_public_key_der(key.spki()).map_err(CryptoError::new)?;
        let scheme = Pkcs1v15Sign::new::<Sha256>();
        Ok(key.verify(scheme, &Sha256::digest(message), signature).is_ok())
    }

    async fn open(
        &self,
        key: &AeadKey,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, CryptoError> {
        let cipher = Aes256Gcm::new(key.bytes().into());
        Ok(cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad }).ok())
    }
}

/// A host whose engine does not work.
pub(crate) struct Broken;

impl Crypto for Broken {
    async fn sign(&self, _: &PrivateKey, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Err(CryptoError::new("broken"))
    }

    async fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        Err(CryptoError::new("broken"))
    }

    async fn open(
        &self,
        _: &AeadKey,
        _: &[u8; 12],
        _: &[u8],
        _: &[u8],
    ) -> Result<Option<Vec<u8>>, CryptoError> {
        Err(CryptoError::new("broken"))
    }
}

/// Runs a future that never waits. The bound says that it may run on any executor.
pub(crate) fn now<T>(future: impl Future<Output = T> + Send) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// Signs as the vendor would.
pub(crate) fn vendor_sign(message: &[u8]) -> String {
    let key = PrivateKey::parse(VENDOR_KEY).unwrap();
    STANDARD.encode(now(Host.sign(&key, message)).unwrap())
}

/// Seals as the vendor would, in base64.
pub(crate) fn seal(key: &AeadKey, nonce: &[u8; 12], aad: &[u8], message: &[u8]) -> String {
    let cipher = Aes256Gcm::new(key.bytes().into());
    let payload = Payload { msg: message, aad };
    STANDARD.encode(cipher.encrypt(&Nonce::from(*nonce), payload).unwrap())
}

/// The published examples, `testdata/vectors.json`.
pub(crate) fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../testdata/vectors.json")).unwrap()
}

/// The private key of WeChat Pay's published examples: ours in the tests.
pub(crate) fn our_key() -> PrivateKey {
    let vectors = vectors();
    let pem = vectors["wechat_v3"]["merchant_private_key_pem"].as_str().unwrap();
    PrivateKey::parse(pem).unwrap()
}

/// The public half of [`our_key`].
pub(crate) fn our_public_key() -> PublicKey {
    use rsa::pkcs8::EncodePublicKey;
    let key = rsa::PrivateKey::from_pkcs8_der(our_key().pkcs8()).unwrap();
    let spki = rsa::PublicKey::from(&key).to_public_key_der().unwrap();
    PublicKey::parse(&STANDARD.encode(spki.as_bytes())).unwrap()
}
