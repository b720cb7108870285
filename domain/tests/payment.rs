//! Payments, refunds and evidence, by tables.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::payment::{
    Contradiction, Known, Paid, PaymentEvent, PaymentStatus, RefundEvent, RefundStatus, Refundable,
    Surplus, on_paid, spread,
};

#[test]
fn what_the_provider_says_of_a_payment() {
    use PaymentStatus::{Closed, Paid, Pending};
    let table = [(Pending, Ok(Closed)), (Paid, Err(Contradiction)), (Closed, Ok(Closed))];
    for (status, closed) in table {
        assert_eq!(status.apply(PaymentEvent::Paid), Ok(Paid));
        assert_eq!(status.apply(PaymentEvent::Closed), closed);
    }
}

#[test]
fn what_the_provider_says_of_a_refund() {
    use RefundStatus::{Abnormal, Closed, Processing, Requested, Succeeded};
    let events = [
        RefundEvent::Processing,
        RefundEvent::Succeeded,
        RefundEvent::Abnormal,
        RefundEvent::Closed,
    ];
    let table = [
        (Requested, [Ok(Processing), Ok(Succeeded), Ok(Abnormal), Ok(Closed)]),
        (Processing, [Ok(Processing), Ok(Succeeded), Ok(Abnormal), Ok(Closed)]),
        (Abnormal, [Ok(Abnormal), Ok(Succeeded), Ok(Abnormal), Ok(Closed)]),
        (Succeeded, [Ok(Succeeded), Ok(Succeeded), Ok(Succeeded), Err(Contradiction)]),
        (Closed, [Ok(Closed), Err(Contradiction), Ok(Closed), Ok(Closed)]),
    ];
    for (status, expected) in table {
        assert_eq!(events.map(|event| status.apply(event)), expected, "{status:?}");
        assert_eq!(
            status.is_final(),
            events
                .iter()
                .all(|event| status.apply(*event).is_err() || status.apply(*event) == Ok(status)),
        );
    }
}

const HOLD_END: i64 = 1_000;
const START: i64 = 5_000;

fn known(order: Status, payment: PaymentStatus) -> Known {
    Known {
        order,
        payment,
        paid_by_another: false,
        asked_fen: 100,
        hold_expires_at: HOLD_END,
        start_at: START,
    }
}

#[test]
fn evidence_in_every_state() {
    let refund = |why| Paid::RefundInFull { why };
    let record = |new_claim| Paid::Record { next: Status::Paid, new_claim };
    // In time, after the hold's end, after the start.
    let over = [refund(Surplus::OrderOver); 3];
    let another = [refund(Surplus::PaidByAnother); 3];
    let begun = refund(Surplus::AppointmentBegun);
    let table = [
        (Status::Created, over),
        (Status::PendingPayment, [record(false), record(false), begun]),
        (Status::Paid, another),
        (Status::Confirmed, another),
        (Status::InService, another),
        (Status::Completed, another),
        (Status::NoShow, another),
        (Status::Cancelled, over),
        (Status::Closed, [record(true), record(true), begun]),
    ];
    for (order, expected) in table {
        for payment in [PaymentStatus::Pending, PaymentStatus::Closed] {
            let known = known(order, payment);
            let decided = [HOLD_END - 1, HOLD_END, START].map(|now| on_paid(&known, 100, now));
            assert_eq!(decided, expected, "{order:?} {payment:?}");
            for paid in decided {
                // The decision and the order's own states agree.
                if let Paid::Record { next, .. } = paid {
                    assert_eq!(apply(order, Event::Paid), Ok(next));
                }
            }
            let another = Known { paid_by_another: true, ..known };
            assert_eq!(on_paid(&another, 100, 0), refund(Surplus::PaidByAnother));
        }
        let recorded = known(order, PaymentStatus::Paid);
        assert_eq!(on_paid(&recorded, 100, START), Paid::AlreadyRecorded);
    }
}

#[test]
fn a_hold_that_outlasts_the_start_may_still_be_paid() {
    let known =
        Known { start_at: HOLD_END - 10, ..known(Status::PendingPayment, PaymentStatus::Pending) };
    assert!(matches!(on_paid(&known, 100, HOLD_END - 1), Paid::Record { .. }));
    assert!(matches!(on_paid(&known, 100, HOLD_END), Paid::RefundInFull { .. }));
}

#[test]
fn another_amount_is_no_evidence() {
    for order in Status::ALL {
        for payment in PaymentStatus::ALL {
            for said_fen in [99, 101, 0, -100] {
                assert_eq!(on_paid(&known(order, payment), said_fen, 0), Paid::Mismatch);
            }
        }
    }
}

#[test]
fn a_state_is_written_as_it_is_read() {
    for status in PaymentStatus::ALL {
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
    }
    for status in RefundStatus::ALL {
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
    }
}

proptest! {
    #[test]
    fn a_refund_is_spread_and_no_part_is_above_its_payment(
        fen in -10_i64..2_000, left in prop::collection::vec(0_i64..500, 0..5),
    ) {
        let payments: Vec<Refundable> = left
            .iter()
            .enumerate()
            .map(|(index, left_fen)| Refundable { payment_id: format!("p{index}"), left_fen: *left_fen })
            .collect();
        let refunds = spread(fen, &payments);
        prop_assert_eq!(
            refunds.iter().map(|(_, fen)| fen).sum::<i64>(),
            fen.max(0).min(left.iter().sum::<i64>()),
        );
        for (id, part) in refunds {
            let payment = payments.iter().find(|payment| payment.payment_id == id).unwrap();
            prop_assert!(0 < part && part <= payment.left_fen);
        }
    }
}
