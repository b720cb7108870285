//! Visits of several services, add-ons, and appointments lengthened while they go on.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::{at, ms};
use zhundian_tests::world::date;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit, at_once, eventually, now_ms};

const ADD_ONS: [(&str, i64, i64); 2] = [("热敷", 15, 3_000), ("加钟", 30, 9_900)];

fn with_add_ons() -> Value {
    let each = ADD_ONS
        .map(|(name, minutes, fen)| json!({"name": name, "minutes": minutes, "price_fen": fen}));
    json!({"add_ons": each})
}

/// Another service of a shop's store.
async fn service(stack: &Stack, shop: &Shop, fields: Value) -> String {
    let mut body = json!({
        "category": "推拿", "name": "另一项", "duration_minutes": 30, "price_fen": 8_800,
        "deposit": {"kind": "none"}, "places": ["store"], "modes": ["direct"],
        "min_notice_minutes": 0, "change_notice_minutes": 0, "stores": [shop.store],
    });
    for (field, value) in fields.as_object().expect("fields") {
        body[field] = value.clone();
    }
    let owner = stack.owner().await;
    owner.post("/api/v1/admin/services", body).await.expect(201).text("/id").to_owned()
}

async fn add_ons(shop: &Shop, api: &Api) -> Vec<String> {
    let service = api.get(format!("/api/v1/services/{}", shop.service)).await.expect(200);
    let all = service.body["add_ons"].as_array().expect("add-ons").clone();
    all.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

fn visit(shop: &Shop, start: &str, lines: Value) -> Value {
    let mut body = json!({"store_id": shop.store, "start_at": start, "payment": "at_store"});
    body["lines"] = lines;
    body
}

async fn book(member: &Api, body: Value) -> Reply {
    member.post("/api/v1/visits", body).idempotent().await
}

/// When the visit could begin.
async fn starts(api: &Api, shop: &Shop, lines: Value) -> Vec<String> {
    let body = json!({"store_id": shop.store, "from": date(1), "days": 1, "lines": lines});
    let found = api.post("/api/v1/visits/availability", body).await.expect(200);
    let all = found.body["starts"].as_array().expect("starts").clone();
    all.iter().map(|one| one["start_at"].as_str().expect("a start").to_owned()).collect()
}

fn line<'a>(order: &'a Reply, index: usize, field: &str) -> &'a str {
    order.text(&format!("/order/lines/{index}/{field}"))
}

async fn cron(stack: &Stack) {
    let _ = stack.run_cron("* * * * *").await;
}

async fn settled(stack: &Stack) {
    eventually("an empty outbox and no holds", Duration::from_secs(30), async || {
        cron(stack).await;
        stack.is_settled().then_some(())
    })
    .await;
}

#[tokio::test]
async fn services_follow_each_other_or_run_together_and_move_and_end_as_one() {
    let stack = Stack::shared().await;
    let room = json!({"resources": [{"type": "护理房"}], "buffer_after_minutes": 10});
    let shop = stack.shop_with(2, Hours::Day, room).await;
    let owner = stack.owner().await;
    let body = json!({"store_id": shop.store, "kind": "room", "type": "护理房", "name": "一号房"});
    owner.post("/api/v1/admin/resources", body).await.check(201);
    let other = service(&stack, &shop, json!({})).await;
    let member = stack.some_member().await;

    // One after the other by one technician, the buffer between them left out.
    let lines = json!([
        {"service_id": shop.service}, {"service_id": other, "starts": "after_previous"},
    ]);
    let (start, end) = (at(1, "11:00"), at(1, "12:00"));
    let first = book(&member, visit(&shop, &start, lines.clone())).await.expect(201);
    assert_eq!(line(&first, 0, "technician_id"), line(&first, 1, "technician_id"));
    assert_eq!((line(&first, 0, "end_at"), line(&first, 1, "start_at")), (&*end, &*end));
    assert_eq!(first.body["order"]["total_fen"], 19_800 + 8_800);
    let of = |at: usize| &first.body["order"]["price"][at]["line_id"];
    assert_eq!(
        (of(0), of(1)),
        (&first.body["order"]["lines"][0]["id"], &first.body["order"]["lines"][1]["id"],)
    );
    let seen = member.get(format!("/api/v1/orders/{}", first.text("/order/id"))).await.expect(200);
    assert_eq!(seen.body["order"]["lines"], first.body["order"]["lines"]);
    // Each once in the store's day.
    let day = format!("/api/v1/staff/appointments?store_id={}&from={}", shop.store, date(1));
    let day = owner.get(day).await.expect(200);
    assert_eq!(day.body["items"].as_array().expect("items").len(), 2, "{}", day.body);

    // At the same time: one room, so not two of the first service; with the other one, both technicians.
    let twice = json!([
        {"service_id": shop.service}, {"service_id": shop.service, "starts": "with_previous"},
    ]);
    assert!(starts(&member, &shop, twice.clone()).await.is_empty());
    let refused = book(&member, visit(&shop, &at(1, "15:00"), twice)).await;
    refused.refused(409, "slot_taken");
    let together = json!([
        {"service_id": shop.service, "guest": "林女士"},
        {"service_id": other, "starts": "with_previous", "guest": "赵女士"},
    ]);
    let free = starts(&member, &shop, together.clone()).await;
    assert!(free.contains(&at(1, "13:00")) && !free.contains(&at(1, "11:30")), "{free:?}");
    let second = book(&member, visit(&shop, &at(1, "11:30"), together.clone())).await.expect(409);
    let instead = second.text("/alternatives/0/start_at").to_owned();
    assert!(free.contains(&instead), "{instead}");
    let second = book(&member, visit(&shop, &instead, together)).await.expect(201);
    assert_ne!(line(&second, 0, "technician_id"), line(&second, 1, "technician_id"));
    assert_eq!(line(&second, 1, "guest"), "赵女士");

    // A line does not move alone; the visit does, its lines as far from each other as before.
    let path = format!("/api/v1/orders/{}/reschedule", first.text("/order/id"));
    let to = at(1, "17:00");
    let alone = json!({"line_id": line(&first, 1, "id"), "start_at": to});
    member.post(&path, alone).idempotent().await.refused(409, "visit_moves_whole");
    let moved = member.post(&path, json!({"start_at": to})).idempotent().await.expect(200);
    assert_eq!(
        (line(&moved, 0, "start_at"), line(&moved, 1, "start_at")),
        (&*to, &*at(1, "18:00"))
    );
    assert_eq!(moved.body["order"]["version"], 2);
    eventually("the old time is free", Duration::from_secs(15), async || {
        starts(&member, &shop, lines.clone()).await.contains(&start).then_some(())
    })
    .await;
    // By less than its own length: one line goes where the other one was.
    let to = at(1, "17:30");
    let moved = member.post(&path, json!({"start_at": to})).idempotent().await.expect(200);
    assert_eq!(
        (line(&moved, 0, "start_at"), line(&moved, 1, "start_at")),
        (&*to, &*at(1, "18:30"))
    );
    settled(&stack).await;
    let to = at(1, "17:00");
    member.post(&path, json!({"start_at": to})).idempotent().await.check(200);
    let moved = member.post(&path, json!({"start_at": at(1, "16:30")})).idempotent().await;
    let moved = moved.expect(200);
    // One of its lines goes to somebody else.
    let away = line(&moved, 1, "technician_id").to_owned();
    let somebody = shop.technicians.iter().find(|one| **one != away).expect("two");
    let assign = json!({"line_id": line(&moved, 1, "id"), "technician_id": somebody});
    let path = format!("/api/v1/staff/orders/{}", moved.text("/order/id"));
    let assigned = owner.post(format!("{path}/assign"), assign).idempotent().await.expect(200);
    assert_eq!(line(&assigned, 1, "technician_id"), somebody);
    assert_eq!(line(&assigned, 0, "technician_id"), away);

    let ended =
        member.post(format!("/api/v1/orders/{}/cancel", moved.text("/order/id")), json!({}));
    let ended = ended.await.expect(200);
    assert_eq!((line(&ended, 0, "status"), line(&ended, 1, "status")), ("cancelled", "cancelled"));
    eventually("its time is free", Duration::from_secs(15), async || {
        starts(&member, &shop, lines.clone()).await.contains(&at(1, "16:30")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn three_guests_at_once_are_served_whenever_there_is_a_way() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(3, Hours::Day, json!({})).await;
    let special = service(&stack, &shop, json!({"technicians": [shop.technicians[0]]})).await;
    let member = stack.some_member().await;
    let lines = json!([
        {"service_id": shop.service, "guest": "甲"},
        {"service_id": shop.service, "starts": "with_previous", "guest": "乙"},
        {"service_id": special, "starts": "with_previous", "guest": "丙"},
    ]);
    // Whoever alone can do the last is not taken for the others, whatever the turn.
    for clock in ["10:00", "11:00", "12:00", "13:00"] {
        let booked = book(&member, visit(&shop, &at(1, clock), lines.clone())).await.expect(201);
        assert_eq!(line(&booked, 2, "technician_id"), shop.technicians[0]);
        let mut who: Vec<&str> = (0..3).map(|at| line(&booked, at, "technician_id")).collect();
        who.sort_unstable();
        who.dedup();
        assert_eq!(who.len(), 3);
    }
    // A store has room for so many guests.
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/stores/{}", shop.store);
    for (capacity, status) in [(2, 409), (3, 201)] {
        let mut store = owner.get(&path).await.expect(200).body;
        store["capacity"] = capacity.into();
        store.as_object_mut().expect("a store").remove("id");
        owner.put(&path, store).await.check(200);
        eventually("the store's room is known", Duration::from_secs(15), async || {
            let free = starts(&member, &shop, lines.clone()).await;
            (free.contains(&at(1, "15:00")) == (status == 201)).then_some(())
        })
        .await;
        book(&member, visit(&shop, &at(1, "15:00"), lines.clone())).await.check(status);
    }
}

#[tokio::test]
async fn of_many_who_want_two_at_once_nobody_gets_half() {
    let stack = Stack::start().await;
    let shop = stack.shop(3, Hours::Day).await;
    let mut members = Vec::new();
    for _ in 0..16 {
        members.push(stack.some_member().await);
    }
    let lines = json!([
        {"service_id": shop.service}, {"service_id": shop.service, "starts": "with_previous"},
    ]);
    for clock in ["10:00", "12:00", "14:00", "16:00", "18:00"] {
        let start = at(1, clock);
        let calls = members.iter().map(|member| {
            member.post("/api/v1/visits", visit(&shop, &start, lines.clone())).idempotent()
        });
        let replies = at_once(calls).await;
        let won = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!(won, 1, "{clock}: {won} winners");
        for lost in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((lost.status, lost.code()), (409, "slot_taken"), "{}", lost.body);
        }
    }
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn whatever_dies_on_the_way_a_visit_is_whole_or_not_there() {
    let stack = Stack::start().await;
    let shop = stack.shop(2, Hours::Day).await;
    let member = stack.some_member().await;
    let lines = json!([
        {"service_id": shop.service}, {"service_id": shop.service, "starts": "with_previous"},
    ]);
    let body = visit(&shop, &at(1, "12:00"), lines);
    let call = member.post("/api/v1/visits", body).idempotent();
    let held = || -> usize {
        let all = stack.calendars("SELECT id FROM claim WHERE state = 'held'");
        all.iter().map(|(_, rows)| rows.len()).sum()
    };
    // Between hold and commit.
    stack.kill_worker();
    stack.write_d1("ALTER TABLE order_line RENAME COLUMN guest TO guest_away");
    stack.restart_worker().await;
    let failed = call.clone().await;
    assert!(failed.status >= 500, "{}", failed.body);
    stack.kill_worker();
    stack.write_d1("ALTER TABLE order_line RENAME COLUMN guest_away TO guest");
    stack.restart_worker().await;
    assert_eq!(stack.it("SELECT count(*) AS it FROM orders"), 0);
    let made = call.clone().await.expect(201);
    // After the commit, whatever has been confirmed by then.
    stack.kill_worker();
    stack.restart_worker().await;
    assert_eq!(call.await.expect(201).bytes, made.bytes);
    for wait in [15, 45] {
        let start = at(1, if wait == 15 { "14:00" } else { "16:00" });
        let lines = json!([
            {"service_id": shop.service}, {"service_id": shop.service, "starts": "with_previous"},
        ]);
        let call = member.post("/api/v1/visits", visit(&shop, &start, lines)).idempotent();
        let first = tokio::spawn(call.clone().attempt());
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stack.kill_worker();
        let _ = first.await;
        stack.restart_worker().await;
        call.await.check(201);
    }
    assert_eq!(stack.it("SELECT count(*) AS it FROM order_line"), 6);
    eventually("nothing held", Duration::from_mins(1), async || {
        cron(&stack).await;
        (held() == 0).then_some(())
    })
    .await;
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn a_visit_is_paid_once_and_comes_back_whole() {
    let stack = Stack::start().await;
    let half = json!({"deposit": {"kind": "percent", "percent": 50}});
    let shop = stack.shop_with(2, Hours::Day, half).await;
    let fixed = json!({"deposit": {"kind": "fixed", "fen": 1_000}});
    let other = service(&stack, &shop, fixed).await;
    let lines = json!([
        {"service_id": shop.service}, {"service_id": other, "starts": "with_previous"},
    ]);
    let online = async |start: &str| {
        let member = stack.some_member().await;
        let mut body = visit(&shop, start, lines.clone());
        body["payment"] = "online".into();
        let booked = book(&member, body).await.expect(201);
        assert_eq!(booked.body["order"]["due_fen"], 9_900 + 1_000);
        Visit { member, order: booked.text("/order/id").to_owned(), start_at: start.to_owned() }
    };
    let paid = online(&at(1, "12:00")).await;
    let payment = paid.asks("wechat_native").await;
    stack.vendors().pay(&payment).await;
    let order = paid.becomes("confirmed").await;
    assert_eq!(order["paid_fen"], 10_900);
    settled(&stack).await;
    let order = paid.cancel().await;
    assert_eq!(order["refunded_fen"], 10_900);
    settled(&stack).await;

    // The holds end unpaid; the money comes late and finds the time free, or taken.
    let (late, lost) = (online(&at(1, "14:00")).await, online(&at(1, "16:00")).await);
    let (one, other) = (late.asks("wechat_native").await, lost.asks("wechat_native").await);
    let past = now_ms() - 1_000;
    stack.kill_worker();
    stack.write_d1(&format!(
        "UPDATE orders SET hold_expires_at = {past} WHERE status = 'pending_payment'"
    ));
    for technician in &shop.technicians {
        let sql = format!("UPDATE claim SET expires_at = {past} WHERE state = 'held'");
        stack.write_calendar(&format!("technician:{technician}"), &sql);
    }
    stack.restart_worker().await;
    let path = "/api/v1/staff/bookings";
    let body = json!({"store_id": shop.store, "service_id": shop.service,
        "technician_id": shop.technicians[1], "start_at": at(1, "15:30")});
    stack.owner().await.post(path, body).idempotent().await.check(201);
    for payment in [&one, &other] {
        stack.vendors().pay(payment).await;
    }
    let order = late.becomes("confirmed").await;
    assert!(order["lines"].as_array().expect("lines").iter().all(|it| it["status"] == "live"));
    let order = lost.becomes("cancelled").await;
    assert_eq!(order["refunded_fen"], 10_900);
    settled(&stack).await;
    let audit = Audit::of(&stack, &[]);
    let off = audit.off.iter().filter(|off| off.starts_with("I1") || off.starts_with("I3"));
    assert_eq!(off.count(), 0, "{:?}", audit.off);
}

#[tokio::test]
async fn add_ons_lengthen_and_cost_and_are_added_while_it_goes_on_if_there_is_time() {
    let stack = Stack::start().await;
    let shop = stack.shop_with(1, Hours::Always, with_add_ons()).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let ids = add_ons(&shop, &owner).await;

    // They keep their ids; one that the service has not is refused.
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let mut body = owner.get(&path).await.expect(200).body;
    for gone in ["id", "status"] {
        body.as_object_mut().expect("a service").remove(gone);
    }
    body["add_ons"][1]["name"] = "加钟半小时".into();
    let changed = owner.put(&path, body.clone()).await.expect(200);
    assert_eq!(changed.text("/add_ons/1/id"), ids[1]);
    body["version"] = changed.body["version"].clone();
    body["add_ons"][0]["id"] = "0".repeat(32).into();
    owner.put(&path, body).await.refused(422, "unknown_add_on");

    // Booked with the service, and offered only where there is time.
    let mut wish = shop.booking(None, &at(1, "12:00"));
    wish["add_ons"] = json!([ids[0], ids[1]]);
    let booked = member.post("/api/v1/bookings", wish.clone()).idempotent().await.expect(201);
    assert_eq!(line(&booked, 0, "end_at"), at(1, "13:45"));
    assert_eq!(booked.body["order"]["total_fen"], 19_800 + 3_000 + 9_900);
    assert_eq!(booked.text("/order/price/1/name"), "热敷");
    assert_eq!(booked.text("/order/lines/0/add_ons/1/name"), "加钟半小时");
    let offered = async |add_ons: &str, start: &str| {
        let path = format!(
            "/api/v1/availability?store_id={}&service_id={}&from={}&days=1&add_ons={add_ons}",
            shop.store,
            shop.service,
            date(1)
        );
        member.get(path).await.expect(200).body.to_string().contains(start)
    };
    let before = at(1, "11:00");
    assert!(offered("", &before).await);
    assert!(!offered(&ids[0], &before).await);
    assert!(offered(&ids.join(","), &at(1, "10:15")).await);
    wish["add_ons"] = json!(["0".repeat(32)]);
    wish["start_at"] = at(1, "15:00").into();
    let unknown = member.post("/api/v1/bookings", wish.clone()).idempotent().await;
    unknown.refused(422, "unknown_add_on");

    // It moves with its length.
    let path = format!("/api/v1/orders/{}/reschedule", booked.text("/order/id"));
    let moved =
        member.post(path, json!({"start_at": at(1, "15:00")})).idempotent().await.expect(200);
    assert_eq!(line(&moved, 0, "end_at"), at(1, "16:45"));

    // Now: begun, with half an hour free after it.
    let tick = 5 * 60_000;
    let now = (now_ms() / tick + 1) * tick;
    let text = |ms: i64| {
        let zone = chrono::FixedOffset::east_opt(8 * 3600).expect("a zone");
        let utc = chrono::DateTime::from_timestamp_millis(ms).expect("an instant");
        utc.with_timezone(&zone).to_rfc3339()
    };
    let staff = |start: i64| json!({"store_id": shop.store, "service_id": shop.service, "start_at": text(start)});
    let book = async |start: i64| {
        owner.post("/api/v1/staff/bookings", staff(start)).idempotent().await.expect(201)
    };
    let running = book(now).await;
    book(now + 95 * 60_000).await;
    let line_id = line(&running, 0, "id").to_owned();
    settled(&stack).await;
    stack.kill_worker();
    stack.write_d1("UPDATE orders SET status = 'in_service' WHERE status = 'confirmed' AND start_at < unixepoch() * 1000 + 600000");
    stack.restart_worker().await;
    let extend = format!("/api/v1/staff/orders/{}/extend", running.text("/order/id"));
    let more = |ids: &[String]| json!({"line_id": line_id, "add_ons": ids});
    let call = owner.post(&extend, more(&ids[1..])).idempotent();
    let longer = call.clone().await.expect(200);
    assert_eq!(ms(line(&longer, 0, "end_at")), now + 90 * 60_000);
    assert_eq!(longer.body["order"]["total_fen"], 19_800 + 9_900);
    assert_eq!(longer.body["order"]["remaining_fen"], 19_800 + 9_900);
    assert_eq!(call.await.expect(200).bytes, longer.bytes);
    let refused = owner.post(&extend, more(&ids[..1])).idempotent().await;
    refused.refused(409, "cannot_extend");
    owner.post(&extend, more(&[])).idempotent().await.refused(422, "out_of_range");
    let seen =
        owner.get(format!("/api/v1/staff/orders/{}", running.text("/order/id"))).await.expect(200);
    assert_eq!(seen.body["order"]["lines"], longer.body["order"]["lines"]);
    assert_eq!(seen.body["order"]["price"], longer.body["order"]["price"]);
    let path = format!("/api/v1/staff/orders/{}/settle", running.text("/order/id"));
    let all = json!({"channel": "cash", "amount_fen": 29_700});
    owner.post(path, all).idempotent().await.check(200);
    settled(&stack).await;
    let audit = Audit::of(&stack, &[]);
    assert!(
        !audit.off.iter().any(|off| off.starts_with("I1") || off.starts_with("I3")),
        "{:?}",
        audit.off
    );
}

#[tokio::test]
async fn what_is_no_visit_is_refused_and_changes_nothing() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(2, Hours::Day, with_add_ons()).await;
    let elsewhere = stack.shop(1, Hours::Day).await;
    let class = service(&stack, &shop, json!({"modes": ["group"]})).await;
    let member = stack.some_member().await;
    let one = json!({"service_id": shop.service});
    let by = json!({"service_id": shop.service, "technician_id": shop.technicians[0]});
    let mut with = by.clone();
    with["starts"] = "with_previous".into();
    let cases = [
        (json!([]), 422, "out_of_range", "lines"),
        (json!([one, one, one, one, one, one, one]), 422, "too_many_items", "lines"),
        (
            json!([one, {"service_id": shop.service, "add_ons": ["0".repeat(32)]}]),
            422,
            "unknown_add_on",
            "lines[1].add_ons",
        ),
        (json!([by, with]), 422, "technician_twice", "lines[1].technician_id"),
        (json!([one, {"service_id": class}]), 422, "mode_not_offered", "lines[1].service_id"),
        (
            json!([one, {"service_id": elsewhere.service}]),
            422,
            "service_not_offered",
            "lines[1].service_id",
        ),
        (
            json!([{"service_id": shop.service, "technician_id": elsewhere.technicians[0]}]),
            422,
            "technician_not_offered",
            "lines[0].technician_id",
        ),
    ];
    for (lines, status, code, field) in cases {
        let refused = book(&member, visit(&shop, &at(1, "12:00"), lines)).await;
        refused.refused(status, code);
        assert_eq!(refused.text("/fields/0/field"), field);
    }
    let late = book(&member, visit(&shop, &at(1, "21:30"), json!([one, one]))).await;
    late.refused(422, "outside_hours");
    let orders = member.get("/api/v1/orders").await.expect(200);
    assert_eq!(orders.body["items"], json!([]));
}
