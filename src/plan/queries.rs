//! The SQL of plans.

use zhundian_domain::order::Status;

use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::order::queries::live_claims;
use crate::sql;

const FEATURES: &str = "json_object('plans', json(CASE plans WHEN 1 THEN 'true' ELSE 'false' END), 'version', version)";

/// SQL that is true while plans are on.
pub const PLANS_ON: &str = "EXISTS (SELECT 1 FROM feature WHERE plans = 1)";

/// What is turned on.
#[must_use]
pub fn features() -> Statement {
    sql!(format!("SELECT {FEATURES} AS json FROM feature"))
}

/// Turns plans on or off, if nothing was changed since `version`; answers what is on now.
#[must_use]
pub fn set_features(plans: bool, version: i64, now: i64) -> Statement {
    sql!(
        format!(
            "UPDATE feature SET plans = ?1, version = version + 1, updated_at = ?3 WHERE version = ?2
             RETURNING {FEATURES} AS json"
        ),
        plans,
        version,
        now
    )
}

/// What a plan's sessions have in common.
pub struct Terms<'a> {
    /// The plan.
    pub plan_id: &'a Id,
    /// Whose.
    pub member_id: &'a Id,
    /// The store.
    pub store_id: &'a Id,
    /// The service.
    pub service_id: &'a Id,
    /// By whom.
    pub technician_id: &'a Id,
    /// Of their orders.
    pub status: Status,
    /// Of one session, in fen.
    pub total_fen: i64,
    /// JSON of the price's parts.
    pub price_parts: &'a str,
    /// JSON of what comes back when one is given up.
    pub cancellation: &'a str,
    /// Least minutes before the start for the member to change one.
    pub change_notice_minutes: i64,
    /// Most appointments of the service a store and date.
    pub max_per_day: Option<i64>,
    /// Who comes.
    pub contact_name: &'a str,
    /// Their phone.
    pub contact_phone: &'a str,
    /// For the technician.
    pub note: &'a str,
    /// Who makes it.
    pub staff_id: &'a Id,
    /// UTC milliseconds.
    pub now: i64,
}

/// What must hold when sessions (`[{"date": …}, …]`) are committed. None of them has a line yet.
#[must_use]
pub fn plan_stands(terms: &Terms, sessions: &str) -> Statement {
    sql!(
        format!(
            "INSERT INTO precondition (name, ok) VALUES
                ('plans_on', {PLANS_ON}),
                ('service_bookable', EXISTS (SELECT 1 FROM service WHERE id = ?1 AND status = 'active')),
                ('store_open', EXISTS (SELECT 1 FROM store WHERE id = ?2 AND status = 'open')),
                ('technician_active',
                    EXISTS (SELECT 1 FROM technician WHERE id = ?3 AND status = 'active')),
                ('member_known', EXISTS (SELECT 1 FROM member WHERE id = ?4 AND status = 'active')),
                ('daily_limit', ?5 IS NULL OR NOT EXISTS (
                    SELECT 1 FROM json_each(?6) GROUP BY value ->> 'date'
                    HAVING count(*) + (SELECT count(*) FROM order_line WHERE service_id = ?1
                        AND store_id = ?2 AND date = value ->> 'date' AND status = 'live') > ?5))"
        ),
        terms.service_id,
        terms.store_id,
        terms.technician_id,
        terms.member_id,
        terms.max_per_day,
        sessions
    )
}

/// Writes the plan's row.
#[must_use]
pub fn insert_plan(
    terms: &Terms,
    repetition: &str,
    card_id: Option<&Id>,
    room_id: Option<&Id>,
) -> Statement {
    sql!(
        "INSERT INTO plan (id, member_id, store_id, service_id, technician_id, repetition, card_id, note,
            made_by, created_at, room_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        terms.plan_id,
        terms.member_id,
        terms.store_id,
        terms.service_id,
        terms.technician_id,
        repetition,
        card_id,
        terms.note,
        terms.staff_id,
        terms.now,
        room_id
    )
}

/// Writes an order, a line and an event for each session: `[{"order_id", "event_id", "claim_id", "number",
/// "start_at", "end_at", "block_start", "block_end", "date"}, …]`. A line's id is its first claim's.
#[must_use]
pub fn insert_sessions(terms: &Terms, sessions: &str) -> [Statement; 3] {
    [
        sql!(
            "INSERT INTO orders (id, plan_id, session_number, start_at, member_id, store_id, service_id,
                technician_id, status, mode, payment, total_fen, due_fen, price_parts, cancellation,
                change_notice_minutes, contact_name, contact_phone, note, created_at, updated_at, max_moves)
             SELECT value ->> 'order_id', ?2, value ->> 'number', value ->> 'start_at', ?3, ?4, ?5, ?6, ?7,
                'plan', 'at_store', ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15,
                (SELECT max_moves FROM service WHERE id = ?5)
             FROM json_each(?1)",
            sessions,
            terms.plan_id,
            terms.member_id,
            terms.store_id,
            terms.service_id,
            terms.technician_id,
            terms.status.as_str(),
            terms.total_fen,
            terms.price_parts,
            terms.cancellation,
            terms.change_notice_minutes,
            terms.contact_name,
            terms.contact_phone,
            terms.note,
            terms.now
        ),
        sql!(
            "INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id,
                start_at, end_at, block_start, block_end, date, status, price_fen)
             SELECT value ->> 'claim_id', value ->> 'order_id', 'appointment', ?2, ?3, ?4,
                value ->> 'claim_id', value ->> 'start_at', value ->> 'end_at', value ->> 'block_start',
                value ->> 'block_end', value ->> 'date', 'live', ?5
             FROM json_each(?1)",
            sessions,
            terms.store_id,
            terms.service_id,
            terms.technician_id,
            terms.total_fen
        ),
        sql!(
            "INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
             SELECT value ->> 'event_id', value ->> 'order_id', ?2, 'booked', 'staff', ?3, json_object(
                'plan_id', ?4, 'start_at', value ->> 'start_at', 'technician_id', ?5)
             FROM json_each(?1)",
            sessions,
            terms.now,
            terms.staff_id,
            terms.plan_id,
            terms.technician_id
        ),
    ]
}

/// Writes the claims of sessions besides the technician's: `[{"order_id", "line_id", "claim_id", "calendar",
/// "start_at", "end_at", "block_start", "block_end"}, …]`; raises `resources_exist` when a room has been
/// retired.
#[must_use]
pub fn insert_besides(claims: &str, store_id: &Id) -> [Statement; 2] {
    let in_use = precondition(
        "resources_exist",
        "NOT EXISTS (SELECT 1 FROM json_each(?1) WHERE substr(value ->> 'calendar', 1, 5) = 'room:'
            AND NOT EXISTS (SELECT 1 FROM resource WHERE id = substr(value ->> 'calendar', 6)
                AND status = 'active'))",
        vec![claims.into()],
    );
    let insert = sql!(
        "INSERT INTO line_claim (claim_id, line_id, order_id, store_id, calendar, start_at, end_at,
            block_start, block_end, status)
         SELECT value ->> 'claim_id', value ->> 'line_id', value ->> 'order_id', ?2, value ->> 'calendar',
            value ->> 'start_at', value ->> 'end_at', value ->> 'block_start', value ->> 'block_end',
            'live' FROM json_each(?1)",
        claims,
        store_id
    );
    [in_use, insert]
}

/// Answers a row when a room or a piece of equipment of a store can be used.
#[must_use]
pub fn room(id: Option<&Id>, store_id: &Id) -> Statement {
    sql!(
        "SELECT 'true' AS json FROM resource WHERE id = ?1 AND store_id = ?2 AND status = 'active'",
        id,
        store_id
    )
}

/// A plan's row as [`super::see::PlanRow`] reads it, without its sessions; `p` is the plan.
const PLAN: &str = "'id', p.id, 'member_id', p.member_id,
    'member_name', (SELECT nickname FROM member WHERE id = p.member_id),
    'store_id', p.store_id, 'store_name', s.name, 'time_zone', s.time_zone,
    'service_id', p.service_id, 'service_name', (SELECT name FROM service WHERE id = p.service_id),
    'technician_id', p.technician_id,
    'technician_name', (SELECT name FROM technician WHERE id = p.technician_id),
    'room_id', p.room_id, 'repetition', json(p.repetition), 'card_id', p.card_id, 'note', p.note, 'created_at', p.created_at,
    'progress', (SELECT json_object(
        'total', count(*) FILTER (WHERE status NOT IN ('cancelled', 'closed')),
        'done', count(session_done_at), 'missed', count(*) FILTER (WHERE status = 'no_show'),
        'cancelled', count(*) FILTER (WHERE status IN ('cancelled', 'closed')),
        'next_at', min(start_at) FILTER (WHERE session_done_at IS NULL
            AND status NOT IN ('cancelled', 'closed', 'no_show')))
        FROM orders WHERE plan_id = p.id)";

/// A page of plans and one more, the newest first.
#[must_use]
pub fn list(
    member_id: Option<&Id>,
    store_id: Option<&Id>,
    after: Option<&Id>,
    limit: u32,
) -> Statement {
    let mut params = vec![Param::from(limit + 1)];
    let mut terms = Vec::new();
    let wanted = [("p.member_id =", member_id), ("p.store_id =", store_id), ("p.id <", after)];
    for (term, id) in wanted {
        if let Some(id) = id {
            params.push(id.into());
            terms.push(format!("{term} ?{}", params.len()));
        }
    }
    let terms = terms.join(" AND ");
    Statement::new(
        format!(
            "SELECT json_object({PLAN}) AS json FROM plan p JOIN store s ON s.id = p.store_id
             WHERE {terms} ORDER BY p.id DESC LIMIT ?1"
        ),
        params,
    )
}

/// A plan with its sessions by time.
#[must_use]
pub fn plan(id: &Id) -> Statement {
    sql!(
        format!(
            "SELECT json_object({PLAN}, 'sessions', (SELECT json_group_array(json_object(
                'id', o.id, 'number', o.session_number, 'status', o.status,
                'technician_id', l.technician_id,
                'technician_name', (SELECT name FROM technician WHERE id = l.technician_id),
                'start_at', l.start_at, 'end_at', l.end_at, 'done_at', o.session_done_at,
                'version', o.version) ORDER BY l.start_at)
                FROM orders o JOIN order_line l ON l.order_id = o.id WHERE o.plan_id = p.id)) AS json
             FROM plan p JOIN store s ON s.id = p.store_id WHERE p.id = ?1"
        ),
        id
    )
}

/// The plan's sessions that are not over, by time, as [`super::change::Open`] reads them.
#[must_use]
pub fn open_sessions(plan_id: &Id) -> Statement {
    let claims = live_claims("o.id", " AND line_id = l.id");
    let sql = format!(
        "SELECT json_group_array(json_object('id', o.id, 'status', o.status, 'version', o.version,
            'line_id', l.id, 'technician_id', l.technician_id,
            'claims', {claims},
            'start_at', l.start_at, 'paid', json(CASE WHEN EXISTS (SELECT 1 FROM payment
                WHERE order_id = o.id AND status <> 'closed') THEN 'true' ELSE 'false' END))
            ORDER BY l.start_at) AS json
         FROM orders o JOIN order_line l ON l.order_id = o.id
         WHERE o.plan_id = ?1 AND o.session_done_at IS NULL
            AND o.status IN ('pending_payment', 'paid', 'confirmed', 'in_service')"
    );
    Statement::new(sql, vec![plan_id.into()])
}

/// What a change of a plan needs to know of it.
#[must_use]
pub fn to_change(plan_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('store_id', p.store_id, 'service_id', p.service_id) AS json
         FROM plan p WHERE p.id = ?1",
        plan_id
    )
}

/// Stops the batch with `order_version` unless every order (`[{"order_id", "version"}, …]`) is as it was
/// read.
#[must_use]
pub fn are_at(orders: &str) -> Statement {
    precondition(
        "order_version",
        "NOT EXISTS (SELECT 1 FROM json_each(?1) LEFT JOIN orders o ON o.id = value ->> 'order_id'
            WHERE o.version IS NOT value ->> 'version')",
        vec![orders.into()],
    )
}

/// Cancels orders (`[{"order_id", "event_id"}, …]`) with their lines and an event for each.
#[must_use]
pub fn cancel_all(orders: &str, staff_id: &Id, reason: &str, now: i64) -> [Statement; 4] {
    [
        sql!(
            "UPDATE orders SET status = 'cancelled', version = version + 1, updated_at = ?2
             WHERE id IN (SELECT value ->> 'order_id' FROM json_each(?1))",
            orders,
            now
        ),
        sql!(
            "UPDATE order_line SET status = 'cancelled'
             WHERE order_id IN (SELECT value ->> 'order_id' FROM json_each(?1))",
            orders
        ),
        sql!(
            "UPDATE line_claim SET status = 'cancelled'
             WHERE order_id IN (SELECT value ->> 'order_id' FROM json_each(?1))",
            orders
        ),
        sql!(
            "INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
             SELECT value ->> 'event_id', value ->> 'order_id', ?2, 'cancelled', 'staff', ?3,
                json_object('reason', ?4, 'refund_fen', 0) FROM json_each(?1)",
            orders,
            now,
            staff_id,
            reason
        ),
    ]
}

/// Moves sessions to their new claims: `[{"order_id", "line_id", "event_id", "claim_id", "technician_id",
/// "start_at", "end_at", "block_start", "block_end", "date", "from"}, …]`. Their claims besides the
/// technician's are forgotten, to make room for others.
#[must_use]
pub fn move_all(sessions: &str, staff_id: &Id, now: i64) -> [Statement; 4] {
    [
        sql!(
            "UPDATE orders SET technician_id = to_.value ->> 'technician_id',
                start_at = to_.value ->> 'start_at', version = version + 1, updated_at = ?2
             FROM json_each(?1) AS to_ WHERE orders.id = to_.value ->> 'order_id'",
            sessions,
            now
        ),
        sql!(
            "UPDATE order_line SET technician_id = to_.value ->> 'technician_id',
                claim_id = to_.value ->> 'claim_id', start_at = to_.value ->> 'start_at',
                end_at = to_.value ->> 'end_at', block_start = to_.value ->> 'block_start',
                block_end = to_.value ->> 'block_end', date = to_.value ->> 'date',
                version = version + 1
             FROM json_each(?1) AS to_ WHERE order_line.id = to_.value ->> 'line_id'",
            sessions
        ),
        sql!(
            "DELETE FROM line_claim WHERE line_id IN (SELECT value ->> 'line_id' FROM json_each(?1))",
            sessions
        ),
        sql!(
            "INSERT INTO order_event (id, order_id, at, kind, actor_kind, actor_id, detail)
             SELECT value ->> 'event_id', value ->> 'order_id', ?2, 'moved', 'staff', ?3, json_object(
                'from', value ->> 'from', 'start_at', value ->> 'start_at',
                'technician_id', value ->> 'technician_id')
             FROM json_each(?1)",
            sessions,
            now,
            staff_id
        ),
    ]
}

/// What must hold when sessions are moved (raises as [`plan_stands`] does): their technicians are active,
/// the store is open, and no day is fuller than it may be once they are there.
#[must_use]
pub fn moves_stand(
    sessions: &str,
    store_id: &Id,
    service_id: &Id,
    max_per_day: Option<i64>,
) -> Statement {
    sql!(
        format!(
            "INSERT INTO precondition (name, ok) VALUES
                ('plans_on', {PLANS_ON}),
                ('store_open', EXISTS (SELECT 1 FROM store WHERE id = ?2 AND status = 'open')),
                ('technician_active', NOT EXISTS (SELECT 1 FROM json_each(?1) WHERE NOT EXISTS (
                    SELECT 1 FROM technician WHERE id = value ->> 'technician_id' AND status = 'active'))),
                ('daily_limit', ?4 IS NULL OR NOT EXISTS (
                    SELECT 1 FROM json_each(?1) GROUP BY value ->> 'date'
                    HAVING (SELECT count(*) FROM order_line WHERE service_id = ?3 AND store_id = ?2
                        AND date = value ->> 'date' AND status = 'live') > ?4))"
        ),
        sessions,
        store_id,
        service_id,
        max_per_day
    )
}

/// Sessions whose time is over, the earliest first, at most `limit`.
#[must_use]
pub fn sessions_due(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_object('id', o.id, 'status', o.status, 'version', o.version,
            'total_fen', o.total_fen,
            'paid_fen', coalesce((SELECT balance_fen FROM account WHERE id = 'order:' || o.id), 0)) AS json
         FROM orders o WHERE o.plan_id IS NOT NULL AND o.session_done_at IS NULL
            AND o.status IN ('confirmed', 'in_service', 'completed') AND o.start_at < ?1
            AND (SELECT max(end_at) FROM order_line WHERE order_id = o.id) <= ?1
         ORDER BY o.start_at LIMIT ?2",
        now,
        limit
    )
}

/// Ends sessions that are still as they were read: `[{"order_id", "version", "status", "event_id",
/// "event"}, …]`.
/// The use of the card, when there is one, is due from then on.
#[must_use]
pub fn end_sessions(sessions: &str, now: i64) -> [Statement; 3] {
    [
        sql!(
            "INSERT INTO order_event (id, order_id, at, kind, actor_kind)
             SELECT value ->> 'event_id', o.id, ?2, value ->> 'event', 'system'
             FROM json_each(?1) JOIN orders o ON o.id = value ->> 'order_id'
                AND o.version = value ->> 'version' AND o.session_done_at IS NULL",
            sessions,
            now
        ),
        sql!(
            "INSERT INTO card_use_due (order_id, plan_id, member_id, card_id, due_at)
             SELECT o.id, p.id, p.member_id, p.card_id, ?2
             FROM json_each(?1) JOIN orders o ON o.id = value ->> 'order_id'
                AND o.version = value ->> 'version' AND o.session_done_at IS NULL
             JOIN plan p ON p.id = o.plan_id WHERE p.card_id IS NOT NULL
             ON CONFLICT DO NOTHING",
            sessions,
            now
        ),
        sql!(
            "UPDATE orders SET status = over.value ->> 'status', session_done_at = ?2,
                version = version + 1, updated_at = ?2
             FROM json_each(?1) AS over WHERE orders.id = over.value ->> 'order_id'
                AND orders.version = over.value ->> 'version' AND orders.session_done_at IS NULL",
            sessions,
            now
        ),
    ]
}
