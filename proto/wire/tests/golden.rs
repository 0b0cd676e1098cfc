//! Bytes put together by hand from the drafts' figures, and what they mean.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::{Bytes, BytesMut};
use meridian_wire::control::*;
use meridian_wire::data::*;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::*;
use meridian_wire::property::{Properties, kinds};
use meridian_wire::setup::SetupOptions;
use meridian_wire::*;

/// Bytes from hex in words; what follows `//` on a line is a comment.
fn hex(text: &str) -> Vec<u8> {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    let digits: String = code
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

fn encode(message: &Message, draft: Draft) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(draft, &mut out).unwrap();
    out.to_vec()
}

fn decode(bytes: &[u8], draft: Draft) -> Result<Option<Message>, WireError> {
    let mut decoder = ControlDecoder::new(draft);
    decoder.push(bytes);
    decoder.poll()
}

/// The message has these bytes and these bytes are the message.
#[track_caller]
fn same(draft: Draft, message: &Message, bytes: &str) {
    let bytes = hex(bytes);
    assert_eq!(encode(message, draft), bytes, "{draft:?} {message:?}");
    assert_eq!(decode(&bytes, draft), Ok(Some(message.clone())));
}

#[track_caller]
fn refused(draft: Draft, bytes: &str, code: TerminationCode) {
    let error = decode(&hex(bytes), draft).unwrap_err();
    assert_eq!(error.code, code, "{error}");
}

fn track() -> FullTrackName {
    FullTrackName::new(Namespace::new(["a"]).unwrap(), "b").unwrap()
}

fn subscribe(params: Parameters) -> Message {
    Message::Subscribe(Subscribe {
        request_id: 2,
        track: track(),
        params,
    })
}

const VIOLATION: TerminationCode = TerminationCode::PROTOCOL_VIOLATION;
const FORMATTING: TerminationCode = TerminationCode::KEY_VALUE_FORMATTING_ERROR;

#[test]
fn setup_in_every_draft() {
    let options = SetupOptions {
        path: Some(Bytes::from_static(b"/m")),
        authority: Some(Bytes::from_static(b"h")),
        authorization_tokens: vec![AuthorizationToken::UseValue {
            kind: 0,
            value: Bytes::from_static(b"t"),
        }],
        max_auth_token_cache_size: Some(200),
        max_filter_ranges: Some(8),
        implementation: Some(Bytes::from_static(b"x")),
        max_request_updates: Some(16),
    };
    let bytes = "af00 0016       // type 0x2F00, 22 bytes
        01 02 2f6d           // PATH /m
        02 03 03 00 74       // +2: AUTHORIZATION_TOKEN, USE_VALUE, type 0, t
        01 80c8              // +1: MAX_AUTH_TOKEN_CACHE_SIZE 200
        01 01 68             // +1: AUTHORITY h
        01 08                // +1: MAX_FILTER_RANGES 8
        01 01 78             // +1: MOQT_IMPLEMENTATION x
        01 10                // +1: MAX_REQUEST_UPDATES 16";
    for draft in [Draft::D20, Draft::D22] {
        same(draft, &Message::Setup(options.clone()), bytes);
    }
    let older = SetupOptions {
        max_filter_ranges: None,
        max_request_updates: None,
        ..options
    };
    let bytes = "af00 0012
        01 02 2f6d  02 03 03 00 74  01 80c8  01 01 68
        02 01 78             // +2: MOQT_IMPLEMENTATION";
    same(Draft::D18, &Message::Setup(older), bytes);
}

#[test]
fn setup_skips_the_unknown_and_refuses_the_repeated() {
    let greased = hex("af00 000a
        8090 8000    // type 0x90, 0 in a longer form
        0d 01 ff     // +13: type 0x9D, one byte
        00 01 ee     // again");
    assert_eq!(
        decode(&greased, Draft::D22),
        Ok(Some(Message::Setup(SetupOptions::default())))
    );
    refused(Draft::D22, "af00 0004 04 01 00 01", VIOLATION);
    // A pair cut in two, a token that is none.
    refused(Draft::D22, "af00 0002 01 05", FORMATTING);
    refused(Draft::D22, "af00 0003 03 01 04", FORMATTING);
}

#[test]
fn subscribe_with_every_parameter() {
    let message = subscribe(Parameters {
        object_delivery_timeout: Some(500),
        authorization_tokens: vec![
            AuthorizationToken::Register {
                alias: 7,
                kind: 1,
                value: Bytes::from_static(b"ab"),
            },
            AuthorizationToken::UseAlias { alias: 7 },
        ],
        rendezvous_timeout: Some(1000),
        subgroup_delivery_timeout: Some(0),
        forward: Some(true),
        subscriber_priority: Some(16),
        location_filter: Some(LocationFilter::NextObject),
        group_order: Some(GroupOrder::Descending),
        fill: Some(Box::new(FillParameters {
            fill_timeout: Some(0),
            location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
            ..FillParameters::default()
        })),
        range_filters: vec![
            RangeFilter {
                subject: FilterSubject::ObjectId,
                set: 0,
                ranges: vec![(3, Some(5)), (10, Some(15))],
            },
            RangeFilter {
                subject: FilterSubject::ObjectProperty(0x10),
                set: 1,
                ranges: vec![(9, None)],
            },
        ],
        new_group_request: Some(0),
        include_properties: Some(false),
        ..Parameters::default()
    });
    let head = "02 01 01 61 01 62 0e // request 2, (a), b, 14 parameters
        02 81f4             // OBJECT_DELIVERY_TIMEOUT 500
        01 05 01 07 01 6162 // AUTHORIZATION_TOKEN: REGISTER 7, type 1, ab
        00 02 02 07         // again: USE_ALIAS 7
        01 83e8             // RENDEZVOUS_TIMEOUT 1000
        02 00               // SUBGROUP_DELIVERY_TIMEOUT 0
        0a 01               // FORWARD 1
        10 10               // SUBSCRIBER_PRIORITY 16";
    let tail = "03 05 00 03 02 05 05 // OBJECTID_FILTER: set 0, 3-5, 10-15
        02 03 01 10 09      // OBJECT_PROPERTY_FILTER: set 1, property 0x10, from 9
        0a 00               // NEW_GROUP_REQUEST 0
        03 00               // INCLUDE_PROPERTIES 0";
    let d22 = format!(
        "03 003a {head}
        01 05                   // LOCATION_FILTER: next object
        01 02                   // GROUP_ORDER: descending
        01 06 02 0a 00 17 01 01 // FILL_PARAMETERS: FILL_TIMEOUT 0, LOCATION_FILTER one group back
        {tail}"
    );
    same(Draft::D22, &message, &d22);
    let d20 = format!(
        "03 003c {head}
        01 02 00 00             // LOCATION_FILTER: two zeros, the next object
        01 02                   // GROUP_ORDER: descending
        01 06 02 0a 00 17 01 01 // FILL_PARAMETERS: here 01 01 is one byte, value 1
        {tail}"
    );
    same(Draft::D20, &message, &d20);
}

#[test]
fn a_location_filter_in_every_form_and_draft() {
    let absolute = |end_group, end_object| LocationFilter::Absolute {
        start: Location::new(5, 2),
        end_group,
        end_object,
    };
    let body = |filter: &str| format!("02 01 01 61 01 62 01 21 {filter}");
    let forms = [
        (Draft::D22, LocationFilter::Unfiltered, "00"),
        (
            Draft::D22,
            LocationFilter::Relative { groups_back: 1 },
            "01 01",
        ),
        (Draft::D22, absolute(None, None), "02 05 02"),
        (Draft::D22, absolute(Some(7), None), "03 05 02 02"),
        (Draft::D22, absolute(Some(7), Some(9)), "04 05 02 02 09"),
        (Draft::D22, LocationFilter::NextObject, "05"),
        (Draft::D20, LocationFilter::Unfiltered, "00"),
        (
            Draft::D20,
            LocationFilter::Relative { groups_back: 1 },
            "01 01",
        ),
        (Draft::D20, absolute(None, None), "02 05 02"),
        (Draft::D20, absolute(Some(7), None), "03 05 02 02"),
        (Draft::D20, absolute(Some(7), Some(9)), "04 05 02 02 09"),
        (Draft::D20, LocationFilter::NextObject, "02 00 00"),
        (
            Draft::D18,
            LocationFilter::Relative { groups_back: 0 },
            "01 01",
        ),
        (Draft::D18, LocationFilter::NextObject, "01 02"),
        (Draft::D18, absolute(None, None), "03 03 05 02"),
        (Draft::D18, absolute(Some(7), None), "04 04 05 02 02"),
    ];
    for (draft, filter, bytes) in forms {
        let body = body(bytes);
        let framed = format!("03 {:04x} {body}", hex(&body).len());
        let params = Parameters {
            location_filter: Some(filter),
            ..Parameters::default()
        };
        same(draft, &subscribe(params), &framed);
    }
    // 0x21 and 02 00 00: the next object in 20, everything from {0, 0} in 22.
    let bytes = hex("03 000b 02 01 01 61 01 62 01 21 02 00 00");
    let filter = |draft| match decode(&bytes, draft) {
        Ok(Some(Message::Subscribe(message))) => message.params.location_filter,
        other => panic!("{other:?}"),
    };
    assert_eq!(filter(Draft::D20), Some(LocationFilter::NextObject));
    assert!(matches!(
        filter(Draft::D22),
        Some(LocationFilter::Absolute {
            end_group: None,
            ..
        })
    ));
}

#[test]
fn answers_to_a_subscription() {
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: 9,
        params: Parameters {
            expires: Some(60_000),
            largest_object: Some(Location::new(10, 3)),
            ..Parameters::default()
        },
        properties: Properties::builder()
            .max_cache_duration(1000)
            .default_publisher_priority(48)
            .build()
            .unwrap(),
    });
    let bytes = "04 000e 09 02      // alias 9, 2 parameters
        08 c0ea60              // EXPIRES 60000
        01 0a 03               // LARGEST_OBJECT {10, 3}
        04 83e8                // MAX_CACHE_DURATION 1000
        0a 30                  // DEFAULT_PUBLISHER_PRIORITY 48";
    for draft in Draft::PREFERRED {
        same(draft, &ok, bytes);
    }
    let error = |redirect: Option<Redirect>| {
        Message::RequestError(RequestError {
            code: match redirect {
                None => RequestErrorCode::DOES_NOT_EXIST,
                Some(_) => RequestErrorCode::REDIRECT,
            },
            retry_interval: 0,
            reason: "no".into(),
            redirect,
        })
    };
    let redirect = Redirect {
        uri: Bytes::from_static(b"u"),
        track: track(),
    };
    for draft in Draft::PREFERRED {
        same(draft, &error(None), "05 0005 10 00 02 6e6f");
        let bytes = "05 000c 34 00 02 6e6f 01 75 01 01 61 01 62";
        same(draft, &error(Some(redirect.clone())), bytes);
    }
}

#[test]
fn publish_and_its_end() {
    let publish = Message::Publish(Publish {
        request_id: 3,
        track: track(),
        track_alias: 4,
        params: Parameters {
            forward: Some(false),
            ..Parameters::default()
        },
        properties: Properties(Bytes::from_static(&[0x02, 0x05])),
    });
    let done = |stream_count| {
        Message::PublishDone(PublishDone {
            code: PublishDoneCode::TRACK_ENDED,
            stream_count,
            reason: String::new(),
        })
    };
    for draft in Draft::PREFERRED {
        same(
            draft,
            &publish,
            "1d 000c 03 01 01 61 01 62 04 01 10 00 02 05",
        );
        same(draft, &done(5), "0b 0003 02 05 00");
    }
    let unknown = done(PublishDone::UNKNOWN_STREAM_COUNT);
    same(Draft::D22, &unknown, "0b 000b 02 ffffffffffffffffff 00");
    same(Draft::D18, &unknown, "0b 000b 02 ff3fffffffffffffff 00");
}

#[test]
fn fetch_in_its_three_forms() {
    let fetch = |track, filter, range| {
        Message::Fetch(Fetch {
            request_id: 2,
            track,
            filter,
            params: Parameters {
                location_filter: range,
                ..Parameters::default()
            },
        })
    };
    let range = |end_object| {
        Some(LocationFilter::Absolute {
            start: Location::new(1, 2),
            end_group: Some(3),
            end_object,
        })
    };
    let ranged = |end_object| fetch(Some(track()), FetchFilter::Range, range(end_object));
    same(
        Draft::D22,
        &ranged(Some(8)),
        "16 000d 02 01 01 61 01 62 01 21 04 01 02 02 08",
    );
    same(
        Draft::D20,
        &ranged(Some(8)),
        "16 000d 02 01 01 61 01 62 01 21 04 01 02 02 08",
    );
    // Draft 18: type 1, the track, start, the end plus one (0: the whole group), no parameter.
    same(
        Draft::D18,
        &ranged(Some(8)),
        "16 000c 02 01 01 01 61 01 62 01 02 03 09 00",
    );
    same(
        Draft::D18,
        &ranged(None),
        "16 000c 02 01 01 01 61 01 62 01 02 03 00 00",
    );
    let relative = FetchFilter::RelativeJoining {
        request_id: 0,
        groups_back: 2,
    };
    let absolute = FetchFilter::AbsoluteJoining {
        request_id: 0,
        start_group: 7,
    };
    same(
        Draft::D18,
        &fetch(None, relative, None),
        "16 0005 02 02 00 02 00",
    );
    same(
        Draft::D18,
        &fetch(None, absolute, None),
        "16 0005 02 03 00 07 00",
    );
    let mut out = BytesMut::new();
    assert!(
        fetch(None, relative, None)
            .encode(Draft::D22, &mut out)
            .is_err()
    );
    assert!(out.is_empty());
}

#[test]
fn fetch_ok_counts_its_end_by_draft() {
    let ok = |object| {
        Message::FetchOk(FetchOk {
            end_of_track: true,
            end: Location::new(3, object),
            params: Parameters::default(),
            properties: Properties::default(),
        })
    };
    same(Draft::D22, &ok(8), "18 0004 01 03 08 00");
    same(Draft::D18, &ok(8), "18 0004 01 03 09 00");
    same(Draft::D18, &ok(u64::MAX), "18 0004 01 03 00 00");
    refused(Draft::D22, "18 0004 02 03 08 00", VIOLATION);
}

#[test]
fn namespaces() {
    let prefix = Namespace::new(["a", "bc"]).unwrap();
    let request = |namespace: Namespace| NamespaceRequest {
        request_id: 5,
        namespace,
        params: Parameters::default(),
    };
    for draft in Draft::PREFERRED {
        same(
            draft,
            &Message::PublishNamespace(request(prefix.clone())),
            "06 0008 05 02 01 61 02 6263 00",
        );
        same(
            draft,
            &Message::SubscribeNamespace(request(Namespace::default())),
            "50 0003 05 00 00",
        );
        same(
            draft,
            &Message::SubscribeTracks(request(prefix.clone())),
            "51 0008 05 02 01 61 02 6263 00",
        );
        same(
            draft,
            &Message::Namespace(prefix.clone()),
            "08 0006 02 01 61 02 6263",
        );
        same(
            draft,
            &Message::NamespaceDone(prefix.clone()),
            "0e 0006 02 01 61 02 6263",
        );
        same(
            draft,
            &Message::PublishSkipped(track()),
            "0f 0005 01 01 61 01 62",
        );
    }
}

#[test]
fn updates_and_notices() {
    let update = Message::RequestUpdate(RequestUpdate {
        request_id: 7,
        params: Parameters {
            track_namespace_prefix: Some(Namespace::new(["live", "sports"]).unwrap()),
            ..Parameters::default()
        },
    });
    for draft in Draft::PREFERRED {
        same(
            draft,
            &update,
            "02 0010 07 01 34 02 04 6c697665 06 73706f727473",
        );
    }
    let notify = Message::PublishStateNotify(Parameters {
        largest_object: Some(Location::new(1, 2)),
        forward: Some(true),
        ..Parameters::default()
    });
    same(Draft::D22, &notify, "22 0006 02 09 01 02 07 01");
    refused(Draft::D18, "22 0006 02 09 01 02 07 01", VIOLATION);
    assert!(notify.encode(Draft::D18, &mut BytesMut::new()).is_err());
    let ok = Message::RequestOk(RequestOk::default());
    same(Draft::D22, &ok, "07 0001 00");
}

#[test]
fn goaway_names_a_request_in_draft_18_only() {
    let goaway = |request_id| {
        Message::Goaway(Goaway {
            uri: Bytes::from_static(b"u"),
            timeout: 5,
            request_id,
        })
    };
    same(Draft::D22, &goaway(None), "10 0003 01 75 05");
    same(Draft::D18, &goaway(None), "10 0003 01 75 05");
    same(Draft::D18, &goaway(Some(4)), "10 0004 01 75 05 04");
    refused(Draft::D22, "10 0004 01 75 05 04", VIOLATION);
}

#[test]
fn what_closes_the_session() {
    for (bytes, why) in [
        ("1e 0000", "a reserved type"),
        ("03 0008 02 01 01 61 01 62 00 00", "a byte too many"),
        ("03 0006 02 01 01 61 01 62", "a byte too few"),
        ("03 0009 02 01 01 61 01 62 01 40 00", "an unknown parameter"),
        (
            "03 0009 02 01 01 61 01 62 01 0a 00",
            "FILL_TIMEOUT in SUBSCRIBE",
        ),
        (
            "03 000b 02 01 01 61 01 62 02 02 01 00 01",
            "a parameter twice",
        ),
        ("03 0009 02 01 01 61 01 62 01 10 02", "FORWARD 2"),
        ("03 0009 02 01 01 61 01 62 01 22 03", "GROUP_ORDER 3"),
        ("03 0009 02 01 01 61 01 62 01 35 02", "INCLUDE_PROPERTIES 2"),
        (
            "03 0009 02 01 01 61 01 62 01 21 06",
            "a location filter of type 6",
        ),
        (
            "03 000c 02 01 01 61 01 62 01 23 03 01 10 01",
            "FORWARD in a fill",
        ),
        ("03 0004 02 01 00 00", "an empty namespace field"),
        ("08 0001 21", "33 fields"),
        ("04 0004 09 00 22 03", "a group order property of 3"),
        ("04 0004 09 00 30 02", "a dynamic groups property of 2"),
        ("05 0004 10 00 8401", "a reason of 1025 bytes"),
        ("10 0002 a001", "a URI of 8193 bytes"),
    ] {
        let error = decode(&hex(bytes), Draft::D22).expect_err(why);
        assert_eq!(error.code, VIOLATION, "{why}");
    }
    // Known types whose value has another shape.
    refused(
        Draft::D22,
        "03 000a 02 01 01 61 01 62 01 03 01 04",
        FORMATTING,
    );
    refused(Draft::D22, "04 0003 09 00 02", FORMATTING);
}

#[test]
fn a_bad_range_filter_costs_only_its_request() {
    // PRIORITY_FILTER, set 0, from 256.
    let bytes = hex("03 000c 02 01 01 61 01 62 01 27 03 00 8100");
    let Ok(Some(Message::Subscribe(message))) = decode(&bytes, Draft::D22) else {
        panic!("not a SUBSCRIBE");
    };
    assert_eq!(message.params.invalid_filter.unwrap().parameter, 0x27);
    assert!(message.params.range_filters.is_empty());
}

/// Every event of a stream pushed at once.
fn subgroup_events(bytes: &[u8]) -> Vec<SubgroupEvent> {
    let mut decoder = SubgroupDecoder::new();
    decoder.push(Bytes::copy_from_slice(bytes));
    let mut events = Vec::new();
    while let Some(event) = decoder.poll().unwrap() {
        events.push(event);
    }
    assert!(decoder.is_at_boundary());
    events
}

#[test]
fn the_drafts_subgroup_of_two_objects() {
    let stream = hex(
        "14 02 00 00 00   // flags: explicit subgroup; alias 2, group 0, subgroup 0, priority 0
        00 04 61626364             // object 0, 4 bytes
        00 04 65666768             // object 1, 4 bytes",
    );
    let header = SubgroupHeader {
        track_alias: 2,
        group: 0,
        subgroup: SubgroupId::Explicit(0),
        priority: Some(0),
        has_properties: false,
        end_of_group: false,
        first_object: false,
    };
    let object = |id, wire: &'static [u8]| SubgroupEvent::Object {
        header: ObjectHeader {
            id,
            properties: Bytes::new(),
            payload_len: 4,
            status: ObjectStatus::Normal,
        },
        wire: Bytes::from_static(wire),
        head_len: 2,
    };
    assert_eq!(
        subgroup_events(&stream),
        [
            SubgroupEvent::Header(header),
            object(0, b"\x00\x04abcd"),
            SubgroupEvent::ObjectEnd,
            object(1, b"\x00\x04efgh"),
            SubgroupEvent::ObjectEnd,
        ]
    );
    let mut out = BytesMut::new();
    header.encode(&mut out);
    assert_eq!(out[..], stream[..5]);
}

#[test]
fn properties_zero_lengths_and_statuses_on_a_subgroup() {
    let stream = hex("7b 01 05          // flags 0x7b; alias 1, group 5
        03 03 10 a710 01 ff       // object 3; 3 bytes of properties: TIMESTAMP 0x2710; 1 byte
        00 00 00 00               // object 4; no properties; no payload; normal
        01 00 00 03               // object 6; end of group");
    let events = subgroup_events(&stream);
    let SubgroupEvent::Header(header) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(header.subgroup, SubgroupId::FirstObject);
    assert!(header.has_properties && header.end_of_group && header.first_object);
    assert_eq!(header.priority, None);
    let objects: Vec<&ObjectHeader> = events
        .iter()
        .filter_map(|event| match event {
            SubgroupEvent::Object { header, .. } => Some(header),
            _ => None,
        })
        .collect();
    let ids: Vec<u64> = objects.iter().map(|object| object.id).collect();
    assert_eq!(ids, [3, 4, 6]);
    assert_eq!(
        property::Block::new(&objects[0].properties).int(kinds::TIMESTAMP),
        Some(0x2710)
    );
    assert_eq!(objects[1].status, ObjectStatus::Normal);
    assert_eq!(objects[2].status, ObjectStatus::EndOfGroup);
}

#[test]
fn what_closes_the_session_on_a_subgroup() {
    for (bytes, why) in [
        ("16 01 05 00", "mode 3"),
        ("8090 01 05", "a type of 144"),
        ("30 01 05 00 00 01", "status 1"),
        (
            "31 01 05 00 02 02 05 00 03",
            "properties on an end of group",
        ),
        (
            "30 01 05 ffffffffffffffffff 01 61 00",
            "an ID beyond 64 bits",
        ),
    ] {
        let mut decoder = SubgroupDecoder::new();
        decoder.push(Bytes::from(hex(bytes)));
        let error = loop {
            match decoder.poll() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{why} was taken"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code, VIOLATION, "{why}");
    }
}

#[test]
fn datagrams() {
    let object = ObjectDatagram {
        track_alias: 1,
        group: 2,
        object: 0,
        priority: None,
        properties: None,
        end_of_group: true,
        status: ObjectStatus::Normal,
        payload: Bytes::from_static(b"xy"),
    };
    let full = ObjectDatagram {
        object: 9,
        priority: Some(7),
        properties: Some(Bytes::from_static(&[0x10, 0x05])),
        end_of_group: false,
        ..object.clone()
    };
    let status = ObjectDatagram {
        object: 9,
        status: ObjectStatus::EndOfTrack,
        payload: Bytes::new(),
        end_of_group: false,
        ..object.clone()
    };
    for (datagram, bytes) in [
        (object, "0e 01 02 7879"),
        (full, "01 01 02 09 07 02 10 05 7879"),
        (status, "28 01 02 09 04"),
    ] {
        let mut out = BytesMut::new();
        datagram.encode(&mut out);
        assert_eq!(out[..], hex(bytes)[..]);
        assert_eq!(
            Datagram::decode(out.freeze()),
            Ok(Datagram::Object(datagram))
        );
    }
    // Padding 0x132B3E29 in its five bytes (0xF0 marks five).
    let padding = Bytes::from(hex("f0132b3e29 0000"));
    assert_eq!(Datagram::decode(padding), Ok(Datagram::Padding));
    for (bytes, why) in [
        ("10 01 02 00", "bit 4"),
        ("22 01 02 00 00", "status with end of group"),
        ("40 01 02 00", "an unspecified bit"),
        ("09 01 02 00 00", "empty properties"),
        ("29 01 02 00 02 10 05 03", "properties on an end of group"),
        ("28 01 02 00 00 00", "payload behind a status"),
        ("08 01", "a header cut in two"),
    ] {
        let error = Datagram::decode(Bytes::from(hex(bytes))).expect_err(why);
        assert_eq!(error.code, VIOLATION, "{why}");
    }
}

#[test]
fn stream_types() {
    for (bytes, kind) in [
        ("af00", StreamKind::Control),
        ("05", StreamKind::Fetch),
        ("10", StreamKind::Subgroup),
        ("7d", StreamKind::Subgroup),
        ("f0132b3e28", StreamKind::Padding),
    ] {
        let bytes = hex(bytes);
        assert_eq!(StreamKind::peek(&bytes), Ok(Some(kind)));
        assert_eq!(StreamKind::peek(&bytes[..bytes.len() - 1]), Ok(None));
    }
    for bytes in ["00", "16", "8080", "20"] {
        assert!(StreamKind::peek(&hex(bytes)).is_err());
    }
}

fn fetch_object(group: u64, subgroup: Option<u64>, object: u64) -> FetchObject {
    FetchObject {
        group,
        subgroup,
        object,
        priority: 9,
        properties: Bytes::new(),
        payload_len: 0,
    }
}

#[test]
fn a_fetch_stream_in_both_orders() {
    let heads = |order, objects: &[FetchObject]| {
        let mut encoder = FetchEncoder::new(Draft::D22, order);
        let mut out = BytesMut::new();
        FetchHeader { request_id: 4 }.encode(&mut out);
        for object in objects {
            encoder.encode_object(object, &mut out).unwrap();
        }
        out.to_vec()
    };
    let ascending = [
        fetch_object(7, Some(0), 3),
        fetch_object(7, Some(1), 4),
        fetch_object(7, Some(1), 9),
        fetch_object(9, Some(5), 0),
        fetch_object(9, None, 1),
    ];
    let bytes = hex("05 04      // request 4
        1c 07 03 09 00         // group 7, object 3, priority 9, subgroup 0
        02 00                  // next object, next subgroup
        05 05 00               // object + 5, same subgroup
        0f 01 05 00 00         // group + 2, subgroup 5, object 0
        40 00                  // next object, a datagram's");
    assert_eq!(heads(GroupOrder::Ascending, &ascending), bytes);
    let descending = [fetch_object(9, Some(0), 3), fetch_object(7, Some(0), 0)];
    let bytes = hex("05 04  1c 09 03 09 00  0c 01 00 00");
    assert_eq!(heads(GroupOrder::Descending, &descending), bytes);
    let mut encoder = FetchEncoder::new(Draft::D22, GroupOrder::Ascending);
    let mut out = BytesMut::new();
    encoder.encode_object(&descending[0], &mut out).unwrap();
    let before = out.len();
    assert!(encoder.encode_object(&descending[1], &mut out).is_err());
    assert_eq!(out.len(), before);
}

#[test]
fn the_ends_of_ranges_are_absolute_and_by_draft() {
    let bytes = hex("05 04
        1c 07 03 09 01 61      // {7, 3}, one byte
        810c 07 05             // unknown up to {7, 5}
        00 00                  // {7, 6}
        820c 08 02             // timed out up to {8, 2}
        808c 09 00             // none up to {9, 0}
        04 04 00               // {9, 4}");
    let locations = |draft| {
        let mut decoder = FetchDecoder::new(draft, GroupOrder::Ascending);
        decoder.push(Bytes::from(bytes.clone()));
        let mut found = Vec::new();
        while let Some(event) = decoder.poll()? {
            match event {
                FetchEvent::Object { header, .. } => {
                    found.push((header.group, header.object, None))
                }
                FetchEvent::EndOfRange { kind, end } => {
                    found.push((end.group, end.object, Some(kind)))
                }
                _ => {}
            }
        }
        Ok::<_, WireError>(found)
    };
    let all = [
        (7, 3, None),
        (7, 5, Some(RangeGap::Unknown)),
        (7, 6, None),
        (8, 2, Some(RangeGap::TimedOut)),
        (9, 0, Some(RangeGap::NonExistent)),
        (9, 4, None),
    ];
    assert_eq!(locations(Draft::D22).unwrap(), all);
    assert_eq!(locations(Draft::D20).unwrap(), all);
    assert!(locations(Draft::D18).is_err());
}
