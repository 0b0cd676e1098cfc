//! What publishers publish: everything about an object follows from where it stands.

use crate::common::name;
use meridian_wire::FullTrackName;

/// A track's number; its kind follows from it.
pub(crate) type Track = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A group of one object on a stream of its own.
    Audio,
    /// Groups of several objects on one stream.
    Video,
    /// A group of one object as a datagram.
    Datagram,
}

/// Milliseconds from one object to the next.
pub(crate) const TICK: u64 = 100;

/// Objects of a video group.
pub(crate) const PICTURES: u64 = 5;

pub(crate) fn kind(track: Track) -> Kind {
    match track % 3 {
        0 => Kind::Audio,
        1 => Kind::Video,
        _ => Kind::Datagram,
    }
}

/// Tracks of one publisher share a namespace.
pub(crate) fn track_name(track: Track) -> FullTrackName {
    name(&format!("p{}", track / 3), &format!("t{}", track % 3))
}

pub(crate) fn track_of(name: &FullTrackName) -> Track {
    (0..=u8::MAX)
        .find(|track| track_name(*track) == *name)
        .expect("only such tracks are asked for")
}

pub(crate) fn priority(track: Track) -> u8 {
    match kind(track) {
        Kind::Audio => 16,
        Kind::Video | Kind::Datagram => 160,
    }
}

/// Object IDs of a video group may have gaps.
pub(crate) fn step(track: Track) -> u64 {
    1 + u64::from(track / 3 % 2) * 2
}

pub(crate) fn last_object(track: Track) -> u64 {
    match kind(track) {
        Kind::Video => (PICTURES - 1) * step(track),
        Kind::Audio | Kind::Datagram => 0,
    }
}

/// The first byte names the track.
pub(crate) fn payload(track: Track, group: u64, object: u64) -> Vec<u8> {
    let mut state = (u64::from(track) << 48) ^ (group << 16) ^ object ^ 0x9E37_79B9_7F4A_7C15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let most = match kind(track) {
        Kind::Video => 1500,
        Kind::Audio | Kind::Datagram => 200,
    };
    let (len, from) = (2 + next() % most, next() % 251);
    let mut payload = pattern()[from as usize..(from + len) as usize].to_vec();
    payload[0] = track;
    payload
}

fn pattern() -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PATTERN.get_or_init(|| (0..2000u32).map(|n| (n * n % 253) as u8).collect())
}
