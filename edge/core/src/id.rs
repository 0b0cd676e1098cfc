//! Identifiers: one type per kind of thing, so that they cannot be mixed up. A removed thing's id is never valid again.

use slotmap::new_key_type;

new_key_type! {
    /// A MoQT session with a peer.
    pub struct SessionId;
    /// A track the relay knows.
    pub struct TrackId;
    /// A downstream subscription.
    pub struct SubscriptionId;
    /// Our subscription at one publisher of a track.
    pub(crate) struct UpstreamId;
    /// A data stream a peer opened.
    pub struct InStreamId;
    /// A data stream towards a subscriber.
    pub struct OutStreamId;
    /// A request this relay made.
    pub struct OutRequestId;
}

/// A request a peer made: its session and the request ID on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InRequest {
    pub(crate) session: SessionId,
    pub(crate) id: u64,
}
