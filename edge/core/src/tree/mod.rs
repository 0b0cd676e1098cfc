//! Between edges: who announces what, whom to ask for a track, and the way to the root.

pub(crate) mod goaway;
pub(crate) mod namespace;
pub(crate) mod offer;
pub(crate) mod place;
pub(crate) mod root_path;
pub(crate) mod routing;
pub(crate) mod status;
pub(crate) mod watch;
pub(crate) mod watch_up;
