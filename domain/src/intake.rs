//! What a service asks its customers before the visit: fields with types, and a text that they consent to.
//!
//! A form is the service's; the answers are checked against it when a booking is made and are kept with the
//! order, together with the form as it was and the version of the text that was consented to.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Fields of a form.
pub const MAX_FIELDS: usize = 20;
/// Options of a field.
pub const MAX_OPTIONS: usize = 30;
/// Characters in a text answer, at most.
pub const MAX_TEXT_CHARS: usize = 500;
/// The first and the last year of a date, so that a birthday is one.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=2199;

/// What a service asks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Form {
    /// Grows with each change of the form; 1 or more.
    pub version: i64,
    /// What the customer must agree to.
    pub consent: Option<Consent>,
    /// In the order in which they are asked.
    pub fields: Vec<Field>,
}

/// A text to agree to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Consent {
    /// Grows with each change of the text; 1 or more.
    pub version: i64,
    /// What is agreed to.
    pub text: String,
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Field {
    /// Under which the answer is kept; no other field has it.
    pub key: String,
    /// What is asked.
    pub label: String,
    /// Whether there must be an answer.
    pub required: bool,
    /// What an answer is.
    pub kind: Kind,
}

/// What an answer is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Kind {
    /// A text of 1 to so many characters, itself at most [`MAX_TEXT_CHARS`].
    Text {
        /// The longest.
        max_chars: usize,
    },
    /// A whole number.
    Number {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// One of these.
    Choice {
        /// What there is to choose from.
        options: Vec<String>,
    },
    /// Some of these, each at most once.
    Choices {
        /// What there is to choose from.
        options: Vec<String>,
    },
    /// Yes or no.
    YesNo,
    /// A date, as `2026-11-25`.
    Date,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// To [`Kind::YesNo`].
    YesNo(bool),
    /// To [`Kind::Number`].
    Number(i64),
    /// To [`Kind::Text`], [`Kind::Choice`] and [`Kind::Date`].
    Text(String),
    /// To [`Kind::Choices`].
    Texts(Vec<String>),
}

/// Why answers do not do, with the field's key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Wrong {
    /// They answer another version of the form.
    #[error("the form is of version {0}")]
    OtherForm(i64),
    /// The text of this version is to be agreed to first.
    #[error("the text of version {0} has not been agreed to")]
    NoConsent(i64),
    /// There must be an answer.
    #[error("{0}: there is no answer")]
    Missing(String),
    /// The form has no such field.
    #[error("{0}: nothing of this name is asked")]
    Unknown(String),
    /// The answer is of another kind, or out of its range, or no option.
    #[error("{0}: no such answer is possible")]
    NotPossible(String),
}

impl Form {
    /// Whether nothing is asked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.consent.is_none() && self.fields.is_empty()
    }

    /// Whether there is something that nobody may leave out.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.consent.is_some() || self.fields.iter().any(|field| field.required)
    }

    /// The form under its versions: what does not differ from `before` keeps those that it had, and what
    /// does has `version`, which is greater than any that there was.
    #[must_use]
    pub fn versioned(mut self, before: Option<&Self>, version: i64) -> Self {
        let texts = |form: &Self| form.consent.as_ref().map(|one| (one.text.clone(), one.version));
        let old = before.and_then(texts);
        if let Some(consent) = &mut self.consent {
            consent.version = match old {
                Some((text, kept)) if text == consent.text => kept,
                _ => version,
            };
        }
        let same = |one: &&Self| one.consent == self.consent && one.fields == self.fields;
        self.version = before.filter(same).map_or(version, |before| before.version);
        self
    }

    /// Checks answers to a version of the form, and the version of the text that was agreed to.
    ///
    /// # Errors
    /// [`Wrong`], the first in the form's order; unknown fields last.
    pub fn check(
        &self,
        version: i64,
        answers: &BTreeMap<String, Answer>,
        agreed: Option<i64>,
    ) -> Result<(), Wrong> {
        if version != self.version {
            return Err(Wrong::OtherForm(self.version));
        }
        if let Some(consent) = &self.consent
            && agreed != Some(consent.version)
        {
            return Err(Wrong::NoConsent(consent.version));
        }
        for field in &self.fields {
            match answers.get(&field.key).filter(|answer| !answer.is_empty()) {
                None if field.required => return Err(Wrong::Missing(field.key.clone())),
                Some(answer) if !field.kind.admits(answer) => {
                    return Err(Wrong::NotPossible(field.key.clone()));
                }
                _ => {}
            }
        }
        let asked = |key: &&String| self.fields.iter().any(|field| field.key == **key);
        match answers.keys().find(|key| !asked(key)) {
            Some(key) => Err(Wrong::Unknown(key.clone())),
            None => Ok(()),
        }
    }
}

impl Answer {
    /// Whether it says nothing: then it is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Texts(texts) => texts.is_empty(),
            Self::YesNo(_) | Self::Number(_) => false,
        }
    }
}

/// A text without control characters; it may have several lines.
fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    shaped && date.is_ok_and(|date| YEARS.contains(&date.year()))
}

impl Kind {
    /// Whether this may be answered.
    #[must_use]
    pub fn admits(&self, answer: &Answer) -> bool {
        match (self, answer) {
            (Self::Text { max_chars }, Answer::Text(text)) => {
                (1..=(*max_chars).min(MAX_TEXT_CHARS)).contains(&text.chars().count())
                    && is_text(text)
            }
            (Self::Number { min, max }, Answer::Number(number)) => (*min..=*max).contains(number),
            (Self::Choice { options }, Answer::Text(text)) => options.contains(text),
            (Self::Choices { options }, Answer::Texts(texts)) => {
                texts.iter().enumerate().all(|(at, text)| {
                    options.contains(text) && !texts.iter().take(at).any(|other| other == text)
                })
            }
            (Self::YesNo, Answer::YesNo(_)) => true,
            (Self::Date, Answer::Text(text)) => is_date(text),
            _ => false,
        }
    }
}
