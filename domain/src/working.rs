//! When somebody works: the rules that the calendar object keeps, and the ticks that follow from them.
//!
//! A tick belongs to working time when the store's clock, asked at that tick, shows a time inside a
//! range of its date. So a range keeps its wall-clock meaning on the two daylight-saving days of a
//! zone: an hour that is skipped is not worked, one that comes twice is worked twice.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::time::{Bits, DAY_MINUTES, DayBits, Interval, TICK_MINUTES, UtcDay, Wall, walk_wall};
use crate::zone::Zone;

/// Ranges in one date's hours.
pub const MAX_RANGES_PER_DAY: usize = 6;
/// Weekly patterns of one calendar, past ones among them.
pub const MAX_WEEKLY_PATTERNS: usize = 60;
/// Per-date overrides of one calendar.
pub const MAX_OVERRIDES: usize = 800;
/// Times off of one calendar.
pub const MAX_TIMES_OFF: usize = 400;
/// Store holidays known to one calendar.
pub const MAX_HOLIDAYS: usize = 800;
/// Stores in which one technician works.
pub const MAX_STORES: usize = 20;

/// A range on the clock face, in minutes after midnight: `start` 0 to 1435, `end` at most a day later
/// (a range that crosses midnight belongs to the date on which it starts). Multiples of five.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct MinuteRange {
    /// First minute inside.
    pub start: u16,
    /// First minute after; up to 2,880.
    pub end: u16,
}

impl MinuteRange {
    /// `None` unless both lie on the grid, `start` within the day, and `end` 1 to 1,440 minutes later.
    #[must_use]
    pub fn new(start: u16, end: u16) -> Option<Self> {
        let (from, until) = (i64::from(start), i64::from(end));
        let good = from < DAY_MINUTES
            && from < until
            && until <= from + DAY_MINUTES
            && from % TICK_MINUTES == 0
            && until % TICK_MINUTES == 0;
        good.then_some(Self { start, end })
    }

    /// What of ticks that begin at `minute` lies inside, the clock running evenly.
    fn cut(self, ticks: Interval, minute: i64) -> Option<Interval> {
        let tick = |edge: u16| {
            let minutes = i64::from(edge) - minute;
            ticks.start.plus(-(-minutes).div_euclid(TICK_MINUTES))
        };
        Interval::new(tick(self.start).max(ticks.start), tick(self.end).min(ticks.end))
    }
}

impl<'de> Deserialize<'de> for MinuteRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Ends {
            start: u16,
            end: u16,
        }
        let ends = Ends::deserialize(deserializer)?;
        Self::new(ends.start, ends.end).ok_or_else(|| D::Error::custom("no range of minutes"))
    }
}

/// Ranges for each weekday, Monday first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Week(pub [Vec<MinuteRange>; 7]);

impl Week {
    /// The ranges of the weekday on which a date falls.
    #[must_use]
    pub fn on(&self, date: NaiveDate) -> &[MinuteRange] {
        self.0.get(date.weekday().num_days_from_monday() as usize).map_or(&[], Vec::as_slice)
    }
}

/// A weekly pattern in one store, valid from a date until a later one of that store takes over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WeeklyPattern {
    /// The store in which the work is done.
    pub store_id: String,
    /// First date on which it holds.
    pub valid_from: NaiveDate,
    /// Monday first.
    pub week: Week,
}

/// The ranges of one date in one store, in place of the weekly pattern; none means not working.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DateOverride {
    /// The store.
    pub store_id: String,
    /// The date.
    pub date: NaiveDate,
    /// Working time on that date.
    pub ranges: Vec<MinuteRange>,
}

/// Time off, in every store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeOff {
    /// Its id.
    pub id: String,
    /// When.
    pub interval: Interval,
    /// Why, for the staff's eyes.
    #[serde(default)]
    pub reason: String,
}

/// All the rules of one calendar.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WorkingRules {
    /// The stores and the zones of their clocks.
    pub stores: BTreeMap<String, Zone>,
    /// Weekly patterns, in any order.
    pub weekly: Vec<WeeklyPattern>,
    /// Overrides, at most one a store and date.
    pub overrides: Vec<DateOverride>,
    /// Times off.
    pub times_off: Vec<TimeOff>,
    /// Dates on which a store is closed.
    pub holidays: Vec<(String, NaiveDate)>,
}

impl WorkingRules {
    /// Names the limit that the rules pass, if they pass one.
    ///
    /// # Errors
    /// The name of what is too long.
    pub fn check_limits(&self) -> Result<(), &'static str> {
        let ranges_fit = |ranges: &Vec<MinuteRange>| ranges.len() <= MAX_RANGES_PER_DAY;
        let limits = [
            (self.stores.len() <= MAX_STORES, "stores"),
            (self.weekly.len() <= MAX_WEEKLY_PATTERNS, "weekly"),
            (self.overrides.len() <= MAX_OVERRIDES, "overrides"),
            (self.times_off.len() <= MAX_TIMES_OFF, "times_off"),
            (self.holidays.len() <= MAX_HOLIDAYS, "holidays"),
            (self.weekly.iter().all(|pattern| pattern.week.0.iter().all(ranges_fit)), "week"),
            (self.overrides.iter().all(|date| ranges_fit(&date.ranges)), "ranges"),
        ];
        limits.into_iter().find(|(fits, _)| !fits).map_or(Ok(()), |(_, name)| Err(name))
    }

    /// The ranges that hold on a date in a store, before times off.
    #[must_use]
    pub fn ranges_on(&self, store_id: &str, date: NaiveDate) -> &[MinuteRange] {
        if self.holidays.iter().any(|(store, on)| store == store_id && *on == date) {
            return &[];
        }
        if let Some(only) =
            self.overrides.iter().find(|only| only.store_id == store_id && only.date == date)
        {
            return &only.ranges;
        }
        self.weekly
            .iter()
            .filter(|pattern| pattern.store_id == store_id && pattern.valid_from <= date)
            .max_by_key(|pattern| pattern.valid_from)
            .map_or(&[], |pattern| pattern.week.on(date))
    }

    /// Working time in a store over a range of ticks.
    #[must_use]
    pub fn working(&self, store_id: &str, range: Interval) -> Bits {
        let Some(&zone) = self.stores.get(store_id) else { return Bits::none(range) };
        let mut bits = open_ticks(zone, range, |date| self.ranges_on(store_id, date));
        for off in &self.times_off {
            bits.fill(off.interval, false);
        }
        bits
    }

    /// Working time in a store on a UTC day.
    #[must_use]
    pub fn working_day(&self, store_id: &str, day: UtcDay) -> DayBits {
        let mut bits = DayBits::default();
        for tick in self.working(store_id, day.interval()).ones() {
            bits.set(tick, true);
        }
        bits
    }
}

/// The ticks at which a clock shows a time inside the ranges of its date: a store's opening hours, or
/// working time. `ranges_on` is asked once for each date met, and once for the date before it.
#[must_use]
pub fn open_ticks<'a>(
    zone: Zone,
    range: Interval,
    ranges_on: impl Fn(NaiveDate) -> &'a [MinuteRange],
) -> Bits {
    let mut bits = Bits::none(range);
    let mut known: Option<(NaiveDate, &[MinuteRange], &[MinuteRange])> = None;
    walk_wall(zone, range, |ticks, Wall { date, minute, .. }| {
        let (today, before) = match known {
            Some((on, today, before)) if on == date => (today, before),
            _ => {
                let before = date.pred_opt().map_or(&[] as &[_], &ranges_on);
                let today = ranges_on(date);
                known = Some((date, today, before));
                (today, before)
            }
        };
        let minute = i64::from(minute);
        for (ranges, minute) in [(today, minute), (before, minute + DAY_MINUTES)] {
            for open in ranges.iter().filter_map(|range| range.cut(ticks, minute)) {
                bits.fill(open, true);
            }
        }
    });
    bits
}
