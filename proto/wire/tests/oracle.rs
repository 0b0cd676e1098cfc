//! Agreement with an independent codec, in both directions and in every draft.
//!
//! The expected values are put together here from our model, not from our bytes. Where the other codec and the drafts'
//! text part, the text is followed and the case is left out, with its reason beside it:
//! - tracks and PUBLISH_NAMESPACE without a namespace field, which it refuses and the text allows (§2.4.1);
//! - ends of ranges on fetch streams, which it reads as deltas with a payload length from draft 20 on, and the text as a
//!   Location (§11.4.1.2); the working group has settled on the latter.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use meridian_wire::control::MessageKind;
use meridian_wire::data::*;
use meridian_wire::param::*;
use meridian_wire::property::{Block, Properties, Value};
use meridian_wire::setup::SetupOptions;
use meridian_wire::*;
use moqtap_codec::kvp::{KeyValuePair, KvpValue};
use moqtap_codec::types::TrackNamespace;
use moqtap_codec::varint::{Moqt18, VarInt};
use moqtap_codec::{draft18, draft20, draft22};
use proptest::prelude::*;

fn vi(value: u64) -> VarInt {
    VarInt::from_u64_moqt(value)
}

/// Varints one after the other.
fn vis(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        vi(*value).encode_moqt::<Moqt18>(&mut out);
    }
    out
}

fn pair(kind: u64, value: KvpValue) -> KeyValuePair {
    KeyValuePair {
        key: vi(kind),
        value,
    }
}

fn fields(namespace: &meridian_wire::Namespace) -> TrackNamespace {
    TrackNamespace(namespace.0.iter().map(|field| field.to_vec()).collect())
}

fn token_bytes(token: &AuthorizationToken) -> Vec<u8> {
    match token {
        AuthorizationToken::Delete { alias } => vis(&[0, *alias]),
        AuthorizationToken::Register { alias, kind, value } => {
            [&vis(&[1, *alias, *kind])[..], value].concat()
        }
        AuthorizationToken::UseAlias { alias } => vis(&[2, *alias]),
        AuthorizationToken::UseValue { kind, value } => [&vis(&[3, *kind])[..], value].concat(),
    }
}

fn filter_bytes(draft: Draft, filter: &LocationFilter) -> Vec<u8> {
    let fields = match *filter {
        LocationFilter::Unfiltered => vec![],
        LocationFilter::NextObject if draft == Draft::D20 => vec![0, 0],
        LocationFilter::NextObject => vec![],
        LocationFilter::Relative { groups_back } => vec![groups_back],
        LocationFilter::Absolute {
            start,
            end_group,
            end_object,
        } => {
            let mut fields = vec![start.group, start.object];
            fields.extend(end_group.map(|end| end - start.group));
            fields.extend(end_object);
            fields
        }
    };
    match (draft, filter) {
        (Draft::D20, _) => vis(&fields),
        (Draft::D22, LocationFilter::NextObject) => vis(&[5]),
        (Draft::D22, _) => [vis(&[fields.len() as u64]), vis(&fields)].concat(),
        (Draft::D18, LocationFilter::Relative { .. }) => vis(&[1]),
        (Draft::D18, LocationFilter::NextObject) => vis(&[2]),
        (Draft::D18, _) => [vis(&[fields.len() as u64 + 1]), vis(&fields)].concat(),
    }
}

fn range_filter(filter: &RangeFilter) -> KeyValuePair {
    let (kind, property) = match filter.subject {
        FilterSubject::Subgroup => (0x25, None),
        FilterSubject::ObjectId => (0x26, None),
        FilterSubject::Priority => (0x27, None),
        FilterSubject::ObjectProperty(property) => (0x28, Some(property)),
        FilterSubject::TrackProperty(property) => (0x29, Some(property)),
    };
    let mut value = vec![filter.set];
    value.extend(vis(&property.into_iter().collect::<Vec<_>>()));
    let mut at = 0;
    for (start, end) in &filter.ranges {
        value.extend(vis(&[start - at]));
        if let Some(end) = end {
            value.extend(vis(&[end - start]));
            at = *end;
        }
    }
    pair(kind, KvpValue::Bytes(value))
}

/// A block with its count, as FILL_PARAMETERS holds it.
fn fill_bytes(draft: Draft, fill: &FillParameters) -> Vec<u8> {
    let mut body = Vec::new();
    let (mut count, mut previous) = (0, 0);
    let mut add = |kind: u64, value: Vec<u8>| {
        body.extend(vis(&[kind - previous]));
        body.extend(value);
        (count, previous) = (count + 1, kind);
    };
    if let Some(millis) = fill.fill_timeout {
        add(0x0A, vis(&[millis]));
    }
    if let Some(priority) = fill.subscriber_priority {
        add(0x20, vec![priority]);
    }
    if let Some(filter) = &fill.location_filter {
        let bytes = filter_bytes(draft, filter);
        match draft {
            Draft::D22 => add(0x21, bytes),
            _ => add(0x21, [vis(&[bytes.len() as u64]), bytes].concat()),
        }
    }
    if let Some(order) = fill.group_order {
        add(0x22, vec![order.code()]);
    }
    for filter in &fill.range_filters {
        let pair = range_filter(filter);
        let KvpValue::Bytes(value) = pair.value else {
            unreachable!()
        };
        add(
            pair.key.into_inner(),
            [vis(&[value.len() as u64]), value].concat(),
        );
    }
    [vis(&[count]), body].concat()
}

fn parameters_of(draft: Draft, params: &Parameters) -> Vec<KeyValuePair> {
    let int = |kind, value: Option<u64>| value.map(|value| pair(kind, KvpValue::Varint(vi(value))));
    let bytes =
        |kind, value: Option<Vec<u8>>| value.map(|value| pair(kind, KvpValue::Bytes(value)));
    let location = params.largest_object.map(|at| vis(&[at.group, at.object]));
    let prefix = params.track_namespace_prefix.as_ref().map(|prefix| {
        let mut out = Vec::new();
        fields(prefix).encode_moqt::<Moqt18>(&mut out);
        out
    });
    let fill = params.fill.as_ref().map(|fill| fill_bytes(draft, fill));
    let filter = params
        .location_filter
        .map(|filter| filter_bytes(draft, &filter));
    let tokens = params.authorization_tokens.iter();
    let mut pairs: Vec<KeyValuePair> = tokens
        .map(|token| pair(0x03, KvpValue::Bytes(token_bytes(token))))
        .chain(params.range_filters.iter().map(range_filter))
        .collect();
    pairs.extend(int(0x02, params.object_delivery_timeout));
    pairs.extend(int(0x04, params.rendezvous_timeout));
    pairs.extend(int(0x06, params.subgroup_delivery_timeout));
    pairs.extend(int(0x08, params.expires));
    pairs.extend(bytes(0x09, location));
    pairs.extend(int(0x0A, params.fill_timeout));
    pairs.extend(int(0x10, params.forward.map(u64::from)));
    pairs.extend(int(0x20, params.subscriber_priority.map(u64::from)));
    pairs.extend(bytes(0x21, filter));
    pairs.extend(int(
        0x22,
        params.group_order.map(|order| u64::from(order.code())),
    ));
    pairs.extend(bytes(0x23, fill));
    pairs.extend(int(0x32, params.new_group_request));
    pairs.extend(bytes(0x34, prefix));
    pairs.extend(int(0x35, params.include_properties.map(u64::from)));
    pairs.sort_by_key(|pair| pair.key.into_inner());
    pairs
}

fn properties_of(properties: &Properties) -> Vec<KeyValuePair> {
    let pairs = properties.block().iter();
    pairs
        .map(|found| match found.unwrap() {
            (kind, Value::Int(value)) => pair(kind, KvpValue::Varint(vi(value))),
            (kind, Value::Bytes(value)) => pair(kind, KvpValue::Bytes(value.to_vec())),
        })
        .collect()
}

fn options_of(options: &SetupOptions) -> Vec<KeyValuePair> {
    let int = |kind, value: Option<u64>| value.map(|value| pair(kind, KvpValue::Varint(vi(value))));
    let bytes = |kind, value: &Option<Bytes>| {
        value
            .as_ref()
            .map(|value| pair(kind, KvpValue::Bytes(value.to_vec())))
    };
    let tokens = options.authorization_tokens.iter();
    let mut pairs: Vec<KeyValuePair> = bytes(0x01, &options.path).into_iter().collect();
    pairs.extend(tokens.map(|token| pair(0x03, KvpValue::Bytes(token_bytes(token)))));
    pairs.extend(int(0x04, options.max_auth_token_cache_size));
    pairs.extend(bytes(0x05, &options.authority));
    pairs.extend(int(0x06, options.max_filter_ranges));
    pairs.extend(bytes(0x07, &options.implementation));
    pairs.extend(int(0x08, options.max_request_updates));
    pairs
}

/// Writes `expected` for one draft; what the drafts do differently comes as arms of its own.
macro_rules! expected {
    ($name:ident, $module:ident, $draft:expr, { $($own:tt)* }) => {
        fn $name(message: &Message) -> $module::message::ControlMessage {
            use $module::message::{self as theirs, ControlMessage as M};
            let params = |params: &Parameters| parameters_of($draft, params);
            let spaced = |body: &control::NamespaceRequest| {
                (vi(body.request_id), fields(&body.namespace), params(&body.params))
            };
            match message {
                $($own)*
                Message::Setup(options) => M::Setup(theirs::Setup { options: options_of(options) }),
                Message::Subscribe(body) => M::Subscribe(theirs::Subscribe {
                    request_id: vi(body.request_id),
                    track_namespace: fields(&body.track.namespace),
                    track_name: body.track.name.to_vec(),
                    parameters: params(&body.params),
                }),
                Message::TrackStatus(body) => M::TrackStatus(theirs::TrackStatus {
                    request_id: vi(body.request_id),
                    track_namespace: fields(&body.track.namespace),
                    track_name: body.track.name.to_vec(),
                    parameters: params(&body.params),
                }),
                Message::SubscribeOk(body) => M::SubscribeOk(theirs::SubscribeOk {
                    track_alias: vi(body.track_alias),
                    parameters: params(&body.params),
                    track_properties: properties_of(&body.properties),
                }),
                Message::RequestUpdate(body) => M::RequestUpdate(theirs::RequestUpdate {
                    request_id: vi(body.request_id),
                    parameters: params(&body.params),
                }),
                Message::RequestOk(body) => M::RequestOk(theirs::RequestOk {
                    parameters: params(&body.params),
                    track_properties: properties_of(&body.properties),
                }),
                Message::RequestError(body) => M::RequestError(theirs::RequestError {
                    error_code: vi(body.code.0),
                    retry_interval: vi(body.retry_interval),
                    reason_phrase: body.reason.clone().into_bytes(),
                    redirect: body.redirect.as_ref().map(|redirect| theirs::Redirect {
                        connect_uri: redirect.uri.to_vec(),
                        track_namespace: fields(&redirect.track.namespace),
                        track_name: redirect.track.name.to_vec(),
                    }),
                }),
                Message::Publish(body) => M::Publish(theirs::Publish {
                    request_id: vi(body.request_id),
                    track_namespace: fields(&body.track.namespace),
                    track_name: body.track.name.to_vec(),
                    track_alias: vi(body.track_alias),
                    parameters: params(&body.params),
                    track_properties: properties_of(&body.properties),
                }),
                Message::PublishNamespace(body) => {
                    let (request_id, track_namespace, parameters) = spaced(body);
                    M::PublishNamespace(theirs::PublishNamespace {
                        request_id, track_namespace, parameters,
                    })
                }
                Message::SubscribeNamespace(body) => {
                    let (request_id, namespace_prefix, parameters) = spaced(body);
                    M::SubscribeNamespace(theirs::SubscribeNamespace {
                        request_id, namespace_prefix, parameters,
                    })
                }
                Message::SubscribeTracks(body) => {
                    let (request_id, namespace_prefix, parameters) = spaced(body);
                    M::SubscribeTracks(theirs::SubscribeTracks {
                        request_id, namespace_prefix, parameters,
                    })
                }
                Message::Namespace(suffix) => M::Namespace(theirs::Namespace {
                    namespace_suffix: fields(suffix),
                }),
                Message::NamespaceDone(suffix) => M::NamespaceDone(theirs::NamespaceDone {
                    namespace_suffix: fields(suffix),
                }),
            }
        }
    };
}

/// The arms that drafts 20 and 22 share.
macro_rules! expected_newer {
    ($name:ident, $module:ident, $draft:expr) => {
        expected!($name, $module, $draft, {
            Message::Goaway(body) => M::GoAway($module::message::GoAway {
                new_session_uri: body.uri.to_vec(),
                timeout: vi(body.timeout),
            }),
            Message::PublishDone(body) => M::PublishDone($module::message::PublishDone {
                status_code: vi(body.code.0),
                stream_count: vi(body.stream_count),
                reason_phrase: body.reason.clone().into_bytes(),
            }),
            Message::PublishStateNotify(body) => {
                M::PublishStateNotify($module::message::PublishStateNotify {
                    parameters: parameters_of($draft, body),
                })
            }
            Message::Fetch(body) => M::Fetch($module::message::Fetch {
                request_id: vi(body.request_id),
                track_namespace: fields(&body.track.as_ref().unwrap().namespace),
                track_name: body.track.as_ref().unwrap().name.to_vec(),
                parameters: parameters_of($draft, &body.params),
            }),
            Message::FetchOk(body) => M::FetchOk($module::message::FetchOk {
                end_of_track: u8::from(body.end_of_track),
                end_group: vi(body.end.group),
                end_object: vi(body.end.object),
                parameters: parameters_of($draft, &body.params),
                track_properties: properties_of(&body.properties),
            }),
            Message::PublishSkipped(track) => M::PublishSkipped($module::message::PublishSkipped {
                namespace_suffix: fields(&track.namespace),
                track_name: track.name.to_vec(),
            }),
        });
    };
}

expected_newer!(expected_22, draft22, Draft::D22);
expected_newer!(expected_20, draft20, Draft::D20);

fn fetch_18(body: &control::Fetch) -> draft18::message::Fetch {
    use draft18::message::{FetchPayload, FetchType};
    let joining = |request_id: u64, start: u64| FetchPayload::Joining {
        joining_request_id: vi(request_id),
        joining_start: vi(start),
    };
    let (fetch_type, fetch_payload) = match body.filter {
        FetchFilter::RelativeJoining {
            request_id,
            groups_back,
        } => (FetchType::RelativeJoining, joining(request_id, groups_back)),
        FetchFilter::AbsoluteJoining {
            request_id,
            start_group,
        } => (FetchType::AbsoluteJoining, joining(request_id, start_group)),
        FetchFilter::Range => {
            let track = body.track.as_ref().unwrap();
            let Some(LocationFilter::Absolute {
                start,
                end_group,
                end_object,
            }) = body.params.location_filter
            else {
                panic!("no range in {body:?}");
            };
            let payload = FetchPayload::Standalone {
                track_namespace: fields(&track.namespace),
                track_name: track.name.to_vec(),
                start_group: vi(start.group),
                start_object: vi(start.object),
                end_group: vi(end_group.unwrap()),
                end_object: vi(end_object.map_or(0, |object| object + 1)),
            };
            (FetchType::Standalone, payload)
        }
    };
    let params = Parameters {
        location_filter: None,
        ..body.params.clone()
    };
    draft18::message::Fetch {
        request_id: vi(body.request_id),
        fetch_type,
        fetch_payload,
        parameters: parameters_of(Draft::D18, &params),
    }
}

expected!(expected_18, draft18, Draft::D18, {
    Message::Goaway(body) => M::GoAway(draft18::message::GoAway {
        new_session_uri: body.uri.to_vec(),
        timeout: vi(body.timeout),
        request_id: body.request_id.map(vi),
    }),
    Message::PublishDone(body) => M::PublishDone(draft18::message::PublishDone {
        status_code: vi(body.code.0),
        stream_count: vi(match body.stream_count {
            u64::MAX => (1 << 62) - 1,
            count => count,
        }),
        reason_phrase: body.reason.clone().into_bytes(),
    }),
    Message::PublishStateNotify(_) => unreachable!("not in draft 18"),
    Message::Fetch(body) => M::Fetch(fetch_18(body)),
    Message::FetchOk(body) => M::FetchOk(draft18::message::FetchOk {
        end_of_track: u8::from(body.end_of_track),
        end_group: vi(body.end.group),
        end_object: vi(body.end.object.wrapping_add(1)),
        parameters: parameters_of(Draft::D18, &body.params),
        track_properties: properties_of(&body.properties),
    }),
    Message::PublishSkipped(track) => M::PublishBlocked(draft18::message::PublishBlocked {
        namespace_suffix: fields(&track.namespace),
        track_name: track.name.to_vec(),
    }),
});

fn ours(draft: Draft, bytes: &[u8]) -> Result<Option<Message>, WireError> {
    let mut decoder = ControlDecoder::new(draft);
    decoder.push(bytes);
    decoder.poll()
}

/// Our bytes say to it what we meant; its bytes say to us the same.
macro_rules! agree {
    ($module:ident, $expected:ident, $draft:expr, $message:expr) => {{
        let mut bytes = BytesMut::new();
        $message.encode($draft, &mut bytes).unwrap();
        let theirs = $module::message::ControlMessage::decode(&mut &bytes[..]);
        let expected = $expected(&$message);
        prop_assert_eq!(theirs.as_ref(), Ok(&expected));
        let mut back = Vec::new();
        expected.encode(&mut back).unwrap();
        prop_assert_eq!(ours($draft, &back), Ok(Some($message.clone())));
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn control_messages_of_draft_22(message in message(Draft::D22)) {
        agree!(draft22, expected_22, Draft::D22, message);
    }

    #[test]
    fn control_messages_of_draft_20(message in message(Draft::D20)) {
        agree!(draft20, expected_20, Draft::D20, message);
    }

    #[test]
    fn control_messages_of_draft_18(message in message(Draft::D18)) {
        agree!(draft18, expected_18, Draft::D18, message);
    }
}

/// A message of `kind` with the one parameter `parameter`, whose value is `value`.
fn with_parameter(
    kind: MessageKind,
    parameter: u64,
    value: &[u8],
    draft: Draft,
) -> Option<Vec<u8>> {
    use MessageKind as K;
    let head: &[u8] = match kind {
        K::Subscribe | K::TrackStatus => &[0, 1, 1, b'a', 1, b'b'],
        K::Fetch if draft == Draft::D18 => &[0, 2, 0, 0],
        K::Fetch => &[0, 1, 1, b'a', 1, b'b'],
        K::Publish => &[0, 1, 1, b'a', 1, b'b', 0],
        K::SubscribeOk | K::RequestUpdate => &[0],
        K::RequestOk | K::PublishStateNotify => &[],
        K::FetchOk => &[0, 9, 9],
        K::PublishNamespace | K::SubscribeNamespace | K::SubscribeTracks => &[0, 1, 1, b'a'],
        _ => return None,
    };
    let body = [head, &[1], &vis(&[parameter]), value].concat();
    let len = (body.len() as u16).to_be_bytes();
    Some([&vis(&[kind.id()])[..], &len, &body].concat())
}

/// A value each parameter takes.
fn value_of(parameter: u64, draft: Draft) -> &'static [u8] {
    match (parameter, draft) {
        (0x03, _) => &[2, 2, 1],
        (0x09, _) => &[1, 1],
        (0x21, Draft::D22) => &[5],
        (0x21, Draft::D20) => &[1, 1],
        (0x21, Draft::D18) => &[1, 2],
        (0x23, _) => &[1, 0],
        (0x25..=0x27, _) => &[2, 0, 1],
        (0x28 | 0x29, _) => &[3, 0, 2, 1],
        (0x34, _) => &[0],
        _ => &[1],
    }
}

#[test]
fn every_parameter_in_every_message_is_judged_alike() {
    for draft in Draft::PREFERRED {
        for kind in MessageKind::ALL {
            for parameter in 0..0x48 {
                let value = value_of(parameter, draft);
                let Some(bytes) = with_parameter(kind, parameter, value, draft) else {
                    continue;
                };
                let theirs = match draft {
                    Draft::D18 => draft18::message::ControlMessage::decode(&mut &bytes[..]).is_ok(),
                    Draft::D20 => draft20::message::ControlMessage::decode(&mut &bytes[..]).is_ok(),
                    Draft::D22 => draft22::message::ControlMessage::decode(&mut &bytes[..]).is_ok(),
                };
                let ours = ours(draft, &bytes);
                let judged = matches!(ours, Ok(Some(_)));
                assert_eq!(
                    judged, theirs,
                    "{parameter:#x} in {kind:?} of {draft:?}: {ours:?}"
                );
            }
        }
    }
}

/// The oracle's objects stop at 62 bits.
const MAX_ID: u64 = (1 << 62) - 1;

fn status_code(status: ObjectStatus) -> u64 {
    match status {
        ObjectStatus::Normal => 0,
        ObjectStatus::EndOfGroup => 3,
        ObjectStatus::EndOfTrack => 4,
    }
}

macro_rules! data_plane {
    ($test:ident, $module:ident, $draft:expr, $properties:expr) => {
        mod $test {
            use super::*;
            use moqtap_codec::$module::data_stream as theirs;
            use moqtap_codec::$module::types::ObjectStatus as Status;

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(1024))]

                #[test]
                fn subgroups((header, objects) in subgroup()) {
                    let stream = encode_subgroup(&header, &objects);
                    let mut rest = &stream[..];
                    let read = theirs::SubgroupHeader::decode(&mut rest).unwrap();
                    prop_assert_eq!(read.track_alias.into_inner(), header.track_alias);
                    prop_assert_eq!(read.group_id.into_inner(), header.group);
                    prop_assert_eq!(read.publisher_priority, header.priority);
                    prop_assert_eq!(read.has_properties(), header.has_properties);
                    prop_assert_eq!(read.is_end_of_group(), header.end_of_group);
                    prop_assert_eq!(read.is_first_object(), header.first_object);
                    let explicit = match header.subgroup {
                        SubgroupId::Explicit(id) => id,
                        _ => 0,
                    };
                    prop_assert_eq!(read.subgroup_id.into_inner(), explicit);
                    let mut written = BytesMut::new();
                    read.encode(&mut written);
                    let (mut reader, mut writer) = (
                        theirs::SubgroupObjectReader::new(&read),
                        theirs::SubgroupObjectReader::new(&read),
                    );
                    for (object, payload) in &objects {
                        let read = reader.read_object(&mut rest).unwrap();
                        prop_assert_eq!(read.object_id.into_inner(), object.id);
                        prop_assert_eq!(&read.extension_headers[..], &object.properties[..]);
                        prop_assert_eq!(&read.payload[..], &payload[..]);
                        prop_assert_eq!(read.status() as u64, status_code(object.status));
                        let built = theirs::SubgroupObject {
                            object_id: vi(object.id),
                            extension_headers: object.properties.to_vec(),
                            payload_length: vi(object.payload_len),
                            object_status: (object.payload_len == 0)
                                .then(|| Status::from_u64(status_code(object.status)).unwrap()),
                            payload: payload.to_vec(),
                        };
                        writer.write_object(&built, &mut written).unwrap();
                    }
                    prop_assert!(rest.is_empty());
                    prop_assert_eq!(written.freeze(), stream);
                }

                #[test]
                fn datagrams(datagram in datagram()) {
                    let mut bytes = BytesMut::new();
                    datagram.encode(&mut bytes);
                    let (read, payload) =
                        theirs::DatagramHeader::decode_object(&mut &bytes[..]).unwrap();
                    prop_assert_eq!(read.track_alias.into_inner(), datagram.track_alias);
                    prop_assert_eq!(read.group_id.into_inner(), datagram.group);
                    prop_assert_eq!(read.object_id.into_inner(), datagram.object);
                    prop_assert_eq!(read.publisher_priority, datagram.priority);
                    prop_assert_eq!(read.is_end_of_group(), datagram.end_of_group);
                    prop_assert_eq!(&payload[..], &datagram.payload[..]);
                    let properties = datagram.properties.clone().unwrap_or_default();
                    prop_assert_eq!(&read.properties[..], &properties[..]);
                    let status = read.object_status.map_or(0, |status| status as u64);
                    prop_assert_eq!(status, status_code(datagram.status));
                    let mut back = Vec::new();
                    read.encode_checked(&mut back).unwrap();
                    back.extend(payload);
                    prop_assert_eq!(
                        Datagram::decode(Bytes::from(back)),
                        Ok(Datagram::Object(datagram))
                    );
                }

                #[test]
                fn fetch_objects((order, items) in fetch_stream($draft, false), id in 0..MAX_ID) {
                    let stream = encode_fetch($draft, order, id, &items);
                    let mut rest = &stream[..];
                    let header = theirs::FetchHeader::decode(&mut rest).unwrap();
                    prop_assert_eq!(header.request_id.into_inner(), id);
                    let order = match order {
                        GroupOrder::Ascending => theirs::GroupOrder::Ascending,
                        GroupOrder::Descending => theirs::GroupOrder::Descending,
                    };
                    let mut reader = theirs::FetchObjectReader::new(order);
                    for item in &items {
                        let Item::Object(object, payload) = item else { unreachable!() };
                        let read = reader.read_object_header(&mut rest).unwrap();
                        prop_assert_eq!(read.group_id, object.group);
                        prop_assert_eq!(read.subgroup_id, object.subgroup);
                        prop_assert_eq!(read.object_id, object.object);
                        prop_assert_eq!(read.publisher_priority, Some(object.priority));
                        prop_assert_eq!($properties(&read.header), &object.properties[..]);
                        prop_assert_eq!(read.header.payload_length.into_inner(), object.payload_len);
                        rest = rest.strip_prefix(&payload[..]).unwrap();
                    }
                    prop_assert!(rest.is_empty());
                }

                /// Heads of its making, with any flags that refer to what is there, read by us.
                #[test]
                fn fetch_heads_with_any_flags(
                    descending in any::<bool>(),
                    drawn in proptest::collection::vec((0u64..0x80, 0u64..9, 0u64..9, 0u64..9, any::<u8>()), 1..6),
                ) {
                    let mut bytes = BytesMut::new();
                    meridian_wire::data::FetchHeader { request_id: 1 }.encode(&mut bytes);
                    let (order, their_order) = match descending {
                        false => (GroupOrder::Ascending, theirs::GroupOrder::Ascending),
                        true => (GroupOrder::Descending, theirs::GroupOrder::Descending),
                    };
                    for (i, (flags, group, subgroup, object, priority)) in drawn.into_iter().enumerate() {
                        // The first object refers to none before it.
                        let flags = if i == 0 { flags & !0x03 | 0x1C } else { flags };
                        let has = |bit| flags & bit != 0;
                        let group = if i == 0 { group + (1 << 20) } else { group };
                        bytes.extend_from_slice(&vis(&[flags]));
                        if has(0x08) { bytes.extend_from_slice(&vis(&[group])); }
                        if flags & 0x43 == 0x03 { bytes.extend_from_slice(&vis(&[subgroup])); }
                        if has(0x04) { bytes.extend_from_slice(&vis(&[object])); }
                        if has(0x10) { bytes.extend_from_slice(&[priority]); }
                        if has(0x20) { bytes.extend_from_slice(&[2, 0x10, 5]); }
                        bytes.extend_from_slice(&[0]);
                    }
                    let bytes = bytes.freeze();
                    let mut rest = &bytes[2..];
                    let mut reader = theirs::FetchObjectReader::new(their_order);
                    let mut decoder = FetchDecoder::new($draft, order);
                    decoder.push(bytes.clone());
                    prop_assert!(matches!(decoder.poll(), Ok(Some(FetchEvent::Header(_)))));
                    while !rest.is_empty() {
                        let ours = decoder.poll();
                        let Ok(read) = reader.read_object_header(&mut rest) else {
                            prop_assert!(ours.is_err());
                            break;
                        };
                        let Ok(Some(FetchEvent::Object { header, .. })) = ours else {
                            panic!("{ours:?} for {read:?}");
                        };
                        prop_assert_eq!(header.group, read.group_id);
                        prop_assert_eq!(header.subgroup, read.subgroup_id);
                        prop_assert_eq!(header.object, read.object_id);
                        prop_assert_eq!(Some(header.priority), read.publisher_priority);
                        prop_assert_eq!(&header.properties[..], $properties(&read.header));
                        prop_assert_eq!(decoder.poll(), Ok(Some(FetchEvent::ObjectEnd)));
                    }
                }
            }
        }
    };
}

data_plane!(
    data_22,
    draft22,
    Draft::D22,
    |header: &theirs::FetchObjectHeader| {
        header.properties.as_deref().unwrap_or_default().to_vec()
    }
);
data_plane!(
    data_20,
    draft20,
    Draft::D20,
    |header: &theirs::FetchObjectHeader| {
        header.properties.as_deref().unwrap_or_default().to_vec()
    }
);
data_plane!(
    data_18,
    draft18,
    Draft::D18,
    |header: &theirs::FetchObjectHeader| { header.properties.clone() }
);

#[test]
fn a_gap_that_comes_first_is_read_alike() {
    // The one place where both readings of a gap's location agree; the oracle's payload length stays behind.
    let bytes = [0x81, 0x0C, 0x07, 0x05, 0x00];
    let mut reader =
        draft22::data_stream::FetchObjectReader::new(draft22::data_stream::GroupOrder::Ascending);
    let read = reader.read_object_header(&mut &bytes[..]).unwrap();
    let mut decoder = FetchDecoder::new(Draft::D22, GroupOrder::Ascending);
    decoder.push(Bytes::from([&[0x05, 0x01], &bytes[..4]].concat()));
    decoder.poll().unwrap();
    let end = Location {
        group: read.group_id,
        object: read.object_id,
    };
    let kind = RangeGap::Unknown;
    assert_eq!(
        decoder.poll(),
        Ok(Some(FetchEvent::EndOfRange { kind, end }))
    );
}

#[test]
fn properties_are_found_alike() {
    let inner = Properties::builder().int(0x10, 3).build().unwrap();
    let outer = Properties::builder()
        .bytes(0x0B, inner.0)
        .int(0x08, 9)
        .build()
        .unwrap();
    let draft = moqtap_codec::version::DraftVersion::Draft22;
    assert!(moqtap_codec::object_properties::parse_object_properties(draft, &outer.0).is_ok());
    assert_eq!(Block::new(&outer.0).timestamp(), Some(3));
}
