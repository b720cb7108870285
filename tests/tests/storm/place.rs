//! The two stores of a storm, which do everything that there is: ten technicians, rooms, classes, plans,
//! visits at home. One settles its orders at once; in the other technicians accept them.

use std::collections::HashSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use zhundian_tests::world::date;
use zhundian_tests::{Api, Hours, Shop, Stack};

const TECHNICIANS_OF_A_STORE: usize = 5;
const ROOMS: usize = 2;
/// Appointments that a store has room for at once.
const STORE_CAPACITY: u16 = 4;
/// Where the stores are: [`Stack::shop`] puts them there.
pub const CENTRE: (f64, f64) = (31.23, 121.47);

/// A store and all that it offers.
pub struct Store {
    /// With the service that is booked directly, assigned, wished for and done at home.
    pub shop: Shop,
    /// That takes a room.
    pub roomy: String,
    /// Of five minutes, for today's visits.
    pub quick: String,
    /// A class.
    pub class: String,
    /// Of mode plan; takes a room.
    pub plan: String,
    /// The technicians' own sign-ins, as they are in the shop.
    pub technicians: Vec<Api>,
    /// Whether technicians accept their orders.
    pub asks: bool,
}

/// A class that somebody may book.
#[derive(Clone)]
pub struct Class {
    /// Its id.
    pub id: String,
    /// In which of the stores.
    pub store: usize,
}

/// The stores, and what all clients know.
pub struct Town {
    /// The stores.
    pub stores: Vec<Store>,
    /// The owner.
    pub owner: Api,
    /// Classes, those that were given up among them.
    pub classes: Mutex<Vec<Class>>,
    /// Those that were there before anybody came.
    pub first_classes: HashSet<String>,
}

impl Town {
    /// Makes all of it.
    pub async fn build(stack: &Stack) -> Self {
        stack.plans(true).await;
        let owner = stack.owner().await;
        let mut town = Self {
            stores: Vec::new(),
            owner,
            classes: Mutex::default(),
            first_classes: HashSet::new(),
        };
        for asks in [false, true] {
            let store = Store::build(stack, asks).await;
            for id in store.timetable(&town.owner).await {
                let store = town.stores.len();
                town.classes.get_mut().expect("no panic").push(Class { id: id.clone(), store });
                town.first_classes.insert(id);
            }
            town.stores.push(store);
        }
        town
    }
}

/// How far from the centre customers live, north or south, in metres.
pub fn home(metres: i32) -> (f64, f64) {
    (CENTRE.0 + f64::from(metres) / 111_195.0, CENTRE.1)
}

/// How a store takes bookings; the second one in two manners in turn.
pub fn ways(asks: bool, to_all: bool) -> Value {
    let express =
        json!({"deposit_fen": 0, "propose_within_minutes": 2, "answer_within_minutes": 2});
    if asks {
        let when = if to_all { "offer_to_all" } else { "ask_next" };
        json!({"accept_within_minutes": 1, "when_declined": when, "express": express})
    } else {
        json!({"assign_by": "fair_turn", "express": express})
    }
}

impl Store {
    async fn build(stack: &Stack, asks: bool) -> Self {
        let buffers = json!({"buffer_before_minutes": 5, "buffer_after_minutes": 10});
        let with = |fields: Value| {
            let mut service = buffers.clone();
            for (field, value) in fields.as_object().expect("fields") {
                service[field] = value.clone();
            }
            service
        };
        let various =
            json!({"modes": ["direct", "assigned", "express"], "places": ["store", "home"]});
        let shop = stack.shop_with(TECHNICIANS_OF_A_STORE, Hours::Always, with(various)).await;
        let room = json!([{"type": "护理房"}]);
        let service = async |fields: Value| stack.service(&shop.store, fields).await;
        let roomy = json!({"modes": ["direct", "assigned"], "resources": room});
        let roomy = service(with(roomy)).await;
        let quick = service(json!({"duration_minutes": 5, "price_fen": 1_000})).await;
        let class = service(json!({"modes": ["group"]})).await;
        let plan = service(with(json!({"modes": ["plan"], "resources": room}))).await;
        for _ in 0..ROOMS {
            stack.room(&shop.store, "护理房", 1).await;
        }
        let home_service = json!({
            "area": {"kind": "radius", "metres": 20_000},
            "fees": [{"up_to_metres": 3_000, "fee_fen": 0}, {"up_to_metres": 30_000, "fee_fen": 3_000}],
            "speeds": [{"up_to_metres": 50_000, "metres_per_minute": 250}],
            "handover_minutes": 5,
        });
        let fields = json!({
            "capacity": STORE_CAPACITY, "home_service": home_service, "ways": ways(asks, false),
            "visit": {"complete_after_minutes": 0, "no_show_after_minutes": 5},
        });
        stack.change_store(&shop.store, fields).await;
        let mut technicians = Vec::new();
        for id in &shop.technicians {
            technicians.push(stack.as_technician(&shop.store, id).await);
        }
        // A trainer takes three at once.
        stack.set_capacity(&shop, &shop.technicians[0], 3).await;
        Self { shop, roomy, quick, class, plan, technicians, asks }
    }

    /// A class on each of three days.
    async fn timetable(&self, owner: &Api) -> Vec<String> {
        let starts = [1, 2, 3].map(|day| format!("{}T10:00:00+08:00", date(day)));
        let body = json!({
            "store_id": self.shop.store, "service_id": self.class,
            "technician_id": self.shop.technicians[1], "capacity": 4, "starts": starts,
        });
        let made = owner.post("/api/v1/admin/sessions", body).idempotent().await.expect(201);
        let sessions = made.body["sessions"].as_array().expect("sessions").iter();
        sessions.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    }
}
