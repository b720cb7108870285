//! The calendar object: one bookable thing's time, and the only place that decides who has it.
//!
//! **State invariant (I1):** at no instant do the live claims in `claim` take more than the calendar's
//! capacity. It holds because a call reads its whole body first, and then loads, decides with
//! [`zhundian_domain::calendar`] and writes inside one synchronous transaction: nothing else can run in
//! between, and an alarm that comes late or never changes no answer.
//!
//! | call | what it does |
//! |---|---|
//! | [`calls::Hold`] | takes an interval until a deadline; a move holds its new time beside the old |
//! | [`calls::Confirm`] | makes it last; takes an expired one again, or answers that it is lost |
//! | [`calls::Release`] | gives it back, for good |
//! | [`calls::SetWindows`] | changes working time, unless that strands an appointment |
//! | [`calls::Windows`], [`calls::Free`], [`calls::Claims`] | read |
//!
//! **Projection:** every change notes the days it touched in `outbox`. The reply carries their free
//! bits, the caller writes them to D1 with its own batch and says so with the confirm; what it did not
//! say within half a minute the alarm writes. Bits carry the calendar's version, and an older version
//! never overwrites a newer one.
//!
//! Where to start: [`Calendar::answer`] for the calls, `alarm` for what happens by itself, [`store`]
//! for the tables.

pub mod calls;
pub mod projection;
pub mod storage;
pub mod store;

use std::cell::Cell;

use calls::{
    CalendarCall, Claims, ClaimsReply, Confirm, ConfirmReply, Free, FreeReply, HORIZON_DAYS, Hold,
    HoldReply, MAX_CLAIMS, ProjectedDay, Release, ReleaseReply, SetWindows, SetWindowsReply,
    WindowEdit, Windows, WindowsReply, WrittenDay,
};
use chrono::{DateTime, Utc};
use store::Rows;
use worker::{
    DurableObject, Env, Method, Request, Response, Result, ScheduledTime, State, durable_object,
};
use zhundian_domain::calendar::{Calendar as Rules, MAX_CAPACITY};
use zhundian_domain::time::{DAY_MS, DayRange, Interval, Tick, UtcDay};
use zhundian_domain::working::WorkingRules;

/// Bytes in the largest call.
const MAX_CALL_BYTES: usize = 1 << 20;

/// One calendar, named `technician:<id>` (later `room:`, `session:`, `store:`).
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
            Hold::PATH => self.call(body, now, hold),
            Confirm::PATH => self.call(body, now, confirm),
            Release::PATH => self.call(body, now, release),
            SetWindows::PATH => self.call(body, now, set_windows),
            Windows::PATH => self.call(body, now, windows),
            Free::PATH => self.call(body, now, free),
            Claims::PATH => self.call(body, now, claims),
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
            let expired = rows.sweep(now)?;
            if !expired.is_empty() {
                let version = rows.next_version()?;
                for (start, end) in expired {
                    let (from, until) =
                        (UtcDay::of_ms(start), UtcDay(UtcDay::of_ms(end - 1).0 + 1));
                    rows.note_days(
                        now - store::PROJECTION_GRACE_MS,
                        from,
                        until,
                        &stores,
                        version,
                    )?;
                }
            }
            let (from, until) = (UtcDay(rows.meta()?.projected_until), Rows::horizon(now));
            if from.0 > 0 && from < until {
                let version = rows.next_version()?;
                rows.note_days(now - store::PROJECTION_GRACE_MS, from, until, &stores, version)?;
                rows.set_projected_until(until)?;
            }
            due_days(rows, now)
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

/// The part of the calendar that a decision about `interval` needs.
fn load(rows: &Rows, interval: Interval, ids: [&str; 2], op: &str) -> Result<Rules> {
    let (rules, capacity) = rows.windows()?;
    // Whole days: the reply carries them.
    let whole = interval.days().interval().unwrap_or(interval);
    Ok(Rules { capacity, rules, claims: rows.around(whole, ids, op)? })
}

fn stores(rules: &WorkingRules) -> Vec<String> {
    rules.stores.keys().cloned().collect()
}

fn project(calendar: &Rules, now: i64, days: DayRange, version: i64) -> Vec<ProjectedDay> {
    calendar
        .rules
        .stores
        .keys()
        .flat_map(|store_id| {
            days.iter().map(move |day| ProjectedDay {
                store_id: store_id.clone(),
                day,
                free: calendar.free_day(now, store_id, day),
                version,
            })
        })
        .collect()
}

fn hold(rows: &Rows, now: i64, call: Hold) -> Result<HoldReply> {
    let spec = &call.spec;
    let replaces = spec.replaces.as_deref().unwrap_or_default();
    let mut calendar = load(rows, spec.block, [&spec.id, replaces], &spec.op)?;
    let days = spec.block.days();
    match calendar.hold(now, spec, call.expires_at) {
        Ok((claim, changes)) => {
            let version = if changes.is_empty() {
                rows.meta()?.version
            } else {
                rows.apply(now, &changes, &stores(&calendar.rules))?
            };
            calendar.apply(&changes);
            Ok(HoldReply::Held { claim, days: project(&calendar, now, days, version) })
        }
        Err(refusal) => {
            let version = rows.meta()?.version;
            Ok(HoldReply::Refused { refusal, days: project(&calendar, now, days, version) })
        }
    }
}

fn confirm(rows: &Rows, now: i64, call: Confirm) -> Result<ConfirmReply> {
    let spec = &call.spec;
    let replaces = spec.replaces.as_deref().unwrap_or_default();
    rows.forget_days(&call.written)?;
    let mut calendar = load(rows, spec.block, [&spec.id, replaces], &spec.op)?;
    let (outcome, changes) = calendar.confirm(now, spec);
    if changes.is_empty() {
        return Ok(ConfirmReply { outcome, days: Vec::new() });
    }
    // Making a live hold last changes nobody's free time: nothing to project.
    let free_changes = spec.replaces.is_some()
        || !calendar.claim(&spec.id).is_some_and(|claim| claim.is_live(now));
    if !free_changes {
        rows.apply(now, &changes, &[])?;
        return Ok(ConfirmReply { outcome, days: Vec::new() });
    }
    let version = rows.apply(now, &changes, &stores(&calendar.rules))?;
    calendar.apply(&changes);
    let days = touched(rows, &calendar, now, &changes, version)?;
    Ok(ConfirmReply { outcome, days })
}

fn release(rows: &Rows, now: i64, call: Release) -> Result<ReleaseReply> {
    let Some(claim) = rows.claim(&call.claim_id)? else {
        return Ok(ReleaseReply { days: Vec::new() });
    };
    let mut calendar = load(rows, claim.spec.block, [&call.claim_id, ""], "")?;
    let changes = calendar.release(&call.claim_id);
    if changes.is_empty() {
        return Ok(ReleaseReply { days: Vec::new() });
    }
    let version = rows.apply(now, &changes, &stores(&calendar.rules))?;
    calendar.apply(&changes);
    Ok(ReleaseReply { days: touched(rows, &calendar, now, &changes, version)? })
}

/// The projected days of every block that changed. A move's two blocks may lie weeks apart, so each is
/// looked at with the claims around it.
fn touched(
    rows: &Rows,
    calendar: &Rules,
    now: i64,
    changes: &[zhundian_domain::calendar::Change],
    version: i64,
) -> Result<Vec<ProjectedDay>> {
    let mut days: Vec<ProjectedDay> = Vec::new();
    for change in changes {
        let range = change.block().days();
        let whole = range.interval().unwrap_or_else(|| change.block());
        let part = Rules {
            capacity: calendar.capacity,
            rules: calendar.rules.clone(),
            claims: rows.around(whole, ["", ""], "")?,
        };
        for day in project(&part, now, range, version) {
            if !days.iter().any(|known| known.day == day.day && known.store_id == day.store_id) {
                days.push(day);
            }
        }
    }
    Ok(days)
}

fn edit(rules: &mut WorkingRules, capacity: &mut u16, edit: WindowEdit) {
    match edit {
        WindowEdit::Stores(stores) => rules.stores = stores,
        WindowEdit::Capacity(units) => *capacity = units.clamp(1, MAX_CAPACITY),
        WindowEdit::Weekly(pattern) => {
            rules.weekly.retain(|known| {
                known.store_id != pattern.store_id || known.valid_from != pattern.valid_from
            });
            rules.weekly.push(pattern);
        }
        WindowEdit::RemoveWeekly { store_id, valid_from } => {
            rules
                .weekly
                .retain(|known| known.store_id != store_id || known.valid_from != valid_from);
        }
        WindowEdit::Override(date) => {
            rules
                .overrides
                .retain(|known| known.store_id != date.store_id || known.date != date.date);
            rules.overrides.push(date);
        }
        WindowEdit::RemoveOverride { store_id, date } => {
            rules.overrides.retain(|known| known.store_id != store_id || known.date != date);
        }
        WindowEdit::TimeOff(off) => {
            rules.times_off.retain(|known| known.id != off.id);
            rules.times_off.push(off);
        }
        WindowEdit::RemoveTimeOff { id } => rules.times_off.retain(|known| known.id != id),
        WindowEdit::Holidays { store_id, dates } => {
            rules.holidays.retain(|(store, _)| *store != store_id);
            rules.holidays.extend(dates.into_iter().map(|date| (store_id.clone(), date)));
        }
    }
}

fn set_windows(rows: &Rows, now: i64, call: SetWindows) -> Result<SetWindowsReply> {
    let (before, capacity_before) = rows.windows()?;
    let (mut rules, mut capacity) = (before.clone(), capacity_before);
    for one in call.edits {
        edit(&mut rules, &mut capacity, one);
    }
    if let Err(what) = rules.check_limits() {
        return Ok(SetWindowsReply::TooMany { what: what.into() });
    }
    if rules == before && capacity == capacity_before {
        return Ok(SetWindowsReply::Set { days: Vec::new(), kept: Vec::new() });
    }
    let mut calendar =
        Rules { capacity: capacity_before, rules: before, claims: rows.upcoming(now)? };
    let mut stranded: Vec<_> =
        calendar.stranded(now, &rules, capacity).into_iter().cloned().collect();
    stranded.truncate(MAX_CLAIMS);
    if !stranded.is_empty() && !call.keep_appointments {
        return Ok(SetWindowsReply::Stranded { claims: stranded });
    }
    if call.dry_run {
        return Ok(SetWindowsReply::Set { days: Vec::new(), kept: stranded });
    }
    // Days of stores that are left must be said to be free of working time, so both sets are noted.
    let mut all_stores = stores(&calendar.rules);
    all_stores.extend(rules.stores.keys().cloned());
    all_stores.sort();
    all_stores.dedup();
    rows.set_windows(&rules, capacity)?;
    let version = rows.next_version()?;
    // One day back: a local day of a clock ahead of UTC began yesterday.
    let days = DayRange { from: UtcDay(UtcDay::of_ms(now).0 - 1), until: Rows::horizon(now) };
    rows.note_days(now, days.from, days.until, &all_stores, version)?;
    rows.set_projected_until(days.until)?;
    (calendar.rules, calendar.capacity) = (rules, capacity);
    let days = all_stores
        .iter()
        .flat_map(|store_id| {
            days.iter().map(|day| ProjectedDay {
                store_id: store_id.clone(),
                day,
                free: calendar.free_day(now, store_id, day),
                version,
            })
        })
        .collect();
    Ok(SetWindowsReply::Set { days, kept: stranded })
}

fn windows(rows: &Rows, _now: i64, _call: Windows) -> Result<WindowsReply> {
    let (rules, capacity) = rows.windows()?;
    Ok(WindowsReply { capacity, rules })
}

fn free(rows: &Rows, now: i64, call: Free) -> Result<FreeReply> {
    let until = UtcDay(call.days.until.0.min(call.days.from.0 + HORIZON_DAYS + 1));
    let days = DayRange { from: call.days.from, until };
    let Some(interval) = days.interval() else { return Ok(FreeReply { days: Vec::new() }) };
    let calendar = load(rows, interval, ["", ""], "")?;
    Ok(FreeReply { days: project(&calendar, now, days, rows.meta()?.version) })
}

fn claims(rows: &Rows, now: i64, call: Claims) -> Result<ClaimsReply> {
    let (claims, more) = rows.page(now, call.interval, call.after.as_ref())?;
    let (_, capacity) = rows.windows()?;
    Ok(ClaimsReply { claims, more, capacity })
}

/// What must be sent to D1 by now, as it is now.
fn due_days(rows: &Rows, now: i64) -> Result<Vec<ProjectedDay>> {
    let due = rows.due_days(now)?;
    let (rules, capacity) = rows.windows()?;
    let version = rows.meta()?.version;
    due.into_iter()
        .map(|(store_id, day, _)| {
            let calendar = Rules {
                capacity,
                rules: rules.clone(),
                claims: rows.around(day.interval(), ["", ""], "")?,
            };
            Ok(ProjectedDay {
                free: calendar.free_day(now, &store_id, day),
                store_id,
                day,
                version,
            })
        })
        .collect()
}

/// The tick of an instant that a caller gave in milliseconds.
///
/// # Errors
/// When it does not lie on the grid.
pub fn tick(ms: i64) -> Result<Tick> {
    Tick::from_ms(ms).ok_or_else(|| "an instant off the five-minute grid".into())
}
