//! The SQL of what comes with a booking.

use crate::d1::{Statement, precondition};
use crate::error::{Answer, Problem};
use crate::extras::answers::Answered;
use crate::http::fields::Id;
use crate::order::Actor;
use crate::sql;

/// Answers deleted in one run.
const EXPIRE_ROWS: i64 = 5_000;

/// Those of a list of items that the store sells.
#[must_use]
pub fn items(store_id: &Id, ids: &str) -> Statement {
    sql!(
        "SELECT json_object('id', id, 'name', name, 'price_fen', price_fen,
            'max_per_order', max_per_order, 'version', version) AS json
         FROM item WHERE id IN (SELECT value FROM json_each(?2)) AND store_id = ?1
            AND status = 'active'",
        store_id,
        ids
    )
}

/// Writes what is ordered, unless an item has changed since it was read (raises `item_version`).
#[must_use]
pub fn insert_items(order_id: &Id, items: &str) -> [Statement; 2] {
    [
        precondition(
            "item_version",
            "NOT EXISTS (SELECT 1 FROM json_each(?1) AS one WHERE NOT EXISTS (SELECT 1 FROM item
                WHERE id = one.value ->> 'item_id' AND version = one.value ->> 'version'
                AND status = 'active'))",
            vec![items.into()],
        ),
        sql!(
            "INSERT INTO order_item (order_id, position, item_id, name, price_fen, quantity)
             SELECT ?1, key, value ->> 'item_id', value ->> 'name', value ->> 'price_fen',
                value ->> 'quantity' FROM json_each(?2)",
            order_id,
            items
        ),
    ]
}

/// Writes a line's answers in place of those before, unless its service's form is another by now (raises
/// `intake_version`).
///
/// # Errors
/// None in practice.
pub fn put_intake(
    line_id: &str,
    answered: &Answered,
    actor: &Actor,
    now: i64,
) -> Answer<[Statement; 2]> {
    let form = serde_json::to_string(&answered.form).map_err(Problem::internal)?;
    let answers = serde_json::to_string(&answered.answers).map_err(Problem::internal)?;
    Ok([
        precondition(
            "intake_version",
            "EXISTS (SELECT 1 FROM order_line l JOIN service s ON s.id = l.service_id
                WHERE l.id = ?1 AND s.intake ->> 'version' = ?2)",
            vec![line_id.into(), answered.form.version.into()],
        ),
        sql!(
            "INSERT INTO order_intake (line_id, order_id, service_id, end_at, form, answers, answered_at,
                answered_by_kind, answered_by, agreed_at)
             SELECT id, order_id, service_id, end_at, ?2, ?3, ?4, ?5, ?6, ?7
             FROM order_line WHERE id = ?1
             ON CONFLICT (line_id) DO UPDATE SET form = excluded.form, answers = excluded.answers,
                answered_at = excluded.answered_at, answered_by_kind = excluded.answered_by_kind,
                answered_by = excluded.answered_by, agreed_at = excluded.agreed_at",
            line_id,
            form,
            answers,
            now,
            actor.kind(),
            actor.id(),
            answered.form.consent.as_ref().map(|_| now)
        ),
    ])
}

/// What answering later needs to know.
#[must_use]
pub fn to_fill(order_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('member_id', member_id, 'store_id', store_id, 'start_at', start_at,
            'time_zone', (SELECT time_zone FROM store WHERE id = orders.store_id),
            'lines', (SELECT json_group_array(json_array(l.id, json(s.intake)))
                FROM order_line l JOIN service s ON s.id = l.service_id
                WHERE l.order_id = orders.id)) AS json
         FROM orders WHERE id = ?1",
        order_id
    )
}

/// Whether the visit of an order is not over, as SQL.
const OPEN: &str = "status IN ('pending_payment', 'paid', 'confirmed', 'in_service')";

/// The visit of the order is not over (raises `order_open`).
#[must_use]
pub fn is_open(order_id: &Id) -> Statement {
    let is_open = format!("EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND {OPEN})");
    precondition("order_open", &is_open, vec![order_id.into()])
}

/// The answers and items of an order, and which of its lines are still to be answered for.
#[must_use]
pub fn seen(order_id: &Id) -> Statement {
    sql!(
        format!(
            "SELECT json_object(
                'intakes', (SELECT json_group_array(json_object('line_id', l.id,
                    'answered', json(CASE WHEN i.line_id IS NOT NULL THEN json_object(
                        'form', json(i.form), 'answers', json(i.answers), 'answered_at', i.answered_at,
                        'answered_by', i.answered_by_kind, 'agreed_at', i.agreed_at) END)))
                    FROM (SELECT * FROM order_line WHERE order_id = o.id ORDER BY start_at, rowid) l
                    LEFT JOIN order_intake i ON i.line_id = l.id
                    WHERE i.line_id IS NOT NULL OR (o.{OPEN} AND EXISTS (SELECT 1 FROM service
                        WHERE id = l.service_id AND intake IS NOT NULL))),
                'items', (SELECT json_group_array(json_object('item_id', item_id, 'name', name,
                    'price_fen', price_fen, 'quantity', quantity)) FROM (SELECT * FROM order_item
                    WHERE order_id = o.id ORDER BY position))) AS json
             FROM orders o WHERE o.id = ?1"
        ),
        order_id
    )
}

/// Deletes answers for lines that ended before an instant, a few thousand at a time.
#[must_use]
pub fn expire(before: i64) -> Statement {
    sql!(
        "DELETE FROM order_intake WHERE line_id IN (SELECT line_id FROM order_intake
            WHERE end_at < ?1 ORDER BY end_at LIMIT ?2)",
        before,
        EXPIRE_ROWS
    )
}
