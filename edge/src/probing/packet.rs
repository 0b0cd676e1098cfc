//! The two packets of a probe: one of a QUIC version that nobody speaks, and the Version Negotiation packet that every QUIC
//! server answers it with (RFC 9000 §6.1, §15, §17.2.1; RFC 8999).

/// Bytes of each connection ID: 8 at least are asked of who dials (RFC 9000 §7.2).
const ID: usize = 8;
/// A server answers nothing shorter (RFC 9000 §5.2.2, §14.1).
const LEN: usize = 1200;
const LONG_HEADER: u8 = 0x80;

/// What a probe and its answer have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ids {
    /// Ours: the answer is addressed to it.
    pub(super) source: [u8; ID],
    /// The one we address: the answer comes from it.
    pub(super) destination: [u8; ID],
}

/// A probe. `dice` are random.
pub(super) fn probe(ids: &Ids, dice: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(LEN);
    packet.push(LONG_HEADER | 0x40 | (dice >> 24) as u8 & 0x3f);
    packet.extend(reserved_version(dice).to_be_bytes());
    for id in [&ids.destination, &ids.source] {
        packet.push(ID as u8);
        packet.extend(id);
    }
    packet.resize(LEN, 0);
    packet
}

/// The IDs of the probe that a packet answers; `None`: it answers none.
pub(super) fn answer(packet: &[u8]) -> Option<Ids> {
    let (first, rest) = packet.split_first()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    if first & LONG_HEADER == 0 || *version != [0; 4] {
        return None;
    }
    let (source, rest) = id(rest)?;
    let (destination, _) = id(rest)?;
    Some(Ids {
        source,
        destination,
    })
}

fn id(bytes: &[u8]) -> Option<([u8; ID], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_first_chunk::<ID>()?;
    (usize::from(*len) == ID).then_some((*id, rest))
}

/// 0x?a?a?a?a: reserved to force version negotiation (RFC 9000 §15).
fn reserved_version(dice: u32) -> u32 {
    dice & 0xf0f0_f0f0 | 0x0a0a_0a0a
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: Ids = Ids {
        source: [1; ID],
        destination: [2; ID],
    };

    #[test]
    fn a_probe_is_a_long_header_of_a_reserved_version_and_as_long_as_a_server_wants() {
        let packet = probe(&IDS, 0x1234_5678);
        assert_eq!(packet.len(), 1200);
        assert_eq!(packet[1..5], [0x1a, 0x3a, 0x5a, 0x7a]);
        assert_eq!(answer(&packet), None, "it is no answer");
    }

    #[test]
    fn an_answer_names_the_ids_the_other_way_round() {
        let mut packet = vec![0xc0, 0, 0, 0, 0, 8];
        packet.extend(IDS.source);
        packet.push(8);
        packet.extend(IDS.destination);
        packet.extend([0, 0, 0, 1]);
        assert_eq!(answer(&packet), Some(IDS));
        for len in 0..23 {
            assert_eq!(answer(&packet[..len]), None, "cut to {len}");
        }
        packet[5] = 9;
        assert_eq!(answer(&packet), None);
    }
}
