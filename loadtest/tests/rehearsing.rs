//! Whole rehearsals against a control plane and edges of their own.

#[path = "common/network.rs"]
mod network;
#[path = "../../edge/client/tests/common/offices.rs"]
mod offices;
#[path = "../../edge/client/tests/common/plane.rs"]
mod plane;

use meridian_loadtest::outcome::{Count, Latency};
use meridian_loadtest::scenario::Scenario;
use network::Network;
use std::path::Path;

const EVERYTHING: &str = r#"
    name = "everything"
    title = "Everything a delegate does"
    length = "14s"
    [floor]
    speakers = 2
    turn = "4s"
    video_bits = 200_000
    [booths]
    languages = ["fr"]
    [[crowd]]
    name = "hall"
    count = 20
    arrive = { kind = "ramp", over = "2s" }
    listen = { floor = 1, fr = 1 }
    switch_every = "4s"
    video = 0.3
    transport = { quic = 2, webtransport = 1, websocket = 1 }
    profile = { fibre = 1, office = 1 }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_in_hears_all_of_it_and_leaves_nothing_behind() {
    let network = Network::raise(&["geneva", "cairo"]).await;
    let outcome = network.play(EVERYTHING).await;
    let counted = |count| outcome.counted(count);
    assert_eq!((counted(Count::Came), counted(Count::Joined)), (20, 20));
    assert_eq!(outcome.failures.len(), 0, "{:?}", outcome.failures);
    for fault in [
        Count::Lost,
        Count::Duplicated,
        Count::Altered,
        Count::VideoLost,
    ] {
        assert_eq!(counted(fault), 0, "{fault:?}");
    }
    // Twelve seconds at fifty a second, less what each came later.
    assert!(counted(Count::Objects) > 20 * 9 * 50);
    assert!(counted(Count::VideoObjects) > 6 * 9 * 30);
    assert!(counted(Count::Switched) > 0);
    assert!(outcome.timed(Latency::Turn).count() > 0);
    assert!(outcome.timed(Latency::Switch).count() > 0);
    assert_eq!(outcome.timed(Latency::FirstPicture).count(), 6);
    assert_eq!(outcome.ghosts, Some(0));
    let transports: Vec<_> = outcome
        .by(|key| key.transport.clone())
        .into_keys()
        .collect();
    assert_eq!(transports, ["quic", "websocket", "webtransport"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_office_that_neither_ships_nor_is_the_control_planes_is_refused_before_anybody_comes() {
    let network = Network::raise(&["geneva", "cairo"]).await;
    let near = |office: &str| {
        let text = EVERYTHING.replace("count = 20", &format!("count = 20\nnear = [\"{office}\"]"));
        Scenario::parse(&text, Path::new("everything.toml")).expect("a good scenario")
    };
    let target = network.target();
    for there in ["cairo", "bangkok"] {
        assert!(target.check(&near(there)).await.is_ok(), "{there}");
    }
    let refused = target.check(&near("bankok")).await.expect_err("misspelt");
    assert_eq!(refused.exit_code(), 64);
    let said = refused.to_string();
    assert!(
        said.contains("crowd \"hall\": near: there is no office `bankok`; there are: addis-ababa"),
        "{said}"
    );
}
