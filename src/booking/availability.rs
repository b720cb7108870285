//! `GET /api/v1/availability`: free starts of a service, one D1 query whatever the number of
//! technicians.

use std::ops::Range;

use axum::response::Response;
use chrono::Days;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::geo::Point;
use zhundian_domain::time::{Bits, Interval, TICK_MINUTES, Tick, dates_interval, wall_at};
use zhundian_domain::zone::Zone;

use crate::booking::book::MAX_ADD_ONS;
use crate::booking::offer::{Known, Row, days_around};
use crate::booking::queries::{self, Asked, Detail};
use crate::booking::visit::Travel;
use crate::catalog::Place;
use crate::catalog::home::point;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::Query;
use crate::http::fields::{At, Date, Degrees, Id, Int, Text};
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
    /// Ids of add-ons that are taken with the service, parted by commas.
    #[param(inline)]
    add_ons: Option<Text<0, 400>>,
    /// Where the customer lives, for a visit at home.
    #[param(inline)]
    latitude: Option<Degrees<90>>,
    /// With `latitude`.
    #[param(inline)]
    longitude: Option<Degrees<180>>,
}

impl Wanted {
    /// What is taken with the service.
    fn add_ons(&self) -> Answer<Vec<Id>> {
        let at = |code: Code| Problem::from(code).at("add_ons");
        let text = self.add_ons.as_ref().map(Text::as_str).unwrap_or_default();
        let ids = text.split(',').filter(|id| !id.is_empty()).map(str::parse);
        let ids = ids.collect::<Result<Vec<Id>, ()>>().map_err(|()| at(Code::InvalidId))?;
        if ids.len() > MAX_ADD_ONS {
            return Err(at(Code::TooManyItems).with(MAX_ADD_ONS));
        }
        Ok(ids)
    }

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
    let add_ons = wanted.add_ons()?;
    let asked = Asked::Service {
        service_id: &wanted.service_id,
        store_id: &wanted.store_id,
        technician_id: wanted.technician_id.as_ref(),
        home: home.is_some(),
    };
    let read = queries::offer(&asked, from, until, Detail::Starts);
    let row: Option<Row> = ctx.db()?.first(read).await?;
    let mut offer = row.ok_or_else(|| Problem::internal("no offer row"))?.into_offer()?;
    offer.require_no_plan()?;
    offer.add(&add_ons)?;
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
    let teams = Teams::of(allowed, starts);
    let ids: Vec<String> = starts.iter().map(|(id, _)| format!("\"{id}\",")).collect();
    let mut slots = teams.iter().peekable();
    let mut out = String::with_capacity(teams.capacity().min(MAX_CAPACITY));
    out.push_str("{\"days\":[");
    let mut stamp = Stamp::default();
    // The team that was written last, and where: the next start has the same one more often than not.
    let (mut last, mut written): (&[u64], _) = (&[], 0..0);
    for date in from.iter_days().take(days as usize) {
        out.push_str("{\"date\":\"");
        out.push_str(&date.to_string());
        out.push_str("\",\"slots\":[");
        while let Some(&(tick, team)) = slots.peek() {
            if !stamp.see(zone, tick) || stamp.date != Some(date) {
                break;
            }
            slots.next();
            stamp.write(&mut out);
            let at = out.len();
            if team == last {
                out.extend_from_within(written);
            } else {
                last = team;
                members(team).filter_map(|index| ids.get(index)).for_each(|id| out.push_str(id));
                out.pop();
            }
            written = at..out.len();
            out.push_str("]},");
        }
        end_list(&mut out);
        out.push_str("},");
    }
    end_list(&mut out);
    out.push('}');
    out
}

/// Ends a list each of whose items was written with a comma after it.
fn end_list(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(']');
}

/// Who can begin when: for each tick a bit for each technician.
struct Teams {
    origin: Tick,
    /// Words of a tick.
    width: usize,
    words: Vec<u64>,
}

impl Teams {
    fn of(allowed: &Bits, starts: &[(&Id, Bits)]) -> Self {
        let Range { start: origin, end } = allowed.range();
        let width = starts.len().div_ceil(WORD_BITS).max(1);
        let ticks = usize::try_from(end.since(origin)).unwrap_or(0);
        let mut words = vec![0_u64; ticks * width];
        for (index, (_, bits)) in starts.iter().enumerate() {
            let Some(range) = Interval::new(origin, end) else { break };
            let mut bits = bits.within(range);
            bits.and(allowed);
            for tick in bits.ones() {
                let at = usize::try_from(tick.since(origin)).unwrap_or(0) * width;
                if let Some(word) = words.get_mut(at + index / WORD_BITS) {
                    *word |= 1 << (index % WORD_BITS);
                }
            }
        }
        Self { origin, width, words }
    }

    /// The ticks at which somebody can begin, in order, and who.
    fn iter(&self) -> impl Iterator<Item = (Tick, &[u64])> {
        self.words
            .chunks_exact(self.width)
            .enumerate()
            .filter(|(_, team)| team.iter().any(|word| *word != 0))
            .map(|(index, team)| (self.origin.plus(i64::try_from(index).unwrap_or(0)), team))
    }

    /// At most so many bytes are written of it, but for the days.
    fn capacity(&self) -> usize {
        let of = |team: &[u64]| team.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        self.iter().map(|(_, team)| 80 + of(team) * 35).sum()
    }
}

/// The technicians of a team.
fn members(team: &[u64]) -> impl Iterator<Item = usize> {
    team.iter().enumerate().flat_map(|(index, &word)| {
        std::iter::successors((word != 0).then_some(word), |rest| {
            let rest = rest & (rest - 1);
            (rest != 0).then_some(rest)
        })
        .map(move |rest| index * WORD_BITS + rest.trailing_zeros() as usize)
    })
}

const WORD_BITS: usize = u64::BITS as usize;
/// Bytes set aside at once for an answer; a longer one grows.
const MAX_CAPACITY: usize = 256 * 1024;
/// Ticks in an hour.
const HOUR: i64 = 60 / TICK_MINUTES;
/// Minutes on a clock's face.
const DAY_MINUTES: u16 = 24 * 60;

/// Begins slots; writes instants of the same date and offset without formatting them anew, and asks the time zone
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
            let (date, offset) = (text.get(..11), text.get(19..));
            self.prefix = format!("{{\"start_at\":\"{}", date.unwrap_or_default());
            self.suffix = format!(":00{}\",\"technician_ids\":[", offset.unwrap_or_default());
            (self.date, self.offset_seconds) = (Some(wall.date), wall.offset_seconds);
        }
        true
    }

    fn write(&self, out: &mut String) {
        let digit = |number: u16| char::from(b'0' + (number % 10) as u8);
        let (hour, minute) = (self.minute / 60, self.minute % 60);
        out.push_str(&self.prefix);
        for one in [digit(hour / 10), digit(hour), ':', digit(minute / 10), digit(minute)] {
            out.push(one);
        }
        out.push_str(&self.suffix);
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, write};
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
        for text in [
            "2026-11-23T23:50:00+08:00",
            "2026-11-23T23:55:00+08:00",
            "2026-11-24T09:05:00+08:00",
            "2026-11-24T10:00:00+08:00",
        ] {
            allowed.set(at(text), true);
            free.set(at(text), true);
        }
        let mut other = free.clone();
        other.set(at("2026-11-23T23:50:00+08:00"), false);
        for bits in [&mut free, &mut other] {
            bits.set(at("2026-11-24T10:00:00+08:00"), false);
            bits.set(at("2026-11-24T11:00:00+08:00"), true);
        }
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        let ids = [a.parse().expect("an id"), b.parse().expect("an id")];
        let starts = [(&ids[0], free), (&ids[1], other)];
        let text = write(zone, from, 3, &allowed, &starts);
        let slot = |at: &str, who: &str| {
            format!("{{\"start_at\":\"{at}:00+08:00\",\"technician_ids\":[{who}]}}")
        };
        let (one, both) = (format!("\"{a}\""), format!("\"{a}\",\"{b}\""));
        let wanted = format!(
            "{{\"days\":[{{\"date\":\"2026-11-23\",\"slots\":[{},{}]}},\
             {{\"date\":\"2026-11-24\",\"slots\":[{}]}},{{\"date\":\"2026-11-25\",\"slots\":[]}}]}}",
            slot("2026-11-23T23:50", &one),
            slot("2026-11-23T23:55", &both),
            slot("2026-11-24T09:05", &both),
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_team_may_be_larger_than_a_word() {
        let zone: Zone = "UTC".parse().expect("a zone");
        let from = chrono::NaiveDate::from_ymd_opt(2026, 11, 23).expect("a date");
        let range = dates_interval(zone, from, 1).expect("a range");
        let mut all = Bits::none(range);
        all.fill(range, true);
        let ids: Vec<Id> =
            (0..150_u8).map(|one| format!("{one:032x}").parse().expect("an id")).collect();
        // Each third technician, one tick later than the one before it.
        let starts: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| {
                let mut bits = Bits::none(range);
                bits.set(range.start.plus(i64::try_from(index / 3).expect("small")), true);
                (id, bits)
            })
            .collect();
        let text = write(zone, from, 1, &all, &starts);
        let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let slots = answer["days"][0]["slots"].as_array().expect("slots");
        assert_eq!(slots.len(), 50);
        for (index, slot) in slots.iter().enumerate() {
            let who: Vec<&str> = ids[index * 3..][..3].iter().map(Id::as_str).collect();
            assert_eq!(slot["technician_ids"], serde_json::json!(who));
        }
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
                    let stamp = zhundian_domain::time::rfc3339(zone, tick.ms());
                    let slot = format!("{{\"start_at\":\"{stamp}\",\"technician_ids\":[");
                    assert_eq!(text, slot);
                }
            }
        }
    }
}
