//! The MoQT relay, sans-IO.
//!
//! Everything a relay decides lives here: which tracks there are, what is cached, who gets which bytes on which stream,
//! whom to ask for a track and when to give up. It opens no socket, reads no clock and rolls no dice: time and
//! randomness are arguments. A shell feeds [`Relay`] with `handle_*`, then drains [`Relay::poll_delivery`] and
//! [`Relay::poll_command`] and wakes it at [`Relay::poll_timeout`].

mod command;
mod config;
mod counters;
mod id;
mod past;
mod publisher;
mod relay;
mod request;
mod screen;
mod session;
mod subscriber;
mod timer;
mod track;
mod tree;

pub use command::{Body, Command, Delivery, End, Opening, Outgoing};
pub use config::Config;
pub use counters::{Counters, DropReason};
pub use id::{InStreamId, OutRequestId, OutStreamId, SessionId, SubscriptionId, TrackId};
pub use relay::Relay;
pub use session::{Peer, Permissions, Role};
pub use track::talk::Talk;
