//! Pure rules: what to do, never how. No tokio, no sockets, no clock, no randomness: time is an argument.
//!
//! ```text
//! FetchedBatch ─► mirror::partition ─► Append ─► (the agent performs it) ─► AppendReceipt ─► dr::exposure
//! ```
//!
//! | module | decides |
//! |---|---|
//! | [`ids`] | the words everything else is said in: offsets of either side, partitions, producers |
//! | [`audit`] | the hash chain of everything that was done |
//! | [`compare`] | whether two records are the same |
//! | [`mirror`] | what one partition does next (`docs/ARCHITECTURE.md`, rules M1 …) |
//! | [`dr`] | what would be lost if the source vanished now, and one word for it; fences, promotions, passports |
//! | [`groups`] | which consumer groups' offsets reach the standby, and when |
//! | [`plan`] | what has to change on the destination before a link can run |
//! | [`spec`] | what users may write, and what it means |
//! | [`state`] | what the coordinators agree on: entries, and what each does |
//! | [`status`] | how links stand, in words and figures: united over agents, and as they age |
//! | [`transactions`] | which records a rolled-back transaction makes void |
//! | [`verify`] | whether two logs hold the same, and the first difference in words |
pub mod audit;
pub mod code;
pub mod compare;
pub mod dr;
pub mod groups;
pub mod ids;
pub mod mirror;
pub mod plan;
pub mod spec;
pub mod state;
pub mod status;
pub mod transactions;
pub mod verify;
