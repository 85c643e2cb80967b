//! What an answer to a fetch proves, and what it does not.

use std::time::Duration;

use lockstep_core::ids::{LeaderEpoch, TopicId};
use lockstep_kafka::admin::{At, delete_records};
use lockstep_kafka::{Diverging, ErrorCode, FetchLimits, FetchTarget, Isolation};
use lockstep_testkit::client::{Admin, Record, Seed};
use lockstep_testkit::{pair, wait_until_async};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::PATIENCE;
use super::batches::Batch;
use super::log::{Log, connect, fetch_all, whole};
use super::stages::{FIRST, FIRST_EPOCH, SECOND, veteran};

fn source() -> String {
    pair().source.bootstrap()
}

/// At once, and hardly anything.
fn tight(bytes_max: i32) -> FetchLimits {
    FetchLimits { max_wait: Duration::ZERO, min_bytes: 0, bytes_max }
}

/// M11: a partition may come back empty, without an error, while it holds records that fit nowhere in the answer.
/// Relied on by `core/src/mirror/admit.rs`: a hole is proven by the next batch alone.
#[tokio::test]
async fn an_empty_answer_is_no_hole() {
    let logs = Log::create_several(&source(), "full", 2).await;
    for log in &logs {
        log.append(&Batch { value_bytes: 500, ..Batch::of_nobody(10) }).await.unwrap();
    }
    let targets: Vec<_> = logs.iter().map(|log| log.target(0)).collect();
    let answer = fetch_all(&logs[0], &targets, tight(1_000), Isolation::ReadCommitted).await;
    let told: Vec<_> = answer.iter().map(|each| (each.error, each.high_watermark)).collect();
    assert_eq!(told, [(None, 10), (None, 10)]);
    assert_eq!(whole(answer[0].records.clone()).len(), 1);
    assert!(answer[1].records.is_empty());
}

/// KIP-74: the first batch of an answer comes whole, however small the limits. Relied on by
/// `agent/src/pipeline/tail.rs`, which asks for one byte.
#[tokio::test]
async fn the_first_batch_comes_whole_however_small_the_limit() {
    let log = Log::create(&source(), "whole").await;
    for _ in 0..2 {
        log.append(&Batch { value_bytes: 100_000, ..Batch::of_nobody(10) }).await.unwrap();
    }
    let target = FetchTarget { partition_bytes_max: 1, ..log.target(0) };
    let answer = fetch_all(&log, &[target], tight(1), Isolation::ReadUncommitted).await.remove(0);
    let batches = whole(answer.records);
    assert_eq!((batches.len(), batches[0].header().record_count()), (1, 10));
}

/// A fetch from inside a batch answers that batch from its beginning. Relied on by `core/src/mirror/admit.rs` (skipped
/// and overlapping batches) and `agent/src/pipeline/tail.rs` (the batch that holds the last offset).
#[tokio::test]
async fn a_fetch_from_inside_a_batch_brings_the_whole_batch() {
    let log = Log::create(&source(), "inside").await;
    for _ in 0..2 {
        log.append(&Batch::of_nobody(10)).await.unwrap();
    }
    let answer = log.fetch(log.target(15), Isolation::ReadUncommitted).await;
    let bases: Vec<_> = whole(answer.records).iter().map(|batch| batch.header().base_offset()).collect();
    assert_eq!(bases, [10]);
}

/// M9: at the end a fetch is answered with nothing; beyond it, and below the log's start, it is out of range. Relied on
/// by `agent/src/pipeline/engine/events.rs`: an offset out of range makes the partition open anew.
#[tokio::test]
async fn only_offsets_beyond_the_end_or_below_the_start_are_out_of_range() {
    let log = Log::create(&source(), "range").await;
    for _ in 0..2 {
        log.append(&Batch::of_nobody(10)).await.unwrap();
    }
    let before = [(log.tp.clone(), 12)];
    delete_records(&log.connection().await, &before, PATIENCE).await.unwrap().remove(0).1.unwrap();
    for (offset, error) in [
        (11, Some(ErrorCode::OFFSET_OUT_OF_RANGE)),
        (12, None),
        (20, None),
        (21, Some(ErrorCode::OFFSET_OUT_OF_RANGE)),
    ] {
        let target = [log.target(offset)];
        let answer = fetch_all(&log, &target, tight(1 << 20), Isolation::ReadCommitted).await.remove(0);
        assert_eq!(answer.error, error, "at {offset}");
        assert_eq!(answer.records.is_empty(), offset != 12, "at {offset}");
        if error.is_none() {
            assert_eq!((answer.log_start, answer.high_watermark), (12, 20));
        }
    }
}

/// M10: who says which epoch its last record is of, is told when the log went another way, also as an ordinary client;
/// and each batch carries the epoch it was written under. Relied on by `agent/src/pipeline/engine/events.rs`.
#[tokio::test]
async fn a_log_that_went_another_way_is_reported_to_ordinary_clients() {
    let veteran = veteran().await;
    let log = veteran.grown().await;
    let (first_end, present) = (i64::from(FIRST), log.epoch());
    let end = i64::from(FIRST + SECOND);
    let fetched = async |offset, last_fetched_epoch| {
        let target = FetchTarget { last_fetched_epoch, ..log.target(offset) };
        let answer = log.fetch(target, Isolation::ReadCommitted).await;
        assert_eq!(answer.error, None);
        let epochs: Vec<_> =
            whole(answer.records).iter().map(|batch| LeaderEpoch(batch.header().leader_epoch())).collect();
        (answer.diverging, epochs)
    };
    // We hold more of the first epoch than the log does.
    let diverging = Some(Diverging { epoch: FIRST_EPOCH, end_offset: first_end });
    assert_eq!(fetched(first_end + 2, FIRST_EPOCH).await, (diverging, vec![]));
    // We hold what the log holds.
    assert_eq!(fetched(0, LeaderEpoch::UNKNOWN).await, (None, vec![FIRST_EPOCH, present]));
    assert_eq!(fetched(first_end, FIRST_EPOCH).await, (None, vec![present]));
    assert_eq!(fetched(first_end + 2, present).await, (None, vec![present]));
    assert_eq!(fetched(end, present).await, (None, vec![]));
}

/// M10: a fetch under another leader epoch than the current one is refused. Relied on by `kafka/src/code.rs` and
/// `agent/src/pipeline/engine/events.rs` (new metadata, then again).
#[tokio::test]
async fn a_fetch_under_another_leader_epoch_is_refused() {
    let veteran = veteran().await;
    let log = veteran.grown().await;
    let later = LeaderEpoch(log.epoch().0 + 1);
    for (believed, code) in
        [(FIRST_EPOCH, ErrorCode::FENCED_LEADER_EPOCH), (later, ErrorCode::UNKNOWN_LEADER_EPOCH)]
    {
        let target = FetchTarget { current_leader_epoch: believed, ..log.target(0) };
        let answer = log.fetch(target, Isolation::ReadCommitted).await;
        assert_eq!((answer.error, answer.records.len()), (Some(code), 0));
    }
}

/// M16: read_committed stops where an open transaction begins, whoever writes behind it, and the high watermark goes
/// on. Relied on by `agent/src/pipeline/source.rs` and `agent/src/verify/ends.rs`.
#[tokio::test]
async fn read_committed_stops_at_an_open_transaction_and_the_high_watermark_does_not() {
    let log = Log::create(&source(), "open").await;
    log.append(&Batch::of_nobody(2)).await.unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", source())
        .set("broker.address.family", "v4")
        .set("transactional.id", &*log.tp.topic)
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    for _ in 0..3 {
        producer.send(BaseRecord::<(), str>::to(&log.tp.topic).partition(0).payload("undecided")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    Seed::to(&source())
        .write(&log.tp.topic, [Record::new("behind it"), Record::new("and so is this")])
        .unwrap();

    let committed = log.fetch(log.target(0), Isolation::ReadCommitted).await;
    assert_eq!((committed.last_stable_offset, committed.high_watermark), (2, 7));
    let ends: Vec<_> = whole(committed.records).iter().map(|batch| batch.header().next_offset()).collect();
    assert_eq!(ends, [2]);
    assert_eq!((log.offset(At::LastStable).await, log.offset(At::Latest).await), (2, 7));
    let all = log.fetch(log.target(0), Isolation::ReadUncommitted).await;
    let batches = whole(all.records);
    assert_eq!(batches.last().unwrap().header().next_offset(), 7);
    assert!(batches[1].header().is_transactional());

    producer.commit_transaction(PATIENCE).unwrap();
    // The marker is written behind the answer, and takes an offset of its own.
    wait_until_async("the commit marker", PATIENCE, async || {
        (log.offset(At::LastStable).await == 8).then_some(())
    })
    .await;
    let marked = log.fetch(log.target(7), Isolation::ReadCommitted).await;
    assert_eq!((marked.last_stable_offset, marked.high_watermark), (8, 8));
    assert!(whole(marked.records)[0].header().is_control());
}

/// M9: a topic deleted and created again has another id, and a fetch by the old one is refused. Relied on by
/// `agent/src/pipeline/engine/topology.rs` (the verdict *diverged*): nothing of the new topic is taken for the old one.
#[tokio::test]
async fn a_fetch_by_the_id_of_a_recreated_topic_is_refused() {
    let log = Log::create(&source(), "again").await;
    log.append(&Batch::of_nobody(3)).await.unwrap();
    let old = log.target(0);
    let admin = Admin::of(&source()).unwrap();
    admin.delete(&log.tp.topic).unwrap();
    admin.create(&log.tp.topic, 1, &[]).unwrap();
    let log = Log::of(&connect(&source()).await, log.tp, LeaderEpoch(0)).await;
    log.append(&Batch::of_nobody(3)).await.unwrap();
    let new = log.target(0);
    assert_ne!(old.topic_id, new.topic_id);
    assert_ne!(new.topic_id, TopicId::ZERO);

    let refused = log.fetch(old, Isolation::ReadCommitted).await;
    assert_eq!((refused.error, refused.records.len()), (Some(ErrorCode::UNKNOWN_TOPIC_ID), 0));
    assert_eq!(log.fetch(new, Isolation::ReadCommitted).await.error, None);
}
