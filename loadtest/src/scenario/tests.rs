//! Scenarios as files, and who comes by them.

use super::*;
use std::collections::BTreeSet;

const RAMP: &str = r#"
name = "few"
title = "A few"
length = "60s"
expect = ["failed == 0"]

[booths]
languages = ["fr"]

[[crowd]]
name = "africa"
count = 100
near = ["dakar", "cairo"]
arrive = { kind = "ramp", over = "10s" }
listen = { floor = 3, fr = 1 }
transport = { quic = 0.9, websocket = 0.1 }
profile = { fibre = 0.5, udp-blocked = 0.5 }
switch_every = "20s"
"#;

fn parse(text: &str) -> Scenario {
    Scenario::parse(text, Path::new("few.toml")).expect("a good scenario")
}

fn refused(text: &str) -> String {
    let error = Scenario::parse(text, Path::new("few.toml"));
    error.expect_err("a bad scenario").to_string()
}

fn with(from: &str, to: &str) -> String {
    assert!(RAMP.contains(from), "{from}");
    RAMP.replace(from, to)
}

#[test]
fn a_cast_is_the_same_from_the_same_seed_and_another_from_another() {
    let places = Places::default();
    let first = parse(RAMP).cast(&places);
    assert_eq!(first, parse(RAMP).cast(&places));
    let other = format!("seed = 2\n{RAMP}");
    assert_ne!(first, parse(&other).cast(&places));
}

#[test]
fn a_crowd_is_divided_as_its_shares_say() {
    let cast = parse(RAMP).cast(&Places::default());
    let count = |of: &dyn Fn(&Part) -> bool| cast.iter().filter(|part| of(part)).count();
    assert_eq!(cast.len(), 100);
    assert_eq!(count(&|part| part.channel == Channel::Floor), 75);
    assert_eq!(count(&|part| part.near == "cairo"), 50);
    assert_eq!(count(&|part| part.profile == "udp-blocked"), 50);
    let ids: BTreeSet<_> = cast.iter().map(|part| &part.id).collect();
    assert_eq!(ids.len(), 100);
}

#[test]
fn people_are_of_as_many_delegations_as_is_said_in_turn() {
    let cast = |text: &str| parse(text).cast(&Places::default());
    let delegations = |text: &str| -> BTreeSet<_> {
        cast(text).into_iter().map(|part| part.delegation).collect()
    };
    assert_eq!(delegations(RAMP), BTreeSet::from(["africa".to_owned()]));
    let seven = with("count = 100", "count = 100\ndelegations = 7");
    assert_eq!(delegations(&seven).len(), 7);
    let third = "africa delegation 3";
    let people = cast(&seven)
        .into_iter()
        .filter(|one| one.delegation == third);
    assert_eq!(people.count(), 14, "of 100, as evenly as can be");
    let too_many = with("count = 100", "count = 100\ndelegations = 101");
    assert!(refused(&too_many).contains("delegations: 1 to 100"));
}

#[test]
fn whose_udp_is_blocked_comes_by_websocket() {
    let cast = parse(RAMP).cast(&Places::default());
    let mut blocked = cast.iter().filter(|part| part.profile == "udp-blocked");
    assert!(blocked.all(|part| part.transport == "websocket"));
}

#[test]
fn a_ramp_is_even_and_a_wave_stays_in_its_time() {
    let cast = parse(RAMP).cast(&Places::default());
    let steps: BTreeSet<_> = cast.windows(2).map(|two| two[1].due - two[0].due).collect();
    assert_eq!(steps, BTreeSet::from([Duration::from_millis(100)]));
    let waves = r#"arrive = { kind = "waves", waves = [
        { at = "0s", over = "1s", share = 1 }, { at = "30s", over = "5s", share = 3 }] }"#;
    let cast = parse(&with(r#"arrive = { kind = "ramp", over = "10s" }"#, waves));
    let cast = cast.cast(&Places::default());
    let early = cast
        .iter()
        .filter(|part| part.due <= Duration::from_secs(1));
    assert_eq!(early.count(), 25);
    let late = cast
        .iter()
        .filter(|part| part.due >= Duration::from_secs(30));
    assert_eq!(late.count(), 75);
}

#[test]
fn nobody_switches_to_what_they_hear_already_or_after_the_end() {
    for part in parse(RAMP).cast(&Places::default()) {
        let mut now = part.channel;
        for (at, channel) in part.switches {
            assert_ne!(channel, now);
            assert!(at > part.due && at < Duration::from_secs(60));
            now = channel;
        }
    }
}

#[test]
fn speakers_have_the_floor_in_turn() {
    let text = format!("{RAMP}\n[floor]\nspeakers = 2\nturn = \"25s\"\n");
    let turns = parse(&text).turns();
    let turns: Vec<_> = turns
        .iter()
        .map(|turn| (turn.at.as_secs(), turn.speaker))
        .collect();
    assert_eq!(turns, [(0, 0), (25, 1), (50, 0)]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let said = refused(&with("count = 100", "count = 100\nwhen = 3"));
    assert!(
        said.starts_with("few.toml:13: ") && said.contains("when"),
        "{said}"
    );
    let said = refused(&with("over = \"10s\"", "over = \"soon\""));
    assert!(
        said.starts_with("few.toml:") && said.contains("1500ms"),
        "{said}"
    );
    let said = refused(&with("failed == 0", "failures == 0"));
    assert!(
        said.starts_with("few.toml:5: ") && said.contains("failed"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_crowd_or_event() {
    for (text, says) in [
        (with("fr = 1", "es = 1"), "booths.languages"),
        (with("quic = 0.9", "pigeon = 0.9"), "pigeon"),
        (with("fibre = 0.5", "copper = 0.5"), "[profile.copper]"),
        (with("over = \"10s\"", "over = \"90s\""), "after the end"),
        (with("count = 100", "count = 0"), "at least 1"),
        (with("[\"fr\"]", "[\"fr\", \"FR\"]"), "`FR` is there twice"),
        (
            with("[\"fr\"]", "[\"fr\", \"x y\"]"),
            "booths.languages: `x y` is no language tag",
        ),
        (
            format!("{RAMP}[[event]]\nat = \"70s\"\ndo = \"control-kill\"\n"),
            "after the end",
        ),
        (
            format!("{RAMP}[[event]]\nat = \"7s\"\ndo = \"edge-kill\"\n"),
            "the office",
        ),
        (
            format!("{RAMP}[[event]]\nat = \"7s\"\ndo = \"command\"\n"),
            "a program",
        ),
        (
            format!("{RAMP}[profile.fibre]\npath = \"delay=far\"\n"),
            "delay",
        ),
    ] {
        let said = refused(&text);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn waves_in_which_nobody_comes_are_refused() {
    let waves = |waves: &str| {
        let waves = format!("arrive = {{ kind = \"waves\", waves = [{waves}] }}");
        refused(&with(
            "arrive = { kind = \"ramp\", over = \"10s\" }",
            &waves,
        ))
    };
    let none = waves("");
    assert!(
        none.contains("crowd \"africa\": arrive: waves: at least one"),
        "{none}"
    );
    for share in ["0.0", "-1.5", "nan", "inf"] {
        let wave = format!("{{ at = \"0s\", over = \"1s\", share = {share} }}");
        let said = waves(&wave);
        assert!(said.contains("shares are numbers above 0"), "{said}");
    }
}

#[test]
fn an_office_that_is_misspelt_anywhere_is_named_beside_those_there_are() {
    let known = ["bangkok", "cairo", "dakar"];
    let event = "[[event]]\nat = \"7s\"\ndo = \"edge-drain\"\noffice = \"bankok\"\n";
    assert_eq!(parse(RAMP).check_offices(known), Ok(()));
    for (text, place) in [
        (with("dakar", "bankok"), "crowd \"africa\": near"),
        (
            with("[booths]", "[booths]\nnear = \"bankok\""),
            "booths.near",
        ),
        (
            format!("{RAMP}[floor]\nnear = [\"cairo\", \"bankok\"]\n"),
            "floor.near",
        ),
        (
            format!("{RAMP}[network]\noffices = [\"bankok\"]\n"),
            "network.offices",
        ),
        (format!("{RAMP}{event}"), "event edge-drain bankok"),
    ] {
        let said = parse(&text).check_offices(known).expect_err(place);
        let says =
            format!("{place}: there is no office `bankok`; there are: bangkok, cairo, dakar");
        assert_eq!(said, says);
    }
}

#[test]
fn parts_of_a_whole_add_up_to_it() {
    let mut dice = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
    for _ in 0..200 {
        use rand::RngExt as _;
        let count = dice.random_range(0..1_000);
        let shares: Vec<f64> = (0..dice.random_range(1..9))
            .map(|_| dice.random())
            .collect();
        let parts = apportion(count, &shares);
        assert_eq!(parts.iter().sum::<usize>(), count);
        let total: f64 = shares.iter().sum();
        for (part, share) in parts.iter().zip(&shares) {
            let exact = count as f64 * share / total;
            assert!((*part as f64 - exact).abs() < 1.0, "{part} for {exact}");
        }
    }
}

#[test]
fn every_shipped_scenario_is_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).expect("the folder of scenarios");
    let mut names = BTreeSet::new();
    for file in files {
        let file = file.expect("an entry").path();
        let text = std::fs::read_to_string(&file).expect("a scenario");
        let scenario = Scenario::parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(file.file_stem(), Some(scenario.name.as_ref()));
        assert!(!scenario.about.is_empty(), "{}", scenario.name);
        let expected: Vec<_> = scenario
            .expect
            .iter()
            .map(|one| one.text.as_str())
            .collect();
        for always in ["failed == 0", "altered == 0", "ghosts == 0"] {
            assert!(expected.contains(&always), "{}: {always}", scenario.name);
        }
        let joined = format!("joined == {}", scenario.delegates());
        assert!(
            expected.contains(&joined.as_str()),
            "{}: {joined}",
            scenario.name
        );
        assert!(
            text.starts_with("# For "),
            "{} does not say for whom it is",
            scenario.name
        );
        names.insert(scenario.name);
    }
    let named = [
        "rehearsal",
        "council",
        "plenary-storm",
        "plenary-storm-unpaced",
        "plenary-full",
        "webinar",
        "regional-event",
        "soak",
        "edge-loss",
        "rolling-upgrade",
        "slow-links",
    ];
    assert_eq!(names, BTreeSet::from(named.map(str::to_owned)));
}

#[test]
fn expectations_about_nobody_are_refused_with_who_comes() {
    let checked = |expect: &str| {
        let text = with("failed == 0", &format!("failed{{{expect}}} == 0"));
        parse(&text).check_expectations(&Places::default())
    };
    for good in [
        "language=fr",
        "language=floor",
        "profile=udp-blocked, transport=websocket",
    ] {
        assert_eq!(checked(good), Ok(()), "{good}");
    }
    for (expect, says) in [
        (
            "profile=fiber",
            "nobody comes of profile=fiber; there are: fibre, udp-blocked",
        ),
        ("transport=webtransport", "there are: quic, websocket"),
        (
            "profile=udp-blocked, transport=quic",
            "of whom all of that is true",
        ),
        ("region=AFR", "no region is known of anybody"),
    ] {
        let refused = checked(expect).expect_err(expect);
        assert!(refused.starts_with("expect `failed{"), "{refused}");
        assert!(refused.contains(says), "{refused}");
    }
}
