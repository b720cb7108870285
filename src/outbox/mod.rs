//! What must still happen after a batch has committed: rows written in that batch, delivered at least
//! once, right after the response and by cron. A row that keeps failing is marked dead and shown to
//! staff, never dropped.
//!
//! Every delivery is idempotent: the calendar's calls carry ids, and what a delivery writes to D1 goes
//! in the batch that deletes the row.

pub mod deliver;
pub mod queries;

use std::future::Future;

use serde::{Deserialize, Serialize};
use zhundian_domain::calendar::ClaimSpec;
use zhundian_durable_objects::calls::WrittenDay;

use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::fields::Id;
use crate::payment::{refund, shipping};

/// How long cron leaves a new row to the request that wrote it.
const FIRST_DUE_MS: i64 = 20_000;

/// A message; its variant is the row's `topic`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "topic")]
pub enum Message {
    /// Make claims last: their order or block is committed.
    Confirm {
        /// All of them.
        claims: Vec<Claimed>,
        /// The order, unless it is a block.
        order_id: Option<Id>,
        /// Whether the order was paid for: then it is confirmed with its claims.
        #[serde(default)]
        paid: bool,
    },
    /// Give a claim back: its order is cancelled, or moved to another technician, or its block removed.
    Release {
        /// The calendar.
        calendar: String,
        /// The claim.
        claim_id: String,
    },
    /// Give a calendar object the stores, capacity and holidays that D1 says.
    SyncCalendar {
        /// Its name.
        calendar: String,
    },
    /// Ask the provider for a refund that is decided.
    Refund {
        /// Which.
        refund_id: Id,
        /// As it was decided, known to whoever did; read by cron.
        #[serde(skip)]
        known: Option<refund::Row>,
    },
    /// Have the provider close a payment whose order was given up.
    ClosePayment {
        /// Which.
        payment_id: Id,
    },
    /// Tell WeChat that what was paid for is delivered.
    UploadShipping {
        /// The payment.
        payment_id: Id,
        /// What the report says, known to whoever recorded the payment; read by cron.
        #[serde(skip)]
        known: Option<shipping::Report>,
    },
}

/// A claim that is to last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claimed {
    /// The calendar.
    pub calendar: String,
    /// As it was held.
    pub spec: ClaimSpec,
    /// Projected days that the commit has written.
    #[serde(default)]
    pub written: Vec<WrittenDay>,
}

impl Claimed {
    /// As `line_claim` keeps it: claim, calendar, start, end, block's start and end, quantity.
    #[must_use]
    pub fn row(&self) -> (&str, &str, i64, i64, i64, i64, u16) {
        let ClaimSpec { service, block, quantity, .. } = &self.spec;
        (
            &self.spec.id,
            &self.calendar,
            service.start.ms(),
            service.end.ms(),
            block.start.ms(),
            block.end.ms(),
            *quantity,
        )
    }
}

/// The rows that give claims back, each with its calendar.
///
/// # Errors
/// None in practice.
pub fn releases(ctx: &Ctx, claims: Vec<(String, String)>) -> Answer<Vec<Row>> {
    let message = |(calendar, claim_id)| Message::Release { calendar, claim_id };
    claims.into_iter().map(|claim| Row::new(ctx, message(claim))).collect()
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
        self.insert_due(ctx, ctx.now + FIRST_DUE_MS)
    }

    /// The statement that writes a row which no request will deliver after its answer: cron's, at once.
    ///
    /// # Errors
    /// None in practice.
    pub fn insert_for_cron(&self, ctx: &Ctx) -> Answer<Statement> {
        self.insert_due(ctx, ctx.now)
    }

    fn insert_due(&self, ctx: &Ctx, due_at: i64) -> Answer<Statement> {
        let payload = serde_json::to_string(&self.message).map_err(Problem::internal)?;
        Ok(queries::insert(&self.id, &payload, ctx.now, due_at))
    }

    /// The statement that writes it, due at once, unless the order's line stands on the claim.
    ///
    /// # Errors
    /// None in practice.
    pub fn insert_unless_standing(
        &self,
        ctx: &Ctx,
        order_id: &Id,
        claim_id: &str,
    ) -> Answer<Statement> {
        let payload = serde_json::to_string(&self.message).map_err(Problem::internal)?;
        Ok(queries::insert_unless_standing(&self.id, &payload, ctx.now, order_id, claim_id))
    }
}

/// Delivers rows right after the response; what fails, cron tries again.
pub fn deliver_soon(ctx: &Ctx, rows: Vec<Row>) -> impl Future<Output = ()> + Send + use<> {
    let work = ctx.clone();
    ctx.after_response(async move { deliver::together(&work, rows).await })
}
