//! Batches of empty records (M14): they stand for offsets at a log's start that expired on the source before they
//! could be copied, until `DeleteRecords` takes them away.
//! Promises: a million offsets in less than a megabyte; recognisable by people and by [`is_filler`].
//! Never has a null key: compacted topics refuse those. On failure: [`BuildError`].

use bytes::Bytes;

use super::assembly::Assembly;
use super::{BuildError, CHOSEN_BYTES_MAX};
use crate::header::{Codec, TimestampType};
use crate::records::compress::Effort;
use crate::records::decompress::zstd_start;
use crate::records::encode::{Oversized, Prefix, put_record, put_tail};
use crate::records::{Header, Record};
use crate::view::FetchedBatch;

/// Records in one filler batch: 0.8 MB, which brokers take by default (`max.message.bytes`).
pub const FILLER_RECORDS_MAX: u32 = 1_000_000;

/// Header of the first record. Its value is the number of records, in decimal: where a batch has more or fewer,
/// fillers were merged with something else, or cleaned.
const MARK: &[u8] = b"lockstep.filler";

/// `count` records with empty key and null value at the offsets from `base_offset` on, zstd, leader epoch −1.
/// `count` from 1 to [`FILLER_RECORDS_MAX`].
pub fn filler(base_offset: i64, count: u32, timestamp_ms: i64) -> Result<FetchedBatch, BuildError> {
    if !(1..=FILLER_RECORDS_MAX).contains(&count) {
        return Err(BuildError::BadCount { count, max: FILLER_RECORDS_MAX });
    }
    // At most 8 bytes before the key, 3 from there on; the mark apart.
    let expected_bytes = count as usize * 11 + 64;
    let mut assembly =
        Assembly::new(base_offset, timestamp_ms, Codec::Zstd, CHOSEN_BYTES_MAX, expected_bytes)?;
    assembly.push(base_offset, timestamp_ms, 0, &tail(Some(count))?)?;
    let rest = tail(None)?;
    for _ in 1..count {
        assembly.push(assembly.next_offset(), timestamp_ms, 0, &rest)?;
    }
    assembly.seal(-1, Effort::Usual)
}

/// Key, value and headers of the first record, which carries the count, or of the others.
fn tail(marked: Option<u32>) -> Result<Vec<u8>, BuildError> {
    let header =
        |count: u32| Header { key: Bytes::from_static(MARK), value: Some(Bytes::from(count.to_string())) };
    let record = Record {
        offset: 0,
        timestamp: 0,
        key: Some(Bytes::new()),
        value: None,
        headers: marked.map(header).into_iter().collect(),
    };
    let mut tail = Vec::new();
    put_tail(&mut tail, &record)
        .map_err(|Oversized| BuildError::TooLarge { limit_bytes: CHOSEN_BYTES_MAX })?;
    Ok(tail)
}

/// Whether `batch` is one that [`filler`] made, whole. Looks at the header, then unpacks the first record only.
/// Does not check the checksum.
#[must_use]
pub fn is_filler(batch: &FetchedBatch) -> bool {
    let header = batch.header();
    let Ok(count) = u32::try_from(header.record_count()) else { return false };
    if !(1..=FILLER_RECORDS_MAX).contains(&count)
        || header.missing_records() != 0
        || header.codec() != Ok(Codec::Zstd)
        || header.timestamp_type() != TimestampType::CreateTime
        || header.is_control()
        || header.is_transactional()
        || header.base_timestamp() != header.max_timestamp()
    {
        return false;
    }
    let mut first = Vec::new();
    let Ok(tail) = tail(Some(count)) else { return false };
    let prefix = Prefix { attributes: 0, timestamp_delta: 0, offset_delta: 0 };
    if put_record(&mut first, prefix, &tail).is_err() {
        return false;
    }
    zstd_start(batch.view().payload(), first.len()).is_some_and(|start| start == first)
}
