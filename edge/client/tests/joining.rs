//! Somebody invited comes in, is led to the nearest edge, and goes on at another when that is gone: with a real control
//! plane and real edges.

mod common;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/plane.rs"]
mod plane;

use common::running::{Running, objects};
use common::{scratch, talk};
use meridian_proto::v1::RevokeDelegateRequest;
use offices::Office;
use plane::Plane;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const VP8: [&str; 6] = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];

fn meridian(plane: &Plane, what: &str, invitation: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args([what, "--json", "--join"])
        // Nobody is at the first: the next is asked.
        .arg(format!("https://localhost:1,{}", plane.url()))
        .arg("--join-ca")
        .arg(plane.ca())
        .args(["--invitation", invitation])
        .stdout(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_an_edge_goes_on_at_another_though_the_control_plane_is_gone_too() {
    let plane = Plane::start().await;
    let offices = ["geneva", "bangkok", "new-york"].map(|office| Office::start(&plane, office));
    plane.has_open(offices.len()).await;
    let invited = plane.meeting("council", &["CH", "TH"]).await;
    let dir = scratch("joining");
    let file = dir.join("talk.webm");
    talk(&VP8, 5, &file);

    let mut publisher = meridian(&plane, "publish", &invited[0].invitation);
    publisher.arg(&file).arg("--loop");
    let mut publisher = Running::start(publisher);
    let joined = publisher.reads_until(|line| line["kind"] == "joined");
    assert_eq!(joined["office"], "geneva", "{joined}");
    let mut watcher = meridian(&plane, "watch", &invited[1].url);
    watcher.args(["--namespace", "p/p-1", "--out"]);
    watcher.arg(dir.join("seen.webm"));
    let mut watcher = Running::start(watcher);
    let joined = watcher.reads_until(|line| line["kind"] == "joined");
    assert_eq!(joined["office"], "bangkok", "{joined}");
    assert_eq!(joined["race"][0]["office"], "bangkok", "{joined}");
    watcher.reads_until(|line| objects(line) > 25);

    plane.replica.stop().await;
    let [_geneva, bangkok, _new_york] = offices;
    drop(bangkok);
    let moved = watcher.reads_until(|line| line["kind"] == "moved");
    assert_eq!(
        (&moved["from"], &moved["why"]),
        (&"bangkok".into(), &"lost".into())
    );
    let mut heard: Option<u64> = None;
    watcher.reads_until(|line| {
        line["kind"] == "second" && objects(line) > 50 + *heard.get_or_insert(objects(line))
    });
    let summary = watcher.stop();
    let gap = summary["tracks"]["audio"]["largest_gap_ms"].as_f64();
    // Half a second until the silence counts, and the way to another edge.
    assert!(gap.is_some_and(|gap| gap < 2_000.0), "{summary}");
    assert_eq!(
        offices_of(&summary),
        ["bangkok", moved["office"].as_str().expect("text")]
    );
    publisher.stop();
}

fn offices_of(summary: &Value) -> Vec<&str> {
    let offices = summary["offices"].as_array().expect("a list");
    offices.iter().filter_map(Value::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_invitation_is_no_good_is_told_so_and_ends_with_77() {
    let plane = Plane::start().await;
    let invited = plane.meeting("council", &["CH"]).await;
    let forged = format!("{}x", invited[0].invitation);
    let mut watch = meridian(&plane, "watch", &forged);
    watch.args(["--namespace", "p/p-1", "--out"]);
    watch.arg(scratch("joining-refused").join("unused.webm"));
    let output = watch.stderr(Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("not one of ours"), "{said}");
}

#[test]
fn a_recording_that_cannot_be_written_is_told_at_once_and_one_that_is_there_is_kept_until_media_comes()
 {
    let dir = scratch("out");
    let watch = |out: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command
            // Nobody is there.
            .args(["watch", "--url", "moqt://127.0.0.1:1", "--insecure"])
            .args(["--namespace", "meridian/out/p/ana", "--wait", "1s", "--out"]);
        let output = command.arg(out).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = watch(&dir.join("none/seen.webm"));
    assert_eq!(code, Some(74), "{said}");
    assert!(said.contains("none/seen.webm"), "{said}");
    assert!(!said.contains("127.0.0.1"), "nobody was dialled: {said}");
    let before = dir.join("before.webm");
    fs::write(&before, "an earlier one").expect("the folder is ours");
    assert_eq!(watch(&before).0, Some(69));
    let kept = fs::read_to_string(&before).expect("it is there");
    assert_eq!(kept, "an earlier one");
}

const TRANSPORTS: [&str; 3] = ["quic", "webtransport", "websocket"];

/// Somebody who watches, over a transport of their own, until told why not.
fn guest(plane: &Plane, invitation: &str, transport: &str) -> Running {
    let mut watch = meridian(plane, "watch", invitation);
    watch
        .args(["--transport", transport, "--wait", "60s"])
        .args(["--namespace", "p/p-9", "--out", "/dev/null"])
        .stderr(Stdio::piped());
    let mut watch = Running::start(watch);
    watch.reads_until(|line| line["kind"] == "joined");
    watch
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_told_so_and_ends_with_77_whatever_the_transport() {
    let plane = Plane::start().await;
    let _geneva = Office::start(&plane, "geneva");
    plane.has_open(1).await;
    let invited = plane.meeting("council", &["CH"; 3]).await;
    let mut meetings = plane.meetings().await;
    for (invited, transport) in invited.iter().zip(TRANSPORTS) {
        let watch = guest(&plane, &invited.invitation, transport);
        let delegate = invited.delegate.clone().expect("it is somebody's").id;
        let meeting = "council".into();
        let revoke = plane.by_operator(RevokeDelegateRequest { meeting, delegate });
        let revoked = meetings.revoke_delegate(revoke).await;
        revoked.expect("an operator may");
        let (code, said) = watch.ends();
        assert_eq!(code, Some(77), "{transport}: {said}");
        assert!(said.contains("withdrawn"), "{transport}: {said}");
        assert!(!said.contains("again"), "{transport}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_device_with_a_link_for_one_ends_the_first_for_good_whatever_the_transport() {
    let plane = Plane::start().await;
    let _geneva = Office::start(&plane, "geneva");
    plane.has_open(1).await;
    let invited = plane.meeting_with("council", &["CH"; 3], 1).await;
    for (invited, transport) in invited.iter().zip(TRANSPORTS) {
        let first = guest(&plane, &invited.invitation, transport);
        let second = guest(&plane, &invited.invitation, transport);
        let (code, said) = first.ends();
        assert_eq!(code, Some(77), "{transport}: {said}");
        assert!(said.contains("opened elsewhere"), "{transport}: {said}");
        assert!(!said.contains("again"), "{transport}: {said}");
        let summary = second.stop();
        assert_eq!(summary["reconnects"], 0, "{transport}: {summary}");
    }
}
