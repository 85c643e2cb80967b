//! What stands on the destination under a topic's name: partitions, settings, and who wrote last. Only reads.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::ids::{LeaderEpoch, ProducerIdentity, TopicPartition};
use lockstep_core::mirror::identity::{LastWriter, data_owner};
use lockstep_core::plan::topics::{
    COMPACTION_SETTINGS, DataOwner, DestTopic, SourceCompaction, is_set, standby_settings,
};
use lockstep_kafka::admin::{At, ConfigSource, ConfigTarget, describe_configs, list_offsets};
use lockstep_kafka::{Class, Cluster, ErrorCode};

use super::fault::TopicError;
use crate::pipeline::peek::last_batch;
use crate::pipeline::tail::Inherited;

/// Default of `delete.retention.ms` (Kafka: `TopicConfig`): a day.
const DELETE_RETENTION_MS_DEFAULT: i64 = 86_400_000;

/// A topic as the destination has it.
#[derive(Clone, Debug)]
pub struct Standing {
    partitions: usize,
    /// Set on the topic itself.
    overrides: BTreeMap<String, String>,
    /// Every setting its topics know, whatever the value.
    known_settings: BTreeSet<String>,
    /// Of the partitions that hold anything.
    pub writers: Vec<LastWriter>,
}

impl Standing {
    /// The standby settings (M20) this destination knows.
    pub fn standby_settings(&self) -> Vec<(String, String)> {
        standby_settings(|name| self.known_settings.contains(name))
    }

    /// Whether it carries every standby setting, as only a mirror's topic does.
    pub fn is_standby(&self) -> bool {
        self.standby_settings().iter().all(|(name, value)| is_set(name, value, &self.overrides))
    }

    /// The writers of what did not stand there before the last promotion.
    pub fn writers_since(&self, name: &str, inherited: &Inherited) -> Vec<LastWriter> {
        let is_newer = |writer: &&LastWriter| {
            let cut = inherited.get(&TopicPartition::new(name, writer.partition));
            cut.is_none_or(|cut| writer.offset >= cut.0)
        };
        self.writers.iter().filter(is_newer).copied().collect()
    }

    /// `inherited`: whose last records are no stranger's although another producer wrote them (M27).
    pub fn into_dest_topic(
        self,
        name: &str,
        ours: Option<ProducerIdentity>,
        inherited: &Inherited,
    ) -> DestTopic {
        let since = self.writers_since(name, inherited);
        let data = match data_owner(&since, ours) {
            DataOwner::Nobody if !self.writers.is_empty() => DataOwner::ThisLink,
            owner => owner,
        };
        DestTopic { partitions: self.partitions, overrides: self.overrides, data }
    }
}

/// Reads one topic; `None` if the destination has none of that name.
pub async fn read_topic(dest: &Cluster, name: &str) -> Result<Option<Standing>, TopicError> {
    let metadata = dest.metadata();
    let Some(topic) = metadata.topics.get(name) else { return Ok(None) };
    let configs = describe_configs(dest, &[ConfigTarget::Topic(name.to_owned())]).await?;
    let entries = match configs.into_iter().next() {
        Some((_, Ok(entries))) => entries,
        Some((_, Err((code, detail)))) => {
            let what = "describing the settings of";
            return Err(TopicError::Refused { what, topic: name.to_owned(), code, detail });
        }
        None => Vec::new(),
    };
    let known_settings = entries.iter().map(|entry| entry.name.clone()).collect();
    let overrides = entries
        .into_iter()
        .filter(|entry| entry.source == ConfigSource::DynamicTopic)
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect();
    let writers = last_writers(dest, name, topic.partitions.len()).await?;
    Ok(Some(Standing { partitions: topic.partitions.len(), overrides, known_settings, writers }))
}

/// Whether the source compacts a topic. A source that does not let us read its settings counts as one that does not:
/// then holes are filled by markers and the mirror stays uncompacted, which is right, only larger.
pub async fn source_compaction(source: &Cluster, name: &str) -> Result<SourceCompaction, TopicError> {
    let configs = describe_configs(source, &[ConfigTarget::Topic(name.to_owned())]).await?;
    let entries = match configs.into_iter().next() {
        Some((_, Ok(entries))) => entries,
        Some((_, Err((code, _)))) => {
            tracing::warn!(topic = name, %code, "the source does not tell the topic's settings: taken as uncompacted");
            return Ok(SourceCompaction::Off);
        }
        None => return Ok(SourceCompaction::Off),
    };
    let policy = entries.iter().find(|entry| entry.name == "cleanup.policy");
    let compacts =
        policy.and_then(|entry| entry.value.as_ref()).is_some_and(|value| value.contains("compact"));
    if !compacts {
        return Ok(SourceCompaction::Off);
    }
    let retention = entries.iter().find(|entry| entry.name == "delete.retention.ms");
    let delete_retention_ms =
        retention.and_then(|entry| entry.value.as_ref()?.parse().ok()).unwrap_or(DELETE_RETENTION_MS_DEFAULT);
    let own = entries.into_iter().filter(|entry| {
        entry.source == ConfigSource::DynamicTopic && COMPACTION_SETTINGS.contains(&entry.name.as_str())
    });
    let settings = own.filter_map(|entry| Some((entry.name, entry.value?))).collect();
    Ok(SourceCompaction::On { settings, delete_retention_ms })
}

/// The standby settings for a topic that is yet to be created: brokers carry the same ones with a `log.` prefix.
pub async fn settings_for_new_topics(dest: &Cluster) -> Result<Vec<(String, String)>, TopicError> {
    let node = dest.metadata().brokers.keys().next().copied();
    let Some(node) = node else { return Ok(standby_settings(|_| false)) };
    let configs = describe_configs(dest, &[ConfigTarget::Broker(node)]).await?;
    let entries = configs.into_iter().filter_map(|(_, entries)| entries.ok()).flatten();
    let known: BTreeSet<String> = entries.map(|entry| entry.name).collect();
    Ok(standby_settings(|name| known.contains(&format!("log.{name}"))))
}

async fn last_writers(dest: &Cluster, name: &str, partitions: usize) -> Result<Vec<LastWriter>, TopicError> {
    let moving = |why: String| TopicError::Moving { topic: name.to_owned(), why };
    let mut writers = Vec::new();
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        let tp = TopicPartition::new(name, partition);
        let Some((node, _)) = dest.metadata().leader(&tp) else {
            return Err(moving(format!("partition {partition} has no leader")));
        };
        let connection = dest.connection(node).await?;
        let ask = [(tp.clone(), LeaderEpoch::UNKNOWN)];
        let start = one_offset(name, list_offsets(&connection, &ask, At::Earliest).await?)?;
        let end = one_offset(name, list_offsets(&connection, &ask, At::Latest).await?)?;
        if end <= start {
            continue;
        }
        // Markers are no data: they may be those of empty transactions (M15).
        let batch = last_batch(dest, &tp, start, end).await;
        let Some(batch) = batch.map_err(|trouble| moving(trouble.text))? else { continue };
        let header = batch.header();
        let producer = ProducerIdentity { id: header.producer_id(), epoch: header.producer_epoch() };
        writers.push(LastWriter { partition, offset: header.base_offset(), producer });
    }
    Ok(writers)
}

fn one_offset(
    topic: &str,
    answers: Vec<(TopicPartition, Result<i64, ErrorCode>)>,
) -> Result<i64, TopicError> {
    let topic = topic.to_owned();
    match answers.into_iter().next() {
        Some((_, Ok(offset))) => Ok(offset),
        Some((_, Err(code))) if code.class() == Class::Retry => {
            Err(TopicError::Moving { topic, why: code.to_string() })
        }
        Some((_, Err(code))) => Err(TopicError::Unreadable { topic, why: code.to_string() }),
        None => Err(TopicError::Unreadable { topic, why: "no answer".to_owned() }),
    }
}
