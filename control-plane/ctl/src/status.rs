//! `meridianctl status`.

use crate::connection::{Caller, within};
use crate::exit::{ExitCode, Failure};
use crate::output::{Output, note};
use crate::table::Table;
use crate::text::{Colour, NONE, count, line};
use crate::{edges, json};
use meridian_proto::v1::{EdgeState, EdgeStatus, GetTopologyRequest, Version};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Asks every server.
///
/// # Errors
/// One does not answer or is not ready.
pub async fn run(caller: &Caller, output: &Output) -> Result<(), Failure> {
    let mut servers = Vec::new();
    for url in caller.servers() {
        servers.push(Server::ask(url, caller).await);
    }
    output.answer(|| page(&servers, output.width()), || json(&servers))?;
    match servers.iter().all(Server::is_ready) {
        true => Ok(()),
        false => Err(Failure::said(
            ExitCode::Unavailable,
            "not every server is ready",
        )),
    }
}

/// A server, and the network as it knows it.
#[derive(Clone, Debug, Default)]
struct Server {
    url: String,
    health: Health,
    answered: Duration,
    version: Option<Version>,
    edges: Vec<EdgeStatus>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Health {
    #[default]
    Ready,
    NotReady,
    /// It says why.
    Away(String),
}

impl Server {
    async fn ask(url: &str, caller: &Caller) -> Server {
        let mut server = Server {
            url: url.to_owned(),
            ..Server::default()
        };
        if let Err(failure) = server.look(caller).await {
            let why = failure.to_string();
            let of_server = format!("{url}: ");
            let why = why.strip_prefix(&of_server).unwrap_or(&why);
            server.health = Health::Away(why.to_owned());
        }
        server
    }

    async fn look(&mut self, caller: &Caller) -> Result<(), Failure> {
        let channel = caller.connect(&self.url).await?;
        let begun = Instant::now();
        self.health = health(channel.clone(), caller.timeout()).await?;
        self.answered = begun.elapsed();
        if self.health != Health::Ready {
            return Ok(());
        }
        // Whether a server is well can be asked without a token.
        let Ok(link) = caller.with_token(channel) else {
            note("without an access token only health can be told");
            return Ok(());
        };
        match self.look_at_network(&link).await {
            Err(failure) if failure.code == ExitCode::Denied => note(&failure.to_string()),
            looked => looked?,
        }
        Ok(())
    }

    async fn look_at_network(&mut self, link: &crate::connection::Link) -> Result<(), Failure> {
        let answer = link
            .ask(link.ops().get_topology(GetTopologyRequest {}))
            .await?;
        self.version = answer.topology.and_then(|topology| topology.version);
        self.edges = edges::all(link).await?;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.health == Health::Ready
    }
}

async fn health(channel: Channel, timeout: Duration) -> Result<Health, Failure> {
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest::default();
    let answer = within(timeout, client.check(request)).await?;
    Ok(match answer.status() {
        ServingStatus::Serving => Health::Ready,
        _ => Health::NotReady,
    })
}

fn page(servers: &[Server], width: Option<u16>) -> String {
    let mut table = Table::new(&["SERVER", "STATE", "ANSWERED>", "SNAPSHOT>", "EDGES>"]);
    for server in servers {
        let (state, answered) = match server.health {
            Health::Ready => (Colour::Green.on("ready"), answered(server)),
            Health::NotReady => (Colour::Yellow.on("not ready"), answered(server)),
            Health::Away(_) => (Colour::Red.on("away"), NONE.into()),
        };
        let version = server.version.map(|version| version.revision.to_string());
        table.row([
            line(&server.url),
            state,
            answered,
            version.unwrap_or_else(|| NONE.into()),
            server.edges.len().to_string(),
        ]);
    }
    let notes = servers.iter().filter_map(note_on).collect::<String>();
    let gap = if notes.is_empty() { "" } else { "\n" };
    let own = format!("\nThis program is {}.\n", env!("CARGO_PKG_VERSION"));
    table.render(width) + gap + &notes + &network(servers) + &own
}

fn answered(server: &Server) -> String {
    format!("{:.1} ms", server.answered.as_secs_f64() * 1_000.0)
}

fn note_on(server: &Server) -> Option<String> {
    match &server.health {
        Health::Ready => None,
        Health::NotReady => Some(format!(
            "{} has not read the state yet\n",
            line(&server.url)
        )),
        Health::Away(why) => Some(format!("{}: {}\n", line(&server.url), line(why))),
    }
}

/// The edges as the first server that knows any has them.
fn network(servers: &[Server]) -> String {
    let Some(server) = servers.iter().find(|server| !server.edges.is_empty()) else {
        return String::new();
    };
    let edges = &server.edges;
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    let mut software: BTreeMap<String, usize> = BTreeMap::new();
    let (mut clients, mut places) = (0, 0);
    for edge in edges {
        *states.entry(word(edge.state())).or_default() += 1;
        *software.entry(line(&edge.software)).or_default() += 1;
        clients += u64::from(edge.load.unwrap_or_default().clients);
        places += u64::from(edge.capacity.unwrap_or_default().clients);
    }
    let all = count(edges.len(), "edge", "edges");
    let states: Vec<String> = states
        .iter()
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let states = states.join(", ");
    let software: Vec<String> = software
        .iter()
        .map(|(version, n)| format!("{version} ({n})"))
        .collect();
    let software = software.join(", ");
    let behind = behind(server);
    format!("\n{all}: {states}; {clients} of {places} clients\nEdge software: {software}\n{behind}")
}

/// Edges whose snapshot is not the server's.
fn behind(server: &Server) -> String {
    let is_behind = |edge: &&EdgeStatus| edge.applied != server.version;
    let behind: Vec<&str> = server
        .edges
        .iter()
        .filter(is_behind)
        .map(edges::office)
        .collect();
    match behind.is_empty() {
        true => String::new(),
        false => format!("With an older snapshot: {}\n", crate::text::list(&behind)),
    }
}

fn word(state: EdgeState) -> &'static str {
    match state {
        EdgeState::Unspecified => "unknown",
        EdgeState::Alive => "alive",
        EdgeState::Suspect => "suspect",
        EdgeState::Gone => "gone",
        EdgeState::Draining => "draining",
    }
}

fn json(servers: &[Server]) -> Value {
    let server = |server: &Server| {
        let (health, error) = match &server.health {
            Health::Ready => ("ready", None),
            Health::NotReady => ("not-ready", None),
            Health::Away(why) => ("away", Some(why)),
        };
        json!({
            "server": server.url,
            "health": health,
            "error": error,
            "answered_us": server.answered.as_micros().min(u64::MAX.into()) as u64,
            "version": server.version.map(|it| json!({ "epoch": it.epoch, "revision": it.revision })),
            "edges": json::all(&server.edges),
        })
    };
    json!({
        "servers": servers.iter().map(server).collect::<Vec<_>>(),
        "software": env!("CARGO_PKG_VERSION"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::paint;
    use meridian_proto::v1::{Capacity, Edge, Load};

    fn servers() -> [Server; 2] {
        let version = Some(Version {
            epoch: 7,
            revision: 41,
        });
        let edge = EdgeStatus {
            edge: Some(Edge {
                office: "cairo".into(),
                ..Edge::default()
            }),
            state: EdgeState::Alive.into(),
            capacity: Some(Capacity {
                clients: 200,
                ..Capacity::default()
            }),
            load: Some(Load {
                clients: 12,
                ..Load::default()
            }),
            software: "0.1.0".into(),
            ..EdgeStatus::default()
        };
        let up = Server {
            url: "https://a:1".into(),
            answered: Duration::from_micros(1_500),
            version,
            edges: vec![edge],
            ..Server::default()
        };
        let down = Server {
            url: "https://b:2".into(),
            health: Health::Away("Connection refused".into()),
            ..Server::default()
        };
        [up, down]
    }

    #[test]
    fn the_network_is_summed_up_below_the_servers() {
        let text = paint(&page(&servers(), Some(80)), false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..8],
            [
                "SERVER       STATE  ANSWERED  SNAPSHOT  EDGES",
                "https://a:1  ready    1.5 ms        41      1",
                "https://b:2  away          –         –      0",
                "",
                "https://b:2: Connection refused",
                "",
                "1 edge: 1 alive; 12 of 200 clients",
                "Edge software: 0.1.0 (1)",
            ]
        );
        assert!(text.contains("With an older snapshot: cairo\n"), "{text}");
    }

    #[test]
    fn machines_get_every_server_with_its_error() {
        let json = json(&servers());
        assert_eq!(json["servers"][0]["health"], "ready");
        assert_eq!(json["servers"][0]["version"]["revision"], 41);
        assert_eq!(json["servers"][1]["error"], "Connection refused");
    }
}
