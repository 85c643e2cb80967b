//! The coordinators' side of the system: who may speak, what agents report, and what of it is known at any moment.
//!
//! ```text
//! agent ─ mTLS ─► grpc ─ holder (who) ─► dispatch (sessions, assignments, questions)
//!                        access (may)  └► intake (reports and their age) ─► status
//! log ─ agreed (what all coordinators have in common) ─► what agents are told
//! ```
//!
//! Promises: nobody speaks for somebody else; what is silent is never shown as well. Never talks to Kafka.

pub mod access;
pub mod admin;
pub mod agreed;
pub mod agreement;
pub mod consensus;
pub mod dispatch;
pub mod grpc;
pub mod holder;
pub mod intake;
#[cfg(test)]
mod testing;
