//! Delivers the outbox rows that are due.

use crate::error::Answer;
use crate::http::Ctx;
use crate::jobs::Done;

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let (delivered, failed) = crate::outbox::deliver::drain(ctx, until).await?;
    Ok(Done {
        outcome: format!("{delivered} delivered, {failed} failed"),
        watermark: String::new(),
    })
}
