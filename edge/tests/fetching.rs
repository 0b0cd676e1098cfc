//! FETCH through offices joined by real QUIC: from a parent's cache, and from the publisher three edges away.

mod common;
#[path = "common/offices.rs"]
mod offices;

use bytes::{Bytes, BytesMut};
use common::*;
use meridian_session::session::RequestEvent;
use meridian_wire::control::{FetchOk, SubscribeOk};
use meridian_wire::data::{
    FetchEncoder, FetchHeader, FetchObject, ObjectHeader, ObjectStatus, SubgroupDecoder,
    SubgroupEvent, SubgroupHeader, SubgroupId,
};
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, GroupOrder, Location, LocationFilter, Message, Parameters,
};
use offices::{Authority, own_addresses};

const CHILDREN: &str = "[[neighbour]]\noffice = \"bangkok\"\nrole = \"child\"\n\
                        [[neighbour]]\noffice = \"addis-ababa\"\nrole = \"child\"\n";

#[test]
fn the_past_comes_from_the_parents_cache_and_what_is_older_from_the_publisher() {
    run(async {
        let authority = Authority::new();
        let [origin, east, south] = own_addresses();
        let geneva = authority.start("geneva", origin, CHILDREN);
        let parent = format!(
            "[[neighbour]]\noffice = \"geneva\"\nrole = \"parent\"\naddress = \"{origin}\"\n"
        );
        let bangkok = authority.start("bangkok", east, &parent);
        let addis = authority.start("addis-ababa", south, &parent);

        let publisher = connect(bangkok.clients, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let middle = connect(geneva.clients, Draft::D22).await;
        let patient = Parameters {
            rendezvous_timeout: Some(20_000),
            ..Parameters::default()
        };
        let mut asked = subscribe(&middle, "audio", patient).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        expect_subscribe_ok(&mut asked).await;
        for group in 1000..1005 {
            send_stream(&publisher, audio(7, group, &[group as u8; 160])).await;
            receive_stream(&middle).await;
        }

        let far = connect(addis.clients, Draft::D22).await;
        let mut request = fetch(&far, 1001, 1003).await;
        let (answer, stream) = tokio::join!(request.recv(), receive_stream(&far));
        assert_eq!(
            end_of(answer.expect("the session lives")),
            Location::new(1003, 0)
        );
        let expected: Vec<_> = (1001..=1003).map(|group| (group, group as u8)).collect();
        assert_eq!(objects(stream), expected);

        let mut request = fetch(&far, 998, 1000).await;
        let serve = async {
            let incoming = publisher.accept_request().await.expect("the session lives");
            let Message::Fetch(asked) = &incoming.message else {
                panic!("not a FETCH: {:?}", incoming.message);
            };
            let older = LocationFilter::Absolute {
                start: Location::new(998, 0),
                end_group: Some(999),
                end_object: None,
            };
            assert_eq!(asked.params.location_filter, Some(older));
            let ok = FetchOk {
                end_of_track: false,
                end: Location::new(999, u64::MAX),
                params: Parameters::default(),
                properties: Properties::default(),
            };
            incoming
                .stream
                .send(&Message::FetchOk(ok))
                .expect("it fits");
            send_stream(&publisher, past(incoming.id, &[998, 999])).await;
            incoming.stream
        };
        let (answer, stream, _served) = tokio::join!(request.recv(), receive_stream(&far), serve);
        assert_eq!(
            end_of(answer.expect("the session lives")),
            Location::new(1000, 0)
        );
        let expected: Vec<_> = (998..=1000).map(|group| (group, group as u8)).collect();
        assert_eq!(objects(stream), expected);
    });
}

#[test]
fn a_publisher_may_let_go_of_a_fetch_it_has_answered_before_it_sends_the_objects() {
    run(async {
        let (_worker, edge) = open_edge().await;
        let publisher = connect(edge, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let subscriber = connect(edge, Draft::D22).await;
        let mut request = fetch(&subscriber, 3, 4).await;
        let incoming = publisher.accept_request().await.expect("the session lives");
        let ok = FetchOk {
            end_of_track: false,
            end: Location::new(4, u64::MAX),
            params: Parameters::default(),
            properties: Properties::default(),
        };
        let sent = incoming.stream.send(&Message::FetchOk(ok));
        sent.expect("it fits");
        // A FIN, and as nobody reads the other direction any more, STOP_SENDING.
        incoming.stream.finish().expect("it is open");
        drop(incoming.stream);
        let answer = request.recv().await.expect("the session lives");
        assert_eq!(end_of(answer), Location::new(4, u64::MAX));
        send_stream(&publisher, past(incoming.id, &[3, 4])).await;
        assert_eq!(objects(receive_stream(&subscriber).await), [(3, 3), (4, 4)]);
    });
}

#[test]
fn on_draft_18_the_group_being_published_is_fetched_and_goes_on_live() {
    run(async {
        let (_edge, address) = open_edge().await;
        let publisher = connect(address, Draft::D18).await;
        let _announced = announce(&publisher).await;
        let subscriber = connect(address, Draft::D22).await;
        let newest = Parameters {
            location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
            ..Parameters::default()
        };
        let mut asked = subscribe(&subscriber, "audio", newest).await;
        let incoming = publisher.accept_request().await.expect("the session lives");
        let ok = SubscribeOk {
            track_alias: 7,
            params: Parameters {
                largest_object: Some(Location::new(5, 1)),
                ..Parameters::default()
            },
            properties: Properties::default(),
        };
        let subscribed = incoming.id;
        let subscription = incoming.stream;
        let sent = subscription.send(&Message::SubscribeOk(ok));
        sent.expect("it fits");
        let alias = expect_subscribe_ok(&mut asked).await.track_alias;
        let incoming = publisher.accept_request().await.expect("the session lives");
        let Message::Fetch(joining) = &incoming.message else {
            panic!("not a FETCH: {:?}", incoming.message);
        };
        let of_this_group = FetchFilter::RelativeJoining {
            request_id: subscribed,
            groups_back: 0,
        };
        assert_eq!(joining.filter, of_this_group);
        let ok = FetchOk {
            end_of_track: false,
            end: Location::new(5, 1),
            params: Parameters::default(),
            properties: Properties::default(),
        };
        incoming
            .stream
            .send(&Message::FetchOk(ok))
            .expect("it fits");
        incoming.stream.finish().expect("it is open");
        send_stream(&publisher, group_on_draft_18(incoming.id)).await;
        // The fetch ends by the edge, which then has it all; what is live comes after it.
        let mut fetch = incoming.stream;
        while !matches!(
            fetch.recv().await,
            Ok(RequestEvent::Fin | RequestEvent::Done)
        ) {}
        send_stream(&publisher, third_of_group_5(7)).await;
        let whole = receive_stream(&subscriber).await;
        let expected = [(0, &b"zero"[..]), (1, b"one"), (2, b"two")]
            .map(|(object, payload)| (object, Bytes::from_static(payload)));
        assert_eq!(objects_of_group_5(alias, whole), expected);
    });
}

/// Objects 0 and 1 of group 5 on a fetch stream.
fn group_on_draft_18(request_id: u64) -> Bytes {
    let mut out = BytesMut::new();
    FetchHeader { request_id }.encode(&mut out);
    let mut encoder = FetchEncoder::new(Draft::D18, GroupOrder::Ascending);
    for (object, payload) in [(0, &b"zero"[..]), (1, b"one")] {
        let head = FetchObject {
            group: 5,
            subgroup: Some(0),
            object,
            priority: 160,
            properties: Bytes::new(),
            payload_len: payload.len() as u64,
        };
        encoder.encode_object(&head, &mut out).expect("in order");
        out.extend_from_slice(payload);
    }
    out.freeze()
}

/// Object 2 of group 5 on a stream of its own, as a publisher sends to one who begins there.
fn third_of_group_5(track_alias: u64) -> Bytes {
    let mut out = BytesMut::new();
    let header = SubgroupHeader {
        track_alias,
        group: 5,
        subgroup: SubgroupId::Zero,
        priority: Some(160),
        has_properties: false,
        end_of_group: true,
        first_object: false,
    };
    header.encode(&mut out);
    let object = ObjectHeader {
        id: 2,
        properties: Bytes::new(),
        payload_len: 3,
        status: ObjectStatus::Normal,
    };
    object.encode(None, false, &mut out);
    out.extend_from_slice(b"two");
    out.freeze()
}

fn objects_of_group_5(track_alias: u64, stream: Bytes) -> Vec<(u64, Bytes)> {
    let mut decoder = SubgroupDecoder::new();
    decoder.push(stream);
    let mut found = Vec::new();
    while let Some(event) = decoder.poll().expect("well-formed") {
        match event {
            SubgroupEvent::Header(header) => {
                assert_eq!((header.track_alias, header.group), (track_alias, 5));
            }
            SubgroupEvent::Object {
                header,
                wire,
                head_len,
            } => found.push((header.id, wire.slice(head_len..))),
            SubgroupEvent::Payload(_) | SubgroupEvent::ObjectEnd => {}
        }
    }
    found
}

/// A fetch stream with groups of one object.
fn past(request_id: u64, groups: &[u64]) -> Bytes {
    let mut out = BytesMut::new();
    FetchHeader { request_id }.encode(&mut out);
    let mut encoder = FetchEncoder::new(Draft::D22, GroupOrder::Ascending);
    for &group in groups {
        let head = FetchObject {
            group,
            subgroup: Some(0),
            object: 0,
            priority: 16,
            properties: Bytes::new(),
            payload_len: 160,
        };
        encoder.encode_object(&head, &mut out).expect("in order");
        out.extend_from_slice(&[group as u8; 160]);
    }
    out.freeze()
}
