//! Finding stores: near a point, and by a piece of text.

use std::collections::BTreeSet;

use zhundian_domain::geo::EARTH_RADIUS_M;

/// A box in degrees that holds every point within a distance. At the 180° meridian it is in two parts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Area {
    /// From and to.
    pub latitude: (f64, f64),
    /// From and to, twice; the second is empty unless the box crosses the 180° meridian.
    pub longitudes: [(f64, f64); 2],
}

impl Area {
    /// Around a point.
    #[must_use]
    pub fn around((latitude, longitude): (f64, f64), radius_m: f64) -> Self {
        const EMPTY: (f64, f64) = (1.0, 0.0);
        let angle = radius_m / EARTH_RADIUS_M;
        let (south, north) = (latitude - angle.to_degrees(), latitude + angle.to_degrees());
        let reach = angle.sin() / latitude.to_radians().cos();
        let longitudes = if north >= 90.0 || south <= -90.0 || reach >= 1.0 {
            // A pole lies within reach, and with it every meridian.
            [(-180.0, 180.0), EMPTY]
        } else {
            let reach = reach.asin().to_degrees();
            let (west, east) = (longitude - reach, longitude + reach);
            if west < -180.0 {
                [(-180.0, east), (west + 360.0, 180.0)]
            } else if east > 180.0 {
                [(west, 180.0), (-180.0, east - 360.0)]
            } else {
                [(west, east), EMPTY]
            }
        };
        Self { latitude: (south, north), longitudes }
    }
}

/// The text as searches compare it: ASCII letters in lower case, as SQLite's `lower` makes them.
#[must_use]
pub fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// Every piece of two characters of the texts, folded.
#[must_use]
pub fn bigrams(texts: &[&str]) -> BTreeSet<String> {
    let mut pieces = BTreeSet::new();
    for text in texts {
        let text = fold(text);
        let pairs = text.chars().zip(text.chars().skip(1));
        pieces.extend(pairs.map(|(first, second)| String::from_iter([first, second])));
    }
    pieces
}

/// [`bigrams`] as JSON.
#[must_use]
pub fn bigrams_json(texts: &[&str]) -> String {
    serde_json::to_string(&bigrams(texts)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zhundian_domain::geo::distance_m;

    const SHANGHAI: (f64, f64) = (31.2304, 121.4737);

    fn holds(area: &Area, (latitude, longitude): (f64, f64)) -> bool {
        let inside = |(from, to): (f64, f64), value: f64| from <= value && value <= to;
        inside(area.latitude, latitude)
            && area.longitudes.iter().any(|part| inside(*part, longitude))
    }

    #[test]
    fn the_box_holds_every_point_within_the_radius() {
        for centre in [SHANGHAI, (0.0, 180.0), (60.0, -179.9), (-89.9, 10.0), (89.0, 0.0)] {
            for radius in [1.0, 5_000.0, 50_000.0] {
                let area = Area::around(centre, radius);
                for step in 0..360 {
                    let (north, east) =
                        (f64::from(step).to_radians().cos(), f64::from(step).to_radians().sin());
                    let latitude =
                        centre.0 + north * (radius / EARTH_RADIUS_M).to_degrees() * 0.999;
                    let wide = (radius / EARTH_RADIUS_M).to_degrees() / centre.0.to_radians().cos();
                    let longitude =
                        (centre.1 + east * wide * 0.999 + 540.0).rem_euclid(360.0) - 180.0;
                    let point = (latitude.clamp(-90.0, 90.0), longitude);
                    if distance_m(centre, point) <= radius {
                        assert!(holds(&area, point), "{centre:?} {radius} {point:?}");
                    }
                }
            }
        }
        assert!(!holds(&Area::around(SHANGHAI, 5_000.0), (31.2304, 121.6)));
    }

    #[test]
    fn bigrams_are_pieces_of_two_characters() {
        let pieces: Vec<_> = bigrams(&["准点 SPA", "点准", "店"]).into_iter().collect();
        assert_eq!(pieces, [" s", "pa", "sp", "准点", "点 ", "点准"]);
        assert!(bigrams(&["", "一"]).is_empty());
        assert_eq!(bigrams_json(&["aaa"]), r#"["aa"]"#);
    }
}
