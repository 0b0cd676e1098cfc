//! The publishing and the watching side of the client over a real connection, with nothing in between.

// Helpers fail by panicking, as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::{Bytes, BytesMut};
use common::{EVERY, Over, Sessions, sessions, soon};
use futures_util::future::join;
use meridian_session::client::{
    AnnounceError, Announced, Arrival, Dialer, Ended, Event, Inlet, Object, Offer, Outlet, announce,
};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{
    DataStream, IncomingRequest, Options, RequestEvent, RequestStream, Session,
};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::{Incoming, Transport, WebSocketSettings, accept_web_socket};
use meridian_wire::control::{
    Fetch, FetchOk, Goaway, RequestError, RequestOk, Subscribe, SubscribeOk,
};
use meridian_wire::data::{
    FetchDecoder, FetchEvent, ObjectDatagram, ObjectStatus, RangeGap, SubgroupDecoder,
    SubgroupEvent,
};
use meridian_wire::error::PublishDoneCode;
use meridian_wire::param::FillParameters;
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FetchFilter, FullTrackName, GroupOrder, Location, LocationFilter, Message, Namespace,
    Parameters, RequestErrorCode,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const AUDIO: usize = 0;
const VIDEO: usize = 1;

#[tokio::test]
async fn who_joins_gets_the_newest_group_from_its_start_and_then_what_comes() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let objects = pictures(7, 10);
    talk.publish(VIDEO, &pictures(6, 2));
    talk.publish(VIDEO, &objects[..4]);
    talk.subscribe(VIDEO, newest()).await;
    for object in &objects[4..] {
        assert_eq!(talk.outlet.publish(VIDEO, object).taken, 1);
    }
    assert_eq!(talk.received(10).await, objects);
}

#[tokio::test]
async fn a_group_is_given_from_its_start_however_long_it_is() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let objects = pictures(7, 400);
    talk.publish(VIDEO, &objects[..399]);
    talk.subscribe(VIDEO, newest()).await;
    assert_eq!(talk.outlet.publish(VIDEO, &objects[399]).taken, 1);
    assert_eq!(talk.received(400).await, objects);
}

#[tokio::test]
async fn each_sound_frame_is_a_whole_group_on_every_transport_and_draft() {
    for over in EVERY {
        for draft in Draft::PREFERRED {
            let mut talk = talk(over, draft).await;
            talk.subscribe(AUDIO, filtered(LocationFilter::NextObject))
                .await;
            let objects = sounds(50);
            talk.publish(AUDIO, &objects);
            assert_eq!(talk.received(50).await, objects, "{over:?} {draft:?}");
        }
    }
}

#[tokio::test]
async fn a_group_of_pictures_arrives_whole_on_every_transport() {
    for over in EVERY {
        let mut talk = talk(over, Draft::D22).await;
        talk.subscribe(VIDEO, Parameters::default()).await;
        let objects = pictures(5, 30);
        talk.publish(VIDEO, &objects);
        assert_eq!(talk.received(30).await, objects, "{over:?}");
    }
}

#[tokio::test]
async fn an_interrupted_watcher_goes_on_at_the_next_object() {
    let mut talk = talk(Over::Quic, Draft::D20).await;
    let objects = pictures(7, 6);
    talk.publish(VIDEO, &objects[..5]);
    let next = absolute(Location::new(7, 3), None);
    talk.subscribe(VIDEO, filtered(next)).await;
    talk.publish(VIDEO, &objects[5..]);
    assert_eq!(talk.received(3).await, objects[3..]);
}

#[tokio::test]
async fn a_filter_selects_what_is_sent() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let filter = absolute(Location::new(2, 0), Some(3));
    talk.subscribe(AUDIO, filtered(filter)).await;
    let objects = sounds(6);
    talk.publish(AUDIO, &objects);
    let (seen, _) = talk.finish(2).await;
    assert_eq!(seen, objects[2..=3]);
}

#[tokio::test]
async fn a_broadcast_ends_with_everything_delivered_and_a_last_word() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    talk.subscribe(VIDEO, Parameters::default()).await;
    let objects = pictures(7, 5);
    talk.publish(VIDEO, &objects);
    let (seen, done) = talk.finish(5).await;
    assert_eq!((seen, done), (objects, Some(PublishDoneCode::TRACK_ENDED)));
}

#[tokio::test]
async fn an_outlet_goes_on_at_another_session_and_keeps_what_it_has() {
    let mut before = talk(Over::Quic, Draft::D22).await;
    let objects = pictures(7, 6);
    before.publish(VIDEO, &objects[..2]);
    before.outlet.detach();
    assert_eq!(before.outlet.publish(VIDEO, &objects[2]).taken, 0);
    let mut after = talk(Over::Quic, Draft::D20).await;
    std::mem::swap(&mut before.outlet, &mut after.outlet);
    let (announced, request) = announced(&after.publisher, &after.watcher).await;
    after.outlet.attach(announced);
    after._announcement = request;
    after.subscribe(VIDEO, newest()).await;
    after.publish(VIDEO, &objects[3..]);
    assert_eq!(after.received(6).await, objects);
}

#[tokio::test]
async fn a_taker_without_stream_credit_costs_drops_and_no_time() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let _request = talk.subscribe_by_hand(AUDIO, Parameters::default()).await;
    // Nobody reads a data stream, so that the credit for them ends.
    let objects = sounds(1_000);
    let dropped = |object| talk.outlet.publish(AUDIO, object).dropped;
    let dropped: u64 = objects.iter().map(dropped).sum();
    assert!((500..1_000).contains(&dropped), "{dropped}");
}

#[tokio::test]
async fn a_paused_subscription_gets_nothing_until_it_goes_on() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let forward = |yes| Parameters {
        forward: Some(yes),
        ..Parameters::default()
    };
    let (mut request, _) = talk.subscribe_by_hand(AUDIO, forward(false)).await;
    let objects = sounds(3);
    assert_eq!(talk.outlet.publish(AUDIO, &objects[0]).taken, 0);
    request.update(forward(true)).unwrap();
    let event = serve(&mut talk.outlet, request.recv()).await.unwrap();
    let RequestEvent::Message(Message::RequestOk(ok)) = event else {
        panic!("{event:?}")
    };
    assert_eq!(ok.params.largest_object, Some(Location::new(0, 0)));
    assert_eq!(talk.outlet.publish(AUDIO, &objects[1]).taken, 1);
}

#[tokio::test]
async fn an_unknown_track_is_refused_in_every_way_of_asking() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    talk.inlet
        .as_mut()
        .unwrap()
        .subscribe(7, name("nothing"), Parameters::default())
        .await
        .unwrap();
    match talk.event().await {
        Event::Refused { track: 7, error } => {
            assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST);
        }
        other => panic!("{other:?}"),
    }
    for build in [
        fetch(name("nothing"), Parameters::default()),
        status("nothing"),
    ] {
        let error = refused(talk.ask(build).await);
        assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST);
    }
}

#[tokio::test]
async fn the_status_of_a_track_tells_its_largest_object() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    talk.publish(VIDEO, &pictures(8, 3));
    let (_request, answer) = talk.ask(status("video-high")).await;
    let Message::RequestOk(ok) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(ok.params.largest_object, Some(Location::new(8, 2)));
}

#[tokio::test]
async fn the_past_is_fetched_in_either_order_on_every_draft() {
    for draft in Draft::PREFERRED {
        for order in [GroupOrder::Ascending, GroupOrder::Descending] {
            let mut talk = talk(Over::Quic, draft).await;
            for group in 1..=3 {
                talk.publish(VIDEO, &pictures(group, 2));
            }
            let params = Parameters {
                group_order: Some(order),
                ..filtered(absolute(Location::new(2, 0), Some(9)))
            };
            let (ok, past) = talk.past(fetch(name("video-high"), params), order).await;
            assert_eq!(ok.end, Location::new(3, 1));
            let groups = match order {
                GroupOrder::Ascending => [2, 3],
                GroupOrder::Descending => [3, 2],
            };
            let expected: Vec<_> = groups.map(|group| pictures(group, 2)).concat();
            assert_eq!(past, (None, expected), "{draft:?} {order:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_unknown() {
    let mut talk = talk(Over::Quic, Draft::D18).await;
    let objects = sounds(100);
    talk.publish(AUDIO, &objects);
    let all = filtered(absolute(Location::default(), None));
    let ask = fetch(name("audio"), all);
    let (_, (gap, past)) = talk.past(ask, GroupOrder::Ascending).await;
    let kept = past.len();
    assert!(kept > 1, "{kept}");
    let before = Location::new(99 - kept as u64, 0);
    assert_eq!(gap, Some((RangeGap::Unknown, before)));
    assert_eq!(past, objects[100 - kept..]);
}

#[tokio::test]
async fn nothing_published_yet_is_an_invalid_range() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    let ask = fetch(name("audio"), Parameters::default());
    let error = refused(talk.ask(ask).await);
    assert_eq!(error.code, RequestErrorCode::INVALID_RANGE);
}

#[tokio::test]
async fn a_joining_fetch_brings_the_group_that_a_subscription_began_in() {
    let mut talk = talk(Over::Quic, Draft::D18).await;
    let objects = pictures(7, 6);
    talk.publish(VIDEO, &objects[..4]);
    let next = filtered(LocationFilter::NextObject);
    let (request, ok) = talk.subscribe_by_hand(VIDEO, next).await;
    assert_eq!(ok.params.largest_object, Some(Location::new(7, 3)));
    // By the time it is asked for, the track is further.
    talk.publish(VIDEO, &objects[4..]);
    talk.publish(VIDEO, &pictures(8, 2));
    let ask = join_fetch(request.id());
    let (ok, past) = talk.past(ask, GroupOrder::Ascending).await;
    assert_eq!(ok.end, Location::new(7, 3));
    assert_eq!(past, (None, objects[..4].to_vec()));
}

#[tokio::test]
async fn a_joining_fetch_that_cannot_be_is_refused_with_its_reason() {
    let mut talk = talk(Over::Quic, Draft::D18).await;
    let next = filtered(LocationFilter::NextObject);
    let (request, _) = talk.subscribe_by_hand(AUDIO, next).await;
    for (joined, code) in [
        (request.id(), RequestErrorCode::INVALID_RANGE),
        (
            request.id() + 40,
            RequestErrorCode::INVALID_JOINING_REQUEST_ID,
        ),
    ] {
        let error = refused(talk.ask(join_fetch(joined)).await);
        assert_eq!(error.code, code);
    }
}

#[tokio::test]
async fn a_fill_brings_the_current_group_beside_the_subscription() {
    for draft in [Draft::D22, Draft::D20] {
        let mut talk = talk(Over::Quic, draft).await;
        let objects = pictures(4, 2);
        talk.publish(VIDEO, &objects);
        let fill = FillParameters {
            location_filter: Some(LocationFilter::Relative { groups_back: 1 }),
            ..FillParameters::default()
        };
        let params = Parameters {
            fill: Some(Box::new(fill)),
            ..newest()
        };
        let _request = talk.subscribe_by_hand(VIDEO, params).await;
        let past = talk.fetch_stream(GroupOrder::Ascending).await;
        assert_eq!(past, (None, objects));
        assert_eq!(talk.outlet.publish(VIDEO, &object(4, 2, 10)).taken, 1);
        // Nothing of the past is on it.
        let live = soon(talk.watcher.accept_data()).await.unwrap();
        let DataStream::Subgroup { first, .. } = live else {
            panic!("{live:?}")
        };
        let mut decoder = SubgroupDecoder::new();
        decoder.push(first);
        let Ok(Some(SubgroupEvent::Header(header))) = decoder.poll() else {
            panic!("no header")
        };
        assert!(!header.first_object, "{draft:?}");
    }
}

#[tokio::test]
async fn a_refused_namespace_is_told_with_its_reason() {
    let Sessions {
        client,
        server,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let edge = async {
        let request = server.accept_request().await.unwrap();
        let error = Message::RequestError(RequestError {
            code: RequestErrorCode::UNAUTHORIZED,
            retry_interval: 0,
            reason: "not yours".to_owned(),
            redirect: None,
        });
        request.stream.send(&error).unwrap();
        request
    };
    let (answer, _request) = soon(join(announce(client, namespace()), edge)).await;
    let error = answer.err().unwrap();
    assert!(
        matches!(
            error,
            AnnounceError::Refused(RequestErrorCode::UNAUTHORIZED, _)
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_goaway_is_told_to_both_sides() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    talk.watcher.send_goaway(Goaway::default()).unwrap();
    assert!(matches!(soon(talk.outlet.serve()).await, Ended::Goaway(_)));
    talk.publisher.send_goaway(Goaway::default()).unwrap();
    let event = talk.inlet.as_mut().unwrap().next();
    assert!(matches!(soon(event).await, Event::Goaway(_)));
}

#[tokio::test]
async fn objects_that_overtake_their_answer_are_not_lost_nor_is_a_goaway_told_twice() {
    let Sessions {
        client,
        server: edge,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let mut inlet = Inlet::new(client);
    soon(inlet.subscribe(AUDIO, name("audio"), Parameters::default()))
        .await
        .unwrap();
    let request = soon(edge.accept_request()).await.unwrap();
    let sound = object(7, 0, 160);
    send_datagram(&edge, 9, &sound);
    edge.send_goaway(Goaway::default()).unwrap();
    assert!(matches!(soon(inlet.next()).await, Event::Goaway(_)));
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: 9,
        params: Parameters::default(),
        properties: Properties::default(),
    });
    request.stream.send(&ok).unwrap();
    let accepted = soon(inlet.next()).await;
    assert!(matches!(accepted, Event::Accepted { .. }), "{accepted:?}");
    let arrived = soon(inlet.next()).await;
    let Event::Arrival {
        track: AUDIO,
        arrival: Arrival::Object { object, .. },
    } = arrived
    else {
        panic!("{arrived:?}")
    };
    assert_eq!(object, sound);
}

#[tokio::test]
async fn a_track_that_is_asked_for_again_begins_anew() {
    let Sessions {
        client,
        server: edge,
        endpoints: _endpoints,
    } = sessions(Over::Quic, Draft::D22).await;
    let mut inlet = Inlet::new(client);
    let ok = Message::SubscribeOk(SubscribeOk {
        track_alias: 9,
        params: Parameters::default(),
        properties: Properties::default(),
    });
    let mut requests = Vec::new();
    for (track, newest) in [(AUDIO, 7), (AUDIO + 1, 9)] {
        soon(inlet.subscribe(track, name("audio"), Parameters::default()))
            .await
            .unwrap();
        let request = soon(edge.accept_request()).await.unwrap();
        request.stream.send(&ok).unwrap();
        requests.push(request);
        let accepted = soon(inlet.next()).await;
        assert!(matches!(accepted, Event::Accepted { .. }), "{accepted:?}");
        send_datagram(&edge, 9, &object(newest, 0, 160));
        let arrived = soon(inlet.next()).await;
        assert!(
            matches!(&arrived, Event::Arrival { track: of, arrival: Arrival::Object { object, .. } }
                if (*of, object.group) == (track, newest)),
            "{arrived:?}"
        );
        inlet.cancel(track);
        // Was on its way when the subscription was taken back.
        send_datagram(&edge, 9, &object(newest + 1, 0, 160));
        edge.send_goaway(Goaway::default()).ok();
        if track == AUDIO {
            let said = soon(inlet.next()).await;
            assert!(matches!(said, Event::Goaway(_)), "{said:?}");
        }
    }
}

#[tokio::test]
async fn datagrams_arrive_as_objects() {
    let mut talk = talk(Over::Quic, Draft::D22).await;
    talk.subscribe(AUDIO, Parameters::default()).await;
    let sound = object(7, 0, 160);
    send_datagram(&talk.publisher, AUDIO as u64, &sound);
    assert_eq!(talk.received(1).await, [sound]);
}

#[tokio::test]
async fn a_dialer_connects_over_each_transport_and_shows_its_token() {
    let identity = Identity::ephemeral().unwrap();
    let trust = Trust::Fingerprints(vec![identity.fingerprint().unwrap()]);
    let tcp_tls = tls::server(identity.clone(), vec![b"http/1.1".to_vec()]).unwrap();
    let quic_tls = tls::server(identity, tls::client_facing_protocols()).unwrap();
    let settings = QuicSettings::client_side();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = settings.server_config(quic_tls).unwrap();
    let endpoint = settings.endpoint(any, Some(config)).unwrap();
    let port = endpoint.local_addr().unwrap().port();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = listener.await.unwrap();

    for transport in [Transport::Quic, Transport::WebTransport, Transport::Qmux] {
        let dialer = Dialer {
            url: format!("moqt://127.0.0.1:{port}/m?x=1").parse().unwrap(),
            transport,
            drafts: vec![Draft::D20],
            trust: trust.clone(),
            token: Some("secret".to_owned()),
            patience: Duration::from_secs(10),
            harbour: None,
        };
        let accept = async {
            let connection = if transport == Transport::Qmux {
                let (stream, remote) = listener.accept().await.unwrap();
                let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tcp_tls.clone()));
                let stream = acceptor.accept(stream).await.unwrap();
                let settings = WebSocketSettings::default();
                accept_web_socket(stream, remote, &settings).await.unwrap()
            } else {
                let connection = endpoint.accept().await.unwrap().await.unwrap();
                let incoming = Incoming::read(connection).await.unwrap();
                incoming.accept().await.unwrap()
            };
            let session = Session::accept(connection, Options::default()).await;
            session.unwrap()
        };
        let (dialed, server) = soon(join(dialer.dial(), accept)).await;
        let line = dialed.unwrap().line;
        assert_eq!(line.session.draft(), Draft::D20);
        let (path, tokens) = match server.connection().path_and_query() {
            Some(path) => (path.to_owned(), 0),
            None => {
                let path = server.peer_setup().path.clone().unwrap();
                (String::from_utf8(path.to_vec()).unwrap(), 1)
            }
        };
        let expected = match transport {
            Transport::Quic => "/m?x=1",
            _ => "/m?x=1&jwt=secret",
        };
        assert_eq!(path, expected);
        assert_eq!(server.peer_setup().authorization_tokens.len(), tokens);
        line.hang_up().await;
    }
}

fn send_datagram(publisher: &Session, track_alias: u64, object: &Object) {
    let datagram = ObjectDatagram {
        track_alias,
        group: object.group,
        object: object.object,
        priority: None,
        properties: Some(object.properties.0.clone()),
        end_of_group: true,
        status: ObjectStatus::Normal,
        payload: object.payload.clone(),
    };
    let mut bytes = BytesMut::new();
    datagram.encode(&mut bytes);
    let connection = publisher.connection();
    connection.send_datagram(bytes.freeze()).unwrap();
}

/// A publisher that has announced itself, and a watcher at the other end of its connection.
struct Talk {
    outlet: Outlet,
    /// Absent where a test plays the watcher by hand.
    inlet: Option<Inlet>,
    publisher: Session,
    watcher: Session,
    _announcement: RequestStream,
    _endpoints: Vec<quinn::Endpoint>,
}

async fn talk(over: Over, draft: Draft) -> Talk {
    let Sessions {
        client: publisher,
        server: watcher,
        endpoints,
    } = sessions(over, draft).await;
    let offer = |name: &str, single_objects| Offer {
        name: name.to_owned(),
        properties: Properties::default(),
        priority: 16,
        single_objects,
    };
    let offers = vec![offer("audio", true), offer("video-high", false)];
    let mut outlet = Outlet::new(namespace(), offers);
    let (announced, request) = announced(&publisher, &watcher).await;
    outlet.attach(announced);
    Talk {
        outlet,
        inlet: Some(Inlet::new(watcher.clone())),
        publisher,
        watcher,
        _announcement: request,
        _endpoints: endpoints,
    }
}

/// Announces the publisher's namespace; the watcher says yes.
async fn announced(publisher: &Session, watcher: &Session) -> (Announced, RequestStream) {
    let welcoming = async {
        let IncomingRequest {
            message, stream, ..
        } = watcher.accept_request().await.unwrap();
        assert!(matches!(message, Message::PublishNamespace(_)));
        let ok = Message::RequestOk(RequestOk::default());
        stream.send(&ok).unwrap();
        stream
    };
    let announcing = announce(publisher.clone(), namespace());
    let (announced, stream) = soon(join(announcing, welcoming)).await;
    (announced.unwrap(), stream)
}

/// What was told as missing, and what came.
type Past = (Option<(RangeGap, Location)>, Vec<Object>);

/// Builds a request around its ID.
type Ask = Box<dyn FnOnce(u64) -> Message>;

impl Talk {
    fn publish(&mut self, track: usize, objects: &[Object]) {
        for object in objects {
            self.outlet.publish(track, object);
        }
    }

    /// The inlet's next event while the outlet serves.
    async fn event(&mut self) -> Event {
        let inlet = self.inlet.as_mut().unwrap();
        serve(&mut self.outlet, inlet.next()).await
    }

    async fn subscribe(&mut self, track: usize, params: Parameters) {
        let inlet = self.inlet.as_mut().unwrap();
        let asked = inlet.subscribe(track, name(TRACKS[track]), params);
        soon(asked).await.unwrap();
        let event = self.event().await;
        assert!(matches!(event, Event::Accepted { .. }), "{event:?}");
    }

    /// So many objects, sorted: groups arrive in any order.
    async fn received(&mut self, count: usize) -> Vec<Object> {
        let mut seen = Vec::new();
        while seen.len() < count {
            match self.event().await {
                Event::Arrival {
                    arrival: Arrival::Object { object, .. },
                    ..
                } => seen.push(object),
                Event::Arrival { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        seen.sort_by_key(Object::location);
        seen
    }

    /// Ends the broadcast; what came until the last word and the ends of so many groups.
    async fn finish(mut self, count: usize) -> (Vec<Object>, Option<PublishDoneCode>) {
        let mut inlet = self.inlet.take().unwrap();
        let watching = async {
            let (mut seen, mut done) = (Vec::new(), None);
            while done.is_none() || seen.len() < count {
                match inlet.next().await {
                    Event::Arrival {
                        arrival: Arrival::Object { object, .. },
                        ..
                    } => seen.push(object),
                    Event::Arrival { .. } => {}
                    Event::Done { code, .. } => done = code,
                    other => panic!("{other:?}"),
                }
            }
            seen.sort_by_key(Object::location);
            (seen, done)
        };
        soon(join(self.outlet.finish(), watching)).await.1
    }

    /// From here on the test plays the watcher.
    async fn ask(&mut self, build: Ask) -> (RequestStream, Message) {
        self.inlet = None;
        let watcher = self.watcher.clone();
        let asking = async {
            let mut request = watcher.open_request(build).await.unwrap();
            match request.recv().await.unwrap() {
                RequestEvent::Message(answer) => (request, answer),
                other => panic!("{other:?}"),
            }
        };
        serve(&mut self.outlet, asking).await
    }

    async fn subscribe_by_hand(
        &mut self,
        track: usize,
        params: Parameters,
    ) -> (RequestStream, SubscribeOk) {
        let track = name(TRACKS[track]);
        let build = |request_id| {
            Message::Subscribe(Subscribe {
                request_id,
                track,
                params,
            })
        };
        match self.ask(Box::new(build)).await {
            (request, Message::SubscribeOk(ok)) => (request, ok),
            (_, other) => panic!("{other:?}"),
        }
    }

    /// Fetches to the end, as a peer does that ends its request only then.
    async fn past(&mut self, ask: Ask, order: GroupOrder) -> (FetchOk, Past) {
        let (mut request, answer) = self.ask(ask).await;
        let Message::FetchOk(ok) = answer else {
            panic!("{answer:?}")
        };
        let past = self.fetch_stream(order).await;
        let fin = serve(&mut self.outlet, request.recv()).await;
        assert_eq!(fin, Ok(RequestEvent::Fin));
        request.finish().unwrap();
        let done = serve(&mut self.outlet, request.recv()).await;
        assert_eq!(done, Ok(RequestEvent::Done));
        (ok, past)
    }

    /// What comes on the next fetch or fill stream.
    async fn fetch_stream(&mut self, order: GroupOrder) -> Past {
        let watcher = self.watcher.clone();
        let mut decoder = FetchDecoder::new(watcher.draft(), order);
        let reading = async {
            let mut stream = loop {
                match watcher.accept_data().await.unwrap() {
                    DataStream::Subgroup { .. } => {}
                    DataStream::Fetch { first, stream } => {
                        decoder.push(first);
                        break stream;
                    }
                }
            };
            while let Some(chunk) = stream.read_chunk(65_536).await.unwrap() {
                decoder.push(chunk);
            }
        };
        serve(&mut self.outlet, reading).await;
        let past = objects(&mut decoder);
        assert!(decoder.is_at_boundary());
        past
    }
}

fn objects(decoder: &mut FetchDecoder) -> Past {
    let (mut gap, mut found) = (None, Vec::<Object>::new());
    let mut payload = BytesMut::new();
    while let Some(event) = decoder.poll().unwrap() {
        match event {
            FetchEvent::Header(_) => {}
            FetchEvent::EndOfRange { kind, end } => gap = Some((kind, end)),
            FetchEvent::Object {
                header,
                wire,
                head_len,
            } => {
                payload.extend_from_slice(&wire[head_len..]);
                found.push(Object {
                    group: header.group,
                    object: header.object,
                    properties: Properties(header.properties),
                    payload: Bytes::new(),
                });
            }
            FetchEvent::Payload(more) => payload.extend_from_slice(&more),
            FetchEvent::ObjectEnd => {
                found.last_mut().unwrap().payload = payload.split().freeze();
            }
        }
    }
    (gap, found)
}

/// Waits for `future` while the outlet serves.
async fn serve<T>(outlet: &mut Outlet, future: impl Future<Output = T>) -> T {
    soon(async {
        tokio::select! {
            ended = outlet.serve() => panic!("{ended:?}"),
            output = future => output,
        }
    })
    .await
}

fn refused((_, answer): (RequestStream, Message)) -> RequestError {
    match answer {
        Message::RequestError(error) => error,
        other => panic!("{other:?}"),
    }
}

fn fetch(track: FullTrackName, params: Parameters) -> Ask {
    Box::new(|request_id| {
        Message::Fetch(Fetch {
            request_id,
            track: Some(track),
            filter: FetchFilter::Range,
            params,
        })
    })
}

/// The group that the subscription with the request ID `joined` began in.
fn join_fetch(joined: u64) -> Ask {
    Box::new(move |request_id| {
        Message::Fetch(Fetch {
            request_id,
            track: None,
            filter: FetchFilter::RelativeJoining {
                request_id: joined,
                groups_back: 0,
            },
            params: Parameters::default(),
        })
    })
}

fn status(track: &str) -> Ask {
    let track = name(track);
    Box::new(|request_id| {
        Message::TrackStatus(Subscribe {
            request_id,
            track,
            params: Parameters::default(),
        })
    })
}

const TRACKS: [&str; 2] = ["audio", "video-high"];

fn namespace() -> Namespace {
    Namespace::new(["meridian", "demo", "p", "bkk"]).unwrap()
}

fn name(track: &str) -> FullTrackName {
    FullTrackName::new(namespace(), Bytes::from(track.to_owned())).unwrap()
}

fn filtered(filter: LocationFilter) -> Parameters {
    Parameters {
        location_filter: Some(filter),
        ..Parameters::default()
    }
}

fn newest() -> Parameters {
    filtered(LocationFilter::Relative { groups_back: 1 })
}

fn absolute(start: Location, end_group: Option<u64>) -> LocationFilter {
    LocationFilter::Absolute {
        start,
        end_group,
        end_object: None,
    }
}

/// Groups of one object, from 0 on.
fn sounds(count: u64) -> Vec<Object> {
    (0..count).map(|group| object(group, 0, 160)).collect()
}

/// A group of objects larger than a packet.
fn pictures(group: u64, count: u64) -> Vec<Object> {
    (0..count).map(|id| object(group, id, 6_000)).collect()
}

fn object(group: u64, object: u64, len: usize) -> Object {
    let timestamp = 1_000_000 + group * 1_000 + object;
    Object {
        group,
        object,
        properties: Properties::builder().timestamp(timestamp).build().unwrap(),
        payload: Bytes::from(vec![object as u8; len]),
    }
}
