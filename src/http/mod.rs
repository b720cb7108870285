//! What every slice stands on: the request's context, routes that say who may call them, input that is
//! checked at the edge, answers.
//!
//! - [`context`]: [`Ctx`], all that a handler may reach;
//! - [`routes`]: [`Routes`], the only way to add a route, each with its audience;
//! - [`extract`]: body, query, path and headers, with an error code for each way to get them wrong;
//! - [`fields`]: the types of input fields; what they hold has been checked;
//! - [`page`]: lists by cursor;
//! - [`limits`]: rate limits;
//! - [`outbound`]: calls of outside services;
//! - [`strict`]: input has the shape that is written down, and no other that serde would take;
//! - [`respond`]: JSON out, problems out, the log line.

pub mod context;
pub mod extract;
pub mod fields;
pub mod limits;
pub mod outbound;
pub mod page;
pub mod respond;
pub mod routes;
pub mod strict;

pub use context::Ctx;
pub use respond::Json;
pub use routes::Routes;

use std::future::Future;
use std::time::Duration;

use futures_util::future::{Either, select};

/// The future's answer, or `None` when it takes longer than `ms` milliseconds.
pub async fn timeout<T>(ms: u64, future: impl Future<Output = T>) -> Option<T> {
    let delay = worker::Delay::from(Duration::from_millis(ms));
    match select(Box::pin(future), Box::pin(delay)).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(_) => None,
    }
}
