//! The mirror as its users run it: `lockstep mirror` between two real clusters, looked at by librdkafka.
//!
//! | file | what must hold |
//! |---|---|
//! | `shapes` | whatever records look like, both sides hold the same |
//! | `brokers` | brokers die, stop, come back, move their leaders |
//! | `kills` | the mirror dies at any moment: nothing lost, nothing twice |
//! | `renames` | other names on the destination, the same offsets; names that cannot be; circles |
//! | `revoked` | rights that go and come back while it runs |
//! | `rivals` | two mirrors of one link at once |
//! | `damage` | bits that flip on the way |
//! | `verdicts` | what stops a partition, and that it stops nothing else |
//! | `identity` | the link's one producer, kept alive and recovered |
//! | `keeping` | what follows the source's deletions and what does not |
//! | `growth` | topics and partitions that come later |
//! | `settings` | settings of standby topics while a mirror runs, and compaction that begins or ends (M20, M21) |
//! | `input` | wrong input: a clear message, exit 1, nothing changed |
//! | `measured` | what would be lost is counted wherever it stands |
//! | `network` | lines that are cut, slow, lossy, narrow, half closed |
//! | `hostile` | servers that lie in place of a broker |
//! | `pace` | the throttle; small topics beside large ones that catch up |
//! | `rules` | rules that no other file shows: identity, settings, transactions |
//! | `exact` | everything that takes an offset: transactions, compaction, expired heads, old formats (a folder) |
//! | `compared` | what `lockstep verify` says, and that it never says identical without proof |

mod brokers;
pub(crate) mod compared;
mod damage;
mod exact;
mod growth;
mod hostile;
mod identity;
mod input;
mod keeping;
mod kills;
mod measured;
mod network;
mod pace;
mod renames;
mod revoked;
mod rivals;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod shapes;
mod verdicts;

pub(crate) use exact::{assert_exact, assert_verified};

use std::time::Duration;

use lockstep_testkit::client::{Admin, watermarks};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Kafka, Lockstep, pair, wait_until_true};
use serde_json::Value;

/// Long enough for a machine with other things to do; nothing passes by waiting longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Source and destination as bootstrap addresses.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Ends {
    /// The shared pair.
    pub(crate) fn shared() -> Self {
        Self::of(&pair().source, &pair().destination)
    }

    pub(crate) fn of(source: &Kafka, destination: &Kafka) -> Self {
        Self { from: source.bootstrap(), to: destination.bootstrap() }
    }

    /// Creates a topic on the source.
    pub(crate) fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        Admin::of(&self.from).unwrap().create(topic, partitions, configs).unwrap();
    }

    /// A mirror that runs until it is told to stop. `topic` is the link's name too.
    pub(crate) fn mirror(&self, topic: &str) -> Lockstep {
        self.mirror_with(topic, &[])
    }

    pub(crate) fn mirror_with(&self, topic: &str, more: &[&str]) -> Lockstep {
        let mut arguments = vec!["mirror", "--from", &self.from, "--to", &self.to];
        arguments.extend(["--topics", topic, "--link", topic, "-o", "json", "--interval", "500ms"]);
        arguments.extend(more);
        Lockstep::spawn(&arguments).unwrap()
    }

    /// Mirrors until caught up, and expects success.
    pub(crate) fn mirror_all(&self, topic: &str) -> Finished {
        let finished = self.mirror_to_the_end(topic, &[]);
        assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
        finished
    }

    /// Mirrors until caught up, whatever comes of it.
    pub(crate) fn mirror_to_the_end(&self, topic: &str, more: &[&str]) -> Finished {
        let mut all = vec!["--until-caught-up"];
        all.extend(more);
        let mut mirror = self.mirror_with(topic, &all);
        let exit = mirror.wait(PATIENCE).unwrap();
        Finished { exit, stdout: mirror.stdout(), stderr: mirror.stderr() }
    }

    /// The high watermark of a partition on the destination; 0 while it does not exist.
    pub(crate) fn held(&self, topic: &str, partition: i32) -> i64 {
        watermarks(&self.to, topic, partition).map_or(0, |range| range.end)
    }

    /// The high watermark of a partition on the source.
    pub(crate) fn written(&self, topic: &str, partition: i32) -> i64 {
        watermarks(&self.from, topic, partition).unwrap().end
    }

    /// Waits until the destination holds as much as the source of every partition.
    pub(crate) fn wait_until_equal(&self, topic: &str, partitions: i32) {
        for partition in 0..partitions {
            wait_until_true(&format!("{topic}:{partition} to be held by the destination"), PATIENCE, || {
                self.held(topic, partition) >= self.written(topic, partition)
            });
        }
    }
}

/// The JSON objects of one kind that a mirror has written.
pub(crate) fn said(stdout: &str, kind: &str) -> Vec<Value> {
    let lines = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|value| value["kind"] == kind).collect()
}

/// Stops a mirror in order and expects this exit code.
pub(crate) fn stop(mut mirror: Lockstep, code: i32) -> Finished {
    mirror.interrupt().unwrap();
    let exit = mirror.wait(PATIENCE).unwrap();
    let finished = Finished { exit, stdout: mirror.stdout(), stderr: mirror.stderr() };
    assert_eq!(finished.exit, Exit::Code(code), "{}{}", finished.stdout, finished.stderr);
    finished
}

/// Waits until a running mirror has said something of this kind that fits.
pub(crate) fn wait_for(mirror: &Lockstep, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
    lockstep_testkit::wait_until(&format!("the mirror to say {kind:?}"), PATIENCE, || {
        said(&mirror.stdout(), kind).into_iter().find(&fits)
    })
}
