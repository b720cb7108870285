//! Who serves a visit of several lines: the reads of [`super::offer`] as `domain::composition` takes them, and
//! what it decides as needs of [`super::claim`].
//!
//! Each need names one calendar. Whoever is refused one gives all back and looks again, so that of many who
//! want the same calendars, asked for in the order of their names, somebody gets theirs.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Deserialize;
use zhundian_domain::assignment::Steps;
use zhundian_domain::availability::Shape;
use zhundian_domain::composition::{
    Begins, Chosen, Free, Line, MAX_LINES, MAX_VISIT_TICKS, serve_at, served_starts, trim,
};
use zhundian_domain::time::{Bits, Interval, Tick, date_at};
use zhundian_durable_objects::calls::ProjectedDay;

use crate::booking::book;
use crate::booking::claim::Need;
use crate::booking::moving::{self, OwnClaim};
use crate::booking::offer::{Known, Offer, PoolCalendar, days_around};
use crate::booking::queries;
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::fields::Id;

/// Steps that looking for one start may take.
const STEPS_FOR_ONE: u32 = 20_000;
/// Steps that looking for many may take.
const STEPS_FOR_MANY: u32 = 200_000;

/// A line for which somebody is sought.
#[derive(Clone, Copy)]
pub struct Seeker<'a> {
    /// What there is of its service and store.
    pub offer: &'a Offer,
    /// When it begins.
    pub begins: Begins,
    /// For whom, when it is somebody else than the one who books.
    pub guest: Option<&'a str>,
    /// By whom; any who can when absent.
    pub technician_id: Option<&'a Id>,
    /// What the visit has now, when it is moved: of no account where it moves to.
    pub own: &'a [OwnClaim],
}

/// What is known of the calendars.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// UTC milliseconds.
    pub now: i64,
    /// Whether staff look.
    pub by_staff: bool,
    /// What is taken of those that have room for several.
    pub crowds: &'a [Crowd],
    /// What calendars have said a moment ago.
    pub fresh: &'a [(String, Vec<ProjectedDay>)],
}

/// What a claim takes of a calendar that has room for several: which, from when, until when, units.
#[derive(Debug, Deserialize)]
pub struct Crowd(String, i64, i64, u32);

/// Reads the crowds of a store over dates.
#[must_use]
pub fn crowds(store_id: &Id, (from, until): (NaiveDate, NaiveDate)) -> Statement {
    const DAY_MS: i64 = zhundian_domain::time::DAY_MS;
    let ms = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
    queries::crowds(store_id, ms(from) - 2 * DAY_MS, ms(until) + 2 * DAY_MS)
}

/// Service time and block of a claim.
type Part = (Interval, Interval);

/// Numbers for calendars, and for each unit of those that have room for several.
#[derive(Default)]
struct Numbers {
    names: Vec<String>,
    known: BTreeMap<(String, u32), usize>,
}

impl Numbers {
    fn of(&mut self, calendar: &str, unit: u32) -> usize {
        let next = self.names.len();
        let number = *self.known.entry((calendar.to_owned(), unit)).or_insert(next);
        if number == next {
            self.names.push(calendar.to_owned());
        }
        number
    }
}

/// All who could serve a visit, over some time.
pub struct Plan<'a> {
    seekers: &'a [Seeker<'a>],
    lines: Vec<Line>,
    numbers: Numbers,
}

impl<'a> Plan<'a> {
    /// Of a visit whose lines begin at `starts`; the operation `op` decides among equals.
    ///
    /// # Errors
    /// Starts that are beyond the calendar.
    pub fn at(
        seekers: &'a [Seeker<'a>],
        starts: &[Tick],
        op: &str,
        seen: Seen<'_>,
    ) -> Answer<Self> {
        let beyond = || Problem::internal("a visit beyond the calendar");
        let (first, last) = starts.iter().min().zip(starts.iter().max()).ok_or_else(beyond)?;
        let range = Interval::new(*first, last.plus(1)).ok_or_else(beyond)?;
        let mut plan = Self::over(seekers, range, seen);
        for ((seeker, line), start) in seekers.iter().zip(&mut plan.lines).zip(starts) {
            let offer = seeker.offer;
            let date = date_at(offer.store.time_zone, start.ms()).ok_or_else(beyond)?;
            let (order, _) = book::by_rule(offer, op, *start, date);
            let place = |number: &usize| {
                let name = plan.numbers.names.get(*number);
                order.iter().position(|id| name.is_some_and(|it| *it == calendars::technician(id)))
            };
            line.technicians.sort_by_cached_key(|(number, _)| place(number));
        }
        Ok(plan)
    }

    /// Of a visit that begins somewhere in `range`.
    #[must_use]
    pub fn over(seekers: &'a [Seeker<'a>], range: Interval, seen: Seen<'_>) -> Self {
        let mut numbers = Numbers::default();
        let span = Interval::new(range.start, range.end.plus(MAX_VISIT_TICKS)).unwrap_or(range);
        let around = days_around(span);
        let lines = seekers
            .iter()
            .enumerate()
            .map(|(index, seeker)| {
                let before = seekers.get(..index).unwrap_or_default();
                let like = before.iter().rposition(|earlier| earlier.guest == seeker.guest);
                seeker.line(like, (span, around), seen, &mut numbers)
            })
            .collect();
        Self { seekers, lines, numbers }
    }

    /// The starts of `range` at which all lines can be served, at most `most`; with the technicians of each.
    #[must_use]
    pub fn starts(&self, range: Interval, most: usize) -> Vec<(Tick, Vec<Id>)> {
        let served = served_starts(&self.lines, range, most, &mut Steps(STEPS_FOR_MANY));
        let who = |chosen: &Chosen| {
            let name = self.numbers.names.get(chosen.technician)?;
            name.strip_prefix("technician:")?.parse().ok()
        };
        served
            .into_iter()
            .map(|(start, chosen)| (start, chosen.iter().filter_map(who).collect()))
            .collect()
    }

    /// What each line needs when they begin at `starts`; `None` when nobody can serve all of them.
    #[must_use]
    pub fn needs(&self, starts: &[Tick]) -> Option<Vec<Vec<Need>>> {
        let chosen = serve_at(&self.lines, starts, &mut Steps(STEPS_FOR_ONE))?;
        // What each line takes of which calendar: service time and block.
        let mut all: Vec<(usize, usize, Vec<Part>)> = Vec::new();
        for (index, (line, chosen)) in self.lines.iter().zip(&chosen).enumerate() {
            all.push((index, chosen.technician, line.shape.attended(chosen.start)));
            let whole = line.shape.at(chosen.start)?;
            all.extend(chosen.pools.iter().map(|number| (index, *number, vec![whole])));
        }
        for at in 1..all.len() {
            let (earlier, later) = all.split_at_mut(at);
            let Some((line, number, parts)) = later.first_mut() else { continue };
            for (_, _, its) in earlier.iter_mut().filter(|(of, its, _)| its == number && of != line)
            {
                for part in parts.iter_mut() {
                    for other in its.iter_mut() {
                        trim(part, other);
                    }
                }
            }
        }
        let mut needs: Vec<Vec<Need>> = vec![Vec::new(); self.lines.len()];
        for (index, number, parts) in all {
            let mut need = Need::of(vec![self.numbers.names.get(number)?.clone()], parts);
            if let Some(seeker) = self.seekers.get(index).filter(|seeker| !seeker.own.is_empty()) {
                moving::replace(&mut need, seeker.own);
                need.tries = 1;
            }
            needs.get_mut(index)?.push(need);
        }
        Some(needs)
    }
}

impl Seeker<'_> {
    fn line(
        &self,
        like: Option<usize>,
        (span, around): (Interval, Interval),
        seen: Seen<'_>,
        numbers: &mut Numbers,
    ) -> Line {
        let offer = self.offer;
        let known = Known { store_id: &offer.store.id, fresh: seen.fresh };
        let shape = offer.shape();
        let technicians = offer
            .technicians
            .iter()
            .filter(|one| self.technician_id.is_none_or(|id| one.id() == id))
            .map(|one| {
                let calendar = calendars::technician(one.id());
                let free = self.with_own(one.known_free(around, known), &calendar);
                (numbers.of(&calendar, 0), shape.attended_starts(&free))
            })
            .collect();
        let pools = offer
            .pools
            .iter()
            .map(|pool| {
                let each = pool.each();
                each.flat_map(|one| {
                    let free = self.with_own(one.known_free(around, known), &one.calendar);
                    units(one, &free, shape, seen.crowds, numbers)
                })
                .collect()
            })
            .collect();
        let allowed = offer.allowed(seen.now, span, seen.by_staff);
        Line { begins: self.begins, shape, allowed, like, technicians, pools }
    }

    /// What is free when the visit's own claims are left where they are.
    fn with_own(&self, mut free: Bits, calendar: &str) -> Bits {
        for (of, _, from, until) in self.own {
            let block = Interval::new(Tick::at_or_before(*from), Tick::at_or_after(*until));
            if let Some(block) = block.filter(|_| of == calendar) {
                free.fill(block, true);
            }
        }
        free
    }
}

/// A number for each unit that a visit may take of a calendar, and the starts at which so many more fit.
fn units(
    one: &PoolCalendar,
    free: &Bits,
    shape: Shape,
    crowds: &[Crowd],
    numbers: &mut Numbers,
) -> Vec<Free> {
    let capacity = u32::from(one.capacity);
    let most = capacity.min(u32::try_from(MAX_LINES).unwrap_or(1));
    let mut all = vec![(numbers.of(&one.calendar, 0), shape.starts(free))];
    if most < 2 {
        return all;
    }
    let mut taken: BTreeMap<Tick, u32> = BTreeMap::new();
    for Crowd(_, from, until, units) in crowds.iter().filter(|Crowd(of, ..)| *of == one.calendar) {
        let (mut tick, end) = (Tick::at_or_before(*from), Tick::at_or_after(*until));
        while tick < end {
            *taken.entry(tick).or_default() += units;
            tick = tick.plus(1);
        }
    }
    for unit in 1..most {
        let mut left = free.clone();
        for (tick, _) in taken.iter().filter(|(_, units)| **units + unit >= capacity) {
            left.set(*tick, false);
        }
        all.push((numbers.of(&one.calendar, unit), shape.starts(&left)));
    }
    all
}
