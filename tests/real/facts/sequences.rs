//! Compare-and-append (M5): what the broker makes of a batch whose sequence is not the next one.

use lockstep_batch::next_sequence;
use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::{ErrorCode, ProduceBatch};
use lockstep_testkit::pair;

use super::batches::{Batch, as_they_are};
use super::log::{Log, stranger};

async fn log(name: &str) -> Log {
    Log::create(&pair().destination.bootstrap(), name).await
}

/// A whole batch with one bit of its last record flipped.
fn corrupt(batch: &Batch) -> ProduceBatch {
    let mut bytes = batch.bytes().to_vec();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    as_they_are(&bytes.into())
}

/// M5: a repeat through another connection is answered with the offset of the original and not written again, for the
/// last five batches. Relied on by `core/src/mirror/copying.rs`: a base below the expected one means a repeat, and no
/// more than five appends are in flight.
#[tokio::test]
async fn a_repeat_of_one_of_the_last_five_is_answered_with_its_first_offset() {
    let (log, producer) = (log("repeats").await, stranger(0));
    let batches: Vec<_> = (0..6).map(|n| Batch::new(producer, 3 * n, 3)).collect();
    for (n, batch) in (0..).zip(&batches) {
        assert_eq!(log.append(batch).await, Ok(3 * n));
    }
    for (n, batch) in (0..).zip(&batches).skip(1) {
        assert_eq!(log.append(batch).await, Ok(3 * n), "batch {n} of 6, again");
    }
    let sixth_last = log.append(&batches[0]).await.unwrap_err();
    let refusals = [ErrorCode::DUPLICATE_SEQUENCE_NUMBER, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER];
    assert!(refusals.contains(&sixth_last), "{sixth_last}");
    assert_eq!(log.end().await, 18, "nothing was written twice");
}

/// M5: a sequence that leaves something out is refused. Relied on by `core/src/mirror/copying.rs`: an append can only
/// land behind the one that must precede it.
#[tokio::test]
async fn a_gap_in_the_sequence_is_refused() {
    let (log, producer) = (log("gap").await, stranger(0));
    log.append(&Batch::new(producer, 0, 3)).await.unwrap();
    let refused = log.append(&Batch::new(producer, 4, 3)).await;
    assert_eq!(refused, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(log.end().await, 3);
    assert_eq!(log.append(&Batch::new(producer, 3, 3)).await, Ok(3), "the next one is still the next one");
}

/// M8: where the broker knows nothing of a producer it takes any sequence and any epoch. Relied on by
/// `core/src/mirror/opening.rs`, which begins with the offset.
#[tokio::test]
async fn an_unknown_producer_may_begin_at_any_sequence_and_epoch() {
    let log = log("anywhere").await;
    for (n, (epoch, sequence)) in (0..).zip([(0, 0), (7, 1_234_567), (i16::MAX - 1, i32::MAX)]) {
        let producer = stranger(epoch);
        assert_eq!(log.append(&Batch::new(producer, sequence, 1)).await, Ok(n));
        let remembered = log.remembered(producer).await.unwrap();
        assert_eq!((remembered.epoch, remembered.last_sequence), (epoch, sequence));
    }
}

/// M5, M9: a known producer's new epoch begins at sequence 0, and from then on the old one is refused. Relied on by
/// `core/src/mirror/opening.rs` (sequence 0, the verdict *fenced*).
#[tokio::test]
async fn a_higher_epoch_begins_at_zero_and_ends_the_lower_one() {
    let (log, id) = (log("epochs").await, stranger(0).id);
    let old = ProducerIdentity { id, epoch: 3 };
    let new = ProducerIdentity { id, epoch: 4 };
    log.append(&Batch::new(old, 0, 3)).await.unwrap();
    let not_zero = log.append(&Batch::new(new, 3, 3)).await;
    assert_eq!(not_zero, Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(log.append(&Batch::new(old, 3, 3)).await, Ok(3), "the refused epoch has ended nothing");

    assert_eq!(log.append(&Batch::new(new, 0, 3)).await, Ok(6));
    assert_eq!(log.append(&Batch::new(old, 6, 3)).await, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    assert_eq!(
        log.append(&Batch::new(old, 3, 3)).await,
        Err(ErrorCode::INVALID_PRODUCER_EPOCH),
        "a repeat, too"
    );
    let remembered = log.remembered(new).await.unwrap();
    assert_eq!((remembered.epoch, remembered.last_sequence), (4, 2));
}

/// M5: after the largest sequence comes 0, also inside a batch. Relied on by `next_sequence` in `batch/src/rewrite.rs`.
#[tokio::test]
async fn after_the_largest_sequence_comes_zero() {
    let log = log("wrap").await;
    for (first, records) in [(i32::MAX - 2, 3), (i32::MAX - 1, 4)] {
        let (producer, base) = (stranger(0), log.end().await);
        log.append(&Batch::new(producer, first, records)).await.unwrap();
        let next = next_sequence(first, records);
        assert_eq!(next, records - if first == i32::MAX - 2 { 3 } else { 2 });
        assert_eq!(log.append(&Batch::new(producer, next, 1)).await, Ok(base + i64::from(records)));
        assert_eq!(log.remembered(producer).await.unwrap().last_sequence, next);
    }
}

/// M5: whatever others write in between, a producer's sequence goes on where that producer stopped. Relied on by
/// `core/src/mirror/opening.rs`; that the offsets then no longer fit shows in the answer.
#[tokio::test]
async fn other_producers_do_not_disturb_a_sequence() {
    let (log, ours, other) = (log("others").await, stranger(0), stranger(5));
    assert_eq!(log.append(&Batch::new(ours, 0, 3)).await, Ok(0));
    assert_eq!(log.append(&Batch::new(other, 0, 2)).await, Ok(3));
    assert_eq!(log.append(&Batch::of_nobody(2)).await, Ok(5));
    assert_eq!(log.append(&Batch::new(ours, 3, 3)).await, Ok(7));
    assert_eq!(log.remembered(ours).await.unwrap().last_sequence, 5);
    assert_eq!(log.remembered(other).await.unwrap().last_sequence, 1);
}

/// M7: of three batches on their way to a partition that does not know the producer, the second takes the place of a
/// refused first. Relied on by `core/src/mirror/copying.rs`: one in flight until the first acknowledgement.
#[tokio::test]
async fn pipelining_to_a_partition_that_does_not_know_the_producer_slips() {
    let (log, producer) = (log("slip").await, stranger(0));
    let [first, second, third] = [0, 1, 2].map(|n| Batch::new(producer, n, 1));
    let answers = log.pipelined([corrupt(&first), (&second).into(), (&third).into()]).await;
    assert_eq!(answers, [(2, -1), (0, 0), (0, 1)]);
}

/// M6, M7: once the partition knows the producer, whatever follows a refused batch is refused. Relied on by
/// `core/src/mirror/copying.rs`: up to five in flight when guarded.
#[tokio::test]
async fn pipelining_to_a_partition_that_knows_the_producer_does_not_slip() {
    let (log, producer) = (log("no-slip").await, stranger(0));
    log.append(&Batch::new(producer, 0, 1)).await.unwrap();
    let [first, second, third] = [1, 2, 3].map(|n| Batch::new(producer, n, 1));
    let answers = log.pipelined([corrupt(&first), (&second).into(), (&third).into()]).await;
    assert_eq!(answers, [(2, -1), (45, -1), (45, -1)]);
    assert_eq!(log.end().await, 1);
}
