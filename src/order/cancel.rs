//! Giving an order up: D1 first, then the calendar by the outbox.

use serde::Deserialize;
use utoipa::ToSchema;
use zhundian_domain::cancellation::{Side, Tiers, refund_fen};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::reminder::Change;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::booking::book::OrderAnswer;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId};
use crate::http::fields::{Id, Text};
use crate::http::limits::{self, Limiter};
use crate::http::{Ctx, Json};
use crate::order::{self, Actor, queries, refused};
use crate::outbox::{self, Message};
use crate::payment;
use crate::payment::refund::{self, Refundables};
use crate::reminder;

/// Why an order is given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    reason: Option<Text<0, 200>>,
}

#[derive(Deserialize)]
struct ToCancel {
    member_id: Option<Id>,
    store_id: Id,
    status: Status,
    version: i64,
    change_notice_minutes: i64,
    start_at: i64,
    cancellation: Tiers,
    pending: Option<Id>,
    claims: Vec<(String, String)>,
}

/// Cancel one of one's own orders
///
/// Cancelling one that is cancelled already answers it as it is.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", tag = "orders", operation_id = "cancel",
    params(("id" = Id, Path, description = "The order")), request_body = Cancel,
    responses((status = 200, description = "Cancelled", body = OrderAnswer)),
)]
pub(crate) async fn cancel_as_member(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
    Body(wish): Body<Cancel>,
) -> Answer<Json<OrderAnswer>> {
    limits::count(&ctx, Limiter::Booking, member.id.as_str()).await?;
    let known = read(&ctx, &id).await?;
    if known.member_id.as_ref() != Some(&member.id) {
        return Err(Code::NotFound.into());
    }
    let event = Event::CancelledByMember {
        now: ctx.now,
        start_at: known.start_at,
        notice_minutes: known.change_notice_minutes,
    };
    cancel(&ctx, &id, known, event, &Actor::Member(member.id), wish.reason).await
}

/// Cancel a customer's order
///
/// Cancelling one that is cancelled already answers it as it is.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/cancel", tag = "orders", operation_id = "staff_cancel",
    params(("id" = Id, Path, description = "The order")), request_body = Cancel,
    responses((status = 200, description = "Cancelled", body = OrderAnswer)),
)]
pub(crate) async fn cancel_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(wish): Body<Cancel>,
) -> Answer<Json<OrderAnswer>> {
    let known = read(&ctx, &id).await?;
    staff.require(Permission::BookingWrite, &known.store_id)?;
    cancel(&ctx, &id, known, Event::CancelledByStaff, &Actor::Staff(staff.id), wish.reason).await
}

async fn read(ctx: &Ctx, id: &Id) -> Answer<ToCancel> {
    ctx.db()?.first(queries::to_cancel(id)).await?.ok_or_else(|| Problem::from(Code::NotFound))
}

/// Cancels an order that the store cannot keep: what was paid goes back in full, and the customer is told.
/// It is decided on the order as it was at `version`.
///
/// # Errors
/// `order_changed` when somebody changes it meanwhile; 503.
pub async fn by_system(ctx: &Ctx, id: &Id, version: i64, reason: &str) -> Answer<()> {
    let known = read(ctx, id).await?;
    if known.version != version {
        return Err(Code::OrderChanged.into());
    }
    apply(known.status, Event::CancelledByStaff).map_err(refused)?;
    give_up(ctx, id, known, &Actor::System, reason, Change::Lost).await.map(drop)
}

async fn cancel(
    ctx: &Ctx,
    id: &Id,
    known: ToCancel,
    event: Event,
    actor: &Actor,
    reason: Option<Text<0, 200>>,
) -> Answer<Json<OrderAnswer>> {
    let mut view = order::detail_view(ctx, id).await?;
    if matches!(actor, Actor::Member(_)) {
        view = view.for_member();
    }
    if known.status == Status::Cancelled {
        return Ok(Json(OrderAnswer { order: view }));
    }
    apply(known.status, event).map_err(refused)?;
    let reason = reason.unwrap_or_default();
    let stood = matches!(known.status, Status::Confirmed | Status::InService);
    let change = Change::Cancelled { stood };
    match give_up(ctx, id, known, actor, reason.as_str(), change).await {
        Ok(refund_fen) => {
            view.cancelled(refund_fen);
            Ok(Json(OrderAnswer { order: view }))
        }
        // Another request may have cancelled it meanwhile; then it is as was wished.
        Err(problem)
            if problem.code() == Code::OrderChanged
                && read(ctx, id).await?.status == Status::Cancelled =>
        {
            let view = order::detail_view(ctx, id).await?;
            let of_member = matches!(actor, Actor::Member(_));
            Ok(Json(OrderAnswer { order: if of_member { view.for_member() } else { view } }))
        }
        Err(problem) => Err(problem),
    }
}

/// Writes the end of an order, with what must follow; answers what goes back.
async fn give_up(
    ctx: &Ctx,
    id: &Id,
    known: ToCancel,
    actor: &Actor,
    reason: &str,
    change: Change,
) -> Answer<i64> {
    let mut rows = outbox::releases(ctx, known.claims)?;
    if let Some(payment_id) = known.pending {
        rows.push(outbox::Row::new(ctx, Message::ClosePayment { payment_id })?);
    }
    let side = match actor {
        Actor::Member(_) => Side::of_member(known.status),
        _ => Side::Store,
    };
    let refundables: Refundables =
        ctx.db()?.read(vec![payment::queries::refundable(id, false)]).await?.one(0)?;
    let refund_fen =
        refund_fen(&known.cancellation, side, refundables.paid_fen(), known.start_at, ctx.now);
    let (refunds, asked) = refund::wanted(
        ctx,
        &refund::Wish {
            order_id: id,
            payments: &refundables.payments(),
            amount_fen: refund_fen,
            cause: "cancelled",
            reason: "",
            staff_id: match actor {
                Actor::Staff(staff_id) => Some(staff_id),
                _ => None,
            },
        },
    )?;
    rows.extend(asked);
    let detail = serde_json::json!({ "reason": reason, "refund_fen": refund_fen });
    let mut statements: Vec<_> = queries::cancel(id, known.version, ctx.now).into();
    statements.push(queries::insert_event(
        &ctx.new_id()?,
        id,
        ctx.now,
        "cancelled",
        actor,
        &detail,
    ));
    statements.extend(refunds);
    statements.extend(reminder::news(ctx, change, id, known.start_at, actor, ctx.now)?);
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    ctx.db()?.batch(statements).await?;
    outbox::deliver_soon(ctx, rows).await;
    Ok(refund_fen)
}
