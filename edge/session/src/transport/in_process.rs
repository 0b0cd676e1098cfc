//! A connection between two threads of one process: qmux over two bounded channels, without sockets or encryption.

use super::connection::Connection;
use super::error::ConnectionLost;
use super::last_words::Goodbye;
use super::web_socket::established;
use bytes::Bytes;
use meridian_wire::Draft;
use qmux::transport;
use std::time::Duration;
use tokio::sync::mpsc;

/// Records on their way, each of at most 16 KiB. Whatever is urgent waits for no more than these: behind them qmux sends
/// by priority.
const RECORDS: usize = 4;
/// Unidirectional streams each end may have open at once. Streams live for microseconds here; this is room for a stall of
/// some 200 ms with 100 audio tracks.
const UNI_STREAMS: u64 = 1024;
/// Requests each end may have open at once, as towards a neighbour.
const BIDI_STREAMS: u64 = 2048;
/// Bytes each end may send ahead on one stream, and in all.
const STREAM_WINDOW: u64 = 1024 * 1024;
const WINDOW: u64 = 4 * 1024 * 1024;

/// One end of a connection that is still to be made. Each is taken to the thread that uses it.
#[derive(Debug)]
pub struct InProcess {
    records: (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>),
    accepts: bool,
}

/// Both ends of a connection: the one that opens it and the one that accepts it.
pub fn in_process() -> (InProcess, InProcess) {
    let (there, from_here) = mpsc::channel(RECORDS);
    let (here, from_there) = mpsc::channel(RECORDS);
    let end = |records, accepts| InProcess { records, accepts };
    (
        end((there, from_there), false),
        end((here, from_here), true),
    )
}

impl InProcess {
    /// Makes the connection, on draft 22. Returns when the other end does the same; tasks of the calling runtime carry it
    /// from then on.
    ///
    /// # Errors
    /// The other end is gone.
    pub async fn connect(self) -> Result<Connection, ConnectionLost> {
        let config = settings();
        let session = match self.accepts {
            true => qmux::Session::accept(Records(self.records), config).await?,
            false => qmux::Session::connect(Records(self.records), config).await?,
        };
        Ok(established(
            session,
            Goodbye::default(),
            (String::new(), None),
            Draft::D22,
        ))
    }
}

fn settings() -> qmux::Config {
    let mut config = qmux::Config::default();
    config.max_streams_uni = UNI_STREAMS;
    config.max_streams_bidi = BIDI_STREAMS;
    config.max_data = WINDOW;
    config.max_stream_data_uni = STREAM_WINDOW;
    config.max_stream_data_bidi_local = STREAM_WINDOW;
    config.max_stream_data_bidi_remote = STREAM_WINDOW;
    // A thread that is busy for long is not gone; one that is gone drops its end of the channels.
    config.max_idle_timeout = 0;
    config.handshake_timeout = Duration::ZERO;
    config.rtt_interval = Duration::ZERO;
    config
}

struct Records((mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>));

impl transport::Transport for Records {
    type Writer = Writer;
    type Reader = Reader;

    fn split(self) -> (Writer, Reader) {
        let (sender, receiver) = self.0;
        (Writer(Some(sender)), Reader(receiver))
    }
}

struct Writer(Option<mpsc::Sender<Bytes>>);

impl transport::Writer for Writer {
    async fn send(&mut self, record: Bytes) -> Result<(), qmux::Error> {
        let open = self.0.as_ref().ok_or(qmux::Error::Closed)?;
        open.send(record).await.map_err(|_| qmux::Error::Closed)
    }

    async fn close(&mut self) -> Result<(), qmux::Error> {
        self.0 = None;
        Ok(())
    }
}

struct Reader(mpsc::Receiver<Bytes>);

impl transport::Reader for Reader {
    async fn recv(&mut self) -> Result<Bytes, qmux::Error> {
        self.0.recv().await.ok_or(qmux::Error::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Options, Session};
    use meridian_wire::TerminationCode;

    #[test]
    fn two_threads_talk_and_hear_when_one_is_gone() {
        let (near, far) = in_process();
        let run = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime starts").block_on(future);
        };
        let there = std::thread::spawn(move || {
            run(Box::pin(async {
                let connection = far.connect().await.expect("the other end is there");
                let session = Session::accept(connection, Options::default()).await;
                let session = session.expect("SETUP succeeds");
                assert!(session.connection().is_in_process());
                let mut stream = session.connection().accept_uni().await.expect("one comes");
                let mut bytes = 0;
                while let Some(chunk) = stream.read_chunk(1 << 20).await.expect("no reset") {
                    bytes += chunk.len();
                }
                assert_eq!(bytes, 3 << 20);
                session.close(TerminationCode::NO_ERROR, "that was it");
            }));
        });
        run(Box::pin(async {
            let connection = near.connect().await.expect("the other end is there");
            let session = Session::connect(connection, Options::default()).await;
            let session = session.expect("SETUP succeeds");
            let mut stream = session.connection().open_uni().await.expect("credit");
            // More than the windows and the channels hold.
            let mut bytes = Bytes::from(vec![7; 3 << 20]);
            stream.write_chunk(&mut bytes).await.expect("it is read");
            stream.finish().expect("it is open");
            session.closed().await;
        }));
        there.join().expect("the other end is content");
    }

    #[test]
    fn an_end_whose_other_end_is_dropped_does_not_wait() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime starts").block_on(async {
            let (near, far) = in_process();
            drop(far);
            assert!(near.connect().await.is_err());
        });
    }
}
