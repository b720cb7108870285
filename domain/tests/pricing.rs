//! Prices and deposits, by tables and by properties.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::pricing::{DepositRule, MAX_PRICE_FEN, Split, price, remaining_fen};

#[test]
fn a_level_has_its_own_price() {
    let levels = [("senior".to_owned(), 29_800), ("junior".to_owned(), 9_800)];
    for (level, total) in [("", 19_800), ("senior", 29_800), ("junior", 9_800), ("other", 19_800)] {
        let price = price(19_800, &levels, level);
        assert_eq!(price.total_fen, total);
        assert_eq!(price.parts.iter().map(|part| part.fen).sum::<i64>(), total);
    }
}

#[test]
fn deposits_round_half_up_and_never_pass_the_total() {
    let cases = [
        (DepositRule::None, 19_800, 0),
        (DepositRule::Full, 19_800, 19_800),
        (DepositRule::Fixed { fen: 5_000 }, 19_800, 5_000),
        (DepositRule::Fixed { fen: 5_000 }, 3_000, 3_000),
        (DepositRule::Percent { percent: 30 }, 19_800, 5_940),
        (DepositRule::Percent { percent: 50 }, 1, 1),
        (DepositRule::Percent { percent: 33 }, 101, 33),
        (DepositRule::Percent { percent: 100 }, 101, 101),
    ];
    for (rule, total, expected) in cases {
        assert_eq!(rule.of(total), expected, "{rule:?} of {total}");
    }
}

#[test]
fn what_was_paid_is_not_asked_for_again() {
    for (total, paid, remaining) in [(19_800, 5_940, 13_860), (100, 100, 0), (100, 130, 0)] {
        assert_eq!(remaining_fen(total, paid), remaining);
    }
}

fn rule() -> impl Strategy<Value = DepositRule> {
    prop_oneof![
        Just(DepositRule::None),
        (1..=MAX_PRICE_FEN).prop_map(|fen| DepositRule::Fixed { fen }),
        (1_i64..=100).prop_map(|percent| DepositRule::Percent { percent }),
        Just(DepositRule::Full),
    ]
}

proptest! {
    #[test]
    fn parts_sum_to_the_total(
        base in 0..=MAX_PRICE_FEN, prices in prop::collection::vec(0..=MAX_PRICE_FEN, 0..4), level in 0_usize..5,
    ) {
        let levels: Vec<(String, i64)> =
            prices.iter().enumerate().map(|(index, fen)| (format!("l{index}"), *fen)).collect();
        let price = price(base, &levels, &format!("l{level}"));
        prop_assert_eq!(price.parts.iter().map(|part| part.fen).sum::<i64>(), price.total_fen);
        prop_assert_eq!(price.total_fen, prices.get(level).copied().unwrap_or(base));
        let total_fen = price.total_fen;
        let several = price.times(7);
        prop_assert_eq!(several.parts.iter().map(|part| part.fen).sum::<i64>(), several.total_fen);
        prop_assert_eq!(several.total_fen, 7 * total_fen);
    }

    #[test]
    fn items_are_parts_of_the_total_and_of_what_is_due(
        base in 0..=MAX_PRICE_FEN, rule in rule(),
        items in prop::collection::vec((1_i64..=99, 0..=MAX_PRICE_FEN), 0..30),
    ) {
        let sum: i64 = items.iter().map(|(quantity, each)| quantity * each).sum();
        let count = items.len();
        let price = price(base, &[], "").with_items(items);
        prop_assert_eq!(price.parts.iter().map(|part| part.fen).sum::<i64>(), price.total_fen);
        prop_assert_eq!(price.total_fen, base + sum);
        prop_assert_eq!(price.parts.iter().filter(|part| part.kind == "items").count(), count);
        let Split { due_fen, balance_fen } = rule.split(price.total_fen);
        prop_assert_eq!(due_fen + balance_fen, base + sum);
        if rule == DepositRule::Full {
            prop_assert_eq!(due_fen, base + sum);
        }
    }

    #[test]
    fn now_and_later_sum_to_the_total(rule in rule(), total in 0..=MAX_PRICE_FEN) {
        let Split { due_fen, balance_fen } = rule.split(total);
        prop_assert_eq!(due_fen + balance_fen, total);
        prop_assert!(0 <= due_fen && due_fen <= total);
    }
}
