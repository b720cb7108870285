//! The SQL of express orders.

use crate::booking::queries::Order;
use crate::d1::{Statement, precondition};
use crate::http::fields::Id;
use crate::order::queries::VIEW;
use crate::sql;

/// What a wish needs to know of its store.
#[must_use]
pub fn store(id: &Id) -> Statement {
    sql!(
        "SELECT json_object('name', name, 'time_zone', time_zone, 'ways', json(ways),
            'open', json(CASE status WHEN 'open' THEN 'true' ELSE 'false' END)) AS json
         FROM store WHERE id = ?1 AND status <> 'retired'",
        id
    )
}

/// A wish as it is written.
pub struct Wish<'a> {
    /// The store.
    pub store_id: &'a Id,
    /// Of what kind the service is to be.
    pub category: &'a str,
    /// The earliest start, UTC milliseconds.
    pub from_at: i64,
    /// Before when it starts.
    pub until_at: i64,
    /// Until when a proposal is waited for; `None` before it is paid.
    pub due_at: Option<i64>,
    /// Minutes for a proposal, and for its answer.
    pub minutes: (i64, i64),
}

/// Writes an order that is a wish; raises `store_open` and `member_active`.
#[must_use]
pub fn insert(order: &Order, wish: &Wish) -> [Statement; 3] {
    [
        sql!(
            "INSERT INTO precondition (name, ok) VALUES
                ('store_open', EXISTS (SELECT 1 FROM store WHERE id = ?1 AND status = 'open')),
                ('member_active', ?2 IS NULL
                    OR EXISTS (SELECT 1 FROM member WHERE id = ?2 AND status = 'active'))",
            wish.store_id,
            order.member_id
        ),
        sql!(
            "INSERT INTO orders (id, member_id, store_id, mode, payment, total_fen, due_fen, price_parts,
                change_notice_minutes, contact_name, contact_phone, note, start_at, created_at, updated_at,
                status, hold_expires_at, cancellation)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14, ?15, ?16, ?17)",
            order.id,
            order.member_id,
            wish.store_id,
            order.mode,
            order.payment,
            order.total_fen,
            order.due_fen,
            order.price_parts,
            order.change_notice_minutes,
            order.contact_name,
            order.contact_phone,
            order.note,
            wish.from_at,
            order.now,
            order.status.as_str(),
            order.hold_expires_at,
            order.cancellation
        ),
        sql!(
            "INSERT INTO express (order_id, store_id, category, from_at, until_at, state, due_at,
                propose_minutes, answer_minutes) VALUES (?1, ?2, ?3, ?4, ?5, 'waiting', ?6, ?7, ?8)",
            order.id,
            wish.store_id,
            wish.category,
            wish.from_at,
            wish.until_at,
            wish.due_at,
            wish.minutes.0,
            wish.minutes.1
        ),
    ]
}

/// The clock of a proposal begins when the order is confirmed.
#[must_use]
pub fn start_waiting(order_id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE express SET due_at = min(until_at, ?2 + 60000 * propose_minutes)
         WHERE order_id = ?1 AND state = 'waiting' AND due_at IS NULL
            AND EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND status = 'confirmed')",
        order_id,
        now
    )
}

/// An express order as it is decided on.
#[must_use]
pub fn known(order_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('member_id', o.member_id, 'store_id', o.store_id, 'status', o.status,
            'version', o.version, 'state', e.state, 'due_at', e.due_at, 'from_at', e.from_at,
            'until_at', e.until_at, 'propose_minutes', e.propose_minutes,
            'answer_minutes', e.answer_minutes, 'proposal', json(e.proposal)) AS json
         FROM express e JOIN orders o ON o.id = e.order_id WHERE e.order_id = ?1",
        order_id
    )
}

/// An express order's next state, if it is confirmed and at the version that was read (raises
/// `order_version`). A proposal that is `None` stays as it was.
#[must_use]
pub fn set_state(
    order_id: &Id,
    version: i64,
    state: &str,
    due_at: Option<i64>,
    proposal: Option<&str>,
) -> [Statement; 2] {
    [
        precondition(
            "order_version",
            "SELECT 1 FROM orders WHERE id = ?1 AND version = ?2 AND status = 'confirmed'",
            vec![order_id.into(), version.into()],
        ),
        sql!(
            "UPDATE express SET state = ?2, due_at = ?3, proposal = coalesce(?4, proposal)
             WHERE order_id = ?1",
            order_id,
            state,
            due_at,
            proposal
        ),
    ]
}

/// The order has changed.
#[must_use]
pub fn touch(order_id: &Id, now: i64) -> Statement {
    sql!("UPDATE orders SET version = version + 1, updated_at = ?2 WHERE id = ?1", order_id, now)
}

/// The order is what was proposed: `proposal` is [`super::Proposal`].
#[must_use]
pub fn become_appointment(order_id: &Id, proposal: &str, now: i64) -> Statement {
    sql!(
        "UPDATE orders SET service_id = ?2 ->> 'service_id', technician_id = ?2 ->> 'technician_id',
            start_at = ?2 ->> 'start_at', total_fen = ?2 ->> 'total_fen',
            due_fen = min(due_fen, ?2 ->> 'total_fen'), price_parts = ?2 -> 'parts',
            cancellation = ?2 -> 'cancellation',
            change_notice_minutes = ?2 ->> 'change_notice_minutes', max_moves = ?2 ->> 'max_moves',
            version = version + 1, updated_at = ?3
         WHERE id = ?1",
        order_id,
        proposal,
        now
    )
}

/// Express orders whose proposal, or its answer, is overdue: order, version and state.
#[must_use]
pub fn overdue(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_array(o.id, o.version, e.state) AS json FROM express e
         JOIN orders o ON o.id = e.order_id
         WHERE e.due_at <= ?1 AND o.status = 'confirmed' ORDER BY e.due_at LIMIT ?2",
        now,
        limit
    )
}

/// A store's express orders that wait for something, by deadline, one more than the limit.
#[must_use]
pub fn waiting(store_id: &Id, after: Option<(i64, String)>, limit: u32) -> Statement {
    let (after_due, after_id) = after.unwrap_or_default();
    sql!(
        format!(
            "SELECT json_object('due_at', e.due_at, 'order', {VIEW}) AS json
             FROM express e JOIN orders o ON o.id = e.order_id
             WHERE e.store_id = ?1 AND e.due_at IS NOT NULL AND o.status = 'confirmed'
                AND (e.due_at, e.order_id) > (CAST(?2 AS INTEGER), ?3)
             ORDER BY e.due_at, e.order_id LIMIT ?4"
        ),
        store_id,
        after_due,
        after_id,
        limit + 1
    )
}
