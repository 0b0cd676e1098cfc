//! What moqtap-client's draft-independent calls leave out, written once for its three drafts: a SUBSCRIBE that
//! waits, groups marked as complete, PUBLISH_DONE, and a publisher's answer to FETCH.

use meridian_interop::{GROUPS, OBJECTS, Objects};
use moqtap_client::dispatch::{AnyConnection, AnyInboundRequest, AnyRequest, AnySubgroupWriter};
use moqtap_codec::{
    kvp::{KeyValuePair, KvpValue},
    types::TrackNamespace,
    varint::VarInt,
};

/// SUBSCRIBE with a RENDEZVOUS_TIMEOUT in ms.
pub(crate) async fn subscribe_and_wait(
    connection: &mut AnyConnection,
    (namespace, name): (TrackNamespace, &[u8]),
    patience: u64,
) -> AnyRequest {
    let parameters = vec![KeyValuePair {
        key: number(RENDEZVOUS_TIMEOUT),
        value: KvpValue::Varint(number(patience)),
    }];
    macro_rules! subscribe {
        ($connection:ident, $variant:ident) => {{
            let request = $connection.subscribe(namespace, name.to_vec(), parameters);
            AnyRequest::$variant(request.await.unwrap())
        }};
    }
    match connection {
        AnyConnection::Draft18(connection) => subscribe!(connection, Draft18),
        AnyConnection::Draft20(connection) => subscribe!(connection, Draft20),
        AnyConnection::Draft22(connection) => subscribe!(connection, Draft22),
    }
}

/// A stream of a group's only subgroup, from its first object to its last.
pub(crate) async fn open_whole_group(
    connection: &AnyConnection,
    alias: u64,
    group: u64,
) -> AnySubgroupWriter {
    macro_rules! open {
        ($connection:ident, $draft:ident, $variant:ident) => {{
            let header = moqtap_codec::$draft::data_stream::SubgroupHeader {
                header_type: WHOLE_GROUP,
                track_alias: number(alias),
                group_id: number(group),
                subgroup_id: number(0),
                publisher_priority: Some(PRIORITY),
            };
            let header = moqtap_codec::dispatch::AnySubgroupHeader::$variant(header);
            AnySubgroupWriter::$variant($connection.open_subgroup_stream(&header).await.unwrap())
        }};
    }
    match connection {
        AnyConnection::Draft18(connection) => open!(connection, draft18, Draft18),
        AnyConnection::Draft20(connection) => open!(connection, draft20, Draft20),
        AnyConnection::Draft22(connection) => open!(connection, draft22, Draft22),
    }
}

/// PUBLISH_DONE for a track that was sent on one stream for each group.
pub(crate) async fn publish_done(
    connection: &mut AnyConnection,
    request: &mut AnyInboundRequest,
    status: u64,
) {
    macro_rules! done {
        ($connection:ident, $request:ident) => {{
            let (status, streams) = (number(status), number(GROUPS));
            let done = $connection.publish_done_on($request, status, streams, Vec::new());
            done.await.unwrap();
        }};
    }
    match (connection, request) {
        (AnyConnection::Draft18(connection), AnyInboundRequest::Draft18(request)) => {
            done!(connection, request);
        }
        (AnyConnection::Draft20(connection), AnyInboundRequest::Draft20(request)) => {
            done!(connection, request);
        }
        (AnyConnection::Draft22(connection), AnyInboundRequest::Draft22(request)) => {
            done!(connection, request);
        }
        _ => panic!("the request is of another draft"),
    }
}

/// Waits for a FETCH of exactly these objects, which are all there are, and answers it.
pub(crate) async fn answer_fetch(
    connection: &mut AnyConnection,
    (namespace, name): (TrackNamespace, &[u8]),
    objects: &Objects,
) {
    let (last_group, last_object) = (GROUPS - 1, OBJECTS - 1);
    macro_rules! answer {
        (
            $connection:ident, $draft:ident, $variant:ident,
            asks: |$fetch:ident| $asks:expr, end: $end:expr, flags: $flags:expr, properties: $properties:expr
        ) => {{
            use moqtap_codec::$draft::{data_stream as data, message};
            let (asked, mut request) = $connection.accept_request_stream().await.unwrap();
            let message::ControlMessage::Fetch($fetch) = asked else {
                panic!("{asked:?} instead of FETCH");
            };
            $asks;
            let ok = message::FetchOk {
                end_of_track: 0,
                end_group: number(last_group),
                end_object: number($end),
                parameters: Vec::new(),
                track_properties: Vec::new(),
            };
            $connection
                .respond_fetch_ok(&mut request, ok)
                .await
                .unwrap();
            let header = data::FetchHeader {
                request_id: request.request_id(),
            };
            let header = moqtap_codec::dispatch::AnyFetchHeader::$variant(header);
            let mut stream = $connection.open_fetch_stream(&header).await.unwrap();
            let mut writer = data::FetchObjectWriter::new(data::GroupOrder::Ascending);
            for (&(group_id, object_id), payload) in objects {
                let every_field = data::FetchObjectHeader {
                    serialization_flags: $flags,
                    group_id_delta: None,
                    subgroup_id: Some(number(0)),
                    object_id_delta: None,
                    publisher_priority: Some(PRIORITY),
                    properties: $properties,
                    payload_length: VarInt::from_usize(payload.len()),
                };
                let object = data::FetchObject {
                    header: every_field,
                    group_id,
                    subgroup_id: Some(0),
                    object_id,
                    publisher_priority: Some(PRIORITY),
                };
                let header = writer
                    .write_object_header(&object, &mut Vec::new())
                    .unwrap();
                stream.write_fetch_object(&header, payload).await.unwrap();
            }
            stream.finish().await.unwrap();
            // Dropped unfinished, it would take the answer back.
            request.finish().await.unwrap();
        }};
    }
    macro_rules! asks_by_filter {
        ($fetch:ident, $filter:expr) => {{
            assert_eq!(
                ($fetch.track_namespace, $fetch.track_name.as_slice()),
                (namespace, name)
            );
            let filter = $filter.unwrap().parameter().unwrap();
            assert!(
                $fetch.parameters.contains(&filter),
                "{:?}",
                $fetch.parameters
            );
        }};
    }
    match connection {
        AnyConnection::Draft18(connection) => answer!(
            connection, draft18, Draft18,
            asks: |fetch| assert_eq!(fetch.fetch_payload, message::FetchPayload::Standalone {
                track_namespace: namespace,
                track_name: name.to_vec(),
                start_group: number(0),
                start_object: number(0),
                end_group: number(last_group),
                // "the last Object, plus 1", draft-18 §10.12.1.
                end_object: number(last_object + 1),
            }),
            end: last_object + 1, flags: FETCH_FIELDS, properties: Vec::new()
        ),
        AnyConnection::Draft20(connection) => answer!(
            connection, draft20, Draft20,
            asks: |fetch| asks_by_filter!(
                fetch,
                moqtap_client::draft20::fill::LocationFilter::range_to(0, 0, last_group, last_object)
            ),
            end: last_object, flags: number(FETCH_FIELDS), properties: None
        ),
        AnyConnection::Draft22(connection) => answer!(
            connection, draft22, Draft22,
            asks: |fetch| asks_by_filter!(
                fetch,
                moqtap_client::draft22::fill::LocationFilter::range_to(0, 0, last_group, last_object)
            ),
            end: last_object, flags: number(FETCH_FIELDS), properties: None
        ),
    }
}

pub(crate) fn number(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap()
}

/// draft-22 §9.20.5, draft-18 §10.2.6.
const RENDEZVOUS_TIMEOUT: u64 = 0x04;

/// SUBGROUP_HEADER with its subgroup's id, END_OF_GROUP and FIRST_OBJECT: draft-22 §11.3.1, draft-18 §11.4.2.
const WHOLE_GROUP: u8 = 0x10 | 0x04 | 0x08 | 0x40;

/// An object of a fetch with all ids and a priority: draft-22 §11.4.1, draft-18 §11.4.4.
const FETCH_FIELDS: u64 = 0x03 | 0x04 | 0x08 | 0x10;

/// The publisher's, of every object.
const PRIORITY: u8 = 128;
