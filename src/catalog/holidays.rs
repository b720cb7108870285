//! Store holidays. D1 keeps them; every calendar of the store's technicians knows them too.
//!
//! Putting one is tried on every calendar before it is done on any, done on all, and put back when one
//! refuses after all. D1 comes last, and with it outbox rows that tell each calendar what D1 says: what
//! ran at the same time is put right by them, what broke off halfway by the audit.

use chrono::{Days, NaiveDate};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::time::date_at;
use zhundian_domain::working::{MAX_HOLIDAYS, MAX_STORES};
use zhundian_durable_objects::calls::{SetWindows, SetWindowsReply, WindowEdit};

use super::queries;
use super::record::{Record as _, Table};
use super::stores::Store;
use super::windows::{self, WindowsChanged};
use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, PathId, PathIdAnd};
use crate::http::fields::{Date, Id, Name};
use crate::http::page::Page;
use crate::http::{Ctx, Json};

/// Furthest ahead.
const MAX_DAYS_AHEAD: u64 = 400;
/// Holidays of one store still to come, so that a technician's calendar has room for all its stores'.
const MAX_PER_STORE: usize = MAX_HOLIDAYS / MAX_STORES;
/// Calendars called at the same time.
const AT_ONCE: usize = 8;

/// A date on which a store is closed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Holiday {
    /// The store's date.
    pub date: Date,
    /// What it is.
    pub name: String,
}

/// A holiday to put.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutHoliday {
    /// What it is.
    name: Name,
    /// Leave appointments of that date where they are.
    #[serde(default)]
    keep_appointments: bool,
}

/// A store whose holidays are to change.
struct Changing {
    store_id: Id,
    today: NaiveDate,
    dates: Vec<NaiveDate>,
    technicians: Vec<Id>,
}

impl Changing {
    async fn load(ctx: &Ctx, staff: &Staff, store_id: Id) -> Answer<Self> {
        let since = windows::holidays_since(ctx)?;
        let statements = vec![
            queries::record(Table::Store, &store_id),
            queries::holidays(&store_id, since, None),
            queries::technicians_of(&store_id),
        ];
        let rows = ctx.db()?.read(statements).await?;
        let store: Store = rows.first(0)?.ok_or(Code::NotFound)?;
        staff.require(Permission::ScheduleWrite, &store_id)?;
        if store.is_retired() {
            return Err(Code::Retired.into());
        }
        let today = date_at(store.zone()?, ctx.now).ok_or(Code::Internal)?;
        let dates = rows.all::<Holiday>(1)?.into_iter().map(|holiday| holiday.date.0).collect();
        Ok(Self { store_id, today, dates, technicians: rows.all(2)? })
    }

    /// Tells every calendar these dates.
    async fn tell(
        &self,
        ctx: &Ctx,
        dates: &[NaiveDate],
        keep_appointments: bool,
        dry_run: bool,
    ) -> Vec<Answer<SetWindowsReply>> {
        let store_id = self.store_id.to_string();
        let edit = WindowEdit::Holidays { store_id, dates: dates.to_vec() };
        let call = &SetWindows { edits: vec![edit], keep_appointments, dry_run };
        let mut replies = Vec::new();
        for some in self.technicians.chunks(AT_ONCE) {
            let calls = some.iter().map(|technician| tell_one(ctx, technician, call));
            replies.extend(join_all(calls).await);
        }
        replies
    }

    /// Makes `dates` the store's holidays in every calendar, then in D1 by `statement`.
    async fn apply(
        &self,
        ctx: &Ctx,
        dates: &[NaiveDate],
        keep: bool,
        statement: Statement,
    ) -> Answer<WindowsChanged> {
        if !keep {
            let dry = self.tell(ctx, dates, false, true).await;
            if let Some(problem) = refusal(ctx, &dry).await {
                return Err(problem);
            }
        }
        let replies = self.tell(ctx, dates, keep, false).await;
        if let Some(problem) = refusal(ctx, &replies).await {
            self.tell(ctx, &self.dates, true, false).await;
            return Err(problem);
        }
        let mut batch = vec![statement];
        let mut all_kept = Vec::new();
        for (technician, reply) in self.technicians.iter().zip(replies) {
            if let Ok(SetWindowsReply::Set { days, kept }) = reply {
                if !days.is_empty() {
                    batch.push(calendars::write_days(&calendars::technician(technician), &days)?);
                }
                all_kept.extend(kept);
            }
        }
        batch.push(queries::sync_technicians_of(&self.store_id, ctx.now));
        ctx.db()?.batch(batch).await?;
        windows::changed(ctx, &all_kept).await
    }
}

async fn tell_one(ctx: &Ctx, technician: &Id, call: &SetWindows) -> Answer<SetWindowsReply> {
    ctx.calendars().call(&calendars::technician(technician), call).await
}

/// Why the calendars do not all agree, if they do not.
async fn refusal(ctx: &Ctx, replies: &[Answer<SetWindowsReply>]) -> Option<Problem> {
    let mut stranded = Vec::new();
    let mut is_stranded = false;
    for reply in replies {
        match reply {
            Ok(SetWindowsReply::Set { .. }) => {}
            Ok(SetWindowsReply::Stranded { claims }) => {
                is_stranded = true;
                stranded.extend(claims.iter().cloned());
            }
            Ok(SetWindowsReply::TooMany { what }) => return Some(windows::too_many(what)),
            Err(problem) => return Some(problem.clone()),
        }
    }
    if is_stranded { Some(windows::stranded(ctx, &stranded).await) } else { None }
}

/// A store's holidays
#[utoipa::path(
    get, path = "/api/v1/admin/stores/{id}/holidays", tag = "catalog", operation_id = "list_holidays",
    params(("id" = Id, Path, description = "The store")),
    responses((status = 200, description = "From today on, by date, in one page", body = Page<Holiday>)),
)]
pub async fn list(ctx: Ctx, staff: Staff, PathId(id): PathId) -> Answer<Json<Page<Holiday>>> {
    let today = Store::today(&ctx, &id).await?;
    staff.require(Permission::ScheduleWrite, &id)?;
    let statement = queries::holidays(&id, today, None);
    let items = ctx.db()?.read(vec![statement]).await?.all(0)?;
    Ok(Json(Page { items, next_cursor: None }))
}

/// Put a holiday
#[utoipa::path(
    put, path = "/api/v1/admin/stores/{id}/holidays/{date}", tag = "catalog", operation_id = "put_holiday",
    params(
        ("id" = Id, Path, description = "The store"),
        ("date" = Date, Path, description = "The store's date, at most 400 days ahead"),
    ),
    request_body = PutHoliday,
    responses((status = 200, description = "Put", body = WindowsChanged)),
)]
pub async fn put(
    ctx: Ctx,
    staff: Staff,
    PathIdAnd(id, Date(date)): PathIdAnd<Date>,
    Body(body): Body<PutHoliday>,
) -> Answer<Json<WindowsChanged>> {
    let store = Changing::load(&ctx, &staff, id).await?;
    let last = store.today + Days::new(MAX_DAYS_AHEAD);
    if !(store.today..=last).contains(&date) {
        let range = format!("{}..{last}", store.today);
        return Err(Problem::from(Code::OutOfRange).with(range).at("date"));
    }
    let mut dates = store.dates.clone();
    if !dates.contains(&date) {
        dates.push(date);
    }
    if dates.len() > MAX_PER_STORE {
        return Err(Problem::from(Code::TooManyItems).with(MAX_PER_STORE).at("date"));
    }
    let statement = queries::put_holiday(&store.store_id, date, body.name.as_str());
    store.apply(&ctx, &dates, body.keep_appointments, statement).await.map(Json)
}

/// Take a holiday away
#[utoipa::path(
    delete, path = "/api/v1/admin/stores/{id}/holidays/{date}", tag = "catalog", operation_id = "remove_holiday",
    params(
        ("id" = Id, Path, description = "The store"),
        ("date" = Date, Path, description = "The store's date"),
    ),
    responses((status = 200, description = "Gone", body = WindowsChanged)),
)]
pub async fn remove(
    ctx: Ctx,
    staff: Staff,
    PathIdAnd(id, Date(date)): PathIdAnd<Date>,
) -> Answer<Json<WindowsChanged>> {
    let store = Changing::load(&ctx, &staff, id).await?;
    let mut dates = store.dates.clone();
    dates.retain(|known| *known != date);
    if dates.len() == store.dates.len() {
        return Err(Code::NotFound.into());
    }
    let statement = queries::delete_holiday(&store.store_id, date);
    store.apply(&ctx, &dates, true, statement).await.map(Json)
}
