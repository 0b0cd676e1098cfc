//! Limits on what a peer may make us hold, with their reasons.
