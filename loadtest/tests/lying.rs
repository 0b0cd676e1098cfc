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

use liar::{Liar, Lie, Lies};
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

async fn heard_through(lies: Lies) -> Outcome {
    let network = Network::raise(&[]).await;
    let _liar = Liar::start(&network.plane, "geneva", lies).await;
    network.plane.has_open(1).await;
    let outcome = network.play(THREE_LISTENERS).await;
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
    let outcome = heard_through(&[]).await;
    assert_eq!(faults(&outcome), [0; 4]);
    assert!(outcome.counted(Count::Objects) > 3 * 8 * 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_that_is_lost_doubled_altered_or_delayed_is_found() {
    let outcome = heard_through(LIES).await;
    assert_eq!(faults(&outcome), [3 * 2, 3, 3 * 3, 3]);
    // On a busy machine others are late, too.
    assert!(outcome.counted(Count::Late) >= 3);
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
