//! Rehearsals that never were, to try reports on: of the size and shape of real ones.

use crate::outcome::*;
use crate::verdict::judge;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// A storm of 800 that held.
pub(super) fn held() -> Outcome {
    Play::default().outcome()
}

/// The same, slow at the door, with an edge killed and started again.
pub(super) fn broken() -> Outcome {
    let play = Play {
        door_ms: 2_400.0,
        killed_at_s: Some(30),
        ..Play::default()
    };
    play.outcome()
}

/// The same, on a machine that was too busy to measure anything.
pub(super) fn invalid() -> Outcome {
    let play = Play {
        behind_ms: 90.0,
        ..Play::default()
    };
    let mut outcome = play.outcome();
    outcome.health.invalid_because = vec![
        "thread 1 of local was 212 ms behind for 1 % of what it did; at most 50 ms are allowed"
            .to_owned(),
    ];
    outcome.ghosts = None;
    outcome
}

/// A thousand for five minutes, with more edges and events than fit.
pub(super) fn long() -> Outcome {
    let play = Play {
        people: 1_000,
        length_s: 300,
        killed_at_s: Some(120),
        ..Play::default()
    };
    let mut outcome = play.outcome();
    for n in 0..12 {
        let name = format!("edge-{n}");
        outcome.processes.push(process(
            &mut play.dice(),
            &name,
            Role::Edge,
            300,
            0.05,
            None,
        ));
        outcome.happenings.push(Happening {
            what: format!("wan-cut edge-{n}"),
            at_ms: 150_000 + n * 1_500,
            took_ms: 4,
            error: None,
        });
    }
    outcome
}

struct Play {
    people: u64,
    length_s: u64,
    /// What the control plane takes at the height of the storm.
    door_ms: f64,
    killed_at_s: Option<u64>,
    behind_ms: f64,
}

impl Default for Play {
    fn default() -> Play {
        Play {
            people: 800,
            length_s: 60,
            door_ms: 160.0,
            killed_at_s: None,
            behind_ms: 1.5,
        }
    }
}

impl Play {
    fn dice(&self) -> StdRng {
        StdRng::seed_from_u64(self.people)
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome {
            form: Outcome::FORM,
            scenario: "plenary-storm".to_owned(),
            title: "A plenary’s storm".to_owned(),
            about: "Eight hundred join within twenty seconds, from six regions, and stay."
                .to_owned(),
            text: SCENARIO.to_owned(),
            seed: 1,
            started_unix_ms: 1_795_361_056_000,
            length_ms: self.length_s * 1_000,
            planned: self.people,
            machines: vec![Machine {
                name: "local".to_owned(),
                cores: 2,
                processor: "A Processor 2.4 GHz".to_owned(),
                kernel: "Linux 6.18".to_owned(),
            }],
            ticks: vec![Tick::default(); self.length_s as usize],
            ghosts: Some(0),
            ..Outcome::default()
        };
        let mut dice = self.dice();
        (0..self.people).for_each(|n| self.person(&mut outcome, &mut dice, n));
        self.happen(&mut outcome);
        self.run(&mut outcome, &mut dice);
        let expect: Vec<_> = EXPECTED
            .iter()
            .map(|text| text.parse().expect(text))
            .collect();
        outcome.verdict = judge(&expect, &outcome);
        outcome
    }

    fn person(&self, outcome: &mut Outcome, dice: &mut StdRng, n: u64) {
        let (region, base_ms) = REGIONS[n as usize % REGIONS.len()];
        let mut figures = Figures::default();
        let due_ms = n as f64 / self.people as f64 * 20_000.0;
        outcome.ticks[(due_ms / 1e3) as usize].came += 1;
        figures.count(Count::Came, 1);
        // The queue grows along the storm, and empties after it.
        let crowd = (due_ms / 20_000.0).powi(2);
        let ticket = base_ms + self.door_ms * crowd * dice.random_range(0.5..1.5);
        let token = ticket + base_ms + dice.random_range(5.0..30.0);
        let connect = base_ms * dice.random_range(1.0..1.6) + 4.0;
        let first = token + connect + base_ms + dice.random_range(10.0..40.0);
        let key = key(region, n);
        if self.killed_at_s.is_some() && n % 131 == 130 {
            figures.count(Count::Failed, 1);
            outcome.ticks[(due_ms / 1e3) as usize + 5].failed += 1;
            let why = "the control plane did not answer within 5 s".to_owned();
            *outcome.failures.entry(why).or_default() += 1;
            return add(outcome, key, figures);
        }
        for (latency, ms) in [
            (Latency::Ticket, ticket),
            (Latency::Token, token),
            (Latency::Connect, connect),
            (Latency::FirstAudio, first),
        ] {
            figures.time(latency, span(ms));
        }
        let joined = ((due_ms + first) / 1e3) as usize;
        outcome.ticks[joined].joined += 1;
        figures.count(Count::Joined, 1);
        self.listen(outcome, dice, &mut figures, (n, joined, base_ms));
        add(outcome, key, figures);
    }

    fn listen(
        &self,
        outcome: &mut Outcome,
        dice: &mut StdRng,
        figures: &mut Figures,
        (n, joined, base_ms): (u64, usize, f64),
    ) {
        let region = REGIONS[n as usize % REGIONS.len()].0;
        let mut longest = 0.0f64;
        for second in joined..self.length_s as usize {
            let is_hit = self.killed_at_s == Some(second as u64) && n % 8 == 0;
            let tick = &mut outcome.ticks[second];
            let lost = if is_hit { 40 } else { 0 };
            tick.objects += 50 - lost;
            tick.bytes += (50 - lost) * 160;
            figures.count(Count::Objects, 50 - lost);
            figures.count(Count::Bytes, (50 - lost) * 160);
            figures.count(Count::Lost, lost);
            let worse = match self.killed_at_s {
                Some(at) if (at..at + 4).contains(&(second as u64)) => 3.0,
                _ => 1.0,
            };
            for _ in 0..3 {
                let lag = span(base_ms * worse + dice.random_range(1.0..30.0));
                figures.time(Latency::Lag, lag);
                tick.lag.entry(region.to_owned()).or_default().record(lag);
            }
            let gap = match is_hit {
                true => dice.random_range(300.0..2_600.0),
                false if dice.random::<f64>() < 0.002 => dice.random_range(41.0..150.0),
                false => continue,
            };
            longest = longest.max(gap);
            tick.gaps.record(span(gap));
            figures.count(Count::Gaps40ms, 1);
            figures.count(Count::Gaps200ms, u64::from(gap > 200.0));
            figures.count(Count::Gaps1000ms, u64::from(gap > 1_000.0));
            if is_hit {
                figures.count(Count::Moved, 1);
                figures.time(Latency::Reconnect, span(gap));
            }
        }
        figures.time(Latency::Gap, span(longest.max(1.0)));
    }

    fn happen(&self, outcome: &mut Outcome) {
        let Some(at) = self.killed_at_s else {
            return;
        };
        for (what, after_s, error) in [
            ("edge-kill bangkok", 0, None),
            (
                "control-freeze",
                1,
                Some("the stagehand did not answer: connection refused"),
            ),
            ("edge-restart bangkok", 14, None),
        ] {
            outcome.happenings.push(Happening {
                what: what.to_owned(),
                at_ms: (at + after_s) * 1_000 + 20,
                took_ms: 12 + after_s * 30,
                error: error.map(str::to_owned),
            });
        }
    }

    /// The network's processes and the tester itself.
    fn run(&self, outcome: &mut Outcome, dice: &mut StdRng) {
        for (name, role, share) in [
            ("geneva", Role::Edge, 0.62),
            ("nairobi", Role::Edge, 0.21),
            ("bangkok", Role::Edge, 0.30),
            ("brasilia", Role::Edge, 0.17),
            ("control-plane-1", Role::ControlPlane, 0.12),
            ("etcd-1", Role::Store, 0.03),
        ] {
            let killed = self.killed_at_s.filter(|_| name == "bangkok");
            let process = process(dice, name, role, self.length_s, share, killed);
            outcome.processes.push(process);
        }
        let mut tester = Tester {
            name: "local".to_owned(),
            threads: 2,
            delegates: self.people,
            cpu_ms: self.length_s * 540,
            busiest: 0.375,
            clock_error_us: 0,
            ..Tester::default()
        };
        for _ in 0..2_000 {
            let late = -(1.0 - dice.random::<f64>()).ln() * self.behind_ms / 4.0;
            tester.behind.record(span(late));
            tester.arrivals_behind.record(span(late * 0.7));
        }
        outcome.testers.push(tester);
    }
}

fn process(
    dice: &mut StdRng,
    name: &str,
    role: Role,
    length_s: u64,
    share: f64,
    killed_at_s: Option<u64>,
) -> Process {
    let (mut cpu_ms, mut memory_kib) = (800.0, 24_000.0);
    let mut samples = Vec::new();
    for second in 0..length_s {
        let here = (second as f64 / 20.0).min(1.0);
        if let Some(at) = killed_at_s
            && (at..at + 14).contains(&second)
        {
            (cpu_ms, memory_kib) = (0.0, 18_000.0);
            continue;
        }
        cpu_ms += 1_000.0 * share * here * dice.random_range(0.9..1.1) + 5.0;
        memory_kib += 900.0 * share * (1.0 - here) + 2.0;
        samples.push(Sample {
            at_ms: second as i64 * 1_000 + dice.random_range(0..40),
            cpu_ms: cpu_ms as u64,
            memory_kib: memory_kib as u64,
            sockets: 8 + (here * 300.0 * share) as u64,
        });
    }
    Process {
        name: name.to_owned(),
        role,
        samples,
    }
}

fn key(region: &str, n: u64) -> Key {
    let (transport, profile) = match n % 20 {
        0 => ("websocket", "udp-blocked"),
        1 | 2 => ("webtransport", "office"),
        3..=7 => ("quic", "mobile"),
        8 => ("quic", "slow-link"),
        _ => ("quic", "fibre"),
    };
    Key {
        region: region.to_owned(),
        language: ["floor", "floor", "fr", "es", "ar", "ru", "zh"][(n / 7) as usize % 7].to_owned(),
        transport: transport.to_owned(),
        profile: profile.to_owned(),
    }
}

fn add(outcome: &mut Outcome, key: Key, figures: Figures) {
    match outcome.cells.iter_mut().find(|cell| cell.key == key) {
        Some(cell) => cell.figures.add(&figures),
        None => outcome.cells.push(Cell { key, figures }),
    }
}

fn span(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

const REGIONS: [(&str, f64); 6] = [
    ("AFR", 96.0),
    ("AMS", 71.0),
    ("ARB", 58.0),
    ("ASP", 121.0),
    ("CIS", 44.0),
    ("EUR", 22.0),
];
const EXPECTED: [&str; 7] = [
    "failed == 0",
    "first_audio.p95 < 3s",
    "lag.p95{region=ASP} < 250ms",
    "gap.max < 1s",
    "lost < 0.01%",
    "ghosts == 0",
    "edge_cpu < 0.9",
];
const SCENARIO: &str = r#"name = "plenary-storm"
title = "A plenary’s storm"
length = "60s"
expect = ["failed == 0", "first_audio.p95 < 3s"]

[[crowd]]
name = "delegates"
count = 800
arrive = { kind = "ramp", over = "20s" }
"#;
