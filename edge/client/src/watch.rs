//! `meridian watch`: a namespace's catalog, sound and picture into a file, across refusals, lost edges and restarts.

mod followed;
mod viewing;

use crate::cli::WatchArgs;
use crate::dial::dialer;
use crate::exit::{ExitCode, Failure};
use crate::link::{Outages, dial_until, stopped};
use crate::report::{Report, Reporter, milliseconds, say};
use anyhow::anyhow;
use meridian_session::client::{DialError, Dialed, Dialer, Event, Inlet, Line};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use viewing::Viewing;

/// Watches until the broadcast, the time or the user ends it.
///
/// # Errors
/// Nothing was there to watch within the time allowed, the edge refuses, or the file cannot be written.
pub async fn run(args: WatchArgs) -> Result<(), Failure> {
    let dialer = dialer(&args.target)?;
    let mut watch = Watch::new(&args)?;
    let outcome = watch.run(&dialer, args.run.length).await;
    if let Some(line) = watch.line.take() {
        line.hang_up().await;
    }
    outcome.and(watch.end())
}

struct Watch {
    viewing: Viewing,
    inlet: Option<Inlet>,
    line: Option<Line>,
    wait: Duration,
    reporter: Reporter,
    began: Instant,
    outages: Outages,
    report: Report,
}

type Dialing = Pin<Box<dyn Future<Output = Result<Dialed, DialError>>>>;
type Listening = Pin<Box<dyn Future<Output = ()>>>;

impl Watch {
    fn new(args: &WatchArgs) -> Result<Watch, Failure> {
        let now = Instant::now();
        Ok(Watch {
            viewing: Viewing::new(args, now)?,
            inlet: None,
            line: None,
            wait: args.run.wait,
            reporter: Reporter::new(args.run.json, now),
            began: now,
            outages: Outages::default(),
            report: Report {
                role: "watch",
                ..Report::default()
            },
        })
    }

    async fn run(&mut self, dialer: &Dialer, length: Option<Duration>) -> Result<(), Failure> {
        let mut dialing: Option<Dialing> = Some(self.dial(dialer));
        let mut listening: Option<Listening> = None;
        let mut end = length.map(|length| self.began + length);
        let mut stopping = pin!(stopped());
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.viewing.subscribe_due(self.inlet.as_mut()).await;
            if self.viewing.is_over(Instant::now()) {
                return Ok(());
            }
            self.check_patience()?;
            // The time asked for counts from the first object on.
            end = end.max(length.and_then(|length| Some(self.viewing.first_at()? + length)));
            let wake = self.viewing.wake_at().min(Instant::now() + LOOK_EVERY);
            let wake = end.map_or(wake, |end| wake.min(end));
            tokio::select! {
                () = &mut stopping => return Ok(()),
                dialed = async { dialing.as_mut().expect("checked").await }, if dialing.is_some() => {
                    dialing = None;
                    let dialed = dialed?;
                    listening = Some(Box::pin(dialed.line.clone().silence()));
                    self.connected(dialed);
                }
                event = next(&mut self.inlet) => match event {
                    Event::Ended(error) => {
                        say(&format!("the session ended ({error}); connecting again"));
                        listening = None;
                        self.lose();
                        dialing.get_or_insert_with(|| self.dial(dialer));
                    }
                    Event::Goaway => {
                        if dialing.is_none() {
                            say("the edge asks to go elsewhere; connecting again");
                            dialing = Some(self.dial(dialer));
                        }
                    }
                    event => self.viewing.take(event)?,
                },
                () = async { listening.as_mut().expect("checked").await }, if listening.is_some() => {
                    say("nothing was heard of the edge for half a second; connecting again");
                    listening = None;
                    self.lose();
                    dialing.get_or_insert_with(|| self.dial(dialer));
                }
                _ = seconds.tick() => self.tick(),
                () = sleep_until(wake.into()) => {
                    if end.is_some_and(|end| Instant::now() >= end) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn dial(&self, dialer: &Dialer) -> Dialing {
        let dialer = dialer.clone();
        let deadline = Instant::now() + self.wait;
        Box::pin(async move {
            let told = |error: &DialError| say(&format!("{error}; trying again"));
            dial_until(&dialer, deadline, told).await
        })
    }

    fn connected(&mut self, dialed: Dialed) {
        let now = Instant::now();
        if self.report.draft.is_empty() {
            self.report.connect_ms = milliseconds(dialed.connect + dialed.setup);
        }
        let connection = dialed.line.session.connection();
        self.report.draft = connection.draft().protocol();
        self.report.transport = connection.transport().name();
        self.outages.up(now);
        self.viewing.connected(connection.draft(), now);
        self.inlet = Some(Inlet::new(dialed.line.session.clone()));
        self.line = Some(dialed.line);
    }

    fn lose(&mut self) {
        self.inlet = None;
        if let Some(line) = self.line.take() {
            line.cut();
        }
        self.outages.down(Instant::now());
        self.viewing.disconnected();
    }

    fn check_patience(&self) -> Result<(), Failure> {
        let idle = self.viewing.idle_since().elapsed();
        if idle < self.wait {
            return Ok(());
        }
        let what = match &self.inlet {
            Some(_) => format!("nothing was published for {idle:.0?}"),
            None => format!("no edge for {idle:.0?}"),
        };
        Err(Failure::new(ExitCode::Unavailable, anyhow!(what)))
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.report.kind = "second";
        self.fill_in(now);
        self.viewing.report_lately(&mut self.report, now);
        self.reporter.second(&self.report, now);
    }

    fn fill_in(&mut self, now: Instant) {
        let report = &mut self.report;
        report.elapsed_s = ((now - self.began).as_secs_f64() * 1e3).round() / 1e3;
        report.reconnects = self.outages.reconnects;
        report.longest_outage_ms = milliseconds(self.outages.longest);
    }

    fn end(mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.report.kind = "summary";
        self.fill_in(now);
        let finished = self.viewing.finish(&mut self.report);
        self.reporter.summary(&self.report);
        finished
    }
}

/// The longest between two looks at what is over or due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

async fn next(inlet: &mut Option<Inlet>) -> Event {
    match inlet {
        Some(inlet) => inlet.next().await,
        None => std::future::pending().await,
    }
}
