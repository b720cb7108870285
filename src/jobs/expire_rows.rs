//! Deletes what nobody needs any more: stored responses, sign-in codes, shown QR codes, projected days of the
//! past, what became of old messages; and what customers answered to forms, so long after the visit as the
//! merchant keeps it.

use zhundian_domain::time::DAY_MS;

use crate::error::Answer;
use crate::extras;
use crate::http::Ctx;
use crate::jobs::{Done, queries};
use crate::reminder;

/// One run: at most some thousand rows of each kind.
pub(crate) async fn run(ctx: &Ctx) -> Answer<Done> {
    let mut statements: Vec<_> = queries::expire(ctx.now).into();
    statements.push(reminder::queries::expire(ctx.now));
    let kept_ms = ctx.config().intake_keep_days * DAY_MS;
    statements.push(extras::queries::expire(ctx.now - kept_ms));
    ctx.db()?.batch(statements).await?;
    Ok(Done { outcome: "done".into(), watermark: String::new() })
}
