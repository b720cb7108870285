//! Payments and refunds at a provider, and what evidence of a payment does to its order.
//!
//! A **payment** is one `out_trade_no`. An order has at most one that is pending.
//!
//! | payment | the provider says: paid | closed |
//! |---|---|---|
//! | pending | paid | closed |
//! | paid | stays | contradiction |
//! | closed | paid | stays |
//!
//! A **refund** is one `out_refund_no`, kept through every retry. What the provider says of it comes in
//! notices and answers, repeated and out of order, so something older than what is known changes nothing.
//!
//! | refund | the provider says: processing | succeeded | abnormal | closed |
//! |---|---|---|---|---|
//! | requested | processing | succeeded | abnormal | closed |
//! | processing | stays | succeeded | abnormal | closed |
//! | abnormal | stays | succeeded | stays | closed |
//! | succeeded | stays | stays | stays | contradiction |
//! | closed | stays | contradiction | stays | stays |
//!
//! Abnormal money waits at the provider until staff have sent it elsewhere, and then has succeeded. A
//! closed refund has moved nothing: what it reserved is given back ([`crate::ledger`]) and staff ask
//! again, with a new number.

use serde::{Deserialize, Serialize};

use crate::order;

/// How far a payment has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Asked for.
    Pending,
    /// The provider has the money.
    Paid,
    /// The provider takes no more money for it.
    Closed,
}

/// What the provider says of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentEvent {
    /// It is paid.
    Paid,
    /// It is closed. That the provider does not know it says so only once nobody can make it known any
    /// more: after the deadline that it was asked with.
    Closed,
}

/// How far a refund has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// Decided, its money reserved.
    Requested,
    /// The provider is at it.
    Processing,
    /// The customer has the money.
    Succeeded,
    /// The provider could not deliver it; staff must act there.
    Abnormal,
    /// The provider has given it up.
    Closed,
}

/// What the provider says of a refund.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefundEvent {
    /// It is at it.
    Processing,
    /// The money is out.
    Succeeded,
    /// The money could not be delivered.
    Abnormal,
    /// It has given it up.
    Closed,
}

/// The provider says the opposite of what it has said for good. Nothing changes, and somebody must look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contradiction;

impl PaymentStatus {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Paid, Self::Closed];

    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Closed => "closed",
        }
    }

    /// The one place where a payment's state changes.
    ///
    /// # Errors
    /// [`Contradiction`], and the state stays.
    pub const fn apply(self, event: PaymentEvent) -> Result<Self, Contradiction> {
        match (self, event) {
            (_, PaymentEvent::Paid) => Ok(Self::Paid),
            (Self::Pending | Self::Closed, PaymentEvent::Closed) => Ok(Self::Closed),
            (Self::Paid, PaymentEvent::Closed) => Err(Contradiction),
        }
    }
}

impl RefundStatus {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Requested, Self::Processing, Self::Succeeded, Self::Abnormal, Self::Closed];

    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Processing => "processing",
            Self::Succeeded => "succeeded",
            Self::Abnormal => "abnormal",
            Self::Closed => "closed",
        }
    }

    /// Whether the provider has nothing more to say.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Closed)
    }

    /// The one place where a refund's state changes.
    ///
    /// # Errors
    /// [`Contradiction`], and the state stays.
    pub const fn apply(self, event: RefundEvent) -> Result<Self, Contradiction> {
        match (self, event) {
            (Self::Succeeded, RefundEvent::Closed) | (Self::Closed, RefundEvent::Succeeded) => {
                Err(Contradiction)
            }
            (Self::Succeeded | Self::Closed, _) | (Self::Abnormal, RefundEvent::Processing) => {
                Ok(self)
            }
            (_, RefundEvent::Processing) => Ok(Self::Processing),
            (_, RefundEvent::Succeeded) => Ok(Self::Succeeded),
            (_, RefundEvent::Abnormal) => Ok(Self::Abnormal),
            (_, RefundEvent::Closed) => Ok(Self::Closed),
        }
    }
}

/// What is known of an order and one of its payments when evidence of the payment comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The order's state.
    pub order: order::Status,
    /// The payment's state.
    pub payment: PaymentStatus,
    /// Whether another payment of the order has paid it.
    pub paid_by_another: bool,
    /// What the payment was asked for, in fen.
    pub asked_fen: i64,
    /// When the order's hold ends, UTC milliseconds.
    pub hold_expires_at: i64,
    /// Start of the appointment, UTC milliseconds.
    pub start_at: i64,
}

/// What evidence of a payment does. Whatever it is, it is written in one batch that stands only if the
/// order's and the payment's states are still the ones decided on; otherwise it is decided again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paid {
    /// The payment is recorded and pays the order; the outbox confirms the claim. Its other payments that are pending are to be closed at
    /// their provider: nobody else asks for them any more.
    Record {
        /// The order's next state.
        next: order::Status,
        /// Whether to confirm a claim with a new id, because the old one was given back: the line gets
        /// the new id and is live again.
        new_claim: bool,
    },
    /// The payment is recorded, and refunded in full by itself in the same batch. The order stays.
    RefundInFull {
        /// Why.
        why: Surplus,
    },
    /// It was recorded before; nothing is done.
    AlreadyRecorded,
    /// It speaks of another amount than the one asked for, so it is no evidence of this payment: nothing
    /// is recorded, and staff are told.
    Mismatch,
}

/// Why a payment is not wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surplus {
    /// The order was paid by another payment.
    PaidByAnother,
    /// The order was cancelled.
    OrderOver,
    /// It came after the hold's end, and the appointment has begun: nobody could come to it any more.
    AppointmentBegun,
}

/// What evidence of a payment does, from wherever it comes: a notice, a query, a bill.
///
/// `said_fen` is the whole amount that the provider speaks of, in fen (before its own coupons), and
/// `now` is UTC milliseconds.
///
/// | order | hold's end | payment pending or closed |
/// |---|---|---|
/// | pending payment | whenever | record: paid, confirm the claim |
/// | closed | past | record: paid, confirm a new claim |
/// | either | past, and the appointment has begun | refund in full |
/// | cancelled | | refund in full |
/// | any other, or paid by another | | refund in full |
#[must_use]
pub const fn on_paid(known: &Known, said_fen: i64, now: i64) -> Paid {
    use order::Status;
    if said_fen != known.asked_fen {
        return Paid::Mismatch;
    }
    if matches!(known.payment, PaymentStatus::Paid) {
        return Paid::AlreadyRecorded;
    }
    if known.paid_by_another {
        return Paid::RefundInFull { why: Surplus::PaidByAnother };
    }
    match known.order {
        Status::PendingPayment | Status::Closed
            if now >= known.hold_expires_at && now >= known.start_at =>
        {
            Paid::RefundInFull { why: Surplus::AppointmentBegun }
        }
        Status::PendingPayment => Paid::Record { next: Status::Paid, new_claim: false },
        Status::Closed => Paid::Record { next: Status::Paid, new_claim: true },
        Status::Created | Status::Cancelled => Paid::RefundInFull { why: Surplus::OrderOver },
        Status::Paid
        | Status::Confirmed
        | Status::InService
        | Status::Completed
        | Status::NoShow => Paid::RefundInFull { why: Surplus::PaidByAnother },
    }
}

/// What of one payment can still be refunded. A payment that was refunded in full by itself is none,
/// also after that refund was closed: it is asked for again by itself, and a cancellation is about the
/// rest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refundable {
    /// The payment's id.
    pub payment_id: String,
    /// What it paid, less its refunds that are not closed; in fen.
    pub left_fen: i64,
}

/// Spreads a refund over an order's payments, in the order given: one refund for each payment named in
/// the answer, with its fen. What the payments cannot cover is left out, so that the sum is at most
/// `fen` and no refund is above its payment.
#[must_use]
pub fn spread(fen: i64, payments: &[Refundable]) -> Vec<(&str, i64)> {
    let mut rest = fen.max(0);
    let mut refunds = Vec::new();
    for payment in payments {
        let part = rest.min(payment.left_fen);
        if part > 0 {
            rest -= part;
            refunds.push((payment.payment_id.as_str(), part));
        }
    }
    refunds
}
