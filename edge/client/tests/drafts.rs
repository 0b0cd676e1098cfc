//! The programs as users run them: publishers and watchers, each on each draft, with an edge between them.

mod common;

use common::{scratch, talk};
use meridian_edge::Edge;
use meridian_edge::access::Access;
use meridian_edge::clients::Doors;
use meridian_session::tls::{self, Identity};
use serde_json::Value;
use std::collections::HashSet;
use std::fs::read_to_string;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use tokio::task::LocalSet;

const DRAFTS: [&str; 3] = ["22", "20", "18"];

/// A single group, so that whoever comes later joins in its middle.
const ONE_GROUP: [&str; 10] = [
    "-c:v",
    "libvpx",
    "-deadline",
    "realtime",
    "-cpu-used",
    "8",
    "-g",
    "250",
    "-keyint_min",
    "250",
];

#[test]
fn who_joins_in_the_middle_of_a_group_gets_it_whole_whatever_the_drafts() {
    let dir = scratch("drafts");
    let file = dir.join("talk.webm");
    talk(&ONE_GROUP, 10, &file);
    let edge = edge();
    let publishers = DRAFTS.map(|draft| publish(&dir, &file, edge, draft));
    let publishers = publishers.map(Publisher::once_heard);
    let watchers: Vec<_> = DRAFTS
        .iter()
        .flat_map(|from| DRAFTS.map(|draft| (*from, draft)))
        .map(|(from, draft)| (from, draft, watch(&dir, edge, from, draft)))
        .collect();
    let seen: Vec<_> = watchers
        .into_iter()
        .map(|(from, draft, watcher)| (from, watched(&dir, from, draft, watcher)))
        .collect();
    for publisher in publishers {
        let draft = publisher.draft;
        let sent = publisher.stop();
        for (_, seen) in seen.iter().filter(|(from, _)| *from == draft) {
            assert!(seen.is_subset(&sent), "{draft}: altered");
        }
    }
}

/// What a watcher got, checked for everything that does not depend on the machine's speed.
fn watched(dir: &Path, from: &str, draft: &str, watcher: Child) -> HashSet<String> {
    let who = format!("from {from} to {draft}");
    let output = watcher.wait_with_output().expect("ends");
    assert!(output.status.success(), "{who}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let summary: Value = serde_json::from_str(text.lines().last().expect("speaks")).expect("JSON");
    assert_eq!(summary["draft"], format!("moqt-{draft}"), "{who}");
    for track in ["audio", "video-high"] {
        let track = &summary["tracks"][track];
        assert!(track["objects"].as_u64() > Some(0), "{who}: {summary}");
        assert_eq!(track["duplicates"], 0, "{who}: {summary}");
    }
    let lines = read_to_string(digest(dir, from, draft)).expect("is written");
    let picture = lines.lines().find(|line| line.starts_with("video-high"));
    let place = picture.and_then(|line| line.split(' ').nth(2));
    assert_eq!(place, Some("0"), "{who}: pictures begin with a keyframe");
    lines.lines().map(str::to_owned).collect()
}

struct Publisher {
    draft: &'static str,
    digest: PathBuf,
    process: Child,
}

impl Publisher {
    /// Waits until pictures are being published.
    fn once_heard(mut self) -> Publisher {
        let said = BufReader::new(self.process.stdout.as_mut().expect("is piped"));
        let is_on = |line: String| {
            let report: Value = serde_json::from_str(&line).expect("JSON");
            report["tracks"]["video-high"]["objects"].as_u64() > Some(0)
        };
        let mut lines = said.lines().map(|line| line.expect("UTF-8"));
        assert!(lines.any(is_on), "{}: ended early", self.draft);
        self
    }

    /// Asks for the end of the broadcast; gives what was sent.
    fn stop(mut self) -> HashSet<String> {
        let kill = format!("kill -TERM {}", self.process.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.expect("a shell").success());
        assert!(self.process.wait().expect("ends").success());
        let lines = read_to_string(&self.digest).expect("is written");
        lines.lines().map(str::to_owned).collect()
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // It has ended, unless the test fails.
        let _ = self.process.kill();
    }
}

fn publish(dir: &Path, file: &Path, edge: SocketAddr, draft: &'static str) -> Publisher {
    let digest = dir.join(format!("published-{draft}"));
    let mut command = meridian("publish", edge, draft, draft, &digest);
    command.arg(file).arg("--loop");
    Publisher {
        draft,
        digest,
        process: command.spawn().expect("starts"),
    }
}

fn watch(dir: &Path, edge: SocketAddr, from: &str, draft: &str) -> Child {
    let out = dir.join(format!("watched-{from}-{draft}.webm"));
    let mut command = meridian("watch", edge, from, draft, &digest(dir, from, draft));
    command.args(["--for", "3s", "--out"]).arg(out);
    command.spawn().expect("starts")
}

/// The program, for the publisher on the draft `from`, speaking `draft`.
fn meridian(what: &str, edge: SocketAddr, from: &str, draft: &str, digest: &Path) -> Command {
    let url = format!("moqt://{edge}");
    let namespace = format!("meridian/drafts/p/{from}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args([what, "--url", &url, "--insecure", "--json"])
        .args(["--namespace", &namespace, "--draft", draft, "--digest"])
        .arg(digest)
        .stdout(Stdio::piped());
    command
}

fn digest(dir: &Path, from: &str, draft: &str) -> PathBuf {
    dir.join(format!("watched-{from}-{draft}"))
}

/// An edge on a thread of its own, until the test is over.
fn edge() -> SocketAddr {
    let (tell, told) = mpsc::channel();
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
            std::future::pending::<()>().await;
        });
    });
    told.recv().expect("the edge starts")
}
