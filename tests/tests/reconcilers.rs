//! What the jobs do about rows that no request of ours writes: the audit repairs towards the authority
//! and counts, a message that comes late changes nothing.

use chrono::DateTime;
use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::world::date;
use zhundian_tests::{Api, Hours, Reply, Shop, Stack};

/// An order that was booked, as rows know it.
struct Booked {
    order: String,
    line: String,
}

async fn book(stack: &Stack, shop: &Shop, clock: &str) -> Booked {
    let member = stack.some_member().await;
    let start = format!("{}T{clock}:00+08:00", date(1));
    let reply = shop.book(&member, Some(&shop.technicians[0]), &start).await.expect(201);
    let text = |pointer: &str| reply.text(pointer).to_owned();
    Booked { order: text("/order/id"), line: text("/order/lines/0/id") }
}

async fn run_jobs(stack: &Stack) -> String {
    let _ = stack.run_cron("* * * * *").await;
    let _ = stack.run_cron("*/5 * * * *").await;
    let job = stack.d1("SELECT outcome FROM job WHERE name = 'audit_calendars'");
    job[0]["outcome"].as_str().expect("an outcome").to_owned()
}

fn status(stack: &Stack, booked: &Booked) -> Value {
    let sql = format!("SELECT status FROM orders WHERE id = '{}'", booked.order);
    stack.d1(&sql)[0]["status"].clone()
}

fn told(stack: &Stack, booked: &Booked) -> Vec<String> {
    let sql =
        format!("SELECT kind FROM order_event WHERE order_id = '{}' ORDER BY id", booked.order);
    let rows = stack.d1(&sql);
    rows.iter().map(|row| row["kind"].as_str().expect("a kind").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_off_is_repaired_and_counted() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let cancelled = book(&stack, &shop, "10:00").await;
    let renamed = book(&stack, &shop, "12:00").await;
    let keeper = book(&stack, &shop, "14:00").await;
    let intruder = book(&stack, &shop, "16:00").await;
    let moved = book(&stack, &shop, "18:00").await;
    assert_eq!(run_jobs(&stack).await, "1 calendars, 0 off");

    let fresh = |digit: &str| digit.repeat(32);
    let keeper_start = DateTime::parse_from_rfc3339(&format!("{}T14:00:00+08:00", date(1)));
    let keeper_start = keeper_start.expect("an instant").timestamp_millis();
    let confirm = json!({
        "topic": "confirm", "order_id": moved.order,
        "claims": [{
            "calendar": format!("technician:{}", shop.technicians[0]),
            "spec": {
                "id": fresh("d"), "op": "late", "store_id": shop.store, "kind": "appointment", "quantity": 1,
                "service": {"start": keeper_start, "end": keeper_start + 3_600_000},
                "block": {"start": keeper_start, "end": keeper_start + 3_600_000},
            },
        }],
    });
    let sql = format!(
        "UPDATE orders SET updated_at = updated_at - 600000;
         -- Cancelled, and nobody released its time.
         UPDATE orders SET status = 'cancelled' WHERE id = '{}';
         UPDATE order_line SET status = 'cancelled' WHERE id = '{}';
         -- Its claim is gone, and one that nobody knows is in its place.
         UPDATE order_line SET claim_id = '{}' WHERE id = '{}';
         -- At a time that somebody else has.
         UPDATE order_line SET claim_id = '{}', start_at = {keeper_start},
            end_at = {keeper_start} + 3600000, block_start = {keeper_start},
            block_end = {keeper_start} + 3600000 WHERE id = '{}';
         UPDATE orders SET start_at = {keeper_start} WHERE id = '{}';
         -- A confirm of a time that the order has left, and that somebody else has.
         INSERT INTO outbox (id, topic, payload, due_at, created_at)
            VALUES ('{}', 'confirm', '{confirm}', 0, 0);
         -- Nobody is free, it says, from the future.
         UPDATE calendar_day SET free = printf('%072d', 0), version = 1000000;",
        cancelled.order,
        cancelled.line,
        fresh("b"),
        renamed.line,
        fresh("c"),
        intruder.line,
        intruder.order,
        fresh("e"),
    );
    stack.change_d1(&sql).await;
    let damaged = Audit::of(&stack, &[(&shop, Hours::Day)]);
    assert!(damaged.off.len() >= 6, "{:?}", damaged.off);
    stack.restart_worker().await;

    let outcome = run_jobs(&stack).await;
    assert!(!outcome.ends_with(" 0 off"), "{outcome}");
    assert_eq!(run_jobs(&stack).await, "1 calendars, 0 off");
    assert_eq!(status(&stack, &cancelled), "cancelled");
    assert_eq!(status(&stack, &renamed), "confirmed");
    assert_eq!(status(&stack, &keeper), "confirmed");
    assert_eq!(status(&stack, &intruder), "cancelled");
    assert_eq!(told(&stack, &intruder), ["booked", "claim_lost"]);
    assert_eq!(status(&stack, &moved), "confirmed");
    assert_eq!(told(&stack, &moved), ["booked"]);

    let audit = Audit::of(&stack, &[(&shop, Hours::Day)]);
    // What was done to them by hand stands in their timelines, or does not.
    let by_hand = |off: &&String| !off.contains(&cancelled.order) && !off.contains(&intruder.order);
    let off: Vec<_> = audit.off.iter().filter(by_hand).collect();
    assert!(off.is_empty(), "{off:?}");
    let expected = [("claim_without_line", 3), ("line_without_claim", 2), ("projection", 1)];
    assert_eq!(audit.drift, expected.map(|(kind, count)| (kind.to_owned(), count)).into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_retry_of_a_move_that_changed_nothing_changes_nothing() {
    let stack = Stack::shared().await;
    let shop = stack.shop(1, Hours::Day).await;
    let member = stack.some_member().await;
    let at = |clock: &str| format!("{}T{clock}:00+08:00", date(1));
    let booked = shop.book(&member, None, &at("12:00")).await.expect(201);
    let move_to = |who: &Api, reply: &Reply, clock: &str| {
        let path = format!("/api/v1/orders/{}/reschedule", reply.text("/order/id"));
        let body = json!({"line_id": reply.text("/order/lines/0/id"), "start_at": at(clock)});
        who.post(path, body).idempotent()
    };
    let stays = move_to(&member, &booked, "12:00");
    let first = stays.clone().await.expect(200);
    assert_eq!(first.body, booked.body);
    let moved = move_to(&member, &booked, "15:00").await.expect(200);
    assert_eq!(moved.text("/order/lines/0/start_at"), at("15:00"));
    assert_eq!(stays.await.expect(200).bytes, first.bytes);
    let path = format!("/api/v1/orders/{}", booked.text("/order/id"));
    let now = member.get(path).await.expect(200);
    assert_eq!(now.text("/order/lines/0/start_at"), at("15:00"));
    assert_eq!(now.body["order"]["version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_after_the_cancellation_keeps_no_time_even_of_a_claim_nobody_knew() {
    let stack = Stack::start().await;
    let shop = stack.shop(1, Hours::Day).await;
    let booked = book(&stack, &shop, "10:00").await;
    let path = format!("/api/v1/staff/orders/{}/cancel", booked.order);
    stack.owner().await.post(path, json!({})).await.check(200);
    // As after a late payment: a claim of a new id, whose release found nothing to release.
    let claim = "f".repeat(32);
    let start = DateTime::parse_from_rfc3339(&format!("{}T12:00:00+08:00", date(1)));
    let start = start.expect("an instant").timestamp_millis();
    let times = json!({"start": start, "end": start + 3_600_000});
    let confirm = json!({
        "topic": "confirm", "order_id": booked.order, "paid": true,
        "claims": [{
            "calendar": format!("technician:{}", shop.technicians[0]),
            "spec": {
                "id": claim, "op": "late", "store_id": shop.store, "kind": "appointment", "quantity": 1,
                "service": times, "block": times,
            },
        }],
    });
    let sql = format!(
        "UPDATE order_line SET claim_id = '{claim}' WHERE id = '{}';
         INSERT INTO outbox (id, topic, payload, due_at, created_at)
            VALUES ('{}', 'confirm', '{confirm}', 0, 0);",
        booked.line,
        "e".repeat(32),
    );
    stack.change_d1(&sql).await;
    let _ = stack.run_cron("* * * * *").await;
    let claims = stack.calendars("SELECT id, state FROM claim");
    let of_late = claims.iter().flat_map(|(_, rows)| rows).find(|row| row["id"] == claim.as_str());
    assert_eq!(of_late.expect("it was confirmed first")["state"], "released");
    assert_eq!(stack.d1("SELECT id FROM outbox"), Vec::<Value>::new());
    assert_eq!(status(&stack, &booked), "cancelled");
}
