//! Rooms, equipment, a store's capacity and processing time, taken together with the technician.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::at;
use zhundian_tests::world::date;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, at_once, eventually};

const SOON: Duration = Duration::from_secs(15);

/// A shop whose service takes a room of a type, with so many of them.
async fn shop_with_rooms(stack: &Stack, technicians: usize, rooms: usize) -> (Shop, Vec<String>) {
    let service = json!({"resources": [{"type": "护理房"}]});
    let shop = stack.shop_with(technicians, Hours::Day, service).await;
    let mut ids = Vec::new();
    for number in 1..=rooms {
        ids.push(room(stack, &shop, &format!("{number} 号房")).await);
    }
    (shop, ids)
}

async fn room(stack: &Stack, shop: &Shop, name: &str) -> String {
    let body = json!({"store_id": shop.store, "kind": "room", "type": "护理房", "name": name});
    let owner = stack.owner().await;
    owner.post("/api/v1/admin/resources", body).await.expect(201).text("/id").to_owned()
}

fn room_of(reply: &Reply) -> &str {
    reply.text("/order/lines/0/resources/0/id")
}

async fn is_offered(shop: &Shop, api: &Api, start: &str) -> bool {
    shop.slots(api, None, &start[..10], 1).await.iter().any(|slot| slot.start_at == start)
}

async fn becomes_offered(shop: &Shop, api: &Api, start: &str, expected: bool) {
    eventually(&format!("{start} offered: {expected}"), SOON, async || {
        (is_offered(shop, api, start).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_room_is_taken_with_the_technician_and_given_back_with_them() {
    let stack = Stack::shared().await;
    let (shop, rooms) = shop_with_rooms(&stack, 3, 2).await;
    let (member, start) = (stack.some_member().await, at(1, "11:00"));
    assert!(is_offered(&shop, &member, &start).await);
    let first = shop.book(&member, None, &start).await.expect(201);
    let second = shop.book(&member, None, &start).await.expect(201);
    assert_ne!(room_of(&first), room_of(&second));
    assert!(rooms.iter().any(|room| room == room_of(&first)), "{}", first.body);
    // A third technician is free, and no room is.
    assert!(!is_offered(&shop, &member, &start).await);
    let third = shop.book(&member, None, &start).await.expect(409);
    assert_eq!(third.code(), "slot_taken");
    let instead = third.text("/alternatives/0/start_at").to_owned();

    // Moved within its own hour it keeps its room; moved to where there are two, it has one of them.
    let line = second.text("/order/lines/0/id");
    let path = format!("/api/v1/orders/{}/reschedule", second.text("/order/id"));
    let to = |start: &str| json!({"line_id": line, "start_at": start});
    let moved = member.post(&path, to(&at(1, "11:30"))).idempotent().await.expect(200);
    assert_eq!(room_of(&moved), room_of(&second));
    let moved = member.post(&path, to(&instead)).idempotent().await.expect(200);
    assert_eq!(moved.text("/order/lines/0/start_at"), instead);
    becomes_offered(&shop, &member, &start, true).await;

    let path = format!("/api/v1/orders/{}/cancel", first.text("/order/id"));
    member.post(path, json!({})).await.check(200);
    let again = shop.book(&member, None, &start).await.expect(201);
    let detail =
        member.get(format!("/api/v1/orders/{}", again.text("/order/id"))).await.expect(200);
    assert_eq!(detail.body["order"]["lines"], again.body["order"]["lines"]);
}

#[tokio::test]
async fn of_many_who_want_technician_and_room_nobody_gets_half() {
    let stack = Stack::start().await;
    let (shop, _) = shop_with_rooms(&stack, 4, 2).await;
    let mut members = Vec::new();
    for _ in 0..16 {
        members.push(stack.some_member().await);
    }
    for (round, clock) in ["10:00", "12:00", "14:00", "16:00"].into_iter().enumerate() {
        let start = at(1, clock);
        let named = round % 2 == 0;
        let calls = members.iter().enumerate().map(|(number, member)| {
            let who = named.then(|| shop.technicians[number % 2].as_str());
            let body = shop.booking(who, &start);
            member.post("/api/v1/bookings", body).idempotent()
        });
        let replies = at_once(calls).await;
        let won: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert!((1..=2).contains(&won.len()), "{} winners", won.len());
        for lost in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((lost.status, lost.code()), (409, "slot_taken"), "{}", lost.body);
        }
        if let [one, other] = won[..] {
            assert_ne!(room_of(one), room_of(other));
        }
    }
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

/// Waits until no hold of a loser is left and the outbox is empty.
async fn settled(stack: &Stack) {
    eventually("an empty outbox and no holds", Duration::from_secs(30), async || {
        stack.is_settled().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_has_room_for_so_many_at_once() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(4, Hours::Day, json!({})).await;
    let owner = stack.owner().await;
    set_capacity(&owner, &shop, json!(2)).await;
    let (member, start) = (stack.some_member().await, at(2, "15:00"));
    for _ in 0..2 {
        shop.book(&member, None, &start).await.check(201);
    }
    assert!(!is_offered(&shop, &member, &start).await);
    assert_eq!(shop.book(&member, None, &start).await.expect(409).code(), "slot_taken");
    set_capacity(&owner, &shop, Value::Null).await;
    assert!(is_offered(&shop, &member, &start).await);
    shop.book(&member, None, &start).await.check(201);
}

async fn set_capacity(owner: &Api, shop: &Shop, capacity: Value) {
    let path = format!("/api/v1/admin/stores/{}", shop.store);
    let mut store = owner.get(&path).await.expect(200).body;
    store["capacity"] = capacity;
    store.as_object_mut().expect("a store").remove("id");
    owner.put(&path, store).await.check(200);
}

#[tokio::test]
async fn while_a_treatment_works_by_itself_its_technician_serves_somebody_else() {
    let stack = Stack::shared().await;
    let service = json!({
        "duration_minutes": 120, "processing": {"after_minutes": 30, "minutes": 60},
    });
    let shop = stack.shop_with(1, Hours::Day, service).await;
    let owner = stack.owner().await;
    let short = json!({
        "category": "推拿", "name": "剪发", "duration_minutes": 60, "price_fen": 8_800,
        "deposit": {"kind": "none"}, "places": ["store"], "modes": ["direct"],
        "min_notice_minutes": 0, "change_notice_minutes": 0, "stores": [shop.store],
    });
    let short =
        owner.post("/api/v1/admin/services", short).await.expect(201).text("/id").to_owned();
    let member = stack.some_member().await;
    let colour = shop.book(&member, None, &at(1, "12:00")).await.expect(201);
    assert_eq!(colour.text("/order/lines/0/end_at"), at(1, "14:00"));
    let between = Shop { service: short, ..shop.clone() };
    let slots = between.slots(&member, None, &date(1), 1).await;
    let clocks: Vec<&str> = slots.iter().map(|slot| &slot.start_at[11..16]).collect();
    assert!(clocks.contains(&"12:30"), "{clocks:?}");
    assert!(!clocks.contains(&"12:25") && !clocks.contains(&"12:35"), "{clocks:?}");
    between.book(&member, None, &at(1, "12:30")).await.check(201);
    assert_eq!(shop.book(&member, None, &at(1, "12:00")).await.expect(409).code(), "slot_taken");
    let path = format!("/api/v1/orders/{}/cancel", colour.text("/order/id"));
    member.post(path, json!({})).await.check(200);
    becomes_offered(&between, &member, &at(1, "13:30"), true).await;
}

#[tokio::test]
async fn what_a_service_takes_is_kept_in_order() {
    let stack = Stack::shared().await;
    let (shop, rooms) = shop_with_rooms(&stack, 1, 1).await;
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let current = owner.get(&path).await.expect(200).body;
    let put = async |field: &str, value: Value| {
        let mut body = current.clone();
        for gone in ["id", "status"] {
            body.as_object_mut().expect("a service").remove(gone);
        }
        body[field] = value;
        owner.put(&path, body).await
    };
    let twice = put("resources", json!([{"type": "房"}, {"type": "房"}])).await;
    assert_eq!((twice.status, twice.code()), (422, "duplicate_item"), "{}", twice.body);
    let unknown = json!([{"type": "护理房", "resource_id": "0".repeat(32)}]);
    assert_eq!(put("resources", unknown).await.expect(422).code(), "unknown_resource");
    let late = json!({"after_minutes": 30, "minutes": 30});
    assert_eq!(put("processing", late).await.expect(422).code(), "out_of_range");

    let path = format!("/api/v1/admin/resources/{}", rooms[0]);
    let mut room = owner.get(&path).await.expect(200).body;
    for gone in ["id", "status"] {
        room.as_object_mut().expect("a room").remove(gone);
    }
    room["type"] = "茶室".into();
    assert_eq!(owner.put(&path, room.clone()).await.expect(409).code(), "field_fixed");
    // Not while somebody has booked it.
    let member = stack.some_member().await;
    let booked = shop.book(&member, None, &at(1, "11:00")).await.expect(201);
    let retire = format!("{path}/retire");
    let body = json!({"version": room["version"]});
    let refused = owner.post(&retire, body.clone()).await.expect(409);
    assert_eq!(refused.code(), "has_appointments");
    assert_eq!(refused.text("/appointments/0/order_id"), booked.text("/order/id"));
    let cancel = format!("/api/v1/orders/{}/cancel", booked.text("/order/id"));
    member.post(cancel, json!({})).await.check(200);
    owner.post(&retire, body).await.check(200);
    assert!(!is_offered(&shop, &member, &at(1, "11:00")).await);
}

#[tokio::test]
async fn staff_block_a_room_and_whatever_it_has_room_for() {
    let stack = Stack::start().await;
    let (shop, rooms) = shop_with_rooms(&stack, 3, 1).await;
    let (owner, member, start) = (stack.owner().await, stack.some_member().await, at(1, "11:00"));
    // A room for three: one block takes all of it.
    let path = format!("/api/v1/admin/resources/{}", rooms[0]);
    let mut room = owner.get(&path).await.expect(200).body;
    room["capacity"] = 3.into();
    for field in ["id", "status"] {
        room.as_object_mut().expect("a room").remove(field);
    }
    owner.put(&path, room).await.check(200);
    let block = async |resource: &str, from: &str, until: &str| {
        let path = format!("/api/v1/staff/resources/{resource}/blocks");
        let body = json!({"store_id": shop.store, "start_at": from, "end_at": until,
            "reason": "换地板"});
        owner.post(path, body).idempotent().await
    };
    let blocked = block(&rooms[0], &start, &at(1, "13:00")).await.expect(201);
    assert_eq!(
        (blocked.text("/resource_id"), &blocked.body["technician_id"]),
        (&*rooms[0], &Value::Null)
    );
    becomes_offered(&shop, &member, &start, false).await;
    shop.book(&member, None, &at(1, "12:30")).await.refused(409, "slot_taken");
    block(&rooms[0], &at(1, "12:00"), &at(1, "14:00")).await.refused(409, "slot_taken");
    // Over an appointment it is refused, however much is left.
    shop.book(&member, None, &at(1, "15:00")).await.check(201);
    block(&rooms[0], &at(1, "15:30"), &at(1, "17:00")).await.refused(409, "slot_taken");
    block(&"0".repeat(32), &start, &at(1, "13:00")).await.refused(404, "not_found");
    // The day shows it, and a technician's own does not.
    let day = async |more: &str| {
        let path = format!(
            "/api/v1/staff/appointments?store_id={}&from={}&status=blocked{more}",
            shop.store,
            date(1)
        );
        owner.get(path).await.expect(200).body["items"].take()
    };
    let items = day("").await;
    assert_eq!(items.as_array().map(Vec::len), Some(1), "{items}");
    assert_eq!((&items[0]["kind"], &items[0]["note"]), (&json!("block"), &json!("换地板")));
    assert_eq!(items[0]["resource"], json!({"id": rooms[0], "name": "1 号房"}));
    assert_eq!(items[0]["technician_id"], Value::Null);
    assert_eq!(day(&format!("&technician_id={}", shop.technicians[0])).await, json!([]));
    settled(&stack).await;
    let _ = stack.run_cron("*/5 * * * *").await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
    stack.restart_worker().await;
    // Gone, it is free again; and so is a technician's, of one who serves three.
    let path = format!("/api/v1/staff/blocks/{}", blocked.text("/id"));
    for _ in 0..2 {
        owner.call(http::Method::DELETE, &path).await.check(204);
    }
    becomes_offered(&shop, &member, &start, true).await;
    shop.book(&member, None, &start).await.check(201);
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}
