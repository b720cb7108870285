//! The sessions of a service plan: several first times, repeated by day or by week, or times of one's
//! choice.
//!
//! A repetition keeps the time that the store's clock shows. Where the clock skips it (the day it is
//! turned forward) the session starts as the clock goes on; where the clock shows it twice, the first
//! time counts. On a day on which the store is closed a session is left out, or **moves**: to the next
//! open day, at the same time, on which no other session of the plan stands in its way. Sessions on open
//! days have their times first, and the others find theirs in order. What lies after the end date, or
//! would move past it, is left out.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::time::{DAY_MS, LocalInstant, TICK_MINUTES, Tick, local_instant, wall_at};
use crate::zone::Zone;

/// Sessions in one plan.
pub const MAX_SESSIONS: usize = 99;
/// Repetitions of a first time.
pub const MAX_TIMES: u16 = 99;
/// Days from today to the furthest session: 99 weeks, and what a move past holidays adds.
pub const MAX_DAYS_AHEAD: i64 = 800;
/// Days that a session may move.
const MAX_MOVE_DAYS: u64 = 366;

/// How the first times are repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// Every day.
    Daily,
    /// Every seven days.
    Weekly,
    /// Not at all: each time is given.
    Custom,
}

/// What becomes of a session on a day on which the store is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnClosed {
    /// It is left out.
    Skip,
    /// It takes place on the next open day that has room for it.
    Move,
}

/// When a plan's sessions are to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repetition {
    /// How they repeat.
    pub rhythm: Rhythm,
    /// The first times; all of them when they are of one's choice.
    pub first: Vec<Tick>,
    /// How often each takes place, 1 to [`MAX_TIMES`]; of no account for times of one's choice.
    pub times: u16,
    /// The last date on which a session may be.
    pub until: Option<NaiveDate>,
    /// On days on which the store is closed.
    pub on_closed: OnClosed,
}

/// A session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// When it starts.
    pub start: Tick,
    /// Its date on the store's clock.
    pub date: NaiveDate,
    /// The date that it has moved from.
    pub moved_from: Option<NaiveDate>,
}

/// The sessions of a plan, and the dates that have none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sessions {
    /// In order of time; 1 to [`MAX_SESSIONS`].
    pub sessions: Vec<Session>,
    /// Dates of sessions that were left out because the store is closed.
    pub skipped: Vec<NaiveDate>,
}

/// Why a repetition makes no plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no first time, or a repetition is not 1 to [`MAX_TIMES`].
    Malformed,
    /// More sessions than [`MAX_SESSIONS`].
    TooMany(usize),
    /// This first time is not after now.
    Past(usize),
    /// A session is further ahead than [`MAX_DAYS_AHEAD`].
    TooFar,
    /// Two sessions are nearer to each other than their length.
    Overlap(Tick, Tick),
    /// The store is closed for so long that a session has no day to move to.
    NoOpenDay(NaiveDate),
    /// No session remains.
    Empty,
}

/// What decides beside the repetition.
pub struct Setting<F> {
    /// The zone of the store's clock.
    pub zone: Zone,
    /// Ticks from a session's start to the earliest start of another one.
    pub length: i64,
    /// On which dates the store is closed.
    pub closed: F,
    /// UTC milliseconds.
    pub now: i64,
}

impl Repetition {
    /// The sessions in order.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn sessions<F: Fn(NaiveDate) -> bool>(
        &self,
        setting: &Setting<F>,
    ) -> Result<Sessions, Refusal> {
        let times = if self.rhythm == Rhythm::Custom { 1 } else { self.times };
        if self.first.is_empty()
            || self.first.len() > MAX_SESSIONS
            || !(1..=MAX_TIMES).contains(&times)
        {
            return Err(Refusal::Malformed);
        }
        if let Some(index) = self.first.iter().position(|first| first.ms() <= setting.now) {
            return Err(Refusal::Past(index));
        }
        let mut placed: BTreeMap<Tick, Session> = BTreeMap::new();
        let mut homeless: Vec<(NaiveDate, NaiveTime)> = Vec::new();
        let mut skipped = Vec::new();
        for (start, wall) in self.occurrences(setting.zone, times) {
            let date = wall.date();
            if self.until.is_some_and(|until| date > until) {
                continue;
            }
            if !(setting.closed)(date) {
                place(&mut placed, Session { start, date, moved_from: None }, setting.length)?;
            } else if self.on_closed == OnClosed::Skip {
                skipped.push(date);
            } else {
                homeless.push((date, wall.time()));
            }
        }
        homeless.sort_unstable();
        for (from, time) in homeless {
            match self.next_day(setting, &placed, from, time)? {
                Some(session) => place(&mut placed, session, setting.length)?,
                None => skipped.push(from),
            }
        }
        skipped.sort_unstable();
        let sessions: Vec<Session> = placed.into_values().collect();
        if sessions.len() > MAX_SESSIONS {
            return Err(Refusal::TooMany(sessions.len()));
        }
        let last = sessions.last().ok_or(Refusal::Empty)?.start;
        if last.ms() > setting.now + MAX_DAYS_AHEAD * DAY_MS {
            return Err(Refusal::TooFar);
        }
        Ok(Sessions { sessions, skipped })
    }

    /// Every start with what the clock shows at it, closed days among them.
    fn occurrences(&self, zone: Zone, times: u16) -> impl Iterator<Item = (Tick, NaiveDateTime)> {
        let step = if self.rhythm == Rhythm::Weekly { 7 } else { 1 };
        self.first.iter().flat_map(move |first| {
            let wall = wall_at(zone, first.ms())
                .map(|wall| wall.date.and_time(time_of_minute(wall.minute)));
            (0..times).filter_map(move |turn| {
                let wall = wall?;
                if turn == 0 {
                    return Some((*first, wall));
                }
                start_on(zone, wall.checked_add_days(Days::new(u64::from(turn) * step))?)
            })
        })
    }

    /// The next open day after `from` that has room at this time; `None` when it lies past the end.
    fn next_day<F: Fn(NaiveDate) -> bool>(
        &self,
        setting: &Setting<F>,
        placed: &BTreeMap<Tick, Session>,
        from: NaiveDate,
        time: NaiveTime,
    ) -> Result<Option<Session>, Refusal> {
        for days in 1..=MAX_MOVE_DAYS {
            let date = from.checked_add_days(Days::new(days)).ok_or(Refusal::TooFar)?;
            if self.until.is_some_and(|until| date > until) {
                return Ok(None);
            }
            if (setting.closed)(date) {
                continue;
            }
            let Some((start, wall)) = start_on(setting.zone, date.and_time(time)) else { continue };
            if wall.date() == date && neighbour(placed, start, setting.length.max(1)).is_none() {
                return Ok(Some(Session { start, date, moved_from: Some(from) }));
            }
        }
        Err(Refusal::NoOpenDay(from))
    }
}

fn time_of_minute(minute: u16) -> NaiveTime {
    let seconds = u32::from(minute) * 60;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, 0).unwrap_or_default()
}

/// `start` moved by as much as `to` differs from `from` on the clock of `zone`, as a repetition would have it;
/// `None` beyond the calendar's ends.
#[must_use]
pub fn shifted(zone: Zone, start: Tick, from: Tick, to: Tick) -> Option<Tick> {
    let wall = |tick: Tick| {
        wall_at(zone, tick.ms()).map(|wall| wall.date.and_time(time_of_minute(wall.minute)))
    };
    if start == from {
        return Some(to);
    }
    let by = wall(to)?.signed_duration_since(wall(from)?);
    start_on(zone, wall(start)?.checked_add_signed(by)?).map(|(tick, _)| tick)
}

/// The tick at which the clock shows `wall`, or goes on after having skipped it; and what it shows then.
fn start_on(zone: Zone, wall: NaiveDateTime) -> Option<(Tick, NaiveDateTime)> {
    // No clock skips more than a day.
    (0..=24 * 60 / TICK_MINUTES).find_map(|steps| {
        let wall = wall.checked_add_signed(TimeDelta::minutes(steps * TICK_MINUTES))?;
        match local_instant(zone, wall) {
            LocalInstant::Once(ms) | LocalInstant::Twice(ms, _) => {
                Some((Tick::at_or_after(ms), wall))
            }
            LocalInstant::Skipped => None,
        }
    })
}

/// A session that starts less than `length` ticks before or after `start`.
fn neighbour(placed: &BTreeMap<Tick, Session>, start: Tick, length: i64) -> Option<Tick> {
    placed.range(start.plus(1 - length)..start.plus(length)).next().map(|(other, _)| *other)
}

fn place(
    placed: &mut BTreeMap<Tick, Session>,
    session: Session,
    length: i64,
) -> Result<(), Refusal> {
    if let Some(other) = neighbour(placed, session.start, length.max(1)) {
        let start = session.start;
        return Err(Refusal::Overlap(start.min(other), start.max(other)));
    }
    placed.insert(session.start, session);
    Ok(())
}
