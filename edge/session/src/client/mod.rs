//! The native client: dials an edge, publishes tracks over one session after another, watches tracks over one session.
//! What the commands `publish`, `watch` and `probe` stand on.
//!
//! What is in the objects is not known here.

mod dial;
mod inlet;
mod outlet;

pub use dial::{DialError, Dialed, Dialer, Line};
pub use inlet::{Arrival, Event, Inlet};
pub use outlet::{AnnounceError, Announced, Ended, Offer, Outlet, Sent, announce};

use bytes::Bytes;
use meridian_wire::Location;
use meridian_wire::property::Properties;

/// One whole object of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Group ID.
    pub group: u64,
    /// Object ID.
    pub object: u64,
    /// Object properties.
    pub properties: Properties,
    /// Payload.
    pub payload: Bytes,
}

impl Object {
    /// Where it is in its track.
    pub fn location(&self) -> Location {
        Location::new(self.group, self.object)
    }
}
