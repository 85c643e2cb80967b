//! One cluster of a link: which of its topics belong to the link, what its passport says, who must stay able to write.
//! Promises: what is read is read anew; the passport is written before the act it tells of.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_core::dr::fence::Exempt;
use lockstep_core::dr::passport::{ChangesRecord, CutRecord, Entry, Key, LinkRecord, Passport};
use lockstep_core::ids::{NodeId, TopicPartition};
use lockstep_kafka::{Cluster, Metadata};

use super::fault::DriverError;
use crate::passport;

/// See the module's description.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) link: String,
    pub(super) exempt: Exempt,
}

impl Site {
    pub(super) async fn passport(&self) -> Result<Passport, DriverError> {
        self.cluster.refresh().await?;
        Ok(passport::read(&self.cluster, &self.link).await?)
    }

    pub(super) async fn note_link(&self, record: LinkRecord) -> Result<(), DriverError> {
        self.write(vec![(Key::Link { link: self.link.clone() }, Entry::Link(record))]).await
    }

    pub(super) async fn note_changes(&self, record: ChangesRecord) -> Result<(), DriverError> {
        self.write(vec![(Key::Changes { link: self.link.clone() }, Entry::Changes(record))]).await
    }

    pub(super) async fn note_cuts<'a>(
        &self,
        cuts: impl Iterator<Item = (&'a TopicPartition, CutRecord)>,
    ) -> Result<(), DriverError> {
        let entries = cuts.map(|(tp, record)| {
            let (topic, partition) = (tp.topic.to_string(), tp.partition);
            (Key::Cut { link: self.link.clone(), topic, partition }, Entry::Cut(record))
        });
        self.write(entries.collect()).await
    }

    async fn write(&self, entries: Vec<(Key, Entry)>) -> Result<(), DriverError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now_ms = i64::try_from(now).unwrap_or(i64::MAX);
        Ok(passport::write(&self.cluster, &entries, now_ms).await?)
    }
}

/// All partitions of these topics that the cluster has.
pub(super) fn partitions(metadata: &Metadata, topics: &BTreeSet<String>) -> Vec<TopicPartition> {
    let found = metadata.topics.iter().filter(|(name, _)| topics.contains(&***name));
    found
        .flat_map(|(name, topic)| {
            topic.partitions.iter().map(|partition| TopicPartition::new(name.clone(), partition.partition))
        })
        .collect()
}

/// The brokers that lead any of them.
pub(super) fn leaders(metadata: &Metadata, partitions: &[TopicPartition]) -> BTreeSet<NodeId> {
    partitions.iter().filter_map(|tp| metadata.leader(tp)).map(|(node, _)| node).collect()
}
