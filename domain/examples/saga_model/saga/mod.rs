//! The booking saga as a model that can be explored exhaustively.
//!
//! Two customers want slots of one technician; one provider takes the money. Every step of the saga is
//! an action of its own, so between any two of them everything else may happen: the process crashes (the
//! next step never comes), a call's answer is late or lost, a call is made again, notices come late,
//! twice or never, customers pay, cancel and move, holds run out. What each step does is decided by the
//! functions the Worker uses: `Calendar::{hold, confirm, release}`, `order::apply`, `payment::on_paid`,
//! `cancellation::refund_fen`, `Ledger::post`.
//!
//! - [`state`]: what there is;
//! - [`steps`]: what may happen, and what then is;
//! - [`properties`]: what must hold (I1 to I6);
//! - [`guards`]: what the saga has against each thing that can go wrong.
//!
//! Some of the guards are there because the model found the saga wrong without them: that a lost claim is
//! lost for good, that a confirm which finds nobody is released, that what the provider does not know
//! counts as closed only after the deadline, that a payment closes the others, that a payment which was
//! not wanted is kept apart from what a cancellation gives back.
//!
//! **Rest.** At the clock's last step, when nothing is owed by anybody, the model is at rest; what must
//! be in the end (I3, I5) is asked there. Notices are not owed: the saga may not depend on them. The
//! daily bill is left out, which would hide what the saga forgets, but for money that comes after the
//! provider has said that it takes none: of that nothing else tells for certain.

pub mod guards;
pub mod properties;
pub mod state;
pub mod steps;

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use guards::Guards;
use state::{DUE_FEN, LAST_BOOKING, State};
use steps::Action;

/// What a customer does.
#[derive(Clone, Copy, Debug)]
pub struct Customer {
    /// What is due before the visit.
    pub due_fen: i64,
    /// The slots they try for; none when there is no such customer.
    pub slots: &'static [u8],
    /// The last step at which they begin to book.
    pub until: u8,
    /// Whether they may move.
    pub moves: bool,
    /// Whether staff may call it off.
    pub staff_cancel: bool,
}

/// A model: who there is, what the world may do, and which guards stand.
#[derive(Clone, Debug)]
pub struct Saga {
    pub name: &'static str,
    pub customers: [Customer; 2],
    /// Payments that an order may have.
    pub channels: usize,
    /// Answers under way at once.
    pub replies: usize,
    /// Whether the request that makes a payment known may reach the provider late.
    pub slow_prepay: bool,
    /// Whether the provider takes its time for refunds. Otherwise they succeed at once.
    pub slow_refunds: bool,
    /// Refunds that the provider may fail at, when it takes its time.
    pub failing_refunds: u8,
    /// Confirms that may arrive after their row is done.
    pub stray_calls: u8,
    /// Payments that may still be paid after the provider has closed them.
    pub late_money: u8,
    pub guards: Guards,
}

const PAYS: Customer =
    Customer { due_fen: DUE_FEN, slots: &[0], until: 0, moves: false, staff_cancel: true };
const PAYS_LATER: Customer = Customer { until: LAST_BOOKING, ..PAYS };
const AT_STORE: Customer =
    Customer { due_fen: 0, until: LAST_BOOKING, staff_cancel: false, ..PAYS };
const NOBODY: Customer = Customer { slots: &[], ..PAYS };

impl Saga {
    /// The models that are explored. Together they let everything happen; each alone is kept small
    /// enough to be explored to its end.
    pub fn all(guards: Guards) -> Vec<Self> {
        let base = Self {
            name: "",
            customers: [PAYS, NOBODY],
            channels: 1,
            replies: 1,
            slow_prepay: false,
            slow_refunds: false,
            failing_refunds: 0,
            stray_calls: 0,
            late_money: 0,
            guards,
        };
        vec![
            Self {
                name: "slow calls and failing refunds",
                replies: 2,
                slow_prepay: true,
                slow_refunds: true,
                failing_refunds: 1,
                late_money: 1,
                ..base.clone()
            },
            Self {
                name: "two channels, slow calls",
                channels: 2,
                replies: 2,
                slow_prepay: true,
                late_money: 1,
                ..base.clone()
            },
            Self {
                name: "moves",
                customers: [
                    Customer { moves: true, until: 0, ..AT_STORE },
                    Customer { slots: &[0, 1], ..AT_STORE },
                ],
                replies: 2,
                ..base.clone()
            },
            Self { name: "two pay for one slot", customers: [PAYS, PAYS_LATER], ..base.clone() },
            Self {
                name: "one pays, one at the store",
                customers: [PAYS, AT_STORE],
                late_money: 1,
                replies: 2,
                stray_calls: 1,
                ..base.clone()
            },
            Self {
                name: "two channels, late money, failing refunds",
                customers: [Customer { staff_cancel: false, ..PAYS }, NOBODY],
                channels: 2,
                slow_refunds: true,
                failing_refunds: 1,
                late_money: 1,
                ..base.clone()
            },
        ]
    }
}

impl Model for Saga {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.late_money, self.failing_refunds, self.stray_calls)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.enabled(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// What exploring models has brought.
#[derive(Default)]
pub struct Found {
    /// Different states, over all models.
    pub states: usize,
    /// What was violated, where, and by which steps.
    pub violations: Vec<(&'static str, &'static str, Vec<Action>)>,
    /// What must be reachable, and whether it was.
    pub reached: BTreeMap<&'static str, bool>,
}

impl Found {
    /// Explores a model: to its end, or, when a violation is looked for, to the first one or to so many
    /// steps taken.
    pub fn explore(&mut self, model: Saga, steps: Option<usize>) -> usize {
        let name = model.name;
        let builder = model.checker().threads(2);
        let builder = match steps {
            None => builder,
            Some(steps) => {
                builder.finish_when(HasDiscoveries::AnyFailures).target_state_count(steps)
            }
        };
        let checker = builder.spawn_bfs().join();
        let discoveries = checker.discoveries();
        let reached: BTreeSet<&str> = discoveries.keys().copied().collect();
        for property in checker.model().properties() {
            if property.expectation == Expectation::Sometimes {
                *self.reached.entry(property.name).or_default() |= reached.contains(property.name);
            }
        }
        for (property, path) in discoveries {
            if checker.model().property(property).expectation == Expectation::Always {
                self.violations.push((name, property, path.into_actions()));
            }
        }
        self.states += checker.unique_state_count();
        checker.unique_state_count()
    }

    /// What must be reachable and was not.
    pub fn unreached(&self) -> Vec<&'static str> {
        self.reached.iter().filter(|(_, reached)| !**reached).map(|(name, _)| *name).collect()
    }
}
