//! The etcd store on three real members that are killed, cut off, replaced and secured.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use common::{
    commit, delete,
    etcd::{Cluster, Options, POLL, compact},
    insist, next, put, put_leased, soon, told, unchanged, value, write,
};
use etcd_client::{Permission, PermissionType};
use meridian_control_plane::{
    mirror::Mirror,
    store::{
        Committed, Event, Guard, Store, StoreError,
        etcd::{EtcdConfig, EtcdStore, Identity, LIMIT, PREFIX, Tls, User},
        leader::campaign,
    },
};
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn writes_resume_when_the_leader_is_killed_and_no_change_is_lost_or_repeated() {
    let mut cluster = Cluster::start(3).await;
    let watching = Watching::start(&cluster).await;
    let writers = Writers::start(&cluster, 4);
    writers.more(50).await;
    let leader = cluster.leader().await.unwrap();
    let killed = Instant::now();
    cluster.kill(leader);
    let resumed = writers.next_after(killed).await;
    println!("writes resumed {resumed:?} after the leader was killed");
    writers.more(50).await;
    cluster.restart(leader);
    cluster.ready().await;
    writers.more(50).await;
    watching.check(writers.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_resume_when_the_leader_is_frozen() {
    let cluster = Cluster::start(3).await;
    let watching = Watching::start(&cluster).await;
    let writers = Writers::start(&cluster, 4);
    writers.more(50).await;
    let leader = cluster.leader().await.unwrap();
    let frozen = Instant::now();
    cluster.freeze(leader, true);
    let resumed = writers.next_after(frozen).await;
    println!("writes resumed {resumed:?} after the leader was frozen");
    writers.more(50).await;
    cluster.freeze(leader, false);
    writers.more(50).await;
    watching.check(writers.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_leaves_a_member_that_no_longer_answers() {
    let cluster = Cluster::start(3).await;
    let (store, other) = (cluster.store(), cluster.store());
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("k", start).await.unwrap();
    // Whichever it follows, it is among these.
    for member in 0..3 {
        cluster.freeze(member, true);
        let frozen = Instant::now();
        let value = member.to_string();
        let at = insist(&other, [put("k", &value)]).await;
        while told(&next(&mut watch).await).0 != at {}
        println!("told {:?} after a member was frozen", frozen.elapsed());
        cluster.freeze(member, false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_outlives_the_loss_of_a_member() {
    let mut cluster = Cluster::start(3).await;
    let store = cluster.store();
    let ttl = Duration::from_secs(6);
    let replica = campaign(Arc::new(cluster.store()), "work", "one", ttl);
    let rival = campaign(Arc::new(cluster.store()), "work", "two", ttl);
    let term = soon(async {
        loop {
            if let Some(term) = replica.term().or(rival.term()) {
                return term;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    let term = term.await;
    cluster.kill(cluster.leader().await.unwrap());
    // Another lease of the same length tells that it had to be renewed meanwhile.
    cluster.ready().await;
    let lease = soon(store.grant(ttl)).await.unwrap();
    let at = insist(&store, [put_leased("time", "1", lease)]).await;
    let mut watch = store.watch("time", at).await.unwrap();
    assert_eq!(told(&next(&mut watch).await).1, ["-time"]);
    let leads = replica.term().or(rival.term()).unwrap();
    assert_eq!(leads.revision(), term.revision());
    let made = commit(&store, [term.guard()], [put("decision", "1")]).await;
    assert!(matches!(made.unwrap(), Committed::At(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_is_lost_is_replaced() {
    let mut cluster = Cluster::start(3).await;
    let watching = Watching::start(&cluster).await;
    let writers = Writers::start(&cluster, 2);
    writers.more(50).await;
    cluster.kill(1);
    writers.more(50).await;
    cluster.replace(1).await;
    // Now the new one is needed, with everything that was written before it came.
    let other = soon(async {
        loop {
            // It has to have caught up before another may go.
            if let Some(mut client) = cluster.client(1, None).await
                && client.get("any", None).await.is_ok()
            {
                return 2;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    cluster.kill(other.await);
    writers.more(50).await;
    watching.check(writers.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_all_members_are_stopped_and_started() {
    let mut cluster = Cluster::start(3).await;
    let watching = Watching::start(&cluster).await;
    let writers = Writers::start(&cluster, 2);
    writers.more(50).await;
    let store = cluster.store();
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    write(&store, [put_leased("leased", "1", lease)]).await;
    (0..3).for_each(|member| cluster.kill(member));
    (0..3).for_each(|member| cluster.restart(member));
    cluster.ready().await;
    writers.more(50).await;
    store.keep_alive(lease).await.unwrap();
    assert_eq!(value(&store, "leased").await.unwrap(), "1");
    watching.check(writers.stop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_calls_end_in_time_and_resume_when_it_is_back() {
    let mut cluster = Cluster::start(3).await;
    let store = cluster.store();
    let at = write(&store, [put("a", "1")]).await;
    let mut watch = store.watch("a", at).await.unwrap();
    let mirror = Mirror::start(Arc::new(store.clone()), "a");
    soon(mirror.synced()).await;
    assert_eq!(mirror.stale_since(), None);
    cluster.kill(0);
    cluster.kill(1);
    let asked = Instant::now();
    let refused = [
        commit(&store, [], [put("a", "2")]).await.map(drop),
        store.get("a").await.map(drop),
        store.list("").await.map(drop),
        store.grant(Duration::from_secs(5)).await.map(drop),
    ];
    assert!(asked.elapsed() < LIMIT * 5, "{:?}", asked.elapsed());
    for answer in refused {
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_))),
            "{answer:?}"
        );
    }
    let event = soon(watch.next()).await.unwrap();
    assert!(matches!(event, Event::Interrupted(_)), "{event:?}");
    let stale = async |wanted: bool| {
        while mirror.stale_since().is_some() != wanted {
            tokio::time::sleep(POLL).await;
        }
    };
    soon(stale(true)).await;
    assert_eq!(mirror.get("a").unwrap().value, b"1");
    cluster.restart(0);
    cluster.ready().await;
    soon(stale(false)).await;
    // The first may have been made after all: its guard decides.
    let again = async {
        while let Err(error) = commit(&store, [unchanged("a", at)], [put("a", "3")]).await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        }
    };
    soon(again).await;
    let expected = format!("a={}", value(&store, "a").await.unwrap());
    assert_ne!(expected, "a=1");
    assert_eq!(soon(watch.next()).await.unwrap(), Event::Resumed);
    assert_eq!(told(&next(&mut watch).await).1, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_was_away_during_a_compaction_is_told_how_things_stand() {
    let mut cluster = Cluster::start(3).await;
    let store = cluster.store();
    let start = write(&store, [put("k/old", "1"), put("k/stays", "1")]).await;
    // This one can reach a single member, and that is gone for a while.
    let lone = EtcdStore::new(EtcdConfig::new([cluster.config().endpoints[2].clone()])).unwrap();
    let mut watch = lone.watch("k/", start).await.unwrap();
    let at = write(&store, [put("k/seen", "1")]).await;
    assert_eq!(told(&next(&mut watch).await), (at, vec!["k/seen=1".into()]));
    cluster.kill(2);
    assert!(matches!(
        soon(watch.next()).await.unwrap(),
        Event::Interrupted(_)
    ));
    insist(&store, [put("k/new", "1")]).await;
    insist(&store, [delete("k/old")]).await;
    compact(&cluster).await;
    cluster.restart(2);
    let Event::Reset(listing) = next(&mut watch).await else {
        panic!("not reset")
    };
    let keys: Vec<_> = listing.entries.iter().map(|entry| &entry.key[..]).collect();
    assert_eq!(keys, ["k/new", "k/seen", "k/stays"]);
    let at = write(&store, [put("k/after", "1")]).await;
    assert_eq!(
        told(&next(&mut watch).await),
        (at, vec!["k/after=1".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_users_are_held_to_and_expired_tokens_renewed() {
    let cluster = Cluster::start_with(
        3,
        Options {
            tls: true,
            flags: ["--auth-token-ttl", "1"].map(str::to_owned).into(),
        },
    )
    .await;
    let user = with_users(&cluster).await;
    let mut config = cluster.config();
    config.user = Some(user.clone());
    let store = EtcdStore::new(config.clone()).unwrap();
    let at = write(&store, [put("a", "1")]).await;
    let mut watch = store.watch("", at).await.unwrap();

    // A lease tells that the token, not used meanwhile, has expired.
    let other = EtcdStore::new(config.clone()).unwrap();
    let lease = other.grant(Duration::from_secs(4)).await.unwrap();
    let leased = write(&other, [put_leased("time", "1", lease)]).await;
    assert_eq!(
        told(&next(&mut watch).await),
        (leased, vec!["time=1".into()])
    );
    assert_eq!(told(&next(&mut watch).await).1, ["-time"]);
    let mut late = store.watch("", at).await.unwrap();
    let made = write(&store, [put("a", "2")]).await;
    assert_eq!(told(&next(&mut watch).await).0, made);
    assert_eq!(told(&next(&mut late).await).0, leased);

    let refused = async |change: &dyn Fn(&mut EtcdConfig)| {
        let mut config = config.clone();
        change(&mut config);
        let store = EtcdStore::new(config).unwrap();
        let asked = Instant::now();
        let answer = store.get("a").await;
        assert!(asked.elapsed() < LIMIT * 2);
        answer.unwrap_err()
    };
    let wrong = User {
        password: "wrong".into(),
        ..user.clone()
    };
    let denied = [
        refused(&|config| config.user = Some(wrong.clone())).await,
        refused(&|config| config.user = None).await,
        refused(&|config| config.prefix = "/others/".into()).await,
    ];
    for error in denied {
        assert!(matches!(error, StoreError::Denied(_)), "{error:?}");
    }
    // Without a certificate, or with one of a stranger's, nobody gets as far as that.
    let stranger = stranger();
    let strange = |config: &mut EtcdConfig| config.tls.as_mut().unwrap().identity = None;
    let error = refused(&strange).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let error = refused(&|config| config.tls = Some(stranger.clone())).await;
    assert!(error.to_string().contains("certificate"), "{error}");
    let store = EtcdStore::new(config).unwrap();
    let mut denied = {
        let mut config = cluster.config();
        config.user = None;
        EtcdStore::new(config)
            .unwrap()
            .watch("a", at)
            .await
            .unwrap()
    };
    let refused = soon(denied.next()).await;
    assert!(
        !matches!(refused, Ok(Event::Changed { .. } | Event::Reset(_))),
        "{refused:?}"
    );
    assert_eq!(value(&store, "a").await.unwrap(), "2");
}

/// Turns authentication on, and makes a user for our prefix alone.
async fn with_users(cluster: &Cluster) -> User {
    let mut client = cluster.client(0, None).await.unwrap();
    client.user_add("root", "root", None).await.unwrap();
    client.role_add("root").await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.user_add("meridian", "secret", None).await.unwrap();
    client.role_add("meridian").await.unwrap();
    let permission = Permission::new(PermissionType::Readwrite, PREFIX).with_prefix();
    let granted = client.role_grant_permission("meridian", permission);
    granted.await.unwrap();
    client
        .user_grant_role("meridian", "meridian")
        .await
        .unwrap();
    client.auth_enable().await.unwrap();
    User {
        name: "meridian".into(),
        password: "secret".into(),
    }
}

/// Certificates that nobody here has heard of.
fn stranger() -> Tls {
    let own = rcgen::generate_simple_self_signed(["stranger".into()]).unwrap();
    let certificate = own.cert.pem().into_bytes();
    Tls {
        authority: certificate.clone(),
        identity: Some(Identity {
            certificate,
            key: own.signing_key.serialize_pem().into_bytes(),
        }),
        server_name: None,
    }
}

/// A watch of everything the writers do.
struct Watching {
    seen: JoinHandle<()>,
    events: tokio::sync::mpsc::UnboundedReceiver<(u64, Vec<String>)>,
}

impl Watching {
    async fn start(cluster: &Cluster) -> Self {
        let store = cluster.store();
        let start = store.list("w/").await.unwrap().revision;
        let mut watch = store.watch("w/", start).await.unwrap();
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let seen = tokio::spawn(async move {
            loop {
                match watch.next().await.unwrap() {
                    Event::Interrupted(_) | Event::Resumed => {}
                    event => sender.send(told(&event)).unwrap(),
                }
            }
        });
        Self { seen, events }
    }

    /// All that was acknowledged was seen, once and in order. Of what was not, some may have been made.
    async fn check(mut self, written: Written) {
        let mut missing: BTreeSet<_> = written.made.into_iter().collect();
        let (mut last, mut unknown) = (0, 0);
        while !missing.is_empty() {
            let (revision, changes) = soon(self.events.recv()).await.unwrap();
            assert!(revision > last, "{revision} after {last}");
            last = revision;
            let [change] = &changes[..] else {
                panic!("{changes:?}")
            };
            if !missing.remove(&(revision, change.clone())) {
                assert!(
                    written.unknown.contains(change),
                    "nobody has written {change}"
                );
                unknown += 1;
            }
        }
        println!(
            "of {} with an unknown end, {unknown} were made",
            written.unknown.len()
        );
        self.seen.abort();
    }
}

/// Each counts up a key of its own, by guarded transactions, and reads again when it does not know what became of one.
struct Writers {
    tasks: Vec<JoinHandle<Written>>,
    over: Arc<AtomicBool>,
    made: tokio::sync::watch::Receiver<(u64, Option<Instant>)>,
}

#[derive(Default)]
struct Written {
    made: Vec<(u64, String)>,
    unknown: BTreeSet<String>,
}

impl Writers {
    fn start(cluster: &Cluster, count: usize) -> Self {
        let over = Arc::<AtomicBool>::default();
        let (sender, made) = tokio::sync::watch::channel((0, None));
        let sender = Arc::new(sender);
        let tasks = (0..count).map(|writer| {
            let (store, over, sender) = (cluster.store(), over.clone(), sender.clone());
            tokio::spawn(async move {
                let mut written = Written::default();
                while !over.load(Ordering::SeqCst) {
                    if write_one(&store, writer, &mut written).await {
                        let now = Some(Instant::now());
                        sender.send_modify(|(count, last)| (*count, *last) = (*count + 1, now));
                    }
                }
                written
            })
        });
        Self {
            tasks: tasks.collect(),
            over,
            made,
        }
    }

    /// Waits until so many more were made.
    async fn more(&self, count: u64) {
        let mut made = self.made.clone();
        let goal = made.borrow().0 + count;
        soon(made.wait_for(|(made, _)| *made >= goal))
            .await
            .unwrap();
    }

    /// How long after `since` the first transaction was made that a new leader must have made.
    async fn next_after(&self, since: Instant) -> Duration {
        // What was under way is acknowledged within this time or never.
        let settled = since + Duration::from_millis(100);
        let mut made = self.made.clone();
        let made = soon(made.wait_for(|(_, last)| last.is_some_and(|last| last > settled)));
        made.await.unwrap().1.unwrap() - since
    }

    async fn stop(self) -> Written {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for task in self.tasks {
            let written = soon(task).await.unwrap();
            all.made.extend(written.made);
            all.unknown.extend(written.unknown);
        }
        all
    }
}

async fn write_one(store: &EtcdStore, writer: usize, written: &mut Written) -> bool {
    let key = format!("w/{writer}");
    let Ok(entry) = store.get(&key).await else {
        return false;
    };
    let (guard, count) = match entry {
        None => (Guard::Absent(key.clone()), 0),
        Some(entry) => {
            let count: u64 = String::from_utf8(entry.value).unwrap().parse().unwrap();
            (unchanged(&key, entry.revision), count + 1)
        }
    };
    let change = format!("{key}={count}");
    match commit(store, [guard], [put(&key, &count.to_string())]).await {
        Ok(Committed::At(revision)) => {
            written.made.push((revision, change));
            true
        }
        Ok(Committed::Conflict) => {
            // Nobody else writes this key: an earlier one was made late.
            assert!(!written.unknown.is_empty());
            false
        }
        Err(StoreError::Unavailable(_)) => {
            written.unknown.insert(change);
            false
        }
        Err(error) => panic!("{error}"),
    }
}
