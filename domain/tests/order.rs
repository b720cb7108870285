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
            Event::MovedByMember { now: early, start_at, notice_minutes },
            vec![(Confirmed, Confirmed)],
        ),
        (Event::MovedByStaff, vec![(Confirmed, Confirmed)]),
        (Event::Started, vec![(Confirmed, InService)]),
        (Event::Settled { remaining_fen: 0 }, vec![(Confirmed, Completed), (InService, Completed)]),
        (Event::Settled { remaining_fen: 1 }, vec![(Confirmed, Confirmed), (InService, InService)]),
        (
            Event::Completed { remaining_fen: 0 },
            vec![(Confirmed, Completed), (InService, Completed)],
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
        let moved = Event::MovedByMember { now, start_at: START, notice_minutes };
        assert_eq!(apply(Confirmed, moved), expected.map(|()| Confirmed), "{now}");
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
