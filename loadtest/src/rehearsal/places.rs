//! Offices and the paths between them, from tables as `data/offices.csv` and `data/rtt_ms.csv`.

use super::error::RehearsalError;
use crate::scenario::{Place, Places};
use std::path::Path;
use std::time::Duration;

/// Reads both tables.
///
/// # Errors
/// One cannot be read, or a line is wrong; it is named.
pub fn read(offices: &Path, rtts: &Path) -> Result<Places, RehearsalError> {
    let text = |path: &Path| {
        let told = RehearsalError::machine(&path.display().to_string());
        std::fs::read_to_string(path).map_err(told)
    };
    let in_file = |path: &Path, line: &str| {
        let path = path.display();
        RehearsalError::Usage(format!("{path}: `{line}` is no line of it"))
    };
    let mut places = Places::default();
    for line in rows(&text(offices)?) {
        let (id, place) = office(line).ok_or_else(|| in_file(offices, line))?;
        places.offices.insert(id, place);
    }
    for line in rows(&text(rtts)?) {
        let (ends, one_way) = path(line).ok_or_else(|| in_file(rtts, line))?;
        places.one_way.insert(ends, one_way);
    }
    Ok(places)
}

/// The ids of the offices that ship with the project.
pub(super) fn shipped() -> impl Iterator<Item = &'static str> {
    rows(OFFICES).filter_map(|line| line.split(',').next())
}

fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines().skip(1).filter(|line| !line.trim().is_empty())
}

fn office(line: &str) -> Option<(String, Place)> {
    let mut fields = line.split(',').map(|field| field.trim().to_owned());
    let (id, _city, country, region) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    Some((id, Place { country, region }))
}

/// Half of the round trip to plan with, which is the last field.
fn path(line: &str) -> Option<((String, String), Duration)> {
    let fields: Vec<_> = line.split(',').map(str::trim).collect();
    let [from, to, .., rtt_ms] = fields[..] else {
        return None;
    };
    let one_way = Duration::try_from_secs_f64(rtt_ms.parse::<f64>().ok()? / 2e3).ok()?;
    Some(((from.to_owned(), to.to_owned()), one_way))
}

const OFFICES: &str = include_str!("../../../data/offices.csv");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_tables_are_read() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
        let places = read(&data.join("offices.csv"), &data.join("rtt_ms.csv")).expect("good");
        assert_eq!(places.offices["addis-ababa"].region, "AFR");
        let path = places.between("bangkok", "geneva");
        assert_eq!(path, Some(Duration::from_micros(78_950)));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        assert!(office("geneva").is_none());
        assert!(path("a,b,1,2,x").is_none());
    }
}
