//! The table of time zones against `chrono-tz`, from which it is written.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use chrono::{
    DateTime, Datelike, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use zhundian_domain::time::{LocalInstant, date_at, local_instant, rfc3339, wall_at};
use zhundian_domain::zone::Zone;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/zone/table.rs");
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
/// The years of the table, half-open.
const YEARS: (i32, i32) = (2020, 2060);

fn year_ms(year: i32) -> i64 {
    Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).unwrap().timestamp_millis()
}

fn first_ms() -> i64 {
    year_ms(YEARS.0)
}

fn last_ms() -> i64 {
    year_ms(YEARS.1) - 1
}

fn offset_seconds(zone: Tz, ms: i64) -> i64 {
    zone.timestamp_millis_opt(ms).unwrap().offset().fix().local_minus_utc().into()
}

/// The instants in the years of the table at which a clock changes, to the second.
fn changes(zone: Tz) -> Vec<i64> {
    let mut changes = Vec::new();
    let mut from = first_ms();
    while from < last_ms() {
        let until = (from + 24 * HOUR_MS).min(last_ms());
        let before = offset_seconds(zone, from);
        if offset_seconds(zone, until) != before {
            let (mut low, mut high) = (from / 1000, until / 1000);
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                let same = offset_seconds(zone, middle * 1000) == before;
                if same { low = middle } else { high = middle }
            }
            changes.push(high * 1000);
        }
        from = until;
    }
    changes
}

/// Every zone with its changes.
static CHANGES: LazyLock<Vec<(Tz, Vec<i64>)>> =
    LazyLock::new(|| TZ_VARIANTS.iter().map(|&zone| (zone, changes(zone))).collect());

fn minutes(ms: i64) -> i64 {
    assert_eq!(ms % MINUTE_MS, 0, "the table is of whole minutes");
    ms / MINUTE_MS
}

/// `table.rs`.
fn table() -> String {
    let mut zones = BTreeMap::new();
    for (zone, changes) in &*CHANGES {
        let offset = |ms| minutes(offset_seconds(*zone, ms) * 1000);
        let changes: Vec<_> = changes.iter().map(|&ms| (ms, offset(ms))).collect();
        zones.insert(zone.name(), (offset(first_ms()), changes));
    }
    // Zones that change alike share one list, called by the first of their names.
    let mut lists = BTreeMap::from([(&[] as &[_], "&[]".to_owned())]);
    for (name, (_, changes)) in &zones {
        lists.entry(changes).or_insert_with(|| {
            name.to_uppercase().replace(|char: char| !char.is_ascii_alphanumeric(), "_")
        });
    }

    let mut out = format!(
        "//! `UPDATE=1 cargo test -p zhundian-domain --test zone` writes this from chrono-tz (tzdata {}).\n\n\
         use super::{{Change, Named}};\n\n\
         const fn at(minute: u32, offset: i16) -> Change {{\n    Change {{ minute, offset }}\n}}\n\n\
         pub(super) static ZONES: &[Named] = &[\n",
        chrono_tz::IANA_TZDB_VERSION,
    );
    for (name, (first, changes)) in &zones {
        let list = &lists[changes.as_slice()];
        writeln!(out, "    Named {{ name: {name:?}, first: {first}, changes: {list} }},").unwrap();
    }
    out.push_str("];\n");
    let lists: BTreeMap<_, _> = lists.iter().map(|(changes, name)| (name, changes)).collect();
    for (name, changes) in lists.into_iter().filter(|(_, changes)| !changes.is_empty()) {
        write!(out, "\nstatic {name}: &[Change] = &[").unwrap();
        let mut year = 0;
        for &(ms, offset) in *changes {
            let at = DateTime::from_timestamp_millis(ms).unwrap();
            if at.year() != year {
                year = at.year();
                write!(out, "\n    /* {year} */").unwrap();
            }
            write!(out, " at({}, {offset}),", minutes(ms)).unwrap();
        }
        out.push_str("\n];\n");
    }
    out
}

#[test]
fn the_table_is_what_chrono_tz_knows() {
    let made = table();
    if std::env::var("UPDATE").is_ok_and(|update| update == "1") {
        std::fs::write(FILE, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(FILE).unwrap_or_default() == made,
        "{FILE} is not what chrono-tz knows: `UPDATE=1 cargo test -p zhundian-domain --test zone` \
         writes it anew; then look at its diff"
    );
}

fn ours(zone: Tz) -> Zone {
    zone.name().parse().unwrap()
}

fn compare_instant(zone: Tz, ms: i64) {
    let at = zone.timestamp_millis_opt(ms).unwrap();
    let wall = wall_at(ours(zone), ms).unwrap();
    assert_eq!(i64::from(wall.offset_seconds), offset_seconds(zone, ms), "{zone} at {ms}");
    assert_eq!(date_at(ours(zone), ms), Some(at.date_naive()), "{zone} at {ms}");
    assert_eq!(rfc3339(ours(zone), ms), at.format("%Y-%m-%dT%H:%M:%S%:z").to_string());
}

fn compare_local(zone: Tz, local: NaiveDateTime) {
    let theirs = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) => LocalInstant::Once(at.timestamp_millis()),
        MappedLocalTime::Ambiguous(first, second) => {
            LocalInstant::Twice(first.timestamp_millis(), second.timestamp_millis())
        }
        MappedLocalTime::None => LocalInstant::Skipped,
    };
    assert_eq!(local_instant(ours(zone), local), theirs, "{zone} at {local}");
}

#[test]
fn around_each_change_of_each_zone_both_agree() {
    for (zone, changes) in &*CHANGES {
        for change in changes {
            for ms in [change - 1, *change, change + 1] {
                compare_instant(*zone, ms);
            }
            let after = zone.timestamp_millis_opt(*change).unwrap().naive_local();
            for quarter in -13..=13 {
                for seconds in [-1, 0, 1] {
                    compare_local(*zone, after + TimeDelta::seconds(quarter * 900 + seconds));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn anywhere_in_the_years_both_agree(zone in prop::sample::select(&TZ_VARIANTS[..]), ms in first_ms()..=last_ms()) {
        compare_instant(zone, ms);
        // The local time of a first or last day may lie in the next year, which is not in the table.
        if (first_ms() + 24 * HOUR_MS..last_ms() - 24 * HOUR_MS).contains(&ms) {
            compare_local(zone, DateTime::from_timestamp_millis(ms).unwrap().naive_utc());
        }
    }
}

#[test]
fn beyond_the_years_a_clock_stands_still() {
    for zone in Zone::all() {
        for (years, edge) in [(1900..2020, first_ms()), (2060..2200, last_ms())] {
            for year in years {
                for ms in [year_ms(year), year_ms(year) + 4000 * HOUR_MS] {
                    assert_eq!(zone.offset_minutes(ms), zone.offset_minutes(edge), "{zone} {year}");
                }
            }
        }
    }
}

#[test]
fn a_zone_is_known_by_its_names_and_by_nothing_else() {
    assert_eq!(Zone::all().count(), TZ_VARIANTS.len());
    for zone in Zone::all() {
        assert_eq!(zone.name().parse(), Ok(zone));
        let json = serde_json::to_string(&zone).unwrap();
        assert_eq!(json, format!("\"{zone}\""));
        assert_eq!(serde_json::from_str::<Zone>(&json).unwrap(), zone);
    }
    for name in ["", "utc", "Asia", "Asia/Peking", "asia/shanghai", "Asia/Shanghai ", "+08:00"] {
        assert!(name.parse::<Zone>().is_err() && name.parse::<Tz>().is_err(), "{name}");
    }
    assert_eq!("UTC".parse(), Ok(Zone::UTC));
    assert_eq!("Asia/Shanghai".parse(), Ok(Zone::SHANGHAI));
}
