//! Money that comes late, unseen or not at all: holds that end unpaid, notices that are lost, refunds that
//! take their time, bills that say something else, and what was given up.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::money::{Astray, Fault, Notify, Pay, Provider, RefundEnd};
use zhundian_tests::visit::at;
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Shop, Stack, Visit, eventually, now_ms};

const MINUTELY: &str = "* * * * *";
const BILLS: &str = "40 2,3 * * *";
/// So many days ago lies a day whose bill is there, whatever the hour.
const BILLED: u32 = 2;

/// The holds of these visits have ended a moment ago, at one technician's.
async fn end_holds(stack: &Stack, shop: &Shop, more: &str) {
    let past = now_ms() - 1_000;
    stack.kill_worker();
    stack.write_d1(&format!(
        "UPDATE orders SET hold_expires_at = {past} WHERE status = 'pending_payment';
         UPDATE payment SET expires_at = {past} - 60000 WHERE status = 'pending'; {more}"
    ));
    let calendar = format!("technician:{}", shop.technicians[0]);
    stack.write_calendar(
        &calendar,
        &format!("UPDATE claim SET expires_at = {past} WHERE state = 'held'"),
    );
    stack.restart_worker().await;
}

fn outcome(stack: &Stack, job: &str) -> String {
    let outcome = stack.it(&format!("SELECT outcome AS it FROM job WHERE name = '{job}'"));
    outcome.as_str().expect("an outcome").to_owned()
}

/// A member who has no openid, and whom SMS reaches: with their phone.
async fn member_with_phone(stack: &Stack) -> (Api, String) {
    let (api, phone, since) = (stack.api(), some_phone(), now_ms());
    api.post("/api/v1/auth/code", json!({"phone": phone})).await.check(202);
    let body = json!({"phone": phone, "code": stack.sms_code(&phone, since).await});
    let reply = api.post("/api/v1/auth/phone", body).await.expect(200);
    (api.clone().with_token(reply.text("/token")), phone)
}

/// Runs the minutely jobs until it is so.
async fn minutes_until(stack: &Stack, what: &str, mut so: impl AsyncFnMut() -> bool) {
    eventually(what, Duration::from_secs(30), async || {
        let _ = stack.run_cron(MINUTELY).await;
        so().await.then_some(())
    })
    .await;
}

/// Paid without a word of it to us.
async fn pays_unseen(stack: &Stack, number: &str) {
    let how = Pay { notify: Notify::Never, ..Pay::default() };
    stack.vendors().pay_as(number, &how).await.check(200);
}

async fn is_free(shop: &Shop, visit: &Visit) -> bool {
    let slots = shop.slots(&visit.member, None, &date(1), 1).await;
    slots.iter().any(|slot| slot.start_at == visit.start_at)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_hold_ends_only_when_the_vendor_lets_nobody_pay_it_any_more() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let vendors = stack.vendors();
    let visit = async |clock: &str| Visit::online(&stack, &shop, &at(1, clock)).await;
    let (never, wechat, alipay, scanned, paid) = (
        visit("10:00").await,
        visit("12:00").await,
        visit("14:00").await,
        visit("16:00").await,
        visit("18:00").await,
    );
    let w = wechat.asks("wechat_jsapi").await;
    let a = alipay.asks("alipay_qr").await;
    let s = scanned.asks("alipay_qr").await;
    let p = paid.asks("wechat_native").await;
    vendors.pay_fails(&s).await;
    pays_unseen(&stack, &p).await;
    // Nothing ends before its time.
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(never.see().await["status"], "pending_payment");
    end_holds(&stack, &shop, "").await;
    wechat.pay("wechat_jsapi").await.refused(409, "payment_expired");

    // The vendors do not answer: what can be paid still waits, and stays open there.
    let query = "/v3/pay/transactions/out-trade-no/{out_trade_no}";
    vendors.fault(Fault::new(Provider::WechatPay, "error500").at(query).times(2)).await;
    let ask = Fault::new(Provider::Alipay, "system_error").operation("alipay.trade.query");
    vendors.fault(ask.times(2)).await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "expire_unpaid"), "1 closed, 0 paid, 4 waiting");
    for visit in [&wechat, &alipay, &scanned, &paid] {
        assert_eq!(visit.see().await["status"], "pending_payment");
    }
    assert_eq!(vendors.payment(&w).await.expect("ordered").state, "NOTPAY");
    assert_eq!(vendors.clear_faults().await, 0);

    // It is asked; it closes; only then is the order closed. What was paid is paid.
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "expire_unpaid"), "3 closed, 1 paid, 0 waiting");
    assert_eq!(paid.becomes("confirmed").await["paid_fen"], 19_800);
    assert_eq!(vendors.payment(&w).await.expect("ordered").state, "CLOSED");
    assert_eq!(vendors.payment(&s).await.expect("ordered").state, "TRADE_CLOSED");
    vendors.pay_as(&w, &Pay { late: true, ..Pay::default() }).await.check(409);
    for visit in [&never, &wechat, &alipay, &scanned] {
        assert_eq!(visit.see().await["status"], "closed");
        assert_eq!(visit.timeline().await, ["booked", "closed"]);
        visit.pay("wechat_native").await.refused(409, "order_not_changeable");
        assert!(is_free(&shop, visit).await, "{}", visit.start_at);
    }
    assert!(!is_free(&shop, &paid).await);
    let rows = stack.d1(&format!("SELECT status FROM payment WHERE id IN ('{w}', '{a}', '{s}')"));
    assert!(rows.iter().all(|row| row["status"] == "closed"), "{rows:?}");
    // Somebody else may have the time.
    shop.book(&stack.some_member().await, None, &wechat.start_at).await.check(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_after_the_hold_has_its_time_if_it_is_free_and_goes_back_if_it_is_not() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let vendors = stack.vendors();
    let mut visits = Vec::new();
    for (clock, channel) in [
        ("10:00", "wechat_native"), // free
        ("11:00", "wechat_native"), // taken
        ("12:00", "alipay_qr"),     // closed, free
        ("13:00", "alipay_qr"),     // closed, taken
        ("14:00", "wechat_native"), // begun
    ] {
        let (member, phone) = member_with_phone(&stack).await;
        let visit = Visit::of(&member, &shop, &at(1, clock), "online").await;
        let number = visit.asks(channel).await;
        visits.push((visit, number, phone));
    }
    // Without an openid there is no payment in the mini program.
    visits[0].0.pay("wechat_jsapi").await.refused(422, "payment_not_offered");
    let begun = format!(
        "UPDATE orders SET start_at = {} WHERE id = '{}'",
        now_ms() - 60_000,
        visits[4].0.order
    );
    end_holds(&stack, &shop, &begun).await;
    let since = now_ms();
    let taker = stack.some_member().await;
    shop.book(&taker, None, &visits[1].0.start_at).await.check(201);
    // Those of WeChat are under way when their hold has ended; the others were closed before.
    for index in [0, 1, 4] {
        vendors.pay(&visits[index].1).await;
    }
    assert_eq!(visits[0].0.becomes("confirmed").await["paid_fen"], 19_800);
    minutes_until(&stack, "the codes that were not scanned are given up", async || {
        visits[3].0.see().await["status"] == "closed"
            && visits[2].0.see().await["status"] == "closed"
    })
    .await;
    shop.book(&taker, None, &visits[3].0.start_at).await.check(201);
    for index in [2, 3] {
        vendors.pay(&visits[index].1).await;
    }
    assert_eq!(visits[2].0.becomes("confirmed").await["paid_fen"], 19_800);
    assert_eq!(visits[2].0.timeline().await, ["booked", "closed", "paid", "confirmed"]);

    for (index, cause) in [(1, "claim_lost"), (3, "claim_lost"), (4, "appointment_begun")] {
        let (visit, number, phone) = &visits[index];
        let refund = format!(
            "SELECT group_concat(status || ' ' || amount_fen || ' ' || cause) AS it
            FROM refund WHERE payment_id = '{number}'"
        );
        minutes_until(&stack, "the money is back", async || {
            stack.it(&refund) == format!("succeeded 19800 {cause}")
        })
        .await;
        assert_eq!(vendors.payment(number).await.expect("ordered").refunded(), 19_800);
        assert_eq!(stack.balance(&format!("order:{}", visit.order)), 0);
        let order = visit.see().await;
        assert_eq!((&order["paid_fen"], &order["refunded_fen"]), (&json!(0), &json!(19_800)));
        if cause == "claim_lost" {
            assert_eq!(order["status"], "cancelled");
        }
        // And they are told so.
        let path = format!("/messages?to={phone}&since={since}");
        minutes_until(&stack, "an SMS", async || {
            let told = stack.sandbox().get(&path).await.expect(200);
            let told = told.body["messages"].as_array().expect("messages").clone();
            assert!(told.len() < 2, "{told:?}");
            told.first().is_some_and(|one| one["template_id"] == "1000002")
        })
        .await;
    }
    for (_, _, phone) in [&visits[0], &visits[2]] {
        let path = format!("/messages?to={phone}&since={since}");
        let told = stack.sandbox().get(&path).await.expect(200);
        assert_eq!(told.body["messages"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_nobody_told_of_is_found_and_a_paid_order_gets_its_time() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let vendors = stack.vendors();
    let visit = async |clock: &str| Visit::online(&stack, &shop, &at(1, clock)).await;
    let unseen = [visit("10:00").await, visit("11:00").await, visit("12:00").await];
    for (visit, channel) in unseen.iter().zip(["wechat_jsapi", "wechat_native", "alipay_qr"]) {
        pays_unseen(&stack, &visit.asks(channel).await).await;
    }
    let open = visit("13:00").await;
    let open_number = open.asks("wechat_native").await;
    let (kept, _) = Visit::paid(&stack, &shop, &at(1, "14:00")).await;
    let (lost, _) = Visit::paid(&stack, &shop, &at(1, "15:00")).await;
    let (taken, taken_number) = Visit::paid(&stack, &shop, &at(1, "16:00")).await;

    // The first question is not due yet.
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "reconcile_payments"), "0 asked, 0 unanswered, 0 unconfirmed");
    // As if what confirms had been lost, with the claims of two.
    let claim = |visit: &Visit| {
        let sql =
            format!("SELECT claim_id AS it FROM order_line WHERE order_id = '{}'", visit.order);
        stack.it(&sql).as_str().expect("an id").to_owned()
    };
    let gone = [claim(&lost), claim(&taken)];
    stack.kill_worker();
    stack.write_d1(&format!(
        "UPDATE payment SET check_at = 0 WHERE status = 'pending';
         UPDATE orders SET status = 'paid', updated_at = updated_at - 600000
            WHERE id IN ('{}', '{}', '{}');",
        kept.order, lost.order, taken.order
    ));
    let calendar = format!("technician:{}", shop.technicians[0]);
    let sql = format!("DELETE FROM claim WHERE id IN ('{}', '{}')", gone[0], gone[1]);
    stack.write_calendar(&calendar, &sql);
    stack.restart_worker().await;
    shop.book(&stack.some_member().await, None, &taken.start_at).await.check(201);

    let query = "/v3/pay/transactions/out-trade-no/{out_trade_no}";
    vendors.fault(Fault::new(Provider::WechatPay, "error500").at(query)).await;
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(outcome(&stack, "reconcile_payments"), "4 asked, 1 unanswered, 3 unconfirmed");
    // The one unanswered is asked about again, later; and so is the one that is not paid.
    let pauses = stack.d1("SELECT check_at, checks FROM payment WHERE status = 'pending'");
    assert_eq!(pauses.len(), 2, "{pauses:?}");
    for row in &pauses {
        let pause = row["check_at"].as_i64().expect("an instant") - now_ms();
        assert!((0..=5 * 60_000).contains(&pause), "{row}");
        assert_eq!(row["checks"], 1);
    }
    stack.change_d1("UPDATE payment SET check_at = 0 WHERE status = 'pending'").await;
    let _ = stack.run_cron(MINUTELY).await;
    for visit in &unseen {
        assert_eq!(visit.becomes("confirmed").await["paid_fen"], 19_800);
    }
    assert_eq!(open.see().await["status"], "pending_payment");
    assert_eq!(vendors.payment(&open_number).await.expect("ordered").state, "NOTPAY");

    for visit in [&kept, &lost] {
        assert_eq!(visit.becomes("confirmed").await["paid_fen"], 19_800);
        assert!(!is_free(&shop, visit).await);
    }
    assert_eq!(taken.becomes("cancelled").await["refunded_fen"], 19_800);
    minutes_until(&stack, "the money is back", async || {
        vendors.payment(&taken_number).await.expect("ordered").refunded() == 19_800
    })
    .await;
    let drift = stack.it("SELECT count AS it FROM drift WHERE kind = 'paid_without_claim'");
    assert_eq!(drift, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_under_way_is_followed_to_its_end() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (vendors, owner) = (stack.vendors(), stack.owner().await);
    vendors.hold_refunds(true).await;
    let mut all = Vec::new();
    for (clock, channel) in [
        ("10:00", "wechat_jsapi"), // succeeds
        ("11:00", "wechat_jsapi"), // abnormal, then succeeds
        ("12:00", "wechat_jsapi"), // closed
        ("13:00", "wechat_jsapi"), // succeeds, and nobody says so
        ("14:00", "alipay_qr"),    // succeeds
        ("15:00", "alipay_qr"),    // succeeds, and nobody says so
    ] {
        let visit = Visit::online(&stack, &shop, &at(1, clock)).await;
        let number = visit.asks(channel).await;
        vendors.pay(&number).await;
        visit.becomes("confirmed").await;
        assert_eq!(visit.cancel().await["refunded_fen"], 19_800);
        let refund = format!("SELECT id AS it FROM refund WHERE payment_id = '{number}'");
        let refund = stack.it(&refund).as_str().expect("an id").to_owned();
        eventually("the vendor is at it", Duration::from_secs(20), async || {
            let there = vendors.payment(&number).await.expect("ordered");
            (there.refunds.first()?.status == "PROCESSING").then_some(())
        })
        .await;
        all.push((visit, number, refund));
    }
    let becomes = async |index: usize, status: &str| {
        let sql = format!("SELECT status AS it FROM refund WHERE id = '{}'", all[index].2);
        stack.d1_becomes(&sql, status).await;
    };
    let balance = |index: usize| stack.balance(&format!("order:{}", all[index].0.order));
    becomes(0, "processing").await;
    // What is promised cannot be promised again.
    let again = async |index: usize| {
        let path = format!("/api/v1/staff/orders/{}/refunds", all[index].0.order);
        owner.post(path, json!({"amount_fen": 19_800, "reason": "再退一次"})).idempotent().await
    };
    again(0).await.refused(422, "refund_too_large");

    vendors.end_refund(&all[0].2, RefundEnd::Success).await;
    becomes(0, "succeeded").await;
    // Alipay's news is of a sum; what became of this one it says when it is asked.
    vendors.end_refund(&all[4].2, RefundEnd::Success).await;
    becomes(4, "processing").await;

    // Its money waits until somebody has dealt with it over there.
    vendors.end_refund(&all[1].2, RefundEnd::Abnormal).await;
    becomes(1, "abnormal").await;
    again(1).await.refused(422, "refund_too_large");
    vendors.end_refund(&all[1].2, RefundEnd::Success).await;
    becomes(1, "succeeded").await;

    // It has come to nothing: the order has its money, and staff ask again, with another number.
    vendors.end_refund(&all[2].2, RefundEnd::Closed).await;
    becomes(2, "closed").await;
    assert_eq!(balance(2), 19_800);
    assert_eq!(all[2].0.see().await["refunded_fen"], 0);
    let mut kinds: Vec<_> = stack.d1("SELECT kind, subject FROM difference ORDER BY kind");
    kinds.sort_by_key(ToString::to_string);
    let expected = [
        json!({"kind": "refund_abnormal", "subject": all[1].2}),
        json!({"kind": "refund_closed", "subject": all[2].2}),
    ];
    assert_eq!(kinds, expected);
    vendors.hold_refunds(false).await;
    again(2).await.check(201);
    let paid_back = format!(
        "SELECT count(*) AS it FROM refund WHERE payment_id = '{}' AND status = 'succeeded'",
        all[2].1
    );
    stack.d1_becomes(&paid_back, 1).await;
    assert_eq!(vendors.payment(&all[2].1).await.expect("ordered").refunded(), 19_800);

    // Nobody says so: the jobs ask.
    vendors.notifications(Astray { lose: 1_000, ..Astray::default() }).await;
    for index in [3, 5] {
        vendors.end_refund(&all[index].2, RefundEnd::Success).await;
    }
    // Alipay's that was never answered is asked for again first, and then asked about.
    for _ in 0..2 {
        let due = "UPDATE refund SET check_at = 0; UPDATE outbox SET due_at = 0, lease_until = 0";
        stack.change_d1(due).await;
        let _ = stack.run_cron(MINUTELY).await;
    }
    for index in [3, 4, 5] {
        becomes(index, "succeeded").await;
    }
    for (index, (_, number, _)) in all.iter().enumerate() {
        assert_eq!(balance(index), 0);
        assert_eq!(vendors.payment(number).await.expect("ordered").refunded(), 19_800);
    }
    for provider in ["wechat_pay", "alipay"] {
        assert_eq!(stack.balance(&format!("provider:{provider}")), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story")]
async fn bills_are_compared_and_what_differs_is_listed_and_moves_no_money() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (vendors, owner) = (stack.vendors(), stack.owner().await);
    let mut numbers = Vec::new();
    for (clock, channel) in [
        ("10:00", "wechat_jsapi"),  // the same on both sides
        ("11:00", "wechat_native"), // unknown to us
        ("12:00", "wechat_native"), // another amount
        ("13:00", "wechat_jsapi"),  // refunded with another amount
        ("14:00", "alipay_qr"),     // the same on both sides
        ("15:00", "alipay_qr"),     // closed, as we see it
    ] {
        let visit = Visit::online(&stack, &shop, &at(1, clock)).await;
        let number = visit.asks(channel).await;
        let how = Pay { days_ago: BILLED, ..Pay::default() };
        vendors.pay_as(&number, &how).await.check(200);
        visit.becomes("confirmed").await;
        if clock == "13:00" {
            vendors.hold_refunds(true).await;
            visit.cancel().await;
        }
        numbers.push(number);
    }
    let refund = format!("SELECT id AS it FROM refund WHERE payment_id = '{}'", numbers[3]);
    let refund = stack.it(&refund).as_str().expect("an id").to_owned();
    stack.d1_becomes("SELECT status AS it FROM refund", "processing").await;
    vendors.end_refund_days_ago(&refund, RefundEnd::Success, BILLED).await;
    stack.d1_becomes("SELECT status AS it FROM refund", "succeeded").await;
    let missing = "c".repeat(32);
    let _ = stack.everything().await;
    stack
        .change_d1(&format!(
            "INSERT INTO payment SELECT '{missing}', order_id, store_id, provider, channel, amount_fen,
                status, description, payer, expires_at, 'nobodys', paid_at, surplus, taken_by, check_at,
                checks, created_at, updated_at FROM payment WHERE id = '{}';
             DELETE FROM payment WHERE id = '{}';
             UPDATE payment SET amount_fen = amount_fen - 1 WHERE id = '{}';
             UPDATE refund SET amount_fen = amount_fen - 1 WHERE id = '{refund}';
             UPDATE payment SET status = 'closed' WHERE id = '{}';",
            numbers[0], numbers[1], numbers[2], numbers[5]
        ))
        .await;
    let money =
        "SELECT json_group_array(json_array(account_id, op_id, delta_fen)) AS it FROM ledger_entry";
    let rows = "SELECT (SELECT json_group_array(json_array(id, status, amount_fen)) FROM payment)
        || (SELECT json_group_array(json_array(id, status, amount_fen)) FROM refund)
        || (SELECT json_group_array(json_array(id, status, version)) FROM orders) AS it";
    let before = (stack.it(money), stack.it(rows), vendors.money().await);

    let day = date(-i64::from(BILLED));
    let bill = |provider: &str| {
        let sql = format!(
            "SELECT (SELECT json_array(rows, differences) FROM bill
            WHERE provider = '{provider}' AND date = '{day}') AS it"
        );
        stack.it(&sql)
    };
    // One that does not answer keeps the other from nothing, and is asked again.
    let asked = "/v3/bill/tradebill";
    vendors.fault(Fault::new(Provider::WechatPay, "error500").at(asked)).await;
    let _ = stack.run_cron(BILLS).await;
    let said = outcome(&stack, "compare_bills");
    assert!(said.starts_with("failed: ") && said.contains("; wechat_pay: "), "{said}");
    assert_eq!((bill("wechat_pay"), bill("alipay")), (Value::Null, "[2,1]".into()), "{said}");
    let _ = stack.run_cron(BILLS).await;
    assert_eq!(bill("wechat_pay"), "[5,4]", "{}", outcome(&stack, "compare_bills"));
    assert_eq!(bill("alipay"), "[2,1]", "{}", outcome(&stack, "compare_bills"));
    let list = async |query: &str| {
        let reply = owner.get(format!("/api/v1/admin/differences{query}")).await.expect(200);
        let mut items = reply.body["items"].as_array().expect("items").clone();
        items.sort_by_key(|one| (one["kind"].to_string(), one["ours"].to_string()));
        items
    };
    let found = list("").await;
    let seen: Vec<_> = found
        .iter()
        .map(|one| {
            json!([
                one["kind"],
                one["subject"],
                one["ours"]["amount_fen"],
                one["theirs"]["amount_fen"]
            ])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["bill_missing", missing, 19_800, null]),
            json!(["bill_payment", numbers[1], null, 19_800]),
            json!(["bill_payment", numbers[2], 19_799, 19_800]),
            json!(["bill_payment", numbers[5], 19_800, 19_800]),
            json!(["bill_refund", refund, 19_799, 19_800]),
        ]
    );
    // Once: a day that was compared is not compared again.
    let _ = stack.run_cron(BILLS).await;
    assert!(outcome(&stack, "compare_bills").starts_with("0 bills compared, 0 differences"));

    let id = found[0]["id"].as_str().expect("an id");
    let path = format!("/api/v1/admin/differences/{id}/resolve");
    owner.post(&path, json!({"note": "刷卡机的,记错了"})).await.check(204);
    owner.post(&path, json!({"note": "再一次"})).await.refused(404, "not_found");
    assert_eq!(list("").await.len(), 4);
    let resolved = list("?resolved=true").await;
    assert_eq!(resolved.len(), 5);
    assert_eq!(resolved[0]["note"], "刷卡机的,记错了");
    assert!(resolved[0]["resolved_by"].is_string() && resolved[0]["resolved_at"].is_string());
    let audit = format!("SELECT action AS it FROM audit_entry WHERE subject = '{id}'");
    assert_eq!(stack.it(&audit), "resolve_difference");

    assert_eq!((stack.it(money), stack.it(rows), vendors.money().await), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_shown_and_tried_again_when_the_owner_says_so() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (vendors, owner) = (stack.vendors(), stack.owner().await);
    let (visit, number) = Visit::paid(&stack, &shop, &at(1, "10:00")).await;
    let _ = stack.everything().await;
    let refunds = "/v3/refund/domestic/refunds";
    vendors.fault(Fault::new(Provider::WechatPay, "refuse").at(refunds).errcode("NO_AUTH")).await;
    visit.cancel().await;
    stack.d1_becomes("SELECT count(*) AS it FROM outbox WHERE attempts > 0", 1).await;
    stack.change_d1("UPDATE outbox SET dead = 1, attempts = 40 WHERE topic = 'refund'").await;

    let _ = stack.run_cron(MINUTELY).await;
    assert!(vendors.payment(&number).await.expect("ordered").refunds.is_empty());
    let operations = owner.get("/api/v1/admin/operations").await.expect(200);
    let dead: &Value = &operations.body["outbox"];
    assert_eq!(
        (&dead["dead"], &dead["dead_rows"][0]["topic"]),
        (&json!(1), &json!("refund")),
        "{dead}"
    );
    assert_eq!(stack.it("SELECT kind AS it FROM difference"), "refund_refused");
    let id = dead["dead_rows"][0]["id"].as_str().expect("an id");
    let path = format!("/api/v1/admin/outbox/{id}/retry");
    let manager = stack.staff("manager", Some(&shop.store)).await;
    manager.post(&path, json!({})).await.check(403);
    owner.post(&path, json!({})).await.check(204);
    owner.post(&path, json!({})).await.refused(404, "not_found");
    minutes_until(&stack, "the money is back", async || {
        stack.it("SELECT status AS it FROM refund") == "succeeded"
    })
    .await;
    assert_eq!(vendors.payment(&number).await.expect("ordered").refunds.len(), 1);
    let audit = format!("SELECT action AS it FROM audit_entry WHERE subject = '{id}'");
    assert_eq!(stack.it(&audit), "retry_outbox");
    let operations = owner.get("/api/v1/admin/operations").await.expect(200);
    assert_eq!(operations.body["outbox"]["dead"], 0);
}
