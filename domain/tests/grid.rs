//! Properties of the time grid, against the slow and obvious way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono::{Datelike, Days, NaiveDate};
use proptest::prelude::*;
use zhundian_domain::time::{
    Bits, DayBits, DayRange, Interval, LocalInstant, TICK_MINUTES, TICK_MS, TICKS_PER_DAY, Tick,
    UtcDay, Wall, date_at, date_start, dates_interval, local_instant, rfc3339, walk_wall, wall_at,
};
use zhundian_domain::working::{MinuteRange, Week, WeeklyPattern, WorkingRules};
use zhundian_domain::zone::Zone;

const ZONES: &[&str] = &[
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Apia",
    "UTC",
];

fn zone() -> impl Strategy<Value = Zone> {
    prop::sample::select(ZONES).prop_map(|name| name.parse().unwrap())
}

fn berlin() -> Zone {
    "Europe/Berlin".parse().unwrap()
}

fn date() -> impl Strategy<Value = NaiveDate> {
    (0_u64..3650).prop_map(|days| ymd(2020, 1, 1) + Days::new(days))
}

fn ymd(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn tick(text: &str) -> Tick {
    let at = chrono::DateTime::parse_from_rfc3339(text).unwrap();
    Tick::from_ms(at.timestamp_millis()).unwrap()
}

proptest! {
    #[test]
    fn local_dates_tile_the_grid(zone in zone(), date in date(), days in 1_u32..9) {
        let whole = dates_interval(zone, date, days).unwrap();
        let mut at = whole.start;
        for day in 0..days {
            let on = date + Days::new(u64::from(day));
            let one = dates_interval(zone, on, 1).unwrap();
            prop_assert_eq!(one.start, at);
            for step in 0..one.ticks() {
                prop_assert_eq!(date_at(zone, one.start.plus(step).ms()), Some(on));
            }
            at = one.end;
        }
        prop_assert_eq!(at, whole.end);
    }

    #[test]
    fn walking_the_wall_sees_what_the_library_sees(zone in zone(), date in date(), from in 0_i64..400, ticks in 1_i64..700) {
        let start = date_start(zone, date).unwrap().plus(from);
        let range = Interval::new(start, start.plus(ticks)).unwrap();
        let mut seen = Vec::new();
        walk_wall(zone, range, |ticks, wall| {
            for step in 0..ticks.ticks() {
                let minute = wall.minute + u16::try_from(step * TICK_MINUTES).unwrap();
                seen.push((ticks.start.plus(step), Wall { minute, ..wall }));
            }
        });
        prop_assert_eq!(seen.len() as i64, ticks);
        for (index, (tick, wall)) in seen.into_iter().enumerate() {
            prop_assert_eq!(tick, start.plus(index as i64));
            prop_assert_eq!(Some(wall), wall_at(zone, tick.ms()));
        }
    }

    #[test]
    fn bits_within_another_range_are_the_same_bits(ones in prop::collection::vec(any::<bool>(), 1..400), from in -300_i64..300, ticks in 1_i64..500) {
        let start = UtcDay(20_000).start().plus(7);
        let range = Interval::new(start, start.plus(ones.len() as i64)).unwrap();
        let mut bits = Bits::none(range);
        for (index, on) in ones.iter().enumerate() {
            bits.set(start.plus(index as i64), *on);
        }
        let other = Interval::new(start.plus(from), start.plus(from + ticks)).unwrap();
        let mut expected = Bits::none(other);
        for step in 0..ticks {
            let tick = other.start.plus(step);
            expected.set(tick, bits.get(tick));
        }
        prop_assert_eq!(bits.within(other), expected);
    }

    #[test]
    fn seventy_two_characters_are_a_day_when_each_is_a_digit(at in 0_usize..72, byte in 0_u8..128) {
        let mut text = "0123456789abcdefABCDEF00".repeat(3).into_bytes();
        text[at] = byte;
        let text = String::from_utf8(text).unwrap();
        let day = DayBits::from_hex(&text);
        prop_assert_eq!(day.is_some(), byte.is_ascii_hexdigit());
        if let Some(day) = day {
            prop_assert_eq!(day.to_hex(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn runs_are_what_counting_finds(ones in prop::collection::vec(prop::bool::weighted(0.8), 1..900), length in 1_usize..200, origin in -500_i64..500) {
        let start = UtcDay(20_000).start().plus(origin);
        let range = Interval::new(start, start.plus(ones.len() as i64)).unwrap();
        let mut bits = Bits::none(range);
        for (index, on) in ones.iter().enumerate() {
            bits.set(start.plus(index as i64), *on);
        }
        let expected: Vec<Tick> = (0..ones.len())
            .filter(|at| ones.get(*at..at + length).is_some_and(|run| run.iter().all(|on| *on)))
            .map(|at| start.plus(at as i64))
            .collect();
        let runs = bits.runs(length);
        prop_assert_eq!(runs.ones().collect::<Vec<_>>(), expected.clone());
        prop_assert!(expected.iter().all(|tick| runs.get(*tick)));
    }

    #[test]
    fn filling_is_setting_each(from in -50_i64..700, length in 1_i64..700, size in 1_i64..700, on: bool) {
        let start = UtcDay(20_000).start();
        let range = Interval::new(start, start.plus(size)).unwrap();
        let part = Interval::new(start.plus(from), start.plus(from + length)).unwrap();
        let mut filled = Bits::none(range);
        if !on {
            filled.fill(range, true);
        }
        let mut set = filled.clone();
        filled.fill(part, on);
        for step in 0..part.ticks() {
            set.set(part.start.plus(step), on);
        }
        prop_assert_eq!(filled, set);
    }

    #[test]
    fn a_day_keeps_its_bits_in_text_and_in_a_range(ones in prop::collection::vec(any::<bool>(), TICKS_PER_DAY as usize), before in 0_i64..3, offset in 0_i64..288) {
        let day = UtcDay(20_001);
        let mut bits = DayBits::default();
        for (index, on) in ones.iter().enumerate() {
            bits.set(day.start().plus(index as i64), *on);
        }
        let hex = bits.to_hex();
        prop_assert_eq!(hex.len(), 72);
        prop_assert_eq!(DayBits::from_hex(&hex), Some(bits));
        prop_assert_eq!(bits.count() as usize, ones.iter().filter(|on| **on).count());
        let start = UtcDay(day.0 - before).start().plus(-offset);
        let range = Interval::new(start, UtcDay(day.0 + 2).start()).unwrap();
        let mut whole = Bits::none(range);
        whole.fill(range, true);
        whole.put_day(day, &bits);
        for step in 0..range.ticks() {
            let tick = range.start.plus(step);
            let expected = if tick.day() == day { bits.get(tick) } else { true };
            prop_assert_eq!(whole.get(tick), expected, "{:?}", tick);
        }
    }

    #[test]
    fn working_time_is_what_the_clock_shows(zone in zone(), date in date(), ranges in prop::collection::vec((0_u16..288, 1_u16..289), 0..4)) {
        let ranges: Vec<_> = ranges.iter().filter_map(|(start, length)| MinuteRange::new(start * 5, (start + length) * 5)).collect();
        let mut week = Week::default();
        week.0[2].clone_from(&ranges);
        week.0[5].clone_from(&ranges);
        let pattern = WeeklyPattern { store_id: "s".into(), valid_from: ymd(2019, 1, 1), week };
        let rules = WorkingRules { stores: [("s".to_owned(), zone)].into(), weekly: vec![pattern], ..WorkingRules::default() };
        let range = dates_interval(zone, date, 3).unwrap();
        let working = rules.working("s", range);
        for step in 0..range.ticks() {
            let tick = range.start.plus(step);
            let Wall { date, minute, .. } = wall_at(zone, tick.ms()).unwrap();
            let works = |on: NaiveDate| [2, 5].contains(&on.weekday().num_days_from_monday());
            let today = works(date) && ranges.iter().any(|r| r.start <= minute && minute < r.end);
            let before = works(date.pred_opt().unwrap())
                && ranges.iter().any(|r| r.start <= minute + 1440 && minute + 1440 < r.end);
            prop_assert_eq!(working.get(tick), today || before, "{} {}", date, minute);
        }
    }
}

#[test]
fn the_days_of_a_change_have_23_and_25_hours() {
    let cases = [(ymd(2026, 3, 29), 276), (ymd(2026, 10, 25), 300), (ymd(2026, 11, 23), 288)];
    for (date, ticks) in cases {
        assert_eq!(dates_interval(berlin(), date, 1).unwrap().ticks(), ticks, "{date}");
        assert_eq!(dates_interval(Zone::SHANGHAI, date, 1).unwrap().ticks(), 288, "{date}");
    }
}

#[test]
fn local_times_that_do_not_exist_or_come_twice_are_told() {
    let at = |day: u32, month: u32| ymd(2026, month, day).and_hms_opt(2, 30, 0).unwrap();
    assert_eq!(local_instant(berlin(), at(29, 3)), LocalInstant::Skipped);
    let first = tick("2026-10-25T00:30:00Z").ms();
    assert_eq!(local_instant(berlin(), at(25, 10)), LocalInstant::Twice(first, first + 3_600_000));
    assert!(matches!(local_instant(Zone::SHANGHAI, at(29, 3)), LocalInstant::Once(_)));
}

#[test]
fn a_night_shift_keeps_its_wall_clock_over_both_changes() {
    // Saturday 22:00 to Sunday 06:00: 7 hours when the clock goes forward, 9 when it goes back.
    let mut week = Week::default();
    week.0[5] = vec![MinuteRange::new(22 * 60, 30 * 60).unwrap()];
    let pattern = WeeklyPattern { store_id: "s".into(), valid_from: ymd(2026, 1, 1), week };
    let rules = WorkingRules {
        stores: [("s".to_owned(), berlin())].into(),
        weekly: vec![pattern],
        ..WorkingRules::default()
    };
    for (saturday, hours) in [(ymd(2026, 3, 28), 7), (ymd(2026, 10, 24), 9), (ymd(2026, 11, 21), 8)]
    {
        let range = dates_interval(berlin(), saturday, 2).unwrap();
        assert_eq!(rules.working("s", range).ones().count() as i64, hours * 12, "{saturday}");
    }
}

#[test]
fn instants_off_the_grid_are_no_ticks() {
    assert_eq!(Tick::from_ms(1), None);
    assert_eq!(Tick::from_ms(TICK_MS).map(Tick::ms), Some(TICK_MS));
    assert_eq!(Tick::at_or_after(1).ms(), TICK_MS);
    assert_eq!(Tick::at_or_before(TICK_MS - 1).ms(), 0);
    assert_eq!(Tick::at_or_before(-1).ms(), -TICK_MS);
    assert_eq!(Tick::at_or_after(-1).ms(), 0);
    assert_eq!(
        rfc3339(Zone::SHANGHAI, tick("2026-11-23T02:00:00Z").ms()),
        "2026-11-23T10:00:00+08:00"
    );
    let days = DayRange { from: UtcDay(1), until: UtcDay(3) };
    assert_eq!(days.interval().unwrap().days(), days);
}
