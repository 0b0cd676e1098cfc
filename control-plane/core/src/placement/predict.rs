//! How far an edge is from a delegate, by the best evidence there is.

use crate::ids::Office;
use crate::places::{
    Countries, CountryCode, Place, Point, Region, fibre_floor_us, planning_rtt_us,
};
use std::collections::BTreeMap;

/// What is known of where a delegate is, most trusted first.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// Round-trip times in µs that the delegate's client has measured, and where those offices are.
    pub measured: BTreeMap<Office, (u32, Point)>,
    /// Where the delegate's address is said to be.
    pub point: Option<Point>,
    /// The country the delegate gives.
    pub country: Option<CountryCode>,
    /// The region the delegate is known to be in.
    pub region: Option<Region>,
}

/// What a prediction rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// The client has measured this very office.
    Measured,
    /// The client has measured other offices.
    Nearby,
    /// The place of its address.
    Address,
    /// Its country.
    Country,
    /// Its region.
    Region,
    /// Nothing: all edges are taken to be as far.
    None,
}

/// How far an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// The round trip in µs.
    pub rtt_us: u32,
    /// What that rests on.
    pub evidence: Evidence,
}

impl Whereabouts {
    /// How far an office's edge is.
    pub fn predict(&self, office: &Office, place: &Place) -> Prediction {
        if let Some((rtt_us, _)) = self.measured.get(office) {
            return Prediction {
                rtt_us: *rtt_us,
                evidence: Evidence::Measured,
            };
        }
        let (guess, evidence) = self.guess(place.point);
        let Some((least, most)) = self.bounds(place.point) else {
            return Prediction {
                rtt_us: guess.unwrap_or(UNKNOWN_RTT_US),
                evidence,
            };
        };
        match guess {
            Some(rtt_us) if (least..=most).contains(&rtt_us) => Prediction { rtt_us, evidence },
            Some(rtt_us) => Prediction {
                rtt_us: rtt_us.clamp(least, most),
                evidence: Evidence::Nearby,
            },
            None => Prediction {
                rtt_us: most,
                evidence: Evidence::Nearby,
            },
        }
    }

    fn guess(&self, edge: Point) -> (Option<u32>, Evidence) {
        let table = Countries::table();
        let country = || self.country.and_then(|code| table.country(code).ok());
        let (point, evidence) = if let Some(point) = self.point {
            (Some(point), Evidence::Address)
        } else if let Some(country) = country() {
            (Some(country.point), Evidence::Country)
        } else if let Some(middle) = self.region.and_then(|region| table.middle(region)) {
            (Some(middle), Evidence::Region)
        } else {
            (None, Evidence::None)
        };
        (point.map(|point| planning_rtt_us(point, edge)), evidence)
    }

    /// What the measured offices allow for a place: not nearer than light permits, not farther than the way by one of
    /// them. `None` if none was measured.
    fn bounds(&self, edge: Point) -> Option<(u32, u32)> {
        let measured = || self.measured.values();
        let most = measured()
            .map(|(rtt, office)| rtt.saturating_add(planning_rtt_us(*office, edge)))
            .min()?;
        let least = measured()
            .map(|(rtt, office)| fibre_floor_us(*office, edge).saturating_sub(*rtt))
            .max()?;
        Some((least.min(most), most))
    }
}

/// Half the way round the world: where nothing is known, nothing is near.
const UNKNOWN_RTT_US: u32 = 150_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lat: f64, lon: f64) -> Place {
        let point = Point::new(lat, lon).unwrap();
        Place {
            point,
            country: "CH".parse().unwrap(),
            region: Region::Europe,
        }
    }

    fn office(name: &str) -> Office {
        Office::new(name).unwrap()
    }

    #[test]
    fn the_best_evidence_counts() {
        let (delhi, here) = (office("new-delhi"), place(28.543, 77.166));
        let mut whereabouts = Whereabouts::default();
        assert_eq!(whereabouts.predict(&delhi, &here).evidence, Evidence::None);
        whereabouts.region = Some(Region::AsiaPacific);
        assert_eq!(
            whereabouts.predict(&delhi, &here).evidence,
            Evidence::Region
        );
        whereabouts.country = Some("NP".parse().unwrap());
        let nepal = whereabouts.predict(&delhi, &here);
        assert_eq!(nepal.evidence, Evidence::Country);
        assert!((14_000..20_000).contains(&nepal.rtt_us), "{nepal:?}");
        whereabouts.point = Some(here.point);
        assert_eq!(
            whereabouts.predict(&delhi, &here),
            Prediction {
                rtt_us: 4_000,
                evidence: Evidence::Address
            }
        );
        whereabouts
            .measured
            .insert(delhi.clone(), (31_000, here.point));
        assert_eq!(
            whereabouts.predict(&delhi, &here),
            Prediction {
                rtt_us: 31_000,
                evidence: Evidence::Measured
            }
        );
    }

    #[test]
    fn a_measured_office_corrects_a_wrong_country() {
        let (geneva, cairo) = (place(46.221, 6.137), place(30.071, 31.02));
        let whereabouts = Whereabouts {
            measured: [(office("geneva"), (9_000, geneva.point))].into(),
            country: Some("AU".parse().unwrap()),
            ..Whereabouts::default()
        };
        let predicted = whereabouts.predict(&office("cairo"), &cairo);
        assert_eq!(predicted.evidence, Evidence::Nearby);
        assert!(predicted.rtt_us < 60_000, "{predicted:?}");
    }
}
