//! The calendar's rows. Every function here is synchronous, so a decision and its write share one
//! stretch in which nothing else can run.

use serde::Deserialize;
use worker::{Error, Result, SqlStorage, SqlStorageValue as Value};
use zhundian_domain::calendar::{
    Change, Claim, ClaimKind, ClaimSpec, ClaimState, MAX_BLOCK_TICKS, ids,
};
use zhundian_domain::home::{Home, MAX_WAY_TICKS};
use zhundian_domain::time::{Interval, TICK_MS, Tick, UtcDay};
use zhundian_domain::working::WorkingRules;

use crate::calls::{HORIZON_DAYS, MAX_CLAIMS, WrittenDay};
use crate::storage::{json_rows, run};

/// Each entry brings the schema from its index to the next one.
const SCHEMA: &[&[&str]] = &[FIRST, HOMES];

const FIRST: &[&str] = &[
    "CREATE TABLE claim (
        id TEXT PRIMARY KEY NOT NULL,
        op TEXT NOT NULL,
        store_id TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('appointment', 'block')),
        start_at INTEGER NOT NULL,
        end_at INTEGER NOT NULL,
        block_start INTEGER NOT NULL,
        block_end INTEGER NOT NULL,
        quantity INTEGER NOT NULL CHECK (quantity >= 1),
        replaces TEXT,
        state TEXT NOT NULL CHECK (state IN ('held', 'confirmed', 'released')),
        expires_at INTEGER,
        -- The runs of the operation that were answered with this claim.
        runs TEXT NOT NULL DEFAULT '[]',
        version INTEGER NOT NULL,
        CHECK (block_start <= start_at AND start_at < end_at AND end_at <= block_end),
        CHECK ((state = 'held') = (expires_at IS NOT NULL))
    ) STRICT, WITHOUT ROWID",
    "CREATE INDEX claim_live ON claim (block_start) WHERE state <> 'released'",
    "CREATE UNIQUE INDEX claim_op ON claim (op) WHERE state <> 'released'",
    "CREATE INDEX claim_expiry ON claim (expires_at) WHERE state = 'held'",
    "CREATE INDEX claim_tombstone ON claim (block_end) WHERE state = 'released'",
    // Days whose projection may not have reached D1.
    "CREATE TABLE outbox (
        store_id TEXT NOT NULL,
        day INTEGER NOT NULL,
        version INTEGER NOT NULL,
        due_at INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (store_id, day)
    ) STRICT, WITHOUT ROWID",
    "CREATE INDEX outbox_due ON outbox (due_at)",
    // The working rules are one document: they are read and changed as a whole.
    "CREATE TABLE window (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        rules TEXT NOT NULL,
        capacity INTEGER NOT NULL CHECK (capacity >= 1)
    ) STRICT",
    "INSERT INTO window (one, rules, capacity) VALUES
        (1, '{\"stores\":{},\"weekly\":[],\"overrides\":[],\"times_off\":[],\"holidays\":[]}', 1)",
    "CREATE TABLE meta (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        schema INTEGER NOT NULL,
        version INTEGER NOT NULL,
        projected_until INTEGER NOT NULL,
        alarm_at INTEGER
    ) STRICT",
    "INSERT INTO meta (one, schema, version, projected_until) VALUES (1, 1, 0, 0)",
];

const HOMES: &[&str] = &[
    // JSON of where an appointment takes place, when not in the store.
    "ALTER TABLE claim ADD COLUMN home TEXT CHECK (json_valid(home))",
    "CREATE INDEX claim_home ON claim (block_start)
        WHERE home IS NOT NULL AND state <> 'released'",
    // Every day projected says more from now on, so all of them are due once more.
    "UPDATE meta SET version = version + 1 WHERE projected_until > 0",
    "WITH RECURSIVE ahead (day) AS (
        SELECT projected_until - 93 FROM meta WHERE projected_until > 0
        UNION ALL SELECT day + 1 FROM ahead, meta WHERE day + 1 < projected_until)
     INSERT INTO outbox (store_id, day, version, due_at)
     SELECT store.key, ahead.day, meta.version, 0
        FROM ahead, meta, window, json_each(window.rules, '$.stores') AS store WHERE true
     ON CONFLICT (store_id, day) DO UPDATE SET version = excluded.version, due_at = 0",
];

/// How long the caller has to write a reply's days to D1 before the object does.
pub const PROJECTION_GRACE_MS: i64 = 30_000;
/// Projected days sent to D1 in one statement.
pub const PROJECTION_BATCH: usize = 200;
/// How long a tombstone is kept: no outbox retries a confirm for longer.
pub const TOMBSTONE_MS: i64 = 30 * 86_400_000;

const CLAIM_JSON: &str = "json_array(id, op, store_id, kind, start_at, end_at, block_start, \
     block_end, quantity, replaces, state, expires_at, json(home))";

/// The calendar's rows of one object.
#[derive(Clone)]
pub struct Rows(pub SqlStorage);

/// The object's own numbers.
#[derive(Clone, Copy, Deserialize)]
pub struct Meta {
    /// Grows with every change.
    pub version: i64,
    /// First UTC day not projected yet.
    pub projected_until: i64,
    /// When the alarm is set for.
    pub alarm_at: Option<i64>,
}

#[derive(Deserialize)]
struct ClaimRow(
    String,
    String,
    String,
    ClaimKind,
    i64,
    i64,
    i64,
    i64,
    u16,
    Option<String>,
    String,
    Option<i64>,
    Option<Box<Home>>,
);

impl ClaimRow {
    fn into_claim(self) -> Result<Claim> {
        let Self(
            id,
            op,
            store_id,
            kind,
            start,
            end,
            block_start,
            block_end,
            quantity,
            replaces,
            state,
            expires,
            home,
        ) = self;
        let interval = |start: i64, end: i64| {
            Tick::from_ms(start)
                .zip(Tick::from_ms(end))
                .and_then(|(start, end)| Interval::new(start, end))
                .ok_or_else(|| Error::RustError(format!("claim {id}: not an interval of the grid")))
        };
        let (service, block) = (interval(start, end)?, interval(block_start, block_end)?);
        let state = match (state.as_str(), expires) {
            ("held", Some(expires_at)) => ClaimState::Held { expires_at },
            ("confirmed", None) => ClaimState::Confirmed,
            ("released", None) => ClaimState::Released,
            _ => return Err(Error::RustError(format!("claim {id}: unknown state"))),
        };
        let replaces = replaces.as_deref().map(ids::split).unwrap_or_default();
        let spec = ClaimSpec { id, op, store_id, kind, service, block, quantity, replaces, home };
        Ok(Claim { spec, state })
    }
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

impl Rows {
    /// Brings the tables up to date; cheap when they are.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn migrate(&self) -> Result<()> {
        let known: Vec<i64> = json_rows(
            &self.0,
            "SELECT json_quote(count(*)) AS json FROM sqlite_master WHERE name = 'meta'",
            vec![],
        )?;
        let from: Vec<i64> = if known.first() == Some(&1) {
            json_rows(&self.0, "SELECT json_quote(schema) AS json FROM meta", vec![])?
        } else {
            vec![0]
        };
        let from = from.first().and_then(|from| usize::try_from(*from).ok()).unwrap_or(0);
        for (index, step) in SCHEMA.iter().enumerate().skip(from) {
            for statement in *step {
                run(&self.0, statement, vec![])?;
            }
            let schema = i64::try_from(index + 1).unwrap_or(i64::MAX);
            run(&self.0, "UPDATE meta SET schema = ?", vec![Value::Integer(schema)])?;
        }
        Ok(())
    }

    fn one<T: serde::de::DeserializeOwned>(&self, query: &str, params: Vec<Value>) -> Result<T> {
        json_rows(&self.0, query, params)?
            .pop()
            .ok_or_else(|| Error::RustError("a row that must be there is not".into()))
    }

    /// The object's own numbers.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn meta(&self) -> Result<Meta> {
        self.one(
            "SELECT json_object('version', version, 'projected_until', projected_until,
                'alarm_at', alarm_at) AS json FROM meta",
            vec![],
        )
    }

    /// The working rules and the capacity.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn windows(&self) -> Result<(WorkingRules, u16)> {
        self.one("SELECT json_array(json(rules), capacity) AS json FROM window", vec![])
    }

    /// Writes the working rules and the capacity.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn set_windows(&self, rules: &WorkingRules, capacity: u16) -> Result<()> {
        run(
            &self.0,
            "UPDATE window SET rules = ?, capacity = ?",
            vec![Value::String(serde_json::to_string(rules)?), Value::Integer(capacity.into())],
        )
    }

    fn claims(&self, query: &str, params: Vec<Value>) -> Result<Vec<Claim>> {
        let rows: Vec<ClaimRow> = self.one(
            &format!("SELECT json_group_array(json(row)) AS json FROM (SELECT {CLAIM_JSON} AS row {query})"),
            params,
        )?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// The claims that a decision about `interval` and the claims named needs: those at home also from as
    /// far around as a way is long. Reads a bounded range, however long the history: no block is longer
    /// than [`MAX_BLOCK_TICKS`].
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn around(&self, interval: Interval, ids: &[&str], op: &str) -> Result<Vec<Claim>> {
        self.claims(
            "FROM claim WHERE (state <> 'released' AND block_start > ?1 AND block_start < ?2
                AND block_end > ?3) OR id IN (SELECT value FROM json_each(?4))
                OR (op = ?5 AND state <> 'released')
                OR (home IS NOT NULL AND state <> 'released' AND block_start > ?1 - ?6
                AND block_start < ?2 + ?6 AND block_end > ?3 - ?6)",
            vec![
                Value::Integer(interval.start.plus(-MAX_BLOCK_TICKS).ms() - TICK_MS),
                Value::Integer(interval.end.ms()),
                Value::Integer(interval.start.ms()),
                Value::String(serde_json::to_string(ids)?),
                text(op),
                Value::Integer(MAX_WAY_TICKS * TICK_MS),
            ],
        )
    }

    /// As [`Rows::around`] for several intervals, ids and operations.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn around_many(
        &self,
        intervals: &[Interval],
        ids: &[&str],
        ops: &[&str],
    ) -> Result<Vec<Claim>> {
        let bounds: Vec<[i64; 3]> = intervals
            .iter()
            .map(|it| [it.start.plus(-MAX_BLOCK_TICKS).ms() - TICK_MS, it.end.ms(), it.start.ms()])
            .collect();
        self.claims(
            "FROM claim WHERE id IN (
                SELECT near.id FROM json_each(?1) AS wanted CROSS JOIN claim AS near
                    WHERE near.state <> 'released' AND near.block_start > wanted.value ->> 0
                    AND near.block_start < wanted.value ->> 1 AND near.block_end > wanted.value ->> 2
                UNION SELECT home.id FROM json_each(?1) AS wanted CROSS JOIN claim AS home
                    WHERE home.home IS NOT NULL AND home.state <> 'released'
                    AND home.block_start > wanted.value ->> 0 - ?4
                    AND home.block_start < wanted.value ->> 1 + ?4
                    AND home.block_end > wanted.value ->> 2 - ?4
                UNION SELECT value FROM json_each(?2)
                UNION SELECT same.id FROM json_each(?3) AS op CROSS JOIN claim AS same
                    WHERE same.op = op.value AND same.state <> 'released')",
            vec![
                Value::String(serde_json::to_string(&bounds)?),
                Value::String(serde_json::to_string(ids)?),
                Value::String(serde_json::to_string(ops)?),
                Value::Integer(MAX_WAY_TICKS * TICK_MS),
            ],
        )
    }

    /// The claim with an id.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn claim(&self, id: &str) -> Result<Option<Claim>> {
        Ok(self.claims("FROM claim WHERE id = ?", vec![text(id)])?.pop())
    }

    /// One page of the live claims that touch an interval, and whether there are more.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn page(
        &self,
        now: i64,
        interval: Interval,
        after: Option<&(i64, String)>,
    ) -> Result<(Vec<Claim>, bool)> {
        let (after_start, after_id) = after.map_or((i64::MIN / 4096, ""), |(at, id)| (*at, id));
        let mut claims = self.claims(
            "FROM claim WHERE state <> 'released' AND (expires_at IS NULL OR expires_at > ?1)
                AND block_start > ?2 AND block_start < ?3 AND block_end > ?4
                AND (block_start, id) > (?5, ?6)
                ORDER BY block_start, id LIMIT ?7",
            vec![
                Value::Integer(now),
                Value::Integer(interval.start.plus(-MAX_BLOCK_TICKS).ms() - TICK_MS),
                Value::Integer(interval.end.ms()),
                Value::Integer(interval.start.ms()),
                Value::Integer(after_start),
                text(after_id),
                Value::Integer(i64::try_from(MAX_CLAIMS).unwrap_or(0) + 1),
            ],
        )?;
        let more = claims.len() > MAX_CLAIMS;
        claims.truncate(MAX_CLAIMS);
        Ok((claims, more))
    }

    /// Every live claim that has not ended by `now`.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn upcoming(&self, now: i64) -> Result<Vec<Claim>> {
        self.claims(
            "FROM claim WHERE state <> 'released' AND block_start > ?1 AND block_end > ?2",
            vec![Value::Integer(now - MAX_BLOCK_TICKS * TICK_MS - TICK_MS), Value::Integer(now)],
        )
    }

    /// Applies the changes of a decision, gives the calendar its next version, and notes the days
    /// whose projection must reach D1. Answers the version.
    ///
    /// # Errors
    /// A fault of the storage; the caller's transaction undoes what was written.
    pub fn apply(&self, now: i64, changes: &[Change], stores: &[String]) -> Result<i64> {
        let version = self.next_version()?;
        // A day past the horizon is projected when the horizon comes to it.
        let horizon = Self::horizon(now);
        for change in changes {
            match change {
                Change::Put(claim) => self.put(claim, version)?,
                Change::Release(id, _) => run(
                    &self.0,
                    "UPDATE claim SET state = 'released', expires_at = NULL, version = ?1 WHERE id = ?2",
                    vec![Value::Integer(version), text(id)],
                )?,
            }
            for day in change.span().days().iter().filter(|day| *day < horizon) {
                self.note_days(now, day, UtcDay(day.0 + 1), stores, version)?;
            }
        }
        Ok(version)
    }

    /// The calendar's next version.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn next_version(&self) -> Result<i64> {
        self.one(
            "UPDATE meta SET version = version + 1 RETURNING json_quote(version) AS json",
            vec![],
        )
    }

    fn put(&self, claim: &Claim, version: i64) -> Result<()> {
        let spec = &claim.spec;
        let (state, expires_at) = match claim.state {
            ClaimState::Held { expires_at } => ("held", Some(expires_at)),
            ClaimState::Confirmed => ("confirmed", None),
            ClaimState::Released => ("released", None),
        };
        // An expired hold of the same operation makes room for its successor; a tombstone is none.
        if claim.state != ClaimState::Released {
            run(
                &self.0,
                "DELETE FROM claim WHERE op = ?1 AND id <> ?2 AND state = 'held'",
                vec![text(&spec.op), text(&spec.id)],
            )?;
        }
        run(
            &self.0,
            "INSERT INTO claim (id, op, store_id, kind, start_at, end_at, block_start, block_end,
                quantity, replaces, state, expires_at, version, home)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (id) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at,
                version = excluded.version",
            vec![
                text(&spec.id),
                text(&spec.op),
                text(&spec.store_id),
                text(match spec.kind {
                    ClaimKind::Appointment => "appointment",
                    ClaimKind::Block => "block",
                }),
                Value::Integer(spec.service.start.ms()),
                Value::Integer(spec.service.end.ms()),
                Value::Integer(spec.block.start.ms()),
                Value::Integer(spec.block.end.ms()),
                Value::Integer(spec.quantity.into()),
                if spec.replaces.is_empty() {
                    Value::Null
                } else {
                    Value::String(ids::joined(&spec.replaces))
                },
                text(state),
                expires_at.map_or(Value::Null, Value::Integer),
                Value::Integer(version),
                match &spec.home {
                    Some(home) => Value::String(serde_json::to_string(home)?),
                    None => Value::Null,
                },
            ],
        )
    }

    /// Notes that a run of the claim's operation was answered with it.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn note_run(&self, claim_id: &str, run_id: &str) -> Result<()> {
        run(
            &self.0,
            "UPDATE claim SET runs = json_insert(runs, '$[#]', ?2) WHERE id = ?1 AND state = 'held'
                AND NOT EXISTS (SELECT 1 FROM json_each(runs) WHERE value = ?2)",
            vec![text(claim_id), text(run_id)],
        )
    }

    /// Takes a run off a hold; answers whether none is left.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn forget_run(&self, claim_id: &str, run_id: &str) -> Result<bool> {
        let left: Vec<i64> = json_rows(
            &self.0,
            "UPDATE claim SET runs = (SELECT json_group_array(value) FROM json_each(runs)
                WHERE value <> ?2) WHERE id = ?1 AND state = 'held'
             RETURNING json_quote(json_array_length(runs)) AS json",
            vec![text(claim_id), text(run_id)],
        )?;
        Ok(left.first() == Some(&0))
    }

    /// Notes days, of every store, as not yet in D1 at `version`.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn note_days(
        &self,
        now: i64,
        from: UtcDay,
        until: UtcDay,
        stores: &[String],
        version: i64,
    ) -> Result<()> {
        run(
            &self.0,
            "WITH RECURSIVE day (day) AS (
                SELECT CAST(?1 AS INTEGER) WHERE ?1 < ?2
                UNION ALL SELECT day + 1 FROM day WHERE day + 1 < ?2)
             INSERT INTO outbox (store_id, day, version, due_at)
             SELECT value, day, CAST(?3 AS INTEGER), CAST(?4 AS INTEGER) FROM day, json_each(?5) WHERE true
             ON CONFLICT (store_id, day) DO UPDATE SET version = excluded.version,
                due_at = min(due_at, excluded.due_at)",
            vec![
                Value::Integer(from.0),
                Value::Integer(until.0),
                Value::Integer(version),
                Value::Integer(now + PROJECTION_GRACE_MS),
                Value::String(serde_json::to_string(stores)?),
            ],
        )
    }

    /// Forgets days that have reached D1, unless they have changed since.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn forget_days(&self, days: &[WrittenDay]) -> Result<()> {
        if days.is_empty() {
            return Ok(());
        }
        run(
            &self.0,
            "DELETE FROM outbox WHERE EXISTS (SELECT 1 FROM json_each(?1) AS written
                WHERE written.value ->> 'store_id' = outbox.store_id
                AND written.value ->> 'day' = outbox.day
                AND written.value ->> 'version' >= outbox.version)",
            vec![Value::String(serde_json::to_string(days)?)],
        )
    }

    /// Stores and days of which D1 may not know yet.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn pending_days(&self) -> Result<Vec<(String, UtcDay)>> {
        self.one(
            "SELECT json_group_array(json_array(store_id, day)) AS json FROM outbox",
            Vec::new(),
        )
    }

    /// Days that must be sent to D1 by now: store, day and version.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn due_days(&self, now: i64) -> Result<Vec<(String, UtcDay, i64)>> {
        self.one(
            "SELECT json_group_array(json(row)) AS json FROM (
                SELECT json_array(store_id, day, version) AS row FROM outbox
                WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2)",
            vec![Value::Integer(now), Value::Integer(i64::try_from(PROJECTION_BATCH).unwrap_or(1))],
        )
    }

    /// Puts off the days that are due: twice as long at each failure, an hour at most.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn put_off_days(&self, now: i64) -> Result<()> {
        run(
            &self.0,
            "UPDATE outbox SET attempts = attempts + 1,
                due_at = CAST(?1 + min(3600000, 2000 << min(attempts, 11)) AS INTEGER)
             WHERE due_at <= ?1",
            vec![Value::Integer(now)],
        )
    }

    /// Deletes holds that have expired, and notes their days as due now; deletes tombstones that no
    /// confirm meets any more.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn sweep(&self, now: i64, stores: &[String]) -> Result<()> {
        run(
            &self.0,
            "DELETE FROM claim WHERE state = 'released' AND block_end < ?1",
            vec![Value::Integer(now - TOMBSTONE_MS)],
        )?;
        let expired: Vec<ClaimRow> = json_rows(
            &self.0,
            &format!(
                "DELETE FROM claim WHERE state = 'held' AND expires_at <= ?1
                 RETURNING {CLAIM_JSON} AS json"
            ),
            vec![Value::Integer(now)],
        )?;
        if expired.is_empty() {
            return Ok(());
        }
        let version = self.next_version()?;
        for claim in expired {
            let days = claim.into_claim()?.spec.span().days();
            self.note_days(now - PROJECTION_GRACE_MS, days.from, days.until, stores, version)?;
        }
        Ok(())
    }

    /// Notes up to which day the projection has been made.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn set_projected_until(&self, day: UtcDay) -> Result<()> {
        run(&self.0, "UPDATE meta SET projected_until = ?", vec![Value::Integer(day.0)])
    }

    /// Notes when the alarm is set for.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn set_alarm_at(&self, at: Option<i64>) -> Result<()> {
        run(&self.0, "UPDATE meta SET alarm_at = ?", vec![at.map_or(Value::Null, Value::Integer)])
    }

    /// When something is due next: a hold's expiry, a day to send. `None` when nothing is.
    ///
    /// # Errors
    /// A fault of the storage.
    pub fn next_due(&self) -> Result<Option<i64>> {
        self.one(
            "SELECT coalesce(json_quote(min(at)), 'null') AS json FROM (
                SELECT min(expires_at) AS at FROM claim WHERE state = 'held'
                UNION ALL SELECT min(due_at) FROM outbox)",
            vec![],
        )
    }

    /// The last day that a calendar projects, exclusive, seen from `now`.
    #[must_use]
    pub fn horizon(now: i64) -> UtcDay {
        UtcDay(UtcDay::of_ms(now).0 + HORIZON_DAYS)
    }
}
