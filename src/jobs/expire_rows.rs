//! Deletes what nobody needs any more: stored answers, sign-in codes, shown QR codes, projected days of the past.

use crate::error::Answer;
use crate::http::Ctx;
use crate::jobs::{Done, queries};

/// One run: at most some thousand rows of each kind.
pub(crate) async fn run(ctx: &Ctx) -> Answer<Done> {
    ctx.db()?.batch(queries::expire(ctx.now).into()).await?;
    Ok(Done { outcome: "done".into(), watermark: String::new() })
}
