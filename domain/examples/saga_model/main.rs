//! Explores the booking saga exhaustively: `make model`. The last line is
//! `model: N states, 0 violations`; with violations the status is 1, and each is told with its path.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[allow(dead_code)] // Shared with `tests/saga_model.rs`.
mod saga;

use std::process::ExitCode;

use saga::guards::Guards;
use saga::{Found, Saga};

fn main() -> ExitCode {
    let mut found = Found::default();
    for model in Saga::all(Guards::ALL) {
        let name = model.name;
        let states = found.explore(model, None);
        println!("model: {name}: {states} states");
    }
    for (model, property, path) in &found.violations {
        println!("model: violated, {model}: {property}");
        for (at, action) in path.iter().enumerate() {
            println!("  {:2}. {action:?}", at + 1);
        }
    }
    // A model in which nothing happens violates nothing.
    for end in found.unreached() {
        println!("model: violated: it can be that {end}");
    }
    let violations = found.violations.len() + found.unreached().len();
    println!("model: {} states, {violations} violations", found.states);
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
