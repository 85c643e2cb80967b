//! Work leases: which agent copies which partitions, and what it may do while nobody answers.
//!
//! | file | decides |
//! |---|---|
//! | [`share`] | whose a partition is |

mod share;

pub use share::{AgentName, Shares, WEIGHT_MAX, WHOLE_LINK, owner};
