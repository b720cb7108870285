//! Appointments that are paid for, made and followed the way customers make and follow them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, Reply};
use crate::stack::Stack;
use crate::world::{Shop, date};
use crate::{eventually, now_ms};

/// What follows a payment by itself is done by then.
const DONE_WITHIN: Duration = Duration::from_secs(20);

/// An instant in Shanghai so many days from today, as `10:00`, in the form that the API takes.
pub fn at(days_from_today: i64, clock: &str) -> String {
    format!("{}T{clock}:00+08:00", date(days_from_today))
}

/// The instant of an RFC 3339 text, in UTC milliseconds.
pub fn ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).expect("an instant").timestamp_millis()
}

/// A member's appointment.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The member.
    pub member: Api,
    /// The order's id.
    pub order: String,
    /// Its start, RFC 3339.
    pub start_at: String,
}

impl Visit {
    /// A new member books this start, to be paid online.
    pub async fn online(stack: &Stack, shop: &Shop, start_at: &str) -> Self {
        Self::of(&stack.some_member().await, shop, start_at, "online").await
    }

    /// A member books this start, to be paid in this way.
    pub async fn of(member: &Api, shop: &Shop, start_at: &str, payment: &str) -> Self {
        let mut body = shop.booking(None, start_at);
        body["payment"] = payment.into();
        let booked = member.post("/api/v1/bookings", body).idempotent().await.expect(201);
        let order = booked.text("/order/id").to_owned();
        Self { member: member.clone(), order, start_at: start_at.to_owned() }
    }

    /// A new member books, and has paid in the mini program.
    pub async fn paid(stack: &Stack, shop: &Shop, start_at: &str) -> (Self, String) {
        let visit = Self::online(stack, shop, start_at).await;
        let payment = visit.asks("wechat_jsapi").await;
        stack.vendors().pay(&payment).await;
        visit.becomes("confirmed").await;
        (visit, payment)
    }

    /// The order as its member sees it, with its timeline.
    pub async fn detail(&self) -> Value {
        self.member.get(format!("/api/v1/orders/{}", self.order)).await.expect(200).body
    }

    /// The order as its member sees it.
    pub async fn see(&self) -> Value {
        self.detail().await["order"].clone()
    }

    /// The kinds of what happened to it, oldest first.
    pub async fn timeline(&self) -> Vec<String> {
        let detail = self.detail().await;
        let events = detail["timeline"].as_array().expect("events");
        events.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect()
    }

    /// Asks for what lets the member pay, with a new `Idempotency-Key`.
    pub async fn pay(&self, channel: &str) -> Reply {
        let path = format!("/api/v1/orders/{}/pay", self.order);
        self.member.post(path, json!({"channel": channel})).idempotent().await
    }

    /// As [`Visit::pay`], which succeeds: the payment's number.
    pub async fn asks(&self, channel: &str) -> String {
        self.pay(channel).await.expect(200).text("/payment/id").to_owned()
    }

    /// The member gives it up: the order.
    pub async fn cancel(&self) -> Value {
        let path = format!("/api/v1/orders/{}/cancel", self.order);
        self.member.post(path, json!({})).await.expect(200).body["order"].clone()
    }

    /// Waits until the order has this status: the order.
    pub async fn becomes(&self, status: &str) -> Value {
        self.is(&format!("status {status}"), |order| order["status"] == status).await
    }

    /// Waits until the order is so.
    pub async fn is(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("order {}: {what}", self.order);
        eventually(&what, DONE_WITHIN, async || Some(self.see().await).filter(&so)).await
    }
}

impl Stack {
    /// Waits until D1 answers so to a question whose one column is `it`.
    pub async fn d1_becomes(&self, sql: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut last = Value::Null;
        let until = now_ms() + 20_000;
        while now_ms() < until {
            last = self.it(sql);
            if last == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{sql}: {last} and not {expected}");
    }

    /// What D1 answers to a question with one row, whose one column is `it`.
    #[track_caller]
    pub fn it(&self, sql: &str) -> Value {
        let mut rows = self.d1(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)["it"].take()
    }

    /// What an account holds, in fen.
    pub fn balance(&self, account: &str) -> i64 {
        let sql = format!(
            "SELECT coalesce(sum(balance_fen), 0) AS it FROM account WHERE id = '{account}'"
        );
        self.it(&sql).as_i64().expect("a number")
    }

    /// What the Worker logged of a request, once it did.
    pub async fn logged(&self, reply: &Reply) -> Value {
        let id = reply.header("x-request-id").to_owned();
        eventually("the request's log line", DONE_WITHIN, async || {
            let log = self.worker_log();
            let line =
                log.lines().find(|line| line.contains(&id) && line.contains("d1_batches"))?;
            let json = line.get(line.find('{')?..=line.rfind('}')?)?;
            serde_json::from_str(json).ok()
        })
        .await
    }
}
