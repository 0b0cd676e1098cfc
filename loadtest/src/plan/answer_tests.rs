//! Plans, and what follows from them.

use super::*;
use crate::plan::{Machine, Pictures};
use std::path::Path;

const OFFICES: &str = include_str!("../../../data/offices.csv");
const RTTS: &str = include_str!("../../../data/rtt_ms.csv");

fn question(text: &str) -> Question {
    Question::parse(text, Path::new("plan.toml")).expect("a good plan")
}

fn answered(question: &Question) -> Answer {
    let world = World::new(OFFICES, RTTS, &question.offices).expect("the offices");
    answer(question, &world, &Costs::default()).expect("an answer")
}

const WORLD: &str = r#"
languages = ["en", "fr", "es"]
floor = 0.4
[people]
CH = 300
TH = 200
SN = 100
BR = 100
"#;

#[test]
fn people_go_to_the_office_nearest_to_their_country() {
    let answer = answered(&question(WORLD));
    let office = |code: &str| {
        let country = answer.countries.iter().find(|country| country.code == code);
        country.expect("it is there").office.as_str()
    };
    assert_eq!(
        (office("CH"), office("TH"), office("SN")),
        ("geneva", "bangkok", "dakar")
    );
    let people: u64 = answer.offices.iter().map(|office| office.people).sum();
    assert_eq!(people, 700);
}

#[test]
fn a_track_crosses_a_link_once_however_many_listen() {
    let answer = answered(&question(WORLD));
    let more = answered(&question(WORLD).scaled(7_000));
    let links = |answer: &Answer| {
        let first = answer.links.iter().filter(|link| !link.is_backup);
        first
            .map(|link| (link.to.clone(), link.audio))
            .collect::<Vec<_>>()
    };
    assert_eq!(links(&answer), links(&more));
    assert!(links(&answer).iter().all(|(_, audio)| *audio == 4));
    assert!(links(&answer).iter().any(|(to, _)| to == "bangkok"));
}

#[test]
fn ten_times_the_people_need_ten_times_the_cores_and_are_said_to_be_extrapolated() {
    let few = answered(&question(WORLD));
    let many = answered(&question(WORLD).scaled(700_000));
    assert!(few.extrapolated.is_empty(), "{:?}", few.extrapolated);
    assert!(!many.extrapolated.is_empty());
    let geneva = |answer: &Answer| {
        let office = answer
            .offices
            .iter()
            .find(|office| office.office == "geneva");
        office.expect("it is there").clone()
    };
    let ratio = geneva(&many).cores / geneva(&few).cores;
    // Several workers cost a little more than one.
    let most = 1_001.0 * Costs::default().workers_factor;
    assert!((1_000.0..most).contains(&ratio), "{ratio}");
    let (few, many) = (geneva(&few), geneva(&many));
    assert_eq!(few.machines, 1);
    let cores = f64::from(many.machines) * 8.0 * 0.6;
    assert!(
        many.cores <= cores && many.cores > cores - 8.0 * 0.6,
        "{many:?}"
    );
}

#[test]
fn lag_grows_with_the_way_and_with_the_crowd_at_the_office() {
    let answer = answered(&question(WORLD));
    let lag_of = |answer: &Answer, code: &str| {
        let country = answer.countries.iter().find(|country| country.code == code);
        country.expect("it is there").lag_ms
    };
    let lag = |code| lag_of(&answer, code);
    assert!(lag("CH") < lag("SN") && lag("SN") < lag("TH"));
    assert!((79.0..110.0).contains(&lag("TH")), "{}", lag("TH"));
    let mut crowded = question(WORLD);
    crowded.machine = Machine {
        cores: 1,
        fill: 1.0,
        ..Machine::default()
    };
    crowded.people.insert("CH".to_owned(), 1_200);
    let crowded = answered(&crowded);
    let more = lag_of(&crowded, "CH") - lag("CH");
    assert!((5.0..10.0).contains(&more), "{more}");
}

#[test]
fn what_limits_an_office_is_named() {
    let mut narrow = question(WORLD);
    narrow.machine.bits_per_second = 1e6;
    let narrow = answered(&narrow);
    assert!(
        narrow
            .offices
            .iter()
            .filter(|o| o.people > 0)
            .all(|o| o.limited_by == "line")
    );
    let mut small = question(WORLD);
    small.machine.memory_mib = 16.0;
    let small = answered(&small);
    assert!(small.offices.iter().all(|o| o.limited_by == "memory"));
}

#[test]
fn video_costs_cores_and_line() {
    let mut seeing = question(WORLD);
    seeing.video = Pictures {
        share: 1.0,
        bits: 1_500_000.0,
    };
    let (seeing, deaf) = (answered(&seeing), answered(&question(WORLD)));
    let sum = |answer: &Answer| {
        let cores: f64 = answer.offices.iter().map(|office| office.cores).sum();
        let out: f64 = answer.offices.iter().map(|office| office.out_bps).sum();
        (cores, out)
    };
    let more = sum(&seeing).0 - sum(&deaf).0;
    let gb_per_s = 700.0 * 1_500_000.0 / 8e9;
    assert!(
        (more / (gb_per_s * Costs::default().video_gb_s) - 1.0).abs() < 0.05,
        "{more}"
    );
    assert!(sum(&seeing).1 - sum(&deaf).1 > 700.0 * 1_500_000.0);
    assert!(
        seeing
            .links
            .iter()
            .filter(|link| !link.is_backup)
            .all(|link| link.video == 1)
    );
}

#[test]
fn a_plan_is_scaled_to_exactly_as_many_as_are_asked_for() {
    for total in [1, 2, 700, 9_999, 1_000_000_000] {
        assert_eq!(question(WORLD).scaled(total).total(), total);
    }
}

#[test]
fn what_is_wrong_is_said_in_words() {
    for (text, says) in [
        ("[people]\nXX = 1\n", "XX"),
        (
            "near = \"bankok\"\n[people]\nCH = 1\n",
            "there are: addis-ababa, bangkok",
        ),
        ("offices = [\"atlantis\"]\n[people]\nCH = 1\n", "atlantis"),
    ] {
        let question = question(text);
        let world = World::new(OFFICES, RTTS, &question.offices);
        let error = world.and_then(|world| answer(&question, &world, &Costs::default()));
        let error = error.expect_err(text);
        assert!(error.contains(says), "{error}");
    }
    for (text, says) in [
        ("[people]\n", "nobody"),
        ("languages = [\"fr\", \"fr\"]\n[people]\nCH = 1\n", "twice"),
        ("floor = 0.5\n[people]\nCH = 1\n", "languages"),
        ("floor = 2\n[people]\nCH = 1\n", "floor"),
        ("[people]\nCH = 1\n[machine]\ncores = 0\n", "cores"),
        ("[people]\nCH = \"many\"\n", "plan.toml:2"),
        ("[people]\nCH = 100000000\n", "10000000"),
    ] {
        let error = Question::parse(text, Path::new("plan.toml")).expect_err(text);
        assert!(error.contains(says), "{error}");
    }
}
