//! Accounts of money: what an entry may be, and what the accounts and operations are called.
//!
//! Entries are only ever added. An account takes each operation once, never goes below zero, and equals
//! the sum of its entries (invariant I4). The entries of one effect are posted together or not at all, in
//! the batch of the effect.
//!
//! | what happens | operation | `order:<id>` | `provider:<name>` |
//! |---|---|---|---|
//! | a payment is recorded | `paid:<payment id>` | + | + |
//! | a refund is decided: its money is reserved | `refund:<refund id>` | − | |
//! | the provider has given it up | `refund-closed:<refund id>` | + | |
//! | the customer has it | `refund-paid:<refund id>` | | − |
//!
//! So `order:<id>` is what has been paid and not promised back, and as it cannot go below zero no refunds
//! exceed what was paid (I5), however many are asked for at once. `provider:<name>` is what the provider
//! should hold for us; the bill is compared with it. Their sums differ by the refunds under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The operation; each account takes it once.
    pub op_id: String,
    /// The account.
    pub account_id: String,
    /// Signed fen.
    pub delta_fen: i64,
}

impl Entry {
    fn new(op_id: String, account_id: String, delta_fen: i64) -> Self {
        Self { op_id, account_id, delta_fen }
    }
}

/// The account of what an order has been paid and not promised back.
#[must_use]
pub fn order_account(order_id: &str) -> String {
    format!("order:{order_id}")
}

/// The account of what a provider (`wechat_pay`, `alipay`, `cash`) holds for us.
#[must_use]
pub fn provider_account(provider: &str) -> String {
    format!("provider:{provider}")
}

/// The entries of a payment that is recorded.
#[must_use]
pub fn paid(payment_id: &str, order_id: &str, provider: &str, fen: i64) -> [Entry; 2] {
    let op = format!("paid:{payment_id}");
    [
        Entry::new(op.clone(), order_account(order_id), fen),
        Entry::new(op, provider_account(provider), fen),
    ]
}

/// The entry that reserves a refund's money.
#[must_use]
pub fn refund_requested(refund_id: &str, order_id: &str, fen: i64) -> Entry {
    Entry::new(format!("refund:{refund_id}"), order_account(order_id), -fen)
}

/// The entry of a refund that the provider has given up.
#[must_use]
pub fn refund_closed(refund_id: &str, order_id: &str, fen: i64) -> Entry {
    Entry::new(format!("refund-closed:{refund_id}"), order_account(order_id), fen)
}

/// The entry of a refund that the customer has.
#[must_use]
pub fn refund_paid(refund_id: &str, provider: &str, fen: i64) -> Entry {
    Entry::new(format!("refund-paid:{refund_id}"), provider_account(provider), -fen)
}

/// Why entries are not posted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The account has taken this operation: what it stands for is done.
    Repeated(Entry),
    /// The account would go below zero.
    BelowZero(Entry),
    /// The entry moves nothing.
    Nothing(Entry),
}

/// Accounts and their entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    balances: BTreeMap<String, i64>,
    entries: Vec<Entry>,
}

impl Ledger {
    /// What an account holds, in fen.
    #[must_use]
    pub fn balance_fen(&self, account_id: &str) -> i64 {
        self.balances.get(account_id).copied().unwrap_or(0)
    }

    /// Every entry, in the order in which it was posted.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Posts all of the entries, one after the other, or none.
    ///
    /// # Errors
    /// [`Refusal`] for the first that cannot stand, and nothing is posted.
    pub fn post(&mut self, entries: &[Entry]) -> Result<(), Refusal> {
        let mut next = self.clone();
        for entry in entries {
            let taken =
                |known: &Entry| known.account_id == entry.account_id && known.op_id == entry.op_id;
            if next.entries.iter().any(taken) {
                return Err(Refusal::Repeated(entry.clone()));
            }
            if entry.delta_fen == 0 {
                return Err(Refusal::Nothing(entry.clone()));
            }
            let balance = next.balances.entry(entry.account_id.clone()).or_default();
            match balance.checked_add(entry.delta_fen) {
                Some(after) if after >= 0 => *balance = after,
                _ => return Err(Refusal::BelowZero(entry.clone())),
            }
            next.entries.push(entry.clone());
        }
        *self = next;
        Ok(())
    }
}
