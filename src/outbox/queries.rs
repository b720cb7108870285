//! The SQL of the outbox.

use crate::d1::Statement;
use crate::http::fields::Id;
use crate::order::queries::{live_claims, stands};
use crate::sql;

/// Writes a row.
#[must_use]
pub fn insert(id: &Id, payload: &str, now: i64, due_at: i64) -> Statement {
    sql!(
        "INSERT INTO outbox (id, topic, payload, due_at, created_at)
         SELECT ?1, ?2 ->> 'topic', ?2, ?4, ?3",
        id,
        payload,
        now,
        due_at
    )
}

/// Writes a row that is due at once, unless the order's line stands on the claim.
#[must_use]
pub fn insert_unless_standing(
    id: &Id,
    payload: &str,
    now: i64,
    order_id: &Id,
    claim_id: &str,
) -> Statement {
    let stands = stands("?5", " AND order_id = ?4");
    let sql = format!(
        "INSERT INTO outbox (id, topic, payload, due_at, created_at)
         SELECT ?1, ?2 ->> 'topic', ?2, ?3, ?3 WHERE NOT {stands}"
    );
    Statement::new(
        sql,
        vec![id.into(), payload.into(), now.into(), order_id.into(), claim_id.into()],
    )
}

/// Writes a row, due at once, that gives back those of a calendar's claims (`[[order, claim], …]`) on which
/// no line of their orders stands; no row when a line stands on each.
#[must_use]
pub fn release_not_standing(id: &Id, calendar: &str, claims: &str, now: i64) -> Statement {
    let stands = stands("value ->> 1", " AND order_id = value ->> 0");
    let sql = format!(
        "INSERT INTO outbox (id, topic, payload, due_at, created_at)
         SELECT ?1, 'release_many', json_object('topic', 'release_many', 'calendar', ?2,
            'claim_ids', json(gone)), ?4, ?4
         FROM (SELECT json_group_array(value ->> 1) AS gone, count(*) AS claims FROM json_each(?3)
            WHERE NOT {stands})
         WHERE claims > 0"
    );
    Statement::new(sql, vec![id.into(), calendar.into(), claims.into(), now.into()])
}

/// Deletes a row that has been delivered.
#[must_use]
pub fn done(id: &Id) -> Statement {
    sql!("DELETE FROM outbox WHERE id = ?1", id)
}

/// Leases the rows that are due: nobody else gets them before `lease_until`.
#[must_use]
pub fn lease(now: i64, lease_until: i64, limit: u32) -> Statement {
    sql!(
        "UPDATE outbox SET lease_until = ?2 WHERE id IN (
            SELECT id FROM outbox WHERE dead = 0 AND due_at <= ?1 AND lease_until <= ?1
            ORDER BY due_at LIMIT ?3)
         RETURNING json_object('id', id, 'message', json(payload), 'attempts', attempts) AS json",
        now,
        lease_until,
        limit
    )
}

/// Notes a failure: tried again at `due_at`, or never when it is dead.
#[must_use]
pub fn failed(id: &Id, due_at: i64, dead: bool, error: &str) -> Statement {
    sql!(
        "UPDATE outbox SET attempts = attempts + 1, due_at = ?2, lease_until = 0, dead = ?3,
            last_error = ?4 WHERE id = ?1",
        id,
        due_at,
        dead,
        error
    )
}

/// The order, when it still stands on the claim, with its other claims.
#[must_use]
pub fn stands_on(order_id: &Id, claim_id: &str) -> Statement {
    let (stands, others) =
        (stands("?2", " AND order_id = ?1"), live_claims("?1", " AND claim_id <> ?2"));
    let sql = format!(
        "SELECT json_object('status', o.status, 'version', o.version, 'start_at', o.start_at,
            'claims', {others}) AS json
         FROM orders o WHERE o.id = ?1 AND {stands}"
    );
    Statement::new(sql, vec![order_id.into(), claim_id.into()])
}

/// Confirms an order that is paid, with its event; nothing when it is anything else by now.
#[must_use]
pub fn confirm_paid(order_id: &Id, event_id: &Id, now: i64) -> [Statement; 2] {
    [
        sql!(
            "INSERT INTO order_event (id, order_id, at, kind, actor_kind)
             SELECT ?2, id, ?3, 'confirmed', 'system' FROM orders WHERE id = ?1 AND status = 'paid'",
            order_id,
            event_id,
            now
        ),
        sql!(
            "UPDATE orders SET status = 'confirmed', version = version + 1, updated_at = ?2
             WHERE id = ?1 AND status = 'paid'",
            order_id,
            now
        ),
    ]
}

/// Takes a block away whose time was lost.
#[must_use]
pub fn remove_lost_block(id: &str) -> Statement {
    sql!("UPDATE block SET status = 'removed' WHERE id = ?1", id)
}

/// Writes a row that is due at once, unless a session or a block stands on the claim.
#[must_use]
pub fn insert_unless_kept(id: &Id, payload: &str, now: i64, claim_id: &str) -> Statement {
    sql!(
        "INSERT INTO outbox (id, topic, payload, due_at, created_at)
         SELECT ?1, ?2 ->> 'topic', ?2, ?3, ?3
         WHERE NOT EXISTS (SELECT 1 FROM session_claim WHERE claim_id = ?4 AND status = 'live')
            AND NOT EXISTS (SELECT 1 FROM block WHERE id = ?4 AND status = 'live')",
        id,
        payload,
        now,
        claim_id
    )
}
