//! What every store does, run against each of them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use common::{
    commit, delete,
    etcd::{Cluster, compact},
    next, put, put_leased, soon, told, unchanged, value, write,
};
use meridian_control_plane::{
    mirror::Mirror,
    store::{
        Committed, Entry, Event, Guard, Lease, Listing, MAX_KEY, MAX_OPERATIONS, MAX_VALUE, Store,
        StoreError, Transaction, Watch, Write,
        embedded::{EmbeddedStore, History},
        leader::campaign,
    },
};
use tempfile::TempDir;

/// A store to be tried, and what only its keeper can do to it.
trait Bed: Sized {
    async fn start() -> Self;
    /// The store, as one process sees it.
    fn store(&self) -> Arc<dyn Store>;
    /// As another process sees it, where several can.
    async fn second(&self) -> Arc<dyn Store>;
    /// Stops it and starts it again.
    async fn restart(self) -> Self;
    /// Makes it forget the history of changes until now.
    async fn forget(&self);
}

struct Embedded {
    folder: TempDir,
    store: Arc<EmbeddedStore>,
}

impl Embedded {
    const HISTORY: History = History {
        changes: 1000,
        bytes: 64 << 20,
    };

    async fn open(folder: TempDir) -> Self {
        let path: PathBuf = folder.path().join("state");
        let store = EmbeddedStore::open(&path, Self::HISTORY).await.unwrap();
        let store = Arc::new(store);
        Self { folder, store }
    }
}

impl Bed for Embedded {
    async fn start() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn second(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn restart(self) -> Self {
        Arc::into_inner(self.store).unwrap().close().await;
        Self::open(self.folder).await
    }

    async fn forget(&self) {
        for turn in 0..=1000 / MAX_OPERATIONS {
            let writes =
                (0..MAX_OPERATIONS).map(|n| put(&format!("filler/{n}"), &turn.to_string()));
            let transaction = Transaction {
                guards: Vec::new(),
                writes: writes.collect(),
            };
            self.store.commit(transaction).await.unwrap();
        }
    }
}

struct Etcd {
    cluster: Cluster,
    store: Arc<dyn Store>,
}

impl Bed for Etcd {
    async fn start() -> Self {
        let cluster = Cluster::start(1).await;
        let store = Arc::new(cluster.store());
        Self { cluster, store }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    async fn second(&self) -> Arc<dyn Store> {
        Arc::new(self.cluster.store())
    }

    async fn restart(mut self) -> Self {
        self.cluster.kill(0);
        self.cluster.restart(0);
        self.cluster.ready().await;
        self
    }

    async fn forget(&self) {
        compact(&self.cluster).await;
    }
}

/// The tests, each of which is run on every store.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(<super::Embedded as super::Bed>::start().await).await;
            })*
        }
        mod etcd {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(<super::Etcd as super::Bed>::start().await).await;
            })*
        }
    };
}

on_every_store! {
    a_key_is_read_as_it_was_last_written
    guards_decide_whether_a_transaction_is_made
    a_transaction_is_made_whole_or_not_at_all
    a_transaction_that_changes_nothing_takes_no_revision
    of_writers_who_decide_from_the_same_revision_one_wins
    a_listing_is_in_order_and_of_one_revision
    a_listing_of_many_keys_is_whole
    a_watch_tells_each_transaction_whole_and_in_order
    a_watch_tells_only_its_prefix
    a_watch_misses_and_repeats_nothing_under_concurrent_writers
    a_watch_resumes_from_any_revision
    a_watch_resumes_over_a_restart
    a_watch_of_forgotten_changes_is_reset
    a_watch_of_a_store_that_has_not_come_as_far_is_reset
    whoever_stops_waiting_for_a_watch_loses_nothing
    what_was_committed_is_there_after_a_restart
    a_lapsed_lease_takes_its_keys_and_a_fresh_one_brings_them_back
    a_lease_that_is_kept_alive_stays
    a_revoked_lease_takes_its_keys_together
    a_key_written_anew_leaves_its_old_lease
    a_lease_gets_its_whole_time_again_after_a_restart
    a_lease_that_is_no_more_refuses_everything
    values_of_a_mebibyte_are_kept
    what_no_store_takes_is_refused
    the_epoch_is_written_once_and_stays
    leadership_passes_on_when_a_leader_resigns
    leadership_passes_on_when_a_leader_is_gone
    of_many_candidates_one_leads
    a_leader_that_cannot_renew_steps_down_before_another_leads
    a_leader_whose_key_is_taken_steps_down
    a_deposed_leader_cannot_write_under_its_guard
    a_mirror_follows_its_prefix
    a_mirror_is_right_after_changes_it_was_not_told
}

async fn a_key_is_read_as_it_was_last_written(bed: impl Bed) {
    let store = bed.store();
    assert_eq!(store.get("a").await.unwrap(), None);
    let first = write(&*store, [put("a", "1")]).await;
    let entry = Entry {
        key: "a".into(),
        value: b"1".into(),
        revision: first,
    };
    assert_eq!(store.get("a").await.unwrap(), Some(entry));
    let second = write(&*store, [put("a", "2")]).await;
    assert!(second > first);
    assert_eq!(
        bed.second().await.get("a").await.unwrap().unwrap().value,
        b"2"
    );
    write(&*store, [delete("a")]).await;
    assert_eq!(store.get("a").await.unwrap(), None);
}

async fn guards_decide_whether_a_transaction_is_made(bed: impl Bed) {
    let store = &*bed.store();
    let absent = |key: &str| Guard::Absent(key.into());
    let present = |key: &str| Guard::Present(key.into());
    let first = write(store, [put("a", "1")]).await;
    for refused in [
        absent("a"),
        present("b"),
        unchanged("a", first + 1),
        unchanged("b", 0),
        unchanged("b", first),
    ] {
        let committed = commit(store, [refused.clone()], [put("a", "2")]).await;
        assert_eq!(committed.unwrap(), Committed::Conflict, "{refused:?}");
    }
    assert_eq!(value(store, "a").await.unwrap(), "1");
    let guards = [unchanged("a", first), present("a"), absent("b")];
    let committed = commit(store, guards, [put("a", "2"), put("b", "2")])
        .await
        .unwrap();
    let Committed::At(second) = committed else {
        panic!("refused")
    };
    let stale = commit(store, [unchanged("a", first)], [delete("a")]).await;
    assert_eq!(stale.unwrap(), Committed::Conflict);
    let fresh = commit(store, [unchanged("a", second)], [delete("a")]).await;
    assert!(matches!(fresh.unwrap(), Committed::At(_)));
    assert_eq!(value(store, "a").await, None);
}

async fn a_transaction_is_made_whole_or_not_at_all(bed: impl Bed) {
    let store = &*bed.store();
    let before = write(store, [put("a", "1"), put("b", "1")]).await;
    let guards = [unchanged("a", before), unchanged("b", before + 1)];
    let refused = commit(store, guards, [put("a", "2"), put("b", "2")]).await;
    assert_eq!(refused.unwrap(), Committed::Conflict);
    assert_eq!(value(store, "a").await.unwrap(), "1");
    let at = write(store, [put("a", "3"), put("b", "3"), put("c", "3")]).await;
    let listing = store.list("").await.unwrap();
    assert_eq!(listing.revision, at);
    assert!(listing.entries.iter().all(|entry| entry.revision == at));
}

async fn a_transaction_that_changes_nothing_takes_no_revision(bed: impl Bed) {
    let store = &*bed.store();
    let at = write(store, [put("a", "1")]).await;
    assert_eq!(write(store, []).await, at);
    assert_eq!(write(store, [delete("none")]).await, at);
    assert_eq!(write(store, [put("a", "1")]).await, at + 1);
}

async fn of_writers_who_decide_from_the_same_revision_one_wins(bed: impl Bed) {
    let store = bed.store();
    write(&*store, [put("count", "0")]).await;
    let writers = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut made = 0;
            while made < 10 {
                let entry = store.get("count").await.unwrap().unwrap();
                let count: u32 = String::from_utf8(entry.value).unwrap().parse().unwrap();
                let guards = [unchanged("count", entry.revision)];
                let next = put("count", &(count + 1).to_string());
                let committed = commit(&*store, guards, [next]).await.unwrap();
                made += u32::from(committed != Committed::Conflict);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        soon(writer).await.unwrap();
    }
    assert_eq!(value(&*store, "count").await.unwrap(), "80");
}

async fn a_listing_is_in_order_and_of_one_revision(bed: impl Bed) {
    let store = bed.store();
    for key in ["meetings/b", "meetings", "meetings/a", "meetingsz", "other"] {
        write(&*store, [put(key, "x")]).await;
    }
    let keys = |listing: Listing| -> Vec<_> {
        listing.entries.into_iter().map(|entry| entry.key).collect()
    };
    let listing = store.list("meetings/").await.unwrap();
    assert_eq!(keys(listing), ["meetings/a", "meetings/b"]);
    let all = ["meetings", "meetings/a", "meetings/b", "meetingsz", "other"];
    assert_eq!(keys(store.list("").await.unwrap()), all);
    assert_eq!(keys(store.list("none").await.unwrap()), [""; 0]);

    // Two keys that always change together are never seen apart.
    let done = Arc::new(AtomicBool::new(false));
    let (writing, over) = (store.clone(), done.clone());
    let writer = tokio::spawn(async move {
        for turn in 0..50 {
            let turn = turn.to_string();
            write(&*writing, [put("pair/a", &turn), put("pair/b", &turn)]).await;
        }
        over.store(true, Ordering::SeqCst);
    });
    while !done.load(Ordering::SeqCst) {
        let listing = store.list("pair/").await.unwrap();
        if let [a, b] = &listing.entries[..] {
            assert_eq!((&a.value, a.revision), (&b.value, b.revision));
            assert!(a.revision <= listing.revision);
        }
    }
    soon(writer).await.unwrap();
}

async fn a_listing_of_many_keys_is_whole(bed: impl Bed) {
    let store = &*bed.store();
    for page in 0..10 {
        let writes = (0..100).map(|n| put(&format!("many/{page:02}/{n:02}"), "x"));
        let (guards, writes) = (Vec::new(), writes.collect());
        store.commit(Transaction { guards, writes }).await.unwrap();
    }
    let listing = store.list("many/").await.unwrap();
    assert_eq!(listing.entries.len(), 1000);
    assert!(listing.entries.is_sorted_by(|a, b| a.key < b.key));
}

async fn a_watch_tells_each_transaction_whole_and_in_order(bed: impl Bed) {
    let store = &*bed.store();
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("", start).await.unwrap();
    let first = write(store, [put("b", "1"), put("a", "1")]).await;
    let second = write(store, [delete("a"), delete("none"), put("c", "2")]).await;
    let third = write(store, [put("b", "3")]).await;
    assert_eq!(
        told(&next(&mut watch).await),
        (first, vec!["a=1".into(), "b=1".into()])
    );
    assert_eq!(
        told(&next(&mut watch).await),
        (second, vec!["-a".into(), "c=2".into()])
    );
    assert_eq!(told(&next(&mut watch).await), (third, vec!["b=3".into()]));
}

async fn a_watch_tells_only_its_prefix(bed: impl Bed) {
    let store = &*bed.store();
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("a/", start).await.unwrap();
    write(store, [put("a", "no"), put("b/x", "no")]).await;
    let at = write(store, [put("a/x", "yes"), put("b/x", "no")]).await;
    write(store, [put("a0", "no")]).await;
    let last = write(store, [delete("a/x")]).await;
    assert_eq!(told(&next(&mut watch).await), (at, vec!["a/x=yes".into()]));
    assert_eq!(told(&next(&mut watch).await), (last, vec!["-a/x".into()]));
}

async fn a_watch_misses_and_repeats_nothing_under_concurrent_writers(bed: impl Bed) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let store = bed.store();
    let start = store.list("").await.unwrap().revision;
    let mut early = store.watch("w/", start).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut made = Vec::new();
            for turn in 0..EACH {
                let change = put(&format!("w/{writer}"), &turn.to_string());
                made.push((write(&*store, [change]).await, format!("w/{writer}={turn}")));
            }
            made
        })
    });
    let mut made = BTreeMap::new();
    for writer in writers.collect::<Vec<_>>() {
        made.extend(soon(writer).await.unwrap());
    }
    assert_eq!(
        made.len(),
        WRITERS * EACH,
        "each commit has its own revision"
    );
    let mut late = bed.second().await.watch("w/", start).await.unwrap();
    for (revision, change) in made {
        assert_eq!(
            told(&next(&mut early).await),
            (revision, vec![change.clone()])
        );
        assert_eq!(told(&next(&mut late).await), (revision, vec![change]));
    }
}

async fn a_watch_resumes_from_any_revision(bed: impl Bed) {
    let store = &*bed.store();
    let mut revisions = Vec::new();
    for turn in 0..5 {
        revisions.push(write(store, [put("a", &turn.to_string())]).await);
    }
    let all: Vec<_> = revisions
        .iter()
        .enumerate()
        .map(|(turn, at)| (*at, vec![format!("a={turn}")]))
        .collect();
    for seen in 1..5 {
        let mut watch = store.watch("a", revisions[seen - 1]).await.unwrap();
        for change in &all[seen..] {
            assert_eq!(told(&next(&mut watch).await), *change);
        }
    }
}

async fn a_watch_resumes_over_a_restart(bed: impl Bed) {
    let store = bed.store();
    let before = write(&*store, [put("a", "1")]).await;
    let unseen = write(&*store, [put("a", "2")]).await;
    drop(store);
    let bed = bed.restart().await;
    let store = &*bed.store();
    let mut watch = store.watch("a", before).await.unwrap();
    let after = write(store, [put("a", "3")]).await;
    assert!(after > unseen);
    assert_eq!(told(&next(&mut watch).await), (unseen, vec!["a=2".into()]));
    assert_eq!(told(&next(&mut watch).await), (after, vec!["a=3".into()]));
}

async fn a_watch_of_forgotten_changes_is_reset(bed: impl Bed) {
    let store = &*bed.store();
    let old = write(store, [put("k/a", "1"), put("k/gone", "1")]).await;
    write(store, [delete("k/gone"), put("k/b", "2")]).await;
    bed.forget().await;
    let mut watch = store.watch("k/", old).await.unwrap();
    let Event::Reset(listing) = next(&mut watch).await else {
        panic!("not reset")
    };
    let keys: Vec<_> = listing.entries.iter().map(|entry| &entry.key[..]).collect();
    assert_eq!(keys, ["k/a", "k/b"]);
    let at = write(store, [put("k/c", "3")]).await;
    assert!(at > listing.revision);
    assert_eq!(told(&next(&mut watch).await), (at, vec!["k/c=3".into()]));
}

async fn a_watch_of_a_store_that_has_not_come_as_far_is_reset(bed: impl Bed) {
    let store = &*bed.store();
    let at = write(store, [put("a", "1")]).await;
    let mut watch = store.watch("a", at + 1000).await.unwrap();
    let Event::Reset(listing) = next(&mut watch).await else {
        panic!("not reset")
    };
    assert_eq!((listing.revision, listing.entries.len()), (at, 1));
    let at = write(store, [put("a", "2")]).await;
    assert_eq!(told(&next(&mut watch).await), (at, vec!["a=2".into()]));
}

async fn whoever_stops_waiting_for_a_watch_loses_nothing(bed: impl Bed) {
    let store = bed.store();
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("", start).await.unwrap();
    let writing = store.clone();
    let writer = tokio::spawn(async move {
        let mut made = Vec::new();
        for turn in 0..100 {
            made.push(write(&*writing, [put("a", &turn.to_string())]).await);
        }
        made
    });
    let mut seen = Vec::new();
    while seen.len() < 100 {
        // Gives up at once, again and again, wherever it is.
        let impatient = tokio::time::timeout(Duration::from_micros(50), watch.next());
        if let Ok(event) = impatient.await {
            seen.push(told(&event.unwrap()).0);
        }
    }
    assert_eq!(seen, soon(writer).await.unwrap());
}

async fn what_was_committed_is_there_after_a_restart(bed: impl Bed) {
    let store = bed.store();
    for turn in 0..10 {
        write(&*store, [put(&format!("k/{turn}"), "x")]).await;
    }
    let before = store.list("").await.unwrap();
    drop(store);
    let bed = bed.restart().await;
    let store = &*bed.store();
    assert_eq!(store.list("").await.unwrap(), before);
    assert!(write(store, [put("a", "1")]).await > before.revision);
}

async fn a_lapsed_lease_takes_its_keys_and_a_fresh_one_brings_them_back(bed: impl Bed) {
    let store = &*bed.store();
    let lease = store.grant(Duration::from_secs(1)).await.unwrap();
    let at = write(
        store,
        [put_leased("edges/a", "1", lease), put("stays", "1")],
    )
    .await;
    let mut watch = store.watch("", at).await.unwrap();
    assert_eq!(told(&next(&mut watch).await).1, ["-edges/a"]);
    assert_eq!(value(store, "edges/a").await, None);
    assert_eq!(value(store, "stays").await.unwrap(), "1");
    let late = store.keep_alive(lease).await;
    assert!(matches!(late, Err(StoreError::LeaseLapsed)), "{late:?}");

    let fresh = store.grant(Duration::from_secs(60)).await.unwrap();
    assert_ne!(fresh, lease);
    let guards = [Guard::Absent("edges/a".into())];
    let again = commit(store, guards, [put_leased("edges/a", "2", fresh)]).await;
    assert!(matches!(again.unwrap(), Committed::At(_)));
    assert_eq!(told(&next(&mut watch).await).1, ["edges/a=2"]);
    store.keep_alive(fresh).await.unwrap();
}

async fn a_lease_that_is_kept_alive_stays(bed: impl Bed) {
    let store = &*bed.store();
    let kept = store.grant(Duration::from_secs(2)).await.unwrap();
    let start = write(store, [put_leased("kept", "1", kept)]).await;
    let mut watch = store.watch("", start).await.unwrap();
    // Another lease that is not kept alive tells how time goes by.
    for _ in 0..2 {
        let left = store.grant(Duration::from_secs(2)).await.unwrap();
        write(store, [put_leased("left", "1", left)]).await;
        assert_eq!(told(&next(&mut watch).await).1, ["left=1"]);
        let mut tick = tokio::time::interval(Duration::from_millis(300));
        let lapsed = loop {
            tokio::select! {
                event = next(&mut watch) => break event,
                _ = tick.tick() => store.keep_alive(kept).await.unwrap(),
            }
        };
        assert_eq!(told(&lapsed).1, ["-left"]);
    }
    assert_eq!(value(store, "kept").await.unwrap(), "1");
}

async fn a_revoked_lease_takes_its_keys_together(bed: impl Bed) {
    let store = &*bed.store();
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    write(store, [put_leased("b", "1", lease)]).await;
    let at = write(store, [put_leased("a", "1", lease), put("c", "1")]).await;
    let mut watch = store.watch("", at).await.unwrap();
    store.revoke(lease).await.unwrap();
    assert_eq!(
        told(&next(&mut watch).await),
        (at + 1, vec!["-a".into(), "-b".into()])
    );
    store.revoke(lease).await.unwrap();
    assert_eq!(value(store, "c").await.unwrap(), "1");
}

async fn a_key_written_anew_leaves_its_old_lease(bed: impl Bed) {
    let store = &*bed.store();
    let ttl = Duration::from_secs(60);
    let (old, new) = (
        store.grant(ttl).await.unwrap(),
        store.grant(ttl).await.unwrap(),
    );
    for key in ["moved", "freed", "deleted", "kept"] {
        write(store, [put_leased(key, "1", old)]).await;
    }
    write(store, [put_leased("moved", "2", new), put("freed", "2")]).await;
    write(store, [delete("deleted")]).await;
    write(store, [put("deleted", "2"), put_leased("kept", "2", old)]).await;
    store.revoke(old).await.unwrap();
    assert_eq!(value(store, "moved").await.unwrap(), "2");
    assert_eq!(value(store, "freed").await.unwrap(), "2");
    assert_eq!(value(store, "deleted").await.unwrap(), "2");
    assert_eq!(value(store, "kept").await, None);
    store.revoke(new).await.unwrap();
    assert_eq!(value(store, "moved").await, None);
}

async fn a_lease_gets_its_whole_time_again_after_a_restart(bed: impl Bed) {
    let store = bed.store();
    let lease = store.grant(Duration::from_secs(3)).await.unwrap();
    let at = write(&*store, [put_leased("a", "1", lease)]).await;
    drop(store);
    let bed = bed.restart().await;
    let store = &*bed.store();
    store.keep_alive(lease).await.unwrap();
    assert_eq!(value(store, "a").await.unwrap(), "1");
    let mut watch = store.watch("a", at).await.unwrap();
    assert_eq!(told(&next(&mut watch).await).1, ["-a"]);
}

async fn a_lease_that_is_no_more_refuses_everything(bed: impl Bed) {
    let store = &*bed.store();
    let never = Lease(0x0123_4567_89ab);
    let lapsed = |answer: Result<(), StoreError>| {
        assert!(matches!(answer, Err(StoreError::LeaseLapsed)), "{answer:?}");
    };
    lapsed(store.keep_alive(never).await);
    let writes = || [put("a", "1"), put_leased("b", "1", never)];
    lapsed(commit(store, [], writes()).await.map(drop));
    assert_eq!(store.list("").await.unwrap().entries, []);
    // What the guards say comes first.
    let refused = commit(store, [Guard::Present("none".into())], writes()).await;
    assert_eq!(refused.unwrap(), Committed::Conflict);
    store.revoke(never).await.unwrap();
}

async fn values_of_a_mebibyte_are_kept(bed: impl Bed) {
    let store = &*bed.store();
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("big/", start).await.unwrap();
    for key in 0..6_u8 {
        let write = Write::Put {
            key: format!("big/{key}"),
            value: vec![key; MAX_VALUE],
            lease: None,
        };
        let (guards, writes) = (Vec::new(), vec![write]);
        store.commit(Transaction { guards, writes }).await.unwrap();
    }
    // Together longer than one message of most protocols.
    let listing = store.list("big/").await.unwrap();
    let mut late = store.watch("big/", start).await.unwrap();
    for (key, entry) in (0..6_u8).zip(&listing.entries) {
        assert!(entry.value == vec![key; MAX_VALUE]);
        for watch in [&mut watch, &mut late] {
            let Event::Changed { changes, .. } = next(watch).await else {
                panic!("reset")
            };
            let told = meridian_control_plane::store::Change::Put(entry.clone());
            assert!(changes == [told]);
        }
    }
}

async fn what_no_store_takes_is_refused(bed: impl Bed) {
    let store = &*bed.store();
    let invalid = |answer: Result<(), StoreError>| {
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    };
    invalid(store.get("").await.map(drop));
    invalid(store.get(&"k".repeat(MAX_KEY + 1)).await.map(drop));
    invalid(commit(store, [], [put("", "1")]).await.map(drop));
    invalid(
        commit(store, [Guard::Absent(String::new())], [])
            .await
            .map(drop),
    );
    invalid(
        commit(store, [], [put("a", "1"), delete("a")])
            .await
            .map(drop),
    );
    let long = "v".repeat(MAX_VALUE + 1);
    invalid(commit(store, [], [put("a", &long)]).await.map(drop));
    let half = "v".repeat(MAX_VALUE * 2 / 3);
    invalid(
        commit(store, [], [put("a", &half), put("b", &half)])
            .await
            .map(drop),
    );
    let keys = |count: usize| (0..count).map(|n| format!("k/{n}")).collect::<Vec<_>>();
    let writes = |count| keys(count).iter().map(|key| put(key, "1")).collect();
    let many = |guards, writes| store.commit(Transaction { guards, writes });
    invalid(many(vec![], writes(MAX_OPERATIONS + 1)).await.map(drop));
    let guards = keys(MAX_OPERATIONS + 1).into_iter().map(Guard::Absent);
    invalid(many(guards.collect(), vec![]).await.map(drop));
    for ttl in [0, 999, 1000 * (24 * 60 * 60 + 1)] {
        invalid(store.grant(Duration::from_millis(ttl)).await.map(drop));
    }
    assert_eq!(store.list("").await.unwrap().entries, []);
    // And what is just within the bounds is taken.
    let guards = keys(MAX_OPERATIONS).into_iter().map(Guard::Absent);
    let made = many(guards.collect(), writes(MAX_OPERATIONS)).await;
    assert!(matches!(made.unwrap(), Committed::At(_)));
    write(store, [put(&"k".repeat(MAX_KEY), "1")]).await;
}

async fn the_epoch_is_written_once_and_stays(bed: impl Bed) {
    let store = bed.store();
    let second = bed.second().await;
    let asked = (0..8).map(|n| {
        let store = if n % 2 == 0 { &store } else { &second };
        let store = store.clone();
        tokio::spawn(async move { store.epoch().await.unwrap() })
    });
    let mut epochs = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        epochs.push(soon(asked).await.unwrap());
    }
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
    assert!(epochs[0] > 1_500_000_000);
    drop((store, second));
    let bed = bed.restart().await;
    assert_eq!(bed.store().epoch().await.unwrap(), epochs[0]);
}

async fn leadership_passes_on_when_a_leader_resigns(bed: impl Bed) {
    let ttl = Duration::from_secs(20);
    let first = campaign(bed.store(), "work", "first", ttl);
    let mut leads = first.changes();
    let term = soon(leads.wait_for(Option::is_some))
        .await
        .unwrap()
        .clone()
        .unwrap();
    assert_eq!(first.term().unwrap().revision(), term.revision());
    assert_eq!(value(&*bed.store(), "leader/work").await.unwrap(), "first");
    let second = campaign(bed.second().await, "work", "second", ttl);
    assert_eq!(second.term(), None);
    let asked = Instant::now();
    soon(first.resign()).await;
    let later = soon(second.changes().wait_for(Option::is_some))
        .await
        .unwrap()
        .clone();
    assert!(later.unwrap().revision() > term.revision());
    assert!(asked.elapsed() < ttl, "it waited for the lease to lapse");
    assert!(leads.borrow().is_none());
}

async fn leadership_passes_on_when_a_leader_is_gone(bed: impl Bed) {
    let ttl = Duration::from_secs(2);
    let first = campaign(bed.store(), "work", "first", ttl);
    soon(first.changes().wait_for(Option::is_some))
        .await
        .unwrap();
    let second = campaign(bed.second().await, "work", "second", ttl);
    drop(first);
    soon(second.changes().wait_for(Option::is_some))
        .await
        .unwrap();
    assert_eq!(value(&*bed.store(), "leader/work").await.unwrap(), "second");
}

async fn of_many_candidates_one_leads(bed: impl Bed) {
    let store = bed.store();
    let ttl = Duration::from_secs(20);
    let mut candidates: Vec<_> = (0..5)
        .map(|n| campaign(store.clone(), "work", &n.to_string(), ttl))
        .collect();
    let mut last = 0;
    while !candidates.is_empty() {
        let leader = soon(async {
            loop {
                let leading = candidates.iter().position(|one| one.term().is_some());
                if let Some(leader) = leading {
                    return leader;
                }
                tokio::task::yield_now().await;
            }
        });
        let leader = candidates.swap_remove(leader.await);
        assert!(candidates.iter().all(|other| other.term().is_none()));
        let revision = leader.term().unwrap().revision();
        assert!(revision > last);
        last = revision;
        soon(leader.resign()).await;
    }
}

async fn a_leader_that_cannot_renew_steps_down_before_another_leads(bed: impl Bed) {
    let ttl = Duration::from_secs(2);
    let cut = Arc::new(Cut::new(bed.store()));
    let first = campaign(cut.clone(), "work", "first", ttl);
    soon(first.changes().wait_for(Option::is_some))
        .await
        .unwrap();
    let second = campaign(bed.second().await, "work", "second", ttl);
    cut.away.store(true, Ordering::SeqCst);
    let mut leads = first.changes();
    let stepped_down = async {
        leads.wait_for(Option::is_none).await.unwrap();
        Instant::now()
    };
    let mut follows = second.changes();
    let elected = async {
        follows.wait_for(Option::is_some).await.unwrap();
        Instant::now()
    };
    let (down, up) = soon(async { tokio::join!(stepped_down, elected) }).await;
    assert!(down < up, "two led for {:?}", down - up);
    assert_eq!(first.term(), None);
}

async fn a_leader_whose_key_is_taken_steps_down(bed: impl Bed) {
    let store = bed.store();
    let leader = campaign(store.clone(), "work", "one", Duration::from_secs(20));
    let mut changes = leader.changes();
    let first = soon(changes.wait_for(Option::is_some))
        .await
        .unwrap()
        .clone();
    write(&*store, [delete("leader/work")]).await;
    soon(changes.wait_for(|term| *term != first)).await.unwrap();
    let second = soon(changes.wait_for(Option::is_some))
        .await
        .unwrap()
        .clone();
    assert!(second.unwrap().revision() > first.unwrap().revision());
}

async fn a_deposed_leader_cannot_write_under_its_guard(bed: impl Bed) {
    let store = bed.store();
    let ttl = Duration::from_secs(20);
    let first = campaign(store.clone(), "work", "first", ttl);
    let term = soon(first.changes().wait_for(Option::is_some))
        .await
        .unwrap()
        .clone()
        .unwrap();
    let made = commit(&*store, [term.guard()], [put("decision", "1")]).await;
    assert!(matches!(made.unwrap(), Committed::At(_)));
    soon(first.resign()).await;
    let refused = commit(&*store, [term.guard()], [put("decision", "2")]).await;
    assert_eq!(refused.unwrap(), Committed::Conflict);
    let second = campaign(store.clone(), "work", "second", ttl);
    soon(second.changes().wait_for(Option::is_some))
        .await
        .unwrap();
    let refused = commit(&*store, [term.guard()], [put("decision", "2")]).await;
    assert_eq!(refused.unwrap(), Committed::Conflict);
}

async fn a_mirror_follows_its_prefix(bed: impl Bed) {
    let store = bed.store();
    write(&*store, [put("m/a", "1"), put("other", "1")]).await;
    let mirror = Mirror::start(bed.second().await, "m/");
    soon(mirror.synced()).await;
    assert_eq!(mirror.epoch(), Some(store.epoch().await.unwrap()));
    assert_eq!(mirror.stale_since(), None);
    assert_eq!(mirror.get("m/a").unwrap().value, b"1");
    assert_eq!(mirror.get("other"), None);
    let mut changed = mirror.changed();
    write(&*store, [put("m/b", "2"), put("m/c/d", "2")]).await;
    let at = write(&*store, [delete("m/a")]).await;
    soon(changed.wait_for(|revision| *revision == at))
        .await
        .unwrap();
    let keys = |prefix| -> Vec<_> {
        mirror
            .range(prefix)
            .iter()
            .map(|entry| entry.key.clone())
            .collect()
    };
    assert_eq!(keys("m/"), ["m/b", "m/c/d"]);
    assert_eq!(keys("m/c/"), ["m/c/d"]);
    assert_eq!(mirror.revision(), at);
}

async fn a_mirror_is_right_after_changes_it_was_not_told(bed: impl Bed) {
    let store = bed.store();
    write(
        &*store,
        [put("m/same", "1"), put("m/gone", "1"), put("m/new", "1")],
    )
    .await;
    let cut = Arc::new(Cut::new(bed.second().await));
    let mirror = Mirror::start(cut.clone(), "m/");
    soon(mirror.synced()).await;
    let (same, mut changed) = (mirror.get("m/same").unwrap(), mirror.changed());
    changed.mark_unchanged();
    cut.away.store(true, Ordering::SeqCst);
    // Ends the waiting of a watch that does not know yet.
    write(&*store, [put("m/new", "2")]).await;
    soon(async {
        while mirror.stale_since().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let at = write(&*store, [put("m/new", "3"), delete("m/gone")]).await;
    bed.forget().await;
    assert_eq!(
        mirror.get("m/gone").unwrap().value,
        b"1",
        "the last state is kept"
    );
    cut.away.store(false, Ordering::SeqCst);
    soon(changed.wait_for(|revision| *revision >= at))
        .await
        .unwrap();
    assert_eq!(mirror.stale_since(), None);
    assert_eq!(mirror.get("m/gone"), None);
    assert_eq!(mirror.get("m/new").unwrap().value, b"3");
    assert!(Arc::ptr_eq(&same, &mirror.get("m/same").unwrap()));
}

/// A store that can be away for one of those who use it.
struct Cut {
    store: Arc<dyn Store>,
    away: Arc<AtomicBool>,
}

impl Cut {
    fn new(store: Arc<dyn Store>) -> Self {
        let away = Arc::default();
        Self { store, away }
    }

    fn reach(&self) -> Result<&dyn Store, StoreError> {
        reach(&self.away)?;
        Ok(&*self.store)
    }
}

fn reach(away: &AtomicBool) -> Result<(), StoreError> {
    if away.load(Ordering::SeqCst) {
        return Err(StoreError::Unavailable("cut off".into()));
    }
    Ok(())
}

#[async_trait]
impl Store for Cut {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.reach()?.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.reach()?.list(prefix).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, StoreError> {
        self.reach()?.commit(transaction).await
    }

    async fn watch(&self, prefix: &str, after: u64) -> Result<Box<dyn Watch>, StoreError> {
        let watch = self.reach()?.watch(prefix, after).await?;
        let away = self.away.clone();
        Ok(Box::new(CutWatch { watch, away }))
    }

    async fn grant(&self, ttl: Duration) -> Result<Lease, StoreError> {
        self.reach()?.grant(ttl).await
    }

    async fn keep_alive(&self, lease: Lease) -> Result<(), StoreError> {
        self.reach()?.keep_alive(lease).await
    }

    async fn revoke(&self, lease: Lease) -> Result<(), StoreError> {
        self.reach()?.revoke(lease).await
    }
}

/// Ends with an error at the first event after the cut.
struct CutWatch {
    watch: Box<dyn Watch>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl Watch for CutWatch {
    async fn next(&mut self) -> Result<Event, StoreError> {
        let event = self.watch.next().await?;
        reach(&self.away)?;
        Ok(event)
    }
}
