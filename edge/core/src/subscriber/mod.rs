//! Towards those who subscribe: what they ask for, and how it gets to them, also when they are slow.

pub(crate) mod congestion;
pub(crate) mod fanout;
pub(crate) mod filter;
pub(crate) mod onward;
pub(crate) mod stuck;
pub(crate) mod subscribe;
pub(crate) mod subscription;
pub(crate) mod update;
