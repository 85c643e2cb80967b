//! The records of a batch, decoded: for `verify`; mirroring never comes here.
//! Promises: offsets, timestamps, null and empty, order and repetition of headers exactly as written; memory
//! bounded by [`Limits`]. Never checks the batch's checksum (`BatchView::checksum_holds` does), never repairs.
//! On failure: [`RecordError`], and no further record.

pub mod control;
mod cursor;
mod decompress;

use bytes::Bytes;
use thiserror::Error;

use crate::header::{BatchHeader, Codec, TimestampType, ViewError};
use crate::view::BatchView;
use cursor::Cursor;

/// What decoding one batch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the decompressed records, or of the records as they are if not compressed. The list of headers
    /// of a record counts against it on its own. Decompressors take up to their window on top: zstd 128 MiB
    /// at the very most, lz4 some 12 MiB, the others less.
    pub decompressed_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { decompressed_bytes_max: 256 << 20 }
    }
}

/// One record. Its bytes are slices of the decompressed batch and keep that in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    /// Milliseconds since 1970; −1: none.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In the order written; keys may repeat.
    pub headers: Vec<Header>,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// UTF-8 by Kafka's protocol, but brokers do not check that: kept as bytes.
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// Why the records of a batch could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    #[error(transparent)]
    Batch(#[from] ViewError),
    /// More than [`Limits::decompressed_bytes_max`].
    #[error("the records take more than {limit_bytes} bytes when decompressed")]
    TooLarge { limit_bytes: usize },
    #[error("the records do not decompress ({codec}): {cause}")]
    Decompress { codec: Codec, cause: String },
    #[error("record {index} of the batch is malformed: {fault}")]
    Malformed {
        /// 0-based, within the batch.
        index: i32,
        fault: Fault,
    },
    #[error("{bytes} bytes follow the last record of the batch")]
    TrailingBytes { bytes: usize },
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// A field, or the record, goes on beyond its end.
    #[error("it is cut short")]
    Cut,
    /// More bytes than an integer of its width can take.
    #[error("a number in it is too long")]
    LongVarint,
    /// A negative length where null (−1) is not allowed, or below −1; a negative count of headers.
    #[error("a length in it is negative ({0})")]
    NegativeLength(i32),
    /// Outside the batch, or not above that of the record before.
    #[error("its offset delta {0} is out of order or outside the batch")]
    OffsetDelta(i32),
    #[error("it is {0} bytes longer than its fields")]
    LongerThanItsFields(usize),
}

/// Decompresses `view` and returns its records. The result does not borrow from `view`.
///
/// Of the checks only those on compression happen here; each record is checked when its turn comes.
pub fn decode(view: &BatchView<'_>, limits: Limits) -> Result<RecordIter, RecordError> {
    let codec = view.codec()?;
    let header = **view;
    let limit_bytes = limits.decompressed_bytes_max;
    let body = if header.record_count() == 0 {
        // The cleaner leaves a bare header: nothing there to decompress, whatever the codec says.
        match view.payload().len() {
            0 => Bytes::new(),
            bytes => return Err(RecordError::TrailingBytes { bytes }),
        }
    } else {
        decompress::decompress(codec, view.payload(), limit_bytes)?
    };
    Ok(RecordIter { header, limit_bytes, body: Cursor::new(body), index: 0, previous_delta: -1 })
}

/// The records of one batch, in order. Ends after the first error.
///
/// After the last record comes an error if bytes are left over.
#[derive(Clone, Debug)]
pub struct RecordIter {
    header: BatchHeader,
    limit_bytes: usize,
    /// Empty once the iteration has ended.
    body: Cursor,
    /// Of the record to come, 0-based; the count of the batch once the iteration has ended.
    index: i32,
    /// Offset delta of the record before; −1 before the first.
    previous_delta: i32,
}

impl Iterator for RecordIter {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.header.record_count() {
            let bytes = self.body.remaining();
            self.end();
            return (bytes > 0).then_some(Err(RecordError::TrailingBytes { bytes }));
        }
        let record = self.read_record();
        match record {
            Ok(_) => self.index += 1,
            Err(_) => self.end(),
        }
        Some(record)
    }
}

impl std::iter::FusedIterator for RecordIter {}

impl RecordIter {
    fn end(&mut self) {
        self.index = self.header.record_count();
        self.body = Cursor::new(Bytes::new());
    }

    /// One record (`DefaultRecord.java` in Apache Kafka): its length, then attributes, timestamp delta, offset
    /// delta, key, value, headers.
    fn read_record(&mut self) -> Result<Record, RecordError> {
        let index = self.index;
        let malformed = |fault| RecordError::Malformed { index, fault };
        let length = self.body.length().map_err(malformed)?;
        let mut fields = Cursor::new(self.body.take(length).map_err(malformed)?);
        fields.byte().map_err(malformed)?; // attributes: no bit of them has a meaning yet
        let timestamp_delta = fields.varlong().map_err(malformed)?;
        let offset_delta = fields.varint().map_err(malformed)?;
        if offset_delta <= self.previous_delta || offset_delta > self.header.last_offset_delta() {
            return Err(malformed(Fault::OffsetDelta(offset_delta)));
        }
        self.previous_delta = offset_delta;
        let key = fields.nullable().map_err(malformed)?;
        let value = fields.nullable().map_err(malformed)?;
        let headers = read_headers(&mut fields, self.limit_bytes, malformed)?;
        match fields.remaining() {
            0 => {}
            left => return Err(malformed(Fault::LongerThanItsFields(left))),
        }
        Ok(Record {
            offset: self.header.base_offset() + i64::from(offset_delta),
            timestamp: self.timestamp(timestamp_delta),
            key,
            value,
            headers,
        })
    }

    /// With a delete horizon the base timestamp is that horizon and the deltas are relative to it (KIP-534,
    /// `MemoryRecordsBuilder.java` in Apache Kafka): the sum is the record's own timestamp all the same.
    fn timestamp(&self, delta: i64) -> i64 {
        match self.header.timestamp_type() {
            // Wraps as a Java consumer's sum does: no timestamp is invalid.
            TimestampType::CreateTime => self.header.base_timestamp().wrapping_add(delta),
            TimestampType::LogAppendTime => self.header.max_timestamp(),
        }
    }
}

fn read_headers(
    fields: &mut Cursor,
    limit_bytes: usize,
    malformed: impl Fn(Fault) -> RecordError + Copy,
) -> Result<Vec<Header>, RecordError> {
    let count = fields.length().map_err(malformed)?;
    // A header is two bytes at least in the batch, and many more in memory.
    if count > fields.remaining() / 2 {
        return Err(malformed(Fault::Cut));
    }
    if count.saturating_mul(size_of::<Header>()) > limit_bytes {
        return Err(RecordError::TooLarge { limit_bytes });
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        let length = fields.length().map_err(malformed)?;
        let key = fields.take(length).map_err(malformed)?;
        let value = fields.nullable().map_err(malformed)?;
        headers.push(Header { key, value });
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
