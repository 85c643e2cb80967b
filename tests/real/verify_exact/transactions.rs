//! Commits, rollbacks and open transactions: equal is what consumers of both isolation levels find equal.

use lockstep_core::ids::TopicPartition;
use lockstep_core::transactions::Fate;
use lockstep_testkit::client::{self, Admin, Record, Seed, compare, watermarks};
use lockstep_testkit::{Exit, unique, wait_until_true};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::handmade::{Handmade, batches};
use super::{first_difference, note, verify};
use crate::mirror::{Ends, PATIENCE};

fn transactional(bootstrap: &str, name: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("message.max.bytes", "8388608")
        .set("transactional.id", unique(name))
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, count: usize, value_bytes: usize) {
    for n in 0..count {
        let value = format!("{n} {}", "v".repeat(value_bytes));
        let key = n.to_string();
        producer.send(BaseRecord::to(topic).partition(0).key(&key).payload(&value)).unwrap();
        // One batch per record: transactions of two producers lie between each other.
        producer.flush(PATIENCE).unwrap();
    }
}

/// A topic with committed, rolled-back and plain records between each other. Returns (markers, rolled-back records).
fn seeded_with_transactions(ends: &Ends, topic: &str) -> (u64, u64) {
    let (one, two) = (transactional(&ends.from, "one"), transactional(&ends.from, "two"));
    let mut expected = (0, 0);
    // More than one answer (2 MiB) lies between the beginning of the first and its end.
    for (round, value_bytes) in [(0, 300_000), (1, 10), (2, 10)] {
        one.begin_transaction().unwrap();
        two.begin_transaction().unwrap();
        send(&one, topic, 5, value_bytes);
        send(&two, topic, 4, value_bytes);
        Seed::to(&ends.from).write(topic, [Record::new("plain")]).unwrap();
        send(&one, topic, 3, value_bytes);
        if round == 1 { one.commit_transaction(PATIENCE) } else { one.abort_transaction(PATIENCE) }.unwrap();
        two.commit_transaction(PATIENCE).unwrap();
        expected = (expected.0 + 2, expected.1 + if round == 1 { 0 } else { 8 });
    }
    let end = 3 * (5 + 4 + 1 + 3 + 2);
    // The last marker is written behind the answer to the commit.
    wait_until_true("all markers", PATIENCE, || watermarks(&ends.from, topic, 0).unwrap().end == end);
    expected
}

#[tokio::test]
async fn committed_records_are_compared_and_what_nobody_sees_is_counted() {
    let ends = Ends::shared();
    let topic = unique("exact");
    ends.create(&topic, 1, &[]);
    let (markers, rolled_back) = seeded_with_transactions(&ends, &topic);
    Handmade::new(&ends, &topic).copy(|_, fate| fate).await;
    // The independent client agrees.
    compare(&ends.from, &ends.to, &topic, 0, client::Isolation::ReadCommitted).unwrap().unwrap();
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(0), "{said}");
    let told = &said["topics"][0];
    assert_eq!(
        (&told["markers_source"], &told["records_rolled_back_source"]),
        (&markers.into(), &rolled_back.into())
    );
    assert_eq!(told["markers_destination"], markers + rolled_back, "{said}");
    assert_eq!(told["records_compared"], 45 - markers - rolled_back, "{said}");
    let (offsets, text) = note(&said, "without_record").unwrap();
    assert_eq!(offsets, markers + rolled_back);
    assert!(text.contains("16 rolled-back records here are markers there"), "{text}");
}

#[tokio::test]
async fn a_rolled_back_record_that_shows_and_a_committed_one_that_does_not_are_different() {
    let ends = Ends::shared();
    type Lie = fn(Fate) -> Fate;
    let lies: [(&str, Lie, &str); 2] = [
        (
            "risen",
            |f| if f == Fate::Aborted { Fate::Committed } else { f },
            "rolled back here, visible there",
        ),
        (
            "buried",
            |f| if f == Fate::Committed { Fate::Aborted } else { f },
            "committed here, a marker there",
        ),
    ];
    for (name, lie, words) in lies {
        let topic = unique(name);
        ends.create(&topic, 1, &[]);
        seeded_with_transactions(&ends, &topic);
        let all = batches(&ends.from, &TopicPartition::new(topic.as_str(), 0)).await;
        let lied = all.iter().find(|(_, fate)| lie(*fate) != *fate).unwrap().0.header().base_offset();
        // One batch only: a single wrong record among many.
        let change = |offset, fate| if offset == lied { lie(fate) } else { fate };
        Handmade::new(&ends, &topic).copy(change).await;
        let (exit, said) = verify(&ends, &topic);
        assert_eq!(exit, Exit::Code(2), "{said}");
        assert_eq!(first_difference(&said), (lied, words.to_owned()), "{said}");
        assert_eq!(said["topics"][0]["records_different"], 1, "{said}");
    }
}

#[tokio::test]
async fn transactions_on_both_sides_are_compared_as_they_are() {
    // The same producer writes the same to both: rolled-back records lie on both sides.
    let ends = Ends::shared();
    let topic = unique("both");
    for bootstrap in [&ends.from, &ends.to] {
        Admin::of(bootstrap).unwrap().create(&topic, 1, &[("message.timestamp.type", "CreateTime")]).unwrap();
        let producer = transactional(bootstrap, "both");
        for commit in [false, true] {
            producer.begin_transaction().unwrap();
            for key in ["a", "b", "c"] {
                let record = BaseRecord::to(&topic).partition(0).key(key).payload(key).timestamp(1_000);
                producer.send(record).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
            if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }
                .unwrap();
        }
        wait_until_true("all markers", PATIENCE, || watermarks(bootstrap, &topic, 0).unwrap().end == 8);
    }
    let (exit, said) = verify(&ends, &topic);
    assert_eq!((exit, &said["topics"][0]["records_compared"]), (Exit::Code(0), &3.into()), "{said}");
    assert_eq!(said["topics"][0]["records_rolled_back_destination"], 3, "{said}");
}

#[tokio::test]
async fn an_open_transaction_is_compared_up_to_and_named() {
    let ends = Ends::shared();
    let topic = unique("open");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..10).map(|n| Record::new(n.to_string()))).unwrap();
    Handmade::new(&ends, &topic).copy(|_, fate| fate).await;
    let producer = transactional(&ends.from, "open");
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 3, 10);
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(0), "{said}");
    let (offsets, text) = note(&said, "held_back").unwrap();
    assert!(offsets == 3 && text.contains("partition 0: 10"), "{said}");
    // Once it is decided, it counts.
    producer.commit_transaction(PATIENCE).unwrap();
    wait_until_true("the marker", PATIENCE, || ends.written(&topic, 0) == 14);
    assert_eq!(verify(&ends, &topic).0, Exit::Code(2));
}

#[tokio::test]
async fn an_open_transaction_on_the_destination_is_no_proof() {
    let ends = Ends::shared();
    let topic = unique("open-there");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..10).map(|n| Record::new(n.to_string()))).unwrap();
    Admin::of(&ends.to).unwrap().create(&topic, 1, &[]).unwrap();
    let producer = transactional(&ends.to, "open-there");
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 10, 10);
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(1), "{said}");
    let why = said["topics"][0]["unknown"][0]["why"].as_str().unwrap();
    assert!(why.contains("open transaction on the destination"), "{said}");
}

#[test]
fn the_mirror_writes_what_verify_expects() {
    let ends = Ends::shared();
    let topic = unique("mirrored");
    ends.create(&topic, 1, &[]);
    let (markers, rolled_back) = seeded_with_transactions(&ends, &topic);
    ends.mirror_all(&topic);
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(0), "{said}");
    assert_eq!(said["topics"][0]["markers_destination"], markers + rolled_back, "{said}");
}
