//! Calls of outside services: a request that `zhundian_providers` built goes out as it is, and what
//! came back is handed to the same crate to be read.
//!
//! Addresses hold secrets in their queries, so nothing here ever logs or reports one whole: a fault
//! names the endpoint and no more.

use futures_util::StreamExt as _;
use worker::js_sys::Uint8Array;
use worker::send::SendFuture;
use worker::{AbortController, Fetch, Headers, Method, RequestInit, RequestRedirect};
use zhundian_providers::http::{
    Headers as ReplyHeaders, MAX_REPLY_BYTES, Method as ProviderMethod, Reply, Request, SignedReply,
};
use zhundian_providers::phone::Phone;
use zhundian_providers::sms::SmsError;

use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;

/// Milliseconds after which a service counts as not answering.
const TIMEOUT_MS: u64 = 8_000;
/// Seconds after which a client may try again when WeChat or the SMS service limits us.
pub const LIMITED_RETRY_SECONDS: u32 = 60;
/// Seconds after which a client may try again when a service does not answer.
pub const UNAVAILABLE_RETRY_SECONDS: u32 = 5;

/// The reply headers that anything here reads: WeChat Pay signs in them.
const SIGNED_HEADERS: &[&str] = &[
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
    "wechatpay-serial",
    "wechatpay-signature-type",
    "request-id",
];

/// What a service answered.
pub struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Received {
    /// As the providers crate reads it.
    #[must_use]
    pub fn reply(&self) -> Reply<'_> {
        Reply { status: self.status, body: &self.body }
    }

    /// With the headers in which it is signed.
    #[must_use]
    pub fn signed(&self) -> SignedReply<'_> {
        SignedReply { status: self.status, headers: ReplyHeaders(&self.headers), body: &self.body }
    }

    /// The serial of the key that it says it is signed with.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        ReplyHeaders(&self.headers).get("wechatpay-serial")
    }
}

/// A service that did not answer, or not in time: the endpoint and the reason. Whether the request had
/// an effect is unknown.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

/// Sends a request and reads the answer, at most [`MAX_REPLY_BYTES`] of it. Redirects are answers too,
/// for a signed request is good for one address only.
///
/// # Errors
/// [`Unanswered`].
pub async fn send(request: &Request) -> Result<Received, Unanswered> {
    send_for(request, MAX_REPLY_BYTES).await
}

/// As [`send`], with another limit of the answer's bytes: for files.
///
/// # Errors
/// [`Unanswered`].
pub async fn send_for(request: &Request, max_bytes: usize) -> Result<Received, Unanswered> {
    let endpoint = request.endpoint().to_owned();
    let unanswered = |why: &str| Unanswered(format!("{endpoint}: {why}"));
    let exchange = async {
        let abort = AbortController::default();
        let signal = abort.signal();
        let done = crate::http::timeout(TIMEOUT_MS, exchange(request, &signal, max_bytes)).await;
        if done.is_none() {
            abort.abort();
        }
        done
    };
    match SendFuture::new(exchange).await {
        Some(Ok(received)) => Ok(received),
        Some(Err(error)) => {
            let text = error.to_string();
            let safe = !text.contains("://") && !text.contains('?');
            Err(unanswered(if safe { &text } else { "the request failed" }))
        }
        None => Err(unanswered(&format!("no answer in {TIMEOUT_MS} ms"))),
    }
}

async fn exchange(
    request: &Request,
    signal: &worker::AbortSignal,
    max_bytes: usize,
) -> worker::Result<Received> {
    let headers = Headers::new();
    for (name, value) in &request.headers {
        headers.set(name, value)?;
    }
    let mut init = RequestInit::new();
    init.with_headers(headers).with_redirect(RequestRedirect::Manual);
    match request.method {
        ProviderMethod::Get => init.with_method(Method::Get),
        ProviderMethod::Post => init
            .with_method(Method::Post)
            .with_body(Some(Uint8Array::from(request.body.as_slice()).into())),
    };
    let outgoing = worker::Request::new_with_init(&request.url, &init)?;
    let mut response = Fetch::Request(outgoing).send_with_signal(signal).await?;
    let status = response.status_code();
    let headers = SIGNED_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), response.headers().get(name).ok()??)))
        .collect();
    let body = if is_within(response.headers(), max_bytes) {
        response.bytes().await?
    } else {
        read(response, max_bytes).await?
    };
    Ok(Received { status, headers, body })
}

/// Whether an answer says that it is no longer than this; one that is packed says it of what was sent.
fn is_within(headers: &Headers, max_bytes: usize) -> bool {
    let header = |name| headers.get(name).ok().flatten();
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| length <= max_bytes) && header("content-encoding").is_none()
}

/// Reads an answer piece by piece, and stops where it passes the limit.
async fn read(mut response: worker::Response, max_bytes: usize) -> worker::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Ok(mut chunks) = response.stream() {
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk?);
            // One byte too many tells the reader that it was too long; there is no use in more.
            if body.len() > max_bytes {
                body.truncate(max_bytes + 1);
                break;
            }
        }
    }
    Ok(body)
}

/// Sends a short message from one of the merchant's templates, its variables by name and in order.
///
/// # Errors
/// `sms_refused` when it will never go to this number, `rate_limited`, `misconfigured`, or
/// `sms_unavailable`, after which it may have been sent or not.
pub async fn sms(ctx: &Ctx, to: &Phone, template: &str, variables: &[(&str, &str)]) -> Answer<()> {
    let service = &ctx.config().sms;
    let seconds = crate::http::context::now_ms().div_euclid(1000);
    let nonce = crate::http::context::random()?;
    let request = service.send(seconds, nonce, to, template, variables);
    let unavailable = |cause: String| {
        Problem::from(Code::SmsUnavailable).retry_after(UNAVAILABLE_RETRY_SECONDS).caused_by(cause)
    };
    let received = send(&request).await.map_err(|error| unavailable(error.to_string()))?;
    match service.read_send(received.reply()) {
        Ok(_) => Ok(()),
        Err(error @ (SmsError::InvalidPhone | SmsError::Refused { .. })) => {
            Err(Problem::from(Code::SmsRefused).caused_by(error))
        }
        Err(error @ SmsError::RateLimited { .. }) => Err(Problem::from(Code::RateLimited)
            .retry_after(LIMITED_RETRY_SECONDS)
            .caused_by(error)),
        Err(error @ SmsError::Misconfigured { .. }) => Err(Problem::from(Code::Misconfigured)
            .with("SMS")
            .retry_after(LIMITED_RETRY_SECONDS)
            .caused_by(error)),
        Err(error @ SmsError::Unavailable { .. }) => Err(unavailable(error.to_string())),
    }
}
