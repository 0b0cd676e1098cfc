//! H.264: the avcC record (ISO/IEC 14496-15 §5.3.3), NAL units in both framings, and the way from one to the other.

use bytes::{BufMut, Bytes, BytesMut};

/// What an avcC record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Profile, compatibility flags, level.
    pub profile: [u8; 3],
    /// Bytes in a NAL unit's length prefix: 1, 2 or 4.
    pub length_size: usize,
}

impl Config {
    /// Reads an avcC record's head; `None` if it is malformed.
    pub fn parse(record: &[u8]) -> Option<Config> {
        if record.len() < 7 || record[0] != 1 {
            return None;
        }
        let length_size = usize::from(record[4] & 3) + 1;
        (length_size != 3).then_some(Config {
            profile: [record[1], record[2], record[3]],
            length_size,
        })
    }

    /// The codec string, parameter sets being outside the frames: `avc1.PPCCLL`.
    pub fn codec_string(&self) -> String {
        let [profile, flags, level] = self.profile;
        format!("avc1.{profile:02x}{flags:02x}{level:02x}")
    }
}

/// What matters about a frame's NAL units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// It holds an IDR slice: decoding can start here.
    pub key: bool,
    /// It holds slices and none is a reference.
    pub discardable: bool,
}

/// Looks through the NAL units of one frame.
pub fn inspect<'a>(nals: impl Iterator<Item = &'a [u8]>) -> FrameInfo {
    let mut info = FrameInfo::default();
    let (mut slices, mut references) = (0, 0);
    for head in nals.filter_map(|nal| nal.first()) {
        match head & 0x1f {
            5 => info.key = true,
            1 => {}
            _ => continue,
        }
        slices += 1;
        references += usize::from(head & 0x60 != 0);
    }
    info.discardable = slices > 0 && references == 0;
    info
}

/// The NAL units of a frame with length prefixes. Ends early at a length that does not fit.
pub fn length_prefixed(mut frame: &[u8], length_size: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (prefix, rest) = frame.split_at_checked(length_size)?;
        let len = prefix
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte));
        let (nal, rest) = rest.split_at_checked(len)?;
        frame = rest;
        Some(nal)
    })
}

/// Whether a frame begins with a start code (LOC-04 §2.1.4) and not with a 4-byte length.
pub fn is_annex_b(frame: &[u8]) -> bool {
    frame.starts_with(&[0, 0, 0, 1]) || frame.starts_with(&[0, 0, 1])
}

/// The NAL units of a frame with start codes.
pub fn start_coded(frame: &[u8]) -> Vec<&[u8]> {
    let mut nals = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while at + 3 <= frame.len() {
        if frame[at..at + 3] == [0, 0, 1] {
            if let Some(begin) = begin {
                nals.push(without_trailing_zeros(&frame[begin..at]));
            }
            begin = Some(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    nals.extend(begin.map(|begin| without_trailing_zeros(&frame[begin..])));
    nals.retain(|nal| !nal.is_empty());
    nals
}

/// A start-coded frame with 4-byte length prefixes instead, as Matroska wants it.
pub fn to_length_prefixed(frame: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(frame.len() + 16);
    for nal in start_coded(frame) {
        out.put_u32(nal.len() as u32);
        out.put_slice(nal);
    }
    out.freeze()
}

/// An avcC record from the parameter sets inside a start-coded keyframe; `None` if there are none.
pub fn config_from_start_coded(frame: &[u8]) -> Option<Bytes> {
    let nals = start_coded(frame);
    let of_type = |wanted: u8| nals.iter().filter(move |nal| nal[0] & 0x1f == wanted);
    let sps = of_type(7).find(|nal| nal.len() >= 4)?;
    let mut record = BytesMut::new();
    record.put_slice(&[1, sps[1], sps[2], sps[3], 0xff]);
    record.put_u8(0xe0 | of_type(7).count().min(31) as u8);
    for nal in of_type(7).take(31) {
        record.put_u16(u16::try_from(nal.len()).ok()?);
        record.put_slice(nal);
    }
    record.put_u8(
        u8::try_from(of_type(8).count())
            .ok()
            .filter(|count| *count > 0)?,
    );
    for nal in of_type(8) {
        record.put_u16(u16::try_from(nal.len()).ok()?);
        record.put_slice(nal);
    }
    if !matches!(sps[1], 66 | 77 | 88) {
        // High profiles append chroma format and bit depths; 4:2:0 at 8 bits is what WebCodecs encoders make.
        record.put_slice(&[0xfc | 1, 0xf8, 0xf8, 0]);
    }
    Some(record.freeze())
}

/// Zero bytes before the next start code belong to no NAL unit.
fn without_trailing_zeros(nal: &[u8]) -> &[u8] {
    let end = nal
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &nal[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 5] = [0x67, 0x42, 0xc0, 0x1e, 0x95];
    const PPS: [u8; 3] = [0x68, 0xce, 0x3c];

    fn start_coded_key() -> Vec<u8> {
        [
            &[0, 0, 0, 1][..],
            &SPS,
            &[0, 0, 1],
            &PPS,
            &[0, 0, 0, 1],
            &[0x65, 0x88, 0x80],
        ]
        .concat()
    }

    #[test]
    fn an_avcc_record_gives_the_codec_string_and_the_prefix_length() {
        let config = Config::parse(&[1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0]).expect("well formed");
        assert_eq!(config.length_size, 4);
        assert_eq!(config.codec_string(), "avc1.42c01e");
        assert_eq!(Config::parse(&[1, 2, 3]), None);
        assert_eq!(Config::parse(&[0; 7]), None);
    }

    #[test]
    fn an_idr_slice_makes_a_keyframe_and_unreferenced_slices_a_discardable_one() {
        let idr = [0, 0, 0, 2, 0x65, 0x88];
        assert!(inspect(length_prefixed(&idr, 4)).key);
        let b_frame = [0, 0, 0, 2, 0x01, 0x88];
        let info = inspect(length_prefixed(&b_frame, 4));
        assert!(!info.key && info.discardable);
        let p_frame = [0, 0, 0, 2, 0x41, 0x88];
        assert_eq!(inspect(length_prefixed(&p_frame, 4)), FrameInfo::default());
    }

    #[test]
    fn a_length_beyond_the_frame_ends_the_walk() {
        let cut = [0, 0, 0, 1, 0x65, 0, 0, 0, 9, 0x41];
        assert_eq!(length_prefixed(&cut, 4).count(), 1);
    }

    #[test]
    fn start_codes_become_length_prefixes() {
        let key = start_coded_key();
        assert!(is_annex_b(&key));
        let converted = to_length_prefixed(&key);
        let nals: Vec<&[u8]> = length_prefixed(&converted, 4).collect();
        assert_eq!(nals, [&SPS[..], &PPS[..], &[0x65, 0x88, 0x80]]);
    }

    #[test]
    fn parameter_sets_in_a_keyframe_make_an_avcc_record() {
        let record = config_from_start_coded(&start_coded_key()).expect("both sets are there");
        let config = Config::parse(&record).expect("well formed");
        assert_eq!(config.codec_string(), "avc1.42c01e");
        assert_eq!(record.len(), 6 + 2 + SPS.len() + 1 + 2 + PPS.len());
        assert_eq!(config_from_start_coded(&[0, 0, 1, 0x65, 0x88]), None);
    }
}
