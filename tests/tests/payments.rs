//! Paying for an appointment, from the customer's, the counter's and the vendors' side: what is due, who
//! took it, what comes back, and that a payment happens once whoever asks for it and however often.

use serde_json::{Value, json};
use zhundian_tests::money::{Fault, Pay, Provider, SigningKey};
use zhundian_tests::visit::{at, ms};
use zhundian_tests::{Api, Hours, Shop, Stack, Visit, at_once, count, now_ms};

/// Takes money over the counter.
async fn settle(staff: &Api, order: &str, body: Value) -> zhundian_tests::Reply {
    staff.post(format!("/api/v1/staff/orders/{order}/settle"), body).idempotent().await
}

/// Gives money back.
async fn refund(staff: &Api, order: &str, body: Value) -> zhundian_tests::Reply {
    staff.post(format!("/api/v1/staff/orders/{order}/refunds"), body).idempotent().await
}

/// A list that staff see, of one order.
async fn of_order(staff: &Api, list: &str, order: &str) -> Vec<Value> {
    let path = format!("/api/v1/staff/{list}?order_id={order}");
    let reply = staff.get(path).await.expect(200);
    reply.body["items"].as_array().expect("items").clone()
}

async fn change_service(stack: &Stack, shop: &Shop, change: Value) {
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let mut body = owner.get(&path).await.expect(200).body;
    let fields = body.as_object_mut().expect("a row");
    fields.remove("id");
    fields.remove("status");
    fields.extend(change.as_object().expect("fields").clone());
    owner.put(path, body).await.check(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_follows_the_services_rule_and_a_later_price_touches_no_order() {
    let stack = Stack::shared().await;
    let rules = [
        (json!({"kind": "fixed", "fen": 5_000}), 19_999, 5_000),
        (json!({"kind": "percent", "percent": 30}), 19_999, 6_000),
        (json!({"kind": "full"}), 19_999, 19_999),
        (json!({"kind": "none"}), 19_999, 19_999),
    ];
    for (rule, price, due) in rules {
        let service = json!({"deposit": rule, "price_fen": price});
        let shop = stack.shop_with(1, Hours::Day, service).await;
        let visit = Visit::online(&stack, &shop, &at(1, "10:00")).await;
        let order = visit.see().await;
        assert_eq!(order["status"], "pending_payment", "{rule}");
        assert_eq!(
            (&order["total_fen"], &order["due_fen"]),
            (&json!(price), &json!(due)),
            "{rule}"
        );
        assert_eq!(order["remaining_fen"], price, "{rule}");
        let wait = ms(order["hold_expires_at"].as_str().expect("an end")) - now_ms();
        assert!((14 * 60_000..=15 * 60_000).contains(&wait), "{wait}");

        let dearer = json!({"price_fen": 50_000, "deposit": {"kind": "fixed", "fen": 1}});
        change_service(&stack, &shop, dearer).await;
        let asked = visit.pay("wechat_jsapi").await.expect(200);
        assert_eq!(asked.body["payment"]["amount_fen"], due, "{rule}");
        let number = asked.text("/payment/id");
        assert_eq!(stack.vendors().payment(number).await.expect("ordered").amount, due);
        stack.vendors().pay(number).await;
        let paid = visit.becomes("confirmed").await;
        for (field, fen) in [("total_fen", price), ("due_fen", due), ("paid_fen", due)] {
            assert_eq!(paid[field], fen, "{rule}: {field}");
        }
        assert_eq!(paid["remaining_fen"], price - due, "{rule}");
        assert_eq!(paid["hold_expires_at"], Value::Null);
        // Whoever books now pays what holds now.
        let next = Visit::online(&stack, &shop, &at(1, "12:00")).await.see().await;
        assert_eq!((&next["total_fen"], &next["due_fen"]), (&json!(50_000), &json!(1)));
    }
    // A deposit is not paid at the store; the balance is.
    let shop =
        stack.shop_with(1, Hours::Day, json!({"deposit": {"kind": "fixed", "fen": 100}})).await;
    let member = stack.some_member().await;
    shop.book(&member, None, &at(1, "10:00")).await.refused(422, "payment_not_offered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cashier_takes_the_balance_and_it_is_known_who_did() {
    let stack = Stack::shared().await;
    let deposit = json!({"deposit": {"kind": "percent", "percent": 50}, "price_fen": 20_000});
    let shop = stack.shop_with(1, Hours::Day, deposit).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let who = cashier.get("/api/v1/staff/me").await.expect(200).text("/id").to_owned();
    let (visit, online) = Visit::paid(&stack, &shop, &at(1, "10:00")).await;

    settle(&cashier, &visit.order, json!({"channel": "cash", "amount_fen": 10_001}))
        .await
        .refused(422, "settle_too_large");
    let some = json!({"channel": "cash", "amount_fen": 4_000});
    let path = format!("/api/v1/staff/orders/{}/settle", visit.order);
    let taken = cashier.post(&path, some.clone()).key("cash-of-4000").await.expect(200);
    let expected = json!({"status": "confirmed", "taken_fen": 4_000, "paid_fen": 14_000, "remaining_fen": 6_000});
    assert_eq!(taken.body, expected);
    // The same again is the same; the key is good for nothing else.
    let again = cashier.post(&path, some).key("cash-of-4000").await.expect(200);
    assert_eq!(again.bytes, taken.bytes);
    let other = json!({"channel": "cash", "amount_fen": 4_001});
    cashier.post(&path, other).key("cash-of-4000").await.refused(422, "idempotency_key_reused");

    let rest = settle(&cashier, &visit.order, json!({"channel": "at_store"})).await.expect(200);
    assert_eq!(rest.body["taken_fen"], 6_000);
    assert_eq!((rest.text("/status"), &rest.body["remaining_fen"]), ("completed", &json!(0)));
    let order = visit.see().await;
    assert_eq!((&order["status"], &order["paid_fen"]), (&json!("completed"), &json!(20_000)));
    settle(&cashier, &visit.order, json!({"channel": "cash"}))
        .await
        .refused(409, "order_not_changeable");

    let mut payments = of_order(&cashier, "payments", &visit.order).await;
    payments.reverse();
    let seen: Vec<_> = payments
        .iter()
        .map(|one| (one["channel"].clone(), one["amount_fen"].clone(), one["taken_by"].clone()))
        .collect();
    let row =
        |channel: &str, fen: i64, by: Option<&String>| (json!(channel), json!(fen), json!(by));
    assert_eq!(
        seen,
        [
            row("wechat_jsapi", 10_000, None),
            row("cash", 4_000, Some(&who)),
            row("at_store", 6_000, Some(&who))
        ]
    );
    assert_eq!(payments[0]["id"], online.as_str());
    assert_eq!(stack.balance(&format!("order:{}", visit.order)), 20_000);

    // Nothing was due before: all of it is taken here, whoever comes twice at once.
    let shop = stack.shop(1, Hours::Day).await;
    let visit = Visit::of(&stack.some_member().await, &shop, &at(1, "10:00"), "at_store").await;
    let owner = stack.owner().await;
    let path = format!("/api/v1/staff/orders/{}/settle", visit.order);
    let call = || owner.post(&path, json!({"channel": "cash"})).idempotent();
    let replies = at_once((0..6).map(|_| call())).await;
    assert_eq!(count(&replies, 200), 1);
    assert_eq!(visit.see().await["status"], "completed");
    assert_eq!(stack.balance(&format!("order:{}", visit.order)), 19_800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_gives_back_what_was_said_before_and_staff_give_back_all_of_it() {
    let stack = Stack::shared().await;
    let tier = |days: i64, percent: i64| json!({"until_minutes_before": days * 1440, "refund_percent": percent});
    let tiers = json!([tier(10, 100), tier(3, 33)]);
    let service = json!({"deposit": {"kind": "fixed", "fen": 10_001}, "cancellation": tiers});
    let shop = stack.shop_with(1, Hours::Day, service).await;
    let shown = stack.api().get(format!("/api/v1/services/{}", shop.service)).await.expect(200);
    assert_eq!(shown.body["cancellation"], tiers);

    let mut visits = Vec::new();
    for day in [20, 5, 1, 2] {
        visits.push(Visit::paid(&stack, &shop, &at(day, "10:00")).await);
    }
    let order = visits[1].0.see().await;
    let until = |days: i64, percent: i64| json!({"until": at(5 - days, "10:00"), "refund_percent": percent});
    assert_eq!(order["cancellation"], json!([until(10, 100), until(3, 33)]));
    // What the service says from now on is not theirs.
    change_service(&stack, &shop, json!({"cancellation": []})).await;
    for ((visit, payment), back) in visits.iter().zip([10_001, 3_300, 0]) {
        let order = visit.cancel().await;
        assert_eq!(order["status"], "cancelled");
        assert_eq!(order["refunded_fen"], back, "{order}");
        assert_eq!(order["paid_fen"], 10_001 - back, "{order}");
        // Giving it up twice gives back once.
        assert_eq!(visit.cancel().await["refunded_fen"], back);
        refunded(&stack, payment, back).await;
        assert_eq!(stack.balance(&format!("order:{}", visit.order)), 10_001 - back);
    }
    // Staff's, a day before, when nothing would come back.
    let (visit, payment) = &visits[3];
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let path = format!("/api/v1/staff/orders/{}/cancel", visit.order);
    let done = cashier.post(path, json!({"reason": "技师请假"})).await.expect(200);
    assert_eq!(done.body["order"]["refunded_fen"], 10_001);
    refunded(&stack, payment, 10_001).await;

    // Nothing was paid yet: nothing comes back, and nobody can pay it any more.
    let visit = Visit::online(&stack, &shop, &at(30, "10:00")).await;
    let number = visit.asks("wechat_native").await;
    assert_eq!(visit.cancel().await["refunded_fen"], 0);
    stack
        .d1_becomes(&format!("SELECT status AS it FROM payment WHERE id = '{number}'"), "closed")
        .await;
    stack.vendors().pay_as(&number, &Pay::default()).await.check(409);
    visit.pay("wechat_native").await.refused(409, "order_not_changeable");
}

/// Waits until the customer has so much of a payment back, and we have written it down.
async fn refunded(stack: &Stack, payment: &str, fen: i64) {
    let sql = format!(
        "SELECT coalesce(sum(amount_fen), 0) AS it FROM refund
         WHERE payment_id = '{payment}' AND status = 'succeeded'"
    );
    stack.d1_becomes(&sql, fen).await;
    let there = stack.vendors().payment(payment).await.expect("ordered");
    assert_eq!(there.refunded(), fen, "{there:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_channel_takes_a_payment_and_wechat_is_told_of_the_service() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    // In the mini program.
    let visit = Visit::online(&stack, &shop, &at(1, "10:00")).await;
    let asked = visit.pay("wechat_jsapi").await.expect(200);
    let parameters = &asked.body["wechat_parameters"];
    for field in ["timeStamp", "nonceStr", "package", "paySign"] {
        assert!(parameters[field].as_str().is_some_and(|text| !text.is_empty()), "{parameters}");
    }
    assert_eq!(parameters["signType"], "RSA");
    assert!(asked.body.get("code_url").is_none());
    let deadline = ms(asked.text("/payment/expires_at"));
    let hold = ms(visit.see().await["hold_expires_at"].as_str().expect("an end"));
    assert!(deadline <= hold - 60_000, "the vendor stops before we do: {deadline} {hold}");
    let number = asked.text("/payment/id");
    stack.vendors().pay(number).await;
    visit.becomes("confirmed").await;
    stack.vendors().accepted(number, 1).await;
    let number = number.to_owned();
    let told =
        zhundian_tests::eventually("shipping", std::time::Duration::from_secs(20), async || {
            stack.vendors().payment(&number).await.expect("ordered").shipping
        });
    // In person, for the service is done in the shop.
    assert_eq!(told.await["logistics_type"], 4);

    // By codes.
    let (mut start, vendors) = (12, stack.vendors());
    for (channel, prefix, state) in [
        ("wechat_native", "weixin://", "SUCCESS"),
        ("alipay_qr", "https://qr.alipay.com/", "TRADE_SUCCESS"),
    ] {
        let visit = Visit::online(&stack, &shop, &at(1, &format!("{start}:00"))).await;
        start += 2;
        let asked = visit.pay(channel).await.expect(200);
        assert!(asked.text("/code_url").starts_with(prefix), "{}", asked.body);
        assert!(asked.body.get("wechat_parameters").is_none());
        let number = asked.text("/payment/id");
        vendors.pay(number).await;
        let order = visit.becomes("confirmed").await;
        assert_eq!(order["paid_fen"], 19_800);
        assert_eq!(vendors.payment(number).await.expect("ordered").state, state);
        // And back.
        visit.cancel().await;
        refunded(&stack, number, 19_800).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_click_a_second_device_and_another_channel_make_one_payment() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let vendors = stack.vendors();
    let visit = Visit::online(&stack, &shop, &at(1, "10:00")).await;
    let path = format!("/api/v1/orders/{}/pay", visit.order);
    let pay = |channel: &str| visit.member.post(&path, json!({"channel": channel}));

    // Clicked twice, and on two devices, at once.
    let same = (0..4).map(|_| pay("wechat_jsapi").key("clicked-twice"));
    let devices = (0..4).map(|_| pay("wechat_jsapi").idempotent());
    let replies = at_once(same.chain(devices)).await;
    let number = replies[0].text("/payment/id").to_owned();
    for reply in &replies {
        reply.check(200);
        assert_eq!(reply.text("/payment/id"), number);
    }
    for reply in &replies[1..4] {
        assert_eq!(reply.bytes, replies[0].bytes, "the same operation, the same answer");
    }
    pay("wechat_native").key("clicked-twice").await.refused(422, "idempotency_key_reused");
    let of_order = format!("SELECT count(*) AS it FROM payment WHERE order_id = '{}'", visit.order);
    assert_eq!(stack.it(&of_order), 1);

    // Back, and another way: the first can be paid by nobody any more.
    let second = pay("alipay_qr").idempotent().await.expect(200).text("/payment/id").to_owned();
    assert_ne!(second, number);
    vendors.pay_as(&number, &Pay::default()).await.check(409);
    assert_eq!(vendors.payment(&number).await.expect("ordered").state, "CLOSED");
    // And back again, to the one that the code of which was never scanned.
    let third = pay("wechat_native").idempotent().await.expect(200).text("/payment/id").to_owned();
    vendors.pay(&third).await;
    visit.becomes("confirmed").await;
    pay("wechat_native").idempotent().await.refused(409, "order_paid");
    pay("alipay_qr").idempotent().await.refused(409, "order_paid");

    // The code that was given up is scanned and paid all the same: that money goes back by itself.
    vendors.pay(&second).await;
    refunded(&stack, &second, 19_800).await;
    let order = visit.see().await;
    assert_eq!((&order["status"], &order["paid_fen"]), (&json!("confirmed"), &json!(19_800)));
    assert_eq!(stack.balance(&format!("order:{}", visit.order)), 19_800);
    let cause = format!("SELECT cause AS it FROM refund WHERE payment_id = '{second}'");
    assert_eq!(stack.it(&cause), "paid_by_another");
    // The answers under the keys stay what they were.
    assert_eq!(pay("wechat_jsapi").key("clicked-twice").await.expect(200).bytes, replies[0].bytes);

    // Nobody else's order.
    let stranger = stack.some_member().await;
    stranger
        .post(&path, json!({"channel": "wechat_jsapi"}))
        .idempotent()
        .await
        .refused(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_needs_a_right_and_a_reason_and_never_exceeds_what_was_paid() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (visit, payment) = Visit::paid(&stack, &shop, &at(1, "10:00")).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let elsewhere = stack.shop(0, Hours::Day).await.store;
    let stranger = stack.staff("manager", Some(&elsewhere)).await;
    let manager = stack.staff("manager", Some(&shop.store)).await;
    let who = manager.get("/api/v1/staff/me").await.expect(200).text("/id").to_owned();
    let body = json!({"amount_fen": 1_000, "reason": "少做了十分钟"});
    refund(&cashier, &visit.order, body.clone()).await.refused(403, "forbidden");
    refund(&stranger, &visit.order, body.clone()).await.refused(403, "foreign_store");
    refund(&visit.member, &visit.order, body.clone()).await.refused(401, "wrong_audience");
    for wrong in [
        json!({"amount_fen": 1_000}),
        json!({"amount_fen": 1_000, "reason": ""}),
        json!({"amount_fen": 0, "reason": "x"}),
        json!({"amount_fen": -1, "reason": "x"}),
    ] {
        refund(&manager, &visit.order, wrong).await.check(422);
    }
    let over = json!({"amount_fen": 19_801, "reason": "x"});
    refund(&manager, &visit.order, over).await.refused(422, "refund_too_large");

    let path = format!("/api/v1/staff/orders/{}/refunds", visit.order);
    let once = || manager.post(&path, body.clone()).key("refund-of-1000");
    let replies = at_once((0..5).map(|_| once())).await;
    for reply in &replies {
        reply.check(201);
        assert_eq!(reply.bytes, replies[0].bytes);
    }
    assert_eq!(replies[0].body, json!({"refunded_fen": 1_000, "paid_fen": 18_800}));
    manager
        .post(&path, json!({"amount_fen": 1_001, "reason": "x"}))
        .key("refund-of-1000")
        .await
        .refused(422, "idempotency_key_reused");
    refunded(&stack, &payment, 1_000).await;
    let audit = format!(
        "SELECT json_array(staff_id, action, json(detail)) AS it FROM audit_entry WHERE subject = '{}'",
        visit.order
    );
    let entry: Value =
        serde_json::from_str(stack.it(&audit).as_str().expect("text")).expect("JSON");
    assert_eq!(entry, json!([who, "refund", {"amount_fen": 1_000, "reason": "少做了十分钟"}]));
    let listed = of_order(&cashier, "refunds", &visit.order).await;
    assert_eq!(
        (&listed[0]["requested_by"], &listed[0]["reason"]),
        (&json!(who), &json!("少做了十分钟"))
    );

    // Eight at once of 40 % each: two of them fit (I5).
    let body = json!({"amount_fen": 8_000, "reason": "一起点"});
    let calls = (0..8).map(|_| manager.post(&path, body.clone()).idempotent());
    let replies = at_once(calls).await;
    assert_eq!(count(&replies, 201), 2);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(422, "refund_too_large");
    }
    refunded(&stack, &payment, 17_000).await;
    assert_eq!(stack.balance(&format!("order:{}", visit.order)), 2_800);
    // What is left comes back when it is cancelled, and no more.
    assert_eq!(visit.cancel().await["refunded_fen"], 19_800);
    refunded(&stack, &payment, 19_800).await;
    assert_eq!(stack.balance(&format!("order:{}", visit.order)), 0);

    // Over several payments: the latest first, each at most what it paid.
    let shop =
        stack.shop_with(1, Hours::Day, json!({"deposit": {"kind": "fixed", "fen": 5_000}})).await;
    let owner = stack.owner().await;
    let (visit, payment) = Visit::paid(&stack, &shop, &at(1, "10:00")).await;
    settle(&owner, &visit.order, json!({"channel": "cash", "amount_fen": 3_000})).await.check(200);
    let body = json!({"amount_fen": 4_500, "reason": "不满意"});
    refund(&owner, &visit.order, body).await.check(201);
    refunded(&stack, &payment, 1_500).await;
    let mut parts = of_order(&owner, "refunds", &visit.order).await;
    parts.sort_by_key(|one| one["amount_fen"].as_i64());
    let of: Vec<_> =
        parts.iter().map(|one| (one["amount_fen"].clone(), one["status"].clone())).collect();
    assert_eq!(of, [(json!(1_500), json!("succeeded")), (json!(3_000), json!("succeeded"))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alipay_in_certificate_mode_and_wechat_pay_at_its_second_host_take_payments() {
    // Nobody listens at the first host.
    let vars = [("ALIPAY_MODE", "certificate"), ("WECHAT_PAY_BASE_URL", "http://127.0.0.1:9")];
    let stack = Stack::start_with(&vars).await;
    assert!(!stack.var("ALIPAY_APP_CERT_SN").is_empty());
    let shop = stack.shop(1, Hours::Day).await;
    let mut hour = 10;
    for channel in ["alipay_qr", "wechat_jsapi", "wechat_native"] {
        let visit = Visit::online(&stack, &shop, &at(1, &format!("{hour}:00"))).await;
        hour += 2;
        let number = visit.asks(channel).await;
        stack.vendors().pay(&number).await;
        assert_eq!(visit.becomes("confirmed").await["paid_fen"], 19_800, "{channel}");
        visit.cancel().await;
        refunded(&stack, &number, 19_800).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wechat_pays_new_key_is_fetched_and_counts_without_a_deployment() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let vendors = stack.vendors();
    let before = Visit::online(&stack, &shop, &at(1, "10:00")).await;
    let number = before.asks("wechat_jsapi").await;
    // It signs with a certificate that we were never told of: its notice is refused, its answers are
    // not believed, and nothing is given up.
    vendors.sign_with(SigningKey::Certificate).await;
    vendors.pay(&number).await;
    let refused = zhundian_tests::eventually(
        "a refused notice",
        std::time::Duration::from_secs(10),
        async || {
            let payment = vendors.payment(&number).await.expect("ordered");
            payment.notifications.into_iter().find(|one| one.outcome == "refused")
        },
    )
    .await;
    assert_eq!(refused.status, Some(401));
    let during = Visit::online(&stack, &shop, &at(1, "12:00")).await;
    during.pay("wechat_native").await.refused(503, "payment_unavailable");
    assert_eq!(before.see().await["status"], "pending_payment");

    // The daily job fetches it, sealed with the key that only the two of us have.
    let _ = stack.run_cron("40 2,3 * * *").await;
    assert_eq!(stack.it("SELECT count(*) AS it FROM provider_key"), 1);
    vendors.accepted(&number, 1).await;
    before.becomes("confirmed").await;
    let number = during.asks("wechat_native").await;
    vendors.pay(&number).await;
    during.becomes("confirmed").await;
    // The old key counts as before.
    vendors.sign_with(SigningKey::PublicKey).await;
    let (after, number) = Visit::paid(&stack, &shop, &at(1, "14:00")).await;
    after.cancel().await;
    refunded(&stack, &number, 19_800).await;
    // A restarted Worker reads it from where it was kept.
    vendors.sign_with(SigningKey::Certificate).await;
    stack.restart_worker().await;
    let (last, _) = Visit::paid(&stack, &shop, &at(1, "16:00")).await;
    assert_eq!(last.see().await["paid_fen"], 19_800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_vendor_does_not_answer_stays_pending_and_is_asked_for_with_the_same_number() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Always).await;
    let vendors = stack.vendors();
    let native = "/v3/pay/transactions/native";
    let wechat = |kind: &str| Fault::new(Provider::WechatPay, kind);
    let alipay = |kind: &str| Fault::new(Provider::Alipay, kind);
    // Both hosts are tried when there is no answer at all, so it takes two faults.
    let troubles = [
        ("wechat_native", wechat("error500").at(native)),
        ("wechat_native", wechat("error500").at(native).after()),
        ("wechat_native", wechat("drop").at(native).times(2)),
        ("wechat_native", wechat("drop").at(native).times(2).after()),
        ("wechat_native", wechat("garbage").at(native)),
        ("wechat_native", wechat("bad_signature").at(native)),
        ("wechat_native", wechat("signtest").at(native)),
        ("wechat_native", wechat("system_error").at(native)),
        ("wechat_native", wechat("frequency_limit").at(native)),
        ("alipay_qr", alipay("error500").operation("alipay.trade.precreate")),
        ("alipay_qr", alipay("drop").operation("alipay.trade.precreate").after()),
        ("alipay_qr", alipay("bad_signature").operation("alipay.trade.precreate")),
        ("alipay_qr", alipay("accepted").operation("alipay.trade.precreate")),
        ("alipay_qr", alipay("system_error").operation("alipay.trade.precreate")),
    ];
    for (hour, (channel, fault)) in troubles.into_iter().enumerate() {
        let what = format!("{channel} {fault:?}");
        let visit = Visit::online(&stack, &shop, &at(1, &format!("{hour:02}:00"))).await;
        vendors.fault(fault).await;
        let reply = visit.pay(channel).await;
        assert_eq!(
            (reply.status, reply.code()),
            (503, "payment_unavailable"),
            "{what}: {}",
            reply.body
        );
        assert!(!reply.header("retry-after").is_empty(), "{what}");
        let pending =
            stack.d1(&format!("SELECT id, status FROM payment WHERE order_id = '{}'", visit.order));
        assert_eq!(pending.len(), 1, "{what}");
        assert_eq!(pending[0]["status"], "pending", "{what}");
        let number = visit.asks(channel).await;
        assert_eq!(pending[0]["id"], number.as_str(), "{what}");
        vendors.pay(&number).await;
        assert_eq!(visit.becomes("confirmed").await["paid_fen"], 19_800, "{what}");
    }

    // The first host alone hangs: the second one answers, soon after the first was given up.
    let visit = Visit::online(&stack, &shop, &at(1, "20:00")).await;
    vendors.fault(wechat("hang").at(native)).await;
    let slow = visit.pay("wechat_native").await.expect(200);
    assert!(slow.took.as_secs() < 12, "{:?}", slow.took);

    // Giving it up for another channel: what the vendor does not say is not given up.
    let close = "/v3/pay/transactions/out-trade-no/{out_trade_no}/close";
    let query = "/v3/pay/transactions/out-trade-no/{out_trade_no}";
    for fault in [wechat("error500").at(query), wechat("error500").at(close)] {
        vendors.fault(fault).await;
        visit.pay("alipay_qr").await.refused(503, "payment_unavailable");
        let of = format!("SELECT status AS it FROM payment WHERE order_id = '{}'", visit.order);
        assert_eq!(stack.it(&of), "pending");
    }
    let other = visit.asks("alipay_qr").await;
    assert_ne!(other, slow.text("/payment/id"));
    assert_eq!(vendors.payment(slow.text("/payment/id")).await.expect("ordered").state, "CLOSED");

    // Refunds: one number, however often it is asked for.
    let refunds = "/v3/refund/domestic/refunds";
    let troubles = [
        ("wechat_jsapi", wechat("error500").at(refunds)),
        ("wechat_jsapi", wechat("drop").at(refunds).times(2).after()),
        ("wechat_jsapi", wechat("not_enough").at(refunds)),
        ("wechat_jsapi", wechat("accepted").at(refunds)),
        ("alipay_qr", alipay("drop").operation("alipay.trade.refund").after()),
        ("alipay_qr", alipay("system_error").operation("alipay.trade.refund")),
        ("alipay_qr", alipay("not_enough").operation("alipay.trade.refund")),
    ];
    let mut paid = Vec::new();
    for (hour, (channel, fault)) in troubles.into_iter().enumerate() {
        let visit = Visit::online(&stack, &shop, &at(2, &format!("{hour:02}:00"))).await;
        let number = visit.asks(channel).await;
        vendors.pay(&number).await;
        visit.becomes("confirmed").await;
        vendors.fault(fault.clone()).await;
        visit.cancel().await;
        let tried = format!(
            "SELECT count(*) AS it FROM outbox WHERE topic = 'refund' AND attempts > 0
                AND payload ->> 'refund_id' = (SELECT id FROM refund WHERE payment_id = '{number}')"
        );
        stack.d1_becomes(&tried, 1).await;
        assert_eq!(vendors.clear_faults().await, 0, "{fault:?} has struck");
        paid.push((number, fault));
    }
    zhundian_tests::eventually("the refunds", std::time::Duration::from_secs(30), async || {
        let _ = stack.run_cron("* * * * *").await;
        (stack.it("SELECT count(*) AS it FROM refund WHERE status <> 'succeeded'") == 0)
            .then_some(())
    })
    .await;
    for (number, fault) in &paid {
        let there = vendors.payment(number).await.expect("ordered");
        assert_eq!((there.refunds.len(), there.refunded()), (1, 19_800), "{fault:?}");
    }
    // Staff were told that the balance at the vendor was too low, twice.
    let told = "SELECT count(*) AS it FROM difference WHERE kind = 'refund_not_enough'";
    assert_eq!(stack.it(told), 2);
}
