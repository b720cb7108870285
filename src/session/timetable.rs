//! Making sessions: one, or a timetable of them week by week. Everything that stands in the way is found
//! and told before anything is made; then all of them are, in one batch, or none.

use axum::response::Response;
use chrono::{Days, NaiveDate, NaiveTime};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::calendar::Refusal;
use zhundian_domain::reminder::Change;
use zhundian_domain::time::{Interval, LocalInstant, Tick, date_at, local_instant, wall_at};
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::pool_needs;
use crate::booking::claim::{self, Commit, Held, Need, Operator, Taken, Terms};
use crate::booking::offer::{self, Offer, resolve};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::calendars;
use crate::catalog::Set;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::extract::Operation;
use crate::http::fields::{At, Id, Instant, Int};
use crate::outbox::{self, Message};
use crate::reminder;
use crate::session::{SeatCount, queries};

/// Sessions made at once.
const MAX_SESSIONS: usize = 99;
/// Sessions whose claims one outbox row confirms.
const CONFIRMED_AT_ONCE: usize = 10;

/// The first starts of a timetable.
type Starts = Set<Instant, 14, 1>;

/// Sessions of a class.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSessions {
    store_id: Id,
    service_id: Id,
    technician_id: Id,
    /// The room that they take whole; it has room for so many.
    room_id: Option<Id>,
    /// Seats of each.
    capacity: SeatCount,
    /// The first of each; a session takes as long as its service.
    starts: Starts,
    /// How many weeks, at the same weekday and time of day on the store's clock; at most 99 sessions in
    /// all.
    #[serde(default = "Int::of::<1>")]
    weeks: Int<1, 99>,
}

/// Sessions just made.
#[derive(Serialize, ToSchema)]
pub struct Timetable {
    /// By start.
    sessions: Vec<NewSession>,
}

/// A session just made.
#[derive(Serialize, ToSchema)]
pub struct NewSession {
    /// Its id.
    id: Id,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// Seats.
    capacity: i64,
    /// Its version.
    version: i64,
}

/// A session that does not fit.
#[derive(Serialize)]
struct Conflict {
    start_at: At,
    /// What stands in the way: `slot_taken`, `outside_hours`, `start_in_past`, `start_skipped`,
    /// `start_ambiguous`.
    code: &'static str,
    /// What is taken: `technician`, `room`, `store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
}

/// How much the technician and the room carry at a time.
#[derive(Deserialize)]
struct Carried {
    technician: Option<u16>,
    room: Option<Room>,
}

#[derive(Deserialize)]
struct Room {
    id: Id,
    capacity: u16,
}

/// Make sessions of a class
///
/// One, or several week by week. When any does not fit, none is made, and `conflicts` lists each that does
/// not and why.
#[utoipa::path(
    post, path = "/api/v1/admin/sessions", tag = "classes", operation_id = "create_sessions",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = NewSessions,
    responses((status = 201, description = "Made", body = Timetable)),
)]
pub(crate) async fn create(
    ctx: Ctx,
    staff: Staff,
    operation: Operation<NewSessions>,
) -> Answer<Response> {
    let wish = &operation.body;
    staff.require(Permission::ScheduleWrite, &wish.store_id)?;
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let weeks = u64::try_from(wish.weeks.get()).unwrap_or(1);
    if wish.starts.0.len() * usize::try_from(weeks).unwrap_or(1) > MAX_SESSIONS {
        return Err(Problem::from(Code::TooManyItems).with(MAX_SESSIONS).at("weeks"));
    }
    let (from, until) = dates(&wish.starts.0, weeks)?;
    let asked = Asked::Service {
        service_id: &wish.service_id,
        store_id: &wish.store_id,
        technician_id: Some(&wish.technician_id),
        home: false,
    };
    let rows = ctx
        .db()?
        .read(vec![
            operator.stored(),
            booking::offer(&asked, from, until, Detail::Starts),
            queries::carried(&wish.technician_id, wish.room_id.as_ref(), &wish.store_id),
        ])
        .await?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let offer = rows.one::<offer::Row>(1)?.into_offer()?;
    let carried: Carried = rows.one(2)?;
    if offer.technicians.is_empty() {
        return Err(Problem::from(Code::TechnicianNotOffered).at("technician_id"));
    }
    if wish.room_id.is_some() {
        let room = carried.room.as_ref();
        let room = room.ok_or_else(|| Problem::from(Code::UnknownResource).at("room_id"))?;
        if wish.capacity.get() > room.capacity.into() {
            return Err(Problem::from(Code::SeatsOverCapacity).with(room.capacity).at("capacity"));
        }
    }
    let starts = starts(offer.store.time_zone, &wish.starts.0, weeks)?;

    let hall = Hall { ctx: &ctx, offer: &offer, carried: &carried, wish, op: operator.op() };
    let (held, conflicts) = hall.hold(starts).await?;
    if !conflicts.is_empty() {
        let held = held.into_iter().flat_map(|session| session.taken.into_held()).collect();
        claim::give_back_all(&ctx, held).await;
        let list = serde_json::to_value(&conflicts).map_err(Problem::internal)?;
        let conflicts = Problem::from(Code::SessionConflicts).with(conflicts.len());
        return Err(conflicts.at("starts").and("conflicts", list));
    }
    let commit = hall.commit(&held, &staff.id)?;
    let held: Vec<Held> = held.into_iter().flat_map(|session| session.taken.into_held()).collect();
    claim::commit(&ctx, &operator, held, commit).await
}

/// The first and the last date that is looked at: a day more on either side of the starts as written.
fn dates(starts: &[Instant], weeks: u64) -> Answer<(NaiveDate, NaiveDate)> {
    let dates = starts.iter().map(|start| {
        let (Instant::Offset { wall, .. } | Instant::Local(wall)) = start;
        wall.date()
    });
    let (first, last) = (dates.clone().min(), dates.max());
    first
        .and_then(|date| date.pred_opt())
        .zip(last.and_then(|date| date.checked_add_days(Days::new(7 * (weeks - 1) + 2))))
        .ok_or_else(|| Problem::from(Code::InvalidInstant).at("starts"))
}

/// Every start, in order: a tick, or the time on the clock that there is not.
fn starts(zone: Zone, firsts: &[Instant], weeks: u64) -> Answer<Vec<Result<Tick, (i64, Code)>>> {
    let at = |code: Code| Problem::from(code).at("starts");
    let mut starts = Vec::new();
    for first in firsts {
        let first = resolve(zone, *first).map_err(at)?;
        let wall = wall_at(zone, first.ms()).ok_or_else(|| at(Code::InvalidInstant))?;
        let clock = NaiveTime::from_num_seconds_from_midnight_opt(u32::from(wall.minute) * 60, 0)
            .ok_or_else(|| at(Code::InvalidInstant))?;
        starts.push(Ok(first));
        for week in 1..weeks {
            let date = wall.date.checked_add_days(Days::new(7 * week));
            let local = date.ok_or_else(|| at(Code::InvalidInstant))?.and_time(clock);
            let naive = local.and_utc().timestamp_millis();
            starts.push(match local_instant(zone, local) {
                // The first was written with its offset; the ones that follow keep to the first time
                // that the clock shows.
                LocalInstant::Once(ms) | LocalInstant::Twice(ms, _) => {
                    Tick::from_ms(ms).ok_or((naive, Code::OffGrid))
                }
                LocalInstant::Skipped => Err((naive, Code::StartSkipped)),
            });
        }
    }
    starts.sort_by_key(|start| match start {
        Ok(tick) => tick.ms(),
        Err((naive, _)) => *naive,
    });
    Ok(starts)
}

/// A session whose time is held.
struct Session {
    id: Id,
    interval: Interval,
    date: NaiveDate,
    taken: Taken,
}

/// What all sessions that are made at once share.
struct Hall<'a> {
    ctx: &'a Ctx,
    offer: &'a Offer,
    carried: &'a Carried,
    wish: &'a NewSessions,
    op: String,
}

impl Hall<'_> {
    /// Holds every session that fits; what stands in the way of the others.
    async fn hold(
        &self,
        starts: Vec<Result<Tick, (i64, Code)>>,
    ) -> Answer<(Vec<Session>, Vec<Conflict>)> {
        let zone = self.offer.store.time_zone;
        let (mut held, mut conflicts) = (Vec::new(), Vec::new());
        for (index, start) in starts.into_iter().enumerate() {
            let at = match &start {
                Ok(tick) => tick.ms(),
                Err((naive, _)) => *naive,
            };
            let done = match start {
                Ok(start) => self.hold_one(index, start).await?,
                Err((_, code)) => Err((code, None)),
            };
            match done {
                Ok(session) => held.push(session),
                Err((code, taken)) => conflicts.push(Conflict {
                    start_at: At::new(zone, at),
                    code: code.as_str(),
                    taken,
                }),
            }
        }
        Ok((held, conflicts))
    }

    async fn hold_one(
        &self,
        index: usize,
        start: Tick,
    ) -> Answer<Result<Session, (Code, Option<String>)>> {
        let (ctx, offer) = (self.ctx, self.offer);
        if start.ms() <= ctx.now {
            return Ok(Err((Code::StartInPast, None)));
        }
        let shape = offer.shape();
        let (service, block) =
            shape.at(start).ok_or_else(|| Problem::internal("a service of no length"))?;
        let open = offer.rule(true).opening.ticks(service).ones().count();
        if i64::try_from(open).ok() != Some(service.ticks()) {
            return Ok(Err((Code::OutsideHours, None)));
        }
        let op = format!("{}-s{index}", self.op);
        let terms = Terms { op: &op, store_id: &offer.store.id, hold_ms: claim::HOLD_MS };
        let needs = self.needs(start, (service, block));
        let taken = match claim::hold_all(ctx, terms, &needs).await? {
            Ok(taken) => taken,
            Err(not_held) => {
                let by = not_held.fresh.last().and_then(|(calendar, _)| calendar.split_once(':'));
                let code = match not_held.refusal {
                    Refusal::OutsideWorkingTime => Code::OutsideHours,
                    _ => Code::SlotTaken,
                };
                return Ok(Err((code, by.map(|(kind, _)| kind.to_owned()))));
            }
        };
        let date = date_at(offer.store.time_zone, start.ms()).ok_or(Code::Internal)?;
        Ok(Ok(Session { id: ctx.new_id()?, interval: service, date, taken }))
    }

    /// The technician and the room, whole; and what the service takes besides.
    fn needs(&self, start: Tick, times: (Interval, Interval)) -> Vec<Need> {
        let mut technician =
            Need::of(vec![calendars::technician(&self.wish.technician_id)], vec![times]);
        technician.quantity = self.carried.technician.unwrap_or(1);
        let mut needs = vec![technician];
        let room = self.carried.room.as_ref().map(|room| {
            let mut need = Need::of(vec![calendars::room(&room.id)], vec![times]);
            need.quantity = room.capacity;
            need
        });
        // The room that is named is the one of its kind that the service takes.
        let named = room.as_ref().and_then(|room| room.calendars.first().cloned());
        needs.extend(room);
        let pools = pool_needs(self.offer, start, times);
        needs
            .extend(pools.filter(|pool| {
                !named.as_ref().is_some_and(|named| pool.calendars.contains(named))
            }));
        needs
    }

    fn commit(&self, held: &[Session], staff_id: &Id) -> Answer<Commit> {
        let Self { ctx, offer, wish, .. } = self;
        let zone = offer.store.time_zone;
        let sessions: Vec<_> = held
            .iter()
            .map(|one| {
                (&one.id, one.interval.start.ms(), one.interval.end.ms(), one.date.to_string())
            })
            .map(|(id, start, end, date)| serde_json::json!([id, start, end, date]))
            .collect();
        let claims: Vec<_> = held
            .iter()
            .flat_map(|one| one.taken.claims().into_iter().map(move |claimed| (&one.id, claimed)))
            .map(|(session_id, claimed)| {
                let spec = &claimed.spec;
                serde_json::json!([
                    spec.id,
                    session_id,
                    claimed.calendar,
                    spec.service.start.ms(),
                    spec.service.end.ms(),
                    spec.block.start.ms(),
                    spec.block.end.ms(),
                    spec.quantity,
                ])
            })
            .collect();
        let mut rows = Vec::new();
        for some in held.chunks(CONFIRMED_AT_ONCE) {
            let claims = some.iter().flat_map(|one| one.taken.claims()).collect();
            let confirm = Message::Confirm { claims, order_id: None, paid: false };
            rows.push(outbox::Row::new(ctx, confirm)?);
        }
        for one in held {
            let calendar = calendars::session(&one.id);
            rows.push(outbox::Row::new(ctx, Message::SyncCalendar { calendar })?);
        }
        let timetable = queries::Timetable {
            store_id: &wish.store_id,
            service_id: &wish.service_id,
            technician_id: &wish.technician_id,
            room_id: wish.room_id.as_ref(),
            capacity: wish.capacity.get(),
            made_by: staff_id,
            now: ctx.now,
        };
        let text = |rows: &[serde_json::Value]| serde_json::to_string(rows);
        let (sessions, claims) = (
            text(&sessions).map_err(Problem::internal)?,
            text(&claims).map_err(Problem::internal)?,
        );
        let mut statements = vec![queries::sessions_stand(
            &wish.service_id,
            &wish.store_id,
            &wish.technician_id,
            wish.room_id.as_ref(),
        )];
        statements.extend(queries::insert(&timetable, &sessions, &claims));
        let classes: Vec<_> = held.iter().map(|one| (&one.id, one.interval.start.ms())).collect();
        let on = (zone, offer.reminder_minutes.as_slice());
        statements.extend(reminder::classes(ctx, Change::Booked, &classes, on)?);
        let made = held.iter().map(|one| NewSession {
            id: one.id.clone(),
            start_at: At::new(zone, one.interval.start.ms()),
            end_at: At::new(zone, one.interval.end.ms()),
            capacity: wish.capacity.get(),
            version: 1,
        });
        let answer = Timetable { sessions: made.collect() };
        let response = serde_json::to_string(&answer).map_err(Problem::internal)?;
        Ok(Commit { statements, rows, status: StatusCode::CREATED, response })
    }
}

#[cfg(test)]
mod tests {
    use super::{dates, starts};
    use crate::error::Code;
    use crate::http::fields::Instant;

    fn instants(texts: &[&str]) -> Vec<Instant> {
        texts.iter().map(|text| text.parse().expect("an instant")).collect()
    }

    #[test]
    fn a_week_later_is_the_same_time_on_the_clock_also_where_it_is_turned() {
        let zone = "Europe/Berlin".parse().expect("a zone");
        let at = |first: &str, weeks| {
            let starts = starts(zone, &instants(&[first]), weeks).expect("starts");
            starts
                .into_iter()
                .map(|start| start.map(|tick| format!("{tick:?}")))
                .collect::<Vec<_>>()
        };
        // The clock goes forward on 2026-03-29 and back on 2026-10-25.
        let utc = |text: &str| Ok(text.to_owned());
        assert_eq!(at("2026-03-25T18:00", 2), [utc("2026-03-25T17:00Z"), utc("2026-04-01T16:00Z")]);
        assert_eq!(at("2026-10-18T02:30", 2), [utc("2026-10-18T00:30Z"), utc("2026-10-25T00:30Z")]);
        let skipped = at("2026-03-22T02:30", 3);
        assert!(matches!(skipped[1], Err((_, Code::StartSkipped))), "{skipped:?}");
        assert_eq!(skipped[2], utc("2026-04-05T00:30Z"));
    }

    #[test]
    fn several_first_starts_make_one_timetable_in_order() {
        let zone = "Asia/Shanghai".parse().expect("a zone");
        let firsts = instants(&["2026-12-03T19:00:00+08:00", "2026-12-01T10:00:00+08:00"]);
        let starts = starts(zone, &firsts, 2).expect("starts");
        let shown: Vec<_> =
            starts.into_iter().map(|start| format!("{:?}", start.expect("a tick"))).collect();
        let expected =
            ["2026-12-01T02:00Z", "2026-12-03T11:00Z", "2026-12-08T02:00Z", "2026-12-10T11:00Z"];
        assert_eq!(shown, expected);
        let (from, until) = dates(&firsts, 2).expect("dates");
        assert_eq!(
            (from.to_string(), until.to_string()),
            ("2026-11-30".into(), "2026-12-12".into())
        );
    }
}
