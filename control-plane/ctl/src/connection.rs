//! Calls: to the first server that answers, with the token, and not for ever.

use crate::exit::{self, ExitCode, Failure};
use crate::output::note;
use crate::settings::Settings;
use meridian_proto::v1::meeting_service_client::MeetingServiceClient;
use meridian_proto::v1::ops_service_client::OpsServiceClient;
use std::error::Error;
use std::future::Future;
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// Whoever runs this program.
#[derive(Debug)]
pub struct Caller {
    settings: Settings,
}

/// A connection on which each call carries the token.
#[derive(Clone, Debug)]
pub struct Link {
    channel: InterceptedService<Channel, Bearer>,
    timeout: Duration,
}

/// Puts the token on each call.
#[derive(Clone, Debug)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.clone();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

impl Caller {
    /// With these settings.
    pub fn new(settings: Settings) -> Caller {
        Caller { settings }
    }

    /// All servers.
    pub fn servers(&self) -> &[String] {
        &self.settings.servers
    }

    /// How long to wait for an answer.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// A connection to the first server that answers.
    ///
    /// # Errors
    /// There is no token, or no server answers.
    pub async fn link(&self) -> Result<Link, Failure> {
        let mut last = None;
        for server in self.servers() {
            match self.connect(server).await {
                Ok(channel) => return self.with_token(channel),
                Err(failure) if self.servers().len() > 1 => {
                    note(&failure.to_string());
                    last = Some(Failure::said(
                        ExitCode::Unavailable,
                        "none of the servers answers",
                    ));
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.expect("there is at least one server"))
    }

    /// A connection to one server.
    ///
    /// # Errors
    /// It does not answer, or nobody trusted signed its certificate.
    pub async fn connect(&self, server: &str) -> Result<Channel, Failure> {
        let endpoint = self.endpoint(server);
        let endpoint = endpoint.map_err(|error| Failure::new(ExitCode::Usage, error))?;
        // All of it: a server that is frozen still takes connections, and then says nothing.
        let timeout = self.settings.timeout;
        let connected = tokio::time::timeout(timeout, endpoint.connect()).await;
        let connected = connected.map_err(|_| {
            let s = timeout.as_secs_f64();
            let what = format!("{server}: no answer within {s} s");
            Failure::said(ExitCode::Unavailable, what)
        })?;
        connected.map_err(|error| {
            let why = chain(&error);
            let advice = match () {
                () if why.contains("UnknownIssuer") || why.contains("BadSignature") => {
                    "; give the authority that signed its certificate with --ca"
                }
                () if why.contains("NotValidForName") => {
                    "; its certificate is for another name: write that one in --server"
                }
                () => "",
            };
            Failure::said(ExitCode::Unavailable, format!("{server}: {why}{advice}"))
        })
    }

    /// The connection with the token on each call.
    ///
    /// # Errors
    /// There is none, or it is no token.
    pub fn with_token(&self, channel: Channel) -> Result<Link, Failure> {
        let denied = |what: &str| Failure::said(ExitCode::Denied, what);
        let token = self.settings.token.as_deref().ok_or_else(|| {
            denied("no access token: give --token-file FILE, or set MERIDIAN_TOKEN; an operator issues one with `meridianctl access issue`")
        })?;
        let bearer = format!("Bearer {token}").parse();
        let mut bearer: MetadataValue<Ascii> =
            bearer.map_err(|_| denied("the access token has characters that no token has"))?;
        bearer.set_sensitive(true);
        Ok(Link {
            channel: InterceptedService::new(channel, Bearer(bearer)),
            timeout: self.settings.timeout,
        })
    }

    /// Prints what a stream tells until it ends, and goes on with a fresh one when the connection is lost.
    ///
    /// # Errors
    /// The first stream cannot be had, the server refuses, or nobody reads any more.
    pub async fn follow<T>(
        &self,
        open: impl AsyncFn(&Link) -> Result<Streaming<T>, Failure>,
        mut show: impl AsyncFnMut(&Link, T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut link = self.link().await?;
        let mut stream = open(&link).await?;
        loop {
            let ended = loop {
                match stream.message().await {
                    Ok(Some(message)) => show(&link, message).await?,
                    Ok(None) => break Failure::said(ExitCode::Unavailable, "the server has ended"),
                    Err(status) => break lost(&status),
                }
            };
            if ended.code != ExitCode::Unavailable {
                return Err(ended);
            }
            note(&format!("{ended}; trying again"));
            (link, stream) = loop {
                tokio::time::sleep(AGAIN_AFTER).await;
                match self.reopen(&open).await {
                    Ok(fresh) => break fresh,
                    Err(failure) if failure.code == ExitCode::Unavailable => {}
                    Err(failure) => return Err(failure),
                }
            };
        }
    }

    async fn reopen<T>(
        &self,
        open: &impl AsyncFn(&Link) -> Result<Streaming<T>, Failure>,
    ) -> Result<(Link, Streaming<T>), Failure> {
        let link = self.link().await?;
        let stream = open(&link).await?;
        Ok((link, stream))
    }

    fn endpoint(&self, server: &str) -> anyhow::Result<Endpoint> {
        let tls = match &self.settings.ca {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let endpoint = Endpoint::from_shared(server.to_owned())?
            .user_agent(concat!("meridianctl/", env!("CARGO_PKG_VERSION")))?
            .connect_timeout(self.settings.timeout)
            // What is watched may be quiet for hours; a server that is gone is not to look the same.
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true);
        Ok(endpoint.tls_config(tls)?)
    }
}

impl Link {
    /// The meetings' service.
    pub fn meetings(&self) -> MeetingServiceClient<InterceptedService<Channel, Bearer>> {
        MeetingServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The operators' service.
    pub fn ops(&self) -> OpsServiceClient<InterceptedService<Channel, Bearer>> {
        OpsServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// What a call answers, if it does in time.
    ///
    /// # Errors
    /// As the server says, or none in time.
    pub async fn ask<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        within(self.timeout, call).await
    }
}

/// What a call answers, if it does in time.
///
/// # Errors
/// As the server says, or none in time.
pub async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(exit::of(&status)),
        Err(_) => {
            let s = timeout.as_secs_f64();
            let what = format!("no answer within {s} s; --timeout sets how long to wait");
            Err(Failure::said(ExitCode::Unavailable, what))
        }
    }
}

/// What went wrong, from the outermost; each thing once.
fn chain(error: &tonic::transport::Error) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        let what = error.to_string();
        if !told.contains(&what) {
            told.push(what);
        }
        next = error.source();
    }
    match told.is_empty() {
        true => error.to_string(),
        false => told.join(": "),
    }
}

/// Why a stream ended; a broken connection has no code of its own.
fn lost(status: &Status) -> Failure {
    match status.code() {
        tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled => {
            Failure::said(ExitCode::Unavailable, "the connection is lost")
        }
        _ => exit::of(status),
    }
}

/// The largest answer taken, in bytes: invitations for ten thousand people.
const MAX_ANSWER: usize = 64 << 20;
/// How often to see whether a silent server is still there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long to wait before a lost stream is opened again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
