//! An edge between real sessions over real QUIC.

mod common;

use common::*;
use meridian_session::session::{Options, RequestEvent};
use meridian_wire::{Draft, Message, Parameters, RequestErrorCode, TerminationCode};
use std::collections::BTreeSet;

fn audio_crosses(draft: Draft) {
    run(async move {
        let (_edge, address) = open_edge().await;
        let publisher = connect(address, draft).await;
        let _announced = announce(&publisher).await;
        let subscriber = connect(address, draft).await;
        let mut asked = subscribe(&subscriber, "audio", Parameters::default()).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let ok = expect_subscribe_ok(&mut asked).await;
        for group in 100..150 {
            let payload = [group as u8; 160];
            send_stream(&publisher, audio(7, group, &payload)).await;
            let expected = audio(ok.track_alias, group, &payload);
            assert_eq!(receive_stream(&subscriber).await, expected, "group {group}");
        }
    });
}

#[test]
fn audio_crosses_an_edge_on_draft_22() {
    audio_crosses(Draft::D22);
}

#[test]
fn audio_crosses_an_edge_on_draft_20() {
    audio_crosses(Draft::D20);
}

#[test]
fn audio_crosses_an_edge_on_draft_18() {
    audio_crosses(Draft::D18);
}

#[test]
fn an_audience_of_several_bursts_gets_everything_once_while_more_comes_in_and_somebody_leaves() {
    run(async {
        let (_edge, address) = open_edge().await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let mut audience = Vec::new();
        for _ in 0..40 {
            let subscriber = connect(address, Draft::D22).await;
            let params = Parameters {
                rendezvous_timeout: Some(10_000),
                ..Parameters::default()
            };
            let asked = subscribe(&subscriber, "audio", params).await;
            audience.push((subscriber, asked));
        }
        let _upstream = accept_subscribe(&publisher, 7).await;
        let mut aliases = Vec::new();
        for (_, asked) in &mut audience {
            aliases.push(expect_subscribe_ok(asked).await.track_alias);
        }
        let (leaver, _) = audience.remove(20);
        aliases.remove(20);
        for group in 0..60 {
            send_stream(&publisher, audio(7, group, &[group as u8; 100])).await;
            if group == 30 {
                leaver.close(TerminationCode::NO_ERROR, "goes home");
            }
        }
        for ((subscriber, _), alias) in audience.iter().zip(aliases) {
            let mut heard = BTreeSet::new();
            for _ in 0..60 {
                let object = receive_stream(subscriber).await;
                let group = *object.last().expect("it has a payload");
                assert_eq!(object, audio(alias, group.into(), &[group; 100]));
                assert!(heard.insert(group), "group {group} came twice");
            }
            assert_eq!(heard.len(), 60);
        }
    });
}

#[test]
fn the_last_of_an_audience_of_several_bursts_gets_an_object_though_nothing_else_happens() {
    run(async {
        let (_edge, address) = open_edge().await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let mut audience = Vec::new();
        for _ in 0..40 {
            let subscriber = connect(address, Draft::D22).await;
            let asked = subscribe(&subscriber, "audio", Parameters::default()).await;
            audience.push((subscriber, asked));
        }
        let _upstream = accept_subscribe(&publisher, 7).await;
        let mut aliases = Vec::new();
        for (_, asked) in &mut audience {
            aliases.push(expect_subscribe_ok(asked).await.track_alias);
        }
        send_stream(&publisher, audio(7, 1, b"hello")).await;
        for ((subscriber, _), alias) in audience.iter().zip(aliases) {
            let object = receive_stream(subscriber).await;
            assert_eq!(object, audio(alias, 1, b"hello"));
        }
    });
}

#[test]
fn an_unknown_track_does_not_exist() {
    run(async {
        let (_edge, address) = open_edge().await;
        let subscriber = connect(address, Draft::D22).await;
        let mut asked = subscribe(&subscriber, "audio", Parameters::default()).await;
        match asked.recv().await.expect("the session lives") {
            RequestEvent::Message(Message::RequestError(error)) => {
                assert_eq!(error.code, RequestErrorCode::DOES_NOT_EXIST);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_subscriber_that_asked_to_wait_is_served_when_the_publisher_comes() {
    run(async {
        let (_edge, address) = open_edge().await;
        let subscriber = connect(address, Draft::D22).await;
        let params = Parameters {
            rendezvous_timeout: Some(10_000),
            ..Parameters::default()
        };
        let mut asked = subscribe(&subscriber, "audio", params).await;
        let publisher = connect(address, Draft::D22).await;
        let _announced = announce(&publisher).await;
        let _upstream = accept_subscribe(&publisher, 7).await;
        let ok = expect_subscribe_ok(&mut asked).await;
        send_stream(&publisher, audio(7, 1, b"hello")).await;
        assert_eq!(
            receive_stream(&subscriber).await,
            audio(ok.track_alias, 1, b"hello")
        );
    });
}

#[test]
fn sessions_offer_as_many_filter_ranges_as_the_relay_takes() {
    let offered = Options::default().setup.max_filter_ranges;
    let taken = meridian_relay::Config::default().max_filter_ranges;
    assert_eq!(offered, Some(taken as u64));
}
