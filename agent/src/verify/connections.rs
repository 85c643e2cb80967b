//! Connections to fetch over: one per reader, since a broker serves a connection one request at a time.
//! Handed back when a reader is done, so that a thousand partitions need as many as run at once.

use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::ids::NodeId;
use lockstep_kafka::{Cluster, Connection, Error};

/// The fetch connections to one cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) cluster: Cluster,
    idle: Arc<Mutex<Vec<(NodeId, Connection)>>>,
}

impl Connections {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, idle: Arc::default() }
    }

    /// An open connection to `node` that nobody else uses.
    pub(super) async fn take(&self, node: NodeId) -> Result<Connection, Error> {
        match self.take_idle(node) {
            Some(connection) => Ok(connection),
            None => self.cluster.dedicated(node).await,
        }
    }

    /// For the next reader.
    pub(super) fn give_back(&self, node: NodeId, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((node, connection));
    }

    fn take_idle(&self, node: NodeId) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, connection)| connection.is_open());
        let at = idle.iter().position(|(to, _)| *to == node)?;
        Some(idle.swap_remove(at).1)
    }
}
