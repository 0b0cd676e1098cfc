//! Connection IDs that name the worker that issued them, so that its packets find it wherever they come in.
//!
//! An ID is four random bytes, then the worker's number and three bytes to know it by, both hidden by a keyed hash of the
//! former: outsiders learn nothing from it, not even whether two IDs are of one worker (RFC 9000 §5.1).

use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;
use rand::RngExt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Bytes of an ID.
const LEN: usize = 8;

/// Makes and reads the IDs of one process. Clones agree with each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal(RandomState);

impl Seal {
    /// A generator of a worker's IDs.
    pub(crate) fn generator(&self, worker: u8) -> Box<dyn ConnectionIdGenerator> {
        let seal = self.clone();
        Box::new(Generator { seal, worker })
    }

    /// The worker that a packet is for, if its connection ID is one of this process's (RFC 8999 §5). A client's first
    /// packets carry an ID of its own choice: they are for nobody yet.
    pub(crate) fn addressee(&self, packet: &[u8]) -> Option<u8> {
        let is_long = packet.first()? & 0x80 != 0;
        let id = match is_long {
            // First byte, version, length of the ID.
            true if usize::from(*packet.get(5)?) != LEN => return None,
            true => packet.get(6..6 + LEN)?,
            false => packet.get(1..1 + LEN)?,
        };
        self.worker(id)
    }

    fn issue(&self, worker: u8) -> [u8; LEN] {
        let nonce: [u8; 4] = rand::rng().random();
        let [a, b, c, d] = nonce;
        let [hides, x, y, z] = self.mask(nonce);
        [a, b, c, d, worker ^ hides, x, y, z]
    }

    fn worker(&self, id: &[u8]) -> Option<u8> {
        let &[a, b, c, d, hidden, ref known @ ..] = id else {
            return None;
        };
        let [hides, expected @ ..] = self.mask([a, b, c, d]);
        (known == &expected[..]).then_some(hidden ^ hides)
    }

    fn mask(&self, nonce: [u8; 4]) -> [u8; 4] {
        (self.0.hash_one(nonce) as u32).to_le_bytes()
    }
}

struct Generator {
    seal: Seal,
    worker: u8,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.seal.issue(self.worker))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        self.seal.worker(id).map(|_| ()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[0; 20]].concat()
    }

    fn long(id: &[u8]) -> Vec<u8> {
        [&[0xe0, 0, 0, 0, 1, id.len() as u8], id, &[0; 20]].concat()
    }

    #[test]
    fn every_packet_with_an_id_of_ours_names_its_worker() {
        let seal = Seal::default();
        for worker in 0..=255 {
            let id = seal.generator(worker).generate_cid();
            let other_end = seal.clone();
            assert_eq!(other_end.addressee(&short(&id)), Some(worker));
            assert_eq!(other_end.addressee(&long(&id)), Some(worker));
            assert!(seal.generator(0).validate(&id).is_ok());
        }
    }

    #[test]
    fn other_ids_are_nobodys() {
        let seal = Seal::default();
        let foreign = Seal::default().generator(1).generate_cid();
        assert_eq!(seal.addressee(&short(&foreign)), None);
        assert_eq!(seal.addressee(&long(&foreign)), None);
        assert!(seal.generator(1).validate(&foreign).is_err());
        let longer = [&seal.issue(1)[..], &[0; 4]].concat();
        assert_eq!(seal.addressee(&long(&longer)), None);
    }

    #[test]
    fn packets_cut_short_are_nobodys() {
        let seal = Seal::default();
        let id = seal.issue(1);
        for packet in [&short(&id)[..9], &long(&id)[..14]] {
            assert_eq!(seal.addressee(packet), Some(1));
            for len in 0..packet.len() {
                assert_eq!(seal.addressee(&packet[..len]), None);
            }
        }
    }
}
