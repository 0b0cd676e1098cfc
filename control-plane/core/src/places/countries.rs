//! Countries, where most of their people connect from, and the region of the Union they are in, from
//! `data/countries.csv`. Its coordinates are the time zone database's, which is in the public domain, or the capital's;
//! its regions are those of the Union's membership, territories by where they lie.

use super::Point;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// An ISO 3166-1 alpha-2 code, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

/// A region of the Union's Development Sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// Africa.
    Africa,
    /// The Americas.
    Americas,
    /// The Arab States.
    ArabStates,
    /// Asia and the Pacific.
    AsiaPacific,
    /// The Commonwealth of Independent States.
    Cis,
    /// Europe.
    Europe,
}

/// One country.
#[derive(Clone, Debug, PartialEq)]
pub struct Country {
    /// Its code.
    pub code: CountryCode,
    /// Its name in English.
    pub name: String,
    /// Its region.
    pub region: Region,
    /// Its capital or main city, which says more about a delegate's path than the middle of the land.
    pub point: Point,
}

/// All countries.
#[derive(Debug)]
pub struct Countries {
    by_code: BTreeMap<CountryCode, Country>,
    middle_by_region: BTreeMap<Region, Point>,
}

/// Text that names no country or region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountryError {
    /// Not of the form.
    #[error("`{0}` is no country code: write two letters (ISO 3166-1 alpha-2), such as CH")]
    Code(String),
    /// Not a region.
    #[error("`{0}` is no region: write AFR, AMS, ARB, ASP, CIS or EUR")]
    Region(String),
    /// Not in the table.
    #[error("there is no country {0}: see data/countries.csv for the codes")]
    Unknown(CountryCode),
}

impl Countries {
    /// The table that is built in.
    pub fn table() -> &'static Self {
        static TABLE: LazyLock<Countries> =
            LazyLock::new(|| Countries::parse(include_str!("../../../../data/countries.csv")));
        &TABLE
    }

    /// One country.
    ///
    /// # Errors
    /// [`CountryError::Unknown`].
    pub fn country(&self, code: CountryCode) -> Result<&Country, CountryError> {
        self.by_code.get(&code).ok_or(CountryError::Unknown(code))
    }

    /// All, in the order of their codes.
    pub fn iter(&self) -> impl Iterator<Item = &Country> {
        self.by_code.values()
    }

    /// The middle of a region's countries.
    pub fn middle(&self, region: Region) -> Option<Point> {
        self.middle_by_region.get(&region).copied()
    }

    fn parse(text: &str) -> Self {
        let by_code: BTreeMap<_, _> = text
            .lines()
            .skip(1)
            .map(|line| parse_line(line).expect("the built-in table is tested"))
            .map(|country| (country.code, country))
            .collect();
        let middle_by_region = REGIONS
            .into_iter()
            .filter_map(|(_, region)| {
                let points = by_code.values().filter(|country| country.region == region);
                Some((region, Point::middle(points.map(|country| country.point))?))
            })
            .collect();
        Self {
            by_code,
            middle_by_region,
        }
    }
}

/// Names may hold commas, the other columns cannot: cut from both ends.
fn parse_line(line: &str) -> Option<Country> {
    let (code, rest) = line.split_once(',')?;
    let mut ends = rest.rsplitn(4, ',');
    let lon = ends.next()?.parse().ok()?;
    let lat = ends.next()?.parse().ok()?;
    let region = ends.next()?.parse().ok()?;
    let name = ends.next()?.trim_matches('"').to_owned();
    let point = Point::new(lat, lon).ok()?;
    Some(Country {
        code: code.parse().ok()?,
        name,
        region,
        point,
    })
}

impl FromStr for CountryCode {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        match *text.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([
                    first.to_ascii_uppercase(),
                    second.to_ascii_uppercase(),
                ]))
            }
            _ => Err(CountryError::Code(text.chars().take(63).collect())),
        }
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(std::str::from_utf8(&self.0).expect("two letters"))
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Region {
    /// Its code in `data/offices.csv`: `AFR`, `AMS`, `ARB`, `ASP`, `CIS` or `EUR`.
    pub fn code(self) -> &'static str {
        REGIONS
            .into_iter()
            .find_map(|(code, region)| (region == self).then_some(code))
            .expect("every region has a code")
    }
}

impl FromStr for Region {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        REGIONS
            .into_iter()
            .find_map(|(code, region)| (code == text).then_some(region))
            .ok_or_else(|| CountryError::Region(text.chars().take(63).collect()))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code())
    }
}

const REGIONS: [(&str, Region); 6] = [
    ("AFR", Region::Africa),
    ("AMS", Region::Americas),
    ("ARB", Region::ArabStates),
    ("ASP", Region::AsiaPacific),
    ("CIS", Region::Cis),
    ("EUR", Region::Europe),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str) -> &'static Country {
        Countries::table().country(code.parse().unwrap()).unwrap()
    }

    #[test]
    fn every_line_is_a_country_with_a_place_and_a_region() {
        let lines = include_str!("../../../../data/countries.csv")
            .lines()
            .skip(1);
        let mut seen = 0;
        for line in lines {
            assert!(parse_line(line).is_some(), "{line}");
            seen += 1;
        }
        assert_eq!(seen, 247);
        assert_eq!(Countries::table().iter().count(), seen);
    }

    #[test]
    fn countries_are_where_they_are() {
        for (code, region, lat, lon) in [
            ("FJ", Region::AsiaPacific, -18.0, 178.0),
            ("GB", Region::Europe, 51.5, 0.0),
            ("KZ", Region::Cis, 51.0, 71.0),
            ("MR", Region::ArabStates, 18.0, -16.0),
            ("TD", Region::Africa, 12.0, 15.0),
            ("UY", Region::Americas, -35.0, -56.0),
        ] {
            let (country, near) = (of(code), Point::new(lat, lon).unwrap());
            assert_eq!(country.region, region, "{code}");
            assert!(country.point.distance_km(near) < 120.0, "{code}");
        }
        assert_eq!(of("hk").name, "Hong Kong, China");
    }

    #[test]
    fn the_offices_countries_and_regions_agree_with_the_table() {
        for line in include_str!("../../../../data/offices.csv").lines().skip(1) {
            let field: Vec<&str> = line.split(',').collect();
            let office = Point::new(field[6].parse().unwrap(), field[7].parse().unwrap()).unwrap();
            assert_eq!(of(field[2]).region.code(), field[3], "{line}");
            assert!(of(field[2]).point.distance_km(office) < 500.0, "{line}");
        }
    }

    #[test]
    fn wrong_codes_are_refused_with_what_to_write() {
        assert!("CHE".parse::<CountryCode>().is_err());
        assert!("1X".parse::<CountryCode>().is_err());
        assert!(
            "XX".parse()
                .is_ok_and(|code| Countries::table().country(code).is_err())
        );
        assert!("EMEA".parse::<Region>().is_err());
    }

    #[test]
    fn every_region_has_a_middle() {
        for (_, region) in REGIONS {
            let middle = Countries::table().middle(region).unwrap();
            let nearest = Countries::table()
                .iter()
                .filter(|country| country.region == region)
                .map(|country| country.point.distance_km(middle))
                .fold(f64::MAX, f64::min);
            assert!(nearest < 3_000.0, "{region}: {nearest} km");
        }
    }
}
