//! An agent: plays its share of a rehearsal that a coordinator holds, and delivers what it has measured.

use super::assignment::{Understood, glance, understand};
use super::dial::{Line, dial};
use super::error::AgentsError;
use super::pieces;
use crate::account::Clock;
use crate::outcome::Outcome;
use crate::rehearsal::{Company, Invitations, Roads, Sampler};
use meridian_proto::loadtest as says;
use meridian_proto::loadtest::attend_request::Said;
use meridian_proto::loadtest::attend_response::Said as Heard;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Code;
use url::Url;

/// Which coordinator an agent joins, and as whom.
#[derive(Clone, Debug)]
pub struct Visit {
    /// As in `https://load.example:7000`.
    pub coordinator: Url,
    /// The authorities of its certificate, PEM; for https alone.
    pub ca: Vec<u8>,
    /// What it wants to be shown.
    pub token: String,
    /// As in reports.
    pub name: String,
    /// Threads that play delegates; 0: all cores but one.
    pub threads: usize,
    /// How long the coordinator is dialled.
    pub wait: Duration,
}

/// Joins the coordinator, plays what it is given, and delivers. `say` is told how far it is. Once `over` is true, everybody
/// goes, and the coordinator does without.
///
/// # Errors
/// It has not delivered its part.
pub async fn attend(
    visit: &Visit,
    mut say: impl FnMut(&str),
    over: watch::Receiver<bool>,
) -> Result<(), AgentsError> {
    let line = dial(visit, over.clone()).await?;
    let mut agent = Agent {
        line,
        wall: Clock::wall(),
        over,
    };
    say("the coordinator has taken this agent");
    let played = agent.play(visit.threads, &mut say).await;
    match played {
        Ok(outcome) => {
            agent.deliver(&outcome).await?;
            say("all that was measured is delivered");
            Ok(())
        }
        Err(error) => {
            agent.give_up(&error).await;
            Err(error)
        }
    }
}

struct Agent {
    line: Line,
    wall: Clock,
    over: watch::Receiver<bool>,
}

/// A part at work.
struct Part {
    name: String,
    company: Company,
    sampler: Sampler,
    roads: Arc<Roads>,
    cut: BTreeSet<String>,
    /// Its delegates go once it is true.
    over: watch::Sender<bool>,
}

impl Agent {
    async fn play(
        &mut self,
        threads: usize,
        say: &mut impl FnMut(&str),
    ) -> Result<Outcome, AgentsError> {
        let understood = self.be_assigned().await?;
        say(&format!("ready to play as {}", understood.name));
        let begin = self.be_begun().await?;
        let mut part = Part::begin(understood, self.clock(&begin)?, threads)?;
        say("it begins");
        let played = self.carry(&mut part).await;
        // Whatever has happened, nobody stays behind.
        part.over.send_replace(true);
        let name = part.name.clone();
        let closing = tokio::task::spawn_blocking(move || part.close());
        let outcome = closing.await;
        let broke = |_| AgentsError::CannotPlay(format!("{name} broke down"));
        let outcome = outcome.map_err(broke)?;
        played.map(|()| outcome)
    }

    /// Invitations and an assignment, in this order.
    async fn be_assigned(&mut self) -> Result<Understood, AgentsError> {
        let mut invitations = Invitations::new();
        loop {
            match self.hear().await? {
                Heard::Invitations(more) => invitations.extend(more.by_participant),
                Heard::Assignment(assignment) => {
                    let understood = understand(assignment, &invitations)?;
                    self.tell(Said::Ready(says::Ready {})).await?;
                    return Ok(understood);
                }
                _ => return Err(out_of_turn()),
            }
        }
    }

    async fn be_begun(&mut self) -> Result<says::Begin, AgentsError> {
        match self.hear().await? {
            Heard::Begin(begin) => Ok(begin),
            _ => Err(out_of_turn()),
        }
    }

    /// By this machine's clock that never jumps, and by the coordinator's wall clock, which publishers write.
    fn clock(&self, begin: &says::Begin) -> Result<Clock, AgentsError> {
        let now = self.wall.unix_us(Instant::now());
        if now.abs_diff(begin.agent_unix_us) > SOON_US {
            return Err(AgentsError::CannotPlay(
                "it is to begin at another time".to_owned(),
            ));
        }
        Ok(Clock {
            start: self.wall.instant(begin.agent_unix_us),
            start_unix_us: begin.unix_us,
        })
    }

    /// Until everybody has gone.
    async fn carry(&mut self, part: &mut Part) -> Result<(), AgentsError> {
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !part.company.is_done() {
            tokio::select! {
                heard = self.hear() => match heard? {
                    Heard::RoadWorks(works) => part.cut(works.cut_offices),
                    Heard::Over(_) => {
                        part.over.send_replace(true);
                    }
                    _ => return Err(out_of_turn()),
                },
                _ = seconds.tick() => {
                    let clock = part.company.clock();
                    part.sampler.sample(clock);
                    let glance = glance(&part.company.standing());
                    self.tell(Said::Glance(glance)).await?;
                }
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, outcome: &Outcome) -> Result<(), AgentsError> {
        let delivery = async {
            let (cut, bytes) = pieces::cut(outcome);
            for piece in cut {
                self.tell(Said::Outcome(piece)).await?;
            }
            self.tell(Said::Finished(says::Finished { bytes })).await?;
            loop {
                match self.line.heard.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(gone(&status)),
                }
            }
        };
        let delivered = timeout(DELIVER_WITHIN, delivery).await;
        delivered.unwrap_or_else(|_| Err(AgentsError::Gone("it takes nothing".to_owned())))
    }

    /// So that the coordinator can say why.
    async fn give_up(self, error: &AgentsError) {
        let Line { said, mut heard } = self.line;
        let why = error.to_string();
        let failed = says::AttendRequest {
            said: Some(Said::Failed(says::Failed { why })),
        };
        // If it has gone itself, nobody needs to know.
        if said.try_send(failed).is_ok() {
            drop(said);
            let heard = async { while let Ok(Some(_)) = heard.message().await {} };
            let _ = timeout(HEARD_WITHIN, heard).await;
        }
    }

    /// What is said next; pings are answered meanwhile. What is not waited for is not lost.
    async fn hear(&mut self) -> Result<Heard, AgentsError> {
        loop {
            let heard = tokio::select! {
                heard = self.line.heard.message() => heard.map_err(|status| gone(&status))?,
                Ok(_) = self.over.wait_for(|over| *over) => return Err(AgentsError::Interrupted),
            };
            let ended = || AgentsError::Gone("it has hung up".to_owned());
            match heard.ok_or_else(ended)?.said {
                Some(Heard::Ping(ping)) => self.echo(&ping),
                Some(said) => return Ok(said),
                None => return Err(out_of_turn()),
            }
        }
    }

    fn echo(&self, ping: &says::Ping) {
        let echo = says::Echo {
            number: ping.number,
            unix_us: self.wall.unix_us(Instant::now()),
        };
        // One that finds no room would tell the wrong time.
        let _ = self.line.said.try_send(says::AttendRequest {
            said: Some(Said::Echo(echo)),
        });
    }

    async fn tell(&self, said: Said) -> Result<(), AgentsError> {
        let said = says::AttendRequest { said: Some(said) };
        let told = timeout(READ_WITHIN, self.line.said.send(said)).await;
        let gone = |why: &str| AgentsError::Gone(why.to_owned());
        let told = told.map_err(|_| gone("it does not listen"))?;
        told.map_err(|_| gone("it has hung up"))
    }
}

impl Part {
    fn begin(understood: Understood, clock: Clock, threads: usize) -> Result<Part, AgentsError> {
        let Understood { name, engagement } = understood;
        let (over, is_over) = watch::channel(false);
        let roads = engagement.roads();
        let company = engagement.begin(clock, threads, &is_over);
        Ok(Part {
            sampler: Sampler::new(&format!("agent {name}"), Vec::new()),
            name,
            company: company.map_err(|error| AgentsError::CannotPlay(error.to_string()))?,
            roads,
            cut: BTreeSet::new(),
            over,
        })
    }

    /// These offices' edges are cut off, and no others.
    fn cut(&mut self, offices: Vec<String>) {
        let offices: BTreeSet<String> = offices.into_iter().collect();
        let healed = self.cut.difference(&offices);
        healed.for_each(|office| self.roads.cut(office, false));
        let cut = offices.difference(&self.cut);
        cut.for_each(|office| self.roads.cut(office, true));
        self.cut = offices;
    }

    fn close(mut self) -> Outcome {
        self.sampler.sample(self.company.clock());
        let mut outcome = self.company.close(&self.name);
        outcome.processes = self.sampler.close();
        outcome
    }
}

fn gone(status: &tonic::Status) -> AgentsError {
    let words = status.message().to_owned();
    match status.code() {
        Code::Aborted => AgentsError::Dismissed(words),
        _ => AgentsError::Gone(words),
    }
}

fn out_of_turn() -> AgentsError {
    AgentsError::CannotPlay("the coordinator says things out of turn".to_owned())
}

/// A beginning is some seconds away; clocks were compared.
const SOON_US: u64 = 600_000_000;
/// The coordinator has little else to do than to read.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Over a slow line.
const DELIVER_WITHIN: Duration = Duration::from_secs(120);
const HEARD_WITHIN: Duration = Duration::from_secs(2);
