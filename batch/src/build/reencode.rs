//! A fetched batch that no new header can carry → batches that can be produced: broker time becomes the records'
//! own (M17), gaps that the cleaner left become ends of batches, or are closed by repeats (M14).
//! Promises: offset, timestamp (as consumers see it), key, value, headers, codec and leader epoch stay.
//! Never touches control batches, never a batch with a wrong checksum. On failure: [`BuildError`], and no batch.

use super::assembly::Assembly;
use super::source::{Source, SourceRecord};
use super::{BuildError, CHOSEN_BYTES_MAX, PLAIN_BYTES_MAX};
use crate::records::compress::Effort;
use crate::records::decompress::Unpacker;
use crate::records::{Limits, Record, RecordError, decode};
use crate::view::FetchedBatch;

/// The records of `batch` at `from` and above, as one batch for each run of consecutive offsets. Between the
/// batches, before the first and behind the last lie the gaps. No such record: no batch.
pub fn reencode(batch: &FetchedBatch, from: i64) -> Result<Vec<FetchedBatch>, BuildError> {
    let mut source = Source::open(batch, &mut Unpacker::default(), PLAIN_BYTES_MAX)?;
    let (codec, plain_len) = (source.codec(), source.plain_len());
    let leader_epoch = batch.header().leader_epoch();
    // Where nothing is missing, all goes into one batch; the runs of a thinned one grow as they come.
    let expected_bytes = if batch.header().missing_records() == 0 { plain_len } else { 0 };
    let mut done = Vec::new();
    let mut run: Option<Assembly> = None;
    while let Some(record) = source.next() {
        let record = record?;
        if record.offset < from {
            continue;
        }
        if let Some(ended) = run.take_if(|run| run.next_offset() != record.offset) {
            done.push(ended.seal(leader_epoch, Effort::Usual)?);
        }
        let run = match &mut run {
            Some(run) => run,
            none => none.insert(Assembly::new(
                record.offset,
                record.timestamp,
                codec,
                PLAIN_BYTES_MAX,
                expected_bytes,
            )?),
        };
        put(run, record.offset, &record)?;
    }
    if let Some(last) = run {
        done.push(last.seal(leader_epoch, Effort::Usual)?);
    }
    Ok(done)
}

/// For compacted topics (M14): the records of `batch` at `from` and above as one batch from `from` on, in which
/// each gap is closed by repeats of the record behind it: the cleaner removes them again. Ends with the last
/// record: offsets missing behind it stay missing. `None`: no record at `from` or above.
///
/// `from` below the batch also closes the gap before it. More than [`CHOSEN_BYTES_MAX`] bytes of records,
/// uncompressed: [`BuildError::TooLarge`]; then [`reencode`] and [`super::repeat`] do it in several batches.
pub fn close_gaps(batch: &FetchedBatch, from: i64) -> Result<Option<FetchedBatch>, BuildError> {
    let mut source = Source::open(batch, &mut Unpacker::default(), CHOSEN_BYTES_MAX)?;
    let (codec, plain_len) = (source.codec(), source.plain_len());
    let mut dense: Option<Assembly> = None;
    while let Some(record) = source.next() {
        let record = record?;
        if record.offset < from {
            continue;
        }
        let dense = match &mut dense {
            Some(dense) => dense,
            none => none.insert(Assembly::new(from, record.timestamp, codec, CHOSEN_BYTES_MAX, plain_len)?),
        };
        while dense.next_offset() < record.offset {
            put(dense, dense.next_offset(), &record)?;
        }
        put(dense, record.offset, &record)?;
    }
    dense.map(|dense| dense.seal(batch.header().leader_epoch(), Effort::Usual)).transpose()
}

fn put(assembly: &mut Assembly, offset: i64, record: &SourceRecord<'_>) -> Result<(), BuildError> {
    assembly.push(offset, record.timestamp, record.attributes, record.tail)
}

/// The records of `batch` at `from` and above, decoded, after its checksum was found right.
///
/// Bounded by [`PLAIN_BYTES_MAX`], once for their bytes, once for the list of records.
pub fn records(batch: &FetchedBatch, from: i64) -> Result<Vec<Record>, BuildError> {
    let base_offset = batch.header().base_offset();
    if !batch.view().checksum_holds() {
        return Err(BuildError::Checksum { base_offset });
    }
    if batch.header().is_control() {
        return Err(BuildError::Control { base_offset });
    }
    let mut records = Vec::new();
    for record in decode(&batch.view(), Limits { decompressed_bytes_max: PLAIN_BYTES_MAX })? {
        let record = record?;
        if record.offset < from {
            continue;
        }
        // The smallest record has 7 bytes in the batch and some 100 here.
        if (records.len() + 1) * size_of::<Record>() > PLAIN_BYTES_MAX {
            return Err(RecordError::TooLarge { limit_bytes: PLAIN_BYTES_MAX }.into());
        }
        records.push(record);
    }
    Ok(records)
}
