//! An independent Kafka client (librdkafka): the oracle that shares no code with the product.
//! admin → seed (write exactly) → read (see exactly) → compare (say the first difference in words).
//! Every wait is bounded; an error names cluster, topic and what was tried.

mod admin;
mod block_on;
mod compare;
mod group;
mod read;
mod seed;
mod transact;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;

pub use admin::Admin;
pub use compare::{Compared, Difference, assert_identical, compare, compare_as, compare_named};
pub use group::{Got, Member, Protocol, commit_offsets, committed};
pub use read::{Isolation, Reader, Seen, read_all, watermarks};
pub use seed::{Codec, Record, Seed, Seeder};
pub use transact::Transactor;

use crate::Error;

/// For single requests to a broker that is up.
pub(crate) const REQUEST: Duration = Duration::from_secs(20);
/// librdkafka's own upper bound of a message, about 1 GB, is more than a test needs.
pub(crate) const MESSAGE_BYTES_MAX: usize = 100_000_000;

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        // A killed broker is back within seconds: do not sleep through it.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
        .set("receive.message.max.bytes", (2 * MESSAGE_BYTES_MAX).to_string());
    config
}

/// A consumer that commits nothing, joins no group and checks every checksum. `more` beats its settings.
///
/// # Errors
/// When librdkafka does not know a setting.
pub fn consumer(bootstrap: &str, more: &[(&str, &str)]) -> Result<BaseConsumer, Error> {
    let mut config = config(bootstrap);
    config
        .set("group.id", "testkit-never-joined")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.error.backoff.ms", "20")
        // Bounds memory: what librdkafka holds ready for us, in kB.
        .set("queued.max.messages.kbytes", "16384");
    for (key, value) in more {
        config.set(*key, *value);
    }
    config.create().map_err(Error::client(format!("a consumer of {bootstrap}")))
}
