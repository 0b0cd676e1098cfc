//! A publisher and a watcher that are sent to another edge: nothing is lost or doubled on the way.

mod common;

use common::running::{Running, objects};
use common::{scratch, talk};
use meridian_edge::Edge;
use meridian_edge::access::Access;
use meridian_edge::clients::Doors;
use meridian_edge::draining::Target;
use meridian_session::tls::{self, Identity};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

const VP8: [&str; 6] = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];

#[test]
fn who_is_sent_to_another_edge_loses_and_doubles_nothing() {
    let dir = scratch("following");
    let file = dir.join("talk.webm");
    talk(&VP8, 5, &file);
    let (first, drain) = edge();
    let (second, _keep) = edge();
    let mut publisher = meridian("publish", first, &dir.join("sent"));
    publisher.arg(&file).arg("--loop");
    let mut publisher = Running::start(publisher);
    publisher.reads_until(|report| objects(report) > 0);
    let mut watcher = meridian("watch", first, &dir.join("seen"));
    watcher.arg("--out").arg(dir.join("seen.webm"));
    let mut watcher = Running::start(watcher);
    watcher.reads_until(|report| objects(report) > 0);

    drain.send(second).expect("the edge runs");
    watcher.reads_until(|report| report["reconnects"].as_u64() > Some(0));
    publisher.reads_until(|report| report["reconnects"].as_u64() > Some(0));
    // Seconds of sound from the new edge alone, as the old one is left after three.
    let mut more = 0;
    watcher.reads_until(|_| {
        more += 1;
        more > 6
    });
    let summary = watcher.stop();
    publisher.stop();
    assert!(
        summary["longest_outage_ms"].as_f64() == Some(0.0),
        "{summary}"
    );
    for track in ["audio", "video-high"] {
        check(&dir, track);
    }
}

/// What was seen of a track is a piece of what was sent, whole and each object once.
fn check(dir: &Path, track: &str) {
    let lines = |name: &str| -> Vec<String> {
        let text = read_to_string(dir.join(name)).expect("is written");
        let of_track = text.lines().filter(|line| line.starts_with(track));
        of_track.map(str::to_owned).collect()
    };
    let (sent, seen) = (lines("sent"), lines("seen"));
    let place: BTreeMap<&String, usize> = sent.iter().zip(0..).collect();
    let places: BTreeSet<usize> = seen.iter().map(|line| place[line]).collect();
    assert_eq!(places.len(), seen.len(), "{track}: something came twice");
    let (from, to) = (places.first().expect("some"), places.last().expect("some"));
    assert!(to - from > 100, "{track}: {from} to {to}");
    let missing: Vec<_> = (*from..*to).filter(|n| !places.contains(n)).collect();
    assert!(missing.is_empty(), "{track}: {missing:?} of {from} to {to}");
}

fn meridian(what: &str, edge: SocketAddr, digest: &Path) -> Command {
    let url = format!("moqt://{edge}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args([what, "--url", &url, "--insecure", "--json"])
        .args(["--namespace", "meridian/following/p/ana", "--digest"])
        .arg(digest)
        .stdout(Stdio::piped());
    command
}

/// An edge on a thread of its own; given another's address, it sends its clients there.
fn edge() -> (SocketAddr, oneshot::Sender<SocketAddr>) {
    let (tell, told) = mpsc::channel();
    let (drain, drained) = oneshot::channel::<SocketAddr>();
    std::thread::spawn(move || {
        tls::install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        LocalSet::new().block_on(&runtime, async {
            let doors = Doors {
                address: "127.0.0.1:0".parse().expect("an address"),
                identity: Identity::ephemeral().expect("a certificate"),
                access: Access::Open,
                max_clients: 100,
                congestion: Default::default(),
            };
            let edge = Edge::start(meridian_relay::Config::default(), doors, 1).await;
            let edge = edge.expect("loopback has a free port");
            tell.send(edge.address()).expect("the test waits");
            if let Ok(other) = drained.await {
                let place = other.into();
                let targets = vec![Target { place, weight: 1 }];
                edge.drain_clients(targets, Duration::from_secs(4));
                std::future::pending::<()>().await;
            }
        });
    });
    (told.recv().expect("the edge starts"), drain)
}
