//! Wire bytes for tests: what a publisher sends, put together; what a subscriber gets, taken apart. Each test binary uses
//! its part.

use bytes::{BufMut, Bytes, BytesMut};
use meridian_wire::data::{
    ObjectHeader, ObjectStatus, SubgroupDecoder, SubgroupEvent, SubgroupHeader, SubgroupId,
};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Namespace};

/// A publisher's subgroup stream in the making.
pub(crate) struct Wire {
    header: SubgroupHeader,
    previous: Option<u64>,
    bytes: BytesMut,
}

impl Wire {
    /// Subgroup 0 of a group, from its first object on, with the track's priority.
    pub(crate) fn group(track_alias: u64, group: u64) -> Wire {
        Wire::new(SubgroupHeader {
            track_alias,
            group,
            subgroup: SubgroupId::Zero,
            priority: None,
            has_properties: false,
            end_of_group: false,
            first_object: true,
        })
    }

    pub(crate) fn new(header: SubgroupHeader) -> Wire {
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes);
        Wire {
            header,
            previous: None,
            bytes,
        }
    }

    /// A whole object.
    pub(crate) fn object(self, id: u64, payload: &[u8]) -> Wire {
        let mut wire = self.head(id, payload.len() as u64, &[]);
        wire.bytes.put_slice(payload);
        wire
    }

    /// The head of an object; its payload is for later.
    pub(crate) fn head(mut self, id: u64, payload_len: u64, properties: &[u8]) -> Wire {
        let header = ObjectHeader {
            id,
            properties: Bytes::copy_from_slice(properties),
            payload_len,
            status: ObjectStatus::Normal,
        };
        header.encode(self.previous, self.header.has_properties, &mut self.bytes);
        self.previous = Some(id);
        self
    }

    /// Bytes as they are.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Wire {
        self.bytes.put_slice(bytes);
        self
    }

    /// What was put together since the last call.
    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    pub(crate) fn build(mut self) -> Bytes {
        self.take()
    }
}

/// A stream as its subscriber sees it.
#[derive(Default)]
pub(crate) struct Reader {
    decoder: SubgroupDecoder,
    pub(crate) header: Option<SubgroupHeader>,
    /// ID and payload as far as it is there.
    pub(crate) objects: Vec<(u64, Vec<u8>)>,
    pub(crate) lengths: Vec<u64>,
    pub(crate) properties: Vec<Bytes>,
    told: usize,
}

impl Reader {
    /// Takes in the next bytes; what a relay writes is never malformed.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.decoder.push(bytes);
        while let Some(event) = self
            .decoder
            .poll()
            .expect("a relay writes what can be read")
        {
            match event {
                SubgroupEvent::Header(header) => self.header = Some(header),
                SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                } => {
                    self.lengths.push(header.payload_len);
                    self.properties.push(header.properties);
                    self.objects.push((header.id, wire[head_len..].to_vec()));
                }
                SubgroupEvent::Payload(bytes) => {
                    let (_, payload) = self.objects.last_mut().expect("payload follows a head");
                    payload.extend_from_slice(&bytes);
                }
                SubgroupEvent::ObjectEnd => {}
            }
        }
    }

    /// Whether a FIN may stand here.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.decoder.is_at_boundary()
    }

    /// How many objects have been told of.
    pub(crate) fn told(&self) -> usize {
        self.told
    }

    /// Whole objects that have not been told of yet, by track (the first byte of the payload), group and object.
    pub(crate) fn whole(&mut self) -> Vec<(u8, u64, u64)> {
        let mut whole = Vec::new();
        while let Some((id, payload)) = self.objects.get(self.told)
            && self.lengths[self.told] == payload.len() as u64
        {
            whole.push((payload.first().copied().unwrap_or(0), self.group(), *id));
            self.told += 1;
        }
        whole
    }

    pub(crate) fn group(&self) -> u64 {
        self.header.expect("the stream has begun").group
    }
}

/// A track of participant `who`.
pub(crate) fn name(who: &str, track: &str) -> FullTrackName {
    let track = Bytes::copy_from_slice(track.as_bytes());
    FullTrackName::new(namespace(who), track).expect("a short name")
}

/// The namespace of participant `who`.
pub(crate) fn namespace(who: &str) -> Namespace {
    let fields = ["meridian", "m1", "p", who].map(|field| Bytes::copy_from_slice(field.as_bytes()));
    Namespace::new(fields).expect("short fields")
}

/// Track properties that name a default priority: 16 is audio, 160 video.
pub(crate) fn priority(priority: u8) -> Properties {
    Properties::builder()
        .default_publisher_priority(priority)
        .build()
        .expect("a number under an even type")
}
