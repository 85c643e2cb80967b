//! A member's data folder, which one process at a time may use: `identity.json` (system, incarnation, this member, whom it
//! joined by), `raft.redb` (the log), `snapshots/` (states), `audit/` (the trail, as JSON lines), `lock`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use lockstep_core::state::Member;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::consensus::{Fault, Files as _, LogStore, OnDisk, Snapshots};

const IDENTITY: &str = "identity.json";
const LOCK: &str = "lock";
const FORMAT: u32 = 1;

/// Who a folder's member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub format: u32,
    pub cluster_id: String,
    /// Raised by a forced recovery; messages of lower ones are refused.
    pub incarnation: u64,
    pub member: Member,
    /// The members as they were when this one joined: it hears of later ones from them.
    #[serde(default)]
    pub contacts: Vec<Member>,
    /// The reason of the forced recovery that made the present incarnation; it goes into the audit trail.
    #[serde(default)]
    pub recovered_because: Option<String>,
}

impl Identity {
    #[must_use]
    pub fn new(cluster_id: String, incarnation: u64, member: Member, contacts: Vec<Member>) -> Self {
        Self { format: FORMAT, cluster_id, incarnation, member, contacts, recovered_because: None }
    }
}

/// Why a folder cannot be used.
#[derive(Debug, Error)]
pub enum FolderFault {
    #[error("the folder {0} is in use by another process: one coordinator has one folder")]
    InUse(PathBuf),
    #[error(
        "there is no coordinator in {0} yet: lockstep coordinator init founds a system, lockstep coordinator join makes it a \
         member of one"
    )]
    Empty(PathBuf),
    #[error(
        "there is a coordinator in {0} already (system {1}): set the folder aside if it is to become another one"
    )]
    Taken(PathBuf, String),
    #[error("{path}: {why}")]
    Io { path: PathBuf, why: io::Error },
    #[error(
        "{path} cannot be read: {why}; restore the folder from its backup, or remove the member and let it join anew"
    )]
    Unreadable { path: PathBuf, why: String },
}

/// A folder that this process alone uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Released when it is dropped, or the process ends in whatever way.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// [`FolderFault::InUse`], [`FolderFault::Io`].
    pub(super) fn open(path: &Path) -> Result<Self, FolderFault> {
        let failed = |why| FolderFault::Io { path: path.to_owned(), why };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FolderFault::InUse(path.to_owned())),
            Err(TryLockError::Error(why)) => Err(failed(why)),
        }
    }

    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// [`FolderFault::Empty`] where nobody is yet.
    pub(super) fn identity(&self) -> Result<Identity, FolderFault> {
        let path = self.path.join(IDENTITY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderFault::Empty(self.path.clone()));
            }
            Err(why) => return Err(FolderFault::Io { path, why }),
        };
        let unreadable = |why: String| FolderFault::Unreadable { path: path.clone(), why };
        let identity: Identity =
            serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
        if identity.format > FORMAT {
            return Err(unreadable(format!(
                "format {} is of a newer version, this one knows {FORMAT}",
                identity.format
            )));
        }
        Ok(identity)
    }

    /// # Errors
    /// [`FolderFault::Taken`] by whom.
    pub(super) fn expect_nobody(&self) -> Result<(), FolderFault> {
        match self.identity() {
            Err(FolderFault::Empty(_)) => Ok(()),
            Ok(identity) => Err(FolderFault::Taken(self.path.clone(), identity.cluster_id)),
            Err(other) => Err(other),
        }
    }

    /// On disk when it returns.
    ///
    /// # Errors
    /// [`FolderFault::Io`]: what was there before is there.
    pub(super) fn put_identity(&self, identity: &Identity) -> Result<(), FolderFault> {
        let path = self.path.join(IDENTITY);
        let failed = |why| FolderFault::Io { path: path.clone(), why };
        let text = serde_json::to_vec_pretty(identity).map_err(|error| failed(error.into()))?;
        OnDisk.put(&path, &text).map_err(failed)
    }

    /// # Errors
    /// [`Fault`].
    pub(super) fn stores(&self) -> Result<(LogStore, Snapshots), Fault> {
        Ok((LogStore::open(&self.path)?, Snapshots::open(&self.path, OnDisk)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let member =
            Member { id: 1, name: "c1".to_owned(), site: "wien".to_owned(), address: "c1:9470".to_owned() };
        Identity::new("0b6f".to_owned(), 0, member, Vec::new())
    }

    #[test]
    fn a_folder_has_one_process_and_one_member() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let folder = Folder::open(&path).unwrap();
        assert!(matches!(Folder::open(&path), Err(FolderFault::InUse(_))));
        assert!(matches!(folder.identity(), Err(FolderFault::Empty(_))));
        folder.expect_nobody().unwrap();
        folder.put_identity(&identity()).unwrap();
        assert_eq!(folder.identity().unwrap(), identity());
        assert!(matches!(folder.expect_nobody(), Err(FolderFault::Taken(_, id)) if id == "0b6f"));
        drop(folder);
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn what_cannot_be_read_is_no_empty_folder() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        fs::write(place.path().join(IDENTITY), b"{\"format\":").unwrap();
        assert!(matches!(folder.identity(), Err(FolderFault::Unreadable { .. })));
        assert!(matches!(folder.expect_nobody(), Err(FolderFault::Unreadable { .. })));
        folder.put_identity(&Identity { format: 9, ..identity() }).unwrap();
        assert!(folder.identity().unwrap_err().to_string().contains("newer version"));
    }
}
