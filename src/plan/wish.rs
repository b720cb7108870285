//! What is asked for when a plan is made, and the sessions that follow from it.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::recurrence::{
    self, MAX_DAYS_AHEAD, MAX_SESSIONS, OnClosed, Repetition, Sessions, Setting,
};
use zhundian_domain::time::{Tick, UtcDay};
use zhundian_domain::zone::Zone;

use crate::booking::offer::{Offer, resolve};
use crate::catalog::{Mode, Set};
use crate::error::{Answer, Code, Problem};
use crate::http::fields::{At, Date, Id, Instant, Int, Note};

/// How the first times are repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rhythm {
    /// Every day.
    Daily,
    /// Every seven days.
    Weekly,
    /// Not at all: each time is given.
    Custom,
}

/// What becomes of a session on a day on which the store is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It is left out.
    #[default]
    Skip,
    /// It takes place on the next open day, at the same time, on which no other session of the plan
    /// stands in its way.
    Move,
}

/// First times.
type Starts = Set<Instant, 99, 1>;
/// Sessions that are not wanted.
type LeftOut = Set<Instant, 99>;

/// A plan to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// In which store.
    pub store_id: Id,
    /// For whom.
    pub member_id: Id,
    /// A service of mode `plan`.
    pub service_id: Id,
    /// By whom.
    pub technician_id: Id,
    /// The room or piece of equipment; one of those that the service asks for, the same for every session,
    /// when absent.
    #[serde(default)]
    pub room_id: Option<Id>,
    /// How the starts repeat. A repetition keeps the time on the store's clock; where the clock skips it
    /// the session starts as the clock goes on, where the clock shows it twice the first time counts.
    pub rhythm: Rhythm,
    /// The first times; every time when they are of one's choice.
    pub starts: Starts,
    /// How often each takes place; of no account for times of one's choice.
    #[serde(default = "Int::of::<1>")]
    pub times: Int<1, 99>,
    /// The last date on which a session may be.
    #[serde(default)]
    pub until: Option<Date>,
    /// On days on which the store is closed, by holiday or by its hours.
    #[serde(default)]
    pub on_closed: Closed,
    /// Starts of sessions, as the preview shows them, that are not wanted.
    #[serde(default)]
    pub leave_out: LeftOut,
    /// The member's count card that gives a use for each session; then nothing is paid for it.
    #[serde(default)]
    pub card_id: Option<Id>,
    /// For the technician.
    #[serde(default)]
    pub note: Note,
}

/// The dates that an offer for a plan is asked for: every date on which a session may be.
#[must_use]
pub fn dates(now: i64) -> (NaiveDate, NaiveDate) {
    let date = |days: i64| {
        let at = chrono::DateTime::from_timestamp_millis(UtcDay::of_ms(now).start().ms());
        at.unwrap_or_default().date_naive() + chrono::TimeDelta::days(days)
    };
    (date(-1), date(MAX_DAYS_AHEAD + 1))
}

/// Refuses an offer that makes no plan.
///
/// # Errors
/// `store_closed`, `mode_not_offered`, `technician_not_offered`.
pub fn require_plan(offer: &Offer) -> Answer<()> {
    offer.require_open()?;
    if !offer.service.modes.contains(&Mode::Plan) {
        return Err(Problem::from(Code::ModeNotOffered).at("service_id"));
    }
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    Ok(())
}

impl NewPlan {
    /// The sessions that follow, those that are to be left out taken away.
    ///
    /// # Errors
    /// A code for each way in which they make no plan.
    pub fn sessions(&self, offer: &Offer, now: i64) -> Answer<Sessions> {
        let zone = offer.store.time_zone;
        let ticks = |field: &str, instants: &[Instant]| {
            let resolved = instants.iter().enumerate().map(|(index, instant)| {
                resolve(zone, *instant)
                    .map_err(|code| Problem::from(code).at(format!("{field}[{index}]")))
            });
            resolved.collect::<Answer<Vec<Tick>>>()
        };
        let repetition = Repetition {
            rhythm: match self.rhythm {
                Rhythm::Daily => recurrence::Rhythm::Daily,
                Rhythm::Weekly => recurrence::Rhythm::Weekly,
                Rhythm::Custom => recurrence::Rhythm::Custom,
            },
            first: ticks("starts", &self.starts.0)?,
            times: u16::try_from(self.times.get()).unwrap_or(1),
            until: self.until.map(|date| date.0),
            on_closed: match self.on_closed {
                Closed::Skip => OnClosed::Skip,
                Closed::Move => OnClosed::Move,
            },
        };
        let setting = Setting {
            zone,
            length: offer.shape().block_ticks(),
            closed: |date| offer.is_closed(date),
            now,
        };
        let mut found = repetition.sessions(&setting).map_err(|why| refused(zone, why))?;
        for (index, start) in ticks("leave_out", &self.leave_out.0)?.into_iter().enumerate() {
            let before = found.sessions.len();
            found.sessions.retain(|session| session.start != start);
            if found.sessions.len() == before {
                let field = format!("leave_out[{index}]");
                return Err(Problem::from(Code::UnknownPlanSession).at(field));
            }
        }
        if found.sessions.is_empty() {
            return Err(Problem::from(Code::NoSessions).at("leave_out"));
        }
        Ok(found)
    }

    /// How the plan was asked for, as the row keeps it.
    #[must_use]
    pub fn repetition(&self, offer: &Offer) -> serde_json::Value {
        let zone = offer.store.time_zone;
        let starts: Vec<At> = self
            .starts
            .0
            .iter()
            .filter_map(|start| Some(At::new(zone, resolve(zone, *start).ok()?.ms())))
            .collect();
        serde_json::json!({
            "rhythm": self.rhythm, "starts": starts, "times": self.times.get(),
            "until": self.until.map(|date| date.0), "on_closed": self.on_closed,
        })
    }
}

fn refused(zone: Zone, why: recurrence::Refusal) -> Problem {
    use recurrence::Refusal;
    match why {
        Refusal::Malformed => {
            Problem::from(Code::OutOfRange).with(format_args!("1..{MAX_SESSIONS}")).at("starts")
        }
        Refusal::TooMany(count) => Problem::from(Code::TooManySessions).with(count).at("times"),
        Refusal::Past(index) => Problem::from(Code::StartInPast).at(format!("starts[{index}]")),
        Refusal::TooFar => Problem::from(Code::StartTooFar).at("starts"),
        Refusal::Overlap(one, other) => {
            let pair = [one, other].map(|tick| At::new(zone, tick.ms()));
            let pair = serde_json::json!(pair);
            Problem::from(Code::SessionsOverlap).at("starts").and("sessions", pair)
        }
        Refusal::NoOpenDay(date) => Problem::from(Code::NoOpenDay).with(date).at("on_closed"),
        Refusal::Empty => Problem::from(Code::NoSessions).at("until"),
    }
}
