//! The calendar's projection in D1: `calendar_day`, free bits a store, day and calendar.

use worker::{Env, Result, wasm_bindgen::JsValue};

use crate::calls::ProjectedDay;

/// The D1 binding, the same for the Worker and the objects.
pub const D1_BINDING: &str = "DB";

/// Writes projected days of one calendar (`?1` its name, `?2` [`json`]); an older version never
/// overwrites a newer one. Both the caller of a calendar and the calendar itself write with this.
pub const WRITE: &str = "INSERT INTO calendar_day (store_id, day, calendar, free, version, room, working)
    SELECT value ->> 0, value ->> 1, ?1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?2) WHERE true
    ON CONFLICT (store_id, calendar, day) DO UPDATE SET free = excluded.free, version = excluded.version,
        room = excluded.room, working = excluded.working
    WHERE calendar_day.version < excluded.version";

/// The days as [`WRITE`] takes them.
///
/// # Errors
/// None in practice: what is serialised is plain data.
pub fn json(days: &[ProjectedDay]) -> Result<String> {
    let rows: Vec<_> = days
        .iter()
        .map(|day| (&day.store_id, day.day, &day.free, day.version, &day.room, &day.working))
        .collect();
    Ok(serde_json::to_string(&rows)?)
}

/// Writes days from the object itself.
///
/// # Errors
/// When D1 does not answer.
pub async fn write(env: &Env, calendar: &str, days: &[ProjectedDay]) -> Result<()> {
    let params = [JsValue::from_str(calendar), JsValue::from_str(&json(days)?)];
    env.d1(D1_BINDING)?.prepare(WRITE).bind(&params)?.run().await.map(drop)
}
