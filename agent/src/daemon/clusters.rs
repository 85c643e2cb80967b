//! Clusters by their name in `agent.yaml`: links between the same ones share connections and the metadata watcher.
//! Reaching one never waits for another; a failed attempt is the asking link's, and the next one tries again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::code::Code;
use lockstep_core::dr::denied::{Cause, Denied, Side};
use lockstep_core::spec::agent::ClusterSpec;
use lockstep_core::spec::fault::Fault;
use lockstep_kafka::Dial;

use crate::config;
use crate::link::watched::WatchedCluster;
use crate::pipeline::denied::by_error;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Clusters {
    dial: Arc<dyn Dial>,
    slots: Arc<Mutex<HashMap<String, Slot>>>,
}

/// What is open to one cluster, and by which words it was reached.
type Slot = Arc<tokio::sync::Mutex<Option<(ClusterSpec, WatchedCluster)>>>;

/// Why a cluster cannot be used, in words.
#[derive(Debug)]
pub(super) struct Unreachable {
    pub(super) why: String,
    pub(super) denied: Option<Denied>,
}

impl Clusters {
    pub(super) fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, slots: Arc::default() }
    }

    /// The open one, if it was reached by the same words; else a new one.
    pub(super) async fn get(
        &self,
        side: Side,
        name: &str,
        spec: &ClusterSpec,
    ) -> Result<WatchedCluster, Unreachable> {
        let slot = Arc::clone(self.slots().entry(name.to_owned()).or_default());
        let mut open = slot.lock().await;
        if let Some((by, cluster)) = &*open
            && by == spec
        {
            return Ok(cluster.clone());
        }
        let settings = config::settings(name, spec).map_err(|faults| unusable(side, name, &faults))?;
        let cluster = WatchedCluster::connect(Arc::clone(&self.dial), settings.clone()).await;
        let cluster = cluster.map_err(|error| Unreachable {
            why: format!("cannot use the cluster {name}: {error}"),
            denied: by_error(side, &settings, &error),
        })?;
        *open = Some((spec.clone(), cluster.clone()));
        Ok(cluster)
    }

    /// Lets go of clusters that no link is to use any more; links that still do keep their own handle.
    pub(super) fn keep(&self, mut used: impl FnMut(&str) -> bool) {
        self.slots().retain(|name, _| used(name));
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slot>> {
        // Nothing panics while holding it.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `denied` for secrets and certificates: an address that cannot be meant is refused by nobody.
fn unusable(side: Side, name: &str, faults: &[Fault]) -> Unreachable {
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let words = lines.join("; ");
    let of_security = faults.iter().any(|fault| !fault.key.ends_with(".bootstrap"));
    Unreachable {
        why: format!("cannot use the cluster {name}: {words}"),
        denied: of_security.then_some(Denied {
            side,
            code: Code::SecuritySettings,
            cause: Cause::Connection { words },
        }),
    }
}
