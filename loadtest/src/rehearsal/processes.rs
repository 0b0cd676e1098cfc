//! What processes of this machine use, about once a second.

use super::stage::Watched;
use crate::account::Clock;
use crate::outcome::{Machine, Process, Role, Sample};
use std::fs;
use std::time::{Duration, Instant};

/// Samples so far, by process.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    /// What this process is called.
    own: String,
    watched: Vec<Watched>,
    processes: Vec<Process>,
}

impl Sampler {
    /// Of these processes, and of this one, which is called so.
    pub(crate) fn new(own: &str, watched: Vec<Watched>) -> Sampler {
        let mut sampler = Sampler {
            own: own.to_owned(),
            ..Sampler::default()
        };
        sampler.watch(watched);
        sampler
    }

    /// From now on of these; one of the same name goes on under its new number.
    pub(super) fn watch(&mut self, watched: Vec<Watched>) {
        self.watched = watched;
        self.watched.push(Watched {
            name: self.own.clone(),
            role: Role::Tester,
            pid: std::process::id(),
        });
    }

    /// One of each that lives.
    pub(crate) fn sample(&mut self, clock: Clock) {
        for watched in &self.watched {
            let Some(sample) = sample(watched.pid, clock) else {
                continue;
            };
            match self
                .processes
                .iter_mut()
                .find(|one| one.name == watched.name)
            {
                Some(process) => process.samples.push(sample),
                None => self.processes.push(Process {
                    name: watched.name.clone(),
                    role: watched.role,
                    samples: vec![sample],
                }),
            }
        }
    }

    /// All of them.
    pub(crate) fn close(self) -> Vec<Process> {
        self.processes
    }
}

fn sample(pid: u32, clock: Clock) -> Option<Sample> {
    let now = Instant::now();
    let after = now.saturating_duration_since(clock.start).as_millis() as i64;
    let before = clock.start.saturating_duration_since(now).as_millis() as i64;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    Some(Sample {
        at_ms: after - before,
        cpu_ms: u64::try_from(cpu(&stat)?.as_millis()).ok()?,
        memory_kib: memory_kib(&statm)?,
        sockets: sockets(pid),
    })
}

/// User and system time, of threads that have ended, too.
fn cpu(stat: &str) -> Option<Duration> {
    // The program's name, in brackets, may have anything in it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().ok())
        .sum::<Option<_>>()?;
    let a_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs(ticks) / u32::try_from(a_second).ok()?)
}

fn memory_kib(statm: &str) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * (rustix::param::page_size() as u64 / 1_024))
}

fn sockets(pid: u32) -> u64 {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return 0;
    };
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let is_socket =
        |link: &std::path::PathBuf| link.as_os_str().as_encoded_bytes().starts_with(b"socket:");
    links.filter(is_socket).count() as u64
}

/// This machine, under this name.
pub(super) fn machine(name: &str) -> Machine {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        name: name.to_owned(),
        cores: cores() as u32,
        processor: processor
            .unwrap_or_default()
            .trim_start_matches([' ', '\t', ':'])
            .to_owned(),
        kernel: format!("Linux {}", release.trim()),
    }
}

/// Cores that may be used.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_sampled() {
        let clock = Clock {
            start: Instant::now(),
            start_unix_us: 0,
        };
        let mut sampler = Sampler::new("load tester", Vec::new());
        sampler.sample(clock);
        let processes = sampler.close();
        assert_eq!(processes[0].role, Role::Tester);
        assert!(processes[0].samples[0].memory_kib > 1_000);
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a b) c) R 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0";
        assert_eq!(cpu(stat).map(|cpu| cpu.as_millis() % 10), Some(0));
        assert!(cpu(stat) > Some(Duration::from_millis(500)));
        assert_eq!(cpu("7 gone"), None);
    }
}
