//! Answers to a form as a customer gives them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zhundian_domain::intake::{
    Answer as Said, Form, MAX_FIELDS, MAX_OPTIONS, MAX_TEXT_CHARS, Wrong,
};

use crate::error::{Answer, Code, Problem};
use crate::extras::form::Version;
use crate::http::extract::refusal;
use crate::http::fields::{Id, Int, Text};

type Number = Int<-1_000_000_000, 1_000_000_000>;
type Line = Text<0, MAX_TEXT_CHARS, true>;

/// Answers to a service's form.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// The form's version that was shown.
    form_version: Version,
    /// By the fields' keys.
    #[serde(default)]
    answers: Answers,
    /// The version of the text that was agreed to, where there is one.
    #[serde(default)]
    consent_version: Option<Version>,
}

// What a customer answers is theirs: it is in no text that is made for a log.
impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("form_version", &self.form_version).finish_non_exhaustive()
    }
}

/// Answers to the form of one of an order's lines.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineIntake {
    /// The line; needed when several of the order's lines ask something.
    line_id: Option<Id>,
    /// The form's version that was shown.
    form_version: Version,
    /// By the fields' keys.
    #[serde(default)]
    answers: Answers,
    /// The version of the text that was agreed to, where there is one.
    #[serde(default)]
    consent_version: Option<Version>,
}

impl LineIntake {
    /// Which line is answered for, and how.
    #[must_use]
    pub fn into_parts(self) -> (Option<Id>, Intake) {
        let Self { line_id, form_version, answers, consent_version } = self;
        (line_id, Intake { form_version, answers, consent_version })
    }
}

/// Answers by their fields' keys: `true` or `false`, a whole number, a text (a choice or a date is one as
/// well), or a list of choices.
#[derive(Default)]
pub struct Answers(BTreeMap<String, Said>);

struct One(Said);

impl<'de> Deserialize<'de> for One {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneVisitor;
        impl<'de> Visitor<'de> for OneVisitor {
            type Value = One;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("boolean, integer, text or list of texts")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<One, E> {
                Ok(One(Said::YesNo(value)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<One, E> {
                Number::new(value)
                    .map(|number| One(Said::Number(number.get())))
                    .ok_or_else(|| refusal(Code::OutOfRange, "-1000000000..1000000000"))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<One, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<One, E> {
                if value.fract() == 0.0 {
                    self.visit_i64(value as i64)
                } else {
                    Err(refusal(Code::WrongType, "integer"))
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<One, E> {
                let line = Line::parse(text).map_err(|(code, limit)| refusal(code, limit))?;
                Ok(One(Said::Text(line.as_str().to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<One, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = list.next_element::<Line>()? {
                    if texts.len() == MAX_OPTIONS {
                        return Err(refusal(Code::TooManyItems, MAX_OPTIONS));
                    }
                    texts.push(text.as_str().to_owned());
                }
                Ok(One(Said::Texts(texts)))
            }
        }
        deserializer.deserialize_any(OneVisitor)
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnswersVisitor;
        impl<'de> Visitor<'de> for AnswersVisitor {
            type Value = Answers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Answers, A::Error> {
                let mut answers = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    let One(said) = map.next_value()?;
                    if answers.insert(key, said).is_some() {
                        return Err(refusal(Code::DuplicateItem, ""));
                    }
                    if answers.len() > MAX_FIELDS {
                        return Err(refusal(Code::TooManyItems, MAX_FIELDS));
                    }
                }
                Ok(Answers(answers))
            }
        }
        deserializer.deserialize_map(AnswersVisitor)
    }
}

impl PartialSchema for Answers {
    fn schema() -> RefOr<Schema> {
        let texts = ArrayBuilder::new().items(Line::schema()).max_items(Some(MAX_OPTIONS));
        let one = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Boolean))
            .item(Number::schema())
            .item(Line::schema())
            .item(texts)
            .build();
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(Schema::OneOf(one)))))
            .max_properties(Some(MAX_FIELDS));
        RefOr::T(Schema::Object(object.build()))
    }
}

impl ToSchema for Answers {
    fn name() -> Cow<'static, str> {
        "IntakeAnswers".into()
    }
}

/// Answers that fit the form, with it as it was.
pub struct Answered {
    /// The form.
    pub form: Form,
    /// By the fields' keys.
    pub answers: BTreeMap<String, Said>,
}

impl Intake {
    /// Answers that fit the form; `at` is the path of the intake in the body, with its dot.
    ///
    /// # Errors
    /// The first thing that does not fit, at its field.
    pub fn checked(self, form: Option<&Form>, at: &str) -> Answer<Answered> {
        let form = form.ok_or_else(|| {
            Problem::from(Code::IntakeNotAsked).at(at.strip_suffix('.').unwrap_or("."))
        })?;
        let Self { form_version, answers: Answers(answers), consent_version } = self;
        let agreed = consent_version.map(Int::get);
        form.check(form_version.get(), &answers, agreed).map_err(|wrong| match wrong {
            Wrong::OtherForm(_) => {
                let current = serde_json::to_value(form).unwrap_or_default();
                Problem::from(Code::IntakeChanged)
                    .at(format!("{at}form_version"))
                    .and("current", current)
            }
            Wrong::NoConsent(version) => Problem::from(Code::ConsentRequired)
                .with(version)
                .at(format!("{at}consent_version")),
            Wrong::Missing(key) => {
                Problem::from(Code::MissingField).at(format!("{at}answers.{key}"))
            }
            Wrong::Unknown(key) => {
                Problem::from(Code::UnknownField).at(format!("{at}answers.{key}"))
            }
            Wrong::NotPossible(key) => {
                Problem::from(Code::AnswerNotPossible).at(format!("{at}answers.{key}"))
            }
        })?;
        let answers = answers.into_iter().filter(|(_, said)| !said.is_empty()).collect();
        Ok(Answered { form: form.clone(), answers })
    }
}
