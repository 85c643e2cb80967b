//! Where a log ends (M8): the one answer that may be used for appending, and those that may not.

use std::time::Duration;

use lockstep_core::ids::LeaderEpoch;
use lockstep_kafka::ErrorCode;
use lockstep_kafka::admin::{At, EpochEnd};
use lockstep_testkit::{pair, wait_until_async};

use super::PATIENCE;
use super::batches::Batch;
use super::log::{Log, stranger};
use super::stages::{FIRST, FIRST_EPOCH, SECOND, Silence, Twins, veteran};

/// M8: OffsetForLeaderEpoch, asked for the current epoch, answers that epoch and the log's end, also of an empty log.
/// Relied on by `agent/src/pipeline/open.rs` and `probe.rs`.
#[tokio::test]
async fn the_current_epochs_end_is_the_logs_end_also_when_it_is_empty() {
    let log = Log::create(&pair().destination.bootstrap(), "end").await;
    let current = log.epoch();
    for end_offset in [0, 3, 6] {
        let end = log.end_of_epoch(current, current).await;
        assert_eq!(end, Ok(EpochEnd { epoch: current, end_offset }));
        log.append(&Batch::of_nobody(3)).await.unwrap();
    }
}

/// M8: a kill and restart begins a new leader epoch and leaves the end where it was; the new epoch is answered although
/// nothing was written in it. Relied on by `agent/src/pipeline/open.rs`: the answered epoch must equal the asked one.
/// (Kafka 3.9.1 was seen to keep the epoch of a partition with a single replica: a new epoch is no sign to wait for.)
#[tokio::test]
async fn after_a_restart_the_epoch_is_new_and_the_end_is_not() {
    let veteran = veteran().await;
    for (log, end) in
        [(veteran.empty().await, 0), (veteran.kept().await, FIRST), (veteran.grown().await, FIRST + SECOND)]
    {
        let current = log.epoch();
        assert!(current > FIRST_EPOCH);
        let expected = EpochEnd { epoch: current, end_offset: i64::from(end) };
        assert_eq!(log.end_of_epoch(current, current).await, Ok(expected), "{}", log.tp);
    }
}

/// M8: when another replica takes over, the same holds there. Relied on by `agent/src/pipeline/open.rs`.
#[tokio::test]
async fn a_new_leader_answers_the_same_end_under_its_own_epoch() {
    let twins = Twins::start(Silence::Noticed);
    let log = twins.led_by(2, "moves").await;
    let before = log.epoch();
    assert_eq!(log.append(&Batch::of_nobody(3)).await, Ok(0));
    twins.kafka.kill(2).unwrap();
    let log = Log::of(&log.cluster, log.tp, LeaderEpoch(before.0 + 1)).await;
    assert_eq!(log.leader().0, 1);
    assert_eq!(log.end().await, 3);
}

/// M8: a wrong idea of the current epoch is refused: an older one as fenced, a later one as unknown. Relied on by
/// `agent/src/pipeline/open.rs` and `kafka/src/code.rs` (both retry with new metadata).
#[tokio::test]
async fn an_older_current_epoch_is_fenced_and_a_later_one_unknown() {
    let veteran = veteran().await;
    let log = veteran.grown().await;
    let (current, later) = (log.epoch(), LeaderEpoch(log.epoch().0 + 1));
    for (believed, code) in
        [(FIRST_EPOCH, ErrorCode::FENCED_LEADER_EPOCH), (later, ErrorCode::UNKNOWN_LEADER_EPOCH)]
    {
        assert_eq!(log.end_of_epoch(believed, current).await, Err(code));
        assert_eq!(log.end_of_epoch(believed, believed).await, Err(code));
        for at in [At::Earliest, At::Latest] {
            assert_eq!(log.offset_under(believed, at).await, Err(code), "ListOffsets, {at:?}");
        }
    }
}

/// M8: without a current epoch an older epoch's end is answered, and no error: a stale end. Relied on by
/// `agent/src/pipeline/open.rs`, which therefore always names it.
#[tokio::test]
async fn without_the_current_epoch_a_stale_end_is_answered_without_an_error() {
    let veteran = veteran().await;
    let log = veteran.grown().await;
    let stale = log.end_of_epoch(LeaderEpoch::UNKNOWN, FIRST_EPOCH).await;
    assert_eq!(stale, Ok(EpochEnd { epoch: FIRST_EPOCH, end_offset: i64::from(FIRST) }));
    assert_eq!(log.end().await, i64::from(FIRST + SECOND));
}

/// M8, M5: the high watermark is not the log's end. While a follower is silent an append with acks=all times out *with*
/// its offset: it is in the log, counted in the sequence, and ListOffsets does not tell. Relied on by
/// `agent/src/pipeline/open.rs` (the end by OffsetForLeaderEpoch, receipts only below the high watermark).
#[tokio::test]
async fn the_high_watermark_is_not_the_log_end() {
    let twins = Twins::start(Silence::Overlooked);
    let log = twins.led_by(1, "silent").await;
    let producer = stranger(0);
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0));
    twins.kafka.stop(2).unwrap();
    let second = Batch::new(producer, 3, 3);
    let answer = log.answer_to((&second).into(), Duration::from_secs(1)).await;
    assert_eq!((answer.error, answer.base_offset), (Some(ErrorCode::REQUEST_TIMED_OUT), 3));

    assert_eq!(log.offset(At::Latest).await, 3);
    assert_eq!(log.end().await, 6);
    assert_eq!(log.remembered(producer).await.unwrap().last_sequence, 5);

    twins.kafka.cont(2).unwrap();
    wait_until_async("the high watermark to reach the log's end", PATIENCE, async || {
        (log.offset(At::Latest).await == 6).then_some(())
    })
    .await;
    assert_eq!(log.append(&second).await, Ok(3), "it was appended: this is a repeat");
    assert_eq!(log.end().await, 6);
}
