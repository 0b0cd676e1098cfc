//! Links between edges: mTLS on a port of their own. Parents, and shortcuts with an address, are dialled, again and again;
//! children and the other shortcuts come in.
//!
//! Which there are may change at any time: see [`Neighbours::apply`].

mod credentials;
mod dialling;
pub mod link;
mod listening;
pub mod place;
pub mod plan;
pub mod tables;
pub mod tree;

use crate::config::{Config, Neighbour};
use crate::neighbours::credentials::Credentials;
use crate::neighbours::dialling::Target;
use crate::neighbours::link::{Kind, Wish};
use crate::neighbours::place::Place;
use crate::worker::Worker;
use meridian_relay::Role;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How long a parent is kept for the next one to be joined. One that cannot be reached by then is not waited for: who
/// decided that the old one is none any more had a reason.
const JOIN_FIRST: Duration = Duration::from_secs(10);
/// Neighbours an edge may have: more than there are offices.
pub const MAX_NEIGHBOURS: usize = 512;

/// The neighbours of an edge. Dropped, all links to them end.
#[must_use = "the links last as long as this"]
pub struct Neighbours(Rc<Inner>);

/// A set of neighbours that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeighboursError {
    /// The edge has nothing to show them.
    #[error("neighbours need a [neighbour_tls] section")]
    NoCredentials,
    /// One of them is this edge.
    #[error("an office is not its own neighbour")]
    Itself,
    /// One is there twice in the same place.
    #[error("{0} is listed twice")]
    Twice(String),
    /// Two parents that are none's backup.
    #[error("there is one parent; a second is a backup-parent")]
    TwoParents,
    /// A parent without an address.
    #[error("{0} is a parent, and is dialled: it needs an address")]
    NoAddress(String),
    /// A child with an address.
    #[error("{0} is a child, and dials in: it has no address here")]
    Dialled(String),
    /// More than [`MAX_NEIGHBOURS`].
    #[error("there are too many")]
    TooMany,
}

/// A link as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// To which office.
    pub office: String,
    /// What it is to this edge.
    pub kind: Kind,
    /// Since when it is up without a break; `None`: it is not.
    pub up_since: Option<Instant>,
}

type Key = (String, Kind);
/// A link that was dialled has a number of its own: one that replaces another to the same office is not the other. Those
/// that come in have none.
type Number = u64;
const COME_IN: Number = 0;

/// What all links share.
pub(crate) struct Inner {
    worker: Worker,
    office: String,
    credentials: Option<Rc<Credentials>>,
    /// Offices that are dialled elsewhere than where they say they are.
    reach: BTreeMap<String, Place>,
    dialled: RefCell<BTreeMap<Key, Dialled>>,
    /// Who may dial in, and what is wanted of the links that come of it.
    expected: RefCell<BTreeMap<Key, watch::Sender<Wish>>>,
    /// Sessions there are of each link: two while one is being replaced.
    sessions: RefCell<BTreeMap<(Key, Number), (usize, Instant)>>,
    next_number: Cell<Number>,
    changes: watch::Sender<()>,
    handshakes: Cell<usize>,
    /// Tasks that let links go, and the one that listens.
    tasks: RefCell<Vec<AbortHandle>>,
}

struct Dialled {
    number: Number,
    place: Place,
    wish: watch::Sender<Wish>,
    task: Task,
}

/// A task that ends with its handle.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Neighbours {
    /// Starts listening for neighbours, if there is an address for it, and has those that the configuration names.
    ///
    /// # Errors
    /// The credentials cannot be loaded, or the address is taken.
    pub fn start(worker: &Worker, config: &Config) -> anyhow::Result<Neighbours> {
        let credentials = Credentials::load(config)?.map(Rc::new);
        let endpoint = match (&credentials, config.listen.neighbours) {
            (Some(credentials), Some(address)) => Some(credentials.listen(address)?),
            _ => None,
        };
        let inner = Rc::new(Inner {
            worker: worker.clone(),
            office: config.office.clone(),
            credentials,
            reach: config.reach.clone(),
            dialled: RefCell::default(),
            expected: RefCell::default(),
            sessions: RefCell::default(),
            next_number: Cell::new(COME_IN + 1),
            changes: watch::Sender::new(()),
            handshakes: Cell::default(),
            tasks: RefCell::default(),
        });
        if let Some(endpoint) = endpoint {
            inner.spawn(listening::take_connections(inner.clone(), endpoint));
        }
        let neighbours = Neighbours(inner);
        neighbours.apply(config.neighbours.clone())?;
        Ok(neighbours)
    }

    /// Has these neighbours from now on, and no others. What stays the same goes on untouched; where only the role changes
    /// between parent and backup parent, the link is kept. New links are made first: a parent that is none any more is let
    /// go when another is joined, within bounds. An office may be there once in each place: above, below and beside.
    ///
    /// # Errors
    /// The set makes no sense; nothing is changed then.
    pub fn apply(&self, set: Vec<Neighbour>) -> Result<(), NeighboursError> {
        self.0.check(&set)?;
        let inner = &self.0;
        let (dial, expect): (Vec<_>, Vec<_>) =
            set.into_iter().partition(|other| other.address.is_some());
        inner.expect(&expect);
        let keys: BTreeSet<Key> = dial.iter().map(key).collect();
        // The next parent before the last one: there is one at any time.
        let mut dial = dial;
        dial.sort_by_key(|other| other.role.in_relay() != Role::Parent);
        for neighbour in dial {
            inner.dial(neighbour);
        }
        let mut dialled = inner.dialled.borrow_mut();
        let gone: Vec<Key> = dialled
            .keys()
            .filter(|key| !keys.contains(*key))
            .cloned()
            .collect();
        let gone: Vec<_> = gone
            .into_iter()
            .filter_map(|key| dialled.remove_entry(&key))
            .collect();
        drop(dialled);
        for ((_, kind), link) in gone {
            inner.let_go(kind, link);
        }
        inner.changed();
        Ok(())
    }

    /// This edge's office.
    pub fn office(&self) -> &str {
        &self.0.office
    }

    /// The links that should be, and whether they are up.
    pub fn links(&self) -> Vec<LinkState> {
        self.0.links()
    }

    /// Told whenever a link has come up or gone, or another set is to be.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.0.dialled.borrow_mut().clear();
        self.0.expected.borrow_mut().clear();
        for task in self.0.tasks.borrow_mut().drain(..) {
            task.abort();
        }
    }
}

impl Inner {
    fn check(&self, set: &[Neighbour]) -> Result<(), NeighboursError> {
        if self.credentials.is_none() && !set.is_empty() {
            return Err(NeighboursError::NoCredentials);
        }
        if set.len() > MAX_NEIGHBOURS {
            return Err(NeighboursError::TooMany);
        }
        let mut seen = BTreeSet::new();
        let mut has_parent = false;
        for other in set {
            let office = other.office.clone();
            let (role, kind) = (other.role.in_relay(), Kind::of(other.role.in_relay()));
            if office == self.office {
                return Err(NeighboursError::Itself);
            }
            if !seen.insert((office.clone(), kind)) {
                return Err(NeighboursError::Twice(office));
            }
            if role == Role::Parent && std::mem::replace(&mut has_parent, true) {
                return Err(NeighboursError::TwoParents);
            }
            match (kind, other.address.is_some()) {
                (Kind::Above, false) => return Err(NeighboursError::NoAddress(office)),
                (Kind::Below, true) => return Err(NeighboursError::Dialled(office)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Has a link dialled, or what there is of it changed.
    fn dial(self: &Rc<Self>, neighbour: Neighbour) {
        let (role, kind) = (neighbour.role.in_relay(), kind_of(&neighbour));
        let place = self.reach.get(&neighbour.office).cloned();
        let (Some(place), Some(credentials)) = (place.or(neighbour.address), &self.credentials)
        else {
            return;
        };
        let key = (neighbour.office.clone(), kind);
        let mut dialled = self.dialled.borrow_mut();
        if let Some(link) = dialled.get(&key).filter(|link| link.place == place) {
            link.wish.send_if_modified(|wish| {
                let before = std::mem::replace(&mut wish.role, role);
                before != role
            });
            return;
        }
        let (wish, wished) = watch::channel(Wish {
            role,
            leaves: false,
        });
        let number = self.next_number.replace(self.next_number.get() + 1);
        let target = Target {
            office: neighbour.office,
            kind,
            number,
            place: place.clone(),
        };
        let keeping = dialling::keep(self.clone(), credentials.clone(), target, wished);
        let task = Task(tokio::task::spawn_local(keeping));
        let link = Dialled {
            number,
            place,
            wish,
            task,
        };
        let elsewhere = dialled.insert(key, link);
        drop(dialled);
        if let Some(old) = elsewhere {
            self.let_go(kind, old);
        }
    }

    /// Lets these dial in, and lets others that have go.
    fn expect(&self, set: &[Neighbour]) {
        let keys: BTreeSet<Key> = set.iter().map(key).collect();
        let mut expected = self.expected.borrow_mut();
        expected.retain(|key, wish| {
            let stays = keys.contains(key);
            if !stays {
                wish.send_modify(|wish| wish.leaves = true);
            }
            stays
        });
        for neighbour in set {
            let role = neighbour.role.in_relay();
            let wish = Wish {
                role,
                leaves: false,
            };
            let new = || watch::Sender::new(wish);
            expected.entry(key(neighbour)).or_insert_with(new);
        }
    }

    /// Ends a link that was dialled; one to a parent when another is joined.
    fn let_go(self: &Rc<Self>, kind: Kind, link: Dialled) {
        let inner = self.clone();
        self.spawn(async move {
            if kind == Kind::Above {
                let joined = tokio::time::timeout(JOIN_FIRST, inner.parent_joined());
                // What cannot be reached by then is not waited for.
                let _ = joined.await;
            }
            link.wish.send_modify(|wish| wish.leaves = true);
            let mut link = link;
            // It ends by itself, within its bounds.
            let _ = (&mut link.task.0).await;
        });
    }

    /// Waits until a link to a parent is up, if there is to be any.
    async fn parent_joined(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            let links = self.links();
            let mut above = links
                .iter()
                .filter(|link| link.kind == Kind::Above)
                .peekable();
            if above.peek().is_none() || above.any(|link| link.up_since.is_some()) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn links(&self) -> Vec<LinkState> {
        let (dialled, expected) = (self.dialled.borrow(), self.expected.borrow());
        let sessions = self.sessions.borrow();
        let state = |(key, number): (&Key, Number)| LinkState {
            office: key.0.clone(),
            kind: key.1,
            up_since: sessions
                .get(&(key.clone(), number))
                .map(|(_, since)| *since),
        };
        let come_in = expected.keys().map(|key| (key, COME_IN));
        let dialled = dialled.iter().map(|(key, link)| (key, link.number));
        dialled.chain(come_in).map(state).collect()
    }

    /// A link's session is up for as long as what is returned lives.
    fn up(self: &Rc<Self>, office: &str, kind: Kind, number: Number) -> Up {
        let key = ((office.to_owned(), kind), number);
        let mut sessions = self.sessions.borrow_mut();
        sessions.entry(key.clone()).or_insert((0, Instant::now())).0 += 1;
        drop(sessions);
        self.changed();
        Up {
            inner: self.clone(),
            key,
        }
    }

    fn changed(&self) {
        self.changes.send_replace(());
    }

    /// The office that may dial in and of which `is_it` is true.
    fn recognise(&self, is_it: impl Fn(&str) -> bool) -> Option<String> {
        let expected = self.expected.borrow();
        let mut offices = expected.keys().map(|(office, _)| office);
        offices.find(|office| is_it(office)).cloned()
    }

    /// What an office that has dialled in is here, if it may be what it claims.
    fn expects(&self, office: &str, claimed: Option<Kind>) -> Option<Kind> {
        let expected = self.expected.borrow();
        let mut kinds = expected
            .keys()
            .filter(|(other, _)| other == office)
            .map(|(_, kind)| *kind);
        kinds.find(|kind| claimed.is_none_or(|claimed| claimed == *kind))
    }

    fn expected_wish(&self, office: &str, kind: Kind) -> Option<watch::Receiver<Wish>> {
        let expected = self.expected.borrow();
        let wish = expected.get(&(office.to_owned(), kind));
        wish.map(watch::Sender::subscribe)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        tasks.retain(|task| !task.is_finished());
        tasks.push(tokio::task::spawn_local(task).abort_handle());
    }
}

/// Counts a session of a link for as long as it lives.
struct Up {
    inner: Rc<Inner>,
    key: (Key, Number),
}

impl Drop for Up {
    fn drop(&mut self) {
        let mut sessions = self.inner.sessions.borrow_mut();
        if let Some((count, _)) = sessions.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.key);
            }
        }
        drop(sessions);
        self.inner.changed();
    }
}

fn kind_of(neighbour: &Neighbour) -> Kind {
    Kind::of(neighbour.role.in_relay())
}

fn key(neighbour: &Neighbour) -> Key {
    (neighbour.office.clone(), kind_of(neighbour))
}
