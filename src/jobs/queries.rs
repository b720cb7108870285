//! The SQL of the jobs.

use crate::d1::Statement;
use crate::sql;

/// How long an answer is stored: longer than any client retries.
const ANSWERS_MS: i64 = 7 * 86_400_000;
/// How long the counts of sign-in codes are kept: past the day that they count.
const CODES_MS: i64 = 2 * 86_400_000;
/// Days of the past that stay projected.
const PAST_DAYS: i64 = 7;
/// Rows of a kind deleted in one run.
const EXPIRE_ROWS: i64 = 5_000;

/// How far a job has come.
#[must_use]
pub fn watermark(name: &str) -> Statement {
    sql!("SELECT json_quote(watermark) AS json FROM job WHERE name = ?1", name)
}

/// Records a run.
#[must_use]
pub fn record(
    name: &str,
    started: i64,
    finished: i64,
    outcome: &str,
    watermark: &str,
    ok: bool,
) -> Statement {
    sql!(
        "INSERT INTO job (name, watermark, started_at, finished_at, outcome, runs, failures)
         VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
         ON CONFLICT (name) DO UPDATE SET watermark = excluded.watermark,
            started_at = excluded.started_at, finished_at = excluded.finished_at,
            outcome = excluded.outcome, runs = runs + 1, failures = failures + excluded.failures",
        name,
        watermark,
        started,
        finished,
        outcome,
        !ok
    )
}

/// Deletes what nobody needs any more.
#[must_use]
pub fn expire(now: i64) -> [Statement; 4] {
    [
        sql!(
            "DELETE FROM idempotency WHERE (actor, key) IN (SELECT actor, key FROM idempotency
                WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
            now - ANSWERS_MS,
            EXPIRE_ROWS
        ),
        sql!(
            "DELETE FROM sign_in_code WHERE (audience, phone) IN (SELECT audience, phone
                FROM sign_in_code WHERE sent_at < ?1 ORDER BY sent_at LIMIT ?2)",
            now - CODES_MS,
            EXPIRE_ROWS
        ),
        sql!(
            "DELETE FROM shown_qr WHERE id IN (SELECT id FROM shown_qr WHERE expires_at < ?1
                ORDER BY expires_at LIMIT ?2)",
            now,
            EXPIRE_ROWS
        ),
        sql!(
            "DELETE FROM calendar_day WHERE (store_id, calendar, day) IN (SELECT store_id, calendar, day
                FROM calendar_day WHERE day < ?1 ORDER BY day LIMIT ?2)",
            now.div_euclid(86_400_000) - PAST_DAYS,
            EXPIRE_ROWS
        ),
    ]
}

/// Calendars by name, after one.
#[must_use]
pub fn calendars_after(name: &str, limit: u32, now: i64) -> Statement {
    let (kind, id) = name.split_once(':').unwrap_or_default();
    // Of a kind that comes after the one named, every id; of one that comes before, none.
    let of = |table: &str, prefix: &str, used: &str| {
        format!(
            "SELECT * FROM (SELECT '{prefix}:' || id AS name FROM {table} WHERE (?1 < '{prefix}'
                OR (?1 = '{prefix}' AND id > ?2)) AND {used} ORDER BY id LIMIT ?3)"
        )
    };
    let counted = "(capacity IS NOT NULL OR EXISTS (
        SELECT 1 FROM line_claim WHERE calendar = 'store:' || store.id))";
    // A class in which nobody ever had a seat has nothing to compare, nor has one that is over.
    let visited = "end_at > ?4 - 86400000 AND (
        EXISTS (SELECT 1 FROM order_line WHERE session_id = session.id)
        OR EXISTS (SELECT 1 FROM waitlist WHERE session_id = session.id))";
    let sql = format!(
        "SELECT json_group_array(name) AS json FROM (
            SELECT name FROM ({} UNION ALL {} UNION ALL {} UNION ALL {}) ORDER BY name LIMIT ?3)",
        of("resource", "room", "true"),
        of("session", "session", visited),
        of("store", "store", counted),
        of("technician", "technician", "true")
    );
    Statement::new(sql, vec![kind.into(), id.into(), limit.into(), now.into()])
}

/// What stands on a calendar: live claims of lines, and blocks, whose time touches an interval.
#[must_use]
pub fn lines(calendar: &str, from: i64, until: i64) -> Statement {
    let technician_id = calendar.strip_prefix("technician:").unwrap_or_default();
    let session_id = calendar.strip_prefix("session:").unwrap_or_default();
    let resource_id = calendar.strip_prefix("room:").unwrap_or_default();
    sql!(
        "SELECT json_group_array(json_object('id', id, 'claim_id', claim_id, 'order_id', order_id,
            'store_id', store_id, 'start_at', start_at, 'end_at', end_at, 'block_start', block_start,
            'block_end', block_end, 'changed_at', changed_at, 'quantity', quantity, 'kind', kind,
            'home', json(home))) AS json
         FROM (
            SELECT l.id, l.claim_id, l.order_id, l.store_id, l.start_at, l.end_at, l.block_start,
                l.block_end, o.updated_at AS changed_at, 1 AS quantity, 'appointment' AS kind,
                l.home
            FROM order_line l JOIN orders o ON o.id = l.order_id
            WHERE l.technician_id = ?1 AND l.session_id IS NULL AND l.status = 'live'
                AND o.status <> 'pending_payment'
                AND l.start_at > ?2 - 86400000 AND l.start_at < ?3 + 86400000
                AND l.block_end > ?2 AND l.block_start < ?3
            UNION ALL
            SELECT l.id, l.claim_id, l.order_id, l.store_id, l.start_at, l.end_at, l.block_start,
                l.block_end, o.updated_at, l.seats, 'appointment', NULL
            FROM order_line l JOIN orders o ON o.id = l.order_id
            WHERE l.session_id = ?5 AND l.status = 'live' AND o.status <> 'pending_payment'
                AND l.block_end > ?2 AND l.block_start < ?3
            UNION ALL
            SELECT s.id, c.claim_id, NULL, c.store_id, c.start_at, c.end_at, c.block_start,
                c.block_end, s.updated_at, c.quantity, 'appointment', NULL
            FROM session_claim c JOIN session s ON s.id = c.session_id
            WHERE c.calendar = ?4 AND c.status = 'live'
                AND c.start_at > ?2 - 86400000 AND c.start_at < ?3 + 86400000
                AND c.block_end > ?2 AND c.block_start < ?3
            UNION ALL
            SELECT l.line_id, l.claim_id, l.order_id, l.store_id, l.start_at, l.end_at, l.block_start,
                l.block_end, o.updated_at, l.quantity, 'appointment',
                CASE WHEN ?1 <> '' THEN (SELECT home FROM order_line WHERE id = l.line_id) END
            FROM line_claim l JOIN orders o ON o.id = l.order_id
            WHERE l.calendar = ?4 AND l.status = 'live' AND o.status <> 'pending_payment'
                AND l.start_at > ?2 - 86400000 AND l.start_at < ?3 + 86400000
                AND l.block_end > ?2 AND l.block_start < ?3
            UNION ALL
            SELECT id, id, NULL, store_id, start_at, end_at, start_at, end_at, created_at, 1, 'block',
                NULL
            FROM block
            WHERE (technician_id = ?1 OR resource_id = ?6) AND status = 'live' AND start_at > ?2 - 86400000
                AND start_at < ?3 AND end_at > ?2)",
        technician_id,
        from,
        until,
        calendar,
        session_id,
        resource_id
    )
}

/// A JSON list of the claims that a spec names: its own, and those that it replaces
/// (`zhundian_domain::calendar::ids`).
fn named(spec: &str) -> String {
    let words = format!("{spec}.id' || coalesce(' ' || (c.value ->> {spec}.replaces'), '')");
    format!(
        "'[' || replace(json_quote(c.value ->> {words}), ' ', char(34) || ',' || char(34)) || ']'"
    )
}

/// Claims that the outbox still has something to do with.
#[must_use]
pub fn pending_claims(calendar: &str) -> Statement {
    let (one, many) = (named("'$.spec"), named("'$[1]"));
    let sql = format!(
        "SELECT json_group_array(claim) AS json FROM (
            SELECT one.value AS claim FROM outbox, json_each(payload, '$.claims') c, json_each({one}) one
                WHERE dead = 0 AND topic = 'confirm' AND c.value ->> 'calendar' = ?1
            UNION SELECT one.value FROM outbox, json_each(payload, '$.claims') c, json_each({many}) one
                WHERE dead = 0 AND topic = 'confirm_many' AND payload ->> 'calendar' = ?1
            UNION SELECT c.value FROM outbox, json_each(payload, '$.claim_ids') c
                WHERE dead = 0 AND topic = 'release_many' AND payload ->> 'calendar' = ?1
            UNION SELECT payload ->> 'claim_id' FROM outbox
                WHERE dead = 0 AND topic = 'release' AND payload ->> 'calendar' = ?1)"
    );
    Statement::new(sql, vec![calendar.into()])
}

/// The projection of a calendar over days.
#[must_use]
pub fn projection(calendar: &str, from: i64, until: i64) -> Statement {
    sql!(
        "SELECT json_group_array(json_array(d.store_id, d.day, d.free, d.version,
            coalesce(d.room, d.free), coalesce(d.working, d.room, d.free))) AS json
         FROM store s JOIN calendar_day d
            ON d.store_id = s.id AND d.calendar = ?1 AND d.day >= ?2 AND d.day < ?3",
        calendar,
        from,
        until
    )
}

/// Forgets projected days that were written wrong (`[[store, day, version], …]` as they were read), so
/// that the right ones can be written whatever their version; what was written since stays.
#[must_use]
pub fn forget_projection(calendar: &str, days: &str) -> Statement {
    sql!(
        "DELETE FROM calendar_day WHERE calendar = ?1 AND (store_id, day, version) IN (
            SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2))",
        calendar,
        days
    )
}

/// Answers a row when a live line, session or block stands on the claim.
#[must_use]
pub fn stands_on_claim(claim_id: &str) -> Statement {
    sql!(
        "SELECT 'true' AS json FROM order_line WHERE claim_id = ?1 AND status = 'live'
         UNION ALL SELECT 'true' FROM line_claim WHERE claim_id = ?1 AND status = 'live'
         UNION ALL SELECT 'true' FROM session_claim WHERE claim_id = ?1 AND status = 'live'
         UNION ALL SELECT 'true' FROM block WHERE id = ?1 AND status = 'live'",
        claim_id
    )
}

/// Counts something that was found off.
#[must_use]
pub fn count_drift(kind: &str, at: i64, detail: &str) -> Statement {
    sql!(
        "INSERT INTO drift (kind, count, last_at, last_detail) VALUES (?1, 1, ?2, ?3)
         ON CONFLICT (kind) DO UPDATE SET count = count + 1, last_at = excluded.last_at,
            last_detail = excluded.last_detail",
        kind,
        at,
        detail
    )
}
