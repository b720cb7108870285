//! Completes what is over: so long after the end of an appointment as its store says, when nothing is due on
//! it. One on which something is due is not completed by the clock: nobody knows whether the customer
//! came and paid in cash that was not noted. It is marked as over (`ended_at`) once, and waits for the
//! counter, which completes it by taking the rest, or notes that nobody came.

use serde::Deserialize;
use zhundian_domain::order::{Event, Refusal, Status, apply};
use zhundian_domain::pricing::remaining_fen;

use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::order::{self, Actor, refused};
use crate::{payment, visit};

/// Orders looked at in one run.
const ORDERS: u32 = 200;

#[derive(Deserialize)]
struct Over {
    id: Id,
    version: i64,
    status: Status,
    total_fen: i64,
    paid_fen: i64,
}

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let orders: Vec<Over> =
        ctx.db()?.read(vec![visit::queries::over(now_ms(), ORDERS)]).await?.all(0)?;
    let (mut completed, mut unpaid, mut waiting) = (0, 0, 0);
    for order in orders {
        if now_ms() > until {
            break;
        }
        match end(ctx, &order).await {
            Ok(true) => completed += 1,
            Ok(false) => unpaid += 1,
            // It has changed meanwhile: the next run looks again.
            Err(_) => waiting += 1,
        }
    }
    let outcome = format!("{completed} completed, {unpaid} unpaid, {waiting} waiting");
    Ok(Done { outcome, watermark: String::new() })
}

/// Answers whether it is completed.
async fn end(ctx: &Ctx, order: &Over) -> Answer<bool> {
    let (id, now) = (&order.id, now_ms());
    let remaining_fen = remaining_fen(order.total_fen, order.paid_fen);
    let (completed, kind, change) = match apply(order.status, Event::Completed { remaining_fen }) {
        Ok(next) => (true, "completed", payment::queries::order_is(id, next.as_str(), now)),
        Err(Refusal::BalanceDue) => (false, "ended_unpaid", visit::queries::ended(id, now)),
        Err(refusal) => return Err(refused(refusal)),
    };
    let detail = serde_json::json!({ "remaining_fen": remaining_fen });
    let event_id = ctx.new_id()?;
    let statements = vec![
        visit::queries::unchanged(id, order.version),
        change,
        order::queries::insert_event(&event_id, id, now, kind, &Actor::System, &detail),
    ];
    ctx.db()?.batch(statements).await?;
    Ok(completed)
}
