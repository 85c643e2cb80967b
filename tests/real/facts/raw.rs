//! Raw batches (M4): a payload nobody touched passes under a new header, and nothing damaged or odd does.

use bytes::Bytes;
use lockstep_batch::{FetchedBatch, Stamp, rewrite};
use lockstep_core::ids::{LeaderEpoch, ProducerIdentity, TopicPartition};
use lockstep_kafka::{ErrorCode, ProduceBatch};
use lockstep_testkit::client::{Admin, Codec, Record, Seed, assert_identical};
use lockstep_testkit::{pair, unique};

use super::batches::{Batch, CONTROL, as_they_are};
use super::log::{Log, connect, stranger};

const RECORDS: u32 = 300;

/// A topic that librdkafka wrote on the shared source, three batches of it, with the same topic, empty, on the
/// destination.
pub(super) async fn written(codec: Codec) -> (Vec<FetchedBatch>, Log) {
    let topic = unique("raw");
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    for bootstrap in [&from, &to] {
        Admin::of(bootstrap).unwrap().create(&topic, 1, &[]).unwrap();
    }
    let records = (0..RECORDS).map(|n| Record::new(format!("order {n}, the same words again")).key("k"));
    Seed::to(&from).codec(codec).batch_records(RECORDS / 3).write(&topic, records).unwrap();
    let tp = TopicPartition::new(topic, 0);
    let source = Log::of(&connect(&from).await, tp.clone(), LeaderEpoch(0)).await;
    (source.batches().await, Log::of(&connect(&to).await, tp, LeaderEpoch(0)).await)
}

/// The batch as the link's producer writes it, by the code that the mirror uses.
pub(super) fn mirrored(batch: &FetchedBatch, producer: ProducerIdentity, base_sequence: i32) -> ProduceBatch {
    let stamp = Stamp { producer_id: producer.id, producer_epoch: producer.epoch, base_sequence };
    let mirrored = rewrite(batch, stamp);
    ProduceBatch { header: Bytes::copy_from_slice(mirrored.header()), payload: mirrored.payload().clone() }
}

/// The batch with one bit flipped on its way, before the new header is derived.
fn damaged(batch: &FetchedBatch, byte: usize) -> FetchedBatch {
    let mut bytes = batch.bytes().to_vec();
    bytes[byte] ^= 0b0100;
    FetchedBatch::parse(bytes.into()).unwrap()
}

/// M4: a new header with a derived checksum is all that a batch of any codec needs, and its payload is stored as it is.
/// Relied on by `batch/src/rewrite.rs` and `agent/src/pipeline/sink.rs`.
#[tokio::test]
async fn batches_of_every_codec_pass_byte_for_byte_under_a_new_header() {
    for codec in Codec::ALL {
        let (originals, log) = written(codec).await;
        assert_eq!(originals.len(), 3, "{codec:?}");
        let producer = stranger(0);
        for batch in &originals {
            let base = batch.header().base_offset();
            let sequence = i32::try_from(base).unwrap();
            assert_eq!(log.append_raw(mirrored(batch, producer, sequence)).await, Ok(base), "{codec:?}");
        }
        let copies = log.batches().await;
        assert_eq!(copies.len(), originals.len());
        for (original, copy) in originals.iter().zip(&copies) {
            assert_eq!(original.payload(), copy.payload(), "{codec:?}");
            assert_eq!(copy.header().codec(), original.header().codec());
            assert_eq!(copy.header().producer_id(), producer.id);
        }
        let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
        let compared = assert_identical(&from, &to, &log.tp.topic, 1);
        assert_eq!(compared.records, u64::from(RECORDS));
    }
}

/// M4: damage anywhere between the two brokers is refused with CORRUPT_MESSAGE, because the checksum is derived and
/// never computed anew. Relied on by `batch/src/rewrite.rs`.
#[tokio::test]
async fn a_flipped_bit_of_payload_or_header_is_refused() {
    const BASE_TIMESTAMP: usize = 34;
    for codec in Codec::ALL {
        let (originals, log) = written(codec).await;
        let batch = &originals[0];
        let last = batch.bytes().len() - 1;
        for byte in [BASE_TIMESTAMP, 61, usize::midpoint(61, last), last] {
            let damaged = mirrored(&damaged(batch, byte), stranger(0), 0);
            let refused = log.append_raw(damaged).await;
            assert_eq!(refused, Err(ErrorCode::CORRUPT_MESSAGE), "{codec:?}, byte {byte}");
        }
        assert_eq!(log.end().await, 0);
        assert_eq!(log.append_raw(mirrored(batch, stranger(0), 0)).await, Ok(0), "{codec:?}, undamaged");
    }
}

/// M4, M11, M12: what takes an offset without being a plain record cannot be written by a client, so that the mirror
/// must not try. Relied on by `batch/src/rewrite.rs` (obstacles) and `core/src/mirror/admit.rs`.
#[tokio::test]
async fn control_batches_gaps_and_empty_batches_are_refused() {
    let log = Log::create(&pair().destination.bootstrap(), "odd").await;
    let plain = || Batch::new(stranger(0), 0, 3);
    for (what, odd) in [
        ("a control bit", Batch { attributes: CONTROL, ..plain() }),
        ("gaps between offsets", Batch { offset_step: 2, ..plain() }),
        ("no records", Batch { records: 0, ..plain() }),
    ] {
        assert_eq!(log.append(&odd).await, Err(ErrorCode::INVALID_RECORD), "{what}");
    }
    assert_eq!(log.end().await, 0);
    assert_eq!(log.append(&plain()).await, Ok(0), "nothing else was odd");
}

/// M4: one batch per partition and request; more are refused as a whole. Relied on by `agent/src/pipeline/desks.rs`.
#[tokio::test]
async fn two_batches_in_one_request_are_refused() {
    let log = Log::create(&pair().destination.bootstrap(), "two").await;
    let producer = stranger(0);
    let (first, second) = (Batch::new(producer, 0, 3), Batch::new(producer, 3, 3));
    let both = as_they_are(&[first.bytes(), second.bytes()].concat().into());
    assert_eq!(log.append_raw(both).await, Err(ErrorCode::INVALID_RECORD));
    assert_eq!(log.end().await, 0);
}

/// M5: with a producer id a sequence starts at 0 or above. Relied on by `core/src/mirror/opening.rs`, which begins with
/// the offset's lower 31 bits where the broker knows nothing.
#[tokio::test]
async fn a_negative_sequence_is_refused() {
    let log = Log::create(&pair().destination.bootstrap(), "negative").await;
    let refused = log.append(&Batch::new(stranger(0), -1, 3)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(log.end().await, 0);
}
