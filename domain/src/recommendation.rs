//! The starts that suit best, of those that availability offers (I7): the member's habits, technicians' idle
//! gaps, and when the store is quiet.
//!
//! Each start has points of three kinds, and its reason is the kind that it has most of:
//!
//! | kind | points |
//! |---|---|
//! | habit | of each of the last visits: 30 for the weekday, 40 for the time of day within half an hour (20 within an hour and a half), 30 when its technician is free; their mean, over four of them at least |
//! | gap | 60 when the block fills a gap between other appointments whole, 40 when it leaves a quarter of an hour, 20 when it leaves half an hour |
//! | quiet | 30, times the share of the technicians who are free |
//!
//! A day later costs 2. The best three lie an hour apart, as far as there are so many.

use chrono::Datelike as _;

use crate::availability::Shape;
use crate::time::{Bits, Interval, TICK_MINUTES, TICKS_PER_DAY, Tick, walk_wall, wall_at};
use crate::zone::Zone;

/// Starts recommended at most.
pub const MOST: usize = 3;
/// Ticks between two that are recommended, as far as possible.
const APART: i64 = 60 / TICK_MINUTES;
/// Ticks left of a gap, and the points for it.
const GAPS: [(i64, i64); 3] = [(0, 60), (3, 40), (6, 20)];
/// Points of a start at which everybody is free.
const QUIET: i64 = 30;
/// Visits that make a habit: fewer count for less.
const A_HABIT: usize = 4;
/// Points that a day of waiting costs.
const A_DAY: i64 = 2;
/// Half the width of a habit's hour, and of what is near it, in minutes, with their points.
const TIMES: [(i64, i64); 2] = [(30, 40), (90, 20)];
const WEEKDAY: i64 = 30;
const TECHNICIAN: i64 = 30;

/// A visit of the member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// Its technician, as an index into those asked about; `None` when it is none of them.
    pub technician: Option<usize>,
}

/// What is recommended from.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The store's clock.
    pub zone: Zone,
    /// How the service takes time.
    pub shape: Shape,
    /// Starts that are offered, as far as they do not depend on the technician.
    pub allowed: &'a Bits,
    /// Of each technician the free ticks, and the starts they can attend.
    pub technicians: &'a [(Bits, Bits)],
    /// The member's last visits.
    pub visits: &'a [Visit],
}

/// Why a start is recommended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// It is as the member's last visits were.
    Habit,
    /// It fills an idle gap of a technician.
    FillsGap,
    /// The store is quiet then.
    Quiet,
}

/// A start that is recommended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recommended {
    /// The start.
    pub start: Tick,
    /// Who can do it, as indexes into those asked about: whom the member knows first.
    pub technicians: Vec<usize>,
    /// Why.
    pub reason: Reason,
    /// Its points.
    pub points: i64,
}

/// What is known of a start.
#[derive(Clone, Copy, Default)]
struct Seen {
    free: i64,
    technician: i64,
    gap: i64,
}

/// The best starts, the best first.
#[must_use]
pub fn recommend(asked: &Asked) -> Vec<Recommended> {
    let range = asked.allowed.range();
    let index = |tick: Tick| usize::try_from(tick.since(range.start)).ok();
    let mut seen = vec![Seen::default(); index(range.end).unwrap_or(0)];
    let known: Vec<i64> = (0..asked.technicians.len()).map(|one| asked.visits_to(one)).collect();
    for ((free, starts), known) in asked.technicians.iter().zip(&known) {
        for tick in starts.ones() {
            if let Some(at) = index(tick).and_then(|at| seen.get_mut(at)) {
                at.free += 1;
                at.technician = at.technician.max(*known);
            }
        }
        for (tick, points) in gaps(asked.shape, free) {
            if starts.get(tick)
                && let Some(at) = index(tick).and_then(|at| seen.get_mut(at))
            {
                at.gap = at.gap.max(points);
            }
        }
    }
    let habits = asked.habits();
    let mut scored: Vec<(i64, Tick, Reason)> = asked
        .allowed
        .ones()
        .filter_map(|tick| {
            let index = index(tick)?;
            let at = seen.get(index).filter(|at| at.free > 0)?;
            let habit = habits.get(index).copied().unwrap_or(0) + at.technician;
            let (points, reason) = asked.points(*at, habit)?;
            Some((points - A_DAY * (tick.since(range.start) / TICKS_PER_DAY), tick, reason))
        })
        .collect();
    scored.sort_unstable_by_key(|(points, tick, _)| (-points, *tick));
    let mut best: Vec<(i64, Tick, Reason)> = Vec::new();
    for apart in [APART, 1] {
        for one in &scored {
            let near = |other: &(i64, Tick, Reason)| other.1.since(one.1).abs() < apart;
            if best.len() < MOST && !best.iter().any(near) {
                best.push(*one);
            }
        }
    }
    best.sort_unstable_by_key(|(points, tick, _)| (-points, *tick));
    let recommended = best.into_iter().map(|(points, start, reason)| {
        let can = |one: &usize| asked.technicians.get(*one).is_some_and(|it| it.1.get(start));
        let mut technicians: Vec<usize> = (0..known.len()).filter(can).collect();
        technicians.sort_by_key(|one| -known.get(*one).copied().unwrap_or(0));
        Recommended { start, technicians, reason, points }
    });
    recommended.collect()
}

impl Asked<'_> {
    /// Points for a technician, by how many of the visits were with them.
    fn visits_to(&self, technician: usize) -> i64 {
        let with = self.visits.iter().filter(|visit| visit.technician == Some(technician)).count();
        self.mean(TECHNICIAN * with as i64)
    }

    fn mean(&self, sum: i64) -> i64 {
        sum / self.visits.len().max(A_HABIT) as i64
    }

    /// Points of each tick of the range, for its weekday and time of day; none without visits.
    fn habits(&self) -> Vec<i64> {
        let range = self.allowed.range();
        let Some(range) = Interval::new(range.start, range.end) else { return Vec::new() };
        if self.visits.is_empty() {
            return Vec::new();
        }
        let (mut weekdays, mut times) = (vec![0; 7], vec![0; TICKS_PER_DAY as usize]);
        for wall in self.visits.iter().filter_map(|visit| wall_at(self.zone, visit.start_at)) {
            let weekday = wall.date.weekday().num_days_from_monday();
            if let Some(points) = weekdays.get_mut(weekday as usize) {
                *points += WEEKDAY;
            }
            for (minute, points) in (0..).step_by(TICK_MINUTES as usize).zip(times.iter_mut()) {
                let away = (i64::from(wall.minute) - minute).abs();
                let near = TIMES.iter().find(|(within, _)| away <= *within);
                *points += near.map_or(0, |(_, points)| *points);
            }
        }
        let mut habits = Vec::with_capacity(usize::try_from(range.ticks()).unwrap_or(0));
        walk_wall(self.zone, range, |stretch, wall| {
            let weekday = wall.date.weekday().num_days_from_monday() as usize;
            let of_week = weekdays.get(weekday).copied().unwrap_or(0);
            let first = usize::from(wall.minute) / TICK_MINUTES as usize;
            for tick in (0..stretch.ticks()).filter_map(|tick| usize::try_from(tick).ok()) {
                let of_day = times.get(first + tick).copied().unwrap_or(0);
                habits.push(self.mean(of_week + of_day));
            }
        });
        habits
    }

    /// The points of a start that somebody can attend, and what most of them are for.
    fn points(&self, at: Seen, habit: i64) -> Option<(i64, Reason)> {
        let quiet = QUIET * at.free / (self.technicians.len().max(1) as i64);
        let kinds = [(habit, Reason::Habit), (at.gap, Reason::FillsGap), (quiet, Reason::Quiet)];
        let (_, reason) = kinds.into_iter().rev().max_by_key(|(points, _)| *points)?;
        Some((habit + at.gap + quiet, reason))
    }
}

/// The starts whose block fits into a gap with little left, and their points.
fn gaps(shape: Shape, free: &Bits) -> Vec<(Tick, i64)> {
    let mut found = Vec::new();
    let mut run: Option<(Tick, Tick)> = None;
    let mut end = |run: Option<(Tick, Tick)>| {
        let Some((from, until)) = run else { return };
        let left = until.since(from) - shape.block_ticks();
        let Some((_, points)) = GAPS.iter().find(|(most, _)| (0..=*most).contains(&left)) else {
            return;
        };
        found.extend((0..=left).map(|later| (from.plus(shape.before + later), *points)));
    };
    for tick in free.ones() {
        match &mut run {
            Some((_, until)) if *until == tick => *until = tick.plus(1),
            _ => end(run.replace((tick, tick.plus(1)))),
        }
    }
    end(run);
    found
}
