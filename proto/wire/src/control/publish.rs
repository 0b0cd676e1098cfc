//! PUBLISH and PUBLISH_DONE (draft-22 §9.8, §9.9).

use super::{MessageKind, put_properties, put_reason, track_properties};
use crate::error::PublishDoneCode;
use crate::name::FullTrackName;
use crate::param::Parameters;
use crate::property::Properties;
use crate::reader::Reader;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::BytesMut;

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
    /// Data streams opened for the subscription, or [`PublishDone::UNKNOWN_STREAM_COUNT`].
    pub stream_count: u64,
    /// For people; at most 1024 bytes.
    pub reason: String,
}

/// What draft 18 says for a count that is not known.
const UNKNOWN_STREAM_COUNT_18: u64 = (1 << 62) - 1;

impl PublishDone {
    /// The publisher cannot tell how many. Draft 18's 2^62 - 1 is folded into it.
    pub const UNKNOWN_STREAM_COUNT: u64 = u64::MAX;

    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.code.0, out);
        let count = match (draft, self.stream_count) {
            (Draft::D18, PublishDone::UNKNOWN_STREAM_COUNT) => UNKNOWN_STREAM_COUNT_18,
            (_, count) => count,
        };
        varint::encode(count, out);
        put_reason(&self.reason, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<PublishDone, WireError> {
        Ok(PublishDone {
            code: PublishDoneCode(reader.varint()?),
            stream_count: match (draft, reader.varint()?) {
                (Draft::D18, UNKNOWN_STREAM_COUNT_18) => PublishDone::UNKNOWN_STREAM_COUNT,
                (_, count) => count,
            },
            reason: reader.reason()?,
        })
    }
}

impl Publish {
    pub(super) fn encode(&self, draft: Draft, out: &mut BytesMut) -> Result<(), EncodeError> {
        varint::encode(self.request_id, out);
        self.track.encode(out)?;
        varint::encode(self.track_alias, out);
        self.params.encode(MessageKind::Publish, draft, out)?;
        put_properties(&self.properties, out)
    }

    pub(super) fn decode(draft: Draft, reader: &mut Reader<'_>) -> Result<Publish, WireError> {
        Ok(Publish {
            request_id: reader.varint()?,
            track: reader.track()?,
            track_alias: reader.varint()?,
            params: Parameters::decode(MessageKind::Publish, draft, reader)?,
            properties: track_properties(reader)?,
        })
    }
}
