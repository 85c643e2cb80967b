//! What a partition remembers of its producers, and when it forgets them (M6).

use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::ErrorCode;
use lockstep_testkit::{pair, wait_until_async};

use super::PATIENCE;
use super::batches::{Batch, DAY_MS, now_ms};
use super::log::{Log, stranger};
use super::stages::veteran;

/// Older than `producer.id.expiration.ms`, which is a day.
fn old() -> i64 {
    now_ms() - 2 * DAY_MS
}

async fn until_forgotten(log: &Log, producer: ProducerIdentity) {
    wait_until_async("the broker to forget a producer", PATIENCE, async || {
        log.remembered(producer).await.is_none().then_some(())
    })
    .await;
}

/// M6, M8: DescribeProducers answers epoch, last sequence and a timestamp: that of the *last batch*, also where an
/// earlier one was newer. Relied on by `agent/src/pipeline/open.rs` and `core/src/mirror/copying.rs` (`known`).
#[tokio::test]
async fn a_partition_tells_epoch_sequence_and_the_timestamp_of_the_last_batch() {
    let (log, producer) = (Log::create(&pair().destination.bootstrap(), "told").await, stranger(3));
    assert_eq!(log.remembered(producer).await, None);
    let now = now_ms();
    for (first, timestamp) in [(0, now), (4, now - 5_000), (8, now - 2_000)] {
        log.append(&Batch::new(producer, first, 4).at(timestamp)).await.unwrap();
        let told = log.remembered(producer).await.unwrap();
        assert_eq!((told.epoch, told.last_sequence, told.last_timestamp), (3, first + 3, timestamp));
        assert_eq!((told.coordinator_epoch, told.current_txn_start), (-1, -1));
    }
}

/// M6: a producer is forgotten by the timestamp of what it wrote, not by when it wrote, and then nothing it sends is
/// checked: a repeat is written again, a gap and an old epoch are taken. Relied on by `core/src/mirror/guard.rs`.
#[tokio::test]
async fn who_writes_old_records_is_forgotten_at_once_and_then_not_checked() {
    let veteran = veteran().await;
    let log = Log::create(&veteran.bootstrap(), "old").await;
    let (old_one, young_one) = (stranger(3), stranger(3));
    let batch = Batch::new(old_one, 0, 2).at(old());
    assert_eq!(log.append(&batch).await, Ok(0));
    assert_eq!(log.append(&Batch::new(young_one, 0, 2)).await, Ok(2));
    until_forgotten(&log, old_one).await;
    assert_eq!(log.append(&batch).await, Ok(4), "a repeat, written again");
    until_forgotten(&log, old_one).await;
    assert_eq!(log.append(&Batch::new(old_one, 100, 2).at(old())).await, Ok(6), "a gap");
    until_forgotten(&log, old_one).await;
    let before = ProducerIdentity { epoch: 2, ..old_one };
    assert_eq!(log.append(&Batch::new(before, 102, 2).at(old())).await, Ok(8), "an epoch that was over");

    // The broker has looked three times meanwhile.
    assert!(log.remembered(young_one).await.is_some());
    let repeat = log.append(&Batch::new(young_one, 0, 2)).await;
    assert_eq!(repeat, Ok(2), "who writes young records is remembered");
}

/// M6: one old batch behind a young one is enough to be forgotten. Relied on by `core/src/mirror/opening.rs`
/// (`UnknownBeforeOld`) and `core/src/mirror/copying.rs`.
#[tokio::test]
async fn an_old_batch_behind_a_young_one_makes_the_broker_forget() {
    let veteran = veteran().await;
    let (log, producer) = (Log::create(&veteran.bootstrap(), "young-then-old").await, stranger(0));
    assert_eq!(log.append(&Batch::new(producer, 0, 2)).await, Ok(0));
    assert_eq!(log.append(&Batch::new(producer, 2, 2).at(old())).await, Ok(2));
    until_forgotten(&log, producer).await;
}

/// M6: a young batch behind an old one keeps the producer remembered, and so does one from the future; records without
/// a time count as old. Relied on by `core/src/mirror/guard.rs` (`is_young`).
#[tokio::test]
async fn the_future_counts_as_young_and_no_time_as_old() {
    let veteran = veteran().await;
    let log = Log::create(&veteran.bootstrap(), "times").await;
    let (timeless, future, caught_up) = (stranger(0), stranger(0), stranger(0));
    log.append(&Batch::new(caught_up, 0, 1).at(old())).await.unwrap();
    // Either it was still remembered, or any sequence is taken.
    log.append(&Batch::new(caught_up, 1, 1)).await.unwrap();
    log.append(&Batch::new(future, 0, 1).at(now_ms() + 400 * DAY_MS)).await.unwrap();
    log.append(&Batch::new(timeless, 0, 1).at(-1)).await.unwrap();
    until_forgotten(&log, timeless).await;
    assert_eq!(log.remembered(future).await.unwrap().last_sequence, 0);
    assert_eq!(log.remembered(caught_up).await.unwrap().last_sequence, 1);
    let gap = log.append(&Batch::new(future, 7, 1)).await;
    assert_eq!(gap, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
}
