//! Many at once, and the process killed in their midst; then an audit reads all that is kept
//! ([`zhundian_tests::audit`]).
//!
//! - A hot slot: 500 attempts of 50 members at one start, in rounds.
//! - A storm: clients that book, move, cancel and block at random, each keeping a book of what it was
//!   told. `OPS` (10,000) operations by 20 clients over 10 technicians, with 20 kills; `SEED` repeats a
//!   storm's choices, though not the order in which the clients come.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use zhundian_tests::api::Call;
use zhundian_tests::audit::Audit;
use zhundian_tests::world::date;
use zhundian_tests::{Api, Dice, Hours, Reply, Shop, Stack, eventually, random};

/// Each of these tests wants the machine to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Members signed in at once.
const SIGN_INS: usize = 8;

async fn members(stack: &Arc<Stack>, count: usize) -> Vec<Api> {
    let gate = Arc::new(Semaphore::new(SIGN_INS));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (stack, gate) = (Arc::clone(stack), Arc::clone(&gate));
        tasks.spawn(async move {
            let _turn = gate.acquire().await.expect("never closed");
            stack.some_member().await
        });
    }
    tasks.join_all().await
}

async fn set_capacity(stack: &Stack, shop: &Shop, technician: &str, capacity: u16) {
    let owner = stack.owner().await;
    let path = format!("/api/v1/admin/technicians/{technician}");
    let known = owner.get(&path).await.expect(200).body;
    let body = json!({
        "version": known["version"], "name": known["name"], "stores": [shop.store], "capacity": capacity,
    });
    owner.put(path, body).await.check(200);
}

/// Runs the crons' jobs until nothing is left to do.
async fn settle(stack: &Stack) {
    eventually("an empty outbox", Duration::from_mins(3), async || {
        let _ = stack.run_cron("* * * * *").await;
        stack.d1("SELECT id FROM outbox WHERE dead = 0 LIMIT 1").is_empty().then_some(())
    })
    .await;
    eventually("an audit that finds nothing", Duration::from_mins(3), async || {
        let _ = stack.run_cron("*/5 * * * *").await;
        let job = stack.d1("SELECT outcome, watermark FROM job WHERE name = 'audit_calendars'");
        let outcome = job.first()?["outcome"].as_str()?.to_owned();
        outcome.ends_with(" 0 off").then_some(())
    })
    .await;
}

// A hot slot --------------------------------------------------------------------------------------

const MEMBERS: usize = 50;
const ATTEMPTS: usize = 500;

/// Everybody wants `start_at` at once: so many winners, and the loser who was answered last books what
/// it was offered instead.
async fn rush(shop: &Shop, members: &[Api], start_at: &str, winners: usize) {
    let technician = &shop.technicians[0];
    let mut tasks = JoinSet::new();
    for attempt in 0..ATTEMPTS {
        let member = members[attempt % members.len()].clone();
        let body = shop.booking(Some(technician), start_at);
        tasks.spawn(async move {
            let call = member.post("/api/v1/bookings", body).idempotent();
            let reply = call.within(Duration::from_mins(2)).await;
            (Instant::now(), member, reply)
        });
    }
    let mut won = 0;
    let mut last: Option<(Instant, Api, Reply)> = None;
    while let Some(done) = tasks.join_next().await {
        let (when, member, reply) = done.expect("no attempt panics");
        if reply.status == 201 {
            assert_eq!(reply.text("/order/lines/0/technician_id"), technician);
            won += 1;
            continue;
        }
        reply.refused(409, "slot_taken");
        let offered = reply.body["alternatives"].as_array().expect("alternatives");
        assert!((1..=5).contains(&offered.len()), "{}", reply.body);
        assert!(offered.iter().all(|one| one["start_at"] != start_at), "{}", reply.body);
        if last.as_ref().is_none_or(|(before, ..)| *before < when) {
            last = Some((when, member, reply));
        }
    }
    assert_eq!(won, winners, "winners of {ATTEMPTS} at {start_at}");
    let (_, member, refused) = last.expect("a loser");
    let who = refused.text("/alternatives/0/technician_ids/0");
    let instead = refused.text("/alternatives/0/start_at");
    shop.book(&member, Some(who), instead).await.check(201);
}

async fn hot_slot(capacity: u16) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let stack = Arc::new(Stack::start().await);
    let shop = stack.shop(1, Hours::Day).await;
    if capacity > 1 {
        set_capacity(&stack, &shop, &shop.technicians[0], capacity).await;
    }
    let members = members(&stack, MEMBERS).await;
    let started = Instant::now();
    for round in 1..=3 {
        let start_at = format!("{}T15:00:00+08:00", date(round));
        rush(&shop, &members, &start_at, capacity.into()).await;
    }
    println!("hot slot of {capacity}: {} attempts in {:?}", 3 * ATTEMPTS, started.elapsed());
    settle(&stack).await;
    let audit = Audit::of(&stack, &[(&shop, Hours::Day)]);
    audit.check();
    assert!(audit.drift.is_empty(), "nothing was killed: {:?}", audit.drift);
    assert_eq!(audit.orders, 3 * usize::from(capacity) + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_wins_a_hot_slot_and_the_others_are_offered_what_is_free() {
    hot_slot(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_win_a_hot_slot_as_there_is_room_for() {
    hot_slot(3).await;
}

// A storm -----------------------------------------------------------------------------------------

const CLIENTS: usize = 20;
const TECHNICIANS: usize = 10;
const MEMBERS_OF_A_CLIENT: usize = 15;
/// Dates from tomorrow on in which all happens: so few that most starts collide with something.
const DAYS: u64 = 6;
/// An operation has its definite answer within this time, whatever is killed meanwhile.
const DEFINITE_WITHIN: Duration = Duration::from_mins(3);

/// What the storm was like.
#[derive(Default)]
struct Weather {
    done: AtomicUsize,
    no_answer: AtomicUsize,
    unavailable: AtomicUsize,
    limited: AtomicUsize,
    told: std::sync::Mutex<BTreeMap<String, usize>>,
}

impl Weather {
    fn count(&self, what: &str) {
        *self.told.lock().expect("no panic").entry(what.to_owned()).or_default() += 1;
    }

    fn print(&self) {
        println!(
            "storm: no answer {}, unavailable {}, limited {}; {:?}",
            self.no_answer.load(Ordering::Relaxed),
            self.unavailable.load(Ordering::Relaxed),
            self.limited.load(Ordering::Relaxed),
            self.told.lock().expect("no panic")
        );
    }
}

/// What a client was told of an order: the answer with the highest version.
#[derive(Clone)]
struct Told {
    order: Value,
    /// Who booked it; staff do what they like with any.
    member: Option<usize>,
}

impl Told {
    fn version(&self) -> i64 {
        self.order["version"].as_i64().expect("a version")
    }
}

/// One client: its members, and its book.
struct Client {
    stack: Arc<Stack>,
    weather: Arc<Weather>,
    shop: Shop,
    dice: Dice,
    members: Vec<Api>,
    owner: Api,
    orders: HashMap<String, Told>,
    live: Vec<String>,
    blocks: HashMap<String, bool>,
    /// Starts that somebody was offered.
    offered: Vec<String>,
}

impl Client {
    /// Sends a call until it has a definite answer. The flag tells whether an earlier try may have been
    /// at work beside a later one.
    async fn definite(&self, call: Call) -> (Reply, bool) {
        let until = Instant::now() + DEFINITE_WITHIN;
        let mut unknown = false;
        loop {
            let count = |what: &AtomicUsize| what.fetch_add(1, Ordering::Relaxed);
            let pause = match call.clone().within(Duration::from_secs(20)).attempt().await {
                Ok(reply) if reply.status == 429 => {
                    count(&self.weather.limited);
                    2_000
                }
                Ok(reply) if reply.status >= 500 => {
                    assert_ne!(reply.code(), "internal", "{}: {}", reply.what, reply.body);
                    count(&self.weather.unavailable);
                    unknown = true;
                    200
                }
                Ok(reply) if unknown && reply.code() == "order_changed" => {
                    // By the try before, which was still at work.
                    unknown = false;
                    200
                }
                Ok(reply) => return (reply, unknown),
                Err(_) => {
                    count(&self.weather.no_answer);
                    unknown = true;
                    100
                }
            };
            assert!(Instant::now() < until, "no definite answer within {DEFINITE_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Sends an operation with a key: now and then twice at once, now and then once more afterwards.
    async fn operation(&mut self, call: Call) -> Reply {
        let call = call.key(&self.dice.key());
        let (reply, _) = if self.dice.percent(10) {
            let (one, two) = tokio::join!(self.definite(call.clone()), self.definite(call.clone()));
            same(&one.0, &two.0);
            if one.0.status < 300 { one } else { two }
        } else {
            self.definite(call.clone()).await
        };
        if reply.status < 300 && self.dice.percent(8) {
            same(&reply, &self.definite(call).await.0);
        }
        reply
    }

    fn start(&mut self) -> String {
        if !self.offered.is_empty() && self.dice.percent(40) {
            let index = self.dice.below(self.offered.len());
            return self.offered.swap_remove(index);
        }
        let day = i64::try_from(1 + self.dice.next() % DAYS).expect("small");
        let minute = self.dice.below(288) * 5;
        format!("{}T{:02}:{:02}:00+08:00", date(day), minute / 60, minute % 60)
    }

    fn technician(&mut self) -> String {
        self.dice.of(&self.shop.technicians).clone()
    }

    /// The path before the order's id, for somebody who may change it.
    fn changer(&mut self, told: &Told) -> (Api, &'static str) {
        match told.member {
            Some(member) if !self.dice.percent(10) => {
                (self.members[member].clone(), "/api/v1/orders")
            }
            _ => (self.owner.clone(), "/api/v1/staff/orders"),
        }
    }

    fn note(&mut self, what: &str, reply: &Reply, fine: &[(u16, &str)]) {
        let known = fine.contains(&(reply.status, reply.code()));
        assert!(known, "{what}: {} {}: {}", reply.what, reply.status, reply.body);
        let told = if reply.status < 300 { "done" } else { reply.code() };
        self.weather.count(&format!("{what} {told}"));
        for one in reply.body["alternatives"].as_array().into_iter().flatten().take(2) {
            self.offered.extend(one["start_at"].as_str().map(str::to_owned));
        }
        if self.offered.len() > 20 {
            self.offered.drain(..10);
        }
    }

    fn told(&mut self, reply: &Reply, member: Option<usize>) {
        let order = &reply.body["order"];
        let id = reply.text("/order/id").to_owned();
        let told = Told { order: order.clone(), member };
        match self.orders.get(&id) {
            Some(known) if known.version() >= told.version() => {}
            known => {
                if known.is_none() {
                    self.live.push(id.clone());
                }
                if order["status"] == "cancelled" {
                    self.live.retain(|live| *live != id);
                }
                self.orders.insert(id, told);
            }
        }
    }

    async fn book(&mut self) {
        let technician = if self.dice.percent(60) { Some(self.technician()) } else { None };
        let mut start = self.start();
        if self.dice.percent(10) {
            // As a customer would: from what is offered.
            let day = date(i64::try_from(1 + self.dice.next() % DAYS).expect("small"));
            let technician = technician.clone().unwrap_or_else(|| self.shop.technicians[0].clone());
            let path = format!(
                "/api/v1/availability?store_id={}&service_id={}&technician_id={technician}&from={day}&days=1",
                self.shop.store, self.shop.service
            );
            let (reply, _) = self.definite(self.members[0].get(path)).await;
            let slots = reply.expect(200).body["days"][0]["slots"].clone();
            let slots = slots.as_array().expect("slots");
            if !slots.is_empty() {
                start = self.dice.of(slots)["start_at"].as_str().expect("a start").to_owned();
            }
        }
        let by_staff = self.dice.percent(10);
        let member = (!by_staff).then(|| self.dice.below(self.members.len()));
        let call = if let Some(member) = member {
            let mut body = self.shop.booking(technician.as_deref(), &start);
            body["note"] = "轻一点".into();
            self.members[member].post("/api/v1/bookings", body)
        } else {
            let mut body = json!({
                "store_id": self.shop.store, "service_id": self.shop.service, "start_at": start,
                "contact_name": "王女士", "contact_phone": "13900001111",
            });
            if let Some(technician) = &technician {
                body["technician_id"] = technician.as_str().into();
            }
            self.owner.post("/api/v1/staff/bookings", body)
        };
        let reply = self.operation(call).await;
        self.note("book", &reply, &[(201, ""), (409, "slot_taken")]);
        if reply.status == 201 {
            self.told(&reply, member);
        }
    }

    fn move_call(&mut self, told: &Told) -> Call {
        let mut body = json!({"line_id": told.order["lines"][0]["id"], "start_at": self.start()});
        if self.dice.percent(40) {
            body["technician_id"] = self.technician().into();
        }
        if self.dice.percent(30) {
            // Some minutes earlier or later: the old and the new time overlap.
            let old = told.order["lines"][0]["start_at"].as_str().expect("a start");
            let old = DateTime::parse_from_rfc3339(old).expect("an instant");
            let shift = 5 * (i64::try_from(self.dice.below(13)).expect("small") - 6);
            body["start_at"] = (old + chrono::TimeDelta::minutes(shift)).to_rfc3339().into();
        }
        let id = told.order["id"].as_str().expect("an id");
        let (who, path) = self.changer(told);
        who.post(format!("{path}/{id}/reschedule"), body)
    }

    fn cancel_call(&mut self, told: &Told) -> Call {
        let id = told.order["id"].as_str().expect("an id");
        let (who, path) = self.changer(told);
        who.post(format!("{path}/{id}/cancel"), json!({"reason": "改天"}))
    }

    fn some_order(&mut self) -> Option<Told> {
        if self.live.is_empty() {
            return None;
        }
        let id = self.dice.of(&self.live);
        self.orders.get(id).cloned()
    }

    async fn move_it(&mut self, told: &Told) {
        let call = self.move_call(told);
        let reply = self.operation(call).await;
        self.note("move", &reply, &[(200, ""), (409, "slot_taken")]);
        if reply.status == 200 {
            self.told(&reply, told.member);
        }
    }

    async fn cancel_it(&mut self, told: &Told) {
        let call = self.cancel_call(told);
        let (reply, _) = self.definite(call.clone()).await;
        self.note("cancel", &reply, &[(200, "")]);
        self.told(&reply, told.member);
        if self.dice.percent(8) {
            let (again, _) = self.definite(call).await;
            self.note("cancel", &again, &[(200, "")]);
            assert_eq!(again.body["order"]["version"], reply.body["order"]["version"]);
        }
    }

    /// Two changes of one order at once, each perhaps sent twice.
    async fn both(&mut self, told: &Told) {
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
            self.note(
                "both",
                &reply,
                &[
                    (200, ""),
                    (409, "slot_taken"),
                    (409, "order_changed"),
                    (409, "order_not_changeable"),
                ],
            );
            if reply.status == 200 {
                self.told(&reply, told.member);
            }
        }
    }

    async fn block(&mut self) {
        let technician = self.technician();
        let start = self.start();
        let start_at = DateTime::parse_from_rfc3339(&start).expect("an instant");
        let minutes = 15 * (1 + i64::try_from(self.dice.below(8)).expect("small"));
        let end_at = (start_at + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
        let body = json!({
            "store_id": self.shop.store, "start_at": start, "end_at": end_at, "reason": "培训",
        });
        let path = format!("/api/v1/staff/technicians/{technician}/blocks");
        let reply = self.operation(self.owner.post(path, body)).await;
        self.note("block", &reply, &[(201, ""), (409, "slot_taken")]);
        if reply.status == 201 {
            self.blocks.insert(reply.text("/id").to_owned(), true);
        }
    }

    async fn unblock(&mut self) {
        let live: Vec<_> =
            self.blocks.iter().filter(|(_, live)| **live).map(|(id, _)| id).collect();
        let Some(id) = live.first().map(|id| (*id).clone()) else { return self.block().await };
        let (reply, _) =
            self.definite(self.owner.delete(format!("/api/v1/staff/blocks/{id}"))).await;
        self.note("unblock", &reply, &[(204, "")]);
        self.blocks.insert(id, false);
    }

    async fn step(&mut self) {
        let order = self.some_order();
        match (self.dice.below(100), order) {
            (0..45, _) | (45..92, None) => self.book().await,
            (45..65, Some(told)) => self.move_it(&told).await,
            (65..84, Some(told)) => self.cancel_it(&told).await,
            (84..92, Some(told)) => self.both(&told).await,
            (92..96, _) => self.block().await,
            _ => self.unblock().await,
        }
        self.weather.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Two answers to one operation: both tell of the same success, or both refuse.
#[track_caller]
fn same(one: &Reply, two: &Reply) {
    if one.status < 300 || two.status < 300 {
        assert_eq!(one.status, two.status, "{}: {} and {}", one.what, one.body, two.body);
        assert_eq!(one.body, two.body, "{}", one.what);
    }
}

fn from_env(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().map_or(or, |value| value.parse().expect("a number"))
}

/// Kills the Worker outright so many times, spread over the operations, and starts it again.
fn killer(
    stack: &Arc<Stack>,
    weather: &Arc<Weather>,
    down: &Arc<AtomicU64>,
    mut dice: Dice,
    ops: usize,
    kills: usize,
) -> JoinHandle<()> {
    let (stack, weather, down) = (Arc::clone(stack), Arc::clone(weather), Arc::clone(down));
    tokio::spawn(async move {
        for kill in 0..kills {
            let at = (kill * 100 + dice.below(90)) * ops / (kills * 100).max(1);
            while weather.done.load(Ordering::Relaxed) < at {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            let from = Instant::now();
            tokio::task::block_in_place(|| stack.kill_worker());
            stack.restart_worker().await;
            let took = u64::try_from(from.elapsed().as_millis()).expect("short");
            down.fetch_add(took, Ordering::Relaxed);
        }
    })
}

/// Runs the jobs beside all that, more often than in life.
fn crons(stack: &Arc<Stack>) -> JoinHandle<()> {
    let stack = Arc::clone(stack);
    tokio::spawn(async move {
        for run in 0_u64.. {
            let cron = if run % 5 == 4 { "%2A%2F5+%2A+%2A+%2A+%2A" } else { "%2A+%2A+%2A+%2A+%2A" };
            let path = format!("/cdn-cgi/local/scheduled?cron={cron}&format=json");
            // Whoever is killed meanwhile does not answer.
            let _ = stack.api().get(path).within(Duration::from_secs(40)).attempt().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    })
}

async fn storm(ops: usize, kills: usize) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let seed = from_env("SEED", random());
    println!("storm: SEED={seed} OPS={ops}, {kills} kills");
    let stack = Arc::new(Stack::start().await);
    let buffers = json!({"buffer_before_minutes": 5, "buffer_after_minutes": 10});
    let shop = stack.shop_with(TECHNICIANS, Hours::Always, buffers).await;
    set_capacity(&stack, &shop, &shop.technicians[0], 3).await;
    let mut all = members(&stack, CLIENTS * MEMBERS_OF_A_CLIENT).await;
    let owner = stack.owner().await;
    let weather = Arc::new(Weather::default());
    let started = Instant::now();

    let tickets = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let mut client = Client {
            stack: Arc::clone(&stack),
            weather: Arc::clone(&weather),
            shop: shop.clone(),
            dice: Dice(seed.wrapping_add(number as u64 * 0x1234_5678_9abc)),
            members: all.split_off(all.len() - MEMBERS_OF_A_CLIENT),
            owner: owner.clone(),
            orders: HashMap::new(),
            live: Vec::new(),
            blocks: HashMap::new(),
            offered: Vec::new(),
        };
        let tickets = Arc::clone(&tickets);
        clients.spawn(async move {
            while tickets.fetch_add(1, Ordering::Relaxed) < ops {
                client.step().await;
            }
            client
        });
    }
    let down = Arc::new(AtomicU64::new(0));
    let killer = killer(&stack, &weather, &down, Dice(!seed), ops, kills);
    let crons = crons(&stack);
    let mut books = Vec::new();
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(client) => books.push(client),
            Err(panicked) => {
                killer.abort();
                crons.abort();
                std::panic::resume_unwind(panicked.into_panic());
            }
        }
    }
    killer.await.expect("every kill was followed by a start");
    crons.abort();
    let took = started.elapsed();
    let up = took.saturating_sub(Duration::from_millis(down.load(Ordering::Relaxed)));
    settle(&stack).await;

    let told: usize = books.iter().map(|client| client.orders.len()).sum();
    let rate = u128::try_from(ops).expect("small") * 1000 / up.as_millis().max(1);
    println!(
        "storm: {ops} operations in {took:.0?} ({rate} a second while up), settled after {:.0?}, {told} \
         orders told",
        started.elapsed()
    );
    weather.print();

    let audit = Audit::of(&stack, &[(&shop, Hours::Always)]);
    audit.check();
    let off = compare(&books);
    assert!(off.is_empty(), "{} told otherwise:\n{}", off.len(), off.join("\n"));
    assert!(audit.drift.is_empty(), "the outbox alone must be enough: {:?}", audit.drift);
}

/// What clients were told against what D1 has: nothing that was confirmed is lost, and nothing is there
/// that nobody was told of.
fn compare(books: &[Client]) -> Vec<String> {
    let stack = &books[0].stack;
    let mut off = Vec::new();
    let rows = |sql: &str| {
        let rows = stack.d1(sql).into_iter();
        rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row))
            .collect::<HashMap<_, _>>()
    };
    let mut orders = rows("SELECT id, status, version, technician_id, start_at FROM orders");
    let mut blocks = rows("SELECT id, status FROM block");
    for client in books {
        for (id, told) in &client.orders {
            let Some(row) = orders.remove(id) else {
                off.push(format!("order {id} is not there"));
                continue;
            };
            let line = &told.order["lines"][0];
            let start = line["start_at"].as_str().expect("a start");
            let start = DateTime::parse_from_rfc3339(start).expect("an instant").timestamp_millis();
            if row["status"] != told.order["status"]
                || row["version"] != told.order["version"]
                || row["technician_id"] != line["technician_id"]
                || row["start_at"] != start
            {
                off.push(format!("told {}, is {row}", told.order));
            }
        }
        for (id, live) in &client.blocks {
            let status = blocks.remove(id).map(|row| row["status"] == "live");
            if status != Some(*live) {
                off.push(format!("block {id}: told {live}, is {status:?}"));
            }
        }
    }
    off.extend(orders.keys().map(|id| format!("nobody was told of order {id}")));
    off.extend(blocks.keys().map(|id| format!("nobody was told of block {id}")));
    off
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_taken_twice_in_a_storm_with_kills() {
    let ops = usize::try_from(from_env("OPS", 10_000)).expect("small");
    let kills = usize::try_from(from_env("KILLS", 20)).expect("small");
    storm(ops, kills).await;
}
