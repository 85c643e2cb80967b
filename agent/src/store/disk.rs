//! The store on disk. A folder that cannot be opened is renamed, with the moment in its name, and begun anew: what is in
//! it can be made again. Writes reach the disk within half a second; a crash loses no more.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::value::{seal, unseal};
use super::{Health, Store};

/// In the agent's data folder.
const FOLDER: &str = "store";
const CACHE_BYTES: u64 = 4 << 20;
const FLUSH_MS: u64 = 500;

pub struct DiskStore {
    db: sled::Db,
    rebuilt: u64,
    failures: AtomicU64,
}

impl DiskStore {
    /// Opens the store in this folder, or a new one in its place.
    ///
    /// # Errors
    /// In words: not even a new one can be made there.
    pub fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FOLDER);
        let (db, rebuilt) = match open(&path) {
            Ok(db) => (db, 0),
            Err(why) => {
                let aside = move_aside(&path)?;
                tracing::error!(
                    "the store cannot be opened ({why}): moved to {}, begun anew",
                    aside.display()
                );
                (open(&path).map_err(|error| format!("{}: {error}", path.display()))?, 1)
            }
        };
        Ok(Self { db, rebuilt, failures: AtomicU64::new(0) })
    }

    fn note<T>(&self, outcome: Result<T, sled::Error>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(&error.to_string());
                None
            }
        }
    }

    fn failed(&self, why: &str) {
        // A disk that has failed goes on failing: one line says it.
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("the store has a fault, what it held is made again: {why}");
        }
    }

    fn verified(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let value = unseal(sealed);
        if value.is_none() {
            self.failed("a value does not verify");
        }
        value
    }
}

fn open(path: &Path) -> Result<sled::Db, sled::Error> {
    sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(Some(FLUSH_MS)).open()
}

fn move_aside(path: &Path) -> Result<PathBuf, String> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let aside = path.with_extension(format!("broken-{at}"));
    std::fs::rename(path, &aside)
        .map_err(|error| format!("{} cannot be moved aside: {error}", path.display()))?;
    Ok(aside)
}

impl Store for DiskStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.note(self.db.get(key))?.and_then(|sealed| self.verified(&sealed))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.note(self.db.insert(key, seal(value)));
    }

    fn remove(&self, key: &[u8]) {
        self.note(self.db.remove(key));
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let found = self.db.scan_prefix(prefix).filter_map(|entry| self.note(entry)).take(limit);
        found.filter_map(|(key, sealed)| Some((key.to_vec(), self.verified(&sealed)?))).collect()
    }

    fn health(&self) -> Health {
        Health { rebuilt: self.rebuilt, failures: self.failures.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = DiskStore::open(folder.path()).unwrap();
            for n in 0u8..5 {
                store.put(&[b'h', n], &[n]);
            }
            store.remove(b"h\x02");
            store.put(b"other", b"x");
        }
        let store = DiskStore::open(folder.path()).unwrap();
        assert_eq!(store.get(b"other").as_deref(), Some(&b"x"[..]));
        let found: Vec<_> = store.scan(b"h", 3).into_iter().map(|(_, value)| value[0]).collect();
        assert_eq!((found, store.health()), (vec![0, 1, 3], Health::default()));
    }

    #[test]
    fn a_damaged_value_is_missing_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        store.put(b"good", b"1");
        store.db.insert(b"bad", b"\x01not a value").unwrap();
        assert_eq!((store.get(b"bad"), store.get(b"none")), (None, None));
        assert_eq!(store.scan(b"", 9).len(), 1);
        assert_eq!(store.health(), Health { rebuilt: 0, failures: 2 });
    }

    #[test]
    fn a_store_that_cannot_be_opened_is_moved_aside_and_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FOLDER), "no store at all").unwrap();
        let store = DiskStore::open(folder.path()).unwrap();
        assert_eq!(store.health(), Health { rebuilt: 1, failures: 0 });
        store.put(b"a", b"1");
        assert_eq!(store.get(b"a").as_deref(), Some(&b"1"[..]));
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let kept = names.filter(|name| name.to_string_lossy().starts_with("store.broken-")).count();
        assert_eq!(kept, 1, "what was there is kept for whoever wants to look");
    }
}
