//! Signatures and seals through the runtime's own WebCrypto: native, constant-time, and cheap in CPU
//! time. A key is imported once an isolate.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;

use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use worker::send::SendFuture;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsValue};
use zhundian_providers::crypto::{AeadKey, Crypto, CryptoError, KeyId, PrivateKey, PublicKey};

const RSA: &str = "RSASSA-PKCS1-v1_5";
const GCM: &str = "AES-GCM";

/// Keys kept in an isolate; more than a merchant has, and a renewal brings a few.
const MAX_KEYS: usize = 64;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = importKey, catch)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &JsValue,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = sign, catch)]
    fn sign(algorithm: &str, key: &JsValue, message: &Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = verify, catch)]
    fn verify(
        algorithm: &str,
        key: &JsValue,
        signature: &Uint8Array,
        message: &Uint8Array,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = decrypt, catch)]
    fn decrypt(algorithm: &JsValue, key: &JsValue, sealed: &Uint8Array)
    -> Result<Promise, JsValue>;
}

thread_local! {
    static KEYS: RefCell<HashMap<KeyId, JsValue>> = RefCell::default();
}

/// WebCrypto.
pub struct WebCrypto;

impl Crypto for WebCrypto {
    fn sign(
        &self,
        key: &PrivateKey,
        message: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CryptoError>> + Send {
        SendFuture::new(async move {
            let key = imported(key.id(), "pkcs8", key.pkcs8(), &rsa()?, "sign").await?;
            let signature = settled(sign(RSA, &key, &Uint8Array::from(message))).await?;
            Ok(Uint8Array::new(&signature).to_vec())
        })
    }

    fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> impl Future<Output = Result<bool, CryptoError>> + Send {
        SendFuture::new(async move {
            let key = imported(key.id(), "spki", key.spki(), &rsa()?, "verify").await?;
            let (signature, message) = (Uint8Array::from(signature), Uint8Array::from(message));
            let good = settled(verify(RSA, &key, &signature, &message)).await?;
            Ok(good.as_bool() == Some(true))
        })
    }

    fn open(
        &self,
        key: &AeadKey,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CryptoError>> + Send {
        SendFuture::new(async move {
            let name = object(&[("name", JsValue::from_str(GCM))])?;
            let key = imported(key.id(), "raw", key.bytes(), &name, "decrypt").await?;
            let algorithm = object(&[
                ("name", JsValue::from_str(GCM)),
                ("iv", Uint8Array::from(nonce.as_slice()).into()),
                ("additionalData", Uint8Array::from(aad).into()),
            ])?;
            // WebCrypto rejects what the tag does not fit, and what is too short to have one.
            let opened = match decrypt(&algorithm, &key, &Uint8Array::from(sealed)) {
                Ok(promise) => JsFuture::from(promise).await,
                Err(error) => Err(error),
            };
            Ok(opened.ok().map(|opened| Uint8Array::new(&opened).to_vec()))
        })
    }
}

async fn imported(
    id: KeyId,
    format: &str,
    key: &[u8],
    algorithm: &JsValue,
    usage: &str,
) -> Result<JsValue, CryptoError> {
    if let Some(known) = KEYS.with_borrow(|keys| keys.get(&id).cloned()) {
        return Ok(known);
    }
    let usages = Array::of1(&JsValue::from_str(usage));
    let key = Uint8Array::from(key);
    let key = settled(import_key(format, &key, algorithm, false, &usages)).await?;
    KEYS.with_borrow_mut(|keys| {
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert(id, key.clone());
    });
    Ok(key)
}

fn rsa() -> Result<JsValue, CryptoError> {
    object(&[("name", JsValue::from_str(RSA)), ("hash", JsValue::from_str("SHA-256"))])
}

fn object(fields: &[(&str, JsValue)]) -> Result<JsValue, CryptoError> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &JsValue::from_str(name), value).map_err(failed)?;
    }
    Ok(object.into())
}

async fn settled(started: Result<Promise, JsValue>) -> Result<JsValue, CryptoError> {
    JsFuture::from(started.map_err(failed)?).await.map_err(failed)
}

/// WebCrypto's messages name algorithms and lengths, never key material.
fn failed(error: JsValue) -> CryptoError {
    CryptoError::new(format_args!("{error:?}"))
}
