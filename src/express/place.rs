//! The customer says what they wish for, and when.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::availability::MAX_DAYS_AHEAD;
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::Part;
use zhundian_domain::staffing::answer_by;
use zhundian_domain::time::DAY_MS;
use zhundian_domain::zone::Zone;

use crate::auth::caller::TokenMember;
use crate::booking::book::{Customer, OrderAnswer, Payment};
use crate::booking::claim::{self, Commit, Operator};
use crate::booking::offer::resolve;
use crate::booking::queries as booking;
use crate::catalog::Place;
use crate::catalog::ways::Ways;
use crate::error::{Answer, Code, Problem};
use crate::express::queries;
use crate::http::Ctx;
use crate::http::extract::Operation;
use crate::http::fields::{Id, Instant, Note, Text};
use crate::http::limits::{self, Limiter};
use crate::order;

/// A wish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpressBooking {
    store_id: Id,
    /// Of what kind the service is to be.
    category: Text<1, 32>,
    wishes: Option<Note>,
    /// In the store when absent.
    place: Option<Place>,
    /// The earliest start.
    from: Instant,
    /// Before when it is to start, at most a day later.
    until: Instant,
    payment: Payment,
}

#[derive(Deserialize)]
struct Store {
    name: String,
    time_zone: Zone,
    open: bool,
    ways: Ways,
}

/// Book by a wish
///
/// The store's deposit is due; then staff make a proposal, which the customer accepts or not. Without one
/// in time, or without an answer to it, everything goes back by itself.
#[utoipa::path(
    post, path = "/api/v1/express-bookings", tag = "booking", operation_id = "book_express",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = ExpressBooking,
    responses((status = 201, description = "Placed", body = OrderAnswer)),
)]
pub(crate) async fn place(
    ctx: Ctx,
    member: TokenMember,
    operation: Operation<ExpressBooking>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let wish = operation.body;
    let reads = vec![
        operator.stored(),
        queries::store(&wish.store_id),
        booking::contact_of_member(&member.id),
        member.check(),
    ];
    let rows = ctx.db()?.read(reads).await?;
    let member_id = member.checked(&rows, 3)?.id;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let unknown = || Problem::from(Code::UnknownStore).at("store_id");
    let store: Store = rows.first(1)?.ok_or_else(unknown)?;
    let customer: Customer = rows.one(2)?;
    let express = store
        .ways
        .express()
        .ok_or_else(|| Problem::from(Code::ExpressNotOffered).at("store_id"))?;
    if !store.open {
        return Err(Code::StoreClosed.into());
    }
    if wish.place == Some(Place::Home) {
        return Err(Problem::from(Code::PlaceNotOffered).at("place"));
    }
    let deposit_fen = express.deposit_fen.get();
    payable(&ctx, wish.payment, deposit_fen)?;
    let (from_at, until_at) = range(&ctx, store.time_zone, &wish)?;

    let status =
        apply(Status::Created, Event::Placed { due_fen: deposit_fen }).map_err(order::refused)?;
    let waits = status == Status::PendingPayment;
    let parts = vec![Part::new("deposit", deposit_fen)];
    let price_parts = serde_json::to_string(&parts).map_err(Problem::internal)?;
    // As long as there is no appointment, all of it comes back.
    let tiers = Tiers::default();
    let cancellation = serde_json::to_string(&tiers).map_err(Problem::internal)?;
    let order_id = ctx.new_id()?;
    let order = booking::Order {
        address: None,
        id: &order_id,
        member_id: Some(&member_id),
        mode: "express",
        status,
        payment: if waits { "online" } else { "at_store" },
        total_fen: deposit_fen,
        due_fen: deposit_fen,
        hold_expires_at: waits.then(|| ctx.now + ctx.config().hold_minutes * 60_000),
        price_parts: &price_parts,
        cancellation: &cancellation,
        change_notice_minutes: 0,
        contact_name: &customer.name,
        contact_phone: &customer.phone,
        note: wish.wishes.as_ref().map_or("", Note::as_str),
        now: ctx.now,
    };
    let minutes = (express.propose_within_minutes.get(), express.answer_within_minutes.get());
    let due_at = (!waits).then(|| answer_by(ctx.now, minutes.0, until_at));
    let wished = queries::Wish {
        store_id: &wish.store_id,
        category: wish.category.as_str(),
        from_at,
        until_at,
        due_at,
        minutes,
    };
    let of = (store.name.as_str(), store.time_zone);
    let view = order::view::Order::wished(&order, &wished, of, parts, &tiers);
    let response =
        serde_json::to_string(&OrderAnswer { order: view }).map_err(Problem::internal)?;
    let mut statements: Vec<_> = queries::insert(&order, &wished).into();
    let detail = serde_json::json!({ "from": from_at, "until": until_at });
    let (event_id, actor) = (ctx.new_id()?, order::Actor::Member(member_id.clone()));
    statements.push(order::queries::insert_event(
        &event_id, &order_id, ctx.now, "booked", &actor, &detail,
    ));
    let commit = Commit { statements, rows: Vec::new(), status: StatusCode::CREATED, response };
    claim::commit(&ctx, &operator, Vec::new(), commit).await
}

/// A deposit is paid online.
fn payable(ctx: &Ctx, payment: Payment, deposit_fen: i64) -> Answer<()> {
    let config = ctx.config();
    let somehow = config.wechat_pay.is_some() || config.alipay.is_some();
    if deposit_fen > 0 && (payment == Payment::AtStore || !somehow) {
        return Err(Problem::from(Code::PaymentNotOffered).at("payment"));
    }
    Ok(())
}

/// From when to when, UTC milliseconds.
fn range(ctx: &Ctx, zone: Zone, wish: &ExpressBooking) -> Answer<(i64, i64)> {
    let at = |field: &'static str, instant| {
        resolve(zone, instant).map_err(|code| Problem::from(code).at(field))
    };
    let (from, until) = (at("from", wish.from)?.ms(), at("until", wish.until)?.ms());
    if from <= ctx.now {
        return Err(Problem::from(Code::StartInPast).at("from"));
    }
    if from > ctx.now + MAX_DAYS_AHEAD * DAY_MS {
        return Err(Problem::from(Code::StartTooFar).at("from"));
    }
    if until <= from || until > from + DAY_MS {
        return Err(Problem::from(Code::InvalidRange).at("until"));
    }
    Ok((from, until))
}
