//! Which tracks a delegate listens to, and how that changes.

use super::Delegate;
use crate::account::MISSED;
use crate::rehearsal::listening::Want;
use crate::rehearsal::programme::{AUDIO_US, Medium, Voice};
use crate::scenario::Channel;
use std::time::{Duration, Instant};

impl Delegate {
    /// What is wanted at first, before there is an edge to ask. What was missed of turns and switches meanwhile has not
    /// been anybody's to hear.
    pub(super) fn begin_listening(&mut self) {
        let now = Instant::now();
        while let Some(cue) = self.cues.next(now) {
            match cue {
                super::Cue::Switch(channel) => self.channel = channel,
                super::Cue::Turn(..) => {}
                super::Cue::Stall => self.is_stalled = true,
            }
        }
        let at = self.house.programme.since_start(now);
        let voice = self.house.programme.voice(&self.channel, at);
        let source = self.want(voice, Medium::Audio);
        self.listener.listen(source);
        if self.part.sees {
            let floor = self.house.programme.on_the_floor(at);
            self.want(floor, Medium::Video);
        }
    }

    /// Somebody else has the floor.
    pub(super) async fn turn(&mut self, voice: Voice, at: Instant) {
        let is_new = |want: &Want, medium| want.medium == medium && want.voice == voice;
        let begins_us = self.house.programme.clock.unix_us(at);
        for medium in [Medium::Audio, Medium::Video] {
            let is_wanted = match medium {
                Medium::Audio => self.channel == Channel::Floor,
                Medium::Video => self.part.sees,
            };
            if self
                .wants
                .iter()
                .any(|want| is_new(want, medium) && want.drop_at.is_none())
            {
                continue;
            }
            for want in self.wants.iter_mut() {
                let is_speaker = matches!(want.voice, Voice::Speaker(_));
                if want.medium == medium && is_speaker && want.drop_at.is_none() {
                    want.drop_at = Some(at + TAIL);
                    want.until_us = Some(begins_us);
                }
            }
            if !is_wanted {
                continue;
            }
            self.drop_wants(|want| is_new(want, medium));
            let source = self.want(voice.clone(), medium);
            if medium == Medium::Audio {
                self.listener.turn(source, at);
                self.awaited = self.awaited.map(|_| source);
            }
            self.ask(self.wants.len() - 1).await;
        }
    }

    /// They choose another language. The former one is heard until the other is.
    pub(super) async fn switch(&mut self, channel: Channel, now: Instant) {
        let programme = &self.house.programme;
        let voice = programme.voice(&channel, programme.since_start(now));
        let language = channel.to_string();
        self.channel = channel;
        let known = self.wants.iter_mut().find(|want| {
            want.medium == Medium::Audio && want.voice == voice && want.drop_at.is_none()
        });
        let known = known.map(|want| want.source);
        let source = known.unwrap_or_else(|| self.want(voice, Medium::Audio));
        self.listener
            .switch(&language, source, now, &mut self.book.borrow_mut());
        self.awaited = Some(source);
        if known.is_none() {
            self.ask(self.wants.len() - 1).await;
        }
    }

    /// The language that was chosen is heard.
    pub(super) fn drop_other_languages(&mut self, chosen: u32) {
        self.drop_wants(|want| {
            want.medium == Medium::Audio && want.source != chosen && want.drop_at.is_none()
        });
    }

    /// What is wanted no longer.
    pub(super) fn drop_due(&mut self, now: Instant) {
        self.drop_wants(|want| want.drop_at.is_some_and(|at| at <= now));
    }

    /// Asks again where that is due.
    pub(super) async fn ask_due(&mut self, now: Instant) {
        for index in 0..self.wants.len() {
            if self.wants[index].ask_at.is_some_and(|at| at <= now) {
                self.ask(index).await;
            }
        }
    }

    /// Asks for a track at the edge there is, if there is one.
    pub(super) async fn ask(&mut self, index: usize) {
        let want = &mut self.wants[index];
        want.ask_at = None;
        if let Some(current) = &mut self.current {
            let (programme, now) = (&self.house.programme, Instant::now());
            want.asked_at.get_or_insert(now);
            let now_us = programme.clock.unix_us(now);
            current.ask(want, programme.video_group(now_us)).await;
        }
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let wants = self.wants.iter();
        let of_wants = wants.flat_map(|want| [want.drop_at, want.ask_at]).flatten();
        let former = self.former.as_ref().map(|(_, until)| *until);
        of_wants.chain(former).chain(self.cues.deadline()).min()
    }

    /// Tells the account what was to have come of a track: of what was captured up to its end, all but the newest, which may
    /// still be on its way.
    pub(super) fn settle(&mut self, want: &Want) {
        let programme = &self.house.programme;
        let until_us = programme.clock.unix_us(Instant::now()) - LEEWAY_US;
        let until_us = want.until_us.map_or(until_us, |own| own.min(until_us));
        let last = programme.audio_before(&want.voice, until_us);
        let book = &mut self.book.borrow_mut();
        self.listener.drop_source(want.source, last, book);
        let asked_us = want.asked_at.map(|at| programme.clock.unix_us(at));
        if let (None, Some(asked_us)) = (want.last, asked_us)
            && until_us.saturating_sub(asked_us) >= MISSED.as_micros() as u64
        {
            let frames = match want.medium {
                Medium::Audio => last.saturating_sub(asked_us / AUDIO_US),
                Medium::Video => 0,
            };
            self.listener.missed(frames, book);
        }
    }

    fn want(&mut self, voice: Voice, medium: Medium) -> u32 {
        let want = Want::new(&self.house.programme, self.next_key, voice, medium);
        self.next_key += 1;
        let source = want.source;
        self.wants.push(want);
        source
    }

    fn drop_wants(&mut self, which: impl Fn(&Want) -> bool) {
        let (dropped, kept) = std::mem::take(&mut self.wants).into_iter().partition(which);
        self.wants = kept;
        let dropped: Vec<Want> = dropped;
        for want in dropped {
            let sessions = [
                self.current.as_mut(),
                self.former.as_mut().map(|(former, _)| former),
            ];
            for session in sessions.into_iter().flatten() {
                session.cancel(want.key);
            }
            self.settle(&want);
        }
    }
}

/// What somebody said last may come this much after their turn.
const TAIL: Duration = Duration::from_millis(1_500);
/// A frame that was lost on a slow line and sent again, twice, may be this late.
const LEEWAY_US: u64 = 1_000_000;
