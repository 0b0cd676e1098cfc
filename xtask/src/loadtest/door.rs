//! A TCP port on loopback where the tester asks for things: a line of JSON in, a line of JSON out.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::request::{Request, answer};

/// Open until it is dropped.
#[derive(Debug)]
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    asked: Receiver<Asked>,
    is_closed: Arc<AtomicBool>,
    porter: Option<JoinHandle<()>>,
}

/// A line, and where the answer goes.
#[derive(Debug)]
struct Asked {
    line: String,
    answer: SyncSender<Value>,
}

impl Door {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system has no port.
    pub fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.context("no port for the load tester's requests")?;
        let address = listener.local_addr()?;
        // Whoever asks waits for the answer, so this bounds nothing but how many may wait.
        let (sender, asked) = mpsc::sync_channel(WAITING);
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&is_closed);
        let porter = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::Acquire) {
                    return;
                }
                let sender = sender.clone();
                thread::spawn(move || converse(&stream, &sender));
            }
        });
        Ok(Self {
            address,
            asked,
            is_closed,
            porter: Some(porter),
        })
    }

    /// Answers what is asked in this time with what `carry_out` makes of it; what it cannot do is told to whoever asked.
    pub fn serve(&self, patience: Duration, carry_out: impl FnOnce(&Request) -> Result<Value>) {
        let asked = match self.asked.recv_timeout(patience) {
            Ok(asked) => asked,
            Err(RecvTimeoutError::Timeout) => return,
            // The porter has gone; nothing will be asked any more.
            Err(RecvTimeoutError::Disconnected) => return thread::sleep(patience),
        };
        let outcome = Request::parse(&asked.line)
            .and_then(|request| carry_out(&request).map_err(|error| format!("{error:#}")));
        // Somebody who has hung up needs no answer.
        let _ = asked.answer.send(answer(outcome));
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Release);
        // So that the porter looks.
        let _ = TcpStream::connect(self.address);
        if let Some(porter) = self.porter.take() {
            let _ = porter.join();
        }
    }
}

/// Passes lines on and answers back, until either side is gone.
fn converse(stream: &TcpStream, sender: &SyncSender<Asked>) {
    let mut lines = BufReader::new(stream);
    while let Ok(Some(line)) = read_line(&mut lines) {
        let (answer, answered) = mpsc::sync_channel(1);
        if sender.send(Asked { line, answer }).is_err() {
            return;
        }
        let Ok(answer) = answered.recv() else { return };
        let mut out = stream;
        if out.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// The next line; none at the end.
fn read_line(lines: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    lines.take(LONGEST_LINE).read_line(&mut line)?;
    Ok(line.ends_with('\n').then_some(line))
}

/// A tester asks one thing after another.
const WAITING: usize = 16;

/// A word and an office fit well.
const LONGEST_LINE: u64 = 4_096;
