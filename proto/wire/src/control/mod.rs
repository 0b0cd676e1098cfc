//! Control messages: the model, and their codec per draft (draft-22 §9).
//!
//! What a message means where, and which may come first, is the session's to know; here is what its bytes say.

mod decoder;
mod fetch;
mod goaway;
mod kind;
mod namespace;
mod publish;
mod request;
mod subscribe;

pub use decoder::ControlDecoder;
pub use fetch::{Fetch, FetchOk};
pub use goaway::Goaway;
pub use kind::MessageKind;
pub use namespace::NamespaceRequest;
pub use publish::{Publish, PublishDone};
pub use request::{Redirect, RequestError, RequestOk, RequestUpdate};
pub use subscribe::{Subscribe, SubscribeOk};

use crate::limits::MAX_MESSAGE_BODY;
use crate::name::{FullTrackName, Namespace};
use crate::param::{AuthorizationToken, Parameters};
use crate::property::Properties;
use crate::reader::Reader;
use crate::setup::SetupOptions;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::{BufMut, Bytes, BytesMut};

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

impl Message {
    /// The authorization tokens, if the message may carry any (draft-22 §9.20.1).
    pub fn authorization_tokens(&mut self) -> Option<&mut Vec<AuthorizationToken>> {
        let params = match self {
            Message::Subscribe(request) | Message::TrackStatus(request) => &mut request.params,
            Message::Publish(request) => &mut request.params,
            Message::Fetch(request) => &mut request.params,
            Message::RequestUpdate(request) => &mut request.params,
            Message::PublishNamespace(request)
            | Message::SubscribeNamespace(request)
            | Message::SubscribeTracks(request) => &mut request.params,
            _ => return None,
        };
        Some(&mut params.authorization_tokens)
    }

    /// What it is.
    pub fn kind(&self) -> MessageKind {
        match self {
            Message::Setup(_) => MessageKind::Setup,
            Message::Goaway(_) => MessageKind::Goaway,
            Message::Subscribe(_) => MessageKind::Subscribe,
            Message::SubscribeOk(_) => MessageKind::SubscribeOk,
            Message::RequestUpdate(_) => MessageKind::RequestUpdate,
            Message::RequestOk(_) => MessageKind::RequestOk,
            Message::RequestError(_) => MessageKind::RequestError,
            Message::Publish(_) => MessageKind::Publish,
            Message::PublishDone(_) => MessageKind::PublishDone,
            Message::PublishStateNotify(_) => MessageKind::PublishStateNotify,
            Message::Fetch(_) => MessageKind::Fetch,
            Message::FetchOk(_) => MessageKind::FetchOk,
            Message::TrackStatus(_) => MessageKind::TrackStatus,
            Message::PublishNamespace(_) => MessageKind::PublishNamespace,
            Message::SubscribeNamespace(_) => MessageKind::SubscribeNamespace,
            Message::SubscribeTracks(_) => MessageKind::SubscribeTracks,
            Message::Namespace(_) => MessageKind::Namespace,
            Message::NamespaceDone(_) => MessageKind::NamespaceDone,
            Message::PublishSkipped(_) => MessageKind::PublishSkipped,
        }
    }

    /// Appends the message, with type and length, in the bytes of `draft`.
    ///
    /// # Errors
    ///
    /// The draft cannot say it, or it is over a limit. `out` is then as it was.
    pub fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        let kind = self.kind();
        if !kind.is_in(draft) {
            let what = kind.name();
            return Err(EncodeError::NotInDraft { what, draft });
        }
        let mut body = BytesMut::new();
        self.encode_body(draft, &mut body)?;
        if body.len() > MAX_MESSAGE_BODY {
            return Err(EncodeError::TooLong {
                what: kind.name(),
                limit: MAX_MESSAGE_BODY,
            });
        }
        varint::encode(kind.id(), out);
        out.put_u16(body.len() as u16);
        out.put_slice(&body);
        Ok(())
    }

    fn encode_body(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        let kind = self.kind();
        match self {
            Message::Setup(options) => {
                out.put_slice(&options.encode(draft)?);
                Ok(())
            }
            Message::Goaway(body) => body.encode(draft, out),
            Message::Subscribe(body) | Message::TrackStatus(body) => body.encode(kind, draft, out),
            Message::SubscribeOk(body) => body.encode(draft, out),
            Message::RequestUpdate(body) => body.encode(draft, out),
            Message::RequestOk(body) => body.encode(draft, out),
            Message::RequestError(body) => body.encode(out),
            Message::Publish(body) => body.encode(draft, out),
            Message::PublishDone(body) => body.encode(draft, out),
            Message::PublishStateNotify(params) => params.encode(kind, draft, out),
            Message::Fetch(body) => body.encode(draft, out),
            Message::FetchOk(body) => body.encode(draft, out),
            Message::PublishNamespace(body)
            | Message::SubscribeNamespace(body)
            | Message::SubscribeTracks(body) => body.encode(kind, draft, out),
            Message::Namespace(suffix) | Message::NamespaceDone(suffix) => suffix.encode(out),
            Message::PublishSkipped(track) => track.encode(out),
        }
    }

    /// Reads the body of a message of `kind`.
    fn decode_body(kind: MessageKind, draft: Draft, body: &[u8]) -> Result<Message, WireError> {
        let reader = &mut Reader::new(body);
        let message = match kind {
            MessageKind::Setup => Message::Setup(SetupOptions::decode(draft, reader.rest())?),
            MessageKind::Goaway => Message::Goaway(Goaway::decode(draft, reader)?),
            MessageKind::Subscribe => Message::Subscribe(Subscribe::decode(kind, draft, reader)?),
            MessageKind::TrackStatus => {
                Message::TrackStatus(Subscribe::decode(kind, draft, reader)?)
            }
            MessageKind::SubscribeOk => Message::SubscribeOk(SubscribeOk::decode(draft, reader)?),
            MessageKind::RequestUpdate => {
                Message::RequestUpdate(RequestUpdate::decode(draft, reader)?)
            }
            MessageKind::RequestOk => Message::RequestOk(RequestOk::decode(draft, reader)?),
            MessageKind::RequestError => Message::RequestError(RequestError::decode(reader)?),
            MessageKind::Publish => Message::Publish(Publish::decode(draft, reader)?),
            MessageKind::PublishDone => Message::PublishDone(PublishDone::decode(draft, reader)?),
            MessageKind::PublishStateNotify => {
                Message::PublishStateNotify(Parameters::decode(kind, draft, reader)?)
            }
            MessageKind::Fetch => Message::Fetch(Fetch::decode(draft, reader)?),
            MessageKind::FetchOk => Message::FetchOk(FetchOk::decode(draft, reader)?),
            MessageKind::PublishNamespace => {
                Message::PublishNamespace(NamespaceRequest::decode(kind, draft, reader)?)
            }
            MessageKind::SubscribeNamespace => {
                Message::SubscribeNamespace(NamespaceRequest::decode(kind, draft, reader)?)
            }
            MessageKind::SubscribeTracks => {
                Message::SubscribeTracks(NamespaceRequest::decode(kind, draft, reader)?)
            }
            MessageKind::Namespace => Message::Namespace(reader.namespace()?),
            MessageKind::NamespaceDone => Message::NamespaceDone(reader.namespace()?),
            MessageKind::PublishSkipped => Message::PublishSkipped(reader.track()?),
        };
        reader.finish()?;
        Ok(message)
    }
}

/// The track properties that fill a message's tail.
fn track_properties(reader: &mut Reader<'_>) -> Result<Properties, WireError> {
    let properties = Properties(Bytes::copy_from_slice(reader.rest()));
    properties.block().check_track()?;
    Ok(properties)
}

/// Writes the track properties that fill a message's tail.
fn put_properties(properties: &Properties, out: &mut BytesMut) -> Result<(), EncodeError> {
    // A relay passes on what it took in, which was checked; this is for what was put together here.
    properties
        .block()
        .check_track()
        .map_err(|error| EncodeError::Invalid { what: error.what })?;
    out.put_slice(&properties.0);
    Ok(())
}

/// Writes a text for people.
fn put_reason(reason: &str, out: &mut BytesMut) -> Result<(), EncodeError> {
    if reason.len() > crate::limits::MAX_REASON {
        return Err(EncodeError::TooLong {
            what: "a reason phrase",
            limit: crate::limits::MAX_REASON,
        });
    }
    crate::name::put_prefixed(reason.as_bytes(), out);
    Ok(())
}

/// Writes a URI.
fn put_uri(uri: &[u8], out: &mut BytesMut) -> Result<(), EncodeError> {
    if uri.len() > crate::limits::MAX_URI {
        return Err(EncodeError::TooLong {
            what: "a session URI",
            limit: crate::limits::MAX_URI,
        });
    }
    crate::name::put_prefixed(uri, out);
    Ok(())
}

/// Reads a URI.
fn uri(reader: &mut Reader<'_>) -> Result<Bytes, WireError> {
    let uri = reader.prefixed(
        crate::limits::MAX_URI,
        "a session URI is longer than 8192 bytes",
    )?;
    Ok(Bytes::copy_from_slice(uri))
}
