//! Many intervals of one calendar held at once, and what is committed on them.

use axum::response::Response;
use zhundian_domain::calendar::{Claim, ClaimSpec, ClaimState, Refusals};
use zhundian_durable_objects::calls::{GiveBackMany, HoldMany, HoldManyReply, ProjectedDay};

use crate::booking::claim::{Commit, HOLD_MS, Operator};
use crate::calendars;
use crate::d1::DbError;
use crate::error::{Answer, Problem};
use crate::http::context::now_ms;
use crate::http::{Ctx, respond};
use crate::outbox;

/// How long before a hold's end it may still be committed on.
const COMMIT_MARGIN_MS: i64 = 60_000;

/// Holds that were got in one calendar.
pub struct HeldMany {
    /// The calendar.
    pub calendar: String,
    /// As the calendar keeps them, in the order asked for; an earlier run of the same operation may have
    /// made them.
    pub claims: Vec<Claim>,
    /// The days they touch, to be written with what stands on them.
    pub days: Vec<ProjectedDay>,
}

/// Asks a calendar for all of these or none.
///
/// # Errors
/// 503 when it does not answer.
pub async fn hold_many(
    ctx: &Ctx,
    calendar: &str,
    specs: Vec<ClaimSpec>,
) -> Answer<Result<HeldMany, Refusals>> {
    let call = HoldMany { specs, expires_at: ctx.now + HOLD_MS, run: ctx.request_id.clone() };
    match ctx.calendars().call(calendar, &call).await? {
        HoldManyReply::Held { claims, days } => {
            let ends = claims.iter().filter_map(|claim| match claim.state {
                ClaimState::Held { expires_at } => Some(expires_at),
                _ => None,
            });
            if ends.min().is_some_and(|end| now_ms() > end - COMMIT_MARGIN_MS) {
                return Err(Problem::unavailable("the hold is about to end"));
            }
            Ok(Ok(HeldMany { calendar: calendar.to_owned(), claims, days }))
        }
        HoldManyReply::Refused { refusals } => Ok(Err(refusals)),
    }
}

/// As [`crate::booking::claim::commit`], for holds of many intervals.
///
/// # Errors
/// As there.
pub async fn commit(
    ctx: &Ctx,
    operator: &Operator,
    holds: Vec<HeldMany>,
    commit: Commit,
) -> Answer<Response> {
    let Commit { statements: effect, rows, status, response } = commit;
    let mut statements = vec![operator.store(status, &response, ctx.now)];
    statements.extend(effect);
    for row in &rows {
        statements.push(row.insert(ctx)?);
    }
    for held in &holds {
        statements.push(calendars::write_days(&held.calendar, &held.days)?);
    }
    match ctx.db()?.batch(statements).await {
        Ok(_) => {
            outbox::deliver_soon(ctx, rows).await;
            Ok(respond::json_bytes(status, response.into_bytes()))
        }
        Err(error) if error.is_constraint("idempotency_actor") => {
            let answer = operator.replay_now(ctx).await?;
            give_back(ctx, holds).await;
            Ok(answer)
        }
        Err(DbError::Unavailable(cause)) => Err(Problem::unavailable(cause)),
        Err(error) => {
            give_back(ctx, holds).await;
            Err(error.into())
        }
    }
}

/// Gives holds back after the response, as well as it can: those that stay expire by themselves.
pub async fn give_back(ctx: &Ctx, holds: Vec<HeldMany>) {
    let work = ctx.clone();
    ctx.after_response(async move {
        for held in holds {
            let claim_ids = held.claims.into_iter().map(|claim| claim.spec.id).collect();
            let call = GiveBackMany { claim_ids, run: work.request_id.clone() };
            if let Ok(reply) = work.calendars().call(&held.calendar, &call).await
                && let Ok(statement) = calendars::write_days(&held.calendar, &reply.days)
                && let Ok(db) = work.db()
                && let Err(error) = db.batch(vec![statement]).await
            {
                // The object's own outbox repeats it.
                worker::console_warn!(
                    "{}",
                    serde_json::json!({
                        "event": "projection_put_off", "request_id": work.request_id,
                        "error": format!("{error:?}"),
                    })
                );
            }
        }
    })
    .await;
}
