//! Taking seats in a session: the booking saga of [`crate::booking::book`], with the session's calendar in
//! place of a technician's.

use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::time::date_at;
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::book::{
    Booker, Customer, Made, MadeLine, Offered, OrderAnswer, Payment, check_payment,
};
use crate::booking::claim::{self, Operator, Terms};
use crate::booking::offer;
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::catalog::Mode;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::extras;
use crate::http::Ctx;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Name, Note, Phone};
use crate::http::limits::{self, Limiter};
use crate::session::{self, Row, SeatCount, queries};

/// A member's booking of seats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeatBooking {
    /// How many.
    seats: SeatCount,
    payment: Payment,
    note: Option<Note>,
}

/// A booking of seats that staff make for a customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffSeatBooking {
    /// How many.
    seats: SeatCount,
    /// The member, when they are one.
    member_id: Option<Id>,
    /// The customer's name, when they are no member.
    contact_name: Option<Name>,
    /// The customer's phone, when they are no member.
    contact_phone: Option<Phone>,
    note: Option<Note>,
}

/// Seats in a session about to be booked.
pub struct Seats<'a> {
    /// The session.
    pub session: &'a Row,
    /// How many.
    pub seats: u16,
    /// Whether they were held for somebody who waited.
    pub waited: bool,
}

impl Seats<'_> {
    /// What must still hold when they are booked.
    #[must_use]
    pub fn stand(&self, line: &booking::Line, member_id: Option<&Id>) -> Statement {
        let session = (&self.session.id, self.session.version);
        queries::seats_stand(session, self.seats, self.waited, line, member_id)
    }

    /// Makes the line seats in the session.
    #[must_use]
    pub fn seat(&self, line_id: &str) -> Statement {
        queries::seat(line_id, &self.session.id, self.seats)
    }
}

/// Book seats in a class
#[utoipa::path(
    post, path = "/api/v1/sessions/{id}/bookings", tag = "classes", operation_id = "book_seats",
    params(
        ("id" = Id, Path, description = "The session"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = SeatBooking,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn book_as_member(
    ctx: Ctx,
    member: TokenMember,
    PathId(id): PathId,
    operation: Operation<SeatBooking>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let SeatBooking { seats, payment, note } = operation.body;
    let customer = Customer { member_id: Some(member.id.clone()), ..Customer::default() };
    let wish = Wish { session_id: id, seats, payment, offered: None };
    book(&ctx, Booker::Member(member), operator, wish, customer, note.unwrap_or_default()).await
}

/// Book seats in a class for a customer
#[utoipa::path(
    post, path = "/api/v1/staff/sessions/{id}/bookings", tag = "classes", operation_id = "staff_book_seats",
    params(
        ("id" = Id, Path, description = "The session"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = StaffSeatBooking,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn book_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    operation: Operation<StaffSeatBooking>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let StaffSeatBooking { seats, member_id, contact_name, contact_phone, note } = operation.body;
    let customer = Customer::of_staff(member_id, contact_name, contact_phone);
    let wish = Wish { session_id: id, seats, payment: Payment::AtStore, offered: None };
    book(&ctx, Booker::Staff(staff), operator, wish, customer, note.unwrap_or_default()).await
}

/// Which seats.
pub(crate) struct Wish {
    pub session_id: Id,
    pub seats: SeatCount,
    pub payment: Payment,
    /// Those that were held for who waited.
    pub offered: Option<Offered>,
}

pub(crate) async fn book(
    ctx: &Ctx,
    booker: Booker,
    operator: Operator,
    wish: Wish,
    customer: Customer,
    note: Note,
) -> Answer<Response> {
    // 1. Read.
    let today = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
    let asked = Asked::Session { session_id: &wish.session_id };
    let mut reads = vec![
        operator.stored(),
        queries::session(&wish.session_id, ctx.now),
        booking::offer(&asked, today, today, Detail::Names),
    ];
    reads.extend(customer.member_id.as_ref().map(booking::contact_of_member));
    let by_staff = booker.is_staff();
    reads.extend(booker.check());
    let rows = ctx.db()?.read(reads).await?;
    let session: Option<Row> = rows.first(1)?;
    if let (Booker::Staff(staff), Some(session)) = (&booker, &session) {
        staff.require(Permission::BookingWrite, &session.store_id)?;
    }
    let actor = booker.actor(&rows, 4)?;
    let session = session.ok_or_else(|| Problem::from(Code::NotFound))?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    session.require_bookable(ctx.now, wish.seats.get())?;
    let offer = rows.one::<offer::Row>(2)?.into_offer()?;
    let customer = customer.known(&rows, 3)?;
    offer.require_open()?;
    let offered = offer.service.modes.contains(&Mode::Group) && offer.store.ways.offer(Mode::Group);
    if !by_staff && !offered {
        return Err(Code::ModeNotOffered.into());
    }
    check_payment(ctx, &offer, wish.payment, by_staff)?;
    customer.check_payment(&offer, wish.payment, by_staff)?;
    let technician = offer.technicians.first().ok_or(Code::TechnicianNotOffered)?;
    // Whom a place was offered has been asked late by us.
    if wish.offered.is_none() {
        session::require_notice(&offer, ctx.now, session.interval()?.start, by_staff)?;
        if session.is_waited_for(wish.seats.get()) {
            return Err(Code::SessionFull.into());
        }
    }

    // 2. Hold.
    let op = operator.op();
    let seats = u16::try_from(wish.seats.get()).unwrap_or(u16::MAX);
    let mut need = session::seats_need(&session, seats)?;
    if let Some(offered) = &wish.offered {
        offered.replace(std::slice::from_mut(&mut need));
    }
    let hold_ms = wish.payment.hold_ms(ctx);
    let terms = Terms { op: &op, store_id: &session.store_id, hold_ms };
    let taken = session::hold_seats(ctx, terms, need).await?;

    // 3. Commit.
    let class = Seats { session: &session, seats, waited: wish.offered.is_some() };
    let line =
        MadeLine { offer: &offer, technician, taken: &taken, date: session.date, guest: None };
    let made = Made {
        address: None,
        ctx,
        lines: &[line],
        mode: Mode::Group,
        payment: wish.payment,
        actor: &actor,
        customer: &customer,
        note: &note,
        extras: &extras::Checked::default(),
        class: Some(&class),
        offered: wish.offered.as_ref(),
    };
    let commit = made.commit()?;
    claim::commit(ctx, &operator, taken.into_held(), commit).await
}
