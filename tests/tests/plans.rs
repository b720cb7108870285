//! Service plans: what is refused, what is previewed, what is made, changed and ended, and that a plan is all
//! or nothing whatever dies on the way.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::{at, ms};
use zhundian_tests::world::date;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, eventually};

/// A stack on which plans are on, and a shop with a service of mode plan.
async fn started(technicians: usize) -> (Stack, Shop) {
    let stack = Stack::start().await;
    stack.plans(true).await;
    let shop = plan_shop(&stack, technicians, json!({})).await;
    (stack, shop)
}

async fn plan_shop(stack: &Stack, technicians: usize, mut fields: Value) -> Shop {
    fields["modes"] = json!(["plan"]);
    stack.shop_with(technicians, Hours::Day, fields).await
}

async fn member_id(member: &Api) -> String {
    member.get("/api/v1/me").await.expect(200).text("/id").to_owned()
}

fn wish(shop: &Shop, member_id: &str, fields: Value) -> Value {
    let mut body = json!({
        "store_id": shop.store, "service_id": shop.service, "technician_id": shop.technicians[0],
        "member_id": member_id, "rhythm": "weekly", "starts": [at(1, "12:00")], "times": 4,
    });
    let Value::Object(fields) = fields else { panic!("no fields: {fields}") };
    for (field, value) in fields {
        body[field.as_str()] = value;
    }
    body
}

async fn preview(staff: &Api, body: &Value) -> Reply {
    staff.post("/api/v1/staff/plans/preview", body.clone()).await
}

async fn make(staff: &Api, body: &Value) -> Reply {
    staff.post("/api/v1/staff/plans", body.clone()).idempotent().await
}

fn starts(reply: &Value) -> Vec<String> {
    let sessions = reply["sessions"].as_array().expect("sessions");
    sessions.iter().map(|one| one["start_at"].as_str().expect("a start").to_owned()).collect()
}

fn off(stack: &Stack, shop: &Shop) -> Vec<String> {
    Audit::of(stack, &[(shop, Hours::Day)]).off
}

/// Runs the Worker's own audit, which finds nothing, and then the test's.
async fn audited(stack: &Stack, shop: &Shop) {
    let _ = stack.run_cron("*/5 * * * *").await;
    let job = stack.d1("SELECT outcome FROM job WHERE name = 'audit_calendars'");
    let outcome = job[0]["outcome"].as_str().expect("an outcome");
    assert!(outcome.ends_with(" calendars, 0 off"), "{outcome}");
    let audit = Audit::of(stack, &[(shop, Hours::Day)]);
    assert!(audit.off.is_empty() && audit.drift.is_empty(), "{:?} {:?}", audit.off, audit.drift);
}

/// Claims of the shop's technicians in a state, in their calendars.
fn claims(stack: &Stack, state: &str) -> usize {
    let sql = format!("SELECT id FROM claim WHERE state = '{state}'");
    stack.calendars(&sql).iter().map(|(_, rows)| rows.len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_hides_every_trace() {
    let stack = Stack::start().await;
    let owner = stack.owner().await;
    let body = |shop: &Shop| {
        json!({
            "category": "康复", "name": "疗程", "duration_minutes": 60, "price_fen": 10_000,
            "deposit": {"kind": "none"}, "places": ["store"], "modes": ["plan"], "stores": [shop.store],
        })
    };
    let elsewhere = stack.shop(1, Hours::Day).await;
    let refused = owner.post("/api/v1/admin/services", body(&elsewhere)).await;
    refused.refused(422, "unknown_value");

    stack.plans(true).await;
    let mut both = body(&elsewhere);
    both["modes"] = json!(["plan", "direct"]);
    owner.post("/api/v1/admin/services", both).await.refused(422, "mode_alone");
    let shop = plan_shop(&stack, 1, json!({})).await;
    let member = stack.some_member().await;
    let id = member_id(&member).await;
    let wished = wish(&shop, &id, json!({}));
    let plan = make(&owner, &wished).await.expect(201);
    let plan_id = plan.text("/plan/id").to_owned();
    let order = plan.text("/plan/sessions/0/id").to_owned();

    let paths = [
        (&owner, "/api/v1/staff/plans".to_owned() + "?store_id=" + &shop.store),
        (&owner, format!("/api/v1/staff/plans/{plan_id}")),
        (&member, "/api/v1/plans".to_owned()),
        (&member, format!("/api/v1/plans/{plan_id}")),
        (&owner, format!("/api/v1/admin/services/{}", shop.service)),
        (&member, format!("/api/v1/services/{}", shop.service)),
    ];
    let services = |reply: &Reply| reply.body["items"].to_string().contains(&shop.service);
    for on in [true, false, true] {
        stack.plans(on).await;
        for (who, path) in &paths {
            who.get(path).await.check(if on { 200 } else { 404 });
        }
        let list = format!("/api/v1/services?store_id={}", shop.store);
        assert_eq!(services(&member.get(list).await.expect(200)), on);
        let list = owner.get("/api/v1/admin/services?limit=100").await.expect(200);
        assert_eq!(services(&list), on);
        // What was agreed stands, and does not say how it came about.
        let mode = member.get(format!("/api/v1/orders/{order}")).await.expect(200);
        assert_eq!(mode.body["order"]["mode"], if on { "plan" } else { "direct" });
        preview(&owner, &wished).await.check(if on { 200 } else { 404 });
    }
    stack.plans(false).await;
    make(&owner, &wished).await.refused(404, "not_found");
    let cancel = format!("/api/v1/staff/plans/{plan_id}/cancel");
    owner.post(&cancel, json!({"which": "all"})).await.refused(404, "not_found");
    let body = json!({"which": "one", "session_id": order, "start_at": at(1, "15:00")});
    let moved = format!("/api/v1/staff/plans/{plan_id}/reschedule");
    owner.post(moved, body).idempotent().await.refused(404, "not_found");
    // An old version of the switch changes nothing.
    let stale = owner.put("/api/v1/admin/features", json!({"plans": true, "version": 1})).await;
    stale.refused(409, "stale_version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_of_mode_plan_is_booked_in_no_other_way() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let mut booking = shop.booking(None, &at(1, "12:00"));
    member
        .post("/api/v1/bookings", booking.clone())
        .idempotent()
        .await
        .refused(422, "mode_not_offered");
    booking["mode"] = json!("plan");
    member.post("/api/v1/bookings", booking).idempotent().await.refused(422, "mode_not_offered");
    let booking =
        json!({"store_id": shop.store, "service_id": shop.service, "start_at": at(1, "12:00")});
    owner
        .post("/api/v1/staff/bookings", booking)
        .idempotent()
        .await
        .refused(422, "mode_not_offered");
    for what in ["availability", "availability/recommended"] {
        let (store, service, from) = (&shop.store, &shop.service, date(1));
        let path =
            format!("/api/v1/{what}?store_id={store}&service_id={service}&from={from}&days=1");
        member.get(path).await.refused(422, "mode_not_offered");
    }
    // Nor is a service of another mode booked as a plan.
    let other = stack.shop(1, Hours::Day).await;
    let id = member_id(&member).await;
    make(&owner, &wish(&other, &id, json!({}))).await.refused(422, "mode_not_offered");
    // Who may: the permission, in this store.
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    make(&cashier, &wish(&shop, &id, json!({}))).await.refused(403, "forbidden");
    let manager = stack.staff("manager", Some(&other.store)).await;
    make(&manager, &wish(&shop, &id, json!({}))).await.refused(403, "foreign_store");
    manager.get("/api/v1/admin/features").await.refused(403, "foreign_store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_and_changes_nothing() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    let unskilled = stack.technician("别家技师", &shop.store, Hours::Day).await;
    stack.kill_worker();
    stack.write_d1(&format!(
        "INSERT INTO service_technician (service_id, technician_id) VALUES ('{}', '{}')",
        shop.service, shop.technicians[0]
    ));
    stack.restart_worker().await;
    let hundred: Vec<String> = (0..100).map(|day| at(day + 1, "12:00")).collect();
    let none = "0".repeat(32);
    let cases = [
        (json!({"times": 0}), "out_of_range", "times"),
        (json!({"times": 100}), "out_of_range", "times"),
        (json!({"rhythm": "custom", "starts": hundred}), "too_many_items", "starts"),
        (
            json!({"starts": [at(1, "12:00"), at(2, "14:00")], "times": 50}),
            "too_many_sessions",
            "times",
        ),
        (json!({"starts": []}), "out_of_range", "starts"),
        (json!({"starts": [at(1, "12:00"), at(1, "12:00")]}), "duplicate_item", "starts"),
        (json!({"starts": [at(1, "12:00"), at(-1, "12:00")]}), "start_in_past", "starts[1]"),
        (json!({"starts": [at(1, "12:00"), at(1, "12:55")]}), "sessions_overlap", "starts"),
        (json!({"starts": [at(1, "12:00"), at(8, "12:30")]}), "sessions_overlap", "starts"),
        (json!({"starts": [at(1, "12:01")]}), "off_grid", "starts[0]"),
        (json!({"starts": [at(801, "12:00")]}), "start_too_far", "starts"),
        (json!({"starts": ["tomorrow"]}), "invalid_instant", "starts[0]"),
        (json!({"rhythm": "monthly"}), "unknown_value", "rhythm"),
        (json!({"until": date(0)}), "no_sessions", "until"),
        (json!({"leave_out": [at(2, "12:00")]}), "unknown_plan_session", "leave_out[0]"),
        (json!({"times": 1, "leave_out": [at(1, "12:00")]}), "no_sessions", "leave_out"),
        (json!({"technician_id": unskilled}), "technician_not_offered", "technician_id"),
        (json!({"technician_id": none}), "technician_not_offered", "technician_id"),
        (json!({"member_id": none}), "unknown_member", "member_id"),
        (json!({"service_id": none}), "unknown_service", "service_id"),
        (json!({"surprise": 1}), "unknown_field", "surprise"),
    ];
    let before = stack.everything().await;
    for (fields, code, field) in cases {
        let body = wish(&shop, &id, fields);
        for reply in [preview(&owner, &body).await, make(&owner, &body).await] {
            reply.refused(422, code);
            assert_eq!(reply.body["fields"][0]["field"], field, "{body}");
        }
    }
    before.assert_same(&stack.everything().await, "plans that were refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_found_before_anything_is_taken_and_can_be_left_out() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    // The second session meets somebody's block, the third lies on a holiday, the fifth after hours.
    let body =
        json!({"store_id": shop.store, "start_at": at(2, "11:30"), "end_at": at(2, "12:30")});
    let blocks = format!("/api/v1/staff/technicians/{}/blocks", shop.technicians[0]);
    owner.post(blocks, body).idempotent().await.check(201);
    let holiday = format!("/api/v1/admin/stores/{}/holidays/{}", shop.store, date(3));
    owner.put(holiday, json!({"name": "店休"})).await.check(200);
    let fields = json!({"rhythm": "daily", "times": 4, "starts": [at(1, "12:00"), at(4, "21:30")]});
    let body = wish(&shop, &id, fields.clone());
    let before = stack.everything().await;
    let seen = preview(&owner, &body).await.expect(200);
    assert_eq!(starts(&seen.body).len(), 7, "{}", seen.body);
    assert_eq!(seen.body["skipped"], json!([date(3)]));
    assert_eq!(seen.body["conflicts"], 5);
    let conflict = &seen.body["sessions"][1]["conflict"];
    assert_eq!(
        (&conflict["code"], &conflict["whose"]),
        (&json!("slot_taken"), &json!("technician"))
    );
    assert_eq!(conflict["nearest"][0], at(2, "12:30"), "{conflict}");
    assert_eq!(seen.body["sessions"][3]["conflict"]["code"], "outside_hours");
    assert_eq!(seen.body["sessions"][3]["conflict"]["whose"], "store");
    assert!(seen.body["sessions"][0]["conflict"].is_null());

    let refused = make(&owner, &body).await;
    refused.refused(409, "plan_conflicts");
    let conflicts = refused.body["conflicts"].as_array().expect("conflicts").clone();
    assert_eq!(conflicts.len(), 5);
    before.assert_same(&stack.everything().await, "a plan with conflicts");

    let mut body = wish(&shop, &id, fields);
    body["leave_out"] = conflicts.iter().map(|conflict| conflict["start_at"].clone()).collect();
    let made = make(&owner, &body).await.expect(201);
    assert_eq!(starts(&made.body["plan"]), [at(1, "12:00"), at(4, "12:00")]);
    // A move past the holiday instead: the next day that has no session of the plan.
    let fields =
        json!({"rhythm": "daily", "times": 3, "starts": [at(1, "14:00")], "on_closed": "move"});
    let moved = preview(&owner, &wish(&shop, &id, fields)).await.expect(200);
    assert_eq!(starts(&moved.body), [at(1, "14:00"), at(2, "14:00"), at(4, "14:00")]);
    assert_eq!(moved.body["sessions"][2]["moved_from"], date(3));
    assert_eq!(moved.body["conflicts"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninety_nine_sessions_are_one_operation() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let id = member_id(&member).await;
    let starts: Vec<String> = (1..=3).map(|day| at(day, "12:00")).collect();
    let body = wish(&shop, &id, json!({"starts": starts, "times": 33}));
    let call = owner.post("/api/v1/staff/plans", body).idempotent();
    let begun = Instant::now();
    let made = call.clone().await.expect(201);
    let took = begun.elapsed();
    let line = stack.logged(&made).await;
    println!(
        "99 sessions: {} ms, {} D1 batches, {} object calls, {} rows written",
        took.as_millis(),
        line["d1_batches"],
        line["object_calls"],
        line["d1_rows_written"]
    );
    assert!(line["d1_batches"].as_u64() <= Some(3), "{line}");
    assert_eq!(line["object_calls"], 1, "{line}");
    assert_eq!((&made.body["plan"]["total"], &made.body["plan"]["done"]), (&json!(99), &json!(0)));
    // The same operation again is the same plan.
    assert_eq!(call.await.expect(201).bytes, made.bytes);
    eventually("every claim confirmed", Duration::from_secs(10), async || {
        (claims(&stack, "confirmed") == 99).then_some(())
    })
    .await;
    let detail = format!("/api/v1/staff/plans/{}", made.text("/plan/id"));
    assert_eq!(owner.get(detail).await.expect(200).body["plan"], made.body["plan"]);
    // Its sessions are appointments as any: in the store's day, in the member's orders.
    let day = format!("/api/v1/staff/appointments?store_id={}&from={}&days=7", shop.store, date(1));
    let day = owner.get(day).await.expect(200);
    assert_eq!(day.body["items"].as_array().map(Vec::len), Some(3));
    let orders = member.get("/api/v1/orders?limit=100").await.expect(200);
    assert_eq!(orders.body["items"].as_array().map(Vec::len), Some(99));
    let list = member.get("/api/v1/plans").await.expect(200);
    assert_eq!(list.body["items"][0]["next_at"], starts[0]);
    let stranger = stack.some_member().await;
    let path = format!("/api/v1/plans/{}", made.text("/plan/id"));
    stranger.get(path).await.refused(404, "not_found");
    audited(&stack, &shop).await;
}

async fn act(staff: &Api, plan: &str, verb: &str, body: Value) -> Reply {
    staff.post(format!("/api/v1/staff/plans/{plan}/{verb}"), body).idempotent().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_the_rest_or_all_are_moved_and_cancelled() {
    let (stack, shop) = started(2).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    let made = make(&owner, &wish(&shop, &id, json!({"times": 6}))).await.expect(201);
    let plan = made.text("/plan/id").to_owned();
    let session = |index: usize| made.text(&format!("/plan/sessions/{index}/id")).to_owned();
    let see = async || {
        owner.get(format!("/api/v1/staff/plans/{plan}")).await.expect(200).body["plan"].clone()
    };

    // One: another hour. The rest: as much later on the clock, with somebody else.
    let body = json!({"which": "one", "session_id": session(0), "start_at": at(1, "15:00")});
    act(&owner, &plan, "reschedule", body).await.check(200);
    let body = json!({
        "which": "rest", "session_id": session(3), "start_at": at(22, "12:30"),
        "technician_id": shop.technicians[1],
    });
    let moved = act(&owner, &plan, "reschedule", body).await.expect(200);
    assert_eq!(moved.body["sessions"].as_array().map(Vec::len), Some(3));
    let expected = [
        at(1, "15:00"),
        at(8, "12:00"),
        at(15, "12:00"),
        at(22, "12:30"),
        at(29, "12:30"),
        at(36, "12:30"),
    ];
    let now = see().await;
    assert_eq!(starts(&now), expected);
    let who: Vec<_> = (0..6).map(|index| now["sessions"][index]["technician_id"].clone()).collect();
    let (one, two) = (&shop.technicians[0], &shop.technicians[1]);
    assert_eq!(who, [one, one, one, two, two, two].map(|id| json!(id)));
    // All back to one technician, half an hour earlier.
    let body = json!({
        "which": "all", "session_id": session(1), "start_at": at(8, "11:30"), "technician_id": one,
    });
    act(&owner, &plan, "reschedule", body).await.check(200);
    assert_eq!(
        starts(&see().await)[..4],
        [at(1, "14:30"), at(8, "11:30"), at(15, "11:30"), at(22, "12:00")]
    );
    // What would meet a session that stays is refused, and so is the past.
    let body = json!({"which": "one", "session_id": session(0), "start_at": at(8, "11:00")});
    act(&owner, &plan, "reschedule", body).await.refused(422, "sessions_overlap");
    let body = json!({"which": "all", "session_id": session(1), "start_at": at(1, "11:30")});
    act(&owner, &plan, "reschedule", body).await.refused(422, "start_in_past");
    let body = json!({"which": "one", "session_id": session(0), "start_at": at(1, "23:00")});
    let refused = act(&owner, &plan, "reschedule", body).await;
    refused.refused(409, "plan_conflicts");
    assert_eq!(refused.body["conflicts"][0]["code"], "outside_hours");
    eventually("six claims stand", Duration::from_secs(10), async || {
        (claims(&stack, "confirmed") == 6 && claims(&stack, "held") == 0).then_some(())
    })
    .await;
    assert_eq!(off(&stack, &shop), Vec::<String>::new());
    stack.restart_worker().await;

    // A single one may also go the way of any appointment.
    let order = format!("/api/v1/staff/orders/{}/cancel", session(0));
    owner.post(order, json!({})).await.check(200);
    for (which, index, left) in [("one", 2, 4), ("one", 2, 4), ("rest", 4, 2)] {
        let body = json!({"which": which, "session_id": session(index), "reason": "出差"});
        let reply = act(&owner, &plan, "cancel", body).await.expect(200);
        assert_eq!(reply.body["plan"]["total"], left);
    }
    act(&owner, &plan, "cancel", json!({"which": "rest"})).await.refused(422, "missing_field");
    let body = json!({"which": "one", "session_id": plan});
    act(&owner, &plan, "cancel", body).await.refused(422, "unknown_plan_session");
    let ended = act(&owner, &plan, "cancel", json!({"which": "all"})).await.expect(200);
    assert_eq!(
        (&ended.body["plan"]["status"], &ended.body["plan"]["cancelled"]),
        (&json!("ended"), &json!(6))
    );
    eventually("every claim released", Duration::from_secs(10), async || {
        (claims(&stack, "confirmed") == 0).then_some(())
    })
    .await;
    assert_eq!(off(&stack, &shop), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_move_together_may_go_where_others_of_them_were() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    let daily = json!({"rhythm": "daily", "times": 5, "starts": [at(1, "12:00"), at(1, "13:00")]});
    let made = make(&owner, &wish(&shop, &id, daily)).await.expect(201);
    let plan = made.text("/plan/id").to_owned();
    let first = made.text("/plan/sessions/0/id").to_owned();
    for (day, time) in [(1, "12:30"), (2, "12:30"), (1, "12:30"), (1, "12:00")] {
        let body = json!({"which": "all", "session_id": first, "start_at": at(day, time)});
        act(&owner, &plan, "reschedule", body).await.check(200);
        let now = owner.get(format!("/api/v1/staff/plans/{plan}")).await.expect(200);
        let starts = starts(&now.body["plan"]);
        assert_eq!((starts.len(), &starts[0]), (10, &at(day, time)));
    }
    eventually("ten claims stand", Duration::from_secs(20), async || {
        (claims(&stack, "confirmed") == 10 && claims(&stack, "held") == 0).then_some(())
    })
    .await;
    assert_eq!(off(&stack, &shop), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_complete_at_their_time_and_use_the_card_once() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let id = member_id(&member).await;
    let card = "c".repeat(32);
    let body = wish(&shop, &id, json!({"card_id": card}));
    let with_card = make(&owner, &body).await.expect(201).text("/plan/id").to_owned();
    let body = wish(&shop, &id, json!({"starts": [at(1, "15:00")]}));
    let without = make(&owner, &body).await.expect(201).text("/plan/id").to_owned();
    // Two sessions of each are over, one of them with the member having stayed away; no run in between.
    let back = 10 * 86_400_000_i64;
    stack
        .change_d1(&format!(
            "UPDATE orders SET start_at = start_at - {back} WHERE plan_id IS NOT NULL;
             UPDATE order_line SET start_at = start_at - {back}, end_at = end_at - {back}
                WHERE order_id IN (SELECT id FROM orders WHERE plan_id IS NOT NULL);
             UPDATE orders SET status = 'no_show' WHERE session_number = 1;"
        ))
        .await;
    stack.restart_worker().await;
    for _ in 0..3 {
        let _ = stack.run_cron("* * * * *").await;
    }
    let job = stack.d1("SELECT failures FROM job WHERE name = 'complete_sessions'");
    assert_eq!(job[0]["failures"], 0);
    let due = stack.d1("SELECT plan_id, card_id, taken_at FROM card_use_due");
    assert_eq!(due, [json!({"plan_id": with_card, "card_id": card, "taken_at": null})]);
    for (plan, status) in [(&with_card, "completed"), (&without, "confirmed")] {
        let seen = member.get(format!("/api/v1/plans/{plan}")).await.expect(200);
        let seen = &seen.body["plan"];
        let counts = ["total", "done", "missed", "cancelled"].map(|name| seen[name].as_i64());
        assert_eq!(counts, [Some(4), Some(1), Some(1), Some(0)], "{seen}");
        // An order for which something remains to be paid waits for it.
        assert_eq!(seen["sessions"][1]["status"], status);
        assert_eq!(seen["status"], "active");
    }
    let sql = format!("SELECT id FROM orders WHERE plan_id = '{without}' AND session_number = 2");
    let order = stack.d1(&sql)[0]["id"].as_str().expect("an id").to_owned();
    let settle = format!("/api/v1/staff/orders/{order}/settle");
    let settled = owner.post(settle, json!({"channel": "cash"})).idempotent().await.expect(200);
    assert_eq!(settled.body["status"], "completed");
    // What is done is not given up with the rest.
    let left = act(&owner, &with_card, "cancel", json!({"which": "all"})).await.expect(200);
    assert_eq!((&left.body["plan"]["total"], &left.body["plan"]["done"]), (&json!(2), &json!(1)));
    assert_eq!(left.body["plan"]["status"], "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_between_hold_and_confirm_loses_nothing() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    let body = wish(&shop, &id, json!({"times": 20}));
    let call = owner.post("/api/v1/staff/plans", body).key("the-plan-of-anna");

    // Before the commit: everything is held, no plan stands, and the same operation finds its holds.
    stack.kill_worker();
    stack.write_d1("ALTER TABLE plan RENAME TO plan_away");
    stack.restart_worker().await;
    call.clone().await.check(503);
    assert_eq!(claims(&stack, "held"), 20);
    stack.kill_worker();
    stack.write_d1("ALTER TABLE plan_away RENAME TO plan");
    stack.restart_worker().await;
    let made = call.clone().await.expect(201);
    assert_eq!(made.body["plan"]["total"], 20);

    // Anywhere on the way: the same operation again makes the one plan.
    let mut sessions = 20;
    for wait in [30, 80] {
        let id = member_id(&stack.some_member().await).await;
        let start = at(1, ["14:00", "15:00"][sessions / 20 - 1]);
        let body = wish(&shop, &id, json!({"times": 20, "starts": [start]}));
        let call = owner.post("/api/v1/staff/plans", body).idempotent();
        let first = tokio::spawn(call.clone().attempt());
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stack.kill_worker();
        let _ = first.await;
        stack.restart_worker().await;
        call.await.check(201);
        sessions += 20;
    }
    assert_eq!(stack.d1("SELECT count(*) AS n FROM plan")[0]["n"], 3);

    // After the commit, before the confirm.
    stack.kill_worker();
    let lines = "SELECT count(*) AS n FROM order_line WHERE status = 'live'";
    assert_eq!(stack.d1(lines)[0]["n"], sessions);
    stack.restart_worker().await;
    assert_eq!(call.await.expect(201).bytes, made.bytes);
    // A worker that dies after the confirm leaves its outbox row; delivered again, it changes nothing.
    let due = "SELECT count(*) AS n FROM outbox WHERE topic = 'confirm_many'";
    eventually("every claim confirmed", Duration::from_mins(2), async || {
        let _ = stack.run_cron("* * * * *").await;
        let all = claims(&stack, "confirmed") == sessions && claims(&stack, "held") == 0;
        (all && stack.d1(due)[0]["n"] == 0).then_some(())
    })
    .await;
    audited(&stack, &shop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_plans_that_want_the_same_time_one_gets_all_of_it() {
    let (stack, shop) = started(1).await;
    let owner = stack.owner().await;
    let id = member_id(&stack.some_member().await).await;
    let calls = (0..8).map(|turn| {
        let clock = ["12:00", "12:30", "12:55", "11:30"][turn % 4];
        let body = wish(&shop, &id, json!({"starts": [at(1, clock)], "times": 10}));
        owner.post("/api/v1/staff/plans", body).idempotent()
    });
    let replies = zhundian_tests::at_once(calls).await;
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert!(!made.is_empty() && made.len() <= 2, "{}", made.len());
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert!(matches!(reply.code(), "plan_conflicts" | "unavailable"), "{}", reply.body);
    }
    let first = ms(made[0].text("/plan/next_at"));
    assert!(first > 0);
    eventually("only whole plans", Duration::from_secs(10), async || {
        let whole = 10 * made.len();
        (claims(&stack, "confirmed") == whole && claims(&stack, "held") == 0).then_some(())
    })
    .await;
    assert_eq!(off(&stack, &shop), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_takes_its_room_and_what_the_store_has_room_for() {
    let stack = Stack::start().await;
    stack.plans(true).await;
    let owner = stack.owner().await;
    let fields = json!({"resources": [{"type": "房间"}]});
    let shop = plan_shop(&stack, 2, fields).await;
    let mut rooms = Vec::new();
    for name in ["松", "竹"] {
        let body = json!({"store_id": shop.store, "kind": "room", "type": "房间", "name": name});
        let made = owner.post("/api/v1/admin/resources", body).await.expect(201);
        rooms.push(made.text("/id").to_owned());
    }
    let id = member_id(&stack.some_member().await).await;
    let starts: Vec<String> = (1..=3).map(|day| at(day, "12:00")).collect();
    let body = wish(&shop, &id, json!({"starts": starts, "times": 33, "room_id": rooms[0]}));
    let begun = Instant::now();
    let made = make(&owner, &body).await.expect(201);
    let took = begun.elapsed();
    let line = stack.logged(&made).await;
    println!(
        "99 sessions with a room: {} ms, {} D1 batches, {} object calls, {} rows written",
        took.as_millis(),
        line["d1_batches"],
        line["object_calls"],
        line["d1_rows_written"]
    );
    assert!(line["d1_batches"].as_u64() <= Some(3), "{line}");
    assert_eq!(line["object_calls"], 2, "{line}");
    assert_eq!(made.body["plan"]["room_id"], rooms[0]);

    // The same room is taken for the other technician; the kind has another one.
    let fields = json!({"technician_id": shop.technicians[1], "room_id": rooms[0]});
    let mut body = wish(&shop, &id, fields);
    let refused = make(&owner, &body).await;
    refused.refused(409, "plan_conflicts");
    assert_eq!(refused.body["conflicts"][0]["whose"], "room");
    assert_eq!(refused.body["conflicts"][0]["nearest"][0], at(1, "11:00"));
    body["room_id"] = Value::Null;
    let other = make(&owner, &body).await.expect(201);
    eventually("every claim confirmed", Duration::from_secs(10), async || {
        (claims(&stack, "confirmed") == 2 * (99 + 4) && claims(&stack, "held") == 0).then_some(())
    })
    .await;
    let order = other.text("/plan/sessions/0/id");
    let seen = owner.get(format!("/api/v1/staff/orders/{order}")).await.expect(200);
    assert_eq!(seen.body["order"]["lines"][0]["resources"][0]["id"], rooms[1]);

    // What is moved and cancelled takes its rooms along.
    let plan = other.text("/plan/id");
    let session = other.text("/plan/sessions/2/id");
    let body = json!({"which": "rest", "session_id": session, "start_at": at(15, "18:00")});
    act(&owner, plan, "reschedule", body).await.check(200);
    let body = json!({"which": "all"});
    act(&owner, made.text("/plan/id"), "cancel", body).await.check(200);
    eventually("the claims of four sessions stand", Duration::from_secs(10), async || {
        (claims(&stack, "confirmed") == 2 * 4 && claims(&stack, "held") == 0).then_some(())
    })
    .await;
    // A room that is retired is no room.
    let retire = format!("/api/v1/admin/resources/{}/retire", rooms[0]);
    owner.post(retire, json!({"version": 1})).await.check(200);
    let mut body = wish(&shop, &id, json!({"starts": [at(2, "15:00")], "room_id": rooms[0]}));
    make(&owner, &body).await.refused(422, "unknown_resource");
    body["room_id"] = json!("0".repeat(32));
    preview(&owner, &body).await.refused(422, "unknown_resource");
    audited(&stack, &shop).await;
}
