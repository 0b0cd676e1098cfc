//! The fifteen offices, and delegates from everywhere.

use super::super::*;
use crate::ids::{Meeting, Participant, Replica};
use crate::places::{Countries, Point, Region};

/// The offices of `data/offices.csv`, with so many places each.
pub(super) fn offices(places: u32) -> (Instant, Vec<Site>) {
    let now = Instant::now();
    let lines = include_str!("../../../../../data/offices.csv")
        .lines()
        .skip(1);
    (now, lines.map(|line| site(line, places, now)).collect())
}

fn site(line: &str, clients: u32, now: Instant) -> Site {
    let field: Vec<&str> = line.split(',').collect();
    let point = Point::new(field[6].parse().unwrap(), field[7].parse().unwrap()).unwrap();
    Site {
        office: office(field[0]),
        place: Place {
            point,
            country: country(field[2]),
            region: field[3].parse().unwrap(),
        },
        domain: field[0].to_owned(),
        capacity: Capacity {
            clients,
            bits_per_second: None,
        },
        load: Load::default(),
        state: State::Alive,
        reported: Some(now),
    }
}

/// A replica that is alone.
pub(super) fn single(now: Instant) -> Placer {
    let me = Replica::new("r1").unwrap();
    let mut shares = Shares::new(me.clone(), Duration::ZERO, now);
    shares.handle_table(Table::even(1, [me]), now);
    shares.handle_leased(now + Duration::from_secs(3_600));
    Placer::new(Config::default(), shares)
}

/// All clients of the sites, as sessions of the replica that is alone.
pub(super) fn everybody_at(sites: &[Site]) -> BTreeMap<Office, Occupancy> {
    let me = Replica::new("r1").unwrap();
    let occupancy = |site: &Site| Occupancy {
        by_replica: [(me.clone(), site.load.clients)].into(),
        others: 0,
    };
    sites
        .iter()
        .map(|site| (site.office.clone(), occupancy(site)))
        .collect()
}

pub(super) fn request(session: &str, from: &str) -> Request {
    let whereabouts = Whereabouts {
        country: Some(country(from)),
        ..Whereabouts::default()
    };
    Request {
        session: SessionId::from_text(session),
        person: person(session),
        sessions: 2,
        whereabouts,
        allowed: BTreeSet::new(),
        previous: None,
        unreachable: BTreeSet::new(),
    }
}

pub(super) fn person(name: &str) -> Person {
    Person {
        meeting: Meeting::new("council").unwrap(),
        participant: Participant::new(name).unwrap(),
    }
}

/// The regions in the proportions of their Member States, with more delegates from Asia and Europe; within a region every
/// country alike.
pub(super) fn plausible_country(number: u32) -> &'static str {
    use std::sync::LazyLock;
    static CODES: LazyLock<BTreeMap<Region, Vec<String>>> = LazyLock::new(|| {
        let mut codes = BTreeMap::<Region, Vec<String>>::new();
        for country in Countries::table().iter() {
            codes
                .entry(country.region)
                .or_default()
                .push(country.code.to_string());
        }
        codes
    });
    let dice = scatter(number);
    let region = match dice % 100 {
        0..20 => Region::Africa,
        20..38 => Region::Americas,
        38..50 => Region::ArabStates,
        50..75 => Region::AsiaPacific,
        75..81 => Region::Cis,
        _ => Region::Europe,
    };
    let codes = &CODES[&region];
    &codes[(dice / 100) as usize % codes.len()]
}

/// Mixes a number's bits.
pub(super) fn scatter(number: u32) -> u32 {
    let mixed = (number ^ (number >> 16)).wrapping_mul(0x45d9_f3b3);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x45d9_f3b3);
    mixed ^ (mixed >> 16)
}

pub(super) fn country(code: &str) -> CountryCode {
    code.parse().unwrap()
}

pub(super) fn office(name: &str) -> Office {
    Office::new(name).unwrap()
}
