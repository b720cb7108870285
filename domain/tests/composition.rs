//! The lines of a visit have no gap and no overlap for one guest, and whoever is found serves all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::assignment::Steps;
use zhundian_domain::availability::Shape;
use zhundian_domain::composition::{Begins, Line, MAX_LINES, lay_out, serve, served_starts, trim};
use zhundian_domain::time::{Bits, Interval, TICK_MS, Tick};

fn tick(at: i64) -> Tick {
    Tick::from_ms(at * TICK_MS).unwrap()
}

fn interval(from: i64, until: i64) -> Interval {
    Interval::new(tick(from), tick(until)).unwrap()
}

fn begins() -> impl Strategy<Value = Begins> {
    prop_oneof![Just(Begins::AfterPrevious), Just(Begins::WithPrevious)]
}

const RANGE: i64 = 60;

/// Free but for some intervals.
fn free() -> impl Strategy<Value = Bits> {
    prop::collection::vec((0_i64..RANGE, 1_i64..12), 0..3).prop_map(|taken| {
        let mut free = Bits::none(interval(0, 2 * RANGE));
        free.fill(interval(0, 2 * RANGE), true);
        for (from, length) in taken {
            free.fill(interval(from, from + length), false);
        }
        free
    })
}

proptest! {
    #[test]
    fn each_begins_with_its_group_and_a_group_where_all_before_it_have_ended(
        lines in prop::collection::vec((begins(), 1_i64..20), 0..=MAX_LINES),
    ) {
        let starts = lay_out(&lines);
        prop_assert_eq!(starts.len(), lines.len());
        let mut end = 0;
        for (index, (begins, ticks)) in lines.iter().enumerate() {
            let expected = match begins {
                Begins::WithPrevious if index > 0 => starts[index - 1],
                Begins::AfterPrevious | Begins::WithPrevious => end,
            };
            prop_assert_eq!(starts[index], expected);
            end = end.max(starts[index] + ticks);
        }
        // No gap: at each moment before the end something is done.
        for at in 0..end {
            let done = |(start, (_, ticks)): (&i64, &(Begins, i64))| (*start..start + ticks).contains(&at);
            prop_assert!(starts.iter().zip(&lines).any(done));
        }
    }

    #[test]
    fn who_is_found_is_free_and_in_one_place_at_a_time(
        shapes in prop::collection::vec((begins(), 1_i64..8), 1..=4),
        technicians in prop::collection::vec(free(), 1..4),
    ) {
        let mut allowed = Bits::none(interval(0, 2 * RANGE));
        allowed.fill(interval(0, 2 * RANGE), true);
        let lines: Vec<Line> = shapes
            .iter()
            .map(|(begins, ticks)| {
                let shape = Shape { service: *ticks, before: 0, after: 0, processing: None };
                let starts = |(number, free): (usize, &Bits)| (number, shape.attended_starts(free));
                let technicians = technicians.iter().enumerate().map(starts).collect();
                Line { begins: *begins, shape, allowed: allowed.clone(), like: None, technicians,
                    pools: Vec::new() }
            })
            .collect();
        let range = interval(0, RANGE);
        let found = served_starts(&lines, range, usize::MAX, &mut Steps(u32::MAX));
        for at in 0..RANGE {
            let start = tick(at);
            let chosen = serve(&lines, start, &mut Steps(u32::MAX));
            let among = found.iter().find(|(at, _)| *at == start).map(|(_, chosen)| chosen.clone());
            prop_assert_eq!(&chosen, &among);
            let Some(chosen) = chosen else { continue };
            let mut taken = std::collections::HashSet::new();
            for (one, (_, ticks)) in chosen.iter().zip(&shapes) {
                for by in 0..*ticks {
                    let tick = one.start.plus(by);
                    prop_assert!(technicians[one.technician].get(tick));
                    prop_assert!(taken.insert((one.technician, tick)));
                }
            }
        }
    }

    #[test]
    fn what_is_trimmed_keeps_its_service_and_meets_no_more(
        length in 1_i64..10, gap in 0_i64..6, other in 1_i64..10, buffers in [0_i64..5, 0..5, 0..5, 0..5],
    ) {
        let [a, b, c, d] = buffers;
        let end = 20 + length;
        let mut one = (interval(20, end), interval(20 - a, end + b));
        let from = end + gap;
        let mut two = (interval(from, from + other), interval(from - c, from + other + d));
        let before = (one, two);
        trim(&mut two, &mut one);
        prop_assert_eq!((one.0, two.0), (before.0.0, before.1.0));
        prop_assert!(!one.1.overlaps(two.1));
        for (now, was) in [(one, before.0), (two, before.1)] {
            prop_assert!(now.1.start >= was.1.start && now.1.end <= was.1.end);
            prop_assert!(now.1.start <= now.0.start && now.0.end <= now.1.end);
        }
    }
}

#[test]
fn the_work_is_bounded() {
    let mut all = Bits::none(interval(0, 2000));
    all.fill(interval(0, 2000), true);
    let shape = Shape { service: 4, before: 0, after: 0, processing: None };
    // Six at once, and five who could: there is no way, and looking for one ends.
    let line = Line {
        begins: Begins::WithPrevious,
        shape,
        allowed: all.clone(),
        like: None,
        technicians: (0..5).map(|number| (number, shape.attended_starts(&all))).collect(),
        pools: Vec::new(),
    };
    let mut steps = Steps(1000);
    assert!(served_starts(&vec![line; 6], interval(0, 1900), 10, &mut steps).is_empty());
    assert_eq!(steps, Steps(0));
}
