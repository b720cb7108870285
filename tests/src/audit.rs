//! Reads every calendar and every order and says what is off (invariants I1 to I6); `ways` has what the
//! ways of booking must be beyond that.
//!
//! It shares nothing with the Worker: it reads the databases' files while the Worker is stopped, and
//! computes with minutes and plain loops.

mod ways;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::now_ms;
use crate::stack::Stack;
use crate::world::{Hours, Shop};

use ways::Ways;

const TICK: i64 = 5 * 60_000;
const DAY: i64 = 86_400_000;
const SHANGHAI: i64 = 8 * 3_600_000;
/// Coming days whose projection is compared.
const DAYS: i64 = 30;
/// What may happen to an order after its beginning, each with a version of its own, unless it ends it.
const CHANGES: [&str; 21] = [
    "paid",
    "confirmed",
    "moved",
    "assigned",
    "accepted",
    "declined",
    "silent",
    "passed_on",
    "handed_on",
    "offered",
    "grabbed",
    "proposed",
    "checked_in",
    "started",
    "finished",
    "settled",
    "completed",
    "ended_unpaid",
    "session_done",
    "no_show",
    "extended",
];
/// What happens beside an order, and leaves its version as it is.
const BESIDE: [&str; 4] = ["departed", "arrived", "refund_requested", "refunded"];
/// What is off is listed up to this many.
const LISTED: usize = 40;

/// What an audit has read, and what it found.
#[derive(Debug)]
pub struct Audit {
    /// Orders read.
    pub orders: usize,
    /// Claims read, released ones and expired holds among them.
    pub claims: usize,
    /// Claims that are confirmed.
    pub confirmed: usize,
    /// What does not hold, in words.
    pub off: Vec<String>,
    /// What the Worker's own audit has counted, by kind.
    pub drift: BTreeMap<String, i64>,
}

impl Audit {
    /// Stops the Worker and reads. The projection is compared for the technicians of these shops.
    pub fn of(stack: &Stack, shops: &[(&Shop, Hours)]) -> Self {
        stack.kill_worker();
        let now = now_ms();
        let mut reader = Reader::read(stack, now);
        reader.look(shops);
        Self {
            orders: reader.orders.len(),
            claims: reader.claims.len(),
            confirmed: reader.claims.iter().filter(|claim| claim.state == "confirmed").count(),
            off: reader.off,
            drift: stack
                .d1("SELECT kind, count FROM drift")
                .iter()
                .map(|row| (text(row, "kind"), int(row, "count")))
                .collect(),
        }
    }

    /// Prints what was read.
    ///
    /// # Panics
    /// With a list, if anything is off.
    #[track_caller]
    pub fn check(&self) {
        println!(
            "audit: {} orders, {} claims ({} confirmed), {} off, drift {:?}",
            self.orders,
            self.claims,
            self.confirmed,
            self.off.len(),
            self.drift
        );
        let listed: Vec<_> = self.off.iter().take(LISTED).map(String::as_str).collect();
        assert!(self.off.is_empty(), "{} off:\n{}", self.off.len(), listed.join("\n"));
    }
}

struct Claim {
    calendar: String,
    id: String,
    state: String,
    expires_at: i64,
    replaces: Option<String>,
    quantity: i64,
    times: [i64; 4],
    kind: String,
    store: String,
    /// Where, as it is kept; null in the store.
    home: Value,
}

impl Claim {
    fn is_live(&self, now: i64) -> bool {
        self.state == "confirmed" || (self.state == "held" && now < self.expires_at)
    }

    fn block(&self) -> (i64, i64) {
        (self.times[2], self.times[3])
    }

    /// Minutes from one appointment to another at a different place, one of them a home; `None` where
    /// the capacity alone decides.
    fn way(&self, other: &Self) -> Option<f64> {
        let away = !(self.home.is_null() && other.home.is_null());
        if self.kind == "block" || other.kind == "block" || !away {
            return None;
        }
        let to_store = |home: &Value, store: &str| {
            home["store_ticks"][store].as_f64().map(|ticks| ticks * 5.0)
        };
        let minutes = if self.home.is_null() {
            to_store(&other.home, &self.store)
        } else if other.home.is_null() {
            to_store(&self.home, &other.store)
        } else {
            Some(home_minutes(&self.home, &other.home).max(home_minutes(&other.home, &self.home)))
        };
        minutes.filter(|minutes| *minutes > 0.0)
    }

    /// What it takes of a calendar that carries so much: blocked time is as large as the calendar.
    fn units(&self, capacity: i64) -> i64 {
        if self.kind == "block" { capacity } else { self.quantity }
    }
}

/// Minutes between two homes by the first one's table: the straight line by the law of cosines.
fn home_minutes(from: &Value, to: &Value) -> f64 {
    let radians = |home: &Value, index: usize| {
        (home["point"][index].as_f64().expect("microdegrees") / 1e6).to_radians()
    };
    let (a, b) = ((radians(from, 0), radians(from, 1)), (radians(to, 0), radians(to, 1)));
    if a == b {
        return 0.0;
    }
    let cosine = a.0.sin() * b.0.sin() + a.0.cos() * b.0.cos() * (a.1 - b.1).cos();
    let metres = cosine.clamp(-1.0, 1.0).acos() * 6_371_008.8;
    let bands = from["speed"]["bands"].as_array().expect("bands");
    let number = |band: &Value, name: &str| band[name].as_f64().expect("a number");
    let band = bands.iter().find(|band| metres <= number(band, "up_to_metres"));
    let speed = number(band.or(bands.last()).expect("a band"), "metres_per_minute");
    from["speed"]["handover_minutes"].as_f64().expect("minutes") + metres / speed
}

struct Reader {
    now: i64,
    claims: Vec<Claim>,
    capacity: HashMap<String, i64>,
    told: Vec<Value>,
    orders: Vec<Value>,
    lines: Vec<Value>,
    besides: Vec<Value>,
    ways: Ways,
    blocks: Vec<Value>,
    events: Vec<Value>,
    answers: Vec<Value>,
    outbox: Vec<Value>,
    days: Vec<Value>,
    off: Vec<String>,
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

fn int(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap_or_else(|| panic!("no number {name} in {row}"))
}

/// Shows an instant.
fn at(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |at| at.format("%m-%dT%H:%MZ").to_string())
}

impl Reader {
    fn read(stack: &Stack, now: i64) -> Self {
        let of_calendars = |sql: &str| stack.calendars(sql).into_iter();
        let claims = of_calendars("SELECT * FROM claim").flat_map(|(calendar, rows)| {
            rows.into_iter().map(move |row| Claim {
                calendar: calendar.clone(),
                id: text(&row, "id"),
                state: text(&row, "state"),
                expires_at: row["expires_at"].as_i64().unwrap_or_default(),
                replaces: row["replaces"].as_str().map(str::to_owned),
                quantity: int(&row, "quantity"),
                times: ["start_at", "end_at", "block_start", "block_end"]
                    .map(|name| int(&row, name)),
                kind: text(&row, "kind"),
                store: text(&row, "store_id"),
                home: row["home"].as_str().map_or(Value::Null, |home| {
                    serde_json::from_str(home).unwrap_or_else(|error| panic!("{home}: {error}"))
                }),
            })
        });
        Self {
            now,
            claims: claims.collect(),
            capacity: of_calendars("SELECT capacity FROM window")
                .map(|(calendar, rows)| (calendar, int(&rows[0], "capacity")))
                .collect(),
            told: stack.d1("SELECT 'technician:' || id AS calendar, capacity FROM technician
                UNION ALL SELECT 'room:' || id, capacity FROM resource
                UNION ALL SELECT 'session:' || id, capacity FROM session
                UNION ALL SELECT 'store:' || id, capacity FROM store WHERE capacity IS NOT NULL"),
            orders: stack.d1(
                "SELECT *, (SELECT coalesce(sum(price_fen * quantity), 0) FROM order_item
                    WHERE order_id = orders.id) AS items_fen FROM orders",
            ),
            lines: stack.d1("SELECT * FROM order_line"),
            besides: stack.d1("SELECT line_id AS owner, claim_id, calendar, start_at, end_at,
                block_start, block_end, quantity, status FROM line_claim UNION ALL SELECT session_id,
                claim_id, calendar, start_at, end_at, block_start, block_end, quantity, status
                FROM session_claim"),
            ways: Ways::read(stack),
            blocks: stack.d1("SELECT *, 'room:' || resource_id AS calendar FROM block"),
            events: stack.d1("SELECT order_id, kind, actor_kind FROM order_event ORDER BY id"),
            answers: stack.d1("SELECT * FROM idempotency"),
            outbox: stack.d1("SELECT id, topic, dead, attempts, last_error FROM outbox"),
            days: stack.d1("SELECT * FROM calendar_day"),
            off: Vec::new(),
        }
    }

    fn look(&mut self, shops: &[(&Shop, Hours)]) {
        self.capacities();
        self.both_ways();
        self.orders();
        self.answers();
        self.ways();
        self.machinery();
        self.projection(shops);
    }

    fn capacity(&self, calendar: &str) -> i64 {
        self.capacity.get(calendar).copied().unwrap_or(1)
    }

    /// I1: no instant carries more than its calendar's capacity, all of which a block takes. A move and
    /// what it replaces are one appointment where they overlap.
    fn capacities(&mut self) {
        for row in &self.told {
            let calendar = text(row, "calendar");
            let (told, kept) = (int(row, "capacity"), self.capacity(&calendar));
            if told != kept {
                self.off.push(format!("{calendar}: capacity {kept}, D1 says {told}"));
            }
        }
        let mut by_calendar: BTreeMap<&str, Vec<&Claim>> = BTreeMap::new();
        for claim in self.claims.iter().filter(|claim| claim.is_live(self.now)) {
            by_calendar.entry(&claim.calendar).or_default().push(claim);
        }
        let mut off = Vec::new();
        for (calendar, claims) in by_calendar {
            let most = self.capacity(calendar);
            let mut load: BTreeMap<i64, i64> = BTreeMap::new();
            for claim in &claims {
                let (from, until) = claim.block();
                let old = claims.iter().find(|old| claim.replaces.as_ref() == Some(&old.id));
                for tick in (from..until).step_by(usize::try_from(TICK).expect("small")) {
                    let shared = old
                        .filter(|old| old.block().0 <= tick && tick < old.block().1)
                        .map_or(0, |old| old.units(most).min(claim.units(most)));
                    *load.entry(tick).or_default() += claim.units(most) - shared;
                }
            }
            for (index, one) in claims.iter().enumerate() {
                for other in claims.iter().skip(index + 1) {
                    let moves = |new: &Claim, old: &Claim| new.replaces.as_ref() == Some(&old.id);
                    let way = one.way(other);
                    let ((start, end), (other_start, other_end)) = (one.block(), other.block());
                    let gap = (start - other_end).max(other_start - end) / 60_000;
                    let gap = i32::try_from(gap).unwrap_or(i32::MAX);
                    // A metre more or less does not matter here.
                    let late = way.is_some_and(|way| f64::from(gap) < way - 0.01);
                    if late && !moves(one, other) && !moves(other, one) {
                        let (from, to) = (at(start), at(other_start));
                        off.push(format!("I1 {calendar}: no way from {from} to {to}"));
                    }
                }
            }
            for (tick, load) in load.into_iter().filter(|(_, load)| *load > most) {
                off.push(format!("I1 {calendar}: {load} of {most} at {}", at(tick)));
            }
        }
        self.off.append(&mut off);
    }

    /// I3: a live line or block has its confirmed claim, with the same times; a confirmed claim has a
    /// live line or block.
    fn both_ways(&mut self) {
        let mut off = Vec::new();
        let mut claims: HashMap<&str, &Claim> = HashMap::new();
        for claim in &self.claims {
            if let Some(other) = claims.insert(&claim.id, claim) {
                off.push(format!(
                    "claim {} in {} and {}",
                    claim.id, claim.calendar, other.calendar
                ));
            }
        }
        let mut live: HashSet<String> = HashSet::new();
        let lines = self.lines.iter().chain(&self.besides).map(|line| ("line", "claim_id", line));
        for (what, claim_id, row) in lines.chain(self.blocks.iter().map(|row| ("block", "id", row)))
        {
            if text(row, "status") != "live" {
                continue;
            }
            let id = text(row, claim_id);
            let name = format!("I3 {what} {}", text(row, claim_id));
            let block =
                if what == "line" { ["block_start", "block_end"] } else { ["start_at", "end_at"] };
            let mut times = ["start_at", "end_at", block[0], block[1]].map(|name| int(row, name));
            // While a treatment works by itself its technician has two claims, each of a part of it.
            times[0] = times[0].max(times[2]);
            times[1] = times[1].min(times[3]);
            // Seats in a session are taken there, and the technician's time by the session.
            let calendar = match (row["calendar"].as_str(), row["session_id"].as_str()) {
                (Some(calendar), _) => calendar.to_owned(),
                (None, Some(session)) => format!("session:{session}"),
                (None, None) => format!("technician:{}", text(row, "technician_id")),
            };
            let quantity = row["seats"].as_i64().or_else(|| row["quantity"].as_i64()).unwrap_or(1);
            match claims.get(id.as_str()) {
                None => off.push(format!("{name}: no claim {id}")),
                Some(claim) if claim.state != "confirmed" => {
                    off.push(format!("{name}: its claim {id} is {}", claim.state));
                }
                Some(claim) if claim.times != times => {
                    off.push(format!("{name}: {times:?}, its claim {:?}", claim.times));
                }
                Some(claim) if claim.calendar != calendar => {
                    off.push(format!("{name}: its claim is in {}", claim.calendar));
                }
                Some(claim) if what == "line" && claim.quantity != quantity => {
                    off.push(format!("{name}: {quantity} units, its claim {}", claim.quantity));
                }
                Some(claim) if (claim.kind == "block") != (what == "block") => {
                    off.push(format!("{name}: its claim is for {}", claim.kind));
                }
                Some(_) => {}
            }
            if !live.insert(id) {
                off.push(format!("{name}: another one stands on the same claim"));
            }
        }
        for claim in self.claims.iter().filter(|claim| claim.state == "confirmed") {
            if !live.contains(&claim.id) {
                let (from, until) = claim.block();
                let (from, until) = (at(from), at(until));
                off.push(format!("I3 claim {} ({from}..{until}): nothing stands on it", claim.id));
            }
        }
        self.off.append(&mut off);
    }

    /// Orders, lines and timelines say the same.
    fn orders(&mut self) {
        let mut off = Vec::new();
        let by_order = |rows: &[Value]| {
            let mut map: HashMap<String, Vec<Value>> = HashMap::new();
            for row in rows {
                map.entry(text(row, "order_id")).or_default().push(row.clone());
            }
            map
        };
        let (lines, events) = (by_order(&self.lines), by_order(&self.events));
        let none = Vec::new();
        for order in &self.orders {
            let id = text(order, "id");
            let lines = lines.get(&id).unwrap_or(&none);
            // Of a visit, that which begins first.
            let Some(first) = lines.iter().min_by_key(|line| int(line, "start_at")) else {
                // Nothing has been proposed for it, or nothing accepted.
                if text(order, "mode") != "express" {
                    off.push(format!("order {id}: no line"));
                }
                continue;
            };
            let status = text(order, "status");
            // Who was served, or did not come, has had the time.
            let line_is = if status == "cancelled" { "cancelled" } else { "live" };
            let known = ["confirmed", "in_service", "completed", "no_show", "cancelled"];
            for line in lines {
                if !known.contains(&status.as_str()) || text(line, "status") != line_is {
                    off.push(format!("order {id}: {status}, {}", line["status"]));
                }
                let date = int(line, "start_at") + SHANGHAI;
                let date = chrono::DateTime::from_timestamp_millis(date).expect("an instant");
                if text(line, "date") != date.format("%Y-%m-%d").to_string() {
                    off.push(format!("order {id}: not on {}", line["date"]));
                }
            }
            for name in ["technician_id", "start_at", "store_id", "service_id"] {
                if order[name] != first[name] {
                    off.push(format!("order {id}: {name} {} and {}", order[name], first[name]));
                }
            }
            let price: i64 = lines.iter().map(|line| int(line, "price_fen")).sum();
            if int(order, "total_fen") != price + int(order, "items_fen") {
                off.push(format!("order {id}: costs {} and {price}", order["total_fen"]));
            }
            let kinds = events.get(&id).unwrap_or(&none).iter().map(|event| text(event, "kind"));
            let kinds: Vec<_> = kinds.filter(|kind| !BESIDE.contains(&kind.as_str())).collect();
            let steps = usize::try_from(int(order, "version")).expect("a version");
            let ended =
                kinds.last().is_some_and(|kind| kind == "cancelled" || kind == "claim_lost");
            let between = kinds.get(1..kinds.len() - usize::from(ended)).unwrap_or_default();
            if kinds.first().is_none_or(|kind| kind != "booked")
                || kinds.len() != steps
                || ended != (status == "cancelled")
                || between.iter().any(|kind| !CHANGES.contains(&kind.as_str()))
            {
                off.push(format!("order {id}: {status} at version {steps}, told as {kinds:?}"));
            }
            if kinds.iter().any(|kind| kind == "claim_lost") {
                off.push(format!("order {id}: lost its claim"));
            }
        }
        self.off.append(&mut off);
    }

    /// I6: one order or block a key, or a plan's orders, and the answer tells of them.
    fn answers(&mut self) {
        let ids = |rows: &[Value]| rows.iter().map(|row| text(row, "id")).collect::<HashSet<_>>();
        let (orders, blocks) = (ids(&self.orders), ids(&self.blocks));
        let mut made: HashSet<String> = HashSet::new();
        for row in &self.answers {
            let key = text(row, "key");
            let answer: Value = serde_json::from_str(&text(row, "response")).unwrap_or_default();
            let id = |told: &Value| told["id"].as_str().unwrap_or_default().to_owned();
            // Classes are no orders, and what was taken at the counter or asked for online tells of none.
            let money = answer["taken_fen"].is_number() || answer["payment"].is_object();
            if answer["sessions"][0]["capacity"].is_number() || money {
                continue;
            }
            // A plan just made, or sessions of one just moved.
            let sessions = answer["plan"]["sessions"].as_array().or(answer["sessions"].as_array());
            let (known, told) = match (sessions, &answer["order"]) {
                (Some(sessions), _) => (&orders, sessions.iter().map(id).collect()),
                (None, Value::Null) => (&blocks, vec![id(&answer)]),
                (None, order) => (&orders, vec![id(order)]),
            };
            for id in told {
                if !known.contains(&id) {
                    self.off.push(format!("I6 key {key}: tells of {id}, which is not there"));
                }
                if int(row, "status") == 201 && !made.insert(id.clone()) {
                    self.off.push(format!("I6 {id}: made under two keys"));
                }
            }
        }
        for id in orders.union(&blocks).filter(|id| !made.contains(*id)) {
            self.off.push(format!("I6 {id}: made under no key"));
        }
    }

    /// Nothing is left to do.
    fn machinery(&mut self) {
        for row in &self.outbox {
            self.off.push(format!("outbox: {row}"));
        }
    }

    /// What availability reads is working time without what is taken. Ticks of a hold that was left
    /// behind are not compared: whether it counts depends on the instant.
    fn projection(&mut self, shops: &[(&Shop, Hours)]) {
        let mut off = Vec::new();
        let mut free: HashMap<(String, String, i64), String> = HashMap::new();
        for row in &self.days {
            free.insert(
                (text(row, "store_id"), text(row, "calendar"), int(row, "day")),
                text(row, "free"),
            );
        }
        let tomorrow = self.now / DAY + 1;
        for (shop, hours) in shops {
            for technician in &shop.technicians {
                let calendar = format!("technician:{technician}");
                let most = self.capacity(&calendar);
                let mut taken: HashMap<i64, i64> = HashMap::new();
                let mut unclear: HashSet<i64> = HashSet::new();
                for claim in self.claims.iter().filter(|claim| claim.calendar == calendar) {
                    let (from, until) = claim.block();
                    // At a home they are away from the store for the ways, too.
                    let way = claim.home["store_ticks"][&shop.store].as_i64().unwrap_or(0) * TICK;
                    let near =
                        (from - way..until + way).step_by(usize::try_from(TICK).expect("small"));
                    for tick in near {
                        if way > 0 && claim.state == "confirmed" {
                            *taken.entry(tick).or_default() += most;
                            continue;
                        }
                        match claim.state.as_str() {
                            "confirmed" => *taken.entry(tick).or_default() += claim.units(most),
                            "held" => drop(unclear.insert(tick)),
                            _ => {}
                        }
                    }
                }
                for day in tomorrow..tomorrow + DAYS {
                    let Some(bits) = free.get(&(shop.store.clone(), calendar.clone(), day)) else {
                        off.push(format!("{calendar}: {} is not projected", at(day * DAY)));
                        continue;
                    };
                    let wrong: Vec<_> = (0..288)
                        .map(|index| (index, day * DAY + index * TICK))
                        .filter(|(_, tick)| !unclear.contains(tick))
                        .filter(|(index, tick)| {
                            let minute = (tick + SHANGHAI) % DAY / 60_000;
                            let works = *hours == Hours::Always || (600..1320).contains(&minute);
                            let is_free = works && taken.get(tick).copied().unwrap_or(0) < most;
                            is_free != bit(bits, *index)
                        })
                        .map(|(_, tick)| at(tick))
                        .collect();
                    if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
                        let count = wrong.len();
                        off.push(format!(
                            "{calendar}: {count} ticks are projected wrong, {first} to {last}"
                        ));
                    }
                }
            }
        }
        self.off.append(&mut off);
    }
}

/// A tick's bit in a projected day: bytes in order of time, the earliest tick in a byte's lowest bit.
fn bit(hex: &str, index: i64) -> bool {
    let index = usize::try_from(index).expect("a tick of the day");
    let byte = u8::from_str_radix(&hex[index / 8 * 2..index / 8 * 2 + 2], 16).expect("hexadecimal");
    byte >> (index % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Claim, DAY, DAYS, Reader, TICK, Ways};
    use crate::world::{Hours, Shop};

    pub(super) const NOW: i64 = 20_000 * DAY;
    /// 08:00 in Shanghai, two days later.
    pub(super) const START: i64 = NOW + 2 * DAY;
    /// A damage.
    pub(super) type Break = fn(&mut Reader);
    /// Tomorrow is 0.
    const TOUCHED: usize = 1;

    pub(super) fn claim(id: &str, start: i64, state: &str) -> Claim {
        Claim {
            calendar: "technician:t".into(),
            id: id.into(),
            state: state.into(),
            expires_at: NOW + 60_000,
            replaces: None,
            quantity: 1,
            times: [start, start + TICK, start, start + 2 * TICK],
            kind: "appointment".into(),
            store: "s".into(),
            home: serde_json::Value::Null,
        }
    }

    pub(super) fn shop() -> Shop {
        Shop { store: "s".into(), service: "v".into(), technicians: vec!["t".into()] }
    }

    /// One order that was booked and moved, and all that belongs to it.
    pub(super) fn whole() -> Reader {
        let date = chrono::DateTime::from_timestamp_millis(START).expect("an instant");
        let order = json!({
            "id": "o", "status": "confirmed", "version": 2, "technician_id": "t", "start_at": START,
            "store_id": "s", "service_id": "v", "total_fen": 100, "items_fen": 0,
        });
        let line = json!({
            "id": "l", "order_id": "o", "claim_id": "c", "status": "live", "technician_id": "t",
            "start_at": START, "end_at": START + TICK, "block_start": START,
            "block_end": START + 2 * TICK, "store_id": "s", "service_id": "v", "price_fen": 100,
            "date": date.format("%Y-%m-%d").to_string(), "seats": 1,
        });
        let event = |kind: &str| json!({"order_id": "o", "kind": kind, "actor_kind": "member"});
        let answer = |key: &str, status: u16| json!({"key": key, "status": status, "response": r#"{"order":{"id":"o"}}"#});
        let days = (1..=DAYS).map(|day| {
            let free = if day == 2 { format!("fc{}", "f".repeat(70)) } else { "f".repeat(72) };
            json!({"store_id": "s", "calendar": "technician:t", "day": NOW / DAY + day, "free": free})
        });
        Reader {
            now: NOW,
            claims: vec![
                claim("before", START + 9 * TICK, "released"),
                claim("c", START, "confirmed"),
            ],
            capacity: [("technician:t".to_owned(), 1)].into(),
            told: vec![json!({"calendar": "technician:t", "capacity": 1})],
            besides: Vec::new(),
            ways: Ways::default(),
            orders: vec![order],
            lines: vec![line],
            blocks: Vec::new(),
            events: vec![event("booked"), event("moved")],
            answers: vec![answer("k1", 201), answer("k2", 200)],
            outbox: Vec::new(),
            days: days.collect(),
            off: Vec::new(),
        }
    }

    /// The technician takes three at a time, so that the one appointment leaves everything free.
    fn of_three(world: &mut Reader) {
        world.capacity.insert("technician:t".into(), 3);
        world.told[0]["capacity"] = 3.into();
        world.days[TOUCHED]["free"] = "f".repeat(72).into();
    }

    /// Staff have blocked two ticks; the answer that told so is there, too.
    fn blocked(world: &mut Reader, start: i64) {
        let end = start + 2 * TICK;
        let times = [start, end, start, end];
        world.claims.push(Claim { times, kind: "block".into(), ..claim("k", start, "confirmed") });
        world.blocks.push(json!({
            "id": "k", "technician_id": "t", "status": "live", "start_at": start, "end_at": end,
        }));
        world.answers.push(json!({"key": "k3", "status": 201, "response": r#"{"id":"k"}"#}));
    }

    #[test]
    fn what_is_whole_passes_and_whatever_is_broken_is_found() {
        let breaks: &[(&str, Break)] = &[
            ("", |_| {}),
            // A hold that is live and one that has expired; a move beside what it replaces.
            ("I1 ", |world| world.claims.push(claim("x", START + TICK, "held"))),
            ("", |world| {
                world.claims.push(claim("x", START + TICK, "held"));
                world.claims[2].expires_at = NOW;
            }),
            ("", |world| {
                world.claims.push(claim("x", START + TICK, "held"));
                world.claims[2].replaces = Some("c".into());
            }),
            ("capacity 2, D1 says 1", |world| {
                world.capacity.insert("technician:t".into(), 2);
            }),
            // Three at a time: another beside the one, and time blocked, which is full for everybody.
            ("", |world| {
                of_three(world);
                world.claims.push(claim("x", START, "held"));
            }),
            ("", |world| {
                of_three(world);
                blocked(world, START + 2 * TICK);
                world.days[TOUCHED]["free"] = format!("f3{}", "f".repeat(70)).into();
            }),
            ("I1 ", |world| {
                of_three(world);
                blocked(world, START);
            }),
            ("2 ticks are projected wrong", |world| {
                of_three(world);
                blocked(world, START + 2 * TICK);
            }),
            ("its claim c is held", |world| world.claims[1].state = "held".into()),
            ("no claim c", |world| drop(world.claims.pop())),
            ("its claim [", |world| world.claims[1].times[3] += TICK),
            ("its claim is in technician:u", |world| {
                world.claims[1].calendar = "technician:u".into();
            }),
            ("2 units, its claim 1", |world| world.lines[0]["seats"] = 2.into()),
            ("its claim is in technician:t", |world| world.lines[0]["session_id"] = "s".into()),
            ("its claim is for block", |world| world.claims[1].kind = "block".into()),
            ("nothing stands on it", |world| world.claims[0].state = "confirmed".into()),
            ("nothing stands on it", |world| {
                world.orders[0]["status"] = "cancelled".into();
                world.lines[0]["status"] = "cancelled".into();
                world.events[1]["kind"] = "cancelled".into();
            }),
            ("no line", |world| drop(world.lines.pop())),
            ("confirmed, \"cancelled\"", |world| {
                world.lines[0]["status"] = "cancelled".into();
            }),
            ("start_at", |world| world.orders[0]["start_at"] = (START + TICK).into()),
            ("not on", |world| world.lines[0]["date"] = "2026-01-01".into()),
            ("at version 3", |world| world.orders[0]["version"] = 3.into()),
            ("told as", |world| world.events.swap(0, 1)),
            ("told as", |world| world.events[1]["kind"] = "cancelled".into()),
            ("I6 o: made under no key", |world| drop(world.answers.remove(0))),
            ("I6 o: made under two keys", |world| world.answers[1]["status"] = 201.into()),
            ("is not there", |world| {
                world.answers[1]["response"] = r#"{"order":{"id":"p"}}"#.into();
            }),
            ("outbox: ", |world| world.outbox.push(json!({"id": "r", "dead": 1}))),
            ("is not projected", |world| drop(world.days.remove(5))),
            ("1 ticks are projected wrong", |world| {
                world.days[TOUCHED]["free"] = format!("fe{}", "f".repeat(70)).into();
            }),
            ("288 ticks are projected wrong", |world| {
                world.days[7]["free"] = "0".repeat(72).into();
            }),
        ];
        each_is_found(whole, breaks);
    }

    /// What is damaged so is named so, or not at all where the name is empty.
    pub(super) fn each_is_found(whole: fn() -> Reader, breaks: &[(&str, Break)]) {
        for (index, (found, damage)) in breaks.iter().enumerate() {
            let mut world = whole();
            damage(&mut world);
            world.look(&[(&shop(), Hours::Always)]);
            let off = &world.off;
            let named = off.iter().any(|off| off.contains(found));
            let fine = if found.is_empty() { off.is_empty() } else { named };
            assert!(fine, "{index} {found}: {off:?}");
        }
    }
}
