//! What is recommended is offered (I7), is the best, and says why.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chrono::NaiveDate;
use proptest::prelude::*;
use zhundian_domain::availability::Shape;
use zhundian_domain::recommendation::{Asked, MOST, Reason, Recommended, Visit, recommend};
use zhundian_domain::time::{Bits, DAY_MS, Interval, Tick, dates_interval};
use zhundian_domain::zone::Zone;

const ZONE: Zone = Zone::SHANGHAI;

/// Monday to Sunday.
fn week() -> Interval {
    dates_interval(ZONE, NaiveDate::from_ymd_opt(2026, 11, 23).unwrap(), 7).unwrap()
}

/// So many days from Monday, at a minute of the day.
fn at(day: i64, minute: i64) -> Tick {
    week().start.plus(day * 288 + minute / 5)
}

/// Somebody who works from 10 to 20 and has these minutes taken, of so many days.
fn technician(shape: Shape, taken: &[(i64, i64, i64)]) -> (Bits, Bits) {
    let mut free = Bits::none(week());
    for day in 0..7 {
        free.fill(Interval::new(at(day, 600), at(day, 1200)).unwrap(), true);
    }
    for (day, from, until) in taken {
        free.fill(Interval::new(at(*day, *from), at(*day, *until)).unwrap(), false);
    }
    let starts = shape.attended_starts(&free);
    (free, starts)
}

fn allowed(technicians: &[(Bits, Bits)]) -> Bits {
    let mut allowed = Bits::none(week());
    for tick in technicians.iter().flat_map(|(_, starts)| starts.ones()) {
        allowed.set(tick, true);
    }
    allowed
}

fn best(shape: Shape, technicians: &[(Bits, Bits)], visits: &[Visit]) -> Vec<Recommended> {
    let allowed = allowed(technicians);
    recommend(&Asked { zone: ZONE, shape, allowed: &allowed, technicians, visits })
}

#[test]
fn the_weekday_the_hour_and_the_technician_of_the_last_visits() {
    let shape = Shape::of_minutes(60, 0, 10);
    let technicians = [technician(shape, &[]), technician(shape, &[])];
    // Four Thursdays at 15:00, with the second of them.
    let visits: Vec<Visit> = (1..=4)
        .map(|week| Visit { start_at: at(3, 900).ms() - week * 7 * DAY_MS, technician: Some(1) })
        .collect();
    let found = best(shape, &technicians, &visits);
    assert_eq!(found[0].reason, Reason::Habit);
    assert!((at(3, 870)..=at(3, 930)).contains(&found[0].start), "{found:?}");
    assert_eq!(found[0].technicians, [1, 0]);
    // When they are away on that Thursday, their other days come before others' Thursday.
    let away = [technician(shape, &[]), technician(shape, &[(3, 600, 1200)])];
    assert_eq!(best(shape, &away, &visits)[0].reason, Reason::Habit);
}

#[test]
fn one_visit_is_no_habit() {
    let shape = Shape::of_minutes(60, 0, 10);
    let visits = [Visit { start_at: at(3, 900).ms() - 7 * DAY_MS, technician: Some(0) }];
    let found = best(shape, &[technician(shape, &[]), technician(shape, &[])], &visits);
    assert!(found.iter().all(|one| one.reason == Reason::Quiet), "{found:?}");
}

#[test]
fn a_gap_that_is_filled_whole() {
    let shape = Shape::of_minutes(60, 0, 0);
    // Free from 14:00 to 15:00 on Tuesday, otherwise at the ends of the day.
    let taken = [(1, 660, 840), (1, 900, 1140)];
    let mut taken: Vec<_> = taken.to_vec();
    taken.extend([0, 2, 3, 4, 5, 6].map(|day| (day, 600, 1200)));
    let found = best(shape, &[technician(shape, &taken)], &[]);
    assert!(found.iter().any(|one| one.start == at(1, 840) && one.reason == Reason::FillsGap));
}

#[test]
fn when_most_are_free() {
    let shape = Shape::of_minutes(60, 0, 0);
    // Both work, and one of them is busy until 17:00 every day.
    let busy: Vec<_> = (0..7).map(|day| (day, 600, 1020)).collect();
    let found = best(shape, &[technician(shape, &[]), technician(shape, &busy)], &[]);
    assert_eq!((found[0].start, found[0].reason), (at(0, 1020), Reason::Quiet));
    assert_eq!(found.len(), MOST);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_recommended_is_offered_and_nothing_better_is_left_out(
        taken in prop::collection::vec(
            prop::collection::vec((0_i64..7, 120_i64..240, 1_i64..100), 0..20), 0..5),
        visits in prop::collection::vec((0_i64..2016, prop::option::of(0_usize..6)), 0..14),
        (service, before, after) in (1_i64..30, 0_i64..4, 0_i64..4),
        not_allowed in prop::collection::vec(0_i64..2016, 0..400),
    ) {
        let shape = Shape { service, before, after, processing: None };
        let technicians: Vec<_> = taken
            .iter()
            .map(|taken| {
                let taken: Vec<_> = taken
                    .iter()
                    .map(|(day, from, ticks)| (*day, from * 5, (from + ticks).min(288) * 5))
                    .collect();
                technician(shape, &taken)
            })
            .collect();
        let visits: Vec<Visit> = visits
            .into_iter()
            .map(|(tick, technician)| Visit { start_at: at(-14, 0).plus(tick).ms(), technician })
            .collect();
        let mut allowed = allowed(&technicians);
        for tick in not_allowed {
            allowed.set(at(0, 0).plus(tick), false);
        }
        let asked =
            Asked { zone: ZONE, shape, allowed: &allowed, technicians: &technicians, visits: &visits };
        let found = recommend(&asked);
        let offered = |tick: Tick| {
            allowed.get(tick) && technicians.iter().any(|(_, starts)| starts.get(tick))
        };
        let all: Vec<Tick> = allowed.ones().filter(|tick| offered(*tick)).collect();
        prop_assert_eq!(found.len(), all.len().min(MOST));
        for one in &found {
            prop_assert!(offered(one.start));
            prop_assert!(!one.technicians.is_empty());
            for technician in &one.technicians {
                prop_assert!(technicians[*technician].1.get(one.start));
            }
        }
        for pair in found.windows(2) {
            prop_assert!(pair[0].points >= pair[1].points);
            prop_assert!(pair[0].start != pair[1].start);
        }
        // Alone, no other start beats the first.
        for tick in all {
            let mut only = Bits::none(week());
            only.set(tick, true);
            let alone = recommend(&Asked { allowed: &only, ..asked });
            prop_assert!(alone[0].points <= found[0].points, "{tick:?}");
        }
    }
}
