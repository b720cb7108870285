//! What moving an appointment, assigning it to another technician and handing it on have in common: the
//! new claims are held beside the old ones, the commit moves the line from these to those, and the confirm
//! that follows releases the old ones in the same step. What fails anywhere leaves everything as it was.

use axum::response::Response;
use chrono::NaiveDate;
use http::StatusCode;
use serde::Deserialize;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::{Part, Price};
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::{Assignment, USUAL_WAIT_MINUTES, answer_by};
use zhundian_domain::time::{Interval, Tick, date_at};

use crate::booking::book::{self, OrderAnswer};
use crate::booking::claim::{self, Commit, Need, NotHeld, Operator, Terms};
use crate::booking::offer::{Offer, Row};
use crate::booking::queries::{self, Asked, Detail};
use crate::booking::visit::VisitAddress;
use crate::calendars;
use crate::catalog::ways::AssignBy;
use crate::catalog::{AddOn, Mode};
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::fields::{Id, Instant};
use crate::order;
use crate::outbox::{self, Message};
use crate::reminder;

/// An order's line that is to be moved, with what decides it.
#[derive(Deserialize)]
pub struct ToMove {
    /// The member, when the customer is one.
    pub member_id: Option<Id>,
    /// The store.
    pub store_id: Id,
    /// The order's state.
    pub status: Status,
    /// The order's version.
    pub version: i64,
    /// Least minutes before the start for the member to move it; how often they have; how often they may,
    /// `None` for no limit.
    changes: (i64, i64, Option<i64>),
    /// In whose calendar it stands.
    pub technician_id: Id,
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// How the order was booked.
    pub mode: String,
    /// How far it has come to its technician.
    pub assignment: Assignment,
    /// Until when an answer is waited for, UTC milliseconds.
    pub answer_by: Option<i64>,
    /// Who have declined it.
    pub declined_by: Vec<Id>,
    /// The service.
    pub service_id: Id,
    /// The session in which it is seats, when it is a class; and how many.
    pub class: (Option<Id>, u16),
    /// The line itself, among those of its order.
    pub line: OfVisit,
    /// Its claims.
    pub claims: Vec<OwnClaim>,
    /// Where it takes place, when not in the store.
    pub address: Option<VisitAddress>,
}

/// A line among those of its order.
#[derive(Deserialize)]
pub struct OfVisit {
    /// Its id.
    pub id: Id,
    /// Its end, UTC milliseconds.
    pub end_at: i64,
    /// For whom, when it is somebody else than the one who booked.
    pub guest: Option<String>,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it was done.
    pub finished_at: Option<i64>,
    /// The other live lines: start, end, for whom.
    pub others: Vec<(i64, i64, Option<String>)>,
}

impl OfVisit {
    /// When the first of the other lines begins, UTC milliseconds; far ahead when there are none.
    fn others_start(&self) -> i64 {
        self.others.iter().map(|(start, ..)| *start).min().unwrap_or(i64::MAX)
    }
}

/// Calendar, id, and from when until when it takes time, UTC milliseconds.
pub type OwnClaim = (String, String, i64, i64);

/// Calendar and id of claims that are to be released.
#[must_use]
pub fn named(claims: &[OwnClaim]) -> Vec<(String, String)> {
    claims.iter().map(|(calendar, id, ..)| (calendar.clone(), id.clone())).collect()
}

impl ToMove {
    /// Whether it may go to another technician at its time: its order is confirmed, or another line of the
    /// visit has begun and this one has not.
    #[must_use]
    pub fn may_change_hands(&self) -> bool {
        let OfVisit { started_at, finished_at, others, .. } = &self.line;
        let waits = started_at.is_none() && finished_at.is_none() && !others.is_empty();
        self.status == Status::Confirmed || (self.status == Status::InService && waits)
    }

    /// Whether somebody may move it now.
    ///
    /// # Errors
    /// `order_not_changeable`, `too_late`, `too_many_moves`.
    pub fn check(&self, now: i64, by: &order::Actor) -> Answer<()> {
        let Self { start_at, changes: (notice_minutes, moves, max_moves), .. } = *self;
        let event = match by {
            order::Actor::Member(_) => {
                Event::MovedByMember { now, start_at, notice_minutes, moves, max_moves }
            }
            _ => Event::MovedByStaff,
        };
        apply(self.status, event).map(drop).map_err(order::refused)
    }

    /// Makes an offer one at the customer's home, when the order is.
    ///
    /// # Errors
    /// As [`Offer::visit`].
    pub fn visit(&self, offer: &mut Offer) -> Answer<()> {
        if let Some(address) = &self.address {
            offer.visit(address.point()?, false)?;
        }
        Ok(())
    }

    /// Its start on the grid.
    ///
    /// # Errors
    /// A row that does not fit.
    pub fn start(&self) -> Answer<Tick> {
        Tick::from_ms(self.start_at).ok_or_else(|| Problem::internal("a line off the grid"))
    }
}

/// A move that has been decided: of one line, or of all of an order's lines at once.
pub struct Move<'a> {
    /// The order.
    pub order_id: &'a Id,
    /// The lines, that which begins first in front.
    pub lines: &'a [LineMove<'a>],
    /// Who moves it.
    pub actor: &'a order::Actor,
    /// The event's kind.
    pub event: &'static str,
    /// What is taken with the service of its one line besides what was, when the line is not moved but
    /// lengthened.
    pub more: Option<&'a [AddOn]>,
}

/// Where a line is moved to.
pub struct LineMove<'a> {
    /// The line as it was read.
    pub known: &'a ToMove,
    /// What there is of its service and store, with the technicians asked for.
    pub offer: &'a Offer,
    /// What it needs there: see [`needs`].
    pub needs: Vec<Need>,
    /// The date of it.
    pub date: NaiveDate,
    /// How far it has come to its technician then, and how many minutes an answer is waited for.
    pub assignment: (Assignment, Option<i64>),
}

/// How an assignment goes on in a store where technicians accept their orders, or do not.
#[must_use]
pub fn to_accept(offer: &Offer) -> (Assignment, Option<i64>) {
    match offer.store.ways.accept_within_minutes {
        Some(minutes) => (Assignment::Asked, Some(minutes.get())),
        None => (Assignment::Assigned, None),
    }
}

/// How many minutes whoever can do it has to grab it.
#[must_use]
pub fn wait_minutes(offer: &Offer) -> i64 {
    offer.store.ways.accept_within_minutes.map_or(USUAL_WAIT_MINUTES, crate::http::fields::Int::get)
}

impl Move<'_> {
    /// Holds the new time and commits the move; or says why the calendars refuse it, and nothing has
    /// changed.
    ///
    /// # Errors
    /// `moves_to_session` when it is seats; `order_changed` when it is not as it was read; what
    /// [`claim::commit`] answers; 503.
    pub async fn make(&self, ctx: &Ctx, operator: &Operator) -> Answer<Result<Response, NotHeld>> {
        self.make_as(ctx, operator, &operator.op()).await
    }

    /// As [`Move::make`], with another id for its holds: of an operation that was decided before, on an order
    /// that has changed since.
    ///
    /// # Errors
    /// As there.
    pub async fn make_as(
        &self,
        ctx: &Ctx,
        operator: &Operator,
        op: &str,
    ) -> Answer<Result<Response, NotHeld>> {
        let Self { order_id, lines, actor, more, .. } = *self;
        let first = lines.first().ok_or_else(|| Problem::internal("a move of no lines"))?;
        // Seats are the session's, and so is who holds it.
        if lines.iter().any(|line| line.known.class.0.is_some()) {
            return Err(Problem::from(Code::MovesToSession).at("line_id"));
        }
        let terms = Terms { op, store_id: &first.offer.store.id, hold_ms: claim::HOLD_MS };
        let needs: Vec<Need> = lines.iter().flat_map(|line| line.needs.clone()).collect();
        let taken = match claim::hold_all(ctx, terms, &needs).await? {
            Ok(taken) => taken,
            Err(not_held) => return Ok(Err(not_held)),
        };
        let claims = taken.claims();
        // The confirm releases the claims that its own replace. A hold of an earlier run of this
        // operation may replace one that the order has left since.
        let replaced: Vec<_> = claims.iter().flat_map(|one| &one.spec.replaces).cloned().collect();
        let left = lines.iter().flat_map(|line| named(&line.known.claims));
        let left = left.filter(|(_, id)| !replaced.contains(id)).collect();
        let order = Some(order_id.clone());
        let confirm = Message::Confirm { claims, order_id: order, paid: false };
        let mut rows = vec![outbox::Row::new(ctx, confirm)?];
        rows.extend(outbox::releases(ctx, left)?);
        let mut view = order::detail_view(ctx, order_id).await?;
        let by_member = matches!(actor, order::Actor::Member(_));
        let counts: Vec<usize> = lines.iter().map(|line| line.needs.len()).collect();
        let parts = taken.split(&counts);
        let mut starts = Vec::new();
        for taken in &parts {
            starts.push(taken.own()?.claim.spec.service.start.ms());
        }
        let stays = lines.iter().zip(&starts).all(|(line, start)| line.known.start_at == *start);
        let (version, status) = (first.known.version, first.known.status);
        let mut statements =
            vec![queries::order_stands(order_id, version, status == Status::InService)];
        let mut start_at = i64::MAX;
        let mut told = Vec::new();
        for (line, taken) in lines.iter().zip(&parts) {
            let (known, offer) = (line.known, line.offer);
            let technician = offer.attending(&taken.own()?.calendar)?;
            let spec = &taken.own()?.claim.spec;
            let (assignment, minutes) = line.assignment;
            let by = match more {
                Some(_) => known.answer_by,
                None => minutes.map(|minutes| answer_by(ctx.now, minutes, spec.service.start.ms())),
            };
            let to = book::line(offer, technician.id(), spec, line.date, (assignment, by));
            let line_id = &known.line.id;
            // A line counts those before it: it is looked at when they have moved.
            let most = offer.service.max_per_day;
            statements.push(queries::appointment_stands(&to, line_id.as_str(), most, None));
            statements.extend(queries::move_line(line_id, &to));
            statements.extend(taken.insert_besides(order_id, line_id.as_str(), to.store_id)?);
            if offer.store.ways.assign_by == AssignBy::FairTurn {
                statements.push(queries::take_turn(technician.id(), ctx.now));
            }
            // Of a visit that is moved as a whole, the others move too.
            let others = if lines.len() == 1 { known.line.others_start() } else { i64::MAX };
            start_at = start_at.min(to.start_at).min(others);
            view.line_is(line_id, &to, &technician.1, &taken.resources(offer));
            if more.is_none() {
                statements.push(queries::line_moved(line_id));
                told.extend(self.told(ctx, line, technician.id(), (to.start_at, &starts))?);
            }
        }
        statements.push(queries::lines_changed(order_id, ctx.now));
        let known = first.known;
        let own = parts.first().ok_or_else(|| Problem::internal("no hold"))?.own()?;
        let detail = serde_json::json!({
            "from": known.start_at, "from_technician_id": known.technician_id,
            "start_at": own.claim.spec.service.start.ms(),
            "technician_id": first.offer.attending(&own.calendar)?.id(),
            "line_id": known.line.id, "add_ons": more,
        });
        if let Some(more) = more {
            let line_id = &known.line.id;
            let several = !known.line.others.is_empty();
            let parts = extension_parts(more, several.then_some(line_id));
            let fen = more.iter().map(|one| one.price_fen).sum();
            let json = |list: Result<String, _>| list.map_err(Problem::internal);
            let add_ons = json(serde_json::to_string(more))?;
            let price = json(serde_json::to_string(&parts))?;
            let line = (order_id, line_id);
            statements.extend(queries::extend_line(line, (&add_ons, &price), fen));
            view.extended(line_id, more, parts);
        } else {
            statements.push(queries::moved(order_id, by_member, stays));
            let ids: Vec<&Id> = lines.iter().map(|line| &line.known.line.id).collect();
            view.moved(&ids, start_at, by_member, stays);
        }
        let response = text(view, actor)?;
        let event_id = ctx.new_id()?;
        statements.push(order::queries::insert_event(
            &event_id, order_id, ctx.now, self.event, actor, &detail,
        ));
        statements.extend(told);
        let held = parts.into_iter().flat_map(claim::Taken::into_held).collect();
        let commit = Commit { statements, rows, status: StatusCode::OK, response };
        claim::commit(ctx, operator, held, commit).await.map(Ok)
    }

    /// What customer and technicians are told of a line's move. When all lines move, one message tells of the
    /// order: of its first line.
    fn told(
        &self,
        ctx: &Ctx,
        line: &LineMove,
        technician_id: &Id,
        (start_at, starts): (i64, &[i64]),
    ) -> Answer<Vec<Statement>> {
        let (order_id, known, offer) = (self.order_id, line.known, line.offer);
        let same_technician = *technician_id == known.technician_id;
        let mut told = Vec::new();
        if self.lines.first().is_some_and(|first| first.known.line.id == known.line.id) {
            // At the same time another technician is something only to a customer who chose the one of before.
            let chose = !same_technician && known.mode == Mode::Direct.as_str();
            let change = if start_at == known.start_at && !chose {
                Change::Reassigned
            } else {
                Change::Moved { same_technician }
            };
            let appointment = reminder::Appointment {
                order_id,
                start_at,
                zone: offer.store.time_zone,
                leads: &offer.reminder_minutes,
                lines: if starts.len() > 1 { starts } else { &[] },
            };
            told.extend(if self.lines.len() > 1 || known.line.others.is_empty() {
                reminder::follow(ctx, change, &appointment, self.actor, ctx.now)?
            } else {
                reminder::follow_line(ctx, change, &known.line.id, &appointment, self.actor)?
            });
        }
        let knew = matches!(known.assignment, Assignment::Assigned | Assignment::Asked);
        if !same_technician && knew {
            let (former, left_at) = (&known.technician_id, known.start_at);
            told.extend(reminder::left(ctx, &known.line.id, former, left_at)?);
        }
        Ok(told)
    }
}

/// What add-ons cost, as parts of an order's price: of a line when it has several.
fn extension_parts(more: &[AddOn], line_id: Option<&Id>) -> Vec<Part> {
    let price = Price::of(more.iter().map(|one| Part::add_on(&one.name, one.price_fen)).collect());
    line_id.map_or_else(|| price.clone(), |id| price.clone().of_line(id.as_str())).parts
}

/// What a line needs at a start, in place of what it has in the same calendars: `technicians` would do, the
/// best first, and so many of them are free by what is known.
///
/// # Errors
/// A service of no length.
pub fn needs(
    known: &ToMove,
    offer: &Offer,
    (technicians, free): (Vec<&Id>, usize),
    start: Tick,
) -> Answer<Vec<Need>> {
    let shape = offer.shape();
    let intervals = shape.at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
    let technicians = technicians.into_iter().map(calendars::technician).collect();
    let mut technician = Need::of(technicians, shape.attended(start));
    technician.tries = free;
    technician.homes = offer.homes();
    let mut needs = vec![technician];
    needs.extend(book::pool_needs(offer, start, intervals));
    for need in &mut needs {
        replace(need, &known.claims);
    }
    Ok(needs)
}

/// Lets a need take the place of claims that the line has in its calendars: those are asked first, because
/// they count as taken by themselves.
pub fn replace(need: &mut Need, claims: &[OwnClaim]) {
    let own = |calendar: &String| claims.iter().any(|(of, ..)| of == calendar);
    need.tries += need.calendars.iter().filter(|calendar| own(calendar)).count();
    need.calendars.sort_by_key(|calendar| !own(calendar));
    need.replaces = named(claims);
}

/// The answer that tells of an order, to whom it is told.
///
/// # Errors
/// None in practice.
pub fn text(mut order: order::view::Order, to: &order::Actor) -> Answer<String> {
    if matches!(to, order::Actor::Member(_)) {
        order = order.for_member();
    }
    serde_json::to_string(&OrderAnswer { order }).map_err(Problem::internal)
}

/// What reading an order's line has found.
///
/// # Errors
/// 404.
pub fn found(known: Option<ToMove>) -> Answer<ToMove> {
    known.ok_or_else(|| Code::NotFound.into())
}

/// A line with the offer of whoever can do it.
pub struct Found {
    /// The line.
    pub known: ToMove,
    /// What there is of its service and store at its start.
    pub offer: Offer,
    /// Its start.
    pub start: Tick,
    /// The date of it.
    pub date: NaiveDate,
}

impl Found {
    /// The line's move to the first of these technicians who is free, all of whom are by what is known, at its
    /// time.
    ///
    /// # Errors
    /// None in practice.
    pub fn to(
        &self,
        technicians: Vec<&Id>,
        assignment: (Assignment, Option<i64>),
    ) -> Answer<LineMove<'_>> {
        let Self { known, offer, start, date } = self;
        let free = technicians.len();
        let mut needs = needs(known, offer, (technicians, free), *start)?;
        let mut kept = named(&known.claims);
        for need in needs.iter_mut().skip(1) {
            keep(need, &mut kept, &known.claims);
        }
        Ok(LineMove { known, offer, needs, date: *date, assignment })
    }
}

/// Leaves what a line has besides its technician where it is and as it is: a visit's lines may lie closer to
/// each other than either would to a stranger's.
fn keep(need: &mut Need, own: &mut Vec<(String, String)>, claims: &[OwnClaim]) {
    if !need.take_over(own) {
        return;
    }
    for ((_, block), (_, its)) in need.parts.iter_mut().zip(&need.replaces) {
        let kept = claims.iter().find(|(_, id, ..)| id == its);
        let kept = kept.and_then(|(_, _, from, until)| {
            Interval::new(Tick::from_ms(*from)?, Tick::from_ms(*until)?)
        });
        *block = kept.unwrap_or(*block);
    }
}

/// Reads a line's offer at its start, with one technician or with anyone.
///
/// # Errors
/// 503; the service's or the store's end.
pub async fn offer_of(
    ctx: &Ctx,
    line_id: &Id,
    known: ToMove,
    technician_id: Option<&Id>,
) -> Answer<Found> {
    let utc = chrono::DateTime::from_timestamp_millis(known.start_at)
        .ok_or_else(|| Problem::internal("a line beyond the calendar"))?;
    let at = Instant::Offset { ms: known.start_at, wall: utc.naive_utc(), offset_seconds: None };
    let (from, until) = book::dates_around(at);
    let asked = match technician_id {
        Some(_) => Asked::Line { line_id, technician_id },
        None => Asked::Anyone { line_id },
    };
    let row: Option<Row> =
        ctx.db()?.first(queries::offer(&asked, from, until, Detail::NamesAndLoads)).await?;
    let mut offer = row.ok_or_else(|| Problem::internal("no offer row"))?.into_offer()?;
    known.visit(&mut offer)?;
    let start = known.start()?;
    let date = date_at(offer.store.time_zone, start.ms())
        .ok_or_else(|| Problem::internal("a line beyond the calendar"))?;
    Ok(Found { known, offer, start, date })
}
