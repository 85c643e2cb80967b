//! What tests and the demo stand on: real brokers, the product as a child process, an independent client, a proxy.
//! jars → folder + slots + ports → leash → broker → client (rdkafka), lockstep (the product), proxy (faults), hostile (lies).
//! Promises that nothing it started outlives the process that started it, however that process ends.
//! Blocking throughout: call it from a test thread; inside a runtime, from `spawn_blocking`.
//! Never shares code with the product's data path, so that a fault there cannot hide here.

mod error;
mod folder;
mod leash;
mod slots;

pub mod broker;
pub mod client;
pub mod holders;
pub mod hostile;
pub mod jars;
pub mod lockstep;
pub mod pair;
pub mod ports;
pub mod proxy;
pub mod secured;
pub mod stored;
pub mod wait;

pub use broker::{Kafka, OldKafka};
pub use error::Error;
pub use hostile::Hostile;
pub use leash::{Exit, Leash, Signal};
pub use lockstep::Lockstep;
pub use pair::{Pair, pair, unique};
pub use proxy::Proxy;
pub use secured::{Listener, Realm, SecuredPair, secured_pair};
pub use wait::{rounds, wait_until, wait_until_async, wait_until_true};
