//! Giving a session up: D1 first; its time, its seats and all who booked them follow by the outbox, some
//! at a time, each with a full refund.

use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::reminder::Change;
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::d1::Statement;
use crate::error::{Answer, Code};
use crate::http::extract::{Body, PathId};
use crate::http::fields::{Id, Int};
use crate::http::{Ctx, Json};
use crate::order;
use crate::outbox::{self, Message, Row};
use crate::reminder;
use crate::session::find::{self, ManagedSession};
use crate::session::{SessionStatus, queries};

/// Orders given up in one delivery.
const ORDERS: u32 = 20;
/// What their timeline says.
const REASON: &str = "课程取消";

/// Which state of a session is meant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelSession {
    /// Its version.
    version: Int<1, 1_000_000_000>,
}

/// Cancel a session
///
/// All its bookings are cancelled by the store, with full refunds. Cancelling one that is cancelled
/// already answers it as it is.
#[utoipa::path(
    post, path = "/api/v1/admin/sessions/{id}/cancel", tag = "classes", operation_id = "cancel_session",
    params(("id" = Id, Path, description = "The session")), request_body = CancelSession,
    responses((status = 200, description = "Cancelled; its bookings follow", body = ManagedSession)),
)]
pub(crate) async fn cancel(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<CancelSession>,
) -> Answer<Json<ManagedSession>> {
    let session = find::row(&ctx, &id).await?;
    staff.require(Permission::ScheduleWrite, &session.store_id)?;
    if session.status == SessionStatus::Cancelled {
        return Ok(Json(session.into()));
    }
    if session.end_at <= ctx.now {
        return Err(Code::StartInPast.into());
    }
    let rows = follow_ups(&ctx, &id).await?;
    let mut statements = queries::cancel(&id, body.version.get(), ctx.now);
    statements.extend(told(&ctx, &id, session.start_at)?);
    for row in &rows {
        statements.push(row.insert(&ctx)?);
    }
    ctx.db()?.batch(statements).await?;
    outbox::deliver_soon(&ctx, rows).await;
    Ok(Json(find::row(&ctx, &id).await?.into()))
}

/// Its technician hears of it; those who have booked hear with their bookings' end.
fn told(ctx: &Ctx, id: &Id, start_at: i64) -> Answer<Option<Statement>> {
    let change = Change::Cancelled { stood: true };
    reminder::classes(ctx, change, &[(id, start_at)], (Zone::UTC, &[]))
}

/// What is to be done when a session is given up: its own time goes back, and everybody's booking.
async fn follow_ups(ctx: &Ctx, id: &Id) -> Answer<Vec<Row>> {
    let claims: Option<Vec<(String, String)>> = ctx.db()?.first(queries::claims(id)).await?;
    let mut rows = outbox::releases(ctx, claims.unwrap_or_default())?;
    rows.push(Row::new(ctx, Message::CancelSession { session_id: id.clone() })?);
    Ok(rows)
}

/// Cancels some of the bookings in a session that was given up; what must be written, another row for the
/// rest among it.
///
/// # Errors
/// 503, `order_changed`: it is tried again.
pub(crate) async fn give_up_bookings(ctx: &Ctx, id: &Id) -> Answer<Vec<Statement>> {
    let orders: Option<Vec<Id>> = ctx.db()?.first(queries::orders_in(id, ORDERS)).await?;
    let orders = orders.unwrap_or_default();
    for order_id in &orders {
        match order::cancel::cancel_for_store(ctx, order_id, REASON).await {
            // It has been served or has ended meanwhile.
            Err(problem) if problem.code() == Code::OrderNotChangeable => {}
            done => done?,
        }
    }
    if orders.len() < ORDERS as usize {
        return Ok(Vec::new());
    }
    let rest = Row::new(ctx, Message::CancelSession { session_id: id.clone() })?;
    Ok(vec![rest.insert_for_cron(ctx)?])
}

/// What must be written when a claim of a session's own was lost: it cannot take place.
///
/// # Errors
/// 503.
pub(crate) async fn lost(ctx: &Ctx, claim_id: &str) -> Answer<Vec<Statement>> {
    let known: Option<(Id, i64)> = ctx.db()?.first(queries::of_claim(claim_id)).await?;
    let Some((id, start_at)) = known else { return Ok(Vec::new()) };
    let mut statements: Vec<Statement> =
        queries::give_up(&id, crate::http::context::now_ms()).into();
    statements.extend(told(ctx, &id, start_at)?);
    for row in follow_ups(ctx, &id).await? {
        statements.push(row.insert_for_cron(ctx)?);
    }
    Ok(statements)
}
