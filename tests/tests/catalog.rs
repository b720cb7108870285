//! The catalog: who may change what from which version, what customers find, when technicians work.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::api::percent_encoded;
use zhundian_tests::world::{date, some_phone, today};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, at_once, count, eventually, random};

const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\
    \xff\xdb\0\x04\0\0\xff\xff\xc0\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0";
const WEBP: &[u8] =
    b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";

/// The document of a PUT that changes nothing.
async fn document(owner: &Api, kind: &str, id: &str) -> Value {
    let mut row = owner.get(format!("/api/v1/admin/{kind}/{id}")).await.expect(200).body;
    let fields = row.as_object_mut().expect("a row");
    fields.remove("id");
    if kind != "stores" {
        fields.remove("status");
    }
    row
}

async fn put(owner: &Api, kind: &str, id: &str, change: Value) -> Reply {
    let mut body = document(owner, kind, id).await;
    for (field, value) in change.as_object().expect("fields") {
        body[field] = value.clone();
    }
    owner.put(format!("/api/v1/admin/{kind}/{id}"), body).await
}

async fn upload(api: &Api, bytes: impl Into<Vec<u8>>) -> Reply {
    let call = api.call(Method::POST, "/api/v1/admin/photos");
    call.body("application/octet-stream", bytes.into()).await
}

fn starts(slots: &[zhundian_tests::Slot]) -> Vec<&str> {
    slots.iter().map(|slot| &slot.start_at[11..16]).collect()
}

fn ids(reply: &Reply) -> Vec<&str> {
    let items = reply.body["items"].as_array().expect("items");
    items.iter().map(|item| item["id"].as_str().expect("an id")).collect()
}

/// What the log says of a request.
async fn logged(stack: &Stack, reply: &Reply, field: &str) -> i64 {
    let id = reply.header("x-request-id").to_owned();
    eventually("the log's line", Duration::from_secs(10), async || {
        let log = stack.worker_log();
        let line = log.lines().find(|line| line.contains(&id) && line.starts_with('{'))?;
        serde_json::from_str::<Value>(line).ok()?[field].as_i64()
    })
    .await
}

#[tokio::test]
async fn of_twenty_changes_from_one_version_one_is_made() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let shop = stack.shop(1, Hours::Day).await;
    for (kind, id) in [
        ("stores", &shop.store),
        ("services", &shop.service),
        ("technicians", &shop.technicians[0]),
    ] {
        let before = document(&owner, kind, id).await;
        let version = before["version"].as_i64().expect("a version");
        let calls = (0..20).map(|number| {
            let mut body = before.clone();
            body["name"] = format!("第 {number} 个").into();
            owner.put(format!("/api/v1/admin/{kind}/{id}"), body)
        });
        let replies = at_once(calls).await;
        assert_eq!((count(&replies, 200), count(&replies, 409)), (1, 19), "{kind}");
        let winner = replies.iter().find(|reply| reply.status == 200).expect("one");
        assert_eq!(winner.body["version"], version + 1);
        for loser in replies.iter().filter(|reply| reply.status != 200) {
            loser.refused(409, "stale_version");
            assert_eq!(loser.body["current"], winner.body, "{kind}");
        }
        let now = owner.get(format!("/api/v1/admin/{kind}/{id}")).await.expect(200);
        assert_eq!(now.body, winner.body);
        // And a retirement from the old version is as stale.
        let retire =
            owner.post(format!("/api/v1/admin/{kind}/{id}/retire"), json!({"version": version}));
        retire.await.refused(409, "stale_version");
    }
}

#[tokio::test]
async fn what_is_still_to_come_stands_in_the_way_of_retiring() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let shop = stack.shop(1, Hours::Day).await;
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let booked = shop.book(&member, None, &slots[0].start_at).await.expect(201);
    let order = booked.text("/order/id");

    let targets = [
        ("services", &shop.service),
        ("technicians", &shop.technicians[0]),
        ("stores", &shop.store),
    ];
    let retire = async |kind: &str, id: &str| {
        let version = document(&owner, kind, id).await["version"].clone();
        owner.post(format!("/api/v1/admin/{kind}/{id}/retire"), json!({"version": version})).await
    };
    for (kind, id) in targets {
        let reply = retire(kind, id).await;
        reply.refused(409, "has_appointments");
        assert_eq!(reply.body["appointments"].as_array().expect("a list").len(), 1, "{kind}");
        assert_eq!(reply.text("/appointments/0/order_id"), order);
        assert_eq!(reply.text("/appointments/0/start_at"), slots[0].start_at);
    }
    member.post(format!("/api/v1/orders/{order}/cancel"), json!({})).await.check(200);

    // Retired, it can be neither changed, found nor booked, and the order still speaks of it.
    let refused =
        [(422, "unknown_service"), (422, "technician_not_offered"), (422, "unknown_store")];
    let fresh = async || stack.shop(1, Hours::Day).await;
    for (index, (status, code)) in refused.into_iter().enumerate() {
        let other = fresh().await;
        let targets = [
            ("services", &other.service),
            ("technicians", &other.technicians[0]),
            ("stores", &other.store),
        ];
        let (kind, id) = targets[index];
        retire(kind, id).await.check(200);
        retire(kind, id).await.refused(409, "retired");
        let mut change = json!({"name": "新名字"});
        if kind == "stores" {
            change["status"] = "open".into();
        }
        put(&owner, kind, id, change).await.refused(409, "retired");
        stack.api().get(format!("/api/v1/{kind}/{id}")).await.refused(404, "not_found");
        let technician = Some(other.technicians[0].as_str());
        other.book(&member, technician, &slots[6].start_at).await.refused(status, code);
        let availability = format!(
            "/api/v1/availability?store_id={}&service_id={}&technician_id={}&from={}&days=1",
            other.store,
            other.service,
            other.technicians[0],
            date(1)
        );
        stack.api().get(availability).await.refused(status, code);
    }
    for (kind, id) in targets {
        retire(kind, id).await.check(200);
    }
    let detail = member.get(format!("/api/v1/orders/{order}")).await.expect(200);
    assert_eq!(detail.body["order"]["service_id"], shop.service.as_str());
}

#[tokio::test]
async fn a_service_is_booked_or_retired_first_never_both() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    for _ in 0..6 {
        let shop = stack.shop(3, Hours::Always).await;
        let member = stack.some_member().await;
        let slots = shop.slots(&member, None, &date(1), 1).await;
        let mut calls: Vec<_> = (0..4)
            .map(|index| {
                let body = shop.booking(None, &slots[index * 24].start_at);
                member.post("/api/v1/bookings", body).idempotent()
            })
            .collect();
        let retire = format!("/api/v1/admin/services/{}/retire", shop.service);
        calls.insert(2, owner.post(retire, json!({"version": 1})));
        let replies = at_once(calls).await;
        let booked = count(&replies, 201);
        let retired = replies[2].status == 200;
        assert!(retired != (booked > 0), "{booked} booked, retired: {retired}");
        for reply in &replies {
            let good = matches!(reply.status, 200 | 201)
                || matches!(reply.code(), "unknown_service" | "has_appointments");
            assert!(good, "{}: {}", reply.what, reply.body);
        }
    }
}

#[tokio::test]
async fn the_mode_plan_stays_as_it_was_saved() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    stack.plans(true).await;
    let direct = stack.shop(0, Hours::Day).await;
    let plan = stack.shop_with(0, Hours::Day, json!({"modes": ["plan"]})).await;
    let modes = async |shop: &Shop, modes: Value| {
        put(&owner, "services", &shop.service, json!({"modes": modes})).await
    };
    modes(&direct, json!(["direct", "plan"])).await.refused(409, "mode_fixed");
    modes(&plan, json!(["direct"])).await.refused(409, "mode_fixed");
    modes(&direct, json!(["direct", "assigned"])).await.check(200);
    modes(&plan, json!(["direct", "plan"])).await.refused(422, "mode_alone");
    modes(&plan, json!(["plan"])).await.check(200);
    // So does a store's time zone: its appointments were made on that clock.
    let zone = json!({"time_zone": "Asia/Tokyo"});
    put(&owner, "stores", &direct.store, zone).await.refused(409, "time_zone_fixed");
}

#[tokio::test]
async fn stores_are_found_near_a_point_nearest_first() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    // A place of the test's own: nobody else's stores are within thousands of kilometres.
    let (latitude, longitude) = (-40.0, -100.0);
    let store = |name: String, latitude: f64, longitude: f64| {
        json!({
            "name": name, "address": "海上", "latitude": latitude, "longitude": longitude,
            "phone": some_phone(), "hours": Hours::Day.week(),
        })
    };
    // One hundredth of a degree of latitude is 1,111.95 m on the mean sphere.
    let mut near = Vec::new();
    for step in [3, 1, 4, 2] {
        let body = store(format!("近 {step}"), latitude + f64::from(step) / 100.0, longitude);
        let reply = owner.post("/api/v1/admin/stores", body).await.expect(201);
        near.push((step, reply.text("/id").to_owned()));
    }
    near.sort();
    let bodies: Vec<_> = (0..120)
        .map(|number| store(format!("远 {number}"), -60.0 - f64::from(number) / 10.0, longitude))
        .collect();
    for some in bodies.chunks(10) {
        let calls = some.iter().map(|body| owner.post("/api/v1/admin/stores", body.clone()));
        assert_eq!(count(&at_once(calls).await, 201), 10);
    }

    let find = |query: &str| {
        let path = format!("/api/v1/stores?latitude={latitude}&longitude={longitude}{query}");
        stack.api().get(path)
    };
    let reply = find("").await.expect(200);
    let found = reply.body["items"].as_array().expect("items").iter();
    let found: Vec<_> = found
        .map(|item| {
            (item["id"].as_str().expect("an id"), item["distance_m"].as_i64().expect("metres"))
        })
        .collect();
    let expected: Vec<_> = near
        .iter()
        .zip([1112, 2224, 3336, 4448])
        .map(|((_, id), metres)| (id.as_str(), metres))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(ids(&find("&radius_m=2300").await.expect(200)), [&near[0].1, &near[1].1]);
    assert_eq!(ids(&find("&limit=1").await.expect(200)), [&near[0].1]);
    assert_eq!(ids(&find("&q=%E8%BF%91%203").await.expect(200)), [&near[2].1]);
    // The index bounds what is read: the far ones are not.
    let rows = logged(&stack, &reply, "d1_rows_read").await;
    assert!((4..=20).contains(&rows), "{rows} rows were read for 4 of 124 stores");
    let api = stack.api();
    let reply = api.get("/api/v1/stores?latitude=1").await;
    reply.refused(422, "missing_field");
    assert_eq!(reply.text("/fields/0/field"), "longitude");
}

#[tokio::test]
async fn stores_are_found_by_two_characters() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let tag = format!("{:012x}", random() >> 16);
    let make = async |name: &str, address: &str| {
        let body = json!({
            "name": name, "address": address, "latitude": 30, "longitude": 120,
            "phone": some_phone(), "hours": {},
        });
        owner.post("/api/v1/admin/stores", body).await.expect(201).text("/id").to_owned()
    };
    let one = make(&format!("鼋头渚店{tag}"), "无锡").await;
    let two = make(&format!("店{tag}"), "无锡鼋头渚路").await;
    let other = make(&format!("{tag}头鼋"), "无锡").await;
    let find = async |q: &str| {
        let query = percent_encoded(q);
        stack.api().get(format!("/api/v1/stores?q={query}&limit=100")).await
    };
    let found = async |q: &str| {
        let reply = find(q).await.expect(200);
        let mut ids: Vec<_> = ids(&reply).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(found("鼋头").await, [one.clone(), two.clone()], "in the name or in the address");
    assert_eq!(found("头渚").await, [one.clone(), two.clone()]);
    assert_eq!(found("鼋头渚店").await, [one.as_str()]);
    assert_eq!(found(&tag.to_uppercase()).await.len(), 3, "letters of either case");
    assert_eq!(found("头鼋").await, [other.as_str()]);
    assert!(found("%%").await.is_empty(), "no pattern");
    find("鼋").await.refused(422, "text_too_short");
    find(&"长".repeat(17)).await.refused(422, "text_too_long");
    // A changed name is found, the old one is not; a retired store is not.
    put(&owner, "stores", &one, json!({"name": format!("灵山{tag}")})).await.check(200);
    assert_eq!(found("鼋头").await, [two.as_str()]);
    owner
        .post(format!("/api/v1/admin/stores/{two}/retire"), json!({"version": 1}))
        .await
        .check(200);
    assert!(found("鼋头").await.is_empty());
}

#[tokio::test]
async fn customers_see_what_they_look_at_before_they_choose() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let skill = format!("手艺{:08x}", random() >> 32);
    let photo = upload(&owner, PNG).await.expect(201).text("/id").to_owned();
    let steps = json!([{"name": "问询", "minutes": 5}, {"name": "推拿", "minutes": 55}]);
    let shop = stack
        .shop_with(
            2,
            Hours::Day,
            json!({
                "skills": [skill], "steps": steps, "photos": [photo], "category": skill,
                "level_prices": {"高级": 29_800}, "description": "两行\n文字",
            }),
        )
        .await;
    let [skilled, unskilled] = &shop.technicians[..] else { panic!("two") };
    let change = json!({
        "skills": [skill], "photo": photo, "introduction": "擅长肩颈", "years_experience": 8, "level": "高级",
        "works": [{"photo": photo, "caption": "作品"}],
    });
    put(&owner, "technicians", skilled, change.clone()).await.check(200);

    let api = stack.api();
    let profile = api.get(format!("/api/v1/technicians/{skilled}")).await.expect(200);
    for (field, value) in change.as_object().expect("fields") {
        assert_eq!(profile.body[field], *value);
    }
    assert_eq!(profile.body["stores"], json!([shop.store]));
    assert_eq!(profile.text("/services/0/id"), shop.service);
    assert_eq!(profile.body["services"].as_array().map(Vec::len), Some(1));
    assert!(profile.body.get("version").is_none() && profile.body.get("capacity").is_none());
    let other = api.get(format!("/api/v1/technicians/{unskilled}")).await.expect(200);
    assert_eq!(other.body["services"], json!([]));

    let service = api.get(format!("/api/v1/services/{}", shop.service)).await.expect(200);
    assert_eq!((&service.body["steps"], &service.body["photos"]), (&steps, &json!([photo])));
    assert_eq!(service.body["level_prices"], json!({"高级": 29_800}));
    let query = percent_encoded(&skill);
    let listed = api.get(format!("/api/v1/services?category={query}")).await.expect(200);
    assert_eq!(ids(&listed), [&shop.service]);
    let who = |query: String| api.get(format!("/api/v1/technicians?{query}"));
    let reply = who(format!("store_id={}&limit=100", shop.store)).await.expect(200);
    assert_eq!(ids(&reply).len(), 2);
    let reply = who(format!("service_id={}", shop.service)).await.expect(200);
    assert_eq!(ids(&reply), [skilled]);
    let store = api.get(format!("/api/v1/stores/{}", shop.store)).await.expect(200);
    assert_eq!(store.body["hours"], Hours::Day.week());
    assert_eq!((store.text("/status"), store.text("/time_zone")), ("open", "Asia/Shanghai"));

    // Named technicians alone do it, whatever they know.
    let named = json!({"technicians": [unskilled]});
    put(&owner, "services", &shop.service, named).await.check(200);
    let reply = who(format!("service_id={}", shop.service)).await.expect(200);
    assert_eq!(ids(&reply), [unskilled]);
    let slots = shop.slots(&api, None, &date(1), 1).await;
    assert!(slots.iter().all(|slot| slot.technicians == [unskilled.clone()]));

    // Ids that name nothing are refused where they stand.
    let nothing = "0".repeat(32);
    for (kind, id, change, code, field) in [
        (
            "services",
            &shop.service,
            json!({"stores": [shop.store, nothing]}),
            "unknown_store",
            "stores[1]",
        ),
        (
            "services",
            &shop.service,
            json!({"technicians": [nothing]}),
            "unknown_technician",
            "technicians[0]",
        ),
        ("technicians", skilled, json!({"photo": nothing}), "unknown_photo", "photo"),
        ("stores", &shop.store, json!({"photos": [photo, nothing]}), "unknown_photo", "photos[1]"),
        ("stores", &shop.store, json!({"photos": [photo, photo]}), "duplicate_item", "photos"),
    ] {
        let reply = put(&owner, kind, id, change).await;
        reply.refused(422, code);
        assert_eq!(reply.text("/fields/0/field"), field);
    }
}

#[tokio::test]
async fn customers_see_what_comes_back_before_they_book() {
    let stack = Stack::shared().await;
    let (owner, api) = (stack.owner().await, stack.api());
    let tier = |minutes: i64, percent: i64| json!({"until_minutes_before": minutes, "refund_percent": percent});
    let everything = json!([tier(0, 100)]);
    let usual = json!([tier(1440, 100), tier(120, 50)]);
    let strict = json!([tier(129_600, 90), tier(4320, 50), tier(60, 20), tier(5, 1), tier(0, 0)]);
    // Two stores and a service of both.
    let shop = stack.shop(0, Hours::Day).await;
    let other = stack.shop(0, Hours::Day).await.store;
    let stores = json!({"stores": [shop.store, other]});
    put(&owner, "services", &shop.service, stores).await.check(200);

    let of_store = async |id: &str| {
        let one = api.get(format!("/api/v1/stores/{id}")).await.expect(200);
        one.body["cancellation"].clone()
    };
    // The one and the same in the list are the same.
    let of_service = async |store: Option<&str>| {
        let (query, and) = match store {
            Some(id) => (format!("?store_id={id}"), format!("&store_id={id}")),
            None => Default::default(),
        };
        let one = api.get(format!("/api/v1/services/{}{query}", shop.service)).await.expect(200);
        // In a list of all services it may stand on any page; in one store's it is the only one.
        if store.is_some() {
            let listed = api.get(format!("/api/v1/services?limit=100{and}")).await.expect(200);
            let items = listed.body["items"].as_array().expect("items");
            let same = items.iter().find(|item| item["id"] == shop.service.as_str());
            assert_eq!(same.expect("it is listed"), &one.body);
        }
        one.body["cancellation"].clone()
    };
    let seen = async || {
        [
            of_service(Some(&shop.store)).await,
            of_service(Some(&other)).await,
            of_service(None).await,
        ]
    };
    let set = async |kind: &str, id: &str, tiers: &Value| {
        let done = put(&owner, kind, id, json!({"cancellation": tiers})).await.expect(200);
        assert_eq!(done.body["cancellation"], *tiers);
        let kept = owner.get(format!("/api/v1/admin/{kind}/{id}")).await.expect(200);
        assert_eq!(kept.body, done.body);
    };

    // Nobody has said anything.
    let admin = owner.get(format!("/api/v1/admin/services/{}", shop.service)).await.expect(200);
    assert!(admin.body["cancellation"].is_null() && admin.body.get("cancellation").is_some());
    assert_eq!(of_store(&shop.store).await, everything);
    assert_eq!(seen().await, [everything.clone(), everything.clone(), Value::Null]);
    // One store has.
    set("stores", &shop.store, &usual).await;
    assert_eq!(
        (of_store(&shop.store).await, of_store(&other).await),
        (usual.clone(), everything.clone())
    );
    assert_eq!(seen().await, [usual.clone(), everything.clone(), Value::Null]);
    // The service has, and that is what holds; also when it is that nothing ever comes back.
    for tiers in [&strict, &json!([])] {
        set("services", &shop.service, tiers).await;
        assert_eq!(seen().await, [tiers.clone(), tiers.clone(), tiers.clone()]);
    }
    assert_eq!(of_store(&shop.store).await, usual);
    // What is left out of a change is taken away, as everywhere.
    let mut body = document(&owner, "services", &shop.service).await;
    body.as_object_mut().expect("fields").remove("cancellation");
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let done = owner.put(path, body).await.expect(200);
    assert!(done.body["cancellation"].is_null());
    set("stores", &shop.store, &Value::Null).await;
    set("stores", &other, &json!([])).await;
    assert_eq!(seen().await, [everything, json!([]), Value::Null]);

    // From the start as well.
    let born = stack.shop_with(0, Hours::Day, json!({"cancellation": usual})).await;
    let path = format!("/api/v1/services/{}", born.service);
    assert_eq!(api.get(path).await.expect(200).body["cancellation"], usual);
    let store = json!({
        "name": "退改店", "address": "路 1 号", "latitude": 31.2, "longitude": 121.4,
        "phone": some_phone(), "hours": {}, "cancellation": strict,
    });
    let store = owner.post("/api/v1/admin/stores", store).await.expect(201);
    assert_eq!(store.body["cancellation"], strict);
    assert_eq!(of_store(store.text("/id")).await, strict);
}

#[tokio::test]
async fn availability_follows_working_windows_at_once() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let shop = stack.shop(2, Hours::Day).await;
    let (one, other) = (&shop.technicians[0], &shop.technicians[1]);
    let windows = format!("/api/v1/admin/technicians/{one}/windows");
    let slots = async |technician: &str, days_from_today: i64| {
        shop.slots(&member, Some(technician), &date(days_from_today), 1).await
    };
    let from_ten_to_nine = 11 * 12 + 1;
    assert_eq!(slots(one, 3).await.len(), from_ten_to_nine);

    // A weekly pattern valid from a date.
    let mut week = Hours::Day.week();
    for day in week.as_object_mut().expect("days").values_mut() {
        *day = json!([{"start": "14:00", "end": "16:00"}]);
    }
    let body = json!({"store_id": shop.store, "valid_from": date(6), "week": week});
    owner.put(format!("{windows}/weekly"), body).await.check(200);
    assert_eq!(slots(one, 5).await.len(), from_ten_to_nine);
    for day in [6, 9] {
        let offered = slots(one, day).await;
        assert_eq!(
            (starts(&offered)[0], starts(&offered)[12], offered.len()),
            ("14:00", "15:00", 13)
        );
    }
    assert_eq!(slots(other, 6).await.len(), from_ten_to_nine);
    // A date of its own; the store opens at ten all the same.
    let dates = format!("{windows}/dates/{}", date(4));
    let set = |ranges: Value| owner.put(&dates, json!({"store_id": shop.store, "ranges": ranges}));
    set(json!([{"start": "09:00", "end": "11:05"}, {"start": "20:00", "end": "23:00"}]))
        .await
        .check(200);
    let offered = slots(one, 4).await;
    assert_eq!(starts(&offered)[..2], ["10:00", "10:05"]);
    assert_eq!((starts(&offered)[2], *starts(&offered).last().expect("some")), ("20:00", "21:00"));
    set(json!([])).await.check(200);
    assert!(slots(one, 4).await.is_empty());
    owner.delete(format!("{dates}?store_id={}", shop.store)).await.check(200);
    assert_eq!(slots(one, 4).await.len(), from_ten_to_nine);
    owner.delete(format!("{dates}?store_id={}", shop.store)).await.refused(404, "not_found");
    // A time off.
    let at = |days: i64, clock: &str| format!("{}T{clock}:00+08:00", date(days));
    let body = json!({"start_at": at(3, "12:00"), "end_at": at(3, "13:00"), "reason": "看牙"});
    let off = owner.post(format!("{windows}/times-off"), body).await.expect(201);
    let offered = slots(one, 3).await;
    assert_eq!(offered.len(), from_ten_to_nine - 23);
    assert!(starts(&offered).iter().all(|start| *start <= "11:00" || *start >= "13:00"));
    owner.delete(format!("{windows}/times-off/{}", off.text("/id"))).await.check(200);
    assert_eq!(slots(one, 3).await.len(), from_ten_to_nine);
    // A holiday of the store.
    let holiday = format!("/api/v1/admin/stores/{}/holidays/{}", shop.store, date(3));
    owner.put(&holiday, json!({"name": "装修"})).await.check(200);
    for technician in [one, other] {
        assert!(slots(technician, 3).await.is_empty());
    }
    let shown = stack.api().get(format!("/api/v1/stores/{}", shop.store)).await.expect(200);
    assert_eq!(shown.body["holidays"], json!([{"date": date(3), "name": "装修"}]));
    let refused = shop.book(&member, Some(one), &at(3, "12:00")).await;
    refused.refused(422, "outside_hours");
    owner.delete(&holiday).await.check(200);
    assert_eq!(slots(one, 3).await.len(), from_ten_to_nine);
    // Hours of the store.
    let mut hours = Hours::Day.week();
    for day in hours.as_object_mut().expect("days").values_mut() {
        *day = json!([{"start": "10:00", "end": "12:00"}, {"start": "13:30", "end": "26:00"}]);
    }
    put(&owner, "stores", &shop.store, json!({"hours": hours})).await.check(200);
    let offered = slots(one, 3).await;
    assert!(starts(&offered).iter().all(|start| *start <= "11:00" || *start >= "13:30"));
    // A store that is closed.
    put(&owner, "stores", &shop.store, json!({"status": "closed"})).await.check(200);
    assert!(slots(one, 3).await.is_empty());
    shop.book(&member, Some(one), &at(3, "10:00")).await.refused(409, "store_closed");
    put(&owner, "stores", &shop.store, json!({"status": "open"})).await.check(200);

    // What is offered after all that is booked, and its ends are ends.
    let offered = slots(one, 6).await;
    let (first, last) = (&offered[0].start_at, &offered[offered.len() - 1].start_at);
    for start in [first, last] {
        shop.book(&member, Some(one), start).await.check(201);
    }
    for start in [at(6, "13:55"), at(6, "15:05"), at(3, "11:05"), at(3, "13:25")] {
        shop.book(&member, Some(one), &start).await.refused(422, "outside_hours");
    }
    let kept = owner.get(&windows).await.expect(200);
    assert_eq!(kept.body["weekly"].as_array().map(Vec::len), Some(2));
    assert_eq!((&kept.body["overrides"], &kept.body["times_off"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_change_that_would_strand_an_appointment_is_refused_unless_told() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let member = stack.some_member().await;
    let shop = stack.shop(1, Hours::Day).await;
    let technician = &shop.technicians[0];
    let at = |clock: &str| format!("{}T{clock}:00+08:00", date(2));
    let mut booked = Vec::new();
    for clock in ["10:00", "15:00"] {
        let reply = shop.book(&member, None, &at(clock)).await.expect(201);
        booked
            .push((reply.text("/order/id").to_owned(), reply.text("/order/lines/0/id").to_owned()));
    }
    let windows = format!("/api/v1/admin/technicians/{technician}/windows");
    let mut week = Hours::Day.week();
    for day in week.as_object_mut().expect("days").values_mut() {
        *day = json!([{"start": "11:30", "end": "22:00"}]);
    }
    let changes: [(Method, String, Value, &[usize]); 5] = [
        (
            Method::PUT,
            format!("{windows}/weekly"),
            json!({"store_id": shop.store, "valid_from": today(), "week": week}),
            &[0],
        ),
        (
            Method::PUT,
            format!("{windows}/dates/{}", date(2)),
            json!({"store_id": shop.store, "ranges": [{"start": "10:00", "end": "15:55"}]}),
            &[1],
        ),
        (
            Method::POST,
            format!("{windows}/times-off"),
            json!({"start_at": at("10:55"), "end_at": at("15:05")}),
            &[0, 1],
        ),
        (
            Method::PUT,
            format!("/api/v1/admin/stores/{}/holidays/{}", shop.store, date(2)),
            json!({"name": "停电"}),
            &[0, 1],
        ),
        // Not working at all, told by a pattern without hours.
        (
            Method::PUT,
            format!("{windows}/weekly"),
            json!({"store_id": shop.store, "valid_from": date(1), "week": {}}),
            &[0, 1],
        ),
    ];
    let before = shop.slots(&member, None, &date(2), 1).await;
    let named = |reply: &Reply, pointer: &str| {
        let rows =
            reply.body.pointer(pointer).and_then(Value::as_array).expect("appointments").iter();
        let mut rows: Vec<_> = rows
            .map(|row| {
                assert_eq!(row["technician_id"], technician.as_str());
                (row["order_id"].clone(), row["line_id"].clone(), row["start_at"].clone())
            })
            .map(|(order, line, start)| (start.to_string(), order, line))
            .collect();
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        rows.into_iter().map(|(_, order, line)| (order, line)).collect::<Vec<_>>()
    };
    for (method, path, body, stranded) in &changes {
        let expected: Vec<_> =
            stranded.iter().map(|at| (json!(booked[*at].0), json!(booked[*at].1))).collect();
        let refused = owner.call(method.clone(), path).json(body.clone()).await;
        refused.refused(409, "appointments_stranded");
        assert_eq!(named(&refused, "/appointments"), expected, "{path}");
    }
    assert_eq!(shop.slots(&member, None, &date(2), 1).await, before, "nothing was changed");
    assert_eq!(owner.get(&windows).await.expect(200).body["times_off"], json!([]));

    // Told to keep them, it is done, and names those that it put outside working time.
    let newly: [&[usize]; 4] = [&[0], &[1], &[0], &[]];
    for ((method, path, body, _), newly) in changes[..4].iter().zip(newly) {
        let mut body = body.clone();
        body["keep_appointments"] = true.into();
        let done = owner.call(method.clone(), path).json(body).await;
        assert!(matches!(done.status, 200 | 201), "{}: {}", done.what, done.body);
        let expected: Vec<_> =
            newly.iter().map(|at| (json!(booked[*at].0), json!(booked[*at].1))).collect();
        assert_eq!(named(&done, "/appointments"), expected, "{path}");
        assert!(shop.slots(&member, None, &date(2), 1).await.len() < before.len());
    }
    // They stand, also after the reconcilers have looked, and can still be given up.
    let _ = stack.run_cron("*/5 * * * *").await;
    for (order, _) in &booked {
        let detail = member.get(format!("/api/v1/orders/{order}")).await.expect(200);
        assert_eq!(detail.text("/order/status"), "confirmed");
        member.post(format!("/api/v1/orders/{order}/cancel"), json!({})).await.check(200);
    }
}

#[tokio::test]
async fn photos_are_told_by_their_bytes_and_cached_for_good() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let api = stack.api();
    for (bytes, kind) in [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")] {
        // What the header says is of no account.
        let call = owner.call(Method::POST, "/api/v1/admin/photos").body("image/gif", bytes);
        let photo = call.await.expect(201);
        assert_eq!(photo.text("/content_type"), kind);
        assert_eq!(photo.body["bytes"], bytes.len());
        let path = format!("/api/v1/photos/{}", photo.text("/id"));
        let reply = api.get(&path).await.expect(200);
        assert_eq!((reply.header("content-type"), &reply.bytes[..]), (kind, bytes));
        assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let etag = reply.header("etag");
        for known in
            [etag.to_owned(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".into()]
        {
            let reply = api.get(&path).header("if-none-match", &known).await.expect(304);
            assert!(reply.bytes.is_empty() && reply.header("etag") == etag);
        }
        api.get(&path).header("if-none-match", "\"other\"").await.check(200);
    }
    for bytes in [
        &b"GIF89a\x01\0\x01\0\0\0\0"[..],
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"",
        &PNG[..12],
    ] {
        upload(&owner, bytes).await.refused(422, "not_a_photo");
    }
    let large = |length: usize| {
        let mut bytes = PNG.to_vec();
        bytes.resize(length, 0);
        bytes
    };
    upload(&owner, large(5 * 1024 * 1024)).await.check(201);
    upload(&owner, large(5 * 1024 * 1024 + 1)).await.refused(413, "body_too_large");
    api.get(format!("/api/v1/photos/{}", "0".repeat(32))).await.refused(404, "not_found");
}

#[tokio::test]
async fn photos_that_nothing_points_to_are_removed_after_a_day() {
    let stack = Stack::start().await;
    let owner = stack.owner().await;
    let shop = stack.shop(1, Hours::Day).await;
    let new = async || upload(&owner, PNG).await.expect(201).text("/id").to_owned();
    let member = stack.some_member().await;
    let call = member.call(Method::PUT, "/api/v1/me/avatar").body("image/png", PNG);
    let avatar = call.await.expect(200).text("/avatar").to_owned();
    let of = [new().await, new().await, new().await, new().await];
    let [of_store, of_service, face, work] = &of;
    let (unused, fresh) = (new().await, new().await);
    let technician = &shop.technicians[0];
    put(&owner, "stores", &shop.store, json!({"photos": [of_store]})).await.check(200);
    put(&owner, "services", &shop.service, json!({"photos": [of_service]})).await.check(200);
    let change = json!({"photo": face, "works": [{"photo": work}]});
    put(&owner, "technicians", technician, change).await.check(200);

    let age =
        format!("UPDATE photo SET uploaded_at = uploaded_at - 86460000 WHERE id <> '{fresh}'");
    stack.change_d1(&age).await;
    let _ = stack.run_cron("10 19 * * *").await;
    let see = |id: &str| stack.api().get(format!("/api/v1/photos/{id}"));
    see(&unused).await.refused(404, "not_found");
    for used in [&avatar, of_store, of_service, face, work, &fresh] {
        see(used).await.check(200);
    }
    put(&owner, "stores", &shop.store, json!({"photos": [unused]}))
        .await
        .refused(422, "unknown_photo");

    // What is used no more goes, too; what a row still shows stays.
    put(&owner, "stores", &shop.store, json!({"photos": []})).await.check(200);
    member.patch("/api/v1/me", json!({"avatar": null})).await.check(200);
    put(&owner, "technicians", technician, json!({"works": []})).await.check(200);
    let _ = stack.run_cron("10 19 * * *").await;
    for gone in [of_store, &avatar, work] {
        see(gone).await.refused(404, "not_found");
    }
    for used in [of_service, face, &fresh] {
        see(used).await.check(200);
    }
    let rows = stack.d1("SELECT count(*) AS n FROM photo");
    assert_eq!(rows, [json!({"n": 3})]);
}
