//! What stands on the destination under a topic's name: partitions, settings, and who wrote last. Only reads.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::ids::{LeaderEpoch, ProducerIdentity, TopicPartition};
use lockstep_core::mirror::identity::{LastWriter, data_owner};
use lockstep_core::plan::owners::FIELDS;
use lockstep_core::plan::topics::{DataOwner, DestTopic, is_set, standby_settings};
use lockstep_kafka::admin::{At, ConfigTarget, describe_configs, list_offsets};
use lockstep_kafka::{Class, Cluster, ErrorCode};

use super::described::{names, own};
use super::fault::{READING_ENDS, TopicError};
use crate::pipeline::peek::last_batch;
use crate::pipeline::tail::Inherited;

/// A topic as the destination has it.
#[derive(Clone, Debug)]
pub struct Standing {
    partitions: usize,
    /// Set on the topic itself.
    pub(super) overrides: BTreeMap<String, String>,
    /// Every setting its topics know, whatever the value.
    pub(super) known_settings: BTreeSet<String>,
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
    let (known_settings, overrides) = (names(&entries), own(&entries));
    let writers = last_writers(dest, name, topic.partitions.len()).await?;
    Ok(Some(Standing { partitions: topic.partitions.len(), overrides, known_settings, writers }))
}

/// The standby settings for a topic that is yet to be created (brokers carry the same ones with a `log.` prefix), and what
/// else its brokers' topics have.
pub(super) async fn for_new_topics(
    dest: &Cluster,
) -> Result<(Vec<(String, String)>, BTreeSet<String>), TopicError> {
    let node = dest.metadata().brokers.keys().next().copied();
    let described = match node {
        Some(node) => describe_configs(dest, &[ConfigTarget::Broker(node)]).await?,
        None => Vec::new(),
    };
    let entries = described.into_iter().filter_map(|(_, entries)| entries.ok()).flatten();
    let broker: BTreeSet<String> = entries.map(|entry| entry.name).collect();
    let knows = |name: &str| broker.contains(&format!("log.{name}"));
    // Every destination has what the source owns, but for the levels of KIP-390 (3.8), which go by the same name.
    let names = FIELDS.iter().map(|field| field.name.to_owned());
    let topics = names.filter(|name| !name.ends_with(".level") || broker.contains(name)).collect();
    Ok((standby_settings(knows), topics))
}

/// Who wrote the last data of each partition that holds any.
pub(super) async fn last_writers(
    dest: &Cluster,
    name: &str,
    partitions: usize,
) -> Result<Vec<LastWriter>, TopicError> {
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
        Some((_, Err(code))) if code.is_missing_permission() => {
            let detail = "not allowed".to_owned();
            Err(TopicError::Refused { what: READING_ENDS, topic, code, detail })
        }
        Some((_, Err(code))) => Err(TopicError::Unreadable { topic, why: code.to_string() }),
        None => Err(TopicError::Unreadable { topic, why: "no answer".to_owned() }),
    }
}
