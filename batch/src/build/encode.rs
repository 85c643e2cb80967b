//! Records → batches: what was decoded (an old message format, a batch with broker time) becomes v2 again (M17).
//! Promises: order, offsets, timestamps, null and empty, repeated headers as given.
//! Never fills a gap: [`runs`] cuts there, [`batch`] refuses it. On failure: [`BuildError`].

use super::assembly::Assembly;
use super::{BuildError, PLAIN_BYTES_MAX};
use crate::header::Codec;
use crate::records::Record;
use crate::records::compress::Effort;
use crate::records::encode::{Oversized, put_tail};
use crate::view::FetchedBatch;

/// One batch of `records`, whose offsets must be consecutive; one at least.
///
/// At most [`PLAIN_BYTES_MAX`] bytes of records. `leader_epoch` as the source has it, −1 if unknown.
pub fn batch(records: &[Record], codec: Codec, leader_epoch: i32) -> Result<FetchedBatch, BuildError> {
    let first = records.first().ok_or(BuildError::NoRecord)?;
    let mut assembly = Assembly::new(first.offset, first.timestamp, codec, PLAIN_BYTES_MAX, 0)?;
    let mut tail = Vec::new();
    for record in records {
        tail.clear();
        put_tail(&mut tail, record)
            .map_err(|Oversized| BuildError::TooLarge { limit_bytes: PLAIN_BYTES_MAX })?;
        assembly.push(record.offset, record.timestamp, 0, &tail)?;
    }
    assembly.seal(leader_epoch, Effort::Usual)
}

/// A batch for each run of consecutive offsets in `records`, whose offsets must rise. No record: no batch.
pub fn runs(records: &[Record], codec: Codec, leader_epoch: i32) -> Result<Vec<FetchedBatch>, BuildError> {
    let consecutive = |before: &Record, after: &Record| before.offset.checked_add(1) == Some(after.offset);
    let runs: Vec<_> = records.chunk_by(consecutive).collect();
    for (before, after) in runs.iter().zip(runs.iter().skip(1)) {
        let (Some(before), Some(after)) = (before.last(), after.first()) else { continue };
        if after.offset <= before.offset {
            let expected = before.offset.saturating_add(1);
            return Err(BuildError::NotConsecutive { expected, offset: after.offset });
        }
    }
    runs.into_iter().map(|run| batch(run, codec, leader_epoch)).collect()
}
