//! FETCH through offices joined by real QUIC: from a parent's cache, and from the publisher three edges away.

mod common;
#[path = "common/offices.rs"]
mod offices;

use bytes::{Bytes, BytesMut};
use common::*;
use meridian_session::session::{RequestEvent, RequestStream, Session};
use meridian_wire::control::{Fetch, FetchOk};
use meridian_wire::data::{FetchDecoder, FetchEncoder, FetchEvent, FetchHeader, FetchObject};
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, GroupOrder, Location, LocationFilter, Message, Parameters,
};
use offices::{Authority, free_ports};

const CHILDREN: &str = "[[neighbour]]\noffice = \"bangkok\"\nrole = \"child\"\n\
                        [[neighbour]]\noffice = \"addis-ababa\"\nrole = \"child\"\n";

#[test]
fn the_past_comes_from_the_parents_cache_and_what_is_older_from_the_publisher() {
    run(async {
        let authority = Authority::new();
        let [origin, east, south] = free_ports();
        let geneva = authority.start("geneva", origin, CHILDREN);
        let parent = format!(
            "[[neighbour]]\noffice = \"geneva\"\nrole = \"parent\"\naddress = \"127.0.0.1:{origin}\"\n"
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
            Location::new(1003, u64::MAX)
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
            Location::new(1000, u64::MAX)
        );
        let expected: Vec<_> = (998..=1000).map(|group| (group, group as u8)).collect();
        assert_eq!(objects(stream), expected);
    });
}

async fn fetch(session: &Session, from: u64, to: u64) -> RequestStream {
    let opened = session.open_request(|request_id| {
        Message::Fetch(Fetch {
            request_id,
            track: Some(track("audio")),
            filter: FetchFilter::Range,
            params: Parameters {
                location_filter: Some(LocationFilter::Absolute {
                    start: Location::new(from, 0),
                    end_group: Some(to),
                    end_object: None,
                }),
                ..Parameters::default()
            },
        })
    });
    opened.await.expect("a request stream")
}

fn end_of(answer: RequestEvent) -> Location {
    match answer {
        RequestEvent::Message(Message::FetchOk(ok)) => ok.end,
        other => panic!("no FETCH_OK but {other:?}"),
    }
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

/// The groups of a fetch stream and the byte that fills their objects.
fn objects(stream: Bytes) -> Vec<(u64, u8)> {
    let mut decoder = FetchDecoder::new(Draft::D22, GroupOrder::Ascending);
    decoder.push(stream);
    let mut found = Vec::new();
    while let Some(event) = decoder.poll().expect("well-formed") {
        if let FetchEvent::Object {
            header,
            wire,
            head_len,
        } = event
        {
            let payload = &wire[head_len..];
            assert_eq!(payload.len(), 160);
            assert!(payload.iter().all(|byte| *byte == payload[0]));
            found.push((header.group, payload[0]));
        }
    }
    found
}
