//! `meridian watch`: a namespace's catalog, sound and picture into a file, across refusals, lost edges and restarts.

mod followed;
mod viewing;

use crate::cli::WatchArgs;
use crate::exit::{ExitCode, Failure};
use crate::join::Cause;
use crate::link::{Outages, Redials, stopped};
use crate::report::{Report, Reporter, milliseconds, say};
use crate::way::{Finding, Found, Way};
use anyhow::anyhow;
use meridian_session::client::{Event, Inlet, Line};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};
use viewing::{Out, Viewing};

/// Watches until the broadcast, the time or the user ends it.
///
/// # Errors
/// Nothing was there to watch within the time allowed, the edge refuses, or the file cannot be written.
pub async fn run(args: WatchArgs) -> Result<(), Failure> {
    // A wrong path is told at once, and not when there is media to lose.
    let out = Out::open(&args.out)?;
    let way = Way::open(&args.target, args.run.wait).await?;
    let mut watch = Watch::new(&args, out, way)?;
    let outcome = watch.run(args.run.length).await;
    watch.leave_former();
    if let Some(line) = watch.line.take() {
        line.hang_up().await;
    }
    outcome.and(watch.end())
}

struct Watch {
    way: Way,
    viewing: Viewing,
    inlet: Option<Inlet>,
    line: Option<Line>,
    /// What comes over the session that is being left, until it comes over the other.
    former: Option<Former>,
    /// Tracks that have come over the newest session, a bit each.
    heard: u64,
    wait: Duration,
    reporter: Reporter,
    began: Instant,
    outages: Outages,
    redials: Redials,
    report: Report,
}

type Listening = Pin<Box<dyn Future<Output = ()>>>;

impl Watch {
    fn new(args: &WatchArgs, out: Out, way: Way) -> Result<Watch, Failure> {
        let now = Instant::now();
        let namespace = way.namespace(args.target.namespace.as_ref(), false)?;
        Ok(Watch {
            viewing: Viewing::new(args, out, namespace, way.has_token(), now)?,
            way,
            inlet: None,
            line: None,
            former: None,
            heard: 0,
            wait: args.run.wait,
            reporter: Reporter::new(args.run.json, now),
            began: now,
            outages: Outages::default(),
            redials: Redials::default(),
            report: Report {
                role: "watch",
                ..Report::default()
            },
        })
    }

    async fn run(&mut self, length: Option<Duration>) -> Result<(), Failure> {
        let mut dialing: Option<Finding> = Some(self.way.find(
            Cause::First,
            self.began + self.wait,
            &self.redials,
        ));
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
            self.leave_former_in_time();
            // The time asked for counts from the first object on.
            end = end.max(length.and_then(|length| Some(self.viewing.first_at()? + length)));
            let wake = self.viewing.wake_at().min(Instant::now() + LOOK_EVERY);
            let wake = end.map_or(wake, |end| wake.min(end));
            tokio::select! {
                () = &mut stopping => return Ok(()),
                dialed = async { dialing.as_mut().expect("checked").await }, if dialing.is_some() => {
                    dialing = None;
                    let found = dialed?;
                    listening = Some(Box::pin(found.dialed.line.clone().silence()));
                    self.connected(found);
                }
                event = next(self.inlet.as_mut()) => {
                    self.handle(event, &mut dialing, &mut listening)?;
                }
                event = next(self.former.as_mut().map(|former| &mut former.inlet)) => match event {
                    event @ Event::Arrival { .. } => self.viewing.take(event)?,
                    Event::Ended(_) => self.leave_former(),
                    _ => {}
                },
                () = async { listening.as_mut().expect("checked").await }, if listening.is_some() => {
                    say("nothing was heard of the edge for half a second; connecting again");
                    listening = None;
                    self.lose();
                    dialing.get_or_insert_with(|| self.find(Cause::Lost));
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

    fn handle(
        &mut self,
        event: Event,
        dialing: &mut Option<Finding>,
        listening: &mut Option<Listening>,
    ) -> Result<(), Failure> {
        match event {
            Event::Ended(error) => {
                let cause = self.way.after(&error)?;
                say(&format!("the session ended ({error}); connecting again"));
                *listening = None;
                self.lose();
                dialing.get_or_insert_with(|| self.find(cause));
            }
            Event::Goaway(goaway) => {
                if dialing.is_none() {
                    say("the edge asks to go elsewhere; connecting there");
                    *dialing = Some(self.find(Cause::Goaway(goaway.uri)));
                }
            }
            event => self.take(event)?,
        }
        Ok(())
    }

    /// Looks for another session, at once unless those before have ended at once.
    fn find(&mut self, cause: Cause) -> Finding {
        let now = Instant::now();
        let pause = self.redials.pause(now, rand::random());
        let finding = self.way.find(cause, now + self.wait, &self.redials);
        Box::pin(async move {
            sleep(pause).await;
            finding.await
        })
    }

    fn connected(&mut self, Found { dialed, told }: Found) {
        let now = Instant::now();
        if let Some(told) = &told {
            self.reporter.note(told);
        }
        if self.report.draft.is_empty() {
            self.report.connect_ms = milliseconds(dialed.connect + dialed.setup);
        }
        let connection = dialed.line.session.connection();
        self.report.draft = connection.draft().protocol();
        self.report.transport = connection.transport().name();
        self.outages.up(now);
        self.redials.up(now);
        self.viewing
            .connected(connection.draft(), self.way.video_at(), now);
        self.leave_former();
        let inlet = self.inlet.replace(Inlet::new(dialed.line.session.clone()));
        let line = self.line.replace(dialed.line);
        // Make before break: it is heard until the new one brings the same.
        self.former = inlet.zip(line).map(|(inlet, line)| Former {
            inlet,
            line,
            until: now + BOTH_AT_MOST,
        });
        self.heard = 0;
    }

    /// Takes what comes over the newest session.
    fn take(&mut self, event: Event) -> Result<(), Failure> {
        if let (Some(_), Event::Arrival { track, .. }) = (&self.former, &event) {
            self.heard |= 1 << track.min(&63);
        }
        self.viewing.take(event)?;
        if self.former.is_some() && self.viewing.is_all_media(self.heard) {
            self.leave_former();
        }
        Ok(())
    }

    fn leave_former_in_time(&mut self) {
        let is_late = |former: &Former| Instant::now() >= former.until;
        if self.former.as_ref().is_some_and(is_late) {
            self.leave_former();
        }
    }

    /// Lets go of a session that is not needed any more.
    fn leave_former(&mut self) {
        if let Some(former) = self.former.take() {
            tokio::spawn(former.line.hang_up());
        }
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
        report.offices = self.way.offices();
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

/// A session that is being left.
struct Former {
    inlet: Inlet,
    line: Line,
    until: Instant,
}

/// How long two sessions are kept at most: what has not come over the new one by then is not waited for.
const BOTH_AT_MOST: Duration = Duration::from_secs(10);
/// The longest between two looks at what is over or due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

async fn next(inlet: Option<&mut Inlet>) -> Event {
    match inlet {
        Some(inlet) => inlet.next().await,
        None => std::future::pending().await,
    }
}
