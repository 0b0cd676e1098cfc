//! What each fuzz target does with its bytes. The crate's tests replay the corpus and random bytes through the same
//! functions, so that a finding stays found without a fuzzer.
//!
//! A target panics if a decoder does, or if what it gives back does not hold.

use bytes::{Bytes, BytesMut};
use meridian_wire::data::{
    Datagram, FetchDecoder, FetchEvent, StreamKind, SubgroupDecoder, SubgroupEvent,
};
use meridian_wire::param::GroupOrder;
use meridian_wire::property::Block;
use meridian_wire::{ControlDecoder, Draft, FullTrackName, Location, Message, WireError};

/// The first byte chooses the draft and how the rest is cut.
fn choose(data: &[u8]) -> Option<(Draft, bool, usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    let draft = Draft::PREFERRED[usize::from(first % 3)];
    let descending = first & 0x40 != 0;
    let piece = match first & 0x80 {
        0 => rest.len().max(1),
        _ => usize::from(first % 7) + 1,
    };
    Some((draft, descending, piece, rest))
}

/// Control messages: in pieces as whole, and what was read can be said and is read again.
pub fn control(data: &[u8]) {
    let Some((draft, _, piece, rest)) = choose(data) else {
        return;
    };
    let whole = messages(draft, rest.len().max(1), rest);
    assert_eq!(messages(draft, piece, rest), whole);
    for message in &whole.0 {
        let mut out = BytesMut::new();
        if is_refused(message) {
            continue;
        }
        message
            .encode(draft, &mut out)
            .expect("what was read can be said");
        let again = messages(draft, out.len(), &out);
        assert_eq!(again, (vec![message.clone()], None));
    }
}

fn messages(draft: Draft, piece: usize, data: &[u8]) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = ControlDecoder::new(draft);
    let mut found = Vec::new();
    for piece in data.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.poll() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// A request with an invalid filter is answered with an error, never said.
fn is_refused(message: &Message) -> bool {
    let params = match message {
        Message::Subscribe(body) | Message::TrackStatus(body) => &body.params,
        Message::RequestUpdate(body) => &body.params,
        Message::Fetch(body) => &body.params,
        Message::SubscribeTracks(body) => &body.params,
        _ => return false,
    };
    params.invalid_filter.is_some()
}

/// A subgroup stream: in pieces as whole, and no byte lost or added.
pub fn subgroup(data: &[u8]) {
    let Some((_, _, piece, rest)) = choose(data) else {
        return;
    };
    let _ = StreamKind::peek(rest);
    let whole = subgroup_objects(rest.len().max(1), rest);
    assert_eq!(subgroup_objects(piece, rest), whole);
}

type Seen<T> = (Vec<(T, Vec<u8>)>, Option<WireError>, bool);

fn subgroup_objects(piece: usize, data: &[u8]) -> Seen<String> {
    let mut decoder = SubgroupDecoder::new();
    let mut seen = Vec::new();
    let stream = Bytes::copy_from_slice(data);
    for start in (0..data.len()).step_by(piece) {
        decoder.push(stream.slice(start..data.len().min(start + piece)));
        loop {
            match decoder.poll() {
                Ok(Some(SubgroupEvent::Header(header))) => {
                    seen.push((format!("{header:?}"), Vec::new()));
                }
                Ok(Some(SubgroupEvent::Object {
                    header,
                    wire,
                    head_len,
                })) => {
                    let at = Location::new(0, header.id);
                    let _ = Block::new(&header.properties).malformed_object(at);
                    seen.push((format!("{header:?}"), wire[head_len..].to_vec()));
                }
                Ok(Some(SubgroupEvent::Payload(bytes))) => append(&mut seen, &bytes),
                Ok(Some(SubgroupEvent::ObjectEnd)) => seen.push(("end".into(), Vec::new())),
                Ok(None) => break,
                Err(error) => return (seen, Some(error), false),
            }
        }
    }
    (seen, None, decoder.is_at_boundary())
}

fn append<T>(seen: &mut [(T, Vec<u8>)], bytes: &[u8]) {
    assert!(!bytes.is_empty());
    let (_, payload) = seen.last_mut().expect("payload follows an object");
    payload.extend_from_slice(bytes);
}

/// A fetch stream: in pieces as whole.
pub fn fetch(data: &[u8]) {
    let Some((draft, descending, piece, rest)) = choose(data) else {
        return;
    };
    let order = match descending {
        false => GroupOrder::Ascending,
        true => GroupOrder::Descending,
    };
    let whole = fetch_items(draft, order, rest.len().max(1), rest);
    assert_eq!(fetch_items(draft, order, piece, rest), whole);
}

fn fetch_items(draft: Draft, order: GroupOrder, piece: usize, data: &[u8]) -> Seen<String> {
    let mut decoder = FetchDecoder::new(draft, order);
    let mut seen = Vec::new();
    let stream = Bytes::copy_from_slice(data);
    for start in (0..data.len()).step_by(piece) {
        decoder.push(stream.slice(start..data.len().min(start + piece)));
        loop {
            match decoder.poll() {
                Ok(Some(FetchEvent::Object {
                    header,
                    wire,
                    head_len,
                })) => {
                    seen.push((format!("{header:?}"), wire[head_len..].to_vec()));
                }
                Ok(Some(FetchEvent::Payload(bytes))) => append(&mut seen, &bytes),
                Ok(Some(other)) => seen.push((format!("{other:?}"), Vec::new())),
                Ok(None) => break,
                Err(error) => return (seen, Some(error), false),
            }
        }
    }
    (seen, None, decoder.is_at_boundary())
}

/// A datagram: what was read can be said and is read again.
pub fn datagram(data: &[u8]) {
    let Ok(Datagram::Object(datagram)) = Datagram::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    let mut out = BytesMut::new();
    datagram.encode(&mut out);
    assert_eq!(
        Datagram::decode(out.freeze()),
        Ok(Datagram::Object(datagram))
    );
}

/// A name in escaped form has one spelling.
pub fn name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(track) = text.parse::<FullTrackName>() {
        assert_eq!(track.to_string(), text);
    }
}

/// Properties: every reader on any bytes.
pub fn property(data: &[u8]) {
    let block = Block::new(data);
    let well_formed = block.iter().all(|pair| pair.is_ok());
    assert!(well_formed || block.check_track().is_err());
    assert!(well_formed || block.malformed_object(Location::default()).is_some());
    let _ = (block.timestamp(), block.timescale(), block.audio_level());
    let _ = (block.unsupported_mandatory(), block.immutable().is_some());
    let _ = (block.video_config(), block.default_publisher_priority());
}
