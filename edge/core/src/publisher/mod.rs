//! Towards those who publish: our subscriptions at them, and what they send.

pub(crate) mod datagram;
pub(crate) mod ending;
pub(crate) mod expiry;
pub(crate) mod ingest;
pub(crate) mod publish;
pub(crate) mod source;
pub(crate) mod upstream;
pub(crate) mod waiting;
