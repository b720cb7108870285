//! Lists of orders.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::auth::caller::{Member, Scope, Staff};
use crate::auth::permission::Permission;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Query;
use crate::http::fields::{Id, Instant, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::order::{queries, view};

/// A state to filter by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusFilter {
    /// Its time is held until it is paid.
    PendingPayment,
    /// Paid; its time is about to be confirmed.
    Paid,
    /// The appointment stands.
    Confirmed,
    /// The customer is being served.
    InService,
    /// Served.
    Completed,
    /// It was given up.
    Cancelled,
    /// The customer did not come.
    NoShow,
    /// It was not paid in time.
    Closed,
}

impl StatusFilter {
    /// As rows say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingPayment => "pending_payment",
            Self::Paid => "paid",
            Self::Confirmed => "confirmed",
            Self::InService => "in_service",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::NoShow => "no_show",
            Self::Closed => "closed",
        }
    }
}

/// Which of a member's orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MemberFilter {
    #[param(inline)]
    status: Option<StatusFilter>,
    #[param(inline)]
    store_id: Option<Id>,
    #[param(inline)]
    service_id: Option<Id>,
    /// Appointments that start at or after.
    #[param(inline)]
    from: Option<Instant>,
    /// Appointments that start before.
    #[param(inline)]
    until: Option<Instant>,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// Which of the stores' orders; a store, a technician or a member must be named.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StaffFilter {
    #[param(inline)]
    store_id: Option<Id>,
    #[param(inline)]
    technician_id: Option<Id>,
    #[param(inline)]
    member_id: Option<Id>,
    #[param(inline)]
    status: Option<StatusFilter>,
    #[param(inline)]
    service_id: Option<Id>,
    /// Appointments that start at or after.
    #[param(inline)]
    from: Option<Instant>,
    /// Appointments that start before.
    #[param(inline)]
    until: Option<Instant>,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// UTC milliseconds of an instant in a filter; without an offset it is Beijing's clock.
fn ms(instant: Instant) -> i64 {
    match instant {
        Instant::Offset { ms, .. } => ms,
        Instant::Local(local) => local.and_utc().timestamp_millis() - 8 * 3_600_000,
    }
}

fn limit(limit: Option<Int<1, 100>>) -> u32 {
    limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(DEFAULT_LIMIT)
}

/// One's own orders
///
/// The latest appointment comes first.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders", operation_id = "orders", params(MemberFilter),
    responses((status = 200, description = "A page", body = Page<view::Order>)),
)]
pub(crate) async fn list_as_member(
    ctx: Ctx,
    member: Member,
    Query(filter): Query<MemberFilter>,
) -> Answer<Json<Page<view::Order>>> {
    let filter = queries::Filter {
        member_id: Some(&member.id),
        store_id: filter.store_id.as_ref(),
        service_id: filter.service_id.as_ref(),
        status: filter.status.map(StatusFilter::as_str),
        from: filter.from.map(ms),
        until: filter.until.map(ms),
        after: page::decode(filter.cursor.as_ref().map(Text::as_str))?,
        limit: limit(filter.limit),
        ..queries::Filter::default()
    };
    let mut page = list(&ctx, &filter).await?;
    page.0.items = page.0.items.into_iter().map(view::Order::for_member).collect();
    Ok(page)
}

/// Orders of one's stores
///
/// The latest appointment comes first.
#[utoipa::path(
    get, path = "/api/v1/staff/orders", tag = "orders", operation_id = "staff_orders", params(StaffFilter),
    responses((status = 200, description = "A page", body = Page<view::Order>)),
)]
pub(crate) async fn list_as_staff(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<StaffFilter>,
) -> Answer<Json<Page<view::Order>>> {
    let mut filter = queries::Filter {
        member_id: wanted.member_id.as_ref(),
        store_id: wanted.store_id.as_ref(),
        technician_id: wanted.technician_id.as_ref(),
        service_id: wanted.service_id.as_ref(),
        status: wanted.status.map(StatusFilter::as_str),
        from: wanted.from.map(ms),
        until: wanted.until.map(ms),
        scope: Some(staff.scope(Permission::BookingRead)),
        after: page::decode(wanted.cursor.as_ref().map(Text::as_str))?,
        limit: limit(wanted.limit),
    };
    // A technician sees what is theirs.
    if filter.scope == Some(Scope::Stores(Vec::new())) {
        let own = staff.technician_id.as_ref();
        if own.is_none() || filter.technician_id.is_some_and(|asked| Some(asked) != own) {
            return Err(Problem::from(Code::Forbidden).with(Permission::BookingRead.as_str()));
        }
        (filter.technician_id, filter.scope) = (own, Some(staff.scope(Permission::BookingReadOwn)));
    }
    if let Some(store_id) = filter.store_id {
        let allowed = match &filter.scope {
            Some(Scope::Stores(stores)) => stores.contains(store_id),
            _ => true,
        };
        if !allowed {
            return Err(Code::ForeignStore.into());
        }
    }
    if filter.store_id.is_none() && filter.technician_id.is_none() && filter.member_id.is_none() {
        return Err(Problem::from(Code::MissingField).at("store_id"));
    }
    list(&ctx, &filter).await
}

async fn list(ctx: &Ctx, filter: &queries::Filter<'_>) -> Answer<Json<Page<view::Order>>> {
    let rows = ctx.db()?.read(vec![queries::list(filter)]).await?;
    let orders = rows.all::<view::Row>(0)?.into_iter().map(view::Row::into_view).collect();
    Ok(Json(Page::of(orders, filter.limit, view::Order::key)))
}
