//! Checking in. The customer shows a QR code or says a booking code, or staff look them up by phone.
//!
//! - A QR code is a token of ours for one order, good for two minutes and once: what was shown stands in
//!   `shown_qr`, whose key refuses the second showing, however many scan at once.
//! - A booking code is made when somebody first asks for it, and is unique among the coming orders of its
//!   store. Wrong ones are counted for each member of staff in one statement that also refuses, so the
//!   count is exact.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::check_in;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::time::{date_at, dates_interval};
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::auth::token::Audience;
use crate::booking::book::OrderAnswer;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::context::random;
use crate::http::extract::{Body, PathId, Query};
use crate::http::fields::{At, Id, Text};
use crate::http::{Ctx, Json};
use crate::order::{self, Actor, refused};
use crate::visit::{queries, require};

/// Wrong codes of one member of staff in a window.
pub const MAX_WRONG_CODES: i64 = 10;
/// The window, in milliseconds.
pub const WINDOW_MS: i64 = 10 * 60_000;
/// Codes that are tried for an order; that all are taken does not happen with 148 million of them.
const CANDIDATES: usize = 4;
/// Random bytes for one of them.
const CODE_BYTES: usize = 2 * check_in::CODE_CHARS;

/// An order that somebody checks in for.
#[derive(Deserialize)]
struct Known {
    id: Id,
    member_id: Option<Id>,
    store_id: Id,
    time_zone: Zone,
    status: Status,
    version: i64,
    start_at: i64,
    checked_in_at: Option<i64>,
    check_in_code: Option<String>,
    technicians: Vec<Id>,
    shown: bool,
}

/// What a customer checks in with.
#[derive(Serialize, ToSchema)]
pub struct CheckIn {
    /// To be read out or typed: six digits and capital letters, none of which look alike.
    code: String,
    /// To be shown as a QR code, as it is. It is taken once.
    qr: String,
    /// Then another one is needed: ask again.
    qr_expires_at: At,
}

/// An order's booking code.
#[derive(Serialize, ToSchema)]
pub struct CheckInCode {
    /// Six digits and capital letters, none of which look alike.
    code: String,
}

/// What to check in with
///
/// The code stays the same; the QR code is another one each time.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/check-in", tag = "visits", operation_id = "check_in",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "Code and QR code", body = CheckIn)),
)]
pub(crate) async fn show(ctx: Ctx, member: Member, PathId(id): PathId) -> Answer<Json<CheckIn>> {
    let known = read(&ctx, &id, None).await?.ok_or_else(|| Problem::from(Code::NotFound))?;
    if known.member_id.as_ref() != Some(&member.id) {
        return Err(Code::NotFound.into());
    }
    let code = code_of(&ctx, &known).await?;
    let jti = ctx.new_id()?;
    let qr = ctx.config().keys.issue_once(Audience::CheckIn, id.as_str(), jti.as_str(), ctx.now);
    let qr = qr.ok_or_else(|| Problem::internal("no key signs tokens"))?;
    let qr_expires_at = At::new(known.time_zone, expires_at(ctx.now));
    Ok(Json(CheckIn { code, qr, qr_expires_at }))
}

/// An order's booking code
///
/// For a customer who has no app to show it.
#[utoipa::path(
    get, path = "/api/v1/staff/orders/{id}/check-in", tag = "visits", operation_id = "staff_check_in_code",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "The code", body = CheckInCode)),
)]
pub(crate) async fn code_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<CheckInCode>> {
    let known = read(&ctx, &id, None).await?.ok_or_else(|| Problem::from(Code::NotFound))?;
    require(&staff, &known.store_id, &known.technicians)?;
    Ok(Json(CheckInCode { code: code_of(&ctx, &known).await? }))
}

/// A token's end has no milliseconds.
const fn expires_at(now: i64) -> i64 {
    (now + Audience::CheckIn.life_ms()).div_euclid(1000) * 1000
}

async fn read(ctx: &Ctx, id: &Id, qr: Option<&str>) -> Answer<Option<Known>> {
    Ok(ctx.db()?.first(queries::to_check_in(id, qr)).await?)
}

/// The order's code, made if it has none.
async fn code_of(ctx: &Ctx, known: &Known) -> Answer<String> {
    if known.checked_in_at.is_some() {
        return Err(Code::AlreadyCheckedIn.into());
    }
    if !matches!(known.status, Status::Paid | Status::Confirmed | Status::InService) {
        return Err(Code::OrderNotChangeable.into());
    }
    if let Some(code) = &known.check_in_code {
        return Ok(code.clone());
    }
    let random = random::<{ CANDIDATES * CODE_BYTES }>()?;
    let candidates: Vec<String> = random.chunks(CODE_BYTES).filter_map(check_in::code).collect();
    let candidates = serde_json::to_string(&candidates).map_err(Problem::internal)?;
    let statements = queries::give_code(&known.id, &candidates);
    let code: Option<Option<String>> = ctx.db()?.batch(statements.into()).await?.first(1)?;
    code.flatten().ok_or_else(|| Problem::unavailable("no code was free"))
}

/// A QR code that was scanned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Qr {
    /// What it says.
    qr: Text<1, 1024>,
}

/// A booking code that was typed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedCode {
    store_id: Id,
    /// Small letters, spaces and hyphens do not matter.
    code: Text<1, 20>,
}

/// Check in by QR code
///
/// A code that was shown before is refused, and so is one that is older than two minutes.
#[utoipa::path(
    post, path = "/api/v1/staff/check-ins/qr", tag = "visits", operation_id = "check_in_by_qr",
    request_body = Qr, responses((status = 200, description = "Checked in", body = OrderAnswer)),
)]
pub(crate) async fn by_qr(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<Qr>,
) -> Answer<Json<OrderAnswer>> {
    let at = |code: Code| Problem::from(code).at("qr");
    let claims = ctx.config().keys.verify(body.qr.as_str(), Audience::CheckIn, ctx.now);
    let claims = claims.map_err(|code| {
        at(if code == Code::ExpiredToken { Code::QrExpired } else { Code::QrInvalid })
    })?;
    let (Ok(order_id), Some(jti)) = (claims.sub.parse::<Id>(), claims.jti) else {
        return Err(at(Code::QrInvalid));
    };
    let known = read(&ctx, &order_id, Some(&jti)).await?.ok_or_else(|| at(Code::QrInvalid))?;
    require(&staff, &known.store_id, &known.technicians)?;
    if known.shown {
        return Err(at(Code::QrUsed));
    }
    let shown = queries::shown(&jti, &order_id, claims.exp * 1000);
    check_in(&ctx, staff, known, "qr", vec![shown]).await
}

/// Check in by booking code
///
/// After ten wrong codes in ten minutes no more are taken of the same member of staff.
#[utoipa::path(
    post, path = "/api/v1/staff/check-ins/code", tag = "visits", operation_id = "check_in_by_code",
    request_body = TypedCode,
    responses((status = 200, description = "Checked in", body = OrderAnswer)),
)]
pub(crate) async fn by_code(
    ctx: Ctx,
    staff: Staff,
    Body(body): Body<TypedCode>,
) -> Answer<Json<OrderAnswer>> {
    let whose = whose(&staff, &body.store_id)?;
    let wrong = || Problem::from(Code::WrongCheckInCode).at("code");
    // What has not the form of a code is no guess at one.
    let code = check_in::parse(body.code.as_str()).ok_or_else(wrong)?;
    let db = ctx.db()?;
    let [count, counted] = queries::count_try(&staff.id, ctx.now);
    let rows = db.batch(vec![count, counted, queries::by_code(&body.store_id, &code)]).await?;
    if rows.text(0).is_none() {
        let ends_at: i64 = rows.one(1)?;
        let seconds = u32::try_from((ends_at - ctx.now + 999).div_euclid(1000)).unwrap_or(1);
        return Err(Problem::from(Code::TooManyCodes).retry_after(seconds.max(1)));
    }
    let known: Known = rows.first(2)?.ok_or_else(wrong)?;
    if whose.is_some_and(|own| !known.technicians.contains(own)) {
        return Err(Problem::from(Code::Forbidden).with(Permission::VisitWrite.as_str()));
    }
    let right = queries::uncount_try(&staff.id);
    if known.checked_in_at.is_some() {
        db.batch(vec![right]).await?;
        return Err(already(&known));
    }
    check_in(&ctx, staff, known, "code", vec![right]).await
}

/// Check in by order
///
/// Of a customer who was found by phone, or whom staff know.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/check-in", tag = "visits", operation_id = "check_in_by_order",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "Checked in", body = OrderAnswer)),
)]
pub(crate) async fn by_order(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<OrderAnswer>> {
    let known = read(&ctx, &id, None).await?.ok_or_else(|| Problem::from(Code::NotFound))?;
    require(&staff, &known.store_id, &known.technicians)?;
    check_in(&ctx, staff, known, "order", Vec::new()).await
}

/// Whose visits somebody may keep in a store: their own technician's, or anybody's when `None`.
fn whose<'a>(staff: &'a Staff, store_id: &Id) -> Answer<Option<&'a Id>> {
    if staff.may(Permission::VisitWrite, store_id) {
        return Ok(None);
    }
    staff.require(Permission::VisitWriteOwn, store_id)?;
    let forbidden = || Problem::from(Code::Forbidden).with(Permission::VisitWrite.as_str());
    staff.technician_id.as_ref().map(Some).ok_or_else(forbidden)
}

fn already(known: &Known) -> Problem {
    let at = known.checked_in_at.map(|at| At::new(known.time_zone, at));
    Problem::from(Code::AlreadyCheckedIn)
        .and("order_id", serde_json::json!(known.id))
        .and("checked_in_at", serde_json::json!(at))
}

/// Checks in, with what else its way of doing so writes: that comes first, because it says more
/// clearly what was wrong.
async fn check_in(
    ctx: &Ctx,
    staff: Staff,
    known: Known,
    how: &str,
    statements: Vec<Statement>,
) -> Answer<Json<OrderAnswer>> {
    let (id, actor) = (&known.id, &Actor::Staff(staff.id));
    match write(ctx, &known, how, actor, &statements).await {
        // A technician has accepted or begun at the same moment.
        Err(problem) if problem.code() == Code::OrderChanged => {
            order::anew(|| async {
                let known = read(ctx, id, None).await?.ok_or(Code::NotFound)?;
                write(ctx, &known, how, actor, &statements).await
            })
            .await?;
        }
        done => done?,
    }
    Ok(Json(OrderAnswer { order: order::detail_view(ctx, id).await? }))
}

async fn write(
    ctx: &Ctx,
    known: &Known,
    how: &str,
    actor: &Actor,
    besides: &[Statement],
) -> Answer<()> {
    if known.checked_in_at.is_some() {
        return Err(already(known));
    }
    let attended = Event::Attended { now: ctx.now, start_at: known.start_at };
    apply(known.status, attended).map_err(refused)?;
    let event_id = ctx.new_id()?;
    let how = serde_json::json!({ "by": how });
    let mut statements = besides.to_vec();
    statements.extend(queries::check_in(&known.id, known.version, ctx.now));
    statements.push(order::queries::insert_event(
        &event_id,
        &known.id,
        ctx.now,
        "checked_in",
        actor,
        &how,
    ));
    ctx.db()?.batch(statements).await?;
    Ok(())
}

/// Whom to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindToday {
    #[param(inline)]
    store_id: Id,
    /// The phone's last digits, four upwards.
    #[param(inline, pattern = "^[0-9]{4,11}$")]
    phone: Text<4, 11>,
}

/// Today's appointments of a phone.
#[derive(Serialize, ToSchema)]
pub struct FoundToday {
    /// By start; fifty at most.
    items: Vec<Found>,
}

/// An appointment of today.
#[derive(Serialize, ToSchema)]
pub struct Found {
    /// The order.
    order_id: Id,
    /// Its status.
    status: String,
    /// The customer's name, as far as known.
    customer: String,
    /// With its middle hidden: `138****0000`.
    phone: String,
    /// The service's name; of a visit of several, the names of all, by start.
    service_name: Option<String>,
    /// The technician's name; of a visit of several, the names of all, by start.
    technician_name: Option<String>,
    /// When it starts.
    start_at: At,
    /// When the customer checked in.
    checked_in_at: Option<At>,
}

#[derive(Deserialize)]
struct FoundRow {
    order_id: Id,
    status: String,
    customer: String,
    phone: String,
    service_name: Option<String>,
    technician_name: Option<String>,
    start_at: i64,
    checked_in_at: Option<i64>,
}

/// Find today's appointments by phone
///
/// Of the store's date; a technician finds their own.
#[utoipa::path(
    get, path = "/api/v1/staff/check-ins", tag = "visits", operation_id = "find_to_check_in",
    params(FindToday), responses((status = 200, description = "By start", body = FoundToday)),
)]
pub(crate) async fn find(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<FindToday>,
) -> Answer<Json<FoundToday>> {
    let store_id = &wanted.store_id;
    let technician_id = whose(&staff, store_id)?;
    let digits = wanted.phone.as_str();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::from(Code::WrongType).with("digits").at("phone"));
    }
    let db = ctx.db()?;
    let zone: Option<Zone> = db.first(order::queries::store_zone(store_id)).await?;
    let zone = zone.ok_or_else(|| Problem::from(Code::UnknownStore).at("store_id"))?;
    let today = date_at(zone, ctx.now).and_then(|date| dates_interval(zone, date, 1));
    let today = today.ok_or_else(|| Problem::internal("no date today"))?;
    let day = (today.start.ms(), today.end.ms());
    let rows = db.read(vec![queries::today(store_id, technician_id, digits, day)]).await?;
    let items = rows.all::<FoundRow>(0)?.into_iter().map(|row| Found {
        order_id: row.order_id,
        status: row.status,
        customer: row.customer,
        phone: masked(&row.phone),
        service_name: row.service_name,
        technician_name: row.technician_name,
        start_at: At::new(zone, row.start_at),
        checked_in_at: row.checked_in_at.map(|at| At::new(zone, at)),
    });
    Ok(Json(FoundToday { items: items.collect() }))
}

fn masked(phone: &str) -> String {
    zhundian_providers::phone::Phone::parse(phone).map(|phone| phone.masked()).unwrap_or_default()
}
