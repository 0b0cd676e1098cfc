//! What is encoded comes back, whole or in pieces.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use meridian_wire::data::*;
use meridian_wire::param::GroupOrder;
use meridian_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn control(draft: Draft, pieces: &[Bytes]) -> Vec<Message> {
    let mut decoder = ControlDecoder::new(draft);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(message) = decoder.poll().unwrap() {
            messages.push(message);
        }
    }
    assert!(decoder.is_at_boundary());
    messages
}

/// A subgroup's objects, put together again from its events; checks on the way what each event promises.
fn subgroup_of(pieces: &[Bytes]) -> (Option<SubgroupHeader>, Vec<(ObjectHeader, Bytes)>, Vec<u8>) {
    let mut decoder = SubgroupDecoder::new();
    let (mut found, mut objects, mut wires) = (None, Vec::new(), Vec::new());
    let mut open: Option<(ObjectHeader, BytesMut)> = None;
    let mut pushed = 0;
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(event) = decoder.poll().unwrap() {
            match event {
                SubgroupEvent::Header(header) => assert!(found.replace(header).is_none()),
                SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                } => {
                    wires.extend_from_slice(&wire);
                    open = Some((header, BytesMut::from(&wire[head_len..])));
                }
                SubgroupEvent::Payload(bytes) => {
                    assert!(!bytes.is_empty());
                    assert!(is_slice_of(&bytes, piece), "payload was copied");
                    wires.extend_from_slice(&bytes);
                    open.as_mut().unwrap().1.extend_from_slice(&bytes);
                }
                SubgroupEvent::ObjectEnd => {
                    let (header, payload) = open.take().unwrap();
                    assert_eq!(header.payload_len, payload.len() as u64);
                    objects.push((header, payload.freeze()));
                }
            }
        }
        pushed += piece.len();
        let whole = found.is_some_and(|header| encode_subgroup(&header, &objects).len() == pushed);
        assert_eq!(decoder.is_at_boundary(), whole);
    }
    (found, objects, wires)
}

fn is_slice_of(part: &Bytes, whole: &Bytes) -> bool {
    whole.as_ptr_range().contains(&part.as_ptr())
}

fn fetch_of(draft: Draft, order: GroupOrder, pieces: &[Bytes]) -> (Option<u64>, Vec<Item>) {
    let mut decoder = FetchDecoder::new(draft, order);
    let (mut request_id, mut items) = (None, Vec::new());
    let mut open: Option<(FetchObject, BytesMut)> = None;
    for piece in pieces {
        decoder.push(piece.clone());
        while let Some(event) = decoder.poll().unwrap() {
            match event {
                FetchEvent::Header(header) => request_id = Some(header.request_id),
                FetchEvent::Object {
                    header,
                    wire,
                    head_len,
                } => {
                    open = Some((header, BytesMut::from(&wire[head_len..])));
                }
                FetchEvent::Payload(bytes) => {
                    assert!(is_slice_of(&bytes, piece), "payload was copied");
                    open.as_mut().unwrap().1.extend_from_slice(&bytes);
                }
                FetchEvent::ObjectEnd => {
                    let (header, payload) = open.take().unwrap();
                    items.push(Item::Object(header, payload.freeze()));
                }
                FetchEvent::EndOfRange { kind, end } => items.push(Item::Gap(kind, end)),
            }
        }
    }
    assert!(decoder.is_at_boundary());
    (request_id, items)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn numbers(value in number()) {
        let mut out = BytesMut::new();
        varint::encode(value, &mut out);
        prop_assert_eq!(out.len(), varint::len(value));
        prop_assert_eq!(varint::peek(&out), Some((value, out.len())));
    }

    #[test]
    fn names(track in track()) {
        prop_assert_eq!(track.to_string().parse(), Ok(track.clone()));
        prop_assert_eq!(track.namespace.to_string().parse(), Ok(track.namespace));
    }

    #[test]
    fn control_messages_in_any_pieces(
        (draft, messages) in draft().prop_flat_map(|d| (Just(d), vec(message(d), 1..4))),
        cuts in vec(any::<usize>(), 0..9),
    ) {
        let mut out = BytesMut::new();
        for message in &messages {
            message.encode(draft, &mut out).unwrap();
        }
        prop_assert_eq!(control(draft, &pieces(&out.freeze(), &cuts)), messages);
    }

    #[test]
    fn a_message_waits_for_its_last_byte((draft, message) in draft_and_message()) {
        let mut out = BytesMut::new();
        message.encode(draft, &mut out).unwrap();
        let mut decoder = ControlDecoder::new(draft);
        decoder.push(&out[..out.len() - 1]);
        prop_assert_eq!(decoder.poll(), Ok(None));
        prop_assert!(!decoder.is_at_boundary());
        decoder.push(&out[out.len() - 1..]);
        prop_assert_eq!(decoder.poll(), Ok(Some(message)));
    }

    #[test]
    fn subgroups_in_any_pieces((header, objects) in subgroup(), cuts in vec(any::<usize>(), 0..9)) {
        let stream = encode_subgroup(&header, &objects);
        let (found, decoded, wires) = subgroup_of(&pieces(&stream, &cuts));
        prop_assert_eq!(found, Some(header));
        prop_assert_eq!(decoded, objects);
        // What came out as wire and payload is the stream behind its header, byte for byte.
        prop_assert_eq!(&wires[..], &stream[stream.len() - wires.len()..]);
    }

    #[test]
    fn subgroups_byte_by_byte((header, objects) in subgroup()) {
        let stream = encode_subgroup(&header, &objects);
        let (found, decoded, _) = subgroup_of(&pieces(&stream, &(0..stream.len()).collect::<Vec<_>>()));
        prop_assert_eq!(found, Some(header));
        prop_assert_eq!(decoded, objects);
    }

    #[test]
    fn whole_objects_in_one_chunk_are_one_slice_of_it((header, objects) in subgroup()) {
        let stream = encode_subgroup(&header, &objects);
        let mut decoder = SubgroupDecoder::new();
        decoder.push(stream.clone());
        while let Some(event) = decoder.poll().unwrap() {
            if let SubgroupEvent::Object { header, wire, head_len } = event {
                prop_assert!(is_slice_of(&wire, &stream));
                prop_assert_eq!(wire.len() as u64, head_len as u64 + header.payload_len);
            }
        }
    }

    #[test]
    fn fetch_streams_in_any_pieces(
        (draft, (order, items)) in draft().prop_flat_map(|d| (Just(d), fetch_stream(d, true))),
        request_id in number(),
        cuts in vec(any::<usize>(), 0..9),
    ) {
        let stream = encode_fetch(draft, order, request_id, &items);
        let whole = fetch_of(draft, order, &pieces(&stream, &[]));
        prop_assert_eq!(&whole, &(Some(request_id), items));
        prop_assert_eq!(fetch_of(draft, order, &pieces(&stream, &cuts)), whole);
    }

    #[test]
    fn datagrams(datagram in datagram()) {
        let mut out = BytesMut::new();
        datagram.encode(&mut out);
        let bytes = out.freeze();
        let Ok(Datagram::Object(decoded)) = Datagram::decode(bytes.clone()) else {
            panic!("not an object");
        };
        prop_assert!(decoded.payload.is_empty() || is_slice_of(&decoded.payload, &bytes));
        prop_assert_eq!(decoded, datagram);
    }
}

#[test]
fn a_head_comes_out_with_its_last_byte_and_no_later() {
    let header = SubgroupHeader {
        track_alias: 300,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: Some(1),
        has_properties: true,
        end_of_group: false,
        first_object: true,
    };
    let object = ObjectHeader {
        id: 77777,
        properties: Bytes::from_static(&[0x10, 0x80, 0x05]),
        payload_len: 1000,
        status: ObjectStatus::Normal,
    };
    let mut out = BytesMut::new();
    header.encode(&mut out);
    let first = out.len();
    object.encode(None, true, &mut out);
    let mut decoder = SubgroupDecoder::new();
    for (at, byte) in out.iter().enumerate() {
        decoder.push(Bytes::copy_from_slice(&[*byte]));
        let event = decoder.poll().unwrap();
        match at + 1 {
            n if n == first => assert_eq!(event, Some(SubgroupEvent::Header(header))),
            n if n == out.len() => {
                let wire = Bytes::copy_from_slice(&out[first..]);
                let head_len = wire.len();
                let header = object.clone();
                assert_eq!(
                    event,
                    Some(SubgroupEvent::Object {
                        header,
                        wire,
                        head_len
                    })
                );
            }
            _ => assert_eq!(event, None),
        }
    }
    assert!(!decoder.is_at_boundary());
}

#[test]
fn a_chunk_pushed_too_early_is_not_lost() {
    let header = SubgroupHeader {
        track_alias: 1,
        group: 1,
        subgroup: SubgroupId::Zero,
        priority: None,
        has_properties: false,
        end_of_group: false,
        first_object: false,
    };
    let object = ObjectHeader {
        id: 0,
        properties: Bytes::new(),
        payload_len: 2,
        status: ObjectStatus::Normal,
    };
    let stream = encode_subgroup(&header, &[(object, Bytes::from_static(b"ab"))]);
    let mut decoder = SubgroupDecoder::new();
    for byte in stream.chunks(1) {
        decoder.push(Bytes::copy_from_slice(byte));
    }
    let mut count = 0;
    while decoder.poll().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 3);
    assert!(decoder.is_at_boundary());
}

#[test]
fn properties_over_the_limit_are_refused_before_they_are_kept() {
    let mut out = BytesMut::new();
    out.extend_from_slice(&[0x31, 0x01, 0x01, 0x00]);
    varint::encode(limits::MAX_OBJECT_PROPERTIES as u64 + 1, &mut out);
    let mut decoder = SubgroupDecoder::new();
    decoder.push(out.freeze());
    assert!(matches!(decoder.poll(), Ok(Some(SubgroupEvent::Header(_)))));
    assert!(decoder.poll().is_err());
}
