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
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Code;
use url::Url;

/// Which coordinator an agent joins, and as whom.
#[derive(Clone)]
pub struct Visit {
    /// As in `https://load.example:7000`.
    pub coordinator: Url,
    /// The authorities of its certificate, PEM; for https alone.
    pub ca: Vec<u8>,
    /// What it wants to be shown.
    pub token: String,
    /// As in reports.
    pub name: String,
    /// Threads that play delegates; 0: one for each core.
    pub threads: usize,
    /// How long the coordinator is dialled.
    pub wait: Duration,
}

impl fmt::Debug for Visit {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("coordinator", &self.coordinator.as_str())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
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
        let mut part = Part::begin(understood, clock(self.wall, &begin)?, threads)?;
        say("it begins");
        let played = self.carry(&mut part).await;
        // Whatever has happened, nobody stays behind.
        part.over.send_replace(true);
        played.and(part.closed().await)
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
                let heard = self.line.heard.message().await;
                match heard.map_err(|status| gone(&status))? {
                    Some(heard) if matches!(heard.said, Some(Heard::Taken(_))) => return Ok(()),
                    Some(_) => {}
                    None => return Err(hung_up()),
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
            match heard.ok_or_else(hung_up)?.said {
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
        let deaf = |_| AgentsError::Gone("it does not listen".to_owned());
        told.map_err(deaf)?.map_err(|_| hung_up())
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

    /// Once all of its threads have ended, which is soon.
    async fn closed(self) -> Result<Outcome, AgentsError> {
        let name = self.name.clone();
        let closing = tokio::task::spawn_blocking(move || self.close());
        let closed = timeout(CLOSED_WITHIN, closing).await;
        let cannot = |how: &str| AgentsError::CannotPlay(format!("{name} {how}"));
        let closed = closed.map_err(|_| cannot("did not end"))?;
        closed.map_err(|_| cannot("broke down"))
    }

    fn close(mut self) -> Outcome {
        self.sampler.sample(self.company.clock());
        let mut outcome = self.company.close(&self.name);
        outcome.processes = self.sampler.close();
        outcome
    }
}

/// By this machine's clock that never jumps, and by the coordinator's wall clock, which publishers write.
fn clock(wall: Clock, begin: &says::Begin) -> Result<Clock, AgentsError> {
    let now = wall.unix_us(Instant::now());
    let is_soon = now.abs_diff(begin.agent_unix_us) <= SOON_US;
    if !is_soon || now.abs_diff(begin.unix_us) > APART_US {
        return Err(AgentsError::CannotPlay(
            "it is to begin at another time".to_owned(),
        ));
    }
    Ok(Clock {
        start: wall.instant(begin.agent_unix_us),
        start_unix_us: begin.unix_us,
    })
}

fn gone(status: &tonic::Status) -> AgentsError {
    let words = status.message().to_owned();
    match status.code() {
        Code::Aborted => AgentsError::Dismissed(words),
        _ => AgentsError::Gone(words),
    }
}

fn hung_up() -> AgentsError {
    AgentsError::Gone("it has hung up".to_owned())
}

fn out_of_turn() -> AgentsError {
    AgentsError::CannotPlay("the coordinator says things out of turn".to_owned())
}

/// A beginning is some seconds away; clocks were compared.
const SOON_US: u64 = 600_000_000;
/// A year: clocks need not be set alike, but there is a calendar by which certificates are checked.
const APART_US: u64 = 366 * 86_400 * 1_000_000;
/// Goodbyes have their own limits, and are far below it; the coordinator waits longer.
const CLOSED_WITHIN: Duration = Duration::from_secs(60);
/// The coordinator has little else to do than to read.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// Over a slow line.
const DELIVER_WITHIN: Duration = Duration::from_secs(120);
const HEARD_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_soon_by_this_clock_and_at_a_time_of_our_calendar_by_the_coordinators() {
        let wall = Clock::wall();
        let now = wall.start_unix_us;
        let begin = |agent_unix_us, unix_us| {
            let begin = says::Begin {
                agent_unix_us,
                unix_us,
            };
            clock(wall, &begin)
        };
        let hour = 3_600_000_000;
        let taken = begin(now + 2_000_000, now + 5 * hour).expect("clocks are set differently");
        assert_eq!(taken.start, wall.start + Duration::from_secs(2));
        assert_eq!(taken.start_unix_us, now + 5 * hour);
        for (agents, coordinators) in [(now + hour, now), (now, u64::MAX), (now, 0)] {
            assert!(begin(agents, coordinators).is_err());
        }
    }
}
