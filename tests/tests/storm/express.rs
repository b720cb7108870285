//! Wishes: what the customer would like, what staff propose, what becomes of it.

use chrono::{DateTime, TimeDelta};
use serde_json::json;

use crate::client::{Client, Told};

impl Client {
    /// A member wishes for something in the coming days.
    pub async fn wish(&mut self) {
        let (store, member) = (self.some_store(), self.dice.below(self.members.len()));
        let from = self.start();
        let until = DateTime::parse_from_rfc3339(&from).expect("an instant");
        let until = (until + TimeDelta::hours(4)).to_rfc3339();
        let body = json!({
            "store_id": self.store(store).shop.store, "category": "推拿", "wishes": "肩颈酸痛",
            "from": from, "until": until, "payment": "online",
        });
        let call = self.members[member].post("/api/v1/express-bookings", body);
        let reply = self.operation(call).await;
        self.note("wish", &reply, &[(201, "")]);
        let order = &reply.body["order"];
        assert_eq!(order["status"], "confirmed", "nothing is due: {order}");
        self.told(order, Some(member));
    }

    /// Staff propose; the customer accepts or declines.
    pub async fn answer_wish(&mut self, told: &Told) {
        let waiting = told.order["express"]["state"] == "waiting";
        let (what, reply) = if waiting {
            ("propose", self.propose(told).await)
        } else {
            let what = if self.dice.percent(65) { "accept" } else { "decline" };
            let member = told.member.expect("a member's wish");
            let path = format!("/api/v1/orders/{}/proposal/{what}", told.id());
            let call = self.members[member].post(path, json!({}));
            (what, self.operation(call).await)
        };
        let fine = [
            (200, ""),
            (409, "slot_taken"),
            (409, "order_changed"),
            (409, "order_not_changeable"),
            (409, "answer_too_late"),
            (409, "no_proposal"),
            (409, "proposal_expired"),
        ];
        self.note(&format!("{what} proposal"), &reply, &fine);
        if reply.status == 200 {
            self.told(&reply.body["order"], told.member);
        }
    }

    async fn propose(&mut self, told: &Told) -> zhundian_tests::Reply {
        let store = self.store_of(told);
        let from = told.order["express"]["from"].as_str().expect("an instant");
        let from = DateTime::parse_from_rfc3339(from).expect("an instant");
        let minutes = 5 * i64::try_from(self.dice.below(48)).expect("small");
        let mut body = json!({
            "service_id": self.store(store).shop.service,
            "start_at": (from + TimeDelta::minutes(minutes)).to_rfc3339(),
        });
        if self.dice.percent(40) {
            body["technician_id"] = self.technician(store).into();
        }
        let path = format!("/api/v1/staff/orders/{}/proposal", told.id());
        let call = self.town.owner.post(path, body);
        self.operation(call).await
    }
}
