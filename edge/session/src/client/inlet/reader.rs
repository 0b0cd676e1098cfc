//! Puts together whole objects of what comes on data streams and in datagrams.

use crate::client::Object;
use crate::transport::{RecvStream, TryRead};
use bytes::{Bytes, BytesMut};
use meridian_wire::ResetCode;
use meridian_wire::data::{
    ObjectDatagram, ObjectHeader, ObjectStatus, SubgroupDecoder, SubgroupEvent,
};
use meridian_wire::property::Properties;
use std::time::Instant;
use tokio::sync::mpsc;

/// What arrives on a track.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A whole object.
    Object {
        /// The object.
        object: Object,
        /// When its last byte was read.
        at: Instant,
    },
    /// A group's stream came to its proper end.
    GroupEnd {
        /// Group ID.
        group: u64,
    },
    /// Nothing comes after this.
    TrackEnd,
}

/// Where what is read later goes, with its track's alias.
pub(super) type Out = mpsc::Sender<(u64, Arrival)>;

/// What a datagram brings, with its track's alias.
pub(super) fn of_datagram(datagram: ObjectDatagram) -> impl Iterator<Item = (u64, Arrival)> {
    let (alias, group) = (datagram.track_alias, datagram.group);
    let is_object = datagram.status == ObjectStatus::Normal;
    let end = (is_object && datagram.end_of_group).then_some(Arrival::GroupEnd { group });
    let object = is_object.then(|| {
        let properties = Properties(datagram.properties.unwrap_or_default());
        arrived(group, datagram.object, properties, datagram.payload)
    });
    let both = object.into_iter().chain(end);
    both.map(move |arrival| (alias, arrival))
}

/// A stream whose end is still to come.
pub(super) struct Unfinished {
    reading: Reading,
    stream: RecvStream,
}

/// Reads what has come of a stream, as a stream of one packet has whole, and gives it to `take`; the rest is returned. Streams
/// read like this stay in order. Of a long one only a part is read, for others wait.
pub(super) fn read_now(
    first: Bytes,
    mut stream: RecvStream,
    mut take: impl FnMut((u64, Arrival)),
) -> Option<Unfinished> {
    let mut reading = Reading::default();
    let mut bytes = first;
    for read in 1.. {
        reading.decoder.push(bytes);
        loop {
            match reading.next() {
                Ok(Some(arrival)) => take(arrival),
                Ok(None) => break,
                Err(code) => {
                    stream.stop(code);
                    return None;
                }
            }
        }
        if read == MAX_CHUNKS {
            break;
        }
        bytes = match stream.try_read_chunk(MAX_CHUNK) {
            Ok(TryRead::Chunk(chunk)) => chunk,
            Ok(TryRead::Fin) => {
                reading.end().into_iter().for_each(take);
                return None;
            }
            Ok(TryRead::Pending) => break,
            // Cut off: the ledger finds what is missing.
            Err(_) => return None,
        };
    }
    Some(Unfinished { reading, stream })
}

impl Unfinished {
    /// Reads it to its end.
    pub(super) async fn read(self, out: Out) {
        let Unfinished {
            mut reading,
            mut stream,
        } = self;
        loop {
            let Ok(chunk) = stream.read_chunk(MAX_CHUNK).await else {
                return;
            };
            let Some(bytes) = chunk else { break };
            reading.decoder.push(bytes);
            loop {
                match reading.next() {
                    // Fails only when nobody watches any more.
                    Ok(Some(arrival)) => {
                        if out.send(arrival).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(code) => return stream.stop(code),
                }
            }
        }
        if let Some(end) = reading.end() {
            let _ = out.send(end).await;
        }
    }
}

/// An object being put together.
struct Partial {
    header: ObjectHeader,
    payload: Vec<Bytes>,
}

#[derive(Default)]
struct Reading {
    decoder: SubgroupDecoder,
    /// Alias and group.
    place: Option<(u64, u64)>,
    partial: Option<Partial>,
}

impl Reading {
    /// What the stream's proper end brings.
    fn end(&self) -> Option<(u64, Arrival)> {
        let place = self.place.filter(|_| self.decoder.is_at_boundary());
        place.map(|(alias, group)| (alias, Arrival::GroupEnd { group }))
    }

    /// The next whole arrival in what was pushed; an error says how to stop the stream.
    fn next(&mut self) -> Result<Option<(u64, Arrival)>, ResetCode> {
        loop {
            let event = self
                .decoder
                .poll()
                .map_err(|_| ResetCode::MALFORMED_TRACK)?;
            match event {
                None => return Ok(None),
                Some(SubgroupEvent::Header(header)) => {
                    self.place = Some((header.track_alias, header.group));
                }
                Some(SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                }) => {
                    if header.payload_len > MAX_PAYLOAD {
                        return Err(ResetCode::EXCESSIVE_LOAD);
                    }
                    let payload = wire.slice(head_len..);
                    self.partial = Some(Partial {
                        header,
                        payload: vec![payload],
                    });
                }
                Some(SubgroupEvent::Payload(more)) => {
                    if let Some(partial) = &mut self.partial {
                        partial.payload.push(more);
                    }
                }
                Some(SubgroupEvent::ObjectEnd) => {
                    if let Some(arrival) = self.whole() {
                        return Ok(Some(arrival));
                    }
                }
            }
        }
    }

    fn whole(&mut self) -> Option<(u64, Arrival)> {
        let (alias, group) = self.place?;
        let Partial { header, payload } = self.partial.take()?;
        match header.status {
            ObjectStatus::Normal => {
                let properties = Properties(header.properties);
                Some((
                    alias,
                    arrived(group, header.id, properties, joined(payload)),
                ))
            }
            ObjectStatus::EndOfTrack => Some((alias, Arrival::TrackEnd)),
            ObjectStatus::EndOfGroup => None,
        }
    }
}

fn arrived(group: u64, object: u64, properties: Properties, payload: Bytes) -> Arrival {
    Arrival::Object {
        object: Object {
            group,
            object,
            properties,
            payload,
        },
        at: Instant::now(),
    }
}

fn joined(mut slices: Vec<Bytes>) -> Bytes {
    slices.retain(|slice| !slice.is_empty());
    if slices.len() <= 1 {
        return slices.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(slices.iter().map(Bytes::len).sum());
    slices
        .iter()
        .for_each(|slice| whole.extend_from_slice(slice));
    whole.freeze()
}

/// Bytes read at once.
const MAX_CHUNK: usize = 64 * 1024;
/// Reads of one stream before others have their turn: far more than an object of audio has.
const MAX_CHUNKS: usize = 16;
/// The largest object that is put together: far above any frame, far below what memory holds.
const MAX_PAYLOAD: u64 = 16 << 20;
