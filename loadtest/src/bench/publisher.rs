//! The publisher: a thread of its own, so that its clock does not wait for the subscribers' work.

use super::dial::{Dialect, Dialer, Purpose};
use super::lite;
use super::shape::{Shape, alias};
use anyhow::{Context, Result, bail};
use meridian_session::endpoint::QuicSettings;
use meridian_session::session::{IncomingRequest, RequestEvent, Session};
use meridian_session::transport::Connection;
use meridian_wire::control::{NamespaceRequest, RequestOk, SubscribeOk};
use meridian_wire::param::Parameters;
use meridian_wire::property::Properties;
use meridian_wire::{FullTrackName, Message, Namespace};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::Instant;

/// What is published, and how it is said.
#[derive(Clone, Debug)]
pub(super) struct Programme {
    pub(super) dialect: Dialect,
    /// One track each.
    pub(super) shapes: Vec<Shape>,
}

impl Programme {
    pub(super) fn is_datagrams(&self) -> bool {
        self.shapes == [Shape::AudioDatagrams]
    }
}

/// Where the tracks are.
pub(super) const NAMESPACE: [&str; 2] = ["bench", "talk"];

/// The last word of a track's name.
pub(super) fn track_title(track: u8) -> String {
    char::from(b'a' + track).to_string()
}

/// The track with this number.
pub(super) fn track_name(track: u8) -> FullTrackName {
    FullTrackName::new(namespace(), track_title(track)).expect("a short name")
}

fn namespace() -> Namespace {
    Namespace::new(NAMESPACE.map(str::to_owned)).expect("a short name")
}

/// A publisher at work. It stops with the process.
pub(super) struct Publisher {
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    /// When what was published: nanoseconds and track.
    sent: Mutex<Vec<(u64, u8)>>,
    /// The longest an object was published after its time, nanoseconds.
    latest: AtomicU64,
}

impl Publisher {
    /// Connects and announces; publishing starts with the first subscriber.
    ///
    /// # Errors
    /// The target takes no publisher.
    pub(super) fn start(programme: &Programme, target: SocketAddr) -> Result<Publisher> {
        let log = Arc::new(Log::default());
        let (ready, is_ready) = mpsc::channel();
        let (programme, its_log) = (programme.clone(), log.clone());
        std::thread::Builder::new()
            .name("publisher".into())
            .spawn(move || {
                if let Err(error) = run(programme, target, its_log, &ready) {
                    // Whoever waits for it is told; if it was at work already, the figures show it.
                    let _ = ready.send(Err(error));
                }
            })?;
        is_ready
            .recv_timeout(Duration::from_secs(10))
            .context("the publisher waits for an answer")??;
        Ok(Publisher { log })
    }

    /// Objects of a track published in a time.
    pub(super) fn sent(&self, track: u8, window: &Range<u64>) -> u64 {
        let sent = self.log.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = |(at, of): &&(u64, u8)| *of == track && window.contains(at);
        sent.iter().filter(inside).count() as u64
    }

    /// The longest an object was late since this was last asked, in milliseconds.
    pub(super) fn take_latest_ms(&self) -> f64 {
        self.log.latest.swap(0, Ordering::Relaxed) as f64 / 1e6
    }
}

fn run(
    programme: Programme,
    target: SocketAddr,
    log: Arc<Log>,
    ready: &mpsc::Sender<Result<()>>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let settings = QuicSettings::client_side();
        let dialer = Dialer::new(programme.dialect, Purpose::Publish, &settings, 1)?;
        let (connection, session) = dialer.connect(target).await?;
        let stage = Rc::new(Stage {
            programme,
            connection,
            log,
        });
        match session {
            Some(session) => stage.serve(session, ready).await,
            None if stage.programme.dialect == Dialect::MoqLite => stage.serve_lite(ready).await,
            None => {
                // The yardstick takes whatever comes.
                for track in 0..stage.programme.shapes.len() {
                    tokio::task::spawn_local(stage.clone().publish(track as u8, None));
                }
                let _ = ready.send(Ok(()));
                bail!("the target left: {}", stage.connection.closed().await)
            }
        }
    })
}

struct Stage {
    programme: Programme,
    connection: Connection,
    log: Arc<Log>,
}

impl Stage {
    async fn serve(
        self: Rc<Self>,
        session: Session,
        ready: &mpsc::Sender<Result<()>>,
    ) -> Result<()> {
        let offer = |request_id| {
            Message::PublishNamespace(NamespaceRequest {
                request_id,
                namespace: namespace(),
                params: Parameters::default(),
            })
        };
        let mut offer = session.open_request(offer).await?;
        match offer.recv().await? {
            RequestEvent::Message(Message::RequestOk(_)) => {}
            other => bail!("PUBLISH_NAMESPACE was answered by {other:?}"),
        }
        let _ = ready.send(Ok(()));
        let mut kept = Vec::new();
        let mut at_work = vec![false; self.programme.shapes.len()];
        loop {
            let request = session.accept_request().await?;
            if let Some(track) = self.answer(&request)
                && !std::mem::replace(&mut at_work[usize::from(track)], true)
            {
                tokio::task::spawn_local(self.clone().publish(track, None));
            }
            // Dropped, a request would be cancelled.
            kept.push(request);
        }
    }

    async fn serve_lite(self: Rc<Self>, ready: &mpsc::Sender<Result<()>>) -> Result<()> {
        let at_work = Rc::new(RefCell::new(vec![false; self.programme.shapes.len()]));
        loop {
            let request = self.connection.accept_bi().await?;
            let (stage, ready, at_work) = (self.clone(), ready.clone(), at_work.clone());
            // Each by itself: on some a relay says nothing for long.
            tokio::task::spawn_local(async move {
                if let Err(error) = stage.answer_lite(request, &ready, &at_work).await {
                    eprintln!("the publisher: {error:#}");
                }
            });
        }
    }

    async fn answer_lite(
        self: Rc<Self>,
        mut request: lite::Request,
        ready: &mpsc::Sender<Result<()>>,
        at_work: &RefCell<Vec<bool>>,
    ) -> Result<()> {
        match lite::asked(&mut request).await? {
            lite::Asked::Announce(prefix) => {
                lite::announce(&mut request, &prefix).await?;
                let _ = ready.send(Ok(()));
            }
            lite::Asked::Subscribe { id, track } => {
                let tracks = 0..self.programme.shapes.len() as u8;
                let Some(n) = tracks.into_iter().find(|n| track_title(*n) == track) else {
                    return Ok(());
                };
                lite::accept(&mut request).await?;
                if !std::mem::replace(&mut at_work.borrow_mut()[usize::from(n)], true) {
                    tokio::task::spawn_local(self.clone().publish(n, Some(id)));
                }
            }
            lite::Asked::Other => return Ok(()),
        }
        lite::stands(&mut request).await;
        Ok(())
    }

    /// The track that is to be published now, if any.
    fn answer(&self, request: &IncomingRequest) -> Option<u8> {
        let Message::Subscribe(ask) = &request.message else {
            // A relay may ask what else there is: nothing.
            let ok = Message::RequestOk(RequestOk::default());
            let _ = request.stream.send(&ok);
            return None;
        };
        let tracks = 0..self.programme.shapes.len() as u8;
        let track = tracks.into_iter().find(|n| track_name(*n) == ask.track)?;
        let priority = self.programme.shapes[usize::from(track)].priority();
        let properties = Properties::builder().default_publisher_priority(priority);
        let ok = Message::SubscribeOk(SubscribeOk {
            track_alias: alias(track),
            params: Parameters::default(),
            properties: properties.build().expect("one property fits"),
        });
        request.stream.send(&ok).is_ok().then_some(track)
    }

    /// In moq-lite under the number that it was asked for by.
    async fn publish(self: Rc<Self>, track: u8, lite: Option<u64>) {
        let shape = self.programme.shapes[usize::from(track)];
        // Speakers are not in step with each other.
        let phase = shape.period() * u32::from(track) / self.programme.shapes.len() as u32;
        let start = Instant::now() + phase;
        let mut stream = None;
        for n in 0.. {
            let due = start + shape.period() * n as u32;
            tokio::time::sleep_until(due).await;
            let late = due.elapsed().as_nanos() as u64;
            self.log.latest.fetch_max(late, Ordering::Relaxed);
            let (stamp, mut bytes) = match lite {
                None => shape.encode(track, n),
                Some(id) => lite::encode(shape, id, track, n),
            };
            self.log
                .sent
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((stamp.sent, track));
            if shape == Shape::AudioDatagrams {
                // One that cannot be sent shows as not delivered.
                let _ = self.connection.send_datagram(bytes);
                continue;
            }
            if n % shape.group_len() == 0 {
                stream = self.connection.open_uni().await.ok();
            }
            let Some(open) = &mut stream else { return };
            if open.write_chunk(&mut bytes).await.is_err() {
                // The relay may stop a stream; the next group is a new one.
                continue;
            }
            if (n + 1) % shape.group_len() == 0 {
                let _ = open.finish();
            }
        }
    }
}
