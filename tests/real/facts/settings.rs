//! What is set on a standby topic (M20), that it does what it is set for, and what else the product sets or reads.

use std::collections::BTreeMap;

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_core::mirror::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use lockstep_core::plan::topics::standby_settings;
use lockstep_kafka::admin::{
    ConfigEntry, ConfigSource, ConfigTarget, NewTopic, create_partitions, create_topics, describe_configs,
    incremental_alter_configs,
};
use lockstep_kafka::{Cluster, ErrorCode};
use lockstep_testkit::{pair, unique, wait_until_async};

use super::PATIENCE;
use super::batches::{Batch, DAY_MS, now_ms};
use super::log::{Log, connect, stranger};
use super::stages::veteran;

async fn described(cluster: &Cluster, target: ConfigTarget) -> Vec<ConfigEntry> {
    describe_configs(cluster, &[target]).await.unwrap().remove(0).1.unwrap()
}

/// What is set on the topic itself.
async fn own_settings(cluster: &Cluster, topic: &str) -> BTreeMap<String, String> {
    let all = described(cluster, ConfigTarget::Topic(topic.to_owned())).await;
    let own = all.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
    own.map(|entry| (entry.name, entry.value.unwrap())).collect()
}

/// The standby settings that this cluster's brokers know, found as `agent/src/link/topics.rs` finds them.
async fn standby(cluster: &Cluster) -> BTreeMap<String, String> {
    let node = *cluster.metadata().brokers.keys().next().unwrap();
    let known = described(cluster, ConfigTarget::Broker(node)).await;
    let knows = |name: &str| known.iter().any(|entry| entry.name == format!("log.{name}"));
    assert!(knows("message.timestamp.before.max.ms"), "brokers carry topic settings under `log.`");
    standby_settings(knows).into_iter().collect()
}

async fn create(cluster: &Cluster, name: &str, configs: BTreeMap<String, String>) -> Result<(), ErrorCode> {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication_factor: -1,
        configs: configs.into_iter().collect(),
    };
    let created = create_topics(cluster, &[topic], PATIENCE, false).await.unwrap().remove(0).1;
    created.map(drop).map_err(|(code, _)| code)
}

/// M20: every standby setting is accepted at creation, with the broker's own replication factor (KIP-464), and read
/// back as the topic's own. Relied on by `core/src/plan/topics.rs` and `agent/src/link/topics.rs`.
#[tokio::test]
async fn standby_settings_are_accepted_at_creation() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let (topic, standby) = (unique("standby"), standby(&cluster).await);
    create(&cluster, &topic, standby.clone()).await.unwrap();
    assert_eq!(own_settings(&cluster, &topic).await, standby);
    let exists = create(&cluster, &topic, standby).await;
    assert_eq!(exists, Err(ErrorCode::TOPIC_ALREADY_EXISTS), "told apart from other refusals");
}

/// M20: and by a topic that exists, one by one, leaving its other settings alone. Relied on by
/// `agent/src/link/topics.rs` (adopting).
#[tokio::test]
async fn standby_settings_are_accepted_by_a_topic_that_exists() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let (topic, standby) = (unique("adopted"), standby(&cluster).await);
    let other = ("segment.bytes".to_owned(), "16777216".to_owned());
    let before = [other.clone(), ("cleanup.policy".to_owned(), "compact".to_owned())];
    create(&cluster, &topic, before.into()).await.unwrap();
    let changes: Vec<_> = standby.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
    incremental_alter_configs(&cluster, &topic, &changes).await.unwrap();
    let expected: BTreeMap<_, _> = standby.into_iter().chain([other]).collect();
    wait_until_async("the settings to show", PATIENCE, async || {
        (own_settings(&cluster, &topic).await == expected).then_some(())
    })
    .await;
}

/// M20: with the bounds open a record of any time passes; without, old or future ones are refused. Relied on by
/// `core/src/plan/topics.rs`.
#[tokio::test]
async fn a_standby_topic_takes_records_of_any_time() {
    let bootstrap = pair().destination.bootstrap();
    let log = Log::create(&bootstrap, "any-time").await;
    let now = now_ms();
    for timestamp in [-1, 0, 1, now - 3_650 * DAY_MS, now, now + 3_650 * DAY_MS, i64::MAX] {
        let end = log.end().await;
        let appended = log.append(&Batch::new(stranger(0), 0, 2).at(timestamp)).await;
        assert_eq!(appended, Ok(end), "{timestamp}");
    }
    let written: Vec<_> = log.batches().await.iter().map(|batch| batch.header().max_timestamp()).collect();
    assert_eq!(written.len(), 7);
    assert_eq!((written[0], written[6]), (-1, i64::MAX), "kept as they were");

    let (cluster, topic) = (connect(&bootstrap).await, unique("bounded"));
    let bound = ("message.timestamp.before.max.ms".to_owned(), DAY_MS.to_string());
    create(&cluster, &topic, [bound].into()).await.unwrap();
    let tp = TopicPartition::new(topic, 0);
    let plain = Log::of(&cluster, tp, LeaderEpoch(0)).await;
    let refused = plain.append(&Batch::of_nobody(2).at(now - 2 * DAY_MS)).await;
    assert_eq!(refused, Err(ErrorCode::INVALID_TIMESTAMP));
}

/// M20: with `max.message.bytes` at its maximum a batch may be as large as a request (`socket.request.max.bytes`,
/// 100 MiB), whatever the broker's own `message.max.bytes`. Relied on by `core/src/plan/topics.rs`.
#[tokio::test]
async fn a_standby_topic_takes_batches_as_large_as_a_request() {
    const REQUEST_BYTES_MAX: usize = 100 << 20;
    /// Of a request around its one batch: headers, names.
    const AROUND: usize = 1_024;
    let veteran = veteran().await;
    let log = Log::create(&veteran.bootstrap(), "large").await;
    let broker = described(&log.cluster, ConfigTarget::Broker(log.leader())).await;
    let value = |name: &str| broker.iter().find(|entry| entry.name == name).unwrap().value.clone().unwrap();
    assert_eq!(value("socket.request.max.bytes"), REQUEST_BYTES_MAX.to_string());
    assert!(value("message.max.bytes").parse::<usize>().unwrap() < 2 << 20);
    let batch = Batch { value_bytes: REQUEST_BYTES_MAX - AROUND, ..Batch::new(stranger(0), 0, 1) };
    assert_eq!(log.append(&batch).await, Ok(0));
    let stored = log.batches().await;
    assert_eq!(stored[0].payload(), batch.bytes().slice(61..));
}

/// M6: how long a broker remembers a producer can be read from it, and is a day by default. Relied on by
/// `agent/src/link/prepare.rs` and `core/src/mirror/guard.rs`.
#[tokio::test]
async fn a_broker_tells_how_long_it_remembers_producers() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let node = *cluster.metadata().brokers.keys().next().unwrap();
    let entries = described(&cluster, ConfigTarget::Broker(node)).await;
    let entry = entries.into_iter().find(|entry| entry.name == "producer.id.expiration.ms").unwrap();
    assert_eq!(entry.value, Some(PRODUCER_ID_EXPIRATION_MS_DEFAULT.to_string()));
}

/// A topic grows to more partitions, and refuses to stay or shrink. Relied on by `agent/src/link/topics.rs` (growing).
#[tokio::test]
async fn a_topic_grows_and_never_shrinks() {
    let log = Log::create(&pair().destination.bootstrap(), "grows").await;
    let topic = log.tp.topic.to_string();
    create_partitions(&log.cluster, &topic, 3).await.unwrap();
    let last = TopicPartition::new(topic.as_str(), 2);
    let last = Log::of(&log.cluster, last, LeaderEpoch(0)).await;
    assert_eq!(last.end().await, 0);
    for total in [3, 2] {
        let refused = create_partitions(&log.cluster, &topic, total).await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::INVALID_PARTITIONS), "{total}");
    }
}
