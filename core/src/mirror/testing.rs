//! Test doubles of this folder: real batch bytes built by hand, and a destination partition that behaves as
//! a broker does (sequence checks, repeats answered, end read separately). Tests only.

use bytes::{BufMut, Bytes, BytesMut};
use lockstep_batch::rewrite::MirroredBatch;
use lockstep_batch::view::FetchedBatch;

use super::WallMillis;
use super::opening::ProducerOnPartition;

/// What kind of batch to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    Data,
    Control,
    Transactional,
    LogAppendTime,
    /// One record fewer than offsets.
    Thinned,
}

/// A whole v2 batch whose payload says its offset, with a right checksum.
pub(crate) fn batch(kind: BatchKind, base: i64, records: i32) -> FetchedBatch {
    stamped(kind, base, records, 1_700_000_000_000)
}

pub(crate) fn stamped(kind: BatchKind, base: i64, records: i32, timestamp: i64) -> FetchedBatch {
    let attributes = match kind {
        BatchKind::Data | BatchKind::Thinned => 0i16,
        BatchKind::Control => 0b11_0000,
        BatchKind::Transactional => 0b01_0000,
        BatchKind::LogAppendTime => 0b1000,
    };
    let count = if kind == BatchKind::Thinned { records - 1 } else { records };
    let mut covered = BytesMut::new();
    covered.put_i16(attributes);
    covered.put_i32(records - 1);
    covered.put_i64(timestamp);
    covered.put_i64(timestamp);
    covered.put_i64(99);
    covered.put_i16(0);
    covered.put_i32(0);
    covered.put_i32(count);
    covered.put_slice(format!("payload of {base}").as_bytes());
    let mut out = BytesMut::new();
    out.put_i64(base);
    out.put_i32(i32::try_from(covered.len()).unwrap() + 9);
    out.put_i32(6);
    out.put_i8(2);
    out.put_u32(lockstep_batch::crc::checksum(&covered));
    out.put_slice(&covered);
    FetchedBatch::parse(out.freeze()).unwrap()
}

/// What the destination did with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Base(i64),
    Refused,
}

/// One destination partition with one idempotent producer, as strict as a broker.
#[derive(Debug, Default)]
pub(crate) struct DestLog {
    /// (offset, payload) of each appended batch.
    pub(crate) batches: Vec<(i64, Bytes)>,
    pub(crate) end: i64,
    /// (base sequence, last sequence, offset), the last five.
    remembered: Vec<(i32, i32, i64)>,
    /// Of the newest batch: what the broker forgets the producer by (M6).
    last_timestamp: i64,
}

impl DestLog {
    /// Appends as a broker does: a repeat is answered, a gap refused, an unknown producer taken as it is.
    pub(crate) fn append(&mut self, batch: &MirroredBatch) -> Answer {
        let (first, last) = (batch.stamp().base_sequence, batch.last_sequence());
        if let Some((_, _, offset)) = self.remembered.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
            return Answer::Base(*offset);
        }
        if let Some((_, previous, _)) = self.remembered.last()
            && lockstep_batch::rewrite::next_sequence(*previous, 1) != first
        {
            return Answer::Refused;
        }
        let at = self.end;
        self.batches.push((at, batch.payload().clone()));
        self.end += i64::from(batch.record_count());
        self.last_timestamp = batch.max_timestamp();
        self.remembered.push((first, last, at));
        if self.remembered.len() > 5 {
            self.remembered.remove(0);
        }
        Answer::Base(at)
    }

    /// The producer's entry as DescribeProducers shows it.
    pub(crate) fn producer(&self, epoch: i16) -> Option<ProducerOnPartition> {
        self.remembered.last().map(|(_, last_sequence, _)| ProducerOnPartition {
            epoch,
            last_sequence: *last_sequence,
            last_timestamp_ms: self.last_timestamp,
        })
    }

    /// Whether the newest record is so old that the broker may forget the producer at any moment.
    pub(crate) fn may_forget(&self, expiration_ms: i64, now: WallMillis) -> bool {
        !self.remembered.is_empty() && now.0 - self.last_timestamp > expiration_ms
    }

    /// The batch that holds `offset`: where it starts, and its payload.
    pub(crate) fn batch_at(&self, offset: i64) -> Option<&(i64, Bytes)> {
        if offset >= self.end {
            return None;
        }
        self.batches.iter().rev().find(|(at, _)| *at <= offset)
    }

    /// As after `producer.id.expiration.ms`.
    pub(crate) fn forget_producer(&mut self) {
        self.remembered.clear();
    }
}
