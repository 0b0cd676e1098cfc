//! What can be wrong with a media file, each with the way out.

use super::Kind;
use matroska_demuxer::DemuxError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a media file cannot be read, published or written.
#[derive(Debug, Error)]
pub enum MediaError {
    /// The file cannot be opened or written.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not Matroska at all.
    #[error("{path} is not a WebM or Matroska file ({source}); convert it: ffmpeg -i IN -c copy OUT.mkv", path = .path.display())]
    NotMatroska {
        /// The file.
        path: PathBuf,
        /// What the demuxer says.
        source: DemuxError,
    },
    /// The file points at parts that are not there.
    #[error("{path} ends too early; repair it: ffmpeg -i IN -c copy OUT.mkv", path = .path.display())]
    EndMissing {
        /// The file.
        path: PathBuf,
    },
    /// Damage inside the file.
    #[error(
        "the file is damaged after {after_frames} frames ({source}); repair it: ffmpeg -i IN -c copy OUT.mkv"
    )]
    Damaged {
        /// Frames read before it.
        after_frames: u64,
        /// What the demuxer says.
        source: DemuxError,
    },
    /// Neither audio nor video was found or wanted.
    #[error("no audio or video track to take; the file has: {found}")]
    NoTracks {
        /// The codec ids that are there.
        found: String,
    },
    /// A video codec that is not carried.
    #[error(
        "video codec {codec} is not carried (VP8, VP9, AV1 and H.264 are); convert it: ffmpeg -i IN -c:v libx264 -bf 0 -g 60 -c:a copy OUT.mkv, or leave it out with --no-video"
    )]
    UnsupportedVideo {
        /// The Matroska codec id.
        codec: String,
    },
    /// An audio codec that is not carried.
    #[error(
        "audio codec {codec} is not carried (Opus is); convert it: ffmpeg -i IN -c:v copy -c:a libopus -frame_duration 20 OUT.mkv, or leave it out with --no-audio"
    )]
    UnsupportedAudio {
        /// The Matroska codec id.
        codec: String,
    },
    /// Audio frames are numbered by 20 ms of capture time; shorter ones would run ahead of the clock.
    #[error(
        "Opus frames of {us} µs are too short (20 ms or more); convert them: ffmpeg -i IN -c:v copy -c:a libopus -frame_duration 20 OUT.mkv"
    )]
    OpusFrameTooShort {
        /// Length of the frame in microseconds.
        us: u64,
    },
    /// An Opus packet whose head makes no sense.
    #[error(
        "an Opus packet of {len} bytes is malformed (RFC 6716 §3.1); re-encode: ffmpeg -i IN -c:v copy -c:a libopus -frame_duration 20 OUT.mkv"
    )]
    OpusPacket {
        /// Length of the packet in bytes.
        len: usize,
    },
    /// The codec's configuration is missing or malformed.
    #[error(
        "the {kind} track's codec private data is {what}; repair it: ffmpeg -i IN -c copy OUT.mkv"
    )]
    CodecPrivate {
        /// The track.
        kind: Kind,
        /// `missing` or `malformed`.
        what: &'static str,
    },
    /// Compressed or encrypted blocks.
    #[error(
        "the {kind} track is {how} inside the container; write it plain: ffmpeg -i IN -c copy OUT.mkv"
    )]
    Encoded {
        /// The track.
        kind: Kind,
        /// `compressed` or `encrypted`.
        how: &'static str,
    },
    /// Nothing to start a decoder with.
    #[error(
        "the video track has no keyframe; re-encode it: ffmpeg -i IN -c:v libx264 -bf 0 -g 60 -c:a copy OUT.mkv"
    )]
    NoKeyframe,
    /// The writer failed.
    #[error("writing Matroska: {0}")]
    Write(String),
}
