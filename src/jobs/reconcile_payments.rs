//! Asks the providers what their notices have not told: pending payments and refunds under way, each
//! by its own next instant. And brings back what was paid and has nobody who confirms its time (I3).

use serde::Deserialize;

use crate::booking::claim::Kept;
use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::{Done, queries as jobs};
use crate::outbox::deliver;
use crate::payment::{conclude, queries, record, refund};

/// Payments, and refunds, asked about in one run.
const ROWS: u32 = 200;
/// An order paid this long ago should have been confirmed.
const UNCONFIRMED_MS: i64 = 120_000;

/// The provider closes a payment by its deadline itself; this long after it we do.
const AFTER_DEADLINE_MS: i64 = 120_000;

/// So long after its deadline a payment is asked about in any case.
const JUST_AFTER_MS: i64 = 2_000;

#[derive(Deserialize)]
struct Unconfirmed {
    order_id: Id,
    claims: Vec<Kept>,
}

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let now = now_ms();
    let reads = vec![
        queries::payments_to_check(now, ROWS),
        queries::refunds_to_check(now, ROWS),
        queries::unconfirmed(now - UNCONFIRMED_MS, ROWS),
    ];
    let rows = ctx.db()?.read(reads).await?;
    let (payments, refunds): (Vec<String>, Vec<String>) = (rows.all(0)?, rows.all(1)?);
    let unconfirmed: Vec<Unconfirmed> = rows.all(2)?;
    let (mut asked, mut unanswered) = (0, 0);
    for id in &payments {
        if now_ms() > until {
            break;
        }
        asked += 1;
        unanswered += u32::from(ask(ctx, id).await.is_err());
    }
    for id in &refunds {
        if now_ms() > until {
            break;
        }
        asked += 1;
        if refund::carry_on(ctx, id, None, &[]).await.is_err() {
            unanswered += 1;
            ctx.db()?
                .batch(vec![queries::check_refund_at(id, conclude::next_check(unanswered.into()))])
                .await?;
        }
    }
    let mut found = 0;
    for one in &unconfirmed {
        if now_ms() > until {
            break;
        }
        found += 1;
        let claims = record::claims(ctx, &one.claims, false)?;
        let mut statements = deliver::confirm(ctx, claims, Some((&one.order_id, true))).await?;
        let id = one.order_id.as_str();
        statements.push(jobs::count_drift("paid_without_claim", now, id));
        ctx.db()?.batch(statements).await?;
    }
    let outcome = format!("{asked} asked, {unanswered} unanswered, {found} unconfirmed");
    Ok(Done { outcome, watermark: String::new() })
}

async fn ask(ctx: &Ctx, payment_id: &str) -> Answer<()> {
    let Some(row) = record::read(ctx, payment_id).await? else { return Ok(()) };
    // Past its deadline it is closed as well, for its order may wait for another one or for none.
    let over = now_ms() > row.expires_at + AFTER_DEADLINE_MS;
    let answer = if over {
        conclude::conclude(ctx, payment_id).await
    } else {
        conclude::ask(ctx, &row).await
    };
    // Once more between its deadline and the end of the hold: whoever paid in the last minute without a
    // notice coming keeps their time.
    let mut next = conclude::next_check(row.checks + 1);
    if now_ms() < row.expires_at {
        next = next.min(row.expires_at + JUST_AFTER_MS);
    }
    ctx.db()?.batch(vec![queries::check_payment_at(payment_id, next)]).await?;
    answer.map(drop)
}
