//! Tokens: JWTs (RFC 7519) signed with HS256, made and checked here and nowhere else.
//!
//! The header names the key, so keys can be rotated: the first key of `TOKEN_KEYS` signs, every key in
//! it verifies. The algorithm is fixed; a token that names another one is no token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::Code;

/// Bytes in a key, at least.
const MIN_KEY_BYTES: usize = 32;
/// Bytes in a token, at most.
const MAX_TOKEN_BYTES: usize = 1024;

/// Whom a token is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Members, for 24 hours.
    Member,
    /// Staff, for 12 hours.
    Staff,
    /// Staff who scan it: a customer's QR code, for two minutes and once.
    CheckIn,
}

impl Audience {
    /// How long its tokens live, in milliseconds.
    #[must_use]
    pub const fn life_ms(self) -> i64 {
        match self {
            Self::Member => 24 * 3_600_000,
            Self::Staff => 12 * 3_600_000,
            Self::CheckIn => 2 * 60_000,
        }
    }

    /// As rows and tokens say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Staff => "staff",
            Self::CheckIn => "check_in",
        }
    }
}

/// What a token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The member's or staff row's id; the order's, of a QR code.
    pub sub: String,
    /// Whom it is for.
    pub aud: Audience,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Valid before this, Unix seconds.
    pub exp: i64,
    /// The row's token version; signing out makes it another one.
    pub ver: i64,
    /// The token's own id, when it is good only once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

fn claims(audience: Audience, subject: &str, version: i64, id: Option<String>, now: i64) -> Claims {
    Claims {
        sub: subject.to_owned(),
        aud: audience,
        iat: now.div_euclid(1000),
        exp: (now + audience.life_ms()).div_euclid(1000),
        ver: version,
        jti: id,
    }
}

/// The keys by id.
pub struct Keys(Vec<(String, Vec<u8>)>);

impl Keys {
    /// Reads `id:key,id:key…`, keys as unpadded base64url of at least 32 bytes.
    ///
    /// # Errors
    /// What is wrong, without the key.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut keys = Vec::new();
        for pair in text.split(',') {
            let (id, key) = pair.split_once(':').ok_or("has a key without an id")?;
            let key = URL_SAFE_NO_PAD
                .decode(key.trim())
                .map_err(|_| "has a key that is not base64url")?;
            if key.len() < MIN_KEY_BYTES {
                return Err("has a key of fewer than 32 bytes");
            }
            keys.push((id.trim().to_owned(), key));
        }
        Ok(Self(keys))
    }

    fn mac(&self, id: &str, message: &[u8]) -> Option<Hmac<Sha256>> {
        let (_, key) = self.0.iter().find(|(known, _)| known == id)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(message);
        Some(mac)
    }

    /// A token for `subject`, from `now` (UTC milliseconds) on.
    #[must_use]
    pub fn issue(
        &self,
        audience: Audience,
        subject: &str,
        version: i64,
        now: i64,
    ) -> Option<String> {
        self.sign(&claims(audience, subject, version, None, now))
    }

    /// A token for `subject` that has an id of its own, so that it can be taken once.
    #[must_use]
    pub fn issue_once(
        &self,
        audience: Audience,
        subject: &str,
        id: &str,
        now: i64,
    ) -> Option<String> {
        self.sign(&claims(audience, subject, 0, Some(id.to_owned()), now))
    }

    fn sign(&self, claims: &Claims) -> Option<String> {
        let (kid, _) = self.0.first()?;
        let header = Header { alg: "HS256".into(), kid: kid.clone(), typ: "JWT".into() };
        let part =
            |json: serde_json::Result<Vec<u8>>| json.ok().map(|json| URL_SAFE_NO_PAD.encode(json));
        let signed =
            format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(claims))?);
        let signature = self.mac(kid, signed.as_bytes())?.finalize().into_bytes();
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Checks a token at `now` (UTC milliseconds).
    ///
    /// # Errors
    /// `invalid_token`, `expired_token` or `wrong_audience`, in this order.
    pub fn verify(&self, token: &str, audience: Audience, now: i64) -> Result<Claims, Code> {
        let claims = self.claims(token).ok_or(Code::InvalidToken)?;
        if claims.exp <= now.div_euclid(1000) {
            return Err(Code::ExpiredToken);
        }
        if claims.aud != audience {
            return Err(Code::WrongAudience);
        }
        Ok(claims)
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.alg != "HS256" {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        // Compares in constant time.
        self.mac(&header.kid, signed.as_bytes())?.verify_slice(&signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// A keyed digest for what must not stand in the database in the clear, as hexadecimal digits.
    #[must_use]
    pub fn digest(&self, message: &str) -> Option<String> {
        use std::fmt::Write as _;
        let (kid, _) = self.0.first()?;
        let bytes = self.mac(kid, message.as_bytes())?.finalize().into_bytes();
        Some(bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// Whether `digest` is [`Keys::digest`] of the message, under any key, in constant time.
    #[must_use]
    pub fn is_digest(&self, message: &str, digest: &str) -> bool {
        let bytes: Option<Vec<u8>> = digest
            .as_bytes()
            .chunks(2)
            .map(|pair| {
                std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
            })
            .collect();
        let Some(bytes) = bytes else { return false };
        self.0.iter().any(|(kid, _)| {
            self.mac(kid, message.as_bytes()).is_some_and(|mac| mac.verify_slice(&bytes).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Audience, Keys, URL_SAFE_NO_PAD};
    use crate::error::Code;
    use base64::Engine as _;

    const NOW: i64 = 1_790_000_000_000;

    fn keys(ids: &[(&str, u8)]) -> Keys {
        let text: Vec<_> = ids
            .iter()
            .map(|(id, byte)| format!("{id}:{}", URL_SAFE_NO_PAD.encode([*byte; 32])))
            .collect();
        Keys::parse(&text.join(",")).expect("the keys are good")
    }

    #[test]
    fn a_token_is_good_for_its_life_and_its_audience() {
        let keys = keys(&[("k1", 1)]);
        let token = keys.issue(Audience::Member, "m", 3, NOW).expect("a token");
        let claims = keys.verify(&token, Audience::Member, NOW).expect("good");
        assert_eq!((claims.sub.as_str(), claims.ver), ("m", 3));
        assert_eq!(keys.verify(&token, Audience::Staff, NOW), Err(Code::WrongAudience));
        let end = NOW + Audience::Member.life_ms();
        assert!(keys.verify(&token, Audience::Member, end - 1000).is_ok());
        assert_eq!(keys.verify(&token, Audience::Member, end), Err(Code::ExpiredToken));
    }

    #[test]
    fn a_qr_code_signs_nobody_in() {
        let keys = keys(&[("k1", 1)]);
        let token = keys.issue_once(Audience::CheckIn, "o", "t", NOW).expect("a token");
        for audience in [Audience::Member, Audience::Staff] {
            assert_eq!(keys.verify(&token, audience, NOW), Err(Code::WrongAudience));
        }
        let claims = keys.verify(&token, Audience::CheckIn, NOW + 119_000).expect("good");
        assert_eq!((claims.sub.as_str(), claims.jti.as_deref()), ("o", Some("t")));
        let late = keys.verify(&token, Audience::CheckIn, NOW + 120_000);
        assert_eq!(late, Err(Code::ExpiredToken));
        let token = keys.issue(Audience::Member, "m", 0, NOW).expect("a token");
        assert_eq!(keys.verify(&token, Audience::CheckIn, NOW), Err(Code::WrongAudience));
    }

    #[test]
    fn every_changed_byte_makes_it_invalid() {
        let keys = keys(&[("k1", 1)]);
        let token = keys.issue(Audience::Member, "m", 0, NOW).expect("a token");
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ascii");
            // The last digit of a part may hold bits that mean nothing; base64 refuses those too.
            assert_eq!(
                keys.verify(&changed, Audience::Member, NOW),
                Err(Code::InvalidToken),
                "{at}"
            );
        }
    }

    #[test]
    fn another_algorithm_or_key_is_refused() {
        let keys = keys(&[("k1", 1)]);
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"k1","typ":"JWT"}"#),
            URL_SAFE_NO_PAD
                .encode(r#"{"sub":"m","aud":"member","iat":0,"exp":9999999999,"ver":0}"#),
        );
        assert_eq!(keys.verify(&none, Audience::Member, NOW), Err(Code::InvalidToken));
        let other = self::keys(&[("k2", 1)]).issue(Audience::Member, "m", 0, NOW).expect("a token");
        assert_eq!(keys.verify(&other, Audience::Member, NOW), Err(Code::InvalidToken));
    }

    #[test]
    fn an_old_key_still_verifies_after_rotation() {
        let old = keys(&[("k1", 1)]).issue(Audience::Staff, "s", 0, NOW).expect("a token");
        assert!(keys(&[("k2", 2), ("k1", 1)]).verify(&old, Audience::Staff, NOW).is_ok());
        assert!(keys(&[("k2", 2)]).verify(&old, Audience::Staff, NOW).is_err());
    }

    #[test]
    fn digests_compare_by_content() {
        let keys = keys(&[("k1", 1)]);
        let digest = keys.digest("123456").expect("a digest");
        assert!(keys.is_digest("123456", &digest));
        assert!(!keys.is_digest("123457", &digest));
        assert!(!keys.is_digest("123456", "zz"));
    }
}
