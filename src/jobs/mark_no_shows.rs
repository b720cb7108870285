//! Notes who did not come, where the store says so: so long after the start without a check-in, and
//! without a technician who has set out.

use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::visit;

/// Orders looked at in one run.
const ORDERS: u32 = 200;

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let orders: Vec<(Id, i64)> =
        ctx.db()?.read(vec![visit::queries::absent(now_ms(), ORDERS)]).await?.all(0)?;
    let (mut marked, mut waiting) = (0, 0);
    for (id, version) in orders {
        if now_ms() > until {
            break;
        }
        match visit::absence::note_by_rule(ctx, &id, version).await {
            Ok(()) => marked += 1,
            // It has changed meanwhile: the next run looks again.
            Err(_) => waiting += 1,
        }
    }
    Ok(Done { outcome: format!("{marked} marked, {waiting} waiting"), watermark: String::new() })
}
