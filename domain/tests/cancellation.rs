//! Cancellation tiers, by tables and by properties.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::cancellation::{
    BadTiers, MAX_TIERS, MAX_UNTIL_MINUTES, MIN_UNTIL_MINUTES, Side, Tier, Tiers,
    no_show_refund_fen, refund_fen,
};
use zhundian_domain::order::Status;
use zhundian_domain::pricing::MAX_PRICE_FEN;

const MINUTE: i64 = 60_000;
const START: i64 = 10_000_000 * MINUTE;

fn tiers(of: &[(i64, i64)]) -> Result<Tiers, BadTiers> {
    Tiers::new(
        of.iter()
            .map(|(until_minutes_before, refund_percent)| Tier {
                until_minutes_before: *until_minutes_before,
                refund_percent: *refund_percent,
            })
            .collect(),
    )
}

#[test]
fn each_tier_holds_to_its_last_minute() {
    let scale = tiers(&[(1440, 100), (120, 50)]).unwrap();
    let cases = [
        (START - 2000 * MINUTE, 999),
        (START - 1440 * MINUTE, 999),
        (START - 1440 * MINUTE + 1, 500),
        (START - 120 * MINUTE, 500),
        (START - 120 * MINUTE + 1, 0),
        (START, 0),
        (START + MINUTE, 0),
    ];
    for (now, expected) in cases {
        assert_eq!(refund_fen(&scale, Side::Member, 999, START, now), expected, "{now}");
        assert_eq!(refund_fen(&scale, Side::Store, 999, START, now), 999);
    }
}

#[test]
fn without_tiers_nothing_comes_back_and_by_default_everything_until_the_start() {
    let none = tiers(&[]).unwrap();
    assert_eq!(refund_fen(&none, Side::Member, 999, START, START - 5000 * MINUTE), 0);
    let default = Tiers::default();
    assert_eq!(refund_fen(&default, Side::Member, 999, START, START), 999);
    assert_eq!(refund_fen(&default, Side::Member, 999, START, START + 1), 0);
}

#[test]
fn who_does_not_come_gets_what_holds_after_the_start() {
    let cases: [(&[(i64, i64)], i64); 6] = [
        (&[], 0),
        (&[(1440, 100), (120, 50)], 0),
        (&[(0, 100)], 0),
        (&[(120, 50), (-1, 20)], 200),
        (&[(120, 100), (MIN_UNTIL_MINUTES, 30)], 300),
        (&[(-1, 100)], 999),
    ];
    for (of, expected) in cases {
        assert_eq!(no_show_refund_fen(&tiers(of).unwrap(), 999, START), expected, "{of:?}");
        assert_eq!(no_show_refund_fen(&tiers(of).unwrap(), -5, START), 0);
    }
    assert_eq!(no_show_refund_fen(&Tiers::default(), 999, START), 0);
}

#[test]
fn what_is_no_scale_is_refused() {
    let most: Vec<(i64, i64)> = (0..MAX_TIERS as i64).map(|step| (500 - step, 90 - step)).collect();
    assert!(tiers(&most).is_ok());
    let more: Vec<(i64, i64)> =
        (0..=MAX_TIERS as i64).map(|step| (500 - step, 90 - step)).collect();
    assert_eq!(tiers(&more), Err(BadTiers::TooMany));
    assert!(tiers(&[(MAX_UNTIL_MINUTES, 100), (0, 0)]).is_ok());
    let cases: [(&[(i64, i64)], BadTiers); 8] = [
        (&[(MAX_UNTIL_MINUTES + 1, 100)], BadTiers::OutOfRange(0)),
        (&[(MIN_UNTIL_MINUTES - 1, 100)], BadTiers::OutOfRange(0)),
        (&[(60, 101)], BadTiers::OutOfRange(0)),
        (&[(60, 100), (30, -1)], BadTiers::OutOfRange(1)),
        (&[(60, 100), (60, 50)], BadTiers::NotOrdered(1)),
        (&[(60, 100), (90, 50)], BadTiers::NotOrdered(1)),
        (&[(60, 50), (30, 50)], BadTiers::NotFalling(1)),
        (&[(60, 50), (30, 60)], BadTiers::NotFalling(1)),
    ];
    for (of, expected) in cases {
        assert_eq!(tiers(of), Err(expected), "{of:?}");
    }
}

#[test]
fn tiers_are_a_json_list() {
    let json = r#"[{"until_minutes_before":1440,"refund_percent":100},{"until_minutes_before":120,"refund_percent":50}]"#;
    let scale: Tiers = serde_json::from_str(json).unwrap();
    assert_eq!(scale, tiers(&[(1440, 100), (120, 50)]).unwrap());
    assert_eq!(serde_json::to_string(&scale).unwrap(), json);
    let rising = r#"[{"until_minutes_before":120,"refund_percent":50},{"until_minutes_before":1440,"refund_percent":100}]"#;
    assert!(serde_json::from_str::<Tiers>(rising).is_err());
}

#[test]
fn before_the_store_has_promised_the_time_the_member_owes_nothing() {
    assert_eq!(Side::of_member(Status::Paid), Side::Store);
    assert_eq!(Side::of_member(Status::Confirmed), Side::Member);
}

fn scale() -> impl Strategy<Value = Tiers> {
    let untils = prop::collection::btree_set(MIN_UNTIL_MINUTES..=MAX_UNTIL_MINUTES, 0..=MAX_TIERS);
    let percents = prop::collection::btree_set(0_i64..=100, MAX_TIERS);
    (untils, percents).prop_map(|(untils, percents)| {
        let tiers: Vec<(i64, i64)> =
            untils.into_iter().rev().zip(percents.into_iter().rev()).collect();
        self::tiers(&tiers).unwrap()
    })
}

proptest! {
    #[test]
    fn later_never_gives_back_more_and_never_more_than_was_paid(
        scale in scale(), paid in 0..=MAX_PRICE_FEN, one in -10..MAX_UNTIL_MINUTES * 2, other in -10..MAX_UNTIL_MINUTES * 2,
    ) {
        let back = |before: i64| refund_fen(&scale, Side::Member, paid, START, START - before * MINUTE);
        let (earlier, later) = (back(one.max(other)), back(one.min(other)));
        prop_assert!(later <= earlier);
        prop_assert!((0..=paid).contains(&later) && (0..=paid).contains(&earlier));
        prop_assert_eq!(refund_fen(&scale, Side::Store, paid, START, START - one * MINUTE), paid);
    }

    #[test]
    fn a_share_is_rounded_half_up(paid in 0..=MAX_PRICE_FEN, percent in 0_i64..=100) {
        let scale = tiers(&[(0, percent)]).unwrap();
        let back = refund_fen(&scale, Side::Member, paid, START, START);
        // Twice the distance to the exact share is at most one fen, and a half goes up.
        let off = (back * 100 - paid * percent) * 2;
        prop_assert!(-100 < off && off <= 100, "{}", off);
    }
}
