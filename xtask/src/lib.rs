//! The developer tasks, one module each, and what they share: running commands, the workspace's
//! folders, certificates, the talk. Depends on none of Meridian's own crates, so that it builds
//! before anything they need is installed.

/// A line on standard output. Nobody may be reading it any more; that is no reason to stop.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

pub mod bench;
pub mod browser;
pub mod certs;
pub mod check;
pub mod faults;
pub mod interop;
pub mod links;
pub mod loadtest;
pub mod moves;
pub mod priority;
pub mod setup;
pub mod shell;
pub mod talk;
pub mod test;
pub mod up;
pub mod workspace;
