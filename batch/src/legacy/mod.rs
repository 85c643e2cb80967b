//! Message formats 0 and 1 (before Kafka 0.11), as old brokers and old segments still hold them: decoded only, so
//! that they can be written anew as v2 batches (M17).
//!
//! An *entry* is what stands in the log: one message, or a *wrapper* whose value is a compressed set of messages.
//! Promises: offsets, timestamps (those that consumers see; format 0 has none: −1), null and empty as written;
//! every checksum, the inner ones too, is checked; memory bounded by [`Limits`]. Never written by Lockstep.
//! On failure: [`OldEntryError`], and no record. Source: `LegacyRecord.java`, `AbstractLegacyRecordBatch.java` in
//! Apache Kafka, KIP-31 and KIP-32.

mod lz4;
mod message;

use bytes::Bytes;
use thiserror::Error;

use crate::header::{Codec, ViewError};
use crate::records::{Limits, Record, RecordError, decompress};
use message::Message;

/// Offset and length: what the length field does not count.
const LOG_OVERHEAD: usize = 12;

/// Where the magic byte is, as in v2.
const MAGIC_AT: usize = 16;

/// Checksum, magic, attributes, length of key, length of value: the least that a length field can say.
const COUNTED_MIN: [usize; 2] = [14, 22];

/// A whole entry of format 0 or 1 as it was fetched. A clone is cheap and shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldEntry {
    offset: i64,
    magic: i8,
    attributes: u8,
    /// Exactly the entry.
    bytes: Bytes,
}

impl OldEntry {
    /// The entry at the start of `frame`, whose magic byte says 0 or 1. What lies behind it is not part of the value.
    pub fn parse(mut frame: Bytes) -> Result<Self, ViewError> {
        let have = frame.len();
        let Some(start) = frame.first_chunk::<{ MAGIC_AT + 2 }>() else {
            return Err(ViewError::Cut { needed: MAGIC_AT as u64 + 2, have });
        };
        let [o0, o1, o2, o3, o4, o5, o6, o7, l0, l1, l2, l3, .., magic, attributes] = *start;
        let offset = i64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]);
        let length = i32::from_be_bytes([l0, l1, l2, l3]);
        let Some(counted_min) = COUNTED_MIN.get(usize::from(magic)) else {
            return Err(ViewError::UnknownMagic { offset, magic: magic as i8 });
        };
        let counted = usize::try_from(length).ok().filter(|counted| counted >= counted_min);
        let Some(counted) = counted else {
            return Err(ViewError::BadLength { offset, length });
        };
        if offset < 0 {
            return Err(ViewError::NegativeOffset { base_offset: offset });
        }
        if offset == i64::MAX {
            return Err(ViewError::OffsetOverflow { base_offset: offset, last_offset_delta: 0 });
        }
        let needed = counted as u64 + LOG_OVERHEAD as u64;
        if (have as u64) < needed {
            return Err(ViewError::Cut { needed, have });
        }
        frame.truncate(counted + LOG_OVERHEAD);
        Ok(Self { offset, magic: magic as i8, attributes, bytes: frame })
    }

    /// 0 or 1.
    #[must_use]
    pub fn magic(&self) -> i8 {
        self.magic
    }

    /// The offset of its only message; `None` for a wrapper: its first offset is known only to [`Self::records`].
    /// (It lies behind the entry before, and the cleaner may have left a gap there.)
    #[must_use]
    pub fn first_offset(&self) -> Option<i64> {
        (self.attributes & message::CODEC == 0).then_some(self.offset)
    }

    /// The offset of its last message.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.offset
    }

    /// The offset behind the entry.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.offset + 1
    }

    /// [`OldEntryError::Malformed`] for the codes 4 to 7: zstd came with v2.
    pub fn codec(&self) -> Result<Codec, OldEntryError> {
        let fault = |fault| OldEntryError::Malformed { offset: self.offset, fault };
        message::codec(self.attributes).map_err(fault)
    }

    /// Bytes of the whole entry.
    #[allow(clippy::len_without_is_empty)] // an entry always has its fields
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole entry.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The messages of the entry, one at least, in offset order; without headers: there were none yet.
    ///
    /// `limits` bound the decompressed bytes, and likewise the list of records.
    pub fn records(&self, limits: Limits) -> Result<Vec<Record>, OldEntryError> {
        let malformed = |fault| OldEntryError::Malformed { offset: self.offset, fault };
        let mut rest = self.bytes.clone();
        let outer = Message::read(&mut rest, self.magic).map_err(malformed)?;
        let codec = self.codec()?;
        if codec == Codec::None {
            return Ok(vec![outer.into_record()]);
        }
        let packed = outer.value.as_deref().ok_or_else(|| malformed(OldFault::NoValue))?;
        let plain = match (codec, self.magic) {
            (Codec::Lz4, 0) => {
                decompress::decompress(codec, &lz4::mended(packed), limits.decompressed_bytes_max)
            }
            _ => decompress::decompress(codec, packed, limits.decompressed_bytes_max),
        }?;
        let mut records = self.inner(plain, limits)?;
        self.place(&mut records).map_err(malformed)?;
        if outer.is_log_append_time() {
            records.iter_mut().for_each(|record| record.timestamp = outer.timestamp);
        }
        Ok(records)
    }

    /// The messages in a wrapper, offsets as they are written there.
    fn inner(&self, mut plain: Bytes, limits: Limits) -> Result<Vec<Record>, OldEntryError> {
        let malformed = |fault| OldEntryError::Malformed { offset: self.offset, fault };
        let limit_bytes = limits.decompressed_bytes_max;
        let mut records = Vec::new();
        while !plain.is_empty() {
            let message = Message::read(&mut plain, self.magic).map_err(malformed)?;
            if message.attributes & message::CODEC != 0 {
                return Err(malformed(OldFault::Nested));
            }
            // A message has 26 bytes at least there, and some 100 here.
            if (records.len() + 1).saturating_mul(size_of::<Record>()) > limit_bytes {
                return Err(RecordError::TooLarge { limit_bytes }.into());
            }
            records.push(message.into_record());
        }
        Ok(records)
    }

    /// Makes the offsets of a wrapper's messages absolute: format 1 counts from the wrapper's first message on, and
    /// the wrapper has the offset of the last (KIP-31). In format 0 they are absolute.
    fn place(&self, records: &mut [Record]) -> Result<(), OldFault> {
        let last = records.last().ok_or(OldFault::NoMessage)?.offset;
        let base = match self.magic {
            0 => 0,
            _ => self.offset.checked_sub(last).ok_or(OldFault::Offset(last))?,
        };
        let mut expected_min = 0;
        for record in records {
            let written = record.offset;
            let offset = base.checked_add(written).filter(|at| (expected_min..=self.offset).contains(at));
            record.offset = offset.ok_or(OldFault::Offset(written))?;
            expected_min = record.offset + 1;
        }
        Ok(())
    }
}

/// Why the messages of an entry could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OldEntryError {
    #[error("the old-format entry at offset {offset} is malformed: {fault}")]
    Malformed {
        /// Of the entry.
        offset: i64,
        fault: OldFault,
    },
    /// It does not decompress, or not within the limits.
    #[error(transparent)]
    Unpack(#[from] RecordError),
}

/// What is wrong with an entry or a message in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OldFault {
    #[error("a message in it is cut short")]
    Cut,
    #[error("the checksum of a message in it does not match")]
    Checksum,
    /// Below −1.
    #[error("a length in it is negative ({0})")]
    NegativeLength(i32),
    #[error("a message in it is {0} bytes longer than its fields")]
    LongerThanItsFields(usize),
    #[error("its compression codec {0} is not known to this format")]
    UnknownCodec(u8),
    #[error("it is compressed and has no value")]
    NoValue,
    #[error("it is compressed and holds no message")]
    NoMessage,
    #[error("it holds a compressed message inside a compressed one")]
    Nested,
    #[error("a message in it has format {0}, unlike the entry")]
    OtherMagic(i8),
    /// Not above the one before, above the entry's, or negative.
    #[error("the offset {0} in it is out of order or outside the entry")]
    Offset(i64),
}

#[cfg(test)]
mod tests;
