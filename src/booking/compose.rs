//! Visits of several services: one after the other or at the same time, by one technician or several, for one
//! guest or several. It is the saga of [`super::book`], with claims for each line: one order, one payment,
//! and all of the claims or none.

use axum::response::Response;
use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::composition::{Begins, MAX_LINES, MAX_VISIT_TICKS, lay_out};
use zhundian_domain::time::{Interval, TICK_MINUTES, TICKS_PER_DAY, Tick, dates_interval};
use zhundian_durable_objects::calls::ProjectedDay;

use crate::auth::caller::{Staff, TokenMember};
use crate::auth::permission::Permission;
use crate::booking::book::{
    AddOnIds, Booker, Customer, Made, MadeLine, OrderAnswer, Payment, check_payment, dates_around,
};
use crate::booking::claim::{self, MAX_ALTERNATIVES, Need, Operator, Taken, Terms};
use crate::booking::offer::{Offer, Row, resolve};
use crate::booking::party::{self, Crowd, Plan, Seeker, Seen};
use crate::booking::queries::{self, Asked, Detail};
use crate::calendars;
use crate::catalog::{Mode, Place};
use crate::d1::{Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::extras::Extras;
use crate::extras::answers::Intake;
use crate::extras::order::Ordered;
use crate::http::extract::{Body, Operation};
use crate::http::fields::{At, Date, Id, Instant, Int, List, Name, Note, Phone};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};

/// How often others are asked when somebody was quicker.
const MAX_ROUNDS: usize = 3;
/// Starts that one answer tells, at most.
const MAX_STARTS: usize = 300;

/// When a line of a visit begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// When the line before it has ended, and all that run together with that one.
    AfterPrevious,
    /// With the line before it.
    WithPrevious,
}

/// A line of a visit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitLine {
    service_id: Id,
    /// Any technician who is free when absent.
    technician_id: Option<Id>,
    /// `after_previous` when absent; of no account for the first line.
    starts: Option<Starts>,
    /// For whom, when it is somebody else than the one who books.
    guest: Option<Name>,
    /// Add-ons of the service that are taken with it.
    #[serde(default)]
    add_ons: AddOnIds,
    /// Answers to the service's form, when it asks something; of no account where only times are looked for.
    intake: Option<Intake>,
}

/// One to six.
type Lines = List<VisitLine, MAX_LINES>;

/// A member's visit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberVisit {
    store_id: Id,
    /// When the first line begins.
    start_at: Instant,
    payment: Payment,
    note: Option<Note>,
    /// What is ordered of the store's items.
    #[serde(default)]
    items: Ordered,
    /// One to six.
    lines: Lines,
}

/// A visit that staff book for a customer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffVisit {
    store_id: Id,
    /// When the first line begins.
    start_at: Instant,
    /// The member, when they are one.
    member_id: Option<Id>,
    /// The customer's name, when they are no member.
    contact_name: Option<Name>,
    /// The customer's phone, when they are no member.
    contact_phone: Option<Phone>,
    note: Option<Note>,
    /// What is ordered of the store's items.
    #[serde(default)]
    items: Ordered,
    /// One to six.
    lines: Lines,
}

/// Book a visit of several services
///
/// One order, in the store; all of it is taken or nothing. When it cannot be, up to five starts at which it
/// could are told, each with the technicians of its lines.
#[utoipa::path(
    post, path = "/api/v1/visits", tag = "booking", operation_id = "book_visit",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = MemberVisit,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn visit_as_member(
    ctx: Ctx,
    member: TokenMember,
    operation: Operation<MemberVisit>,
) -> Answer<Response> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let operator = Operator::new(format!("member:{}", member.id), &operation);
    let MemberVisit { store_id, start_at, payment, note, items, lines } = operation.body;
    let mut lines = lines.0;
    let extras = extras(&mut lines, items, false);
    let wish = Wish { store_id, start_at, payment, extras, lines };
    let customer = Customer { member_id: Some(member.id.clone()), ..Customer::default() };
    book(&ctx, Booker::Member(member), operator, wish, customer, note.unwrap_or_default()).await
}

/// Book a visit of several services for a customer
#[utoipa::path(
    post, path = "/api/v1/staff/visits", tag = "booking", operation_id = "staff_book_visit",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = StaffVisit,
    responses((status = 201, description = "Booked", body = OrderAnswer)),
)]
pub(crate) async fn visit_as_staff(
    ctx: Ctx,
    staff: Staff,
    operation: Operation<StaffVisit>,
) -> Answer<Response> {
    staff.require(Permission::BookingWrite, &operation.body.store_id)?;
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let StaffVisit {
        store_id,
        start_at,
        member_id,
        contact_name,
        contact_phone,
        note,
        items,
        lines,
    } = operation.body;
    let payment = Payment::AtStore;
    let mut lines = lines.0;
    let extras = extras(&mut lines, items, true);
    let wish = Wish { store_id, start_at, payment, extras, lines };
    let customer = Customer::of_staff(member_id, contact_name, contact_phone);
    book(&ctx, Booker::Staff(staff), operator, wish, customer, note.unwrap_or_default()).await
}

/// What comes with a visit: the answers are taken from its lines.
fn extras(lines: &mut [VisitLine], items: Ordered, may_wait: bool) -> Extras {
    let intakes = lines.iter_mut().map(|line| line.intake.take()).collect();
    Extras { intakes, items, may_wait }
}

/// What is wished for.
struct Wish {
    store_id: Id,
    start_at: Instant,
    payment: Payment,
    extras: Extras,
    lines: Vec<VisitLine>,
}

/// The statements that read what a visit's lines need: an offer for each distinct service, and the crowds.
struct Reads {
    services: Vec<Id>,
    /// The first statement's place in the batch.
    first: usize,
}

impl Reads {
    fn push(
        reads: &mut Vec<Statement>,
        store_id: &Id,
        lines: &[VisitLine],
        (from, until): (NaiveDate, NaiveDate),
        detail: Detail,
    ) -> Answer<Self> {
        if lines.is_empty() {
            let range = format!("1..{MAX_LINES}");
            return Err(Problem::from(Code::OutOfRange).with(range).at("lines"));
        }
        let mut services: Vec<Id> = Vec::new();
        for line in lines {
            if !services.contains(&line.service_id) {
                services.push(line.service_id.clone());
            }
        }
        let first = reads.len();
        for service_id in &services {
            let asked = Asked::Service { service_id, store_id, technician_id: None, home: false };
            reads.push(queries::offer(&asked, from, until, detail));
        }
        reads.push(party::crowds(store_id, (from, until)));
        Ok(Self { services, first })
    }

    /// The lines with their offers, checked by themselves, and against each other.
    fn found(&self, rows: &Rows, lines: &[VisitLine]) -> Answer<Found> {
        let mut offers = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let at = |problem: Problem, field: &str| problem.at(format!("lines[{index}].{field}"));
            let read = self.services.iter().position(|id| *id == line.service_id);
            let row: Row = rows.one(self.first + read.unwrap_or_default())?;
            let mut offer = row.into_offer().map_err(|problem| match problem.code() {
                Code::UnknownStore => problem,
                _ => at(problem, "service_id"),
            })?;
            offer.add(&line.add_ons.0).map_err(|problem| at(problem, "add_ons"))?;
            offer.require_no_plan().map_err(|problem| at(problem, "service_id"))?;
            if !offer.service.places.contains(&Place::Store) {
                return Err(at(Code::PlaceNotOffered.into(), "service_id"));
            }
            let by = line.technician_id.as_ref();
            if !offer.technicians.iter().any(|one| by.is_none_or(|id| one.id() == id)) {
                return Err(at(Code::TechnicianNotOffered.into(), "technician_id"));
            }
            offers.push(offer);
        }
        let begins: Vec<Begins> = lines
            .iter()
            .map(|line| match line.starts {
                Some(Starts::WithPrevious) => Begins::WithPrevious,
                _ => Begins::AfterPrevious,
            })
            .collect();
        let ticks = offers.iter().map(|offer| offer.shape().service);
        let pieces: Vec<(Begins, i64)> = begins.iter().copied().zip(ticks).collect();
        let offsets = lay_out(&pieces);
        let mut ends = Vec::new();
        for (offset, (_, ticks)) in offsets.iter().zip(&pieces) {
            ends.push(offset + ticks);
        }
        if ends.iter().any(|end| *end > MAX_VISIT_TICKS) {
            let most = MAX_VISIT_TICKS * TICK_MINUTES;
            return Err(Problem::from(Code::VisitTooLong).with(most).at("lines"));
        }
        for (index, line) in lines.iter().enumerate() {
            let begins = offsets.get(index);
            let named = line.technician_id.as_ref();
            let mut earlier = lines.iter().zip(&ends).take(index);
            let twice = earlier.any(|(other, end)| {
                other.technician_id.as_ref() == named && begins.is_some_and(|at| at < end)
            });
            if named.is_some() && twice {
                let field = format!("lines[{index}].technician_id");
                return Err(Problem::from(Code::TechnicianTwice).at(field));
            }
        }
        let crowds = rows.one(self.first + self.services.len())?;
        Ok(Found { offers, begins, offsets, crowds })
    }
}

/// The lines of a visit with all that decides when they can be.
struct Found {
    offers: Vec<Offer>,
    begins: Vec<Begins>,
    /// From the start of the visit on, in ticks.
    offsets: Vec<i64>,
    crowds: Vec<Crowd>,
}

impl Found {
    fn seekers<'a>(&'a self, lines: &'a [VisitLine]) -> Vec<Seeker<'a>> {
        let all = lines.iter().zip(&self.offers).zip(&self.begins);
        all.map(|((line, offer), begins)| Seeker {
            offer,
            begins: *begins,
            guest: line.guest.as_ref().map(Name::as_str),
            technician_id: line.technician_id.as_ref(),
            own: &[],
        })
        .collect()
    }

    fn first(&self) -> Answer<&Offer> {
        self.offers.first().ok_or_else(|| Problem::internal("a visit of no lines"))
    }

    fn starts(&self, start: Tick) -> Vec<Tick> {
        self.offsets.iter().map(|offset| start.plus(*offset)).collect()
    }

    /// Starts near one at which the whole visit could be.
    fn alternatives(
        &self,
        (seekers, seen): (&[Seeker<'_>], Seen<'_>),
        start: Tick,
    ) -> Answer<serde_json::Value> {
        let zone = self.first()?.store.time_zone;
        let around = Interval::new(start.plus(-TICKS_PER_DAY / 2), start.plus(TICKS_PER_DAY));
        let Some(range) = around else { return Ok(serde_json::Value::Array(Vec::new())) };
        let plan = Plan::over(seekers, range, seen);
        let mut found = plan.starts(range, usize::MAX);
        found.retain(|(at, _)| *at != start);
        found.sort_by_key(|(at, _)| (at.since(start).abs(), *at));
        let found = found.into_iter().take(MAX_ALTERNATIVES).map(|(at, technicians)| {
            serde_json::json!({ "start_at": At::new(zone, at.ms()), "technician_ids": technicians })
        });
        Ok(found.collect())
    }
}

async fn book(
    ctx: &Ctx,
    booker: Booker,
    operator: Operator,
    wish: Wish,
    customer: Customer,
    note: Note,
) -> Answer<Response> {
    // 1. Read.
    let mut reads = vec![operator.stored()];
    let dates = dates_around(wish.start_at);
    let read = Reads::push(&mut reads, &wish.store_id, &wish.lines, dates, Detail::NamesAndLoads)?;
    let contact_at = reads.len();
    reads.extend(customer.member_id.as_ref().map(queries::contact_of_member));
    let member_at = reads.len();
    let by_staff = booker.is_staff();
    reads.extend(booker.check());
    let extras_at = reads.len();
    reads.extend(wish.extras.read(&wish.store_id));
    let rows = ctx.db()?.read(reads).await?;
    let actor = booker.actor(&rows, member_at)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let found = read.found(&rows, &wish.lines)?;
    let customer = customer.known(&rows, contact_at)?;
    let offer = found.first()?;
    let start = resolve(offer.store.time_zone, wish.start_at)
        .map_err(|code| Problem::from(code).at("start_at"))?;
    let starts = found.starts(start);
    let dates = check(ctx, &found, &wish, &customer, (&starts, by_staff))?;
    let forms = found.offers.iter().enumerate();
    let forms = forms.map(|(at, offer)| (format!("lines[{at}].intake"), offer.intake.as_ref()));
    let extras = wish.extras.checked(&rows, extras_at, forms)?;

    // 2. Hold.
    let op = operator.op();
    let hold_ms = wish.payment.hold_ms(ctx);
    let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms };
    let seekers = found.seekers(&wish.lines);
    let taken = hold(ctx, terms, (&found, &seekers), &starts, by_staff).await?;

    // 3. Commit.
    let mut lines = Vec::new();
    for (((seeker, taken), date), line) in seekers.iter().zip(&taken).zip(dates).zip(&wish.lines) {
        let technician = seeker.offer.attending(&taken.own()?.calendar)?;
        let guest = line.guest.as_ref().map(Name::as_str);
        lines.push(MadeLine { offer: seeker.offer, technician, taken, date, guest });
    }
    let made = Made {
        ctx,
        lines: &lines,
        mode: Mode::Direct,
        payment: wish.payment,
        actor: &actor,
        customer: &customer,
        address: None,
        note: &note,
        extras: &extras,
        class: None,
        offered: None,
    };
    let commit = made.commit()?;
    let held = taken.into_iter().flat_map(Taken::into_held).collect();
    claim::commit(ctx, &operator, held, commit).await
}

/// Whether each line may be booked so at its start; the dates of the lines.
fn check(
    ctx: &Ctx,
    found: &Found,
    wish: &Wish,
    customer: &Customer,
    (starts, by_staff): (&[Tick], bool),
) -> Answer<Vec<NaiveDate>> {
    let mut dates = Vec::new();
    for (index, (offer, start)) in found.offers.iter().zip(starts).enumerate() {
        offer.require_open()?;
        let offered =
            offer.service.modes.contains(&Mode::Direct) && offer.store.ways.offer(Mode::Direct);
        if !by_staff && !offered {
            let field = format!("lines[{index}].service_id");
            return Err(Problem::from(Code::ModeNotOffered).at(field));
        }
        check_payment(ctx, offer, wish.payment, by_staff)?;
        customer.check_payment(offer, wish.payment, by_staff)?;
        let date = offer.check_start(ctx.now, *start, by_staff)?;
        if offer.is_full(date) {
            return Err(Problem::from(Code::DailyLimitReached).at("start_at"));
        }
        dates.push(date);
    }
    Ok(dates)
}

/// Holds what all lines need. When somebody was quicker, others are asked, as long as there are any.
async fn hold(
    ctx: &Ctx,
    terms: Terms<'_>,
    (found, seekers): (&Found, &[Seeker<'_>]),
    starts: &[Tick],
    by_staff: bool,
) -> Answer<Vec<Taken>> {
    let mut fresh: Vec<(String, Vec<ProjectedDay>)> = Vec::new();
    let mut rounds = 0;
    loop {
        let crowds = &found.crowds;
        let seen = Seen { now: ctx.now, by_staff, crowds, fresh: &fresh };
        let plan = Plan::at(seekers, starts, terms.op, seen)?;
        let needs = plan.needs(starts).filter(|_| rounds < MAX_ROUNDS);
        let Some(needs) = needs else {
            let start = starts.first().copied().ok_or_else(|| Problem::internal("no lines"))?;
            let alternatives = found.alternatives((seekers, seen), start)?;
            keep(ctx, fresh).await;
            let problem = Problem::from(Code::SlotTaken).at("start_at");
            return Err(problem.and("alternatives", alternatives));
        };
        let counts: Vec<usize> = needs.iter().map(Vec::len).collect();
        let all: Vec<Need> = needs.into_iter().flatten().collect();
        match claim::hold_all_or_return(ctx, terms, &all).await? {
            Ok(taken) => {
                keep(ctx, fresh).await;
                return Ok(taken.split(&counts));
            }
            Err(not_held) if not_held.refusal == Refusal::Malformed => {
                return Err(Problem::internal("a hold of ours was malformed"));
            }
            Err(not_held) => fresh.extend(not_held.fresh),
        }
        rounds += 1;
    }
}

/// Writes what calendars have said of days that were given back; the objects would repeat it.
async fn keep(ctx: &Ctx, fresh: Vec<(String, Vec<ProjectedDay>)>) {
    if fresh.is_empty() {
        return;
    }
    let work = ctx.clone();
    ctx.after_response(async move {
        let statements: Answer<Vec<Statement>> =
            fresh.iter().map(|(calendar, days)| calendars::write_days(calendar, days)).collect();
        if let Ok(statements) = statements
            && let Ok(db) = work.db()
            && let Err(error) = db.batch(statements).await
        {
            worker::console_warn!("{}", serde_json::json!({
                "event": "projection_put_off", "request_id": work.request_id, "error": format!("{error:?}"),
            }));
        }
    })
    .await;
}

/// Which starts of a visit to look for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WantedVisit {
    store_id: Id,
    /// First date, on the store's clock.
    from: Date,
    /// How many dates.
    days: Int<1, 7>,
    /// One to six.
    lines: Lines,
}

/// Starts of a visit.
#[derive(Serialize, ToSchema)]
pub struct VisitStarts {
    /// In order; the earliest 300 when there are more.
    starts: Vec<VisitStart>,
}

/// A start at which all lines of a visit can be served.
#[derive(Serialize, ToSchema)]
pub struct VisitStart {
    /// When the first line begins.
    start_at: At,
    /// Who could do each line then, in their order.
    technician_ids: Vec<Id>,
}

/// Free starts of a visit of several services
///
/// What is offered here, booking accepts, if nothing changed between (I7).
#[utoipa::path(
    post, path = "/api/v1/visits/availability", tag = "booking", operation_id = "visit_availability",
    request_body = WantedVisit,
    responses((status = 200, description = "Free starts", body = VisitStarts)),
)]
pub(crate) async fn availability(
    ctx: Ctx,
    Body(wanted): Body<WantedVisit>,
) -> Answer<Json<VisitStarts>> {
    let days = u32::try_from(wanted.days.get()).unwrap_or(1);
    let from = wanted.from.0;
    // The last of a day's visits may end on the next.
    let until = from.checked_add_days(Days::new(u64::from(days) + 1)).unwrap_or(from);
    let mut reads = Vec::new();
    let lines = &wanted.lines.0;
    let read = Reads::push(&mut reads, &wanted.store_id, lines, (from, until), Detail::Starts)?;
    let rows = ctx.db()?.read(reads).await?;
    let found = read.found(&rows, lines)?;
    let offer = found.first()?;
    let zone = offer.store.time_zone;
    let range = dates_interval(zone, from, days)
        .ok_or_else(|| Problem::from(Code::InvalidDate).at("from"))?;
    let seekers = found.seekers(lines);
    let seen = Seen { now: ctx.now, by_staff: false, crowds: &found.crowds, fresh: &[] };
    let starts = if offer.is_open() {
        Plan::over(&seekers, range, seen).starts(range, MAX_STARTS)
    } else {
        Vec::new()
    };
    let starts = starts.into_iter().map(|(start, technician_ids)| VisitStart {
        start_at: At::new(zone, start.ms()),
        technician_ids,
    });
    Ok(Json(VisitStarts { starts: starts.collect() }))
}
