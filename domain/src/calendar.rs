//! Who has which interval of one calendar.
//!
//! A calendar has a capacity, working rules and claims. A claim is `held` until a deadline, `confirmed`
//! or `released`; what a claim really takes is its **block**, the service time with its buffers.
//!
//! Invariant I1: at every instant the live claims' units add up to at most the capacity. An appointment
//! takes the units of its quantity. Time that staff block takes the whole capacity, as it is when it is
//! looked at and not as it was when the block was made, so that a calendar that carries more later stays
//! blocked; a block is refused where anything is, and everything is refused where a block is.
//!
//! A claim has a **place**: its store, or a customer's home ([`crate::home`]). Of two live appointments at
//! different places, one of them a home, the blocks lie at least the way between apart, whatever the
//! capacity; at one place the capacity alone decides. That holds of every pair and not only of neighbours,
//! so taking one away never makes another unreachable. The way from and to where the technician sets out
//! lies within working time. Time that staff block has no place: it may be spent on the way.
//!
//! Every path that takes time goes through [`Calendar::hold`] and [`Calendar::confirm`] (I2). Whether a
//! hold has expired is judged here, against the time given, and never by whether an alarm has run.
//!
//! | call | claim before | outcome |
//! |---|---|---|
//! | hold | none, or expired | inserted as held, or refused |
//! | hold | live, same operation | the same answer again |
//! | hold | released | refused as released |
//! | confirm | held and live, or confirmed | confirmed |
//! | confirm | none, or held and expired | taken again if the capacity is there, otherwise lost: a tombstone |
//! | confirm | released | stays released |
//! | release | any, or none | released: a tombstone that a late confirm meets |
//!
//! **Moving** an appointment is a hold that names the claims it replaces: those that the appointment has in
//! the calendar, all of them, because one part may go where another was. Until it is confirmed both
//! are taken, the shared part once; the confirmation releases the old claims in the same step.
//! A move that is given up costs nothing: its hold expires and the old claims stand. A confirm says that
//! the move is committed, so the old claims go also when the new time is lost.
//!
//! Two moves may be after the same claim at once, of which one will be committed. What they share with it
//! is counted for one of them, or what both hold would be counted as less than either may keep.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::home::{Home, MAX_WAY_TICKS, Place, around};
use crate::time::{Bits, DayBits, DayRange, Interval, TICKS_PER_DAY, Tick, UtcDay};
use crate::working::WorkingRules;

/// Ticks in the longest block: one day. An overlap check reads no further back than this.
pub const MAX_BLOCK_TICKS: i64 = TICKS_PER_DAY;
/// The largest capacity of a calendar.
pub const MAX_CAPACITY: u16 = 500;

/// What a claim is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// An order's line; lies within working time.
    Appointment,
    /// Time blocked by staff; may lie anywhere, and takes the whole capacity.
    Block,
}

/// How far a claim has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ClaimState {
    /// Taken until `expires_at` (UTC milliseconds, exclusive).
    Held {
        /// The deadline.
        expires_at: i64,
    },
    /// Taken.
    Confirmed,
    /// Given back; kept for a while so that a late confirm does not take it again.
    Released,
}

/// What is asked of a calendar: the same in a hold and in the confirm that follows it, because a
/// confirm may have to take an expired hold's time again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClaimSpec {
    /// The claim's id: the order line's, or the block's.
    pub id: String,
    /// The operation's id: a retry carries the same one and gets the same answer.
    pub op: String,
    /// The store in which it takes place.
    pub store_id: String,
    /// What for.
    pub kind: ClaimKind,
    /// Service time, as the customer sees it.
    pub service: Interval,
    /// What is taken: service time and buffers.
    pub block: Interval,
    /// Units of capacity that an appointment takes, at least 1. A block takes all there are, whatever
    /// is said here.
    pub quantity: u16,
    /// The claims that this one takes the place of, when it moves an appointment; written as one text,
    /// with spaces between the ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "ids")]
    pub replaces: Vec<String>,
    /// Where an appointment takes place, when not in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Box<Home>>,
}

/// Ids as one text, with spaces between them.
pub mod ids {
    use serde::{Deserialize, Deserializer, Serializer};

    /// The text.
    #[must_use]
    pub fn joined(ids: &[String]) -> String {
        ids.join(" ")
    }

    /// The ids of a text.
    #[must_use]
    pub fn split(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    pub(super) fn serialize<S: Serializer>(ids: &[String], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&joined(ids))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        Ok(text.map(|text| split(&text)).unwrap_or_default())
    }
}

/// A claim as the calendar keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// What was asked.
    #[serde(flatten)]
    pub spec: ClaimSpec,
    /// How far it has come.
    #[serde(flatten)]
    pub state: ClaimState,
}

impl ClaimSpec {
    /// Units that it takes of a calendar that carries `capacity`.
    #[must_use]
    pub const fn units(&self, capacity: u16) -> u16 {
        match self.kind {
            ClaimKind::Appointment => self.quantity,
            ClaimKind::Block => capacity,
        }
    }

    /// Where it takes place; time that staff block does so nowhere.
    #[must_use]
    pub fn place(&self) -> Option<Place<'_>> {
        match (self.kind, &self.home) {
            (ClaimKind::Block, _) => None,
            (ClaimKind::Appointment, Some(home)) => Some(Place::Home(home)),
            (ClaimKind::Appointment, None) => Some(Place::Store(&self.store_id)),
        }
    }

    /// What must be working time: the block, and the ways from and to where the technician sets out.
    #[must_use]
    pub fn attended(&self) -> Interval {
        let base = self.home.as_deref().map_or(0, Home::base_ticks);
        around(self.block, base).unwrap_or(self.block)
    }

    /// The ticks at which something changes for a store when the claim comes or goes: the block, and the
    /// ways to the stores.
    #[must_use]
    pub fn span(&self) -> Interval {
        let way = self.home.as_deref().map_or(0, Home::furthest_store);
        around(self.block, way).unwrap_or(self.block)
    }

    /// The interval whose claims decide about this one.
    #[must_use]
    pub fn neighbourhood(&self) -> Interval {
        let way = if self.home.is_some() { MAX_WAY_TICKS } else { 0 };
        around(self.block, way).unwrap_or(self.block)
    }

    /// Whether somebody with both claims gets from one to the other in time.
    #[must_use]
    pub fn reaches(&self, other: &Self) -> bool {
        let (Some(place), Some(there)) = (self.place(), other.place()) else { return true };
        let way = place.way(there);
        let later = self.block.start.since(other.block.end);
        let earlier = other.block.start.since(self.block.end);
        way == 0 || later.max(earlier) >= way
    }
}

impl Claim {
    /// Whether it takes time at `now`.
    #[must_use]
    pub fn is_live(&self, now: i64) -> bool {
        match self.state {
            ClaimState::Held { expires_at } => now < expires_at,
            ClaimState::Confirmed => true,
            ClaimState::Released => false,
        }
    }
}

/// Why a hold was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Somebody has it.
    Taken,
    /// Not within working time.
    OutsideWorkingTime,
    /// The block is longer than a day, or does not enclose the service, or the quantity is 0 or an
    /// appointment's above the capacity, or staff block time at a customer's home.
    Malformed,
    /// The claim was given back, or one that it should replace was.
    Released,
}

/// Why some of several holds were refused: each by its place in the list asked for.
pub type Refusals = Vec<(usize, Refusal)>;

/// What a decision changes in the calendar. Changes are applied all or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Insert, or put in place of the row with the same id.
    Put(Claim),
    /// Make the claim with this id a tombstone; its span as it was.
    Release(String, Interval),
}

impl Change {
    /// The ticks at which something changes ([`ClaimSpec::span`]).
    #[must_use]
    pub fn span(&self) -> Interval {
        match self {
            Self::Put(claim) => claim.spec.span(),
            Self::Release(_, span) => *span,
        }
    }
}

/// The answer to a confirm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmation {
    /// The claim is confirmed.
    Confirmed,
    /// It had expired, and its time is gone.
    Lost,
    /// It was given back before.
    Released,
}

/// A UTC day of a calendar in one store. Each is part of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Day {
    /// Ticks at which one more unit fits in the store: nobody is at or on the way to or from a home.
    pub free: DayBits,
    /// Ticks at which one more unit fits, ways not counted.
    pub room: DayBits,
    /// Ticks of working time.
    pub working: DayBits,
}

/// A calendar, or the part of it that a decision needs: all claims whose blocks touch the interval
/// asked about, those at home within [`MAX_WAY_TICKS`] of it, and the claims asked about by id.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// Units that an instant carries, at least 1.
    pub capacity: u16,
    /// When there is working time.
    pub rules: WorkingRules,
    /// The claims, released ones among them when they are asked about.
    pub claims: Vec<Claim>,
}

impl Calendar {
    /// The claim with this id.
    #[must_use]
    pub fn claim(&self, id: &str) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.spec.id == id)
    }

    fn live(&self, now: i64) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| claim.is_live(now))
    }

    /// Units taken at each tick of `range`, leaving out the claims named in `but`.
    #[must_use]
    pub fn load(&self, now: i64, range: Interval, but: &[&str]) -> Vec<u32> {
        self.load_of(now, range, |claim| !but.contains(&claim.spec.id.as_str()))
    }

    /// Units that the claims which are `counted` take at each tick of `range`.
    fn load_of(&self, now: i64, range: Interval, counted: impl Fn(&Claim) -> bool) -> Vec<u32> {
        let mut load = vec![0; usize::try_from(range.ticks()).unwrap_or(0)];
        let within = |at: Tick| usize::try_from(at.since(range.start)).unwrap_or(0).min(load.len());
        let counted: Vec<(&ClaimSpec, std::ops::Range<usize>)> = self
            .live(now)
            .filter(|claim| counted(claim))
            .map(|claim| {
                (&claim.spec, within(claim.spec.block.start)..within(claim.spec.block.end))
            })
            .collect();
        for (spec, ticks) in &counted {
            let taken = u32::from(spec.units(self.capacity));
            for units in load.iter_mut().take(ticks.end).skip(ticks.start) {
                *units += taken;
            }
        }
        for (index, shared) in self.shared(&counted) {
            if let Some(units) = load.get_mut(index) {
                *units = units.saturating_sub(shared);
            }
        }
        load
    }

    /// The units that moves share with what they replace, by tick: a move and what it replaces are one
    /// appointment, so the shared part counts once. A unit is shared with one move, the first by id.
    fn shared(&self, claims: &[(&ClaimSpec, std::ops::Range<usize>)]) -> BTreeMap<usize, u32> {
        let mut moves: Vec<_> =
            claims.iter().filter(|(spec, _)| !spec.replaces.is_empty()).collect();
        moves.sort_by_key(|(spec, _)| &spec.id);
        let mut all: BTreeMap<usize, u32> = BTreeMap::new();
        let mut used: BTreeMap<(&str, usize), u32> = BTreeMap::new();
        for (spec, ticks) in moves {
            let olds: Vec<_> = claims
                .iter()
                .filter(|(old, _)| spec.replaces.contains(&old.id))
                .map(|(old, its)| (old, its.start.max(ticks.start)..its.end.min(ticks.end)))
                .collect();
            let mut left: BTreeMap<usize, u32> = BTreeMap::new();
            for (old, both) in olds {
                for index in both {
                    let left =
                        left.entry(index).or_insert_with(|| spec.units(self.capacity).into());
                    let used = used.entry((&old.id, index)).or_default();
                    let units =
                        u32::from(old.units(self.capacity)).saturating_sub(*used).min(*left);
                    *left -= units;
                    *used += units;
                    *all.entry(index).or_default() += units;
                }
            }
        }
        all
    }

    fn fits(&self, now: i64, spec: &ClaimSpec) -> bool {
        let mut but = vec![spec.id.as_str()];
        but.extend(spec.replaces.iter().map(String::as_str));
        let units = spec.units(self.capacity);
        let room = u32::from(self.capacity.saturating_sub(units));
        units <= self.capacity
            && self.load(now, spec.block, &but).into_iter().all(|load| load <= room)
            && self
                .live(now)
                .filter(|other| !but.contains(&other.spec.id.as_str()))
                .all(|other| spec.reaches(&other.spec))
    }

    /// Takes an interval until `expires_at`. The claim returned is the one that stands: an earlier one
    /// of the same operation, when there is one.
    ///
    /// # Errors
    /// [`Refusal`], and nothing changes.
    pub fn hold(
        &self,
        now: i64,
        spec: &ClaimSpec,
        expires_at: i64,
    ) -> Result<(Claim, Vec<Change>), Refusal> {
        if let Some(known) = self.live(now).find(|claim| claim.spec.op == spec.op) {
            return Ok((known.clone(), Vec::new()));
        }
        let released =
            |id: &str| self.claim(id).is_some_and(|claim| claim.state == ClaimState::Released);
        if released(&spec.id) {
            return Err(Refusal::Released);
        }
        let is_live = |id: &String| self.live(now).any(|claim| claim.spec.id == *id);
        if !spec.replaces.iter().all(is_live) {
            return Err(Refusal::Released);
        }
        let encloses = spec.block.start <= spec.service.start && spec.service.end <= spec.block.end;
        if spec.quantity == 0
            || spec.units(self.capacity) > self.capacity
            || spec.block.ticks() > MAX_BLOCK_TICKS
            || !encloses
            || (spec.kind == ClaimKind::Block && spec.home.is_some())
            || expires_at <= now
        {
            return Err(Refusal::Malformed);
        }
        if spec.kind == ClaimKind::Appointment {
            let attended = spec.attended();
            let working = self.rules.working(&spec.store_id, attended);
            if working.ones().count() as i64 != attended.ticks() {
                return Err(Refusal::OutsideWorkingTime);
            }
        }
        if !self.fits(now, spec) {
            return Err(Refusal::Taken);
        }
        let claim = Claim { spec: spec.clone(), state: ClaimState::Held { expires_at } };
        Ok((claim.clone(), vec![Change::Put(claim)]))
    }

    /// Takes several intervals until `expires_at`, all or none: each is judged by [`Calendar::hold`] as if
    /// those before it were taken. The claims returned stand in the order of `specs`.
    ///
    /// # Errors
    /// Every refusal, by its place in `specs`, and nothing changes.
    pub fn hold_all(
        &self,
        now: i64,
        specs: &[ClaimSpec],
        expires_at: i64,
    ) -> Result<(Vec<Claim>, Vec<Change>), Refusals> {
        let mut after = self.clone();
        let (mut claims, mut all, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (index, spec) in specs.iter().enumerate() {
            match after.hold(now, spec, expires_at) {
                Ok((claim, changes)) => {
                    after.apply(&changes);
                    claims.push(claim);
                    all.extend(changes);
                }
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        if refused.is_empty() { Ok((claims, all)) } else { Err(refused) }
    }

    /// Makes a hold last. Working time is not looked at again: the order stands, and a shift that was
    /// changed meanwhile has been told of it.
    #[must_use]
    pub fn confirm(&self, now: i64, spec: &ClaimSpec) -> (Confirmation, Vec<Change>) {
        let mut changes = Vec::new();
        let known = self.claim(&spec.id);
        let outcome = match known.map(|claim| claim.state) {
            Some(ClaimState::Released) => Confirmation::Released,
            Some(ClaimState::Confirmed) => Confirmation::Confirmed,
            Some(ClaimState::Held { expires_at }) if now < expires_at => Confirmation::Confirmed,
            Some(ClaimState::Held { .. }) | None if self.fits(now, spec) => Confirmation::Confirmed,
            Some(ClaimState::Held { .. }) | None => Confirmation::Lost,
        };
        let already = known.is_some_and(|claim| claim.state == ClaimState::Confirmed);
        if outcome == Confirmation::Confirmed && !already {
            let spec = known.map_or_else(|| spec.clone(), |claim| claim.spec.clone());
            changes.push(Change::Put(Claim { spec, state: ClaimState::Confirmed }));
        }
        // Its order will be cancelled for it, so a second confirm must not find the time free again.
        if outcome == Confirmation::Lost {
            let spec = known.map_or_else(|| spec.clone(), |claim| claim.spec.clone());
            changes.push(Change::Put(Claim { spec, state: ClaimState::Released }));
        }
        // The appointment has left its old time either way; one whose new time is lost is cancelled.
        changes.extend(spec.replaces.iter().flat_map(|id| self.release(id)));
        (outcome, changes)
    }

    /// Gives a claim back. Releasing one that is not there, or was released, changes nothing.
    #[must_use]
    pub fn release(&self, id: &str) -> Vec<Change> {
        self.claim(id)
            .filter(|claim| claim.state != ClaimState::Released)
            .map(|claim| Change::Release(claim.spec.id.clone(), claim.spec.span()))
            .into_iter()
            .collect()
    }

    /// The live appointments from `now` on that new rules or a new capacity would leave outside
    /// working time or without room.
    #[must_use]
    pub fn stranded(&self, now: i64, rules: &WorkingRules, capacity: u16) -> Vec<&Claim> {
        let appointment = |claim: &Claim| claim.spec.kind == ClaimKind::Appointment;
        self.live(now)
            .filter(|claim| appointment(claim))
            .filter(|claim| claim.spec.block.end.ms() > now)
            .filter(|claim| {
                let working = |rules: &WorkingRules| {
                    let attended = claim.spec.attended();
                    let bits = rules.working(&claim.spec.store_id, attended);
                    bits.ones().count() as i64 == attended.ticks()
                };
                // A block takes what there is, so it crowds nobody out.
                let crowded = self
                    .load_of(now, claim.spec.block, appointment)
                    .into_iter()
                    .any(|load| load > u32::from(capacity));
                // One that lay outside already (kept at an earlier change) is not stranded anew.
                (working(&self.rules) && !working(rules)) || crowded
            })
            .collect()
    }

    /// A UTC day as a store's projection has it.
    #[must_use]
    pub fn day(&self, now: i64, store_id: &str, day: UtcDay) -> Day {
        let working = self.rules.working_day(store_id, day);
        let mut room = working;
        let range = day.interval();
        for (index, load) in self.load(now, range, &[]).into_iter().enumerate() {
            if load >= u32::from(self.capacity) {
                room.set(range.start.plus(index as i64), false);
            }
        }
        let mut free = room;
        for claim in self.live(now) {
            let Some(home) = &claim.spec.home else { continue };
            let way = home.to_store(store_id);
            // At no distance the capacity alone decides.
            let near = around(claim.spec.block, way).filter(|_| way > 0);
            for tick in near.into_iter().flat_map(|near| near.within(range)) {
                free.set(tick, false);
            }
        }
        Day { free, room, working }
    }

    /// Ticks of a UTC day at which one more unit fits within a store's working time, in that store.
    #[must_use]
    pub fn free_day(&self, now: i64, store_id: &str, day: UtcDay) -> DayBits {
        self.day(now, store_id, day).free
    }

    /// Free ticks in a store over several days.
    #[must_use]
    pub fn free(&self, now: i64, store_id: &str, days: DayRange) -> Option<Bits> {
        let mut bits = Bits::none(days.interval()?);
        for day in days.iter() {
            bits.put_day(day, &self.free_day(now, store_id, day));
        }
        Some(bits)
    }

    /// Applies changes to the claims held here, as the store applies them to its rows.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(claim) => {
                    self.claims.retain(|known| known.spec.id != claim.spec.id);
                    self.claims.push(claim.clone());
                }
                Change::Release(id, _) => {
                    if let Some(claim) = self.claims.iter_mut().find(|claim| claim.spec.id == *id) {
                        claim.state = ClaimState::Released;
                    }
                }
            }
        }
    }

    /// Instants at which the live claims take more than the capacity (I1). Always empty; the audit and
    /// the tests ask.
    #[must_use]
    pub fn overfull(&self, now: i64) -> Vec<Tick> {
        let ends = self.live(now).map(|claim| claim.spec.block);
        let Some((start, end)) = ends.fold(None, |ends: Option<(Tick, Tick)>, block| {
            let (start, end) = ends.unwrap_or((block.start, block.end));
            Some((start.min(block.start), end.max(block.end)))
        }) else {
            return Vec::new();
        };
        let Some(range) = Interval::new(start, end) else { return Vec::new() };
        let load = self.load(now, range, &[]);
        (0..)
            .zip(load)
            .filter(|(_, load)| *load > u32::from(self.capacity))
            .map(|(index, _)| range.start.plus(index))
            .collect()
    }

    /// Pairs of live claims between which nobody gets in time (I1). Always empty; the tests ask.
    #[must_use]
    pub fn unreachable(&self, now: i64) -> Vec<(&str, &str)> {
        let live: Vec<&ClaimSpec> = self.live(now).map(|claim| &claim.spec).collect();
        let moves = |one: &ClaimSpec, other: &ClaimSpec| {
            one.replaces.contains(&other.id) || other.replaces.contains(&one.id)
        };
        live.iter()
            .enumerate()
            .flat_map(|(index, one)| live.iter().skip(index + 1).map(move |other| (*one, *other)))
            .filter(|(one, other)| !moves(one, other) && !one.reaches(other))
            .map(|(one, other)| (one.id.as_str(), other.id.as_str()))
            .collect()
    }
}
