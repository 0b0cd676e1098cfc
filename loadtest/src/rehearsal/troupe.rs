//! The delegates of one thread.

use super::delegate::Delegate;
use super::error::RehearsalError;
use super::house::House;
use super::pace::{Lateness, Load, Pace};
use super::quay::Quay;
use crate::account::Book;
use crate::outcome::{Count, Outcome, Tick};
use crate::scenario::Part;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep_until;

/// A thread that plays delegates.
#[derive(Debug)]
pub(super) struct Troupe {
    thread: JoinHandle<Played>,
    glance: Arc<Mutex<Glance>>,
}

/// What a thread has measured.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) outcome: Outcome,
    pub(super) lateness: Lateness,
    pub(super) delegates: u64,
    /// The thread's CPU time as a share of its busiest ten seconds.
    pub(super) busiest: f64,
}

/// What can be seen of a thread while it works.
#[derive(Clone, Debug, Default)]
pub(super) struct Glance {
    pub(super) came: u64,
    pub(super) joined: u64,
    pub(super) failed: u64,
    pub(super) left: u64,
    pub(super) last: Tick,
    pub(super) worst_gap_ms: Option<f64>,
    /// At most, since the glance before.
    pub(super) behind: Duration,
}

/// What it is to play: delegates with their numbers and invitations.
pub(super) type Parts = Vec<(u64, Part, String)>;

impl Troupe {
    /// Starts; everybody comes when due.
    pub(super) fn start(
        house: Arc<House>,
        parts: Parts,
        over: watch::Receiver<bool>,
    ) -> Result<Troupe, RehearsalError> {
        let glance = Arc::new(Mutex::new(Glance::default()));
        let seen = glance.clone();
        let about = "a thread of delegates";
        // A runtime that cannot be had is found out before the thread starts.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RehearsalError::machine(about))?;
        let thread = std::thread::Builder::new().name("delegates".to_owned());
        let thread = thread
            .spawn(move || LocalSet::new().block_on(&runtime, play(house, parts, over, &seen)));
        Ok(Troupe {
            thread: thread.map_err(RehearsalError::machine(about))?,
            glance,
        })
    }

    /// How it goes.
    pub(super) fn glance(&self) -> Glance {
        let glance = self.glance.lock().unwrap_or_else(PoisonError::into_inner);
        glance.clone()
    }

    /// Whether everybody has gone.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// What it has measured; none if it broke down.
    pub(super) fn join(self) -> Option<Played> {
        self.thread.join().ok()
    }
}

async fn play(
    house: Arc<House>,
    parts: Parts,
    over: watch::Receiver<bool>,
    glance: &Mutex<Glance>,
) -> Played {
    let clock = house.programme.clock;
    let book = Rc::new(RefCell::new(Book::new(clock)));
    let lateness = Rc::new(RefCell::new(Lateness::default()));
    let delegates = parts.len() as u64;
    let quay = Quay::default();
    let mut everybody = JoinSet::new();
    for part in parts {
        let (house, quay) = (house.clone(), quay.clone());
        let (book, lateness) = (book.clone(), lateness.clone());
        everybody.spawn_local(appear(house, part, quay, book, lateness, over.clone()));
    }
    let mut load = Load::new(Instant::now());
    let mut pace = Pace::new(clock.start);
    let mut next_glance = clock.start + GLANCE;
    let mut behind = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            late = pace.beat() => {
                let second = clock.start.elapsed().as_secs();
                lateness.borrow_mut().note(late, second);
                behind = behind.max(late);
                let now = Instant::now();
                if now >= next_glance {
                    next_glance = now + GLANCE;
                    load.note(now);
                    look(&book.borrow(), std::mem::take(&mut behind), now, glance);
                }
            }
            gone = everybody.join_next() => if gone.is_none() {
                break;
            },
        }
    }
    let book = Rc::into_inner(book)
        .expect("everybody has gone")
        .into_inner();
    let lateness = Rc::into_inner(lateness).expect("everybody has gone");
    Played {
        outcome: book.close(),
        lateness: lateness.into_inner(),
        delegates,
        busiest: load.busiest(),
    }
}

/// Waits until somebody is due, and plays them.
async fn appear(
    house: Arc<House>,
    (number, part, invitation): (u64, Part, String),
    quay: Quay,
    book: Rc<RefCell<Book>>,
    lateness: Rc<RefCell<Lateness>>,
    mut over: watch::Receiver<bool>,
) {
    let due = house.programme.clock.start + part.due;
    tokio::select! {
        biased;
        _ = over.wait_for(|over| *over) => return,
        () = sleep_until(due.into()) => {}
    }
    lateness.borrow_mut().arrivals.record(due.elapsed());
    let delegate = Delegate::come(house, (number, part), invitation, quay, book);
    delegate.live(over).await;
}

fn look(book: &Book, behind: Duration, now: Instant, glance: &Mutex<Glance>) {
    let last = book.last_tick(now);
    let mut glance = glance.lock().unwrap_or_else(PoisonError::into_inner);
    let gap = last.gaps.max_ms().unwrap_or(0.0);
    let worst = glance.worst_gap_ms.unwrap_or(0.0).max(gap);
    *glance = Glance {
        came: book.counted(Count::Came),
        joined: book.counted(Count::Joined),
        failed: book.counted(Count::Failed),
        left: glance.left + last.left,
        worst_gap_ms: (worst > 0.0).then_some(worst),
        last,
        behind,
    };
}

/// A view is drawn as often.
const GLANCE: Duration = Duration::from_secs(1);
