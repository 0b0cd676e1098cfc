//! The header in front of every WebTransport stream (draft-ietf-webtrans-http3 §4.2, §4.3).
//!
//! A connection carries one session, whose CONNECT request is the connection's first bidirectional stream: the session ID
//! is always 0.

use bytes::{Buf, Bytes};

/// In front of each unidirectional stream: type 0x54, session 0.
pub(super) const UNI: &[u8] = &[0x40, 0x54, 0x00];
/// In front of each bidirectional stream: signal 0x41, session 0.
pub(super) const BIDI: &[u8] = &[0x40, 0x41, 0x00];

const UNI_TYPE: u64 = 0x54;
const BIDI_SIGNAL: u64 = 0x41;

/// What the bytes read so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// More are needed.
    Incomplete,
    /// The stream is the session's; what follows is the application's.
    Complete,
    /// Another kind of stream, or another session.
    Foreign,
}

/// Takes the header off a stream, however its bytes are cut.
#[derive(Debug)]
pub(super) struct HeadReader {
    expected: u64,
    /// Two varints of at most eight bytes.
    seen: [u8; 16],
    len: u8,
}

impl HeadReader {
    pub(super) fn uni() -> HeadReader {
        HeadReader::new(UNI_TYPE)
    }

    pub(super) fn bidi() -> HeadReader {
        HeadReader::new(BIDI_SIGNAL)
    }

    fn new(expected: u64) -> HeadReader {
        HeadReader {
            expected,
            seen: [0; 16],
            len: 0,
        }
    }

    /// Consumes header bytes from the front of `bytes` and no others.
    pub(super) fn take(&mut self, bytes: &mut Bytes) -> Head {
        loop {
            match self.verdict() {
                Head::Incomplete if bytes.has_remaining() => {
                    self.seen[usize::from(self.len)] = bytes.get_u8();
                    self.len += 1;
                }
                verdict => return verdict,
            }
        }
    }

    fn verdict(&self) -> Head {
        let seen = &self.seen[..usize::from(self.len)];
        let Some((kind, rest)) = quic_varint(seen) else {
            return Head::Incomplete;
        };
        if kind != self.expected {
            return Head::Foreign;
        }
        match quic_varint(rest) {
            None => Head::Incomplete,
            Some((0, _)) => Head::Complete,
            Some(_) => Head::Foreign,
        }
    }
}

/// Reads an RFC 9000 §16 varint; HTTP/3 does not use MoQT's.
pub(super) fn quic_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let len = 1_usize << (first >> 6);
    let (head, rest) = bytes.split_at_checked(len)?;
    let value = head[1..]
        .iter()
        .fold(u64::from(first & 0x3f), |value, byte| {
            value << 8 | u64::from(*byte)
        });
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_however_it_is_cut() {
        for cut in 0..=UNI.len() {
            let mut reader = HeadReader::uni();
            let mut first = Bytes::copy_from_slice(&UNI[..cut]);
            let early = reader.take(&mut first);
            let mut second = Bytes::from([&UNI[cut..], b"payload"].concat());
            assert!(early == Head::Incomplete || cut == UNI.len());
            assert_eq!(reader.take(&mut second), Head::Complete);
            assert_eq!(&second[..], b"payload");
        }
    }

    #[test]
    fn longer_forms_of_the_same_numbers_are_taken() {
        let mut bytes = Bytes::from_static(&[0x80, 0, 0, 0x41, 0x40, 0, b'x']);
        assert_eq!(HeadReader::bidi().take(&mut bytes), Head::Complete);
        assert_eq!(&bytes[..], b"x");
    }

    #[test]
    fn other_types_and_other_sessions_are_foreign() {
        let mut qpack = Bytes::from_static(&[0x02, 1, 2]);
        assert_eq!(HeadReader::uni().take(&mut qpack), Head::Foreign);
        let mut other = Bytes::from_static(&[0x40, 0x54, 0x04]);
        assert_eq!(HeadReader::uni().take(&mut other), Head::Foreign);
    }
}
