//! Datagrams that leave together in one system call (UDP segmentation offload).

use bytes::Bytes;
use quinn_udp::EcnCodepoint;

use super::sockets::ClientId;

/// A datagram on its way through the emulator.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) client: ClientId,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) payload: Bytes,
}

/// Equal-sized datagrams for one receiver; only the last may be shorter, as the kernel requires.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) client: ClientId,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) segment: usize,
    pub(super) count: u64,
    pub(super) contents: Vec<u8>,
}

impl Batch {
    pub(super) fn new(first: &Packet) -> Self {
        Self {
            client: first.client,
            ecn: first.ecn,
            segment: first.payload.len(),
            count: 1,
            contents: first.payload.to_vec(),
        }
    }

    /// Adds a datagram, or says that it has to start a batch of its own.
    pub(super) fn accepts(&mut self, packet: &Packet, max_segments: usize) -> bool {
        let same_kind = (self.client, self.ecn) == (packet.client, packet.ecn);
        let all_full = self.contents.len() == self.segment * self.count as usize;
        let fits = (1..=self.segment).contains(&packet.payload.len())
            && self.contents.len() + packet.payload.len() <= MAX_BATCH_BYTES
            && self.count < max_segments as u64;
        let accepted = same_kind && all_full && fits;
        if accepted {
            self.contents.extend_from_slice(&packet.payload);
            self.count += 1;
        }
        accepted
    }
}

/// Groups a stream of datagrams into batches; each is given to `send` as soon as it is complete.
pub(super) fn in_batches(
    packets: impl Iterator<Item = Packet>,
    max_segments: usize,
    mut send: impl FnMut(Batch),
) {
    let mut open: Option<Batch> = None;
    for packet in packets {
        let joined = open
            .as_mut()
            .is_some_and(|batch| batch.accepts(&packet, max_segments));
        if !joined {
            open.replace(Batch::new(&packet))
                .into_iter()
                .for_each(&mut send);
        }
    }
    open.into_iter().for_each(send);
}

/// The largest UDP payload over IPv4.
const MAX_BATCH_BYTES: usize = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(packets: &[(u64, usize)], max_segments: usize) -> Vec<(u64, usize, u64)> {
        let packets = packets.iter().map(|(client, bytes)| Packet {
            client: ClientId(*client),
            ecn: None,
            payload: vec![0; *bytes].into(),
        });
        let mut sent = Vec::new();
        in_batches(packets, max_segments, |batch| {
            sent.push((batch.client.0, batch.contents.len(), batch.count));
        });
        sent
    }

    #[test]
    fn equal_datagrams_leave_together_and_a_shorter_one_closes_the_batch() {
        let packets = [(1, 1200), (1, 1200), (1, 300), (1, 1200)];
        assert_eq!(batches(&packets, 64), [(1, 2700, 3), (1, 1200, 1)]);
    }

    #[test]
    fn a_longer_datagram_another_client_or_a_full_batch_starts_anew() {
        assert_eq!(
            batches(&[(1, 300), (1, 1200)], 64),
            [(1, 300, 1), (1, 1200, 1)]
        );
        assert_eq!(
            batches(&[(1, 300), (2, 300)], 64),
            [(1, 300, 1), (2, 300, 1)]
        );
        assert_eq!(batches(&[(1, 300); 3], 2), [(1, 600, 2), (1, 300, 1)]);
        assert_eq!(
            batches(&[(1, 40_000); 2], 64),
            [(1, 40_000, 1), (1, 40_000, 1)]
        );
    }

    #[test]
    fn an_empty_datagram_travels_alone() {
        assert_eq!(batches(&[(1, 0), (1, 0)], 64), [(1, 0, 1), (1, 0, 1)]);
        assert_eq!(batches(&[], 64), []);
    }
}
