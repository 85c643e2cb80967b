//! Consecutive small batches → one (M17): offsets, timestamps, keys, values and headers stay, batches become fewer.
//! Of each record only the prefix is written anew (length, timestamp and offset delta), the rest is copied as bytes.
//! Never merges over a gap, across codecs, or what a new header alone could not carry; never a damaged batch.
//! On failure: [`BuildError`], nothing is merged, and the batches are there as they came.

use super::assembly::Assembly;
use super::source::Source;
use super::{BuildError, CHOSEN_BYTES_MAX};
use crate::header::{BatchHeader, Codec};
use crate::records::compress::Effort;
use crate::records::decompress::Unpacker;
use crate::rewrite::obstacle;
use crate::view::FetchedBatch;

/// Batches that are to become one. Collecting them looks at headers only; [`Merger::merge`] does the work.
#[derive(Clone, Debug)]
pub struct Merger {
    /// One at least; offsets follow each other, all with the same codec, none with an obstacle.
    batches: Vec<FetchedBatch>,
    codec: Codec,
    base_offset: i64,
    next_offset: i64,
    /// Of all the batches as they were fetched.
    len_bytes: usize,
    len_bytes_max: usize,
}

impl Merger {
    /// Starts with `batch`, or gives it back if it has an obstacle (`crate::obstacle`). The batches to be merged
    /// have at most `len_bytes_max` bytes together as they were fetched, unless the first alone has more. (What
    /// comes out may have a few bytes a record more than went in, or another compressor's idea of small.)
    pub fn start(batch: FetchedBatch, len_bytes_max: usize) -> Result<Self, FetchedBatch> {
        let header = *batch.header();
        match (obstacle(&header), header.codec()) {
            (None, Ok(codec)) => Ok(Self {
                batches: vec![batch],
                codec,
                base_offset: header.base_offset(),
                next_offset: header.next_offset(),
                len_bytes: header.len(),
                len_bytes_max,
            }),
            _ => Err(batch),
        }
    }

    /// Whether [`Merger::push`] would take a batch with this header.
    #[must_use]
    pub fn accepts(&self, header: &BatchHeader) -> bool {
        header.base_offset() == self.next_offset
            && header.codec() == Ok(self.codec)
            && obstacle(header).is_none()
            && header.len() <= self.len_bytes_max.saturating_sub(self.len_bytes)
            && i32::try_from(header.next_offset() - self.base_offset).is_ok()
    }

    /// Takes the next batch in, or gives it back.
    pub fn push(&mut self, batch: FetchedBatch) -> Result<(), FetchedBatch> {
        if !self.accepts(batch.header()) {
            return Err(batch);
        }
        self.next_offset = batch.header().next_offset();
        self.len_bytes += batch.header().len();
        self.batches.push(batch);
        Ok(())
    }

    /// The batches so far, in order; one at least.
    #[must_use]
    pub fn batches(&self) -> &[FetchedBatch] {
        &self.batches
    }

    #[must_use]
    pub fn into_batches(self) -> Vec<FetchedBatch> {
        self.batches
    }

    /// All the batches as one, with the last one's leader epoch. A single batch is returned as it is, unread.
    ///
    /// More than [`CHOSEN_BYTES_MAX`] bytes of records, uncompressed: [`BuildError::TooLarge`].
    pub fn merge(&self) -> Result<FetchedBatch, BuildError> {
        let (Some(first), Some(last)) = (self.batches.first(), self.batches.last()) else {
            return Err(BuildError::NoRecord);
        };
        if self.batches.len() == 1 {
            return Ok(first.clone());
        }
        let mut unpacker = Unpacker::default();
        let mut assembly = None;
        for batch in &self.batches {
            let mut source = Source::open(batch, &mut unpacker, CHOSEN_BYTES_MAX)?;
            // Compressed: the first batch shows roughly what the others will come to.
            let growth = source.plain_len() as f64 / batch.header().payload_len().max(1) as f64;
            while let Some(record) = source.next() {
                let record = record?;
                let assembly = match &mut assembly {
                    Some(assembly) => assembly,
                    none => none.insert(Assembly::new(
                        record.offset,
                        record.timestamp,
                        self.codec,
                        CHOSEN_BYTES_MAX,
                        (self.len_bytes as f64 * growth) as usize,
                    )?),
                };
                assembly.push(record.offset, record.timestamp, record.attributes, record.tail)?;
            }
        }
        // One frame over many records is smaller than many frames at any level, and merging is for catching up.
        assembly.ok_or(BuildError::NoRecord)?.seal(last.header().leader_epoch(), Effort::Least)
    }
}
