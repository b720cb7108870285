//! Places for those who wait: ends offers that nobody took and waits for what is over, and offers what is
//! free to the next. What an order given up frees is offered right after it, by its release; this finds
//! what that missed, and what became free because an offer ran out.

use crate::error::Answer;
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::waitlist::{offer, queries};

/// Sessions looked at in one run.
const SESSIONS: u32 = 100;
/// Waits for an appointment looked at in one run.
const APPOINTMENTS: u32 = 30;

/// One run; appointments are gone through in their order, from the one after `watermark` on.
pub(crate) async fn run(ctx: &Ctx, watermark: String, until: i64) -> Answer<Done> {
    let now = now_ms();
    let db = ctx.db()?;
    db.batch(queries::expire(now).into()).await?;
    let rows = db
        .read(vec![
            queries::sessions_with_room(now, SESSIONS),
            queries::waiting_after(&watermark, APPOINTMENTS),
        ])
        .await?;
    let (sessions, waiting): (Vec<Id>, Vec<offer::Waiting>) = (rows.one(0)?, rows.all(1)?);
    let mut offered = 0;
    for session_id in &sessions {
        if now_ms() > until {
            break;
        }
        offered += offer::seats(ctx, session_id.as_str()).await?;
    }
    let whole = waiting.len() < APPOINTMENTS as usize;
    let mut watermark = watermark;
    for entry in waiting {
        if now_ms() > until {
            break;
        }
        offered += u32::from(offer::appointment(ctx, &entry, &[]).await?);
        watermark = entry.id.to_string();
    }
    if whole {
        watermark.clear();
    }
    Ok(Done { outcome: format!("{offered} offered"), watermark })
}
