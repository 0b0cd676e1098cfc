//! Several replicas over one etcd: any of them answers, one leads, and what happens to the store or to one of them loses
//! nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::etcd::Cluster;
use common::stage::{Beating, PATIENCE, Stage, until};
use meridian_control_core::registry::State;
use meridian_control_plane::config::Config;
use meridian_control_plane::records::{TreeRecord, key};
use meridian_proto::v1::*;
use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Spans that let a test see within seconds what takes minutes otherwise.
fn quick(config: &mut Config) {
    config.timing.lease_ms = 1_500;
    config.timing.report_ms = 200;
    config.timing.grace_ms = 1_000;
    config.timing.replica_ms = 2_000;
    config.timing.reservation_ms = 500;
}

fn by(invitation: &Invitation) -> JoinRequest {
    JoinRequest {
        invitation: invitation.invitation.clone(),
        ..JoinRequest::default()
    }
}

async fn try_join(stage: &Stage, invitation: &Invitation) -> Result<Admission, tonic::Status> {
    let answer = stage.join().await.join(by(invitation)).await?.into_inner();
    match answer.outcome {
        Some(join_response::Outcome::Admitted(admission)) => Ok(admission),
        other => panic!("not admitted: {other:?}"),
    }
}

/// A replica gives places away once its share of them is settled; until then the other does.
async fn joined(stages: [&Stage; 2], invitation: &Invitation) -> Admission {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for stage in stages {
            match try_join(stage, invitation).await {
                Ok(admission) => return admission,
                Err(status) => assert_eq!(status.code(), tonic::Code::Unavailable, "{status}"),
            }
        }
        assert!(Instant::now() < deadline, "no replica gives a place away");
        tokio::time::sleep(PAUSE).await;
    }
}

/// A replica renews a token once its share of the places is settled.
async fn renewed(stage: &Stage, renew: &RenewRequest) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(status) = stage.join().await.renew(renew.clone()).await {
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        assert!(Instant::now() < deadline, "{status}");
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_writes_every_replica_tells_and_another_leads_when_one_stops() {
    let cluster = Cluster::start(3).await;
    let one = Stage::set_over(&cluster, 0, quick).await;
    let two = Stage::set_over(&cluster, 0, quick).await;
    let mut edges: Vec<Beating> = Vec::new();
    for stage in [&one, &two] {
        for office in ["geneva", "bangkok"] {
            edges.push(stage.edge(office, 100).await.beating());
        }
    }
    let [first, second] = [&one, &two].map(|stage| stage.replica.plane().clone());
    let tree = || second.record::<TreeRecord>(key::TREE).unwrap_or_default();
    until("there is a tree", || tree().rows.len() == 2).await;
    let invited = one.meeting("council", &["TH"]).await;
    let revision = first.mirror.revision();
    until("the other has it", || second.mirror.revision() >= revision).await;
    let same = || {
        let snapshots = [&first, &second].map(|plane| plane.snapshot.borrow().clone());
        snapshots[0] == snapshots[1] && snapshots[0].tree.len() == 2
    };
    until("both tell edges the same", same).await;
    let admission = joined([&two, &one], &invited[0]).await;
    assert!(!admission.candidates.is_empty());
    let renew = RenewRequest {
        token: admission.token,
        ..RenewRequest::default()
    };
    // Whoever did not sign it takes it too.
    for stage in [&one, &two] {
        renewed(stage, &renew).await;
    }
    let trees = |stage: &Stage| stage.replica.plane().counters.trees_changed.count();
    let (leader, other) = match trees(&one) > 0 {
        true => (one, two),
        false => (two, one),
    };
    leader.replica.stop().await;
    let _third = other.edge("cairo", 100).await.beating();
    let plane = other.replica.plane().clone();
    let has_third = || {
        plane
            .record::<TreeRecord>(key::TREE)
            .is_some_and(|tree| tree.rows.len() == 3)
    };
    let has_led = || has_third() && trees(&other) > 0;
    until("the other has planned for three", has_led).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_wrong_loses_nothing_and_revokes_for_all() {
    let cluster = Cluster::start(1).await;
    for ahead_s in [-300, 300] {
        let right = Stage::set_over(&cluster, 0, quick).await;
        let wrong = Stage::set_over(&cluster, ahead_s, quick).await;
        let _edges = [
            right.edge("geneva", 100).await.beating(),
            wrong.edge("geneva", 100).await.beating(),
        ];
        let id = format!("skewed-{}", ahead_s + 300);
        let invited = wrong.meeting(&id, &["CH", "FR"]).await;
        let plane = right.replica.plane().clone();
        let revision = wrong.replica.plane().mirror.revision();
        until("the right one has it", || {
            plane.mirror.revision() >= revision
        })
        .await;
        let kept = joined([&right, &wrong], &invited[0]).await;
        let lost = joined([&wrong, &right], &invited[1]).await;
        let revoke = RevokeDelegateRequest {
            meeting: id.clone(),
            delegate: "p-2".into(),
        };
        let request = wrong.by_operator(revoke);
        wrong
            .meetings()
            .await
            .revoke_delegate(request)
            .await
            .unwrap();
        let told = || {
            let snapshot = plane.snapshot.borrow();
            let mut of = snapshot.revocations.iter();
            of.any(|one| {
                one.meeting == id && one.participant == "p-2" && one.until_s > lost.expires_at_s
            })
        };
        until("edges hear of it from the right one", told).await;
        let renew = |token: &str| RenewRequest {
            token: token.into(),
            ..RenewRequest::default()
        };
        for stage in [&right, &wrong] {
            let mut join = stage.join().await;
            join.renew(renew(&kept.token)).await.unwrap();
            assert!(join.renew(renew(&lost.token)).await.is_err());
        }
        right.replica.stop().await;
        wrong.replica.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_away_delegates_join_edges_are_not_gone_and_afterwards_all_goes_on() {
    let mut cluster = Cluster::start(3).await;
    let stage = Stage::set_over(&cluster, 0, quick).await;
    let _geneva = stage.edge("geneva", 100).await.beating();
    let _bangkok = stage.edge("bangkok", 100).await.beating();
    let invited = stage.meeting("council", &["TH"; 100]).await;
    let mut next = invited.iter().cycle();
    let plane = stage.replica.plane().clone();
    for member in 0..3 {
        cluster.kill(member);
    }
    until("it is noticed", || plane.mirror.stale_since().is_some()).await;
    // Longer than any lease.
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(5) {
        let admission = try_join(&stage, next.next().unwrap()).await.unwrap();
        assert!(!admission.candidates.is_empty());
        tokio::time::sleep(PAUSE).await;
    }
    let states = || -> Vec<State> {
        let desk = plane.desk();
        desk.registry.edges().map(|edge| edge.state()).collect()
    };
    assert_eq!(states(), [State::Alive, State::Alive]);
    let create = CreateMeetingRequest {
        meeting: Some(Meeting {
            id: "later".into(),
            title: "Later".into(),
            office: "geneva".into(),
            ..Meeting::default()
        }),
    };
    let mut meetings = stage.meetings().await;
    let away = meetings
        .create_meeting(stage.by_operator(create.clone()))
        .await;
    assert_eq!(away.unwrap_err().code(), tonic::Code::Unavailable);
    for member in 0..3 {
        cluster.restart(member);
    }
    until("it is back", || plane.mirror.stale_since().is_none()).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The members may still be choosing their leader.
        let made = meetings
            .create_meeting(stage.by_operator(create.clone()))
            .await;
        match made.map_err(|status| status.code()) {
            Ok(_) | Err(tonic::Code::AlreadyExists) => break,
            Err(code) => assert_eq!(code, tonic::Code::Unavailable),
        }
        assert!(Instant::now() < deadline, "the store does not come back");
        tokio::time::sleep(PAUSE).await;
    }
    // An edge that comes now is in the tree: a leader leads again.
    let _cairo = stage.edge("cairo", 100).await.beating();
    let rows = || {
        plane
            .record::<TreeRecord>(key::TREE)
            .map(|tree| tree.rows.len())
    };
    until("the leader plans for three", || rows() == Some(3)).await;
}
