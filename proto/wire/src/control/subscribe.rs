//! SUBSCRIBE, TRACK_STATUS and SUBSCRIBE_OK (draft-22 §9.6, §9.7, §9.13).

use super::{MessageKind, put_properties, track_properties};
use crate::name::FullTrackName;
use crate::param::Parameters;
use crate::property::Properties;
use crate::reader::Reader;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::BytesMut;

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

impl Subscribe {
    pub(super) fn encode(
        &self,
        kind: MessageKind,
        draft: Draft,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        varint::encode(self.request_id, out);
        self.track.encode(out)?;
        self.params.encode(kind, draft, out)
    }

    pub(super) fn decode(
        kind: MessageKind,
        draft: Draft,
        reader: &mut Reader<'_>,
    ) -> Result<Subscribe, WireError> {
        Ok(Subscribe {
            request_id: reader.varint()?,
            track: reader.track()?,
            params: Parameters::decode(kind, draft, reader)?,
        })
    }
}

impl SubscribeOk {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.track_alias, out);
        self.params.encode(MessageKind::SubscribeOk, draft, out)?;
        put_properties(&self.properties, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<SubscribeOk, WireError> {
        Ok(SubscribeOk {
            track_alias: reader.varint()?,
            params: Parameters::decode(MessageKind::SubscribeOk, draft, reader)?,
            properties: track_properties(reader)?,
        })
    }
}
