//! Who may call what (I8): every operation of `/openapi.json`, which is every route of the router,
//! under every role and from a foreign store.
//!
//! What must be answered is computed from the document's `x-audience` and `x-permission` and from the
//! table of roles below, which says again what `src/auth/permission.rs` says. How each operation is
//! called with valid ids of store A stands in [`Scene::ask`]; an operation that is missing there fails
//! the test, so a new route must be added.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use zhundian_tests::notices::{self, Notice, Wanted};
use zhundian_tests::visit::at;
use zhundian_tests::world::{date, some_phone, today};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, eventually, forge, now_ms};

/// What a role may do, as the documentation of `src/auth/permission.rs` has it.
fn role_has(role: &str, permission: &str) -> bool {
    let known = [
        "booking.read_own",
        "booking.read",
        "booking.write",
        "booking.plan",
        "settings.write",
        "booking.write_own",
        "visit.write_own",
        "visit.write",
        "calendar.block_own",
        "calendar.block",
        "member.read",
        "schedule.write",
        "catalog.read",
        "catalog.write",
        "staff.read",
        "staff.write",
        "payment.read",
        "payment.take",
        "payment.refund",
        "payment.reconcile",
        "operations.read",
    ];
    assert!(known.contains(&permission), "a new permission: say here who has it: {permission}");
    match role {
        "owner" => true,
        "manager" => permission != "staff.write",
        // Appointments, orders and members, but no plans; to book they see the catalog, and they take what is due.
        "cashier" if permission == "booking.plan" => false,
        "cashier" => {
            ["booking.", "visit.", "calendar.", "member."]
                .iter()
                .any(|part| permission.starts_with(part))
                || ["catalog.read", "payment.read", "payment.take"].contains(&permission)
        }
        // One's own appointments and time.
        "technician" => {
            ["booking.read_own", "booking.write_own", "visit.write_own", "calendar.block_own"]
                .contains(&permission)
        }
        _ => panic!("no role {role}"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    Everywhere,
    A,
    B,
}

/// Somebody who calls.
struct Caller {
    name: &'static str,
    api: Api,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Kind {
    /// Nobody known, whatever they show; the code for members' and for staff's routes.
    Unknown(&'static str, &'static str),
    /// The member whose order it is, or another one.
    Member { own: bool },
    /// Staff with these roles; `technician` is whether they are A's first technician.
    Staff { grants: Vec<(&'static str, Where)>, technician: bool },
}

/// What an operation is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// Nothing of anybody's: the audience and the permission are all there is.
    Nobody,
    /// Something of store A.
    StoreA,
    /// Something of store A that is also its first technician's own.
    OwnInA,
    /// The merchant's as a whole.
    Merchant,
    /// The first member's.
    Member,
    /// A list that holds what the caller may see, and nothing of what they may not.
    Mine,
}

/// An operation, ready to be called.
struct Ask {
    about: About,
    path: String,
    body: Option<Value>,
    bytes: Option<&'static [u8]>,
    notice: Option<Notice>,
}

fn ask(about: About, path: impl Into<String>) -> Ask {
    Ask { about, path: path.into(), body: None, bytes: None, notice: None }
}

impl Ask {
    fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    async fn call(&self, api: &Api, method: &str) -> Reply {
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
        let mut call = api.call(method, &self.path).idempotent();
        if let Some(body) = &self.body {
            call = call.json(body.clone());
        }
        if let Some(bytes) = self.bytes {
            call = call.body("image/png", bytes);
        }
        if let Some(notice) = &self.notice {
            call = notice.bring(call);
        }
        call.patient().await
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";

/// What must come back.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    /// This status and code.
    Refused(u16, &'static str),
    /// 403 or 404: not theirs.
    NotTheirs,
    /// Whatever it is, it is no refusal.
    Allowed,
}

fn verdict(kind: &Kind, audience: &str, permission: Option<&str>, about: About) -> Verdict {
    if audience == "public" {
        return Verdict::Allowed;
    }
    match kind {
        Kind::Unknown(member, staff) => {
            Verdict::Refused(401, if audience == "member" { member } else { staff })
        }
        Kind::Member { own } => match (audience, about) {
            ("staff", _) => Verdict::Refused(401, "wrong_audience"),
            (_, About::Member) if !own => Verdict::NotTheirs,
            _ => Verdict::Allowed,
        },
        Kind::Staff { .. } if audience == "member" => Verdict::Refused(401, "wrong_audience"),
        Kind::Staff { grants, technician } => {
            let Some(permission) = permission else { return Verdict::Allowed };
            let has = |permission: &str, place: &[Where]| {
                let mut held = grants.iter().filter(|(role, _)| role_has(role, permission));
                held.any(|(_, at)| place.contains(at))
            };
            if !has(permission, &[Where::Everywhere, Where::A, Where::B]) {
                return Verdict::Refused(403, "forbidden");
            }
            // What one may do with one's own is written `…_own`; for the rest there is the whole.
            let whole = permission.trim_end_matches("_own");
            let in_a = &[Where::Everywhere, Where::A];
            let allowed = match about {
                About::Nobody | About::Mine => true,
                About::Merchant => has(permission, &[Where::Everywhere]),
                About::OwnInA => has(whole, in_a) || (*technician && has(permission, in_a)),
                About::StoreA | About::Member => has(whole, in_a),
            };
            if allowed { Verdict::Allowed } else { Verdict::NotTheirs }
        }
    }
}

/// Store A with what belongs to it, and a foreign store B.
struct Scene {
    stack: Stack,
    owner: Api,
    a: Shop,
    b: Shop,
    member: Api,
    member_phone: String,
    other_member: Api,
    technician_staff: String,
    photo: String,
    /// Ids of outbox rows that were given up, and of differences.
    dead: Vec<String>,
    differences: Vec<String>,
    /// Starts of A's first technician that nobody has yet.
    starts: Vec<String>,
    /// A's service of mode plan.
    plan_service: String,
    /// A with a service of five minutes, and its starts of the next hours.
    short: Shop,
    near: Vec<String>,
    /// Orders whose appointment has begun.
    absent: Vec<String>,
    /// Sessions made with A's second technician.
    classes: usize,
}

fn address() -> Value {
    json!({"contact_name": "林女士", "contact_phone": "13900001111", "text": "南京西路 1 号",
        "latitude": 31.22, "longitude": 121.45})
}

impl Scene {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let owner = stack.owner().await;
        let modes = json!({"modes": ["direct", "assigned", "express", "group"],
            "add_ons": [{"name": "加钟", "minutes": 0, "price_fen": 100}]});
        let (a, b) =
            (stack.shop_with(2, Hours::Always, modes).await, stack.shop(1, Hours::Always).await);
        let path = format!("/api/v1/admin/stores/{}", a.store);
        let mut store = owner.get(&path).await.expect(200).body;
        store.as_object_mut().expect("a store").remove("id");
        store["ways"] = json!({
            "accept_within_minutes": 30, "when_declined": "offer_to_all",
            "express": {"deposit_fen": 0, "propose_within_minutes": 60, "answer_within_minutes": 60},
        });
        owner.put(&path, store).await.check(200);
        let (member, other_member) = (stack.some_member().await, stack.some_member().await);
        let mut starts = Vec::new();
        for first in [2, 4, 6, 8] {
            let slots = a.slots(&member, Some(&a.technicians[0]), &date(first), 2).await;
            starts.extend(slots.iter().step_by(12).map(|slot| slot.start_at.clone()));
        }
        starts.reverse();
        stack.plans(true).await;
        let body = json!({
            "category": "疗程", "name": "疗程", "duration_minutes": 30, "price_fen": 0,
            "deposit": {"kind": "none"}, "places": ["store"], "modes": ["plan"], "stores": [a.store],
        });
        let plan_service = owner.post("/api/v1/admin/services", body).await.expect(201);
        let plan_service = plan_service.text("/id").to_owned();
        let mut short =
            owner.get(format!("/api/v1/admin/services/{}", a.service)).await.expect(200).body;
        let fields = short.as_object_mut().expect("an object");
        fields.retain(|field, _| !["id", "version", "status", "add_ons"].contains(&field.as_str()));
        (short["name"], short["duration_minutes"]) = ("修剪".into(), 5.into());
        let field = json!({"key": "since", "label": "从何时起", "kind": {"type": "date"}});
        short["intake"] = json!({"fields": [field]});
        let service = owner.post("/api/v1/admin/services", short).await.expect(201);
        let short = Shop { service: service.text("/id").to_owned(), ..a.clone() };
        // From an hour on, within the half day before the start in which a customer may check in.
        let slots = short.slots(&member, Some(&a.technicians[0]), &today(), 2).await;
        let near = slots.iter().skip(12).take(12 * 10).map(|slot| slot.start_at.clone());
        let near = near.rev().collect();
        let upload = owner.call(Method::POST, "/api/v1/admin/photos").body("image/png", PNG);
        let photo = upload.await.expect(201).text("/id").to_owned();
        let technician_staff = some_phone();
        let body = json!({"phone": technician_staff, "name": "技师", "technician_id": a.technicians[0],
            "grants": [{"role": "technician", "store_id": a.store}]});
        owner.post("/api/v1/admin/staff", body).await.check(201);
        let member_phone = some_phone();
        Self {
            stack,
            owner,
            a,
            b,
            member,
            member_phone,
            other_member,
            technician_staff,
            photo,
            dead: Vec::new(),
            differences: Vec::new(),
            starts,
            plan_service,
            short,
            near,
            absent: Vec::new(),
            classes: 0,
        }
    }

    /// What a plan of the first member's with A's first technician is made of: one session.
    async fn plan_wish(&mut self) -> Value {
        let me = self.member.get("/api/v1/me").await.expect(200);
        json!({
            "store_id": self.a.store, "member_id": me.text("/id"), "service_id": self.plan_service,
            "technician_id": self.a.technicians[0], "rhythm": "custom", "starts": [self.start()],
        })
    }

    /// A new plan: it and its session.
    async fn plan(&mut self) -> (String, String) {
        let wish = self.plan_wish().await;
        let plan = self.owner.post("/api/v1/staff/plans", wish).idempotent().await.expect(201);
        (plan.text("/plan/id").to_owned(), plan.text("/plan/sessions/0/id").to_owned())
    }

    /// A session that nobody has made yet.
    fn class(&mut self, capacity: u32) -> Value {
        self.classes += 1;
        let days = i64::try_from(self.classes / 20).expect("few");
        let start = at(10 + days, &format!("{:02}:00", self.classes % 20));
        json!({"store_id": self.a.store, "service_id": self.a.service,
            "technician_id": self.a.technicians[1], "capacity": capacity, "starts": [start]})
    }

    /// A new session with so many seats.
    async fn new_class(&mut self, capacity: u32) -> String {
        let body = self.class(capacity);
        let made = self.owner.post("/api/v1/admin/sessions", body).idempotent().await.expect(201);
        made.text("/sessions/0/id").to_owned()
    }

    /// A new order of the first member's for a seat in a new session: the path of its change, and the
    /// change to another new session.
    async fn seat(&mut self) -> (String, Value) {
        let (from, to) = (self.new_class(5).await, self.new_class(5).await);
        let body = json!({"seats": 1, "payment": "at_store"});
        let path = format!("/api/v1/sessions/{from}/bookings");
        let booked = self.member.post(path, body).idempotent().patient().await.expect(201);
        let line = booked.text("/order/lines/0/id");
        let body = json!({"line_id": line, "session_id": to});
        (format!("orders/{}/session", booked.text("/order/id")), body)
    }

    /// A session whose only seat is taken, and the order that has it.
    async fn full_class(&mut self) -> (String, String) {
        let class = self.new_class(1).await;
        let path = format!("/api/v1/staff/sessions/{class}/bookings");
        let booked = self.owner.post(path, json!({"seats": 1})).idempotent().await.expect(201);
        (class, booked.text("/order/id").to_owned())
    }

    /// A new place on a waitlist, of the first member's; and the order that is in its way.
    async fn wait(&mut self) -> (String, String) {
        let (class, order) = self.full_class().await;
        let path = format!("/api/v1/sessions/{class}/waitlist");
        let entry = self.member.post(path, json!({"seats": 1})).patient().await.expect(201);
        (format!("/api/v1/waitlist/{}", entry.text("/id")), order)
    }

    /// A place on a waitlist that is offered to the first member.
    async fn offered_seat(&mut self) -> String {
        let (entry, order) = self.wait().await;
        let path = format!("/api/v1/staff/orders/{order}/cancel");
        self.owner.post(path, json!({})).await.check(200);
        eventually("an offer", Duration::from_secs(20), async || {
            let list = self.member.get("/api/v1/waitlist?limit=100").await.expect(200);
            let entries = list.body["items"].as_array().expect("entries").clone();
            let of = |one: &Value| entry.ends_with(one["id"].as_str().expect("an id"));
            entries.into_iter().find(|one| of(one) && one["status"] == "offered").map(drop)
        })
        .await;
        entry
    }

    /// Rows that no client makes: what was given up, and what a bill says differently.
    async fn with_troubles() -> Self {
        let mut scene = Self::new().await;
        for _ in 0..6 {
            let order = scene.soon().await.0;
            scene.absent.push(order);
        }
        let id = |kind: char, number: usize| format!("{kind}{number:031}");
        let (dead, differences): (Vec<_>, Vec<_>) =
            (1..=4).map(|number| (id('a', number), id('b', number))).unzip();
        let calendar = format!("technician:{}", scene.a.technicians[0]);
        let statements = dead.iter().zip(&differences).map(|(dead, difference)| {
            let release = json!({"topic": "release", "claim_id": dead, "calendar": calendar});
            format!(
                "INSERT INTO outbox (id, topic, payload, due_at, created_at, dead)
                    VALUES ('{dead}', 'release', '{release}', 0, 0, 1);
                 INSERT INTO difference (id, kind, provider, subject, ours, theirs, found_at)
                    VALUES ('{difference}', 'bill_missing', 'alipay', '{difference}', '{{}}', '{{}}', 0);"
            )
        });
        let begun = format!(
            "UPDATE orders SET start_at = {} WHERE id IN ('{}');",
            now_ms() - 60_000,
            scene.absent.join("', '")
        );
        let sql: String = statements.chain([begun]).collect();
        (scene.dead, scene.differences) = (dead, differences);
        scene.stack.change_d1(&sql).await;
        scene
    }

    /// A new order of somebody's in store A, to be paid there.
    async fn unpaid_order(&mut self) -> String {
        let start = self.start();
        let member = self.stack.some_member().await;
        let body = self.a.booking(Some(&self.a.technicians[0]), &start);
        let booked = member.post("/api/v1/bookings", body).idempotent().patient().await.expect(201);
        booked.text("/order/id").to_owned()
    }

    /// A new order of somebody's that A's first technician is asked to accept: its path and line.
    async fn asked(&mut self) -> (String, Value) {
        let order = self.unpaid_order().await;
        let path = format!("/api/v1/staff/orders/{order}");
        let line = self.read(&path).await["order"]["lines"][0]["id"].clone();
        (path, json!({"line_id": line}))
    }

    /// An appointment that is offered to all who can do it: its path and line.
    async fn offered(&mut self) -> (String, Value) {
        let (path, line) = self.asked().await;
        let declined = self.owner.post(format!("{path}/decline"), line.clone());
        declined.idempotent().await.check(200);
        eventually("it is offered", Duration::from_secs(20), async || {
            let order = self.read(&path).await;
            (order["order"]["lines"][0]["assignment"] == "offered").then_some(())
        })
        .await;
        (path, line)
    }

    fn wish(&mut self) -> (Value, String) {
        let start = self.start();
        let from = chrono::DateTime::parse_from_rfc3339(&start).expect("an instant");
        let until = (from + chrono::Duration::hours(1)).to_rfc3339();
        let body = json!({"store_id": self.a.store, "category": "推拿", "from": start, "until": until,
            "payment": "online"});
        (body, start)
    }

    /// An express order of the first member's, with the body of a proposal for it.
    async fn wished(&mut self) -> (String, Value) {
        let (wish, start) = self.wish();
        let placed =
            self.member.post("/api/v1/express-bookings", wish).idempotent().patient().await;
        let order = placed.expect(201).text("/order/id").to_owned();
        (order, json!({"service_id": self.a.service, "start_at": start}))
    }

    /// As [`Scene::wished`], with the proposal made.
    async fn proposed(&mut self) -> String {
        let (order, proposal) = self.wished().await;
        let path = format!("/api/v1/staff/orders/{order}/proposal");
        self.owner.post(path, proposal).idempotent().await.check(200);
        order
    }

    fn start(&mut self) -> String {
        self.starts.pop().expect("enough free starts")
    }

    /// A new order of the first member's with A's first technician: the order and its line.
    async fn order(&mut self) -> (String, String) {
        let start = self.start();
        let body = self.a.booking(Some(&self.a.technicians[0]), &start);
        let reply = self.member.post("/api/v1/bookings", body).idempotent().patient().await;
        let reply = reply.expect(201);
        (reply.text("/order/id").to_owned(), reply.text("/order/lines/0/id").to_owned())
    }

    /// As [`Scene::order`], in the next hours; booked by staff, who have no limit.
    async fn soon(&mut self) -> (String, String) {
        let start = self.near.pop().expect("enough free starts");
        let member = self.member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
        let body = json!({"store_id": self.short.store, "service_id": self.short.service,
            "technician_id": self.a.technicians[0], "start_at": start, "member_id": member});
        let reply = self.owner.post("/api/v1/staff/bookings", body).idempotent().await.expect(201);
        (reply.text("/order/id").to_owned(), reply.text("/order/lines/0/id").to_owned())
    }

    async fn read(&self, path: &str) -> Value {
        self.owner.get(path).await.expect(200).body
    }

    /// A row as it is, as the body of a change that changes nothing but the version.
    async fn as_change(&self, path: &str) -> Value {
        let mut row = self.read(path).await;
        let fields = row.as_object_mut().expect("an object");
        fields.remove("id");
        if !path.contains("/stores/") {
            fields.remove("status");
        }
        row
    }

    async fn created(&self, path: &str, body: Value) -> String {
        self.owner.post(path, body).await.expect(201).text("/id").to_owned()
    }

    fn resource(&self) -> Value {
        json!({"store_id": self.a.store, "kind": "room", "type": "护理房", "name": "一号房"})
    }

    async fn new_resource(&self) -> String {
        let id = self.created("/api/v1/admin/resources", self.resource()).await;
        format!("/api/v1/admin/resources/{id}")
    }

    fn item(&self) -> Value {
        json!({"store_id": self.a.store, "category": "茶点", "name": "桂花糕", "price_fen": 1800})
    }

    async fn new_item(&self) -> String {
        let id = self.created("/api/v1/admin/items", self.item()).await;
        format!("/api/v1/admin/items/{id}")
    }

    async fn new_address(&self) -> String {
        let path = "/api/v1/me/addresses";
        let reply = self.member.post(path, address()).await.expect(201);
        format!("{path}/{}", reply.text("/id"))
    }

    async fn new_staff(&self) -> String {
        let grants = json!([{"role": "cashier", "store_id": self.a.store}]);
        let body = json!({"phone": some_phone(), "name": "收银", "grants": grants});
        self.created("/api/v1/admin/staff", body).await
    }

    /// How an operation is called, so that whoever may, can: valid ids and a valid body, all of them
    /// store A's or the first member's. What it uses up is made anew each time.
    #[expect(clippy::too_many_lines, reason = "a table")]
    async fn ask(&mut self, operation: &str) -> Ask {
        use About::{Member, Merchant, Mine, Nobody, OwnInA, StoreA};
        let (store, service) = (self.a.store.clone(), self.a.service.clone());
        let technician = self.a.technicians[0].clone();
        let technicians = "/api/v1/admin/technicians";
        let windows = format!("{technicians}/{technician}/windows");
        let week = json!({"monday": [{"start": "00:00", "end": "24:00"}]});
        let key_date = date(80);
        match operation {
            // Anybody.
            "healthz" => ask(Nobody, "/healthz"),
            "openapi_json" => ask(Nobody, "/openapi.json"),
            "sign_in_by_wechat" => {
                let login = self.stack.sandbox().post("/login", json!({"openid": "o-rights"}));
                let code = login.await.expect(200).text("/code").to_owned();
                ask(Nobody, "/api/v1/auth/wechat").with(json!({"code": code}))
            }
            "ask_sign_in_code" => {
                ask(Nobody, "/api/v1/auth/code").with(json!({"phone": some_phone()}))
            }
            "ask_staff_code" => {
                ask(Nobody, "/api/v1/staff/auth/code").with(json!({"phone": some_phone()}))
            }
            "sign_in_by_phone" => {
                let body = json!({"phone": some_phone(), "code": "000000"});
                ask(Nobody, "/api/v1/auth/phone").with(body)
            }
            "sign_in_staff" => {
                let body = json!({"phone": some_phone(), "code": "000000"});
                ask(Nobody, "/api/v1/staff/auth/token").with(body)
            }
            "availability" => {
                let what = format!("store_id={store}&service_id={service}");
                ask(Nobody, format!("/api/v1/availability?{what}&from={}&days=1", today()))
            }
            "visit_availability" => {
                let body = json!({"store_id": store, "from": today(), "days": 1,
                    "lines": [{"service_id": service}]});
                ask(Nobody, "/api/v1/visits/availability").with(body)
            }
            "get_photo" => ask(Nobody, format!("/api/v1/photos/{}", self.photo)),
            "list_items" => ask(Nobody, format!("/api/v1/items?store_id={store}")),
            "list_services" => ask(Nobody, "/api/v1/services"),
            "get_service" => ask(Nobody, format!("/api/v1/services/{service}")),
            "list_stores" => ask(Nobody, "/api/v1/stores"),
            "get_store" => ask(Nobody, format!("/api/v1/stores/{store}")),
            "list_technicians" => ask(Nobody, "/api/v1/technicians"),
            "get_technician" => ask(Nobody, format!("/api/v1/technicians/{technician}")),

            // Members.
            "sign_out" => ask(Nobody, "/api/v1/auth/sign-out"),
            "read_me" => ask(Nobody, "/api/v1/me"),
            "change_me" => ask(Nobody, "/api/v1/me").with(json!({"nickname": "我"})),
            "my_subscriptions" => ask(Nobody, "/api/v1/me/subscriptions"),
            "subscribe" => ask(Nobody, "/api/v1/me/subscriptions").with(json!({"results": []})),
            "list_my_addresses" => ask(Nobody, "/api/v1/me/addresses"),
            "add_my_address" => ask(Nobody, "/api/v1/me/addresses").with(address()),
            "change_my_address" => {
                ask(Member, self.new_address().await).with(json!({"text": "别处"}))
            }
            "remove_my_address" => ask(Member, self.new_address().await),
            "put_my_avatar" => Ask { bytes: Some(PNG), ..ask(Nobody, "/api/v1/me/avatar") },
            "book" => {
                let start = self.start();
                ask(Nobody, "/api/v1/bookings").with(self.a.booking(Some(&technician), &start))
            }
            "book_visit" => {
                let start = self.start();
                let line = json!({"service_id": self.a.service, "technician_id": technician});
                let body = json!({"store_id": store, "start_at": start, "payment": "at_store",
                    "lines": [line]});
                ask(Nobody, "/api/v1/visits").with(body)
            }
            "orders" => ask(Mine, "/api/v1/orders"),
            "order" => ask(Member, format!("/api/v1/orders/{}", self.order().await.0)),
            "put_intake" | "staff_put_intake" => {
                let (order, _) = self.soon().await;
                let body = json!({"form_version": 1});
                if operation == "put_intake" {
                    ask(Member, format!("/api/v1/orders/{order}/intake")).with(body)
                } else {
                    ask(StoreA, format!("/api/v1/staff/orders/{order}/intake")).with(body)
                }
            }
            "cancel" => {
                let (order, _) = self.order().await;
                ask(Member, format!("/api/v1/orders/{order}/cancel")).with(json!({}))
            }
            "reschedule" => {
                let (order, line) = self.order().await;
                let body = json!({"line_id": line, "start_at": self.start()});
                ask(Member, format!("/api/v1/orders/{order}/reschedule")).with(body)
            }

            "pay" => {
                let start = self.start();
                let mut body = self.a.booking(Some(&technician), &start);
                body["payment"] = "online".into();
                let booked =
                    self.member.post("/api/v1/bookings", body).idempotent().patient().await;
                let path = format!("/api/v1/orders/{}/pay", booked.expect(201).text("/order/id"));
                ask(Member, path).with(json!({"channel": "wechat_native"}))
            }

            "recommended" => {
                let what = format!("store_id={store}&service_id={service}&from={}&days=1", date(2));
                ask(Nobody, format!("/api/v1/availability/recommended?{what}"))
            }
            "book_express" => ask(Nobody, "/api/v1/express-bookings").with(self.wish().0),
            "accept_proposal" | "decline_proposal" => {
                let what = operation.trim_end_matches("_proposal");
                let path = format!("/api/v1/orders/{}/proposal/{what}", self.proposed().await);
                ask(Member, path).with(json!({}))
            }
            // Classes and waitlists.
            "sessions" => {
                ask(Nobody, format!("/api/v1/sessions?store_id={store}&from={}&days=1", today()))
            }
            "session" => ask(Nobody, format!("/api/v1/sessions/{}", self.new_class(5).await)),
            "book_seats" => {
                let path = format!("/api/v1/sessions/{}/bookings", self.new_class(5).await);
                ask(Nobody, path).with(json!({"seats": 1, "payment": "at_store"}))
            }
            "staff_book_seats" => {
                let path = format!("/api/v1/staff/sessions/{}/bookings", self.new_class(5).await);
                ask(StoreA, path).with(json!({"seats": 1, "contact_name": "客人"}))
            }
            "change_session" => {
                let (path, body) = self.seat().await;
                ask(Member, format!("/api/v1/{path}")).with(body)
            }
            "staff_change_session" => {
                let (path, body) = self.seat().await;
                ask(StoreA, format!("/api/v1/staff/{path}")).with(body)
            }
            "staff_sessions" => {
                let from = date(10);
                let path = format!("/api/v1/staff/sessions?store_id={store}&from={from}&days=31");
                ask(OwnInA, path)
            }
            "create_sessions" => ask(StoreA, "/api/v1/admin/sessions").with(self.class(5)),
            "resize_session" => {
                let path = format!("/api/v1/admin/sessions/{}", self.new_class(5).await);
                ask(StoreA, path).with(json!({"capacity": 6, "version": 1}))
            }
            "cancel_session" => {
                let path = format!("/api/v1/admin/sessions/{}/cancel", self.new_class(5).await);
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "join_session_waitlist" => {
                let path = format!("/api/v1/sessions/{}/waitlist", self.full_class().await.0);
                ask(Nobody, path).with(json!({"seats": 1}))
            }
            "join_waitlist" => ask(Nobody, "/api/v1/waitlist").with(json!({
                "store_id": store, "service_id": service, "technician_id": technician,
                "from": at(2, "00:00"), "until": at(2, "00:00"),
            })),
            "waitlist" => ask(Mine, "/api/v1/waitlist"),
            "leave_waitlist" => ask(Member, format!("{}/leave", self.wait().await.0)),
            "accept_offer" => ask(Member, format!("{}/bookings", self.offered_seat().await))
                .with(json!({"payment": "at_store"})),
            "staff_waitlist" => ask(StoreA, format!("/api/v1/staff/waitlist?store_id={store}")),

            // The vendors.
            "wechat_pay_notice" => {
                let nobodys = json!({"amount": 1});
                let other = Wanted::saying(&nobodys).envelope("event_type", "TRANSACTION.CLOSED");
                let notice = self.stack.wechat_pay_notices(&[other]).pop();
                Ask { notice, ..ask(Nobody, notices::WECHAT_PAY) }
            }
            "alipay_notice" => {
                let other =
                    json!({"app_id": self.stack.var("ALIPAY_APP_ID"), "notify_type": "other"});
                let notice = self.stack.alipay_notices(&[other]).pop();
                Ask { notice, ..ask(Nobody, notices::ALIPAY) }
            }

            // The visit.
            "check_in" => ask(Member, format!("/api/v1/orders/{}/check-in", self.soon().await.0)),
            "get_feed" => {
                let feed = self.owner.post("/api/v1/staff/my/feed", json!({})).await.expect(201);
                ask(Nobody, feed.text("/path").to_owned())
            }
            "staff_check_in_code" | "check_in_by_order" => {
                ask(OwnInA, format!("/api/v1/staff/orders/{}/check-in", self.soon().await.0))
            }
            "check_in_by_qr" => {
                let path = format!("/api/v1/orders/{}/check-in", self.soon().await.0);
                let qr = self.member.get(path).await.expect(200).text("/qr").to_owned();
                ask(OwnInA, "/api/v1/staff/check-ins/qr").with(json!({"qr": qr}))
            }
            "check_in_by_code" => {
                let path = format!("/api/v1/orders/{}/check-in", self.soon().await.0);
                let code = self.member.get(path).await.expect(200).text("/code").to_owned();
                let body = json!({"store_id": store, "code": code});
                ask(OwnInA, "/api/v1/staff/check-ins/code").with(body)
            }
            "find_to_check_in" => {
                ask(OwnInA, format!("/api/v1/staff/check-ins?store_id={store}&phone=0000"))
            }
            "depart" | "arrive" => {
                let line = self.soon().await.1;
                ask(OwnInA, format!("/api/v1/staff/appointments/{line}/{operation}"))
                    .with(json!({}))
            }
            "start" => {
                ask(OwnInA, format!("/api/v1/staff/appointments/{}/start", self.soon().await.1))
            }
            "finish" => {
                let path = format!("/api/v1/staff/appointments/{}", self.soon().await.1);
                self.owner.post(format!("{path}/start"), json!({})).await.check(200);
                ask(OwnInA, format!("{path}/finish")).with(json!({}))
            }
            "no_show" => {
                let order = self.absent.pop().expect("enough who did not come");
                ask(StoreA, format!("/api/v1/staff/orders/{order}/no-show"))
            }
            "appointment" => {
                ask(OwnInA, format!("/api/v1/staff/appointments/{}", self.order().await.1))
            }
            "appointment_history" => {
                ask(OwnInA, format!("/api/v1/staff/appointments/{}/history", self.order().await.1))
            }
            "put_visit_note" => {
                let path = format!("/api/v1/staff/appointments/{}/note", self.order().await.1);
                ask(OwnInA, path).with(json!({"note": "右肩紧"}))
            }
            "put_preferences" => {
                let path = format!("/api/v1/staff/appointments/{}", self.order().await.1);
                let version = self.read(&path).await["customer"]["preferences_version"].clone();
                let body = json!({"text": "不要精油", "version": version});
                ask(OwnInA, format!("{path}/preferences")).with(body)
            }
            "store_visit_photo" => Ask { bytes: Some(PNG), ..ask(Nobody, "/api/v1/staff/photos") },

            // Staff about themselves.
            "my_day" => ask(Nobody, format!("/api/v1/staff/my/day?date={}", today())),
            "read_my_feed" | "make_my_feed" | "revoke_my_feed" => {
                ask(Nobody, "/api/v1/staff/my/feed")
            }
            "sign_out_staff" => ask(Nobody, "/api/v1/staff/auth/sign-out"),
            "read_staff_me" => ask(Nobody, "/api/v1/staff/me"),

            // Staff at work.
            "appointments" => {
                let path = format!("/api/v1/staff/appointments?store_id={store}&from={}", date(2));
                ask(OwnInA, path)
            }
            "staff_orders" => ask(OwnInA, format!("/api/v1/staff/orders?store_id={store}")),
            "staff_order" => ask(OwnInA, format!("/api/v1/staff/orders/{}", self.order().await.0)),
            "staff_order_messages" => {
                let (order, _) = self.order().await;
                ask(OwnInA, format!("/api/v1/staff/orders/{order}/messages"))
            }
            "staff_book" => {
                let start = self.start();
                let mut body = self.a.booking(Some(&technician), &start);
                let fields = body.as_object_mut().expect("an object");
                fields.retain(|field, _| !["mode", "payment"].contains(&field.as_str()));
                ask(StoreA, "/api/v1/staff/bookings").with(body)
            }
            "staff_book_visit" => {
                let start = self.start();
                let line = json!({"service_id": self.a.service, "technician_id": technician});
                let body = json!({"store_id": store, "start_at": start, "lines": [line]});
                ask(StoreA, "/api/v1/staff/visits").with(body)
            }
            "extend_order" => {
                let (order, line) = self.order().await;
                let service = format!("/api/v1/services/{}", self.a.service);
                let service = self.owner.get(service).await.expect(200);
                let body = json!({"line_id": line, "add_ons": [service.text("/add_ons/0/id")]});
                ask(OwnInA, format!("/api/v1/staff/orders/{order}/extend")).with(body)
            }
            "staff_cancel" => {
                let (order, _) = self.order().await;
                ask(StoreA, format!("/api/v1/staff/orders/{order}/cancel")).with(json!({}))
            }
            "staff_reschedule" => {
                let (order, line) = self.order().await;
                let body = json!({"line_id": line, "start_at": self.start()});
                ask(StoreA, format!("/api/v1/staff/orders/{order}/reschedule")).with(body)
            }
            "offers" => ask(OwnInA, format!("/api/v1/staff/offers?store_id={store}")),
            "accept_order" | "decline_order" => {
                let (path, line) = self.asked().await;
                let what = operation.trim_end_matches("_order");
                ask(OwnInA, format!("{path}/{what}")).with(line)
            }
            "pass_order_on" => {
                let (path, line) = self.asked().await;
                ask(OwnInA, format!("{path}/pass-on")).with(line)
            }
            "grab_order" => {
                let (path, mut line) = self.offered().await;
                line["technician_id"] = technician.into();
                ask(OwnInA, format!("{path}/grab")).with(line)
            }
            "candidates" => {
                let (path, line) = self.asked().await;
                let line = line["line_id"].as_str().expect("an id");
                ask(StoreA, format!("{path}/candidates?line_id={line}"))
            }
            "assign" => {
                let (path, mut line) = self.asked().await;
                line["technician_id"] = technician.into();
                ask(StoreA, format!("{path}/assign")).with(line)
            }
            "propose" => {
                let (order, proposal) = self.wished().await;
                ask(StoreA, format!("/api/v1/staff/orders/{order}/proposal")).with(proposal)
            }
            "express_orders" => {
                ask(StoreA, format!("/api/v1/staff/express-orders?store_id={store}"))
            }
            "block_resource" => {
                let resource = self.new_resource().await;
                let (_, body) = self.block(&technician);
                let id = resource.rsplit('/').next().expect("an id");
                ask(StoreA, format!("/api/v1/staff/resources/{id}/blocks")).with(body)
            }
            "block_time" => {
                let (path, body) = self.block(&technician);
                ask(OwnInA, path).with(body)
            }
            "remove_block" => {
                let (path, body) = self.block(&technician);
                let block = self.owner.post(path, body).idempotent().await.expect(201);
                ask(OwnInA, format!("/api/v1/staff/blocks/{}", block.text("/id")))
            }
            "find_members" => {
                ask(Nobody, format!("/api/v1/staff/members?phone={}", self.member_phone))
            }

            "settle" => {
                let path = format!("/api/v1/staff/orders/{}/settle", self.unpaid_order().await);
                ask(StoreA, path).with(json!({"channel": "cash"}))
            }
            "staff_refund" => {
                let order = format!("/api/v1/staff/orders/{}", self.unpaid_order().await);
                let taken = json!({"channel": "cash", "amount_fen": 1_000});
                let settled = self.owner.post(format!("{order}/settle"), taken).idempotent().await;
                settled.check(200);
                let body = json!({"amount_fen": 100, "reason": "少做了"});
                ask(StoreA, format!("{order}/refunds")).with(body)
            }
            "payments" => ask(StoreA, format!("/api/v1/staff/payments?store_id={store}")),
            "refunds" => ask(StoreA, format!("/api/v1/staff/refunds?store_id={store}")),

            // The merchant's: money.
            "differences" => ask(Merchant, "/api/v1/admin/differences"),
            "resolve_difference" => {
                let id = self.differences.pop().expect("enough differences");
                let path = format!("/api/v1/admin/differences/{id}/resolve");
                ask(Merchant, path).with(json!({"note": "已核对"}))
            }
            "retry_outbox" => {
                let id = self.dead.pop().expect("enough that was given up");
                ask(Merchant, format!("/api/v1/admin/outbox/{id}/retry"))
            }

            // The merchant's: the catalog.
            "store_photo" => Ask { bytes: Some(PNG), ..ask(Nobody, "/api/v1/admin/photos") },
            "admin_list_stores" => ask(Mine, "/api/v1/admin/stores"),
            "admin_get_store" => ask(StoreA, format!("/api/v1/admin/stores/{store}")),
            "create_store" => {
                let mut body = self.as_change(&format!("/api/v1/admin/stores/{store}")).await;
                body.as_object_mut().expect("an object").remove("version");
                ask(Merchant, "/api/v1/admin/stores").with(body)
            }
            "change_store" => {
                let path = format!("/api/v1/admin/stores/{store}");
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_store" => {
                let path = format!("/api/v1/admin/stores/{store}");
                let version = self.read(&path).await["version"].clone();
                ask(StoreA, format!("{path}/retire")).with(json!({"version": version}))
            }
            "admin_list_services" => ask(Mine, "/api/v1/admin/services"),
            "admin_get_service" => ask(StoreA, format!("/api/v1/admin/services/{service}")),
            "create_service" => {
                ask(StoreA, "/api/v1/admin/services").with(self.service_body().await)
            }
            "change_service" => {
                let path = format!("/api/v1/admin/services/{service}");
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_service" => {
                let body = self.service_body().await;
                let id = self.created("/api/v1/admin/services", body).await;
                let path = format!("/api/v1/admin/services/{id}/retire");
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "admin_list_technicians" => ask(Mine, technicians),
            "admin_get_technician" => ask(StoreA, format!("{technicians}/{technician}")),
            "create_technician" => {
                ask(StoreA, technicians).with(json!({"name": "新技师", "stores": [store]}))
            }
            "change_technician" => {
                let path = format!("{technicians}/{technician}");
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_technician" => {
                let body = json!({"name": "将退", "stores": [store]});
                let id = self.created(technicians, body).await;
                let path = format!("{technicians}/{id}/retire");
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "admin_list_resources" => {
                ask(StoreA, format!("/api/v1/admin/resources?store_id={store}"))
            }
            "admin_get_resource" => ask(StoreA, self.new_resource().await),
            "create_resource" => ask(StoreA, "/api/v1/admin/resources").with(self.resource()),
            "change_resource" => {
                let path = self.new_resource().await;
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_resource" => {
                let path = format!("{}/retire", self.new_resource().await);
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "admin_list_items" => ask(StoreA, format!("/api/v1/admin/items?store_id={store}")),
            "admin_get_item" => ask(StoreA, self.new_item().await),
            "create_item" => ask(StoreA, "/api/v1/admin/items").with(self.item()),
            "change_item" => {
                let path = self.new_item().await;
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_item" => {
                let path = format!("{}/retire", self.new_item().await);
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "get_windows" => ask(StoreA, windows),
            "set_weekly_windows" => ask(StoreA, format!("{windows}/weekly"))
                .with(json!({"store_id": store, "valid_from": key_date, "week": week})),
            "remove_weekly_windows" => {
                let body = json!({"store_id": store, "valid_from": key_date, "week": week});
                self.owner.put(format!("{windows}/weekly"), body).await.check(200);
                ask(StoreA, format!("{windows}/weekly?store_id={store}&valid_from={key_date}"))
            }
            "set_date_windows" => ask(StoreA, format!("{windows}/dates/{key_date}"))
                .with(json!({"store_id": store, "ranges": []})),
            "remove_date_windows" => {
                let path = format!("{windows}/dates/{key_date}");
                let body = json!({"store_id": store, "ranges": []});
                self.owner.put(&path, body).await.check(200);
                ask(StoreA, format!("{path}?store_id={store}"))
            }
            "add_time_off" => ask(StoreA, format!("{windows}/times-off")).with(time_off()),
            "remove_time_off" => {
                let path = format!("{windows}/times-off");
                let id = self.created(&path, time_off()).await;
                ask(StoreA, format!("{path}/{id}"))
            }
            "list_holidays" => ask(StoreA, format!("/api/v1/admin/stores/{store}/holidays")),
            "put_holiday" => {
                let path = format!("/api/v1/admin/stores/{store}/holidays/{key_date}");
                ask(StoreA, path).with(json!({"name": "盘点"}))
            }
            "remove_holiday" => {
                let path = format!("/api/v1/admin/stores/{store}/holidays/{key_date}");
                self.owner.put(&path, json!({"name": "盘点"})).await.check(200);
                ask(StoreA, path)
            }

            // Plans.
            "get_features" => ask(Merchant, "/api/v1/admin/features"),
            "set_features" => {
                let version = self.read("/api/v1/admin/features").await["version"].clone();
                let body = json!({"plans": true, "version": version});
                ask(Merchant, "/api/v1/admin/features").with(body)
            }
            "preview_plan" => {
                ask(StoreA, "/api/v1/staff/plans/preview").with(self.plan_wish().await)
            }
            "make_plan" => ask(StoreA, "/api/v1/staff/plans").with(self.plan_wish().await),
            "staff_list_plans" => ask(StoreA, format!("/api/v1/staff/plans?store_id={store}")),
            "staff_get_plan" => ask(StoreA, format!("/api/v1/staff/plans/{}", self.plan().await.0)),
            "cancel_plan" => {
                let path = format!("/api/v1/staff/plans/{}/cancel", self.plan().await.0);
                ask(StoreA, path).with(json!({"which": "all"}))
            }
            "reschedule_plan" => {
                let (plan, session) = self.plan().await;
                let body = json!({"which": "one", "session_id": session, "start_at": self.start()});
                ask(StoreA, format!("/api/v1/staff/plans/{plan}/reschedule")).with(body)
            }
            "list_plans" => ask(Mine, "/api/v1/plans"),
            "get_plan" => ask(Member, format!("/api/v1/plans/{}", self.plan().await.0)),

            // The merchant's: staff and the deployment.
            "list_staff" => ask(Mine, "/api/v1/admin/staff"),
            "create_staff" => {
                let grants = json!([{"role": "technician", "store_id": store}]);
                let body = json!({"phone": some_phone(), "name": "新人", "grants": grants});
                ask(StoreA, "/api/v1/admin/staff").with(body)
            }
            "read_staff" => ask(StoreA, format!("/api/v1/admin/staff/{}", self.new_staff().await)),
            "change_staff" => {
                let path = format!("/api/v1/admin/staff/{}", self.new_staff().await);
                let body = self.as_change(&path).await;
                ask(StoreA, path).with(body)
            }
            "retire_staff" => {
                let path = format!("/api/v1/admin/staff/{}/retire", self.new_staff().await);
                ask(StoreA, path).with(json!({"version": 1}))
            }
            "operations" => ask(Merchant, "/api/v1/admin/operations"),
            other => panic!("a new operation: say here how it is called: {other}"),
        }
    }

    async fn service_body(&self) -> Value {
        let mut body = self.as_change(&format!("/api/v1/admin/services/{}", self.a.service)).await;
        body.as_object_mut().expect("an object").remove("version");
        body["add_ons"] = json!([]);
        body
    }

    fn block(&mut self, technician: &str) -> (String, Value) {
        let start = self.start();
        let at = chrono::DateTime::parse_from_rfc3339(&start).expect("an instant");
        let end = (at + chrono::Duration::minutes(30)).to_rfc3339();
        let path = format!("/api/v1/staff/technicians/{technician}/blocks");
        (path, json!({"store_id": self.a.store, "start_at": start, "end_at": end}))
    }

    /// Everybody who might call.
    async fn callers(&self) -> Vec<Caller> {
        let stack = &self.stack;
        let staff = |grants: &[(&'static str, Where)], technician| Kind::Staff {
            grants: grants.to_vec(),
            technician,
        };
        let in_store = async |role: &'static str, place: Where| {
            let store = if place == Where::A { &self.a.store } else { &self.b.store };
            (stack.staff(role, Some(store)).await, staff(&[(role, place)], false))
        };
        let mut callers = Vec::new();
        let mut add = |name, (api, kind)| callers.push(Caller { name, api, kind });
        add("the owner", (self.owner.clone(), staff(&[("owner", Where::Everywhere)], false)));
        add("the owner of A", in_store("owner", Where::A).await);
        add("the manager of A", in_store("manager", Where::A).await);
        add("a cashier of A", in_store("cashier", Where::A).await);
        let technician = stack.sign_in_staff(&self.technician_staff).await;
        add("a technician of A", (technician, staff(&[("technician", Where::A)], true)));
        add("the owner of B", in_store("owner", Where::B).await);
        add("the manager of B", in_store("manager", Where::B).await);
        add("a cashier of B", in_store("cashier", Where::B).await);
        // Much in the one store, little in the other: rights do not add up across stores.
        let phone = some_phone();
        let grants = json!([{"role": "technician", "store_id": self.a.store},
            {"role": "manager", "store_id": self.b.store}]);
        let body = json!({"phone": phone, "name": "两店", "grants": grants});
        self.owner.post("/api/v1/admin/staff", body).await.check(201);
        let kind = staff(&[("technician", Where::A), ("manager", Where::B)], false);
        add("a technician of A who manages B", (stack.sign_in_staff(&phone).await, kind));
        add("the member", (self.member.clone(), Kind::Member { own: true }));
        add("another member", (self.other_member.clone(), Kind::Member { own: false }));

        let keys = stack.var("TOKEN_KEYS");
        let (member, owner) =
            (self.member.token().expect("a token"), self.owner.token().expect("a token"));
        let nobody = || stack.api();
        let mut unknown = |name, api, member, staff| {
            callers.push(Caller { name, api, kind: Kind::Unknown(member, staff) });
        };
        unknown("nobody", nobody(), "sign_in_required", "sign_in_required");
        let basic = nobody().with_header("authorization", "Basic b3duZXI6b3duZXI=");
        unknown("a password", basic, "invalid_token", "invalid_token");
        let token = |token: String| nobody().with_token(token);
        let invalid = "invalid_token";
        unknown("a forged member", token(forge::forged(member)), invalid, invalid);
        unknown("a forged owner", token(forge::forged(owner)), invalid, invalid);
        let none = "eyJhbGciOiJub25lIiwia2lkIjoidGVzdCIsInR5cCI6IkpXVCJ9";
        let unsigned = owner.split_once('.').expect("parts").1.rsplit_once('.').expect("parts").0;
        unknown("an unsigned owner", token(format!("{none}.{unsigned}.")), invalid, invalid);
        let old = "expired_token";
        unknown("an expired member", token(forge::expired(keys, member)), old, old);
        unknown("an expired owner", token(forge::expired(keys, owner)), old, old);
        // The right signature for somebody who is not there.
        let mut claims = forge::claims(owner);
        claims["sub"] = "0".repeat(32).into();
        unknown("a stranger", token(forge::token(keys, &claims)), "wrong_audience", invalid);
        claims["aud"] = "member".into();
        unknown("a stranger", token(forge::token(keys, &claims)), invalid, "wrong_audience");
        let gone = stack.some_member().await;
        gone.post("/api/v1/auth/sign-out", json!({})).await.check(204);
        unknown("a member who signed out", gone, invalid, "wrong_audience");
        let gone = stack.staff("owner", None).await;
        gone.post("/api/v1/staff/auth/sign-out", json!({})).await.check(204);
        unknown("an owner who signed out", gone, "wrong_audience", invalid);
        let phone = some_phone();
        let grants = json!([{"role": "owner", "store_id": null}]);
        let body = json!({"phone": phone, "name": "离职", "grants": grants});
        let id = self.created("/api/v1/admin/staff", body).await;
        let retired = stack.sign_in_staff(&phone).await;
        let path = format!("/api/v1/admin/staff/{id}/retire");
        self.owner.post(path, json!({"version": 1})).await.check(200);
        unknown("an owner who was retired", retired, "wrong_audience", invalid);
        callers
    }
}

fn time_off() -> Value {
    let at = |time: &str| format!("{}T{time}:00+08:00", date(70));
    json!({"start_at": at("10:00"), "end_at": at("11:00"), "reason": "学习"})
}

struct Operation {
    id: String,
    method: String,
    audience: String,
    permission: Option<String>,
}

/// Every operation, each of which must say who may call it.
async fn operations(api: &Api) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.expect(200).body;
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let what = format!("{method} {path}");
            let text = |name: &str| operation[name].as_str().map(str::to_owned);
            let audience = text("x-audience").unwrap_or_else(|| panic!("{what}: no x-audience"));
            let permission = text("x-permission");
            let id = text("operationId").unwrap_or_else(|| panic!("{what}: no operationId"));
            assert!(["public", "member", "staff"].contains(&audience.as_str()), "{what}");
            let any_staff = ["sign_out_staff", "read_staff_me"].contains(&id.as_str());
            let needs = audience == "staff" && !any_staff;
            assert_eq!(permission.is_some(), needs, "{what}: x-permission");
            // Under these addresses nobody else has business.
            let staffs = path.starts_with("/api/v1/staff/") || path.starts_with("/api/v1/admin/");
            let signs_in = path.starts_with("/api/v1/staff/auth/") && audience == "public";
            assert_eq!(audience == "staff" || signs_in, staffs, "{what}: {audience}");
            let secured = operation["security"].as_array().is_some_and(|all| !all.is_empty());
            assert_eq!(secured, audience != "public", "{what}: security");
            operations.push(Operation { id, method: method.clone(), audience, permission });
        }
    }
    assert!(operations.len() > 50, "the document is whole");
    operations
}

#[tokio::test]
async fn every_route_under_every_role_and_from_a_foreign_store() {
    let mut scene = Scene::with_troubles().await;
    let callers = scene.callers().await;
    let mut operations = operations(&scene.owner).await;
    // What ends a store or a sign-in comes last.
    operations.sort_by_key(|operation| match operation.id.as_str() {
        "retire_store" => 1,
        "sign_out" | "sign_out_staff" => 2,
        _ => 0,
    });
    let mut wrong = Vec::new();
    let mut calls = 0;

    // Whoever may not: nothing happens.
    let mut asks = BTreeMap::new();
    for operation in &operations {
        asks.insert(operation.id.clone(), scene.ask(&operation.id).await);
    }
    let before = scene.stack.everything().await;
    for operation in &operations {
        let ask = &asks[&operation.id];
        for caller in &callers {
            let permission = operation.permission.as_deref();
            let wanted = verdict(&caller.kind, &operation.audience, permission, ask.about);
            if wanted == Verdict::Allowed {
                continue;
            }
            let reply = ask.call(&caller.api, &operation.method).await;
            calls += 1;
            let right = match wanted {
                Verdict::Refused(status, code) => reply.status == status && reply.code() == code,
                _ => {
                    (reply.status == 404 && reply.code() == "not_found")
                        || (reply.status == 403
                            && ["foreign_store", "forbidden"].contains(&reply.code()))
                }
            };
            if !right {
                wrong.push(format!(
                    "{} as {}: {} {} instead of {wanted:?}",
                    operation.id, caller.name, reply.status, reply.body
                ));
            }
            if reply.status == 401 {
                assert_eq!(reply.header("www-authenticate"), "Bearer", "{}", reply.what);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = scene.stack.everything().await;
    before.assert_same(&after, "a refused call");
    assert!(calls > 500, "{calls} refused calls");

    // Whoever may, can.
    for operation in &operations {
        let mut done = false;
        for caller in &callers {
            let permission = operation.permission.as_deref();
            let about = asks[&operation.id].about;
            if verdict(&caller.kind, &operation.audience, permission, about) != Verdict::Allowed {
                continue;
            }
            // Signing in needs codes; that it needs no rights is all that is asked here.
            let signs_in = operation.id.starts_with("sign_in_");
            let ask = scene.ask(&operation.id).await;
            let reply = ask.call(&caller.api, &operation.method).await;
            calls += 1;
            let good = (200..300).contains(&reply.status)
                // By then it has appointments, and that is why not.
                || (operation.id == "retire_store" && reply.code() == "has_appointments")
                || (signs_in && reply.code() == "wrong_code");
            if !good {
                wrong.push(format!(
                    "{} as {}: {} {}",
                    operation.id, caller.name, reply.status, reply.body
                ));
            }
            done |= good;
            // A list has nothing of a store that is not the caller's.
            if let Kind::Staff { grants, .. } = &caller.kind
                && about == About::Mine
                && grants.iter().all(|(_, place)| *place == Where::B)
            {
                let text = String::from_utf8_lossy(&reply.bytes).into_owned();
                let foreign = [&scene.a.store, &scene.a.service, &scene.a.technicians[0]];
                if operation.id == "list_staff" {
                    // Somebody may work in both stores; nobody is shown who does not work in B.
                    let works_in_b = |row: &Value| {
                        let mut grants = row["grants"].as_array().expect("grants").iter();
                        grants.any(|it| it["store_id"].is_null() || it["store_id"] == scene.b.store)
                    };
                    assert!(reply.body["items"].as_array().expect("a list").iter().all(works_in_b));
                } else {
                    let shown = foreign.iter().find(|id| text.contains(id.as_str()));
                    assert_eq!(shown, None, "{} shows it to B", operation.id);
                }
                assert!(text.contains(&scene.b.store), "{} shows B nothing", operation.id);
            }
            if caller.kind == (Kind::Member { own: false }) && operation.id == "orders" {
                let text = String::from_utf8_lossy(&reply.bytes).into_owned();
                let mine = scene.member.get("/api/v1/orders?limit=100").await.expect(200);
                for order in mine.body["items"].as_array().expect("a list") {
                    assert!(!text.contains(order["id"].as_str().expect("an id")), "{text}");
                }
            }
        }
        assert!(done, "{}: nobody can", operation.id);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} operations, {} callers, {calls} calls", operations.len(), callers.len());
}

#[tokio::test]
async fn a_technician_has_their_own_and_no_colleagues() {
    let mut scene = Scene::new().await;
    let me = scene.stack.sign_in_staff(&scene.technician_staff.clone()).await;
    let (mine, colleague) = (scene.a.technicians[0].clone(), scene.a.technicians[1].clone());
    let (own_order, _) = scene.order().await;
    let start = scene.start();
    let other = scene.a.book(&scene.member, Some(&colleague), &start).await.expect(201);
    let other_order = other.text("/order/id").to_owned();
    let (path, body) = scene.block(&colleague);
    let other_block = scene.owner.post(&path, body).idempotent().await.expect(201);
    let other_block = other_block.text("/id").to_owned();

    me.get(format!("/api/v1/staff/orders/{own_order}")).await.check(200);
    let store = scene.a.store.clone();
    let week = format!("/api/v1/staff/appointments?store_id={store}&from={}&days=7", today());
    let list = format!("/api/v1/staff/orders?store_id={store}");
    for path in [&week, &list] {
        let reply = me.get(path).await.expect(200);
        let text = String::from_utf8_lossy(&reply.bytes).into_owned();
        assert!(text.contains(&own_order), "{}", reply.what);
        assert!(!text.contains(&other_order) && !text.contains(&colleague), "{text}");
        me.get(format!("{path}&technician_id={mine}")).await.check(200);
        me.get(format!("{path}&technician_id={colleague}")).await.refused(403, "forbidden");
    }
    let before = scene.stack.everything().await;
    let order = format!("/api/v1/staff/orders/{other_order}");
    me.get(&order).await.refused(403, "foreign_store");
    let (path, body) = scene.block(&colleague);
    me.post(path, body).idempotent().await.refused(403, "foreign_store");
    let block = format!("/api/v1/staff/blocks/{other_block}");
    me.delete(block).await.refused(403, "foreign_store");
    // Not even their own may they cancel: that is the counter's.
    let cancel = format!("/api/v1/staff/orders/{own_order}/cancel");
    me.post(cancel, json!({})).await.refused(403, "forbidden");
    before.assert_same(&scene.stack.everything().await, "a refused call");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let scene = Scene::new().await;
    let owner_of_a = scene.stack.staff("owner", Some(&scene.a.store)).await;
    let staff = "/api/v1/admin/staff";
    let before = scene.stack.everything().await;
    let foreign = [
        json!([{"role": "owner"}]),
        json!([{"role": "technician", "store_id": null}]),
        json!([{"role": "technician", "store_id": scene.b.store}]),
        json!([{"role": "cashier", "store_id": scene.a.store},
            {"role": "cashier", "store_id": scene.b.store}]),
    ];
    for grants in foreign {
        let body = json!({"phone": some_phone(), "name": "人", "grants": grants});
        owner_of_a.post(staff, body).await.refused(403, "foreign_store");
    }
    // Nor can they take the owner of everything away, or make themselves one.
    let me = owner_of_a.get("/api/v1/staff/me").await.expect(200).text("/id").to_owned();
    let boss = scene.owner.get("/api/v1/staff/me").await.expect(200).text("/id").to_owned();
    let retire = format!("{staff}/{boss}/retire");
    owner_of_a.post(retire, json!({"version": 1})).await.refused(403, "foreign_store");
    let row = scene.owner.get(format!("{staff}/{me}")).await.expect(200).body;
    let change = json!({"version": row["version"], "phone": row["phone"], "name": row["name"],
        "grants": [{"role": "owner"}]});
    owner_of_a.put(format!("{staff}/{me}"), change).await.refused(403, "foreign_store");
    // A technician's stores and a service's are all of them the caller's.
    let stores = json!([scene.a.store, scene.b.store]);
    let body = json!({"name": "两店技师", "stores": stores});
    owner_of_a.post("/api/v1/admin/technicians", body).await.refused(403, "foreign_store");
    let mut body = scene.service_body().await;
    body["stores"] = stores;
    owner_of_a.post("/api/v1/admin/services", body).await.refused(403, "foreign_store");
    before.assert_same(&scene.stack.everything().await, "a refused call");
}
