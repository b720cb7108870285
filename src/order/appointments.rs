//! A store's and a technician's day and week, as the screen behind the counter shows them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::time::dates_interval;
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::visit::VisitAddress;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Query;
use crate::http::fields::{At, Date, Id, Int, Text};
use crate::http::page::{self, Page};
use crate::http::{Ctx, Json};
use crate::order::queries;
use crate::order::view::Resource;

/// A state to filter by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// Appointments that stand.
    Confirmed,
    /// Being served.
    InService,
    /// Served.
    Completed,
    /// The customer did not come.
    NoShow,
    /// Appointments given up.
    Cancelled,
    /// Blocked time.
    Blocked,
}

/// Which appointments.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    #[param(inline)]
    store_id: Id,
    /// First date, on the store's clock.
    #[param(inline)]
    from: Date,
    /// How many dates; one when absent.
    #[param(inline)]
    days: Option<Int<1, 31>>,
    #[param(inline)]
    technician_id: Option<Id>,
    #[param(inline)]
    service_id: Option<Id>,
    #[param(inline)]
    status: Option<ItemStatus>,
    #[param(inline)]
    limit: Option<Int<1, 1000>>,
    #[param(inline)]
    cursor: Option<Text<1, 200>>,
}

/// Something in a store's day.
#[derive(Serialize, ToSchema)]
#[schema(as = AppointmentOrBlock)]
pub struct Item {
    /// `appointment`, `block` or `session`.
    kind: String,
    /// The line's, the block's or the session's id.
    id: Id,
    /// The order, of an appointment.
    order_id: Option<Id>,
    /// The order's status, or `blocked`, or the session's: `scheduled`, `cancelled`.
    status: String,
    /// Whose day; null when a room or a piece of equipment is blocked.
    technician_id: Option<Id>,
    /// Their name.
    technician_name: Option<String>,
    /// The room or piece of equipment that is blocked.
    resource: Option<Resource>,
    /// The service, unless time is blocked.
    service_id: Option<Id>,
    /// Its name.
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
    /// Where the technician comes to, of a visit at home.
    address: Option<VisitAddress>,
    /// How many things were ordered beforehand; the order's detail lists them.
    items: i64,
    #[serde(skip)]
    key: (i64, Id),
}

#[derive(Deserialize)]
struct Row {
    kind: String,
    id: Id,
    order_id: Option<Id>,
    status: String,
    technician_id: Option<Id>,
    technician_name: Option<String>,
    resource: Option<Resource>,
    service_id: Option<Id>,
    service_name: Option<String>,
    start_at: i64,
    end_at: i64,
    customer: String,
    phone: String,
    note: String,
    address: Option<VisitAddress>,
    items: i64,
}

impl Row {
    fn into_item(self, zone: Zone) -> Item {
        Item {
            key: (self.start_at, self.id.clone()),
            kind: self.kind,
            id: self.id,
            order_id: self.order_id,
            status: self.status,
            technician_id: self.technician_id,
            technician_name: self.technician_name,
            resource: self.resource,
            service_id: self.service_id,
            service_name: self.service_name,
            start_at: At::new(zone, self.start_at),
            end_at: At::new(zone, self.end_at),
            customer: self.customer,
            phone: self.phone,
            note: self.note,
            address: self.address,
            items: self.items,
        }
    }
}

/// A store's day or week
///
/// Appointments and blocked time by start, of rooms and equipment too; a technician sees their own.
#[utoipa::path(
    get, path = "/api/v1/staff/appointments", tag = "staff", operation_id = "appointments", params(Wanted),
    responses((status = 200, description = "A page", body = Page<Item>)),
)]
pub(crate) async fn appointments(
    ctx: Ctx,
    staff: Staff,
    Query(wanted): Query<Wanted>,
) -> Answer<Json<Page<Item>>> {
    let mut technician_id = wanted.technician_id.as_ref();
    if !staff.may(Permission::BookingRead, &wanted.store_id) {
        staff.require(Permission::BookingReadOwn, &wanted.store_id)?;
        let own = staff.technician_id.as_ref();
        if own.is_none() || technician_id.is_some_and(|asked| Some(asked) != own) {
            return Err(Problem::from(Code::Forbidden).with(Permission::BookingRead.as_str()));
        }
        technician_id = own;
    }
    let db = ctx.db()?;
    let zone: Option<Zone> = db.first(queries::store_zone(&wanted.store_id)).await?;
    let zone = zone.ok_or_else(|| Problem::from(Code::UnknownStore).at("store_id"))?;
    let days = wanted.days.map_or(1, Int::get);
    let range = dates_interval(zone, wanted.from.0, u32::try_from(days).unwrap_or(1))
        .ok_or_else(|| Problem::from(Code::InvalidDate).at("from"))?;
    let limit = wanted.limit.and_then(|limit| u32::try_from(limit.get()).ok()).unwrap_or(500);
    let day = queries::Day {
        store_id: &wanted.store_id,
        technician_id,
        service_id: wanted.service_id.as_ref(),
        status: wanted.status.map(|status| match status {
            ItemStatus::Confirmed => "confirmed",
            ItemStatus::InService => "in_service",
            ItemStatus::Completed => "completed",
            ItemStatus::NoShow => "no_show",
            ItemStatus::Cancelled => "cancelled",
            ItemStatus::Blocked => "blocked",
        }),
        from: range.start.ms(),
        until: range.end.ms(),
        after: page::decode(wanted.cursor.as_ref().map(Text::as_str))?,
        limit,
    };
    let rows = db.read(vec![queries::day(&day)]).await?;
    let items = rows.all::<Row>(0)?.into_iter().map(|row| row.into_item(zone)).collect();
    Ok(Json(Page::of(items, limit, |item| item.key.clone())))
}
