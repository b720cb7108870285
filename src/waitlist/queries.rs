//! The SQL of waitlists.

use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::sql;

/// One entry as [`super::join::Row`] reads it; `w` is the entry.
/// A function of SQLite takes 32 arguments on D1.
const VIEW: &str = "json_object('id', w.id, 'member_id', w.member_id, 'names', json_array(
        (SELECT nickname FROM member WHERE id = w.member_id),
        (SELECT name FROM service WHERE id = w.service_id)),
    'store_id', w.store_id, 'time_zone', (SELECT time_zone FROM store WHERE id = w.store_id),
    'service_id', w.service_id, 'session_id', w.session_id, 'technician_id', w.technician_id, 'from_at', w.from_at,
    'until_at', w.until_at, 'seats', w.seats, 'status', w.status,
    'offer', CASE WHEN w.held IS NULL THEN NULL ELSE json_object('held', json(w.held),
        'start_at', w.offer_start_at, 'technician_id', w.offer_technician_id,
        'expires_at', w.offer_expires_at) END,
    'order_id', w.order_id, 'created_at', w.created_at)";

/// Somebody who waits, as [`super::offer::Waiting`] reads it; `w` is the entry.
const WAITING: &str = "json_object('id', w.id, 'member_id', w.member_id, 'store_id', w.store_id,
    'service_id', w.service_id, 'technician_id', w.technician_id, 'from_at', w.from_at, 'until_at', w.until_at, 'seats', w.seats)";

/// An entry as it is written.
pub struct Entry<'a> {
    /// Its id; ids are the order.
    pub id: &'a Id,
    /// Who waits.
    pub member_id: &'a Id,
    /// Where.
    pub store_id: &'a Id,
    /// For which service.
    pub service_id: &'a Id,
    /// For seats in which session.
    pub session_id: Option<&'a Id>,
    /// For which technician.
    pub technician_id: Option<&'a Id>,
    /// The earliest start that would do, UTC milliseconds.
    pub from_at: i64,
    /// The latest.
    pub until_at: i64,
    /// How many.
    pub seats: i64,
    /// UTC milliseconds.
    pub now: i64,
}

/// Writes an entry; raises `waitlist_member_id` when the member waits for the session already, and
/// `session_version` when the session does not take place.
#[must_use]
pub fn insert(entry: &Entry) -> [Statement; 2] {
    let takes_place = precondition(
        "session_version",
        "?1 IS NULL OR EXISTS (SELECT 1 FROM session WHERE id = ?1 AND status = 'scheduled')",
        vec![entry.session_id.map_or(Param::Null, Param::from)],
    );
    let insert = sql!(
        "INSERT INTO waitlist (id, member_id, store_id, service_id, session_id, technician_id, from_at,
            until_at, seats, status, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'waiting', ?10, ?10)",
        entry.id,
        entry.member_id,
        entry.store_id,
        entry.service_id,
        entry.session_id.cloned(),
        entry.technician_id.cloned(),
        entry.from_at,
        entry.until_at,
        entry.seats,
        entry.now
    );
    [takes_place, insert]
}

/// For how many places a member waits.
#[must_use]
pub fn waits_of(member_id: &Id) -> Statement {
    sql!(
        "SELECT json_quote(count(*)) AS json FROM waitlist
         WHERE member_id = ?1 AND status IN ('waiting', 'offered')",
        member_id
    )
}

/// One entry.
#[must_use]
pub fn entry(id: &Id) -> Statement {
    sql!(format!("SELECT {VIEW} AS json FROM waitlist w WHERE w.id = ?1"), id)
}

/// A page of a member's entries, the latest first, and one more.
#[must_use]
pub fn of_member(member_id: &Id, before: Option<&str>, limit: u32) -> Statement {
    sql!(
        format!(
            "SELECT {VIEW} AS json FROM waitlist w
             WHERE w.member_id = ?1 AND (?2 IS NULL OR w.id < ?2) ORDER BY w.id DESC LIMIT ?3"
        ),
        member_id,
        before,
        limit + 1
    )
}

/// A page of who waits in a store, or for one session, in order, and one more.
#[must_use]
pub fn of_store(
    store_id: &Id,
    session_id: Option<&Id>,
    after: Option<&str>,
    limit: u32,
) -> Statement {
    sql!(
        format!(
            "SELECT {VIEW} AS json FROM waitlist w
             WHERE w.store_id = ?1 AND w.status IN ('waiting', 'offered')
                AND (?2 IS NULL OR w.session_id = ?2) AND w.id > coalesce(?3, '')
             ORDER BY w.id LIMIT ?4"
        ),
        store_id,
        session_id.cloned(),
        after,
        limit + 1
    )
}

/// Takes a member off a list; nothing when the entry has ended. What they have not been told yet of an
/// offer, they are not told.
#[must_use]
pub fn leave(id: &Id, now: i64) -> [Statement; 2] {
    [
        sql!(
            "UPDATE waitlist SET status = 'left', updated_at = ?2
             WHERE id = ?1 AND status IN ('waiting', 'offered')",
            id,
            now
        ),
        crate::reminder::queries::withdraw(id.as_str(), now),
    ]
}

/// Ends what ran out: offers, and waits for what is over.
#[must_use]
pub fn expire(now: i64) -> [Statement; 2] {
    [
        sql!(
            "UPDATE waitlist SET status = 'expired', updated_at = ?1
             WHERE status = 'offered' AND offer_expires_at <= ?1",
            now
        ),
        sql!(
            "UPDATE waitlist SET status = 'expired', updated_at = ?1
             WHERE status = 'waiting' AND until_at <= ?1",
            now
        ),
    ]
}

/// Sessions in which, as far as D1 knows, there is room for somebody who waits.
#[must_use]
pub fn sessions_with_room(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_group_array(id) AS json FROM (
            SELECT s.id FROM (SELECT session_id, min(seats) AS seats FROM waitlist
                WHERE status = 'waiting' AND session_id IS NOT NULL GROUP BY session_id) w
            JOIN session s ON s.id = w.session_id
            WHERE s.status = 'scheduled' AND s.start_at > ?1 AND w.seats <= s.capacity
                - (SELECT coalesce(sum(seats), 0) FROM order_line
                    WHERE session_id = s.id AND status = 'live')
                - (SELECT coalesce(sum(seats), 0) FROM waitlist
                    WHERE session_id = s.id AND status = 'offered' AND offer_expires_at > ?1)
            ORDER BY s.start_at LIMIT ?2)",
        now,
        limit
    )
}

/// When a session takes place, if it does and has not begun, and on which clock: `[start, end, store, zone]`.
#[must_use]
pub fn takes_place(session_id: &str, now: i64) -> Statement {
    sql!(
        "SELECT json_array(start_at, end_at, store_id, (SELECT time_zone FROM store WHERE id = store_id)) AS json
         FROM session WHERE id = ?1 AND status = 'scheduled' AND start_at > ?2",
        session_id,
        now
    )
}

/// Who waits for a session, in order, so many of them.
#[must_use]
pub fn waiting_for(session_id: &str, limit: u32) -> Statement {
    sql!(
        format!(
            "SELECT {WAITING} AS json FROM waitlist w
             WHERE w.session_id = ?1 AND w.status = 'waiting' ORDER BY w.id LIMIT ?2"
        ),
        session_id,
        limit
    )
}

/// Who waits for an appointment, in order, after one.
#[must_use]
pub fn waiting_after(id: &str, limit: u32) -> Statement {
    sql!(
        format!(
            "SELECT {WAITING} AS json FROM waitlist w
             WHERE w.status = 'waiting' AND w.session_id IS NULL AND w.id > ?1
             ORDER BY w.id LIMIT ?2"
        ),
        id,
        limit
    )
}

/// Who waits for an appointment in these stores (a JSON list) with this technician or any, in order.
#[must_use]
pub fn waiting_in(stores: &str, technician_id: &str, limit: u32) -> Statement {
    sql!(
        format!(
            "SELECT {WAITING} AS json FROM waitlist w
             WHERE w.store_id IN (SELECT value FROM json_each(?1))
                AND w.status IN ('waiting', 'offered') AND w.status = 'waiting'
                AND w.session_id IS NULL
                AND (?2 = '' OR w.technician_id IS NULL OR w.technician_id = ?2)
             ORDER BY w.id LIMIT ?3"
        ),
        stores,
        technician_id,
        limit
    )
}

/// A place that is held for somebody.
pub struct Place<'a> {
    /// `[[claim, calendar], …]`.
    pub held: &'a str,
    /// UTC milliseconds.
    pub start_at: i64,
    /// With whom, of an appointment.
    pub technician_id: Option<&'a Id>,
    /// Until when it is held.
    pub expires_at: i64,
}

/// Notes what is held for somebody; raises `waitlist_waiting` when they do not wait any more.
#[must_use]
pub fn offered(id: &Id, place: &Place, now: i64) -> [Statement; 2] {
    [
        precondition(
            "waitlist_waiting",
            "EXISTS (SELECT 1 FROM waitlist WHERE id = ?1 AND status = 'waiting')",
            vec![id.into()],
        ),
        sql!(
            "UPDATE waitlist SET status = 'offered', held = ?2, offer_start_at = ?3,
                offer_technician_id = ?4, offer_expires_at = ?5, updated_at = ?6 WHERE id = ?1",
            id,
            place.held,
            place.start_at,
            place.technician_id.cloned(),
            place.expires_at,
            now
        ),
    ]
}

/// Notes that an offer was taken by an order; raises `waitlist_offered` when it does not stand any more.
#[must_use]
pub fn booked(id: &Id, order_id: &Id, now: i64) -> [Statement; 3] {
    [
        precondition(
            "waitlist_offered",
            "EXISTS (SELECT 1 FROM waitlist WHERE id = ?1 AND status = 'offered'
                AND offer_expires_at > ?2)",
            vec![id.into(), now.into()],
        ),
        sql!(
            "UPDATE waitlist SET status = 'booked', order_id = ?2, updated_at = ?3 WHERE id = ?1",
            id,
            order_id,
            now
        ),
        crate::reminder::queries::withdraw(id.as_str(), now),
    ]
}
