//! AV1: open bitstream units of the low-overhead format (AV1 §5.3) and the av1C record.

use bytes::{BufMut, Bytes, BytesMut};

/// One open bitstream unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Obu<'a> {
    kind: u8,
    /// Head and payload.
    whole: &'a [u8],
    payload: &'a [u8],
}

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// Whether a temporal unit starts with a keyframe.
pub fn is_key(unit: &[u8]) -> bool {
    obus(unit)
        .find(|obu| matches!(obu.kind, FRAME_HEADER | FRAME))
        .and_then(|obu| obu.payload.first())
        // show_existing_frame 0, frame_type KEY_FRAME
        .is_some_and(|head| head & 0b1110_0000 == 0)
}

/// The temporal unit with the sequence header of `config` (av1C) in front, where a keyframe has none of its own:
/// Matroska lets writers leave it out, WebCodecs decoders need it.
pub fn with_sequence_header(unit: Bytes, config: &[u8]) -> Bytes {
    let config_obus = config.get(4..).unwrap_or_default();
    if !is_key(&unit)
        || config_obus.is_empty()
        || obus(&unit).any(|obu| obu.kind == SEQUENCE_HEADER)
    {
        return unit;
    }
    [config_obus, &unit[..]].concat().into()
}

/// The temporal unit without temporal delimiters, which Matroska forbids.
pub fn without_delimiters(unit: Bytes) -> Bytes {
    if !obus(&unit).any(|obu| obu.kind == TEMPORAL_DELIMITER) {
        return unit;
    }
    let mut out = BytesMut::with_capacity(unit.len());
    for obu in obus(&unit).filter(|obu| obu.kind != TEMPORAL_DELIMITER) {
        out.put_slice(obu.whole);
    }
    out.freeze()
}

/// The codec string of an av1C record, `av01.P.LLT.DD`; `None` if the record is malformed.
pub fn codec_string(config: &[u8]) -> Option<String> {
    let &[0x81, profile_level, flags, _, ..] = config else {
        return None;
    };
    let (profile, level) = (profile_level >> 5, profile_level & 0x1f);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let bit_depth = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{bit_depth:02}"))
}

/// An av1C record from a codec string and a keyframe that carries its sequence header, for publishers that send no
/// record. The chroma format is taken to be 4:2:0, the only one of the main profile.
pub fn config_from(codec_string: &str, key_unit: &[u8]) -> Option<Bytes> {
    let header = obus(key_unit).find(|obu| obu.kind == SEQUENCE_HEADER)?;
    let mut fields = codec_string.strip_prefix("av01.")?.split('.');
    let profile: u8 = fields.next()?.parse().ok()?;
    let (level, tier) = fields.next()?.split_at_checked(2)?;
    let level: u8 = level.parse().ok()?;
    let depth_flags = match fields.next()? {
        "10" => 0x40,
        "12" => 0x60,
        _ => 0,
    };
    let tier_flag = if tier == "H" { 0x80 } else { 0 };
    let mut record = BytesMut::new();
    record.put_slice(&[
        0x81,
        profile << 5 | level & 0x1f,
        tier_flag | depth_flags | 0x0c,
        0,
    ]);
    record.put_slice(header.whole);
    Some(record.freeze())
}

/// The units of `bytes`. Ends early at one that is malformed; a unit without a size takes the rest.
fn obus(mut bytes: &[u8]) -> impl Iterator<Item = Obu<'_>> {
    std::iter::from_fn(move || {
        let head = *bytes.first()?;
        if head & 0x80 != 0 {
            return None;
        }
        let head_len = 1 + usize::from(head & 0x04 != 0);
        let (size_len, payload_len) = if head & 0x02 != 0 {
            leb128(bytes.get(head_len..)?)?
        } else {
            (0, bytes.len().checked_sub(head_len)?)
        };
        let begin = head_len + size_len;
        let end = begin.checked_add(payload_len)?;
        let obu = Obu {
            kind: head >> 3 & 0x0f,
            whole: bytes.get(..end)?,
            payload: bytes.get(begin..end)?,
        };
        bytes = &bytes[end..];
        Some(obu)
    })
}

/// Length in bytes and value of a leb128 number of at most 32 bits.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((index + 1, value as usize));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIMITER: [u8; 2] = [0x12, 0x00];
    const SEQUENCE: [u8; 4] = [0x0a, 0x02, 0xaa, 0xbb];
    const KEY: [u8; 3] = [0x32, 0x01, 0x10];
    const INTER: [u8; 3] = [0x32, 0x01, 0x30];
    const CONFIG: [u8; 8] = [0x81, 0x08, 0x0c, 0x00, 0x0a, 0x02, 0xaa, 0xbb];

    fn unit(parts: &[&[u8]]) -> Bytes {
        parts.concat().into()
    }

    #[test]
    fn the_first_frame_header_tells_a_keyframe() {
        assert!(is_key(&unit(&[&DELIMITER, &SEQUENCE, &KEY])));
        assert!(!is_key(&unit(&[&DELIMITER, &INTER])));
        assert!(!is_key(&[]));
    }

    #[test]
    fn a_keyframe_without_sequence_header_gets_the_one_of_the_record() {
        let bare = unit(&[&KEY]);
        assert_eq!(
            with_sequence_header(bare, &CONFIG),
            unit(&[&SEQUENCE, &KEY])
        );
        let whole = unit(&[&SEQUENCE, &KEY]);
        assert_eq!(with_sequence_header(whole.clone(), &CONFIG), whole);
        let inter = unit(&[&INTER]);
        assert_eq!(with_sequence_header(inter.clone(), &CONFIG), inter);
    }

    #[test]
    fn temporal_delimiters_are_taken_out() {
        assert_eq!(
            without_delimiters(unit(&[&DELIMITER, &SEQUENCE, &KEY])),
            unit(&[&SEQUENCE, &KEY])
        );
    }

    #[test]
    fn record_and_codec_string_agree_both_ways() {
        let string = codec_string(&CONFIG).expect("well formed");
        assert_eq!(string, "av01.0.08M.08");
        let record =
            config_from(&string, &unit(&[&SEQUENCE, &KEY])).expect("has a sequence header");
        assert_eq!(record, CONFIG[..]);
        assert_eq!(codec_string(&[0x81, 1]), None);
    }

    #[test]
    fn a_unit_longer_than_its_bytes_ends_the_walk() {
        assert_eq!(obus(&[0x32, 0x7f, 0x00]).count(), 0);
        assert_eq!(obus(&[0x32, 0xff, 0xff, 0xff, 0xff, 0xff]).count(), 0);
    }
}
