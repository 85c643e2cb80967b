//! The header of a v2 batch (61 bytes) as numbers, and the one place that knows where each field lies.
//! Promises: a [`BatchHeader`] has passed every check of [`BatchHeader::parse`], so that its arithmetic
//! cannot overflow. Never looks behind the header. On failure: a [`ViewError`] that says what was wrong.
//! Names and layout are those of Apache Kafka's `DefaultRecordBatch.java`.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// The bytes of the header that the checksum covers: from the attributes to the end of the header.
/// (It also covers everything behind the header.)
pub const HEADER_PART: Range<usize> = 21..HEADER_LEN;

/// Base offset and length: what the length field does not count.
const LOG_OVERHEAD: usize = 12;

/// Where each field starts.
pub(crate) mod at {
    pub(crate) const BASE_OFFSET: usize = 0;
    pub(crate) const LENGTH: usize = 8;
    pub(crate) const LEADER_EPOCH: usize = 12;
    /// In the same place in the old formats (magic 0 and 1).
    pub(crate) const MAGIC: usize = 16;
    pub(crate) const CRC: usize = 17;
    pub(crate) const ATTRIBUTES: usize = 21;
    pub(crate) const LAST_OFFSET_DELTA: usize = 23;
    pub(crate) const BASE_TIMESTAMP: usize = 27;
    pub(crate) const MAX_TIMESTAMP: usize = 35;
    pub(crate) const PRODUCER_ID: usize = 43;
    pub(crate) const PRODUCER_EPOCH: usize = 51;
    pub(crate) const BASE_SEQUENCE: usize = 53;
    pub(crate) const RECORD_COUNT: usize = 57;
}

/// The attributes, bit by bit.
pub(crate) mod attribute {
    pub(crate) const CODEC: i16 = 0b0000_0111;
    pub(crate) const LOG_APPEND_TIME: i16 = 0b0000_1000;
    pub(crate) const TRANSACTIONAL: i16 = 0b0001_0000;
    pub(crate) const CONTROL: i16 = 0b0010_0000;
    pub(crate) const DELETE_HORIZON: i16 = 0b0100_0000;
}

/// Why bytes are not a whole v2 batch. All but [`ViewError::Cut`] mean that reading on makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ViewError {
    /// The bytes end inside the batch. Normal for the last batch of a Fetch answer.
    #[error("the batch is cut short: it needs {needed} bytes and {have} are there")]
    Cut {
        /// Bytes of the whole batch; of the start of its header (17), if not even that is there.
        needed: u64,
        /// Bytes that are there.
        have: usize,
    },
    /// Message format 0 or 1 (before Kafka 0.11): it has no batches in this sense.
    #[error("message format {magic} at offset {offset}: record batches came with format 2 (Kafka 0.11)")]
    OldFormat {
        /// The offset field of the entry, unchecked: of a compressed entry that of its *last* message.
        offset: i64,
        /// 0 or 1.
        magic: i8,
    },
    #[error("unknown message format {magic} at offset {offset}")]
    UnknownMagic { offset: i64, magic: i8 },
    /// The length field is below what a header alone takes (49), or negative.
    #[error("the length field of the batch at offset {offset} says {length}: no batch is that short")]
    BadLength { offset: i64, length: i32 },
    #[error("the base offset is negative ({base_offset})")]
    NegativeOffset { base_offset: i64 },
    #[error("the last offset delta of the batch at offset {base_offset} is negative ({last_offset_delta})")]
    NegativeDelta { base_offset: i64, last_offset_delta: i32 },
    /// The offset after the batch does not fit in 63 bits.
    #[error("offsets overflow: {base_offset} + {last_offset_delta}")]
    OffsetOverflow { base_offset: i64, last_offset_delta: i32 },
    /// Negative, or more records than offsets.
    #[error(
        "{count} records in the batch at offset {base_offset}, whose last offset delta is {last_offset_delta}"
    )]
    BadCount { base_offset: i64, count: i32, last_offset_delta: i32 },
    #[error("unknown compression codec {code} in the batch at offset {base_offset}")]
    UnknownCodec { base_offset: i64, code: u8 },
}

/// How the records of a batch are compressed (attributes, bits 0 to 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// The attributes of a batch with this codec and nothing else.
    pub(crate) fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }
}

impl fmt::Display for Codec {
    /// As in Kafka's `compression.type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Whose clock the timestamps are (attributes, bit 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    CreateTime,
    /// The broker's: every record has the batch's max timestamp, whatever its own delta says.
    LogAppendTime,
}

/// The checked header of one batch. Timestamps are milliseconds since 1970, −1 where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    length: usize,
    base_offset: i64,
    leader_epoch: i32,
    crc: u32,
    attributes: i16,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    record_count: i32,
}

impl BatchHeader {
    /// Reads the header of the batch at the start of `bytes`, which must hold the whole batch.
    ///
    /// Checked: the format, that the batch ends inside `bytes`, that offsets neither are negative nor
    /// overflow, that there are not more records than offsets. Not checked: the checksum, the codec.
    pub fn parse(bytes: &[u8]) -> Result<Self, ViewError> {
        let have = bytes.len();
        let Some(start) = bytes.first_chunk::<{ at::CRC }>() else {
            return Err(ViewError::Cut { needed: at::CRC as u64, have });
        };
        let base_offset = i64::from_be_bytes(field(start, at::BASE_OFFSET));
        let length = i32::from_be_bytes(field(start, at::LENGTH));
        let [magic] = field(start, at::MAGIC);
        // A garbled length is reported before the magic byte: that byte may lie behind the entry's end.
        // (Entries of the old formats are at least 14 bytes long.)
        let counted = usize::try_from(length).ok().filter(|counted| *counted >= 14);
        let Some(counted) = counted else {
            return Err(ViewError::BadLength { offset: base_offset, length });
        };
        match i8::from_be_bytes([magic]) {
            2 => {}
            magic @ (0 | 1) => return Err(ViewError::OldFormat { offset: base_offset, magic }),
            magic => return Err(ViewError::UnknownMagic { offset: base_offset, magic }),
        }
        if counted < HEADER_LEN - LOG_OVERHEAD {
            return Err(ViewError::BadLength { offset: base_offset, length });
        }
        let needed = counted as u64 + LOG_OVERHEAD as u64;
        match bytes.first_chunk::<HEADER_LEN>() {
            Some(header) if have as u64 >= needed => Self::from_header(header, counted + LOG_OVERHEAD),
            _ => Err(ViewError::Cut { needed, have }),
        }
    }

    fn from_header(header: &[u8; HEADER_LEN], length: usize) -> Result<Self, ViewError> {
        let parsed = Self {
            length,
            base_offset: i64::from_be_bytes(field(header, at::BASE_OFFSET)),
            leader_epoch: i32::from_be_bytes(field(header, at::LEADER_EPOCH)),
            crc: u32::from_be_bytes(field(header, at::CRC)),
            attributes: i16::from_be_bytes(field(header, at::ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(field(header, at::LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(header, at::BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(header, at::MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(header, at::PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(header, at::PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(header, at::BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(header, at::RECORD_COUNT)),
        };
        parsed.check()?;
        Ok(parsed)
    }

    /// What makes the sums in the accessors below safe.
    fn check(&self) -> Result<(), ViewError> {
        let Self { base_offset, last_offset_delta, record_count: count, .. } = *self;
        if base_offset < 0 {
            return Err(ViewError::NegativeOffset { base_offset });
        }
        if last_offset_delta < 0 {
            return Err(ViewError::NegativeDelta { base_offset, last_offset_delta });
        }
        let offsets = i64::from(last_offset_delta) + 1;
        if base_offset.checked_add(offsets).is_none() {
            return Err(ViewError::OffsetOverflow { base_offset, last_offset_delta });
        }
        if count < 0 || i64::from(count) > offsets {
            return Err(ViewError::BadCount { base_offset, count, last_offset_delta });
        }
        Ok(())
    }

    /// Bytes of the whole batch, header included. At least 61.
    #[allow(clippy::len_without_is_empty)] // a batch always has its header
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Bytes behind the header.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.length - HEADER_LEN
    }

    /// Offset of the first record the batch was written with; the cleaner may have removed it since.
    #[must_use]
    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    /// Offset of the last record the batch was written with; the cleaner may have removed it since.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// The offset behind the batch: where the next one can start.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.last_offset_delta
    }

    /// The epoch of the leader that appended the batch; −1 from a producer. Not covered by the checksum.
    #[must_use]
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// Always 2.
    #[must_use]
    pub fn magic(&self) -> i8 {
        2
    }

    /// The checksum field, as it was read: nothing says that it is right.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    #[must_use]
    pub fn attributes(&self) -> i16 {
        self.attributes
    }

    /// [`ViewError::UnknownCodec`] for the codes 5 to 7.
    pub fn codec(&self) -> Result<Codec, ViewError> {
        match self.attributes & attribute::CODEC {
            0 => Ok(Codec::None),
            1 => Ok(Codec::Gzip),
            2 => Ok(Codec::Snappy),
            3 => Ok(Codec::Lz4),
            4 => Ok(Codec::Zstd),
            code => Err(ViewError::UnknownCodec { base_offset: self.base_offset, code: code as u8 }),
        }
    }

    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes & attribute::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & attribute::TRANSACTIONAL != 0
    }

    /// A transaction marker or another record of the brokers' own: no consumer sees it.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & attribute::CONTROL != 0
    }

    /// When the cleaner may drop the tombstones or the marker in this batch (KIP-534, attributes bit 6):
    /// then the base timestamp is this time, and the deltas of the records are relative to it.
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes & attribute::DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// What the timestamp deltas of the records are relative to.
    #[must_use]
    pub fn base_timestamp(&self) -> i64 {
        self.base_timestamp
    }

    #[must_use]
    pub fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// −1 if the producer was not idempotent.
    #[must_use]
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    #[must_use]
    pub fn producer_epoch(&self) -> i16 {
        self.producer_epoch
    }

    #[must_use]
    pub fn base_sequence(&self) -> i32 {
        self.base_sequence
    }

    /// Records that are in the batch now. The cleaner leaves empty batches (0 records) behind.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Offsets of the batch that have no record any more, because the cleaner removed it (M11).
    #[must_use]
    pub fn missing_records(&self) -> i64 {
        i64::from(self.last_offset_delta) + 1 - i64::from(self.record_count)
    }
}

/// The `N` bytes from `start`. Callers pass constants inside the header, so the index is in bounds.
fn field<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[start..start + N]);
    field
}
