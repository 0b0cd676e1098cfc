//! Somebody who has come in by invitation: finds the way to an edge, and to the next when that is lost.

use super::dialling::{self, Manner};
use super::error::JoinError;
use super::keeper;
use super::measured::Measured;
use super::race::{Outcome, Race};
use super::refusals::Refusals;
use super::replicas::{NoAnswer, Replicas};
use super::route::{Place, Route};
use super::told::{Cause, Told};
use crate::link::Backoff;
use crate::report::milliseconds;
use meridian_proto::v1::*;
use meridian_session::client::{Dialed, Line};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;
use tonic::Code;

/// Who was invited, and what they say of themselves.
#[derive(Clone, Debug, Default)]
pub struct Invited {
    /// The invitation, bare.
    pub invitation: String,
    /// ISO 3166-1 alpha-2, or empty.
    pub country: String,
}

/// What somebody is told at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTheDoor<'a> {
    /// The control plane has answered for the first time.
    Answered {
        /// With a place in the queue; otherwise one is in.
        queued: bool,
    },
    /// Something worth telling a person.
    Words(&'a str),
}

/// Somebody who has come in. Clones are the same person; dropped, they tell the control plane nothing more.
#[derive(Clone, Debug)]
pub struct Guest(Arc<Held>);

/// An edge that was reached.
#[derive(Debug)]
pub struct Reached {
    /// The session.
    pub dialed: Dialed,
    /// What to tell of it.
    pub told: Told,
}

#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What the guest and the background task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) replicas: Arc<Replicas>,
    pub(super) invited: Invited,
    manner: Manner,
    began: Instant,
    state: Mutex<State>,
    /// There is something for the background task to do.
    pub(super) nudge: Notify,
    /// Counts answers of the control plane.
    fresh: watch::Sender<u64>,
}

/// What is known now.
#[derive(Debug)]
pub(super) struct State {
    pub(super) admission: Admission,
    pub(super) renew_at: Instant,
    route: Route,
    /// The office.
    pub(super) at: Option<String>,
    line: Option<Line>,
    /// Every office so far, in order.
    offices: Vec<String>,
    failed: HashMap<String, Instant>,
    /// Round-trip times of the sessions there were, by office.
    rtts: Measured,
    /// Pictures are not asked for before.
    video_at: Instant,
    /// To be told to the control plane.
    pub(super) arrival: Option<Vec<Outcome>>,
    pub(super) wanted: Wanted,
    /// The control plane has said no, in these words.
    pub(super) refusal: Option<String>,
}

/// Whether the control plane is to be asked for candidates anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    No,
    /// There is an edge meanwhile: with the others who have lost theirs, but not all at once.
    Soon,
    /// There is no edge.
    Now,
}

impl Guest {
    /// Asks to come in and waits for one's turn, as long as the queue is. `say` hears how it goes. Gives
    /// up when nobody answers, or no edge has a place, for as long as `patience`. Must run inside a runtime.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn enter(
        replicas: Arc<Replicas>,
        invited: Invited,
        manner: Manner,
        patience: Duration,
        say: impl FnMut(AtTheDoor<'_>),
    ) -> Result<Guest, JoinError> {
        let began = Instant::now();
        let request = JoinRequest {
            invitation: invited.invitation.clone(),
            country: invited.country.clone(),
            ..JoinRequest::default()
        };
        let admission = admitted(&replicas, request, patience, say).await?;
        let mut state = State::new();
        state.admitted(admission);
        let shared = Arc::new(Shared {
            replicas,
            invited,
            manner,
            began,
            state: Mutex::new(state),
            nudge: Notify::new(),
            fresh: watch::Sender::new(0),
        });
        let keeper = tokio::spawn(keeper::keep(shared.clone())).abort_handle();
        Ok(Guest(Arc::new(Held { shared, keeper })))
    }

    /// The meeting's id.
    pub fn meeting(&self) -> String {
        self.0.shared.state().admission.meeting.clone()
    }

    /// Where this participant publishes: a namespace's fields; empty for listeners.
    pub fn publish_namespace(&self) -> Vec<String> {
        self.0.shared.state().admission.publish_namespace.clone()
    }

    /// Pictures are not to be asked for before: while many come in, sound comes first.
    pub fn video_at(&self) -> Instant {
        self.0.shared.state().video_at
    }

    /// Every office so far, in order.
    pub fn offices(&self) -> Vec<String> {
        self.0.shared.state().offices.clone()
    }

    /// Whether the token has been replaced since the present session was dialled with it.
    pub fn has_newer_token(&self, than: &str) -> bool {
        self.0.shared.state().admission.token != than
    }

    /// Finds an edge: races the candidates, again and again with growing pauses, until one answers or `deadline` is over.
    /// Meanwhile the control plane is asked for others. Safe to drop.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn reach(&self, cause: Cause, deadline: Instant) -> Result<Reached, JoinError> {
        let shared = &self.0.shared;
        let noticed = match cause {
            Cause::First => shared.began,
            _ => Instant::now(),
        };
        if matches!(cause, Cause::Lost | Cause::Goaway(_)) {
            shared.want(Wanted::Soon);
        }
        if cause == Cause::Expired {
            self.enter_anew(deadline).await?;
        }
        let mut fresh = shared.fresh.subscribe();
        let mut backoff = Backoff::default();
        let mut refusals = Refusals::default();
        // An edge that says goodbye still answers, and sooner than a far one: it takes part only if no other does.
        let mut is_leaving = matches!(cause, Cause::Goaway(_));
        loop {
            let mut race = Race::new(shared.order(&cause, is_leaving), Instant::now());
            let token = shared.state().admission.token.clone();
            let more = || shared.order(&Cause::Lost, is_leaving);
            let run = dialling::run(&mut race, &shared.manner, &token, &mut fresh, more);
            let lost = match run.await {
                Ok((place, dialed)) => {
                    let outcomes = race.outcomes();
                    let told = shared.arrived(&place, &dialed, outcomes, &cause, noticed);
                    return Ok(Reached { dialed, told });
                }
                Err(lost) => lost,
            };
            if let Some(words) = lost.over {
                return Err(JoinError::Refused(words));
            }
            is_leaving = false;
            shared.all_failed(&race.outcomes());
            refusals.note(lost.refused, &token, shared.state().refusal.as_deref())?;
            let pause = backoff.pause(rand::random());
            if Instant::now() + pause >= deadline {
                return Err(refusals.or(&race.outcomes()));
            }
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = fresh.changed() => {}
            }
        }
    }

    async fn enter_anew(&self, deadline: Instant) -> Result<(), JoinError> {
        let shared = &self.0.shared;
        let patience = deadline.saturating_duration_since(Instant::now());
        let admission = admitted(&shared.replicas, shared.join_request(), patience, |_| ());
        let admission = admission.await?;
        shared.admitted(admission);
        Ok(())
    }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The control plane has let us in, at first or again.
    pub(super) fn admitted(&self, admission: Admission) {
        self.state().admitted(admission);
        self.fresh.send_modify(|count| *count += 1);
    }

    /// The session there is, to be shown a new token.
    pub(super) fn line(&self) -> Option<Line> {
        self.state().line.clone()
    }

    /// Offices that could not be reached lately.
    pub(super) fn unreachable(&self) -> Vec<String> {
        let mut state = self.state();
        state.failed.retain(|_, at| at.elapsed() < LATELY);
        state.failed.keys().cloned().collect()
    }

    pub(super) fn join_request(&self) -> JoinRequest {
        let (previous, measured) = {
            let mut state = self.state();
            (state.at.clone(), state.measured())
        };
        JoinRequest {
            measured,
            invitation: self.invited.invitation.clone(),
            country: self.invited.country.clone(),
            previous_office: previous.unwrap_or_default(),
            unreachable: self.unreachable(),
            ..JoinRequest::default()
        }
    }

    fn want(&self, wanted: Wanted) {
        let mut state = self.state();
        state.wanted = state.wanted.max(wanted);
        drop(state);
        self.nudge.notify_one();
    }

    fn order(&self, cause: &Cause, is_leaving: bool) -> Vec<Place> {
        let state = self.state();
        let first = match cause {
            Cause::Goaway(uri) => state.route.toward(uri),
            _ => None,
        };
        let at = state.at.as_deref();
        match is_leaving {
            true => state.route.elsewhere(first.as_ref(), at),
            false => state.route.order(first.as_ref(), at),
        }
    }

    fn all_failed(&self, outcomes: &[Outcome]) {
        self.state().note_failures(outcomes);
        self.want(Wanted::Now);
    }

    fn arrived(
        &self,
        place: &Place,
        dialed: &Dialed,
        race: Vec<Outcome>,
        cause: &Cause,
        noticed: Instant,
    ) -> Told {
        let mut state = self.state();
        state.note_failures(&race);
        state.failed.remove(&place.office);
        // Of the one that is left, while it can still be asked.
        state.measured();
        let from = state.at.replace(place.office.clone());
        state.line = Some(dialed.line.clone());
        state.offices.push(place.office.clone());
        if state.offices.len() > OFFICES_KEPT {
            state.offices.remove(0);
        }
        state.arrival = Some(race.clone());
        let told = Told {
            kind: if from.is_none() { "joined" } else { "moved" },
            meeting: state.admission.meeting.clone(),
            participant: state.admission.participant.clone(),
            office: place.office.clone(),
            from,
            why: cause.name(),
            after_ms: milliseconds(noticed.elapsed()),
            race,
        };
        drop(state);
        self.nudge.notify_one();
        told
    }
}

impl State {
    fn new() -> State {
        State {
            admission: Admission::default(),
            renew_at: Instant::now(),
            route: Route::default(),
            at: None,
            line: None,
            offices: Vec::new(),
            failed: HashMap::new(),
            rtts: Measured::default(),
            video_at: Instant::now(),
            arrival: None,
            wanted: Wanted::No,
            refusal: None,
        }
    }

    fn admitted(&mut self, mut admission: Admission) {
        let candidates = std::mem::take(&mut admission.candidates);
        self.route
            .renew(candidates.into_iter().map(Place::from).collect());
        let renew_after = Duration::from_millis(admission.renew_after_ms.into());
        self.renew_at = Instant::now() + renew_after.max(RENEW_AT_MOST);
        let video_after = Duration::from_millis(admission.video_after_ms.into());
        self.video_at = self.video_at.max(Instant::now() + video_after);
        self.admission = admission;
        self.wanted = Wanted::No;
        self.refusal = None;
    }

    /// What the control plane places us by: offices and how far they are.
    pub(super) fn measured(&mut self) -> Vec<Rtt> {
        if let (Some(office), Some(line)) = (self.at.clone(), &self.line) {
            self.rtts.note(&office, line.session.connection().rtt());
        }
        self.rtts.told()
    }

    fn note_failures(&mut self, outcomes: &[Outcome]) {
        let now = Instant::now();
        let failed = outcomes.iter().filter(|one| one.is_unreachable);
        for outcome in failed {
            self.failed.insert(outcome.office.clone(), now);
        }
        self.failed.retain(|_, at| at.elapsed() < LATELY);
    }
}

/// Asks until it is one's turn.
async fn admitted(
    replicas: &Replicas,
    mut request: JoinRequest,
    patience: Duration,
    mut say: impl FnMut(AtTheDoor<'_>),
) -> Result<Admission, JoinError> {
    let mut backoff = Backoff::default();
    let mut in_vain_since: Option<Instant> = None;
    let mut position = 0;
    let mut first = true;
    let mut answered = |queued, say: &mut dyn FnMut(AtTheDoor<'_>)| {
        if std::mem::take(&mut first) {
            say(AtTheDoor::Answered { queued });
        }
    };
    loop {
        let (pause, error) = match replicas.join(request.clone()).await {
            Ok(JoinResponse {
                outcome: Some(join_response::Outcome::Admitted(admission)),
            }) => {
                answered(false, &mut say);
                return Ok(admission);
            }
            Ok(JoinResponse {
                outcome: Some(join_response::Outcome::Waiting(waiting)),
            }) => {
                answered(true, &mut say);
                if waiting.position != position {
                    say(AtTheDoor::Words(&waiting_words(&waiting)));
                }
                position = waiting.position;
                request.ticket = waiting.ticket;
                in_vain_since = None;
                backoff = Backoff::default();
                sleep(Duration::from_millis(waiting.retry_after_ms.into()).max(ASK_AT_MOST)).await;
                continue;
            }
            Ok(_) => {
                return Err(JoinError::NotNow(
                    "the control plane's answer is empty; is it newer than this program?"
                        .to_owned(),
                ));
            }
            Err(NoAnswer::Refused(Code::InvalidArgument, _)) if !request.ticket.is_empty() => {
                request.ticket.clear();
                continue;
            }
            Err(NoAnswer::Refused(Code::Unauthenticated | Code::PermissionDenied, text)) => {
                return Err(JoinError::Refused(text));
            }
            Err(NoAnswer::Refused(_, text)) => return Err(JoinError::NotNow(text)),
            Err(NoAnswer::Later(text, after)) => (after, JoinError::NotNow(text)),
            Err(NoAnswer::Silent(text)) => (backoff.pause(rand::random()), JoinError::Silent(text)),
        };
        let since = *in_vain_since.get_or_insert_with(Instant::now);
        if since.elapsed() + pause >= patience {
            return Err(error);
        }
        say(AtTheDoor::Words(&format!("{error}; asking again")));
        sleep(pause).await;
    }
}

fn waiting_words(waiting: &Waiting) -> String {
    let seconds = waiting.expected_wait_ms.div_ceil(1_000);
    let position = waiting.position;
    format!("waiting to come in: number {position} in the queue, about {seconds} s")
}

/// What failed longer ago than this may have come back.
const LATELY: Duration = Duration::from_secs(30);
/// Offices remembered for the report.
const OFFICES_KEPT: usize = 64;
/// Whatever it says, the control plane is not asked more often than this.
const RENEW_AT_MOST: Duration = Duration::from_secs(1);
const ASK_AT_MOST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_was_only_slower_than_another_is_not_told_as_unreachable() {
        let mut state = State::new();
        let outcome = |office: &str, is_unreachable| Outcome {
            office: office.to_owned(),
            connected_after_us: None,
            error: Some("in words".to_owned()),
            is_unreachable,
        };
        state.note_failures(&[outcome("geneva", false), outcome("cairo", true)]);
        assert_eq!(state.failed.keys().collect::<Vec<_>>(), ["cairo"]);
    }

    #[test]
    fn pictures_wait_as_long_as_the_first_admission_says_and_a_renewal_does_not_change_that() {
        let mut state = State::new();
        let began = Instant::now();
        state.admitted(Admission {
            video_after_ms: 20_000,
            ..Admission::default()
        });
        state.admitted(Admission::default());
        assert!(state.video_at >= began + Duration::from_secs(20));
    }
}
