//! The table of `domain::staffing`, cell by cell.
#![allow(clippy::unwrap_used)]

use zhundian_domain::staffing::{Assignment, Event, Refusal, answer_by, apply};

const BY: i64 = 1_000;

fn events(now: i64) -> [Event; 9] {
    let answer_by = Some(BY);
    [
        Event::StaffAssign,
        Event::Accepted { now, answer_by },
        Event::Declined,
        Event::PassedOn,
        Event::Silent { now, answer_by },
        Event::NextAsked { to_accept: true },
        Event::NextAsked { to_accept: false },
        Event::OfferedToAll,
        Event::Grabbed { now, answer_by },
    ]
}

#[test]
fn every_cell_is_as_the_table_says() {
    // `a`, `k`, `d`, `o` for what follows; `-` nobody waits for it, `l` too late, `e` too early.
    let tables = [
        (BY - 1, ["aa-d-----", "a--------", "aadde----", "a----kao-", "a-------a"]),
        (BY, ["aa-d-----", "a--------", "alddd----", "a----kao-", "a-------l"]),
    ];
    for (now, rows) in tables {
        for (assignment, row) in Assignment::ALL.into_iter().zip(rows) {
            for (event, cell) in events(now).into_iter().zip(row.chars()) {
                let wanted = match cell {
                    'a' => Ok(Assignment::Assigned),
                    'k' => Ok(Assignment::Asked),
                    'd' => Ok(Assignment::Declined),
                    'o' => Ok(Assignment::Offered),
                    'l' => Err(Refusal::TooLate),
                    'e' => Err(Refusal::TooEarly),
                    _ => Err(Refusal::NotAwaited),
                };
                assert_eq!(apply(assignment, event), wanted, "{assignment:?} {event:?}");
            }
        }
    }
}

#[test]
fn as_long_as_it_is_not_paid_nobody_is_too_late_and_nobody_silent() {
    let (now, answer_by) = (i64::MAX, None);
    let accepted = apply(Assignment::Asked, Event::Accepted { now, answer_by });
    assert_eq!(accepted, Ok(Assignment::Assigned));
    let silent = apply(Assignment::Asked, Event::Silent { now, answer_by });
    assert_eq!(silent, Err(Refusal::TooEarly));
}

#[test]
fn an_answer_is_waited_for_until_the_start_at_most() {
    assert_eq!(answer_by(0, 30, 60 * 60_000), 30 * 60_000);
    assert_eq!(answer_by(0, 90, 60 * 60_000), 60 * 60_000);
}
