//! A talk that crosses offices: lines that join them, frames every 20 ms, and who hears them.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::common::{audio, receive_stream, send_stream};
use meridian_session::session::Session;
use meridian_wire::Parameters;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

/// A line of a configuration for each.
pub(crate) fn child(office: &str) -> String {
    format!("[[neighbour]]\noffice = \"{office}\"\nrole = \"child\"\n")
}

pub(crate) fn above(office: &str, role: &str, address: SocketAddr) -> String {
    format!("[[neighbour]]\noffice = \"{office}\"\nrole = \"{role}\"\naddress = \"{address}\"\n")
}

pub(crate) fn patient() -> Parameters {
    Parameters {
        rendezvous_timeout: Some(20_000),
        ..Parameters::default()
    }
}

/// Publishes a frame every 20 ms for as long as it is polled.
pub(crate) async fn speak(publisher: &Session, alias: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for group in 1000.. {
        ticks.tick().await;
        send_stream(publisher, audio(alias, group, &[group as u8; 160])).await;
    }
}

/// The group of the next frame, which must be as it was sent.
pub(crate) async fn hear(subscriber: &Session, alias: u64) -> u64 {
    let stream = receive_stream(subscriber).await;
    let group = (1000..10_000).find(|group| stream == audio(alias, *group, &[*group as u8; 160]));
    group.expect("every frame arrives as it was sent")
}

/// Whether every frame between the first and the last is there.
pub(crate) fn has_no_hole(heard: &BTreeSet<u64>) -> bool {
    let (first, last) = (heard.first().expect("some"), heard.last().expect("some"));
    last - first + 1 == heard.len() as u64
}
