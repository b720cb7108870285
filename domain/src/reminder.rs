//! What is told of an appointment, to whom and when.
//!
//! A change of an appointment is followed by messages ([`follow`]), each due at an instant and of no use
//! from another one on. What is due is looked at again with the appointment as it is then ([`decide`]):
//! nothing goes out after a cancellation, for an old time, or after its use has ended.
//!
//! | change | to the customer | to the technician |
//! |---|---|---|
//! | booked | booked, before | booked, before |
//! | awaiting payment | before ¹ | before ¹ |
//! | paid | booked | booked |
//! | moved, same technician | changed, before | changed, before |
//! | moved, another technician | changed, before | booked, before; cancelled to the former one |
//! | assigned to another technician, at the same time | before ² | booked, before; cancelled to the former one |
//! | cancelled | cancelled | cancelled, if it stood |
//! | lost (its time went to somebody else) | lost | cancelled |
//! | paid in vain (the money goes back) | lost | |
//! | no show | no show | |
//!
//! 1. Looked at again each minute for as long as the payment is open.
//! 2. It is there already.
//!
//! A technician who is to accept an appointment is asked instead of told that it is booked or changed, and
//! one to whom it is offered with others, the customer who has a proposal, and who waits for a place hear
//! of what they may answer; each for as long as it may be answered.
//!
//! **Before the visit** there is a message for each lead of the service, such as 24 hours and 1 hour. One
//! is of no use any more when the next one is due, the last one when the visit starts; so whoever missed
//! some gets the nearest alone.
//!
//! **Quiet hours** are the store's: what would fall into them goes out when they end, if at least half of
//! the lead is left then, and otherwise before they begin. A visit so early, booked so late, that neither
//! is possible has its message when it is due. News waits for the end of the quiet hours, unless it
//! would come too late then, or is the answer to what the customer does at that moment.

use chrono::{Days, NaiveDate, NaiveTime};
use serde::{Deserialize, Serialize};

use crate::order::Status;
use crate::time::{DAY_MINUTES, DAY_MS, LocalInstant, local_instant, wall_at};
use crate::zone::Zone;

/// Leads of one service.
pub const MAX_LEADS: usize = 5;
/// The shortest lead, in minutes.
pub const MIN_LEAD_MINUTES: i64 = 5;
/// The longest lead, in minutes: thirty days.
pub const MAX_LEAD_MINUTES: i64 = 30 * DAY_MINUTES;
/// The leads of a service that says nothing else: 24 hours and 1 hour.
pub const LEADS: [i64; 2] = [1440, 60];
/// The longest quiet hours, in minutes.
pub const MAX_QUIET_MINUTES: u16 = 16 * 60;

/// How long before the quiet hours goes out what would have fallen into them: enough for a late run.
const AHEAD_OF_QUIET_MS: i64 = 15 * MINUTE_MS;
/// How long a cancellation, a loss or a no-show is worth telling.
const NEWS_MS: i64 = DAY_MS;
/// When an appointment whose payment is open is looked at again.
const AGAIN_MS: i64 = MINUTE_MS;
const MINUTE_MS: i64 = 60_000;

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The appointment stands.
    Booked,
    /// It has another time or technician.
    Changed,
    /// It was given up.
    Cancelled,
    /// It is about to begin.
    Before,
    /// The customer did not come.
    NoShow,
    /// The store could not keep it; what was paid goes back.
    Lost,
    /// A place has become free for who waits.
    WaitlistOffer,
    /// A session of a service plan is near.
    Plan,
    /// The technician is to accept it.
    Asked,
    /// Whoever can do it may have it.
    Offered,
    /// The store proposes service, technician and time.
    Proposal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Booked,
        Self::Changed,
        Self::Cancelled,
        Self::Before,
        Self::NoShow,
        Self::Lost,
        Self::WaitlistOffer,
        Self::Plan,
        Self::Asked,
        Self::Offered,
        Self::Proposal,
    ];

    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
            Self::Before => "before",
            Self::NoShow => "no_show",
            Self::Lost => "lost",
            Self::WaitlistOffer => "waitlist_offer",
            Self::Plan => "plan",
            Self::Asked => "asked",
            Self::Offered => "offered",
            Self::Proposal => "proposal",
        }
    }
}

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// The customer.
    Customer,
    /// Whoever does the service.
    Technician,
}

/// What happened to an appointment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// It was made, and stands.
    Booked,
    /// It was made, and waits for its payment.
    AwaitingPayment,
    /// It was paid, and stands.
    Paid,
    /// It has another time, or another technician.
    Moved {
        /// Whether the technician is the one of before.
        same_technician: bool,
    },
    /// Another technician has it, at the same time, and the customer did not choose the one of before.
    Reassigned,
    /// It was given up.
    Cancelled {
        /// Whether it stood, and was not waiting for its payment.
        stood: bool,
    },
    /// Its time went to somebody else.
    Lost,
    /// A payment came when there was nothing any more that it could be for.
    PaidInVain,
    /// The customer did not come.
    NoShow,
}

/// A message that follows from a change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Due {
    /// What is told.
    pub kind: Kind,
    /// To whom.
    pub to: To,
    /// Minutes before the visit; 0 for news.
    pub lead_minutes: i64,
    /// From when on, UTC milliseconds.
    pub due_at: i64,
    /// From when on it is of no use, UTC milliseconds; later than `due_at`.
    pub expires_at: i64,
    /// Whether it goes out in quiet hours too.
    pub at_once: bool,
}

/// What messages of an appointment go by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Start of the appointment, UTC milliseconds.
    pub start_at: i64,
    /// Minutes before the visit, in any order: [`MIN_LEAD_MINUTES`] to [`MAX_LEAD_MINUTES`].
    pub leads: &'a [i64],
    /// The store's clock.
    pub zone: Zone,
    /// When nobody is to be disturbed.
    pub quiet: Option<Quiet>,
    /// Whether the customer has done it and looks at the screen.
    pub by_customer: bool,
}

/// The messages that follow from a change at `now` (UTC milliseconds).
#[must_use]
pub fn follow(change: Change, terms: &Terms<'_>, now: i64) -> Vec<Due> {
    let stands_until = terms.start_at;
    let told_until = (now + NEWS_MS).max(terms.start_at);
    let (customer, technician, ahead) = match change {
        Change::Booked => (Some(Kind::Booked), Some(Kind::Booked), true),
        Change::AwaitingPayment => (None, None, true),
        Change::Paid => (Some(Kind::Booked), Some(Kind::Booked), false),
        Change::Moved { same_technician: true } => (Some(Kind::Changed), Some(Kind::Changed), true),
        Change::Moved { same_technician: false } => (Some(Kind::Changed), Some(Kind::Booked), true),
        Change::Reassigned => (None, Some(Kind::Booked), true),
        Change::Cancelled { stood } => {
            (Some(Kind::Cancelled), stood.then_some(Kind::Cancelled), false)
        }
        Change::Lost => (Some(Kind::Lost), Some(Kind::Cancelled), false),
        Change::PaidInVain => (Some(Kind::Lost), None, false),
        Change::NoShow => (Some(Kind::NoShow), None, false),
    };
    let news = [(To::Customer, customer), (To::Technician, technician)];
    let mut due: Vec<Due> = news
        .into_iter()
        .filter_map(|(to, kind)| {
            let kind = kind?;
            let expires_at = match kind {
                Kind::Booked | Kind::Changed => stands_until,
                _ => told_until,
            };
            let at_once = to == To::Customer && terms.by_customer;
            (now < expires_at).then_some(Due {
                kind,
                to,
                lead_minutes: 0,
                due_at: now,
                expires_at,
                at_once,
            })
        })
        .collect();
    if ahead {
        for one in before(terms, now) {
            due.extend([To::Customer, To::Technician].map(|to| Due { to, ..one }));
        }
    }
    due
}

/// The messages before the visit, the earliest first, each due before the next.
fn before(terms: &Terms<'_>, now: i64) -> Vec<Due> {
    let mut leads = terms.leads.to_vec();
    leads.sort_unstable();
    leads.dedup();
    let mut expires_at = terms.start_at;
    let mut due = Vec::new();
    // From the shortest on: each ends where the one after it begins.
    for lead_minutes in leads {
        let raw = terms.start_at - lead_minutes * MINUTE_MS;
        if raw <= now {
            break;
        }
        let due_at = terms.quiet.map_or(raw, |quiet| shift(quiet, terms, raw, now));
        if due_at < expires_at {
            due.push(Due {
                kind: Kind::Before,
                to: To::Customer,
                lead_minutes,
                due_at,
                expires_at,
                at_once: false,
            });
            expires_at = due_at;
        }
    }
    due.reverse();
    due
}

/// When goes out what is due at `raw`, which lies after `now` and before the start.
fn shift(quiet: Quiet, terms: &Terms<'_>, raw: i64, now: i64) -> i64 {
    let Some((from, until)) = quiet.around(terms.zone, raw) else { return raw };
    let ahead = from - AHEAD_OF_QUIET_MS;
    if terms.start_at - until >= (terms.start_at - raw) / 2 {
        until
    } else if ahead > now {
        ahead
    } else if until < terms.start_at {
        until
    } else {
        raw
    }
}

/// A message that is due, with what it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// What is told.
    pub kind: Kind,
    /// To whom.
    pub to: To,
    /// The start that it speaks of, UTC milliseconds, if it does.
    pub start_at: Option<i64>,
    /// As in [`Due`].
    pub due_at: i64,
    /// As in [`Due`].
    pub expires_at: i64,
    /// As in [`Due`].
    pub at_once: bool,
    /// Whether there is later news of the same appointment for the same person.
    pub superseded: bool,
    /// Whether what it speaks of besides the appointment is still so: a question is open, a place is held, a
    /// class takes place.
    pub holds: bool,
}

/// The appointment that a message is of, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appointment {
    /// The order's state.
    pub status: Status,
    /// Whether the line stands.
    pub live: bool,
    /// Whether its service has begun. Another line of the visit may have begun before it.
    pub begun: bool,
    /// Its start, UTC milliseconds.
    pub start_at: i64,
    /// Whether who is told is still who has it: always of a customer, of a technician while it is theirs.
    pub own: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It goes out now.
    Send,
    /// It is looked at again then, UTC milliseconds, later than now.
    Wait(i64),
    /// It never goes out.
    Skip(Reason),
}

/// Why a message never goes out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// It is of no use any more.
    TooLate,
    /// The appointment has another time or technician.
    Moved,
    /// The appointment is not in the state of which it speaks.
    NotSo,
    /// Later news says what is to be said.
    Superseded,
}

impl Reason {
    /// As rows and clients say it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLate => "too_late",
            Self::Moved => "moved",
            Self::NotSo => "not_so",
            Self::Superseded => "superseded",
        }
    }
}

/// What becomes of a message at `now` (UTC milliseconds); `appointment` is what it is of, when that is
/// one of an order.
#[must_use]
pub fn decide(
    message: &Message,
    appointment: Option<&Appointment>,
    quiet: Option<(Quiet, Zone)>,
    now: i64,
) -> Decision {
    if now < message.due_at {
        return Decision::Wait(message.due_at);
    }
    if now >= message.expires_at {
        return Decision::Skip(Reason::TooLate);
    }
    if let Some(appointment) = appointment
        && let Some(other) = speaks_of(message, appointment, now)
    {
        return other;
    }
    if !message.holds {
        return Decision::Skip(Reason::NotSo);
    }
    let news = matches!(message.kind, Kind::Booked | Kind::Changed | Kind::Cancelled | Kind::Asked);
    if news && message.superseded {
        return Decision::Skip(Reason::Superseded);
    }
    let wakes =
        quiet.filter(|_| !message.at_once).and_then(|(quiet, zone)| quiet.around(zone, now));
    match wakes {
        Some((_, until)) if until < message.expires_at => Decision::Wait(until),
        _ => Decision::Send,
    }
}

/// What keeps a message back because the appointment is not as it says.
fn speaks_of(message: &Message, appointment: &Appointment, now: i64) -> Option<Decision> {
    let skip = |reason| Some(Decision::Skip(reason));
    let Appointment { status, live, begun, start_at, own } = *appointment;
    let stands = live && status.keeps_time();
    match message.kind {
        Kind::Booked | Kind::Changed | Kind::Before | Kind::Plan | Kind::Asked | Kind::Offered => {
            match status {
                _ if !stands => skip(Reason::NotSo),
                // What is offered to all is nobody's yet.
                _ if !own && message.kind != Kind::Offered => skip(Reason::Moved),
                _ if message.start_at != Some(start_at) => skip(Reason::Moved),
                Status::PendingPayment | Status::Paid => Some(Decision::Wait(now + AGAIN_MS)),
                Status::Confirmed => None,
                // The customer is there; whoever does a later line is told of it all the same.
                Status::InService if message.to == To::Technician && !begun => None,
                _ => skip(Reason::NotSo),
            }
        }
        Kind::Cancelled if message.to == To::Technician && stands && own => skip(Reason::NotSo),
        Kind::Cancelled if message.to == To::Customer && status != Status::Cancelled => {
            skip(Reason::NotSo)
        }
        Kind::NoShow if status != Status::NoShow => skip(Reason::NotSo),
        Kind::Proposal if status != Status::Confirmed => skip(Reason::NotSo),
        Kind::Proposal | Kind::Cancelled | Kind::NoShow | Kind::Lost | Kind::WaitlistOffer => None,
    }
}

/// Until when something offered at `now` lasts that is to be answered within `ms` milliseconds: they begin
/// when the quiet hours end, in which nobody is told of it; but it ends by `latest`, and then, if that is
/// too early to wait for, it is told at once. UTC milliseconds.
#[must_use]
pub fn offer_until(quiet: Option<(Quiet, Zone)>, now: i64, ms: i64, latest: i64) -> i64 {
    let heard = quiet.and_then(|(quiet, zone)| quiet.around(zone, now)).map_or(now, |(_, at)| at);
    (heard + ms).min(latest)
}

/// The hours of a store's clock in which nobody is to be disturbed, from the first minute up to the
/// last, which is not among them; usually over midnight.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quiet {
    from: u16,
    until: u16,
}

impl Quiet {
    /// From and until a minute of the day, 0 to 1439; `None` when they are the same, out of range, or
    /// more than [`MAX_QUIET_MINUTES`] apart.
    #[must_use]
    pub fn new(from: u16, until: u16) -> Option<Self> {
        let quiet = Self { from, until };
        let in_range = [from, until].iter().all(|minute| i64::from(*minute) < DAY_MINUTES);
        (in_range && (1..=MAX_QUIET_MINUTES).contains(&quiet.minutes())).then_some(quiet)
    }

    /// Reads `22:00-08:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let part = |text: &str, most: u16| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|number| digits && *number < most)
        };
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            Some(part(hour, 24)? * 60 + part(minute, 60)?)
        };
        let (from, until) = text.split_once('-')?;
        Self::new(minute(from)?, minute(until)?)
    }

    const fn minutes(self) -> u16 {
        if self.from <= self.until {
            self.until - self.from
        } else {
            self.until + DAY_MINUTES as u16 - self.from
        }
    }

    const fn has(self, minute: u16) -> bool {
        if self.from <= self.until {
            self.from <= minute && minute < self.until
        } else {
            self.from <= minute || minute < self.until
        }
    }

    /// The quiet hours in which an instant lies: their first and their first later one, UTC
    /// milliseconds. `None` when it lies in none.
    #[must_use]
    pub fn around(self, zone: Zone, at: i64) -> Option<(i64, i64)> {
        let wall = wall_at(zone, at).filter(|wall| self.has(wall.minute))?;
        let (first, last) = if self.from <= self.until {
            (wall.date, wall.date)
        } else if wall.minute >= self.from {
            (wall.date, wall.date.checked_add_days(Days::new(1))?)
        } else {
            (wall.date.checked_sub_days(Days::new(1))?, wall.date)
        };
        // Where the clock shows an hour twice, they are the longer.
        let (from, _) = instants(zone, first, self.from)?;
        let (_, until) = instants(zone, last, self.until)?;
        // A clock that is turned in between may say otherwise; who waits must get on.
        Some((from.min(at), until.max(at + MINUTE_MS)))
    }
}

/// When the clock shows this minute of a date: for the first and for the last time, and the jump where it
/// never does.
fn instants(zone: Zone, date: NaiveDate, minute: u16) -> Option<(i64, i64)> {
    let time = NaiveTime::from_num_seconds_from_midnight_opt(u32::from(minute) * 60, 0)?;
    match local_instant(zone, date.and_time(time)) {
        LocalInstant::Once(at) => Some((at, at)),
        LocalInstant::Twice(first, last) => Some((first, last)),
        LocalInstant::Skipped => {
            let before = local_instant(zone, date.and_time(time) - chrono::TimeDelta::hours(3));
            match before {
                LocalInstant::Once(at) | LocalInstant::Twice(at, _) => {
                    Some((at + 3 * 3_600_000, at + 3 * 3_600_000))
                }
                LocalInstant::Skipped => None,
            }
        }
    }
}
