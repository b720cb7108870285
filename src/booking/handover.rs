//! What follows when a technician does not want an appointment, or does not answer: the next one is asked,
//! or it is offered to all, as the store says; when nobody is left it is cancelled by the store, what was
//! paid goes back in full, and the customer is told. A visit of which another line has begun is not taken
//! from its customer: what nobody is left for is offered on, until somebody grabs it or staff assign it.
//!
//! Each step is one batch that stands on the order's version, so the request that declined and cron may
//! both try it. The system's operations have keys of their own, made of line and version: a step that was
//! interrupted finds its own holds when it is tried again.

use zhundian_domain::order::Status;
use zhundian_domain::staffing::{Assignment, Event, answer_by, apply};

use crate::booking::book;
use crate::booking::claim::Operator;
use crate::booking::moving::{self, Found, Move, ToMove};
use crate::booking::queries;
use crate::catalog::ways::WhenDeclined;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::fields::Id;
use crate::order::{self, Actor, cancel};
use crate::reminder;

/// Technicians who are told of an appointment that is offered to all: those who are free, the first by the
/// store's rule. All who can do it see it at `GET /api/v1/staff/offers`.
const MAX_TOLD: usize = 20;

/// The statements that write a line's next state, with its event, and what is told of it. They raise
/// `order_changed` when it is not as it was read.
///
/// # Errors
/// None in practice.
pub fn to(
    ctx: &Ctx,
    (order_id, line_id): (&Id, &Id),
    known: &ToMove,
    (next, answer_by): (Assignment, Option<i64>),
    (kind, actor): (&str, &Actor),
    told: Option<Statement>,
) -> Answer<Vec<Statement>> {
    let declines = next == Assignment::Declined;
    let order = (order_id, known.version);
    let mut statements: Vec<_> =
        queries::set_assignment(order, line_id, (next, answer_by), declines, ctx.now).into();
    let detail = serde_json::json!({
        "line_id": line_id, "technician_id": known.technician_id, "answer_by": answer_by,
    });
    let event_id = ctx.new_id()?;
    statements
        .push(order::queries::insert_event(&event_id, order_id, ctx.now, kind, actor, &detail));
    statements.extend(told);
    Ok(statements)
}

/// Writes what [`to`] says, by the system.
async fn write(
    ctx: &Ctx,
    line: (&Id, &Id),
    known: &ToMove,
    next: (Assignment, Option<i64>),
    kind: &str,
    told: Option<Statement>,
) -> Answer<()> {
    ctx.db()?.batch(to(ctx, line, known, next, (kind, &Actor::System), told)?).await?;
    Ok(())
}

/// Hands a declined line on after the response.
pub async fn soon(ctx: &Ctx, order_id: &Id, line_id: &Id) {
    let (work, order_id, line_id) = (ctx.clone(), order_id.clone(), line_id.clone());
    ctx.after_response(async move {
        if let Err(problem) = go_on(&work, &order_id, &line_id).await {
            // Cron's, then.
            worker::console_warn!("{}", serde_json::json!({
                "event": "handover_put_off", "request_id": work.request_id, "order": order_id.as_str(),
                "cause": problem.cause().unwrap_or_else(|| problem.code().as_str()),
            }));
        }
    })
    .await;
}

/// Does what is due of a line that nobody has answered for: silence counts as declining. Lines of one visit may
/// be handed on at the same moment.
///
/// # Errors
/// 503, and `order_changed` when somebody else has done it.
pub async fn go_on(ctx: &Ctx, order_id: &Id, line_id: &Id) -> Answer<()> {
    order::anew(|| step(ctx, order_id, line_id)).await
}

async fn step(ctx: &Ctx, order_id: &Id, line_id: &Id) -> Answer<()> {
    let Some(mut known) = read(ctx, order_id, line_id).await? else { return Ok(()) };
    let silent = Event::Silent { now: ctx.now, answer_by: known.answer_by };
    if let Ok(next) = apply(known.assignment, silent) {
        let line = (order_id, line_id);
        write(ctx, line, &known, (next, Some(ctx.now)), "silent", None).await?;
        let Some(declined) = read(ctx, order_id, line_id).await? else { return Ok(()) };
        known = declined;
    }
    match known.assignment {
        Assignment::Declined => next(ctx, order_id, line_id, known).await,
        Assignment::Offered if known.answer_by.is_some_and(|by| by <= ctx.now) => {
            nobody(ctx, (order_id, line_id), &known).await
        }
        _ => Ok(()),
    }
}

/// Nobody is left for a line.
async fn nobody(ctx: &Ctx, line: (&Id, &Id), known: &ToMove) -> Answer<()> {
    if known.status == Status::Confirmed {
        return cancel::by_system(ctx, line.0, known.version, "no_technician").await;
    }
    let state = match known.assignment {
        Assignment::Offered => Assignment::Offered,
        declined => apply(declined, Event::OfferedToAll).map_err(not_declined)?,
    };
    write(ctx, line, known, (state, None), "offered", None).await
}

async fn read(ctx: &Ctx, order_id: &Id, line_id: &Id) -> Answer<Option<ToMove>> {
    let known: Option<ToMove> = ctx.db()?.first(queries::order_to_move(order_id, line_id)).await?;
    Ok(known.filter(ToMove::may_change_hands))
}

/// Finds the next technician of a declined line, or offers it to all.
async fn next(ctx: &Ctx, order_id: &Id, line_id: &Id, known: ToMove) -> Answer<()> {
    let version = known.version;
    if known.start_at <= ctx.now {
        return nobody(ctx, (order_id, line_id), &known).await;
    }
    let found = match moving::offer_of(ctx, line_id, known, None).await {
        Ok(found) => found,
        // The service or the store has ended meanwhile.
        Err(problem) if problem.code().status().is_client_error() => {
            let known = read(ctx, order_id, line_id).await?.filter(|it| it.version == version);
            let known = known.ok_or_else(|| Problem::from(Code::OrderChanged))?;
            return nobody(ctx, (order_id, line_id), &known).await;
        }
        Err(problem) => return Err(problem),
    };
    let operator = Operator {
        actor: "system".into(),
        key: format!("{line_id}-{version}"),
        request_hash: String::new(),
    };
    let Found { known, offer, start, date } = &found;
    let op = operator.op();
    let (mut technicians, _) = book::by_rule(offer, &op, *start, *date);
    technicians.retain(|id| !known.declined_by.contains(id));
    let is_free = |id: &&Id| {
        offer.technicians.iter().any(|one| one.id() == *id && offer.is_free(one, *start))
    };
    if offer.store.ways.when_declined == WhenDeclined::OfferToAll && !technicians.is_empty() {
        let state = apply(known.assignment, Event::OfferedToAll).map_err(not_declined)?;
        let by = answer_by(ctx.now, moving::wait_minutes(offer), known.start_at);
        let line = (order_id, line_id);
        let free: Vec<_> = technicians.into_iter().filter(is_free).take(MAX_TOLD).collect();
        let told = reminder::offered(ctx, line_id, &free, by)?;
        return write(ctx, line, known, (state, Some(by)), "offered", told).await;
    }
    technicians.retain(is_free);
    if technicians.is_empty() {
        return nobody(ctx, (order_id, line_id), known).await;
    }
    let (wanted, minutes) = moving::to_accept(offer);
    let to_accept = wanted == Assignment::Asked;
    let state = apply(known.assignment, Event::NextAsked { to_accept }).map_err(not_declined)?;
    let line = found.to(technicians, (state, minutes))?;
    let (lines, actor) = (&[line], &Actor::System);
    let moved = Move { order_id, lines, actor, event: "handed_on", more: None };
    match moved.make(ctx, &operator).await? {
        Ok(_) => Ok(()),
        // Taken a moment ago; the projection says so by the next run.
        Err(_) => Err(Problem::unavailable("who was free is not any more")),
    }
}

fn not_declined(refusal: zhundian_domain::staffing::Refusal) -> Problem {
    Problem::internal(format!("a line that is not declined: {refusal:?}"))
}
