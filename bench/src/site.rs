//! Where it is measured: two real brokers of our own on this machine, single nodes, with the JVM of Kafka's own scripts.
//! What a scenario deletes is deleted for good at once, so that one round's leavings are not the next one's load.

use std::cell::OnceCell;
use std::path::PathBuf;

use lockstep_testkit::Kafka;
use lockstep_testkit::broker::start_all;
use lockstep_testkit::client::Admin;
use tempfile::TempDir;

use crate::Result;
use crate::load::Load;

pub(crate) struct Site {
    pub(crate) source: Kafka,
    pub(crate) dest: Kafka,
    /// The product's binary.
    pub(crate) program: PathBuf,
    /// What children say.
    pub(crate) scratch: TempDir,
    /// See [`crate::load::backlog`].
    pub(crate) backlog: OnceCell<Load>,
}

impl Site {
    pub(crate) fn start(program: PathBuf) -> Result<Self> {
        let broker =
            |name| Kafka::builder(name).jvm_as_shipped().config("log.segment.delete.delay.ms", "100");
        let [source, dest] = start_all([broker("bench-source"), broker("bench-dest")])?;
        Ok(Self { source, dest, program, scratch: TempDir::new()?, backlog: OnceCell::new() })
    }

    /// Removes a topic of the destination if it is there.
    pub(crate) fn clear_dest(&self, topic: &str) -> Result<()> {
        let admin = Admin::of(&self.dest.bootstrap())?;
        if !admin.leaders(topic)?.is_empty() {
            admin.delete(topic)?;
        }
        Ok(())
    }

    pub(crate) fn kafka_version(&self) -> &str {
        self.source.version()
    }
}
