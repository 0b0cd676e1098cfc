//! Runs a race: dials whom it names, and tells it how they do.

use super::race::Race;
use super::route::Place;
use crate::link::final_words;
use meridian_session::client::{DialError, Dialed, Dialer};
use meridian_session::endpoint::Harbour;
use meridian_session::tls::{Fingerprint, Trust};
use meridian_session::transport::Transport;
use meridian_wire::Draft;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::sleep_until;
use url::Url;

/// How edges are dialled.
#[derive(Clone, Debug)]
pub struct Manner {
    /// What to connect over.
    pub transport: Transport,
    /// Drafts to offer, the preferred one first.
    pub drafts: Vec<Draft>,
    /// Whom to trust where the control plane names no certificate.
    pub trust: Trust,
    /// Offices that are dialled at another address than the one they give: paths that are emulated.
    pub via: HashMap<String, SocketAddr>,
    /// How long one attempt may take.
    pub patience: Duration,
    /// Where QUIC connections are dialled from; a socket of its own for each if none.
    pub harbour: Option<Harbour>,
}

impl Manner {
    /// A dialer for a place; `None` if its address is none.
    pub(super) fn dialer(&self, place: &Place, token: &str) -> Option<Dialer> {
        let scheme = match self.transport {
            Transport::Quic => "moqt",
            Transport::WebTransport => "https",
            Transport::Qmux => "wss",
        };
        let address = match self.via.get(&place.office) {
            Some(via) => via.to_string(),
            None => place.address.clone(),
        };
        let trust = match place.fingerprint {
            Some(hash) => Trust::Fingerprints(vec![Fingerprint(hash)]),
            None => self.trust.clone(),
        };
        Some(Dialer {
            url: Url::parse(&format!("{scheme}://{address}/")).ok()?,
            transport: self.transport,
            drafts: self.drafts.clone(),
            trust,
            token: Some(token.to_owned()),
            patience: self.patience,
            harbour: self.harbour.clone(),
        })
    }
}

/// Nobody answered.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// What the last one said that refused the token.
    pub(super) refused: Option<String>,
    /// What the one said that has ended the session for good.
    pub(super) over: Option<String>,
}

/// Runs a race to its end. `more` is asked for further places whenever `fresh` changes. Dropped, it lets go of all.
pub(super) async fn run(
    race: &mut Race,
    manner: &Manner,
    token: &str,
    fresh: &mut watch::Receiver<u64>,
    more: impl Fn() -> Vec<Place>,
) -> Result<(Place, Dialed), Lost> {
    let mut dialling: JoinSet<Result<Dialed, DialError>> = JoinSet::new();
    let mut places: HashMap<Id, Place> = HashMap::new();
    let mut lost = Lost::default();
    loop {
        while let Some(place) = race.poll_command(Instant::now()) {
            match manner.dialer(&place, token) {
                Some(dialer) => {
                    let task = dialling.spawn(async move { dialer.dial().await });
                    places.insert(task.id(), place);
                }
                None => {
                    let error = format!("{} is no address", place.address);
                    race.handle_failed(&place.office, error, Instant::now());
                }
            }
        }
        if race.is_lost() {
            return Err(lost);
        }
        let next = race.poll_timeout();
        tokio::select! {
            Some(ended) = dialling.join_next_with_id() => {
                let Ok((id, dialed)) = ended else { continue };
                let Some(place) = places.remove(&id) else { continue };
                match dialed {
                    Ok(dialed) => {
                        race.handle_connected(&place.office, Instant::now());
                        return Ok((place, dialed));
                    }
                    Err(error) => {
                        match &error {
                            DialError::Refused(text) => lost.refused = Some(text.clone()),
                            DialError::Session(ended) => lost.over = final_words(ended),
                            _ => {}
                        }
                        if lost.over.is_some() {
                            return Err(lost);
                        }
                        race.handle_failed(&place.office, error.to_string(), Instant::now());
                    }
                }
            }
            () = at(next), if next.is_some() => {}
            Ok(()) = fresh.changed() => race.add(more()),
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
