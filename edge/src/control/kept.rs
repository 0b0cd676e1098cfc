//! The last good snapshot on disk: with it an edge serves when the control plane does not answer at its start.

use meridian_proto::v1::Snapshot;
use meridian_session::tls::sha256;
use prost::Message;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a file begins with; then the SHA-256 of the rest, and the snapshot's bytes.
const MAGIC: &[u8; 20] = b"meridian snapshot 1\n";
const HEAD: usize = MAGIC.len() + 32;
/// The largest snapshot, in bytes: some thousand times an ordinary one.
pub(super) const LARGEST: usize = 16 << 20;

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Kept(PathBuf);

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
}

impl Kept {
    /// In this folder, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(folder: &Path, office: &str) -> io::Result<Kept> {
        fs::create_dir_all(folder)?;
        Ok(Kept(folder.join(format!("{office}.snapshot"))))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What was kept, if something was.
    ///
    /// # Errors
    /// There is a file, but it is of no use.
    pub(super) fn load(&self) -> Result<Option<Snapshot>, KeptError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        let most = (HEAD + LARGEST) as u64 + 1;
        file.take(most).read_to_end(&mut bytes)?;
        decode(&bytes).map(Some).ok_or(KeptError::Damaged)
    }

    /// Keeps this one. Whenever the machine stops, the file holds the one before or this one.
    ///
    /// # Errors
    /// It cannot be written; the one before is still there.
    pub(super) fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        let fresh = self.0.with_extension("snapshot.new");
        let mut options = OpenOptions::new();
        // Who is in which meeting is nobody else's business.
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&encode(snapshot))?;
        file.sync_all()?;
        fs::rename(&fresh, &self.0)?;
        match self.0.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let body = snapshot.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&sha256(&body));
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Snapshot> {
    let (hash, body) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if body.len() > LARGEST || sha256(body) != hash {
        return None;
    }
    Snapshot::decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_proto::v1::Version;

    fn snapshot(revision: u64) -> Snapshot {
        Snapshot {
            version: Some(Version { epoch: 1, revision }),
            ..Snapshot::default()
        }
    }

    #[test]
    fn the_last_one_kept_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::open(&folder.path().join("new"), "bangkok").expect("it is made");
        assert!(kept.load().expect("nothing is no error").is_none());
        for revision in [1, 2] {
            kept.save(&snapshot(revision)).expect("there is room");
        }
        let found = kept.load().expect("it is whole");
        assert_eq!(found, Some(snapshot(2)));
    }

    #[test]
    fn a_file_damaged_anywhere_is_told_from_a_whole_one() {
        let whole = encode(&snapshot(7));
        assert_eq!(decode(&whole), Some(snapshot(7)));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {at}");
            assert_eq!(decode(&whole[..at]), None, "cut at {at}");
        }
    }
}
