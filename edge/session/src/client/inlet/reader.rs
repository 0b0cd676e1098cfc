//! Reads data streams and datagrams into whole objects.

use crate::client::Object;
use crate::session::{DataStream, Session, SessionError};
use crate::transport::RecvStream;
use bytes::{Bytes, BytesMut};
use meridian_wire::ResetCode;
use meridian_wire::data::{
    ObjectDatagram, ObjectHeader, ObjectStatus, SubgroupDecoder, SubgroupEvent,
};
use meridian_wire::property::Properties;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

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

type Out = mpsc::Sender<(u64, Arrival)>;

/// Takes everything that comes over `session` until it ends.
pub(super) async fn take_all(session: Session, out: Out) -> SessionError {
    let mut streams = JoinSet::new();
    loop {
        while streams.try_join_next().is_some() {}
        tokio::select! {
            data = session.accept_data() => match data {
                Ok(DataStream::Subgroup { first, stream }) => {
                    streams.spawn(read(first, stream, out.clone()));
                }
                // Nothing was fetched.
                Ok(DataStream::Fetch { mut stream, .. }) => stream.stop(ResetCode::CANCELLED),
                Err(error) => return error,
            },
            datagram = session.accept_datagram() => match datagram {
                Ok(datagram) => send_datagram(datagram, &out).await,
                Err(error) => return error,
            },
        }
    }
}

async fn send_datagram(datagram: ObjectDatagram, out: &Out) {
    let (alias, group) = (datagram.track_alias, datagram.group);
    if datagram.status != ObjectStatus::Normal {
        return;
    }
    let properties = Properties(datagram.properties.unwrap_or_default());
    let object = arrived(group, datagram.object, properties, datagram.payload);
    // Fails only when nobody watches any more.
    let _ = out.send((alias, object)).await;
    if datagram.end_of_group {
        let _ = out.send((alias, Arrival::GroupEnd { group })).await;
    }
}

/// An object being put together.
struct Partial {
    header: ObjectHeader,
    payload: Vec<Bytes>,
}

async fn read(first: Bytes, mut stream: RecvStream, out: Out) {
    let mut reading = Reading::default();
    let mut chunk = Some(first);
    while let Some(bytes) = chunk {
        reading.decoder.push(bytes);
        loop {
            match reading.next() {
                Ok(Some(arrival)) => {
                    if out.send(arrival).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(code) => return stream.stop(code),
            }
        }
        chunk = match stream.read_chunk(MAX_CHUNK).await {
            Ok(chunk) => chunk,
            // Cut off: the ledger finds what is missing.
            Err(_) => return,
        };
    }
    if let Some((alias, group)) = reading.place.filter(|_| reading.decoder.is_at_boundary()) {
        let _ = out.send((alias, Arrival::GroupEnd { group })).await;
    }
}

#[derive(Default)]
struct Reading {
    decoder: SubgroupDecoder,
    /// Alias and group.
    place: Option<(u64, u64)>,
    partial: Option<Partial>,
}

impl Reading {
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
/// The largest object that is put together: far above any frame, far below what memory holds.
const MAX_PAYLOAD: u64 = 16 << 20;
