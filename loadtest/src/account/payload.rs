//! What objects are filled with, so that whoever receives one knows whether it is what was published.

use bytes::Bytes;

/// One track's payloads: each follows from the track, the place in it and its own length, and from nothing else. Another's
/// payload, one that is cut short, and one with a single bit turned over are all known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payloads(u64);

impl Payloads {
    /// Those of a track; `name` is its whole name, however it is written.
    pub fn of(name: &str, seed: u64) -> Payloads {
        let mixed = name.bytes().fold(seed ^ OFFSET, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
        Payloads(mixed)
    }

    /// The payload at a place, `len` bytes long.
    pub fn make(self, group: u64, object: u64, len: usize) -> Bytes {
        let mut state = self.state(group, object, len);
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        while bytes.len() < len {
            bytes.extend(next(&mut state).to_le_bytes());
        }
        bytes.truncate(len);
        bytes.into()
    }

    /// Whether this is what was published there.
    pub fn fits(self, group: u64, object: u64, payload: &[u8]) -> bool {
        let mut state = self.state(group, object, payload.len());
        payload.chunks(8).all(|chunk| {
            let expected = next(&mut state).to_le_bytes();
            expected[..chunk.len()] == *chunk
        })
    }

    fn state(self, group: u64, object: u64, len: usize) -> u64 {
        let mut state = self.0 ^ group.rotate_left(17) ^ object.rotate_left(43);
        state = state.wrapping_add(len as u64);
        // Neighbouring places must not have neighbouring streams.
        next(&mut state)
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): a bijection a step, quick, and every bit depends on all of the state.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// FNV-1a's.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_fits_its_own_place_and_no_other() {
        let track = Payloads::of("meridian/council/p/chair audio", 1);
        let payload = track.make(7, 0, 160);
        assert!(track.fits(7, 0, &payload));
        assert!(!track.fits(8, 0, &payload));
        assert!(!track.fits(7, 1, &payload));
        assert!(!Payloads::of("meridian/council/p/vice audio", 1).fits(7, 0, &payload));
        assert!(!Payloads::of("meridian/council/p/chair audio", 2).fits(7, 0, &payload));
    }

    #[test]
    fn a_bit_turned_over_and_a_missing_end_are_known() {
        let track = Payloads::of("t", 1);
        for len in [1, 7, 8, 9, 160] {
            let payload = track.make(3, 2, len);
            assert_eq!(payload.len(), len);
            for bit in 0..len * 8 {
                let mut altered = payload.to_vec();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(!track.fits(3, 2, &altered), "{len} bytes, bit {bit}");
            }
        }
        let payload = track.make(3, 2, 160);
        assert!(!track.fits(3, 2, &payload[..159]));
        let twice = [&payload[..], &payload[..]].concat();
        assert!(!track.fits(3, 2, &twice));
    }
}
