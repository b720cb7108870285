//! What is seen from outside when something is wrong, and what is seen of it inside: 503s, `/healthz`,
//! the log, 429s, `GET /api/v1/admin/operations`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::money::{Fault, Forgery, Pay, Provider};
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Reply, Stack, Visit, eventually, forge, now_ms};

const BOOKINGS: &str = "/api/v1/bookings";

/// 503 `unavailable`, worth another try.
#[track_caller]
fn unavailable(reply: &Reply) {
    reply.refused(503, "unavailable");
    let seconds: u32 = reply.header("retry-after").parse().expect("Retry-After in seconds");
    assert!((1..=60).contains(&seconds), "{}: {seconds}", reply.what);
    has_the_usual_headers(reply);
    // What went wrong is for the log.
    let text = String::from_utf8_lossy(&reply.bytes).to_lowercase();
    let text = text.replace(reply.text("/request_id"), "");
    for word in ["d1", "sql", "table", "technician:", "calendar", "rust"] {
        assert!(!text.contains(word), "{}: {text}", reply.what);
    }
}

#[track_caller]
fn has_the_usual_headers(reply: &Reply) {
    let expected = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-site"),
    ];
    for (name, value) in expected {
        assert_eq!(reply.header(name), value, "{}: {name}", reply.what);
    }
    assert!(reply.header("strict-transport-security").starts_with("max-age="), "{}", reply.what);
    assert!(!reply.header("cache-control").is_empty(), "{}", reply.what);
    let id = reply.header("x-request-id");
    let hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(id.len() == 32 && hex, "{}: request id {id:?}", reply.what);
}

async fn health(stack: &Stack) -> (u16, Value) {
    let reply = stack.api().get("/healthz").await;
    has_the_usual_headers(&reply);
    (reply.status, reply.body)
}

#[tokio::test]
async fn d1_not_answering_is_503_and_nothing_is_lost() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let body = shop.booking(None, &slots[0].start_at);
    let book = |key: &'static str| member.post(BOOKINGS, body.clone()).key(key);
    let availability = format!(
        "/api/v1/availability?store_id={}&service_id={}&from={}&days=1",
        shop.store,
        shop.service,
        date(1)
    );
    let before = stack.everything().await;

    // One table away: what reads it fails, the rest goes on.
    stack.kill_worker();
    stack.write_d1("ALTER TABLE service RENAME TO service_away");
    stack.restart_worker().await;
    unavailable(&member.get(&availability).await);
    unavailable(&book("while-d1-is-away").await);
    unavailable(&stack.owner().await.get("/api/v1/admin/services").await);
    member.get("/api/v1/me").await.check(200);
    stack.kill_worker();
    stack.write_d1("ALTER TABLE service_away RENAME TO service");
    before.assert_same(&stack.everything().await, "a call that D1 did not answer");

    // The commit fails after the hold: the time is held, no order stands, and the same operation
    // succeeds later with the same claim.
    stack.write_d1("ALTER TABLE order_line RENAME TO order_line_away");
    stack.restart_worker().await;
    unavailable(&book("while-d1-is-away").await);
    stack.kill_worker();
    stack.write_d1("ALTER TABLE order_line_away RENAME TO order_line");
    stack.restart_worker().await;
    book("while-d1-is-away").await.check(201);
    assert_eq!(stack.d1("SELECT count(*) AS n FROM orders")[0]["n"], 1);

    // The whole file broken: everything that needs it is 503, and /healthz says what.
    stack.kill_worker();
    stack.write_d1("SELECT 1");
    let file = stack.d1_file();
    let good = fs::read(&file).expect("the file is read");
    let mut bad = good.clone();
    bad[..64].fill(0x55);
    fs::write(&file, bad).expect("the file is written");
    stack.restart_worker_until(503).await;
    let (status, body) = health(&stack).await;
    assert_eq!((status, body), (503, json!({"ok": false, "database": false, "calendars": true})));
    unavailable(&member.get("/api/v1/me").await);
    unavailable(&stack.api().get("/api/v1/stores").await);
    unavailable(&stack.owner().await.get("/api/v1/admin/operations").await);
    unavailable(&stack.api().post("/api/v1/auth/code", json!({"phone": some_phone()})).await);
    stack.kill_worker();
    fs::write(&file, good).expect("the file is written");
    stack.restart_worker().await;
    assert_eq!(health(&stack).await.0, 200);
    member.get("/api/v1/me").await.check(200);
}

#[tokio::test]
async fn a_calendar_not_answering_is_503_and_the_same_booking_then_succeeds() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let old = shop.book(&member, None, &slots[60].start_at).await.expect(201);
    let (order, line) =
        (old.text("/order/id").to_owned(), old.text("/order/lines/0/id").to_owned());
    let before = stack.everything().await;
    let calendar = format!("technician:{}", shop.technicians[0]);
    let rules = &stack
        .calendars("SELECT rules FROM window")
        .into_iter()
        .find(|(name, _)| *name == calendar)
        .expect("the technician's calendar")
        .1[0]["rules"];
    let rules = rules.as_str().expect("text").to_owned();
    let book =
        || member.post(BOOKINGS, shop.booking(None, &slots[0].start_at)).key("while-it-is-away");
    let moved = || {
        let body = json!({"line_id": line, "start_at": slots[30].start_at});
        member.post(format!("/api/v1/orders/{order}/reschedule"), body).key("moved-while-away")
    };
    let owner = stack.owner().await;

    stack.kill_worker();
    stack.write_calendar(&calendar, "UPDATE window SET rules = 'no rules'");
    stack.restart_worker().await;
    unavailable(&book().await);
    unavailable(&moved().await);
    let off = json!({"start_at": slots[0].start_at, "end_at": slots[1].start_at});
    let path = format!("/api/v1/admin/technicians/{}/windows/times-off", shop.technicians[0]);
    unavailable(&owner.post(path, off).await);
    // Reading what is free needs no calendar, and other calendars answer.
    assert!(!shop.slots(&member, None, &date(1), 1).await.is_empty());
    assert_eq!(health(&stack).await.0, 200);
    stack.kill_worker();
    stack.write_calendar(&calendar, &format!("UPDATE window SET rules = '{rules}'"));
    before.assert_same(&stack.everything().await, "a call that the calendar did not answer");
    stack.restart_worker().await;
    book().await.check(201);
    moved().await.check(200);
    let orders = member.get("/api/v1/orders").await.expect(200);
    assert_eq!(orders.body["items"].as_array().map(Vec::len), Some(2));

    // What a cancelled order gives back waits in the outbox until the calendar is there again.
    stack.kill_worker();
    stack.write_calendar(&calendar, "ALTER TABLE claim RENAME TO away");
    stack.restart_worker().await;
    member.post(format!("/api/v1/orders/{order}/cancel"), json!({})).await.check(200);
    let failed = "SELECT count(*) AS n FROM outbox WHERE topic = 'release' AND attempts > 0";
    eventually("a failed delivery", Duration::from_secs(20), async || {
        let _ = stack.run_cron("* * * * *").await;
        (stack.d1(failed)[0]["n"] == 1).then_some(())
    })
    .await;
    stack.kill_worker();
    stack.write_calendar(&calendar, "ALTER TABLE away RENAME TO claim");
    // The health check's own object.
    stack.write_calendar("health:check", "UPDATE window SET rules = 'no rules'");
    stack.restart_worker_until(503).await;
    let (status, body) = health(&stack).await;
    assert_eq!((status, body), (503, json!({"ok": false, "database": true, "calendars": false})));
    let _ = stack.everything().await;
    let free: Vec<_> = shop.slots(&member, None, &date(1), 1).await;
    assert!(free.iter().any(|slot| slot.start_at == slots[30].start_at), "given back");
}

/// Variables with other values than usual.
type Vars = &'static [(&'static str, &'static str)];

#[tokio::test]
async fn a_wrong_configuration_is_refused_by_the_variables_name() {
    const PLAIN: &str = "http://wechat.example.com/kept-to-ourselves";
    const HTTPS: &str = "https://api.example.com";
    const SHORT: &str = "k1:c2hvcnQta2VwdC10by1vdXJzZWx2ZXM";
    let cases: [(Vars, &str, &str); 3] = [
        (
            &[
                ("ENVIRONMENT", "production"),
                ("WECHAT_BASE_URL", PLAIN),
                ("WECHAT_PAY_MCHID", ""),
                ("ALIPAY_APP_ID", ""),
            ],
            "WECHAT_BASE_URL",
            PLAIN,
        ),
        (
            &[
                ("ENVIRONMENT", "production"),
                ("WECHAT_BASE_URL", HTTPS),
                ("SMS_BASE_URL", "https://127.0.0.1:9"),
                ("WECHAT_PAY_MCHID", ""),
                ("ALIPAY_APP_ID", ""),
            ],
            "SMS_BASE_URL",
            "127.0.0.1:9",
        ),
        (&[("TOKEN_KEYS", SHORT)], "TOKEN_KEYS", "c2hvcnQ"),
    ];
    for (vars, name, value) in cases {
        let stack = Stack::start_unwell(vars, 503).await;
        let api = stack.api();
        let member = api.clone().with_token("a.b.c");
        let calls = [
            api.get("/healthz"),
            api.get("/openapi.json"),
            api.get("/api/v1/stores"),
            api.get("/nothing"),
            member.get("/api/v1/me"),
            member.post(BOOKINGS, json!({})).idempotent(),
            api.post("/api/v1/auth/code", json!({"phone": some_phone()})),
        ];
        for call in calls {
            let reply = call.await;
            reply.refused(503, "misconfigured");
            has_the_usual_headers(&reply);
            assert!(reply.text("/title").contains(name), "{}", reply.body);
            assert!(!reply.header("retry-after").is_empty());
            assert!(!String::from_utf8_lossy(&reply.bytes).contains(value), "{}", reply.body);
        }
        let log = stack.worker_log();
        let told = |line: &&Value| {
            line["event"] == "misconfigured" && line["cause"].to_string().contains(name)
        };
        assert!(json_lines(&log).iter().filter(told).count() >= 8, "{log}");
        assert!(!log.contains(value), "{log}");
    }
}

/// What the Worker itself logged; wrangler paints what is an error or a warning.
fn json_lines(log: &str) -> Vec<Value> {
    let json = |line: &str| {
        let part = line.get(line.find('{')?..=line.rfind('}')?)?;
        serde_json::from_str(part).ok()
    };
    log.lines().filter_map(json).collect()
}

/// The log's lines of requests, by request id.
fn request_lines(log: &str) -> HashMap<String, Vec<Value>> {
    let mut lines: HashMap<String, Vec<Value>> = HashMap::new();
    for line in json_lines(log).into_iter().filter(|line| line["event"] == "request") {
        let id = line["request_id"].as_str().expect("a request id").to_owned();
        lines.entry(id).or_default().push(line);
    }
    lines
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn the_log_has_a_line_for_each_request_and_no_secrets() {
    let stack = Stack::start().await;
    let mut secrets: Vec<String> = Vec::new();
    let mut replies: Vec<(Reply, &str, &str)> = Vec::new();
    let owner = stack.owner().await;
    secrets.push(owner.token().expect("a token").to_owned());
    secrets.push("13800000000".into());
    let shop = stack.shop(1, Hours::Day).await;

    let openid = "o-secret-openid-7261";
    let login = stack.sandbox().post("/login", json!({"openid": openid})).await.expect(200);
    let code = login.text("/code").to_owned();
    let nobody = stack.api();
    let wechat = "/api/v1/auth/wechat";
    let signed_in = nobody.post(wechat, json!({"code": code})).await.expect(200);
    let member = nobody.clone().with_token(signed_in.text("/token"));
    replies.push((nobody.post(wechat, json!({"code": code})).await, wechat, "nobody"));
    secrets.extend([openid.into(), code, signed_in.text("/token").to_owned()]);
    replies.push((signed_in, wechat, "nobody"));

    let phone = some_phone();
    let since = now_ms();
    let asked = nobody.post("/api/v1/auth/code", json!({"phone": phone})).await.expect(202);
    replies.push((asked, "/api/v1/auth/code", "nobody"));
    let code = stack.sms_code(&phone, since).await;
    let body = json!({"phone": phone, "code": code});
    let by_phone = nobody.post("/api/v1/auth/phone", body).await.expect(200);
    let other = nobody.clone().with_token(by_phone.text("/token"));
    secrets.extend([phone.clone(), by_phone.text("/token").to_owned()]);
    replies.push((by_phone, "/api/v1/auth/phone", "nobody"));
    let refused = nobody.post("/api/v1/auth/code", json!({"phone": phone})).await;
    refused.refused(429, "rate_limited");
    replies.push((refused, "/api/v1/auth/code", "nobody"));

    let (nickname, note, reason) = ("密名七二六一", "secret note 7261", "secret reason 7261");
    secrets.extend([nickname.into(), note.into(), reason.into()]);
    let me = "/api/v1/me";
    replies.push((member.patch(me, json!({"nickname": nickname})).await, me, "member"));
    replies.push((other.get(me).await, me, "member"));
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let mut body = shop.booking(None, &slots[0].start_at);
    body["note"] = note.into();
    let booked = member.post(BOOKINGS, body.clone()).key("secret-key-7261").await.expect(201);
    secrets.push("secret-key-7261".into());
    let order = format!("/api/v1/orders/{}", booked.text("/order/id"));
    let booked_id = booked.header("x-request-id").to_owned();
    replies.push((booked, BOOKINGS, "member"));
    let taken = other.post(BOOKINGS, body).idempotent().await;
    taken.refused(409, "slot_taken");
    replies.push((taken, BOOKINGS, "member"));
    replies.push((member.get(&order).await, "/api/v1/orders/{id}", "member"));
    let cancel = member.post(format!("{order}/cancel"), json!({"reason": reason})).await;
    replies.push((cancel, "/api/v1/orders/{id}/cancel", "member"));

    let found = owner.get(format!("/api/v1/staff/members?phone={phone}")).await.expect(200);
    replies.push((found, "/api/v1/staff/members", "staff"));
    let contact = some_phone();
    let body = json!({"store_id": shop.store, "service_id": shop.service,
        "start_at": slots[20].start_at, "contact_phone": contact, "contact_name": nickname});
    let staff_bookings = "/api/v1/staff/bookings";
    let walked_in = owner.post(staff_bookings, body).idempotent().await.expect(201);
    replies.push((walked_in, staff_bookings, "staff"));
    secrets.push(contact);

    // What is refused is logged no more freely.
    let broken = format!("{{\"phone\":\"{phone}\",\"code\":\"{note}\"");
    let bad = nobody.call(Method::POST, "/api/v1/auth/phone").body("application/json", broken);
    replies.push((bad.await, "/api/v1/auth/phone", "nobody"));
    let wrong = json!({"phone": [phone], "code": {"x": note}});
    replies.push((nobody.post("/api/v1/auth/phone", wrong).await, "/api/v1/auth/phone", "nobody"));
    let unknown = json!({ (note): 1 });
    replies.push((nobody.post(wechat, unknown).await, wechat, "nobody"));
    let forged = forge::forged(member.token().expect("a token"));
    replies.push((nobody.clone().with_token(&forged).get(me).await, me, "nobody"));
    replies.push((member.get("/api/v1/staff/me").await, "/api/v1/staff/me", "nobody"));
    secrets.push(forged);
    let nowhere = format!("/lost/{}", "x".repeat(10));
    replies.push((nobody.get(nowhere).await, "unmatched", "nobody"));
    replies.push((nobody.call(Method::DELETE, "/api/v1/stores").await, "", "nobody"));
    let large = nobody.call(Method::POST, wechat).body("application/json", vec![b' '; 70_000]);
    replies.push((large.await, "unmatched", "nobody"));

    // Money: what lets the customer pay, who pays, and all that goes wrong with it.
    let pay = "/api/v1/orders/{id}/pay";
    let vendors = stack.vendors();
    let visit = Visit::of(&member, &shop, &slots[40].start_at, "online").await;
    for kind in ["drop", "garbage", "bad_signature", "refuse"] {
        vendors.fault(Fault::new(Provider::WechatPay, kind).times(2)).await;
        replies.push((visit.pay("wechat_jsapi").await.expect(503), pay, "member"));
        let _ = vendors.clear_faults().await;
    }
    let asked = visit.pay("wechat_jsapi").await.expect(200);
    let number = asked.text("/payment/id").to_owned();
    for field in ["package", "paySign", "nonceStr"] {
        secrets.push(asked.text(&format!("/wechat_parameters/{field}")).to_owned());
    }
    replies.push((asked, pay, "member"));
    for kind in Forgery::OF_WECHAT_PAY {
        let _ = vendors.forge(&number, kind).await;
    }
    let shipping = "/wxa/sec/order/upload_shipping_info";
    let fault = json!({"provider": "wechat", "kind": "refuse", "path": shipping, "times": 2});
    stack.sandbox().post("/faults", fault).await.check(200);
    vendors.pay(&number).await;
    visit.becomes("confirmed").await;
    vendors.fault(Fault::new(Provider::WechatPay, "garbage")).await;
    visit.cancel().await;
    stack
        .d1_becomes(
            "SELECT count(*) > 0 AS it FROM outbox WHERE attempts > 0 AND topic = 'refund'",
            1,
        )
        .await;
    let visit = Visit::of(&other, &shop, &slots[60].start_at, "online").await;
    let asked = visit.pay("wechat_native").await.expect(200);
    let payer = "oSomebodyWhoPays7261";
    secrets.extend([payer.to_owned(), asked.text("/code_url").to_owned()]);
    let how = Pay { openid: Some(payer.to_owned()), ..Pay::default() };
    vendors.pay_as(asked.text("/payment/id"), &how).await.check(200);
    replies.push((asked, pay, "member"));
    visit.becomes("confirmed").await;
    let visit = Visit::of(&other, &shop, &slots[80].start_at, "online").await;
    let asked = visit.pay("alipay_qr").await.expect(200);
    secrets.push(asked.text("/code_url").to_owned());
    for kind in Forgery::OF_ALIPAY {
        let _ = vendors.forge(asked.text("/payment/id"), kind).await;
    }
    vendors.fault(Fault::new(Provider::Alipay, "bad_signature").times(2)).await;
    let changed = visit.pay("wechat_native").await.expect(503);
    replies.extend([(asked, pay, "member"), (changed, pay, "member")]);
    let _ = vendors.clear_faults().await;

    for name in [
        "TOKEN_KEYS",
        "WECHAT_SECRET",
        "SMS_SECRET_ID",
        "SMS_SECRET_KEY",
        "PROXY_SECRET",
        "WECHAT_PAY_PRIVATE_KEY",
        "WECHAT_PAY_API_V3_KEY",
        "ALIPAY_PRIVATE_KEY",
    ] {
        secrets.push(stack.var(name).to_owned());
    }

    let last = replies.last().expect("some").0.header("x-request-id").to_owned();
    let lines = eventually("the last line of the log", Duration::from_secs(10), async || {
        let lines = request_lines(&stack.worker_log());
        lines.contains_key(&last).then_some(lines)
    })
    .await;
    for (reply, route, caller) in &replies {
        has_the_usual_headers(reply);
        let id = reply.header("x-request-id");
        let found = lines.get(id).unwrap_or_else(|| panic!("{}: no line", reply.what));
        assert_eq!(found.len(), 1, "{}: {found:?}", reply.what);
        let line = &found[0];
        assert_eq!(line["status"], reply.status, "{line}");
        assert_eq!(line["caller"], *caller, "{}: {line}", reply.what);
        if !route.is_empty() {
            assert_eq!(line["route"], *route, "{}: {line}", reply.what);
        }
        if reply.status >= 400 {
            assert_eq!(line["code"], reply.code(), "{line}");
        }
        let counts = ["ms", "d1_batches", "d1_rows_read", "d1_rows_written", "object_calls"];
        for field in counts {
            assert!(line[field].as_u64().is_some(), "{field}: {line}");
        }
        assert!(line["method"].is_string(), "{line}");
    }
    let booked = &lines[&booked_id][0];
    assert_eq!(
        (&booked["d1_batches"], &booked["object_calls"]),
        (&json!(2), &json!(1)),
        "{booked}"
    );
    assert!(booked["d1_rows_read"].as_u64() > Some(0), "{booked}");
    assert!(booked["d1_rows_written"].as_u64() > Some(0), "{booked}");

    // The cron runs say no more.
    for cron in ["* * * * *", "*/5 * * * *", "40 2,3 * * *", "10 19 * * *"] {
        let _ = stack.run_cron(cron).await;
    }
    let log = stack.worker_log();
    assert!(log.contains("/webhooks/alipay") && log.contains("outbox_failed"), "money was logged");
    for secret in &secrets {
        assert!(secret.len() > 3, "{secret}");
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn too_much_is_429_with_a_time_to_wait() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let wait = |reply: &Reply, least: u32, most: u32| {
        reply.refused(429, "rate_limited");
        has_the_usual_headers(reply);
        let seconds: u32 = reply.header("retry-after").parse().expect("Retry-After in seconds");
        assert!((least..=most).contains(&seconds), "{}: {seconds}", reply.what);
    };
    // One code a minute for a phone, however many ask at once, from wherever.
    for path in ["/api/v1/auth/code", "/api/v1/staff/auth/code"] {
        let body = json!({"phone": some_phone()});
        let asked: Vec<_> =
            (0..12).map(|_| tokio::spawn(stack.api().post(path, body.clone()).attempt())).collect();
        let mut sent = 0;
        for asked in asked {
            let reply = asked.await.expect("no panic").expect("an answer");
            if reply.status == 202 {
                sent += 1;
            } else {
                wait(&reply, 1, 60);
            }
        }
        assert_eq!(sent, 1, "{path}");
    }
    // Sixty bookings a minute for a member: Cloudflare's own counter, which may be late but not early.
    let (member, other) = (stack.some_member().await, stack.some_member().await);
    let nowhere = json!({"store_id": shop.store, "service_id": "0".repeat(32),
        "start_at": "2027-01-01T10:00:00+08:00", "mode": "direct", "payment": "at_store"});
    let mut limited = None;
    for number in 0..150 {
        let reply = member.post(BOOKINGS, nowhere.clone()).idempotent().await;
        if reply.status == 429 {
            limited = Some((number, reply));
            break;
        }
        reply.refused(422, "unknown_service");
    }
    let (number, reply) = limited.expect("a limit");
    assert!(number >= 60, "{number} bookings");
    wait(&reply, 60, 60);
    other.post(BOOKINGS, nowhere).idempotent().await.refused(422, "unknown_service");

    // Ten codes a day for a phone, to the last.
    let (tenth, eleventh) = (some_phone(), some_phone());
    let ask = |phone: &str| stack.api().post("/api/v1/auth/code", json!({"phone": phone}));
    ask(&tenth).await.check(202);
    ask(&eleventh).await.check(202);
    stack.kill_worker();
    let earlier = |phone: &str, sent: u32| {
        format!(
            "UPDATE sign_in_code SET sent_today = {sent}, sent_at = sent_at - 120000
             WHERE phone = '{phone}';"
        )
    };
    stack.write_d1(&(earlier(&tenth, 9) + &earlier(&eleventh, 10)));
    stack.restart_worker().await;
    ask(&tenth).await.check(202);
    wait(&ask(&eleventh).await, 1, 86_400);
    // The staff's codes are counted by themselves.
    let body = json!({"phone": eleventh});
    stack.api().post("/api/v1/staff/auth/code", body).await.check(202);
}

async fn operations(owner: &Api) -> Value {
    owner.get("/api/v1/admin/operations").await.expect(200).body
}

fn drift(operations: &Value, kind: &str) -> i64 {
    let mut drifts = operations["drift"].as_array().expect("a list").iter();
    drifts.find(|it| it["kind"] == kind).map_or(0, |it| it["count"].as_i64().expect("a count"))
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn operations_show_jobs_the_outbox_and_drift_and_the_audit_repairs() {
    let stack = Stack::start().await;
    let owner = stack.owner().await;
    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let book = async |slot: usize| {
        let reply = shop.book(&member, None, &slots[slot].start_at).await.expect(201);
        reply.text("/order/id").to_owned()
    };
    let (first, second, third) = (book(0).await, book(40).await, book(80).await);
    let healthy = stack.everything().await;

    let crons = ["* * * * *", "*/5 * * * *", "10 19 * * *"];
    for cron in crons {
        let _ = stack.run_cron(cron).await;
    }
    let seen = operations(&owner).await;
    let jobs: HashMap<_, _> = seen["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| (job["name"].as_str().expect("a name"), job))
        .collect();
    for name in ["deliver_outbox", "audit_calendars", "expire_rows", "remove_photos"] {
        let job = jobs.get(name).unwrap_or_else(|| panic!("{name} is not shown: {seen}"));
        assert!(job["runs"].as_i64() >= Some(1) && job["failures"] == 0, "{job}");
        assert!(job["started_at"].is_string() && job["finished_at"].is_string(), "{job}");
        assert!(job["outcome"].as_str().is_some_and(|outcome| !outcome.is_empty()), "{job}");
    }
    assert_eq!(seen["outbox"]["depth"], 0);
    assert_eq!(seen["outbox"]["dead"], 0);
    assert_eq!(seen["drift"], json!([]));
    healthy.assert_same(&stack.everything().await, "an audit that finds nothing");

    // Rows that cannot be delivered, one of them at its last try; one that cannot even be read holds up
    // nobody behind it. A good one comes last.
    let calendar = format!("technician:{}", shop.technicians[0]);
    let release = json!({"topic": "release", "calendar": calendar, "claim_id": "0".repeat(32)});
    let nonsense = json!({"topic": "release", "calendar": "", "claim_id": 7});
    let row = |id: char, payload: &Value, attempts: i64, due: i64| {
        let id = id.to_string().repeat(32);
        let topic = payload["topic"].as_str().unwrap_or("?");
        format!(
            "INSERT INTO outbox (id, topic, payload, due_at, attempts, created_at)
             VALUES ('{id}', '{topic}', '{payload}', {due}, {attempts}, {due});"
        )
    };
    let unknown = json!({"topic": "sing"});
    let confirm = json!({"topic": "sync_calendar", "calendar": format!("technician:{}", shop.technicians[0])});
    let sql = [
        row('a', &nonsense, 39, 1_000),
        row('b', &unknown, 39, 2_000),
        row('c', &unknown, 0, 3_000),
        row('d', &release, 0, 4_000),
        row('e', &confirm, 0, 5_000),
    ];
    stack.kill_worker();
    stack.write_d1(&sql.concat());
    stack.restart_worker().await;
    let waiting = operations(&owner).await;
    assert_eq!(waiting["outbox"]["depth"], 5, "{waiting}");
    assert_eq!(waiting["outbox"]["oldest_at"], "1970-01-01T00:00:01+00:00", "{waiting}");
    let _ = stack.run_cron("* * * * *").await;
    let dead = operations(&owner).await;
    let outbox = &dead["outbox"];
    assert_eq!((&outbox["depth"], &outbox["dead"]), (&json!(1), &json!(2)), "{dead}");
    let rows = outbox["dead_rows"].as_array().expect("a list");
    assert_eq!(rows.len(), 2, "{dead}");
    for row in rows {
        assert_eq!(row["attempts"], 40, "{row}");
        assert!(row["last_error"].as_str().is_some_and(|error| !error.is_empty()), "{row}");
    }
    assert!(rows.iter().any(|row| row["topic"] == "sing"), "{dead}");
    // Dropped is neither: the dead stay, what failed once is tried again later.
    let left = stack.d1("SELECT id, attempts, dead FROM outbox ORDER BY id");
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(left[2]["attempts"], 1, "{left:?}");

    // Damage of each kind, which the audit counts and repairs.
    let damage = [
        // A day of the projection that says that everything is free.
        format!(
            "UPDATE calendar_day SET free = '{}' WHERE calendar = '{calendar}'
                AND day = (SELECT start_at / 86400000 FROM orders WHERE id = '{first}');",
            "f".repeat(72)
        ),
        // An order that is cancelled without its claim given back.
        format!("UPDATE orders SET status = 'cancelled' WHERE id = '{second}';"),
        format!("UPDATE order_line SET status = 'cancelled' WHERE order_id = '{second}';"),
        // Long ago, as far as the audit's grace goes.
        "UPDATE orders SET updated_at = updated_at - 600000;".to_owned(),
        "DELETE FROM outbox;".to_owned(),
    ];
    let claim = |order: &str| {
        let sql = format!("SELECT claim_id FROM order_line WHERE order_id = '{order}'");
        stack.d1(&sql)[0]["claim_id"].as_str().expect("a claim").to_owned()
    };
    let (kept, gone) = (claim(&first), claim(&third));
    stack.kill_worker();
    stack.write_d1(&damage.concat());
    // Its days have all reached D1, as they have half a minute after a change.
    stack.write_calendar(&calendar, "DELETE FROM outbox");
    // The other way round: an order that stands, and its claim is gone.
    stack.write_calendar(&calendar, &format!("DELETE FROM claim WHERE id = '{gone}'"));
    stack.restart_worker().await;
    let _ = stack.run_cron("*/5 * * * *").await;
    let found = operations(&owner).await;
    assert_eq!(drift(&found, "claim_without_line"), 1, "{found}");
    assert_eq!(drift(&found, "projection"), 1, "{found}");
    assert_eq!(drift(&found, "line_without_claim"), 1, "{found}");
    let live = stack
        .calendars("SELECT id, state FROM claim WHERE state <> 'released' ORDER BY start_at")
        .into_iter()
        .find(|(name, _)| *name == calendar)
        .expect("the calendar")
        .1;
    let confirmed = |id: &str| json!({"id": id, "state": "confirmed"});
    assert_eq!(live, [confirmed(&kept), confirmed(&gone)]);
    let free = shop.slots(&member, None, &date(1), 1).await;
    let offers = |slot: usize| free.iter().any(|it| it.start_at == slots[slot].start_at);
    let offered = [0, 40, 80].map(offers);
    assert_eq!(offered, [false, true, false], "as the calendar has it");

    // And with that all is well.
    let before: Vec<i64> = ["claim_without_line", "line_without_claim", "projection"]
        .map(|kind| drift(&found, kind))
        .into();
    let _ = stack.run_cron("*/5 * * * *").await;
    let again = operations(&owner).await;
    let after: Vec<i64> = ["claim_without_line", "line_without_claim", "projection"]
        .map(|kind| drift(&again, kind))
        .into();
    assert_eq!(before, after, "an audit finds nothing twice: {again}");
}
