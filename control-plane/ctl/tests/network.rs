//! Edges, the tree, who is where and why: `meridianctl` against a replica with edges.

mod common;

use common::{Outlet, Stage};
use serde_json::Value;

/// Three offices whose edges are joined.
async fn network(stage: &Stage) -> Vec<Outlet> {
    let mut edges = Vec::new();
    for (office, rtts) in [
        ("geneva", [("bangkok", 158), ("cairo", 48)]),
        ("bangkok", [("geneva", 158), ("cairo", 131)]),
        ("cairo", [("geneva", 48), ("bangkok", 131)]),
    ] {
        edges.push(stage.edge(office, &rtts).await);
    }
    // Watching is how a person would wait for it too.
    let mut watch = stage.watch(&["topology", "show", "--watch", "-o", "json"]);
    let has_all = |line: &str| {
        let json: Value = serde_json::from_str(line).expect("a JSON value on each line");
        json["topology"]["tree"]
            .as_array()
            .is_some_and(|rows| rows.len() >= 2)
    };
    watch.until(has_all).await;
    edges
}

async fn meeting(stage: &Stage) {
    let create = [
        "meetings", "create", "council", "--title", "Council", "--office", "geneva",
    ];
    stage.ok(&create).await;
    let csv = "name,delegation,category,role,sector,email,country\n\
               Amina Otieno,Kenya,Member State,delegate,,amina@example.org,KE\n";
    let file = stage.file("delegates.csv", csv);
    stage.ok(&["delegates", "import", "council", &file]).await;
}

#[tokio::test]
async fn a_frozen_server_is_left_for_the_next_one_within_the_time_given() {
    let stage = Stage::set().await;
    // The kernel takes its connections; nobody ever answers on them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let frozen = format!("https://{}", listener.local_addr().expect("it is bound"));
    let both = format!("{frozen},{}", stage.url());
    let one = ["edges", "list", "--timeout", "1s", "--server", &frozen];
    let alone = stage.run(&one).await;
    assert_eq!(alone.code, Some(69), "{alone:?}");
    assert!(alone.err.contains("no answer within 1 s"), "{alone:?}");
    let two = ["edges", "list", "--timeout", "5s", "--server", &both];
    let next = stage.ok(&two).await;
    assert!(next.err.contains(&frozen), "{next:?}");
}

#[tokio::test]
async fn the_tree_is_drawn_from_what_edges_report() {
    let stage = Stage::set().await;
    let edges = network(&stage).await;
    edges[1].has_parent("geneva", 159).await;
    let tree = stage.ok(&["topology", "show"]).await.out;
    assert!(
        tree.lines()
            .nth(1)
            .is_some_and(|line| line.starts_with("geneva ")),
        "{tree}"
    );
    assert!(
        tree.contains("─ bangkok") && tree.contains("─ cairo"),
        "{tree}"
    );
    assert!(tree.contains(" ms "), "{tree}");
    let after = stage
        .ok(&["topology", "show", "--failure", "geneva"])
        .await
        .out;
    assert!(after.starts_with("When geneva has failed:"), "{after}");
    assert!(!after.contains("─ geneva"), "{after}");
    let unknown = stage
        .run(&["topology", "show", "--failure", "atlantis"])
        .await;
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
}

#[tokio::test]
async fn an_edge_is_emptied_and_taken_back() {
    let stage = Stage::set().await;
    let _edges = network(&stage).await;
    let list = stage.ok(&["edges", "list"]).await.out;
    assert!(list.contains("bangkok  alive"), "{list}");
    let mut watch = stage.watch(&["edges", "list", "--watch"]);
    watch.until(|line| line.contains("bangkok  alive")).await;
    let drain = [
        "edges",
        "drain",
        "bangkok",
        "--within",
        "2m",
        "--reason",
        "a new kernel",
    ];
    let drained = stage.ok(&drain).await.out;
    assert!(drained.contains("its clients go to\n  "), "{drained}");
    let is_emptied = |line: &str| line.contains("bangkok  ") && line.contains("emptied until");
    watch.until(is_emptied).await;
    let list = stage.ok(&["edges", "list"]).await.out;
    assert!(list.contains("bangkok is being emptied until"), "{list}");
    stage.ok(&["edges", "undrain", "bangkok"]).await;
    watch.until(|line| line.contains("bangkok  alive")).await;
    let audit = stage.json(&["audit", "--limit", "2"]).await;
    assert_eq!(audit["entries"][1]["what"], "DrainEdge");
    let alive = stage.run(&["edges", "remove", "bangkok"]).await;
    assert_eq!(alive.code, Some(1), "{alive:?}");
}

#[tokio::test]
async fn who_comes_is_seen_and_why_they_are_there() {
    let stage = Stage::set().await;
    let edges = network(&stage).await;
    meeting(&stage).await;
    let mut watch = stage.watch(&["roster", "council", "--watch"]);
    let why = stage
        .ok(&["why", "council", "amina-otieno", "--country", "ke"])
        .await
        .out;
    assert!(why.contains("Not there now."), "{why}");
    assert!(
        why.contains("Every edge\n  EDGE") && why.contains("\n  cairo "),
        "{why}"
    );
    edges[2].opens("council", "amina-otieno").await;
    watch
        .until(|line| line.contains("+ amina-otieno at cairo"))
        .await;
    let why = stage.json(&["why", "council", "amina-otieno"]).await;
    assert_eq!(why["offices"][0], "cairo");
    assert_eq!(why["sessions"][0]["opened_at"], "2026-12-01T12:00:00Z");
    assert_eq!(why["sessions"][0]["transport"], "quic");
    let show = stage.ok(&["meetings", "show", "council"]).await.out;
    assert!(show.contains("1 imported, 1 there now"), "{show}");
    assert!(show.contains("amina-otieno  Amina Otieno  Kenya"), "{show}");
    let roster = stage.ok(&["roster", "council"]).await.out;
    assert!(roster.ends_with("1 person is there\n"), "{roster}");
}

#[tokio::test]
async fn status_tells_of_every_server() {
    let stage = Stage::set().await;
    let _edges = network(&stage).await;
    let status = stage.ok(&["status"]).await.out;
    assert!(
        status.contains("ready") && status.contains("3 edges: 3 alive"),
        "{status}"
    );
    let servers = format!("{},https://127.0.0.1:1", stage.url());
    let status = stage
        .run(&["--server", &servers, "status", "-o", "json"])
        .await;
    assert_eq!(status.code, Some(69), "{status:?}");
    assert_eq!(status.json()["servers"][0]["health"], "ready");
    assert_eq!(status.json()["servers"][1]["health"], "away");
}
