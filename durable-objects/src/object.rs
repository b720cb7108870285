//! The object: JavaScript's end of it, its clock and its alarm.
#![allow(missing_docs, reason = "the durable_object macro makes items without documentation")]

use std::cell::Cell;

use chrono::{DateTime, Utc};
use worker::{
    DurableObject, Env, Method, Request, Response, Result, ScheduledTime, State, durable_object,
};
use zhundian_domain::time::{DAY_MS, UtcDay};

use crate::answer;
use crate::calls::{
    CalendarCall, CheckMany, Claims, Confirm, ConfirmMany, Free, FreeDays, GiveBack, GiveBackMany,
    Hold, HoldMany, Release, ReleaseMany, SetWindows, Windows, WrittenDay,
};
use crate::store::{self, Rows};
use crate::{projection, storage};

/// Bytes in the largest call.
const MAX_CALL_BYTES: usize = 1 << 20;

/// One calendar, named `technician:<id>`, `room:<id>`, `store:<id>` or `session:<id>`.
#[durable_object(alarm)]
pub struct Calendar {
    state: State,
    env: Env,
    /// Whether the tables are known to be up to date; a cache, lost when the object sleeps.
    migrated: Cell<bool>,
}

impl DurableObject for Calendar {
    fn new(state: State, env: Env) -> Self {
        Self { state, env, migrated: Cell::new(false) }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        if request.method() != Method::Post {
            return Response::error("a call is a POST", 405);
        }
        // The whole body first: between here and the answer only the alarm is awaited.
        let body = request.bytes().await?;
        if body.len() > MAX_CALL_BYTES {
            return Response::error("call too large", 413);
        }
        match self.answer(&request.path(), &body, now()) {
            Ok(Some(reply)) => {
                self.set_alarm(now()).await?;
                Response::from_bytes(reply)
            }
            Ok(None) => Response::error("no such call", 404),
            Err(error) => {
                worker::console_error!(
                    "{{\"event\":\"calendar_fault\",\"call\":\"{}\",\"error\":{:?}}}",
                    request.path(),
                    error.to_string()
                );
                Response::error("calendar fault", 500)
            }
        }
    }

    async fn alarm(&self) -> Result<Response> {
        // An alarm that fails is retried six times and then given up for good, so it never fails:
        // what goes wrong stays in the rows and the next alarm finds it there.
        if let Err(error) = self.wake().await {
            worker::console_error!(
                "{{\"event\":\"calendar_alarm_fault\",\"error\":{:?}}}",
                error.to_string()
            );
            let retry = now() + store::PROJECTION_GRACE_MS;
            if let Err(error) = self.state.storage().set_alarm(scheduled(retry)).await {
                worker::console_error!(
                    "{{\"event\":\"calendar_alarm_lost\",\"error\":{:?}}}",
                    error.to_string()
                );
            }
        }
        Response::empty()
    }
}

/// The object's one look at the clock.
fn now() -> i64 {
    i64::try_from(worker::Date::now().as_millis()).unwrap_or(i64::MAX)
}

fn scheduled(at: i64) -> ScheduledTime {
    // `set_alarm` takes a number for an offset from now; only a date is an instant.
    DateTime::<Utc>::from_timestamp_millis(at).unwrap_or_default().into()
}

impl Calendar {
    /// Runs one call; `None` when there is none at that path.
    fn answer(&self, path: &str, body: &[u8], now: i64) -> Result<Option<Vec<u8>>> {
        match path {
            Hold::PATH => self.call(body, now, answer::hold),
            Confirm::PATH => self.call(body, now, answer::confirm),
            Release::PATH => self.call(body, now, answer::release),
            GiveBack::PATH => self.call(body, now, answer::give_back),
            HoldMany::PATH => self.call(body, now, answer::hold_many),
            CheckMany::PATH => self.call(body, now, answer::check_many),
            ConfirmMany::PATH => self.call(body, now, answer::confirm_many),
            FreeDays::PATH => self.call(body, now, answer::free_days),
            ReleaseMany::PATH => self.call(body, now, answer::release_many),
            GiveBackMany::PATH => self.call(body, now, answer::give_back_many),
            SetWindows::PATH => self.call(body, now, answer::set_windows),
            Windows::PATH => self.call(body, now, answer::windows),
            Free::PATH => self.call(body, now, answer::free),
            Claims::PATH => self.call(body, now, answer::claims),
            _ => return Ok(None),
        }
        .map(Some)
    }

    fn call<C: CalendarCall + 'static>(
        &self,
        body: &[u8],
        now: i64,
        run: fn(&Rows, i64, C) -> Result<C::Reply>,
    ) -> Result<Vec<u8>>
    where
        C::Reply: 'static,
    {
        let request: C = serde_json::from_slice(body)?;
        let reply = self.transaction(move |rows| run(rows, now, request))?;
        Ok(serde_json::to_vec(&reply)?)
    }

    fn transaction<T: 'static>(
        &self,
        body: impl FnOnce(&Rows) -> Result<T> + 'static,
    ) -> Result<T> {
        let storage = self.state.storage();
        let rows = Rows(storage.sql());
        let migrated = self.migrated.get();
        let done = storage::transaction(&storage, move || {
            if !migrated {
                rows.migrate()?;
            }
            body(&rows)
        })?;
        self.migrated.set(true);
        Ok(done)
    }

    /// Sets the alarm for what is due next, unless it is set for that or earlier: waking for nothing
    /// costs less than setting an alarm at every call.
    async fn set_alarm(&self, now: i64) -> Result<()> {
        let due = self.transaction(move |rows| {
            let meta = rows.meta()?;
            let mut due = rows.next_due()?;
            if meta.projected_until > 0 {
                let tomorrow = (UtcDay::of_ms(now).0 + 1) * DAY_MS;
                due = Some(due.unwrap_or(tomorrow).min(tomorrow));
            }
            let set = due.filter(|due| meta.alarm_at.is_none_or(|at| at > *due || at <= now));
            if let Some(due) = set {
                rows.set_alarm_at(Some(due))?;
            }
            Ok(set)
        })?;
        match due {
            Some(due) => self.state.storage().set_alarm(scheduled(due)).await,
            None => Ok(()),
        }
    }

    /// What the alarm does: deletes expired holds, looks one day further ahead, sends what is due.
    async fn wake(&self) -> Result<()> {
        let now = now();
        let days = self.transaction(move |rows| {
            rows.set_alarm_at(None)?;
            let (rules, _) = rows.windows()?;
            let stores: Vec<String> = rules.stores.keys().cloned().collect();
            rows.sweep(now, &stores)?;
            let (from, until) = (UtcDay(rows.meta()?.projected_until), Rows::horizon(now));
            if from.0 > 0 && from < until {
                let version = rows.next_version()?;
                rows.note_days(now - store::PROJECTION_GRACE_MS, from, until, &stores, version)?;
                rows.set_projected_until(until)?;
            }
            answer::due_days(rows, now)
        })?;
        if !days.is_empty() {
            let sent = match self.state.id().name() {
                Some(name) => projection::write(&self.env, &name, &days).await,
                None => Err("a calendar without a name".into()),
            };
            self.transaction(move |rows| match sent {
                Ok(()) => rows.forget_days(&days.iter().map(WrittenDay::from).collect::<Vec<_>>()),
                Err(error) => {
                    worker::console_warn!(
                        "{{\"event\":\"projection_put_off\",\"error\":{:?}}}",
                        error.to_string()
                    );
                    rows.put_off_days(now)
                }
            })?;
        }
        self.set_alarm(now).await
    }
}
