//! The cashier takes what remains: over the counter, in cash or at the store's own terminal.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::ledger;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::remaining_fen;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::claim::Operator;
use crate::d1::precondition;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Int};
use crate::http::{Ctx, respond};
use crate::order::{self, Actor, refused};
use crate::payment::channel::CounterChannel;
use crate::payment::queries;

/// Money taken over the counter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    channel: CounterChannel,
    /// In fen; all that remains when absent.
    amount_fen: Option<Int<1, 100_000_000>>,
}

/// An order after money was taken.
#[derive(Serialize, ToSchema)]
pub struct SettleAnswer {
    /// The order's status: `completed` when nothing remains.
    status: String,
    /// What was taken, in fen.
    taken_fen: i64,
    /// What was paid in all, in fen.
    paid_fen: i64,
    /// What remains, in fen.
    remaining_fen: i64,
}

#[derive(Deserialize)]
struct ToSettle {
    store_id: Id,
    status: Status,
    version: i64,
    total_fen: i64,
    paid_fen: i64,
    /// A wish for which nothing is accepted has none: its deposit completes nothing.
    has_line: bool,
}

/// Take what remains to be paid
///
/// The order is completed when nothing remains. One that was paid in full beforehand is completed
/// without anything taken.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/settle", tag = "payments", operation_id = "settle",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = Settle,
    responses((status = 200, description = "Taken", body = SettleAnswer)),
)]
pub(crate) async fn settle(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<Settle>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let wish = operation.body;
    let db = ctx.db()?;
    let rows = db.read(vec![operator.stored(), queries::to_settle(&order_id)]).await?;
    let known: ToSettle = rows.first(1)?.ok_or_else(|| Problem::from(Code::NotFound))?;
    staff.require(Permission::PaymentTake, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    if !known.has_line {
        return Err(Code::OrderNotChangeable.into());
    }
    let due = remaining_fen(known.total_fen, known.paid_fen);
    let taken = wish.amount_fen.map_or(due, Int::get);
    if taken > due {
        return Err(Problem::from(Code::SettleTooLarge).with(due).at("amount_fen"));
    }
    let remaining = due - taken;
    let next = apply(known.status, Event::Settled { remaining_fen: remaining }).map_err(refused)?;
    let provider = wish.channel.provider();
    let answer = SettleAnswer {
        status: next.as_str().into(),
        taken_fen: taken,
        paid_fen: known.paid_fen + taken,
        remaining_fen: remaining,
    };
    let response = serde_json::to_string(&answer).map_err(Problem::internal)?;
    let (payment_id, event_id) = (ctx.new_id()?, ctx.new_id()?);
    let mut statements = vec![
        operator.store(StatusCode::OK, &response, ctx.now),
        precondition(
            "order_version",
            "EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND version = ?2)",
            vec![(&order_id).into(), known.version.into()],
        ),
        queries::order_is(&order_id, next.as_str(), ctx.now),
    ];
    if taken > 0 {
        let order = (&order_id, &known.store_id);
        statements.push(queries::insert_taken(
            &payment_id,
            order,
            provider,
            taken,
            &staff.id,
            ctx.now,
        ));
        for entry in ledger::paid(payment_id.as_str(), order_id.as_str(), provider.as_str(), taken)
        {
            statements.push(queries::post(&entry, ctx.now));
        }
    }
    let detail = serde_json::json!({
        "channel": wish.channel, "amount_fen": taken, "remaining_fen": remaining,
    });
    let actor = Actor::Staff(staff.id);
    statements.push(order::queries::insert_event(
        &event_id, &order_id, ctx.now, "settled", &actor, &detail,
    ));
    match db.batch(statements).await {
        Ok(_) => Ok(respond::json_bytes(StatusCode::OK, response.into_bytes())),
        Err(error) if error.is_constraint("idempotency_actor") => operator.replay_now(&ctx).await,
        Err(error) => Err(error.into()),
    }
}
