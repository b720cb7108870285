//! Distances, areas, fees, ways; and that what is offered at home is what a hold accepts (I7).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use zhundian_domain::availability::Shape;
use zhundian_domain::calendar::{Calendar, Claim, ClaimKind, ClaimSpec, ClaimState};
use zhundian_domain::geo::{Area, BadPolygon, MAX_VERTICES, Point, Polygon, distance_m};
use zhundian_domain::home::{
    BadHomeService, FeeBand, Home, HomeService, MAX_WAY_TICKS, Place, Speed, SpeedBand, fee_part,
    reachable,
};
use zhundian_domain::pricing::price;
use zhundian_domain::time::{Bits, DayRange, Interval, UtcDay};
use zhundian_domain::working::{MinuteRange, TimeOff, Week, WeeklyPattern, WorkingRules};
use zhundian_domain::zone::Zone;

const DAY: UtcDay = UtcDay(20_780);

/// A point so many metres (nearly) east and north of Jing'an temple.
fn at(east: i32, north: i32) -> Point {
    Point::of_micro(31_223_500 + north * 9, 121_446_000 + east * 10).unwrap()
}

fn polygon(points: &[(i32, i32)]) -> Result<Polygon, BadPolygon> {
    Polygon::new(points.iter().map(|(east, north)| at(*east, *north)).collect())
}

const SHANGHAI: (f64, f64) = (31.2304, 121.4737);

#[test]
fn distances_are_those_of_the_great_circle() {
    // A degree of latitude, a quarter of the equator, and city pairs as geodesic tables have them
    // (on a sphere the error stays below 0.5 %).
    let cases = [
        ((0.0, 0.0), (1.0, 0.0), 111_195.0, 1.0),
        ((0.0, 0.0), (0.0, 90.0), 10_007_557.0, 1.0),
        ((90.0, 0.0), (-90.0, 77.0), 20_015_114.0, 1.0),
        (SHANGHAI, (39.9042, 116.4074), 1_067_000.0, 3_000.0),
        ((51.5074, -0.1278), (48.8566, 2.3522), 343_500.0, 1_000.0),
        ((0.0, 179.99), (0.0, -179.99), 2_223.9, 0.1),
        (SHANGHAI, SHANGHAI, 0.0, 0.0),
    ];
    for (a, b, metres, error) in cases {
        assert!((distance_m(a, b) - metres).abs() <= error, "{a:?} {b:?} {}", distance_m(a, b));
        assert!((distance_m(a, b) - distance_m(b, a)).abs() < 1e-6);
    }
}

#[test]
fn points_are_on_the_earth_and_go_there_and_back() {
    for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.1), (f64::NAN, 0.0), (0.0, f64::INFINITY)]
    {
        assert_eq!(Point::of_degrees(latitude, longitude), None);
    }
    let point = Point::of_degrees(31.223_456_7, -121.446).unwrap();
    assert_eq!(serde_json::to_string(&point).unwrap(), "[31223457,-121446000]");
    assert_eq!(serde_json::from_str::<Point>("[31223457,-121446000]").unwrap(), point);
    assert!(serde_json::from_str::<Point>("[90000001,0]").is_err());
    assert_eq!(point.metres_to(point), 0);
    // Shanghai to Beijing, as a geodesic table has it, within half a percent.
    let (shanghai, beijing) = (
        Point::of_degrees(31.2304, 121.4737).unwrap(),
        Point::of_degrees(39.9042, 116.4074).unwrap(),
    );
    assert!((shanghai.metres_to(beijing) - 1_067_000).abs() < 3_000);
}

#[test]
fn a_polygon_that_crosses_itself_is_refused() {
    type Case<'a> = (&'a [(i32, i32)], Result<(), BadPolygon>);
    let cases: &[Case] = &[
        (&[(0, 0), (1000, 0), (1000, 1000), (0, 1000)], Ok(())),
        // The other way round, and one that is not convex.
        (&[(0, 1000), (1000, 1000), (1000, 0), (0, 0)], Ok(())),
        (&[(0, 0), (1000, 0), (1000, 1000), (500, 100), (0, 1000)], Ok(())),
        // A straight vertex is none too many.
        (&[(0, 0), (500, 0), (1000, 0), (0, 1000)], Ok(())),
        // A bow tie; one that touches an edge, and one that touches a vertex.
        (&[(0, 0), (1000, 1000), (1000, 0), (0, 1000)], Err(BadPolygon::Crosses)),
        (&[(0, 0), (1000, 0), (1000, 1000), (500, 0), (0, 1000)], Err(BadPolygon::Crosses)),
        (
            &[(0, 0), (1000, 0), (500, 500), (1000, 1000), (0, 1000), (500, 500)],
            Err(BadPolygon::Crosses),
        ),
        // Back along an edge, the same vertex twice, all on one line.
        (&[(0, 0), (1000, 0), (500, 0), (0, 1000)], Err(BadPolygon::Crosses)),
        (&[(0, 0), (0, 0), (1000, 0), (0, 1000)], Err(BadPolygon::Crosses)),
        (&[(0, 0), (1000, 0), (0, 1000), (0, 0)], Err(BadPolygon::Crosses)),
        (&[(0, 0), (500, 0), (1000, 0)], Err(BadPolygon::Crosses)),
        (&[(0, 0), (1000, 0)], Err(BadPolygon::Vertices)),
    ];
    for (points, expected) in cases {
        assert_eq!(polygon(points).map(drop), *expected, "{points:?}");
    }
    let ring = |count: usize| {
        let turn = |index: usize| index as f64 / count as f64 * std::f64::consts::TAU;
        let point =
            |index| ((turn(index).cos() * 9_000.0) as i32, (turn(index).sin() * 9_000.0) as i32);
        polygon(&(0..count).map(point).collect::<Vec<_>>())
    };
    assert!(ring(MAX_VERTICES).is_ok());
    assert_eq!(ring(MAX_VERTICES + 1), Err(BadPolygon::Vertices));
    let wide = [(0, 0), (0, 179_000_000), (10_000_000, -179_000_000)];
    let wide = wide.iter().map(|(a, b)| Point::of_micro(*a, *b).unwrap()).collect();
    assert_eq!(Polygon::new(wide), Err(BadPolygon::TooWide));
    // Nor does one come in from outside by another way.
    assert!(serde_json::from_str::<Polygon>("[[0,0],[1000,1000],[0,1000],[1000,0]]").is_err());
}

#[test]
fn an_area_is_around_the_store_or_within_a_polygon() {
    let store = at(0, 0);
    let radius = Area::Radius { metres: 5_000 };
    assert!(radius.contains(store, at(3_000, 3_000)) && !radius.contains(store, at(4_000, 4_000)));
    // An L, whose notch is outside.
    let corners = [(0, 0), (2000, 0), (2000, 1000), (1000, 1000), (1000, 2000), (0, 2000)];
    let area = Area::Polygon { vertices: polygon(&corners).unwrap() };
    for (point, inside) in [
        ((500, 500), true),
        ((1500, 500), true),
        ((500, 1500), true),
        ((1500, 1500), false),
        ((-1, 500), false),
        ((2001, 500), false),
        ((500, 2001), false),
        ((500, -1), false),
        // On an edge and on a vertex.
        ((1500, 1000), true),
        ((0, 0), true),
        ((1000, 1000), true),
        ((1000, 1999), true),
    ] {
        assert_eq!(area.contains(store, at(point.0, point.1)), inside, "{point:?}");
    }
    let text = serde_json::to_string(&area).unwrap();
    assert_eq!(serde_json::from_str::<Area>(&text).unwrap(), area);
}

fn service() -> HomeService {
    HomeService {
        area: Area::Radius { metres: 50_000 },
        fees: vec![
            FeeBand { up_to_metres: 3_000, fee_fen: 0 },
            FeeBand { up_to_metres: 10_000, fee_fen: 2_000 },
            FeeBand { up_to_metres: 20_000, fee_fen: 5_000 },
        ],
        speed: Speed {
            handover_minutes: 5,
            bands: vec![
                SpeedBand { up_to_metres: 2_000, metres_per_minute: 100 },
                SpeedBand { up_to_metres: 10_000, metres_per_minute: 250 },
            ],
        },
    }
}

#[test]
fn the_way_takes_as_long_as_the_table_says() {
    let speed = service().speed;
    for (metres, ticks) in [
        (0, 0),
        (1, 2),
        (500, 2),
        (501, 3),
        (2_000, 5),
        // 5 + 8.004 minutes: faster than what is a little nearer, because one takes the car.
        (2_001, 3),
        (10_000, 9),
        (10_001, 10),
        (25_000, 21),
        (1_000_000, MAX_WAY_TICKS),
    ] {
        assert_eq!(speed.ticks(metres), ticks, "{metres}");
    }
}

#[test]
fn a_fee_is_that_of_the_band_and_a_part_of_the_price() {
    let service = service();
    let store = at(0, 0);
    for (east, fee) in [
        (0, Some(0)),
        (2_500, Some(0)),
        (5_000, Some(2_000)),
        (15_000, Some(5_000)),
        (25_000, None),
    ] {
        assert_eq!(service.fee_fen(store, at(east, 0)), fee, "{east}");
    }
    let free = HomeService { fees: Vec::new(), ..service.clone() };
    assert_eq!(free.fee_fen(store, at(25_000, 0)), Some(0));
    assert_eq!(free.fee_fen(store, at(70_000, 0)), None);
    let price = price(19_800, &[("senior".into(), 29_800)], "senior").and(fee_part(2_000));
    let parts: Vec<_> = price.parts.iter().map(|part| (&*part.kind, part.fen)).collect();
    assert_eq!(parts, [("service", 19_800), ("level", 10_000), ("travel", 2_000)]);
    assert_eq!(price.total_fen, 31_800);
    assert_eq!(fee_part(0), None);
}

#[test]
fn tables_rise_and_stay_within_their_limits() {
    assert_eq!(service().check(), Ok(()));
    let with = |change: fn(&mut HomeService)| {
        let mut service = service();
        change(&mut service);
        service.check()
    };
    assert_eq!(with(|one| one.fees[1].up_to_metres = 3_000), Err(BadHomeService::Order));
    assert_eq!(with(|one| one.speed.bands.reverse()), Err(BadHomeService::Order));
    assert_eq!(with(|one| one.speed.bands.clear()), Err(BadHomeService::Bands));
    assert_eq!(with(|one| one.speed.bands[0].metres_per_minute = 0), Err(BadHomeService::Range));
    assert_eq!(with(|one| one.speed.handover_minutes = 121), Err(BadHomeService::Range));
    assert_eq!(with(|one| one.fees[0].fee_fen = -1), Err(BadHomeService::Range));
    assert_eq!(with(|one| one.fees = vec![one.fees[0]; 11]), Err(BadHomeService::Bands));
}

#[test]
fn a_store_that_came_later_counts_as_the_furthest() {
    let stores: BTreeMap<_, _> =
        [("near".to_owned(), at(0, 0)), ("far".to_owned(), at(20_000, 0))].into();
    let home = service().place(at(1_000, 0), at(0, 0), &stores);
    assert!(home.to_store("near") < home.to_store("far"));
    assert_eq!(home.to_store("new"), home.to_store("far"));
    assert_eq!(home.to_store("new"), home.furthest_store());
}

fn spec(
    id: String,
    kind: ClaimKind,
    store: &str,
    (service, block): (Interval, Interval),
    home: Option<Home>,
) -> ClaimSpec {
    ClaimSpec {
        op: id.clone(),
        id,
        store_id: store.into(),
        kind,
        service,
        block,
        quantity: 1,
        replaces: Vec::new(),
        home: home.map(Box::new),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_offered_at_home_is_accepted_and_all_of_it_is_offered(
        shifts in prop::collection::vec((0_u16..250, 20_u16..150), 1..3),
        taken in prop::collection::vec(
            (0_i64..560, 1_i64..16, 0_u8..4, (-15_000_i32..15_000, -15_000_i32..15_000)), 0..14),
        off in prop::option::of((0_i64..560, 1_i64..80)),
        (minutes, before, after) in (5_i64..150, 0_i64..30, 0_i64..30),
        (east, north) in (-15_000_i32..15_000, -15_000_i32..15_000),
        at_taken in prop::option::weighted(0.3, 0_usize..14),
        (base_east, handover_minutes) in (-5_000_i32..5_000, 0_i64..30),
        capacity in 1_u16..3,
    ) {
        let start = DAY.start();
        let now = start.ms() - 86_400_000;
        let ranges: Vec<_> = shifts.iter()
            .filter_map(|(from, length)| MinuteRange::new(from * 5, (from + length) * 5)).collect();
        let valid_from = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let pattern = |store: &str| WeeklyPattern {
            store_id: store.into(), valid_from, week: Week(std::array::from_fn(|_| ranges.clone())),
        };
        let mut rules = WorkingRules {
            stores: ["s", "t"].map(|store| (store.to_owned(), Zone::UTC)).into(),
            weekly: vec![pattern("s"), pattern("t")],
            ..WorkingRules::default()
        };
        rules.times_off.extend(off.map(|(from, length)| TimeOff {
            id: "o".into(), reason: String::new(),
            interval: Interval::new(start.plus(from), start.plus(from + length)).unwrap(),
        }));
        let mut service = service();
        service.speed.handover_minutes = handover_minutes;
        let stores: BTreeMap<_, _> = [("s".to_owned(), at(0, 0)), ("t".to_owned(), at(6_000, 0))].into();
        let base = at(base_east, 100);
        let claims: Vec<Claim> = taken.iter().enumerate().map(|(number, (from, length, what, (east, north)))| {
            let block = Interval::new(start.plus(*from), start.plus(from + length)).unwrap();
            let kind = if *what == 0 { ClaimKind::Block } else { ClaimKind::Appointment };
            let home = (*what > 1).then(|| service.place(at(*east, *north), base, &stores));
            let store = if *what == 1 { "t" } else { "s" };
            Claim { spec: spec(format!("c{number}"), kind, store, (block, block), home), state: ClaimState::Confirmed }
        }).collect();
        // Sometimes at one of the homes that there is a claim at.
        let same = at_taken.and_then(|index| claims.get(index)).and_then(|claim| claim.spec.home.as_ref());
        let point = same.map_or(at(east, north), |home| home.point);
        let calendar = Calendar { capacity, rules, claims };
        let shape = Shape::of_minutes(minutes, before, after);

        let range = DayRange { from: DAY, until: UtcDay(DAY.0 + 2) };
        let days = DayRange { from: UtcDay(DAY.0 - 1), until: UtcDay(DAY.0 + 3) };
        let none = Bits::none(days.interval().unwrap());
        let (mut room, mut working, mut free) = (none.clone(), none.clone(), none);
        for day in days.iter() {
            let bits = calendar.day(now, "s", day);
            room.put_day(day, &bits.room);
            working.put_day(day, &bits.working);
            free.put_day(day, &bits.free);
        }
        let home = service.place(point, base, &stores);
        let others = calendar.claims.iter()
            .filter_map(|claim| claim.spec.place().map(|place| (claim.spec.block, place)));
        let at_home = shape.starts(&reachable(&home, &room, &working, others));
        let in_store = shape.starts(&free);
        for tick in range.interval().unwrap().within(range.interval().unwrap()) {
            let times = shape.at(tick).unwrap();
            for (starts, home) in [(&at_home, Some(home.clone())), (&in_store, None)] {
                let asked = spec("new".into(), ClaimKind::Appointment, "s", times, home);
                let accepted = calendar.hold(now, &asked, now + 1).is_ok();
                prop_assert_eq!(starts.get(tick), accepted, "{:?} at home: {}", tick, asked.home.is_some());
            }
        }
    }

    #[test]
    fn ways_are_the_same_in_both_directions(
        (a_east, a_north) in (-20_000_i32..20_000, -20_000_i32..20_000),
        (b_east, b_north) in (-20_000_i32..20_000, -20_000_i32..20_000),
        slow in 1_i64..300,
    ) {
        let stores: BTreeMap<_, _> = [("s".to_owned(), at(0, 0))].into();
        let mut slower = service();
        slower.speed.bands = vec![SpeedBand { up_to_metres: 1, metres_per_minute: slow }];
        let a = service().place(at(a_east, a_north), at(0, 0), &stores);
        let b = slower.place(at(b_east, b_north), at(0, 0), &stores);
        prop_assert_eq!(a.to_home(&b), b.to_home(&a));
        prop_assert_eq!(Place::Home(&a).way(Place::Store("s")), Place::Store("s").way(Place::Home(&a)));
        prop_assert!((0..=MAX_WAY_TICKS).contains(&a.to_home(&b)));
    }

    #[test]
    fn a_point_inside_stays_inside_however_the_polygon_is_turned(
        corners in prop::collection::vec((0_i32..6, 0_i32..6), 3..8),
        (east, north) in (-1_i32..7, -1_i32..7), turn in 0_usize..8,
    ) {
        let scaled: Vec<_> = corners.iter().map(|(east, north)| (east * 100, north * 100)).collect();
        let mut turned = scaled.clone();
        turned.rotate_left(turn % scaled.len());
        let mut back = scaled.clone();
        back.reverse();
        let one = polygon(&scaled);
        prop_assert_eq!(one.is_ok(), polygon(&turned).is_ok());
        prop_assert_eq!(one.is_ok(), polygon(&back).is_ok());
        let point = at(east * 100, north * 100);
        if let (Ok(one), Ok(turned), Ok(back)) = (one, polygon(&turned), polygon(&back)) {
            prop_assert_eq!(one.contains(point), turned.contains(point));
            prop_assert_eq!(one.contains(point), back.contains(point));
            prop_assert!(one.vertices().iter().all(|vertex| one.contains(*vertex)));
        }
    }
}
