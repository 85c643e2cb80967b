//! The records of a batch one by one, in place: what is in front of the key is read, the rest stays bytes.
//! So records can be moved to another batch without being decoded (M17).
//! Promises: offset deltas rise and stay inside the batch; ends after the first error; allocates nothing.
//! Never looks behind the prefix of a record unless asked to ([`RawRecord::check`]). On failure: [`RecordError`].

use super::cursor::Cursor;
use super::{Fault, RecordError};
use crate::header::{BatchHeader, TimestampType};

/// One record; of `DefaultRecord.java` in Apache Kafka the fields up to the offset delta.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    /// 0-based, within the batch.
    pub(crate) index: i32,
    /// No bit of them has a meaning yet.
    pub(crate) attributes: u8,
    timestamp_delta: i64,
    offset_delta: i32,
    /// Key, value and headers as they were written.
    pub(crate) tail: &'a [u8],
}

impl RawRecord<'_> {
    /// `header` is that of the record's batch.
    pub(crate) fn offset(&self, header: &BatchHeader) -> i64 {
        header.base_offset() + i64::from(self.offset_delta)
    }

    /// With a delete horizon the base timestamp is that horizon and the deltas are relative to it (KIP-534,
    /// `MemoryRecordsBuilder.java` in Apache Kafka): the sum is the record's own timestamp all the same.
    pub(crate) fn timestamp(&self, header: &BatchHeader) -> i64 {
        match header.timestamp_type() {
            // Wraps as a Java consumer's sum does: no timestamp is invalid.
            TimestampType::CreateTime => header.base_timestamp().wrapping_add(self.timestamp_delta),
            TimestampType::LogAppendTime => header.max_timestamp(),
        }
    }

    /// Walks over key, value and headers.
    pub(crate) fn check(&self) -> Result<(), RecordError> {
        let malformed = |fault| RecordError::Malformed { index: self.index, fault };
        let mut fields = Cursor::new(self.tail);
        fields.nullable().map_err(malformed)?;
        fields.nullable().map_err(malformed)?;
        for _ in 0..fields.header_count().map_err(malformed)? {
            fields.header().map_err(malformed)?;
        }
        match fields.remaining() {
            0 => Ok(()),
            left => Err(malformed(Fault::LongerThanItsFields(left))),
        }
    }
}

/// Where the walk over the records of one batch stands.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    last_offset_delta: i32,
    /// Of the batch; that many records come.
    count: i32,
    /// Bytes walked over.
    position: usize,
    /// Of the record to come, 0-based.
    index: i32,
    /// Offset delta of the record before; −1 before the first.
    previous_delta: i32,
}

impl Walk {
    pub(crate) fn new(header: &BatchHeader) -> Self {
        Self {
            last_offset_delta: header.last_offset_delta(),
            count: header.record_count(),
            position: 0,
            index: 0,
            previous_delta: -1,
        }
    }

    /// The next record. `body` must be the same each time: the batch's records as plain bytes.
    ///
    /// After the last record comes an error if bytes are left over; after an error, nothing.
    pub(crate) fn next<'a>(&mut self, body: &'a [u8]) -> Option<Result<RawRecord<'a>, RecordError>> {
        let rest = body.get(self.position..).unwrap_or_default();
        if self.index == self.count {
            self.position = body.len();
            return (!rest.is_empty()).then_some(Err(RecordError::TrailingBytes { bytes: rest.len() }));
        }
        let mut cursor = Cursor::new(rest);
        match self.read(&mut cursor) {
            Ok(record) => {
                self.position = body.len() - cursor.remaining();
                self.index += 1;
                Some(Ok(record))
            }
            Err(fault) => {
                let index = self.index;
                self.end();
                Some(Err(RecordError::Malformed { index, fault }))
            }
        }
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self) {
        self.index = self.count;
        self.position = usize::MAX;
    }

    fn read<'a>(&mut self, body: &mut Cursor<'a>) -> Result<RawRecord<'a>, Fault> {
        let length = body.length()?;
        let mut fields = Cursor::new(body.take(length)?);
        let attributes = fields.byte()?;
        let timestamp_delta = fields.varlong()?;
        let offset_delta = fields.varint()?;
        if offset_delta <= self.previous_delta || offset_delta > self.last_offset_delta {
            return Err(Fault::OffsetDelta(offset_delta));
        }
        self.previous_delta = offset_delta;
        Ok(RawRecord { index: self.index, attributes, timestamp_delta, offset_delta, tail: fields.rest() })
    }
}
