//! One's appointments for a calendar application, which subscribes to an address: whoever has the address
//! can read it, so it has a secret in it that only its owner was told. The database has its digest; a
//! new address makes the old one void. In the feed stands no telephone number.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use zhundian_domain::icalendar::{Event, feed};
use zhundian_domain::time::DAY_MS;

use crate::auth::caller::Staff;
use crate::error::{Answer, Code, Problem};
use crate::http::context::random;
use crate::http::extract::hex;
use crate::http::fields::{At, Id};
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::visit::queries;

/// Days of the past in a feed.
const PAST_DAYS: i64 = 7;
/// Days of the future.
const COMING_DAYS: i64 = 90;
/// Appointments in a feed: more than twenty a day.
const MAX_EVENTS: u32 = 2_000;
/// Random bytes in a secret.
const SECRET_BYTES: usize = 24;

/// Whether one has a feed.
#[derive(Serialize, ToSchema)]
pub struct FeedState {
    /// When its address was made; null when there is none.
    made_at: Option<At>,
}

/// A feed's address.
#[derive(Serialize, ToSchema)]
pub struct FeedAddress {
    /// On this host. It is told this once; whoever has it can read the feed.
    path: String,
}

/// Whether one has a calendar feed
#[utoipa::path(
    get, path = "/api/v1/staff/my/feed", tag = "visits", operation_id = "read_my_feed",
    responses((status = 200, description = "When it was made", body = FeedState)),
)]
pub(crate) async fn read(ctx: Ctx, staff: Staff) -> Answer<Json<FeedState>> {
    let made_at: Option<Option<i64>> = ctx.db()?.first(queries::feed_of(&staff.id)).await?;
    Ok(Json(FeedState { made_at: made_at.flatten().map(At::utc) }))
}

/// Make a calendar feed
///
/// At an address of its own, in place of the one before, which is void from then on. It holds one's
/// appointments as a technician, from a week ago to ninety days ahead.
#[utoipa::path(
    post, path = "/api/v1/staff/my/feed", tag = "visits", operation_id = "make_my_feed",
    responses((status = 201, description = "Made", body = FeedAddress)),
)]
pub(crate) async fn make(ctx: Ctx, staff: Staff) -> Answer<Created<FeedAddress>> {
    let secret = URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
    let digest = digest(&secret);
    ctx.db()?.batch(vec![queries::put_feed(&staff.id, Some(&digest), ctx.now)]).await?;
    Ok(Created(FeedAddress { path: format!("/ics/{secret}.ics") }))
}

/// Take the calendar feed away
#[utoipa::path(
    delete, path = "/api/v1/staff/my/feed", tag = "visits", operation_id = "revoke_my_feed",
    responses((status = 204, description = "Its address is void")),
)]
pub(crate) async fn revoke(ctx: Ctx, staff: Staff) -> Answer<StatusCode> {
    ctx.db()?.batch(vec![queries::put_feed(&staff.id, None, ctx.now)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The secret has as many bits as its digest could need: no key is needed to hide it.
fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

#[derive(Deserialize)]
struct Row {
    name: String,
    events: Vec<EventRow>,
}

#[derive(Deserialize)]
struct EventRow {
    id: Id,
    version: i64,
    changed_at: i64,
    start_at: i64,
    end_at: i64,
    service_name: String,
    customer: String,
    note: String,
    store_name: String,
    address: String,
}

/// A calendar feed
///
/// iCalendar (RFC 5545), for calendar applications to subscribe to.
#[utoipa::path(
    get, path = "/ics/{file}", tag = "visits", operation_id = "get_feed",
    params(("file" = String, Path, description = "The secret, and `.ics`", max_length = 64)),
    responses((status = 200, description = "The feed", body = String, content_type = "text/calendar")),
)]
pub(crate) async fn get(ctx: Ctx, file: Result<Path<String>, PathRejection>) -> Answer<Response> {
    let not_found = || Problem::from(Code::NotFound);
    let Path(file) = file.map_err(|_| not_found())?;
    let secret = file.strip_suffix(".ics").filter(|secret| secret.len() <= 64);
    let digest = digest(secret.ok_or_else(not_found)?);
    let (from, until) = (ctx.now - PAST_DAYS * DAY_MS, ctx.now + COMING_DAYS * DAY_MS);
    let row: Option<Row> = ctx.db()?.first(queries::feed(&digest, from, until, MAX_EVENTS)).await?;
    let row = row.ok_or_else(not_found)?;
    let places: Vec<String> =
        row.events.iter().map(|event| format!("{} {}", event.store_name, event.address)).collect();
    let events: Vec<Event> =
        row.events.iter().zip(&places).map(|(event, place)| event.in_feed(place)).collect();
    let kind = HeaderValue::from_static("text/calendar; charset=utf-8");
    let text = feed(&row.name, &events);
    Ok((StatusCode::OK, [(CONTENT_TYPE, kind)], text.into_bytes()).into_response())
}

impl EventRow {
    fn in_feed<'a>(&'a self, place: &'a str) -> Event<'a> {
        let summary = if self.customer.is_empty() {
            self.service_name.clone()
        } else {
            format!("{} · {}", self.service_name, self.customer)
        };
        Event {
            uid: format!("{}@zhundian", self.id),
            sequence: self.version - 1,
            changed_at: self.changed_at,
            start_at: self.start_at,
            end_at: self.end_at,
            summary,
            location: place,
            description: &self.note,
        }
    }
}
