//! Delegates come in by invitation, and nobody else does.

mod common;

use common::stage::{Stage, refused, until};
use meridian_control_core::ids::{Office, Person, SessionId};
use meridian_control_core::placement;
use meridian_control_core::registry::State;
use meridian_control_plane::plane::Plane;
use meridian_control_plane::records::{Record, key};
use meridian_control_plane::store::{Transaction, Write};
use meridian_control_plane::tokens::Ticket;
use meridian_control_plane::tokens::ring::{Ring, SigningKey};
use meridian_proto::v1::join_response::Outcome;
use meridian_proto::v1::*;
use std::sync::Arc;
use std::time::Instant;
use tonic::Code;

fn admitted(response: JoinResponse) -> Admission {
    match response.outcome {
        Some(Outcome::Admitted(admission)) => admission,
        other => panic!("not admitted: {other:?}"),
    }
}

fn by(invitation: &str) -> JoinRequest {
    JoinRequest {
        invitation: invitation.into(),
        ..JoinRequest::default()
    }
}

/// Whether its share of the places is settled, so that it can keep some for people.
fn gives_places(plane: &Plane) -> bool {
    let somebody = Person {
        meeting: "council".parse().expect("a good id"),
        participant: "p-0".parse().expect("a good id"),
    };
    let request = placement::Request {
        session: SessionId::from_text("x"),
        person: somebody,
        sessions: 1,
        whereabouts: Default::default(),
        allowed: Default::default(),
        previous: None,
        unreachable: Default::default(),
    };
    plane.desk().look(&request, Instant::now()).is_ok()
}

#[tokio::test]
async fn a_delegate_is_sent_to_the_nearest_edge_and_told_another_and_why() {
    let stage = Stage::set().await;
    for office in ["geneva", "bangkok", "new-york"] {
        stage.edge(office, 100).await;
    }
    let invited = stage.meeting("council", &["TH", "US"]).await;
    let mut join = stage.join().await;
    for (invitation, nearest) in invited.iter().zip(["bangkok", "new-york"]) {
        let joined = join
            .join(by(&invitation.invitation))
            .await
            .expect("it is good");
        let admission = admitted(joined.into_inner());
        assert_eq!(admission.candidates[0].office, nearest);
        assert!(admission.candidates.len() >= 2);
        assert!(
            admission.candidates[0].why.contains("nearer"),
            "{:?}",
            admission.candidates
        );
        assert_eq!(admission.candidates[0].certificate_sha256.len(), 32);
    }
}

#[tokio::test]
async fn whose_client_has_measured_another_edge_to_be_near_is_sent_there_whatever_the_country() {
    let stage = Stage::set().await;
    let _edges = [
        stage.open_edge("geneva", 100).await.beating(),
        stage.open_edge("bangkok", 100).await.beating(),
    ];
    let invited = stage.meeting("council", &["CH"]).await;
    let mut join = stage.join().await;
    let nearest = |candidates: &[Candidate]| candidates[0].office.clone();
    let first = join.join(by(&invited[0].invitation)).await;
    let first = admitted(first.expect("it is good").into_inner());
    assert_eq!(nearest(&first.candidates), "geneva");
    let rtt = |office: &str, rtt_us| Rtt {
        office: office.into(),
        rtt_us,
    };
    let measured = vec![rtt("geneva", 300_000), rtt("bangkok", 12_000)];
    let renew = RenewRequest {
        token: first.token,
        measured: measured.clone(),
        previous_office: "geneva".into(),
        ..RenewRequest::default()
    };
    let renewed = join.renew(renew).await.expect("it is good").into_inner();
    let renewed = renewed.admitted.expect("it is renewed");
    assert_eq!(nearest(&renewed.candidates), "bangkok");
    // Far from the one that was measured is told too, though nothing was measured of the other.
    let again = JoinRequest {
        measured: measured[..1].to_vec(),
        ..by(&invited[0].invitation)
    };
    let again = join.join(again).await.expect("it is good").into_inner();
    assert_eq!(nearest(&admitted(again).candidates), "bangkok");
}

#[tokio::test]
async fn a_withdrawn_a_forged_and_a_renewed_invitation_are_refused_and_counted() {
    let stage = Stage::set().await;
    stage.edge("geneva", 100).await;
    let invited = stage.meeting("council", &["CH", "FR"]).await;
    let mut join = stage.join().await;
    let mut meetings = stage.meetings().await;
    let forged = format!("{}x", invited[0].invitation);
    let (code, why) = refused(join.join(by(&forged)).await);
    assert_eq!(code, Code::Unauthenticated, "{why}");
    let revoke = RevokeDelegateRequest {
        meeting: "council".into(),
        delegate: "p-1".into(),
    };
    meetings
        .revoke_delegate(stage.by_operator(revoke))
        .await
        .expect("it can be revoked");
    let (code, why) = refused(join.join(by(&invited[0].invitation)).await);
    assert!(
        code == Code::Unauthenticated && why.contains("taken away"),
        "{why}"
    );
    let renew = InviteDelegatesRequest {
        meeting: "council".into(),
        delegates: vec!["p-2".into()],
        renew: true,
        ..InviteDelegatesRequest::default()
    };
    let renewed = meetings
        .invite_delegates(stage.by_operator(renew))
        .await
        .expect("it can be renewed");
    let (code, why) = refused(join.join(by(&invited[1].invitation)).await);
    assert!(
        code == Code::Unauthenticated && why.contains("newer link"),
        "{why}"
    );
    let fresh = &renewed.get_ref().invitations[0].invitation;
    admitted(
        join.join(by(fresh))
            .await
            .expect("the new one is good")
            .into_inner(),
    );
    let plane = stage.replica.plane();
    assert_eq!(plane.counters.invitations_forged.count(), 1);
    assert_eq!(plane.counters.invitations_revoked.count(), 2);
    let snapshot = plane.snapshot.clone();
    until("edges are told of both", || {
        snapshot.borrow().revocations.len() == 2
    })
    .await;
}

#[tokio::test]
async fn nobody_new_is_sent_to_an_edge_that_is_drained_until_that_is_taken_back() {
    let stage = Stage::set().await;
    let _edges = [
        stage.edge("bangkok", 100).await.beating(),
        stage.edge("jakarta", 100).await.beating(),
    ];
    let alive = || {
        let desk = stage.replica.plane().desk();
        let sites = desk.sites().into_iter();
        sites.filter(|site| site.state == State::Alive).count()
    };
    until("both have reported", || alive() == 2).await;
    let invited = stage.meeting("council", &["TH"]).await;
    for (id, country) in [("thai", "TH"), ("indonesian", "ID")] {
        stage.meeting_in(id, country).await;
    }
    let mut ops = stage.ops().await;
    let drain = DrainEdgeRequest {
        office: "bangkok".into(),
        within_ms: 2_000,
        reason: "new disks".into(),
    };
    let drained = ops.drain_edge(stage.by_operator(drain)).await;
    let drain = drained.expect("it can be drained").into_inner().drain;
    let drain = drain.expect("it is told");
    assert_eq!(drain.targets[0].office, "jakarta");
    let own = drain.meetings.iter().map(|own| {
        let offices: Vec<&str> = own.targets.iter().map(|to| to.office.as_str()).collect();
        (own.meeting.as_str(), offices)
    });
    assert_eq!(
        own.collect::<Vec<_>>(),
        [("indonesian", vec!["jakarta"]), ("thai", vec![])]
    );
    let plane = stage.replica.plane().clone();
    let takes_nobody = |office: &str| {
        let desk = plane.desk();
        let edge = desk
            .sites()
            .into_iter()
            .find(|site| site.office.as_str() == office);
        edge.is_some_and(|site| matches!(site.state, State::Draining { .. }))
    };
    until("it is known to be drained", || takes_nobody("bangkok")).await;
    let mut join = stage.join().await;
    let first = |response: JoinResponse| admitted(response).candidates[0].office.clone();
    let joined = join.join(by(&invited[0].invitation)).await;
    assert_eq!(
        first(joined.expect("there is another").into_inner()),
        "jakarta"
    );
    let undrain = UndrainEdgeRequest {
        office: "bangkok".into(),
    };
    let undrained = ops.undrain_edge(stage.by_operator(undrain)).await;
    undrained.expect("it can be taken back");
    until("it takes people again", || !takes_nobody("bangkok")).await;
    let joined = join.join(by(&invited[0].invitation)).await;
    assert_eq!(first(joined.expect("it is good").into_inner()), "bangkok");
}

#[tokio::test]
async fn one_delegate_who_joins_on_and_on_takes_neither_others_turns_nor_more_places_than_sessions()
{
    let stage = Stage::set_with(|config| {
        config.admission.joins_per_second = 1;
        config.admission.burst = 2;
        config.admission.queue = 1;
    })
    .await;
    let _edge = stage.open_edge("geneva", 100).await.beating();
    let invited = stage.meeting("council", &["CH", "FR"]).await;
    let plane = stage.replica.plane();
    until("its places are given away", || gives_places(plane)).await;
    let mut join = stage.join().await;
    let mut let_in = 0;
    let mut put_off = None;
    for _ in 0..60 {
        match join.join(by(&invited[0].invitation)).await {
            Ok(joined) => {
                admitted(joined.into_inner());
                let_in += 1;
            }
            Err(status) => put_off = Some(status),
        }
    }
    let put_off = put_off.expect("sixty times is too often");
    assert_eq!(put_off.code(), Code::Unavailable);
    assert!(put_off.message().contains("too often"), "{put_off}");
    assert!(put_off.metadata().get("retry-after-ms").is_some());
    assert!(let_in >= 20, "a few times they come in again: {let_in}");
    let geneva = Office::new("geneva").expect("a good id");
    assert_eq!(plane.desk().placer.ledger().reserved(&geneva), 2);
    let other = join.join(by(&invited[1].invitation)).await;
    admitted(other.expect("nobody is before them").into_inner());
    assert_eq!(plane.counters.joins_too_often.count(), 60 - let_in);
}

#[tokio::test]
async fn a_ticket_keeps_the_place_of_its_own_holder_alone() {
    let stage = Stage::set_with(|config| {
        config.admission.joins_per_second = 1;
        config.admission.burst = 1;
    })
    .await;
    stage.open_edge("geneva", 100).await;
    let invited = stage.meeting("council", &["CH"; 20]).await;
    let mut join = stage.join().await;
    let of = |id: &str| {
        let is_theirs = |one: &&Invitation| one.delegate.as_ref().is_some_and(|of| of.id == id);
        by(&invited.iter().find(is_theirs).expect("all are").invitation)
    };
    for number in 1..=18 {
        let came = join.join(of(&format!("p-{number}"))).await;
        came.expect("there is room to wait");
    }
    let plane = stage.replica.plane();
    let theirs = Ticket {
        sub: "p-19".into(),
        meeting: "council".into(),
        number: 7,
        arrived_us: (plane.now_ms() - 300_000) * 1_000,
        reserved: false,
        exp: plane.now_s() + 60,
    };
    let signed = plane.rings().invitation.sign(&theirs);
    let ticket = signed.expect("the keys are good");
    let mut ask = async |id: &str| {
        let ask = JoinRequest {
            ticket: ticket.clone(),
            ..of(id)
        };
        let answer = join.join(ask).await.expect("there is room to wait");
        match answer.into_inner().outcome {
            Some(Outcome::Waiting(waiting)) => {
                let ticket = plane.rings().invitation.verify::<Ticket>(&waiting.ticket);
                (waiting.position, ticket.expect("it is of this replica"))
            }
            other => panic!("many wait: {other:?}"),
        }
    };
    let (_, others) = ask("p-20").await;
    assert!(others.arrived_us > theirs.arrived_us && others.number != theirs.number);
    let (position, own) = ask("p-19").await;
    assert_eq!(
        (position, own.arrived_us, own.number),
        (1, theirs.arrived_us, 7)
    );
}

#[tokio::test]
async fn signing_keys_are_derived_anew_when_a_ring_changes_and_for_nothing_else() {
    let stage = Stage::set().await;
    let plane = stage.replica.plane();
    let before = plane.rings();
    stage.meeting("council", &["TH"]).await;
    assert!(!plane.mirror.range(key::AUDIT).is_empty());
    plane.reload_rings();
    assert!(Arc::ptr_eq(&before, &plane.rings()));
    let name = format!("{}media", key::KEYS);
    let ring: Ring = plane.record(&name).expect("it was made");
    let fresh = SigningKey::generate().expect("there is randomness");
    let rotated = ring.rotated(plane.now_s(), 60, fresh);
    let write = Write::Put {
        key: name,
        value: rotated.to_bytes(),
        lease: None,
    };
    let change = Transaction {
        guards: Vec::new(),
        writes: vec![write],
    };
    plane.store.commit(change).await.expect("it is written");
    until("the replica signs with the next key", || {
        plane.rings().media_ring == rotated
    })
    .await;
    let told = || plane.snapshot.borrow().keys.len() == 3;
    until("edges are told of all three keys", told).await;
}
