//! Evidence that a payment was made, from wherever it comes: a notice, a query, a repeated prepay. One
//! read, one decision (`zhundian_domain::payment::on_paid`), one batch; decided again when the order
//! or the payment has changed in between.

use std::collections::BTreeMap;

use serde::Deserialize;
use zhundian_domain::ledger;
use zhundian_domain::order::Status;
use zhundian_domain::payment::{Known, Paid, PaymentStatus, Refundable, Surplus, on_paid};
use zhundian_domain::reminder::Change;
use zhundian_providers::payment::{CNY, Expected, Mismatch, Transaction};

use crate::booking::claim::Kept;
use crate::d1::Statement;
use crate::error::{Answer, Code, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::fields::Id;
use crate::order::{self, Actor};
use crate::outbox::{self, Claimed, Message};
use crate::payment::channel::Provider;
use crate::payment::refund::Source;
use crate::payment::shipping::Report;
use crate::payment::{queries, refund};
use crate::reminder;

/// Decisions in one go: each but the last met somebody else's change.
const TRIES: u32 = 5;

/// A payment with its order, as it is decided on.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: Id,
    /// The order.
    pub order_id: Id,
    /// Who moves the money.
    pub provider: Provider,
    /// How far it has come.
    pub status: PaymentStatus,
    amount_fen: i64,
    transaction_id: Option<String>,
    payer_and_description: (Option<String>, String),
    /// The provider's deadline.
    pub expires_at: i64,
    /// How often the provider was asked.
    pub checks: i64,
    order_status: Status,
    order_version: i64,
    hold_expires_at: Option<i64>,
    start_at: i64,
    paid_by_another: bool,
    other_pending: Option<Id>,
    claims: Vec<Kept>,
}

/// What became of evidence.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded, now or before.
    Done,
    /// It speaks of something else than was asked for; a difference is noted.
    Mismatch(Mismatch),
    /// There is no payment with this number; a difference is noted.
    Unknown,
}

/// Reads a payment.
///
/// # Errors
/// 503.
pub async fn read(ctx: &Ctx, payment_id: &str) -> Answer<Option<Row>> {
    Ok(ctx.db()?.first(queries::known(payment_id)).await?)
}

/// Records a verified transaction, once, whoever else is recording it.
///
/// # Errors
/// 503; nothing is recorded then.
pub async fn record(ctx: &Ctx, provider: Provider, said: &Transaction) -> Answer<Recorded> {
    for _ in 0..TRIES {
        let Some(row) = read(ctx, &said.out_trade_no).await?.filter(|row| row.provider == provider)
        else {
            note(ctx, "unknown_payment", provider, said, None).await?;
            return Ok(Recorded::Unknown);
        };
        if let Err(mismatch) = said.check(&expected(ctx, &row, said)) {
            note(ctx, "payment_mismatch", provider, said, Some(&row)).await?;
            return Ok(Recorded::Mismatch(mismatch));
        }
        match decide(ctx, &row, said).await? {
            None => {
                let same = row.transaction_id.as_deref() == Some(&said.transaction_id);
                if !same {
                    note(ctx, "second_transaction", provider, said, Some(&row)).await?;
                }
                return Ok(Recorded::Done);
            }
            Some((statements, rows)) => match ctx.db()?.batch(statements).await {
                Ok(_) => {
                    outbox::deliver_soon(ctx, rows).await;
                    return Ok(Recorded::Done);
                }
                // Somebody else was first with this or with the order: decide again.
                Err(error)
                    if error.is_constraint("payment_known")
                        || error.is_constraint("ledger_entry_account_id") => {}
                // The provider's number is another payment's.
                Err(error) if error.is_constraint("payment_provider") => {
                    note(ctx, "transaction_reused", provider, said, Some(&row)).await?;
                    return Ok(Recorded::Mismatch(Mismatch::OutTradeNo));
                }
                Err(error) => return Err(error.into()),
            },
        }
    }
    Err(Problem::unavailable("a payment's order keeps changing"))
}

fn expected<'a>(ctx: &'a Ctx, row: &'a Row, said: &'a Transaction) -> Expected<'a> {
    let config = ctx.config();
    let (app_id, merchant_id) = match row.provider {
        Provider::Alipay => {
            config.alipay.as_ref().map(|app| (app.app_id.as_str(), app.seller_id.as_str()))
        }
        _ => config.wechat_pay.as_ref().map(|one| (one.appid.as_str(), one.mchid.as_str())),
    }
    .unwrap_or_default();
    Expected {
        app_id,
        merchant_id,
        out_trade_no: &said.out_trade_no,
        total_fen: row.amount_fen,
        currency: CNY,
    }
}

type Batch = (Vec<Statement>, Vec<outbox::Row>);

/// What is to be written; `None` when it was written before.
async fn decide(ctx: &Ctx, row: &Row, said: &Transaction) -> Answer<Option<Batch>> {
    let now = now_ms();
    let known = Known {
        order: row.order_status,
        payment: row.status,
        paid_by_another: row.paid_by_another,
        asked_fen: row.amount_fen,
        hold_expires_at: row.hold_expires_at.unwrap_or(0),
        start_at: row.start_at,
    };
    let decision = on_paid(&known, said.total_fen, now);
    let mut rows = Vec::new();
    let mut statements =
        vec![queries::still_known(row.id.as_str(), row.status, &row.order_id, row.order_version)];
    let paid_at = said.paid_at_ms.unwrap_or(now);
    let payer = said.payer.as_deref();
    let surplus = matches!(decision, Paid::RefundInFull { .. });
    let (id, transaction_id) = (row.id.as_str(), &said.transaction_id);
    statements.push(queries::paid(id, transaction_id, paid_at, payer, surplus, now));
    let provider = row.provider.as_str();
    for entry in ledger::paid(row.id.as_str(), row.order_id.as_str(), provider, row.amount_fen) {
        statements.push(queries::post(&entry, now));
    }
    let detail = serde_json::json!({ "payment_id": row.id, "amount_fen": row.amount_fen });
    let (kind, detail) = match decision {
        Paid::AlreadyRecorded | Paid::Mismatch => return Ok(None),
        Paid::Record { next, new_claim } => {
            let claims = claims(ctx, &row.claims, new_claim)?;
            if new_claim {
                let renamed: BTreeMap<&str, &str> = row
                    .claims
                    .iter()
                    .map(|kept| kept.0.as_str())
                    .zip(claims.iter().map(|claimed| claimed.spec.id.as_str()))
                    .collect();
                let renamed = serde_json::to_string(&renamed).map_err(Problem::internal)?;
                statements.extend(queries::revive_lines(&row.order_id, &renamed));
            }
            statements.push(queries::order_is(&row.order_id, next.as_str(), now));
            let order_id = Some(row.order_id.clone());
            rows.push(outbox::Row::new(ctx, Message::Confirm { claims, order_id, paid: true })?);
            // Paid by a number that was given up for another one: nobody is to pay the other as well.
            if let Some(payment_id) = row.other_pending.clone() {
                rows.push(outbox::Row::new(ctx, Message::ClosePayment { payment_id })?);
            }
            ("paid", detail)
        }
        Paid::RefundInFull { why } => {
            statements.push(queries::order_is(&row.order_id, row.order_status.as_str(), now));
            let whole = Source {
                left: Refundable { payment_id: row.id.to_string(), left_fen: row.amount_fen },
                provider: row.provider,
                total_fen: row.amount_fen,
            };
            let (wanted, tell) = refund::wanted(
                ctx,
                &refund::Wish {
                    order_id: &row.order_id,
                    payments: &[whole],
                    amount_fen: row.amount_fen,
                    cause: cause(why),
                    reason: "",
                    staff_id: None,
                },
            )?;
            statements.extend(wanted);
            rows.extend(tell);
            if why != Surplus::PaidByAnother {
                let (id, start_at) = (&row.order_id, row.start_at);
                let change = Change::PaidInVain;
                statements.extend(reminder::news(ctx, change, id, start_at, &Actor::System, now)?);
            }
            let detail = serde_json::json!({
                "payment_id": row.id, "amount_fen": row.amount_fen, "cause": cause(why),
            });
            ("paid_in_vain", detail)
        }
    };
    if row.provider == Provider::WechatPay {
        // Without it WeChat holds the money back; it knows the payment a moment after it says so.
        let payment_id = row.id.clone();
        let (asked_payer, description) = &row.payer_and_description;
        let known = asked_payer.as_deref().or(payer).map(|payer| Report {
            payer: payer.to_owned(),
            description: description.clone(),
            paid_at,
        });
        rows.push(outbox::Row::new(ctx, Message::UploadShipping { payment_id, known })?);
    }
    let event_id = ctx.new_id()?;
    statements.push(order::queries::insert_event(
        &event_id,
        &row.order_id,
        now,
        kind,
        &Actor::System,
        &detail,
    ));
    for one in &rows {
        statements.push(one.insert(ctx)?);
    }
    Ok(Some((statements, rows)))
}

/// What the confirm of an order's claims asks for; under new ids when the old ones were given back.
///
/// # Errors
/// A row that does not fit.
pub fn claims(ctx: &Ctx, kept: &[Kept], renewed: bool) -> Answer<Vec<Claimed>> {
    kept.iter()
        .map(|kept| {
            let fresh = if renewed { Some(ctx.new_id()?) } else { None };
            let spec = kept.spec(fresh.as_ref().map(Id::as_str), "paid")?;
            Ok(Claimed { calendar: kept.1.clone(), spec, written: Vec::new() })
        })
        .collect()
}

const fn cause(why: Surplus) -> &'static str {
    match why {
        Surplus::PaidByAnother => "paid_by_another",
        Surplus::OrderOver => "order_over",
        Surplus::AppointmentBegun => "appointment_begun",
    }
}

async fn note(
    ctx: &Ctx,
    kind: &str,
    provider: Provider,
    said: &Transaction,
    row: Option<&Row>,
) -> Answer<()> {
    let ours = row.map_or(serde_json::Value::Null, |row| {
        serde_json::json!({ "amount_fen": row.amount_fen, "status": row.status,
            "transaction_id": row.transaction_id })
    });
    let theirs = serde_json::json!({ "amount_fen": said.total_fen, "currency": said.currency,
        "transaction_id": said.transaction_id, "app_id": said.app_id,
        "merchant_id": said.merchant_id });
    let pair = (ours.to_string(), theirs.to_string());
    let statement = queries::note_difference(
        &ctx.new_id()?,
        kind,
        provider,
        &said.out_trade_no,
        (&pair.0, &pair.1),
        now_ms(),
    );
    ctx.db()?.batch(vec![statement]).await?;
    Ok(())
}

/// The problem of evidence that is none.
#[must_use]
pub fn problem(recorded: &Recorded) -> Option<Problem> {
    match recorded {
        Recorded::Done => None,
        Recorded::Mismatch(mismatch) => {
            Some(Problem::from(Code::NoticeMismatch).caused_by(mismatch))
        }
        Recorded::Unknown => Some(Problem::from(Code::NoticeMismatch).caused_by("no such payment")),
    }
}
