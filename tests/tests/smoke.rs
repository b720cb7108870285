//! The ground: what every answer has, whatever was asked.

use http::Method;
use zhundian_tests::world::date;
use zhundian_tests::{Hours, Reply, Stack};

/// Every answer says which request it belongs to, and what browsers may not do with it.
#[track_caller]
fn has_the_usual_headers(reply: &Reply) {
    let expected = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-site"),
    ];
    for (name, value) in expected {
        assert_eq!(reply.header(name), value, "{}: {name}", reply.what);
    }
    assert!(reply.header("strict-transport-security").starts_with("max-age="), "{}", reply.what);
    assert!(!reply.header("cache-control").is_empty(), "{}", reply.what);
    let id = reply.header("x-request-id");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
}

#[tokio::test]
async fn healthz_names_the_parts_that_answer() {
    let stack = Stack::shared().await;
    let reply = stack.api().get("/healthz").await.expect(200);
    assert_eq!(reply.body, serde_json::json!({"ok": true, "database": true, "calendars": true}));
    has_the_usual_headers(&reply);
}

#[tokio::test]
async fn the_document_is_openapi() {
    let stack = Stack::shared().await;
    let reply = stack.api().get("/openapi.json").await.expect(200);
    assert_eq!(reply.content_type(), "application/json");
    assert_eq!(reply.text("/openapi"), "3.1.0");
    assert!(reply.body["paths"]["/healthz"]["get"].is_object());
    has_the_usual_headers(&reply);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let stack = Stack::shared().await;
    let api = stack.api();
    for path in
        ["/", "/nothing", "/api/v1/nothing", "/api/v2/stores", "/docs/nothing", "/%ff", "//"]
    {
        let reply = api.get(path).await;
        reply.refused(404, "not_found");
        assert_eq!(reply.text("/request_id"), reply.header("x-request-id"));
        assert_eq!(reply.body["status"], 404);
        has_the_usual_headers(&reply);
    }
    let reply = api.get("/nothing").header("accept-language", "en-GB,en;q=0.9").await;
    assert_eq!(reply.text("/title"), "There is nothing here.");
    let reply = api.get("/nothing").header("accept-language", "zh-CN").await;
    assert_eq!(reply.text("/title"), "没有找到");
}

#[tokio::test]
async fn a_wrong_method_is_a_problem() {
    let stack = Stack::shared().await;
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        let reply = stack.api().call(method, "/healthz").await;
        reply.refused(405, "method_not_allowed");
        assert!(reply.header("allow").contains("GET"), "{:?}", reply.headers);
        has_the_usual_headers(&reply);
    }
}

#[tokio::test]
async fn a_body_over_64_kb_is_refused_before_anybody_reads_it() {
    let stack = Stack::shared().await;
    let api = stack.api();
    let body = |bytes: usize| vec![b' '; bytes];
    let post = || api.call(Method::POST, "/api/v1/bookings");
    let reply = post().body("application/json", body(64 * 1024 + 1)).await;
    reply.refused(413, "body_too_large");
    has_the_usual_headers(&reply);
    let reply = post().body("application/json", body(10 * 1024 * 1024)).await;
    reply.refused(413, "body_too_large");
    let reply = post().body("application/json", body(64 * 1024)).await;
    assert_ne!(reply.status, 413, "64 KB are within the limit");
}

#[tokio::test]
async fn the_page_of_the_document_needs_no_other_host() {
    let stack = Stack::shared().await;
    let api = stack.api();
    assert_eq!(api.get("/docs").await.expect(307).header("location"), "/docs/");
    let page = api.get("/docs/").await.expect(200);
    assert_eq!(page.content_type(), "text/html");
    assert!(page.header("content-security-policy").contains("script-src 'self';"));
    let html = String::from_utf8(page.bytes.to_vec()).expect("text");
    assert!(!html.contains("//"), "an address of another host: {html}");
    let parts = html.split('"').filter(|part| part.starts_with("/docs/"));
    assert!(parts.clone().count() >= 4, "{html}");
    for part in parts {
        api.get(part).await.check(200);
    }
}

#[tokio::test]
async fn jobs_run_when_their_cron_is_due() {
    let stack = Stack::shared().await;
    for cron in ["* * * * *", "*/5 * * * *", "10 19 * * *"] {
        let _ = stack.run_cron(cron).await;
    }
}

#[tokio::test]
async fn the_worker_comes_back_after_it_was_killed_outright() {
    let stack = Stack::start().await;
    let migrations = "SELECT name FROM d1_migrations ORDER BY id";
    let before = stack.d1(migrations);
    assert!(!before.is_empty());
    stack.kill_worker();
    assert!(stack.api().get("/healthz").attempt().await.is_err(), "nobody listens any more");
    assert_eq!(stack.d1(migrations), before, "readable while it is down");
    stack.restart_worker().await;
    stack.api().get("/healthz").await.check(200);
    assert_eq!(stack.d1(migrations), before);
    let calendars = stack.calendars("SELECT count(*) AS claims FROM claim");
    assert_eq!(calendars[0].0, "health:check", "{calendars:?}");
}

#[tokio::test]
async fn a_member_the_owner_and_new_staff_sign_in() {
    let stack = Stack::shared().await;
    let member = stack.some_member().await;
    member.get("/api/v1/me").await.check(200);
    let owner = stack.owner().await;
    owner.get("/api/v1/me").await.refused(401, "wrong_audience");
    let manager = stack.staff("manager", None).await;
    assert_ne!(manager.token(), owner.token());
}

#[tokio::test]
async fn a_shop_is_booked() {
    let stack = Stack::shared().await;
    for hours in [Hours::Always, Hours::Day] {
        let shop = stack.shop(2, hours).await;
        let (anna, bert) = (stack.some_member().await, stack.some_member().await);
        let slots = shop.slots(&anna, Some(&shop.technicians[0]), &date(1), 7).await;
        assert_eq!(slots[0].technicians, [shop.technicians[0].clone()]);
        let start = &slots[0].start_at;
        let booked = shop.book(&anna, Some(&shop.technicians[0]), start).await.expect(201);
        assert_eq!(booked.text("/order/lines/0/technician_id"), shop.technicians[0]);
        shop.book(&bert, Some(&shop.technicians[0]), start).await.refused(409, "slot_taken");
        shop.book(&bert, None, start).await.check(201);
        let order = booked.text("/order/id");
        let claims = stack.calendars("SELECT id, state FROM claim WHERE state <> 'released'");
        let name = format!("technician:{}", shop.technicians[0]);
        assert!(claims.iter().any(|(calendar, rows)| *calendar == name && rows.len() == 1));
        let lines = stack.d1(&format!("SELECT id FROM order_line WHERE order_id = '{order}'"));
        assert_eq!(lines.len(), 1);
    }
}
