//! Temporary folders, kept for the reader when a test fails: removed on drop unless the thread is panicking.
//! Each process has one root, locked while it lives. What a killed process left behind is swept by the next one:
//! data at once, logs after a day.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use std::{env, process, thread};

use crate::Error;

/// Logs of a failed run stay this long.
const LOGS_KEPT: Duration = Duration::from_secs(24 * 3600);
const OWNER: &str = "owner.lock";
/// The folder name, at any broker, whose content is large and worthless once its owner is gone.
pub(crate) const DATA: &str = "data";

struct Root {
    path: PathBuf,
    /// Held until the process ends: a free lock means that the owner is dead.
    _owner: File,
}

/// A folder of its own below the process's root.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    RemovedUnlessPanicking,
    Kept,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let path = root()?.join(format!("{name}-{:06x}", fastrand::u32(..) & 0xff_ffff));
        fs::create_dir(&path).map_err(Error::io(format!("create {}", path.display())))?;
        Ok(Self { path, fate: Fate::RemovedUnlessPanicking })
    }

    /// For a failure that is an error and no panic yet: the reader will want the logs.
    pub(crate) fn keep(&mut self) {
        self.fate = Fate::Kept;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.fate == Fate::Kept || thread::panicking() {
            eprintln!("kept for you: {}", self.path.display());
        } else if let Err(cause) = fs::remove_dir_all(&self.path) {
            eprintln!("not removed: {} ({cause})", self.path.display());
        }
    }
}

fn root() -> Result<&'static Path, Error> {
    static ROOT: OnceLock<Result<Root, String>> = OnceLock::new();
    match ROOT.get_or_init(|| open_root(&base()).map_err(|cause| cause.to_string())) {
        Ok(root) => Ok(&root.path),
        Err(cause) => Err(Error::Refused(cause.clone())),
    }
}

/// `LOCKSTEP_RUN_DIR`, else a folder in the system's temporary folder.
fn base() -> PathBuf {
    match env::var_os("LOCKSTEP_RUN_DIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => env::temp_dir().join("lockstep-testkit"),
    }
}

fn open_root(base: &Path) -> Result<Root, Error> {
    let path = base.join(format!("{}-{:06x}", process::id(), fastrand::u32(..) & 0xff_ffff));
    fs::create_dir_all(&path).map_err(Error::io(format!("create {}", path.display())))?;
    let lock = path.join(OWNER);
    let owner = File::create(&lock).map_err(Error::io(format!("create {}", lock.display())))?;
    owner.lock().map_err(Error::io(format!("lock {}", lock.display())))?;
    sweep(base, LOGS_KEPT);
    Ok(Root { path, _owner: owner })
}

/// Best effort: what cannot be read or removed stays for the next sweep.
fn sweep(base: &Path, logs_kept: Duration) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for root in entries.flatten().map(|entry| entry.path()) {
        let Ok(lock) = File::open(root.join(OWNER)) else { continue };
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_))) {
            continue; // its owner lives
        }
        let age =
            lock.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
        let old = matches!(age, Ok(Ok(age)) if age > logs_kept);
        let empty = fs::read_dir(&root).is_ok_and(|content| content.count() <= 1);
        if old || empty {
            let _ = fs::remove_dir_all(&root);
        } else {
            remove_data(&root);
        }
    }
}

/// root / cluster / node / data
fn remove_data(root: &Path) {
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
    };
    for node in folders(root).iter().flat_map(|cluster| folders(cluster)) {
        let _ = fs::remove_dir_all(node.join(DATA));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base_of_this_test() -> PathBuf {
        let base = env::temp_dir().join(format!("lockstep-sweep-{}-{}", process::id(), fastrand::u32(..)));
        fs::create_dir_all(&base).unwrap();
        base
    }

    #[test]
    fn a_dead_owner_loses_its_data_and_keeps_its_logs_for_a_while() {
        let base = base_of_this_test();
        let dead = open_root(&base).unwrap();
        let node = dead.path.join("source-1").join("node-1");
        fs::create_dir_all(node.join(DATA)).unwrap();
        fs::write(node.join("server.log"), "x").unwrap();
        let path = dead.path.clone();

        sweep(&base, Duration::from_secs(60));
        assert!(node.join(DATA).exists(), "its owner lived");
        drop(dead);
        sweep(&base, Duration::from_secs(60));
        assert!(!node.join(DATA).exists() && node.join("server.log").exists());
        sweep(&base, Duration::ZERO);
        assert!(!path.exists());
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_folder_survives_a_panic_and_who_asks_for_it() {
        let calm = Folder::new("calm").unwrap();
        let path = calm.path().to_owned();
        drop(calm);
        assert!(!path.exists());

        let mut asked_for = Folder::new("asked-for").unwrap();
        let path = asked_for.path().to_owned();
        asked_for.keep();
        drop(asked_for);
        assert!(path.exists());
        fs::remove_dir_all(path).unwrap();

        let path = thread::spawn(|| {
            let folder = Folder::new("panicking").unwrap();
            let path = folder.path().to_owned();
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _held = folder;
                panic!("on purpose");
            }));
            assert!(unwound.is_err());
            path
        })
        .join()
        .unwrap();
        assert!(path.exists());
        fs::remove_dir_all(path).unwrap();
    }
}
