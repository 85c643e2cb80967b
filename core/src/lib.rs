//! Pure rules: what to do, never how. No tokio, no sockets, no clock, no randomness: time is an argument.
//!
//! ```text
//! FetchedBatch ─► mirror::partition ─► Append ─► (the agent performs it) ─► AppendReceipt ─► dr::exposure
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`ids`] | the words everything else is said in: offsets of either side, partitions, producers |
//! | [`mirror`] | what one partition does next (`docs/ARCHITECTURE.md`, rules M1 …) |
//! | [`dr`] | what would be lost if the source vanished now |
pub mod ids;
