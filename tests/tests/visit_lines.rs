//! A visit of several technicians, from the question whether they accept it until the last of them has
//! finished: each line is its own technician's, the order is one.

use std::time::Duration;

use serde_json::{Value, json};
use zhundian_tests::audit::Audit;
use zhundian_tests::messages::{
    Customer, in_minutes, is_staff, messages, passes, runs, sms_to, stack_with, told,
};
use zhundian_tests::visit::at;
use zhundian_tests::world::{some_phone, today};
use zhundian_tests::{Api, Hours, Reply, Shop, Stack, Visit, at_once, count, eventually, now_ms};

const MINUTELY: &str = "* * * * *";
const SOON: Duration = Duration::from_secs(20);
const MINUTE: i64 = 60_000;

/// A line for each of these technicians of the shop, which begins so.
fn lines(shop: &Shop, of: &[(usize, &str)]) -> Value {
    let line = |(technician, starts): &(usize, &str)| {
        json!({"service_id": shop.service, "technician_id": shop.technicians[*technician],
            "starts": starts})
    };
    of.iter().map(line).collect()
}

const TOGETHER: [(usize, &str); 2] = [(0, "with_previous"), (1, "with_previous")];
const IN_TURN: [(usize, &str); 2] = [(0, "after_previous"), (1, "after_previous")];

/// A member's visit at a start, with its lines.
struct Booked {
    visit: Visit,
    lines: Vec<String>,
}

impl Booked {
    async fn of(member: &Api, shop: &Shop, start: &str, of: &[(usize, &str)]) -> Self {
        Self::with(
            member,
            json!({"store_id": shop.store, "start_at": start,
            "payment": "at_store", "lines": lines(shop, of)}),
        )
        .await
    }

    async fn with(member: &Api, body: Value) -> Self {
        let start_at = body["start_at"].as_str().expect("a start").to_owned();
        let made = member.post("/api/v1/visits", body).idempotent().await.expect(201);
        let lines = made.body["order"]["lines"].as_array().expect("lines").iter();
        let lines = lines.map(|line| line["id"].as_str().expect("an id").to_owned()).collect();
        let order = made.text("/order/id").to_owned();
        Self { visit: Visit { member: member.clone(), order, start_at }, lines }
    }

    /// Paid in full by WeChat.
    async fn paid(stack: &Stack, shop: &Shop, start: &str, of: &[(usize, &str)]) -> (Self, String) {
        let body = json!({"store_id": shop.store, "start_at": start, "payment": "online",
            "lines": lines(shop, of)});
        let booked = Self::with(&stack.some_member().await, body).await;
        let number = booked.visit.asks("wechat_jsapi").await;
        stack.vendors().pay(&number).await;
        booked.visit.becomes("confirmed").await;
        (booked, number)
    }

    fn order(&self) -> &str {
        &self.visit.order
    }

    fn mark(&self, staff: &Api, line: usize, what: &str) -> zhundian_tests::Call {
        let path = format!("/api/v1/staff/appointments/{}/{what}", self.lines[line]);
        if what == "start" { staff.post(path, Value::Null) } else { staff.post(path, json!({})) }
    }

    /// What a technician says to a line: `accept`, `decline`, …
    fn say(&self, staff: &Api, line: usize, what: &str) -> zhundian_tests::Call {
        let path = format!("/api/v1/staff/orders/{}/{what}", self.order());
        staff.post(path, json!({"line_id": self.lines[line]})).idempotent()
    }

    /// One of its lines as staff see it.
    async fn line(&self, staff: &Api, line: usize) -> Value {
        let order = seen(staff, self.order()).await;
        let all = order["lines"].as_array().expect("lines");
        all.iter().find(|one| one["id"] == self.lines[line]).expect("the line").clone()
    }

    /// Waits until a line has come so far to this technician.
    async fn is_with(&self, staff: &Api, line: usize, technician: &str, assignment: &str) {
        eventually(&format!("line {line}: {assignment}"), SOON, async || {
            let line = self.line(staff, line).await;
            (line["technician_id"] == technician && line["assignment"] == assignment).then_some(())
        })
        .await;
    }
}

async fn seen(staff: &Api, order: &str) -> Value {
    staff.get(format!("/api/v1/staff/orders/{order}")).await.expect(200).body["order"].take()
}

async fn technicians(stack: &Stack, shop: &Shop) -> Vec<Api> {
    let mut all = Vec::new();
    for technician in &shop.technicians {
        all.push(stack.as_technician(&shop.store, technician).await);
    }
    all
}

async fn settled(stack: &Stack) {
    eventually("an empty outbox and no holds", Duration::from_secs(30), async || {
        let _ = stack.run_cron(MINUTELY).await;
        stack.is_settled().then_some(())
    })
    .await;
}

/// The next starts that two technicians of the shop have free together.
async fn next_starts(api: &Api, shop: &Shop) -> Vec<String> {
    let body = json!({"store_id": shop.store, "from": today(), "days": 2,
        "lines": lines(shop, &TOGETHER)});
    let found = api.post("/api/v1/visits/availability", body).await.expect(200);
    let all = found.body["starts"].as_array().expect("starts").clone();
    all.iter().map(|one| one["start_at"].as_str().expect("a start").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_technician_receives_the_visit_and_sees_their_own_line() {
    let stack = Stack::shared().await;
    let shop = stack.shop(3, Hours::Always).await;
    let staff = technicians(&stack, &shop).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let [a, b, stranger] = &staff[..] else { panic!("three") };

    // By phone: found once, by either of them, with what both do.
    let (phone, start) = (some_phone(), next_starts(&cashier, &shop).await.swap_remove(0));
    let mut both = lines(&shop, &TOGETHER);
    both[1]["guest"] = "赵女士".into();
    let body = json!({"store_id": shop.store, "start_at": start, "contact_name": "林女士",
        "contact_phone": phone, "lines": both});
    let made = cashier.post("/api/v1/staff/visits", body).idempotent().await.expect(201);
    let order = made.text("/order/id").to_owned();
    let line = |at: usize| made.text(&format!("/order/lines/{at}/id")).to_owned();
    let name = |at: usize| made.text(&format!("/order/lines/{at}/technician_name")).to_owned();
    if start[..10] == today() {
        for who in [&cashier, a, b] {
            let path = format!("/api/v1/staff/check-ins?store_id={}&phone={phone}", shop.store);
            let found = who.get(path).await.expect(200).body;
            assert_eq!(found["items"].as_array().expect("a list").len(), 1, "{found}");
            let found = &found["items"][0];
            assert_eq!(found["order_id"], order);
            assert_eq!(found["technician_name"], format!("{}、{}", name(0), name(1)), "{found}");
            // The same service for both is said once.
            let service = made.text("/order/lines/0/service_name");
            assert_eq!(found["service_name"], service, "{found}");
        }
        let path = format!("/api/v1/staff/check-ins?store_id={}&phone={phone}", shop.store);
        assert_eq!(stranger.get(path).await.expect(200).body["items"], json!([]));
    }
    for (who, at) in [(a, 0), (b, 1)] {
        let day = who.get(format!("/api/v1/staff/my/day?date={}", &start[..10])).await.expect(200);
        let mine: Vec<_> = day.body["items"].as_array().expect("a list").iter().collect();
        assert_eq!(mine.len(), 1, "{}", day.body);
        assert_eq!(
            (&mine[0]["id"], &mine[0]["order_id"]),
            (&line(at).into(), &order.as_str().into())
        );
        assert_eq!(mine[0]["customer"], ["林女士", "赵女士"][at]);
        let whole = seen(who, &order).await;
        assert_eq!(whole["lines"].as_array().expect("lines").len(), 2);
        let own = who.get(format!("/api/v1/staff/appointments/{}", line(at))).await.expect(200);
        assert_eq!(own.body["customer"]["name"], "林女士");
        assert_eq!(own.body["guest"], [Value::Null, "赵女士".into()][at]);
        let other = format!("/api/v1/staff/appointments/{}", line(1 - at));
        who.get(other).await.refused(403, "foreign_store");
        who.get(format!("/api/v1/staff/orders/{order}/messages")).await.check(200);
    }
    stranger.get(format!("/api/v1/staff/orders/{order}")).await.refused(403, "foreign_store");
    stranger
        .get(format!("/api/v1/staff/orders/{order}/messages"))
        .await
        .refused(403, "foreign_store");
    let check_in = format!("/api/v1/staff/orders/{order}/check-in");
    stranger.post(&check_in, json!({})).await.refused(403, "foreign_store");
    b.post(&check_in, json!({})).await.check(200);
    a.post(&check_in, json!({})).await.refused(409, "already_checked_in");

    // By QR code and by booking code, each by either.
    for (index, who) in [a, b].into_iter().enumerate() {
        let member = stack.some_member().await;
        let start = next_starts(&member, &shop).await.swap_remove(0);
        let booked = Booked::of(&member, &shop, &start, &TOGETHER).await;
        let shown = member.get(format!("/api/v1/orders/{}/check-in", booked.order()));
        let shown = shown.await.expect(200);
        let by_qr = stranger.post("/api/v1/staff/check-ins/qr", json!({"qr": shown.text("/qr")}));
        by_qr.idempotent().await.refused(403, "foreign_store");
        let done = if index == 0 {
            who.post("/api/v1/staff/check-ins/qr", json!({"qr": shown.text("/qr")}))
                .idempotent()
                .await
        } else {
            let body = json!({"store_id": shop.store, "code": shown.text("/code")});
            who.post("/api/v1/staff/check-ins/code", body).await
        };
        let done = done.expect(200);
        assert!(done.body["order"]["checked_in_at"].is_string());
        assert_eq!(booked.visit.timeline().await, ["booked", "checked_in"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_begins_with_the_first_line_and_ends_with_the_last() {
    let stack = Stack::shared().await;
    let shop = stack.shop(2, Hours::Always).await;
    let staff = technicians(&stack, &shop).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let (a, b) = (&staff[0], &staff[1]);
    let member = stack.some_member().await;

    // One after the other, to be paid at the counter.
    let start = next_starts(&member, &shop).await.swap_remove(0);
    let turn = Booked::of(&member, &shop, &start, &IN_TURN).await;
    turn.mark(a, 1, "start").await.refused(403, "foreign_store");
    turn.mark(b, 1, "finish").await.refused(409, "too_early");
    let status = |reply: &Reply| reply.text("/order/status").to_owned();
    assert_eq!(status(&turn.mark(a, 0, "start").await.expect(200)), "in_service");
    assert_eq!(status(&turn.mark(a, 0, "finish").await.expect(200)), "in_service");
    let between = turn.visit.see().await;
    assert_eq!((&between["ended_at"], &between["remaining_fen"]), (&Value::Null, &39_600.into()));
    assert_eq!(between["lines"][1]["visit"]["started_at"], Value::Null);
    assert_eq!(status(&turn.mark(b, 1, "start").await.expect(200)), "in_service");
    let last = turn.mark(b, 1, "finish").await.expect(200);
    assert_eq!(status(&last), "in_service");
    assert!(last.body["order"]["ended_at"].is_string(), "{}", last.body);
    let settle = format!("/api/v1/staff/orders/{}/settle", turn.order());
    cashier.post(settle, json!({"channel": "cash"})).idempotent().await.check(200);
    assert_eq!(turn.visit.see().await["status"], "completed");

    // The second is early, as it may be by hours, and the first to finish; what is paid is completed with
    // the last.
    let start = next_starts(&member, &shop).await.swap_remove(0);
    let (paid, _) = Booked::paid(&stack, &shop, &start, &IN_TURN).await;
    for what in ["depart", "arrive"] {
        assert_eq!(status(&paid.mark(b, 1, what).await.expect(200)), "confirmed");
    }
    assert_eq!(status(&paid.mark(b, 1, "start").await.expect(200)), "in_service");
    assert_eq!(status(&paid.mark(b, 1, "finish").await.expect(200)), "in_service");
    assert_eq!(status(&paid.mark(b, 1, "finish").await.expect(200)), "in_service");
    assert_eq!(status(&paid.mark(a, 0, "start").await.expect(200)), "in_service");
    assert_eq!(status(&paid.mark(a, 0, "finish").await.expect(200)), "completed");
    let kinds = paid.visit.timeline().await;
    let kinds = &kinds[kinds.len() - 6..];
    assert_eq!(kinds, ["departed", "arrived", "started", "finished", "started", "finished"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_press_at_the_same_moment_both_get_through() {
    let stack = Stack::start().await;
    let shop = stack.shop(6, Hours::Always).await;
    let staff = technicians(&stack, &shop).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;
    let six: Vec<(usize, &str)> = (0..6).map(|at| (at, "with_previous")).collect();
    let member = stack.some_member().await;
    for round in 0..3 {
        let start = shop.slots(&member, None, &today(), 2).await;
        let start = start.iter().find(|slot| slot.technicians.len() == 6).expect("some");
        let booked = Booked::of(&member, &shop, &start.start_at, &six).await;
        let all = |what: &'static str| {
            let calls = staff.iter().enumerate();
            calls.map(|(line, who)| booked.mark(who, line, what)).collect::<Vec<_>>()
        };
        let check_in = format!("/api/v1/staff/orders/{}/check-in", booked.order());
        let calls = (0..3).map(|_| cashier.post(&check_in, json!({})));
        let replies = at_once(all("depart").into_iter().chain(calls)).await;
        let (marked, received) = replies.split_at(6);
        assert_eq!(count(marked, 200), 6, "round {round}: {marked:?}");
        assert_eq!(count(received, 200), 1, "{received:?}");
        let others = received.iter().filter(|reply| reply.status != 200);
        assert!(others.into_iter().all(|reply| reply.code() == "already_checked_in"));
        for what in ["start", "finish"] {
            let replies = at_once(all(what)).await;
            assert_eq!(count(&replies, 200), 6, "round {round} {what}: {replies:?}");
        }
        let order = booked.visit.see().await;
        assert!(order["ended_at"].is_string() && order["status"] == "in_service", "{order}");
        for line in order["lines"].as_array().expect("lines") {
            assert!(line["visit"]["finished_at"].is_string(), "{order}");
        }
        let kinds = booked.visit.timeline().await;
        for kind in ["departed", "started", "finished"] {
            assert_eq!(kinds.iter().filter(|one| *one == kind).count(), 6, "{kinds:?}");
        }
    }
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Always)]).check();
}

/// The lines of an order begin so many minutes from now, and last an hour.
fn begin(booked: &Booked, minutes: [i64; 2]) -> String {
    let [first, second] = minutes.map(|from_now| now_ms() + from_now * MINUTE);
    let set = |line: usize, start: i64| {
        format!(
            "UPDATE order_line SET start_at = {start}, end_at = {start} + 3600000 WHERE id = '{}';",
            booked.lines[line]
        )
    };
    let start = first.min(second);
    let order = format!("UPDATE orders SET start_at = {start} WHERE id = '{}';", booked.order());
    [set(0, first), set(1, second), order].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visit_is_over_with_its_last_line_and_missed_once() {
    let stack = Stack::start().await;
    let tiers = json!([{"until_minutes_before": -60, "refund_percent": 20}]);
    let shop = stack.shop_with(2, Hours::Day, json!({"cancellation": tiers})).await;
    let rules = json!({"complete_after_minutes": 20, "no_show_after_minutes": 15});
    stack.change_store(&shop.store, json!({"visit": rules})).await;
    let staff = technicians(&stack, &shop).await;
    let cashier = stack.staff("cashier", Some(&shop.store)).await;

    let mut all = Vec::new();
    for clock in ["10:00", "12:00", "14:00", "16:00", "18:00"] {
        all.push(Booked::paid(&stack, &shop, &at(1, clock), &IN_TURN).await.0);
    }
    let [over, goes_on, missed, begun, by_staff] = &all[..] else { panic!("five") };
    let sql = [
        begin(over, [-141, -81]),
        begin(goes_on, [-139, -79]),
        begin(missed, [-16, 44]),
        begin(begun, [-16, 44]),
        begin(by_staff, [-1, 59]),
        format!(
            "UPDATE orders SET checked_in_at = start_at WHERE id IN ('{}', '{}');",
            over.order(),
            goes_on.order()
        ),
    ];
    stack.change_d1(&sql.concat()).await;
    // The second has come early, the first not at all: somebody is served.
    begun.mark(&staff[1], 1, "start").await.check(200);
    runs(&stack, 1).await;
    for (booked, status) in [
        (over, "completed"),
        (goes_on, "confirmed"),
        (missed, "no_show"),
        (begun, "in_service"),
        (by_staff, "confirmed"),
    ] {
        assert_eq!(
            booked.visit.see().await["status"],
            status,
            "{:?}",
            booked.visit.timeline().await
        );
    }
    let no_show = |booked: &Booked| format!("/api/v1/staff/orders/{}/no-show", booked.order());
    cashier.post(no_show(begun), json!({})).await.refused(409, "order_not_changeable");
    let replies = at_once((0..3).map(|_| cashier.post(no_show(by_staff), json!({})))).await;
    assert!(count(&replies, 200) >= 1, "{replies:?}");
    runs(&stack, 2).await;
    for booked in [missed, by_staff] {
        // A fifth of the whole comes back, once; the rest stays.
        let order = booked.visit.is("refunded", |order| order["refunded_fen"] == 7_920).await;
        assert_eq!(order["status"], "no_show");
        let once = format!(
            "SELECT (SELECT count(*) FROM refund WHERE order_id = '{0}') || ' ' || m.no_shows AS it
             FROM member m JOIN orders o ON o.member_id = m.id WHERE o.id = '{0}'",
            booked.order()
        );
        assert_eq!(stack.it(&once), "1 1");
        let back = format!("SELECT status AS it FROM refund WHERE order_id = '{}'", booked.order());
        stack.d1_becomes(&back, "succeeded").await;
        assert_eq!(stack.balance(&format!("order:{}", booked.order())), 31_680);
    }
    stack.change_d1(&begin(begun, [-200, -81])).await;
    runs(&stack, 1).await;
    assert_eq!(begun.visit.see().await["status"], "completed");
    settled(&stack).await;
}

/// The answers that are waited for are overdue.
async fn answers_are_overdue(stack: &Stack) {
    let past = now_ms() - 1_000;
    let sql = format!("UPDATE order_line SET answer_by = {past} WHERE answer_by IS NOT NULL");
    stack.change_d1(&sql).await;
}

/// What stands of an order in the calendars.
fn claims(stack: &Stack, booked: &Booked) -> usize {
    let own = format!(
        "SELECT claim_id AS id FROM order_line WHERE order_id = '{0}' UNION ALL
        SELECT claim_id FROM line_claim WHERE order_id = '{0}'",
        booked.order()
    );
    let own: Vec<String> = stack.d1(&own).iter().map(|row| row["id"].to_string()).collect();
    let all = stack.calendars("SELECT id FROM claim WHERE state IN ('held', 'confirmed')");
    all.iter().flat_map(|(_, rows)| rows).filter(|row| own.contains(&row["id"].to_string())).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_is_asked_and_handed_on_by_itself() {
    let stack = Stack::start().await;
    let shop = stack.shop(3, Hours::Day).await;
    stack.set_ways(&shop, json!({"accept_within_minutes": 30})).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let [one, two, three] = &shop.technicians[..] else { panic!("three") };
    let (a, b, c) = (&staff[0], &staff[1], &staff[2]);

    // Together: who is in the visit already cannot have the other line too.
    let (both, number) = Booked::paid(&stack, &shop, &at(1, "11:00"), &TOGETHER).await;
    for (line, who) in [(0, one), (1, two)] {
        both.is_with(&owner, line, who, "asked").await;
    }
    let path = format!("/api/v1/staff/offers?store_id={}", shop.store);
    for (line, who) in [(0, a), (1, b)] {
        let mine = who.get(&path).await.expect(200).body;
        assert_eq!(mine["items"][0]["line_id"], both.lines[line], "{mine}");
        assert_eq!(mine["items"].as_array().expect("a list").len(), 1);
    }
    both.say(a, 1, "accept").await.refused(403, "foreign_store");
    both.say(a, 0, "accept").await.check(200);
    let untouched = both.line(&owner, 0).await;
    let before = both.line(&owner, 1).await;
    both.say(b, 1, "decline").await.check(200);
    both.is_with(&owner, 1, three, "asked").await;
    let after = both.line(&owner, 1).await;
    assert_eq!(both.line(&owner, 0).await, untouched);
    assert_eq!(
        (&after["start_at"], &after["price_fen"]),
        (&before["start_at"], &before["price_fen"])
    );
    both.say(c, 1, "accept").await.check(200);
    both.say(c, 1, "pass-on").await.check(200);
    both.visit.becomes("cancelled").await;
    let order = both.visit.is("back", |order| order["refunded_fen"] == 39_600).await;
    assert_eq!(order["paid_fen"], 0);
    eventually("the money is back", SOON, async || {
        (stack.vendors().payment(&number).await?.refunded() == 39_600).then_some(())
    })
    .await;
    settled(&stack).await;
    assert_eq!(claims(&stack, &both), 0);

    // In turn: who has one line may have the other; silence is an answer, and nobody left ends it all.
    let (turn, _) = Booked::paid(&stack, &shop, &at(1, "14:00"), &IN_TURN).await;
    turn.say(a, 0, "accept").await.check(200);
    let busy = shop.book(&stack.some_member().await, Some(three), &at(1, "15:00")).await;
    busy.check(201);
    turn.say(b, 1, "decline").await.check(200);
    turn.is_with(&owner, 1, one, "asked").await;
    answers_are_overdue(&stack).await;
    runs(&stack, 1).await;
    turn.visit.becomes("cancelled").await;
    turn.visit.is("back", |order| order["refunded_fen"] == 39_600).await;
    settled(&stack).await;
    assert_eq!(claims(&stack, &turn), 0);

    // Both are declined at once, and there is one who may have either: all comes back.
    let pair = Booked::of(&stack.some_member().await, &shop, &at(2, "11:00"), &TOGETHER).await;
    let replies = at_once([pair.say(a, 0, "decline"), pair.say(b, 1, "decline")]).await;
    assert_eq!(count(&replies, 200), 2, "{replies:?}");
    // Each may have what the other has declined, and the third either.
    eventually("both are asked of others", SOON, async || {
        runs(&stack, 1).await;
        let (first, second) = (pair.line(&owner, 0).await, pair.line(&owner, 1).await);
        let asked = |line: &Value| line["assignment"] == "asked";
        (asked(&first) && asked(&second)).then_some((first, second))
    })
    .await;
    let (first, second) = (pair.line(&owner, 0).await, pair.line(&owner, 1).await);
    assert_ne!(first["technician_id"], second["technician_id"]);
    assert_ne!(first["technician_id"], one.as_str());
    assert_ne!(second["technician_id"], two.as_str());
    let who = |line: &Value| {
        let id = line["technician_id"].as_str().expect("an id");
        &staff[shop.technicians.iter().position(|one| one == id).expect("known")]
    };
    let replies =
        at_once([pair.say(who(&first), 0, "accept"), pair.say(who(&second), 1, "accept")]);
    let replies = replies.await;
    assert_eq!(count(&replies, 200), 2, "{replies:?}");
    pair.visit
        .is("accepted", |order| {
            order["lines"]
                .as_array()
                .expect("lines")
                .iter()
                .all(|it| it["assignment"] == "assigned")
        })
        .await;
    settled(&stack).await;
    assert_eq!(claims(&stack, &pair), 2);
    let order = pair.visit.cancel().await;
    assert_eq!(order["status"], "cancelled");
    settled(&stack).await;
    assert_eq!(claims(&stack, &pair), 0);
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_offered_to_all_are_grabbed_at_the_same_moment() {
    let stack = Stack::start().await;
    let shop = stack.shop(4, Hours::Day).await;
    let ways = json!({"accept_within_minutes": 30, "when_declined": "offer_to_all"});
    stack.set_ways(&shop, ways).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let member = stack.some_member().await;
    for clock in ["11:00", "13:00", "15:00", "17:00"] {
        let booked = Booked::of(&member, &shop, &at(1, clock), &TOGETHER).await;
        let replies =
            at_once([booked.say(&staff[0], 0, "decline"), booked.say(&staff[1], 1, "decline")]);
        assert_eq!(count(&replies.await, 200), 2);
        eventually("both are offered", SOON, async || {
            let order = seen(&owner, booked.order()).await;
            let lines = order["lines"].as_array().expect("lines");
            lines.iter().all(|line| line["assignment"] == "offered").then_some(())
        })
        .await;
        let grabs = [booked.say(&staff[2], 0, "grab"), booked.say(&staff[3], 1, "grab")];
        let replies = at_once(grabs).await;
        assert_eq!(count(&replies, 200), 2, "{clock}: {replies:?}");
        // Whoever has one of them is not free for the other.
        let again = booked.say(&staff[2], 1, "grab").await;
        again.refused(409, "offer_gone");
        for (line, who) in [(0, 2), (1, 3)] {
            booked.is_with(&owner, line, &shop.technicians[who], "assigned").await;
        }
    }
    // Offered, and already in the visit at that time.
    let booked = Booked::of(&member, &shop, &at(2, "11:00"), &TOGETHER).await;
    booked.say(&staff[0], 0, "accept").await.check(200);
    booked.say(&staff[1], 1, "decline").await.check(200);
    booked.is_with(&owner, 1, &shop.technicians[1], "offered").await;
    booked.say(&staff[0], 1, "grab").await.refused(409, "slot_taken");
    answers_are_overdue(&stack).await;
    runs(&stack, 1).await;
    booked.visit.becomes("cancelled").await;
    settled(&stack).await;
    assert_eq!(claims(&stack, &booked), 0);
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_handed_on_where_it_is_with_buffers_and_a_room() {
    let stack = Stack::start().await;
    let fields = json!({"resources": [{"type": "护理房"}], "buffer_before_minutes": 10,
        "buffer_after_minutes": 15});
    let shop = stack.shop_with(3, Hours::Day, fields).await;
    stack.room(&shop.store, "护理房", 1).await;
    stack.change_store(&shop.store, json!({"capacity": 1})).await;
    stack.set_ways(&shop, json!({"accept_within_minutes": 30})).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let member = stack.some_member().await;
    // One room, one guest: what lies between the lines is left out.
    let turn = [(0, "after_previous"), (1, "after_previous"), (1, "after_previous")];
    let booked = Booked::of(&member, &shop, &at(1, "12:00"), &turn).await;
    booked.say(&staff[0], 0, "accept").await.check(200);
    booked.say(&staff[1], 2, "accept").await.check(200);
    booked.say(&staff[1], 1, "decline").await.check(200);
    booked.is_with(&owner, 1, &shop.technicians[2], "asked").await;
    // By staff as well; whoever does the line after it would need the pause between.
    let assign = async |line: usize, who: usize| {
        let path = format!("/api/v1/staff/orders/{}/assign", booked.order());
        let body = json!({"line_id": booked.lines[line], "technician_id": shop.technicians[who]});
        owner.post(path, body).idempotent().await
    };
    assign(1, 1).await.refused(409, "slot_taken");
    assign(2, 0).await.check(200);
    assign(1, 1).await.check(200);
    settled(&stack).await;
    booked.say(&staff[1], 1, "pass-on").await.check(200);
    booked.is_with(&owner, 1, &shop.technicians[2], "asked").await;
    let order = seen(&owner, booked.order()).await;
    for line in order["lines"].as_array().expect("lines") {
        assert_eq!(line["resources"].as_array().expect("rooms").len(), 1, "{order}");
    }
    settled(&stack).await;
    assert_eq!(claims(&stack, &booked), 9);
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_begun_is_handed_on_while_the_other_line_goes_on() {
    let stack = Stack::start().await;
    let shop = stack.shop(3, Hours::Always).await;
    stack.set_ways(&shop, json!({"accept_within_minutes": 30})).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let [_, two, three] = &shop.technicians[..] else { panic!("three") };
    let member = stack.some_member().await;
    let start = in_minutes(120);
    let booked = Booked::of(&member, &shop, &start, &IN_TURN).await;
    booked.say(&staff[0], 0, "accept").await.check(200);
    let check_in = format!("/api/v1/staff/orders/{}/check-in", booked.order());
    staff[0].post(check_in, json!({})).await.check(200);
    // Who has come has come, whoever does it.
    booked.say(&staff[1], 1, "decline").await.check(200);
    let next = eventually("the next one is asked", SOON, async || {
        let line = booked.line(&owner, 1).await;
        (line["assignment"] == "asked" && line["technician_id"] != two.as_str()).then_some(line)
    })
    .await;
    assert!(booked.visit.see().await["checked_in_at"].is_string());
    let who = |line: &Value| {
        let id = line["technician_id"].as_str().expect("an id").to_owned();
        shop.technicians.iter().position(|one| *one == id).expect("known")
    };
    booked.mark(&staff[0], 0, "start").await.check(200);
    // While the first line goes on, the second finds its technician as before.
    let first = who(&next);
    booked.say(&staff[first], 1, "accept").await.check(200);
    booked.say(&staff[first], 1, "pass-on").await.check(200);
    let last = eventually("the last one is asked", SOON, async || {
        let line = booked.line(&owner, 1).await;
        (line["assignment"] == "asked" && who(&line) != first).then_some(line)
    })
    .await;
    answers_are_overdue(&stack).await;
    runs(&stack, 1).await;
    // Nobody is left; a visit that has begun is not taken from its customer, and staff see to it.
    let line = eventually("nobody is left", SOON, async || {
        let line = booked.line(&owner, 1).await;
        (line["assignment"] == "offered").then_some(line)
    })
    .await;
    assert_eq!(line["answer_by"], Value::Null);
    runs(&stack, 1).await;
    assert_eq!(booked.visit.see().await["status"], "in_service");
    let path = format!("/api/v1/staff/offers?store_id={}", shop.store);
    let open = owner.get(&path).await.expect(200).body;
    assert_eq!(open["items"][0]["line_id"], booked.lines[1], "{open}");
    assert_eq!(open["items"][0]["assignment"], "offered");
    assert_eq!(staff[who(&last)].get(&path).await.expect(200).body["items"], json!([]));
    let path = format!("/api/v1/staff/orders/{}/assign", booked.order());
    let body = json!({"line_id": booked.lines[1], "technician_id": three});
    let assigned = owner.post(&path, body).idempotent().await.expect(200);
    assert_eq!(assigned.text("/order/status"), "in_service");
    assert_eq!(assigned.text("/order/lines/1/technician_id"), three);
    assert_eq!(assigned.body["order"], seen(&owner, booked.order()).await);
    // What goes on is nobody else's any more.
    let body = json!({"line_id": booked.lines[0], "technician_id": two});
    owner.post(&path, body).idempotent().await.refused(409, "order_not_changeable");
    booked.say(&staff[0], 0, "pass-on").await.refused(409, "order_not_changeable");
    booked.mark(&staff[2], 1, "start").await.check(200);
    booked.mark(&staff[0], 0, "finish").await.check(200);
    let done = booked.mark(&staff[2], 1, "finish").await.expect(200);
    assert!(done.body["order"]["ended_at"].is_string());
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Always)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_technician_is_told_of_their_own_line_alone() {
    let stack = stack_with("none").await;
    let leads = json!({"reminder_minutes": [60]});
    let shop = stack.shop_with(3, Hours::Always, leads).await;
    let mut phones = Vec::new();
    for technician in &shop.technicians {
        phones.push(is_staff(&stack, technician).await);
    }
    let anna = Customer::by_phone(&stack).await;
    let owner = stack.owner().await;
    let start = in_minutes(90);
    let booked = Booked::of(&anna.api, &shop, &start, &IN_TURN).await;
    runs(&stack, 2).await;
    let told_so = async |who: usize, kinds: &[&str]| {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("technician.{kind}")).collect();
        assert_eq!(sms_to(&stack, &phones[who]).await, kinds, "technician {who}");
    };
    assert_eq!(anna.sms(&stack).await, ["booked"]);
    told_so(0, &["booked"]).await;
    told_so(1, &["booked"]).await;
    // Each of their own start.
    let says = async |who: usize| {
        let all = messages(&stack, &phones[who]).await;
        all.last().expect("a message")["params"][1].as_str().expect("text").to_owned()
    };
    let (first, second) = (says(0).await, says(1).await);
    assert_ne!(first, second);

    // An hour before the visit, the first one; an hour before their own line, the second.
    passes(&stack, 35).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["booked", "before"]);
    told_so(0, &["booked", "before"]).await;
    told_so(1, &["booked"]).await;

    // The second line goes to the third: nobody else hears of it but the customer, who chose.
    let path = format!("/api/v1/staff/orders/{}/assign", booked.order());
    let body = json!({"line_id": booked.lines[1], "technician_id": shop.technicians[2]});
    owner.post(&path, body).idempotent().await.check(200);
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, ["booked", "before", "changed"]);
    told_so(0, &["booked", "before"]).await;
    told_so(1, &["booked", "cancelled"]).await;
    told_so(2, &["booked"]).await;
    // The first begins early; who comes after is told before their own.
    let mine = stack.as_technician(&shop.store, &shop.technicians[0]).await;
    booked.mark(&mine, 0, "start").await.check(200);
    passes(&stack, 60).await;
    runs(&stack, 2).await;
    told_so(0, &["booked", "before"]).await;
    told_so(2, &["booked", "before"]).await;
    assert_eq!(anna.sms(&stack).await, ["booked", "before", "changed"]);

    // Moved and given up as a whole: both hear of it.
    let other = Booked::of(&anna.api, &shop, &in_minutes(26 * 60), &TOGETHER).await;
    runs(&stack, 2).await;
    let path = format!("/api/v1/orders/{}/reschedule", other.order());
    let to = json!({"start_at": in_minutes(30 * 60)});
    anna.api.post(path, to).idempotent().await.check(200);
    runs(&stack, 2).await;
    let known = [2, 2].map(|n: usize| n);
    for (who, known) in [(0, known[0]), (1, known[1])] {
        let all = sms_to(&stack, &phones[who]).await;
        assert_eq!(all[known..], ["technician.booked", "technician.changed"], "{who}");
    }
    other.visit.cancel().await;
    runs(&stack, 2).await;
    for who in [0, 1] {
        let all = sms_to(&stack, &phones[who]).await;
        assert_eq!(all[4..], ["technician.cancelled"], "{who}");
    }
    let sms = anna.sms(&stack).await;
    assert_eq!(sms[3..], ["booked", "changed", "cancelled"]);
    passes(&stack, 31 * 60).await;
    runs(&stack, 2).await;
    assert_eq!(anna.sms(&stack).await, sms);
    assert!(told(&stack, other.order()).await.iter().all(|one| !one.contains("pending")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_between_the_steps_of_a_handover_it_goes_on() {
    let stack = Stack::start().await;
    let shop = stack.shop(3, Hours::Day).await;
    stack.set_ways(&shop, json!({"accept_within_minutes": 30})).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let three = &shop.technicians[2];

    // Between the answer and the next one, with the database in the way of the commit, then outright.
    let (booked, _) = Booked::paid(&stack, &shop, &at(1, "11:00"), &TOGETHER).await;
    booked.say(&staff[0], 0, "accept").await.check(200);
    stack.kill_worker();
    stack.write_d1(
        "CREATE TRIGGER no_handover BEFORE UPDATE OF claim_id ON order_line
            BEGIN SELECT raise(ABORT, 'not now'); END",
    );
    stack.restart_worker().await;
    booked.say(&staff[1], 1, "decline").await.check(200);
    runs(&stack, 1).await;
    let line = booked.line(&owner, 1).await;
    assert_eq!(line["assignment"], "declined", "{line}");
    stack.kill_worker();
    stack.write_d1("DROP TRIGGER no_handover");
    stack.restart_worker().await;
    eventually("the next one is asked", SOON, async || {
        runs(&stack, 1).await;
        let line = booked.line(&owner, 1).await;
        (line["technician_id"] == three.as_str() && line["assignment"] == "asked").then_some(())
    })
    .await;
    for wait in [10, 25, 45, 80] {
        let clock = format!("{}:00", 13 + wait / 20);
        let (booked, _) = Booked::paid(&stack, &shop, &at(2, &clock), &TOGETHER).await;
        let call = booked.say(&staff[1], 1, "decline");
        let first = tokio::spawn(call.attempt());
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stack.kill_worker();
        let _ = first.await;
        stack.restart_worker().await;
        if booked.line(&owner, 1).await["technician_id"] == shop.technicians[1].as_str() {
            let _ = booked.say(&staff[1], 1, "decline").await;
        }
        eventually("the next one is asked", SOON, async || {
            runs(&stack, 1).await;
            let line = booked.line(&owner, 1).await;
            (line["technician_id"] == three.as_str() && line["assignment"] == "asked").then_some(())
        })
        .await;
        booked.is_with(&owner, 0, &shop.technicians[0], "asked").await;
        // Nobody is left, and the Worker dies in the cancellation.
        let call = booked.say(&staff[2], 1, "decline");
        let first = tokio::spawn(call.attempt());
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stack.kill_worker();
        let _ = first.await;
        stack.restart_worker().await;
        let _ = booked.say(&staff[2], 1, "decline").await;
        eventually("it is given up", SOON, async || {
            runs(&stack, 1).await;
            (seen(&owner, booked.order()).await["refunded_fen"] == 39_600).then_some(())
        })
        .await;
        settled(&stack).await;
        assert_eq!(claims(&stack, &booked), 0);
    }
    settled(&stack).await;
    assert_eq!(claims(&stack, &booked), 2);
    // What a calendar could not tell when the Worker died it tells by its own alarm.
    let member = stack.some_member().await;
    eventually("all is free again", Duration::from_mins(1), async || {
        let slots = shop.slots(&member, None, &at(2, "17:00")[..10], 1).await;
        let free = |clock: &str| {
            slots.iter().any(|slot| slot.start_at == at(2, clock) && slot.technicians.len() == 3)
        };
        ["13:00", "14:00", "15:00", "17:00"].into_iter().all(free).then_some(())
    })
    .await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visit_moves_and_grows_while_a_line_looks_for_its_technician() {
    let stack = Stack::start().await;
    let fields = json!({"buffer_before_minutes": 10, "buffer_after_minutes": 10,
        "add_ons": [{"name": "加钟", "minutes": 30, "price_fen": 9_900}]});
    let shop = stack.shop_with(3, Hours::Day, fields).await;
    let ways = json!({"accept_within_minutes": 30, "when_declined": "offer_to_all"});
    stack.set_ways(&shop, ways).await;
    let (owner, staff) = (stack.owner().await, technicians(&stack, &shop).await);
    let member = stack.some_member().await;
    let booked = Booked::of(&member, &shop, &at(1, "11:00"), &IN_TURN).await;
    booked.say(&staff[0], 0, "accept").await.check(200);
    booked.say(&staff[1], 1, "decline").await.check(200);
    booked.is_with(&owner, 1, &shop.technicians[1], "offered").await;
    // At another time it is asked of somebody who has not declined it; who has accepted has it still.
    let path = format!("/api/v1/orders/{}/reschedule", booked.order());
    let moved = member.post(path, json!({"start_at": at(1, "15:00")})).idempotent().await;
    moved.check(200);
    booked.is_with(&owner, 0, &shop.technicians[0], "assigned").await;
    let line = booked.line(&owner, 1).await;
    assert_eq!(line["assignment"], "asked");
    assert_ne!(line["technician_id"], shop.technicians[1].as_str());

    // By one technician, without the pause between them: the last one grows, the first one cannot.
    let service = owner.get(format!("/api/v1/services/{}", shop.service)).await.expect(200);
    let one = [(1, "after_previous"), (1, "after_previous")];
    let booked = Booked::of(&member, &shop, &at(2, "11:00"), &one).await;
    let path = format!("/api/v1/staff/orders/{}/extend", booked.order());
    let more = |line: usize| {
        let add_ons = json!([service.text("/add_ons/0/id")]);
        owner.post(&path, json!({"line_id": booked.lines[line], "add_ons": add_ons})).idempotent()
    };
    more(0).await.refused(409, "cannot_extend");
    let longer = more(1).await.expect(200);
    assert_eq!(longer.text("/order/lines/1/end_at"), at(2, "13:30"));
    settled(&stack).await;
    Audit::of(&stack, &[(&shop, Hours::Day)]).check();
}
