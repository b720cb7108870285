//! Ends orders whose time was held for payment and whose hold has ended. The provider is asked before
//! anything is given up: an order is closed only when nobody can pay it any more, and one that was paid
//! in the last moment is paid.

use serde::Deserialize;
use zhundian_domain::order::{Event, Status, apply};

use crate::d1::precondition;
use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::order::{self, Actor, refused};
use crate::outbox;
use crate::payment::conclude::{self, Ended};
use crate::payment::queries;

/// Orders looked at in one run.
const ORDERS: u32 = 200;

#[derive(Deserialize)]
struct Unpaid {
    id: Id,
    version: i64,
    status: Status,
    pending: Option<String>,
    claims: Vec<(String, String)>,
}

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let orders: Vec<Unpaid> =
        ctx.db()?.read(vec![queries::unpaid(now_ms(), ORDERS)]).await?.all(0)?;
    let (mut closed, mut paid, mut waiting) = (0, 0, 0);
    for order in orders {
        if now_ms() > until {
            break;
        }
        match conclude(ctx, &order).await {
            Ok(Ended::Closed) if close(ctx, order).await.is_ok() => closed += 1,
            Ok(Ended::Paid) => paid += 1,
            // The provider does not say, or the order has changed: the next run asks again.
            _ => waiting += 1,
        }
    }
    let outcome = format!("{closed} closed, {paid} paid, {waiting} waiting");
    Ok(Done { outcome, watermark: String::new() })
}

async fn conclude(ctx: &Ctx, order: &Unpaid) -> Answer<Ended> {
    match &order.pending {
        Some(payment_id) => conclude::conclude(ctx, payment_id).await,
        None => Ok(Ended::Closed),
    }
}

async fn close(ctx: &Ctx, order: Unpaid) -> Answer<()> {
    let next = apply(order.status, Event::Expired).map_err(refused)?;
    let now = now_ms();
    let mut statements = vec![
        precondition(
            "order_version",
            "EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND version = ?2)
                AND NOT EXISTS (SELECT 1 FROM payment WHERE order_id = ?1 AND status = 'pending')",
            vec![(&order.id).into(), order.version.into()],
        ),
        queries::order_is(&order.id, next.as_str(), now),
    ];
    statements.extend(order::queries::give_up_lines(&order.id));
    let event_id = ctx.new_id()?;
    let none = serde_json::json!({});
    statements.push(order::queries::insert_event(
        &event_id,
        &order.id,
        now,
        "closed",
        &Actor::System,
        &none,
    ));
    let rows = outbox::releases(ctx, order.claims)?;
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    ctx.db()?.batch(statements).await?;
    outbox::deliver_soon(ctx, rows).await;
    Ok(())
}
