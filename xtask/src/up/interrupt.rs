//! Ctrl-C and `kill` as a flag, so that what runs is stopped in order.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Result, ensure};
use signal_hook::{consts, flag};

/// Whether this process has been asked to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. A second Ctrl-C ends the process at once.
    ///
    /// # Errors
    /// If the operating system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        // Handlers run in the order of registration: this one sees what an earlier signal set.
        flag::register_conditional_shutdown(consts::SIGINT, EXIT_INTERRUPTED, asked.clone())?;
        flag::register(consts::SIGINT, asked.clone())?;
        flag::register(consts::SIGTERM, asked.clone())?;
        Ok(Self(asked))
    }

    /// For long waits.
    ///
    /// # Errors
    /// Once a signal has come.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.asked(), "interrupted");
        Ok(())
    }

    /// True once a signal has come.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shell reports for a process ended by Ctrl-C.
const EXIT_INTERRUPTED: i32 = 130;
