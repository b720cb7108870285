//! What bad input gets: its own code, the right status, words that a person understands in both
//! languages, the field; and nothing changes.
//!
//! One row a case. Every row is sent twice, without and with `Accept-Language: en`, and everything that
//! D1 and the calendars hold is compared before and after all of them.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _};
use chrono_tz::Tz;
use http::Method;
use serde_json::{Value, json};
use zhundian_tests::world::{date, some_phone};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, forge};

/// A request and what must come of it.
struct Case {
    name: String,
    api: Api,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// Where the fault lies; none for what has no place.
    field: Option<String>,
}

impl Case {
    async fn call(&self, api: &Api, english: bool) -> Reply {
        let mut call = api.call(self.method.clone(), &self.path).idempotent();
        if !self.body.is_empty() {
            call = call.body("application/json", self.body.clone());
        }
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        if english {
            call = call.header("accept-language", "en-US,en;q=0.9");
        }
        call.await
    }

    fn wanted(mut self, status: u16, code: &'static str, field: &str) -> Self {
        (self.status, self.code) = (status, code);
        self.field = (!field.is_empty()).then(|| field.to_owned());
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

fn case(name: &str, api: &Api, method: Method, path: &str, body: impl Into<Vec<u8>>) -> Case {
    Case {
        name: name.into(),
        api: api.clone(),
        method,
        path: path.into(),
        headers: Vec::new(),
        body: body.into(),
        status: 0,
        code: "",
        field: None,
    }
}

struct Scene {
    stack: Stack,
    owner: Api,
    member: Api,
    /// Others like the member, who take turns.
    members: Vec<Api>,
    shop: Shop,
    retired_service: String,
    /// A shop in Europe/Berlin.
    berlin: Shop,
    /// A free start tomorrow.
    start: String,
    /// An order of another member's.
    foreign_order: String,
    foreign_line: String,
}

const BOOKINGS: &str = "/api/v1/bookings";
const STORES: &str = "/api/v1/admin/stores";
const SERVICES: &str = "/api/v1/admin/services";
const TECHNICIANS: &str = "/api/v1/admin/technicians";

impl Scene {
    async fn new() -> Self {
        let stack = Stack::start().await;
        let owner = stack.owner().await;
        let member = stack.some_member().await;
        let shop = stack.shop(1, Hours::Day).await;
        let retired = stack.shop(1, Hours::Day).await;
        let path = format!("{SERVICES}/{}/retire", retired.service);
        owner.post(path, json!({"version": 1})).await.check(200);
        let slots = shop.slots(&member, None, &date(1), 1).await;
        let start = slots[0].start_at.clone();
        let other = stack.some_member().await;
        let order = shop.book(&other, None, &slots[slots.len() - 1].start_at).await.expect(201);
        let berlin = berlin(&owner).await;
        let mut members = Vec::new();
        for _ in 0..12 {
            members.push(stack.some_member().await);
        }
        Self {
            members,
            foreign_order: order.text("/order/id").to_owned(),
            foreign_line: order.text("/order/lines/0/id").to_owned(),
            retired_service: retired.service,
            stack,
            owner,
            member,
            shop,
            berlin,
            start,
        }
    }

    /// A booking that is good but for this field.
    fn booking(&self, field: &str, value: impl Into<Value>) -> Case {
        let mut body = self.shop.booking(None, &self.start);
        body[field] = value.into();
        case(
            &format!("booking with {field}"),
            &self.member,
            Method::POST,
            BOOKINGS,
            body.to_string(),
        )
    }

    /// A booking whose body is this text.
    fn booking_text(&self, name: &str, body: impl Into<Vec<u8>>) -> Case {
        case(name, &self.member, Method::POST, BOOKINGS, body)
    }

    /// A booking in Berlin.
    fn in_berlin(&self, name: &str, start_at: &str) -> Case {
        let body = self.berlin.booking(None, start_at).to_string();
        case(name, &self.member, Method::POST, BOOKINGS, body)
    }

    /// Availability that is good but for this part of the query; `+` adds one.
    fn availability(&self, part: &str) -> Case {
        let mut parts = vec![
            format!("store_id={}", self.shop.store),
            format!("service_id={}", self.shop.service),
            format!("from={}", date(1)),
            "days=7".to_owned(),
        ];
        let name = part.trim_start_matches(['+', '-']).split('=').next().unwrap_or_default();
        if !part.starts_with('+') {
            parts.retain(|known| !known.starts_with(&format!("{name}=")));
        }
        if !part.starts_with('-') {
            parts.push(part.trim_start_matches('+').to_owned());
        }
        let path = format!("/api/v1/availability?{}", parts.join("&"));
        case(&format!("availability with {part}"), &self.member, Method::GET, &path, "")
    }

    fn store(&self, field: &str, value: impl Into<Value>) -> Case {
        let mut body = store_body();
        body[field] = value.into();
        case(&format!("store with {field}"), &self.owner, Method::POST, STORES, body.to_string())
    }

    fn service(&self, field: &str, value: impl Into<Value>) -> Case {
        let mut body = service_body(&self.shop.store);
        body[field] = value.into();
        case(
            &format!("service with {field}"),
            &self.owner,
            Method::POST,
            SERVICES,
            body.to_string(),
        )
    }
}

fn get(api: &Api, path: &str) -> Case {
    case(path, api, Method::GET, path, "")
}

fn store_body() -> Value {
    json!({"name": "店", "address": "路 1 号", "latitude": 31.2, "longitude": 121.4,
        "phone": "021-66668888", "hours": Hours::Day.week()})
}

fn service_body(store: &str) -> Value {
    json!({"category": "推拿", "name": "服务", "duration_minutes": 60, "price_fen": 100,
        "deposit": {"kind": "none"}, "places": ["store"], "modes": ["direct"], "stores": [store]})
}

/// A shop whose clock changes twice a year, open all day.
async fn berlin(owner: &Api) -> Shop {
    let id = async |path: String, body: Value| {
        owner.post(path, body).await.expect(201).text("/id").to_owned()
    };
    let mut body = store_body();
    body["time_zone"] = "Europe/Berlin".into();
    body["hours"] = Hours::Always.week();
    let store = id(STORES.into(), body).await;
    let mut body = service_body(&store);
    body["max_days_ahead"] = 90.into();
    body["min_notice_minutes"] = 0.into();
    let service = id(SERVICES.into(), body).await;
    let technician = id(TECHNICIANS.into(), json!({"name": "柏林", "stores": [store]})).await;
    let week = json!({"store_id": store, "valid_from": date(0), "week": Hours::Always.week()});
    owner.put(format!("{TECHNICIANS}/{technician}/windows/weekly"), week).await.check(200);
    Shop { store, service, technicians: vec![technician] }
}

/// The next wall clock time, half past some hour, that a zone's clock skips or shows twice.
fn next_change(zone: Tz, skipped: bool) -> NaiveDateTime {
    let today: NaiveDate = date(0).parse().expect("a date");
    (1..400)
        .map(|days| today + Days::new(days))
        .flat_map(|date| (0..24).map(move |hour| date.and_time(half_past(hour))))
        .find(|wall| match zone.from_local_datetime(wall) {
            chrono::LocalResult::None => skipped,
            chrono::LocalResult::Ambiguous(..) => !skipped,
            chrono::LocalResult::Single(_) => false,
        })
        .expect("a zone whose clock changes")
}

fn half_past(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 30, 0).expect("a time")
}

/// A time of day on a date so many days from today, in Shanghai.
fn at(days: i64, time: &str) -> String {
    format!("{}T{time}+08:00", date(days))
}

/// The kinds that the requirements name, each by one of its cases, and the tables of all others.
#[expect(clippy::too_many_lines, reason = "a table")]
fn cases(s: &Scene) -> Vec<Case> {
    let nobody = s.stack.api();
    let keys = s.stack.var("TOKEN_KEYS");
    let member = s.member.token().expect("a token");
    let with = |token: String| s.stack.api().with_token(token);
    let post = |name: &str, api: &Api, path: &str, body: Value| {
        case(name, api, Method::POST, path, body.to_string())
    };
    let technician = &s.shop.technicians[0];
    let windows = format!("{TECHNICIANS}/{technician}/windows");
    let id = "0".repeat(32);
    let good = s.shop.booking(None, &s.start).to_string();
    let cut = |text: &str, to: &str| good.replacen(text, to, 1);
    let store_id = format!("\"store_id\":\"{}\"", s.shop.store);
    let gap = next_change(chrono_tz::Europe::Berlin, true);
    let twice = next_change(chrono_tz::Europe::Berlin, false);
    let wall = |wall: NaiveDateTime| wall.format("%Y-%m-%dT%H:%M:%S").to_string();
    let order = format!("/api/v1/orders/{}", s.foreign_order);
    let reschedule = json!({"line_id": s.foreign_line, "start_at": s.start});
    let large = |bytes: usize| format!("{{\"note\":\"{}\"}}", "x".repeat(bytes));
    let sixty_five = "字".repeat(65);
    let many_photos: Vec<String> = (0..21).map(|n| format!("{n:032x}")).collect();
    let tier = |minutes: i64, percent: i64| json!({"until_minutes_before": minutes, "refund_percent": percent});
    let six_tiers: Vec<Value> = (0..6).map(|n| tier(600 - 60 * n, 100 - 10 * n)).collect();
    let many_steps: Vec<Value> = (0..21).map(|_| json!({"name": "步", "minutes": 5})).collect();

    vec![
        // Types.
        s.booking("note", 1).wanted(422, "wrong_type", "note"),
        s.booking("note", json!(["a"])).wanted(422, "wrong_type", "note"),
        s.booking("store_id", json!({"id": 1})).wanted(422, "wrong_type", "store_id"),
        s.booking("start_at", 1_790_000_000).wanted(422, "wrong_type", "start_at"),
        s.booking("mode", 1).wanted(422, "wrong_type", "mode"),
        s.booking("mode", Value::Null).wanted(422, "wrong_type", "mode"),
        s.booking("mode", json!(["direct"])).wanted(422, "wrong_type", "mode"),
        s.booking("mode", json!({"direct": null})).wanted(422, "wrong_type", "mode"),
        s.service("deposit", json!(["none"])).wanted(422, "wrong_type", "deposit"),
        s.service("deposit", "none").wanted(422, "wrong_type", "deposit"),
        s.service("steps", json!([["步", 5]])).wanted(422, "wrong_type", "steps[0]"),
        s.booking("store_id", Value::Null).wanted(422, "wrong_type", "store_id"),
        s.booking_text("a list for a body", "[]").wanted(422, "wrong_type", "."),
        s.booking_text("a list of the fields", "[\"a\",\"b\"]").wanted(422, "wrong_type", "."),
        s.booking_text("text for a body", "\"text\"").wanted(422, "wrong_type", "."),
        s.booking_text("null for a body", "null").wanted(422, "wrong_type", "."),
        s.booking_text("true for a body", "true").wanted(422, "wrong_type", "."),
        s.booking_text("a number for a body", " 7").wanted(422, "wrong_type", "."),
        s.store("latitude", "31.2").wanted(422, "wrong_type", "latitude"),
        s.store("hours", json!([])).wanted(422, "wrong_type", "hours"),
        s.store("hours", json!({"monday": {}})).wanted(422, "wrong_type", "hours.monday"),
        s.store("hours", json!({"monday": ["10:00-22:00"]}))
            .wanted(422, "wrong_type", "hours.monday[0]"),
        s.store("cancellation", "none").wanted(422, "wrong_type", "cancellation"),
        s.service("cancellation", tier(60, 50)).wanted(422, "wrong_type", "cancellation"),
        s.service("cancellation", json!([[60, 50]])).wanted(422, "wrong_type", "cancellation[0]"),
        s.service("cancellation", json!([tier(60, 50), null])).wanted(422, "wrong_type", "cancellation[1]"),
        s.store("cancellation", json!([{"until_minutes_before": "60", "refund_percent": 50}]))
            .wanted(422, "wrong_type", "cancellation[0].until_minutes_before"),
        s.store("cancellation", json!([{"until_minutes_before": 60, "refund_percent": 12.5}]))
            .wanted(422, "wrong_type", "cancellation[0].refund_percent"),
        s.service("modes", "direct").wanted(422, "wrong_type", "modes"),
        s.service("steps", json!([{"name": "步", "minutes": "5"}]))
            .wanted(422, "wrong_type", "steps[0].minutes"),
        post("weekly kept", &s.owner, &format!("{windows}/times-off"),
            json!({"start_at": at(9, "10:00:00"), "end_at": at(9, "11:00:00"), "keep_appointments": 1}))
            .wanted(422, "wrong_type", "keep_appointments"),
        s.availability("days=seven").wanted(422, "wrong_type", "days"),
        s.availability("days=").wanted(422, "wrong_type", "days"),
        s.availability("days=7.5").wanted(422, "wrong_type", "days"),
        case("a truth that is none", &s.owner, Method::DELETE,
            &format!("{windows}/weekly?store_id={id}&valid_from={}&keep_appointments=perhaps", date(1)), "")
            .wanted(422, "out_of_range", "keep_appointments"),

        // Fields that are missing, unknown or there twice.
        s.booking_text("no fields", "{}").wanted(422, "missing_field", "store_id"),
        s.booking_text("no store", cut(&format!(",{store_id}"), "")).wanted(422, "missing_field", "store_id"),
        s.store("hours", json!({"monday": [{"start": "10:00"}]}))
            .wanted(422, "missing_field", "hours.monday[0].end"),
        s.availability("-days").wanted(422, "missing_field", "days"),
        get(&nobody, "/api/v1/availability").wanted(422, "missing_field", "store_id"),
        get(&s.owner, "/api/v1/staff/orders").wanted(422, "missing_field", "store_id"),
        s.booking("colour", "red").wanted(422, "unknown_field", "colour"),
        s.store("hours", json!({"someday": []})).wanted(422, "unknown_field", "hours.someday"),
        s.service("deposit", json!({"kind": "none", "fen": 1})).wanted(422, "unknown_field", "deposit"),
        s.service("deposit", json!({"kind": "none", "no": 1})).wanted(422, "unknown_field", "deposit.no"),
        s.service("deposit", json!({"kind": "fixed"})).wanted(422, "missing_field", "deposit"),
        s.service("deposit", json!({"fen": 1})).wanted(422, "missing_field", "deposit.kind"),
        s.service("cancellation", json!([{"until_minutes_before": 60}]))
            .wanted(422, "missing_field", "cancellation[0].refund_percent"),
        s.store("cancellation", json!([{"until_minutes_before": 60, "refund_percent": 50, "fee_fen": 1}]))
            .wanted(422, "unknown_field", "cancellation[0].fee_fen"),
        get(&nobody, &format!("/api/v1/services/{}?store=1", s.shop.service))
            .wanted(422, "unknown_field", "store"),
        s.availability("+colour=red").wanted(422, "unknown_field", "colour"),
        get(&s.owner, "/api/v1/admin/stores?page=2").wanted(422, "unknown_field", "page"),
        s.booking_text("a store twice", cut(&store_id, &format!("{store_id},{store_id}")))
            .wanted(422, "duplicate_field", "store_id"),
        s.availability("+days=8").wanted(422, "duplicate_field", "days"),
        s.availability(&format!("+store_id={}", s.shop.store)).wanted(422, "duplicate_field", "store_id"),

        // Texts.
        s.booking("note", "x".repeat(501)).wanted(422, "text_too_long", "note"),
        s.booking("note", "👩‍🦱".repeat(200)).wanted(422, "text_too_long", "note"),
        s.store("name", sixty_five).wanted(422, "text_too_long", "name"),
        s.store("name", "").wanted(422, "text_too_short", "name"),
        s.store("name", " \u{3000}\t\n").wanted(422, "text_too_short", "name"),
        s.booking("note", "a\u{0}b").wanted(422, "control_character", "note"),
        s.booking("note", "a\u{1b}[31m").wanted(422, "control_character", "note"),
        s.booking("note", "a\u{7f}").wanted(422, "control_character", "note"),
        s.booking("note", "a\u{85}b").wanted(422, "control_character", "note"),
        s.store("name", "a\nb").wanted(422, "control_character", "name"),
        get(&nobody, "/api/v1/services?category=a%00b").wanted(422, "control_character", "category"),
        post("WeChat's code with NUL", &nobody, "/api/v1/auth/wechat", json!({"code": "a\u{0}"}))
            .wanted(422, "control_character", "code"),

        // Dates and times.
        s.availability("from=2027-02-29").wanted(422, "invalid_date", "from"),
        s.availability("from=2027-2-9").wanted(422, "invalid_date", "from"),
        s.availability("from=tomorrow").wanted(422, "invalid_date", "from"),
        s.availability("from=0000-01-01").wanted(422, "invalid_date", "from"),
        s.availability("from=99999-01-01").wanted(422, "invalid_date", "from"),
        s.availability("from=%EF%BC%92027-01-01").wanted(422, "invalid_date", "from"),
        case("a birthday that does not exist", &s.member, Method::PATCH, "/api/v1/me",
            r#"{"birthday":"1990-02-30"}"#).wanted(422, "invalid_date", "birthday"),
        case("a birthday in the future", &s.member, Method::PATCH, "/api/v1/me",
            r#"{"birthday":"2199-01-01"}"#).wanted(422, "out_of_range", "birthday"),
        case("a window's date that does not exist", &s.owner, Method::PUT,
            &format!("{windows}/dates/2027-02-30"), json!({"store_id": s.shop.store, "ranges": []}).to_string())
            .wanted(422, "invalid_date", "date"),
        case("a holiday's date that does not exist", &s.owner, Method::DELETE,
            &format!("{STORES}/{}/holidays/2027-02-30", s.shop.store), "")
            .wanted(422, "invalid_date", "date"),
        s.booking("start_at", "2027-02-30T10:00:00+08:00").wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", "2027-01-01T25:00:00+08:00").wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", "2027-01-01T10:00:00+99:00").wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", "").wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", "now").wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", "9".repeat(60_000)).wanted(422, "invalid_instant", "start_at"),
        s.booking("start_at", at(1, "12:03:00")).wanted(422, "off_grid", "start_at"),
        s.booking("start_at", at(1, "12:00:01")).wanted(422, "off_grid", "start_at"),
        s.booking("start_at", at(1, "12:00:00.001")).wanted(422, "off_grid", "start_at"),
        s.booking("start_at", at(-1, "12:00:00")).wanted(422, "start_in_past", "start_at"),
        s.booking("start_at", "2001-01-01T12:00:00+08:00").wanted(422, "start_in_past", "start_at"),
        s.booking("start_at", at(1, "03:00:00")).wanted(422, "outside_hours", "start_at"),
        s.booking("start_at", at(1, "21:30:00")).wanted(422, "outside_hours", "start_at"),
        s.booking("start_at", at(95, "12:00:00")).wanted(422, "start_too_far", "start_at"),
        s.booking("start_at", "2199-01-01T12:00:00+08:00").wanted(422, "start_too_far", "start_at"),
        s.in_berlin("skipped by the store's clock", &wall(gap)).wanted(422, "start_skipped", "start_at"),
        s.in_berlin("skipped, with winter's offset", &format!("{}+01:00", wall(gap)))
            .wanted(422, "start_skipped", "start_at"),
        s.in_berlin("skipped, with summer's offset", &format!("{}+02:00", wall(gap)))
            .wanted(422, "start_skipped", "start_at"),
        s.in_berlin("shown twice by the store's clock", &wall(twice))
            .wanted(422, "start_ambiguous", "start_at"),
        s.store("hours", json!({"monday": [{"start": "10:03", "end": "22:00"}]}))
            .wanted(422, "invalid_time", "hours.monday[0].start"),
        s.store("hours", json!({"monday": [{"start": "10:00", "end": "49:00"}]}))
            .wanted(422, "invalid_time", "hours.monday[0].end"),
        s.store("hours", json!({"monday": [{"start": "22:00", "end": "10:00"}]}))
            .wanted(422, "invalid_range", "hours.monday[0]"),
        s.store("time_zone", "Mars/Olympus").wanted(422, "invalid_time_zone", "time_zone"),
        post("time off that ends before it starts", &s.owner, &format!("{windows}/times-off"),
            json!({"start_at": at(9, "11:00:00"), "end_at": at(9, "10:00:00")}))
            .wanted(422, "invalid_range", "end_at"),
        post("blocked time that ends before it starts", &s.owner,
            &format!("/api/v1/staff/technicians/{technician}/blocks"),
            json!({"store_id": s.shop.store, "start_at": at(9, "11:00:00"), "end_at": at(9, "11:00:00")}))
            .wanted(422, "invalid_range", "end_at"),

        // Numbers.
        s.availability("days=0").wanted(422, "out_of_range", "days"),
        s.availability("days=10000").wanted(422, "out_of_range", "days"),
        s.availability("days=-1").wanted(422, "out_of_range", "days"),
        s.availability("days=99999999999999999999999").wanted(422, "out_of_range", "days"),
        s.service("price_fen", -1).wanted(422, "out_of_range", "price_fen"),
        s.service("price_fen", 1e300).wanted(422, "out_of_range", "price_fen"),
        s.service("price_fen", u64::MAX).wanted(422, "out_of_range", "price_fen"),
        s.service("price_fen", 1.5).wanted(422, "wrong_type", "price_fen"),
        s.service("price_fen", "100").wanted(422, "wrong_type", "price_fen"),
        s.service("duration_minutes", 61).wanted(422, "out_of_range", "duration_minutes"),
        s.service("duration_minutes", 0).wanted(422, "out_of_range", "duration_minutes"),
        s.service("deposit", json!({"kind": "percent", "percent": 101}))
            .wanted(422, "out_of_range", "deposit.percent"),
        s.service("deposit", json!({"kind": "fixed", "fen": 101})).wanted(422, "out_of_range", "deposit.fen"),
        s.store("visit", json!({"no_show_after_minutes": 4}))
            .wanted(422, "out_of_range", "visit.no_show_after_minutes"),
        s.store("visit", json!({"complete_after_minutes": 1441}))
            .wanted(422, "out_of_range", "visit.complete_after_minutes"),
        s.store("visit", json!({"prepay_after_no_shows": 0}))
            .wanted(422, "out_of_range", "visit.prepay_after_no_shows"),
        s.service("max_moves", -1).wanted(422, "out_of_range", "max_moves"),
        s.service("max_moves", 101).wanted(422, "out_of_range", "max_moves"),
        s.store("cancellation", json!([tier(-1441, 50)]))
            .wanted(422, "out_of_range", "cancellation[0].until_minutes_before"),
        s.service("cancellation", json!([tier(60, 50), tier(129_601, 20)]))
            .wanted(422, "out_of_range", "cancellation[1].until_minutes_before"),
        s.service("cancellation", json!([tier(60, 101)]))
            .wanted(422, "out_of_range", "cancellation[0].refund_percent"),
        s.store("cancellation", json!([tier(60, -1)]))
            .wanted(422, "out_of_range", "cancellation[0].refund_percent"),
        s.store("cancellation", json!([tier(60, 100), tier(1440, 50)]))
            .wanted(422, "tier_not_later", "cancellation[1].until_minutes_before"),
        s.service("cancellation", json!([tier(1440, 100), tier(120, 50), tier(120, 20)]))
            .wanted(422, "tier_not_later", "cancellation[2].until_minutes_before"),
        s.store("cancellation", json!([tier(1440, 50), tier(60, 50)]))
            .wanted(422, "tier_not_less", "cancellation[1].refund_percent"),
        s.service("cancellation", json!([tier(1440, 50), tier(60, 100)]))
            .wanted(422, "tier_not_less", "cancellation[1].refund_percent"),
        s.store("latitude", 90.1).wanted(422, "out_of_range", "latitude"),
        get(&nobody, "/api/v1/stores?limit=101").wanted(422, "out_of_range", "limit"),
        get(&nobody, "/api/v1/stores?limit=0").wanted(422, "out_of_range", "limit"),
        s.booking_text("a number that no float holds",
            cut("\"mode\":\"direct\"", "\"mode\":\"direct\",\"note\":1e999")).wanted(400, "invalid_json", ""),

        // Values and lists.
        s.booking("mode", "pigeon").wanted(422, "unknown_value", "mode"),
        s.booking("mode", "express").wanted(422, "mode_not_offered", "mode"),
        s.booking("payment", "cash").wanted(422, "unknown_value", "payment"),
        s.service("deposit", json!({"kind": "half"})).wanted(422, "unknown_value", "deposit.kind"),
        get(&s.member, "/api/v1/orders?status=lost").wanted(422, "unknown_value", "status"),
        s.store("photos", many_photos).wanted(422, "too_many_items", "photos"),
        s.store("cancellation", six_tiers.clone()).wanted(422, "too_many_items", "cancellation"),
        s.service("cancellation", six_tiers).wanted(422, "too_many_items", "cancellation"),
        s.service("steps", many_steps).wanted(422, "too_many_items", "steps"),
        s.service("stores", json!([])).wanted(422, "out_of_range", "stores"),
        s.service("modes", json!(["direct", "direct"])).wanted(422, "duplicate_item", "modes"),
        s.service("stores", json!([s.shop.store, s.shop.store])).wanted(422, "duplicate_item", "stores"),
        get(&s.member, "/api/v1/orders?cursor=xyz").wanted(422, "invalid_cursor", "cursor"),
        get(&nobody, "/api/v1/stores?cursor=WzEsMl0").wanted(422, "invalid_cursor", "cursor"),
        post("no phone", &nobody, "/api/v1/auth/code", json!({"phone": "12345678901"}))
            .wanted(422, "invalid_phone", "phone"),
        get(&s.owner, "/api/v1/staff/members?phone=%2B8613900000000x").wanted(422, "invalid_phone", "phone"),
        s.store("phone", "call me").wanted(422, "invalid_contact_phone", "phone"),

        // Ids.
        s.booking("store_id", "1").wanted(422, "invalid_id", "store_id"),
        s.booking("store_id", id.to_uppercase().replace('0', "A")).wanted(422, "invalid_id", "store_id"),
        s.booking("store_id", "' OR 1=1 --").wanted(422, "invalid_id", "store_id"),
        s.availability("store_id=1").wanted(422, "invalid_id", "store_id"),
        s.booking("store_id", id.as_str()).wanted(422, "unknown_store", "store_id"),
        s.booking("service_id", id.as_str()).wanted(422, "unknown_service", "service_id"),
        s.booking("service_id", s.retired_service.as_str()).wanted(422, "unknown_service", "service_id"),
        s.booking("service_id", s.berlin.service.as_str()).wanted(422, "service_not_offered", "service_id"),
        s.booking("technician_id", id.as_str()).wanted(422, "technician_not_offered", "technician_id"),
        s.booking("technician_id", s.berlin.technicians[0].as_str())
            .wanted(422, "technician_not_offered", "technician_id"),
        s.booking("place", "home").wanted(422, "missing_field", "address_id"),
        s.availability(&format!("service_id={}", s.retired_service))
            .wanted(422, "unknown_service", "service_id"),
        s.service("stores", json!([s.shop.store, id])).wanted(422, "unknown_store", "stores[1]"),
        s.service("technicians", json!([id])).wanted(422, "unknown_technician", "technicians[0]"),
        s.store("photos", json!([id])).wanted(422, "unknown_photo", "photos[0]"),
        post("staff booking for nobody", &s.owner, "/api/v1/staff/bookings",
            json!({"store_id": s.shop.store, "service_id": s.shop.service, "start_at": s.start,
                "member_id": id})).wanted(422, "unknown_member", "member_id"),
        post("staff of no store", &s.owner, "/api/v1/admin/staff",
            json!({"phone": some_phone(), "name": "人", "grants": [{"role": "cashier", "store_id": id}]}))
            .wanted(422, "unknown_store", "grants"),
        get(&s.member, &order).wanted(404, "not_found", ""),
        post("moving another's order", &s.member, &format!("{order}/reschedule"), reschedule)
            .wanted(404, "not_found", ""),
        post("cancelling another's order", &s.member, &format!("{order}/cancel"), json!({}))
            .wanted(404, "not_found", ""),
        get(&s.member, &format!("/api/v1/orders/{id}")).wanted(404, "not_found", ""),
        get(&nobody, "/api/v1/stores/1").wanted(404, "not_found", ""),
        get(&nobody, "/api/v1/stores/%00").wanted(404, "not_found", ""),
        get(&nobody, "/api/v1/stores/..%2f..%2fhealthz").wanted(404, "not_found", ""),
        get(&nobody, &format!("/api/v1/stores/{}", "f".repeat(5000))).wanted(404, "not_found", ""),
        get(&nobody, &format!("/api/v1/services/{}", s.retired_service)).wanted(404, "not_found", ""),
        get(&nobody, &format!("/api/v1/services/{}?store_id={}", s.shop.service, s.berlin.store))
            .wanted(404, "not_found", ""),
        get(&nobody, &format!("/api/v1/services/{}?store_id=1", s.shop.service))
            .wanted(422, "invalid_id", "store_id"),

        // Who asks.
        case("no token", &nobody, Method::POST, BOOKINGS, good.clone()).wanted(401, "sign_in_required", ""),
        case("a forged token", &with(forge::forged(member)), Method::POST, BOOKINGS, good.clone())
            .wanted(401, "invalid_token", ""),
        case("an expired token", &with(forge::expired(keys, member)), Method::POST, BOOKINGS, good.clone())
            .wanted(401, "expired_token", ""),
        case("a token for staff", &s.owner, Method::POST, BOOKINGS, good.clone())
            .wanted(401, "wrong_audience", ""),
        case("a token of 8000 letters", &with("a".repeat(8000)), Method::POST, BOOKINGS, good.clone())
            .wanted(401, "invalid_token", ""),
        case("a token in two parts", &with("a.b".into()), Method::GET, "/api/v1/me", "")
            .wanted(401, "invalid_token", ""),

        // Bodies.
        s.booking_text("64 KB and one byte", large(64 * 1024 - 10)).wanted(413, "body_too_large", ""),
        s.booking_text("three megabytes", large(3_000_000)).wanted(413, "body_too_large", ""),
        s.booking_text("no JSON", "store=1").wanted(400, "invalid_json", ""),
        s.booking_text("cut off", &good[..good.len() - 1]).wanted(400, "invalid_json", ""),
        s.booking_text("something after it", format!("{good} 1")).wanted(400, "invalid_json", ""),
        s.booking_text("blank", " ").wanted(400, "invalid_json", ""),
        s.booking_text("invalid UTF-8", [&b"{\"store_id\":\"\xff\xfe\"}"[..]].concat())
            .wanted(400, "invalid_json", ""),
        s.booking_text("a lone surrogate", cut(&store_id, &format!("{store_id},\"note\":\"\\ud800\"")))
            .wanted(400, "invalid_json", ""),
        s.booking_text("a raw control character", cut(&store_id, &format!("{store_id},\"note\":\"a\nb\"")))
            .wanted(400, "invalid_json", ""),
        s.booking_text("nested ten thousand deep",
            format!("{{\"note\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000)))
            .wanted(422, "wrong_type", "note"),
        s.booking_text("a form", "store_id=1").header("content-type", "application/x-www-form-urlencoded")
            .wanted(415, "unsupported_media_type", "Content-Type"),
        s.booking_text("plain text", good.clone()).header("content-type", "text/plain")
            .wanted(415, "unsupported_media_type", "Content-Type"),
        s.booking_text("no body", "").wanted(415, "unsupported_media_type", "Content-Type"),
        case("a photo that is none", &s.owner, Method::POST, "/api/v1/admin/photos", "GIF89a")
            .header("content-type", "image/gif").wanted(422, "not_a_photo", ""),

        // Idempotency keys.
        s.booking_text("a short key", good.clone()).header("idempotency-key", "short")
            .wanted(400, "invalid_idempotency_key", "Idempotency-Key"),
        s.booking_text("a long key", good.clone()).header("idempotency-key", "k".repeat(65))
            .wanted(400, "invalid_idempotency_key", "Idempotency-Key"),
        s.booking_text("a key with a blank", good.clone()).header("idempotency-key", "key with blanks")
            .wanted(400, "invalid_idempotency_key", "Idempotency-Key"),

        // Methods and addresses.
        case("GET for a booking", &s.member, Method::GET, BOOKINGS, "").wanted(405, "method_not_allowed", ""),
        case("DELETE of a store", &s.owner, Method::DELETE, &format!("{STORES}/{}", s.shop.store), "")
            .wanted(405, "method_not_allowed", ""),
        case("OPTIONS", &nobody, Method::OPTIONS, "/api/v1/stores", "").wanted(405, "method_not_allowed", ""),
        case("PROPFIND", &nobody, Method::from_bytes(b"PROPFIND").expect("a method"), "/api/v1/stores", "")
            .wanted(405, "method_not_allowed", ""),
        case("PATCH of what is put", &s.owner, Method::PATCH, &format!("{STORES}/{}", s.shop.store), "{}")
            .wanted(405, "method_not_allowed", ""),
        get(&nobody, "/api/v1/stores/").wanted(404, "not_found", ""),
        get(&nobody, "/API/V1/stores").wanted(404, "not_found", ""),
        get(&nobody, "/api/v1/%e0%80%80").wanted(404, "not_found", ""),
    ]
}

#[tokio::test]
async fn every_kind_of_bad_input_has_its_answer_and_changes_nothing() {
    let scene = Scene::new().await;
    let cases = cases(&scene);
    let before = scene.stack.everything().await;
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for english in [false, true] {
            // A member may book sixty times a minute, and what is refused counts.
            let books = case.api.token() == scene.member.token();
            let api = if books { &scene.members[number / 25] } else { &case.api };
            let reply = case.call(api, english).await;
            if let Some(why) = fault(case, &reply, english) {
                let shown: String = reply.body.to_string().chars().take(300).collect();
                wrong.push(format!("{}: {why}: {} {shown}", case.name, reply.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let after = scene.stack.everything().await;
    before.assert_same(&after, "a refused request");
    // One that is good, so that it is the faults that were refused.
    let good = scene.shop.booking(None, &scene.start);
    scene.member.post(BOOKINGS, good).idempotent().await.check(201);
    println!("{} cases", cases.len());
}

/// What is wrong with an answer, if anything is.
fn fault(case: &Case, reply: &Reply, english: bool) -> Option<String> {
    let wanted = (case.status, case.code);
    if (reply.status, reply.code()) != wanted {
        return Some(format!("instead of {wanted:?}"));
    }
    if reply.header("content-type") != "application/problem+json" {
        return Some("no problem document".into());
    }
    let body = &reply.body;
    if body["status"] != reply.status || body["request_id"] != reply.header("x-request-id") {
        return Some("status or request id in the body".into());
    }
    if !reply.header("retry-after").is_empty() {
        return Some("another try would not help".into());
    }
    let title = body["title"].as_str().unwrap_or_default();
    let chinese = title.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    if chinese == english || title.contains("{}") || title.trim_end_matches(['.', ':']).is_empty() {
        return Some("not the language that was asked for".into());
    }
    // The place of the parameter is never empty: "expected ." tells nobody anything.
    if [" .", ": .", ":", ",", "  "].iter().any(|end| title.ends_with(end)) {
        return Some("a message with a hole".into());
    }
    let field = body["fields"][0]["field"].as_str();
    if field != case.field.as_deref() {
        return Some(format!("field {field:?} instead of {:?}", case.field));
    }
    if field.is_some()
        && (body["fields"][0]["code"] != case.code || body["fields"][0]["message"] != title)
    {
        return Some("the field's own code and message".into());
    }
    if case.status == 405 && reply.header("allow").is_empty() {
        return Some("no Allow".into());
    }
    None
}

#[test]
fn a_change_of_the_clock_is_found() {
    let gap = next_change(chrono_tz::Europe::Berlin, true);
    assert_eq!(gap.time(), half_past(2));
    assert_eq!(next_change(chrono_tz::Europe::Berlin, false).time(), half_past(2));
}

#[tokio::test]
async fn a_key_belongs_to_one_request() {
    // Its own: what others do at the same time would be seen.
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let (member, other) = (stack.some_member().await, stack.some_member().await);
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let body = shop.booking(None, &slots[0].start_at);
    let key = format!("key-{:016x}", zhundian_tests::random());
    let missing = member.post(BOOKINGS, body.clone()).await;
    missing.refused(400, "missing_idempotency_key");
    assert_eq!(missing.text("/fields/0/field"), "Idempotency-Key");
    let first = member.post(BOOKINGS, body.clone()).key(&key).await.expect(201);
    let before = stack.everything().await;
    let again = member.post(BOOKINGS, body.clone()).key(&key).await.expect(201);
    assert_eq!(first.bytes, again.bytes);
    assert_eq!(again.header("idempotent-replayed"), "true");
    let mut changed = body.clone();
    changed["start_at"] = slots[slots.len() - 1].start_at.as_str().into();
    for english in [false, true] {
        let mut call = member.post(BOOKINGS, changed.clone()).key(&key);
        if english {
            call = call.header("accept-language", "en");
        }
        let reused = call.await;
        reused.refused(422, "idempotency_key_reused");
        assert_eq!(reused.text("/fields/0/field"), "Idempotency-Key");
        assert_eq!(reused.text("/title").is_ascii(), english);
    }
    before.assert_same(&stack.everything().await, "a reused key");
    // The same key of somebody else's is another key.
    other.post(BOOKINGS, changed).key(&key).await.check(201);
}

#[tokio::test]
async fn emoji_and_rare_characters_come_back_whole() {
    let stack = Stack::shared().await;
    let owner = stack.owner().await;
    let name = "王👩🏽\u{200d}🦱𠮷 é ☕️";
    let note = "少用力 🙏\n第二行 \"引号\" \\ </script> %00 {} 𝄞 \u{202e}";
    let mut store = store_body();
    store["name"] = name.into();
    store["introduction"] = note.into();
    let created = owner.post(STORES, store).await.expect(201);
    assert_eq!((created.text("/name"), created.text("/introduction")), (name, note));
    let id = created.text("/id").to_owned();
    assert_eq!(stack.api().get(format!("/api/v1/stores/{id}")).await.text("/name"), name);
    // Found by its emoji, too.
    let found = stack.api().get("/api/v1/stores?q=%F0%A0%AE%B7%20%C3%A9").await.expect(200);
    assert_eq!(found.body["items"][0]["id"], id.as_str());

    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let nickname = member.patch("/api/v1/me", json!({"nickname": name})).await.expect(200);
    assert_eq!(nickname.text("/nickname"), name);
    let slots = shop.slots(&member, None, &date(1), 1).await;
    let mut body = shop.booking(None, &slots[0].start_at);
    body["note"] = note.into();
    let booked = member.post(BOOKINGS, body).idempotent().await.expect(201);
    assert_eq!(booked.text("/order/note"), note);
    let path = format!("/api/v1/orders/{}", booked.text("/order/id"));
    assert_eq!(member.get(path).await.expect(200).text("/order/note"), note);
}

#[tokio::test]
async fn a_body_in_pieces_is_held_to_the_same_limit() {
    let stack = Stack::shared().await;
    let member = stack.some_member().await;
    let head = |length: &str| {
        format!(
            "POST {BOOKINGS} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nIdempotency-Key: in-pieces-1\r\n\
             Authorization: Bearer {}\r\n{length}\r\n\r\n",
            member.token().expect("a token")
        )
    };
    let chunked = |chunks: usize, bytes: usize| {
        let mut request = head("Transfer-Encoding: chunked").into_bytes();
        for _ in 0..chunks {
            request.extend(format!("{bytes:x}\r\n{}\r\n", " ".repeat(bytes)).bytes());
        }
        request.extend(b"0\r\n\r\n");
        request
    };
    let port = stack.port();
    let send = async |request: Vec<u8>| {
        tokio::task::spawn_blocking(move || forge::raw(port, &request)).await.expect("an answer")
    };
    let (status, text) = send(chunked(65, 1024)).await;
    assert!(status == 413 && text.contains("body_too_large"), "{text}");
    let (status, text) = send(chunked(64, 1024)).await;
    assert!(status == 400 && text.contains("invalid_json"), "{text}");
    // A length that is said and not true: the connection breaks, the Worker does not.
    let short = [head("Content-Length: 500").as_bytes(), b"{}"].concat();
    let one = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(&short).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("half closed");
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    });
    let answer = one.await.expect("no panic");
    // A client that broke off has no use for an answer; whichever it gets, it is not our Worker's fault.
    assert!(!answer.contains(r#""code":"internal""#), "{answer}");
    stack.api().get("/healthz").await.check(200);
}

#[tokio::test]
async fn the_kinds_of_the_requirements_have_codes_of_their_own() {
    let scene = Scene::new().await;
    let cases = cases(&scene);
    // A foreign id is as if it were not there, and a retired service is as if it were none.
    let kinds = [
        "wrong_type",
        "missing_field",
        "unknown_field",
        "text_too_long",
        "control_character",
        "invalid_date",
        "off_grid",
        "start_in_past",
        "outside_hours",
        "start_skipped",
        "out_of_range",
        "not_found",
        "unknown_service",
        "invalid_token",
        "expired_token",
        "wrong_audience",
        "body_too_large",
        "invalid_json",
        "method_not_allowed",
    ];
    for kind in kinds {
        let messages: Vec<_> = cases.iter().filter(|case| case.code == kind).collect();
        assert!(!messages.is_empty(), "no case of {kind}");
    }
    // What the document says of its codes is what is answered.
    let document = scene.owner.get("/openapi.json").await.expect(200);
    let text = String::from_utf8_lossy(&document.bytes).into_owned();
    for case in &cases {
        assert!(text.contains(case.code), "{} is not in the document", case.code);
    }
}
