//! Time zones of the IANA database, for the years in which there are bookings.
//!
//! `chrono-tz` knows what every clock did since the nineteenth century, and would be an eighth of the
//! script that is deployed. What clocks do from 2020 to 2059 takes a ninth of that: `table.rs`, which
//! `tests/zone.rs` writes from `chrono-tz` and compares with it.

#[rustfmt::skip]
#[expect(clippy::unreadable_literal, reason = "minutes since 1970 are not for reading")]
mod table;

use std::fmt;
use std::str::FromStr;

use chrono::NaiveDateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const MINUTE_MS: i64 = 60_000;
/// No clock is further from UTC than this.
const MAX_OFFSET_MS: i64 = 18 * 60 * MINUTE_MS;

/// A time zone, by any name that the IANA database has for it.
///
/// It is right from 2020 to 2059. Before and after, the clock stands still: its offset is that of the
/// first or the last instant of those years. Its text and its serialised form are the name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone(&'static Named);

/// A row of the table.
#[derive(PartialEq, Eq)]
struct Named {
    name: &'static str,
    /// What its clock was ahead of UTC as 2020 began, in minutes.
    first: i16,
    /// In their order.
    changes: &'static [Change],
}

/// From an instant on, in minutes since the Unix epoch, its clock is ahead of UTC by so many minutes.
#[derive(PartialEq, Eq)]
struct Change {
    minute: u32,
    offset: i16,
}

impl Change {
    const fn ms(&self) -> i64 {
        self.minute as i64 * MINUTE_MS
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(&Named { name: "UTC", first: 0, changes: &[] });
    /// Beijing time, of the whole mainland.
    pub const SHANGHAI: Self = Self(&Named { name: "Asia/Shanghai", first: 8 * 60, changes: &[] });

    /// Every name of every zone, in alphabetical order.
    pub fn all() -> impl Iterator<Item = Self> {
        table::ZONES.iter().map(Self)
    }

    /// Its name, as it was written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What its clock is ahead of UTC at an instant (UTC milliseconds), in minutes.
    #[must_use]
    pub fn offset_minutes(self, ms: i64) -> i64 {
        self.offset_after(self.changes_until(ms))
    }

    /// The instants (UTC milliseconds) at which its clock shows `local`, in their order: two on the day
    /// it is turned back, none where it is turned forward.
    pub fn instants(self, local: NaiveDateTime) -> impl Iterator<Item = i64> {
        let local = local.and_utc().timestamp_millis();
        let (from, until) = (local - MAX_OFFSET_MS, local + MAX_OFFSET_MS);
        // Each stretch of one offset that comes near enough has the time on its clock, or has not.
        (self.changes_until(from)..=self.changes_until(until)).filter_map(move |changes| {
            let at = local - self.offset_after(changes) * MINUTE_MS;
            (self.changes_until(at) == changes).then_some(at)
        })
    }

    /// How many of its changes are past at an instant.
    fn changes_until(self, ms: i64) -> usize {
        self.0.changes.partition_point(|change| change.ms() <= ms)
    }

    /// The offset in minutes after so many changes.
    fn offset_after(self, changes: usize) -> i64 {
        let last = changes.checked_sub(1).and_then(|last| self.0.changes.get(last));
        last.map_or(self.0.first, |change| change.offset).into()
    }
}

/// No zone has this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no time zone has this name")]
pub struct UnknownZone;

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let found = table::ZONES.binary_search_by(|zone| zone.name.cmp(name));
        found.ok().and_then(|index| table::ZONES.get(index)).map(Self).ok_or(UnknownZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(D::Error::custom)
    }
}
