//! The SQL of messages.

use crate::d1::{Statement, precondition};
use crate::http::fields::Id;
use crate::reminder::Notice;
use crate::sql;

/// Consents of one member and template that are kept, at most.
const MAX_BALANCE: i64 = 100;
/// How long what became of a message is kept.
const KEPT_MS: i64 = 180 * 86_400_000;
/// Rows deleted in one run.
const EXPIRE_ROWS: i64 = 5_000;

/// Written again only when it was skipped: what is on its way or has gone out is told once.
macro_rules! once {
    () => {
        "ON CONFLICT (subject, kind, recipient, lead_minutes, occasion) DO UPDATE SET
            state = 'pending', due_at = excluded.due_at, expires_at = excluded.expires_at,
            sessions = excluded.sessions, reason = NULL, done_at = NULL WHERE state = 'skipped'"
    };
}

/// Writes the messages that follow from a change of orders, as their rows are when this statement runs: it
/// comes last in their batch. `due` is a JSON list of `super::Row`. The customer is told of the first
/// line, each technician who is on the staff, and has been asked or assigned, of theirs; but of seats in
/// a class that they hold anyway; of one line alone when `due` names it, and at one start alone when `due`
/// does. An order without a line is no appointment: only its end is told. With a `status`, only while the
/// order has it.
#[must_use]
pub fn follow(due: &str, status: Option<&str>, now: i64) -> Statement {
    sql!(
        concat!(
            "WITH due AS MATERIALIZED (
                SELECT value ->> 'order_id' AS order_id,
                    (value ->> 'to') || (value ->> 'order_id') AS whose, value ->> 'kind' AS kind,
                    value ->> 'of_plan' AS of_plan, value ->> 'of_asked' AS of_asked,
                    value ->> 'lead_minutes' AS lead_minutes, value ->> 'due_at' AS due_at,
                    value ->> 'expires_at' AS expires_at, value ->> 'at_once' AS at_once,
                    value ->> 'line_id' AS line_id, value ->> 'start_at' AS start_at,
                    value ->> 'sessions' AS sessions FROM json_each(?1)),
            line AS (
                SELECT * FROM order_line l WHERE order_id IN (SELECT order_id FROM due)
                    AND NOT EXISTS (SELECT 1 FROM due WHERE line_id <> l.id)
                    AND (status = 'live' OR NOT EXISTS (
                        SELECT 1 FROM order_line WHERE order_id = l.order_id AND status = 'live'))),
            told AS (
                SELECT 'customer' || o.id AS whose, 'customer' AS recipient, o.id AS order_id, o.version,
                    o.plan_id IS NOT NULL AS planned, 0 AS asked, coalesce(l.id, o.id) AS subject,
                    l.id AS line_id, o.store_id, l.service_id, l.technician_id,
                    coalesce(min(l.start_at), o.start_at) AS start_at
                FROM orders o LEFT JOIN line l ON l.order_id = o.id
                WHERE o.id IN (SELECT order_id FROM due) AND (?3 IS NULL OR o.status = ?3)
                GROUP BY o.id
                UNION ALL
                SELECT 'technician' || o.id, 'technician:' || l.technician_id, o.id, o.version,
                    o.plan_id IS NOT NULL, l.assignment = 'asked', l.id, l.id, o.store_id, l.service_id,
                    l.technician_id, min(l.start_at)
                FROM line l JOIN orders o ON o.id = l.order_id
                WHERE (?3 IS NULL OR o.status = ?3) AND l.assignment IN ('assigned', 'asked')
                    AND l.session_id IS NULL AND EXISTS (SELECT 1 FROM staff s
                        WHERE s.technician_id = l.technician_id AND s.status = 'active')
                GROUP BY o.id, l.technician_id)
            INSERT INTO reminder (id, kind, recipient, order_id, subject, store_id, service_id,
                technician_id, start_at, lead_minutes, occasion, due_at, expires_at, at_once, sessions,
                created_at)
            SELECT lower(hex(randomblob(16))), t.kind, t.recipient, t.order_id, t.subject,
                t.store_id, t.service_id, t.technician_id, t.start_at, t.lead_minutes,
                CASE t.lead_minutes WHEN 0 THEN t.version ELSE t.start_at END,
                t.due_at, t.expires_at, t.at_once, t.sessions, ?2
            FROM (SELECT told.*, d.lead_minutes, d.due_at, d.expires_at, d.at_once, d.sessions,
                    CASE WHEN told.asked THEN d.of_asked WHEN told.planned THEN d.of_plan
                        ELSE d.kind END AS kind
                FROM told JOIN due d ON d.whose = told.whose
                    AND (d.start_at IS NULL OR d.start_at = told.start_at)) t
            WHERE t.kind IS NOT NULL
                AND (t.line_id IS NOT NULL OR t.kind IN ('cancelled', 'lost', 'no_show')) ",
            once!()
        ),
        due,
        now,
        status
    )
}

/// A service's minutes before the visit, with a store's clock.
#[must_use]
pub fn terms(service_id: &Id, store_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('reminder_minutes', json(s.reminder_minutes),
            'time_zone', (SELECT time_zone FROM store WHERE id = ?2)) AS json
         FROM service s WHERE s.id = ?1",
        service_id,
        store_id
    )
}

/// As [`terms`], of an order's line.
#[must_use]
pub fn terms_of(line_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('reminder_minutes', json(s.reminder_minutes),
            'time_zone', (SELECT time_zone FROM store WHERE id = l.store_id)) AS json
         FROM order_line l JOIN service s ON s.id = l.service_id WHERE l.id = ?1",
        line_id
    )
}

/// Tells technicians whom lines have left; in the batch of the move, after it. `left` is a JSON list of
/// `[line, technician, start_at, expires_at, sessions]`.
#[must_use]
pub fn left(left: &str, now: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO reminder (id, kind, recipient, order_id, subject, store_id, service_id,
                technician_id, start_at, occasion, due_at, expires_at, sessions, created_at)
            SELECT lower(hex(randomblob(16))), 'cancelled', 'technician:' || (value ->> 1), o.id, l.id,
                l.store_id, l.service_id, value ->> 1, value ->> 2, o.version, ?2, value ->> 3,
                value ->> 4, ?2
            FROM json_each(?1) JOIN order_line l ON l.id = value ->> 0 JOIN orders o ON o.id = l.order_id
            WHERE true ",
            once!()
        ),
        left,
        now
    )
}

/// Tells technicians (a JSON list of ids) who are on the staff of a line that is offered to them all, until
/// `expires_at`; in the batch that offers it, after it.
#[must_use]
pub fn offered(line_id: &Id, technicians: &str, now: i64, expires_at: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO reminder (id, kind, recipient, order_id, subject, store_id, service_id,
                technician_id, start_at, occasion, due_at, expires_at, created_at)
            SELECT lower(hex(randomblob(16))), 'offered', 'technician:' || value, o.id, l.id, l.store_id,
                l.service_id, value, l.start_at, o.version, ?3, ?4, ?3
            FROM json_each(?2) JOIN order_line l ON l.id = ?1 JOIN orders o ON o.id = l.order_id
            WHERE EXISTS (SELECT 1 FROM staff s WHERE s.technician_id = value AND s.status = 'active') ",
            once!()
        ),
        line_id,
        technicians,
        now,
        expires_at
    )
}

/// Tells the technicians, when they are on the staff, of classes that they hold, as the rows are when this
/// statement runs. `due` is a JSON list of `[session, kind, lead_minutes, due_at, expires_at, sessions]`.
#[must_use]
pub fn classes(due: &str, now: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO reminder (id, kind, recipient, subject, store_id, service_id, technician_id,
                start_at, lead_minutes, occasion, due_at, expires_at, sessions, created_at)
            SELECT lower(hex(randomblob(16))), value ->> 1, 'technician:' || c.technician_id, c.id,
                c.store_id, c.service_id, c.technician_id, c.start_at, value ->> 2,
                CASE value ->> 2 WHEN 0 THEN c.version ELSE c.start_at END,
                value ->> 3, value ->> 4, value ->> 5, ?2
            FROM json_each(?1) JOIN session c ON c.id = value ->> 0
            WHERE EXISTS (SELECT 1 FROM staff s WHERE s.technician_id = c.technician_id
                AND s.status = 'active') ",
            once!()
        ),
        due,
        now
    )
}

/// Writes a message that another part asks for.
#[must_use]
pub fn enqueue(notice: &Notice<'_>, now: i64) -> Statement {
    sql!(
        concat!(
            "INSERT INTO reminder (id, kind, recipient, order_id, subject, member_id, store_id,
                service_id, technician_id, start_at, lead_minutes, occasion, due_at, expires_at,
                created_at)
            SELECT lower(hex(randomblob(16))), ?1, 'customer', ?2, ?3, ?4, ?5, ?6, ?7,
                ?8, ?9, ?10, ?11,
                ?12, ?13 WHERE true ",
            once!()
        ),
        notice.kind.as_str(),
        notice.order_id,
        notice.subject,
        notice.member_id,
        notice.store_id,
        notice.service_id,
        notice.technician_id,
        notice.start_at,
        notice.lead_minutes,
        notice.occasion,
        notice.due_at,
        notice.expires_at,
        now
    )
}

/// What is still to be told of a subject is not told any more.
#[must_use]
pub fn withdraw(subject: &str, now: i64) -> Statement {
    sql!(
        "UPDATE reminder SET state = 'skipped', reason = 'withdrawn', done_at = ?2
         WHERE subject = ?1 AND state = 'pending'",
        subject,
        now
    )
}

/// Whether what message `r` speaks of besides its order's line `l` is still so. Without an order, and not to
/// who waits, it is of a class.
const HOLDS: &str = "CASE WHEN r.kind = 'asked' THEN l.assignment = 'asked'
    WHEN r.kind = 'offered' THEN l.assignment = 'offered'
    WHEN r.kind = 'proposal' THEN EXISTS (SELECT 1 FROM express
        WHERE order_id = r.order_id AND state = 'proposed' AND due_at = r.expires_at)
    WHEN r.kind = 'waitlist_offer' THEN EXISTS (SELECT 1 FROM waitlist
        WHERE id = r.subject AND status = 'offered')
    WHEN r.order_id IS NULL THEN (r.kind = 'cancelled') <> EXISTS (SELECT 1 FROM session
        WHERE id = r.subject AND status = 'scheduled')
    ELSE true END";

/// Messages that are due, with all that decides and says them.
#[must_use]
pub fn due(now: i64, limit: u32) -> Statement {
    sql!(
        format!("SELECT json_object('id', r.id, 'kind', r.kind, 'recipient', r.recipient,
            'order_id', r.order_id, 'start_at', r.start_at, 'due_at', r.due_at,
            'expires_at', CASE WHEN r.kind = 'asked' THEN min(r.expires_at,
                coalesce(l.answer_by, r.expires_at)) ELSE r.expires_at END,
            'at_once', json(iif(r.at_once, 'true', 'false')),
            'attempts', r.attempts, 'wechat_refused', json(iif(r.wechat_refused, 'true', 'false')),
            'superseded', json(iif(EXISTS (SELECT 1 FROM reminder n WHERE n.subject = r.subject
                AND n.kind IN ('booked', 'changed', 'cancelled', 'asked') AND n.recipient = r.recipient
                AND n.lead_minutes = 0 AND n.occasion > r.occasion), 'true', 'false')),
            'holds', json(iif({HOLDS}, 'true', 'false')),
            'appointment', CASE WHEN o.id IS NOT NULL THEN json_object(
                'status', o.status, 'version', o.version, 'line_version', coalesce(l.version, 0),
                'live', json(iif(l.status = 'live', 'true', 'false')),
                'begun', json(iif(l.started_at IS NULL, 'false', 'true')),
                'start_at', coalesce(l.start_at, o.start_at),
                'technician_id', iif(l.assignment IN ('assigned', 'asked'), l.technician_id, NULL)) END,
            'says', json_object('time_zone', s.time_zone, 'store', s.name, 'address', s.address,
                'phone', s.phone, 'sessions', r.sessions,
                'service', (SELECT name FROM service WHERE id = r.service_id),
                'technician', (SELECT name FROM technician WHERE id = r.technician_id
                    AND l.assignment IS NOT 'provisional'),
                'customer', coalesce(CASE WHEN r.recipient <> 'customer' THEN l.guest END,
                    nullif(o.contact_name, ''), m.nickname)),
            'contact', json_object('member_id', m.id, 'openid', m.openid,
                'phone', CASE WHEN r.recipient = 'customer'
                    THEN coalesce(nullif(o.contact_phone, ''), m.phone)
                    ELSE (SELECT phone FROM staff WHERE technician_id = substr(r.recipient, 12)
                        AND status = 'active' ORDER BY id LIMIT 1) END,
                'consents', (SELECT json_group_array(template_id) FROM message_consent
                    WHERE member_id = m.id AND balance > 0))) AS json
         FROM reminder r JOIN store s ON s.id = r.store_id
         LEFT JOIN orders o ON o.id = r.order_id
         LEFT JOIN order_line l ON l.id = r.subject AND l.order_id = r.order_id
         LEFT JOIN member m ON m.id = coalesce(o.member_id,
            (SELECT coalesce(merged_into, id) FROM member WHERE id = r.member_id))
         WHERE r.state = 'pending' AND r.due_at <= ?1 ORDER BY r.due_at LIMIT ?2"),
        now,
        limit
    )
}

/// Takes a message for sending: whoever else wants it, or any change of its appointment since it was
/// read (`versions` of order and line), stops the batch as `reminder_pending`.
#[must_use]
pub fn claim(id: &Id, versions: Option<(i64, i64)>, channel: &str, now: i64) -> [Statement; 2] {
    let (order, line) = versions.unzip();
    [
        precondition(
            "reminder_pending",
            "EXISTS (SELECT 1 FROM reminder r WHERE r.id = ?1 AND r.state = 'pending' AND (?2 IS NULL
                OR EXISTS (SELECT 1 FROM orders o
                    LEFT JOIN order_line l ON l.id = r.subject AND l.order_id = o.id
                    WHERE o.id = r.order_id AND o.version = ?2 AND coalesce(l.version, 0) = ?3)))",
            vec![id.into(), order.into(), line.into()],
        ),
        sql!(
            "UPDATE reminder SET state = 'sending', channel = ?2, claimed_at = ?3,
                attempts = attempts + 1 WHERE id = ?1",
            id,
            channel,
            now
        ),
    ]
}

/// Uses one consent up, in the batch of the claim; raises `message_consent_balance` when there is none.
#[must_use]
pub fn use_consent(member_id: &Id, template_id: &str, now: i64) -> [Statement; 2] {
    [
        precondition(
            "message_consent_balance",
            "EXISTS (SELECT 1 FROM message_consent WHERE member_id = ?1 AND template_id = ?2)",
            vec![member_id.into(), template_id.into()],
        ),
        sql!(
            "UPDATE message_consent SET balance = balance - 1, updated_at = ?3
             WHERE member_id = ?1 AND template_id = ?2",
            member_id,
            template_id,
            now
        ),
    ]
}

/// Gives a consent back whose message WeChat has not taken.
#[must_use]
pub fn give_consent_back(member_id: &Id, template_id: &str, now: i64) -> Statement {
    sql!(
        "UPDATE message_consent SET balance = balance + 1, updated_at = ?3
         WHERE member_id = ?1 AND template_id = ?2",
        member_id,
        template_id,
        now
    )
}

/// WeChat knows of no consent: neither do we.
#[must_use]
pub fn void_consents(member_id: &Id, template_id: &str, now: i64) -> Statement {
    sql!(
        "UPDATE message_consent SET balance = 0, updated_at = ?3
         WHERE member_id = ?1 AND template_id = ?2",
        member_id,
        template_id,
        now
    )
}

/// Adds a consent each, to a limit. `templates` is a JSON list of ids.
#[must_use]
pub fn add_consents(member_id: &Id, templates: &str, now: i64) -> Statement {
    sql!(
        "INSERT INTO message_consent (member_id, template_id, balance, updated_at)
         SELECT ?1, value, 1, ?3 FROM json_each(?2) WHERE true
         ON CONFLICT (member_id, template_id) DO UPDATE SET
            balance = min(balance + 1, ?4), updated_at = excluded.updated_at",
        member_id,
        templates,
        now,
        MAX_BALANCE
    )
}

/// A member's consents that are left, by template.
#[must_use]
pub fn consents(member_id: &Id) -> Statement {
    sql!(
        "SELECT json_group_object(template_id, balance) AS json FROM message_consent
         WHERE member_id = ?1 AND balance > 0",
        member_id
    )
}

/// A message that was taken for sending has gone out.
#[must_use]
pub fn sent(id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE reminder SET state = 'sent', done_at = ?2 WHERE id = ?1 AND state = 'sending'",
        id,
        now
    )
}

/// A message that was taken for sending ends in another way: `failed`, or `unknown`.
#[must_use]
pub fn ended(id: &Id, state: &str, reason: &str, now: i64) -> Statement {
    sql!(
        "UPDATE reminder SET state = ?2, reason = ?3, done_at = ?4 WHERE id = ?1 AND state = 'sending'",
        id,
        state,
        reason,
        now
    )
}

/// A message that was taken for sending has certainly not gone out: it waits again until `due_at`, for
/// SMS when WeChat has refused it.
#[must_use]
pub fn put_back(id: &Id, due_at: i64, wechat_refused: bool, reason: &str) -> Statement {
    sql!(
        "UPDATE reminder SET state = 'pending', channel = NULL, claimed_at = NULL, due_at = ?2,
            wechat_refused = max(wechat_refused, ?3), reason = ?4
         WHERE id = ?1 AND state = 'sending'",
        id,
        due_at,
        wechat_refused,
        reason
    )
}

/// A message that waits is looked at again at `due_at`.
#[must_use]
pub fn wait(id: &Id, due_at: i64, attempts: i64) -> Statement {
    sql!(
        "UPDATE reminder SET due_at = ?2, attempts = ?3 WHERE id = ?1 AND state = 'pending'",
        id,
        due_at,
        attempts
    )
}

/// A message that waits is never sent.
#[must_use]
pub fn skip(id: &Id, reason: &str, now: i64) -> Statement {
    sql!(
        "UPDATE reminder SET state = 'skipped', reason = ?2, done_at = ?3
         WHERE id = ?1 AND state = 'pending'",
        id,
        reason,
        now
    )
}

/// Of what was taken for sending before `claimed_before` it will never be known whether it went out.
#[must_use]
pub fn give_up(claimed_before: i64, now: i64) -> Statement {
    sql!(
        "UPDATE reminder SET state = 'unknown', reason = 'interrupted', done_at = ?2
         WHERE state = 'sending' AND claimed_at < ?1 RETURNING 'true' AS json",
        claimed_before,
        now
    )
}

/// An order's messages, the earliest due first, one more than `limit`, after one.
#[must_use]
pub fn of_order(order_id: &Id, after: Option<(i64, String)>, limit: u32) -> Statement {
    let (after_due, after_id) = after.unzip();
    sql!(
        "SELECT json_object('id', id, 'kind', kind, 'recipient', recipient, 'start_at', start_at,
            'lead_minutes', lead_minutes, 'due_at', due_at, 'state', state, 'channel', channel,
            'reason', reason, 'done_at', done_at,
            'technician_name', (SELECT name FROM technician WHERE id = substr(recipient, 12))) AS json
         FROM reminder WHERE order_id = ?1
            AND (?2 IS NULL OR (due_at, id) > (CAST(?2 AS INTEGER), ?3))
         ORDER BY due_at, id LIMIT ?4",
        order_id,
        after_due,
        after_id,
        limit + 1
    )
}

/// Whose an order is: who may see its messages.
#[must_use]
pub fn order_of(order_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('store_id', o.store_id, 'time_zone', s.time_zone,
            'technicians', (SELECT json_group_array(technician_id) FROM order_line
                WHERE order_id = o.id AND technician_id IS NOT NULL)) AS json
         FROM orders o JOIN store s ON s.id = o.store_id WHERE o.id = ?1",
        order_id
    )
}

/// Deletes what nobody asks about any more.
#[must_use]
pub fn expire(now: i64) -> Statement {
    sql!(
        "DELETE FROM reminder WHERE id IN (SELECT id FROM reminder
            WHERE state IN ('sent', 'skipped', 'failed', 'unknown') AND due_at < ?1 LIMIT ?2)",
        now - KEPT_MS,
        EXPIRE_ROWS
    )
}
