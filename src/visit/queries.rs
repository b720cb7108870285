//! The SQL of the visit.

use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::payment::queries::PAID_FEN;
use crate::sql;

use super::check_in::{MAX_WRONG_CODES, WINDOW_MS};

/// Requires that an order is still as it was read (raises `order_version`).
#[must_use]
pub fn unchanged(order_id: &Id, version: i64) -> Statement {
    precondition(
        "order_version",
        "EXISTS (SELECT 1 FROM orders WHERE id = ?1 AND version = ?2)",
        vec![order_id.into(), version.into()],
    )
}

// Check-in ----------------------------------------------------------------------------------------

/// An order `o` as [`super::check_in`] reads it; `shown` is the SQL of whether its QR code was shown.
fn known(shown: &str) -> String {
    format!(
        "json_object('id', o.id, 'member_id', o.member_id, 'store_id', o.store_id,
            'time_zone', (SELECT time_zone FROM store WHERE id = o.store_id), 'status', o.status,
            'version', o.version, 'start_at', o.start_at, 'checked_in_at', o.checked_in_at,
            'check_in_code', o.check_in_code,
            'technicians', (SELECT json_group_array(technician_id) FROM order_line
                WHERE order_id = o.id AND technician_id IS NOT NULL),
            'shown', json(CASE WHEN {shown} THEN 'true' ELSE 'false' END)) AS json"
    )
}

/// An order to check in for, and whether a QR code was shown before.
#[must_use]
pub fn to_check_in(id: &Id, qr: Option<&str>) -> Statement {
    let known = known("EXISTS (SELECT 1 FROM shown_qr WHERE id = ?2)");
    Statement::new(
        format!("SELECT {known} FROM orders o WHERE o.id = ?1"),
        vec![id.into(), qr.into()],
    )
}

/// A store's coming order with this code.
#[must_use]
pub fn by_code(store_id: &Id, code: &str) -> Statement {
    let known = known("false");
    Statement::new(
        format!(
            "SELECT {known} FROM orders o WHERE o.store_id = ?1 AND o.check_in_code = ?2
                AND o.status IN ('pending_payment', 'paid', 'confirmed', 'in_service')"
        ),
        vec![store_id.into(), code.into()],
    )
}

/// Gives an order the first of several codes (a JSON list) that no coming order of its store has, and
/// answers the one that it has then.
#[must_use]
pub fn give_code(order_id: &Id, candidates: &str) -> [Statement; 2] {
    [
        sql!(
            "UPDATE orders SET check_in_code = (SELECT value FROM json_each(?2) AS candidate
                WHERE NOT EXISTS (SELECT 1 FROM orders AS other
                    WHERE other.store_id = orders.store_id AND other.check_in_code = candidate.value
                    AND other.status IN ('pending_payment', 'paid', 'confirmed', 'in_service'))
                ORDER BY candidate.key LIMIT 1)
             WHERE id = ?1 AND check_in_code IS NULL",
            order_id,
            candidates
        ),
        sql!("SELECT json_quote(check_in_code) AS json FROM orders WHERE id = ?1", order_id),
    ]
}

/// Counts a try of somebody's in their window and answers a row, unless there were too many wrong ones;
/// and when the window ends.
#[must_use]
pub fn count_try(staff_id: &Id, now: i64) -> [Statement; 2] {
    [
        sql!(
            "INSERT INTO check_in_try (staff_id, tries, ends_at) VALUES (?1, 1, ?2 + ?3)
             ON CONFLICT (staff_id) DO UPDATE SET
                tries = CASE WHEN ends_at <= ?2 THEN 1 ELSE tries + 1 END,
                ends_at = CASE WHEN ends_at <= ?2 THEN excluded.ends_at ELSE ends_at END
             WHERE ends_at <= ?2 OR tries < ?4
             RETURNING 'true' AS json",
            staff_id,
            now,
            WINDOW_MS,
            MAX_WRONG_CODES
        ),
        sql!("SELECT json_quote(ends_at) AS json FROM check_in_try WHERE staff_id = ?1", staff_id),
    ]
}

/// A try that was right is no try.
#[must_use]
pub fn uncount_try(staff_id: &Id) -> Statement {
    sql!("UPDATE check_in_try SET tries = max(tries - 1, 0) WHERE staff_id = ?1", staff_id)
}

/// Notes that a QR code was shown (raises `shown_qr_id` when it was before).
#[must_use]
pub fn shown(id: &str, order_id: &Id, expires_at: i64) -> Statement {
    sql!(
        "INSERT INTO shown_qr (id, order_id, expires_at) VALUES (?1, ?2, ?3)",
        id,
        order_id,
        expires_at
    )
}

/// Checks in for an order that is still as it was read (raises `order_version`).
#[must_use]
pub fn check_in(order_id: &Id, version: i64, now: i64) -> [Statement; 2] {
    [
        unchanged(order_id, version),
        sql!(
            "UPDATE orders SET checked_in_at = ?2, version = version + 1, updated_at = ?2 WHERE id = ?1",
            order_id,
            now
        ),
    ]
}

/// The names of what an order's live lines are of, each once, by start: as SQL, of the table and the line's
/// column that point to each other.
fn names(table: &str, column: &str) -> String {
    format!(
        "(SELECT group_concat(name, '、') FROM (SELECT n.name FROM order_line l JOIN {table} n ON n.id = l.{column}
            WHERE l.order_id = o.id AND l.status = 'live' GROUP BY n.id ORDER BY min(l.start_at), min(l.rowid)))"
    )
}

/// A store's appointments of a day, from its start until its end, of customers whose phone ends with
/// these digits.
#[must_use]
pub fn today(
    store_id: &Id,
    technician_id: Option<&Id>,
    digits: &str,
    (from, until): (i64, i64),
) -> Statement {
    let (services, technicians) =
        (names("service", "service_id"), names("technician", "technician_id"));
    sql!(
        format!(
            "SELECT json_object('order_id', o.id, 'status', o.status, 'customer', o.contact_name,
            'phone', CASE o.contact_phone WHEN '' THEN m.phone ELSE o.contact_phone END,
            'service_name', {services}, 'technician_name', {technicians},
            'start_at', o.start_at, 'checked_in_at', o.checked_in_at) AS json
         FROM orders o LEFT JOIN member m ON m.id = o.member_id
         WHERE o.store_id = ?1 AND o.start_at >= ?4 AND o.start_at < ?5
            AND o.status IN ('confirmed', 'in_service', 'completed')
            AND (substr(o.contact_phone, -length(?3)) = ?3 OR substr(m.phone, -length(?3)) = ?3)
            AND (?2 IS NULL OR EXISTS (SELECT 1 FROM order_line
                WHERE order_id = o.id AND technician_id = ?2))
         ORDER BY o.start_at, o.id LIMIT 50"
        ),
        store_id,
        technician_id,
        digits,
        from,
        until
    )
}

// Progress ----------------------------------------------------------------------------------------

/// A line with what decides how far its visit may go.
#[must_use]
pub fn to_keep(line_id: &Id) -> Statement {
    Statement::new(
        format!(
            "SELECT json_object('order_id', o.id, 'store_id', l.store_id,
                'technician_id', l.technician_id,
                'live', json(CASE l.status WHEN 'live' THEN 'true' ELSE 'false' END),
                'status', o.status, 'version', o.version, 'start_at', l.start_at,
                'departed_at', l.departed_at, 'arrived_at', l.arrived_at, 'started_at', l.started_at,
                'finished_at', l.finished_at,
                'others_unfinished', json(CASE WHEN EXISTS (SELECT 1 FROM order_line other
                    WHERE other.order_id = o.id AND other.id <> l.id AND other.status = 'live'
                    AND other.finished_at IS NULL) THEN 'true' ELSE 'false' END),
                'total_fen', o.total_fen, 'paid_fen', {PAID_FEN}) AS json
             FROM order_line l JOIN orders o ON o.id = l.order_id WHERE l.id = ?1"
        ),
        vec![line_id.into()],
    )
}

fn degrees(place: Option<(f64, f64)>) -> (Param, Param) {
    (place.map(|place| place.0).into(), place.map(|place| place.1).into())
}

/// The technician has set out.
#[must_use]
pub fn departed(line_id: &Id, place: Option<(f64, f64)>, now: i64) -> Statement {
    let (latitude, longitude) = degrees(place);
    sql!(
        "UPDATE order_line SET departed_at = ?2, departed_latitude = ?3, departed_longitude = ?4
         WHERE id = ?1 AND departed_at IS NULL",
        line_id,
        now,
        latitude,
        longitude
    )
}

/// The technician is there.
#[must_use]
pub fn arrived(line_id: &Id, place: Option<(f64, f64)>, now: i64) -> Statement {
    let (latitude, longitude) = degrees(place);
    sql!(
        "UPDATE order_line SET arrived_at = ?2, arrived_latitude = ?3, arrived_longitude = ?4
         WHERE id = ?1 AND arrived_at IS NULL",
        line_id,
        now,
        latitude,
        longitude
    )
}

/// The service has begun.
#[must_use]
pub fn started(line_id: &Id, now: i64) -> Statement {
    sql!("UPDATE order_line SET started_at = ?2 WHERE id = ?1 AND started_at IS NULL", line_id, now)
}

/// The service is done, and has begun by then.
#[must_use]
pub fn finished(line_id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE order_line SET finished_at = ?2, started_at = coalesce(started_at, ?2)
         WHERE id = ?1 AND finished_at IS NULL",
        line_id,
        now
    )
}

/// Requires that every photo of a JSON list is there (raises `photos_exist`).
#[must_use]
pub fn photos_exist(ids: &str) -> Statement {
    precondition(
        "photos_exist",
        "NOT EXISTS (SELECT 1 FROM json_each(?1) AS named
            WHERE NOT EXISTS (SELECT 1 FROM photo WHERE id = named.value))",
        vec![ids.into()],
    )
}

/// A line's photos are those of a JSON list.
#[must_use]
pub fn keep_photos(line_id: &Id, ids: &str) -> Statement {
    sql!(
        "INSERT INTO visit_photo (photo_id, line_id, position)
         SELECT value, ?1, key FROM json_each(?2) WHERE true
         ON CONFLICT (line_id, position) DO UPDATE SET photo_id = excluded.photo_id",
        line_id,
        ids
    )
}

/// An order whose customer is served, or was: in this state, checked in, and its time over with
/// something due when `ended`.
#[must_use]
pub fn served(order_id: &Id, status: &str, ended: bool, now: i64) -> Statement {
    sql!(
        "UPDATE orders SET status = ?2, checked_in_at = coalesce(checked_in_at, ?4),
            ended_at = CASE WHEN ?3 THEN coalesce(ended_at, ?4) ELSE ended_at END,
            version = version + 1, updated_at = ?4 WHERE id = ?1",
        order_id,
        status,
        ended,
        now
    )
}

// By themselves -----------------------------------------------------------------------------------

/// Orders whose time has been over for as long as their store says, and which are not about to be
/// no-shows.
#[must_use]
pub fn over(now: i64, limit: u32) -> Statement {
    Statement::new(
        format!(
            "SELECT json_object('id', o.id, 'version', o.version, 'status', o.status,
                'total_fen', o.total_fen, 'paid_fen', {PAID_FEN}) AS json
             FROM orders o INDEXED BY orders_under_way JOIN store s ON s.id = o.store_id
             WHERE o.ended_at IS NULL AND o.status IN ('confirmed', 'in_service') AND o.start_at <= ?1
                AND (SELECT max(end_at) FROM order_line WHERE order_id = o.id AND status = 'live')
                    + s.complete_after_minutes * 60000 <= ?1
                AND (s.no_show_after_minutes IS NULL OR NOT {ABSENT})
             ORDER BY o.start_at, o.id LIMIT ?2"
        ),
        vec![now.into(), limit.into()],
    )
}

/// Whether order `o` has no sign of its customer, nor of a technician on the way. Nobody checks in at home,
/// and a plan's sessions complete by themselves; to a class one comes as to anything else.
const ABSENT: &str = "(o.plan_id IS NULL AND o.address IS NULL AND o.status = 'confirmed' AND o.checked_in_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM order_line WHERE order_id = o.id AND status = 'live'
        AND (departed_at IS NOT NULL OR arrived_at IS NOT NULL OR started_at IS NOT NULL)))";

/// Orders (`[id, version]`) whose customer should have checked in by now, as their store says.
#[must_use]
pub fn absent(now: i64, limit: u32) -> Statement {
    Statement::new(
        format!(
            "SELECT json_array(o.id, o.version) AS json
             FROM orders o INDEXED BY orders_under_way JOIN store s ON s.id = o.store_id
             WHERE o.ended_at IS NULL AND o.status IN ('confirmed', 'in_service')
                AND o.start_at <= ?1 - s.no_show_after_minutes * 60000 AND o.start_at <= ?1 AND {ABSENT}
                AND EXISTS (SELECT 1 FROM order_line WHERE order_id = o.id AND status = 'live')
             ORDER BY o.start_at, o.id LIMIT ?2"
        ),
        vec![now.into(), limit.into()],
    )
}

/// The time of an order is over with something due.
#[must_use]
pub fn ended(order_id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE orders SET ended_at = ?2, version = version + 1, updated_at = ?2 WHERE id = ?1",
        order_id,
        now
    )
}

/// An order whose customer may not have come.
#[must_use]
pub fn to_note_absent(id: &Id) -> Statement {
    sql!(
        "SELECT json_object('member_id', member_id, 'store_id', store_id, 'status', status,
            'version', version, 'start_at', start_at, 'cancellation', json(cancellation),
            'has_line', json(iif(EXISTS (SELECT 1 FROM order_line
                WHERE order_id = orders.id AND status = 'live'), 'true', 'false'))) AS json
         FROM orders WHERE id = ?1",
        id
    )
}

/// A member did not come, once more.
#[must_use]
pub fn count_no_show(member_id: &Id) -> Statement {
    sql!("UPDATE member SET no_shows = no_shows + 1 WHERE id = ?1", member_id)
}

// What is known of a visit ------------------------------------------------------------------------

const LINE_VISIT: &str = "json_object('departed_at', l.departed_at, 'arrived_at', l.arrived_at,
    'started_at', l.started_at, 'finished_at', l.finished_at,
    'photos', (SELECT json_group_array(photo_id) FROM (SELECT photo_id FROM visit_photo
        WHERE line_id = l.id ORDER BY position)))";

/// One appointment, as those who keep it see it.
#[must_use]
pub fn appointment(line_id: &Id) -> Statement {
    Statement::new(
        format!(
            "SELECT json_object('id', l.id, 'order_id', o.id, 'status', o.status,
                'store', json_object('id', s.id, 'name', s.name, 'time_zone', s.time_zone),
                'technician_id', l.technician_id, 'guest', l.guest,
                'service_name', (SELECT name FROM service WHERE id = l.service_id),
                'start_at', l.start_at, 'end_at', l.end_at,
                'customer', json_object('name', o.contact_name, 'phone', o.contact_phone, 'note', o.note,
                    'member_id', o.member_id, 'no_shows', m.no_shows,
                    'visits', (SELECT count(*) FROM orders WHERE member_id = o.member_id
                        AND status = 'completed'),
                    'preferences', p.text, 'preferences_version', coalesce(p.version, 0)),
                'total_fen', o.total_fen, 'paid_fen', {PAID_FEN}, 'checked_in_at', o.checked_in_at,
                'visit', {LINE_VISIT}, 'visit_note', l.visit_note,
                'places', json_array(json_array(l.departed_latitude, l.departed_longitude),
                    json_array(l.arrived_latitude, l.arrived_longitude))) AS json
             FROM order_line l JOIN orders o ON o.id = l.order_id JOIN store s ON s.id = l.store_id
             LEFT JOIN member m ON m.id = o.member_id
             LEFT JOIN member_preference p ON p.member_id = o.member_id
             WHERE l.id = ?1"
        ),
        vec![line_id.into()],
    )
}

/// What decides who may keep a line, and whose it is.
#[must_use]
pub fn whose(line_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('store', l.store_id, 'technician', l.technician_id,
            'order', l.order_id, 'member', o.member_id) AS json
         FROM order_line l JOIN orders o ON o.id = l.order_id WHERE l.id = ?1",
        line_id
    )
}

/// Notes something of a visit.
#[must_use]
pub fn put_note(line_id: &Id, note: &str) -> Statement {
    sql!("UPDATE order_line SET visit_note = ?2 WHERE id = ?1", line_id, note)
}

/// Keeps a member's preferences, from a version (0 for the first), and answers the new one; nothing when
/// another version is there. What is kept then is the second answer.
#[must_use]
pub fn put_preferences(
    member_id: &Id,
    text: &str,
    version: i64,
    staff_id: &Id,
    now: i64,
) -> [Statement; 2] {
    [
        sql!(
            "INSERT INTO member_preference (member_id, text, version, staff_id, updated_at)
             SELECT ?1, ?2, 1, ?4, ?5 WHERE ?3 = 0
                OR EXISTS (SELECT 1 FROM member_preference WHERE member_id = ?1 AND version = ?3)
             ON CONFLICT (member_id) DO UPDATE SET text = excluded.text, version = version + 1,
                staff_id = excluded.staff_id, updated_at = excluded.updated_at WHERE version = ?3
             RETURNING json_object('text', text, 'version', version) AS json",
            member_id,
            text,
            version,
            staff_id,
            now
        ),
        sql!(
            "SELECT json_object('text', text, 'version', version) AS json FROM member_preference
             WHERE member_id = ?1",
            member_id
        ),
    ]
}

/// A member's visits that began before `before`, the latest first, but for one order; one more than
/// `limit`.
#[must_use]
pub fn history(
    member_id: &Id,
    but: &Id,
    before: i64,
    after: Option<&(i64, String)>,
    limit: u32,
) -> Statement {
    let (after_start, after_id) = after.map_or((i64::MAX >> 12, ""), |(at, id)| (*at, id.as_str()));
    sql!(
        "SELECT json_object('order_id', o.id, 'status', o.status, 'start_at', o.start_at,
            'store_name', s.name, 'time_zone', s.time_zone, 'note', o.note,
            'lines', (SELECT json_group_array(json_object(
                'service_name', (SELECT name FROM service WHERE id = l.service_id),
                'technician_name', (SELECT name FROM technician WHERE id = l.technician_id),
                'visit_note', l.visit_note)) FROM order_line l WHERE l.order_id = o.id)) AS json
         FROM orders o JOIN store s ON s.id = o.store_id
         WHERE o.member_id = ?1 AND o.id <> ?2 AND o.start_at <= ?3
            AND o.status IN ('confirmed', 'in_service', 'completed', 'no_show')
            AND o.start_at <= ?4 AND (o.start_at < ?4 OR o.id < ?5)
         ORDER BY o.start_at DESC, o.id DESC LIMIT ?6",
        member_id,
        but,
        before,
        after_start,
        after_id,
        limit + 1
    )
}

/// A technician's live lines of a business date, and their blocks that begin within an interval around it.
#[must_use]
pub fn my_day(technician_id: &Id, date: chrono::NaiveDate, (from, until): (i64, i64)) -> Statement {
    Statement::new(
        format!(
            "SELECT json FROM (
                SELECT l.start_at, l.id, json_object('kind', 'appointment', 'id', l.id,
                    'order_id', o.id, 'status', o.status, 'store_id', l.store_id, 'store_name', s.name,
                    'time_zone', s.time_zone,
                    'service_name', (SELECT name FROM service WHERE id = l.service_id),
                    'start_at', l.start_at, 'end_at', l.end_at,
                    'customer', coalesce(l.guest, o.contact_name),
                    'phone', o.contact_phone, 'note', o.note, 'checked_in_at', o.checked_in_at,
                    'address', json(o.address), 'visit', {LINE_VISIT}) AS json
                FROM order_line l JOIN orders o ON o.id = l.order_id JOIN store s ON s.id = l.store_id
                WHERE l.technician_id = ?1 AND l.status = 'live' AND l.date = ?2
                UNION ALL
                SELECT b.start_at, b.id, json_object('kind', 'block', 'id', b.id, 'status', 'blocked',
                    'store_id', b.store_id, 'store_name', s.name, 'time_zone', s.time_zone,
                    'start_at', b.start_at, 'end_at', b.end_at, 'customer', '', 'phone', '',
                    'note', b.reason) AS json
                FROM block b JOIN store s ON s.id = b.store_id
                WHERE b.technician_id = ?1 AND b.status = 'live' AND b.start_at >= ?3
                    AND b.start_at < ?4)
             ORDER BY start_at, id LIMIT 300"
        ),
        vec![technician_id.into(), date.into(), from.into(), until.into()],
    )
}

// Feeds -------------------------------------------------------------------------------------------

/// When somebody's feed was made; `null` when they have none.
#[must_use]
pub fn feed_of(staff_id: &Id) -> Statement {
    sql!("SELECT json_quote(feed_made_at) AS json FROM staff WHERE id = ?1", staff_id)
}

/// Gives somebody a feed, in place of any that they have; takes it away without a digest.
#[must_use]
pub fn put_feed(staff_id: &Id, digest: Option<&str>, now: i64) -> Statement {
    sql!(
        "UPDATE staff SET feed_digest = ?2, feed_made_at = CASE WHEN ?2 IS NULL THEN NULL ELSE ?3 END
         WHERE id = ?1",
        staff_id,
        digest,
        now
    )
}

/// Whose feed has this digest, with their appointments that begin within an interval: one row.
#[must_use]
pub fn feed(digest: &str, from: i64, until: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_object('name', staff.name, 'events', (
            SELECT json_group_array(json_object('id', id, 'version', version, 'changed_at', changed_at,
                'start_at', start_at, 'end_at', end_at, 'service_name', service_name,
                'customer', customer, 'note', note, 'store_name', store_name, 'address', address))
            FROM (SELECT l.id, l.version, o.updated_at AS changed_at, l.start_at, l.end_at,
                    coalesce((SELECT name FROM service WHERE id = l.service_id), '') AS service_name,
                    coalesce(l.guest, o.contact_name) AS customer, o.note, s.name AS store_name,
                    coalesce(o.address ->> 'text', s.address) AS address
                FROM order_line l JOIN orders o ON o.id = l.order_id JOIN store s ON s.id = l.store_id
                WHERE l.technician_id = staff.technician_id AND l.status = 'live'
                    AND l.start_at >= ?2 AND l.start_at < ?3
                    AND o.status IN ('paid', 'confirmed', 'in_service', 'completed')
                ORDER BY l.start_at, l.id LIMIT ?4))) AS json
         FROM staff WHERE staff.feed_digest = ?1 AND staff.status = 'active'",
        digest,
        from,
        until,
        limit
    )
}
