//! Last miles: what is between somebody and the edges, and what their device takes.

use super::span::Span;
use crate::wan::{Changes, LinkParams};
use serde::Deserialize;

/// Somebody's last mile and device.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Both ways, as for `meridian-wan`: `delay=20ms,jitter=5ms,loss=1%,rate=5mbit`. The path from the nearest office to
    /// the edge comes on top.
    #[serde(default)]
    pub path: String,
    /// What is different towards the edge.
    #[serde(default)]
    pub up: String,
    /// What is different from the edge.
    #[serde(default)]
    pub down: String,
    /// Nothing comes through but TCP: they come by WebSocket.
    #[serde(default)]
    pub udp_blocked: bool,
    /// Takes no video, whatever the crowd does.
    #[serde(default)]
    pub audio_only: bool,
    /// After so long they read nothing any more, but stay.
    #[serde(default)]
    pub stalls_after: Option<Span>,
}

impl Profile {
    /// The names of those that are always there.
    pub const KNOWN: [&str; 6] = [
        "office",
        "fibre",
        "mobile",
        "slow-link",
        "udp-blocked",
        "stalled",
    ];

    /// One of [`Profile::KNOWN`].
    pub fn known(name: &str) -> Option<Profile> {
        let path = |path: &str| Profile {
            path: path.to_owned(),
            ..Profile::default()
        };
        Some(match name {
            "office" => path("delay=1ms"),
            "fibre" => path("delay=5ms,jitter=1ms"),
            "mobile" => path("delay=25ms,jitter=15ms,loss=0.5%,rate=8mbit"),
            "slow-link" => Profile {
                audio_only: true,
                ..path("delay=60ms,jitter=30ms,loss=1%,rate=300kbit,queue=32k")
            },
            "udp-blocked" => Profile {
                udp_blocked: true,
                ..path("delay=5ms")
            },
            "stalled" => Profile {
                stalls_after: Some(Span(std::time::Duration::from_secs(10))),
                ..path("delay=5ms")
            },
            _ => return None,
        })
    }

    /// What the path does towards the edge and from it.
    ///
    /// # Errors
    /// What to mend.
    pub fn links(&self) -> Result<(LinkParams, LinkParams), String> {
        let changes = |text: &str| {
            let parsed = text.parse::<Changes>();
            parsed.map_err(|error| error.to_string())
        };
        let both = changes(&self.path)?;
        let one = |own: &str| {
            let mut params = LinkParams::default();
            params.apply(&both);
            params.apply(&changes(own)?);
            Ok::<_, String>(params)
        };
        Ok((one(&self.up)?, one(&self.down)?))
    }
}
