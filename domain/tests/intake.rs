//! Answers to a form are taken when they fit it, and otherwise named.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zhundian_domain::intake::{Answer, Form, Wrong};

fn form() -> Form {
    serde_json::from_value(json!({
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
    form().check(&answers, agreed)
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
    assert_eq!(check(json!({}), Some(3)), Err(Wrong::Missing("allergy".into())));
    let unknown = Err(Wrong::Unknown("blood".into()));
    assert_eq!(check(json!({"allergy": "无", "blood": "A"}), Some(3)), unknown);
    for (key, value) in [
        ("allergy", json!("")),
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
    ] {
        let mut answers = json!({"allergy": "无"});
        answers[key] = value.clone();
        assert_eq!(check(answers, Some(3)), Err(Wrong::NotPossible(key.into())), "{key}: {value}");
    }
}
