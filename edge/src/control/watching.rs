//! Watches the snapshot at one replica at a time; at another when that one fails or tells nonsense.

use crate::control::applying::Ending;
use crate::control::backoff::Backoff;
use crate::control::dialling::Replica;
use crate::control::link::Shared;
use meridian_proto::v1::WatchSnapshotRequest;
use meridian_proto::v1::edge_service_client::EdgeServiceClient;
use rand::RngExt;
use rand::seq::IteratorRandom;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::transport::Channel;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// A watch that has lasted so long without a refusal is a good one.
const SETTLED: Duration = Duration::from_secs(10);

/// Watches for as long as it is polled and the edge runs.
pub(super) async fn watch(shared: Rc<Shared>) {
    let mut connected = shared.connected.subscribe();
    let mut backoff = Backoff::default();
    let mut last = None;
    loop {
        let Ok(next) = connected
            .wait_for(|connected| !connected.is_empty())
            .await
            .map(|there| pick(&there, last.as_ref()))
        else {
            return;
        };
        let Some((replica, client)) = next else {
            continue;
        };
        let watched = tokio::select! {
            watched = watch_at(&shared, client, &mut backoff) => watched,
            // Its reports have ended: so has this, or it is about to.
            () = gone(&shared, &replica) => Ok("the replica is gone".to_owned()),
        };
        shared
            .board
            .send_if_modified(|status| std::mem::replace(&mut status.watches, false));
        match watched {
            Ok(why) => {
                tracing::info!(address = %replica.address, "the watch of the snapshot has ended: {why}")
            }
            Err(Ending) => return,
        }
        last = Some(replica);
        tokio::time::sleep(backoff.next(rand::rng().random())).await;
    }
}

type Connected = std::collections::BTreeMap<Replica, EdgeServiceClient<Channel>>;

/// Any but the last one, unless there is no other.
fn pick(
    connected: &Connected,
    last: Option<&Replica>,
) -> Option<(Replica, EdgeServiceClient<Channel>)> {
    let others = connected
        .iter()
        .filter(|(replica, _)| Some(*replica) != last);
    let chosen = others
        .choose(&mut rand::rng())
        .or_else(|| connected.iter().next());
    chosen.map(|(replica, client)| (replica.clone(), client.clone()))
}

async fn gone(shared: &Shared, replica: &Replica) {
    let mut connected = shared.connected.subscribe();
    // The thread is ending, if nobody tells any more.
    let _ = connected
        .wait_for(|connected| !connected.contains_key(replica))
        .await;
}

/// Follows what one replica tells. Why it has ended.
async fn watch_at(
    shared: &Shared,
    mut client: EdgeServiceClient<Channel>,
    backoff: &mut Backoff,
) -> Result<String, Ending> {
    let have = shared.applier.lock().await.version().map(Into::into);
    let opened = timeout(ANSWER, client.watch_snapshot(WatchSnapshotRequest { have })).await;
    let mut snapshots = match opened {
        Ok(Ok(snapshots)) => snapshots.into_inner(),
        Ok(Err(status)) => return Ok(status.to_string()),
        Err(_) => return Ok("it does not answer".to_owned()),
    };
    shared.board.send_modify(|status| status.watches = true);
    loop {
        let next = match timeout(SETTLED, snapshots.message()).await {
            Ok(next) => next,
            Err(_) => {
                // Nothing it has is refused here: what was is history.
                backoff.reset();
                shared
                    .board
                    .send_if_modified(|status| status.refused.take().is_some());
                snapshots.message().await
            }
        };
        let snapshot = match next {
            Ok(Some(told)) => told.snapshot,
            Ok(None) => return Ok("it has ended".to_owned()),
            Err(status) => return Ok(status.to_string()),
        };
        let Some(snapshot) = snapshot else {
            return Ok("it tells of no snapshot".to_owned());
        };
        match shared.offer(snapshot).await? {
            Ok(()) => backoff.reset(),
            // Another replica may know better. What is refused was told.
            Err(error) => return Ok(error.to_string()),
        }
    }
}
