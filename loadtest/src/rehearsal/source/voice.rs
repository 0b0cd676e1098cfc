//! One speaker or booth.

use super::Log;
use crate::account::{Clock, Payloads};
use crate::rehearsal::house::House;
use crate::rehearsal::programme::{AUDIO_BYTES, AUDIO_US, Medium, Programme, Voice};
use meridian_client::join::{Cause, Guest, Invited, JoinError};
use meridian_client::loc::priority;
use meridian_session::client::{
    AnnounceError, Announced, Ended, Line, Object, Offer, Outlet, announce,
};
use meridian_wire::Namespace;
use meridian_wire::property::Properties;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};

/// One speaker or booth.
pub(super) struct Source {
    house: Arc<House>,
    programme: Programme,
    voice: Voice,
    invitation: String,
    log: Arc<Log>,
    payloads: [Payloads; 2],
    outlet: Outlet,
    line: Option<Line>,
    /// The session that is being left: everything is published on both until the tree asks at the new one.
    former: Option<(Outlet, Line, Instant)>,
    /// Nothing captured before this is published, by medium.
    next_us: [u64; 2],
}

type Reaching = Pin<Box<dyn Future<Output = Result<(Announced, Line), String>>>>;
type Silence = Pin<Box<dyn Future<Output = ()>>>;

impl Source {
    pub(super) fn new(
        house: Arc<House>,
        voice: Voice,
        invitation: String,
        log: Arc<Log>,
    ) -> Source {
        let programme = house.programme.clone();
        let offers = programme.media(&voice).iter().map(|medium| offer(*medium));
        Source {
            payloads: [Medium::Audio, Medium::Video].map(|m| programme.payloads(&voice, m)),
            outlet: Outlet::new(programme.namespace(&voice), offers.collect()),
            house,
            programme,
            voice,
            invitation,
            log,
            line: None,
            former: None,
            next_us: [0; 2],
        }
    }

    /// Comes in, tells that it is there, publishes from when the clock is told, and goes when all is over.
    pub(super) async fn live(
        mut self,
        ready: mpsc::UnboundedSender<Result<(), String>>,
        mut clock: watch::Receiver<Option<Clock>>,
        mut over: watch::Receiver<bool>,
    ) {
        let who = self.voice.participant();
        let guest = match self.enter().await {
            Ok(guest) => guest,
            Err(error) => {
                let _ = ready.send(Err(format!("{who}: {error}")));
                return;
            }
        };
        let told = ready.send(Ok(()));
        drop(ready);
        if told.is_err() {
            return;
        }
        tokio::select! {
            _ = over.wait_for(|over| *over) => {}
            never = self.speak(&guest, &mut clock) => match never {},
        }
        self.go().await;
    }

    async fn enter(&mut self) -> Result<Guest, String> {
        let invited = Invited {
            invitation: self.invitation.clone(),
            country: self.programme.country(&self.voice).to_owned(),
        };
        let replicas = self.house.replicas().map_err(|error| error.to_string())?;
        let manner = self.house.plain();
        let guest = Guest::enter(replicas, invited, manner, PATIENCE, |_| ()).await;
        let guest = guest.map_err(|error| error.to_string())?;
        let reached = self.reach(&guest, Cause::First).await?;
        self.attach(reached);
        Ok(guest)
    }

    fn reach(&self, guest: &Guest, cause: Cause) -> Reaching {
        let namespace = self.programme.namespace(&self.voice);
        Box::pin(reach(guest.clone(), namespace, cause))
    }

    fn attach(&mut self, (announced, line): (Announced, Line)) {
        let mut outlet = self.outlet.twin();
        outlet.attach(announced);
        let before = std::mem::replace(&mut self.outlet, outlet);
        let line = self.line.replace(line);
        let former = line.map(|line| (before, line, Instant::now() + BOTH));
        if let Some((_, line, _)) = std::mem::replace(&mut self.former, former) {
            tokio::task::spawn_local(line.hang_up());
        }
    }

    async fn speak(
        &mut self,
        guest: &Guest,
        clock: &mut watch::Receiver<Option<Clock>>,
    ) -> std::convert::Infallible {
        let mut reaching: Option<Reaching> = None;
        let mut silence: Option<Silence> = None;
        let mut is_told = false;
        loop {
            if silence.is_none()
                && let Some(line) = self.line.clone()
            {
                silence = Some(Box::pin(line.silence()));
            }
            let due = is_told.then(|| self.next());
            tokio::select! {
                biased;
                Ok(told) = told(clock), if !is_told => {
                    is_told = true;
                    self.programme.clock = told;
                    self.next_us = [told.unix_us(Instant::now()); 2];
                }
                () = at(due.map(|(at, _)| at)) => {
                    if let Some((at, medium)) = due {
                        self.publish(medium, at);
                    }
                }
                reached = async { reaching.as_mut().expect("checked").await }, if reaching.is_some() => {
                    match reached {
                        Ok(reached) => {
                            (reaching, silence) = (None, None);
                            self.attach(reached);
                        }
                        Err(_) => reaching = Some(self.reach(guest, Cause::Lost)),
                    }
                }
                ended = self.outlet.serve() => {
                    let cause = match &ended {
                        Ended::Goaway(goaway) => Cause::Goaway(goaway.uri.clone()),
                        Ended::Session(_) | Ended::Withdrawn => {
                            self.lose();
                            silence = None;
                            Cause::Lost
                        }
                    };
                    reaching.get_or_insert_with(|| self.reach(guest, cause));
                }
                () = leaving(&mut self.former) => {
                    if let Some((_, line, _)) = self.former.take() {
                        tokio::task::spawn_local(line.hang_up());
                    }
                }
                () = async { silence.as_mut().expect("checked").await }, if silence.is_some() => {
                    self.lose();
                    silence = None;
                    reaching.get_or_insert_with(|| self.reach(guest, Cause::Lost));
                }
            }
        }
    }

    fn lose(&mut self) {
        self.outlet.detach();
        if let Some(line) = self.line.take() {
            line.cut();
        }
    }

    /// What is published next, and when.
    fn next(&self) -> (Instant, Medium) {
        let media = self.programme.media(&self.voice).iter();
        let next = media.map(|medium| (self.capture(*medium).0, *medium));
        let (capture_us, medium) = next
            .min_by_key(|(at, _)| *at)
            .expect("everybody has a voice");
        (self.programme.instant(capture_us), medium)
    }

    /// The next frame: when it is captured, and its place.
    fn capture(&self, medium: Medium) -> (u64, u64, u64) {
        match medium {
            Medium::Audio => {
                let capture = self.programme.next_audio(&self.voice, self.next_us[0]);
                (capture, capture / AUDIO_US, 0)
            }
            Medium::Video => self.programme.next_video(self.next_us[1]),
        }
    }

    /// However late it is: a hole would be taken for the network's.
    fn publish(&mut self, medium: Medium, due: Instant) {
        let (capture_us, group, object) = self.capture(medium);
        let index = medium as usize;
        self.next_us[index] = capture_us + 1;
        if !self.programme.is_on_air(&self.voice, capture_us) {
            return;
        }
        let len = match medium {
            Medium::Audio => AUDIO_BYTES,
            Medium::Video => self.programme.video_bytes(object),
        };
        let properties = Properties::builder().timestamp(capture_us).build();
        let object = Object {
            group,
            object,
            properties: properties.expect("one number"),
            payload: self.payloads[index].make(group, object, len),
        };
        self.outlet.publish(index, &object);
        if let Some((former, ..)) = &mut self.former {
            former.publish(index, &object);
        }
        self.log.published(due.elapsed());
    }

    async fn go(self) {
        self.outlet.finish().await;
        let former = self.former.map(|(_, line, _)| line);
        for line in [former, self.line].into_iter().flatten() {
            line.hang_up().await;
        }
    }
}

async fn reach(
    guest: Guest,
    namespace: Namespace,
    mut cause: Cause,
) -> Result<(Announced, Line), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reached = guest.reach(cause, deadline).await;
        let line = reached
            .map_err(|error: JoinError| error.to_string())?
            .dialed
            .line;
        match announce(line.session.clone(), namespace.clone()).await {
            Ok(announced) => return Ok((announced, line)),
            Err(error) if is_hopeless(&error, deadline) => return Err(error.to_string()),
            Err(_) => {
                cause = Cause::Lost;
                sleep(RETRY).await;
            }
        }
    }
}

fn is_hopeless(error: &AnnounceError, deadline: Instant) -> bool {
    error.is_refusal() || Instant::now() + RETRY >= deadline
}

async fn told(
    clock: &mut watch::Receiver<Option<Clock>>,
) -> Result<Clock, watch::error::RecvError> {
    let told = clock.wait_for(Option::is_some).await?;
    Ok(told.expect("waited for"))
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
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

fn offer(medium: Medium) -> Offer {
    let priority = match medium {
        Medium::Audio => priority::AUDIO,
        Medium::Video => priority::VIDEO_HIGH,
    };
    let properties = Properties::builder().default_publisher_priority(priority);
    Offer {
        name: medium.track().to_owned(),
        properties: properties.build().expect("one number"),
        priority,
        single_objects: medium == Medium::Audio,
    }
}

/// How long it looks for an edge.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long everything is published at the old edge as well as at the new one.
const BOTH: Duration = Duration::from_secs(3);
/// Between announcements that are not taken.
const RETRY: Duration = Duration::from_secs(1);
