//! What is told besides a visit's own messages: plans, classes, questions to technicians, proposals, places
//! that have become free. Who is told, once, and who is not told any more.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::messages::{
    Customer, in_minutes, is_staff, messages, passes, runs, sms_to, stack_with, told,
};
use zhundian_tests::visit::at;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, eventually, now_ms};

const SOON: Duration = Duration::from_secs(20);
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const NOTHING: [&str; 0] = [];

async fn id_of(customer: &Customer) -> String {
    customer.api.get("/api/v1/me").await.expect(200).text("/id").to_owned()
}

/// The last SMS of somebody: its template's variables in order.
async fn last_says(stack: &Stack, phone: &str) -> Vec<String> {
    let all = messages(stack, phone).await;
    let params = all.last().expect("a message")["params"].as_array().expect("a list").clone();
    params.iter().map(|one| one.as_str().expect("text").to_owned()).collect()
}

/// The instant so many minutes from `start` as the API takes it.
fn later(start: &str, minutes: i64) -> String {
    let at = chrono::DateTime::parse_from_rfc3339(start).expect("an instant");
    (at + chrono::Duration::minutes(minutes)).to_rfc3339()
}

async fn plan(stack: &Stack, shop: &Shop, member_id: &str, first: &str, times: u32) -> Reply {
    let body = json!({
        "store_id": shop.store, "service_id": shop.service, "technician_id": shop.technicians[0],
        "member_id": member_id, "rhythm": "daily", "starts": [first], "times": times,
    });
    stack.owner().await.post("/api/v1/staff/plans", body).idempotent().await.expect(201)
}

async fn act(stack: &Stack, plan: &str, verb: &str, body: Value) -> Reply {
    let path = format!("/api/v1/staff/plans/{plan}/{verb}");
    stack.owner().await.post(path, body).idempotent().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_news_once_and_each_session_is_told_of_before_it() {
    let stack = stack_with("none").await;
    stack.plans(true).await;
    let shop = stack.shop_with(2, Hours::Always, json!({"modes": ["plan"]})).await;
    let first_technician = is_staff(&stack, &shop.technicians[0]).await;
    let second_technician = is_staff(&stack, &shop.technicians[1]).await;
    let anna = Customer::by_phone(&stack).await;
    let start = in_minutes(36 * 60);
    let made = plan(&stack, &shop, &id_of(&anna).await, &start, 6).await;
    let plan = made.text("/plan/id").to_owned();
    let session = |index: usize| made.text(&format!("/plan/sessions/{index}/id")).to_owned();
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["booked"]);
    assert_eq!(last_says(&stack, &anna.phone).await[2], "6");
    assert_eq!(sms_to(&stack, &first_technician).await, ["technician.booked"]);
    assert_eq!(last_says(&stack, &first_technician).await[2], "6");
    let ahead = ["plan 1440 pending -", "plan 60 pending -"];
    assert_eq!(told(&stack, &session(1)).await, ahead);

    // The second to somebody else at its time, which is the technicians' news; the third two hours later.
    let body = json!({"which": "one", "session_id": session(1),
        "start_at": later(&start, 24 * 60), "technician_id": shop.technicians[1]});
    act(&stack, &plan, "reschedule", body).await.check(200);
    let body = json!({"which": "one", "session_id": session(2),
        "start_at": later(&start, 50 * 60)});
    act(&stack, &plan, "reschedule", body).await.check(200);
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["booked", "changed"]);
    let theirs = ["technician.booked", "technician.cancelled", "technician.changed"];
    assert_eq!(sms_to(&stack, &first_technician).await, theirs);
    assert_eq!(sms_to(&stack, &second_technician).await, ["technician.booked"]);
    // The last two are given up: one message, of two.
    let body = json!({"which": "rest", "session_id": session(4)});
    act(&stack, &plan, "cancel", body).await.check(200);
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["booked", "changed", "cancelled"]);
    assert_eq!(last_says(&stack, &anna.phone).await[2], "2");
    assert_eq!(last_says(&stack, &first_technician).await[2], "2");
    let known = sms_to(&stack, &first_technician).await.len();

    // A day before the first, an hour before it, and then no run until all of it is over but the fourth.
    passes(&stack, 12 * 60 + 5).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await[3..], ["plan"]);
    passes(&stack, 23 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await[3..], ["plan", "plan"]);
    let theirs = sms_to(&stack, &first_technician).await;
    assert_eq!(theirs[known..], ["technician.before", "technician.before"]);
    // The second is tomorrow: the day before was some minutes ago. The third: at its new time alone.
    passes(&stack, 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await[3..], ["plan", "plan", "plan"]);
    passes(&stack, 26 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await[3..], ["plan", "plan", "plan", "plan"]);
    passes(&stack, 6 * 24 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await.len(), 7);
    for (index, expected) in [
        (0, &["booked 0 sent sms", "plan 1440 sent sms", "plan 60 sent sms"][..]),
        (1, &["plan 1440 sent sms", "plan 60 skipped too_late"]),
        (3, &["plan 1440 skipped too_late", "plan 60 skipped too_late"]),
        (5, &["plan 1440 skipped not_so", "plan 60 skipped not_so"]),
    ] {
        let told = told(&stack, &session(index)).await;
        let skipped = told.iter().all(|one| one.contains("skipped"));
        assert!(told == expected || (index > 2 && skipped), "{index} {told:?}");
    }
    let moved = told(&stack, &session(2)).await;
    assert_eq!(moved.iter().filter(|one| one.contains("plan") && one.contains("sent")).count(), 1);
    assert_eq!(sms_to(&stack, &second_technician).await[1..], ["technician.before"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_nine_sessions_are_told_of_in_the_batch_that_makes_them() {
    let stack = stack_with("22:00-08:00").await;
    stack.plans(true).await;
    let leads = json!({"modes": ["plan"], "reminder_minutes": [5, 60, 720, 1440, 2880]});
    let shop = stack.shop_with(1, Hours::Always, leads).await;
    is_staff(&stack, &shop.technicians[0]).await;
    let anna = Customer::by_phone(&stack).await;
    let id = id_of(&anna).await;
    let body = json!({
        "store_id": shop.store, "service_id": shop.service, "technician_id": shop.technicians[0],
        "member_id": id, "rhythm": "custom",
        "starts": (0..99).map(|at| in_minutes(4 * 24 * 60 + at * 70)).collect::<Vec<_>>(),
    });
    let begun = std::time::Instant::now();
    let made = stack.owner().await.post("/api/v1/staff/plans", body).idempotent().await.expect(201);
    let took = begun.elapsed();
    let line = stack.logged(&made).await;
    println!("99 sessions, five messages each way: {} ms, {line}", took.as_millis());
    assert!(line["d1_batches"].as_u64() <= Some(3), "{line}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    let news = stack
        .it("SELECT group_concat(recipient) AS it FROM (SELECT iif(recipient = 'customer',
        recipient, 'technician') AS recipient FROM reminder WHERE kind = 'booked' ORDER BY 1)");
    assert_eq!(news, "customer,technician");
    let before = |kind: &str| {
        stack.it(&format!(
            "SELECT count(DISTINCT subject) AS it FROM reminder WHERE kind = '{kind}'"
        ))
    };
    assert_eq!((before("plan"), before("before")), (json!(99), json!(99)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_hears_once_of_the_place_and_nothing_when_it_is_gone() {
    let stack = stack_with("none").await;
    let shop = stack.shop_with(1, Hours::Always, json!({"modes": ["direct", "group"]})).await;
    let owner = stack.owner().await;
    let start = in_minutes(30 * 60);
    let body = json!({"store_id": shop.store, "service_id": shop.service,
        "technician_id": shop.technicians[0], "capacity": 3, "starts": [start]});
    let made = owner.post("/api/v1/admin/sessions", body).idempotent().await.expect(201);
    let class = made.text("/sessions/0/id").to_owned();
    let seats = json!({"seats": 1, "payment": "at_store"});
    let mut inside = Vec::new();
    for _ in 0..3 {
        let customer = Customer::by_phone(&stack).await;
        let path = format!("/api/v1/sessions/{class}/bookings");
        let booked = customer.api.post(path, seats.clone()).idempotent().await.expect(201);
        inside.push((customer, booked.text("/order/id").to_owned()));
    }
    let wechat = Customer::by_wechat(&stack).await;
    wechat.subscribes(&stack, &["waitlist_offer"]).await;
    let waiting = [wechat, Customer::by_phone(&stack).await, Customer::by_phone(&stack).await];
    let mut entries = Vec::new();
    for one in &waiting {
        let path = format!("/api/v1/sessions/{class}/waitlist");
        let entry = one.api.post(path, json!({"seats": 1})).await.expect(201);
        entries.push(format!("/api/v1/waitlist/{}", entry.text("/id")));
    }
    let offered = async |at: usize| {
        eventually("an offer", SOON, async || {
            let list = waiting[at].api.get("/api/v1/waitlist").await.expect(200);
            (list.body["items"][0]["status"] == "offered").then_some(())
        })
        .await;
    };
    let cancels = async |at: usize| {
        let path = format!("/api/v1/orders/{}/cancel", inside[at].1);
        inside[at].0.api.post(path, json!({})).await.check(200);
    };
    // By the consent; once, however many runs there are; and found again after a crash, still once.
    cancels(0).await;
    offered(0).await;
    tokio::join!(runs(&stack, 2), runs(&stack, 2));
    stack
        .change_d1(
            "UPDATE waitlist SET status = 'waiting', held = NULL, offer_start_at = NULL,
                offer_expires_at = NULL WHERE status = 'offered'",
        )
        .await;
    runs(&stack, 2).await;
    offered(0).await;
    runs(&stack, 2).await;
    assert_eq!(waiting[0].wechat(&stack).await.len(), 1);
    assert_eq!(waiting[0].sms(&stack).await, NOTHING);
    // Who leaves before it is told hears nothing; the next one does.
    cancels(1).await;
    offered(1).await;
    waiting[1].api.post(format!("{}/leave", entries[1]), json!({})).await.check(200);
    offered(2).await;
    runs(&stack, 2).await;
    assert_eq!(waiting[1].sms(&stack).await, NOTHING);
    assert_eq!(waiting[2].sms(&stack).await, ["waitlist_offer"]);
    // An offer that is over by the time of sending is none.
    let late = Customer::by_phone(&stack).await;
    let path = format!("/api/v1/sessions/{class}/waitlist");
    late.api.post(path, json!({"seats": 1})).await.check(201);
    cancels(2).await;
    eventually("an offer", SOON, async || {
        let list = late.api.get("/api/v1/waitlist").await.expect(200);
        (list.body["items"][0]["status"] == "offered").then_some(())
    })
    .await;
    passes(&stack, 30).await;
    runs(&stack, 2).await;
    assert_eq!(late.sms(&stack).await, NOTHING);
    let state = stack.d1(
        "SELECT state, reason FROM reminder WHERE kind = 'waitlist_offer' AND state = 'skipped'
            ORDER BY reason",
    );
    let expected = [("skipped", "too_late"), ("skipped", "withdrawn")];
    assert_eq!(state, expected.map(|(state, reason)| json!({"state": state, "reason": reason})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_becomes_free_at_night_is_kept_until_the_morning() {
    // They began an hour ago and end in three.
    let clock = |hours: i64| {
        let at = chrono::DateTime::from_timestamp_millis(now_ms() + (8 + hours) * HOUR);
        at.expect("an instant").format("%H:00").to_string()
    };
    let stack = stack_with(&format!("{}-{}", clock(-1), clock(3))).await;
    let shop = stack.shop(1, Hours::Always).await;
    let mut members = Vec::new();
    for minutes in [20 * 60, 100] {
        let start = in_minutes(minutes);
        let (has, waits) = (Customer::by_phone(&stack).await, Customer::by_phone(&stack).await);
        let visit = has.books(&shop, &start).await;
        let body = json!({"store_id": shop.store, "service_id": shop.service, "from": start,
            "until": start});
        waits.api.post("/api/v1/waitlist", body).await.check(201);
        visit.cancel().await;
        let offer = eventually("an offer", SOON, async || {
            let _ = stack.run_cron("* * * * *").await;
            let list = waits.api.get("/api/v1/waitlist").await.expect(200);
            let entry = list.body["items"][0].clone();
            (entry["status"] == "offered").then_some(entry)
        })
        .await;
        let until = zhundian_tests::visit::ms(offer["offer"]["expires_at"].as_str().expect("it"));
        members.push((waits, until - now_ms()));
    }
    runs(&stack, 2).await;
    // What begins long after them: until they end, and as long as an offer lasts. What begins before: now.
    assert!((2 * HOUR..=3 * HOUR + 16 * MINUTE).contains(&members[0].1), "{}", members[0].1);
    assert_eq!(members[0].0.sms(&stack).await, NOTHING);
    assert!((95 * MINUTE..=105 * MINUTE).contains(&members[1].1), "{}", members[1].1);
    assert_eq!(members[1].0.sms(&stack).await, ["waitlist_offer"]);
}

/// A technician signed in, with their phone.
async fn technician(stack: &Stack, shop: &Shop, index: usize) -> (Api, String) {
    let phone = is_staff(stack, &shop.technicians[index]).await;
    (stack.sign_in_staff(&phone).await, phone)
}

async fn say(api: &Api, what: &str, (order, line): (&str, &str)) -> Reply {
    let path = format!("/api/v1/staff/orders/{order}/{what}");
    api.post(path, json!({"line_id": line})).idempotent().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn technicians_hear_what_they_are_asked_and_what_they_may_have() {
    let stack = stack_with("none").await;
    let shop = stack.shop(3, Hours::Always).await;
    stack
        .set_ways(&shop, json!({"accept_within_minutes": 20, "when_declined": "offer_to_all"}))
        .await;
    let mut team = Vec::new();
    for index in 0..3 {
        team.push(technician(&stack, &shop, index).await);
    }
    let heard = async |index: usize| sms_to(&stack, &team[index].1).await;
    let anna = Customer::by_phone(&stack).await;
    let book = async |minutes: i64| {
        let booked = shop.book(&anna.api, Some(&shop.technicians[0]), &in_minutes(minutes)).await;
        let booked = booked.expect(201);
        (booked.text("/order/id").to_owned(), booked.text("/order/lines/0/id").to_owned())
    };
    let (order, line) = book(30 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(heard(0).await, ["technician.asked"]);
    // Declined: it is offered to the two others, who are free; whoever grabs it has it.
    say(&team[0].0, "decline", (&order, &line)).await.check(200);
    stack.d1_becomes("SELECT assignment AS it FROM order_line", "offered").await;
    runs(&stack, 2).await;
    assert_eq!(heard(1).await, ["technician.offered"]);
    assert_eq!(heard(2).await, ["technician.offered"]);
    say(&team[2].0, "grab", (&order, &line)).await.check(200);
    runs(&stack, 2).await;
    assert_eq!(heard(2).await, ["technician.offered", "technician.booked"]);
    assert_eq!((heard(0).await.len(), heard(1).await.len()), (1, 1));
    assert_eq!(anna.sms(&stack).await, ["booked", "changed"]);
    // Staff give it to the second: both hear of it.
    let body = json!({"line_id": line, "technician_id": shop.technicians[1]});
    let path = format!("/api/v1/staff/orders/{order}/assign");
    stack.owner().await.post(path, body).idempotent().await.check(200);
    runs(&stack, 2).await;
    assert_eq!(heard(1).await[1..], ["technician.booked"]);
    assert_eq!(heard(2).await[2..], ["technician.cancelled"]);
    // Before they are asked: whoever has accepted already, or has lost it, is asked nothing.
    let (order, line) = book(40 * 60).await;
    say(&team[0].0, "accept", (&order, &line)).await.check(200);
    let (given_up, _) = book(50 * 60).await;
    anna.api.post(format!("/api/v1/orders/{given_up}/cancel"), json!({})).await.check(200);
    let (overdue, overdue_line) = book(60 * 60).await;
    passes(&stack, 25).await;
    stack.change_d1("UPDATE order_line SET answer_by = answer_by - 1500000").await;
    let declined = format!("SELECT assignment AS it FROM order_line WHERE id = '{overdue_line}'");
    runs(&stack, 2).await;
    assert_eq!(stack.it(&declined), "offered", "{overdue}");
    let mut last = heard(0).await;
    last.sort_unstable();
    assert!(!last[1..].iter().any(|one| one == "technician.asked"), "{last:?}");
    runs(&stack, 2).await;
    // What nobody has grabbed is offered no more; what is offered is told once to each.
    let count = |list: Vec<String>| list.iter().filter(|one| *one == "technician.offered").count();
    assert_eq!((count(heard(1).await), count(heard(2).await)), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_customer_hears_of_a_proposal_while_it_may_be_accepted() {
    let stack = stack_with("none").await;
    let shop = stack.shop_with(1, Hours::Always, json!({"modes": ["direct", "express"]})).await;
    let express = json!({"deposit_fen": 0, "propose_within_minutes": 30,
        "answer_within_minutes": 30});
    stack.set_ways(&shop, json!({"express": express})).await;
    let (_, phone) = technician(&stack, &shop, 0).await;
    let owner = stack.owner().await;
    let mut made = Vec::new();
    for day in [1, 2, 3] {
        let customer = Customer::by_phone(&stack).await;
        let wish = json!({"store_id": shop.store, "category": "按摩", "from": at(day, "10:00"),
            "until": at(day, "20:00"), "payment": "at_store"});
        let placed = customer.api.post("/api/v1/express-bookings", wish).idempotent().await;
        let order = placed.expect(201).text("/order/id").to_owned();
        let body = json!({"service_id": shop.service, "start_at": at(day, "12:00")});
        let path = format!("/api/v1/staff/orders/{order}/proposal");
        owner.post(path, body).idempotent().await.check(200);
        made.push((customer, order));
    }
    // One is told, one has answered already, one has let it pass.
    let path = format!("/api/v1/orders/{}/proposal/accept", made[1].1);
    made[1].0.api.post(path, json!({})).idempotent().await.check(200);
    let path = format!("/api/v1/orders/{}/proposal/decline", made[2].1);
    made[2].0.api.post(path, json!({})).idempotent().await.check(200);
    runs(&stack, 2).await;
    assert_eq!(made[0].0.sms(&stack).await, ["proposal"]);
    assert_eq!(made[1].0.sms(&stack).await, ["booked"]);
    assert_eq!(made[2].0.sms(&stack).await, NOTHING);
    assert_eq!(sms_to(&stack, &phone).await, ["technician.booked"]);
    // The deadline passes: what was proposed comes to nothing, and that is told.
    passes(&stack, 35).await;
    runs(&stack, 2).await;
    assert_eq!(made[0].0.sms(&stack).await, ["proposal", "lost"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_tells_its_technician_once_and_all_who_booked_it_of_its_end() {
    let stack = stack_with("none").await;
    let shop = stack.shop_with(1, Hours::Always, json!({"modes": ["direct", "group"]})).await;
    let (_, trainer) = technician(&stack, &shop, 0).await;
    let owner = stack.owner().await;
    let start = in_minutes(30 * 60);
    let body = json!({"store_id": shop.store, "service_id": shop.service, "weeks": 2,
        "technician_id": shop.technicians[0], "capacity": 9, "starts": [start]});
    let made = owner.post("/api/v1/admin/sessions", body).idempotent().await.expect(201);
    let classes = ["/sessions/0/id", "/sessions/1/id"].map(|at| made.text(at).to_owned());
    let mut all = Vec::new();
    for at in [0, 0, 0, 1] {
        let customer = Customer::by_phone(&stack).await;
        let path = format!("/api/v1/sessions/{}/bookings", classes[at]);
        let seats = json!({"seats": 1, "payment": "at_store"});
        let booked = customer.api.post(path, seats).idempotent().await.expect(201);
        all.push((customer, booked));
    }
    runs(&stack, 2).await;
    assert_eq!(sms_to(&stack, &trainer).await, ["technician.booked"]);
    assert_eq!(last_says(&stack, &trainer).await[2], "2");
    // Another class instead: what is told of the old time is told no more, and of the new one it is.
    let (mover, booked) = &all[2];
    let body = json!({"line_id": booked.text("/order/lines/0/id"), "session_id": classes[1]});
    let path = format!("/api/v1/orders/{}/session", booked.text("/order/id"));
    mover.api.post(path, body).idempotent().await.check(200);
    // The day before the first.
    passes(&stack, 6 * 60 + 5).await;
    runs(&stack, 2).await;
    assert_eq!(all[0].0.sms(&stack).await, ["booked", "before"]);
    assert_eq!(mover.sms(&stack).await, ["booked", "changed"]);
    assert_eq!(sms_to(&stack, &trainer).await[1..], ["technician.before"]);
    let path = format!("/api/v1/admin/sessions/{}/cancel", classes[0]);
    owner.post(path, json!({"version": 1})).await.check(200);
    runs(&stack, 3).await;
    for customer in [&all[0].0, &all[1].0] {
        assert_eq!(customer.sms(&stack).await, ["booked", "before", "cancelled"]);
    }
    assert_eq!(sms_to(&stack, &trainer).await[2..], ["technician.cancelled"]);
    assert_eq!(all[3].0.sms(&stack).await, ["booked"]);
    // Nobody hears of it an hour before; of the other one they do, and a run that was missed loses nothing.
    passes(&stack, 23 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(all[0].0.sms(&stack).await.len(), 3);
    passes(&stack, 7 * 24 * 60 - 15).await;
    runs(&stack, 2).await;
    assert_eq!(all[3].0.sms(&stack).await, ["booked", "before"]);
    assert_eq!(mover.sms(&stack).await, ["booked", "changed", "before"]);
    assert_eq!(sms_to(&stack, &trainer).await[3..], ["technician.before"]);
}
