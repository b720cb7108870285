//! What booking, moving and blocking have in common: one operation, its hold, its stored answer.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zhundian_domain::availability::nearest;
use zhundian_domain::calendar::{Claim, ClaimSpec, Refusal};
use zhundian_domain::time::{Interval, Tick};
use zhundian_durable_objects::calls::{GiveBack, Hold, HoldReply, ProjectedDay};

use crate::booking::offer::{Offer, Technician, days_around};
use crate::booking::queries;
use crate::calendars;
use crate::d1::{DbError, Rows, Statement};
use crate::error::{Answer, Code, Problem};
use crate::http::extract::{Operation, hex};
use crate::http::fields::{At, Id};
use crate::http::{Ctx, respond};
use crate::outbox;

/// How long a hold waits for the order's commit and the outbox's confirm when nothing is due now: several
/// runs of the outbox.
pub const HOLD_MS: i64 = 5 * 60_000;
/// How long before a hold's end an order may still be committed on it.
const COMMIT_MARGIN_MS: i64 = 60_000;
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

/// Asks a calendar for a hold.
///
/// # Errors
/// 503 when it does not answer.
pub async fn hold(ctx: &Ctx, calendar: &str, spec: &ClaimSpec) -> Answer<Holding> {
    hold_for(ctx, calendar, spec, HOLD_MS).await
}

/// As [`hold`], for so many milliseconds.
///
/// # Errors
/// As [`hold`].
pub async fn hold_for(
    ctx: &Ctx,
    calendar: &str,
    spec: &ClaimSpec,
    hold_ms: i64,
) -> Answer<Holding> {
    let call =
        Hold { spec: spec.clone(), expires_at: ctx.now + hold_ms, run: ctx.request_id.clone() };
    Ok(match ctx.calendars().call(calendar, &call).await? {
        HoldReply::Held { claim, days } => {
            if let zhundian_domain::calendar::ClaimState::Held { expires_at } = claim.state
                && crate::http::context::now_ms() > expires_at - COMMIT_MARGIN_MS
            {
                return Err(Problem::unavailable("the hold is about to end"));
            }
            Holding::Held(Held { calendar: calendar.to_owned(), claim, days })
        }
        HoldReply::Refused { refusal, days } => Holding::Refused(refusal, days),
    })
}

/// What an operation commits on its hold.
pub struct Commit {
    /// The effect, with the preconditions under which it may stand.
    pub statements: Vec<Statement>,
    /// What must still happen, the hold's confirm among it.
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
/// The constraint that raised, and the hold is given back; 503 when the outcome is unknown, and the hold
/// is left alone, because what it is for may stand.
pub async fn commit(
    ctx: &Ctx,
    operator: &Operator,
    held: Held,
    commit: Commit,
) -> Answer<Response> {
    let Commit { statements: effect, rows, status, response } = commit;
    let mut statements = vec![operator.store(status, &response, ctx.now)];
    statements.extend(effect);
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    statements.push(calendars::write_days(&held.calendar, &held.days)?);
    match ctx.db()?.batch(statements).await {
        Ok(_) => {
            outbox::deliver_soon(ctx, rows).await;
            Ok(respond::json_bytes(status, response.into_bytes()))
        }
        Err(error) if error.is_constraint("idempotency_actor") => {
            let answer = operator.replay_now(ctx).await?;
            give_back(ctx, held).await;
            Ok(answer)
        }
        Err(DbError::Unavailable(cause)) => Err(Problem::unavailable(cause)),
        Err(error) => {
            give_back(ctx, held).await;
            Err(error.into())
        }
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

/// The starts nearest to `start` that are free by what is known: the projection, corrected by what the
/// calendars asked have just answered.
#[must_use]
pub fn alternatives(
    ctx: &Ctx,
    offer: &Offer,
    start: Tick,
    by_staff: bool,
    fresh: &[(Id, Vec<ProjectedDay>)],
) -> serde_json::Value {
    const LOOK_TICKS: i64 = 2 * zhundian_domain::time::TICKS_PER_DAY;
    let zone = offer.store.time_zone;
    let Some(range) = Interval::new(start.plus(-LOOK_TICKS / 2), start.plus(LOOK_TICKS)) else {
        return serde_json::Value::Array(Vec::new());
    };
    let allowed = offer.allowed(ctx.now, range, by_staff);
    let around = days_around(range);
    let free = |technician: &Technician| {
        let mut bits = technician.free(around);
        let known = fresh.iter().filter(|(id, _)| id == technician.id());
        for day in
            known.flat_map(|(_, days)| days).filter(|day| day.store_id == offer.store.id.as_str())
        {
            bits.put_day(day.day, &day.free);
        }
        offer.shape().starts(&bits)
    };
    let starts: Vec<_> = offer.technicians.iter().map(|one| (one.id(), free(one))).collect();
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
