//! The records of a batch, decoded and encoded: for `verify`, and for what `build` makes anew (M17). Batches that
//! are mirrored as they are never come here.
//! Promises: offsets, timestamps, null and empty, order and repetition of headers exactly as written; memory
//! bounded by [`Limits`]. Never checks the batch's checksum (`BatchView::checksum_holds` does), never repairs.
//! On failure: [`RecordError`], and no further record.

pub(crate) mod compress;
pub mod control;
mod cursor;
pub(crate) mod decompress;
pub(crate) mod encode;
pub(crate) mod walk;

use bytes::Bytes;
use thiserror::Error;

use crate::header::{BatchHeader, Codec, ViewError};
use crate::view::BatchView;
use cursor::Cursor;
pub use encode::encode;
use walk::{RawRecord, Walk};

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
    let header = **view;
    let limit_bytes = limits.decompressed_bytes_max;
    let body = decompress::records(&header, view.payload(), limit_bytes)?;
    Ok(RecordIter { header, limit_bytes, walk: Walk::new(&header), body })
}

/// The records of one batch, in order. Ends after the first error.
///
/// After the last record comes an error if bytes are left over.
#[derive(Clone, Debug)]
pub struct RecordIter {
    header: BatchHeader,
    limit_bytes: usize,
    walk: Walk,
    /// Empty once the iteration has ended.
    body: Bytes,
}

impl Iterator for RecordIter {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.walk.next(&self.body) {
            Some(Ok(raw)) => Some(self.record(&raw)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        if !matches!(record, Some(Ok(_))) {
            self.walk.end();
            self.body = Bytes::new();
        }
        record
    }
}

impl std::iter::FusedIterator for RecordIter {}

impl RecordIter {
    fn record(&self, raw: &RawRecord<'_>) -> Result<Record, RecordError> {
        let malformed = |fault| RecordError::Malformed { index: raw.index, fault };
        let shared = |bytes: &[u8]| self.body.slice_ref(bytes);
        let mut fields = Cursor::new(raw.tail);
        let key = fields.nullable().map_err(malformed)?.map(shared);
        let value = fields.nullable().map_err(malformed)?.map(shared);
        let headers = self.headers(&mut fields, raw.index)?;
        match fields.remaining() {
            0 => {}
            left => return Err(malformed(Fault::LongerThanItsFields(left))),
        }
        let (offset, timestamp) = (raw.offset(&self.header), raw.timestamp(&self.header));
        Ok(Record { offset, timestamp, key, value, headers })
    }

    fn headers(&self, fields: &mut Cursor<'_>, index: i32) -> Result<Vec<Header>, RecordError> {
        let malformed = |fault| RecordError::Malformed { index, fault };
        let count = fields.header_count().map_err(malformed)?;
        if count.saturating_mul(size_of::<Header>()) > self.limit_bytes {
            return Err(RecordError::TooLarge { limit_bytes: self.limit_bytes });
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let (key, value) = fields.header().map_err(malformed)?;
            headers.push(Header {
                key: self.body.slice_ref(key),
                value: value.map(|value| self.body.slice_ref(value)),
            });
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests;
