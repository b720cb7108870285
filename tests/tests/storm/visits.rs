//! Today's customers: who walks in, is checked in, served, and pays, or does not come.

use serde_json::json;
use zhundian_tests::now_ms;

use crate::client::{Client, MEANWHILE, Told};

const TICK_MS: i64 = 5 * 60_000;

impl Client {
    /// Staff book for somebody who stands before them.
    pub async fn walk_in(&mut self) {
        let store = self.some_store();
        let technician = self.technician(store);
        let ticks = 1 + i64::try_from(self.dice.below(4)).expect("small");
        let start = (now_ms().div_euclid(TICK_MS) + ticks) * TICK_MS;
        let start = chrono::DateTime::from_timestamp_millis(start).expect("an instant");
        let mut body = json!({
            "store_id": self.store(store).shop.store, "service_id": self.store(store).quick,
            "start_at": start.to_rfc3339(), "contact_name": "李先生", "contact_phone": "13900002222",
        });
        if self.dice.percent(70) {
            body["technician_id"] = technician.into();
        }
        let call = self.town.owner.post("/api/v1/staff/bookings", body);
        let reply = self.operation(call).await;
        self.note("walk in", &reply, &[(201, ""), (409, "slot_taken"), (422, "start_in_past")]);
        if reply.status == 201 {
            self.told(&reply.body["order"], None);
        }
    }

    /// A step of a visit; of one that is not near, which is refused.
    pub async fn visit(&mut self, told: &Told) {
        let (id, line) = (told.id().to_owned(), told.line("id").clone());
        let Some(line) = line.as_str() else { return self.answer_wish(told).await };
        let order = format!("/api/v1/staff/orders/{id}");
        let appointment = format!("/api/v1/staff/appointments/{line}");
        let owner = self.town.owner.clone();
        let dice = self.dice.below(100);
        let (what, call) = match dice {
            0..25 => ("check-in", owner.post(format!("{order}/check-in"), json!({}))),
            25..45 => ("start visit", owner.post(format!("{appointment}/start"), json!({}))),
            45..65 => ("finish visit", owner.post(format!("{appointment}/finish"), json!({}))),
            65..80 => ("no-show", owner.post(format!("{order}/no-show"), json!({}))),
            _ => ("settle", owner.post(format!("{order}/settle"), json!({"channel": "cash"}))),
        };
        if what == "settle" && !told.is_of_today() {
            return self.weather.count("visit early");
        }
        let (reply, again) = if what == "settle" {
            (self.operation(call).await, false)
        } else {
            self.definite(call).await
        };
        let refusals = [(409, "too_early"), (409, "already_checked_in"), (409, "too_late")];
        let fine = [&MEANWHILE[..], &refusals].concat();
        self.note(what, &reply, &fine);
        if reply.status == 200 || again {
            self.look(&id).await;
        }
    }
}
