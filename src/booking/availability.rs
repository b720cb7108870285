//! `GET /api/v1/availability`: free starts of a service, one D1 query whatever the number of
//! technicians.

use axum::response::Response;
use chrono::Days;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::geo::Point;
use zhundian_domain::time::{Bits, TICK_MINUTES, Tick, dates_interval, wall_at};
use zhundian_domain::zone::Zone;

use crate::booking::offer::{Known, Row, days_around};
use crate::booking::queries::{self, Asked};
use crate::booking::visit::Travel;
use crate::catalog::Place;
use crate::catalog::home::point;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Query;
use crate::http::fields::{At, Date, Degrees, Id, Int};
use crate::http::{Ctx, respond};

/// Which starts to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The store.
    #[param(inline)]
    store_id: Id,
    /// The service.
    #[param(inline)]
    service_id: Id,
    /// A technician; any who can do it when absent.
    #[param(inline)]
    technician_id: Option<Id>,
    /// First date, on the store's clock.
    #[param(inline)]
    from: Date,
    /// How many dates.
    #[param(inline)]
    days: Int<1, 31>,
    /// In the store when absent.
    #[param(inline)]
    place: Option<Place>,
    /// Where the customer lives, for a visit at home.
    #[param(inline)]
    latitude: Option<Degrees<90>>,
    /// With `latitude`.
    #[param(inline)]
    longitude: Option<Degrees<180>>,
}

impl Wanted {
    /// The point of a visit at home.
    fn home(&self) -> Answer<Option<Point>> {
        let missing = |field: &str| Err(Problem::from(Code::MissingField).at(field));
        match (self.place, self.latitude, self.longitude) {
            (Some(Place::Home), Some(latitude), Some(longitude)) => {
                point(latitude.get(), longitude.get()).map(Some)
            }
            (Some(Place::Home), None, _) => missing("latitude"),
            (Some(Place::Home), _, None) => missing("longitude"),
            (_, None, None) => Ok(None),
            _ => missing("place"),
        }
    }
}

/// Free starts by date.
#[derive(Serialize, ToSchema)]
pub struct Availability {
    /// Every date asked for, in order.
    days: Vec<Day>,
    /// The way to a visit at home; its fee is a part of the price.
    #[serde(skip_serializing_if = "Option::is_none")]
    travel: Option<Travel>,
}

/// A date's free starts.
#[derive(Serialize, ToSchema)]
pub struct Day {
    /// On the store's clock.
    date: Date,
    /// In order.
    slots: Vec<Slot>,
}

/// A free start.
#[derive(Serialize, ToSchema)]
pub struct Slot {
    /// When the service starts.
    start_at: At,
    /// Who can do it then, in no order.
    technician_ids: Vec<Id>,
}

/// Free starts of a service
///
/// What is offered here, booking accepts, if nothing changed between (I7).
#[utoipa::path(
    get, path = "/api/v1/availability", tag = "booking", operation_id = "availability", params(Wanted),
    responses((status = 200, description = "Free starts", body = Availability)),
)]
pub(crate) async fn availability(ctx: Ctx, Query(wanted): Query<Wanted>) -> Answer<Response> {
    let days = u32::try_from(wanted.days.get()).unwrap_or(1);
    let from = wanted.from.0;
    let until = from.checked_add_days(Days::new(u64::from(days))).unwrap_or(from);
    let home = wanted.home()?;
    let asked = Asked::Service {
        service_id: &wanted.service_id,
        store_id: &wanted.store_id,
        technician_id: wanted.technician_id.as_ref(),
        home: home.is_some(),
    };
    let row: Option<Row> = ctx.db()?.first(queries::offer(&asked, from, until, false)).await?;
    let mut offer = row.ok_or_else(|| Problem::internal("no offer row"))?.into_offer()?;
    if wanted.technician_id.is_some() && offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    let travel = match home {
        Some(_) if !offer.service.places.contains(&Place::Home) => {
            return Err(Problem::from(Code::PlaceNotOffered).at("place"));
        }
        Some(point) => offer.visit(point, true)?,
        None => None,
    };
    let zone = offer.store.time_zone;
    let range = dates_interval(zone, from, days)
        .ok_or_else(|| Problem::from(Code::InvalidDate).at("from"))?;
    let mut allowed = offer.allowed(ctx.now, range, false);
    if !offer.is_open() {
        allowed = Bits::none(range);
    }
    let around = days_around(range);
    let known = Known { store_id: &offer.store.id, fresh: &[] };
    offer.keep_with_resources(&mut allowed, around, known);
    let starts: Vec<(&Id, Bits)> = offer
        .technicians
        .iter()
        .map(|technician| (technician.id(), offer.starts(technician, around, known)))
        .collect();
    let mut text = write(zone, from, days, &allowed, &starts);
    if let Some(travel) = travel {
        text.pop();
        text.push_str(",\"travel\":");
        text.push_str(&serde_json::to_string(&travel).map_err(Problem::internal)?);
        text.push('}');
    }
    Ok(respond::json_bytes(http::StatusCode::OK, text.into_bytes()))
}

/// Writes the answer straight into one text: a busy store's week has tens of thousands of ids in it.
fn write(
    zone: Zone,
    from: chrono::NaiveDate,
    days: u32,
    allowed: &Bits,
    starts: &[(&Id, Bits)],
) -> String {
    // A start with every technician is the longest there is; most days are fuller than that.
    let longest = 64 + starts.len() * 35;
    let mut out = String::with_capacity((allowed.ones().count() * longest / 2).min(MAX_CAPACITY));
    out.push_str("{\"days\":[");
    let mut ones = allowed.ones().peekable();
    let mut stamp = Stamp::default();
    for (index, date) in from.iter_days().take(days as usize).enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str("{\"date\":\"");
        out.push_str(&date.to_string());
        out.push_str("\",\"slots\":[");
        let mut first = true;
        while let Some(&tick) = ones.peek() {
            if !stamp.see(zone, tick) || stamp.date != Some(date) {
                break;
            }
            ones.next();
            let mut some = false;
            for (id, _) in starts.iter().filter(|(_, bits)| bits.get(tick)) {
                if some {
                    out.push_str("\",\"");
                } else {
                    out.push_str(if first { "{\"start_at\":\"" } else { ",{\"start_at\":\"" });
                    stamp.write(&mut out);
                    out.push_str("\",\"technician_ids\":[\"");
                }
                (some, first) = (true, false);
                out.push_str(id.as_str());
            }
            if some {
                out.push_str("\"]}");
            }
        }
        out.push_str("]}");
    }
    out.push_str("]}");
    out
}

/// Bytes set aside at once for an answer; a longer one grows.
const MAX_CAPACITY: usize = 256 * 1024;
/// Ticks in an hour.
const HOUR: i64 = 60 / TICK_MINUTES;
/// Minutes on a clock's face.
const DAY_MINUTES: u16 = 24 * 60;

/// Writes instants of the same date and offset without formatting them anew, and asks the time zone
/// library once an hour: an hour at whose ends the clock has one offset has it throughout.
#[derive(Default)]
struct Stamp {
    date: Option<chrono::NaiveDate>,
    offset_seconds: i32,
    minute: u16,
    /// The hour that is steady, and what the clock shows at its beginning.
    steady: Option<(Tick, u16)>,
    prefix: String,
    suffix: String,
}

impl Stamp {
    fn see(&mut self, zone: Zone, tick: Tick) -> bool {
        if let Some((from, minute)) = self.steady
            && (0..HOUR).contains(&tick.since(from))
            && let Ok(past) = u16::try_from(tick.since(from) * TICK_MINUTES)
            && minute + past < DAY_MINUTES
        {
            self.minute = minute + past;
            return true;
        }
        let Some(wall) = wall_at(zone, tick.ms()) else { return false };
        let hour_ends = wall_at(zone, tick.plus(HOUR - 1).ms());
        let steady = hour_ends.is_some_and(|end| end.offset_seconds == wall.offset_seconds);
        self.steady = steady.then_some((tick, wall.minute));
        self.minute = wall.minute;
        if self.date != Some(wall.date) || self.offset_seconds != wall.offset_seconds {
            let text = zhundian_domain::time::rfc3339(zone, tick.ms());
            text.get(..11).unwrap_or_default().clone_into(&mut self.prefix);
            text.get(19..).unwrap_or_default().clone_into(&mut self.suffix);
            (self.date, self.offset_seconds) = (Some(wall.date), wall.offset_seconds);
        }
        true
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.prefix);
        push_two(out, self.minute / 60);
        out.push(':');
        push_two(out, self.minute % 60);
        out.push_str(":00");
        out.push_str(&self.suffix);
    }
}

fn push_two(out: &mut String, number: u16) {
    for digit in [number / 10, number % 10] {
        out.push(char::from_digit(u32::from(digit), 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::write;
    use zhundian_domain::time::{Bits, Tick, dates_interval};
    use zhundian_domain::zone::Zone;

    #[test]
    fn slots_are_written_under_their_local_date() {
        let zone = Zone::SHANGHAI;
        let from = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).expect("a date");
        let range = dates_interval(zone, from, 2).expect("a range");
        let mut allowed = Bits::none(range);
        let at = |text: &str| {
            let ms =
                chrono::DateTime::parse_from_rfc3339(text).expect("an instant").timestamp_millis();
            Tick::from_ms(ms).expect("on the grid")
        };
        let mut free = Bits::none(range);
        for text in
            ["2026-11-23T23:55:00+08:00", "2026-11-24T09:05:00+08:00", "2026-11-24T10:00:00+08:00"]
        {
            allowed.set(at(text), true);
            free.set(at(text), true);
        }
        free.set(at("2026-11-24T10:00:00+08:00"), false);
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        let ids = [a.parse().expect("an id"), b.parse().expect("an id")];
        let starts = [(&ids[0], free.clone()), (&ids[1], free)];
        let text = write(zone, from, 2, &allowed, &starts);
        let wanted = format!(
            "{{\"days\":[{{\"date\":\"2026-11-23\",\"slots\":[{{\"start_at\":\"2026-11-23T23:55:00+08:00\",\
             \"technician_ids\":[\"{a}\",\"{b}\"]}}]}},{{\"date\":\"2026-11-24\",\"slots\":[{{\"start_at\":\
             \"2026-11-24T09:05:00+08:00\",\"technician_ids\":[\"{a}\",\"{b}\"]}}]}}]}}"
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_stamp_says_what_the_library_says_also_where_the_clock_is_turned() {
        let cases = [
            ("Asia/Shanghai", "2026-11-23"),
            ("Europe/Berlin", "2026-03-28"),
            ("Europe/Berlin", "2026-10-24"),
            ("Australia/Lord_Howe", "2026-04-04"),
            ("Australia/Lord_Howe", "2026-10-03"),
        ];
        for (zone, from) in cases {
            let zone = zone.parse().expect("a zone");
            let range = dates_interval(zone, from.parse().expect("a date"), 3).expect("a range");
            // Every tick, and only some of them.
            for step in [1, 5, 13] {
                let mut stamp = super::Stamp::default();
                for tick in (0..range.ticks()).step_by(step).map(|by| range.start.plus(by)) {
                    let mut text = String::new();
                    assert!(stamp.see(zone, tick));
                    stamp.write(&mut text);
                    assert_eq!(text, zhundian_domain::time::rfc3339(zone, tick.ms()));
                }
            }
        }
    }
}
