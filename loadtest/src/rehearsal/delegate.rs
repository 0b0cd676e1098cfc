//! One delegate: comes when due, joins and listens as any client does, and goes.

mod cues;
mod wants;

use super::house::House;
use super::listening::{Listening, Want};
use super::programme::Medium;
use super::quay::Quay;
use crate::account::{AudioFrame, Book, Listener, VideoFrame};
use crate::scenario::{Channel, Part, Stay};
use cues::{Cue, Cues};
use meridian_client::join::{AtTheDoor, Cause, Guest, Invited, JoinError, Reached};
use meridian_client::loc::LocInfo;
use meridian_session::client::{Arrival, Event};
use meridian_session::session::SessionError;
use meridian_wire::{Location, TerminationCode};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep_until};

/// One delegate.
pub(super) struct Delegate {
    house: Arc<House>,
    part: Part,
    /// Among all delegates.
    number: u64,
    invitation: String,
    quay: Quay,
    book: Rc<RefCell<Book>>,
    listener: Listener,
    channel: Channel,
    wants: Vec<Want>,
    next_key: usize,
    cues: Cues,
    /// The source after whose first frame other languages are dropped.
    awaited: Option<u32>,
    current: Option<Listening>,
    /// Make before break: it is heard until the other edge brings the same.
    former: Option<(Listening, Instant)>,
    /// They read nothing any more.
    is_stalled: bool,
    timer: Pin<Box<Sleep>>,
}

type Finding = Pin<Box<dyn Future<Output = Result<Reached, JoinError>>>>;

/// Why a delegate stops listening before its time.
enum End {
    /// It has what it came for.
    Done,
    /// It is turned away, or finds no way in.
    Failed(String),
}

impl Delegate {
    /// Somebody who is at the door now, and was due at `due`.
    pub(super) fn come(
        house: Arc<House>,
        (number, part): (u64, Part),
        invitation: String,
        quay: Quay,
        book: Rc<RefCell<Book>>,
    ) -> Delegate {
        let due = house.programme.clock.start + part.due;
        let listener = Listener::come(part.key(&part.channel), due, &mut book.borrow_mut());
        Delegate {
            cues: Cues::of(&part, &house),
            channel: part.channel.clone(),
            house,
            part,
            number,
            invitation,
            quay,
            book,
            listener,
            wants: Vec::new(),
            next_key: 0,
            awaited: None,
            current: None,
            former: None,
            is_stalled: false,
            timer: Box::pin(sleep_until(due.into())),
        }
    }

    /// Does all of it; done when it has gone, by itself, at its time, or when all is over.
    pub(super) async fn live(mut self, mut over: watch::Receiver<bool>) {
        let programme = &self.house.programme;
        let stay = match self.part.stay {
            Stay::UntilFirstAudio => programme.length,
            Stay::Until(until) => until,
        };
        let leave_at = programme.clock.start + stay;
        let end = tokio::select! {
            biased;
            end = self.attend() => end,
            () = sleep_until(leave_at.into()) => End::Done,
            _ = over.wait_for(|over| *over) => End::Done,
        };
        self.leave(&end);
        let former = self.former.take().map(|(former, _)| former);
        for line in [former, self.current.take()].into_iter().flatten() {
            line.hang_up().await;
        }
    }

    async fn attend(&mut self) -> End {
        let guest = match self.enter().await {
            Ok(guest) => guest,
            Err(error) => return End::Failed(error.to_string()),
        };
        self.begin_listening();
        let mut finding: Option<Finding> = Some(find(&guest, Cause::First));
        loop {
            let deadline = self.deadline();
            self.set_timer(deadline);
            let next = tokio::select! {
                biased;
                event = hear(self.current.as_mut(), self.is_stalled) => {
                    self.heard(event).await
                }
                event = hear(self.former.as_mut().map(|(former, _)| former), self.is_stalled) => {
                    self.heard_of_former(event).map(|()| None)
                }
                reached = async { finding.as_mut().expect("checked").await }, if finding.is_some() => {
                    finding = None;
                    match reached {
                        Ok(reached) => self.reached(reached).await,
                        Err(error) => return End::Failed(error.to_string()),
                    }
                    Ok(None)
                }
                () = self.timer.as_mut(), if deadline.is_some() => {
                    self.handle_timeout(Instant::now()).await;
                    Ok(None)
                }
            };
            match next {
                Ok(Some(cause)) => {
                    self.listener.lost_edge(Instant::now());
                    finding.get_or_insert_with(|| find(&guest, cause));
                }
                Ok(None) => {}
                Err(end) => return end,
            }
        }
    }

    async fn enter(&mut self) -> Result<Guest, JoinError> {
        let invited = Invited {
            invitation: self.invitation.clone(),
            country: self.part.country.clone(),
        };
        let (replicas, manner) = (
            self.house.replicas()?,
            self.house.manner(&self.part, self.number, &self.quay),
        );
        let (listener, book) = (&mut self.listener, &self.book);
        let told = |told: AtTheDoor<'_>| {
            if let AtTheDoor::Answered { queued } = told {
                listener.answered(queued, Instant::now(), &mut book.borrow_mut());
            }
        };
        let guest = Guest::enter(replicas, invited, manner, PATIENCE, told).await?;
        let now = Instant::now();
        self.listener.admitted(now, &mut self.book.borrow_mut());
        Ok(guest)
    }

    async fn reached(&mut self, reached: Reached) {
        let mut race = reached.told.race.iter();
        let took = race.find_map(|one| one.connected_after_us).unwrap_or(0);
        let took = Duration::from_micros(took.into());
        let session = self.listener.connected(took, &mut self.book.borrow_mut());
        let listening = Listening::new(reached.dialed.line, session);
        let before = self.current.replace(listening);
        if let Some(before) = before {
            let (too_old, _) = self.former.replace((before, Instant::now() + BOTH)).unzip();
            if let Some(too_old) = too_old {
                too_old.cut();
            }
        }
        for index in 0..self.wants.len() {
            self.ask(index).await;
        }
    }

    /// What happened at the edge. Why to look for another one, if so.
    async fn heard(&mut self, event: Option<Event>) -> Result<Option<Cause>, End> {
        match event {
            Some(Event::Arrival { track, arrival }) => {
                let session = self.current.as_ref().map_or(0, |current| current.session);
                self.arrived(track, arrival, session)?;
                Ok(None)
            }
            Some(Event::Goaway(goaway)) => Ok(Some(Cause::Goaway(goaway.uri))),
            Some(Event::Refused { track, .. } | Event::Done { track, .. }) => {
                if let Some(want) = self.wants.iter_mut().find(|want| want.key == track) {
                    want.ask_at = Some(Instant::now() + AGAIN);
                }
                Ok(None)
            }
            Some(Event::Accepted { .. }) => Ok(None),
            Some(Event::Ended(error)) => {
                self.current = None;
                after(&error).map(Some)
            }
            None => {
                if let Some(lost) = self.current.take() {
                    lost.cut();
                }
                Ok(Some(Cause::Lost))
            }
        }
    }

    fn heard_of_former(&mut self, event: Option<Event>) -> Result<(), End> {
        let session = self.former.as_ref().map_or(0, |(former, _)| former.session);
        match event {
            Some(Event::Arrival { track, arrival }) => {
                return self.arrived(track, arrival, session);
            }
            Some(Event::Ended(_)) | None => self.former = None,
            Some(_) => {}
        }
        Ok(())
    }

    fn arrived(&mut self, track: usize, arrival: Arrival, session: u32) -> Result<(), End> {
        let Arrival::Object { object, at } = arrival else {
            return Ok(());
        };
        let Some(want) = self.wants.iter_mut().find(|want| want.key == track) else {
            return Ok(());
        };
        let place = Location {
            group: object.group,
            object: object.object,
        };
        want.last = want.last.max(Some(place));
        let (source, medium, payloads) = (want.source, want.medium, want.payloads);
        let fits = payloads.fits(place.group, place.object, &object.payload);
        let capture_us = LocInfo::read(object.properties.block()).capture_us;
        let (fits, capture_us) = (fits && capture_us.is_some(), capture_us.unwrap_or(0));
        match medium {
            Medium::Audio => {
                let frame = AudioFrame {
                    source,
                    session,
                    group: place.group,
                    capture_us,
                    bytes: object.payload.len() as u64,
                    fits,
                };
                self.heard_audio(frame, at)
            }
            Medium::Video => {
                let frame = VideoFrame {
                    source,
                    session,
                    group: place.group,
                    object: place.object,
                    capture_us,
                    bytes: object.payload.len() as u64,
                    fits,
                };
                self.listener.see(frame, at, &mut self.book.borrow_mut());
                Ok(())
            }
        }
    }

    fn heard_audio(&mut self, frame: AudioFrame, at: Instant) -> Result<(), End> {
        self.listener.hear(frame, at, &mut self.book.borrow_mut());
        if self.awaited == Some(frame.source) {
            self.awaited = None;
            self.drop_other_languages(frame.source);
        }
        match self.part.stay {
            Stay::UntilFirstAudio => Err(End::Done),
            Stay::Until(_) => Ok(()),
        }
    }

    /// The account is closed: what was to have come by now and has not is lost.
    fn leave(&mut self, end: &End) {
        if self.is_stalled {
            return;
        }
        let now = Instant::now();
        for want in std::mem::take(&mut self.wants) {
            self.settle(&want);
        }
        let mut book = self.book.borrow_mut();
        match end {
            End::Done => self.listener.leave(now, &mut book),
            End::Failed(why) => self.listener.fail(why, now, &mut book),
        }
    }

    fn set_timer(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && self.timer.deadline() != deadline.into()
        {
            self.timer.as_mut().reset(deadline.into());
        }
    }

    /// Does what is due: cues, questions, goodbyes.
    async fn handle_timeout(&mut self, now: Instant) {
        while let Some(cue) = self.cues.next(now) {
            match cue {
                Cue::Turn(voice, at) => self.turn(voice, at).await,
                Cue::Switch(channel) => self.switch(channel, now).await,
                Cue::Stall => {
                    self.leave(&End::Done);
                    self.is_stalled = true;
                }
            }
        }
        if self.former.as_ref().is_some_and(|(_, until)| now >= *until)
            && let Some((former, _)) = self.former.take()
        {
            tokio::task::spawn_local(former.hang_up());
        }
        self.drop_due(now);
        self.ask_due(now).await;
    }
}

fn find(guest: &Guest, cause: Cause) -> Finding {
    let guest = guest.clone();
    Box::pin(async move { guest.reach(cause, Instant::now() + PATIENCE).await })
}

async fn hear(listening: Option<&mut Listening>, is_stalled: bool) -> Option<Event> {
    match listening.filter(|_| !is_stalled) {
        Some(listening) => listening.next().await,
        None => std::future::pending().await,
    }
}

/// Why to look for another edge after a session has ended, or why not.
fn after(error: &SessionError) -> Result<Cause, End> {
    if error.code() == Some(TerminationCode::EXPIRED_AUTH_TOKEN) {
        return Ok(Cause::Expired);
    }
    match meridian_client::link::final_words(error) {
        Some(why) => Err(End::Failed(why)),
        None => Ok(Cause::Lost),
    }
}

/// How long a delegate looks for an edge, and for the control plane.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long two edges are heard at a time when one has asked to leave.
const BOTH: Duration = Duration::from_secs(3);
/// Before asking again for a track that was refused or has ended.
const AGAIN: Duration = Duration::from_millis(200);
