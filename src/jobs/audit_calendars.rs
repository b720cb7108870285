//! Compares each calendar object with D1, repairs towards the authority, and counts what
//! it found (I3). The counts should stay at zero.
//!
//! All goes on while customers book, so the order of reading matters, and what looks off is looked at
//! again:
//!
//! - Claims are read before D1, so a claim seen confirmed had its line committed. One that has no line is
//!   released, and counts when there was something to release: the line may have ended in between.
//! - A line younger than the reading is left to the next run, and so is a claim that the outbox still
//!   has something to do with. A line whose claim was not confirmed counts when it still stands after
//!   the claim was read again.
//! - The projection in D1 is read between two looks at the object. When its version has stayed, what
//!   differs and is not on its way was written wrong, and so was a later version than the object's,
//!   which nothing would ever overwrite; when it has not, what differs is brought along and the next
//!   run tells.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use zhundian_domain::calendar::{Claim, ClaimKind, ClaimSpec, ClaimState, Day};
use zhundian_domain::home::Home;
use zhundian_domain::time::{DayBits, DayRange, Interval, Tick, UtcDay};
use zhundian_durable_objects::calls::{Claims, Free, HORIZON_DAYS, Release};

use crate::calendars;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::{Done, queries};
use crate::outbox::{Claimed, deliver};

/// Calendars looked at in one run.
const CALENDARS: u32 = 40;
/// A line this young may have its confirm still on the way.
const GRACE_MS: i64 = 60_000;

#[derive(Deserialize)]
struct Line {
    id: String,
    claim_id: String,
    order_id: Option<Id>,
    store_id: String,
    start_at: i64,
    end_at: i64,
    block_start: i64,
    block_end: i64,
    changed_at: i64,
    home: Option<Box<Home>>,
    quantity: u16,
    kind: ClaimKind,
}

/// One run, from the calendar after `watermark` on.
pub(crate) async fn run(ctx: &Ctx, watermark: String, until: i64) -> Answer<Done> {
    let calendars: Vec<String> = ctx
        .db()?
        .first(queries::calendars_after(&watermark, CALENDARS, now_ms()))
        .await?
        .unwrap_or_default();
    let (mut seen, mut found) = (0, 0);
    let mut last = String::new();
    for calendar in &calendars {
        if now_ms() > until {
            break;
        }
        crate::catalog::windows::sync(ctx, calendar).await?;
        found += audit(ctx, calendar).await?;
        seen += 1;
        calendar.clone_into(&mut last);
    }
    // After the last calendar the next run begins again.
    let whole = seen == calendars.len() && calendars.len() < CALENDARS as usize;
    let watermark = if whole { String::new() } else { last };
    Ok(Done { outcome: format!("{seen} calendars, {found} off"), watermark })
}

async fn audit(ctx: &Ctx, calendar: &str) -> Answer<u32> {
    let read_at = now_ms();
    let today = UtcDay::of_ms(read_at);
    let days = DayRange { from: today, until: UtcDay(today.0 + HORIZON_DAYS - 1) };
    let interval = days.interval().ok_or_else(|| Problem::internal("no days"))?;
    let claims = claims(ctx, calendar, interval).await?;
    let free = ctx.calendars().call(calendar, &Free { days }).await?;

    let reads = vec![
        queries::lines(calendar, interval.start.ms(), interval.end.ms()),
        queries::pending_claims(calendar),
        queries::projection(calendar, today.0, days.until.0),
    ];
    let rows = ctx.db()?.read(reads).await?;
    let lines: Vec<Line> = rows.one(0)?;
    let pending: HashSet<String> = rows.one(1)?;
    let written: Vec<(String, UtcDay, DayBits, i64, DayBits, DayBits)> = rows.one(2)?;
    // No days: only whether the calendar stood still while D1 was read.
    let look = Free { days: DayRange { from: today, until: today } };
    let unchanged = ctx.calendars().call(calendar, &look).await?.version == free.version;

    let mut found = 0;
    let mut statements = Vec::new();

    let confirmed: HashMap<&str, &Claim> = claims
        .iter()
        .filter(|claim| claim.state == ClaimState::Confirmed)
        .map(|claim| (claim.spec.id.as_str(), claim))
        .collect();

    // Confirmed claims without a line or block.
    let live: HashSet<&str> = lines.iter().map(|line| line.claim_id.as_str()).collect();
    for claim in confirmed.values() {
        let id = claim.spec.id.as_str();
        if live.contains(id) || pending.contains(id) {
            continue;
        }
        let reply = ctx.calendars().call(calendar, &Release { claim_id: id.to_owned() }).await?;
        if reply.released {
            found += 1;
            statements.push(queries::count_drift("claim_without_line", read_at, id));
            statements.push(calendars::write_days(calendar, &reply.days)?);
        }
    }

    // Lines and blocks without a confirmed claim; what the ones before kept from them is free by now.
    for line in &lines {
        let known = confirmed.contains_key(line.claim_id.as_str());
        let settled = line.changed_at < read_at - GRACE_MS && !pending.contains(&line.claim_id);
        if known || !settled {
            continue;
        }
        let spec = line.spec().ok_or_else(|| Problem::internal(format!("line {}", line.id)))?;
        let again = self::claims(ctx, calendar, spec.block).await?;
        let confirmed = again
            .iter()
            .any(|claim| claim.spec.id == spec.id && claim.state == ClaimState::Confirmed);
        let stands: Option<bool> = ctx.db()?.first(queries::stands_on_claim(&spec.id)).await?;
        if confirmed || stands.is_none() {
            continue;
        }
        found += 1;
        statements.push(queries::count_drift("line_without_claim", read_at, &line.id));
        let claimed = Claimed { calendar: calendar.to_owned(), spec, written: Vec::new() };
        let order = line.order_id.as_ref().map(|id| (id, false));
        statements.extend(deliver::confirm(ctx, vec![claimed], order).await?);
    }

    // The projection: a day that says something else is wrong, unless it is on its way, or is not there
    // yet; then it is only brought along.
    let written: HashMap<(&str, UtcDay), (Day, i64)> = written
        .iter()
        .map(|(store, day, free, version, room, working)| {
            let bits = Day { free: *free, room: *room, working: *working };
            ((store.as_str(), *day), (bits, *version))
        })
        .collect();
    let on_their_way: HashSet<(&str, UtcDay)> =
        free.pending.iter().map(|(store, day)| (store.as_str(), *day)).collect();
    let (mut behind, mut wrong) = (Vec::new(), Vec::new());
    for day in &free.days {
        let key = (day.store_id.as_str(), day.day);
        match written.get(&key) {
            Some((bits, _)) if *bits == day.bits() => continue,
            Some((_, version))
                if unchanged && (*version > day.version || !on_their_way.contains(&key)) =>
            {
                wrong.push((day.store_id.as_str(), day.day, *version));
            }
            _ => {}
        }
        behind.push(day.clone());
    }
    if !wrong.is_empty() {
        found += u32::try_from(wrong.len()).unwrap_or(u32::MAX);
        let json = serde_json::to_string(&wrong).map_err(Problem::internal)?;
        statements.push(queries::count_drift("projection", read_at, calendar));
        statements.push(queries::forget_projection(calendar, &json));
    }
    if !behind.is_empty() {
        statements.push(calendars::write_days(calendar, &behind)?);
    }
    if !statements.is_empty() {
        ctx.db()?.batch(statements).await?;
    }
    Ok(found)
}

async fn claims(ctx: &Ctx, calendar: &str, interval: Interval) -> Answer<Vec<Claim>> {
    let mut claims: Vec<Claim> = Vec::new();
    let mut after = None;
    loop {
        let reply = ctx.calendars().call(calendar, &Claims { interval, after }).await?;
        after = reply.claims.last().map(|last| (last.spec.block.start.ms(), last.spec.id.clone()));
        claims.extend(reply.claims);
        if !reply.more || after.is_none() {
            return Ok(claims);
        }
    }
}

impl Line {
    /// The claim that the line should have.
    fn spec(&self) -> Option<ClaimSpec> {
        let interval = |start, end| Interval::new(Tick::from_ms(start)?, Tick::from_ms(end)?);
        Some(ClaimSpec {
            id: self.claim_id.clone(),
            op: format!("audit-{}", self.claim_id),
            store_id: self.store_id.clone(),
            kind: self.kind,
            // A claim may be of a part of the service alone.
            service: interval(
                self.start_at.max(self.block_start),
                self.end_at.min(self.block_end),
            )?,
            block: interval(self.block_start, self.block_end)?,
            quantity: self.quantity,
            replaces: Vec::new(),
            home: self.home.clone(),
        })
    }
}
