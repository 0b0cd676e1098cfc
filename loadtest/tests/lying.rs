//! Faults that were put there are found, each of them and no other.

#[path = "common/liar.rs"]
mod liar;
#[allow(dead_code)] // Its edges are for others.
#[path = "common/network.rs"]
mod network;
#[path = "../../edge/client/tests/common/offices.rs"]
mod offices;
#[path = "../../edge/client/tests/common/plane.rs"]
mod plane;

use liar::{Faults, Liar, Lie, Lies};
use meridian_loadtest::outcome::{Count, Outcome};
use network::Network;
use std::time::Duration;

const THREE_LISTENERS: &str = r#"
    name = "lies"
    title = "Three who listen to a relay"
    length = "10s"
    [[crowd]]
    name = "hall"
    count = 3
    arrive = { kind = "spike" }
    profile = { office = 1 }
"#;

/// Three speakers, of four seconds each.
const THREE_SPEAKERS: &str = r#"
    name = "silence"
    title = "Three who listen to three"
    length = "12s"
    [floor]
    speakers = 3
    turn = "4s"
    [[crowd]]
    name = "hall"
    count = 3
    arrive = { kind = "spike" }
    profile = { office = 1 }
"#;

async fn heard_through(scenario: &str, faults: Faults) -> Outcome {
    let network = Network::raise(&[]).await;
    let _liar = Liar::start(&network.plane, "geneva", faults).await;
    network.plane.has_open(1).await;
    let outcome = network.play(scenario).await;
    assert_eq!(outcome.counted(Count::Joined), 3, "{:?}", outcome.failures);
    outcome
}

fn faults(outcome: &Outcome) -> [u64; 4] {
    [
        Count::Lost,
        Count::Duplicated,
        Count::Altered,
        Count::Reordered,
    ]
    .map(|count| outcome.counted(count))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_passes_everything_on_is_not_suspected() {
    let outcome = heard_through(THREE_LISTENERS, Faults::default()).await;
    assert_eq!(faults(&outcome), [0; 4]);
    assert!(outcome.counted(Count::Objects) > 3 * 8 * 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_that_is_lost_doubled_altered_or_delayed_is_found() {
    let faults_put = Faults {
        lies: LIES,
        unheard: None,
    };
    let outcome = heard_through(THREE_LISTENERS, faults_put).await;
    assert_eq!(faults(&outcome), [3 * 2, 3, 3 * 3, 3]);
    // On a busy machine others are late, too.
    assert!(outcome.counted(Count::Late) >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_speaker_of_whom_nothing_is_passed_on_is_missed_and_the_silence_is_a_gap() {
    let honest = heard_through(THREE_SPEAKERS, Faults::default()).await;
    let found = [Count::Missed, Count::Lost, Count::Gaps1000ms];
    assert_eq!(found.map(|count| honest.counted(count)), [0; 3]);
    let faults_put = Faults {
        unheard: Some("speaker2"),
        ..Faults::default()
    };
    let outcome = heard_through(THREE_SPEAKERS, faults_put).await;
    assert_eq!(outcome.counted(Count::Missed), 3);
    assert_eq!(outcome.counted(Count::Gaps1000ms), 3);
    let lost = outcome.counted(Count::Lost);
    assert!((3 * 150..=3 * 200).contains(&lost), "of 200 each: {lost}");
}

const LIES: Lies = &[
    (50, Lie::Lost),
    (70, Lie::Doubled),
    (80, Lie::Lost),
    (90, Lie::Altered),
    (110, Lie::Delayed(Duration::from_millis(700))),
    (200, Lie::Altered),
    (220, Lie::Altered),
];
