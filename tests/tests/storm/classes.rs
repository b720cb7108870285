//! Classes and those who wait: seats booked, changed and given back, classes made, resized and given up,
//! places offered, accepted and left.

use serde_json::{Value, json};

use crate::client::{Client, Told, Wait};
use crate::place::Class;

impl Client {
    fn some_class(&mut self, store: Option<usize>) -> Option<Class> {
        let classes = self.town.classes.lock().expect("no panic");
        let of = |one: &&Class| store.is_none_or(|store| one.store == store);
        let known: Vec<Class> = classes.iter().filter(of).cloned().collect();
        drop(classes);
        // The latest more than those that were given up long ago.
        let latest = known.len().saturating_sub(12);
        let known = &known[latest..];
        if known.is_empty() { None } else { Some(self.dice.of(known).clone()) }
    }

    /// Something with a class.
    pub async fn class(&mut self) {
        match self.dice.below(100) {
            0..65 => self.book_seats().await,
            65..80 => self.make_class().await,
            80..93 => self.resize().await,
            _ => self.give_up_class().await,
        }
    }

    async fn book_seats(&mut self) {
        let Some(class) = self.some_class(None) else { return self.make_class().await };
        let member = self.dice.below(self.members.len());
        let seats = 1 + self.dice.below(2);
        let by_staff = self.dice.percent(15);
        let call = if by_staff {
            let body = json!({"seats": seats, "contact_name": "王女士"});
            self.town.owner.post(format!("/api/v1/staff/sessions/{}/bookings", class.id), body)
        } else {
            let body = json!({"seats": seats, "payment": "at_store"});
            self.members[member].post(format!("/api/v1/sessions/{}/bookings", class.id), body)
        };
        let reply = self.operation(call).await;
        let fine = [
            (201, ""),
            (409, "session_full"),
            (409, "session_cancelled"),
            (409, "session_changed"),
            (422, "seats_over_capacity"),
        ];
        self.note("book seats", &reply, &fine);
        match reply.code() {
            "" => self.told(&reply.body["order"], (!by_staff).then_some(member)),
            "session_full" if self.dice.percent(60) => self.wait_for(&class, member, seats).await,
            _ => {}
        }
    }

    /// Moves seats to another class of the store.
    pub async fn change_class(&mut self, told: &Told) {
        let store = self.store_of(told);
        let class = self.some_class(Some(store)).expect("the one that it is in");
        let (who, path) = self.changer(told);
        let body = json!({"line_id": told.line("id"), "session_id": class.id});
        let call = who.post(format!("{path}/{}/session", told.id()), body);
        let reply = self.operation(call).await;
        let fine = [
            (200, ""),
            (409, "session_full"),
            (409, "session_cancelled"),
            (409, "session_changed"),
            (422, "seats_over_capacity"),
            (409, "order_changed"),
            (409, "order_not_changeable"),
        ];
        self.note("change seats", &reply, &fine);
        if reply.status == 200 {
            self.told(&reply.body["order"], told.member);
        }
    }

    async fn make_class(&mut self) {
        let store = self.some_store();
        let (technician, start) = (self.technician(store), self.start());
        let capacity = 2 + self.dice.below(4);
        let body = json!({
            "store_id": self.store(store).shop.store, "service_id": self.store(store).class,
            "technician_id": technician, "capacity": capacity, "starts": [start],
        });
        let call = self.town.owner.post("/api/v1/admin/sessions", body);
        let reply = self.operation(call).await;
        self.note("make class", &reply, &[(201, ""), (409, "session_conflicts")]);
        if reply.status == 201 {
            let id = reply.text("/sessions/0/id").to_owned();
            self.classes.insert(id.clone(), true);
            self.town.classes.lock().expect("no panic").push(Class { id, store });
        }
    }

    async fn see_class(&mut self, class: &Class) -> Value {
        let call = self.town.owner.get(format!("/api/v1/sessions/{}", class.id));
        self.definite(call).await.0.expect(200).body
    }

    async fn resize(&mut self) {
        let Some(class) = self.some_class(None) else { return self.make_class().await };
        let now = self.see_class(&class).await;
        let body = json!({"capacity": 2 + self.dice.below(5), "version": self.version(&now, &class).await});
        let call = self.town.owner.put(format!("/api/v1/admin/sessions/{}", class.id), body);
        let (reply, _) = self.definite(call).await;
        let fine = [
            (200, ""),
            (409, "session_changed"),
            (409, "session_cancelled"),
            (409, "seats_booked"),
        ];
        self.note("resize class", &reply, &fine);
    }

    async fn give_up_class(&mut self) {
        let Some(class) = self.some_class(None) else { return self.make_class().await };
        let now = self.see_class(&class).await;
        let body = json!({"version": self.version(&now, &class).await});
        let call =
            self.town.owner.post(format!("/api/v1/admin/sessions/{}/cancel", class.id), body);
        let (reply, _) = self.definite(call).await;
        self.note("cancel class", &reply, &[(200, ""), (409, "session_changed")]);
        if reply.status == 200 {
            self.classes.insert(class.id, false);
        }
    }

    /// A class's version: its own, which bookings do not change. Customers do not see it.
    async fn version(&mut self, now: &Value, class: &Class) -> i64 {
        let start = now["start_at"].as_str().expect("a start");
        let path = format!(
            "/api/v1/staff/sessions?store_id={}&from={}&days=1&limit=100",
            self.store(class.store).shop.store,
            &start[..10]
        );
        let (reply, _) = self.definite(self.town.owner.get(path)).await;
        let items = reply.expect(200).body["items"].take();
        let items = items.as_array().expect("classes").iter();
        let own = items.filter(|one| one["id"] == class.id).find_map(|one| one["version"].as_i64());
        own.unwrap_or(1)
    }

    /// Somebody waits for a place, or answers what they are offered.
    pub async fn wait(&mut self) {
        if !self.waits.is_empty() && self.dice.percent(60) {
            return self.answer_offer().await;
        }
        let member = self.dice.below(self.members.len());
        if self.dice.percent(60) {
            let seats = 1 + self.dice.below(2);
            if let Some(class) = self.some_class(None) {
                return self.wait_for(&class, member, seats).await;
            }
        }
        let store = self.some_store();
        let (day, hour) = (self.day(), self.dice.below(22));
        let shop = &self.store(store).shop;
        let mut body = json!({
            "store_id": shop.store, "service_id": shop.service,
            "from": format!("{day}T{hour:02}:00:00+08:00"),
            "until": format!("{day}T{:02}:00:00+08:00", hour + 2),
        });
        if self.dice.percent(40) {
            body["technician_id"] = self.technician(store).into();
        }
        let (reply, _) = self.definite(self.members[member].post("/api/v1/waitlist", body)).await;
        self.note("wait for a time", &reply, &[(201, ""), (409, "too_many_waits")]);
        if reply.status == 201 {
            self.waits.push(Wait { id: reply.text("/id").to_owned(), member });
        }
    }

    async fn wait_for(&mut self, class: &Class, member: usize, seats: usize) {
        let path = format!("/api/v1/sessions/{}/waitlist", class.id);
        let call = self.members[member].post(path, json!({"seats": seats}));
        let (reply, _) = self.definite(call).await;
        let fine = [
            (201, ""),
            (409, "places_free"),
            (409, "already_waiting"),
            (409, "too_many_waits"),
            (409, "session_cancelled"),
            (409, "session_changed"),
            (422, "seats_over_capacity"),
        ];
        self.note("wait for seats", &reply, &fine);
        if reply.status == 201 {
            self.waits.push(Wait { id: reply.text("/id").to_owned(), member });
        }
    }

    /// Looks at what one of the members waits for: accepts what is offered, or leaves.
    async fn answer_offer(&mut self) {
        let index = self.dice.below(self.waits.len());
        let (id, member) = (self.waits[index].id.clone(), self.waits[index].member);
        let who = self.members[member].clone();
        let (reply, _) = self.definite(who.get("/api/v1/waitlist?limit=100")).await;
        let items = reply.expect(200).body["items"].take();
        let entries = items.as_array().expect("entries");
        let entry = entries.iter().find(|one| one["id"] == id).expect("an entry of one's own");
        match entry["status"].as_str() {
            Some("offered") if self.dice.percent(70) => {
                let path = format!("/api/v1/waitlist/{id}/bookings");
                let call = who.post(path, json!({"payment": "at_store"}));
                let reply = self.operation(call).await;
                let fine = [
                    (201, ""),
                    (409, "offer_expired"),
                    (409, "session_cancelled"),
                    (409, "session_changed"),
                    (409, "session_full"),
                    (409, "slot_taken"),
                ];
                self.note("accept offer", &reply, &fine);
                if reply.status == 201 {
                    self.told(&reply.body["order"], Some(member));
                }
            }
            Some("waiting") if self.dice.percent(80) => self.weather.count("wait still"),
            Some("waiting" | "offered") => {
                let call = who.post(format!("/api/v1/waitlist/{id}/leave"), json!({}));
                let (reply, _) = self.definite(call).await;
                self.note("leave waitlist", &reply, &[(200, "")]);
            }
            _ => drop(self.waits.swap_remove(index)),
        }
    }
}
