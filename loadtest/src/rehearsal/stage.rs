//! Who can do things to the network under test: a stagehand that listens on TCP, one JSON request and one JSON answer a
//! line.

use super::error::RehearsalError;
use crate::outcome::Role;
use crate::scenario::Event;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A connection to the stagehand.
#[derive(Debug)]
pub struct Stage(Mutex<BufReader<TcpStream>>);

/// What the stagehand says there is.
#[derive(Clone, Debug, Deserialize)]
pub struct Description {
    /// The control plane's replicas, as in `https://127.0.0.1:8443`.
    pub control: Vec<String>,
    /// The authorities of its certificate.
    pub control_ca: PathBuf,
    /// The authorities of edges' certificates.
    pub edge_ca: PathBuf,
    /// An operator's token.
    pub token_file: PathBuf,
    /// A table as `data/offices.csv`.
    pub offices: PathBuf,
    /// A table as `data/rtt_ms.csv`.
    pub rtts: PathBuf,
    /// Where clients reach the edges.
    #[serde(default)]
    pub edges: Vec<EdgeAt>,
    /// The network's processes.
    #[serde(default)]
    pub processes: Vec<Watched>,
}

/// Where clients reach an edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EdgeAt {
    /// Its office.
    pub office: String,
    /// UDP and TCP.
    pub clients: SocketAddr,
}

/// A process of the network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Watched {
    /// As in `geneva`.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub role: Role,
    /// Its number now.
    pub pid: u32,
}

impl Stage {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there.
    pub async fn connect(address: SocketAddr) -> Result<Stage, RehearsalError> {
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
        let silent = |why: String| {
            RehearsalError::Unavailable(format!("the stage at {address} does not answer: {why}"))
        };
        let stream = connected.map_err(|late| silent(late.to_string()))?;
        let stream = stream.map_err(|error| silent(error.to_string()))?;
        Ok(Stage(Mutex::new(BufReader::new(stream))))
    }

    /// What there is.
    ///
    /// # Errors
    /// It does not say.
    pub async fn describe(&self) -> Result<Description, RehearsalError> {
        self.asked(&json!({ "do": "describe" })).await
    }

    /// The processes as they are now.
    ///
    /// # Errors
    /// It does not say.
    pub async fn processes(&self) -> Result<Vec<Watched>, RehearsalError> {
        #[derive(Deserialize)]
        struct Answer {
            processes: Vec<Watched>,
        }
        let answer: Answer = self.asked(&json!({ "do": "processes" })).await?;
        Ok(answer.processes)
    }

    /// Has something happen; done when this ends.
    ///
    /// # Errors
    /// It could not be done.
    pub async fn happen(&self, event: &Event) -> Result<(), RehearsalError> {
        let request = json!({ "do": event.happens.as_str(), "office": event.office });
        self.ask(&request).await.map(|_| ())
    }

    async fn asked<T: for<'de> Deserialize<'de>>(
        &self,
        request: &Value,
    ) -> Result<T, RehearsalError> {
        let answer = self.ask(request).await?;
        let read = serde_json::from_value(answer);
        read.map_err(|error| unavailable(request, &error.to_string()))
    }

    async fn ask(&self, request: &Value) -> Result<Value, RehearsalError> {
        let mut stream = self.0.lock().await;
        let mut said = String::new();
        let exchange = async {
            stream.write_all(format!("{request}\n").as_bytes()).await?;
            stream.read_line(&mut said).await
        };
        let why = match timeout(ANSWER_WITHIN, exchange).await {
            Ok(Ok(0)) => "it has gone".to_owned(),
            Ok(Ok(_)) => return understand(request, &said),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {ANSWER_WITHIN:?}"),
        };
        Err(unavailable(request, &why))
    }
}

fn understand(request: &Value, said: &str) -> Result<Value, RehearsalError> {
    let answer: Value =
        serde_json::from_str(said).map_err(|error| unavailable(request, &error.to_string()))?;
    if answer["ok"] == true {
        return Ok(answer);
    }
    let why = answer["error"].as_str().unwrap_or("it does not say why");
    Err(unavailable(request, why))
}

fn unavailable(request: &Value, why: &str) -> RehearsalError {
    let what = request["do"].as_str().unwrap_or_default();
    RehearsalError::Unavailable(format!("the stage, asked for {what}: {why}"))
}

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// An edge that is restarted has its place again within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn stage_that_says(answers: &'static [&'static str]) -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("somebody comes");
            let mut stream = BufReader::new(stream);
            for answer in answers {
                let mut asked = String::new();
                stream.read_line(&mut asked).await.expect("a line");
                let line = format!("{answer}\n");
                stream.write_all(line.as_bytes()).await.expect("is read");
            }
        });
        Stage::connect(address).await.expect("it listens")
    }

    #[tokio::test]
    async fn what_the_stage_says_is_understood() {
        let stage = stage_that_says(&[
            r#"{"ok":true,"processes":[{"name":"geneva","role":"edge","pid":7}]}"#,
            r#"{"ok":false,"error":"there is no edge at atlantis"}"#,
            "gibberish",
        ])
        .await;
        let processes = stage.processes().await.expect("an answer");
        assert_eq!((processes[0].role, processes[0].pid), (Role::Edge, 7));
        for words in ["no edge at atlantis", "expected value", "it has gone"] {
            let error = stage.processes().await.expect_err("no answer");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
