//! Removes photos that no row points to any more.

use crate::error::Answer;
use crate::http::Ctx;
use crate::jobs::Done;

/// One run.
pub(crate) async fn run(ctx: &Ctx) -> Answer<Done> {
    let removed = crate::catalog::photos::collect_unused(ctx).await?;
    Ok(Done { outcome: format!("{removed} removed"), watermark: String::new() })
}
