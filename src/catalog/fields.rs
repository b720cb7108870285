//! What only catalog bodies have: sets, hours, deposits, prices by level, cancellation tiers.

use std::borrow::Cow;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat,
    Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zhundian_domain::cancellation::{
    BadTiers, MAX_TIERS, MAX_UNTIL_MINUTES, MIN_UNTIL_MINUTES, Tier, Tiers,
};
use zhundian_domain::pricing::MAX_PRICE_FEN;
use zhundian_domain::time::{DAY_MINUTES, TICK_MINUTES};
use zhundian_domain::working::{MAX_RANGES_PER_DAY, MinuteRange, Week};

use crate::error::{Answer, Code, Problem};
use crate::http::extract::refusal;
use crate::http::fields::{ClockTime, Fen, Id, Int, List, Text};

/// The version that a change was made from.
pub type Version = Int<1, 9_007_199_254_740_991>;

/// `MIN` to `MAX` items, none of them twice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Set<T, const MAX: usize, const MIN: usize = 0>(pub Vec<T>);

impl<T, const MAX: usize> Default for Set<T, MAX, 0> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + PartialEq, const MAX: usize, const MIN: usize> Deserialize<'de>
    for Set<T, MAX, MIN>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List(items) = List::<T, MAX>::deserialize(deserializer)?;
        if items.len() < MIN {
            return Err(refusal(Code::OutOfRange, format_args!("{MIN}..{MAX}")));
        }
        let twice = items
            .iter()
            .enumerate()
            .any(|(at, item)| items.iter().take(at).any(|known| known == item));
        if twice { Err(refusal(Code::DuplicateItem, "")) } else { Ok(Self(items)) }
    }
}

impl<T: ToSchema, const MAX: usize, const MIN: usize> PartialSchema for Set<T, MAX, MIN> {
    fn schema() -> RefOr<Schema> {
        let least = (MIN > 0).then_some(MIN);
        ArrayBuilder::new()
            .items(T::schema())
            .unique_items(true)
            .min_items(least)
            .max_items(Some(MAX))
            .into()
    }
}

impl<T: ToSchema, const MAX: usize, const MIN: usize> ToSchema for Set<T, MAX, MIN> {
    fn name() -> Cow<'static, str> {
        format!("Set{MIN}To{MAX}Of{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
    }
}

/// Minutes from `MIN` to `MAX` in steps of the grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct GridMinutes<const MIN: i64, const MAX: i64>(Int<MIN, MAX>);

impl<const MIN: i64, const MAX: i64> GridMinutes<MIN, MAX> {
    /// How many.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0.get()
    }

    /// A constant of the range.
    #[must_use]
    pub const fn of<const VALUE: i64>() -> Self {
        const { assert!(VALUE % TICK_MINUTES == 0) };
        Self(Int::of::<VALUE>())
    }
}

impl<'de, const MIN: i64, const MAX: i64> Deserialize<'de> for GridMinutes<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let minutes = Int::deserialize(deserializer)?;
        if minutes.get() % TICK_MINUTES == 0 {
            Ok(Self(minutes))
        } else {
            Err(refusal(Code::OutOfRange, format_args!("{MIN}, {}, … {MAX}", MIN + TICK_MINUTES)))
        }
    }
}

impl<const MIN: i64, const MAX: i64> PartialSchema for GridMinutes<MIN, MAX> {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(MIN as f64))
            .maximum(Some(MAX as f64))
            .multiple_of(Some(TICK_MINUTES as f64));
        RefOr::T(Schema::Object(object.build()))
    }
}

impl<const MIN: i64, const MAX: i64> ToSchema for GridMinutes<MIN, MAX> {
    fn name() -> Cow<'static, str> {
        format!("GridMinutes{MIN}To{MAX}").into()
    }
}

/// A telephone number that customers call: a landline or a mobile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct ContactPhone(String);

impl<'de> Deserialize<'de> for ContactPhone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let inner = |byte: u8| byte.is_ascii_digit() || b"+- ".contains(&byte);
        let good = (5..=20).contains(&text.len())
            && text.bytes().all(inner)
            && text.starts_with(|c: char| c.is_ascii_digit() || c == '+')
            && text.ends_with(|c: char| c.is_ascii_digit());
        if good { Ok(Self(text)) } else { Err(refusal(Code::InvalidContactPhone, "")) }
    }
}

impl PartialSchema for ContactPhone {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9+][0-9+ -]{3,18}[0-9]$"))
            .examples([serde_json::json!("021-6666 8888")]);
        RefOr::T(Schema::Object(object.build()))
    }
}

impl ToSchema for ContactPhone {
    fn name() -> Cow<'static, str> {
        "ContactPhone".into()
    }
}

/// An amount that a deposit may have.
pub type DepositFen = Int<1, MAX_PRICE_FEN>;
/// Ids of photos.
pub type PhotoIds = Set<Id, 20>;
/// What somebody knows.
pub type Skills = Set<Text<1, 32>, 20>;

/// What must be paid before the visit: as `zhundian_domain::pricing::DepositRule`, with its limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", try_from = "DepositFields")]
pub enum Deposit {
    /// Nothing.
    None {},
    /// A fixed amount.
    Fixed {
        /// At most the price.
        fen: DepositFen,
    },
    /// A share of the total.
    Percent {
        /// In hundredths.
        percent: Int<1, 100>,
    },
    /// The total.
    Full {},
}

/// A [`Deposit`] as it is read: field by field, where serde's own way of reading a tagged enum loses
/// the path of a fault and takes a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DepositFields {
    kind: DepositKind,
    fen: Option<DepositFen>,
    percent: Option<Int<1, 100>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DepositKind {
    None,
    Fixed,
    Percent,
    Full,
}

impl TryFrom<DepositFields> for Deposit {
    type Error = serde::de::value::Error;

    fn try_from(fields: DepositFields) -> Result<Self, Self::Error> {
        match fields {
            DepositFields { kind: DepositKind::None, fen: None, percent: None } => {
                Ok(Self::None {})
            }
            DepositFields { kind: DepositKind::Full, fen: None, percent: None } => {
                Ok(Self::Full {})
            }
            DepositFields { kind: DepositKind::Fixed, fen: Some(fen), percent: None } => {
                Ok(Self::Fixed { fen })
            }
            DepositFields { kind: DepositKind::Percent, fen: None, percent: Some(percent) } => {
                Ok(Self::Percent { percent })
            }
            DepositFields { kind: DepositKind::Fixed, fen: None, .. }
            | DepositFields { kind: DepositKind::Percent, percent: None, .. } => {
                Err(refusal(Code::MissingField, ""))
            }
            _ => Err(refusal(Code::UnknownField, "")),
        }
    }
}

// By hand: the derive does not say that there are no other properties.
impl PartialSchema for Deposit {
    fn schema() -> RefOr<Schema> {
        let kind = |name: &str, amount: Option<(&str, RefOr<Schema>)>| {
            let tag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
            let object = ObjectBuilder::new().property("kind", tag).required("kind");
            let object = match amount {
                Some((field, schema)) => object.property(field, schema).required(field),
                None => object,
            };
            object.additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let schema = OneOfBuilder::new()
            .item(kind("none", None))
            .item(kind("fixed", Some(("fen", DepositFen::schema()))))
            .item(kind("percent", Some(("percent", Int::<1, 100>::schema()))))
            .item(kind("full", None));
        RefOr::T(Schema::OneOf(schema.build()))
    }
}

impl ToSchema for Deposit {
    fn name() -> Cow<'static, str> {
        "Deposit".into()
    }
}

/// Levels in one service's prices.
pub const MAX_LEVEL_PRICES: usize = 20;

/// Prices in fen by level, for the levels whose price differs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LevelPrices(pub Vec<(String, i64)>);

impl LevelPrices {
    /// Reads the pairs that a row keeps.
    ///
    /// # Errors
    /// When they are no such pairs.
    pub fn from_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

impl Serialize for LevelPrices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (level, fen) in &self.0 {
            map.serialize_entry(level, fen)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for LevelPrices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = LevelPrices;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LevelPrices, A::Error> {
                let mut prices: Vec<(String, i64)> = Vec::new();
                while let Some((level, fen)) = map.next_entry::<Text<1, 32>, Fen>()? {
                    if prices.iter().any(|(known, _)| known == level.as_str()) {
                        return Err(refusal(Code::DuplicateItem, ""));
                    }
                    if prices.len() == MAX_LEVEL_PRICES {
                        return Err(refusal(Code::TooManyItems, MAX_LEVEL_PRICES));
                    }
                    prices.push((level.as_str().to_owned(), fen.get()));
                }
                Ok(LevelPrices(prices))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl PartialSchema for LevelPrices {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .property_names(match Text::<1, 32>::schema() {
                RefOr::T(schema) => Some(schema),
                RefOr::Ref(_) => None,
            })
            .additional_properties(Some(AdditionalProperties::RefOr(Fen::schema())))
            .max_properties(Some(MAX_LEVEL_PRICES))
            .examples([serde_json::json!({"senior": 29800})]);
        RefOr::T(Schema::Object(object.build()))
    }
}

impl ToSchema for LevelPrices {
    fn name() -> Cow<'static, str> {
        "LevelPrices".into()
    }
}

/// How long before the start a tier may end.
pub type UntilMinutes = Int<MIN_UNTIL_MINUTES, MAX_UNTIL_MINUTES>;

/// One tier of what comes back when an appointment is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancellationTier {
    /// It holds until so many minutes before the start, that minute included. One that is negative goes on
    /// past the start: it says what comes back to a customer who does not come.
    pub until_minutes_before: UntilMinutes,
    /// What comes back of what was paid.
    pub refund_percent: Int<0, 100>,
}

/// What comes back when an appointment is given up, the earliest tier first; after the last one nothing
/// does.
pub type Cancellation = List<CancellationTier, MAX_TIERS>;

/// Tiers as rules keep them; `field` is where they stand in the body.
///
/// # Errors
/// `tier_not_later` or `tier_not_less` at what is at fault in the second of two that are no scale.
pub fn tiers(tiers: &Cancellation, field: &str) -> Answer<Tiers> {
    let tier = |tier: &CancellationTier| Tier {
        until_minutes_before: tier.until_minutes_before.get(),
        refund_percent: tier.refund_percent.get(),
    };
    Tiers::new(tiers.0.iter().map(tier).collect()).map_err(|bad| match bad {
        // Both limits are those of the types that were read.
        BadTiers::TooMany | BadTiers::OutOfRange(_) => Problem::internal(bad),
        BadTiers::NotOrdered(index) => {
            Problem::from(Code::TierNotLater).at(format!("{field}[{index}].until_minutes_before"))
        }
        BadTiers::NotFalling(index) => {
            Problem::from(Code::TierNotLess).at(format!("{field}[{index}].refund_percent"))
        }
    })
}

/// A range on the store's clock: `end` after `start`, at most 24 hours later; `26:00` is two in the
/// morning of the next day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockRange {
    /// `00:00` to `23:55`.
    pub start: ClockTime,
    /// Up to `47:55`.
    pub end: ClockTime,
}

impl From<&MinuteRange> for ClockRange {
    fn from(range: &MinuteRange) -> Self {
        Self { start: ClockTime(range.start), end: ClockTime(range.end) }
    }
}

/// One date's ranges.
pub type Ranges = List<ClockRange, MAX_RANGES_PER_DAY>;

/// Ranges for each weekday; a day that is left out has none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeekHours {
    /// On Mondays.
    pub monday: Ranges,
    /// On Tuesdays.
    pub tuesday: Ranges,
    /// On Wednesdays.
    pub wednesday: Ranges,
    /// On Thursdays.
    pub thursday: Ranges,
    /// On Fridays.
    pub friday: Ranges,
    /// On Saturdays.
    pub saturday: Ranges,
    /// On Sundays.
    pub sunday: Ranges,
}

/// Weekdays as the fields of [`WeekHours`] call them.
const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl WeekHours {
    /// The week as rules keep it; `field` is where it stands in the body.
    ///
    /// # Errors
    /// `invalid_range` at the range, or at the second of two that overlap: on one day, or across
    /// midnight.
    pub fn week(&self, field: &str) -> Answer<Week> {
        let days = [
            &self.monday,
            &self.tuesday,
            &self.wednesday,
            &self.thursday,
            &self.friday,
            &self.saturday,
            &self.sunday,
        ];
        let mut week = Week::default();
        for ((day, ranges), name) in week.0.iter_mut().zip(days).zip(WEEKDAYS) {
            *day = minute_ranges(ranges, &format!("{field}.{name}"))?;
        }
        let last_end = |day: &Vec<MinuteRange>| day.iter().map(|range| range.end).max();
        let mut before = week.0.last().and_then(last_end);
        for (day, name) in week.0.iter().zip(WEEKDAYS) {
            let spill = before.map_or(0, |end| i64::from(end) - DAY_MINUTES);
            if let Some(index) = day.iter().position(|range| i64::from(range.start) < spill) {
                return Err(
                    Problem::from(Code::InvalidRange).at(format!("{field}.{name}[{index}]"))
                );
            }
            before = last_end(day);
        }
        Ok(week)
    }

    /// Reads the week that a row keeps.
    ///
    /// # Errors
    /// When it is no week.
    pub fn from_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Week::deserialize(deserializer).map(|week| Self::from(&week))
    }
}

impl From<&Week> for WeekHours {
    fn from(week: &Week) -> Self {
        let [monday, tuesday, wednesday, thursday, friday, saturday, sunday] =
            week.0.each_ref().map(|day| clock_ranges(day));
        Self { monday, tuesday, wednesday, thursday, friday, saturday, sunday }
    }
}

/// Ranges as they go out.
#[must_use]
pub fn clock_ranges(ranges: &[MinuteRange]) -> Ranges {
    List(ranges.iter().map(ClockRange::from).collect())
}

/// Ranges as rules keep them, in order.
///
/// # Errors
/// `invalid_range` at the range, or at the second of two that overlap.
pub fn minute_ranges(ranges: &Ranges, field: &str) -> Answer<Vec<MinuteRange>> {
    let mut known: Vec<MinuteRange> = Vec::new();
    for (index, range) in ranges.0.iter().enumerate() {
        let fits = MinuteRange::new(range.start.0, range.end.0)
            .filter(|new| known.iter().all(|old| new.end <= old.start || old.end <= new.start));
        let range =
            fits.ok_or_else(|| Problem::from(Code::InvalidRange).at(format!("{field}[{index}]")))?;
        known.push(range);
    }
    known.sort_by_key(|range| range.start);
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn week(json: &str) -> Result<Week, String> {
        let hours: WeekHours = serde_json::from_str(json).map_err(|error| error.to_string())?;
        hours.week("hours").map_err(|problem| {
            problem.document(true, "")["fields"][0]["field"].as_str().unwrap_or("?").to_owned()
        })
    }

    #[test]
    fn hours_are_ranges_that_do_not_overlap() {
        let good = week(
            r#"{"monday": [{"start": "18:00", "end": "26:00"}, {"start": "09:00", "end": "12:00"}],
                "tuesday": [{"start": "02:00", "end": "03:00"}]}"#,
        )
        .unwrap();
        assert_eq!(good.0[0].iter().map(|range| range.start).collect::<Vec<_>>(), [540, 1080]);
        assert_eq!(WeekHours::from(&good).monday.0[1].end, ClockTime(26 * 60));
        let bad = [
            (r#"{"monday": [{"start": "10:00", "end": "10:00"}]}"#, "hours.monday[0]"),
            (r#"{"monday": [{"start": "24:00", "end": "25:00"}]}"#, "hours.monday[0]"),
            (r#"{"monday": [{"start": "10:00", "end": "34:05"}]}"#, "hours.monday[0]"),
            (
                r#"{"friday": [{"start": "10:00", "end": "12:00"}, {"start": "11:55", "end": "13:00"}]}"#,
                "hours.friday[1]",
            ),
            (
                r#"{"sunday": [{"start": "20:00", "end": "26:00"}],
                    "monday": [{"start": "01:55", "end": "03:00"}]}"#,
                "hours.monday[0]",
            ),
        ];
        for (json, field) in bad {
            assert_eq!(week(json).unwrap_err(), field, "{json}");
        }
        assert!(week(r#"{"noday": []}"#).is_err());
        assert!(week(r#"{"monday": [{"start": "10:03", "end": "12:00"}]}"#).is_err());
    }

    #[test]
    fn a_set_has_limits_and_nothing_twice() {
        let read = |json: &str| serde_json::from_str::<Set<u8, 3, 1>>(json);
        assert_eq!(read("[1, 2, 3]").unwrap().0, [1, 2, 3]);
        for (json, code) in
            [("[]", "out_of_range"), ("[1,1]", "duplicate_item"), ("[1,2,3,4]", "too_many_items")]
        {
            assert!(read(json).unwrap_err().to_string().contains(code), "{json}");
        }
    }

    #[test]
    fn tiers_are_a_scale() {
        let read = |json: &str| {
            let list: Cancellation =
                serde_json::from_str(json).map_err(|error| error.to_string())?;
            tiers(&list, "cancellation").map_err(|problem| {
                let fault = &problem.document(true, "")["fields"][0];
                format!("{} {}", fault["code"], fault["field"])
            })
        };
        let whole = r#"[{"until_minutes_before":1440,"refund_percent":100},{"until_minutes_before":120,"refund_percent":50}]"#;
        // What is stored, read and shown is what was sent.
        assert_eq!(serde_json::to_string(&read(whole).unwrap()).unwrap(), whole);
        assert_eq!(read("[]").unwrap().as_slice(), []);
        let default = serde_json::to_string(&Tiers::default()).unwrap();
        assert_eq!(read(&default).unwrap(), Tiers::default());
        for (json, fault) in [
            (whole.replace("120", "1440"), "tier_not_later cancellation[1].until_minutes_before"),
            (whole.replace("50", "100"), "tier_not_less cancellation[1].refund_percent"),
        ] {
            assert_eq!(read(&json).unwrap_err().replace('"', ""), fault);
        }
        for (json, code) in [
            (whole.replace("1440", "129601"), "out_of_range"),
            (whole.replace("50", "101"), "out_of_range"),
            (
                format!("[{}]", [r#"{"until_minutes_before":1,"refund_percent":1}"#; 6].join(",")),
                "too_many_items",
            ),
        ] {
            assert!(read(&json).unwrap_err().contains(code), "{json}");
        }
    }

    #[test]
    fn deposits_and_level_prices_have_limits() {
        let deposit = |json: &str| serde_json::from_str::<Deposit>(json);
        for json in [r#"{"kind":"none"}"#, r#"{"kind":"fixed","fen":1}"#, r#"{"kind":"full"}"#] {
            let value = deposit(json).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            // What is stored is what the rules read.
            serde_json::from_str::<zhundian_domain::pricing::DepositRule>(json).unwrap();
        }
        for json in
            [r#"{"kind":"none","fen":1}"#, r#"{"kind":"percent","percent":101}"#, r#"{"fen":1}"#]
        {
            assert!(deposit(json).is_err(), "{json}");
        }
        let prices = |json: &str| serde_json::from_str::<LevelPrices>(json);
        assert_eq!(prices(r#"{"senior":29800}"#).unwrap().0, [("senior".to_owned(), 29_800)]);
        assert!(prices(r#"{"a":1,"a":2}"#).is_err());
        assert!(prices(r#"{"a":-1}"#).is_err());
        assert!(prices(r#"{"":1}"#).is_err());
    }
}
