//! What clusters tell of their topics' settings, in the words of `core::plan`. Only reads; many topics per request.

use std::collections::BTreeSet;

use lockstep_core::plan::configs::{Own, SourceSettings};
use lockstep_core::plan::topics::SourceCompaction;
use lockstep_kafka::admin::{
    ConfigEntry, ConfigSource, ConfigTarget, TopicConfigs, ask_topic_configs, describe_configs,
};
use lockstep_kafka::{Api, Cluster, Error, ErrorCode, MissingPermission};

use super::fault::TopicError;

/// Default of `delete.retention.ms` (Kafka: `TopicConfig`): a day.
const DELETE_RETENTION_MS_DEFAULT: i64 = 86_400_000;
/// Topics in one request: some 200 kB of an answer.
const TOPICS_PER_REQUEST: usize = 200;

/// A topic's settings, or why they cannot be read, with the missing right if that is the cause.
pub(super) type Described = Result<Vec<ConfigEntry>, String>;

/// Settings of many topics; `fields`: these alone.
pub(super) async fn describe_many(
    cluster: &Cluster,
    topics: &[&str],
    fields: Option<&[String]>,
) -> Result<Vec<Described>, Error> {
    ask_many(cluster, topics, fields).await?.read(cluster)
}

/// What a cluster said of many topics, not looked into yet.
pub(super) struct Told {
    answers: Vec<TopicConfigs>,
}

/// The question of [`describe_many`].
pub(super) async fn ask_many(
    cluster: &Cluster,
    topics: &[&str],
    fields: Option<&[String]>,
) -> Result<Told, Error> {
    let mut answers = Vec::with_capacity(topics.len().div_ceil(TOPICS_PER_REQUEST));
    for part in topics.chunks(TOPICS_PER_REQUEST) {
        answers.push(ask_topic_configs(cluster, part, fields).await?);
    }
    Ok(Told { answers })
}

impl Told {
    /// The same where a cluster says the same of the same topics.
    pub(super) fn fingerprints(&self) -> Vec<u64> {
        self.answers.iter().map(TopicConfigs::fingerprint).collect()
    }

    /// Each topic's settings, in the order asked.
    pub(super) fn read(self, cluster: &Cluster) -> Result<Vec<Described>, Error> {
        let mut described = Vec::new();
        for answer in self.answers {
            for (topic, entries) in answer.read()? {
                described.push(
                    entries.map_err(|(code, words)| {
                        refusal(cluster, Api::DescribeConfigs, code, &words, &topic)
                    }),
                );
            }
        }
        Ok(described)
    }
}

/// A code in words, with the missing right if that is the cause.
pub(super) fn refusal(cluster: &Cluster, api: Api, code: ErrorCode, words: &str, topic: &str) -> String {
    let words = if *words == code.name() { String::new() } else { format!(": {words}") };
    format!("{code}{words}{}", MissingPermission::aside(cluster.settings(), api, code, topic))
}

/// What is set on the topic itself.
pub(super) fn own(entries: &[ConfigEntry]) -> Own {
    let own = entries.iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?))).collect()
}

pub(super) fn names(entries: &[ConfigEntry]) -> BTreeSet<String> {
    entries.iter().map(|entry| entry.name.clone()).collect()
}

/// What a source topic's settings mean to its mirror.
pub(super) fn source_settings(entries: &[ConfigEntry]) -> SourceSettings {
    let value = |name: &str| entries.iter().find(|entry| entry.name == name)?.value.as_deref();
    let compaction = match value("cleanup.policy") {
        Some(policy) if policy.contains("compact") => {
            let retention = value("delete.retention.ms").and_then(|text| text.parse().ok());
            SourceCompaction::On { delete_retention_ms: retention.unwrap_or(DELETE_RETENTION_MS_DEFAULT) }
        }
        _ => SourceCompaction::Off,
    };
    SourceSettings { own: own(entries), compaction }
}

/// The settings of one source topic. `None`: the source does not let us read them. Then the topic is taken as
/// uncompacted: holes are filled by markers and the mirror stays uncompacted, which is right, only larger.
pub(super) async fn read_source(source: &Cluster, name: &str) -> Result<Option<SourceSettings>, TopicError> {
    let configs = describe_configs(source, &[ConfigTarget::Topic(name.to_owned())]).await?;
    match configs.into_iter().next() {
        Some((_, Ok(entries))) => Ok(Some(source_settings(&entries))),
        Some((_, Err((code, words)))) => {
            let why = refusal(source, Api::DescribeConfigs, code, &words, name);
            tracing::warn!(
                topic = name,
                "the source does not tell the topic's settings: taken as uncompacted: {why}"
            );
            Ok(None)
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
        ConfigEntry { name: name.to_owned(), value: Some(value.to_owned()), source, sensitive: false }
    }

    #[test]
    fn the_policy_counts_inherited_or_not_the_rest_only_if_it_is_the_topics_own() {
        let inherited = entry("cleanup.policy", "compact", ConfigSource::DynamicDefaultBroker);
        let retention = entry("delete.retention.ms", "7", ConfigSource::StaticBroker);
        let segment = entry("segment.ms", "5", ConfigSource::DynamicTopic);
        let settings = source_settings(&[inherited, retention, segment]);
        assert_eq!(settings.compaction, SourceCompaction::On { delete_retention_ms: 7 });
        assert_eq!(settings.own, Own::from([("segment.ms".to_owned(), "5".to_owned())]));
        let plain = source_settings(&[entry("cleanup.policy", "delete", ConfigSource::DynamicTopic)]);
        assert_eq!(plain.compaction, SourceCompaction::Off);
    }
}
