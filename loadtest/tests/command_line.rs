//! What `meridian-loadtest` says to command lines, as a process: exit codes, words, and readers who have gone.

use std::fs::File;
use std::io::pipe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What it exits with, and all that it says.
fn ends(arguments: &[&str]) -> (Option<i32>, String) {
    let mut tester = Command::new(env!("CARGO_BIN_EXE_meridian-loadtest"));
    let ended = tester.args(arguments).stdin(Stdio::null()).output();
    let ended = ended.expect("it is built");
    let (out, err) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    (ended.status.code(), format!("{out}{err}"))
}

/// Ends with 64 and says this.
fn is_refused(arguments: &[&str], says: &str) {
    let (code, said) = ends(arguments);
    assert_eq!(code, Some(64), "{arguments:?}: {said}");
    assert!(said.contains(says), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn conference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/world-conference.toml")
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_64_and_help_with_0() {
    is_refused(&["rehearse"], "rehearse");
    for command in ["run", "agent", "capacity", "replay", "plan", "compare"] {
        is_refused(&[command, "--nonsense"], "--nonsense");
        assert_eq!(ends(&[command, "--help"]).0, Some(0), "{command}");
    }
    is_refused(&["run"], "SCENARIO");
    is_refused(&["run", "there-is-none.toml"], "there-is-none.toml");
    is_refused(&["capacity", "--source", "there-is-none"], "there-is-none");
    assert_eq!(ends(&["--version"]).0, Some(0));
}

#[test]
fn how_many_delegates_and_over_what_has_a_range_and_a_list() {
    for delegates in ["0", "4294967295"] {
        let flags = ["capacity", "--delegates", delegates];
        is_refused(&flags, "--delegates");
        is_refused(&flags, "1..=10000");
    }
    let listed = "perfect, office, fibre, mobile, slow-link, udp-blocked, stalled";
    is_refused(&["capacity", "--profile", "nope"], listed);
}

#[test]
fn a_plan_for_more_people_than_anybody_plans_for_is_refused() {
    let file = conference();
    let file = file.to_str().expect("a path of letters");
    for people in ["0", "18446744073709551615"] {
        is_refused(&["plan", file, "--scale", people], "1..=1000000000");
    }
    let (code, said) = ends(&["plan", file, "--scale", "1000000000"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("4294967295"), "{said}");
}

#[test]
fn a_reader_who_has_gone_is_no_reason_to_panic() {
    let (reader, gone) = pipe().expect("a pipe");
    drop(reader);
    let full = File::options().write(true).open("/dev/full");
    for nowhere in [Stdio::from(gone), Stdio::from(full.expect("it is there"))] {
        let mut tester = Command::new(env!("CARGO_BIN_EXE_meridian-loadtest"));
        let ended = tester
            .arg("plan")
            .arg(conference())
            .stdout(nowhere)
            .output();
        let ended = ended.expect("it is built");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.as_ref()), (Some(0), ""));
    }
}
