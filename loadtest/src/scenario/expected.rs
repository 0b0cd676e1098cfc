//! Of whom something is expected: whoever knows who comes can tell a misspelt kind of people from them.

use super::{Part, Places, Scenario};
use crate::outcome::Key;
use crate::verdict::Expectation;
use std::collections::BTreeSet;

impl Scenario {
    /// That for each expectation somebody comes whom it is about.
    ///
    /// # Errors
    /// The first about nobody, and what there is instead.
    pub fn check_expectations(&self, places: &Places) -> Result<(), String> {
        let cast = self.cast(places);
        let comes: BTreeSet<Key> = cast.iter().flat_map(Part::keys).collect();
        let is_about_nobody = |one: &&Expectation| !comes.iter().any(|key| one.is_about(key));
        match self.expect.iter().find(is_about_nobody) {
            Some(one) => Err(format!("expect `{one}`: {}", nobody(one, &comes))),
            None => Ok(()),
        }
    }
}

fn nobody(expectation: &Expectation, comes: &BTreeSet<Key>) -> String {
    for (field, value) in &expectation.of {
        let there: BTreeSet<&str> = comes.iter().map(|key| key.field(field)).collect();
        if !there.contains(value.as_str()) {
            let there: Vec<&str> = there.into_iter().filter(|one| !one.is_empty()).collect();
            return match there.is_empty() {
                true => format!("no {field} is known of anybody: there is no table of offices"),
                false => format!(
                    "nobody comes of {field}={value}; there are: {}",
                    there.join(", ")
                ),
            };
        }
    }
    "nobody comes of whom all of that is true".to_owned()
}
