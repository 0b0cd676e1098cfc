//! The offices that a scenario names: whoever knows which there are can tell a misspelt one from them.

use super::Scenario;

impl Scenario {
    /// Every office that is named, beside where.
    pub fn named_offices(&self) -> impl Iterator<Item = (String, &str)> {
        let network = self.network.offices.iter();
        let network = network.map(|office| ("network.offices".to_owned(), office));
        let floor = self.floor.near.iter();
        let floor = floor.map(|office| ("floor.near".to_owned(), office));
        let booths = [("booths.near".to_owned(), &self.booths.near)];
        let crowds = self.crowds.iter().flat_map(|crowd| {
            let near = crowd.near.iter();
            near.map(move |office| (format!("crowd \"{}\": near", crowd.name), office))
        });
        let events = self.events.iter();
        let events = events.map(|event| (format!("event {event}"), &event.office));
        let all = network.chain(floor).chain(booths).chain(crowds);
        let all = all.chain(events);
        all.map(|(place, office)| (place, office.as_str()))
            .filter(|(_, office)| !office.is_empty())
    }

    /// That every office it names is one of these.
    ///
    /// # Errors
    /// The first that is not, and those there are.
    pub fn check_offices<'a>(
        &self,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let known: Vec<&str> = known.into_iter().collect();
        let mut named = self.named_offices();
        match named.find(|(_, office)| !known.contains(office)) {
            Some((place, office)) => Err(format!(
                "{place}: there is no office `{office}`; there are: {}",
                known.join(", ")
            )),
            None => Ok(()),
        }
    }
}
