//! How exact the emulator is here: sends paced datagrams through one link and prints how far each
//! one's delay was from what was asked, and the CPU the emulator's thread took.
//!
//! `cargo run --release -p meridian-loadtest --example wan_accuracy -- [MBIT] [DELAY_MS] [SECONDS]`

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use meridian_loadtest::wan::{Emulator, EmulatorConfig, LinkParams};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<f64>());
    let mut next = |default| args.next().unwrap_or(Ok(default));
    let (mbit, delay_ms, seconds) = (next(20.0)?, next(79.0)?, next(5.0)?);
    let delay = Duration::from_secs_f64(delay_ms / 1e3);

    let target = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&target, 4 << 20);
    target.set_read_timeout(Some(delay + Duration::from_secs(2)))?;
    let emulator = Emulator::spawn(EmulatorConfig {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        target: target.local_addr()?,
        up: LinkParams {
            delay,
            ..LinkParams::default()
        },
        down: LinkParams::default(),
        seed: 1,
    })?;

    let spacing = Duration::from_secs_f64(DATAGRAM as f64 * 8.0 / (mbit * 1e6));
    let count = (seconds / spacing.as_secs_f64()) as u32;
    let epoch = Instant::now();
    let receiver = thread::spawn(move || receive(&target, count, epoch));
    send(&emulator, spacing, count, epoch)?;
    let errors = receiver.join().expect("the receiver does not panic")?;
    report(errors, delay, count)?;
    println!("{}", serde_json::to_string(&emulator.stats()?.up)?);
    Ok(())
}

/// Each datagram carries the time it was sent at, in nanoseconds since `epoch`.
fn send(emulator: &Emulator, spacing: Duration, count: u32, epoch: Instant) -> Result<()> {
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000))?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut datagram = [0; DATAGRAM];
    for i in 0..count {
        thread::sleep((epoch + spacing * i).saturating_duration_since(Instant::now()));
        datagram[..8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_be_bytes());
        socket.send_to(&datagram, emulator.listen_addr())?;
    }
    Ok(())
}

/// The time each datagram took, in the order of arrival.
fn receive(socket: &UdpSocket, count: u32, epoch: Instant) -> Result<Vec<Duration>> {
    // Else it measures its own wait for the processor. Only root may.
    let _ = rustix::process::setpriority_process(None, -10);
    let mut datagram = [0; DATAGRAM];
    let mut times = Vec::new();
    while times.len() < count as usize && socket.recv(&mut datagram).is_ok() {
        let sent = datagram[..8].try_into().map(u64::from_be_bytes)?;
        times.push(epoch.elapsed() - Duration::from_nanos(sent));
    }
    Ok(times)
}

fn report(mut times: Vec<Duration>, delay: Duration, count: u32) -> Result<()> {
    times.sort();
    let late = |share: f64| {
        let time = times[((times.len() - 1) as f64 * share) as usize];
        (time.as_secs_f64() - delay.as_secs_f64()) * 1e3
    };
    println!("{} of {count} datagrams", times.len());
    println!(
        "late by ms: min {:.3} p50 {:.3} p90 {:.3} p99 {:.3} p99.9 {:.3} max {:.3}",
        late(0.0),
        late(0.5),
        late(0.9),
        late(0.99),
        late(0.999),
        late(1.0)
    );
    println!("emulator thread: {:.2} s of CPU", cpu_seconds("wan")?);
    Ok(())
}

/// User and system time of this process's thread of a name.
fn cpu_seconds(thread: &str) -> Result<f64> {
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if fs::read_to_string(path.join("comm"))?.trim() == thread {
            let text = fs::read_to_string(path.join("schedstat"))?;
            let nanos: f64 = text.split(' ').next().context("empty schedstat")?.parse()?;
            return Ok(nanos / 1e9);
        }
    }
    anyhow::bail!("no thread is called {thread}")
}

const DATAGRAM: usize = 1200;
