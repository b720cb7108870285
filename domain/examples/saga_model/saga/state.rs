//! What there is: D1, the calendar, the provider, and what is under way between them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use zhundian_domain::calendar::{
    Calendar, Change, Claim, ClaimKind, ClaimSpec, ClaimState, Confirmation,
};
use zhundian_domain::ledger::{self, Ledger, Refusal};
use zhundian_domain::order::Status;
use zhundian_domain::payment::{Paid, PaymentStatus, RefundStatus};
use zhundian_domain::time::{Interval, UtcDay};
use zhundian_domain::working::{MinuteRange, Week, WeeklyPattern, WorkingRules};
use zhundian_domain::zone::Zone;

/// The clock's last step. Every hold has ended by then.
pub const LAST: u8 = 4;
/// Minutes in a step of the clock.
pub const STEP_MINUTES: i64 = 10;
/// Steps that a booking's hold lasts. The provider's deadline is one step earlier.
pub const HOLD_STEPS: u8 = 2;
/// The last step at which somebody begins to book.
pub const LAST_BOOKING: u8 = LAST - HOLD_STEPS;
/// The step at which slot 0 starts; slot 1 starts a step later.
pub const FIRST_START: u8 = LAST;
/// What a paying customer pays before the visit. Half of it is no whole fen.
pub const DUE_FEN: i64 = 3;

/// The first operation of a late payment; bookings and moves have lower ones.
pub const LATE_OP: u8 = 4;

const DAY: UtcDay = UtcDay(20_780);
const STORE: &str = "s";
const STEP_TICKS: i64 = STEP_MINUTES / 5;

/// A step of the clock in UTC milliseconds.
pub fn ms(step: u8) -> i64 {
    DAY.start().plus(i64::from(step) * STEP_TICKS).ms()
}

fn step_at(ms: i64) -> u8 {
    u8::try_from((ms - DAY.start().ms()) / (STEP_MINUTES * 60_000)).unwrap()
}

/// The step at which a slot starts.
pub const fn start_of(slot: u8) -> u8 {
    FIRST_START + slot
}

/// What a claim is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spec {
    pub id: u8,
    pub slot: u8,
    pub op: u8,
    pub replaces: Option<u8>,
}

impl Spec {
    pub fn in_full(self) -> ClaimSpec {
        let start = DAY.start().plus(i64::from(start_of(self.slot)) * STEP_TICKS);
        let interval = Interval::new(start, start.plus(STEP_TICKS)).unwrap();
        ClaimSpec {
            id: self.id.to_string(),
            op: self.op.to_string(),
            store_id: STORE.into(),
            kind: ClaimKind::Appointment,
            service: interval,
            block: interval,
            quantity: 1,
            replaces: self.replaces.map(|id| id.to_string()).into_iter().collect(),
            home: None,
        }
    }

    fn of(spec: &ClaimSpec) -> Self {
        let slot = step_at(spec.service.start.ms()) - FIRST_START;
        Self {
            id: spec.id.parse().unwrap(),
            slot,
            op: spec.op.parse().unwrap(),
            replaces: spec.replaces.first().map(|id| id.parse().unwrap()),
        }
    }
}

/// How far a claim has come; a held one with the step at which it ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Taken {
    Held(u8),
    Confirmed,
    Released,
}

/// A payment, as the provider has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AtProvider {
    Unknown,
    Open,
    Paid,
    Closed,
}

/// A payment, as D1 has it, and as the provider has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Payment {
    pub status: PaymentStatus,
    /// Whether it pays for nothing: the order was paid by another, or is over.
    pub surplus: bool,
    /// Batches that recorded it.
    pub recorded: u8,
    pub theirs: AtProvider,
    /// Whether the request that makes it known to the provider may still arrive.
    pub underway: bool,
    /// Whether the money came after the provider had said that it was closed.
    pub late: bool,
}

/// A refund, as the provider has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refunding {
    Processing,
    Succeeded,
    Abnormal,
    Closed,
}

/// A refund, as D1 has it, and as the provider has it under each number it was asked for with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Refund {
    pub payment: u8,
    pub fen: i64,
    pub status: RefundStatus,
    pub theirs: Vec<Refunding>,
    /// Whether staff asked again after it was closed.
    pub asked_again: bool,
}

/// An order, as D1 has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Order {
    pub status: Status,
    /// The claim on which its line stands.
    pub spec: Spec,
    pub live: bool,
    pub due_fen: i64,
    pub hold_end: u8,
    pub payments: Vec<Payment>,
    pub refunds: Vec<Refund>,
    /// What the store keeps of a cancelled order.
    pub kept_fen: i64,
    /// Messages that its time was lost.
    pub told: u8,
    pub moved: bool,
    /// Whether it was paid after its hold had ended and its appointment had begun.
    pub begun: bool,
}

/// How far a customer's booking request has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    None,
    /// The calendar holds the time until this step; nothing is committed.
    Held(Spec, u8),
    Committed,
}

/// An outbox row of D1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Row {
    Confirm(u8, Spec),
    Release(u8),
    ClosePayment(u8, u8),
    Refund(u8, u8),
}

/// An answer that has been given and not been acted upon. It may come late, or never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reply {
    NotPaid(u8, u8),
    Closed(u8, u8),
    Confirm(u8, Spec, Answer),
    Refund(u8, u8, Refunding),
    /// Evidence decided upon and not written; only without conditional writes.
    Decided(u8, u8, Decision),
}

/// The calendar's answer to a confirm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    Confirmed,
    Lost,
    Released,
}

impl From<Confirmation> for Answer {
    fn from(outcome: Confirmation) -> Self {
        match outcome {
            Confirmation::Confirmed => Self::Confirmed,
            Confirmation::Lost => Self::Lost,
            Confirmation::Released => Self::Released,
        }
    }
}

/// As [`Paid`], in a form that has an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Decision {
    Record { new_claim: bool },
    RefundSecond,
    RefundOver,
    RefundBegun,
    Nothing,
}

impl From<Paid> for Decision {
    fn from(paid: Paid) -> Self {
        use zhundian_domain::payment::Surplus;
        match paid {
            Paid::Record { new_claim, .. } => Self::Record { new_claim },
            Paid::RefundInFull { why: Surplus::PaidByAnother } => Self::RefundSecond,
            Paid::RefundInFull { why: Surplus::OrderOver } => Self::RefundOver,
            Paid::RefundInFull { why: Surplus::AppointmentBegun } => Self::RefundBegun,
            Paid::AlreadyRecorded | Paid::Mismatch => Self::Nothing,
        }
    }
}

/// What was posted to the ledger, by order and payment or refund.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Posting {
    Paid(u8, u8),
    /// A refund's reservation (0), its return (1), its success (2); and its fen.
    Refund(u8, u8, u8, i64),
}

impl Posting {
    fn post(self, ledger: &mut Ledger) -> Result<(), Refusal> {
        let id = |order: u8, of: u8| format!("{order}-{of}");
        match self {
            Self::Paid(order, payment) => {
                let payment = id(order, payment);
                ledger.post(&ledger::paid(&payment, &order.to_string(), "p", DUE_FEN))
            }
            Self::Refund(order, refund, step, fen) => {
                let (refund, order) = (id(order, refund), order.to_string());
                ledger.post(&[match step {
                    0 => ledger::refund_requested(&refund, &order, fen),
                    1 => ledger::refund_closed(&refund, &order, fen),
                    _ => ledger::refund_paid(&refund, "p", fen),
                }])
            }
        }
    }
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub now: u8,
    pub claims: Vec<(Spec, Taken)>,
    pub requests: [Request; 2],
    pub orders: [Option<Order>; 2],
    /// A move whose new time is held, and not committed.
    pub moving: [Option<Spec>; 2],
    /// Claim ids given out, by order.
    pub next_claim: [u8; 2],
    pub outbox: BTreeSet<Row>,
    pub wire: BTreeSet<Reply>,
    pub postings: Vec<Posting>,
    /// Payments that may still be paid after the provider has closed them.
    pub late_money: u8,
    /// Refunds that the provider may still fail at.
    pub failing_refunds: u8,
    /// Confirms that may still arrive after their row is done, and those that were sent.
    pub stray_calls: u8,
    pub sent: BTreeSet<(u8, Spec)>,
    /// Whether the ledger refused a batch that nothing will ever make stand.
    pub stuck: bool,
}

static RULES: LazyLock<WorkingRules> = LazyLock::new(|| {
    let week = Week(std::array::from_fn(|_| vec![MinuteRange::new(0, 24 * 60).unwrap()]));
    let valid_from = chrono::NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
    WorkingRules {
        stores: [(STORE.to_owned(), Zone::UTC)].into(),
        weekly: vec![WeeklyPattern { store_id: STORE.into(), valid_from, week }],
        ..WorkingRules::default()
    }
});

impl State {
    pub fn new(late_money: u8, failing_refunds: u8, stray_calls: u8) -> Self {
        Self {
            now: 0,
            claims: Vec::new(),
            requests: [Request::None; 2],
            orders: [None, None],
            moving: [None; 2],
            next_claim: [0; 2],
            outbox: BTreeSet::new(),
            wire: BTreeSet::new(),
            postings: Vec::new(),
            late_money,
            failing_refunds,
            stray_calls,
            sent: BTreeSet::new(),
            stuck: false,
        }
    }

    pub fn order(&self, c: u8) -> Option<&Order> {
        self.orders[usize::from(c)].as_ref()
    }

    pub fn order_mut(&mut self, c: u8) -> &mut Order {
        self.orders[usize::from(c)].as_mut().unwrap()
    }

    pub fn payment(&self, c: u8, p: u8) -> &Payment {
        &self.order(c).unwrap().payments[usize::from(p)]
    }

    pub fn payment_mut(&mut self, c: u8, p: u8) -> &mut Payment {
        &mut self.order_mut(c).payments[usize::from(p)]
    }

    pub fn refund(&self, c: u8, r: u8) -> &Refund {
        &self.order(c).unwrap().refunds[usize::from(r)]
    }

    pub fn refund_mut(&mut self, c: u8, r: u8) -> &mut Refund {
        &mut self.order_mut(c).refunds[usize::from(r)]
    }

    /// A claim id that nobody has had.
    pub fn fresh_claim(&mut self, c: u8) -> u8 {
        let next = &mut self.next_claim[usize::from(c)];
        *next += 1;
        c * 16 + *next
    }

    pub fn taken(&self, id: u8) -> Option<Taken> {
        self.claims.iter().find(|(spec, _)| spec.id == id).map(|(_, taken)| *taken)
    }

    /// The calendar, as its object holds it. Only a hold asks for working time.
    pub fn calendar(&self, with_rules: bool) -> Calendar {
        let claims = self
            .claims
            .iter()
            .map(|(spec, taken)| Claim {
                spec: spec.in_full(),
                state: match taken {
                    Taken::Held(until) => ClaimState::Held { expires_at: ms(*until) },
                    Taken::Confirmed => ClaimState::Confirmed,
                    Taken::Released => ClaimState::Released,
                },
            })
            .collect();
        let rules = if with_rules { RULES.clone() } else { WorkingRules::default() };
        Calendar { capacity: 1, rules, claims }
    }

    /// Writes the calendar's changes down.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(claim) => {
                    let taken = match claim.state {
                        ClaimState::Held { expires_at } => Taken::Held(step_at(expires_at)),
                        ClaimState::Confirmed => Taken::Confirmed,
                        ClaimState::Released => Taken::Released,
                    };
                    self.put(Spec::of(&claim.spec), taken);
                }
                Change::Release(id, _) => {
                    let id: u8 = id.parse().unwrap();
                    for (spec, taken) in &mut self.claims {
                        if spec.id == id {
                            *taken = Taken::Released;
                        }
                    }
                }
            }
        }
    }

    pub fn put(&mut self, spec: Spec, taken: Taken) {
        self.claims.retain(|(known, _)| known.id != spec.id);
        self.claims.push((spec, taken));
        self.claims.sort_unstable();
    }

    /// The ledger, as the postings make it. `None` when they break its rules.
    pub fn ledger(&self) -> Option<Ledger> {
        let mut ledger = Ledger::default();
        self.postings.iter().try_for_each(|posting| posting.post(&mut ledger)).ok()?;
        Some(ledger)
    }

    /// Posts all or none; whether they stand.
    pub fn post(&mut self, postings: &[Posting]) -> bool {
        let Some(mut ledger) = self.ledger() else { return false };
        for posting in postings {
            match posting.post(&mut ledger) {
                Ok(()) => {}
                Err(Refusal::Repeated(_)) => return false,
                Err(_) => {
                    self.stuck = true;
                    return false;
                }
            }
        }
        self.postings.extend_from_slice(postings);
        // One order of the many that lead to the same balances, so that they are one state.
        self.postings.sort_unstable();
        true
    }

    /// What an order was paid and not promised back.
    pub fn balance_fen(&self, c: u8) -> i64 {
        self.ledger().map_or(0, |ledger| ledger.balance_fen(&ledger::order_account(&c.to_string())))
    }

    /// What the provider holds for us, by its own account.
    pub fn money_at_provider(&self) -> i64 {
        self.orders
            .iter()
            .flatten()
            .map(|order| {
                let paid = order.payments.iter().filter(|one| one.theirs == AtProvider::Paid);
                let refunded = order.refunds.iter().flat_map(|refund| {
                    refund
                        .theirs
                        .iter()
                        .filter(|one| **one == Refunding::Succeeded)
                        .map(|_| refund.fen)
                });
                paid.count() as i64 * DUE_FEN - refunded.sum::<i64>()
            })
            .sum()
    }
}
