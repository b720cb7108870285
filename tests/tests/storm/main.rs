//! Many at once, and the process killed in their midst; then an audit reads all that is kept
//! ([`zhundian_tests::audit`]).
//!
//! - A hot slot: 500 attempts of 50 members at one start, in rounds.
//! - A storm: clients that book, move, cancel and answer at random in every way that there is, each keeping
//!   a book of what it was told. `OPS` operations by 20 clients over 10 technicians of two stores, with `KILLS`:
//!   2,500 with 5 in `make test`, 10,000 with 20 in `make storm`. `SEED` repeats a storm's choices, though not
//!   the order in which the clients come.
//!
//! What the clients do: [`client`] has the dice and the book, [`place`] the stores; [`appointments`] direct,
//! assigned, staff's and at home, with technicians' answers; [`express`]; [`classes`] with their waitlists;
//! [`plans`]; [`visits`], today's customers who come or do not.

mod appointments;
mod classes;
mod client;
mod express;
mod place;
mod plans;
mod visits;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use zhundian_tests::audit::Audit;
use zhundian_tests::weather::{Kills, Weather, crons, end_by, from_env, killer, members};
use zhundian_tests::world::date;
use zhundian_tests::{Api, Dice, Hours, Reply, Shop, Stack, eventually, random};

use client::Client;
use place::Town;

/// Each of these tests wants the machine to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

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
        stack.set_capacity(&shop, &shop.technicians[0], capacity).await;
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
/// Enough that none is limited: a client has about one answer a second.
const MEMBERS_OF_A_CLIENT: usize = 6;

/// So many operations and kills, unless `OPS` and `KILLS` say otherwise.
async fn storm(ops: u64, kills: u64) {
    let ops = usize::try_from(from_env("OPS", ops)).expect("small");
    let kills = usize::try_from(from_env("KILLS", kills)).expect("small");
    let _turn = ONE_AT_A_TIME.lock().await;
    let seed = from_env("SEED", random());
    println!("storm: SEED={seed} OPS={ops}, {kills} kills");
    // Offers that run out while it lasts.
    let stack = Arc::new(Stack::start_with(&[("WAITLIST_OFFER_MINUTES", "3")]).await);
    let town = Arc::new(Town::build(&stack).await);
    let mut all = members(&stack, CLIENTS * MEMBERS_OF_A_CLIENT).await;
    let weather = Arc::new(Weather::default());
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let dice = Dice(seed.wrapping_add(number as u64 * 0x1234_5678_9abc));
        let members = all.split_off(all.len() - MEMBERS_OF_A_CLIENT);
        clients.push(Client::new(&stack, &weather, &town, dice, members).await);
    }

    let started = Instant::now();
    let tickets = Arc::new(AtomicUsize::new(0));
    let mut at_work = JoinSet::new();
    for mut client in clients {
        let tickets = Arc::clone(&tickets);
        at_work.spawn(async move {
            while tickets.fetch_add(1, Ordering::Relaxed) < ops {
                client.step().await;
            }
            client
        });
    }
    let killer = killer(&stack, &weather, Dice(!seed), Kills::Spread { ops, kills });
    let crons = crons(&stack, Duration::from_secs(2));
    let mut books = Vec::new();
    while let Some(client) = at_work.join_next().await {
        match client {
            Ok(client) => books.push(client),
            Err(panicked) => end_by(panicked, at_work, [killer, crons]).await,
        }
    }
    killer.await.expect("every kill was followed by a start");
    crons.abort();
    let took = started.elapsed();
    let up = took.saturating_sub(weather.down());
    settle(&stack).await;

    let told: usize = books.iter().map(|client| client.orders.len()).sum();
    let rate = u128::try_from(ops).expect("small") * 1000 / up.as_millis().max(1);
    println!(
        "storm: {ops} operations in {took:.0?} ({rate} a second while up), settled after {:.0?}, {told} \
         orders told",
        started.elapsed()
    );
    weather.print("storm");

    let shops: Vec<_> = town.stores.iter().map(|store| (&store.shop, Hours::Always)).collect();
    let audit = Audit::of(&stack, &shops);
    audit.check();
    let off = compare(&books);
    assert!(off.is_empty(), "{} told otherwise:\n{}", off.len(), off.join("\n"));
    assert!(audit.drift.is_empty(), "the outbox alone must be enough: {:?}", audit.drift);
}

/// What clients were told against what D1 has: nothing that was confirmed is lost, and nothing is there
/// that nobody was told of. What has changed since somebody was told has changed by itself.
fn compare(books: &[Client]) -> Vec<String> {
    let stack = &books[0].stack;
    let mut off = Vec::new();
    let rows = |sql: &str| {
        let rows = stack.d1(sql).into_iter();
        rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row))
            .collect::<HashMap<_, _>>()
    };
    let mut orders = rows(
        "SELECT o.id, o.status, o.version, o.technician_id, o.start_at,
            (SELECT json_group_array(actor_kind) FROM (SELECT actor_kind FROM order_event
                WHERE order_id = o.id ORDER BY id)) AS actors FROM orders o",
    );
    let mut kept = rows(
        "SELECT id, status FROM block
        UNION ALL SELECT id, CASE status WHEN 'scheduled' THEN 'live' ELSE status END FROM session",
    );
    let mut told_of: HashSet<&String> = books[0].town.first_classes.iter().collect();
    for client in books {
        for (id, told) in &client.orders {
            match orders.remove(id) {
                None => off.push(format!("order {id} is not there")),
                Some(row) if !told.stands(&row) => {
                    off.push(format!("told {}, is {row}", told.order));
                }
                Some(_) => {}
            }
        }
        for (id, live) in client.blocks.iter().chain(&client.classes) {
            let status = kept.get(id).map(|row| row["status"] == "live");
            told_of.insert(id);
            // A class that was made by one client may be given up by another.
            if status.is_none() || (status == Some(true) && !live) {
                off.push(format!("block or class {id}: told {live}, is {status:?}"));
            }
        }
    }
    off.extend(orders.keys().map(|id| format!("nobody was told of order {id}")));
    kept.retain(|id, _| !told_of.contains(id));
    off.extend(kept.keys().map(|id| format!("nobody was told of block or class {id}")));
    off
}

impl client::Told {
    /// Whether an order's row is as it was told, or has changed by itself since.
    fn stands(&self, row: &Value) -> bool {
        let (told, now) = (self.version(), row["version"].as_i64().expect("a version"));
        if told != now {
            let actors = row["actors"].as_str().expect("a list");
            let actors: Vec<String> = serde_json::from_str(actors).expect("a list");
            let since = actors.get(usize::try_from(told).expect("small")..);
            return told < now
                && since.is_some_and(|since| since.iter().all(|one| one == "system"));
        }
        let line = &self.order["lines"][0];
        let start = line["start_at"].as_str().map(|start| {
            DateTime::parse_from_rfc3339(start).expect("an instant").timestamp_millis()
        });
        // A member is not told who holds it before the store has said who will do it.
        let who = &line["technician_id"];
        row["status"] == self.order["status"]
            && (who.is_null() || row["technician_id"] == *who)
            && start.is_none_or(|start| row["start_at"] == start)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_taken_twice_in_a_storm_with_kills() {
    storm(2_500, 5).await;
}

/// `make storm`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make storm"]
async fn full_size() {
    storm(10_000, 20).await;
}
