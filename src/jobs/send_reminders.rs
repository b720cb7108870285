//! Sends the messages that are due: [`crate::reminder::send`].

use crate::error::Answer;
use crate::http::Ctx;
use crate::jobs::Done;
use crate::reminder::send;

/// One run: until nothing is due, or `until` (UTC milliseconds) has come.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let send::Run { sent, skipped, waiting, failed, unknown } = send::run(ctx, until).await?;
    let outcome = format!(
        "{sent} sent, {skipped} skipped, {waiting} waiting, {failed} failed, {unknown} unknown"
    );
    Ok(Done { outcome, watermark: String::new() })
}
