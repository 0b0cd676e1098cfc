//! PUBLISH_NAMESPACE, SUBSCRIBE_NAMESPACE and SUBSCRIBE_TRACKS (draft-22 §9.14, §9.17, §9.18).

use super::MessageKind;
use crate::name::Namespace;
use crate::param::Parameters;
use crate::reader::Reader;
use crate::{Draft, EncodeError, WireError, varint};
use bytes::BytesMut;

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

impl NamespaceRequest {
    pub(super) fn encode(
        &self,
        kind: MessageKind,
        draft: Draft,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        varint::encode(self.request_id, out);
        self.namespace.encode(out)?;
        self.params.encode(kind, draft, out)
    }

    pub(super) fn decode(
        kind: MessageKind,
        draft: Draft,
        reader: &mut Reader<'_>,
    ) -> Result<NamespaceRequest, WireError> {
        Ok(NamespaceRequest {
            request_id: reader.varint()?,
            namespace: reader.namespace()?,
            params: Parameters::decode(kind, draft, reader)?,
        })
    }
}
