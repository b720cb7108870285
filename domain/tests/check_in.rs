//! Check-in codes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use zhundian_domain::check_in::{ALPHABET, CODE_CHARS, code, parse};

#[test]
fn no_two_characters_look_alike() {
    for alike in ["0ODQ", "1IL", "2Z", "5S", "8B", "UV", "7"] {
        let there = alike.bytes().filter(|letter| ALPHABET.contains(letter)).count();
        assert!(there <= 1, "{alike}");
    }
    let mut letters = ALPHABET.to_vec();
    letters.sort_unstable();
    letters.dedup();
    assert_eq!(letters.len(), ALPHABET.len());
}

#[test]
fn a_code_has_no_bias() {
    // Of 256 bytes, those past the last full round of the alphabet are thrown away.
    let mut counts = std::collections::BTreeMap::new();
    for byte in 0..=u8::MAX {
        if let Some(code) = code(&[byte; CODE_CHARS]) {
            *counts.entry(code).or_insert(0) += 1;
        }
    }
    assert_eq!(counts.len(), ALPHABET.len());
    assert!(counts.values().all(|count| *count == 11), "{counts:?}");
    assert_eq!(code(&[255; 64]), None);
    assert_eq!(code(&[0; CODE_CHARS - 1]), None);
    assert_eq!(code(&[255, 0, 1, 2, 255, 3, 4, 5, 6]).as_deref(), Some("34679A"));
}

#[test]
fn a_code_is_read_as_people_type_it() {
    let cases = [
        ("3467AC", Some("3467AC")),
        (" 346-7ac ", Some("3467AC")),
        ("346 7ac", Some("3467AC")),
        ("3467A", None),
        ("3467ACC", None),
        ("3467A0", None),
        ("3467A,", None),
        ("３467AC", None),
        ("", None),
    ];
    for (typed, expected) in cases {
        assert_eq!(parse(typed).as_deref(), expected, "{typed:?}");
    }
}

proptest! {
    #[test]
    fn what_is_made_is_read(random in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Some(code) = code(&random) {
            prop_assert_eq!(parse(&code), Some(code.clone()));
            prop_assert_eq!(parse(&code.to_ascii_lowercase()), Some(code));
        }
    }
}
