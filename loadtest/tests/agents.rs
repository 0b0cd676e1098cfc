//! Rehearsals that agents play: processes of their own, joined to a coordinator here.

#[path = "common/network.rs"]
mod network;
#[path = "../../edge/client/tests/common/offices.rs"]
mod offices;
#[path = "../../edge/client/tests/common/plane.rs"]
mod plane;

use meridian_loadtest::agents::{Assembly, Lobby, Terms, VERSION};
use meridian_loadtest::outcome::{Count, Outcome};
use meridian_loadtest::rehearsal::{EdgeAt, Players, Stage};
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_request::Said;
use meridian_proto::loadtest::attend_response::Said as Heard;
use meridian_proto::loadtest::coordinator_service_client::CoordinatorServiceClient;
use network::{Network, play_by};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status};

const TWENTY: &str = r#"
    name = "twenty"
    title = "Twenty people, of whom six only look in"
    length = "7s"
    [floor]
    speakers = 2
    turn = "3s"
    [booths]
    languages = ["fr"]
    [[crowd]]
    name = "hall"
    count = 14
    arrive = { kind = "ramp", over = "1s" }
    listen = { floor = 1, fr = 1 }
    switch_every = "3s"
    transport = { quic = 2, webtransport = 1, websocket = 1 }
    profile = { fibre = 1, office = 1 }
    [[crowd]]
    name = "passers-by"
    count = 6
    arrive = { kind = "poisson", over = "2s" }
    leave = "after-first-audio"
"#;

/// A coordinator, and the token it wants to see.
struct Coordinator {
    folder: TempDir,
    lobby: Lobby,
}

impl Coordinator {
    async fn open(agents: u32) -> Coordinator {
        Coordinator::open_as(agents, None).await
    }

    async fn open_as(agents: u32, identity: Option<(Vec<u8>, Vec<u8>)>) -> Coordinator {
        Coordinator::open_for(agents, identity, PATIENCE).await
    }

    /// It waits so long until all are there, and then until all are ready.
    async fn open_for(
        agents: u32,
        identity: Option<(Vec<u8>, Vec<u8>)>,
        wait: Duration,
    ) -> Coordinator {
        meridian_session::tls::install_default();
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("token"), "secret\n").expect("the folder is ours");
        let terms = Terms {
            agents,
            listen: "127.0.0.1:0".parse().expect("an address"),
            identity,
            token: "secret".to_owned(),
            wait,
        };
        let lobby = Lobby::open(terms).await.expect("a free port");
        Coordinator { folder, lobby }
    }

    fn agent(&self, name: &str) -> Child {
        let url = format!("http://{}", self.lobby.address());
        agent(&url, name, &self.token_file())
            .spawn()
            .expect("it starts")
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Once all are there.
    async fn gather(self) -> Assembly {
        let (_end, over) = watch::channel(false);
        let gathered = self.lobby.gather(|_| (), over).await;
        gathered.expect("they come")
    }
}

fn agent(coordinator: &str, name: &str, token_file: &Path) -> Command {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_meridian-loadtest"));
    agent
        .arg("agent")
        .args(["--coordinator", coordinator])
        .arg("--token-file")
        .arg(token_file)
        .args(["--name", name, "--threads", "1"])
        .env("MERIDIAN_LOADTEST_WAIT", "30s")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    agent
}

/// What it exits with, and its last words.
async fn ended(agent: Child) -> (Option<i32>, String) {
    let ended = timeout(PATIENCE, agent.wait_with_output()).await;
    let ended = ended.expect("it ends").expect("it ran");
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), words)
}

/// How many of each kind of people there were, which does not depend on how quick anything was.
fn people(outcome: &Outcome) -> BTreeMap<String, [u64; 3]> {
    let groups = outcome.by(|key| format!("{} {} {}", key.transport, key.profile, key.language));
    let counts = [Count::Came, Count::Joined, Count::Failed];
    let counted = groups
        .into_iter()
        .map(|(of, figures)| (of, counts.map(|count| figures.counted(count))));
    counted.filter(|(_, counts)| counts[0] > 0).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_play_everybody_once_and_find_what_one_tester_finds() {
    let network = Network::raise(&["geneva", "cairo"]).await;
    let coordinator = Coordinator::open(2).await;
    let agents = ["b", "a"].map(|name| coordinator.agent(name));
    let players = Players::Agents(coordinator.gather().await);
    let (_end, over) = watch::channel(false);
    let target = network.target();
    let played = play_by(players, TWENTY, &target, |_| (), over).await;
    let outcome = played.expect("it can be played");
    for agent in agents {
        assert_eq!(ended(agent).await, (Some(0), String::new()));
    }
    let alone = network.play(TWENTY).await;
    assert_eq!(people(&outcome), people(&alone));
    assert_eq!(outcome.counted(Count::Came), 20);
    assert_eq!(outcome.counted(Count::Joined), 20, "{:?}", outcome.failures);
    for outcome in [&outcome, &alone] {
        let left: u64 = outcome.ticks.iter().map(|tick| tick.left).sum();
        let came: u64 = outcome.ticks.iter().map(|tick| tick.came).sum();
        assert_eq!((left, came, outcome.planned), (20, 20, 20));
        for fault in [Count::Lost, Count::Duplicated, Count::Altered] {
            assert_eq!(outcome.counted(fault), 0, "{fault:?}");
        }
        assert_eq!(outcome.ghosts, Some(0));
    }
    // Each agent is a tester of its own, with half of the people and a machine.
    let testers = outcome.testers.iter();
    let testers: Vec<_> = testers
        .map(|one| (one.name.as_str(), one.delegates))
        .collect();
    assert_eq!(testers, [("a", 10), ("b", 10)]);
    let machines: Vec<_> = outcome.machines.iter().map(|one| &one.name[..]).collect();
    assert_eq!(machines, ["coordinator", "a", "b"]);
    for tester in &outcome.testers {
        assert!(tester.behind.count() > 500, "{}", tester.name);
        assert_eq!(tester.arrivals_behind.count(), 10);
        // The same machine has the same clock.
        let (ahead, error) = (tester.clock_ahead_us.unsigned_abs(), tester.clock_error_us);
        assert!(error > 0 && ahead <= error + 50_000, "{ahead} ± {error} µs");
    }
    let sampled = outcome.processes.iter().map(|one| &one.name[..]);
    assert_eq!(
        sampled.collect::<Vec<_>>(),
        ["coordinator", "agent a", "agent b"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_killed_makes_the_run_invalid_and_the_figures_of_the_others_are_kept() {
    let network = Network::raise(&["geneva", "cairo"]).await;
    let coordinator = Coordinator::open(2).await;
    let stays = coordinator.agent("stays");
    let mut killed = coordinator.agent("killed");
    let players = Players::Agents(coordinator.gather().await);
    let (end, over) = watch::channel(false);
    let text = TWENTY.replace(r#"length = "7s""#, r#"length = "1h""#);
    let target = network.target();
    let watched = |progress: meridian_loadtest::report::live::Progress| {
        if progress.joined == 20 {
            // The second time it is gone already.
            let _ = killed.start_kill();
        }
        let note = progress.note.unwrap_or_default();
        if note.starts_with("agent killed is lost") {
            end.send_replace(true);
        }
    };
    let played = timeout(PATIENCE, play_by(players, &text, &target, watched, over)).await;
    let played = played.expect("its loss is noticed, and ends it");
    let outcome = played.expect("the other goes on");
    assert_eq!(ended(stays).await.0, Some(0));
    let reasons = outcome.health.invalid_because.join("\n");
    assert!(reasons.contains("agent killed was lost"), "{reasons}");
    assert!(reasons.contains("its 10 delegates"), "{reasons}");
    assert!(!outcome.holds());
    assert_eq!(outcome.counted(Count::Came), 10);
    assert_eq!(outcome.counted(Count::Joined), 10);
    let testers: Vec<_> = outcome.testers.iter().map(|one| &one.name[..]).collect();
    assert_eq!(testers, ["stays"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_which_an_agent_stood_still_for_a_moment_is_invalid_and_says_whose() {
    let network = Network::raise(&["geneva", "cairo"]).await;
    let coordinator = Coordinator::open(2).await;
    let (wakes, sleeps) = (coordinator.agent("wakes"), coordinator.agent("sleeps"));
    let pid = sleeps
        .id()
        .and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let mut awake = Some(pid.expect("it runs"));
    let players = Players::Agents(coordinator.gather().await);
    let (_end, over) = watch::channel(false);
    let target = network.target();
    let stops = |progress: meridian_loadtest::report::live::Progress| {
        if progress.joined == 20
            && let Some(agent) = awake.take()
        {
            kill_process(agent, Signal::STOP).expect("it is ours");
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(400));
                kill_process(agent, Signal::CONT)
            });
        }
    };
    let played = play_by(players, TWENTY, &target, stops, over).await;
    let outcome = played.expect("it can be played");
    for agent in [wakes, sleeps] {
        assert_eq!(ended(agent).await, (Some(0), String::new()));
    }
    let reasons = outcome.health.invalid_because.join("\n");
    assert!(
        reasons.contains("sleeps: a thread was, at worst, "),
        "{reasons}"
    );
    assert!(!outcome.holds());
    // What it slept through came late, and all of it is accounted for.
    assert_eq!(outcome.counted(Count::Joined), 20, "{:?}", outcome.failures);
    assert_eq!(outcome.counted(Count::Lost), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_ended_before_its_time_ends_its_agents_and_keeps_what_they_have_seen() {
    let network = Network::raise(&["geneva"]).await;
    let coordinator = Coordinator::open(2).await;
    let agents = ["a", "b"].map(|name| coordinator.agent(name));
    let players = Players::Agents(coordinator.gather().await);
    let (end, over) = watch::channel(false);
    let text = TWENTY.replace(r#"length = "7s""#, r#"length = "1h""#);
    let target = network.target();
    let ends = |progress: meridian_loadtest::report::live::Progress| {
        if progress.joined == 20 {
            end.send_replace(true);
        }
    };
    let played = timeout(PATIENCE, play_by(players, &text, &target, ends, over)).await;
    let outcome = played.expect("it is over soon").expect("it was played");
    for agent in agents {
        assert_eq!(ended(agent).await.0, Some(0));
    }
    assert_eq!(
        outcome.health.invalid_because[0],
        "it was ended before its time"
    );
    assert_eq!(outcome.counted(Count::Joined), 20);
    assert_eq!((outcome.testers.len(), outcome.ghosts), (2, Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_cut_off_is_cut_off_for_the_delegates_of_all_agents() {
    let network = Network::raise(&["geneva"]).await;
    let mut target = network.target();
    let edges = network.plane.tells_of(1).await;
    let edge = |edge: &meridian_proto::v1::Edge| EdgeAt {
        office: edge.office.clone(),
        clients: edge.client_address.parse().expect("an address"),
    };
    target.edges = edges.iter().map(edge).collect();
    target.stage = Some(Arc::new(willing_stage().await));
    let coordinator = Coordinator::open(2).await;
    let agents = ["a", "b"].map(|name| coordinator.agent(name));
    let players = Players::Agents(coordinator.gather().await);
    let text = r#"
        name = "cut"
        title = "The only edge is cut off for two seconds"
        length = "10s"
        [[crowd]]
        name = "hall"
        count = 8
        arrive = { kind = "spike" }
        profile = { fibre = 1 }
        [[event]]
        at = "3s"
        do = "edge-cut"
        office = "geneva"
        [[event]]
        at = "5s"
        do = "edge-heal"
        office = "geneva"
    "#;
    let (_end, over) = watch::channel(false);
    let played = play_by(players, text, &target, |_| (), over).await;
    let outcome = played.expect("it can be played");
    for agent in agents {
        assert_eq!(ended(agent).await.0, Some(0));
    }
    assert_eq!(outcome.counted(Count::Joined), 8, "{:?}", outcome.failures);
    assert_eq!(outcome.counted(Count::Failed), 0, "{:?}", outcome.failures);
    // Everybody heard nothing meanwhile, and something afterwards.
    let gaps = outcome.counted(Count::Gaps1000ms);
    assert!(gaps >= 8, "{gaps}");
    let last = outcome.ticks.get(9).map_or(0, |tick| tick.objects);
    assert!(last >= 8, "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_with_another_token_or_of_another_version_is_turned_away_with_words() {
    let coordinator = Coordinator::open(1).await;
    let wrong = coordinator.folder.path().join("wrong");
    std::fs::write(&wrong, "guessed").expect("the folder is ours");
    let url = format!("http://{}", coordinator.lobby.address());
    let refused = agent(&url, "x", &wrong).spawn().expect("it starts");
    let (code, words) = ended(refused).await;
    assert_eq!(code, Some(64));
    assert!(
        words.contains("the token is not the coordinator's"),
        "{words}"
    );
    let refused = Line::open(&coordinator, "0.0.1")
        .await
        .expect_err("another version");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let words = refused.message();
    assert!(
        words.contains("0.0.1") && words.contains(VERSION),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_come_in_over_tls_and_tell_nothing_to_a_coordinator_they_cannot_verify() {
    let network = Network::raise(&[]).await;
    let read = |name: &str| std::fs::read(network.plane.folder().join(name)).expect("it is there");
    let identity = (read("localhost.pem"), read("localhost.key"));
    let coordinator = Coordinator::open_as(1, Some(identity)).await;
    let url = format!("https://localhost:{}", coordinator.lobby.address().port());
    let token_file = coordinator.token_file();
    network.plane.sign("somebody-else");
    let other = network.plane.folder().join("somebody-else.pem");
    let come = |ca: &Path, wait: &str| {
        let mut agent = agent(&url, "x", &token_file);
        agent.env("MERIDIAN_LOADTEST_CA", ca);
        agent.env("MERIDIAN_LOADTEST_WAIT", wait);
        agent.spawn().expect("it starts")
    };
    let (code, words) = ended(come(&other, "0s")).await;
    assert_eq!(code, Some(69));
    assert!(words.contains("certificate"), "{words}");
    let verified = come(&network.plane.ca(), "20s");
    drop(coordinator.gather().await);
    let (code, words) = ended(verified).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("does not take place"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_too_many_is_turned_away_and_all_go_when_nothing_comes_of_it() {
    let coordinator = Coordinator::open(1).await;
    let (address, token) = (coordinator.lobby.address(), coordinator.token_file());
    let one = coordinator.agent("one");
    let (_end, over) = watch::channel(false);
    let lobby = tokio::spawn(coordinator.lobby.gather(|_| (), over));
    let assembly = lobby.await.expect("it runs").expect("one comes");
    let mut two = agent(&format!("http://{address}"), "two", &token);
    let two = two.spawn().expect("it starts");
    let (code, words) = ended(two).await;
    assert_eq!(code, Some(64));
    assert!(words.contains("all 1 agents are there"), "{words}");
    drop(assembly);
    let (code, words) = ended(one).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("does not take place"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_whose_coordinator_dies_says_that_it_has_gone() {
    let elsewhere = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let coordinator = elsewhere
        .spawn(Coordinator::open(1))
        .await
        .expect("it opens");
    let agent = coordinator.agent("orphan");
    let gathered = elsewhere.spawn(async move { coordinator.gather().await });
    let assembly = gathered.await.expect("it comes");
    elsewhere.shutdown_background();
    let (code, words) = ended(agent).await;
    assert_eq!(code, Some(69));
    assert!(words.contains("the coordinator has gone"), "{words}");
    drop(assembly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_never_ready_is_named_and_nothing_begins() {
    let network = Network::raise(&["geneva"]).await;
    let coordinator = Coordinator::open_for(2, None, Duration::from_secs(6)).await;
    let good = coordinator.agent("good");
    let mut line = Line::open(&coordinator, VERSION)
        .await
        .expect("it is let in");
    let idle = tokio::spawn(async move { line.echo_only().await });
    let players = Players::Agents(coordinator.gather().await);
    let (_end, over) = watch::channel(false);
    let target = network.target();
    let played = play_by(players, TWENTY, &target, |_| (), over).await;
    let error = played.expect_err("one is not ready").to_string();
    assert!(
        error.contains("not ready within") && error.contains("idle"),
        "{error}"
    );
    assert!(!error.contains("good"), "{error}");
    let (code, words) = ended(good).await;
    assert_eq!(code, Some(1));
    assert!(words.contains("does not take place"), "{words}");
    let status = idle.await.expect("it ran");
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_speaks_out_of_turn_is_dismissed_and_told_why() {
    let coordinator = Coordinator::open(3).await;
    let (ready, glance) = (says::Ready {}, says::Glance::default());
    for said in [
        Said::Ready(ready),
        Said::Glance(glance),
        Said::Finished(says::Finished { bytes: 0 }),
    ] {
        let mut line = Line::open(&coordinator, VERSION)
            .await
            .expect("there is room");
        line.tell(said).await;
        let status = line.echo_only().await;
        assert_eq!(status.code(), Code::Aborted);
        assert!(status.message().contains("not its turn"), "{status}");
    }
}

/// An agent that knows the protocol and nothing else.
#[derive(Debug)]
struct Line {
    said: mpsc::Sender<says::AttendRequest>,
    heard: tonic::Streaming<says::AttendResponse>,
}

impl Line {
    async fn open(coordinator: &Coordinator, version: &str) -> Result<Line, Status> {
        let url = format!("http://{}", coordinator.lobby.address());
        let client = CoordinatorServiceClient::connect(url).await;
        let (said, saying) = mpsc::channel(8);
        let hello = says::Hello {
            name: "idle".to_owned(),
            version: version.to_owned(),
        };
        let hello = says::AttendRequest {
            said: Some(Said::Hello(hello)),
        };
        said.send(hello).await.expect("there is room");
        let mut request = Request::new(ReceiverStream::new(saying));
        let token = "Bearer secret".parse().expect("ASCII");
        request.metadata_mut().insert("authorization", token);
        let heard = client.expect("it listens").attend(request).await?;
        Ok(Line {
            said,
            heard: heard.into_inner(),
        })
    }

    async fn tell(&self, said: Said) {
        let said = says::AttendRequest { said: Some(said) };
        self.said.send(said).await.expect("there is room");
    }

    /// Until the coordinator has had enough.
    async fn echo_only(&mut self) -> Status {
        loop {
            let heard = match self.heard.message().await {
                Ok(heard) => heard.expect("it is not over without a word"),
                Err(status) => return status,
            };
            if let Some(Heard::Ping(ping)) = heard.said {
                let echo = says::Echo {
                    number: ping.number,
                    unix_us: 1_700_000_000_000_000,
                };
                let said = Some(Said::Echo(echo));
                // The last one may find nobody.
                let _ = self.said.send(says::AttendRequest { said }).await;
            }
        }
    }
}

/// A stagehand that says yes to everything.
async fn willing_stage() -> Stage {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("somebody comes");
        let mut stream = BufReader::new(stream);
        let mut asked = String::new();
        while stream.read_line(&mut asked).await.is_ok_and(|n| n > 0) {
            let yes = b"{\"ok\":true,\"processes\":[]}\n";
            stream.write_all(yes).await.expect("it is read");
        }
    });
    Stage::connect(address).await.expect("it listens")
}

const PATIENCE: Duration = Duration::from_secs(20);
