//! Sessions that have no time yet: what stands in the way of each, and the nearest times that are free.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::availability::{NotOffered, Offer as Rule, nearest};
use zhundian_domain::calendar::{ClaimKind, ClaimSpec, Refusal, Refusals};
use zhundian_domain::recurrence::MAX_DAYS_AHEAD;
use zhundian_domain::time::{Bits, DayBits, DayRange, Interval, Tick, UtcDay, date_at};
use zhundian_durable_objects::calls::{CheckMany, FreeDays};

use crate::booking::claim::{HOLD_MS, MAX_ALTERNATIVES};
use crate::booking::offer::Offer;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::fields::At;
use crate::plan::hold::{self, HeldMany};

/// Whose time is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The store is closed, or full for that day or that time.
    Store,
    /// The technician's.
    Technician,
    /// A room's or a piece of equipment's.
    Room,
}

/// What stands in the way of a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Conflict {
    /// When the session would start.
    pub start_at: At,
    /// `slot_taken`, `outside_hours` or `daily_limit_reached`.
    pub code: String,
    /// Whose time is missing.
    pub whose: Whose,
    /// The nearest starts that are free for everybody, nearest first, at most five.
    pub nearest: Vec<At>,
}

/// What the sessions take in one calendar.
pub struct Taking {
    /// Whose it is.
    pub whose: Whose,
    /// Its name.
    pub calendar: String,
    /// The sessions that take something in it, by their places in [`Draft::starts`], each with its claim.
    pub claims: Vec<(usize, ClaimSpec)>,
}

impl Taking {
    fn specs(&self) -> Vec<ClaimSpec> {
        self.claims.iter().map(|(_, spec)| spec.clone()).collect()
    }
}

/// Sessions that have no time yet.
pub struct Draft<'a> {
    /// The service in its store.
    pub offer: &'a Offer,
    /// When they start, in order.
    pub starts: Vec<Tick>,
    /// What they take, by the calendars' names.
    pub takings: Vec<Taking>,
}

/// A claim for a session, in one of the calendars that it takes. The operation's id in the calendar is made
/// of the start as well, so that a retry finds each session's own.
///
/// # Errors
/// None in practice.
pub fn spec(ctx: &Ctx, offer: &Offer, op: &str, start: Tick) -> Answer<ClaimSpec> {
    let (service, block) =
        offer.shape().at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
    Ok(ClaimSpec {
        id: ctx.new_id()?.to_string(),
        op: format!("{op}:{}", start.ms()),
        store_id: offer.store.id.to_string(),
        kind: ClaimKind::Appointment,
        service,
        block,
        quantity: 1,
        replaces: Vec::new(),
        home: None,
    })
}

/// What a calendar would refuse of a taking.
///
/// # Errors
/// 503 when it does not answer.
pub async fn check(ctx: &Ctx, taking: &Taking) -> Answer<Refusals> {
    let call = CheckMany { specs: taking.specs(), expires_at: ctx.now + HOLD_MS };
    Ok(ctx.calendars().call(&taking.calendar, &call).await?.refusals)
}

impl Draft<'_> {
    /// Everything that stands in the way, by the session's place. Nothing is taken.
    ///
    /// # Errors
    /// 503 when a calendar does not answer.
    pub async fn conflicts(&self, ctx: &Ctx) -> Answer<BTreeMap<usize, Conflict>> {
        let mut found = self.not_offered(ctx)?;
        for taking in &self.takings {
            for (place, refusal) in check(ctx, taking).await? {
                let Some((index, _)) = taking.claims.get(place) else { continue };
                let code = match refusal {
                    Refusal::Taken => Code::SlotTaken,
                    Refusal::OutsideWorkingTime => Code::OutsideHours,
                    // What it should replace is gone: somebody else has moved or cancelled it.
                    Refusal::Released => return Err(Code::OrderChanged.into()),
                    Refusal::Malformed => {
                        return Err(Problem::internal("a hold of ours was malformed"));
                    }
                };
                found.entry(*index).or_insert((code, taking.whose));
            }
        }
        self.with_nearest(ctx, found).await
    }

    /// Holds all that the sessions take, one calendar after the other by their names, or nothing.
    ///
    /// # Errors
    /// 409 `plan_conflicts` with everything that stands in the way; 503 when a calendar does not answer.
    pub async fn hold(&self, ctx: &Ctx) -> Answer<Vec<HeldMany>> {
        let mut holds = Vec::new();
        let mut open = self.not_offered(ctx)?.is_empty();
        for taking in &self.takings {
            if !open {
                break;
            }
            match hold::hold_many(ctx, &taking.calendar, taking.specs()).await? {
                Ok(held) => holds.push(held),
                Err(_) => open = false,
            }
        }
        if open {
            return Ok(holds);
        }
        hold::give_back(ctx, holds).await;
        let conflicts: Vec<Conflict> = self.conflicts(ctx).await?.into_values().collect();
        if conflicts.is_empty() {
            return Err(Problem::unavailable("what stood in the way has gone"));
        }
        let list = serde_json::json!(conflicts);
        Err(Problem::from(Code::PlanConflicts).with(conflicts.len()).and("conflicts", list))
    }

    /// What the store itself has against sessions, by their place.
    fn not_offered(&self, ctx: &Ctx) -> Answer<BTreeMap<usize, (Code, Whose)>> {
        let mut found = BTreeMap::new();
        let mut days = BTreeMap::new();
        for (index, start) in self.starts.iter().enumerate() {
            let date = date_at(self.offer.store.time_zone, start.ms()).unwrap_or_default();
            let on_day: &mut i64 = days.entry(date).or_default();
            *on_day += 1;
            match self.rule().check(ctx.now, *start) {
                Ok(()) if !self.offer.has_room(date, *on_day) => {
                    found.insert(index, (Code::DailyLimitReached, Whose::Store));
                }
                Ok(()) => {}
                Err(NotOffered::Closed) => {
                    found.insert(index, (Code::OutsideHours, Whose::Store));
                }
                Err(NotOffered::Past | NotOffered::TooSoon) => {
                    return Err(Problem::from(Code::StartInPast).at("starts"));
                }
                Err(NotOffered::TooFarAhead) => {
                    return Err(Problem::from(Code::StartTooFar).at("starts"));
                }
            }
        }
        Ok(found)
    }

    fn rule(&self) -> Rule<'_> {
        let mut rule = self.offer.rule(true);
        rule.notice.max_days_ahead = MAX_DAYS_AHEAD;
        rule
    }

    async fn with_nearest(
        &self,
        ctx: &Ctx,
        found: BTreeMap<usize, (Code, Whose)>,
    ) -> Answer<BTreeMap<usize, Conflict>> {
        let around: Vec<(usize, Interval)> = found
            .keys()
            .filter_map(|index| Some((*index, days_around(*self.starts.get(*index)?))))
            .collect();
        let mut days: Vec<UtcDay> =
            around.iter().flat_map(|(_, range)| range.days().iter()).collect();
        days.sort_unstable();
        days.dedup();
        let mut free: Vec<(BTreeSet<usize>, BTreeMap<UtcDay, DayBits>)> = Vec::new();
        for taking in self.takings.iter().filter(|_| !days.is_empty()) {
            let store_id = self.offer.store.id.to_string();
            let call = FreeDays { store_id, days: days.clone() };
            let days = ctx.calendars().call(&taking.calendar, &call).await?;
            let of = taking.claims.iter().map(|(index, _)| *index).collect();
            free.push((of, days.into_iter().map(|day| (day.day, day.free)).collect()));
        }
        let zone = self.offer.store.time_zone;
        let conflict = |index: usize, range: Interval| {
            let start = *self.starts.get(index)?;
            let (code, whose) = *found.get(&index)?;
            let mine = free.iter().filter(|(of, _)| of.contains(&index));
            let nearest = self.nearest(ctx, start, range, mine.map(|(_, days)| days));
            let nearest = nearest.into_iter().map(|tick| At::new(zone, tick.ms())).collect();
            let start_at = At::new(zone, start.ms());
            Some((index, Conflict { start_at, code: code.as_str().into(), whose, nearest }))
        };
        Ok(around.into_iter().filter_map(|(index, range)| conflict(index, range)).collect())
    }

    /// The starts nearest to `wanted` that everybody has free and that keep clear of the other sessions.
    fn nearest<'b>(
        &self,
        ctx: &Ctx,
        wanted: Tick,
        range: Interval,
        free: impl Iterator<Item = &'b BTreeMap<UtcDay, DayBits>>,
    ) -> Vec<Tick> {
        let shape = self.offer.shape();
        let mut bits = Bits::none(range);
        bits.fill(range, true);
        for days in free {
            let mut one = Bits::none(range);
            for (day, free) in days.range(range.days().from..range.days().until) {
                one.put_day(*day, free);
            }
            bits.and(&one);
        }
        let starts = shape.starts(&bits);
        let length = shape.block_ticks();
        let clear = |start: Tick| {
            let others = self.starts.iter().filter(|other| **other != wanted);
            others.into_iter().all(|other| start.since(*other).abs() >= length)
        };
        let has_room = |start: Tick| {
            date_at(self.offer.store.time_zone, start.ms())
                .is_some_and(|date| self.offer.has_room(date, 1))
        };
        let allowed = self.rule().allowed(ctx.now, range);
        let some =
            allowed.ones().filter(|tick| starts.get(*tick) && clear(*tick) && has_room(*tick));
        nearest(some, wanted, MAX_ALTERNATIVES)
    }
}

/// The UTC days around a start: one before and two after.
fn days_around(start: Tick) -> Interval {
    let day = start.day();
    let days = DayRange { from: UtcDay(day.0 - 1), until: UtcDay(day.0 + 3) };
    days.interval().unwrap_or_else(|| day.interval())
}
