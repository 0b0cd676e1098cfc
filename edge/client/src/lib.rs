//! The native client: publishes real media files as LOC tracks with an MSF catalog, watches them into files again, and
//! probes edges. The binary `meridian` is a thin shell over this.

pub mod catalog;
pub mod cli;
pub mod dial;
pub mod digest;
pub mod exit;
pub mod group_clock;
pub mod join;
pub mod ledger;
pub mod link;
pub mod loc;
pub mod media;
pub mod meter;
pub mod probe;
pub mod publish;
pub mod recording;
pub mod report;
pub mod wall;
pub mod watch;
pub mod way;
