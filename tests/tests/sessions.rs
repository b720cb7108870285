//! Classes with seats, and waitlists: never more seats than there are, in order, never one place offered
//! to two.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::money::{Notify, Pay};
use zhundian_tests::visit::{at, ms};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, at_once, count, eventually};

const SOON: Duration = Duration::from_secs(20);

async fn school(stack: &Stack) -> Shop {
    stack.shop_with(2, Hours::Day, json!({"modes": ["direct", "group"]})).await
}

fn sessions(shop: &Shop, starts: &[String], capacity: u32) -> Value {
    json!({"store_id": shop.store, "service_id": shop.service,
        "technician_id": shop.technicians[0], "capacity": capacity, "starts": starts})
}

/// A room for eight: its id.
async fn classroom(owner: &Api, shop: &Shop) -> String {
    let room = json!({"store_id": shop.store, "kind": "room", "type": "教室", "name": "大教室",
        "capacity": 8});
    owner.post("/api/v1/admin/resources", room).await.expect(201).text("/id").to_owned()
}

async fn create(stack: &Stack, body: Value) -> Reply {
    stack.owner().await.post("/api/v1/admin/sessions", body).idempotent().await
}

/// A new session: its id.
async fn class(stack: &Stack, shop: &Shop, start: &str, capacity: u32) -> String {
    let made = create(stack, sessions(shop, &[start.to_owned()], capacity)).await.expect(201);
    made.text("/sessions/0/id").to_owned()
}

fn seats(number: u32) -> Value {
    json!({"seats": number, "payment": "at_store"})
}

async fn book(member: &Api, class: &str, number: u32) -> Reply {
    let path = format!("/api/v1/sessions/{class}/bookings");
    member.post(path, seats(number)).idempotent().await
}

async fn cancel(member: &Api, booked: &Reply) {
    let path = format!("/api/v1/orders/{}/cancel", booked.text("/order/id"));
    member.post(path, json!({})).await.check(200);
}

async fn seats_left(stack: &Stack, class: &str) -> i64 {
    let seen = stack.api().get(format!("/api/v1/sessions/{class}")).await.expect(200);
    seen.body["seats_left"].as_i64().expect("a number")
}

/// Joins a class's waitlist: the path of the entry.
async fn wait(member: &Api, class: &str, number: u32) -> String {
    let path = format!("/api/v1/sessions/{class}/waitlist");
    let entry = member.post(path, json!({"seats": number})).await.expect(201);
    format!("/api/v1/waitlist/{}", entry.text("/id"))
}

/// The entry as its member sees it.
async fn entry(member: &Api, path: &str) -> Value {
    let list = member.get("/api/v1/waitlist?limit=100").await.expect(200);
    let entries = list.body["items"].as_array().expect("entries").clone();
    let of = |entry: &Value| path.ends_with(entry["id"].as_str().expect("an id"));
    entries.into_iter().find(of).expect("an entry of one's own")
}

async fn becomes(member: &Api, path: &str, status: &str) -> Value {
    eventually(&format!("{path} {status}"), SOON, async || {
        Some(entry(member, path).await).filter(|entry| entry["status"] == status)
    })
    .await
}

async fn accept(member: &Api, path: &str) -> Reply {
    let body = json!({"payment": "at_store"});
    member.post(format!("{path}/bookings"), body).idempotent().await
}

/// Units of live claims in a session's calendar, by state.
fn units(stack: &Stack, class: &str, state: &str) -> i64 {
    let sql = format!(
        "SELECT coalesce(sum(quantity), 0) AS it FROM claim WHERE state = '{state}'
            AND (expires_at IS NULL OR expires_at > {})",
        zhundian_tests::now_ms()
    );
    let name = format!("session:{class}");
    let found = stack.calendars(&sql).into_iter().find(|(calendar, _)| *calendar == name);
    found.map_or(0, |(_, rows)| rows[0]["it"].as_i64().expect("a number"))
}

async fn settled(stack: &Stack) {
    stack.d1_becomes("SELECT count(*) AS it FROM outbox", 0).await;
}

#[tokio::test]
async fn of_forty_who_want_ten_seats_ten_get_one_and_a_seat_given_up_goes_to_the_first_who_waits() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let class = class(&stack, &shop, &at(1, "11:00"), 10).await;
    let mut members = Vec::new();
    for _ in 0..40 {
        members.push(stack.some_member().await);
    }
    let path = format!("/api/v1/sessions/{class}/bookings");
    let replies =
        at_once(members.iter().map(|member| member.post(&path, seats(1)).idempotent())).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (10, 30));
    for lost in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!(lost.code(), "session_full", "{}", lost.body);
    }
    assert_eq!(seats_left(&stack, &class).await, 0);

    // In order, and nobody comes between.
    let (mut out, mut inside) = (Vec::new(), Vec::new());
    for (member, reply) in members.iter().zip(&replies) {
        if reply.status == 201 { inside.push((member, reply)) } else { out.push(member) }
    }
    let (first, second, third) = (out[0], out[1], out[2]);
    let waits =
        [wait(first, &class, 1).await, wait(second, &class, 2).await, wait(third, &class, 1).await];
    let again = first.post(format!("/api/v1/sessions/{class}/waitlist"), json!({"seats": 1})).await;
    assert_eq!((again.status, again.code()), (409, "already_waiting"));
    cancel(inside[0].0, inside[0].1).await;
    let offered = becomes(first, &waits[0], "offered").await;
    assert_eq!(offered["offer"]["start_at"], at(1, "11:00"));
    assert_eq!(book(out[3], &class, 1).await.expect(409).code(), "session_full");
    assert_eq!(entry(third, &waits[2]).await["status"], "waiting");
    let foreign = accept(second, &waits[0]).await;
    assert_eq!((foreign.status, foreign.code()), (404, "not_found"));
    accept(second, &waits[1]).await.refused(409, "offer_expired");
    let booked = accept(first, &waits[0]).await.expect(201);
    assert_eq!(booked.text("/order/status"), "confirmed");
    assert_eq!(booked.text("/order/lines/0/session_id"), class);
    assert_eq!(entry(first, &waits[0]).await["status"], "booked");
    settled(&stack).await;
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (10, 0));

    // Two seats at once: one for who wants two is no use, two are.
    cancel(inside[1].0, inside[1].1).await;
    becomes(third, &waits[2], "offered").await;
    assert_eq!(entry(second, &waits[1]).await["status"], "waiting");
    cancel(inside[2].0, inside[2].1).await;
    cancel(inside[3].0, inside[3].1).await;
    becomes(second, &waits[1], "offered").await;
    settled(&stack).await;
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (7, 3));
    third.post(format!("{}/leave", waits[2]), json!({})).await.check(200);
    accept(second, &waits[1]).await.check(201);
    eventually("the seat that was left", SOON, async || {
        (book(out[3], &class, 1).await.status == 201).then_some(())
    })
    .await;
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn an_offer_runs_out_and_goes_on_and_a_kill_between_offers_no_place_twice() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let class = class(&stack, &shop, &at(1, "12:00"), 2).await;
    let mut members = Vec::new();
    for _ in 0..6 {
        members.push(stack.some_member().await);
    }
    let booked = [
        book(&members[0], &class, 1).await.expect(201),
        book(&members[1], &class, 1).await.expect(201),
    ];
    let mut waits = Vec::new();
    for member in &members[2..5] {
        waits.push(wait(member, &class, 1).await);
    }
    // Two places at the same time: two offers, two holds.
    let paths =
        booked.each_ref().map(|one| format!("/api/v1/orders/{}/cancel", one.text("/order/id")));
    let calls = [members[0].post(&paths[0], json!({})), members[1].post(&paths[1], json!({}))];
    assert_eq!(count(&at_once(calls).await, 200), 2);
    for number in 0..2 {
        becomes(&members[number + 2], &waits[number], "offered").await;
    }
    settled(&stack).await;
    assert_eq!(units(&stack, &class, "held"), 2);
    let held = || {
        let sql =
            "SELECT json_extract(held, '$[0][0]') AS it FROM waitlist WHERE status = 'offered'";
        let rows = stack.d1(sql);
        rows.iter()
            .map(|row| row["it"].as_str().expect("a claim").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let before = held();
    assert_eq!(before.len(), 2);

    // Killed when the places were held, and before that was noted: the same ones are offered again.
    let forget = "UPDATE waitlist SET status = 'waiting', held = NULL, offer_start_at = NULL,
        offer_expires_at = NULL WHERE status = 'offered'";
    stack.change_d1(forget).await;
    stack.run_cron("* * * * *").await;
    for number in 0..2 {
        becomes(&members[number + 2], &waits[number], "offered").await;
    }
    assert_eq!(held(), before);
    assert_eq!(units(&stack, &class, "held"), 2);

    // The first does nothing, and the time of the offer passes.
    stack.kill_worker();
    let past = zhundian_tests::now_ms() - 1_000;
    let first = waits[0].rsplit('/').next().expect("an id");
    let claim = stack.it(&format!(
        "SELECT json_extract(held, '$[0][0]') AS it FROM waitlist WHERE id = '{first}'"
    ));
    let claim = claim.as_str().expect("a claim");
    stack.write_d1(&format!("UPDATE waitlist SET offer_expires_at = {past} WHERE id = '{first}'"));
    let expire = format!("UPDATE claim SET expires_at = {past} WHERE id = '{claim}'");
    stack.write_calendar(&format!("session:{class}"), &expire);
    stack.restart_worker().await;
    accept(&members[2], &waits[0]).await.refused(409, "offer_expired");
    stack.run_cron("* * * * *").await;
    assert_eq!(entry(&members[2], &waits[0]).await["status"], "expired");
    becomes(&members[4], &waits[2], "offered").await;
    accept(&members[3], &waits[1]).await.check(201);
    accept(&members[4], &waits[2]).await.check(201);
    assert_eq!(book(&members[5], &class, 1).await.expect(409).code(), "session_full");
    settled(&stack).await;
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (2, 0));
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn a_class_that_is_given_up_gives_everything_back() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let (owner, start) = (stack.owner().await, at(1, "13:00"));
    let class = class(&stack, &shop, &start, 50).await;
    let paying = stack.some_member().await;
    let body = json!({"seats": 3, "payment": "online"});
    let path = format!("/api/v1/sessions/{class}/bookings");
    let booked = paying.post(&path, body).idempotent().await.expect(201);
    assert_eq!(booked.body["order"]["due_fen"], 3 * 19_800);
    let order = booked.text("/order/id").to_owned();
    let pay = format!("/api/v1/orders/{order}/pay");
    let asked =
        paying.post(&pay, json!({"channel": "wechat_jsapi"})).idempotent().await.expect(200);
    stack.vendors().pay(asked.text("/payment/id")).await;
    let see = async || {
        paying.get(format!("/api/v1/orders/{order}")).await.expect(200).body["order"].clone()
    };
    eventually("a confirmed order", SOON, async || {
        (see().await["status"] == "confirmed").then_some(())
    })
    .await;
    // More of them than one step gives up; one that is not paid yet among them.
    let staff_path = format!("/api/v1/staff/sessions/{class}/bookings");
    let others = (0..25).map(|number| {
        let body = json!({"seats": 1, "contact_name": format!("客人 {number}")});
        owner.post(&staff_path, body).idempotent()
    });
    assert_eq!(count(&at_once(others).await, 201), 25);
    let body = json!({"seats": 1, "payment": "online"});
    stack.some_member().await.post(&path, body).idempotent().await.check(201);
    assert_eq!(seats_left(&stack, &class).await, 50 - 29);
    let retire = format!("/api/v1/admin/technicians/{}/retire", shop.technicians[0]);
    assert_eq!(
        owner.post(&retire, json!({"version": 1})).await.expect(409).code(),
        "has_appointments"
    );

    let give_up = format!("/api/v1/admin/sessions/{class}/cancel");
    assert_eq!(
        owner.post(&give_up, json!({"version": 9})).await.expect(409).code(),
        "session_changed"
    );
    let ended = owner.post(&give_up, json!({"version": 1})).await.expect(200);
    assert_eq!(ended.text("/session/status"), "cancelled");
    assert_eq!(book(&paying, &class, 1).await.expect(409).code(), "session_cancelled");
    stack.run_cron("* * * * *").await;
    let live = format!(
        "SELECT count(*) AS it FROM order_line WHERE session_id = '{class}' AND status = 'live'"
    );
    stack.d1_becomes(&live, 0).await;
    eventually("everything back", SOON, async || {
        (see().await["refunded_fen"] == 3 * 19_800).then_some(())
    })
    .await;
    stack.d1_becomes("SELECT count(*) AS it FROM refund WHERE status = 'succeeded'", 1).await;
    settled(&stack).await;
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (0, 0));
    // The technician is free again.
    let technician = shop.technicians[0].as_str();
    shop.book(&paying, Some(technician), &start).await.check(201);
    owner.post(&give_up, json!({"version": 1})).await.check(200);
}

#[tokio::test]
async fn a_timetable_is_made_whole_or_not_at_all() {
    let stack = Stack::shared().await;
    let shop = school(&stack).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let technician = shop.technicians[0].as_str();
    let room = classroom(&owner, &shop).await;
    let taken = shop.book(&member, Some(technician), &at(8, "15:30")).await.expect(201);
    let mut body = sessions(&shop, &[at(1, "15:00"), at(2, "23:00")], 6);
    body["weeks"] = 3.into();
    body["room_id"] = room.as_str().into();
    let refused = create(&stack, body.clone()).await.expect(409);
    assert_eq!(refused.code(), "session_conflicts");
    let conflicts = refused.body["conflicts"].as_array().expect("conflicts");
    let told: Vec<_> = conflicts
        .iter()
        .map(|one| {
            (one["start_at"].as_str().unwrap_or_default(), one["code"].as_str().unwrap_or_default())
        })
        .collect();
    let expected = [
        (at(2, "23:00"), "outside_hours"),
        (at(8, "15:00"), "slot_taken"),
        (at(9, "23:00"), "outside_hours"),
        (at(16, "23:00"), "outside_hours"),
    ];
    assert_eq!(
        told,
        expected.each_ref().map(|(at, code)| (at.as_str(), *code)),
        "{}",
        refused.body
    );
    let path =
        format!("/api/v1/sessions?store_id={}&from={}&days=31", shop.store, &at(0, "00:00")[..10]);
    assert_eq!(stack.api().get(&path).await.expect(200).body["items"], json!([]));
    cancel(&member, &taken).await;
    body["starts"] = json!([at(1, "15:00")]);
    let made = eventually("a free technician", SOON, async || {
        let made = create(&stack, body.clone()).await;
        (made.status == 201).then_some(made)
    })
    .await;
    assert_eq!(made.body["sessions"].as_array().map(Vec::len), Some(3));
    let listed = stack.api().get(&path).await.expect(200);
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(3));
    assert_eq!(listed.text("/items/0/room/id"), room);
    // Its technician and its room are taken, and nobody but a class can have the room.
    let start = at(1, "15:00");
    assert_eq!(shop.book(&member, Some(technician), &start).await.expect(409).code(), "slot_taken");
    let mut other = sessions(&shop, std::slice::from_ref(&start), 2);
    other["technician_id"] = shop.technicians[1].as_str().into();
    other["room_id"] = room.as_str().into();
    let refused = create(&stack, other.clone()).await.expect(409);
    assert_eq!(refused.text("/conflicts/0/taken"), "room", "{}", refused.body);
    other["capacity"] = 9.into();
    assert_eq!(create(&stack, other.clone()).await.expect(422).code(), "seats_over_capacity");
    for (field, value, code) in [
        ("weeks", json!(0), "out_of_range"),
        ("weeks", json!(100), "out_of_range"),
        ("capacity", json!(0), "out_of_range"),
        ("starts", json!([]), "out_of_range"),
        ("room_id", json!("0".repeat(32)), "unknown_resource"),
    ] {
        let mut bad = body.clone();
        bad[field] = value;
        assert_eq!(create(&stack, bad).await.expect(422).code(), code, "{field}");
    }
    let mut many = body.clone();
    (many["weeks"], many["starts"]) = (99.into(), json!([at(1, "10:00"), at(1, "11:00")]));
    assert_eq!(create(&stack, many).await.expect(422).code(), "too_many_items");
}

#[tokio::test]
async fn seats_are_never_fewer_than_booked_and_move_to_another_class() {
    let stack = Stack::shared().await;
    let shop = school(&stack).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let mut body = sessions(&shop, &[at(1, "15:00")], 6);
    body["weeks"] = 3.into();
    body["room_id"] = classroom(&owner, &shop).await.into();
    let made = create(&stack, body).await.expect(201);
    let ids: Vec<_> =
        (0..3).map(|number| made.text(&format!("/sessions/{number}/id")).to_owned()).collect();
    assert_eq!(book(&member, &ids[0], 7).await.expect(422).code(), "seats_over_capacity");
    assert_eq!(book(&member, &ids[0], 0).await.expect(422).code(), "out_of_range");
    let booked = book(&member, &ids[0], 5).await.expect(201);
    assert_eq!(booked.body["order"]["total_fen"], 5 * 19_800);
    assert_eq!(seats_left(&stack, &ids[0]).await, 1);
    let resize = async |capacity: u32, version: u32| {
        let path = format!("/api/v1/admin/sessions/{}", ids[0]);
        owner.put(path, json!({"capacity": capacity, "version": version})).await
    };
    assert_eq!(resize(4, 1).await.expect(409).code(), "seats_booked");
    assert_eq!(resize(9, 1).await.expect(422).code(), "seats_over_capacity");
    resize(5, 1).await.check(200);
    assert_eq!(resize(6, 1).await.expect(409).code(), "session_changed");
    assert_eq!(book(&member, &ids[0], 1).await.expect(409).code(), "session_full");

    // Another class instead, and no appointment.
    let line = booked.text("/order/lines/0/id");
    let order = format!("/api/v1/orders/{}", booked.text("/order/id"));
    let body = json!({"line_id": line, "start_at": at(1, "17:00")});
    let refused = member.post(format!("{order}/reschedule"), body).idempotent().await;
    assert_eq!((refused.status, refused.code()), (409, "moves_to_session"));
    let to = json!({"line_id": line, "session_id": ids[1]});
    let moved = member.post(format!("{order}/session"), to.clone()).idempotent().await.expect(200);
    assert_eq!(moved.text("/order/lines/0/session_id"), ids[1]);
    assert_eq!(ms(moved.text("/order/lines/0/start_at")), ms(&at(8, "15:00")));
    member.post(format!("{order}/session"), to).idempotent().await.check(200);
    let unknown = json!({"line_id": line, "session_id": "0".repeat(32)});
    let unknown = member.post(format!("{order}/session"), unknown).idempotent().await;
    assert_eq!((unknown.status, unknown.code()), (422, "unknown_session"));
    eventually("the seats given back", SOON, async || {
        (book(&member, &ids[0], 5).await.status == 201).then_some(())
    })
    .await;
    let free =
        member.post(format!("/api/v1/sessions/{}/waitlist", ids[1]), json!({"seats": 1})).await;
    assert_eq!((free.status, free.code()), (409, "places_free"));
    let mine = owner
        .get(format!(
            "/api/v1/staff/sessions?store_id={}&from={}&days=31",
            shop.store,
            &at(0, "00:00")[..10]
        ))
        .await
        .expect(200);
    assert_eq!(mine.body["items"][0]["booked"], 5);
}

#[tokio::test]
async fn who_waits_for_an_appointment_is_offered_what_is_given_up() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (member, waiting, late) =
        (stack.some_member().await, stack.some_member().await, stack.some_member().await);
    let booked = shop.book(&member, None, &at(1, "14:00")).await.expect(201);
    let wish = |from: &str, until: &str| json!({"store_id": shop.store, "service_id": shop.service, "from": from, "until": until});
    let refused = waiting.post("/api/v1/waitlist", wish(&at(1, "14:00"), &at(0, "14:00"))).await;
    assert_eq!((refused.status, refused.code()), (422, "invalid_range"));
    let mut paths = Vec::new();
    for one in [&waiting, &late] {
        let entry = one.post("/api/v1/waitlist", wish(&at(1, "13:30"), &at(1, "14:30"))).await;
        paths.push(format!("/api/v1/waitlist/{}", entry.expect(201).text("/id")));
    }
    stack.run_cron("* * * * *").await;
    assert_eq!(entry(&waiting, &paths[0]).await["status"], "waiting");
    cancel(&member, &booked).await;
    let offered = becomes(&waiting, &paths[0], "offered").await;
    assert_eq!(offered["offer"]["start_at"], at(1, "13:30"));
    assert_eq!(shop.book(&member, None, &at(1, "13:30")).await.expect(409).code(), "slot_taken");
    let taken = accept(&waiting, &paths[0]).await.expect(201);
    assert_eq!(taken.text("/order/lines/0/start_at"), at(1, "13:30"));
    stack.run_cron("* * * * *").await;
    // The next one starts when the first ends.
    let other = entry(&late, &paths[1]).await;
    assert_eq!(other["status"], "offered", "{other}");
    late.post(format!("{}/leave", paths[1]), json!({})).await.check(200);
    settled(&stack).await;
    eventually("no hold", SOON, async || {
        let held = stack.calendars("SELECT id FROM claim WHERE state = 'held'");
        held.iter().all(|(_, rows)| rows.is_empty()).then_some(())
    })
    .await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

fn technician_calendar(shop: &Shop) -> String {
    format!("technician:{}", shop.technicians[0])
}

#[tokio::test]
async fn a_class_whose_own_time_was_lost_does_not_take_place() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let start = at(1, "11:00");
    let class = class(&stack, &shop, &start, 5).await;
    let (member, waiting) = (stack.some_member().await, stack.some_member().await);
    let booked = book(&member, &class, 5).await.expect(201);
    let path = wait(&waiting, &class, 1).await;
    settled(&stack).await;
    // As if its confirm had not come in time, and somebody else had had the technician.
    stack.kill_worker();
    let claim = stack.it(&format!(
        "SELECT claim_id AS it FROM session_claim WHERE session_id = '{class}'
            AND calendar LIKE 'technician:%'"
    ));
    let gone = format!("DELETE FROM claim WHERE id = '{}'", claim.as_str().expect("a claim"));
    stack.write_calendar(&technician_calendar(&shop), &gone);
    stack.write_d1("UPDATE session SET updated_at = updated_at - 600000");
    stack.restart_worker().await;
    let other = shop.book(&stack.some_member().await, Some(&shop.technicians[0]), &start).await;
    other.check(201);
    let order = format!("/api/v1/orders/{}", booked.text("/order/id"));
    eventually("the class is given up", SOON, async || {
        let _ = stack.run_cron("*/5 * * * *").await;
        let _ = stack.run_cron("* * * * *").await;
        let seen = member.get(&order).await.expect(200);
        (seen.body["order"]["status"] == "cancelled").then_some(())
    })
    .await;
    assert_eq!(book(&member, &class, 1).await.expect(409).code(), "session_cancelled");
    assert_eq!(entry(&waiting, &path).await["status"], "expired");
    settled(&stack).await;
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (0, 0));
    let audit = Audit::of(&stack, &[(&shop, Hours::Day)]);
    assert_eq!(audit.off, Vec::<String>::new());
}

#[tokio::test]
async fn money_that_comes_late_for_a_class_that_was_given_up_goes_back() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let owner = stack.owner().await;
    let class = class(&stack, &shop, &at(1, "15:00"), 9).await;
    let vendors = stack.vendors();
    let mut orders = Vec::new();
    for channel in ["wechat_jsapi", "wechat_jsapi", "alipay_qr"] {
        let member = stack.some_member().await;
        let body = json!({"seats": 2, "payment": "online"});
        let path = format!("/api/v1/sessions/{class}/bookings");
        let booked = member.post(&path, body).idempotent().await.expect(201);
        let order = booked.text("/order/id").to_owned();
        let body = json!({"channel": channel});
        let pay = format!("/api/v1/orders/{order}/pay");
        let number = member.post(pay, body).idempotent().await.expect(200);
        orders.push((member, order, number.text("/payment/id").to_owned()));
    }
    // One was paid when nobody told us; one pays what is being closed; one, whose hold had ended before.
    let how = Pay { notify: Notify::Never, ..Pay::default() };
    vendors.pay_as(&orders[0].2, &how).await.check(200);
    let past = zhundian_tests::now_ms() - 1_000;
    stack.kill_worker();
    stack.write_d1(&format!(
        "UPDATE orders SET hold_expires_at = {past} WHERE id = '{}';
         UPDATE payment SET expires_at = {past} - 60000 WHERE id = '{}'",
        orders[2].1, orders[2].2
    ));
    let ended = format!("UPDATE claim SET expires_at = {past} WHERE state = 'held'");
    stack.write_calendar(&format!("session:{class}"), &ended);
    stack.restart_worker().await;
    let see = async |at: usize| {
        let (member, order, _) = &orders[at];
        member.get(format!("/api/v1/orders/{order}")).await.expect(200).body["order"].clone()
    };
    eventually("the third is closed", SOON, async || {
        let _ = stack.run_cron("* * * * *").await;
        (see(2).await["status"] == "closed").then_some(())
    })
    .await;
    let give_up = format!("/api/v1/admin/sessions/{class}/cancel");
    owner.post(give_up, json!({"version": 1})).await.check(200);
    let _ = vendors.pay_as(&orders[1].2, &Pay::default()).await;
    // A code that was scanned in time can be paid after all.
    vendors.pay_as(&orders[2].2, &Pay::default()).await.check(200);
    stack.change_d1("UPDATE payment SET check_at = 0 WHERE status = 'pending'").await;
    eventually("everything is back", Duration::from_mins(1), async || {
        let _ = stack.run_cron("* * * * *").await;
        for (at, (_, _, number)) in orders.iter().enumerate() {
            let payment = vendors.payment(number).await.expect("ordered");
            let paid = matches!(payment.state.as_str(), "SUCCESS" | "REFUND" | "TRADE_SUCCESS")
                || payment.refunded() > 0;
            let order = see(at).await;
            let ended = order["status"] == "cancelled" || order["status"] == "closed";
            if !ended || order["paid_fen"] != 0 || (paid && payment.refunded() != 2 * 19_800) {
                return None;
            }
        }
        Some(())
    })
    .await;
    eventually("nothing is left to do", SOON, async || {
        let _ = stack.run_cron("* * * * *").await;
        (stack.it("SELECT count(*) AS it FROM outbox") == 0).then_some(())
    })
    .await;
    for at in [0, 2] {
        let payment = vendors.payment(&orders[at].2).await.expect("ordered");
        assert_eq!(payment.refunded(), 2 * 19_800, "{at}");
    }
    assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (0, 0));
}

#[tokio::test]
async fn a_worker_that_dies_while_a_class_is_given_up_leaves_nobody_in_it() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let owner = stack.owner().await;
    for (turn, pause) in [5, 60, 250].into_iter().enumerate() {
        let start = at(i64::try_from(turn).expect("a small number") + 1, "13:00");
        let class = class(&stack, &shop, &start, 60).await;
        let path = format!("/api/v1/staff/sessions/{class}/bookings");
        let all = (0..45).map(|number| {
            let body = json!({"seats": 1, "contact_name": format!("客人 {number}")});
            owner.post(&path, body).idempotent()
        });
        assert_eq!(count(&at_once(all).await, 201), 45);
        let give_up = format!("/api/v1/admin/sessions/{class}/cancel");
        let call = tokio::spawn(owner.post(&give_up, json!({"version": 1})).attempt());
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stack.kill_worker();
        let _ = call.await;
        // What the dead one had leased is free again after its lease.
        stack.write_d1("UPDATE outbox SET lease_until = 0, due_at = 0");
        stack.restart_worker().await;
        // Said again it is as it was, or done now.
        owner.post(&give_up, json!({"version": 1})).await.check(200);
        let left = format!(
            "SELECT (SELECT count(*) FROM order_line WHERE session_id = '{class}' AND status = 'live')
                + (SELECT count(*) FROM session_claim WHERE session_id = '{class}' AND status = 'live')
                + (SELECT count(*) FROM outbox) AS it"
        );
        eventually("nobody is left", Duration::from_mins(1), async || {
            let _ = stack.run_cron("* * * * *").await;
            (stack.it(&left) == 0).then_some(())
        })
        .await;
        assert_eq!((units(&stack, &class, "confirmed"), units(&stack, &class, "held")), (0, 0));
        let cancelled = format!(
            "SELECT count(*) AS it FROM order_event e JOIN order_line l ON l.order_id = e.order_id
                WHERE l.session_id = '{class}' AND e.kind = 'cancelled'"
        );
        assert_eq!(stack.it(&cancelled), 45);
    }
    // What the dead ones could not write of free times, the audit has written.
    let _ = stack.run_cron("*/5 * * * *").await;
    assert_eq!(Audit::of(&stack, &[(&shop, Hours::Day)]).off, Vec::<String>::new());
}

#[tokio::test]
async fn ninety_nine_classes_are_made_at_once_or_none() {
    let stack = Stack::start().await;
    let shop = school(&stack).await;
    let owner = stack.owner().await;
    let clocks = ["10:00", "11:10", "12:20", "13:30", "14:40", "15:50", "17:00", "18:10", "19:20"];
    let starts: Vec<_> = clocks.iter().map(|clock| at(1, clock)).collect();
    let mut body = sessions(&shop, &starts, 8);
    body["weeks"] = 11.into();
    body["room_id"] = classroom(&owner, &shop).await.into();
    // Killed somewhere on the way, the same request makes them once.
    let call = owner.post("/api/v1/admin/sessions", body.clone()).key("the-winter-timetable");
    let first = tokio::spawn(call.clone().attempt());
    tokio::time::sleep(Duration::from_millis(250)).await;
    stack.kill_worker();
    let _ = first.await;
    stack.restart_worker().await;
    let begun = std::time::Instant::now();
    let made = call.await.expect(201);
    println!("99 classes with a room: {} ms", begun.elapsed().as_millis());
    assert_eq!(made.body["sessions"].as_array().map(Vec::len), Some(99));
    assert_eq!(stack.it("SELECT count(*) AS it FROM session"), 99);
    eventually("all of them stand", Duration::from_mins(1), async || {
        let _ = stack.run_cron("* * * * *").await;
        (stack.it("SELECT count(*) AS it FROM outbox") == 0).then_some(())
    })
    .await;
    let confirmed = |name: &str| {
        let sql = "SELECT count(*) AS it FROM claim WHERE state = 'confirmed'";
        let found = stack.calendars(sql).into_iter().find(|(calendar, _)| calendar == name);
        found.map_or(0, |(_, rows)| rows[0]["it"].as_i64().expect("a number"))
    };
    assert_eq!(confirmed(&technician_calendar(&shop)), 99);
    let room = format!("room:{}", body["room_id"].as_str().expect("an id"));
    assert_eq!(confirmed(&room), 99);
    // One that meets any of them: none.
    let mut other = body;
    other["starts"] = json!([at(1, "20:30"), at(1, "19:30")]);
    let refused = create(&stack, other).await.expect(409);
    assert_eq!(refused.body["conflicts"].as_array().map(Vec::len), Some(11));
    assert_eq!(stack.it("SELECT count(*) AS it FROM session"), 99);
    let book = stack.some_member().await;
    book.post(format!("/api/v1/sessions/{}/bookings", made.text("/sessions/98/id")), seats(1))
        .idempotent()
        .await
        .check(201);
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}
