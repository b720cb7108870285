//! Who did not come: the order is a no-show, what the scale gives back for it goes back, the rest stays, and
//! the member's count grows. By staff, and by the store's rule in `jobs/mark_no_shows.rs`.

use serde::Deserialize;
use zhundian_domain::cancellation::{Tiers, no_show_refund_fen};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::reminder::Change;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::OrderAnswer;
use crate::error::{Answer, Code, Problem};
use crate::http::context::now_ms;
use crate::http::extract::PathId;
use crate::http::fields::Id;
use crate::http::{Ctx, Json};
use crate::order::{self, Actor, refused};
use crate::outbox;
use crate::payment;
use crate::payment::refund::{self, Refundables};
use crate::reminder;
use crate::visit::queries;

#[derive(Deserialize)]
struct Known {
    member_id: Option<Id>,
    store_id: Id,
    status: Status,
    version: i64,
    start_at: i64,
    cancellation: Tiers,
    /// Nobody is expected for a wish for which nothing is accepted.
    has_line: bool,
}

/// Note that nobody came
///
/// From the start of the appointment on. What the order's cancellation tiers say for the time after the
/// start comes back, which is nothing unless one of them goes on past it. One that is a no-show already
/// is answered as it is.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/no-show", tag = "visits", operation_id = "no_show",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "Noted", body = OrderAnswer)),
)]
pub(crate) async fn no_show(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<OrderAnswer>> {
    let known: Option<Known> = ctx.db()?.first(queries::to_note_absent(&id)).await?;
    let known = known.ok_or_else(|| Problem::from(Code::NotFound))?;
    staff.require(Permission::VisitWrite, &known.store_id)?;
    if known.status != Status::NoShow {
        note(&ctx, &id, known, &Actor::Staff(staff.id)).await?;
    }
    Ok(Json(OrderAnswer { order: order::detail_view(&ctx, &id).await? }))
}

/// By the store's rule: unless somebody has checked in or changed the order since it was found.
///
/// # Errors
/// 409 when the order has changed; 503.
pub async fn note_by_rule(ctx: &Ctx, id: &Id, version: i64) -> Answer<()> {
    let known: Option<Known> = ctx.db()?.first(queries::to_note_absent(id)).await?;
    let known = known.filter(|known| known.version == version);
    let known = known.ok_or_else(|| Problem::from(Code::OrderChanged))?;
    note(ctx, id, known, &Actor::System).await
}

async fn note(ctx: &Ctx, id: &Id, known: Known, actor: &Actor) -> Answer<()> {
    if !known.has_line && known.status == Status::Confirmed {
        return Err(Code::OrderNotChangeable.into());
    }
    let now = now_ms();
    let start_at = known.start_at;
    let next = apply(known.status, Event::NoShow { now, start_at }).map_err(refused)?;
    let refundables: Refundables =
        ctx.db()?.read(vec![payment::queries::refundable(id, false)]).await?.one(0)?;
    let refund_fen = no_show_refund_fen(&known.cancellation, refundables.paid_fen(), start_at);
    let (refunds, asked) = refund::wanted(
        ctx,
        &refund::Wish {
            order_id: id,
            payments: &refundables.payments(),
            amount_fen: refund_fen,
            cause: "no_show",
            reason: "",
            staff_id: match actor {
                Actor::Staff(staff_id) => Some(staff_id),
                _ => None,
            },
        },
    )?;
    let detail = serde_json::json!({ "refund_fen": refund_fen });
    let event_id = ctx.new_id()?;
    let mut statements = vec![
        queries::unchanged(id, known.version),
        payment::queries::order_is(id, next.as_str(), now),
        order::queries::insert_event(&event_id, id, now, "no_show", actor, &detail),
    ];
    statements.extend(known.member_id.as_ref().map(queries::count_no_show));
    statements.extend(refunds);
    statements.extend(reminder::news(ctx, Change::NoShow, id, start_at, actor, now)?);
    for row in &asked {
        statements.push(row.insert(ctx)?);
    }
    ctx.db()?.batch(statements).await?;
    outbox::deliver_soon(ctx, asked).await;
    Ok(())
}
