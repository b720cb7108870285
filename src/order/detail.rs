//! One order with its timeline.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use zhundian_domain::zone::Zone;

use crate::auth::caller::{Member, Staff};
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::extras;
use crate::extras::seen::{self, BookedItem, LineAnswers};
use crate::http::extract::PathId;
use crate::http::fields::{At, Id};
use crate::http::{Ctx, Json};
use crate::order::{queries, view};

/// An order and what happened to it.
#[derive(Serialize, ToSchema)]
pub struct Detail {
    /// The order.
    order: view::Order,
    /// What was answered for its lines, and those for which something is still to be answered, in their order.
    intakes: Vec<LineAnswers>,
    /// What was ordered beforehand.
    items: Vec<BookedItem>,
    /// What happened to it, oldest first.
    timeline: Vec<Event>,
}

/// Something that happened to an order.
#[derive(Serialize, ToSchema)]
pub struct Event {
    /// When.
    at: At,
    /// `booked`, `paid`, `confirmed`, `moved`, `settled`, `cancelled`, `closed`, `claim_lost`, `assigned`,
    /// `accepted`, `declined`, `passed_on`, `silent`, `handed_on`, `offered`, `grabbed`, `proposed`,
    /// `paid_in_vain`, `checked_in`, `departed`, `arrived`, `started`, `finished`, `completed`,
    /// `ended_unpaid`, `no_show`, `refund_requested`, `refunded`, `refund_abnormal`, `refund_closed`.
    kind: String,
    /// `member`, `staff` or `system`.
    actor_kind: String,
    /// Who, when it is somebody.
    actor_id: Option<Id>,
    /// Their name, as far as known.
    actor_name: Option<String>,
    /// What exactly: instants in UTC milliseconds, ids, a reason.
    #[schema(value_type = Object)]
    detail: Value,
}

impl Detail {
    /// Whom the store asks before it has found somebody is its own affair.
    fn for_member(mut self) -> Self {
        if self.order.is_found_by_store() {
            for event in &mut self.timeline {
                if let Some(detail) = event.detail.as_object_mut() {
                    detail.retain(|name, _| !name.ends_with("technician_id"));
                }
            }
        }
        Self { order: self.order.for_member(), ..self }
    }
}

#[derive(Deserialize)]
struct EventRow {
    at: i64,
    kind: String,
    actor_kind: String,
    actor_id: Option<Id>,
    actor_name: Option<String>,
    detail: Value,
}

/// One of one's own orders
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", operation_id = "order",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "The order", body = Detail)),
)]
pub(crate) async fn detail_as_member(
    ctx: Ctx,
    member: Member,
    PathId(id): PathId,
) -> Answer<Json<Detail>> {
    let detail = detail(&ctx, &id).await?;
    if detail.order.member_id() == Some(&member.id) {
        Ok(Json(detail.for_member()))
    } else {
        Err(Code::NotFound.into())
    }
}

/// An order of one's stores
#[utoipa::path(
    get, path = "/api/v1/staff/orders/{id}", tag = "orders", operation_id = "staff_order",
    params(("id" = Id, Path, description = "The order")),
    responses((status = 200, description = "The order", body = Detail)),
)]
pub(crate) async fn detail_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<Detail>> {
    let detail = detail(&ctx, &id).await?;
    let own = staff.technician_id.as_ref().is_some_and(|id| detail.order.is_attended_by(id));
    let permission = if own { Permission::BookingReadOwn } else { Permission::BookingRead };
    staff.require(permission, detail.order.store_id())?;
    Ok(Json(detail))
}

async fn detail(ctx: &Ctx, id: &Id) -> Answer<Detail> {
    let reads = vec![queries::order(id), queries::timeline(id), extras::queries::seen(id)];
    let rows = ctx.db()?.read(reads).await?;
    let row: view::Row = rows.first(0)?.ok_or_else(|| Problem::from(Code::NotFound))?;
    let zone = row.zone();
    let order = row.into_view();
    let timeline =
        rows.one::<Vec<EventRow>>(1)?.into_iter().map(|event| into_event(zone, event)).collect();
    let (intakes, items) = rows.one::<seen::Row>(2)?.into_view(zone);
    Ok(Detail { order, intakes, items, timeline })
}

fn into_event(zone: Zone, event: EventRow) -> Event {
    Event {
        at: At::new(zone, event.at),
        kind: event.kind,
        actor_kind: event.actor_kind,
        actor_id: event.actor_id,
        actor_name: event.actor_name,
        detail: event.detail,
    }
}
