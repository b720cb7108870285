//! The catalog's SQL.

use super::record::Table;
use crate::d1::{Param, Statement, precondition};
use crate::http::fields::Id;
use crate::sql;

/// Whether technician `t` is one who does service `s`: a named one when the service names any,
/// otherwise one with all the skills that it needs. What else must hold stands in tables of its own: both
/// are `active`, and the store is in `technician_store` and in `service_store`.
pub const ELIGIBLE: &str = "(CASE
    WHEN EXISTS (SELECT 1 FROM service_technician WHERE service_id = s.id)
    THEN EXISTS (SELECT 1 FROM service_technician WHERE service_id = s.id AND technician_id = t.id)
    ELSE NOT EXISTS (SELECT 1 FROM service_skill AS needed WHERE needed.service_id = s.id
      AND NOT EXISTS (SELECT 1 FROM technician_skill AS known
        WHERE known.technician_id = t.id AND known.skill = needed.skill))
    END)";

/// The cancellation tiers that hold for a service in a store, given the SQL of the service's row and of
/// the store's id: JSON text as it stands in `cancellation`; NULL, which is `Tiers::default()`, where
/// neither says anything, and where there is no store and the service says nothing.
#[must_use]
pub fn cancellation(service: &str, store_id: &str) -> String {
    format!(
        "coalesce({service}.cancellation, (SELECT cancellation FROM store WHERE id = {store_id}))"
    )
}

/// SQL that is true of a service that may be shown, given the SQL of its row: one of mode plan is there only
/// while plans are on.
fn shown(service: &str) -> String {
    let on = crate::plan::queries::PLANS_ON;
    format!("({service}.modes NOT LIKE '%\"plan\"%' OR {on})")
}

// Records. A function of SQLite takes 32 arguments on D1, so the service's is made of two; a patch
// leaves out what is null, so what may be null stands in the first.

const STORE: &str = "json_set(json_object('id', r.id, 'name', r.name, 'address', r.address,
    'latitude', r.latitude, 'longitude', r.longitude, 'phone', r.phone, 'time_zone', r.time_zone,
    'hours', json(r.hours), 'introduction', r.introduction, 'photos', json(r.photos),
    'cancellation', json(r.cancellation), 'capacity', r.capacity, 'ways', json(r.ways), 'status', r.status,
    'version', r.version,
    'visit', json_object('complete_after_minutes', r.complete_after_minutes,
        'no_show_after_minutes', r.no_show_after_minutes,
        'prepay_after_no_shows', r.prepay_after_no_shows)),
  '$.home_service', json(r.home_service))";

const SERVICE: &str =
    "json_set(json_patch(json_object('id', r.id, 'category', r.category, 'name', r.name,
    'description', r.description, 'steps', json(r.steps), 'photos', json(r.photos),
    'duration_minutes', r.duration_minutes, 'buffer_before_minutes', r.buffer_before_minutes,
    'buffer_after_minutes', r.buffer_after_minutes, 'price_fen', r.price_fen,
    'level_prices', json(r.level_prices), 'deposit', json(r.deposit), 'max_per_day', r.max_per_day,
    'cancellation', json(r.cancellation), 'resources', json(r.resources),
    'processing', CASE WHEN r.processing_minutes IS NOT NULL THEN json_object(
      'after_minutes', r.processing_after_minutes, 'minutes', r.processing_minutes) END),
  json_object('places', json(r.places), 'modes', json(r.modes),
    'min_notice_minutes', r.min_notice_minutes, 'max_days_ahead', r.max_days_ahead,
    'change_notice_minutes', r.change_notice_minutes, 'status', r.status, 'version', r.version,
    'reminder_minutes', json(r.reminder_minutes), 'add_ons', json(r.add_ons),
    'stores', json((SELECT json_group_array(store_id) FROM service_store
      JOIN store ON store.id = store_id AND store.status <> 'retired' WHERE service_id = r.id)),
    'skills', json((SELECT json_group_array(skill) FROM service_skill WHERE service_id = r.id)),
    'technicians', json((SELECT json_group_array(technician_id) FROM service_technician
      WHERE service_id = r.id)))), '$.max_moves', r.max_moves, '$.intake', json(r.intake))";

const TECHNICIAN: &str = "json_object('id', r.id, 'name', r.name, 'photo', r.photo,
    'introduction', r.introduction, 'years_experience', r.years_experience, 'level', r.level,
    'works', json(r.works), 'capacity', r.capacity,
    'start_point', json(r.start_point), 'status', r.status, 'version', r.version,
    'skills', json((SELECT json_group_array(skill) FROM technician_skill WHERE technician_id = r.id)),
    'stores', json((SELECT json_group_array(store_id) FROM technician_store
      JOIN store ON store.id = store_id AND store.status <> 'retired' WHERE technician_id = r.id)))";

const RESOURCE: &str =
    "json_object('id', r.id, 'store_id', r.store_id, 'kind', r.kind, 'type', r.type,
    'name', r.name, 'capacity', r.capacity, 'status', r.status, 'version', r.version)";

const ITEM: &str = "json_object('id', r.id, 'store_id', r.store_id, 'category', r.category,
    'name', r.name, 'description', r.description, 'photo', r.photo, 'price_fen', r.price_fen,
    'max_per_order', r.max_per_order, 'status', r.status, 'version', r.version)";

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Service => "service",
            Self::Technician => "technician",
            Self::Resource => "resource",
            Self::Item => "item",
            Self::Photo => "photo",
        }
    }

    const fn json(self) -> &'static str {
        match self {
            Self::Store => STORE,
            Self::Service => SERVICE,
            Self::Technician => TECHNICIAN,
            Self::Resource => RESOURCE,
            Self::Item => ITEM,
            Self::Photo => "json_object('id', r.id)",
        }
    }

    /// Whether row `r` is there to be named.
    const fn usable(self) -> &'static str {
        match self {
            Self::Photo => "true",
            _ => "r.status <> 'retired'",
        }
    }
}

/// One row.
pub fn record(table: Table, id: &Id) -> Statement {
    let (json, name) = (table.json(), table.name());
    let shown = if matches!(table, Table::Service) { shown("r") } else { "true".into() };
    Statement::new(
        format!("SELECT {json} AS json FROM {name} AS r WHERE r.id = ?1 AND {shown}"),
        vec![id.into()],
    )
}

/// A row's version, of a row that may be changed.
pub fn is_at(table: Table, id: &Id, version: i64) -> Statement {
    let name = table.name();
    let condition = format!(
        "EXISTS (SELECT 1 FROM {name} WHERE id = ?1 AND version = ?2 AND status <> 'retired')"
    );
    precondition("catalog_version", &condition, vec![id.into(), version.into()])
}

/// Ids that name something.
pub fn all_exist(table: Table, ids: &str) -> Statement {
    let (name, usable) = (table.name(), table.usable());
    let condition = format!(
        "NOT EXISTS (SELECT 1 FROM json_each(?1) AS named
           WHERE NOT EXISTS (SELECT 1 FROM {name} AS r WHERE r.id = named.value AND {usable}))"
    );
    precondition(&format!("{name}s_exist"), &condition, vec![ids.into()])
}

/// The first of several ids that names nothing.
pub fn missing(table: Table, ids: &str) -> Statement {
    let (name, usable) = (table.name(), table.usable());
    let sql = format!(
        "SELECT json_quote(named.value) AS json FROM json_each(?1) AS named
         WHERE NOT EXISTS (SELECT 1 FROM {name} AS r WHERE r.id = named.value AND {usable})
         ORDER BY named.key LIMIT 1"
    );
    Statement::new(sql, vec![ids.into()])
}

/// Marks a row as retired.
pub fn retire(table: Table, id: &Id, now: i64) -> Statement {
    let name = table.name();
    let sql = format!(
        "UPDATE {name} SET status = 'retired', version = version + 1, updated_at = ?2 WHERE id = ?1"
    );
    Statement::new(sql, vec![id.into(), now.into()])
}

/// Live lines from `?2` (UTC milliseconds) on of row `?1`, however long the history is: a line is no
/// longer than a day, and the indexes go by start or by date.
const fn lines_of(table: Table) -> &'static str {
    match table {
        Table::Service => {
            "l.service_id = ?1 AND l.store_id IN (SELECT id FROM store) AND l.status = 'live'
             AND l.date >= date(?2 / 1000 - 172800, 'unixepoch') AND l.end_at > ?2"
        }
        Table::Technician => {
            "l.technician_id = ?1 AND l.start_at > ?2 - 86400000 AND l.status = 'live' AND l.end_at > ?2"
        }
        Table::Resource => {
            "l.id IN (SELECT line_id FROM line_claim WHERE calendar = 'room:' || ?1
               AND start_at > ?2 - 86400000 AND status = 'live' AND end_at > ?2)"
        }
        Table::Store | Table::Photo | Table::Item => {
            "l.store_id = ?1 AND l.start_at > ?2 - 86400000 AND l.status = 'live' AND l.end_at > ?2"
        }
    }
}

/// Scheduled sessions from `?2` (UTC milliseconds) on of row `?1`.
const fn sessions_of(table: Table) -> &'static str {
    match table {
        Table::Service => {
            "l.service_id = ?1 AND l.store_id IN (SELECT id FROM store) AND l.status = 'scheduled'
             AND l.start_at > ?2 - 86400000 AND l.end_at > ?2"
        }
        Table::Technician => {
            "l.technician_id = ?1 AND l.status = 'scheduled' AND l.start_at > ?2 - 86400000
             AND l.end_at > ?2"
        }
        Table::Resource => {
            "l.room_id = ?1 AND l.status = 'scheduled' AND l.start_at > ?2 - 86400000
             AND l.end_at > ?2"
        }
        Table::Store | Table::Photo | Table::Item => {
            "l.store_id = ?1 AND l.status = 'scheduled' AND l.start_at > ?2 - 86400000
             AND l.end_at > ?2"
        }
    }
}

/// No live line of a row lies in the future.
pub fn no_appointments(table: Table, id: &Id, now: i64) -> Statement {
    let condition = format!(
        "NOT EXISTS (SELECT 1 FROM order_line AS l WHERE {}) AND NOT EXISTS (
            SELECT 1 FROM session AS l WHERE {})",
        lines_of(table),
        sessions_of(table)
    );
    precondition("no_appointments", &condition, vec![id.into(), now.into()])
}

const APPOINTMENT: &str = "json_object('order_id', l.order_id, 'line_id', l.id,
    'technician_id', l.technician_id, 'start_at', l.start_at, 'end_at', l.end_at, 'time_zone',
    (SELECT time_zone FROM store WHERE id = l.store_id))";

const CLASS: &str = "json_object('session_id', l.id, 'technician_id', l.technician_id,
    'start_at', l.start_at, 'end_at', l.end_at, 'time_zone',
    (SELECT time_zone FROM store WHERE id = l.store_id))";

/// The first 50 live lines of a row that lie in the future, and its sessions.
pub fn appointments_of(table: Table, id: &Id, now: i64) -> Statement {
    let sql = format!(
        "SELECT json FROM (
            SELECT l.start_at, l.id, {APPOINTMENT} AS json FROM order_line AS l WHERE {}
            UNION ALL SELECT l.start_at, l.id, {CLASS} FROM session AS l WHERE {})
         ORDER BY start_at, id LIMIT 50",
        lines_of(table),
        sessions_of(table)
    );
    Statement::new(sql, vec![id.into(), now.into()])
}

/// The lines and sessions whose time is taken by these claims.
pub fn appointments_by_claim(claims: &str) -> Statement {
    let sql = format!(
        "SELECT json FROM (
            SELECT l.start_at, l.id, {APPOINTMENT} AS json FROM order_line AS l
                WHERE l.claim_id IN (SELECT value FROM json_each(?1))
            UNION ALL SELECT l.start_at, l.id, {CLASS} FROM session_claim AS c
                JOIN session AS l ON l.id = c.session_id
                WHERE c.claim_id IN (SELECT value FROM json_each(?1)))
         ORDER BY start_at, id"
    );
    Statement::new(sql, vec![claims.into()])
}

// Lists. A scope is a JSON list of stores, or NULL for all of them.

/// A merchant's page of stores.
pub fn list_stores(scope: Option<String>, after: (String, String), limit: i64) -> Statement {
    let sql = format!(
        "SELECT {STORE} AS json FROM store AS r
         WHERE (r.name, r.id) > (?2, ?3)
           AND (?1 IS NULL OR r.id IN (SELECT value FROM json_each(?1)))
         ORDER BY r.name, r.id LIMIT ?4"
    );
    Statement::new(sql, vec![scope.into(), after.0.into(), after.1.into(), limit.into()])
}

/// A merchant's page of services.
pub fn list_services(
    scope: Option<String>,
    after: (String, String, String),
    limit: i64,
) -> Statement {
    let sql = format!(
        "SELECT {SERVICE} AS json FROM service AS r
         WHERE (r.category, r.name, r.id) > (?2, ?3, ?4) AND {}
           AND (?1 IS NULL OR EXISTS (SELECT 1 FROM service_store WHERE service_id = r.id
             AND store_id IN (SELECT value FROM json_each(?1))))
         ORDER BY r.category, r.name, r.id LIMIT ?5",
        shown("r")
    );
    let params = vec![scope.into(), after.0.into(), after.1.into(), after.2.into(), limit.into()];
    Statement::new(sql, params)
}

/// A merchant's page of technicians.
pub fn list_technicians(scope: Option<String>, after: (String, String), limit: i64) -> Statement {
    let sql = format!(
        "SELECT {TECHNICIAN} AS json FROM technician AS r
         WHERE (r.name, r.id) > (?2, ?3)
           AND (?1 IS NULL OR EXISTS (SELECT 1 FROM technician_store WHERE technician_id = r.id
             AND store_id IN (SELECT value FROM json_each(?1))))
         ORDER BY r.name, r.id LIMIT ?4"
    );
    Statement::new(sql, vec![scope.into(), after.0.into(), after.1.into(), limit.into()])
}

/// A customer's page of stores by name.
pub fn stores_by_name(after: (String, String), limit: i64) -> Statement {
    let sql = format!(
        "SELECT {STORE} AS json FROM store AS r
         WHERE (r.name, r.id) > (?1, ?2) AND r.status <> 'retired'
         ORDER BY r.name, r.id LIMIT ?3"
    );
    Statement::new(sql, vec![after.0.into(), after.1.into(), limit.into()])
}

/// Stores whose name or address has the text `q` in it, lower-cased; `pieces` are its bigrams.
pub fn stores_by_text(q: &str, pieces: &str, after: (String, String), limit: i64) -> Statement {
    let sql = format!(
        "SELECT {STORE} AS json FROM store AS r
         WHERE (r.name, r.id) > (?3, ?4) AND r.status <> 'retired'
           AND r.id IN (SELECT store_id FROM store_bigram
             WHERE bigram IN (SELECT value FROM json_each(?2))
             GROUP BY store_id HAVING count(*) = json_array_length(?2))
           AND (instr(lower(r.name), ?1) > 0 OR instr(lower(r.address), ?1) > 0)
         ORDER BY r.name, r.id LIMIT ?5"
    );
    let params = vec![q.into(), pieces.into(), after.0.into(), after.1.into(), limit.into()];
    Statement::new(sql, params)
}

/// Stores inside a box, by what is their distance on a plane. `q` as in [`stores_by_text`].
pub fn stores_near(
    area: &super::near::Area,
    (latitude, longitude): (f64, f64),
    q: Option<String>,
    limit: i64,
) -> Statement {
    let sql = format!(
        "SELECT {STORE} AS json, min(abs(r.longitude - ?8), 360 - abs(r.longitude - ?8)) * ?9 AS east
         FROM store AS r INDEXED BY store_near
         WHERE r.status <> 'retired' AND r.latitude BETWEEN ?1 AND ?2
           AND (r.longitude BETWEEN ?3 AND ?4 OR r.longitude BETWEEN ?5 AND ?6)
           AND (?10 IS NULL OR instr(lower(r.name), ?10) > 0 OR instr(lower(r.address), ?10) > 0)
         ORDER BY (r.latitude - ?7) * (r.latitude - ?7) + east * east LIMIT ?11"
    );
    let [west, east] = area.longitudes;
    let mut params: Vec<Param> = [
        area.latitude.0,
        area.latitude.1,
        west.0,
        west.1,
        east.0,
        east.1,
        latitude,
        longitude,
        latitude.to_radians().cos(),
    ]
    .into_iter()
    .map(Param::from)
    .collect();
    params.extend([q.into(), limit.into()]);
    Statement::new(sql, params)
}

/// A service as customers see it, with the tiers that hold in the store that `store` is the SQL of.
fn public_service(store: &str) -> String {
    let cancellation = cancellation("r", store);
    format!("json_set({SERVICE}, '$.cancellation', json({cancellation}))")
}

/// An active service, in one of its stores or in none.
pub fn service(id: &Id, store: Option<&Id>) -> Statement {
    let json = public_service("?2");
    let sql = format!(
        "SELECT {json} AS json FROM service AS r
         WHERE r.id = ?1 AND r.status = 'active' AND {}
           AND (?2 IS NULL OR EXISTS (SELECT 1 FROM service_store
             WHERE service_id = r.id AND store_id = ?2))",
        shown("r")
    );
    Statement::new(sql, vec![id.into(), store.into()])
}

/// A customer's page of services, in one store or in any.
pub fn services(
    store: Option<&Id>,
    category: Option<&str>,
    after: (String, String, String),
    limit: i64,
) -> Statement {
    let json = public_service("?1");
    let sql = format!(
        "SELECT {json} AS json FROM service AS r
         WHERE (r.category, r.name, r.id) > (?3, ?4, ?5) AND r.status = 'active' AND {}
           AND (?2 IS NULL OR r.category = ?2)
           AND (?1 IS NULL OR EXISTS (SELECT 1 FROM service_store
             WHERE service_id = r.id AND store_id = ?1))
         ORDER BY r.category, r.name, r.id LIMIT ?6",
        shown("r")
    );
    let params = vec![
        store.into(),
        category.into(),
        after.0.into(),
        after.1.into(),
        after.2.into(),
        limit.into(),
    ];
    Statement::new(sql, params)
}

/// A customer's page of technicians.
pub fn technicians(
    store: Option<&Id>,
    service: Option<&Id>,
    after: (String, String),
    limit: i64,
) -> Statement {
    let sql = format!(
        "SELECT {TECHNICIAN} AS json FROM technician AS r JOIN technician AS t ON t.id = r.id
         WHERE (r.name, r.id) > (?3, ?4) AND r.status = 'active'
           AND (?1 IS NULL OR EXISTS (SELECT 1 FROM technician_store
             WHERE technician_id = r.id AND store_id = ?1))
           AND (?2 IS NULL OR EXISTS (SELECT 1 FROM service AS s WHERE s.id = ?2
             AND s.status = 'active' AND {ELIGIBLE}
             AND EXISTS (SELECT 1 FROM service_store AS at JOIN technician_store AS works
               ON works.store_id = at.store_id AND works.technician_id = r.id
               WHERE at.service_id = s.id AND (?1 IS NULL OR at.store_id = ?1))))
         ORDER BY r.name, r.id LIMIT ?5"
    );
    let params = vec![store.into(), service.into(), after.0.into(), after.1.into(), limit.into()];
    Statement::new(sql, params)
}

/// What a technician does in some store, by category and name.
pub fn services_of(technician: &Id) -> Statement {
    let shown = shown("s");
    Statement::new(
        format!(
            "SELECT json_object('id', s.id, 'category', s.category, 'name', s.name,
                'duration_minutes', s.duration_minutes, 'price_fen', s.price_fen) AS json
             FROM technician AS t JOIN service AS s
             WHERE t.id = ?1 AND s.status = 'active' AND {shown} AND {ELIGIBLE}
               AND EXISTS (SELECT 1 FROM service_store AS at JOIN technician_store AS works
                 ON works.store_id = at.store_id AND works.technician_id = t.id
                 JOIN store ON store.id = at.store_id AND store.status <> 'retired'
                 WHERE at.service_id = s.id)
             ORDER BY s.category, s.name, s.id LIMIT 200"
        ),
        vec![technician.into()],
    )
}

// Writing. A document is the row as one JSON text; a row that is there already is changed.

/// A store's row and its bigrams.
pub fn put_store(id: &Id, document: &str, pieces: &str, now: i64) -> Vec<Statement> {
    vec![
        sql!(
            "INSERT INTO store (id, name, address, latitude, longitude, phone, time_zone, hours,
               introduction, photos, cancellation, capacity, ways, home_service, status, complete_after_minutes,
               no_show_after_minutes, prepay_after_no_shows, created_at, updated_at)
             SELECT ?1, ?2 ->> 'name', ?2 ->> 'address', ?2 ->> 'latitude', ?2 ->> 'longitude',
               ?2 ->> 'phone', ?2 ->> 'time_zone', ?2 -> 'hours', ?2 ->> 'introduction',
               ?2 -> 'photos', ?2 ->> 'cancellation', ?2 ->> 'capacity', ?2 -> 'ways',
               ?2 ->> 'home_service', ?2 ->> 'status',
               ?2 ->> '$.visit.complete_after_minutes', ?2 ->> '$.visit.no_show_after_minutes',
               ?2 ->> '$.visit.prepay_after_no_shows', ?3, ?3
             WHERE true
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address,
               latitude = excluded.latitude, longitude = excluded.longitude,
               phone = excluded.phone, hours = excluded.hours,
               introduction = excluded.introduction, photos = excluded.photos,
               cancellation = excluded.cancellation, capacity = excluded.capacity,
               home_service = excluded.home_service,
               ways = excluded.ways,
               complete_after_minutes = excluded.complete_after_minutes,
               no_show_after_minutes = excluded.no_show_after_minutes,
               prepay_after_no_shows = excluded.prepay_after_no_shows,
               status = excluded.status, version = store.version + 1,
               updated_at = excluded.updated_at",
            id,
            document,
            now
        ),
        sql!("DELETE FROM store_bigram WHERE store_id = ?1", id),
        sql!(
            "INSERT INTO store_bigram (bigram, store_id) SELECT value, ?1 FROM json_each(?2)",
            id,
            pieces
        ),
    ]
}

/// A service's row and its lists.
pub fn put_service(id: &Id, document: &str, now: i64) -> Vec<Statement> {
    vec![
        sql!(
            "INSERT INTO service (id, category, name, description, steps, photos, duration_minutes,
               buffer_before_minutes, buffer_after_minutes, price_fen, level_prices, deposit, places,
               modes, min_notice_minutes, max_days_ahead, max_per_day, change_notice_minutes,
                max_moves, cancellation, reminder_minutes, resources, add_ons,
                processing_after_minutes, processing_minutes, intake, status,
               created_at, updated_at)
             SELECT ?1, ?2 ->> 'category', ?2 ->> 'name', ?2 ->> 'description', ?2 -> 'steps',
               ?2 -> 'photos', ?2 ->> 'duration_minutes', ?2 ->> 'buffer_before_minutes',
               ?2 ->> 'buffer_after_minutes', ?2 ->> 'price_fen', ?2 -> 'level_prices',
               ?2 -> 'deposit', ?2 -> 'places', ?2 -> 'modes', ?2 ->> 'min_notice_minutes',
               ?2 ->> 'max_days_ahead', ?2 ->> 'max_per_day', ?2 ->> 'change_notice_minutes',
               ?2 ->> 'max_moves', ?2 ->> 'cancellation', ?2 -> 'reminder_minutes', ?2 -> 'resources',
                ?2 -> 'add_ons', ?2 ->> '$.processing.after_minutes',
                ?2 ->> '$.processing.minutes', ?2 ->> 'intake', 'active', ?3, ?3
             WHERE true
             ON CONFLICT (id) DO UPDATE SET category = excluded.category, name = excluded.name,
               description = excluded.description, steps = excluded.steps,
               photos = excluded.photos, duration_minutes = excluded.duration_minutes,
               buffer_before_minutes = excluded.buffer_before_minutes,
               buffer_after_minutes = excluded.buffer_after_minutes,
               price_fen = excluded.price_fen, level_prices = excluded.level_prices,
               deposit = excluded.deposit, places = excluded.places, modes = excluded.modes,
               min_notice_minutes = excluded.min_notice_minutes,
               max_days_ahead = excluded.max_days_ahead, max_per_day = excluded.max_per_day,
               change_notice_minutes = excluded.change_notice_minutes,
               max_moves = excluded.max_moves, cancellation = excluded.cancellation,
               reminder_minutes = excluded.reminder_minutes, resources = excluded.resources,
               add_ons = excluded.add_ons,
               processing_after_minutes = excluded.processing_after_minutes,
               processing_minutes = excluded.processing_minutes, intake = excluded.intake,
               version = service.version + 1, updated_at = excluded.updated_at",
            id,
            document,
            now
        ),
        sql!("DELETE FROM service_store WHERE service_id = ?1", id),
        sql!(
            "INSERT INTO service_store (service_id, store_id)
             SELECT ?1, value FROM json_each(?2, '$.stores')",
            id,
            document
        ),
        sql!("DELETE FROM service_skill WHERE service_id = ?1", id),
        sql!(
            "INSERT INTO service_skill (service_id, skill)
             SELECT ?1, value FROM json_each(?2, '$.skills')",
            id,
            document
        ),
        sql!("DELETE FROM service_technician WHERE service_id = ?1", id),
        sql!(
            "INSERT INTO service_technician (service_id, technician_id)
             SELECT ?1, value FROM json_each(?2, '$.technicians')",
            id,
            document
        ),
    ]
}

/// A technician's row and lists.
pub fn put_technician(id: &Id, document: &str, now: i64) -> Vec<Statement> {
    vec![
        sql!(
            "INSERT INTO technician (id, name, photo, introduction, years_experience, level, works,
               capacity, start_point, status, created_at, updated_at)
             SELECT ?1, ?2 ->> 'name', ?2 ->> 'photo', ?2 ->> 'introduction',
               ?2 ->> 'years_experience', ?2 ->> 'level', ?2 -> 'works', ?2 ->> 'capacity',
               ?2 ->> 'start_point', 'active', ?3, ?3
             WHERE true
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, photo = excluded.photo,
               introduction = excluded.introduction, years_experience = excluded.years_experience,
               level = excluded.level, works = excluded.works, capacity = excluded.capacity,
               start_point = excluded.start_point,
               version = technician.version + 1, updated_at = excluded.updated_at",
            id,
            document,
            now
        ),
        sql!("DELETE FROM technician_store WHERE technician_id = ?1", id),
        sql!(
            "INSERT INTO technician_store (technician_id, store_id)
             SELECT ?1, value FROM json_each(?2, '$.stores')",
            id,
            document
        ),
        sql!("DELETE FROM technician_skill WHERE technician_id = ?1", id),
        sql!(
            "INSERT INTO technician_skill (technician_id, skill)
             SELECT ?1, value FROM json_each(?2, '$.skills')",
            id,
            document
        ),
    ]
}

/// The resources of a store, by type and name.
pub fn resources(store: &Id, after: (String, String, String), limit: i64) -> Statement {
    let sql = format!(
        "SELECT {RESOURCE} AS json FROM resource AS r
         WHERE r.store_id = ?1 AND (r.type, r.name, r.id) > (?2, ?3, ?4)
         ORDER BY r.type, r.name, r.id LIMIT ?5"
    );
    let params = vec![store.into(), after.0.into(), after.1.into(), after.2.into(), limit.into()];
    Statement::new(sql, params)
}

/// A resource's row; its store, kind and type stay as they were made.
pub fn put_resource(id: &Id, document: &str, now: i64) -> Statement {
    sql!(
        "INSERT INTO resource (id, store_id, kind, type, name, capacity, status, created_at, updated_at)
         SELECT ?1, ?2 ->> 'store_id', ?2 ->> 'kind', ?2 ->> 'type', ?2 ->> 'name', ?2 ->> 'capacity',
           'active', ?3, ?3
         WHERE true
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, capacity = excluded.capacity,
           version = resource.version + 1, updated_at = excluded.updated_at",
        id,
        document,
        now
    )
}

/// The items of a store, by category and name, with those that are retired or without.
pub fn items(store: &Id, retired: bool, after: (String, String, String), limit: i64) -> Statement {
    let sold = if retired {
        ""
    } else {
        "AND r.status = 'active'
           AND EXISTS (SELECT 1 FROM store WHERE id = ?1 AND status <> 'retired')"
    };
    let sql = format!(
        "SELECT {ITEM} AS json FROM item AS r
         WHERE r.store_id = ?1 AND (r.category, r.name, r.id) > (?2, ?3, ?4) {sold}
         ORDER BY r.category, r.name, r.id LIMIT ?5"
    );
    let params = vec![store.into(), after.0.into(), after.1.into(), after.2.into(), limit.into()];
    Statement::new(sql, params)
}

/// An item's row; its store stays as it was made.
pub fn put_item(id: &Id, document: &str, now: i64) -> Statement {
    sql!(
        "INSERT INTO item (id, store_id, category, name, description, photo, price_fen,
           max_per_order, status, created_at, updated_at)
         SELECT ?1, ?2 ->> 'store_id', ?2 ->> 'category', ?2 ->> 'name', ?2 ->> 'description',
           ?2 ->> 'photo', ?2 ->> 'price_fen', ?2 ->> 'max_per_order', 'active', ?3, ?3
         WHERE true
         ON CONFLICT (id) DO UPDATE SET category = excluded.category, name = excluded.name,
           description = excluded.description, photo = excluded.photo,
           price_fen = excluded.price_fen, max_per_order = excluded.max_per_order,
           version = item.version + 1, updated_at = excluded.updated_at",
        id,
        document,
        now
    )
}

// Working windows and holidays.

/// What a calendar object must know of D1: capacity, the stores worked in (none when it is used no more)
/// with their zones, and their holidays from the date `since` on; no row for a name of nothing.
pub fn calendar(name: &str, since: chrono::NaiveDate) -> Statement {
    match name.split_once(':') {
        Some(("room", id)) => sql!(
            "SELECT json_object('capacity', r.capacity, 'stores', CASE WHEN r.status = 'active'
                AND s.status <> 'retired' THEN json_array(json_object('id', s.id, 'zone', s.time_zone,
                'holidays', json_array())) ELSE json_array() END) AS json
             FROM resource AS r JOIN store AS s ON s.id = r.store_id WHERE r.id = ?1",
            id
        ),
        Some(("store", id)) => sql!(
            "SELECT json_object('capacity', coalesce(capacity, 1), 'stores', CASE
                WHEN capacity IS NOT NULL AND status <> 'retired' THEN json_array(json_object('id', id,
                'zone', time_zone, 'holidays', json_array())) ELSE json_array() END) AS json
             FROM store WHERE id = ?1",
            id
        ),
        Some(("session", id)) => sql!(
            "SELECT json_object('capacity', capacity, 'stores', json_array(),
                'only', json_array(start_at, end_at)) AS json FROM session WHERE id = ?1",
            id
        ),
        Some((_, id)) => calendar_of(id, since),
        None => calendar_of("", since),
    }
}

/// What a technician's calendar object must know of D1: capacity, the stores worked in (none when
/// retired) with their zones, and their holidays from the date `since` on.
pub fn calendar_of(technician: &str, since: chrono::NaiveDate) -> Statement {
    sql!(
        "SELECT json_object('capacity', t.capacity, 'status', t.status, 'stores',
           json((SELECT json_group_array(json_object('id', store.id, 'zone', store.time_zone,
               'holidays', json((SELECT json_group_array(date) FROM store_holiday
                 WHERE store_id = store.id AND date >= ?2))))
             FROM technician_store AS works JOIN store ON store.id = works.store_id
             WHERE works.technician_id = t.id AND t.status = 'active'
               AND store.status <> 'retired'))) AS json
         FROM technician AS t WHERE t.id = ?1",
        technician,
        since
    )
}

/// An outbox row has been delivered.
pub fn delivered(outbox_id: &Id) -> Statement {
    sql!("DELETE FROM outbox WHERE id = ?1", outbox_id)
}

/// Outbox rows that tell every technician of a store's calendar what D1 says.
pub fn sync_technicians_of(store: &Id, now: i64) -> Statement {
    sql!(
        "INSERT INTO outbox (id, topic, payload, due_at, created_at)
         SELECT lower(hex(randomblob(16))), 'sync_calendar',
           json_object('topic', 'sync_calendar', 'calendar', 'technician:' || technician_id), ?2, ?2
         FROM technician_store WHERE store_id = ?1",
        store,
        now
    )
}

/// The active technicians of a store.
pub fn technicians_of(store: &Id) -> Statement {
    sql!(
        "SELECT json_quote(t.id) AS json FROM technician_store AS works
         JOIN technician AS t ON t.id = works.technician_id AND t.status = 'active'
         WHERE works.store_id = ?1 ORDER BY t.id",
        store
    )
}

/// A store's holidays from one date to another, both among them.
pub fn holidays(store: &Id, from: chrono::NaiveDate, to: Option<chrono::NaiveDate>) -> Statement {
    sql!(
        "SELECT json_object('date', date, 'name', name) AS json FROM store_holiday
         WHERE store_id = ?1 AND date >= ?2 AND (?3 IS NULL OR date <= ?3)
         ORDER BY date LIMIT 1000",
        store,
        from,
        to
    )
}

/// Makes a date a holiday.
pub fn put_holiday(store: &Id, date: chrono::NaiveDate, name: &str) -> Statement {
    sql!(
        "INSERT INTO store_holiday (store_id, date, name) VALUES (?1, ?2, ?3)
         ON CONFLICT (store_id, date) DO UPDATE SET name = excluded.name",
        store,
        date,
        name
    )
}

/// Makes a date a working day again.
pub fn delete_holiday(store: &Id, date: chrono::NaiveDate) -> Statement {
    sql!("DELETE FROM store_holiday WHERE store_id = ?1 AND date = ?2", store, date)
}

// Photos.

/// A photo's row.
pub fn add_photo(id: &Id, content_type: &str, bytes: i64, now: i64) -> Statement {
    sql!(
        "INSERT INTO photo (id, content_type, bytes, uploaded_at) VALUES (?1, ?2, ?3, ?4)",
        id,
        content_type,
        bytes,
        now
    )
}

/// Deletes the rows of at most `limit` photos, uploaded before `before`, that no row points to. Every
/// row that begins to point to a photo requires in the same batch that it is there.
pub fn delete_unused_photos(before: i64, limit: i64) -> Statement {
    sql!(
        "DELETE FROM photo WHERE id IN (
           SELECT photo.id FROM photo
           WHERE photo.uploaded_at < ?1
             AND NOT EXISTS (SELECT 1 FROM member WHERE avatar = photo.id)
             AND NOT EXISTS (SELECT 1 FROM visit_photo WHERE photo_id = photo.id)
             AND NOT EXISTS (SELECT 1 FROM item WHERE item.photo = photo.id)
             AND photo.id NOT IN (
               SELECT shown.value FROM store, json_each(store.photos) AS shown
               UNION ALL SELECT shown.value FROM service, json_each(service.photos) AS shown
               UNION ALL SELECT photo FROM technician WHERE photo IS NOT NULL
               UNION ALL SELECT shown.value ->> 'photo'
                 FROM technician, json_each(technician.works) AS shown)
           ORDER BY photo.uploaded_at LIMIT ?2)
         RETURNING json_quote(id) AS json",
        before,
        limit
    )
}
