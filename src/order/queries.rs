//! The SQL of orders.

use serde_json::Value;

use crate::auth::caller::Scope;
use crate::d1::{Param, Statement};
use crate::http::fields::Id;
use crate::order::Actor;
use crate::sql;

/// One order as [`super::view::Row`] reads it; `o` is the order.
pub const VIEW: &str =
    "json_object('id', o.id, 'status', o.status, 'mode', CASE
        WHEN o.mode = 'plan' AND NOT EXISTS (SELECT 1 FROM feature WHERE plans = 1) THEN 'direct'
        ELSE o.mode END, 'payment', o.payment,
    'member_id', o.member_id, 'service_id', o.service_id,
    'change_notice_minutes', o.change_notice_minutes, 'start_at', o.start_at, 'version', o.version,
    'created_at', o.created_at,
    'store', (SELECT json_object('id', id, 'name', name, 'time_zone', time_zone)
        FROM store WHERE id = o.store_id),
    'visit', json_object('checked_in_at', o.checked_in_at, 'ended_at', o.ended_at, 'moves', o.moves,
        'max_moves', o.max_moves),
    'contact', json_object('name', o.contact_name, 'phone', o.contact_phone, 'note', o.note,
        'address', json(o.address)),
    'money', json_object('total_fen', o.total_fen, 'due_fen', o.due_fen, 'parts', json(o.price_parts),
        'hold_expires_at', o.hold_expires_at, 'cancellation', json(o.cancellation),
        'paid_fen', coalesce((SELECT balance_fen FROM account WHERE id = 'order:' || o.id), 0),
        'refunded_fen', coalesce((SELECT sum(amount_fen) FROM refund
            WHERE order_id = o.id AND status <> 'closed'), 0)),
    'express', (SELECT json_object('category', category, 'from_at', from_at, 'until_at', until_at,
        'state', state, 'due_at', due_at, 'proposal', json(proposal))
        FROM express WHERE order_id = o.id),
    'lines', (SELECT json_group_array(json_object('id', l.id, 'kind', l.kind, 'status', l.status,
        'service_id', l.service_id,
        'service_name', (SELECT name FROM service WHERE id = l.service_id),
        'technician_id', l.technician_id,
        'technician_name', (SELECT name FROM technician WHERE id = l.technician_id),
        'assignment', l.assignment, 'answer_by', l.answer_by,
        'start_at', l.start_at, 'end_at', l.end_at, 'price_fen', l.price_fen,
        'class', json_array(l.session_id, l.seats),
        'taken', json_array(l.guest, json(l.add_ons)),
        'resources', (SELECT json_group_array(json_object('id', r.id, 'name', r.name))
            FROM line_claim lc JOIN resource r ON r.id = substr(lc.calendar, 6)
            WHERE lc.line_id = l.id AND lc.status = l.status AND lc.calendar > 'room:'
                AND lc.calendar < 'room;'),
        'visit', json_object('departed_at', l.departed_at, 'arrived_at', l.arrived_at,
            'started_at', l.started_at, 'finished_at', l.finished_at,
            'photos', (SELECT json_group_array(photo_id) FROM (SELECT photo_id FROM visit_photo
                WHERE line_id = l.id ORDER BY position)))))
        FROM (SELECT * FROM order_line WHERE order_id = o.id ORDER BY start_at, rowid) l))";

/// One order.
#[must_use]
pub fn order(id: &Id) -> Statement {
    sql!(format!("SELECT {VIEW} AS json FROM orders o WHERE o.id = ?1"), id)
}

/// What happened to an order, oldest first.
#[must_use]
pub fn timeline(id: &Id) -> Statement {
    sql!(
        "SELECT json_group_array(json_object('at', at, 'kind', kind, 'actor_kind', actor_kind,
            'actor_id', actor_id, 'actor_name', CASE actor_kind
                WHEN 'staff' THEN (SELECT name FROM staff WHERE id = actor_id)
                WHEN 'member' THEN (SELECT nickname FROM member WHERE id = actor_id) END,
            'detail', json(detail))) AS json
         FROM (SELECT * FROM order_event WHERE order_id = ?1 ORDER BY id LIMIT 500)",
        id
    )
}

/// Notes what happened to an order.
#[must_use]
pub fn insert_event(
    id: &Id,
    order_id: &Id,
    at: i64,
    kind: &str,
    actor: &Actor,
    detail: &Value,
) -> Statement {
    sql!(
        "INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        id,
        order_id,
        at,
        kind,
        actor.kind(),
        actor.id(),
        detail.to_string()
    )
}

/// Which orders to list, newest start first.
#[derive(Default)]
pub struct Filter<'a> {
    /// A member's.
    pub member_id: Option<&'a Id>,
    /// A store's.
    pub store_id: Option<&'a Id>,
    /// A technician's.
    pub technician_id: Option<&'a Id>,
    /// Of a service.
    pub service_id: Option<&'a Id>,
    /// In a state.
    pub status: Option<&'a str>,
    /// Starting at or after, UTC milliseconds.
    pub from: Option<i64>,
    /// Starting before, UTC milliseconds.
    pub until: Option<i64>,
    /// In these stores alone: what the caller may see.
    pub scope: Option<Scope>,
    /// After the order with this start and id.
    pub after: Option<(i64, String)>,
    /// How many at most.
    pub limit: u32,
}

/// A page of orders and one more. Each of member, store and technician has an index that ends in
/// (start, id), so a page costs its own rows, however long the history.
#[must_use]
pub fn list(filter: &Filter) -> Statement {
    let mut params: Vec<Param> = Vec::new();
    let mut terms: Vec<String> = Vec::new();
    let mut term = |text: &str, param: Option<Param>| {
        if let Some(param) = param {
            params.push(param);
            terms.push(text.replace('?', &format!("?{}", params.len())));
        }
    };
    term("o.member_id = ?", filter.member_id.map(Into::into));
    term("o.store_id = ?", filter.store_id.map(Into::into));
    term("o.technician_id = ?", filter.technician_id.map(Into::into));
    term("o.service_id = ?", filter.service_id.map(Into::into));
    term("o.status = ?", filter.status.map(Into::into));
    term("o.start_at >= ?", filter.from.map(Into::into));
    term("o.start_at < ?", filter.until.map(Into::into));
    let scope = filter.scope.as_ref().and_then(Scope::json);
    term("o.store_id IN (SELECT value FROM json_each(?))", scope.map(Into::into));
    if let Some((start, id)) = &filter.after {
        let (at, before) = (params.len() + 1, params.len() + 2);
        params.extend([Param::from(*start), Param::from(id)]);
        terms.push(format!("o.start_at <= ?{at} AND (o.start_at < ?{at} OR o.id < ?{before})"));
    }
    params.push(Param::from(filter.limit + 1));
    let limit = params.len();
    let terms = if terms.is_empty() { "true".to_owned() } else { terms.join(" AND ") };
    Statement::new(
        format!(
            "SELECT {VIEW} AS json FROM orders o WHERE {terms}
             ORDER BY o.start_at DESC, o.id DESC LIMIT ?{limit}"
        ),
        params,
    )
}

/// The claims of an order, as a table: the technician's own of each line, and what its lines take besides.
/// `order` is the SQL of its id, and stands in each half: what is outside of a UNION is compared only when
/// all of it has been read.
#[must_use]
pub fn claims(order: &str) -> String {
    format!(
        "(SELECT claim_id, CASE WHEN session_id IS NULL THEN 'technician:' || technician_id
                ELSE 'session:' || session_id END AS calendar, id AS line_id, store_id, start_at, end_at,
            block_start, block_end, seats AS quantity, status FROM order_line WHERE order_id = {order}
          UNION ALL SELECT claim_id, calendar, line_id, store_id, start_at, end_at, block_start,
            block_end, quantity, status FROM line_claim WHERE order_id = {order})"
    )
}

/// Calendar and id of each of an order's live claims, as a JSON list: `order` is the SQL of its id, `and`
/// what else they must be.
#[must_use]
pub fn live_claims(order: &str, and: &str) -> String {
    format!(
        "(SELECT json_group_array(json_array(calendar, claim_id)) FROM {}
            WHERE status = 'live'{and})",
        claims(order)
    )
}

/// Whether a claim stands on a live line, as SQL: `claim` is the SQL of its id, `and` what else must be.
#[must_use]
pub fn stands(claim: &str, and: &str) -> String {
    format!(
        "(EXISTS (SELECT 1 FROM order_line WHERE claim_id = {claim} AND status = 'live'{and})
            OR EXISTS (SELECT 1 FROM line_claim WHERE claim_id = {claim} AND status = 'live'{and}))"
    )
}

/// What cancelling needs to know.
#[must_use]
pub fn to_cancel(id: &Id) -> Statement {
    let claims = claims("orders.id");
    let sql = format!(
        "SELECT json_object('member_id', member_id, 'store_id', store_id, 'status', status,
            'version', version, 'change_notice_minutes', change_notice_minutes, 'start_at', start_at,
            'cancellation', json(cancellation),
            'pending', (SELECT id FROM payment WHERE order_id = orders.id AND status = 'pending'),
            'claims', (SELECT json_group_array(json_array(calendar, claim_id)) FROM (
                SELECT calendar, claim_id FROM {claims} WHERE status = 'live'
                UNION ALL SELECT c.value ->> 'calendar', c.value ->> '$.spec.id'
                    FROM express e, json_each(e.proposal, '$.claims') c
                    WHERE e.order_id = orders.id AND e.state = 'proposed'))) AS json
         FROM orders WHERE id = ?1"
    );
    Statement::new(sql, vec![id.into()])
}

/// Cancels an order that is still as it was read (raises `order_version`).
#[must_use]
pub fn cancel(id: &Id, version: i64, now: i64) -> [Statement; 5] {
    let [lines, claims] = give_up_lines(id);
    [
        crate::d1::precondition(
            "order_version",
            "SELECT 1 FROM orders WHERE id = ?1 AND version = ?2",
            vec![id.into(), version.into()],
        ),
        sql!(
            "UPDATE orders SET status = 'cancelled', version = version + 1, updated_at = ?2 WHERE id = ?1",
            id,
            now
        ),
        lines,
        claims,
        sql!("UPDATE express SET state = 'ended', due_at = NULL WHERE order_id = ?1", id),
    ]
}

/// An order's lines stand no more.
#[must_use]
pub fn give_up_lines(id: &Id) -> [Statement; 2] {
    [
        sql!("UPDATE order_line SET status = 'cancelled' WHERE order_id = ?1", id),
        sql!("UPDATE line_claim SET status = 'cancelled' WHERE order_id = ?1", id),
    ]
}

/// The appointments, blocks and sessions of a store over an interval, by start.
pub struct Day<'a> {
    /// The store.
    pub store_id: &'a Id,
    /// One technician's alone.
    pub technician_id: Option<&'a Id>,
    /// Of one service alone.
    pub service_id: Option<&'a Id>,
    /// With one status alone.
    pub status: Option<&'a str>,
    /// Starting at or after.
    pub from: i64,
    /// Starting before.
    pub until: i64,
    /// After the item with this start and id.
    pub after: Option<(i64, String)>,
    /// How many at most.
    pub limit: u32,
}

/// Lists [`Day`], one more than its limit.
#[must_use]
pub fn day(day: &Day) -> Statement {
    let (after_start, after_id) = day.after.as_ref().map_or((0, ""), |(at, id)| (*at, id.as_str()));
    sql!(
        "SELECT json_object('kind', kind, 'id', id, 'order_id', order_id, 'status', status,
            'technician_id', technician_id,
            'technician_name', (SELECT name FROM technician WHERE id = technician_id),
            'service_id', service_id,
            'service_name', (SELECT name FROM service WHERE id = service_id),
            'start_at', start_at, 'end_at', end_at, 'customer', customer, 'phone', phone, 'note', note,
            'address', json(address)) AS json
         FROM (
            SELECT 'appointment' AS kind, l.id, l.order_id, o.status, l.technician_id, l.service_id,
                l.start_at, l.end_at, coalesce(l.guest, o.contact_name) AS customer,
                o.contact_phone AS phone, o.note, o.address
            FROM order_line l JOIN orders o ON o.id = l.order_id
            WHERE l.store_id = ?1 AND l.start_at >= ?5 AND l.start_at < ?6
                AND (?2 IS NULL OR l.technician_id = ?2) AND (?3 IS NULL OR l.service_id = ?3)
                AND (?4 IS NULL OR o.status = ?4)
            UNION ALL
            SELECT 'block', b.id, NULL, 'blocked', b.technician_id, NULL, b.start_at, b.end_at, '', '',
                b.reason, NULL
            FROM block b WHERE b.store_id = ?1 AND b.start_at >= ?5 AND b.start_at < ?6
                AND b.status = 'live' AND (?2 IS NULL OR b.technician_id = ?2) AND ?3 IS NULL
                AND (?4 IS NULL OR ?4 = 'blocked')
            UNION ALL
            SELECT 'session', s.id, NULL, s.status, s.technician_id, s.service_id, s.start_at, s.end_at,
                '', '', '', NULL
            FROM session s WHERE s.store_id = ?1 AND s.start_at >= ?5 AND s.start_at < ?6
                AND (?2 IS NULL OR s.technician_id = ?2) AND (?3 IS NULL OR s.service_id = ?3)
                AND CASE ?4 WHEN 'confirmed' THEN s.status = 'scheduled'
                    WHEN 'cancelled' THEN s.status = 'cancelled' ELSE ?4 IS NULL END)
         WHERE (start_at, id) > (CAST(?7 AS INTEGER), ?8)
         ORDER BY start_at, id LIMIT ?9",
        day.store_id,
        day.technician_id,
        day.service_id,
        day.status,
        day.from,
        day.until,
        after_start,
        after_id,
        day.limit + 1
    )
}

/// The zone of a store's clock.
#[must_use]
pub fn store_zone(id: &Id) -> Statement {
    sql!("SELECT json_quote(time_zone) AS json FROM store WHERE id = ?1", id)
}
