//! Refunds: decided with their money reserved in one batch (I5), asked for with one number until the
//! provider has said what becomes of them.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zhundian_domain::ledger;
use zhundian_domain::payment::{RefundEvent, RefundStatus, Refundable, spread};
use zhundian_providers::payment::{RefundOrder, RefundOutcome};

use crate::auth::caller::Staff;
use crate::auth::permission::Permission;
use crate::booking::claim::Operator;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::context::now_ms;
use crate::http::extract::{Operation, PathId};
use crate::http::fields::{Id, Int, Text};
use crate::http::{Ctx, respond};
use crate::order::{self, Actor};
use crate::outbox::{self, Message};
use crate::payment::channel::Provider;
use crate::payment::provider::{self, Refunding, WECHAT_PAY_NOTICES};
use crate::payment::queries;

/// The provider is asked about a refund that it is at, this long after it said so; twice as long each
/// time, up to an hour.
const FIRST_CHECK_MS: i64 = 60_000;
const MAX_CHECK_MS: i64 = 3_600_000;
/// Decisions in one go: each but the last met somebody else's change.
const TRIES: u32 = 5;

/// A refund that is wanted.
pub struct Wish<'a> {
    /// The order.
    pub order_id: &'a Id,
    /// What of its payments can be refunded.
    pub payments: &'a [Source],
    /// How much in all.
    pub amount_fen: i64,
    /// Why, in a word.
    pub cause: &'a str,
    /// Why, as the customer reads it.
    pub reason: &'a str,
    /// Which staff wanted it.
    pub staff_id: Option<&'a Id>,
}

/// A payment that money can go back to.
pub struct Source {
    /// Its id, and what it has left.
    pub left: Refundable,
    /// Who moves the money.
    pub provider: Provider,
    /// What was paid, in fen.
    pub total_fen: i64,
}

/// What an order's payments still have.
#[derive(Debug, Default, Deserialize)]
pub struct Refundables(Vec<(String, Provider, i64, i64)>);

impl Refundables {
    /// What was paid and not promised back.
    #[must_use]
    pub fn paid_fen(&self) -> i64 {
        self.0.iter().map(|(_, _, left_fen, _)| left_fen).sum()
    }

    /// The payments, the latest first.
    #[must_use]
    pub fn payments(&self) -> Vec<Source> {
        self.0
            .iter()
            .map(|(payment_id, provider, left_fen, total_fen)| Source {
                left: Refundable { payment_id: payment_id.clone(), left_fen: *left_fen },
                provider: *provider,
                total_fen: *total_fen,
            })
            .collect()
    }
}

/// The statements that decide on a wish, and the outbox rows that ask for it: one refund for each
/// payment it is spread over. Raises `account_balance` when the order has not so much (any more), and
/// `payment_known` when one of the payments has not.
///
/// # Errors
/// None in practice.
pub fn wanted(ctx: &Ctx, wish: &Wish) -> Answer<(Vec<Statement>, Vec<outbox::Row>)> {
    let refundable: Vec<Refundable> = wish.payments.iter().map(|one| one.left.clone()).collect();
    let (mut statements, mut rows) = (Vec::new(), Vec::new());
    let now = now_ms();
    for (payment_id, amount_fen) in spread(wish.amount_fen, &refundable) {
        let (provider, total_fen) = wish
            .payments
            .iter()
            .find(|one| one.left.payment_id == payment_id)
            .map(|one| (one.provider, one.total_fen))
            .ok_or_else(|| Problem::internal("a refund of no payment"))?;
        let id = ctx.new_id()?;
        let done = provider.is_counter();
        let order_id = wish.order_id.as_str();
        // The order's account first: what it has not, no other spread over its payments would have.
        let reserve = ledger::refund_requested(id.as_str(), order_id, amount_fen);
        statements.push(queries::post(&reserve, now));
        statements.push(queries::has_left(payment_id, amount_fen));
        statements.push(queries::insert_refund(&queries::NewRefund {
            id: &id,
            payment_id,
            order_id: wish.order_id,
            amount_fen,
            cause: wish.cause,
            reason: wish.reason,
            staff_id: wish.staff_id,
            done,
            now,
        }));
        if done {
            let paid = ledger::refund_paid(id.as_str(), provider.as_str(), amount_fen);
            statements.push(queries::post(&paid, now));
        } else {
            let known = Some(Row {
                id: id.clone(),
                payment_id: payment_id.to_owned(),
                order_id: wish.order_id.clone(),
                amount_fen,
                status: RefundStatus::Requested,
                reason: wish.reason.to_owned(),
                checks: 0,
                provider,
                total_fen,
            });
            rows.push(outbox::Row::new(ctx, Message::Refund { refund_id: id, known })?);
        }
    }
    Ok((statements, rows))
}

/// A refund as it is carried on.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    id: Id,
    payment_id: String,
    order_id: Id,
    amount_fen: i64,
    status: RefundStatus,
    reason: String,
    checks: i64,
    provider: Provider,
    total_fen: i64,
}

/// Asks the provider for a refund, or how it stands, and writes what it says, with the statements
/// `also`. What is not `known` of it is read.
///
/// # Errors
/// 503 when the provider does not say: ask again, with the same number.
pub async fn carry_on(
    ctx: &Ctx,
    refund_id: &str,
    known: Option<Row>,
    also: &[Statement],
) -> Answer<()> {
    let row = match known {
        Some(row) => Some(row),
        None => ctx.db()?.first(queries::refund(refund_id)).await?,
    };
    let Some(row) = row.filter(|row| !row.status.is_final() && !row.provider.is_counter()) else {
        if !also.is_empty() {
            ctx.db()?.batch(also.to_vec()).await?;
        }
        return Ok(());
    };
    let how = if row.status == RefundStatus::Requested { Refunding::Ask } else { Refunding::Query };
    let notify_url = format!("{}{WECHAT_PAY_NOTICES}", ctx.config().public_url);
    let order = row.order(&notify_url);
    let mut outcome = provider::refund(ctx, row.provider, how, &order).await?;
    if how == Refunding::Query && matches!(outcome, RefundOutcome::NotFound) {
        // It was never asked for, as the provider sees it.
        outcome = provider::refund(ctx, row.provider, Refunding::Ask, &order).await?;
    }
    let (event, provider_refund_id) = match outcome {
        RefundOutcome::Succeeded(refund) => (RefundEvent::Succeeded, refund.refund_id),
        RefundOutcome::Processing(refund) => (RefundEvent::Processing, refund.refund_id),
        RefundOutcome::Abnormal(refund) => (RefundEvent::Abnormal, refund.refund_id),
        RefundOutcome::Closed(refund) => (RefundEvent::Closed, refund.refund_id),
        RefundOutcome::NotEnough => {
            note(ctx, &row, "refund_not_enough", "the balance at the provider is too low").await?;
            return Err(Problem::unavailable("the balance at the provider is too low"));
        }
        RefundOutcome::Refused(refusal) => {
            note(ctx, &row, "refund_refused", &refusal.to_string()).await?;
            return Err(Problem::unavailable(refusal));
        }
        RefundOutcome::NotFound => {
            note(ctx, &row, "refund_without_payment", "the provider knows no such payment").await?;
            return Err(Problem::unavailable("the provider knows no such payment"));
        }
        RefundOutcome::Unknown(doubt) => return Err(Problem::unavailable(doubt)),
    };
    write(ctx, row, event, provider_refund_id.as_deref(), also).await
}

/// Writes what a provider says of a refund, from wherever it comes.
///
/// # Errors
/// 503; 500 never.
pub async fn said(
    ctx: &Ctx,
    said: &zhundian_providers::payment::Refund,
    event: RefundEvent,
) -> Answer<bool> {
    let row: Option<Row> = ctx.db()?.first(queries::refund(&said.out_refund_no)).await?;
    let Some(row) = row else { return Ok(false) };
    if said.check(&row.order("")).is_err() {
        note(ctx, &row, "refund_mismatch", "other numbers or amounts").await?;
        return Ok(false);
    }
    write(ctx, row, event, said.refund_id.as_deref(), &[]).await?;
    Ok(true)
}

/// Writes what the provider says, decided on again when somebody else has written meanwhile: a notice
/// may come before the reply to the call that it is about.
async fn write(
    ctx: &Ctx,
    mut row: Row,
    event: RefundEvent,
    provider_refund_id: Option<&str>,
    also: &[Statement],
) -> Answer<()> {
    for _ in 0..TRIES {
        if write_once(ctx, &row, event, provider_refund_id, also).await? {
            return Ok(());
        }
        row = ctx.db()?.read(vec![queries::refund(row.id.as_str())]).await?.one(0)?;
    }
    Err(Problem::unavailable("a refund keeps changing"))
}

/// Answers whether the refund was still as it was read.
async fn write_once(
    ctx: &Ctx,
    row: &Row,
    event: RefundEvent,
    provider_refund_id: Option<&str>,
    also: &[Statement],
) -> Answer<bool> {
    let id = row.id.as_str();
    let mut statements = also.to_vec();
    let Ok(next) = row.status.apply(event) else {
        statements.push(row.difference(ctx, "refund_contradiction", &format!("{event:?}"))?);
        ctx.db()?.batch(statements).await?;
        return Ok(true);
    };
    let now = now_ms();
    let pause = (FIRST_CHECK_MS << row.checks.clamp(0, 10)).min(MAX_CHECK_MS);
    if next == row.status {
        statements.push(queries::check_refund_at(id, now + pause));
        ctx.db()?.batch(statements).await?;
        return Ok(true);
    }
    let states = (row.status, next);
    statements.extend(queries::refund_is(id, states, provider_refund_id, now + pause, now));
    let detail = serde_json::json!({ "refund_id": id, "amount_fen": row.amount_fen });
    let mut happened = None;
    match next {
        RefundStatus::Succeeded => {
            let entry = ledger::refund_paid(id, row.provider.as_str(), row.amount_fen);
            statements.push(queries::post(&entry, now));
            happened = Some("refunded");
        }
        RefundStatus::Closed => {
            let entry = ledger::refund_closed(id, row.order_id.as_str(), row.amount_fen);
            statements.push(queries::post(&entry, now));
            happened = Some("refund_closed");
        }
        RefundStatus::Abnormal => happened = Some("refund_abnormal"),
        RefundStatus::Requested | RefundStatus::Processing => {}
    }
    if let Some(kind) = happened {
        let event_id = ctx.new_id()?;
        let by = &Actor::System;
        statements.push(order::queries::insert_event(
            &event_id,
            &row.order_id,
            now,
            kind,
            by,
            &detail,
        ));
        if kind != "refunded" {
            statements.push(row.difference(ctx, kind, "staff must act")?);
        }
    }
    match ctx.db()?.batch(statements).await {
        Ok(_) => Ok(true),
        Err(error)
            if error.is_constraint("refund_known")
                || error.is_constraint("ledger_entry_account_id") =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn note(ctx: &Ctx, row: &Row, kind: &str, theirs: &str) -> Answer<()> {
    ctx.db()?.batch(vec![row.difference(ctx, kind, theirs)?]).await?;
    Ok(())
}

impl Row {
    fn order<'a>(&'a self, notify_url: &'a str) -> RefundOrder<'a> {
        RefundOrder {
            out_trade_no: &self.payment_id,
            out_refund_no: self.id.as_str(),
            refund_fen: self.amount_fen,
            total_fen: self.total_fen,
            reason: Some(self.reason.as_str()).filter(|reason| !reason.is_empty()),
            notify_url: (self.provider == Provider::WechatPay && !notify_url.is_empty())
                .then_some(notify_url),
        }
    }

    fn difference(&self, ctx: &Ctx, kind: &str, theirs: &str) -> Answer<Statement> {
        let ours = serde_json::json!({ "status": self.status, "amount_fen": self.amount_fen });
        let theirs = serde_json::json!({ "said": theirs });
        Ok(queries::note_difference(
            &ctx.new_id()?,
            kind,
            self.provider,
            self.id.as_str(),
            (&ours.to_string(), &theirs.to_string()),
            now_ms(),
        ))
    }
}

// By staff ----------------------------------------------------------------------------------------

/// Money that staff give back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffRefund {
    /// In fen; at most what was paid and not given back.
    amount_fen: Int<1, 100_000_000>,
    /// Why; the customer may read it.
    reason: Text<1, 80>,
}

/// Money that goes back.
#[derive(Serialize, ToSchema)]
pub struct RefundAnswer {
    /// In fen.
    refunded_fen: i64,
    /// What the order has left of what was paid, in fen.
    paid_fen: i64,
}

#[derive(Deserialize)]
struct ToRefund {
    store_id: Id,
}

/// Give money back
///
/// It goes back the way it came, the latest payment first. What was paid over the counter is handed
/// over there.
#[utoipa::path(
    post, path = "/api/v1/staff/orders/{id}/refunds", tag = "payments", operation_id = "staff_refund",
    params(
        ("id" = Id, Path, description = "The order"),
        ("Idempotency-Key" = String, Header, description = "8 to 64 letters, digits, - or _", min_length = 8, max_length = 64, pattern = "^[A-Za-z0-9_-]{8,64}$"),
    ),
    request_body = StaffRefund,
    responses((status = 201, description = "Decided; it is on its way", body = RefundAnswer)),
)]
pub(crate) async fn refund_as_staff(
    ctx: Ctx,
    staff: Staff,
    PathId(order_id): PathId,
    operation: Operation<StaffRefund>,
) -> Answer<Response> {
    let operator = Operator::new(format!("staff:{}", staff.id), &operation);
    let wish = operation.body;
    let db = ctx.db()?;
    let reads = vec![
        operator.stored(),
        queries::to_settle(&order_id),
        queries::refundable(&order_id, true),
    ];
    let rows = db.read(reads).await?;
    let known: ToRefund = rows.first(1)?.ok_or_else(|| Problem::from(Code::NotFound))?;
    staff.require(Permission::PaymentRefund, &known.store_id)?;
    if let Some(answer) = operator.replay(&rows, 0)? {
        return Ok(answer);
    }
    let amount_fen = wish.amount_fen.get();
    let refundables: Refundables = rows.one(2)?;
    let paid_fen = refundables.paid_fen();
    let too_much = || Problem::from(Code::RefundTooLarge).with(paid_fen).at("amount_fen");
    if amount_fen > paid_fen {
        return Err(too_much());
    }
    let reason = wish.reason.as_str();
    let (wanted, asked) = wanted(
        &ctx,
        &Wish {
            order_id: &order_id,
            payments: &refundables.payments(),
            amount_fen,
            cause: "staff",
            reason,
            staff_id: Some(&staff.id),
        },
    )?;
    let answer = RefundAnswer { refunded_fen: amount_fen, paid_fen: paid_fen - amount_fen };
    let response = serde_json::to_string(&answer).map_err(Problem::internal)?;
    let detail = serde_json::json!({ "amount_fen": amount_fen, "reason": reason });
    let (event_id, audit_id) = (ctx.new_id()?, ctx.new_id()?);
    let actor = Actor::Staff(staff.id.clone());
    let mut statements = vec![operator.store(StatusCode::CREATED, &response, ctx.now)];
    statements.extend(wanted);
    statements.push(order::queries::insert_event(
        &event_id,
        &order_id,
        ctx.now,
        "refund_requested",
        &actor,
        &detail,
    ));
    let subject = order_id.as_str();
    statements.push(queries::audit(&audit_id, &staff.id, "refund", subject, &detail, ctx.now));
    for row in &asked {
        statements.push(row.insert(&ctx)?);
    }
    match db.batch(statements).await {
        Ok(_) => {
            outbox::deliver_soon(&ctx, asked).await;
            Ok(respond::json_bytes(StatusCode::CREATED, response.into_bytes()))
        }
        Err(error) if error.is_constraint("idempotency_actor") => operator.replay_now(&ctx).await,
        Err(error) if error.is_constraint("account_balance") => Err(too_much()),
        Err(error) => Err(error.into()),
    }
}
