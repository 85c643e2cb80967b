//! What a broker has on disk: the record batches of a log segment, read from the file.
//! For tests that ask how records were packed and whether compressed bytes are the same on both sides.
//! Format: Kafka's record batch v2 (`DefaultRecordBatch.java`), header 61 bytes, big-endian.

use std::fs;
use std::path::Path;

use crate::Error;

const HEADER: usize = 61;
/// Base offset (8) and length (4) come before what the length counts.
const PREFIX: usize = 12;

/// One batch as it lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    pub base_offset: i64,
    pub records: i32,
    /// Bit 0–2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon.
    pub attributes: i16,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// The records, compressed as the attributes say.
    pub payload: Vec<u8>,
}

/// All batches of a partition's log folder (see [`crate::Kafka::log_folder`]), by offset.
///
/// # Errors
/// When a file cannot be read or holds anything but whole v2 batches.
pub fn batches(log_folder: &Path) -> Result<Vec<StoredBatch>, Error> {
    let what = || format!("read {}", log_folder.display());
    let mut segments = Vec::new();
    for entry in fs::read_dir(log_folder).map_err(Error::io(what()))? {
        let path = entry.map_err(Error::io(what()))?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    segments.sort(); // named by zero-padded base offset
    let mut all = Vec::new();
    for segment in segments {
        let bytes = fs::read(&segment).map_err(Error::io(what()))?;
        parse(&bytes, &mut all).map_err(|cause| Error::Refused(format!("{}: {cause}", segment.display())))?;
    }
    Ok(all)
}

fn parse(mut rest: &[u8], all: &mut Vec<StoredBatch>) -> Result<(), String> {
    // A segment that is being written is preallocated on some systems: zeros follow the last batch.
    while rest.iter().take(HEADER).any(|byte| *byte != 0) {
        let length = field(rest, 8).map(i32::from_be_bytes).and_then(|length| usize::try_from(length).ok());
        let batch = length
            .and_then(|length| rest.get(..PREFIX + length))
            .filter(|batch| batch.len() >= HEADER)
            .ok_or_else(|| format!("a batch is cut, {} bytes before the end", rest.len()))?;
        if batch[16] != 2 {
            return Err(format!("a batch of format {}", batch[16]));
        }
        all.push(decode(batch).ok_or("a short batch")?);
        rest = &rest[batch.len()..];
    }
    Ok(())
}

fn decode(batch: &[u8]) -> Option<StoredBatch> {
    Some(StoredBatch {
        base_offset: i64::from_be_bytes(field(batch, 0)?),
        attributes: i16::from_be_bytes(field(batch, 21)?),
        producer_id: i64::from_be_bytes(field(batch, 43)?),
        producer_epoch: i16::from_be_bytes(field(batch, 51)?),
        base_sequence: i32::from_be_bytes(field(batch, 53)?),
        records: i32::from_be_bytes(field(batch, 57)?),
        payload: batch.get(HEADER..)?.to_vec(),
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, records: i32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
        let length = i32::try_from(HEADER - PREFIX + payload.len()).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = 2;
        bytes[57..61].copy_from_slice(&records.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn whole_batches_are_read_and_cut_ones_refused() {
        // Offsets without leading zeros: a cut never looks like preallocated space.
        const FIRST: i64 = 1 << 60;
        let mut file = batch(FIRST, 3, b"abc");
        file.extend(batch(FIRST + 3, 1, b"d"));
        let mut all = Vec::new();
        parse(&file, &mut all).unwrap();
        let shape: Vec<_> = all.iter().map(|batch| (batch.base_offset, batch.records)).collect();
        assert_eq!(shape, [(FIRST, 3), (FIRST + 3, 1)]);
        assert_eq!(all[0].payload, b"abc");
        for cut in 1..file.len() {
            let whole = cut == HEADER + 3;
            assert_eq!(parse(&file[..cut], &mut Vec::new()).is_ok(), whole, "cut at {cut}");
        }
    }
}
