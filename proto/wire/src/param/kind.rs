//! Parameter types (draft-22 §16.7) and their names for errors.

pub(super) const OBJECT_DELIVERY_TIMEOUT: u64 = 0x02;
pub(super) const AUTHORIZATION_TOKEN: u64 = 0x03;
pub(super) const RENDEZVOUS_TIMEOUT: u64 = 0x04;
pub(super) const SUBGROUP_DELIVERY_TIMEOUT: u64 = 0x06;
pub(super) const EXPIRES: u64 = 0x08;
pub(super) const LARGEST_OBJECT: u64 = 0x09;
pub(super) const FILL_TIMEOUT: u64 = 0x0A;
pub(super) const FORWARD: u64 = 0x10;
pub(super) const SUBSCRIBER_PRIORITY: u64 = 0x20;
pub(super) const LOCATION_FILTER: u64 = 0x21;
pub(super) const GROUP_ORDER: u64 = 0x22;
pub(super) const FILL_PARAMETERS: u64 = 0x23;
pub(super) const SUBGROUP_FILTER: u64 = 0x25;
pub(super) const OBJECTID_FILTER: u64 = 0x26;
pub(super) const PRIORITY_FILTER: u64 = 0x27;
pub(super) const OBJECT_PROPERTY_FILTER: u64 = 0x28;
pub(super) const TRACK_PROPERTY_FILTER: u64 = 0x29;
pub(super) const NEW_GROUP_REQUEST: u64 = 0x32;
pub(super) const TRACK_NAMESPACE_PREFIX: u64 = 0x34;
pub(super) const INCLUDE_PROPERTIES: u64 = 0x35;

/// The parameter's name in draft 22.
pub(super) const fn name(kind: u64) -> &'static str {
    match kind {
        OBJECT_DELIVERY_TIMEOUT => "OBJECT_DELIVERY_TIMEOUT",
        AUTHORIZATION_TOKEN => "AUTHORIZATION_TOKEN",
        RENDEZVOUS_TIMEOUT => "RENDEZVOUS_TIMEOUT",
        SUBGROUP_DELIVERY_TIMEOUT => "SUBGROUP_DELIVERY_TIMEOUT",
        EXPIRES => "EXPIRES",
        LARGEST_OBJECT => "LARGEST_OBJECT",
        FILL_TIMEOUT => "FILL_TIMEOUT",
        FORWARD => "FORWARD",
        SUBSCRIBER_PRIORITY => "SUBSCRIBER_PRIORITY",
        LOCATION_FILTER => "LOCATION_FILTER",
        GROUP_ORDER => "GROUP_ORDER",
        FILL_PARAMETERS => "FILL_PARAMETERS",
        SUBGROUP_FILTER => "SUBGROUP_FILTER",
        OBJECTID_FILTER => "OBJECTID_FILTER",
        PRIORITY_FILTER => "PRIORITY_FILTER",
        OBJECT_PROPERTY_FILTER => "OBJECT_PROPERTY_FILTER",
        TRACK_PROPERTY_FILTER => "TRACK_PROPERTY_FILTER",
        NEW_GROUP_REQUEST => "NEW_GROUP_REQUEST",
        TRACK_NAMESPACE_PREFIX => "TRACK_NAMESPACE_PREFIX",
        INCLUDE_PROPERTIES => "INCLUDE_PROPERTIES",
        _ => "a parameter",
    }
}

/// Whether a message may carry it more than once.
pub(super) const fn repeats(kind: u64) -> bool {
    matches!(
        kind,
        AUTHORIZATION_TOKEN | SUBGROUP_FILTER..=TRACK_PROPERTY_FILTER
    )
}
