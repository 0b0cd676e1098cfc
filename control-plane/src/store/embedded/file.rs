//! The file: opened with errors a person can act on, closed, and opened again after its disk failed.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use redb::{Database, DatabaseError, StorageError, backends::FileBackend};

use super::{History, OpenError, table};
use crate::store::{Lease, StoreError};

/// A file, which may be away for a while. Readers never wait for the writer.
pub(super) struct File {
    path: PathBuf,
    open: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    state: Mutex<State>,
}

enum State {
    Open(Arc<Database>),
    /// It failed, for this reason, and is to be opened again.
    Failed(String),
    Closed,
}

impl File {
    /// Opens the file, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self, OpenError> {
        let opened = path.clone();
        Self::with(path, move || open(&opened))
    }

    /// The same with another way to open it.
    pub(super) fn with(
        path: PathBuf,
        open: impl Fn() -> Result<Database, DatabaseError> + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let database = open().map_err(|error| explain(&path, error))?;
        Ok(Self {
            path,
            open: Box::new(open),
            state: Mutex::new(State::Open(Arc::new(database))),
        })
    }

    /// What the opened file holds: its revision and its leases.
    pub(super) fn start(&self) -> Result<(u64, Vec<(Lease, Duration)>), OpenError> {
        let database = self.database().map_err(|_| OpenError::Ended)?;
        table::start(&database).map_err(|error| match error {
            redb::Error::Corrupted(text) => OpenError::Damaged(self.path.clone(), text),
            redb::Error::Io(error) => explain(&self.path, StorageError::Io(error).into()),
            other => OpenError::Foreign(self.path.clone(), other.to_string()),
        })
    }

    /// Reads, where waiting for the disk holds nobody up.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let database = file.database()?;
            read(&database).map_err(|error| file.failure(error))
        });
        reading.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Writes. After a failure the file must be [opened again](Self::reopen).
    pub(super) fn write<'r>(
        &self,
        requests: impl Iterator<Item = &'r table::Request>,
        history: History,
    ) -> Result<table::Applied, StoreError> {
        let database = self.database()?;
        table::apply(&database, requests, history).map_err(|error| {
            let error = self.failure(error);
            *self.state() = State::Failed(error.to_string());
            error
        })
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(&*self.state(), State::Failed(_))
    }

    /// Opens a failed file again. Where a reader still has it, that has to wait.
    pub(super) fn reopen(&self) -> Result<(u64, Vec<(Lease, Duration)>), OpenError> {
        let opened = (self.open)().map_err(|error| explain(&self.path, error));
        match opened {
            Ok(database) => *self.state() = State::Open(Arc::new(database)),
            Err(error) => {
                *self.state() = State::Failed(error.to_string());
                return Err(error);
            }
        }
        self.start()
    }

    /// Lets go of it, as soon as the last reader has.
    pub(super) fn close(&self) {
        *self.state() = State::Closed;
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        match &*self.state() {
            State::Open(database) => Ok(database.clone()),
            State::Failed(why) => Err(StoreError::Unavailable(why.clone())),
            State::Closed => Err(super::closed()),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }

    fn failure(&self, error: redb::Error) -> StoreError {
        let path = self.path.display();
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                StoreError::Unavailable(format!("the disk of {path} is full; free some space"))
            }
            redb::Error::Corrupted(text) => StoreError::Damaged(format!("{path}: {text}")),
            other => StoreError::Unavailable(format!("{path}: {other}")),
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("File").field(&self.path).finish()
    }
}

fn open(path: &Path) -> Result<Database, DatabaseError> {
    let make = |new| {
        let mut options = fs::OpenOptions::new();
        // It holds the keys that sign tokens.
        options.read(true).write(true).create_new(new).mode(0o600);
        options.open(path)
    };
    let file = match make(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = make(true)?;
            sync_folder(path)?;
            file
        }
        other => other?,
    };
    let opening = AssertUnwindSafe(|| {
        let mut builder = Database::builder();
        // Without this a damaged file is found by a panic some time later.
        builder.set_check_integrity_on_open(true);
        builder.create_with_backend(FileBackend::new(file)?)
    });
    panic::catch_unwind(opening).unwrap_or_else(|_| {
        let text = "its pages make no sense".to_owned();
        Err(StorageError::Corrupted(text).into())
    })
}

/// A new file is there after a power failure only once its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn explain(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse(path)
        }
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            io::ErrorKind::StorageFull => OpenError::Full(path),
            io::ErrorKind::InvalidData => OpenError::Foreign(path, error.to_string()),
            io::ErrorKind::UnexpectedEof => OpenError::Damaged(path, error.to_string()),
            _ => OpenError::Path(path, error),
        },
        DatabaseError::Storage(error) => OpenError::Damaged(path, error.to_string()),
        other => OpenError::Foreign(path, other.to_string()),
    }
}

fn ending() -> StoreError {
    StoreError::Unavailable("the process is ending".into())
}
