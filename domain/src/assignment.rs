//! Who serves what, when a visit has several services: one calendar for each, none of them twice at the
//! same time.
//!
//! A visit of several services needs a technician for each, and perhaps a room. Taking for each service
//! the first technician who is free may take the only one who could have done another. [`assign`] looks
//! ahead: when there is a way to serve all of them, it finds one.

use crate::time::Interval;

/// Most calendars that a visit takes at once; what looks ahead grows quickly with it.
pub const MAX_WANTED: usize = 8;

/// One calendar that is wanted, of several that would do.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What would be taken of it.
    pub blocks: Vec<Interval>,
    /// The calendars that are free for that, the best first.
    pub calendars: Vec<usize>,
    /// An earlier one whose calendar comes first if it is among them: who has begun with a customer goes
    /// on with them.
    pub like: Option<usize>,
}

impl Wanted {
    fn meets(&self, other: &Self) -> bool {
        self.blocks.iter().any(|block| other.blocks.iter().any(|its| block.overlaps(*its)))
    }
}

/// Steps that may still be tried: what bounds the work of looking ahead, however many starts are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steps(pub u32);

impl Steps {
    /// Takes one; whether there was one.
    const fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

/// A calendar for each, so that none is taken twice at the same time; the best that there are, the earlier
/// ones choosing first. `None` when there is no way, or more than [`MAX_WANTED`] are wanted.
#[must_use]
pub fn assign(wanted: &[Wanted]) -> Option<Vec<usize>> {
    assign_within(wanted, &mut Steps(u32::MAX))
}

/// As [`assign`], with so many steps at most; `None`, too, when they have run out.
#[must_use]
pub fn assign_within(wanted: &[Wanted], steps: &mut Steps) -> Option<Vec<usize>> {
    let mut chosen = Vec::with_capacity(wanted.len());
    (wanted.len() <= MAX_WANTED && choose(wanted, &mut chosen, steps)).then_some(chosen)
}

fn choose(wanted: &[Wanted], chosen: &mut Vec<usize>, steps: &mut Steps) -> bool {
    if !steps.take() {
        return false;
    }
    let Some(next) = wanted.get(chosen.len()) else { return true };
    let first = next.like.and_then(|earlier| chosen.get(earlier).copied());
    let first = first.filter(|calendar| next.calendars.contains(calendar));
    // Of those that nobody meets at that time, so many are enough: each of the others may take one.
    let enough = MAX_WANTED;
    let rest = next.calendars.iter().copied().filter(|calendar| Some(*calendar) != first);
    let free: Vec<usize> = first
        .into_iter()
        .chain(rest)
        .filter(|calendar| {
            let mut taken = wanted.iter().zip(chosen.iter());
            !taken.any(|(earlier, its)| its == calendar && earlier.meets(next))
        })
        .take(enough)
        .collect();
    for calendar in free {
        chosen.push(calendar);
        if choose(wanted, chosen, steps) {
            return true;
        }
        chosen.pop();
    }
    false
}
