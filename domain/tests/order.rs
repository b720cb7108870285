//! Prices and the order's states, by tables.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use zhundian_domain::order::{Event, Refusal, Status, apply};
use zhundian_domain::pricing::{DepositRule, price};

const HOUR: i64 = 3_600_000;

#[test]
fn a_member_cancels_and_moves_until_the_notice() {
    let start_at = 100 * HOUR;
    let cases = [
        (start_at - 2 * HOUR, 120, Ok(())),
        (start_at - 2 * HOUR + 1, 120, Err(Refusal::TooLate)),
        (start_at - 1, 0, Ok(())),
        (start_at, 0, Err(Refusal::TooLate)),
        (start_at + HOUR, 0, Err(Refusal::TooLate)),
    ];
    for (now, notice_minutes, expected) in cases {
        let cancel = Event::CancelledByMember { now, start_at, notice_minutes };
        assert_eq!(apply(Status::Confirmed, cancel), expected.map(|()| Status::Cancelled), "{now}");
        let moved = Event::MovedByMember { now, start_at, notice_minutes };
        assert_eq!(apply(Status::Confirmed, moved), expected.map(|()| Status::Confirmed), "{now}");
    }
}

#[test]
fn nothing_but_a_lost_claim_happens_to_a_cancelled_order() {
    let refused = Err(Refusal::WrongStatus(Status::Cancelled));
    let late = Event::MovedByMember { now: 0, start_at: HOUR, notice_minutes: 0 };
    for event in [late, Event::CancelledByStaff, Event::MovedByStaff] {
        assert_eq!(apply(Status::Cancelled, event), refused);
    }
    assert_eq!(apply(Status::Cancelled, Event::ClaimLost), Ok(Status::Cancelled));
    assert_eq!(apply(Status::Confirmed, Event::ClaimLost), Ok(Status::Cancelled));
    assert_eq!(apply(Status::Confirmed, Event::CancelledByStaff), Ok(Status::Cancelled));
    assert_eq!(apply(Status::Confirmed, Event::MovedByStaff), Ok(Status::Confirmed));
}

#[test]
fn parts_sum_to_the_total() {
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
