//! Two of our clients, one publishing and one subscribing, end to end.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{EVERY, Over, Sessions, sessions, soon};
use futures_util::future::join;
use meridian_session::client::{
    Client, ClientOptions, End, FetchItem, NamespaceChange, Object, ObjectData, RequestFailed,
    Subscription, TransportChoice, connect,
};
use meridian_session::client::{TrackOptions, TrackPublisher};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{DataStream, Options, RequestEvent, Session};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::{Incoming, WebSocketSettings, accept_web_socket};
use meridian_wire::control::RequestOk;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::FillParameters;
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FullTrackName, GroupOrder, Location, LocationFilter, Message, Namespace, Parameters,
    RequestErrorCode,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use url::Url;

fn name(track: &'static str) -> FullTrackName {
    FullTrackName::new(Namespace::new(["meridian", "m", "p", "7"]).unwrap(), track).unwrap()
}

fn object(id: u64, payload: &'static str) -> ObjectData {
    ObjectData {
        id,
        properties: Properties::builder().timestamp(1_000 + id).build().unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

/// A publisher and a subscriber in one session, and the track between them.
struct Talk {
    publisher: Client,
    subscriber: Client,
    track: TrackPublisher,
    _endpoints: Vec<quinn::Endpoint>,
}

async fn talk(over: Over, draft: Draft) -> Talk {
    let Sessions {
        client,
        server,
        endpoints,
    } = sessions(over, draft).await;
    let (publisher, subscriber) = (Client::new(client), Client::new(server));
    let track = publisher.publish_track(name("audio"), TrackOptions::default());
    Talk {
        publisher,
        subscriber,
        track,
        _endpoints: endpoints,
    }
}

impl Talk {
    async fn subscribe(&self, params: Parameters) -> Subscription {
        let mut subscribers = self.track.subscribers();
        let before = *subscribers.borrow();
        let subscription = self.subscriber.subscribe(name("audio"), params);
        let subscription = soon(subscription).await.unwrap();
        soon(subscribers.wait_for(|now| *now > before))
            .await
            .unwrap();
        subscription
    }
}

fn place(object: &Object) -> (u64, u64) {
    (object.group, object.id)
}

#[tokio::test]
async fn audio_arrives_object_by_object_on_every_transport_and_draft() {
    for over in EVERY {
        for draft in Draft::PREFERRED {
            let talk = talk(over, draft).await;
            let mut subscription = talk.subscribe(Parameters::default()).await;
            for group in 10..30 {
                talk.track.write_object(group, object(0, "opus"));
                let object = soon(subscription.next()).await.unwrap();
                assert_eq!(place(&object), (group, 0), "{over:?} {draft:?}");
                assert_eq!(&object.payload[..], b"opus");
                assert_eq!(object.properties().timestamp(), Some(1_000));
            }
            talk.track.finish(PublishDoneCode::TRACK_ENDED, "over");
            assert_eq!(soon(subscription.next()).await, None);
            let Some(End::Done(done)) = subscription.end() else {
                panic!("{:?}", subscription.end())
            };
            assert_eq!(
                (done.code, done.stream_count),
                (PublishDoneCode::TRACK_ENDED, 20)
            );
            assert_eq!(subscription.counters().streams_ended, 20);
            assert_eq!(talk.track.counters().sent, 20);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tracks_flow_on_several_threads() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let mut watching = Vec::new();
    for track in ["a", "b", "c", "d"] {
        let publisher = talk
            .publisher
            .publish_track(name(track), TrackOptions::default());
        let subscribing = talk
            .subscriber
            .subscribe(name(track), Parameters::default());
        let mut subscription = soon(subscribing).await.unwrap();
        soon(publisher.subscribers().wait_for(|now| *now == 1))
            .await
            .unwrap();
        watching.push(tokio::spawn(async move {
            for group in 0..100 {
                publisher.write_object(group, object(0, "opus"));
                let object = soon(subscription.next()).await.unwrap();
                assert_eq!(place(&object), (group, 0));
            }
        }));
    }
    for task in watching {
        soon(task).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_of_video_arrives_in_order_on_one_stream() {
    for over in EVERY {
        let talk = talk(over, Draft::D22).await;
        let mut subscription = talk.subscribe(Parameters::default()).await;
        let payload = Bytes::from((0..40_000_u32).map(|n| n as u8).collect::<Vec<_>>());
        let mut group = talk.track.open_group(5, 0);
        for id in 0..30 {
            group.write(ObjectData {
                id,
                payload: payload.slice(id as usize..),
                ..ObjectData::default()
            });
        }
        group.finish();
        for id in 0..30 {
            let object = soon(subscription.next()).await.unwrap();
            assert_eq!(place(&object), (5, id), "{over:?}");
            assert!(
                object.payload == payload.slice(id as usize..),
                "{over:?} {id}"
            );
        }
        assert_eq!(talk.track.counters().streams, 1);
    }
}

#[tokio::test]
async fn datagrams_arrive_as_objects() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let mut subscription = talk.subscribe(Parameters::default()).await;
    talk.track.write_datagram(3, object(0, "opus"), true);
    let object = soon(subscription.next()).await.unwrap();
    assert_eq!((place(&object), object.subgroup), ((3, 0), None));
    assert_eq!(object.properties().timestamp(), Some(1_000));
}

#[tokio::test]
async fn an_unknown_track_is_refused_in_every_way_of_asking() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let params = Parameters::default;
    let subscribe = soon(talk.subscriber.subscribe(name("video"), params()))
        .await
        .err();
    let status = soon(talk.subscriber.track_status(name("video")))
        .await
        .err();
    let fetch = soon(talk.subscriber.fetch(name("video"), params()))
        .await
        .err();
    for failed in [subscribe, status, fetch] {
        let Some(RequestFailed::Refused(error)) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST);
    }
}

#[tokio::test]
async fn a_paused_subscription_gets_nothing_until_it_goes_on() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let forward = |yes| Parameters {
        forward: Some(yes),
        ..Parameters::default()
    };
    let mut subscription = talk.subscribe(forward(false)).await;
    talk.track.write_object(1, object(0, "unheard"));
    let ok = soon(subscription.update(forward(true))).await.unwrap();
    assert_eq!(
        ok.params.largest_object,
        Some(Location {
            group: 1,
            object: 0
        })
    );
    talk.track.write_object(2, object(0, "heard"));
    assert_eq!(place(&soon(subscription.next()).await.unwrap()), (2, 0));
    assert_eq!(talk.track.counters().sent, 1);
}

#[tokio::test]
async fn a_filter_selects_what_is_sent() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let params = Parameters {
        location_filter: Some(LocationFilter::Absolute {
            start: Location {
                group: 2,
                object: 0,
            },
            end_group: Some(3),
            end_object: None,
        }),
        ..Parameters::default()
    };
    let mut subscription = talk.subscribe(params).await;
    for group in 1..=5 {
        talk.track.write_object(group, object(0, "x"));
    }
    talk.track.finish(PublishDoneCode::TRACK_ENDED, "");
    let mut got = Vec::new();
    while let Some(object) = soon(subscription.next()).await {
        got.push(place(&object));
    }
    got.sort_unstable();
    assert_eq!(got, [(2, 0), (3, 0)]);
}

#[tokio::test]
async fn leaving_ends_the_subscription_at_the_publisher() {
    for over in EVERY {
        let talk = talk(over, Draft::D22).await;
        let subscription = talk.subscribe(Parameters::default()).await;
        drop(subscription);
        let mut subscribers = talk.track.subscribers();
        soon(subscribers.wait_for(|now| *now == 0)).await.unwrap();
        talk.track.write_object(1, object(0, "to nobody"));
        assert_eq!(talk.track.counters().sent, 0, "{over:?}");
    }
}

#[tokio::test]
async fn a_reset_stream_costs_its_objects_and_nothing_else() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let mut subscription = talk.subscribe(Parameters::default()).await;
    let mut group = talk.track.open_group(1, 0);
    group.write(object(0, "first"));
    assert_eq!(place(&soon(subscription.next()).await.unwrap()), (1, 0));
    group.reset(meridian_wire::ResetCode::DELIVERY_TIMEOUT);
    talk.track.write_object(2, object(0, "next"));
    assert_eq!(place(&soon(subscription.next()).await.unwrap()), (2, 0));
    talk.track.finish(PublishDoneCode::TRACK_ENDED, "");
    assert_eq!(soon(subscription.next()).await, None);
    let counters = subscription.counters();
    assert_eq!((counters.streams_reset, counters.streams_ended), (1, 1));
}

#[tokio::test]
async fn objects_nobody_reads_are_dropped_and_counted() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let subscription = talk.subscribe(Parameters::default()).await;
    let mut group = talk.track.open_group(1, 0);
    for id in 0..3_000 {
        group.write(object(id, "x"));
    }
    group.finish();
    talk.track.finish(PublishDoneCode::TRACK_ENDED, "");
    soon(subscription.ended()).await;
    let counters = subscription.counters();
    assert_eq!(counters.objects + counters.overflowed, 3_000);
    assert!(counters.overflowed > 0);
}

#[tokio::test]
async fn past_objects_are_fetched_in_either_order_on_every_draft() {
    for draft in Draft::PREFERRED {
        let talk = talk(Over::Quic, draft).await;
        for group in 1..=3 {
            let mut writer = talk.track.open_group(group, 0);
            writer.write(object(0, "key"));
            writer.write(object(1, "delta"));
            writer.finish();
        }
        let filter = LocationFilter::Absolute {
            start: Location {
                group: 2,
                object: 0,
            },
            end_group: Some(9),
            end_object: None,
        };
        for order in [GroupOrder::Ascending, GroupOrder::Descending] {
            let params = Parameters {
                location_filter: Some(filter),
                group_order: Some(order),
                ..Parameters::default()
            };
            let mut fetched = soon(talk.subscriber.fetch(name("audio"), params))
                .await
                .unwrap();
            assert_eq!(
                fetched.ok.end,
                Location {
                    group: 3,
                    object: 1
                }
            );
            let mut got = Vec::new();
            let end = loop {
                match soon(fetched.next()).await.unwrap() {
                    FetchItem::Object(object) => got.push(place(&object)),
                    end => break end,
                }
            };
            assert_eq!(end, FetchItem::Complete);
            let ascending = vec![(2, 0), (2, 1), (3, 0), (3, 1)];
            let descending = vec![(3, 0), (3, 1), (2, 0), (2, 1)];
            let expected = match order {
                GroupOrder::Ascending => ascending,
                GroupOrder::Descending => descending,
            };
            assert_eq!(got, expected, "{draft:?} {order:?}");
        }
    }
}

#[tokio::test]
async fn what_was_forgotten_is_told_as_unknown() {
    let talk = talk(Over::Quic, Draft::D22).await;
    for group in 1..=9 {
        talk.track.write_object(group, object(0, "x"));
    }
    let params = Parameters::default();
    let mut fetched = soon(talk.subscriber.fetch(name("audio"), params))
        .await
        .unwrap();
    let first = soon(fetched.next()).await.unwrap();
    let FetchItem::Gap { end, .. } = first else {
        panic!("{first:?}")
    };
    assert_eq!(
        end,
        Location {
            group: 5,
            object: 0
        }
    );
}

#[tokio::test]
async fn nothing_written_yet_is_an_invalid_range() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let fetch = soon(talk.subscriber.fetch(name("audio"), Parameters::default())).await;
    let Err(RequestFailed::Refused(error)) = fetch else {
        panic!("{fetch:?}")
    };
    assert_eq!(error.code, RequestErrorCode::INVALID_RANGE);
}

#[tokio::test]
async fn a_fill_brings_the_current_group_with_the_subscription() {
    for draft in [Draft::D22, Draft::D20] {
        let talk = talk(Over::Quic, draft).await;
        let mut group = talk.track.open_group(4, 0);
        group.write(object(0, "key"));
        group.write(object(1, "delta"));
        let fill = FillParameters {
            location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
            ..FillParameters::default()
        };
        let params = Parameters {
            location_filter: Some(LocationFilter::NextObject),
            fill: Some(Box::new(fill)),
            ..Parameters::default()
        };
        let mut subscription = talk.subscribe(params).await;
        for id in 0..2 {
            let item = soon(subscription.next_fill()).await.unwrap();
            let FetchItem::Object(object) = item else {
                panic!("{item:?}")
            };
            assert_eq!(place(&object), (4, id));
        }
        assert_eq!(
            soon(subscription.next_fill()).await,
            Some(FetchItem::Complete)
        );
        group.write(object(2, "live"));
        assert_eq!(
            place(&soon(subscription.next()).await.unwrap()),
            (4, 2),
            "{draft:?}"
        );
    }
}

#[tokio::test]
async fn the_status_of_a_track_tells_its_largest_object() {
    let talk = talk(Over::Quic, Draft::D22).await;
    talk.track.write_object(8, object(0, "x"));
    let status = soon(talk.subscriber.track_status(name("audio")))
        .await
        .unwrap();
    assert_eq!(
        status.params.largest_object,
        Some(Location {
            group: 8,
            object: 0
        })
    );
}

#[tokio::test]
async fn a_track_nobody_watches_for_is_refused() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let refused = soon(talk.track.push(Parameters::default())).await;
    let Err(RequestFailed::Refused(error)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(error.code, RequestErrorCode::UNINTERESTED);
}

#[tokio::test]
async fn a_pushed_track_flows_from_the_answer_on() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let publisher = Client::new(client);
    let track = publisher.publish_track(name("audio"), TrackOptions::default());
    // The other side is an edge, played by hand.
    let edge = async {
        let request = server.accept_request().await.unwrap();
        let ok = Message::RequestOk(RequestOk::default());
        request.stream.send(&ok).unwrap();
        request
    };
    let (pushed, request) = soon(join(track.push(Parameters::default()), edge)).await;
    pushed.unwrap();
    assert!(matches!(request.message, Message::Publish(publish) if publish.track == name("audio")));
    track.write_object(1, object(0, "opus"));
    let data = soon(server.accept_data()).await.unwrap();
    assert!(matches!(data, DataStream::Subgroup { .. }));
}

#[tokio::test]
async fn an_offered_track_is_taken_and_heard() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let watcher = Client::new(client);
    // The other side is an edge, played by hand until the watch stands; then it publishes.
    let edge = async {
        let request = server.accept_request().await.unwrap();
        let ok = Message::RequestOk(RequestOk::default());
        request.stream.send(&ok).unwrap();
        request
    };
    let prefix = Namespace::new(["meridian"]).unwrap();
    let watch = watcher.subscribe_tracks(prefix, Parameters::default());
    let (watch, _request) = soon(join(watch, edge)).await;
    let mut watch = watch.unwrap();
    let publisher = Client::new(server.clone());
    let track = publisher.publish_track(name("audio"), TrackOptions::default());
    let taking = async {
        let offer = watch.next().await.unwrap();
        assert_eq!(offer.publish().track, name("audio"));
        offer.accept().unwrap()
    };
    let push = track.push(Parameters::default());
    let (pushed, mut subscription) = soon(join(push, taking)).await;
    pushed.unwrap();
    track.write_object(1, object(0, "opus"));
    assert_eq!(place(&soon(subscription.next()).await.unwrap()), (1, 0));

    let video = publisher.publish_track(name("video"), TrackOptions::default());
    let refusing = async { drop(watch.next().await.unwrap()) };
    let (refused, ()) = soon(join(video.push(Parameters::default()), refusing)).await;
    assert!(matches!(refused, Err(RequestFailed::Refused(_))));
}

#[tokio::test]
async fn namespaces_appear_and_vanish() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let watcher = Client::new(client);
    // The other side is an edge, played by hand.
    let edge = tokio::spawn(async move {
        let request = server.accept_request().await.unwrap();
        let suffix = Namespace::new(["b"]).unwrap();
        for message in [
            Message::RequestOk(RequestOk::default()),
            Message::Namespace(suffix.clone()),
            Message::NamespaceDone(suffix),
        ] {
            request.stream.send(&message).unwrap();
        }
        request.stream.finish().unwrap();
        server.closed().await;
    });
    let prefix = Namespace::new(["a"]).unwrap();
    let mut watch = soon(watcher.subscribe_namespace(prefix)).await.unwrap();
    let whole = Namespace::new(["a", "b"]).unwrap();
    let appeared = NamespaceChange::Appeared(whole.clone());
    assert_eq!(soon(watch.next()).await, Ok(Some(appeared)));
    let vanished = NamespaceChange::Vanished(whole);
    assert_eq!(soon(watch.next()).await, Ok(Some(vanished)));
    assert_eq!(soon(watch.next()).await, Ok(None));
    drop((watch, watcher));
    soon(edge).await.unwrap();
}

#[tokio::test]
async fn an_announcement_holds_until_it_is_dropped() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let publisher = Client::new(client);
    let edge = tokio::spawn(async move {
        let mut request = server.accept_request().await.unwrap();
        let ok = Message::RequestOk(RequestOk::default());
        request.stream.send(&ok).unwrap();
        (request.stream.recv().await.unwrap(), server)
    });
    let namespace = Namespace::new(["meridian", "m"]).unwrap();
    let announcement = soon(publisher.publish_namespace(namespace)).await.unwrap();
    drop(announcement);
    let (event, _server) = soon(edge).await.unwrap();
    assert!(matches!(
        event,
        RequestEvent::Reset(_) | RequestEvent::Stopped(_)
    ));
}

#[tokio::test]
async fn closing_waits_for_what_was_written() {
    let talk = talk(Over::Quic, Draft::D22).await;
    let mut subscription = talk.subscribe(Parameters::default()).await;
    for group in 1..=50 {
        talk.track.write_object(group, object(0, "x"));
    }
    talk.track.finish(PublishDoneCode::TRACK_ENDED, "");
    soon(talk.publisher.close(std::time::Duration::from_secs(10))).await;
    let mut count = 0;
    while soon(subscription.next()).await.is_some() {
        count += 1;
    }
    assert_eq!(count, 50);
}

#[tokio::test]
async fn a_client_connects_by_url_over_each_transport() {
    let identity = Identity::ephemeral().unwrap();
    let trust = Trust::Fingerprints(vec![identity.fingerprint().unwrap()]);
    let tcp_tls = tls::server(identity.clone(), vec![b"http/1.1".to_vec()]).unwrap();
    let quic_tls = tls::server(identity, tls::client_facing_protocols()).unwrap();
    let settings = QuicSettings::client_side();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = settings.server_config(quic_tls).unwrap();
    let endpoint = settings.endpoint(any, Some(config)).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .unwrap();

    for (scheme, transport) in [
        ("moqt", TransportChoice::ByScheme),
        ("https", TransportChoice::ByScheme),
        ("wss", TransportChoice::ByScheme),
        ("moqt", TransportChoice::WebTransport),
    ] {
        let options = ClientOptions {
            trust: trust.clone(),
            transport,
            drafts: vec![Draft::D20],
            token: Some((0, Bytes::from_static(b"jwt"))),
            ..ClientOptions::default()
        };
        let url = Url::parse(&format!("{scheme}://127.0.0.1:{port}/m?x=1")).unwrap();
        let serve = async {
            let connection = if scheme == "wss" {
                let (stream, remote) = listener.accept().await.unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tcp_tls.clone()));
                let stream = acceptor.accept(stream).await.unwrap();
                let settings = WebSocketSettings::default();
                accept_web_socket(stream, remote, &settings).await.unwrap()
            } else {
                let connection = endpoint.accept().await.unwrap().await.unwrap();
                Incoming::read(connection)
                    .await
                    .unwrap()
                    .accept()
                    .await
                    .unwrap()
            };
            Session::accept(connection, Options::default())
                .await
                .unwrap()
        };
        let both = join(connect(&url, &options), serve);
        let (client, server) = soon(both).await;
        let client = client.unwrap();
        assert_eq!(client.session().draft(), Draft::D20);
        assert_eq!(server.peer_setup().authorization_tokens.len(), 1);
        let path = server
            .connection()
            .path_and_query()
            .map(|path| Bytes::from(path.to_owned()));
        let path = path.or_else(|| server.peer_setup().path.clone());
        assert_eq!(path.as_deref(), Some(&b"/m?x=1"[..]), "{scheme}");
    }
}
