//! Visits at the customer's home: what cannot be reached in time is neither offered nor accepted.

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::at;
use zhundian_tests::world::date;
use zhundian_tests::{Api, Dice, Hours, Reply, Shop, Stack, at_once, eventually};

/// The store of the shops; a degree of latitude is 111,195 metres.
const STORE: (f64, f64) = (31.2235, 121.446);
const DEGREE_M: f64 = 111_195.0;

/// So many metres north of the store.
fn north(metres: f64) -> (f64, f64) {
    (STORE.0 + metres / DEGREE_M, STORE.1)
}

fn serving() -> Value {
    json!({
        "area": {"kind": "radius", "metres": 20_000},
        "fees": [{"up_to_metres": 3_000, "fee_fen": 0}, {"up_to_metres": 10_000, "fee_fen": 2_000},
            {"up_to_metres": 30_000, "fee_fen": 5_000}],
        "speeds": [{"up_to_metres": 50_000, "metres_per_minute": 250}],
        "handover_minutes": 5,
    })
}

async fn put_store(owner: &Api, shop: &Shop, home_service: Value) -> Reply {
    let path = format!("/api/v1/admin/stores/{}", shop.store);
    let mut store = owner.get(&path).await.expect(200).body;
    store["home_service"] = home_service;
    (store["latitude"], store["longitude"]) = (STORE.0.into(), STORE.1.into());
    store.as_object_mut().expect("a store").remove("id");
    owner.put(&path, store).await
}

/// A shop whose service takes an hour, in the store or at home.
async fn shop_at_home(stack: &Stack, technicians: usize) -> Shop {
    let places = json!({"places": ["store", "home"]});
    let shop = stack.shop_with(technicians, Hours::Day, places).await;
    put_store(&stack.owner().await, &shop, serving()).await.check(200);
    shop
}

async fn address(member: &Api, (latitude, longitude): (f64, f64)) -> String {
    let body = json!({"label": "家", "contact_name": "林女士", "contact_phone": "13900001111",
        "text": "江宁路 1 号", "latitude": latitude, "longitude": longitude});
    member.post("/api/v1/me/addresses", body).await.expect(201).text("/id").to_owned()
}

async fn availability(shop: &Shop, api: &Api, home: (f64, f64), day: i64) -> Reply {
    let path = format!(
        "/api/v1/availability?store_id={}&service_id={}&from={}&days=1&place=home&latitude={}&longitude={}",
        shop.store,
        shop.service,
        date(day),
        home.0,
        home.1
    );
    api.get(path).await
}

/// The starts offered on a day, `10:25` and so on.
async fn offered(shop: &Shop, api: &Api, home: (f64, f64), day: i64) -> Vec<String> {
    let reply = availability(shop, api, home, day).await.expect(200);
    let slots = reply.body["days"][0]["slots"].as_array().expect("slots");
    slots
        .iter()
        .map(|slot| slot["start_at"].as_str().expect("a start")[11..16].to_owned())
        .collect()
}

fn body(shop: &Shop, address: &str, start: &str) -> Value {
    let mut body = shop.booking(None, start);
    (body["place"], body["address_id"]) = ("home".into(), address.into());
    body
}

async fn book(shop: &Shop, member: &Api, address: &str, start: &str) -> Reply {
    member.post("/api/v1/bookings", body(shop, address, start)).idempotent().await
}

#[tokio::test]
async fn a_day_at_home_leaves_time_for_every_way() {
    let stack = Stack::shared().await;
    let shop = shop_at_home(&stack, 1).await;
    let member = stack.some_member().await;
    let (a, b, c) = (north(4_900.0), north(9_800.0), north(-4_900.0));
    let (at_a, at_b, at_c) =
        (address(&member, a).await, address(&member, b).await, address(&member, c).await);

    // From the store at ten and back there by ten: 25 minutes each way.
    let starts = offered(&shop, &member, a, 1).await;
    assert_eq!(starts.first().map(String::as_str), Some("10:25"));
    assert_eq!(starts.last().map(String::as_str), Some("20:35"));
    book(&shop, &member, &at_a, &at(1, "10:20")).await.refused(422, "outside_hours");
    let first = book(&shop, &member, &at_a, &at(1, "10:25")).await.expect(201);
    assert_eq!(first.body["order"]["total_fen"], 21_800);
    let travel = json!({"kind": "travel", "fen": 2_000});
    assert!(first.body["order"]["price"].as_array().expect("parts").contains(&travel));
    let reply = availability(&shop, &member, a, 1).await.expect(200);
    assert_eq!(reply.body["travel"], json!({"distance_metres": 4_901, "fee_fen": 2_000}));

    // 25 minutes further on; who cannot be there is neither offered nor accepted.
    assert_eq!(offered(&shop, &member, b, 1).await.first().map(String::as_str), Some("11:50"));
    let late = book(&shop, &member, &at_b, &at(1, "11:45")).await;
    late.refused(409, "slot_taken");
    assert_eq!(late.text("/alternatives/0/start_at"), at(1, "11:50"));
    let second = book(&shop, &member, &at_b, &at(1, "11:50")).await.expect(201);
    // And 65 back to the other side of the town.
    book(&shop, &member, &at_c, &at(1, "13:50")).await.refused(409, "slot_taken");
    let third = book(&shop, &member, &at_c, &at(1, "13:55")).await.expect(201);

    // The store is a place as well.
    let in_store = shop.slots(&member, None, &date(1), 1).await;
    assert_eq!(in_store.first().map(|slot| slot.start_at.clone()), Some(at(1, "15:20")));
    shop.book(&member, None, &at(1, "15:15")).await.refused(409, "slot_taken");
    shop.book(&member, None, &at(1, "15:20")).await.check(201);
    assert_eq!(offered(&shop, &member, a, 1).await.first().map(String::as_str), Some("16:45"));

    // A move leaves time as well, and costs what it did.
    let path = format!("/api/v1/orders/{}/reschedule", third.text("/order/id"));
    let to = |start: &str| json!({"line_id": third.text("/order/lines/0/id"), "start_at": start});
    let moved = member.post(&path, to(&at(1, "16:40"))).idempotent().await;
    moved.refused(409, "slot_taken");
    let moved = member.post(&path, to(&at(1, "16:45"))).idempotent().await.expect(200);
    assert_eq!(moved.body["order"]["total_fen"], 21_800);
    assert_eq!(moved.body["order"]["address"]["text"], "江宁路 1 号");

    // What is given up gives its ways back.
    let path = format!("/api/v1/orders/{}/cancel", second.text("/order/id"));
    member.post(path, json!({})).await.check(200);
    eventually("the place in between is free", std::time::Duration::from_secs(15), async || {
        let starts = offered(&shop, &member, b, 1).await;
        (starts.first().map(String::as_str) == Some("11:50")).then_some(())
    })
    .await;

    // Who goes there knows where; what the member changes later changes no order.
    let path = format!("/api/v1/me/addresses/{at_a}");
    member.patch(&path, json!({"text": "搬走了", "label": null})).await.check(200);
    let order = member.get(format!("/api/v1/orders/{}", first.text("/order/id"))).await.expect(200);
    assert_eq!(order.body["order"]["address"]["text"], "江宁路 1 号");
    member.delete(&path).await.check(204);
    let path =
        format!("/api/v1/staff/appointments?store_id={}&from={}&days=1", shop.store, date(1));
    let day = stack.owner().await.get(path).await.expect(200);
    assert_eq!(day.body["items"][0]["address"]["text"], "江宁路 1 号");
}

#[tokio::test]
async fn a_technician_sets_out_from_where_they_live() {
    let stack = Stack::shared().await;
    let shop = shop_at_home(&stack, 1).await;
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/technicians/{}", shop.technicians[0]);
    let mut technician = owner.get(&path).await.expect(200).body;
    let home = north(9_800.0);
    technician["start_point"] = json!({"latitude": home.0, "longitude": home.1});
    for field in ["id", "status"] {
        technician.as_object_mut().expect("a technician").remove(field);
    }
    owner.put(&path, technician).await.check(200);
    let near = offered(&shop, &owner, north(9_800.0), 1).await;
    assert_eq!(near.first().map(String::as_str), Some("10:00"));
    let far = offered(&shop, &owner, north(-4_900.0), 1).await;
    assert_eq!(far.first().map(String::as_str), Some("11:05"));
    // Staff book for a caller, at an address that nobody has kept.
    let (latitude, longitude) = north(9_800.0);
    let body = json!({"store_id": shop.store, "service_id": shop.service, "start_at": at(1, "10:00"),
        "contact_name": "张先生", "contact_phone": "13900002222", "place": "home",
        "address": {"text": "大宁路 2 号", "latitude": latitude, "longitude": longitude}});
    let booked = owner.post("/api/v1/staff/bookings", body).idempotent().await.expect(201);
    assert_eq!(booked.body["order"]["address"]["contact_name"], "张先生");
    assert_eq!(booked.body["order"]["total_fen"], 21_800);
}

#[tokio::test]
async fn what_is_not_served_is_refused() {
    let stack = Stack::shared().await;
    let shop = shop_at_home(&stack, 1).await;
    let (owner, member) = (stack.owner().await, stack.some_member().await);
    let start = at(2, "12:00");

    // Beyond the area; beyond the last fee within it.
    let far = address(&member, north(25_000.0)).await;
    book(&shop, &member, &far, &start).await.refused(422, "address_outside_area");
    availability(&shop, &member, north(25_000.0), 2).await.refused(422, "address_outside_area");
    let mut narrow = serving();
    narrow["fees"] = json!([{"up_to_metres": 1_000, "fee_fen": 100}]);
    put_store(&owner, &shop, narrow).await.check(200);
    availability(&shop, &member, north(2_000.0), 2).await.refused(422, "address_outside_area");

    // A polygon, and ones that are none.
    let vertex =
        |(latitude, longitude): (f64, f64)| json!({"latitude": latitude, "longitude": longitude});
    let polygon = |corners: &[(f64, f64)]| {
        let mut home = serving();
        let vertices: Vec<Value> = corners.iter().copied().map(vertex).collect();
        home["area"] = json!({"kind": "polygon", "vertices": vertices});
        home
    };
    let square = [(31.2, 121.4), (31.3, 121.4), (31.3, 121.5), (31.2, 121.5)];
    let crossed = [square[0], square[2], square[1], square[3]];
    put_store(&owner, &shop, polygon(&crossed)).await.refused(422, "polygon_crosses");
    put_store(&owner, &shop, polygon(&square[..2])).await.refused(422, "out_of_range");
    let mut falling = serving();
    falling["fees"][1]["up_to_metres"] = 3_000.into();
    let refused = put_store(&owner, &shop, falling).await;
    refused.refused(422, "band_not_further");
    assert_eq!(refused.text("/fields/0/field"), "home_service.fees[1].up_to_metres");
    put_store(&owner, &shop, polygon(&square)).await.check(200);
    let kept = owner.get(format!("/api/v1/admin/stores/{}", shop.store)).await.expect(200);
    assert_eq!(kept.body["home_service"], polygon(&square));
    availability(&shop, &member, (31.25, 121.45), 2).await.check(200);
    availability(&shop, &member, (31.25, 121.51), 2).await.refused(422, "address_outside_area");

    // Addresses: one's own, said where it belongs.
    let other = stack.some_member().await;
    let theirs = address(&other, STORE).await;
    book(&shop, &member, &theirs, &start).await.refused(422, "unknown_address");
    let path = format!("/api/v1/me/addresses/{theirs}");
    member.patch(&path, json!({"text": "我的"})).await.refused(404, "not_found");
    member.delete(&path).await.refused(404, "not_found");
    other.patch(&path, json!({"latitude": 31.0})).await.refused(422, "missing_field");
    let mut asked = body(&shop, &theirs, &start);
    asked["place"] = "store".into();
    other.post("/api/v1/bookings", asked.clone()).idempotent().await.refused(422, "unknown_field");
    asked["place"] = "home".into();
    asked.as_object_mut().expect("a body").remove("address_id");
    other.post("/api/v1/bookings", asked).idempotent().await.refused(422, "missing_field");
    for _ in 1..20 {
        address(&other, STORE).await;
    }
    let one_more = json!({"contact_name": "林", "contact_phone": "13900001111", "text": "路",
        "latitude": 31.2, "longitude": 121.4});
    let refused = other.post("/api/v1/me/addresses", one_more).await;
    refused.refused(409, "too_many_addresses");
    let all = other.get("/api/v1/me/addresses").await.expect(200);
    assert_eq!(all.body["items"].as_array().map(Vec::len), Some(20));

    // A store that does not, a service that is not done at home.
    put_store(&owner, &shop, Value::Null).await.check(200);
    book(&shop, &other, &theirs, &start).await.refused(422, "place_not_offered");
    let plain = stack.shop(1, Hours::Day).await;
    book(&plain, &other, &theirs, &start).await.refused(422, "place_not_offered");
    availability(&plain, &other, STORE, 2).await.refused(422, "place_not_offered");
}

#[tokio::test]
async fn of_many_who_want_places_between_nobody_gets_one_out_of_reach() {
    let stack = Stack::start().await;
    let shop = shop_at_home(&stack, 2).await;
    let mut clients = Vec::new();
    for number in 0..16 {
        let member = stack.some_member().await;
        let home = north(f64::from(number % 5) * 3_700.0 - 7_400.0);
        let address = address(&member, home).await;
        clients.push((member, home, address));
    }
    let mut dice = Dice(7);
    let mut won = 0;
    for round in 0..6 {
        let day = if round < 3 { 1 } else { 2 };
        let calls: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(number, (member, _, address))| {
                let tick = dice.below(8 * 12);
                let start = at(day, &format!("{:02}:{:02}", 11 + tick / 12, tick % 12 * 5));
                // One in four comes to the store.
                let body = if number % 4 == 3 {
                    shop.booking(None, &start)
                } else {
                    body(&shop, address, &start)
                };
                member.post("/api/v1/bookings", body).idempotent()
            })
            .collect();
        let replies = at_once(calls).await;
        for lost in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((lost.status, lost.code()), (409, "slot_taken"), "{}", lost.body);
        }
        won += replies.iter().filter(|reply| reply.status == 201).count();
        // What is offered now is accepted (I7).
        let (member, home, address) = &clients[round];
        let starts = offered(&shop, member, *home, day).await;
        if !starts.is_empty() {
            let start = &starts[dice.below(starts.len())];
            book(&shop, member, address, &at(day, start)).await.check(201);
        }
    }
    assert!(won >= 6, "{won} winners");
    eventually("an empty outbox and no holds", std::time::Duration::from_secs(30), async || {
        let held = stack.calendars("SELECT id FROM claim WHERE state = 'held'");
        let held: usize = held.iter().map(|(_, rows)| rows.len()).sum();
        (held == 0 && stack.it("SELECT count(*) AS it FROM outbox") == 0).then_some(())
    })
    .await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn a_plans_sessions_leave_time_for_the_ways_too() {
    let stack = Stack::start().await;
    stack.plans(true).await;
    let owner = stack.owner().await;
    let shop = shop_at_home(&stack, 1).await;
    let plan_service = json!({
        "category": "康复", "name": "疗程", "duration_minutes": 60, "price_fen": 10_000,
        "deposit": {"kind": "none"}, "places": ["store"], "modes": ["plan"], "stores": [shop.store],
    });
    let made = owner.post("/api/v1/admin/services", plan_service).await.expect(201);
    let member = stack.some_member().await;
    let id = member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
    // Forty minutes' way and five at the door, before and after.
    let far = address(&member, north(9_800.0)).await;
    book(&shop, &member, &far, &at(1, "13:00")).await.check(201);
    let plan = |clock: &str| {
        let body = json!({"store_id": shop.store, "service_id": made.text("/id"), "member_id": id,
            "technician_id": shop.technicians[0], "rhythm": "weekly", "starts": [at(1, clock)],
            "times": 2});
        owner.post("/api/v1/staff/plans", body).idempotent()
    };
    for clock in ["11:30", "14:10", "14:40"] {
        plan(clock).await.refused(409, "plan_conflicts");
    }
    for clock in ["11:00", "15:00"] {
        plan(clock).await.check(201);
    }
    eventually("nothing is on its way", std::time::Duration::from_secs(20), async || {
        (stack.it("SELECT count(*) AS it FROM outbox") == 0).then_some(())
    })
    .await;
    // What the plans' days say at D1 knows of the ways.
    let _ = stack.run_cron("*/5 * * * *").await;
    let audit = Audit::of(&stack, &[(&shop, Hours::Day)]);
    assert!(audit.off.is_empty() && audit.drift.is_empty(), "{:?} {:?}", audit.off, audit.drift);
}
