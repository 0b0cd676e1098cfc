//! A subscription: its objects, its changes and its end.

use super::ask::{RequestFailed, ask, expect_ok};
use super::object::Object;
use super::router::{Counters, Fetching, Sink};
use super::shared::{Handle, lock};
use crate::session::{RequestEvent, RequestReceiver, RequestSender, RequestStream, SessionError};
use meridian_wire::control::{PublishDone, RequestError, RequestOk, Subscribe, SubscribeOk};
use meridian_wire::{FullTrackName, GroupOrder, Message, Parameters, ResetCode, TerminationCode};
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// Objects that wait to be read; more are dropped and counted.
const QUEUE: usize = 1024;

/// How long after PUBLISH_DONE its last streams may take.
const LATE: Duration = Duration::from_secs(2);

/// A running subscription. Dropping it cancels it.
#[derive(Debug)]
pub struct Subscription {
    ok: SubscribeOk,
    track: FullTrackName,
    sender: RequestSender,
    objects: mpsc::Receiver<Object>,
    counters: Arc<Counters>,
    updates: Updates,
    end: watch::Receiver<Option<End>>,
    fill: Option<mpsc::Receiver<super::fetch::FetchItem>>,
    _cancel: oneshot::Sender<()>,
    _client: Arc<Handle>,
}

/// How a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The publisher said it is done.
    Done(PublishDone),
    /// The publisher broke off.
    Cancelled(Option<ResetCode>),
    /// The session ended.
    Session(SessionError),
}

/// What became of a subscription's objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionCounters {
    /// Handed over.
    pub objects: u64,
    /// Dropped, since they were not read in time.
    pub overflowed: u64,
    /// Begun, but cut off by a reset.
    pub cut_off: u64,
    /// Dropped, since larger than 16 MiB.
    pub too_large: u64,
    /// Streams that ended in order.
    pub streams_ended: u64,
    /// Streams that were reset.
    pub streams_reset: u64,
}

type Answer = Result<RequestOk, RequestError>;
type Updates = Arc<Mutex<VecDeque<oneshot::Sender<Answer>>>>;

impl Subscription {
    /// The publisher's answer. For a track that was offered it is made up of the offer.
    pub fn ok(&self) -> &SubscribeOk {
        &self.ok
    }

    /// The track.
    pub fn track(&self) -> &FullTrackName {
        &self.track
    }

    /// The next object in order of arrival; `None` when all is over: see [`end`](Self::end). Safe to drop.
    pub async fn next(&mut self) -> Option<Object> {
        self.objects.recv().await
    }

    /// An object that is already here.
    pub fn try_next(&mut self) -> Option<Object> {
        self.objects.try_recv().ok()
    }

    /// The next item of the fill that the subscription asked for (`Parameters::fill`); `None` if it did not, or after the last.
    pub async fn next_fill(&mut self) -> Option<super::fetch::FetchItem> {
        self.fill.as_mut()?.recv().await
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> End {
        let mut end = self.end.clone();
        let gone = End::Cancelled(None);
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(gone),
            Err(_) => gone,
        }
    }

    /// What became of its objects so far.
    pub fn counters(&self) -> SubscriptionCounters {
        let Counters {
            objects,
            overflowed,
            cut_off,
            too_large,
            streams_ended,
            streams_reset,
        } = &*self.counters;
        SubscriptionCounters {
            objects: objects.load(Ordering::Relaxed),
            overflowed: overflowed.load(Ordering::Relaxed),
            cut_off: cut_off.load(Ordering::Relaxed),
            too_large: too_large.load(Ordering::Relaxed),
            streams_ended: streams_ended.load(Ordering::Relaxed),
            streams_reset: streams_reset.load(Ordering::Relaxed),
        }
    }

    /// Changes the subscription, as in `forward` or `subscriber_priority`, and waits for the answer.
    pub async fn update(&self, params: Parameters) -> Result<RequestOk, RequestFailed> {
        let (answer, answered) = oneshot::channel();
        {
            // Answers come in the order of the updates.
            let mut updates = lock(&self.updates);
            self.sender.update(params)?;
            updates.push_back(answer);
        }
        match answered.await {
            Ok(Ok(ok)) => Ok(ok),
            Ok(Err(error)) => Err(RequestFailed::Refused(Box::new(error))),
            Err(_) => Err(RequestFailed::Cancelled(None)),
        }
    }
}

pub(super) async fn subscribe(
    client: &Arc<Handle>,
    track: FullTrackName,
    params: Parameters,
) -> Result<Subscription, RequestFailed> {
    let router = &client.shared.router;
    let wants_fill = params.fill.is_some();
    let order = params.group_order.unwrap_or(GroupOrder::Ascending);
    let (fill, filled) = mpsc::channel(QUEUE);
    let build = |request_id| {
        if wants_fill {
            // Before it is sent: the stream may come before the answer.
            router.add_fetch(request_id, Fetching { order, sink: fill });
        }
        Message::Subscribe(Subscribe {
            request_id,
            track: track.clone(),
            params,
        })
    };
    let (answer, stream) = ask(&client.shared.session, build).await?;
    let Message::SubscribeOk(ok) = answer else {
        return Err(expect_ok(answer)
            .err()
            .unwrap_or(RequestFailed::Cancelled(None)));
    };
    let mut subscription = start(client, track, ok, stream)?;
    subscription.fill = wants_fill.then_some(filled);
    Ok(subscription)
}

/// Routes the objects of an established subscription and watches over its stream.
pub(super) fn start(
    client: &Arc<Handle>,
    track: FullTrackName,
    ok: SubscribeOk,
    stream: RequestStream,
) -> Result<Subscription, RequestFailed> {
    let (objects, received) = mpsc::channel(QUEUE);
    let counters = Arc::<Counters>::default();
    let sink = Arc::new(Sink {
        track: track.clone(),
        objects,
        counters: counters.clone(),
        stream_ended: tokio::sync::Notify::new(),
    });
    let shared = &client.shared;
    if shared.router.add(ok.track_alias, sink.clone()).is_err() {
        let code = TerminationCode::DUPLICATE_TRACK_ALIAS;
        shared.session.close(code, "two tracks under one alias");
        let error = SessionError::Closed {
            code,
            what: "two tracks under one alias",
        };
        return Err(RequestFailed::Session(error));
    }
    let (sender, receiver) = stream.split();
    let (cancel, cancelled) = oneshot::channel();
    let (ending, end) = watch::channel(None);
    let updates = Updates::default();
    let watched = Watched {
        receiver,
        updates: updates.clone(),
        sink,
    };
    let (task, alias) = (shared.clone(), ok.track_alias);
    shared.tasks.spawn(async move {
        let (how, sink) = watched.run(cancelled).await;
        task.router.remove(alias, &sink);
        ending.send_replace(Some(how));
    });
    Ok(Subscription {
        ok,
        track,
        sender,
        objects: received,
        counters,
        updates,
        end,
        fill: None,
        _cancel: cancel,
        _client: client.clone(),
    })
}

/// The receiving half of a subscription's stream.
struct Watched {
    receiver: RequestReceiver,
    updates: Updates,
    sink: Arc<Sink>,
}

impl Watched {
    async fn run(mut self, mut cancelled: oneshot::Receiver<()>) -> (End, Arc<Sink>) {
        let end = tokio::select! {
            end = self.watch() => end,
            // The subscription was dropped.
            _ = &mut cancelled => {
                self.receiver.stop(ResetCode::CANCELLED);
                End::Cancelled(Some(ResetCode::CANCELLED))
            }
        };
        lock(&self.updates).clear();
        (end, self.sink)
    }

    async fn watch(&mut self) -> End {
        loop {
            let event = match self.receiver.recv().await {
                Ok(event) => event,
                Err(error) => return End::Session(error),
            };
            match event {
                RequestEvent::Message(Message::PublishDone(done)) => {
                    self.wait_for_late_streams(&done).await;
                    return End::Done(done);
                }
                RequestEvent::Message(Message::RequestOk(ok)) => self.answer(Ok(ok)),
                RequestEvent::Message(Message::RequestError(error)) => self.answer(Err(error)),
                RequestEvent::Message(_) | RequestEvent::Fin => {}
                RequestEvent::Reset(code) | RequestEvent::Stopped(code) => {
                    return End::Cancelled(Some(code));
                }
                RequestEvent::Done => return End::Cancelled(None),
            }
        }
    }

    fn answer(&self, answer: Answer) {
        if let Some(waiting) = lock(&self.updates).pop_front() {
            // Whoever asked may have gone.
            let _ = waiting.send(answer);
        }
    }

    /// PUBLISH_DONE tells how many streams there were; the last may still be on their way.
    async fn wait_for_late_streams(&self, done: &PublishDone) {
        let counters = &self.sink.counters;
        let ended = || {
            let ended = counters.streams_ended.load(Ordering::Relaxed);
            ended + counters.streams_reset.load(Ordering::Relaxed)
        };
        let all = async {
            while ended() < done.stream_count {
                self.sink.stream_ended.notified().await;
            }
        };
        // Streams that were reset before their first byte never come.
        let _ = timeout(LATE, all).await;
    }
}
