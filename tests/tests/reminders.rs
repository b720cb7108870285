//! Messages about appointments on the real runtime, under a clock that the test moves.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::messages::{
    Customer, in_minutes, is_staff, passes, runs, sms_to, stack_with, template, told,
};
use zhundian_tests::visit::ms;
use zhundian_tests::world::some_phone;
use zhundian_tests::{Hours, eventually, now_ms};

const HOUR: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_of_a_visit_once_by_wechat_and_without_consent_by_sms() {
    let stack = stack_with("none").await;
    let shop = stack.shop(2, Hours::Always).await;
    let technician = is_staff(&stack, &shop.technicians[0]).await;
    let anna = Customer::by_wechat(&stack).await;
    anna.subscribes(&stack, &["booked", "before"]).await;
    assert_eq!((anna.balance("booked").await, anna.balance("changed").await), (1, 0));
    let start = in_minutes(48 * 60);
    let booked = shop.book(&anna.api, Some(&shop.technicians[0]), &start).await.expect(201);
    let order = booked.text("/order/id").to_owned();
    runs(&stack, 2).await;
    let first = anna.wechat(&stack).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first[0]["template_id"], template("booked"));
    assert_eq!(first[0]["page"], format!("pages/order?id={order}"));
    let local = start.replace('T', " ");
    let when = format!("{}年{}月{}日 {}", &local[..4], &local[5..7], &local[8..10], &local[11..16]);
    assert_eq!(first[0]["params"]["date2"], when);
    assert_eq!(anna.balance("booked").await, 0);
    assert_eq!(sms_to(&stack, &technician).await, ["technician.booked"]);

    // A day before, by the consent; an hour before, without one, by SMS; and nothing after that.
    passes(&stack, 24 * 60 + 5).await;
    runs(&stack, 2).await;
    assert_eq!(anna.wechat(&stack).await.len(), 2);
    assert_eq!(anna.sms(&stack).await, [] as [&str; 0]);
    passes(&stack, 23 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["before"]);
    passes(&stack, 70).await;
    runs(&stack, 2).await;
    assert_eq!((anna.wechat(&stack).await.len(), anna.sms(&stack).await.len()), (2, 1));
    let theirs = ["technician.booked", "technician.before", "technician.before"];
    assert_eq!(sms_to(&stack, &technician).await, theirs);
    let expected = ["before 1440 sent wechat", "before 60 sent sms", "booked 0 sent wechat"];
    assert_eq!(told(&stack, &order).await, expected);

    // Another technician: the one is told that it is gone, the other one that it is theirs.
    let other = is_staff(&stack, &shop.technicians[1]).await;
    let start = in_minutes(72 * 60);
    let booked = shop.book(&anna.api, Some(&shop.technicians[0]), &start).await.expect(201);
    runs(&stack, 1).await;
    let line = booked.text("/order/lines/0/id");
    let body = json!({"line_id": line, "start_at": start, "technician_id": shop.technicians[1]});
    let path = format!("/api/v1/orders/{}/reschedule", booked.text("/order/id"));
    anna.api.post(path, body).idempotent().await.check(200);
    runs(&stack, 2).await;
    assert_eq!(sms_to(&stack, &other).await, ["technician.booked"]);
    let theirs = sms_to(&stack, &technician).await;
    assert_eq!(theirs[3..], ["technician.booked", "technician.cancelled"]);
    assert_eq!(anna.sms(&stack).await, ["before", "booked", "changed"]);

    // What is not of ours, twice or too many is refused, and counts nothing.
    let answer = |id: &str, result: &str| json!({"template_id": id, "result": result});
    let (known, path) = (template("booked"), "/api/v1/me/subscriptions");
    for (results, code) in [
        (json!([answer("other", "accept")]), "unknown_template"),
        (json!([answer(&known, "accept"), answer(&known, "accept")]), "duplicate_item"),
        (json!([answer(&known, "maybe")]), "unknown_value"),
        (
            json!([
                answer("1", "accept"),
                answer("2", "accept"),
                answer("3", "accept"),
                answer("4", "accept")
            ]),
            "too_many_items",
        ),
    ] {
        anna.api.post(path, json!({"results": results})).await.refused(422, code);
    }
    anna.api.post(path, json!({"results": [answer(&known, "reject")]})).await.check(200);
    assert_eq!(anna.balance("booked").await, 0);
    anna.api.post(path, json!({"results": [answer(&known, "acceptWithAudio")]})).await.check(200);
    assert_eq!(anna.balance("booked").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_runs_cancels_and_moves_around_the_due_times() {
    let stack = stack_with("none").await;
    let shop = stack.shop(8, Hours::Always).await;
    let mut all = Vec::new();
    for minutes in [30 * 60, 30 * 60, 30 * 60, 30 * 60, 29 * 60, 30 * 60, 30 * 60] {
        let customer = Customer::by_phone(&stack).await;
        let visit = customer.books(&shop, &in_minutes(minutes)).await;
        all.push((customer, visit));
    }
    let moves = async |at: usize, start_at: &str| {
        let (customer, visit) = &all[at];
        let order = visit.see().await;
        let body = json!({"line_id": order["lines"][0]["id"], "start_at": start_at});
        let path = format!("/api/v1/orders/{}/reschedule", visit.order);
        customer.api.post(path, body).idempotent().await.check(200);
    };
    runs(&stack, 1).await;
    // Before the first is due: one is given up, one is moved two days on.
    all[0].1.cancel().await;
    moves(1, &in_minutes(78 * 60)).await;
    runs(&stack, 1).await;
    // The first falls due in a run that is missed; then one is given up, one is moved, one comes back.
    passes(&stack, 6 * 60 + 15).await;
    all[2].1.cancel().await;
    moves(3, &in_minutes(60 * 60)).await;
    let back = all[6].1.see().await["lines"][0]["start_at"].as_str().expect("a start").to_owned();
    moves(6, &in_minutes(61 * 60)).await;
    moves(6, &back).await;
    runs(&stack, 2).await;
    let sent = async |at: usize| all[at].0.sms(&stack).await;
    let none = |list: &[String], kind: &str| !list.iter().any(|one| one == kind);
    for (at, expected) in [
        (0, &["booked", "cancelled"][..]),
        (1, &["booked", "changed"]),
        (2, &["booked", "cancelled"]),
        (3, &["booked", "changed"]),
        (4, &["booked", "before"]),
        (5, &["booked", "before"]),
    ] {
        assert_eq!(sent(at).await, expected, "{at}");
    }
    // Of two changes the latter is told; what was due at the start that it came back to is still due.
    let mut there_and_back = sent(6).await;
    there_and_back.sort_unstable();
    assert_eq!(there_and_back, ["before", "booked", "changed"]);
    // No run until after one visit's start, and half an hour before another's.
    passes(&stack, 23 * 60 + 5).await;
    runs(&stack, 2).await;
    assert_eq!(sent(4).await, ["booked", "before"]);
    let late = ["before 1440 sent sms", "before 60 skipped too_late", "booked 0 sent sms"];
    assert_eq!(told(&stack, &all[4].1.order).await, late);
    assert_eq!(sent(5).await, ["booked", "before", "before"]);
    // Whose start was left has heard nothing of it; whose visit was given up, nothing at all since.
    for at in [0, 2] {
        assert!(none(&sent(at).await, "before"));
        let told = told(&stack, &all[at].1.order).await;
        assert!(told.contains(&"before 1440 skipped not_so".to_owned()), "{told:?}");
    }
    // The moved ones hear of their new starts alone: the day before was missed, then it is an hour.
    passes(&stack, 48 * 60 - 15).await;
    runs(&stack, 1).await;
    passes(&stack, 30).await;
    runs(&stack, 2).await;
    let told_of = told(&stack, &all[1].1.order).await;
    let before = told_of.iter().filter(|one| one.starts_with("before") && one.contains(" sent "));
    assert_eq!(before.count(), 1, "{told_of:?}");
    assert_eq!(sent(1).await, ["booked", "changed", "before"]);
    for (at, one) in all.iter().enumerate() {
        let pending = told(&stack, &one.1.order).await;
        assert!(pending.iter().all(|one| !one.contains("pending")), "{at} {pending:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_taking_and_sending_it_is_never_sent_twice() {
    let stack = stack_with("none").await;
    let shop = stack.shop(4, Hours::Always).await;
    for after in [false, true] {
        let customer = Customer::by_phone(&stack).await;
        let visit = customer.books(&shop, &in_minutes(30 * 60)).await;
        let fault = json!({"provider": "sms", "kind": "hang", "after": after});
        stack.sandbox().post("/faults", fault).await.check(200);
        let path = "/cdn-cgi/local/scheduled?cron=%2A+%2A+%2A+%2A+%2A&format=json";
        let run = tokio::spawn(stack.api().get(path).attempt());
        eventually("it is under way", Duration::from_secs(20), async || {
            let waiting = stack.sandbox().get("/faults").await.expect(200);
            waiting.body["faults"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
        stack.kill_worker();
        let _ = run.await;
        stack.restart_worker().await;
        runs(&stack, 2).await;
        let state = told(&stack, &visit.order).await;
        assert!(state.contains(&"booked 0 sending -".to_owned()), "{state:?}");
        passes(&stack, 10).await;
        runs(&stack, 2).await;
        let state = told(&stack, &visit.order).await;
        assert!(state.contains(&"booked 0 unknown interrupted".to_owned()), "{state:?}");
        let expected: &[&str] = if after { &["booked"] } else { &[] };
        assert_eq!(customer.sms(&stack).await, expected);
        // What comes later is told as ever.
        visit.cancel().await;
        runs(&stack, 2).await;
        assert_eq!(customer.sms(&stack).await.last().map(String::as_str), Some("cancelled"));
    }
    // Without a kill: an answer that is lost.
    let customer = Customer::by_phone(&stack).await;
    let visit = customer.books(&shop, &in_minutes(30 * 60)).await;
    let fault = json!({"provider": "sms", "kind": "drop", "after": true});
    stack.sandbox().post("/faults", fault).await.check(200);
    runs(&stack, 3).await;
    assert_eq!(customer.sms(&stack).await, ["booked"]);
    assert!(told(&stack, &visit.order).await.contains(&"booked 0 unknown no_answer".to_owned()));
    // Two runs at once.
    let customer = Customer::by_phone(&stack).await;
    let visit = customer.books(&shop, &in_minutes(31 * 60)).await;
    tokio::join!(runs(&stack, 2), runs(&stack, 2), runs(&stack, 2));
    assert_eq!(customer.sms(&stack).await, ["booked"]);
    // Many too many: later, and once.
    let fault = json!({"provider": "sms", "kind": "frequency_limit", "times": 1});
    stack.sandbox().post("/faults", fault).await.check(200);
    visit.cancel().await;
    runs(&stack, 2).await;
    assert_eq!(customer.sms(&stack).await, ["booked"]);
    passes(&stack, 5).await;
    runs(&stack, 2).await;
    assert_eq!(customer.sms(&stack).await, ["booked", "cancelled"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wechat_refuses_goes_by_sms_and_what_it_leaves_open_does_not() {
    let stack = stack_with("none").await;
    let shop = stack.shop(14, Hours::Always).await;
    let fault = async |fault: Value| {
        let mut body = json!({"provider": "wechat", "path": "/cgi-bin/message/subscribe/send"});
        for (name, value) in fault.as_object().expect("fields") {
            body[name] = value.clone();
        }
        stack.sandbox().post("/faults", body).await.check(200);
    };
    let books = async |customer: &Customer| {
        let visit = customer.books(&shop, &in_minutes(30 * 60)).await;
        runs(&stack, 2).await;
        let told = told(&stack, &visit.order).await;
        told.into_iter().find(|one| one.starts_with("booked")).expect("it is written")
    };
    // The customer has taken the consents back over there: we know of two, WeChat of none.
    let customer = Customer::by_wechat(&stack).await;
    customer.says_so(&["booked"]).await;
    customer.says_so(&["booked"]).await;
    assert_eq!(customer.balance("booked").await, 2);
    assert_eq!(books(&customer).await, "booked 0 sent sms");
    assert_eq!((customer.balance("booked").await, customer.sms(&stack).await.len()), (0, 1));

    // What is refused for another reason uses no consent up.
    for errcode in [47003, 40037, 40003, 43107, 45009, 48001] {
        let customer = Customer::by_wechat(&stack).await;
        customer.subscribes(&stack, &["booked"]).await;
        fault(json!({"kind": "refuse", "errcode": errcode})).await;
        assert_eq!(books(&customer).await, "booked 0 sent sms", "{errcode}");
        assert_eq!(customer.balance("booked").await, 1, "{errcode}");
        assert_eq!(customer.wechat(&stack).await, [] as [Value; 0]);
    }
    // A token that is void is got once more.
    let customer = Customer::by_wechat(&stack).await;
    customer.subscribes(&stack, &["booked"]).await;
    fault(json!({"kind": "refuse", "errcode": 40001})).await;
    assert_eq!(books(&customer).await, "booked 0 sent wechat");
    // Nobody knows: it may be there, so SMS would be the second.
    for (kind, there) in [("drop", 1), ("error500", 1), ("garbage", 1)] {
        let customer = Customer::by_wechat(&stack).await;
        customer.subscribes(&stack, &["booked"]).await;
        fault(json!({"kind": kind, "after": true})).await;
        assert_eq!(books(&customer).await, "booked 0 unknown no_answer", "{kind}");
        assert_eq!(customer.wechat(&stack).await.len(), there);
        assert_eq!(customer.sms(&stack).await, [] as [&str; 0]);
        assert_eq!(customer.balance("booked").await, 0);
    }
    // Neither consent nor phone.
    let nobody = Customer { api: stack.some_member().await, phone: some_phone(), openid: None };
    assert_eq!(books(&nobody).await, "booked 0 skipped unreachable");
    // Nobody has more messages than consents, however many visits there are at once.
    let customer = Customer::by_wechat(&stack).await;
    customer.subscribes(&stack, &["booked"]).await;
    for _ in 0..3 {
        customer.books(&shop, &in_minutes(40 * 60)).await;
    }
    tokio::join!(runs(&stack, 2), runs(&stack, 2));
    assert_eq!(customer.wechat(&stack).await.len(), 1);
    assert_eq!(customer.sms(&stack).await, ["booked", "booked"]);
    assert_eq!(customer.balance("booked").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_hours_let_through_what_the_customer_does_and_what_cannot_wait() {
    // They began an hour ago and end in three.
    let clock = |hours: i64| {
        let at = chrono::DateTime::from_timestamp_millis(now_ms() + (8 + hours) * HOUR);
        at.expect("an instant").format("%H:00").to_string()
    };
    let stack = stack_with(&format!("{}-{}", clock(-1), clock(3))).await;
    let shop = stack.shop(3, Hours::Always).await;
    let technician = is_staff(&stack, &shop.technicians[0]).await;
    let customer = Customer::by_phone(&stack).await;
    let book = async |start_at: &str| {
        let booked = shop.book(&customer.api, Some(&shop.technicians[0]), start_at).await;
        booked.expect(201).text("/order/id").to_owned()
    };
    let far = book(&in_minutes(10 * 60)).await;
    runs(&stack, 2).await;
    assert_eq!(customer.sms(&stack).await, ["booked"]);
    assert_eq!(sms_to(&stack, &technician).await, [] as [&str; 0]);
    // Staff move things by night: nobody is woken for it, and all is told in the morning.
    let owner = stack.owner().await;
    let path = format!("/api/v1/staff/orders/{far}/cancel");
    owner.post(path, json!({})).await.check(200);
    runs(&stack, 2).await;
    assert_eq!(customer.sms(&stack).await, ["booked"]);
    let waits = stack.it(&format!(
        "SELECT due_at AS it FROM reminder WHERE order_id = '{far}' AND kind = 'cancelled'
            AND recipient = 'customer'"
    ));
    let waits = waits.as_i64().expect("an instant") - now_ms();
    assert!((2 * HOUR..=3 * HOUR).contains(&waits), "{waits}");
    // A visit before they end: the technician must hear of it now.
    book(&in_minutes(90)).await;
    runs(&stack, 2).await;
    assert_eq!(sms_to(&stack, &technician).await, ["technician.booked"]);
    // The clock cannot be moved here, so the morning comes to the message.
    stack
        .change_d1(
            "UPDATE reminder SET due_at = due_at - 14400000, at_once = 1 WHERE kind = 'cancelled'",
        )
        .await;
    runs(&stack, 2).await;
    assert_eq!(customer.sms(&stack).await, ["booked", "booked", "cancelled"]);
    assert!(ms(&in_minutes(0)) > now_ms());
}

/// Thirteen visits whose messages fall due a minute apart, each four times: one stays, one is given up, one
/// moves, one moves and comes back, all at one moment that lies within them, and no run before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_and_moves_at_every_minute_around_the_due_time() {
    let stack = stack_with("none").await;
    let shop = stack.shop(4, Hours::Always).await;
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let base = in_minutes(30 * 60);
    let start = |minutes: i64| {
        let at = chrono::DateTime::parse_from_rfc3339(&base).expect("an instant");
        (at + chrono::Duration::minutes(minutes)).to_rfc3339()
    };
    let mut customers = Vec::new();
    for _ in 0..4 {
        customers.push(Customer::by_phone(&stack).await);
    }
    let mut all: Vec<Vec<_>> = Vec::new();
    for (at, offset) in (0..13).zip(-6..=6) {
        let mut service = owner.get(&path).await.expect(200).body;
        service["reminder_minutes"] = json!([at * 60 + 60 + offset]);
        let fields = service.as_object_mut().expect("a service");
        for field in ["id", "mode_fixed", "status"] {
            fields.remove(field);
        }
        owner.put(&path, service).await.check(200);
        let mut four = Vec::new();
        for customer in &customers {
            four.push(customer.books(&shop, &start(at * 60)).await);
        }
        all.push(four);
    }
    runs(&stack, 2).await;
    // An hour before the first: half of them are due by now, and nothing has run.
    passes(&stack, 29 * 60).await;
    let moves = async |visit: &zhundian_tests::Visit, start_at: &str| {
        let order = visit.see().await;
        let body = json!({"line_id": order["lines"][0]["id"], "start_at": start_at,
            "technician_id": order["lines"][0]["technician_id"]});
        let path = format!("/api/v1/orders/{}/reschedule", visit.order);
        visit.member.post(path, body).idempotent().await.check(200);
    };
    // To where their calendars, whose clock stands, are free.
    let later = |text: &str| {
        let at = chrono::DateTime::parse_from_rfc3339(text).expect("an instant");
        (at + chrono::Duration::hours(15)).to_rfc3339()
    };
    for four in &all {
        four[1].cancel().await;
        for visit in &four[2..] {
            let at = visit.see().await["lines"][0]["start_at"].as_str().expect("it").to_owned();
            moves(visit, &later(&at)).await;
            if visit.order == four[3].order {
                moves(visit, &at).await;
            }
        }
    }
    let before = async |at: usize| {
        let sms = customers[at].sms(&stack).await;
        sms.iter().filter(|one| *one == "before").count()
    };
    runs(&stack, 2).await;
    let due = before(0).await;
    assert!((1..13).contains(&due), "the moment lies within them: {due}");
    assert_eq!([before(1).await, before(2).await, before(3).await], [0, 0, due]);
    // The rest falls due; one run late.
    passes(&stack, 15).await;
    tokio::join!(runs(&stack, 2), runs(&stack, 2));
    assert_eq!(
        [before(0).await, before(1).await, before(2).await, before(3).await],
        [13, 0, 0, 13]
    );
    // The moved ones hear before their new starts, each once.
    passes(&stack, 15 * 60).await;
    tokio::join!(runs(&stack, 2), runs(&stack, 2));
    assert_eq!(
        [before(0).await, before(1).await, before(2).await, before(3).await],
        [13, 0, 13, 13]
    );
    for four in &all {
        for (at, visit) in four.iter().enumerate() {
            let told = told(&stack, &visit.order).await;
            let sent =
                told.iter().filter(|one| one.starts_with("before") && one.contains(" sent "));
            assert_eq!(sent.count(), usize::from(at != 1), "{told:?}");
            assert!(told.iter().all(|one| !one.contains("pending")), "{told:?}");
        }
    }
}
