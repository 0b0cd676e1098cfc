//! One delegate: joins, listens, and moves on when it has to.

use super::hearing::Hearing;
use meridian_client::join::{Cause, Guest, Invited, JoinError, Manner, Reached, Replicas};
use meridian_client::loc::priority;
use meridian_session::client::{Arrival, Dialed, Event, Inlet, Line};
use meridian_wire::{FullTrackName, Location, LocationFilter, Parameters};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What delegates listen to, and how they come in.
#[derive(Clone)]
pub struct Wanted {
    /// The control plane.
    pub replicas: Arc<Replicas>,
    /// How edges are dialled.
    pub manner: Manner,
    /// The audio track.
    pub track: FullTrackName,
}

/// A delegate.
pub struct Delegate {
    wanted: Wanted,
    invitation: String,
    hearing: Rc<RefCell<Hearing>>,
    last: Option<Location>,
}

/// What is heard over one session.
struct Listening {
    inlet: Inlet,
    line: Line,
}

type Finding = Pin<Box<dyn Future<Output = Result<Reached, JoinError>>>>;

/// How long a delegate looks for an edge, and for the control plane.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long two edges are heard at a time when one has asked to leave.
const BOTH: Duration = Duration::from_secs(3);
/// Before asking again for a track that was refused or has ended.
const AGAIN: Duration = Duration::from_millis(200);
/// How long an edge is asked to hold a subscription for a publisher that is not there yet, in milliseconds.
const RENDEZVOUS_MS: u64 = 10_000;

impl Delegate {
    /// Somebody who has this invitation.
    pub fn new(wanted: Wanted, invitation: String, hearing: Rc<RefCell<Hearing>>) -> Delegate {
        Delegate {
            wanted,
            invitation,
            hearing,
            last: None,
        }
    }

    /// Joins and listens until it is turned away for good; what happened is in the hearing. Dropped, it leaves.
    pub async fn live(mut self) {
        let why = match self.listen().await {
            Ok(never) => match never {},
            Err(error) => error.to_string(),
        };
        self.hearing.borrow_mut().ended(why);
    }

    async fn listen(&mut self) -> Result<std::convert::Infallible, JoinError> {
        let invited = Invited {
            invitation: self.invitation.clone(),
            country: String::new(),
        };
        let (replicas, manner) = (self.wanted.replicas.clone(), self.wanted.manner.clone());
        let guest = Guest::enter(replicas, invited, manner, PATIENCE, |_| ()).await?;
        let mut finding: Option<Finding> = Some(find(&guest, Cause::First));
        let mut current: Option<Listening> = None;
        // Make before break: it is heard until the other edge brings the same.
        let mut former: Option<(Listening, Instant)> = None;
        loop {
            let former_until = former.as_ref().map(|(_, until)| *until);
            tokio::select! {
                reached = async { finding.as_mut().expect("checked").await }, if finding.is_some() => {
                    finding = None;
                    let listening = self.begin(reached?).await;
                    let before = current.replace(listening);
                    former = before.map(|before| (before, Instant::now() + BOTH));
                }
                event = next(current.as_mut()) => match event {
                    Some(Event::Arrival { arrival, .. }) => self.hear(arrival),
                    Some(Event::Goaway(goaway)) if finding.is_none() => {
                        finding = Some(find(&guest, Cause::Goaway(goaway.uri)));
                    }
                    Some(Event::Refused { .. } | Event::Done { .. }) => {
                        sleep(AGAIN).await;
                        if let Some(current) = &mut current {
                            self.ask(&mut current.inlet).await;
                        }
                    }
                    Some(Event::Accepted { .. } | Event::Goaway(_)) => {}
                    Some(Event::Ended(error)) => {
                        current = None;
                        if let Some(why) = meridian_client::link::final_words(&error) {
                            return Err(JoinError::Refused(why));
                        }
                        finding.get_or_insert_with(|| find(&guest, Cause::Lost));
                    }
                    None => {
                        if let Some(lost) = current.take() {
                            lost.line.cut();
                        }
                        finding.get_or_insert_with(|| find(&guest, Cause::Lost));
                    }
                },
                event = next(former.as_mut().map(|(former, _)| former)) => match event {
                    Some(Event::Arrival { arrival, .. }) => self.hear(arrival),
                    Some(Event::Ended(_)) | None => former = None,
                    Some(_) => {}
                },
                () = until(former_until) => {
                    if let Some((former, _)) = former.take() {
                        tokio::spawn(former.line.hang_up());
                    }
                }
            }
        }
    }

    async fn begin(&mut self, reached: Reached) -> Listening {
        self.hearing.borrow_mut().arrived_at(&reached.told.office);
        let Dialed { line, .. } = reached.dialed;
        let mut inlet = Inlet::new(line.session.clone());
        self.ask(&mut inlet).await;
        Listening { inlet, line }
    }

    /// Asks for the track: from now on, or from where it broke off.
    async fn ask(&self, inlet: &mut Inlet) {
        let filter = match self.last {
            None => LocationFilter::NextObject,
            Some(last) => LocationFilter::Absolute {
                start: Location {
                    group: last.group + 1,
                    object: 0,
                },
                end_group: None,
                end_object: None,
            },
        };
        let params = Parameters {
            subscriber_priority: Some(priority::AUDIO),
            rendezvous_timeout: Some(RENDEZVOUS_MS),
            location_filter: Some(filter),
            ..Parameters::default()
        };
        // A session that is over says so by itself.
        let _ = inlet.subscribe(0, self.wanted.track.clone(), params).await;
    }

    fn hear(&mut self, arrival: Arrival) {
        if let Arrival::Object { object, at } = arrival {
            let location = Location {
                group: object.group,
                object: object.object,
            };
            self.last = self.last.max(Some(location));
            self.hearing.borrow_mut().frame(object.group, at);
        }
    }
}

fn find(guest: &Guest, cause: Cause) -> Finding {
    let guest = guest.clone();
    Box::pin(async move { guest.reach(cause, Instant::now() + PATIENCE).await })
}

/// What happens next on a session; `None`: nothing is heard of the edge.
async fn next(listening: Option<&mut Listening>) -> Option<Event> {
    let Some(Listening { inlet, line }) = listening else {
        return std::future::pending().await;
    };
    tokio::select! {
        event = inlet.next() => Some(event),
        () = line.clone().silence() => None,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
