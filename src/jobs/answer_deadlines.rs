//! What happens by itself when nobody answers: a technician who was asked, all whom an appointment was
//! offered to, staff who were to make a proposal, the customer who was to accept it.

use crate::booking::{handover, queries as booking};
use crate::error::Answer;
use crate::express::{ExpressState, queries as express};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::order::cancel;

/// Lines, and express orders, looked at in one run.
const ROWS: u32 = 200;

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let now = now_ms();
    let reads = vec![booking::unanswered(now, ROWS), express::overdue(now, ROWS)];
    let rows = ctx.db()?.read(reads).await?;
    let lines: Vec<(Id, Id)> = rows.all(0)?;
    let orders: Vec<(Id, i64, ExpressState)> = rows.all(1)?;
    let (mut handed_on, mut given_up, mut put_off) = (0, 0, 0);
    for (order_id, line_id) in lines {
        if now_ms() > until {
            break;
        }
        match handover::go_on(ctx, &order_id, &line_id).await {
            Ok(()) => handed_on += 1,
            Err(_) => put_off += 1,
        }
    }
    for (order_id, version, state) in orders {
        if now_ms() > until {
            break;
        }
        let reason =
            if state == ExpressState::Waiting { "no_proposal" } else { "proposal_expired" };
        match cancel::by_system(ctx, &order_id, version, reason).await {
            Ok(()) => given_up += 1,
            Err(_) => put_off += 1,
        }
    }
    let outcome = format!("{handed_on} handed on, {given_up} given up, {put_off} put off");
    Ok(Done { outcome, watermark: String::new() })
}
