//! FETCH and fills: objects of the past, from what is held and from publishers.

pub(crate) mod fetch;
pub(crate) mod fetching;
pub(crate) mod fill;
pub(crate) mod held;
pub(crate) mod intake;
pub(crate) mod look;
pub(crate) mod reach;
pub(crate) mod serve;
pub(crate) mod serving;
pub(crate) mod stretch;
