//! What booking, moving and blocking have in common: one operation, its holds, its stored answer.
//!
//! An operation may need several calendars: the technician's, a room's, the store's. They are held one
//! after the other in the order of their names ([`hold_all`]), so that of many who want the same ones
//! somebody gets them all; whoever is refused one gives the others back. What is committed on them is
//! committed on all.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zhundian_domain::availability::nearest;
use zhundian_domain::calendar::{Claim, ClaimKind, ClaimSpec, ClaimState, Refusal};
use zhundian_domain::home::Home;
use zhundian_domain::time::{Interval, Tick};
use zhundian_durable_objects::calls::{GiveBack, Hold, HoldReply, ProjectedDay};

use crate::booking::offer::{Known, Offer, days_around};
use crate::booking::queries;
use crate::calendars;
use crate::d1::{DbError, Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Operation, hex};
use crate::http::fields::{At, Id};
use crate::http::{Ctx, respond};
use crate::order;
use crate::outbox;

/// How long a hold waits for the order's commit and the outbox's confirm when nothing is due now: several
/// runs of the outbox.
pub const HOLD_MS: i64 = 5 * 60_000;
/// How long before a hold's end an order may still be committed on it.
const COMMIT_MARGIN_MS: i64 = 60_000;
/// Calendars asked at most when several would do: enough to get past some that were taken a moment ago,
/// few enough to answer quickly when all are.
const MAX_TRIES: usize = 5;
/// Alternatives in a `slot_taken` answer.
pub const MAX_ALTERNATIVES: usize = 5;

/// Who does an operation, and which one it is.
pub struct Operator {
    /// `member:<id>` or `staff:<id>`: a key is theirs alone.
    pub actor: String,
    /// The `Idempotency-Key`.
    pub key: String,
    /// Of the request.
    pub request_hash: String,
}

impl Operator {
    /// The operation of a request.
    pub fn new<T>(actor: String, operation: &Operation<T>) -> Self {
        Self { actor, key: operation.key.clone(), request_hash: operation.request_hash.clone() }
    }

    /// The operation's id in the calendar objects: the same for every retry of the same request.
    #[must_use]
    pub fn op(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.actor, &self.key, &self.request_hash] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hex(&hash.finalize()).get(..32).unwrap_or_default().to_owned()
    }

    /// A statement that reads the stored answer.
    #[must_use]
    pub fn stored(&self) -> Statement {
        queries::stored_answer(&self.actor, &self.key)
    }

    /// A statement that stores the answer.
    #[must_use]
    pub fn store(&self, status: StatusCode, response: &str, now: i64) -> Statement {
        queries::store_answer(
            &self.actor,
            &self.key,
            &self.request_hash,
            status.as_u16(),
            response,
            now,
        )
    }

    /// The stored answer, read by statement `index` of a batch, if there is one.
    ///
    /// # Errors
    /// `idempotency_key_reused` when it belongs to another request.
    pub fn replay(&self, rows: &Rows, index: usize) -> Answer<Option<Response>> {
        #[derive(Deserialize)]
        struct Stored {
            request_hash: String,
            status: u16,
            response: Box<RawValue>,
        }
        let Some(stored) = rows.first::<Stored>(index)? else { return Ok(None) };
        if stored.request_hash != self.request_hash {
            return Err(Problem::from(Code::IdempotencyKeyReused).at("Idempotency-Key"));
        }
        let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
        let mut response =
            respond::json_bytes(status, stored.response.get().as_bytes().to_vec()).into_response();
        response.headers_mut().insert(
            HeaderName::from_static("idempotent-replayed"),
            HeaderValue::from_static("true"),
        );
        Ok(Some(response))
    }

    /// The answer that a concurrent run of the same operation has stored meanwhile.
    ///
    /// # Errors
    /// As [`Operator::replay`]; 503 when it cannot be read.
    pub async fn replay_now(&self, ctx: &Ctx) -> Answer<Response> {
        let rows = ctx.db()?.read(vec![self.stored()]).await?;
        self.replay(&rows, 0)?.ok_or_else(|| Problem::unavailable("no answer stored"))
    }
}

/// A hold that was got.
pub struct Held {
    /// The calendar.
    pub calendar: String,
    /// As the calendar keeps it; an earlier run of the same operation may have made it.
    pub claim: Claim,
    /// The days it touches, to be written with the order.
    pub days: Vec<ProjectedDay>,
}

/// How a hold went.
pub enum Holding {
    /// Got.
    Held(Held),
    /// Refused, with the days around it as they are.
    Refused(Refusal, Vec<ProjectedDay>),
}

/// Asks a calendar for a hold of so many milliseconds.
///
/// # Errors
/// 503 when it does not answer.
pub async fn hold(ctx: &Ctx, calendar: &str, spec: &ClaimSpec, hold_ms: i64) -> Answer<Holding> {
    let call =
        Hold { spec: spec.clone(), expires_at: ctx.now + hold_ms, run: ctx.request_id.clone() };
    Ok(match ctx.calendars().call(calendar, &call).await? {
        HoldReply::Held { claim, days } => {
            if let ClaimState::Held { expires_at } = claim.state
                && crate::http::context::now_ms() > expires_at - COMMIT_MARGIN_MS
            {
                return Err(Problem::unavailable("the hold is about to end"));
            }
            Holding::Held(Held { calendar: calendar.to_owned(), claim, days })
        }
        HoldReply::Refused { refusal, days } => Holding::Refused(refusal, days),
    })
}

/// Time that an operation needs in one calendar, of several that would do.
#[derive(Clone, Debug)]
pub struct Need {
    /// The calendars that would do, the best first.
    pub calendars: Vec<String>,
    /// Of how many of them it makes sense to ask, at least 1.
    pub tries: usize,
    /// Service time and block of each claim in it.
    pub parts: Vec<(Interval, Interval)>,
    /// Units of capacity.
    pub quantity: u16,
    /// What its claims take the place of, each of all there are in its calendar, when an appointment is moved:
    /// calendar and claim.
    pub replaces: Vec<(String, String)>,
    /// Where it takes place, by calendar, when not in the store.
    pub homes: BTreeMap<String, Box<Home>>,
}

impl Need {
    /// One claim in any of these calendars.
    #[must_use]
    pub fn of(calendars: Vec<String>, parts: Vec<(Interval, Interval)>) -> Self {
        let homes = BTreeMap::new();
        Self { tries: calendars.len(), calendars, parts, quantity: 1, replaces: Vec::new(), homes }
    }

    /// Lets it take the place of claims (calendar and claim) in one of its calendars, one for each of its parts;
    /// they are no other need's then. Answers whether there were any.
    pub fn take_over(&mut self, own: &mut Vec<(String, String)>) -> bool {
        let of = own.iter().find(|(of, _)| self.calendars.contains(of));
        let Some(calendar) = of.map(|(of, _)| of.clone()) else { return false };
        self.replaces.clear();
        for _ in 0..self.parts.len() {
            let Some(at) = own.iter().position(|(of, _)| *of == calendar) else { break };
            self.replaces.push(own.remove(at));
        }
        (self.calendars, self.tries) = (vec![calendar], 1);
        true
    }

    fn spec(
        &self,
        calendar: &str,
        part: usize,
        (op, store_id): (String, &Id),
        id: &Id,
    ) -> Option<ClaimSpec> {
        let (service, block) = self.parts.get(part).copied()?;
        let replaced = self.replaces.iter().filter(|(of, _)| of == calendar);
        Some(ClaimSpec {
            id: id.to_string(),
            op,
            store_id: store_id.to_string(),
            kind: ClaimKind::Appointment,
            service,
            block,
            quantity: self.quantity,
            replaces: replaced.map(|(_, claim)| claim.clone()).collect(),
            home: self.homes.get(calendar).cloned(),
        })
    }
}

/// What every hold of an operation has in common.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The operation's id.
    pub op: &'a str,
    /// The store.
    pub store_id: &'a Id,
    /// For how many milliseconds.
    pub hold_ms: i64,
}

/// What a line of an order has got: for each need its holds. The first of the first is the line's own, in
/// its technician's calendar.
pub struct Taken(Vec<Vec<Held>>);

impl Taken {
    /// The line's own.
    ///
    /// # Errors
    /// None in practice: a line needs its technician.
    pub fn own(&self) -> Answer<&Held> {
        self.0.first().and_then(|parts| parts.first()).ok_or_else(|| Problem::internal("no hold"))
    }

    /// What each of several lines has got, given how many needs each had, in their order.
    #[must_use]
    pub fn split(self, counts: &[usize]) -> Vec<Self> {
        let mut rest = self.0.into_iter();
        counts.iter().map(|count| Self(rest.by_ref().take(*count).collect())).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().flatten()
    }

    /// What their confirm asks for.
    #[must_use]
    pub fn claims(&self) -> Vec<outbox::Claimed> {
        self.all().map(Held::claimed).collect()
    }

    /// The statements that write the claims besides the line's own; none when there are none.
    ///
    /// # Errors
    /// None in practice.
    pub fn insert_besides(
        &self,
        order_id: &Id,
        line_id: &str,
        store_id: &Id,
    ) -> Answer<Vec<Statement>> {
        let claims = self.claims();
        let rows: Vec<_> = claims.iter().skip(1).map(outbox::Claimed::row).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let json = serde_json::to_string(&rows).map_err(Problem::internal)?;
        Ok(queries::insert_line_claims(order_id, line_id, store_id, &json).into())
    }

    /// The rooms and equipment among it.
    #[must_use]
    pub fn resources(&self, offer: &Offer) -> Vec<order::view::Resource> {
        self.all().filter_map(|held| offer.resource(&held.calendar)).collect()
    }

    /// The holds, to be committed on.
    #[must_use]
    pub fn into_held(self) -> Vec<Held> {
        self.0.into_iter().flatten().collect()
    }
}

impl Held {
    /// What its confirm asks for.
    #[must_use]
    pub fn claimed(&self) -> outbox::Claimed {
        outbox::Claimed {
            calendar: self.calendar.clone(),
            spec: self.claim.spec.clone(),
            written: self.days.iter().map(Into::into).collect(),
        }
    }
}

/// Until when all of it is held, UTC milliseconds; `None` when any is not held any more.
#[must_use]
pub fn held_until(held: &[Held]) -> Option<i64> {
    let until = |one: &Held| match one.claim.state {
        ClaimState::Held { expires_at } => Some(expires_at),
        _ => None,
    };
    held.iter().map(until).min().flatten()
}

/// Why an operation could not have what it needs.
pub struct NotHeld {
    /// Why.
    pub refusal: Refusal,
    /// The days of the calendars that were asked, as they are.
    pub fresh: Vec<(String, Vec<ProjectedDay>)>,
}

/// Holds what a line needs, all or nothing. A retry of the operation finds the holds of an earlier run.
///
/// # Errors
/// 503 when a calendar does not answer; what was got by then expires by itself.
pub async fn hold_all(
    ctx: &Ctx,
    terms: Terms<'_>,
    needs: &[Need],
) -> Answer<Result<Taken, NotHeld>> {
    match hold_each(ctx, terms, needs).await? {
        Ok(taken) => Ok(Ok(taken)),
        Err((not_held, got)) => {
            give_back_all(ctx, got).await;
            Ok(Err(not_held))
        }
    }
}

/// As [`hold_all`], and what was got is given back before it is answered: others may be asked next.
///
/// # Errors
/// As there.
pub async fn hold_all_or_return(
    ctx: &Ctx,
    terms: Terms<'_>,
    needs: &[Need],
) -> Answer<Result<Taken, NotHeld>> {
    match hold_each(ctx, terms, needs).await? {
        Ok(taken) => Ok(Ok(taken)),
        Err((mut not_held, got)) => {
            for one in got {
                let call = GiveBack { claim_id: one.claim.spec.id, run: ctx.request_id.clone() };
                let reply = ctx.calendars().call(&one.calendar, &call).await?;
                not_held.fresh.push((one.calendar, reply.days));
            }
            Ok(Err(not_held))
        }
    }
}

/// Asks for one need after the other, in the order of their calendars' names; with a refusal comes what was
/// got before it.
async fn hold_each(
    ctx: &Ctx,
    terms: Terms<'_>,
    needs: &[Need],
) -> Answer<Result<Taken, (NotHeld, Vec<Held>)>> {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|index| needs.get(*index).and_then(|need| need.calendars.first()));
    let mut held: Vec<Vec<Held>> = needs.iter().map(|_| Vec::new()).collect();
    let mut not_held = NotHeld { refusal: Refusal::OutsideWorkingTime, fresh: Vec::new() };
    for index in order {
        let (Some(need), Some(slot)) = (needs.get(index), held.get_mut(index)) else { continue };
        let Some(parts) = hold_any(ctx, terms, index, need, &mut not_held).await? else {
            return Ok(Err((not_held, held.into_iter().flatten().collect())));
        };
        *slot = parts;
    }
    Ok(Ok(Taken(held)))
}

/// Holds every part of a need in one of its calendars.
async fn hold_any(
    ctx: &Ctx,
    terms: Terms<'_>,
    index: usize,
    need: &Need,
    not_held: &mut NotHeld,
) -> Answer<Option<Vec<Held>>> {
    for calendar in need.calendars.iter().take(need.tries.clamp(1, MAX_TRIES)) {
        let mut got = Vec::new();
        let refused = loop {
            // A calendar tells the operation's claims in it apart by this.
            let op = match (index, got.len()) {
                (0, 0) => terms.op.to_owned(),
                (index, part) => format!("{}-{index}-{part}", terms.op),
            };
            let id = ctx.new_id()?;
            let Some(spec) = need.spec(calendar, got.len(), (op, terms.store_id), &id) else {
                break None;
            };
            match hold(ctx, calendar, &spec, terms.hold_ms).await? {
                Holding::Held(held) => got.push(held),
                Holding::Refused(refusal, days) => break Some((refusal, days)),
            }
        };
        let Some((refusal, days)) = refused else { return Ok(Some(got)) };
        give_back_all(ctx, got).await;
        if refusal != Refusal::OutsideWorkingTime {
            not_held.refusal = refusal;
        }
        not_held.fresh.push((calendar.clone(), days));
    }
    Ok(None)
}

/// What an operation commits on its holds.
pub struct Commit {
    /// The effect, with the preconditions under which it may stand.
    pub statements: Vec<Statement>,
    /// What must still happen, the holds' confirm among it.
    pub rows: Vec<outbox::Row>,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer, stored under the operation's key.
    pub response: String,
}

/// Commits in one batch: the stored answer, the effect, the outbox rows, the projection. A concurrent
/// run of the same operation has won when its answer is stored already; then that is the answer.
///
/// # Errors
/// The constraint that raised, and the holds are given back; 503 when the outcome is unknown, and they
/// are left alone, because what they are for may stand.
pub async fn commit(
    ctx: &Ctx,
    operator: &Operator,
    held: Vec<Held>,
    commit: Commit,
) -> Answer<Response> {
    let Commit { statements: effect, rows, status, response } = commit;
    let mut statements = vec![operator.store(status, &response, ctx.now)];
    statements.extend(effect);
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    for one in &held {
        statements.push(calendars::write_days(&one.calendar, &one.days)?);
    }
    match ctx.db()?.batch(statements).await {
        Ok(_) => {
            outbox::deliver_soon(ctx, rows).await;
            Ok(respond::json_bytes(status, response.into_bytes()))
        }
        Err(error) if error.is_constraint("idempotency_actor") => {
            let answer = operator.replay_now(ctx).await?;
            give_back_all(ctx, held).await;
            Ok(answer)
        }
        Err(DbError::Unavailable(cause)) => Err(Problem::unavailable(cause)),
        Err(error) => {
            give_back_all(ctx, held).await;
            Err(error.into())
        }
    }
}

/// Gives holds back after the response, as well as it can: those that stay expire by themselves.
pub async fn give_back_all(ctx: &Ctx, held: Vec<Held>) {
    for one in held {
        give_back(ctx, one).await;
    }
}

/// Stores the answer of an operation that changes nothing, so that a late retry of it changes nothing
/// either.
///
/// # Errors
/// 503 when it cannot be stored.
pub async fn commit_nothing(
    ctx: &Ctx,
    operator: &Operator,
    status: StatusCode,
    response: String,
) -> Answer<Response> {
    match ctx.db()?.batch(vec![operator.store(status, &response, ctx.now)]).await {
        Ok(_) => Ok(respond::json_bytes(status, response.into_bytes())),
        Err(error) if error.is_constraint("idempotency_actor") => operator.replay_now(ctx).await,
        Err(error) => Err(error.into()),
    }
}

/// Gives a hold back after the response, as well as it can: one that stays expires by itself. It stays
/// with a run of the same operation beside this one, which may be about to commit on it.
async fn give_back(ctx: &Ctx, held: Held) {
    let work = ctx.clone();
    ctx.after_response(async move {
        let call = GiveBack { claim_id: held.claim.spec.id, run: work.request_id.clone() };
        if let Ok(reply) = work.calendars().call(&held.calendar, &call).await
            && let Ok(statement) = calendars::write_days(&held.calendar, &reply.days)
            && let Ok(db) = work.db()
            && let Err(error) = db.batch(vec![statement]).await
        {
            // The object's own outbox repeats it.
            worker::console_warn!("{}", serde_json::json!({
                "event": "projection_put_off", "request_id": work.request_id, "error": format!("{error:?}"),
            }));
        }
    })
    .await;
}

/// A claim of an order's line, as D1 keeps it.
#[derive(Clone, Debug, Deserialize)]
pub struct Kept(
    /// Its id.
    pub String,
    /// The calendar.
    pub String,
    String,
    i64,
    i64,
    i64,
    i64,
    u16,
    Option<Box<Home>>,
);

impl Kept {
    /// The claim as it is to be confirmed, with this id or its own, by the operation `op`.
    ///
    /// # Errors
    /// A row that does not fit.
    pub fn spec(&self, id: Option<&str>, op: &str) -> Answer<ClaimSpec> {
        let Self(own, _, store_id, start, end, block_start, block_end, quantity, home) = self;
        let interval =
            |start: i64, end: i64| Interval::new(Tick::from_ms(start)?, Tick::from_ms(end)?);
        let id = id.unwrap_or(own);
        // A claim may be of a part of the service alone.
        let (service, block) = interval(*start.max(block_start), *end.min(block_end))
            .zip(interval(*block_start, *block_end))
            .ok_or_else(|| Problem::internal(format!("claim {own}: no interval")))?;
        Ok(ClaimSpec {
            id: id.to_owned(),
            op: format!("{op}-{id}"),
            store_id: store_id.clone(),
            kind: ClaimKind::Appointment,
            service,
            block,
            quantity: *quantity,
            replaces: Vec::new(),
            home: home.clone(),
        })
    }
}

/// The starts nearest to `start` that are free by what is known: the projection, corrected by what the
/// calendars asked have just answered.
#[must_use]
pub fn alternatives(
    ctx: &Ctx,
    offer: &Offer,
    start: Tick,
    by_staff: bool,
    fresh: &[(String, Vec<ProjectedDay>)],
) -> serde_json::Value {
    const LOOK_TICKS: i64 = 2 * zhundian_domain::time::TICKS_PER_DAY;
    let zone = offer.store.time_zone;
    let Some(range) = Interval::new(start.plus(-LOOK_TICKS / 2), start.plus(LOOK_TICKS)) else {
        return serde_json::Value::Array(Vec::new());
    };
    let around = days_around(range);
    let known = Known { store_id: &offer.store.id, fresh };
    let mut allowed = offer.allowed(ctx.now, range, by_staff);
    offer.keep_with_resources(&mut allowed, around, known);
    let starts: Vec<_> =
        offer.technicians.iter().map(|one| (one.id(), offer.starts(one, around, known))).collect();
    let some = allowed.ones().filter(|tick| starts.iter().any(|(_, bits)| bits.get(*tick)));
    nearest(some, start, MAX_ALTERNATIVES)
        .into_iter()
        .map(|tick| {
            let who: Vec<_> = starts
                .iter()
                .filter(|(_, bits)| bits.get(tick))
                .map(|(id, _)| (*id).clone())
                .collect();
            serde_json::json!({ "start_at": At::new(zone, tick.ms()), "technician_ids": who })
        })
        .collect()
}
