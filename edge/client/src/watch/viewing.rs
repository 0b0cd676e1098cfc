//! What is watched: which tracks, how far, into which file. Does not know how the edge is reached.

use super::followed::{Followed, Media, State};
use crate::catalog::{CATALOG_TRACK, Catalog};
use crate::cli::WatchArgs;
use crate::digest::Digest;
use crate::exit::{ExitCode, Failure};
use crate::ledger::{Entry, Ledger, Seen};
use crate::link::Backoff;
use crate::loc::LocInfo;
use crate::media::{AudioFormat, Kind, VideoFormat};
use crate::meter::Meter;
use crate::recording::{Received, Recording, Written};
use crate::report::{RecordingReport, Report, TrackReport, say};
use crate::wall;
use anyhow::{Context, anyhow};
use bytes::Bytes;
use meridian_session::client::{Arrival, Event, Inlet, Object};
use meridian_wire::control::RequestError;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::{Draft, FullTrackName, Location, Namespace, RequestErrorCode};
use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) struct Viewing {
    namespace: Namespace,
    wait: Duration,
    wanted: Wanted,
    /// Pictures are not asked for before.
    video_at: Option<Instant>,
    has_token: bool,
    out: Out,
    draft: Draft,
    /// The catalog first, then what it offers.
    tracks: Vec<Followed>,
    formats: Option<(Option<AudioFormat>, Option<VideoFormat>)>,
    recording: Option<Recording<BufWriter<File>>>,
    digest: Option<Digest>,
    connected_at: Option<Instant>,
    last_arrival: Instant,
    first_at: Option<Instant>,
    /// Nothing new will come; what is on its way may.
    over_at: Option<Instant>,
}

/// Where the recording goes: open from the start, and emptied once there is something to write.
pub(super) struct Out {
    path: PathBuf,
    file: Option<File>,
}

impl Out {
    /// Opens the file, and makes one if there is none.
    pub(super) fn open(path: &Path) -> Result<Out, Failure> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| path.display().to_string());
        Ok(Out {
            path: path.to_owned(),
            file: Some(file.map_err(output)?),
        })
    }

    /// The file, empty.
    fn take(&mut self) -> Result<File, Failure> {
        let file = self.file.take().expect("there is one recording");
        let emptied = match file.metadata() {
            Ok(metadata) if metadata.is_file() => file.set_len(0),
            // A pipe has no length.
            looked => looked.map(drop),
        };
        let emptied = emptied.with_context(|| self.path.display().to_string());
        emptied.map_err(output).map(|()| file)
    }
}

struct Wanted {
    audio: bool,
    video: bool,
    audio_track: Option<String>,
    video_track: Option<String>,
}

/// What is wrong when an edge refuses somebody who has shown none.
const NO_TOKEN: &str = "this edge wants a token: give --token, or --join with --invitation";

impl Viewing {
    pub(super) fn new(
        args: &WatchArgs,
        out: Out,
        namespace: Namespace,
        has_token: bool,
        now: Instant,
    ) -> Result<Viewing, Failure> {
        let digest = args.run.digest.as_deref().map(Digest::create).transpose();
        Ok(Viewing {
            namespace,
            wait: args.run.wait,
            wanted: Wanted {
                audio: !args.run.no_audio,
                video: !args.run.no_video,
                audio_track: args.audio_track.clone(),
                video_track: args.video_track.clone(),
            },
            video_at: None,
            has_token,
            out,
            draft: Draft::D22,
            tracks: vec![Followed::new(CATALOG_TRACK.to_owned(), None, None, now)],
            formats: None,
            recording: None,
            digest: digest.context("the digest").map_err(output)?,
            connected_at: None,
            last_arrival: now,
            first_at: None,
            over_at: None,
        })
    }

    /// A session is there: everything that has not ended is asked for on it, pictures not before `video_at`.
    pub(super) fn connected(&mut self, draft: Draft, video_at: Option<Instant>, now: Instant) {
        self.draft = draft;
        self.video_at = video_at;
        self.connected_at.get_or_insert(now);
        for track in self
            .tracks
            .iter_mut()
            .filter(|track| track.state != State::Ended)
        {
            track.ask_anew(video_at, now);
        }
    }

    /// The session is gone.
    pub(super) fn disconnected(&mut self) {
        for track in &mut self.tracks {
            if track.state == State::Asked {
                track.state = State::Due(Instant::now());
            }
        }
    }

    /// Whether every media track that goes on is among these, a bit each.
    pub(super) fn is_all_media(&self, heard: u64) -> bool {
        let media = self.tracks.iter().enumerate();
        media
            .filter(|(_, track)| track.media.is_some() && track.state != State::Ended)
            .all(|(index, _)| heard >> index.min(63) & 1 == 1)
    }

    /// Asks for the tracks that are due.
    pub(super) async fn subscribe_due(&mut self, inlet: Option<&mut Inlet>) {
        let Some(inlet) = inlet else {
            return;
        };
        let now = Instant::now();
        for index in 0..self.tracks.len() {
            if !matches!(self.tracks[index].state, State::Due(at) if at <= now) {
                continue;
            }
            let name = FullTrackName {
                namespace: self.namespace.clone(),
                name: Bytes::from(self.tracks[index].name.clone()),
            };
            let params = self.tracks[index].params(self.wait, self.draft);
            self.tracks[index].state = match inlet.subscribe(index, name, params).await {
                Ok(()) => State::Asked,
                // The session's end is told by itself; this is for a session that cannot take more now.
                Err(_) => State::Due(now + RETRY),
            };
        }
    }

    /// When to look again for tracks that are due.
    pub(super) fn wake_at(&self) -> Instant {
        let due = self.tracks.iter().filter_map(|track| match track.state {
            State::Due(at) => Some(at),
            _ => None,
        });
        due.chain(self.over_at.map(|at| at + TAIL))
            .min()
            .unwrap_or_else(|| Instant::now() + RETRY)
    }

    /// Since when nothing has come that could have.
    pub(super) fn idle_since(&self) -> Instant {
        let video_at = self.video_at;
        video_at.map_or(self.last_arrival, |at| at.max(self.last_arrival))
    }

    /// When the first object came.
    pub(super) fn first_at(&self) -> Option<Instant> {
        self.first_at
    }

    /// Whether the broadcast is over and its tail has had time to arrive.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let mut media = self
            .tracks
            .iter()
            .filter(|track| track.media.is_some())
            .peekable();
        let all_ended = media.peek().is_some() && media.all(|track| track.state == State::Ended);
        match self.over_at {
            Some(at) => all_ended && now >= at + SHORT_TAIL || now >= at + TAIL,
            None => false,
        }
    }

    /// Takes what happened on the inlet.
    ///
    /// # Errors
    /// The edge refuses for good, or a file cannot be written.
    pub(super) fn take(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Accepted { track, .. } => {
                self.tracks[track].backoff = Backoff::default();
                Ok(())
            }
            Event::Refused { track, error } => self.refused(track, &error),
            Event::Done { track, code } => {
                self.done(track, code);
                Ok(())
            }
            Event::Arrival { track, arrival } => self.arrived(track, arrival),
            Event::Goaway(_) | Event::Ended(_) => Ok(()),
        }
    }

    fn refused(&mut self, index: usize, error: &RequestError) -> Result<(), Failure> {
        let track = &mut self.tracks[index];
        let words = format!("{}: {:?} {}", track.name, error.code, error.reason);
        match error.code {
            RequestErrorCode::UNAUTHORIZED
            | RequestErrorCode::MALFORMED_AUTH_TOKEN
            | RequestErrorCode::EXPIRED_AUTH_TOKEN => {
                let words = match self.has_token {
                    true => words,
                    false => format!("{NO_TOKEN} ({words})"),
                };
                return Err(Failure::new(ExitCode::Denied, anyhow!(words)));
            }
            RequestErrorCode::NOT_SUPPORTED | RequestErrorCode::INVALID_RANGE => {
                return Err(Failure::new(ExitCode::Protocol, anyhow!(words)));
            }
            _ => {}
        }
        track.retry();
        if track.said != words {
            say(&format!("{words}; trying again"));
            track.said = words;
        }
        Ok(())
    }

    fn done(&mut self, index: usize, code: Option<PublishDoneCode>) {
        let track = &mut self.tracks[index];
        if code == Some(PublishDoneCode::TRACK_ENDED) {
            track.state = State::Ended;
            let mut media = self.tracks.iter().filter(|track| track.media.is_some());
            if index == 0 || media.all(|track| track.state == State::Ended) {
                self.broadcast_is_over();
            }
            return;
        }
        track.retry();
        say(&format!(
            "{}: the subscription ended ({code:?}); asking again",
            track.name
        ));
    }

    fn arrived(&mut self, index: usize, arrival: Arrival) -> Result<(), Failure> {
        let (
            Object {
                group,
                object,
                properties,
                payload,
            },
            at,
        ) = match arrival {
            Arrival::Object { object, at } => (object, at),
            end => {
                self.ended(index, &end);
                return Ok(());
            }
        };
        let wall_us = wall::at(at);
        self.last_arrival = at;
        let track = &mut self.tracks[index];
        track.last = track.last.max(Some(Location { group, object }));
        let Some(media) = &mut track.media else {
            return self.catalog(&payload);
        };
        self.first_at.get_or_insert(at);
        let info = LocInfo::read(properties.block());
        let entry = Entry {
            group,
            object,
            capture_us: info.capture_us.unwrap_or(wall_us),
            prior_gap: info.prior_gap,
        };
        if media.ledger.enter(entry) == Seen::Again {
            return Ok(());
        }
        let lag_us = info
            .capture_us
            .map(|capture_us| wall_us as i64 - capture_us as i64);
        media.meter.object(at, payload.len(), lag_us);
        if let Some(digest) = &mut self.digest {
            let line = digest.add(&track.name, group, object, &payload);
            line.context("the digest").map_err(output)?;
        }
        let received = Received {
            kind: media.kind,
            group,
            object,
            info,
            payload,
        };
        match &mut self.recording {
            Some(recording) => Ok(recording.add(received)?),
            None => Ok(()),
        }
    }

    fn ended(&mut self, index: usize, arrival: &Arrival) {
        match arrival {
            Arrival::GroupEnd { group } => {
                if let Some(media) = &mut self.tracks[index].media {
                    media.ledger.complete(*group);
                }
            }
            Arrival::TrackEnd => self.done(index, Some(PublishDoneCode::TRACK_ENDED)),
            Arrival::Object { .. } => {}
        }
    }

    fn catalog(&mut self, payload: &[u8]) -> Result<(), Failure> {
        let catalog = match Catalog::parse(payload) {
            Ok(catalog) => catalog,
            Err(error) => {
                say(&format!("{error}; waiting for another"));
                return Ok(());
            }
        };
        if catalog.is_complete {
            self.broadcast_is_over();
            return Ok(());
        }
        let audio = catalog
            .audio(self.wanted.audio_track.as_deref())
            .filter(|_| self.wanted.audio);
        let video = catalog
            .video(self.wanted.video_track.as_deref())
            .filter(|_| self.wanted.video);
        if audio.is_none() && video.is_none() {
            say("the catalog offers nothing that can be recorded; waiting for another");
            return Ok(());
        }
        let formats = (
            audio.as_ref().map(|(_, format)| format.clone()),
            video.as_ref().map(|(_, format)| format.clone()),
        );
        match &self.formats {
            None => {
                let fps = video
                    .as_ref()
                    .and_then(|(track, _)| track.framerate)
                    .unwrap_or(0.0);
                let audio =
                    audio.map(|(track, _)| (track.name.clone(), Ledger::audio(), Kind::Audio));
                let video =
                    video.map(|(track, _)| (track.name.clone(), Ledger::video(fps), Kind::Video));
                self.follow(audio.into_iter().chain(video), formats)?;
            }
            // A restarted publisher says the same again.
            Some(before) if *before == formats => self.over_at = None,
            Some(_) => {
                say("the catalog offers other formats now; a file has only one: it ends here");
                self.over_at.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    /// The end of a broadcast that was never seen is not the end of waiting: another may begin.
    fn broadcast_is_over(&mut self) {
        if self.formats.is_some() {
            self.over_at.get_or_insert_with(Instant::now);
        } else {
            say("the last broadcast here is over; waiting for another");
            let catalog = &mut self.tracks[0];
            if catalog.state == State::Ended {
                catalog.retry();
            }
        }
    }

    fn follow(
        &mut self,
        chosen: impl Iterator<Item = (String, Ledger, Kind)>,
        formats: (Option<AudioFormat>, Option<VideoFormat>),
    ) -> Result<(), Failure> {
        let file = BufWriter::new(self.out.take()?);
        self.recording = Some(Recording::new(file, formats.0.clone(), formats.1.clone()));
        self.formats = Some(formats);
        let now = Instant::now();
        // First-object times count from the first connection.
        let meter_start = self.connected_at.unwrap_or(now);
        for (name, ledger, kind) in chosen {
            let meter = Meter::new(meter_start);
            let media = Media {
                kind,
                meter,
                ledger,
            };
            let track = Followed::new(name, Some(media), self.video_at, now);
            self.tracks.push(track);
        }
        Ok(())
    }

    pub(super) fn report_lately(&mut self, report: &mut Report, now: Instant) {
        self.report(report, |meter| meter.lately(now));
    }

    fn report(
        &mut self,
        report: &mut Report,
        figures: impl Fn(&mut Meter) -> crate::meter::TrackFigures,
    ) {
        for track in &mut self.tracks {
            if let Some(media) = &mut track.media {
                let entry = TrackReport {
                    figures: figures(&mut media.meter),
                    ledger: media.ledger.totals().into(),
                };
                report.tracks.insert(track.name.clone(), entry);
            }
        }
        report.recording = self
            .recording
            .as_ref()
            .map(|recording| recording.written().into());
    }

    /// Ends the files and fills in the summary.
    pub(super) fn finish(mut self, report: &mut Report) -> Result<(), Failure> {
        self.report(report, |meter| meter.overall());
        if let Some(recording) = self.recording.take() {
            report.recording = Some(recording.finish()?.into());
        }
        let digest = self.digest.take().map(Digest::finish).transpose();
        digest.context("the digest").map_err(output)?;
        Ok(())
    }
}

impl From<Written> for RecordingReport {
    fn from(written: Written) -> RecordingReport {
        RecordingReport {
            audio: written.audio,
            video: written.video,
            late: written.late,
            undecodable: written.undecodable,
            untimed: written.untimed,
        }
    }
}

fn output(error: anyhow::Error) -> Failure {
    Failure::new(ExitCode::Output, error)
}

/// What is on its way when a broadcast ends arrives within this.
const TAIL: Duration = Duration::from_secs(2);
/// The same when every track has said its last.
const SHORT_TAIL: Duration = Duration::from_millis(300);
/// Before asking again after a request that could not be made.
const RETRY: Duration = Duration::from_millis(500);
