//! `meridian publish`: a file as live tracks, by an absolute schedule, over as many sessions as it takes.

use crate::catalog::{AUDIO_TRACK, CATALOG_TRACK, Catalog, VIDEO_TRACK};
use crate::cli::PublishArgs;
use crate::digest::Digest;
use crate::exit::{ExitCode, Failure};
use crate::group_clock::{CaptureClock, GroupClock};
use crate::join::{Cause, Told};
use crate::link::{Outages, Redials, stopped};
use crate::loc::{self, Packager, priority};
use crate::media::{Kind, MediaError, Program, Scheduled, Selection};
use crate::meter::Meter;
use crate::report::{Report, Reporter, TrackReport, milliseconds, say};
use crate::wall;
use crate::way::Way;
use anyhow::Context;
use meridian_session::client::{Announced, Ended, Line, Object, Offer, Outlet, announce};
use meridian_wire::Namespace;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until};

/// Publishes until the file, the time or the user ends it.
///
/// # Errors
/// The file is of no use, no edge is reached within the time allowed, or the edge refuses.
pub async fn run(args: PublishArgs) -> Result<(), Failure> {
    let selection = Selection {
        audio: !args.run.no_audio,
        video: !args.run.no_video,
    };
    let program = Program::open(&args.file, selection, args.repeat)?;
    if program.survey().truncated {
        say("the file ends in the middle of a frame; what is whole is published");
    }
    let way = Way::open(&args.target, args.run.wait).await?;
    let mut broadcast = Broadcast::new(&args, way, &program)?;
    broadcast.connect().await?;
    let frames = read_ahead(program);
    let outcome = broadcast.run(frames, args.run.length).await;
    broadcast.end().await?;
    outcome
}

/// The one track that is always there, and then those of the file.
const CATALOG: usize = 0;

struct Broadcast {
    way: Way,
    namespace: Namespace,
    outlet: Outlet,
    line: Option<Line>,
    /// The session that is being left: everything is published on both until the tree asks at the new one.
    former: Option<(Outlet, Line, Instant)>,
    wait: Duration,
    tracks: Vec<Media>,
    catalog_groups: GroupClock,
    digest: Option<Digest>,
    reporter: Reporter,
    began: Instant,
    outages: Outages,
    redials: Redials,
    report: Report,
}

/// A media track being published; its place among the outlet's tracks is one more than its place here.
struct Media {
    kind: Kind,
    name: String,
    packager: Packager,
    meter: Meter,
    /// Frames were left out: the rest of the group cannot be decoded.
    waits_for_key: bool,
}

type Reaching = Pin<Box<dyn Future<Output = Result<Reached, Failure>>>>;

/// A session at which the namespace is announced, and the time it took to get there.
struct Reached {
    announced: Announced,
    line: Line,
    told: Option<Told>,
    took: Duration,
}

impl Broadcast {
    fn new(args: &PublishArgs, way: Way, program: &Program) -> Result<Broadcast, Failure> {
        let now = Instant::now();
        let mut offers = vec![Offer {
            name: CATALOG_TRACK.to_owned(),
            properties: loc::catalog_track_properties(),
            priority: priority::CATALOG,
            single_objects: true,
        }];
        let mut tracks = Vec::new();
        if let Some(format) = program.audio() {
            let name = format!("{}{AUDIO_TRACK}", args.track_prefix);
            let properties = loc::audio_track_properties(format);
            offers.push(offer(&name, properties, priority::AUDIO, true));
            tracks.push(Media::new(Kind::Audio, name, Packager::audio(), now));
        }
        if let Some(format) = program.video() {
            let name = format!("{}{VIDEO_TRACK}", args.track_prefix);
            let properties = loc::video_track_properties(format);
            offers.push(offer(&name, properties, priority::VIDEO_HIGH, false));
            tracks.push(Media::new(Kind::Video, name, Packager::video(format), now));
        }
        let digest = args.run.digest.as_deref().map(Digest::create).transpose();
        let namespace = way.namespace(args.target.namespace.as_ref(), true)?;
        let mut broadcast = Broadcast {
            way,
            outlet: Outlet::new(namespace.clone(), offers),
            namespace,
            line: None,
            former: None,
            wait: args.run.wait,
            tracks,
            catalog_groups: GroupClock::video(),
            digest: digest.context("the digest").map_err(output)?,
            reporter: Reporter::new(args.run.json, now),
            began: now,
            outages: Outages::default(),
            redials: Redials::default(),
            report: Report {
                role: "publish",
                ..Report::default()
            },
        };
        let now_ms = wall::now_us() / 1_000;
        let catalog = Catalog::live(
            &args.track_prefix,
            program.audio(),
            program.survey(),
            now_ms,
        );
        broadcast.publish_catalog(&catalog);
        Ok(broadcast)
    }

    /// The first session: the file starts when it is there.
    async fn connect(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.wait;
        let reaching = reach(
            self.way.clone(),
            self.redials.clone(),
            Cause::First,
            self.namespace.clone(),
            deadline,
        );
        let reached = reaching.await?;
        self.report.connect_ms = milliseconds(reached.took);
        self.reached(reached);
        Ok(())
    }

    /// Looks for another session, at once unless those before have ended at once.
    fn reach(&mut self, cause: Cause) -> Reaching {
        let now = Instant::now();
        let pause = self.redials.pause(now, rand::random());
        let (way, namespace) = (self.way.clone(), self.namespace.clone());
        let reaching = reach(way, self.redials.clone(), cause, namespace, now + self.wait);
        Box::pin(async move {
            sleep(pause).await;
            reaching.await
        })
    }

    fn reached(&mut self, reached: Reached) {
        if let Some(told) = &reached.told {
            self.reporter.note(told);
        }
        let connection = reached.line.session.connection();
        self.report.draft = connection.draft().protocol();
        self.report.transport = connection.transport().name();
        let now = Instant::now();
        self.outages.up(now);
        self.redials.up(now);
        self.leave_former();
        let mut outlet = self.outlet.twin();
        outlet.attach(reached.announced);
        let before = std::mem::replace(&mut self.outlet, outlet);
        let line = self.line.replace(reached.line);
        let until = now + BOTH_FOR;
        self.former = line.map(|line| (before, line, until));
    }

    fn leave_former(&mut self) {
        if let Some((_, line, _)) = self.former.take() {
            tokio::spawn(line.hang_up());
        }
    }

    async fn run(
        &mut self,
        mut frames: mpsc::Receiver<Result<Scheduled, MediaError>>,
        length: Option<Duration>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let capture = CaptureClock::starting_at(wall::now_us());
        let end = start + length.unwrap_or(FOREVER);
        let mut stopping = pin!(stopped());
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next: Option<Scheduled> = None;
        let mut reaching: Option<Reaching> = None;
        let mut listening: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
        loop {
            if listening.is_none()
                && let Some(line) = self.line.clone()
            {
                listening = Some(Box::pin(line.silence()));
            }
            let due = next
                .as_ref()
                .map_or(end, |next| start + Duration::from_micros(next.due_us));
            tokio::select! {
                biased;
                () = &mut stopping => return Ok(()),
                () = sleep_until(end.into()) => return Ok(()),
                () = sleep_until(due.into()), if next.is_some() => {
                    if let Some(scheduled) = next.take() {
                        self.send(&scheduled, due, capture)?;
                    }
                }
                frame = frames.recv(), if next.is_none() => match frame {
                    Some(frame) => next = Some(frame?),
                    None => return Ok(()),
                },
                reached = async { reaching.as_mut().expect("checked").await }, if reaching.is_some() => {
                    (reaching, listening) = (None, None);
                    self.reached(reached?);
                    say("connected again");
                }
                ended = self.outlet.serve() => {
                    let cause = self.after(&ended)?;
                    say(&format!("{}; connecting again", describe(&ended)));
                    if !matches!(ended, Ended::Goaway(_)) {
                        self.lose();
                        listening = None;
                    }
                    reaching.get_or_insert_with(|| self.reach(cause));
                }
                () = leaving(&mut self.former) => self.leave_former(),
                () = async { listening.as_mut().expect("checked").await }, if listening.is_some() => {
                    say("nothing was heard of the edge for half a second; connecting again");
                    self.lose();
                    listening = None;
                    reaching.get_or_insert_with(|| self.reach(Cause::Lost));
                }
                _ = seconds.tick() => self.tick(),
            }
        }
    }

    /// Why to look for an edge again, or why not.
    fn after(&self, ended: &Ended) -> Result<Cause, Failure> {
        match ended {
            Ended::Goaway(goaway) => Ok(Cause::Goaway(goaway.uri.clone())),
            Ended::Session(error) => self.way.after(error),
            Ended::Withdrawn => Ok(Cause::Lost),
        }
    }

    fn lose(&mut self) {
        self.outlet.detach();
        if let Some(line) = self.line.take() {
            line.cut();
        }
        self.outages.down(Instant::now());
    }

    fn send(
        &mut self,
        scheduled: &Scheduled,
        due: Instant,
        capture: CaptureClock,
    ) -> Result<(), Failure> {
        let frame = &scheduled.frame;
        let Some(index) = self
            .tracks
            .iter()
            .position(|track| track.kind == frame.kind)
        else {
            return Ok(());
        };
        let now = Instant::now();
        let late = now.saturating_duration_since(due);
        let track = &mut self.tracks[index];
        track.waits_for_key = late > TOO_LATE || (track.waits_for_key && !frame.key);
        if track.waits_for_key {
            track.meter.drop_one();
            return Ok(());
        }
        let object = track
            .packager
            .package(frame, capture.capture_us(frame.pts_us));
        let sent = self.outlet.publish(index + 1, &object);
        if let Some((former, ..)) = &mut self.former {
            former.publish(index + 1, &object);
        }
        let late_us = i64::try_from(late.as_micros()).unwrap_or(i64::MAX);
        track.meter.object(now, object.payload.len(), Some(late_us));
        if sent.dropped > 0 || !self.outlet.is_attached() {
            track.meter.drop_one();
        }
        if let Some(digest) = &mut self.digest {
            let line = digest.add(&track.name, object.group, object.object, &object.payload);
            line.context("the digest").map_err(output)?;
        }
        Ok(())
    }

    /// A catalog is a group of one object; who joins later gets the newest.
    fn publish_catalog(&mut self, catalog: &Catalog) {
        let capture_us = wall::now_us();
        let object = Object {
            group: self.catalog_groups.number(capture_us).id,
            object: 0,
            properties: loc::catalog_object_properties(capture_us),
            payload: catalog.to_json(),
        };
        self.outlet.publish(CATALOG, &object);
        if let Some((former, ..)) = &mut self.former {
            former.publish(CATALOG, &object);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.report.kind = "second";
        self.fill_in(now, |meter| meter.lately(now));
        self.reporter.second(&self.report, now);
    }

    fn fill_in(
        &mut self,
        now: Instant,
        figures: impl Fn(&mut Meter) -> crate::meter::TrackFigures,
    ) {
        let report = &mut self.report;
        report.elapsed_s = ((now - self.began).as_secs_f64() * 1e3).round() / 1e3;
        report.reconnects = self.outages.reconnects;
        report.offices = self.way.offices();
        report.longest_outage_ms = milliseconds(self.outages.longest);
        for track in &mut self.tracks {
            let figures = figures(&mut track.meter);
            let entry = TrackReport {
                figures,
                ..TrackReport::default()
            };
            report.tracks.insert(track.name.clone(), entry);
        }
    }

    /// Says that the broadcast is over, and shows the summary.
    async fn end(mut self) -> Result<(), Failure> {
        self.publish_catalog(&Catalog::complete(wall::now_us() / 1_000));
        let now = Instant::now();
        self.report.kind = "summary";
        self.fill_in(now, |meter| meter.overall());
        self.leave_former();
        self.outlet.finish().await;
        if let Some(line) = self.line {
            line.hang_up().await;
        }
        self.reporter.summary(&self.report);
        let finished = self.digest.map(Digest::finish).transpose();
        finished.context("the digest").map_err(output)?;
        Ok(())
    }
}

impl Media {
    fn new(kind: Kind, name: String, packager: Packager, now: Instant) -> Media {
        Media {
            kind,
            name,
            packager,
            meter: Meter::new(now),
            waits_for_key: false,
        }
    }
}

fn offer(
    name: &str,
    properties: meridian_wire::property::Properties,
    priority: u8,
    single_objects: bool,
) -> Offer {
    Offer {
        name: name.to_owned(),
        properties,
        priority,
        single_objects,
    }
}

/// Reads the file on a thread of its own: a disk that stalls must not stall the sending.
fn read_ahead(mut program: Program) -> mpsc::Receiver<Result<Scheduled, MediaError>> {
    let (out, frames) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        loop {
            let frame = match program.next_due() {
                Ok(Some(frame)) => Ok(frame),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let is_last = frame.is_err();
            // Fails when nobody publishes any more: then the thread is done too.
            if out.blocking_send(frame).is_err() || is_last {
                return;
            }
        }
    });
    frames
}

async fn reach(
    way: Way,
    redials: Redials,
    mut cause: Cause,
    namespace: Namespace,
    deadline: Instant,
) -> Result<Reached, Failure> {
    loop {
        let start = Instant::now();
        let found = way.find(cause.clone(), deadline, &redials).await?;
        let line = found.dialed.line;
        match announce(line.session.clone(), namespace.clone()).await {
            Ok(announced) => {
                return Ok(Reached {
                    announced,
                    line,
                    told: found.told,
                    took: start.elapsed(),
                });
            }
            // Where the edge has pointed is no place for this: back to the one that was asked for.
            Err(error) if matches!(cause, Cause::Goaway(_)) => {
                say(&format!("{error}; going back"));
                cause = Cause::Lost;
            }
            Err(error) => {
                cause = match error.session() {
                    Some(ended) => way.after(ended)?,
                    None if error.is_refusal() => {
                        return Err(Failure::new(ExitCode::Denied, error));
                    }
                    None => Cause::Lost,
                };
                if Instant::now() + RETRY >= deadline {
                    return Err(Failure::new(ExitCode::Unavailable, error));
                }
                say(&format!("{error}; trying again"));
                sleep(RETRY).await;
            }
        }
    }
}

/// Answers what is still asked at the session that is being left, until it may be left.
async fn leaving(former: &mut Option<(Outlet, Line, Instant)>) {
    let Some((outlet, _, until)) = former else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = outlet.serve() => {}
        () = sleep_until((*until).into()) => {}
    }
}

fn describe(ended: &Ended) -> String {
    match ended {
        Ended::Session(error) => format!("the session ended ({error})"),
        Ended::Goaway(_) => "the edge asks to go elsewhere".to_owned(),
        Ended::Withdrawn => "the edge took the announcement back".to_owned(),
    }
}

fn output(error: anyhow::Error) -> Failure {
    Failure::new(ExitCode::Output, error)
}

/// Frames read ahead of their time: three seconds of sound and picture.
const AHEAD: usize = 256;
/// A frame this late (the machine slept, say) is of no use to anybody any more.
const TOO_LATE: Duration = Duration::from_secs(2);
/// Between announcements that are not taken.
const RETRY: Duration = Duration::from_secs(1);
/// How long everything is published at the old edge as well as at the new one: longer than it takes the others to hear of
/// the new one and ask there, wherever they are.
const BOTH_FOR: Duration = Duration::from_secs(3);
/// Longer than any broadcast.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
