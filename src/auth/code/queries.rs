//! Statements over `sign_in_code`.

use crate::auth::token::Audience;
use crate::d1::Statement;
use crate::sql;

use super::{Asked, DAILY_CODES, LIFE_MS, MAX_TRIES, MIN_GAP_MS};

/// Counts and writes a new code, if the minute and the day allow it; answers a row if so. One statement
/// decides, so that of any number of askers at once one gets the minute's code.
pub fn ask(asked: &Asked) -> Statement {
    sql!(
        "INSERT INTO sign_in_code
           (audience, phone, digest, expires_at, tries, sent_at, day, sent_today)
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, 1)
         ON CONFLICT (audience, phone) DO UPDATE SET
           digest = excluded.digest, expires_at = excluded.expires_at, tries = 0,
           sent_at = excluded.sent_at,
           sent_today = CASE WHEN day < excluded.day THEN 1 ELSE sent_today + 1 END,
           day = max(day, excluded.day)
         WHERE sent_at <= ?7 AND (day < excluded.day OR sent_today < ?8)
         RETURNING 'true' AS json",
        asked.audience.as_str(),
        asked.phone.as_str(),
        asked.digest.as_str(),
        asked.now + LIFE_MS,
        asked.now,
        asked.day.as_str(),
        asked.now - MIN_GAP_MS,
        DAILY_CODES,
    )
}

/// What is counted for a phone.
pub fn counted(audience: Audience, phone: &str) -> Statement {
    sql!(
        "SELECT json_object('sent_at', sent_at, 'day', day, 'sent_today', sent_today) AS json
         FROM sign_in_code WHERE audience = ?1 AND phone = ?2",
        audience.as_str(),
        phone
    )
}

/// Counts a try and answers what it is to be compared with; no row when there is no live code.
pub fn try_once(audience: Audience, phone: &str, now: i64) -> Statement {
    sql!(
        "UPDATE sign_in_code SET tries = min(tries + 1, CAST(?4 AS INTEGER))
         WHERE audience = ?1 AND phone = ?2 AND digest IS NOT NULL AND expires_at > ?3
         RETURNING json_object('tries', tries, 'digest', digest, 'sent_at', sent_at) AS json",
        audience.as_str(),
        phone,
        now,
        MAX_TRIES + 1
    )
}

/// Uses a code up; answers a row to the one caller who did.
pub fn use_up(audience: Audience, phone: &str, digest: &str) -> Statement {
    sql!(
        "UPDATE sign_in_code SET digest = NULL
         WHERE audience = ?1 AND phone = ?2 AND digest = ?3
         RETURNING 'true' AS json",
        audience.as_str(),
        phone,
        digest
    )
}
