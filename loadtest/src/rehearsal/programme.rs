//! Who is heard when and where: what sources publish, and delegates ask for.

use crate::account::{Clock, FRAMES, Payloads, STEP_MS};
use crate::scenario::{Channel, Places, Scenario, Turn};
use meridian_wire::{FullTrackName, Namespace};
use std::time::{Duration, Instant};

/// The programme of a rehearsal: the same for everybody who takes part.
#[derive(Clone, Debug)]
pub(super) struct Programme {
    /// The meeting's id.
    pub(super) meeting: String,
    pub(super) clock: Clock,
    /// From the first arrival to the end.
    pub(super) length: Duration,
    turns: Vec<Turn>,
    speakers: u32,
    languages: Vec<String>,
    /// The country of each voice, in the order of `voices`.
    countries: Vec<String>,
    /// Bits of a second of picture; 0 for none.
    video_bits: u32,
    seed: u64,
}

/// Somebody who is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// By number.
    Speaker(u32),
    /// By language.
    Booth(String),
}

/// A track of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Audio,
    Video,
}

impl Programme {
    pub(super) fn new(
        scenario: &Scenario,
        places: &Places,
        meeting: String,
        clock: Clock,
    ) -> Programme {
        Programme {
            meeting,
            clock,
            countries: countries(scenario, places),
            length: scenario.length.0,
            turns: scenario.turns(),
            speakers: scenario.floor.speakers,
            languages: scenario.booths.languages.clone(),
            video_bits: scenario.floor.video_bits,
            seed: scenario.seed,
        }
    }

    /// Everybody who is heard, with their participants' ids.
    pub(super) fn voices(&self) -> Vec<Voice> {
        let speakers = (0..self.speakers).map(Voice::Speaker);
        let booths = self.languages.iter().cloned().map(Voice::Booth);
        speakers.chain(booths).collect()
    }

    /// Where somebody is, ISO 3166-1 alpha-2; empty if that is not said.
    pub(super) fn country(&self, voice: &Voice) -> &str {
        &self.countries[self.place(voice) as usize]
    }

    /// The tracks somebody publishes.
    pub(super) fn media(&self, voice: &Voice) -> &'static [Medium] {
        match voice {
            Voice::Speaker(_) if self.video_bits > 0 => &[Medium::Audio, Medium::Video],
            _ => &[Medium::Audio],
        }
    }

    /// Where somebody publishes.
    pub(super) fn namespace(&self, voice: &Voice) -> Namespace {
        let (kind, name) = match voice {
            Voice::Speaker(_) => ("p", voice.participant()),
            Voice::Booth(language) => ("i", language.to_ascii_lowercase()),
        };
        let fields = ["meridian", &self.meeting, kind, &name];
        Namespace::new(fields.map(str::to_owned)).expect("ids are short")
    }

    /// A track's whole name.
    pub(super) fn track(&self, voice: &Voice, medium: Medium) -> FullTrackName {
        FullTrackName::new(self.namespace(voice), medium.track()).expect("names are short")
    }

    /// What a track's objects are filled with.
    pub(super) fn payloads(&self, voice: &Voice, medium: Medium) -> Payloads {
        Payloads::of(&self.track(voice, medium).to_string(), self.seed)
    }

    /// A track's number, for the account.
    pub(super) fn source(&self, voice: &Voice, medium: Medium) -> u32 {
        self.place(voice) * 2 + u32::from(medium == Medium::Video)
    }

    /// Whom a channel brings at a time.
    pub(super) fn voice(&self, channel: &Channel, at: Duration) -> Voice {
        match channel {
            Channel::Floor => self.on_the_floor(at),
            Channel::Language(language) => Voice::Booth(language.clone()),
        }
    }

    /// Who has the floor.
    pub(super) fn on_the_floor(&self, at: Duration) -> Voice {
        let begun = self.turns.iter().take_while(|turn| turn.at <= at);
        Voice::Speaker(begun.last().map_or(0, |turn| turn.speaker))
    }

    /// Turns that begin after `from`.
    pub(super) fn turns_after(&self, from: Duration) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.at > from)
    }

    /// Whether somebody is to be heard of what is captured at a time. The first speaker begins before the first arrival.
    pub(super) fn is_on_air(&self, voice: &Voice, capture_us: u64) -> bool {
        let at = Duration::from_micros(capture_us.saturating_sub(self.clock.start_unix_us));
        matches!(voice, Voice::Booth(_)) || self.on_the_floor(at) == *voice
    }

    /// When an audio frame of somebody's was captured: the first at this time or later, in microseconds since the epoch.
    /// Its group is this in units of 20 ms.
    pub(super) fn next_audio(&self, voice: &Voice, from_us: u64) -> u64 {
        let phase = self.phase_us(voice);
        let slot = from_us.saturating_sub(phase).div_ceil(AUDIO_US);
        slot * AUDIO_US + phase
    }

    /// The group of the last audio frame captured before this time.
    pub(super) fn audio_before(&self, voice: &Voice, until_us: u64) -> u64 {
        (self.next_audio(voice, until_us) - AUDIO_US) / AUDIO_US
    }

    /// The first video frame captured at this time or later: when, in microseconds since the epoch, and its place. A turn
    /// begins with a keyframe.
    pub(super) fn next_video(&self, from_us: u64) -> (u64, u64, u64) {
        let first = self.first_group_us(from_us);
        let group_us = STEP_MS * 1_000;
        let from_us = from_us.max(first);
        let mut group = from_us - (from_us - first) % group_us;
        let mut object = ((from_us - group) * FRAMES).div_ceil(group_us);
        if object == FRAMES {
            (group, object) = (group + group_us, 0);
        }
        (group + object * group_us / FRAMES, group / 1_000, object)
    }

    /// The newest video group at this time.
    pub(super) fn video_group(&self, at_us: u64) -> u64 {
        let first = self.first_group_us(at_us);
        (at_us - at_us.saturating_sub(first) % (STEP_MS * 1_000)).max(first) / 1_000
    }

    /// When whoever has the floor at this time has got it, in whole milliseconds.
    fn first_group_us(&self, at_us: u64) -> u64 {
        let at = Duration::from_micros(at_us.saturating_sub(self.clock.start_unix_us));
        let begun = self.turns.iter().take_while(|turn| turn.at <= at);
        let mut since = Duration::ZERO;
        let mut speaker = None;
        for turn in begun {
            if speaker.replace(turn.speaker) != Some(turn.speaker) {
                since = turn.at;
            }
        }
        (self.clock.start_unix_us + since.as_micros() as u64).div_ceil(1_000) * 1_000
    }

    /// Bytes of a video frame: a keyframe has six times as many as another.
    pub(super) fn video_bytes(&self, object: u64) -> usize {
        let of_group = u64::from(self.video_bits) * STEP_MS / 8_000;
        let unit = of_group / (KEY_WEIGHT + FRAMES - 1);
        let weight = if object == 0 { KEY_WEIGHT } else { 1 };
        usize::try_from((unit * weight).max(1)).expect("a frame is smaller than memory")
    }

    /// The instant of a capture time.
    pub(super) fn instant(&self, unix_us: u64) -> Instant {
        self.clock.instant(unix_us)
    }

    /// From the first arrival to an instant.
    pub(super) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.clock.start)
    }

    /// Voices are not in step with each other.
    fn phase_us(&self, voice: &Voice) -> u64 {
        u64::from(self.place(voice)) * 7_919 % AUDIO_US
    }

    fn place(&self, voice: &Voice) -> u32 {
        match voice {
            Voice::Speaker(number) => *number,
            Voice::Booth(language) => {
                let known = self.languages.iter().position(|one| one == language);
                self.speakers + known.map_or(0, |at| at as u32)
            }
        }
    }
}

fn countries(scenario: &Scenario, places: &Places) -> Vec<String> {
    let first = scenario.network.offices.first();
    let (floor, booths) = (&scenario.floor, &scenario.booths);
    let speakers = (0..floor.speakers as usize).map(|n| match floor.near.len() {
        0 => first,
        several => Some(&floor.near[n % several]),
    });
    let booth = Some(&booths.near).filter(|near| !near.is_empty());
    let booths = booths.languages.iter().map(|_| booth.or(first));
    let country = |near: Option<&String>| {
        let place = places.offices.get(near?)?;
        Some(place.country.clone())
    };
    let all = speakers.chain(booths);
    all.map(|near| country(near).unwrap_or_default()).collect()
}

impl Voice {
    /// The participant's id. Nobody of a crowd has such a one: theirs end with a hyphen and a number.
    pub(super) fn participant(&self) -> String {
        match self {
            Voice::Speaker(number) => format!("speaker{}", number + 1),
            Voice::Booth(language) => format!("booth-of-{}", language.to_ascii_lowercase()),
        }
    }
}

impl Medium {
    /// The track's name.
    pub(super) fn track(self) -> &'static str {
        match self {
            Medium::Audio => "audio",
            Medium::Video => "video-high",
        }
    }
}

/// Bytes of an audio frame: 64 kbit/s.
pub(super) const AUDIO_BYTES: usize = 160;
/// Between two audio frames.
pub(super) const AUDIO_US: u64 = 20_000;
/// How many other frames a keyframe weighs.
const KEY_WEIGHT: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn programme() -> Programme {
        let text = r#"
            name = "p"
            title = "P"
            length = "10s"
            floor = { speakers = 3, turn = "2s", video_bits = 1_000_000 }
            booths = { languages = ["fr", "es"] }
            [[crowd]]
            name = "c"
            count = 1
            arrive = { kind = "spike" }
        "#;
        let scenario = Scenario::parse(text, Path::new("p.toml")).expect("good");
        let clock = Clock {
            start: Instant::now() + Duration::from_secs(3_600),
            start_unix_us: 1_700_000_000_123_456,
        };
        Programme::new(&scenario, &Places::default(), "m".to_owned(), clock)
    }

    #[test]
    fn groups_follow_each_other_without_a_hole() {
        let programme = programme();
        for voice in programme.voices() {
            let mut from = programme.clock.start_unix_us;
            let first = programme.next_audio(&voice, from) / AUDIO_US;
            for n in 0..200 {
                let capture = programme.next_audio(&voice, from);
                assert!(capture >= from);
                assert_eq!(capture / AUDIO_US, first + n);
                from = capture + 1;
                assert_eq!(programme.audio_before(&voice, from), first + n);
            }
        }
    }

    #[test]
    fn a_picture_has_sixty_frames_to_a_group_of_two_seconds() {
        let programme = programme();
        let mut from = programme.clock.start_unix_us + 4_000_000;
        let mut before: Option<(u64, u64, u64)> = None;
        for _ in 0..59 {
            let (capture, group, object) = programme.next_video(from);
            assert_eq!(group, programme.video_group(capture));
            if let Some((last, last_group, last_object)) = before {
                assert!((33_333..=33_334).contains(&(capture - last)));
                let next = match last_object + 1 {
                    FRAMES => (last_group + STEP_MS, 0),
                    object => (last_group, object),
                };
                assert_eq!((group, object), next);
            }
            before = Some((capture, group, object));
            from = capture + 1;
        }
    }

    #[test]
    fn speakers_are_heard_in_their_turns_and_booths_always() {
        let programme = programme();
        let at = |s: u64| programme.clock.start_unix_us + s * 1_000_000;
        let heard = |s: u64| {
            let voices = programme.voices().into_iter();
            let on_air = voices.filter(|voice| programme.is_on_air(voice, at(s)));
            on_air.map(|voice| voice.participant()).collect::<Vec<_>>()
        };
        assert_eq!(heard(1), ["speaker1", "booth-of-fr", "booth-of-es"]);
        assert_eq!(heard(2), ["speaker2", "booth-of-fr", "booth-of-es"]);
        assert_eq!(heard(7), ["speaker1", "booth-of-fr", "booth-of-es"]);
        assert!(programme.is_on_air(&Voice::Speaker(0), at(0) - 5_000_000));
    }

    #[test]
    fn every_track_has_a_number_of_its_own() {
        let programme = programme();
        let mut numbers = std::collections::BTreeSet::new();
        for voice in programme.voices() {
            for medium in programme.media(&voice) {
                assert!(numbers.insert(programme.source(&voice, *medium)));
            }
        }
        assert_eq!(numbers.len(), 3 * 2 + 2);
    }
}
