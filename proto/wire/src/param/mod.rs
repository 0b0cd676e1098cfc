//! Message parameters (draft-22 §9.20): one typed set for every message; the codec checks which may appear where.
//!
//! A range filter that breaks a rule costs its request, not the session: it lands in [`Parameters::invalid_filter`],
//! and the receiver answers with REQUEST_ERROR INVALID_FILTER. Everything else that is wrong is a `WireError`.

mod decode;
mod encode;
mod fill;
mod kind;
mod location_filter;
mod range_filter;
mod scope;
mod token;

use crate::name::{Location, Namespace};
use bytes::Bytes;

/// The parameters of one message. Absent ones are `None`; nothing here applies a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// 0x02, milliseconds; 0 means none.
    pub object_delivery_timeout: Option<u64>,
    /// 0x03, in the order they came.
    pub authorization_tokens: Vec<AuthorizationToken>,
    /// 0x04, milliseconds (SUBSCRIBE).
    pub rendezvous_timeout: Option<u64>,
    /// 0x06, milliseconds; 0 means none.
    pub subgroup_delivery_timeout: Option<u64>,
    /// 0x08, milliseconds; 0 means it does not expire.
    pub expires: Option<u64>,
    /// 0x09.
    pub largest_object: Option<Location>,
    /// 0x0A, milliseconds.
    pub fill_timeout: Option<u64>,
    /// 0x10.
    pub forward: Option<bool>,
    /// 0x20; 0 is the most urgent.
    pub subscriber_priority: Option<u8>,
    /// 0x21.
    pub location_filter: Option<LocationFilter>,
    /// 0x22.
    pub group_order: Option<GroupOrder>,
    /// 0x23 (20 and 22).
    pub fill: Option<Box<FillParameters>>,
    /// 0x25 to 0x29, as they came (20 and 22).
    pub range_filters: Vec<RangeFilter>,
    /// 0x32.
    pub new_group_request: Option<u64>,
    /// 0x34 (REQUEST_UPDATE).
    pub track_namespace_prefix: Option<Namespace>,
    /// 0x35 (20 and 22).
    pub include_properties: Option<bool>,
    /// Set by the decoder when a range filter breaks a rule: the request is refused with INVALID_FILTER. The filters
    /// that are in order are in `range_filters` all the same. Cannot be encoded.
    pub invalid_filter: Option<InvalidFilter>,
}

/// Why a request is refused with INVALID_FILTER (draft-22 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} (parameter {parameter:#x})")]
pub struct InvalidFilter {
    /// The parameter's type, 0x25 to 0x29.
    pub parameter: u64,
    /// The rule it breaks.
    pub what: &'static str,
}

/// Which locations a subscription or fetch selects, in the terms of draft 22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationFilter {
    /// Explicitly no filter; in REQUEST_UPDATE it removes the one there was.
    Unfiltered,
    /// From the object after the largest.
    NextObject,
    /// From `{largest.group + 1 - groups_back, 0}`; 0 is the next group.
    Relative {
        /// Groups before the next one.
        groups_back: u64,
    },
    /// An inclusive absolute range.
    Absolute {
        /// First location.
        start: Location,
        /// Last group, absolute; open-ended when absent.
        end_group: Option<u64>,
        /// Last object of the last group; the whole group when absent.
        end_object: Option<u64>,
    },
}

/// What a FETCH asks for; drafts 20 and 22 only have `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchFilter {
    /// The location filter of the message's parameters. (Draft 18's standalone range is folded into it.)
    Range,
    /// Draft 18: from `groups_back` groups before the joined subscription's largest group.
    RelativeJoining {
        /// The SUBSCRIBE that is joined.
        request_id: u64,
        /// Groups before the current one.
        groups_back: u64,
    },
    /// Draft 18: from an absolute group up to the joined subscription's largest.
    AbsoluteJoining {
        /// The SUBSCRIBE that is joined.
        request_id: u64,
        /// First group.
        start_group: u64,
    },
}

/// Order in which groups are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupOrder {
    /// Lower group IDs first (1).
    Ascending,
    /// Higher group IDs first (2).
    Descending,
}

impl GroupOrder {
    /// 1 or 2.
    pub const fn code(self) -> u8 {
        match self {
            GroupOrder::Ascending => 1,
            GroupOrder::Descending => 2,
        }
    }

    /// The order that `code` stands for.
    pub const fn from_code(code: u64) -> Option<GroupOrder> {
        match code {
            1 => Some(GroupOrder::Ascending),
            2 => Some(GroupOrder::Descending),
            _ => None,
        }
    }
}

/// FILL_PARAMETERS: what differs from the subscription for its fill stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FillParameters {
    /// Milliseconds.
    pub fill_timeout: Option<u64>,
    /// 0 is the most urgent.
    pub subscriber_priority: Option<u8>,
    /// The fill range, by the rules of a fetch.
    pub location_filter: Option<LocationFilter>,
    /// Order of the groups.
    pub group_order: Option<GroupOrder>,
    /// 0x25 to 0x28.
    pub range_filters: Vec<RangeFilter>,
}

/// A range filter (draft-22 §5.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeFilter {
    /// What it looks at.
    pub subject: FilterSubject,
    /// Filters of one set are ANDed, sets are ORed.
    pub set: u8,
    /// Inclusive ranges, ascending; an absent end is open. Empty removes the filter (REQUEST_UPDATE).
    pub ranges: Vec<(u64, Option<u64>)>,
}

/// What a range filter compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterSubject {
    /// 0x25.
    Subgroup,
    /// 0x26.
    ObjectId,
    /// 0x27.
    Priority,
    /// 0x28, with the property's type (0 if the filter is removed: the wire then names none).
    ObjectProperty(u64),
    /// 0x29, with the property's type (0 if the filter is removed: the wire then names none).
    TrackProperty(u64),
}

/// AUTHORIZATION_TOKEN (draft-22 §9.20.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationToken {
    /// 0x0: forget an alias.
    Delete {
        /// The alias.
        alias: u64,
    },
    /// 0x1: remember a token under an alias, and use it.
    Register {
        /// The alias.
        alias: u64,
        /// Token type.
        kind: u64,
        /// Token bytes.
        value: Bytes,
    },
    /// 0x2: use a remembered token.
    UseAlias {
        /// The alias.
        alias: u64,
    },
    /// 0x3: use this token once.
    UseValue {
        /// Token type.
        kind: u64,
        /// Token bytes.
        value: Bytes,
    },
}
