//! VP8 and VP9: keyframes and codec strings, from the first bits of a frame.

/// Whether a VP8 frame is a keyframe (RFC 6386 §9.1).
pub fn is_vp8_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// What a VP9 frame's uncompressed header says at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Head {
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Decoding can start here.
    pub key: bool,
    /// Bits per sample, known for keyframes only: 8, 10 or 12.
    pub bit_depth: u8,
}

/// Reads a VP9 frame's head; `None` if it is malformed.
pub fn vp9_head(frame: &[u8]) -> Option<Vp9Head> {
    let mut bits = Bits {
        bytes: frame,
        at: 0,
    };
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 && bits.take(1)? != 0 {
        return None;
    }
    let shows_existing = bits.take(1)? == 1;
    let key = !shows_existing && bits.take(1)? == 0;
    let bit_depth = if key && profile >= 2 {
        bits.take(2)?; // show_frame, error_resilient_mode
        bits.take(24)?; // sync code
        if bits.take(1)? == 1 { 12 } else { 10 }
    } else {
        8
    };
    Some(Vp9Head {
        profile: profile as u8,
        key,
        bit_depth,
    })
}

/// The codec string of a VP9 track: `vp09.<profile>.<level>.<bit depth>`, with the lowest level that fits.
pub fn vp9_codec_string(head: Vp9Head, width: u32, height: u32, frames_per_s: f64) -> String {
    let size = u64::from(width) * u64::from(height);
    let rate = (size as f64 * frames_per_s) as u64;
    let level = VP9_LEVELS
        .iter()
        .find(|(_, max_rate, max_size)| rate <= *max_rate && size <= *max_size)
        .map_or(62, |(level, ..)| *level);
    format!("vp09.{:02}.{level:02}.{:02}", head.profile, head.bit_depth)
}

/// Level, luma samples per second, luma samples per picture.
const VP9_LEVELS: [(u8, u64, u64); 13] = [
    (10, 829_440, 36_864),
    (11, 2_764_800, 73_728),
    (20, 4_608_000, 122_880),
    (21, 9_216_000, 245_760),
    (30, 20_736_000, 552_960),
    (31, 36_864_000, 983_040),
    (40, 83_558_400, 2_228_224),
    (41, 160_432_128, 2_228_224),
    (50, 311_951_360, 8_912_896),
    (51, 588_251_136, 8_912_896),
    (52, 1_176_502_272, 8_912_896),
    (60, 1_176_502_272, 35_651_584),
    (61, 2_353_004_544, 35_651_584),
];

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32, most significant first.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_keyframes_have_a_clear_first_bit() {
        assert!(is_vp8_key(&[0x50, 0x01]));
        assert!(!is_vp8_key(&[0x51, 0x01]));
        assert!(!is_vp8_key(&[]));
    }

    #[test]
    fn vp9_heads_tell_profile_and_keyframe() {
        let key = vp9_head(&[0x82, 0x49, 0x83]).expect("well formed");
        assert_eq!((key.profile, key.key, key.bit_depth), (0, true, 8));
        let inter = vp9_head(&[0x86]).expect("well formed");
        assert!(!inter.key);
        let shown_again = vp9_head(&[0x88]).expect("well formed");
        assert!(!shown_again.key);
    }

    #[test]
    fn vp9_profile_2_says_its_bit_depth() {
        // marker 10, profile bits 0 1, existing 0, type 0, show 1, resilient 0, sync code, bit depth flag 0
        let head = vp9_head(&[0b1001_0010, 0x49, 0x83, 0x42, 0b0000_0000]).expect("well formed");
        assert_eq!((head.profile, head.key, head.bit_depth), (2, true, 10));
    }

    #[test]
    fn malformed_vp9_heads_are_refused() {
        assert_eq!(vp9_head(&[]), None);
        assert_eq!(vp9_head(&[0x00]), None);
    }

    #[test]
    fn the_lowest_level_that_fits_is_named() {
        let head = vp9_head(&[0x82, 0x49, 0x83]).expect("well formed");
        assert_eq!(vp9_codec_string(head, 320, 180, 30.0), "vp09.00.11.08");
        assert_eq!(vp9_codec_string(head, 1280, 720, 30.0), "vp09.00.31.08");
        assert_eq!(vp9_codec_string(head, 1920, 1080, 60.0), "vp09.00.41.08");
    }
}
