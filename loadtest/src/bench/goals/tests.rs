//! Goals judged by figures made up for it.

use super::super::figures::Figures;
use super::super::scenario;
use super::*;

fn outcome(scenario: &str, by_target: &[(&str, &[(&str, f64)])]) -> Outcome {
    let all = scenario::all(&[200, 500], false);
    let figures =
        |pairs: &[(&str, f64)]| Figures(pairs.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect());
    Outcome {
        scenario: all
            .into_iter()
            .find(|one| one.name == scenario)
            .expect(scenario),
        by_target: by_target
            .iter()
            .map(|(name, pairs)| ((*name).to_owned(), figures(pairs)))
            .collect(),
    }
}

fn row(outcomes: &[Outcome], what: &str) -> Row {
    let rows = judge(outcomes);
    let mut found = rows.into_iter().filter(|row| row.what.starts_with(what));
    found.next().expect("a goal of this name")
}

#[test]
fn goals_need_only_what_they_are_judged_by() {
    let all = scenario::all(&[50, 200, 500], false);
    let needed: Vec<_> = all.iter().filter(|one| need(one)).collect();
    let names: Vec<_> = needed.iter().map(|one| &one.name[..]).collect();
    let wanted = [
        "audio-streams-200",
        "audio-streams-500",
        "audio-groups-500",
        "audio-datagrams-500",
        "video-200",
        "video-500",
        "audio-streams-1000",
        "joins-500",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn what_was_not_measured_is_open_and_not_held() {
    let rows = judge(&[]);
    let open = |row: &Row| row.verdict == Verdict::Open("not measured") && row.figure == "-";
    assert!(rows.len() == GOALS.len() && rows.iter().all(open));
}

#[test]
fn a_goal_against_yardstick_and_peers_needs_both() {
    let of = |edge: f64, more: &[(&str, f64)]| {
        let mut targets = vec![("edge", edge)];
        targets.extend(more);
        let pairs: Vec<_> = targets
            .iter()
            .map(|(name, cpu)| (*name, [(CPU, *cpu), ("delivered", 1.0)]))
            .collect();
        let pairs: Vec<_> = pairs.iter().map(|(n, p)| (*n, p.as_slice())).collect();
        row(
            &[outcome("audio-streams-500", &pairs)],
            "audio, a stream per object, 500 subscribers",
        )
    };
    let all = [("bare quinn", 10.0), ("one", 30.0), ("other", 20.0)];
    let held = of(10.5, &all);
    assert_eq!(held.verdict, Verdict::Held);
    assert_eq!(held.to_bare, Some(1.05));
    assert_eq!(held.to_peer, Some((0.525, "other".to_owned())));
    assert_eq!(of(11.5, &all).verdict, Verdict::Broken);
    let close = [("bare quinn", 20.0), ("other", 20.0)];
    assert_eq!(of(18.0, &close).verdict, Verdict::Broken);
    let alone = of(10.0, &all[..1]).verdict;
    assert_eq!(alone, Verdict::Open("no peer to compare with"));
    // Broken is broken, whatever else is not known.
    assert_eq!(of(12.0, &all[..1]).verdict, Verdict::Broken);
}

#[test]
fn who_did_not_deliver_everything_is_no_measure_and_holds_nothing() {
    let memory =
        |of: f64, delivered: f64| [("memory_kib_per_subscriber", of), ("delivered", delivered)];
    let outcomes = [outcome(
        "video-200",
        &[
            ("edge", &memory(100.0, 0.9)),
            ("one", &memory(50.0, 0.3)),
            ("other", &memory(200.0, 1.0)),
        ],
    )];
    let row = row(&outcomes, "video, 200: memory");
    assert_eq!(row.verdict, Verdict::Broken);
    assert_eq!(row.figure, "100.00 KiB, not all delivered");
    assert_eq!(row.to_peer, Some((0.5, "other".to_owned())));
}

#[test]
fn sustained_is_the_largest_audience_that_was_served_in_time() {
    let figures = |lag: f64, delivered: f64| {
        [
            ("lag_p99_ms", lag),
            ("delivered", delivered),
            ("failed", 0.0),
        ]
    };
    let outcomes = [
        outcome(
            "audio-streams-500",
            &[
                ("edge", &figures(10.0, 1.0)),
                ("one", &figures(40.0, 1.0)),
                ("other", &figures(400.0, 0.99)),
            ],
        ),
        outcome(
            "audio-streams-1000",
            &[
                ("edge", &figures(49.0, 1.0)),
                ("one", &figures(51.0, 1.0)),
                ("other", &figures(400.0, 0.3)),
            ],
        ),
    ];
    let small = row(&outcomes[..1], "audio sustained");
    assert_eq!(small.verdict, Verdict::Open("not measured"));
    let row = row(&outcomes, "audio sustained");
    assert_eq!(
        (row.verdict, row.figure.as_str()),
        (Verdict::Held, "50000 objects/s")
    );
    assert_eq!(row.to_peer, Some((2.0, "one".to_owned())));
}

#[test]
fn two_workers_are_compared_with_one() {
    let cpu = |of: f64| [(CPU, of), ("delivered", 1.0)];
    let outcomes = [outcome(
        "audio-streams-500",
        &[("edge", &cpu(20.0)), ("edge, 2 workers", &cpu(21.0))],
    )];
    let row = row(
        &outcomes,
        "audio, a stream per object, 500: CPU per object of two",
    );
    assert_eq!(
        (row.verdict, row.figure.as_str()),
        (Verdict::Held, "1.05 ×")
    );
}
