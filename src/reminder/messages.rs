//! What staff see of an order's messages: "did they get it?"

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::reminder::{Kind, To};
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::{Answer, Code};
use crate::http::extract::{PathId, Query};
use crate::http::fields::{At, Id, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::reminder::queries;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// A message.
#[derive(Serialize, ToSchema)]
pub struct Told {
    /// Its id.
    id: Id,
    /// `booked`, `changed`, `cancelled`, `before`, `no_show`, `lost`, `plan` (before a session of a plan),
    /// `asked`, `offered` (technicians are to accept it, may have it), `proposal`.
    kind: String,
    /// `customer` or `technician`.
    to: String,
    /// Which technician.
    technician_name: Option<String>,
    /// The start that it speaks of.
    start_at: Option<At>,
    /// Minutes before the visit; 0 for news.
    lead_minutes: i64,
    /// `pending`; `sending`: under way; `sent`; `skipped`: not told, because of `reason`; `failed`: refused;
    /// `unknown`: it may have gone out or not, and is not sent again.
    state: String,
    /// `wechat` or `sms`, once it was taken for sending.
    channel: Option<String>,
    /// Why it was not sent, or not by WeChat: `too_late`, `moved`, `not_so`, `superseded`, `withdrawn`,
    /// `unreachable` (no consent and no phone), `wechat_…`, `sms_refused`, `no_answer`, `interrupted`, …
    reason: Option<String>,
    /// From when on it is to be sent.
    due_at: At,
    /// When it came to its end.
    done_at: Option<At>,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct Row {
    id: Id,
    kind: Kind,
    recipient: String,
    technician_name: Option<String>,
    start_at: Option<i64>,
    lead_minutes: i64,
    state: String,
    channel: Option<String>,
    reason: Option<String>,
    due_at: i64,
    done_at: Option<i64>,
}

#[derive(Deserialize)]
struct Owner {
    store_id: Id,
    technicians: Vec<Id>,
    time_zone: Zone,
}

/// An order's messages
///
/// What the customer and the technicians were told and will be, the earliest due first.
#[utoipa::path(
    get, path = "/api/v1/staff/orders/{id}/messages", tag = "orders", operation_id = "staff_order_messages",
    params(("id" = Id, Path, description = "The order"), Which),
    responses((status = 200, description = "A page", body = Page<Told>)),
)]
pub(crate) async fn list(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Query(which): Query<Which>,
) -> Answer<Json<Page<Told>>> {
    let limit =
        which.limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(DEFAULT_LIMIT);
    let after = page::decode(which.cursor.as_ref().map(Text::as_str))?;
    let reads = vec![queries::order_of(&id), queries::of_order(&id, after, limit)];
    let rows = ctx.db()?.read(reads).await?;
    let owner: Owner = rows.first(0)?.ok_or(Code::NotFound)?;
    let own = staff.technician_id.as_ref().is_some_and(|id| owner.technicians.contains(id));
    let permission = if own { Permission::BookingReadOwn } else { Permission::BookingRead };
    staff.require(permission, &owner.store_id)?;
    let told = rows.all::<Row>(1)?.into_iter().map(|row| told(owner.time_zone, row)).collect();
    Ok(Json(Page::of(told, limit, |one: &Told| one.key.clone())))
}

fn told(zone: Zone, row: Row) -> Told {
    let to = if row.recipient == "customer" { To::Customer } else { To::Technician };
    Told {
        key: (row.due_at, row.id.clone()),
        id: row.id,
        kind: row.kind.as_str().to_owned(),
        to: match to {
            To::Customer => "customer".to_owned(),
            To::Technician => "technician".to_owned(),
        },
        technician_name: row.technician_name,
        start_at: row.start_at.map(|at| At::new(zone, at)),
        lead_minutes: row.lead_minutes,
        state: row.state,
        channel: row.channel,
        reason: row.reason,
        due_at: At::new(zone, row.due_at),
        done_at: row.done_at.map(|at| At::new(zone, at)),
    }
}
