//! A way is found whenever there is one, and it takes no calendar twice at the same time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::assignment::{Wanted, assign};
use zhundian_domain::time::{Interval, TICK_MS, Tick};

fn interval(from: i64, length: i64) -> Interval {
    let tick = |at: i64| Tick::from_ms(at * TICK_MS).unwrap();
    Interval::new(tick(from), tick(from + length)).unwrap()
}

fn wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let one = (
        prop::collection::vec((0_i64..20, 1_i64..12), 1..3),
        prop::collection::vec(0_usize..5, 0..6),
    );
    prop::collection::vec(one, 0..6).prop_map(|all| {
        all.into_iter()
            .map(|(blocks, mut calendars)| {
                calendars.dedup();
                let blocks =
                    blocks.into_iter().map(|(from, length)| interval(from, length)).collect();
                Wanted { blocks, calendars, like: None }
            })
            .collect()
    })
}

/// Whether nobody is in two places at once, by ticks.
fn stands(wanted: &[Wanted], chosen: &[usize]) -> bool {
    let mut taken = std::collections::HashSet::new();
    wanted.iter().zip(chosen).all(|(one, calendar)| {
        let ticks: std::collections::HashSet<_> = one
            .blocks
            .iter()
            .flat_map(|block| (0..block.ticks()).map(|by| block.start.plus(by)))
            .collect();
        ticks.into_iter().all(|tick| taken.insert((*calendar, tick)))
    })
}

fn exists(wanted: &[Wanted], chosen: &mut Vec<usize>) -> bool {
    if chosen.len() == wanted.len() {
        return stands(wanted, chosen);
    }
    wanted[chosen.len()].calendars.clone().into_iter().any(|calendar| {
        chosen.push(calendar);
        let found = exists(wanted, chosen);
        chosen.pop();
        found
    })
}

proptest! {
    #[test]
    fn a_way_is_found_whenever_there_is_one(wanted in wanted()) {
        let found = assign(&wanted);
        prop_assert_eq!(found.is_some(), exists(&wanted, &mut Vec::new()));
        if let Some(chosen) = found {
            prop_assert_eq!(chosen.len(), wanted.len());
            prop_assert!(wanted.iter().zip(&chosen).all(|(one, calendar)| one.calendars.contains(calendar)));
            prop_assert!(stands(&wanted, &chosen));
        }
    }
}

#[test]
fn who_has_begun_goes_on_and_nobody_takes_the_only_one_of_another() {
    let want = |from, calendars: &[usize], like| Wanted {
        blocks: vec![interval(from, 12)],
        calendars: calendars.to_vec(),
        like,
    };
    // One after the other: the same technician, though another would be the first.
    let wanted = [want(0, &[2, 1], None), want(12, &[1, 2], Some(0))];
    assert_eq!(assign(&wanted), Some(vec![2, 2]));
    // At the same time: the second can be done by 1 alone, so the first is not done by 1.
    let wanted = [want(0, &[1, 2], None), want(0, &[1], Some(0))];
    assert_eq!(assign(&wanted), Some(vec![2, 1]));
    assert_eq!(assign(&[want(0, &[1], None), want(6, &[1], None)]), None);
    // As many as there are, each of them once.
    let all: Vec<Wanted> = (0..8).map(|_| want(0, &[0, 1, 2, 3, 4, 5, 6, 7], None)).collect();
    assert_eq!(assign(&all).map(|chosen| chosen.len()), Some(8));
}
