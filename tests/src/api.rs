//! A client with somebody's token.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::random;

/// No answer takes longer unless the test says so ([`Call::within`]).
const TIMEOUT: Duration = Duration::from_secs(30);

/// Connections live on a runtime of their own: each test has its runtime, and what it opened would end
/// with it while another test uses it.
static CONNECTIONS: OnceLock<(Runtime, Client<HttpConnector, Full<Bytes>>)> = OnceLock::new();

fn connections() -> &'static (Runtime, Client<HttpConnector, Full<Bytes>>) {
    CONNECTIONS.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("connections")
            .enable_all()
            .build()
            .expect("a runtime");
        let client = Client::builder(TokioExecutor::new()).build_http();
        (runtime, client)
    })
}

/// Somebody who talks to the API (or to the sandbox).
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: Option<String>,
    headers: HeaderMap,
}

impl Api {
    /// Nobody in particular, at `base` (without a slash at its end).
    pub fn new(base: impl Into<String>) -> Self {
        Self { base: base.into(), token: None, headers: HeaderMap::new() }
    }

    /// The same with this token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The same with one more header in every call.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header's value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// The token, if there is one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Where it is, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The headers of every call, for another client.
    pub fn headers(&self) -> Vec<(String, String)> {
        let token =
            self.token.iter().map(|token| ("authorization".into(), format!("Bearer {token}")));
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        token
            .chain(self.headers.iter().map(|(name, value)| (name.to_string(), text(value))))
            .collect()
    }

    /// A call by any method; `path` begins with a slash and may have a query.
    pub fn call(&self, method: Method, path: impl AsRef<str>) -> Call {
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token");
            headers.insert(AUTHORIZATION, value);
        }
        let url = format!("{}{}", self.base, path.as_ref());
        Call { method, url, headers, body: Bytes::new(), timeout: TIMEOUT }
    }

    /// GET.
    pub fn get(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::GET, path)
    }

    /// POST of a JSON body.
    pub fn post(&self, path: impl AsRef<str>, body: impl Into<Value>) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// PUT of a JSON body.
    pub fn put(&self, path: impl AsRef<str>, body: impl Into<Value>) -> Call {
        self.call(Method::PUT, path).json(body)
    }

    /// PATCH of a JSON body.
    pub fn patch(&self, path: impl AsRef<str>, body: impl Into<Value>) -> Call {
        self.call(Method::PATCH, path).json(body)
    }

    /// DELETE.
    pub fn delete(&self, path: impl AsRef<str>) -> Call {
        self.call(Method::DELETE, path)
    }
}

/// A call to be made: awaiting it makes it, and panics when there is no answer at all; a test in which
/// the Worker is killed uses [`Call::attempt`].
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
}

impl Call {
    /// With this JSON body.
    #[must_use]
    pub fn json(self, body: impl Into<Value>) -> Self {
        self.body("application/json", body.into().to_string())
    }

    /// With this body as it is.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// With this header in place of any of that name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        self.headers.insert(name, HeaderValue::from_str(value).expect("a header's value"));
        self
    }

    /// With this `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// With an `Idempotency-Key` that nobody has used.
    #[must_use]
    pub fn idempotent(self) -> Self {
        let key = format!("{:016x}{:016x}", random(), random());
        self.key(&key)
    }

    /// With this time limit.
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the call.
    ///
    /// # Errors
    /// There was no answer: the connection was refused or cut, or the time is over. What was asked for
    /// may have been done.
    pub async fn attempt(self) -> Result<Reply, NoAnswer> {
        let what = format!("{} {}", self.method, self.url);
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.url)
            .body(Full::new(self.body))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        *request.headers_mut() = self.headers;
        let started = Instant::now();
        let (runtime, client) = connections();
        let exchange = async move {
            let response = client.request(request).await.map_err(|error| error_chain(&error))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error_chain(&error))?.to_bytes();
            Ok::<_, String>((parts, body))
        };
        let exchange = runtime.spawn(tokio::time::timeout(self.timeout, exchange));
        let why = match exchange.await.expect("the exchange does not panic") {
            Ok(Ok((parts, bytes))) => {
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let status = parts.status.as_u16();
                let took = started.elapsed();
                return Ok(Reply { what, status, headers: parts.headers, bytes, body, took });
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        Err(NoAnswer { what, why })
    }
}

impl Call {
    /// Sends it, and again when it came too often, as soon as the answer says that it may.
    pub async fn patient(self) -> Reply {
        loop {
            let reply = self.clone().await;
            if reply.code() != "rate_limited" {
                return reply;
            }
            let seconds = reply.header("retry-after").parse().expect("seconds");
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.attempt().await.unwrap_or_else(|none| panic!("{none}")) })
    }
}

/// There was no answer.
#[derive(Debug)]
pub struct NoAnswer {
    what: String,
    why: String,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for NoAnswer {}

/// An answer, of whatever status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Method and address, for messages.
    pub what: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as JSON; null when it is none.
    pub body: Value,
    /// From the call to the last byte of the answer.
    pub took: Duration,
}

impl Reply {
    /// Itself, if it has this status.
    ///
    /// # Panics
    /// With the answer, if it has another one.
    #[must_use = "or use `check`"]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        self.check(status);
        self
    }

    /// As [`Reply::expect`], for those who want nothing of the answer.
    #[track_caller]
    pub fn check(&self, status: u16) {
        assert!(
            self.status == status,
            "{}: {} instead of {status}: {}",
            self.what,
            self.status,
            String::from_utf8_lossy(&self.bytes)
        );
    }

    /// Itself, if it is a problem of this status and code.
    ///
    /// # Panics
    /// With the answer, if it is anything else.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        self.check(status);
        assert_eq!(self.code(), code, "{}: {}", self.what, self.body);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.what);
    }

    /// The problem's code; empty when it is no problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// A header's value; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A text in the body, by JSON pointer.
    ///
    /// # Panics
    /// With the answer, if there is none.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &str {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("{}: no text at {pointer} in {}", self.what, self.body))
    }

    /// The content type that a problem or an answer is of, without parameters.
    pub fn content_type(&self) -> &str {
        self.header(CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default()
    }
}

/// Text as a query has it, every byte of it percent-encoded.
pub fn percent_encoded(text: &str) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).expect("four bits");
    text.bytes().flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 15)]).collect()
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
