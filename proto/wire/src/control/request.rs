//! REQUEST_UPDATE, REQUEST_OK and REQUEST_ERROR (draft-22 §9.3 to §9.5).

use super::{MessageKind, put_properties, put_reason, put_uri, track_properties, uri};
use crate::name::FullTrackName;
use crate::param::Parameters;
use crate::property::Properties;
use crate::reader::Reader;
use crate::{Draft, EncodeError, RequestErrorCode, WireError, varint};
use bytes::{Bytes, BytesMut};

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
    /// Track properties, only in TRACK_STATUS_OK (the session checks, which knows what is answered).
    pub properties: Properties,
}

/// REQUEST_ERROR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// Why.
    pub code: RequestErrorCode,
    /// As on the wire: 0 = do not retry, otherwise milliseconds + 1 (in all three drafts).
    pub retry_interval: u64,
    /// For people; at most 1024 bytes.
    pub reason: String,
    /// Only with REDIRECT.
    pub redirect: Option<Redirect>,
}

/// Where to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Empty: this session's. At most 8192 bytes.
    pub uri: Bytes,
    /// The track to ask for. In draft 18 an empty namespace and name mean the one that was asked for.
    pub track: FullTrackName,
}

impl RequestUpdate {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, out);
        self.params.encode(MessageKind::RequestUpdate, draft, out)
    }

    pub(super) fn decode(
        draft: Draft,
        reader: &mut Reader<'_>,
    ) -> Result<RequestUpdate, WireError> {
        Ok(RequestUpdate {
            request_id: reader.varint()?,
            params: Parameters::decode(MessageKind::RequestUpdate, draft, reader)?,
        })
    }
}

impl RequestOk {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.params.encode(MessageKind::RequestOk, draft, out)?;
        put_properties(&self.properties, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<RequestOk, WireError> {
        Ok(RequestOk {
            params: Parameters::decode(MessageKind::RequestOk, draft, reader)?,
            properties: track_properties(reader)?,
        })
    }
}

impl RequestError {
    pub(super) fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        if self.redirect.is_some() != (self.code == RequestErrorCode::REDIRECT) {
            return Err(EncodeError::Invalid {
                what: "a redirect goes with the code REDIRECT and with no other",
            });
        }
        varint::encode(self.code.0, out);
        varint::encode(self.retry_interval, out);
        put_reason(&self.reason, out)?;
        if let Some(redirect) = &self.redirect {
            put_uri(&redirect.uri, out)?;
            redirect.track.encode(out)?;
        }
        Ok(())
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<RequestError, WireError> {
        let code = RequestErrorCode(reader.varint()?);
        Ok(RequestError {
            code,
            retry_interval: reader.varint()?,
            reason: reader.reason()?,
            redirect: match code {
                RequestErrorCode::REDIRECT => Some(Redirect {
                    uri: uri(reader)?,
                    track: reader.track()?,
                }),
                _ => None,
            },
        })
    }
}
