//! How an agent reaches its coordinator.

use super::error::AgentsError;
use super::{VERSION, Visit};
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_request::Said;
use meridian_proto::loadtest::coordinator_service_client::CoordinatorServiceClient;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use url::{Host, Url};

/// A coordinator that has taken this agent.
pub(super) struct Line {
    pub(super) said: mpsc::Sender<says::AttendRequest>,
    pub(super) heard: Streaming<says::AttendResponse>,
}

/// Dials until the coordinator is there, and says hello.
pub(super) async fn dial(
    visit: &Visit,
    mut over: watch::Receiver<bool>,
) -> Result<Line, AgentsError> {
    let endpoint = endpoint(visit)?;
    let mut token: MetadataValue<Ascii> = format!("Bearer {}", visit.token)
        .parse()
        .map_err(|_| AgentsError::Usage("--token-file: that is no token".to_owned()))?;
    token.set_sensitive(true);
    let begun = Instant::now();
    loop {
        let tried = tokio::select! {
            tried = hello(&endpoint, &token, &visit.name) => tried,
            Ok(_) = over.wait_for(|over| *over) => return Err(AgentsError::Interrupted),
        };
        let why = match tried {
            Ok(line) => return Ok(line),
            Err(Refusal::Final(why)) => return Err(AgentsError::Refused(why)),
            Err(Refusal::Absent(why)) => why,
        };
        if begun.elapsed() >= visit.wait {
            return Err(AgentsError::Unreachable {
                url: visit.coordinator.to_string(),
                waited: visit.wait,
                why,
            });
        }
        tokio::select! {
            () = sleep(AGAIN) => {}
            Ok(_) = over.wait_for(|over| *over) => return Err(AgentsError::Interrupted),
        }
    }
}

/// Why an attempt came to nothing.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// It will not be otherwise later.
    Final(String),
    /// Nobody is there yet.
    Absent(String),
}

async fn hello(
    endpoint: &Endpoint,
    token: &MetadataValue<Ascii>,
    name: &str,
) -> Result<Line, Refusal> {
    let absent = |error: tonic::transport::Error| Refusal::Absent(all_words(&error));
    let channel = endpoint.connect().await.map_err(absent)?;
    let (said, saying) = mpsc::channel(OUTBOUND);
    let hello = says::Hello {
        name: name.to_owned(),
        version: VERSION.to_owned(),
    };
    let hello = says::AttendRequest {
        said: Some(Said::Hello(hello)),
    };
    said.try_send(hello).expect("it is the first");
    let mut request = Request::new(ReceiverStream::new(saying));
    request
        .metadata_mut()
        .insert("authorization", token.clone());
    let mut coordinator = CoordinatorServiceClient::new(channel);
    let heard = answer(coordinator.attend(request), ANSWERED_WITHIN).await?;
    Ok(Line {
        said,
        heard: heard.into_inner(),
    })
}

async fn answer<T>(
    call: impl Future<Output = Result<T, Status>>,
    within: Duration,
) -> Result<T, Refusal> {
    let answered = timeout(within, call).await;
    let silent = |_| Refusal::Absent("it does not answer".to_owned());
    answered.map_err(silent)?.map_err(|status| refusal(&status))
}

fn refusal(status: &Status) -> Refusal {
    let words = status.message().to_owned();
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => {
            Refusal::Absent(words)
        }
        _ => Refusal::Final(words),
    }
}

fn endpoint(visit: &Visit) -> Result<Endpoint, AgentsError> {
    let url = &visit.coordinator;
    let wrong = |why: String| AgentsError::Usage(format!("--coordinator {url}: {why}"));
    let endpoint = Endpoint::from_shared(url.to_string());
    let endpoint = endpoint
        .map_err(|error| wrong(error.to_string()))?
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(ALIVE_EVERY)
        .keep_alive_timeout(ALIVE_WITHIN)
        .keep_alive_while_idle(true);
    match url.scheme() {
        "https" => {
            let ca = Certificate::from_pem(&visit.ca);
            let tls = ClientTlsConfig::new().ca_certificate(ca);
            endpoint
                .tls_config(tls)
                .map_err(|error| wrong(all_words(&error)))
        }
        "http" if is_loopback(url) => Ok(endpoint),
        "http" => Err(wrong(
            "without TLS only on loopback, for agents are told personal invitations; write https://".to_owned(),
        )),
        _ => Err(wrong("write https://HOST:PORT".to_owned())),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// With what is below it: "transport error" alone helps nobody.
fn all_words(error: &dyn std::error::Error) -> String {
    let below = std::iter::successors(error.source(), |error| error.source());
    let words = below.map(ToString::to_string);
    let words: Vec<_> = [error.to_string()].into_iter().chain(words).collect();
    words.join(": ")
}

/// Messages on their way to the coordinator.
const OUTBOUND: usize = 16;
const AGAIN: Duration = Duration::from_millis(500);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Longer than a coordinator waits for a hello, of which it says so itself.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// A coordinator that answers nothing for so long together is gone.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    async fn dialled(coordinator: &str) -> AgentsError {
        let visit = Visit {
            coordinator: coordinator.parse().expect("a URL"),
            ca: Vec::new(),
            token: "secret".to_owned(),
            name: "a".to_owned(),
            threads: 1,
            wait: Duration::ZERO,
        };
        let (_end, over) = watch::channel(false);
        match dial(&visit, over).await {
            Ok(_) => panic!("nobody is there"),
            Err(error) => error,
        }
    }

    #[tokio::test]
    async fn a_coordinator_that_is_silent_or_was_told_nothing_in_time_is_dialled_again() {
        let silent = answer(std::future::pending::<Result<(), _>>(), Duration::ZERO).await;
        assert_eq!(
            silent,
            Err(Refusal::Absent("it does not answer".to_owned()))
        );
        let late = async { Err::<(), _>(Status::deadline_exceeded("no hello")) };
        let late = answer(late, ANSWERED_WITHIN).await;
        assert_eq!(late, Err(Refusal::Absent("no hello".to_owned())));
        let refused = async { Err::<(), _>(Status::unauthenticated("no")) };
        let refused = answer(refused, ANSWERED_WITHIN).await;
        assert_eq!(refused, Err(Refusal::Final("no".to_owned())));
    }

    #[test]
    fn a_visit_does_not_show_its_token() {
        let visit = Visit {
            coordinator: "http://localhost:7000".parse().expect("a URL"),
            ca: Vec::new(),
            token: "hush".to_owned(),
            name: "a".to_owned(),
            threads: 1,
            wait: Duration::ZERO,
        };
        let shown = format!("{visit:?}");
        assert!(
            shown.contains("localhost") && !shown.contains("hush"),
            "{shown}"
        );
    }

    #[tokio::test]
    async fn without_tls_no_other_machine_is_dialled() {
        for coordinator in ["http://192.0.2.1:7000", "http://load.example:7000"] {
            let error = dialled(coordinator).await;
            assert_eq!(error.exit_code(), 64);
            assert!(error.to_string().contains("https://"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_coordinator_that_is_not_there_is_said_to_be_so() {
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let address = port.expect("a port").local_addr().expect("bound");
        let error = dialled(&format!("http://{address}")).await;
        assert_eq!(error.exit_code(), 69);
        let error = error.to_string();
        assert!(
            error.contains("--agents") && error.contains("refused"),
            "{error}"
        );
    }
}
