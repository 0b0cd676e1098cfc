//! Messages and streams at random, within what each draft can say.

#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::{Bytes, BytesMut};
use meridian_wire::control::*;
use meridian_wire::data::*;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::*;
use meridian_wire::property::Properties;
use meridian_wire::setup::SetupOptions;
use meridian_wire::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use smallvec::SmallVec;

/// Numbers of every length, small ones often.
pub(crate) fn number() -> BoxedStrategy<u64> {
    prop_oneof![
        4 => 0u64..4,
        4 => 0u64..300,
        2 => (0u32..64).prop_map(|bits| (1u64 << bits) - 1),
        1 => any::<u64>(),
        1 => Just(u64::MAX),
    ]
    .boxed()
}

pub(crate) fn blob(max: usize) -> BoxedStrategy<Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from).boxed()
}

pub(crate) fn draft() -> impl Strategy<Value = Draft> {
    proptest::sample::select(Draft::PREFERRED.to_vec())
}

pub(crate) fn namespace(least: usize) -> BoxedStrategy<Namespace> {
    let field = vec(any::<u8>(), 1..6).prop_map(Bytes::from);
    let few = vec(field, least..5).prop_map(|fields| Namespace(SmallVec::from_vec(fields)));
    let many = Just(Namespace(SmallVec::from_elem(
        Bytes::from(vec![b'x'; 100]),
        32,
    )));
    prop_oneof![19 => few, 1 => many].boxed()
}

/// With at least one field: the oracle insists on it, though the text allows none (§2.4.1).
pub(crate) fn track() -> BoxedStrategy<FullTrackName> {
    (namespace(1), blob(8))
        .prop_map(|(namespace, name)| FullTrackName { namespace, name })
        .boxed()
}

pub(crate) fn location() -> BoxedStrategy<Location> {
    (number(), number())
        .prop_map(|(group, object)| Location { group, object })
        .boxed()
}

pub(crate) fn token() -> BoxedStrategy<AuthorizationToken> {
    prop_oneof![
        number().prop_map(|alias| AuthorizationToken::Delete { alias }),
        number().prop_map(|alias| AuthorizationToken::UseAlias { alias }),
        (number(), number(), blob(9)).prop_map(|(alias, kind, value)| {
            AuthorizationToken::Register { alias, kind, value }
        }),
        (number(), blob(9)).prop_map(|(kind, value)| AuthorizationToken::UseValue { kind, value }),
    ]
    .boxed()
}

pub(crate) fn group_order() -> impl Strategy<Value = GroupOrder> {
    prop_oneof![Just(GroupOrder::Ascending), Just(GroupOrder::Descending)]
}

/// A filter in the form in which `draft` gives it back.
pub(crate) fn location_filter(draft: Draft) -> BoxedStrategy<LocationFilter> {
    let absolute = |ends: bool| {
        let end = (number(), of(number()));
        (location(), of(end)).prop_map(move |(start, end)| LocationFilter::Absolute {
            start,
            end_group: end.map(|(delta, _)| start.group.saturating_add(delta)),
            end_object: end.and_then(|(_, object)| object.filter(|_| ends)),
        })
    };
    let whole = LocationFilter::Absolute {
        start: Location::default(),
        end_group: None,
        end_object: None,
    };
    let next = Just(LocationFilter::NextObject);
    let none = Just(LocationFilter::Unfiltered);
    let back = number().prop_map(|groups_back| LocationFilter::Relative { groups_back });
    match draft {
        Draft::D22 => prop_oneof![next, none, back, absolute(true)].boxed(),
        Draft::D20 => prop_oneof![next, none, back, absolute(true)]
            .prop_filter("said as no filter", move |filter| *filter != whole)
            .boxed(),
        Draft::D18 => {
            let group = Just(LocationFilter::Relative { groups_back: 0 });
            prop_oneof![next, group, absolute(false)].boxed()
        }
    }
}

/// Ascending ranges from steps; the last may be open.
fn ranges(max: u64) -> impl Strategy<Value = Vec<(u64, Option<u64>)>> {
    let step = (0..max / 8, 0..max / 8);
    (vec(step, 1..4), any::<bool>()).prop_map(|(steps, open)| {
        let mut at = 0;
        let mut ranges = Vec::new();
        for (gap, len) in steps {
            ranges.push((at + gap, Some(at + gap + len)));
            at += gap + len;
        }
        if open {
            ranges.last_mut().unwrap().1 = None;
        }
        ranges
    })
}

/// Filters of different subjects or sets, in order of their parameters.
pub(crate) fn range_filters(track_properties: bool) -> BoxedStrategy<Vec<RangeFilter>> {
    let subject = prop_oneof![
        Just(FilterSubject::Subgroup),
        Just(FilterSubject::ObjectId),
        Just(FilterSubject::Priority),
        (0u64..99).prop_map(|n| FilterSubject::ObjectProperty(2 * n)),
        (0u64..99).prop_map(move |n| match track_properties {
            true => FilterSubject::TrackProperty(2 * n),
            false => FilterSubject::ObjectProperty(2 * n),
        }),
    ];
    let filter = subject.prop_flat_map(|subject| {
        let max = if subject == FilterSubject::Priority {
            255
        } else {
            u64::MAX
        };
        (any::<u8>(), ranges(max)).prop_map(move |(set, ranges)| RangeFilter {
            subject,
            set,
            ranges,
        })
    });
    vec(filter, 0..4)
        .prop_map(|mut filters| {
            filters.sort_by_key(|filter| (rank(filter.subject), filter.set));
            filters.dedup_by_key(|filter| (filter.subject, filter.set));
            filters
        })
        .boxed()
}

fn rank(subject: FilterSubject) -> (u8, u64) {
    match subject {
        FilterSubject::Subgroup => (0, 0),
        FilterSubject::ObjectId => (1, 0),
        FilterSubject::Priority => (2, 0),
        FilterSubject::ObjectProperty(property) => (3, property),
        FilterSubject::TrackProperty(property) => (4, property),
    }
}

fn fill(draft: Draft) -> BoxedStrategy<Box<FillParameters>> {
    (
        of(number()),
        of(any::<u8>()),
        of(location_filter(draft)),
        of(group_order()),
        range_filters(false),
    )
        .prop_map(
            |(fill_timeout, subscriber_priority, location_filter, group_order, filters)| {
                Box::new(FillParameters {
                    fill_timeout,
                    subscriber_priority,
                    location_filter,
                    group_order,
                    range_filters: filters,
                })
            },
        )
        .boxed()
}

/// Every parameter, in scope or not: see [`sayable`].
pub(crate) fn parameters(draft: Draft) -> BoxedStrategy<Parameters> {
    let times = (
        of(number()),
        of(number()),
        of(number()),
        of(number()),
        of(number()),
    );
    let flags = (of(any::<bool>()), of(any::<u8>()), of(any::<bool>()));
    let wants = (
        of(location_filter(draft)),
        of(group_order()),
        of(fill(draft)),
    );
    let rest = (
        of(location()),
        of(number()),
        of(namespace(0)),
        vec(token(), 0..3),
    );
    (times, flags, wants, rest, range_filters(true))
        .prop_map(|(times, flags, wants, rest, range_filters)| Parameters {
            object_delivery_timeout: times.0,
            rendezvous_timeout: times.1,
            subgroup_delivery_timeout: times.2,
            expires: times.3,
            fill_timeout: times.4,
            forward: flags.0,
            subscriber_priority: flags.1,
            include_properties: flags.2,
            location_filter: wants.0,
            group_order: wants.1,
            fill: wants.2,
            largest_object: rest.0,
            new_group_request: rest.1,
            track_namespace_prefix: rest.2,
            authorization_tokens: rest.3,
            range_filters,
            invalid_filter: None,
        })
        .boxed()
}

/// What of `params` may stand in the message that `build` makes of them. What may stand where is tested elsewhere, type
/// by type against the oracle.
fn sayable(
    draft: Draft,
    mut params: Parameters,
    build: impl Fn(Parameters) -> Message,
) -> Parameters {
    let says = |params: Parameters| build(params).encode(draft, &mut BytesMut::new()).is_ok();
    macro_rules! keep {
        ($($field:ident),+) => {$(
            let only = Parameters { $field: params.$field.clone(), ..Parameters::default() };
            if !says(only) {
                params.$field = Default::default();
            }
        )+};
    }
    keep!(
        object_delivery_timeout,
        rendezvous_timeout,
        subgroup_delivery_timeout,
        expires,
        fill_timeout,
        forward,
        subscriber_priority,
        include_properties,
        location_filter,
        group_order,
        fill,
        largest_object,
        new_group_request,
        track_namespace_prefix,
        authorization_tokens
    );
    params.range_filters.retain(|filter| {
        says(Parameters {
            range_filters: vec![filter.clone()],
            ..Parameters::default()
        })
    });
    params
}

/// Track properties in range.
pub(crate) fn properties() -> BoxedStrategy<Properties> {
    let int = (0u64..40, number()).prop_filter_map("has a range", |(n, value)| {
        (!matches!(2 * n, 0x22 | 0x30)).then_some((2 * n, value))
    });
    let blobs = (8u64..40, blob(5)).prop_map(|(n, value)| (2 * n + 1, value));
    (vec(int, 0..3), vec(blobs, 0..2))
        .prop_map(|(ints, blobs)| {
            let mut builder = Properties::builder();
            for (kind, value) in ints {
                builder = builder.int(kind, value);
            }
            for (kind, value) in blobs {
                builder = builder.bytes(kind, value);
            }
            builder.build().unwrap()
        })
        .boxed()
}

pub(crate) fn setup(draft: Draft) -> BoxedStrategy<SetupOptions> {
    let bytes = (of(blob(9)), of(blob(9)), of(blob(9)));
    let ints = (of(number()), of(number()), of(number()));
    (bytes, ints, vec(token(), 0..3))
        .prop_map(move |(bytes, ints, authorization_tokens)| {
            let newer = draft >= Draft::D20;
            SetupOptions {
                path: bytes.0,
                authority: bytes.1,
                implementation: bytes.2,
                authorization_tokens,
                max_auth_token_cache_size: ints.0,
                max_filter_ranges: ints.1.filter(|_| newer),
                max_request_updates: ints.2.filter(|_| newer),
            }
        })
        .boxed()
}

fn fetch(draft: Draft) -> BoxedStrategy<Message> {
    let ranged =
        (number(), track(), parameters(draft)).prop_map(move |(request_id, track, params)| {
            let build = |params| {
                Message::Fetch(Fetch {
                    request_id,
                    track: Some(track.clone()),
                    filter: FetchFilter::Range,
                    params,
                })
            };
            build(sayable(draft, params, build))
        });
    if draft >= Draft::D20 {
        return ranged.boxed();
    }
    let end = (1u64..99, of(0..u64::MAX - 1));
    let range =
        (0..u64::MAX / 2, number(), end).prop_map(|(group, object, (delta, end_object))| {
            LocationFilter::Absolute {
                start: Location { group, object },
                end_group: Some(group + delta),
                end_object,
            }
        });
    let ranged = (ranged, range).prop_map(|(mut message, range)| {
        if let Message::Fetch(fetch) = &mut message {
            fetch.params.location_filter = Some(range);
        }
        message
    });
    let joining = prop_oneof![
        (number(), number()).prop_map(|(request_id, groups_back)| {
            FetchFilter::RelativeJoining {
                request_id,
                groups_back,
            }
        }),
        (number(), number()).prop_map(|(request_id, start_group)| {
            FetchFilter::AbsoluteJoining {
                request_id,
                start_group,
            }
        }),
    ];
    let joining =
        (number(), joining, of(number())).prop_map(|(request_id, filter, fill_timeout)| {
            Message::Fetch(Fetch {
                request_id,
                track: None,
                filter,
                params: Parameters {
                    fill_timeout,
                    ..Parameters::default()
                },
            })
        });
    prop_oneof![ranged, joining].boxed()
}

fn requests(draft: Draft) -> BoxedStrategy<Message> {
    let named = (number(), track(), parameters(draft), 0..2);
    let named = named.prop_map(move |(request_id, track, params, which)| {
        let build = |params| {
            let body = Subscribe {
                request_id,
                track: track.clone(),
                params,
            };
            match which {
                0 => Message::Subscribe(body),
                _ => Message::TrackStatus(body),
            }
        };
        build(sayable(draft, params, build))
    });
    let publish = (number(), track(), number(), parameters(draft), properties());
    let publish = publish.prop_map(
        move |(request_id, track, track_alias, params, properties)| {
            let build = |params| {
                Message::Publish(Publish {
                    request_id,
                    track: track.clone(),
                    track_alias,
                    params,
                    properties: properties.clone(),
                })
            };
            build(sayable(draft, params, build))
        },
    );
    let spaced = (number(), namespace(1), parameters(draft), 0..3);
    let spaced = spaced.prop_map(move |(request_id, namespace, params, which)| {
        let build = |params| {
            let body = NamespaceRequest {
                request_id,
                namespace: namespace.clone(),
                params,
            };
            match which {
                0 => Message::PublishNamespace(body),
                1 => Message::SubscribeNamespace(body),
                _ => Message::SubscribeTracks(body),
            }
        };
        build(sayable(draft, params, build))
    });
    let update = (number(), parameters(draft)).prop_map(move |(request_id, params)| {
        let build = |params| Message::RequestUpdate(RequestUpdate { request_id, params });
        build(sayable(draft, params, build))
    });
    prop_oneof![named, publish, spaced, update, fetch(draft)].boxed()
}

fn answers(draft: Draft) -> BoxedStrategy<Message> {
    let ok = (number(), parameters(draft), properties(), 0..3);
    let ok = ok.prop_map(move |(track_alias, params, properties, which)| {
        let build = |params| match which {
            0 => Message::SubscribeOk(SubscribeOk {
                track_alias,
                params,
                properties: properties.clone(),
            }),
            _ => Message::RequestOk(RequestOk {
                params,
                properties: properties.clone(),
            }),
        };
        build(sayable(draft, params, build))
    });
    let fetch_ok = (any::<bool>(), location(), properties());
    let fetch_ok = fetch_ok.prop_map(|(end_of_track, end, properties)| {
        Message::FetchOk(FetchOk {
            end_of_track,
            end,
            params: Parameters::default(),
            properties,
        })
    });
    let redirect = (blob(9), track()).prop_map(|(uri, track)| Redirect { uri, track });
    let error = (number(), number(), "\\PC{0,9}", of(redirect));
    let error = error.prop_map(|(code, retry_interval, reason, redirect)| {
        let code = match (&redirect, RequestErrorCode(code)) {
            (Some(_), _) => RequestErrorCode::REDIRECT,
            (None, RequestErrorCode::REDIRECT) => RequestErrorCode::INTERNAL_ERROR,
            (None, code) => code,
        };
        Message::RequestError(RequestError {
            code,
            retry_interval,
            reason,
            redirect,
        })
    });
    let done = (number(), number(), "\\PC{0,9}").prop_map(|(code, stream_count, reason)| {
        Message::PublishDone(PublishDone {
            code: PublishDoneCode(code),
            // Draft 18's own "unknown" comes back as draft 22's.
            stream_count: if stream_count == (1 << 62) - 1 {
                u64::MAX
            } else {
                stream_count
            },
            reason,
        })
    });
    prop_oneof![ok, fetch_ok, error, done].boxed()
}

fn notices(draft: Draft) -> BoxedStrategy<Message> {
    let goaway = (blob(9), number(), of(number())).prop_map(move |(uri, timeout, request_id)| {
        Message::Goaway(Goaway {
            uri,
            timeout,
            request_id: request_id.filter(|_| draft == Draft::D18),
        })
    });
    let suffix = (namespace(0), 0..2).prop_map(|(suffix, which)| match which {
        0 => Message::Namespace(suffix),
        _ => Message::NamespaceDone(suffix),
    });
    let skipped = track().prop_map(Message::PublishSkipped);
    let notify = parameters(draft).prop_map(move |params| {
        Message::PublishStateNotify(sayable(draft, params, Message::PublishStateNotify))
    });
    if draft == Draft::D18 {
        return prop_oneof![goaway, suffix, skipped].boxed();
    }
    prop_oneof![goaway, suffix, skipped, notify].boxed()
}

/// Any message that `draft` can say, in the form in which it comes back.
pub(crate) fn message(draft: Draft) -> BoxedStrategy<Message> {
    let setup = setup(draft).prop_map(Message::Setup);
    prop_oneof![1 => setup, 6 => requests(draft), 3 => answers(draft), 3 => notices(draft)].boxed()
}

pub(crate) fn draft_and_message() -> impl Strategy<Value = (Draft, Message)> {
    draft().prop_flat_map(|draft| message(draft).prop_map(move |message| (draft, message)))
}

pub(crate) fn subgroup_header() -> BoxedStrategy<SubgroupHeader> {
    let subgroup = prop_oneof![
        Just(SubgroupId::Zero),
        Just(SubgroupId::FirstObject),
        number().prop_map(SubgroupId::Explicit),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (number(), number(), subgroup, of(any::<u8>()), flags)
        .prop_map(
            |(track_alias, group, subgroup, priority, flags)| SubgroupHeader {
                track_alias,
                group,
                subgroup,
                priority,
                has_properties: flags.0,
                end_of_group: flags.1,
                first_object: flags.2,
            },
        )
        .boxed()
}

/// A subgroup stream: its header, and each object with its payload, IDs ascending.
pub(crate) fn subgroup() -> BoxedStrategy<(SubgroupHeader, Vec<(ObjectHeader, Bytes)>)> {
    let status = prop_oneof![
        8 => Just(ObjectStatus::Normal),
        1 => Just(ObjectStatus::EndOfGroup),
        1 => Just(ObjectStatus::EndOfTrack),
    ];
    let object = (
        0u64..1 << 40,
        status,
        properties(),
        prop_oneof![blob(3), blob(300)],
    );
    (subgroup_header(), vec(object, 0..6))
        .prop_map(|(header, drawn)| {
            let mut next = 0;
            let objects = drawn.into_iter().map(|(gap, status, properties, payload)| {
                let normal = status == ObjectStatus::Normal;
                let payload = if normal { payload } else { Bytes::new() };
                let properties = if normal && header.has_properties {
                    properties.0
                } else {
                    Bytes::new()
                };
                let id = next + gap;
                next = id + 1;
                let object = ObjectHeader {
                    id,
                    properties,
                    payload_len: payload.len() as u64,
                    status,
                };
                (object, payload)
            });
            let objects = objects.collect();
            (header, objects)
        })
        .boxed()
}

pub(crate) fn encode_subgroup(header: &SubgroupHeader, objects: &[(ObjectHeader, Bytes)]) -> Bytes {
    let mut out = BytesMut::new();
    header.encode(&mut out);
    let mut previous = None;
    for (object, payload) in objects {
        object.encode(previous, header.has_properties, &mut out);
        out.extend_from_slice(payload);
        previous = Some(object.id);
    }
    out.freeze()
}

/// What stands on a fetch stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Object(FetchObject, Bytes),
    Gap(RangeGap, Location),
}

/// A fetch stream's items in order; `gaps` of what the draft has.
pub(crate) fn fetch_stream(draft: Draft, gaps: bool) -> BoxedStrategy<(GroupOrder, Vec<Item>)> {
    let step = (
        0u64..3,
        0u64..300,
        of(0u64..4),
        any::<u8>(),
        properties(),
        blob(60),
    );
    let kind = prop_oneof![
        8 => Just(None),
        1 => Just(Some(RangeGap::NonExistent)),
        1 => Just(Some(RangeGap::Unknown)),
        1 => Just(Some(if draft == Draft::D18 { RangeGap::Unknown } else { RangeGap::TimedOut })),
    ];
    (group_order(), vec((step, kind), 0..8))
        .prop_map(move |(order, steps)| {
            let mut at: Option<Location> = None;
            let items = steps.into_iter().map(
                |((groups, objects, subgroup, priority, properties, payload), kind)| {
                    let next = match (at, groups) {
                        (None, _) => Location {
                            group: 1 << 30,
                            object: objects,
                        },
                        (Some(at), 0) => Location {
                            group: at.group,
                            object: at.object + 1 + objects,
                        },
                        (Some(at), groups) => Location {
                            group: match order {
                                GroupOrder::Ascending => at.group + groups,
                                GroupOrder::Descending => at.group - groups,
                            },
                            object: objects,
                        },
                    };
                    at = Some(next);
                    match kind.filter(|_| gaps) {
                        Some(kind) => Item::Gap(kind, next),
                        None => {
                            let object = FetchObject {
                                group: next.group,
                                subgroup,
                                object: next.object,
                                priority: priority % 3,
                                properties: properties.0,
                                payload_len: payload.len() as u64,
                            };
                            Item::Object(object, payload)
                        }
                    }
                },
            );
            let items = items.collect();
            (order, items)
        })
        .boxed()
}

pub(crate) fn encode_fetch(
    draft: Draft,
    order: GroupOrder,
    request_id: u64,
    items: &[Item],
) -> Bytes {
    let mut out = BytesMut::new();
    FetchHeader { request_id }.encode(&mut out);
    let mut encoder = FetchEncoder::new(draft, order);
    for item in items {
        match item {
            Item::Object(object, payload) => {
                encoder.encode_object(object, &mut out).unwrap();
                out.extend_from_slice(payload);
            }
            Item::Gap(kind, end) => encoder.encode_end_of_range(*kind, *end, &mut out).unwrap(),
        }
    }
    out.freeze()
}

pub(crate) fn datagram() -> BoxedStrategy<ObjectDatagram> {
    let status = prop_oneof![
        4 => Just(ObjectStatus::Normal),
        1 => Just(ObjectStatus::EndOfGroup),
        1 => Just(ObjectStatus::EndOfTrack),
    ];
    let ids = (number(), number(), number(), of(any::<u8>()));
    (ids, status, properties(), any::<bool>(), blob(40))
        .prop_map(|(ids, status, properties, end, payload)| {
            let normal = status == ObjectStatus::Normal;
            ObjectDatagram {
                track_alias: ids.0,
                group: ids.1,
                object: ids.2,
                priority: ids.3,
                properties: Some(properties.0)
                    .filter(|properties| normal && !properties.is_empty()),
                end_of_group: normal && end,
                status,
                payload: if normal { payload } else { Bytes::new() },
            }
        })
        .boxed()
}

/// `stream` in pieces cut at `cuts`, each taken modulo the length.
pub(crate) fn pieces(stream: &Bytes, cuts: &[usize]) -> Vec<Bytes> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| stream.slice(pair[0]..pair[1]))
        .collect()
}
