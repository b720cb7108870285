//! The deployment seen from inside: jobs, the outbox, drift. `GET /api/v1/admin/operations`.

pub mod queries;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::error::Answer;
use crate::http::fields::{At, Id};
use crate::http::{Ctx, Json, Routes};
use crate::routes;

/// The slice's routes.
pub fn routes() -> Routes {
    Routes::new().staff(Permission::OperationsRead, routes!(operations))
}

/// How the deployment is doing.
#[derive(Serialize, ToSchema)]
pub struct Operations {
    /// The last run of each job.
    jobs: Vec<Job>,
    /// What waits in the outbox.
    outbox: Outbox,
    /// What the audit found, counted since the beginning; every count should be 0.
    drift: Vec<Drift>,
}

/// A job's last run.
#[derive(Serialize, ToSchema)]
pub struct Job {
    /// Its name.
    name: String,
    /// When its last run began.
    started_at: At,
    /// When it ended.
    finished_at: At,
    /// What it did.
    outcome: String,
    /// Runs so far.
    runs: i64,
    /// Failed ones among them.
    failures: i64,
}

/// The outbox.
#[derive(Serialize, ToSchema)]
pub struct Outbox {
    /// Rows that wait.
    depth: i64,
    /// Since when the oldest has waited.
    oldest_at: Option<At>,
    /// How many were given up.
    dead: i64,
    /// The latest of those, at most 50.
    dead_rows: Vec<DeadRow>,
}

/// An outbox row that was given up.
#[derive(Serialize, ToSchema)]
pub struct DeadRow {
    /// Its id.
    id: Id,
    /// What it was about.
    topic: String,
    /// How often it was tried.
    attempts: i64,
    /// What went wrong last.
    last_error: Option<String>,
    /// When it was written.
    created_at: At,
}

/// A kind of drift.
#[derive(Serialize, ToSchema)]
pub struct Drift {
    /// `line_without_claim`, `claim_without_line`, `projection`.
    kind: String,
    /// How often.
    count: i64,
    /// When last.
    last_at: At,
    /// What last.
    last_detail: String,
}

#[derive(Deserialize)]
struct Row {
    jobs: Vec<(String, i64, i64, String, i64, i64)>,
    depth: i64,
    oldest_at: Option<i64>,
    dead: i64,
    dead_rows: Vec<(Id, String, i64, Option<String>, i64)>,
    drift: Vec<(String, i64, i64, String)>,
}

/// How the deployment is doing
#[utoipa::path(
    get, path = "/api/v1/admin/operations", tag = "operations", operation_id = "operations",
    responses((status = 200, description = "Jobs, outbox and drift", body = Operations)),
)]
pub(crate) async fn operations(ctx: Ctx, staff: Staff) -> Answer<Json<Operations>> {
    staff.require_everywhere(Permission::OperationsRead)?;
    let rows = ctx.db()?.read(vec![queries::operations()]).await?;
    let row: Row = rows.one(0)?;
    let job = |(name, started, finished, outcome, runs, failures)| Job {
        name,
        started_at: At::utc(started),
        finished_at: At::utc(finished),
        outcome,
        runs,
        failures,
    };
    let dead = |(id, topic, attempts, last_error, created)| DeadRow {
        id,
        topic,
        attempts,
        last_error,
        created_at: At::utc(created),
    };
    let drift = |(kind, count, last, last_detail)| Drift {
        kind,
        count,
        last_at: At::utc(last),
        last_detail,
    };
    Ok(Json(Operations {
        jobs: row.jobs.into_iter().map(job).collect(),
        outbox: Outbox {
            depth: row.depth,
            oldest_at: row.oldest_at.map(At::utc),
            dead: row.dead,
            dead_rows: row.dead_rows.into_iter().map(dead).collect(),
        },
        drift: row.drift.into_iter().map(drift).collect(),
    }))
}
