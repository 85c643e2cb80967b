//! What users of MirrorMaker 2 rely on: the scenarios of its own integration tests (apache/kafka, connect/mirror, folder
//! `integration`), each with the stricter result that identical offsets allow. Where MirrorMaker 2 counts records, both
//! sides are compared record by record here.
//!
//! | scenario there | here |
//! |---|---|
//! | replication, both ways; new topics; identity naming | `flow` |
//! | partitions without records | `flow` |
//! | restart; exactly-once with offsets altered and reset | `flow` |
//! | from latest | `flow`: there is no such thing, a mirror that starts late has everything |
//! | transactional producers | `flow` |
//! | one-way with offset sync, with frequent syncs | `groups` |
//! | translation behind the replication flow; checkpoints of empty partitions and topics | `groups` |
//! | topic settings synchronised; defaults of source and of target | `settings` |
//! | TLS | `secure::mechanisms`, every mechanism |

mod flow;
mod groups;
mod settings;

use lockstep_testkit::client::{Record, Seed, consumer};
use lockstep_testkit::{Lockstep, unique};
use rdkafka::consumer::Consumer;

use super::mirror::{Ends, PATIENCE};

/// As many as there.
const PARTITIONS: i32 = 10;
/// Of one write, for each of the partitions that get any.
const EACH: i32 = 10;

/// Records for the first so many partitions.
fn records(what: &str, partitions: i32) -> impl Iterator<Item = Record> {
    (0..partitions * EACH).map(move |n| {
        let record = Record::new(format!("{what} {n}")).key(n.to_string()).header("n", n.to_string());
        record.partition(n % partitions)
    })
}

fn write(bootstrap: &str, topic: &str, what: &str, partitions: i32) {
    Seed::to(bootstrap).write(topic, records(what, partitions)).unwrap();
}

/// A family of topics on both clusters of the shared pair.
struct Family {
    ends: Ends,
    name: String,
}

impl Family {
    fn new(name: &str) -> Self {
        Self { ends: Ends::shared(), name: unique(name) }
    }

    fn topic(&self, member: &str) -> String {
        format!("{}.{member}", self.name)
    }

    /// A mirror of every topic of the family between these ends.
    fn mirror(&self, ends: &Ends, link: &str, more: &[&str]) -> Lockstep {
        let (pattern, link) = (format!("{}\\..*", self.name), format!("{}-{link}", self.name));
        let mut all = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", &pattern];
        all.extend(["--link", &link, "-o", "json", "--interval", "500ms"]);
        all.extend(more);
        Lockstep::spawn(&all).unwrap()
    }

    /// The topics of a cluster whose names hold the family's.
    fn names(&self, bootstrap: &str) -> Vec<String> {
        let asking = consumer(bootstrap, &[]).unwrap();
        let metadata = asking.fetch_metadata(None, PATIENCE).unwrap();
        let all = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let mut ours: Vec<_> = all.filter(|name| name.contains(&self.name)).collect();
        ours.sort();
        ours
    }
}
