//! How a store serves at the customer's home, as bodies and answers have it; the rules are
//! `zhundian_domain::home`'s.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use zhundian_domain::geo::{Area, BadPolygon, MAX_RADIUS_M, MAX_VERTICES, Point, Polygon};
use zhundian_domain::home::{
    FeeBand, HomeService, MAX_BAND_M, MAX_BANDS, MAX_HANDOVER_MINUTES, MAX_SPEED, Speed, SpeedBand,
};

use super::fields::Set;
use crate::error::{Answer, Code, Problem};
use crate::http::extract::refusal;
use crate::http::fields::{Degrees, Fen, Int, List};

/// A point; of the same system as those of stores.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {
    /// In degrees.
    pub latitude: Degrees<90>,
    /// In degrees.
    pub longitude: Degrees<180>,
}

impl Coordinates {
    /// The point as rules have it.
    ///
    /// # Errors
    /// None in practice: both limits are those of the types.
    pub fn point(self) -> Answer<Point> {
        point(self.latitude.get(), self.longitude.get())
    }

    /// Reads the point that a row keeps.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let point = Option::<Point>::deserialize(deserializer)?;
        Ok(point.map(Self::from))
    }
}

impl From<Point> for Coordinates {
    fn from(point: Point) -> Self {
        let (latitude, longitude) = point.degrees();
        Self { latitude: Degrees::of(latitude), longitude: Degrees::of(longitude) }
    }
}

/// The point of degrees that were checked before.
///
/// # Errors
/// 500 for a row that does not fit.
pub fn point(latitude: f64, longitude: f64) -> Answer<Point> {
    Point::of_degrees(latitude, longitude).ok_or_else(|| Problem::internal("a point off the earth"))
}

type Fees = List<TravelFee, MAX_BANDS>;
type Speeds = Set<TravelSpeed, MAX_BANDS, 1>;
type MetresPerMinute = Int<1, MAX_SPEED>;
type Handover = Int<0, MAX_HANDOVER_MINUTES>;
type Metres = Int<1, MAX_BAND_M>;
type Radius = Int<1, MAX_RADIUS_M>;
type Vertices = Set<Coordinates, MAX_VERTICES, 3>;

/// Where a store's technicians go.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", try_from = "AreaFields")]
pub enum ServiceArea {
    /// Around the store, as the crow flies.
    Radius {
        /// How far.
        metres: Radius,
    },
    /// Within a polygon whose edges do not cross.
    Polygon {
        /// In order, either way round.
        vertices: Vertices,
    },
}

/// A [`ServiceArea`] as it is read, for the paths of its faults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AreaFields {
    kind: AreaKind,
    metres: Option<Radius>,
    vertices: Option<Vertices>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AreaKind {
    Radius,
    Polygon,
}

impl TryFrom<AreaFields> for ServiceArea {
    type Error = serde::de::value::Error;

    fn try_from(fields: AreaFields) -> Result<Self, Self::Error> {
        match fields {
            AreaFields { kind: AreaKind::Radius, metres: Some(metres), vertices: None } => {
                Ok(Self::Radius { metres })
            }
            AreaFields { kind: AreaKind::Polygon, metres: None, vertices: Some(vertices) } => {
                Ok(Self::Polygon { vertices })
            }
            AreaFields { kind: AreaKind::Radius, metres: None, .. }
            | AreaFields { kind: AreaKind::Polygon, vertices: None, .. } => {
                Err(refusal(Code::MissingField, ""))
            }
            _ => Err(refusal(Code::UnknownField, "")),
        }
    }
}

// By hand: the derive does not say that there are no other properties.
impl PartialSchema for ServiceArea {
    fn schema() -> RefOr<Schema> {
        let kind = |name: &str, field: &str, schema: RefOr<Schema>| {
            let tag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
            ObjectBuilder::new()
                .property("kind", tag)
                .required("kind")
                .property(field, schema)
                .required(field)
                .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        };
        let schema = OneOfBuilder::new()
            .item(kind("radius", "metres", Radius::schema()))
            .item(kind("polygon", "vertices", Vertices::schema()));
        RefOr::T(Schema::OneOf(schema.build()))
    }
}

impl ToSchema for ServiceArea {
    fn name() -> Cow<'static, str> {
        "ServiceArea".into()
    }
}

/// What the way costs within a distance.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TravelFee {
    /// From the store, as the crow flies.
    pub up_to_metres: Metres,
    /// In fen.
    pub fee_fen: Fen,
}

/// How fast a technician gets over a distance.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TravelSpeed {
    /// The whole way, as the crow flies; the last speed holds for everything beyond, too.
    pub up_to_metres: Metres,
    /// As the crow flies: what is left of the true speed after detours.
    pub metres_per_minute: MetresPerMinute,
}

/// How a store serves at the customer's home.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HomeServing {
    /// Where its technicians go.
    pub area: ServiceArea,
    /// What the way costs: each further than the one before. Nothing when there are none; nobody goes
    /// beyond the last one.
    #[serde(default)]
    pub fees: Fees,
    /// How fast they get there: each further than the one before.
    pub speeds: Speeds,
    /// Parking and handing over on each way.
    pub handover_minutes: Handover,
}

impl HomeServing {
    /// The settings as rules have them; `field` is where they stand in the body.
    ///
    /// # Errors
    /// `polygon_crosses`, `out_of_range`, `band_not_further` at what is at fault.
    pub fn rule(&self, field: &str) -> Answer<HomeService> {
        let rising = |name: &str, ends: Vec<i64>| match ends
            .iter()
            .zip(ends.iter().skip(1))
            .position(|(one, next)| one >= next)
        {
            Some(index) => {
                let path = format!("{field}.{name}[{}].up_to_metres", index + 1);
                Err(Problem::from(Code::BandNotFurther).at(path))
            }
            None => Ok(()),
        };
        rising("fees", self.fees.0.iter().map(|band| band.up_to_metres.get()).collect())?;
        rising("speeds", self.speeds.0.iter().map(|band| band.up_to_metres.get()).collect())?;
        let service = HomeService {
            area: self.area.rule(field)?,
            fees: self
                .fees
                .0
                .iter()
                .map(|band| FeeBand {
                    up_to_metres: band.up_to_metres.get(),
                    fee_fen: band.fee_fen.get(),
                })
                .collect(),
            speed: Speed {
                handover_minutes: self.handover_minutes.get(),
                bands: self
                    .speeds
                    .0
                    .iter()
                    .map(|band| SpeedBand {
                        up_to_metres: band.up_to_metres.get(),
                        metres_per_minute: band.metres_per_minute.get(),
                    })
                    .collect(),
            },
        };
        // All limits are those of the types that were read.
        service.check().map_err(|bad| Problem::internal(format!("{bad:?}")))?;
        Ok(service)
    }

    /// Reads the settings that a row keeps.
    ///
    /// # Errors
    /// When they are none.
    pub fn from_row<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let rule = Option::<HomeService>::deserialize(deserializer)?;
        rule.map(|rule| Self::of(&rule).map_err(serde::de::Error::custom)).transpose()
    }

    fn of(rule: &HomeService) -> Result<Self, serde_json::Error> {
        let area = match &rule.area {
            Area::Radius { metres } => serde_json::json!({ "kind": "radius", "metres": metres }),
            Area::Polygon { vertices } => {
                let vertices: Vec<_> =
                    vertices.vertices().iter().copied().map(Coordinates::from).collect();
                serde_json::json!({ "kind": "polygon", "vertices": vertices })
            }
        };
        serde_json::from_value(serde_json::json!({
            "area": area,
            "fees": rule.fees,
            "speeds": rule.speed.bands,
            "handover_minutes": rule.speed.handover_minutes,
        }))
    }
}

impl ServiceArea {
    fn rule(&self, field: &str) -> Answer<Area> {
        let vertices = match self {
            Self::Radius { metres } => return Ok(Area::Radius { metres: metres.get() }),
            Self::Polygon { vertices } => vertices,
        };
        let points = vertices.0.iter().map(|vertex| vertex.point()).collect::<Answer<Vec<_>>>()?;
        let at = |code: Code| Problem::from(code).at(format!("{field}.area.vertices"));
        let vertices = Polygon::new(points).map_err(|bad| match bad {
            BadPolygon::Crosses => at(Code::PolygonCrosses),
            BadPolygon::TooWide => at(Code::OutOfRange).with("180°"),
            BadPolygon::Vertices => Problem::internal("a polygon without vertices"),
        })?;
        Ok(Area::Polygon { vertices })
    }
}

/// How a store serves at home, as customers see it.
#[derive(Clone, PartialEq, Debug, Serialize, ToSchema)]
pub struct PublicHomeServing {
    /// Where its technicians go.
    pub area: ServiceArea,
    /// What the way costs; nothing when there are none.
    pub fees: Fees,
}

impl From<HomeServing> for PublicHomeServing {
    fn from(serving: HomeServing) -> Self {
        Self { area: serving.area, fees: serving.fees }
    }
}
