//! Answers to a form are taken when they fit it, and otherwise named.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use zhundian_domain::intake::{Answer, Consent, Field, Form, Kind, Wrong};

fn form() -> Form {
    serde_json::from_value(json!({
        "version": 7,
        "consent": {"version": 3, "text": "我已阅读注意事项"},
        "fields": [
            {"key": "allergy", "label": "过敏史", "required": true, "kind": {"type": "text", "max_chars": 5}},
            {"key": "guests", "label": "人数", "required": false, "kind": {"type": "number", "min": 1, "max": 8}},
            {"key": "strength", "label": "力度", "required": false, "kind": {"type": "choice", "options": ["轻", "重"]}},
            {"key": "areas", "label": "部位", "required": false, "kind": {"type": "choices", "options": ["肩", "颈", "腰"]}},
            {"key": "pregnant", "label": "孕期", "required": false, "kind": {"type": "yes_no"}},
            {"key": "since", "label": "日期", "required": false, "kind": {"type": "date"}},
        ],
    }))
    .unwrap()
}

fn check(answers: Value, agreed: Option<i64>) -> Result<(), Wrong> {
    let answers: BTreeMap<String, Answer> = serde_json::from_value(answers).unwrap();
    form().check(7, &answers, agreed)
}

#[test]
fn answers_are_taken_when_they_fit() {
    assert_eq!(check(json!({"allergy": "无"}), Some(3)), Ok(()));
    let all = json!({
        "allergy": "花粉和尘螨", "guests": 8, "strength": "轻", "areas": ["颈", "肩"], "pregnant": false,
        "since": "2026-02-28",
    });
    assert_eq!(check(all, Some(3)), Ok(()));
}

#[test]
fn what_does_not_fit_is_named() {
    let no_consent = Err(Wrong::NoConsent(3));
    assert_eq!(check(json!({"allergy": "无"}), None), no_consent);
    assert_eq!(check(json!({"allergy": "无"}), Some(2)), no_consent);
    for nothing in
        [json!({}), json!({"allergy": ""}), json!({"allergy": " \n"}), json!({"allergy": []})]
    {
        assert_eq!(check(nothing, Some(3)), Err(Wrong::Missing("allergy".into())));
    }
    assert_eq!(form().check(6, &BTreeMap::new(), Some(3)), Err(Wrong::OtherForm(7)));
    let unknown = Err(Wrong::Unknown("blood".into()));
    assert_eq!(check(json!({"allergy": "无", "blood": "A"}), Some(3)), unknown);
    for (key, value) in [
        ("allergy", json!("花\u{7}粉")),
        ("allergy", json!("一二三四五六")),
        ("allergy", json!(1)),
        ("guests", json!(0)),
        ("guests", json!(9)),
        ("guests", json!("2")),
        ("strength", json!("中")),
        ("areas", json!(["肩", "肩"])),
        ("areas", json!(["背"])),
        ("areas", json!("肩")),
        ("pregnant", json!("no")),
        ("since", json!("2026-02-30")),
        ("since", json!("2026-2-3")),
        ("since", json!("-026-02-03")),
        ("since", json!("1899-12-31")),
    ] {
        let mut answers = json!({"allergy": "无"});
        answers[key] = value.clone();
        assert_eq!(check(answers, Some(3)), Err(Wrong::NotPossible(key.into())), "{key}: {value}");
    }
}

#[test]
fn what_changes_has_a_version_that_there_was_never() {
    let first = form().versioned(None, 1);
    assert_eq!((first.version, first.consent.as_ref().unwrap().version), (1, 1));
    assert_eq!(form().versioned(Some(&first), 2), first);
    let mut other = form();
    other.fields.pop();
    let second = other.versioned(Some(&first), 2);
    assert_eq!((second.version, second.consent.as_ref().unwrap().version), (2, 1));
    let mut other = second.clone();
    other.consent = Some(Consent { version: 0, text: "另一份".into() });
    let third = other.versioned(Some(&second), 5);
    assert_eq!((third.version, third.consent.as_ref().unwrap().version), (5, 5));
    // A form that was taken away and comes again is another one.
    assert_eq!(form().versioned(None, 9).version, 9);
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let word = || prop_oneof![Just("a".to_owned()), Just("b".to_owned()), ".{0,6}"];
    prop_oneof![
        any::<bool>().prop_map(Answer::YesNo),
        (-3_i64..12).prop_map(Answer::Number),
        word().prop_map(Answer::Text),
        prop::collection::vec(word(), 0..4).prop_map(Answer::Texts),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let options = || vec!["a".to_owned(), "b".to_owned()];
    prop_oneof![
        (1_usize..5).prop_map(|max_chars| Kind::Text { max_chars }),
        (0_i64..5).prop_map(|min| Kind::Number { min, max: min + 4 }),
        Just(Kind::Choice { options: options() }),
        Just(Kind::Choices { options: options() }),
        Just(Kind::YesNo),
        Just(Kind::Date),
    ]
}

proptest! {
    #[test]
    fn what_is_taken_answers_all_that_is_required_and_nothing_else(
        kinds in prop::collection::vec((any_kind(), any::<bool>()), 0..5),
        given in prop::collection::btree_map(0_usize..6, any_answer(), 0..6),
    ) {
        let fields = kinds.into_iter().enumerate().map(|(at, (kind, required))| Field {
            key: format!("k{at}"), label: "?".into(), required, kind,
        });
        let form = Form { version: 1, consent: None, fields: fields.collect() };
        let answers: BTreeMap<String, Answer> =
            given.into_iter().map(|(at, answer)| (format!("k{at}"), answer)).collect();
        if form.check(1, &answers, None) == Ok(()) {
            prop_assert!(answers.keys().all(|key| form.fields.iter().any(|field| field.key == *key)));
            for field in &form.fields {
                let answer = answers.get(&field.key).filter(|answer| !answer.is_empty());
                prop_assert!(answer.is_some() || !field.required);
                prop_assert!(answer.is_none_or(|answer| field.kind.admits(answer)));
            }
        }
    }
}
