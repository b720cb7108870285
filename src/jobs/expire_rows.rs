//! Deletes what nobody needs any more: stored answers, sign-in codes, shown QR codes, projected days of the past,
//! what became of old messages.

use crate::error::Answer;
use crate::http::Ctx;
use crate::jobs::{Done, queries};
use crate::reminder;

/// One run: at most some thousand rows of each kind.
pub(crate) async fn run(ctx: &Ctx) -> Answer<Done> {
    let mut statements: Vec<_> = queries::expire(ctx.now).into();
    statements.push(reminder::queries::expire(ctx.now));
    ctx.db()?.batch(statements).await?;
    Ok(Done { outcome: "done".into(), watermark: String::new() })
}
