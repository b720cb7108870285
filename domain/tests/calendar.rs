//! The calendar against a naive model: random holds, confirms, releases, moves, blocks and the passing of
//! time, over capacities from 1 to 3 that change on the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use chrono::NaiveDate;
use proptest::prelude::*;
use zhundian_domain::calendar::{
    Calendar, Change, Claim, ClaimKind, ClaimSpec, ClaimState, Confirmation, Refusal,
};
use zhundian_domain::geo::{Area, Point};
use zhundian_domain::home::{Home, HomeService, Speed, SpeedBand};
use zhundian_domain::time::{Interval, Tick, UtcDay};
use zhundian_domain::working::{
    DateOverride, MinuteRange, TimeOff, Week, WeeklyPattern, WorkingRules,
};
use zhundian_domain::zone::Zone;

const DAY: UtcDay = UtcDay(20_780);
const STORE: &str = "s";
const OTHER: &str = "t";
/// Kilometres along the equator, from the first store: the homes, the second store, and where the
/// technician sets out.
const HOMES: [i32; 4] = [0, 2, 5, 40];
const OTHER_KM: i32 = 6;
const BASE_KM: i32 = 1;

/// A point so many kilometres along the equator.
fn point(km: i32) -> Point {
    let degree = 6_371.008_8 * std::f64::consts::PI / 180.0;
    Point::of_degrees(0.0, f64::from(km) / degree).unwrap()
}

fn home(km: i32) -> Home {
    let bands = vec![
        SpeedBand { up_to_metres: 3_500, metres_per_minute: 230 },
        SpeedBand { up_to_metres: 10_000, metres_per_minute: 470 },
    ];
    let service = HomeService {
        area: Area::Radius { metres: 100_000 },
        fees: Vec::new(),
        speed: Speed { handover_minutes: 3, bands },
    };
    let stores = [(STORE.to_owned(), point(0)), (OTHER.to_owned(), point(OTHER_KM))].into();
    service.place(point(km), point(BASE_KM), &stores)
}

/// The model's way, in ticks, told from kilometres.
fn way_km(from: i32, to: i32) -> i64 {
    let km = (from - to).abs();
    let speed = if km <= 3 { 0.23 } else { 0.47 };
    if km == 0 { 0 } else { ((3.0 + f64::from(km) / speed) / 5.0).ceil() as i64 }
}

/// Where the model has a claim, and whether that is a home.
fn place_km(spec: &ClaimSpec) -> (i32, bool) {
    let at_home = HOMES
        .into_iter()
        .find(|km| spec.home.as_ref().is_some_and(|home| home.point == point(*km)));
    (at_home.unwrap_or(if spec.store_id == STORE { 0 } else { OTHER_KM }), at_home.is_some())
}

#[derive(Clone, Debug)]
enum Step {
    Hold {
        start: i64,
        service: i64,
        before: i64,
        after: i64,
        quantity: u16,
        lives: i64,
        moves: Vec<usize>,
        block: bool,
        /// In the other store.
        other: bool,
        /// At one of the homes.
        home: Option<usize>,
    },
    Again(usize),
    Confirm(usize),
    Release(usize),
    Wait(i64),
    Capacity(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let hold = (
        0_i64..120,
        1_i64..12,
        0_i64..3,
        0_i64..3,
        1_u16..4,
        1_i64..40,
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(0_usize..12, 1..3)],
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::option::weighted(0.4, 0_usize..HOMES.len()),
    );
    prop_oneof![
        5 => hold.prop_map(|(start, service, before, after, quantity, lives, moves, block, other, home)| Step::Hold { start, service, before, after, quantity, lives, moves, block, other, home }),
        1 => (0_usize..30).prop_map(Step::Again),
        3 => (0_usize..30).prop_map(Step::Confirm),
        2 => (0_usize..30).prop_map(Step::Release),
        2 => (1_i64..20).prop_map(Step::Wait),
        1 => (1_u16..5).prop_map(Step::Capacity),
    ]
}

/// Working time from 00:00 to 08:00 UTC, so that some holds of the 120 ticks tried lie outside.
fn rules() -> WorkingRules {
    let week = Week(std::array::from_fn(|_| vec![MinuteRange::new(0, 8 * 60).unwrap()]));
    let valid_from = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
    let weekly = [STORE, OTHER].map(|store| WeeklyPattern {
        store_id: store.into(),
        valid_from,
        week: week.clone(),
    });
    WorkingRules {
        stores: [STORE, OTHER].map(|store| (store.to_owned(), Zone::UTC)).into(),
        weekly: weekly.into(),
        ..WorkingRules::default()
    }
}

/// The model: every claim ever made, and time as a list of ticks.
#[derive(Default)]
struct Model {
    claims: BTreeMap<String, (ClaimSpec, ClaimState)>,
}

fn size(spec: &ClaimSpec, capacity: u16) -> u32 {
    if spec.kind == ClaimKind::Block { capacity.into() } else { spec.quantity.into() }
}

impl Model {
    /// Whether a block stands at a tick.
    fn blocked(&self, now: i64, tick: Tick) -> bool {
        self.claims.iter().any(|(id, (spec, _))| {
            spec.kind == ClaimKind::Block && spec.block.contains(tick) && self.live(id, now)
        })
    }

    fn live(&self, id: &str, now: i64) -> bool {
        match self.claims.get(id).map(|(_, state)| *state) {
            Some(ClaimState::Held { expires_at }) => now < expires_at,
            Some(ClaimState::Confirmed) => true,
            Some(ClaimState::Released) | None => false,
        }
    }

    /// Units at a tick: claims, less what a move and its old time share. A block is as large as the
    /// calendar.
    fn units(&self, now: i64, tick: Tick, but: &[&str], capacity: u16) -> u32 {
        let here: Vec<&ClaimSpec> = self
            .claims
            .iter()
            .filter(|(id, (spec, _))| {
                self.live(id, now) && spec.block.contains(tick) && !but.contains(&id.as_str())
            })
            .map(|(_, (spec, _))| spec)
            .collect();
        let all: u32 = here.iter().map(|spec| size(spec, capacity)).sum();
        // Unit by unit: each that a move takes is one that an old claim has, as long as there are any.
        let mut olds: Vec<&str> = Vec::new();
        for spec in &here {
            olds.extend((0..size(spec, capacity)).map(|_| spec.id.as_str()));
        }
        let mut shared = 0;
        for spec in here.iter().filter(|spec| !spec.replaces.is_empty()) {
            for _ in 0..size(spec, capacity) {
                let first =
                    spec.replaces.iter().find_map(|id| olds.iter().position(|old| old == id));
                let Some(at) = first else { break };
                olds.remove(at);
                shared += 1;
            }
        }
        all - shared
    }

    /// Whether a tick lies too near to a claim elsewhere for somebody who is at `km` then.
    fn away(&self, now: i64, tick: Tick, (km, at_home): (i32, bool), but: &[&str]) -> bool {
        self.claims.iter().any(|(id, (other, _))| {
            let (other_km, other_at_home) = place_km(other);
            let way = way_km(km, other_km);
            other.kind == ClaimKind::Appointment
                && (at_home || other_at_home)
                && way > 0
                && self.live(id, now)
                && !but.contains(&id.as_str())
                && other.block.start.plus(-way) <= tick
                && tick < other.block.end.plus(way)
        })
    }

    fn room(&self, now: i64, spec: &ClaimSpec, capacity: u16) -> bool {
        let mut but = vec![spec.id.as_str()];
        but.extend(spec.replaces.iter().map(String::as_str));
        let mut ticks = (0..spec.block.ticks()).map(|step| spec.block.start.plus(step));
        if spec.kind == ClaimKind::Appointment
            && ticks.any(|tick| self.away(now, tick, place_km(spec), &but))
        {
            return false;
        }
        (0..spec.block.ticks()).all(|step| {
            self.units(now, spec.block.start.plus(step), &but, capacity) + size(spec, capacity)
                <= u32::from(capacity)
        })
    }

    fn hold(&self, now: i64, spec: &ClaimSpec, capacity: u16) -> Result<(), Refusal> {
        if spec.replaces.iter().any(|old| !self.live(old, now)) {
            return Err(Refusal::Released);
        }
        let blocks_a_home = spec.kind == ClaimKind::Block && spec.home.is_some();
        if size(spec, capacity) > u32::from(capacity) || blocks_a_home {
            return Err(Refusal::Malformed);
        }
        let works = |tick: Tick| tick.day() == DAY && tick.index_in_day() < 96;
        let (km, at_home) = place_km(spec);
        let base = if at_home { way_km(km, BASE_KM) } else { 0 };
        if spec.kind == ClaimKind::Appointment
            && !(-base..spec.block.ticks() + base).all(|step| works(spec.block.start.plus(step)))
        {
            return Err(Refusal::OutsideWorkingTime);
        }
        if self.room(now, spec, capacity) { Ok(()) } else { Err(Refusal::Taken) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_calendar_does_what_the_model_does(capacity in 1_u16..4, steps in prop::collection::vec(step(), 1..60)) {
        let mut calendar = Calendar { capacity, rules: rules(), claims: Vec::new() };
        let mut model = Model::default();
        let mut specs: Vec<(ClaimSpec, i64)> = Vec::new();
        let (mut capacity, mut lowered) = (capacity, false);
        let mut now = DAY.start().ms() - 86_400_000;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Wait(ticks) => now += ticks * 60_000,
                Step::Capacity(new) => {
                    lowered |= new < capacity;
                    capacity = new;
                    calendar.capacity = new;
                }
                Step::Hold { start, service, before, after, quantity, lives, moves, block, other, home: at } => {
                    let from = DAY.start().plus(start + before);
                    let service = Interval::new(from, from.plus(service)).unwrap();
                    let spec = ClaimSpec {
                        id: format!("c{number}"),
                        op: format!("o{number}"),
                        store_id: if other { OTHER } else { STORE }.into(),
                        kind: if block { ClaimKind::Block } else { ClaimKind::Appointment },
                        service,
                        block: Interval::new(service.start.plus(-before), service.end.plus(after)).unwrap(),
                        quantity,
                        replaces: moves.into_iter().filter_map(|at| specs.get(at)).map(|(old, _)| old.id.clone()).collect(),
                        home: at.map(|at| Box::new(home(HOMES[at]))),
                    };
                    let expires_at = now + lives * 60_000;
                    let expected = model.hold(now, &spec, capacity);
                    match calendar.hold(now, &spec, expires_at) {
                        Ok((claim, changes)) => {
                            prop_assert_eq!(expected, Ok(()));
                            prop_assert_eq!(&claim.spec, &spec);
                            calendar.apply(&changes);
                            model.claims.insert(spec.id.clone(), (spec.clone(), ClaimState::Held { expires_at }));
                            specs.push((spec, expires_at));
                        }
                        Err(refusal) => prop_assert_eq!(expected, Err(refusal)),
                    }
                }
                Step::Again(at) => {
                    // A retry of a live claim's operation gets the same claim, whatever it asks for.
                    let Some((spec, expires_at)) = specs.get(at) else { continue };
                    if model.live(&spec.id, now) && now < *expires_at {
                        let retry = ClaimSpec { id: "retry".into(), ..spec.clone() };
                        let (claim, changes) = calendar.hold(now, &retry, now + 60_000).unwrap();
                        prop_assert_eq!(&claim.spec.id, &spec.id);
                        prop_assert!(changes.is_empty());
                    }
                }
                Step::Confirm(at) => {
                    let Some((spec, _)) = specs.get(at).cloned() else { continue };
                    let state = model.claims.get(&spec.id).map(|(_, state)| *state);
                    let expected = match state {
                        Some(ClaimState::Released) => Confirmation::Released,
                        _ if model.live(&spec.id, now) => Confirmation::Confirmed,
                        _ if model.room(now, &spec, capacity) => Confirmation::Confirmed,
                        _ => Confirmation::Lost,
                    };
                    let (outcome, changes) = calendar.confirm(now, &spec);
                    prop_assert_eq!(outcome, expected);
                    calendar.apply(&changes);
                    let stands = match outcome {
                        Confirmation::Confirmed => ClaimState::Confirmed,
                        Confirmation::Lost | Confirmation::Released => ClaimState::Released,
                    };
                    model.claims.insert(spec.id.clone(), (spec.clone(), stands));
                    for old in &spec.replaces {
                        if let Some((_, state)) = model.claims.get_mut(old) {
                            *state = ClaimState::Released;
                        }
                    }
                    let (again, changes) = calendar.confirm(now, &spec);
                    // What is lost once is given back for good; everything else is answered again as it was.
                    let lost = outcome == Confirmation::Lost;
                    prop_assert_eq!(again, if lost { Confirmation::Released } else { outcome });
                    prop_assert!(changes.is_empty());
                }
                Step::Release(at) => {
                    let Some((spec, _)) = specs.get(at) else { continue };
                    let changes = calendar.release(&spec.id);
                    calendar.apply(&changes);
                    if let Some((_, state)) = model.claims.get_mut(&spec.id) {
                        *state = ClaimState::Released;
                    }
                    prop_assert!(calendar.release(&spec.id).is_empty());
                }
            }
            // I1, unless a calendar was told to carry less than it did; and the projection says exactly
            // what the model says, so that nothing is free where a block stands.
            if !lowered {
                prop_assert_eq!(calendar.overfull(now), Vec::<Tick>::new());
            }
            prop_assert_eq!(calendar.unreachable(now), Vec::<(&str, &str)>::new());
            for (store, km) in [(STORE, 0), (OTHER, OTHER_KM)] {
                let days = calendar.day(now, store, DAY);
                for index in 0..288 {
                    let tick = DAY.start().plus(index);
                    let working = index < 96;
                    let room = working && model.units(now, tick, &[], capacity) < u32::from(capacity);
                    let free = room && !model.away(now, tick, (km, false), &[]);
                    prop_assert_eq!(days.working.get(tick), working);
                    prop_assert_eq!(days.room.get(tick), room, "{:?}", tick);
                    prop_assert_eq!(days.free.get(tick), free, "{:?}", tick);
                    prop_assert!(!(free && model.blocked(now, tick)), "{:?}", tick);
                }
            }
        }
    }

    #[test]
    fn holding_all_is_holding_one_by_one_or_nothing(
        known in prop::collection::vec((0_i64..110, 1_i64..12), 0..8),
        wanted in prop::collection::vec((0_i64..110, 1_i64..12, prop::option::weighted(0.2, 0_usize..8)), 0..12),
        capacity in 1_u16..4,
    ) {
        let now = DAY.start().ms() - 86_400_000;
        let mut calendar = Calendar { capacity, rules: rules(), claims: Vec::new() };
        for (index, (start, ticks)) in known.iter().enumerate() {
            let _ = hold(&mut calendar, now, &spec(&format!("k{index}"), *start, *ticks, None));
        }
        let specs: Vec<ClaimSpec> = wanted
            .iter()
            .enumerate()
            .map(|(index, (start, ticks, moves))| {
                let old = moves.map(|at| format!("k{at}"));
                spec(&format!("w{index}"), *start, *ticks, old.as_deref())
            })
            .collect();
        let mut one_by_one = calendar.clone();
        let refused: Vec<(usize, Refusal)> = specs
            .iter()
            .enumerate()
            .filter_map(|(index, spec)| Some((index, hold(&mut one_by_one, now, spec).err()?)))
            .collect();
        let before = calendar.claims.clone();
        match calendar.hold_all(now, &specs, now + 300_000) {
            Ok((claims, changes)) => {
                prop_assert!(refused.is_empty());
                let ids = |claims: &[Claim]| claims.iter().map(|claim| claim.spec.id.clone()).collect::<Vec<_>>();
                prop_assert_eq!(ids(&claims), specs.iter().map(|spec| spec.id.clone()).collect::<Vec<_>>());
                calendar.apply(&changes);
                prop_assert_eq!(&calendar.claims, &one_by_one.claims);
                prop_assert_eq!(calendar.overfull(now), Vec::<Tick>::new());
                // A retry of the same operations gets the same claims, and changes nothing.
                let retry: Vec<ClaimSpec> =
                    specs.iter().map(|spec| ClaimSpec { id: format!("r{}", spec.id), ..spec.clone() }).collect();
                let (again, changes) = calendar.hold_all(now, &retry, now + 600_000).unwrap();
                prop_assert_eq!(ids(&again), ids(&claims));
                prop_assert!(changes.is_empty());
            }
            Err(all) => {
                prop_assert_eq!(all, refused);
                prop_assert_eq!(&calendar.claims, &before);
            }
        }
    }

    #[test]
    fn new_windows_strand_exactly_the_appointments_outside_them(
        starts in prop::collection::btree_set(0_i64..16, 0..12),
        open in 0_u16..16, length in 1_u16..17, off in prop::option::of((0_i64..96, 1_i64..40)),
    ) {
        let claims = starts.iter().map(|hour| {
            let start = DAY.start().plus(hour * 6);
            let interval = Interval::new(start, start.plus(6)).unwrap();
            let spec = ClaimSpec {
                id: format!("c{hour}"), op: format!("o{hour}"), store_id: STORE.into(), kind: ClaimKind::Appointment,
                service: interval, block: interval, quantity: 1, replaces: Vec::new(), home: None,
            };
            Claim { spec, state: ClaimState::Confirmed }
        }).collect();
        let calendar = Calendar { capacity: 1, rules: rules(), claims };
        let mut narrower = rules();
        let (from, until) = (open * 30, (open + length) * 30);
        let date = chrono::DateTime::from_timestamp_millis(DAY.start().ms()).unwrap().date_naive();
        narrower.overrides.push(DateOverride { store_id: STORE.into(), date, ranges: vec![MinuteRange::new(from, until).unwrap()] });
        let off = off.map(|(start, length)| Interval::new(DAY.start().plus(start), DAY.start().plus(start + length)).unwrap());
        narrower.times_off.extend(off.map(|interval| TimeOff { id: "t".into(), interval, reason: String::new() }));
        let now = DAY.start().ms() - 1;
        let mut stranded: Vec<String> = calendar.stranded(now, &narrower, 1).iter().map(|claim| claim.spec.id.clone()).collect();
        stranded.sort();
        let mut expected: Vec<String> = starts.iter().filter(|hour| {
            let (start, end) = (*hour * 30, *hour * 30 + 30);
            let inside = i64::from(from) <= start && end <= i64::from(until);
            let free = off.is_none_or(|off| {
                let start = DAY.start().plus(*hour * 6);
                !off.overlaps(Interval::new(start, start.plus(6)).unwrap())
            });
            !(inside && free)
        }).map(|hour| format!("c{hour}")).collect();
        expected.sort();
        prop_assert_eq!(stranded, expected);
    }
}

fn spec(id: &str, start: i64, ticks: i64, replaces: Option<&str>) -> ClaimSpec {
    let interval = Interval::new(DAY.start().plus(start), DAY.start().plus(start + ticks)).unwrap();
    ClaimSpec {
        id: id.into(),
        op: format!("op-{id}"),
        store_id: STORE.into(),
        kind: ClaimKind::Appointment,
        service: interval,
        block: interval,
        quantity: 1,
        replaces: replaces.map(Into::into).into_iter().collect(),
        home: None,
    }
}

fn hold(calendar: &mut Calendar, now: i64, spec: &ClaimSpec) -> Result<(), Refusal> {
    let (_, changes) = calendar.hold(now, spec, now + 300_000)?;
    calendar.apply(&changes);
    Ok(())
}

fn confirm(calendar: &mut Calendar, now: i64, spec: &ClaimSpec) -> (Confirmation, Vec<Change>) {
    let (outcome, changes) = calendar.confirm(now, spec);
    calendar.apply(&changes);
    (outcome, changes)
}

#[test]
fn a_block_takes_all_there_is_also_when_there_is_more_later() {
    let mut calendar = Calendar { capacity: 3, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let block = |id: &str, start: i64, ticks: i64| ClaimSpec {
        kind: ClaimKind::Block,
        ..spec(id, start, ticks, None)
    };
    // One appointment of three stands in the way of a block, and a block of everything else.
    hold(&mut calendar, now, &spec("a", 0, 6, None)).unwrap();
    assert_eq!(hold(&mut calendar, now, &block("over", 5, 6)), Err(Refusal::Taken));
    let lunch = block("lunch", 6, 6);
    hold(&mut calendar, now, &lunch).unwrap();
    for capacity in [3, 5, 1] {
        calendar.capacity = capacity;
        assert_eq!(hold(&mut calendar, now, &spec("b", 10, 6, None)), Err(Refusal::Taken));
        assert_eq!(hold(&mut calendar, now, &block("again", 11, 6)), Err(Refusal::Taken));
        assert_eq!(calendar.overfull(now), []);
        assert!(calendar.stranded(now, &rules(), capacity).is_empty());
        let free = calendar.free_day(now, STORE, DAY);
        assert!((6..12).all(|index| !free.get(DAY.start().plus(index))), "{capacity}");
    }
    // Nor does its confirm come to nothing because the calendar carries more by now.
    calendar.capacity = 4;
    let late = now + 300_000;
    assert_eq!(confirm(&mut calendar, late, &lunch).0, Confirmation::Confirmed);
    let changes = calendar.release("lunch");
    calendar.apply(&changes);
    assert_eq!(hold(&mut calendar, late, &spec("c", 6, 6, None)), Ok(()));
}

#[test]
fn a_confirm_that_comes_after_the_release_takes_nothing() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let first = spec("a", 0, 6, None);
    hold(&mut calendar, now, &first).unwrap();
    let changes = calendar.release("a");
    calendar.apply(&changes);
    assert_eq!(confirm(&mut calendar, now, &first).0, Confirmation::Released);
    assert_eq!(hold(&mut calendar, now, &spec("b", 0, 6, None)), Ok(()));
}

#[test]
fn what_was_lost_is_not_taken_again_when_its_time_is_free() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let (first, second) = (spec("a", 0, 6, None), spec("b", 0, 6, None));
    hold(&mut calendar, now, &first).unwrap();
    let later = now + 300_000;
    hold(&mut calendar, later, &second).unwrap();
    assert_eq!(confirm(&mut calendar, later, &first).0, Confirmation::Lost);
    let changes = calendar.release("b");
    calendar.apply(&changes);
    // The first answer may still be on its way to cancel the order.
    assert_eq!(confirm(&mut calendar, later, &first).0, Confirmation::Released);
    assert_eq!(hold(&mut calendar, later, &spec("c", 0, 6, None)), Ok(()));
}

#[test]
fn a_move_may_overlap_the_time_it_leaves_and_gives_it_back_when_confirmed() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let old = spec("old", 0, 6, None);
    hold(&mut calendar, now, &old).unwrap();
    confirm(&mut calendar, now, &old);
    let new = spec("new", 3, 6, Some("old"));
    hold(&mut calendar, now, &new).unwrap();
    // Until it is confirmed nobody gets either time.
    assert_eq!(hold(&mut calendar, now, &spec("x", 0, 3, None)), Err(Refusal::Taken));
    assert_eq!(hold(&mut calendar, now, &spec("y", 6, 3, None)), Err(Refusal::Taken));
    assert_eq!(confirm(&mut calendar, now, &new).0, Confirmation::Confirmed);
    assert_eq!(hold(&mut calendar, now, &spec("z", 0, 3, None)), Ok(()));
}

#[test]
fn what_is_moved_together_may_go_where_another_part_was() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let olds = [spec("a", 0, 6, None), spec("b", 6, 6, None)];
    for old in &olds {
        hold(&mut calendar, now, old).unwrap();
        confirm(&mut calendar, now, old);
    }
    let both = || vec!["a".to_owned(), "b".to_owned()];
    let news = [("c", 3), ("d", 9)]
        .map(|(id, start)| ClaimSpec { replaces: both(), ..spec(id, start, 6, None) });
    // Not where a stranger is, and not with one part alone named.
    assert_eq!(hold(&mut calendar, now, &spec("x", 3, 6, Some("a"))), Err(Refusal::Taken));
    for new in &news {
        hold(&mut calendar, now, new).unwrap();
    }
    assert_eq!(calendar.load(now, olds[0].block, &[]), [1; 6]);
    assert_eq!(hold(&mut calendar, now, &spec("y", 14, 3, None)), Err(Refusal::Taken));
    // The first confirm lets all of the old time go, the second makes the rest of the new one last.
    assert_eq!(confirm(&mut calendar, now, &news[0]).0, Confirmation::Confirmed);
    assert_eq!(hold(&mut calendar, now, &spec("z", 0, 3, None)), Ok(()));
    assert_eq!(confirm(&mut calendar, now, &news[1]).0, Confirmation::Confirmed);
    assert_eq!(
        calendar.load(now, Interval::new(DAY.start(), DAY.start().plus(16)).unwrap(), &[]),
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    );
}

#[test]
fn two_moves_of_one_appointment_do_not_both_share_its_time() {
    let mut calendar = Calendar { capacity: 2, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let old = spec("old", 0, 6, None);
    hold(&mut calendar, now, &old).unwrap();
    confirm(&mut calendar, now, &old);
    let moves = ["b", "c"].map(|id| spec(id, 0, 6, Some("old")));
    for one in &moves {
        hold(&mut calendar, now, one).unwrap();
    }
    // Whichever is committed, both take time until the other one is given back.
    assert_eq!(hold(&mut calendar, now, &spec("x", 0, 6, None)), Err(Refusal::Taken));
    confirm(&mut calendar, now, &moves[0]);
    assert_eq!(calendar.overfull(now), []);
    assert_eq!(calendar.load(now, old.block, &[]), [2; 6]);
}

#[test]
fn a_move_given_up_leaves_the_old_time_as_it_was() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let old = spec("old", 0, 6, None);
    hold(&mut calendar, now, &old).unwrap();
    confirm(&mut calendar, now, &old);
    hold(&mut calendar, now, &spec("new", 3, 6, Some("old"))).unwrap();
    let later = now + 300_000;
    assert_eq!(hold(&mut calendar, later, &spec("x", 0, 3, None)), Err(Refusal::Taken));
    assert_eq!(hold(&mut calendar, later, &spec("y", 6, 3, None)), Ok(()));
}

#[test]
fn confirms_of_two_moves_in_the_wrong_order_end_the_same() {
    let mut calendar = Calendar { capacity: 1, rules: rules(), claims: Vec::new() };
    let now = DAY.start().ms() - 86_400_000;
    let specs = [spec("a", 0, 6, None), spec("b", 12, 6, Some("a")), spec("c", 24, 6, Some("b"))];
    for spec in &specs {
        hold(&mut calendar, now, spec).unwrap();
    }
    for spec in specs.iter().rev() {
        confirm(&mut calendar, now, spec);
    }
    let live: Vec<_> = calendar
        .claims
        .iter()
        .filter(|claim| claim.is_live(now))
        .map(|claim| &claim.spec.id)
        .collect();
    assert_eq!(live, ["c"]);
}
