//! What an operation reads of D1 does not grow with the orders that were there before it: among thousands,
//! no request and no job reads more rows than a page of answers needs.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zhundian_tests::visit::at;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit};

/// Orders that were there before. An operation that looks through all of them reads more rows than it may.
const PAST: u32 = 10_000;
/// The most rows that an operation may read: a page of a hundred orders with what they say, or the days of
/// some calendars.
const MAY_READ: u64 = 4_000;

/// Past orders of the shop as rows, each with its line, a room, two events, its payment with both sides of
/// the ledger, and a message and answers that are not old enough to be deleted.
fn past_orders(shop: &Shop, room: &str, member: &str) -> String {
    let (store, service) = (&shop.store, &shop.service);
    let technician = &shop.technicians[0];
    let id =
        |kind: &str| format!("'{kind}' || substr('0000000000000000000000000000000' || n, -31)");
    let (order, line, payment) = (id("a"), id("b"), id("c"));
    let (room_claim, message) = (id("d"), id("e"));
    // An hour each, the last one the day before yesterday.
    let start = "(unixepoch() / 3600 - 48 - n) * 3600000";
    let of = format!(
        "WITH RECURSIVE past(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < {PAST}) SELECT"
    );
    format!(
        "INSERT INTO orders (id, member_id, store_id, service_id, status, mode, payment, total_fen,
            due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, technician_id,
            start_at, created_at, updated_at)
         WITH RECURSIVE past(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < {PAST})
         SELECT {order}, '{member}', '{store}', '{service}', iif(n % 10, 'completed', 'cancelled'),
            'direct', 'online', 19800, 19800, '[{{\"kind\":\"service\",\"fen\":19800}}]', 60, '顾客',
            '13900000000', '{technician}', {start}, {start} - 86400000, {start} FROM past;
         INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id,
            start_at, end_at, block_start, block_end, date, status, price_fen)
         {of} {line}, {order}, 'appointment', '{store}', '{service}', '{technician}', {line}, {start},
            {start} + 3600000, {start}, {start} + 3600000, date(({start}) / 1000, 'unixepoch'),
            iif(n % 10, 'live', 'cancelled'), 19800 FROM past;
         INSERT INTO line_claim (claim_id, order_id, line_id, store_id, calendar, start_at, end_at,
            block_start, block_end, quantity, status)
         {of} {room_claim}, {order}, {line}, '{store}', 'room:{room}', {start}, {start} + 3600000,
            {start}, {start} + 3600000, 1, iif(n % 10, 'live', 'cancelled') FROM past;
         INSERT INTO order_intake (line_id, order_id, service_id, form, answers, answered_at,
            answered_by_kind, answered_by, end_at)
         {of} {line}, {order}, '{service}', '{{\"version\":1,\"consent\":null,\"fields\":[]}}', '{{}}',
            {start}, 'member', '{member}', {start} + 3600000 FROM past;
         INSERT INTO order_event (id, order_id, at, kind, actor_kind)
         {of} {order}, {order}, {start}, 'booked', 'system' FROM past;
         INSERT INTO payment (id, order_id, store_id, provider, channel, amount_fen, status, description,
            transaction_id, paid_at, expires_at, check_at, created_at, updated_at)
         {of} {payment}, {order}, '{store}', 'wechat_pay', 'wechat_jsapi', 19800, 'paid', '服务',
            {payment}, {start}, {start}, {start}, {start}, {start} FROM past;
         INSERT INTO ledger_entry (account_id, op_id, delta_fen, at)
         {of} 'order:' || {order}, 'paid:' || {payment}, 19800, {start} FROM past;
         INSERT INTO ledger_entry (account_id, op_id, delta_fen, at)
         {of} 'provider:wechat_pay', 'paid:' || {payment}, 19800, {start} FROM past;
         INSERT INTO reminder (id, kind, recipient, order_id, subject, store_id, service_id,
            technician_id, start_at, occasion, due_at, expires_at, state, created_at)
         {of} {message}, 'booked', 'customer', {order}, {line}, '{store}', '{service}', '{technician}',
            {start}, 1, (unixepoch() - 86400) * 1000, {start}, 'sent', {start} FROM past;"
    )
}

/// What each route and each job has read at most.
fn read(stack: &Stack) -> BTreeMap<String, u64> {
    let mut most = BTreeMap::new();
    for line in stack.worker_log().lines() {
        let Some(line) = line.find("{\"").map(|at| &line[at..]) else { continue };
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let text = |field: &str| line[field].as_str().unwrap_or_default();
        let name = match text("event") {
            "request" => format!("{} {}", text("method"), text("route")),
            "job" => format!("job {}", text("job")),
            _ => continue,
        };
        let rows = line["d1_rows_read"].as_u64().expect("a number");
        let most = most.entry(name).or_insert(0);
        *most = rows.max(*most);
    }
    most
}

async fn done(call: zhundian_tests::Call) -> Reply {
    let reply = call.idempotent().await;
    assert!(reply.status < 300, "{} {}", reply.status, reply.body);
    reply
}

async fn see(api: &Api, paths: &[String]) {
    for path in paths {
        api.get(path).await.check(200);
    }
}

/// Every way of booking with what happens to it, and every list.
async fn a_day(stack: &Stack, shop: &Shop, classes: &Shop, plans: &Shop, member: &Api) {
    let owner = stack.owner().await;
    let (store, service) = (&shop.store, &shop.service);
    let line = |of: &Value| of["lines"][0]["id"].clone();

    // Paid, moved, given up.
    let (visit, _) = Visit::paid(stack, shop, &at(1, "10:00")).await;
    let order = visit.becomes("confirmed").await;
    let to = json!({"line_id": line(&order), "start_at": at(1, "12:00")});
    let path = format!("/api/v1/orders/{}", visit.order);
    done(visit.member.post(format!("{path}/reschedule"), to)).await;
    visit.cancel().await;
    // Paid for and given back by staff.
    let (visit, _) = Visit::paid(stack, shop, &at(1, "10:00")).await;
    let order = visit.becomes("confirmed").await;
    let staff_path = format!("/api/v1/staff/orders/{}", visit.order);
    let back = json!({"amount_fen": 100, "reason": "服务不满意"});
    done(owner.post(format!("{staff_path}/refunds"), back)).await;
    let candidates =
        format!("{staff_path}/candidates?line_id={}", line(&order).as_str().expect("an id"));
    let to = json!({"line_id": line(&order), "technician_id": shop.technicians[1]});
    done(owner.post(format!("{staff_path}/assign"), to)).await;
    see(&owner, &[candidates, staff_path.clone(), format!("{staff_path}/messages")]).await;
    // For somebody on the phone, and given up by staff.
    let mut caller = shop.booking(None, &at(2, "10:00"));
    for (field, value) in
        [("contact_name", json!("李女士")), ("contact_phone", json!("13911112222"))]
    {
        caller[field] = value;
    }
    caller.as_object_mut().expect("a body").remove("payment");
    let booked = done(owner.post("/api/v1/staff/bookings", caller)).await;
    let path = format!("/api/v1/staff/orders/{}/cancel", booked.text("/order/id"));
    owner.post(path, json!({})).await.check(200);
    // A class, its seat given up; and a plan, ended.
    let session = json!({"store_id": classes.store, "service_id": classes.service,
        "technician_id": classes.technicians[0], "capacity": 1, "starts": [at(1, "11:00")]});
    let session = done(owner.post("/api/v1/admin/sessions", session)).await;
    let class = format!("/api/v1/sessions/{}", session.text("/sessions/0/id"));
    let seat = json!({"seats": 1, "payment": "at_store"});
    let seat = done(member.post(format!("{class}/bookings"), seat)).await;
    let waits = stack.some_member().await;
    waits.post(format!("{class}/waitlist"), json!({"seats": 1})).await.check(201);
    let path = format!("/api/v1/orders/{}/cancel", seat.text("/order/id"));
    member.post(path, json!({})).await.check(200);
    let id = member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
    let plan = json!({"store_id": plans.store, "service_id": plans.service, "member_id": id,
        "technician_id": plans.technicians[0], "rhythm": "weekly", "starts": [at(1, "12:00")], "times": 10});
    let plan = done(owner.post("/api/v1/staff/plans", plan)).await;
    let plan = format!("/api/v1/staff/plans/{}", plan.text("/plan/id"));
    owner.get(&plan).await.check(200);
    done(owner.post(format!("{plan}/cancel"), json!({"which": "all"}))).await;

    let hours = format!("from={}&days=7", zhundian_tests::world::today());
    see(
        member,
        &[
            "/api/v1/orders?limit=100".to_owned(),
            "/api/v1/waitlist".to_owned(),
            "/api/v1/plans".to_owned(),
            format!("/api/v1/availability?store_id={store}&service_id={service}&{hours}"),
            format!(
                "/api/v1/availability/recommended?store_id={store}&service_id={service}&{hours}"
            ),
        ],
    )
    .await;
    let of_store = |list: &str| format!("/api/v1/staff/{list}?store_id={store}");
    see(&owner, &["orders", "payments", "refunds", "offers", "plans", "waitlist"].map(of_store))
        .await;
    see(
        &owner,
        &[
            format!("/api/v1/staff/appointments?store_id={store}&{hours}"),
            format!("/api/v1/staff/orders?store_id={store}&member_id={id}"),
            format!("/api/v1/staff/orders?technician_id={}", shop.technicians[0]),
            "/api/v1/admin/operations".to_owned(),
            "/api/v1/admin/differences".to_owned(),
            format!("/api/v1/staff/appointments/{}/history", line(&order).as_str().expect("an id")),
        ],
    )
    .await;
    for cron in ["* * * * *", "*/5 * * * *", "40 2,3 * * *", "10 19 * * *", "* * * * *"] {
        stack.run_cron(cron).await.check(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_reads_more_for_the_orders_of_the_past() {
    let stack = Stack::start_with(&[("INTAKE_KEEP_DAYS", "500")]).await;
    stack.plans(true).await;
    let shop = stack.shop_with(2, Hours::Day, json!({})).await;
    let classes = stack.shop_with(1, Hours::Day, json!({"modes": ["direct", "group"]})).await;
    let plans = stack.shop_with(1, Hours::Day, json!({"modes": ["plan"]})).await;
    let member = stack.some_member().await;
    let id = member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
    let room = "f".repeat(32);
    stack.change_d1(&past_orders(&shop, &room, &id)).await;
    a_day(&stack, &shop, &classes, &plans, &member).await;
    let read = read(&stack);
    let too_much: Vec<_> = read.iter().filter(|(_, rows)| **rows > MAY_READ).collect();
    assert!(read.len() > 30, "{read:?}");
    assert!(too_much.is_empty(), "{too_much:?}");
}
