//! What decides a start besides the calendar object, read from D1 in one row.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use zhundian_domain::availability::{
    MAX_SERVICE_MINUTES, NotOffered, Notice, Offer as Rule, Opening, Shape,
};
use zhundian_domain::cancellation::Tiers;
use zhundian_domain::geo::Point;
use zhundian_domain::home::{Home, HomeService, fee_part};
use zhundian_domain::intake::Form;
use zhundian_domain::pricing::{DepositRule, Part, Price, price};
use zhundian_domain::time::{
    Bits, DayBits, DayRange, Interval, LocalInstant, Tick, UtcDay, date_at, local_instant, wall_at,
};
use zhundian_domain::working::Week;
use zhundian_domain::zone::Zone;
use zhundian_durable_objects::calls::ProjectedDay;

use crate::booking::visit::{Rounds, Travel, Visit};
use crate::calendars;
use crate::catalog::home::point;
use crate::catalog::ways::Ways;
use crate::catalog::{AddOn, Mode, Place};
use crate::error::{Answer, Code, Problem};
use crate::http::fields::{Id, Instant};
use crate::order::view::Resource;

/// The row that [`super::queries::offer`] answers.
#[derive(Debug, Deserialize)]
pub struct Row {
    service: Option<Service>,
    store: Option<Store>,
    offered: bool,
    taken: BTreeMap<NaiveDate, i64>,
    /// Minutes before the visit at which its messages go out; what may be taken with the service.
    extras: Option<(Vec<i64>, Vec<AddOn>)>,
    /// What the line that is meant has taken.
    line_add_ons: Option<Vec<AddOn>>,
    intake: Option<Form>,
    technicians: Option<Vec<Technician>>,
    besides: Option<Besides>,
}

/// What a service takes besides a technician's time.
#[derive(Debug, Deserialize)]
struct Besides {
    /// Minutes after the start, and how many, in which the treatment works by itself.
    processing: Option<(i64, i64)>,
    /// How many kinds of rooms and equipment.
    resources: usize,
    /// Each calendar that would do, with the number of what it would do for; -1 is the store's capacity.
    calendars: Option<Vec<BesidesRow>>,
}

/// Of what, the calendar, what it is called, its free bits, how many it has room for at once.
type BesidesRow = (i64, String, String, Option<String>, u16);

/// The calendars of which one is taken with the technician's.
#[derive(Debug, Default)]
pub struct Pool(Vec<PoolCalendar>);

/// A room, a piece of equipment, or how much the store has room for.
#[derive(Debug)]
pub struct PoolCalendar {
    /// Its calendar's name.
    pub calendar: String,
    /// What it is called.
    pub name: String,
    /// How many it has room for at once.
    pub capacity: u16,
    free: Option<String>,
}

/// What calendars have said of their days a moment ago, later than the projection.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The store whose days are meant.
    pub store_id: &'a Id,
    /// By calendar.
    pub fresh: &'a [(String, Vec<ProjectedDay>)],
}

impl Known<'_> {
    fn days(&self, calendar: &str) -> impl Iterator<Item = &ProjectedDay> {
        let days = self.fresh.iter().filter(move |(of, _)| of == calendar);
        days.flat_map(|(_, days)| days).filter(move |day| day.store_id == self.store_id.as_str())
    }

    fn correct(self, bits: &mut Bits, calendar: &str) {
        for day in self.days(calendar) {
            bits.put_day(day.day, &day.free);
        }
    }
}

/// Digits of a day's bits.
const HEX: usize = 72;

/// Free ticks over `days`, of day numbers and bits without separators: five digits until the year 2243,
/// then 72 digits.
fn free_bits(text: Option<&str>, days: Interval) -> Bits {
    let mut bits = Bits::none(days);
    let mut rest = text.unwrap_or_default();
    while let Some((day, after)) = rest.split_at_checked(5) {
        let Some((hex, after)) = after.split_at_checked(HEX) else { break };
        if let (Ok(day), Some(free)) = (day.parse(), DayBits::from_hex(hex)) {
            bits.put_day(UtcDay(day), &free);
        }
        rest = after;
    }
    bits
}

/// Room and working time over `days`, of day numbers and three sets of bits each: those that are free in
/// the store, those in which there is room, those of working time.
fn rounds_bits(text: Option<&str>, days: Interval) -> (Bits, Bits) {
    let (mut room, mut working) = (Bits::none(days), Bits::none(days));
    let mut rest = text.unwrap_or_default();
    while let Some((day, after)) = rest.split_at_checked(5) {
        let Some((_, after)) = after.split_at_checked(HEX) else { break };
        let Some((there, after)) = after.split_at_checked(HEX) else { break };
        let Some((works, after)) = after.split_at_checked(HEX) else { break };
        let bits = DayBits::from_hex(there).zip(DayBits::from_hex(works));
        if let (Ok(day), Some((there, works))) = (day.parse(), bits) {
            room.put_day(UtcDay(day), &there);
            working.put_day(UtcDay(day), &works);
        }
        rest = after;
    }
    (room, working)
}

/// A service as booking needs it.
#[derive(Debug, Deserialize)]
pub struct Service {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    duration_minutes: i64,
    buffer_before_minutes: i64,
    buffer_after_minutes: i64,
    min_notice_minutes: i64,
    max_days_ahead: i64,
    /// Least minutes before the start for a member to cancel or move.
    pub change_notice_minutes: i64,
    /// Most appointments a store and date.
    pub max_per_day: Option<i64>,
    price_fen: i64,
    level_prices: Vec<(String, i64)>,
    /// What must be paid before the visit.
    pub deposit: DepositRule,
    /// Where it is done.
    pub places: Vec<Place>,
    /// How it is booked.
    pub modes: Vec<Mode>,
    /// What comes back when it is given up: the service's tiers, or the store's, or the usual ones.
    cancellation: Option<Tiers>,
    /// Live appointments by date, where they are limited.
    #[serde(skip)]
    taken: BTreeMap<NaiveDate, i64>,
    /// How often a member may move an appointment.
    pub max_moves: Option<i64>,
}

impl Service {
    /// What comes back when an appointment is given up.
    #[must_use]
    pub fn cancellation(&self) -> Tiers {
        self.cancellation.clone().unwrap_or_default()
    }
}

/// A store as booking needs it.
#[derive(Debug, Deserialize)]
pub struct Store {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// The zone of its clock.
    pub time_zone: Zone,
    hours: Week,
    open: bool,
    /// How it takes bookings.
    pub ways: Ways,
    /// A member who did not come so often pays before the visit.
    pub prepay_after_no_shows: Option<i64>,
    holidays: Vec<NaiveDate>,
    latitude: f64,
    longitude: f64,
    home_service: Option<HomeService>,
}

impl Store {
    /// Where it is.
    ///
    /// # Errors
    /// 500 for a row that does not fit.
    pub fn point(&self) -> Answer<Point> {
        point(self.latitude, self.longitude)
    }
}

/// A technician who can do the service in the store.
#[derive(Debug, Deserialize)]
pub struct Technician(
    /// Its id.
    pub Id,
    /// Its name.
    pub String,
    String,
    Option<String>,
    Option<BTreeMap<NaiveDate, i64>>,
    i64,
    Option<Rounds>,
);

impl Technician {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.0
    }

    /// Live appointments on a date, when they were asked for.
    #[must_use]
    pub fn load(&self, date: NaiveDate) -> i64 {
        self.4.as_ref().and_then(|loads| loads.get(&date)).copied().unwrap_or(0)
    }

    /// Their level.
    #[must_use]
    pub fn level(&self) -> &str {
        &self.2
    }

    /// When they were last given an order by turn; UTC milliseconds.
    #[must_use]
    pub const fn turn_at(&self) -> i64 {
        self.5
    }

    /// Free ticks by what is known.
    #[must_use]
    pub fn known_free(&self, days: Interval, known: Known) -> Bits {
        let mut free = self.free(days);
        known.correct(&mut free, &calendars::technician(&self.0));
        free
    }

    /// Free ticks as the projection has them, over `days`.
    #[must_use]
    pub fn free(&self, days: Interval) -> Bits {
        free_bits(self.3.as_deref(), days)
    }
}

/// A service in a store that may be booked, with the technicians who can do it.
#[derive(Debug)]
pub struct Offer {
    /// The service.
    pub service: Service,
    /// The store.
    pub store: Store,
    /// Minutes before the visit at which its messages go out.
    pub reminder_minutes: Vec<i64>,
    /// What it asks its customers before the visit, where that was read.
    pub intake: Option<Form>,
    /// Who can do it; the one asked for, or none of them when they cannot.
    pub technicians: Vec<Technician>,
    /// What is taken besides, one calendar of each.
    pub pools: Vec<Pool>,
    processing: Option<(i64, i64)>,
    /// What may be taken with the service.
    may_add: Vec<AddOn>,
    /// What is taken with it.
    add_ons: Vec<AddOn>,
    /// Of a visit at home: the place for each technician, as they are in `technicians`, and the fee.
    visit: Option<(Vec<Home>, i64)>,
}

impl Row {
    /// The offer, or why there is none.
    ///
    /// # Errors
    /// `unknown_service`, `unknown_store`, `service_not_offered`.
    pub fn into_offer(self) -> Answer<Offer> {
        let mut service =
            self.service.ok_or_else(|| Problem::from(Code::UnknownService).at("service_id"))?;
        service.taken = self.taken;
        let store = self.store.ok_or_else(|| Problem::from(Code::UnknownStore).at("store_id"))?;
        if !self.offered {
            return Err(Problem::from(Code::ServiceNotOffered).at("service_id"));
        }
        let (processing, pools) = self.besides.map_or((None, Vec::new()), Besides::into_pools);
        let technicians = self.technicians.unwrap_or_default();
        let (reminder_minutes, may_add) = self.extras.unwrap_or_default();
        let add_ons = self.line_add_ons.unwrap_or_default();
        let intake = self.intake;
        Ok(Offer {
            service,
            store,
            reminder_minutes,
            intake,
            technicians,
            pools,
            processing,
            may_add,
            add_ons,
            visit: None,
        })
    }
}

impl Besides {
    fn into_pools(self) -> (Option<(i64, i64)>, Vec<Pool>) {
        let mut pools: Vec<Pool> = (0..self.resources).map(|_| Pool::default()).collect();
        let mut store = Pool::default();
        for (of, calendar, name, free, capacity) in self.calendars.unwrap_or_default() {
            let pool = usize::try_from(of).ok().and_then(|of| pools.get_mut(of));
            pool.unwrap_or(&mut store).0.push(PoolCalendar { calendar, name, capacity, free });
        }
        pools.extend(Some(store).filter(|store| !store.0.is_empty()));
        (self.processing, pools)
    }
}

impl Pool {
    /// The calendars, those first that are free for `start` by what is known; and how many are.
    #[must_use]
    pub fn by_freedom(&self, shape: Shape, start: Tick, around: Interval) -> (Vec<String>, usize) {
        let is_free = |one: &&PoolCalendar| shape.starts(&one.free(around)).get(start);
        let (mut free, taken): (Vec<_>, Vec<_>) = self.0.iter().partition(is_free);
        let count = free.len();
        free.extend(taken);
        (free.into_iter().map(|one| one.calendar.clone()).collect(), count)
    }

    /// Each of the pool's.
    pub fn each(&self) -> impl Iterator<Item = &PoolCalendar> {
        self.0.iter()
    }

    /// Every calendar of the pool.
    pub fn calendars(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|one| one.calendar.as_str())
    }

    /// What a calendar of the pool is called.
    #[must_use]
    pub fn name(&self, calendar: &str) -> Option<&str> {
        self.0.iter().find(|one| one.calendar == calendar).map(|one| one.name.as_str())
    }
}

impl PoolCalendar {
    fn free(&self, days: Interval) -> Bits {
        free_bits(self.free.as_deref(), days)
    }

    /// Free ticks by what is known.
    #[must_use]
    pub fn known_free(&self, days: Interval, known: Known) -> Bits {
        let mut free = self.free(days);
        known.correct(&mut free, &self.calendar);
        free
    }
}

impl Offer {
    /// Takes these with the service, besides what is taken already.
    ///
    /// # Errors
    /// `unknown_add_on`; `visit_too_long`.
    pub fn add(&mut self, ids: &[Id]) -> Answer<()> {
        for id in ids {
            let at = |code: Code| Problem::from(code).at("add_ons");
            let one = self.may_add.iter().find(|one| one.id == *id);
            let one = one.ok_or_else(|| at(Code::UnknownAddOn))?;
            self.add_ons.push(one.clone());
        }
        let lengthened: i64 = self.add_ons.iter().map(|one| one.minutes).sum();
        if !ids.is_empty() && self.service.duration_minutes + lengthened > MAX_SERVICE_MINUTES {
            return Err(Problem::from(Code::VisitTooLong).with(MAX_SERVICE_MINUTES).at("add_ons"));
        }
        Ok(())
    }

    /// What is taken with the service.
    #[must_use]
    pub fn add_ons(&self) -> &[AddOn] {
        &self.add_ons
    }

    /// How the service takes time, with what is taken with it.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let service = &self.service;
        let lengthened: i64 = self.add_ons.iter().map(|one| one.minutes).sum();
        let shape = Shape::of_minutes(
            service.duration_minutes + lengthened,
            service.buffer_before_minutes,
            service.buffer_after_minutes,
        );
        match self.processing {
            Some((after_minutes, minutes)) => shape.with_processing(after_minutes, minutes),
            None => shape,
        }
    }

    /// The technician whose calendar it is.
    ///
    /// # Errors
    /// None in practice.
    pub fn attending(&self, calendar: &str) -> Answer<&Technician> {
        let mut all = self.technicians.iter();
        all.find(|one| calendars::technician(one.id()) == calendar)
            .ok_or_else(|| Problem::internal("no technician"))
    }

    /// The room or equipment that a calendar is of.
    #[must_use]
    pub fn resource(&self, calendar: &str) -> Option<Resource> {
        let id = calendar.strip_prefix("room:")?.parse().ok()?;
        let name = self.pools.iter().find_map(|pool| pool.name(calendar))?;
        Some(Resource { id, name: name.to_owned() })
    }

    /// Makes it an offer at the customer's home. Rooms and what the store has room for stay out of it.
    /// An order that is moved stays where it was accepted, at the price it had.
    ///
    /// # Errors
    /// `place_not_offered` when the store does not serve at home; `address_outside_area` for a new order.
    pub fn visit(&mut self, point: Point, new: bool) -> Answer<Option<Travel>> {
        let rule = self.store.home_service.clone();
        let rule = rule.ok_or_else(|| Problem::from(Code::PlaceNotOffered).at("place"))?;
        let visit = Visit::new(point, self.store.point()?, rule);
        let travel = if new { Some(visit.travel()?) } else { None };
        let homes = self.technicians.iter().map(|one| {
            let rounds = one.6.as_ref().ok_or_else(|| Problem::internal("no rounds were read"))?;
            rounds.place(&visit)
        });
        let homes = homes.collect::<Answer<Vec<_>>>()?;
        self.visit = Some((homes, travel.map_or(0, |travel| travel.fee_fen)));
        self.pools.clear();
        Ok(travel)
    }

    /// The places that claims carry, by the technicians' calendars; none in the store.
    #[must_use]
    pub fn homes(&self) -> BTreeMap<String, Box<Home>> {
        let homes = self.visit.iter().flat_map(|(homes, _)| homes.iter().cloned().map(Box::new));
        self.technicians.iter().map(|one| calendars::technician(one.id())).zip(homes).collect()
    }

    /// Whether a technician is free for a start, by the projection.
    #[must_use]
    pub fn is_free(&self, technician: &Technician, start: Tick) -> bool {
        let Some((_, block)) = self.shape().at(start) else { return false };
        let known = Known { store_id: &self.store.id, fresh: &[] };
        self.starts(technician, days_around(block), known).get(start)
    }

    /// Starts at which a technician is free, over `around`, by what is known.
    #[must_use]
    pub fn starts(&self, technician: &Technician, around: Interval, known: Known) -> Bits {
        let calendar = calendars::technician(technician.id());
        let home = self.visit.as_ref().and_then(|(homes, _)| {
            let at = self.technicians.iter().position(|one| one.id() == technician.id())?;
            Some((homes.get(at)?, technician.6.as_ref()?))
        });
        let Some((home, rounds)) = home else {
            return self.shape().attended_starts(&technician.known_free(around, known));
        };
        let (mut room, mut working) = rounds_bits(technician.3.as_deref(), around);
        for day in known.days(&calendar) {
            room.put_day(day.day, &day.bits().room);
            working.put_day(day.day, &day.bits().working);
        }
        self.shape().attended_starts(&rounds.reachable(home, &room, &working))
    }

    /// Keeps of `allowed` the starts at which one calendar of every pool is free.
    pub fn keep_with_resources(&self, allowed: &mut Bits, around: Interval, known: Known) {
        for pool in &self.pools {
            let starts: Vec<Bits> = pool
                .0
                .iter()
                .map(|one| self.shape().starts(&one.known_free(around, known)))
                .collect();
            let taken: Vec<Tick> =
                allowed.ones().filter(|tick| !starts.iter().any(|bits| bits.get(*tick))).collect();
            for tick in taken {
                allowed.set(tick, false);
            }
        }
    }

    /// The rule that decides starts. Staff book a customer who stands before them: no notice for them.
    #[must_use]
    pub fn rule(&self, by_staff: bool) -> Rule<'_> {
        Rule {
            shape: self.shape(),
            notice: Notice {
                min_minutes: if by_staff { 0 } else { self.service.min_notice_minutes },
                max_days_ahead: self.service.max_days_ahead,
            },
            opening: Opening {
                zone: self.store.time_zone,
                hours: &self.store.hours,
                holidays: &self.store.holidays,
            },
        }
    }

    /// Refuses when the store takes no bookings.
    ///
    /// # Errors
    /// `store_closed`.
    pub fn require_open(&self) -> Answer<()> {
        if self.store.open { Ok(()) } else { Err(Code::StoreClosed.into()) }
    }

    /// Whether the store takes bookings.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.store.open
    }

    /// Whether a date has as many appointments of the service as it may have.
    #[must_use]
    pub fn is_full(&self, date: NaiveDate) -> bool {
        let taken = self.service.taken.get(&date).copied();
        self.service.max_per_day.is_some_and(|most| taken.unwrap_or(0) >= most)
    }

    /// Refuses a service of mode plan: it is booked by making a plan, and in no other way.
    ///
    /// # Errors
    /// `mode_not_offered`.
    pub fn require_no_plan(&self) -> Answer<()> {
        if self.service.modes.contains(&Mode::Plan) {
            return Err(Problem::from(Code::ModeNotOffered).at("service_id"));
        }
        Ok(())
    }

    /// Whether a date has room for so many more appointments of the service, by its most per day.
    #[must_use]
    pub fn has_room(&self, date: NaiveDate, more: i64) -> bool {
        let taken = self.service.taken.get(&date).copied();
        self.service.max_per_day.is_none_or(|most| taken.unwrap_or(0) + more <= most)
    }

    /// Whether the store is closed on a date, by holiday or by its hours.
    #[must_use]
    pub fn is_closed(&self, date: NaiveDate) -> bool {
        self.store.holidays.contains(&date) || self.store.hours.on(date).is_empty()
    }

    /// The start as a tick of the grid, checked against notice, horizon and hours; and its date.
    ///
    /// # Errors
    /// A code for each way in which it cannot be.
    pub fn start(&self, now: i64, start: Instant, by_staff: bool) -> Answer<(Tick, NaiveDate)> {
        let at = |code: Code| Problem::from(code).at("start_at");
        let tick = resolve(self.store.time_zone, start).map_err(at)?;
        Ok((tick, self.check_start(now, tick, by_staff)?))
    }

    /// Checks a start against notice, horizon and hours; its date.
    ///
    /// # Errors
    /// A code for each way in which it cannot be.
    pub fn check_start(&self, now: i64, tick: Tick, by_staff: bool) -> Answer<NaiveDate> {
        let at = |code: Code| Problem::from(code).at("start_at");
        self.rule(by_staff).check(now, tick).map_err(|why| {
            at(match why {
                NotOffered::Past => Code::StartInPast,
                NotOffered::TooSoon => Code::StartTooSoon,
                NotOffered::TooFarAhead => Code::StartTooFar,
                NotOffered::Closed => Code::OutsideHours,
            })
        })?;
        date_at(self.store.time_zone, tick.ms()).ok_or_else(|| at(Code::InvalidInstant))
    }

    /// The price with a technician.
    #[must_use]
    pub fn price(&self, technician: &Technician) -> Price {
        price(self.service.price_fen, &self.service.level_prices, &technician.2).and(self.parts())
    }

    /// The price of an appointment whose technician the store chooses: the same whoever it will be.
    #[must_use]
    pub fn price_of_any(&self) -> Price {
        price(self.service.price_fen, &[], "").and(self.parts())
    }

    /// What is paid for besides the service itself.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let add_ons = self.add_ons.iter().map(|one| Part::add_on(&one.name, one.price_fen));
        add_ons.chain(self.visit.as_ref().and_then(|(_, fee_fen)| fee_part(*fee_fen)))
    }

    /// Starts allowed over `range`, days that are full left out.
    #[must_use]
    pub fn allowed(&self, now: i64, range: Interval, by_staff: bool) -> Bits {
        let mut allowed = self.rule(by_staff).allowed(now, range);
        if self.service.max_per_day.is_some() {
            let full: Vec<Tick> = allowed
                .ones()
                .filter(|start| {
                    date_at(self.store.time_zone, start.ms()).is_some_and(|date| self.is_full(date))
                })
                .collect();
            for start in full {
                allowed.set(start, false);
            }
        }
        allowed
    }
}

/// The UTC days whose free bits an offer over `range` needs: one more on either side, for buffers and
/// for services that go past midnight.
#[must_use]
pub fn days_around(range: Interval) -> Interval {
    let days = range.days();
    let wider = DayRange { from: UtcDay(days.from.0 - 1), until: UtcDay(days.until.0 + 1) };
    wider.interval().unwrap_or(range)
}

/// What a client's instant means on a store's clock.
///
/// # Errors
/// `off_grid`, `start_skipped`, `start_ambiguous`.
pub fn resolve(zone: Zone, instant: Instant) -> Result<Tick, Code> {
    let ms = match instant {
        Instant::Local(local) => match local_instant(zone, local) {
            LocalInstant::Once(ms) => ms,
            LocalInstant::Twice(..) => return Err(Code::StartAmbiguous),
            LocalInstant::Skipped => return Err(Code::StartSkipped),
        },
        Instant::Offset { ms, wall, offset_seconds } => {
            // Written with the store's own offset, but the clock never shows it: the client counted
            // through the change of the clock.
            let own = |at: i64| wall_at(zone, at).map(|wall| wall.offset_seconds);
            let day = zhundian_domain::time::DAY_MS;
            if offset_seconds.is_some()
                && local_instant(zone, wall) == LocalInstant::Skipped
                && (own(ms - day) == offset_seconds || own(ms + day) == offset_seconds)
            {
                return Err(Code::StartSkipped);
            }
            ms
        }
    };
    Tick::from_ms(ms).ok_or(Code::OffGrid)
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::error::Code;

    #[test]
    fn instants_are_resolved_on_the_stores_clock() {
        let cases: &[(&str, &str, Result<&str, Code>)] = &[
            ("Asia/Shanghai", "2026-11-23T10:00:00+08:00", Ok("2026-11-23T02:00Z")),
            ("Asia/Shanghai", "2026-11-23T02:00:00Z", Ok("2026-11-23T02:00Z")),
            ("Asia/Shanghai", "2026-11-23T10:00", Ok("2026-11-23T02:00Z")),
            ("Asia/Shanghai", "2026-11-23T10:01:00+08:00", Err(Code::OffGrid)),
            ("Asia/Shanghai", "2026-11-23T10:00:01+08:00", Err(Code::OffGrid)),
            // Berlin's clock goes from 02:00 to 03:00 on 2026-03-29 …
            ("Europe/Berlin", "2026-03-29T02:30", Err(Code::StartSkipped)),
            ("Europe/Berlin", "2026-03-29T02:30:00+01:00", Err(Code::StartSkipped)),
            ("Europe/Berlin", "2026-03-29T02:30:00+02:00", Err(Code::StartSkipped)),
            ("Europe/Berlin", "2026-03-29T03:30:00+02:00", Ok("2026-03-29T01:30Z")),
            ("Europe/Berlin", "2026-03-29T01:30:00Z", Ok("2026-03-29T01:30Z")),
            // … and from 03:00 back to 02:00 on 2026-10-25.
            ("Europe/Berlin", "2026-10-25T02:30", Err(Code::StartAmbiguous)),
            ("Europe/Berlin", "2026-10-25T02:30:00+02:00", Ok("2026-10-25T00:30Z")),
            ("Europe/Berlin", "2026-10-25T02:30:00+01:00", Ok("2026-10-25T01:30Z")),
        ];
        for (zone, text, wanted) in cases {
            let instant = text.parse().expect("an instant");
            let zone = zone.parse().expect("a zone");
            let found = resolve(zone, instant).map(|tick| format!("{tick:?}"));
            assert_eq!(found, wanted.map(str::to_owned), "{text}");
        }
    }
}
