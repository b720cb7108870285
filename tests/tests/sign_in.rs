//! Signing in and out, and who somebody then is: WeChat, one-time codes, the first owner, grants.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::stack::OWNER_PHONE;
use zhundian_tests::world::{date, some_phone, today};
use zhundian_tests::{Api, Hours, Reply, Stack, at_once, count, eventually, now_ms, random};

/// The smallest PNG that is one.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
    \0\0\0\x0dIDAT\x78\x9c\x63\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99\x3d\x1d\0\0\0\0IEND\xae\x42\x60\x82";

async fn login_code(stack: &Stack, openid: &str) -> String {
    let reply = stack.sandbox().post("/login", json!({"openid": openid})).await.expect(200);
    reply.text("/code").to_owned()
}

async fn by_wechat(stack: &Stack, code: &str) -> Reply {
    stack.api().post("/api/v1/auth/wechat", json!({"code": code})).await
}

async fn phone_code(stack: &Stack, phone: &str) -> String {
    let reply = stack.sandbox().post("/phone-code", json!({"phone": phone})).await.expect(200);
    reply.text("/code").to_owned()
}

async fn fault(stack: &Stack, fault: Value) {
    stack.sandbox().post("/faults", fault).await.check(200);
}

/// Asks for a code and waits until the SMS is there.
async fn code(stack: &Stack, path: &str, phone: &str) -> String {
    let since = now_ms();
    stack.api().post(path, json!({"phone": phone})).await.check(202);
    stack.sms_code(phone, since).await
}

async fn by_phone(stack: &Stack, phone: &str) -> Reply {
    let code = code(stack, "/api/v1/auth/code", phone).await;
    let body = json!({"phone": phone, "code": code});
    stack.api().post("/api/v1/auth/phone", body).await.expect(200)
}

/// Another code of six digits than this one.
fn wrong(code: &str, by: u32) -> String {
    let number: u32 = code.parse().expect("six digits");
    format!("{:06}", (number + by) % 1_000_000)
}

async fn messages(stack: &Stack, phone: &str) -> usize {
    let reply = stack.sandbox().get(format!("/messages?to={phone}&since=0")).await.expect(200);
    reply.body["messages"].as_array().expect("messages").len()
}

fn retry_after(reply: &Reply) -> i64 {
    reply.header("retry-after").parse().expect("seconds to wait")
}

#[tokio::test]
async fn what_wechat_refuses_is_said_and_makes_no_member() {
    let stack = Stack::start().await;
    by_wechat(&stack, "no-such-code").await.refused(422, "wechat_code_invalid");

    let openid = "o-refused";
    let session = "/sns/jscode2session";
    let cases = [
        (json!({"kind": "refuse", "errcode": 40029}), 422, "wechat_code_invalid"),
        (json!({"kind": "refuse", "errcode": 40163}), 422, "wechat_code_used"),
        (json!({"kind": "frequency_limit"}), 429, "rate_limited"),
        (json!({"kind": "high_risk"}), 403, "wechat_refused"),
        (json!({"kind": "busy"}), 503, "wechat_unavailable"),
        (json!({"kind": "error500"}), 503, "wechat_unavailable"),
        (json!({"kind": "garbage"}), 503, "wechat_unavailable"),
        (json!({"kind": "drop", "times": 9}), 503, "wechat_unavailable"),
        (json!({"kind": "refuse", "errcode": 40125}), 503, "misconfigured"),
        (json!({"kind": "refuse", "errcode": 99999}), 503, "wechat_unavailable"),
    ];
    for (mut order, status, refused) in cases {
        order["provider"] = "wechat".into();
        order["path"] = session.into();
        fault(&stack, order.clone()).await;
        let reply = by_wechat(&stack, &login_code(&stack, openid).await).await;
        reply.refused(status, refused);
        if matches!(status, 429 | 503) {
            assert!(retry_after(&reply) > 0, "{order}");
        }
        // The runtime itself asks again when a connection was cut, so not all of these strike.
        let cleared = stack.sandbox().delete("/faults").await.expect(200);
        assert!(cleared.body["cleared"] == 0 || order["kind"] == "drop", "{order} did not strike");
    }
    let found = stack.d1(&format!("SELECT id FROM member WHERE openid = '{openid}'"));
    assert!(found.is_empty(), "{found:?}");

    // A used code, and WeChat's own limit on one openid, without faults.
    let code = login_code(&stack, openid).await;
    let first = by_wechat(&stack, &code).await.expect(200);
    assert_eq!(first.body["member"]["nickname"], "");
    let again = by_wechat(&stack, &code).await;
    again.refused(422, "wechat_code_used");
    assert_eq!(again.text("/fields/0/field"), "code");
    let mut refused = None;
    for _ in 0..210 {
        let reply = by_wechat(&stack, &code).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        reply.refused(422, "wechat_code_used");
    }
    refused.expect("45011 after a hundred calls a minute").refused(429, "rate_limited");
}

#[tokio::test]
async fn twenty_first_sign_ins_at_once_make_one_member() {
    let stack = Stack::shared().await;
    let openid = format!("o{:016x}", random());
    let api = stack.api();
    let mut calls = Vec::new();
    for _ in 0..20 {
        let code = login_code(&stack, &openid).await;
        calls.push(api.post("/api/v1/auth/wechat", json!({"code": code})));
    }
    let replies = at_once(calls).await;
    let first = replies[0].text("/member/id").to_owned();
    for reply in replies {
        assert_eq!(reply.expect(200).text("/member/id"), first);
    }
    let rows = stack.d1(&format!("SELECT id FROM member WHERE openid = '{openid}'"));
    assert_eq!(rows, [json!({"id": first})]);
}

#[tokio::test]
async fn a_phone_gets_one_code_a_minute_however_many_ask() {
    let stack = Stack::shared().await;
    for path in ["/api/v1/auth/code", "/api/v1/staff/auth/code"] {
        let phone = some_phone();
        if path.contains("staff") {
            let grants = json!([{"role": "manager"}]);
            let body = json!({"phone": phone, "name": "小王", "grants": grants});
            stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);
        }
        let calls = (0..15).map(|_| stack.api().post(path, json!({"phone": phone})));
        let replies = at_once(calls).await;
        assert_eq!(count(&replies, 202), 1, "{path}");
        for reply in replies.iter().filter(|reply| reply.status != 202) {
            reply.refused(429, "rate_limited");
            assert!((1..=60).contains(&retry_after(reply)), "{}", retry_after(reply));
        }
        let sent = eventually("the SMS", Duration::from_secs(10), async || {
            Some(messages(&stack, &phone).await).filter(|sent| *sent > 0)
        });
        assert_eq!(sent.await, 1, "{path}");
    }
    // The two audiences count apart: a member of staff may be a member, too.
    let phone = some_phone();
    for path in ["/api/v1/auth/code", "/api/v1/staff/auth/code"] {
        stack.api().post(path, json!({"phone": phone})).await.check(202);
    }
}

#[tokio::test]
async fn a_code_is_good_for_five_tries() {
    let stack = Stack::shared().await;
    let api = stack.api();
    let sign_in = |phone: &str, code: &str| {
        api.post("/api/v1/auth/phone", json!({"phone": phone, "code": code}))
    };
    // The fifth may be right.
    let phone = some_phone();
    let code_sent = code(&stack, "/api/v1/auth/code", &phone).await;
    assert!(code_sent.len() == 6 && code_sent.bytes().all(|byte| byte.is_ascii_digit()));
    for by in 1..=4 {
        let reply = sign_in(&phone, &wrong(&code_sent, by)).await;
        reply.refused(422, "wrong_code");
        assert_eq!(reply.text("/fields/0/field"), "code");
    }
    sign_in(&phone, &code_sent).await.check(200);

    // The sixth may not.
    let phone = some_phone();
    let code_sent = code(&stack, "/api/v1/auth/code", &phone).await;
    for by in 1..=5 {
        sign_in(&phone, &wrong(&code_sent, by)).await.refused(422, "wrong_code");
    }
    let reply = sign_in(&phone, &code_sent).await;
    reply.refused(429, "too_many_tries");
    assert!(retry_after(&reply) > 0);

    // Nor do many at once get a sixth.
    let phone = some_phone();
    let code_sent = code(&stack, "/api/v1/auth/code", &phone).await;
    let replies = at_once((1..=20).map(|by| sign_in(&phone, &wrong(&code_sent, by)))).await;
    assert_eq!((count(&replies, 422), count(&replies, 429)), (5, 15));
    sign_in(&phone, &code_sent).await.refused(429, "too_many_tries");
}

#[tokio::test]
async fn a_code_is_good_once() {
    let stack = Stack::shared().await;
    let phone = some_phone();
    let code_sent = code(&stack, "/api/v1/auth/code", &phone).await;
    let body = json!({"phone": phone, "code": code_sent});
    // A member's code is none for the staff, and another phone's is none.
    stack.api().post("/api/v1/staff/auth/token", body.clone()).await.refused(422, "wrong_code");
    let other = json!({"phone": some_phone(), "code": code_sent});
    stack.api().post("/api/v1/auth/phone", other).await.refused(422, "wrong_code");

    let calls = (0..10).map(|_| stack.api().post("/api/v1/auth/phone", body.clone()));
    let replies = at_once(calls).await;
    assert_eq!(count(&replies, 200), 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert!(matches!(reply.code(), "wrong_code" | "too_many_tries"), "{}", reply.body);
    }
    stack.api().post("/api/v1/auth/phone", body).await.refused(422, "wrong_code");
    let rows = stack.d1(&format!("SELECT count(*) AS n FROM member WHERE phone = '{phone}'"));
    assert_eq!(rows, [json!({"n": 1})]);
}

#[tokio::test]
async fn a_code_ends_after_five_minutes_and_a_phone_gets_ten_a_day() {
    let stack = Stack::start().await;
    let phone = some_phone();
    let row = format!("WHERE audience = 'member' AND phone = '{phone}'");
    let ask = || stack.api().post("/api/v1/auth/code", json!({"phone": phone}));

    let asked_at = now_ms();
    let code_sent = code(&stack, "/api/v1/auth/code", &phone).await;
    let life =
        &stack.d1(&format!("SELECT expires_at - sent_at AS ms, sent_at FROM sign_in_code {row}"));
    assert_eq!(life[0]["ms"], 300_000);
    assert!((life[0]["sent_at"].as_i64().expect("an instant") - asked_at).abs() < 60_000);
    let stored = stack.d1("SELECT * FROM sign_in_code");
    assert!(!json!(stored).to_string().contains(&format!("\"{code_sent}\"")), "kept as it is");

    // Five minutes later.
    stack
        .change_d1(&format!("UPDATE sign_in_code SET sent_at = sent_at - 300000, expires_at = expires_at - 300000 {row}"))
        .await;
    let body = json!({"phone": phone, "code": code_sent});
    stack.api().post("/api/v1/auth/phone", body.clone()).await.refused(422, "wrong_code");

    // Nine were sent today: of many who ask at once, one gets the tenth.
    stack.change_d1(&format!("UPDATE sign_in_code SET sent_today = 9 {row}")).await;
    let replies = at_once((0..8).map(|_| ask())).await;
    assert_eq!((count(&replies, 202), count(&replies, 429)), (1, 7));
    // A minute later there is none, until midnight in Beijing.
    stack.change_d1(&format!("UPDATE sign_in_code SET sent_at = sent_at - 60000 {row}")).await;
    let reply = ask().await;
    reply.refused(429, "rate_limited");
    let day = 86_400_000;
    let midnight = ((now_ms() + 8 * 3_600_000) / day + 1) * day - 8 * 3_600_000;
    let left = (midnight - now_ms()) / 1000;
    assert!((retry_after(&reply) - left).abs() < 90, "{} of {left}", retry_after(&reply));
    assert_eq!(
        stack.d1(&format!("SELECT sent_today AS n FROM sign_in_code {row}")),
        [json!({"n": 10})]
    );
    // The next day there is.
    stack.change_d1(&format!("UPDATE sign_in_code SET day = '{}' {row}", date(-1))).await;
    ask().await.check(202);
    let expected = json!({"sent_today": 1, "day": today()});
    assert_eq!(stack.d1(&format!("SELECT sent_today, day FROM sign_in_code {row}")), [expected]);

    // An SMS that could not be sent leaves no code, and is no reason to hide it.
    let phone = some_phone();
    fault(&stack, json!({"provider": "sms", "kind": "busy"})).await;
    let reply = stack.api().post("/api/v1/auth/code", json!({"phone": phone})).await;
    reply.refused(503, "sms_unavailable");
    assert!(retry_after(&reply) > 0);
}

#[tokio::test]
async fn nobody_learns_whose_phone_is_the_staffs() {
    let stack = Stack::shared().await;
    let (known, unknown) = (some_phone(), some_phone());
    let body = json!({"phone": known, "name": "小李", "grants": [{"role": "cashier"}]});
    stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);

    let ask = |phone: &str| stack.api().post("/api/v1/staff/auth/code", json!({"phone": phone}));
    let answers = [ask(&known).await.expect(202), ask(&unknown).await.expect(202)];
    assert_eq!(answers[0].bytes, answers[1].bytes);
    let names = |reply: &Reply| {
        let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(names(&answers[0]), names(&answers[1]));
    let code_sent = stack.sms_code(&known, 0).await;
    assert_eq!(messages(&stack, &unknown).await, 0);

    // Asked again within the minute, and with wrong codes, both are the same, too.
    for phone in [&known, &unknown] {
        ask(phone).await.refused(429, "rate_limited");
        for by in 1..=6 {
            let body = json!({"phone": phone, "code": wrong(&code_sent, by)});
            let reply = stack.api().post("/api/v1/staff/auth/token", body).await;
            let (status, code) = if by < 6 { (422, "wrong_code") } else { (429, "too_many_tries") };
            reply.refused(status, code);
        }
    }
}

#[tokio::test]
async fn a_phone_makes_two_members_one() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Always).await;
    let phone = some_phone();
    // On the web page: known by phone, with a name and two orders.
    let web = by_phone(&stack, &phone).await;
    let web_id = web.text("/member/id").to_owned();
    assert_eq!(web.body["member"]["phone"], phone.as_str());
    let web = stack.api().with_token(web.text("/token"));
    let profile = json!({"nickname": "安娜", "gender": "female", "birthday": "1990-02-28"});
    web.patch("/api/v1/me", profile).await.check(200);
    let slots = shop.slots(&web, None, &date(1), 1).await;
    let mut orders = Vec::new();
    for slot in [&slots[0], &slots[24]] {
        let reply = shop.book(&web, None, &slot.start_at).await.expect(201);
        orders.push(reply.text("/order/id").to_owned());
    }

    // In the mini program: known by openid, with an order and a gender of their own.
    let openid = format!("o{:016x}", random());
    let mini = stack.member(&openid).await;
    mini.patch("/api/v1/me", json!({"gender": "other"})).await.check(200);
    let reply = shop.book(&mini, None, &slots[48].start_at).await.expect(201);
    orders.push(reply.text("/order/id").to_owned());
    let mini_id = mini.get("/api/v1/me").await.expect(200).text("/id").to_owned();

    let body = json!({"phone_code": phone_code(&stack, &phone).await});
    let merged = mini.patch("/api/v1/me", body.clone()).await.expect(200);
    let expected = json!({
        "id": mini_id, "nickname": "安娜", "avatar": null, "gender": "other",
        "birthday": "1990-02-28", "phone": phone,
    });
    assert_eq!(merged.body, expected, "what one did not know, the other did");
    let listed = mini.get("/api/v1/orders").await.expect(200);
    let mut ids: Vec<_> = listed.body["items"]
        .as_array()
        .expect("orders")
        .iter()
        .map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    orders.sort();
    assert_eq!(ids, orders);
    // The orders that moved can be given up by whom they now belong to.
    mini.post(format!("/api/v1/orders/{}/cancel", orders[0]), json!({})).await.check(200);

    web.get("/api/v1/me").await.refused(401, "invalid_token");
    let reply = shop.book(&web, None, &slots[72].start_at).await;
    reply.refused(401, "invalid_token");
    assert_ne!(web_id, mini_id);
    let rows =
        stack.d1(&format!("SELECT status, merged_into, phone FROM member WHERE id = '{web_id}'"));
    assert_eq!(rows, [json!({"status": "merged", "merged_into": mini_id, "phone": null})]);

    // WeChat's phone code is good once, and the phone is taken now.
    let reply = mini.patch("/api/v1/me", body).await;
    reply.refused(422, "wechat_code_invalid");
    assert_eq!(reply.text("/fields/0/field"), "phone_code");
    let other = stack.some_member().await;
    let body = json!({"nickname": "别人", "phone_code": phone_code(&stack, &phone).await});
    other.patch("/api/v1/me", body).await.refused(409, "phone_taken");
    let left = other.get("/api/v1/me").await.expect(200);
    assert_eq!((&left.body["phone"], &left.body["nickname"]), (&json!(null), &json!("")));
    // One's own phone again is no conflict.
    let body = json!({"phone_code": phone_code(&stack, &phone).await});
    mini.patch("/api/v1/me", body).await.check(200);
}

#[tokio::test]
async fn one_who_comes_by_wechat_first_is_the_same_by_code() {
    let stack = Stack::shared().await;
    let phone = some_phone();
    let mini = stack.some_member().await;
    let body = json!({"phone_code": phone_code(&stack, &phone).await});
    let profile = mini.patch("/api/v1/me", body).await.expect(200);
    assert_eq!(by_phone(&stack, &phone).await.body["member"], profile.body);
    mini.get("/api/v1/me").await.check(200);
}

#[tokio::test]
async fn of_two_who_take_a_phone_at_once_one_has_it() {
    let stack = Stack::shared().await;
    let phone = some_phone();
    let web = by_phone(&stack, &phone).await;
    let web_id = web.text("/member/id");
    let mut calls = Vec::new();
    for _ in 0..6 {
        let member = stack.some_member().await;
        let code = phone_code(&stack, &phone).await;
        calls.push(member.patch("/api/v1/me", json!({"phone_code": code})));
    }
    let replies = at_once(calls).await;
    assert_eq!((count(&replies, 200), count(&replies, 409)), (1, 5));
    let winner = replies.iter().find(|reply| reply.status == 200).expect("one");
    let rows = stack.d1(&format!("SELECT merged_into AS id FROM member WHERE id = '{web_id}'"));
    assert_eq!(rows[0]["id"], winner.body["id"]);
    let rows = stack.d1(&format!("SELECT id FROM member WHERE phone = '{phone}'"));
    assert_eq!(rows, [json!({"id": winner.body["id"]})]);
}

#[tokio::test]
async fn members_say_who_they_are() {
    let stack = Stack::shared().await;
    let member = stack.some_member().await;
    let change = |body: Value| member.patch("/api/v1/me", body);
    let profile = json!({"nickname": "小猫🐱 Anna", "gender": "female", "birthday": "1996-02-29"});
    let reply = change(profile.clone()).await.expect(200);
    for (field, value) in profile.as_object().expect("fields") {
        assert_eq!(reply.body[field], *value);
    }
    // What is left out stays, null takes away.
    let reply = change(json!({"gender": null})).await.expect(200);
    assert_eq!(reply.body["gender"], json!(null));
    assert_eq!(reply.body["nickname"], profile["nickname"]);
    let reply = change(json!({"nickname": null, "birthday": null})).await.expect(200);
    assert_eq!((&reply.body["nickname"], &reply.body["birthday"]), (&json!(""), &json!(null)));

    for (body, code, field) in [
        (json!({"birthday": date(1), "nickname": "x"}), "out_of_range", "birthday"),
        (json!({"birthday": "1990-02-30"}), "invalid_date", "birthday"),
        (json!({"gender": "none"}), "unknown_value", "gender"),
        (json!({"nickname": "长".repeat(33)}), "text_too_long", "nickname"),
        (json!({"nickname": "a\u{7}b"}), "control_character", "nickname"),
        (json!({"phone": "13900000000"}), "unknown_field", "phone"),
    ] {
        let refused = change(body).await;
        refused.refused(422, code);
        assert_eq!(refused.text("/fields/0/field"), field);
    }
    assert_eq!(member.get("/api/v1/me").await.expect(200).body, reply.body, "nothing was changed");

    let avatar = |bytes: &'static [u8]| {
        member.call(Method::PUT, "/api/v1/me/avatar").body("image/jpeg", bytes)
    };
    avatar(b"<html>").await.refused(422, "not_a_photo");
    let reply = avatar(PNG).await.expect(200);
    let photo =
        stack.api().get(format!("/api/v1/photos/{}", reply.text("/avatar"))).await.expect(200);
    assert_eq!((photo.content_type(), &photo.bytes[..]), ("image/png", PNG));
    assert_eq!(change(json!({"avatar": null})).await.expect(200).body["avatar"], json!(null));
}

#[tokio::test]
async fn signing_out_voids_every_token_of_ones_own() {
    let stack = Stack::shared().await;
    let openid = format!("o{:016x}", random());
    let (phone, tablet) = (stack.member(&openid).await, stack.member(&openid).await);
    let other = stack.some_member().await;
    tablet.get("/api/v1/me").await.check(200);
    phone.call(Method::POST, "/api/v1/auth/sign-out").await.check(204);
    for api in [&phone, &tablet] {
        api.get("/api/v1/me").await.refused(401, "invalid_token");
        api.get("/api/v1/orders").await.refused(401, "invalid_token");
    }
    other.get("/api/v1/me").await.check(200);
    stack.member(&openid).await.get("/api/v1/me").await.check(200);

    let staff = stack.staff("manager", None).await;
    staff.call(Method::POST, "/api/v1/staff/auth/sign-out").await.check(204);
    staff.get("/api/v1/staff/me").await.refused(401, "invalid_token");
    stack.owner().await.get("/api/v1/staff/me").await.check(200);
}

#[tokio::test]
async fn the_first_owner_comes_from_the_configuration_once() {
    let stack = Stack::start().await;
    assert!(stack.d1("SELECT id FROM staff").is_empty());
    let code_sent = code(&stack, "/api/v1/staff/auth/code", OWNER_PHONE).await;
    let body = json!({"phone": OWNER_PHONE, "code": code_sent});
    let calls = (0..5).map(|_| stack.api().post("/api/v1/staff/auth/token", body.clone()));
    let replies = at_once(calls).await;
    assert_eq!((count(&replies, 200), count(&replies, 422)), (1, 4));
    let first = replies.iter().find(|reply| reply.status == 200).expect("one");
    assert_eq!(first.body["staff"]["grants"], json!([{"role": "owner", "store_id": null}]));
    let rows = "SELECT phone, role, store_id FROM staff JOIN staff_grant ON staff_id = staff.id";
    let owner = json!({"phone": OWNER_PHONE, "role": "owner", "store_id": null});
    let made = stack.d1(rows);
    assert_eq!(made, [owner]);

    // The next day they are the same.
    stack.change_d1("UPDATE sign_in_code SET sent_at = sent_at - 86400000").await;
    let again = stack.sign_in_staff(OWNER_PHONE).await.get("/api/v1/staff/me").await.expect(200);
    assert_eq!(again.body["id"], first.body["staff"]["id"]);
    assert_eq!(stack.d1(rows), made);

    // The last owner of all stores can neither be retired nor made anything else.
    let owner = stack.api().with_token(first.text("/token"));
    let path = format!("/api/v1/admin/staff/{}", first.text("/staff/id"));
    owner.post(format!("{path}/retire"), json!({"version": 1})).await.refused(409, "last_owner");
    let grants = json!([{"role": "manager"}]);
    let body = json!({"version": 1, "phone": OWNER_PHONE, "name": "店主", "grants": grants});
    owner.put(&path, body).await.refused(409, "last_owner");
    owner.get("/api/v1/staff/me").await.check(200);
}

#[tokio::test]
async fn a_role_is_granted_in_one_store_or_in_all() {
    let stack = Stack::shared().await;
    let (one, two) = (stack.shop(1, Hours::Day).await, stack.shop(1, Hours::Day).await);
    let day = |api: &Api, store: &str| {
        api.get(format!("/api/v1/staff/appointments?store_id={store}&from={}", today()))
    };
    let cashier = stack.staff("cashier", Some(&one.store)).await;
    day(&cashier, &one.store).await.check(200);
    day(&cashier, &two.store).await.refused(403, "foreign_store");
    let me = cashier.get("/api/v1/staff/me").await.expect(200);
    let permissions = me.body["permissions"].as_array().expect("a list");
    let scope = |name: &str| permissions.iter().find(|it| it["permission"] == name).cloned();
    let expected = json!({"permission": "booking.write", "store_ids": [one.store]});
    assert_eq!(scope("booking.write"), Some(expected));
    assert_eq!(scope("catalog.write"), None);

    let manager = stack.staff("manager", None).await;
    for store in [&one.store, &two.store] {
        day(&manager, store).await.check(200);
    }
    // Owners make staff, nobody else; and an owner of one store in that store alone.
    let body = |store: Option<&str>| {
        let grants = json!([{"role": "cashier", "store_id": store}]);
        json!({"phone": some_phone(), "name": "新人", "grants": grants})
    };
    let path = "/api/v1/admin/staff";
    manager.post(path, body(Some(&one.store))).await.refused(403, "forbidden");
    cashier.post(path, body(Some(&one.store))).await.refused(403, "forbidden");
    let local = stack.staff("owner", Some(&one.store)).await;
    local.post(path, body(Some(&one.store))).await.check(201);
    local.post(path, body(Some(&two.store))).await.refused(403, "foreign_store");
    local.post(path, body(None)).await.refused(403, "foreign_store");
    local.post("/api/v1/admin/stores", json!({})).await.refused(422, "missing_field");

    // Another grant counts at once: the old token is void. A retired one gets in no more.
    let phone = some_phone();
    let owner = stack.owner().await;
    let grants = json!([{"role": "cashier", "store_id": one.store}]);
    let new = json!({"phone": phone, "name": "小张", "grants": grants});
    let made = owner.post(path, new.clone()).await.expect(201);
    owner.post(path, new).await.refused(409, "staff_phone_taken");
    let them = stack.sign_in_staff(&phone).await;
    day(&them, &one.store).await.check(200);
    let path = format!("{path}/{}", made.text("/id"));
    let grants = json!([{"role": "cashier", "store_id": two.store}]);
    let changed = json!({"version": 1, "phone": phone, "name": "小张", "grants": grants});
    owner.put(&path, changed.clone()).await.check(200);
    day(&them, &one.store).await.refused(401, "invalid_token");
    let stale = owner.put(&path, changed).await;
    stale.refused(409, "stale_version");
    assert_eq!(stale.body["current"]["version"], 2);
    owner.post(format!("{path}/retire"), json!({"version": 2})).await.check(200);
    // Their phone is as unknown as any other, and free for somebody new.
    let body = json!({"phone": phone, "name": "新人", "grants": [{"role": "manager"}]});
    owner.post("/api/v1/admin/staff", body).await.check(201);
}
