//! Batches for the tests of this folder: uncompressed, with a right checksum, and fields as no producer sets them.

use bytes::Bytes;
use lockstep_batch::records::control::{self, ControlKind};
use lockstep_batch::records::{Header, Record, encode};
use lockstep_batch::view::FetchedBatch;

use super::Portion;
use crate::transactions::AbortedTransaction;

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A batch to be.
#[derive(Clone, Debug)]
pub(crate) struct Plain {
    pub(crate) attributes: i16,
    pub(crate) producer_id: i64,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) base_timestamp: i64,
    pub(crate) records: Vec<Record>,
    /// Bytes behind the last record.
    pub(crate) trailing: usize,
}

/// The record that belongs at `offset`, always the same.
pub(crate) fn record(offset: i64) -> Record {
    Record {
        offset,
        timestamp: 1_700_000_000_000 + offset,
        key: Some(Bytes::from(format!("key-{offset}"))),
        value: Some(Bytes::from(format!("value of {offset}"))),
        headers: vec![Header { key: Bytes::from_static(b"h"), value: None }],
    }
}

impl Plain {
    pub(crate) fn of(records: Vec<Record>) -> Self {
        let (base_offset, base_timestamp) = (records[0].offset, records[0].timestamp);
        Self {
            attributes: 0,
            producer_id: 7,
            base_offset,
            last_offset: records[records.len() - 1].offset,
            base_timestamp,
            records,
            trailing: 0,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut payload = encode(&self.records, self.base_offset, self.base_timestamp).unwrap();
        payload.extend(vec![0xee; self.trailing]);
        let max = self.records.iter().map(|r| r.timestamp).max().unwrap_or(-1);
        let mut covered = Vec::new();
        covered.extend(self.attributes.to_be_bytes());
        covered.extend(((self.last_offset - self.base_offset) as i32).to_be_bytes());
        covered.extend(self.base_timestamp.to_be_bytes());
        covered.extend(max.to_be_bytes());
        covered.extend(self.producer_id.to_be_bytes());
        covered.extend(0i16.to_be_bytes());
        covered.extend(0i32.to_be_bytes());
        covered.extend((self.records.len() as i32).to_be_bytes());
        covered.extend(payload);
        let mut out = Vec::new();
        out.extend(self.base_offset.to_be_bytes());
        out.extend((covered.len() as i32 + 9).to_be_bytes());
        out.extend(3i32.to_be_bytes());
        out.push(2);
        out.extend(lockstep_batch::crc::checksum(&covered).to_be_bytes());
        out.extend(covered);
        out
    }

    pub(crate) fn fetched(&self) -> FetchedBatch {
        FetchedBatch::parse(Bytes::from(self.bytes())).unwrap()
    }
}

/// The records of `offsets` in one batch.
pub(crate) fn batch(offsets: std::ops::Range<i64>) -> FetchedBatch {
    Plain::of(offsets.map(record).collect()).fetched()
}

/// One record with this key and value.
pub(crate) fn keyed(offset: i64, key: &'static str, value: &'static str) -> FetchedBatch {
    let value = Some(Bytes::from_static(value.as_bytes()));
    Plain::of(vec![Record { key: Some(Bytes::from_static(key.as_bytes())), value, ..record(offset) }])
        .fetched()
}

/// One tombstone.
pub(crate) fn tombstone(offset: i64, key: &'static str) -> FetchedBatch {
    Plain::of(vec![Record { key: Some(Bytes::from_static(key.as_bytes())), value: None, ..record(offset) }])
        .fetched()
}

/// As [`batch`], in a transaction of `producer_id`.
pub(crate) fn in_transaction(producer_id: i64, offsets: std::ops::Range<i64>) -> FetchedBatch {
    Plain { attributes: TRANSACTIONAL, producer_id, ..Plain::of(offsets.map(record).collect()) }.fetched()
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    Abort = 0,
    Commit = 1,
}

/// The marker that ends the transaction of `producer_id`.
pub(crate) fn marker(producer_id: i64, offset: i64, ends: Ends) -> FetchedBatch {
    let key = [0, 0, 0, ends as u8];
    let record = Record { key: Some(Bytes::copy_from_slice(&key)), headers: Vec::new(), ..record(offset) };
    Plain { attributes: TRANSACTIONAL | CONTROL, producer_id, ..Plain::of(vec![record]) }.fetched()
}

/// What the cleaner leaves of a batch without a surviving record.
pub(crate) fn emptied(offsets: std::ops::Range<i64>) -> FetchedBatch {
    let last_offset = offsets.end - 1;
    Plain { last_offset, records: Vec::new(), ..Plain::of(vec![record(offsets.start)]) }.fetched()
}

/// What a broker answers: `batches` of `log`, with the aborted transactions that reach into them.
pub(crate) fn answered(log: &[FetchedBatch], batches: Vec<FetchedBatch>) -> Portion {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Portion::default() };
    let (from, until) = (first.header().base_offset(), last.header().next_offset());
    let mut begun: Vec<AbortedTransaction> = Vec::new();
    let mut aborted = Vec::new();
    for batch in log {
        let (producer_id, offset) = (batch.header().producer_id(), batch.header().base_offset());
        if !batch.header().is_control() && batch.header().is_transactional() {
            if !begun.iter().any(|open| open.producer_id == producer_id) {
                begun.push(AbortedTransaction { producer_id, first_offset: offset });
            }
        } else if let Ok(Some(kind)) = control::kind(&batch.view())
            && let Some(at) = begun.iter().position(|open| open.producer_id == producer_id)
        {
            let ended = begun.remove(at);
            if kind == ControlKind::Abort && offset >= from && ended.first_offset < until {
                aborted.push(ended);
            }
        }
    }
    Portion { batches, aborted }
}
