//! The two ways the payment services write a time, both in China's, which is UTC+8 all year.

use chrono::{DateTime, FixedOffset};

const BEIJING_SECONDS: i32 = 8 * 60 * 60;

/// A time of RFC 3339 with any offset, in milliseconds since 1970 (UTC).
pub(crate) fn rfc3339_ms(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}

/// A time as `2026-01-31 09:05:00`, in Beijing, in milliseconds since 1970 (UTC).
pub(crate) fn beijing_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    rfc3339_ms(&format!("{date}T{time}+08:00"))
}

/// Beijing's time at an instant, as RFC 3339: `2026-01-31T09:05:00+08:00`. `None` outside the years
/// chrono knows (some 262 000 to either side).
pub(crate) fn rfc3339_beijing(unix_seconds: i64) -> Option<String> {
    at_beijing(unix_seconds).map(|time| time.to_rfc3339())
}

/// Beijing's time at an instant, as `2026-01-31 09:05:00`.
pub(crate) fn beijing(unix_seconds: i64) -> Option<String> {
    rfc3339_beijing(unix_seconds)
        .and_then(|text| text.strip_suffix("+08:00").map(|text| text.replace('T', " ")))
}

fn at_beijing(unix_seconds: i64) -> Option<DateTime<FixedOffset>> {
    let offset = FixedOffset::east_opt(BEIJING_SECONDS)?;
    DateTime::from_timestamp(unix_seconds, 0).map(|time| time.with_timezone(&offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_read_and_written() {
        let at = 1_767_225_600; // 2026-01-01T00:00:00Z
        assert_eq!(rfc3339_beijing(at).unwrap(), "2026-01-01T08:00:00+08:00");
        assert_eq!(beijing(at).unwrap(), "2026-01-01 08:00:00");
        assert_eq!(beijing_ms("2026-01-01 08:00:00"), Some(at * 1000));
        for text in
            ["2026-01-01T08:00:00+08:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"]
        {
            assert_eq!(rfc3339_ms(text), Some(at * 1000), "{text}");
        }
        assert_eq!(rfc3339_ms("2026-01-01T08:00:00.250+08:00"), Some(at * 1000 + 250));
        for text in ["", "2026-01-01", "2026-13-01 00:00:00", "20260101080000", "2026-01-01 08:00"]
        {
            assert_eq!((beijing_ms(text), rfc3339_ms(text)), (None, None), "{text}");
        }
    }
}
