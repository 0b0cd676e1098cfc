//! The thread that forwards real datagrams through two [`Link`]s, and the handle that owns it.
//!
//! A thread of its own, and not a task: an async runtime's timers are a millisecond coarse.

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU64,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Instant,
};

use super::{
    batch::{Packet, in_batches},
    control::{Command, Direction},
    link::Link,
    params::{Changes, LinkParams},
    sockets::{Sockets, Source},
    stats::Stats,
};

/// What an emulator connects and how its two directions behave.
#[derive(Clone, Debug)]
pub struct EmulatorConfig {
    /// Where clients send to; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Where their datagrams go.
    pub target: SocketAddr,
    /// From clients to the target.
    pub up: LinkParams,
    /// From the target to clients.
    pub down: LinkParams,
    /// Fixes losses, jitter, duplication and reordering.
    pub seed: u64,
}

/// A running emulator; dropping it stops the thread and closes the sockets.
#[derive(Debug)]
pub struct Emulator {
    listen: SocketAddr,
    requests: mpsc::Sender<Request>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Emulator {
    /// Opens the sockets and starts forwarding.
    ///
    /// # Errors
    /// If the listening address cannot be bound.
    pub fn spawn(config: EmulatorConfig) -> io::Result<Self> {
        let sockets = Sockets::open(config.listen, config.target)?;
        let listen = sockets.listen_addr()?;
        let wake = sockets.owner();
        let (requests, inbox) = mpsc::channel();
        let worker = Worker::new(config, listen, sockets, inbox);
        let thread = thread::Builder::new()
            .name("wan".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            listen,
            requests,
            wake,
            thread: Some(thread),
        })
    }

    /// Where clients send to.
    pub fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Carries out a command; its effect is complete when this returns the counters after it.
    ///
    /// # Errors
    /// If the thread has ended because the operating system failed it.
    pub fn request(&self, command: Command) -> io::Result<Stats> {
        let (reply, answer) = mpsc::sync_channel(1);
        let ended = || io::Error::other("the emulator has ended");
        self.requests
            .send(Request::Do(command, reply))
            .map_err(|_| ended())?;
        self.wake()?;
        answer.recv().map_err(|_| ended())
    }

    /// Changes the named parameters: `emulator.change(Direction::Up, &"loss=1%".parse()?)`.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn change(&self, direction: Direction, changes: &Changes) -> io::Result<Stats> {
        self.request(Command::Change(direction, changes.clone()))
    }

    /// Swallows everything while `on`, as a cut cable does.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn set_blackhole(&self, direction: Direction, on: bool) -> io::Result<Stats> {
        self.request(Command::Blackhole(direction, on))
    }

    /// The counters now.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub fn stats(&self) -> io::Result<Stats> {
        self.request(Command::Stats)
    }

    fn wake(&self) -> io::Result<()> {
        rustix::io::write(&*self.wake, &1u64.to_ne_bytes())?;
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Both fail only if the thread has ended by itself, which is what is wanted.
        let _ = self.requests.send(Request::Stop);
        let _ = self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Request {
    Do(Command, mpsc::SyncSender<Stats>),
    Stop,
}

struct Worker {
    config: EmulatorConfig,
    listen: SocketAddr,
    started: Instant,
    sockets: Sockets,
    up: Link<Packet>,
    down: Link<Packet>,
    send_failed_up: u64,
    send_failed_down: u64,
    inbox: mpsc::Receiver<Request>,
}

impl Worker {
    fn new(
        config: EmulatorConfig,
        listen: SocketAddr,
        sockets: Sockets,
        inbox: mpsc::Receiver<Request>,
    ) -> Self {
        let started = Instant::now();
        let up = Link::new(config.up.clone(), config.seed, started);
        // Another seed, so that both directions do not lose the same datagrams.
        let down = Link::new(config.down.clone(), config.seed.wrapping_add(1), started);
        Self {
            config,
            listen,
            started,
            sockets,
            up,
            down,
            send_failed_up: 0,
            send_failed_down: 0,
            inbox,
        }
    }

    fn run(mut self) -> io::Result<()> {
        sharpen_timing();
        loop {
            // Priority 1: what has arrived at the far end leaves, before more is taken in.
            self.deliver();
            let due = self
                .up
                .poll_timeout()
                .into_iter()
                .chain(self.down.poll_timeout())
                .min();
            for source in self.sockets.wait(due)? {
                match source {
                    Source::Timer => self.sockets.acknowledge_timer(),
                    // Priority 2: the owner's requests.
                    Source::Owner => {
                        if !self.serve_owner() {
                            return Ok(());
                        }
                    }
                    // Priority 3: one batch of new datagrams per socket, so that none starves.
                    source => self.take_in(source)?,
                }
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        let segments = self.sockets.max_segments();
        let (up, down) = (&mut self.up, &mut self.down);
        in_batches(
            std::iter::from_fn(|| up.poll_datagram(now)),
            segments,
            |batch| {
                if !self.sockets.send_up(&batch) {
                    self.send_failed_up += batch.count;
                }
            },
        );
        in_batches(
            std::iter::from_fn(|| down.poll_datagram(now)),
            segments,
            |batch| {
                if !self.sockets.send_down(&batch) {
                    self.send_failed_down += batch.count;
                }
            },
        );
    }

    fn take_in(&mut self, source: Source) -> io::Result<()> {
        let now = Instant::now();
        let link = if source == Source::Clients {
            &mut self.up
        } else {
            &mut self.down
        };
        self.sockets.receive(source, now, |packet| {
            let bytes = packet.payload.len();
            link.handle_datagram(packet, bytes, now);
        })
    }

    /// Answers every request in the inbox; false once asked to stop.
    fn serve_owner(&mut self) -> bool {
        self.sockets.acknowledge_owner();
        while let Ok(request) = self.inbox.try_recv() {
            let Request::Do(command, reply) = request else {
                return false;
            };
            self.obey(command);
            // An owner that no longer waits for the answer does not need it.
            let _ = reply.send(self.stats());
        }
        true
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Change(direction, changes) => {
                self.in_directions(direction, |link| link.change(&changes, now));
            }
            Command::Blackhole(direction, on) => {
                self.in_directions(direction, |link| link.set_blackhole(on));
            }
            Command::Rebind => self.sockets.rebind(),
            Command::Stats => {}
        }
    }

    fn in_directions(&mut self, direction: Direction, apply: impl Fn(&mut Link<Packet>)) {
        if direction.covers_up() {
            apply(&mut self.up);
        }
        if direction.covers_down() {
            apply(&mut self.down);
        }
    }

    fn stats(&mut self) -> Stats {
        let now = Instant::now();
        let mut up = self.up.stats(now);
        up.send_failed = self.send_failed_up;
        let mut down = self.down.stats(now);
        down.send_failed = self.send_failed_down;
        Stats {
            listen: self.listen,
            target: self.config.target,
            seed: self.config.seed,
            uptime_s: (now - self.started).as_secs_f64(),
            clients: self.sockets.clients(),
            refused_clients: self.sockets.refused_clients(),
            overflow: self.sockets.overflow(),
            up,
            down,
        }
    }
}

/// Wakes on time on a busy machine. Not every user may raise a thread's priority; without it the
/// emulator is right but late under load.
fn sharpen_timing() {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NANOS));
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// A fifth of the default: late by far less than the half millisecond aimed at, yet wake-ups that
/// almost coincide still merge.
const TIMER_SLACK_NANOS: u64 = 10_000;

/// Ahead of the relays it shares cores with, whose delay it would otherwise add to its own.
const NICENESS: i32 = -10;
