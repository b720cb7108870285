//! A calendar feed, as calendar applications subscribe to it: iCalendar, RFC 5545.
//!
//! All times are in UTC, so no time zone has to be described. The lines end with CRLF and are folded at 75
//! octets (section 3.1), text is escaped (3.3.11). What is not in the feed any more, the application
//! takes away; so there is nothing in it that is cancelled.

use std::fmt::Write as _;

use chrono::DateTime;

/// Octets in a line, without its end.
const MAX_LINE_OCTETS: usize = 75;
/// A calendar has at least one component (3.6), also when nothing is in it.
const UTC: &str = "BEGIN:VTIMEZONE\r\nTZID:Etc/UTC\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n\
    TZOFFSETFROM:+0000\r\nTZOFFSETTO:+0000\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";

/// An appointment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// The same in every feed, whatever becomes of the appointment: an id with a domain.
    pub uid: String,
    /// How often it has been changed.
    pub sequence: i64,
    /// When it was last changed, UTC milliseconds.
    pub changed_at: i64,
    /// From, UTC milliseconds.
    pub start_at: i64,
    /// Until, UTC milliseconds.
    pub end_at: i64,
    /// What it is.
    pub summary: String,
    /// Where it is.
    pub location: &'a str,
    /// What else is to be known; left out when it is empty.
    pub description: &'a str,
}

/// Writes a feed with this name.
#[must_use]
pub fn feed(name: &str, events: &[Event]) -> String {
    let mut out = String::with_capacity(256 + events.len() * 384);
    line(&mut out, "BEGIN:VCALENDAR");
    line(&mut out, "VERSION:2.0");
    line(&mut out, "PRODID:-//Zhundian//Zhundian//ZH");
    line(&mut out, "CALSCALE:GREGORIAN");
    line(&mut out, &format!("X-WR-CALNAME:{}", escaped(name)));
    if events.is_empty() {
        out.push_str(UTC);
    }
    for event in events {
        line(&mut out, "BEGIN:VEVENT");
        line(&mut out, &format!("UID:{}", escaped(&event.uid)));
        line(&mut out, &format!("DTSTAMP:{}", utc(event.changed_at)));
        line(&mut out, &format!("SEQUENCE:{}", event.sequence.max(0)));
        line(&mut out, &format!("DTSTART:{}", utc(event.start_at)));
        line(&mut out, &format!("DTEND:{}", utc(event.end_at)));
        line(&mut out, &format!("SUMMARY:{}", escaped(&event.summary)));
        for (property, text) in [("LOCATION", event.location), ("DESCRIPTION", event.description)] {
            if !text.is_empty() {
                line(&mut out, &format!("{property}:{}", escaped(text)));
            }
        }
        line(&mut out, "END:VEVENT");
    }
    line(&mut out, "END:VCALENDAR");
    out
}

/// Writes a content line, folded between characters: what goes on begins with a space.
fn line(out: &mut String, text: &str) {
    let mut octets = 0;
    for letter in text.chars() {
        if octets + letter.len_utf8() > MAX_LINE_OCTETS {
            out.push_str("\r\n ");
            octets = 1;
        }
        out.push(letter);
        octets += letter.len_utf8();
    }
    out.push_str("\r\n");
}

/// Text as a property's value has it. A control character, which a value cannot have, is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for letter in text.chars() {
        match letter {
            '\\' | ';' | ',' => {
                out.push('\\');
                out.push(letter);
            }
            // CRLF is one line break.
            '\n' if before == '\r' => {}
            '\n' | '\r' => out.push_str("\\n"),
            '\t' => out.push('\t'),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
        before = letter;
    }
    out
}

/// UTC milliseconds as a date with UTC time (3.3.5), in whole seconds.
fn utc(ms: i64) -> String {
    let mut out = String::with_capacity(16);
    let at = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let _ = write!(out, "{}", at.format("%Y%m%dT%H%M%SZ"));
    out
}
