//! The bills of a day: `GET /v3/bill/tradebill` and `/v3/bill/fundflowbill`, ready after 10 in the
//! morning of the day after, for three months.
//!
//! A bill is asked for in two steps. The first reply is signed and holds an address, good for 5
//! minutes, and the SHA-1 of the file; the file itself is not signed, and counts when it has this
//! hash.
//!
//! A file is UTF-8, with or without a byte order mark: a line of column names, a line for each row,
//! a line of names of totals, a line of totals. The cells of rows and totals begin with a backtick
//! and are separated by commas. Amounts are yuan with two decimals, times are Beijing's.
//!
//! Source: WeChat Pay documentation, "申请交易账单API" and "申请资金账单API", and the pages on their
//! columns.

use serde::Deserialize;
use sha1::{Digest, Sha1};
use thiserror::Error;

use super::Merchant;
use super::error::Failed;
use super::sign::Stamp;
use super::wire::read_json;
use crate::crypto::{Crypto, upper_hex};
use crate::http::{Reply, Request, SignedReply, query};
use crate::payment::{BuildError, Doubt, RefundStatus, Refusal, fen_of_yuan, is_id};
use crate::time::beijing_ms;

/// The longest bill read, in bytes: about 30 000 rows. Whoever receives the file stops there too.
pub const MAX_BILL_BYTES: usize = 16 * 1024 * 1024;

/// The longest address of a file, in bytes.
const MAX_PATH_BYTES: usize = 1024;

/// Where the file of a bill is, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillUrl {
    path_and_query: String,
    sha1: String,
}

/// What became of the question for a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillOutcome {
    /// It can be downloaded within 5 minutes.
    Ready(BillUrl),
    /// There was nothing that day.
    Empty,
    /// It is not made yet, or the date is not one that can be asked for: later.
    NotYet(Refusal),
    /// Asking again will not help.
    Refused(Refusal),
    /// Ask again.
    Unknown(Doubt),
}

/// A bill that cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BillError {
    /// The file did not come.
    #[error("the file's HTTP status is {0}")]
    Status(u16),
    /// It is longer than [`MAX_BILL_BYTES`].
    #[error("the file is too long")]
    TooLong,
    /// It is not the file whose hash was signed.
    #[error("the file's hash is not the one that was signed")]
    Hash,
    /// It is not written as it should be.
    #[error("line {line}: {reason}")]
    Malformed {
        /// The line, from 1; 0 for the whole file.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Its rows do not add up to its totals.
    #[error("the rows do not add up to the total: {0}")]
    Total(&'static str),
}

/// What a row of a trade bill is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeKind {
    /// A payment.
    Payment,
    /// A refund, and where it stood when the bill was made.
    Refund(RefundStatus),
    /// A payment by code that was taken back at once.
    Revoked,
}

/// A row of a trade bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeRow {
    /// What it is about.
    pub kind: TradeKind,
    /// Our number of the order.
    pub out_trade_no: String,
    /// WeChat Pay's number of the order.
    pub transaction_id: String,
    /// Our number of the refund.
    pub out_refund_no: Option<String>,
    /// WeChat Pay's number of the refund.
    pub refund_id: Option<String>,
    /// The order's price, or what was asked to go back, in fen.
    pub amount_fen: i64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A trade bill whose rows add up to its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeBill {
    /// The rows, in the file's order.
    pub rows: Vec<TradeRow>,
    /// The prices of all orders paid that day, in fen.
    pub paid_fen: i64,
    /// All that was asked to go back that day, in fen.
    pub refund_fen: i64,
}

/// Which way money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the account (收入).
    In,
    /// Out of the account (支出).
    Out,
}

/// A row of a fund-flow bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundFlow {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// WeChat Pay's number of what it was for.
    pub business_id: String,
    /// What it was for (业务类型): 交易, 退款, 扣除交易手续费, ….
    pub business_type: String,
    /// Which way.
    pub direction: Direction,
    /// How much, in fen.
    pub amount_fen: i64,
    /// What the account held after, in fen.
    pub balance_fen: i64,
}

/// A fund-flow bill whose rows add up to its totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundFlowBill {
    /// The rows, in the file's order.
    pub rows: Vec<FundFlow>,
    /// All that came in, in fen.
    pub in_fen: i64,
    /// All that went out, in fen.
    pub out_fen: i64,
}

#[derive(Deserialize)]
struct BillWire {
    hash_type: String,
    hash_value: String,
    download_url: String,
}

impl Merchant {
    /// Asks for the trade bill of a day, in Beijing: all payments and refunds.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn trade_bill(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        day: chrono::NaiveDate,
    ) -> Result<Request, BuildError> {
        let query = query(&[("bill_date", &day.to_string()), ("bill_type", "ALL")]);
        self.get(crypto, stamp, &format!("/v3/bill/tradebill?{query}")).await
    }

    /// Asks for the fund-flow bill of a day, in Beijing: all that moved in the basic account.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn fund_flow_bill(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        day: chrono::NaiveDate,
    ) -> Result<Request, BuildError> {
        let query = query(&[("bill_date", &day.to_string()), ("account_type", "BASIC")]);
        self.get(crypto, stamp, &format!("/v3/bill/fundflowbill?{query}")).await
    }

    /// Reads the reply to [`trade_bill`](Self::trade_bill) or
    /// [`fund_flow_bill`](Self::fund_flow_bill).
    ///
    /// | reply | outcome |
    /// |---|---|
    /// | 200, signed | `Ready` |
    /// | `NO_STATEMENT_EXIST` | `Empty` |
    /// | any other code with 400 | `NotYet` |
    /// | any other code with 401, 403, 404 | `Refused` |
    /// | any other | `Unknown` |
    pub async fn read_bill_url(
        &self,
        crypto: &impl Crypto,
        now_unix_seconds: i64,
        reply: SignedReply<'_>,
    ) -> BillOutcome {
        let body = match self.success(crypto, now_unix_seconds, reply).await {
            Ok(body) => body,
            Err(failed) if failed.is("NOSTATEMENTEXIST") => return BillOutcome::Empty,
            Err(failed) => {
                return match failed.into_refusal() {
                    Ok(refusal) if reply.status == 400 => BillOutcome::NotYet(refusal),
                    Ok(refusal) => BillOutcome::Refused(refusal),
                    Err(doubt) => BillOutcome::Unknown(doubt),
                };
            }
        };
        let url = read_json::<BillWire>(body).and_then(BillUrl::of_wire);
        url.map_or_else(
            || {
                let reason = "the reply does not hold an address and a SHA-1";
                BillOutcome::Unknown(Failed::because(reply, reason).into_doubt())
            },
            BillOutcome::Ready,
        )
    }

    /// Downloads the file of a bill. The request goes to this merchant's own base address, whatever
    /// host the reply named: nobody else gets our signature.
    ///
    /// # Errors
    /// [`BuildError::Crypto`].
    pub async fn download_bill(
        &self,
        crypto: &impl Crypto,
        stamp: Stamp,
        bill: &BillUrl,
    ) -> Result<Request, BuildError> {
        self.get(crypto, stamp, &bill.path_and_query).await
    }
}

impl BillUrl {
    fn of_wire(wire: BillWire) -> Option<Self> {
        let (_scheme, rest) = wire.download_url.split_once("://")?;
        let path_and_query = rest.get(rest.find('/')?..)?.to_owned();
        let sound = wire.hash_type == "SHA1"
            && wire.hash_value.len() == 40
            && path_and_query.len() <= MAX_PATH_BYTES
            && path_and_query.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        sound.then(|| Self { path_and_query, sha1: wire.hash_value.to_ascii_uppercase() })
    }

    /// The file, when it is the one whose hash was signed.
    ///
    /// # Errors
    /// [`BillError::Status`], [`BillError::TooLong`], [`BillError::Hash`].
    pub fn file<'a>(&self, reply: Reply<'a>) -> Result<&'a [u8], BillError> {
        if reply.status != 200 {
            return Err(BillError::Status(reply.status));
        }
        if reply.body.len() > MAX_BILL_BYTES {
            return Err(BillError::TooLong);
        }
        if upper_hex(&Sha1::digest(reply.body)) != self.sha1 {
            return Err(BillError::Hash);
        }
        Ok(reply.body)
    }
}

const TRADE_COLUMNS: &str = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,\
    用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,\
    退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,\
    费率备注";
const TRADE_TOTALS: &str = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,\
    订单总金额,申请退款总金额";
const FLOW_COLUMNS: &str = "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,\
    收支金额(元),账户结余(元),资金变更提交申请人,备注,业务凭证号";
const FLOW_TOTALS: &str = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额";

impl TradeBill {
    /// Reads a file. Its rows are counted and added up against its totals.
    ///
    /// # Errors
    /// [`BillError::Malformed`], [`BillError::Total`].
    pub fn parse(file: &[u8]) -> Result<Self, BillError> {
        let table: Table<'_, 27, 7> = Table::parse(file, TRADE_COLUMNS, TRADE_TOTALS)?;
        let (mut paid_fen, mut refund_fen) = (0, 0);
        let mut rows = Vec::new();
        for (line, cells) in &table.rows {
            let row = TradeRow::of(cells)
                .map_err(|reason| BillError::Malformed { line: *line, reason })?;
            match row.kind {
                TradeKind::Refund(_) => refund_fen += row.amount_fen,
                TradeKind::Payment | TradeKind::Revoked => paid_fen += row.amount_fen,
            }
            rows.push(row);
        }
        let [count, _, _, _, _, paid, refunded] = table.totals;
        check_total("总交易单数", count.parse().ok(), rows.len() as i64)?;
        check_total("订单总金额", fen_of_yuan(paid), paid_fen)?;
        check_total("申请退款总金额", fen_of_yuan(refunded), refund_fen)?;
        Ok(Self { rows, paid_fen, refund_fen })
    }
}

impl TradeRow {
    fn of(cells: &[&str; 27]) -> Result<Self, &'static str> {
        let [at, _, _, _, _, transaction_id, out_trade_no, _, _, state, rest @ ..] = cells;
        let [_, _, _, _, refund_id, out_refund_no, _, _, _, refund_state, rest @ ..] = rest;
        let [_, _, _, _, price, refunded, _] = rest;
        let id = |text: &str, reason| is_id(text).then(|| text.to_owned()).ok_or(reason);
        let is_refund = *state == "REFUND";
        let kind = match *state {
            "SUCCESS" => TradeKind::Payment,
            "REVOKED" => TradeKind::Revoked,
            "REFUND" => TradeKind::Refund(match *refund_state {
                "SUCCESS" => RefundStatus::Succeeded,
                "FAIL" => RefundStatus::Closed,
                "CHANGE" => RefundStatus::Abnormal,
                _ => RefundStatus::Processing,
            }),
            _ => return Err("交易状态 is not one the documents name"),
        };
        let refund = |text: &str, reason| is_refund.then(|| id(text, reason)).transpose();
        Ok(Self {
            kind,
            out_trade_no: id(out_trade_no, "商户订单号 is malformed")?,
            transaction_id: id(transaction_id, "微信订单号 is malformed")?,
            out_refund_no: refund(out_refund_no, "商户退款单号 is malformed")?,
            refund_id: refund(refund_id, "微信退款单号 is malformed")?,
            amount_fen: fen_of_yuan(if is_refund { refunded } else { price })
                .ok_or("the amount is malformed")?,
            at_ms: beijing_ms(at).ok_or("交易时间 is malformed")?,
        })
    }
}

impl FundFlowBill {
    /// Reads a file. Its rows are counted and added up against its totals.
    ///
    /// # Errors
    /// [`BillError::Malformed`], [`BillError::Total`].
    pub fn parse(file: &[u8]) -> Result<Self, BillError> {
        let table: Table<'_, 11, 5> = Table::parse(file, FLOW_COLUMNS, FLOW_TOTALS)?;
        let mut sums = [(0, 0), (0, 0)];
        let mut rows = Vec::new();
        for (line, cells) in &table.rows {
            let row = FundFlow::of(cells)
                .map_err(|reason| BillError::Malformed { line: *line, reason })?;
            let [came, went] = &mut sums;
            let (count, fen) = if row.direction == Direction::In { came } else { went };
            *count += 1;
            *fen += row.amount_fen;
            rows.push(row);
        }
        let [(in_count, in_fen), (out_count, out_fen)] = sums;
        let [count, ins, in_yuan, outs, out_yuan] = table.totals;
        check_total("资金流水总笔数", count.parse().ok(), rows.len() as i64)?;
        check_total("收入笔数", ins.parse().ok(), in_count)?;
        check_total("收入金额", fen_of_yuan(in_yuan), in_fen)?;
        check_total("支出笔数", outs.parse().ok(), out_count)?;
        check_total("支出金额", fen_of_yuan(out_yuan), out_fen)?;
        Ok(Self { rows, in_fen, out_fen })
    }
}

impl FundFlow {
    fn of(cells: &[&str; 11]) -> Result<Self, &'static str> {
        let [at, business_id, _, _, business_type, direction, amount, balance, _, _, _] = cells;
        Ok(Self {
            at_ms: beijing_ms(at).ok_or("记账时间 is malformed")?,
            business_id: (*business_id).to_owned(),
            business_type: (*business_type).to_owned(),
            direction: match *direction {
                "收入" => Direction::In,
                "支出" => Direction::Out,
                _ => return Err("收支类型 is neither 收入 nor 支出"),
            },
            amount_fen: fen_of_yuan(amount).ok_or("收支金额(元) is malformed")?,
            balance_fen: fen_of_yuan(balance).ok_or("账户结余(元) is malformed")?,
        })
    }
}

fn check_total(name: &'static str, said: Option<i64>, found: i64) -> Result<(), BillError> {
    if said == Some(found) { Ok(()) } else { Err(BillError::Total(name)) }
}

/// A file's cells: rows of `N`, with their line numbers, and `M` totals.
struct Table<'a, const N: usize, const M: usize> {
    rows: Vec<(usize, [&'a str; N])>,
    totals: [&'a str; M],
}

impl<'a, const N: usize, const M: usize> Table<'a, N, M> {
    fn parse(file: &'a [u8], columns: &str, totals: &str) -> Result<Self, BillError> {
        let malformed = |line, reason| BillError::Malformed { line, reason };
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let text = std::str::from_utf8(file).map_err(|_| malformed(0, "the file is not UTF-8"))?;
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end()));
        let (_, first) = lines.next().unwrap_or_default();
        if !is_header(first, columns) {
            return Err(malformed(1, "the columns are not those of the documents"));
        }
        let mut rows = Vec::new();
        loop {
            let (at, line) = lines.next().ok_or(malformed(0, "the totals are missing"))?;
            if is_header(line, totals) {
                break;
            }
            rows.push((at, cells(line).map_err(|reason| malformed(at, reason))?));
        }
        let (at, line) = lines.next().ok_or(malformed(0, "the totals are missing"))?;
        let totals = cells(line).map_err(|reason| malformed(at, reason))?;
        match lines.find(|(_, line)| !line.is_empty()) {
            None => Ok(Self { rows, totals }),
            Some((at, _)) => Err(malformed(at, "something follows the totals")),
        }
    }
}

/// Whether a line holds these names. Some bills mark them as cells, most do not.
fn is_header(line: &str, names: &str) -> bool {
    line.split(',').map(|name| name.strip_prefix('`').unwrap_or(name)).eq(names.split(','))
}

/// Splits a line at commas that a backtick follows: a product's name may have a comma, and ours no
/// backtick.
fn cells<const N: usize>(line: &str) -> Result<[&str; N], &'static str> {
    let line = line.strip_prefix('`').ok_or("a cell does not begin with a backtick")?;
    let mut cells = line.split(",`").map(str::trim);
    let mut row = [""; N];
    for cell in &mut row {
        *cell = cells.next().ok_or("there are too few cells")?;
    }
    if cells.next().is_some() {
        return Err("there are too many cells");
    }
    Ok(row)
}
