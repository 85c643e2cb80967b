//! What a mirror may write in other batches than the source's, and bytes that are hurt on their way to verify.

use std::sync::atomic::Ordering;

use lockstep_batch::records::Record as Decoded;
use lockstep_batch::{Codec, build};
use lockstep_core::ids::TopicPartition;
use lockstep_testkit::client::{Admin, Record, Seed};
use lockstep_testkit::{Exit, Kafka, pair, unique};

use super::handmade::{Handmade, batches};
use super::{note, verify};
use crate::mirror::Ends;

#[tokio::test]
async fn fillers_below_the_sources_log_start_are_named_as_not_yet_deleted() {
    let ends = Ends::shared();
    let topic = unique("fillers");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..30).map(|n| Record::new(n.to_string()))).unwrap();
    let tp = TopicPartition::new(topic.as_str(), 0);
    let mut there = Handmade::new(&ends, &topic);
    there.append(&build::filler(0, 15, 1).unwrap()).await;
    there.append(&build::filler(15, 5, 1).unwrap()).await;
    let decoded = batches(&ends.from, &tp).await.into_iter().flat_map(|(batch, _)| {
        lockstep_batch::records::decode(&batch.view(), Default::default()).unwrap().collect::<Vec<_>>()
    });
    let rest: Vec<Decoded> = decoded.map(Result::unwrap).filter(|record| record.offset >= 20).collect();
    there.append(&build::batch(&rest, Codec::Zstd, 0).unwrap()).await;
    // Above the source's log start they are records that the source does not have.
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(2), "{said}");
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 20).unwrap();
    let (exit, said) = verify(&ends, &topic);
    assert_eq!(exit, Exit::Code(0), "{said}");
    assert_eq!(note(&said, "not_yet_deleted").unwrap().0, 20);
    assert_eq!(note(&said, "older_on_destination"), None);
}

#[tokio::test]
async fn merged_batches_are_compared_record_by_record() {
    let ends = Ends::shared();
    let topic = unique("merged");
    ends.create(&topic, 1, &[]);
    let seed = Seed::to(&ends.from).batch_records(1);
    seed.write(&topic, (0..200).map(|n| Record::new(format!("record {n}")).header("h", "v"))).unwrap();
    let all = batches(&ends.from, &TopicPartition::new(topic.as_str(), 0)).await;
    let mut batches = all.into_iter().map(|(batch, _)| batch);
    let mut merger = build::Merger::start(batches.next().unwrap(), 1 << 20).unwrap();
    for batch in batches {
        merger.push(batch).unwrap();
    }
    Handmade::new(&ends, &topic).append(&merger.merge().unwrap()).await;
    let (exit, said) = verify(&ends, &topic);
    assert_eq!((exit, &said["topics"][0]["records_compared"]), (Exit::Code(0), &200.into()), "{said}");
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_is_fetched_again() {
    let source = Kafka::builder("flipping").proxied().start().unwrap();
    let direct = Ends::of(&source, &pair().destination);
    let proxied = Ends { from: source.proxied_bootstrap().unwrap(), to: direct.to.clone() };
    let topic = unique("flipped");
    direct.create(&topic, 1, &[]);
    let records = (0..2_000).map(|n| Record::new(format!("record {n}")));
    Seed::to(&direct.from).batch_records(100).write(&topic, records).unwrap();
    Handmade::new(&direct, &topic).copy(|_, fate| fate).await;
    for nth in [1, 3] {
        let flipped = source.proxy(1).unwrap().flip_bit_in_fetched_batch(nth);
        let (exit, said) = verify(&proxied, &topic);
        assert_eq!(flipped.load(Ordering::Acquire), 1, "no bit was flipped");
        assert_eq!(exit, Exit::Code(0), "{said}");
    }
}

#[tokio::test]
async fn topics_on_the_destination_only_are_named() {
    let ends = Ends::shared();
    let name = unique("named");
    let (both, alone) = (format!("{name}.both"), format!("{name}.alone"));
    ends.create(&both, 1, &[]);
    let admin = Admin::of(&ends.to).unwrap();
    admin.create(&both, 1, &[]).unwrap();
    admin.create(&alone, 1, &[]).unwrap();
    let (exit, said) = verify(&ends, &format!("{name}.*"));
    assert_eq!(exit, Exit::Code(0), "{said}");
    assert_eq!(said["topics_on_destination_only"], serde_json::json!([alone]));
}
