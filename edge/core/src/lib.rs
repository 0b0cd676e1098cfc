//! The MoQT relay, sans-IO.
//!
//! Everything a relay decides lives here: which tracks there are, what is cached, who gets which bytes on which stream,
//! whom to ask for a track and when to give up. It opens no socket, reads no clock and rolls no dice: time and
//! randomness are arguments. A shell feeds [`Relay`] with `handle_*`, then drains [`Relay::poll_delivery`] and
//! [`Relay::poll_command`] and wakes it at [`Relay::poll_timeout`].

mod cache;
mod command;
mod config;
mod congestion;
mod counters;
mod datagram;
mod ending;
mod evict;
mod expiry;
mod fanout;
mod fetch;
mod fetching;
mod fill;
mod filter;
mod goaway;
mod id;
mod ingest;
mod intake;
mod look;
mod namespace;
mod offer;
mod onward;
mod past;
mod publish;
mod reach;
mod relay;
mod request;
mod root_path;
mod routing;
mod screen;
mod serve;
mod serving;
mod session;
mod source;
mod status;
mod stretch;
mod stuck;
mod subgroup;
mod subscribe;
mod subscription;
mod timer;
mod track;
mod update;
mod upstream;
mod waiting;
mod watch;
mod watch_up;

pub use command::{Body, Command, Delivery, End, Opening, Outgoing};
pub use config::Config;
pub use counters::{Counters, DropReason};
pub use id::{InStreamId, OutRequestId, OutStreamId, SessionId, SubscriptionId, TrackId};
pub use relay::Relay;
pub use session::{Peer, Permissions, Role};
