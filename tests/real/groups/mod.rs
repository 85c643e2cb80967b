//! Consumer groups that move: whoever goes on at the standby reads exactly what it had not read (M30 to M33).
//!
//! | file | what must hold |
//! |---|---|
//! | `lags` | groups that lag by 0 to 15,000 records, on plain, transactional and compacted topics |
//! | `members` | KIP-848 groups; groups with members on the standby; offsets that somebody moved there |
//! | `barrier` | a consume-process-produce application: its input never counts as done whose output is missing (M31) |
//! | `keeping` | offsets that would expire (M33), groups that are removed, offsets below the standby's start (M32) |
//! | `crowd` | many groups at once |
//! | `rights` | groups that one of the clusters does not let us read or write: named with the grant, nobody else waits |
//! | `share` | share groups are seen, not copied, and that is said |
//! | `java` | Kafka's own consumer goes on without hanging (M30) |

mod barrier;
mod crowd;
mod java;
mod keeping;
mod lags;
mod members;
mod rights;
mod share;

use lockstep_testkit::Lockstep;
use lockstep_testkit::client::{Record, committed};
use lockstep_testkit::lockstep::Finished;
use serde_json::Value;

use crate::mirror::{Ends, PATIENCE, said};

/// Mirrors a topic and groups until both are carried, and expects success.
fn carry(ends: &Ends, topic: &str, groups: &str) -> Finished {
    let finished = ends.mirror_to_the_end(topic, &["--groups", groups]);
    let success = lockstep_testkit::Exit::Code(0);
    assert_eq!(finished.exit, success, "{}{}", finished.stdout, finished.stderr);
    finished
}

/// A mirror of several topics.
fn mirror_of(ends: &Ends, topics: &str, link: &str, more: &[&str]) -> Lockstep {
    let mut arguments = vec!["mirror", "--from", &ends.from, "--to", &ends.to, "--topics", topics];
    arguments.extend(["--link", link, "-o", "json", "--interval", "500ms"]);
    arguments.extend(more);
    Lockstep::spawn(&arguments).unwrap()
}

/// What `lockstep groups` says of one group.
fn shown(ends: &Ends, topic: &str, group: &str) -> Value {
    let arguments = ["groups", "--from", &ends.from, "--to", &ends.to, "--topics", topic, "--groups", group];
    let finished = Lockstep::run(&[&arguments[..], &["-o", "json"]].concat(), PATIENCE).unwrap();
    let list = said(&finished.stdout, "groups").pop().unwrap_or_else(|| panic!("{finished:?}"));
    let mut groups = list["groups"].as_array().unwrap().clone();
    assert_eq!(groups.len(), 1, "{groups:?}");
    groups.remove(0)
}

/// `lockstep verify --groups`: the exit code, and what it said.
fn verified(ends: &Ends, topics: &str, groups: &str) -> Finished {
    let arguments = ["verify", "--from", &ends.from, "--to", &ends.to, "--topics", topics];
    Lockstep::run(&[&arguments[..], &["--groups", groups, "-o", "json"]].concat(), PATIENCE).unwrap()
}

/// What a group has committed on partition 0 of the standby.
fn there(ends: &Ends, group: &str, topic: &str) -> Option<i64> {
    committed(&ends.to, group, topic, 1).unwrap()[0]
}

fn numbered(from: usize, count: usize) -> impl Iterator<Item = Record> {
    (from..from + count).map(|n| Record::new(format!("value {n}")).key(format!("key {}", n % 100)))
}
