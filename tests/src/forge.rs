//! What no honest client makes: tokens of one's own, requests that are no HTTP client's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// What a token says, without looking at its signature.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A token with these claims, signed by the first of `keys` (as in `TOKEN_KEYS`).
pub fn token(keys: &str, claims: &Value) -> String {
    let (kid, key) = keys.split(',').next().and_then(|pair| pair.split_once(':')).expect("a key");
    let key = URL_SAFE_NO_PAD.decode(key).expect("base64url");
    let header = json!({"alg": "HS256", "kid": kid, "typ": "JWT"});
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// The same claims, signed by somebody who does not have the key.
pub fn forged(token: &str) -> String {
    let kid = token.split('.').next().expect("three parts");
    let header: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(kid).expect("base64url")).expect("a header");
    let key = URL_SAFE_NO_PAD.encode([7; 32]);
    self::token(&format!("{}:{key}", header["kid"].as_str().expect("a key's id")), &claims(token))
}

/// The same claims, signed rightly, but for a time that is over.
pub fn expired(keys: &str, token: &str) -> String {
    let mut claims = claims(token);
    let now = crate::now_ms() / 1000;
    claims["iat"] = (now - 7200).into();
    claims["exp"] = (now - 1).into();
    self::token(keys, &claims)
}

/// Sends bytes as they are; the answer's status and text. The request must ask for
/// `Connection: close`.
pub fn raw(port: u16, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the Worker listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // Whoever refuses a body early may close before all of it is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status line: {text:?}")), text)
}
