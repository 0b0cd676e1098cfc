//! Errors and the codes the protocol gives them (draft-22 §15.10).

/// Bytes that are not MoQT. The session closes with [`WireError::code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({code:?})")]
pub struct WireError {
    /// What the session is closed with.
    pub code: TerminationCode,
    /// What was wrong, for the log and the close reason.
    pub what: &'static str,
}

impl WireError {
    /// PROTOCOL_VIOLATION.
    pub const fn violation(what: &'static str) -> WireError {
        WireError {
            code: TerminationCode::PROTOCOL_VIOLATION,
            what,
        }
    }

    /// KEY_VALUE_FORMATTING_ERROR: a known type with a value of another shape.
    pub(crate) const fn formatting(what: &'static str) -> WireError {
        WireError {
            code: TerminationCode::KEY_VALUE_FORMATTING_ERROR,
            what,
        }
    }

    /// INTERNAL_ERROR: legal, but over a limit of ours that the draft does not set.
    pub(crate) const fn over_limit(what: &'static str) -> WireError {
        WireError {
            code: TerminationCode::INTERNAL_ERROR,
            what,
        }
    }
}

/// A message that cannot be said in the draft at hand, or is over a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The draft has no such message, parameter or filter.
    #[error("{what} cannot be said in {draft:?}")]
    NotInDraft {
        /// The thing.
        what: &'static str,
        /// The draft.
        draft: crate::Draft,
    },
    /// Longer than the protocol allows.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// The thing.
        what: &'static str,
        /// Bytes.
        limit: usize,
    },
    /// The draft knows the parameter, but not in this message.
    #[error("{what} may not appear in {message}")]
    OutOfScope {
        /// The parameter.
        what: &'static str,
        /// The message.
        message: &'static str,
    },
    /// A value that no bytes stand for, such as a range that ends before it starts.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
}

/// Declares a code type: any number is allowed (peers grease), the known ones have names.
macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($code:ident = $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub u64);

        impl $name {
            $(
                #[doc = concat!("`", stringify!($value), "`")]
                pub const $code: $name = $name($value);
            )+

            /// The code's name in the draft, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($code)),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }
    };
}

codes! {
    /// Why a session is closed (draft-22 §6.7).
    TerminationCode {
        NO_ERROR = 0x0,
        INTERNAL_ERROR = 0x1,
        UNAUTHORIZED = 0x2,
        PROTOCOL_VIOLATION = 0x3,
        INVALID_REQUEST_ID = 0x4,
        DUPLICATE_TRACK_ALIAS = 0x5,
        KEY_VALUE_FORMATTING_ERROR = 0x6,
        INVALID_PATH = 0x8,
        MALFORMED_PATH = 0x9,
        GOAWAY_TIMEOUT = 0x10,
        CONTROL_MESSAGE_TIMEOUT = 0x11,
        DATA_STREAM_TIMEOUT = 0x12,
        AUTH_TOKEN_CACHE_OVERFLOW = 0x13,
        DUPLICATE_AUTH_TOKEN_ALIAS = 0x14,
        VERSION_NEGOTIATION_FAILED = 0x15,
        MALFORMED_AUTH_TOKEN = 0x16,
        UNKNOWN_AUTH_TOKEN_ALIAS = 0x17,
        EXPIRED_AUTH_TOKEN = 0x18,
        INVALID_AUTHORITY = 0x19,
        MALFORMED_AUTHORITY = 0x1A,
        TOO_MANY_REQUEST_UPDATES = 0x1B,
    }
}

codes! {
    /// Why a request failed. DUPLICATE_SUBSCRIPTION and INVALID_JOINING_REQUEST_ID exist in draft 18 only.
    RequestErrorCode {
        INTERNAL_ERROR = 0x0,
        UNAUTHORIZED = 0x1,
        TIMEOUT = 0x2,
        NOT_SUPPORTED = 0x3,
        MALFORMED_AUTH_TOKEN = 0x4,
        EXPIRED_AUTH_TOKEN = 0x5,
        GOING_AWAY = 0x6,
        EXCESSIVE_LOAD = 0x9,
        DOES_NOT_EXIST = 0x10,
        INVALID_RANGE = 0x11,
        MALFORMED_TRACK = 0x12,
        DUPLICATE_SUBSCRIPTION = 0x19,
        UNINTERESTED = 0x20,
        PREFIX_OVERLAP = 0x30,
        NAMESPACE_TOO_LARGE = 0x31,
        INVALID_JOINING_REQUEST_ID = 0x32,
        UNSUPPORTED_EXTENSION = 0x33,
        REDIRECT = 0x34,
        CONFLICTING_FILTERS = 0x35,
        INVALID_FILTER = 0x36,
    }
}

codes! {
    /// Why a subscription ended.
    PublishDoneCode {
        INTERNAL_ERROR = 0x0,
        UNAUTHORIZED = 0x1,
        TRACK_ENDED = 0x2,
        SUBSCRIPTION_ENDED = 0x3,
        GOING_AWAY = 0x4,
        TOO_FAR_BEHIND = 0x5,
        EXPIRED = 0x6,
        UPDATE_FAILED = 0x8,
        EXCESSIVE_LOAD = 0x9,
        MALFORMED_TRACK = 0x12,
    }
}

codes! {
    /// Why a stream was reset or stopped.
    ResetCode {
        INTERNAL_ERROR = 0x0,
        CANCELLED = 0x1,
        DELIVERY_TIMEOUT = 0x2,
        SESSION_CLOSED = 0x3,
        GOING_AWAY = 0x4,
        TOO_FAR_BEHIND = 0x5,
        UNKNOWN_OBJECT_STATUS = 0x6,
        EXPIRED_AUTH_TOKEN = 0x7,
        EXCESSIVE_LOAD = 0x9,
        MALFORMED_TRACK = 0x12,
    }
}
