//! The program at an edge that does not serve it: it says why, and does not knock for ever.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meridian_edge::Edge;
use meridian_edge::access::{Access, Keys};
use meridian_edge::clients::Doors;
use meridian_edge::entries::Entry;
use meridian_session::tls::{self, Identity};
use rcgen::{KeyPair, PKCS_ED25519};
use std::process::{Command, Output};
use std::time::Duration;
use tokio::task::{LocalSet, spawn_blocking};

const SCHEMES: [&str; 3] = ["moqt", "https", "wss"];

/// Runs a test on one thread, as an edge does.
fn run(test: impl Future<Output = ()>) {
    tls::install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // A test that hangs is to fail by itself.
    let test = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    let ended = LocalSet::new().block_on(&runtime.expect("a runtime starts"), test);
    ended.expect("the test ends");
}

async fn edge(access: Access) -> Edge {
    let doors = Doors {
        address: "127.0.0.1:0".parse().expect("an address"),
        identity: Identity::ephemeral().expect("a certificate"),
        access,
        max_clients: 100,
        congestion: Default::default(),
    };
    let edge = Edge::start(meridian_relay::Config::default(), doors, 1).await;
    edge.expect("loopback has a free port")
}

/// What `meridian watch` ends with.
async fn watch(edge: &Edge, scheme: &str, token: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args(["watch", "--insecure", "--wait", "3s"])
        .args(["--url", &format!("{scheme}://{}/", edge.address())])
        .args(["--namespace", "meridian/council/p/p-1"])
        .args(["--out", "/dev/null", "--token", token]);
    let output = spawn_blocking(move || command.output()).await;
    output.expect("no panic").expect("it runs")
}

/// A key set, and a token that somebody else has signed in its name.
fn forged() -> (Access, String) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
    let keys = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{x}"}}]}}"#);
    let parts: [&[u8]; 3] = [
        br#"{"alg":"EdDSA","kid":"a"}"#,
        br#"{"sub":"p-1","exp":4000000000,"subscribe":[["meridian"]]}"#,
        &[7; 64],
    ];
    let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    (
        Access::Tokens(Keys::parse(&keys).expect("a key set")),
        token,
    )
}

#[test]
fn a_forged_token_is_shown_once_and_the_edges_answer_printed() {
    run(async {
        for scheme in SCHEMES {
            let (access, token) = forged();
            let edge = edge(access).await;
            let output = watch(&edge, scheme, &token).await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(77), "{scheme}: {said}");
            assert!(said.contains("not signed with a key"), "{scheme}: {said}");
            assert_eq!(said.lines().count(), 1, "{scheme}: {said}");
            let shown = edge.entries().of(Entry::TokenNotSigned);
            assert_eq!(shown, 1, "{scheme}: {said}");
        }
    });
}

#[test]
fn an_edge_that_ends_every_session_at_once_is_asked_again_with_growing_pauses() {
    run(async {
        for scheme in SCHEMES {
            let edge = edge(Access::Open).await;
            // It has nowhere to send its clients, and no more time for them.
            edge.drain_clients(Vec::new(), Duration::ZERO);
            let output = watch(&edge, scheme, "none").await;
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(69), "{scheme}: {said}");
            assert!(said.contains("being drained"), "{scheme}: {said}");
            // At once, then after 0.1, 0.2, 0.4 s and so on, or half of that.
            let asked = edge.entries().of(Entry::Drained);
            assert!((3..=10).contains(&asked), "{scheme}: {asked} times: {said}");
        }
    });
}
