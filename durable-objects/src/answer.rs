//! What each call answers: loads, decides, writes, inside the transaction that the object has opened.

use std::collections::BTreeSet;

use worker::Result;
use zhundian_domain::calendar::{Calendar as Rules, Change, ClaimSpec, MAX_CAPACITY};
use zhundian_domain::time::{DayRange, Interval, UtcDay};
use zhundian_domain::working::WorkingRules;

use crate::calls::{
    CheckMany, CheckManyReply, Claims, ClaimsReply, Confirm, ConfirmMany, ConfirmManyReply,
    ConfirmReply, Free, FreeDays, FreeReply, GiveBack, GiveBackMany, HORIZON_DAYS, Hold, HoldMany,
    HoldManyReply, HoldReply, MAX_CLAIMS, MAX_MANY, ProjectedDay, Release, ReleaseMany,
    ReleaseReply, SetWindows, SetWindowsReply, WindowEdit, Windows, WindowsReply,
};
use crate::store::Rows;

/// The part of the calendar that a decision about `interval` needs.
fn load(rows: &Rows, interval: Interval, ids: &[&str], op: &str) -> Result<Rules> {
    let (rules, capacity) = rows.windows()?;
    // Whole days: the reply carries them.
    let whole = interval.days().interval().unwrap_or(interval);
    Ok(Rules { capacity, rules, claims: rows.around(whole, ids, op)? })
}

/// The claims that a spec names: its own and those it replaces.
fn named(spec: &ClaimSpec) -> Vec<&str> {
    std::iter::once(&spec.id).chain(&spec.replaces).map(String::as_str).collect()
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
            days.iter().map(move |day| {
                ProjectedDay::of(store_id, day, calendar.day(now, store_id, day), version)
            })
        })
        .collect()
}

pub fn hold(rows: &Rows, now: i64, call: Hold) -> Result<HoldReply> {
    let spec = &call.spec;
    let mut calendar = load(rows, spec.neighbourhood(), &named(spec), &spec.op)?;
    let days = spec.span().days();
    match calendar.hold(now, spec, call.expires_at) {
        Ok((claim, changes)) => {
            let version = if changes.is_empty() {
                rows.meta()?.version
            } else {
                rows.apply(now, &changes, &stores(&calendar.rules))?
            };
            calendar.apply(&changes);
            rows.note_run(&claim.spec.id, &call.run)?;
            Ok(HoldReply::Held { claim, days: project(&calendar, now, days, version) })
        }
        Err(refusal) => {
            let version = rows.meta()?.version;
            Ok(HoldReply::Refused { refusal, days: project(&calendar, now, days, version) })
        }
    }
}

pub fn confirm(rows: &Rows, now: i64, call: Confirm) -> Result<ConfirmReply> {
    let spec = &call.spec;
    rows.forget_days(&call.written)?;
    let mut calendar = load(rows, spec.neighbourhood(), &named(spec), &spec.op)?;
    let (outcome, changes) = calendar.confirm(now, spec);
    if changes.is_empty() {
        return Ok(ConfirmReply { outcome, days: Vec::new() });
    }
    // Making a live hold last changes nobody's free time: nothing to project.
    let free_changes = !spec.replaces.is_empty()
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

pub fn release(rows: &Rows, now: i64, call: Release) -> Result<ReleaseReply> {
    let nothing = ReleaseReply { released: false, days: Vec::new() };
    let Some(claim) = rows.claim(&call.claim_id)? else { return Ok(nothing) };
    let mut calendar = load(rows, claim.spec.neighbourhood(), &[&call.claim_id], "")?;
    let changes = calendar.release(&call.claim_id);
    if changes.is_empty() {
        return Ok(nothing);
    }
    let version = rows.apply(now, &changes, &stores(&calendar.rules))?;
    calendar.apply(&changes);
    let days = touched(rows, &calendar, now, &changes, version)?;
    Ok(ReleaseReply { released: true, days })
}

pub fn give_back(rows: &Rows, now: i64, call: GiveBack) -> Result<ReleaseReply> {
    if rows.forget_run(&call.claim_id, &call.run)? {
        release(rows, now, Release { claim_id: call.claim_id })
    } else {
        Ok(ReleaseReply { released: false, days: Vec::new() })
    }
}

/// Several intervals at once: fewer than [`MAX_MANY`].
fn bounded(count: usize) -> Result<()> {
    if count <= MAX_MANY {
        Ok(())
    } else {
        Err(worker::Error::RustError("too many at once".into()))
    }
}

/// The part of the calendar that a decision about all of these needs.
fn load_many(rows: &Rows, specs: &[ClaimSpec]) -> Result<Rules> {
    bounded(specs.len())?;
    let (rules, capacity) = rows.windows()?;
    let blocks: Vec<Interval> = specs.iter().map(|spec| spec.block).collect();
    let ids: Vec<&str> = specs.iter().flat_map(named).collect();
    let ops: Vec<&str> = specs.iter().map(|spec| spec.op.as_str()).collect();
    Ok(Rules { capacity, rules, claims: rows.around_many(&blocks, &ids, &ops)? })
}

/// Days of every store as they are in the rows by now.
fn project_rows(
    rows: &Rows,
    now: i64,
    days: &BTreeSet<UtcDay>,
    version: i64,
) -> Result<Vec<ProjectedDay>> {
    let (rules, capacity) = rows.windows()?;
    let intervals: Vec<Interval> = days.iter().map(|day| day.interval()).collect();
    let claims = rows.around_many(&intervals, &[], &[])?;
    let calendar = Rules { capacity, rules, claims };
    let one = |day: &UtcDay| DayRange { from: *day, until: UtcDay(day.0 + 1) };
    Ok(days.iter().flat_map(|day| project(&calendar, now, one(day), version)).collect())
}

/// The days of these blocks that are projected.
fn days_of(now: i64, blocks: impl Iterator<Item = Interval>) -> BTreeSet<UtcDay> {
    let horizon = Rows::horizon(now);
    blocks.flat_map(|block| block.days().iter()).filter(|day| *day < horizon).collect()
}

pub fn hold_many(rows: &Rows, now: i64, call: HoldMany) -> Result<HoldManyReply> {
    let calendar = load_many(rows, &call.specs)?;
    match calendar.hold_all(now, &call.specs, call.expires_at) {
        Ok((claims, changes)) => {
            let version = if changes.is_empty() {
                rows.meta()?.version
            } else {
                rows.apply(now, &changes, &stores(&calendar.rules))?
            };
            for claim in &claims {
                rows.note_run(&claim.spec.id, &call.run)?;
            }
            let touched = days_of(now, claims.iter().map(|claim| claim.spec.block));
            let days = project_rows(rows, now, &touched, version)?;
            Ok(HoldManyReply::Held { claims, days })
        }
        Err(refusals) => Ok(HoldManyReply::Refused { refusals }),
    }
}

pub fn check_many(rows: &Rows, now: i64, call: CheckMany) -> Result<CheckManyReply> {
    let calendar = load_many(rows, &call.specs)?;
    let refusals = calendar.hold_all(now, &call.specs, call.expires_at).err().unwrap_or_default();
    Ok(CheckManyReply { refusals })
}

pub fn free_days(rows: &Rows, now: i64, call: FreeDays) -> Result<Vec<ProjectedDay>> {
    bounded(call.days.len())?;
    let days: BTreeSet<UtcDay> = call.days.into_iter().collect();
    let mut days = project_rows(rows, now, &days, rows.meta()?.version)?;
    days.retain(|day| day.store_id == call.store_id);
    Ok(days)
}

pub fn confirm_many(rows: &Rows, now: i64, call: ConfirmMany) -> Result<ConfirmManyReply> {
    rows.forget_days(&call.written)?;
    let mut calendar = load_many(rows, &call.specs)?;
    let (mut outcomes, mut all, mut free_changes) = (Vec::new(), Vec::new(), false);
    for spec in &call.specs {
        let (outcome, changes) = calendar.confirm(now, spec);
        let live = calendar.claim(&spec.id).is_some_and(|claim| claim.is_live(now));
        free_changes |= !changes.is_empty() && (!spec.replaces.is_empty() || !live);
        calendar.apply(&changes);
        outcomes.push(outcome);
        all.extend(changes);
    }
    // Making live holds last changes nobody's free time: nothing to project.
    if !free_changes {
        if !all.is_empty() {
            rows.apply(now, &all, &[])?;
        }
        return Ok(ConfirmManyReply { outcomes, days: Vec::new() });
    }
    let version = rows.apply(now, &all, &stores(&calendar.rules))?;
    let days = project_rows(rows, now, &days_of(now, all.iter().map(Change::span)), version)?;
    Ok(ConfirmManyReply { outcomes, days })
}

pub fn release_many(rows: &Rows, now: i64, call: ReleaseMany) -> Result<ReleaseReply> {
    bounded(call.claim_ids.len())?;
    let ids: Vec<&str> = call.claim_ids.iter().map(String::as_str).collect();
    let (rules, capacity) = rows.windows()?;
    let calendar = Rules { capacity, rules, claims: rows.around_many(&[], &ids, &[])? };
    let changes: Vec<Change> = ids.iter().flat_map(|id| calendar.release(id)).collect();
    if changes.is_empty() {
        return Ok(ReleaseReply { released: false, days: Vec::new() });
    }
    let version = rows.apply(now, &changes, &stores(&calendar.rules))?;
    let days = project_rows(rows, now, &days_of(now, changes.iter().map(Change::span)), version)?;
    Ok(ReleaseReply { released: true, days })
}

pub fn give_back_many(rows: &Rows, now: i64, call: GiveBackMany) -> Result<ReleaseReply> {
    bounded(call.claim_ids.len())?;
    let mut claim_ids = Vec::new();
    for id in call.claim_ids {
        if rows.forget_run(&id, &call.run)? {
            claim_ids.push(id);
        }
    }
    release_many(rows, now, ReleaseMany { claim_ids })
}

/// The projected days of every block that changed. A move's two blocks may lie weeks apart, so each is
/// looked at with the claims around it.
fn touched(
    rows: &Rows,
    calendar: &Rules,
    now: i64,
    changes: &[Change],
    version: i64,
) -> Result<Vec<ProjectedDay>> {
    let mut days: Vec<ProjectedDay> = Vec::new();
    for change in changes {
        let range = change.span().days();
        let whole = range.interval().unwrap_or_else(|| change.span());
        let part = Rules {
            capacity: calendar.capacity,
            rules: calendar.rules.clone(),
            claims: rows.around(whole, &[], "")?,
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
        WindowEdit::Only(interval) => rules.only = Some(interval),
    }
}

pub fn set_windows(rows: &Rows, now: i64, call: SetWindows) -> Result<SetWindowsReply> {
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
    // What belongs to no store is projected nowhere, and has nothing to look ahead for.
    if !all_stores.is_empty() {
        rows.set_projected_until(days.until)?;
    }
    (calendar.rules, calendar.capacity) = (rules, capacity);
    let days = all_stores
        .iter()
        .flat_map(|store_id| {
            days.iter().map(|day| {
                ProjectedDay::of(store_id, day, calendar.day(now, store_id, day), version)
            })
        })
        .collect();
    Ok(SetWindowsReply::Set { days, kept: stranded })
}

pub fn windows(rows: &Rows, _now: i64, _call: Windows) -> Result<WindowsReply> {
    let (rules, capacity) = rows.windows()?;
    Ok(WindowsReply { capacity, rules })
}

pub fn free(rows: &Rows, now: i64, call: Free) -> Result<FreeReply> {
    let until = UtcDay(call.days.until.0.min(call.days.from.0 + HORIZON_DAYS + 1));
    let days = DayRange { from: call.days.from, until };
    let Some(interval) = days.interval() else {
        let version = rows.meta()?.version;
        return Ok(FreeReply { days: Vec::new(), pending: Vec::new(), version });
    };
    // A hold that has expired is free before the alarm says so: what is answered has a version of its
    // own.
    rows.sweep(now, &stores(&rows.windows()?.0))?;
    let version = rows.meta()?.version;
    let calendar = load(rows, interval, &[], "")?;
    let pending = rows.pending_days()?;
    Ok(FreeReply { days: project(&calendar, now, days, version), pending, version })
}

pub fn claims(rows: &Rows, now: i64, call: Claims) -> Result<ClaimsReply> {
    let (claims, more) = rows.page(now, call.interval, call.after.as_ref())?;
    let (_, capacity) = rows.windows()?;
    Ok(ClaimsReply { claims, more, capacity })
}

/// What must be sent to D1 by now, as it is now.
pub fn due_days(rows: &Rows, now: i64) -> Result<Vec<ProjectedDay>> {
    let due = rows.due_days(now)?;
    let (rules, capacity) = rows.windows()?;
    let version = rows.meta()?.version;
    due.into_iter()
        .map(|(store_id, day, _)| {
            let calendar = Rules {
                capacity,
                rules: rules.clone(),
                claims: rows.around(day.interval(), &[], "")?,
            };
            Ok(ProjectedDay::of(&store_id, day, calendar.day(now, &store_id, day), version))
        })
        .collect()
}
