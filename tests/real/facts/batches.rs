//! Uncompressed v2 batches written by hand, field by field: also such as no client library would send.
//! Promises: the checksum fits whatever the fields say, so that a refusal is about the fields.
//! Format: `DefaultRecordBatch.java` and `DefaultRecord.java` of Apache Kafka.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lockstep_batch::crc;
use lockstep_batch::header::{HEADER_LEN, HEADER_PART};
use lockstep_batch::records::{Record, encode};
use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::ProduceBatch;

pub(crate) const DAY_MS: i64 = 86_400_000;

/// A producer without an id, as ordinary non-idempotent clients are.
pub(crate) const NOBODY: ProducerIdentity = ProducerIdentity { id: -1, epoch: -1 };

/// Attribute bit of transaction markers.
pub(crate) const CONTROL: i16 = 0b10_0000;

/// A batch to be. Public fields: a test sets what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
    pub(crate) records: i32,
    /// From one record's offset to the next one's; 1 leaves no gaps.
    pub(crate) offset_step: i32,
    /// Of every record, in milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) attributes: i16,
    pub(crate) value_bytes: usize,
}

impl Batch {
    /// Ordinary records of this moment.
    pub(crate) fn new(producer: ProducerIdentity, sequence: i32, records: i32) -> Self {
        Self {
            producer,
            sequence,
            records,
            offset_step: 1,
            timestamp: now_ms(),
            attributes: 0,
            value_bytes: 20,
        }
    }

    /// Of a producer without an id.
    pub(crate) fn of_nobody(records: i32) -> Self {
        Self::new(NOBODY, -1, records)
    }

    pub(crate) fn at(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let mut covered = Vec::new();
        covered.extend(self.attributes.to_be_bytes());
        covered.extend(((self.records - 1).max(0) * self.offset_step).to_be_bytes());
        covered.extend(self.timestamp.to_be_bytes());
        covered.extend(self.timestamp.to_be_bytes());
        covered.extend(self.producer.id.to_be_bytes());
        covered.extend(self.producer.epoch.to_be_bytes());
        covered.extend(self.sequence.to_be_bytes());
        covered.extend(self.records.to_be_bytes());
        covered.extend(encode(&self.values(), 0, self.timestamp).unwrap());
        let mut batch = 0i64.to_be_bytes().to_vec();
        // What follows the length field: leader epoch, magic and checksum come before the covered part.
        batch.extend(i32::try_from(covered.len() + 9).unwrap().to_be_bytes());
        batch.extend((-1i32).to_be_bytes());
        batch.push(2);
        batch.extend(crc::checksum(&covered).to_be_bytes());
        assert_eq!(batch.len(), HEADER_PART.start);
        batch.extend(covered);
        batch.into()
    }

    fn values(&self) -> Vec<Record> {
        let record = |index: i32| Record {
            offset: i64::from(index * self.offset_step),
            timestamp: self.timestamp,
            key: None,
            value: Some(vec![b'v'; self.value_bytes].into()),
            headers: Vec::new(),
        };
        (0..self.records).map(record).collect()
    }
}

impl From<&Batch> for ProduceBatch {
    fn from(batch: &Batch) -> Self {
        as_they_are(&batch.bytes())
    }
}

/// Bytes to be produced unchanged.
pub(crate) fn as_they_are(bytes: &Bytes) -> ProduceBatch {
    ProduceBatch { header: bytes.slice(..HEADER_LEN), payload: bytes.slice(HEADER_LEN..) }
}

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
