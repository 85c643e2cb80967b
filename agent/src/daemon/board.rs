//! What everybody may know of the daemon: the state of every link, and how the last reload went. Written by the
//! supervisor, read by whoever asks over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use lockstep_core::spec::agent::LinkSpec;
use tokio::sync::watch;
use tokio::time::Instant;

use super::life::LinkState;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Board {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    site: String,
    beat: Instant,
    config: ConfigState,
    links: BTreeMap<String, LinkDesk>,
}

/// The file that the daemon works by.
#[derive(Clone, Debug)]
pub(super) struct ConfigState {
    /// When what is in force was read.
    pub(super) loaded_at: SystemTime,
    /// Why a newer version of the file is not in force; it stays so until a version that can be used.
    pub(super) refused: Option<String>,
    /// What a newer version says that takes effect only when the daemon is started again.
    pub(super) waits_for_start: Vec<&'static str>,
}

/// A link, as configured and as it is.
#[derive(Clone)]
pub(super) struct LinkDesk {
    pub(super) spec: Arc<LinkSpec>,
    pub(super) state: watch::Receiver<LinkState>,
}

impl Board {
    pub(super) fn new(site: String) -> Self {
        let config = ConfigState { loaded_at: SystemTime::now(), refused: None, waits_for_start: Vec::new() };
        let inner = Inner { site, beat: Instant::now(), config, links: BTreeMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn site(&self) -> String {
        self.lock().site.clone()
    }

    /// The supervisor's loop has come round.
    pub(super) fn beat(&self) {
        self.lock().beat = Instant::now();
    }

    pub(super) fn last_beat(&self) -> Instant {
        self.lock().beat
    }

    pub(super) fn config(&self) -> ConfigState {
        self.lock().config.clone()
    }

    pub(super) fn edit_config(&self, edit: impl FnOnce(&mut ConfigState)) {
        edit(&mut self.lock().config);
    }

    pub(super) fn links(&self) -> BTreeMap<String, LinkDesk> {
        self.lock().links.clone()
    }

    pub(super) fn put(&self, name: &str, desk: LinkDesk) {
        self.lock().links.insert(name.to_owned(), desk);
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().links.remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while holding it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
