//! Whoever may not is refused: with a clear error, counted, and without a glimpse of what is another's.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::stage::{Authority, Stage, refused, with_token};
use meridian_control_plane::tokens::{Access, Invitation, Media};
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use meridian_proto::v1::*;
use tonic::Code;
use tonic::transport::Channel;

fn meeting_of(office: &str, id: &str) -> CreateMeetingRequest {
    CreateMeetingRequest {
        meeting: Some(Meeting {
            id: id.into(),
            title: "A meeting".into(),
            office: office.into(),
            ..Meeting::default()
        }),
    }
}

#[tokio::test]
async fn an_organiser_runs_the_meetings_of_the_own_office_without_anybody_elsewhere_and_no_others()
{
    let stage = Stage::set().await;
    stage.edge("bangkok", 10).await;
    let mut meetings = stage.meetings().await;
    let (own, other) = (stage.access(&["bangkok"]), stage.access(&["cairo"]));
    let made = meetings
        .create_meeting(with_token(meeting_of("bangkok", "forum"), &own))
        .await;
    let made = made.unwrap().into_inner().meeting.unwrap();
    let (code, why) = refused(
        meetings
            .create_meeting(with_token(meeting_of("cairo", "theirs"), &own))
            .await,
    );
    assert!(
        code == Code::PermissionDenied && why.contains("cairo"),
        "{why}"
    );
    let close = CloseMeetingRequest { id: "forum".into() };
    let get = GetMeetingRequest { id: "forum".into() };
    let list = ListDelegatesRequest {
        meeting: "forum".into(),
    };
    let roster = GetRosterRequest {
        meeting: "forum".into(),
    };
    let update = UpdateMeetingRequest {
        meeting: Some(made),
    };
    assert_eq!(
        refused(
            meetings
                .close_meeting(with_token(close.clone(), &other))
                .await
        )
        .0,
        Code::PermissionDenied
    );
    assert_eq!(
        refused(meetings.get_meeting(with_token(get, &other)).await).0,
        Code::PermissionDenied
    );
    assert_eq!(
        refused(meetings.list_delegates(with_token(list, &other)).await).0,
        Code::PermissionDenied
    );
    assert_eq!(
        refused(meetings.get_roster(with_token(roster, &other)).await).0,
        Code::PermissionDenied
    );
    assert_eq!(
        refused(meetings.update_meeting(with_token(update, &other)).await).0,
        Code::PermissionDenied
    );
    let seen = meetings
        .list_meetings(with_token(ListMeetingsRequest::default(), &other))
        .await;
    assert!(seen.unwrap().into_inner().meetings.is_empty());
    meetings
        .close_meeting(with_token(close, &own))
        .await
        .unwrap();
    let mut ops = stage.ops().await;
    let log = ops
        .list_audit(stage.by_operator(ListAuditRequest::default()))
        .await;
    let log = log.unwrap().into_inner().entries;
    let done: Vec<_> = log
        .iter()
        .map(|entry| (entry.what.as_str(), entry.target.as_str()))
        .collect();
    assert_eq!(
        done,
        [("CloseMeeting", "forum"), ("CreateMeeting", "forum")]
    );
    assert!(
        log.iter()
            .all(|entry| entry.who == "tester" && entry.at_ms > 0)
    );
    let denied = ops.drain_edge(with_token(
        DrainEdgeRequest {
            office: "bangkok".into(),
            ..DrainEdgeRequest::default()
        },
        &own,
    ));
    assert_eq!(refused(denied.await).0, Code::PermissionDenied);
    assert_eq!(stage.replica.plane().counters.people_denied.count(), 7);
}

#[tokio::test]
async fn a_meeting_of_an_office_that_nobody_knows_is_refused_with_those_there_are() {
    let stage = Stage::set().await;
    let mut meetings = stage.meetings().await;
    let create = stage.by_operator(meeting_of("atlantis", "lost"));
    let (code, why) = refused(meetings.create_meeting(create).await);
    assert_eq!(code, Code::InvalidArgument, "{why}");
    assert!(
        why.contains("no office `atlantis`") && why.contains("bangkok, "),
        "{why}"
    );
    stage.meeting("council", &["CH"]).await;
    let mut ops = stage.ops().await;
    let why = WhyRequest {
        meeting: "council".into(),
        delegate: "nobody".into(),
        ..WhyRequest::default()
    };
    let (code, why) = refused(ops.why(stage.by_operator(why)).await);
    assert_eq!(
        (code, why.as_str()),
        (Code::NotFound, "`nobody` is no delegate of council")
    );
}

#[tokio::test]
async fn an_access_token_that_is_missing_forged_expired_revoked_or_of_another_kind_is_refused() {
    let stage = Stage::set().await;
    let mut ops = stage.ops().await;
    let plane = stage.replica.plane().clone();
    let mut try_with = async |token: Option<String>| {
        let ask = ListEdgesRequest {};
        let request = match token {
            Some(token) => with_token(ask, &token),
            None => tonic::Request::new(ask),
        };
        refused(ops.list_edges(request).await)
    };
    let access = |exp: u64, generation: u64| Access {
        sub: "ann".into(),
        operator: true,
        offices: Vec::new(),
        generation,
        exp,
    };
    let signed = |access: &Access| plane.rings().access.sign(access).unwrap();
    let media = plane.rings().media.sign(&access(4_000_000_000, 0)).unwrap();
    for (token, said) in [
        (None, "needed"),
        (Some("nonsense".into()), "not one of"),
        (
            Some(format!("{}x", signed(&access(4_000_000_000, 0)))),
            "not one of",
        ),
        (Some(signed(&access(1_000, 0))), "expired"),
        (Some(media), "not one of"),
    ] {
        let (code, why) = try_with(token).await;
        assert!(code == Code::Unauthenticated && why.contains(said), "{why}");
    }
    let revoke = RevokeAccessRequest {
        subject: "ann".into(),
    };
    let mut operator = stage.ops().await;
    operator
        .revoke_access(stage.by_operator(revoke))
        .await
        .unwrap();
    let (code, why) = try_with(Some(signed(&access(4_000_000_000, 0)))).await;
    assert!(
        code == Code::Unauthenticated && why.contains("revoked"),
        "{why}"
    );
    assert_eq!(plane.counters.people_refused.count(), 6);
    let issue = IssueAccessRequest {
        subject: "ann".into(),
        is_operator: true,
        ..IssueAccessRequest::default()
    };
    let fresh = operator
        .issue_access(stage.by_operator(issue))
        .await
        .unwrap()
        .into_inner();
    operator
        .list_edges(with_token(ListEdgesRequest {}, &fresh.token))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_invitation_or_token_that_has_expired_or_is_of_a_closed_meeting_is_refused() {
    let stage = Stage::set().await;
    stage.edge("geneva", 10).await;
    let invited = stage.meeting("council", &["CH"]).await;
    let plane = stage.replica.plane().clone();
    let mut join = stage.join().await;
    let by = |invitation: String| JoinRequest {
        invitation,
        ..JoinRequest::default()
    };
    let old = plane.rings().invitation.sign(&Invitation {
        sub: "p-1".into(),
        meeting: "council".into(),
        generation: 1,
        exp: 1_000,
    });
    let (code, why) = refused(join.join(by(old.unwrap())).await);
    assert!(
        code == Code::Unauthenticated && why.contains("expired"),
        "{why}"
    );
    let renew = |token: String| RenewRequest {
        token,
        ..RenewRequest::default()
    };
    let admission = join
        .join(by(invited[0].invitation.clone()))
        .await
        .unwrap()
        .into_inner();
    let Some(join_response::Outcome::Admitted(admission)) = admission.outcome else {
        panic!("not admitted");
    };
    join.renew(renew(admission.token.clone())).await.unwrap();
    let (code, why) = refused(join.renew(renew(format!("{}x", admission.token))).await);
    assert!(
        code == Code::Unauthenticated && why.contains("no token"),
        "{why}"
    );
    let mut meetings = stage.meetings().await;
    let close = CloseMeetingRequest {
        id: "council".into(),
    };
    meetings
        .close_meeting(stage.by_operator(close))
        .await
        .unwrap();
    let (code, why) = refused(join.renew(renew(admission.token)).await);
    assert!(
        code == Code::FailedPrecondition && why.contains("closed"),
        "{why}"
    );
    let (code, why) = refused(join.join(by(invited[0].invitation.clone())).await);
    assert!(
        code == Code::FailedPrecondition && why.contains("closed"),
        "{why}"
    );
    assert_eq!(plane.counters.invitations_expired.count(), 1);
    assert_eq!(plane.counters.renewals_refused.count(), 1);
}

#[tokio::test]
async fn a_media_token_from_before_a_revocation_or_a_new_link_is_not_renewed_and_edges_refuse_it_while_it_lives()
 {
    let stage = Stage::set().await;
    stage.open_edge("geneva", 10).await;
    let invited = stage.meeting("council", &["CH", "FR"]).await;
    let plane = stage.replica.plane().clone();
    let mut join = stage.join().await;
    let mut tokens = Vec::new();
    for invitation in &invited {
        let ask = JoinRequest {
            invitation: invitation.invitation.clone(),
            ..JoinRequest::default()
        };
        let answer = join.join(ask).await.unwrap().into_inner();
        let Some(join_response::Outcome::Admitted(admission)) = answer.outcome else {
            panic!("not admitted");
        };
        tokens.push(admission.token);
    }
    let mut meetings = stage.meetings().await;
    let revoke = RevokeDelegateRequest {
        meeting: "council".into(),
        delegate: "p-1".into(),
    };
    meetings
        .revoke_delegate(stage.by_operator(revoke))
        .await
        .unwrap();
    let renewed = InviteDelegatesRequest {
        meeting: "council".into(),
        delegates: vec!["p-2".into()],
        renew: true,
        ..InviteDelegatesRequest::default()
    };
    meetings
        .invite_delegates(stage.by_operator(renewed))
        .await
        .unwrap();
    for (token, said) in tokens.iter().zip(["taken away", "newer link"]) {
        let renew = RenewRequest {
            token: token.clone(),
            ..RenewRequest::default()
        };
        let arrive = ArriveRequest {
            token: token.clone(),
            ..ArriveRequest::default()
        };
        for (code, why) in [
            refused(join.renew(renew).await),
            refused(join.arrive(arrive).await),
        ] {
            assert!(code == Code::Unauthenticated && why.contains(said), "{why}");
        }
    }
    let snapshot = plane.snapshot.clone();
    common::stage::until("edges are told of both", || {
        snapshot.borrow().revocations.len() == 2
    })
    .await;
    let media = |token: &String| plane.rings().media.verify::<Media>(token).unwrap();
    for token in tokens.iter().map(media) {
        let snapshot = snapshot.borrow();
        let revocation = snapshot
            .revocations
            .iter()
            .find(|revocation| revocation.participant == token.sub)
            .unwrap();
        assert!(
            revocation.until_s > token.exp && revocation.below_generation > token.generation,
            "{revocation:?} outlives {token:?}"
        );
    }
}

#[tokio::test]
async fn a_media_token_names_its_own_meeting_and_participant_and_nothing_else() {
    let stage = Stage::set().await;
    stage.edge("geneva", 10).await;
    let invited = stage.meeting("council", &["CH"]).await;
    let mut join = stage.join().await;
    let ask = JoinRequest {
        invitation: invited[0].invitation.clone(),
        ..JoinRequest::default()
    };
    let admission = join.join(ask).await.unwrap().into_inner();
    let Some(join_response::Outcome::Admitted(admission)) = admission.outcome else {
        panic!("not admitted");
    };
    let media: Media = stage
        .replica
        .plane()
        .rings()
        .media
        .verify(&admission.token)
        .unwrap();
    assert_eq!(media.publish, [["meridian", "council", "p", "p-1"]]);
    assert_eq!(media.subscribe, [["meridian", "council"]]);
    assert_eq!(
        (media.sub.as_str(), media.meeting.as_str(), media.sessions),
        ("p-1", "council", 2)
    );
    assert!(media.exp > media.iat);
}

#[tokio::test]
async fn an_edge_without_its_own_certificate_is_refused() {
    let stage = Stage::set().await;
    let register = |office: &str| RegisterRequest {
        edge: Some(Edge {
            office: office.into(),
            neighbour_address: "127.0.0.1:4444".into(),
            client_address: "127.0.0.1:4443".into(),
            ..Edge::default()
        }),
        instance: "x".into(),
        started_at_ms: 1,
        capacity: None,
        software: String::new(),
    };
    let mut bare: EdgeServiceClient<Channel> = EdgeServiceClient::new(stage.channel(None).await);
    let (code, why) = refused(bare.register(register("cairo")).await);
    assert!(
        code == Code::Unauthenticated && why.contains("certificate"),
        "{why}"
    );
    assert_eq!(
        refused(bare.get_snapshot(GetSnapshotRequest {}).await).0,
        Code::Unauthenticated
    );
    let identity = stage.authority.identity("dakar");
    let mut dakar = EdgeServiceClient::new(stage.channel(Some(identity)).await);
    let (code, why) = refused(dakar.register(register("cairo")).await);
    assert!(
        code == Code::PermissionDenied && why.contains("cairo"),
        "{why}"
    );
    assert!(dakar.register(register("dakar")).await.is_ok());
    assert_eq!(stage.replica.plane().counters.edges_refused.count(), 3);
}

#[tokio::test]
async fn an_edge_with_a_certificate_of_another_authority_is_told_so_by_tls_and_counted() {
    let stage = Stage::set().await;
    for round in 1..=20 {
        let foreign = Authority::new().identity("cairo");
        let error: Box<dyn std::error::Error> = match stage.try_channel(Some(foreign)).await {
            Err(error) => error.into(),
            // TLS 1.3 clients are done before the server has looked at their certificates.
            Ok(channel) => {
                let mut client = EdgeServiceClient::new(channel);
                let snapshot = client.get_snapshot(GetSnapshotRequest {}).await;
                snapshot.expect_err("it is refused").into()
            }
        };
        let causes = std::iter::successors(Some(error.as_ref()), |error| error.source());
        let said: Vec<String> = causes.map(ToString::to_string).collect();
        assert!(
            said.iter().any(|text| text.contains("fatal alert")),
            "in round {round}: {said:?}"
        );
        let counters = &stage.replica.plane().counters;
        common::stage::until("it is counted", || counters.edges_refused.count() == round).await;
    }
    assert_eq!(stage.replica.plane().counters.connections_failed.count(), 0);
}

#[tokio::test]
async fn a_replica_that_stops_ends_streams_at_once_so_that_edges_and_people_ask_another() {
    let stage = Stage::set().await;
    let mut geneva = stage.open_edge("geneva", 10).await;
    let mut meetings = stage.ops().await;
    let watch = stage.by_operator(WatchEdgesRequest {});
    let mut watched = meetings.watch_edges(watch).await.unwrap().into_inner();
    watched.message().await.unwrap().expect("they are told");
    let mut snapshots = geneva
        .client
        .watch_snapshot(WatchSnapshotRequest::default())
        .await
        .unwrap()
        .into_inner();
    snapshots.message().await.unwrap().expect("there is one");
    let Stage {
        replica, folder, ..
    } = stage;
    let begun = std::time::Instant::now();
    let stopping = tokio::spawn(replica.stop());
    let ended = geneva.order().await.expect_err("it stops");
    let unwatched = async {
        loop {
            match watched.message().await {
                Ok(Some(_)) => {}
                other => break other.expect_err("it stops"),
            }
        }
    };
    let unfollowed = async {
        loop {
            match snapshots.message().await {
                Ok(Some(_)) => {}
                other => break other.expect_err("it stops"),
            }
        }
    };
    for status in [ended, unwatched.await, unfollowed.await] {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains("another"), "{status}");
    }
    stopping.await.unwrap();
    let took = begun.elapsed();
    assert!(
        took < std::time::Duration::from_secs(3),
        "nothing had to be cut off, but it took {took:?}"
    );
    drop(folder);
}

#[tokio::test]
async fn sessions_beyond_the_limit_are_ended_at_whichever_edge_the_oldest_is() {
    let stage = Stage::set().await;
    let mut geneva = stage.edge("geneva", 10).await;
    let mut bangkok = stage.edge("bangkok", 10).await;
    let session = |number: u64, sid: &str, issued_at_s: u64| Session {
        number,
        meeting: "council".into(),
        participant: "p-1".into(),
        session: sid.into(),
        issued_at_s,
        opened_at_us: issued_at_s * 1_000_000,
        limit: 1,
        transport: "quic".into(),
    };
    let opened = ReportRequest {
        opened: vec![session(7, "cp-1.a", 100)],
        ..geneva.said()
    };
    geneva.report(opened).await;
    let plane = stage.replica.plane().clone();
    common::stage::until("the first is known", || plane.desk().presence.len() == 1).await;
    let opened = ReportRequest {
        opened: vec![session(9, "cp-1.b", 200)],
        ..bangkok.said()
    };
    bangkok.report(opened).await;
    let order = geneva.order().await.unwrap().expect("an order");
    assert_eq!(order.ends.len(), 1);
    assert_eq!(
        (order.ends[0].number, order.ends[0].reason()),
        (7, EndReason::Displaced)
    );
    let closed = ReportRequest {
        closed: vec![7],
        ..geneva.said()
    };
    geneva.report(closed).await;
    common::stage::until("one is left", || plane.desk().presence.len() == 1).await;
    let closed = ReportRequest {
        closed: vec![9],
        ..bangkok.said()
    };
    bangkok.report(closed).await;
    common::stage::until("nobody is left", || plane.desk().presence.is_empty()).await;
    assert_eq!(plane.counters.sessions_displaced.count(), 1);
}
