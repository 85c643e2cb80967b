//! The two single-broker clusters that the tests of one binary share, and names that keep them apart.
//! Started by the first test that asks, ended with the process (the leash sees to it). Never kill a shared broker.

use std::sync::OnceLock;

use crate::Kafka;
use crate::broker::start_all;

#[derive(Debug)]
pub struct Pair {
    pub source: Kafka,
    pub destination: Kafka,
}

/// The shared pair of this process.
///
/// # Panics
/// When it did not start; every test that asks then hears why.
pub fn pair() -> &'static Pair {
    static PAIR: OnceLock<Result<Pair, String>> = OnceLock::new();
    let started = PAIR.get_or_init(|| {
        // Room for 5 MB records and then some.
        let big = |name| {
            Kafka::builder(name)
                .config("message.max.bytes", "33554432")
                // Cleaners that look often, so that tests of compaction need no brokers of their own.
                .config("log.cleaner.backoff.ms", "500")
        };
        match start_all([big("source"), big("destination")]) {
            Ok([source, destination]) => Ok(Pair { source, destination }),
            Err(cause) => Err(cause.to_string()),
        }
    });
    match started {
        Ok(pair) => {
            // The harness shows this for failing tests only.
            eprintln!(
                "shared brokers: {} and {}",
                pair.source.folder().display(),
                pair.destination.folder().display()
            );
            pair
        }
        Err(cause) => panic!("the shared pair of clusters did not start: {cause}"),
    }
}

/// A name that nobody else on the shared pair uses: `orders` becomes `orders-7f3a91`.
pub fn unique(name: &str) -> String {
    format!("{name}-{:06x}", fastrand::u32(..) & 0xff_ffff)
}
