//! How long it takes until a revocation is in force at every edge of a network.
//!
//! `cargo run --release -p meridian-client --example revoking -- [DELEGATES] [EACH_SECOND]`
//!
//! A control plane and fifteen real all in this process. Every delegate has a session at each edge and is revoked in
//! turn, at even intervals; five more are not. Measured is the time from the call's beginning until the client sees
//! its session closed as unauthorised, over loopback. Exits with 1 if that took 2 s or more anywhere, a session ended otherwise,
//! or one of the five has lost any.

#[path = "../tests/common/offices.rs"]
mod offices;
#[path = "../tests/common/plane.rs"]
mod plane;
#[path = "../tests/common/present.rs"]
mod present;

use meridian_proto::v1::{Edge, RevokeDelegateRequest};
use meridian_wire::TerminationCode;
use offices::Office;
use plane::Plane;
use present::{PATIENCE, Present, is_open, refuses};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A line each, the id first.
const OFFICES: &str = include_str!("../../../data/offices.csv");
/// Delegates who are not revoked.
const STAY: usize = 5;
/// A revocation holds everywhere within this time.
const BOUND: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u32| {
        args.next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (delegates, each_second) = (number(50) as usize, number(10));
    let plane = Plane::start().await;
    let ids = OFFICES.lines().skip(1);
    let ids = ids.filter_map(|line| line.split(',').next());
    let offices: Vec<Office> = ids.map(|id| Office::start(&plane, id)).collect();
    plane.has_open(offices.len()).await;
    let edges = plane.tells_of(offices.len()).await;
    let invited = plane
        .meeting("council", &vec!["CH"; delegates + STAY])
        .await;
    let mut present = Vec::new();
    for invitation in &invited {
        present.push(Present::enter(&plane, invitation, &edges).await);
    }
    let stay = present.split_off(delegates);
    println!(
        "{delegates} delegates with a session at each of {} edges, {each_second} revoked each second",
        edges.len()
    );
    let ends = revoke(&plane, &present, each_second).await;
    let is_good = judge(ends, delegates * edges.len());
    let is_shut = are_shut_out(&edges, &present).await;
    ExitCode::from(u8::from(!(is_good & is_shut & all_stay(&stay).await)))
}

/// How one session ended.
struct End {
    delegate: usize,
    at: Instant,
    code: Option<TerminationCode>,
}

/// Revokes one after another; for each session, how long it took and how it ended.
async fn revoke(
    plane: &Plane,
    present: &[Present],
    each_second: u32,
) -> Vec<(Duration, Option<TerminationCode>)> {
    let (tell, mut told) = mpsc::unbounded_channel();
    for (delegate, who) in present.iter().enumerate() {
        for (_, line) in &who.lines {
            let (line, tell) = (line.clone(), tell.clone());
            tokio::spawn(async move {
                let code = line.session.closed().await.code();
                let at = Instant::now();
                // Received below, unless the process ends.
                let _ = tell.send(End { delegate, at, code });
            });
        }
    }
    drop(tell);
    let mut meetings = plane.meetings().await;
    let mut beats = tokio::time::interval(Duration::from_secs(1) / each_second.max(1));
    let mut called = Vec::new();
    for who in present {
        beats.tick().await;
        let revoke = RevokeDelegateRequest {
            meeting: "council".into(),
            delegate: who.id.clone(),
        };
        called.push(Instant::now());
        let revoked = meetings.revoke_delegate(plane.by_operator(revoke)).await;
        revoked.expect("an operator may");
    }
    let mut ends = Vec::new();
    // Who waits longer has not been reached, and is missing in the count.
    while let Ok(Some(end)) = tokio::time::timeout(PATIENCE, told.recv()).await {
        let took = end.at.saturating_duration_since(called[end.delegate]);
        ends.push((took, end.code));
    }
    ends
}

fn judge(mut ends: Vec<(Duration, Option<TerminationCode>)>, sessions: usize) -> bool {
    ends.sort_by_key(|(took, _)| *took);
    let meant = |(_, code): &&(Duration, _)| *code == Some(TerminationCode::UNAUTHORIZED);
    let meant = ends.iter().filter(meant).count();
    println!("{meant} of {sessions} sessions were closed as unauthorised");
    let Some((longest, _)) = ends.last() else {
        return false;
    };
    let at = |permille: usize| ends[(ends.len() - 1) * permille / 1_000].0.as_secs_f64() * 1e3;
    println!(
        "from the call to a closed session: p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
        at(500),
        at(990),
        at(1_000)
    );
    meant == sessions && *longest < BOUND
}

/// Whether no edge lets anybody in by a revoked token.
async fn are_shut_out(edges: &[Edge], present: &[Present]) -> bool {
    let mut let_in = 0;
    for who in present {
        for edge in edges {
            let_in += usize::from(!refuses(edge, &who.token).await);
        }
    }
    println!("let in again by a revoked token: {let_in}");
    let_in == 0
}

async fn all_stay(stay: &[Present]) -> bool {
    let mut open = 0;
    for (_, line) in stay.iter().flat_map(|who| &who.lines) {
        open += usize::from(is_open(line).await);
    }
    let all: usize = stay.iter().map(|who| who.lines.len()).sum();
    println!("of those who are not revoked, open: {open} of {all}");
    open == all
}
