//! The edges there are to go to, best first. Pure.

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its office's id; of an edge that the control plane has not named, its address.
    pub office: String,
    /// Host and port.
    pub address: String,
    /// SHA-256 of its certificate, if no authority signs it.
    pub fingerprint: Option<[u8; 32]>,
}

impl From<meridian_proto::v1::Candidate> for Place {
    fn from(candidate: meridian_proto::v1::Candidate) -> Place {
        Place {
            office: candidate.office,
            address: candidate.address,
            fingerprint: candidate.certificate_sha256.as_ref().try_into().ok(),
        }
    }
}

/// Where to go, best first.
#[derive(Clone, Debug, Default)]
pub struct Route(Vec<Place>);

/// Places kept: what the control plane names, and a few from before.
const KEPT: usize = 8;

impl Route {
    /// Puts what the control plane has just said first. Of what it said before, offices it does not name now stay behind,
    /// for the day when none of the others answers.
    pub fn renew(&mut self, fresh: Vec<Place>) {
        let mut places = fresh;
        let before = std::mem::take(&mut self.0);
        let others = before
            .into_iter()
            .filter(|old| places.iter().all(|new| new.office != old.office));
        let others: Vec<Place> = others.collect();
        places.extend(others);
        places.truncate(KEPT);
        self.0 = places;
    }

    /// In which order to dial: where `first` is if it is given, the rest best first, and `last`, the one just lost, last.
    pub fn order(&self, first: Option<&Place>, last: Option<&str>) -> Vec<Place> {
        let is_first = |place: &Place| first.is_some_and(|first| first.office == place.office);
        let is_last = |place: &Place| last == Some(place.office.as_str());
        let rest = self
            .0
            .iter()
            .filter(|place| !is_first(place) && !is_last(place));
        let end = self
            .0
            .iter()
            .filter(|place| !is_first(place) && is_last(place));
        first.into_iter().chain(rest).chain(end).cloned().collect()
    }

    /// The same without `from`, unless there is nowhere else to go.
    pub fn elsewhere(&self, first: Option<&Place>, from: Option<&str>) -> Vec<Place> {
        let mut order = self.order(first, from);
        let is_from = |place: &Place| from == Some(place.office.as_str());
        if !order.iter().all(is_from) {
            order.retain(|place| !is_from(place));
        }
        order
    }

    /// The place a URI points at: one that is known if the address is the same, or else one to be trusted by its
    /// authority.
    pub fn toward(&self, uri: &[u8]) -> Option<Place> {
        let url = url::Url::parse(str::from_utf8(uri).ok()?).ok()?;
        let address = format!("{}:{}", url.host_str()?, url.port().unwrap_or(443));
        let known = self.0.iter().find(|place| place.address == address);
        Some(known.cloned().unwrap_or_else(|| Place {
            office: address.clone(),
            address,
            fingerprint: None,
        }))
    }

    /// Whether there is nowhere to go.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(office: &str) -> Place {
        Place {
            office: office.to_owned(),
            address: format!("{office}.example:4443"),
            fingerprint: Some([1; 32]),
        }
    }

    fn route(offices: &[&str]) -> Route {
        let mut route = Route::default();
        route.renew(offices.iter().map(|office| place(office)).collect());
        route
    }

    fn names(places: &[Place]) -> Vec<&str> {
        places.iter().map(|place| place.office.as_str()).collect()
    }

    #[test]
    fn the_edge_just_lost_is_dialled_last() {
        let order = route(&["a", "b", "c"]).order(None, Some("a"));
        assert_eq!(names(&order), ["b", "c", "a"]);
    }

    #[test]
    fn the_edge_a_goaway_names_is_dialled_first() {
        let route = route(&["a", "b", "c"]);
        let named = route.toward(b"https://c.example:4443/").expect("a URL");
        assert_eq!(named, place("c"), "its certificate is known");
        let order = route.order(Some(&named), Some("a"));
        assert_eq!(names(&order), ["c", "b", "a"]);
    }

    #[test]
    fn an_edge_that_nobody_has_named_is_trusted_by_its_authority() {
        let stranger = route(&["a"])
            .toward(b"moqt://10.0.0.9:4443")
            .expect("a URL");
        assert_eq!(
            (stranger.office.as_str(), stranger.fingerprint),
            ("10.0.0.9:4443", None)
        );
        assert!(route(&["a"]).toward(b"").is_none());
    }

    #[test]
    fn fresh_candidates_go_first_and_old_ones_stay_behind_them() {
        let mut route = route(&["a", "b"]);
        route.renew(vec![place("c"), place("b")]);
        assert_eq!(names(&route.order(None, None)), ["c", "b", "a"]);
        let many: Vec<_> = (0..20).map(|n| place(&n.to_string())).collect();
        route.renew(many);
        assert_eq!(route.order(None, None).len(), KEPT);
    }

    #[test]
    fn who_is_asked_to_leave_does_not_come_back_while_there_is_another() {
        let all = route(&["a", "b", "c"]);
        assert_eq!(names(&all.elsewhere(None, Some("b"))), ["a", "c"]);
        let toward = place("b");
        assert_eq!(names(&all.elsewhere(Some(&toward), Some("b"))), ["a", "c"]);
        assert_eq!(
            names(&all.elsewhere(Some(&place("d")), Some("a"))),
            ["d", "b", "c"]
        );
        assert_eq!(names(&route(&["a"]).elsewhere(None, Some("a"))), ["a"]);
    }
}
