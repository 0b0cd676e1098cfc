//! What a unidirectional stream is (draft-22 §6.4).

use super::{fetch, subgroup};
use crate::control::MessageKind;
use crate::{WireError, varint};

/// Type of a padding stream: read and discarded.
pub const PADDING_STREAM: u64 = 0x132B_3E28;

/// The first varint of a unidirectional stream tells what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Control stream (0x2F00). The type belongs to the SETUP message and has not been consumed.
    Control,
    /// A subgroup; the header follows. The type has not been consumed.
    Subgroup,
    /// Fetch or fill stream (0x05). The type has not been consumed.
    Fetch,
    /// Padding (0x132B3E28): read and discard.
    Padding,
}

impl StreamKind {
    /// Looks at a stream's first bytes; `None` until there are enough (9 always are).
    ///
    /// # Errors
    ///
    /// An unknown type: the session is closed.
    #[inline]
    pub fn peek(bytes: &[u8]) -> Result<Option<StreamKind>, WireError> {
        let Some((kind, _)) = varint::peek(bytes) else {
            return Ok(None);
        };
        if subgroup::is_type(kind) {
            return Ok(Some(StreamKind::Subgroup));
        }
        match kind {
            fetch::TYPE => Ok(Some(StreamKind::Fetch)),
            PADDING_STREAM => Ok(Some(StreamKind::Padding)),
            _ if kind == MessageKind::Setup.id() => Ok(Some(StreamKind::Control)),
            _ => Err(WireError::violation("an unknown stream type")),
        }
    }
}
