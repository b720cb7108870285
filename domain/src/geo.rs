//! Places on the earth: points, distances, areas.
//!
//! Points are whole microdegrees (11 cm at most), so that what is written, read and compared is exactly
//! the same everywhere, and a polygon is judged in whole numbers. All points of a deployment are of one
//! system; which one does not matter here.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The earth's mean radius in metres (IUGG).
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// Vertices of a polygon at most.
pub const MAX_VERTICES: usize = 100;
/// The widest radius of a service area, in metres.
pub const MAX_RADIUS_M: i64 = 200_000;

const MICRO: f64 = 1_000_000.0;

/// Metres between two points of (latitude, longitude) in degrees, along the great circle: the haversine
/// formula (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984).
#[must_use]
pub fn distance_m(a: (f64, f64), b: (f64, f64)) -> f64 {
    let half_sine = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let along = a.0.to_radians().cos() * b.0.to_radians().cos() * half_sine(a.1, b.1);
    let h = (half_sine(a.0, b.0) + along).clamp(0.0, 1.0);
    2.0 * EARTH_RADIUS_M * h.sqrt().asin()
}

/// A point, in microdegrees. Serialised as `[latitude, longitude]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    latitude: i32,
    longitude: i32,
}

impl Point {
    /// From microdegrees; `None` beyond 90° and 180°.
    #[must_use]
    pub const fn of_micro(latitude: i32, longitude: i32) -> Option<Self> {
        let good = latitude.unsigned_abs() <= 90_000_000 && longitude.unsigned_abs() <= 180_000_000;
        if good { Some(Self { latitude, longitude }) } else { None }
    }

    /// From degrees, rounded to the microdegree; `None` beyond 90° and 180°, and for what is no number.
    #[must_use]
    pub fn of_degrees(latitude: f64, longitude: f64) -> Option<Self> {
        let good = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        let micro = |degrees: f64| (degrees * MICRO).round() as i32;
        good.then(|| Self { latitude: micro(latitude), longitude: micro(longitude) })
    }

    /// Degrees of latitude and longitude.
    #[must_use]
    pub fn degrees(self) -> (f64, f64) {
        (f64::from(self.latitude) / MICRO, f64::from(self.longitude) / MICRO)
    }

    /// Metres to another point along the great circle, rounded up; 0 only for the same point.
    #[must_use]
    pub fn metres_to(self, other: Self) -> i64 {
        if self == other {
            return 0;
        }
        (distance_m(self.degrees(), other.degrees()).ceil() as i64).max(1)
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.latitude, self.longitude).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (latitude, longitude) = Deserialize::deserialize(deserializer)?;
        Self::of_micro(latitude, longitude)
            .ok_or_else(|| D::Error::custom("a point that is not on the earth"))
    }
}

/// Why points are no polygon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadPolygon {
    /// Fewer than 3 vertices, or more than [`MAX_VERTICES`].
    Vertices,
    /// Two edges meet elsewhere than in the vertex that they share, or all vertices lie on one line.
    Crosses,
    /// An edge spans half the earth or more: the 180° meridian lies within.
    TooWide,
}

/// A simple polygon: its edges meet nowhere but in the vertices that neighbours share. It does not cross
/// the 180° meridian. Edges are straight on a map of plain latitude and longitude.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Polygon(Vec<Point>);

impl Polygon {
    /// From its vertices in order, either way round; the last is joined to the first.
    ///
    /// # Errors
    /// [`BadPolygon`].
    pub fn new(vertices: Vec<Point>) -> Result<Self, BadPolygon> {
        let count = vertices.len();
        if !(3..=MAX_VERTICES).contains(&count) {
            return Err(BadPolygon::Vertices);
        }
        let polygon = Self(vertices);
        let wide = |(a, b): (Point, Point)| a.longitude.abs_diff(b.longitude) >= 180_000_000;
        if polygon.edges().any(wide) {
            return Err(BadPolygon::TooWide);
        }
        let edges: Vec<(Point, Point)> = polygon.edges().collect();
        for (index, &one) in edges.iter().enumerate() {
            for (other_index, &other) in edges.iter().enumerate().skip(index + 1) {
                let follows = other_index == index + 1;
                let closes = index == 0 && other_index + 1 == count;
                let bad = match (follows, closes) {
                    (true, _) => folds(one, other),
                    (false, true) => folds(other, one),
                    (false, false) => meet(one, other),
                };
                if bad {
                    return Err(BadPolygon::Crosses);
                }
            }
        }
        Ok(polygon)
    }

    /// Its vertices in order.
    #[must_use]
    pub fn vertices(&self) -> &[Point] {
        &self.0
    }

    fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        let next = self.0.iter().cycle().skip(1);
        self.0.iter().copied().zip(next.copied())
    }

    /// Whether a point lies inside or on an edge.
    #[must_use]
    pub fn contains(&self, point: Point) -> bool {
        if self.edges().any(|(a, b)| side(a, b, point) == 0 && spans(a, b, point)) {
            return true;
        }
        // Edges that a ray to the north crosses: an odd number from inside. An edge owns its western end.
        self.edges().fold(false, |inside, (a, b)| {
            let (west, east) = if a.longitude <= b.longitude { (a, b) } else { (b, a) };
            let over = west.longitude <= point.longitude && point.longitude < east.longitude;
            inside ^ (over && side(west, east, point) < 0)
        })
    }
}

impl<'de> Deserialize<'de> for Polygon {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?)
            .map_err(|bad| D::Error::custom(format_args!("no polygon: {bad:?}")))
    }
}

/// On which side of the line from `a` to `b` a point lies: 1 left, -1 right, 0 on it.
fn side(a: Point, b: Point, point: Point) -> i64 {
    let (x, y) = (
        i64::from(b.longitude) - i64::from(a.longitude),
        i64::from(b.latitude) - i64::from(a.latitude),
    );
    let (to_x, to_y) = (
        i64::from(point.longitude) - i64::from(a.longitude),
        i64::from(point.latitude) - i64::from(a.latitude),
    );
    // At most 2 × 3.6e8 × 1.8e8: far below what 64 bits hold.
    (x * to_y - y * to_x).signum()
}

/// Whether a point lies in the box that two points span.
fn spans(a: Point, b: Point, point: Point) -> bool {
    let within = |a: i32, b: i32, at: i32| a.min(b) <= at && at <= a.max(b);
    within(a.longitude, b.longitude, point.longitude)
        && within(a.latitude, b.latitude, point.latitude)
}

/// Whether two edges have a point in common.
fn meet(one: (Point, Point), other: (Point, Point)) -> bool {
    let sides = |(a, b): (Point, Point), (c, d): (Point, Point)| (side(a, b, c), side(a, b, d));
    let ((c, d), (a, b)) = (sides(one, other), sides(other, one));
    if c * d < 0 && a * b < 0 {
        return true;
    }
    let on = |(a, b): (Point, Point), point: Point| side(a, b, point) == 0 && spans(a, b, point);
    on(one, other.0) || on(one, other.1) || on(other, one.0) || on(other, one.1)
}

/// Whether the second of two edges in a row goes back along the first, or one of them has no length.
fn folds((a, b): (Point, Point), (_, c): (Point, Point)) -> bool {
    a == b || b == c || (side(a, b, c) == 0 && (spans(a, b, c) || spans(b, c, a)))
}

/// Where a store's technicians go.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Area {
    /// Around the store.
    Radius {
        /// 1 to [`MAX_RADIUS_M`].
        metres: i64,
    },
    /// Within a polygon.
    Polygon {
        /// Its vertices.
        vertices: Polygon,
    },
}

impl Area {
    /// Whether a point lies within the area of a store.
    #[must_use]
    pub fn contains(&self, store: Point, point: Point) -> bool {
        match self {
            Self::Radius { metres } => store.metres_to(point) <= *metres,
            Self::Polygon { vertices } => vertices.contains(point),
        }
    }
}
