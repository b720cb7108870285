//! Offering what is free to those who wait for it, the first in order first.

use serde::Deserialize;
use zhundian_domain::calendar::{ClaimKind, ClaimSpec};
use zhundian_domain::reminder::{Kind, offer_until};
use zhundian_domain::time::{Interval, TICKS_PER_DAY, Tick, date_at};
use zhundian_domain::zone::Zone;
use zhundian_durable_objects::calls::ProjectedDay;

use crate::booking::book;
use crate::booking::claim::{self, Held, Holding, Terms};
use crate::booking::offer::{self, Known, Offer, days_around};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::reminder::{self, Notice};
use crate::waitlist::queries;

/// Who is looked at when something is given back.
const LOOK: u32 = 50;
/// Who waits for an appointment and is looked at then: each of them costs a query.
const LOOK_FOR_APPOINTMENTS: u32 = 20;
/// An offer is not worth making for less.
const LEAST_MS: i64 = 2 * 60_000;
/// Starts of an appointment that are tried.
const MAX_STARTS: usize = 3;

/// Somebody who waits.
#[derive(Debug, Deserialize)]
pub struct Waiting {
    /// The entry's id.
    pub id: Id,
    member_id: Id,
    store_id: Id,
    service_id: Id,
    technician_id: Option<Id>,
    from_at: i64,
    until_at: i64,
    seats: i64,
}

impl Waiting {
    /// The operation of its offer in a calendar: one entry is offered one place.
    fn op(&self) -> String {
        format!("wait-{}", self.id)
    }
}

/// Something in a calendar was given back, with its days as they are now. What cannot be offered here, the
/// job offers within a minute.
pub async fn freed(ctx: &Ctx, calendar: &str, days: &[ProjectedDay]) {
    let done = match calendar.split_once(':') {
        Some(("session", id)) => seats(ctx, id).await.map(drop),
        Some((_, id)) if !days.is_empty() => appointments(ctx, calendar, id, days).await,
        _ => Ok(()),
    };
    if let Err(problem) = done {
        let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
        worker::console_warn!(
            "{}",
            serde_json::json!({
                "event": "not_offered", "request_id": ctx.request_id, "calendar": calendar,
                "cause": cause,
            })
        );
    }
}

/// Offers a session's free seats; answers how many entries were served. Of those who want more than there
/// is, somebody after them who wants less is served.
///
/// # Errors
/// 503.
pub async fn seats(ctx: &Ctx, session_id: &str) -> Answer<u32> {
    let now = now_ms();
    let reads = vec![queries::waiting_for(session_id, LOOK), queries::takes_place(session_id, now)];
    let rows = ctx.db()?.read(reads).await?;
    let waiting: Vec<Waiting> = rows.all(0)?;
    let Some((start, end, store_id, zone)) = rows.first::<(i64, i64, Id, Zone)>(1)? else {
        return Ok(0);
    };
    let interval = Tick::from_ms(start)
        .zip(Tick::from_ms(end))
        .and_then(|(start, end)| Interval::new(start, end))
        .ok_or_else(|| Problem::internal(format!("session {session_id}: no interval")))?;
    let hold_ms = lasts_ms(ctx, zone, now, start);
    if hold_ms < LEAST_MS {
        return Ok(0);
    }
    let calendar = format!("session:{session_id}");
    let (mut served, mut too_many) = (0, i64::MAX);
    for entry in waiting {
        if entry.seats >= too_many {
            continue;
        }
        let spec = ClaimSpec {
            id: ctx.new_id()?.to_string(),
            op: entry.op(),
            store_id: store_id.to_string(),
            kind: ClaimKind::Appointment,
            service: interval,
            block: interval,
            quantity: u16::try_from(entry.seats).unwrap_or(u16::MAX),
            replaces: Vec::new(),
            home: None,
        };
        match claim::hold(ctx, &calendar, &spec, hold_ms).await? {
            Holding::Held(held) => served += u32::from(offer(ctx, &entry, vec![held], None).await?),
            Holding::Refused(..) => too_many = entry.seats,
        }
        if too_many == 1 {
            break;
        }
    }
    Ok(served)
}

/// Offers an appointment in what was given back to those who wait for one there.
async fn appointments(ctx: &Ctx, calendar: &str, id: &str, days: &[ProjectedDay]) -> Answer<()> {
    let mut stores: Vec<&str> = days.iter().map(|day| day.store_id.as_str()).collect();
    stores.sort_unstable();
    stores.dedup();
    let stores = serde_json::to_string(&stores).map_err(Problem::internal)?;
    let technician_id = if calendar.starts_with("technician:") { id } else { "" };
    let statement = queries::waiting_in(&stores, technician_id, LOOK_FOR_APPOINTMENTS);
    let waiting: Vec<Waiting> = ctx.db()?.read(vec![statement]).await?.all(0)?;
    let fresh = [(calendar.to_owned(), days.to_vec())];
    for entry in waiting {
        appointment(ctx, &entry, &fresh).await?;
    }
    Ok(())
}

/// Offers somebody the earliest appointment that they wait for, if there is one; whether it did. `fresh`
/// is what calendars have said a moment ago.
///
/// # Errors
/// 503.
pub async fn appointment(
    ctx: &Ctx,
    entry: &Waiting,
    fresh: &[(String, Vec<ProjectedDay>)],
) -> Answer<bool> {
    let asked = Asked::Service {
        service_id: &entry.service_id,
        store_id: &entry.store_id,
        technician_id: entry.technician_id.as_ref(),
        home: false,
    };
    // A day on either side, whatever the store's clock is ahead of UTC or behind.
    let date = |ms: i64| date_at(Zone::UTC, ms).ok_or(Code::Internal);
    let day = zhundian_domain::time::DAY_MS;
    let (from, until) = (date(entry.from_at - day)?, date(entry.until_at + day)?);
    let found: Option<offer::Row> =
        ctx.db()?.first(booking::offer(&asked, from, until, Detail::NamesAndLoads)).await?;
    // What is offered no more is waited for in vain; the entry runs out by itself.
    let Some(Ok(offer)) = found.map(offer::Row::into_offer) else { return Ok(false) };
    if !offer.is_open() {
        return Ok(false);
    }
    let offer_ms = ctx.config().offer_minutes * 60_000;
    for start in starts(&offer, entry, now_ms() + offer_ms, fresh) {
        let Some(date) = date_at(offer.store.time_zone, start.ms()) else { continue };
        let op = entry.op();
        let needs = book::needs(&offer, &op, start, date, entry.technician_id.is_some())?;
        let hold_ms = lasts_ms(ctx, offer.store.time_zone, now_ms(), start.ms());
        let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms };
        let Ok(taken) = claim::hold_all(ctx, terms, &needs).await? else { continue };
        let technician_id = offer.attending(&taken.own()?.calendar)?.id().clone();
        let held = taken.into_held();
        // An earlier run may have held another start, and not have lived to say so.
        let first = held.first().map(|held| held.claim.spec.service.start);
        if first != Some(start) || held.iter().any(|held| held.claim.spec.service.start < start) {
            claim::give_back_all(ctx, held).await;
            return Ok(false);
        }
        return self::offer(ctx, entry, held, Some(&technician_id)).await;
    }
    Ok(false)
}

/// How long an offer made now lasts: into the morning when nobody is to be disturbed at this hour, so that
/// whoever waits hears of it in time; but not past the start. See `zhundian_domain::reminder::offer_until`.
fn lasts_ms(ctx: &Ctx, zone: Zone, now: i64, start: i64) -> i64 {
    let quiet = ctx.config().quiet.map(|quiet| (quiet, zone));
    offer_until(quiet, now, ctx.config().offer_minutes * 60_000, start) - now
}

/// The earliest starts that somebody waits for and that are free, by what is known.
fn starts(
    offer: &Offer,
    entry: &Waiting,
    now: i64,
    fresh: &[(String, Vec<ProjectedDay>)],
) -> Vec<Tick> {
    let from = Tick::at_or_after(entry.from_at.max(now));
    let until = Tick::at_or_before(entry.until_at).plus(1);
    let Some(range) = Interval::new(from, until) else { return Vec::new() };
    if range.ticks() > 20 * TICKS_PER_DAY {
        return Vec::new();
    }
    let around = days_around(range);
    let known = Known { store_id: &offer.store.id, fresh };
    let mut allowed = offer.allowed(now, range, false);
    offer.keep_with_resources(&mut allowed, around, known);
    let free: Vec<_> =
        offer.technicians.iter().map(|one| offer.starts(one, around, known)).collect();
    let some = allowed.ones().filter(|start| free.iter().any(|bits| bits.get(*start)));
    some.take(MAX_STARTS).collect()
}

/// Notes what is held for somebody, and so offers it; whether they still waited. This batch is the one
/// place where an offer comes to be, and it has what tells the member of it: once, and not after its end.
async fn offer(
    ctx: &Ctx,
    entry: &Waiting,
    held: Vec<Held>,
    technician_id: Option<&Id>,
) -> Answer<bool> {
    let place: Vec<_> = held.iter().map(|one| (&one.claim.spec.id, &one.calendar)).collect();
    let place = serde_json::to_string(&place).map_err(Problem::internal)?;
    let expires_at = claim::held_until(&held);
    let first = held.first().map(|held| held.claim.spec.service.start.ms());
    let (Some(start_at), Some(expires_at)) = (first, expires_at) else { return Ok(false) };
    let place = queries::Place { held: &place, start_at, technician_id, expires_at };
    let mut statements: Vec<_> = queries::offered(&entry.id, &place, now_ms()).into();
    let notice = Notice {
        kind: Kind::WaitlistOffer,
        subject: entry.id.as_str(),
        order_id: None,
        member_id: Some(&entry.member_id),
        store_id: &entry.store_id,
        service_id: Some(&entry.service_id),
        technician_id,
        start_at: Some(start_at),
        lead_minutes: 0,
        occasion: start_at,
        due_at: ctx.now,
        expires_at,
    };
    statements.extend(reminder::enqueue(ctx, &notice));
    for one in &held {
        statements.push(calendars::write_days(&one.calendar, &one.days)?);
    }
    match ctx.db()?.batch(statements).await {
        Ok(_) => Ok(true),
        // They have left, or another run of this has offered it: its hold stays with that one.
        Err(error) if error.is_constraint("waitlist_waiting") => {
            claim::give_back_all(ctx, held).await;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
