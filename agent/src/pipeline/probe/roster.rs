//! Who is asked about which partitions, as the last metadata have it: made once, good for every round until a leader moves
//! or a partition comes or goes. Thousands of partitions in which nothing happens are the usual case, and each round over
//! them should cost no more than its questions. Decides nothing; a partition without a leader is asked of nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::ids::{LeaderEpoch, NodeId, TopicPartition};
use lockstep_kafka::admin::EpochQuestion;
use lockstep_kafka::{Cluster, Metadata};

use crate::pipeline::names::Twin;
use crate::pipeline::routes::by_leader_as_of;

/// See the module's description.
#[derive(Debug)]
pub struct Roster {
    source: Arc<Metadata>,
    dest: Arc<Metadata>,
    /// Log ends, by source broker.
    pub(super) source_ends: Vec<(NodeId, Vec<EpochQuestion>)>,
    /// High watermarks, by destination broker.
    pub(super) dest_ends: Vec<(NodeId, AtDest)>,
    /// Topics that a side's metadata do not list, as that side calls them, with the partitions they concern.
    pub(super) source_unlisted: Unlisted,
    pub(super) dest_unlisted: Unlisted,
}

/// Partitions of one destination broker: as it calls them, and in the same order as we do.
#[derive(Debug, Default)]
pub(super) struct AtDest {
    pub(super) asked: Vec<(TopicPartition, LeaderEpoch)>,
    pub(super) ours: Vec<TopicPartition>,
}

pub(super) type Unlisted = BTreeMap<Arc<str>, Vec<TopicPartition>>;

impl Roster {
    /// `source_only`: partitions that the standby holds nothing of.
    pub fn new<'a>(
        (source, dest): (&Cluster, &Cluster),
        partitions: &'a [Twin],
        source_only: impl Iterator<Item = &'a TopicPartition>,
    ) -> Self {
        let (of_source, of_dest) = (source.metadata(), dest.metadata());
        let at_source =
            by_leader_as_of(&of_source, partitions.iter().map(|twin| &twin.source).chain(source_only));
        let question = |(tp, epoch)| EpochQuestion { tp, current: epoch, asked: epoch };
        let mut at_dest: BTreeMap<NodeId, AtDest> = BTreeMap::new();
        for twin in partitions {
            if let Some((node, epoch)) = of_dest.leader(twin.dest.there()) {
                let at = at_dest.entry(node).or_default();
                at.asked.push((twin.dest.there().clone(), epoch));
                at.ours.push(twin.source.clone());
            }
        }
        let (mut source_unlisted, mut dest_unlisted) = (Unlisted::new(), Unlisted::new());
        for twin in partitions {
            for (name, metadata, unlisted) in [
                (&twin.source.topic, &of_source, &mut source_unlisted),
                (twin.dest.topic(), &of_dest, &mut dest_unlisted),
            ] {
                if !metadata.topics.contains_key(name) {
                    unlisted.entry(Arc::clone(name)).or_default().push(twin.source.clone());
                }
            }
        }
        let source_ends = at_source
            .into_iter()
            .map(|(node, group)| (node, group.into_iter().map(question).collect()))
            .collect();
        let dest_ends = at_dest.into_iter().collect();
        Self { source: of_source, dest: of_dest, source_ends, dest_ends, source_unlisted, dest_unlisted }
    }

    /// Whether it still says what the clusters' metadata say; the same `Arc` means that nothing has changed.
    pub fn is_current(&self, source: &Cluster, dest: &Cluster) -> bool {
        Arc::ptr_eq(&self.source, &source.metadata()) && Arc::ptr_eq(&self.dest, &dest.metadata())
    }
}
