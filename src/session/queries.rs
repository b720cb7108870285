//! The SQL of sessions.

use chrono::NaiveDate;
use zhundian_domain::time::DAY_MS;

use crate::booking::queries::Line;
use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::sql;

/// One session as [`super::Row`] reads it; `s` is the session, `?1` now (UTC milliseconds).
/// A function of SQLite takes 32 arguments on D1.
const VIEW: &str = "json_object('id', s.id, 'store_id', s.store_id, 'service_id', s.service_id,
    'technician_id', s.technician_id, 'names', json_array(v.name, t.name),
    'price', json_array(v.price_fen, json(v.level_prices), t.level),
    'room', (SELECT json_object('id', id, 'name', name, 'capacity', capacity) FROM resource
        WHERE id = s.room_id),
    'time_zone', (SELECT time_zone FROM store WHERE id = s.store_id),
    'start_at', s.start_at, 'end_at', s.end_at, 'date', s.date, 'capacity', s.capacity,
    'status', s.status, 'version', s.version,
    'seats', json_object('booked', (SELECT coalesce(sum(seats), 0) FROM order_line
        WHERE session_id = s.id AND status = 'live'),
    'offered', (SELECT coalesce(sum(seats), 0) FROM waitlist
        WHERE session_id = s.id AND status = 'offered' AND offer_expires_at > ?1),
    'waiting', (SELECT count(*) FROM waitlist WHERE session_id = s.id AND status = 'waiting'),
    'least_waiting', (SELECT min(seats) FROM waitlist
        WHERE session_id = s.id AND status = 'waiting')))";
const FROM: &str = "session s JOIN service v ON v.id = s.service_id
    JOIN technician t ON t.id = s.technician_id";

/// One session.
#[must_use]
pub fn session(id: &Id, now: i64) -> Statement {
    Statement::new(
        format!("SELECT {VIEW} AS json FROM {FROM} WHERE s.id = ?2"),
        vec![now.into(), id.into()],
    )
}

/// Which sessions to list, by start.
pub struct Filter<'a> {
    /// The store's.
    pub store_id: &'a Id,
    /// Of a service.
    pub service_id: Option<&'a Id>,
    /// Of a technician.
    pub technician_id: Option<&'a Id>,
    /// From this business date on.
    pub from: NaiveDate,
    /// Before this one.
    pub until: NaiveDate,
    /// Those alone that take place and have not begun: what has begun is no offer any more.
    pub public: bool,
    /// After the session with this start and id.
    pub after: Option<(i64, String)>,
    /// How many at most.
    pub limit: u32,
}

/// A page of sessions and one more.
#[must_use]
pub fn list(now: i64, filter: &Filter) -> Statement {
    let (after_start, after_id) =
        filter.after.as_ref().map_or((0, ""), |(at, id)| (*at, id.as_str()));
    // The index goes by instants; a store's date lies within a day of the one at Greenwich.
    let around = |date: NaiveDate, days: i64| {
        date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis() + days * DAY_MS
    };
    Statement::new(
        format!(
            "SELECT {VIEW} AS json FROM {FROM}
             WHERE s.store_id = ?2 AND s.start_at >= ?3 AND s.start_at < ?4
                AND (s.start_at, s.id) > (CAST(?8 AS INTEGER), ?9)
                AND s.date >= ?11 AND s.date < ?12 AND (?5 IS NULL OR s.service_id = ?5)
                AND (?6 IS NULL OR s.technician_id = ?6)
                AND (?7 = 0 OR (s.status = 'scheduled' AND s.start_at > ?1))
             ORDER BY s.start_at, s.id LIMIT ?10"
        ),
        vec![
            now.into(),
            filter.store_id.into(),
            around(filter.from, -1).into(),
            around(filter.until, 1).into(),
            filter.service_id.map_or(Param::Null, Param::from),
            filter.technician_id.map_or(Param::Null, Param::from),
            filter.public.into(),
            after_start.into(),
            after_id.into(),
            (filter.limit + 1).into(),
            filter.from.into(),
            filter.until.into(),
        ],
    )
}

/// What a new session must know of its technician and its room: how much each carries.
#[must_use]
pub fn carried(technician_id: &Id, room_id: Option<&Id>, store_id: &Id) -> Statement {
    sql!(
        "SELECT json_object('technician', (SELECT capacity FROM technician WHERE id = ?1),
            'room', (SELECT json_object('id', id, 'name', name, 'capacity', capacity) FROM resource
                WHERE id = ?2 AND store_id = ?3 AND kind = 'room' AND status = 'active')) AS json",
        technician_id,
        room_id.cloned(),
        store_id
    )
}

/// What must still hold when sessions are made.
#[must_use]
pub fn sessions_stand(
    service_id: &Id,
    store_id: &Id,
    technician_id: &Id,
    room_id: Option<&Id>,
) -> Statement {
    sql!(
        "INSERT INTO precondition (name, ok) VALUES
            ('service_bookable', EXISTS (SELECT 1 FROM service WHERE id = ?1 AND status = 'active')),
            ('stores_exist', EXISTS (SELECT 1 FROM store WHERE id = ?2 AND status <> 'retired')),
            ('technician_active',
                EXISTS (SELECT 1 FROM technician WHERE id = ?3 AND status = 'active')),
            ('resources_exist', ?4 IS NULL
                OR EXISTS (SELECT 1 FROM resource WHERE id = ?4 AND status = 'active'))",
        service_id,
        store_id,
        technician_id,
        room_id.cloned()
    )
}

/// What the sessions made at once have in common.
pub struct Timetable<'a> {
    /// Where.
    pub store_id: &'a Id,
    /// Of which service.
    pub service_id: &'a Id,
    /// Who holds them.
    pub technician_id: &'a Id,
    /// In which room.
    pub room_id: Option<&'a Id>,
    /// Seats of each.
    pub capacity: i64,
    /// Who made them.
    pub made_by: &'a Id,
    /// UTC milliseconds.
    pub now: i64,
}

/// Writes sessions (`[[id, start, end, date], …]`) and their claims (`[[claim, session, calendar, start,
/// end, block start, block end, quantity], …]`).
#[must_use]
pub fn insert(timetable: &Timetable, sessions: &str, claims: &str) -> [Statement; 2] {
    [
        sql!(
            "INSERT INTO session (id, start_at, end_at, date, store_id, service_id, technician_id,
                room_id, capacity, status, made_by, created_at, updated_at)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ?2, ?3, ?4, ?5, ?6, 'scheduled',
                ?7, ?8, ?8 FROM json_each(?1)",
            sessions,
            timetable.store_id,
            timetable.service_id,
            timetable.technician_id,
            timetable.room_id.cloned(),
            timetable.capacity,
            timetable.made_by,
            timetable.now
        ),
        sql!(
            "INSERT INTO session_claim (claim_id, session_id, store_id, calendar, start_at, end_at,
                block_start, block_end, quantity, status)
             SELECT value ->> 0, value ->> 1, ?2, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                value ->> 6, value ->> 7, 'live' FROM json_each(?1)",
            claims,
            timetable.store_id
        ),
    ]
}

/// What must still hold when seats are booked: the service, the store and the member as for any booking; the
/// session as it was read, and nobody waiting whom the seats would serve, unless they were held for
/// who books.
#[must_use]
pub fn seats_stand(
    (session_id, version): (&Id, i64),
    seats: u16,
    waited: bool,
    line: &Line,
    member_id: Option<&Id>,
) -> Statement {
    sql!(
        "INSERT INTO precondition (name, ok) VALUES
            ('service_bookable', EXISTS (SELECT 1 FROM service WHERE id = ?1 AND status = 'active')),
            ('store_open', EXISTS (SELECT 1 FROM store WHERE id = ?2 AND status = 'open')),
            ('member_active', ?3 IS NULL
                OR EXISTS (SELECT 1 FROM member WHERE id = ?3 AND status = 'active')),
            ('session_version', EXISTS (SELECT 1 FROM session
                WHERE id = ?4 AND version = ?5 AND status = 'scheduled')),
            ('seats_first', ?7 OR NOT EXISTS (SELECT 1 FROM waitlist
                WHERE session_id = ?4 AND status = 'waiting' AND seats <= ?6))",
        line.service_id,
        line.store_id,
        member_id.cloned(),
        session_id,
        version,
        seats,
        waited
    )
}

/// Makes a line that was just written seats in a session.
#[must_use]
pub fn seat(line_id: &str, session_id: &Id, seats: u16) -> Statement {
    sql!(
        "UPDATE order_line SET session_id = ?2, seats = ?3 WHERE id = ?1",
        line_id,
        session_id,
        seats
    )
}

fn is_at(id: &Id, version: i64) -> Statement {
    precondition(
        "session_version",
        "EXISTS (SELECT 1 FROM session WHERE id = ?1 AND version = ?2 AND status = 'scheduled')",
        vec![id.into(), version.into()],
    )
}

/// Gives a session that is at a version so many seats; raises `seats_booked` when more are.
#[must_use]
pub fn resize(id: &Id, version: i64, capacity: i64, now: i64) -> [Statement; 3] {
    [
        is_at(id, version),
        precondition(
            "seats_booked",
            "(SELECT coalesce(sum(seats), 0) FROM order_line WHERE session_id = ?1 AND status = 'live')
              + (SELECT coalesce(sum(seats), 0) FROM waitlist WHERE session_id = ?1
                AND status = 'offered' AND offer_expires_at > ?3) <= ?2",
            vec![id.into(), capacity.into(), now.into()],
        ),
        sql!(
            "UPDATE session SET capacity = ?2, version = version + 1, updated_at = ?3 WHERE id = ?1",
            id,
            capacity,
            now
        ),
    ]
}

/// Gives a session up that is at a version: nobody books it any more, nobody waits for it.
#[must_use]
pub fn cancel(id: &Id, version: i64, now: i64) -> Vec<Statement> {
    let mut statements = vec![is_at(id, version)];
    statements.extend(give_up(id, now));
    statements
}

/// Gives a session up, whatever it is by now.
#[must_use]
pub fn give_up(id: &Id, now: i64) -> [Statement; 3] {
    [
        sql!(
            "UPDATE session SET status = 'cancelled', version = version + 1, updated_at = ?2
             WHERE id = ?1 AND status = 'scheduled'",
            id,
            now
        ),
        sql!("UPDATE session_claim SET status = 'cancelled' WHERE session_id = ?1", id),
        sql!(
            "UPDATE waitlist SET status = 'expired', updated_at = ?2
             WHERE session_id = ?1 AND status IN ('waiting', 'offered')",
            id,
            now
        ),
    ]
}

/// The claims of a session itself: `[[calendar, claim], …]`.
#[must_use]
pub fn claims(id: &Id) -> Statement {
    sql!(
        "SELECT json_group_array(json_array(calendar, claim_id)) AS json FROM session_claim
         WHERE session_id = ?1 AND status = 'live'",
        id
    )
}

/// The session that stands on a claim, with its start.
#[must_use]
pub fn of_claim(claim_id: &str) -> Statement {
    sql!(
        "SELECT json_array(s.id, s.start_at) AS json FROM session_claim c JOIN session s ON s.id = c.session_id
         WHERE c.claim_id = ?1 AND c.status = 'live'",
        claim_id
    )
}

/// Orders with live seats in a session that may be given up, so many of them.
#[must_use]
pub fn orders_in(id: &Id, limit: u32) -> Statement {
    sql!(
        "SELECT json_group_array(id) AS json FROM (SELECT o.id FROM order_line l
            JOIN orders o ON o.id = l.order_id WHERE l.session_id = ?1 AND l.status = 'live'
            AND o.status IN ('pending_payment', 'paid', 'confirmed', 'in_service')
            ORDER BY o.id LIMIT ?2)",
        id,
        limit
    )
}
