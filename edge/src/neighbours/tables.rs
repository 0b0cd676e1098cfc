//! The tree as the control plane gives it to every edge: who is whose parent, and what changes when any one edge fails.

use crate::neighbours::place::Place;
use std::collections::{BTreeMap, BTreeSet};

/// One office's place in the tree. Without a parent it is a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The office above it.
    pub parent: Option<String>,
    /// A second one above it.
    pub backup: Option<String>,
}

/// Rows by office.
pub type Rows = BTreeMap<String, Row>;

/// The whole tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// All offices, and where each is dialled by others.
    pub places: BTreeMap<String, Place>,
    /// The row of each office that has a parent.
    pub base: Rows,
    /// For the failure of each office, the rows that change.
    pub failures: BTreeMap<String, Rows>,
    /// Direct links: who dials, who is dialled.
    pub shortcuts: Vec<(String, String)>,
}

/// A tree that is none. It is not taken, and the last good one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TablesError {
    /// A row, failure or shortcut is about an office that is not listed.
    #[error("{0} is not among the offices")]
    Unknown(String),
    /// Following the parents comes back to an office.
    #[error("the way up from {0} goes in a circle{1}")]
    Circle(String, When),
    /// A table still uses the office that has failed.
    #[error("{0} is used in the table for its own failure")]
    UsesFailed(String),
    /// An office is above itself, or its parent is its backup too.
    #[error("{0} has no two different offices above it")]
    Same(String),
}

/// In which table something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct When(Option<String>);

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(office) => write!(f, " when {office} has failed"),
            None => Ok(()),
        }
    }
}

impl Tables {
    /// Whether the tables fit together.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self) -> Result<(), TablesError> {
        self.check_rows(&self.base, None)?;
        for (failed, changed) in &self.failures {
            self.check_known(failed)?;
            self.check_rows(changed, Some(failed))?;
        }
        let pairs = self.shortcuts.iter();
        pairs
            .flat_map(|(dials, other)| [dials, other])
            .try_for_each(|office| self.check_known(office))
    }

    /// An office's row when `failed` has failed.
    pub fn row(&self, office: &str, failed: Option<&str>) -> Row {
        let table = failed.and_then(|failed| self.failures.get(failed));
        let changed = table.and_then(|rows| rows.get(office));
        let row = changed.or_else(|| self.base.get(office)).cloned();
        without(row.unwrap_or_default(), failed)
    }

    /// Offices that have this one above them at any time: now, or when any office has failed.
    pub fn may_be_below(&self, office: &str) -> BTreeSet<String> {
        let is_above = |row: &Row| {
            [&row.parent, &row.backup]
                .into_iter()
                .flatten()
                .any(|above| above == office)
        };
        let tables = std::iter::once(&self.base).chain(self.failures.values());
        let rows = tables.flatten().filter(|(_, row)| is_above(row));
        rows.map(|(below, _)| below.clone()).collect()
    }

    fn check_rows(&self, rows: &Rows, failed: Option<&str>) -> Result<(), TablesError> {
        for (office, row) in rows {
            self.check_known(office)?;
            let above = [&row.parent, &row.backup];
            for above in above.into_iter().flatten() {
                self.check_known(above)?;
                if failed == Some(above) {
                    return Err(TablesError::UsesFailed(above.clone()));
                }
                if above == office {
                    return Err(TablesError::Same(office.clone()));
                }
            }
            if row.parent.is_some() && row.parent == row.backup {
                return Err(TablesError::Same(office.clone()));
            }
        }
        let mut good = BTreeSet::new();
        for office in self.places.keys().filter(|office| failed != Some(office)) {
            self.check_way_up(office, failed, &mut good)?;
        }
        Ok(())
    }

    /// Follows the parents from an office to a root, or to an office from which the way is known to be good.
    fn check_way_up(
        &self,
        office: &str,
        failed: Option<&str>,
        good: &mut BTreeSet<String>,
    ) -> Result<(), TablesError> {
        let mut passed = BTreeSet::new();
        let mut at = Some(office.to_owned());
        while let Some(office) = at.filter(|office| !good.contains(office)) {
            at = self.row(&office, failed).parent;
            if !passed.insert(office.clone()) {
                let when = When(failed.map(str::to_owned));
                return Err(TablesError::Circle(office, when));
            }
        }
        good.extend(passed);
        Ok(())
    }

    fn check_known(&self, office: &str) -> Result<(), TablesError> {
        match self.places.contains_key(office) {
            true => Ok(()),
            false => Err(TablesError::Unknown(office.to_owned())),
        }
    }
}

/// A row that was left as it was may still name who has failed: then the other one is there alone.
fn without(mut row: Row, failed: Option<&str>) -> Row {
    if failed.is_some() && row.backup.as_deref() == failed {
        row.backup = None;
    }
    if failed.is_some() && row.parent.as_deref() == failed {
        row.parent = row.backup.take();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(parent: &str, backup: Option<&str>) -> Row {
        Row {
            parent: Some(parent.to_owned()),
            backup: backup.map(str::to_owned),
        }
    }

    fn tables() -> Tables {
        let place = |n: u16| Place::from(std::net::SocketAddr::from(([10, 0, 0, 1], n)));
        let offices = ["bangkok", "geneva", "new-york"];
        Tables {
            places: offices
                .iter()
                .zip(1..)
                .map(|(o, n)| (o.to_string(), place(n)))
                .collect(),
            base: [
                ("bangkok".to_owned(), row("geneva", Some("new-york"))),
                ("new-york".to_owned(), row("geneva", None)),
            ]
            .into(),
            failures: [(
                "geneva".to_owned(),
                [
                    ("bangkok".to_owned(), row("new-york", None)),
                    ("new-york".to_owned(), Row::default()),
                ]
                .into(),
            )]
            .into(),
            shortcuts: vec![("bangkok".to_owned(), "new-york".to_owned())],
        }
    }

    #[test]
    fn good_tables_say_who_is_above_whom_and_who_may_be_below() {
        let tables = tables();
        assert_eq!(tables.check(), Ok(()));
        assert_eq!(tables.row("bangkok", Some("geneva")), row("new-york", None));
        assert_eq!(tables.row("bangkok", Some("new-york")), row("geneva", None));
        assert_eq!(tables.row("geneva", None), Row::default());
        let below: Vec<String> = tables.may_be_below("new-york").into_iter().collect();
        assert_eq!(below, ["bangkok"]);
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused_with_the_reason() {
        let mut circle = tables();
        circle
            .base
            .insert("geneva".to_owned(), row("bangkok", None));
        assert!(matches!(
            circle.check(),
            Err(TablesError::Circle(_, When(None)))
        ));
        let mut later = tables();
        let table = later.failures.get_mut("geneva").expect("there");
        table.insert("new-york".to_owned(), row("bangkok", None));
        let why = later.check().expect_err("it goes in a circle");
        assert!(why.to_string().contains("when geneva has failed"), "{why}");
        let mut failed = tables();
        let table = failed.failures.get_mut("geneva").expect("there");
        table.insert("bangkok".to_owned(), row("geneva", None));
        assert_eq!(
            failed.check(),
            Err(TablesError::UsesFailed("geneva".to_owned()))
        );
        let mut unknown = tables();
        unknown
            .shortcuts
            .push(("bangkok".to_owned(), "lima".to_owned()));
        assert_eq!(
            unknown.check(),
            Err(TablesError::Unknown("lima".to_owned()))
        );
        let mut same = tables();
        same.base
            .insert("bangkok".to_owned(), row("geneva", Some("geneva")));
        assert_eq!(same.check(), Err(TablesError::Same("bangkok".to_owned())));
    }
}
