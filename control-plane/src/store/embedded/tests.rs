//! What only the embedded store does: its file's errors, its bounded history, shared syncs, a failing disk.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, PermissionsExt},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use redb::{Database, StorageBackend};

use super::*;
use crate::store::{Event, Write};

#[tokio::test]
async fn a_file_in_use_is_refused_and_free_once_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let first = EmbeddedStore::open(&path, History::default())
        .await
        .unwrap();
    let second = EmbeddedStore::open(&path, History::default()).await;
    assert!(matches!(second, Err(OpenError::InUse(_))), "{second:?}");
    first.close().await;
    EmbeddedStore::open(&path, History::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    EmbeddedStore::open(&path, History::default())
        .await
        .unwrap()
        .close()
        .await;
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_wrong_path_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none/state"), folder.path().to_owned()] {
        let opened = EmbeddedStore::open(&path, History::default()).await;
        let Err(OpenError::Path(named, _)) = opened else {
            panic!("{opened:?}")
        };
        assert_eq!(named, path);
    }
}

#[tokio::test]
async fn a_file_of_another_kind_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes");
    let notes = "not a state store\n".repeat(1000);
    fs::write(&path, &notes).unwrap();
    let opened = EmbeddedStore::open(&path, History::default()).await;
    assert!(matches!(opened, Err(OpenError::Foreign(..))), "{opened:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), notes);
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = EmbeddedStore::open(&path, History::default())
        .await
        .unwrap();
    for key in 0..200 {
        put(&store, &format!("k/{key}"), &[7; 2000]).await.unwrap();
    }
    store.close().await;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    // Behind the header, through everything.
    for at in (8192..length - 64).step_by(4096) {
        file.write_all_at(&[0xA5; 64], at).unwrap();
    }
    drop(file);
    let opened = EmbeddedStore::open(&path, History::default()).await;
    assert!(matches!(opened, Err(OpenError::Damaged(..))), "{opened:?}");
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    let opened = EmbeddedStore::open(&path, History::default()).await;
    assert!(matches!(opened, Err(OpenError::Damaged(..))), "{opened:?}");
}

#[tokio::test]
async fn the_history_is_bounded_by_count_and_by_bytes() {
    for history in [
        History {
            changes: 10,
            bytes: 1 << 20,
        },
        History {
            changes: 1000,
            bytes: 10_000,
        },
    ] {
        let store = open_on(&Disk::default(), history);
        let mut revisions = Vec::new();
        for _ in 0..50 {
            revisions.push(put(&store, "k", &[0; 900]).await.unwrap());
        }
        let remembered = async |after| {
            let mut watch = store.watch("", after).await.unwrap();
            matches!(watch.next().await.unwrap(), Event::Changed { .. })
        };
        assert!(!remembered(revisions[30]).await, "{history:?}");
        assert!(remembered(revisions[45]).await, "{history:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_transactions_share_a_sync() {
    let disk = Disk::default();
    let store = Arc::new(open_on(&disk, History::default()));
    let before = disk.0.syncs.load(Ordering::SeqCst);
    // All wait for the first one's sync, and are then made together.
    disk.0.slow.store(true, Ordering::SeqCst);
    let writers = (0..200).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { put(&store, &format!("k/{n}"), b"x").await.unwrap() })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let syncs = disk.0.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= 40, "{syncs} syncs for 200 transactions");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_power_failure() {
    let mut disk = Disk::default();
    let mut last = 0;
    for round in 0..20 {
        let store = open_on(&disk, History::default());
        for turn in 0..5 {
            let value = format!("{round}.{turn}");
            last = put(&store, "k", value.as_bytes()).await.unwrap();
        }
        let entry = store.get("k").await.unwrap().unwrap();
        assert_eq!(
            (entry.revision, &entry.value[..]),
            (last, format!("{round}.4").as_bytes())
        );
        disk = disk.after_power_failure();
    }
    let store = open_on(&disk, History::default());
    assert_eq!(store.get("k").await.unwrap().unwrap().revision, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_and_work_goes_on_when_there_is_space() {
    let disk = Disk::default();
    let store = open_on(&disk, History::default());
    let lease = store.grant(Duration::from_secs(60)).await.unwrap();
    let before = put(&store, "k", b"1").await.unwrap();
    let mut watch = store.watch("k", before).await.unwrap();
    disk.0.full.store(true, Ordering::SeqCst);
    let refused = put(&store, "k", b"2").await.unwrap_err().to_string();
    assert!(
        refused.contains("/the/disk is full; free some space"),
        "{refused}"
    );
    disk.0.full.store(false, Ordering::SeqCst);
    let at = loop {
        match put(&store, "k", b"3").await {
            Ok(at) => break at,
            Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
            Err(other) => panic!("{other}"),
        }
    };
    store.keep_alive(lease).await.unwrap();
    loop {
        match watch.next().await.unwrap() {
            Event::Changed { revision, .. } if revision == at => break,
            Event::Interrupted(_) | Event::Resumed => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn watches_end_when_the_store_is_closed() {
    let store = open_on(&Disk::default(), History::default());
    let mut watch = store.watch("", 0).await.unwrap();
    store.close().await;
    let ended = watch.next().await;
    assert!(
        matches!(ended, Err(StoreError::Unavailable(_))),
        "{ended:?}"
    );
}

async fn put(store: &EmbeddedStore, key: &str, value: &[u8]) -> Result<u64, StoreError> {
    let write = Write::Put {
        key: key.into(),
        value: value.into(),
        lease: None,
    };
    let (guards, writes) = (Vec::new(), vec![write]);
    match store.commit(Transaction { guards, writes }).await? {
        Committed::At(revision) => Ok(revision),
        Committed::Conflict => panic!("a conflict without a guard"),
    }
}

fn open_on(disk: &Disk, history: History) -> EmbeddedStore {
    let backend = disk.clone();
    let open = move || Database::builder().create_with_backend(backend.clone());
    let file = File::with("/the/disk".into(), open).unwrap();
    let (revision, leases) = file.start().unwrap();
    EmbeddedStore::start(file, revision, leases, history)
}

/// A disk in memory that can be full, slow, or lose what was not synced.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: Mutex<Bytes>,
    full: AtomicBool,
    slow: AtomicBool,
    syncs: AtomicUsize,
}

#[derive(Debug, Default)]
struct Bytes {
    now: Vec<u8>,
    synced: Vec<u8>,
}

impl Disk {
    /// What is left of it: everything that was synced. Whoever still uses this one does it no harm.
    fn after_power_failure(&self) -> Self {
        let synced = self.0.bytes.lock().unwrap().synced.clone();
        let left = Self::default();
        left.0.bytes.lock().unwrap().now = synced;
        left
    }

    fn has_room(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (bytes, at) = (self.0.bytes.lock().unwrap(), offset as usize);
        let found = bytes.now.get(at..at + out.len());
        out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.has_room()?;
        self.0.bytes.lock().unwrap().now.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.has_room()?;
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        if self.0.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut bytes = self.0.bytes.lock().unwrap();
        bytes.synced = bytes.now.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.has_room()?;
        let (mut bytes, at) = (self.0.bytes.lock().unwrap(), offset as usize);
        let place = bytes.now.get_mut(at..at + data.len());
        place.ok_or(ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}
