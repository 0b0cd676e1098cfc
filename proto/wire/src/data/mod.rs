//! The data plane: subgroup streams, datagrams, fetch and fill streams (draft-22 §10). The same bytes in all drafts, but
//! for one mark on fetch streams that 18 lacks.
//!
//! Decoders never copy payload: what comes out are slices of the chunks that went in. An object's header comes out as
//! soon as its last byte has arrived, with whatever payload is there.

mod chunks;
mod datagram;
mod fetch;
mod fetch_decoder;
mod fetch_encoder;
mod object;
mod stream;
mod subgroup;
mod subgroup_decoder;

pub use datagram::{Datagram, ObjectDatagram, PADDING_DATAGRAM};
pub use fetch::{FetchHeader, FetchObject, RangeGap};
pub use fetch_decoder::{FetchDecoder, FetchEvent};
pub use fetch_encoder::FetchEncoder;
pub use object::{ObjectHeader, ObjectStatus};
pub use stream::{PADDING_STREAM, StreamKind};
pub use subgroup::{SubgroupHeader, SubgroupId};
pub use subgroup_decoder::{SubgroupDecoder, SubgroupEvent};
