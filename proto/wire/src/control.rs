//! Control messages: the model, and their codec per draft (draft-22 §9).

use crate::error::PublishDoneCode;
use crate::name::{FullTrackName, Location, Namespace};
use crate::param::{FetchFilter, Parameters};
use crate::property::Properties;
use crate::setup::SetupOptions;
use crate::{Draft, EncodeError, RequestErrorCode, WireError};
use bytes::{Bytes, BytesMut};

/// One control message, in the terms of draft 22.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 0x2F00, first on each control stream.
    Setup(SetupOptions),
    /// 0x10. Control stream, or a request stream.
    Goaway(Goaway),
    /// 0x03.
    Subscribe(Subscribe),
    /// 0x04.
    SubscribeOk(SubscribeOk),
    /// 0x02.
    RequestUpdate(RequestUpdate),
    /// 0x07.
    RequestOk(RequestOk),
    /// 0x05.
    RequestError(RequestError),
    /// 0x1D.
    Publish(Publish),
    /// 0x0B.
    PublishDone(PublishDone),
    /// 0x22 (20 and 22).
    PublishStateNotify(Parameters),
    /// 0x16.
    Fetch(Fetch),
    /// 0x18.
    FetchOk(FetchOk),
    /// 0x0D; same body as SUBSCRIBE.
    TrackStatus(Subscribe),
    /// 0x06.
    PublishNamespace(NamespaceRequest),
    /// 0x50.
    SubscribeNamespace(NamespaceRequest),
    /// 0x51.
    SubscribeTracks(NamespaceRequest),
    /// 0x08: the suffix after the subscribed prefix.
    Namespace(Namespace),
    /// 0x0E: the suffix after the subscribed prefix.
    NamespaceDone(Namespace),
    /// 0x0F: namespace suffix and name of a track that will not be published.
    PublishSkipped(FullTrackName),
}

/// SUBSCRIBE and TRACK_STATUS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Even from clients, odd from servers.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// Parameters.
    pub params: Parameters,
}

/// SUBSCRIBE_OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOk {
    /// What the track is called on data streams of this session.
    pub track_alias: u64,
    /// Parameters.
    pub params: Parameters,
    /// Track properties.
    pub properties: Properties,
}

/// REQUEST_UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUpdate {
    /// A request ID of its own.
    pub request_id: u64,
    /// What changes.
    pub params: Parameters,
}

/// REQUEST_OK: PUBLISH_OK, TRACK_STATUS_OK, REQUEST_UPDATE_OK and the namespace OKs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestOk {
    /// Parameters.
    pub params: Parameters,
    /// Track properties, only in TRACK_STATUS_OK.
    pub properties: Properties,
}

/// REQUEST_ERROR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Why.
    pub code: RequestErrorCode,
    /// As on the wire: 0 = do not retry, otherwise milliseconds + 1 (see the draft at hand).
    pub retry_interval: u64,
    /// For people; at most 1024 bytes.
    pub reason: String,
    /// Only with REDIRECT.
    pub redirect: Option<Redirect>,
}

/// Where to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Empty: this session's.
    pub uri: Bytes,
    /// The track to ask for.
    pub track: FullTrackName,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Even from clients, odd from servers.
    pub request_id: u64,
    /// The track.
    pub track: FullTrackName,
    /// What it is called on data streams of this session.
    pub track_alias: u64,
    /// Parameters.
    pub params: Parameters,
    /// Track properties.
    pub properties: Properties,
}

/// PUBLISH_DONE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishDone {
    /// Why.
    pub code: PublishDoneCode,
    /// Data streams opened for the subscription; `u64::MAX`-like "unknown" values are legal (see the draft).
    pub stream_count: u64,
    /// For people; at most 1024 bytes.
    pub reason: String,
}

/// FETCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Even from clients, odd from servers.
    pub request_id: u64,
    /// The track. Draft 18's joining fetches name none: there it is `None`.
    pub track: Option<FullTrackName>,
    /// What is asked for.
    pub filter: FetchFilter,
    /// Parameters, with the range as `location_filter`.
    pub params: Parameters,
}

/// FETCH_OK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOk {
    /// Whether `end` is the track's last object.
    pub end_of_track: bool,
    /// The end of the range that is answered, inclusive.
    pub end: Location,
    /// Parameters.
    pub params: Parameters,
    /// Track properties.
    pub properties: Properties,
}

/// PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRequest {
    /// Even from clients, odd from servers.
    pub request_id: u64,
    /// The namespace or prefix.
    pub namespace: Namespace,
    /// Parameters.
    pub params: Parameters,
}

/// GOAWAY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goaway {
    /// Where to go instead; empty: the same place. At most 8192 bytes.
    pub uri: Bytes,
    /// Milliseconds until the session is closed; 0: unspecified.
    pub timeout: u64,
    /// Draft 18 carries a request ID on the control stream.
    pub request_id: Option<u64>,
}

impl Message {
    /// Appends the message, with type and length, in the bytes of `draft`.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        unimplemented!("{draft:?} {out:?}")
    }
}

/// Cuts a control or request stream's bytes into messages. Buffers at most one message (65,535 bytes and its head).
#[derive(Debug)]
pub struct ControlDecoder {
    draft: Draft,
    buffer: BytesMut,
}

impl ControlDecoder {
    /// A decoder at the start of a stream.
    pub fn new(draft: Draft) -> ControlDecoder {
        ControlDecoder {
            draft,
            buffer: BytesMut::new(),
        }
    }

    /// Takes in the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message; `None` until more bytes are pushed.
    pub fn poll(&mut self) -> Result<Option<Message>, WireError> {
        unimplemented!("{:?}", self.draft)
    }

    /// Whether the stream may end here: no message is cut in two.
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }
}
