//! Ends the sessions of service plans at their time: each is done, its order completed when nothing remains
//! due, and the use of the member's card is due. What a missed run left is found by the next one: the rows
//! themselves say what is open.

use serde::{Deserialize, Serialize};
use zhundian_domain::order::{Event, Status, apply};
use zhundian_domain::pricing::remaining_fen;

use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::jobs::Done;
use crate::plan::queries;

/// Sessions ended in one batch.
const SESSIONS: u32 = 300;

#[derive(Deserialize)]
struct Due {
    id: Id,
    status: Status,
    version: i64,
    total_fen: i64,
    paid_fen: i64,
}

#[derive(Serialize)]
struct Over {
    order_id: Id,
    version: i64,
    status: Status,
    event_id: Id,
    /// `completed`, or `session_done` where the order's state stays.
    event: &'static str,
}

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let mut ended = 0;
    loop {
        let now = now_ms();
        let due: Vec<Due> =
            ctx.db()?.read(vec![queries::sessions_due(now, SESSIONS)]).await?.all(0)?;
        let found = due.len();
        if found > 0 {
            let over = due.into_iter().map(|due| due.over(ctx)).collect::<Answer<Vec<_>>>()?;
            let json = serde_json::to_string(&over).map_err(Problem::internal)?;
            ctx.db()?.batch(queries::end_sessions(&json, now).into()).await?;
            ended += found;
        }
        if found < SESSIONS as usize || now_ms() > until {
            let outcome = format!("{ended} sessions done");
            return Ok(Done { outcome, watermark: String::new() });
        }
    }
}

impl Due {
    /// A session is done when its time is over; its order waits for what remains to be paid.
    fn over(self, ctx: &Ctx) -> Answer<Over> {
        let remaining_fen = remaining_fen(self.total_fen, self.paid_fen);
        let status = apply(self.status, Event::Completed { remaining_fen }).unwrap_or(self.status);
        let event = if status == self.status { "session_done" } else { "completed" };
        let event_id = ctx.new_id()?;
        Ok(Over { order_id: self.id, version: self.version, status, event_id, event })
    }
}
