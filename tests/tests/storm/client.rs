//! One of the clients: its dice, its members, and its book of what it was told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use zhundian_tests::api::Call;
use zhundian_tests::weather::{Fine, Weather, same};
use zhundian_tests::world::date;
use zhundian_tests::{Api, Dice, Reply, Stack};

use crate::place::{Store, Town};

/// Dates from tomorrow on in which all happens: so few that most starts collide with something.
pub const DAYS: u64 = 6;

/// Somebody else has changed it, or it has changed by itself.
pub const MEANWHILE: [Fine; 3] = [(200, ""), (409, "order_changed"), (409, "order_not_changeable")];

/// What a client was told of an order: the answer with the highest version.
#[derive(Clone)]
pub struct Told {
    /// The order. Of a plan's sessions no more than the plan says of them.
    pub order: Value,
    /// Who booked it; staff do what they like with any.
    pub member: Option<usize>,
}

impl Told {
    /// The order's version.
    pub fn version(&self) -> i64 {
        self.order["version"].as_i64().expect("a version")
    }

    /// The order's id.
    pub fn id(&self) -> &str {
        self.order["id"].as_str().expect("an id")
    }

    /// A field of its line; null when it has none.
    pub fn line(&self, field: &str) -> &Value {
        &self.order["lines"][0][field]
    }

    /// Whether it changes by itself, or may refuse to change: what technicians are silent about or do
    /// not want, what is wished for, whose class is given up, today's, and who is served already.
    pub fn is_restless(&self, town: &Town) -> bool {
        let asks =
            town.stores.iter().any(|one| one.asks && self.order["store_id"] == one.shop.store);
        let settled = self.line("assignment").as_str().is_none_or(|is| is == "assigned");
        asks || !settled
            || self.order["mode"] != "direct"
            || self.order["status"] != "confirmed"
            || self.is_of_today()
    }

    /// Whether its customer may be here already.
    pub fn is_of_today(&self) -> bool {
        self.line("start_at").as_str().is_some_and(|start| start[..10] < *date(1))
    }
}

/// A member who waits for a place: the entry's id, and who.
pub struct Wait {
    /// The entry's id.
    pub id: String,
    /// Who.
    pub member: usize,
}

/// One client: its members, and its book.
pub struct Client {
    pub stack: Arc<Stack>,
    pub weather: Arc<Weather>,
    pub town: Arc<Town>,
    pub dice: Dice,
    pub members: Vec<Api>,
    /// Their ids and addresses, as staff need them.
    pub known: Vec<(String, String)>,
    pub orders: HashMap<String, Told>,
    pub live: Vec<String>,
    pub blocks: HashMap<String, bool>,
    /// Classes that it made or gave up, and whether they take place as far as it knows.
    pub classes: HashMap<String, bool>,
    /// Plans that it made.
    pub plans: Vec<String>,
    pub waits: Vec<Wait>,
    /// Starts that somebody was offered.
    pub offered: Vec<String>,
}

impl Client {
    /// A client with these members.
    pub async fn new(
        stack: &Arc<Stack>,
        weather: &Arc<Weather>,
        town: &Arc<Town>,
        dice: Dice,
        members: Vec<Api>,
    ) -> Self {
        let mut client = Self {
            stack: Arc::clone(stack),
            weather: Arc::clone(weather),
            town: Arc::clone(town),
            dice,
            members,
            known: Vec::new(),
            orders: HashMap::new(),
            live: Vec::new(),
            blocks: HashMap::new(),
            classes: HashMap::new(),
            plans: Vec::new(),
            waits: Vec::new(),
            offered: Vec::new(),
        };
        client.move_in().await;
        client
    }

    /// Sends a call until it has a definite answer; and whether an earlier try may have been at work.
    pub async fn definite(&self, call: Call) -> (Reply, bool) {
        self.weather.definite(&self.stack, call).await
    }

    /// Sends an operation with a key: now and then twice at once, now and then once more afterwards.
    pub async fn operation(&mut self, call: Call) -> Reply {
        self.operate(call, None).await
    }

    /// As [`Client::operation`], on an order that may change by itself between two that are sent at once:
    /// then the one may be refused, and the other not.
    pub async fn operation_on(&mut self, told: &Told, call: Call) -> Reply {
        self.operate(call, Some(told.version())).await
    }

    async fn operate(&mut self, call: Call, version: Option<i64>) -> Reply {
        let call = call.key(&self.dice.key());
        let reply = if self.dice.percent(10) {
            let (one, two) = tokio::join!(self.definite(call.clone()), self.definite(call.clone()));
            let (one, two) = if one.0.status < 300 { (one.0, two.0) } else { (two.0, one.0) };
            let now = one.body["order"]["version"].as_i64();
            let meanwhile = version.zip(now).is_some_and(|(told, now)| now > told + 1);
            if two.status < 300 || !meanwhile {
                same(&one, &two);
            }
            one
        } else {
            self.definite(call.clone()).await.0
        };
        if reply.status < 300 && self.dice.percent(8) {
            same(&reply, &self.definite(call).await.0);
        }
        reply
    }

    /// Counts an answer, which must be one of these.
    #[track_caller]
    pub fn note(&mut self, what: &str, reply: &Reply, fine: &[Fine]) {
        self.weather.note(what, reply, fine);
        // What is left of today is over by the time that somebody asks for it.
        let tomorrow = date(1);
        for one in reply.body["alternatives"].as_array().into_iter().flatten().take(2) {
            let start = one["start_at"].as_str().filter(|start| start[..10] >= *tomorrow);
            self.offered.extend(start.map(str::to_owned));
        }
        if self.offered.len() > 20 {
            self.offered.drain(..10);
        }
    }

    /// Notes an order that somebody was told of.
    pub fn told(&mut self, order: &Value, member: Option<usize>) {
        let told = Told { order: order.clone(), member };
        let id = told.id().to_owned();
        match self.orders.get(&id) {
            Some(known) if known.version() > told.version() => {}
            // One and the same, and only the line's id is new.
            known => {
                let member = known.map_or(member, |known| known.member);
                if known.is_none() {
                    self.live.push(id.clone());
                }
                if !matches!(order["status"].as_str(), Some("confirmed" | "in_service")) {
                    self.live.retain(|live| *live != id);
                }
                self.orders.insert(id, Told { member, ..told });
            }
        }
    }

    /// One of the stores.
    pub fn some_store(&mut self) -> usize {
        usize::from(self.dice.percent(50))
    }

    /// The store of this number.
    pub fn store(&self, number: usize) -> &Store {
        &self.town.stores[number]
    }

    /// A start in the coming days: one that was offered, or any.
    pub fn start(&mut self) -> String {
        if !self.offered.is_empty() && self.dice.percent(40) {
            let index = self.dice.below(self.offered.len());
            return self.offered.swap_remove(index);
        }
        let day = self.day();
        let minute = self.dice.below(288) * 5;
        format!("{day}T{:02}:{:02}:00+08:00", minute / 60, minute % 60)
    }

    /// One of the coming days.
    pub fn day(&mut self) -> String {
        date(i64::try_from(1 + self.dice.next() % DAYS).expect("small"))
    }

    /// One of a store's technicians.
    pub fn technician(&mut self, store: usize) -> String {
        let number = self.dice.below(self.store(store).shop.technicians.len());
        self.store(store).shop.technicians[number].clone()
    }

    /// In which of the stores an order is.
    pub fn store_of(&self, told: &Told) -> usize {
        let of = |one: &Store| told.order["store_id"] == one.shop.store;
        self.town.stores.iter().position(of).expect("a store of the town")
    }

    /// The path before the order's id, for somebody who may change it.
    pub fn changer(&mut self, told: &Told) -> (Api, &'static str) {
        match told.member {
            Some(member) if !self.dice.percent(10) => {
                (self.members[member].clone(), "/api/v1/orders")
            }
            _ => (self.town.owner.clone(), "/api/v1/staff/orders"),
        }
    }

    /// An order as it is now.
    pub async fn look(&mut self, id: &str) -> Told {
        let path = format!("/api/v1/staff/orders/{id}");
        let (reply, _) = self.definite(self.town.owner.get(path)).await;
        let reply = reply.expect(200);
        let known = self.orders[id].clone();
        let now = Told { order: reply.body["order"].clone(), member: known.member };
        assert!(known.version() <= now.version(), "{} after {}", now.order, known.order);
        self.told(&now.order, known.member);
        now
    }

    /// One of its orders that are not over; as it is now, if it has changed by itself.
    pub async fn some_order(&mut self) -> Option<Told> {
        if self.live.is_empty() {
            return None;
        }
        let id = self.dice.of(&self.live).clone();
        let told = self.orders[&id].clone();
        let partly = told.order["store_id"].is_null();
        if partly || (told.is_restless(&self.town) && self.dice.percent(50)) {
            return Some(self.look(&id).await);
        }
        Some(told)
    }

    /// One of its orders of today, as it is now.
    async fn some_visitor(&mut self) -> Option<Told> {
        let today = |id: &&String| self.orders[*id].is_of_today();
        let visitors: Vec<String> = self.live.iter().filter(today).cloned().collect();
        if visitors.is_empty() {
            return None;
        }
        let id = self.dice.of(&visitors).clone();
        Some(self.look(&id).await)
    }

    /// One operation.
    pub async fn step(&mut self) {
        let order = if self.dice.percent(60) { self.some_order().await } else { None };
        match (self.dice.below(100), order) {
            (0..25, Some(told)) => self.move_it(&told).await,
            (25..50, Some(told)) => self.cancel_it(&told).await,
            (50..62, Some(told)) => self.both(&told).await,
            (62..90, Some(told)) => self.answer(&told).await,
            (90.., Some(told)) => {
                let told = self.some_visitor().await.unwrap_or(told);
                self.visit(&told).await;
            }
            (0..50, None) => self.book().await,
            (50..57, None) => self.walk_in().await,
            (57..64, None) => self.wish().await,
            (64..77, None) => self.class().await,
            (77..85, None) => self.wait().await,
            (85..92, None) => self.plan().await,
            (92..96, None) => self.block().await,
            (96..99, None) => self.unblock().await,
            (_, None) => self.other_ways().await,
        }
        self.weather.done.fetch_add(1, Ordering::Relaxed);
    }

    /// The store in which technicians accept changes how it goes on when they do not.
    async fn other_ways(&mut self) {
        let path = format!("/api/v1/admin/stores/{}", self.store(1).shop.store);
        let (known, _) = self.definite(self.town.owner.get(&path)).await;
        let mut body = known.expect(200).body;
        body.as_object_mut().expect("a store").remove("id");
        body["ways"] = crate::place::ways(true, self.dice.percent(50));
        let (reply, _) = self.definite(self.town.owner.put(path, body)).await;
        self.note("ways", &reply, &[(200, ""), (409, "stale_version")]);
    }

    /// The members' ids, and an address of each.
    async fn move_in(&mut self) {
        for member in self.members.clone() {
            let me = member.get("/api/v1/me").await.expect(200).text("/id").to_owned();
            let metres = i32::try_from(self.dice.below(5)).expect("small") * 3_000 - 6_000;
            let (latitude, longitude) = crate::place::home(metres);
            let body = json!({"label": "家", "contact_name": "林女士", "contact_phone": "13900001111",
                "text": "江宁路 1 号", "latitude": latitude, "longitude": longitude});
            let address = member.post("/api/v1/me/addresses", body).await.expect(201);
            self.known.push((me, address.text("/id").to_owned()));
        }
    }
}
