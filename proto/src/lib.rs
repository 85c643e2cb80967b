//! What agents, coordinators and operators say to each other, over gRPC: the generated types of `proto/*.proto`.
//! agent: the session of an agent. admin: what operators ask. peer: between coordinators. report: to and from core's types.
//! Never: a rule, a clock, a socket. Unknown fields are skipped both ways, so that versions may differ by one minor.

pub mod report;

/// The session of an agent (`proto/agent.proto`).
pub mod agent {
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    tonic::include_proto!("lockstep.agent.v1");
}

/// What operators ask of coordinators (`proto/admin.proto`).
pub mod admin {
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    tonic::include_proto!("lockstep.admin.v1");
}

/// Between coordinators (`proto/peer.proto`).
pub mod peer {
    #![allow(missing_docs, clippy::all, unreachable_pub)]
    tonic::include_proto!("lockstep.peer.v1");
}
