//! A stand-alone edge as a child process.

use std::{
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};

/// A running `meridian-edge --dev`, ended when dropped.
#[derive(Debug)]
pub struct Edge {
    child: Child,
    /// Held open: it would be an error for the edge to print where nobody can read.
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Edge {
    /// Starts the edge that `MERIDIAN_EDGE` names, on a port the system chooses.
    ///
    /// # Errors
    /// If the variable is not set, or the edge ends before it listens.
    pub fn start() -> Result<Self> {
        let program = std::env::var_os("MERIDIAN_EDGE")
            .context("set MERIDIAN_EDGE to the meridian-edge program")?;
        let mut child = Command::new(program)
            .args(["--dev", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()),
            )
            .spawn()
            .context("cannot start the edge")?;
        let stdout = child.stdout.take().expect("standard output is piped");
        // From here on the child is ended whatever comes.
        let mut edge = Self {
            child,
            output: BufReader::new(stdout),
            address: NOWHERE,
        };
        edge.address = edge
            .announced_address()
            .context("the edge ended before it listened")?;
        Ok(edge)
    }

    fn announced_address(&mut self) -> Option<SocketAddr> {
        let lines = self.output.by_ref().lines();
        lines.map_while(Result::ok).find_map(|line| address(&line))
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for WebTransport: on a path that nobody has agreed on, for an edge answers on any.
    pub fn https_url(&self) -> String {
        format!("https://{}/some/path%20of/mine?and=a&query", self.address)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have ended by itself; the test has failed then, and says why.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Finds it in `meridian-edge: listening on 127.0.0.1:4443 (UDP and TCP), …`.
fn address(line: &str) -> Option<SocketAddr> {
    line.split_once("listening on ")?
        .1
        .split(' ')
        .next()?
        .parse()
        .ok()
}

const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_what_the_edge_prints() {
        let line = "meridian-edge: listening on 127.0.0.1:40123 (UDP and TCP), open to everybody";
        assert_eq!(
            address(line),
            Some(SocketAddr::from(([127, 0, 0, 1], 40123)))
        );
        assert_eq!(address("meridian-edge: certificate SHA-256 00"), None);
    }
}
