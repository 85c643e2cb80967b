//! The coordinators' side of the system: who may speak, what agents report, and what of it is known at any moment.
//!
//! ```text
//! agent ─ mTLS ─► grpc ─ holder (who) ─► dispatch (sessions, assignments, questions)
//!                        access (may)  └► intake (reports and their age) ─► status
//! operator ─ mTLS ─► grpc ─► admin ─► agreement (what can be asked of all coordinators together)
//! peers ─ mTLS ─► grpc ─► consensus (log, snapshots) ─► agreed (the state all have in common) ─► what agents are told
//! papers: this coordinator's certificates, as its files have them now
//! member: one coordinator's process, from its folder to its door
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
pub mod intake;
pub mod member;
pub mod papers;
pub mod peers;
#[cfg(test)]
mod testing;

pub use lockstep_proto::holder;
