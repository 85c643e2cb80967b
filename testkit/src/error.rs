//! Why the testkit could not do what it was asked. Every message names the thing and, where there is one, the remedy.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no jars of Kafka {version} in {}: run `./dev setup` (KAFKA_VERSION={version} for another version)", folder.display())]
    NoJars { version: String, folder: PathBuf },

    #[error("no cache folder: neither LOCKSTEP_KAFKA_CACHE nor XDG_CACHE_HOME nor HOME is set")]
    NoCacheFolder,

    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },

    #[error("{wanted} brokers wanted, {limit} may run on this machine at once")]
    TooManyBrokers { wanted: usize, limit: usize },

    #[error(
        "no {wanted} free broker slots of {limit} within {waited:?}: other tests hold them (lock files in {})", folder.display()
    )]
    NoSlots { wanted: usize, limit: usize, waited: Duration, folder: PathBuf },

    #[error("{what} did not come true within {limit:?}{detail}")]
    TimedOut { what: String, limit: Duration, detail: String },

    #[error("{what} ended by itself ({exit}); the end of its log:\n{log_tail}")]
    Died { what: String, exit: String, log_tail: String },

    #[error("node {node} of `{cluster}` {state}")]
    Node { cluster: String, node: i32, state: &'static str },

    #[error("{what}: {source}")]
    Client { what: String, source: rdkafka::error::KafkaError },

    #[error("{0}")]
    Refused(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn client(what: impl Into<String>) -> impl FnOnce(rdkafka::error::KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Client { what, source }
    }
}
