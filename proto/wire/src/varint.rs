//! vi64: the count of leading one bits is the length less one (draft-22 §1.4.1, draft-20 §1.4.1).
//!
//! Lengths are 1 to 9 bytes, every `u64` can be said, and longer forms than needed are legal.

use bytes::BufMut;

/// The most bytes a varint takes.
pub const MAX_LEN: usize = 9;

/// Bytes that [`encode`] appends for `value`: 1 to 9.
#[inline]
pub const fn len(value: u64) -> usize {
    let bits = 64 - value.leading_zeros() as usize;
    match bits {
        0..=7 => 1,
        57.. => MAX_LEN,
        _ => bits.div_ceil(7),
    }
}

/// Appends `value` in its shortest form.
#[inline]
pub fn encode(value: u64, out: &mut impl BufMut) {
    if value < 0x80 {
        return out.put_u8(value as u8);
    }
    let n = len(value);
    let mut bytes = value.to_be_bytes();
    if n == MAX_LEN {
        out.put_u8(0xFF);
        return out.put_slice(&bytes);
    }
    bytes[8 - n] |= !(0xFF >> (n - 1)) as u8;
    out.put_slice(&bytes[8 - n..]);
}

/// Bytes of the varint that begins with `first`: 1 to 9.
#[inline]
pub const fn len_by_first(first: u8) -> usize {
    first.leading_ones() as usize + 1
}

/// The varint at the start of `bytes` and its length; `None` if it is not all there.
#[inline]
pub fn peek(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((u64::from(first), 1));
    }
    let n = len_by_first(first);
    let tail = bytes.get(1..n)?;
    let high = u64::from(first) & (0xFF >> n);
    let value = tail
        .iter()
        .fold(high, |value, byte| (value << 8) | u64::from(*byte));
    Some((value, n))
}

/// Takes the varint at the start of `bytes` off it; `None`, and nothing taken, if it is not all there.
#[inline]
pub fn decode(bytes: &mut &[u8]) -> Option<u64> {
    let (value, n) = peek(bytes)?;
    *bytes = &bytes[n..];
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_draft_decode() {
        let examples: [(&[u8], u64); 8] = [
            (&[0x25], 37),
            (&[0x80, 0x25], 37),
            (&[0xbb, 0xbd], 15_293),
            (&[0xed, 0x7f, 0x3e, 0x7d], 226_442_877),
            (&[0xfa, 0xa1, 0xa0, 0xe4, 0x03, 0xd8], 2_893_212_287_960),
            (
                &[0xfc, 0x89, 0x98, 0xab, 0xc6, 0x6b, 0xc0],
                151_288_809_941_952,
            ),
            (
                &[0xfe, 0xfa, 0x31, 0x8f, 0xa8, 0xe3, 0xca, 0x11],
                70_423_237_261_249_041,
            ),
            (&[0xff; 9], u64::MAX),
        ];
        for (bytes, value) in examples {
            assert_eq!(peek(bytes), Some((value, bytes.len())), "{bytes:x?}");
        }
    }

    #[test]
    fn every_length_ends_where_the_next_begins() {
        for n in 1..=8 {
            let largest = (1u64 << (7 * n)) - 1;
            assert_eq!(len(largest), n);
            assert_eq!(len(largest + 1), n + 1);
        }
        assert_eq!(len(0), 1);
        assert_eq!(len(u64::MAX), 9);
    }

    #[test]
    fn a_cut_varint_waits_for_more() {
        let mut bytes = Vec::new();
        encode(u64::MAX / 3, &mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(peek(&bytes[..cut]), None);
        }
        assert_eq!(peek(&bytes), Some((u64::MAX / 3, 9)));
    }
}
