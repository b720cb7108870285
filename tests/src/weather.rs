//! What a storm and a soak have in common: clients that insist on an answer, the process killed in their
//! midst, cron runs beside it all, and a count of what everybody was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::api::{Api, Call, Reply};
use crate::dice::Dice;
use crate::stack::Stack;

/// Members signed in at once.
const SIGN_INS: usize = 8;
/// An operation has its definite answer within this time, whatever is killed meanwhile.
const DEFINITE_WITHIN: Duration = Duration::from_mins(3);

/// An answer's status and code; a success has none.
pub type Fine = (u16, &'static str);

/// What it was like.
#[derive(Default)]
pub struct Weather {
    /// Operations that are through.
    pub done: AtomicUsize,
    no_answer: AtomicUsize,
    unavailable: AtomicUsize,
    limited: AtomicUsize,
    kills: AtomicUsize,
    /// Milliseconds in which nothing ran.
    down: AtomicUsize,
    told: Mutex<BTreeMap<String, usize>>,
}

impl Weather {
    /// Counts what somebody was told.
    pub fn count(&self, what: &str) {
        *self.told.lock().expect("no panic").entry(what.to_owned()).or_default() += 1;
    }

    /// Counts an answer, which must be one of these.
    ///
    /// # Panics
    /// With the answer, if it is any other.
    #[track_caller]
    pub fn note(&self, what: &str, reply: &Reply, fine: &[Fine]) {
        let known = fine.contains(&(reply.status, reply.code()));
        assert!(known, "{what}: {} {}: {}", reply.what, reply.status, reply.body);
        let told = if reply.status < 300 { "done" } else { reply.code() };
        self.count(&format!("{what} {told}"));
    }

    /// How long the process was killed or starting.
    pub fn down(&self) -> Duration {
        Duration::from_millis(self.down.load(Ordering::Relaxed) as u64)
    }

    /// Prints it, a line for each kind of operation.
    pub fn print(&self, name: &str) {
        let of = |one: &AtomicUsize| one.load(Ordering::Relaxed);
        println!(
            "{name}: {} kills, no answer {}, unavailable {}, limited {}",
            of(&self.kills),
            of(&self.no_answer),
            of(&self.unavailable),
            of(&self.limited),
        );
        let told = self.told.lock().expect("no panic");
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (what, count) in &*told {
            let (kind, outcome) = what.rsplit_once(' ').unwrap_or((what, ""));
            by_kind.entry(kind).or_default().push(format!("{outcome} {count}"));
        }
        for (kind, outcomes) in by_kind {
            println!("{name}:   {kind}: {}", outcomes.join(", "));
        }
    }

    /// Sends a call until it has a definite answer. The flag tells whether an earlier try may have been
    /// at work beside a later one.
    ///
    /// # Panics
    /// When there is none in time, or a fault of ours.
    pub async fn definite(&self, stack: &Stack, call: Call) -> (Reply, bool) {
        let until = Instant::now() + DEFINITE_WITHIN;
        let (mut unknown, mut ever_unknown) = (false, false);
        let count = |what: &AtomicUsize| what.fetch_add(1, Ordering::Relaxed);
        loop {
            let pause = match call.clone().within(Duration::from_secs(20)).attempt().await {
                Ok(reply) if reply.status == 429 => {
                    count(&self.limited);
                    2_000
                }
                Ok(reply) if reply.status >= 500 => {
                    let fault = matches!(reply.code(), "internal" | "misconfigured");
                    assert!(!fault, "{}: {}\n{}", reply.what, reply.body, stack.log_tail());
                    assert_eq!(reply.status, 503, "{}: {}", reply.what, reply.body);
                    count(&self.unavailable);
                    (unknown, ever_unknown) = (true, true);
                    200
                }
                Ok(reply) if unknown && reply.code() == "order_changed" => {
                    // By the try before, which was still at work.
                    unknown = false;
                    200
                }
                Ok(reply) => return (reply, ever_unknown),
                Err(_) => {
                    count(&self.no_answer);
                    (unknown, ever_unknown) = (true, true);
                    100
                }
            };
            assert!(Instant::now() < until, "no definite answer within {DEFINITE_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Two answers to one operation: both tell of the same success, or both refuse.
///
/// # Panics
/// When they do not.
#[track_caller]
pub fn same(one: &Reply, two: &Reply) {
    if one.status < 300 || two.status < 300 {
        assert_eq!(one.status, two.status, "{}: {} and {}", one.what, one.body, two.body);
        assert_eq!(one.body, two.body, "{}", one.what);
    }
}

/// New members, signed in.
pub async fn members(stack: &Arc<Stack>, count: usize) -> Vec<Api> {
    let gate = Arc::new(Semaphore::new(SIGN_INS));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (stack, gate) = (Arc::clone(stack), Arc::clone(&gate));
        tasks.spawn(async move {
            let _turn = gate.acquire().await.expect("never closed");
            stack.some_member().await
        });
    }
    tasks.join_all().await
}

/// When the process is killed.
pub enum Kills {
    /// So many times, spread over so many operations.
    Spread {
        /// Operations.
        ops: usize,
        /// Kills.
        kills: usize,
    },
    /// After so many seconds up, and up to twice as many, until it is enough; twice at least.
    Every {
        /// Seconds.
        after: f64,
        /// Whether it is.
        enough: Arc<AtomicBool>,
    },
}

/// Kills the Worker outright, again and again, and starts it again each time.
pub fn killer(
    stack: &Arc<Stack>,
    weather: &Arc<Weather>,
    mut dice: Dice,
    when: Kills,
) -> JoinHandle<()> {
    let (stack, weather) = (Arc::clone(stack), Arc::clone(weather));
    tokio::spawn(async move {
        for kill in 0.. {
            if !comes(&when, kill, &weather, &mut dice).await {
                break;
            }
            let from = Instant::now();
            tokio::task::block_in_place(|| stack.kill_worker());
            stack.restart_worker().await;
            let took = usize::try_from(from.elapsed().as_millis()).expect("short");
            weather.down.fetch_add(took, Ordering::Relaxed);
            weather.kills.fetch_add(1, Ordering::Relaxed);
        }
    })
}

/// Waits for the moment of a kill; false when there is to be none.
async fn comes(when: &Kills, kill: usize, weather: &Weather, dice: &mut Dice) -> bool {
    match when {
        Kills::Spread { kills, .. } if kill >= *kills => false,
        Kills::Spread { ops, kills } => {
            let at = (kill * 100 + dice.below(90)) * ops / (kills * 100);
            while weather.done.load(Ordering::Relaxed) < at {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            true
        }
        Kills::Every { after, enough } => {
            let is_enough = || kill >= 2 && enough.load(Ordering::Relaxed);
            let share = f64::from(u32::try_from(dice.below(100)).expect("small")) / 100.0;
            let until = Instant::now() + Duration::from_secs_f64(after * (1.0 + share));
            while Instant::now() < until && !is_enough() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            !is_enough()
        }
    }
}

/// Runs the jobs beside all that, more often than in life, with this pause between two runs.
pub fn crons(stack: &Arc<Stack>, pause: Duration) -> JoinHandle<()> {
    let stack = Arc::clone(stack);
    tokio::spawn(async move {
        for run in 0_u64.. {
            let cron = if run % 5 == 4 { "%2A%2F5+%2A+%2A+%2A+%2A" } else { "%2A+%2A+%2A+%2A+%2A" };
            let path = format!("/cdn-cgi/local/scheduled?cron={cron}&format=json");
            // Whoever is killed meanwhile does not answer.
            let _ = stack.api().get(path).within(Duration::from_secs(40)).attempt().await;
            tokio::time::sleep(pause).await;
        }
    })
}

/// Ends the test by a client's panic. Everybody else stops first: whoever drops the stack last tells what it
/// said, and keeps what it has.
pub async fn end_by<T: 'static>(
    panicked: JoinError,
    mut clients: JoinSet<T>,
    others: [JoinHandle<()>; 2],
) -> ! {
    clients.shutdown().await;
    for task in others {
        task.abort();
        let _ = task.await;
    }
    std::panic::resume_unwind(panicked.into_panic());
}

/// A number that the environment gives, or another one.
///
/// # Panics
/// When what it gives is no number.
pub fn from_env(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().map_or(or, |value| value.parse().expect("a number"))
}
