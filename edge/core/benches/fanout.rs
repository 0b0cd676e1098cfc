//! What one delivery costs: from a publisher's chunk to the writes for every subscriber, without any transport.
//!
//! The figures are times for one chunk; divided by the subscribers (the throughput line) they are times per delivery.

use bytes::{BufMut, Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meridian_relay::{
    Config, Delivery, End, InStreamId, Outgoing, Peer, Permissions, Relay, Role, SessionId,
};
use meridian_wire::control::{Publish, Subscribe};
use meridian_wire::data::{ObjectHeader, ObjectStatus, SubgroupHeader, SubgroupId};
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Message, Namespace, Parameters};
use std::hint::black_box;
use std::time::{Duration, Instant};

const AUDIENCES: [usize; 5] = [1, 50, 200, 500, 1000];

/// An Opus frame of 20 ms at 64 kbit/s.
const AUDIO_FRAME: usize = 160;
/// A packet's worth of a picture, of which a picture has so many.
const VIDEO_CHUNK: usize = 1200;
const CHUNKS_PER_PICTURE: u64 = 5;
const PICTURES_PER_GROUP: u64 = 60;

struct Stage {
    relay: Relay,
    publisher: SessionId,
    now: Instant,
}

impl Stage {
    fn new(subscribers: usize, priority: u8) -> Stage {
        let mut relay = Relay::new(Config::default());
        let now = Instant::now();
        let client = || Peer::new(Role::Client, Permissions::default());
        let publisher = relay.add_session(client(), now);
        let offer = Publish {
            request_id: 0,
            track: track(),
            track_alias: 1,
            params: Parameters::default(),
            properties: Properties::builder()
                .default_publisher_priority(priority)
                .build()
                .expect("a number under an even type"),
        };
        relay.handle_request(publisher, Message::Publish(offer), now);
        for _ in 0..subscribers {
            let session = relay.add_session(client(), now);
            let ask = Subscribe {
                request_id: 0,
                track: track(),
                params: Parameters::default(),
            };
            relay.handle_request(session, Message::Subscribe(ask), now);
        }
        while relay.poll_command().is_some() {}
        Stage {
            relay,
            publisher,
            now,
        }
    }

    /// One chunk in, every delivery out. How many there were.
    fn pass(&mut self, stream: InStreamId, chunk: Bytes, end: bool) -> usize {
        self.now += Duration::from_millis(1);
        let chunks = std::slice::from_ref(&chunk);
        self.relay
            .handle_stream(stream, chunks, end, self.now)
            .expect("well-formed");
        let mut deliveries = 0;
        while let Some(outgoing) = self.relay.poll_delivery() {
            let Outgoing::Stream(delivery) = &outgoing else {
                continue;
            };
            let Delivery { stream, end, .. } = *delivery;
            deliveries += 1;
            black_box(outgoing);
            if matches!(end, End::Finish(_)) {
                self.relay.handle_finished(stream);
            }
        }
        deliveries
    }

    fn open(&mut self) -> InStreamId {
        self.relay
            .accept_stream(self.publisher)
            .expect("the publisher is there")
    }
}

fn track() -> FullTrackName {
    let namespace = Namespace::new(["meridian", "m1", "p", "ana"]);
    FullTrackName::new(namespace.expect("short fields"), "t").expect("a short name")
}

fn header(group: u64) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(2048);
    let header = SubgroupHeader {
        track_alias: 1,
        group,
        subgroup: SubgroupId::Zero,
        priority: None,
        has_properties: false,
        end_of_group: false,
        first_object: true,
    };
    header.encode(&mut bytes);
    bytes
}

fn head(id: u64, previous: Option<u64>, payload_len: u64, bytes: &mut BytesMut) {
    let header = ObjectHeader {
        id,
        properties: Bytes::new(),
        payload_len,
        status: ObjectStatus::Normal,
    };
    header.encode(previous, false, bytes);
}

/// A group of one object on a stream of its own, whole and with its FIN.
fn audio_object(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audio object");
    for subscribers in AUDIENCES {
        let mut stage = Stage::new(subscribers, 16);
        let mut number = 0;
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| {
                number += 1;
                let mut bytes = header(number);
                head(0, None, AUDIO_FRAME as u64, &mut bytes);
                bytes.put_bytes(7, AUDIO_FRAME);
                let stream = stage.open();
                let deliveries = stage.pass(stream, bytes.freeze(), true);
                assert_eq!(deliveries, subscribers);
            });
        });
    }
    group.finish();
}

/// Pictures of several chunks on one stream for each group.
fn video_chunk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("video chunk");
    for subscribers in AUDIENCES {
        let mut stage = Stage::new(subscribers, 160);
        let mut chunk = 0;
        let mut stream = stage.open();
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |bencher| {
            bencher.iter(|| {
                let in_group = chunk % (CHUNKS_PER_PICTURE * PICTURES_PER_GROUP);
                let picture = in_group / CHUNKS_PER_PICTURE;
                let mut bytes = BytesMut::with_capacity(2048);
                if in_group == 0 {
                    stream = stage.open();
                    bytes = header(chunk);
                }
                if in_group.is_multiple_of(CHUNKS_PER_PICTURE) {
                    let payload = VIDEO_CHUNK as u64 * CHUNKS_PER_PICTURE;
                    head(picture, picture.checked_sub(1), payload, &mut bytes);
                }
                bytes.put_bytes(7, VIDEO_CHUNK);
                chunk += 1;
                let is_last = chunk.is_multiple_of(CHUNKS_PER_PICTURE * PICTURES_PER_GROUP);
                let deliveries = stage.pass(stream, bytes.freeze(), is_last);
                assert_eq!(deliveries, subscribers);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = audio_object, video_chunk
}
criterion_main!(benches);
