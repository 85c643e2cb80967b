//! What is set on a standby topic (M20), that it does what it is set for, and what else the product sets or reads.

use std::collections::BTreeMap;

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_core::mirror::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use lockstep_core::plan::owners::{FIELDS, Owner};
use lockstep_core::plan::topics::standby_settings;
use lockstep_kafka::admin::{
    ConfigEntry, ConfigSource, ConfigTarget, NewTopic, alter_topic_configs, create_partitions, create_topics,
    describe_configs, describe_topic_configs, incremental_alter_configs,
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

/// M20: every setting that a topic of this Kafka has is in the table of owners, and all but those of other versions are
/// there. Relied on by `core/src/plan/owners.rs`.
#[tokio::test]
async fn every_setting_of_a_topic_has_an_owner() {
    /// Gone with 4.0.
    const OLD: [&str; 3] =
        ["message.downconversion.enable", "message.format.version", "message.timestamp.difference.max.ms"];
    let log = Log::create(&pair().destination.bootstrap(), "owners").await;
    let names: Vec<_> = described(&log.cluster, ConfigTarget::Topic(log.tp.topic.to_string()))
        .await
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    for name in &names {
        assert!(FIELDS.iter().any(|field| field.name == name), "{name} has no owner");
    }
    for field in FIELDS.iter().filter(|field| !OLD.contains(&field.name)) {
        assert!(names.iter().any(|name| name == field.name), "{} is no setting of a topic", field.name);
    }
}

/// Named settings alone are answered, those that do not exist are left out, for many topics in one request, and one that
/// does not exist has its own code. Relied on by `agent/src/link/keeper.rs`.
#[tokio::test]
async fn named_settings_of_many_topics_are_told_in_one_answer() {
    let bootstrap = pair().destination.bootstrap();
    let logs = [Log::create(&bootstrap, "many-a").await, Log::create(&bootstrap, "many-b").await];
    let (cluster, gone) = (&logs[0].cluster, unique("many-none"));
    let topics = [&*logs[1].tp.topic, &gone, &*logs[0].tp.topic];
    let names = ["retention.ms", "no.such.setting", "segment.ms"].map(str::to_owned);
    let told = describe_topic_configs(cluster, &topics, Some(&names)).await.unwrap();
    assert_eq!(told.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(), topics);
    for told in [&told[0], &told[2]] {
        let mut entries: Vec<_> =
            told.1.as_ref().unwrap().iter().map(|entry| (&*entry.name, entry.source)).collect();
        entries.sort_by_key(|(name, _)| *name);
        assert_eq!(
            entries,
            [("retention.ms", ConfigSource::DynamicTopic), ("segment.ms", ConfigSource::Default)]
        );
    }
    assert_eq!(told[1].1.as_ref().unwrap_err().0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

/// Of many topics in one request each gets all of its changes or none, whatever becomes of the others; unsetting what is
/// not set is no fault. Relied on by `agent/src/link/keeper.rs`.
#[tokio::test]
async fn settings_of_many_topics_are_changed_in_one_request() {
    let bootstrap = pair().destination.bootstrap();
    let logs = [Log::create(&bootstrap, "alter-a").await, Log::create(&bootstrap, "alter-b").await];
    let cluster = &logs[0].cluster;
    let (good, bad) = (&*logs[0].tp.topic, &*logs[1].tp.topic);
    let before = own_settings(cluster, bad).await;
    let changes = [
        (bad, vec![("segment.ms", Some("70000")), ("segment.bytes", Some("many"))]),
        (good, vec![("segment.ms", Some("80000")), ("flush.ms", None)]),
    ];
    let answers = alter_topic_configs(cluster, &changes).await.unwrap();
    assert_eq!(answers[0].1.as_ref().unwrap_err().0, ErrorCode::INVALID_CONFIG);
    assert_eq!((answers[1].0.as_str(), &answers[1].1), (good, &Ok(())));
    wait_until_async("the change to show", PATIENCE, async || {
        (own_settings(cluster, good).await.get("segment.ms")? == "80000").then_some(())
    })
    .await;
    assert_eq!(own_settings(cluster, bad).await, before, "none of its changes");
    assert!(FIELDS.iter().any(|field| field.name == "segment.ms" && field.owner == Owner::Source));
}

/// M21: a topic refuses records without a key from the moment its policy shows (INVALID_RECORD, 87), and takes them
/// again once it is `delete`. Relied on by `agent/src/pipeline/engine/compaction.rs`.
#[tokio::test]
async fn null_keys_are_refused_while_a_topic_is_compacted_and_no_longer() {
    let log = Log::create(&pair().destination.bootstrap(), "null-keys").await;
    let topic = log.tp.topic.to_string();
    let set = async |policy: &str| {
        incremental_alter_configs(&log.cluster, &topic, &[("cleanup.policy", Some(policy))]).await.unwrap();
    };
    let producer = stranger(0);
    assert_eq!(log.append(&Batch::new(producer, 0, 2)).await, Ok(0));
    set("compact,delete").await;
    wait_until_async("a refusal", PATIENCE, async || {
        let end = log.end().await;
        let refused = log.append(&Batch::of_nobody(1)).await == Err(ErrorCode::INVALID_RECORD);
        (refused && log.end().await == end).then_some(())
    })
    .await;
    set("delete").await;
    wait_until_async("a record without a key", PATIENCE, async || {
        log.append(&Batch::of_nobody(1)).await.ok()
    })
    .await;
}
