//! Members, staff and shops to test with, made the way a user makes them: over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::{Api, Reply};
use crate::stack::{OWNER_PHONE, Stack};
use crate::{eventually, random};

const WEEK: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// When a shop is open and its technicians work, every day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hours {
    /// 00:00 to 24:00.
    Always,
    /// 10:00 to 22:00.
    Day,
}

impl Hours {
    /// As the API takes it.
    pub fn week(self) -> Value {
        let (start, end) = match self {
            Self::Always => ("00:00", "24:00"),
            Self::Day => ("10:00", "22:00"),
        };
        WEEK.iter().map(|day| (*day, json!([{"start": start, "end": end}]))).collect()
    }
}

/// A store in Asia/Shanghai with one service and those who do it.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The store's id.
    pub store: String,
    /// The service's id.
    pub service: String,
    /// The technicians' ids.
    pub technicians: Vec<String>,
}

/// A free start, as availability offers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    /// RFC 3339.
    pub start_at: String,
    /// Who is free then.
    pub technicians: Vec<String>,
}

impl Stack {
    /// A member signed in by WeChat, with this openid.
    pub async fn member(&self, openid: &str) -> Api {
        let login = self.sandbox().post("/login", json!({"openid": openid})).await.expect(200);
        let api = self.api();
        let code = login.text("/code");
        let reply = api.post("/api/v1/auth/wechat", json!({"code": code})).await.expect(200);
        api.with_token(reply.text("/token"))
    }

    /// A member that nobody else has.
    pub async fn some_member(&self) -> Api {
        self.member(&format!("o{:016x}", random())).await
    }

    /// The code of the newest SMS to this phone since an instant (UTC milliseconds).
    pub async fn sms_code(&self, phone: &str, since: i64) -> String {
        eventually(&format!("an SMS to {phone}"), Duration::from_secs(10), async || {
            let path = format!("/messages?to={phone}&since={since}");
            let messages = self.sandbox().get(path).await.expect(200);
            let newest = messages.body["messages"].as_array()?.last()?;
            newest["params"][0].as_str().map(str::to_owned)
        })
        .await
    }

    /// Signs a member of staff in by SMS code; a phone gets one a minute.
    pub async fn sign_in_staff(&self, phone: &str) -> Api {
        let api = self.api();
        let since = crate::now_ms();
        let body = json!({"phone": phone});
        api.post("/api/v1/staff/auth/code", body).await.check(202);
        let body = json!({"phone": phone, "code": self.sms_code(phone, since).await});
        let reply = api.post("/api/v1/staff/auth/token", body).await.expect(200);
        api.with_token(reply.text("/token"))
    }

    /// The owner, signed in once a stack.
    pub async fn owner(&self) -> Api {
        self.owner.get_or_init(|| self.sign_in_staff(OWNER_PHONE)).await.clone()
    }

    /// A new member of staff with one role, in one store or, without one, in all, signed in.
    pub async fn staff(&self, role: &str, store: Option<&str>) -> Api {
        let phone = some_phone();
        let mut grant = json!({"role": role});
        if let Some(store) = store {
            grant["store_id"] = store.into();
        }
        let body = json!({"phone": phone, "name": format!("{role} {phone}"), "grants": [grant]});
        self.owner().await.post("/api/v1/admin/staff", body).await.check(201);
        self.sign_in_staff(&phone).await
    }

    /// Turns service plans on or off.
    pub async fn plans(&self, on: bool) {
        let owner = self.owner().await;
        let now = owner.get("/api/v1/admin/features").await.expect(200);
        let body = json!({"plans": on, "version": now.body["version"]});
        owner.put("/api/v1/admin/features", body).await.check(200);
    }

    /// A new shop whose service takes an hour, without buffers, notice or limits.
    pub async fn shop(&self, technicians: usize, hours: Hours) -> Shop {
        self.shop_with(technicians, hours, json!({})).await
    }

    /// As [`Stack::shop`], with these fields of the service instead of the usual ones.
    pub async fn shop_with(&self, technicians: usize, hours: Hours, service: Value) -> Shop {
        let owner = self.owner().await;
        let tag = format!("{:08x}", random() >> 32);
        let store = json!({
            "name": format!("店 {tag}"), "address": "南京西路 1 号", "latitude": 31.23, "longitude": 121.47,
            "phone": some_phone(), "hours": hours.week(), "time_zone": "Asia/Shanghai", "status": "open",
        });
        let store = created(&owner.post("/api/v1/admin/stores", store).await);
        let service = self.service(&store, service).await;
        let mut ids = Vec::new();
        for number in 0..technicians {
            let name = format!("技师 {tag} {number}");
            ids.push(self.technician(&name, &store, hours).await);
        }
        Shop { store, service, technicians: ids }
    }

    /// A new service of a store: an hour without buffers, notice or limits, but for these fields. Its id.
    pub async fn service(&self, store: &str, fields: Value) -> String {
        let tag = format!("{:08x}", random() >> 32);
        let mut body = json!({
            "category": "推拿", "name": format!("服务 {tag}"), "duration_minutes": 60, "price_fen": 19_800,
            "deposit": {"kind": "none"}, "places": ["store"], "modes": ["direct"],
            "min_notice_minutes": 0, "max_days_ahead": 90, "change_notice_minutes": 0,
            "stores": [store],
        });
        for (field, value) in fields.as_object().expect("fields of a service") {
            body[field] = value.clone();
        }
        created(&self.owner().await.post("/api/v1/admin/services", body).await)
    }

    /// A new room or piece of equipment of a store: its id.
    pub async fn room(&self, store: &str, kind: &str, capacity: u32) -> String {
        let name = format!("{kind} {:08x}", random() >> 32);
        let body = json!({"store_id": store, "kind": "room", "type": kind, "name": name,
            "capacity": capacity});
        created(&self.owner().await.post("/api/v1/admin/resources", body).await)
    }

    /// Changes fields of a store, which stays as it is otherwise.
    pub async fn change_store(&self, store: &str, fields: Value) {
        let owner = self.owner().await;
        let path = format!("/api/v1/admin/stores/{store}");
        let mut body = owner.get(&path).await.expect(200).body;
        body.as_object_mut().expect("a store").remove("id");
        for (field, value) in fields.as_object().expect("fields of a store") {
            body[field] = value.clone();
        }
        owner.put(&path, body).await.check(200);
    }

    /// Lets a technician take so many at once.
    pub async fn set_capacity(&self, shop: &Shop, technician: &str, capacity: u16) {
        let owner = self.owner().await;
        let path = format!("/api/v1/admin/technicians/{technician}");
        let known = owner.get(&path).await.expect(200).body;
        let body = json!({
            "version": known["version"], "name": known["name"], "stores": [shop.store],
            "capacity": capacity,
        });
        owner.put(path, body).await.check(200);
    }

    /// A technician's own sign-in.
    pub async fn as_technician(&self, store: &str, technician: &str) -> Api {
        let phone = some_phone();
        let body = json!({"phone": phone, "name": "技师", "technician_id": technician,
            "grants": [{"role": "technician", "store_id": store}]});
        self.owner().await.post("/api/v1/admin/staff", body).await.check(201);
        self.sign_in_staff(&phone).await
    }

    /// How a shop's store takes its bookings from now on.
    pub async fn set_ways(&self, shop: &Shop, ways: Value) {
        let owner = self.owner().await;
        let path = format!("/api/v1/admin/stores/{}", shop.store);
        let mut store = owner.get(&path).await.expect(200).body;
        store["ways"] = ways;
        store.as_object_mut().expect("a store").remove("id");
        owner.put(&path, store).await.check(200);
    }

    /// Whether no calendar holds anything for an operation, and nothing is left to deliver.
    pub fn is_settled(&self) -> bool {
        let held = self.calendars("SELECT id FROM claim WHERE state = 'held'");
        let held: usize = held.iter().map(|(_, rows)| rows.len()).sum();
        held == 0 && self.it("SELECT count(*) AS it FROM outbox") == 0
    }

    /// A new technician of a store, who works these hours from today on: the id.
    pub async fn technician(&self, name: &str, store: &str, hours: Hours) -> String {
        let owner = self.owner().await;
        let body = json!({"name": name, "stores": [store]});
        let id = created(&owner.post("/api/v1/admin/technicians", body).await);
        let body = json!({"store_id": store, "valid_from": today(), "week": hours.week()});
        let path = format!("/api/v1/admin/technicians/{id}/windows/weekly");
        owner.put(path, body).await.check(200);
        id
    }
}

impl Shop {
    /// The free starts of `days` business dates from `from` on, for one technician or for any.
    pub async fn slots(
        &self,
        api: &Api,
        technician: Option<&str>,
        from: &str,
        days: u32,
    ) -> Vec<Slot> {
        let mut path = format!(
            "/api/v1/availability?store_id={}&service_id={}&from={from}&days={days}",
            self.store, self.service
        );
        if let Some(technician) = technician {
            path.push_str("&technician_id=");
            path.push_str(technician);
        }
        let reply = api.get(path).await.expect(200);
        let days = reply.body["days"].as_array().expect("days");
        let slots = days.iter().flat_map(|day| day["slots"].as_array().expect("slots"));
        slots
            .map(|slot| Slot {
                start_at: slot["start_at"].as_str().expect("a start").to_owned(),
                technicians: slot["technician_ids"]
                    .as_array()
                    .expect("technicians")
                    .iter()
                    .map(|id| id.as_str().expect("an id").to_owned())
                    .collect(),
            })
            .collect()
    }

    /// What a booking's body is, to be paid at the store.
    pub fn booking(&self, technician: Option<&str>, start_at: &str) -> Value {
        let mut body = json!({
            "store_id": self.store, "service_id": self.service, "start_at": start_at,
            "mode": "direct", "payment": "at_store",
        });
        if let Some(technician) = technician {
            body["technician_id"] = technician.into();
        }
        body
    }

    /// Tries to book, with a new `Idempotency-Key`.
    pub async fn book(&self, member: &Api, technician: Option<&str>, start_at: &str) -> Reply {
        member.post("/api/v1/bookings", self.booking(technician, start_at)).idempotent().await
    }
}

/// A mainland mobile number that nobody else has.
pub fn some_phone() -> String {
    format!("139{:08}", random() % 100_000_000)
}

/// Today's business date in Shanghai.
pub fn today() -> String {
    date(0)
}

/// The business date in Shanghai so many days from today.
pub fn date(days_from_today: i64) -> String {
    let shanghai = crate::now_ms() + (8 * 3600 + days_from_today * 86_400) * 1000;
    let at = chrono::DateTime::from_timestamp_millis(shanghai).expect("an instant");
    at.format("%Y-%m-%d").to_string()
}

#[track_caller]
fn created(reply: &Reply) -> String {
    reply.check(201);
    reply.text("/id").to_owned()
}
