//! The order's states: every state under every event, and the edges of time and money.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use zhundian_domain::order::Status::{
    Cancelled, Closed, Completed, Confirmed, Created, InService, NoShow, Paid, PendingPayment,
};
use zhundian_domain::order::{Event, Refusal, Status, apply};

const HOUR: i64 = 3_600_000;
const START: i64 = 100 * HOUR;

#[test]
fn every_state_under_every_event() {
    let early = START - 3 * HOUR;
    let (start_at, notice_minutes) = (START, 120);
    // Events by name, and the states in which each is taken with what follows. All else is refused.
    let stays: [(Status, Status); 5] =
        [Confirmed, InService, Completed, NoShow, Cancelled].map(|status| (status, status));
    let after = |first: &[(Status, Status)]| {
        let rest = stays.iter().filter(|(from, _)| !first.iter().any(|(known, _)| known == from));
        first.iter().chain(rest).copied().collect::<Vec<_>>()
    };
    let there = |next| vec![(Confirmed, next), (InService, InService), (Completed, Completed)];
    let table: Vec<(Event, Vec<(Status, Status)>)> = vec![
        (Event::Placed { due_fen: 1 }, vec![(Created, PendingPayment)]),
        (Event::Placed { due_fen: 0 }, vec![(Created, Confirmed)]),
        (Event::Paid, vec![(PendingPayment, Paid), (Closed, Paid)]),
        (Event::ClaimConfirmed, after(&[(Paid, Confirmed)])),
        (Event::ClaimLost, after(&[(Paid, Cancelled), (Confirmed, Cancelled)])),
        (Event::Expired, vec![(PendingPayment, Closed), (Closed, Closed)]),
        (
            Event::CancelledByMember { now: early, start_at, notice_minutes },
            vec![(PendingPayment, Cancelled), (Paid, Cancelled), (Confirmed, Cancelled)],
        ),
        (
            Event::CancelledByStaff,
            vec![
                (PendingPayment, Cancelled),
                (Paid, Cancelled),
                (Confirmed, Cancelled),
                (InService, Cancelled),
            ],
        ),
        (
            Event::MovedByMember {
                now: early,
                start_at,
                notice_minutes,
                moves: 2,
                max_moves: Some(3),
            },
            vec![(Confirmed, Confirmed)],
        ),
        (Event::MovedByStaff, vec![(Confirmed, Confirmed)]),
        (Event::Attended { now: early, start_at }, there(Confirmed)),
        (Event::Started { now: early, start_at }, there(InService)),
        (Event::Settled { remaining_fen: 0 }, vec![(Confirmed, Completed), (InService, Completed)]),
        (Event::Settled { remaining_fen: 1 }, vec![(Confirmed, Confirmed), (InService, InService)]),
        (
            Event::Completed { remaining_fen: 0 },
            vec![(Confirmed, Completed), (InService, Completed), (Completed, Completed)],
        ),
        (Event::NoShow { now: START, start_at }, vec![(Confirmed, NoShow)]),
    ];
    for (event, taken) in table {
        for status in Status::ALL {
            let expected = taken
                .iter()
                .find(|(from, _)| *from == status)
                .map_or(Err(Refusal::WrongStatus(status)), |(_, to)| Ok(*to));
            assert_eq!(apply(status, event), expected, "{status:?} under {event:?}");
        }
    }
}

#[test]
fn a_member_cancels_and_moves_until_the_notice() {
    let cases = [
        (START - 2 * HOUR, 120, Ok(())),
        (START - 2 * HOUR + 1, 120, Err(Refusal::TooLate)),
        (START - 1, 0, Ok(())),
        (START, 0, Err(Refusal::TooLate)),
        (START + HOUR, 0, Err(Refusal::TooLate)),
    ];
    for (now, notice_minutes, expected) in cases {
        let cancel = Event::CancelledByMember { now, start_at: START, notice_minutes };
        for status in [Paid, Confirmed] {
            assert_eq!(apply(status, cancel), expected.map(|()| Cancelled), "{now}");
        }
        // What is not paid yet may be given up at any time.
        assert_eq!(apply(PendingPayment, cancel), Ok(Cancelled));
        let (start_at, max_moves) = (START, None);
        let moved = Event::MovedByMember { now, start_at, notice_minutes, moves: 7, max_moves };
        assert_eq!(apply(Confirmed, moved), expected.map(|()| Confirmed), "{now}");
    }
}

#[test]
fn a_member_moves_so_often_and_no_more() {
    let moved = |moves, max_moves, now| {
        let (start_at, notice_minutes) = (START, 120);
        apply(Confirmed, Event::MovedByMember { now, start_at, notice_minutes, moves, max_moves })
    };
    let early = START - 3 * HOUR;
    assert_eq!(moved(0, Some(1), early), Ok(Confirmed));
    assert_eq!(moved(1, Some(1), early), Err(Refusal::TooOften));
    assert_eq!(moved(0, Some(0), early), Err(Refusal::TooOften));
    // What no call to the store would change is said first.
    assert_eq!(moved(1, Some(1), START), Err(Refusal::TooLate));
}

#[test]
fn nobody_checks_in_or_begins_long_before_the_start() {
    for early in [START - 12 * HOUR - 1, START - 48 * HOUR] {
        for status in [Confirmed, InService, Completed] {
            let at = |event| apply(status, event);
            let refused = Err(Refusal::TooEarly);
            assert_eq!(at(Event::Attended { now: early, start_at: START }), refused);
            assert_eq!(at(Event::Started { now: early, start_at: START }), refused);
        }
    }
    for now in [START - 12 * HOUR, START, START + 48 * HOUR] {
        assert_eq!(apply(Confirmed, Event::Attended { now, start_at: START }), Ok(Confirmed));
        assert_eq!(apply(Confirmed, Event::Started { now, start_at: START }), Ok(InService));
    }
}

#[test]
fn nobody_is_absent_before_the_start_and_nothing_is_complete_that_is_not_paid() {
    let absent = |now| apply(Confirmed, Event::NoShow { now, start_at: START });
    assert_eq!(absent(START - 1), Err(Refusal::TooEarly));
    assert_eq!(absent(START), Ok(NoShow));
    for status in [Confirmed, InService] {
        let done = |remaining_fen| apply(status, Event::Completed { remaining_fen });
        assert_eq!(done(1), Err(Refusal::BalanceDue));
        // A customer who has paid too much has nothing left to pay.
        assert_eq!(done(-1), Ok(Completed));
    }
}

#[test]
fn a_state_is_written_as_it_is_read() {
    for status in Status::ALL {
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
    }
}
