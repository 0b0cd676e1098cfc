//! Has happen what is to happen, when it is to.

use super::error::RehearsalError;
use super::invite::Organiser;
use super::quay::Roads;
use super::stage::Stage;
use crate::account::Clock;
use crate::outcome::Happening;
use crate::scenario::{Event, Happens};
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

/// Who carries out events.
#[derive(Clone)]
pub(super) struct Conductor {
    pub(super) clock: Clock,
    pub(super) organiser: Organiser,
    pub(super) stage: Option<Arc<Stage>>,
    pub(super) roads: Arc<Roads>,
    /// Offices whose edges are cut off, for those who play elsewhere.
    pub(super) cut_off: watch::Sender<BTreeSet<String>>,
}

impl Conductor {
    /// Carries all events out, and tells of each when it is done. Dropped, it lets go of those that are not.
    pub(super) async fn conduct(self, events: Vec<Event>, told: mpsc::UnboundedSender<Happening>) {
        let mut running = JoinSet::new();
        for event in events {
            let (conductor, told) = (self.clone(), told.clone());
            running.spawn(async move {
                sleep_until((conductor.clock.start + event.at.0).into()).await;
                // Nobody listens any more only when the rehearsal was ended.
                let _ = told.send(conductor.let_happen(&event).await);
            });
        }
        while running.join_next().await.is_some() {}
    }

    async fn let_happen(&self, event: &Event) -> Happening {
        let begun = Instant::now();
        let done = self.carry_out(event).await;
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Happening {
            what: event.to_string(),
            at_ms: ms(begun.saturating_duration_since(self.clock.start)),
            took_ms: ms(begun.elapsed()),
            error: done.err().map(|error| error.to_string()),
        }
    }

    async fn carry_out(&self, event: &Event) -> Result<(), RehearsalError> {
        let office = event.office.as_str();
        match event.happens {
            Happens::EdgeDrain => {
                let within = event.within.map_or(DRAIN, |within| within.0);
                return self.organiser.drain(office, within).await;
            }
            Happens::EdgeUndrain => return self.organiser.undrain(office).await,
            Happens::Command => return command(&event.command).await,
            // Delegates' last miles are the testers', all other paths the stage's.
            Happens::EdgeCut => self.cut(office, true),
            Happens::EdgeHeal => self.cut(office, false),
            _ => {}
        }
        let nobody = || RehearsalError::Usage("there is no stage".to_owned());
        let stage = self.stage.as_ref().ok_or_else(nobody)?;
        stage.happen(event).await
    }

    fn cut(&self, office: &str, is_cut: bool) {
        self.roads.cut(office, is_cut);
        self.cut_off.send_modify(|all| {
            match is_cut {
                true => all.insert(office.to_owned()),
                false => all.remove(office),
            };
        });
    }
}

async fn command(words: &[String]) -> Result<(), RehearsalError> {
    let program = words.first().map(String::as_str).unwrap_or_default();
    let mut command = tokio::process::Command::new(program);
    command
        .args(&words[1..])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ended = timeout(COMMAND_WITHIN, command.status()).await;
    let failed = |why: String| RehearsalError::Unavailable(format!("{program}: {why}"));
    let ended = ended.map_err(|_| failed(format!("not done after {COMMAND_WITHIN:?}")))?;
    let status = ended.map_err(RehearsalError::machine(program))?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(status.to_string())),
    }
}

/// As `meridianctl edges drain` in a scenario that does not say.
const DRAIN: Duration = Duration::from_secs(10);
/// A program that is not done by then is not going to be.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
