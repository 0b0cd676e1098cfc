//! Processes on cores of their own, and what they use.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The core of what is measured.
pub(crate) const RELAY_CORE: usize = 0;
/// The core of the load.
pub(crate) const LOAD_CORE: usize = 1;

/// A server under measurement; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
    /// Files of its own.
    folder: Option<TempDir>,
}

impl Server {
    /// Starts `program` on the relay's core. `args` get the address it is to listen on.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(
        program: &Path,
        args: impl Fn(SocketAddr) -> Vec<String>,
    ) -> Result<Server> {
        let address = free_address()?;
        // A child starts where its parent's thread is.
        stay_on(RELAY_CORE)?;
        let child = Command::new(program)
            .args(args(address))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        stay_on(LOAD_CORE)?;
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Server {
            child,
            address,
            folder: None,
        })
    }

    /// Keeps a folder for as long as the server is there.
    pub(super) fn keeping(self, folder: TempDir) -> Server {
        let mut server = self;
        server.folder = Some(folder);
        server
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended already there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and threads and processes that it starts, on one core.
///
/// # Errors
/// There is no such core: relay and load would measure each other.
pub(crate) fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("core {core} cannot be used"))
}

/// CPU time a process has used, all threads that live together, to the scheduler's nanosecond.
///
/// # Errors
/// The process is gone, or the kernel keeps no such account.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let account = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = account
            .split_whitespace()
            .next()
            .context("schedstat is empty")?;
        nanos += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Memory a process holds, in KiB, counted page by page.
///
/// # Errors
/// The process is gone.
pub(super) fn memory_kib(pid: u32) -> Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("smaps_rollup has no Rss")?.parse()?)
}

fn free_address() -> Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?)
}
