//! The emulator's sockets: one that clients send to, and one towards the target per client, so
//! that the target tells clients apart by address as it would without the emulator.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    io::Errno,
    net::sockopt,
    time::{self, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use super::{
    batch::{Batch, Packet},
    overflow::overflow,
};

/// A client of the emulator, for as long as it has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientId(pub(super) u64);

/// Where something can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Datagrams from clients, to go up.
    Clients,
    /// Datagrams from the target for one client, to go down.
    Target(ClientId),
    /// Requests from the emulator's owner.
    Owner,
    /// The time that was waited for has come.
    Timer,
}

/// All file descriptors of one emulator.
pub(super) struct Sockets {
    epoll: OwnedFd,
    owner: Arc<OwnedFd>,
    timer: OwnedFd,
    armed: Option<Instant>,
    listener: Socket,
    target: SocketAddr,
    clients: HashMap<ClientId, Client>,
    clients_by_address: HashMap<SocketAddr, ClientId>,
    next_client: u64,
    refused_clients: u64,
    buffers: Buffers,
}

impl Sockets {
    pub(super) fn open(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let owner = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer_flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = time::timerfd_create(TimerfdClockId::Monotonic, timer_flags)?;
        let listener = Socket::bind(listen)?;
        epoll::add(
            &epoll,
            &listener.udp,
            data(Source::Clients),
            epoll::EventFlags::IN,
        )?;
        epoll::add(&epoll, &owner, data(Source::Owner), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &timer, data(Source::Timer), epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            owner: Arc::new(owner),
            timer,
            armed: None,
            listener,
            target,
            clients: HashMap::new(),
            clients_by_address: HashMap::new(),
            next_client: FIRST_CLIENT,
            refused_clients: 0,
            buffers: Buffers::new(),
        })
    }

    pub(super) fn listen_addr(&self) -> io::Result<SocketAddr> {
        self.listener.udp.local_addr()
    }

    /// What the owner writes to so that [`wait`](Self::wait) returns.
    pub(super) fn owner(&self) -> Arc<OwnedFd> {
        self.owner.clone()
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Datagrams of clients that could not be given a socket.
    pub(super) fn refused_clients(&self) -> u64 {
        self.refused_clients
    }

    /// Datagrams lost in the kernel's buffers of all open sockets.
    pub(super) fn overflow(&self) -> u64 {
        let clients = self.clients.values().map(|client| &client.socket);
        let sockets = clients.chain([&self.listener]);
        overflow(sockets.filter_map(|socket| socket.udp.local_addr().ok()))
    }

    pub(super) fn max_segments(&self) -> usize {
        self.listener.state.max_gso_segments()
    }

    /// Sleeps until something can be read, or the time is `due`. Precise to the timer slack.
    pub(super) fn wait(&mut self, due: Option<Instant>) -> io::Result<Vec<Source>> {
        self.arm(due)?;
        let mut events = Vec::with_capacity(MAX_EVENTS);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            None,
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(events.iter().map(|event| source(event.data)).collect())
    }

    /// Sets the timer, unless it stands at that time already. A timeout of `epoll::wait` itself
    /// would be rounded to a millisecond.
    fn arm(&mut self, due: Option<Instant>) -> io::Result<()> {
        if self.armed == due {
            return Ok(());
        }
        // Zero disarms; a time that has passed is a nanosecond away.
        let span = due.map_or(Duration::ZERO, |due| {
            due.saturating_duration_since(Instant::now())
                .max(Duration::from_nanos(1))
        });
        let once = time::Itimerspec {
            it_interval: timespec(Duration::ZERO),
            it_value: timespec(span),
        };
        time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed = due;
        Ok(())
    }

    /// Lets the timer be set anew after it has rung.
    pub(super) fn acknowledge_timer(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut count);
        self.armed = None;
    }

    pub(super) fn acknowledge_owner(&self) {
        let mut count = [0; 8];
        // Nothing to read only means that an earlier call has taken this wake-up too.
        let _ = rustix::io::read(&*self.owner, &mut count);
    }

    /// Reads one batch from a source and hands over each datagram.
    pub(super) fn receive(
        &mut self,
        source: Source,
        now: Instant,
        mut take: impl FnMut(Packet),
    ) -> io::Result<()> {
        match source {
            Source::Owner | Source::Timer => {}
            Source::Target(id) => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.last_used = now;
                    let received = self.buffers.receive(&client.socket)?;
                    self.buffers.datagrams(received, |meta, payload| {
                        take(Packet {
                            client: id,
                            ecn: meta.ecn,
                            payload,
                        });
                    });
                }
            }
            Source::Clients => self.receive_from_clients(now, take)?,
        }
        Ok(())
    }

    /// Sends a batch from a client to the target. False if it could not be sent.
    pub(super) fn send_up(&self, batch: &Batch) -> bool {
        let client = self.clients.get(&batch.client);
        client.is_some_and(|client| client.socket.send(batch, self.target))
    }

    /// Sends a batch from the target to its client. False if it could not be sent.
    pub(super) fn send_down(&self, batch: &Batch) -> bool {
        let client = self.clients.get(&batch.client);
        client.is_some_and(|client| self.listener.send(batch, client.address))
    }

    /// Forgets all clients: their next datagrams reach the target from new addresses.
    pub(super) fn rebind(&mut self) {
        // Closing a socket also takes it out of the epoll set.
        self.clients.clear();
        self.clients_by_address.clear();
    }

    fn receive_from_clients(
        &mut self,
        now: Instant,
        mut take: impl FnMut(Packet),
    ) -> io::Result<()> {
        let received = self.buffers.receive(&self.listener)?;
        let mut datagrams = Vec::new();
        self.buffers
            .datagrams(received, |meta, payload| datagrams.push((*meta, payload)));
        for (meta, payload) in datagrams {
            match self.client(meta.addr, now) {
                Some(client) => take(Packet {
                    client,
                    ecn: meta.ecn,
                    payload,
                }),
                None => self.refused_clients += 1,
            }
        }
        Ok(())
    }

    fn client(&mut self, address: SocketAddr, now: Instant) -> Option<ClientId> {
        if let Some(id) = self.clients_by_address.get(&address) {
            let client = self
                .clients
                .get_mut(id)
                .expect("both maps hold the same clients");
            client.last_used = now;
            return Some(*id);
        }
        if self.clients.len() >= MAX_CLIENTS {
            self.forget_idle_clients(now);
        }
        if self.clients.len() >= MAX_CLIENTS {
            return None;
        }
        self.add_client(address, now).ok()
    }

    fn add_client(&mut self, address: SocketAddr, now: Instant) -> io::Result<ClientId> {
        let socket = Socket::bind(unspecified_like(self.target))?;
        socket.udp.connect(self.target)?;
        let id = ClientId(self.next_client);
        epoll::add(
            &self.epoll,
            &socket.udp,
            data(Source::Target(id)),
            epoll::EventFlags::IN,
        )?;
        self.next_client += 1;
        self.clients.insert(
            id,
            Client {
                address,
                socket,
                last_used: now,
            },
        );
        self.clients_by_address.insert(address, id);
        Ok(id)
    }

    fn forget_idle_clients(&mut self, now: Instant) {
        self.clients
            .retain(|_, client| now.duration_since(client.last_used) < CLIENT_IDLE);
        let clients = &self.clients;
        self.clients_by_address
            .retain(|_, id| clients.contains_key(id));
    }
}

struct Client {
    address: SocketAddr,
    socket: Socket,
    last_used: Instant,
}

struct Socket {
    udp: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let udp = UdpSocket::bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&udp))?;
        size_buffers(&udp);
        Ok(Self { udp, state })
    }

    fn send(&self, batch: &Batch, destination: SocketAddr) -> bool {
        let transmit = Transmit {
            destination,
            ecn: batch.ecn,
            contents: &batch.contents,
            segment_size: (batch.count > 1).then_some(batch.segment),
            src_ip: None,
        };
        let send = || self.state.try_send(UdpSockRef::from(&self.udp), &transmit);
        // The refusal belongs to an earlier datagram, and reporting it has kept this one back.
        send()
            .or_else(|error| {
                if is_refusal(&error) {
                    send()
                } else {
                    Err(error)
                }
            })
            .is_ok()
    }
}

/// Room for what comes in while the thread sleeps. Only root may pass the system's limit; others
/// get as much as they may.
fn size_buffers(socket: &impl AsFd) {
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER);
    }
    let _ = sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER);
}

/// Buffers for one receiving system call, used again and again.
struct Buffers {
    memory: Vec<Vec<u8>>,
    metas: [RecvMeta; RECEIVE_BATCH],
}

impl Buffers {
    fn new() -> Self {
        Self {
            memory: vec![vec![0; RECEIVE_BYTES]; RECEIVE_BATCH],
            metas: [RecvMeta::default(); RECEIVE_BATCH],
        }
    }

    /// Fills buffers without waiting, and says how many.
    fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut slices: Vec<_> = self
            .memory
            .iter_mut()
            .map(|m| io::IoSliceMut::new(m))
            .collect();
        match socket
            .state
            .recv(UdpSockRef::from(&socket.udp), &mut slices, &mut self.metas)
        {
            // A dead target's ICMP answer: a real link would not carry it to the client either.
            Err(error) if is_nothing(&error) || is_refusal(&error) => Ok(0),
            received => received,
        }
    }

    /// Takes apart what the kernel has merged (GRO).
    fn datagrams(&self, received: usize, mut take: impl FnMut(&RecvMeta, Bytes)) {
        for (meta, memory) in self.metas.iter().zip(&self.memory).take(received) {
            let filled = &memory[..meta.len];
            if filled.is_empty() {
                take(meta, Bytes::new());
            }
            filled
                .chunks(meta.stride.max(1))
                .for_each(|datagram| take(meta, Bytes::copy_from_slice(datagram)));
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: span.as_secs() as i64,
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}

fn unspecified_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn data(source: Source) -> epoll::EventData {
    epoll::EventData::new_u64(match source {
        Source::Clients => 0,
        Source::Owner => 1,
        Source::Timer => 2,
        Source::Target(ClientId(id)) => id,
    })
}

fn source(data: epoll::EventData) -> Source {
    match data.u64() {
        0 => Source::Clients,
        1 => Source::Owner,
        2 => Source::Timer,
        id => Source::Target(ClientId(id)),
    }
}

/// Ids below name the other sources.
const FIRST_CLIENT: u64 = 3;

/// More than any load test on one machine has use for, and a bound on open files.
const MAX_CLIENTS: usize = 4096;

/// Twice QUIC's usual idle timeout: a client silent for this long is gone.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

const MAX_EVENTS: usize = 64;

/// 4 MiB hold 1.6 s of 20 Mbit/s.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// A merged batch is at most 64 KiB; eight of them keep the buffers within a second-level cache.
const RECEIVE_BATCH: usize = 8;
const RECEIVE_BYTES: usize = 64 * 1024;
