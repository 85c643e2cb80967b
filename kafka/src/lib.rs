//! A small Kafka client: it carries requests and answers, and decides nothing about the mirror.
//!
//! ```text
//! Settings ─► Cluster ─► Connection ─► submit ─► frame ─► bounds::walk ─► decode ─► typed answer
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`dial`] | how a byte stream to a broker comes about: a trait, so that TLS and simulation can take its place |
//! | [`connection`] | one ordered pipeline of requests with correlation ids, deadlines and poisoning |
//! | [`security`], [`tls`], [`sasl`] | certificates, passwords, tokens, tickets; files read anew at every connection |
//! | [`cluster`] | metadata, routing, one shared control connection per broker, reconnecting |
//! | [`mod@fetch`], [`produce`] | the data path: raw batches in, raw batches out, never decoded, never copied |
//! | [`admin`] | one file per remaining API |
//! | [`code`], [`error`] | every failure, and its class: retry, rewind, fence or fatal |
//! | `versions`, `shapes`, `bounds` | which versions we speak, what their answers look like, and the check before decoding |
//!
//! This is the only crate that names `kafka-protocol`, and none of its types leave it. Its record codec is never used.
//! Time comes from tokio's clock alone, so that everything runs under a simulated one.

pub mod admin;
mod bounds;
pub mod cluster;
pub mod code;
pub mod connection;
pub mod dial;
pub mod error;
#[cfg(test)]
mod fake;
pub mod fetch;
mod names;
mod permission;
pub mod produce;
pub mod sasl;
pub mod secret;
pub mod security;
mod settings;
mod shapes;
pub mod tls;
mod versions;

pub use cluster::{Broker, Cluster, Metadata, PartitionMeta, Topic};
pub use code::{Class, ErrorCode};
pub use connection::Connection;
pub use dial::{Dial, Stream, Tcp};
pub use error::{ConnectFault, Error, Loss};
pub use fetch::{
    AbortedTransaction, Diverging, FetchAnswer, FetchLimits, FetchSession, FetchTarget, FetchedPartition,
    Isolation, fetch, fetch_once,
};
pub use permission::{MissingPermission, Resource};
pub use produce::{PendingProduce, ProduceBatch, ProduceResult, submit_produce};
pub use sasl::LoginFault;
pub use secret::Secret;
pub use security::Security;
pub use settings::{HostPort, Settings};
pub use tls::{Certificate, NOTICES, TlsFault};
pub use versions::{Api, Versions};
