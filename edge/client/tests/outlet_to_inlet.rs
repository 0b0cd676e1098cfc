//! The publishing and the watching side over a real connection, with nothing in between.

use bytes::Bytes;
use meridian_client::cli::TransportName;
use meridian_client::dial::Dialer;
use meridian_client::group_clock::CaptureClock;
use meridian_client::inlet::{Arrival, Event, Inlet};
use meridian_client::loc::{LocObject, Packager};
use meridian_client::media::{Frame, Kind, VideoCodec, VideoFormat};
use meridian_client::outlet::{Offer, Outlet, announce};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{IncomingRequest, Options, RequestStream, Session};
use meridian_session::tls::{self, Identity, Trust};
use meridian_session::transport::Incoming;
use meridian_wire::control::RequestOk;
use meridian_wire::error::PublishDoneCode;
use meridian_wire::property::Properties;
use meridian_wire::{
    Draft, FullTrackName, LocationFilter, Message, Namespace, Parameters, RequestErrorCode,
};
use std::net::SocketAddr;
use std::time::Duration;

const NOON_US: u64 = 1_793_880_000_000_000;
const AUDIO: usize = 0;
const VIDEO: usize = 1;

#[tokio::test]
async fn who_joins_gets_the_newest_group_from_its_start_and_then_what_comes() {
    let (mut outlet, mut inlet, _request) = joined(Draft::D22).await;
    let objects = pictures(10);
    for object in &objects[..4] {
        outlet.publish(VIDEO, object);
    }
    let newest = Some(LocationFilter::Relative { groups_back: 1 });
    inlet
        .subscribe(VIDEO, name("video-high"), filtered(newest))
        .await
        .expect("asks");
    assert!(matches!(
        event(&mut outlet, &mut inlet).await,
        Event::Accepted { track: VIDEO, .. }
    ));
    for object in &objects[4..] {
        assert_eq!(outlet.publish(VIDEO, object).taken, 1);
    }
    assert_eq!(
        received(&mut outlet, &mut inlet, 10).await,
        places(&objects)
    );
}

#[tokio::test]
async fn each_sound_frame_is_a_whole_group_on_every_draft() {
    for draft in Draft::PREFERRED {
        let (mut outlet, mut inlet, _request) = joined(draft).await;
        let next = Some(LocationFilter::NextObject);
        inlet
            .subscribe(AUDIO, name("audio"), filtered(next))
            .await
            .expect("asks");
        assert!(matches!(
            event(&mut outlet, &mut inlet).await,
            Event::Accepted { .. }
        ));
        let objects = sounds(50);
        for object in &objects {
            outlet.publish(AUDIO, object);
        }
        assert_eq!(
            received(&mut outlet, &mut inlet, 50).await,
            places(&objects),
            "{draft:?}"
        );
    }
}

#[tokio::test]
async fn an_interrupted_watcher_goes_on_at_the_next_object() {
    let (mut outlet, mut inlet, _request) = joined(Draft::D20).await;
    let objects = pictures(6);
    for object in &objects[..5] {
        outlet.publish(VIDEO, object);
    }
    let next = Some(LocationFilter::Absolute {
        start: meridian_wire::Location {
            group: objects[0].group,
            object: 3,
        },
        end_group: None,
        end_object: None,
    });
    inlet
        .subscribe(VIDEO, name("video-high"), filtered(next))
        .await
        .expect("asks");
    assert!(matches!(
        event(&mut outlet, &mut inlet).await,
        Event::Accepted { .. }
    ));
    outlet.publish(VIDEO, &objects[5]);
    assert_eq!(
        received(&mut outlet, &mut inlet, 3).await,
        places(&objects[3..])
    );
}

#[tokio::test]
async fn an_unknown_track_is_refused() {
    let (mut outlet, mut inlet, _request) = joined(Draft::D22).await;
    inlet
        .subscribe(7, name("nothing"), Parameters::default())
        .await
        .expect("asks");
    match event(&mut outlet, &mut inlet).await {
        Event::Refused { track: 7, error } => {
            assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broadcast_ends_with_everything_delivered_and_a_last_word() {
    let (mut outlet, mut inlet, _request) = joined(Draft::D22).await;
    inlet
        .subscribe(VIDEO, name("video-high"), Parameters::default())
        .await
        .expect("asks");
    assert!(matches!(
        event(&mut outlet, &mut inlet).await,
        Event::Accepted { .. }
    ));
    let objects = pictures(5);
    for object in &objects {
        outlet.publish(VIDEO, object);
    }
    let watching = async {
        let (mut seen, mut group_ended) = (Vec::new(), false);
        let mut done = None;
        while done.is_none() || !group_ended {
            match inlet.next().await {
                Event::Arrival {
                    arrival:
                        Arrival::Object {
                            group,
                            object,
                            payload,
                            ..
                        },
                    ..
                } => {
                    seen.push((group, object, payload));
                }
                Event::Arrival {
                    arrival: Arrival::GroupEnd { .. },
                    ..
                } => group_ended = true,
                Event::Done { code, .. } => done = code,
                other => panic!("{other:?}"),
            }
        }
        (seen, done)
    };
    let ((), (seen, done)) = tokio::join!(outlet.finish(), watching);
    assert_eq!(
        (seen, done),
        (places(&objects), Some(PublishDoneCode::TRACK_ENDED))
    );
}

/// A publisher that has announced itself, and a watcher at the other end of its connection.
async fn joined(draft: Draft) -> (Outlet, Inlet, RequestStream) {
    tls::install_default();
    let identity = Identity::ephemeral().expect("a certificate");
    let trust = Trust::Fingerprints(vec![identity.fingerprint().expect("has a leaf")]);
    let settings = QuicSettings::client_side();
    let server = tls::server(identity, tls::client_facing_protocols()).expect("TLS");
    let server = settings.server_config(server).expect("QUIC");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let endpoint = settings.endpoint(any, Some(server)).expect("binds");
    let port = endpoint.local_addr().expect("bound").port();
    let accepting = async {
        let connection = endpoint
            .accept()
            .await
            .expect("open")
            .await
            .expect("connects");
        let incoming = Incoming::read(connection).await.expect("speaks MoQT");
        let connection = incoming.accept().await.expect("connects");
        let session = Session::accept(connection, Options::default())
            .await
            .expect("sets up");
        let IncomingRequest {
            message, stream, ..
        } = session.accept_request().await.expect("asks");
        assert!(matches!(message, Message::PublishNamespace(_)));
        stream
            .send(&Message::RequestOk(RequestOk::default()))
            .expect("answers");
        (Inlet::new(session), stream)
    };
    let dialer = Dialer {
        url: format!("moqt://127.0.0.1:{port}").parse().expect("a URL"),
        transport: TransportName::Quic,
        drafts: vec![draft],
        trust,
        token: None,
        patience: Duration::from_secs(10),
    };
    let publishing = async {
        let dialed = dialer.dial().await.expect("connects");
        let announced = announce(dialed.line.session, namespace())
            .await
            .expect("is welcome");
        let offer = |name: &str, single_objects| Offer {
            name: name.to_owned(),
            properties: Properties::default(),
            priority: 16,
            single_objects,
        };
        let mut outlet = Outlet::new(
            namespace(),
            vec![offer("audio", true), offer("video-high", false)],
        );
        outlet.attach(announced);
        outlet
    };
    let ((inlet, request), outlet) = tokio::join!(accepting, publishing);
    (outlet, inlet, request)
}

/// The inlet's next event while the outlet serves.
async fn event(outlet: &mut Outlet, inlet: &mut Inlet) -> Event {
    tokio::select! {
        ended = outlet.serve() => panic!("{ended:?}"),
        event = inlet.next() => event,
    }
}

/// So many objects, sorted: groups arrive in any order.
async fn received(outlet: &mut Outlet, inlet: &mut Inlet, count: usize) -> Vec<(u64, u64, Bytes)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match event(outlet, inlet).await {
            Event::Arrival {
                arrival:
                    Arrival::Object {
                        group,
                        object,
                        payload,
                        ..
                    },
                ..
            } => {
                seen.push((group, object, payload));
            }
            Event::Arrival { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    seen.sort();
    seen
}

fn places(objects: &[LocObject]) -> Vec<(u64, u64, Bytes)> {
    objects
        .iter()
        .map(|object| (object.group, object.object, object.payload.clone()))
        .collect()
}

fn namespace() -> Namespace {
    Namespace::new(["meridian", "demo", "p", "bkk"]).expect("valid")
}

fn name(track: &str) -> FullTrackName {
    FullTrackName {
        namespace: namespace(),
        name: Bytes::from(track.to_owned()),
    }
}

fn filtered(location_filter: Option<LocationFilter>) -> Parameters {
    Parameters {
        location_filter,
        ..Parameters::default()
    }
}

fn sounds(count: u64) -> Vec<LocObject> {
    let mut packager = Packager::audio();
    objects(count, 20_000, Kind::Audio, &mut packager)
}

/// One group of pictures, each larger than a packet.
fn pictures(count: u64) -> Vec<LocObject> {
    let mut packager = Packager::video(&VideoFormat {
        codec: VideoCodec::Vp8,
        codec_string: "vp8".to_owned(),
        width: 64,
        height: 64,
        config: None,
    });
    objects(count, 40_000, Kind::Video, &mut packager)
}

fn objects(count: u64, step_us: u64, kind: Kind, packager: &mut Packager) -> Vec<LocObject> {
    let clock = CaptureClock::starting_at(NOON_US);
    let frames = (0..count).map(|index| Frame {
        kind,
        pts_us: index * step_us,
        duration_us: None,
        key: kind == Kind::Audio || index == 0,
        discardable: false,
        data: vec![index as u8; if kind == Kind::Audio { 160 } else { 6_000 }].into(),
    });
    frames
        .map(|frame| packager.package(&frame, clock.capture_us(frame.pts_us)))
        .collect()
}
