//! What a guest does beside its media: tells the control plane where it is, asks for other candidates after a loss, and
//! renews its token in time. Nothing waits for it.

use super::guest::{Shared, Wanted};
use super::race::Outcome;
use super::replicas::NoAnswer;
use crate::link::Backoff;
use meridian_proto::v1::join_response::Outcome as Joined;
use meridian_proto::v1::{ArriveRequest, JoinResponse, RaceResult, RenewRequest};
use meridian_wire::{FullTrackName, Namespace};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};

/// Runs until it is aborted.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let mut again_at: Option<Instant> = None;
    loop {
        let due = again_at.unwrap_or_else(|| shared.state().renew_at);
        tokio::select! {
            () = shared.nudge.notified() => {}
            () = sleep_until(due.into()) => {}
        }
        tell_arrival(&shared).await;
        let is_due = Instant::now() >= due;
        let wanted = shared.state().wanted;
        if wanted == Wanted::No && !is_due {
            continue;
        }
        if wanted == Wanted::Soon && !is_due {
            // All who were at that edge have lost it at the same moment. Who loses the last of them asks at once.
            let _ = timeout(SPREAD.mul_f64(rand::random()), urgent(&shared)).await;
        }
        tell_arrival(&shared).await;
        again_at = match renew(&shared).await {
            Ok(()) => {
                backoff = Backoff::default();
                show_token(&shared).await;
                // The place that was kept elsewhere is not needed.
                if shared.state().at.is_some() {
                    shared.state().arrival.get_or_insert_default();
                    shared.nudge.notify_one();
                }
                None
            }
            Err(later) => Some(Instant::now() + backoff.pause(rand::random()).max(later)),
        };
    }
}

/// Waits until there is no edge.
async fn urgent(shared: &Shared) {
    while shared.state().wanted != Wanted::Now {
        shared.nudge.notified().await;
        tell_arrival(shared).await;
    }
}

/// Once: it is told for people to see, and frees a place a little earlier than time does.
async fn tell_arrival(shared: &Shared) {
    let request = {
        let mut state = shared.state();
        let (Some(race), Some(office)) = (state.arrival.take(), state.at.clone()) else {
            return;
        };
        ArriveRequest {
            token: state.admission.token.clone(),
            office,
            race: race.into_iter().map(result).collect(),
        }
    };
    let _ = shared.replicas.arrive(request).await;
}

fn result(outcome: Outcome) -> RaceResult {
    RaceResult {
        office: outcome.office,
        connected_after_us: outcome.connected_after_us.unwrap_or(0),
        error: outcome.error.unwrap_or_default(),
    }
}

/// A new token by the old one, or else by the invitation. If not: how long to leave it.
async fn renew(shared: &Shared) -> Result<(), Duration> {
    let request = {
        let mut state = shared.state();
        RenewRequest {
            measured: state.measured(),
            token: state.admission.token.clone(),
            previous_office: state.at.clone().unwrap_or_default(),
            unreachable: Vec::new(),
        }
    };
    let unreachable = shared.unreachable();
    let answer = shared.replicas.renew(RenewRequest {
        unreachable,
        ..request
    });
    match answer.await {
        Ok(answer) => {
            let admission = answer.admitted.ok_or(REFUSED_PAUSE)?;
            shared.admitted(admission);
            return Ok(());
        }
        Err(NoAnswer::Refused(..)) => {}
        Err(NoAnswer::Later(_, after)) => return Err(after),
        Err(NoAnswer::Silent(_)) => return Err(Duration::ZERO),
    }
    match shared.replicas.join(shared.join_request()).await {
        Ok(JoinResponse {
            outcome: Some(Joined::Admitted(admission)),
        }) => {
            shared.admitted(admission);
            Ok(())
        }
        Ok(JoinResponse {
            outcome: Some(Joined::Waiting(waiting)),
        }) => Err(Duration::from_millis(waiting.retry_after_ms.into())),
        Ok(_) => Err(REFUSED_PAUSE),
        Err(NoAnswer::Refused(_, text)) => {
            shared.state().refusal = Some(text);
            Err(REFUSED_PAUSE)
        }
        Err(NoAnswer::Later(_, after)) => Err(after),
        Err(NoAnswer::Silent(_)) => Err(Duration::ZERO),
    }
}

/// Shows the edge the new token, so that it does not end the session when the old one's time is over.
async fn show_token(shared: &Shared) {
    let Some(line) = shared.line() else { return };
    let (token, meeting) = {
        let state = shared.state();
        let admission = &state.admission;
        (admission.token.clone(), admission.meeting.clone())
    };
    let fields = ["meridian".to_owned(), meeting, "s".to_owned()];
    let about = FullTrackName {
        namespace: Namespace(fields.into_iter().map(Into::into).collect()),
        name: "floor".into(),
    };
    // A session that is over is dialled anew, with the new token.
    if let Ok(mut answer) = line.show_token(&token, about).await {
        let _ = timeout(ANSWER_WITHIN, answer.recv()).await;
    }
}

/// How far those who lost one edge spread their questions.
const SPREAD: Duration = Duration::from_secs(1);
/// Between questions of somebody who has been refused: their session may go on until the edge ends it.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
/// The edge's answer is of no interest, but the question must not be taken back before it is read.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
