//! Express orders that wait for something.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::Answer;
use crate::express::queries;
use crate::http::extract::Query;
use crate::http::fields::{Id, Int, Text};
use crate::http::page::{self, DEFAULT_LIMIT, Page};
use crate::http::{Ctx, Json};
use crate::order::view;

/// Of which store.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    #[param(inline)]
    store_id: Id,
    #[param(inline)]
    limit: Option<Int<1, 100>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

#[derive(Deserialize)]
struct Waiting {
    due_at: i64,
    order: view::Row,
}

/// Express orders that wait
///
/// For a proposal or for its answer, the nearest deadline first.
#[utoipa::path(
    get, path = "/api/v1/staff/express-orders", tag = "booking", operation_id = "express_orders",
    params(Wanted),
    responses((status = 200, description = "A page", body = Page<view::Order>)),
)]
pub(crate) async fn list(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<Page<view::Order>>> {
    staff.require(Permission::BookingRead, &wanted.store_id)?;
    let limit = wanted.limit.and_then(|limit| u32::try_from(limit.get()).ok());
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let after = page::decode(wanted.cursor.as_ref().map(Text::as_str))?;
    let statement = queries::waiting(&wanted.store_id, after, limit);
    let rows = ctx.db()?.read(vec![statement]).await?.all::<Waiting>(0)?;
    let rows = rows.into_iter().map(|row| (row.due_at, row.order.into_view())).collect();
    let page =
        Page::of(rows, limit, |(due_at, order): &(i64, view::Order)| (*due_at, order.key().1));
    let items = page.items.into_iter().map(|(_, order)| order).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}
