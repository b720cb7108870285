//! Changing a plan: one session, it and the rest, or all that are to come.
//!
//! One session can also be moved and cancelled as any appointment, by its order. What is done here to
//! several is done to all of them or to none.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;
use zhundian_domain::calendar::{ClaimSpec, MAX_BLOCK_TICKS};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::recurrence;
use zhundian_domain::reminder::Change;
use zhundian_domain::time::{Tick, date_at};
use zhundian_domain::zone::Zone;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::claim::{Commit, Operator};
use crate::booking::offer::{Offer, Row, resolve};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::calendars;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, Operation, PathId};
use crate::http::fields::{At, Id, Instant, Text};
use crate::http::{Ctx, Json};
use crate::order::{Actor, cancel as orders, refused};
use crate::outbox::{self, Message};
use crate::plan::draft::{Draft, Taking, Whose, spec};
use crate::plan::hold::{self, HeldMany};
use crate::plan::make::Besides;
use crate::plan::see::{self, PlanAnswer};
use crate::plan::wish::{dates, require_plan};
use crate::plan::{feature, queries};
use crate::reminder;

/// Which of a plan's sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// The one named.
    One,
    /// The one named and all after it.
    Rest,
    /// All that are to come.
    All,
}

/// Which sessions are given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelPlan {
    which: Which,
    /// The session's order; of no account for all.
    #[serde(default)]
    session_id: Option<Id>,
    #[serde(default)]
    reason: Option<Text<0, 200>>,
}

/// Where sessions are moved to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovePlan {
    which: Which,
    /// The session's order.
    session_id: Id,
    /// Its new start. The others move by as much on the store's clock.
    start_at: Instant,
    /// The same one as before when absent.
    #[serde(default)]
    technician_id: Option<Id>,
}

#[derive(Deserialize)]
struct ToChange {
    store_id: Id,
    service_id: Id,
}

/// A session that is not over.
#[derive(Deserialize)]
pub struct Open {
    id: Id,
    status: Status,
    version: i64,
    line_id: Id,
    technician_id: Id,
    /// Every claim of its line, the technician's among them, each with its calendar.
    claims: Vec<(String, String)>,
    start_at: i64,
    paid: bool,
}

impl Open {
    /// What is told when it is given up.
    fn cancelled(&self) -> reminder::Session<'_> {
        let stood = matches!(self.status, Status::Confirmed | Status::InService);
        reminder::Session {
            order_id: &self.id,
            line_id: self.line_id.as_str(),
            technician_id: &self.technician_id,
            start_at: self.start_at,
            change: Change::Cancelled { stood },
            left: None,
        }
    }
}

/// Cancel one session of a plan, the rest, or all
///
/// Sessions that have begun are left as they are unless they are named. What was paid for one goes back in
/// full.
#[utoipa::path(
    post, path = "/api/v1/staff/plans/{id}/cancel", tag = "plans", operation_id = "cancel_plan",
    params(("id" = Id, Path, description = "The plan")), request_body = CancelPlan,
    responses((status = 200, description = "As it is now", body = PlanAnswer)),
)]
pub(crate) async fn cancel(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    Body(wish): Body<CancelPlan>,
) -> Answer<Json<PlanAnswer>> {
    let (_, open) = read(&ctx, &staff, &id).await?;
    if wish.which != Which::All && wish.session_id.is_none() {
        return Err(Problem::from(Code::MissingField).at("session_id"));
    }
    // One that is cancelled or over already is as was wished.
    let from = wish.session_id.as_ref().and_then(|id| open.iter().find(|one| one.id == *id));
    if wish.which != Which::All && from.is_none() {
        return cancelled_before(&ctx, &id, wish.session_id.as_ref()).await;
    }
    let named = from.map(|one| (one.id.clone(), one.start_at));
    let picked = pick(open, wish.which, named.as_ref(), ctx.now);
    let (paid, unpaid): (Vec<_>, Vec<_>) = picked.into_iter().partition(|one| one.paid);
    cancel_unpaid(&ctx, &staff, unpaid, wish.reason.as_ref()).await?;
    for one in paid {
        orders::cancel_session(&ctx, &one.id, &staff.id, wish.reason.clone()).await?;
    }
    see::read(&ctx, &id).await.map(|plan| Json(PlanAnswer { plan }))
}

/// The plan as it is, when the session is one of its own.
async fn cancelled_before(ctx: &Ctx, id: &Id, session_id: Option<&Id>) -> Answer<Json<PlanAnswer>> {
    let plan = see::read(ctx, id).await?;
    if session_id.is_some_and(|id| plan.has(id)) {
        Ok(Json(PlanAnswer { plan }))
    } else {
        Err(Problem::from(Code::UnknownPlanSession).at("session_id"))
    }
}

/// The sessions that are meant; `named` is the one named, with its start.
fn pick(open: Vec<Open>, which: Which, named: Option<&(Id, i64)>, now: i64) -> Vec<Open> {
    let meant = |one: &Open| match (which, named) {
        (Which::All, _) => one.start_at > now,
        (Which::One, Some((id, _))) => one.id == *id,
        (Which::Rest, Some((id, start_at))) => {
            one.id == *id || (one.start_at >= *start_at && one.start_at > now)
        }
        (_, None) => false,
    };
    open.into_iter().filter(meant).collect()
}

async fn read(ctx: &Ctx, staff: &Staff, id: &Id) -> Answer<(ToChange, Vec<Open>)> {
    let statements = vec![feature::is_on(), queries::to_change(id), queries::open_sessions(id)];
    let rows = ctx.db()?.read(statements).await?;
    feature::require_on(&rows, 0)?;
    let known: Option<ToChange> = rows.first(1)?;
    let known = known.ok_or_else(|| Problem::from(Code::NotFound))?;
    staff.require(Permission::BookingPlan, &known.store_id)?;
    Ok((known, rows.one(2)?))
}

/// Cancels sessions for which no money was taken, all in one batch.
async fn cancel_unpaid(
    ctx: &Ctx,
    staff: &Staff,
    sessions: Vec<Open>,
    reason: Option<&Text<0, 200>>,
) -> Answer<()> {
    #[derive(Serialize)]
    struct Gone {
        order_id: Id,
        version: i64,
        event_id: Id,
    }
    if sessions.is_empty() {
        return Ok(());
    }
    let mut gone = Vec::new();
    let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let told: Vec<_> = sessions.iter().map(Open::cancelled).collect();
    let actor = Actor::Staff(staff.id.clone());
    let told = reminder::follow_all(ctx, &told, Zone::UTC, &[], &actor)?;
    for one in sessions {
        apply(one.status, Event::CancelledByStaff).map_err(refused)?;
        for (calendar, claim_id) in one.claims {
            claims.entry(calendar).or_default().push(claim_id);
        }
        gone.push(Gone { order_id: one.id, version: one.version, event_id: ctx.new_id()? });
    }
    let rows = claims
        .into_iter()
        .map(|(calendar, claim_ids)| {
            outbox::Row::new(ctx, Message::ReleaseMany { calendar, claim_ids })
        })
        .collect::<Answer<Vec<_>>>()?;
    let json = serde_json::to_string(&gone).map_err(Problem::internal)?;
    let reason = reason.map(Text::as_str).unwrap_or_default();
    let mut statements = vec![queries::are_at(&json)];
    statements.extend(queries::cancel_all(&json, &staff.id, reason, ctx.now));
    statements.extend(told);
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    ctx.db()?.batch(statements).await?;
    outbox::deliver_soon(ctx, rows).await;
    Ok(())
}

/// Move one session of a plan, the rest, or all
///
/// All of them or none: what stands in the way is listed as when a plan is made. The new times are held
/// beside the old ones, so a session cannot move to where another of the plan is until that one has left.
#[utoipa::path(
    post, path = "/api/v1/staff/plans/{id}/reschedule", tag = "plans", operation_id = "reschedule_plan",
    params(
        ("id" = Id, Path, description = "The plan"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = MovePlan,
    responses((status = 200, description = "Moved", body = MovedPlan)),
)]
pub(crate) async fn reschedule(
    ctx: Ctx,
    staff: Staff,
    PathId(id): PathId,
    operation: Operation<MovePlan>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let wish = operation.body;
    let (known, open) = read(&ctx, &staff, &id).await?;
    let named = open.iter().find(|one| one.id == wish.session_id);
    let named = named.map(|one| (one.id.clone(), one.start_at, one.technician_id.clone()));

    // One more read: the offer is that of the technician who will do it.
    let (from, until) = dates(ctx.now);
    let technician_id = wish.technician_id.as_ref().or_else(|| named.as_ref().map(|(_, _, id)| id));
    let asked = Asked::Service {
        service_id: &known.service_id,
        store_id: &known.store_id,
        technician_id,
        home: false,
    };
    let statements = vec![operator.stored(), booking::offer(&asked, from, until, Detail::Names)];
    let rows = ctx.db()?.read(statements).await?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let Some((session_id, start_at, _)) = named else {
        return Err(Problem::from(Code::UnknownPlanSession).at("session_id"));
    };
    let offer = rows.one::<Row>(1)?.into_offer()?;
    require_plan(&offer)?;
    let all: Vec<i64> = open.iter().map(|one| one.start_at).collect();
    let picked = pick(open, wish.which, Some(&(session_id, start_at)), ctx.now);
    let moves = moves(&ctx, &offer, &wish, start_at, picked, &all)?;
    let draft = draft(&ctx, &offer, &operator.op(), &moves)?;
    let holds = draft.hold(&ctx).await?;
    let commit = commit(&ctx, &staff, &known, &draft, &moves, &holds)?;
    hold::commit(&ctx, &operator, holds, commit).await
}

/// A session with where it goes.
struct Move {
    session: Open,
    start: Tick,
    technician_id: Id,
}

/// The sessions moved by as much as the one named, on the store's clock.
fn moves(
    ctx: &Ctx,
    offer: &Offer,
    wish: &MovePlan,
    from: i64,
    picked: Vec<Open>,
    all: &[i64],
) -> Answer<Vec<Move>> {
    let zone = offer.store.time_zone;
    let to = resolve(zone, wish.start_at).map_err(|code| Problem::from(code).at("start_at"))?;
    let off_grid = || Problem::internal("a session off the grid");
    let tick = |ms: i64| Tick::from_ms(ms).ok_or_else(off_grid);
    let (mut moves, mut taken) = (Vec::new(), BTreeSet::new());
    for session in picked {
        let start = recurrence::shifted(zone, tick(session.start_at)?, tick(from)?, to)
            .ok_or_else(|| Problem::from(Code::StartTooFar).at("start_at"))?;
        if start.ms() <= ctx.now {
            return Err(Problem::from(Code::StartInPast).at("start_at"));
        }
        taken.insert(session.start_at);
        let technician_id =
            wish.technician_id.clone().unwrap_or_else(|| session.technician_id.clone());
        moves.push(Move { session, start, technician_id });
    }
    // Neither one another's, nor that of a session which stays.
    let mut starts: Vec<Tick> = moves.iter().map(|one| one.start).collect();
    for stays in all.iter().filter(|start| !taken.contains(*start)) {
        starts.push(tick(*stays)?);
    }
    starts.sort_unstable();
    let length = offer.shape().block_ticks();
    if let Some([one, other]) =
        starts.array_windows().find(|[one, other]| other.since(*one) < length)
    {
        let pair = serde_json::json!([At::new(zone, one.ms()), At::new(zone, other.ms())]);
        return Err(Problem::from(Code::SessionsOverlap).at("start_at").and("sessions", pair));
    }
    Ok(moves)
}

/// What the moves take in each calendar: the technicians', and those of rooms and the store that the
/// sessions have already.
fn draft<'a>(ctx: &Ctx, offer: &'a Offer, op: &str, moves: &[Move]) -> Answer<Draft<'a>> {
    if moves.is_empty() {
        return Err(Problem::from(Code::UnknownPlanSession).at("session_id"));
    }
    let mut takings: BTreeMap<String, Vec<(usize, ClaimSpec)>> = BTreeMap::new();
    for (index, one) in moves.iter().enumerate() {
        for calendar in one.takes() {
            let mut spec = spec(ctx, offer, op, one.start)?;
            spec.replaces =
                moves.iter().flat_map(|other| other.left(&calendar, one.start)).collect();
            takings.entry(calendar).or_default().push((index, spec));
        }
    }
    let whose = |calendar: &str| match calendar.split(':').next() {
        Some("technician") => Whose::Technician,
        Some("room") => Whose::Room,
        _ => Whose::Store,
    };
    let takings = takings
        .into_iter()
        .map(|(calendar, claims)| Taking { whose: whose(&calendar), calendar, claims })
        .collect();
    Ok(Draft { offer, starts: moves.iter().map(|one| one.start).collect(), takings })
}

impl Move {
    /// The calendars that it needs.
    fn takes(&self) -> Vec<String> {
        let besides = self.session.claims.iter().map(|(calendar, _)| calendar);
        let besides = besides.filter(|calendar| !calendar.starts_with("technician:")).cloned();
        std::iter::once(calendars::technician(&self.technician_id)).chain(besides).collect()
    }

    /// The claims that it leaves in a calendar, as far as one that begins at `start` may meet them.
    fn left<'a>(&'a self, calendar: &'a str, start: Tick) -> impl Iterator<Item = String> + 'a {
        let apart = Tick::at_or_before(self.session.start_at).since(start).abs();
        let claims = self.session.claims.iter();
        claims
            .filter(move |(of, _)| {
                of == calendar && (apart < MAX_BLOCK_TICKS || self.start == start)
            })
            .map(|(_, claim_id)| claim_id.clone())
    }
}

/// Sessions just moved.
#[derive(Serialize, ToSchema)]
pub struct MovedPlan {
    /// Each with its new time.
    sessions: Vec<MovedSession>,
}

/// A session just moved.
#[derive(Serialize, ToSchema)]
pub struct MovedSession {
    /// Its order's id.
    id: Id,
    /// By whom.
    technician_id: Id,
    /// When it starts.
    start_at: At,
    /// When it ends.
    end_at: At,
    /// Its order's version.
    version: i64,
}

/// A session's line as it is moved.
#[derive(Serialize)]
struct Moved {
    order_id: Id,
    version: i64,
    line_id: Id,
    event_id: Id,
    claim_id: String,
    technician_id: Id,
    start_at: i64,
    end_at: i64,
    block_start: i64,
    block_end: i64,
    date: chrono::NaiveDate,
    from: i64,
}

fn commit(
    ctx: &Ctx,
    staff: &Staff,
    known: &ToChange,
    draft: &Draft<'_>,
    moves: &[Move],
    holds: &[HeldMany],
) -> Answer<Commit> {
    let zone = draft.offer.store.time_zone;
    let (mut lines, mut besides, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut replaced: BTreeSet<String> = BTreeSet::new();
    for (taking, held) in draft.takings.iter().zip(holds) {
        let mut confirms = Vec::new();
        for ((index, _), claim) in taking.claims.iter().zip(&held.claims) {
            let one = moves.get(*index).ok_or_else(|| Problem::internal("no such move"))?;
            let spec = &claim.spec;
            replaced.extend(spec.replaces.iter().cloned());
            confirms.push((one.session.id.clone(), spec.clone()));
            if taking.whose == Whose::Technician {
                lines.push(one.line(ctx, zone, spec)?);
            } else {
                let line_id = one.session.line_id.as_str();
                besides.push(Besides::new(&taking.calendar, &one.session.id, line_id, spec));
            }
        }
        let message = Message::ConfirmMany {
            calendar: held.calendar.clone(),
            claims: confirms,
            written: held.days.iter().map(Into::into).collect(),
        };
        rows.push(outbox::Row::new(ctx, message)?);
    }
    // A confirm releases the claims that its own replaces; any other is left behind.
    let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (calendar, claim_id) in moves.iter().flat_map(|one| &one.session.claims) {
        if !replaced.contains(claim_id) {
            left.entry(calendar.clone()).or_default().push(claim_id.clone());
        }
    }
    for (calendar, claim_ids) in left {
        rows.push(outbox::Row::new(ctx, Message::ReleaseMany { calendar, claim_ids })?);
    }
    lines.sort_by_key(|line| line.start_at);
    let sessions = lines.iter().map(|line| MovedSession {
        id: line.order_id.clone(),
        technician_id: line.technician_id.clone(),
        start_at: At::new(zone, line.start_at),
        end_at: At::new(zone, line.end_at),
        version: line.version + 1,
    });
    let answer = MovedPlan { sessions: sessions.collect() };
    let response = serde_json::to_string(&answer).map_err(Problem::internal)?;
    let json = serde_json::to_string(&lines).map_err(Problem::internal)?;
    let mut statements = vec![queries::are_at(&json)];
    statements.extend(queries::move_all(&json, &staff.id, ctx.now));
    if !besides.is_empty() {
        let json = serde_json::to_string(&besides).map_err(Problem::internal)?;
        statements.extend(queries::insert_besides(&json, &known.store_id));
    }
    let told: Vec<_> = moves.iter().map(Move::told).collect();
    let (leads, actor) = (&draft.offer.reminder_minutes, Actor::Staff(staff.id.clone()));
    statements.extend(reminder::follow_all(ctx, &told, zone, leads, &actor)?);
    let max_per_day = draft.offer.service.max_per_day;
    statements.push(queries::moves_stand(&json, &known.store_id, &known.service_id, max_per_day));
    Ok(Commit { statements, rows, status: StatusCode::OK, response })
}

impl Move {
    /// What is told of it.
    fn told(&self) -> reminder::Session<'_> {
        let session = &self.session;
        let same_technician = self.technician_id == session.technician_id;
        // Somebody else at the same time is nothing new to the customer, who did not choose.
        let change = if !same_technician && self.start.ms() == session.start_at {
            Change::Reassigned
        } else {
            Change::Moved { same_technician }
        };
        reminder::Session {
            order_id: &session.id,
            line_id: session.line_id.as_str(),
            technician_id: &self.technician_id,
            start_at: self.start.ms(),
            change,
            left: (!same_technician).then_some((&session.technician_id, session.start_at)),
        }
    }

    fn line(&self, ctx: &Ctx, zone: Zone, spec: &ClaimSpec) -> Answer<Moved> {
        apply(self.session.status, Event::MovedByStaff).map_err(refused)?;
        Ok(Moved {
            order_id: self.session.id.clone(),
            version: self.session.version,
            line_id: self.session.line_id.clone(),
            event_id: ctx.new_id()?,
            claim_id: spec.id.clone(),
            technician_id: self.technician_id.clone(),
            start_at: spec.service.start.ms(),
            end_at: spec.service.end.ms(),
            block_start: spec.block.start.ms(),
            block_end: spec.block.end.ms(),
            date: date_at(zone, spec.service.start.ms()).unwrap_or_default(),
            from: self.session.start_at,
        })
    }
}
