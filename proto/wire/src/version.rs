//! The drafts spoken here and the names they are negotiated by.

/// A MoQT draft. Draft 21 has the bytes of 20 and is not offered by itself.
///
/// Ordered by age, so that `draft >= Draft::D20` reads as it sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Draft {
    /// draft-ietf-moq-transport-18
    D18,
    /// draft-ietf-moq-transport-20
    D20,
    /// draft-ietf-moq-transport-22
    D22,
}

impl Draft {
    /// Every draft in the order it is offered.
    pub const PREFERRED: [Draft; 3] = [Draft::D22, Draft::D20, Draft::D18];

    /// The ALPN and WebTransport protocol string, as in `moqt-22`.
    pub const fn protocol(self) -> &'static str {
        match self {
            Draft::D18 => "moqt-18",
            Draft::D20 => "moqt-20",
            Draft::D22 => "moqt-22",
        }
    }

    /// The draft that `protocol` names, if it is one of ours.
    pub fn from_protocol(protocol: &[u8]) -> Option<Draft> {
        Draft::PREFERRED
            .into_iter()
            .find(|draft| draft.protocol().as_bytes() == protocol)
    }
}
