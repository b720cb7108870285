//! The modes of booking: orders that the store assigns, that technicians accept, and that begin with a wish;
//! and the starts that are recommended.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zhundian_tests::api::Call;
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::{at, ms};
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit, at_once, count, eventually, now_ms};

const MINUTELY: &str = "* * * * *";
const SOON: Duration = Duration::from_secs(20);

/// A shop that is booked in both ways, and takes bookings so.
async fn shop(stack: &Stack, technicians: usize, ways: Value) -> Shop {
    shop_of(stack, technicians, ways, json!({})).await
}

async fn shop_of(stack: &Stack, technicians: usize, ways: Value, more: Value) -> Shop {
    let mut service = json!({"modes": ["direct", "assigned", "express"]});
    for (field, value) in more.as_object().expect("fields") {
        service[field] = value.clone();
    }
    let shop = stack.shop_with(technicians, Hours::Day, service).await;
    stack.set_ways(&shop, ways).await;
    shop
}

/// A technician of the shop, signed in.
async fn technician(stack: &Stack, shop: &Shop, number: usize) -> Api {
    let phone = some_phone();
    let body = json!({"phone": phone, "name": "技师", "technician_id": shop.technicians[number],
        "grants": [{"role": "technician", "store_id": shop.store}]});
    stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);
    stack.sign_in_staff(&phone).await
}

async fn assigned(shop: &Shop, member: &Api, start: &str) -> Reply {
    let mut body = shop.booking(None, start);
    body["mode"] = "assigned".into();
    member.post("/api/v1/bookings", body).idempotent().await
}

fn order(reply: &Reply) -> &str {
    reply.text("/order/id")
}

fn line(reply: &Reply) -> &str {
    reply.text("/order/lines/0/id")
}

async fn seen(api: &Api, order: &str) -> Value {
    api.get(format!("/api/v1/orders/{order}")).await.expect(200).body
}

async fn staff_sees(api: &Api, order: &str) -> Value {
    api.get(format!("/api/v1/staff/orders/{order}")).await.expect(200).body["order"].take()
}

/// What staff say to a line of an order: `accept`, `assign`, …
async fn say(api: &Api, what: &str, order: &str, body: Value) -> Reply {
    api.post(format!("/api/v1/staff/orders/{order}/{what}"), body).idempotent().await
}

/// Waits until the line is so, in staff's eyes.
async fn becomes(api: &Api, order: &str, assignment: &str) -> Value {
    eventually(&format!("order {order}: {assignment}"), SOON, async || {
        let order = staff_sees(api, order).await;
        (order["lines"][0]["assignment"] == assignment).then_some(order)
    })
    .await
}

#[tokio::test]
async fn an_assigned_order_holds_the_pool_and_staff_say_who_does_it() {
    let stack = Stack::shared().await;
    let prices = json!({"level_prices": {"高级": 29_800}});
    let shop = shop_of(&stack, 2, json!({}), prices).await;
    let (owner, member, start) = (stack.owner().await, stack.some_member().await, at(1, "11:00"));
    let mut named = shop.booking(Some(&shop.technicians[0]), &start);
    named["mode"] = "assigned".into();
    let refused = member.post("/api/v1/bookings", named).idempotent().await;
    refused.refused(422, "technician_by_store");

    let first = assigned(&shop, &member, &start).await.expect(201);
    let lines = &first.body["order"]["lines"][0];
    assert_eq!((&lines["technician_id"], &lines["technician_name"]), (&Value::Null, &Value::Null));
    assert_eq!(lines["assignment"], "provisional");
    assert_eq!(
        (&first.body["order"]["mode"], &lines["price_fen"]),
        (&"assigned".into(), &19_800.into())
    );
    let second = assigned(&shop, &member, &start).await.expect(201);
    // Both technicians are taken: what is accepted can be staffed.
    assigned(&shop, &member, &start).await.refused(409, "slot_taken");
    shop.book(&member, Some(&shop.technicians[0]), &start).await.refused(409, "slot_taken");

    let candidates = async |of: &Reply| {
        let path = format!("/api/v1/staff/orders/{}/candidates?line_id={}", order(of), line(of));
        owner.get(path).await.expect(200).body["items"].take()
    };
    let items = candidates(&first).await;
    let free: Vec<_> = items.as_array().expect("a list").iter().map(|one| &one["free"]).collect();
    assert_eq!(free, [true, false], "{items}");
    assert_eq!(items[0]["current"], true);
    assert_eq!(items[0]["appointments"], 1);
    let (mine, other) = (items[0]["technician_id"].clone(), items[1]["technician_id"].clone());
    let to = |of: &Reply, who: &Value| json!({"line_id": line(of), "technician_id": who});
    say(&owner, "assign", order(&first), to(&first, &other)).await.refused(409, "slot_taken");
    assert_eq!(seen(&member, order(&first)).await["order"], first.body["order"]);

    // When the other is free again, it is one step; and settled without one where it stands.
    let path = format!("/api/v1/orders/{}/cancel", order(&second));
    member.post(path, json!({})).await.check(200);
    eventually("the other is free", SOON, async || {
        (candidates(&first).await[0]["free"] == true && candidates(&first).await[1]["free"] == true)
            .then_some(())
    })
    .await;
    let done = say(&owner, "assign", order(&first), to(&first, &other)).await.expect(200);
    assert_eq!(done.body["order"]["lines"][0]["technician_id"], other);
    let now = seen(&member, order(&first)).await;
    assert_eq!(now["order"]["lines"][0]["technician_id"], other);
    assert_eq!(now["order"]["lines"][0]["assignment"], "assigned");
    assert_eq!(now["order"]["total_fen"], 19_800);
    assert!(!now["timeline"].to_string().contains(mine.as_str().expect("an id")), "{now}");
    say(&owner, "assign", order(&first), to(&first, &other)).await.check(200);
    let stranger = json!("0".repeat(32));
    let refused = say(&owner, "assign", order(&first), to(&first, &stranger)).await;
    refused.refused(422, "technician_not_offered");
    eventually("the first is free", SOON, async || {
        let slots = shop.slots(&member, mine.as_str(), &start[..10], 1).await;
        slots.iter().any(|slot| slot.start_at == start).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_provisional_order_moves_to_whoever_is_free_and_the_rule_may_settle_it() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 2, json!({})).await;
    let member = stack.some_member().await;
    let booked = assigned(&shop, &member, &at(1, "11:00")).await.expect(201);
    let held = staff_sees(&stack.owner().await, order(&booked)).await;
    let held = held["lines"][0]["technician_id"].as_str().expect("an id").to_owned();
    // The one who holds it is taken at three; the other one is not.
    shop.book(&member, Some(&held), &at(1, "15:00")).await.check(201);
    let path = format!("/api/v1/orders/{}/reschedule", order(&booked));
    let to = json!({"line_id": line(&booked), "start_at": at(1, "15:00")});
    let moved = member.post(&path, to).idempotent().await.expect(200);
    assert_eq!(moved.body["order"]["lines"][0]["technician_id"], Value::Null);
    let named =
        json!({"line_id": line(&booked), "start_at": at(1, "17:00"), "technician_id": held});
    member.post(&path, named).idempotent().await.refused(422, "technician_by_store");

    stack.set_ways(&shop, json!({"assign_at_once": true, "assign_by": "fair_turn"})).await;
    let mut who = Vec::new();
    for clock in ["18:00", "19:00", "20:00", "21:00"] {
        let booked = assigned(&shop, &member, &at(1, clock)).await.expect(201);
        assert_eq!(booked.text("/order/lines/0/assignment"), "assigned");
        who.push(booked.text("/order/lines/0/technician_id").to_owned());
    }
    assert_ne!(who[0], who[1]);
    assert_eq!((&who[0], &who[1]), (&who[2], &who[3]));
    stack.set_ways(&shop, json!({"modes": ["direct"]})).await;
    let refused = assigned(&shop, &member, &at(2, "11:00")).await;
    refused.refused(422, "mode_not_offered");
}

#[tokio::test]
async fn the_best_skill_comes_first_where_the_store_says_so() {
    let stack = Stack::shared().await;
    let prices = json!({"level_prices": {"高级": 29_800}});
    let ways = json!({"assign_at_once": true, "assign_by": "best_skill"});
    let shop = shop_of(&stack, 2, ways, prices).await;
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/technicians/{}", shop.technicians[1]);
    let mut best = owner.get(&path).await.expect(200).body;
    for gone in ["id", "status"] {
        best.as_object_mut().expect("a technician").remove(gone);
    }
    best["level"] = "高级".into();
    owner.put(&path, best).await.check(200);
    let member = stack.some_member().await;
    for clock in ["11:00", "13:00", "15:00"] {
        let booked = assigned(&shop, &member, &at(1, clock)).await.expect(201);
        assert_eq!(booked.text("/order/lines/0/technician_id"), shop.technicians[1]);
        // Whoever it is: the customer did not choose.
        assert_eq!(booked.body["order"]["total_fen"], 19_800);
    }
}

#[tokio::test]
async fn a_technician_accepts_declines_and_passes_on() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let (owner, member, start) = (stack.owner().await, stack.some_member().await, at(1, "11:00"));
    let (me, other) = (technician(&stack, &shop, 0).await, technician(&stack, &shop, 1).await);
    let asked = shop.book(&member, Some(&shop.technicians[0]), &start).await.expect(201);
    assert_eq!(asked.text("/order/lines/0/assignment"), "asked");
    assert!(ms(asked.text("/order/lines/0/answer_by")) <= now_ms() + 30 * 60_000);
    let it = json!({"line_id": line(&asked)});
    let path = format!("/api/v1/staff/offers?store_id={}", shop.store);
    let offers = async |api: &Api| api.get(&path).await.expect(200).body["items"].take();
    assert_eq!(offers(&me).await[0]["order_id"], order(&asked));
    assert_eq!(offers(&other).await, json!([]));
    assert_eq!(offers(&owner).await[0]["technician_id"], shop.technicians[0]);
    say(&other, "accept", order(&asked), it.clone()).await.refused(403, "foreign_store");
    say(&other, "grab", order(&asked), it.clone()).await.refused(409, "offer_gone");
    let accepted = say(&me, "accept", order(&asked), it.clone()).await.expect(200);
    assert_eq!(accepted.text("/order/lines/0/assignment"), "assigned");
    say(&me, "accept", order(&asked), it.clone()).await.check(200);
    say(&me, "decline", order(&asked), it.clone()).await.refused(409, "not_yours_to_answer");
    assert_eq!(offers(&me).await, json!([]));

    // Passed on it is the next one's turn, and their decline leaves nobody: the store gives it up.
    say(&me, "pass-on", order(&asked), it.clone()).await.check(200);
    let next = becomes(&owner, order(&asked), "asked").await;
    assert_eq!(next["lines"][0]["technician_id"], shop.technicians[1]);
    eventually("the first is free", SOON, async || {
        let slots = shop.slots(&member, Some(&shop.technicians[0]), &start[..10], 1).await;
        slots.iter().any(|slot| slot.start_at == start).then_some(())
    })
    .await;
    say(&me, "accept", order(&asked), it.clone()).await.refused(403, "foreign_store");
    say(&other, "decline", order(&asked), it.clone()).await.check(200);
    let visit = Visit { member, order: order(&asked).to_owned(), start_at: start.clone() };
    visit.becomes("cancelled").await;
    let kinds = visit.timeline().await;
    let told = ["booked", "accepted", "passed_on", "handed_on", "declined", "cancelled"];
    assert_eq!(kinds, told);
    say(&other, "accept", order(&asked), it).await.refused(409, "order_not_changeable");
    // Staff who book have asked; there is nothing to accept.
    let mut body = shop.booking(Some(&shop.technicians[0]), &at(2, "11:00"));
    body.as_object_mut()
        .expect("fields")
        .retain(|name, _| !["mode", "payment"].contains(&name.as_str()));
    let booked = owner.post("/api/v1/staff/bookings", body).idempotent().await.expect(201);
    assert_eq!(booked.text("/order/lines/0/assignment"), "assigned");
}

/// What staff say to a line of an order, with this key.
fn with_key(api: &Api, what: &str, asked: &Reply, key: &str) -> Call {
    let path = format!("/api/v1/staff/orders/{}/{what}", order(asked));
    api.post(path, json!({"line_id": line(asked)})).key(key)
}

/// The events of an order, but for who is told.
async fn timeline(member: &Api, asked: &Reply) -> Vec<String> {
    let detail = seen(member, order(asked)).await;
    let events = detail["timeline"].as_array().expect("events");
    events.iter().map(|one| one["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[track_caller]
fn replayed(first: &Reply, again: &Reply) {
    assert_eq!((again.status, &again.body), (200, &first.body), "{}", again.what);
    assert_eq!(again.header("idempotent-replayed"), "true", "{}", again.what);
}

#[tokio::test]
async fn an_answer_that_is_sent_again_is_answered_as_before() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let (me, other) = (technician(&stack, &shop, 0).await, technician(&stack, &shop, 1).await);
    let first = Some(shop.technicians[0].as_str());
    let asked = shop.book(&member, first, &at(1, "11:00")).await.expect(201);
    let path = format!("/api/v1/staff/orders/{}/accept", order(&asked));
    let keyless = me.post(path, json!({"line_id": line(&asked)})).await;
    keyless.refused(400, "missing_idempotency_key");

    // Accepted, and passed on: by then it is somebody else's.
    let accepted = with_key(&me, "accept", &asked, "accepted-it").await.expect(200);
    replayed(&accepted, &with_key(&me, "accept", &asked, "accepted-it").await);
    let passed = with_key(&me, "pass-on", &asked, "passed-it-on").await.expect(200);
    becomes(&owner, order(&asked), "asked").await;
    replayed(&passed, &with_key(&me, "pass-on", &asked, "passed-it-on").await);
    replayed(&accepted, &with_key(&me, "accept", &asked, "accepted-it").await);
    with_key(&me, "pass-on", &asked, "passed-it-on-2").await.refused(403, "foreign_store");
    // Declined, and nobody is left.
    let declined = with_key(&other, "decline", &asked, "declined-it").await.expect(200);
    let visit =
        Visit { member: member.clone(), order: order(&asked).to_owned(), start_at: at(1, "11:00") };
    visit.becomes("cancelled").await;
    replayed(&declined, &with_key(&other, "decline", &asked, "declined-it").await);
    let refused = with_key(&other, "decline", &asked, "declined-it-2").await;
    refused.refused(409, "order_not_changeable");
    let told = ["booked", "accepted", "passed_on", "handed_on", "declined", "cancelled"];
    assert_eq!(timeline(&member, &asked).await, told);

    // A key is one answer to one line, and whose it is.
    let another = shop.book(&member, first, &at(1, "14:00")).await.expect(201);
    for (what, of) in [("accept", &another), ("decline", &another), ("decline", &asked)] {
        let other_body = with_key(&me, what, of, "accepted-it").await;
        other_body.refused(422, "idempotency_key_reused");
    }
    with_key(&other, "accept", &another, "accepted-it").await.refused(403, "foreign_store");
    // What changes nothing is kept, too: it was accepted when it was said.
    with_key(&me, "accept", &another, "accepted-another").await.check(200);
    let still = with_key(&me, "accept", &another, "accepted-again").await.expect(200);
    with_key(&me, "pass-on", &another, "passed-another-on").await.check(200);
    replayed(&still, &with_key(&me, "accept", &another, "accepted-again").await);
}

#[tokio::test]
async fn an_answer_sent_often_at_once_is_one() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let me = technician(&stack, &shop, 0).await;
    let first = Some(shop.technicians[0].as_str());
    let answers = [("accept", "accepted"), ("decline", "declined"), ("pass-on", "passed_on")];
    for (number, (what, kind)) in answers.into_iter().enumerate() {
        let start = at(2, &format!("{}:00", 11 + 2 * number));
        let asked = shop.book(&member, first, &start).await.expect(201);
        let mut told = vec!["booked"];
        if what == "pass-on" {
            with_key(&me, "accept", &asked, "before-it-is-passed-on").await.check(200);
            told.push("accepted");
        }
        let key = format!("often-at-once-{number}");
        let replies = at_once((0..6).map(|_| with_key(&me, what, &asked, &key))).await;
        assert!(replies.iter().all(|one| one.status == 200), "{:?}", replies[5]);
        assert!(replies.iter().all(|one| one.body == replies[0].body), "{what}");
        told.push(kind);
        if what != "accept" {
            becomes(&owner, order(&asked), "asked").await;
            told.push("handed_on");
        }
        assert_eq!(timeline(&member, &asked).await, told);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_whose_midst_all_dies_is_given_once() {
    let stack = Stack::start().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let me = technician(&stack, &shop, 0).await;
    let first = Some(shop.technicians[0].as_str());
    let answers =
        [("accept", "accepted", 10), ("decline", "declined", 16), ("pass-on", "passed_on", 24)];
    for (number, (what, kind, millis)) in answers.into_iter().enumerate() {
        let asked = shop.book(&member, first, &at(1, &format!("{}:00", 11 + number))).await;
        let asked = asked.expect(201);
        let mut told = vec!["booked"];
        if what == "pass-on" {
            with_key(&me, "accept", &asked, &format!("before-{number}-it-is")).await.check(200);
            told.push("accepted");
        }
        let call = with_key(&me, what, &asked, &format!("in-the-midst-{number}"));
        let lost = tokio::spawn(call.clone().attempt());
        tokio::time::sleep(Duration::from_millis(millis)).await;
        tokio::task::block_in_place(|| stack.kill_worker());
        stack.restart_worker().await;
        let again = call.await.expect(200);
        if let Ok(answered) = lost.await.expect("no panic") {
            replayed(&answered, &again);
        }
        told.push(kind);
        if what != "accept" {
            eventually("it is handed on", SOON, async || {
                stack.run_cron(MINUTELY).await;
                let now = staff_sees(&owner, order(&asked)).await;
                (now["lines"][0]["assignment"] == "asked").then_some(())
            })
            .await;
            told.push("handed_on");
        }
        assert_eq!(timeline(&member, &asked).await, told, "killed after {millis} ms");
    }
}

#[tokio::test]
async fn whom_the_member_asks_again_may_be_asked_at_another_time() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let first = shop.technicians[0].as_str();
    let asked = shop.book(&member, Some(first), &at(1, "11:00")).await.expect(201);
    let it = json!({"line_id": line(&asked)});
    say(&owner, "decline", order(&asked), it).await.check(200);
    becomes(&owner, order(&asked), "asked").await;
    let path = format!("/api/v1/orders/{}/reschedule", order(&asked));
    let mut to =
        json!({"line_id": line(&asked), "start_at": at(1, "13:00"), "technician_id": first});
    member.post(&path, to.clone()).idempotent().await.check(200);
    // Who has declined is theirs all the same now, and moves with them.
    to.as_object_mut().expect("a body").remove("technician_id");
    to["start_at"] = at(1, "13:30").into();
    let moved = member.post(&path, to).idempotent().await.expect(200);
    assert_eq!(moved.text("/order/lines/0/technician_id"), first);
}

/// The answers that are waited for are overdue.
async fn answers_are_overdue(stack: &Stack) {
    let past = now_ms() - 1_000;
    stack
        .change_d1(&format!(
            "UPDATE order_line SET answer_by = {past} WHERE answer_by IS NOT NULL;
             UPDATE express SET due_at = {past} WHERE due_at IS NOT NULL"
        ))
        .await;
}

#[tokio::test]
async fn silence_goes_on_and_what_is_paid_comes_back_when_nobody_is_left() {
    let stack = Stack::start().await;
    let shop = shop(&stack, 2, json!({"accept_within_minutes": 30})).await;
    let owner = stack.owner().await;
    let start = at(1, "11:00");
    let visit = Visit::online(&stack, &shop, &start).await;
    // Before it is paid nobody is asked in earnest.
    let waits = visit.see().await;
    assert_eq!(waits["lines"][0]["answer_by"], Value::Null, "{waits}");
    let number = visit.asks("wechat_jsapi").await;
    stack.vendors().pay(&number).await;
    visit.is("asked", |order| order["lines"][0]["answer_by"].is_string()).await;
    let first = visit.see().await["lines"][0]["technician_id"].clone();
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(visit.see().await["lines"][0]["technician_id"], first, "it is not time yet");

    answers_are_overdue(&stack).await;
    let _ = stack.run_cron(MINUTELY).await;
    let second = becomes(&owner, &visit.order, "asked").await["lines"][0]["technician_id"].clone();
    assert_ne!(first, second);
    answers_are_overdue(&stack).await;
    let _ = stack.run_cron(MINUTELY).await;
    visit.becomes("cancelled").await;
    visit.is("refunded", |order| order["refunded_fen"] == 19_800 && order["paid_fen"] == 0).await;
    eventually("the money is back", SOON, async || {
        let payment = stack.vendors().payment(&number).await?;
        (payment.refunded() == 19_800).then_some(())
    })
    .await;
    settled(&stack).await;
    // Its time is free for somebody else, with each of them.
    for technician in &shop.technicians {
        let member = stack.some_member().await;
        shop.book(&member, Some(technician), &start).await.check(201);
    }
}

#[tokio::test]
async fn of_two_who_grab_at_once_one_has_it() {
    let stack = Stack::start().await;
    let ways = json!({"accept_within_minutes": 30, "when_declined": "offer_to_all"});
    let shop = shop(&stack, 4, ways).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let mut staff = Vec::new();
    for number in 0..4 {
        staff.push(technician(&stack, &shop, number).await);
    }
    for clock in ["11:00", "13:00", "15:00"] {
        let start = at(1, clock);
        let asked = shop.book(&member, Some(&shop.technicians[0]), &start).await.expect(201);
        let it = json!({"line_id": line(&asked)});
        say(&staff[0], "decline", order(&asked), it.clone()).await.check(200);
        becomes(&owner, order(&asked), "offered").await;
        let path = format!("/api/v1/staff/offers?store_id={}", shop.store);
        let mine = staff[1].get(&path).await.expect(200).body;
        assert_eq!(mine["items"][0]["line_id"], line(&asked), "{mine}");
        let declined = staff[0].get(&path).await.expect(200).body;
        assert_eq!(declined["items"], json!([]));
        assert_eq!(
            seen(&member, order(&asked)).await["order"]["lines"][0]["technician_id"],
            Value::Null
        );
        let grabs = [1, 2, 3, 1, 2, 3].map(|number: usize| {
            let path = format!("/api/v1/staff/orders/{}/grab", order(&asked));
            staff[number].post(path, it.clone()).idempotent()
        });
        let replies = at_once(grabs).await;
        assert_eq!(
            count(&replies, 200),
            1,
            "{:?}",
            replies.iter().map(|it| &it.body).collect::<Vec<_>>()
        );
        for lost in replies.iter().filter(|reply| reply.status != 200) {
            assert!(["offer_gone", "slot_taken"].contains(&lost.code()), "{}", lost.body);
        }
        let won = replies.iter().find(|reply| reply.status == 200).expect("one");
        let now = staff_sees(&owner, order(&asked)).await;
        assert_eq!(now["lines"], won.body["order"]["lines"]);
        assert_eq!(now["lines"][0]["assignment"], "assigned");
    }
    // Offered, and grabbed by nobody.
    let asked = shop.book(&member, Some(&shop.technicians[0]), &at(1, "17:00")).await.expect(201);
    let it = json!({"line_id": line(&asked)});
    say(&staff[0], "decline", order(&asked), it.clone()).await.check(200);
    becomes(&owner, order(&asked), "offered").await;
    answers_are_overdue(&stack).await;
    say(&staff[1], "grab", order(&asked), it).await.refused(409, "answer_too_late");
    let _ = stack.run_cron(MINUTELY).await;
    assert_eq!(seen(&member, order(&asked)).await["order"]["status"], "cancelled");
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

/// Waits until no hold is left and the outbox is empty.
async fn settled(stack: &Stack) {
    eventually("an empty outbox and no holds", Duration::from_secs(30), async || {
        let _ = stack.run_cron(MINUTELY).await;
        stack.is_settled().then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_book_assign_move_and_decline_at_once_and_every_order_keeps_its_time() {
    let stack = Stack::start().await;
    let ways = json!({"accept_within_minutes": 30});
    let shop = shop(&stack, 3, ways).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let starts: Vec<String> = ["10:00", "10:30", "11:30", "12:00"].map(|clock| at(1, clock)).into();
    let bodies = (0..16).map(|number| {
        let mut body = shop.booking(None, &starts[number % starts.len()]);
        if number % 2 == 0 {
            body["mode"] = "assigned".into();
        }
        body
    });
    let mut calls = Vec::new();
    for body in bodies {
        calls.push(member.post("/api/v1/bookings", body).idempotent());
    }
    let booked: Vec<Reply> =
        at_once(calls).await.into_iter().filter(|reply| reply.status == 201).collect();
    assert!(booked.len() >= 3, "{} booked", booked.len());
    for round in 0..3 {
        let calls = booked.iter().enumerate().flat_map(|(number, it)| {
            let (order, line) = (order(it), line(it));
            let path = |what: &str| format!("/api/v1/staff/orders/{order}/{what}");
            let who = &shop.technicians[(number + round) % 3];
            let start = &starts[(number + round) % starts.len()];
            [
                owner.post(path("assign"), json!({"line_id": line, "technician_id": who})),
                owner.post(path("decline"), json!({"line_id": line})),
                owner.post(path("reschedule"), json!({"line_id": line, "start_at": start})),
            ]
        });
        let calls: Vec<_> = calls.map(zhundian_tests::Call::idempotent).collect();
        for reply in at_once(calls).await {
            assert!(reply.status < 500, "{} {}", reply.status, reply.body);
        }
    }
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

fn express_ways() -> Value {
    json!({"express": {"deposit_fen": 5_000, "propose_within_minutes": 60, "answer_within_minutes": 30}})
}

fn wish(shop: &Shop) -> Value {
    json!({"store_id": shop.store, "category": "推拿", "wishes": "肩颈酸痛,想要安静的房间",
        "from": at(1, "14:00"), "until": at(1, "18:00"), "payment": "online"})
}

/// A wish whose deposit is paid.
async fn wished(stack: &Stack, shop: &Shop) -> (Visit, String) {
    let member = stack.some_member().await;
    let placed = member.post("/api/v1/express-bookings", wish(shop)).idempotent().await.expect(201);
    assert_eq!(placed.text("/order/status"), "pending_payment");
    assert_eq!(placed.body["order"]["due_fen"], 5_000);
    let visit = Visit { member, order: order(&placed).to_owned(), start_at: at(1, "14:00") };
    assert_eq!(visit.see().await, placed.body["order"]);
    let number = visit.asks("wechat_jsapi").await;
    stack.vendors().pay(&number).await;
    let paid = visit.becomes("confirmed").await;
    assert_eq!((&paid["express"]["state"], &paid["lines"]), (&"waiting".into(), &json!([])));
    assert!(paid["express"]["due_at"].is_string(), "{paid}");
    (visit, number)
}

fn proposal(shop: &Shop, clock: &str) -> Value {
    json!({"service_id": shop.service, "start_at": at(1, clock)})
}

#[tokio::test]
async fn a_wish_a_proposal_and_one_tap() {
    let stack = Stack::start().await;
    let shop = shop(&stack, 1, express_ways()).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let mut body = wish(&shop);
    body["payment"] = "at_store".into();
    let refused = member.post("/api/v1/express-bookings", body).idempotent().await;
    refused.refused(422, "payment_not_offered");
    let mut body = wish(&shop);
    body["until"] = body["from"].clone();
    let refused = member.post("/api/v1/express-bookings", body).idempotent().await;
    refused.refused(422, "invalid_range");

    let (visit, number) = wished(&stack, &shop).await;
    let path = format!("/api/v1/staff/express-orders?store_id={}", shop.store);
    let waiting = owner.get(&path).await.expect(200).body;
    assert_eq!(waiting["items"][0]["id"], visit.order);
    let answer = async |what: &str| {
        let path = format!("/api/v1/orders/{}/proposal/{what}", visit.order);
        visit.member.post(path, json!({})).idempotent().await
    };
    answer("accept").await.refused(409, "no_proposal");
    // Its deposit is all that it costs so far, and completes nothing.
    let paid = say(&owner, "settle", &visit.order, json!({"channel": "cash"})).await;
    paid.refused(409, "order_not_changeable");
    let late = say(&owner, "proposal", &visit.order, proposal(&shop, "18:00")).await;
    late.refused(422, "outside_wish");
    let made = say(&owner, "proposal", &visit.order, proposal(&shop, "15:00")).await.expect(200);
    assert_eq!(made.text("/order/express/state"), "proposed");
    assert_eq!(made.body["order"]["express"]["proposal"]["total_fen"], 19_800);
    // Its time is held.
    shop.book(&member, None, &at(1, "15:00")).await.refused(409, "slot_taken");
    assert_eq!(visit.see().await, made.body["order"]);
    let somebody = format!("/api/v1/orders/{}/proposal/accept", visit.order);
    member.post(&somebody, json!({})).idempotent().await.refused(404, "not_found");

    let declined = answer("decline").await.expect(200);
    assert_eq!(declined.text("/order/express/state"), "waiting");
    eventually("its time is free", SOON, async || {
        let slots = shop.slots(&member, None, &date(1), 1).await;
        slots.iter().any(|slot| slot.start_at == at(1, "15:00")).then_some(())
    })
    .await;
    say(&owner, "proposal", &visit.order, proposal(&shop, "16:00")).await.check(200);
    let accepted = answer("accept").await.expect(200);
    let now = visit.see().await;
    assert_eq!(now, accepted.body["order"]);
    assert_eq!(now["lines"][0]["start_at"], at(1, "16:00"));
    let money = ["total_fen", "due_fen", "paid_fen", "remaining_fen"].map(|name| now[name].clone());
    assert_eq!(money, [19_800, 5_000, 5_000, 14_800].map(Value::from));
    answer("accept").await.refused(409, "no_proposal");
    assert_eq!(owner.get(&path).await.expect(200).body["items"], json!([]));
    settled(&stack).await;
    shop.book(&member, None, &at(1, "16:00")).await.refused(409, "slot_taken");
    let claims = stack.calendars("SELECT id, start_at FROM claim WHERE state = 'confirmed'");
    assert_eq!(claims[0].1.len(), 1, "{claims:?}");
    assert!(stack.vendors().payment(&number).await.expect("a payment").is_paid());
    let kinds = visit.timeline().await;
    let told = ["booked", "paid", "confirmed", "proposed", "declined", "proposed", "accepted"];
    assert_eq!(kinds, told);
}

#[tokio::test]
async fn no_proposal_and_no_answer_in_time_refund_by_themselves() {
    let stack = Stack::start().await;
    let shop = shop(&stack, 1, express_ways()).await;
    let owner = stack.owner().await;
    let (unheard, _) = wished(&stack, &shop).await;
    let (unanswered, number) = wished(&stack, &shop).await;
    let made = proposal(&shop, "15:00");
    say(&owner, "proposal", &unanswered.order, made.clone()).await.check(200);
    answers_are_overdue(&stack).await;
    // After the deadline, and before the job: nothing can be changed any more.
    let before = unanswered.detail().await;
    let accept = format!("/api/v1/orders/{}/proposal/accept", unanswered.order);
    let late = unanswered.member.post(&accept, json!({})).idempotent().await;
    late.refused(409, "proposal_expired");
    assert_eq!(unanswered.detail().await, before);
    say(&owner, "proposal", &unheard.order, made).await.refused(409, "answer_too_late");
    let _ = stack.run_cron(MINUTELY).await;
    for visit in [&unheard, &unanswered] {
        visit.becomes("cancelled").await;
        visit.is("refunded", |order| order["refunded_fen"] == 5_000).await;
    }
    let late = unanswered.member.post(&accept, json!({})).idempotent().await;
    late.refused(409, "proposal_expired");
    eventually("the money is back", SOON, async || {
        (stack.vendors().payment(&number).await?.refunded() == 5_000).then_some(())
    })
    .await;
    settled(&stack).await;
    let somebody = stack.some_member().await;
    shop.book(&somebody, None, &at(1, "15:00")).await.check(201);
}

#[tokio::test]
async fn of_accepting_and_cancelling_at_once_one_wins() {
    let stack = Stack::start().await;
    let mut ways = express_ways();
    ways["express"]["deposit_fen"] = 0.into();
    let shop = shop(&stack, 3, ways).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    for _ in 0..3 {
        let placed = member.post("/api/v1/express-bookings", wish(&shop)).idempotent().await;
        let placed = placed.expect(201);
        assert_eq!(placed.text("/order/status"), "confirmed");
        let id = order(&placed).to_owned();
        say(&owner, "proposal", &id, proposal(&shop, "15:00")).await.check(200);
        let calls = ["proposal/accept", "proposal/accept", "proposal/decline", "cancel"]
            .map(|what| member.post(format!("/api/v1/orders/{id}/{what}"), json!({})).idempotent());
        let replies = at_once(calls).await;
        assert!(replies.iter().all(|reply| reply.status < 500));
        let now = seen(&member, &id).await["order"].take();
        let live =
            now["lines"].as_array().expect("lines").iter().filter(|it| it["status"] == "live");
        assert_eq!(
            live.count() == 1,
            now["status"] == "confirmed" && now["express"]["state"] == "accepted"
        );
    }
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn what_is_recommended_is_offered_and_known() {
    let stack = Stack::shared().await;
    let shop = shop(&stack, 3, json!({})).await;
    let member = stack.some_member().await;
    let path = format!(
        "/api/v1/availability/recommended?store_id={}&service_id={}&from={}&days=7",
        shop.store,
        shop.service,
        date(1)
    );
    let best = async |api: &Api| api.get(&path).await.expect(200).body["items"].take();
    let offered = async |items: &Value| {
        let slots = shop.slots(&member, None, &date(1), 7).await;
        for item in items.as_array().expect("a list") {
            let slot = slots.iter().find(|slot| slot.start_at == item["start_at"]);
            let slot = slot.unwrap_or_else(|| panic!("{item} is not offered"));
            for id in item["technician_ids"].as_array().expect("ids") {
                assert!(slot.technicians.iter().any(|known| known == id), "{item}");
            }
        }
    };
    let items = best(&member).await;
    assert_eq!(items.as_array().expect("a list").len(), 3);
    assert!(
        items.as_array().expect("a list").iter().all(|item| item["reason"] == "quiet"),
        "{items}"
    );
    offered(&items).await;
    // Three Tuesdays, so to say, at seven in the evening, with the second of them.
    for days in [8, 15, 22] {
        shop.book(&member, Some(&shop.technicians[1]), &at(days, "19:00")).await.check(201);
    }
    let items = best(&member).await;
    assert_eq!(items[0]["reason"], "habit", "{items}");
    assert_eq!(items[0]["technician_ids"][0], shop.technicians[1]);
    let start = items[0]["start_at"].as_str().expect("a start");
    assert_eq!(start[..10], date(1), "{items}");
    assert!(("18:30".."19:31").contains(&&start[11..16]), "{items}");
    offered(&items).await;
    // Three steps: the service, the recommended start, and this.
    shop.book(&member, Some(&shop.technicians[1]), start).await.check(201);
    stack.api().get(&path).await.refused(401, "sign_in_required");
}

/// A rough measure in the tests' own way; `tools/bench` has the exact one.
#[tokio::test]
async fn recommending_takes_hardly_longer_than_availability() {
    let stack = Stack::start().await;
    let shop = shop(&stack, 20, json!({})).await;
    let member = stack.some_member().await;
    for days in 2..8 {
        for clock in ["11:00", "14:00", "17:00"] {
            shop.book(&member, None, &at(days, clock)).await.check(201);
        }
    }
    let what =
        format!("store_id={}&service_id={}&from={}&days=7", shop.store, shop.service, date(1));
    let (plain, recommended) = (
        format!("/api/v1/availability?{what}"),
        format!("/api/v1/availability/recommended?{what}"),
    );
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..40 {
        for (path, times) in [&plain, &recommended].into_iter().zip(&mut times) {
            let from = Instant::now();
            member.get(path).await.check(200);
            times.push(from.elapsed());
        }
    }
    let [plain, recommended] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1_000.0
    });
    println!(
        "availability {plain:.1} ms, recommended {recommended:.1} ms: {:.2}",
        recommended / plain
    );
    assert!(recommended < 2.0 * plain, "{recommended} ms beside {plain} ms");
}
