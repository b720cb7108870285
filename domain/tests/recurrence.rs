//! The sessions of plans: tables of what is written against what follows, and properties of them all.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use chrono::{NaiveDate, NaiveDateTime};
use proptest::prelude::*;
use zhundian_domain::recurrence::{
    MAX_SESSIONS, OnClosed, Refusal, Repetition, Rhythm, Sessions, Setting,
};
use zhundian_domain::time::{LocalInstant, Tick, local_instant, wall_at};
use zhundian_domain::zone::Zone;

const SHANGHAI: Zone = Zone::SHANGHAI;

fn berlin() -> Zone {
    "Europe/Berlin".parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn tick(zone: Zone, text: &str) -> Tick {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    match local_instant(zone, local) {
        LocalInstant::Once(ms) | LocalInstant::Twice(ms, _) => Tick::from_ms(ms).unwrap(),
        LocalInstant::Skipped => panic!("{text} is skipped"),
    }
}

fn text(zone: Zone, tick: Tick) -> String {
    let wall = wall_at(zone, tick.ms()).unwrap();
    format!("{} {:02}:{:02}", wall.date, wall.minute / 60, wall.minute % 60)
}

fn repeated(zone: Zone, rhythm: Rhythm, first: &[&str], times: u16) -> Repetition {
    Repetition {
        rhythm,
        first: first.iter().map(|at| tick(zone, at)).collect(),
        times,
        until: None,
        on_closed: OnClosed::Skip,
    }
}

/// Sessions of an hour, seen from the first of November 2026, with these days closed.
fn sessions(zone: Zone, of: &Repetition, closed: &[&str]) -> Result<Sessions, Refusal> {
    let closed: Vec<NaiveDate> = closed.iter().map(|day| date(day)).collect();
    of.sessions(&Setting {
        zone,
        length: 12,
        closed: |day| closed.contains(&day),
        now: tick(zone, "2026-11-01 00:00").ms(),
    })
}

fn starts(zone: Zone, sessions: &Sessions) -> Vec<String> {
    sessions.sessions.iter().map(|session| text(zone, session.start)).collect()
}

#[test]
fn several_first_times_repeat_by_week_and_by_day() {
    let weekly = repeated(SHANGHAI, Rhythm::Weekly, &["2026-11-25 10:00", "2026-11-23 18:30"], 3);
    let expected = [
        "2026-11-23 18:30",
        "2026-11-25 10:00",
        "2026-11-30 18:30",
        "2026-12-02 10:00",
        "2026-12-07 18:30",
        "2026-12-09 10:00",
    ];
    assert_eq!(starts(SHANGHAI, &sessions(SHANGHAI, &weekly, &[]).unwrap()), expected);
    let daily = repeated(SHANGHAI, Rhythm::Daily, &["2026-11-29 09:00", "2026-11-29 15:00"], 2);
    let expected = ["2026-11-29 09:00", "2026-11-29 15:00", "2026-11-30 09:00", "2026-11-30 15:00"];
    assert_eq!(starts(SHANGHAI, &sessions(SHANGHAI, &daily, &[]).unwrap()), expected);
    // The repetitions of times of one's choice are of no account.
    let custom = repeated(SHANGHAI, Rhythm::Custom, &["2027-01-05 09:00", "2026-12-01 20:00"], 0);
    let expected = ["2026-12-01 20:00", "2027-01-05 09:00"];
    assert_eq!(starts(SHANGHAI, &sessions(SHANGHAI, &custom, &[]).unwrap()), expected);
}

#[test]
fn closed_days_are_skipped_or_moved_past() {
    let closed = ["2026-11-25", "2026-11-26", "2026-11-30"];
    let mut daily = repeated(SHANGHAI, Rhythm::Daily, &["2026-11-24 10:00"], 4);
    let found = sessions(SHANGHAI, &daily, &closed).unwrap();
    assert_eq!(starts(SHANGHAI, &found), ["2026-11-24 10:00", "2026-11-27 10:00"]);
    assert_eq!(found.skipped, [date("2026-11-25"), date("2026-11-26")]);

    // Days that have a session of the plan are no room for another: they are added at the end.
    daily.on_closed = OnClosed::Move;
    let found = sessions(SHANGHAI, &daily, &closed).unwrap();
    let expected = ["2026-11-24 10:00", "2026-11-27 10:00", "2026-11-28 10:00", "2026-11-29 10:00"];
    assert_eq!(starts(SHANGHAI, &found), expected);
    let moved: Vec<_> = found.sessions.iter().map(|session| session.moved_from).collect();
    assert_eq!(moved, [None, None, Some(date("2026-11-25")), Some(date("2026-11-26"))]);

    // Nor past the end.
    daily.until = Some(date("2026-11-28"));
    let found = sessions(SHANGHAI, &daily, &closed).unwrap();
    assert_eq!(starts(SHANGHAI, &found), &expected[..3]);
    assert_eq!(found.skipped, [date("2026-11-26")]);

    let mut weekly = repeated(SHANGHAI, Rhythm::Weekly, &["2026-11-25 10:00"], 3);
    weekly.on_closed = OnClosed::Move;
    let found = sessions(SHANGHAI, &weekly, &closed).unwrap();
    let expected = ["2026-11-27 10:00", "2026-12-02 10:00", "2026-12-09 10:00"];
    assert_eq!(starts(SHANGHAI, &found), expected);
    weekly.until = Some(date("2026-12-08"));
    let found = sessions(SHANGHAI, &weekly, &closed).unwrap();
    assert_eq!(starts(SHANGHAI, &found), &expected[..2]);
    assert!(found.skipped.is_empty(), "what lies after the end was never wished for");
}

#[test]
fn a_repetition_keeps_the_clocks_time() {
    let find = |first: &str| {
        let daily = repeated(berlin(), Rhythm::Daily, &[first], 3);
        starts(berlin(), &sessions(berlin(), &daily, &[]).unwrap())
    };
    // Summer time begins on 2027-03-28 at 02:00 and ends on 2027-10-31 at 03:00.
    assert_eq!(
        find("2027-03-27 10:00"),
        ["2027-03-27 10:00", "2027-03-28 10:00", "2027-03-29 10:00"]
    );
    assert_eq!(
        find("2027-03-27 02:30"),
        ["2027-03-27 02:30", "2027-03-28 03:00", "2027-03-29 02:30"]
    );
    let daily = repeated(berlin(), Rhythm::Daily, &["2027-10-30 02:30"], 2);
    let found = sessions(berlin(), &daily, &[]).unwrap();
    // The first of the two: a day of 24 hours later.
    assert_eq!(found.sessions[1].start.since(found.sessions[0].start), 288);
}

#[test]
fn what_makes_no_plan_is_refused() {
    let weekly = |first: &[&str], times| repeated(SHANGHAI, Rhythm::Weekly, first, times);
    let refused = |of: &Repetition| sessions(SHANGHAI, of, &[]).unwrap_err();
    let good = "2026-11-23 10:00";
    assert_eq!(refused(&weekly(&[good], 0)), Refusal::Malformed);
    assert_eq!(refused(&weekly(&[good], 100)), Refusal::Malformed);
    assert_eq!(refused(&weekly(&[], 1)), Refusal::Malformed);
    assert_eq!(refused(&weekly(&[good, "2026-10-31 23:55"], 1)), Refusal::Past(1));
    assert_eq!(refused(&weekly(&[good, "2026-11-24 10:00"], 50)), Refusal::TooMany(100));
    assert!(sessions(SHANGHAI, &weekly(&[good], 99), &[]).is_ok());
    let overlap = refused(&weekly(&[good, "2026-11-23 10:55"], 1));
    let (one, other) = (tick(SHANGHAI, good), tick(SHANGHAI, "2026-11-23 10:55"));
    assert_eq!(overlap, Refusal::Overlap(one, other));
    assert!(sessions(SHANGHAI, &weekly(&[good, "2026-11-23 11:00"], 1), &[]).is_ok());
    assert_eq!(refused(&weekly(&[good, "2026-11-30 10:30"], 2)), {
        Refusal::Overlap(tick(SHANGHAI, "2026-11-30 10:00"), tick(SHANGHAI, "2026-11-30 10:30"))
    });
    assert_eq!(refused(&weekly(&["2029-11-23 10:00"], 1)), Refusal::TooFar);
    let mut ended = weekly(&[good], 3);
    ended.until = Some(date("2026-11-22"));
    assert_eq!(refused(&ended), Refusal::Empty);
    let hundred: Vec<String> =
        (0..100).map(|n| format!("2026-12-{:02} {:02}:00", 1 + n % 25, n / 25)).collect();
    let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
    assert_eq!(refused(&repeated(SHANGHAI, Rhythm::Custom, &hundred, 1)), Refusal::Malformed);
    assert!(
        sessions(SHANGHAI, &repeated(SHANGHAI, Rhythm::Custom, &hundred[..99], 1), &[]).is_ok()
    );

    let closed = |of: &Repetition| {
        of.sessions(&Setting {
            zone: SHANGHAI,
            length: 12,
            closed: |_| true,
            now: tick(SHANGHAI, "2026-11-01 00:00").ms(),
        })
    };
    let mut moved = weekly(&[good], 1);
    assert_eq!(closed(&moved), Err(Refusal::Empty));
    moved.on_closed = OnClosed::Move;
    assert_eq!(closed(&moved), Err(Refusal::NoOpenDay(date("2026-11-23"))));
}

fn zone() -> impl Strategy<Value = Zone> {
    prop_oneof![
        Just(SHANGHAI),
        Just(berlin()),
        Just("America/New_York".parse().unwrap()),
        Just("Australia/Lord_Howe".parse().unwrap()),
        Just("Pacific/Apia".parse().unwrap()),
    ]
}

proptest! {
    #[test]
    fn sessions_are_in_order_apart_open_and_on_the_clocks_time(
        zone in zone(),
        rhythm in prop_oneof![Just(Rhythm::Daily), Just(Rhythm::Weekly), Just(Rhythm::Custom)],
        first in prop::collection::vec((0_i64..200, 0_i64..288), 1..6),
        times in 1_u16..=99,
        closed_days in prop::collection::vec(0_u64..400, 0..40),
        until in prop::option::of(0_u64..400),
        moves in any::<bool>(),
        length in 1_i64..40,
    ) {
        let now = tick(Zone::UTC, "2026-11-01 12:00");
        let day = |days: u64| date("2026-11-01") + chrono::Days::new(days);
        let closed: Vec<NaiveDate> = closed_days.iter().map(|days| day(*days)).collect();
        let first: Vec<Tick> =
            first.iter().map(|(days, tick)| now.plus(1 + days * 288 + tick)).collect();
        let on_closed = if moves { OnClosed::Move } else { OnClosed::Skip };
        let until = until.map(day);
        let of = Repetition { rhythm, first: first.clone(), times, until, on_closed };
        let setting =
            Setting { zone, length, closed: |day| closed.contains(&day), now: now.ms() };
        match of.sessions(&setting) {
            Ok(found) => {
                prop_assert!((1..=MAX_SESSIONS).contains(&found.sessions.len()));
                for pair in found.sessions.windows(2) {
                    prop_assert!(pair[1].start.since(pair[0].start) >= length);
                }
                let minutes: Vec<u16> =
                    first.iter().map(|at| wall_at(zone, at.ms()).unwrap().minute).collect();
                for session in &found.sessions {
                    let wall = wall_at(zone, session.start.ms()).unwrap();
                    prop_assert_eq!(wall.date, session.date);
                    prop_assert!(!closed.contains(&session.date));
                    prop_assert!(until.is_none_or(|until| session.date <= until));
                    prop_assert!(session.start > now);
                    prop_assert!(moves || session.moved_from.is_none());
                    prop_assert!(session.moved_from.is_none_or(|from| from < session.date));
                    // Unless the clock skipped it, which it does in the night, by an hour at most.
                    let kept = minutes.contains(&wall.minute);
                    prop_assert!(kept || wall.minute.is_multiple_of(30) && wall.minute <= 4 * 60, "{wall:?}");
                }
                for skipped in &found.skipped {
                    prop_assert!(closed.contains(skipped));
                    prop_assert!(!moves || until.is_some());
                }
                if closed.is_empty() && until.is_none() {
                    let turns = if rhythm == Rhythm::Custom { 1 } else { usize::from(times) };
                    prop_assert_eq!(found.sessions.len(), first.len() * turns);
                }
            }
            Err(Refusal::TooMany(count)) => prop_assert!(count > MAX_SESSIONS),
            Err(Refusal::Overlap(one, other)) => {
                prop_assert!(one <= other && other.since(one) < length);
            }
            Err(Refusal::Empty) => prop_assert!(until.is_some() || !closed.is_empty()),
            Err(Refusal::TooFar) => prop_assert!(rhythm == Rhythm::Weekly),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
