//! Kafka's v2 record batches: everything Lockstep knows about their bytes, and nothing else.
//!
//! ```text
//!  Fetch answer ─ split ─► FetchedBatch ─ rewrite ─► MirroredBatch ─► Produce request
//!                 │            │ raw bytes             new header, same payload, derived checksum (M4)
//!                 │            ├─ build ─► FetchedBatch       merged, re-encoded: same records (M14, M17)
//!                 │            └─ view ─ records::decode ─► Record            (`verify` looks inside)
//!                 └─ entries ─► OldEntry ─ records ─► Record ─ build ─► FetchedBatch   (formats 0 and 1)
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`header`] | the 61 bytes before the records, each field checked |
//! | [`view`] | one whole batch in place, borrowed or owned |
//! | [`mod@split`] | the batches (and old entries) of one Fetch answer, and the cut one at its end |
//! | [`mod@rewrite`] | the header a batch carries on the destination, and what stands against carrying it over |
//! | [`build`] | batches that no producer wrote: re-encoded, merged, repeated, fillers |
//! | [`legacy`] | message formats 0 and 1, read only |
//! | [`crc`] | CRC-32C, and how it changes when only the header does |
//! | [`records`] | records decoded and encoded, compression, within limits |
//!
//! All input is taken for hostile: lengths, counts and numbers from the wire are checked, a fault is an error
//! value, and nothing panics. No sockets, no clock, no files.

pub mod build;
pub mod crc;
pub mod header;
pub mod legacy;
pub mod records;
pub mod rewrite;
pub mod split;
pub mod view;

pub use header::{BatchHeader, Codec, TimestampType, ViewError};
pub use legacy::{OldEntry, OldEntryError};
pub use rewrite::{MirroredBatch, Obstacle, Stamp, next_sequence, obstacle, rewrite};
pub use split::{Entries, Entry, Split, entries, split};
pub use view::{BatchView, FetchedBatch};

#[cfg(test)]
mod testing;
