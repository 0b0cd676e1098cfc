//! Limits on what a peer may make us hold or say, with their reasons. Section numbers are those of draft 20.

/// Bytes of a control message's body: its length field has 16 bits (§10).
pub const MAX_MESSAGE_BODY: usize = 0xFFFF;

/// Fields of a namespace or prefix (§2.4.1); more is a violation.
pub const MAX_NAMESPACE_FIELDS: usize = 32;

/// Bytes of a namespace and name together, lengths not counted (§2.4.1); more is a violation.
pub const MAX_FULL_TRACK_NAME: usize = 4096;

/// Bytes of a reason phrase (§1.4.4); more is a violation.
pub const MAX_REASON: usize = 1024;

/// Bytes of GOAWAY's new session URI (§10.4); more is a violation. A redirect's URI is held to the same: the draft
/// bounds it only by the message.
pub const MAX_URI: usize = 8192;

/// Bytes of one odd-typed key-value pair's value (§1.4.3); more is a violation.
pub const MAX_KVP_VALUE: usize = 0xFFFF;

/// Bytes of one object's properties. The draft sets none; this takes one property of the longest legal value and a
/// kilobyte of others, and bounds what a head cut in two can make a decoder keep.
pub const MAX_OBJECT_PROPERTIES: usize = MAX_KVP_VALUE + 1024;

/// Authorization tokens in one message. The draft sets none; a sender has a token per right it claims, and each costs
/// us far more memory than its three bytes on the wire.
pub const MAX_TOKENS: usize = 64;

/// Ranges over all range filters of one message that are kept. Above what any session of ours announces in
/// MAX_FILTER_RANGES; a message with more is answered with INVALID_FILTER.
pub const MAX_RANGES: usize = 1024;
