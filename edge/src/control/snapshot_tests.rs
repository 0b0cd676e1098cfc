//! Snapshots good and bad.

use super::*;
use meridian_proto::v1::{
    Drain, DrainTarget, Edge, Failure, Shortcut, Snapshot, TokenKey, TreeRow,
};

fn edge(office: &str) -> Edge {
    Edge {
        office: office.to_owned(),
        neighbour_address: format!("{office}.example:4444"),
        client_address: format!("{office}.example:443"),
        ..Edge::default()
    }
}

fn row(office: &str, parent: &str, backup: &str) -> TreeRow {
    TreeRow {
        office: office.to_owned(),
        parent: parent.to_owned(),
        backup_parent: backup.to_owned(),
    }
}

fn good() -> Snapshot {
    Snapshot {
        version: Some(v1::Version {
            epoch: 5,
            revision: 10,
        }),
        edges: ["bangkok", "geneva", "new-york"].map(edge).to_vec(),
        tree: vec![
            row("bangkok", "geneva", "new-york"),
            row("new-york", "geneva", ""),
        ],
        failures: vec![Failure {
            office: "geneva".to_owned(),
            changed: vec![row("bangkok", "new-york", ""), row("new-york", "", "")],
        }],
        shortcuts: vec![Shortcut {
            office: "bangkok".to_owned(),
            other: "new-york".to_owned(),
        }],
        keys: vec![
            TokenKey {
                id: "old".to_owned(),
                ed25519: vec![1; 32].into(),
                expires_at_s: 100,
            },
            TokenKey {
                id: "new".to_owned(),
                ed25519: vec![2; 32].into(),
                expires_at_s: 0,
            },
        ],
        revocations: vec![v1::Revocation {
            meeting: "council".to_owned(),
            participant: "ana".to_owned(),
            below_generation: 2,
            until_s: 100,
        }],
        drains: vec![Drain {
            office: "bangkok".to_owned(),
            deadline_ms: 60_000,
            targets: vec![DrainTarget {
                office: "new-york".to_owned(),
                places: 7,
            }],
            meetings: Vec::new(),
        }],
    }
}

fn refused(change: impl FnOnce(&mut Snapshot)) -> SnapshotError {
    let mut snapshot = good();
    change(&mut snapshot);
    Checked::try_from(snapshot).expect_err("it is bad")
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn a_good_one_says_to_each_office_what_concerns_it() {
    let checked = Checked::try_from(good()).expect("it is good");
    assert!(checked.tables("bangkok").is_some() && checked.tables("geneva").is_some());
    assert!(checked.tables("lima").is_none());
    let drain = checked.drain("bangkok").expect("it is drained");
    assert_eq!(
        drain.targets.all[0].place.to_string(),
        "new-york.example:443"
    );
    assert_eq!(
        (drain.targets.all[0].weight, drain.within(at(20))),
        (7, Duration::from_secs(40))
    );
    assert_eq!(drain.within(at(61)), Duration::ZERO);
    assert_eq!(checked.drain("geneva"), None);
}

#[test]
fn what_has_run_out_meanwhile_is_left_out() {
    let checked = Checked::try_from(good()).expect("it is good");
    assert_eq!(checked.keys(at(99)).len(), 2);
    assert_eq!(checked.keys(at(100)).len(), 1);
    assert_eq!(checked.revocations(at(99)).len(), 1);
    assert_eq!(checked.revocations(at(100)).len(), 0);
}

#[test]
fn only_a_later_one_follows() {
    let checked = Checked::try_from(good()).expect("it is good");
    let version = |epoch, revision| Some(Version { epoch, revision });
    assert_eq!(checked.follows(None), Ok(true));
    assert_eq!(checked.follows(version(5, 9)), Ok(true));
    assert_eq!(checked.follows(version(4, 999)), Ok(true));
    assert_eq!(checked.follows(version(5, 10)), Ok(false));
    for later in [version(5, 11), version(6, 1)] {
        assert!(matches!(
            checked.follows(later),
            Err(SnapshotError::Older { .. })
        ));
    }
}

#[test]
fn an_edge_without_a_place_in_the_tree_is_not_taken_out_of_the_one_it_has() {
    let mut fresh = good();
    fresh.tree.clear();
    fresh.failures.clear();
    let checked = Checked::try_from(fresh).expect("it is good");
    assert!(checked.tables("bangkok").is_none() && checked.tables("geneva").is_none());
}

#[test]
fn what_contradicts_itself_is_refused_with_the_reason() {
    assert_eq!(refused(|s| s.version = None), SnapshotError::NoVersion);
    let twice = refused(|s| s.edges.push(edge("geneva")));
    assert_eq!(twice.to_string(), "edge \"geneva\" is there twice");
    assert!(matches!(
        refused(|s| s.tree.push(row("bangkok", "geneva", ""))),
        SnapshotError::Twice { .. }
    ));
    assert!(matches!(
        refused(|s| s.failures.push(s.failures[0].clone())),
        SnapshotError::Twice { .. }
    ));
    assert!(matches!(
        refused(|s| s.keys.push(s.keys[0].clone())),
        SnapshotError::Twice { .. }
    ));
    assert!(matches!(
        refused(|s| s.drains.push(s.drains[0].clone())),
        SnapshotError::Twice { .. }
    ));
    let circle = refused(|s| s.tree.push(row("geneva", "bangkok", "")));
    assert!(circle.to_string().contains("circle"), "{circle}");
    let later = refused(|s| s.failures[0].changed[1].parent = "bangkok".to_owned());
    assert!(
        later.to_string().contains("when geneva has failed"),
        "{later}"
    );
    let own = refused(|s| s.tree[1].parent = "new-york".to_owned());
    assert_eq!(
        own,
        SnapshotError::Tree(TablesError::Same("new-york".to_owned()))
    );
    for unknown in [
        refused(|s| s.tree[0].parent = "lima".to_owned()),
        refused(|s| s.failures[0].office = "lima".to_owned()),
        refused(|s| s.shortcuts[0].other = "lima".to_owned()),
    ] {
        assert_eq!(
            unknown,
            SnapshotError::Tree(TablesError::Unknown("lima".to_owned()))
        );
    }
    assert!(matches!(
        refused(|s| s.drains[0].targets[0].office = "lima".to_owned()),
        SnapshotError::NoTarget { .. }
    ));
    assert!(matches!(
        refused(|s| s.drains[0].targets[0].office = "bangkok".to_owned()),
        SnapshotError::NoTarget { .. }
    ));
}

#[test]
fn what_is_malformed_or_absurd_is_refused_with_the_reason() {
    let address = refused(|s| s.edges[0].client_address = "nowhere".to_owned());
    assert!(address.to_string().contains("\"nowhere\""), "{address}");
    assert!(matches!(
        refused(|s| s.edges[0].office = "Bang kok".to_owned()),
        SnapshotError::NoOffice(_)
    ));
    assert!(
        matches!(refused(|s| s.tree[0].office = "x".repeat(1 << 20)), SnapshotError::NoOffice(name) if name.len() == 64)
    );
    assert!(matches!(
        refused(|s| s.edges[0].certificate_sha256 = vec![0; 31].into()),
        SnapshotError::NoHash(_)
    ));
    assert!(matches!(
        refused(|s| s.keys[0].ed25519 = vec![0; 33].into()),
        SnapshotError::NoKey(_)
    ));
    assert!(matches!(
        refused(|s| s.keys[0].id.clear()),
        SnapshotError::NoId(_)
    ));
    assert!(matches!(
        refused(|s| s.revocations[0].participant.clear()),
        SnapshotError::NoId(_)
    ));
    assert!(matches!(
        refused(|s| s.revocations[0].meeting = "m".repeat(MAX_ID + 1)),
        SnapshotError::NoId(_)
    ));
    let many = refused(|s| s.revocations = vec![s.revocations[0].clone(); MAX_REVOCATIONS + 1]);
    assert_eq!(many.to_string(), "it has more than 100000 revocations");
    assert!(matches!(
        refused(|s| s.shortcuts = vec![s.shortcuts[0].clone(); 5_000]),
        SnapshotError::TooMany { .. }
    ));
}
