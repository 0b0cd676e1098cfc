//! The load of one scenario, as a process: publisher, subscribers, and what they and the target's account say.

use super::audience::{Audience, Manner};
use super::dial::Dialect;
use super::figures::{Figures, quantile};
use super::process::{self, LOAD_CORE};
use super::publisher::{Programme, Publisher};
use super::scenario::Act;
use super::shape::{Shape, now};
use crate::wan::{Emulator, EmulatorConfig, LinkParams};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::sleep;

/// What to load, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whom to load.
    #[arg(long)]
    target: SocketAddr,
    /// Its process, for its account of CPU and memory.
    #[arg(long)]
    pid: u32,
    /// What it speaks.
    #[arg(long, value_enum, default_value = "moqt22")]
    dialect: Dialect,
    /// What happens.
    #[arg(long, value_enum, default_value = "steady")]
    act: Act,
    /// A track each.
    #[arg(long, value_enum, default_value = "audio-streams")]
    shape: Vec<Shape>,
    /// The audience.
    #[arg(long, default_value_t = 200)]
    subscribers: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
}

/// Plays the scenario and prints its figures.
pub(super) fn run(args: &Args) -> Result<()> {
    process::stay_on(LOAD_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = LocalSet::new().block_on(&runtime, play(args))?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

async fn play(args: &Args) -> Result<Figures> {
    let house = House::open(args).await?;
    match args.act {
        Act::Steady => house.steady().await,
        Act::Joins => house.joins().await,
        Act::Slow => house.slow().await,
        Act::Throttled => house.throttled().await,
    }
}

/// Long enough for congestion windows and caches to find their size.
const WARM_UP: Duration = Duration::from_secs(2);
/// What is late by more than this is not delivered.
const DRAIN: Duration = Duration::from_secs(3);
/// Between two that join while nobody measures joining.
const SPACING: Duration = Duration::from_millis(4);

/// A publisher, and one subscriber that keeps the media flowing.
struct House<'a> {
    args: &'a Args,
    programme: Programme,
    publisher: Publisher,
    audience: Audience,
    /// KiB the target holds with one subscriber.
    empty: f64,
}

impl House<'_> {
    async fn open(args: &Args) -> Result<House<'_>> {
        let programme = Programme {
            dialect: args.dialect,
            shapes: args.shape.clone(),
        };
        let publisher = Publisher::start(&programme, args.target)?;
        let audience = Audience::new(&programme, args.target, Manner::Attentive)?;
        audience.join(1, Duration::ZERO).await;
        sleep(WARM_UP).await;
        Ok(House {
            args,
            programme,
            publisher,
            audience,
            empty: process::memory_kib(args.pid)?,
        })
    }

    async fn fill(&self) {
        let more = self.args.subscribers.saturating_sub(1);
        self.audience.join(more, SPACING * more as u32).await;
    }

    async fn steady(&self) -> Result<Figures> {
        self.fill().await;
        sleep(WARM_UP).await;
        let mut figures = self.measure().await?;
        let grown = process::memory_kib(self.args.pid)? - self.empty;
        let more = self.args.subscribers.saturating_sub(1);
        if more > 0 {
            figures.set("memory_kib_per_subscriber", grown / more as f64);
        }
        self.set_lag_beyond_burst(&mut figures);
        Ok(figures)
    }

    /// An object goes to everybody in a burst, which takes the target as long as its CPU for each of them together, and
    /// whoever is served at a quantile of the burst has waited for that part of it. What is beyond is neither work nor the
    /// queue for it: waking up, scheduling, pacing. It may be below zero, as some of that CPU (for acknowledgements) is
    /// used after the burst.
    fn set_lag_beyond_burst(&self, figures: &mut Figures) {
        let Some(cpu_us) = figures.value("cpu_us_per_object") else {
            return;
        };
        let burst_ms = self.args.subscribers as f64 * cpu_us / 1e3;
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(lag) = figures.value(&format!("lag_{name}_ms")) {
                let beyond = lag - quantile * burst_ms;
                figures.set(&format!("lag_beyond_burst_{name}_ms"), beyond);
            }
        }
    }

    /// Measures for the time asked for.
    async fn measure(&self) -> Result<Figures> {
        let (pid, own) = (self.args.pid, std::process::id());
        let meter = &self.audience.meter;
        let time = Duration::from_secs(self.args.seconds);
        let before = (meter.totals(), process::cpu(pid)?, process::cpu(own)?);
        self.publisher.take_latest_ms();
        let start = now();
        let window = start..start + time.as_nanos() as u64;
        meter.watch(window.clone());
        sleep(time).await;
        let elapsed = (now() - start) as f64 / 1e9;
        let after = (meter.totals(), process::cpu(pid)?, process::cpu(own)?);
        let latest = self.publisher.take_latest_ms();
        sleep(DRAIN).await;

        let cpu = (after.1 - before.1).as_secs_f64();
        let objects = (after.0.0 - before.0.0) as f64;
        let bytes = (after.0.1 - before.0.1) as f64;
        ensure!(objects > 0.0, "nobody heard anything");
        let mut figures = Figures::default();
        figures.set("cpu_us_per_object", cpu * 1e6 / objects);
        figures.set("cpu_s_per_gb", cpu * 1e9 / bytes);
        figures.set("objects_per_s", objects / elapsed);
        figures.set("relay_busy", cpu / elapsed);
        figures.set("load_busy", (after.2 - before.2).as_secs_f64() / elapsed);
        figures.set("publisher_late_ms", latest);
        figures.set("failed", self.audience.failed() as f64);
        for track in 0..self.programme.shapes.len() as u8 {
            let sent = self.publisher.sent(track, &window) * self.args.subscribers as u64;
            let of = if track == 0 { "" } else { "second_" };
            let delivered = meter.heard(track) as f64 / sent as f64;
            figures.set(&format!("{of}delivered"), delivered);
            figures.set(&format!("{of}lag_p50_ms"), meter.lag_ms(track, 0.5));
            figures.set(&format!("{of}lag_p99_ms"), meter.lag_ms(track, 0.99));
        }
        Ok(figures)
    }

    /// CPU per join is what the storm took beyond what delivering to whoever was there takes.
    async fn joins(&self) -> Result<Figures> {
        let (pid, meter) = (self.args.pid, &self.audience.meter);
        let storm = Audience::new(&self.programme, self.args.target, Manner::Attentive)?;
        let (cpu, heard) = (process::cpu(pid)?, meter.totals().0);
        storm
            .join(self.args.subscribers, Duration::from_secs(1))
            .await;
        let cpu = (process::cpu(pid)? - cpu).as_secs_f64();
        let delivered = meter.totals().0 - heard + storm.meter.totals().0;
        let joins = storm.meter.joins_ms();
        sleep(WARM_UP).await;

        let (steady, heard) = (process::cpu(pid)?, storm.meter.totals().0);
        sleep(Duration::from_secs(2)).await;
        let steady = (process::cpu(pid)? - steady).as_secs_f64();
        let each = steady / (storm.meter.totals().0 - heard) as f64;
        let joined = joins.len() as f64;
        let mut figures = Figures::default();
        figures.set("join_p50_ms", quantile(&joins, 0.5));
        figures.set("join_p99_ms", quantile(&joins, 0.99));
        let net = cpu - delivered as f64 * each;
        figures.set("cpu_ms_per_join", net * 1e3 / joined);
        figures.set("cpu_ms_per_join_with_media", cpu * 1e3 / joined);
        figures.set("failed", self.args.subscribers as f64 - joined);
        Ok(figures)
    }

    async fn slow(&self) -> Result<Figures> {
        self.fill().await;
        sleep(WARM_UP).await;
        let without = self.measure().await?;
        let memory = process::memory_kib(self.args.pid)?;
        let stalled = Audience::new(&self.programme, self.args.target, Manner::Stalled)?;
        stalled.join(1, Duration::ZERO).await;
        let narrow = Narrow::join(self, "rate=200kbit,queue=16k").await?;
        // Until queues and limits are full.
        sleep(Duration::from_secs(5)).await;
        let start = now();
        let window = start..start + Duration::from_secs(self.args.seconds).as_nanos() as u64;
        narrow.audience.meter.watch(window.clone());
        self.audience.meter.reset();
        let mut figures = self.measure().await?;
        let grown = process::memory_kib(self.args.pid)? - memory;
        figures.set("memory_kib_for_slow", grown);
        for of in ["", "second_"] {
            let name = format!("{of}lag_p99_ms");
            let (Some(with), Some(without)) = (figures.value(&name), without.value(&name)) else {
                continue;
            };
            figures.set(&format!("{of}lag_p99_ms_without"), without);
            figures.set(&format!("{of}lag_p99_moved_ms"), with - without);
        }
        let audio = narrow.audience.meter.heard(1) as f64;
        let sent = self.publisher.sent(1, &window) as f64;
        figures.set("slow_one_audio_delivered", audio / sent);
        Ok(figures)
    }

    async fn throttled(&self) -> Result<Figures> {
        let mut narrow = Vec::new();
        for _ in 0..self.args.subscribers {
            narrow.push(Narrow::join(self, "rate=300kbit,queue=24k").await?);
        }
        let count = self.args.subscribers as f64;
        let grown =
            || Ok::<f64, anyhow::Error>((process::memory_kib(self.args.pid)? - self.empty) / count);
        let mut figures = Figures::default();
        sleep(Duration::from_secs(10)).await;
        figures.set("memory_kib_each_after_10_s", grown()?);
        sleep(Duration::from_secs(20)).await;
        figures.set("memory_kib_each_after_30_s", grown()?);
        sleep(Duration::from_secs(30)).await;
        figures.set("memory_kib_each_after_60_s", grown()?);
        let heard: u64 = narrow.iter().map(|one| one.audience.meter.totals().1).sum();
        figures.set("kbit_s_each", heard as f64 * 8.0 / 60e3 / count);
        Ok(figures)
    }
}

/// A subscriber behind a narrow link of its own.
struct Narrow {
    audience: Audience,
    _link: Emulator,
}

impl Narrow {
    async fn join(house: &House<'_>, link: &str) -> Result<Narrow> {
        let link: LinkParams = link.parse()?;
        let link = Emulator::spawn(EmulatorConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            target: house.args.target,
            up: LinkParams::default(),
            down: link,
            seed: 1,
        })?;
        let audience = Audience::new(&house.programme, link.listen_addr(), Manner::Usual)?;
        audience.join(1, Duration::ZERO).await;
        Ok(Narrow {
            audience,
            _link: link,
        })
    }
}
