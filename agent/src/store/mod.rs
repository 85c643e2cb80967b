//! What an agent keeps on its own disk between runs: nothing that could not be lost. A store that cannot be opened is moved
//! aside and begun anew; a value that does not verify is missing. Both are counted and said, neither stops anything.
//!
//! | file | does |
//! |---|---|
//! | `disk` | the store on disk (sled) |
//! | `memory` | the same without a disk: where no folder is given, and in simulations |
//! | `value` | versions and checksums of values |
//! | [`history`] | a day of each link's exposure, and its last verdict |

mod disk;
pub mod history;
mod memory;
mod value;

use std::sync::Arc;

pub use disk::DiskStore;
pub use memory::MemoryStore;

/// How it went until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Stores that were moved aside, because they could not be opened.
    pub rebuilt: u64,
    /// Values that did not verify, and writes that failed.
    pub failures: u64,
}

/// An ordered map of small values, far below 128 KiB. Never fails: what cannot be read is missing, what cannot be written
/// is counted.
pub trait Store: Send + Sync {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    fn put(&self, key: &[u8], value: &[u8]);

    fn remove(&self, key: &[u8]);

    /// Everything whose key begins so, by key; not more than `limit`.
    fn scan(&self, prefix: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)>;

    fn health(&self) -> Health;
}

/// The store of this agent: on disk where a folder is given.
pub fn open(folder: Option<&std::path::Path>) -> Arc<dyn Store> {
    match folder {
        Some(folder) => DiskStore::open(folder).map_or_else(
            |why| {
                tracing::error!("nothing is kept on disk: {why}");
                Arc::new(MemoryStore::default()) as Arc<dyn Store>
            },
            |store| Arc::new(store) as Arc<dyn Store>,
        ),
        None => Arc::new(MemoryStore::default()),
    }
}
