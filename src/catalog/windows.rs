//! Working windows: weekly patterns, dates of their own, times off.
//!
//! The technician's calendar object keeps them and decides whether a change strands an appointment;
//! this side checks who may change what, and copies the free days of the reply to D1. What the object
//! in its turn must know of D1 (stores, capacity, holidays) goes there by [`sync`].

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zhundian_domain::calendar::Claim;
use zhundian_domain::time::{Interval, LocalInstant, TICKS_PER_DAY, Tick, date_at, local_instant};
use zhundian_domain::working::{
    DateOverride, MAX_HOLIDAYS, MAX_OVERRIDES, MAX_TIMES_OFF, MAX_WEEKLY_PATTERNS, MinuteRange,
    TimeOff, Week, WeeklyPattern, WorkingRules,
};
use zhundian_domain::zone::Zone;
use zhundian_durable_objects::calls::{
    SetWindows, SetWindowsReply, WindowEdit, Windows, WindowsReply,
};

use super::fields::{Ranges, WeekHours, clock_ranges, minute_ranges};
use super::queries;
use super::record::{
    Appointment, AppointmentRow, appointments_json, require_in_any, require_in_each,
};
use super::services::Status;
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, PathIdAnd, Query};
use crate::http::fields::{At, Date, Id, Instant, Text};
use crate::http::respond::Created;
use crate::http::{Ctx, Json};
use crate::outbox::{self, Row};

/// The longest time off.
const MAX_TIME_OFF_DAYS: i64 = 366;
/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;
/// Days after which rules of the past may be forgotten.
const KEPT_DAYS: u64 = 7;
/// Times that a calendar is told again because D1 has changed meanwhile.
const SYNC_TRIES: u32 = 4;

/// What a technician's calendar must know of D1.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Known {
    capacity: u16,
    /// Of a technician.
    status: Option<Status>,
    stores: Vec<KnownStore>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct KnownStore {
    id: Id,
    zone: Zone,
    holidays: Vec<NaiveDate>,
}

impl Known {
    async fn load(ctx: &Ctx, technician: &Id) -> Answer<Self> {
        let statement = queries::calendar_of(technician.as_str(), holidays_since(ctx)?);
        ctx.db()?.first(statement).await?.ok_or_else(|| Code::NotFound.into())
    }

    fn store_ids(&self) -> Vec<Id> {
        self.stores.iter().map(|store| store.id.clone()).collect()
    }

    /// What the object is told; `always` for what is there whenever its store is: a room has no shifts.
    fn edits(&self, always: bool) -> Vec<WindowEdit> {
        let zones: BTreeMap<_, _> =
            self.stores.iter().map(|store| (store.id.to_string(), store.zone)).collect();
        let holidays = self.stores.iter().map(|store| WindowEdit::Holidays {
            store_id: store.id.to_string(),
            dates: store.holidays.clone(),
        });
        let first = [WindowEdit::Stores(zones), WindowEdit::Capacity(self.capacity)];
        let stores = self.stores.iter().filter(|_| always);
        let whole_days = stores.map(|store| {
            WindowEdit::Weekly(WeeklyPattern {
                store_id: store.id.to_string(),
                valid_from: NaiveDate::default(),
                week: Week(std::array::from_fn(|_| {
                    MinuteRange::new(0, DAY_MINUTES).into_iter().collect()
                })),
            })
        });
        first.into_iter().chain(holidays).chain(whole_days).collect()
    }

    /// The zone in which a technician's own times are told: their first store's.
    fn zone(&self) -> Zone {
        self.stores.first().map_or(Zone::UTC, |store| store.zone)
    }
}

/// The first date whose holidays still matter: yesterday on any clock.
pub(super) fn holidays_since(ctx: &Ctx) -> Answer<NaiveDate> {
    let today = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
    Ok(today - Days::new(2))
}

/// Tells a calendar object the stores (none for what is retired), capacity and holidays that D1 says, and
/// writes the free days that follow. May be repeated at any time.
///
/// # Errors
/// 503 when the object or D1 does not answer.
pub async fn sync(ctx: &Ctx, calendar: &str) -> Answer<()> {
    let statement = queries::calendar(calendar, holidays_since(ctx)?);
    let Some(mut known): Option<Known> = ctx.db()?.first(statement.clone()).await? else {
        return Ok(());
    };
    let always = !calendar.starts_with("technician:");
    for _ in 0..SYNC_TRIES {
        let call =
            SetWindows { edits: known.edits(always), keep_appointments: true, dry_run: false };
        let days = match ctx.calendars().call(calendar, &call).await? {
            SetWindowsReply::Set { days, .. } => days,
            refused => return Err(Problem::internal(format!("{calendar}: {refused:?}"))),
        };
        // Of two that run at once, the one with the older rows may come second; so it looks again.
        let mut batch = vec![statement.clone()];
        if !days.is_empty() {
            batch.push(calendars::write_days(calendar, &days)?);
        }
        let current: Option<Known> = ctx.db()?.batch(batch).await?.first(0)?;
        match current {
            Some(current) if current != known => known = current,
            _ => return Ok(()),
        }
    }
    Err(Problem::unavailable(format!("{calendar}: its rows keep changing")))
}

/// Runs [`sync`] for an outbox row that has just been committed. What fails, the outbox tries again.
pub(super) async fn sync_now(ctx: &Ctx, calendar: &str, row: Row) {
    let done = async {
        sync(ctx, calendar).await?;
        ctx.db()?.batch(vec![queries::delivered(&row.id)]).await?;
        Ok::<_, Problem>(())
    };
    if done.await.is_err() {
        outbox::deliver_soon(ctx, vec![row]).await;
    }
}

/// What a change of working time did.
#[derive(Serialize, ToSchema)]
pub struct WindowsChanged {
    /// Appointments that now lie outside working time and were kept where they are.
    pub appointments: Vec<Appointment>,
}

/// The lines whose time these claims take.
async fn rows_of(ctx: &Ctx, claims: &[Claim]) -> Answer<Vec<AppointmentRow>> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = claims.iter().map(|claim| claim.spec.id.as_str()).collect();
    let ids = serde_json::to_string(&ids).map_err(Problem::internal)?;
    Ok(ctx.db()?.read(vec![queries::appointments_by_claim(&ids)]).await?.all(0)?)
}

/// The answer to a change that was made.
pub(super) async fn changed(ctx: &Ctx, kept: &[Claim]) -> Answer<WindowsChanged> {
    let rows = rows_of(ctx, kept).await?;
    Ok(WindowsChanged { appointments: rows.into_iter().map(Appointment::from).collect() })
}

/// The answer to a change that was refused.
pub(super) async fn stranded(ctx: &Ctx, claims: &[Claim]) -> Problem {
    let json = match rows_of(ctx, claims).await {
        Ok(rows) => appointments_json(rows),
        Err(problem) => return problem,
    };
    match json {
        Ok(json) => Problem::from(Code::AppointmentsStranded).and("appointments", json),
        Err(problem) => problem,
    }
}

/// The answer to a change by which a list would grow past its limit.
pub(super) fn too_many(what: &str) -> Problem {
    let limit = match what {
        "weekly" => MAX_WEEKLY_PATTERNS,
        "overrides" => MAX_OVERRIDES,
        "times_off" => MAX_TIMES_OFF,
        _ => MAX_HOLIDAYS,
    };
    Problem::from(Code::TooManyItems).with(limit).at(what)
}

/// Edits that take away what no longer says anything: of the past, or followed by a later pattern.
fn outdated(rules: &WorkingRules, before: NaiveDate, before_ms: i64) -> Vec<WindowEdit> {
    let followed = |pattern: &&WeeklyPattern| {
        rules.weekly.iter().any(|later| {
            later.store_id == pattern.store_id
                && later.valid_from > pattern.valid_from
                && later.valid_from < before
        })
    };
    let weekly = rules.weekly.iter().filter(followed).map(|pattern| WindowEdit::RemoveWeekly {
        store_id: pattern.store_id.clone(),
        valid_from: pattern.valid_from,
    });
    let dates = rules.overrides.iter().filter(|only| only.date < before);
    let dates = dates.map(|only| WindowEdit::RemoveOverride {
        store_id: only.store_id.clone(),
        date: only.date,
    });
    let off = rules.times_off.iter().filter(|off| off.interval.end.ms() < before_ms);
    let off = off.map(|off| WindowEdit::RemoveTimeOff { id: off.id.clone() });
    weekly.chain(dates).chain(off).collect()
}

/// Makes one edit in a technician's calendar.
async fn apply(ctx: &Ctx, technician: &Id, edit: WindowEdit, keep: bool) -> Answer<WindowsChanged> {
    let calendar = calendars::technician(technician);
    let calls = ctx.calendars();
    let mut call = SetWindows { edits: vec![edit], keep_appointments: keep, dry_run: false };
    let mut reply = calls.call(&calendar, &call).await?;
    if matches!(reply, SetWindowsReply::TooMany { .. }) {
        let known = calls.call(&calendar, &Windows {}).await?;
        let today = date_at(Zone::UTC, ctx.now).ok_or(Code::Internal)?;
        let before_ms = ctx.now - KEPT_DAYS as i64 * zhundian_domain::time::DAY_MS;
        let mut edits = outdated(&known.rules, today - Days::new(KEPT_DAYS), before_ms);
        if !edits.is_empty() {
            edits.append(&mut call.edits);
            call.edits = edits;
            reply = calls.call(&calendar, &call).await?;
        }
    }
    match reply {
        SetWindowsReply::Set { days, kept } => {
            if !days.is_empty() {
                // The change stands whatever D1 says, and the object itself repeats what is lost here.
                let _ = ctx.db()?.batch(vec![calendars::write_days(&calendar, &days)?]).await;
            }
            changed(ctx, &kept).await
        }
        SetWindowsReply::Stranded { claims } => Err(stranded(ctx, &claims).await),
        SetWindowsReply::TooMany { what } => Err(too_many(&what)),
    }
}

async fn rules(ctx: &Ctx, technician: &Id) -> Answer<WindowsReply> {
    ctx.calendars().call(&calendars::technician(technician), &Windows {}).await
}

/// Requires that the caller may set a technician's working time in a store.
async fn require_store(ctx: &Ctx, staff: &Staff, technician: &Id, store: &Id) -> Answer<()> {
    let known = Known::load(ctx, technician).await?;
    staff.require(Permission::ScheduleWrite, store)?;
    if known.status == Some(Status::Retired) {
        return Err(Code::Retired.into());
    }
    if known.stores.iter().any(|known| known.id == *store) {
        Ok(())
    } else {
        Err(Problem::from(Code::UnknownStore).at("store_id"))
    }
}

/// A weekly pattern in one store.
#[derive(Serialize, ToSchema)]
pub struct WeeklyWindows {
    /// Where.
    pub store_id: String,
    /// Until a later one of that store takes over.
    pub valid_from: Date,
    /// Working time on the store's clock.
    pub week: WeekHours,
}

/// A date's working time in one store, in place of the weekly pattern.
#[derive(Serialize, ToSchema)]
pub struct DateWindows {
    /// Where.
    pub store_id: String,
    /// When.
    pub date: Date,
    /// None means that it is not worked.
    pub ranges: Ranges,
}

/// Time off in every store.
#[derive(Serialize, ToSchema)]
pub struct TimeOffWindow {
    /// Its id.
    pub id: String,
    /// From.
    pub start_at: At,
    /// Until.
    pub end_at: At,
    /// For the staff's eyes.
    pub reason: String,
}

/// A date on which a store is closed.
#[derive(Serialize, ToSchema)]
pub struct ClosedDate {
    /// The store.
    pub store_id: String,
    /// The date.
    pub date: Date,
}

/// When a technician works.
#[derive(Serialize, ToSchema)]
pub struct TechnicianWindows {
    /// Customers at the same time.
    pub capacity: u16,
    /// By store and first date.
    pub weekly: Vec<WeeklyWindows>,
    /// By date.
    pub overrides: Vec<DateWindows>,
    /// By start.
    pub times_off: Vec<TimeOffWindow>,
    /// Of the technician's stores.
    pub holidays: Vec<ClosedDate>,
}

/// When a technician works
#[utoipa::path(
    get, path = "/api/v1/admin/technicians/{id}/windows", tag = "catalog", operation_id = "get_windows",
    params(("id" = Id, Path, description = "The technician")),
    responses((status = 200, description = "As the calendar keeps it", body = TechnicianWindows)),
)]
pub(super) async fn get(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<TechnicianWindows>> {
    let known = Known::load(&ctx, &id).await?;
    require_in_any(&staff, Permission::ScheduleWrite, &known.store_ids())?;
    let WindowsReply { capacity, mut rules } = rules(&ctx, &id).await?;
    let zone = known.zone();
    rules.weekly.sort_by(|a, b| (&a.store_id, a.valid_from).cmp(&(&b.store_id, b.valid_from)));
    rules.overrides.sort_by(|a, b| (a.date, &a.store_id).cmp(&(b.date, &b.store_id)));
    rules.times_off.sort_by_key(|off| off.interval.start);
    let weekly = rules.weekly.into_iter().map(|it| WeeklyWindows {
        store_id: it.store_id,
        valid_from: Date(it.valid_from),
        week: WeekHours::from(&it.week),
    });
    let overrides = rules.overrides.into_iter().map(|it| DateWindows {
        store_id: it.store_id,
        date: Date(it.date),
        ranges: clock_ranges(&it.ranges),
    });
    let times_off = rules.times_off.into_iter().map(|it| TimeOffWindow {
        id: it.id,
        start_at: At::new(zone, it.interval.start.ms()),
        end_at: At::new(zone, it.interval.end.ms()),
        reason: it.reason,
    });
    let holidays = rules.holidays.into_iter();
    let holidays = holidays.map(|(store_id, date)| ClosedDate { store_id, date: Date(date) });
    Ok(Json(TechnicianWindows {
        capacity,
        weekly: weekly.collect(),
        overrides: overrides.collect(),
        times_off: times_off.collect(),
        holidays: holidays.collect(),
    }))
}

/// A weekly pattern to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetWeekly {
    /// Where.
    store_id: Id,
    /// The first date on which it holds.
    valid_from: Date,
    /// Working time on the store's clock.
    week: WeekHours,
    /// Leave appointments where they are that fall outside.
    #[serde(default)]
    keep_appointments: bool,
}

/// Set a weekly pattern
///
/// In place of that store's pattern with the same first date.
#[utoipa::path(
    put, path = "/api/v1/admin/technicians/{id}/windows/weekly", tag = "catalog", operation_id = "set_weekly_windows",
    params(("id" = Id, Path, description = "The technician")),
    request_body = SetWeekly,
    responses((status = 200, description = "Set", body = WindowsChanged)),
)]
pub(super) async fn set_weekly(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<SetWeekly>,
) -> Answer<Json<WindowsChanged>> {
    require_store(&ctx, &staff, &id, &body.store_id).await?;
    let pattern = WeeklyPattern {
        store_id: body.store_id.to_string(),
        valid_from: body.valid_from.0,
        week: body.week.week("week")?,
    };
    apply(&ctx, &id, WindowEdit::Weekly(pattern), body.keep_appointments).await.map(Json)
}

/// Which weekly pattern to take away.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveWeekly {
    /// Its store.
    #[param(inline)]
    store_id: Id,
    /// Its first date.
    #[param(inline)]
    valid_from: Date,
    /// Leave appointments where they are that fall outside.
    #[serde(default)]
    keep_appointments: bool,
}

/// Take a weekly pattern away
#[utoipa::path(
    delete, path = "/api/v1/admin/technicians/{id}/windows/weekly", tag = "catalog", operation_id = "remove_weekly_windows",
    params(("id" = Id, Path, description = "The technician"), RemoveWeekly),
    responses((status = 200, description = "Gone", body = WindowsChanged)),
)]
pub(super) async fn remove_weekly(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Query(query): Query<RemoveWeekly>,
) -> Answer<Json<WindowsChanged>> {
    let _ = Known::load(&ctx, &id).await?;
    staff.require(Permission::ScheduleWrite, &query.store_id)?;
    let (store_id, valid_from) = (query.store_id.to_string(), query.valid_from.0);
    let known = rules(&ctx, &id).await?.rules.weekly;
    if !known.iter().any(|it| it.store_id == store_id && it.valid_from == valid_from) {
        return Err(Code::NotFound.into());
    }
    let edit = WindowEdit::RemoveWeekly { store_id, valid_from };
    apply(&ctx, &id, edit, query.keep_appointments).await.map(Json)
}

/// A date's working time to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDate {
    /// Where.
    store_id: Id,
    /// On the store's clock; none for not working.
    ranges: Ranges,
    /// Leave appointments where they are that fall outside.
    #[serde(default)]
    keep_appointments: bool,
}

/// Set a date's working time
///
/// In place of the weekly pattern.
#[utoipa::path(
    put, path = "/api/v1/admin/technicians/{id}/windows/dates/{date}", tag = "catalog", operation_id = "set_date_windows",
    params(
        ("id" = Id, Path, description = "The technician"),
        ("date" = Date, Path, description = "The store's date"),
    ),
    request_body = SetDate,
    responses((status = 200, description = "Set", body = WindowsChanged)),
)]
pub(super) async fn set_date(
    ctx: Ctx,
    staff: Staff,
    PathIdAnd(id, date): PathIdAnd<Date>,
    Body(body): Body<SetDate>,
) -> Answer<Json<WindowsChanged>> {
    require_store(&ctx, &staff, &id, &body.store_id).await?;
    let only = DateOverride {
        store_id: body.store_id.to_string(),
        date: date.0,
        ranges: minute_ranges(&body.ranges, "ranges")?,
    };
    apply(&ctx, &id, WindowEdit::Override(only), body.keep_appointments).await.map(Json)
}

/// Which store's date to give back to the weekly pattern.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveDate {
    /// The store.
    #[param(inline)]
    store_id: Id,
    /// Leave appointments where they are that fall outside.
    #[serde(default)]
    keep_appointments: bool,
}

/// Give a date back to the weekly pattern
#[utoipa::path(
    delete, path = "/api/v1/admin/technicians/{id}/windows/dates/{date}", tag = "catalog", operation_id = "remove_date_windows",
    params(
        ("id" = Id, Path, description = "The technician"),
        ("date" = Date, Path, description = "The store's date"),
        RemoveDate,
    ),
    responses((status = 200, description = "Gone", body = WindowsChanged)),
)]
pub(super) async fn remove_date(
    ctx: Ctx,
    staff: Staff,
    PathIdAnd(id, date): PathIdAnd<Date>,
    Query(query): Query<RemoveDate>,
) -> Answer<Json<WindowsChanged>> {
    let _ = Known::load(&ctx, &id).await?;
    staff.require(Permission::ScheduleWrite, &query.store_id)?;
    let (store_id, date) = (query.store_id.to_string(), date.0);
    let known = rules(&ctx, &id).await?.rules.overrides;
    if !known.iter().any(|it| it.store_id == store_id && it.date == date) {
        return Err(Code::NotFound.into());
    }
    let edit = WindowEdit::RemoveOverride { store_id, date };
    apply(&ctx, &id, edit, query.keep_appointments).await.map(Json)
}

/// A time off to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddTimeOff {
    /// From; without an offset as the technician's stores' clock shows it.
    start_at: Instant,
    /// Until; at most 366 days later.
    end_at: Instant,
    /// For the staff's eyes.
    #[serde(default)]
    reason: Text<0, 200>,
    /// Leave appointments where they are that fall into it.
    #[serde(default)]
    keep_appointments: bool,
}

/// A time off that was added.
#[derive(Serialize, ToSchema)]
pub struct TimeOffAdded {
    /// Its id.
    pub id: Id,
    /// Appointments that fall into it and were kept where they are.
    pub appointments: Vec<Appointment>,
}

/// The tick of an instant; one without an offset is told by the clock of all the stores, if they show
/// the same.
fn tick(instant: Instant, stores: &[KnownStore], field: &str) -> Answer<Tick> {
    let ms = match instant {
        Instant::Offset { ms, .. } => ms,
        Instant::Local(local) => {
            let zone = stores.first().map(|store| store.zone);
            let same = stores.iter().all(|store| Some(store.zone) == zone);
            let zone = zone.filter(|_| same);
            let zone = zone.ok_or_else(|| Problem::from(Code::InvalidInstant).at(field))?;
            match local_instant(zone, local) {
                LocalInstant::Once(ms) => ms,
                LocalInstant::Twice(..) => {
                    return Err(Problem::from(Code::StartAmbiguous).at(field));
                }
                LocalInstant::Skipped => return Err(Problem::from(Code::StartSkipped).at(field)),
            }
        }
    };
    Tick::from_ms(ms).ok_or_else(|| Problem::from(Code::OffGrid).at(field))
}

/// Add a time off
///
/// In every store of the technician, so the permission is needed in each of them.
#[utoipa::path(
    post, path = "/api/v1/admin/technicians/{id}/windows/times-off", tag = "catalog", operation_id = "add_time_off",
    params(("id" = Id, Path, description = "The technician")),
    request_body = AddTimeOff,
    responses((status = 201, description = "Added", body = TimeOffAdded)),
)]
pub(super) async fn add_time_off(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(body): Body<AddTimeOff>,
) -> Answer<Created<TimeOffAdded>> {
    let known = Known::load(&ctx, &id).await?;
    require_in_each(&staff, Permission::ScheduleWrite, &known.store_ids())?;
    if known.status == Some(Status::Retired) {
        return Err(Code::Retired.into());
    }
    let start = tick(body.start_at, &known.stores, "start_at")?;
    let end = tick(body.end_at, &known.stores, "end_at")?;
    let interval =
        Interval::new(start, end).ok_or_else(|| Problem::from(Code::InvalidRange).at("end_at"))?;
    if interval.ticks() > MAX_TIME_OFF_DAYS * TICKS_PER_DAY {
        let range = format!("1..{MAX_TIME_OFF_DAYS} d");
        return Err(Problem::from(Code::OutOfRange).with(range).at("end_at"));
    }
    let off_id = ctx.new_id()?;
    let reason = body.reason.as_str().to_owned();
    let off = TimeOff { id: off_id.to_string(), interval, reason };
    let done = apply(&ctx, &id, WindowEdit::TimeOff(off), body.keep_appointments).await?;
    Ok(Created(TimeOffAdded { id: off_id, appointments: done.appointments }))
}

/// Take a time off away
#[utoipa::path(
    delete, path = "/api/v1/admin/technicians/{id}/windows/times-off/{time_off_id}", tag = "catalog", operation_id = "remove_time_off",
    params(
        ("id" = Id, Path, description = "The technician"),
        ("time_off_id" = Id, Path, description = "The time off"),
    ),
    responses((status = 200, description = "Gone", body = WindowsChanged)),
)]
pub(super) async fn remove_time_off(
    ctx: Ctx,
    staff: Staff,
    PathIdAnd(id, off): PathIdAnd<Id>,
) -> Answer<Json<WindowsChanged>> {
    let known = Known::load(&ctx, &id).await?;
    require_in_each(&staff, Permission::ScheduleWrite, &known.store_ids())?;
    let off = off.to_string();
    if !rules(&ctx, &id).await?.rules.times_off.iter().any(|known| known.id == off) {
        return Err(Code::NotFound.into());
    }
    apply(&ctx, &id, WindowEdit::RemoveTimeOff { id: off }, false).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outdated_says_nothing_of_the_future() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let pattern = |store: &str, from: &str| WeeklyPattern {
            store_id: store.into(),
            valid_from: date(from),
            week: zhundian_domain::working::Week::default(),
        };
        let only =
            |on: &str| DateOverride { store_id: "a".into(), date: date(on), ranges: Vec::new() };
        let rules = WorkingRules {
            weekly: vec![
                pattern("a", "2026-01-01"),
                pattern("a", "2026-03-01"),
                pattern("a", "2026-12-01"),
                pattern("b", "2026-01-01"),
            ],
            overrides: vec![only("2026-05-31"), only("2026-06-01")],
            ..WorkingRules::default()
        };
        let edits = outdated(&rules, date("2026-06-01"), 0);
        let json = serde_json::to_value(edits).unwrap();
        assert_eq!(
            json,
            serde_json::json!([
                {"remove_weekly": {"store_id": "a", "valid_from": "2026-01-01"}},
                {"remove_override": {"store_id": "a", "date": "2026-05-31"}},
            ])
        );
    }
}
