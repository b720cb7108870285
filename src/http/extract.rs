//! Reading a request: body, query, path and headers. Every way to get one wrong has its own code and
//! names the field.

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::error::{Answer, Code, Problem};
use crate::http::fields::{Date, Id};
use crate::http::strict::{self, Refused};

/// Bytes in the largest JSON body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON body.
pub struct Body<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Answer<Self> {
        let bytes = json_body(request).await?;
        from_json(&bytes).map(Self)
    }
}

/// A JSON body of an operation that takes time or money, with what makes it one operation: the
/// `Idempotency-Key`, required, and a digest of the request.
pub struct Operation<T> {
    /// The header.
    pub key: String,
    /// Of method, path and body.
    pub request_hash: String,
    /// The body.
    pub body: T,
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Operation<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let (mut parts, body) = request.into_parts();
        let key =
            <IdempotencyKey as FromRequestParts<S>>::from_request_parts(&mut parts, state).await?.0;
        let bytes = json_body(Request::from_parts(parts.clone(), body)).await?;
        let mut hash = Sha256::new();
        hash.update(parts.method.as_str());
        hash.update([0]);
        hash.update(parts.uri.path());
        hash.update([0]);
        hash.update(&bytes);
        Ok(Self { key, request_hash: hex(&hash.finalize()), body: from_json(&bytes)? })
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn json_body(request: Request) -> Answer<Vec<u8>> {
    if media_type(request.headers()) != "application/json" {
        return Err(Problem::from(Code::UnsupportedMediaType)
            .with("application/json")
            .at("Content-Type"));
    }
    let bytes = bytes(request).await?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(Problem::from(Code::BodyTooLarge).with(MAX_BODY_BYTES));
    }
    Ok(bytes)
}

/// The body as it came. The entry point has already refused one above the route's limit.
///
/// # Errors
/// A body that breaks off.
pub async fn bytes(request: Request) -> Answer<Vec<u8>> {
    let collected = request.into_body().collect().await;
    Ok(collected
        .map_err(|error| Problem::from(Code::InvalidJson).caused_by(error))?
        .to_bytes()
        .into())
}

/// The media type without its parameters, in lower case.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads JSON text.
///
/// # Errors
/// A code for what is wrong, and the path of the field.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value =
        strict::json(&mut json).map_err(|Refused { path, error }| match error.classify() {
            serde_json::error::Category::Data => fault(&path, &error.to_string()),
            _ => Problem::from(Code::InvalidJson).caused_by(error),
        })?;
    json.end().map_err(|error| Problem::from(Code::InvalidJson).caused_by(error))?;
    Ok(value)
}

/// The query string.
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        // No parameter here is a list.
        let mut names: Vec<_> = pairs.map(|(name, _)| name).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
            return Err(Problem::from(Code::DuplicateField).at(name.as_ref()));
        }
        let deserializer = serde_html_form::Deserializer::new(pairs);
        strict::query(deserializer)
            .map(Self)
            .map_err(|Refused { path, error }| fault(&path, &error.to_string()))
    }
}

/// The one id in the path.
pub struct PathId(pub Id);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let path =
            <axum::extract::Path<String> as FromRequestParts<S>>::from_request_parts(parts, state)
                .await;
        let text = path.map_err(|_| Problem::from(Code::NotFound))?.0;
        // What has not the form of an id names nothing.
        text.parse().map(Self).map_err(|()| Problem::from(Code::NotFound))
    }
}

/// What may come after an id in a path.
pub trait PathPart: std::str::FromStr + Send {
    /// What is answered when it has not its form.
    fn refused() -> Problem;
}

impl PathPart for Id {
    fn refused() -> Problem {
        Code::NotFound.into()
    }
}

impl PathPart for Date {
    fn refused() -> Problem {
        Problem::from(Code::InvalidDate).at("date")
    }
}

/// An id in the path, and what comes after it.
pub struct PathIdAnd<T>(pub Id, pub T);

impl<S: Send + Sync, T: PathPart> FromRequestParts<S> for PathIdAnd<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let path =
            <axum::extract::Path<(String, String)> as FromRequestParts<S>>::from_request_parts(
                parts, state,
            )
            .await;
        let (id, rest) = path.map_err(|_| Problem::from(Code::NotFound))?.0;
        let id = id.parse().map_err(|()| Problem::from(Code::NotFound))?;
        Ok(Self(id, rest.parse().map_err(|_| T::refused())?))
    }
}

/// The `Idempotency-Key` header, required.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(pub String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        let header = "Idempotency-Key";
        let value = parts
            .headers
            .get(header)
            .ok_or_else(|| Problem::from(Code::MissingIdempotencyKey).at(header))?;
        let good = |text: &&str| {
            (8..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        value
            .to_str()
            .ok()
            .filter(good)
            .map(|text| Self(text.to_owned()))
            .ok_or_else(|| Problem::from(Code::InvalidIdempotencyKey).at(header))
    }
}

/// A field's own refusal, carried through serde's error text: `~code|parameter`.
pub fn refusal<E: serde::de::Error>(code: Code, param: impl std::fmt::Display) -> E {
    E::custom(format_args!("~{}|{param}", code.as_str()))
}

/// Turns what serde says of a field into a code.
fn fault(path: &str, message: &str) -> Problem {
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let name_in = |message: &str| message.split('`').nth(1).unwrap_or_default().to_owned();
    let below =
        |name: String| if path.is_empty() || path == "." { name } else { format!("{path}.{name}") };
    let at = if path.is_empty() { "." } else { path };
    if let Some((code, param)) = message.strip_prefix('~').and_then(|text| text.split_once('|')) {
        let code = Code::named(code).unwrap_or(Code::WrongType);
        return Problem::from(code).with(param).at(at);
    }
    if message.starts_with("missing field") {
        return Problem::from(Code::MissingField).at(below(name_in(message)));
    }
    if message.starts_with("unknown field") {
        // Here the path already ends with the name.
        let name = name_in(message);
        let at = if path == name || path.ends_with(&format!(".{name}")) {
            path.to_owned()
        } else {
            below(name)
        };
        return Problem::from(Code::UnknownField).at(at);
    }
    if message.starts_with("duplicate field") {
        return Problem::from(Code::DuplicateField).at(below(name_in(message)));
    }
    let expected =
        |mark: &str| message.split_once(mark).map_or("", |(_, rest)| rest).replace('`', "");
    if message.starts_with("unknown variant") {
        let values = expected("expected ");
        let values = values.strip_prefix("one of ").unwrap_or(&values);
        return Problem::from(Code::UnknownValue).with(values).at(at);
    }
    if message.starts_with("invalid value") {
        return Problem::from(Code::OutOfRange).with(expected("expected ")).at(at);
    }
    // serde names the Rust type of what a client knows as an object, or as one of several words.
    let kind = expected("expected ");
    let kind = if kind.starts_with("struct ") { "object" } else { kind.as_str() };
    Problem::from(Code::WrongType).with(kind).at(at)
}
