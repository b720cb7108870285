//! The starts that a service has in free time.
//!
//! Invariant I7: what is offered here, [`crate::calendar::Calendar::hold`] accepts if nothing changed
//! between, and the booking path checks its start with the same [`Offer`].

use crate::time::{Bits, DAY_MS, Interval, TICK_MINUTES, Tick, ticks_of_minutes};
use crate::working::{Week, open_ticks};
use crate::zone::Zone;
use chrono::NaiveDate;

/// The longest service, in minutes.
pub const MAX_SERVICE_MINUTES: i64 = 12 * 60;
/// The longest buffer on one side, in minutes.
pub const MAX_BUFFER_MINUTES: i64 = 4 * 60;
/// Furthest that a service may be booked ahead, in days.
pub const MAX_DAYS_AHEAD: i64 = 90;

/// How a service takes time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Service time, in ticks, at least 1.
    pub service: i64,
    /// Taken before it.
    pub before: i64,
    /// Taken after it.
    pub after: i64,
    /// The part of the service in which the treatment works by itself.
    pub processing: Option<Processing>,
}

/// Time within a service in which its technician is free for somebody else; the room is not. Ticks from
/// the start of the service on; it begins after the start and ends before the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processing {
    /// When it begins.
    pub from: i64,
    /// When it ends.
    pub until: i64,
}

impl Shape {
    /// From minutes, each rounded up to the grid.
    #[must_use]
    pub const fn of_minutes(service: i64, before: i64, after: i64) -> Self {
        Self {
            service: ticks_of_minutes(service),
            before: ticks_of_minutes(before),
            after: ticks_of_minutes(after),
            processing: None,
        }
    }

    /// The same with time in which the treatment works by itself, in minutes from the start on, rounded
    /// inwards to the grid. Nothing changes when nothing remains of it, or nothing of the service beside it.
    #[must_use]
    pub const fn with_processing(mut self, after_minutes: i64, minutes: i64) -> Self {
        let from = ticks_of_minutes(after_minutes);
        let until = (after_minutes + minutes).div_euclid(TICK_MINUTES);
        if 0 < from && from < until && until < self.service {
            self.processing = Some(Processing { from, until });
        }
        self
    }

    /// Ticks in the block.
    #[must_use]
    pub const fn block_ticks(self) -> i64 {
        self.before + self.service + self.after
    }

    /// Service time and block of an appointment that starts at `start`; `None` for a service of no
    /// length.
    #[must_use]
    pub fn at(self, start: Tick) -> Option<(Interval, Interval)> {
        let end = start.plus(self.service);
        Some((
            Interval::new(start, end)?,
            Interval::new(start.plus(-self.before), end.plus(self.after))?,
        ))
    }

    /// Starts whose whole block is free.
    #[must_use]
    pub fn starts(self, free: &Bits) -> Bits {
        free.runs(length(self.block_ticks())).delayed(self.before)
    }

    /// What a technician's calendar gives of an appointment that starts at `start`: service time and
    /// block, twice when there is processing time between; none for a service of no length.
    #[must_use]
    pub fn attended(self, start: Tick) -> Vec<(Interval, Interval)> {
        let Some((service, block)) = self.at(start) else { return Vec::new() };
        let Some(Processing { from, until }) = self.processing else {
            return vec![(service, block)];
        };
        let cut = |from, until, block_from, block_until| {
            Some((Interval::new(from, until)?, Interval::new(block_from, block_until)?))
        };
        let (leaves, returns) = (start.plus(from), start.plus(until));
        let parts = [
            cut(service.start, leaves, block.start, leaves),
            cut(returns, service.end, returns, block.end),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Starts at which a technician with this free time can attend.
    #[must_use]
    pub fn attended_starts(self, free: &Bits) -> Bits {
        let Some(Processing { from, until }) = self.processing else { return self.starts(free) };
        let mut blocks = free.runs(length(self.before + from));
        let returns = free.runs(length(self.service + self.after - until));
        blocks.and(&returns.shifted_down(length(self.before + until)));
        blocks.delayed(self.before)
    }
}

fn length(ticks: i64) -> usize {
    usize::try_from(ticks).unwrap_or(usize::MAX)
}

/// When a store is open: hours of each weekday, but not on holidays.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The zone of the store's clock.
    pub zone: Zone,
    /// Opening hours, Monday first.
    pub hours: &'a Week,
    /// Dates on which it is closed.
    pub holidays: &'a [NaiveDate],
}

impl Opening<'_> {
    /// Open ticks over a range.
    #[must_use]
    pub fn ticks(&self, range: Interval) -> Bits {
        open_ticks(self.zone, range, |date| {
            if self.holidays.contains(&date) { &[] } else { self.hours.on(date) }
        })
    }
}

/// From when to when a service may be booked, seen from `now`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Least time between booking and start, in minutes.
    pub min_minutes: i64,
    /// Furthest ahead, in days of 24 hours.
    pub max_days_ahead: i64,
}

impl Notice {
    /// The starts that may be booked at `now`: `None` when there are none.
    #[must_use]
    pub fn window(self, now: i64) -> Option<Interval> {
        let first = Tick::at_or_after((now + self.min_minutes * 60_000).max(now + 1));
        let last = Tick::at_or_before(now + self.max_days_ahead * DAY_MS);
        Interval::new(first, last.plus(1))
    }
}

/// All that decides, besides a calendar's free time, whether a start is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// How the service takes time.
    pub shape: Shape,
    /// How early and how late it may be booked.
    pub notice: Notice,
    /// When the store is open.
    pub opening: Opening<'a>,
}

/// Why a start is not offered by any technician.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotOffered {
    /// It lies in the past.
    Past,
    /// It is sooner than the service's notice.
    TooSoon,
    /// It is further ahead than the service may be booked.
    TooFarAhead,
    /// The store is closed for some of the service's time.
    Closed,
}

impl Offer<'_> {
    /// Starts within `range` that the service's notice and the store's hours allow.
    #[must_use]
    pub fn allowed(&self, now: i64, range: Interval) -> Bits {
        let mut allowed = Bits::none(range);
        // The service must end while the store is open, so hours are looked at past the range's end.
        let Some(span) = Interval::new(range.start, range.end.plus(self.shape.service)) else {
            return allowed;
        };
        let Some(window) = self.notice.window(now) else { return allowed };
        let open = self.opening.ticks(span).runs(usize::try_from(self.shape.service).unwrap_or(0));
        allowed.fill(window, true);
        allowed.and(&open.within(range));
        allowed
    }

    /// Checks one start by the rules of [`Offer::allowed`], with the reason.
    ///
    /// # Errors
    /// [`NotOffered`].
    pub fn check(&self, now: i64, start: Tick) -> Result<(), NotOffered> {
        if start.ms() <= now {
            return Err(NotOffered::Past);
        }
        let Some(window) = self.notice.window(now) else { return Err(NotOffered::TooFarAhead) };
        if start < window.start {
            return Err(NotOffered::TooSoon);
        }
        if start >= window.end {
            return Err(NotOffered::TooFarAhead);
        }
        let Some((service, _)) = self.shape.at(start) else { return Err(NotOffered::Closed) };
        let open = self.opening.ticks(service).ones().count() as i64;
        if open == service.ticks() { Ok(()) } else { Err(NotOffered::Closed) }
    }
}

/// The starts of `starts` nearest to `wanted`, nearest first, the earlier one first where two are as
/// near; `wanted` itself is left out.
#[must_use]
pub fn nearest(starts: impl Iterator<Item = Tick>, wanted: Tick, most: usize) -> Vec<Tick> {
    let mut found: Vec<Tick> = starts.filter(|start| *start != wanted).collect();
    found.sort_by_key(|start| (start.since(wanted).abs(), *start));
    found.dedup();
    found.truncate(most);
    found
}

/// Minutes in a number of ticks.
#[must_use]
pub const fn minutes_of_ticks(ticks: i64) -> i64 {
    ticks * TICK_MINUTES
}
