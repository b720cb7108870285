//! The feed, by RFC 5545.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::icalendar::{Event, feed};

/// 2026-11-23T10:00:00+08:00.
const TEN: i64 = 1_795_399_200_000;

fn event<'a>(summary: &str, location: &'a str, description: &'a str) -> Event<'a> {
    Event {
        uid: "01@zhundian".into(),
        sequence: 2,
        changed_at: TEN - 86_400_000,
        start_at: TEN,
        end_at: TEN + 3_600_000,
        summary: summary.into(),
        location,
        description,
    }
}

#[test]
fn a_feed_to_the_letter() {
    let text = feed(
        "王静",
        &[event("肩颈舒缓", "准点·静安寺店, 3 层; 左\\右", "轻一点\r\n先打电话\n谢谢\u{7}")],
    );
    let wanted = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Zhundian//Zhundian//ZH\r\n\
        CALSCALE:GREGORIAN\r\nX-WR-CALNAME:王静\r\n\
        BEGIN:VEVENT\r\nUID:01@zhundian\r\nDTSTAMP:20261122T020000Z\r\nSEQUENCE:2\r\n\
        DTSTART:20261123T020000Z\r\nDTEND:20261123T030000Z\r\nSUMMARY:肩颈舒缓\r\n\
        LOCATION:准点·静安寺店\\, 3 层\\; 左\\\\右\r\n\
        DESCRIPTION:轻一点\\n先打电话\\n谢谢\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    assert_eq!(text, wanted);
}

#[test]
fn an_empty_feed_has_a_component_all_the_same() {
    let text = feed("", &[]);
    assert!(text.contains("X-WR-CALNAME:\r\nBEGIN:VTIMEZONE\r\nTZID:Etc/UTC\r\n"), "{text}");
    assert!(text.ends_with("END:VTIMEZONE\r\nEND:VCALENDAR\r\n"), "{text}");
}

#[test]
fn a_line_is_folded_at_75_octets_between_characters() {
    // SUMMARY: is eight octets; 67 more fill the line.
    let summary = |text: &str| {
        let text = feed("", &[event(text, "", "")]);
        let from = text.find("SUMMARY:").unwrap();
        text[from..text.find("END:VEVENT").unwrap()].to_owned()
    };
    let a = |count| "a".repeat(count);
    assert_eq!(summary(&a(67)), format!("SUMMARY:{}\r\n", a(67)));
    assert_eq!(summary(&a(68)), format!("SUMMARY:{}\r\n a\r\n", a(67)));
    // Of the next line the space is one of the 75.
    assert_eq!(summary(&a(67 + 75)), format!("SUMMARY:{}\r\n {}\r\n a\r\n", a(67), a(74)));
    // Three octets do not fit where one is left, nor four where three are.
    assert_eq!(summary(&format!("{}好", a(66))), format!("SUMMARY:{}\r\n 好\r\n", a(66)));
    assert_eq!(summary(&format!("{}😀", a(64))), format!("SUMMARY:{}\r\n 😀\r\n", a(64)));
}

proptest! {
    #[test]
    fn whatever_the_text_it_reads_back(summary in "\\PC{0,120}|[\\\\;,\n\r\t a好😀]{0,120}", note in ".{0,200}") {
        let text = feed("甲", &[event(&summary, "", &note)]);
        for line in text.strip_suffix("\r\n").unwrap().split("\r\n") {
            prop_assert!(line.len() <= 75, "{} octets: {line}", line.len());
            prop_assert!(!line.contains(['\r', '\n']), "{line:?}");
        }
        let unfolded = text.replace("\r\n ", "");
        let value = unfolded.split("\r\n").find_map(|line| line.strip_prefix("SUMMARY:")).unwrap();
        let mut read = String::new();
        let mut letters = value.chars();
        while let Some(letter) = letters.next() {
            read.push(match letter {
                '\\' => match letters.next().unwrap() { 'n' => '\n', other => other },
                ';' | ',' => panic!("not escaped: {value}"),
                letter => letter,
            });
        }
        let meant: String = summary.replace("\r\n", "\n").replace('\r', "\n")
            .chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        prop_assert_eq!(read, meant);
    }
}
