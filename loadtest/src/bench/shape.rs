//! What is published: how large, how often, and on how many streams. The bytes are MoQT's for every target.

use bytes::{BufMut, Bytes, BytesMut};
use clap::ValueEnum;
use meridian_wire::data::{ObjectDatagram, ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::property::Properties;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A kind of track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// 160 bytes fifty times a second, a stream each.
    AudioStreams,
    /// The same with the objects of one second on one stream.
    AudioGroups,
    /// The same as datagrams.
    AudioDatagrams,
    /// 30 frames a second, 1.5 Mbit/s, a keyframe and a new stream every two seconds.
    Video,
}

/// Bytes of an Opus frame at 64 kbit/s.
const AUDIO_FRAME: usize = 160;
/// A keyframe of six and a half times the mean frame; with 59 others it makes 375,000 bytes in two seconds.
const KEYFRAME: usize = 40_000;
const FRAME: usize = (375_000 - KEYFRAME) / 59;
/// What follows the stamp in every payload.
pub(super) const FILLER: u8 = 0x5a;
/// What the publisher's tracks are called on its streams.
const FIRST_ALIAS: u64 = 1;

impl Shape {
    /// As in scenario names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::AudioStreams => "audio-streams",
            Shape::AudioGroups => "audio-groups",
            Shape::AudioDatagrams => "audio-datagrams",
            Shape::Video => "video",
        }
    }

    pub(super) fn period(self) -> Duration {
        match self {
            Shape::Video => Duration::from_nanos(1_000_000_000 / 30),
            _ => Duration::from_millis(20),
        }
    }

    /// Objects on one stream.
    pub(super) fn group_len(self) -> u64 {
        match self {
            Shape::AudioStreams | Shape::AudioDatagrams => 1,
            Shape::AudioGroups => 50,
            Shape::Video => 60,
        }
    }

    /// MoQT's publisher priority: audio goes before video.
    pub(super) fn priority(self) -> u8 {
        match self {
            Shape::Video => 96,
            _ => 16,
        }
    }

    pub(super) fn payload_len(self, object: u64) -> usize {
        match (self, object) {
            (Shape::Video, 0) => KEYFRAME,
            (Shape::Video, _) => FRAME,
            _ => AUDIO_FRAME,
        }
    }

    /// The bytes of the `n`th object of the track with this number: stream header included where a stream begins.
    pub(super) fn encode(self, track: u8, n: u64) -> (Stamp, Bytes) {
        let (stamp, (group, object), payload) = self.object(track, n);
        let alias = alias(track);
        let mut out = BytesMut::with_capacity(payload.len() + 64);
        if self == Shape::AudioDatagrams {
            ObjectDatagram {
                track_alias: alias,
                group,
                object,
                priority: Some(self.priority()),
                properties: Some(captured_now()),
                end_of_group: true,
                status: ObjectStatus::Normal,
                payload,
            }
            .encode(&mut out);
            return (stamp, out.freeze());
        }
        if object == 0 {
            SubgroupHeader {
                track_alias: alias,
                group,
                subgroup: SubgroupId::Zero,
                priority: Some(self.priority()),
                has_properties: true,
                end_of_group: true,
                first_object: true,
            }
            .encode(&mut out);
        }
        let header = ObjectHeader {
            id: object,
            properties: captured_now(),
            payload_len: payload.len() as u64,
            status: ObjectStatus::Normal,
        };
        header.encode(object.checked_sub(1), true, &mut out);
        out.put_slice(&payload);
        (stamp, out.freeze())
    }

    /// The `n`th object of a track, captured now: its group and number there, and its payload.
    pub(super) fn object(self, track: u8, n: u64) -> (Stamp, (u64, u64), Bytes) {
        let stamp = Stamp::now(track);
        let (group, object) = (1 + n / self.group_len(), n % self.group_len());
        (stamp, (group, object), self.payload(stamp, object))
    }

    fn payload(self, stamp: Stamp, object: u64) -> Bytes {
        let mut payload = BytesMut::with_capacity(self.payload_len(object));
        payload.put_slice(&stamp.to_bytes());
        payload.resize(self.payload_len(object), FILLER);
        payload.freeze()
    }
}

/// What the publisher calls a track on its streams.
pub(super) fn alias(track: u8) -> u64 {
    FIRST_ALIAS + u64::from(track)
}

/// The LOC timestamp that real media carries.
fn captured_now() -> Bytes {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let properties = Properties::builder().timestamp(now.as_micros() as u64);
    properties.build().expect("one property fits").0
}

/// The first bytes of every payload: when it was published, on a clock of this process's, and on which track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds.
    pub(super) sent: u64,
    pub(super) track: u8,
}

impl Stamp {
    pub(super) const LEN: usize = 9;

    pub(super) fn now(track: u8) -> Stamp {
        Stamp { sent: now(), track }
    }

    fn to_bytes(self) -> [u8; Stamp::LEN] {
        let mut bytes = [self.track; Stamp::LEN];
        bytes[..8].copy_from_slice(&self.sent.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Stamp::LEN]) -> Stamp {
        let (sent, track) = bytes.split_at(8);
        Stamp {
            sent: u64::from_be_bytes(sent.try_into().expect("eight of nine")),
            track: track[0],
        }
    }
}

/// Nanoseconds since this process first asked.
pub(super) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_video_is_a_megabit_and_a_half() {
        let group: usize = (0..60).map(|n| Shape::Video.payload_len(n)).sum();
        assert!((374_900..=375_000).contains(&group), "{group}");
    }

    #[test]
    fn a_stamp_survives_its_bytes() {
        let stamp = Stamp::now(1);
        assert_eq!(Stamp::from_bytes(stamp.to_bytes()), stamp);
    }
}
