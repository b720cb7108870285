//! What may happen next, and what then is. Every rule is the real one of `zhundian_domain`; a guard that
//! is taken away is a rule gone around.

use zhundian_domain::calendar::Refusal;
use zhundian_domain::cancellation::{Side, Tier, Tiers, refund_fen};
use zhundian_domain::order::{self, Event, Status};
use zhundian_domain::payment::{
    Known, PaymentEvent, PaymentStatus, RefundEvent, RefundStatus, Refundable, on_paid, spread,
};

use super::Saga;
use super::guards::Guards;
use super::state::{
    Answer, AtProvider, DUE_FEN, Decision, HOLD_STEPS, LAST, LAST_BOOKING, LATE_OP, Order, Payment,
    Posting, Refund, Refunding, Reply, Request, Row, STEP_MINUTES, Spec, State, Taken, ms,
    start_of,
};

/// One step of somebody: a customer, staff, a job, the provider, the network, the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A customer's request reaches the calendar with a slot; also a second time, after a crash.
    Hold(u8, u8),
    /// The request commits its order to D1. If it never does, it crashed.
    Commit(u8),
    /// A move holds its new time.
    HoldMove(u8),
    /// The move commits.
    CommitMove(u8),
    /// The customer gives the order up.
    MemberCancels(u8),
    /// Staff give it up.
    StaffCancel(u8),
    /// A cancellation that tells the calendar first crashes before D1 knows.
    ReleaseFirst(u8),
    /// The customer begins to pay: D1 has the payment.
    Pay(u8),
    /// The request that makes a payment known arrives at the provider, soon or late.
    Prepay(u8, u8),
    /// The customer pays at the provider.
    Money(u8, u8),
    /// Money arrives for a payment that the provider had closed.
    LateMoney(u8, u8),
    /// A notice of payment arrives. It may come at any time, any number of times, or never.
    Notice(u8, u8),
    /// The bill names a payment that came late.
    Bill(u8, u8),
    /// A job, or a request for another channel, asks the provider whether a payment is paid.
    Query(u8, u8),
    /// And closes it there, when it was not.
    Close(u8, u8),
    /// The job closes an order whose payments are all closed.
    Expire(u8),
    /// An outbox row is delivered, and the answer is on its way.
    Deliver(Row),
    /// An outbox row is delivered, and the crash comes before anything is written.
    Cut(Row),
    /// A confirm that was sent before its row was done arrives only now.
    Stray(u8, Spec),
    /// An answer is acted upon, in one batch of D1.
    Take(Reply),
    /// It is lost, or who waited for it is.
    Lose(Reply),
    /// The provider gets on with a refund.
    Refunding(u8, u8, Refunding),
    /// A notice of refund arrives; as [`Action::Notice`].
    RefundNotice(u8, u8),
    /// The job asks how far a refund has come.
    RefundQuery(u8, u8),
    /// Staff ask again for a refund that the provider has given up.
    RefundAgain(u8, u8),
}

impl Action {
    /// Whether it comes by itself if only one waits: what jobs, answers and the provider owe. What is
    /// not owed (a customer, a notice, a crash) may stay away for good.
    pub const fn is_owed(self) -> bool {
        matches!(
            self,
            Self::Bill(..)
                | Self::Query(..)
                | Self::Close(..)
                | Self::Expire(_)
                | Self::Deliver(_)
                | Self::Take(_)
                | Self::Refunding(..)
                | Self::RefundQuery(..)
                | Self::RefundAgain(..)
        )
    }
}

fn tiers() -> Tiers {
    Tiers::new(vec![
        Tier { until_minutes_before: 3 * STEP_MINUTES, refund_percent: 100 },
        Tier { until_minutes_before: STEP_MINUTES, refund_percent: 50 },
    ])
    .unwrap()
}

fn indices<T>(of: &[T]) -> impl Iterator<Item = u8> + use<T> {
    0..of.len() as u8
}

impl Saga {
    /// Everything that may happen next.
    pub fn enabled(&self, s: &State, out: &mut Vec<Action>) {
        if s.now < LAST {
            out.push(Action::Tick);
        }
        for c in 0..2_u8 {
            self.enabled_for(s, c, out);
        }
        let room = s.wire.len() < self.replies;
        for row in &s.outbox {
            match row {
                Row::Release(_) => out.extend([Action::Deliver(*row), Action::Cut(*row)]),
                Row::Confirm(..) | Row::Refund(..) if room => out.push(Action::Deliver(*row)),
                _ => {}
            }
        }
        if room && s.stray_calls > 0 {
            let stray =
                s.sent.iter().filter(|(c, spec)| !s.outbox.contains(&Row::Confirm(*c, *spec)));
            out.extend(stray.map(|(c, spec)| Action::Stray(*c, *spec)));
        }
        for reply in &s.wire {
            out.push(match reply {
                // What follows a "not paid" is the closing.
                Reply::NotPaid(c, p) => Action::Close(*c, *p),
                _ => Action::Take(*reply),
            });
            out.push(Action::Lose(*reply));
        }
    }

    fn enabled_for(&self, s: &State, c: u8, out: &mut Vec<Action>) {
        let customer = self.customers[usize::from(c)];
        match s.requests[usize::from(c)] {
            Request::None if s.now <= customer.until => {
                out.extend(customer.slots.iter().map(|slot| Action::Hold(c, *slot)));
            }
            Request::Held(spec, until) => {
                if s.now >= until && s.now <= LAST_BOOKING {
                    out.push(Action::Hold(c, spec.slot));
                }
                out.push(Action::Commit(c));
            }
            _ => {}
        }
        let Some(order) = s.order(c) else { return };
        if customer.moves && order.status == Status::Confirmed && !order.moved {
            match s.moving[usize::from(c)] {
                None => out.push(Action::HoldMove(c)),
                Some(_) => out.push(Action::CommitMove(c)),
            }
        }
        if matches!(order.status, Status::PendingPayment | Status::Paid | Status::Confirmed) {
            out.push(Action::MemberCancels(c));
            if customer.staff_cancel {
                out.push(Action::StaffCancel(c));
            }
            if !self.guards.release_after_commit {
                out.push(Action::ReleaseFirst(c));
            }
        }
        let pending = order.payments.iter().any(|one| one.status == PaymentStatus::Pending);
        if order.status == Status::PendingPayment
            && order.payments.len() < self.channels
            && (!pending || !self.guards.one_pending_payment)
            && s.now + 1 < order.hold_end
        {
            out.push(Action::Pay(c));
        }
        let room = s.wire.len() < self.replies;
        for p in indices(&order.payments) {
            self.enabled_for_payment(s, c, p, order, room, out);
        }
        if order.status == Status::PendingPayment
            && s.now >= order.hold_end
            && (!pending || !self.guards.expiry_asks_the_provider)
        {
            out.push(Action::Expire(c));
        }
        for r in indices(&order.refunds) {
            let refund = &order.refunds[usize::from(r)];
            match refund.theirs.last() {
                Some(Refunding::Processing) => {
                    out.push(Action::Refunding(c, r, Refunding::Succeeded));
                    if s.failing_refunds > 0 {
                        out.push(Action::Refunding(c, r, Refunding::Closed));
                        out.push(Action::Refunding(c, r, Refunding::Abnormal));
                    }
                }
                Some(Refunding::Abnormal) => {
                    out.push(Action::Refunding(c, r, Refunding::Succeeded));
                }
                Some(Refunding::Succeeded | Refunding::Closed) => {
                    out.push(Action::RefundNotice(c, r));
                }
                None => {}
            }
            // A number that was asked for and left behind goes its way too.
            if refund.theirs.len() > 1 && refund.theirs[0] == Refunding::Processing {
                out.push(Action::Refunding(c, r, Refunding::Succeeded));
            }
            if matches!(refund.status, RefundStatus::Processing | RefundStatus::Abnormal) && room {
                out.push(Action::RefundQuery(c, r));
            }
            if refund.status == RefundStatus::Closed && !refund.asked_again {
                out.push(Action::RefundAgain(c, r));
            }
        }
    }

    fn enabled_for_payment(
        &self,
        s: &State,
        c: u8,
        p: u8,
        order: &Order,
        room: bool,
        out: &mut Vec<Action>,
    ) {
        let payment = &order.payments[usize::from(p)];
        if payment.underway {
            out.push(Action::Prepay(c, p));
        }
        match payment.theirs {
            AtProvider::Open if self.provider_takes_money(s, order) => {
                out.push(Action::Money(c, p));
            }
            AtProvider::Closed if s.late_money > 0 => out.push(Action::LateMoney(c, p)),
            AtProvider::Paid => {
                out.push(Action::Notice(c, p));
                if payment.late && payment.recorded == 0 {
                    out.push(Action::Bill(c, p));
                }
            }
            _ => {}
        }
        // Who asks: the expiry of the order, a cancelled order's row, a wish for another channel.
        let expiry = order.status == Status::PendingPayment && s.now >= order.hold_end;
        let row = s.outbox.contains(&Row::ClosePayment(c, p));
        let switch = order.status == Status::PendingPayment && order.payments.len() < self.channels;
        if payment.status == PaymentStatus::Pending && room && (expiry || row || switch) {
            out.push(Action::Query(c, p));
        }
    }

    fn provider_takes_money(&self, s: &State, order: &Order) -> bool {
        s.now + 1 < order.hold_end || !self.guards.deadline_before_hold_end
    }

    /// What is after an action. `None` when it cannot happen.
    pub fn after(&self, before: &State, action: Action) -> Option<State> {
        let mut s = before.clone();
        match action {
            Action::Tick => s.now += 1,
            Action::Hold(c, slot) => {
                let spec = Spec { id: s.fresh_claim(c), slot, op: c, replaces: None };
                let (spec, until) = self.hold(&mut s, spec)?;
                s.requests[usize::from(c)] = Request::Held(spec, until);
            }
            Action::Commit(c) => self.commit(&mut s, c)?,
            Action::HoldMove(c) => {
                let old = s.order(c)?.spec;
                let id = s.fresh_claim(c);
                let spec = Spec { id, slot: 1 - old.slot, op: 2 + c, replaces: Some(old.id) };
                let (spec, _) = self.hold(&mut s, spec)?;
                s.moving[usize::from(c)] = Some(spec);
            }
            Action::CommitMove(c) => {
                let spec = s.moving[usize::from(c)].take()?;
                let now = ms(s.now);
                let order = s.order_mut(c);
                // The version that the move was made from.
                if spec.replaces != Some(order.spec.id) {
                    return None;
                }
                let start_at = ms(start_of(order.spec.slot));
                let event = Event::MovedByMember {
                    now,
                    start_at,
                    notice_minutes: 0,
                    moves: 0,
                    max_moves: None,
                };
                order.status = order::apply(order.status, event).ok()?;
                (order.spec, order.moved) = (spec, true);
                s.outbox.insert(Row::Confirm(c, spec));
            }
            Action::MemberCancels(c) => {
                let start_at = ms(start_of(s.order(c)?.spec.slot));
                let event =
                    Event::CancelledByMember { now: ms(s.now), start_at, notice_minutes: 0 };
                self.cancel(&mut s, c, event, Side::of_member(s_status(before, c)?))?;
            }
            Action::StaffCancel(c) => {
                self.cancel(&mut s, c, Event::CancelledByStaff, Side::Store)?;
            }
            Action::ReleaseFirst(c) => self.release(&mut s, before.order(c)?.spec.id),
            Action::Pay(c) => s.order_mut(c).payments.push(Payment {
                status: PaymentStatus::Pending,
                surplus: false,
                recorded: 0,
                theirs: if self.slow_prepay { AtProvider::Unknown } else { AtProvider::Open },
                underway: self.slow_prepay,
                late: false,
            }),
            Action::Prepay(c, p) => {
                let open = self.provider_takes_money(&s, before.order(c)?);
                let payment = s.payment_mut(c, p);
                payment.underway = false;
                if open && payment.theirs == AtProvider::Unknown {
                    payment.theirs = AtProvider::Open;
                }
            }
            Action::Money(c, p) => s.payment_mut(c, p).theirs = AtProvider::Paid,
            Action::LateMoney(c, p) => {
                let payment = s.payment_mut(c, p);
                (payment.theirs, payment.late) = (AtProvider::Paid, true);
                s.late_money -= 1;
            }
            Action::Notice(c, p) | Action::Bill(c, p) => self.evidence(&mut s, c, p),
            Action::Query(c, p) => {
                if s.payment(c, p).theirs == AtProvider::Paid {
                    self.evidence(&mut s, c, p);
                } else {
                    s.wire.insert(Reply::NotPaid(c, p));
                }
            }
            Action::Close(c, p) => self.close_at_provider(&mut s, c, p),
            Action::Expire(c) => Self::expire(&mut s, c)?,
            Action::Deliver(row) => self.deliver(&mut s, row),
            Action::Cut(row) => {
                if let Row::Release(id) = row {
                    self.release(&mut s, id);
                }
            }
            Action::Stray(c, spec) => {
                s.stray_calls -= 1;
                let answer = self.confirm(&mut s, spec);
                s.wire.insert(Reply::Confirm(c, spec, answer));
            }
            Action::Take(reply) => {
                s.wire.remove(&reply);
                self.take(&mut s, reply);
            }
            Action::Lose(reply) => {
                s.wire.remove(&reply);
            }
            Action::Refunding(c, r, to) => {
                let refund = s.refund_mut(c, r);
                let open = |one: &&mut Refunding| {
                    matches!(one, Refunding::Processing | Refunding::Abnormal)
                };
                *refund.theirs.iter_mut().find(open)? = to;
                if to != Refunding::Succeeded {
                    s.failing_refunds -= 1;
                }
            }
            Action::RefundNotice(c, r) => {
                let said = *s.refund(c, r).theirs.last()?;
                self.on_refund(&mut s, c, r, said);
            }
            Action::RefundQuery(c, r) => {
                let said = *s.refund(c, r).theirs.last()?;
                s.wire.insert(Reply::Refund(c, r, said));
            }
            Action::RefundAgain(c, r) => {
                let Refund { payment, fen, .. } = *s.refund(c, r);
                if self.request_refunds(&mut s, c, &[(payment, fen)], &[]) {
                    s.refund_mut(c, r).asked_again = true;
                }
            }
        }
        (s != *before).then_some(s)
    }

    // The calendar's side -------------------------------------------------------------------------

    fn hold(&self, s: &mut State, spec: Spec) -> Option<(Spec, u8)> {
        let until = s.now + HOLD_STEPS;
        match s.calendar(true).hold(ms(s.now), &spec.in_full(), ms(until)) {
            Ok((claim, changes)) => {
                s.apply(&changes);
                let id: u8 = claim.spec.id.parse().unwrap();
                s.claims.iter().find_map(|(known, taken)| match taken {
                    Taken::Held(until) if known.id == id => Some((*known, *until)),
                    _ => None,
                })
            }
            Err(Refusal::Taken) if !self.guards.hold_checks_capacity => {
                s.put(spec, Taken::Held(until));
                Some((spec, until))
            }
            Err(_) => None,
        }
    }

    fn confirm(&self, s: &mut State, spec: Spec) -> Answer {
        let (outcome, changes) = s.calendar(false).confirm(ms(s.now), &spec.in_full());
        let mut answer = Answer::from(outcome);
        s.apply(&changes);
        if answer == Answer::Lost {
            if !self.guards.confirm_rechecks_capacity {
                s.put(spec, Taken::Confirmed);
                answer = Answer::Confirmed;
            } else if !self.guards.lost_is_for_good {
                s.claims.retain(|(known, _)| known.id != spec.id);
            }
        }
        answer
    }

    fn release(&self, s: &mut State, id: u8) {
        let changes = s.calendar(false).release(&id.to_string());
        s.apply(&changes);
        if !self.guards.release_leaves_tombstone {
            s.claims.retain(|(known, _)| known.id != id);
        }
    }

    // D1's batches --------------------------------------------------------------------------------

    fn commit(&self, s: &mut State, c: u8) -> Option<()> {
        let Request::Held(spec, until) = s.requests[usize::from(c)] else { return None };
        let due_fen = self.customers[usize::from(c)].due_fen;
        let status = order::apply(Status::Created, Event::Placed { due_fen }).ok()?;
        s.requests[usize::from(c)] = Request::Committed;
        s.orders[usize::from(c)] = Some(Order {
            status,
            spec,
            live: true,
            due_fen,
            hold_end: until,
            payments: Vec::new(),
            refunds: Vec::new(),
            kept_fen: 0,
            told: 0,
            moved: false,
            begun: false,
        });
        if status == Status::Confirmed && self.guards.outbox_in_batch {
            s.outbox.insert(Row::Confirm(c, spec));
        }
        Some(())
    }

    fn cancel(&self, s: &mut State, c: u8, event: Event, side: Side) -> Option<()> {
        let order = s.order(c)?;
        let status = order::apply(order.status, event).ok()?;
        let (paid, start_at) = (paying_fen(&self.guards, order), ms(start_of(order.spec.slot)));
        let back = refund_fen(&tiers(), side, paid, start_at, ms(s.now));
        if !self.refund(s, c, back) {
            return None;
        }
        let order = s.order_mut(c);
        (order.status, order.live, order.kept_fen) = (status, false, paid - back);
        let id = order.spec.id;
        if self.guards.release_after_commit && self.guards.outbox_in_batch {
            s.outbox.insert(Row::Release(id));
        }
        if self.guards.cancel_closes_payments {
            Self::close_pending(s, c);
        }
        Some(())
    }

    fn close_pending(s: &mut State, c: u8) {
        let Some(order) = s.order(c) else { return };
        let pending: Vec<Row> = indices(&order.payments)
            .filter(|p| order.payments[usize::from(*p)].status == PaymentStatus::Pending)
            .map(|p| Row::ClosePayment(c, p))
            .collect();
        s.outbox.extend(pending);
    }

    /// Refunds `fen` of what an order's payments hold.
    fn refund(&self, s: &mut State, c: u8, fen: i64) -> bool {
        let Some(order) = s.order(c) else { return false };
        let payments: Vec<Refundable> = indices(&order.payments)
            .map(|p| Refundable {
                payment_id: p.to_string(),
                left_fen: left_fen(&self.guards, order, p),
            })
            .collect();
        let parts: Vec<(u8, i64)> = spread(fen, &payments)
            .into_iter()
            .map(|(payment, fen)| (payment.parse().unwrap(), fen))
            .collect();
        self.request_refunds(s, c, &parts, &[])
    }

    /// Writes refunds with their reservations and rows, and `first` with them.
    fn request_refunds(
        &self,
        s: &mut State,
        c: u8,
        parts: &[(u8, i64)],
        first: &[Posting],
    ) -> bool {
        let Some(order) = s.order(c) else { return false };
        let mut postings = first.to_vec();
        let from = order.refunds.len() as u8;
        if self.guards.refund_reserves {
            let reserved = (from..).zip(parts);
            postings.extend(reserved.map(|(r, (_, fen))| Posting::Refund(c, r, 0, *fen)));
        }
        if !s.post(&postings) {
            return false;
        }
        for (r, (payment, fen)) in (from..).zip(parts) {
            s.order_mut(c).refunds.push(Refund {
                payment: *payment,
                fen: *fen,
                status: RefundStatus::Requested,
                theirs: Vec::new(),
                asked_again: false,
            });
            s.outbox.insert(Row::Refund(c, r));
        }
        true
    }

    fn expire(s: &mut State, c: u8) -> Option<()> {
        let order = s.order_mut(c);
        order.status = order::apply(order.status, Event::Expired).ok()?;
        order.live = false;
        for payment in &mut order.payments {
            // Only without the guard is there one that is pending.
            if payment.status == PaymentStatus::Pending {
                payment.status = PaymentStatus::Closed;
            }
        }
        let id = order.spec.id;
        s.outbox.insert(Row::Release(id));
        Some(())
    }

    /// A notice, a query or the bill says that a payment is paid.
    fn evidence(&self, s: &mut State, c: u8, p: u8) {
        let Some(order) = s.order(c) else { return };
        let payment = &order.payments[usize::from(p)];
        let another =
            |q: &u8| *q != p && order.payments[usize::from(*q)].status == PaymentStatus::Paid;
        let known = Known {
            order: order.status,
            payment: if self.guards.recorded_once {
                payment.status
            } else {
                PaymentStatus::Pending
            },
            paid_by_another: indices(&order.payments).any(|q| another(&q)),
            asked_fen: DUE_FEN,
            hold_expires_at: ms(order.hold_end),
            start_at: ms(start_of(order.spec.slot)),
        };
        let decision = Decision::from(on_paid(&known, DUE_FEN, ms(s.now)));
        if self.guards.conditional_writes {
            // It stands only if what it was made from still holds: as if both were one step.
            self.record(s, c, p, decision);
        } else if decision != Decision::Nothing && s.wire.len() < self.replies {
            s.wire.insert(Reply::Decided(c, p, decision));
        }
    }

    fn record(&self, s: &mut State, c: u8, p: u8, decision: Decision) {
        let guards = &self.guards;
        let Some(order) = s.order(c) else { return };
        let paid = Posting::Paid(c, p);
        let new_claim = match decision {
            Decision::Nothing => return,
            Decision::Record { new_claim } => new_claim,
            Decision::RefundBegun if !guards.late_payment_is_in_time => {
                order.status == Status::Closed
            }
            Decision::RefundSecond | Decision::RefundOver | Decision::RefundBegun => {
                let kept = (decision == Decision::RefundSecond
                    && !guards.second_payment_is_refunded)
                    || (decision == Decision::RefundOver
                        && !guards.payment_of_cancelled_is_refunded);
                let part = [(p, DUE_FEN)];
                let parts: &[(u8, i64)] = if kept { &[] } else { &part };
                if self.request_refunds(s, c, parts, &[paid]) {
                    Self::mark_recorded(s, c, p);
                    s.payment_mut(c, p).surplus = true;
                } else if !guards.recorded_once {
                    s.postings.push(paid);
                    Self::mark_recorded(s, c, p);
                }
                return;
            }
        };
        if !s.post(&[paid]) {
            return;
        }
        Self::mark_recorded(s, c, p);
        let mut spec = s.order_mut(c).spec;
        if new_claim && guards.late_payment_has_new_claim {
            spec = Spec { id: s.fresh_claim(c), op: LATE_OP + c * 2 + p, replaces: None, ..spec };
        }
        let order = s.order_mut(c);
        (order.status, order.spec, order.live) = (Status::Paid, spec, true);
        order.begun |= decision == Decision::RefundBegun;
        if guards.outbox_in_batch {
            s.outbox.insert(Row::Confirm(c, spec));
        }
        if guards.paid_closes_the_others {
            Self::close_pending(s, c);
        }
    }

    fn mark_recorded(s: &mut State, c: u8, p: u8) {
        s.outbox.remove(&Row::ClosePayment(c, p));
        let payment = s.payment_mut(c, p);
        payment.recorded += 1;
        payment.status = payment.status.apply(PaymentEvent::Paid).unwrap();
    }

    // The provider's side, and what its answers bring ------------------------------------------------

    fn close_at_provider(&self, s: &mut State, c: u8, p: u8) {
        s.wire.remove(&Reply::NotPaid(c, p));
        let Some(order) = s.order(c) else { return };
        let past_deadline = s.now + 1 >= order.hold_end;
        let closed = match s.payment(c, p).theirs {
            AtProvider::Open | AtProvider::Closed => {
                s.payment_mut(c, p).theirs = AtProvider::Closed;
                true
            }
            // The answer is that it is paid: somebody asks again.
            AtProvider::Paid => false,
            AtProvider::Unknown => past_deadline || !self.guards.unknown_is_closed_after_deadline,
        };
        if closed {
            s.wire.insert(Reply::Closed(c, p));
        }
    }

    fn deliver(&self, s: &mut State, row: Row) {
        if !self.guards.row_goes_with_effect {
            s.outbox.remove(&row);
        }
        match row {
            Row::Release(id) => {
                self.release(s, id);
                s.outbox.remove(&row);
            }
            Row::Confirm(c, spec) => {
                let answer = self.confirm(s, spec);
                s.wire.insert(Reply::Confirm(c, spec, answer));
                if s.stray_calls > 0 {
                    s.sent.insert((c, spec));
                }
            }
            Row::Refund(c, r) => {
                let refund = s.refund_mut(c, r);
                let known = refund.theirs.len();
                if known == 0 || (!self.guards.refund_keeps_number && known < 2) {
                    let slow = self.slow_refunds;
                    refund.theirs.push(if slow {
                        Refunding::Processing
                    } else {
                        Refunding::Succeeded
                    });
                }
                let said = *refund.theirs.last().unwrap();
                s.wire.insert(Reply::Refund(c, r, said));
            }
            Row::ClosePayment(..) => {}
        }
    }

    fn take(&self, s: &mut State, reply: Reply) {
        match reply {
            Reply::NotPaid(..) => {}
            Reply::Closed(c, p) => {
                let payment = s.payment_mut(c, p);
                if let Ok(status) = payment.status.apply(PaymentEvent::Closed) {
                    payment.status = status;
                    s.outbox.remove(&Row::ClosePayment(c, p));
                }
            }
            Reply::Confirm(c, spec, answer) => self.on_confirm(s, c, spec, answer),
            Reply::Refund(c, r, said) => {
                s.outbox.remove(&Row::Refund(c, r));
                self.on_refund(s, c, r, said);
            }
            Reply::Decided(c, p, decision) => self.record(s, c, p, decision),
        }
    }

    fn on_confirm(&self, s: &mut State, c: u8, spec: Spec, answer: Answer) {
        s.outbox.remove(&Row::Confirm(c, spec));
        let order = s.order_mut(c);
        let stands = order.live && order.spec.id == spec.id;
        if answer == Answer::Confirmed {
            if stands {
                order.status = order::apply(order.status, Event::ClaimConfirmed).unwrap();
            } else if self.guards.unwanted_confirm_is_released {
                s.outbox.insert(Row::Release(spec.id));
            }
            return;
        }
        if !stands && self.guards.lost_names_the_claim {
            return;
        }
        let Ok(status) = order::apply(order.status, Event::ClaimLost) else { return };
        if status == order.status {
            return;
        }
        let paid = paying_fen(&self.guards, order);
        if self.guards.lost_is_refunded && !self.refund(s, c, paid) {
            return;
        }
        let order = s.order_mut(c);
        (order.status, order.live) = (status, false);
        order.told += 1;
    }

    fn on_refund(&self, s: &mut State, c: u8, r: u8, said: Refunding) {
        let refund = s.refund(c, r);
        let (was, fen) = (refund.status, refund.fen);
        let event = match said {
            Refunding::Processing => RefundEvent::Processing,
            Refunding::Succeeded => RefundEvent::Succeeded,
            Refunding::Abnormal => RefundEvent::Abnormal,
            Refunding::Closed => RefundEvent::Closed,
        };
        let next = if self.guards.refund_never_goes_back {
            was.apply(event)
        } else {
            RefundStatus::Requested.apply(event)
        };
        let Ok(next) = next else { return };
        if next == was {
            return;
        }
        let posted = match next {
            RefundStatus::Succeeded => s.post(&[Posting::Refund(c, r, 2, fen)]),
            RefundStatus::Closed if self.guards.closed_refund_gives_back => {
                s.post(&[Posting::Refund(c, r, 1, fen)])
            }
            _ => true,
        };
        if posted {
            s.refund_mut(c, r).status = next;
        }
    }
}

fn s_status(s: &State, c: u8) -> Option<Status> {
    s.order(c).map(|order| order.status)
}

/// What of a payment pays its order and is not refunded. A payment that was not wanted goes back by
/// itself, and a cancellation leaves it alone.
fn left_fen(guards: &Guards, order: &Order, p: u8) -> i64 {
    let payment = &order.payments[usize::from(p)];
    let apart = payment.surplus && guards.surplus_is_apart;
    if payment.status != PaymentStatus::Paid || apart {
        return 0;
    }
    DUE_FEN - refunded_fen(order, p)
}

/// What pays the order.
fn paying_fen(guards: &Guards, order: &Order) -> i64 {
    indices(&order.payments).map(|p| left_fen(guards, order, p)).sum()
}

/// What of a payment is refunded or promised back.
pub fn refunded_fen(order: &Order, p: u8) -> i64 {
    let of = |refund: &&Refund| refund.payment == p && refund.status != RefundStatus::Closed;
    order.refunds.iter().filter(of).map(|refund| refund.fen).sum()
}
