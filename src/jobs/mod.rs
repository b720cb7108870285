//! Cron jobs, one file each. Every job is idempotent, bounded in a run, goes on where it stopped from a
//! watermark in D1, and leaves a record of its run there: the platform hides a cron handler's error.
//!
//! | cron (UTC) | jobs |
//! |---|---|
//! | every minute | [`deliver_outbox`], [`expire_unpaid`], [`answer_deadlines`], [`send_reminders`], [`reconcile_payments`], [`mark_no_shows`], [`complete_visits`], [`complete_sessions`], [`offer_places`] |
//! | every five minutes | [`audit_calendars`] |
//! | 02:40 and 03:40, 10:40 and 11:40 in Beijing | [`compare_bills`] |
//! | 19:10, 03:10 in Beijing | [`expire_rows`], [`remove_photos`] |

pub mod answer_deadlines;
pub mod audit_calendars;
pub mod compare_bills;
pub mod complete_sessions;
pub mod complete_visits;
pub mod deliver_outbox;
pub mod expire_rows;
pub mod expire_unpaid;
pub mod mark_no_shows;
pub mod offer_places;
pub mod queries;
pub mod reconcile_payments;
pub mod remove_photos;
pub mod send_reminders;

use std::future::Future;

use worker::Env;

use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::{Seen, now_ms, random};
use crate::http::fields::Id;

/// When the bills are there: a day's is made by ten in the morning. Once more an hour later, for the late.
const COMPARE_BILLS: &str = "40 2,3 * * *";

/// How long the jobs of one cron run may take together.
const BUDGET_MS: i64 = 25_000;

/// What a run has done, for its record.
pub struct Done {
    /// In a few words.
    pub outcome: String,
    /// Where to go on.
    pub watermark: String,
}

/// Runs the jobs of a cron expression.
pub async fn run(env: Env, cron: &str) {
    let now = now_ms();
    let request_id = random().map(|bytes| Id::new(now, bytes).to_string()).unwrap_or_default();
    let seen = Seen { client_ip: String::new(), english: false, request_id };
    let ctx = match Ctx::new(env, None, seen, now) {
        Ok(ctx) => ctx,
        Err(why) => {
            worker::console_error!(
                "{}",
                serde_json::json!({"event": "misconfigured", "cause": why})
            );
            return;
        }
    };
    let until = now + BUDGET_MS;
    match cron {
        "* * * * *" => {
            record(&ctx, "deliver_outbox", |_| deliver_outbox::run(&ctx, until)).await;
            record(&ctx, "expire_unpaid", |_| expire_unpaid::run(&ctx, until)).await;
            record(&ctx, "answer_deadlines", |_| answer_deadlines::run(&ctx, until)).await;
            record(&ctx, "send_reminders", |_| send_reminders::run(&ctx, until)).await;
            record(&ctx, "reconcile_payments", |_| reconcile_payments::run(&ctx, until)).await;
            record(&ctx, "mark_no_shows", |_| mark_no_shows::run(&ctx, until)).await;
            record(&ctx, "complete_visits", |_| complete_visits::run(&ctx, until)).await;
            record(&ctx, "complete_sessions", |_| complete_sessions::run(&ctx, until)).await;
            record(&ctx, "offer_places", |watermark| offer_places::run(&ctx, watermark, until))
                .await;
        }
        "*/5 * * * *" => {
            record(&ctx, "audit_calendars", |watermark| {
                audit_calendars::run(&ctx, watermark, until)
            })
            .await;
        }
        COMPARE_BILLS => record(&ctx, "compare_bills", |_| compare_bills::run(&ctx, until)).await,
        _ => {
            record(&ctx, "expire_rows", |_| expire_rows::run(&ctx)).await;
            record(&ctx, "remove_photos", |_| remove_photos::run(&ctx)).await;
        }
    }
}

/// Runs one job and records it.
async fn record<F: Future<Output = Answer<Done>>>(
    ctx: &Ctx,
    name: &'static str,
    job: impl FnOnce(String) -> F,
) {
    let Ok(db) = ctx.db() else { return };
    let started = now_ms();
    let [read_before, written_before, ..] = ctx.meter.read();
    let watermark: Option<String> = db.first(queries::watermark(name)).await.ok().flatten();
    let result = job(watermark.clone().unwrap_or_default()).await;
    let (ok, outcome, watermark) = match &result {
        Ok(done) => (true, done.outcome.clone(), done.watermark.clone()),
        Err(problem) => {
            let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
            (false, format!("failed: {cause}"), watermark.unwrap_or_default())
        }
    };
    let recorded =
        db.batch(vec![queries::record(name, started, now_ms(), &outcome, &watermark, ok)]).await;
    let [rows_read, rows_written, ..] = ctx.meter.read();
    worker::console_log!(
        "{}",
        serde_json::json!({
            "event": "job", "request_id": ctx.request_id, "job": name, "ok": ok, "outcome": outcome,
            "ms": now_ms() - started, "recorded": recorded.is_ok(),
            "d1_rows_read": rows_read - read_before, "d1_rows_written": rows_written - written_before,
        })
    );
}
