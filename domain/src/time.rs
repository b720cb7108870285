//! The time grid: every start, end and block lies on a multiple of five minutes of UTC.
//!
//! A day of bits is a **UTC** day. A local day of a zone with daylight saving has 276 or 300 ticks,
//! a UTC day always has 288; the store's local day is a range of ticks laid over them, found by the
//! zone's table ([`crate::zone`]) and never by adding hours.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::zone::Zone;

/// Minutes in a tick.
pub const TICK_MINUTES: i64 = 5;
/// Milliseconds in a tick.
pub const TICK_MS: i64 = TICK_MINUTES * 60_000;
/// Ticks in a UTC day.
pub const TICKS_PER_DAY: i64 = 24 * 60 / TICK_MINUTES;
/// Milliseconds in a UTC day.
pub const DAY_MS: i64 = TICKS_PER_DAY * TICK_MS;
/// Minutes on a clock face of a day without a jump.
pub const DAY_MINUTES: i64 = 24 * 60;

const BITS: usize = TICKS_PER_DAY as usize;
const WORD_BITS: usize = u64::BITS as usize;

/// An instant on the grid: five-minute steps since the Unix epoch. Serialised as UTC milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(i64);

impl Tick {
    /// The tick of an instant that lies on the grid; `None` for one that does not.
    #[must_use]
    pub const fn from_ms(ms: i64) -> Option<Self> {
        if ms % TICK_MS == 0 { Some(Self(ms / TICK_MS)) } else { None }
    }

    /// The first tick at or after an instant.
    #[must_use]
    pub const fn at_or_after(ms: i64) -> Self {
        Self(-(-ms).div_euclid(TICK_MS))
    }

    /// The last tick at or before an instant.
    #[must_use]
    pub const fn at_or_before(ms: i64) -> Self {
        Self(ms.div_euclid(TICK_MS))
    }

    /// UTC milliseconds.
    #[must_use]
    pub const fn ms(self) -> i64 {
        self.0 * TICK_MS
    }

    /// The tick `ticks` later (earlier when negative).
    #[must_use]
    pub const fn plus(self, ticks: i64) -> Self {
        Self(self.0 + ticks)
    }

    /// Ticks from `earlier` to `self`; negative when `self` comes first.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// The UTC day in which the tick lies.
    #[must_use]
    pub const fn day(self) -> UtcDay {
        UtcDay(self.0.div_euclid(TICKS_PER_DAY))
    }

    /// 0 for the day's first tick, 287 for its last.
    #[must_use]
    pub const fn index_in_day(self) -> usize {
        self.0.rem_euclid(TICKS_PER_DAY) as usize
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_millis(self.ms()) {
            Some(at) => write!(f, "{}", at.format("%Y-%m-%dT%H:%MZ")),
            None => write!(f, "Tick({})", self.0),
        }
    }
}

impl Serialize for Tick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.ms())
    }
}

impl<'de> Deserialize<'de> for Tick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = i64::deserialize(deserializer)?;
        Self::from_ms(ms).ok_or_else(|| D::Error::custom("an instant off the five-minute grid"))
    }
}

/// Minutes as whole ticks, rounded up: a service of 52 minutes takes 55.
#[must_use]
pub const fn ticks_of_minutes(minutes: i64) -> i64 {
    (minutes + TICK_MINUTES - 1) / TICK_MINUTES
}

/// A half-open interval on the grid, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Interval {
    /// First tick inside.
    pub start: Tick,
    /// First tick after.
    pub end: Tick,
}

impl Interval {
    /// `None` when `end` does not come after `start`.
    #[must_use]
    pub const fn new(start: Tick, end: Tick) -> Option<Self> {
        if start.0 < end.0 { Some(Self { start, end }) } else { None }
    }

    /// Ticks inside, at least 1.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.end.since(self.start)
    }

    /// Whether the two share a tick.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// Whether the tick lies inside.
    #[must_use]
    pub const fn contains(self, tick: Tick) -> bool {
        self.start.0 <= tick.0 && tick.0 < self.end.0
    }

    /// The UTC days that the interval touches.
    #[must_use]
    pub const fn days(self) -> DayRange {
        DayRange { from: self.start.day(), until: UtcDay(self.end.plus(-1).day().0 + 1) }
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.start, self.end)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Ends {
            start: Tick,
            end: Tick,
        }
        let ends = Ends::deserialize(deserializer)?;
        Self::new(ends.start, ends.end).ok_or_else(|| D::Error::custom("an empty interval"))
    }
}

/// Days since the Unix epoch, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcDay(pub i64);

impl UtcDay {
    /// The day in which an instant lies.
    #[must_use]
    pub const fn of_ms(ms: i64) -> Self {
        Self(ms.div_euclid(DAY_MS))
    }

    /// Its first tick.
    #[must_use]
    pub const fn start(self) -> Tick {
        Tick(self.0 * TICKS_PER_DAY)
    }

    /// The whole day.
    #[must_use]
    pub const fn interval(self) -> Interval {
        Interval { start: self.start(), end: Self(self.0 + 1).start() }
    }
}

/// A half-open range of UTC days.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DayRange {
    /// First day inside.
    pub from: UtcDay,
    /// First day after.
    pub until: UtcDay,
}

impl DayRange {
    /// The days in order.
    pub fn iter(self) -> impl Iterator<Item = UtcDay> {
        (self.from.0..self.until.0).map(UtcDay)
    }

    /// From the first tick of the first day to the last of the last; `None` for an empty range.
    #[must_use]
    pub const fn interval(self) -> Option<Interval> {
        Interval::new(self.from.start(), self.until.start())
    }
}

/// A run of ticks as bits: bit `i` stands for the tick `origin + i`.
#[derive(Clone, PartialEq, Eq)]
pub struct Bits {
    origin: Tick,
    len: usize,
    words: Vec<u64>,
}

impl Bits {
    /// All bits 0 over `range`.
    #[must_use]
    pub fn none(range: Interval) -> Self {
        let len = usize::try_from(range.ticks()).unwrap_or(0);
        Self { origin: range.start, len, words: vec![0; len.div_ceil(WORD_BITS)] }
    }

    /// The ticks covered.
    #[must_use]
    pub fn range(&self) -> Range<Tick> {
        self.origin..self.origin.plus(self.len as i64)
    }

    fn index(&self, tick: Tick) -> Option<usize> {
        usize::try_from(tick.since(self.origin)).ok().filter(|index| *index < self.len)
    }

    /// Whether the tick's bit is 1; outside the range it is 0.
    #[must_use]
    pub fn get(&self, tick: Tick) -> bool {
        self.index(tick).is_some_and(|index| {
            self.words
                .get(index / WORD_BITS)
                .is_some_and(|word| word >> (index % WORD_BITS) & 1 == 1)
        })
    }

    /// Sets one tick's bit; a tick outside the range is passed over.
    pub fn set(&mut self, tick: Tick, on: bool) {
        if let Some(index) = self.index(tick)
            && let Some(word) = self.words.get_mut(index / WORD_BITS)
        {
            let bit = 1 << (index % WORD_BITS);
            if on { *word |= bit } else { *word &= !bit }
        }
    }

    /// Sets the bits of an interval; what lies outside the range is passed over.
    pub fn fill(&mut self, interval: Interval, on: bool) {
        let from = interval.start.since(self.origin).clamp(0, self.len as i64) as usize;
        let until = interval.end.since(self.origin).clamp(0, self.len as i64) as usize;
        let mut index = from;
        while index < until {
            let (word, bit) = (index / WORD_BITS, index % WORD_BITS);
            let count = (WORD_BITS - bit).min(until - index);
            let mask = (u64::MAX >> (WORD_BITS - count)) << bit;
            if let Some(word) = self.words.get_mut(word) {
                if on { *word |= mask } else { *word &= !mask }
            }
            index += count;
        }
    }

    /// The 64 bits from `index` on, 0 where there are none.
    fn word_at(&self, index: i64) -> u64 {
        let (whole, rest) =
            (index.div_euclid(WORD_BITS as i64), index.rem_euclid(WORD_BITS as i64));
        let word = |at: i64| {
            usize::try_from(at).ok().and_then(|at| self.words.get(at)).copied().unwrap_or(0)
        };
        match rest {
            0 => word(whole),
            _ => word(whole) >> rest | word(whole + 1) << (WORD_BITS as i64 - rest),
        }
    }

    /// The same bits over another range; 0 where there were none.
    #[must_use]
    pub fn within(&self, range: Interval) -> Self {
        let mut bits = Self::none(range);
        let from = range.start.since(self.origin);
        for (index, word) in bits.words.iter_mut().enumerate() {
            *word = self.word_at(from + (index * WORD_BITS) as i64);
        }
        let over = bits.words.len() * WORD_BITS - bits.len;
        if let Some(last) = bits.words.last_mut() {
            *last &= u64::MAX >> over;
        }
        bits
    }

    /// Keeps the bits that are 1 in both. The two cover the same ticks.
    pub fn and(&mut self, other: &Self) {
        debug_assert_eq!((self.origin, self.len), (other.origin, other.len));
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    /// The bits moved `by` ticks towards the past (the bit of tick `t` becomes that of `t + by`).
    #[must_use]
    pub fn shifted_down(&self, by: usize) -> Self {
        let (whole, rest) = (by / WORD_BITS, by % WORD_BITS);
        let word = |index: usize| self.words.get(index).copied().unwrap_or(0);
        let words = (0..self.words.len())
            .map(|index| {
                let low = word(index + whole) >> rest;
                if rest == 0 { low } else { low | word(index + whole + 1) << (WORD_BITS - rest) }
            })
            .collect();
        Self { origin: self.origin, len: self.len, words }
    }

    /// Ticks at which a run of `ticks` ones begins: about log2(`ticks`) shifts and ands.
    #[must_use]
    pub fn runs(&self, ticks: usize) -> Self {
        let mut runs = self.clone();
        let mut have = 1;
        while have < ticks {
            let step = have.min(ticks - have);
            let shifted = runs.shifted_down(step);
            runs.and(&shifted);
            have += step;
        }
        runs
    }

    /// The same bits said of ticks `by` later: what was true of `t` is now true of `t + by`.
    #[must_use]
    pub fn delayed(mut self, by: i64) -> Self {
        self.origin = self.origin.plus(by);
        self
    }

    /// The ticks whose bit is 1, in order.
    pub fn ones(&self) -> impl Iterator<Item = Tick> {
        self.words.iter().enumerate().flat_map(move |(index, &word)| {
            let base = self.origin.plus((index * WORD_BITS) as i64);
            std::iter::successors((word != 0).then_some(word), |rest| {
                let rest = rest & (rest - 1);
                (rest != 0).then_some(rest)
            })
            .map(move |rest| base.plus(i64::from(rest.trailing_zeros())))
        })
    }

    /// Copies a UTC day's bits in; days outside the range are passed over.
    pub fn put_day(&mut self, day: UtcDay, bits: &DayBits) {
        let at = day.start().since(self.origin);
        let whole = usize::try_from(at).ok().filter(|at| at + BITS <= self.len);
        match whole {
            // A day is four and a half words: laid in by shifting, not tick by tick.
            Some(at) => {
                self.fill(day.interval(), false);
                for (index, &word) in bits.0.iter().enumerate() {
                    let (to, bit) = ((at + index * WORD_BITS) / WORD_BITS, at % WORD_BITS);
                    if let Some(low) = self.words.get_mut(to) {
                        *low |= word << bit;
                    }
                    if bit > 0
                        && let Some(high) = self.words.get_mut(to + 1)
                    {
                        *high |= word >> (WORD_BITS - bit);
                    }
                }
            }
            None => {
                for index in 0..TICKS_PER_DAY {
                    let tick = day.start().plus(index);
                    self.set(tick, bits.get(tick));
                }
            }
        }
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ones()).finish()
    }
}

/// One UTC day: 288 bits, one a tick.
///
/// Its text form is 72 hexadecimal digits, 36 bytes in order of time, the earliest tick of a byte in
/// its lowest bit. It is what a calendar projects into `calendar_day.free`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct DayBits([u64; BITS.div_ceil(WORD_BITS)]);

impl DayBits {
    /// All 1.
    #[must_use]
    pub fn all() -> Self {
        let mut bits = Self::default();
        for index in 0..BITS {
            bits.set_index(index, true);
        }
        bits
    }

    fn set_index(&mut self, index: usize, on: bool) {
        if let Some(word) = self.0.get_mut(index / WORD_BITS) {
            let bit = 1 << (index % WORD_BITS);
            if on { *word |= bit } else { *word &= !bit }
        }
    }

    /// The bit of the tick's place in its day; which day it is does not matter.
    #[must_use]
    pub fn get(&self, tick: Tick) -> bool {
        let index = tick.index_in_day();
        self.0.get(index / WORD_BITS).is_some_and(|word| word >> (index % WORD_BITS) & 1 == 1)
    }

    /// Sets the bit of the tick's place in its day.
    pub fn set(&mut self, tick: Tick, on: bool) {
        self.set_index(tick.index_in_day(), on);
    }

    /// How many bits are 1.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// 72 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        const DIGITS: [char; 16] =
            ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
        self.0
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .take(BITS / 8)
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
            .collect()
    }

    /// Reads [`DayBits::to_hex`]'s form; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != BITS / 4 {
            return None;
        }
        let mut bits = Self::default();
        for (index, eight) in digits.as_chunks().0.iter().enumerate() {
            *bits.0.get_mut(index / 2)? |= u64::from(four_bytes(*eight)?) << (index % 2 * 32);
        }
        Some(bits)
    }
}

/// The four bytes that eight hexadecimal digits are, the first in the lowest place; all digits at once,
/// each in its own byte of a word.
fn four_bytes(digits: [u8; 8]) -> Option<u32> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let text = u64::from_le_bytes(digits);
    if text & HIGH != 0 {
        return None;
    }
    // Whether a byte, below 128, is at least so much: then its highest bit is 1.
    let from = |byte: u64, least: u64| (byte + (0x80 - least) * EACH) & HIGH;
    let lower = text | (0x20 * EACH);
    let numerals = from(text, 0x30) & !from(text, 0x3a);
    let letters = from(lower, 0x61) & !from(lower, 0x67);
    if numerals | letters != HIGH {
        return None;
    }
    let nibbles = (text & (0x0f * EACH)) + (letters >> 7) * 9;
    // Pairs into the lower byte of each, then every second byte together.
    let pairs = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

impl fmt::Debug for DayBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl Serialize for DayBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for DayBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not 72 hexadecimal digits"))
    }
}

/// What a store's clock shows at an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wall {
    /// The date.
    pub date: NaiveDate,
    /// Minutes after midnight on the clock face, 0 to 1439.
    pub minute: u16,
    /// What the clock is ahead of UTC, in seconds.
    pub offset_seconds: i32,
}

/// The clock face of `zone` at `ms`, and what it is ahead of UTC in minutes.
fn clock(zone: Zone, ms: i64) -> Option<(NaiveDateTime, i64)> {
    let ahead = zone.offset_minutes(ms);
    let face = DateTime::from_timestamp_millis(ms.checked_add(ahead * 60_000)?)?;
    Some((face.naive_utc(), ahead))
}

/// What the clock of `zone` shows at `ms`; `None` only beyond the calendar's ends.
#[must_use]
pub fn wall_at(zone: Zone, ms: i64) -> Option<Wall> {
    let (at, ahead) = clock(zone, ms)?;
    Some(Wall {
        date: at.date(),
        minute: u16::try_from(at.hour() * 60 + at.minute()).ok()?,
        offset_seconds: i32::try_from(ahead * 60).ok()?,
    })
}

/// The store's business date at an instant.
#[must_use]
pub fn date_at(zone: Zone, ms: i64) -> Option<NaiveDate> {
    wall_at(zone, ms).map(|wall| wall.date)
}

/// What a time written on the store's clock means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocalInstant {
    /// UTC milliseconds.
    Once(i64),
    /// The clock shows it twice (the day it is turned back).
    Twice(i64, i64),
    /// The clock skips it (the day it is turned forward).
    Skipped,
}

/// The instant at which the clock of `zone` shows `local`.
#[must_use]
pub fn local_instant(zone: Zone, local: NaiveDateTime) -> LocalInstant {
    let mut instants = zone.instants(local);
    match (instants.next(), instants.next()) {
        (Some(only), None) => LocalInstant::Once(only),
        (Some(first), Some(second)) => LocalInstant::Twice(first, second),
        (None, _) => LocalInstant::Skipped,
    }
}

/// The first tick of a local date: midnight, or the first tick after it where the clock skips midnight.
#[must_use]
pub fn date_start(zone: Zone, date: NaiveDate) -> Option<Tick> {
    let midnight = date.and_hms_opt(0, 0, 0)?;
    match local_instant(zone, midnight) {
        LocalInstant::Once(ms) | LocalInstant::Twice(ms, _) => Some(Tick::at_or_after(ms)),
        // No zone skips a whole day's clock but by crossing the date line; a day of ticks is enough.
        LocalInstant::Skipped => {
            let around = Tick::at_or_before(midnight.and_utc().timestamp_millis() - DAY_MS);
            (0..3 * TICKS_PER_DAY)
                .map(|step| around.plus(step))
                .find(|tick| date_at(zone, tick.ms()).is_some_and(|at| at >= date))
        }
    }
}

/// The ticks of `days` local dates from `date` on.
#[must_use]
pub fn dates_interval(zone: Zone, date: NaiveDate, days: u32) -> Option<Interval> {
    let until = date.checked_add_days(chrono::Days::new(u64::from(days)))?;
    Interval::new(date_start(zone, date)?, date_start(zone, until)?)
}

/// Walks an interval in stretches over which the clock runs evenly within a date, with what it shows at
/// the first tick of each. The library is asked once an hour: every zone of today changes its offset on a
/// full quarter of an hour of UTC, and an hour that holds a change is walked with a look at each tick.
pub fn walk_wall(zone: Zone, range: Interval, mut each: impl FnMut(Interval, Wall)) {
    const STEP: i64 = 12;
    let mut from = range.start;
    while from < range.end {
        let until = from.plus(STEP).min(range.end);
        let (Some(first), Some(last)) =
            (wall_at(zone, from.ms()), wall_at(zone, until.plus(-1).ms()))
        else {
            return;
        };
        let even = first.offset_seconds == last.offset_seconds
            && first.offset_seconds % 60 == 0
            && first.date == last.date;
        if even && let Some(hour) = Interval::new(from, until) {
            each(hour, first);
        } else {
            for tick in (0..until.since(from)).map(|step| from.plus(step)) {
                if let Some((wall, tick)) =
                    wall_at(zone, tick.ms()).zip(Interval::new(tick, tick.plus(1)))
                {
                    each(tick, wall);
                }
            }
        }
        from = until;
    }
}

/// Appends the instant as RFC 3339 with the store's offset, to the second.
pub fn write_rfc3339(out: &mut String, zone: Zone, ms: i64) {
    use fmt::Write as _;
    if let Some((at, ahead)) = clock(zone, ms) {
        let _ = write!(
            out,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{:02}:{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            if ahead < 0 { '-' } else { '+' },
            ahead.abs() / 60,
            ahead.abs() % 60,
        );
    }
}

/// The instant as RFC 3339 with the store's offset.
#[must_use]
pub fn rfc3339(zone: Zone, ms: i64) -> String {
    let mut out = String::with_capacity(25);
    write_rfc3339(&mut out, zone, ms);
    out
}
