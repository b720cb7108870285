//! Messages about appointments: to the customer by WeChat's subscribe messages or SMS, to the technician
//! by SMS.
//!
//! A message is a row of `reminder`, written in the batch of the change that it follows from
//! ([`follow`], [`follow_line`], [`follow_all`], [`left`], [`offered`], [`classes`], [`enqueue`]) and sent by cron ([`send`]) when it is due and still true: what
//! follows from which change, and what becomes of it, is `zhundian_domain::reminder`'s to say.
//!
//! **At most once.** A row is taken for sending (`pending` to `sending`) by a compare-and-set with the
//! versions of order and line that were looked at, and with the consent that it uses up, in one batch
//! and before anything leaves. Only a definite refusal puts it back. When the answer is lost, or the
//! Worker ends in between, nobody knows whether it went out; then it ends as `unknown`, staff see it so,
//! and it is not sent again: two messages for one visit would be taken for two visits.
//!
//! **None lost.** A row waits until it is sent or of no use any more, however many runs are missed.
//!
//! **News of several is told once.** Who is booked for a plan of 99 sessions has one message, of the first and
//! with their number (`sessions` in a template), and so has who loses ten of them; before each session there
//! is one as before any visit. A technician hears so of their classes, and not of each seat in them.
//!
//! **WeChat, then SMS.** A subscribe message needs a consent that the customer gave to its template in
//! the mini program ([`subscriptions`]): one consent, one message. Without one, and when WeChat refuses
//! it, it goes by SMS; without a phone it is skipped as `unreachable`.
//!
//! - [`templates`]: which of the merchant's templates says what;
//! - [`send`]: the sending;
//! - [`messages`]: what staff see of an order's messages.

pub mod messages;
pub mod queries;
pub mod send;
pub mod subscriptions;
pub mod templates;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use zhundian_domain::order::Status;
use zhundian_domain::reminder::{Change, Kind, Terms, To};
use zhundian_domain::zone::Zone;

use crate::auth::permission::Permission;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::fields::Id;
use crate::http::{Ctx, Routes};
use crate::order::Actor;
use crate::routes;

/// How long a technician is told of what they have lost, in milliseconds.
const LEFT_MS: i64 = 86_400_000;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(subscriptions::read, subscriptions::add))
        .staff(Permission::BookingReadOwn, routes!(messages::list))
}

/// An appointment as its messages need it.
pub struct Appointment<'a> {
    /// The order.
    pub order_id: &'a Id,
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// The store's clock.
    pub zone: Zone,
    /// The service's minutes before the visit.
    pub leads: &'a [i64],
    /// The starts of its lines when it has several, UTC milliseconds: a technician is told before their own.
    pub lines: &'a [i64],
}

/// A message about to be written.
#[derive(Serialize)]
struct Row<'a> {
    order_id: &'a Id,
    /// Of this line alone, when there is one.
    line_id: Option<&'a Id>,
    /// Of lines that begin then alone, when there is one.
    start_at: Option<i64>,
    to: To,
    /// What is told; nothing when there is none.
    kind: Option<Kind>,
    /// The same of a plan's session.
    of_plan: Option<Kind>,
    /// The same when the technician is to accept it.
    of_asked: Option<Kind>,
    lead_minutes: i64,
    due_at: i64,
    expires_at: i64,
    at_once: i64,
    sessions: i64,
}

/// The statement that writes what follows from a change: the last of the batch that makes it, for it reads
/// what the batch has written; but of [`Change::Paid`] before the order is confirmed. `None` when the
/// merchant tells nothing of it.
///
/// # Errors
/// None in practice.
pub fn follow(
    ctx: &Ctx,
    change: Change,
    appointment: &Appointment<'_>,
    actor: &Actor,
    now: i64,
) -> Answer<Option<Statement>> {
    // The confirm of a paid order may come twice; what it leads from tells the first.
    let status = (change == Change::Paid).then(|| Status::Paid.as_str());
    write(&due(ctx, change, appointment, actor, now), status, now)
}

/// As [`follow`], for a change of one line of a visit of several: `appointment` is that line. The other
/// technicians hear nothing of it, and the customer nothing before it, for that is the visit's.
///
/// # Errors
/// None in practice.
pub fn follow_line(
    ctx: &Ctx,
    change: Change,
    line_id: &Id,
    appointment: &Appointment<'_>,
    actor: &Actor,
) -> Answer<Option<Statement>> {
    let mut due = due(ctx, change, appointment, actor, ctx.now);
    due.retain(|one| one.to == To::Technician || one.lead_minutes == 0);
    for one in &mut due {
        one.line_id = Some(line_id);
    }
    write(&due, None, ctx.now)
}

fn write(due: &[Row<'_>], status: Option<&str>, now: i64) -> Answer<Option<Statement>> {
    if due.is_empty() {
        return Ok(None);
    }
    let due = serde_json::to_string(due).map_err(Problem::internal)?;
    Ok(Some(queries::follow(&due, status, now)))
}

fn due<'a>(
    ctx: &Ctx,
    change: Change,
    appointment: &Appointment<'a>,
    actor: &Actor,
    now: i64,
) -> Vec<Row<'a>> {
    let Appointment { order_id, start_at, zone, leads, lines } = *appointment;
    let config = ctx.config();
    let by_customer = matches!(actor, Actor::Member(_));
    let terms = Terms { start_at, leads, zone, quiet: config.quiet, by_customer };
    let told = |kind, to| config.templates.tells(kind, to).then_some(kind);
    let row = |one: zhundian_domain::reminder::Due| {
        let (to, usual) = (one.to, told(one.kind, one.to));
        // The merchant's own words for a session of a plan, and for a question, where there are such.
        let of_plan = match (one.kind, to) {
            (Kind::Before, To::Customer) => told(Kind::Plan, to).or(usual),
            _ => usual,
        };
        let of_asked = match (one.kind, to) {
            (Kind::Booked | Kind::Changed, To::Technician) => told(Kind::Asked, to).or(usual),
            _ => usual,
        };
        Row {
            order_id,
            line_id: None,
            start_at: None,
            to,
            kind: usual,
            of_plan,
            of_asked,
            lead_minutes: one.lead_minutes,
            due_at: one.due_at,
            expires_at: one.expires_at,
            at_once: i64::from(one.at_once),
            sessions: 1,
        }
    };
    let follow = |start_at: i64| {
        zhundian_domain::reminder::follow(change, &Terms { start_at, ..terms }, now).into_iter()
    };
    let of_technician =
        |one: &zhundian_domain::reminder::Due| one.to == To::Technician && one.lead_minutes > 0;
    let mut all: Vec<Row<'_>> =
        follow(start_at).filter(|one| lines.is_empty() || !of_technician(one)).map(row).collect();
    let starts: BTreeSet<i64> = lines.iter().copied().collect();
    for start_at in starts {
        let own = follow(start_at).filter(of_technician).map(row);
        all.extend(own.map(|one| Row { start_at: Some(start_at), ..one }));
    }
    all.retain(|one| [one.kind, one.of_plan, one.of_asked].iter().any(Option::is_some));
    all
}

/// One of several sessions of a plan that one operation changes.
pub struct Session<'a> {
    /// Its order.
    pub order_id: &'a Id,
    /// Its line.
    pub line_id: &'a str,
    /// Who has it now.
    pub technician_id: &'a Id,
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// What happens to it.
    pub change: Change,
    /// Whom it leaves, and the start that they had.
    pub left: Option<(&'a Id, i64)>,
}

/// As [`follow`] and [`left`], for sessions of a plan that staff change together, by time. Each has its
/// messages before the visit. The news is told once, of the first of them and with their number: to the
/// customer, and to each technician of theirs.
///
/// # Errors
/// None in practice.
pub fn follow_all(
    ctx: &Ctx,
    sessions: &[Session<'_>],
    zone: Zone,
    leads: &[i64],
    actor: &Actor,
) -> Answer<Vec<Statement>> {
    let mut all: Vec<Row<'_>> = Vec::new();
    let mut news: BTreeMap<(Option<&Id>, Option<Kind>), usize> = BTreeMap::new();
    for one in sessions {
        let (order_id, start_at) = (one.order_id, one.start_at);
        let appointment = Appointment { order_id, start_at, zone, leads, lines: &[] };
        for due in due(ctx, one.change, &appointment, actor, ctx.now) {
            if due.lead_minutes > 0 {
                all.push(due);
                continue;
            }
            let whose = (due.to == To::Technician).then_some(one.technician_id);
            let first = *news.entry((whose, due.kind)).or_insert(all.len());
            match all.get_mut(first) {
                Some(first) => first.sessions += 1,
                None => all.push(due),
            }
        }
    }
    let mut statements: Vec<_> = write(&all, None, ctx.now)?.into_iter().collect();
    let mut left: BTreeMap<&Id, Left<'_>> = BTreeMap::new();
    for one in sessions {
        let Some((technician_id, start_at)) = one.left else { continue };
        let until = start_at.max(ctx.now + LEFT_MS);
        let first = (one.line_id, technician_id, start_at, until, 0);
        left.entry(technician_id).or_insert(first).4 += 1;
    }
    statements.extend(write_left(ctx, &left.into_values().collect::<Vec<_>>())?);
    Ok(statements)
}

/// A technician who has lost a line, or several: the first line, who, its start, expiry, how many.
type Left<'a> = (&'a str, &'a Id, i64, i64, i64);

fn write_left(ctx: &Ctx, left: &[Left<'_>]) -> Answer<Option<Statement>> {
    if left.is_empty() || !ctx.config().templates.tells(Kind::Cancelled, To::Technician) {
        return Ok(None);
    }
    let left = serde_json::to_string(left).map_err(Problem::internal)?;
    Ok(Some(queries::left(&left, ctx.now)))
}

/// As [`follow`], for a change that makes nothing due before the visit: paid, given up, lost, no show.
///
/// # Errors
/// None in practice.
pub fn news(
    ctx: &Ctx,
    change: Change,
    order_id: &Id,
    start_at: i64,
    actor: &Actor,
    now: i64,
) -> Answer<Option<Statement>> {
    let appointment = Appointment { order_id, start_at, zone: Zone::UTC, leads: &[], lines: &[] };
    follow(ctx, change, &appointment, actor, now)
}

/// What messages before a visit go by, read where no offer was: a service's minutes on a store's clock.
#[derive(Deserialize)]
pub struct OfService {
    reminder_minutes: Vec<i64>,
    time_zone: Zone,
}

/// Reads a service's terms in a store.
///
/// # Errors
/// 503; 404 when there is no such service.
pub async fn terms(ctx: &Ctx, service_id: &Id, store_id: &Id) -> Answer<OfService> {
    let terms: Option<OfService> = ctx.db()?.first(queries::terms(service_id, store_id)).await?;
    terms.ok_or_else(|| Code::NotFound.into())
}

/// Reads the terms of an order's line.
///
/// # Errors
/// As [`terms`].
pub async fn terms_of(ctx: &Ctx, line_id: &Id) -> Answer<OfService> {
    let terms: Option<OfService> = ctx.db()?.first(queries::terms_of(line_id)).await?;
    terms.ok_or_else(|| Code::NotFound.into())
}

impl OfService {
    /// As [`follow`].
    ///
    /// # Errors
    /// None in practice.
    pub fn follow(
        &self,
        ctx: &Ctx,
        change: Change,
        order_id: &Id,
        start_at: i64,
        actor: &Actor,
    ) -> Answer<Option<Statement>> {
        follow(ctx, change, &self.appointment(order_id, start_at), actor, ctx.now)
    }

    /// As [`follow_line`].
    ///
    /// # Errors
    /// None in practice.
    pub fn follow_line(
        &self,
        ctx: &Ctx,
        change: Change,
        (order_id, line_id): (&Id, &Id),
        start_at: i64,
        actor: &Actor,
    ) -> Answer<Option<Statement>> {
        follow_line(ctx, change, line_id, &self.appointment(order_id, start_at), actor)
    }

    fn appointment<'a>(&'a self, order_id: &'a Id, start_at: i64) -> Appointment<'a> {
        let (zone, leads) = (self.time_zone, self.reminder_minutes.as_slice());
        Appointment { order_id, start_at, zone, leads, lines: &[] }
    }
}

/// The statement that tells a technician whom an order's line has left, after the move in its batch;
/// `start_at` is what they had.
///
/// # Errors
/// None in practice.
pub fn left(
    ctx: &Ctx,
    line_id: &Id,
    technician_id: &Id,
    start_at: i64,
) -> Answer<Option<Statement>> {
    let until = start_at.max(ctx.now + LEFT_MS);
    write_left(ctx, &[(line_id.as_str(), technician_id, start_at, until, 1)])
}

/// The statement that tells technicians of a line that is offered to them all, in the batch that offers it.
///
/// # Errors
/// None in practice.
pub fn offered(
    ctx: &Ctx,
    line_id: &Id,
    technicians: &[&Id],
    until: i64,
) -> Answer<Option<Statement>> {
    if technicians.is_empty() || !ctx.config().templates.tells(Kind::Offered, To::Technician) {
        return Ok(None);
    }
    let technicians = serde_json::to_string(technicians).map_err(Problem::internal)?;
    Ok(Some(queries::offered(line_id, &technicians, ctx.now, until)))
}

/// The statement that tells a technician of the classes that they hold, by time, as of a plan's sessions:
/// when they are made, before each, and when one is given up. After the change in its batch.
///
/// # Errors
/// None in practice.
pub fn classes(
    ctx: &Ctx,
    change: Change,
    classes: &[(&Id, i64)],
    (zone, leads): (Zone, &[i64]),
) -> Answer<Option<Statement>> {
    let count = classes.len();
    let mut all = Vec::new();
    for (at, (id, start_at)) in classes.iter().enumerate() {
        let appointment =
            Appointment { order_id: id, start_at: *start_at, zone, leads, lines: &[] };
        let due = due(ctx, change, &appointment, &Actor::System, ctx.now).into_iter();
        let own = due.filter(|one| one.to == To::Technician && (at == 0 || one.lead_minutes > 0));
        all.extend(own.filter_map(|one| {
            let sessions = if one.lead_minutes == 0 { count } else { 1 };
            let (due_at, expires_at) = (one.due_at, one.expires_at);
            Some((one.order_id, one.kind?, one.lead_minutes, due_at, expires_at, sessions))
        }));
    }
    if all.is_empty() {
        return Ok(None);
    }
    let all = serde_json::to_string(&all).map_err(Problem::internal)?;
    Ok(Some(queries::classes(&all, ctx.now)))
}

/// A message to a customer that another part asks for, such as an offer of the waitlist.
pub struct Notice<'a> {
    /// What is told.
    pub kind: Kind,
    /// What it is of: an entry of the waitlist, a session of a plan, an order's line.
    pub subject: &'a str,
    /// The order, when it is of one; its state is then looked at when the message goes out.
    pub order_id: Option<&'a Id>,
    /// Who is told, when no order says it.
    pub member_id: Option<&'a Id>,
    /// The store, on whose clock it is.
    pub store_id: &'a Id,
    /// The service, when it speaks of one.
    pub service_id: Option<&'a Id>,
    /// The technician, when it speaks of one.
    pub technician_id: Option<&'a Id>,
    /// The start that it speaks of, UTC milliseconds.
    pub start_at: Option<i64>,
    /// Minutes before it, when that tells it from others of its kind and subject; 0 otherwise.
    pub lead_minutes: i64,
    /// Which one of its kind and subject: told once each.
    pub occasion: i64,
    /// From when on, UTC milliseconds.
    pub due_at: i64,
    /// From when on it is of no use, UTC milliseconds.
    pub expires_at: i64,
}

/// The statement that writes such a message, in the batch of what it follows from. `None` when the merchant
/// tells nothing of it. [`queries::withdraw`] takes back what has not gone out.
#[must_use]
pub fn enqueue(ctx: &Ctx, notice: &Notice<'_>) -> Option<Statement> {
    let told = ctx.config().templates.tells(notice.kind, To::Customer);
    told.then(|| queries::enqueue(notice, ctx.now))
}
