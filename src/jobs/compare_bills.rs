//! Compares each day's bill of WeChat Pay with our payments and refunds. What differs is listed for
//! staff; no money is moved from it. Days that are missing are caught up, as far back as bills reach
//! here.

use std::collections::HashMap;

use chrono::{Days, NaiveDate};
use zhundian_domain::time::{date_at, dates_interval};
use zhundian_providers::wechat_pay::{BillOutcome, MAX_BILL_BYTES, TradeBill, TradeKind};

use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::outbound;
use crate::jobs::Done;
use crate::payment::channel::Provider;
use crate::payment::crypto::WebCrypto;
use crate::payment::provider::{built, seconds, stamp, to_wechat_pay};
use crate::payment::{keys, queries};

/// The provider's days.
const ZONE: chrono_tz::Tz = chrono_tz::Asia::Shanghai;
/// Days back from yesterday that are caught up.
const DAYS_BACK: u64 = 7;
/// A day's bill is there from ten in the morning on.
const READY_HOUR_MS: i64 = 10 * 3_600_000;
/// Rows of one batch.
const CHUNK: usize = 500;

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let refreshed = keys::refresh(ctx).await;
    if ctx.config().wechat_pay.is_none() {
        return Ok(Done { outcome: "no WeChat Pay".into(), watermark: String::new() });
    }
    let ready = date_at(ZONE, now_ms() - READY_HOUR_MS)
        .and_then(|date| date.pred_opt())
        .ok_or_else(|| Problem::internal("no date"))?;
    let (mut compared, mut differences, mut waiting) = (0, 0, 0);
    for back in (0..DAYS_BACK).rev() {
        let Some(date) = ready.checked_sub_days(Days::new(back)) else { continue };
        if now_ms() > until {
            break;
        }
        let done: Option<bool> =
            ctx.db()?.first(queries::bill_compared(Provider::WechatPay, date)).await?;
        if done.is_some() {
            continue;
        }
        match compare(ctx, date).await? {
            Some(found) => {
                compared += 1;
                differences += found;
            }
            None => waiting += 1,
        }
    }
    let keys = refreshed.map_or_else(|_| "no".to_owned(), |count| count.to_string());
    let outcome = format!(
        "{compared} days compared, {differences} differences, {waiting} not there; {keys} certificates"
    );
    Ok(Done { outcome, watermark: String::new() })
}

/// Compares one day; `None` when its bill is not there yet.
async fn compare(ctx: &Ctx, date: NaiveDate) -> Answer<Option<u32>> {
    let Some(bill) = fetch(ctx, date).await? else { return Ok(None) };
    let now = now_ms();
    let mut statements: Vec<Statement> = Vec::new();
    let rows = u32::try_from(bill.rows.len()).unwrap_or(u32::MAX);
    for chunk in bill.rows.chunks(CHUNK) {
        let numbers: Vec<&str> = chunk
            .iter()
            .map(|row| match row.kind {
                TradeKind::Refund(_) => row.out_refund_no.as_deref().unwrap_or_default(),
                _ => row.out_trade_no.as_str(),
            })
            .collect();
        let json = serde_json::to_string(&numbers).map_err(Problem::internal)?;
        let reads = vec![queries::payments_by_id(&json), queries::refunds_by_id(&json)];
        let known = ctx.db()?.read(reads).await?;
        let payments = by_number(known.all(0)?);
        let refunds = by_number(known.all(1)?);
        for (row, number) in chunk.iter().zip(numbers) {
            let (kind, ours, fits) = match row.kind {
                TradeKind::Refund(_) => (
                    "bill_refund",
                    refunds.get(number),
                    &["succeeded", "processing", "requested"][..],
                ),
                _ => ("bill_payment", payments.get(number), &["paid"][..]),
            };
            let same = ours.is_some_and(|(status, fen)| {
                *fen == row.amount_fen && fits.contains(&status.as_str())
            });
            if !same {
                let theirs = serde_json::json!({ "amount_fen": row.amount_fen, "date": date });
                statements.push(difference(ctx, kind, number, ours, &theirs, now)?);
            }
        }
    }
    // What we have and the bill has not.
    let day = dates_interval(ZONE, date, 1).ok_or_else(|| Problem::internal("no day"))?;
    let ours = queries::payments_between(Provider::WechatPay, day.start.ms(), day.end.ms());
    let ours = by_number(ctx.db()?.read(vec![ours]).await?.all(0)?);
    let billed: std::collections::HashSet<&str> = bill
        .rows
        .iter()
        .filter(|row| row.kind == TradeKind::Payment)
        .map(|row| row.out_trade_no.as_str())
        .collect();
    for (number, known) in ours.iter().filter(|(number, _)| !billed.contains(number.as_str())) {
        let theirs = serde_json::json!({ "date": date });
        statements.push(difference(ctx, "bill_missing", number, Some(known), &theirs, now)?);
    }
    let found = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    statements.push(queries::keep_bill(Provider::WechatPay, date, (rows, found), now));
    ctx.db()?.batch(statements).await?;
    Ok(Some(found))
}

fn by_number(rows: Vec<(String, String, i64)>) -> HashMap<String, (String, i64)> {
    rows.into_iter().map(|(number, status, fen)| (number, (status, fen))).collect()
}

fn difference(
    ctx: &Ctx,
    kind: &str,
    number: &str,
    ours: Option<&(String, i64)>,
    theirs: &serde_json::Value,
    now: i64,
) -> Answer<Statement> {
    let ours = ours.map_or(
        serde_json::Value::Null,
        |(status, fen)| serde_json::json!({ "status": status, "amount_fen": fen }),
    );
    let pair = (ours.to_string(), theirs.to_string());
    let texts = (pair.0.as_str(), pair.1.as_str());
    Ok(queries::note_difference(&ctx.new_id()?, kind, Provider::WechatPay, number, texts, now))
}

async fn fetch(ctx: &Ctx, date: NaiveDate) -> Answer<Option<TradeBill>> {
    let merchant = keys::merchant(ctx, None).await?;
    let request = built(merchant.trade_bill(&WebCrypto, stamp()?, date).await)?;
    let received = to_wechat_pay(&merchant, &request).await.map_err(Problem::unavailable)?;
    let merchant = keys::merchant(ctx, received.serial()).await?;
    let url = match merchant.read_bill_url(&WebCrypto, seconds(), received.signed()).await {
        BillOutcome::Ready(url) => url,
        BillOutcome::Empty => {
            return Ok(Some(TradeBill { rows: Vec::new(), paid_fen: 0, refund_fen: 0 }));
        }
        BillOutcome::NotYet(_) => return Ok(None),
        BillOutcome::Refused(refusal) => return Err(Problem::unavailable(refusal)),
        BillOutcome::Unknown(doubt) => return Err(Problem::unavailable(doubt)),
    };
    let request = built(merchant.download_bill(&WebCrypto, stamp()?, &url).await)?;
    let file = outbound::send_for(&request, MAX_BILL_BYTES).await.map_err(Problem::unavailable)?;
    let bytes = url.file(file.reply()).map_err(Problem::unavailable)?;
    TradeBill::parse(bytes).map(Some).map_err(Problem::internal)
}
