//! What the workers tell of themselves for reports, and the rates that come of it.

use crate::config::NeighbourRole;
use crate::worker::Worker;
use meridian_proto::v1;
use meridian_relay::{Role, Talk};
use meridian_wire::Namespace;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Namespaces in one report.
const MAX_TALKS: usize = 256;

/// One worker's.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// That left the edge.
    bytes_out: u64,
    tracks: usize,
    /// Only if asked for.
    talks: Vec<(Namespace, Talk)>,
}

/// A link that is up.
#[derive(Clone, Debug)]
pub(crate) struct LinkFigures {
    pub(crate) office: String,
    pub(crate) role: Role,
    pub(crate) rtt: Duration,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

/// All of an edge's.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) shares: Vec<Share>,
    pub(crate) links: Vec<LinkFigures>,
    /// The neighbours there should be.
    pub(crate) wished: Vec<(String, NeighbourRole)>,
    pub(crate) rtts: Vec<v1::Rtt>,
    pub(crate) clients: usize,
    pub(crate) with_talks: bool,
}

/// What the process uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// CPU time since its start.
    pub(super) cpu: Duration,
    /// Bytes.
    pub(super) memory: u64,
    pub(super) cores: usize,
}

/// What a report says besides sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub(super) load: v1::Load,
    pub(super) neighbours: Vec<v1::NeighbourReport>,
    pub(super) rtts: Vec<v1::Rtt>,
    pub(super) talks: Vec<v1::Talk>,
}

/// Makes rates of counters.
#[derive(Debug, Default)]
pub(super) struct Meter {
    before: Option<(Instant, u64, Duration)>,
    packets: BTreeMap<(String, &'static str), (u64, u64)>,
    talks_before: Option<Instant>,
    talked: HashMap<Namespace, u64>,
    measured: Measured,
}

impl Share {
    /// Takes a look at a worker.
    pub(crate) fn of(worker: &Worker, with_talks: bool) -> Share {
        worker.look(|state| Share {
            bytes_out: (state.relay.counters().bytes_out)
                .saturating_sub(state.stats.bytes_within()),
            tracks: state.relay.population()[1],
            talks: match with_talks {
                true => state.relay.talks().into_iter().collect(),
                false => Vec::new(),
            },
        })
    }
}

impl Meter {
    /// What there is to report now.
    pub(super) fn measure(&mut self, figures: Figures, usage: Usage, now: Instant) -> &Measured {
        let bytes_out: u64 = figures.shares.iter().map(|share| share.bytes_out).sum();
        let (mut bits, mut permille) = (0, 0);
        if let Some((since, bytes_before, cpu_before)) = self.before {
            let time = now.saturating_duration_since(since).as_secs_f64().max(1e-3);
            bits = (8.0 * bytes_out.saturating_sub(bytes_before) as f64 / time) as u64;
            let cpu = usage.cpu.saturating_sub(cpu_before).as_secs_f64();
            permille = (1000.0 * cpu / time / usage.cores.max(1) as f64) as u32;
        }
        self.before = Some((now, bytes_out, usage.cpu));
        self.measured.load = v1::Load {
            clients: count(figures.clients),
            sent_bits_per_second: bits,
            cpu_permille: permille.min(1000),
            tracks: count(figures.shares.iter().map(|share| share.tracks).sum()),
            memory_bytes: usage.memory,
        };
        self.measured.neighbours = self.neighbours(&figures);
        if figures.with_talks {
            self.measured.talks = self.talks(&figures.shares, now);
        }
        self.measured.rtts = figures.rtts;
        &self.measured
    }

    fn neighbours(&mut self, figures: &Figures) -> Vec<v1::NeighbourReport> {
        let before = std::mem::take(&mut self.packets);
        let mut reports = BTreeMap::new();
        for (office, role) in &figures.wished {
            let report = silent(office, role.in_relay());
            reports.insert((office.clone(), report.1), report.0);
        }
        for link in &figures.links {
            let (mut report, name) = silent(&link.office, link.role);
            let key = (link.office.clone(), name);
            let (sent, lost) = before.get(&key).copied().unwrap_or_default();
            // Another link to the same office begins at nothing.
            let (sent, lost) = (
                link.sent.saturating_sub(sent),
                link.lost.saturating_sub(lost),
            );
            report.is_heard = true;
            report.rtt_us = u32::try_from(link.rtt.as_micros())
                .unwrap_or(u32::MAX)
                .max(1);
            report.lost_ppm = (lost.saturating_mul(1_000_000) / sent.max(1)).min(1_000_000) as u32;
            self.packets.insert(key.clone(), (link.sent, link.lost));
            reports.insert(key, report);
        }
        reports.into_values().collect()
    }

    fn talks(&mut self, shares: &[Share], now: Instant) -> Vec<v1::Talk> {
        let time = self
            .talks_before
            .replace(now)
            .map(|since| now.saturating_duration_since(since));
        let mut all: HashMap<Namespace, Talk> = HashMap::new();
        for (namespace, talk) in shares.iter().flat_map(|share| &share.talks) {
            let known = all.entry(namespace.clone()).or_default();
            known.is_published |= talk.is_published;
            known.subscriptions = known.subscriptions.saturating_add(talk.subscriptions);
            // Workers hand it to each other: it is the same.
            known.bytes_in = known.bytes_in.max(talk.bytes_in);
        }
        let before = std::mem::take(&mut self.talked);
        let rate = |namespace: &Namespace, talk: &Talk| {
            let bytes = talk.bytes_in.saturating_sub(*before.get(namespace)?);
            Some((8.0 * bytes as f64 / time?.as_secs_f64().max(1e-3)) as u64)
        };
        let talk = |(namespace, talk): (&Namespace, &Talk)| {
            Some(v1::Talk {
                namespace: fields(namespace)?,
                is_published_here: talk.is_published,
                subscribers: talk.subscriptions,
                bits_per_second: rate(namespace, talk).unwrap_or(0),
            })
        };
        let mut talks: Vec<v1::Talk> = all.iter().filter_map(talk).collect();
        talks.sort_by(|a, b| {
            let busy = |talk: &v1::Talk| (talk.bits_per_second, talk.subscribers);
            busy(b)
                .cmp(&busy(a))
                .then_with(|| a.namespace.cmp(&b.namespace))
        });
        talks.truncate(MAX_TALKS);
        self.talked = all
            .into_iter()
            .map(|(namespace, talk)| (namespace, talk.bytes_in))
            .collect();
        talks
    }
}

impl Usage {
    /// Of this process now.
    pub(super) fn now() -> Usage {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let (seconds, nanos) = (cpu.tv_sec.max(0) as u64, cpu.tv_nsec.max(0) as u32);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        let kibibytes: u64 = resident.and_then(|text| text.parse().ok()).unwrap_or(0);
        Usage {
            cpu: Duration::new(seconds, nanos),
            memory: kibibytes * 1024,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

fn silent(office: &str, role: Role) -> (v1::NeighbourReport, &'static str) {
    let name = match role {
        Role::Parent => "parent",
        Role::BackupParent => "backup-parent",
        Role::Child | Role::Client => "child",
        Role::Shortcut => "shortcut",
    };
    let report = v1::NeighbourReport {
        office: office.to_owned(),
        role: name.to_owned(),
        is_heard: false,
        rtt_us: 0,
        lost_ppm: 0,
    };
    (report, name)
}

/// A namespace as text, if it is one.
fn fields(namespace: &Namespace) -> Option<Vec<String>> {
    let field = |bytes: &bytes::Bytes| str::from_utf8(bytes).ok().map(str::to_owned);
    namespace.0.iter().map(field).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace(
            [bytes::Bytes::copy_from_slice(name.as_bytes())]
                .into_iter()
                .collect(),
        )
    }

    fn figures(bytes_out: u64, talked: u64, lost: u64) -> Figures {
        let talk = Talk {
            is_published: true,
            subscriptions: 2,
            bytes_in: talked,
        };
        Figures {
            shares: vec![Share {
                bytes_out,
                tracks: 3,
                talks: vec![(namespace("chair"), talk)],
            }],
            links: vec![LinkFigures {
                office: "geneva".to_owned(),
                role: Role::Parent,
                rtt: Duration::from_micros(1500),
                sent: bytes_out,
                lost,
            }],
            wished: vec![
                ("geneva".to_owned(), NeighbourRole::Parent),
                ("new-york".to_owned(), NeighbourRole::BackupParent),
            ],
            rtts: Vec::new(),
            clients: 4,
            with_talks: true,
        }
    }

    fn usage(cpu_ms: u64) -> Usage {
        Usage {
            cpu: Duration::from_millis(cpu_ms),
            memory: 1,
            cores: 2,
        }
    }

    #[test]
    fn counters_become_rates_over_the_time_between() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let first = meter.measure(figures(1000, 100, 0), usage(0), start);
        assert_eq!(
            (
                first.load.sent_bits_per_second,
                first.talks[0].bits_per_second
            ),
            (0, 0)
        );
        let later = start + Duration::from_secs(2);
        let second = meter.measure(figures(3000, 600, 20), usage(500), later);
        let load = second.load;
        assert_eq!(
            (load.sent_bits_per_second, load.cpu_permille, load.clients),
            (8000, 125, 4)
        );
        assert_eq!(second.talks[0].bits_per_second, 2000);
        let heard: Vec<_> = second
            .neighbours
            .iter()
            .map(|other| (other.office.as_str(), other.is_heard))
            .collect();
        assert_eq!(heard, [("geneva", true), ("new-york", false)]);
        let parent = &second.neighbours[0];
        assert_eq!(
            (parent.rtt_us, parent.lost_ppm, parent.role.as_str()),
            (1500, 10_000, "parent")
        );
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let usage = Usage::now();
        assert!(usage.memory > 0 && usage.cores > 0);
    }
}
