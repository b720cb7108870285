//! The visit: checking in, how far it comes, who does not come, what ends by itself, a technician's day and
//! feed.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::visit::{at, ms};
use zhundian_tests::world::{date, some_phone, today};
use zhundian_tests::{Api, Hours, Shop, Stack, Visit, at_once, count, eventually, forge, now_ms};

const MINUTELY: &str = "* * * * *";
const HOUR: i64 = 3_600_000;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";

/// Somebody of the staff who is this technician, with the role of one.
async fn technician(stack: &Stack, shop: &Shop, index: usize) -> Api {
    let phone = some_phone();
    let grants = json!([{"role": "technician", "store_id": shop.store}]);
    let body = json!({"phone": phone, "name": "技师", "technician_id": shop.technicians[index], "grants": grants});
    stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);
    stack.sign_in_staff(&phone).await
}

/// An appointment with the shop's technician of this index, among the next ones that are free; staff book
/// it for whoever has no account.
struct Appointment {
    member: Api,
    order: String,
    line: String,
    start_at: String,
}

impl Appointment {
    async fn soon(stack: &Stack, shop: &Shop, index: usize) -> Self {
        Self::of(&stack.some_member().await, shop, index).await
    }

    async fn of(member: &Api, shop: &Shop, index: usize) -> Self {
        let technician = Some(shop.technicians[index].as_str());
        let slots = shop.slots(member, technician, &today(), 2).await;
        let booked = shop.book(member, technician, &slots[0].start_at).await.expect(201);
        Self {
            member: member.clone(),
            order: booked.text("/order/id").to_owned(),
            line: booked.text("/order/lines/0/id").to_owned(),
            start_at: slots[0].start_at.clone(),
        }
    }

    async fn shown(&self) -> (String, String) {
        let reply = self.member.get(format!("/api/v1/orders/{}/check-in", self.order)).await;
        let reply = reply.expect(200);
        assert!(ms(reply.text("/qr_expires_at")) > now_ms() + 100_000);
        (reply.text("/code").to_owned(), reply.text("/qr").to_owned())
    }

    async fn mark(&self, staff: &Api, what: &str, body: Value) -> zhundian_tests::Reply {
        staff.post(format!("/api/v1/staff/appointments/{}/{what}", self.line), body).await
    }

    async fn detail(&self) -> Value {
        self.member.get(format!("/api/v1/orders/{}", self.order)).await.expect(200).body
    }

    async fn timeline(&self) -> Vec<String> {
        let detail = self.detail().await;
        let events = detail["timeline"].as_array().expect("events");
        events.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect()
    }
}

async fn scan(staff: &Api, qr: &str) -> zhundian_tests::Reply {
    staff.post("/api/v1/staff/check-ins/qr", json!({"qr": qr})).idempotent().await
}

async fn type_in(staff: &Api, store: &str, code: &str) -> zhundian_tests::Reply {
    let body = json!({"store_id": store, "code": code});
    staff.post("/api/v1/staff/check-ins/code", body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_qr_code_is_taken_once_and_soon() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let visit = Appointment::soon(&stack, &shop, 0).await;
    let (code, qr) = visit.shown().await;
    let (same, other) = visit.shown().await;
    assert_eq!(code, same);
    assert_ne!(qr, other);
    stack
        .some_member()
        .await
        .get(format!("/api/v1/orders/{}/check-in", visit.order))
        .await
        .check(404);

    // What is no code of ours, one that is over, and one for something else.
    let keys = stack.var("TOKEN_KEYS");
    for bad in ["x", "a.b.c", &forge::forged(&qr), visit.member.token().expect("a token")] {
        scan(&cashier, bad).await.refused(422, "qr_invalid");
    }
    scan(&cashier, &forge::expired(keys, &qr)).await.refused(409, "qr_expired");
    let mut claims = forge::claims(&qr);
    claims["sub"] = "0".repeat(32).into();
    scan(&cashier, &forge::token(keys, &claims)).await.refused(422, "qr_invalid");
    // It signs nobody in.
    let stolen = stack.api().with_token(&qr);
    stolen.get("/api/v1/me").await.refused(401, "wrong_audience");
    stolen.get("/api/v1/staff/me").await.refused(401, "wrong_audience");
    // Another store's staff, and a colleague.
    let foreign = stack.shop(1, Hours::Always).await;
    let foreign = stack.staff("manager", Some(&foreign.store)).await;
    scan(&foreign, &qr).await.refused(403, "foreign_store");
    let colleague = technician(&stack, &shop, 1).await;
    scan(&colleague, &qr).await.refused(403, "foreign_store");
    assert_eq!(visit.detail().await["order"]["checked_in_at"], Value::Null);

    // Of many scanners at once one checks in.
    let scanned = || cashier.post("/api/v1/staff/check-ins/qr", json!({"qr": qr}));
    let replies = at_once((0..6).map(|_| scanned().idempotent())).await;
    assert_eq!(count(&replies, 200), 1);
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.code() == "qr_used"));
    scan(&cashier, &qr).await.refused(409, "qr_used");
    let second = scan(&cashier, &other).await;
    second.refused(409, "already_checked_in");
    assert_eq!(second.text("/order_id"), visit.order);
    visit
        .member
        .get(format!("/api/v1/orders/{}/check-in", visit.order))
        .await
        .refused(409, "already_checked_in");
    assert_eq!(visit.timeline().await, ["booked", "checked_in"]);
    assert_eq!(visit.detail().await["order"]["status"], "confirmed");
    // A technician scans their own customer's.
    let mine = technician(&stack, &shop, 0).await;
    let next = Appointment::soon(&stack, &shop, 0).await;
    let done = scan(&mine, &next.shown().await.1).await.expect(200);
    assert!(done.body["order"]["checked_in_at"].is_string());
    // What is days away is not today's.
    let far = shop.book(&visit.member, None, &at(3, "10:00")).await.expect(201);
    let far = Appointment { order: far.text("/order/id").into(), ..next };
    let far = Appointment { member: visit.member.clone(), ..far };
    scan(&cashier, &far.shown().await.1).await.refused(409, "too_early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_whose_answer_was_lost_is_answered_again() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Always).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let scanned = |qr: &str, key: &str| {
        cashier.post("/api/v1/staff/check-ins/qr", json!({"qr": qr})).key(key)
    };
    let visit = Appointment::soon(&stack, &shop, 0).await;
    let mut claims = forge::claims(&visit.shown().await.1);
    claims["exp"] = (now_ms() / 1000 + 3).into();
    let qr = forge::token(stack.var("TOKEN_KEYS"), &claims);
    let keyless = cashier.post("/api/v1/staff/check-ins/qr", json!({"qr": qr})).await;
    keyless.refused(400, "missing_idempotency_key");
    let replies = at_once((0..6).map(|_| scanned(&qr, "one-scan-of-it"))).await;
    for reply in &replies {
        assert_eq!((reply.status, &reply.body), (200, &replies[0].body));
    }
    let now = cashier.get(format!("/api/v1/staff/orders/{}", visit.order)).await.expect(200);
    assert_eq!(replies[0].body["order"], now.body["order"]);
    scanned(&qr, "another-scan-of-it").await.refused(409, "qr_used");
    let other = Appointment::soon(&stack, &shop, 0).await;
    let (_, of_other) = other.shown().await;
    scanned(&of_other, "one-scan-of-it").await.refused(422, "idempotency_key_reused");
    // When the code is over, its answer is still the same.
    eventually("the code is over", Duration::from_secs(20), async || {
        let late = scanned(&qr, "another-scan-of-it").await;
        (late.code() == "qr_expired").then_some(())
    })
    .await;
    assert_eq!(scanned(&qr, "one-scan-of-it").await.expect(200).body, replies[0].body);
    assert_eq!(visit.timeline().await, ["booked", "checked_in"]);

    // Killed in its midst: it is a scan, or none.
    let key = "a-scan-when-all-dies";
    let lost = tokio::spawn(scanned(&of_other, key).attempt());
    tokio::time::sleep(Duration::from_millis(12)).await;
    tokio::task::block_in_place(|| stack.kill_worker());
    stack.restart_worker().await;
    let again = scanned(&of_other, key).await.expect(200);
    if let Ok(answered) = lost.await.expect("no panic") {
        assert_eq!(answered.body, again.body);
    }
    assert_eq!(other.timeline().await, ["booked", "checked_in"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_typed_so_often_and_no_more() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let [cashier, other] = [(); 2].map(|()| stack.staff("cashier", Some(&shop.store)));
    let (cashier, other) = (cashier.await, other.await);
    let mine = technician(&stack, &shop, 0).await;
    let visits = [
        Appointment::soon(&stack, &shop, 0).await,
        Appointment::soon(&stack, &shop, 1).await,
        Appointment::soon(&stack, &shop, 0).await,
    ];
    let mut codes = Vec::new();
    for visit in &visits {
        codes.push(visit.shown().await.0);
    }
    assert!(codes[0] != codes[1] && codes[1] != codes[2] && codes[0] != codes[2]);
    // Staff can tell it to somebody who called.
    let told = cashier.get(format!("/api/v1/staff/orders/{}/check-in", visits[0].order)).await;
    assert_eq!(told.expect(200).text("/code"), codes[0]);

    // What has not the form of a code is no guess; a right one is none either.
    for _ in 0..12 {
        type_in(&cashier, &shop.store, "0000").await.refused(422, "wrong_check_in_code");
    }
    let typed = format!(" {}-{} ", &codes[0][..3], codes[0][3..].to_lowercase());
    type_in(&cashier, &shop.store, &typed).await.check(200);
    for _ in 0..12 {
        type_in(&cashier, &shop.store, &codes[0]).await.refused(409, "already_checked_in");
    }
    type_in(&mine, &shop.store, &codes[1]).await.refused(403, "forbidden");
    type_in(&mine, &shop.store, &codes[2]).await.check(200);

    // Ten wrong ones, many at once, and not one more.
    let wrong = |staff: &Api| {
        let body = json!({"store_id": shop.store, "code": "AAAAAA"});
        staff.post("/api/v1/staff/check-ins/code", body)
    };
    let replies = at_once((0..16).map(|_| wrong(&cashier))).await;
    assert_eq!((count(&replies, 422), count(&replies, 429)), (10, 6));
    let refused = type_in(&cashier, &shop.store, &codes[1]).await;
    refused.refused(429, "too_many_codes");
    let wait: i64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=600).contains(&wait), "{wait}");
    assert_eq!(visits[1].detail().await["order"]["checked_in_at"], Value::Null);
    // It is theirs alone.
    type_in(&other, &shop.store, &codes[1]).await.check(200);
    let foreign = stack.shop(1, Hours::Always).await;
    type_in(&other, &foreign.store, &codes[1]).await.refused(403, "foreign_store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_is_found_by_phone() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let phone = some_phone();
    let start = shop.slots(&cashier, None, &today(), 2).await.swap_remove(0).start_at;
    let book = async |index: usize, phone: &str| {
        let body = json!({"store_id": shop.store, "service_id": shop.service, "start_at": start,
            "technician_id": shop.technicians[index], "contact_name": "林", "contact_phone": phone});
        let booked = cashier.post("/api/v1/staff/bookings", body).idempotent().await.expect(201);
        booked.text("/order/id").to_owned()
    };
    let order = book(0, &phone).await;
    book(1, &some_phone()).await;
    let find = async |staff: &Api, digits: &str| {
        let path = format!("/api/v1/staff/check-ins?store_id={}&phone={digits}", shop.store);
        staff.get(path).await
    };
    // Near midnight the next free start is tomorrow's, and the list is today's.
    if start[..10] == today() {
        for digits in [phone.as_str(), &phone[5..]] {
            let found = find(&cashier, digits).await.expect(200).body;
            assert_eq!(found["items"].as_array().expect("a list").len(), 1, "{found}");
            assert_eq!(found["items"][0]["order_id"], order);
            assert_eq!(found["items"][0]["phone"], format!("{}****{}", &phone[..3], &phone[7..]));
        }
        let colleague = technician(&stack, &shop, 1).await;
        assert_eq!(find(&colleague, &phone).await.expect(200).body["items"], json!([]));
    }
    find(&cashier, "123").await.refused(422, "text_too_short");
    find(&cashier, "12a4").await.refused(422, "wrong_type");
    let path = format!("/api/v1/staff/orders/{order}/check-in");
    cashier.post(&path, json!({})).await.check(200);
    cashier.post(&path, json!({})).await.refused(409, "already_checked_in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_technician_keeps_their_own_visits() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let (a, b) = (technician(&stack, &shop, 0).await, technician(&stack, &shop, 1).await);
    let manager = stack.staff("manager", Some(&shop.store)).await;
    let visit = Appointment::soon(&stack, &shop, 1).await;
    let path = format!("/api/v1/staff/appointments/{}", visit.line);
    for (what, body) in
        [("depart", json!({})), ("arrive", json!({})), ("start", json!({})), ("finish", json!({}))]
    {
        visit.mark(&a, what, body).await.refused(403, "foreign_store");
    }
    for call in [
        a.get(&path),
        a.get(format!("{path}/history")),
        a.put(format!("{path}/note"), json!({"note": "x"})),
        a.put(format!("{path}/preferences"), json!({"text": "x", "version": 0})),
        a.get(format!("/api/v1/staff/orders/{}/check-in", visit.order)),
        a.post(format!("/api/v1/staff/orders/{}/check-in", visit.order), json!({})),
    ] {
        call.await.refused(403, "foreign_store");
    }
    // Who did not come is not a technician's to say.
    let absent = format!("/api/v1/staff/orders/{}/no-show", visit.order);
    b.post(&absent, json!({})).await.refused(403, "forbidden");
    manager.post(&absent, json!({})).await.refused(409, "too_early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visit_goes_from_departure_to_the_counter() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let (a, b) = (technician(&stack, &shop, 0).await, technician(&stack, &shop, 1).await);
    let manager = stack.staff("manager", Some(&shop.store)).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let visit = Appointment::soon(&stack, &shop, 1).await;
    let path = format!("/api/v1/staff/appointments/{}", visit.line);
    // Set out, arrive, start; said again, nothing changes.
    let place = json!({"place": {"latitude": 31.2, "longitude": 121.4}});
    let first = visit.mark(&b, "depart", place.clone()).await.expect(200);
    let departed = first.body["order"]["lines"][0]["visit"]["departed_at"].clone();
    assert!(departed.is_string());
    let again = visit.mark(&b, "depart", json!({})).await.expect(200);
    assert_eq!(again.body["order"]["lines"][0]["visit"]["departed_at"], departed);
    visit
        .mark(&b, "arrive", json!({"place": {"latitude": 91, "longitude": 0}}))
        .await
        .refused(422, "out_of_range");
    visit.mark(&b, "arrive", json!({})).await.check(200);
    visit.mark(&b, "finish", json!({})).await.refused(409, "too_early");
    let started = visit.mark(&b, "start", json!({})).await.expect(200);
    assert_eq!(started.body["order"]["status"], "in_service");
    // Whoever is served is there.
    assert!(started.body["order"]["checked_in_at"].is_string());
    visit
        .member
        .post(format!("/api/v1/orders/{}/cancel", visit.order), json!({}))
        .await
        .refused(409, "order_not_changeable");

    // What staff know before it, and keep.
    let seen = b.get(&path).await.expect(200).body;
    assert_eq!(seen["departed_from"], place["place"]);
    assert_eq!((&seen["arrived_at"], &seen["remaining_fen"]), (&Value::Null, &json!(19_800)));
    assert_eq!(seen["customer"]["preferences_version"], 0);
    let preferences = format!("{path}/preferences");
    let kept = b.put(&preferences, json!({"text": "不要精油", "version": 0})).await.expect(200);
    assert_eq!(kept.body, json!({"text": "不要精油", "version": 1}));
    let stale = manager.put(&preferences, json!({"text": "x", "version": 0})).await;
    stale.refused(409, "stale_version");
    assert_eq!(stale.body["current"], kept.body);
    manager
        .put(&preferences, json!({"text": "不要精油,水温高一点", "version": 1}))
        .await
        .check(200);
    b.put(format!("{path}/note"), json!({"note": "右肩紧"})).await.check(204);

    // Finish with photos; with something due it waits for the counter.
    let nothing = json!({"photos": ["0".repeat(32)]});
    visit.mark(&b, "finish", nothing).await.refused(422, "unknown_photo");
    let photo =
        b.call(Method::POST, "/api/v1/staff/photos").body("image/png", PNG).await.expect(201);
    let photo = photo.text("/id").to_owned();
    let done = visit.mark(&b, "finish", json!({"photos": [photo]})).await.expect(200);
    let order = &done.body["order"];
    assert_eq!((&order["status"], &order["remaining_fen"]), (&json!("in_service"), &json!(19_800)));
    assert!(order["ended_at"].is_string());
    assert_eq!(order["lines"][0]["visit"]["photos"], json!([photo]));
    let settle = format!("/api/v1/staff/orders/{}/settle", visit.order);
    cashier.post(settle, json!({"channel": "cash"})).idempotent().await.check(200);
    let events = ["booked", "departed", "arrived", "started", "finished", "settled"];
    assert_eq!(visit.timeline().await, events);
    let detail = visit.detail().await;
    assert_eq!(detail["order"]["status"], "completed");
    // The notes and places are the staff's.
    let text = detail.to_string();
    assert!(
        !text.contains("右肩紧") && !text.contains("不要精油") && !text.contains("121.4"),
        "{text}"
    );

    // The next technician reads it; so does the technician of the next page.
    let next = Appointment::of(&visit.member, &shop, 0).await;
    let seen = a.get(format!("/api/v1/staff/appointments/{}", next.line)).await.expect(200).body;
    let customer = &seen["customer"];
    assert_eq!((&customer["visits"], &customer["no_shows"]), (&json!(1), &json!(0)));
    assert_eq!(customer["preferences"], "不要精油,水温高一点");
    // A visit of the past is one that has begun.
    let history = format!("/api/v1/staff/appointments/{}/history?limit=1", next.line);
    let past = a.get(&history).await.expect(200).body;
    let begun = ms(&visit.start_at) <= now_ms();
    assert_eq!(past["items"].as_array().expect("a list").len(), usize::from(begun), "{past}");

    // Each has their own day.
    for (staff, mine, not) in [(&a, &next, &visit), (&b, &visit, &next)] {
        let path = format!("/api/v1/staff/my/day?date={}", &mine.start_at[..10]);
        let day = staff.get(path).await.expect(200);
        let text = day.body.to_string();
        assert!(text.contains(&mine.line) && !text.contains(&not.line), "{text}");
    }
    assert_eq!(
        manager.get(format!("/api/v1/staff/my/day?date={}", today())).await.expect(200).body["items"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_moves_an_appointment_so_often_and_no_more() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(1, Hours::Day, json!({"max_moves": 2})).await;
    let member = stack.some_member().await;
    let booked = shop.book(&member, None, &at(2, "10:00")).await.expect(201);
    assert_eq!(booked.body["order"]["moves_left"], 2);
    let (order, line) = (booked.text("/order/id"), booked.text("/order/lines/0/id"));
    let to = |clock: &str| json!({"line_id": line, "start_at": at(2, clock)});
    let path = format!("/api/v1/orders/{order}/reschedule");
    for (clock, left) in [("11:00", 1), ("12:00", 0)] {
        let moved = member.post(&path, to(clock)).idempotent().await.expect(200);
        assert_eq!(moved.body["order"]["moves_left"], left);
    }
    member.post(&path, to("13:00")).idempotent().await.refused(409, "too_many_moves");
    // Staff may, and it does not count as the member's.
    let staff = format!("/api/v1/staff/orders/{order}/reschedule");
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let moved = cashier.post(staff, to("13:00")).idempotent().await.expect(200);
    assert_eq!(moved.body["order"]["moves_left"], 0);
    let seen = member.get(format!("/api/v1/orders/{order}")).await.expect(200).body;
    assert_eq!(
        (&seen["order"]["moves_left"], &seen["order"]["lines"][0]["start_at"]),
        (&json!(0), &json!(at(2, "13:00")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_for_whoever_has_its_address() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let mine = technician(&stack, &shop, 0).await;
    let anybody = stack.api();
    let member = stack.some_member().await;
    let kept = shop.book(&member, None, &at(1, "10:00")).await.expect(201);
    let given_up = shop.book(&member, None, &at(1, "12:00")).await.expect(201);
    let far = shop.book(&member, None, &at(89, "10:00")).await.expect(201);
    member
        .post(format!("/api/v1/orders/{}/cancel", given_up.text("/order/id")), json!({}))
        .await
        .check(200);

    let my_feed = "/api/v1/staff/my/feed";
    assert_eq!(mine.get(my_feed).await.expect(200).body, json!({"made_at": null}));
    let path = mine.post(my_feed, json!({})).await.expect(201).text("/path").to_owned();
    assert!(mine.get(my_feed).await.expect(200).body["made_at"].is_string());
    let read = anybody.get(&path).await.expect(200);
    assert_eq!(read.header("content-type"), "text/calendar; charset=utf-8");
    let text = String::from_utf8(read.bytes.to_vec()).expect("UTF-8");
    assert!(text.starts_with("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"), "{text}");
    assert!(text.ends_with("END:VEVENT\r\nEND:VCALENDAR\r\n"), "{text}");
    let line = |reply: &zhundian_tests::Reply| reply.text("/order/lines/0/id").to_owned();
    let uid = format!("UID:{}@zhundian\r\n", line(&kept));
    assert!(
        text.contains(&uid) && text.contains(&line(&far)) && !text.contains(&line(&given_up)),
        "{text}"
    );
    assert!(text.contains("SEQUENCE:0\r\n"), "{text}");
    let start = |clock: &str| format!("DTSTART:{}T{clock}Z\r\n", date(1).replace('-', ""));
    assert!(text.contains(&start("020000")), "{text}");
    let log = stack.logged(&read).await;
    assert_eq!((&log["d1_batches"], &log["route"]), (&json!(1), &json!("/ics/{file}")));

    // A move is another version of the same.
    let body = json!({"line_id": line(&kept), "start_at": at(1, "11:00")});
    let moved = format!("/api/v1/orders/{}/reschedule", kept.text("/order/id"));
    member.post(moved, body).idempotent().await.check(200);
    let text =
        String::from_utf8(anybody.get(&path).await.expect(200).bytes.to_vec()).expect("UTF-8");
    assert!(
        text.contains(&uid) && text.contains("SEQUENCE:1\r\n") && text.contains(&start("030000")),
        "{text}"
    );

    // What the database has is not what the address has.
    let secret = path.trim_start_matches("/ics/").trim_end_matches(".ics");
    let staff = "SELECT group_concat(coalesce(feed_digest, '')) AS it FROM staff";
    let digests = stack.it(staff).as_str().expect("text").to_owned();
    assert!(!digests.contains(secret));
    for wrong in [
        format!("/ics/{secret}"),
        "/ics/.ics".into(),
        format!("/ics/{secret}A.ics"),
        "/ics/x.ics".into(),
    ] {
        anybody.get(&wrong).await.refused(404, "not_found");
    }
    // Another one makes the first void; taken away there is none.
    let second = mine.post(my_feed, json!({})).await.expect(201).text("/path").to_owned();
    anybody.get(&path).await.refused(404, "not_found");
    anybody.get(&second).await.check(200);
    mine.delete(my_feed).await.check(204);
    anybody.get(&second).await.refused(404, "not_found");
    // Somebody who has left has none either, and somebody who is no technician an empty one.
    let owner = stack.owner().await;
    let empty = owner.post(my_feed, json!({})).await.expect(201).text("/path").to_owned();
    let text =
        String::from_utf8(anybody.get(&empty).await.expect(200).bytes.to_vec()).expect("UTF-8");
    assert!(!text.contains("VEVENT") && text.contains("BEGIN:VTIMEZONE"), "{text}");
}

/// Changes what a store does about visits by itself.
async fn set_rules(stack: &Stack, shop: &Shop, rules: Value) {
    let (owner, path) = (stack.owner().await, format!("/api/v1/admin/stores/{}", shop.store));
    let mut store = owner.get(&path).await.expect(200).body;
    store["visit"] = rules;
    store.as_object_mut().expect("an object").remove("id");
    owner.put(path, store).await.check(200);
}

/// These orders begin so many milliseconds from now, and last an hour.
fn begin(orders: &[&str], from_now: i64) -> String {
    let (start, ids) = (now_ms() + from_now, orders.join("', '"));
    format!(
        "UPDATE orders SET start_at = {start} WHERE id IN ('{ids}');
         UPDATE order_line SET start_at = {start}, end_at = {start} + {HOUR} WHERE order_id IN ('{ids}');"
    )
}

fn outcome(stack: &Stack, job: &str) -> String {
    let outcome = stack.it(&format!("SELECT outcome AS it FROM job WHERE name = '{job}'"));
    outcome.as_str().expect("an outcome").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::too_many_lines,
    reason = "a day told in order: each restart of the stack takes seconds"
)]
async fn visits_end_by_themselves() {
    let stack = Stack::start().await;
    let tiers = json!([{"until_minutes_before": 120, "refund_percent": 50}, {"until_minutes_before": -60, "refund_percent": 20}]);
    let service = json!({"deposit": {"kind": "none"}, "cancellation": tiers});
    let shop = stack.shop_with(1, Hours::Day, service.clone()).await;
    let strict = stack.shop_with(1, Hours::Day, service).await;
    let rules = json!({"complete_after_minutes": 20, "no_show_after_minutes": 15, "prepay_after_no_shows": 1});
    set_rules(&stack, &strict, rules).await;
    let cashier = stack.staff("cashier", None).await;

    // Without a rule of who did not come: what is paid is completed, what is not waits for the counter.
    let (paid, _) = Visit::paid(&stack, &shop, &at(1, "10:00")).await;
    let (just_over, _) = Visit::paid(&stack, &shop, &at(1, "11:00")).await;
    let (absent, absent_payment) = Visit::paid(&stack, &shop, &at(1, "12:00")).await;
    let unpaid = Visit::of(&stack.some_member().await, &shop, &at(1, "13:00"), "at_store").await;
    let served = Visit::of(&stack.some_member().await, &shop, &at(1, "14:00"), "at_store").await;
    // With one: who came, who was a little late, who did not come.
    let (late, late_payment) = Visit::paid(&stack, &strict, &at(1, "10:00")).await;
    let (waiting, _) = Visit::paid(&stack, &strict, &at(1, "11:00")).await;
    let came = Visit::of(&stack.some_member().await, &strict, &at(1, "12:00"), "at_store").await;
    let on_the_way =
        Visit::of(&stack.some_member().await, &strict, &at(1, "13:00"), "at_store").await;

    let (minute, order) = (60_000, |visit: &Visit| visit.order.clone());
    let over = [order(&paid), order(&unpaid), order(&served)];
    let over: Vec<&str> = over.iter().map(String::as_str).collect();
    let sql = [
        begin(&over, -HOUR - 31 * minute),
        begin(&[&just_over.order], -HOUR - 29 * minute),
        begin(&[&absent.order], -minute),
        begin(&[&late.order], -16 * minute),
        begin(&[&waiting.order], -14 * minute),
        begin(&[&came.order, &on_the_way.order], -16 * minute),
        format!(
            "UPDATE orders SET status = 'in_service', checked_in_at = start_at WHERE id = '{}';",
            served.order
        ),
        format!("UPDATE orders SET checked_in_at = start_at WHERE id = '{}';", came.order),
        format!(
            "UPDATE order_line SET departed_at = start_at WHERE order_id = '{}';",
            on_the_way.order
        ),
    ];
    stack.change_d1(&sql.concat()).await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "complete_visits"), "1 completed, 2 unpaid, 0 waiting");
    assert_eq!(outcome(&stack, "mark_no_shows"), "1 marked, 0 waiting");
    for (visit, status) in [
        (&paid, "completed"),
        (&just_over, "confirmed"),
        (&unpaid, "confirmed"),
        (&served, "in_service"),
        (&late, "no_show"),
        (&waiting, "confirmed"),
        (&came, "confirmed"),
        (&on_the_way, "confirmed"),
    ] {
        assert_eq!(visit.see().await["status"], status, "{:?}", visit.timeline().await);
    }
    assert_eq!(paid.timeline().await.last().expect("some"), "completed");
    for visit in [&unpaid, &served] {
        assert_eq!(visit.timeline().await, ["booked", "ended_unpaid"]);
        let order = visit.see().await;
        assert!(order["ended_at"].is_string() && order["remaining_fen"] == 19_800, "{order}");
    }
    // Once each; and the counter ends what waits.
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "complete_visits"), "0 completed, 0 unpaid, 0 waiting");
    assert_eq!(outcome(&stack, "mark_no_shows"), "0 marked, 0 waiting");
    let settle = format!("/api/v1/staff/orders/{}/settle", served.order);
    cashier.post(settle, json!({"channel": "cash"})).idempotent().await.check(200);
    assert_eq!(served.see().await["status"], "completed");

    // Whoever did not come gets a fifth back, as the last tier says, whoever it is that notes it.
    let no_show = format!("/api/v1/staff/orders/{}/no-show", absent.order);
    let calls = (0..4).map(|_| cashier.post(&no_show, json!({})));
    let replies = at_once(calls).await;
    assert!(count(&replies, 200) >= 1, "{replies:?}");
    assert!(replies.iter().all(|reply| reply.status == 200 || reply.code() == "order_changed"));
    let noted = cashier.post(&no_show, json!({})).await.expect(200);
    assert_eq!(noted.body["order"]["status"], "no_show");
    for (visit, payment) in [(&absent, &absent_payment), (&late, &late_payment)] {
        eventually("a fifth is back", Duration::from_secs(20), async || {
            let payment = stack.vendors().payment(payment).await.expect("ordered");
            (payment.refunded() == 3_960).then_some(())
        })
        .await;
        let refunds = format!(
            "SELECT count(*) || ' ' || max(cause) AS it FROM refund WHERE order_id = '{}'",
            visit.order
        );
        assert_eq!(stack.it(&refunds), "1 no_show");
        stack
            .d1_becomes(
                &format!("SELECT status AS it FROM refund WHERE order_id = '{}'", visit.order),
                "succeeded",
            )
            .await;
        assert_eq!(stack.balance(&format!("order:{}", visit.order)), 15_840);
        let order = visit.see().await;
        assert_eq!(
            (&order["refunded_fen"], &order["remaining_fen"]),
            (&json!(3_960), &json!(0)),
            "{order}"
        );
        let count = format!(
            "SELECT m.no_shows AS it FROM member m JOIN orders o ON o.member_id = m.id WHERE o.id = '{}'",
            visit.order
        );
        assert_eq!(stack.it(&count), 1);
        // Whoever comes after all has no appointment.
        let check_in = format!("/api/v1/staff/orders/{}/check-in", visit.order);
        cashier.post(check_in, json!({})).await.refused(409, "order_not_changeable");
    }

    // Where the store says so they pay before the next one; staff may still book for them.
    let start = at(2, "10:00");
    strict.book(&late.member, None, &start).await.refused(409, "prepay_required");
    strict.book(&waiting.member, None, &start).await.check(201);
    shop.book(&late.member, None, &start).await.check(201);
    Visit::of(&late.member, &strict, &at(2, "12:00"), "online").await;
    let member = late.member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
    let body = json!({"store_id": strict.store, "service_id": strict.service, "start_at": at(2, "14:00"), "member_id": member});
    cashier.post("/api/v1/staff/bookings", body).idempotent().await.check(201);

    // Cron runs that were missed are made up for: the one who waited comes in time, the others are over.
    stack
        .change_d1(
            &[
                begin(&[&just_over.order, &came.order, &on_the_way.order], -30 * HOUR),
                begin(&[&waiting.order], -30 * HOUR),
            ]
            .concat(),
        )
        .await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "mark_no_shows"), "1 marked, 0 waiting");
    assert_eq!(outcome(&stack, "complete_visits"), "1 completed, 2 unpaid, 0 waiting");
    assert_eq!(waiting.see().await["status"], "no_show");
    // What they missed is in the history that the next technician reads.
    let line = stack.it(&format!(
        "SELECT l.id AS it FROM order_line l JOIN orders o ON o.id = l.order_id
        WHERE o.member_id = '{member}' AND o.store_id = '{}' AND o.status = 'confirmed'",
        shop.store
    ));
    let line = line.as_str().expect("an id");
    let history = format!("/api/v1/staff/appointments/{line}/history");
    let past = cashier.get(&history).await.expect(200).body;
    assert_eq!(past["items"][0]["order_id"], late.order, "{past}");
    assert_eq!(past["items"][0]["status"], "no_show");
    assert_eq!(past["items"].as_array().expect("a list").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_check_in_is_not_absent_by_rule() {
    let stack = Stack::start().await;
    stack.plans(true).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let fields = json!({"modes": ["direct", "group"], "places": ["store", "home"],
        "deposit": {"kind": "none"}});
    let shop = stack.shop_with(2, Hours::Day, fields).await;
    let plans = stack.shop_with(1, Hours::Day, json!({"modes": ["plan"]})).await;
    for shop in [&shop, &plans] {
        set_rules(&stack, shop, json!({"complete_after_minutes": 20, "no_show_after_minutes": 15}))
            .await;
    }
    let path = format!("/api/v1/admin/stores/{}", shop.store);
    let mut store = owner.get(&path).await.expect(200).body;
    (store["latitude"], store["longitude"]) = (31.2235.into(), 121.446.into());
    store["home_service"] = json!({
        "area": {"kind": "radius", "metres": 20_000},
        "fees": [{"up_to_metres": 20_000, "fee_fen": 0}],
        "speeds": [{"up_to_metres": 50_000, "metres_per_minute": 250}], "handover_minutes": 5,
    });
    store.as_object_mut().expect("a store").remove("id");
    owner.put(&path, store).await.check(200);

    // At home, of a plan, in a class, and in the store.
    let body = json!({"label": "家", "contact_name": "林女士", "contact_phone": "13900001111",
        "text": "江宁路 1 号", "latitude": 31.23, "longitude": 121.446});
    let address = member.post("/api/v1/me/addresses", body).await.expect(201);
    let mut body = shop.booking(None, &at(1, "12:00"));
    (body["place"], body["address_id"]) = ("home".into(), address.text("/id").into());
    let home = member.post("/api/v1/bookings", body).idempotent().await.expect(201);
    let me = member.get("/api/v1/me").await.expect(200);
    let body = json!({"store_id": plans.store, "service_id": plans.service,
        "technician_id": plans.technicians[0], "member_id": me.text("/id"), "rhythm": "weekly",
        "starts": [at(1, "12:00")], "times": 1});
    let plan = owner.post("/api/v1/staff/plans", body).idempotent().await.expect(201);
    let body = json!({"store_id": shop.store, "service_id": shop.service, "capacity": 3,
        "technician_id": shop.technicians[0], "starts": [at(1, "16:00")]});
    let class = owner.post("/api/v1/admin/sessions", body).idempotent().await.expect(201);
    let path = format!("/api/v1/sessions/{}/bookings", class.text("/sessions/0/id"));
    let body = json!({"seats": 1, "payment": "at_store"});
    let seat = member.post(path, body).idempotent().await.expect(201);
    let here = shop.book(&member, None, &at(1, "18:00")).await.expect(201);
    let [home, seat, here] = [&home, &seat, &here].map(|booked| booked.text("/order/id"));
    let planned = plan.text("/plan/sessions/0/id");
    let status =
        |order: &str| stack.it(&format!("SELECT status AS it FROM orders WHERE id = '{order}'"));

    stack.change_d1(&begin(&[home, planned, seat, here], -16 * 60_000)).await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "mark_no_shows"), "2 marked, 0 waiting");
    assert_eq!([home, planned].map(status), ["confirmed", "confirmed"]);
    assert_eq!([seat, here].map(status), ["no_show", "no_show"]);
    // Over, they end as any: the session of the plan is done, and both wait for the counter.
    stack.change_d1(&begin(&[home, planned], -2 * HOUR)).await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "mark_no_shows"), "0 marked, 0 waiting");
    let done = format!(
        "SELECT (session_done_at IS NOT NULL) || ' ' || (ended_at IS NOT NULL) AS it FROM orders
            WHERE id = '{planned}'"
    );
    assert_eq!(stack.it(&done), "1 1");
    assert_eq!([home, planned].map(status), ["confirmed", "confirmed"]);
}
