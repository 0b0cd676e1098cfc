//! Edges and the control plane: they register, report, follow its snapshots, and do without it.

mod common;
#[path = "common/issuer.rs"]
mod issuer;
#[path = "common/offices.rs"]
mod offices;
#[path = "common/plane.rs"]
mod plane;
#[path = "common/talk.rs"]
mod talk;

use common::*;
use issuer::{Issuer, claims, issuer};
use meridian_edge::control::snapshot::Version;
use meridian_edge::control::status::Status;
use meridian_proto::v1;
use meridian_proto::v1::{EndReason, EndSession, ReportResponse, Snapshot, TokenKey, TreeRow};
use meridian_session::session::{Options, Session, SessionError};
use meridian_wire::param::AuthorizationToken;
use meridian_wire::{Draft, TerminationCode};
use offices::{Authority, Office, own_addresses};
use plane::Replica;
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use talk::{hear, patient, speak};

/// What a control plane has to say.
struct World {
    authority: Authority,
    issuer: Issuer,
    geneva: SocketAddr,
    bangkok: SocketAddr,
}

impl World {
    fn new() -> World {
        let [geneva, bangkok] = own_addresses();
        World {
            authority: Authority::new(),
            issuer: issuer("a"),
            geneva,
            bangkok,
        }
    }

    /// Two edges, a key, and no tree yet.
    fn snapshot(&self, revision: u64) -> Snapshot {
        let edge = |office: &str, address: SocketAddr| v1::Edge {
            office: office.to_owned(),
            neighbour_address: address.to_string(),
            client_address: format!("{office}.example:443"),
            ..v1::Edge::default()
        };
        let key = TokenKey {
            id: self.issuer.kid.to_owned(),
            ed25519: self.issuer.pair.public_key_raw().to_vec().into(),
            expires_at_s: 0,
        };
        Snapshot {
            version: Some(v1::Version { epoch: 1, revision }),
            edges: vec![edge("bangkok", self.bangkok), edge("geneva", self.geneva)],
            keys: vec![key],
            ..Snapshot::default()
        }
    }

    /// The same with Geneva above Bangkok.
    fn tree(&self, revision: u64) -> Snapshot {
        Snapshot {
            tree: vec![row("bangkok", "geneva")],
            ..self.snapshot(revision)
        }
    }

    fn replica(&self, snapshot: Snapshot) -> Replica {
        Replica::start(&self.authority, snapshot)
    }

    fn start(&self, office: &str, replicas: &[SocketAddr]) -> Office {
        let address = match office {
            "geneva" => self.geneva,
            _ => self.bangkok,
        };
        let lines = self.lines(replicas);
        self.authority.start_controlled(office, address, &lines)
    }

    fn lines(&self, replicas: &[SocketAddr]) -> String {
        let folder = self.authority.folder().display();
        let urls: Vec<String> = replicas
            .iter()
            .map(|address| format!("https://{address}"))
            .collect();
        format!(
            "addresses = {urls:?}\nserver_name = \"control-plane\"\nca = \"{folder}/ca.pem\"\nstate = \"{folder}/state\"\n\
             publish_certificate = true"
        )
    }

    fn token(&self, participant: &str) -> AuthorizationToken {
        let mut claims = claims(60);
        claims["sub"] = json!(participant);
        claims["meeting"] = json!("council");
        claims["sid"] = json!("s-1");
        claims["sessions"] = json!(2);
        claims["publish"] = json!([["meridian", "test"]]);
        claims["subscribe"] = json!([["meridian", "test"]]);
        self.issuer.sign(&claims)
    }

    async fn enter(&self, office: &Office, participant: &str) -> Result<Session, SessionError> {
        enter(office, self.token(participant)).await
    }

    async fn is_in(&self, office: &Office, participant: &str) -> Session {
        let entered = self.enter(office, participant).await;
        entered.expect("it is let in")
    }
}

fn row(office: &str, parent: &str) -> TreeRow {
    TreeRow {
        office: office.to_owned(),
        parent: parent.to_owned(),
        ..TreeRow::default()
    }
}

async fn enter(office: &Office, token: AuthorizationToken) -> Result<Session, SessionError> {
    let mut options = Options::default();
    options.setup.authorization_tokens.push(token);
    connect_with(office.clients, Draft::D22, options).await
}

/// Why a client that is refused is.
async fn why(entered: Result<Session, SessionError>) -> Option<TerminationCode> {
    match entered {
        Ok(session) => session.closed().await.code(),
        Err(error) => error.code(),
    }
}

async fn comes_to(office: &Office, right: impl FnMut(&Status) -> bool) -> Status {
    let mut status = office.control.clone().expect("it has a control plane");
    let status = status.wait_for(right).await;
    status.expect("the office runs").clone()
}

async fn follows(office: &Office, revision: u64) {
    let version = Some(Version { epoch: 1, revision });
    comes_to(office, |status| status.version == version).await;
}

#[test]
fn an_edge_registers_reports_its_sessions_and_ends_those_it_is_told_to() {
    run(async {
        let world = World::new();
        let mut replica = world.replica(world.snapshot(1));
        let bangkok = world.start("bangkok", &[replica.address]);
        let registered = replica.registers().await;
        let edge = registered.edge.expect("it says how it is reached");
        assert_eq!(edge.office, "bangkok");
        assert_eq!(edge.neighbour_address, world.bangkok.to_string());
        assert_eq!(edge.client_address, bangkok.clients.to_string());
        assert_eq!(edge.certificate_sha256.len(), 32);
        assert_eq!(registered.capacity.expect("it is limited").clients, 4096);
        let first = replica.is_told(|_| true).await;
        assert!(first.is_complete && first.instance == registered.instance);
        follows(&bangkok, 1).await;
        let ana = world.is_in(&bangkok, "ana").await;
        let report = replica.is_told(|report| !report.opened.is_empty()).await;
        let session = &report.opened[0];
        assert_eq!(
            (session.meeting.as_str(), session.participant.as_str()),
            ("council", "ana")
        );
        assert_eq!((session.session.as_str(), session.limit), ("s-1", 2));
        assert_eq!(session.transport, "quic");
        let applied = report.applied.expect("it follows one");
        assert_eq!((applied.epoch, applied.revision), (1, 1));
        let measured = replica
            .is_told(|report| report.load.is_some_and(|load| load.clients == 1))
            .await;
        assert!(measured.load.is_some_and(|load| load.memory_bytes > 0));
        replica.order(&ReportResponse {
            ends: vec![EndSession {
                number: session.number,
                reason: EndReason::Displaced.into(),
            }],
        });
        let why = ana.closed().await;
        assert!(why.to_string().contains("opened elsewhere"), "{why}");
        let report = replica.is_told(|report| !report.closed.is_empty()).await;
        assert_eq!(report.closed, [session.number]);
    });
}

#[test]
fn edges_join_as_a_snapshot_says_and_a_bad_one_is_refused_aloud_while_media_flows() {
    run(async {
        let world = World::new();
        let mut replica = world.replica(world.snapshot(1));
        let geneva = world.start("geneva", &[replica.address]);
        let bangkok = world.start("bangkok", &[replica.address]);
        follows(&geneva, 1).await;
        follows(&bangkok, 1).await;
        replica.publish(world.tree(2));
        bangkok.is_joined_to(&["geneva"]).await;
        geneva.is_joined_to(&["bangkok"]).await;
        let publisher = world.is_in(&bangkok, "ana").await;
        let _announced = announce(&publisher).await;
        let far = world.is_in(&geneva, "bo").await;
        let mut asked = subscribe(&far, "audio", patient()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let story = async {
            hear(&far, alias).await;
            let mut bad = world.tree(3);
            bad.tree.push(row("geneva", "bangkok"));
            replica.publish(bad);
            let report = replica.is_told(|report| !report.refused.is_empty()).await;
            assert!(report.refused.contains("circle"), "{}", report.refused);
            assert_eq!(report.applied.map(|version| version.revision), Some(2));
            hear(&far, alias).await;
            replica.publish(world.tree(4));
            let is_mended = |report: &v1::ReportRequest| {
                report.refused.is_empty() && report.applied.is_some_and(|at| at.revision == 4)
            };
            replica.is_told(is_mended).await;
            let is_linked = |report: &v1::ReportRequest| {
                let mut above = report
                    .neighbours
                    .iter()
                    .filter(|other| other.role == "parent");
                report.office == "bangkok" && above.any(|other| other.is_heard && other.rtt_us > 0)
            };
            replica.is_told(is_linked).await;
            let has_probed = |report: &v1::ReportRequest| {
                let mut rtts = report.rtts.iter();
                report.office == "bangkok"
                    && rtts.any(|rtt| rtt.office == "geneva" && rtt.rtt_us > 0)
            };
            replica.is_told(has_probed).await;
            let is_talk = |report: &v1::ReportRequest| {
                let mut talks = report.talks.iter();
                report.office == "bangkok"
                    && talks.any(|talk| talk.is_published_here && talk.bits_per_second > 0)
            };
            let report = replica.is_told(is_talk).await;
            assert_eq!(report.talks[0].namespace, ["meridian", "test"]);
            hear(&far, alias).await;
        };
        tokio::select! {
            () = story => {}
            () = speak(&publisher, 7) => unreachable!("it speaks for ever"),
        }
    });
}

#[test]
fn an_edge_that_starts_without_the_control_plane_serves_from_what_it_kept() {
    run(async {
        let world = World::new();
        let replica = world.replica(world.tree(5));
        let at = replica.address;
        for office in ["geneva", "bangkok"] {
            let running = world.start(office, &[at]);
            comes_to(&running, |status| status.kept.is_some()).await;
        }
        drop(replica);
        let geneva = world.start("geneva", &[at]);
        let bangkok = world.start("bangkok", &[at]);
        bangkok.is_joined_to(&["geneva"]).await;
        let status = comes_to(&bangkok, |_| true).await;
        assert!(status.alone_since.is_some() && status.version.is_some());
        let _ana = world.is_in(&bangkok, "ana").await;
        let forged = issuer("a").sign(&claims(60));
        let refused = why(enter(&geneva, forged).await).await;
        assert_eq!(refused, Some(TerminationCode::UNAUTHORIZED));
        // It comes back, and is found.
        let mut back = Replica::start_at(&world.authority, at, world.tree(6));
        follows(&bangkok, 6).await;
        let reported = back.is_told(|report| !report.opened.is_empty()).await;
        assert_eq!(reported.opened[0].participant, "ana");
    });
}

#[test]
fn a_damaged_file_is_no_snapshot() {
    run(async {
        let world = World::new();
        let state = world.authority.folder().join("state");
        fs::create_dir_all(&state).expect("the folder is ours");
        fs::write(state.join("bangkok.snapshot"), b"meridian snapshot 1\nrot").expect("ours");
        let [nobody] = own_addresses();
        let bangkok = world.start("bangkok", &[nobody]);
        assert_eq!(comes_to(&bangkok, |_| true).await.version, None);
        let refused = why(world.enter(&bangkok, "ana").await).await;
        assert_eq!(refused, Some(TerminationCode::UNAUTHORIZED));
    });
}

#[test]
fn when_a_replica_is_killed_or_frozen_the_other_is_watched() {
    for is_frozen in [false, true] {
        run(async {
            let world = World::new();
            let mut replicas = [1, 1].map(|revision| world.replica(world.snapshot(revision)));
            let addresses = [0, 1].map(|n| replicas[n].address);
            let bangkok = world.start("bangkok", &addresses);
            comes_to(&bangkok, |status| status.connected == 2 && status.watches).await;
            let [a, b] = &mut replicas;
            let first = tokio::select! {
                () = a.is_watched() => 0,
                () = b.is_watched() => 1,
            };
            let ana = world.is_in(&bangkok, "ana").await;
            let [a, b] = replicas;
            let (lost, mut other) = if first == 0 { (a, b) } else { (b, a) };
            let frozen = is_frozen.then(|| lost.freeze());
            let mut lost = is_frozen.then_some(lost);
            other.is_watched().await;
            other.publish(world.snapshot(2));
            follows(&bangkok, 2).await;
            drop(frozen);
            if lost.is_none() {
                let at = addresses[first];
                lost = Some(Replica::start_at(&world.authority, at, world.snapshot(2)));
            }
            comes_to(&bangkok, |status| status.connected == 2).await;
            drop(ana);
            drop(lost);
        });
    }
}

#[test]
fn a_revocation_ends_the_session_and_refuses_the_token() {
    run(async {
        let world = World::new();
        let replica = world.replica(world.snapshot(1));
        let bangkok = world.start("bangkok", &[replica.address]);
        follows(&bangkok, 1).await;
        let ana = world.is_in(&bangkok, "ana").await;
        let _bo = world.is_in(&bangkok, "bo").await;
        let mut revoked = world.snapshot(2);
        revoked.revocations.push(v1::Revocation {
            meeting: "council".to_owned(),
            participant: "ana".to_owned(),
            below_generation: 1,
            until_s: u64::MAX,
        });
        replica.publish(revoked);
        assert_eq!(
            ana.closed().await.code(),
            Some(TerminationCode::UNAUTHORIZED)
        );
        let refused = why(world.enter(&bangkok, "ana").await).await;
        assert_eq!(refused, Some(TerminationCode::UNAUTHORIZED));
        let sessions = bangkok.act(|edge, _| edge.sessions().count()).await;
        assert_eq!(sessions, 1, "who is not meant stays");
    });
}

#[test]
fn an_edge_is_drained_and_taken_back_as_the_snapshot_says() {
    run(async {
        let world = World::new();
        let mut replica = world.replica(world.snapshot(1));
        let bangkok = world.start("bangkok", &[replica.address]);
        follows(&bangkok, 1).await;
        let ana = world.is_in(&bangkok, "ana").await;
        let mut emptied = world.snapshot(2);
        let soon = std::time::UNIX_EPOCH
            .elapsed()
            .expect("after 1970")
            .as_millis() as u64
            + 2_000;
        let to = |office: &str| {
            let office = office.to_owned();
            vec![v1::DrainTarget { office, places: 10 }]
        };
        emptied.edges.push(v1::Edge {
            office: "new-york".to_owned(),
            neighbour_address: "192.0.2.1:4444".to_owned(),
            client_address: "new-york.example:443".to_owned(),
            ..v1::Edge::default()
        });
        emptied.drains.push(v1::Drain {
            office: "bangkok".to_owned(),
            deadline_ms: soon,
            targets: to("new-york"),
            // Not every country's edges may carry it.
            meetings: vec![v1::MeetingDrain {
                meeting: "council".to_owned(),
                targets: to("geneva"),
            }],
        });
        replica.publish(emptied);
        let mut goaway = ana.goaway();
        let told = goaway
            .wait_for(Option::is_some)
            .await
            .expect("it lives")
            .clone();
        assert_eq!(
            &told.expect("waited for").uri[..],
            b"moqt://geneva.example:443/"
        );
        replica.is_told(|report| report.is_draining).await;
        replica.publish(world.snapshot(3));
        replica.is_told(|report| !report.is_draining).await;
        let _bo = world.is_in(&bangkok, "bo").await;
        let sent_on = bangkok.act(|edge, _| edge.is_draining()).await;
        assert!(!sent_on);
    });
}

#[test]
fn an_edge_with_a_foreign_certificate_is_told_so() {
    run(async {
        let world = World::new();
        let replica = world.replica(world.snapshot(1));
        let strangers = Authority::new();
        let lines = world.lines(&[replica.address]);
        let stranger = strangers.start_controlled("bangkok", world.bangkok, &lines);
        let status = comes_to(&stranger, |status| status.turned_away.is_some()).await;
        let why = status.turned_away.expect("waited for");
        assert!(
            why.contains("does not accept the certificate in [neighbour_tls]"),
            "{why}"
        );
        assert_eq!((status.connected, status.version), (0, None));
    });
}

#[test]
fn an_edge_that_is_refused_says_why_and_one_that_is_forgotten_registers_afresh() {
    run(async {
        let world = World::new();
        let mut replica = world.replica(world.snapshot(1));
        let bangkok = world.start("bangkok", &[replica.address]);
        let before = replica.registers().await;
        comes_to(&bangkok, |status| status.connected == 1).await;
        replica.forget();
        let after = replica.registers().await;
        assert_eq!(before.instance, after.instance);
        let report = replica.is_told(|_| true).await;
        assert!(report.is_complete);
        comes_to(&bangkok, |status| status.connected == 1).await;
        replica.refuse(Some(tonic::Status::permission_denied(
            "the certificate is not for bangkok",
        )));
        replica.forget();
        let status = comes_to(&bangkok, |status| status.turned_away.is_some()).await;
        assert_eq!(
            status.turned_away.as_deref(),
            Some("the certificate is not for bangkok")
        );
    });
}

#[test]
fn an_older_snapshot_is_refused_and_nonsense_in_place_of_a_replica_does_no_harm() {
    run(async {
        let world = World::new();
        let nonsense = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let at = nonsense.local_addr().expect("it is bound");
        let babble = async {
            use tokio::io::AsyncWriteExt;
            while let Ok((mut stream, _)) = nonsense.accept().await {
                // The edge may hang up first.
                let _ = stream.write_all(&[0x16; 4096]).await;
            }
        };
        let story = async {
            let mut replica = world.replica(world.snapshot(9));
            let bangkok = world.start("bangkok", &[at, replica.address]);
            follows(&bangkok, 9).await;
            comes_to(&bangkok, |status| status.watches).await;
            replica.publish(world.snapshot(8));
            let report = replica.is_told(|report| !report.refused.is_empty()).await;
            assert!(report.refused.contains("older"), "{}", report.refused);
            replica.publish(world.snapshot(10));
            follows(&bangkok, 10).await;
            replica.is_told(|report| report.refused.is_empty()).await;
            let status = comes_to(&bangkok, |_| true).await;
            assert_eq!((status.replicas, status.connected), (2, 1));
        };
        tokio::select! {
            () = story => {}
            () = babble => {}
        }
    });
}
