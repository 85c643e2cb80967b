//! What agents, coordinators and operators say to each other, over gRPC: the generated types of `proto/*.proto`.
//! agent: the session of an agent. admin: what operators ask. peer: between coordinators. report: to and from core's types.
//! holder: whose a certificate is.
//! Never: a rule, a clock, a socket. Unknown fields are skipped both ways, so that versions may differ by one minor.

pub mod holder;
pub mod report;

/// The largest message that any of us takes, in bytes: a report of 10,000 topics has some 2 MB, its document 8 MB.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// An error of a connection with everything below it: the cause that helps is the last one.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        words.push_str(&format!(": {below}"));
        cause = below.source();
    }
    words
}

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
