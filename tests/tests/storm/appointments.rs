//! Appointments of one customer: direct, assigned, by staff, at home; moved, cancelled, answered for.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use zhundian_tests::Api;
use zhundian_tests::api::Call;

use crate::client::{Client, MEANWHILE, Told};

impl Client {
    /// Books in one of the ways.
    pub async fn book(&mut self) {
        let store = self.some_store();
        let technician = if self.dice.percent(60) { Some(self.technician(store)) } else { None };
        let mut start = self.start();
        if self.dice.percent(10) {
            start = self.some_free_start(store, technician.as_deref()).await.unwrap_or(start);
        }
        let (way, by_staff) = (self.dice.below(100), self.dice.percent(10));
        let shop = &self.store(store).shop;
        let mut body = shop.booking(technician.as_deref(), &start);
        let what = match way {
            0..50 => "book",
            50..68 => {
                body["mode"] = "assigned".into();
                body.as_object_mut().expect("a body").remove("technician_id");
                "book assigned"
            }
            68..84 => {
                body["service_id"] = self.store(store).roomy.as_str().into();
                "book with room"
            }
            _ => {
                body["place"] = "home".into();
                "book at home"
            }
        };
        let member = self.dice.below(self.members.len());
        let (me, address) = self.known[member].clone();
        if what == "book at home" {
            body["address_id"] = address.into();
        }
        // Staff book for a member, or for somebody who called.
        let whose = (!by_staff || body["place"] == "home").then_some(member);
        let call = if by_staff {
            body.as_object_mut().expect("a body").remove("payment");
            if whose.is_some() {
                body["member_id"] = me.into();
            } else {
                (body["contact_name"], body["contact_phone"]) =
                    ("王女士".into(), "13900001111".into());
            }
            self.town.owner.post("/api/v1/staff/bookings", body)
        } else {
            body["note"] = "轻一点".into();
            self.members[member].post("/api/v1/bookings", body)
        };
        let reply = self.operation(call).await;
        self.note(what, &reply, &[(201, ""), (409, "slot_taken")]);
        if reply.status == 201 {
            self.told(&reply.body["order"], whose);
        }
    }

    /// As a customer would: from what is offered.
    async fn some_free_start(&mut self, store: usize, technician: Option<&str>) -> Option<String> {
        let day = self.day();
        let shop = &self.store(store).shop;
        let technician = technician.unwrap_or(&shop.technicians[0]);
        let path = format!(
            "/api/v1/availability?store_id={}&service_id={}&technician_id={technician}&from={day}&days=1",
            shop.store, shop.service
        );
        let (reply, _) = self.definite(self.members[0].get(path)).await;
        let slots = reply.expect(200).body["days"][0]["slots"].take();
        let slots = slots.as_array().expect("slots");
        if slots.is_empty() {
            return None;
        }
        Some(self.dice.of(slots)["start_at"].as_str().expect("a start").to_owned())
    }

    fn move_call(&mut self, told: &Told) -> Call {
        let mut body = json!({"line_id": told.line("id"), "start_at": self.start()});
        let (who, path) = self.changer(told);
        // The technician of an assigned order is the store's to choose.
        let may_name = told.order["mode"] != "assigned" || path.contains("staff");
        if may_name && self.dice.percent(40) {
            let store = self.store_of(told);
            body["technician_id"] = self.technician(store).into();
        }
        if self.dice.percent(30) {
            // Some minutes earlier or later: the old and the new time overlap.
            let old = told.line("start_at").as_str().expect("a start");
            let old = DateTime::parse_from_rfc3339(old).expect("an instant");
            let shift = 5 * (i64::try_from(self.dice.below(13)).expect("small") - 6);
            body["start_at"] = (old + TimeDelta::minutes(shift)).to_rfc3339().into();
        }
        who.post(format!("{path}/{}/reschedule", told.id()), body)
    }

    fn cancel_call(&mut self, told: &Told) -> Call {
        let (who, path) = self.changer(told);
        who.post(format!("{path}/{}/cancel", told.id()), json!({"reason": "改天"}))
    }

    /// Whether it has a time that can be moved as an appointment's.
    fn can_move(told: &Told) -> bool {
        told.line("id").is_string() && told.line("session_id").is_null() && !told.is_of_today()
    }

    /// Moves an appointment.
    pub async fn move_it(&mut self, told: &Told) {
        if told.line("session_id").is_string() {
            return self.change_class(told).await;
        }
        if !Self::can_move(told) {
            return self.answer(told).await;
        }
        let call = self.move_call(told);
        let reply = self.operation_on(told, call).await;
        let mut fine = vec![(200, ""), (409, "slot_taken")];
        if told.is_restless(&self.town) {
            fine.extend(MEANWHILE);
        }
        self.note("move", &reply, &fine);
        if reply.status == 200 {
            self.told(&reply.body["order"], told.member);
        }
    }

    /// Cancels an order, now and then twice.
    pub async fn cancel_it(&mut self, told: &Told) {
        let call = self.cancel_call(told);
        let (reply, _) = self.definite(call.clone()).await;
        let mut fine = vec![(200, "")];
        if told.is_restless(&self.town) {
            fine.extend(MEANWHILE);
        }
        if told.is_of_today() {
            fine.push((409, "too_late"));
        }
        self.note("cancel", &reply, &fine);
        if reply.status == 200 {
            self.told(&reply.body["order"], told.member);
            if self.dice.percent(8) {
                let (again, _) = self.definite(call).await;
                self.note("cancel", &again, &[(200, "")]);
                assert_eq!(again.body["order"]["version"], reply.body["order"]["version"]);
            }
        }
    }

    /// Two changes of one order at once, each perhaps sent twice.
    pub async fn both(&mut self, told: &Told) {
        if !Self::can_move(told) {
            return self.cancel_it(told).await;
        }
        let mut calls = Vec::new();
        for _ in 0..2 {
            let cancel = self.dice.percent(30);
            let call = if cancel { self.cancel_call(told) } else { self.move_call(told) };
            let call = call.key(&self.dice.key());
            calls.push(call.clone());
            if self.dice.percent(50) {
                calls.push(call);
            }
        }
        let mut replies = Vec::new();
        {
            let mut tasks: Vec<_> =
                calls.into_iter().map(|call| Box::pin(self.definite(call))).collect();
            // Polled together: all are under way before the first is answered.
            std::future::poll_fn(|cx| {
                tasks.retain_mut(|task| match task.as_mut().poll(cx) {
                    std::task::Poll::Ready(reply) => {
                        replies.push(reply.0);
                        false
                    }
                    std::task::Poll::Pending => true,
                });
                if tasks.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        }
        for reply in replies {
            let fine = [&MEANWHILE[..], &[(409, "slot_taken")]].concat();
            self.note("both", &reply, &fine);
            if reply.status == 200 {
                self.told(&reply.body["order"], told.member);
            }
        }
    }

    /// Somebody of the store does with an order what it waits for, or what it does not.
    pub async fn answer(&mut self, told: &Told) {
        if told.order["mode"] == "express" && told.order["express"]["state"] != "accepted" {
            return self.answer_wish(told).await;
        }
        if told.line("session_id").is_string() || told.is_of_today() {
            return self.visit(told).await;
        }
        let state = told.line("assignment").as_str().unwrap_or("assigned");
        let dice = self.dice.below(100);
        let what = match (state, dice) {
            ("asked", 0..40) => "accept",
            ("asked", 40..75) => "decline",
            ("offered", 0..70) => "grab",
            ("provisional", _) | (_, 60..) => "assign",
            _ => "pass-on",
        };
        let (who, mut body) = self.answerer(told, what);
        body["line_id"] = told.line("id").clone();
        let call = who.post(format!("/api/v1/staff/orders/{}/{what}", told.id()), body);
        let fine = [
            (200, ""),
            (409, "slot_taken"),
            (409, "order_changed"),
            (409, "order_not_changeable"),
            (409, "not_yours_to_answer"),
            (409, "answer_too_late"),
            (409, "offer_gone"),
            // It has gone to somebody else.
            (403, "foreign_store"),
        ];
        let reply = self.operation_on(told, call).await;
        self.note(what, &reply, &fine);
        if reply.status == 200 {
            self.told(&reply.body["order"], told.member);
        }
    }

    /// Who answers, and whom they name: technicians for themselves, or the owner for them.
    fn answerer(&mut self, told: &Told, what: &str) -> (Api, Value) {
        let store = self.store_of(told);
        let (technician, alone) = (self.technician(store), self.dice.percent(50));
        let own = |id: &Value| {
            let technicians = &self.store(store).shop.technicians;
            let number = technicians.iter().position(|one| id == one)?;
            Some(self.store(store).technicians[number].clone())
        };
        let owner = self.town.owner.clone();
        match what {
            "assign" => (owner, json!({"technician_id": technician})),
            "grab" => (own(&technician.into()).expect("a technician"), json!({})),
            _ if alone => (own(told.line("technician_id")).unwrap_or(owner), json!({})),
            _ => (owner, json!({})),
        }
    }

    /// Staff take time away.
    pub async fn block(&mut self) {
        let store = self.some_store();
        let technician = self.technician(store);
        let start = self.start();
        let start_at = DateTime::parse_from_rfc3339(&start).expect("an instant");
        let minutes = 15 * (1 + i64::try_from(self.dice.below(8)).expect("small"));
        let end_at = (start_at + TimeDelta::minutes(minutes)).to_rfc3339();
        let body = json!({
            "store_id": self.store(store).shop.store, "start_at": start, "end_at": end_at,
            "reason": "培训",
        });
        let path = format!("/api/v1/staff/technicians/{technician}/blocks");
        let call = self.town.owner.post(path, body);
        let reply = self.operation(call).await;
        self.note("block", &reply, &[(201, ""), (409, "slot_taken")]);
        if reply.status == 201 {
            self.blocks.insert(reply.text("/id").to_owned(), true);
        }
    }

    /// Staff give it back.
    pub async fn unblock(&mut self) {
        let live: Vec<_> =
            self.blocks.iter().filter(|(_, live)| **live).map(|(id, _)| id).collect();
        let Some(id) = live.first().map(|id| (*id).clone()) else { return self.block().await };
        let call = self.town.owner.delete(format!("/api/v1/staff/blocks/{id}"));
        let (reply, _) = self.definite(call).await;
        self.note("unblock", &reply, &[(204, "")]);
        self.blocks.insert(id, false);
    }
}
