//! Publishers and viewers: they send and check, and have no logic of their own to speak of.

use crate::common::{Reader, Wire, namespace, priority};
use crate::network::{After, ConnId, Packet};
use crate::truth::{self, Kind, PICTURES, TICK, Track};
use bytes::{Bytes, BytesMut};
use meridian_wire::control::{NamespaceRequest, Publish, RequestOk, Subscribe, SubscribeOk};
use meridian_wire::data::{Datagram, ObjectDatagram, ObjectStatus, SubgroupHeader};
use meridian_wire::param::{FilterSubject, RangeFilter};
use meridian_wire::{LocationFilter, Message, Parameters};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) struct Publisher {
    pub(crate) node: usize,
    pub(crate) conn: Option<ConnId>,
    pub(crate) number: u8,
    /// Offers its tracks with PUBLISH; otherwise announces its namespace.
    offers: bool,
    /// Requests under which a track is wanted now.
    wanted: FxHashMap<Track, u64>,
    track_of: FxHashMap<u64, Track>,
    video: Option<(u64, Wire)>,
    next_stream: u64,
    next_request: u64,
    rng: StdRng,
}

impl Publisher {
    pub(crate) fn new(node: usize, number: u8, offers: bool, seed: u64) -> Publisher {
        Publisher {
            node,
            conn: None,
            number,
            offers,
            wanted: FxHashMap::default(),
            track_of: FxHashMap::default(),
            video: None,
            next_stream: 0,
            next_request: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn tracks(&self) -> [Track; 3] {
        [0, 1, 2].map(|kind| self.number * 3 + kind)
    }

    fn request_id(&mut self) -> u64 {
        self.next_request += 2;
        self.next_request - 2
    }

    /// A connection is there: it says what it has.
    pub(crate) fn connected(&mut self, conn: ConnId) -> Vec<Packet> {
        self.conn = Some(conn);
        self.wanted.clear();
        self.track_of.clear();
        self.video = None;
        if !self.offers {
            let request_id = self.request_id();
            let ask = NamespaceRequest {
                request_id,
                namespace: namespace(&format!("p{}", self.number)),
                params: Parameters::default(),
            };
            return vec![Packet::Request(request_id, Message::PublishNamespace(ask))];
        }
        let tracks = self.tracks();
        let offer = |track| {
            let request_id = self.request_id();
            self.wanted.insert(track, request_id);
            self.track_of.insert(request_id, track);
            let offer = Publish {
                request_id,
                track: truth::track_name(track),
                track_alias: alias(track),
                params: Parameters::default(),
                properties: priority(truth::priority(track)),
            };
            Packet::Request(request_id, Message::Publish(offer))
        };
        tracks.map(offer).into()
    }

    pub(crate) fn take(&mut self, packet: Packet) -> Vec<Packet> {
        match packet {
            Packet::Request(id, Message::Subscribe(ask)) => {
                let track = truth::track_of(&ask.track);
                self.wanted.insert(track, id);
                self.track_of.insert(id, track);
                let ok = SubscribeOk {
                    track_alias: alias(track),
                    params: Parameters::default(),
                    properties: priority(truth::priority(track)),
                };
                vec![Packet::Response(id, Message::SubscribeOk(ok))]
            }
            Packet::Request(id, Message::RequestUpdate(update)) => {
                self.update(id, &update.params);
                vec![Packet::Response(
                    id,
                    Message::RequestOk(RequestOk::default()),
                )]
            }
            Packet::Response(id, Message::RequestUpdate(update)) => {
                self.update(id, &update.params);
                vec![Packet::Request(
                    id,
                    Message::RequestOk(RequestOk::default()),
                )]
            }
            Packet::RequestClosed(id, true) | Packet::ResponseClosed(id, true) => {
                self.wanted.retain(|_, request| *request != id);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn update(&mut self, id: u64, params: &Parameters) {
        let Some(track) = self.track_of.get(&id) else {
            return;
        };
        match params.forward {
            Some(true) => {
                self.wanted.insert(*track, id);
            }
            Some(false) => self.wanted.retain(|_, request| *request != id),
            None => {}
        }
    }

    /// The objects that are due now.
    pub(crate) fn tick(&mut self, at: u64, may_reset: bool) -> Vec<Packet> {
        let mut packets = Vec::new();
        let n = at / TICK;
        for track in self.tracks() {
            let is_wanted = self.wanted.contains_key(&track);
            match truth::kind(track) {
                Kind::Audio if is_wanted => {
                    let wire = Wire::group(alias(track), n);
                    let bytes = wire.object(0, &truth::payload(track, n, 0)).build();
                    let stream = self.stream();
                    self.chop(stream, bytes, After::Fin, &mut packets);
                }
                Kind::Datagram if is_wanted => packets.push(datagram(track, n)),
                Kind::Video => self.picture(track, n, is_wanted, may_reset, &mut packets),
                Kind::Audio | Kind::Datagram => {}
            }
        }
        packets
    }

    fn picture(
        &mut self,
        track: Track,
        n: u64,
        is_wanted: bool,
        may_reset: bool,
        packets: &mut Vec<Packet>,
    ) {
        let (group, picture) = (n / PICTURES, n % PICTURES);
        let breaks = may_reset && self.rng.random_bool(0.03);
        if (!is_wanted || breaks || picture == 0)
            && let Some((stream, _)) = self.video.take()
        {
            packets.push(Packet::Data(stream, Vec::new(), After::Reset));
        }
        if is_wanted && picture == 0 {
            let stream = self.stream();
            self.video = Some((stream, Wire::group(alias(track), group)));
        }
        let Some((stream, wire)) = self.video.take() else {
            return;
        };
        let object = picture * truth::step(track);
        let mut wire = wire.object(object, &truth::payload(track, group, object));
        let is_last = picture == PICTURES - 1;
        let after = if is_last { After::Fin } else { After::More };
        self.chop(stream, wire.take(), after, packets);
        if !is_last {
            self.video = Some((stream, wire));
        }
    }

    fn stream(&mut self) -> u64 {
        self.next_stream += 1;
        self.next_stream
    }

    /// Cuts bytes anywhere.
    fn chop(&mut self, stream: u64, mut bytes: Bytes, after: After, packets: &mut Vec<Packet>) {
        for _ in 0..self.rng.random_range(0..3) {
            if bytes.len() > 1 {
                let cut = bytes.split_to(self.rng.random_range(1..bytes.len()));
                packets.push(Packet::Data(stream, vec![cut], After::More));
            }
        }
        let half = bytes.split_to(bytes.len() / 2);
        packets.push(Packet::Data(stream, vec![half, bytes], after));
    }
}

fn alias(track: Track) -> u64 {
    u64::from(track) + 100
}

fn datagram(track: Track, group: u64) -> Packet {
    let object = ObjectDatagram {
        track_alias: alias(track),
        group,
        object: 0,
        priority: None,
        properties: None,
        end_of_group: false,
        status: ObjectStatus::Normal,
        payload: truth::payload(track, group, 0).into(),
    };
    let mut bytes = BytesMut::new();
    object.encode(&mut bytes);
    Packet::Datagram(bytes.freeze())
}

/// How a viewer asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taste {
    Everything,
    NextObject,
    GroupsBack(u64),
    /// Only the first picture of each group.
    FirstObjects,
}

pub(crate) struct Viewer {
    pub(crate) node: usize,
    pub(crate) conn: Option<ConnId>,
    pub(crate) tracks: Vec<Track>,
    pub(crate) taste: Taste,
    pub(crate) rate: u64,
    pub(crate) window: usize,
    pub(crate) pipe: usize,
    pub(crate) credit: usize,
    /// Reads nothing from the first time to the second.
    pub(crate) stalls: Option<(u64, u64)>,
    /// Must reconnect: a subscription was refused or ended.
    pub(crate) is_unhappy: bool,
    readers: FxHashMap<u64, Reader>,
    whole: FxHashSet<(Track, u64, u64)>,
    /// When each track's last whole object came.
    pub(crate) latest: FxHashMap<Track, u64>,
}

impl Viewer {
    pub(crate) fn new(node: usize, tracks: Vec<Track>, taste: Taste) -> Viewer {
        Viewer {
            node,
            conn: None,
            tracks,
            taste,
            rate: 1 << 20,
            window: 1 << 20,
            pipe: 1 << 20,
            credit: 1000,
            stalls: None,
            is_unhappy: false,
            readers: FxHashMap::default(),
            whole: FxHashSet::default(),
            latest: FxHashMap::default(),
        }
    }

    pub(crate) fn is_fast(&self) -> bool {
        self.rate >= 1 << 20 && self.window >= 1 << 20 && self.credit >= 1000
    }

    pub(crate) fn connected(&mut self, conn: ConnId) -> Vec<Packet> {
        self.conn = Some(conn);
        self.is_unhappy = false;
        self.readers.clear();
        self.whole.clear();
        let params = self.params();
        let subscribe = |(n, track): (usize, &Track)| {
            let request_id = 2 * n as u64;
            let ask = Subscribe {
                request_id,
                track: truth::track_name(*track),
                params: params.clone(),
            };
            Packet::Request(request_id, Message::Subscribe(ask))
        };
        self.tracks.iter().enumerate().map(subscribe).collect()
    }

    fn params(&self) -> Parameters {
        let mut params = Parameters {
            rendezvous_timeout: Some(3000),
            ..Parameters::default()
        };
        match self.taste {
            Taste::Everything => {}
            Taste::NextObject => params.location_filter = Some(LocationFilter::NextObject),
            Taste::GroupsBack(groups_back) => {
                params.location_filter = Some(LocationFilter::Relative { groups_back });
            }
            Taste::FirstObjects => {
                params.range_filters = vec![RangeFilter {
                    subject: FilterSubject::ObjectId,
                    set: 0,
                    ranges: vec![(0, Some(0))],
                }];
            }
        }
        params
    }

    /// What arrived, and which objects are whole by it.
    pub(crate) fn take(&mut self, packet: &Packet, at: u64) -> Vec<(Track, u64, u64)> {
        match packet {
            Packet::Response(_, Message::RequestError(_) | Message::PublishDone(_)) => {
                self.is_unhappy = true;
                Vec::new()
            }
            Packet::Datagram(bytes) => {
                let Ok(Datagram::Object(object)) = Datagram::decode(bytes.clone()) else {
                    panic!("a relay writes what can be read")
                };
                let track = object.payload[0];
                let expected = truth::payload(track, object.group, 0);
                assert_eq!(object.payload, expected, "nothing is altered");
                let spot = (track, object.group, object.object);
                self.got(spot, at);
                vec![spot]
            }
            Packet::Data(stream, chunks, after) => self.take_data(*stream, chunks, *after, at),
            _ => Vec::new(),
        }
    }

    fn take_data(
        &mut self,
        stream: u64,
        chunks: &[Bytes],
        after: After,
        at: u64,
    ) -> Vec<(Track, u64, u64)> {
        let reader = self.readers.entry(stream).or_default();
        for chunk in chunks {
            reader.push(chunk.clone());
        }
        let from = reader.told();
        let spots = reader.whole();
        for (n, (track, group, object)) in spots.iter().enumerate() {
            let expected = truth::payload(*track, *group, *object);
            assert_eq!(reader.objects[from + n].1, expected, "nothing is altered");
        }
        if after == After::Fin {
            check_end(reader, self.taste);
        }
        if let Some(&(track, ..)) = spots.first() {
            check_order(reader, track, self.taste);
        }
        if after != After::More {
            self.readers.remove(&stream);
        }
        for spot in &spots {
            self.got(*spot, at);
        }
        spots
    }

    fn got(&mut self, spot: (Track, u64, u64), at: u64) {
        assert!(self.tracks.contains(&spot.0), "only what was asked for");
        assert!(self.whole.insert(spot), "{spot:?} came twice");
        self.latest.insert(spot.0, at);
    }
}

/// Objects of a stream follow each other without a gap.
fn check_order(reader: &Reader, track: Track, taste: Taste) {
    let ids: Vec<u64> = reader.objects.iter().map(|(id, _)| *id).collect();
    let steps = ids.windows(2).map(|pair| pair[1] - pair[0]);
    let mut steps = steps.filter(|step| *step != truth::step(track));
    assert_eq!(steps.next(), None, "objects missing in {ids:?}");
    if matches!(taste, Taste::FirstObjects) {
        assert_eq!(ids, [0], "only the first object was asked for");
    }
    let header: SubgroupHeader = reader.header.expect("objects follow a header");
    assert_eq!(header.first_object, ids[0] == 0, "{ids:?}");
}

/// A stream ends with FIN only when it holds the subgroup's last object, whole.
fn check_end(reader: &Reader, taste: Taste) {
    assert!(reader.is_at_boundary(), "FIN stands between objects");
    let (Some((last, payload)), false) =
        (reader.objects.last(), matches!(taste, Taste::FirstObjects))
    else {
        return;
    };
    let track = payload[0];
    assert_eq!(*last, truth::last_object(track), "FIN, and the rest?");
}
