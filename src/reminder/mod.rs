//! Messages about appointments: to the customer by WeChat's subscribe messages or SMS, to the technician
//! by SMS.
//!
//! A message is a row of `reminder`, written in the batch of the change that it follows from
//! ([`follow`], [`left`], [`enqueue`]) and sent by cron ([`send`]) when it is due and still true: what
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

use serde::Deserialize;
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
    let Appointment { order_id, start_at, zone, leads } = *appointment;
    // The confirm of a paid order may come twice; what it leads from tells the first.
    let status = (change == Change::Paid).then(|| Status::Paid.as_str());
    let config = ctx.config();
    let by_customer = matches!(actor, Actor::Member(_));
    let terms = Terms { start_at, leads, zone, quiet: config.quiet, by_customer };
    let due: Vec<_> = zhundian_domain::reminder::follow(change, &terms, now)
        .into_iter()
        .filter(|one| config.templates.tells(one.kind, one.to))
        .map(|one| {
            (one.kind, one.to, one.lead_minutes, one.due_at, one.expires_at, i64::from(one.at_once))
        })
        .collect();
    if due.is_empty() {
        return Ok(None);
    }
    let due = serde_json::to_string(&due).map_err(Problem::internal)?;
    Ok(Some(queries::follow(order_id, &due, status, now)))
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
    let appointment = Appointment { order_id, start_at, zone: Zone::UTC, leads: &[] };
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
        let (zone, leads) = (self.time_zone, self.reminder_minutes.as_slice());
        let appointment = Appointment { order_id, start_at, zone, leads };
        follow(ctx, change, &appointment, actor, ctx.now)
    }
}

/// The statement that tells a technician whom an order's line has left, after the move in its batch;
/// `start_at` is what they had.
#[must_use]
pub fn left(
    ctx: &Ctx,
    order_id: &Id,
    line_id: &Id,
    technician_id: &Id,
    start_at: i64,
) -> Option<Statement> {
    let told = ctx.config().templates.tells(Kind::Cancelled, To::Technician);
    let until = start_at.max(ctx.now + LEFT_MS);
    told.then(|| queries::left(order_id, line_id, technician_id, start_at, (ctx.now, until)))
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
