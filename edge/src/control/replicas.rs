//! Which replicas there are: every address that the names in the configuration have, looked up again and again.

use crate::control::dialling::Replica;
use crate::control::link::Shared;
use crate::control::replica;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often names are looked up: a replica that is new is found within that.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// The same as long as there is none.
const LOOK_UP_SOON: Duration = Duration::from_secs(1);
/// Replicas at a time: more than anybody runs.
const MAX_REPLICAS: usize = 32;

/// Keeps a task for each replica, for as long as it is polled.
pub(super) async fn keep(shared: Rc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut running = BTreeMap::new();
    loop {
        let found = look_up(&shared).await;
        running.retain(|replica, task: &mut tokio::task::AbortHandle| {
            // One that is connected is there, whatever the name says.
            let stays = found.as_ref().is_none_or(|found| found.contains(replica))
                || shared.connected.borrow().contains_key(replica);
            if !stays {
                task.abort();
            }
            stays
        });
        for replica in found.into_iter().flatten() {
            if running.len() < MAX_REPLICAS && !running.contains_key(&replica) {
                let task = replica::keep(shared.clone(), replica.clone());
                running.insert(replica, tasks.spawn_local(task));
            }
        }
        while tasks.try_join_next().is_some() {}
        let count = running.len();
        shared
            .board
            .send_if_modified(|status| std::mem::replace(&mut status.replicas, count) != count);
        let pause = match running.is_empty() {
            true => LOOK_UP_SOON,
            false => LOOK_UP_EVERY,
        };
        tokio::time::sleep(pause).await;
    }
}

/// All of them; `None`: a name cannot be looked up now, and what is known stays.
async fn look_up(shared: &Shared) -> Option<BTreeSet<Replica>> {
    let settings = &shared.dialler.settings;
    let (mut found, mut is_whole) = (BTreeSet::new(), true);
    for url in &settings.addresses {
        let name = settings.server_name.clone().unwrap_or_else(|| url.0.host());
        match url.0.addresses().await {
            Ok(addresses) => found.extend(addresses.into_iter().map(|address| Replica {
                address,
                name: name.clone(),
            })),
            Err(error) => {
                is_whole = false;
                tracing::warn!("control plane: {url} cannot be looked up: {error}");
            }
        }
    }
    match is_whole {
        true => Some(found),
        // Those that were found are new or known; the others are not given up.
        false => {
            found.extend(shared.connected.borrow().keys().cloned());
            Some(found)
        }
    }
}
