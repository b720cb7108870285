//! The context of one request or one cron run: all that a handler or a job may reach.
//!
//! The clock and the random source are read here and nowhere else; rules get what they need of them as
//! arguments (I9).

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use worker::send::{SendFuture, SendWrapper};
use worker::{Context, Env};

use crate::calendars::Calendars;
use crate::config::Config;
use crate::d1::{Db, Meter};
use crate::error::{Answer, Problem};
use crate::http::fields::Id;

/// The context; cheap to clone.
#[derive(Clone)]
pub struct Ctx(Arc<Inner>);

/// What a [`Ctx`] holds.
pub struct Inner {
    env: Env,
    config: SendWrapper<Rc<Config>>,
    /// `None` in a cron run, which awaits what it starts.
    context: Option<SendWrapper<Context>>,
    /// UTC milliseconds at the start of the request.
    pub now: i64,
    /// In every answer and every log line.
    pub request_id: String,
    /// The caller's address, or an empty string.
    pub client_ip: String,
    /// Whether messages are English; Chinese otherwise.
    pub english: bool,
    /// What the request cost so far.
    pub meter: Arc<Meter>,
    /// Route and kind of caller, for the log line.
    pub seen: Mutex<(String, &'static str)>,
    outbox_due: AtomicBool,
}

impl Deref for Ctx {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// UTC milliseconds: the Worker's one look at the clock.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(worker::Date::now().as_millis()).unwrap_or(i64::MAX)
}

/// Random bytes: the Worker's one random source.
///
/// # Errors
/// Never on Workers, whose source cannot fail.
pub fn random<const N: usize>() -> Answer<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(Problem::internal)?;
    Ok(bytes)
}

/// What is known of a request before it is routed.
pub struct Seen {
    /// The caller's address.
    pub client_ip: String,
    /// Whether messages are English.
    pub english: bool,
    /// Its id.
    pub request_id: String,
}

impl Ctx {
    /// A context for a request, or for a cron run when there is no `context`.
    ///
    /// # Errors
    /// `misconfigured`, with the variable at fault.
    pub fn new(env: Env, context: Option<Context>, seen: Seen, now: i64) -> Result<Self, String> {
        let config = Config::of(&env)?;
        Ok(Self(Arc::new(Inner {
            env,
            config: SendWrapper::new(config),
            context: context.map(SendWrapper::new),
            now,
            request_id: seen.request_id,
            client_ip: seen.client_ip,
            english: seen.english,
            meter: Arc::new(Meter::default()),
            seen: Mutex::new((String::new(), "nobody")),
            outbox_due: AtomicBool::new(false),
        })))
    }

    /// The bindings.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The database.
    ///
    /// # Errors
    /// 503 when the binding is missing.
    pub fn db(&self) -> Answer<Db> {
        let d1 = self
            .env
            .d1(zhundian_durable_objects::projection::D1_BINDING)
            .map_err(Problem::unavailable)?;
        Ok(Db::new(d1, Arc::clone(&self.meter)))
    }

    /// The calendar objects.
    #[must_use]
    pub fn calendars(&self) -> Calendars {
        Calendars::new(self.clone())
    }

    /// A new id: `UUIDv7` of this instant.
    ///
    /// # Errors
    /// As [`random`].
    pub fn new_id(&self) -> Answer<Id> {
        Ok(Id::new(now_ms(), random()?))
    }

    /// Goes on with `work` after the answer has gone out; in a cron run, before the run ends.
    pub fn after_response<F: Future<Output = ()> + 'static>(
        &self,
        work: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let waiting = match &self.context {
            Some(context) => {
                context.wait_until(work);
                None
            }
            // Its type goes no further: what is done after a response may again leave something for after.
            None => Some(SendWrapper::new(Box::pin(work) as Pin<Box<dyn Future<Output = ()>>>)),
        };
        SendFuture::new(async move {
            if let Some(work) = waiting {
                work.0.await;
            }
        })
    }

    /// Notes the route and the kind of caller for the log line.
    pub fn note(&self, route: Option<&str>, caller: Option<&'static str>) {
        if let Ok(mut seen) = self.seen.lock() {
            if let Some(route) = route {
                route.clone_into(&mut seen.0);
            }
            if let Some(caller) = caller {
                seen.1 = caller;
            }
        }
    }

    /// Notes that this request wrote outbox rows; answers whether it is the first to say so.
    #[must_use]
    pub fn note_outbox(&self) -> bool {
        !self.outbox_due.swap(true, Ordering::Relaxed)
    }
}

impl<S: Sync> axum::extract::FromRequestParts<S> for Ctx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut http::request::Parts, _state: &S) -> Answer<Self> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Problem::internal("a request without context"))
    }
}
