//! What moving an appointment, assigning it to another technician and handing it on have in common: the
//! new claims are held beside the old ones, the commit moves the line from these to those, and the confirm
//! that follows releases the old ones in the same step. What fails anywhere leaves everything as it was.

use axum::response::Response;
use chrono::NaiveDate;
use http::StatusCode;
use serde::Deserialize;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::reminder::Change;
use zhundian_domain::staffing::{Assignment, USUAL_WAIT_MINUTES, answer_by};
use zhundian_domain::time::{Tick, date_at};

use crate::booking::book::{self, OrderAnswer, line};
use crate::booking::claim::{self, Commit, Need, NotHeld, Operator, Terms};
use crate::booking::offer::{Offer, Row};
use crate::booking::queries::{self, Asked, Detail};
use crate::booking::visit::VisitAddress;
use crate::calendars;
use crate::catalog::Mode;
use crate::catalog::ways::AssignBy;
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
    /// Least minutes before the start for the member to move it.
    pub change_notice_minutes: i64,
    /// In whose calendar it stands.
    pub technician_id: Id,
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// How often the member has moved it.
    pub moves: i64,
    /// How often they may; `None` for no limit.
    pub max_moves: Option<i64>,
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
    /// Calendar and id of each, the line's own first in its calendar.
    pub claims: Vec<(String, String)>,
    /// Where it takes place, when not in the store.
    pub address: Option<VisitAddress>,
}

impl ToMove {
    /// Whether somebody may move it now.
    ///
    /// # Errors
    /// `order_not_changeable`, `too_late`, `too_many_moves`.
    pub fn check(&self, now: i64, by: &order::Actor) -> Answer<()> {
        let Self { start_at, change_notice_minutes: notice_minutes, moves, max_moves, .. } = *self;
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

/// A move that has been decided.
pub struct Move<'a> {
    /// The order.
    pub order_id: &'a Id,
    /// The line.
    pub line_id: &'a Id,
    /// As it was read.
    pub known: &'a ToMove,
    /// What there is of its service and store, with the technicians asked for.
    pub offer: &'a Offer,
    /// Who would do, the best first; and how many of them are free by what is known.
    pub technicians: (Vec<&'a Id>, usize),
    /// The new start, and its date.
    pub to: (Tick, NaiveDate),
    /// Who moves it.
    pub actor: &'a order::Actor,
    /// The event's kind.
    pub event: &'static str,
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
        let Self { order_id, line_id, known, offer, .. } = *self;
        // Seats are the session's, and so is who holds it.
        if known.class.0.is_some() {
            return Err(Problem::from(Code::MovesToSession).at("line_id"));
        }
        let op = operator.op();
        let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms: claim::HOLD_MS };
        let taken = match claim::hold_all(ctx, terms, &self.needs()?).await? {
            Ok(taken) => taken,
            Err(not_held) => return Ok(Err(not_held)),
        };
        let technician = offer.attending(&taken.own()?.calendar)?;
        let spec = taken.own()?.claim.spec.clone();
        let (assignment, minutes) = self.assignment;
        let by = minutes.map(|minutes| answer_by(ctx.now, minutes, spec.service.start.ms()));
        let to = line(offer, technician.id(), &spec, self.to.1, (assignment, by));
        let claims = taken.claims();
        // The confirm releases the claims that its own replace. A hold of an earlier run of this
        // operation may replace one that the order has left since.
        let replaced: Vec<_> = claims.iter().filter_map(|one| one.spec.replaces.clone()).collect();
        let left = known.claims.iter().filter(|(_, id)| !replaced.contains(id)).cloned().collect();
        let order = Some(order_id.clone());
        let confirm = Message::Confirm { claims, order_id: order, paid: false };
        let mut rows = vec![outbox::Row::new(ctx, confirm)?];
        rows.extend(outbox::releases(ctx, left)?);
        let mut view = order::detail_view(ctx, order_id).await?;
        let resources = taken.resources(offer);
        let (zone, by_member) =
            (offer.store.time_zone, matches!(self.actor, order::Actor::Member(_)));
        view.moved(line_id, &to, &technician.1, &resources, zone, by_member);
        let response = text(view, self.actor)?;
        let detail = serde_json::json!({
            "from": known.start_at, "from_technician_id": known.technician_id,
            "start_at": to.start_at, "technician_id": to.technician_id,
        });
        let mut statements = vec![queries::appointment_stands(
            &to,
            line_id.as_str(),
            offer.service.max_per_day,
            None,
        )];
        statements.extend(queries::move_line(order_id, known.version, line_id, &to, ctx.now));
        statements.extend(taken.insert_besides(order_id, line_id.as_str(), to.store_id)?);
        statements.extend(queries::moved(order_id, line_id, by_member));
        let event_id = ctx.new_id()?;
        statements.push(order::queries::insert_event(
            &event_id, order_id, ctx.now, self.event, self.actor, &detail,
        ));
        if offer.store.ways.assign_by == AssignBy::FairTurn {
            statements.push(queries::take_turn(technician.id(), ctx.now));
        }
        statements.extend(self.told(ctx, technician.id(), spec.service.start.ms())?);
        let commit = Commit { statements, rows, status: StatusCode::OK, response };
        claim::commit(ctx, operator, taken.into_held(), commit).await.map(Ok)
    }

    /// What customer and technicians are told of it.
    fn told(&self, ctx: &Ctx, technician_id: &Id, start_at: i64) -> Answer<Vec<Statement>> {
        let Self { order_id, line_id, known, offer, .. } = *self;
        let same_technician = *technician_id == known.technician_id;
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
        };
        let mut told: Vec<_> =
            reminder::follow(ctx, change, &appointment, self.actor, ctx.now)?.into_iter().collect();
        let knew = matches!(known.assignment, Assignment::Assigned | Assignment::Asked);
        if !same_technician && knew {
            let (former, left_at) = (&known.technician_id, known.start_at);
            told.extend(reminder::left(ctx, line_id, former, left_at)?);
        }
        Ok(told)
    }

    /// What the new time needs, in place of what the line has in the same calendars.
    fn needs(&self) -> Answer<Vec<Need>> {
        let (start, shape) = (self.to.0, self.offer.shape());
        let intervals =
            shape.at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
        let (technicians, free) = &self.technicians;
        let technicians = technicians.iter().map(|id| calendars::technician(id)).collect();
        let mut technician = Need::of(technicians, shape.attended(start));
        technician.tries = *free;
        technician.homes = self.offer.homes();
        let mut needs = vec![technician];
        needs.extend(book::pool_needs(self.offer, start, intervals));
        let claims = &self.known.claims;
        for need in &mut needs {
            // The calendar that it has now, first: it counts as taken by itself.
            let own = |calendar: &String| claims.iter().any(|(of, _)| of == calendar);
            if let Some(at) = need.calendars.iter().position(own) {
                let calendar = need.calendars.remove(at);
                need.calendars.insert(0, calendar);
                need.tries += 1;
            }
            if let Some(calendar) = need.calendars.first() {
                let of = claims.iter().filter(|(of, _)| of == calendar);
                need.replaces = Some((calendar.clone(), of.map(|(_, id)| id.clone()).collect()));
            }
        }
        Ok(needs)
    }
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
