//! The control plane's replicas: any of them answers any call, so the next is asked when one does not.

use super::error::JoinError;
use meridian_proto::v1::join_service_client::JoinServiceClient;
use meridian_proto::v1::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};
use url::Url;

type Client = JoinServiceClient<Channel>;

/// The replicas.
#[derive(Debug)]
pub struct Replicas {
    clients: Vec<(String, Client)>,
    /// The one that answered last.
    at: AtomicUsize,
}

/// Why there is no answer to go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Asking again in the same way does not help; in the control plane's words.
    Refused(Code, String),
    /// Later; in its words, and when.
    Later(String, Duration),
    /// No replica answered; what came of the last one asked.
    Silent(String),
}

impl Replicas {
    /// Replicas at these URLs, certified by the authorities in `ca` (PEM). Connects when asked. Must run inside a runtime.
    ///
    /// # Errors
    /// A URL or the authorities are of no use.
    pub fn new(urls: &[Url], ca: &[u8]) -> Result<Replicas, JoinError> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        let client = |url: &Url| {
            let endpoint = Endpoint::from_shared(url.to_string())
                .and_then(|endpoint| endpoint.tls_config(tls.clone()))
                .map_err(|error| JoinError::Usage(format!("{url}: {error}")))?;
            let channel = endpoint
                .connect_timeout(CONNECT_WITHIN)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(ANSWER_WITHIN)
                .connect_lazy();
            Ok((url.to_string(), JoinServiceClient::new(channel)))
        };
        let clients = urls.iter().map(client).collect::<Result<Vec<_>, _>>()?;
        if clients.is_empty() {
            return Err(JoinError::Usage("no replica is given".to_owned()));
        }
        // Where each begins is left to chance: a crowd spreads.
        let at = AtomicUsize::new(rand::random_range(0..clients.len()));
        Ok(Replicas { clients, at })
    }

    /// Asks to come in.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn join(&self, request: JoinRequest) -> Result<JoinResponse, NoAnswer> {
        let join = |mut client: Client, request| async move { client.join(request).await };
        self.ask(request, join).await
    }

    /// Asks for a new token.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn renew(&self, request: RenewRequest) -> Result<RenewResponse, NoAnswer> {
        let renew = |mut client: Client, request| async move { client.renew(request).await };
        self.ask(request, renew).await
    }

    /// Tells which edge was taken.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn arrive(&self, request: ArriveRequest) -> Result<ArriveResponse, NoAnswer> {
        let arrive = |mut client: Client, request| async move { client.arrive(request).await };
        self.ask(request, arrive).await
    }

    async fn ask<Q: Clone, A, F>(
        &self,
        question: Q,
        call: impl Fn(Client, Request<Q>) -> F,
    ) -> Result<A, NoAnswer>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut last = String::new();
        for turn in 0..self.clients.len() {
            if turn > 0 {
                sleep(BETWEEN.mul_f64(rand::random())).await;
            }
            let at = self.at.load(Ordering::Relaxed) % self.clients.len();
            let (url, client) = &self.clients[at];
            let answer = timeout(
                ANSWER_WITHIN,
                call(client.clone(), Request::new(question.clone())),
            );
            let why = match answer.await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match verdict(&status) {
                    Some(verdict) => return Err(verdict),
                    None => words(&status),
                },
                Err(_) => format!("no answer within {ANSWER_WITHIN:?}"),
            };
            last = format!("{url}: {why}");
            // Whoever asks at the same time may have gone on already.
            let next = (at + 1) % self.clients.len();
            let _ = self
                .at
                .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        Err(NoAnswer::Silent(last))
    }
}

/// What a replica has decided; `None` if another may answer.
fn verdict(status: &Status) -> Option<NoAnswer> {
    let text = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::NotFound => Some(NoAnswer::Refused(status.code(), text)),
        _ => {
            let after = status.metadata().get("retry-after-ms")?;
            let after = after.to_str().ok()?.parse().ok()?;
            let after = Duration::from_millis(after).min(LATEST);
            Some(NoAnswer::Later(text, after))
        }
    }
}

/// With what is below it: "transport error" alone helps nobody.
fn words(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}

/// A connection across the world takes three round trips.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// A replica that is frozen is not waited for longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// At most this long before the next is asked, so that all who lost one do not come at once.
const BETWEEN: Duration = Duration::from_millis(100);
/// Longer than this nobody is put off.
const LATEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replica_has_decided_is_not_asked_of_another() {
        let refused = verdict(&Status::unauthenticated("expired"));
        assert_eq!(
            refused,
            Some(NoAnswer::Refused(
                Code::Unauthenticated,
                "expired".to_owned()
            ))
        );
        assert_eq!(verdict(&Status::unavailable("connection refused")), None);
        assert_eq!(verdict(&Status::internal("a fault")), None);
    }

    #[test]
    fn whoever_is_put_off_is_told_until_when() {
        let mut status = Status::unavailable("no place; try again in 1 s");
        status
            .metadata_mut()
            .insert("retry-after-ms", "750".parse().expect("ASCII"));
        let later = verdict(&status);
        let text = "no place; try again in 1 s".to_owned();
        assert_eq!(
            later,
            Some(NoAnswer::Later(text, Duration::from_millis(750)))
        );
    }
}
