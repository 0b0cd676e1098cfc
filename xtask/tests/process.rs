//! Supervision of real processes.
#![allow(clippy::unwrap_used)]

use std::{path::Path, process::Command, time::Duration};

use rustix::process::{Pid, Signal, test_kill_process};
use xtask::up::process::{Event, Supervisor};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn supervisor(test: &str) -> Supervisor {
    Supervisor::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(test)).unwrap()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Says its process id, then waits for as long as its input is open.
const SAY_PID: &str = r#"echo "{\"kind\":\"up\",\"pid\":$$}"; exec cat"#;

fn pid_of(supervisor: &mut Supervisor, name: &str) -> Pid {
    let line = supervisor.wait_for(name, "up", PATIENCE).unwrap();
    Pid::from_raw(line["pid"].as_i64().unwrap() as i32).unwrap()
}

#[test]
fn json_lines_are_heard_with_the_name_of_who_said_them() {
    let mut all = supervisor("process-heard");
    all.start(
        "one",
        &mut shell(r#"echo noise; echo '{"kind":"ready","port":7}'"#),
    )
    .unwrap();
    let line = all.wait_for("one", "ready", PATIENCE).unwrap();
    assert_eq!(line["port"], 7);
    assert_eq!(all.next_event(PATIENCE), Some(Event::Ended("one".into())));
    assert!(all.reap("one").unwrap().success());
}

#[test]
fn what_is_told_reaches_the_process() {
    let mut all = supervisor("process-told");
    all.start("echo", &mut shell("exec cat")).unwrap();
    all.tell("echo", r#"{"kind":"heard"}"#).unwrap();
    all.wait_for("echo", "heard", PATIENCE).unwrap();
}

#[test]
fn a_process_that_ends_too_early_is_reported_with_its_last_words() {
    let mut all = supervisor("process-early");
    all.start("weak", &mut shell("echo the port is taken >&2; exit 1"))
        .unwrap();
    let error = all
        .wait_for("weak", "ready", PATIENCE)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("weak") && error.contains("the port is taken"),
        "{error}"
    );
}

#[test]
fn dropping_the_supervisor_ends_every_process() {
    let mut all = supervisor("process-drop");
    all.start("a", &mut shell(SAY_PID)).unwrap();
    all.start("b", &mut shell(SAY_PID)).unwrap();
    let pids = [pid_of(&mut all, "a"), pid_of(&mut all, "b")];
    drop(all);
    for pid in pids {
        assert!(test_kill_process(pid).is_err(), "{pid:?} is still there");
    }
}

#[test]
fn a_frozen_process_can_be_thawed_and_stopped() {
    let mut all = supervisor("process-frozen");
    all.start("cold", &mut shell(SAY_PID)).unwrap();
    pid_of(&mut all, "cold");
    all.signal("cold", Signal::STOP).unwrap();
    all.tell("cold", r#"{"kind":"thawed"}"#).unwrap();
    all.signal("cold", Signal::CONT).unwrap();
    all.wait_for("cold", "thawed", PATIENCE).unwrap();
    assert!(!all.stop("cold").unwrap().success());
    assert!(all.signal("cold", Signal::TERM).is_err());
}

#[test]
fn names_are_taken_once_and_processor_time_is_counted() {
    let mut all = supervisor("process-names");
    all.start("one", &mut shell(SAY_PID)).unwrap();
    assert!(all.start("one", &mut shell(SAY_PID)).is_err());
    assert!(all.cpu_time("one").unwrap() < PATIENCE);
    assert!(all.cpu_time("two").is_err());
}
