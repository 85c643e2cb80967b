//! Rules that no other file shows: who the link writes as (M1), how its batches look (M4), what a standby topic's
//! settings are (M20), and that nothing is pipelined onto a broker that does not know us (M7).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_batch::{FetchedBatch, Stamp, rewrite};
use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_kafka::admin::{
    ConfigSource, ConfigTarget, describe_configs, describe_producers, describe_transactions,
    incremental_alter_configs, init_producer_id,
};
use lockstep_kafka::fetch::{FetchLimits, FetchTarget, Isolation, fetch_once};
use lockstep_kafka::produce::{ProduceBatch, submit_produce};
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::{Codec, Record, Seed};
use lockstep_testkit::stored::batches;
use lockstep_testkit::{pair, unique};

use super::{Ends, stop};

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) async fn cluster(bootstrap: &str) -> Cluster {
    let settings = Settings::new(bootstrap).unwrap();
    Cluster::connect(Arc::new(Tcp::default()), settings).await.unwrap()
}

async fn identity(dest: &Cluster, link: &str) -> Option<ProducerIdentity> {
    let found = describe_transactions(dest, &format!("lockstep.{link}")).await.unwrap();
    found.map(|found| found.producer)
}

/// The producer that the destination keeps under the link's transactional id.
pub(crate) fn registered_identity(to: &str, link: &str) -> Option<ProducerIdentity> {
    run(async { identity(&cluster(to).await, link).await })
}

/// Sets one setting of a topic.
pub(crate) fn alter_topic(bootstrap: &str, topic: &str, name: &str, value: &str) {
    run(async {
        let cluster = cluster(bootstrap).await;
        incremental_alter_configs(&cluster, topic, &[(name, Some(value))]).await.unwrap();
    });
}

/// One setting of a topic, as it holds.
pub(crate) fn topic_setting(bootstrap: &str, topic: &str, name: &str) -> Option<String> {
    run(async {
        let asked = [ConfigTarget::Topic(topic.to_owned())];
        let described = describe_configs(&cluster(bootstrap).await, &asked).await.unwrap();
        let (_, entries) = described.into_iter().next()?;
        entries.ok()?.into_iter().find(|entry| entry.name == name)?.value
    })
}

/// Raises the link's epoch by compare-and-swap, as a promotion does, and writes one batch under it.
pub(crate) fn write_as_newer_owner(to: &str, link_and_topic: &str) {
    run(async {
        let dest = cluster(to).await;
        let ours = identity(&dest, link_and_topic).await.unwrap();
        let id = format!("lockstep.{link_and_topic}");
        let newer = init_producer_id(&dest, &id, Some(ours), Duration::from_secs(60)).await.unwrap();
        assert_eq!(newer, ProducerIdentity { id: ours.id, epoch: ours.epoch + 1 });
        let tp = TopicPartition::new(link_and_topic, 0);
        let metadata = dest.metadata();
        let (node, epoch) = metadata.leader(&tp).unwrap();
        let target = FetchTarget {
            tp: tp.clone(),
            topic_id: metadata.topics[&tp.topic].id,
            offset: lockstep_core::ids::SourceOffset(0),
            current_leader_epoch: epoch,
            last_fetched_epoch: lockstep_core::ids::LeaderEpoch::UNKNOWN,
            partition_bytes_max: 1 << 20,
        };
        let limits = FetchLimits { max_wait: Duration::ZERO, min_bytes: 0, bytes_max: 1 << 20 };
        let connection = dest.connection(node).await.unwrap();
        let answer = fetch_once(&connection, &[target], limits, Isolation::ReadUncommitted).await.unwrap();
        let batch = FetchedBatch::parse(answer.partitions[0].records.clone()).unwrap();
        let stamp = Stamp { producer_id: newer.id, producer_epoch: newer.epoch, base_sequence: 0 };
        let mirrored = rewrite(&batch, stamp);
        let batch = ProduceBatch {
            header: Bytes::copy_from_slice(mirrored.header()),
            payload: mirrored.payload().clone(),
        };
        let pending = submit_produce(&connection, vec![(tp, batch)], Duration::from_secs(30)).await.unwrap();
        let results = pending.answer().await.unwrap();
        assert_eq!(results[0].error, None);
    });
}

#[test]
fn m1_one_producer_writes_the_link_over_restarts_and_its_epoch_stays() {
    let ends = Ends::shared();
    let topic = unique("identity");
    ends.create(&topic, 3, &[]);
    let mut seen = Vec::new();
    for round in 0..3 {
        let records = (0..300).map(|n| Record::new(format!("{round} {n}")).partition(n % 3));
        Seed::to(&ends.from).write(&topic, records).unwrap();
        ends.mirror_all(&topic);
        seen.push(run(async { identity(&cluster(&ends.to).await, &topic).await.unwrap() }));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let producers = run(async {
        let dest = cluster(&ends.to).await;
        let partitions: Vec<_> = (0..3).map(|n| TopicPartition::new(topic.as_str(), n)).collect();
        let (node, _) = dest.metadata().leader(&partitions[0]).unwrap();
        let connection = dest.connection(node).await.unwrap();
        describe_producers(&connection, &partitions).await.unwrap()
    });
    for (partition, producers) in producers {
        let ids: Vec<_> = producers.unwrap().iter().map(|p| (p.producer_id, p.epoch)).collect();
        assert_eq!(ids, [(seen[0].id, seen[0].epoch)], "{partition}");
    }
}

#[test]
fn m4_m5_batches_carry_the_links_producer_and_sequences_without_a_gap() {
    let ends = Ends::shared();
    let topic = unique("stamped");
    ends.create(&topic, 1, &[]);
    // Too large to be merged, packed as they are.
    let noise = || std::iter::repeat_with(fastrand::alphanumeric).take(300).collect::<String>();
    let records = (0..5_000).map(|n| Record::new(format!("record {n} {}", noise())));
    Seed::to(&ends.from).codec(Codec::Gzip).batch_records(100).write(&topic, records).unwrap();
    ends.mirror_all(&topic);
    let ours = run(async { identity(&cluster(&ends.to).await, &topic).await.unwrap() });
    let stored = batches(&pair().destination.log_folder(1, &topic, 0).unwrap()).unwrap();
    assert!(stored.len() >= 50, "{} batches", stored.len());
    let mut sequence = 0;
    for batch in stored {
        assert_eq!((batch.producer_id, batch.producer_epoch), (ours.id, ours.epoch));
        assert_eq!(batch.attributes, 1, "only the codec is left of the attributes: gzip");
        assert_eq!((batch.base_sequence, batch.base_offset), (sequence, i64::from(sequence)));
        sequence += batch.records;
    }
    assert_eq!(sequence, 5_000);
}

#[test]
fn m20_a_standby_topic_rejects_recompresses_restamps_and_expires_nothing() {
    let ends = Ends::shared();
    let topic = unique("settings");
    ends.create(&topic, 5, &[("retention.ms", "60000"), ("compression.type", "gzip")]);
    Seed::to(&ends.from).write(&topic, [Record::new("x")]).unwrap();
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 5);
    stop(mirror, 0);
    let (partitions, settings) = run(async {
        let dest = cluster(&ends.to).await;
        let described = describe_configs(&dest, &[ConfigTarget::Topic(topic.clone())]).await.unwrap();
        let entries = described.into_iter().next().unwrap().1.unwrap();
        let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
        let settings: BTreeMap<_, _> = own.map(|entry| (entry.name, entry.value.unwrap())).collect();
        (dest.metadata().topics[topic.as_str()].partitions.len(), settings)
    });
    assert_eq!(partitions, 5);
    let expected = [
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("max.message.bytes", "2147483647"),
        ("message.timestamp.after.max.ms", "9223372036854775807"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.type", "CreateTime"),
        ("retention.bytes", "-1"),
        ("retention.ms", "-1"),
    ];
    for (name, value) in expected {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
}
