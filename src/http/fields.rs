//! The types of input fields. What a value of one of them holds has been checked; each refusal has its
//! own code and each limit stands here or beside the type's use.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zhundian_domain::time::{TICK_MINUTES, rfc3339};
use zhundian_domain::zone::Zone;

use crate::error::Code;
use crate::http::extract::refusal;

/// Implements the schema of a field type from an object builder.
macro_rules! schema {
    ([$($generics:tt)*] $type:ty, $name:expr, $builder:expr) => {
        impl<$($generics)*> PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                RefOr::T(Schema::Object($builder.build()))
            }
        }
        impl<$($generics)*> ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer)
}

/// An id: `UUIDv7` as 32 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Id(String);

impl Id {
    /// The id of an instant (UTC milliseconds) and ten random bytes.
    #[must_use]
    pub fn new(now: i64, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now).unwrap_or(0);
        let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        Self(uuid.simple().to_string())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(())
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map_err(|()| refusal(Code::InvalidId, ""))
    }
}

schema!([] Id, "Id", ObjectBuilder::new()
    .schema_type(Type::String)
    .pattern(Some("^[0-9a-f]{32}$"))
    .examples([serde_json::json!("01939b5c2f4e7c3a8d5e6f7a8b9c0d1e")]));

impl From<&Id> for crate::d1::Param {
    fn from(id: &Id) -> Self {
        Self::Text(id.0.clone())
    }
}

impl From<Id> for crate::d1::Param {
    fn from(id: Id) -> Self {
        Self::Text(id.0)
    }
}

/// Text of `MIN` to `MAX` characters, trimmed, without control characters; line breaks are allowed
/// where `LINES` says so. Emoji are text like any other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Text<const MIN: usize, const MAX: usize, const LINES: bool = false>(String);

/// A name: 1 to 64 characters.
pub type Name = Text<1, 64>;
/// A short text in several lines, possibly empty.
pub type Note = Text<0, 500, true>;
/// A long text in several lines, possibly empty.
pub type LongText = Text<0, 5000, true>;

impl<const MIN: usize, const MAX: usize, const LINES: bool> Text<MIN, MAX, LINES> {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks a text.
    ///
    /// # Errors
    /// The code, and the limit that was passed.
    pub fn parse(text: &str) -> Result<Self, (Code, usize)> {
        let forbidden = |c: char| c.is_control() && !(LINES && matches!(c, '\n' | '\r' | '\t'));
        let text = text.trim_matches([' ', '\n', '\r', '\t', '\u{3000}']);
        if text.chars().any(forbidden) {
            return Err((Code::ControlCharacter, 0));
        }
        match text.chars().count() {
            count if count > MAX => Err((Code::TextTooLong, MAX)),
            count if count < MIN => Err((Code::TextTooShort, MIN)),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl<const MIN: usize, const MAX: usize, const LINES: bool> Default for Text<MIN, MAX, LINES>
where
    Self: DefaultsToEmpty,
{
    fn default() -> Self {
        Self(String::new())
    }
}

/// Texts that may be empty.
pub trait DefaultsToEmpty {}
impl<const MAX: usize, const LINES: bool> DefaultsToEmpty for Text<0, MAX, LINES> {}

impl<'de, const MIN: usize, const MAX: usize, const LINES: bool> Deserialize<'de>
    for Text<MIN, MAX, LINES>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&text(deserializer)?).map_err(|(code, limit)| refusal(code, limit))
    }
}

schema!([const MIN: usize, const MAX: usize, const LINES: bool] Text<MIN, MAX, LINES>,
    format!("Text{MIN}To{MAX}{}", if LINES { "Lines" } else { "" }),
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(MIN)).max_length(Some(MAX)));

impl<const MIN: usize, const MAX: usize, const LINES: bool> From<&Text<MIN, MAX, LINES>>
    for crate::d1::Param
{
    fn from(text: &Text<MIN, MAX, LINES>) -> Self {
        Self::Text(text.0.clone())
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Int<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The number; `None` outside the range.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value >= MIN && value <= MAX { Some(Self(value)) } else { None }
    }

    /// A constant of the range, checked by the compiler: a default.
    #[must_use]
    pub const fn of<const VALUE: i64>() -> Self {
        const { assert!(MIN <= VALUE && VALUE <= MAX) };
        Self(VALUE)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MIN: i64, const MAX: i64>;
        impl<const MIN: i64, const MAX: i64> serde::de::Visitor<'_> for Visitor<MIN, MAX> {
            type Value = Int<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("integer")
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
                Int::new(value)
                    .ok_or_else(|| refusal(Code::OutOfRange, format_args!("{MIN}..{MAX}")))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
                self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
            }

            // JSON does not tell 1.0 from 1, and the document's `integer` takes both.
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
                if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
                    self.visit_i64(value as i64)
                } else if value.fract() == 0.0 {
                    Err(refusal(Code::OutOfRange, format_args!("{MIN}..{MAX}")))
                } else {
                    Err(refusal(Code::WrongType, "integer"))
                }
            }

            // A query string gives text.
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
                let digits = value.strip_prefix('-').unwrap_or(value);
                match value.parse() {
                    Ok(value) => self.visit_i64(value),
                    Err(_) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                        Err(refusal(Code::OutOfRange, format_args!("{MIN}..{MAX}")))
                    }
                    Err(_) => Err(refusal(Code::WrongType, "integer")),
                }
            }
        }
        // A number of any kind, see `http::strict`.
        deserializer.deserialize_f32(Visitor)
    }
}

schema!([const MIN: i64, const MAX: i64] Int<MIN, MAX>, format!("Int{MIN}To{MAX}").replace('-', "Minus"),
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(MIN as f64))
        .maximum(Some(MAX as f64)));

impl<const MIN: i64, const MAX: i64> From<Int<MIN, MAX>> for crate::d1::Param {
    fn from(value: Int<MIN, MAX>) -> Self {
        Self::Integer(value.0)
    }
}

/// Money in fen, 0 to one million yuan.
pub type Fen = Int<0, { zhundian_domain::pricing::MAX_PRICE_FEN }>;

/// A list of at most `MAX` items.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct List<T, const MAX: usize>(pub Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::deserialize(deserializer)?;
        if items.len() > MAX { Err(refusal(Code::TooManyItems, MAX)) } else { Ok(Self(items)) }
    }
}

impl<T: ToSchema, const MAX: usize> PartialSchema for List<T, MAX> {
    fn schema() -> RefOr<Schema> {
        utoipa::openapi::ArrayBuilder::new().items(T::schema()).max_items(Some(MAX)).into()
    }
}

impl<T: ToSchema, const MAX: usize> ToSchema for List<T, MAX> {
    fn name() -> Cow<'static, str> {
        format!("List{MAX}Of{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// A date, `YYYY-MM-DD`, from 2000 to 2199.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Date(pub NaiveDate);

impl FromStr for Date {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        use chrono::Datelike as _;
        let shaped = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(drop)?;
        if shaped && (2000..2200).contains(&date.year()) { Ok(Self(date)) } else { Err(()) }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map_err(|()| refusal(Code::InvalidDate, ""))
    }
}

schema!([] Date, "Date", ObjectBuilder::new()
    .schema_type(Type::String)
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
    .examples([serde_json::json!("2026-11-23")]));

impl From<Date> for crate::d1::Param {
    fn from(date: Date) -> Self {
        date.0.into()
    }
}

/// A birthday: a date from 1900 to 2199.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Birthday(pub NaiveDate);

impl<'de> Deserialize<'de> for Birthday {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use chrono::Datelike as _;
        let text = text(deserializer)?;
        let date =
            (text.len() == 10).then(|| NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()).flatten();
        date.filter(|date| (1900..2200).contains(&date.year()))
            .map(Self)
            .ok_or_else(|| refusal(Code::InvalidDate, ""))
    }
}

schema!([] Birthday, "Birthday", ObjectBuilder::new()
    .schema_type(Type::String)
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))));

/// A time of day on the store's clock, `HH:MM`, on the five-minute grid, up to `24:00`. As the end of a
/// range it may go on into the next day, up to `48:00`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClockTime(pub u16);

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        let number = |digits: &str| {
            let digits =
                Some(digits).filter(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<u16>().ok()
        };
        text.split_once(':')
            .and_then(|(hours, minutes)| number(hours).zip(number(minutes)))
            .filter(|(hours, minutes)| *hours <= 48 && *minutes < 60)
            .map(|(hours, minutes)| hours * 60 + minutes)
            .filter(|at| *at <= 48 * 60 && i64::from(*at) % TICK_MINUTES == 0)
            .map(Self)
            .ok_or_else(|| refusal(Code::InvalidTime, ""))
    }
}

impl Serialize for ClockTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02}:{:02}", self.0 / 60, self.0 % 60))
    }
}

schema!([] ClockTime, "ClockTime", ObjectBuilder::new()
    .schema_type(Type::String)
    .pattern(Some("^([0-3][0-9]|4[0-8]):[0-5][05]$"))
    .examples([serde_json::json!("10:00")]));

/// An IANA time zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeZone(pub Zone);

impl<'de> Deserialize<'de> for TimeZone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map(Self).map_err(|_| refusal(Code::InvalidTimeZone, ""))
    }
}

impl Serialize for TimeZone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

schema!([] TimeZone, "TimeZone", ObjectBuilder::new()
    .schema_type(Type::String)
    .max_length(Some(64))
    .examples([serde_json::json!("Asia/Shanghai")]));

/// An instant as a client writes it: RFC 3339 with an offset, or without one as the store's clock
/// shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instant {
    /// UTC milliseconds; what the clock face with that offset showed; and whether the offset was
    /// written as a number rather than as `Z`.
    Offset {
        /// UTC milliseconds.
        ms: i64,
        /// As written.
        wall: NaiveDateTime,
        /// In seconds; `None` for `Z`.
        offset_seconds: Option<i32>,
    },
    /// A time on the store's clock.
    Local(NaiveDateTime),
}

impl FromStr for Instant {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        use chrono::Datelike as _;
        if text.len() > 40 {
            return Err(());
        }
        let instant = if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            let zulu = text.ends_with(['Z', 'z']);
            let offset_seconds = (!zulu).then(|| at.offset().local_minus_utc());
            Self::Offset { ms: at.timestamp_millis(), wall: at.naive_local(), offset_seconds }
        } else {
            let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
            let local =
                formats.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
            Self::Local(local.ok_or(())?)
        };
        let (Self::Offset { wall, .. } | Self::Local(wall)) = instant;
        if (2000..2200).contains(&wall.year()) { Ok(instant) } else { Err(()) }
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map_err(|()| refusal(Code::InvalidInstant, ""))
    }
}

schema!([] Instant, "Instant", ObjectBuilder::new()
    .schema_type(Type::String)
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
    .examples([serde_json::json!("2026-11-23T10:00:00+08:00")]));

/// An instant as it goes out: RFC 3339 with the store's offset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(String);

impl At {
    /// UTC milliseconds, on the clock of `zone`.
    #[must_use]
    pub fn new(zone: Zone, ms: i64) -> Self {
        Self(rfc3339(zone, ms))
    }

    /// In UTC.
    #[must_use]
    pub fn utc(ms: i64) -> Self {
        Self(rfc3339(Zone::UTC, ms))
    }
}

schema!([] At, "At", ObjectBuilder::new()
    .schema_type(Type::String)
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
    .examples([serde_json::json!("2026-11-23T10:00:00+08:00")]));

/// A mainland mobile number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Phone(pub zhundian_providers::phone::Phone);

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer)?;
        zhundian_providers::phone::Phone::parse(&text)
            .map(Self)
            .map_err(|_| refusal(Code::InvalidPhone, ""))
    }
}

schema!([] Phone, "Phone", ObjectBuilder::new()
    .schema_type(Type::String)
    .pattern(Some("^1[3-9][0-9]{9}$"))
    .examples([serde_json::json!("13800000000")]));

impl From<&Phone> for crate::d1::Param {
    fn from(phone: &Phone) -> Self {
        Self::Text(phone.0.as_str().to_owned())
    }
}

/// A degree of latitude or longitude, `-MAX` to `MAX`.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Serialize)]
#[serde(transparent)]
pub struct Degrees<const MAX: i64>(f64);

impl<const MAX: i64> Degrees<MAX> {
    /// Degrees that were checked before; what lies beyond is brought to the limit.
    #[must_use]
    pub const fn of(degrees: f64) -> Self {
        Self(degrees.clamp(-(MAX as f64), MAX as f64))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<'de, const MAX: i64> Deserialize<'de> for Degrees<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.is_finite() && value.abs() <= MAX as f64 {
            Ok(Self(value))
        } else {
            Err(refusal(Code::OutOfRange, format_args!("-{MAX}..{MAX}")))
        }
    }
}

schema!([const MAX: i64] Degrees<MAX>, format!("Degrees{MAX}"), ObjectBuilder::new()
    .schema_type(Type::Number)
    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)))
    .minimum(Some(-(MAX as f64)))
    .maximum(Some(MAX as f64)));

/// For a field that may be left out (unchanged) or null (taken away): `Option<Option<T>>` with
/// `#[serde(default, deserialize_with = "present")]`.
///
/// # Errors
/// As the field's own.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
