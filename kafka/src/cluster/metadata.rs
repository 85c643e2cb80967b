//! The metadata of a cluster: who leads what, under which address. One request, one conversion.
//! Promises: partitions are sorted by index; sentinels of the wire (−1, null, nil) become `None`.
//! Never lets the broker create a topic because we asked about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use lockstep_core::ids::{LeaderEpoch, NodeId, TopicId, TopicPartition};

use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::settings::HostPort;
use crate::versions::Api;

/// Topics asked for by name, each with what the broker says against it.
pub type NamedTopics = Vec<(Arc<str>, Option<ErrorCode>)>;

/// A cluster at one moment, as one broker sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    pub cluster_id: String,
    pub controller: Option<NodeId>,
    pub brokers: BTreeMap<NodeId, Broker>,
    /// All topics we may see, internal ones included.
    pub topics: BTreeMap<Arc<str>, Topic>,
}

/// A broker's advertised address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub host: Arc<str>,
    pub port: u16,
    pub rack: Option<String>,
}

/// A topic and its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// [`TopicId::ZERO`] below Kafka 2.8.
    pub id: TopicId,
    /// Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    pub error: Option<ErrorCode>,
    /// Sorted by index, without gaps unless the broker leaves some out.
    pub partitions: Vec<PartitionMeta>,
}

/// Who holds a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMeta {
    pub partition: i32,
    pub leader: Option<NodeId>,
    /// [`LeaderEpoch::UNKNOWN`] below Kafka 2.1.
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub error: Option<ErrorCode>,
}

impl Metadata {
    /// The same cluster in the same state. A KRaft broker names any live broker as controller, another one each time.
    pub(super) fn says_the_same(&self, new: &Self) -> bool {
        self.brokers == new.brokers
            && self.topics == new.topics
            && self.cluster_id == new.cluster_id
            && self.controller.is_some_and(|node| new.brokers.contains_key(&node))
    }
}

impl Broker {
    #[must_use]
    pub fn address(&self) -> HostPort {
        HostPort { host: Arc::clone(&self.host), port: self.port }
    }
}

impl Metadata {
    /// The partition's leader and the epoch of its leadership; `None` while it has none, or is not known.
    #[must_use]
    pub fn leader(&self, tp: &TopicPartition) -> Option<(NodeId, LeaderEpoch)> {
        let partition = self.partition(tp)?;
        Some((partition.leader?, partition.leader_epoch))
    }

    #[must_use]
    pub fn partition(&self, tp: &TopicPartition) -> Option<&PartitionMeta> {
        let partitions = &self.topics.get(&tp.topic)?.partitions;
        let at = partitions.binary_search_by_key(&tp.partition, |partition| partition.partition).ok()?;
        partitions.get(at)
    }

    /// The name of the topic with this id. Looks through all topics.
    #[must_use]
    pub fn topic_name(&self, id: &TopicId) -> Option<Arc<str>> {
        let (name, _) = self.topics.iter().find(|(_, topic)| topic.id == *id && id.is_known())?;
        Some(Arc::clone(name))
    }
}

/// Asks one broker about all topics.
pub(super) async fn ask(connection: &Connection) -> Result<Metadata, Error> {
    let version = connection.version(Api::Metadata)?;
    // `None` means all topics; the library's default, an empty list, would mean none.
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let answer = connection.call(Api::Metadata, version, &request, connection.request_timeout()).await?;
    convert(answer).map_err(|why| connection.protocol(Api::Metadata, why))
}

/// What one broker says to these names, one by one. The list of all topics leaves out what we may not see; asked by
/// name, a topic that is gone and one that we may not see have different codes (Kafka: `KafkaApis`, Metadata).
pub(super) async fn ask_names(connection: &Connection, names: &[Arc<str>]) -> Result<NamedTopics, Error> {
    let version = connection.version(Api::Metadata)?;
    let topics =
        names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(wire_text(name)))));
    let request =
        MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(false);
    let answer = connection.call(Api::Metadata, version, &request, connection.request_timeout()).await?;
    let named = answer.topics.iter().filter_map(|topic| {
        let name: Arc<str> = Arc::from(topic.name.as_ref()?.as_str());
        Some((name, ErrorCode::from_wire(topic.error_code)))
    });
    Ok(named.collect())
}

fn convert(answer: MetadataResponse) -> Result<Metadata, String> {
    let cluster_id = answer.cluster_id.ok_or("the answer names no cluster id")?.to_string();
    let mut brokers = BTreeMap::new();
    for broker in &answer.brokers {
        let port = u16::try_from(broker.port).map_err(|_| format!("{} is no port", broker.port))?;
        let rack = broker.rack.as_ref().map(|rack| rack.to_string());
        brokers.insert(NodeId(broker.node_id.0), Broker { host: Arc::from(&*broker.host), port, rack });
    }
    if brokers.is_empty() {
        return Err("the answer names no broker; it may still be starting".to_owned());
    }
    let topics = answer.topics.iter().filter_map(topic).collect();
    Ok(Metadata { cluster_id, controller: node(answer.controller_id), brokers, topics })
}

/// A topic without a name was asked for by an id nobody knows; we never ask by id.
fn topic(topic: &MetadataResponseTopic) -> Option<(Arc<str>, Topic)> {
    let name: Arc<str> = Arc::from(topic.name.as_ref()?.as_str());
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.partition);
    let topic = Topic {
        id: TopicId(*topic.topic_id.as_bytes()),
        internal: topic.is_internal,
        error: ErrorCode::from_wire(topic.error_code),
        partitions,
    };
    Some((name, topic))
}

fn partition(partition: &MetadataResponsePartition) -> PartitionMeta {
    let all = |nodes: &[BrokerId]| nodes.iter().map(|node| NodeId(node.0)).collect();
    PartitionMeta {
        partition: partition.partition_index,
        leader: node(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        replicas: all(&partition.replica_nodes),
        isr: all(&partition.isr_nodes),
        error: ErrorCode::from_wire(partition.error_code),
    }
}

fn node(id: BrokerId) -> Option<NodeId> {
    (id.0 >= 0).then_some(NodeId(id.0))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn answer() -> MetadataResponse {
        let partition = |index, leader: i32| {
            MetadataResponsePartition::default()
                .with_partition_index(index)
                .with_leader_id(leader.into())
                .with_leader_epoch(7)
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("orders"))))
            .with_topic_id(uuid::Uuid::from_u128(5))
            .with_partitions(vec![partition(2, 1), partition(0, 1), partition(1, -1).with_error_code(5)]);
        let broker = MetadataResponseBroker::default()
            .with_host(StrBytes::from_static_str("b1"))
            .with_port(9092)
            .with_rack(Some(StrBytes::from_static_str("r1")));
        MetadataResponse::default()
            .with_cluster_id(Some(StrBytes::from_static_str("c")))
            .with_controller_id((-1).into())
            .with_brokers(vec![broker.with_node_id(1.into())])
            .with_topics(vec![topic, MetadataResponseTopic::default().with_name(None)])
    }

    #[test]
    fn leaders_are_found_and_sentinels_become_none() {
        let metadata = convert(answer()).unwrap();
        let leader = |index| metadata.leader(&TopicPartition::new("orders", index));
        assert_eq!(leader(0), Some((NodeId(1), LeaderEpoch(7))));
        assert_eq!(leader(1), None, "a partition without a leader");
        assert_eq!(leader(2), Some((NodeId(1), LeaderEpoch(7))));
        assert_eq!(leader(3), None);
        assert_eq!(metadata.controller, None);
        let id = TopicId(*uuid::Uuid::from_u128(5).as_bytes());
        assert_eq!(metadata.topic_name(&id).as_deref(), Some("orders"));
        assert_eq!(metadata.topic_name(&TopicId::ZERO), None);
        assert_eq!(metadata.topics.len(), 1);
        assert_eq!(metadata.brokers[&NodeId(1)].rack.as_deref(), Some("r1"));
    }

    #[test]
    fn an_answer_without_brokers_or_cluster_is_refused() {
        assert!(convert(answer().with_brokers(Vec::new())).is_err());
        assert!(convert(answer().with_cluster_id(None)).is_err());
    }
}
