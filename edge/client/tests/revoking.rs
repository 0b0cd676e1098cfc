//! A participant's tokens are revoked, and every edge hears of it from the control plane.

#[path = "common/offices.rs"]
mod offices;
#[path = "common/plane.rs"]
mod plane;
#[path = "common/present.rs"]
mod present;

use meridian_proto::v1::RevokeDelegateRequest;
use meridian_wire::TerminationCode;
use offices::Office;
use plane::Plane;
use present::{Present, end_of, is_open, refuses};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_loses_the_sessions_at_every_edge_and_is_let_in_nowhere_while_others_stay() {
    let plane = Plane::start().await;
    let offices = ["geneva", "bangkok", "new-york"].map(|office| Office::start(&plane, office));
    plane.has_open(offices.len()).await;
    let edges = plane.tells_of(offices.len()).await;
    let invited = plane.meeting("council", &["CH", "TH"]).await;
    let ana = Present::enter(&plane, &invited[0], &edges).await;
    let bo = Present::enter(&plane, &invited[1], &edges).await;
    assert_eq!((ana.lines.len(), bo.lines.len()), (3, 3));
    let mut meetings = plane.meetings().await;
    let revoke = RevokeDelegateRequest {
        meeting: "council".into(),
        delegate: ana.id.clone(),
    };
    for (office, line) in ana.lines.iter().chain(&bo.lines) {
        assert!(is_open(line).await, "{office}");
    }
    let began = Instant::now();
    let revoked = meetings.revoke_delegate(plane.by_operator(revoke)).await;
    revoked.expect("an operator may");
    for (office, line) in &ana.lines {
        let why = end_of(line).await;
        assert_eq!(why.code(), Some(TerminationCode::UNAUTHORIZED), "{office}");
        println!("{office}: closed by {:?} after the call", began.elapsed());
    }
    for edge in &edges {
        assert!(refuses(edge, &ana.token).await, "{}", edge.office);
    }
    for (office, line) in &bo.lines {
        assert!(is_open(line).await, "{office}: who is not meant stays");
    }
}
