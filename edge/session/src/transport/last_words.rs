//! What a peer says last on a WebSocket, and that it arrives: why it closes.
//!
//! A peer that closes says why and hangs up. Whoever is writing at that moment would fail before it has read those words:
//! so writing fails only after reading has ended. The library breaks off in the middle of what it is writing when it is
//! told to close: so the words are said once more by whoever lets go of the socket. And a socket that is shut with bytes
//! unread makes the kernel drop what is still on its way (RFC 1122 §4.2.2.13): so the peer is waited for to go first.

use bytes::{BufMut, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use qmux::ws::tungstenite::{Error, Message};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};
use web_transport_quinn::proto::VarInt;

/// How long the peer's last words are waited for once nothing can be said to it any more.
const LISTENS: Duration = Duration::from_secs(1);
/// What this side closes with, once it has: code and reason.
pub(super) type Goodbye = Arc<OnceLock<(u32, String)>>;

/// APPLICATION_CLOSE of qmux: a type, a code, and a reason with its length, as in QUIC (RFC 9000 §19.19).
const APPLICATION_CLOSE: u8 = 0x1d;

/// How long a closed socket waits for the peer to hang up.
const LINGERS: Duration = Duration::from_secs(1);

/// A WebSocket that is read to its end, also when writing fails before: what is written from then on is dropped.
pub(super) struct LastWords<S: WebSocket> {
    /// Until this is dropped.
    socket: Option<S>,
    goodbye: Goodbye,
    /// The library has closed the WebSocket in order.
    closed: bool,
    /// Writing has failed; until when reading may go on.
    broken: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
}

/// Messages both ways.
pub(super) trait WebSocket:
    Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error> + Unpin + Send + 'static
{
}

impl<S> WebSocket for S where
    S: Stream<Item = Result<Message, Error>>
        + Sink<Message, Error = Error>
        + Unpin
        + Send
        + 'static
{
}

impl<S: WebSocket> LastWords<S> {
    /// `goodbye` is to be set before the session is closed.
    pub(super) fn new(socket: S, goodbye: Goodbye) -> LastWords<S> {
        LastWords {
            socket: Some(socket),
            goodbye,
            closed: false,
            broken: None,
            reader: None,
        }
    }

    fn socket(&mut self) -> &mut S {
        self.socket.as_mut().expect("it is taken when dropped")
    }

    /// Writes, unless writing has failed before.
    fn write(
        &mut self,
        write: impl FnOnce(Pin<&mut S>) -> Poll<Result<(), Error>>,
    ) -> Poll<Result<(), Error>> {
        if self.broken.is_some() {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(write(Pin::new(self.socket()))) {
            tracing::debug!(%error, "a WebSocket takes no more");
            self.broken = Some(Box::pin(sleep(LISTENS)));
            // It is the reader that has to end now.
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: WebSocket> Stream for LastWords<S> {
    type Item = Result<Message, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(message) = self.socket().poll_next_unpin(cx) {
            return Poll::Ready(message);
        }
        match &mut self.broken {
            Some(patience) => patience.as_mut().poll(cx).map(|()| None),
            None => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<S: WebSocket> Sink<Message> for LastWords<S> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.write(|socket| socket.poll_ready(cx))
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        match self.write(|socket| Poll::Ready(socket.start_send(message))) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.write(|socket| socket.poll_flush(cx))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let closed = ready!(self.write(|socket| socket.poll_close(cx)));
        self.closed = true;
        Poll::Ready(closed)
    }
}

impl<S: WebSocket> Drop for LastWords<S> {
    fn drop(&mut self) {
        if self.closed || self.broken.is_some() {
            return;
        }
        let (Some(mut socket), Some((code, reason))) = (self.socket.take(), self.goodbye.get())
        else {
            return;
        };
        let message = Message::Binary(application_close(*code, reason));
        // Without a runtime nothing can be waited for any more.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGERS, async move {
                socket.send(message).await?;
                socket.close().await
            }));
        }
    }
}

fn application_close(code: u32, reason: &str) -> bytes::Bytes {
    let mut record = BytesMut::new();
    record.put_u8(APPLICATION_CLOSE);
    VarInt::from_u32(code).encode(&mut record);
    let length = VarInt::try_from(reason.len()).expect("a length");
    length.encode(&mut record);
    record.put_slice(reason.as_bytes());
    record.freeze()
}

/// A byte stream that is shut in order: dropped, it says that nothing follows and reads on, for a second at most, until
/// the peer has hung up.
pub(super) struct Lingering<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(Option<S>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Lingering<S> {
    pub(super) fn new(stream: S) -> Lingering<S> {
        Lingering(Some(stream))
    }

    fn stream(&mut self) -> Pin<&mut S> {
        Pin::new(self.0.as_mut().expect("it is taken when dropped"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Lingering<S> {
    fn drop(&mut self) {
        // Without a runtime nothing can be waited for any more.
        if let (Some(stream), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(timeout(LINGERS, hang_up(stream)));
        }
    }
}

async fn hang_up(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}
