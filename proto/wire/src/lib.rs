//! MoQT bytes to messages and objects and back, for drafts 22, 20 and 18.
//!
//! No I/O and no clock lives here: callers feed bytes and take messages or events, or the reverse. The message model is
//! the draft-22 one; older drafts are folded into it by the control codec. The data plane is the same bytes in all three.

pub mod control;
pub mod data;
pub mod error;
mod kvp;
pub mod limits;
pub mod name;
pub mod param;
pub mod property;
mod reader;
pub mod setup;
pub mod varint;
mod version;

pub use control::{ControlDecoder, Message};
pub use error::{EncodeError, RequestErrorCode, ResetCode, TerminationCode, WireError};
pub use name::{FullTrackName, Location, Namespace};
pub use param::{FetchFilter, GroupOrder, LocationFilter, Parameters};
pub use version::Draft;
