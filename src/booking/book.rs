//! Booking an appointment.
//!
//! The customer waits for two D1 batches and one call of a calendar object:
//!
//! 1. **read** (D1): the caller, an answer already stored under the key, the offer;
//! 2. **hold** (calendar): the object decides; a refusal answers 409 with alternatives. A service that
//!    takes a room as well, or a store that has room for so many, is one call more for each;
//! 3. **commit** (D1): the order, its line and event, the stored answer, the projection, the outbox's
//!    `confirm`; and the preconditions under which all that may stand.
//!
//! The confirm goes to the calendar after the response, and by cron if that fails. Whoever vanishes
//! after any step leaves nothing behind: a hold without an order expires, an order without a confirmed
//! claim is confirmed by the outbox, and a retry with the same key finds the same claim and the same
//! answer. When the commit's outcome is unknown the hold is left alone, because the order may stand.

use axum::response::Response;
use chrono::NaiveDate;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::calendar::{ClaimSpec, ClaimState, Refusal};
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::{DepositRule, Part, Price};
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::{Assignment, answer_by};
use zhundian_domain::time::{Interval, Tick, date_at};

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::claim::{self, Commit, Need, NotHeld, Operator, Taken, Terms};
use crate::booking::offer::{Offer, Row, Technician, days_around};
use crate::booking::queries::{self, Asked, Detail};
use crate::booking::visit::{GivenAddress, VisitAddress, Where};
use crate::calendars;
use crate::catalog::fields::Set;
use crate::catalog::ways::AssignBy;
use crate::catalog::{Mode, Place};
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::extras::answers::Intake;
use crate::extras::order::Ordered;
use crate::extras::{self, Extras};
use crate::http::Ctx;
use crate::http::extract::Operation;
use crate::http::fields::{Id, Instant, Name, Note, Phone};
use crate::http::limits::{self, Limiter};
use crate::order;
use crate::order::view::Line;
use crate::outbox::{self, Message};
use crate::{reminder, session, waitlist};

/// How it is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WayToPay)]
pub enum Payment {
    /// Before the visit.
    Online,
    /// At the store.
    AtStore,
}

impl Payment {
    /// How long a time is held until it is paid for or committed, in milliseconds.
    pub(crate) fn hold_ms(self, ctx: &Ctx) -> i64 {
        match self {
            Self::Online => ctx.config().hold_minutes * 60_000,
            Self::AtStore => claim::HOLD_MS,
        }
    }
}

/// Add-ons that are taken with a service at once, at most.
pub const MAX_ADD_ONS: usize = 10;
/// Add-ons that are taken with a service.
pub type AddOnIds = Set<Id, MAX_ADD_ONS>;

/// A member's booking.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberBooking {
    store_id: Id,
    service_id: Id,
    /// Any technician who is free when absent; absent in mode `assigned`.
    technician_id: Option<Id>,
    start_at: Instant,
    /// `direct` or `assigned`.
    mode: Mode,
    payment: Payment,
    /// In the store when absent.
    place: Option<Place>,
    /// One of the member's addresses, for a visit at home.
    address_id: Option<Id>,
    note: Option<Note>,
    /// Add-ons of the service that are taken with it.
    #[serde(default)]
    add_ons: AddOnIds,
    /// Answers to the service's form, when it asks something.
    intake: Option<Intake>,
    /// What is ordered of the store's items.
    #[serde(default)]
    items: Ordered,
}

/// A booking that staff make for a customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffBooking {
    store_id: Id,
    service_id: Id,
    /// Any technician who is free when absent.
    technician_id: Option<Id>,
    start_at: Instant,
    /// `direct`, and `assigned` for one whose technician is found later; `direct` when absent.
    mode: Option<Mode>,
    /// The member, when they are one.
    member_id: Option<Id>,
    /// The customer's name, when they are no member.
    contact_name: Option<Name>,
    /// The customer's phone, when they are no member.
    contact_phone: Option<Phone>,
    /// In the store when absent.
    place: Option<Place>,
    /// One of the member's addresses, for a visit at home.
    address_id: Option<Id>,
    /// Where, for a visit at home elsewhere.
    address: Option<GivenAddress>,
    note: Option<Note>,
    /// Add-ons of the service that are taken with it.
    #[serde(default)]
    add_ons: AddOnIds,
    /// Answers to the service's form; they may be given later.
    intake: Option<Intake>,
    /// What is ordered of the store's items.
    #[serde(default)]
    items: Ordered,
}

/// An order just made or changed.
#[derive(Serialize, ToSchema)]
pub struct OrderAnswer {
    /// The order.
    pub order: order::view::Order,
}

/// Book an appointment
#[utoipa::path(
    post, path = "/api/v1/bookings", tag = "booking", operation_id = "book",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = MemberBooking,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn book_as_member(
    ctx: Ctx,
    member: TokenMember,
    operation: Operation<MemberBooking>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let MemberBooking {
        store_id,
        service_id,
        technician_id,
        start_at,
        mode,
        payment,
        place,
        address_id,
        note,
        add_ons,
        intake,
        items,
    } = operation.body;
    let wish = Wish {
        store_id,
        service_id,
        technician_id,
        start_at,
        mode,
        payment,
        place: Where::of(place, address_id, None)?,
        add_ons: add_ons.0,
        offered: None,
        extras: Extras { intakes: vec![intake], items, may_wait: false },
    };
    let customer = Customer { member_id: Some(member.id.clone()), ..Customer::default() };
    book(&ctx, Booker::Member(member), operator, wish, customer, note.unwrap_or_default()).await
}

/// Book for a customer
#[utoipa::path(
    post, path = "/api/v1/staff/bookings", tag = "booking", operation_id = "staff_book",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = StaffBooking,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn book_as_staff(
    ctx: Ctx,
    staff: Staff,
    operation: Operation<StaffBooking>,
) -> Answer<Response> {
    staff.require(Permission::BookingWrite, &operation.body.store_id)?;
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let StaffBooking {
        store_id,
        service_id,
        technician_id,
        start_at,
        mode,
        member_id,
        contact_name,
        contact_phone,
        place,
        address_id,
        address,
        note,
        add_ons,
        intake,
        items,
    } = operation.body;
    let payment = Payment::AtStore;
    let wish = Wish {
        store_id,
        service_id,
        technician_id,
        start_at,
        mode: mode.unwrap_or(Mode::Direct),
        payment,
        place: Where::of(place, address_id, address)?,
        add_ons: add_ons.0,
        offered: None,
        extras: Extras { intakes: vec![intake], items, may_wait: true },
    };
    let customer = Customer::of_staff(member_id, contact_name, contact_phone);
    book(&ctx, Booker::Staff(staff), operator, wish, customer, note.unwrap_or_default()).await
}

/// Who books.
pub(crate) enum Booker {
    Member(TokenMember),
    Staff(Staff),
}

impl Booker {
    pub(crate) const fn is_staff(&self) -> bool {
        matches!(self, Self::Staff(_))
    }

    /// What is to be read of a member; staff have been read with their session.
    pub(crate) fn check(&self) -> Option<Statement> {
        match self {
            Self::Member(member) => Some(member.check()),
            Self::Staff(_) => None,
        }
    }

    /// Who books; `index` is the statement of [`Booker::check`].
    ///
    /// # Errors
    /// 401 for a member who is none any more.
    pub(crate) fn actor(self, rows: &Rows, index: usize) -> Answer<order::Actor> {
        match self {
            Self::Member(member) => Ok(order::Actor::Member(member.checked(rows, index)?.id)),
            Self::Staff(staff) => Ok(order::Actor::Staff(staff.id)),
        }
    }
}

/// What is wished for.
pub(crate) struct Wish {
    pub store_id: Id,
    pub service_id: Id,
    pub technician_id: Option<Id>,
    pub start_at: Instant,
    pub mode: Mode,
    pub payment: Payment,
    pub place: Where,
    /// What is taken with the service.
    pub add_ons: Vec<Id>,
    /// The place that was held for who waited.
    pub offered: Option<Offered>,
    /// What comes with it.
    pub extras: Extras,
}

/// For whom.
#[derive(Default, Deserialize)]
pub struct Customer {
    #[serde(skip)]
    pub(crate) member_id: Option<Id>,
    /// Their name, as far as known.
    pub name: String,
    /// Their phone, as far as known.
    pub phone: String,
    #[serde(default)]
    pub(crate) no_shows: i64,
}

impl Customer {
    /// The customer whom staff book for: a member, or somebody by name and phone.
    #[must_use]
    pub fn of_staff(member_id: Option<Id>, name: Option<Name>, phone: Option<Phone>) -> Self {
        Self {
            member_id,
            name: name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
            phone: phone.map(|phone| phone.0.as_str().to_owned()).unwrap_or_default(),
            no_shows: 0,
        }
    }

    /// The customer with a member's name and phone, of [`queries::contact_of_member`]'s row `index`.
    ///
    /// # Errors
    /// `unknown_member`.
    pub fn known(self, rows: &Rows, index: usize) -> Answer<Self> {
        if self.member_id.is_none() {
            return Ok(self);
        }
        let known: Option<Self> = rows.first(index)?;
        let known = known.ok_or_else(|| Problem::from(Code::UnknownMember).at("member_id"))?;
        Ok(Self { member_id: self.member_id, ..known })
    }

    /// Whoever did not come before pays before the visit; staff may take a booking all the same.
    ///
    /// # Errors
    /// `prepay_required`.
    pub(crate) fn check_payment(
        &self,
        offer: &Offer,
        payment: Payment,
        by_staff: bool,
    ) -> Answer<()> {
        let pays_later = !by_staff && payment == Payment::AtStore;
        if pays_later && offer.store.prepay_after_no_shows.is_some_and(|n| self.no_shows >= n) {
            return Err(Problem::from(Code::PrepayRequired).at("payment"));
        }
        Ok(())
    }
}

/// A place that somebody who waited was offered: the booking's claims take the place of what is held for
/// them, so that nobody comes between.
pub(crate) struct Offered {
    /// The waitlist's entry.
    pub entry_id: Id,
    /// What is held: claim and calendar of each.
    pub held: Vec<(String, String)>,
}

impl Offered {
    /// Lets the needs take the place of what is held for them.
    pub(crate) fn replace(&self, needs: &mut [Need]) {
        let held = self.held.iter().map(|(claim, calendar)| (calendar.clone(), claim.clone()));
        let mut held: Vec<_> = held.collect();
        for need in needs {
            need.take_over(&mut held);
        }
    }
}

pub(crate) async fn book(
    ctx: &Ctx,
    booker: Booker,
    operator: Operator,
    wish: Wish,
    customer: Customer,
    note: Note,
) -> Answer<Response> {
    let db = ctx.db()?;

    // 1. Read.
    let (from, until) = dates_around(wish.start_at);
    let asked = Asked::Service {
        service_id: &wish.service_id,
        store_id: &wish.store_id,
        technician_id: wish.technician_id.as_ref(),
        home: !matches!(wish.place, Where::Store),
    };
    let mut reads =
        vec![operator.stored(), queries::offer(&asked, from, until, Detail::NamesAndLoads)];
    reads.extend(customer.member_id.as_ref().map(queries::contact_of_member));
    let by_staff = booker.is_staff();
    let member_at = reads.len();
    reads.extend(booker.check());
    let address_at = reads.len();
    if let Where::Known(id) = &wish.place {
        reads.push(queries::address(id, customer.member_id.as_ref()));
    }
    let extras_at = reads.len();
    reads.extend(wish.extras.read(&wish.store_id));
    let rows = db.read(reads).await?;
    let actor = booker.actor(&rows, member_at)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let mut offer = rows.one::<Row>(1)?.into_offer()?;
    offer.add(&wish.add_ons)?;
    let customer = customer.known(&rows, 2)?;
    check_terms(ctx, &offer, &wish, by_staff)?;
    customer.check_payment(&offer, wish.payment, by_staff)?;
    let address: Option<VisitAddress> = match &wish.place {
        Where::Store => None,
        Where::Given(given) => Some(VisitAddress::given(given, &customer.name, &customer.phone)),
        Where::Known(_) => {
            let known = rows.first(address_at)?;
            Some(known.ok_or_else(|| Problem::from(Code::UnknownAddress).at("address_id"))?)
        }
    };
    if let Some(address) = &address {
        offer.visit(address.point()?, true)?;
    }
    let (start, date) = offer.start(ctx.now, wish.start_at, by_staff)?;
    let form = ("intake".to_owned(), offer.intake.as_ref());
    let extras = wish.extras.checked(&rows, extras_at, [form])?;

    // 2. Hold.
    let op = operator.op();
    let mut needs = needs(&offer, &op, start, date, wish.technician_id.is_some())?;
    if let Some(offered) = &wish.offered {
        offered.replace(&mut needs);
    }
    let hold_ms = wish.payment.hold_ms(ctx);
    let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms };
    let taken = match claim::hold_all(ctx, terms, &needs).await? {
        Ok(taken) => taken,
        Err(not_held) if not_held.refusal == Refusal::Released => {
            return Err(Code::OfferExpired.into());
        }
        Err(not_held) => return Err(refusal(ctx, &offer, &not_held, (start, date), by_staff)),
    };
    let technician = offer.attending(&taken.own()?.calendar)?;

    // 3. Commit.
    let line = MadeLine { offer: &offer, technician, taken: &taken, date, guest: None };
    let made = Made {
        ctx,
        lines: &[line],
        mode: wish.mode,
        payment: wish.payment,
        actor: &actor,
        customer: &customer,
        address: address.as_ref(),
        note: &note,
        extras: &extras,
        class: None,
        offered: wish.offered.as_ref(),
    };
    let commit = made.commit()?;
    claim::commit(ctx, &operator, taken.into_held(), commit).await
}

/// The dates that a booking at `start` looks at: a day before, for the caps and alternatives, and two
/// after.
#[must_use]
pub fn dates_around(start: Instant) -> (NaiveDate, NaiveDate) {
    let (Instant::Offset { wall, .. } | Instant::Local(wall)) = start;
    let date = wall.date();
    let from = date.pred_opt().unwrap_or(date);
    (from, from.checked_add_days(chrono::Days::new(3)).unwrap_or(date))
}

fn check_terms(ctx: &Ctx, offer: &Offer, wish: &Wish, by_staff: bool) -> Answer<()> {
    offer.require_open()?;
    offer.require_no_plan()?;
    // The other modes are booked in other ways; staff may book any service for a customer.
    let here = matches!(wish.mode, Mode::Direct | Mode::Assigned);
    let offered = offer.service.modes.contains(&wish.mode) && offer.store.ways.offer(wish.mode);
    if !here || !(by_staff || offered) {
        return Err(Problem::from(Code::ModeNotOffered).at("mode"));
    }
    if wish.mode == Mode::Assigned && wish.technician_id.is_some() {
        return Err(Problem::from(Code::TechnicianByStore).at("technician_id"));
    }
    let place = if matches!(wish.place, Where::Store) { Place::Store } else { Place::Home };
    if !offer.service.places.contains(&place) {
        return Err(Problem::from(Code::PlaceNotOffered).at("place"));
    }
    check_payment(ctx, offer, wish.payment, by_staff)?;
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    Ok(())
}

/// Whether a service may be paid for in this way.
///
/// # Errors
/// `payment_not_offered`.
pub(crate) fn check_payment(
    ctx: &Ctx,
    offer: &Offer,
    payment: Payment,
    by_staff: bool,
) -> Answer<()> {
    // A deposit is paid online; staff may take a booking without one.
    let deposit = !by_staff && offer.service.deposit != DepositRule::None;
    let config = ctx.config();
    let payable = config.wechat_pay.is_some() || config.alipay.is_some();
    if (payment == Payment::Online && !payable) || (payment == Payment::AtStore && deposit) {
        return Err(Problem::from(Code::PaymentNotOffered).at("payment"));
    }
    Ok(())
}

/// The answer to an operation that could not have what it needs.
#[must_use]
pub fn refusal(
    ctx: &Ctx,
    offer: &Offer,
    not_held: &NotHeld,
    (start, date): (Tick, NaiveDate),
    by_staff: bool,
) -> Problem {
    let code = match not_held.refusal {
        Refusal::Taken | Refusal::Released => Code::SlotTaken,
        Refusal::OutsideWorkingTime => Code::OutsideHours,
        Refusal::Malformed => return Problem::internal("a hold of ours was malformed"),
    };
    let code = if offer.is_full(date) { Code::DailyLimitReached } else { code };
    let alternatives = claim::alternatives(ctx, offer, start, by_staff, &not_held.fresh);
    Problem::from(code).at("start_at").and("alternatives", alternatives)
}

/// What a start needs: the technician asked for, or the one who is free and has least to do that day; and
/// one calendar of each pool.
///
/// # Errors
/// A service of no length.
pub fn needs(
    offer: &Offer,
    op: &str,
    start: Tick,
    date: NaiveDate,
    named: bool,
) -> Answer<Vec<Need>> {
    let shape = offer.shape();
    let (service, block) =
        shape.at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
    let (technicians, free) = by_rule(offer, op, start, date);
    let technicians = technicians.into_iter().map(calendars::technician).collect();
    let mut technician = Need::of(technicians, shape.attended(start));
    technician.tries = if named { 1 } else { free };
    technician.homes = offer.homes();
    let mut needs = vec![technician];
    needs.extend(pool_needs(offer, start, (service, block)));
    Ok(needs)
}

/// The technicians, those first who are free by what is known and whom the store's rule prefers; and how
/// many are free. The projection may be a moment old: when it knows of nobody free, somebody may be asked
/// all the same.
#[must_use]
pub fn by_rule<'a>(
    offer: &'a Offer,
    op: &str,
    start: Tick,
    date: NaiveDate,
) -> (Vec<&'a Id>, usize) {
    let rule = offer.store.ways.assign_by;
    let mut order: Vec<_> = offer
        .technicians
        .iter()
        .map(|one| {
            let first = match rule {
                AssignBy::LeastLoaded => 0,
                AssignBy::BestSkill => -offer.price(one).total_fen,
                AssignBy::FairTurn => one.turn_at(),
            };
            // Who comes first among equals differs from one operation to the next, so that many
            // customers at once do not all ask the same technician.
            let busy = !offer.is_free(one, start);
            (busy, first, one.load(date), turn(op, one.id()), one.id())
        })
        .collect();
    order.sort_unstable();
    let free = order.iter().filter(|(busy, ..)| !busy).count();
    (order.into_iter().map(|(.., id)| id).collect(), free)
}

/// One calendar of each pool, for a service at `start`.
pub fn pool_needs(
    offer: &Offer,
    start: Tick,
    (service, block): (Interval, Interval),
) -> impl Iterator<Item = Need> {
    let around = days_around(block);
    offer.pools.iter().map(move |pool| {
        let (calendars, free) = pool.by_freedom(offer.shape(), start, around);
        let mut need = Need::of(calendars, vec![(service, block)]);
        need.tries = free;
        need
    })
}

fn turn(op: &str, technician: &Id) -> u64 {
    // FNV-1a: spreads, and that is all that is asked of it.
    op.bytes().chain(technician.as_str().bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// An order about to be made. A booking is a visit of one line.
pub(crate) struct Made<'a> {
    pub ctx: &'a Ctx,
    /// At least one, that which begins first in front.
    pub lines: &'a [MadeLine<'a>],
    pub mode: Mode,
    pub payment: Payment,
    pub actor: &'a order::Actor,
    pub customer: &'a Customer,
    /// Where it is, unless in the store.
    pub address: Option<&'a VisitAddress>,
    pub note: &'a Note,
    pub extras: &'a extras::Checked,
    /// The session in which it is seats, when it is a class.
    pub class: Option<&'a session::Seats<'a>>,
    pub offered: Option<&'a Offered>,
}

/// One line of it, with what was taken for it.
pub(crate) struct MadeLine<'a> {
    pub offer: &'a Offer,
    pub technician: &'a Technician,
    pub taken: &'a Taken,
    pub date: NaiveDate,
    /// For whom, when it is somebody else than the one who books.
    pub guest: Option<&'a str>,
}

impl<'a> MadeLine<'a> {
    fn spec(&self) -> Answer<&'a ClaimSpec> {
        Ok(&self.taken.own()?.claim.spec)
    }

    fn price(&self, made: &Made) -> Answer<Price> {
        let price = match made.mode {
            Mode::Assigned => self.offer.price_of_any(),
            _ => self.offer.price(self.technician).times(made.class.map_or(1, |class| class.seats)),
        };
        Ok(if made.lines.len() > 1 { price.of_line(&self.spec()?.id) } else { price })
    }

    /// The line as it is written; the clock of an answer begins when the order is paid.
    fn written(&self, made: &Made, waits: bool) -> Answer<queries::Line<'a>> {
        let spec = self.spec()?;
        let (assignment, minutes) = made.assignment(self.offer);
        let answer_by = minutes
            .filter(|_| !waits)
            .map(|minutes| answer_by(made.ctx.now, minutes, spec.service.start.ms()));
        let mut line =
            line(self.offer, self.technician.id(), spec, self.date, (assignment, answer_by));
        if made.class.is_some() {
            line.end_at = spec.service.end.ms();
        }
        line.guest = self.guest;
        if !self.offer.add_ons().is_empty() {
            let json = serde_json::to_string(self.offer.add_ons()).map_err(Problem::internal)?;
            line.add_ons = Some(json);
        }
        Ok(line)
    }
}

impl Made<'_> {
    pub fn commit(&self) -> Answer<Commit> {
        let Self { ctx, class, .. } = *self;
        let first = self.lines.first().ok_or_else(|| Problem::internal("an order of no lines"))?;
        let offer = first.offer;
        let prices =
            self.lines.iter().map(|line| line.price(self)).collect::<Answer<Vec<Price>>>()?;
        let price = Price::of(prices.iter().flat_map(|price| price.parts.clone()).collect())
            .with_items(self.extras.items());
        let parts = serde_json::to_string(&price.parts).map_err(Problem::internal)?;
        let tiers = offer.service.cancellation();
        let cancellation = serde_json::to_string(&tiers).map_err(Problem::internal)?;
        let order_id = ctx.new_id()?;
        let due_fen = self.due_fen(&prices);
        let status = apply(Status::Created, Event::Placed { due_fen }).map_err(order::refused)?;
        let waits = status == Status::PendingPayment;
        let notice = self.lines.iter().map(|line| line.offer.service.change_notice_minutes).max();
        let order = queries::Order {
            id: &order_id,
            member_id: self.customer.member_id.as_ref(),
            mode: self.mode.as_str(),
            status,
            payment: match self.payment {
                Payment::Online => "online",
                Payment::AtStore => "at_store",
            },
            total_fen: price.total_fen,
            due_fen,
            hold_expires_at: if waits { Some(self.held_until()?) } else { None },
            price_parts: &parts,
            cancellation: &cancellation,
            change_notice_minutes: notice.unwrap_or_default(),
            contact_name: &self.customer.name,
            contact_phone: &self.customer.phone,
            note: self.note.as_str(),
            address: self.address,
            now: ctx.now,
        };
        let lines = self
            .lines
            .iter()
            .map(|line| line.written(self, waits))
            .collect::<Answer<Vec<queries::Line>>>()?;
        let line = lines.first().ok_or_else(|| Problem::internal("an order of no lines"))?;
        let response = self.answer(&order, &lines, &prices, (price.parts, &tiers))?;
        // What is to be paid first is confirmed when it is.
        let mut rows = Vec::new();
        if !waits {
            let order_id = Some(order_id.clone());
            let claims = self.lines.iter().flat_map(|line| line.taken.claims()).collect();
            rows.push(outbox::Row::new(ctx, Message::Confirm { claims, order_id, paid: false })?);
        }
        let detail = serde_json::json!({
            "start_at": line.start_at, "technician_id": line.technician_id, "lines": lines.len(),
        });
        let event_id = ctx.new_id()?;
        let mut statements = Vec::new();
        for (index, (made, line)) in self.lines.iter().zip(&lines).enumerate() {
            let line_id = line.claim_id;
            // A line counts those before it: it is looked at when they are written.
            statements.push(match class {
                Some(class) => class.stand(line, order.member_id),
                None => queries::appointment_stands(
                    line,
                    line_id,
                    made.offer.service.max_per_day,
                    order.member_id,
                ),
            });
            if index == 0 {
                statements.push(queries::insert_order(&order, line));
            }
            let price_fen = prices.get(index).map_or(0, |price| price.total_fen);
            statements.push(queries::insert_line(&order_id, price_fen, line, line_id));
            statements.extend(made.taken.insert_besides(&order_id, line_id, line.store_id)?);
            if made.offer.store.ways.assign_by == AssignBy::FairTurn && class.is_none() {
                statements.push(queries::take_turn(made.technician.id(), ctx.now));
            }
        }
        statements.push(order::queries::insert_event(
            &event_id, &order_id, ctx.now, "booked", self.actor, &detail,
        ));
        if let (order::Actor::Member(member_id), Payment::AtStore) = (self.actor, self.payment)
            && offer.store.prepay_after_no_shows.is_some()
        {
            statements.push(queries::may_pay_later(member_id, &offer.store.id));
        }
        statements.extend(class.map(|class| class.seat(line.claim_id)));
        if let Some(offered) = self.offered {
            statements.extend(waitlist::queries::booked(&offered.entry_id, &order_id, ctx.now));
        }
        let line_ids: Vec<&str> = lines.iter().map(|line| line.claim_id).collect();
        statements.extend(self.extras.insert(&order_id, &line_ids, self.actor, ctx.now)?);
        let change = if waits { Change::AwaitingPayment } else { Change::Booked };
        let starts: Vec<i64> = lines.iter().map(|line| line.start_at).collect();
        let appointment = reminder::Appointment {
            order_id: &order_id,
            start_at: line.start_at,
            zone: offer.store.time_zone,
            leads: &offer.reminder_minutes,
            lines: if starts.len() > 1 { &starts } else { &[] },
        };
        statements.extend(reminder::follow(ctx, change, &appointment, self.actor, ctx.now)?);
        Ok(Commit { statements, rows, status: StatusCode::CREATED, response })
    }

    /// The answer that tells of it.
    fn answer(
        &self,
        order: &queries::Order,
        lines: &[queries::Line],
        prices: &[Price],
        (parts, tiers): (Vec<Part>, &Tiers),
    ) -> Answer<String> {
        let mut shown = Vec::new();
        for ((made, line), price) in self.lines.iter().zip(lines).zip(prices) {
            let id = line.claim_id.parse().map_err(|()| Problem::internal("a claim's id"))?;
            let resources = made.taken.resources(made.offer);
            let (offer, name) = (made.offer, &made.technician.1);
            shown.push(Line::made(line, id, offer, name, resources, price.total_fen));
        }
        let (Some(first), Some(made)) = (lines.first(), self.lines.first()) else {
            return Err(Problem::internal("an order of no lines"));
        };
        let mut view = order::view::Order::made(order, first, made.offer, shown, parts, tiers);
        if let Some(class) = self.class {
            view.seated(&class.session.id, class.seats);
        }
        if matches!(self.actor, order::Actor::Member(_)) {
            view = view.for_member();
        }
        serde_json::to_string(&OrderAnswer { order: view }).map_err(Problem::internal)
    }

    /// Until when all of it is held for payment. A retry that finds the holds of an earlier run must not
    /// promise more time than they have.
    fn held_until(&self) -> Answer<i64> {
        let mut until = i64::MAX;
        for line in self.lines {
            until = until.min(match line.taken.own()?.claim.state {
                ClaimState::Held { expires_at } => expires_at,
                _ => self.ctx.now,
            });
        }
        Ok(until)
    }

    /// What must be paid before the visit: the deposits, or all of it when the customer wants to pay online
    /// for what could be paid at the store.
    fn due_fen(&self, prices: &[Price]) -> i64 {
        let rules = || self.lines.iter().map(|line| line.offer.service.deposit);
        // What is ordered with it goes by the rule of the first.
        let ordered = std::iter::once(self.extras.items_fen()).chain(std::iter::repeat(0));
        let fen = prices.iter().zip(ordered).map(|(price, items_fen)| price.total_fen + items_fen);
        match self.payment {
            Payment::AtStore => 0,
            Payment::Online if rules().all(|rule| rule == DepositRule::None) => fen.sum(),
            Payment::Online => rules().zip(fen).map(|(rule, fen)| rule.of(fen)).sum(),
        }
    }

    /// Whose a line is, and how many minutes they have to accept it.
    fn assignment(&self, offer: &Offer) -> (Assignment, Option<i64>) {
        let ways = &offer.store.ways;
        match (self.mode, self.actor, ways.accept_within_minutes) {
            (Mode::Assigned, ..) if !ways.assign_at_once => (Assignment::Provisional, None),
            (Mode::Direct, order::Actor::Member(_), Some(minutes)) => {
                (Assignment::Asked, Some(minutes.get()))
            }
            _ => (Assignment::Assigned, None),
        }
    }
}

/// The line of a claim.
#[must_use]
pub fn line<'a>(
    offer: &'a Offer,
    technician_id: &'a Id,
    spec: &'a ClaimSpec,
    date: NaiveDate,
    (assignment, answer_by): (Assignment, Option<i64>),
) -> queries::Line<'a> {
    let start_at = spec.service.start.ms();
    // With processing time the claim ends before the service does.
    let end =
        offer.shape().at(spec.service.start).map_or(spec.service.end, |(service, _)| service.end);
    queries::Line {
        service_id: &offer.service.id,
        store_id: &offer.store.id,
        technician_id,
        claim_id: &spec.id,
        start_at,
        end_at: end.ms(),
        block_start: spec.block.start.ms(),
        block_end: spec.block.end.ms(),
        home: spec.home.as_deref().and_then(|home| serde_json::to_string(home).ok()),
        date: date_at(offer.store.time_zone, start_at).unwrap_or(date),
        assignment,
        answer_by,
        add_ons: None,
        guest: None,
    }
}
