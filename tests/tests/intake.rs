//! What comes with a booking besides its time: answers to the service's form, and what is ordered
//! beforehand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use zhundian_tests::audit::Audit;
use zhundian_tests::visit::{at, ms};
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit, eventually, now_ms};

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
        assert_eq!(seen["intakes"][0]["answered"]["answers"]["allergy"], SECRET);
        assert_eq!(seen["intakes"][0]["answered"]["form"]["fields"][0]["label"], "过敏史");
        assert_eq!(seen["intakes"][0]["answered"]["form"]["consent"]["version"], 1);
        assert_eq!(seen["intakes"][0]["answered"]["answered_by"], "member");
        assert!(seen["intakes"][0]["answered"]["agreed_at"].is_string(), "{seen}");
        assert_eq!(seen["intakes"].as_array().map(Vec::len), Some(1));
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
    let seen = detail(&member, "", &order).await;
    let missing = json!([{"line_id": seen["order"]["lines"][0]["id"], "answered": null}]);
    assert_eq!(seen["intakes"], missing);
    body["intake"] = answers("");
    let refused = owner.post("/api/v1/staff/bookings", body).idempotent().await;
    assert_eq!(fault(&refused), (422, "missing_field", "intake.answers.allergy"));

    let path = format!("/api/v1/orders/{order}/intake");
    let refused = member.put(&path, answers("")).await;
    assert_eq!(fault(&refused), (422, "missing_field", "answers.allergy"));
    stack.some_member().await.put(&path, answers("花粉")).await.refused(404, "not_found");
    let kept = member.put(&path, answers("花粉")).await.expect(200).body;
    assert_eq!(kept, detail(&member, "", &order).await["intakes"][0]["answered"]);
    let staff = format!("/api/v1/staff/orders/{order}/intake");
    owner.put(&staff, answers("花生")).await.check(200);
    let seen = detail(&member, "", &order).await;
    assert_eq!(seen["intakes"][0]["answered"]["answers"]["allergy"], "花生");
    assert_eq!(seen["intakes"][0]["answered"]["answered_by"], "staff");
    assert_eq!(seen["intakes"].as_array().map(Vec::len), Some(1));

    member.post(format!("/api/v1/orders/{order}/cancel"), json!({})).await.check(200);
    for (api, path) in [(&member, &path), (&owner, &staff)] {
        api.put(path, answers("虾")).await.refused(409, "order_not_changeable");
    }
    let seen = detail(&member, "", &order).await;
    assert_eq!(seen["intakes"][0]["answered"]["answers"]["allergy"], "花生");
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

/// A form with one question.
fn question(label: &str, required: bool) -> Value {
    let kind = json!({"type": "text", "max_chars": 20});
    json!({"fields": [{"key": "care", "label": label, "required": required, "kind": kind}]})
}

fn care(version: i64, text: &str) -> Value {
    json!({"form_version": version, "answers": {"care": text}})
}

/// A visit of these lines, to be paid at the store.
fn visit(shop: &Shop, start: &str, lines: &Value) -> Value {
    json!({"store_id": shop.store, "start_at": start, "payment": "at_store", "lines": lines})
}

/// A store's services: two guests have the one with the long form, one of them another that asks, the other
/// one that does not.
struct Party {
    shop: Shop,
    asking: String,
    plain: String,
}

impl Party {
    async fn new(stack: &Stack) -> Self {
        let shop = stack.shop_with(2, Hours::Day, json!({"intake": form()})).await;
        let asks = json!({"duration_minutes": 30, "intake": question("哪里要小心", true)});
        let asking = stack.service(&shop.store, asks).await;
        let plain = stack.service(&shop.store, json!({"duration_minutes": 30})).await;
        Self { shop, asking, plain }
    }

    /// The visit's lines with these answers.
    fn lines(&self, given: [&Value; 4]) -> Value {
        let mut lines = json!([
            {"service_id": self.shop.service, "guest": "甲"},
            {"service_id": self.shop.service, "guest": "乙", "starts": "with_previous"},
            {"service_id": self.asking, "guest": "乙"},
            {"service_id": self.plain, "guest": "甲", "starts": "with_previous"},
        ]);
        for (at, intake) in given.into_iter().enumerate().filter(|(_, intake)| !intake.is_null()) {
            lines[at]["intake"] = intake.clone();
        }
        lines
    }

    async fn booked(&self, member: &Api, start: &str) -> Reply {
        let lines = self.lines([&answers("花粉"), &answers("虾"), &care(1, "膝盖"), &Value::Null]);
        let body = visit(&self.shop, start, &lines);
        member.post("/api/v1/visits", body).idempotent().await.expect(201)
    }
}

/// Line and answers of one of the lines that are told of.
fn answered(seen: &Value, at: usize) -> (&Value, &Value) {
    let told = &seen["intakes"][at];
    (&told["line_id"], &told["answered"]["answers"])
}

#[tokio::test]
async fn each_line_of_a_visit_has_answers_of_its_own() {
    let stack = Stack::start().await;
    let party = Party::new(&stack).await;
    let member = stack.some_member().await;
    let (none, one, two, three) =
        (&Value::Null, &answers("花粉"), &answers("虾"), &care(1, "膝盖"));
    let before = stack.everything().await;
    for (given, status, code, field) in [
        ([none, none, none, none], 422, "intake_required", "lines[0].intake"),
        ([one, none, three, none], 422, "intake_required", "lines[1].intake"),
        ([one, two, none, none], 422, "intake_required", "lines[2].intake"),
        ([one, two, three, three], 422, "intake_not_asked", "lines[3].intake"),
        // What is answered for another line is none for this one.
        ([one, three, three, none], 422, "consent_required", "lines[1].intake.consent_version"),
        ([one, two, two, none], 422, "missing_field", "lines[2].intake.answers.care"),
        ([one, &answers(""), three, none], 422, "missing_field", "lines[1].intake.answers.allergy"),
        ([one, two, &care(2, "膝盖"), none], 409, "intake_changed", "lines[2].intake.form_version"),
        (
            [one, two, &json!({"form_version": 1, "answers": {"care": null}}), none],
            422,
            "wrong_type",
            "lines[2].intake.answers.care",
        ),
        ([one, two, &json!([]), none], 422, "wrong_type", "lines[2].intake"),
    ] {
        let body = visit(&party.shop, &at(1, "11:00"), &party.lines(given));
        let reply = member.post("/api/v1/visits", body).idempotent().await;
        assert_eq!(fault(&reply), (status, code, field), "{}", reply.body);
    }
    before.assert_same(&stack.everything().await, "a refused answer");

    let lines = party.lines([one, two, three, none]);
    let wanted = json!({"store_id": party.shop.store, "from": date(1), "days": 1, "lines": lines});
    member.post("/api/v1/visits/availability", wanted).await.check(200);
    let booked = party.booked(&member, &at(1, "11:00")).await;
    for (api, prefix) in [(&member, ""), (&stack.owner().await, "staff/")] {
        let seen = detail(api, prefix, booked.text("/order/id")).await;
        let lines = &seen["order"]["lines"];
        assert_eq!(seen["intakes"].as_array().map(Vec::len), Some(3), "{}", seen["intakes"]);
        assert_eq!(answered(&seen, 0), (&lines[0]["id"], &one["answers"]));
        assert_eq!(answered(&seen, 1), (&lines[1]["id"], &two["answers"]));
        assert_eq!(answered(&seen, 2), (&lines[2]["id"], &three["answers"]));
    }
    let log = stack.worker_log();
    assert!(log.contains("/api/v1/visits") && !log.contains("膝盖"));
    settled(&stack).await;
    Audit::of(&stack, &[(&party.shop, Hours::Day)]).check();
}

#[tokio::test]
async fn a_line_of_a_visit_is_answered_for_afterwards() {
    let stack = Stack::shared().await;
    let party = Party::new(&stack).await;
    let (member, owner) = (stack.some_member().await, stack.owner().await);
    let named = |line: &Value, mut body: Value| {
        body["line_id"] = line.clone();
        body
    };
    let booked = party.booked(&member, &at(1, "11:00")).await;
    let other = party.booked(&member, &at(2, "11:00")).await;
    let lines = &booked.body["order"]["lines"];
    let before = detail(&member, "", booked.text("/order/id")).await;
    let path = format!("/api/v1/orders/{}/intake", booked.text("/order/id"));
    let refused = member.put(&path, answers("蟹")).await;
    assert_eq!(fault(&refused), (422, "missing_field", "line_id"));
    for strange in [&json!("0".repeat(32)), &other.body["order"]["lines"][1]["id"]] {
        member.put(&path, named(strange, answers("蟹"))).await.refused(404, "not_found");
    }
    let refused = member.put(&path, named(&json!("x"), answers("蟹"))).await;
    assert_eq!(fault(&refused), (422, "invalid_id", "line_id"));
    let refused = member.put(&path, named(&lines[3]["id"], care(1, "无"))).await;
    refused.refused(422, "intake_not_asked");
    let refused = member.put(&path, named(&lines[1]["id"], care(1, "无"))).await;
    assert_eq!(fault(&refused), (422, "consent_required", "consent_version"));
    assert_eq!(detail(&member, "", booked.text("/order/id")).await, before);
    member.put(&path, named(&lines[1]["id"], answers("蟹"))).await.check(200);
    let seen = detail(&member, "", booked.text("/order/id")).await;
    assert_eq!(answered(&seen, 1), (&lines[1]["id"], &answers("蟹")["answers"]));
    for at in [0, 2] {
        assert_eq!(seen["intakes"][at], before["intakes"][at]);
    }

    // Staff may book without; each line is missed until it is answered for.
    let by_staff = async |start: &str, services: [&String; 3]| {
        let lines = services.map(|id| json!({"service_id": id}));
        let mut body = visit(&party.shop, start, &json!(lines));
        body.as_object_mut().expect("a body").remove("payment");
        let booked = owner.post("/api/v1/staff/visits", body).idempotent().await.expect(201);
        let order = booked.text("/order/id").to_owned();
        (
            format!("/api/v1/staff/orders/{order}/intake"),
            order,
            booked.body["order"]["lines"].clone(),
        )
    };
    let Party { shop, asking, plain } = &party;
    let (path, order, lines) = by_staff(&at(3, "11:00"), [plain, asking, &shop.service]).await;
    let missing = |at: usize| json!({"line_id": lines[at]["id"], "answered": null});
    let seen = detail(&owner, "staff/", &order).await;
    assert_eq!(seen["intakes"], json!([missing(1), missing(2)]));
    owner.put(&path, named(&lines[1]["id"], care(1, "膝盖"))).await.check(200);
    let seen = detail(&owner, "staff/", &order).await;
    assert_eq!(seen["intakes"][0]["answered"]["answered_by"], "staff");
    assert_eq!(seen["intakes"][1], missing(2));
    // Of a visit that is given up nothing is missed any more.
    owner.post(format!("/api/v1/staff/orders/{order}/cancel"), json!({})).await.check(200);
    let seen = detail(&owner, "staff/", &order).await;
    assert_eq!(seen["intakes"].as_array().map(Vec::len), Some(1));
    // The only line that asks need not be named, whatever stands beside it.
    let (path, order, lines) = by_staff(&at(4, "11:00"), [plain, asking, plain]).await;
    owner.put(&path, care(1, "腰")).await.check(200);
    let seen = detail(&owner, "staff/", &order).await;
    assert_eq!(answered(&seen, 0), (&lines[1]["id"], &json!({"care": "腰"})));
}

async fn settled(stack: &Stack) {
    eventually("an empty outbox and no holds", Duration::from_secs(30), async || {
        stack.run_cron("* * * * *").await.check(200);
        stack.is_settled().then_some(())
    })
    .await;
}

/// How long whoever changes what is booked waits before each change: so most bookings come through, and many
/// do not.
const BETWEEN_CHANGES: Duration = Duration::from_millis(30);

/// Has each technician booked for every hour of tomorrow, each by a member of their own who tries until the
/// time is theirs, while `change` changes what they book, again and again. The bookings made, and how many
/// were refused as `raced` says: between their read and their commit.
async fn book_beside(
    stack: &Stack,
    shop: &Shop,
    path: &'static str,
    body: impl Fn(&str, &str) -> Value + Clone + Send + Sync + 'static,
    raced: fn(&Reply) -> bool,
    mut change: impl AsyncFnMut(),
) -> (Vec<Reply>, usize) {
    let mut bookers = JoinSet::new();
    for technician in shop.technicians.clone() {
        let (member, body) = (stack.some_member().await, body.clone());
        bookers.spawn(async move {
            let (mut made, mut late) = (Vec::new(), 0);
            for hour in 10..22 {
                let start = at(1, &format!("{hour}:00"));
                loop {
                    let call = member.post(path, body(&technician, &start)).idempotent();
                    let reply = call.patient().await;
                    if reply.status == 201 {
                        made.push(reply);
                        break;
                    }
                    late += usize::from(raced(&reply));
                }
            }
            (made, late)
        });
    }
    let (mut made, mut late) = (Vec::new(), 0);
    loop {
        tokio::select! {
            done = bookers.join_next() => {
                let Some(done) = done else { return (made, late) };
                let (more, refused) = done.expect("a booker does not fail");
                made.extend(more);
                late += refused;
            }
            () = tokio::time::sleep(BETWEEN_CHANGES) => change().await,
        }
    }
}

/// Notes beside each item and each answer that is written what it would have to say at that moment.
const WITNESS: &str = "CREATE TABLE witness (order_id TEXT, said TEXT, is_so TEXT);
    CREATE TRIGGER witness_item AFTER INSERT ON order_item BEGIN
        INSERT INTO witness VALUES (NEW.order_id, NEW.name || ' ' || NEW.price_fen,
            (SELECT name || ' ' || price_fen FROM item WHERE id = NEW.item_id AND status = 'active'));
    END;
    CREATE TRIGGER witness_intake AFTER INSERT ON order_intake BEGIN
        INSERT INTO witness VALUES (NEW.order_id,
            json_array(NEW.form ->> 'version', NEW.form ->> '$.fields[0].label'),
            (SELECT json_array(intake ->> 'version', intake ->> '$.fields[0].label') FROM service
                WHERE id = NEW.service_id));
    END;";

/// All that was written was so when it was, and it is of so many orders, with so many rows of it in each.
fn assert_witnessed(stack: &Stack, orders: usize, rows: usize) {
    let all = stack.d1("SELECT * FROM witness");
    let wrong: Vec<_> = all.iter().filter(|row| row["said"] != row["is_so"]).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), all.len());
    assert_eq!(all.len(), orders * rows);
    assert_eq!(stack.it("SELECT count(*) AS it FROM orders"), orders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_ordered_costs_what_it_does_when_it_is_booked() {
    let stack = Stack::start().await;
    stack.change_d1(WITNESS).await;
    let shop = stack.shop(6, Hours::Day).await;
    let owner = stack.owner().await;
    let mut price = 1_000;
    let first = item(&stack, &shop, &format!("菜 {price}"), price, 9).await;
    let sold = Arc::new(Mutex::new(first));
    let (menu, of) = (Arc::clone(&sold), shop.clone());
    let body = move |technician: &str, start: &str| {
        let mut body = of.booking(Some(technician), start);
        let id = menu.lock().expect("a menu").clone();
        body["items"] = json!([{"item_id": id, "quantity": 2}]);
        body
    };
    let raced = |reply: &Reply| match (reply.status, reply.code()) {
        (409, "item_changed") => true,
        (422, "unknown_item") => false,
        other => panic!("{other:?} {}", reply.body),
    };
    let mut version = 1;
    let change = async || {
        price += 1;
        let name = format!("菜 {price}");
        let id = sold.lock().expect("a menu").clone();
        let path = format!("/api/v1/admin/items/{id}");
        if price % 4 == 0 {
            owner.post(format!("{path}/retire"), json!({"version": version})).await.check(200);
            let id = item(&stack, &shop, &name, price, 9).await;
            *sold.lock().expect("a menu") = id;
            version = 1;
        } else {
            let body = json!({"version": version, "store_id": shop.store, "category": "热菜",
                "name": name, "price_fen": price, "max_per_order": 9});
            owner.put(&path, body).await.check(200);
            version += 1;
        }
    };
    let (made, late) = book_beside(&stack, &shop, "/api/v1/bookings", body, raced, change).await;

    assert_witnessed(&stack, made.len(), 1);
    for order in
        stack.d1("SELECT total_fen, price_fen, name FROM orders JOIN order_item ON order_id = id")
    {
        let fen = order["price_fen"].as_i64().expect("a price");
        assert_eq!(order["total_fen"], 19_800 + 2 * fen);
        assert_eq!(order["name"], format!("菜 {fen}"));
    }
    println!("{} prices, {late} refused between read and commit", price - 999);
    assert!(late > 0, "nobody was late");
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_is_asked_when_it_is_booked() {
    let stack = Stack::start().await;
    stack.change_d1(WITNESS).await;
    let half = |form| json!({"duration_minutes": 30, "intake": form});
    let shop = stack.shop_with(6, Hours::Day, half(question("第 0 版", true))).await;
    let second = stack.service(&shop.store, half(question("第 0 版", true))).await;
    let owner = stack.owner().await;
    let both = [shop.clone(), Shop { service: second, ..shop.clone() }];
    // The versions of both services' forms.
    let asked = Arc::new(Mutex::new([1, 1]));
    let (forms, of) = (Arc::clone(&asked), both.clone());
    let body = move |technician: &str, start: &str| {
        let [one, two] = *forms.lock().expect("forms");
        let line = |of: &Shop, version| json!({"service_id": of.service, "technician_id": technician, "intake": care(version, "无")});
        visit(&of[0], start, &json!([line(&of[0], one), line(&of[1], two)]))
    };
    // What is read is refused at its field.
    let raced = |reply: &Reply| {
        assert_eq!((reply.status, reply.code()), (409, "intake_changed"), "{}", reply.body);
        reply.body["fields"].as_array().is_none_or(Vec::is_empty)
    };
    let mut changes = 0;
    let change = async || {
        changes += 1;
        let which = changes % 2;
        let (path, mut body) = service(&owner, &both[which]).await;
        body["intake"]["fields"][0]["label"] = format!("第 {changes} 版").into();
        let service = owner.put(&path, body).await.expect(200).body;
        let version = service["intake"]["version"].as_i64().expect("a version");
        asked.lock().expect("forms")[which] = version;
    };
    let (made, late) = book_beside(&stack, &shop, "/api/v1/visits", body, raced, change).await;

    assert_witnessed(&stack, made.len(), 2);
    println!("{changes} changes, {late} refused between read and commit");
    assert!(late > 0, "nobody was late");
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test]
async fn answers_are_kept_for_so_long_after_the_visit() {
    const HOUR: i64 = 3_600_000;
    const KEPT: i64 = 30 * 24 * HOUR;
    let stack = Stack::start_with(&[("INTAKE_KEEP_DAYS", "30")]).await;
    let shop = stack.shop_with(2, Hours::Day, json!({"intake": form()})).await;
    let member = stack.some_member().await;
    let mut orders = Vec::new();
    for said in ["花粉", "虾"] {
        let booked = book(&member, &shop, &at(1, "11:00"), json!({"intake": answers(said)})).await;
        orders.push(booked.expect(201).text("/order/id").to_owned());
    }
    // Where a visit moves, its answers end.
    let to = json!({"start_at": at(40, "15:00")});
    let path = format!("/api/v1/orders/{}/reschedule", orders[1]);
    member.post(path, to).idempotent().await.check(200);
    let ends = stack.d1("SELECT end_at FROM order_intake ORDER BY rowid");
    assert_eq!(ends[0]["end_at"], ms(&at(1, "12:00")));
    assert_eq!(ends[1]["end_at"], ms(&at(40, "16:00")));

    // The one visit has been over for an hour longer, the other for an hour less.
    let ended = |order: &str, for_ms: i64| {
        let end = now_ms() - for_ms;
        format!(
            "UPDATE order_line SET start_at = {end} - {HOUR}, end_at = {end} WHERE order_id = '{order}';
             UPDATE orders SET start_at = {end} - {HOUR}, status = 'completed' WHERE id = '{order}';"
        )
    };
    let nightly = "10 19 * * *";
    let both = [ended(&orders[0], KEPT + HOUR), ended(&orders[1], KEPT - HOUR)].concat();
    stack.change_d1(&both).await;
    stack.run_cron(nightly).await.check(200);
    assert_eq!(stack.d1("SELECT order_id FROM order_intake"), [json!({"order_id": orders[1]})]);
    assert_eq!(detail(&member, "", &orders[0]).await["intakes"], json!([]));
    let seen = detail(&member, "", &orders[1]).await;
    assert_eq!(seen["intakes"][0]["answered"]["answers"]["allergy"], "虾");
    stack.change_d1(&ended(&orders[1], KEPT + 1)).await;
    stack.run_cron(nightly).await.check(200);
    assert_eq!(detail(&member, "", &orders[1]).await["intakes"], json!([]));
    assert_eq!(stack.it("SELECT count(*) AS it FROM order_intake"), 0);
}
