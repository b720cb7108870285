//! Services at the customer's home: how far, how long to get there, for how much.
//!
//! The rule that keeps jobs reachable is [`crate::calendar`]'s: two claims of one calendar at different
//! places lie at least the way between them apart. Here is how long that way is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::geo::{Area, Point};
use crate::pricing::{MAX_PRICE_FEN, Part};
use crate::time::{Bits, Interval, TICK_MINUTES};

/// Bands in a table of fees or speeds.
pub const MAX_BANDS: usize = 10;
/// The furthest that a band reaches, in metres.
pub const MAX_BAND_M: i64 = 1_000_000;
/// The fastest that anybody goes, in metres a minute: 120 km/h.
pub const MAX_SPEED: i64 = 2_000;
/// Minutes for parking and handing over, at most.
pub const MAX_HANDOVER_MINUTES: i64 = 120;
/// Ticks of the longest way: six hours. A longer one counts as this long, so that a decision looks no
/// further around.
pub const MAX_WAY_TICKS: i64 = 72;

/// What a visit costs within a distance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeeBand {
    /// The furthest that it holds for, 1 to [`MAX_BAND_M`].
    pub up_to_metres: i64,
    /// 0 to [`MAX_PRICE_FEN`].
    pub fee_fen: i64,
}

/// How fast one gets over a distance. The distance is the straight line, so the speed is what is left of
/// the true one after detours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SpeedBand {
    /// The furthest that it holds for, 1 to [`MAX_BAND_M`]; the last band holds for everything beyond.
    pub up_to_metres: i64,
    /// 1 to [`MAX_SPEED`].
    pub metres_per_minute: i64,
}

/// How long a way takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// Parking and handing over at each end of a way, together: 0 to [`MAX_HANDOVER_MINUTES`].
    pub handover_minutes: i64,
    /// Each further than the one before; 1 to [`MAX_BANDS`].
    pub bands: Vec<SpeedBand>,
}

impl Speed {
    /// Ticks of a way, rounded up to the grid, at most [`MAX_WAY_TICKS`]. No way, no time: who stays at
    /// the same point does not park again.
    #[must_use]
    pub fn ticks(&self, metres: i64) -> i64 {
        if metres <= 0 {
            return 0;
        }
        let band = self.bands.iter().find(|band| metres <= band.up_to_metres);
        let Some(band) = band.or(self.bands.last()) else { return MAX_WAY_TICKS };
        let speed = band.metres_per_minute.max(1);
        let per_tick = speed * TICK_MINUTES;
        ((self.handover_minutes * speed + metres + per_tick - 1) / per_tick).clamp(1, MAX_WAY_TICKS)
    }
}

/// How a store serves at home.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HomeService {
    /// Where its technicians go.
    pub area: Area,
    /// What the way costs: each band further than the one before, at most [`MAX_BANDS`]; nothing when
    /// there are none. Nobody goes beyond the last one.
    pub fees: Vec<FeeBand>,
    /// How fast they get there.
    pub speed: Speed,
}

/// What is wrong with a store's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHomeService {
    /// No bands of speed, or more than [`MAX_BANDS`] of one kind.
    Bands,
    /// A band that is not further than the one before.
    Order,
    /// A number out of its range.
    Range,
}

impl HomeService {
    /// Checks the tables.
    ///
    /// # Errors
    /// [`BadHomeService`].
    pub fn check(&self) -> Result<(), BadHomeService> {
        if self.fees.len() > MAX_BANDS || !(1..=MAX_BANDS).contains(&self.speed.bands.len()) {
            return Err(BadHomeService::Bands);
        }
        let good = self.fees.iter().all(|band| (0..=MAX_PRICE_FEN).contains(&band.fee_fen))
            && self
                .speed
                .bands
                .iter()
                .all(|band| (1..=MAX_SPEED).contains(&band.metres_per_minute))
            && (0..=MAX_HANDOVER_MINUTES).contains(&self.speed.handover_minutes);
        let ends = |bands: Vec<i64>| {
            let within = bands.iter().all(|end| (1..=MAX_BAND_M).contains(end));
            (within, bands.is_sorted_by(|one, next| one < next))
        };
        let (fees_within, fees_rise) =
            ends(self.fees.iter().map(|band| band.up_to_metres).collect());
        let (speeds_within, speeds_rise) =
            ends(self.speed.bands.iter().map(|band| band.up_to_metres).collect());
        if !(good && fees_within && speeds_within) {
            return Err(BadHomeService::Range);
        }
        if fees_rise && speeds_rise { Ok(()) } else { Err(BadHomeService::Order) }
    }

    /// What the way from the store to a point costs, in fen; `None` for a point where nobody goes.
    #[must_use]
    pub fn fee_fen(&self, store: Point, point: Point) -> Option<i64> {
        if !self.area.contains(store, point) {
            return None;
        }
        if self.fees.is_empty() {
            return Some(0);
        }
        let metres = store.metres_to(point);
        self.fees.iter().find(|band| metres <= band.up_to_metres).map(|band| band.fee_fen)
    }

    /// The place of a visit by a technician who works in `stores`, and who sets out from `base` and
    /// returns there.
    #[must_use]
    pub fn place(&self, point: Point, base: Point, stores: &BTreeMap<String, Point>) -> Home {
        let way = |to: Point| self.speed.ticks(point.metres_to(to));
        Home {
            point,
            base_ticks: way(base),
            store_ticks: stores.iter().map(|(id, store)| (id.clone(), way(*store))).collect(),
            speed: self.speed.clone(),
        }
    }
}

/// The part of a price that the way is; none for a way that costs nothing.
#[must_use]
pub fn fee_part(fee_fen: i64) -> Option<Part> {
    (fee_fen > 0).then(|| Part::new("travel", fee_fen))
}

/// The place of a claim that is not in the store, with the ways from there as they were when it was
/// asked for: what the merchant changes later moves no appointment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Home {
    /// Where.
    pub point: Point,
    /// To where the technician sets out from and returns to.
    base_ticks: i64,
    /// To each store that the technician works in.
    store_ticks: BTreeMap<String, i64>,
    /// How long ways to other homes take.
    speed: Speed,
}

impl Home {
    /// Ticks to where the technician sets out from.
    #[must_use]
    pub fn base_ticks(&self) -> i64 {
        self.base_ticks.clamp(0, MAX_WAY_TICKS)
    }

    /// Ticks to a store. One that the technician did not work in then counts as the furthest.
    #[must_use]
    pub fn to_store(&self, store_id: &str) -> i64 {
        self.store_ticks
            .get(store_id)
            .copied()
            .map_or_else(|| self.furthest_store(), |ticks| ticks.clamp(0, MAX_WAY_TICKS))
    }

    /// Ticks to another home: of the two speeds the slower.
    #[must_use]
    pub fn to_home(&self, other: &Self) -> i64 {
        let metres = self.point.metres_to(other.point);
        self.speed.ticks(metres).max(other.speed.ticks(metres))
    }

    /// Ticks to the furthest store.
    #[must_use]
    pub fn furthest_store(&self) -> i64 {
        self.store_ticks.values().copied().max().unwrap_or(self.base_ticks).clamp(0, MAX_WAY_TICKS)
    }
}

/// Where a claim is: in a store, or at home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    /// In the store with this id.
    Store(&'a str),
    /// At a customer's.
    Home(&'a Home),
}

impl Place<'_> {
    /// Ticks that must lie between claims at two places; 0 where none must, and the claims may even be
    /// at the same time, if there is room. Between stores the technician's working windows leave time.
    #[must_use]
    pub fn way(self, other: Self) -> i64 {
        match (self, other) {
            (Self::Store(_), Self::Store(_)) => 0,
            (Self::Home(home), Self::Store(id)) | (Self::Store(id), Self::Home(home)) => {
                home.to_store(id)
            }
            (Self::Home(one), Self::Home(other)) => one.to_home(other),
        }
    }
}

/// Ticks that a claim at home may take, when `free` are those that one more unit fits in, `working` those
/// of working time, and `others` the other claims' blocks with their places: a block lies within them
/// exactly when [`crate::calendar::Calendar::hold`] finds it reachable. The bits cover the same range.
#[must_use]
pub fn reachable<'a>(
    home: &Home,
    free: &Bits,
    working: &Bits,
    others: impl Iterator<Item = (Interval, Place<'a>)>,
) -> Bits {
    let mut reachable = free.clone();
    for (block, place) in others {
        let way = Place::Home(home).way(place);
        if way > 0
            && let Some(near) = around(block, way)
        {
            reachable.fill(near, false);
        }
    }
    let base = usize::try_from(home.base_ticks()).unwrap_or(0);
    reachable.and(&working.runs(2 * base + 1).shifted_up(base));
    reachable
}

/// An interval with so many ticks more on either side.
#[must_use]
pub fn around(interval: Interval, ticks: i64) -> Option<Interval> {
    Interval::new(interval.start.plus(-ticks), interval.end.plus(ticks))
}
