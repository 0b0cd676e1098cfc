//! Meetings, delegates, access: `meridianctl` against a replica.

mod common;

use common::{Stage, finish};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const CREATE: [&str; 11] = [
    "meetings",
    "create",
    "council",
    "--title",
    "Council 2026",
    "--office",
    "geneva",
    "--opens",
    "now",
    "--languages",
    "en,fr",
];

const DELEGATES: &str = "\
name,delegation,category,role,sector,email,country,languages
Keiko Tanaka,Japan,Member State,interpreter,,keiko@example.org,JP,en fr
Amina Otieno,Kenya,Member State,delegate,,amina@example.org,KE,
";

#[tokio::test]
async fn a_meeting_is_made_changed_and_closed() {
    let stage = Stage::set().await;
    let made = stage.json(&CREATE).await;
    assert_eq!(made["id"], "council");
    assert!(
        made["opens_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
    let changed = [
        "meetings",
        "update",
        "council",
        "--closes",
        "2036-12-01T18:00Z",
    ];
    let changed = stage.json(&changed).await;
    assert_eq!(changed["closes_at"], "2036-12-01T18:00:00Z");
    assert_eq!(changed["title"], "Council 2026");
    let list = stage.ok(&["meetings", "list"]).await.out;
    assert!(
        list.contains("council  Council 2026  geneva  open"),
        "{list}"
    );
    let closed = stage.ok(&["meetings", "close", "council"]).await;
    assert!(
        closed.err.contains("meeting council is closed"),
        "{closed:?}"
    );
    assert_eq!(stage.ok(&["meetings", "list"]).await.out, "no meetings\n");
    let all = stage.json(&["meetings", "list", "--all"]).await;
    assert_eq!(all["meetings"][0]["is_closed"], true);
    let audit = stage.ok(&["audit", "--meeting", "council"]).await.out;
    assert!(audit.contains("tester  CloseMeeting"), "{audit}");
}

#[tokio::test]
async fn every_wrong_line_of_an_import_is_told() {
    let stage = Stage::set().await;
    stage.ok(&CREATE).await;
    let wrong = DELEGATES
        .replace(",KE,", ",Kenya,")
        .replace("keiko@", "keiko at ");
    let file = stage.file("wrong.csv", &wrong);
    let run = stage.run(&["delegates", "import", "council", &file]).await;
    assert_eq!(run.code, Some(65), "{run:?}");
    assert!(run.err.contains("line 2, email:"), "{}", run.err);
    assert!(run.err.contains("line 3, country:"), "{}", run.err);
    assert_eq!(run.out, "");
    let none = stage.json(&["delegates", "list", "council"]).await;
    assert_eq!(none["delegates"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn delegates_are_imported_invited_and_revoked() {
    let stage = Stage::set().await;
    stage.ok(&CREATE).await;
    let file = stage.file("delegates.csv", DELEGATES);
    let run = stage.ok(&["delegates", "import", "council", &file]).await;
    assert!(
        run.err
            .contains("2 delegates imported into council, 2 of them new"),
        "{run:?}"
    );
    let links = stage.path("links.csv");
    let to = links.display().to_string();
    let run = stage
        .ok(&["delegates", "invite", "council", "--csv", &to])
        .await;
    assert!(
        run.out.is_empty() && run.err.contains("2 links written"),
        "{run:?}"
    );
    let mode = fs::metadata(&links)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let csv = fs::read_to_string(&links).expect("it is there");
    assert!(
        csv.contains("keiko-tanaka,Keiko Tanaka,keiko@example.org,Japan,interpreter,"),
        "{csv}"
    );
    let revoked = stage
        .json(&["delegates", "revoke", "council", "keiko-tanaka"])
        .await;
    assert_eq!(revoked["delegate"]["is_revoked"], true);
    let list = stage.ok(&["delegates", "list", "council"]).await.out;
    assert!(list.contains("revoked"), "{list}");
    let invite = ["delegates", "invite", "council", "keiko-tanaka"];
    assert_eq!(stage.run(&invite).await.code, Some(1));
    let renewed = stage
        .json(&[&invite[..], &["--renew", "--valid", "7d"]].concat())
        .await;
    assert_eq!(renewed["invitations"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn access_is_issued_denied_and_revoked() {
    let stage = Stage::set().await;
    let issue = [
        "access",
        "issue",
        "--subject",
        "ann@example.org",
        "--offices",
        "bangkok",
    ];
    let token = stage.json(&issue).await["token"].clone();
    let token = token.as_str().expect("it is text");
    let denied = stage
        .run(&[&["--token", token][..], &CREATE].concat())
        .await;
    assert_eq!(denied.code, Some(77), "{denied:?}");
    let own = [
        "meetings", "create", "rcc", "--title", "RCC", "--office", "bangkok",
    ];
    stage.ok(&[&["--token", token][..], &own].concat()).await;
    stage.ok(&["access", "revoke", "ann@example.org"]).await;
    let denied = stage.run(&["--token", token, "meetings", "list"]).await;
    assert!(
        denied.code == Some(77) && denied.err.contains("revoked"),
        "{denied:?}"
    );
    let rotated = stage.json(&["keys", "rotate"]).await;
    assert!(rotated["key"].as_str().is_some_and(|key| !key.is_empty()));
}

#[tokio::test]
async fn what_is_wrong_with_the_connection_is_told_with_advice() {
    let stage = Stage::set().await;
    let nowhere = stage
        .run(&["--server", "https://127.0.0.1:1", "meetings", "list"])
        .await;
    assert_eq!(nowhere.code, Some(69), "{nowhere:?}");
    let ca = stage.path("server.pem").display().to_string();
    let stranger = stage.run(&["--ca", &ca, "meetings", "list"]).await;
    assert!(
        stranger.code == Some(69) && stranger.err.contains("--ca"),
        "{stranger:?}"
    );
    let mut command = stage.command(&["meetings", "list", "--server", &stage.url()]);
    command.env_remove("MERIDIAN_CTL_CONFIG");
    command.env("MERIDIAN_CA", stage.path("ca.pem"));
    let anonymous = finish(command).await;
    assert!(
        anonymous.code == Some(77) && anonymous.err.contains("--token-file"),
        "{anonymous:?}"
    );
    let wrong = stage.run(&["meetings", "create"]).await;
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    // The second server answers where the first does not.
    let several = format!("https://127.0.0.1:1,{}", stage.url());
    stage.ok(&["--server", &several, "meetings", "list"]).await;
}

#[tokio::test]
async fn a_token_that_others_can_read_is_warned_of() {
    let stage = Stage::set().await;
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(stage.path("token"), open).expect("it is ours");
    let run = stage.ok(&["meetings", "list"]).await;
    assert!(run.err.contains("chmod 600"), "{run:?}");
}

#[tokio::test]
async fn nobody_reading_is_no_error() {
    let stage = Stage::set().await;
    let mut command = stage.command(&["completion", "bash"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is built");
    drop(child.stdout.take());
    let ended = child.wait_with_output().await.expect("it ends");
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );
}
