//! Two sides of a compacted topic whose cleaners worked at different times.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockstep_core::ids::TopicPartition;
use lockstep_kafka::admin::incremental_alter_configs;
use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{Exit, Kafka, pair, unique};

use super::handmade::{Handmade, batches, connect};
use super::{first_difference, note, verify};
use crate::mirror::{Ends, PATIENCE};

/// The same record on both sides: it rolls the source's segment, and the cleaner leaves only the active one alone.
fn roll(ends: &Ends, topic: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    for bootstrap in [&ends.from, &ends.to] {
        let record = Record::new("rolls").key("roller").at(i64::try_from(now).unwrap());
        Seed::to(bootstrap).write(topic, [record]).unwrap();
    }
}

/// A topic that the source has compacted and the destination not: 300 updates of 30 keys, every tenth key deleted.
async fn compacted_at_the_source(quick: &Kafka) -> (Ends, String) {
    let ends = Ends::of(quick, &pair().destination);
    let topic = unique("compacted");
    ends.create(&topic, 1, &[]);
    let deleted = |n: i64| n >= 270 && n % 10 == 0;
    let value = |n: i64| if deleted(n) { Record::null() } else { Record::new(n.to_string()) };
    let records = (0..300).map(|n| value(n).key(format!("key {}", n % 30)));
    Seed::to(&ends.from).batch_records(7).write(&topic, records).unwrap();
    Handmade::new(&ends, &topic).copy(|_, fate| fate).await;
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "100"),
        ("segment.ms", "200"),
    ];
    let settings = settings.map(|(name, value)| (name, Some(value)));
    incremental_alter_configs(&connect(&ends.from).await, &topic, &settings).await.unwrap();
    let tp = TopicPartition::new(topic.as_str(), 0);
    let began = Instant::now();
    loop {
        roll(&ends, &topic);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let all = batches(&ends.from, &tp).await;
        let old = all.iter().filter(|(batch, _)| batch.header().base_offset() < 300);
        let left: i32 = old.map(|(batch, _)| batch.header().record_count()).sum();
        // The tombstones go with a second cleaning.
        if left <= 27 {
            return (ends, topic);
        }
        assert!(began.elapsed() < PATIENCE, "the cleaner has left {left} records");
    }
}

#[tokio::test]
async fn two_sides_that_were_compacted_at_different_times_are_identical() {
    let quick = Kafka::builder("quick-cleaner").config("log.cleaner.backoff.ms", "200").start().unwrap();
    let (ends, topic) = compacted_at_the_source(&quick).await;
    let turned = Ends { from: ends.to.clone(), to: ends.from.clone() };
    // Either way round: it does not matter which side was cleaned.
    for ends in [&ends, &turned] {
        let (exit, said) = verify(ends, &topic);
        assert_eq!(exit, Exit::Code(0), "{said}");
        assert!(note(&said, "compacted").unwrap().0 >= 273, "{said}");
    }
    // The last record of a key that only one side has.
    Seed::to(&ends.to).write(&topic, [Record::new("only there").key("key 7")]).unwrap();
    let mut here = Handmade::of(&turned, &topic);
    here.mark(1).await;
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(2), "{said}");
    assert_eq!(first_difference(&said).1, "a marker here, visible there", "{said}");
}
