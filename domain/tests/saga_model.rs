//! The booking saga, explored: the smaller of the models to their ends (`make model` explores all), and
//! each guard taken away alone, which the models must notice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../examples/saga_model/saga/mod.rs"]
#[allow(dead_code)] // Shared with `examples/saga_model`.
mod saga;

use saga::guards::Guards;
use saga::{Found, Saga};

/// What of the models is explored to its end here.
const SMALL: [&str; 2] = ["slow calls and failing refunds", "moves"];
/// Steps within which what a guard is there for is found.
const ENOUGH_STEPS: usize = 250_000;

#[test]
fn the_saga_keeps_its_invariants() {
    let mut found = Found::default();
    for model in Saga::all(Guards::ALL).into_iter().filter(|model| SMALL.contains(&model.name)) {
        found.explore(model, None);
    }
    assert!(found.violations.is_empty(), "{:#?}", found.violations);
    assert!(found.states > 100_000, "{}", found.states);
}

#[test]
fn without_any_one_guard_an_invariant_breaks() {
    for (name, guards, broken) in Guards::each_taken_away() {
        let mut found = Found::default();
        let noticed = Saga::all(guards).into_iter().any(|model| {
            found.explore(model, Some(ENOUGH_STEPS));
            found.violations.iter().any(|(_, property, _)| property.starts_with(broken))
        });
        assert!(noticed, "nothing of {broken} breaks without {name}: {:?}", found.violations);
    }
}
