//! What the runtime tests stand on: the sandbox and the Worker as a user runs them (`wrangler dev`, on
//! ports and a state folder of their own), and clients that speak HTTP to both.
//!
//! - [`Stack`]: starts both, kills the Worker outright, starts it again, runs crons, reads D1 and the
//!   calendar objects' tables;
//! - [`Api`], [`Call`], [`Reply`]: a client with somebody's token;
//! - [`State`]: what D1 and the calendars hold, to compare before and after;
//! - [`audit`]: reads all that is kept and says what does not hold;
//! - [`money_audit`]: reads all the money, the vendors' too, and says what does not add up;
//! - [`money`]: the customer pays, and the payment vendors behave and misbehave;
//! - [`visit`]: appointments that are paid for; [`notices`]: notices of the vendors, made here;
//! - [`messages`]: who is told what, under a clock that the test moves;
//! - [`weather`]: many clients at once, kills and cron runs, as a storm and a soak have them;
//! - [`forge`]: tokens and requests that no honest client makes;
//! - [`world`]: members, staff and shops to test with;
//! - [`eventually`]: waits for a condition with a deadline, never for a fixed time.
//!
//! The Worker must be built (`tools/build`). A test that disturbs nobody takes [`Stack::shared`], one
//! stack a test binary; a test that kills or fills takes its own by [`Stack::start`].
//!
//! ```no_run
//! # async fn example() {
//! use zhundian_tests::Stack;
//! let stack = Stack::shared().await;
//! let member = stack.member("o-anna").await;
//! member.get("/api/v1/me").await.expect(200);
//! # }
//! ```

pub mod api;
pub mod audit;
mod dice;
pub mod forge;
pub mod messages;
pub mod money;
pub mod money_audit;
pub mod notices;
mod port;
mod process;
pub mod stack;
mod state;
pub mod visit;
pub mod weather;
pub mod world;

pub use api::{Api, Call, Reply};
pub use dice::Dice;
pub use stack::{Shared, Stack};
pub use state::State;
pub use visit::Visit;
pub use weather::Weather;
pub use world::{Hours, Shop, Slot};

use std::future::IntoFuture as _;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, in UTC milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// Sixty-four random bits; no secret.
pub fn random() -> u64 {
    RandomState::new().hash_one(now_ms())
}

/// Makes calls at once; the answers in their order.
pub async fn at_once(calls: impl IntoIterator<Item = Call>) -> Vec<Reply> {
    let calls: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.into_future())).collect();
    let mut replies = Vec::new();
    for call in calls {
        replies.push(call.await.expect("the call has an answer"));
    }
    replies
}

/// How many of the answers have this status.
pub fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// Asks until there is an answer.
///
/// # Panics
/// When there is none before the deadline; `what` says what was waited for.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < until, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
