//! The payment vendors as a test plays them: the customer pays, notices are lost or forged, refunds end,
//! and what the vendors' own books say. `sandbox/README.md`, "Payments", tells what each call does.
//!
//! Money is in fen, instants are UTC milliseconds. A number (`out_trade_no`, `out_refund_no`) is the
//! merchant's; where both vendors have the same one, [`Vendors::only`] says which is meant.
//!
//! ```no_run
//! # async fn example() {
//! use zhundian_tests::Stack;
//! use zhundian_tests::money::{Fault, Forgery, Notify, Pay, Provider};
//! let stack = Stack::start().await;
//! let vendors = stack.vendors();
//! vendors.fault(Fault::new(Provider::WechatPay, "error500").after().times(2)).await;
//! // … the Worker orders T1 …
//! let forged = vendors.forge("T1", Forgery::WrongAmount).await;
//! assert_ne!(forged.status, Some(200));
//! vendors.pay_as("T1", &Pay { notify: Notify::Twice, ..Pay::default() }).await.check(200);
//! vendors.accepted("T1", 2).await;
//! assert_eq!(vendors.payment("T1").await.expect("ordered").amount, 19_800);
//! # }
//! ```

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::{Api, Reply};
use crate::eventually;
use crate::stack::Stack;

/// A notification that somebody waits for was accepted by then.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);
/// The most payments on a page.
const PAGE: u32 = 1_000;

/// A payment vendor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// WeChat Pay.
    WechatPay,
    /// Alipay.
    Alipay,
}

/// How the customer pays. The default is within the deadline, the whole amount, and one notification.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Pay {
    /// The deadline may have passed, for the payment was under way by then; the order must be open.
    pub late: bool,
    /// At this time of so many days ago, so that a bill that is there has it.
    pub days_ago: u32,
    /// What the vendor tells the merchant of it.
    pub notify: Notify,
    /// Who scans a Native code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openid: Option<String>,
    /// What the customer pays when a coupon pays the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer_total: Option<i64>,
}

/// What becomes of a payment's notification.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notify {
    /// It is sent until the merchant accepts it.
    #[default]
    Once,
    /// The same, but the first attempt is lost.
    Lost,
    /// Two notifications, each with its id.
    Twice,
    /// None.
    Never,
}

/// Everything that a vendor knows of an order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The vendor.
    pub provider: Provider,
    /// The merchant at the vendor: its mchid at WeChat Pay, its seller id at Alipay.
    pub merchant: String,
    /// The merchant's number.
    pub out_trade_no: String,
    /// `JSAPI`, `NATIVE`; Alipay's.
    pub trade_type: String,
    /// What was ordered.
    pub amount: i64,
    /// As the vendor calls it: `NOTPAY`, `SUCCESS`, `REFUND`, `CLOSED`; `NEW` (no code was scanned yet),
    /// `WAIT_BUYER_PAY`, `TRADE_SUCCESS`, `TRADE_CLOSED`.
    pub state: String,
    /// The vendor's number.
    pub transaction_id: Option<String>,
    /// When it was ordered.
    pub created_at: i64,
    /// When nobody can pay it any more.
    pub expires_at: i64,
    /// When it was paid.
    pub paid_at: Option<i64>,
    /// In the order in which they were asked for.
    pub refunds: Vec<Refund>,
    /// What the merchant was sent, and what became of it; the last hundred.
    pub notifications: Vec<Notification>,
    /// What the mini program's shipping call said, if it came.
    pub shipping: Option<Value>,
}

impl Payment {
    /// Whether the customer's money came, whatever was given back since.
    pub fn is_paid(&self) -> bool {
        self.paid_at.is_some()
    }

    /// What the customer has back.
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().filter(|one| one.status == "SUCCESS").map(|one| one.amount).sum()
    }
}

/// A refund at a vendor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// The merchant's number.
    pub out_refund_no: String,
    /// The vendor's.
    pub refund_id: Option<String>,
    /// How much.
    pub amount: i64,
    /// `PROCESSING`, `SUCCESS`, `ABNORMAL`, `CLOSED`.
    pub status: String,
    /// When it was asked for.
    pub created_at: i64,
    /// When it came to its end.
    pub ended_at: Option<i64>,
}

/// One attempt to tell the merchant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notification {
    /// The vendor's name for what happened, such as `TRANSACTION.SUCCESS`.
    pub kind: String,
    /// 1 for the first.
    pub attempt: u32,
    /// When.
    pub at: i64,
    /// `accepted`, `refused`, `failed`, `lost`.
    pub outcome: String,
    /// The merchant's status, if it answered.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// The money of one merchant at one vendor, all orders together.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// The vendor.
    pub provider: Provider,
    /// The merchant at the vendor.
    pub merchant: String,
    /// How many orders were paid.
    pub payments: u32,
    /// What came in, before refunds.
    pub paid: i64,
    /// How many refunds were done.
    pub refunds: u32,
    /// What went out.
    pub refunded: i64,
    /// What is in refunds that are `PROCESSING` or `ABNORMAL`.
    pub refunding: i64,
}

/// How notifications go astray; the default is not at all.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Astray {
    /// The next so many attempts are lost.
    pub lose: u32,
    /// Each attempt is late by this, until changed.
    pub delay_ms: u32,
    /// Each notification is sent so many times more, until changed.
    pub repeat: u32,
    /// The next so many wait for each other and go last first.
    pub reorder: u32,
}

/// A notification that the vendor did not send, or sent wrong, claiming that an order was paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgery {
    /// Signed rightly, with another amount.
    WrongAmount,
    /// Signed rightly, of another merchant.
    WrongMerchant,
    /// Signed rightly, of another app.
    WrongApp,
    /// Signed rightly, in another currency (WeChat Pay).
    OtherCurrency,
    /// Signed rightly, ten minutes ago (WeChat Pay).
    Stale,
    /// Signed wrong.
    BadSignature,
    /// WeChat Pay's own probe of the merchant's verification.
    Signtest,
    /// Signed with a key that nobody knows (WeChat Pay).
    UnknownSerial,
}

impl Forgery {
    /// All that WeChat Pay may be imitated in.
    pub const OF_WECHAT_PAY: [Self; 8] = [
        Self::WrongAmount,
        Self::WrongMerchant,
        Self::WrongApp,
        Self::OtherCurrency,
        Self::Stale,
        Self::BadSignature,
        Self::Signtest,
        Self::UnknownSerial,
    ];
    /// All that Alipay may be imitated in.
    pub const OF_ALIPAY: [Self; 4] =
        [Self::WrongAmount, Self::WrongMerchant, Self::WrongApp, Self::BadSignature];
}

/// What the merchant said to a forged or repeated notification.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Its status, if it answered.
    pub status: Option<u16>,
    /// Its body, if it answered.
    pub body: Option<String>,
    /// Why there was no answer.
    pub error: Option<String>,
}

/// How a refund ends that was held; Alipay has no `Abnormal`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RefundEnd {
    /// The customer has the money.
    Success,
    /// The customer's account did not take it; it may still end in another way.
    Abnormal,
    /// It came to nothing.
    Closed,
}

/// A key of WeChat Pay's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SigningKey {
    /// The public key, of which the Worker is told (`WECHAT_PAY_KEYS`).
    PublicKey,
    /// The platform certificate, which the Worker fetches.
    Certificate,
}

/// Trouble for the Worker's next calls to a vendor.
#[derive(Clone, Debug)]
pub struct Fault(Map<String, Value>);

impl Fault {
    /// For one call, at any path; the kinds are in the table of `sandbox/README.md`.
    pub fn new(provider: Provider, kind: &str) -> Self {
        Self(Map::new()).with("provider", json!(provider)).with("kind", kind.into())
    }

    /// At this path only, written as the table of the sandbox's routes writes it.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        self.with("path", path.into())
    }

    /// In this method of Alipay's only.
    #[must_use]
    pub fn operation(self, method: &str) -> Self {
        self.with("operation", method.into())
    }

    /// So many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        self.with("times", times.into())
    }

    /// Each call with this probability only.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        self.with("probability", probability.into())
    }

    /// The vendor does its work first; `delay`, `hang`, `drop`, `error500` and `garbage` only.
    #[must_use]
    pub fn after(self) -> Self {
        self.with("after", true.into())
    }

    /// Late by this; `delay` only.
    #[must_use]
    pub fn delay_ms(self, ms: u32) -> Self {
        self.with("delay_ms", ms.into())
    }

    /// Refused with this code; `refuse` only.
    #[must_use]
    pub fn errcode(self, code: &str) -> Self {
        self.with("errcode", code.into())
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.0.insert(field.to_owned(), value);
        self
    }
}

impl Stack {
    /// Both payment vendors.
    pub fn vendors(&self) -> Vendors {
        Vendors { sandbox: self.sandbox().clone(), only: None }
    }
}

/// The payment vendors' side of a stack. A call that the sandbox refuses panics with its answer, unless
/// it returns a [`Reply`].
#[derive(Clone, Debug)]
pub struct Vendors {
    sandbox: Api,
    only: Option<Provider>,
}

impl Vendors {
    /// This one alone: where both have a number, and for [`Vendors::payments`] and
    /// [`Vendors::hold_refunds`].
    #[must_use]
    pub fn only(mut self, provider: Provider) -> Self {
        self.only = Some(provider);
        self
    }

    /// The customer pays. The vendor's number of the payment.
    pub async fn pay(&self, out_trade_no: &str) -> String {
        let paid = self.pay_as(out_trade_no, &Pay::default()).await.expect(200);
        paid.text("/transaction_id").to_owned()
    }

    /// The customer tries to pay in this way: 200 with `transaction_id` and `state`; 409 with `error` and
    /// `state` when the vendor lets nobody pay it; 404 when there is no such order.
    pub async fn pay_as(&self, out_trade_no: &str, how: &Pay) -> Reply {
        self.post("/pay", of_order(out_trade_no, &json!(how))).await
    }

    /// The customer tries and does not pay; at Alipay the code is scanned by that. The order's state.
    pub async fn pay_fails(&self, out_trade_no: &str) -> String {
        let reply = self.post("/pay-fail", of_order(out_trade_no, &Value::Null)).await.expect(200);
        reply.text("/state").to_owned()
    }

    /// What the vendor knows of a number; nothing, if the merchant never ordered it.
    pub async fn payment(&self, out_trade_no: &str) -> Option<Payment> {
        let query = format!("out_trade_no={out_trade_no}{}", self.in_query());
        let (mut found, _) = self.page(&query).await;
        assert!(found.len() < 2, "{out_trade_no} is at both vendors: use `only`");
        found.pop()
    }

    /// All orders, the oldest first.
    pub async fn payments(&self) -> Vec<Payment> {
        let mut all = Vec::new();
        let mut cursor = Some("0".to_owned());
        while let Some(from) = cursor {
            let query = format!("limit={PAGE}&cursor={from}{}", self.in_query());
            let (page, next) = self.page(&query).await;
            all.extend(page);
            cursor = next;
        }
        all
    }

    /// The vendors' books: a line for each vendor and merchant that anything was paid to.
    pub async fn money(&self) -> Vec<Money> {
        let reply = self.sandbox.get("/money").await.expect(200);
        read(&reply, "/money")
    }

    /// Waits until the merchant has accepted so many notifications of an order.
    pub async fn accepted(&self, out_trade_no: &str, count: usize) {
        let what = format!("{count} accepted notifications of {out_trade_no}");
        eventually(&what, ACCEPTED_WITHIN, async || {
            let payment = self.payment(out_trade_no).await?;
            let accepted = payment.notifications.iter().filter(|one| one.outcome == "accepted");
            (accepted.count() >= count).then_some(())
        })
        .await;
    }

    /// From now on notifications go astray like this; `Astray::default()` ends it.
    pub async fn notifications(&self, how: Astray) {
        self.sandbox.post("/notifications", json!(how)).await.check(200);
    }

    /// Sends the merchant a forged notification: what it answered.
    pub async fn forge(&self, out_trade_no: &str, kind: Forgery) -> Answer {
        let body = of_order(out_trade_no, &json!({"kind": kind}));
        let reply = self.post("/forge", body).await.expect(200);
        read(&reply, "")
    }

    /// Sends the last genuine notification of an order again, byte for byte: the answers in their order.
    pub async fn replay(&self, out_trade_no: &str, times: u32) -> Vec<Answer> {
        let body = of_order(out_trade_no, &json!({"times": times}));
        let reply = self.post("/replay", body).await.expect(200);
        read(&reply, "/answers")
    }

    /// From now on refunds stay in `PROCESSING`, until [`Vendors::end_refund`]; or no longer do.
    pub async fn hold_refunds(&self, hold: bool) {
        self.post("/refunds/mode", json!({"hold": hold})).await.check(200);
    }

    /// A refund that was held ends. The payment's state.
    pub async fn end_refund(&self, out_refund_no: &str, end: RefundEnd) -> String {
        self.end_refund_days_ago(out_refund_no, end, 0).await
    }

    /// As [`Vendors::end_refund`], at this time of so many days ago.
    pub async fn end_refund_days_ago(&self, no: &str, end: RefundEnd, days: u32) -> String {
        let body = json!({"out_refund_no": no, "status": end, "days_ago": days});
        let reply = self.post("/refunds/end", body).await.expect(200);
        reply.text("/state").to_owned()
    }

    /// From now on trouble strikes calls to the vendors and their notifications, each with this
    /// probability; the same seed gives the same sequence.
    pub async fn start_chaos(&self, seed: u32, probability: f64) {
        let body = json!({"seed": seed, "probability": probability});
        self.sandbox.post("/chaos", body).await.check(200);
    }

    /// As [`Vendors::start_chaos`], of these kinds alone: `error500`, `drop`, `after_drop`,
    /// `after_error500`, `hang`; `lose`, `delay`, `repeat`, `reorder`.
    pub async fn start_chaos_of(&self, seed: u32, probability: f64, kinds: &[&str]) {
        let body = json!({"seed": seed, "probability": probability, "kinds": kinds});
        self.sandbox.post("/chaos", body).await.check(200);
    }

    /// Ends the chaos. Notifications that are repeated or late go on.
    pub async fn stop_chaos(&self) {
        self.sandbox.delete("/chaos").await.check(200);
    }

    /// The Worker's next call that it fits meets this trouble.
    pub async fn fault(&self, fault: Fault) {
        self.sandbox.post("/faults", fault.0).await.check(200);
    }

    /// Takes back the faults of every service that still wait: how many.
    pub async fn clear_faults(&self) -> u64 {
        let reply = self.sandbox.delete("/faults").await.expect(200);
        reply.body["cleared"].as_u64().expect("a number")
    }

    /// From now on WeChat Pay signs answers and notifications with this key.
    pub async fn sign_with(&self, key: SigningKey) {
        self.sandbox.post("/wechat-pay/signing-key", json!({"use": key})).await.check(200);
    }

    /// Whether today's bills are there today, and not tomorrow.
    pub async fn bills_early(&self, early: bool) {
        self.sandbox.post("/bills", json!({"early": early})).await.check(200);
    }

    async fn page(&self, query: &str) -> (Vec<Payment>, Option<String>) {
        let reply = self.sandbox.get(format!("/payments?{query}")).await.expect(200);
        (read(&reply, "/payments"), read(&reply, "/next_cursor"))
    }

    /// A call about a number, of the one vendor if there is only one.
    async fn post(&self, path: &str, mut body: Value) -> Reply {
        if let Some(provider) = self.only {
            body["provider"] = json!(provider);
        }
        self.sandbox.post(path, body).await
    }

    fn in_query(&self) -> &'static str {
        match self.only {
            None => "",
            Some(Provider::WechatPay) => "&provider=wechat_pay",
            Some(Provider::Alipay) => "&provider=alipay",
        }
    }
}

/// The fields with the order's number among them.
fn of_order(out_trade_no: &str, fields: &Value) -> Value {
    let mut body = fields.as_object().cloned().unwrap_or_default();
    body.insert("out_trade_no".into(), out_trade_no.into());
    body.into()
}

/// What the sandbox answered, at this JSON pointer.
fn read<T: DeserializeOwned>(reply: &Reply, pointer: &str) -> T {
    let value = reply.body.pointer(pointer);
    let value = value.unwrap_or_else(|| panic!("{}: no {pointer}: {}", reply.what, reply.body));
    T::deserialize(value).unwrap_or_else(|why| panic!("{}: {why}: {}", reply.what, reply.body))
}
