//! Making a plan: all of its sessions, or those that were not left out, in one operation.
//!
//! One D1 batch reads, each calendar is asked once for all of its intervals, in the order of the
//! calendars' names, and one D1 batch commits: the plan, an order and a line for each session, the stored
//! answer, the projection, an outbox row to confirm each calendar's claims. Whoever vanishes after any
//! step leaves nothing behind, as with a single booking.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use zhundian_domain::calendar::{Claim, ClaimSpec};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::Part;
use zhundian_domain::recurrence::{Session, Sessions};
use zhundian_domain::reminder::Change;
use zhundian_domain::time::{Tick, date_at};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::book::Customer;
use crate::booking::claim::{Commit, Operator};
use crate::booking::offer::{Offer, Pool, Row};
use crate::booking::queries::{self as booking, Asked, Detail};
use crate::calendars;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Body, Operation};
use crate::http::fields::{At, Date, Id};
use crate::http::{Ctx, Json};
use crate::order::{self, Actor};
use crate::outbox::{self, Message};
use crate::plan::draft::{Conflict, Draft, Taking, Whose, check, spec};
use crate::plan::hold::{self, HeldMany};
use crate::plan::see::{Plan, PlanAnswer, PlanRow, Progress, SessionRow};
use crate::plan::wish::{NewPlan, dates, require_plan};
use crate::plan::{feature, queries};
use crate::reminder;

/// Rooms of a kind that are asked for a plan.
const MAX_ROOMS: usize = 10;

/// A plan as it would be.
#[derive(Serialize, ToSchema)]
pub struct Preview {
    /// Its sessions, in order.
    sessions: Vec<PreviewSession>,
    /// Dates without a session, because the store is closed.
    skipped: Vec<Date>,
    /// How many sessions something stands in the way of.
    conflicts: usize,
}

/// A session as it would be.
#[derive(Serialize, ToSchema)]
pub struct PreviewSession {
    /// When it would start.
    start_at: At,
    /// When it would end.
    end_at: At,
    /// The date that it has moved from, because the store is closed on it.
    moved_from: Option<Date>,
    /// What stands in its way; null when nothing does.
    conflict: Option<Conflict>,
}

/// What a plan would be
///
/// Every session, everything that stands in the way, and the nearest free times. Nothing is taken.
#[utoipa::path(
    post, path = "/api/v1/staff/plans/preview", tag = "plans", operation_id = "preview_plan",
    request_body = NewPlan,
    responses((status = 200, description = "As it would be", body = Preview)),
)]
pub(crate) async fn preview(
    ctx: Ctx,
    staff: Staff,
    Body(wish): Body<NewPlan>,
) -> Answer<Json<Preview>> {
    let rows = ctx.db()?.read(reads(&ctx, &wish)).await?;
    feature::require_on(&rows, 0)?;
    staff.require(Permission::BookingPlan, &wish.store_id)?;
    let wanted = Wanted::read(&ctx, &rows, wish)?;
    let op = format!("preview-{}", ctx.request_id);
    let draft = wanted.draft(&ctx, &op).await?;
    let mut conflicts = draft.conflicts(&ctx).await?;
    let zone = wanted.offer.store.time_zone;
    let count = conflicts.len();
    let sessions = wanted.sessions.sessions.iter().enumerate().map(|(index, session)| {
        let end = session.start.plus(wanted.offer.shape().service);
        PreviewSession {
            start_at: At::new(zone, session.start.ms()),
            end_at: At::new(zone, end.ms()),
            moved_from: session.moved_from.map(Date),
            conflict: conflicts.remove(&index),
        }
    });
    Ok(Json(Preview {
        sessions: sessions.collect(),
        skipped: wanted.sessions.skipped.iter().copied().map(Date).collect(),
        conflicts: count,
    }))
}

/// Make a plan
///
/// All of its sessions or none: when something stands in the way of any, 409 `plan_conflicts` lists all
/// of it, by session, with the nearest free times. Sessions that are to be left out are named by their
/// starts.
#[utoipa::path(
    post, path = "/api/v1/staff/plans", tag = "plans", operation_id = "make_plan",
    params(("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$")),
    request_body = NewPlan,
    responses((status = 201, description = "Made", body = PlanAnswer)),
)]
pub(crate) async fn make(
    ctx: Ctx,
    staff: Staff,
    operation: Operation<NewPlan>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let wish = operation.body;

    // 1. Read.
    let mut statements = reads(&ctx, &wish);
    let stored = statements.len();
    statements.push(operator.stored());
    let rows = ctx.db()?.read(statements).await?;
    feature::require_on(&rows, 0)?;
    staff.require(Permission::BookingPlan, &wish.store_id)?;
    if let Some(answer) = operator.replay(&rows, stored)? {
        return Ok(answer);
    }
    let wanted = Wanted::read(&ctx, &rows, wish)?;

    // 2. Hold, all or nothing.
    let draft = wanted.draft(&ctx, &operator.op()).await?;
    let holds = draft.hold(&ctx).await?;

    // 3. Commit.
    let commit = wanted.commit(&ctx, &staff, &holds)?;
    hold::commit(&ctx, &operator, holds, commit).await
}

fn reads(ctx: &Ctx, wish: &NewPlan) -> Vec<Statement> {
    let (from, until) = dates(ctx.now);
    let asked = Asked::Service {
        service_id: &wish.service_id,
        store_id: &wish.store_id,
        technician_id: Some(&wish.technician_id),
        home: false,
    };
    vec![
        feature::is_on(),
        booking::offer(&asked, from, until, Detail::Names),
        booking::contact_of_member(&wish.member_id),
        queries::room(wish.room_id.as_ref(), &wish.store_id),
    ]
}

/// What is wanted, with what was read for it.
struct Wanted {
    wish: NewPlan,
    offer: Offer,
    customer: Customer,
    sessions: Sessions,
}

impl Wanted {
    /// From the rows of [`reads`].
    fn read(ctx: &Ctx, rows: &crate::d1::Rows, wish: NewPlan) -> Answer<Self> {
        let offer = rows.one::<Row>(1)?.into_offer()?;
        require_plan(&offer)?;
        let customer: Option<Customer> = rows.first(2)?;
        let customer =
            customer.ok_or_else(|| Problem::from(Code::UnknownMember).at("member_id"))?;
        if wish.room_id.is_some() && rows.first::<bool>(3)?.is_none() {
            return Err(Problem::from(Code::UnknownResource).at("room_id"));
        }
        let sessions = wish.sessions(&offer, ctx.now)?;
        Ok(Self { wish, offer, customer, sessions })
    }

    /// What the sessions take: the technician, the room asked for, and of each pool of the service one
    /// calendar, the same for all of them.
    async fn draft(&self, ctx: &Ctx, op: &str) -> Answer<Draft<'_>> {
        let starts: Vec<Tick> = self.sessions.sessions.iter().map(|one| one.start).collect();
        let taking = |whose: Whose, calendar: String| -> Answer<Taking> {
            let claims = starts.iter().enumerate();
            let claims = claims
                .map(|(index, start)| Ok((index, spec(ctx, &self.offer, op, *start)?)))
                .collect::<Answer<_>>()?;
            Ok(Taking { whose, calendar, claims })
        };
        let mut takings =
            vec![taking(Whose::Technician, calendars::technician(&self.wish.technician_id))?];
        let mut room = self.wish.room_id.as_ref().map(calendars::room);
        for pool in &self.offer.pools {
            let taken: Vec<String> = takings.iter().map(|one| one.calendar.clone()).collect();
            let asked = room.take_if(|room| pool.name(room).is_some());
            let mut best: Option<(usize, Taking)> = None;
            let candidates = candidates(pool, asked, &taken);
            let only = candidates.len() == 1;
            for calendar in candidates {
                let whose = if calendar.starts_with("room:") { Whose::Room } else { Whose::Store };
                let one = taking(whose, calendar)?;
                let refused = if only { 0 } else { check(ctx, &one).await?.len() };
                if best.as_ref().is_none_or(|(least, _)| refused < *least) {
                    best = Some((refused, one));
                }
                if refused == 0 {
                    break;
                }
            }
            let (_, one) =
                best.ok_or_else(|| Problem::from(Code::UnknownResource).at("service_id"))?;
            takings.push(one);
        }
        if let Some(room) = room {
            takings.push(taking(Whose::Room, room)?);
        }
        takings.sort_by(|one, other| one.calendar.cmp(&other.calendar));
        Ok(Draft { offer: &self.offer, starts, takings })
    }

    fn commit(&self, ctx: &Ctx, staff: &Staff, holds: &[HeldMany]) -> Answer<Commit> {
        let Self { wish, offer, customer, sessions } = self;
        let technician =
            offer.technicians.first().ok_or_else(|| Problem::internal("no technician"))?;
        let mut price = offer.price(technician);
        if wish.card_id.is_some() {
            price.parts.push(Part::new("card_use", -price.total_fen));
            price.total_fen = 0;
        }
        let status =
            apply(Status::Created, Event::Placed { due_fen: 0 }).map_err(order::refused)?;
        let plan_id = ctx.new_id()?;
        let technicians = calendars::technician(&wish.technician_id);
        let own = holds
            .iter()
            .find(|held| held.calendar == technicians)
            .ok_or_else(|| Problem::internal("no hold of the technician"))?;
        let made = own
            .claims
            .iter()
            .zip(&sessions.sessions)
            .zip(1_i64..)
            .map(|((claim, session), number)| Made::new(ctx, offer, claim, session, number))
            .collect::<Answer<Vec<_>>>()?;

        let terms = queries::Terms {
            plan_id: &plan_id,
            member_id: &wish.member_id,
            store_id: &wish.store_id,
            service_id: &wish.service_id,
            technician_id: &wish.technician_id,
            status,
            total_fen: price.total_fen,
            price_parts: &serde_json::to_string(&price.parts).map_err(Problem::internal)?,
            cancellation: &serde_json::to_string(&offer.service.cancellation())
                .map_err(Problem::internal)?,
            change_notice_minutes: offer.service.change_notice_minutes,
            max_per_day: offer.service.max_per_day,
            contact_name: &customer.name,
            contact_phone: &customer.phone,
            note: wish.note.as_str(),
            staff_id: &staff.id,
            now: ctx.now,
        };
        let repetition = wish.repetition(offer);
        let json = serde_json::to_string(&made).map_err(Problem::internal)?;
        let mut statements = vec![
            queries::plan_stands(&terms, &json),
            queries::insert_plan(
                &terms,
                &repetition.to_string(),
                wish.card_id.as_ref(),
                wish.room_id.as_ref(),
            ),
        ];
        statements.extend(queries::insert_sessions(&terms, &json));
        let besides: Vec<Besides> = holds
            .iter()
            .filter(|held| held.calendar != technicians)
            .flat_map(|held| {
                let claims = made.iter().zip(&held.claims);
                claims.map(|(made, claim)| {
                    Besides::new(&held.calendar, &made.order_id, &made.claim_id, &claim.spec)
                })
            })
            .collect();
        if !besides.is_empty() {
            let json = serde_json::to_string(&besides).map_err(Problem::internal)?;
            statements.extend(queries::insert_besides(&json, &wish.store_id));
        }

        statements.extend(self.told(ctx, staff, &made)?);

        let rows = holds
            .iter()
            .map(|held| {
                let order_ids = made.iter().map(|made| made.order_id.clone());
                let specs = held.claims.iter().map(|claim| claim.spec.clone());
                let message = Message::ConfirmMany {
                    calendar: held.calendar.clone(),
                    claims: order_ids.zip(specs).collect(),
                    written: held.days.iter().map(Into::into).collect(),
                };
                outbox::Row::new(ctx, message)
            })
            .collect::<Answer<Vec<_>>>()?;

        let row = PlanRow {
            id: plan_id.clone(),
            member_id: wish.member_id.clone(),
            member_name: customer.name.clone(),
            store_id: wish.store_id.clone(),
            store_name: offer.store.name.clone(),
            time_zone: offer.store.time_zone,
            service_id: wish.service_id.clone(),
            service_name: offer.service.name.clone(),
            technician_id: wish.technician_id.clone(),
            technician_name: technician.1.clone(),
            room_id: wish.room_id.clone(),
            repetition,
            card_id: wish.card_id.clone(),
            note: wish.note.as_str().to_owned(),
            created_at: ctx.now,
            progress: Progress {
                total: i64::try_from(made.len()).unwrap_or(0),
                next_at: made.first().map(|first| first.start_at),
                ..Progress::default()
            },
            sessions: Some(made.iter().map(|made| made.row(wish, technician, status)).collect()),
        };
        let plan: Plan = row.into_view();
        let response = serde_json::to_string(&PlanAnswer { plan }).map_err(Problem::internal)?;
        Ok(Commit { statements, rows, status: StatusCode::CREATED, response })
    }
}

impl Wanted {
    /// What customer and technician are told of it.
    fn told(&self, ctx: &Ctx, staff: &Staff, made: &[Made]) -> Answer<Vec<Statement>> {
        let sessions: Vec<_> = made
            .iter()
            .map(|one| reminder::Session {
                order_id: &one.order_id,
                line_id: &one.claim_id,
                technician_id: &self.wish.technician_id,
                start_at: one.start_at,
                change: Change::Booked,
                left: None,
            })
            .collect();
        let (zone, leads) = (self.offer.store.time_zone, &self.offer.reminder_minutes);
        reminder::follow_all(ctx, &sessions, zone, leads, &Actor::Staff(staff.id.clone()))
    }
}

/// The calendars of a pool that make sense to ask.
fn candidates(pool: &Pool, asked: Option<String>, taken: &[String]) -> Vec<String> {
    let all = pool.calendars().map(str::to_owned).filter(|calendar| !taken.contains(calendar));
    asked.map_or_else(|| all.take(MAX_ROOMS).collect(), |asked| vec![asked])
}

/// A claim of a session besides its technician's.
#[derive(Serialize)]
pub struct Besides {
    order_id: Id,
    line_id: String,
    claim_id: String,
    calendar: String,
    start_at: i64,
    end_at: i64,
    block_start: i64,
    block_end: i64,
}

impl Besides {
    /// A claim of a line of an order.
    #[must_use]
    pub fn new(calendar: &str, order_id: &Id, line_id: &str, spec: &ClaimSpec) -> Self {
        Self {
            order_id: order_id.clone(),
            line_id: line_id.to_owned(),
            claim_id: spec.id.clone(),
            calendar: calendar.to_owned(),
            start_at: spec.service.start.ms(),
            end_at: spec.service.end.ms(),
            block_start: spec.block.start.ms(),
            block_end: spec.block.end.ms(),
        }
    }
}

/// A session about to be written: its order and its line.
#[derive(Serialize)]
struct Made {
    order_id: Id,
    event_id: Id,
    claim_id: String,
    number: i64,
    start_at: i64,
    end_at: i64,
    block_start: i64,
    block_end: i64,
    date: chrono::NaiveDate,
}

impl Made {
    fn new(
        ctx: &Ctx,
        offer: &Offer,
        claim: &Claim,
        session: &Session,
        number: i64,
    ) -> Answer<Self> {
        let spec = &claim.spec;
        let start_at = spec.service.start.ms();
        Ok(Self {
            order_id: ctx.new_id()?,
            event_id: ctx.new_id()?,
            claim_id: spec.id.clone(),
            number,
            start_at,
            end_at: spec.service.end.ms(),
            block_start: spec.block.start.ms(),
            block_end: spec.block.end.ms(),
            date: date_at(offer.store.time_zone, start_at).unwrap_or(session.date),
        })
    }

    fn row(
        &self,
        wish: &NewPlan,
        technician: &crate::booking::offer::Technician,
        status: Status,
    ) -> SessionRow {
        SessionRow {
            id: self.order_id.clone(),
            number: self.number,
            status: status.as_str().into(),
            technician_id: wish.technician_id.clone(),
            technician_name: technician.1.clone(),
            start_at: self.start_at,
            end_at: self.end_at,
            done_at: None,
            version: 1,
        }
    }
}
