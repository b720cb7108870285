//! A visit of several services: when each of them is, and who does it.
//!
//! The lines of a visit stand on the time axis by [`lay_out`]: each begins with the one before it, or when
//! everything that runs together with that one has ended. [`serve`] says who can do all of them at a start,
//! so that nobody is taken twice at the same time and whoever has begun with a guest goes on with them.
//!
//! Buffers part one customer from the next. Between lines of one visit that somebody does one after the
//! other there is none: [`trim`].

use crate::assignment::{Steps, Wanted, assign_within};
use crate::availability::Shape;
use crate::time::{Bits, Interval, TICKS_PER_DAY, Tick};

/// Most lines of a visit.
pub const MAX_LINES: usize = 6;
/// The longest visit, in ticks.
pub const MAX_VISIT_TICKS: i64 = TICKS_PER_DAY;

/// When a line begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begins {
    /// When the line before it has ended, and all that run together with that one.
    AfterPrevious,
    /// With the line before it.
    WithPrevious,
}

/// Where the lines of a visit begin, in ticks from its start on, given when each begins and how many ticks
/// it takes. The first begins at 0, whatever it says. There is no gap: each begins at 0 or where an earlier
/// one ends.
#[must_use]
pub fn lay_out(lines: &[(Begins, i64)]) -> Vec<i64> {
    let (mut begin, mut end) = (0, 0);
    lines
        .iter()
        .map(|(begins, ticks)| {
            if *begins == Begins::AfterPrevious {
                begin = end;
            }
            end = end.max(begin + ticks);
            begin
        })
        .collect()
}

/// Cuts the buffers of two claims that the same calendar gives to the same visit where they meet: the
/// earlier one keeps of what follows it what lies before the later one's service, and that one gets the
/// rest. Each is service time and block. Nothing changes when the services overlap.
pub fn trim(one: &mut (Interval, Interval), other: &mut (Interval, Interval)) {
    let (earlier, later) = if one.0.start <= other.0.start { (one, other) } else { (other, one) };
    if earlier.0.overlaps(later.0) || !earlier.1.overlaps(later.1) {
        return;
    }
    let end = earlier.1.end.min(later.0.start).max(earlier.0.end);
    if let Some(block) = Interval::new(earlier.1.start, end) {
        earlier.1 = block;
    }
    if let Some(block) = Interval::new(later.1.start.max(end), later.1.end) {
        later.1 = block;
    }
}

/// One of several calendars that would do, by number: at which starts it is free.
pub type Free = (usize, Bits);

/// A line with all who could do it.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it begins.
    pub begins: Begins,
    /// How it takes time.
    pub shape: Shape,
    /// Starts that the service's notice and the store's hours allow.
    pub allowed: Bits,
    /// An earlier line of the same guest's, whose technician is the first choice.
    pub like: Option<usize>,
    /// The technicians, the best first.
    pub technicians: Vec<Free>,
    /// Of each of what it takes besides, the calendars that would do. One that has room for several has a
    /// number for each: the next is free where one more would fit.
    pub pools: Vec<Vec<Free>>,
}

/// Who does a line, and what it takes besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// When it begins.
    pub start: Tick,
    /// The technician.
    pub technician: usize,
    /// One of each pool.
    pub pools: Vec<usize>,
}

/// Where the lines begin when the visit does at `start`.
fn starts(lines: &[Line], start: Tick) -> impl Iterator<Item = Tick> {
    let all: Vec<_> = lines.iter().map(|line| (line.begins, line.shape.service)).collect();
    lay_out(&all).into_iter().map(move |offset| start.plus(offset))
}

/// Who does each line of a visit at `start`; `None` when there is no way, or none was found with the steps
/// that are left.
#[must_use]
pub fn serve(lines: &[Line], start: Tick, steps: &mut Steps) -> Option<Vec<Chosen>> {
    let at: Vec<Tick> = starts(lines, start).collect();
    serve_at(lines, &at, steps)
}

/// As [`serve`], of lines that begin where `at` says.
#[must_use]
pub fn serve_at(lines: &[Line], at: &[Tick], steps: &mut Steps) -> Option<Vec<Chosen>> {
    if lines.is_empty() || lines.iter().zip(at).any(|(line, at)| !line.allowed.get(*at)) {
        return None;
    }
    let free = |all: &[Free], at: Tick| -> Vec<usize> {
        all.iter().filter(|(_, bits)| bits.get(at)).map(|(number, _)| *number).collect()
    };
    let technicians: Vec<Wanted> = lines
        .iter()
        .zip(at)
        .map(|(line, at)| Wanted {
            blocks: line.shape.attended(*at).into_iter().map(|(service, _)| service).collect(),
            calendars: free(&line.technicians, *at),
            like: line.like,
        })
        .collect();
    let chosen = assign_within(&technicians, steps)?;
    let mut all: Vec<Chosen> = at
        .iter()
        .zip(&chosen)
        .map(|(start, technician)| Chosen {
            start: *start,
            technician: *technician,
            pools: Vec::new(),
        })
        .collect();
    // Each pool of a line with the pools of others that have a calendar in common with it.
    let mut pools: Vec<(usize, Wanted)> = Vec::new();
    for (index, (line, at)) in lines.iter().zip(at).enumerate() {
        let service = line.shape.at(*at).map(|(service, _)| service);
        for pool in &line.pools {
            let calendars = free(pool, *at);
            pools.push((
                index,
                Wanted { blocks: service.into_iter().collect(), calendars, like: None },
            ));
        }
    }
    let mut taken: Vec<Option<usize>> = vec![None; pools.len()];
    while let Some(first) = taken.iter().position(Option::is_none) {
        let group = connected(&pools, first);
        let wanted: Vec<Wanted> =
            group.iter().filter_map(|at| pools.get(*at).map(|(_, one)| one.clone())).collect();
        for (at, calendar) in group.iter().zip(assign_within(&wanted, steps)?) {
            if let Some(slot) = taken.get_mut(*at) {
                *slot = Some(calendar);
            }
        }
    }
    for ((line, _), calendar) in pools.iter().zip(taken) {
        if let (Some(line), Some(calendar)) = (all.get_mut(*line), calendar) {
            line.pools.push(calendar);
        }
    }
    Some(all)
}

/// The pools that have to do with one of them: by a calendar in common, or by one that they share with a third.
fn connected(pools: &[(usize, Wanted)], first: usize) -> Vec<usize> {
    let mut group = vec![first];
    let mut seen = 0;
    while let Some(at) = group.get(seen).copied() {
        seen += 1;
        let Some((_, one)) = pools.get(at) else { continue };
        for (index, (_, other)) in pools.iter().enumerate() {
            let shares = other.calendars.iter().any(|it| one.calendars.contains(it));
            if shares && !group.contains(&index) {
                group.push(index);
            }
        }
    }
    group.sort_unstable();
    group
}

/// The starts of `range` at which all lines can be served, as far as the steps last: at most `most`.
#[must_use]
pub fn served_starts(
    lines: &[Line],
    range: Interval,
    most: usize,
    steps: &mut Steps,
) -> Vec<(Tick, Vec<Chosen>)> {
    let Some(first) = lines.first() else { return Vec::new() };
    // Where every line has somebody at all; only there it is looked who does which.
    let mut some = first.allowed.within(range);
    let offsets =
        lay_out(&lines.iter().map(|line| (line.begins, line.shape.service)).collect::<Vec<_>>());
    for (line, offset) in lines.iter().zip(offsets) {
        let taken: Vec<Tick> = some
            .ones()
            .filter(|start| {
                let at = start.plus(offset);
                !line.allowed.get(at)
                    || !line.technicians.iter().any(|(_, bits)| bits.get(at))
                    || !line.pools.iter().all(|pool| pool.iter().any(|(_, bits)| bits.get(at)))
            })
            .collect();
        for start in taken {
            some.set(start, false);
        }
    }
    some.ones()
        .filter_map(|start| serve(lines, start, steps).map(|chosen| (start, chosen)))
        .take(most)
        .collect()
}
