//! Connections to fetch over: one per reader, since a broker serves a connection one request at a time.
//! Handed back when a reader is done, so that a thousand partitions need as many as run at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::ids::{NodeId, TopicId};
use lockstep_kafka::{Cluster, Connection, Error, Metadata};

/// The fetch connections to one cluster. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) cluster: Cluster,
    /// As it was when the topics were listed.
    began: Arc<Metadata>,
    idle: Arc<Mutex<Vec<(NodeId, Connection)>>>,
    /// Somebody lost patience with the cluster, and it has not answered since.
    given_up: Arc<AtomicBool>,
}

impl Connections {
    pub(super) fn new(cluster: Cluster) -> Self {
        let began = cluster.metadata();
        Self { cluster, began, idle: Arc::default(), given_up: Arc::default() }
    }

    /// The metadata with which the comparison began: another topic of the same name is not what was asked about.
    pub(super) fn began(&self) -> &Metadata {
        &self.began
    }

    /// The topic's id at that time; [`TopicId::ZERO`] where the cluster has none.
    pub(super) fn topic_id(&self, topic: &str) -> TopicId {
        self.began.topics.get(topic).map_or(TopicId::ZERO, |topic| topic.id)
    }

    /// Whether waiting has been tried, in vain: a thousand partitions shall not wait one after the other.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// A broker answered a fetch.
    pub(super) fn answered(&self) {
        self.given_up.store(false, Ordering::Relaxed);
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
