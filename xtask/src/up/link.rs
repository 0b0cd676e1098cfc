//! An emulated wide-area path in front of an edge: a `meridian-wan` process, steered by name.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use super::process::Supervisor;

/// What a path does to datagrams, alike both ways.
#[derive(Clone, Debug, Default)]
pub struct LinkSpec {
    /// One way.
    pub delay: Duration,
    /// The delay wanders by as much up and down.
    pub jitter: Duration,
    /// Share of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Bits per second; unlimited at `None`.
    pub rate: Option<u64>,
    /// Bytes that may wait for the line; the emulator's own measure at `None`.
    pub queue: Option<u64>,
}

/// A running path.
#[derive(Clone, Debug)]
pub struct Link {
    name: String,
    /// Where to send what is meant for the far end.
    pub address: SocketAddr,
}

impl Link {
    /// Starts `program` (a built `meridian-wan`) in front of `target`.
    ///
    /// # Errors
    /// If it cannot be started or does not say where it listens.
    pub fn start(
        supervisor: &mut Supervisor,
        name: &str,
        program: &Path,
        target: SocketAddr,
        spec: &LinkSpec,
        seed: u64,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--target", &target.to_string(), "--link", &spec.to_text()]);
        supervisor.start(name, command.args(["--seed", &seed.to_string()]))?;
        let line = supervisor.wait_for(name, "listening", START_UP)?;
        let address = line["listen"].as_str().and_then(|text| text.parse().ok());
        let address = address.with_context(|| format!("{name} listens nowhere: {line}"))?;
        Ok(Self {
            name: name.to_owned(),
            address,
        })
    }

    /// Cuts the path, or mends it.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn set_blackhole(&self, supervisor: &mut Supervisor, on: bool) -> Result<()> {
        let switch = if on { "on" } else { "off" };
        self.ask(supervisor, &format!("blackhole {switch}"))
            .map(drop)
    }

    /// The emulator's counters.
    ///
    /// # Errors
    /// As [`set_blackhole`](Self::set_blackhole).
    pub fn counters(&self, supervisor: &mut Supervisor) -> Result<Value> {
        self.ask(supervisor, "stats")
    }

    /// Every command is answered with the counters after it.
    fn ask(&self, supervisor: &mut Supervisor, command: &str) -> Result<Value> {
        supervisor.tell(&self.name, command)?;
        supervisor.wait_for(&self.name, "stats", ANSWER)
    }
}

impl LinkSpec {
    pub(crate) fn to_text(&self) -> String {
        let micros = |span: Duration| format!("{}us", span.as_nanos() as f64 / 1e3);
        let rate = self
            .rate
            .map_or("unlimited".to_owned(), |rate| format!("{rate}bit"));
        let queue = self
            .queue
            .map_or(String::new(), |bytes| format!(",queue={bytes}"));
        let (delay, jitter) = (micros(self.delay), micros(self.jitter));
        format!(
            "delay={delay},jitter={jitter},loss={},rate={rate}{queue}",
            self.loss
        )
    }
}

const START_UP: Duration = Duration::from_secs(10);

const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_the_emulator_reads_it() {
        let mut spec = LinkSpec {
            delay: Duration::from_micros(78_950),
            jitter: Duration::ZERO,
            loss: 0.01,
            rate: Some(20_000_000),
            queue: None,
        };
        assert_eq!(
            spec.to_text(),
            "delay=78950us,jitter=0us,loss=0.01,rate=20000000bit"
        );
        (spec.rate, spec.queue) = (None, Some(1 << 20));
        assert!(spec.to_text().ends_with("rate=unlimited,queue=1048576"));
    }
}
