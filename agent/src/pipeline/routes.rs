//! Which broker each partition is fetched from and written to, as the last metadata said.
//! A partition without a leader keeps no route: it is neither fetched nor written until it has one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lockstep_core::ids::{LeaderEpoch, NodeId, TopicId, TopicPartition};
use lockstep_kafka::{Cluster, Metadata};

use super::names::DestPartition;

/// The partitions of one leader, each with the epoch under which it leads.
pub type ByLeader = BTreeMap<NodeId, Vec<(TopicPartition, LeaderEpoch)>>;

/// Groups partitions by their present leader. Those without one are left out.
pub fn by_leader<'a>(cluster: &Cluster, partitions: impl Iterator<Item = &'a TopicPartition>) -> ByLeader {
    by_leader_as_of(&cluster.metadata(), partitions)
}

/// The same, as these metadata have it.
pub fn by_leader_as_of<'a>(
    metadata: &Metadata,
    partitions: impl Iterator<Item = &'a TopicPartition>,
) -> ByLeader {
    let mut groups = ByLeader::new();
    for tp in partitions {
        if let Some((node, epoch)) = metadata.leader(tp) {
            groups.entry(node).or_default().push((tp.clone(), epoch));
        }
    }
    groups
}

/// Where to fetch a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRoute {
    pub node: NodeId,
    pub epoch: LeaderEpoch,
    pub topic_id: TopicId,
}

/// Routes of all partitions of a link.
#[derive(Debug, Default)]
pub struct Routes {
    source: HashMap<TopicPartition, SourceRoute>,
    by_source: BTreeMap<NodeId, BTreeSet<TopicPartition>>,
    dest: HashMap<TopicPartition, NodeId>,
}

impl Routes {
    /// Takes over the source's leaders for these partitions.
    pub fn follow_source<'a>(
        &mut self,
        metadata: &Metadata,
        partitions: impl Iterator<Item = &'a TopicPartition>,
    ) {
        for tp in partitions {
            let route = metadata.leader(tp).and_then(|(node, epoch)| {
                let topic_id = metadata.topics.get(&tp.topic)?.id;
                Some(SourceRoute { node, epoch, topic_id })
            });
            self.set_source(tp, route);
        }
    }

    /// Takes over the destination's leaders for these partitions, each by both its names.
    pub fn follow_dest<'a>(
        &mut self,
        metadata: &Metadata,
        partitions: impl Iterator<Item = (&'a TopicPartition, &'a DestPartition)>,
    ) {
        for (tp, dest) in partitions {
            match metadata.leader(dest.there()) {
                Some((node, _)) => self.dest.insert(tp.clone(), node),
                None => self.dest.remove(tp),
            };
        }
    }

    /// No more fetches for this partition, and where it was fetched from.
    pub fn drop_source(&mut self, tp: &TopicPartition) -> Option<SourceRoute> {
        let before = self.source(tp);
        self.set_source(tp, None);
        before
    }

    pub fn source(&self, tp: &TopicPartition) -> Option<SourceRoute> {
        self.source.get(tp).copied()
    }

    pub fn dest(&self, tp: &TopicPartition) -> Option<NodeId> {
        self.dest.get(tp).copied()
    }

    /// The source brokers that lead anything of ours.
    pub fn source_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.by_source.keys().copied()
    }

    /// The partitions to be fetched from one broker.
    pub fn led_by(&self, node: NodeId) -> impl Iterator<Item = &TopicPartition> {
        self.by_source.get(&node).into_iter().flatten()
    }

    fn set_source(&mut self, tp: &TopicPartition, route: Option<SourceRoute>) {
        let before = match route {
            Some(route) => self.source.insert(tp.clone(), route),
            None => self.source.remove(tp),
        };
        if before.map(|r| r.node) == route.map(|r| r.node) {
            return;
        }
        if let Some(SourceRoute { node, .. }) = before
            && let Some(led) = self.by_source.get_mut(&node)
        {
            led.remove(tp);
            if led.is_empty() {
                self.by_source.remove(&node);
            }
        }
        if let Some(SourceRoute { node, .. }) = route {
            self.by_source.entry(node).or_default().insert(tp.clone());
        }
    }
}
