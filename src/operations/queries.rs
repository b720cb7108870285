//! The SQL of operations.

use crate::d1::Statement;
use crate::sql;

/// Jobs, outbox and drift in one row.
#[must_use]
pub fn operations() -> Statement {
    sql!(
        "SELECT json_object(
            'jobs', (SELECT json_group_array(json_array(name, started_at, finished_at, outcome, runs,
                failures)) FROM job),
            'depth', (SELECT count(*) FROM outbox WHERE dead = 0),
            'oldest_at', (SELECT min(created_at) FROM outbox WHERE dead = 0),
            'dead', (SELECT count(*) FROM outbox WHERE dead = 1),
            'dead_rows', (SELECT json_group_array(json_array(id, topic, attempts, last_error, created_at))
                FROM (SELECT * FROM outbox WHERE dead = 1 ORDER BY due_at DESC LIMIT 50)),
            'drift', (SELECT json_group_array(json_array(kind, count, last_at, last_detail)) FROM drift)
         ) AS json"
    )
}
