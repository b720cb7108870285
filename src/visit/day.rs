//! A technician's own day, in whatever stores they work.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::time::{DAY_MS, date_at};
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::error::Answer;
use crate::http::extract::Query;
use crate::http::fields::{At, Date, Id};
use crate::http::{Ctx, Json};
use crate::order::view::{LineVisit, LineVisitRow};
use crate::visit::queries;

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WantedDay {
    /// On the clock of each store.
    #[param(inline)]
    date: Date,
}

/// A day.
#[derive(Serialize, ToSchema)]
pub struct MyDay {
    /// By start; three hundred at most.
    items: Vec<DayItem>,
}

/// Something in one's day.
#[derive(Serialize, ToSchema)]
pub struct DayItem {
    /// `appointment` or `block`.
    kind: String,
    /// The line's or the block's id.
    id: Id,
    /// The order, of an appointment.
    order_id: Option<Id>,
    /// The order's status, or `blocked`.
    status: String,
    /// In which store.
    store_id: Id,
    /// Its name.
    store_name: String,
    /// The service's name, of an appointment.
    service_name: Option<String>,
    /// From.
    start_at: At,
    /// Until.
    end_at: At,
    /// The customer's name, as far as known.
    customer: String,
    /// The customer's phone, as far as known.
    phone: String,
    /// The customer's wish, or why the time is blocked.
    note: String,
    /// When the customer checked in.
    checked_in_at: Option<At>,
    /// How far it has come, of an appointment.
    visit: Option<LineVisit>,
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    id: Id,
    order_id: Option<Id>,
    status: String,
    store_id: Id,
    store_name: String,
    time_zone: Zone,
    service_name: Option<String>,
    start_at: i64,
    end_at: i64,
    customer: String,
    phone: String,
    note: String,
    checked_in_at: Option<i64>,
    visit: Option<LineVisitRow>,
}

/// My day
///
/// The caller's own appointments and blocked time of a date, in all their stores. Empty for somebody
/// who is no technician.
#[utoipa::path(
    get, path = "/api/v1/staff/my/day", tag = "visits", operation_id = "my_day", params(WantedDay),
    responses((status = 200, description = "By start", body = MyDay)),
)]
pub(crate) async fn my_day(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<WantedDay>,
) -> Answer<Json<MyDay>> {
    let Some(technician_id) = &staff.technician_id else {
        return Ok(Json(MyDay { items: Vec::new() }));
    };
    let date = wanted.date.0;
    // A date anywhere lies within a day of the same date in UTC.
    let midnight = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    let around = (midnight - DAY_MS, midnight + 2 * DAY_MS);
    let statement = queries::my_day(technician_id, date, around);
    let rows: Vec<Row> = ctx.db()?.read(vec![statement]).await?.all(0)?;
    let items = rows
        .into_iter()
        .filter(|row| date_at(row.time_zone, row.start_at) == Some(date))
        .map(|row| {
            let zone = row.time_zone;
            DayItem {
                kind: row.kind,
                id: row.id,
                order_id: row.order_id,
                status: row.status,
                store_id: row.store_id,
                store_name: row.store_name,
                service_name: row.service_name,
                start_at: At::new(zone, row.start_at),
                end_at: At::new(zone, row.end_at),
                customer: row.customer,
                phone: row.phone,
                note: row.note,
                checked_in_at: row.checked_in_at.map(|at| At::new(zone, at)),
                visit: row.visit.map(|visit| visit.into_view(zone)),
            }
        });
    Ok(Json(MyDay { items: items.collect() }))
}
