//! One record at many consecutive offsets (M14): what stands in a large hole of a compacted topic, until the
//! cleaner removes all but the last.
//! Promises: the same key, value, headers and timestamp each time; takes the room of the batch, not of its records.
//! Never splits: [`repeats_max`] says how many fit. On failure: [`BuildError`].

use super::assembly::Assembly;
use super::{BuildError, CHOSEN_BYTES_MAX, PLAIN_BYTES_MAX};
use crate::header::Codec;
use crate::records::Record;
use crate::records::compress::Effort;
use crate::records::encode::{Oversized, put_tail};
use crate::view::FetchedBatch;

/// Most that a record takes beside key, value and headers: length 5, attributes 1, timestamp 1, offset 5.
const PREFIX_BYTES_MAX: usize = 12;

/// `record` at the `count` offsets from `base_offset` on; its own offset does not matter. Leader epoch −1.
///
/// `count` from 1 to [`repeats_max`].
pub fn repeat(
    record: &Record,
    base_offset: i64,
    count: u32,
    codec: Codec,
) -> Result<FetchedBatch, BuildError> {
    let mut tail = Vec::new();
    put_tail(&mut tail, record).map_err(|Oversized| BuildError::TooLarge { limit_bytes: PLAIN_BYTES_MAX })?;
    let max = fitting(tail.len());
    if !(1..=max).contains(&count) {
        return Err(BuildError::BadCount { count, max });
    }
    let bytes_max = if count == 1 { PLAIN_BYTES_MAX } else { CHOSEN_BYTES_MAX };
    let expected_bytes = count as usize * (tail.len() + PREFIX_BYTES_MAX);
    let mut assembly = Assembly::new(base_offset, record.timestamp, codec, bytes_max, expected_bytes)?;
    for _ in 0..count {
        assembly.push(assembly.next_offset(), record.timestamp, 0, &tail)?;
    }
    assembly.seal(-1, Effort::Least)
}

/// How often `record` can be repeated in one batch: once at least, and as often as fits into
/// [`CHOSEN_BYTES_MAX`].
#[must_use]
pub fn repeats_max(record: &Record) -> u32 {
    let nullable = |bytes: Option<&[u8]>| 5 + bytes.map_or(0, <[u8]>::len);
    let header_bytes =
        record.headers.iter().map(|header| 10 + header.key.len() + nullable(header.value.as_deref()));
    let fields = [record.key.as_deref(), record.value.as_deref()].map(nullable).iter().sum::<usize>();
    fitting(fields + 5 + header_bytes.sum::<usize>())
}

fn fitting(tail_len: usize) -> u32 {
    u32::try_from(CHOSEN_BYTES_MAX / (tail_len + PREFIX_BYTES_MAX)).unwrap_or(u32::MAX).max(1)
}
