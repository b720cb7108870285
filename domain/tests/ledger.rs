//! The ledger against a naive model, and what accounts and operations are called.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::ledger::{
    Entry, Ledger, Refusal, order_account, paid, provider_account, refund_closed, refund_paid,
    refund_requested,
};

fn entry(op: u8, account: u8, delta_fen: i64) -> Entry {
    Entry { op_id: format!("op{op}"), account_id: format!("a{account}"), delta_fen }
}

proptest! {
    #[test]
    fn the_ledger_does_what_a_list_of_entries_does(
        batches in prop::collection::vec(prop::collection::vec((0_u8..12, 0_u8..3, -60_i64..100), 1..4), 0..25),
    ) {
        let mut ledger = Ledger::default();
        // The model: the list of what stands. A batch stands when the list with it keeps the rules at
        // each of its entries.
        let mut list: Vec<Entry> = Vec::new();
        for batch in batches {
            let batch: Vec<Entry> = batch.into_iter().map(|(op, account, delta)| entry(op, account, delta)).collect();
            let mut with = list.clone();
            let stands = batch.iter().all(|entry| {
                let once = !with.iter().any(|known| (&known.op_id, &known.account_id) == (&entry.op_id, &entry.account_id));
                with.push(entry.clone());
                once && entry.delta_fen != 0 && balance(&with, &entry.account_id) >= 0
            });
            prop_assert_eq!(ledger.post(&batch).is_ok(), stands);
            if stands {
                list = with;
            }
            prop_assert_eq!(ledger.entries(), &list[..]);
            for account in ["a0", "a1", "a2"] {
                prop_assert_eq!(ledger.balance_fen(account), balance(&list, account));
            }
        }
    }
}

fn balance(list: &[Entry], account: &str) -> i64 {
    list.iter().filter(|entry| entry.account_id == account).map(|entry| entry.delta_fen).sum()
}

#[test]
fn a_payment_and_its_refunds() {
    let mut ledger = Ledger::default();
    let (order, provider) = (order_account("o"), provider_account("wechat_pay"));
    assert_eq!((order.as_str(), provider.as_str()), ("order:o", "provider:wechat_pay"));
    let balances = |ledger: &Ledger| (ledger.balance_fen(&order), ledger.balance_fen(&provider));

    ledger.post(&paid("p", "o", "wechat_pay", 100)).unwrap();
    assert_eq!(balances(&ledger), (100, 100));
    assert!(matches!(ledger.post(&paid("p", "o", "wechat_pay", 100)), Err(Refusal::Repeated(_))));

    ledger.post(&[refund_requested("r", "o", 60)]).unwrap();
    assert_eq!(balances(&ledger), (40, 100));
    // Another one that would pass what was paid.
    let more = refund_requested("s", "o", 41);
    assert_eq!(ledger.post(std::slice::from_ref(&more)), Err(Refusal::BelowZero(more)));

    ledger.post(&[refund_closed("r", "o", 60)]).unwrap();
    assert_eq!(balances(&ledger), (100, 100));
    ledger.post(&[refund_requested("t", "o", 100)]).unwrap();
    ledger.post(&[refund_paid("t", "wechat_pay", 100)]).unwrap();
    assert_eq!(balances(&ledger), (0, 0));

    let ops: Vec<&str> = ledger.entries().iter().map(|entry| entry.op_id.as_str()).collect();
    assert_eq!(
        ops,
        ["paid:p", "paid:p", "refund:r", "refund-closed:r", "refund:t", "refund-paid:t"]
    );
    assert!(matches!(ledger.post(&[refund_requested("u", "o", 0)]), Err(Refusal::Nothing(_))));
}
