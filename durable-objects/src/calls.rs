//! The calls of a calendar object: each request type names its path and its reply, for both sides.
//!
//! A refusal is a variant of the reply and comes with status 200; any other status is a fault.
//! Worker and objects are deployed some seconds apart, so fields are only ever added, with defaults.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zhundian_domain::calendar::{Claim, ClaimSpec, Confirmation, Day, Refusal, Refusals};
use zhundian_domain::time::{DayBits, DayRange, Interval, UtcDay};
use zhundian_domain::working::{DateOverride, TimeOff, WeeklyPattern, WorkingRules};
use zhundian_domain::zone::Zone;

/// A request to a calendar object.
pub trait CalendarCall: Serialize + DeserializeOwned {
    /// Where it is sent.
    const PATH: &'static str;
    /// What comes back.
    type Reply: Serialize + DeserializeOwned;
}

macro_rules! calls {
    ($($(#[$doc:meta])* $request:ident => $path:literal => $reply:ty;)*) => {
        $($(#[$doc])* impl CalendarCall for $request {
            const PATH: &'static str = $path;
            type Reply = $reply;
        })*
    };
}

calls! {
    Hold => "/hold" => HoldReply;
    Confirm => "/confirm" => ConfirmReply;
    Release => "/release" => ReleaseReply;
    GiveBack => "/give-back" => ReleaseReply;
    HoldMany => "/hold/many" => HoldManyReply;
    CheckMany => "/check/many" => CheckManyReply;
    ConfirmMany => "/confirm/many" => ConfirmManyReply;
    FreeDays => "/free/days" => Vec<ProjectedDay>;
    ReleaseMany => "/release/many" => ReleaseReply;
    GiveBackMany => "/give-back/many" => ReleaseReply;
    SetWindows => "/windows/set" => SetWindowsReply;
    Windows => "/windows" => WindowsReply;
    Free => "/free" => FreeReply;
    Claims => "/claims" => ClaimsReply;
}

/// A day's free bits in one store, as the projection carries them to D1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProjectedDay {
    /// The store whose working time it is.
    pub store_id: String,
    /// The UTC day.
    pub day: UtcDay,
    /// Ticks at which one more unit fits in the store.
    pub free: DayBits,
    /// Ticks at which one more unit fits, when the ways to and from homes are not counted; `None` when
    /// they are the free ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<DayBits>,
    /// Ticks of working time; `None` when there is room in all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working: Option<DayBits>,
    /// The calendar's version when this was so; a higher one is newer.
    pub version: i64,
}

impl ProjectedDay {
    /// A day as a calendar has it.
    #[must_use]
    pub fn of(store_id: &str, day: UtcDay, bits: Day, version: i64) -> Self {
        let Day { free, room, working } = bits;
        Self {
            store_id: store_id.to_owned(),
            day,
            free,
            room: (room != free).then_some(room),
            working: (working != room).then_some(working),
            version,
        }
    }

    /// As the calendar has it.
    #[must_use]
    pub fn bits(&self) -> Day {
        let room = self.room.unwrap_or(self.free);
        Day { free: self.free, room, working: self.working.unwrap_or(room) }
    }
}

/// Takes an interval for a while. A move names the claims it replaces in `spec`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// What to take.
    pub spec: ClaimSpec,
    /// Until when, UTC milliseconds.
    pub expires_at: i64,
    /// Who asks: one run of the operation. Runs of one operation share its hold.
    #[serde(default)]
    pub run: String,
}

/// The answer to [`Hold`]. The days it touches come with it either way: written to the projection
/// after a success, read for alternatives after a refusal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum HoldReply {
    /// The claim that stands: an earlier one when the operation is repeated.
    Held {
        /// As kept.
        claim: Claim,
        /// The days touched.
        days: Vec<ProjectedDay>,
    },
    /// Nothing changed.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The days touched.
        days: Vec<ProjectedDay>,
    },
}

/// Makes a hold last, or takes its time again when it has expired.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confirm {
    /// As it was held.
    pub spec: ClaimSpec,
    /// Days of the hold's reply that are in D1 by now: the object need not send them again.
    #[serde(default)]
    pub written: Vec<WrittenDay>,
}

/// A projected day that has reached D1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WrittenDay {
    /// The store.
    pub store_id: String,
    /// The day.
    pub day: UtcDay,
    /// The version that was written.
    pub version: i64,
}

impl From<&ProjectedDay> for WrittenDay {
    fn from(day: &ProjectedDay) -> Self {
        Self { store_id: day.store_id.clone(), day: day.day, version: day.version }
    }
}

/// The answer to [`Confirm`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmReply {
    /// What became of the claim.
    pub outcome: Confirmation,
    /// The days touched, when anything changed.
    pub days: Vec<ProjectedDay>,
}

/// Gives a claim back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Release {
    /// Which.
    pub claim_id: String,
}

/// Gives a hold back that nothing was committed on: it is released when no other run of the operation
/// has been answered with it, and stays when it is confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GiveBack {
    /// Which.
    pub claim_id: String,
    /// As in [`Hold`].
    pub run: String,
}

/// The answer to [`Release`] and [`GiveBack`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseReply {
    /// Whether there was something to release.
    #[serde(default)]
    pub released: bool,
    /// The days touched, when anything changed.
    pub days: Vec<ProjectedDay>,
}

/// Takes several intervals, all or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HoldMany {
    /// What to take, at most [`MAX_MANY`]; each with an operation's id of its own.
    pub specs: Vec<ClaimSpec>,
    /// Until when, UTC milliseconds.
    pub expires_at: i64,
    /// Who asks, as in [`Hold`].
    pub run: String,
}

/// The answer to [`HoldMany`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum HoldManyReply {
    /// The claims that stand, in the order asked for.
    Held {
        /// As kept.
        claims: Vec<Claim>,
        /// The days touched, as far as they are projected.
        days: Vec<ProjectedDay>,
    },
    /// Nothing changed: everything that stands in the way, by its place in `specs`.
    Refused {
        /// At least one.
        refusals: Refusals,
    },
}

/// Asks what [`HoldMany`] would refuse.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckMany {
    /// As in [`HoldMany`].
    pub specs: Vec<ClaimSpec>,
    /// Until when, UTC milliseconds.
    pub expires_at: i64,
}

/// The answer to [`CheckMany`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckManyReply {
    /// Everything that stands in the way, by its place in `specs`.
    pub refusals: Refusals,
}

/// Reads the free bits of days of one's choice in one store, projected or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FreeDays {
    /// The store.
    pub store_id: String,
    /// Which days, at most [`MAX_MANY`].
    pub days: Vec<UtcDay>,
}

/// Makes several holds last, each as [`Confirm`] does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmMany {
    /// As they were held, at most [`MAX_MANY`].
    pub specs: Vec<ClaimSpec>,
    /// Days of the hold's reply that are in D1 by now.
    pub written: Vec<WrittenDay>,
}

/// The answer to [`ConfirmMany`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfirmManyReply {
    /// What became of each claim, in the order asked for.
    pub outcomes: Vec<Confirmation>,
    /// The days touched, when anybody's free time changed.
    pub days: Vec<ProjectedDay>,
}

/// Gives several claims back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseMany {
    /// Which, at most [`MAX_MANY`].
    pub claim_ids: Vec<String>,
}

/// Gives several holds back as [`GiveBack`] does: those that no other run of the operation stands on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GiveBackMany {
    /// Which, at most [`MAX_MANY`].
    pub claim_ids: Vec<String>,
    /// The run that is over.
    pub run: String,
}

/// Intervals, claims or days in one call.
pub const MAX_MANY: usize = 400;

/// One change to the working rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowEdit {
    /// The stores worked in, with the zones of their clocks, in place of the ones before.
    Stores(BTreeMap<String, Zone>),
    /// Units that an instant carries.
    Capacity(u16),
    /// A weekly pattern, in place of that store's with the same first date.
    Weekly(WeeklyPattern),
    /// Takes a weekly pattern away.
    RemoveWeekly {
        /// The store.
        store_id: String,
        /// Its first date.
        valid_from: NaiveDate,
    },
    /// A date's ranges, in place of what was said of that store and date.
    Override(DateOverride),
    /// Back to the weekly pattern.
    RemoveOverride {
        /// The store.
        store_id: String,
        /// The date.
        date: NaiveDate,
    },
    /// Time off, in place of the one with the same id.
    TimeOff(TimeOff),
    /// Takes a time off away.
    RemoveTimeOff {
        /// Its id.
        id: String,
    },
    /// A store's holidays, in place of the ones before.
    Holidays {
        /// The store.
        store_id: String,
        /// All its holidays.
        dates: Vec<NaiveDate>,
    },
    /// The one interval in which the calendar is open.
    Only(Interval),
}

/// Changes the working rules, all edits or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetWindows {
    /// In order.
    pub edits: Vec<WindowEdit>,
    /// Whether appointments that fall outside the new windows may stay where they are.
    pub keep_appointments: bool,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// The answer to [`SetWindows`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum SetWindowsReply {
    /// Done, or it would be.
    Set {
        /// Every projected day, when anything changed.
        days: Vec<ProjectedDay>,
        /// Appointments that now lie outside working time and were kept.
        kept: Vec<Claim>,
    },
    /// Nothing changed: these live appointments would lie outside working time.
    Stranded {
        /// At most [`MAX_CLAIMS`] of them.
        claims: Vec<Claim>,
    },
    /// Nothing changed: a list grew past its limit.
    TooMany {
        /// Which list.
        what: String,
    },
}

/// Reads the working rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Windows {}

/// The answer to [`Windows`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WindowsReply {
    /// Units that an instant carries.
    pub capacity: u16,
    /// The rules.
    pub rules: WorkingRules,
}

/// Reads projected days as they should be in D1.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Free {
    /// Which days; at most [`HORIZON_DAYS`] are answered.
    pub days: DayRange,
}

/// The answer to [`Free`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FreeReply {
    /// For each store worked in.
    pub days: Vec<ProjectedDay>,
    /// Stores and days that may not have reached D1 yet.
    pub pending: Vec<(String, UtcDay)>,
    /// The calendar's version: as long as it stays, nothing changes but by time.
    pub version: i64,
}

/// Reads the live claims whose blocks touch an interval, earliest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// When.
    pub interval: Interval,
    /// Continue after the claim with this block start and id.
    #[serde(default)]
    pub after: Option<(i64, String)>,
}

/// The answer to [`Claims`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimsReply {
    /// At most [`MAX_CLAIMS`].
    pub claims: Vec<Claim>,
    /// Whether there are more.
    pub more: bool,
    /// The calendar's capacity.
    pub capacity: u16,
}

/// Claims in one reply.
pub const MAX_CLAIMS: usize = 500;
/// Days that a calendar projects, from today on: the furthest that a service can be booked ahead, and
/// one for the clocks ahead of UTC, and one for the daily step.
pub const HORIZON_DAYS: i64 = zhundian_domain::availability::MAX_DAYS_AHEAD + 2;
