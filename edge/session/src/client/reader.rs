//! Reads data streams into objects.

use super::fetch::FetchItem;
use super::object::Object;
use super::router::{FetchSink, Sink};
use super::shared::Shared;
use crate::transport::{RecvStream, TryRead};
use bytes::{Bytes, BytesMut};
use meridian_wire::data::{
    FetchDecoder, FetchEvent, FetchObject, ObjectHeader, ObjectStatus, SubgroupDecoder,
    SubgroupEvent, SubgroupHeader,
};
use meridian_wire::{GroupOrder, ResetCode, TerminationCode, WireError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

const MAX_CHUNK: usize = 64 * 1024;

/// The largest object that is put together; a video frame is far smaller.
const MAX_OBJECT: u64 = 16 * 1024 * 1024;

/// Reads a subgroup stream. One that is all there, as audio is, is done with at once; the others get a task.
pub(super) fn subgroup(shared: &Arc<Shared>, first: Bytes, stream: RecvStream) {
    let mut reader = SubgroupReader::new(shared, stream);
    match reader
        .take(first)
        .and_then(|()| reader.take_what_is_there())
    {
        Ok(Progress::Ended) => {}
        Ok(Progress::More) => {
            let shared = shared.clone();
            let task = shared.clone();
            shared.tasks.spawn(async move {
                if let Err(error) = reader.run().await {
                    fail(&task, error);
                }
            });
        }
        Err(error) => fail(shared, error),
    }
}

fn fail(shared: &Shared, error: WireError) {
    shared.session.close(error.code, error.what);
}

enum Progress {
    More,
    Ended,
}

struct SubgroupReader {
    shared: Arc<Shared>,
    stream: RecvStream,
    decoder: SubgroupDecoder,
    header: Option<SubgroupHeader>,
    /// `None` until the header is there and somebody is found.
    sinks: Option<Vec<Arc<Sink>>>,
    subgroup: Option<u64>,
    object: Option<Gathering>,
}

/// An object on its way in.
struct Gathering {
    header: ObjectHeader,
    first: Bytes,
    rest: BytesMut,
}

impl SubgroupReader {
    fn new(shared: &Arc<Shared>, stream: RecvStream) -> SubgroupReader {
        SubgroupReader {
            shared: shared.clone(),
            stream,
            decoder: SubgroupDecoder::new(),
            header: None,
            sinks: None,
            subgroup: None,
            object: None,
        }
    }

    fn take_what_is_there(&mut self) -> Result<Progress, WireError> {
        while self.sinks.is_some() {
            match self.stream.try_read_chunk(MAX_CHUNK) {
                Ok(TryRead::Chunk(chunk)) => self.take(chunk)?,
                Ok(TryRead::Pending) => return Ok(Progress::More),
                Ok(TryRead::Fin) => return self.end().map(|()| Progress::Ended),
                Err(_) => {
                    self.cut_off();
                    return Ok(Progress::Ended);
                }
            }
        }
        Ok(Progress::More)
    }

    async fn run(mut self) -> Result<(), WireError> {
        loop {
            if let (None, Some(header)) = (&self.sinks, self.header) {
                self.sinks = Some(self.shared.router.sinks_soon(header.track_alias).await);
                self.drain()?;
            }
            if self.sinks.as_ref().is_some_and(Vec::is_empty) {
                self.stream.stop(ResetCode::CANCELLED);
                return Ok(());
            }
            match self.stream.read_chunk(MAX_CHUNK).await {
                Ok(Some(chunk)) => self.take(chunk)?,
                Ok(None) => return self.end(),
                Err(_) => {
                    self.cut_off();
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<(), WireError> {
        self.decoder.push(chunk);
        self.drain()
    }

    /// Takes what the decoder has, as far as somebody is known to want it.
    fn drain(&mut self) -> Result<(), WireError> {
        while self.header.is_none() || self.sinks.is_some() {
            let Some(event) = self.decoder.poll()? else {
                return Ok(());
            };
            match event {
                SubgroupEvent::Header(header) => self.found(header),
                SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                } => self.begin(header, wire.slice(head_len..)),
                SubgroupEvent::Payload(bytes) => self.add(&bytes),
                SubgroupEvent::ObjectEnd => self.complete(),
            }
        }
        Ok(())
    }

    fn found(&mut self, header: SubgroupHeader) {
        let sinks = self.shared.router.sinks(header.track_alias);
        self.header = Some(header);
        self.sinks = Some(sinks).filter(|sinks| !sinks.is_empty());
    }

    fn begin(&mut self, header: ObjectHeader, first: Bytes) {
        if let Some(stream) = &self.header {
            let first_id = header.id;
            let subgroup = || stream.subgroup.resolve(first_id);
            self.subgroup.get_or_insert_with(subgroup);
        }
        if header.payload_len > MAX_OBJECT {
            self.count(|sink| &sink.counters.too_large);
            return;
        }
        self.object = Some(Gathering {
            header,
            first,
            rest: BytesMut::new(),
        });
    }

    fn add(&mut self, bytes: &Bytes) {
        if let Some(object) = &mut self.object {
            object.add(bytes);
        }
    }

    fn complete(&mut self) {
        let (Some(object), Some(stream)) = (self.object.take(), self.header) else {
            return;
        };
        let object = Object {
            group: stream.group,
            subgroup: self.subgroup,
            id: object.header.id,
            priority: stream.priority,
            properties: object.header.properties.clone(),
            status: object.header.status,
            payload: object.payload(),
            arrival: Instant::now(),
        };
        for sink in self.sinks.iter().flatten() {
            sink.deliver(object.clone());
        }
    }

    fn end(&mut self) -> Result<(), WireError> {
        if !self.decoder.is_at_boundary() {
            return Err(CUT_OFF);
        }
        self.count(|sink| &sink.counters.streams_ended);
        self.notify();
        Ok(())
    }

    fn cut_off(&mut self) {
        if self.object.is_some() {
            self.count(|sink| &sink.counters.cut_off);
        }
        self.count(|sink| &sink.counters.streams_reset);
        self.notify();
    }

    fn count(&self, counter: impl Fn(&Sink) -> &std::sync::atomic::AtomicU64) {
        for sink in self.sinks.iter().flatten() {
            counter(sink).fetch_add(1, Ordering::Relaxed);
        }
    }

    fn notify(&self) {
        for sink in self.sinks.iter().flatten() {
            sink.stream_ended.notify_one();
        }
    }
}

impl Gathering {
    fn add(&mut self, bytes: &Bytes) {
        if self.rest.is_empty() && self.first.is_empty() {
            self.first = bytes.clone();
            return;
        }
        if self.rest.is_empty() {
            let whole = usize::try_from(self.header.payload_len).unwrap_or_default();
            self.rest.reserve(whole);
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(bytes);
    }

    /// What came in one piece is not copied.
    fn payload(self) -> Bytes {
        match self.rest.is_empty() {
            true => self.first,
            false => self.rest.freeze(),
        }
    }
}

/// Reads a fetch or fill stream in a task of its own.
pub(super) fn fetch(shared: &Arc<Shared>, first: Bytes, stream: RecvStream) {
    let task = shared.clone();
    shared.tasks.spawn(async move {
        if let Err(error) = read_fetch(&task, first, stream).await {
            fail(&task, error);
        }
    });
}

async fn read_fetch(
    shared: &Shared,
    first: Bytes,
    mut stream: RecvStream,
) -> Result<(), WireError> {
    let mut decoder = FetchDecoder::new(shared.session.draft(), GroupOrder::Ascending);
    decoder.push(first);
    let mut fetch = FetchReader::default();
    loop {
        while let Some(event) = decoder.poll()? {
            if let FetchEvent::Header(header) = event {
                let Some(fetching) = shared.router.fetch_soon(header.request_id).await else {
                    stream.stop(ResetCode::CANCELLED);
                    return Ok(());
                };
                decoder.set_order(fetching.order);
                fetch.sink = Some(fetching.sink);
                continue;
            }
            // Unlike live objects these can wait: the stream's flow control holds the peer back.
            let wanted = match (fetch.take(event), &fetch.sink) {
                (Some(item), Some(sink)) => sink.send(item).await.is_ok(),
                _ => true,
            };
            if !wanted {
                stream.stop(ResetCode::CANCELLED);
                return Ok(());
            }
        }
        match stream.read_chunk(MAX_CHUNK).await {
            Ok(Some(chunk)) => decoder.push(chunk),
            Ok(None) if decoder.is_at_boundary() => return fetch.end(FetchItem::Complete).await,
            Ok(None) => return Err(CUT_OFF),
            Err(error) => return fetch.end(FetchItem::Failed(error)).await,
        }
    }
}

#[derive(Default)]
struct FetchReader {
    sink: Option<FetchSink>,
    object: Option<(FetchObject, Gathering)>,
}

impl FetchReader {
    fn take(&mut self, event: FetchEvent) -> Option<FetchItem> {
        match event {
            FetchEvent::Header(_) => None,
            FetchEvent::Object {
                header,
                wire,
                head_len,
            } => {
                self.begin(header, wire.slice(head_len..));
                None
            }
            FetchEvent::Payload(bytes) => {
                if let Some((_, object)) = &mut self.object {
                    object.add(&bytes);
                }
                None
            }
            FetchEvent::ObjectEnd => self.complete(),
            FetchEvent::EndOfRange { kind, end } => Some(FetchItem::Gap { kind, end }),
        }
    }

    fn begin(&mut self, header: FetchObject, first: Bytes) {
        if header.payload_len > MAX_OBJECT {
            return;
        }
        let object = Gathering {
            header: ObjectHeader {
                id: header.object,
                properties: header.properties.clone(),
                payload_len: header.payload_len,
                status: ObjectStatus::Normal,
            },
            first,
            rest: BytesMut::new(),
        };
        self.object = Some((header, object));
    }

    fn complete(&mut self) -> Option<FetchItem> {
        let (header, object) = self.object.take()?;
        Some(FetchItem::Object(Object {
            group: header.group,
            subgroup: header.subgroup,
            id: header.object,
            priority: Some(header.priority),
            properties: header.properties,
            status: ObjectStatus::Normal,
            payload: object.payload(),
            arrival: Instant::now(),
        }))
    }

    async fn end(self, item: FetchItem) -> Result<(), WireError> {
        if let Some(sink) = self.sink {
            // Whoever has gone needs no end.
            let _ = sink.send(item).await;
        }
        Ok(())
    }
}

const CUT_OFF: WireError = WireError {
    code: TerminationCode::PROTOCOL_VIOLATION,
    what: "a data stream ended within an object",
};
