//! Placement over the real offices, and several replicas with old reports.

mod offices;
mod replicas;

use super::*;
use crate::ids::Replica;
use crate::places::Countries;
use offices::{country, everybody_at, office, offices, request, single};
use proptest::prelude::*;

#[test]
fn a_delegate_goes_to_the_nearest_office_with_ways_out_in_other_domains() {
    let (now, sites) = offices(500);
    for (from, nearest) in [
        ("NP", "new-delhi"),
        ("AR", "santiago"),
        ("FR", "geneva"),
        ("CA", "new-york"),
        ("KE", "addis-ababa"),
        ("MZ", "harare"),
        ("AU", "jakarta"),
        ("VN", "bangkok"),
        ("KZ", "moscow"),
        ("TT", "bridgetown"),
        ("GT", "tegucigalpa"),
        ("ML", "dakar"),
        ("GA", "yaounde"),
        ("JO", "cairo"),
        ("UY", "santiago"),
        ("PY", "brasilia"),
    ] {
        let placed = single(now)
            .place(&request("a", from), &sites, &BTreeMap::new(), now)
            .unwrap();
        let names: Vec<_> = placed
            .candidates
            .iter()
            .map(|candidate| candidate.office.as_str())
            .collect();
        assert_eq!(names.len(), 3, "{from}");
        assert_eq!(names[0], nearest, "{from}");
        assert_eq!(placed.reasons.len(), 15);
    }
}

#[test]
fn every_edge_has_a_reason_for_people_and_for_machines() {
    let (now, mut sites) = offices(500);
    let mut set = |name: &str, change: &dyn Fn(&mut Site)| {
        change(
            sites
                .iter_mut()
                .find(|site| site.office.as_str() == name)
                .unwrap(),
        );
    };
    set("moscow", &|site| site.load.clients = 500);
    set("cairo", &|site| site.state = State::Draining { until: now });
    set("dakar", &|site| site.state = State::Gone);
    set("bangkok", &|site| site.state = State::Suspect);
    let mut request = request("a", "FR");
    request.allowed = ["CH", "RU", "EG", "SN", "TH", "IN", "ID", "BR"]
        .map(country)
        .into();
    request.unreachable = [office("brasilia")].into();
    let placed = single(now)
        .place(&request, &sites, &everybody_at(&sites), now)
        .unwrap();
    let said: BTreeMap<&str, (&str, String)> = placed
        .reasons
        .iter()
        .map(|r| (r.office.as_str(), (r.why.code(), r.why.to_string())))
        .collect();
    let of = |name: &str| (said[name].0, said[name].1.as_str());
    assert_eq!(of("geneva"), ("nearest", "103 ms nearer than new-delhi"));
    assert_eq!(of("moscow"), ("full", "full: 500 of 500 places"));
    assert_eq!(of("cairo"), ("draining", "draining"));
    assert_eq!(of("dakar"), ("gone", "gone"));
    assert_eq!(of("bangkok"), ("suspect", "has not reported lately"));
    assert_eq!(
        of("new-york"),
        (
            "other-country",
            "outside the meeting's countries: it is in US"
        )
    );
    assert_eq!(
        of("brasilia"),
        ("unreachable", "the delegate could not reach it")
    );
    assert_eq!(of("new-delhi").0, "other-domain");
}

#[test]
fn edges_that_do_not_report_are_used_only_where_there_is_no_other() {
    let (now, mut sites) = offices(500);
    for site in &mut sites {
        site.state = if site.office.as_str() == "santiago" {
            State::Alive
        } else {
            State::Suspect
        };
    }
    let placed = single(now)
        .place(&request("a", "FR"), &sites, &BTreeMap::new(), now)
        .unwrap();
    assert_eq!(placed.candidates[0].office.as_str(), "santiago");
    assert_eq!(placed.candidates.len(), 3);
    sites.retain(|site| site.state == State::Suspect);
    let placed = single(now)
        .place(&request("a", "FR"), &sites, &BTreeMap::new(), now)
        .unwrap();
    assert_eq!(placed.candidates[0].office.as_str(), "geneva");
}

#[test]
fn a_refusal_says_what_is_missing() {
    let (now, mut sites) = offices(1);
    let (mut placer, none) = (single(now), BTreeMap::new());
    let refused = |placer: &mut Placer, sites: &[Site]| {
        placer
            .place(&request("x", "FR"), sites, &none, now)
            .unwrap_err()
            .refusal
    };
    let mut unleased = Placer::new(
        Config::default(),
        Shares::new(Replica::new("x").unwrap(), Duration::ZERO, now),
    );
    assert_eq!(refused(&mut unleased, &sites), Refusal::NoShare);
    let advised = unleased
        .advise(&request("x", "FR"), &sites, &none, now)
        .unwrap();
    assert_eq!(
        advised.candidates[0].office.as_str(),
        "geneva",
        "who is let in anyway needs no share"
    );
    for index in 0..15 {
        placer
            .place(&request(&index.to_string(), "FR"), &sites, &none, now)
            .unwrap();
    }
    assert_eq!(refused(&mut placer, &sites), Refusal::Full);
    // A report of after their time, which may have been under way for two seconds.
    let later = now + Duration::from_secs(17);
    sites
        .iter_mut()
        .for_each(|site| site.reported = Some(later));
    assert!(
        placer
            .place(&request("x", "FR"), &sites, &none, later)
            .is_ok(),
        "reservations end"
    );
    sites.iter_mut().for_each(|site| site.state = State::Gone);
    assert_eq!(refused(&mut placer, &sites), Refusal::NoEdge);
}

#[test]
fn bandwidth_limits_what_an_edge_is_given() {
    let (now, mut sites) = offices(500);
    let geneva = sites
        .iter_mut()
        .find(|site| site.office.as_str() == "geneva")
        .unwrap();
    geneva.capacity.bits_per_second = Some(10_000_000);
    geneva.load.bits_per_second = 7_000_000;
    let (mut placer, none) = (single(now), BTreeMap::new());
    let mut first = |name: &str| {
        let placed = placer
            .place(&request(name, "CH"), &sites, &none, now)
            .unwrap();
        placed.candidates[0].office.as_str().to_owned()
    };
    assert_eq!(first("a"), "geneva");
    assert_ne!(first("b"), "geneva");
}

#[test]
fn five_thousand_joins_fill_what_overflows_and_refuse_nobody() {
    let (now, sites) = offices(400);
    let (mut placer, none) = (single(now), BTreeMap::new());
    let mut overflowed = BTreeSet::new();
    for number in 0..5_000_u32 {
        let request = request(&number.to_string(), offices::plausible_country(number));
        let placed = placer
            .place(&request, &sites, &none, now)
            .expect("there are 6,000 places");
        let first = &placed.candidates[0];
        let nearer = placed.reasons.iter().filter(|reason| {
            // Within 2 ms delegates are spread evenly before anything is full.
            reason.prediction.rtt_us + 2_000 < first.prediction.rtt_us
        });
        overflowed.extend(nearer.map(|reason| reason.office.clone()));
    }
    let reserved: Vec<u32> = sites
        .iter()
        .map(|site| placer.ledger().reserved(&site.office))
        .collect();
    assert_eq!(reserved.iter().sum::<u32>(), 5_000);
    assert!(overflowed.len() >= 5, "{overflowed:?}");
    for (site, reserved) in sites.iter().zip(&reserved) {
        let least = if overflowed.contains(&site.office) {
            360
        } else {
            1
        };
        assert!(
            (least..=400).contains(reserved),
            "{}: {reserved}",
            site.office
        );
    }
}

#[test]
fn a_drained_edge_sends_its_delegates_to_the_nearest_with_places() {
    let (_, mut sites) = offices(500);
    for site in &mut sites {
        site.load.clients = if site.office.as_str() == "jakarta" {
            300
        } else {
            480
        };
    }
    let bangkok = sites
        .iter()
        .find(|site| site.office.as_str() == "bangkok")
        .unwrap();
    let targets = drain_targets(bangkok, 480, &BTreeSet::new(), &sites);
    assert_eq!(
        targets[0],
        DrainTarget {
            office: office("jakarta"),
            places: 200
        }
    );
    assert_eq!(
        targets[1],
        DrainTarget {
            office: office("new-delhi"),
            places: 20
        }
    );
    assert!(
        targets
            .iter()
            .all(|target| target.office.as_str() != "bangkok")
    );
    assert_eq!(
        targets.iter().map(|target| target.places).sum::<u32>(),
        200 + 13 * 20
    );
}

#[test]
fn delegates_of_a_meeting_with_allowed_countries_are_drained_to_edges_there_alone() {
    let (_, sites) = offices(500);
    let bangkok = sites
        .iter()
        .find(|site| site.office.as_str() == "bangkok")
        .unwrap();
    let to = |allowed: &[&str]| -> Vec<String> {
        let allowed = allowed.iter().map(|code| country(code)).collect();
        let targets = drain_targets(bangkok, 3, &allowed, &sites).into_iter();
        targets.map(|target| target.office.to_string()).collect()
    };
    assert_eq!(to(&["TH", "CH", "BR"]), ["geneva", "brasilia"]);
    assert_eq!(to(&["TH"]), [] as [&str; 0]);
}

/// An edge's state and how many of its 10 places are taken.
fn condition() -> impl Strategy<Value = (u8, u32)> {
    (0_u8..4, prop_oneof![Just(0_u32), 0_u32..=10, Just(10)])
}

proptest! {
    #[test]
    fn nobody_is_sent_to_an_edge_that_cannot_take_them_while_another_can(
        conditions in prop::collection::vec(condition(), 15),
        domains in prop::collection::vec(0_u8..4, 15),
        from in 0_usize..247,
        allowed in prop::collection::vec(any::<bool>(), 15),
    ) {
        let (now, mut sites) = offices(10);
        for (index, site) in sites.iter_mut().enumerate() {
            let (state, taken) = conditions[index];
            site.state = [State::Alive, State::Suspect, State::Draining { until: now }, State::Gone][usize::from(state)];
            site.load.clients = taken;
            site.domain = domains[index].to_string();
        }
        let code = Countries::table().iter().nth(from).unwrap().code.to_string();
        let mut request = request("a", &code);
        request.allowed = sites.iter().zip(&allowed).filter(|(_, ok)| **ok).map(|(site, _)| site.place.country).collect();
        let usable = |site: &&Site| {
            matches!(site.state, State::Alive | State::Suspect)
                && site.load.clients < 10
                && (request.allowed.is_empty() || request.allowed.contains(&site.place.country))
        };
        let can: Vec<&Site> = sites.iter().filter(usable).collect();
        match single(now).place(&request, &sites, &everybody_at(&sites), now) {
            Err(_) => prop_assert!(can.is_empty()),
            Ok(placed) => {
                let chosen: Vec<&&Site> = placed.candidates.iter()
                    .map(|candidate| can.iter().find(|site| site.office == candidate.office).expect("it can be used"))
                    .collect();
                prop_assert_eq!(chosen.len(), can.len().min(3));
                let alive = can.iter().any(|site| site.state == State::Alive);
                prop_assert_eq!(chosen[0].state == State::Alive, alive);
                let domains = |sites: &[&&Site]| sites.iter().map(|site| site.domain.clone()).collect::<BTreeSet<_>>().len();
                let all: Vec<&&Site> = can.iter().collect();
                prop_assert_eq!(domains(&chosen), domains(&all).min(3));
                prop_assert_eq!(placed.reasons.len(), 15);
            }
        }
    }

    #[test]
    fn a_delegate_who_comes_again_stays_whatever_ten_percent_of_jitter_says(
        rtts in prop::collection::vec(3_000_u32..300_000, 15),
        jitters in prop::collection::vec(prop::collection::vec(900_u32..=1_100, 15), 1..6),
        taken in prop::collection::vec(0_u32..450, 15),
    ) {
        let (now, mut sites) = offices(500);
        let (mut placer, mut request) = (single(now), request("a", "FR"));
        let measure = |request: &mut Request, jitter: &[u32]| {
            request.whereabouts.measured = sites.iter().zip(&rtts).zip(jitter)
                .map(|((site, rtt), permille)| (site.office.clone(), (rtt * permille / 1_000, site.place.point)))
                .collect();
        };
        measure(&mut request, &[1_000; 15]);
        let first = placer.place(&request, &sites, &BTreeMap::new(), now).unwrap().candidates[0].office.clone();
        for jitter in &jitters {
            request.previous = Some(first.clone());
            measure(&mut request, jitter);
            let again = placer.place(&request, &sites, &BTreeMap::new(), now).unwrap();
            prop_assert_eq!(&again.candidates[0].office, &first);
        }
        for (site, taken) in sites.iter_mut().zip(&taken) {
            site.load.clients = *taken;
        }
        let again = placer.place(&request, &sites, &everybody_at(&sites), now).unwrap();
        prop_assert_eq!(&again.candidates[0].office, &first, "nor does load that others bring");
    }
}

#[test]
fn an_edge_that_is_nearly_full_leaves_its_last_places_to_those_who_have_no_other_near() {
    let (now, mut sites) = offices(500);
    let santiago = sites
        .iter_mut()
        .find(|site| site.office.as_str() == "santiago")
        .unwrap();
    santiago.load.clients = 490;
    let occupancy = everybody_at(&sites);
    let placed = single(now)
        .place(&request("a", "UY"), &sites, &occupancy, now)
        .unwrap();
    assert_eq!(placed.candidates[0].office.as_str(), "brasilia");
    assert!(
        placed.candidates[0]
            .why
            .to_string()
            .ends_with("farther than santiago, which is nearly full")
    );
    let placed = single(now)
        .place(&request("a", "CL"), &sites, &occupancy, now)
        .unwrap();
    assert_eq!(placed.candidates[0].office.as_str(), "santiago");
}

#[test]
fn a_delegate_who_has_moved_is_moved() {
    let (now, sites) = offices(500);
    let mut request = request("a", "JP");
    request.previous = Some(office("geneva"));
    let placed = single(now)
        .place(&request, &sites, &BTreeMap::new(), now)
        .unwrap();
    assert_eq!(placed.candidates[0].office.as_str(), "bangkok");
}
