//! Typed calls of the calendar objects.

use worker::js_sys::Reflect;
use worker::send::SendFuture;
use worker::wasm_bindgen::JsValue;
use worker::{Error, Method, Request, RequestInit};
use zhundian_durable_objects::calls::{CalendarCall, ProjectedDay};
use zhundian_durable_objects::projection;

use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::fields::Id;
use crate::sql;

/// The Durable Object binding.
pub const BINDING: &str = "CALENDAR";
/// Milliseconds after which a calendar counts as not answering.
const TIMEOUT_MS: u64 = 5_000;
/// Tries of one call: every call may be repeated, for it carries its operation's id.
const TRIES: u32 = 3;

/// The name of a technician's calendar.
#[must_use]
pub fn technician(id: &Id) -> String {
    format!("technician:{id}")
}

/// The name of a room's or a piece of equipment's calendar.
#[must_use]
pub fn room(id: &Id) -> String {
    format!("room:{id}")
}

/// The name of the calendar of how much a store has room for.
#[must_use]
pub fn store(id: &Id) -> String {
    format!("store:{id}")
}

/// The name of the calendar of a session's seats.
#[must_use]
pub fn session(id: &Id) -> String {
    format!("session:{id}")
}

/// A statement that writes projected days of a calendar to `calendar_day`.
///
/// # Errors
/// None in practice.
pub fn write_days(calendar: &str, days: &[ProjectedDay]) -> Answer<Statement> {
    let json = projection::json(days).map_err(Problem::internal)?;
    Ok(sql!(projection::WRITE, calendar, json))
}

/// The calendar objects.
pub struct Calendars {
    ctx: Ctx,
}

impl Calendars {
    /// For one request.
    #[must_use]
    pub const fn new(ctx: Ctx) -> Self {
        Self { ctx }
    }

    /// Calls one object.
    ///
    /// # Errors
    /// 503 when it does not answer, or answers with a fault. What it did is then unknown; the same call
    /// with the same operation's id may be made again.
    pub async fn call<C: CalendarCall + Sync>(&self, calendar: &str, call: &C) -> Answer<C::Reply> {
        let body = serde_json::to_string(call).map_err(Problem::internal)?;
        let sent = SendFuture::new(self.send(calendar, C::PATH, body)).await?;
        serde_json::from_slice(&sent)
            .map_err(|error| Problem::unavailable(format!("{calendar}{}: {error}", C::PATH)))
    }

    async fn send(&self, calendar: &str, path: &str, body: String) -> Answer<Vec<u8>> {
        let mut tries = 1;
        loop {
            self.ctx.meter.note_call();
            let fault = match crate::http::timeout(TIMEOUT_MS, self.once(calendar, path, &body))
                .await
            {
                Some(Ok((200, bytes))) => return Ok(bytes),
                Some(Ok((status, _))) => {
                    return Err(Problem::unavailable(format!("{calendar}{path}: status {status}")));
                }
                Some(Err(error))
                    if tries < TRIES
                        && flag(&error, "retryable")
                        && !flag(&error, "overloaded") =>
                {
                    tries += 1;
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => format!("no answer in {TIMEOUT_MS} ms"),
            };
            return Err(Problem::unavailable(format!("{calendar}{path}: {fault}")));
        }
    }

    /// One try, with a stub of its own: after an exception a stub may stay broken.
    async fn once(&self, calendar: &str, path: &str, body: &str) -> worker::Result<(u16, Vec<u8>)> {
        let stub = self
            .ctx
            .env()
            .durable_object(BINDING)?
            .get_by_name_with_location_hint(calendar, &self.ctx.config().calendar_location)?;
        let mut init = RequestInit::new();
        init.with_method(Method::Post).with_body(Some(JsValue::from_str(body)));
        let request = Request::new_with_init(&format!("https://calendar{path}"), &init)?;
        let mut response = stub.fetch_with_request(request).await?;
        let bytes = response.bytes().await?;
        Ok((response.status_code(), bytes))
    }
}

/// A property that the runtime sets on errors of an object's stub.
fn flag(error: &Error, name: &str) -> bool {
    match error {
        Error::UnknownJsError { original, .. } => Reflect::get(original, &name.into())
            .ok()
            .and_then(|value| value.as_bool())
            .unwrap_or(false),
        _ => false,
    }
}
