//! How large is small: which batches are merged (M17), which records are repeated (M14), and what a built batch may hold.

use lockstep_batch::header::Codec;
use lockstep_batch::records::Record;
use lockstep_batch::view::FetchedBatch;

use super::align::{Piece, Rebuilt, Span};

/// Batches below this are merged with their neighbours: each costs the broker about as much as 30 kB of records.
const MERGE_BELOW_PLAIN_BYTES: usize = 32 << 10;
/// The same where records have to be unpacked and packed again for it.
const MERGE_BELOW_PACKED_BYTES: usize = 8 << 10;
/// Above this size markers are the cheaper filling.
pub(super) const REPEATED_RECORD_BYTES_MAX: usize = 16 << 10;
/// What a record takes beside key, value and headers.
const RECORD_OVERHEAD_BYTES: usize = 16;
/// A merged batch, and one with repeats in it, stay about this large.
pub(super) const BUILT_BYTES_MAX: usize = 512 << 10;

pub(super) fn size(piece: &Piece) -> usize {
    match piece {
        Piece::Whole(batch) | Piece::Packed { batch, .. } => batch.header().len(),
        Piece::Records(of) => of.records.iter().map(record_bytes).sum(),
        Piece::Void(_) | Piece::Hole(_) | Piece::Fillers(_) => 0,
    }
}

pub(super) fn record_bytes(record: &Record) -> usize {
    let field = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let headers: usize = record.headers.iter().map(|h| h.key.len() + field(&h.value) + 2).sum();
    RECORD_OVERHEAD_BYTES + field(&record.key) + field(&record.value) + headers
}

/// A null key is refused by a compacted topic (INVALID_RECORD, 87).
pub(super) fn can_be_repeated(record: &Record) -> bool {
    record.key.is_some() && record_bytes(record) <= REPEATED_RECORD_BYTES_MAX
}

/// More than fits into a batch beside others.
pub(super) fn is_large(span: Span, of: &Rebuilt) -> bool {
    let record = of.records.first().map_or(0, record_bytes) as u64;
    span.offsets().saturating_mul(record) > BUILT_BYTES_MAX as u64 / 2
}

pub(super) fn is_small(batch: &FetchedBatch) -> bool {
    let below = match batch.header().codec() {
        Ok(Codec::None) => MERGE_BELOW_PLAIN_BYTES,
        _ => MERGE_BELOW_PACKED_BYTES,
    };
    batch.header().len() < below
}

pub(super) fn follows(first: &FetchedBatch, next: &FetchedBatch) -> bool {
    is_small(next)
        && next.header().base_offset() == first.header().next_offset()
        && next.header().codec() == first.header().codec()
}
