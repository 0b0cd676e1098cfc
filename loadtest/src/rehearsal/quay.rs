//! Where delegates of one thread are joined to the network. Several share a UDP socket, and each has a last mile of its own
//! inside this process: its packets travel an emulated path each way before they reach the kernel's, or come out of it.
//! Whose a packet is that comes in is known by its connection ID.

mod berth;
mod board;
mod dock;
mod roads;
mod ways;

pub use roads::Roads;
pub(super) use ways::Home;

use berth::{Berth, Names};
use board::Board;
use meridian_session::endpoint::{Harbour, QuicSettings};
use quinn::{Endpoint, EndpointConfig, Runtime as _, TokioRuntime};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// One thread's. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Quay(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared(Mutex<Board>);

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Quay {
    /// Each connection from an endpoint of its own behind a last mile. To be used inside one tokio runtime, whose timers are a
    /// millisecond coarse: packets are late by up to that.
    pub(super) fn harbour(&self, home: Home) -> Harbour {
        let quay = self.clone();
        Harbour::new(move |settings, local| quay.open(settings, local, &home))
    }

    fn open(
        &self,
        settings: &QuicSettings,
        local: SocketAddr,
        home: &Home,
    ) -> io::Result<Endpoint> {
        let mut board = self.0.board();
        if !board.is_attended {
            board.is_attended = true;
            tokio::spawn(attend(Arc::downgrade(&self.0)));
        }
        let dock = match board.room_at(local) {
            Some(dock) => dock,
            None => {
                let socket = TokioRuntime.wrap_udp_socket(settings.bind(local)?)?;
                let dock = board.build(local, socket.clone(), &home.roads);
                let taking = dock::take_in(Arc::downgrade(&self.0), dock, socket);
                board.keep(dock, tokio::spawn(taking).abort_handle());
                dock
            }
        };
        let (number, socket) = board.moor(dock, home);
        drop(board);
        let berth = Arc::new(Berth {
            shared: self.0.clone(),
            number,
            socket,
        });
        let mut config = EndpointConfig::default();
        config.cid_generator(move || Box::new(Names(number)));
        Endpoint::new_with_abstract_socket(config, None, berth, Arc::new(TokioRuntime))
    }
}

/// Moves packets on when they are due, until the quay is gone.
async fn attend(shared: Weak<Shared>) {
    let mut timer = Box::pin(tokio::time::sleep_until(Instant::now().into()));
    poll_fn(|cx| match shared.upgrade() {
        Some(shared) => poll_due(&shared, timer.as_mut(), cx),
        None => Poll::Ready(()),
    })
    .await;
}

fn poll_due(shared: &Shared, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let mut board = shared.board();
    loop {
        board.handle_timeout(Instant::now());
        let Some(next) = board.poll_timeout() else {
            board.wake_for(None, cx);
            return Poll::Pending;
        };
        if timer.deadline() != next.into() {
            timer.as_mut().reset(next.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            board.wake_for(Some(next), cx);
            return Poll::Pending;
        }
    }
}
