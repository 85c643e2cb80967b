//! What a broker does with transaction markers of a producer that has no transaction (M12, M13).

use std::time::{Duration, Instant};

use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_kafka::admin::{
    At, EpochQuestion, MarkerEntry, MarkerKind, submit_offset_for_leader_epoch, submit_write_txn_markers,
};
use lockstep_kafka::{Connection, ErrorCode, submit_produce};
use lockstep_testkit::client::{Isolation, read_all};
use lockstep_testkit::{pair, wait_until_async};

use super::PATIENCE;
use super::batches::{Batch, DAY_MS, now_ms};
use super::log::{Log, stranger};
use super::stages::veteran;

fn destination() -> String {
    pair().destination.bootstrap()
}

/// One entry for each coordinator epoch, each on all of the partitions.
fn entries(partitions: &[TopicPartition], epochs: impl IntoIterator<Item = i32>) -> Vec<MarkerEntry> {
    let entry = |coordinator_epoch| MarkerEntry { coordinator_epoch, partitions: partitions.to_vec() };
    epochs.into_iter().map(entry).collect()
}

async fn send(
    connection: &Connection,
    producer: ProducerIdentity,
    entries: &[MarkerEntry],
) -> Vec<Result<(), ErrorCode>> {
    let pending = submit_write_txn_markers(connection, producer, MarkerKind::Abort, entries, PATIENCE).await;
    pending.unwrap().answer().await.unwrap().into_iter().map(|(_, outcome)| outcome).collect()
}

/// Markers on one partition, over a new connection.
pub(super) async fn mark(
    log: &Log,
    producer: ProducerIdentity,
    epochs: impl IntoIterator<Item = i32>,
) -> Result<(), ErrorCode> {
    let entries = entries(std::slice::from_ref(&log.tp), epochs);
    send(&log.connection().await, producer, &entries).await.remove(0)
}

/// M12: each entry takes one offset, consumers of both isolation levels see none of them, and the last stable offset
/// passes them. Relied on by `agent/src/pipeline/markers`.
#[tokio::test]
async fn a_marker_takes_one_offset_and_no_consumer_sees_it() {
    let (log, producer) = (Log::create(&destination(), "unseen").await, stranger(0));
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0));
    assert_eq!(mark(&log, producer, 0..4).await, Ok(()));
    assert_eq!(log.end().await, 7);
    assert_eq!(mark(&log, stranger(5), [0]).await, Ok(()), "of a producer nobody has met");
    assert_eq!(log.append(&Batch::of_nobody(2)).await, Ok(8));
    assert_eq!((log.offset(At::Latest).await, log.offset(At::LastStable).await), (10, 10));
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        let (bootstrap, topic) = (destination(), log.tp.topic.to_string());
        let seen = tokio::task::spawn_blocking(move || read_all(&bootstrap, &topic, 0, 0..10, isolation));
        let offsets: Vec<_> = seen.await.unwrap().unwrap().iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [0, 1, 2, 8, 9], "{isolation:?}");
    }
}

/// M5, M12: markers between data do not disturb the sequence, whoever wrote them. Relied on by
/// `core/src/mirror/copying.rs`, which counts on from the last data.
#[tokio::test]
async fn markers_between_data_do_not_disturb_the_sequence() {
    let (log, producer) = (Log::create(&destination(), "between").await, stranger(2));
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0));
    mark(&log, producer, 0..5).await.unwrap();
    mark(&log, stranger(0), [0]).await.unwrap();
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0), "still a repeat");
    let gap = log.append(&Batch::new(producer, 8, 1)).await;
    assert_eq!(gap, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER), "a marker takes no sequence number");
    assert_eq!(log.append(&Batch::new(producer, 3, 2)).await, Ok(9));
    assert_eq!(log.end().await, 11);
}

/// M12, M22: a marker is a control batch of one record with the producer as sent, no sequence, and the broker's time.
/// Relied on by the tail look (whose markers are they) and docs/GUARANTEES.md (time look-ups).
#[tokio::test]
async fn a_marker_is_a_control_batch_with_its_producer_and_the_brokers_time() {
    let (log, producer) = (Log::create(&destination(), "marker-batch").await, stranger(3));
    let before = now_ms();
    mark(&log, producer, [7, 8]).await.unwrap();
    let after = now_ms();
    let batches = log.batches().await;
    assert_eq!(batches.len(), 2);
    for (offset, batch) in (0..).zip(&batches) {
        let header = batch.header();
        assert!(header.is_control() && header.is_transactional());
        assert_eq!(
            (header.base_offset(), header.next_offset(), header.record_count()),
            (offset, offset + 1, 1)
        );
        assert_eq!((header.producer_id(), header.producer_epoch()), (producer.id, producer.epoch));
        assert_eq!(header.base_sequence(), -1);
        assert!((before..=after).contains(&header.max_timestamp()), "{}", header.max_timestamp());
    }
}

/// M12: one request may hold many entries for many partitions, and an entry any of them. Relied on by
/// `agent/src/pipeline/markers/plan.rs`.
#[tokio::test]
async fn entries_are_shared_by_partitions() {
    let logs = Log::create_several(&destination(), "shared", 3).await;
    let all: Vec<_> = logs.iter().map(|log| log.tp.clone()).collect();
    let entries: Vec<_> = (0..3)
        .map(|n| MarkerEntry {
            coordinator_epoch: n + 10,
            partitions: all[n.unsigned_abs() as usize..].to_vec(),
        })
        .collect();
    let producer = stranger(0);
    let answers = send(&logs[0].connection().await, producer, &entries).await;
    assert_eq!(answers, [Ok(()); 3], "one outcome for each partition, not for each entry");
    for (log, (end, epoch)) in logs.iter().zip([(1, 10), (2, 11), (3, 12)]) {
        assert_eq!(log.end().await, end);
        assert_eq!(log.remembered(producer).await.unwrap().coordinator_epoch, epoch);
    }
}

/// M13: a coordinator epoch below the last one is refused, an equal one is taken, and DescribeProducers tells it. So a
/// repeated request with growing epochs adds one marker, not all, and none once a later marker stands; yet the answer
/// to it is a success. Relied on by `core/src/mirror/markers.rs` and `kafka/src/admin/write_txn_markers.rs`.
#[tokio::test]
async fn coordinator_epochs_only_grow() {
    let (log, producer) = (Log::create(&destination(), "epochs").await, stranger(0));
    let told = async || log.remembered(producer).await.unwrap().coordinator_epoch;
    mark(&log, producer, [5]).await.unwrap();
    assert_eq!(told().await, 5);
    assert_eq!(mark(&log, producer, [4]).await, Err(ErrorCode::TRANSACTION_COORDINATOR_FENCED));
    assert_eq!((log.end().await, told().await), (1, 5));
    assert_eq!(mark(&log, producer, [5]).await, Ok(()), "an equal one is taken");
    assert_eq!(mark(&log, stranger(0), [0]).await, Ok(()), "it concerns this producer only");
    assert_eq!(log.end().await, 3);

    assert_eq!(mark(&log, producer, 10..110).await, Ok(()));
    assert_eq!((log.end().await, told().await), (103, 109));
    assert_eq!(mark(&log, producer, 10..110).await, Ok(()), "the last entry's outcome hides the others'");
    assert_eq!((log.end().await, told().await), (104, 109));
    mark(&log, producer, [110]).await.unwrap();
    let repeat = mark(&log, producer, 10..110).await;
    assert_eq!(repeat, Err(ErrorCode::TRANSACTION_COORDINATOR_FENCED));
    assert_eq!((log.end().await, told().await), (105, 110));
}

/// M13: at the end of its range the coordinator epoch stays, and markers are still taken. Relied on by
/// `agent/src/pipeline/markers/plan.rs`.
#[tokio::test]
async fn the_highest_coordinator_epoch_may_be_repeated() {
    let (log, producer) = (Log::create(&destination(), "highest").await, stranger(0));
    assert_eq!(mark(&log, producer, [i32::MAX - 1, i32::MAX, i32::MAX]).await, Ok(()));
    assert_eq!(mark(&log, producer, [i32::MAX]).await, Ok(()));
    assert_eq!(log.end().await, 4);
    assert_eq!(log.remembered(producer).await.unwrap().coordinator_epoch, i32::MAX);
}

/// M8, M12: a producer that wrote markers only is remembered, with the broker's time and without a sequence, and its
/// data then have to begin at 0: not anywhere, as those of an unknown one. Relied on by `core/src/mirror/opening.rs`
/// (a last sequence of −1) and `core/src/mirror/markers.rs`.
#[tokio::test]
async fn a_producer_of_markers_alone_has_no_sequence() {
    let (log, producer) = (Log::create(&destination(), "alone").await, stranger(4));
    let before = now_ms();
    mark(&log, producer, [0]).await.unwrap();
    let told = log.remembered(producer).await.unwrap();
    assert_eq!((told.epoch, told.last_sequence, told.coordinator_epoch), (4, -1, 0));
    assert_eq!(told.current_txn_start, -1);
    assert!((before..=now_ms()).contains(&told.last_timestamp), "{}", told.last_timestamp);
    let anywhere = log.append(&Batch::new(producer, 77, 2)).await;
    assert_eq!(anywhere, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(log.append(&Batch::new(producer, 0, 2)).await, Ok(1));
    assert_eq!(log.remembered(producer).await.unwrap().last_sequence, 1);
}

/// M6, M12: a marker introduces a producer anew that the broker has forgotten: what it wrote before no longer counts, and
/// its data begin at 0 again. Relied on by `core/src/mirror/markers.rs`: behind markers the sequence is read.
#[tokio::test]
async fn a_marker_of_a_forgotten_producer_begins_its_sequence_anew() {
    let veteran = veteran().await;
    let log = Log::create(&veteran.bootstrap(), "anew").await;
    let (old, producer) = (now_ms() - 2 * DAY_MS, stranger(0));
    assert_eq!(log.append(&Batch::new(producer, 0, 3).at(old)).await, Ok(0));
    wait_until_async("the broker to forget a producer of old data", PATIENCE, async || {
        log.remembered(producer).await.is_none().then_some(())
    })
    .await;
    mark(&log, producer, [0]).await.unwrap();
    assert_eq!(log.remembered(producer).await.unwrap().last_sequence, -1);
    let next = log.append(&Batch::new(producer, 3, 1)).await;
    assert_eq!(next, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(log.append(&Batch::new(producer, 0, 1)).await, Ok(4));
}

/// M6: a marker's time is the broker's, so that it keeps a producer remembered, sequence and all, whose last data are
/// too old to do so. Relied on by `core/src/mirror/guard.rs`: behind a marker of ours a partition is guarded.
#[tokio::test]
async fn a_marker_keeps_a_producer_of_old_data_remembered() {
    let veteran = veteran().await;
    let log = Log::create(&veteran.bootstrap(), "kept-by-marker").await;
    let old = now_ms() - 2 * DAY_MS;
    let marked = stranger(0);
    let connection = log.connection().await;
    // On one connection, so that the broker has no time to forget in between.
    let data = vec![(log.tp.clone(), (&Batch::new(marked, 0, 3).at(old)).into())];
    let data = submit_produce(&connection, data, PATIENCE).await.unwrap();
    let marker = entries(std::slice::from_ref(&log.tp), [0]);
    assert_eq!(send(&connection, marked, &marker).await, [Ok(())]);
    assert_eq!(data.answer().await.unwrap().remove(0).error, None);
    // The broker looks every second: twice it forgets another one that wrote no marker.
    for round in 0..2 {
        let unmarked = stranger(0);
        log.append(&Batch::new(unmarked, 0, 1).at(old)).await.unwrap();
        wait_until_async("the broker to forget a producer of old data", PATIENCE, async || {
            log.remembered(unmarked).await.is_none().then_some(())
        })
        .await;
        let told = log.remembered(marked).await.expect("a marker is young");
        assert_eq!((told.last_sequence, told.coordinator_epoch), (2, 0), "round {round}");
    }
    assert_eq!(log.append(&Batch::new(marked, 0, 3).at(old)).await, Ok(0), "a repeat is known as one");
    let gap = log.append(&Batch::new(marked, 9, 1).at(old)).await;
    assert_eq!(gap, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
}

/// M8, M13: a broker works through a connection in order: the end asked right behind markers is the one behind them.
/// Relied on by `agent/src/pipeline/markers`.
#[tokio::test]
async fn the_end_asked_behind_markers_on_one_connection_lies_behind_them() {
    let (log, producer) = (Log::create(&destination(), "behind").await, stranger(0));
    let connection = log.connection().await;
    let question = EpochQuestion { tp: log.tp.clone(), current: log.epoch(), asked: log.epoch() };
    for round in 0..20 {
        let first = round * 50;
        let entries = entries(std::slice::from_ref(&log.tp), first..first + 50);
        let markers =
            submit_write_txn_markers(&connection, producer, MarkerKind::Commit, &entries, PATIENCE).await;
        let end =
            submit_offset_for_leader_epoch(&connection, std::slice::from_ref(&question), PATIENCE).await;
        let end = end.unwrap().answer().await.unwrap().remove(0).1.unwrap();
        assert_eq!((end.epoch, end.end_offset), (log.epoch(), i64::from(first + 50)));
        markers.unwrap().answer().await.unwrap().remove(0).1.unwrap();
    }
}

/// M12: thousands at once. Relied on by `core/src/mirror/markers.rs` and `agent/src/pipeline/markers/plan.rs` for the
/// size of a run and of a request.
#[tokio::test]
async fn thousands_of_markers_go_into_one_request() {
    let logs = Log::create_several(&destination(), "thousands", 64).await;
    let all: Vec<_> = logs.iter().map(|log| log.tp.clone()).collect();
    let (connection, producer) = (logs[0].connection().await, stranger(0));
    let timed = async |partitions: &[TopicPartition], epochs: std::ops::Range<i32>| {
        let (entries, start) = (entries(partitions, epochs), Instant::now());
        let answers = send(&connection, producer, &entries).await;
        assert!(answers.iter().all(Result::is_ok) && answers.len() == partitions.len());
        start.elapsed()
    };
    let one: Duration = timed(&all[..1], 0..5_000).await;
    assert_eq!(logs[0].end().await, 5_000);
    let many = timed(&all[1..], 0..1_000).await;
    for log in &logs[1..] {
        assert_eq!(log.end().await, 1_000);
    }
    eprintln!("5,000 markers on one partition: {one:?}; 1,000 on each of 63: {many:?}");
}
