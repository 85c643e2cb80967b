//! A batch in the making: records come in offset order, then it is sealed: compressed, given header and checksum.
//! Promises: dense offsets, exact timestamps, bounded bytes; what is sealed passes every check of a fetched batch.
//! Never decodes a record. On failure: [`BuildError`]; the assembly is then of no more use.

use bytes::Bytes;

use super::BuildError;
use crate::crc;
use crate::header::{Codec, HEADER_LEN, HEADER_PART, at};
use crate::records::compress::{Effort, compress};
use crate::records::encode::{Oversized, Prefix, put_record};
use crate::view::FetchedBatch;

pub(super) struct Assembly {
    base_offset: i64,
    next_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    codec: Codec,
    /// Of the records without the header.
    bytes_max: usize,
    /// Room for the header, then the records as plain bytes.
    bytes: Vec<u8>,
}

impl Assembly {
    /// For records from `base_offset` on. The deltas of timestamps are relative to `base_timestamp`, which should
    /// be the first record's. At most `bytes_max` bytes of records; `expected_bytes` are allocated at once.
    pub(super) fn new(
        base_offset: i64,
        base_timestamp: i64,
        codec: Codec,
        bytes_max: usize,
        expected_bytes: usize,
    ) -> Result<Self, BuildError> {
        if base_offset < 0 {
            return Err(BuildError::BadOffset { offset: base_offset });
        }
        let mut bytes = Vec::with_capacity(HEADER_LEN + expected_bytes.min(bytes_max));
        bytes.resize(HEADER_LEN, 0);
        Ok(Self {
            base_offset,
            next_offset: base_offset,
            base_timestamp,
            max_timestamp: i64::MIN,
            codec,
            bytes_max,
            bytes,
        })
    }

    pub(super) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Takes a record in: its offset must be the next one. `tail`: key, value and headers as they are written.
    pub(super) fn push(
        &mut self,
        offset: i64,
        timestamp: i64,
        attributes: u8,
        tail: &[u8],
    ) -> Result<(), BuildError> {
        if offset != self.next_offset {
            return Err(BuildError::NotConsecutive { expected: self.next_offset, offset });
        }
        let too_large = BuildError::TooLarge { limit_bytes: self.bytes_max };
        let next_offset = offset.checked_add(1).ok_or(BuildError::BadOffset { offset })?;
        // A batch counts its records in an int32, too.
        let offset_delta = i32::try_from(next_offset - self.base_offset).map_err(|_| too_large.clone())? - 1;
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        if tail.len() > self.bytes_max {
            return Err(too_large);
        }
        put_record(&mut self.bytes, Prefix { attributes, timestamp_delta, offset_delta }, tail)
            .map_err(|Oversized| too_large.clone())?;
        if self.bytes.len() - HEADER_LEN > self.bytes_max {
            return Err(too_large);
        }
        self.next_offset = next_offset;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        Ok(())
    }

    /// The whole batch. `leader_epoch` is not covered by the checksum.
    pub(super) fn seal(self, leader_epoch: i32, effort: Effort) -> Result<FetchedBatch, BuildError> {
        let codec = self.codec;
        let count = i32::try_from(self.next_offset - self.base_offset).unwrap_or(i32::MAX); // checked in `push`
        if count == 0 {
            return Err(BuildError::NoRecord);
        }
        let mut bytes = match codec {
            Codec::None => self.bytes,
            _ => {
                let room = Vec::from([0; HEADER_LEN]);
                compress(codec, effort, &self.bytes[HEADER_LEN..], room)
                    .map_err(|error| BuildError::Compress { codec, cause: error.to_string() })?
            }
        };
        let counted = i32::try_from(bytes.len() - at::LEADER_EPOCH)
            .map_err(|_| BuildError::TooLarge { limit_bytes: i32::MAX as usize })?;
        put(&mut bytes, at::BASE_OFFSET, self.base_offset.to_be_bytes());
        put(&mut bytes, at::LENGTH, counted.to_be_bytes());
        put(&mut bytes, at::LEADER_EPOCH, leader_epoch.to_be_bytes());
        put(&mut bytes, at::MAGIC, [2]);
        put(&mut bytes, at::ATTRIBUTES, codec.bits().to_be_bytes());
        put(&mut bytes, at::LAST_OFFSET_DELTA, (count - 1).to_be_bytes());
        put(&mut bytes, at::BASE_TIMESTAMP, self.base_timestamp.to_be_bytes());
        put(&mut bytes, at::MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(&mut bytes, at::PRODUCER_ID, (-1i64).to_be_bytes());
        put(&mut bytes, at::PRODUCER_EPOCH, (-1i16).to_be_bytes());
        put(&mut bytes, at::BASE_SEQUENCE, (-1i32).to_be_bytes());
        put(&mut bytes, at::RECORD_COUNT, count.to_be_bytes());
        let crc = crc::checksum(&bytes[HEADER_PART.start..]);
        put(&mut bytes, at::CRC, crc.to_be_bytes());
        Ok(FetchedBatch::parse(Bytes::from(bytes))?)
    }
}

/// Callers pass constants inside the header, and the room for it is there.
fn put<const N: usize>(bytes: &mut [u8], start: usize, field: [u8; N]) {
    bytes[start..start + N].copy_from_slice(&field);
}
