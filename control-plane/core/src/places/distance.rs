//! Great circles, and the round-trip time to plan with, by the formula of `data/rtt_ms.csv`.

/// A point on the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    lat: f64,
    lon: f64,
}

/// Coordinates that are none.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "({0}, {1}) is no place: write a latitude of -90 to 90 and a longitude of -180 to 180 degrees"
)]
pub struct PointError(f64, f64);

impl Point {
    /// Takes degrees north and east.
    ///
    /// # Errors
    /// Beyond ±90 and ±180, or not a number.
    pub fn new(lat: f64, lon: f64) -> Result<Self, PointError> {
        let valid = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        valid
            .then_some(Self { lat, lon })
            .ok_or(PointError(lat, lon))
    }

    /// Degrees north.
    pub fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east.
    pub fn lon(self) -> f64 {
        self.lon
    }

    /// Kilometres along the great circle.
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = (lat_b - lat_a) / 2.0;
        let half_lon = (other.lon - self.lon).to_radians() / 2.0;
        let chord = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
        2.0 * EARTH_RADIUS_KM * chord.min(1.0).sqrt().asin()
    }

    /// The point in the middle of many, as seen from the globe's centre; `None` if there is none.
    pub fn middle(points: impl IntoIterator<Item = Self>) -> Option<Self> {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for point in points {
            let (lat, lon) = (point.lat.to_radians(), point.lon.to_radians());
            x += lat.cos() * lon.cos();
            y += lat.cos() * lon.sin();
            z += lat.sin();
        }
        let flat = f64::hypot(x, y);
        if flat == 0.0 && z == 0.0 {
            return None;
        }
        Self::new(z.atan2(flat).to_degrees(), y.atan2(x).to_degrees()).ok()
    }
}

/// The round trip in µs that light in a straight fibre would take. No path is faster.
pub fn fibre_floor_us(from: Point, to: Point) -> u32 {
    (2.0 * from.distance_km(to) / FIBRE_KM_PER_MS * 1_000.0).round() as u32
}

/// The round trip in µs to plan with: the fibre's floor, times what real paths are longer, plus both ends' access.
pub fn planning_rtt_us(from: Point, to: Point) -> u32 {
    (f64::from(fibre_floor_us(from, to)) * DETOUR).round() as u32 + ACCESS_US
}

/// The mean radius, as `data/rtt_ms.csv` has it.
const EARTH_RADIUS_KM: f64 = 6_371.0;
/// Light in glass.
const FIBRE_KM_PER_MS: f64 = 204.0;
/// How much longer than the great circle the paths of `data/rtt_ms.csv` are.
const DETOUR: f64 = 1.7;
/// Last miles and queues at both ends, µs.
const ACCESS_US: u32 = 4_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_formula_gives_every_row_of_the_table() {
        let offices: HashMap<&str, Point> = include_str!("../../../../data/offices.csv")
            .lines()
            .skip(1)
            .map(|line| {
                let field: Vec<&str> = line.split(',').collect();
                (
                    field[0],
                    Point::new(field[6].parse().unwrap(), field[7].parse().unwrap()).unwrap(),
                )
            })
            .collect();
        let rows = include_str!("../../../../data/rtt_ms.csv").lines().skip(1);
        let mut seen = 0;
        for row in rows {
            let field: Vec<&str> = row.split(',').collect();
            let (from, to) = (offices[field[0]], offices[field[1]]);
            let of = |column: usize| field[column].parse::<f64>().unwrap();
            assert!((from.distance_km(to) - of(2)).abs() < 0.51, "{row}");
            assert!(
                (f64::from(fibre_floor_us(from, to)) / 1e3 - of(3)).abs() < 0.051,
                "{row}"
            );
            assert!(
                (f64::from(planning_rtt_us(from, to)) / 1e3 - of(4)).abs() < 0.051,
                "{row}"
            );
            seen += 1;
        }
        assert_eq!(seen, 105);
    }

    #[test]
    fn the_date_line_is_no_wall() {
        let (fiji, samoa) = (
            Point::new(-18.1, 178.4).unwrap(),
            Point::new(-13.8, -171.7).unwrap(),
        );
        assert!(fiji.distance_km(samoa) < 1_300.0);
        let middle = Point::middle([fiji, samoa]).unwrap();
        assert!(middle.lon().abs() > 170.0, "{middle:?}");
    }

    #[test]
    fn coordinates_beyond_the_globe_are_refused() {
        assert!(Point::new(91.0, 0.0).is_err());
        assert!(Point::new(0.0, f64::NAN).is_err());
        assert_eq!(Point::middle([]), None);
    }
}
