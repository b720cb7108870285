//! I7: what availability offers, a hold accepts if nothing changed between; and it offers all of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono::{Days, NaiveDate};
use proptest::prelude::*;
use zhundian_domain::availability::{Notice, Offer, Opening, Shape, nearest};
use zhundian_domain::calendar::{Calendar, Claim, ClaimKind, ClaimSpec, ClaimState};
use zhundian_domain::time::{
    DayRange, Interval, TICK_MS, Tick, UtcDay, date_start, dates_interval,
};
use zhundian_domain::working::{MinuteRange, TimeOff, Week, WeeklyPattern, WorkingRules};
use zhundian_domain::zone::Zone;

fn ymd(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

/// Ordinary days, and both days on which a clock changes.
fn place() -> impl Strategy<Value = (Zone, NaiveDate)> {
    prop::sample::select(vec![
        ("Asia/Shanghai", ymd(2026, 11, 23)),
        ("Europe/Berlin", ymd(2026, 3, 28)),
        ("Europe/Berlin", ymd(2026, 10, 24)),
        ("America/Havana", ymd(2026, 10, 31)),
        ("Australia/Lord_Howe", ymd(2026, 10, 3)),
    ])
    .prop_map(|(name, date)| (name.parse().unwrap(), date))
}

fn ranges() -> impl Strategy<Value = Vec<MinuteRange>> {
    prop::collection::vec((0_u16..288, 24_u16..200), 0..3).prop_map(|ranges| {
        ranges
            .into_iter()
            .filter_map(|(start, length)| {
                MinuteRange::new(start * 5, (start + length.min(288)) * 5)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_offered_is_accepted_and_all_of_it_is_offered(
        (zone, date) in place(),
        shifts in ranges(),
        hours in ranges(),
        taken in prop::collection::vec((0_i64..860, 1_i64..30), 0..25),
        off in prop::option::of((0_i64..860, 1_i64..200)),
        (service, before, after) in (5_i64..200, 0_i64..40, 0_i64..40),
        (min_minutes, max_days_ahead) in (0_i64..2000, 1_i64..4),
        capacity in 1_u16..3,
        holiday: bool,
        early in 0_i64..3000,
        processing in prop::option::of((0_i64..200, 0_i64..200)),
    ) {
        let start = date_start(zone, date).unwrap();
        let now = start.ms() - early * 60_000 - 7;
        let week = |ranges: &Vec<MinuteRange>| Week(std::array::from_fn(|_| ranges.clone()));
        let mut rules = WorkingRules {
            stores: [("s".to_owned(), zone)].into(),
            weekly: vec![WeeklyPattern { store_id: "s".into(), valid_from: ymd(2020, 1, 1), week: week(&shifts) }],
            ..WorkingRules::default()
        };
        rules.times_off.extend(off.and_then(|(from, length)| {
            let interval = Interval::new(start.plus(from), start.plus(from + length))?;
            Some(TimeOff { id: "t".into(), interval, reason: String::new() })
        }));
        let claims = taken.iter().enumerate().map(|(number, (from, length))| {
            let block = Interval::new(start.plus(*from), start.plus(from + length)).unwrap();
            let spec = ClaimSpec {
                id: format!("c{number}"), op: format!("o{number}"), store_id: "s".into(), kind: ClaimKind::Block,
                service: block, block, quantity: 1, replaces: Vec::new(), home: None,
            };
            Claim { spec, state: ClaimState::Confirmed }
        }).collect();
        let calendar = Calendar { capacity, rules, claims };
        let hours = week(&hours);
        let holidays: Vec<NaiveDate> = holiday.then(|| date + Days::new(1)).into_iter().collect();
        let offer = Offer {
            shape: match processing {
                Some((after_minutes, minutes)) => {
                    Shape::of_minutes(service, before, after).with_processing(after_minutes, minutes)
                }
                None => Shape::of_minutes(service, before, after),
            },
            notice: Notice { min_minutes, max_days_ahead },
            opening: Opening { zone, hours: &hours, holidays: &holidays },
        };
        let range = dates_interval(zone, date, 3).unwrap();
        let days = range.days();
        let days = DayRange { from: UtcDay(days.from.0 - 1), until: UtcDay(days.until.0 + 1) };
        let free = calendar.free(now, "s", days).unwrap();
        let starts = offer.shape.attended_starts(&free);
        let allowed = offer.allowed(now, range);
        for step in 0..range.ticks() {
            let tick = range.start.plus(step);
            let offered = allowed.get(tick) && starts.get(tick);
            let parts = offer.shape.attended(tick);
            let (first, last) = (parts.first().unwrap(), parts.last().unwrap());
            let (service, block) = offer.shape.at(tick).unwrap();
            prop_assert_eq!((first.0.start, last.0.end), (service.start, service.end));
            prop_assert_eq!((first.1.start, last.1.end), (block.start, block.end));
            let mut calendar = calendar.clone();
            let held = parts.iter().enumerate().all(|(part, (service, block))| {
                let id = format!("new{part}");
                let spec = ClaimSpec {
                    op: id.clone(), id, store_id: "s".into(), kind: ClaimKind::Appointment,
                    service: *service, block: *block, quantity: 1, replaces: Vec::new(), home: None,
                };
                calendar.hold(now, &spec, now + 1).map(|(_, changes)| calendar.apply(&changes)).is_ok()
            });
            let accepted = offer.check(now, tick).is_ok() && held;
            prop_assert_eq!(offered, accepted, "{:?} at {:?}", tick, now);
        }
    }

    #[test]
    fn alternatives_are_the_nearest(starts in prop::collection::btree_set(0_i64..500, 0..40), wanted in 0_i64..500) {
        let tick = |at: i64| Tick::from_ms(at * TICK_MS).unwrap();
        let found = nearest(starts.iter().map(|at| tick(*at)), tick(wanted), 5);
        prop_assert!(!found.contains(&tick(wanted)));
        prop_assert_eq!(found.len(), starts.iter().filter(|at| **at != wanted).count().min(5));
        let far = found.iter().map(|at| at.since(tick(wanted)).abs()).max().unwrap_or(0);
        for at in starts.iter().map(|at| tick(*at)).filter(|at| *at != tick(wanted) && !found.contains(at)) {
            prop_assert!(at.since(tick(wanted)).abs() >= far);
        }
    }
}
