//! Batches that no producer wrote: encoded anew, repeated, filled, merged (M14, M17).
//!
//! ```text
//!  Record, Record, …  ─ batch, repeat ─┐
//!  FetchedBatch, …    ─ merge ─────────┼─► Assembly ─► FetchedBatch ─ rewrite ─► …
//!  FetchedBatch       ─ reencode ──────┤     plain       as if it had been fetched
//!  offset and count   ─ filler ────────┘     records
//! ```
//!
//! Promises: every result is a whole batch with a right checksum, dense offsets, CreateTime, no producer; every
//! record keeps offset, timestamp, key, value and headers. Whatever is taken from a fetched batch is taken only
//! after its checksum was found right: the new checksum vouches for new bytes. Nothing is built half.
//! On failure: [`BuildError`].

mod assembly;
mod encode;
mod filler;
mod merge;
mod reencode;
mod repeat;
mod source;

use thiserror::Error;

use crate::header::{Codec, ViewError};
use crate::records::RecordError;

pub use encode::{batch, runs};
pub use filler::{FILLER_RECORDS_MAX, filler, is_filler};
pub use merge::Merger;
pub use reencode::{close_gaps, records, reencode};
pub use repeat::{repeat, repeats_max};

/// Bytes of records, uncompressed, in one batch: more is refused. As in `records::Limits`.
pub const PLAIN_BYTES_MAX: usize = 256 << 20;

/// Bytes of records, uncompressed, in a batch whose size is our choice (repeats, fillers, merging). Clients on
/// librdkafka unpack no batch of more than 100 MB (`receive.message.max.bytes`).
pub const CHOSEN_BYTES_MAX: usize = 64 << 20;

/// Why a batch could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    #[error("a batch needs a record")]
    NoRecord,
    /// Brokers refuse a batch with gaps from a client.
    #[error("a record at offset {offset} where {expected} must come")]
    NotConsecutive { expected: i64, offset: i64 },
    /// Negative, or beyond what 63 bits hold.
    #[error("no record can be at offset {offset}")]
    BadOffset { offset: i64 },
    #[error("{count} records in one batch: 1 to {max} are possible")]
    BadCount { count: u32, max: u32 },
    #[error("the records of the batch take more than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    /// What was fetched is damaged: it must not get a checksum that says otherwise.
    #[error("the checksum of the batch at offset {base_offset} does not match its bytes")]
    Checksum { base_offset: i64 },
    #[error("the batch at offset {base_offset} is a control batch")]
    Control { base_offset: i64 },
    #[error("{codec} compression failed: {cause}")]
    Compress { codec: Codec, cause: String },
    /// What was fetched cannot be read.
    #[error(transparent)]
    Source(#[from] RecordError),
}

impl From<ViewError> for BuildError {
    fn from(error: ViewError) -> Self {
        Self::Source(RecordError::Batch(error))
    }
}

#[cfg(test)]
mod tests;
