//! What must be true of the ways of booking: what each line takes besides its technician, classes and their
//! seats, who waits, wishes, plans, answers to forms; and the ledger.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{Claim, Reader, int, text};
use crate::stack::Stack;

/// What D1 has of them.
#[derive(Default)]
pub struct Ways {
    pub services: Vec<Value>,
    pub stores: Vec<Value>,
    pub rooms: Vec<Value>,
    pub sessions: Vec<Value>,
    pub waits: Vec<Value>,
    pub wishes: Vec<Value>,
    pub plans: Vec<Value>,
    pub intakes: Vec<Value>,
    pub accounts: Vec<Value>,
}

impl Ways {
    pub fn read(stack: &Stack) -> Self {
        Self {
            services: stack.d1("SELECT id, resources, version, intake FROM service"),
            stores: stack.d1("SELECT id, capacity FROM store"),
            rooms: stack.d1("SELECT id, store_id, type FROM resource"),
            sessions: stack.d1("SELECT * FROM session"),
            waits: stack.d1("SELECT * FROM waitlist"),
            wishes: stack.d1("SELECT * FROM express"),
            plans: stack.d1("SELECT id, member_id, store_id, service_id FROM plan"),
            intakes: stack.d1("SELECT * FROM order_intake"),
            accounts: stack.d1("SELECT id, balance_fen, (SELECT coalesce(sum(delta_fen), 0)
                FROM ledger_entry WHERE account_id = account.id) AS entries_fen FROM account"),
        }
    }
}

/// The first of these rows with this id.
fn of_id<'a>(rows: &'a [Value], id: &str) -> Option<&'a Value> {
    rows.iter().find(|row| row["id"] == id)
}

/// A JSON text in a row; null when there is none.
fn json(row: &Value, name: &str) -> Value {
    let parse = |text| serde_json::from_str(text).unwrap_or_else(|error| panic!("{row}: {error}"));
    row[name].as_str().map_or(Value::Null, parse)
}

/// What `json_each` would give.
fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

impl Reader {
    pub(super) fn ways(&mut self) {
        let mut off = Vec::new();
        self.besides(&mut off);
        self.classes(&mut off);
        self.waits(&mut off);
        self.wishes(&mut off);
        self.plans(&mut off);
        self.forms(&mut off);
        self.money(&mut off);
        self.off.append(&mut off);
    }

    fn live_lines(&self) -> impl Iterator<Item = &Value> {
        self.lines.iter().filter(|line| line["status"] == "live")
    }

    /// The calendars of what stands beside the claim of a line or of a class's technician.
    fn owned(&self) -> HashMap<&str, Vec<&str>> {
        let mut by_owner: HashMap<&str, Vec<&str>> = HashMap::new();
        for row in self.besides.iter().filter(|row| row["status"] == "live") {
            let (Some(owner), Some(calendar)) = (row["owner"].as_str(), row["calendar"].as_str())
            else {
                continue;
            };
            by_owner.entry(owner).or_default().push(calendar);
        }
        by_owner
    }

    /// I3: a line has the room that its service asks for, one of each, in its own store, and a place in
    /// the store if that counts them; at home neither, and of a class nothing but its seats.
    fn besides(&self, off: &mut Vec<String>) {
        let owned = self.owned();
        let none = Vec::new();
        for line in self.live_lines() {
            let (id, store) = (text(line, "id"), text(line, "store_id"));
            let mut has: Vec<&str> = owned.get(id.as_str()).unwrap_or(&none).clone();
            // While a treatment works by itself its technician has another claim.
            let technician = format!("technician:{}", text(line, "technician_id"));
            has.retain(|calendar| *calendar != technician);
            let in_store = line["home"].is_null() && line["session_id"].is_null();
            let service = of_id(&self.ways.services, &text(line, "service_id"));
            let asked = service.map_or(Value::Null, |service| json(service, "resources"));
            for asked in items(&asked).filter(|_| in_store) {
                let would_do = |calendar: &str| {
                    let room = calendar.strip_prefix("room:");
                    let room = room.and_then(|id| of_id(&self.ways.rooms, id));
                    room.is_some_and(|room| {
                        room["store_id"] == store
                            && (room["type"] == asked["type"] || room["id"] == asked["resource_id"])
                    })
                };
                match has.iter().position(|calendar| would_do(calendar)) {
                    Some(at) => drop(has.swap_remove(at)),
                    None => off.push(format!("I3 line {id}: no claim of {asked}")),
                }
            }
            let counts =
                of_id(&self.ways.stores, &store).is_some_and(|it| !it["capacity"].is_null());
            if in_store && counts {
                let place = format!("store:{store}");
                match has.iter().position(|calendar| **calendar == place) {
                    Some(at) => drop(has.swap_remove(at)),
                    None => off.push(format!("I3 line {id}: no claim of a place in its store")),
                }
            }
            if !has.is_empty() {
                off.push(format!("I3 line {id}: claims {has:?} that it does not need"));
            }
        }
    }

    /// I1, I3: a class that takes place has its technician and its room, one that does not has neither nor
    /// any booking; no more seats are booked than there are.
    fn classes(&self, off: &mut Vec<String>) {
        let owned = self.owned();
        let none = Vec::new();
        let mut seats: BTreeMap<&str, i64> = BTreeMap::new();
        for line in self.live_lines() {
            if let Some(id) = line["session_id"].as_str() {
                *seats.entry(id).or_default() += int(line, "seats");
            }
        }
        for class in &self.ways.sessions {
            let id = text(class, "id");
            let has = owned.get(id.as_str()).unwrap_or(&none);
            let booked = seats.remove(id.as_str()).unwrap_or(0);
            if text(class, "status") != "scheduled" {
                if !has.is_empty() || booked > 0 {
                    off.push(format!("class {id} is given up, with {booked} seats and {has:?}"));
                }
                continue;
            }
            let room = class["room_id"].as_str().map(|room| format!("room:{room}"));
            let technician = Some(format!("technician:{}", text(class, "technician_id")));
            for needed in [technician, room].into_iter().flatten() {
                if has.iter().filter(|calendar| ***calendar == needed).count() != 1 {
                    off.push(format!("I3 class {id}: has {has:?} and not {needed} once"));
                }
            }
            if booked > int(class, "capacity") {
                let most = int(class, "capacity");
                off.push(format!("I1 class {id}: {booked} seats of {most} are booked"));
            }
        }
        off.extend(seats.keys().map(|id| format!("seats in class {id}, which is not there")));
    }

    /// No place is offered to two: an offer that stands has holds of its own, as large as it says; what was
    /// booked has an order, and one order is for one who waited.
    fn waits(&self, off: &mut Vec<String>) {
        let (mut offered, mut orders) = (HashSet::new(), HashSet::new());
        for wait in &self.ways.waits {
            let id = text(wait, "id");
            if let Some(order) = wait["order_id"].as_str()
                && (of_id(&self.orders, order).is_none() || !orders.insert(order))
            {
                off.push(format!("wait {id}: no order of its own, {order}"));
            }
            match wait["status"].as_str() {
                Some("booked") if wait["order_id"].is_null() => {
                    off.push(format!("wait {id}: booked without an order"));
                }
                Some("offered") => {
                    let held = json(wait, "held");
                    let stands = int(wait, "offer_expires_at") > self.now;
                    for held in items(&held) {
                        let claim = self.claim(held[0].as_str(), held[1].as_str());
                        let seats = claim.is_some_and(|claim| {
                            claim.state == "held"
                                && claim.is_live(self.now)
                                && claim.quantity == int(wait, "seats")
                        });
                        if stands && !seats {
                            off.push(format!("wait {id}: offered what is not held, {held}"));
                        }
                        if !offered.insert(held[0].as_str().unwrap_or_default().to_owned()) {
                            off.push(format!("wait {id}: offered what somebody else is, {held}"));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn claim(&self, id: Option<&str>, calendar: Option<&str>) -> Option<&Claim> {
        self.claims
            .iter()
            .find(|claim| Some(&*claim.id) == id && Some(&*claim.calendar) == calendar)
    }

    /// A wish waits, with a deadline; or is proposed for, with the time held until then; or is an
    /// appointment; or has ended with its order.
    fn wishes(&self, off: &mut Vec<String>) {
        for order in self.orders.iter().filter(|order| text(order, "mode") == "express") {
            let id = text(order, "id");
            let Some(wish) = self.ways.wishes.iter().find(|wish| wish["order_id"] == id) else {
                off.push(format!("order {id}: no wish"));
                continue;
            };
            let state = text(wish, "state");
            let lines = self.live_lines().filter(|line| line["order_id"] == id).count();
            let over = ["cancelled", "closed"].contains(&text(order, "status").as_str());
            let is_so = match state.as_str() {
                "waiting" | "proposed" => {
                    let waits = ["pending_payment", "paid", "confirmed"];
                    let waits = waits.contains(&text(order, "status").as_str());
                    let paid = text(order, "status") == "confirmed";
                    lines == 0 && waits && (!paid || !wish["due_at"].is_null())
                }
                "accepted" => lines == usize::from(!over) && wish["due_at"].is_null(),
                _ => lines == 0 && over,
            };
            if !is_so {
                let status = text(order, "status");
                off.push(format!("order {id}: {status}, its wish {state}, {lines} lines"));
            }
            if state == "proposed" && int(wish, "due_at") > self.now {
                for one in items(&json(wish, "proposal")["claims"]) {
                    let (claim, calendar) = (one["spec"]["id"].as_str(), one["calendar"].as_str());
                    if !self.claim(claim, calendar).is_some_and(|it| it.is_live(self.now)) {
                        off.push(format!("order {id}: proposed what is not held, {calendar:?}"));
                    }
                }
            }
        }
    }

    /// A plan's sessions are its member's, in its store, each with a number of its own, and no two at the
    /// same time as it was made; one that was moved alone may go where any appointment may.
    fn plans(&self, off: &mut Vec<String>) {
        let lines: HashMap<&str, &Value> =
            self.live_lines().filter_map(|line| Some((line["order_id"].as_str()?, line))).collect();
        let mut sessions: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for order in &self.orders {
            if let Some(plan) = order["plan_id"].as_str() {
                sessions.entry(plan).or_default().push(order);
            }
        }
        for (id, orders) in sessions {
            let Some(plan) = of_id(&self.ways.plans, id) else {
                off.push(format!("plan {id} is not there"));
                continue;
            };
            let mut numbers = HashSet::new();
            for order in &orders {
                let whose = ["member_id", "store_id", "service_id"];
                if whose.iter().any(|name| order[name] != plan[name]) {
                    off.push(format!("plan {id}: a session of somebody else, {}", order["id"]));
                }
                if !numbers.insert(int(order, "session_number")) {
                    off.push(format!("plan {id}: session {} twice", order["session_number"]));
                }
            }
            let mut times: Vec<(i64, i64)> = orders
                .iter()
                .filter(|order| int(order, "version") == 1)
                .filter_map(|order| lines.get(order["id"].as_str()?))
                .map(|line| (int(line, "block_start"), int(line, "block_end")))
                .collect();
            times.sort_unstable();
            if times.windows(2).any(|pair| pair[1].0 < pair[0].1) {
                off.push(format!("plan {id}: two of its sessions overlap"));
            }
        }
    }

    /// Answers are a line's of their order, to a form that its service had, and answer it.
    fn forms(&self, off: &mut Vec<String>) {
        for row in &self.ways.intakes {
            let id = text(row, "line_id");
            let Some(line) = of_id(&self.lines, &id) else {
                off.push(format!("answers for line {id}, which is not there"));
                continue;
            };
            for name in ["order_id", "service_id", "end_at"] {
                if row[name] != line[name] {
                    off.push(format!(
                        "answers for line {id}: {name} {}, its {}",
                        row[name], line[name]
                    ));
                }
            }
            let (form, answers) = (json(row, "form"), json(row, "answers"));
            let service = of_id(&self.ways.services, &text(line, "service_id"));
            let now = service.map_or(Value::Null, |service| json(service, "intake"));
            let newest = service.map_or(0, |service| int(service, "version"));
            let version = int(&form, "version");
            if !(1..=newest).contains(&version) || (now["version"] == version && now != form) {
                off.push(format!(
                    "answers for line {id}: its service had no form {version} of theirs"
                ));
            }
            let mut keys: HashSet<&str> =
                answers.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
            for field in items(&form["fields"]) {
                if !keys.remove(field["key"].as_str().unwrap_or_default())
                    && field["required"] == true
                {
                    off.push(format!("answers for line {id}: none to {}", field["key"]));
                }
            }
            if !keys.is_empty() {
                off.push(format!("answers for line {id}: {keys:?} were not asked"));
            }
            if row["agreed_at"].is_null() != form["consent"].is_null() {
                off.push(format!("answers for line {id}: agreed {}", row["agreed_at"]));
            }
        }
    }

    /// I4: an account is the sum of its entries, and not below zero.
    fn money(&self, off: &mut Vec<String>) {
        for account in &self.ways.accounts {
            let (is, sum) = (int(account, "balance_fen"), int(account, "entries_fen"));
            if is != sum || is < 0 {
                off.push(format!("I4 account {}: {is}, its entries {sum}", account["id"]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::TICK;
    use super::super::tests::{Break, NOW, START, claim, each_is_found, whole};
    use super::{Claim, Reader};

    fn claimed(calendar: &str, id: &str, start: i64, state: &str) -> Claim {
        Claim { calendar: calendar.into(), ..claim(id, start, state) }
    }

    /// What owns a claim, in this calendar at this start, as rows and calendars keep it.
    fn take(world: &mut Reader, owner: &str, calendar: &str, id: &str, start: i64) {
        world.claims.push(claimed(calendar, id, start, "confirmed"));
        world.besides.push(json!({
            "owner": owner, "claim_id": id, "calendar": calendar, "start_at": start,
            "end_at": start + TICK, "block_start": start, "block_end": start + 2 * TICK,
            "quantity": 1, "status": "live",
        }));
    }

    /// Somebody's seat in the class.
    fn seat(world: &mut Reader, number: i64) {
        let (order, line, claim) =
            (format!("o{number}"), format!("l{number}"), format!("c{number}"));
        let mut row = world.orders[0].clone();
        (row["id"], row["version"], row["service_id"]) =
            (order.as_str().into(), 1.into(), "k".into());
        world.orders.push(row);
        let mut row = world.lines[0].clone();
        (row["id"], row["order_id"]) = (line.into(), order.as_str().into());
        (row["claim_id"], row["session_id"]) = (claim.as_str().into(), "class".into());
        row["service_id"] = "k".into();
        world.lines.push(row);
        world.claims.push(claimed("session:class", &claim, START, "confirmed"));
        world.events.push(json!({"order_id": order, "kind": "booked", "actor_kind": "member"}));
        let response = json!({"order": {"id": order}}).to_string();
        let key = format!("key {number}");
        world.answers.push(json!({"key": key, "status": 201, "response": response}));
    }

    /// The appointment with a room and a place in the store; a class of two seats, both taken, and two who
    /// wait for another one, in which two places are held for them; a wish that is proposed for; a plan.
    fn everything() -> Reader {
        let mut world = whole();
        world.capacity =
            [("technician:t", 1), ("session:class", 2), ("session:late", 2), ("store:s", 5)]
                .map(|(calendar, most)| (calendar.to_owned(), most))
                .into();
        world.told.extend([
            json!({"calendar": "session:class", "capacity": 2}),
            json!({"calendar": "session:late", "capacity": 2}),
            json!({"calendar": "store:s", "capacity": 5}),
        ]);
        world.ways.stores = vec![json!({"id": "s", "capacity": 5})];
        world.ways.rooms = vec![
            json!({"id": "r", "store_id": "s", "type": "bath"}),
            json!({"id": "q", "store_id": "s", "type": "bench"}),
        ];
        world.ways.services = vec![
            json!({"id": "v", "resources": r#"[{"type":"bath"}]"#}),
            json!({"id": "k", "resources": "[]"}),
        ];
        take(&mut world, "l", "room:r", "cr", START);
        take(&mut world, "l", "store:s", "cs", START);

        let class = |id: &str, start: i64| {
            json!({"id": id, "technician_id": "u", "room_id": "q", "capacity": 2, "status": "scheduled",
                "start_at": start})
        };
        let later = START + 6 * TICK;
        world.ways.sessions = vec![class("class", START), class("late", later)];
        for (id, start) in [("class", START), ("late", later)] {
            take(&mut world, id, "technician:u", &format!("{id} u"), start);
            take(&mut world, id, "room:q", &format!("{id} q"), start);
        }
        seat(&mut world, 1);
        seat(&mut world, 2);
        for id in ["h1", "h2"] {
            world.claims.push(claimed("session:late", id, later, "held"));
            world.ways.waits.push(json!({
                "id": format!("w {id}"), "status": "offered", "seats": 1, "order_id": null,
                "held": json!([[id, "session:late"]]).to_string(), "offer_expires_at": NOW + 50_000,
            }));
        }

        world
            .orders
            .push(json!({"id": "x", "status": "confirmed", "version": 2, "mode": "express"}));
        world.claims.push(claimed("technician:w", "cx", START, "held"));
        let proposal = json!({"claims": [{"calendar": "technician:w", "spec": {"id": "cx"}}]});
        world.ways.wishes =
            vec![json!({"order_id": "x", "state": "proposed", "due_at": NOW + 50_000,
            "proposal": proposal.to_string()})];
        world
            .answers
            .push(json!({"key": "kx", "status": 201, "response": r#"{"order":{"id":"x"}}"#}));

        world.ways.plans =
            vec![json!({"id": "p", "member_id": null, "store_id": "s", "service_id": "v"})];
        (world.orders[0]["plan_id"], world.orders[0]["session_number"]) = ("p".into(), 1.into());
        world.ways.accounts = vec![json!({"id": "a", "balance_fen": 3, "entries_fen": 3})];

        let form = r#"{"version":2,"consent":{"version":1,"text":"?"},"fields":[
            {"key":"a","label":"?","required":true,"kind":{"type":"yes_no"}}]}"#;
        (world.ways.services[0]["version"], world.ways.services[0]["intake"]) =
            (3.into(), form.into());
        world.ways.intakes = vec![json!({"line_id": "l", "order_id": "o", "service_id": "v",
            "end_at": world.lines[0]["end_at"], "form": form, "answers": r#"{"a":true}"#,
            "agreed_at": NOW})];
        world
    }

    /// A place on the map, so many metres north of the store.
    fn home(metres: f64) -> Value {
        json!({
            "point": [31_230_000.0 + metres * 8.993_216, 121_470_000.0],
            "speed": {"handover_minutes": 5, "bands": [{"up_to_metres": 50_000, "metres_per_minute": 250}]},
            "store_ticks": {"s": 2},
        })
    }

    /// The appointment is at a home, and two hours later they are at another one, 40 minutes away.
    fn at_two_homes(world: &mut Reader) {
        *world = whole();
        world.days.clear();
        world.claims[1].home = home(0.0);
        world.lines[0]["home"] = "{}".into();
        let mut other = claimed("technician:t", "h", START + 24 * TICK, "held");
        other.home = home(8_750.0);
        world.claims.push(other);
    }

    #[test]
    fn what_is_damaged_of_any_way_of_booking_is_found() {
        let breaks: &[(&str, Break)] = &[
            ("", |_| {}),
            // A claim is gone, or stands in another calendar, or nobody needs it.
            ("no claim cr", |world| world.claims.retain(|claim| claim.id != "cr")),
            ("no claim of {\"type\":\"bath\"}", |world| drop(world.besides.remove(0))),
            ("no claim of {\"type\":\"bath\"}", |world| {
                world.ways.rooms[0]["store_id"] = "z".into();
            }),
            ("no claim of a place in its store", |world| drop(world.besides.remove(1))),
            ("that it does not need", |world| world.ways.services[0]["resources"] = "[]".into()),
            ("that it does not need", |world| world.lines[0]["home"] = "{}".into()),
            ("nothing stands on it", |world| {
                world.claims.push(claimed("room:r", "stray", START + 20 * TICK, "confirmed"));
            }),
            // Classes.
            ("I1 session:class: 3 of 2", |world| {
                seat(world, 3);
            }),
            ("I1 class class: 3 seats of 2", |world| seat(world, 3)),
            ("I1 class class: 3 seats of 2", |world| world.lines[1]["seats"] = 2.into()),
            ("not technician:u once", |world| world.besides[2]["status"] = "cancelled".into()),
            ("not room:r once", |world| world.ways.sessions[0]["room_id"] = "r".into()),
            ("class class is given up, with 2 seats", |world| {
                world.ways.sessions[0]["status"] = "cancelled".into();
            }),
            ("seats in class class, which is not there", |world| {
                world.ways.sessions.remove(0);
            }),
            // Who waits.
            ("offered what somebody else is", |world| {
                world.ways.waits[1]["held"] = world.ways.waits[0]["held"].clone();
            }),
            ("offered what is not held", |world| world.claims.retain(|claim| claim.id != "h2")),
            ("offered what is not held", |world| world.ways.waits[0]["seats"] = 2.into()),
            ("booked without an order", |world| world.ways.waits[0]["status"] = "booked".into()),
            ("no order of its own, z", |world| world.ways.waits[0]["order_id"] = "z".into()),
            ("no order of its own, o1", |world| {
                world.ways.waits[0]["order_id"] = "o1".into();
                world.ways.waits[1]["order_id"] = "o1".into();
            }),
            // Wishes.
            ("proposed what is not held", |world| world.claims.retain(|claim| claim.id != "cx")),
            ("order x: no wish", |world| world.ways.wishes.clear()),
            ("cancelled, its wish proposed", |world| {
                world.orders[3]["status"] = "cancelled".into();
            }),
            ("completed, its wish proposed", |world| {
                world.orders[3]["status"] = "completed".into();
            }),
            ("its wish accepted, 0 lines", |world| {
                world.ways.wishes[0]["state"] = "accepted".into();
            }),
            ("its wish waiting, 0 lines", |world| {
                world.ways.wishes[0]["state"] = "waiting".into();
                world.ways.wishes[0]["due_at"] = Value::Null;
            }),
            // Plans.
            ("plan z is not there", |world| world.orders[0]["plan_id"] = "z".into()),
            ("a session of somebody else", |world| world.ways.plans[0]["member_id"] = "m".into()),
            ("session 1 twice", |world| {
                (world.orders[1]["plan_id"], world.orders[1]["session_number"]) =
                    ("p".into(), 1.into());
            }),
            ("two of its sessions overlap", |world| {
                for index in [1, 2] {
                    (world.orders[index]["plan_id"], world.orders[index]["session_number"]) =
                        ("p".into(), (index + 1).into());
                }
            }),
            // Answers to forms.
            ("line z, which is not there", |world| world.ways.intakes[0]["line_id"] = "z".into()),
            ("order_id \"z\", its \"o\"", |world| {
                world.ways.intakes[0]["order_id"] = "z".into();
            }),
            ("service_id \"k\"", |world| world.ways.intakes[0]["service_id"] = "k".into()),
            ("end_at 1", |world| world.ways.intakes[0]["end_at"] = 1.into()),
            ("had no form 2", |world| world.ways.services[0]["version"] = 1.into()),
            ("had no form 2", |world| {
                world.ways.services[0]["intake"] = r#"{"version":2}"#.into();
            }),
            ("none to \"a\"", |world| world.ways.intakes[0]["answers"] = "{}".into()),
            ("{\"b\"} were not asked", |world| {
                world.ways.intakes[0]["answers"] = r#"{"a":true,"b":1}"#.into();
            }),
            ("agreed null", |world| world.ways.intakes[0]["agreed_at"] = Value::Null),
            // Money.
            ("I4 account", |world| world.ways.accounts[0]["balance_fen"] = 4.into()),
            // Ways between homes.
            ("is not projected", at_two_homes),
            ("no way from", |world| {
                at_two_homes(world);
                let moved = world.claims.last_mut().expect("two homes");
                moved.times = moved.times.map(|time| time - 15 * TICK);
            }),
        ];
        each_is_found(everything, breaks);
    }

    #[test]
    fn who_has_time_for_the_way_is_not_late() {
        let mut world = whole();
        at_two_homes(&mut world);
        world.look(&[]);
        assert!(world.off.iter().all(|off| !off.contains("no way")), "{:?}", world.off);
    }
}
