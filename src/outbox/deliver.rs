//! Delivering outbox rows.

use std::pin::pin;

use serde::Deserialize;
use serde_json::value::RawValue;
use zhundian_domain::calendar::{ClaimSpec, Confirmation};
use zhundian_domain::cancellation::{Side, Tiers, refund_fen};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::reminder::Change;
use zhundian_durable_objects::calls::{
    Confirm, ConfirmMany, ConfirmReply, Release, ReleaseMany, WrittenDay,
};

use crate::booking;
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::express;
use crate::http::fields::Id;
use crate::http::{Ctx, timeout};
use crate::order::{self, Actor};
use crate::outbox::{self, Claimed, Message, Row, queries};
use crate::payment::conclude::{self, Ended};
use crate::payment::refund::{self, Refundables};
use crate::payment::{self, shipping};
use crate::reminder;

/// Failures after which a row is dead: with the pauses below, more than a day of trying.
const MAX_ATTEMPTS: i64 = 40;
/// The longest pause between two tries.
const MAX_PAUSE_MS: i64 = 3_600_000;
/// How long a cron run keeps its rows to itself.
const LEASE_MS: i64 = 60_000;
/// Rows leased at once.
const LEASE_ROWS: u32 = 50;
/// How long what one delivery writes may wait for the next one.
const GATHER_MS: u64 = 250;

/// A row that was delivered, with what must be written to D1 for it, its deletion included.
type Done = (Id, Vec<Statement>);

/// Delivers one row; a failure is noted on it.
async fn deliver(ctx: &Ctx, id: &Id, message: Message, attempts: i64) -> bool {
    let written = match perform(ctx, id, message).await {
        Ok(Some(statements)) => write(ctx, statements).await,
        Ok(None) => Ok(()),
        Err(problem) => Err(problem),
    };
    let Err(problem) = written else { return true };
    note_problem(ctx, id, attempts, &problem).await;
    false
}

/// Delivers the new rows of one request in order. What several of them write goes in one batch, if they
/// are done within `GATHER_MS` of each other.
pub async fn together(ctx: &Ctx, rows: Vec<Row>) {
    let mut done: Vec<Done> = Vec::new();
    for Row { id, message } in rows {
        match perform_beside(ctx, &id, message, &mut done).await {
            Ok(Some(statements)) => done.push((id, statements)),
            Ok(None) => {}
            Err(problem) => note_problem(ctx, &id, 0, &problem).await,
        }
    }
    write_all(ctx, done).await;
}

/// Performs one more row; what is `done` does not wait for it longer than [`GATHER_MS`].
async fn perform_beside(
    ctx: &Ctx,
    id: &Id,
    message: Message,
    done: &mut Vec<Done>,
) -> Answer<Option<Vec<Statement>>> {
    let mut delivery = pin!(perform(ctx, id, message));
    if !done.is_empty() {
        if let Some(outcome) = timeout(GATHER_MS, delivery.as_mut()).await {
            return outcome;
        }
        write_all(ctx, std::mem::take(done)).await;
    }
    delivery.await
}

/// Writes what delivered rows say. What stops one of them must not stop another: then each is written by
/// itself.
async fn write_all(ctx: &Ctx, done: Vec<Done>) {
    if done.len() > 1 {
        let all = done.iter().flat_map(|(_, statements)| statements.iter().cloned()).collect();
        if write(ctx, all).await.is_ok() {
            return;
        }
    }
    for (id, statements) in done {
        if let Err(problem) = write(ctx, statements).await {
            note_problem(ctx, &id, 0, &problem).await;
        }
    }
}

async fn write(ctx: &Ctx, statements: Vec<Statement>) -> Answer<()> {
    ctx.db()?.batch(statements).await?;
    Ok(())
}

async fn note_problem(ctx: &Ctx, id: &Id, attempts: i64, problem: &Problem) {
    let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
    note_failure(ctx, id, attempts, cause).await;
}

/// Notes on a row that it could not be delivered, and when to try again.
async fn note_failure(ctx: &Ctx, id: &Id, attempts: i64, cause: &str) {
    worker::console_warn!(
        "{}",
        serde_json::json!({
            "event": "outbox_failed", "request_id": ctx.request_id, "row": id.as_str(), "cause": cause,
        })
    );
    let pause = (2_000_i64 << attempts.clamp(0, 20)).min(MAX_PAUSE_MS);
    let due_at = crate::http::context::now_ms() + pause;
    let failed = queries::failed(id, due_at, attempts + 1 >= MAX_ATTEMPTS, cause);
    if let Ok(db) = ctx.db()
        && let Err(error) = db.batch(vec![failed]).await
    {
        // The lease runs out by itself.
        worker::console_warn!(
            "{}",
            serde_json::json!({
                "event": "outbox_not_noted", "row": id.as_str(), "cause": format!("{error:?}"),
            })
        );
    }
}

/// Does what a row's message says; answers what must be written then, the row's deletion included, or
/// `None` when that was written.
async fn perform(ctx: &Ctx, id: &Id, message: Message) -> Answer<Option<Vec<Statement>>> {
    let mut statements = match message {
        Message::Confirm { claims, order_id, paid } => {
            confirm(ctx, claims, order_id.as_ref().map(|id| (id, paid))).await?
        }
        Message::ConfirmMany { calendar, claims, written } => {
            confirm_many(ctx, calendar, claims, written).await?
        }
        Message::ReleaseMany { calendar, claim_ids } => {
            let reply = ctx.calendars().call(&calendar, &ReleaseMany { claim_ids }).await?;
            write_days(&calendar, &reply.days)?
        }
        Message::Release { calendar, claim_id } => {
            let reply = ctx.calendars().call(&calendar, &Release { claim_id }).await?;
            crate::waitlist::offer::freed(ctx, &calendar, &reply.days).await;
            write_days(&calendar, &reply.days)?
        }
        Message::SyncCalendar { calendar } => {
            crate::catalog::windows::sync(ctx, &calendar).await?;
            crate::waitlist::offer::freed(ctx, &calendar, &[]).await;
            Vec::new()
        }
        Message::CancelSession { session_id } => {
            crate::session::cancel::give_up_bookings(ctx, &session_id).await?
        }
        Message::Refund { refund_id, known } => {
            refund::carry_on(ctx, refund_id.as_str(), known, &[queries::done(id)]).await?;
            return Ok(None);
        }
        Message::ClosePayment { payment_id } => {
            match conclude::conclude(ctx, payment_id.as_str()).await? {
                Ended::Pending => return Err(Problem::unavailable("the payment is still open")),
                Ended::Paid | Ended::Closed => Vec::new(),
            }
        }
        Message::UploadShipping { payment_id, known } => {
            shipping::upload(ctx, payment_id.as_str(), known).await?;
            Vec::new()
        }
    };
    statements.push(queries::done(id));
    Ok(Some(statements))
}

fn write_days(
    calendar: &str,
    days: &[zhundian_durable_objects::calls::ProjectedDay],
) -> Answer<Vec<Statement>> {
    if days.is_empty() { Ok(Vec::new()) } else { Ok(vec![calendars::write_days(calendar, days)?]) }
}

/// Confirms the claims of an order (and whether it was paid for) or, without one, of a block or a session;
/// answers what must be written to D1. An order stands on all of its claims or on none: when one is lost, it is given up
/// with the others.
///
/// # Errors
/// 503 when a calendar does not answer.
pub async fn confirm(
    ctx: &Ctx,
    claims: Vec<Claimed>,
    order: Option<(&Id, bool)>,
) -> Answer<Vec<Statement>> {
    let mut statements = Vec::new();
    let start_at = claims.iter().map(|one| one.spec.service.start.ms()).min().unwrap_or_default();
    let is_wish = claims.is_empty();
    for Claimed { calendar, spec, written } in claims {
        let claim_id = spec.id.clone();
        let call = Confirm { spec, written };
        let ConfirmReply { outcome, days } = ctx.calendars().call(&calendar, &call).await?;
        statements.extend(write_days(&calendar, &days)?);
        match (outcome, order) {
            (Confirmation::Confirmed, Some((order_id, _))) => {
                // Given up before the calendar knew the claim: then its release has found nothing.
                let release = Message::Release { calendar, claim_id: claim_id.clone() };
                let row = Row::new(ctx, release)?;
                statements.push(row.insert_unless_standing(ctx, order_id, &claim_id)?);
            }
            (Confirmation::Confirmed, None) => {
                let release = Message::Release { calendar, claim_id: claim_id.clone() };
                let row = Row::new(ctx, release)?;
                statements.push(row.insert_unless_kept(ctx, &claim_id)?);
            }
            // Given back or lost: what stands on it, stands no more. After a cancellation nothing does.
            (_, Some((order_id, _))) => {
                statements.extend(lost(ctx, order_id, &claim_id).await?);
                return Ok(statements);
            }
            (_, None) => {
                statements.push(queries::remove_lost_block(&claim_id));
                statements.extend(crate::session::cancel::lost(ctx, &claim_id).await?);
            }
        }
    }
    if let Some((order_id, true)) = order {
        let (change, actor) = (Change::Paid, &Actor::System);
        statements.extend(reminder::news(ctx, change, order_id, start_at, actor, ctx.now)?);
        statements.extend(queries::confirm_paid(order_id, &ctx.new_id()?, ctx.now));
        // Whoever is to answer has their time from now on: the technician, or, for a wish, which has no
        // claims yet, the store.
        statements.push(if is_wish {
            express::queries::start_waiting(order_id, ctx.now)
        } else {
            booking::queries::start_waiting(order_id, ctx.now)
        });
    }
    Ok(statements)
}

/// Confirms claims of one calendar, each of an order of its own; answers what must be written to D1.
async fn confirm_many(
    ctx: &Ctx,
    calendar: String,
    claims: Vec<(Id, ClaimSpec)>,
    written: Vec<WrittenDay>,
) -> Answer<Vec<Statement>> {
    let specs = claims.iter().map(|(_, spec)| spec.clone()).collect();
    let reply = ctx.calendars().call(&calendar, &ConfirmMany { specs, written }).await?;
    let mut statements = write_days(&calendar, &reply.days)?;
    let mut confirmed = Vec::new();
    for ((order_id, spec), outcome) in claims.iter().zip(reply.outcomes) {
        match outcome {
            Confirmation::Confirmed => confirmed.push((order_id, &spec.id)),
            // Given back or lost: what stands on it, stands no more.
            _ => statements.extend(lost(ctx, order_id, &spec.id).await?),
        }
    }
    // Given up before the calendar knew the claim: then its release has found nothing.
    let confirmed = serde_json::to_string(&confirmed).map_err(Problem::internal)?;
    let row_id = ctx.new_id()?;
    statements.push(queries::release_not_standing(&row_id, &calendar, &confirmed, ctx.now));
    Ok(statements)
}

/// An order whose hold had expired, and whose time was given to somebody else before the confirm came:
/// it is cancelled, what was paid goes back in full, and the customer is told; unless it has left that
/// claim already, or the customer is being served.
async fn lost(ctx: &Ctx, order_id: &Id, claim_id: &str) -> Answer<Vec<Statement>> {
    #[derive(Deserialize)]
    struct Standing {
        status: Status,
        version: i64,
        start_at: i64,
        claims: Vec<(String, String)>,
    }
    let reads =
        vec![queries::stands_on(order_id, claim_id), payment::queries::refundable(order_id, false)];
    let rows = ctx.db()?.read(reads).await?;
    let Some(standing) = rows.first::<Standing>(0)? else { return Ok(Vec::new()) };
    let Ok(Status::Cancelled) = apply(standing.status, Event::ClaimLost) else {
        return Ok(Vec::new());
    };
    let now = crate::http::context::now_ms();
    let refundables: Refundables = rows.one(1)?;
    let amount_fen =
        refund_fen(&Tiers::default(), Side::Store, refundables.paid_fen(), standing.start_at, now);
    let (refunds, asked) = refund::wanted(
        ctx,
        &refund::Wish {
            order_id,
            payments: &refundables.payments(),
            amount_fen,
            cause: "claim_lost",
            reason: "",
            staff_id: None,
        },
    )?;
    let mut statements: Vec<Statement> =
        order::queries::cancel(order_id, standing.version, now).into();
    statements.extend(refunds);
    let detail = serde_json::json!({ "claim_id": claim_id, "refund_fen": amount_fen });
    statements.push(order::queries::insert_event(
        &ctx.new_id()?,
        order_id,
        now,
        "claim_lost",
        &Actor::System,
        &detail,
    ));
    // A technician has heard of one that stood.
    let change = if standing.status == Status::Paid { Change::PaidInVain } else { Change::Lost };
    let (actor, start_at) = (&Actor::System, standing.start_at);
    statements.extend(reminder::news(ctx, change, order_id, start_at, actor, now)?);
    let released = outbox::releases(ctx, standing.claims)?;
    for row in asked.into_iter().chain(released) {
        statements.push(row.insert_for_cron(ctx)?);
    }
    Ok(statements)
}

/// Delivers what is due, until nothing is or `until` (UTC milliseconds) has come. Answers how many rows
/// were delivered and how many failed.
///
/// # Errors
/// When the outbox itself cannot be read.
pub async fn drain(ctx: &Ctx, until: i64) -> Answer<(u32, u32)> {
    #[derive(Deserialize)]
    struct Due {
        id: Id,
        message: Box<RawValue>,
        attempts: i64,
    }
    let (mut delivered, mut failed) = (0, 0);
    let mut now = crate::http::context::now_ms();
    while now < until {
        let rows = ctx.db()?.batch(vec![queries::lease(now, now + LEASE_MS, LEASE_ROWS)]).await?;
        let due: Vec<Due> = rows.all(0)?;
        if due.is_empty() {
            break;
        }
        for Due { id, message, attempts } in due {
            // One that cannot be read holds up no other.
            let done = match serde_json::from_str(message.get()) {
                Ok(message) => deliver(ctx, &id, message, attempts).await,
                Err(error) => {
                    note_failure(ctx, &id, attempts, &format!("unreadable: {error}")).await;
                    false
                }
            };
            if done { delivered += 1 } else { failed += 1 }
        }
        now = crate::http::context::now_ms();
    }
    Ok((delivered, failed))
}
