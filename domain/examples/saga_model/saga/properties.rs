//! What must hold, always or at rest; and what must be able to happen, so that the model is not empty.

use stateright::Property;
use zhundian_domain::ledger::provider_account;
use zhundian_domain::order::Status;
use zhundian_domain::payment::{PaymentStatus, RefundStatus};

use super::Saga;
use super::state::{
    AtProvider, DUE_FEN, LAST, LATE_OP, Order, Payment, Posting, Refunding, State, Taken, ms,
};
use super::steps::{Action, refunded_fen};

/// The properties, the violations of which are counted, and the reachable ends.
pub fn all() -> Vec<Property<Saga>> {
    vec![
        Property::always("I1: no two live claims overlap", |_, s| no_overlap(s)),
        Property::always("I2: a claim takes the time that its order names", |_, s| same_time(s)),
        Property::always("I3: paid with its time, or refunded, or never paid", |saga, s| {
            !at_rest(saga, s) || s.orders.iter().enumerate().all(|(c, _)| settled(s, c as u8))
        }),
        Property::always("I3: no confirmed claim without its order", |saga, s| {
            !at_rest(saga, s) || no_orphans(s)
        }),
        Property::always("I3: what is owed is done in the end", comes_to_rest),
        Property::always("I4: accounts are the sum of what happened", |_, s| accounts_agree(s)),
        Property::always("I5: refunds never exceed what was paid", |_, s| refunds_within(s)),
        Property::always("I5: the provider holds what the ledger says", |saga, s| {
            !at_rest(saga, s)
                || s.ledger().is_some_and(|ledger| {
                    ledger.balance_fen(&provider_account("p")) == s.money_at_provider()
                })
        }),
        Property::always("I6: everything has its effect once", |_, s| effects_once(s)),
        Property::always("I6: nobody can pay an order twice", |_, s| one_open_payment(s)),
        Property::always("nobody pays for an appointment that has begun", |_, s| in_time(s)),
        Property::sometimes("a paid order keeps its time", |saga, s| {
            ends(saga, s, |order| order.due_fen > 0 && order.status == Status::Confirmed)
        }),
        Property::sometimes("an order is closed unpaid", |saga, s| {
            ends(saga, s, |order| order.status == Status::Closed)
        }),
        Property::sometimes("a late payment gets its time", |saga, s| {
            ends(saga, s, |order| paid_late(order) && order.status == Status::Confirmed)
        }),
        Property::sometimes("a late payment finds its time gone", |saga, s| {
            ends(saga, s, |order| paid_late(order) && order.told == 1 && order.kept_fen == 0)
        }),
        Property::sometimes("a share comes back", |saga, s| {
            ends(saga, s, |order| 0 < order.kept_fen && order.kept_fen < DUE_FEN)
        }),
        Property::sometimes("what was paid twice comes back once", |saga, s| {
            ends(saga, s, |order| {
                order.status == Status::Confirmed && order.payments.iter().any(|one| one.surplus)
            })
        }),
        Property::sometimes("a refund is asked for again", |saga, s| {
            ends(saga, s, |order| order.refunds.iter().any(|one| one.asked_again))
        }),
        Property::sometimes("an order moves", |saga, s| {
            ends(saga, s, |order| order.moved && order.status == Status::Confirmed)
        }),
    ]
}

/// Whether the model is at rest with an order like this.
fn ends(saga: &Saga, s: &State, like: impl Fn(&Order) -> bool) -> bool {
    s.orders.iter().flatten().any(like) && at_rest(saga, s)
}

/// Whether its payment took its time under a new claim.
fn paid_late(order: &Order) -> bool {
    order.spec.op >= LATE_OP
}

fn orders(s: &State) -> impl Iterator<Item = (u8, &Order)> {
    (0..2_u8).filter_map(|c| s.order(c).map(|order| (c, order)))
}

fn live(taken: Taken, now: u8) -> bool {
    match taken {
        Taken::Held(until) => now < until,
        Taken::Confirmed => true,
        Taken::Released => false,
    }
}

fn no_overlap(s: &State) -> bool {
    // By the calendar's own audit, and by counting: a move and what it replaces are one appointment.
    let pairs = s.claims.iter().enumerate().all(|(index, (one, taken))| {
        s.claims[..index].iter().all(|(other, also)| {
            one.slot != other.slot
                || !live(*taken, s.now)
                || !live(*also, s.now)
                || one.replaces == Some(other.id)
                || other.replaces == Some(one.id)
        })
    });
    pairs && s.calendar(false).overfull(ms(s.now)).is_empty()
}

fn same_time(s: &State) -> bool {
    orders(s).all(|(_, order)| {
        s.claims.iter().all(|(spec, _)| spec.id != order.spec.id || spec.slot == order.spec.slot)
    })
}

/// Whether nothing is owed any more. A pending payment, a refund under way, a row or an answer is owed
/// something, so only a state without them can be.
fn at_rest(saga: &Saga, s: &State) -> bool {
    s.now == LAST && s.wire.is_empty() && {
        let mut actions = Vec::new();
        saga.enabled(s, &mut actions);
        !actions.into_iter().any(|action| action.is_owed() && saga.after(s, action).is_some())
    }
}

/// Whether the order with its money and its time is in a state that it may stay in.
fn settled(s: &State, c: u8) -> bool {
    let Some(order) = s.order(c) else { return true };
    let balance = s.balance_fen(c);
    let refunded = order.refunds.iter().all(|refund| match refund.status {
        RefundStatus::Succeeded => true,
        RefundStatus::Closed => refund.asked_again,
        _ => false,
    });
    let no_payment_open = order.payments.iter().all(|one| one.status != PaymentStatus::Pending);
    let stands = match order.status {
        Status::Confirmed => {
            order.live
                && balance == order.due_fen
                && s.taken(order.spec.id) == Some(Taken::Confirmed)
        }
        Status::Cancelled => !order.live && balance == order.kept_fen,
        Status::Closed => !order.live && balance == 0,
        _ => false,
    };
    stands && refunded && no_payment_open
}

fn no_orphans(s: &State) -> bool {
    s.claims.iter().filter(|(_, taken)| *taken == Taken::Confirmed).all(|(spec, _)| {
        orders(s).any(|(_, order)| {
            order.live && order.status == Status::Confirmed && order.spec.id == spec.id
        })
    })
}

/// Steps within which everything owed is done, if nothing else happens meanwhile.
const MAX_STEPS_TO_REST: usize = 40;

/// Jobs, answers and the provider come to an end when nobody disturbs them, and leave no row behind; and
/// no batch was ever refused for good.
fn comes_to_rest(saga: &Saga, s: &State) -> bool {
    if s.stuck {
        return false;
    }
    if s.now < LAST || !s.wire.is_empty() {
        return true;
    }
    let mut s = s.clone();
    for _ in 0..MAX_STEPS_TO_REST {
        let mut owed = Vec::new();
        saga.enabled(&s, &mut owed);
        owed.retain(|action| action.is_owed());
        // Who asks how things are gets a new answer only after something has been done.
        owed.sort_by_key(|action| matches!(action, Action::Query(..) | Action::RefundQuery(..)));
        match owed.into_iter().find_map(|action| saga.after(&s, action)) {
            Some(next) => s = next,
            None => return s.outbox.is_empty() && !s.stuck,
        }
    }
    false
}

fn accounts_agree(s: &State) -> bool {
    let Some(ledger) = s.ledger() else { return false };
    let posted_once = s.postings.windows(2).all(|pair| pair[0] != pair[1]);
    let provider: i64 = s
        .postings
        .iter()
        .map(|posting| match posting {
            Posting::Paid(..) => DUE_FEN,
            Posting::Refund(_, _, 2, fen) => -fen,
            Posting::Refund(..) => 0,
        })
        .sum();
    posted_once
        && ledger.balance_fen(&provider_account("p")) == provider
        && orders(s).all(|(c, order)| {
            let paid = order.payments.iter().filter(|one| one.status == PaymentStatus::Paid);
            let refunded: i64 =
                (0..order.payments.len() as u8).map(|p| refunded_fen(order, p)).sum();
            s.balance_fen(c) == paid.count() as i64 * DUE_FEN - refunded
        })
}

fn refunds_within(s: &State) -> bool {
    orders(s).all(|(_, order)| {
        (0..).zip(&order.payments).all(|(p, payment)| {
            let of = order.refunds.iter().filter(|refund| refund.payment == p);
            let out: i64 = of
                .map(|refund| {
                    let out = refund.theirs.iter().filter(|one| **one == Refunding::Succeeded);
                    out.count() as i64 * refund.fen
                })
                .sum();
            let paid = if payment.theirs == AtProvider::Paid { DUE_FEN } else { 0 };
            out <= paid && refunded_fen(order, p) <= DUE_FEN
        })
    })
}

fn effects_once(s: &State) -> bool {
    orders(s).all(|(_, order)| {
        order.told <= 1
            && order.payments.iter().all(|one| one.recorded <= 1)
            && order.refunds.iter().all(|one| one.theirs.len() <= 1)
    })
}

/// At most one payment of an order can be paid or is, as long as the provider keeps its word.
fn one_open_payment(s: &State) -> bool {
    orders(s).all(|(_, order)| {
        let open = |one: &&Payment| match one.theirs {
            AtProvider::Open => true,
            AtProvider::Paid => !one.late,
            AtProvider::Unknown | AtProvider::Closed => false,
        };
        order.payments.iter().filter(open).count() <= 1
    })
}

/// No order was paid for when its hold was over and its appointment had begun.
fn in_time(s: &State) -> bool {
    orders(s).all(|(_, order)| !order.begun)
}
