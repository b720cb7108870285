//! The application: all routes, and the way of a request through them.
//!
//! JavaScript's request becomes an `http::Request` whose body has been read, within the limit of its
//! route, and the answer becomes one JavaScript response: two crossings of the boundary, no streams.

use std::cell::OnceCell;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::header::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use worker::send::SendFuture;
use worker::wasm_bindgen::JsCast as _;
use worker::{Context, Env};

use crate::error::{Answer, Code, Problem};
use crate::http::context::{Seen, now_ms, random};
use crate::http::extract::MAX_BODY_BYTES;
use crate::http::fields::Id;
use crate::http::{Ctx, Routes, respond};
use crate::routes;

/// The request headers that anything here looks at; each costs a crossing.
const HEADERS: &[&str] =
    &["authorization", "content-type", "content-length", "idempotency-key", "if-none-match"];
/// Those of a notice.
const NOTICE_HEADERS: &[&str] = &[
    "content-type",
    "content-length",
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
    "wechatpay-serial",
    "wechatpay-signature-type",
];

thread_local! {
    static ROUTER: OnceCell<axum::Router> = const { OnceCell::new() };
}

fn router() -> axum::Router {
    ROUTER.with(|router| {
        let router = router.get_or_init(|| {
            let (router, _) = routes().finish();
            router
                .fallback(|| async { Problem::from(Code::NotFound) })
                .method_not_allowed_fallback(|| async { http::StatusCode::METHOD_NOT_ALLOWED })
        });
        router.clone()
    })
}

/// Every route of the API.
pub fn routes() -> Routes {
    Routes::new()
        .public(routes!(healthz))
        .public(routes!(openapi_json))
        .merge(crate::member::routes())
        .merge(crate::staff::routes())
        .merge(crate::catalog::routes())
        .merge(crate::booking::routes())
        .merge(crate::express::routes())
        .merge(crate::extras::routes())
        .merge(crate::session::routes())
        .merge(crate::waitlist::routes())
        .merge(crate::order::routes())
        .merge(crate::payment::routes())
        .merge(crate::plan::routes())
        .merge(crate::visit::routes())
        .merge(crate::reminder::routes())
        .merge(crate::operations::routes())
}

/// Answers one request.
///
/// # Errors
/// When the answer cannot be handed to the runtime.
pub async fn fetch(
    request: worker::Request,
    env: Env,
    context: Context,
) -> worker::Result<web_sys::Response> {
    let started = now_ms();
    let seen = seen(&request, &env);
    let (english, request_id) = (seen.english, seen.request_id.clone());
    // Not `request.method()`, for which a method that it does not know is GET.
    let method = request.inner().method();
    let ctx = match Ctx::new(env, Some(context), seen, started) {
        Ok(ctx) => ctx,
        Err(why) => {
            worker::console_error!(
                "{}",
                serde_json::json!({
                    "event": "misconfigured", "request_id": request_id, "cause": why,
                })
            );
            let problem = Problem::from(Code::Misconfigured).with(why).retry_after(60);
            return answer(respond::finish(problem.into_response(), english, &request_id)).await;
        }
    };
    let response = match incoming(request, &method, &ctx).await {
        Ok(request) => route(request).await,
        Err(problem) => problem.into_response(),
    };
    let response = respond::finish(response, english, &request_id);
    respond::log(&ctx, &method, &response, now_ms() - started);
    answer(response).await
}

async fn route(request: http::Request<Body>) -> Response {
    match router().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn seen(request: &worker::Request, env: &Env) -> Seen {
    let header = |name: &str| request.headers().get(name).ok().flatten().unwrap_or_default();
    // The merchant's own proxy may say whom it speaks for, if it knows the secret.
    let vouched = crate::config::Config::of(env).ok().is_some_and(|config| {
        config.proxy_secret.as_ref().is_some_and(|secret| {
            let given = header("x-proxy-secret");
            given.len() == secret.len()
                && given.bytes().zip(secret.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
        })
    });
    let client_ip = header(if vouched { "x-real-ip" } else { "cf-connecting-ip" });
    let language = header("accept-language").to_ascii_lowercase();
    let request_id = random().map(|bytes| Id::new(now_ms(), bytes).to_string()).unwrap_or_default();
    Seen { client_ip, english: language.starts_with("en"), request_id }
}

/// The request as the router takes it, its body read within the limit.
async fn incoming(
    mut request: worker::Request,
    method: &str,
    ctx: &Ctx,
) -> Answer<http::Request<Body>> {
    let url = request.inner().url();
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    let path = path.split('#').next().unwrap_or_default();
    let mut builder = http::Request::builder().method(method).uri(format!("/{path}"));
    let names = if path.starts_with("webhooks/") { NOTICE_HEADERS } else { HEADERS };
    for name in names {
        if let Ok(Some(value)) = request.headers().get(name)
            && let Ok(value) = HeaderValue::from_str(&value)
        {
            builder = builder.header(HeaderName::from_static(name), value);
        }
    }
    let limit = body_limit(path);
    let body = match method {
        "GET" | "HEAD" | "OPTIONS" => Vec::new(),
        _ => SendFuture::new(read_body(&mut request, limit)).await?,
    };
    let mut request = builder
        .body(Body::from(body))
        .map_err(|error| Problem::from(Code::InvalidEncoding).caused_by(error))?;
    request.extensions_mut().insert(ctx.clone());
    Ok(request)
}

fn body_limit(path: &str) -> usize {
    let path = path.split('?').next().unwrap_or_default();
    if crate::catalog::photos::UPLOAD_PATHS.contains(&path) {
        crate::catalog::photos::MAX_PHOTO_BYTES
    } else {
        MAX_BODY_BYTES
    }
}

/// Reads a body and stops reading where it passes its limit.
async fn read_body(request: &mut worker::Request, limit: usize) -> Answer<Vec<u8>> {
    let too_large = || Problem::from(Code::BodyTooLarge).with(limit);
    let said = request.headers().get("content-length").ok().flatten();
    let said = said.and_then(|said| said.parse::<usize>().ok());
    match said {
        Some(said) if said > limit => Err(too_large()),
        Some(0) => Ok(Vec::new()),
        // The runtime holds a body to the length that was said.
        Some(_) => {
            request.bytes().await.map_err(|error| Problem::from(Code::InvalidJson).caused_by(error))
        }
        None => {
            let mut body = Vec::new();
            let Ok(mut chunks) = request.stream() else { return Ok(body) };
            while let Some(chunk) = chunks.next().await {
                let chunk =
                    chunk.map_err(|error| Problem::from(Code::InvalidJson).caused_by(error))?;
                if body.len() + chunk.len() > limit {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        }
    }
}

/// Hands the answer over: status and headers cross the boundary as one text, the body as one array.
async fn answer(response: Response) -> worker::Result<web_sys::Response> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let headers: Vec<(&str, &str)> = parts
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let status = parts.status.as_u16();
    let init = serde_json::json!({ "status": status, "headers": headers }).to_string();
    let init = worker::js_sys::JSON::parse(&init)?.unchecked_into();
    let response = match status {
        // A response of one of these statuses cannot have a body, not even an empty one.
        204 | 304 => web_sys::Response::new_with_opt_str_and_init(None, &init),
        _ => {
            let body = worker::js_sys::Uint8Array::from(bytes.as_ref());
            web_sys::Response::new_with_opt_buffer_source_and_init(Some(&body), &init)
        }
    };
    Ok(response?)
}

/// Which parts answer
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses(
        (status = 200, description = "Everything answers", body = crate::document::Health),
        (status = 503, description = "Something does not", body = crate::document::Health),
    ),
)]
async fn healthz(ctx: Ctx) -> Response {
    let database = match ctx.db() {
        Ok(db) => db.first::<bool>(crate::sql!("SELECT 'true' AS json")).await.is_ok(),
        Err(_) => false,
    };
    let calls = ctx.calendars();
    let windows = zhundian_durable_objects::calls::Windows {};
    let calendars = calls.call("health:check", &windows).await.is_ok();
    let health = crate::document::Health { ok: database && calendars, database, calendars };
    let mut response = respond::Json(health).into_response();
    if !(database && calendars) {
        *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value)),
)]
async fn openapi_json() -> Response {
    respond::json_bytes(http::StatusCode::OK, crate::document::JSON.into())
}
