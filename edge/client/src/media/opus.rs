//! Opus packets: how long they last (RFC 6716 §3.1), their identification header (RFC 7845 §5.1), and their time line.

use bytes::{BufMut, Bytes, BytesMut};

/// How long a packet lasts in microseconds: 2,500 to 120,000. `None` if its head is malformed.
pub fn packet_duration_us(packet: &[u8]) -> Option<u64> {
    let toc = *packet.first()?;
    let frame_us = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        config @ 12..16 => [10_000, 20_000][usize::from(config & 1)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3f),
    };
    let total = frames * frame_us;
    (1..=120_000).contains(&total).then_some(total)
}

/// The identification header, as far as a container needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Output channels, at least 1.
    pub channels: u8,
    /// Samples at 48 kHz to drop at the start.
    pub pre_skip: u16,
}

impl Head {
    /// Reads an identification header; `None` if it is malformed.
    pub fn parse(bytes: &[u8]) -> Option<Head> {
        if bytes.len() < 19 || &bytes[..8] != b"OpusHead" || bytes[8] >> 4 != 0 || bytes[9] == 0 {
            return None;
        }
        Some(Head {
            channels: bytes[9],
            pre_skip: u16::from_le_bytes([bytes[10], bytes[11]]),
        })
    }

    /// The header of a plain mono or stereo stream (mapping family 0), for publishers that send none.
    pub fn plain(channels: u8) -> Bytes {
        let mut head = BytesMut::with_capacity(19);
        head.put_slice(b"OpusHead");
        head.put_u8(1);
        head.put_u8(channels);
        head.put_u16_le(312); // libopus's own look-ahead at 48 kHz
        head.put_u32_le(48_000);
        head.put_u16_le(0);
        head.put_u8(0);
        head.freeze()
    }
}

/// Gives packets the times their samples imply.
///
/// Matroska rounds to milliseconds, which makes 20 ms packets land in the same or in every second 20 ms slot. Counting
/// samples undoes the rounding; a real jump in the container's times is followed.
#[derive(Debug, Default)]
pub struct SampleClock {
    next_us: Option<u64>,
}

impl SampleClock {
    /// The time of a packet that the container puts at `container_us` and that lasts `duration_us`.
    pub fn stamp(&mut self, container_us: u64, duration_us: u64) -> u64 {
        let at = match self.next_us {
            Some(expected) if expected.abs_diff(container_us) <= JUMP_US => expected,
            _ => container_us,
        };
        self.next_us = Some(at + duration_us);
        at
    }
}

/// Half of a 20 ms packet: less is rounding, more is a packet that is not there or one too many.
const JUMP_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packets_length_follows_from_its_head() {
        assert_eq!(packet_duration_us(&[0xfc, 1, 2]), Some(20_000)); // CELT 20 ms, one frame
        assert_eq!(packet_duration_us(&[0x08]), Some(20_000)); // SILK NB 20 ms
        assert_eq!(packet_duration_us(&[0x19]), Some(120_000)); // SILK 60 ms, two frames
        assert_eq!(packet_duration_us(&[0x83, 0x04]), Some(10_000)); // CELT 2.5 ms, four frames
        assert_eq!(packet_duration_us(&[0x70]), Some(10_000)); // hybrid 10 ms
    }

    #[test]
    fn malformed_packets_have_no_length() {
        assert_eq!(packet_duration_us(&[]), None);
        assert_eq!(packet_duration_us(&[0xff]), None, "count byte missing");
        assert_eq!(packet_duration_us(&[0xff, 0]), None, "no frames");
        assert_eq!(packet_duration_us(&[0xff, 63]), None, "more than 120 ms");
    }

    #[test]
    fn a_plain_header_reads_back() {
        let head = Head::parse(&Head::plain(2)).expect("well formed");
        assert_eq!(
            head,
            Head {
                channels: 2,
                pre_skip: 312
            }
        );
        assert_eq!(Head::parse(b"OpusHead"), None);
    }

    #[test]
    fn millisecond_rounding_disappears_and_real_gaps_stay() {
        let mut clock = SampleClock::default();
        let rounded = [0, 21_000, 40_000, 61_000, 80_000];
        let stamped: Vec<u64> = rounded.map(|at| clock.stamp(at, 20_000)).into();
        assert_eq!(stamped, [0, 20_000, 40_000, 60_000, 80_000]);
        assert_eq!(clock.stamp(161_000, 20_000), 161_000);
        assert_eq!(clock.stamp(180_000, 20_000), 181_000);
    }
}
