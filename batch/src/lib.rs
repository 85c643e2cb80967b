//! Kafka's v2 record batches: everything Lockstep knows about their bytes, and nothing else.
//!
//! ```text
//!  Fetch answer ─ split ─► FetchedBatch ─ rewrite ─► MirroredBatch ─► Produce request
//!                              │ raw bytes             new header, same payload, derived checksum (M4)
//!                              └─ view ─ records::decode ─► Record            (only `verify` looks inside)
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`header`] | the 61 bytes before the records, each field checked |
//! | [`view`] | one whole batch in place, borrowed or owned |
//! | [`mod@split`] | the batches of one Fetch answer, and the cut one at its end |
//! | [`mod@rewrite`] | the header a batch carries on the destination, and what stands against carrying it over |
//! | [`crc`] | CRC-32C, and how it changes when only the header does |
//! | [`records`] | decompression and decoding, within limits |
//!
//! All input is taken for hostile: lengths, counts and numbers from the wire are checked, a fault is an error
//! value, and nothing panics. No sockets, no clock, no files.

pub mod build;
pub mod crc;
pub mod header;
pub mod records;
pub mod rewrite;
pub mod split;
pub mod view;

pub use header::{BatchHeader, Codec, TimestampType, ViewError};
pub use rewrite::{MirroredBatch, Obstacle, Stamp, next_sequence, obstacle, rewrite};
pub use split::{Split, split};
pub use view::{BatchView, FetchedBatch};

#[cfg(test)]
mod testing;
