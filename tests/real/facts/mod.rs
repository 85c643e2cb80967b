//! What the code believes about Kafka, asked of real Kafka through the product's own client, one test per belief.
//! A test that fails here means that a rule of the mirror stands on sand, not that its code has a fault.
//!
//! | file | what it asks |
//! |---|---|
//! | `raw` | what a broker does with a batch under a new header, and with a damaged one (M4) |
//! | `encoder` | batches that no producer wrote: encoded, repeated, merged, fillers (M14, M17) |
//! | `sequences` | repeats, gaps, epochs and slips of an idempotent producer (M5, M7, M8) |
//! | `memory` | what a partition remembers of its producers, and when it forgets them (M6) |
//! | `identity` | the transactional id that names a link's producer (M1) |
//! | `ends` | where a log ends, and who says so (M8) |
//! | `fetching` | what an answer to a fetch proves, and what it does not (M9, M10, M11, M16) |
//! | `sessions` | incremental fetch sessions (KIP-227) |
//! | `markers` | offsets taken by transaction markers (M12, M13) |
//! | `transactions` | empty, aborted and hanging ones (M15, M16) |
//! | `rights` | what they need where there is an authorizer |
//! | `taking` | the product's own tasks that take offsets (M12, M15) |
//! | `groups` | committed offsets: who may write them, what they carry, when they are gone (M30, M31, M33) |
//! | `fences` | what stops clients, what passes, what refuses a former owner (M23 to M26) |
//! | `settings` | what a standby topic accepts (M20), and what else is set or read |
//!
//! `batches` writes batches by hand, `log` is one partition under test, `stages` are clusters with a past.

pub(crate) mod batches;
mod encoder;
mod ends;
mod fences;
mod fetching;
mod groups;
mod identity;
pub(crate) mod log;
mod markers;
mod memory;
mod raw;
mod rights;
mod sequences;
mod sessions;
mod settings;
mod shapes;
mod stages;
mod taking;
mod transactions;

use std::time::Duration;

/// Long enough for a machine with other things to do; nothing passes by waiting longer.
const PATIENCE: Duration = Duration::from_secs(90);
