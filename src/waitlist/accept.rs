//! Booking what was offered to somebody who waited: the usual saga, by claims that take the place of what
//! is held for them.

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::caller::TokenMember;
use crate::booking::book::{self, Booker, Customer, Offered, OrderAnswer, Payment};
use crate::booking::claim::Operator;
use crate::booking::visit::Where;
use crate::catalog::Mode;
use crate::error::{Answer, Code};
use crate::extras::Extras;
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Instant, Note};
use crate::http::limits::{self, Limiter};
use crate::session::{self, SeatCount};
use crate::waitlist::join::Row;
use crate::waitlist::queries;

/// How what was offered is booked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptOffer {
    payment: Payment,
    note: Option<Note>,
}

/// Book what was offered
#[utoipa::path(
    post, path = "/api/v1/waitlist/{id}/bookings", tag = "booking", operation_id = "accept_offer",
    params(
        ("id" = Id, Path, description = "The entry"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = AcceptOffer,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn accept(
    ctx: Ctx,
    member: TokenMember,
    PathId(id): PathId,
    operation: Operation<AcceptOffer>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let rows = ctx.db()?.read(vec![queries::entry(&id), member.check()]).await?;
    let owner = member.clone().checked(&rows, 1)?.id;
    let entry: Option<Row> = rows.first(0)?;
    let entry = entry.filter(|entry| entry.member_id == owner).ok_or(Code::NotFound)?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let AcceptOffer { payment, note } = operation.body;
    let note = note.unwrap_or_default();
    // Once booked, a retry finds the answer that was stored.
    if !matches!(entry.status.as_str(), "offered" | "booked") {
        return Err(Code::OfferExpired.into());
    }
    let offer = entry.offer.ok_or(Code::OfferExpired)?;
    let offered = Some(Offered { entry_id: entry.id, held: offer.held });
    let customer = Customer { member_id: Some(member.id.clone()), ..Customer::default() };
    let booker = Booker::Member(member);
    if let Some(session_id) = entry.session_id {
        let seats = SeatCount::new(entry.seats).ok_or(Code::Internal)?;
        let wish = session::book::Wish { session_id, seats, payment, offered };
        return session::book::book(&ctx, booker, operator, wish, customer, note).await;
    }
    let start_at = offer.start_at;
    let at = chrono::DateTime::from_timestamp_millis(start_at).ok_or(Code::Internal)?;
    let wish = book::Wish {
        add_ons: Vec::new(),
        store_id: entry.store_id,
        service_id: entry.service_id,
        technician_id: offer.technician_id,
        start_at: Instant::Offset { ms: start_at, wall: at.naive_utc(), offset_seconds: None },
        mode: Mode::Direct,
        payment,
        place: Where::Store,
        offered,
        // Whoever waited may answer later: the place is held for minutes.
        extras: Extras { may_wait: true, ..Extras::default() },
    };
    book::book(&ctx, booker, operator, wish, customer, note).await
}
