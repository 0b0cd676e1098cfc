//! The offices, from `data/offices.csv`, and the paths between them, from `data/rtt_ms.csv`: what to plan with, and
//! what light allows.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// An office.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// As in `addis-ababa`.
    pub id: String,
    /// For people.
    pub city: String,
    /// As in `ET`.
    pub country: String,
}

impl Site {
    /// All of them, in the order of the project's table.
    ///
    /// # Errors
    /// If it is missing or malformed, with the line.
    pub fn all() -> Result<Vec<Self>> {
        let file = workspace::root().join("data/offices.csv");
        let text = fs::read_to_string(file).context("cannot read data/offices.csv")?;
        let rows = text.lines().skip(1).filter(|line| !line.is_empty());
        let site = |line: &str| match line.split(',').collect::<Vec<_>>()[..] {
            [id, city, country, ..] => Ok(Self {
                id: id.to_owned(),
                city: city.to_owned(),
                country: country.to_owned(),
            }),
            _ => bail!("`{line}` in data/offices.csv is no office"),
        };
        rows.map(site).collect()
    }
}

/// All known paths.
#[derive(Clone, Debug)]
pub struct Paths(Vec<Path>);

/// The path between two offices, the same both ways.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    ends: [String; 2],
    /// One way, as networks are: half the round trip to plan with.
    pub one_way: Duration,
    /// One way, as light in fibre along the shortest line would be.
    pub floor: Duration,
}

impl Paths {
    /// Reads the project's table.
    ///
    /// # Errors
    /// If it is missing or malformed, with the line.
    pub fn read() -> Result<Self> {
        let file = workspace::root().join("data/rtt_ms.csv");
        Self::parse(&fs::read_to_string(file).context("cannot read data/rtt_ms.csv")?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            bail!("the first line is not `{HEADER}`");
        }
        let rows = lines.filter(|line| !line.is_empty());
        let paths = rows.map(|line| parse_row(line).with_context(|| format!("in `{line}`")));
        paths.collect::<Result<_>>().map(Self)
    }

    /// The path between two offices, whichever is named first.
    ///
    /// # Errors
    /// If the table does not have it.
    pub fn between(&self, one: &str, other: &str) -> Result<&Path> {
        let joins = |path: &&Path| path.ends == [one, other] || path.ends == [other, one];
        self.0
            .iter()
            .find(joins)
            .with_context(|| format!("no path between {one} and {other}"))
    }
}

fn parse_row(line: &str) -> Result<Path> {
    let fields: Vec<_> = line.split(',').collect();
    let [from, to, _distance, floor, planning] = fields[..] else {
        bail!("expected five fields");
    };
    Ok(Path {
        ends: [from.to_owned(), to.to_owned()],
        one_way: half_of_millis(planning)?,
        floor: half_of_millis(floor)?,
    })
}

fn half_of_millis(text: &str) -> Result<Duration> {
    let millis: f64 = text
        .parse()
        .with_context(|| format!("`{text}` is not a number"))?;
    Ok(Duration::try_from_secs_f64(millis / 2e3)?)
}

const HEADER: &str = "from,to,distance_km,fibre_floor_rtt_ms,planning_rtt_ms";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_table_has_the_talks_paths_both_ways() {
        let paths = Paths::read().unwrap();
        let path = paths.between("bangkok", "geneva").unwrap();
        assert_eq!(path, paths.between("geneva", "bangkok").unwrap());
        assert_eq!(path.one_way, Duration::from_micros(78_950));
        assert_eq!(path.floor, Duration::from_micros(45_250));
        assert!(paths.between("geneva", "addis-ababa").is_ok());
        assert!(paths.between("geneva", "atlantis").is_err());
    }

    #[test]
    fn every_two_offices_have_a_path() {
        let (sites, paths) = (Site::all().unwrap(), Paths::read().unwrap());
        assert_eq!(sites.len(), 15);
        assert_eq!(
            (sites[2].city.as_str(), sites[2].country.as_str()),
            ("Addis Ababa", "ET")
        );
        for (n, site) in sites.iter().enumerate() {
            for other in &sites[..n] {
                assert!(paths.between(&site.id, &other.id).is_ok());
            }
        }
    }

    #[test]
    fn a_malformed_line_is_named() {
        for line in ["a,b,1,2", "a,b,1,2,x", "a,b,1,2,-3"] {
            let error = Paths::parse(&format!("{HEADER}\n{line}\n")).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
        assert!(Paths::parse("something else").is_err());
    }
}
