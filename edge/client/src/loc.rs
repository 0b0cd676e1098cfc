//! Frames as LOC-04 objects and back.
//!
//! Objects carry TIMESTAMP (wall-clock microseconds, no TIMESCALE), PRIOR_GROUP_ID_GAP on the first of each group but a
//! publisher's very first (so that a watcher can tell ids that never were from groups that were lost), and for video VIDEO_FRAME_MARKING and, on keyframes of codecs that have one, VIDEO_CONFIG. AUDIO_LEVEL is absent: it needs
//! decoded samples, and nothing here decodes. AUDIO_CONFIG and VIDEO_CONFIG stand among the track's properties too.

use crate::group_clock::GroupClock;
use crate::media::{AudioFormat, Frame, Kind, VideoFormat};
use bytes::Bytes;
use meridian_session::client::Object;
use meridian_wire::property::{Block, Properties, kinds};

/// Publisher priorities (0 is sent first).
pub mod priority {
    /// Sound.
    pub const AUDIO: u8 = 16;
    /// Catalog and state.
    pub const CATALOG: u8 = 48;
    /// The picture of the best quality.
    pub const VIDEO_HIGH: u8 = 160;
}

/// Turns one track's frames into objects: a group of one object per sound frame, a group per keyframe for pictures.
#[derive(Debug)]
pub struct Packager {
    kind: Kind,
    groups: GroupClock,
    group: u64,
    next_object: u64,
    config: Option<Bytes>,
}

impl Packager {
    /// For an audio track.
    pub fn audio() -> Packager {
        Packager {
            kind: Kind::Audio,
            groups: GroupClock::audio(),
            group: 0,
            next_object: 0,
            config: None,
        }
    }

    /// For a video track.
    pub fn video(format: &VideoFormat) -> Packager {
        Packager {
            kind: Kind::Video,
            groups: GroupClock::video(),
            config: format.config.clone(),
            ..Packager::audio()
        }
    }

    /// The object of a frame captured at `capture_us`. The first frame must be a keyframe.
    pub fn package(&mut self, frame: &Frame, capture_us: u64) -> Object {
        let mut properties = Properties::builder().timestamp(capture_us);
        if frame.key {
            let number = self.groups.number(capture_us);
            (self.group, self.next_object) = (number.id, 0);
            if let Some(gap) = number.gap {
                properties = properties.int(kinds::PRIOR_GROUP_ID_GAP, gap);
            }
            if let Some(config) = &self.config {
                properties = properties.bytes(kinds::VIDEO_CONFIG, config.clone());
            }
        }
        if self.kind == Kind::Video {
            properties = properties.bytes(kinds::VIDEO_FRAME_MARKING, marking(frame));
        }
        let object = self.next_object;
        self.next_object += 1;
        Object {
            group: self.group,
            object,
            properties: properties
                .build()
                .expect("a configuration record is far below 64 KiB"),
            payload: frame.data.clone(),
        }
    }
}

/// The properties of an audio track.
pub fn audio_track_properties(format: &AudioFormat) -> Properties {
    Properties::builder()
        .default_publisher_priority(priority::AUDIO)
        .bytes(kinds::AUDIO_CONFIG, format.head.clone())
        .build()
        .expect("an Opus header is at most 276 bytes")
}

/// The properties of a video track.
pub fn video_track_properties(format: &VideoFormat) -> Properties {
    let mut properties = Properties::builder().default_publisher_priority(priority::VIDEO_HIGH);
    if let Some(config) = &format.config {
        properties = properties.bytes(kinds::VIDEO_CONFIG, config.clone());
    }
    properties
        .build()
        .expect("a configuration record is far below 64 KiB")
}

/// The properties of a catalog track.
pub fn catalog_track_properties() -> Properties {
    Properties::builder()
        .default_publisher_priority(priority::CATALOG)
        .build()
        .expect("one small number")
}

/// The properties of a catalog object made at `now_us`.
pub fn catalog_object_properties(now_us: u64) -> Properties {
    Properties::builder()
        .timestamp(now_us)
        .build()
        .expect("one number")
}

/// What a received object's properties say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocInfo {
    /// Capture time in microseconds since the Unix epoch; `None` if absent, or in media time (a TIMESCALE is given).
    pub capture_us: Option<u64>,
    /// How many group ids right below this one do not exist.
    pub prior_gap: Option<u64>,
    /// The decoder configuration from here on.
    pub video_config: Option<Bytes>,
    /// No other frame needs this one.
    pub discardable: bool,
}

impl LocInfo {
    /// Reads an object's properties. Unknown and malformed ones are passed over.
    pub fn read(properties: Block<'_>) -> LocInfo {
        let marking = properties
            .video_frame_marking()
            .and_then(|marking| marking.first());
        LocInfo {
            capture_us: properties
                .timestamp()
                .filter(|_| properties.timescale().is_none()),
            prior_gap: properties.prior_group_id_gap(),
            video_config: properties.video_config().map(Bytes::copy_from_slice),
            discardable: marking.is_some_and(|marking| marking & DISCARDABLE != 0),
        }
    }
}

/// RFC 9626 §3.2, for streams without layers: an object is a whole frame, so it starts and ends one.
const WHOLE_FRAME: u8 = 0b1100_0000;
const INDEPENDENT: u8 = 0b0010_0000;
const DISCARDABLE: u8 = 0b0001_0000;

fn marking(frame: &Frame) -> Bytes {
    let independent = if frame.key { INDEPENDENT } else { 0 };
    let discardable = if frame.discardable { DISCARDABLE } else { 0 };
    Bytes::copy_from_slice(&[WHOLE_FRAME | independent | discardable])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::VideoCodec;

    const NOON_US: u64 = 1_793_880_000_000_000;

    fn frame(kind: Kind, key: bool) -> Frame {
        Frame {
            kind,
            pts_us: 0,
            duration_us: None,
            key,
            discardable: false,
            data: Bytes::from_static(b"frame"),
        }
    }

    fn avc() -> VideoFormat {
        VideoFormat {
            codec: VideoCodec::Avc,
            codec_string: "avc1.42c01e".to_owned(),
            width: 64,
            height: 64,
            config: Some(Bytes::from_static(b"avcC")),
        }
    }

    #[test]
    fn every_audio_frame_is_a_group_of_one_object() {
        let mut packager = Packager::audio();
        for index in 0..3 {
            let capture_us = NOON_US + index * 20_000;
            let object = packager.package(&frame(Kind::Audio, true), capture_us);
            assert_eq!((object.group, object.object), (NOON_US / 20_000 + index, 0));
            let info = LocInfo::read(object.properties.block());
            assert_eq!(info.capture_us, Some(capture_us));
            assert_eq!(info.prior_gap, (index > 0).then_some(0));
        }
    }

    #[test]
    fn a_keyframe_opens_a_group_and_carries_the_configuration() {
        let mut packager = Packager::video(&avc());
        let key = packager.package(&frame(Kind::Video, true), NOON_US);
        let delta = packager.package(&frame(Kind::Video, false), NOON_US + 33_000);
        let next = packager.package(&frame(Kind::Video, true), NOON_US + 66_000);
        let group = NOON_US / 1_000;
        assert_eq!((key.group, key.object), (group, 0));
        assert_eq!((delta.group, delta.object), (group, 1));
        assert_eq!((next.group, next.object), (group + 66, 0));
        let read = |object: &Object| LocInfo::read(object.properties.block());
        assert_eq!(read(&key).video_config.as_deref(), Some(&b"avcC"[..]));
        assert_eq!(read(&delta).video_config, None);
        assert_eq!(
            (read(&key).prior_gap, read(&next).prior_gap),
            (None, Some(65))
        );
        assert_eq!(
            key.properties.block().video_frame_marking(),
            Some(&[0xe0][..])
        );
        assert_eq!(
            delta.properties.block().video_frame_marking(),
            Some(&[0xc0][..])
        );
    }

    #[test]
    fn unreferenced_frames_are_marked_discardable() {
        let mut packager = Packager::video(&avc());
        packager.package(&frame(Kind::Video, true), NOON_US);
        let spare = Frame {
            discardable: true,
            ..frame(Kind::Video, false)
        };
        let object = packager.package(&spare, NOON_US + 33_000);
        assert!(LocInfo::read(object.properties.block()).discardable);
    }

    #[test]
    fn a_timestamp_in_media_time_is_not_taken_for_wall_clock_time() {
        let properties = Properties::builder()
            .timestamp(5)
            .int(kinds::TIMESCALE, 90_000)
            .build();
        let info = LocInfo::read(properties.expect("small").block());
        assert_eq!(info.capture_us, None);
    }

    #[test]
    fn tracks_declare_their_priority_and_configuration() {
        let head = Bytes::from_static(b"OpusHead");
        let audio = audio_track_properties(&AudioFormat { channels: 2, head });
        assert_eq!(audio.block().default_publisher_priority(), Some(16));
        assert_eq!(audio.block().audio_config(), Some(&b"OpusHead"[..]));
        let video = video_track_properties(&avc());
        assert_eq!(video.block().default_publisher_priority(), Some(160));
        assert_eq!(video.block().video_config(), Some(&b"avcC"[..]));
        assert_eq!(
            catalog_track_properties()
                .block()
                .default_publisher_priority(),
            Some(48)
        );
    }
}
