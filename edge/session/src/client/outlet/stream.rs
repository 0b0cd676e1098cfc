//! Streams towards a subscriber: one for a single object, one for a group that grows, or one for what was fetched.

use crate::transport::{Connection, SendStream, StreamError};
use bytes::{Bytes, BytesMut};
use meridian_wire::data::SubgroupHeader;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::{AbortHandle, JoinSet};

/// What goes out for one object: its head, its payload.
pub(super) type Chunks = [Bytes; 2];

/// Sends a stream with a single object. Says whether the transport took it; without stream credit it does not wait.
pub(super) fn send_single(
    connection: &Connection,
    tasks: &mut JoinSet<()>,
    header: &SubgroupHeader,
    priority: i32,
    chunks: Chunks,
) -> bool {
    if tasks.len() >= IN_FLIGHT {
        return false;
    }
    let Ok(Some(mut stream)) = connection.try_open_uni() else {
        return false;
    };
    stream.set_priority(priority);
    let head = [head(header), chunks[0].clone()].concat();
    tasks.spawn(async move {
        // A stream that the subscriber stopped, or whose session is over, has nobody to tell.
        let _ = write_all(&mut stream, [head.into(), chunks[1].clone()]).await;
        finish(stream).await;
    });
    true
}

/// Sends `chunks` on a stream of their own, waiting for stream credit. Aborted, the stream is reset.
pub(super) fn send_past(
    connection: &Connection,
    tasks: &mut JoinSet<()>,
    priority: i32,
    chunks: Vec<Bytes>,
) -> AbortHandle {
    let connection = connection.clone();
    tasks.spawn(async move {
        if let Ok(mut stream) = connection.open_uni().await {
            stream.set_priority(priority);
            // Dropped unfinished, the stream is reset: the peer sees that something is missing.
            if write_all(&mut stream, chunks).await.is_ok() {
                finish(stream).await;
            }
        }
    })
}

/// A group that is being sent.
#[derive(Debug)]
pub(super) struct GroupStream {
    pub(super) group: u64,
    queue: mpsc::Sender<Step>,
}

#[derive(Debug)]
enum Step {
    Object(Chunks),
    End,
}

impl GroupStream {
    /// Starts a stream for a group with its `first` objects, however many; its task waits for stream credit.
    pub(super) fn open(
        connection: &Connection,
        tasks: &mut JoinSet<()>,
        header: &SubgroupHeader,
        priority: i32,
        first: Vec<Chunks>,
    ) -> GroupStream {
        let (queue, steps) = mpsc::channel(BEHIND);
        let connection = connection.clone();
        let (group, head) = (header.group, head(header));
        let first = std::iter::once(head).chain(first.into_iter().flatten());
        tasks.spawn(async move {
            if let Ok(mut stream) = connection.open_uni().await {
                stream.set_priority(priority);
                // Dropped unfinished, the stream is reset: a group cut short never looks whole.
                let _ = send_steps(stream, first, steps).await;
            }
        });
        GroupStream { group, queue }
    }

    /// Adds an object. Says whether it will be sent: not if the stream is broken or too far behind.
    pub(super) fn add(&self, chunks: Chunks) -> bool {
        match self.queue.try_send(Step::Object(chunks)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => false,
        }
    }

    /// Ends the group after what was added.
    pub(super) fn end(self) {
        // A full queue cuts the group off, which counts where its objects were refused.
        let _ = self.queue.try_send(Step::End);
    }
}

async fn send_steps(
    mut stream: SendStream,
    first: impl Iterator<Item = Bytes>,
    mut steps: mpsc::Receiver<Step>,
) -> Result<(), StreamError> {
    write_all(&mut stream, first).await?;
    while let Some(step) = steps.recv().await {
        match step {
            Step::Object(chunks) => write_all(&mut stream, chunks).await?,
            Step::End => {
                finish(stream).await;
                break;
            }
        }
    }
    Ok(())
}

async fn write_all(
    stream: &mut SendStream,
    chunks: impl IntoIterator<Item = Bytes>,
) -> Result<(), StreamError> {
    for mut chunk in chunks {
        stream.write_chunk(&mut chunk).await?;
    }
    Ok(())
}

/// Ends a stream and waits until the edge has it, so that an end of the program cuts nothing off.
async fn finish(mut stream: SendStream) {
    if stream.finish().is_ok() {
        stream.stopped().await;
    }
}

fn head(header: &SubgroupHeader) -> Bytes {
    let mut head = BytesMut::new();
    header.encode(&mut head);
    head.freeze()
}

/// Objects of a group that wait to be sent: four seconds at 30 fps. A taker further behind starts over at a keyframe.
const BEHIND: usize = 128;
/// Streams not yet acknowledged: five seconds of audio over all subscribers.
const IN_FLIGHT: usize = 256;
