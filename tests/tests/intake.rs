//! What comes with a booking besides its time: answers to the service's form, and what is ordered
//! beforehand.

use serde_json::{Value, json};
use zhundian_tests::visit::at;
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit};

fn form() -> Value {
    json!({
        "consent": {"text": "我已阅读注意事项"},
        "fields": [
            {"key": "allergy", "label": "过敏史", "required": true, "kind": {"type": "text", "max_chars": 20}},
            {"key": "guests", "label": "人数", "kind": {"type": "number", "min": 1, "max": 8}},
            {"key": "areas", "label": "部位", "kind": {"type": "choices", "options": ["肩", "颈", "腰"]}},
            {"key": "since", "label": "从何时起", "kind": {"type": "date"}},
        ],
    })
}

fn answers(allergy: &str) -> Value {
    json!({"form_version": 1, "consent_version": 1,
        "answers": {"allergy": allergy, "guests": 3, "areas": ["颈"], "since": "2026-01-31"}})
}

/// What a refusal says, and of which field.
fn fault(reply: &Reply) -> (u16, &str, &str) {
    (reply.status, reply.code(), reply.body["fields"][0]["field"].as_str().unwrap_or_default())
}

async fn service(api: &Api, shop: &Shop) -> (String, Value) {
    let path = format!("/api/v1/admin/services/{}", shop.service);
    let mut body = api.get(&path).await.expect(200).body;
    let fields = body.as_object_mut().expect("a service");
    fields.retain(|field, _| !["id", "status"].contains(&field.as_str()));
    (path, body)
}

/// Books with these fields besides the usual ones.
async fn book(api: &Api, shop: &Shop, start: &str, and: Value) -> Reply {
    let mut body = shop.booking(None, start);
    for (field, value) in and.as_object().expect("fields of a booking") {
        body[field] = value.clone();
    }
    api.post("/api/v1/bookings", body).idempotent().await
}

async fn detail(api: &Api, prefix: &str, order: &str) -> Value {
    api.get(format!("/api/v1/{prefix}orders/{order}")).await.expect(200).body
}

#[tokio::test]
async fn a_form_is_the_services_and_each_change_of_it_has_a_version() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(1, Hours::Day, json!({"intake": form()})).await;
    let owner = stack.owner().await;
    let read = stack.api().get(format!("/api/v1/services/{}", shop.service)).await.expect(200);
    assert_eq!(read.body["intake"]["version"], 1);
    assert_eq!(read.body["intake"]["consent"]["version"], 1);
    assert_eq!(read.body["intake"]["fields"][0]["kind"], form()["fields"][0]["kind"]);

    // What is sent as it was read is no change of the form.
    let (path, body) = service(&owner, &shop).await;
    let same = owner.put(&path, body.clone()).await.expect(200).body;
    assert_eq!((&same["version"], &same["intake"]["version"]), (&json!(2), &json!(1)));
    assert_eq!(fault(&owner.put(&path, body).await), (409, "stale_version", ""));

    let (_, mut body) = service(&owner, &shop).await;
    body["intake"]["fields"][1]["label"] = "几位".into();
    let changed = owner.put(&path, body).await.expect(200).body;
    assert_eq!(changed["intake"]["version"], 3);
    assert_eq!(changed["intake"]["consent"]["version"], 1);
    let (_, mut body) = service(&owner, &shop).await;
    body["intake"]["consent"]["text"] = "另一份注意事项".into();
    let changed = owner.put(&path, body).await.expect(200).body;
    assert_eq!(changed["intake"]["version"], 4);
    assert_eq!(changed["intake"]["consent"]["version"], 4);
    for nothing in [Value::Null, json!({}), json!({"consent": null, "fields": []})] {
        let (_, mut body) = service(&owner, &shop).await;
        body["intake"] = nothing;
        assert_eq!(owner.put(&path, body).await.expect(200).body["intake"], Value::Null);
    }
    let (_, mut body) = service(&owner, &shop).await;
    body["intake"] = form();
    assert_eq!(owner.put(&path, body).await.expect(200).body["intake"]["version"], 8);
}

#[tokio::test]
async fn a_form_that_is_none_is_refused() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let owner = stack.owner().await;
    let (path, before) = service(&owner, &shop).await;
    let field = |kind: Value| json!({"fields": [{"key": "a", "label": "?", "kind": kind}]});
    let many = |count: usize| {
        let one = |at| json!({"key": format!("k{at}"), "label": "?", "kind": {"type": "date"}});
        json!({"fields": (0..count).map(one).collect::<Vec<_>>()})
    };
    let options = |count: usize| (0..count).map(|at| format!("o{at}")).collect::<Vec<_>>();
    let twice = json!({"fields": [
        {"key": "a", "label": "?", "kind": {"type": "date"}},
        {"key": "a", "label": "!", "kind": {"type": "date"}},
    ]});
    for (intake, code, at) in [
        (many(21), "too_many_items", "intake.fields"),
        (twice, "duplicate_item", "intake.fields[1].key"),
        (json!({"consent": {"text": ""}}), "text_too_short", "intake.consent.text"),
        (json!({"fields": [], "more": 1}), "unknown_field", "intake.more"),
        (
            json!({"fields": [{"key": "a", "kind": {"type": "date"}}]}),
            "missing_field",
            "intake.fields[0].label",
        ),
        (field(json!({"type": "file"})), "unknown_value", "intake.fields[0].kind.type"),
        (field(json!({"type": "text"})), "missing_field", "intake.fields[0].kind"),
        (
            field(json!({"type": "text", "max_chars": 501})),
            "out_of_range",
            "intake.fields[0].kind.max_chars",
        ),
        (
            field(json!({"type": "number", "min": 2, "max": 1})),
            "out_of_range",
            "intake.fields[0].kind",
        ),
        (field(json!({"type": "number", "min": 2})), "missing_field", "intake.fields[0].kind"),
        (field(json!({"type": "date", "max": 2})), "unknown_field", "intake.fields[0].kind"),
        (
            field(json!({"type": "choice", "options": []})),
            "out_of_range",
            "intake.fields[0].kind.options",
        ),
        (
            field(json!({"type": "choice", "options": options(31)})),
            "too_many_items",
            "intake.fields[0].kind.options",
        ),
        (
            field(json!({"type": "choices", "options": ["a", "a"]})),
            "duplicate_item",
            "intake.fields[0].kind.options",
        ),
    ] {
        let mut body = before.clone();
        body["intake"] = intake.clone();
        let reply = owner.put(&path, body).await;
        assert_eq!(fault(&reply), (422, code, at), "{intake}");
    }
    assert_eq!(service(&owner, &shop).await.1, before);
}

#[tokio::test]
async fn answers_that_do_not_fit_change_nothing() {
    let stack = Stack::start().await;
    let shop = stack.shop_with(1, Hours::Day, json!({"intake": form()})).await;
    let other = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let start = at(1, "11:00");
    let before = stack.everything().await;
    let with = |path: &str, value: Value| {
        let mut given = answers("花粉");
        *given.pointer_mut(path).expect("a path") = value;
        json!({"intake": given})
    };
    let answer = |key: &str, value: Value| {
        let mut given = answers("花粉");
        given["answers"][key] = value;
        json!({"intake": given})
    };
    let mut no_consent = answers("花粉");
    no_consent.as_object_mut().expect("an object").remove("consent_version");
    for (and, status, code, field) in [
        (json!({}), 422, "intake_required", "intake"),
        (json!({"intake": null}), 422, "intake_required", "intake"),
        (json!({"intake": []}), 422, "wrong_type", "intake"),
        (json!({"intake": {"answers": {}}}), 422, "missing_field", "intake.form_version"),
        (json!({"intake": no_consent}), 422, "consent_required", "intake.consent_version"),
        (with("/consent_version", json!(2)), 422, "consent_required", "intake.consent_version"),
        (with("/form_version", json!(2)), 409, "intake_changed", "intake.form_version"),
        (with("/answers", json!({})), 422, "missing_field", "intake.answers.allergy"),
        (with("/answers/allergy", json!(" \n ")), 422, "missing_field", "intake.answers.allergy"),
        (
            with("/answers/allergy", json!("一".repeat(21))),
            422,
            "answer_not_possible",
            "intake.answers.allergy",
        ),
        (
            with("/answers/allergy", json!("一".repeat(501))),
            422,
            "text_too_long",
            "intake.answers.allergy",
        ),
        (
            with("/answers/allergy", json!("花\u{7}粉")),
            422,
            "control_character",
            "intake.answers.allergy",
        ),
        (
            with("/answers/allergy", json!(true)),
            422,
            "answer_not_possible",
            "intake.answers.allergy",
        ),
        (with("/answers/allergy", json!(null)), 422, "wrong_type", "intake.answers.allergy"),
        (with("/answers/allergy", json!({})), 422, "wrong_type", "intake.answers.allergy"),
        (with("/answers/guests", json!(9)), 422, "answer_not_possible", "intake.answers.guests"),
        (with("/answers/guests", json!(1.5)), 422, "wrong_type", "intake.answers.guests"),
        (with("/answers/guests", json!(1e30)), 422, "out_of_range", "intake.answers.guests"),
        (with("/answers/areas", json!(["背"])), 422, "answer_not_possible", "intake.answers.areas"),
        (
            with("/answers/areas", json!(["颈", "颈"])),
            422,
            "answer_not_possible",
            "intake.answers.areas",
        ),
        (with("/answers/areas", json!(["颈", 1])), 422, "wrong_type", "intake.answers.areas[1]"),
        (
            with("/answers/since", json!("2026-02-30")),
            422,
            "answer_not_possible",
            "intake.answers.since",
        ),
        (answer("blood", json!("A")), 422, "unknown_field", "intake.answers.blood"),
    ] {
        let reply = book(&member, &shop, &start, and.clone()).await;
        assert_eq!(fault(&reply), (status, code, field), "{and}");
    }
    let reply = book(&member, &shop, &start, with("/form_version", json!(2))).await;
    assert_eq!(reply.body["current"]["version"], 1);
    let reply = book(&member, &other, &start, json!({"intake": answers("花粉")})).await;
    assert_eq!(fault(&reply), (422, "intake_not_asked", "intake"));
    before.assert_same(&stack.everything().await, "a refused answer");
    assert!(
        shop.slots(&member, None, &start[..10], 1).await.iter().any(|one| one.start_at == start)
    );
}

#[tokio::test]
async fn answers_are_seen_with_the_order_and_nowhere_else() {
    const SECRET: &str = "对青霉素过敏";
    let stack = Stack::shared().await;
    let shop = stack.shop_with(1, Hours::Day, json!({"intake": form()})).await;
    let (member, owner) = (stack.some_member().await, stack.owner().await);
    let phone = some_phone();
    let body = json!({"phone": phone, "name": "技师", "technician_id": shop.technicians[0],
        "grants": [{"role": "technician", "store_id": shop.store}]});
    owner.post("/api/v1/admin/staff", body).await.check(201);
    let technician = stack.sign_in_staff(&phone).await;

    let start = at(2, "11:00");
    let mut body = shop.booking(None, &start);
    body["intake"] = answers(SECRET);
    let booked = member.post("/api/v1/bookings", body.clone()).key("intake-once-1").await;
    let order = booked.expect(201).text("/order/id").to_owned();
    let again = member.post("/api/v1/bookings", body).key("intake-once-1").await.expect(201);
    assert_eq!(again.text("/order/id"), order);

    // What the service asks later changes no answer, and new answers are to the new form.
    let (path, mut changed) = service(&owner, &shop).await;
    changed["intake"]["fields"][0]["label"] = "您对什么过敏".into();
    owner.put(&path, changed).await.check(200);
    let reply = book(&member, &shop, &at(2, "13:00"), json!({"intake": answers(SECRET)})).await;
    assert_eq!(fault(&reply), (409, "intake_changed", "intake.form_version"));
    for (api, prefix) in [(&member, ""), (&owner, "staff/"), (&technician, "staff/")] {
        let seen = detail(api, prefix, &order).await;
        assert_eq!(seen["intake"]["answers"]["allergy"], SECRET);
        assert_eq!(seen["intake"]["form"]["fields"][0]["label"], "过敏史");
        assert_eq!(seen["intake"]["form"]["consent"]["version"], 1);
        assert_eq!(seen["intake"]["answered_by"], "member");
        assert!(seen["intake"]["agreed_at"].is_string(), "{seen}");
        assert_eq!(seen["intake_missing"], false);
    }
    let day = format!("?store_id={}&from={}", shop.store, date(2));
    for (api, path) in [
        (&member, "/api/v1/orders".to_owned()),
        (&owner, format!("/api/v1/staff/orders?store_id={}", shop.store)),
        (&owner, format!("/api/v1/staff/appointments{day}")),
        (&technician, format!("/api/v1/staff/my/day?date={}", date(2))),
    ] {
        let list = api.get(&path).await.expect(200);
        assert!(!list.body.to_string().contains(SECRET), "{path}");
    }
    let log = stack.worker_log();
    assert!(log.contains("/api/v1/bookings") && !log.contains(SECRET));
    for table in ["idempotency", "outbox", "order_event"] {
        let columns = if table == "idempotency" { "response" } else { "*" };
        let rows = stack.d1(&format!("SELECT {columns} FROM {table}"));
        assert!(!Value::from(rows).to_string().contains(SECRET), "{table}");
    }
}

#[tokio::test]
async fn who_was_booked_by_staff_answers_before_the_visit() {
    let stack = Stack::shared().await;
    let shop = stack.shop_with(2, Hours::Day, json!({"intake": form()})).await;
    let (member, owner) = (stack.some_member().await, stack.owner().await);
    let me = member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
    let mut body = json!({"store_id": shop.store, "service_id": shop.service, "start_at": at(3, "11:00"),
        "member_id": me});
    let booked = owner.post("/api/v1/staff/bookings", body.clone()).idempotent().await.expect(201);
    let order = booked.text("/order/id").to_owned();
    assert_eq!(detail(&member, "", &order).await["intake_missing"], true);
    body["intake"] = answers("");
    let refused = owner.post("/api/v1/staff/bookings", body).idempotent().await;
    assert_eq!(fault(&refused), (422, "missing_field", "intake.answers.allergy"));

    let path = format!("/api/v1/orders/{order}/intake");
    let refused = member.put(&path, answers("")).await;
    assert_eq!(fault(&refused), (422, "missing_field", "answers.allergy"));
    stack.some_member().await.put(&path, answers("花粉")).await.refused(404, "not_found");
    let kept = member.put(&path, answers("花粉")).await.expect(200).body;
    assert_eq!(kept, detail(&member, "", &order).await["intake"]);
    let staff = format!("/api/v1/staff/orders/{order}/intake");
    owner.put(&staff, answers("花生")).await.check(200);
    let seen = detail(&member, "", &order).await;
    assert_eq!(seen["intake"]["answers"]["allergy"], "花生");
    assert_eq!(seen["intake"]["answered_by"], "staff");
    assert_eq!(seen["intake_missing"], false);

    member.post(format!("/api/v1/orders/{order}/cancel"), json!({})).await.check(200);
    for (api, path) in [(&member, &path), (&owner, &staff)] {
        api.put(path, answers("虾")).await.refused(409, "order_not_changeable");
    }
    assert_eq!(detail(&member, "", &order).await["intake"]["answers"]["allergy"], "花生");
    let plain = stack.shop(1, Hours::Day).await;
    let order = plain.book(&member, None, &at(3, "15:00")).await.expect(201);
    let path = format!("/api/v1/orders/{}/intake", order.text("/order/id"));
    member.put(path, answers("花粉")).await.refused(422, "intake_not_asked");
}

/// A new item of the shop's store: its id.
async fn item(stack: &Stack, shop: &Shop, name: &str, fen: i64, max: i64) -> String {
    let body = json!({"store_id": shop.store, "category": "热菜", "name": name, "price_fen": fen,
        "max_per_order": max});
    let made = stack.owner().await.post("/api/v1/admin/items", body).await.expect(201);
    made.text("/id").to_owned()
}

#[tokio::test]
async fn dishes_are_part_of_the_price() {
    let stack = Stack::shared().await;
    let deposit = json!({"deposit": {"kind": "percent", "percent": 30}});
    let shop = stack.shop_with(2, Hours::Day, deposit).await;
    let (member, owner) = (stack.some_member().await, stack.owner().await);
    let duck = item(&stack, &shop, "烤鸭", 26_800, 2).await;
    let rice = item(&stack, &shop, "米饭", 301, 99).await;
    let items = json!([{"item_id": duck, "quantity": 1}, {"item_id": rice, "quantity": 3}]);
    let start = at(4, "18:00");
    let booked = book(&member, &shop, &start, json!({"items": items, "payment": "online"}))
        .await
        .expect(201);
    let order = &booked.body["order"];
    let total = 19_800 + 26_800 + 903;
    assert_eq!(order["total_fen"], total);
    // 30 % of all of it, rounded half up.
    assert_eq!(order["due_fen"], 14_251);
    assert_eq!(order["lines"][0]["price_fen"], 19_800);
    assert_eq!(
        order["price"],
        json!([{"kind": "service", "fen": 19_800}, {"kind": "items", "fen": 26_800}, {"kind": "items", "fen": 903}])
    );
    let id = booked.text("/order/id").to_owned();
    let visit = Visit { member: member.clone(), order: id.clone(), start_at: start.clone() };
    let payment = visit.asks("wechat_jsapi").await;
    stack.vendors().pay(&payment).await;
    visit.becomes("confirmed").await;

    // What an item is called and costs later changes no order.
    let path = format!("/api/v1/admin/items/{duck}");
    let mut body = owner.get(&path).await.expect(200).body;
    body.as_object_mut().expect("an item").retain(|field, _| field != "id" && field != "status");
    (body["price_fen"], body["name"]) = (json!(99_900), json!("挂炉烤鸭"));
    owner.put(&path, body.clone()).await.check(200);
    owner.put(&path, body).await.refused(409, "stale_version");
    for (api, prefix) in [(&member, ""), (&owner, "staff/")] {
        let seen = detail(api, prefix, &id).await;
        assert_eq!(seen["items"][0]["name"], "烤鸭");
        assert_eq!(seen["items"][0]["price_fen"], 26_800);
        assert_eq!(
            seen["items"][1],
            json!({"item_id": rice, "name": "米饭", "price_fen": 301, "quantity": 3})
        );
        assert_eq!(seen["order"]["total_fen"], total);
        assert_eq!(seen["order"]["lines"][0]["price_fen"], 19_800);
        assert_eq!(seen["order"]["remaining_fen"], total - 14_251);
    }
    let day = format!("/api/v1/staff/appointments?store_id={}&from={}", shop.store, date(4));
    let day = owner.get(day).await.expect(200).body;
    assert_eq!(day["items"][0]["items"], 4, "{day}");

    let cancelled = member.post(format!("/api/v1/orders/{id}/cancel"), json!({})).await.expect(200);
    assert_eq!(cancelled.body["order"]["refunded_fen"], 14_251);
}

#[tokio::test]
async fn items_that_cannot_be_ordered_change_nothing() {
    let stack = Stack::start().await;
    let (shop, other) = (stack.shop(1, Hours::Day).await, stack.shop(1, Hours::Day).await);
    let (member, owner) = (stack.some_member().await, stack.owner().await);
    let tea = item(&stack, &shop, "茶", 1_000, 2).await;
    let gold = item(&stack, &shop, "金箔", 100_000_000, 9).await;
    let theirs = item(&stack, &other, "茶", 1_000, 2).await;
    let old = item(&stack, &shop, "旧菜", 1_000, 2).await;
    let retire = format!("/api/v1/admin/items/{old}/retire");
    owner.post(&retire, json!({"version": 7})).await.refused(409, "stale_version");
    owner.post(&retire, json!({"version": 1})).await.check(200);
    owner.post(&retire, json!({"version": 2})).await.refused(409, "retired");
    let before = stack.everything().await;
    let of = |id: &str, quantity: Value| json!([{"item_id": id, "quantity": quantity}]);
    let many: Vec<_> = (0..31).map(|_| json!({"item_id": tea, "quantity": 1})).collect();
    let none = "0".repeat(32);
    for (items, code, field) in [
        (of(&theirs, json!(1)), "unknown_item", "items[0].item_id"),
        (of(&old, json!(1)), "unknown_item", "items[0].item_id"),
        (of(&none, json!(1)), "unknown_item", "items[0].item_id"),
        (of("x", json!(1)), "invalid_id", "items[0].item_id"),
        (of(&tea, json!(3)), "too_many_of_item", "items[0].quantity"),
        (of(&tea, json!(0)), "out_of_range", "items[0].quantity"),
        (of(&tea, json!(100)), "out_of_range", "items[0].quantity"),
        (of(&tea, json!("2")), "wrong_type", "items[0].quantity"),
        (of(&gold, json!(2)), "out_of_range", "items"),
        (json!(many), "too_many_items", "items"),
        (
            json!([{"item_id": tea, "quantity": 1}, {"item_id": tea, "quantity": 1}]),
            "duplicate_item",
            "items[1].item_id",
        ),
        (
            json!([{"item_id": tea, "quantity": 1, "price_fen": 0}]),
            "unknown_field",
            "items[0].price_fen",
        ),
        (Value::Null, "wrong_type", "items"),
    ] {
        let reply = book(&member, &shop, &at(1, "11:00"), json!({"items": items})).await;
        assert_eq!(fault(&reply), (422, code, field), "{items}");
    }
    before.assert_same(&stack.everything().await, "a refused item");

    // Staff order as well, and a list shows what there is, page by page.
    let body = json!({"store_id": shop.store, "service_id": shop.service, "start_at": at(1, "11:00"),
        "items": of(&tea, json!(2))});
    let booked = owner.post("/api/v1/staff/bookings", body).idempotent().await.expect(201);
    assert_eq!(booked.body["order"]["total_fen"], 21_800);
    let page = format!("/api/v1/items?store_id={}&limit=1", shop.store);
    let first = member.get(&page).await.expect(200);
    let cursor = first.text("/next_cursor");
    let second = member.get(format!("{page}&cursor={cursor}")).await.expect(200);
    let mut names = [first.text("/items/0/name"), second.text("/items/0/name")];
    names.sort_unstable();
    assert_eq!(names, ["茶", "金箔"]);
    assert_eq!(second.body["next_cursor"], Value::Null);
    let all = owner.get(format!("/api/v1/admin/items?store_id={}", shop.store)).await.expect(200);
    assert_eq!(all.body["items"].as_array().expect("items").len(), 3);
    let mut moved = owner.get(format!("/api/v1/admin/items/{tea}")).await.expect(200).body;
    moved.as_object_mut().expect("an item").retain(|field, _| field != "id" && field != "status");
    moved["store_id"] = other.store.clone().into();
    owner.put(format!("/api/v1/admin/items/{tea}"), moved).await.refused(409, "field_fixed");
}
