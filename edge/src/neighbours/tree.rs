//! Has an edge the neighbours that its [`Plan`] says, at any time: without being told when an edge above fails or is back.

use crate::config::{Neighbour, NeighbourRole};
use crate::neighbours::link::Kind;
use crate::neighbours::plan::Plan;
use crate::neighbours::tables::{Tables, TablesError};
use crate::neighbours::{Neighbours, NeighboursError};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// An edge's place in the tree. Dropped, its links end.
#[must_use = "the links last as long as this"]
pub struct Tree {
    shared: Rc<Shared>,
    task: AbortHandle,
}

/// A tree that was not taken. The last one stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// It is none.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// This edge cannot have the neighbours it says.
    #[error(transparent)]
    Neighbours(#[from] NeighboursError),
}

struct Shared {
    neighbours: Neighbours,
    state: RefCell<State>,
    adopted: Notify,
}

struct State {
    plan: Plan,
    /// The set that was applied last; `None`: what the configuration says is in force.
    set: Option<Vec<Neighbour>>,
}

impl Tree {
    /// Leaves the neighbours as they are until there is a tree. Must run inside a [`tokio::task::LocalSet`].
    pub fn follow(neighbours: Neighbours) -> Tree {
        let state = State {
            plan: Plan::new(neighbours.office()),
            set: None,
        };
        let shared = Rc::new(Shared {
            neighbours,
            state: RefCell::new(state),
            adopted: Notify::new(),
        });
        let task = tokio::task::spawn_local(watch(shared.clone())).abort_handle();
        Tree { shared, task }
    }

    /// Takes its place in this tree from now on, in place of what the configuration or an earlier tree says.
    ///
    /// # Errors
    /// The tree contradicts itself, or this edge has no credentials for neighbours.
    pub fn adopt(&self, tables: Tables) -> Result<(), TreeError> {
        let now = Instant::now();
        self.shared.state.borrow_mut().plan.adopt(tables, now)?;
        self.shared.apply()?;
        self.shared.adopted.notify_one();
        Ok(())
    }

    /// The office above whose failure this edge acts upon now.
    pub fn failure(&self) -> Option<String> {
        let state = self.shared.state.borrow();
        state.plan.failure().map(str::to_owned)
    }

    /// The neighbours there should be now. Below, those that are there by the tree: others may come when one fails.
    pub(crate) fn wished(&self) -> Vec<(String, NeighbourRole)> {
        let state = self.shared.state.borrow();
        let mut wished = state.plan.neighbours();
        wished.retain(|other| {
            other.role != NeighbourRole::Child || state.plan.is_below(&other.office)
        });
        let pair = |other: Neighbour| (other.office, other.role);
        wished.into_iter().map(pair).collect()
    }

    /// The links themselves.
    pub fn neighbours(&self) -> &Neighbours {
        &self.shared.neighbours
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(shared: Rc<Shared>) {
    let mut changes = shared.neighbours.changes();
    loop {
        let due = shared.state.borrow().plan.poll_timeout();
        let wait = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return;
            },
            () = wait => {}
            () = shared.adopted.notified() => {}
        }
        shared.look();
        if shared.state.borrow().set.is_some()
            && let Err(error) = shared.apply()
        {
            tracing::error!(%error, "the tree's neighbours cannot be had");
        }
    }
}

impl Shared {
    /// Tells the plan which links above are up.
    fn look(&self) {
        let now = Instant::now();
        let plan = &mut self.state.borrow_mut().plan;
        for link in self.neighbours.links() {
            if link.kind == Kind::Above {
                plan.handle_link(&link.office, link.up_since, now);
            }
        }
        plan.handle_timeout(now);
    }

    /// Has the neighbours the plan says, if they are not those there are.
    fn apply(&self) -> Result<(), NeighboursError> {
        let set = self.state.borrow().plan.neighbours();
        if self.state.borrow().set.as_ref() == Some(&set) {
            return Ok(());
        }
        self.neighbours.apply(set.clone())?;
        self.state.borrow_mut().set = Some(set);
        Ok(())
    }
}
