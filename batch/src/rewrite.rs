//! A fetched batch with the header it carries on the destination (M4): `FetchedBatch` → `MirroredBatch`.
//! Promises: the payload is the very same memory; the checksum is derived, so that damage done anywhere before
//! or after this step is still found by the destination. Never reads the payload; cannot fail.
//! Never decides whether a batch may be mirrored as it is: [`obstacle`] tells, the caller decides.

use bytes::{BufMut, Bytes};

use crate::crc;
use crate::header::{BatchHeader, HEADER_LEN, HEADER_PART, TimestampType, at, attribute};
use crate::view::FetchedBatch;

/// What the link's producer writes into a header (M1, M5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence of the first record. 0 or more: brokers refuse negative ones together with a producer id.
    pub base_sequence: i32,
}

/// The sequence that follows `count` records from `base` on. After `i32::MAX` comes 0
/// (`DefaultRecordBatch.incrementSequence` in Apache Kafka).
///
/// Both are 0 or more; for anything else the result is meaningless, but there is one.
#[must_use]
pub fn next_sequence(base: i32, count: i32) -> i32 {
    base.wrapping_add(count) & i32::MAX
}

/// Why a batch cannot be mirrored by a new header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A control batch (transaction marker): brokers refuse it from a client. Markers stand for it (M12).
    Control,
    /// Not a record left in it: a hole of this many offsets (M11).
    Empty { offsets: i64 },
    /// The cleaner took records out: brokers refuse a batch with gaps from a client (M14).
    Gaps { missing_records: i64 },
    /// Its records have the broker's time; without that bit they would show the producer's. It needs
    /// re-encoding (M17).
    LogAppendTime,
    /// The destination could not decompress it.
    UnknownCodec { code: u8 },
}

/// What [`rewrite`] must not be used for. `None`: the rewritten batch has the same records.
#[must_use]
pub fn obstacle(header: &BatchHeader) -> Option<Obstacle> {
    if header.is_control() {
        Some(Obstacle::Control)
    } else if header.record_count() == 0 {
        Some(Obstacle::Empty { offsets: header.missing_records() })
    } else if header.missing_records() > 0 {
        Some(Obstacle::Gaps { missing_records: header.missing_records() })
    } else if header.timestamp_type() == TimestampType::LogAppendTime {
        Some(Obstacle::LogAppendTime)
    } else if header.codec().is_err() {
        Some(Obstacle::UnknownCodec { code: (header.attributes() & attribute::CODEC) as u8 })
    } else {
        None
    }
}

/// A batch ready to be produced: a new header before the payload as it was fetched.
#[must_use = "a rewritten batch is there to be produced"]
#[derive(Clone, Debug)]
pub struct MirroredBatch {
    source: BatchHeader,
    stamp: Stamp,
    header: [u8; HEADER_LEN],
    payload: Bytes,
}

/// Gives `batch` the header of the link's producer (M4): base offset 0, leader epoch −1, of the attributes
/// only the codec, identity and sequence from `stamp`. Meant for batches without an [`obstacle`].
///
/// The checksum is derived from the old one: if the old one was wrong, the new one is wrong too.
pub fn rewrite(batch: &FetchedBatch, stamp: Stamp) -> MirroredBatch {
    let source = *batch.header();
    let mut header = [0; HEADER_LEN];
    header.copy_from_slice(&batch.bytes()[..HEADER_LEN]);
    put(&mut header, at::BASE_OFFSET, 0i64.to_be_bytes());
    put(&mut header, at::LEADER_EPOCH, (-1i32).to_be_bytes());
    put(&mut header, at::ATTRIBUTES, (source.attributes() & attribute::CODEC).to_be_bytes());
    put(&mut header, at::PRODUCER_ID, stamp.producer_id.to_be_bytes());
    put(&mut header, at::PRODUCER_EPOCH, stamp.producer_epoch.to_be_bytes());
    put(&mut header, at::BASE_SEQUENCE, stamp.base_sequence.to_be_bytes());

    let difference = crc::checksum(batch.view().header_part()) ^ crc::checksum(&header[HEADER_PART]);
    let crc = source.crc() ^ crc::shift(difference, source.payload_len() as u64);
    put(&mut header, at::CRC, crc.to_be_bytes());
    MirroredBatch { source, stamp, header, payload: batch.payload() }
}

/// Callers pass constants inside the header, so the index is in bounds.
fn put<const N: usize>(header: &mut [u8; HEADER_LEN], start: usize, field: [u8; N]) {
    header[start..start + N].copy_from_slice(&field);
}

impl MirroredBatch {
    /// The header as it was on the source: offsets, count, timestamps.
    #[must_use]
    pub fn source(&self) -> &BatchHeader {
        &self.source
    }

    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// In the source's log; in lockstep mode also where the destination must put it.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.source.base_offset()
    }

    /// Behind the last record, in the source's log.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.source.next_offset()
    }

    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.source.record_count()
    }

    /// The sequence of the last record, as the broker counts it: by offsets.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        next_sequence(self.stamp.base_sequence, self.source.last_offset_delta())
    }

    /// Milliseconds since 1970: the newest record's.
    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.source.max_timestamp()
    }

    /// Bytes on the wire: header and payload.
    #[allow(clippy::len_without_is_empty)] // a batch always has its header
    #[must_use]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }

    #[must_use]
    pub fn header(&self) -> &[u8; HEADER_LEN] {
        &self.header
    }

    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Writes header and payload one behind the other: the record set of a Produce request.
    pub fn write_to(&self, out: &mut impl BufMut) {
        out.put_slice(&self.header);
        out.put_slice(&self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Codec, ViewError};
    use crate::testing::{ALL_CODECS, KAFKA_BATCHES, TestBatch, any_batch, from_hex, some_records};
    use crate::view::BatchView;
    use proptest::prelude::*;

    const STAMP: Stamp = Stamp { producer_id: 9001, producer_epoch: 5, base_sequence: 77 };

    fn fetched(bytes: Vec<u8>) -> FetchedBatch {
        FetchedBatch::parse(Bytes::from(bytes)).unwrap()
    }

    fn on_the_wire(batch: &MirroredBatch) -> Vec<u8> {
        let mut out = Vec::new();
        batch.write_to(&mut out);
        assert_eq!(out.len(), batch.len());
        out
    }

    #[test]
    fn the_new_header_is_the_links_and_the_checksum_is_right() {
        for codec in ALL_CODECS {
            let source = TestBatch { attributes: 0x50, ..TestBatch::new(123, codec, some_records(123, 50)) };
            let bytes = source.encode();
            let mirrored = rewrite(&fetched(bytes.clone()), STAMP);
            assert_eq!((mirrored.base_offset(), mirrored.next_offset()), (123, 173));
            assert_eq!((mirrored.record_count(), mirrored.last_sequence()), (50, 126));
            assert_eq!(mirrored.max_timestamp(), source.max_timestamp);
            assert_eq!(mirrored.stamp(), STAMP);

            let wire = on_the_wire(&mirrored);
            let view = BatchView::parse(&wire).unwrap();
            assert!(view.checksum_holds());
            assert_eq!((view.base_offset(), view.leader_epoch()), (0, -1));
            assert_eq!((view.codec(), view.attributes() & !7), (Ok(codec), 0));
            assert_eq!((view.producer_id(), view.producer_epoch(), view.base_sequence()), (9001, 5, 77));
            // The rest stays as it was.
            assert_eq!(wire[8..12], bytes[8..12]);
            assert_eq!(wire[23..43], bytes[23..43]);
            assert_eq!(wire[57..], bytes[57..]);
        }
    }

    #[test]
    fn what_kafka_itself_wrote_gets_a_right_checksum() {
        for (codec, digits) in KAFKA_BATCHES {
            let wire = on_the_wire(&rewrite(&fetched(from_hex(digits)), STAMP));
            assert!(BatchView::parse(&wire).unwrap().checksum_holds(), "{codec}");
        }
    }

    #[test]
    fn the_payload_is_not_copied() {
        let batch = fetched(TestBatch::new(0, Codec::Zstd, some_records(0, 10)).encode());
        assert_eq!(rewrite(&batch, STAMP).payload().as_ptr(), batch.bytes()[61..].as_ptr());
    }

    #[test]
    fn a_bit_flipped_on_the_way_here_stays_detected() {
        let bytes = TestBatch::new(8, Codec::Lz4, some_records(8, 20)).encode();
        // Everything the checksum covers, and the checksum itself: header part and payload.
        for bit in 17 * 8..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let Ok(batch) = FetchedBatch::parse(Bytes::from(damaged)) else {
                continue; // refused even before
            };
            let wire = on_the_wire(&rewrite(&batch, STAMP));
            assert_ne!(crc32c::crc32c(&wire[21..]).to_be_bytes(), wire[17..21], "bit {bit}");
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(next_sequence(0, 10), 10);
        assert_eq!(next_sequence(i32::MAX - 1, 1), i32::MAX);
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        assert_eq!(next_sequence(i32::MAX - 4, 10), 5);
        assert_eq!(next_sequence(i32::MAX, i32::MAX), i32::MAX - 1);
        let batch = fetched(TestBatch::new(0, Codec::None, some_records(0, 10)).encode());
        let near_end = rewrite(&batch, Stamp { base_sequence: i32::MAX - 4, ..STAMP });
        assert_eq!(near_end.last_sequence(), 4);
    }

    #[test]
    fn what_stands_against_a_new_header_alone_is_named() {
        let ordinary = TestBatch::new(5, Codec::None, some_records(5, 4));
        let seen = |batch: &TestBatch| obstacle(fetched(batch.encode()).header());
        assert_eq!(seen(&ordinary), None);
        assert_eq!(seen(&TestBatch { attributes: 0x50, ..ordinary.clone() }), None);
        assert_eq!(seen(&TestBatch { attributes: 0x30, ..ordinary.clone() }), Some(Obstacle::Control));
        assert_eq!(seen(&TestBatch { attributes: 0x08, ..ordinary.clone() }), Some(Obstacle::LogAppendTime));
        assert_eq!(
            seen(&TestBatch { attributes: 0x06, ..ordinary.clone() }),
            Some(Obstacle::UnknownCodec { code: 6 })
        );
        let gaps = TestBatch { last_offset_delta: Some(9), ..ordinary.clone() };
        assert_eq!(seen(&gaps), Some(Obstacle::Gaps { missing_records: 6 }));
        let empty = TestBatch { records: Vec::new(), ..gaps };
        assert_eq!(seen(&empty), Some(Obstacle::Empty { offsets: 10 }));
    }

    proptest! {
        #[test]
        fn any_batch_with_any_stamp_has_a_right_checksum(
            source in any_batch(),
            producer_id: i64,
            producer_epoch: i16,
            base_sequence: i32,
            attributes in (0..16i16).prop_map(|bits| bits << 3),
        ) {
            let batch = fetched(TestBatch { attributes, ..source }.encode());
            let wire = on_the_wire(&rewrite(&batch, Stamp { producer_id, producer_epoch, base_sequence }));
            let view: Result<_, ViewError> = BatchView::parse(&wire);
            prop_assert!(view.unwrap().checksum_holds());
        }

        #[test]
        fn sequences_count_as_kafka_counts(base in 0..=i32::MAX, count in 0..=i32::MAX) {
            let modulus = i64::from(i32::MAX) + 1;
            prop_assert_eq!(i64::from(next_sequence(base, count)), (i64::from(base) + i64::from(count)) % modulus);
        }
    }
}
