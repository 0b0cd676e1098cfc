//! Which parameter may appear in which message, by draft.
//!
//! REQUEST_OK stands for six answers and REQUEST_UPDATE for five kinds of update; which one it is, only the session
//! knows. Both are held to the union here.

use super::kind as k;
use crate::Draft;
use crate::control::MessageKind as M;

/// Whether `draft` defines the parameter.
pub(super) fn is_known(parameter: u64, draft: Draft) -> bool {
    match parameter {
        k::OBJECT_DELIVERY_TIMEOUT..=k::RENDEZVOUS_TIMEOUT
        | k::SUBGROUP_DELIVERY_TIMEOUT
        | k::EXPIRES..=k::FILL_TIMEOUT
        | k::FORWARD
        | k::SUBSCRIBER_PRIORITY..=k::GROUP_ORDER
        | k::NEW_GROUP_REQUEST
        | k::TRACK_NAMESPACE_PREFIX => true,
        k::FILL_PARAMETERS
        | k::SUBGROUP_FILTER..=k::TRACK_PROPERTY_FILTER
        | k::INCLUDE_PROPERTIES => draft >= Draft::D20,
        _ => false,
    }
}

/// Whether the parameter, known in `draft`, may appear in `message`.
pub(super) fn allows(parameter: u64, message: M, draft: Draft) -> bool {
    match draft {
        Draft::D18 => allows_18(parameter, message),
        Draft::D20 | Draft::D22 => allows_20(parameter, message),
    }
}

/// Whether the parameter may stand inside FILL_PARAMETERS (draft-22 §9.20.15, Table 7).
pub(super) fn allows_in_fill(parameter: u64) -> bool {
    matches!(
        parameter,
        k::FILL_TIMEOUT
            | k::SUBSCRIBER_PRIORITY..=k::GROUP_ORDER
            | k::SUBGROUP_FILTER..=k::OBJECT_PROPERTY_FILTER
    )
}

/// Drafts 20 and 22 (§9.20.2 to §9.20.21). SUBSCRIBE_TRACKS takes what §9.18 lists, and LOCATION_FILTER and
/// FILL_PARAMETERS, which §3.6.2 tells subscribers to put there.
fn allows_20(parameter: u64, message: M) -> bool {
    match parameter {
        k::OBJECT_DELIVERY_TIMEOUT | k::SUBGROUP_DELIVERY_TIMEOUT => {
            matches!(message, M::Subscribe | M::Publish | M::RequestUpdate)
        }
        k::AUTHORIZATION_TOKEN => takes_tokens(message),
        k::RENDEZVOUS_TIMEOUT => message == M::Subscribe,
        k::EXPIRES => matches!(message, M::SubscribeOk | M::Publish | M::RequestOk),
        k::LARGEST_OBJECT => matches!(
            message,
            M::SubscribeOk | M::Publish | M::RequestOk | M::PublishStateNotify
        ),
        k::FILL_TIMEOUT => message == M::Fetch,
        k::FORWARD => matches!(
            message,
            M::Subscribe
                | M::RequestUpdate
                | M::Publish
                | M::SubscribeTracks
                | M::PublishStateNotify
        ),
        k::SUBSCRIBER_PRIORITY => matches!(
            message,
            M::Subscribe | M::Publish | M::Fetch | M::RequestUpdate
        ),
        k::LOCATION_FILTER => matches!(
            message,
            M::Fetch
                | M::Subscribe
                | M::Publish
                | M::RequestUpdate
                | M::PublishStateNotify
                | M::SubscribeTracks
        ),
        k::GROUP_ORDER => matches!(
            message,
            M::Subscribe | M::Publish | M::SubscribeTracks | M::Fetch
        ),
        k::FILL_PARAMETERS => matches!(
            message,
            M::Subscribe | M::RequestUpdate | M::SubscribeTracks
        ),
        k::SUBGROUP_FILTER..=k::OBJECT_PROPERTY_FILTER => matches!(
            message,
            M::Fetch | M::Subscribe | M::SubscribeTracks | M::RequestUpdate
        ),
        k::TRACK_PROPERTY_FILTER => matches!(message, M::SubscribeTracks | M::RequestUpdate),
        k::NEW_GROUP_REQUEST => matches!(message, M::Subscribe | M::RequestUpdate),
        k::TRACK_NAMESPACE_PREFIX => message == M::RequestUpdate,
        k::INCLUDE_PROPERTIES => matches!(
            message,
            M::Subscribe | M::TrackStatus | M::Fetch | M::SubscribeTracks
        ),
        _ => false,
    }
}

/// Draft 18 (§10.2.2 to §10.2.14). There a subscriber states its wishes in PUBLISH_OK, a REQUEST_OK.
fn allows_18(parameter: u64, message: M) -> bool {
    match parameter {
        k::OBJECT_DELIVERY_TIMEOUT
        | k::SUBGROUP_DELIVERY_TIMEOUT
        | k::LOCATION_FILTER
        | k::NEW_GROUP_REQUEST => {
            matches!(message, M::RequestOk | M::Subscribe | M::RequestUpdate)
        }
        k::AUTHORIZATION_TOKEN => takes_tokens(message),
        k::RENDEZVOUS_TIMEOUT => message == M::Subscribe,
        k::EXPIRES | k::LARGEST_OBJECT => {
            matches!(message, M::SubscribeOk | M::Publish | M::RequestOk)
        }
        k::FILL_TIMEOUT => message == M::Fetch,
        k::FORWARD => matches!(
            message,
            M::Subscribe | M::RequestUpdate | M::Publish | M::RequestOk | M::SubscribeTracks
        ),
        k::SUBSCRIBER_PRIORITY => matches!(
            message,
            M::Subscribe | M::Fetch | M::RequestUpdate | M::RequestOk
        ),
        k::GROUP_ORDER => matches!(message, M::Subscribe | M::RequestOk | M::Fetch),
        k::TRACK_NAMESPACE_PREFIX => message == M::RequestUpdate,
        _ => false,
    }
}

fn takes_tokens(message: M) -> bool {
    matches!(
        message,
        M::Publish
            | M::Subscribe
            | M::RequestUpdate
            | M::SubscribeNamespace
            | M::SubscribeTracks
            | M::PublishNamespace
            | M::TrackStatus
            | M::Fetch
    )
}
