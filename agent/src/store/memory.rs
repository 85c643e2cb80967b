//! A store that ends with the process: where no folder is given, and in simulations (the disk's has threads of its own).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Health, Store};

#[derive(Debug, Default)]
pub struct MemoryStore {
    values: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        // Nothing panics while holding it.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().get(key).cloned()
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.lock().insert(key.to_vec(), value.to_vec());
    }

    fn remove(&self, key: &[u8]) {
        self.lock().remove(key);
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let values = self.lock();
        let from = values.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        from.take(limit).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn health(&self) -> Health {
        Health::default()
    }
}
