//! Compares each day's bills with our payments and refunds. What differs is listed for staff; no money is
//! moved from it. Days that are missing are caught up, as far back as a week. WeChat Pay's new
//! certificates are fetched on the way.

use std::collections::{HashMap, HashSet};

use chrono::{Days, NaiveDate};
use zhundian_domain::time::{date_at, dates_interval};
use zhundian_domain::zone::Zone;
use zhundian_providers::alipay::{self, BillKind, BillRow};
use zhundian_providers::wechat_pay::{self, TradeBill, TradeKind};

use crate::d1::Statement;
use crate::error::{Answer, Problem};
use crate::http::Ctx;
use crate::http::context::now_ms;
use crate::http::outbound;
use crate::jobs::Done;
use crate::payment::channel::Provider;
use crate::payment::crypto::WebCrypto;
use crate::payment::provider::{alipay as configured_alipay, built, seconds, stamp, to_wechat_pay};
use crate::payment::{keys, queries, unpack};

/// The providers' days.
const ZONE: Zone = Zone::SHANGHAI;
/// Days back from yesterday that are caught up.
const DAYS_BACK: u64 = 7;
/// A day's bill is there from ten in the morning on.
const READY_HOUR_MS: i64 = 10 * 3_600_000;
/// A bill of Alipay's that is not there so long after its day had nothing to say.
const LATE_MS: i64 = 3 * 86_400_000;
/// Rows of one batch.
const CHUNK: usize = 500;

/// One run.
pub(crate) async fn run(ctx: &Ctx, until: i64) -> Answer<Done> {
    let refreshed = keys::refresh(ctx).await;
    let ready = date_at(ZONE, now_ms() - READY_HOUR_MS)
        .and_then(|date| date.pred_opt())
        .ok_or_else(|| Problem::internal("no date"))?;
    let config = ctx.config();
    let providers = [
        (Provider::WechatPay, config.wechat_pay.is_some()),
        (Provider::Alipay, config.alipay.is_some()),
    ];
    let mut found = Found::default();
    let mut failures = String::new();
    for (provider, _) in providers.into_iter().filter(|(_, used)| *used) {
        // One provider's failure is not the other's.
        if let Err(problem) = catch_up(ctx, provider, ready, until, &mut found).await {
            let cause = problem.cause().unwrap_or_else(|| problem.code().as_str());
            failures = format!("{failures}; {}: {cause}", provider.as_str());
        }
    }
    let Found { compared, differences, waiting } = found;
    let keys = refreshed.map_or_else(|_| "no answer about".to_owned(), |count| count.to_string());
    let outcome = format!(
        "{compared} bills compared, {differences} differences, {waiting} not there; {keys} certificates"
    );
    if failures.is_empty() {
        Ok(Done { outcome, watermark: String::new() })
    } else {
        Err(Problem::unavailable(format!("{outcome}{failures}")))
    }
}

/// What a run has found.
#[derive(Default)]
struct Found {
    compared: u32,
    differences: u32,
    waiting: u32,
}

/// Compares a provider's bills of the days up to `last` that were not compared yet.
async fn catch_up(
    ctx: &Ctx,
    provider: Provider,
    last: NaiveDate,
    until: i64,
    found: &mut Found,
) -> Answer<()> {
    for back in (0..DAYS_BACK).rev() {
        let Some(date) = last.checked_sub_days(Days::new(back)) else { continue };
        if now_ms() > until {
            break;
        }
        let done: Option<bool> = ctx.db()?.first(queries::bill_compared(provider, date)).await?;
        if done.is_some() {
            continue;
        }
        let bill = match provider {
            Provider::Alipay => of_alipay(ctx, date).await?,
            _ => of_wechat_pay(ctx, date).await?,
        };
        match bill {
            Some(rows) => {
                found.compared += 1;
                found.differences += compare(ctx, provider, date, &rows).await?;
            }
            None => found.waiting += 1,
        }
    }
    Ok(())
}

/// Compares one day's bill with our rows, both ways. Answers how many differences there are.
async fn compare(ctx: &Ctx, from: Provider, date: NaiveDate, bill: &[BillRow]) -> Answer<u32> {
    let now = now_ms();
    let mut statements: Vec<Statement> = Vec::new();
    for chunk in bill.chunks(CHUNK) {
        let numbers: Vec<&str> = chunk
            .iter()
            .map(|row| row.out_refund_no.as_deref().unwrap_or(&row.out_trade_no))
            .collect();
        let json = serde_json::to_string(&numbers).map_err(Problem::internal)?;
        let reads = vec![queries::payments_by_id(&json), queries::refunds_by_id(&json)];
        let known = ctx.db()?.read(reads).await?;
        let (payments, refunds) = (by_number(known.all(0)?), by_number(known.all(1)?));
        for (row, number) in chunk.iter().zip(numbers) {
            let (kind, ours, fits) = match row.out_refund_no {
                Some(_) => {
                    let under_way = &["succeeded", "processing", "requested"][..];
                    ("bill_refund", refunds.get(number), under_way)
                }
                None => ("bill_payment", payments.get(number), &["paid"][..]),
            };
            let same = ours.is_some_and(|(status, fen)| {
                *fen == row.amount_fen && fits.contains(&status.as_str())
            });
            if !same {
                let theirs = serde_json::json!({ "amount_fen": row.amount_fen, "date": date });
                statements.push(difference(ctx, kind, (from, number), ours, &theirs, now)?);
            }
        }
    }
    // What we have and the bill has not.
    let day = dates_interval(ZONE, date, 1).ok_or_else(|| Problem::internal("no day"))?;
    let ours = queries::payments_between(from, day.start.ms(), day.end.ms());
    let ours = by_number(ctx.db()?.read(vec![ours]).await?.all(0)?);
    let billed: HashSet<&str> = bill
        .iter()
        .filter(|row| row.out_refund_no.is_none())
        .map(|row| row.out_trade_no.as_str())
        .collect();
    for (number, known) in ours.iter().filter(|(number, _)| !billed.contains(number.as_str())) {
        let theirs = serde_json::json!({ "date": date });
        statements.push(difference(
            ctx,
            "bill_missing",
            (from, number),
            Some(known),
            &theirs,
            now,
        )?);
    }
    let found = u32::try_from(statements.len()).unwrap_or(u32::MAX);
    let rows = u32::try_from(bill.len()).unwrap_or(u32::MAX);
    statements.push(queries::keep_bill(from, date, (rows, found), now));
    ctx.db()?.batch(statements).await?;
    Ok(found)
}

type ByNumber = HashMap<String, (String, i64)>;

fn by_number(rows: Vec<(String, String, i64)>) -> ByNumber {
    rows.into_iter().map(|(number, status, fen)| (number, (status, fen))).collect()
}

fn difference(
    ctx: &Ctx,
    kind: &str,
    (provider, number): (Provider, &str),
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
    Ok(queries::note_difference(&ctx.new_id()?, kind, provider, number, texts, now))
}

/// A day's bill of WeChat Pay; `None` when it is not there yet.
async fn of_wechat_pay(ctx: &Ctx, date: NaiveDate) -> Answer<Option<Vec<BillRow>>> {
    use wechat_pay::BillOutcome;
    let merchant = keys::merchant(ctx, None).await?;
    let request = built(merchant.trade_bill(&WebCrypto, stamp()?, date).await)?;
    let received = to_wechat_pay(&merchant, &request).await.map_err(Problem::unavailable)?;
    let merchant = keys::merchant(ctx, received.serial()).await?;
    let url = match merchant.read_bill_url(&WebCrypto, seconds(), received.signed()).await {
        BillOutcome::Ready(url) => url,
        BillOutcome::Empty => return Ok(Some(Vec::new())),
        BillOutcome::NotYet(_) => return Ok(None),
        BillOutcome::Refused(refusal) => return Err(Problem::unavailable(refusal)),
        BillOutcome::Unknown(doubt) => return Err(Problem::unavailable(doubt)),
    };
    let request = built(merchant.download_bill(&WebCrypto, stamp()?, &url).await)?;
    let file = outbound::send_for(&request, wechat_pay::MAX_BILL_BYTES)
        .await
        .map_err(Problem::unavailable)?;
    let bytes = url.file(file.reply()).map_err(Problem::unavailable)?;
    let bill = TradeBill::parse(bytes).map_err(Problem::internal)?;
    let rows = bill.rows.into_iter().map(|row| BillRow {
        out_trade_no: row.out_trade_no,
        out_refund_no: match row.kind {
            TradeKind::Refund(_) => row.out_refund_no,
            TradeKind::Payment | TradeKind::Revoked => None,
        },
        amount_fen: row.amount_fen,
    });
    Ok(Some(rows.collect()))
}

/// A day's bill of Alipay. That there is none may mean that it is not made yet, or, after a while, that
/// nothing happened.
async fn of_alipay(ctx: &Ctx, date: NaiveDate) -> Answer<Option<Vec<BillRow>>> {
    use alipay::BillOutcome;
    let app = configured_alipay(ctx)?;
    let request = built(app.bill(&WebCrypto, seconds(), BillKind::Trades, date).await)?;
    let received = outbound::send(&request).await.map_err(Problem::unavailable)?;
    let url = match app.read_bill(&WebCrypto, received.reply()).await {
        BillOutcome::Ready(url) => url,
        BillOutcome::NotThere => {
            let late = date_at(ZONE, now_ms() - LATE_MS).is_some_and(|day| date < day);
            return Ok(late.then(Vec::new));
        }
        BillOutcome::Refused(refusal) => return Err(Problem::unavailable(refusal)),
        BillOutcome::Unknown(doubt) => return Err(Problem::unavailable(doubt)),
    };
    let file = outbound::send_for(&alipay::download_bill(url), alipay::MAX_BILL_BYTES)
        .await
        .map_err(Problem::unavailable)?;
    let mut found = None;
    for packed in alipay::unzip_bill(file.reply().body).map_err(Problem::internal)? {
        let bytes = if packed.deflated {
            unpack::inflate(packed.bytes).await.map_err(Problem::internal)?
        } else {
            packed.bytes.to_vec()
        };
        let text = unpack::gbk(&bytes).map_err(Problem::internal)?;
        found = found.or(alipay::bill_rows(&text).map_err(Problem::internal)?);
    }
    Ok(Some(found.ok_or_else(|| Problem::internal("a bill without its list"))?))
}
