//! What a payment vendor's notice does: one that it has signed, and that says what was asked for, pays the
//! order once; any other changes nothing. Over HTTP, on raw bytes.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::money::{Forgery, Notify, Pay, Payment, Provider};
use zhundian_tests::notices::{ALIPAY, Notice, WECHAT_PAY, Wanted};
use zhundian_tests::visit::at;
use zhundian_tests::{Call, Hours, Reply, Shop, Stack, Visit, at_once, count, eventually, now_ms};

/// Calls under way at a time.
const AT_ONCE: usize = 16;

/// Visits that wait for their payment, and what the vendor knows of it.
struct Waiting {
    visit: Visit,
    payment: Payment,
}

async fn waiting(stack: &Stack, shop: &Shop, clock: &str, channel: &str) -> Waiting {
    let visit = Visit::online(stack, shop, &at(1, clock)).await;
    let number = visit.asks(channel).await;
    let payment = stack.vendors().payment(&number).await.expect("ordered");
    Waiting { visit, payment }
}

impl Waiting {
    /// Nothing was recorded.
    async fn is_unpaid(&self, stack: &Stack) {
        let order = self.visit.see().await;
        assert_eq!((&order["status"], &order["paid_fen"]), (&json!("pending_payment"), &json!(0)));
        let id = &self.payment.out_trade_no;
        let row =
            stack.d1(&format!("SELECT status, transaction_id FROM payment WHERE id = '{id}'"));
        assert_eq!(row, [json!({"status": "pending", "transaction_id": null})]);
        assert_eq!(stack.balance(&format!("order:{}", self.visit.order)), 0);
    }

    /// It was recorded, once.
    async fn is_paid_once(&self, stack: &Stack) {
        let order = self.visit.becomes("confirmed").await;
        assert_eq!(order["paid_fen"], self.payment.amount, "{order}");
        let timeline = self.visit.timeline().await;
        assert_eq!(timeline, ["booked", "paid", "confirmed"]);
        let of_order = format!(
            "SELECT group_concat(op_id || ' ' || delta_fen) AS it FROM ledger_entry
             WHERE account_id = 'order:{}'",
            self.visit.order
        );
        let entry = format!("paid:{} {}", self.payment.out_trade_no, self.payment.amount);
        assert_eq!(stack.it(&of_order), entry);
    }
}

async fn in_turns(calls: impl IntoIterator<Item = Call>) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut calls = calls.into_iter().peekable();
    while calls.peek().is_some() {
        replies.extend(at_once(calls.by_ref().take(AT_ONCE)).await);
    }
    replies
}

#[track_caller]
fn unverified(reply: &Reply, what: &str) {
    assert_eq!(
        (reply.status, reply.code()),
        (401, "notice_not_verified"),
        "{what}: {}",
        reply.body
    );
}

#[track_caller]
fn mismatch(reply: &Reply, what: &str) {
    assert_eq!((reply.status, reply.code()), (422, "notice_mismatch"), "{what}: {}", reply.body);
}

/// One read and one batch of D1, no calendar.
async fn is_cheap(stack: &Stack, reply: &Reply) {
    let line = stack.logged(reply).await;
    assert!(line["d1_batches"].as_u64() <= Some(2), "{line}");
    assert_eq!(line["object_calls"], 0, "{line}");
}

fn differences(stack: &Stack, payment: &Payment) -> Vec<Value> {
    let id = &payment.out_trade_no;
    let sql = format!("SELECT kind FROM difference WHERE subject = '{id}' ORDER BY kind");
    stack.d1(&sql).into_iter().map(|mut row| row["kind"].take()).collect()
}

fn transaction(stack: &Stack, payment: &Payment) -> Value {
    let id = &payment.out_trade_no;
    stack.it(&format!("SELECT transaction_id AS it FROM payment WHERE id = '{id}'"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_byte_of_a_wechat_pay_notice_that_is_another_is_401_and_it_pays_once() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let one = waiting(&stack, &shop, "10:00", "wechat_jsapi").await;
    let genuine = Wanted::paid(&stack, &one.payment, "4200000000202611250000000001");
    let notice = stack.wechat_pay_notices(&[genuine]).remove(0);

    let mut altered: Vec<(String, Notice)> = Vec::new();
    let mut alter = |what: String, notice: Notice| altered.push((what, notice));
    let bytes = notice.body.as_bytes();
    for index in 0..bytes.len() {
        let mut other = bytes.to_vec();
        other[index] ^= 1;
        // A turned bit may make other UTF-8 of it, never none: only texts' bytes lie above 127.
        let Ok(other) = String::from_utf8(other) else { continue };
        alter(format!("byte {index}"), notice.saying(other));
    }
    let body = &notice.body;
    for (what, other) in [
        ("nothing", String::new()),
        ("one byte less", body[..body.len() - 1].to_owned()),
        ("a space more", format!("{body} ")),
        ("a line more", format!("{body}\n")),
        ("a space before", format!(" {body}")),
        ("twice", format!("{body}{body}")),
        ("the same, said with more spaces", body.replace("\":", "\": ")),
        ("no JSON", "<xml/>".to_owned()),
        ("null", "null".to_owned()),
    ] {
        alter(what.to_owned(), notice.saying(other));
    }
    for (name, value) in &notice.headers {
        if !name.starts_with("wechatpay-") {
            continue;
        }
        alter(format!("{name} with more"), notice.with(name, Some(&format!("{value}x"))));
        let shorter = &value[..value.len() - 1];
        alter(format!("{name} with less"), notice.with(name, Some(shorter)));
        alter(format!("{name} empty"), notice.with(name, Some("")));
        // Documents say that the type may be left out.
        if name != "wechatpay-signature-type" {
            alter(format!("{name} gone"), notice.with(name, None));
        }
    }
    let signature = &notice.headers["wechatpay-signature"];
    let timestamp: i64 = notice.headers["wechatpay-timestamp"].parse().expect("seconds");
    for (what, name, value) in [
        ("probe", "wechatpay-signature", format!("WECHATPAY/SIGNTEST/{}", &signature[19..])),
        ("spaces", "wechatpay-signature", format!("{} {}", &signature[..4], &signature[4..])),
        ("lower case", "wechatpay-signature", signature.to_lowercase()),
        ("no padding", "wechatpay-signature", signature.trim_end_matches('=').to_owned()),
        ("a second later", "wechatpay-timestamp", (timestamp + 1).to_string()),
        ("a sign", "wechatpay-timestamp", format!("+{timestamp}")),
        ("a fraction", "wechatpay-timestamp", format!("{timestamp}.0")),
        ("too large", "wechatpay-timestamp", "9".repeat(30)),
        ("another way to sign", "wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3".to_owned()),
        ("lower case", "wechatpay-serial", notice.headers["wechatpay-serial"].to_lowercase()),
        ("nobody's", "wechatpay-serial", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1".to_owned()),
    ] {
        alter(format!("{name} {what}"), notice.with(name, Some(&value)));
    }
    assert!(altered.len() > 600, "{}", altered.len());
    let replies = in_turns(altered.iter().map(|(_, one)| one.call(&stack, WECHAT_PAY))).await;
    for ((what, _), reply) in altered.iter().zip(&replies) {
        unverified(reply, what);
    }
    one.is_unpaid(&stack).await;

    // As it was sent, once, again, and a hundred times more.
    let first = notice.post(&stack, WECHAT_PAY).await.expect(204);
    is_cheap(&stack, &first).await;
    one.is_paid_once(&stack).await;
    let again = notice.post(&stack, WECHAT_PAY).await.expect(204);
    is_cheap(&stack, &again).await;
    let replies = in_turns((0..100).map(|_| notice.call(&stack, WECHAT_PAY))).await;
    assert_eq!(count(&replies, 204), 100);
    one.is_paid_once(&stack).await;
    assert!(differences(&stack, &one.payment).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_is_good_for_less_than_five_minutes_either_way() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let past = waiting(&stack, &shop, "10:00", "wechat_native").await;
    let future = waiting(&stack, &shop, "12:00", "wechat_native").await;
    // Posted within the first half of this second.
    let second = now_ms() / 1000 + 3;
    let wanted = |of: &Waiting, number: &str, seconds: i64| {
        Wanted::paid(&stack, &of.payment, number).signed_at(second + seconds)
    };
    let (a, b) = ("4200000000202611250000000101", "4200000000202611250000000102");
    let notices = stack.wechat_pay_notices(&[
        wanted(&past, a, -301),
        wanted(&future, b, 301),
        wanted(&past, a, -3600),
        wanted(&future, b, 86_400),
        wanted(&past, a, -299),
        wanted(&future, b, 299),
    ]);
    assert!(now_ms() < second * 1000, "made in time");
    eventually("that second", Duration::from_secs(5), async || {
        (now_ms() >= second * 1000).then_some(())
    })
    .await;
    let replies = at_once(notices.iter().map(|one| one.call(&stack, WECHAT_PAY))).await;
    assert!(now_ms() < second * 1000 + 900, "posted in time");
    for reply in &replies[..4] {
        unverified(reply, "too old, or from the future");
    }
    for reply in &replies[4..] {
        reply.check(204);
    }
    past.is_paid_once(&stack).await;
    future.is_paid_once(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_wechat_pay_notice_that_says_something_else_pays_nothing() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let one = waiting(&stack, &shop, "10:00", "wechat_jsapi").await;
    let number = "4200000000202611250000000201";
    let paid = || Wanted::paid(&stack, &one.payment, number);
    let amount = one.payment.amount;
    // Envelope and seal.
    let sealed = [
        ("a bit of the first sealed byte", paid().turned(0)),
        ("a bit in the middle", paid().turned(100)),
        ("the tag's first byte", paid().turned(-16)),
        ("the tag's last byte", paid().turned(-1)),
        ("another nonce", paid().resource("nonce", "0123456789ab")),
        ("a nonce too short", paid().resource("nonce", "0123456789a")),
        ("no nonce", paid().resource("nonce", Value::Null)),
        ("other associated data", paid().resource("associated_data", "refund")),
        ("none", paid().resource("associated_data", "")),
        ("another algorithm", paid().resource("algorithm", "AEAD_SM4_GCM")),
        ("no ciphertext", paid().resource("ciphertext", "")),
        ("no base64", paid().resource("ciphertext", "%%%%")),
        ("another key's seal", paid().sealed_by_another()),
        ("no resource", paid().envelope("event_type", Value::Null)),
    ];
    // Contents that are not the payment that was asked for.
    let contents = [
        ("a fen more", paid().content("/amount/total", amount + 1)),
        ("a fen less", paid().content("/amount/total", amount - 1)),
        ("nothing", paid().content("/amount/total", 0)),
        ("less than nothing", paid().content("/amount/total", -amount)),
        ("a text", paid().content("/amount/total", amount.to_string())),
        ("a fraction", paid().content("/amount/total", 0.5)),
        ("another currency", paid().content("/amount/currency", "USD")),
        ("another app", paid().content("/appid", "wxsomebodyelse0001")),
        ("another merchant", paid().content("/mchid", "1999999999")),
        ("no order", paid().content("/out_trade_no", "01a2103d587b79fcb78b963a7b0fb6b4")),
        ("no number", paid().content("/out_trade_no", "")),
        ("not paid", paid().content("/trade_state", "NOTPAY")),
        ("refunded", paid().content("/trade_state", "REFUND")),
        ("no transaction", paid().content("/transaction_id", Value::Null)),
    ];
    let cases: Vec<_> = sealed.into_iter().chain(contents).collect();
    let wanted: Vec<_> = cases.iter().map(|(_, wanted)| wanted.clone()).collect();
    let notices = stack.wechat_pay_notices(&wanted);
    let replies = in_turns(notices.iter().map(|one| one.call(&stack, WECHAT_PAY))).await;
    for ((what, _), reply) in cases.iter().zip(&replies) {
        mismatch(reply, what);
    }
    one.is_unpaid(&stack).await;
    // Staff are told of those that were opened and speak of this payment.
    assert_eq!(differences(&stack, &one.payment), ["payment_mismatch"]);

    // News of something else is none of ours, and a coupon is the customer's affair.
    let others = [
        paid().envelope("event_type", "TRANSACTION.CLOSED"),
        paid().envelope("event_type", "MCHTRANSFER.BILL.FINISHED"),
        paid().resource("original_type", "refund"),
    ];
    for notice in stack.wechat_pay_notices(&others) {
        notice.post(&stack, WECHAT_PAY).await.check(204);
    }
    one.is_unpaid(&stack).await;
    let coupon = paid().content("/amount/payer_total", 0);
    stack.wechat_pay_notices(&[coupon]).remove(0).post(&stack, WECHAT_PAY).await.check(204);
    one.is_paid_once(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_orders_notices_that_are_crossed_pay_neither() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let dear = stack.shop_with(1, Hours::Day, json!({"price_fen": 29_900})).await;
    let one = waiting(&stack, &shop, "10:00", "wechat_jsapi").await;
    let other = waiting(&stack, &dear, "10:00", "wechat_jsapi").await;
    let (a, b) = ("4200000000202611250000000301", "4200000000202611250000000302");
    let crossed = Wanted::paid(&stack, &one.payment, a);
    let made = stack.wechat_pay_notices(&[
        Wanted::paid(&stack, &one.payment, a),
        Wanted::paid(&stack, &other.payment, b),
        // One's number with the other's amount.
        crossed.clone().content("/amount/total", other.payment.amount),
        // One's payment with the other's transaction.
        crossed.content("/transaction_id", b),
    ]);
    let [first, second, amount, transaction_of_other] = &made[..] else { panic!("four") };
    unverified(&first.saying(&second.body).post(&stack, WECHAT_PAY).await, "one's headers");
    unverified(&second.saying(&first.body).post(&stack, WECHAT_PAY).await, "other's headers");
    mismatch(&amount.post(&stack, WECHAT_PAY).await, "other's amount");
    one.is_unpaid(&stack).await;
    other.is_unpaid(&stack).await;

    second.post(&stack, WECHAT_PAY).await.check(204);
    mismatch(&transaction_of_other.post(&stack, WECHAT_PAY).await, "a transaction used before");
    one.is_unpaid(&stack).await;
    assert_eq!(differences(&stack, &one.payment), ["payment_mismatch", "transaction_reused"]);
    first.post(&stack, WECHAT_PAY).await.check(204);
    one.is_paid_once(&stack).await;
    other.is_paid_once(&stack).await;
    assert_eq!(
        (transaction(&stack, &one.payment), transaction(&stack, &other.payment)),
        (a.into(), b.into())
    );
    // Paid again with another transaction: nothing moves, and staff are told.
    let again = Wanted::paid(&stack, &one.payment, "4200000000202611250000000303");
    stack.wechat_pay_notices(&[again]).remove(0).post(&stack, WECHAT_PAY).await.check(204);
    one.is_paid_once(&stack).await;
    assert_eq!(transaction(&stack, &one.payment), a);
    assert!(differences(&stack, &one.payment).contains(&json!("second_transaction")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_byte_of_an_alipay_notice_that_is_another_is_401_and_it_pays_once() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let one = waiting(&stack, &shop, "10:00", "alipay_qr").await;
    let number = "2026112522001400000000000001";
    let fields = stack.alipay_fields(&one.payment, number);
    let with = |name: &str, value: &str| {
        let mut other = fields.clone();
        other[name] = value.into();
        other
    };
    let signed = [
        ("a fen more", with("total_amount", "198.01")),
        ("a fen less", with("total_amount", "197.99")),
        ("more decimals", with("total_amount", "198.000")),
        ("no number", with("total_amount", "198,00")),
        ("another currency", with("trans_currency", "USD")),
        ("another app", with("app_id", "2099999999999999")),
        ("another seller", with("seller_id", "2088999999999999")),
        ("no order", with("out_trade_no", "01a2103d587b79fcb78b963a7b0fb6b4")),
        ("no transaction", with("trade_no", "")),
    ];
    let mut wanted: Vec<Value> = signed.iter().map(|(_, fields)| fields.clone()).collect();
    wanted.push(with("trade_status", "WAIT_BUYER_PAY"));
    wanted.push(fields.clone());
    let mut notices = stack.alipay_notices(&wanted);
    let notice = notices.pop().expect("the genuine one");
    let unpaid = notices.pop().expect("the one that is not paid");

    let body = &notice.body;
    let mut altered: Vec<(String, Notice)> = Vec::new();
    for index in 0..body.len() {
        let mut other = body.clone().into_bytes();
        other[index] ^= 1;
        let other = String::from_utf8(other).expect("ASCII");
        altered.push((format!("byte {index}"), notice.saying(other)));
    }
    for (what, other) in [
        ("nothing", String::new()),
        ("a parameter more", format!("{body}&buyer_open_id=x")),
        ("a parameter twice", format!("{body}&total_amount=198.00")),
        ("one that hides in another", body.replacen("subject=", "subject=x%26trade_no%3D1", 1)),
        ("another order of bytes", body.replace("sign_type=RSA2", "sign_type=RSA")),
        ("no signature", body.replacen("sign=", "sing=", 1)),
        ("JSON", fields.to_string()),
    ] {
        altered.push((what.to_owned(), notice.saying(other)));
    }
    assert!(altered.len() > 600, "{}", altered.len());
    let replies = in_turns(altered.iter().map(|(_, one)| one.call(&stack, ALIPAY))).await;
    for ((what, _), reply) in altered.iter().zip(&replies) {
        unverified(reply, what);
    }
    for ((what, _), notice) in signed.iter().zip(&notices) {
        mismatch(&notice.post(&stack, ALIPAY).await, what);
    }
    let scanned = unpaid.post(&stack, ALIPAY).await.expect(200);
    assert_eq!(&scanned.bytes[..], b"success");
    one.is_unpaid(&stack).await;
    assert_eq!(differences(&stack, &one.payment), ["payment_mismatch"]);

    let first = notice.post(&stack, ALIPAY).await.expect(200);
    assert_eq!(&first.bytes[..], b"success");
    is_cheap(&stack, &first).await;
    one.is_paid_once(&stack).await;
    let again = notice.post(&stack, ALIPAY).await.expect(200);
    is_cheap(&stack, &again).await;
    let replies = in_turns((0..100).map(|_| notice.call(&stack, ALIPAY))).await;
    assert!(replies.iter().all(|reply| reply.status == 200 && &reply.bytes[..] == b"success"));
    one.is_paid_once(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendors_forge_is_refused_and_what_they_repeat_pays_once() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let wechat = waiting(&stack, &shop, "10:00", "wechat_native").await;
    let alipay = waiting(&stack, &shop, "12:00", "alipay_qr").await;
    let unsigned =
        [Forgery::Stale, Forgery::BadSignature, Forgery::Signtest, Forgery::UnknownSerial];
    for (of, kinds) in [(&wechat, &Forgery::OF_WECHAT_PAY[..]), (&alipay, &Forgery::OF_ALIPAY)] {
        for kind in kinds {
            let vendors = stack.vendors();
            let answer = vendors.forge(&of.payment.out_trade_no, *kind).await;
            let expected = if unsigned.contains(kind) { 401 } else { 422 };
            assert_eq!(answer.status, Some(expected), "{kind:?}: {answer:?}");
        }
        of.is_unpaid(&stack).await;
    }
    for of in [&wechat, &alipay] {
        let (vendors, number) = (stack.vendors(), &of.payment.out_trade_no);
        let how = Pay { notify: Notify::Twice, ..Pay::default() };
        vendors.pay_as(number, &how).await.check(200);
        vendors.accepted(number, 2).await;
        let answers = vendors.replay(number, 5).await;
        let status = if of.payment.provider == Provider::Alipay { 200 } else { 204 };
        assert!(answers.iter().all(|one| one.status == Some(status)), "{answers:?}");
        of.is_paid_once(&stack).await;
    }
}
