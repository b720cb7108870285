//! Who is told what. The clock is moved by moving everything that D1 says of times the other way, while the
//! Worker is down: for the job it is as if so much time had passed without a run.

use serde_json::{Value, json};

use crate::api::Api;
use crate::stack::Stack;
use crate::visit::Visit;
use crate::world::{Shop, some_phone};
use crate::{now_ms, random};

const MINUTELY: &str = "* * * * *";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// As long as WeChat's are.
pub fn template(kind: &str) -> String {
    format!("{kind:-<43}")
}

/// Kinds to customers, from this SMS template on, and to technicians.
const TO_CUSTOMERS: (usize, [&str; 8]) = (
    1_000_002,
    ["lost", "booked", "changed", "cancelled", "before", "plan", "waitlist_offer", "proposal"],
);
const TO_TECHNICIANS: (usize, [&str; 6]) =
    (1_000_013, ["booked", "changed", "cancelled", "before", "asked", "offered"]);

/// A stack that tells everything, with these quiet hours. What technicians hear says of how many sessions.
pub async fn stack_with(quiet: &str) -> Stack {
    let entries = |(first, kinds): (usize, &[&str]), before: &str, says: &str| {
        let all = kinds.iter().zip(first..);
        all.map(|(kind, id)| format!("{before}{kind}={id} {says}")).collect::<Vec<_>>().join("; ")
    };
    let customers = entries((TO_CUSTOMERS.0, &TO_CUSTOMERS.1), "", "store start sessions");
    let theirs =
        entries((TO_TECHNICIANS.0, &TO_TECHNICIANS.1), "technician.", "customer start sessions");
    let sms = format!("{customers}; {theirs}");
    let wechat: Vec<_> = ["booked", "changed", "cancelled", "before", "waitlist_offer"]
        .iter()
        .map(|kind| {
            format!("{kind}={} thing1=service date2=start phrase3=:预约提醒", template(kind))
        })
        .collect();
    let vars = [
        ("SMS_MESSAGES", sms.as_str()),
        ("WECHAT_MESSAGES", &wechat.join("; ")),
        ("WECHAT_ORDER_PAGE", "pages/order?id="),
        ("QUIET_HOURS", quiet),
    ];
    Stack::start_with(&vars).await
}

/// A customer whom SMS reaches.
pub struct Customer {
    /// Signed in.
    pub api: Api,
    /// Where SMS go.
    pub phone: String,
    /// Of WeChat.
    pub openid: Option<String>,
}

impl Customer {
    /// Who has signed in by phone.
    pub async fn by_phone(stack: &Stack) -> Self {
        let (api, phone, since) = (stack.api(), some_phone(), now_ms());
        api.post("/api/v1/auth/code", json!({"phone": phone})).await.check(202);
        let body = json!({"phone": phone, "code": stack.sms_code(&phone, since).await});
        let reply = api.post("/api/v1/auth/phone", body).await.expect(200);
        Self { api: api.clone().with_token(reply.text("/token")), phone, openid: None }
    }

    /// With an openid, and a phone besides.
    pub async fn by_wechat(stack: &Stack) -> Self {
        let openid = format!("o-{:016x}", random());
        let api = stack.member(&openid).await;
        let phone = some_phone();
        let asked = stack.sandbox().post("/phone-code", json!({"phone": phone})).await.expect(200);
        api.call(http::Method::PATCH, "/api/v1/me")
            .json(json!({"phone_code": asked.text("/code")}))
            .await
            .check(200);
        Self { api, phone, openid: Some(openid) }
    }

    /// The customer agrees in the mini program, which tells us.
    pub async fn subscribes(&self, stack: &Stack, kinds: &[&str]) {
        let ids: Vec<_> = kinds.iter().map(|kind| template(kind)).collect();
        let body = json!({"openid": self.openid, "template_ids": ids});
        stack.sandbox().post("/subscribe", body).await.check(200);
        self.says_so(kinds).await;
    }

    /// The mini program tells us alone.
    pub async fn says_so(&self, kinds: &[&str]) {
        let results: Vec<_> = kinds
            .iter()
            .map(|kind| json!({"template_id": template(kind), "result": "accept"}))
            .collect();
        self.api.post("/api/v1/me/subscriptions", json!({"results": results})).await.check(200);
    }

    /// Consents of a kind that are left.
    pub async fn balance(&self, kind: &str) -> i64 {
        let known = self.api.get("/api/v1/me/subscriptions").await.expect(200);
        let all = known.body["templates"].as_array().expect("templates").clone();
        let one = all.iter().find(|one| one["template_id"] == template(kind)).expect("it is known");
        assert_eq!(one["kinds"], json!([kind]));
        one["balance"].as_i64().expect("a number")
    }

    /// Books, to be paid at the store.
    pub async fn books(&self, shop: &Shop, start_at: &str) -> Visit {
        Visit::of(&self.api, shop, start_at, "at_store").await
    }

    /// What SMS have told them.
    pub async fn sms(&self, stack: &Stack) -> Vec<String> {
        sms_to(stack, &self.phone).await
    }

    /// What WeChat has told them.
    pub async fn wechat(&self, stack: &Stack) -> Vec<Value> {
        messages(stack, self.openid.as_deref().expect("an openid")).await
    }
}

/// What somebody has got.
pub async fn messages(stack: &Stack, to: &str) -> Vec<Value> {
    let told = stack.sandbox().get(format!("/messages?to={to}")).await.expect(200);
    told.body["messages"].as_array().expect("messages").clone()
}

/// What was told by SMS: the kinds, in order. Codes to sign in are none of it.
pub async fn sms_to(stack: &Stack, phone: &str) -> Vec<String> {
    let kind = |one: &Value| {
        let id: usize = one["template_id"].as_str().expect("text").parse().expect("a number");
        let of = |(first, kinds): (usize, &[&str])| {
            id.checked_sub(first).and_then(|at| kinds.get(at)).map(|kind| (*kind).to_owned())
        };
        let theirs = || of((TO_TECHNICIANS.0, &TO_TECHNICIANS.1));
        of((TO_CUSTOMERS.0, &TO_CUSTOMERS.1))
            .or_else(|| theirs().map(|kind| format!("technician.{kind}")))
    };
    messages(stack, phone).await.iter().filter_map(kind).collect()
}

/// A start so many minutes from now, on the grid, in the form that the API takes.
pub fn in_minutes(minutes: i64) -> String {
    let tick = (now_ms() + minutes * MINUTE) / (5 * MINUTE) * 5 * MINUTE + 5 * MINUTE;
    let at = chrono::DateTime::from_timestamp_millis(tick + 8 * HOUR).expect("an instant");
    at.format("%Y-%m-%dT%H:%M:00+08:00").to_string()
}

/// So much time passes, and no cron runs.
pub async fn passes(stack: &Stack, minutes: i64) {
    assert_eq!(minutes % 5, 0, "starts stay on the grid");
    let by = minutes * MINUTE;
    stack
        .change_d1(&format!(
            "UPDATE orders SET start_at = start_at - {by};
             UPDATE order_line SET start_at = start_at - {by}, end_at = end_at - {by},
                block_start = block_start - {by}, block_end = block_end - {by};
             UPDATE reminder SET start_at = start_at - {by}, due_at = due_at - {by},
                expires_at = expires_at - {by}, claimed_at = claimed_at - {by},
                occasion = iif(lead_minutes = 0, occasion, occasion - {by});
             UPDATE session SET start_at = start_at - {by}, end_at = end_at - {by};
             UPDATE waitlist SET from_at = from_at - {by}, until_at = until_at - {by},
                offer_start_at = offer_start_at - {by}, offer_expires_at = offer_expires_at - {by};
             UPDATE express SET from_at = from_at - {by}, until_at = until_at - {by},
                due_at = due_at - {by};"
        ))
        .await;
}

/// The job runs so many times.
pub async fn runs(stack: &Stack, times: u32) {
    for _ in 0..times {
        let _ = stack.run_cron(MINUTELY).await;
    }
}

/// What staff see of an order's messages to the customer: kind, minutes, state, channel or reason.
pub async fn told(stack: &Stack, order: &str) -> Vec<String> {
    let path = format!("/api/v1/staff/orders/{order}/messages?limit=100");
    let page = stack.owner().await.get(path).await.expect(200);
    let mut told: Vec<_> = page.body["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter(|one| one["to"] == "customer")
        .map(|one| {
            let state = one["state"].as_str().expect("a state");
            let why = if state == "sent" { &one["channel"] } else { &one["reason"] };
            let kind = one["kind"].as_str().expect("a kind");
            let line =
                format!("{kind} {} {state} {}", one["lead_minutes"], why.as_str().unwrap_or("-"));
            line
        })
        .collect();
    told.sort_unstable();
    told
}

/// The technician gets SMS: a member of staff with a phone.
pub async fn is_staff(stack: &Stack, technician: &str) -> String {
    let phone = some_phone();
    let body = json!({"phone": phone, "name": "技师", "technician_id": technician,
        "grants": [{"role": "technician"}]});
    stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);
    phone
}
