//! Offices: where they are, from a table as `data/offices.csv`.

use meridian_control_core::ids::Office as Id;
use meridian_control_core::places::{CountryCode, Place, Point, Region};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All offices that may have an edge.
#[derive(Clone, Debug)]
pub struct Offices(BTreeMap<Id, Office>);

/// One of them.
#[derive(Clone, Debug)]
pub struct Office {
    /// For people.
    pub city: String,
    /// On the globe.
    pub place: Place,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OfficesError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is wrong.
    #[error("offices, line {line}: {what}")]
    Wrong {
        /// From 1, the header's.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// The organisation's own.
const OWN: &str = include_str!("../../data/offices.csv");

#[derive(Deserialize)]
struct Row {
    id: String,
    city: String,
    country: String,
    itu_region: String,
    lat: f64,
    lon: f64,
}

impl Offices {
    /// The table in a file, or the organisation's own.
    ///
    /// # Errors
    /// [`OfficesError`].
    pub fn load(path: Option<&Path>) -> Result<Offices, OfficesError> {
        let Some(path) = path else {
            return Offices::parse(OWN);
        };
        let text = std::fs::read_to_string(path);
        Offices::parse(&text.map_err(|source| OfficesError::Unreadable {
            path: path.to_owned(),
            source,
        })?)
    }

    fn parse(text: &str) -> Result<Offices, OfficesError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let mut offices = BTreeMap::new();
        for (row, line) in reader.deserialize().zip(2..) {
            let wrong = |what: String| OfficesError::Wrong { line, what };
            let row: Row = row.map_err(|error| wrong(error.to_string()))?;
            let (id, office) = office(row).map_err(wrong)?;
            offices.insert(id, office);
        }
        Ok(Offices(offices))
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.0.keys()
    }

    /// One of them.
    pub fn of(&self, id: &Id) -> Option<&Office> {
        self.0.get(id)
    }
}

fn office(row: Row) -> Result<(Id, Office), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let id = Id::new(&row.id).map_err(|error| text(&error))?;
    let place = Place {
        point: Point::new(row.lat, row.lon).map_err(|error| text(&error))?,
        country: row
            .country
            .parse::<CountryCode>()
            .map_err(|error| text(&error))?,
        region: row
            .itu_region
            .parse::<Region>()
            .map_err(|error| text(&error))?,
    };
    let city = row.city;
    Ok((id, Office { city, place }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_table_is_good_and_a_wrong_line_is_named() {
        let offices = Offices::load(None).expect("it is ours");
        let bangkok = offices.of(&Id::new("bangkok").expect("a slug"));
        assert_eq!(bangkok.map(|office| office.city.as_str()), Some("Bangkok"));
        let head = OWN.lines().next().expect("it has a header");
        let wrong = format!("{head}\nnice,Nice,FR,EUR,area,geneva,143.7,7.2\n");
        let error = Offices::parse(&wrong).expect_err("there is no such latitude");
        assert!(error.to_string().starts_with("offices, line 2"), "{error}");
    }
}
