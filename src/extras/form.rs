//! A form as the merchant writes it and as customers read it.

use std::borrow::Cow;

use serde::Deserialize;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zhundian_domain::intake::{
    Consent, Field, Form, Kind, MAX_FIELDS, MAX_OPTIONS, MAX_TEXT_CHARS,
};

use crate::catalog::Set;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::refusal;
use crate::http::fields::{Int, List, Text};

/// What the system counts: the service's version with which it came.
pub type Version = Int<1, 9_007_199_254_740_991>;

/// What a service asks its customers before the visit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeForm {
    /// Grows with each change of the form; counted by the system, whatever is given here.
    #[serde(default)]
    #[allow(dead_code)]
    version: Option<Version>,
    /// What the customer must agree to.
    #[serde(default)]
    consent: Option<IntakeConsent>,
    /// In the order in which they are asked.
    #[serde(default)]
    fields: Fields,
}

type Fields = List<IntakeField, MAX_FIELDS>;
/// A text of a page.
type ConsentText = Text<1, 2000, true>;

/// A text to agree to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeConsent {
    /// Grows with each change of the text; counted by the system, whatever is given here.
    #[serde(default)]
    #[allow(dead_code)]
    version: Option<Version>,
    /// What is agreed to.
    text: ConsentText,
}

/// A question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeField {
    /// Under which the answer is given; no other field has it.
    key: Text<1, 32>,
    /// What is asked.
    label: Text<1, 100>,
    /// Whether there must be an answer.
    #[serde(default)]
    required: bool,
    /// What an answer is.
    kind: IntakeKind,
}

type Number = Int<-1_000_000_000, 1_000_000_000>;
type Chars = Int<1, { MAX_TEXT_CHARS as i64 }>;
type Options = Set<Text<1, 64>, MAX_OPTIONS, 1>;

/// What an answer is: as `zhundian_domain::intake::Kind`, with its limits.
#[derive(Deserialize)]
#[serde(try_from = "KindFields")]
pub struct IntakeKind(Kind);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindFields {
    r#type: KindName,
    max_chars: Option<Chars>,
    min: Option<Number>,
    max: Option<Number>,
    options: Option<Options>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Text,
    Number,
    Choice,
    Choices,
    YesNo,
    Date,
}

impl TryFrom<KindFields> for IntakeKind {
    type Error = serde::de::value::Error;

    fn try_from(fields: KindFields) -> Result<Self, Self::Error> {
        let KindFields { r#type, max_chars, min, max, options } = fields;
        let options =
            options.map(|Set(texts)| texts.iter().map(|one| one.as_str().to_owned()).collect());
        let kind = match (r#type, max_chars, min.zip(max), options) {
            (KindName::Text, Some(chars), None, None) => {
                let max_chars = usize::try_from(chars.get()).unwrap_or(MAX_TEXT_CHARS);
                Kind::Text { max_chars }
            }
            (KindName::Number, None, Some((min, max)), None) if min > max => {
                return Err(refusal(Code::OutOfRange, "min <= max"));
            }
            (KindName::Number, None, Some((min, max)), None) => {
                return Ok(Self(Kind::Number { min: min.get(), max: max.get() }));
            }
            (KindName::Choice, None, None, Some(options)) => Kind::Choice { options },
            (KindName::Choices, None, None, Some(options)) => Kind::Choices { options },
            (KindName::YesNo, None, None, None) => Kind::YesNo,
            (KindName::Date, None, None, None) => Kind::Date,
            (KindName::Text, None, ..)
            | (KindName::Number, _, None, _)
            | (KindName::Choice | KindName::Choices, .., None) => {
                return Err(refusal(Code::MissingField, ""));
            }
            _ => return Err(refusal(Code::UnknownField, "")),
        };
        if min.is_some() || max.is_some() {
            return Err(refusal(Code::UnknownField, ""));
        }
        Ok(Self(kind))
    }
}

// By hand: the derive does not say that there are no other properties.
impl PartialSchema for IntakeKind {
    fn schema() -> RefOr<Schema> {
        let kind = |name: &str, properties: Vec<(&str, RefOr<Schema>)>| {
            let tag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
            let object = ObjectBuilder::new().property("type", tag).required("type");
            let object = properties.into_iter().fold(object, |object, (field, schema)| {
                object.property(field, schema).required(field)
            });
            object.additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let schema = OneOfBuilder::new()
            .item(kind("text", vec![("max_chars", Chars::schema())]))
            .item(kind("number", vec![("min", Number::schema()), ("max", Number::schema())]))
            .item(kind("choice", vec![("options", Options::schema())]))
            .item(kind("choices", vec![("options", Options::schema())]))
            .item(kind("yes_no", Vec::new()))
            .item(kind("date", Vec::new()));
        RefOr::T(Schema::OneOf(schema.build()))
    }
}

impl ToSchema for IntakeKind {
    fn name() -> Cow<'static, str> {
        "IntakeKind".into()
    }
}

impl IntakeForm {
    /// The form under its versions, after the one `before`; nothing when it asks nothing.
    ///
    /// # Errors
    /// `duplicate_item` at a key that there is twice.
    pub fn form(&self, before: Option<&Form>, version: i64) -> Answer<Option<Form>> {
        let List(fields) = &self.fields;
        for (at, field) in fields.iter().enumerate() {
            if fields.iter().take(at).any(|other| other.key == field.key) {
                let path = format!("intake.fields[{at}].key");
                return Err(Problem::from(Code::DuplicateItem).at(path));
            }
        }
        let form = Form {
            version,
            consent: self
                .consent
                .as_ref()
                .map(|consent| Consent { version, text: consent.text.as_str().to_owned() }),
            fields: fields
                .iter()
                .map(|field| Field {
                    key: field.key.as_str().to_owned(),
                    label: field.label.as_str().to_owned(),
                    required: field.required,
                    kind: field.kind.0.clone(),
                })
                .collect(),
        };
        Ok(Some(form).filter(|form| !form.is_empty()).map(|form| form.versioned(before, version)))
    }
}
