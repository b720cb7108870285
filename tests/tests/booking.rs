//! Availability, booking, moving and cancelling, for members and by staff.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{
    Api, Call, Hours, Reply, Shop, Slot, Stack, at_once, count, eventually, now_ms, random,
};

/// Within which the calendar follows what D1 has committed.
const SOON: Duration = Duration::from_secs(15);

/// An instant of a day from today on Shanghai's clock.
fn at(days_from_today: i64, clock: &str) -> String {
    format!("{}T{clock}:00+08:00", date(days_from_today))
}

fn ms(instant: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(instant).expect("RFC 3339").timestamp_millis()
}

fn clocks(slots: &[Slot]) -> Vec<&str> {
    slots.iter().map(|slot| &slot.start_at[11..16]).collect()
}

async fn day(shop: &Shop, api: &Api, days_from_today: i64) -> Vec<Slot> {
    shop.slots(api, None, &date(days_from_today), 1).await
}

/// Waits until a start is offered, or is not.
async fn offered(shop: &Shop, api: &Api, technician: &str, start: &str, expected: bool) {
    let what = format!("{start} offered: {expected}");
    eventually(&what, SOON, async || {
        let slots = shop.slots(api, Some(technician), &start[..10], 1).await;
        (slots.iter().any(|slot| slot.start_at == start) == expected).then_some(())
    })
    .await;
}

fn order(reply: &Reply) -> &str {
    reply.text("/order/id")
}

fn line(reply: &Reply) -> &str {
    reply.text("/order/lines/0/id")
}

fn technician(reply: &Reply) -> &str {
    reply.text("/order/lines/0/technician_id")
}

fn move_to(api: &Api, booked: &Reply, start: &str, more: impl Into<Value>) -> Call {
    let mut body = json!({"line_id": line(booked), "start_at": start});
    for (field, value) in more.into().as_object().expect("fields") {
        body[field] = value.clone();
    }
    api.post(format!("/api/v1/orders/{}/reschedule", order(booked)), body).idempotent()
}

fn cancel(api: &Api, booked: &Reply) -> Call {
    api.post(format!("/api/v1/orders/{}/cancel", order(booked)), json!({}))
}

async fn detail(api: &Api, booked: &Reply) -> Reply {
    api.get(format!("/api/v1/orders/{}", order(booked))).await.expect(200)
}

fn items<'a>(reply: &'a Reply, field: &str) -> Vec<&'a str> {
    let items = reply.body["items"].as_array().expect("items").iter();
    items.map(|item| item[field].as_str().expect("a text")).collect()
}

async fn as_technician(stack: &Stack, shop: &Shop, technician: &str) -> Api {
    let phone = some_phone();
    let grants = json!([{"role": "technician", "store_id": shop.store}]);
    let body =
        json!({"phone": phone, "name": "技师", "technician_id": technician, "grants": grants});
    stack.owner().await.post("/api/v1/admin/staff", body).await.check(201);
    stack.sign_in_staff(&phone).await
}

#[tokio::test]
async fn what_is_offered_is_bookable_until_none_is_left() {
    let stack = Stack::shared().await;
    let buffers =
        json!({"buffer_before_minutes": 10, "buffer_after_minutes": 15, "duration_minutes": 50});
    let shop = stack.shop_with(3, Hours::Day, buffers).await;
    let mut booked: Vec<(String, i64)> = Vec::new();
    loop {
        // In no order, by the technicians offered and by whoever it may be.
        let member = stack.some_member().await;
        let slots = day(&shop, &member, 1).await;
        if slots.is_empty() {
            break;
        }
        let slot = &slots[usize::try_from(random() >> 33).expect("small") % slots.len()];
        let named = random().is_multiple_of(2).then(|| slot.technicians[0].as_str());
        let reply = shop.book(&member, named, &slot.start_at).await.expect(201);
        let who = technician(&reply).to_owned();
        assert!(slot.technicians.contains(&who), "{who} was not offered");
        assert_eq!(reply.text("/order/lines/0/start_at"), slot.start_at);
        let start = ms(&slot.start_at) / 60_000;
        for (other, taken) in &booked {
            assert!(*other != who || (start - taken).abs() >= 75, "{start} and {taken} overlap");
        }
        booked.push((who, start));
    }
    // Twelve hours hold at most nine blocks of 75 minutes, and no fewer than five that lie badly.
    assert!((15..=27).contains(&booked.len()), "{}", booked.len());
    let member = stack.some_member().await;
    for clock in ["10:10", "12:00", "21:00"] {
        let reply = shop.book(&member, None, &at(1, clock)).await;
        assert!(matches!(reply.code(), "slot_taken" | "outside_hours"), "{}", reply.body);
    }
}

#[tokio::test]
async fn buffers_lie_within_working_time_and_between_appointments() {
    let stack = Stack::shared().await;
    let member = stack.some_member().await;
    let buffers = json!({"buffer_before_minutes": 15, "buffer_after_minutes": 30});
    let shop = stack.shop_with(1, Hours::Day, buffers).await;
    let slots = day(&shop, &member, 1).await;
    let all = clocks(&slots);
    assert_eq!((all[0], *all.last().expect("some")), ("10:15", "20:30"));
    shop.book(&member, None, &at(1, "12:00")).await.check(201);
    let slots = day(&shop, &member, 1).await;
    let left = clocks(&slots);
    assert!(left.contains(&"10:15") && left.contains(&"13:45"));
    assert!(left.iter().all(|clock| *clock <= "10:15" || *clock >= "13:45"), "{left:?}");
    shop.book(&member, None, &at(1, "10:20")).await.refused(409, "slot_taken");
    shop.book(&member, None, &at(1, "13:40")).await.refused(409, "slot_taken");
    shop.book(&member, None, &at(1, "10:15")).await.check(201);
    shop.book(&member, None, &at(1, "13:45")).await.check(201);
    shop.book(&member, None, &at(1, "20:35")).await.refused(422, "outside_hours");
}

#[tokio::test]
async fn notice_and_horizon_bound_what_is_offered() {
    let stack = Stack::shared().await;
    let member = stack.some_member().await;
    let rule = json!({"min_notice_minutes": 120, "max_days_ahead": 2});
    let shop = stack.shop_with(1, Hours::Always, rule).await;
    let minute = 60_000;
    let asked = now_ms();
    let slots = shop.slots(&member, None, &date(0), 4).await;
    let answered = now_ms();
    let (first, last) = (ms(&slots[0].start_at), ms(&slots[slots.len() - 1].start_at));
    assert!(first >= asked + 120 * minute && first <= answered + 125 * minute);
    assert!(last <= answered + 48 * 60 * minute && last >= asked + (48 * 60 - 5) * minute);
    let start = |ms: i64| {
        let instant = chrono::DateTime::from_timestamp_millis(ms).expect("an instant");
        instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    shop.book(&member, None, &start(first - 10 * minute)).await.refused(422, "start_too_soon");
    shop.book(&member, None, &start(last + 10 * minute)).await.refused(422, "start_too_far");
    shop.book(&member, None, &start(asked / 300_000 * 300_000 - 300_000))
        .await
        .refused(422, "start_in_past");
    shop.book(&member, None, &slots[2].start_at).await.check(201);
    shop.book(&member, None, &slots[slots.len() - 1].start_at).await.check(201);
    // Staff book who stands before them: the notice is not for them, the horizon is.
    let owner = stack.owner().await;
    let body = |start: String| json!({"store_id": shop.store, "service_id": shop.service, "start_at": start});
    let book = |start: String| owner.post("/api/v1/staff/bookings", body(start)).idempotent();
    book(start(first - 100 * minute)).await.check(201);
    book(start(last + 10 * minute)).await.refused(422, "start_too_far");
}

#[tokio::test]
async fn the_most_of_a_day_is_exact_however_many_come() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(4, Hours::Day, json!({"max_per_day": 3})).await;
    let member = stack.some_member().await;
    let slots = day(&shop, &member, 1).await;
    let mut members = Vec::new();
    let mut calls = Vec::new();
    for number in 0..15 {
        let member = stack.some_member().await;
        let body = shop.booking(None, &slots[number * 6].start_at);
        calls.push(member.post("/api/v1/bookings", body).idempotent());
        members.push(member);
    }
    let replies = at_once(calls).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (3, 12));
    for loser in replies.iter().filter(|reply| reply.status == 409) {
        loser.refused(409, "daily_limit_reached");
    }
    assert!(day(&shop, &member, 1).await.is_empty());
    assert!(!day(&shop, &member, 2).await.is_empty());
    shop.book(&member, None, &slots[0].start_at).await.refused(409, "daily_limit_reached");

    // A move within the full day is possible, one into it is not.
    let winners: Vec<_> =
        replies.iter().zip(&members).filter(|(reply, _)| reply.status == 201).collect();
    let (booked, winner) = winners[0];
    move_to(winner, booked, &at(1, "21:00"), json!({})).await.check(200);
    let outside = shop.book(&member, None, &at(2, "12:00")).await.expect(201);
    move_to(&member, &outside, &at(1, "19:00"), json!({}))
        .await
        .refused(409, "daily_limit_reached");
    // A cancelled one makes room for one.
    cancel(winners[1].1, winners[1].0).await.check(200);
    assert!(!day(&shop, &member, 1).await.is_empty());
    move_to(&member, &outside, &at(1, "19:00"), json!({})).await.check(200);
    assert!(day(&shop, &member, 1).await.is_empty());
}

#[tokio::test]
async fn whoever_is_free_skilled_and_has_least_to_do_gets_it() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let shop = stack.shop_with(3, Hours::Day, json!({"skills": ["推拿"]})).await;
    let [one, two, unskilled] = &shop.technicians[..] else { panic!("three") };
    for (id, level) in [(one, "高级"), (two, "中级")] {
        let body = json!({"version": 1, "name": level, "stores": [shop.store], "skills": ["推拿"], "level": level});
        owner.put(format!("/api/v1/admin/technicians/{id}"), body).await.check(200);
    }
    let mut service =
        owner.get(format!("/api/v1/admin/services/{}", shop.service)).await.expect(200).body;
    for field in ["id", "status"] {
        service.as_object_mut().expect("a row").remove(field);
    }
    service["level_prices"] = json!({"高级": 29_800});
    owner.put(format!("/api/v1/admin/services/{}", shop.service), service).await.check(200);

    shop.book(&member, Some(unskilled), &at(1, "10:00"))
        .await
        .refused(422, "technician_not_offered");
    let slots = day(&shop, &member, 1).await;
    assert!(
        slots
            .iter()
            .all(|slot| slot.technicians.len() == 2 && !slot.technicians.contains(unskilled))
    );
    for clock in ["10:00", "12:00"] {
        let reply = shop.book(&member, Some(one), &at(1, clock)).await.expect(201);
        assert_eq!(technician(&reply), one);
        assert_eq!(
            (&reply.body["order"]["total_fen"], &reply.body["order"]["due_fen"]),
            (&json!(29_800), &json!(0))
        );
    }
    // The other has nothing to do, until both have as much.
    for clock in ["14:00", "16:00"] {
        let reply = shop.book(&member, None, &at(1, clock)).await.expect(201);
        assert_eq!(technician(&reply), two);
        assert_eq!(reply.body["order"]["total_fen"], 19_800);
    }
    let reply = shop.book(&member, Some(one), &at(1, "18:00")).await.expect(201);
    assert_eq!(reply.text("/order/lines/0/technician_id"), one);
    // Who has less to do is not free then, so the other does it.
    assert_eq!(technician(&shop.book(&member, None, &at(1, "14:30")).await.expect(201)), one);
    // Nobody is free: the nearest alternatives, at most five, each of which can be booked.
    let refused = shop.book(&member, None, &at(1, "14:30")).await;
    refused.refused(409, "slot_taken");
    let alternatives = refused.body["alternatives"].as_array().expect("a list").clone();
    assert!((1..=5).contains(&alternatives.len()), "{alternatives:?}");
    let distances: Vec<_> = alternatives
        .iter()
        .map(|it| (ms(it["start_at"].as_str().expect("a start")) - ms(&at(1, "14:30"))).abs())
        .collect();
    assert!(distances.is_sorted(), "{distances:?}");
    for alternative in &alternatives {
        let start = alternative["start_at"].as_str().expect("a start");
        let who = alternative["technician_ids"][0].as_str().expect("a technician");
        let booked = shop.book(&member, Some(who), start).await.expect(201);
        cancel(&member, &booked).await.check(200);
        offered(&shop, &member, who, start, true).await;
    }
    // A load counts on its own day: on another one nobody has anything.
    let mut seen = BTreeSet::new();
    for clock in ["10:00", "10:00"] {
        let reply = shop.book(&member, None, &at(2, clock)).await.expect(201);
        seen.insert(technician(&reply).to_owned());
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn an_appointment_moves_over_its_own_time_and_to_another_technician() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Day).await;
    let [one, two] = &shop.technicians[..] else { panic!("two") };
    let member = stack.some_member().await;
    let booked = shop.book(&member, Some(one), &at(1, "12:00")).await.expect(201);
    assert_eq!(booked.body["order"]["version"], 1);
    offered(&shop, &member, one, &at(1, "11:30"), false).await;

    // Half an hour later, over its own time.
    let moved = move_to(&member, &booked, &at(1, "12:30"), json!({})).await.expect(200);
    assert_eq!(moved.text("/order/lines/0/start_at"), at(1, "12:30"));
    assert_eq!(moved.text("/order/lines/0/end_at"), at(1, "13:30"));
    assert_eq!((&moved.body["order"]["version"], line(&moved)), (&json!(2), line(&booked)));
    offered(&shop, &member, one, &at(1, "11:30"), true).await;
    offered(&shop, &member, one, &at(1, "11:35"), false).await;
    assert_eq!(detail(&member, &booked).await.body["order"], moved.body["order"]);

    // To the other technician, at the same time; the first one's is free again.
    let moved =
        move_to(&member, &booked, &at(1, "12:30"), json!({"technician_id": two})).await.expect(200);
    assert_eq!(technician(&moved), two);
    offered(&shop, &member, one, &at(1, "12:30"), true).await;
    offered(&shop, &member, two, &at(1, "12:30"), false).await;
    // Where it is already, nothing happens.
    let same = move_to(&member, &booked, &at(1, "12:30"), json!({})).await.expect(200);
    assert_eq!(same.body, moved.body);

    // Taken, outside hours, nobody's: the old time stays.
    let other = stack.some_member().await;
    shop.book(&other, Some(two), &at(1, "15:00")).await.check(201);
    let refused = move_to(&member, &booked, &at(1, "15:30"), json!({})).await;
    refused.refused(409, "slot_taken");
    assert!(!refused.body["alternatives"].as_array().expect("a list").is_empty());
    move_to(&member, &booked, &at(1, "21:30"), json!({})).await.refused(422, "outside_hours");
    move_to(&member, &booked, &at(1, "12:31"), json!({})).await.refused(422, "off_grid");
    let nobody = json!({"technician_id": "0".repeat(32)});
    move_to(&member, &booked, &at(1, "16:30"), nobody).await.refused(422, "technician_not_offered");
    move_to(&other, &booked, &at(1, "17:00"), json!({})).await.refused(404, "not_found");
    assert_eq!(detail(&member, &booked).await.body["order"], moved.body["order"]);
    shop.book(&other, Some(two), &at(1, "12:30")).await.refused(409, "slot_taken");
    shop.book(&other, Some(two), &at(1, "13:30")).await.check(201);

    // An old link moves nothing.
    move_to(&member, &booked, &at(1, "18:00"), json!({"version": 2}))
        .await
        .refused(409, "order_changed");
    let moved = move_to(&member, &booked, &at(1, "18:00"), json!({"version": 3})).await.expect(200);
    assert_eq!(moved.body["order"]["version"], 4);
}

#[tokio::test]
async fn a_move_happens_once_however_often_it_is_asked_for() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let booked = shop.book(&member, None, &at(1, "12:00")).await.expect(201);
    // The same key ten times at once.
    let call = move_to(&member, &booked, &at(1, "15:00"), json!({}));
    let replies = at_once((0..10).map(|_| call.clone())).await;
    for reply in &replies {
        reply.check(200);
        assert_eq!(reply.bytes, replies[0].bytes);
    }
    assert_eq!(replies[0].body["order"]["version"], 2);
    // Moved on, and the old key again: the old answer, and nothing moves.
    let moved = move_to(&member, &booked, &at(1, "17:00"), json!({})).await.expect(200);
    assert_eq!(call.clone().await.expect(200).bytes, replies[0].bytes);
    assert_eq!(detail(&member, &booked).await.body["order"], moved.body["order"]);

    // Several ways at once from one version: one is gone, the others were late.
    let clocks = ["10:00", "12:00", "14:00", "19:00", "21:00"];
    let calls = clocks.map(|clock| move_to(&member, &booked, &at(1, clock), json!({"version": 3})));
    let replies = at_once(calls).await;
    assert_eq!(count(&replies, 200), 1);
    for late in replies.iter().filter(|reply| reply.status != 200) {
        late.refused(409, "order_changed");
    }
    let now = detail(&member, &booked).await;
    let start = now.text("/order/lines/0/start_at").to_owned();
    assert_eq!(now.body["order"]["version"], 4);
    // What the others held is free again, and so is the old time.
    for clock in clocks.iter().chain(&["17:00"]) {
        offered(&shop, &member, &shop.technicians[0], &at(1, clock), at(1, clock) != start).await;
    }
    let timeline = now.body["timeline"].as_array().expect("events").len();
    assert_eq!(timeline, 4, "booked and moved three times: {}", now.body["timeline"]);
}

#[tokio::test]
async fn after_the_notice_only_staff_change_it() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(1, Hours::Always, json!({"change_notice_minutes": 2880})).await;
    let member = stack.some_member().await;
    let booked = shop.book(&member, None, &at(1, "20:00")).await.expect(201);
    let until = ms(booked.text("/order/changeable_until"));
    assert_eq!(until, ms(&at(1, "20:00")) - 2880 * 60_000);
    move_to(&member, &booked, &at(3, "10:00"), json!({})).await.refused(409, "too_late");
    cancel(&member, &booked).await.refused(409, "too_late");
    assert_eq!(detail(&member, &booked).await.body["order"]["version"], 1);
    let owner = stack.owner().await;
    let path = format!("/api/v1/staff/orders/{}", order(&booked));
    let body = json!({"line_id": line(&booked), "start_at": at(3, "23:00")});
    owner.post(format!("{path}/reschedule"), body).idempotent().await.check(200);
    // Far enough away now.
    move_to(&member, &booked, &at(3, "22:30"), json!({})).await.check(200);
    owner.post(format!("{path}/cancel"), json!({"reason": "停电"})).await.check(200);
    move_to(&member, &booked, &at(3, "22:00"), json!({}))
        .await
        .refused(409, "order_not_changeable");
}

#[tokio::test]
async fn a_cancelled_appointment_gives_its_time_back() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (member, other) = (stack.some_member().await, stack.some_member().await);
    let booked = shop.book(&member, None, &at(1, "12:00")).await.expect(201);
    cancel(&other, &booked).await.refused(404, "not_found");
    shop.book(&other, None, &at(1, "12:00")).await.refused(409, "slot_taken");
    let replies = at_once((0..8).map(|_| cancel(&member, &booked))).await;
    for reply in &replies {
        reply.check(200);
        assert_eq!(reply.body, replies[0].body);
    }
    assert_eq!(replies[0].text("/order/status"), "cancelled");
    assert_eq!(replies[0].text("/order/lines/0/status"), "cancelled");
    assert_eq!(cancel(&member, &booked).await.expect(200).body, replies[0].body);
    let timeline = detail(&member, &booked).await.body["timeline"].clone();
    assert_eq!(timeline.as_array().map(Vec::len), Some(2), "{timeline}");
    eventually("the time is free", SOON, async || {
        let reply = shop.book(&other, None, &at(1, "12:00")).await;
        (reply.status == 201).then_some(())
    })
    .await;
    move_to(&member, &booked, &at(1, "15:00"), json!({}))
        .await
        .refused(409, "order_not_changeable");
}

#[tokio::test]
async fn cancelled_or_moved_first_the_calendar_agrees() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let technician = &shop.technicians[0];
    for days in 1..=5 {
        let member = stack.some_member().await;
        let booked = shop.book(&member, None, &at(days, "12:00")).await.expect(201);
        let calls = [
            move_to(&member, &booked, &at(days, "15:00"), json!({})),
            cancel(&member, &booked),
            move_to(&member, &booked, &at(days, "18:00"), json!({})),
        ];
        for reply in at_once(calls).await {
            let good = reply.status == 200
                || matches!(reply.code(), "order_changed" | "order_not_changeable");
            assert!(good, "{}: {}", reply.what, reply.body);
        }
        let now = detail(&member, &booked).await;
        let live = now.text("/order/status") == "confirmed";
        for clock in ["12:00", "15:00", "18:00"] {
            let taken = live && now.text("/order/lines/0/start_at") == at(days, clock);
            offered(&shop, &member, technician, &at(days, clock), !taken).await;
        }
    }
}

#[tokio::test]
async fn a_key_makes_one_order_for_one_member() {
    let stack = Stack::shared().await;
    let shop = stack.shop(3, Hours::Day).await;
    let member = stack.some_member().await;
    let body = shop.booking(None, &at(1, "12:00"));
    let key = format!("{:016x}", random());
    let call = member.post("/api/v1/bookings", body.clone()).key(&key);
    let replies = at_once((0..20).map(|_| call.clone())).await;
    for reply in &replies {
        reply.check(201);
        assert_eq!(reply.bytes, replies[0].bytes);
    }
    let listed = member.get("/api/v1/orders").await.expect(200);
    assert_eq!(items(&listed, "id"), [order(&replies[0])]);
    assert_eq!(call.clone().await.expect(201).bytes, replies[0].bytes);
    // Two of three technicians are free at that time, once what the others held is given back.
    eventually("two are free", SOON, async || {
        let slots = day(&shop, &member, 1).await;
        let slot = slots.iter().find(|slot| slot.start_at == at(1, "12:00"))?;
        (slot.technicians.len() == 2).then_some(())
    })
    .await;

    let other_body = shop.booking(None, &at(1, "13:00"));
    let reused = member.post("/api/v1/bookings", other_body).key(&key).await;
    reused.refused(422, "idempotency_key_reused");
    // Of another member the same key is another operation, and so is it at another address.
    let other = stack.some_member().await;
    let theirs = other.post("/api/v1/bookings", body.clone()).key(&key).await.expect(201);
    assert_ne!(order(&theirs), order(&replies[0]));
    let path = format!("/api/v1/orders/{}/reschedule", order(&theirs));
    let to = json!({"line_id": line(&theirs), "start_at": at(1, "18:00")});
    other.post(path, to).key(&key).await.refused(422, "idempotency_key_reused");
    member.post("/api/v1/bookings", body).await.refused(400, "missing_idempotency_key");
    // A refusal is not kept: the key may be tried again when there is room.
    let small = stack.shop(1, Hours::Day).await;
    let first = small.book(&member, None, &at(1, "12:00")).await.expect(201);
    let call = other.post("/api/v1/bookings", small.booking(None, &at(1, "12:00"))).idempotent();
    call.clone().await.refused(409, "slot_taken");
    cancel(&member, &first).await.check(200);
    eventually("the same key is accepted", SOON, async || {
        (call.clone().await.status == 201).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_serves_three_at_a_time_is_booked_by_three() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let shop = stack.shop(1, Hours::Day).await;
    let who = &shop.technicians[0];
    let body = json!({"version": 1, "name": "三人", "stores": [shop.store], "capacity": 3});
    owner.put(format!("/api/v1/admin/technicians/{who}"), body).await.check(200);
    let member = stack.some_member().await;
    let mut calls = Vec::new();
    for clock in ["12:00", "12:00", "12:15", "12:30", "12:45", "12:30", "12:00", "12:20"] {
        let member = stack.some_member().await;
        calls.push(member.post("/api/v1/bookings", shop.booking(None, &at(1, clock))).idempotent());
    }
    // All of them take 12:45.
    let replies = at_once(calls).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (3, 5));
    offered(&shop, &member, who, &at(1, "12:45"), false).await;
    for reply in replies.iter().filter(|reply| reply.status == 409) {
        reply.refused(409, "slot_taken");
    }
    for clock in ["13:45", "13:45", "13:45"] {
        shop.book(&member, None, &at(1, clock)).await.check(201);
    }
    shop.book(&member, None, &at(1, "14:00")).await.refused(409, "slot_taken");
}

#[tokio::test]
async fn staff_book_for_members_and_for_those_who_walk_in() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let member = stack.some_member().await;
    let phone = some_phone();
    let code = stack.sandbox().post("/phone-code", json!({"phone": phone})).await.expect(200);
    let body = json!({"nickname": "安娜", "phone_code": code.text("/code")});
    member.patch("/api/v1/me", body).await.check(200);
    let found = cashier.get(format!("/api/v1/staff/members?phone={phone}")).await.expect(200);
    assert_eq!(found.text("/items/0/nickname"), "安娜");
    assert_eq!(found.text("/items/0/phone"), format!("{}****{}", &phone[..3], &phone[7..]));

    let book = |start: String, more: Value| {
        let mut body =
            json!({"store_id": shop.store, "service_id": shop.service, "start_at": start});
        for (field, value) in more.as_object().expect("fields") {
            body[field] = value.clone();
        }
        cashier.post("/api/v1/staff/bookings", body).idempotent()
    };
    let theirs = json!({"member_id": found.text("/items/0/id"), "note": "靠窗🪟"});
    let call = book(at(1, "12:00"), theirs);
    let booked = call.clone().await.expect(201);
    assert_eq!(call.await.expect(201).bytes, booked.bytes);
    let seen = detail(&member, &booked).await;
    assert_eq!((seen.text("/order/note"), seen.text("/order/contact_name")), ("靠窗🪟", "安娜"));
    assert_eq!(seen.text("/order/contact_phone"), phone);
    let walk_in = json!({"contact_name": "王先生", "contact_phone": "13812345678"});
    let walk_in = book(at(1, "14:00"), walk_in).await.expect(201);
    assert_eq!(walk_in.body["order"]["member_id"], json!(null));
    assert_eq!(walk_in.text("/order/contact_phone"), "13812345678");
    member.get(format!("/api/v1/orders/{}", order(&walk_in))).await.refused(404, "not_found");
    book(at(1, "14:30"), json!({})).await.refused(409, "slot_taken");
    let nobody = json!({"member_id": "0".repeat(32)});
    book(at(1, "16:00"), nobody).await.refused(422, "unknown_member");

    // Staff move and cancel them; what happened, and by whom, stands in the order.
    let path = format!("/api/v1/staff/orders/{}", order(&booked));
    let to = json!({"line_id": line(&booked), "start_at": at(1, "18:00")});
    cashier.post(format!("{path}/reschedule"), to).idempotent().await.check(200);
    move_to(&member, &booked, &at(1, "19:00"), json!({})).await.check(200);
    cashier.post(format!("{path}/cancel"), json!({"reason": "客人来电"})).await.check(200);
    let me = cashier.get("/api/v1/staff/me").await.expect(200);
    let mine = member.get("/api/v1/me").await.expect(200);
    let staff = |kind: &str| {
        (
            kind.to_owned(),
            "staff".to_owned(),
            me.text("/id").to_owned(),
            me.text("/name").to_owned(),
        )
    };
    let own = |kind: &str| {
        (kind.to_owned(), "member".to_owned(), mine.text("/id").to_owned(), "安娜".to_owned())
    };
    let expected = [staff("booked"), staff("moved"), own("moved"), staff("cancelled")];
    let seen = cashier.get(&path).await.expect(200);
    let timeline = seen.body["timeline"].as_array().expect("events");
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let told: Vec<_> = timeline
        .iter()
        .map(|event| {
            (
                text(event, "kind"),
                text(event, "actor_kind"),
                text(event, "actor_id"),
                text(event, "actor_name"),
            )
        })
        .collect();
    assert_eq!(told, expected);
    assert_eq!(timeline[1]["detail"]["from"], ms(&at(1, "12:00")));
    assert_eq!(timeline[1]["detail"]["start_at"], ms(&at(1, "18:00")));
    assert_eq!(timeline[3]["detail"]["reason"], "客人来电");
    let instants: Vec<_> =
        timeline.iter().map(|event| ms(event["at"].as_str().expect("an instant"))).collect();
    assert!(instants.is_sorted());

    // A technician does none of it.
    let technician = as_technician(&stack, &shop, &shop.technicians[0]).await;
    let body =
        json!({"store_id": shop.store, "service_id": shop.service, "start_at": at(1, "20:00")});
    technician.post("/api/v1/staff/bookings", body).idempotent().await.refused(403, "forbidden");
}

#[tokio::test]
async fn staff_block_time_by_the_same_claim() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Day).await;
    let [one, two] = &shop.technicians[..] else { panic!("two") };
    let member = stack.some_member().await;
    let owner = stack.owner().await;
    let block = |api: &Api, technician: &str, from: &str, until: &str| {
        let body = json!({"store_id": shop.store, "start_at": at(1, from), "end_at": at(1, until), "reason": "培训"});
        api.post(format!("/api/v1/staff/technicians/{technician}/blocks"), body).idempotent()
    };
    let booked = shop.book(&member, Some(one), &at(1, "12:00")).await.expect(201);
    block(&owner, one, "12:30", "14:00").await.refused(409, "slot_taken");
    let call = block(&owner, one, "13:00", "14:00");
    let blocked = call.clone().await.expect(201);
    assert_eq!(call.await.expect(201).bytes, blocked.bytes);
    offered(&shop, &member, one, &at(1, "13:00"), false).await;
    shop.book(&member, Some(one), &at(1, "13:30")).await.refused(409, "slot_taken");
    move_to(&member, &booked, &at(1, "12:30"), json!({})).await.refused(409, "slot_taken");
    block(&owner, one, "14:00", "14:00").await.refused(422, "invalid_range");
    block(&owner, one, "14:02", "15:00").await.refused(422, "off_grid");
    // One's own time, and nobody else's.
    let technician = as_technician(&stack, &shop, one).await;
    let own = block(&technician, one, "20:00", "21:00").await.expect(201);
    block(&technician, two, "20:00", "21:00").await.refused(403, "foreign_store");
    let path = format!("/api/v1/staff/blocks/{}", blocked.text("/id"));
    owner.delete(&path).await.check(204);
    owner.delete(&path).await.check(204);
    offered(&shop, &member, one, &at(1, "13:00"), true).await;
    technician.delete(format!("/api/v1/staff/blocks/{}", own.text("/id"))).await.check(204);
    offered(&shop, &member, one, &at(1, "20:00"), true).await;
    owner
        .delete(format!("/api/v1/staff/blocks/{}", "0".repeat(32)))
        .await
        .refused(404, "not_found");
    // Many at once for one hour: one has it.
    let calls = (0..6).map(|_| block(&owner, two, "15:00", "16:00"));
    let replies = at_once(calls).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (1, 5));
}

#[tokio::test]
async fn blocked_time_is_closed_to_all_three() {
    let stack = Stack::start().await;
    let owner = stack.owner().await;
    let shop = stack.shop(1, Hours::Day).await;
    let who = &shop.technicians[0];
    let carries = async |capacity: u16, version: i64| {
        let body = json!({"version": version, "name": "几人", "stores": [shop.store], "capacity": capacity});
        owner.put(format!("/api/v1/admin/technicians/{who}"), body).await.check(200);
    };
    carries(3, 1).await;
    let member = stack.some_member().await;
    let block = |from: &str, until: &str| {
        let body = json!({"store_id": shop.store, "start_at": at(1, from), "end_at": at(1, until)});
        owner.post(format!("/api/v1/staff/technicians/{who}/blocks"), body).idempotent()
    };
    // One appointment of three is one too many for a block, and one block for another.
    shop.book(&member, None, &at(1, "12:00")).await.check(201);
    block("12:55", "14:00").await.refused(409, "slot_taken");
    let blocked = block("13:00", "14:00").await.expect(201);
    block("13:30", "14:30").await.refused(409, "slot_taken");
    let closed = async || {
        shop.book(&member, None, &at(1, "13:30")).await.refused(409, "slot_taken");
        offered(&shop, &member, who, &at(1, "12:05"), false).await;
        offered(&shop, &member, who, &at(1, "13:55"), false).await;
        offered(&shop, &member, who, &at(1, "12:00"), true).await;
        offered(&shop, &member, who, &at(1, "14:00"), true).await;
    };
    closed().await;
    carries(5, 2).await;
    closed().await;
    // The Worker's audit finds it as it should be, and so does ours.
    let _ = stack.run_cron("*/5 * * * *").await;
    closed().await;
    let audit = Audit::of(&stack, &[(&shop, Hours::Day)]);
    audit.check();
    assert_eq!(audit.drift, [].into());
    stack.restart_worker().await;
    owner.delete(format!("/api/v1/staff/blocks/{}", blocked.text("/id"))).await.check(204);
    offered(&shop, &member, who, &at(1, "13:30"), true).await;
}

#[tokio::test]
async fn staff_see_a_day_and_a_week() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let shop = stack.shop(2, Hours::Day).await;
    let [one, two] = &shop.technicians[..] else { panic!("two") };
    let body = json!({
        "category": "足疗", "name": "足底", "duration_minutes": 30, "price_fen": 9_900, "deposit": {"kind": "none"},
        "places": ["store"], "modes": ["direct"], "stores": [shop.store], "min_notice_minutes": 0,
    });
    let feet = owner.post("/api/v1/admin/services", body).await.expect(201).text("/id").to_owned();
    let feet = Shop { service: feet, ..shop.clone() };
    let member = stack.some_member().await;
    let first = shop.book(&member, Some(one), &at(1, "12:00")).await.expect(201);
    let second = feet.book(&member, Some(two), &at(1, "11:00")).await.expect(201);
    let gone = shop.book(&member, Some(two), &at(1, "15:00")).await.expect(201);
    cancel(&member, &gone).await.check(200);
    let later = shop.book(&member, Some(one), &at(3, "12:00")).await.expect(201);
    shop.book(&member, Some(one), &at(8, "12:00")).await.check(201);
    let body = json!({"store_id": shop.store, "start_at": at(1, "18:00"), "end_at": at(1, "19:00"), "reason": "培训"});
    let path = format!("/api/v1/staff/technicians/{one}/blocks");
    let block = owner.post(path, body).idempotent().await.expect(201);

    let see = |api: &Api, from: i64, days: u32, more: &str| {
        let from = date(from);
        api.get(format!(
            "/api/v1/staff/appointments?store_id={}&from={from}&days={days}{more}",
            shop.store
        ))
    };
    let lines = async |from: i64, days: u32, more: &str| {
        let reply = see(&owner, from, days, more).await.expect(200);
        items(&reply, "id").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let [first, second, gone, later] = [&first, &second, &gone, &later].map(line);
    let block = block.text("/id");
    assert_eq!(lines(1, 1, "&status=confirmed").await, [second, first]);
    assert_eq!(lines(1, 1, "&status=cancelled").await, [gone]);
    assert_eq!(lines(1, 1, "&status=blocked").await, [block]);
    assert_eq!(lines(1, 7, "&status=confirmed").await, [second, first, later], "a week");
    assert_eq!(lines(1, 1, "").await, [second, first, gone, block]);
    assert_eq!(lines(1, 7, &format!("&technician_id={one}")).await, [first, block, later]);
    assert_eq!(lines(1, 7, &format!("&service_id={}", feet.service)).await, [second]);
    assert!(lines(2, 1, "").await.is_empty());
    let reply = see(&owner, 1, 1, "&status=blocked").await;
    assert_eq!((reply.text("/items/0/kind"), reply.text("/items/0/note")), ("block", "培训"));
    // By pages: nothing is lost.
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let reply = see(&owner, 1, 7, &format!("&limit=2{cursor}")).await.expect(200);
        paged.extend(items(&reply, "id").into_iter().map(str::to_owned));
        let Some(next) = reply.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, [second, first, gone, block, later]);

    // A technician sees their own, however they ask.
    let technician = as_technician(&stack, &shop, two).await;
    let own = see(&technician, 1, 7, "").await.expect(200);
    assert_eq!(items(&own, "id"), [second, gone]);
    see(&technician, 1, 7, &format!("&technician_id={one}")).await.refused(403, "forbidden");
    let orders =
        technician.get(format!("/api/v1/staff/orders?store_id={}", shop.store)).await.expect(200);
    assert_eq!(orders.body["items"].as_array().map(Vec::len), Some(2));
    technician
        .get(format!("/api/v1/staff/orders?technician_id={one}"))
        .await
        .refused(403, "forbidden");
    let foreign = stack.shop(0, Hours::Day).await;
    let path = format!("/api/v1/staff/appointments?store_id={}&from={}", foreign.store, date(1));
    technician.get(path).await.refused(403, "foreign_store");
}

#[tokio::test]
async fn forty_five_orders_are_read_by_pages_without_loss() {
    let stack = Stack::shared().await;
    let (shop, other) = (stack.shop(2, Hours::Always).await, stack.shop(1, Hours::Always).await);
    let member = stack.some_member().await;
    let slots = day(&shop, &member, 2).await;
    let mut starts = Vec::new();
    // Two of the same instant, where a cursor by the instant alone would lose one.
    for number in 0..22 {
        for technician in &shop.technicians {
            let start = &slots[number * 12].start_at;
            let reply = shop.book(&member, Some(technician), start).await.expect(201);
            starts.push((ms(start), order(&reply).to_owned()));
        }
    }
    let reply = other.book(&member, None, &at(5, "12:00")).await.expect(201);
    starts.push((ms(&at(5, "12:00")), order(&reply).to_owned()));
    starts.sort();
    starts.reverse();
    let expected: Vec<_> = starts.iter().map(|(_, id)| id.as_str()).collect();

    let owner = stack.owner().await;
    let me = member.get("/api/v1/me").await.expect(200);
    let by_member = format!("/api/v1/staff/orders?member_id={}&limit=7", me.text("/id"));
    for (api, path) in [(&member, "/api/v1/orders?limit=7".to_owned()), (&owner, by_member)] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let reply = api.get(format!("{path}{cursor}")).await.expect(200);
            let page = items(&reply, "id");
            assert!(page.len() == 7 || reply.body["next_cursor"].is_null());
            seen.extend(page.into_iter().map(str::to_owned));
            let Some(next) = reply.body["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected, "{path}");
    }
    let reply = member.get("/api/v1/orders?cursor=AAAA").await;
    reply.refused(422, "invalid_cursor");

    // Filters, each by itself and together.
    let cancelled = &expected[3];
    member.post(format!("/api/v1/orders/{cancelled}/cancel"), json!({})).await.check(200);
    let found = async |api: &Api, path: String| {
        let reply = api.get(format!("{path}&limit=100")).await.expect(200);
        items(&reply, "id").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let own = async |query: String| found(&member, format!("/api/v1/orders?{query}")).await;
    assert_eq!(own("status=cancelled".into()).await, [*cancelled]);
    assert_eq!(own("status=confirmed".into()).await.len(), 44);
    assert_eq!(own(format!("store_id={}", other.store)).await, [expected[0]]);
    assert_eq!(own(format!("service_id={}", shop.service)).await, expected[1..]);
    let plus = |instant: &str| instant.replace('+', "%2B");
    let from = plus(&slots[21 * 12].start_at);
    assert_eq!(own(format!("from={from}")).await, expected[..3]);
    assert_eq!(own(format!("until={}", plus(&slots[12].start_at))).await, expected[43..]);
    let between = format!("from={}&until={from}&status=confirmed", plus(&slots[20 * 12].start_at));
    assert_eq!(own(between).await, [expected[4]]);
    let staffs = async |query: String| found(&owner, format!("/api/v1/staff/orders?{query}")).await;
    let by = format!("technician_id={}&status=confirmed", shop.technicians[0]);
    let count = staffs(by).await.len();
    let other_count =
        staffs(format!("technician_id={}&status=confirmed", shop.technicians[1])).await.len();
    assert_eq!(count + other_count, 43);
    assert_eq!(
        staffs(format!("store_id={}&member_id={}", other.store, me.text("/id"))).await,
        [expected[0]]
    );
    owner.get("/api/v1/staff/orders").await.refused(422, "missing_field");
    let stranger = stack.some_member().await;
    assert!(found(&stranger, "/api/v1/orders?status=confirmed".into()).await.is_empty());
    stranger
        .call(Method::GET, format!("/api/v1/orders/{}", expected[0]))
        .await
        .refused(404, "not_found");
}
