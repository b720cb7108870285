//! Service plans: made, moved and cancelled, one session, the rest or all.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::client::Client;

impl Client {
    /// Something with a plan.
    pub async fn plan(&mut self) {
        if self.plans.is_empty() || self.dice.percent(45) {
            return self.make_plan().await;
        }
        let plan = self.dice.of(&self.plans).clone();
        let path = format!("/api/v1/staff/plans/{plan}");
        let (seen, _) = self.definite(self.town.owner.get(&path)).await;
        let seen = seen.expect(200).body["plan"].take();
        let sessions = seen["sessions"].as_array().expect("sessions");
        let open: Vec<&Value> =
            sessions.iter().filter(|one| one["status"] == "confirmed").collect();
        if open.is_empty() {
            self.plans.retain(|one| *one != plan);
            return self.make_plan().await;
        }
        let session = (*self.dice.of(&open)).clone();
        let which = *self.dice.of(&["one", "rest", "all"]);
        let store = self.town.stores.iter().position(|one| seen["store_id"] == one.shop.store);
        let store = store.expect("a store of the town");
        if self.dice.percent(55) {
            self.move_plan(&path, &session, which, store).await;
        } else {
            self.cancel_plan(&path, &session, which).await;
        }
    }

    async fn make_plan(&mut self) {
        let (store, member) = (self.some_store(), self.dice.below(self.members.len()));
        let (technician, first) = (self.technician(store), self.start());
        let mut body = json!({
            "store_id": self.store(store).shop.store, "service_id": self.store(store).plan,
            "technician_id": technician, "member_id": self.known[member].0, "rhythm": "daily",
            "starts": [first], "times": 2 + self.dice.below(4),
        });
        let call = self.town.owner.post("/api/v1/staff/plans", body.clone());
        let mut reply = self.operation(call).await;
        self.note("make plan", &reply, &[(201, ""), (409, "plan_conflicts")]);
        let conflicts = reply.body["conflicts"].as_array().cloned().unwrap_or_default();
        if !conflicts.is_empty() && conflicts.len() < body["times"].as_u64().map_or(0, usize_of) {
            // Without those that have no time.
            body["leave_out"] = conflicts.iter().map(|one| one["start_at"].clone()).collect();
            let call = self.town.owner.post("/api/v1/staff/plans", body);
            reply = self.operation(call).await;
            self.note("make plan", &reply, &[(201, ""), (409, "plan_conflicts")]);
        }
        if reply.status == 201 {
            self.plans.push(reply.text("/plan/id").to_owned());
            self.told_sessions(&reply.body["plan"]["sessions"], Some(member));
        }
    }

    async fn move_plan(&mut self, path: &str, session: &Value, which: &str, store: usize) {
        let old = session["start_at"].as_str().expect("a start");
        let old = DateTime::parse_from_rfc3339(old).expect("an instant");
        let shift = 5 * (i64::try_from(self.dice.below(49)).expect("small") - 24);
        let mut body = json!({
            "which": which, "session_id": session["id"],
            "start_at": (old + TimeDelta::minutes(shift)).to_rfc3339(),
        });
        if self.dice.percent(30) {
            body["technician_id"] = self.technician(store).into();
        }
        let call = self.town.owner.post(format!("{path}/reschedule"), body);
        let reply = self.operation(call).await;
        let fine = [(200, ""), (409, "plan_conflicts"), (422, "sessions_overlap")];
        self.note("move plan", &reply, &fine);
        if reply.status == 200 {
            self.told_sessions(&reply.body["sessions"], None);
        }
    }

    async fn cancel_plan(&mut self, path: &str, session: &Value, which: &str) {
        let body = json!({"which": which, "session_id": session["id"], "reason": "出差"});
        let (reply, _) = self.definite(self.town.owner.post(format!("{path}/cancel"), body)).await;
        self.note("cancel plan", &reply, &[(200, "")]);
        self.told_sessions(&reply.body["plan"]["sessions"], None);
    }

    /// A plan tells of its sessions what an order's line says; one that was just moved has its status yet.
    fn told_sessions(&mut self, sessions: &Value, member: Option<usize>) {
        for one in sessions.as_array().expect("sessions") {
            let status = one["status"].as_str().unwrap_or("confirmed");
            let order = json!({
                "id": one["id"], "status": status, "version": one["version"], "mode": "plan",
                "lines": [{"technician_id": one["technician_id"], "start_at": one["start_at"]}],
            });
            let id = one["id"].as_str().expect("an id");
            let known = self.orders.get(id).and_then(|known| known.order["version"].as_i64());
            if known != one["version"].as_i64() {
                self.told(&order, member);
            }
        }
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).expect("small")
}
