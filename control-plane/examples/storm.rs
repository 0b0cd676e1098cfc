//! A storm of joins on one replica: thousands of people, each over a connection of their own, within seconds.
//!
//! `cargo run --release -p meridian-control-plane --example storm -- [JOINS] [SECONDS]`
//!
//! Fifteen edges of 400 places report; calls come at even intervals whether earlier ones were answered or not. Everybody
//! who is let in then opens a session at the edge named first, and leaves. Exits with 1 if a call failed, an edge was
//! given more than it can take, an edge that sent people elsewhere is not full within a tenth, or anything is left
//! afterwards.

#[path = "../tests/common/mod.rs"]
mod common;

use common::stage::{Edge, Stage, until};
use meridian_control_core::ids::Office;
use meridian_proto::v1::join_service_client::JoinServiceClient;
use meridian_proto::v1::*;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PLACES: u32 = 400;
const JOINS: NonZeroU32 = NonZeroU32::new(5_000).expect("it is not 0");
const SECONDS: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");
/// As other programs of this project exit when they were called wrongly.
const USAGE: u8 = 64;
const OFFICES: [&str; 15] = [
    "geneva",
    "new-york",
    "addis-ababa",
    "dakar",
    "harare",
    "yaounde",
    "brasilia",
    "bridgetown",
    "santiago",
    "tegucigalpa",
    "cairo",
    "bangkok",
    "jakarta",
    "new-delhi",
    "moscow",
];
/// Where people come from, each country as often as the next: all regions, some of them crowded.
const COUNTRIES: [&str; 30] = [
    "CH", "FR", "DE", "GB", "IT", "ES", "US", "CA", "MX", "BR", "AR", "CL", "EG", "SA", "MA", "KE",
    "ET", "NG", "SN", "ZA", "CM", "CN", "JP", "IN", "TH", "ID", "AU", "RU", "KZ", "UZ",
];

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut number = |default: NonZeroU32| args.next().map_or(Ok(default), |text| text.parse());
    let (Ok(joins), Ok(seconds)) = (number(JOINS), number(SECONDS)) else {
        eprintln!("how many joins, and within how many seconds: two whole numbers from 1");
        return ExitCode::from(USAGE);
    };
    let (joins, seconds) = (joins.get(), seconds.get());
    let stage = Arc::new(Stage::set().await);
    let mut edges = Vec::new();
    for office in OFFICES {
        edges.push(stage.edge(office, PLACES).await);
    }
    let countries: Vec<&str> = COUNTRIES.into_iter().cycle().take(joins as usize).collect();
    let invited = stage.meeting("plenary", &countries).await;
    println!(
        "{joins} joins in {seconds} s, a connection each; {} edges of {PLACES} places",
        OFFICES.len()
    );
    let answers = storm(
        &stage,
        &mut edges,
        &invited,
        Duration::from_secs(seconds.into()),
    )
    .await;
    let is_good = judge(&answers) & judge_spread(&stage, &answers);
    let is_empty = leave(&stage, edges).await;
    ExitCode::from(u8::from(!(is_good && is_empty)))
}

/// How one call went.
struct Answered {
    took: Duration,
    outcome: Result<Admission, String>,
}

/// Calls come at even intervals, and edges report what comes of them.
async fn storm(
    stage: &Arc<Stage>,
    edges: &mut [Edge],
    invited: &[Invitation],
    within: Duration,
) -> Vec<Answered> {
    let (done, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let (started, step) = (Instant::now(), within / invited.len() as u32);
    for (invitation, n) in invited.iter().zip(0u32..) {
        let (stage, done) = (stage.clone(), done.clone());
        let invitation = invitation.invitation.clone();
        tokio::spawn(async move {
            let due = started + step * n;
            tokio::time::sleep_until(due.into()).await;
            let outcome = join(&stage, invitation).await;
            // From when it should have begun: who is late has waited.
            let took = due.elapsed();
            let answered = Answered { took, outcome };
            done.send(answered).expect("all answers are awaited");
        });
    }
    drop(done);
    let mut all: Vec<Answered> = Vec::new();
    let mut told = 0;
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            answer = answers.recv() => match answer {
                Some(answer) => all.push(answer),
                None => break,
            },
            _ = beats.tick() => told = report(edges, &all, told).await,
        }
    }
    report(edges, &all, told).await;
    let presence = || stage.replica.plane().desk().presence.len();
    let admitted = all.iter().filter(|answer| answer.outcome.is_ok()).count();
    until("all sessions are known", || presence() == admitted).await;
    all
}

async fn join(stage: &Stage, invitation: String) -> Result<Admission, String> {
    let channel = stage
        .try_channel(None)
        .await
        .map_err(|error| error.to_string())?;
    let request = JoinRequest {
        invitation,
        ..JoinRequest::default()
    };
    let answers = JoinServiceClient::new(channel).wait_and_join(request).await;
    let mut answers = answers.map_err(|status| status.to_string())?.into_inner();
    loop {
        let answer = answers
            .message()
            .await
            .map_err(|status| status.to_string())?;
        match answer.and_then(|answer| answer.outcome) {
            Some(join_response::Outcome::Admitted(admission)) => return Ok(admission),
            Some(join_response::Outcome::Waiting(_)) => {}
            None => return Err("the stream ended".to_owned()),
        }
    }
}

/// Has each edge report the sessions that were opened there since the last time.
async fn report(edges: &mut [Edge], all: &[Answered], from: usize) -> usize {
    let fresh = all.iter().enumerate().skip(from);
    let mut opened: BTreeMap<&str, Vec<Session>> = BTreeMap::new();
    for (number, answer) in fresh {
        if let Ok(admission) = &answer.outcome {
            let at = opened.entry(&admission.candidates[0].office).or_default();
            at.push(session(number as u64, admission));
        }
    }
    for edge in edges {
        let opened = opened.remove(edge.office.as_str()).unwrap_or_default();
        let mut report = edge.said();
        let so_far = all.iter().filter_map(|answer| answer.outcome.as_ref().ok());
        let clients = so_far
            .filter(|admission| admission.candidates[0].office == edge.office)
            .count();
        report.load = Some(Load {
            clients: clients as u32,
            ..Load::default()
        });
        report.opened = opened;
        edge.report(report).await;
    }
    all.len()
}

fn session(number: u64, admission: &Admission) -> Session {
    // The token's middle part has the session's id, as an edge reads it.
    let claims = jsonwebtoken::dangerous::insecure_decode::<meridian_control_plane::tokens::Media>(
        &admission.token,
    );
    let claims = claims.expect("edges can read it").claims;
    Session {
        number,
        meeting: claims.meeting,
        participant: claims.sub,
        session: claims.sid,
        issued_at_s: claims.iat,
        opened_at_us: claims.iat * 1_000_000,
        limit: claims.sessions,
        transport: "quic".into(),
    }
}

fn judge(answers: &[Answered]) -> bool {
    let mut took: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    took.sort_unstable();
    let at = |permille: usize| took[(took.len() - 1) * permille / 1_000].as_secs_f64() * 1e3;
    let failed = answers
        .iter()
        .filter_map(|answer| answer.outcome.as_ref().err());
    let failed: Vec<_> = failed.collect();
    println!(
        "from due to answered, TLS included: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        at(500),
        at(990),
        at(1_000)
    );
    println!(
        "failed: {}{}",
        failed.len(),
        failed
            .first()
            .map_or(String::new(), |why| format!(", as: {why}"))
    );
    failed.is_empty()
}

/// Whether nobody was sent to a full edge, and edges that sent people on are full within a tenth.
fn judge_spread(stage: &Stage, answers: &[Answered]) -> bool {
    let mut spread: BTreeMap<&str, u32> = OFFICES.map(|office| (office, 0)).into();
    let mut overflowed: BTreeMap<String, u32> = BTreeMap::new();
    for admission in answers
        .iter()
        .filter_map(|answer| answer.outcome.as_ref().ok())
    {
        let first = &admission.candidates[0];
        *spread.entry(first.office.as_str()).or_default() += 1;
        if let Some((_, nearer)) = first.why.split_once(" farther than ") {
            let nearer = nearer.split(',').next().unwrap_or_default();
            *overflowed.entry(nearer.to_owned()).or_default() += 1;
        }
    }
    let mut is_good = true;
    for (office, given) in spread {
        let was_passed_over = overflowed.contains_key(office);
        let is_full = given * 10 >= PLACES * 9;
        is_good &= given <= PLACES && (is_full || !was_passed_over);
        let note = if was_passed_over {
            "nearest for more than it has places for"
        } else {
            ""
        };
        println!("  {office:<12} {given:>4} of {PLACES} {note}");
    }
    let desk = stage.replica.plane().desk();
    let reserved: u32 = OFFICES
        .iter()
        .map(|office| Office::new(office).expect("it is an office's id"))
        .map(|office| desk.placer.ledger().reserved(&office))
        .sum();
    println!("places still kept once all have arrived: {reserved}");
    is_good && reserved == 0
}

/// Everybody leaves; whether nothing is left.
async fn leave(stage: &Stage, mut edges: Vec<Edge>) -> bool {
    for edge in &mut edges {
        let report = ReportRequest {
            is_complete: true,
            ..edge.said()
        };
        edge.report(report).await;
    }
    let plane = stage.replica.plane();
    until("everybody has left", || plane.desk().presence.is_empty()).await;
    println!("sessions left afterwards: {}", plane.desk().presence.len());
    true
}
