//! Media as it stands in a file: formats and frames. The parts that know a codec's or a container's bytes are below.
//!
//! No network lives here, and no wall clock: times are microseconds since the file's start.

pub mod av1;
pub mod avc;
mod demux;
mod error;
pub mod mux;
pub mod opus;
mod program;
mod survey;
pub mod vpx;

pub use demux::{Reader, Selection};
pub use error::MediaError;
pub use program::{Program, Scheduled};
pub use survey::{Survey, TrackSurvey};

use bytes::Bytes;
use std::fmt;

/// Which of a program's two tracks something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Audio => "audio",
            Kind::Video => "video",
        })
    }
}

/// One encoded frame, in decode order within its track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its track.
    pub kind: Kind,
    /// When it is to be presented, in microseconds since the file's start.
    pub pts_us: u64,
    /// How long it lasts in microseconds, if the file or the codec says.
    pub duration_us: Option<u64>,
    /// Decoding can start here. Always true for audio.
    pub key: bool,
    /// No other frame needs this one.
    pub discardable: bool,
    /// The "internal data" of LOC-04 §2: the codec's bytes without any container.
    pub data: Bytes,
}

/// The video codecs that can be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// RFC 6386.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1, low-overhead bitstream format.
    Av1,
    /// H.264 with length-prefixed NAL units ("avc").
    Avc,
}

impl VideoCodec {
    /// The Matroska codec id.
    pub const fn matroska_id(self) -> &'static str {
        match self {
            VideoCodec::Vp8 => "V_VP8",
            VideoCodec::Vp9 => "V_VP9",
            VideoCodec::Av1 => "V_AV1",
            VideoCodec::Avc => "V_MPEG4/ISO/AVC",
        }
    }

    /// The codec behind a Matroska codec id.
    pub fn from_matroska_id(id: &str) -> Option<VideoCodec> {
        [
            VideoCodec::Vp8,
            VideoCodec::Vp9,
            VideoCodec::Av1,
            VideoCodec::Avc,
        ]
        .into_iter()
        .find(|codec| codec.matroska_id() == id)
    }

    /// The codec behind a WebCodecs codec string such as `vp09.00.10.08`.
    pub fn from_codec_string(string: &str) -> Option<VideoCodec> {
        match string.split('.').next()? {
            "vp8" => Some(VideoCodec::Vp8),
            "vp09" | "vp9" => Some(VideoCodec::Vp9),
            "av01" => Some(VideoCodec::Av1),
            "avc1" | "avc3" => Some(VideoCodec::Avc),
            _ => None,
        }
    }
}

/// What a decoder and a catalog must know of a video track.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// The WebCodecs codec string.
    pub codec_string: String,
    /// Encoded width in pixels.
    pub width: u32,
    /// Encoded height in pixels.
    pub height: u32,
    /// The codec's configuration record: avcC for H.264, av1C for AV1, nothing for VP8 and VP9.
    pub config: Option<Bytes>,
}

/// What a decoder and a catalog must know of an Opus track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// Channels, 1 to 255.
    pub channels: u8,
    /// The identification header (RFC 7845 §5.1).
    pub head: Bytes,
}
