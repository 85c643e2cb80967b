//! Test doubles of this folder: batches that hold real records, and a destination partition that behaves as a
//! broker does (sequence checks, repeats answered, coordinator epochs, end read separately). Tests only.

use bytes::{Bytes, BytesMut};
use lockstep_batch::build;
use lockstep_batch::header::Codec;
use lockstep_batch::records::{Limits, Record, decode};
use lockstep_batch::rewrite::{MirroredBatch, next_sequence};
use lockstep_batch::view::FetchedBatch;

use super::WallMillis;
use super::opening::ProducerOnPartition;

/// A value above what is merged (M17).
const LARGE_VALUE_BYTES: usize = 33 << 10;

/// The record that belongs at `offset`: what it says is its offset.
pub(crate) fn record(offset: i64, timestamp: i64) -> Record {
    Record {
        offset,
        timestamp,
        key: Some(Bytes::from(format!("k{offset}"))),
        value: Some(Bytes::from(format!("of {offset}"))),
        headers: Vec::new(),
    }
}

/// A batch small enough to be merged with its neighbours.
pub(crate) fn small(base: i64, records: i32, timestamp: i64) -> FetchedBatch {
    packed(base, records, timestamp, Codec::None)
}

pub(crate) fn packed(base: i64, records: i32, timestamp: i64, codec: Codec) -> FetchedBatch {
    let records: Vec<_> = (base..base + i64::from(records)).map(|at| record(at, timestamp)).collect();
    build::batch(&records, codec, 6).unwrap()
}

/// A batch too large to be merged: it goes out as it is.
pub(crate) fn large(base: i64, records: i32, timestamp: i64) -> FetchedBatch {
    let mut records: Vec<_> = (base..base + i64::from(records)).map(|at| record(at, timestamp)).collect();
    records[0].value = Some(Bytes::from(vec![base as u8; LARGE_VALUE_BYTES]));
    build::batch(&records, Codec::None, 6).unwrap()
}

/// What the destination did with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Base(i64),
    Refused,
}

/// What stands at one offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Record(Record),
    Marker,
}

/// What the broker remembers of the link's producer (Kafka: `ProducerStateEntry`).
#[derive(Clone, Debug)]
struct Memory {
    /// (base sequence, last sequence, offset), the last five; none: known by markers alone.
    batches: Vec<(i32, i32, i64)>,
    /// Of the newest batch, or of the broker's clock at the newest marker: what it is forgotten by (M6).
    last_timestamp: i64,
    /// Of the last marker; −1: none (M13).
    coordinator_epoch: i32,
}

/// One destination partition with one idempotent producer, as strict as a broker.
#[derive(Debug, Default)]
pub(crate) struct DestLog {
    pub(crate) slots: Vec<Slot>,
    /// Where each appended batch starts.
    pub(crate) bases: Vec<i64>,
    memory: Option<Memory>,
}

impl DestLog {
    pub(crate) fn end(&self) -> i64 {
        self.slots.len() as i64
    }

    /// Appends as a broker does: a repeat is answered, a gap or a damaged batch refused, an unknown producer taken
    /// as it is, one known by markers alone has to begin at 0 (Kafka: `ProducerAppendInfo`).
    pub(crate) fn append(&mut self, batch: &MirroredBatch) -> Answer {
        let (first, last) = (batch.stamp().base_sequence, batch.last_sequence());
        let mut bytes = BytesMut::new();
        batch.write_to(&mut bytes);
        let arrived = FetchedBatch::parse(bytes.freeze()).unwrap();
        if !arrived.view().checksum_holds() {
            return Answer::Refused;
        }
        if let Some(memory) = &self.memory {
            if let Some((_, _, offset)) = memory.batches.iter().find(|(f, l, _)| (*f, *l) == (first, last)) {
                return Answer::Base(*offset);
            }
            let wanted = memory.batches.last().map_or(0, |(_, previous, _)| next_sequence(*previous, 1));
            if first != wanted {
                return Answer::Refused;
            }
        }
        let at = self.end();
        let records = decode(&arrived.view(), Limits::default()).unwrap().map(Result::unwrap);
        self.slots.extend(records.map(|r| Slot::Record(Record { offset: at + r.offset, ..r })));
        self.bases.push(at);
        assert_eq!(self.end(), at + i64::from(batch.record_count()));
        let new = Memory { batches: Vec::new(), last_timestamp: -1, coordinator_epoch: -1 };
        let memory = self.memory.get_or_insert(new);
        memory.last_timestamp = batch.max_timestamp();
        memory.batches.push((first, last, at));
        if memory.batches.len() > 5 {
            memory.batches.remove(0);
        }
        Answer::Base(at)
    }

    /// One marker of the link's producer, as `WriteTxnMarkers` writes it: a lower coordinator epoch than the last
    /// one is refused (52), an equal one is taken; the broker's clock is its timestamp (M13).
    pub(crate) fn mark(&mut self, coordinator_epoch: i32, broker_clock: WallMillis) -> Answer {
        let new = Memory { batches: Vec::new(), last_timestamp: -1, coordinator_epoch: -1 };
        if self.memory.as_ref().is_some_and(|memory| coordinator_epoch < memory.coordinator_epoch) {
            return Answer::Refused;
        }
        let memory = self.memory.get_or_insert(new);
        memory.coordinator_epoch = coordinator_epoch;
        memory.last_timestamp = broker_clock.0;
        self.slots.push(Slot::Marker);
        Answer::Base(self.end() - 1)
    }

    /// The producer's entry as DescribeProducers shows it.
    pub(crate) fn producer(&self, epoch: i16) -> Option<ProducerOnPartition> {
        self.memory.as_ref().map(|memory| ProducerOnPartition {
            epoch,
            last_sequence: memory.batches.last().map_or(-1, |(_, last_sequence, _)| *last_sequence),
            last_timestamp_ms: memory.last_timestamp,
            coordinator_epoch: memory.coordinator_epoch,
        })
    }

    /// Whether the producer's last sign is so old that the broker may forget it at any moment.
    pub(crate) fn may_forget(&self, expiration_ms: i64, now: WallMillis) -> bool {
        self.memory.as_ref().is_some_and(|memory| now.0 - memory.last_timestamp > expiration_ms)
    }

    /// As after `producer.id.expiration.ms`.
    pub(crate) fn forget_producer(&mut self) {
        self.memory = None;
    }
}
