//! What the load tester asks for over TCP, done to real processes: shells that stand for edges, replicas and paths.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use xtask::{
    loadtest::{door::Door, scenery::Scenery},
    up::{office::Office, process::Supervisor, wide::WideArea},
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says that it is there, as an edge does, and stays for as long as its input is open.
const PROCESS: &str = r#"echo '{"kind":"report"}'; exec cat"#;

/// Says where each path listens, notes every command, and answers it.
const PATHS: &str = r#"#!/bin/sh
while read -r name listen rest; do
    echo "{\"kind\":\"listening\",\"link\":\"$name\",\"listen\":\"$listen\"}"
done < "$2"
while read -r line; do
    echo "$line" >> "$2.told"
    echo '{"kind":"stats"}'
done
"#;

/// A network of shells, and a tester's connection to it.
struct Trial {
    requests: mpsc::Sender<String>,
    answers: mpsc::Receiver<Value>,
    attendant: Option<thread::JoinHandle<()>>,
    folder: PathBuf,
}

impl Trial {
    fn begin(test: &str, processes: &'static [&'static str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        let (asked, requests) = mpsc::channel::<String>();
        let (answered, answers) = mpsc::channel();
        let place = folder.clone();
        let attendant = thread::spawn(move || {
            let mut supervisor = Supervisor::new(&place).unwrap();
            let wide = paths(&mut supervisor, &place);
            for name in processes {
                supervisor
                    .start(name, Command::new("sh").args(["-c", PROCESS]))
                    .unwrap();
            }
            let offices = vec!["geneva".to_owned(), "cairo".to_owned()];
            let mut described = Map::new();
            described.insert("control".to_owned(), json!(["https://127.0.0.1:8443"]));
            let mut scenery = Scenery::new(&mut supervisor, wide, offices, described);
            let door = Door::open().unwrap();
            let address = door.address;
            let tester = thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for line in requests {
                    writeln!(stream, "{line}").unwrap();
                    let line = lines.next().unwrap().unwrap();
                    answered.send(serde_json::from_str(&line).unwrap()).unwrap();
                }
            });
            while !tester.is_finished() {
                door.serve(Duration::from_millis(5), |request| {
                    scenery.carry_out(request)
                });
                assert!(scenery.lost().is_empty());
            }
            tester.join().unwrap();
        });
        Self {
            requests: asked,
            answers,
            attendant: Some(attendant),
            folder,
        }
    }

    fn ask(&self, line: &str) -> Value {
        self.requests.send(line.to_owned()).unwrap();
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    fn done(&self, line: &str) {
        assert_eq!(self.ask(line), json!({"ok": true}), "{line}");
    }

    fn refused(&self, line: &str) -> String {
        let answer = self.ask(line);
        assert_eq!(answer["ok"], false, "{line}");
        answer["error"].as_str().unwrap().to_owned()
    }

    fn pid(&self, name: &str) -> Option<u64> {
        let answer = self.ask(r#"{"do":"processes"}"#);
        let all = answer["processes"].as_array().unwrap();
        let one = all.iter().find(|process| process["name"] == name)?;
        one["pid"].as_u64()
    }

    /// What the paths were told since this was asked last.
    fn told(&self) -> String {
        let file = self.folder.join("paths.txt.told");
        let told = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        told
    }

    fn end(mut self) {
        drop(self.requests);
        self.attendant.take().unwrap().join().unwrap();
    }
}

fn paths(supervisor: &mut Supervisor, folder: &Path) -> WideArea {
    let program = folder.join("paths.sh");
    fs::write(&program, PATHS).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let at = |id: &str, host: u8| {
        let port = |port: u16| format!("127.0.0.{host}:{port}").parse().unwrap();
        Office::at(id, [port(1), port(2)])
    };
    let offices = [at("geneva", 1), at("cairo", 2)];
    let path = |_: &str, _: &str| Ok(Default::default());
    WideArea::start(supervisor, &program, folder, &offices, 1, path).unwrap()
}

/// The letter in the third field of `/proc/<pid>/stat`, once it is this one: signals arrive by themselves.
fn comes_to_be(pid: u64, state: char) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let is = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        if is == Some(state) {
            return true;
        }
        thread::yield_now();
    }
    false
}

fn is_gone(pid: u64) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn the_tester_is_told_what_there_is_and_who_runs() {
    let trial = Trial::begin(
        "stage-describe",
        &["geneva", "cairo", "control-plane-1", "etcd-1"],
    );
    let told = trial.ask(r#"{"do":"describe"}"#);
    assert_eq!(told["control"][0], "https://127.0.0.1:8443");
    let all = told["processes"].as_array().unwrap();
    let roles: Vec<_> = all
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["paths", "edge", "edge", "control-plane", "store"]);
    assert!(trial.refused("nonsense").contains("no request"));
    trial.end();
}

#[test]
fn a_killed_edge_stays_away_until_it_is_started_again() {
    let trial = Trial::begin("stage-kill", &["geneva", "cairo"]);
    let first = trial.pid("cairo").unwrap();
    trial.done(r#"{"do":"edge-kill","office":"cairo"}"#);
    assert!(is_gone(first));
    assert_eq!(trial.pid("cairo"), None);
    for again in ["edge-kill", "edge-freeze", "edge-thaw"] {
        let line = format!(r#"{{"do":"{again}","office":"cairo"}}"#);
        assert!(trial.refused(&line).contains("does not run"));
    }
    trial.done(r#"{"do":"edge-restart","office":"cairo"}"#);
    let second = trial.pid("cairo").unwrap();
    assert_ne!(first, second);
    trial.done(r#"{"do":"edge-restart","office":"cairo"}"#);
    assert!(is_gone(second));
    let said = trial.refused(r#"{"do":"edge-kill","office":"atlantis"}"#);
    assert!(
        said.contains("atlantis") && said.contains("cairo"),
        "{said}"
    );
    trial.end();
}

#[test]
fn frozen_processes_stand_still_until_they_are_thawed_or_started_again() {
    let trial = Trial::begin(
        "stage-freeze",
        &["geneva", "cairo", "control-plane-1", "control-plane-2"],
    );
    let replicas = ["control-plane-1", "control-plane-2"].map(|name| trial.pid(name).unwrap());
    trial.done(r#"{"do":"control-freeze"}"#);
    assert!(replicas.iter().all(|pid| comes_to_be(*pid, 'T')));
    trial.done(r#"{"do":"control-thaw"}"#);
    assert!(replicas.iter().all(|pid| comes_to_be(*pid, 'S')));
    let edge = trial.pid("geneva").unwrap();
    trial.done(r#"{"do":"edge-freeze","office":"geneva"}"#);
    assert!(comes_to_be(edge, 'T'));
    trial.done(r#"{"do":"edge-restart","office":"geneva"}"#);
    assert!(is_gone(edge));
    trial.done(r#"{"do":"control-kill"}"#);
    assert!(replicas.iter().all(|pid| is_gone(*pid)));
    trial.done(r#"{"do":"control-restart"}"#);
    assert!(trial.pid("control-plane-2").is_some());
    assert!(
        trial
            .refused(r#"{"do":"store-freeze"}"#)
            .contains("no etcd")
    );
    trial.end();
}

#[test]
fn a_path_is_whole_again_only_when_nothing_cuts_it_any_more() {
    let trial = Trial::begin("stage-cut", &["geneva", "cairo"]);
    trial.done(r#"{"do":"edge-cut","office":"cairo"}"#);
    assert_eq!(trial.told(), "cairo>* blackhole on\n*>cairo blackhole on\n");
    trial.done(r#"{"do":"wan-cut","office":"cairo"}"#);
    trial.done(r#"{"do":"wan-cut","office":"geneva"}"#);
    trial.told();
    trial.done(r#"{"do":"edge-heal","office":"cairo"}"#);
    assert!(!trial.told().contains("off"));
    trial.done(r#"{"do":"wan-heal","office":"cairo"}"#);
    let told = trial.told();
    assert!(
        told.starts_with("cairo>* blackhole off\n*>cairo blackhole off\n"),
        "{told}"
    );
    assert!(
        told.ends_with("geneva>* blackhole on\n*>geneva blackhole on\n"),
        "{told}"
    );
    let said = trial.refused(r#"{"do":"wan-heal","office":"cairo"}"#);
    assert!(said.contains("not cut"), "{said}");
    trial.end();
}
