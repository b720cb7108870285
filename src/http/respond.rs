//! Answers: JSON, problems, the headers that every answer carries, and the log line.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;

use crate::error::{Code, Problem};
use crate::http::Ctx;

/// A JSON answer with status 200.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => json_bytes(StatusCode::OK, bytes),
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// A JSON answer with status 201.
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::CREATED;
        }
        response
    }
}

/// An answer whose JSON text is there already.
#[must_use]
pub fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, kind)], bytes).into_response()
}

/// Headers of every answer. The API is no page: nothing may frame it, guess its types or run in it.
const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-site"),
];

/// Writes the problem out, adds the headers that every answer carries.
#[must_use]
pub fn finish(mut response: Response, english: bool, request_id: &str) -> Response {
    let status = response.status();
    let mut problem = response.extensions_mut().remove::<Problem>();
    if problem.is_none() && status == StatusCode::METHOD_NOT_ALLOWED {
        problem = Some(Code::MethodNotAllowed.into());
    }
    if let Some(problem) = &problem {
        let body = problem.document(english, request_id).to_string();
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.remove(http::header::CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    if let Some(problem) = problem {
        response.extensions_mut().insert(problem);
    }
    response
}

/// The request's one log line: no phone, openid, token or body ever stands in it.
pub fn log(ctx: &Ctx, method: &str, response: &Response, took_ms: i64) {
    let (route, caller) = ctx.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    let [rows_read, rows_written, batches, calls] = ctx.meter.read();
    let problem = response.extensions().get::<Problem>();
    let line = serde_json::json!({
        "event": "request",
        "request_id": ctx.request_id,
        "method": method,
        "route": if route.is_empty() { "unmatched" } else { &route },
        "caller": caller,
        "status": response.status().as_u16(),
        "code": problem.map(|problem| problem.code().as_str()),
        "ms": took_ms,
        "d1_batches": batches,
        "d1_rows_read": rows_read,
        "d1_rows_written": rows_written,
        "object_calls": calls,
        "cause": problem.and_then(Problem::cause),
    });
    if response.status().is_server_error() {
        worker::console_error!("{line}");
    } else {
        worker::console_log!("{line}");
    }
}
