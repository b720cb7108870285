//! The SQL of taking time.

use chrono::NaiveDate;
use zhundian_domain::staffing::{Assignment, USUAL_WAIT_MINUTES};
use zhundian_domain::time::UtcDay;

use crate::booking::visit::VisitAddress;
use crate::catalog::ELIGIBLE;
use crate::d1::{Param, Statement};
use crate::http::fields::Id;
use crate::sql;

/// What an offer is asked for.
pub enum Asked<'a> {
    /// A service in a store, with a technician or any.
    Service {
        /// The service.
        service_id: &'a Id,
        /// The store.
        store_id: &'a Id,
        /// The technician, or any who can.
        technician_id: Option<&'a Id>,
        /// At the customer's home.
        home: bool,
    },
    /// The service and store of an order's line, with its technician or another; with anyone when the
    /// line is nobody's yet.
    Line {
        /// The line.
        line_id: &'a Id,
        /// Another technician.
        technician_id: Option<&'a Id>,
    },
    /// The service and store of an order's line, with anyone who can do it.
    Anyone {
        /// The line.
        line_id: &'a Id,
    },
    /// The service and store of a session, with its technician.
    Session {
        /// The session.
        session_id: &'a Id,
    },
}

/// A day's bits for a visit at home, as [`super::offer`] takes them apart.
const ROUNDS_BITS: &str =
    "CASE WHEN asked.home THEN free || coalesce(room, free) || coalesce(working, room, free)
        ELSE free END";

/// A technician's [`super::visit::Rounds`]: from where, which stores, and what else they do around the
/// days asked for, the line that is moved left out.
const ROUNDS: &str = "CASE WHEN asked.home THEN json_object('start_point', json(t.start_point),
    'stores', (SELECT json_group_array(json_array(p.id, p.latitude, p.longitude))
        FROM technician_store w JOIN store p ON p.id = w.store_id WHERE w.technician_id = t.id),
    'lines', (SELECT json_group_array(json_array(block_start, block_end, store_id, json(home))) FROM (
        SELECT l.block_start, l.block_end, l.store_id, l.home FROM order_line l
            WHERE l.technician_id = t.id AND l.status = 'live' AND l.id <> asked.line_id
            AND l.start_at BETWEEN (?6 - 2) * 86400000 AND (?7 + 2) * 86400000
        UNION ALL SELECT c.block_start, c.block_end, c.store_id, l.home
            FROM line_claim c JOIN order_line l ON l.id = c.line_id
            WHERE c.calendar = 'technician:' || t.id AND c.status = 'live'
            AND c.line_id <> asked.line_id
            AND c.start_at BETWEEN (?6 - 2) * 86400000 AND (?7 + 2) * 86400000)))
    END";

/// What an offer says besides what decides its starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing. Names are left empty: one that is no ASCII makes the whole row two bytes a character on its
    /// way through JavaScript.
    Starts,
    /// Names.
    Names,
    /// Names, how many appointments each technician has by date, and what the service asks.
    NamesAndLoads,
}

/// Everything that decides a start, but the calendar itself: one statement and one row, whatever the
/// number of technicians. Dates are looked at from `from` to `until`, free bits a UTC day further on
/// both sides.
#[must_use]
pub fn offer(asked: &Asked, from: NaiveDate, until: NaiveDate, detail: Detail) -> Statement {
    // In the store nothing more is read of a technician's day than its free bits.
    let (bits, rounds) = match asked {
        Asked::Service { home: false, .. } | Asked::Session { .. } => ("free", "NULL"),
        Asked::Service { home: true, .. } | Asked::Line { .. } | Asked::Anyone { .. } => {
            (ROUNDS_BITS, ROUNDS)
        }
    };
    let (first, second, third, asked) = match asked {
        Asked::Service { service_id, store_id, technician_id, home } => (
            Param::from(*service_id),
            Param::from(*store_id),
            Param::from((*technician_id).cloned()),
            if *home {
                "SELECT ?1 AS service_id, ?2 AS store_id, ?3 AS technician_id, 1 AS home,
                    '' AS line_id, NULL AS add_ons"
            } else {
                "SELECT ?1 AS service_id, ?2 AS store_id, ?3 AS technician_id, 0 AS home,
                    '' AS line_id, NULL AS add_ons"
            },
        ),
        Asked::Line { line_id, technician_id } => (
            Param::from(*line_id),
            Param::Null,
            Param::from((*technician_id).cloned()),
            "SELECT service_id, store_id, coalesce(?3, CASE
                WHEN assignment IN ('assigned', 'asked') THEN technician_id END) AS technician_id,
                home IS NOT NULL AS home, id AS line_id, add_ons
             FROM order_line WHERE id = ?1 AND ?2 IS NULL",
        ),
        Asked::Anyone { line_id } => (
            Param::from(*line_id),
            Param::Null,
            Param::Null,
            "SELECT service_id, store_id, NULL AS technician_id,
                home IS NOT NULL AS home, id AS line_id, add_ons
             FROM order_line WHERE id = ?1 AND ?2 IS NULL AND ?3 IS NULL",
        ),
        Asked::Session { session_id } => (
            Param::from(*session_id),
            Param::Null,
            Param::Null,
            "SELECT service_id, store_id, technician_id, 0 AS home, '' AS line_id,
                NULL AS add_ons
             FROM session WHERE id = ?1 AND ?2 IS NULL AND ?3 IS NULL",
        ),
    };
    let day = |date: NaiveDate| {
        UtcDay::of_ms(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis()).0
    };
    let [service_name, store_name, technician_name, calendar_name] = match detail {
        Detail::Starts => ["''"; 4],
        Detail::Names | Detail::NamesAndLoads => ["s.name", "name", "t.name", "c.name"],
    };
    // A class counts once, however many come to it.
    let load = if detail == Detail::NamesAndLoads {
        "(SELECT json_group_object(date, live) FROM (
            SELECT date, count(DISTINCT coalesce(session_id, id)) AS live FROM order_line
            WHERE technician_id = t.id AND status = 'live' AND date BETWEEN ?4 AND ?5 GROUP BY date))"
    } else {
        "NULL"
    };
    let intake = if detail == Detail::NamesAndLoads {
        "(SELECT json(intake) FROM service WHERE id = asked.service_id)"
    } else {
        "NULL"
    };
    let cancellation = crate::catalog::cancellation("s", "asked.store_id");
    let sql = format!(
        "WITH asked AS ({asked})
         SELECT json_object(
            'service', (SELECT json_object('id', s.id, 'name', {service_name},
                'duration_minutes', s.duration_minutes,
                'buffer_before_minutes', s.buffer_before_minutes,
                'buffer_after_minutes', s.buffer_after_minutes,
                'min_notice_minutes', s.min_notice_minutes, 'max_days_ahead', s.max_days_ahead,
                'change_notice_minutes', s.change_notice_minutes, 'max_per_day', s.max_per_day,
                'price_fen', s.price_fen, 'level_prices', json(s.level_prices),
                'deposit', json(s.deposit), 'places', json(s.places), 'modes', json(s.modes),
                'cancellation', json({cancellation}),
                'max_moves', s.max_moves)
                FROM service s WHERE s.id = asked.service_id AND s.status = 'active'),
            'store', (SELECT json_object('id', id, 'name', {store_name}, 'time_zone', time_zone,
                'latitude', latitude, 'longitude', longitude,
                'home_service', json(CASE WHEN asked.home THEN home_service END),
                'hours', json(hours), 'open', json(CASE status WHEN 'open' THEN 'true' ELSE 'false' END),
                'prepay_after_no_shows', prepay_after_no_shows, 'ways', json(ways),
                'holidays', (SELECT json_group_array(date) FROM store_holiday
                    WHERE store_id = store.id AND date BETWEEN ?4 AND ?5))
                FROM store WHERE id = asked.store_id AND status <> 'retired'),
            'taken', (SELECT json_group_object(date, live) FROM (SELECT l.date, count(*) AS live
                FROM service s JOIN order_line l ON l.service_id = s.id AND l.store_id = asked.store_id
                    AND l.status = 'live' AND l.date BETWEEN ?4 AND ?5
                WHERE s.id = asked.service_id AND s.max_per_day IS NOT NULL GROUP BY l.date)),
            'extras', (SELECT json_array(json(reminder_minutes), json(add_ons)) FROM service
                WHERE id = asked.service_id),
            'intake', {intake},
            'line_add_ons', json(asked.add_ons),
            'offered', json(CASE WHEN EXISTS (SELECT 1 FROM service_store ss
                WHERE ss.service_id = asked.service_id AND ss.store_id = asked.store_id)
                THEN 'true' ELSE 'false' END),
            'technicians', (SELECT json_group_array(json_array(t.id, {technician_name}, t.level,
                    (SELECT group_concat(day || {bits}, '') FROM calendar_day
                        WHERE store_id = asked.store_id AND calendar = 'technician:' || t.id
                        AND day BETWEEN ?6 AND ?7),
                    {load}, t.turn_at, json({rounds})))
                FROM technician_store ts JOIN technician t ON t.id = ts.technician_id
                JOIN service s ON s.id = asked.service_id
                WHERE ts.store_id = asked.store_id AND t.status = 'active'
                AND (asked.technician_id IS NULL OR t.id = asked.technician_id) AND {ELIGIBLE}),
            'besides', (SELECT json_object('resources', json_array_length(s.resources),
                'processing', CASE WHEN s.processing_minutes IS NULL THEN NULL
                    ELSE json_array(s.processing_after_minutes, s.processing_minutes) END,
                'calendars', (SELECT json_group_array(json_array(need, c.calendar, {calendar_name},
                        (SELECT group_concat(day || free, '') FROM calendar_day
                            WHERE store_id = p.id AND calendar = c.calendar
                            AND day BETWEEN ?6 AND ?7), c.capacity))
                    FROM (SELECT n.key AS need, 'room:' || r.id AS calendar, r.name, r.capacity
                        FROM json_each(s.resources) n JOIN resource r ON r.store_id = p.id
                        AND r.type = n.value ->> 'type' AND r.status = 'active'
                        AND r.id = coalesce(n.value ->> 'resource_id', r.id)
                        UNION ALL SELECT -1, 'store:' || p.id, p.name, p.capacity
                        WHERE p.capacity IS NOT NULL) c))
                FROM service s JOIN store p ON p.id = asked.store_id
                WHERE s.id = asked.service_id AND (s.resources <> '[]' OR p.capacity IS NOT NULL
                    OR s.processing_minutes IS NOT NULL))
         ) AS json FROM asked"
    );
    Statement::new(
        sql,
        vec![
            first,
            second,
            third,
            from.into(),
            until.into(),
            (day(from) - 1).into(),
            (day(until) + 1).into(),
        ],
    )
}

/// The stored answer to an operation, if it has one.
#[must_use]
pub fn stored_answer(actor: &str, key: &str) -> Statement {
    sql!(
        "SELECT json_object('request_hash', request_hash, 'status', status,
            'response', json(response)) AS json
         FROM idempotency WHERE actor = ?1 AND key = ?2",
        actor,
        key
    )
}

/// Stores an operation's answer, in the batch of its effect; raises `idempotency_actor` when there is
/// one already.
#[must_use]
pub fn store_answer(
    actor: &str,
    key: &str,
    request_hash: &str,
    status: u16,
    response: &str,
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO idempotency (actor, key, request_hash, status, response, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        actor,
        key,
        request_hash,
        status,
        response,
        now
    )
}

/// What must still hold when an appointment is committed: the service is active, the store is open, the
/// technician and the member are active, and the day is not full without `line_id` (its own line, when
/// it is moved).
#[must_use]
pub fn appointment_stands(
    line: &Line,
    line_id: &str,
    max_per_day: Option<i64>,
    member_id: Option<&Id>,
) -> Statement {
    sql!(
        "INSERT INTO precondition (name, ok) VALUES
            ('service_bookable', EXISTS (SELECT 1 FROM service WHERE id = ?1 AND status = 'active')),
            ('store_open', EXISTS (SELECT 1 FROM store WHERE id = ?2 AND status = 'open')),
            ('technician_active',
                EXISTS (SELECT 1 FROM technician WHERE id = ?3 AND status = 'active')),
            ('daily_limit', ?5 IS NULL OR (SELECT count(*) FROM order_line WHERE service_id = ?1
                AND store_id = ?2 AND date = ?4 AND status = 'live' AND id <> ?6) < ?5),
            ('member_active', ?7 IS NULL
                OR EXISTS (SELECT 1 FROM member WHERE id = ?7 AND status = 'active'))",
        line.service_id,
        line.store_id,
        line.technician_id,
        line.date,
        max_per_day,
        line_id,
        member_id
    )
}

/// A line as it is written.
pub struct Line<'a> {
    /// The service.
    pub service_id: &'a Id,
    /// The store.
    pub store_id: &'a Id,
    /// The technician.
    pub technician_id: &'a Id,
    /// The claim in the technician's calendar.
    pub claim_id: &'a str,
    /// Service time, UTC milliseconds.
    pub start_at: i64,
    /// Its end.
    pub end_at: i64,
    /// With buffers.
    pub block_start: i64,
    /// Their end.
    pub block_end: i64,
    /// JSON of the place that the claim carries, when not in the store.
    pub home: Option<String>,
    /// The store's business date of the start.
    pub date: NaiveDate,
    /// How far it has come to its technician.
    pub assignment: Assignment,
    /// Until when an answer is waited for, UTC milliseconds.
    pub answer_by: Option<i64>,
    /// JSON of what is taken with the service.
    pub add_ons: Option<String>,
    /// For whom, when it is somebody else than the one who booked.
    pub guest: Option<&'a str>,
}

/// An order as it is written.
pub struct Order<'a> {
    /// Its id.
    pub id: &'a Id,
    /// Whose, when known.
    pub member_id: Option<&'a Id>,
    /// `direct`, `assigned`, `express`.
    pub mode: &'a str,
    /// `confirmed`, or `pending_payment` when something is due now.
    pub status: zhundian_domain::order::Status,
    /// `at_store` or `online`.
    pub payment: &'a str,
    /// In fen.
    pub total_fen: i64,
    /// To be paid now, in fen.
    pub due_fen: i64,
    /// Until when the time is held for payment.
    pub hold_expires_at: Option<i64>,
    /// JSON of the price's parts.
    pub price_parts: &'a str,
    /// JSON of what comes back when it is given up.
    pub cancellation: &'a str,
    /// Least minutes before the start for the member to change it.
    pub change_notice_minutes: i64,
    /// Who comes.
    pub contact_name: &'a str,
    /// Their phone.
    pub contact_phone: &'a str,
    /// What they wish.
    pub note: &'a str,
    /// Where the visit takes place, when not in the store.
    pub address: Option<&'a VisitAddress>,
    /// UTC milliseconds.
    pub now: i64,
}

/// Writes an order; `line` is the first of its lines.
#[must_use]
pub fn insert_order(order: &Order, line: &Line) -> Statement {
    sql!(
            "INSERT INTO orders (id, member_id, store_id, service_id, mode, payment, total_fen,
                due_fen, price_parts, change_notice_minutes, contact_name, contact_phone, note,
                technician_id, start_at, created_at, updated_at, status, hold_expires_at, cancellation,
                max_moves, address)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?16, ?17,
                ?18, ?19, (SELECT max_moves FROM service WHERE id = ?4), ?20)",
            order.id,
            order.member_id,
            line.store_id,
            line.service_id,
            order.mode,
            order.payment,
            order.total_fen,
            order.due_fen,
            order.price_parts,
            order.change_notice_minutes,
            order.contact_name,
            order.contact_phone,
            order.note,
            line.technician_id,
            line.start_at,
            order.now,
            order.status.as_str(),
            order.hold_expires_at,
            order.cancellation,
            order.address.and_then(|address| serde_json::to_string(address).ok())
        )
}

/// Writes an order's line; its id is `line_id`.
#[must_use]
pub fn insert_line(order_id: &Id, price_fen: i64, line: &Line, line_id: &str) -> Statement {
    sql!(
        "INSERT INTO order_line (id, order_id, kind, store_id, service_id, technician_id, claim_id,
            start_at, end_at, block_start, block_end, date, status, price_fen, assignment, answer_by,
            home, add_ons, guest)
         VALUES (?1, ?2, 'appointment', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'live', ?12, ?13, ?14,
            ?15, coalesce(?16, '[]'), ?17)",
        line_id,
        order_id,
        line.store_id,
        line.service_id,
        line.technician_id,
        line.claim_id,
        line.start_at,
        line.end_at,
        line.block_start,
        line.block_end,
        line.date,
        price_fen,
        line.assignment.as_str(),
        line.answer_by,
        line.home.as_deref(),
        line.add_ons.as_deref(),
        line.guest
    )
}

/// Writes the claims of a line besides its first: `[[claim, calendar, start, end, block start, block end,
/// quantity], …]`; raises `resources_exist` when a room has been retired.
#[must_use]
pub fn insert_line_claims(
    order_id: &Id,
    line_id: &str,
    store_id: &Id,
    claims: &str,
) -> [Statement; 2] {
    let in_use = crate::d1::precondition(
        "resources_exist",
        "NOT EXISTS (SELECT 1 FROM json_each(?1) WHERE substr(value ->> 1, 1, 5) = 'room:'
            AND NOT EXISTS (SELECT 1 FROM resource WHERE id = substr(value ->> 1, 6)
                AND status = 'active'))",
        vec![claims.into()],
    );
    let insert = sql!(
        "INSERT INTO line_claim (claim_id, line_id, order_id, store_id, calendar, start_at, end_at,
            block_start, block_end, quantity, status)
         SELECT value ->> 0, ?2, ?1, ?3, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
            value ->> 6, 'live' FROM json_each(?4)",
        order_id,
        line_id,
        store_id,
        claims
    );
    [in_use, insert]
}

/// Forgets the claims of a line besides its first, to make room for others.
#[must_use]
pub fn delete_line_claims(line_id: &Id) -> Statement {
    sql!("DELETE FROM line_claim WHERE line_id = ?1", line_id)
}

/// Requires that an order is confirmed, or in service where that will do, and at the version that was read
/// (raises `order_version`).
#[must_use]
pub fn order_stands(order_id: &Id, version: i64, or_in_service: bool) -> Statement {
    crate::d1::precondition(
        "order_version",
        "SELECT 1 FROM orders WHERE id = ?1 AND version = ?2
            AND (status = 'confirmed' OR (?3 AND status = 'in_service'))",
        vec![order_id.into(), version.into(), or_in_service.into()],
    )
}

/// Moves a line, with room for other claims.
#[must_use]
pub fn move_line(line_id: &Id, to: &Line) -> [Statement; 2] {
    [
        delete_line_claims(line_id),
        sql!(
            "UPDATE order_line SET technician_id = ?2, claim_id = ?3, start_at = ?4, end_at = ?5,
                block_start = ?6, block_end = ?7, date = ?8, assignment = ?9, answer_by = ?10, home = ?11,
                version = version + 1 WHERE id = ?1",
            line_id,
            to.technician_id,
            to.claim_id,
            to.start_at,
            to.end_at,
            to.block_start,
            to.block_end,
            to.date,
            to.assignment.as_str(),
            to.answer_by,
            to.home.as_deref()
        ),
    ]
}

/// An order after its lines have changed: it is listed by the first of them.
#[must_use]
pub fn lines_changed(order_id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE orders SET (technician_id, start_at) = (SELECT technician_id, start_at FROM order_line
                WHERE order_id = ?1 AND status = 'live' ORDER BY start_at, rowid LIMIT 1),
            version = version + 1, updated_at = ?2 WHERE id = ?1",
        order_id,
        now
    )
}

/// What else a move changes of an order: a member's move is counted, and it is before its visit again, unless
/// it stays at its time.
#[must_use]
pub fn moved(order_id: &Id, by_member: bool, stays: bool) -> Statement {
    sql!(
        "UPDATE orders SET moves = moves + ?2, checked_in_at = iif(?3, checked_in_at, NULL),
            ended_at = iif(?3, ended_at, NULL) WHERE id = ?1",
        order_id,
        by_member,
        stays
    )
}

/// What else a move changes of a line.
#[must_use]
pub fn line_moved(line_id: &Id) -> Statement {
    sql!(
        "UPDATE order_line SET departed_at = NULL, departed_latitude = NULL,
            departed_longitude = NULL, arrived_at = NULL, arrived_latitude = NULL,
            arrived_longitude = NULL, started_at = NULL, finished_at = NULL WHERE id = ?1",
        line_id
    )
}

/// What is taken with a line's service besides what was, and what it costs: JSON lists of both.
#[must_use]
pub fn extend_line(
    (order_id, line_id): (&Id, &Id),
    (add_ons, parts): (&str, &str),
    fen: i64,
) -> [Statement; 2] {
    let longer = |list: &str, more: &str| {
        format!(
            "(SELECT json_group_array(json(value)) FROM (SELECT value FROM json_each({list})
                UNION ALL SELECT value FROM json_each({more})))"
        )
    };
    [
        sql!(
            format!(
                "UPDATE order_line SET add_ons = {}, price_fen = price_fen + ?3 WHERE id = ?1",
                longer("order_line.add_ons", "?2")
            ),
            line_id,
            add_ons,
            fen
        ),
        sql!(
            format!(
                "UPDATE orders SET price_parts = {}, total_fen = total_fen + ?3, ended_at = NULL
                 WHERE id = ?1",
                longer("orders.price_parts", "?2")
            ),
            order_id,
            parts,
            fen
        ),
    ]
}

/// Requires that a member may pay at the store (raises `prepay`).
#[must_use]
pub fn may_pay_later(member_id: &Id, store_id: &Id) -> Statement {
    crate::d1::precondition(
        "prepay",
        "NOT EXISTS (SELECT 1 FROM member m, store s WHERE m.id = ?1 AND s.id = ?2
            AND m.no_shows >= s.prepay_after_no_shows)",
        vec![member_id.into(), store_id.into()],
    )
}

/// The technician, if active and working in the store, with the store's clock: for a block.
#[must_use]
pub fn technician_in_store(technician_id: &Id, store_id: &Id) -> Statement {
    sql!(
        "SELECT json_quote(store.time_zone) AS json FROM technician_store ts
         JOIN technician t ON t.id = ts.technician_id JOIN store ON store.id = ts.store_id
         WHERE ts.technician_id = ?1 AND ts.store_id = ?2 AND t.status = 'active'",
        technician_id,
        store_id
    )
}

/// The room or piece of equipment, if it is in use in the store, with the store's clock: for a block.
#[must_use]
pub fn resource_in_store(resource_id: &Id, store_id: &Id) -> Statement {
    sql!(
        "SELECT json_quote(store.time_zone) AS json FROM resource r JOIN store ON store.id = r.store_id
         WHERE r.id = ?1 AND r.store_id = ?2 AND r.status = 'active'",
        resource_id,
        store_id
    )
}

/// Writes a block of a technician's time, or of a room's or a piece of equipment's.
#[must_use]
pub fn insert_block(
    id: &str,
    (technician_id, resource_id): (Option<&Id>, Option<&Id>),
    store_id: &Id,
    (start_at, end_at): (i64, i64),
    reason: &str,
    staff_id: &Id,
    now: i64,
) -> Statement {
    sql!(
        "INSERT INTO block (id, technician_id, store_id, start_at, end_at, reason, status, made_by,
            created_at, resource_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'live', ?7, ?8, ?9)",
        id,
        technician_id,
        store_id,
        start_at,
        end_at,
        reason,
        staff_id,
        now,
        resource_id
    )
}

/// A block with its state.
#[must_use]
pub fn block(id: &Id) -> Statement {
    sql!(
        "SELECT json_object('technician_id', technician_id, 'resource_id', resource_id,
            'store_id', store_id, 'status', status) AS json FROM block WHERE id = ?1",
        id
    )
}

/// Takes a block away.
#[must_use]
pub fn remove_block(id: &Id) -> Statement {
    sql!("UPDATE block SET status = 'removed' WHERE id = ?1 AND status = 'live'", id)
}

/// The member's name and phone, if active.
#[must_use]
pub fn contact_of_member(id: &Id) -> Statement {
    sql!(
        "SELECT json_object('name', nickname, 'phone', coalesce(phone, ''), 'no_shows', no_shows) AS json
         FROM member WHERE id = ?1 AND status = 'active'",
        id
    )
}

/// A member's own address, as an order keeps it.
#[must_use]
pub fn address(id: &Id, member_id: Option<&Id>) -> Statement {
    sql!(
        "SELECT json_object('contact_name', contact_name, 'contact_phone', contact_phone, 'text', text,
            'latitude', latitude, 'longitude', longitude) AS json
         FROM member_address WHERE id = ?1 AND member_id = ?2",
        id,
        member_id
    )
}

/// An order that is to be moved, with one of its lines.
#[must_use]
pub fn order_to_move(order_id: &Id, line_id: &Id) -> Statement {
    to_move("AND l.id = ?2", vec![order_id.into(), line_id.into()])
}

/// An order that is to be moved, with each of its live lines in the order in which they begin.
#[must_use]
pub fn lines_to_move(order_id: &Id) -> Statement {
    to_move("AND l.status = 'live'", vec![order_id.into()])
}

fn to_move(which: &str, params: Vec<Param>) -> Statement {
    let claims = crate::order::queries::claims("o.id");
    // A function of SQLite takes 32 arguments on D1.
    let sql = format!(
        "SELECT json_object('member_id', o.member_id, 'store_id', o.store_id, 'status', o.status,
            'version', o.version,
            'changes', json_array(o.change_notice_minutes, o.moves, o.max_moves),
            'mode', o.mode, 'technician_id', l.technician_id, 'start_at', l.start_at,
            'assignment', l.assignment, 'answer_by', l.answer_by, 'declined_by', json(l.declined_by),
            'service_id', l.service_id,
            'class', json_array(l.session_id, l.seats), 'address', json(o.address),
            'line', json_object('id', l.id, 'end_at', l.end_at, 'guest', l.guest,
                'started_at', l.started_at, 'finished_at', l.finished_at,
                'others', (SELECT json_group_array(json_array(start_at, end_at, guest)) FROM order_line
                    WHERE order_id = o.id AND id <> l.id AND status = 'live')),
            'claims', (SELECT json_group_array(json_array(calendar, claim_id, block_start, block_end)) FROM (
                SELECT * FROM {claims} WHERE line_id = l.id ORDER BY block_start))) AS json
         FROM orders o JOIN order_line l ON l.order_id = o.id {which} WHERE o.id = ?1
         ORDER BY l.start_at, l.rowid"
    );
    Statement::new(sql, params)
}

/// What is taken of a store's calendars that have room for several at once, by claims that begin within an
/// interval: calendar, block, units.
#[must_use]
pub fn crowds(store_id: &Id, from: i64, until: i64) -> Statement {
    sql!(
        "WITH several AS (
            SELECT 'store:' || id AS calendar FROM store WHERE id = ?1 AND capacity > 1
            UNION ALL SELECT 'room:' || id FROM resource
                WHERE store_id = ?1 AND status = 'active' AND capacity > 1)
         SELECT json_group_array(json_array(calendar, block_start, block_end, quantity)) AS json FROM (
            SELECT c.calendar, c.block_start, c.block_end, c.quantity FROM several
                JOIN line_claim c ON c.calendar = several.calendar AND c.status = 'live'
                AND c.start_at >= ?2 AND c.start_at < ?3
            UNION ALL SELECT c.calendar, c.block_start, c.block_end, c.quantity FROM several
                JOIN session_claim c ON c.calendar = several.calendar AND c.status = 'live'
                AND c.start_at >= ?2 AND c.start_at < ?3)",
        store_id,
        from,
        until
    )
}

/// The technician has had a turn.
#[must_use]
pub fn take_turn(technician_id: &Id, now: i64) -> Statement {
    sql!("UPDATE technician SET turn_at = ?2 WHERE id = ?1", technician_id, now)
}

/// A line's next state without a move, if the order stands and is at the version that was read (raises
/// `order_version`). `declines` is whether its technician is one of those who declined it.
#[must_use]
pub fn set_assignment(
    (order_id, version): (&Id, i64),
    line_id: &Id,
    (assignment, answer_by): (Assignment, Option<i64>),
    declines: bool,
    now: i64,
) -> [Statement; 3] {
    [
        crate::d1::precondition(
            "order_version",
            "SELECT 1 FROM orders WHERE id = ?1 AND version = ?2
                AND status IN ('confirmed', 'in_service')",
            vec![order_id.into(), version.into()],
        ),
        sql!(
            "UPDATE orders SET version = version + 1, updated_at = ?2 WHERE id = ?1",
            order_id,
            now
        ),
        sql!(
            "UPDATE order_line SET assignment = ?2, answer_by = ?3, version = version + 1,
                declined_by = CASE WHEN ?4 THEN json_insert(declined_by, '$[#]', technician_id)
                    ELSE declined_by END
             WHERE id = ?1",
            line_id,
            assignment.as_str(),
            answer_by,
            declines
        ),
    ]
}

/// The clock of the answer begins when the order is confirmed: of lines whose technician is to accept them.
#[must_use]
pub fn start_waiting(order_id: &Id, now: i64) -> Statement {
    sql!(
        "UPDATE order_line SET answer_by = min(start_at, ?2 + 60000 * coalesce((
            SELECT ways ->> 'accept_within_minutes' FROM store WHERE id = order_line.store_id), ?3))
         WHERE order_id = ?1 AND assignment = 'asked' AND answer_by IS NULL",
        order_id,
        now,
        USUAL_WAIT_MINUTES
    )
}

/// Lines whose answer is overdue, or whose next technician is to be found: orders and lines. Of a visit that has
/// begun, those that have not.
#[must_use]
pub fn unanswered(now: i64, limit: u32) -> Statement {
    sql!(
        "SELECT json_array(l.order_id, l.id) AS json FROM order_line l JOIN orders o ON o.id = l.order_id
         WHERE l.status = 'live' AND l.assignment IN ('asked', 'declined', 'offered')
            AND l.answer_by <= ?1 AND o.status IN ('confirmed', 'in_service')
            AND l.started_at IS NULL
         ORDER BY l.answer_by LIMIT ?2",
        now,
        limit
    )
}

/// What waits for a technician's answer in a store: what they are asked, and what is offered to all who can
/// do it; to everybody's eyes without one. By start, one more than the limit.
#[must_use]
pub fn open_lines(
    store_id: &Id,
    technician_id: Option<&Id>,
    after: Option<(i64, String)>,
    limit: u32,
) -> Statement {
    let (after_start, after_id) = after.unwrap_or_default();
    sql!(
        format!(
            "SELECT json_object('order_id', l.order_id, 'line_id', l.id, 'assignment', l.assignment,
                'technician_id', CASE l.assignment WHEN 'asked' THEN l.technician_id END,
                'service_id', l.service_id,
                'service_name', s.name, 'start_at', l.start_at, 'end_at', l.end_at,
                'answer_by', l.answer_by, 'note', o.note,
                'time_zone', (SELECT time_zone FROM store WHERE id = l.store_id)) AS json
             FROM order_line l JOIN orders o ON o.id = l.order_id JOIN service s ON s.id = l.service_id
             WHERE l.store_id = ?1 AND l.status = 'live' AND l.assignment IN ('asked', 'offered')
                AND o.status IN ('confirmed', 'in_service') AND l.started_at IS NULL
                AND (l.start_at, l.id) > (CAST(?3 AS INTEGER), ?4)
                AND (?2 IS NULL OR (l.assignment = 'asked' AND l.technician_id = ?2)
                    OR (l.assignment = 'offered' AND EXISTS (SELECT 1 FROM technician t
                        JOIN technician_store ts ON ts.technician_id = t.id AND ts.store_id = l.store_id
                        WHERE t.id = ?2 AND t.status = 'active' AND {ELIGIBLE} AND NOT EXISTS (
                            SELECT 1 FROM json_each(l.declined_by) WHERE value = t.id))))
             ORDER BY l.start_at, l.id LIMIT ?5"
        ),
        store_id,
        technician_id,
        after_start,
        after_id,
        limit + 1
    )
}

/// The member's last twelve appointments that were not given up, of the last fifty orders: starts and
/// technicians.
#[must_use]
pub fn last_visits(member_id: &Id) -> Statement {
    sql!(
        "SELECT json_group_array(json_array(start_at, technician_id)) AS json FROM (
            SELECT start_at, technician_id FROM (
                SELECT start_at, technician_id, status FROM orders WHERE member_id = ?1
                ORDER BY start_at DESC, id DESC LIMIT 50)
            WHERE technician_id IS NOT NULL AND status NOT IN ('cancelled', 'closed', 'no_show')
            LIMIT 12)",
        member_id
    )
}
