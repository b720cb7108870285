//! The SQL of what comes with a booking.

use crate::d1::{Statement, precondition};
use crate::error::{Answer, Problem};
use crate::extras::answers::Answered;
use crate::http::fields::Id;
use crate::order::Actor;
use crate::sql;

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

/// Writes an order's answers in place of those before, unless the service's form is another by now
/// (raises `intake_version`).
///
/// # Errors
/// None in practice.
pub fn put_intake(
    order_id: &Id,
    service_id: &Id,
    answered: &Answered,
    actor: &Actor,
    now: i64,
) -> Answer<[Statement; 2]> {
    let form = serde_json::to_string(&answered.form).map_err(Problem::internal)?;
    let answers = serde_json::to_string(&answered.answers).map_err(Problem::internal)?;
    Ok([
        precondition(
            "intake_version",
            "EXISTS (SELECT 1 FROM service WHERE id = ?1 AND intake ->> 'version' = ?2)",
            vec![service_id.into(), answered.form.version.into()],
        ),
        sql!(
            "INSERT INTO order_intake (order_id, service_id, form, answers, answered_at,
                answered_by_kind, answered_by, agreed_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (order_id) DO UPDATE SET service_id = excluded.service_id,
                form = excluded.form, answers = excluded.answers,
                answered_at = excluded.answered_at, answered_by_kind = excluded.answered_by_kind,
                answered_by = excluded.answered_by, agreed_at = excluded.agreed_at",
            order_id,
            service_id,
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
        "SELECT json_object('member_id', member_id, 'store_id', store_id, 'service_id', service_id,
            'start_at', start_at, 'time_zone',
            (SELECT time_zone FROM store WHERE id = orders.store_id),
            'form', (SELECT json(intake) FROM service WHERE id = orders.service_id)) AS json
         FROM orders WHERE id = ?1",
        order_id
    )
}

/// The visit of the order is not over (raises `order_open`).
#[must_use]
pub fn is_open(order_id: &Id) -> Statement {
    precondition(
        "order_open",
        "EXISTS (SELECT 1 FROM orders WHERE id = ?1
            AND status IN ('pending_payment', 'paid', 'confirmed', 'in_service'))",
        vec![order_id.into()],
    )
}

/// The answers and items of an order.
#[must_use]
pub fn seen(order_id: &Id) -> Statement {
    sql!(
        "SELECT json_object(
            'intake', (SELECT json_object('form', json(form), 'answers', json(answers),
                'answered_at', answered_at, 'answered_by', answered_by_kind, 'agreed_at', agreed_at)
                FROM order_intake WHERE order_id = o.id),
            'asks', json(CASE WHEN EXISTS (SELECT 1 FROM service
                WHERE id = o.service_id AND intake IS NOT NULL) THEN 'true' ELSE 'false' END),
            'items', (SELECT json_group_array(json_object('item_id', item_id, 'name', name,
                'price_fen', price_fen, 'quantity', quantity)) FROM (SELECT * FROM order_item
                WHERE order_id = o.id ORDER BY position))) AS json
         FROM orders o WHERE o.id = ?1",
        order_id
    )
}
