//! Who decides each setting of a standby topic: the source, the standby's own needs (M20), the destination, or the
//! user's file. One table of Kafka's `TopicConfig` names, each with its reason; a name that is not in it is the destination's.
//! Promises: what the mirror depends on (M20) can be given to nobody else. Faults of a policy are all reported at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::configs::Own;
use crate::spec::fault::Fault;

/// Whose word counts for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Follows what is set on the source's topic; unset there, it is unset here.
    Source,
    /// What a mirror needs while it is one (M20). The source's value is kept for the promotion.
    Standby,
    /// The destination's operators: never read, never written.
    Local,
    /// The user's file or command line names the value.
    Config,
}

impl Owner {
    /// One stable lower-case word, as in files and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Standby => "standby",
            Self::Local => "local",
            Self::Config => "config",
        }
    }
}

/// A setting of a topic and who owns it unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As in Kafka's `TopicConfig`.
    pub name: &'static str,
    pub owner: Owner,
    pub why: &'static str,
}

const fn field(name: &'static str, owner: Owner, why: &'static str) -> Field {
    Field { name, owner, why }
}

/// Every topic setting of Kafka 3.0 to 4.3.
pub const FIELDS: &[Field] = &[
    field(
        "cleanup.policy",
        Owner::Standby,
        "null keys may still come: M21 says when the mirror is compacted",
    ),
    field("compression.gzip.level", Owner::Source, "rests while the mirror recompresses nothing"),
    field("compression.lz4.level", Owner::Source, "rests while the mirror recompresses nothing"),
    field("compression.type", Owner::Standby, "the mirror's broker recompresses nothing"),
    field("compression.zstd.level", Owner::Source, "rests while the mirror recompresses nothing"),
    field("delete.retention.ms", Owner::Source, "consumers count on tombstones for as long (M19)"),
    field("file.delete.delay.ms", Owner::Local, "the broker's disks"),
    field("flush.messages", Owner::Local, "the broker's disks"),
    field("flush.ms", Owner::Local, "the broker's disks"),
    field("follower.replication.throttled.replicas", Owner::Local, "names the destination's own brokers"),
    field("index.interval.bytes", Owner::Local, "the broker's disks"),
    field("leader.replication.throttled.replicas", Owner::Local, "names the destination's own brokers"),
    field("local.retention.bytes", Owner::Local, "tiered storage is the cluster's own affair"),
    field("local.retention.ms", Owner::Local, "tiered storage is the cluster's own affair"),
    field("max.compaction.lag.ms", Owner::Source, "how long an old value may live on is the owner's promise"),
    field(
        "max.message.bytes",
        Owner::Standby,
        "the mirror takes whatever the source took; fences use it (M25)",
    ),
    field("message.downconversion.enable", Owner::Local, "the broker's work for old clients; gone since 4.0"),
    field("message.format.version", Owner::Local, "goes with the brokers' version; gone since 4.0"),
    field("message.timestamp.after.max.ms", Owner::Standby, "no record is refused for its time"),
    field("message.timestamp.before.max.ms", Owner::Standby, "no record is refused for its time"),
    field("message.timestamp.difference.max.ms", Owner::Standby, "no record is refused for its time"),
    field("message.timestamp.type", Owner::Standby, "timestamps stay the source's"),
    field("min.cleanable.dirty.ratio", Owner::Source, "how much of old values consumers re-read"),
    field("min.compaction.lag.ms", Owner::Source, "consumers count on every value for as long"),
    field(
        "min.insync.replicas",
        Owner::Local,
        "goes with the replication factor, which is the destination's",
    ),
    field("preallocate", Owner::Local, "the broker's disks"),
    field("remote.log.copy.disable", Owner::Local, "tiered storage is the cluster's own affair"),
    field("remote.log.delete.on.disable", Owner::Local, "tiered storage is the cluster's own affair"),
    field("remote.storage.enable", Owner::Local, "tiered storage is the cluster's own affair"),
    field("retention.bytes", Owner::Standby, "nothing expires by itself: the mirror follows the log start"),
    field("retention.ms", Owner::Standby, "nothing expires by itself: the mirror follows the log start"),
    field("segment.bytes", Owner::Source, "what is cleaned and deleted goes by whole segments"),
    field("segment.index.bytes", Owner::Local, "the broker's disks"),
    field("segment.jitter.ms", Owner::Source, "goes with segment.ms"),
    field("segment.ms", Owner::Source, "what is cleaned and deleted goes by whole segments"),
    field("unclean.leader.election.enable", Owner::Local, "what the destination would rather lose"),
];

/// Names that a policy may hold.
const NAMES_MAX: usize = 64;
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 1_024;

/// The table's entry; `None` for a name that Kafka did not have when this was written.
pub fn field_of(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name == name)
}

/// What a user wants otherwise than the table has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicSettingsPolicy {
    set: Own,
    owners: BTreeMap<String, Owner>,
}

impl TopicSettingsPolicy {
    /// `set`: values for every topic of the link, owned by [`Owner::Config`]. `owners`: names that go to the source or
    /// stay local, against the table.
    ///
    /// # Errors
    /// All faults at once, with keys below `topic_settings`: a name the mirror depends on (M20), a name in both, a value
    /// that is empty or longer than 1,024 bytes, more than 64 names.
    pub fn new(set: Own, owners: BTreeMap<String, Owner>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if set.len() + owners.len() > NAMES_MAX {
            faults.push(Fault::new("topic_settings", format!("more than {NAMES_MAX} names")));
        }
        for name in set.keys().chain(owners.keys()) {
            let key = format!("topic_settings.{name}");
            if !is_setting_name(name) {
                faults.push(Fault::new(
                    key,
                    "no setting of a topic: write it as Kafka does, as in segment.bytes",
                ));
            } else if let Some(field) = field_of(name).filter(|field| field.owner == Owner::Standby) {
                let why = format!("a mirror depends on it ({}): leave it out", field.why);
                faults.push(Fault::new(key, why));
            }
        }
        for (name, value) in &set {
            let key = format!("topic_settings.{name}");
            if value.is_empty() || value.len() > VALUE_BYTES_MAX {
                faults.push(Fault::new(&key, format!("give a value of 1 to {VALUE_BYTES_MAX} bytes")));
            }
            if owners.contains_key(name) {
                faults.push(Fault::new(key, "has a value and an owner: a value makes it owned by config"));
            }
        }
        for (name, owner) in &owners {
            if matches!(owner, Owner::Standby | Owner::Config) {
                let what = format!("{} is no choice: source or local", owner.name());
                faults.push(Fault::new(format!("topic_settings.owners.{name}"), what));
            }
        }
        if faults.is_empty() { Ok(Self { set, owners }) } else { Err(faults) }
    }

    /// Who decides this setting. A name that is neither here nor in the table is local.
    pub fn owner(&self, name: &str) -> Owner {
        if self.set.contains_key(name) {
            return Owner::Config;
        }
        let chosen = self.owners.get(name).copied();
        chosen.or(field_of(name).map(|field| field.owner)).unwrap_or(Owner::Local)
    }

    /// Whether anybody has decided about this name: the table or the user.
    pub fn knows(&self, name: &str) -> bool {
        field_of(name).is_some() || self.set.contains_key(name) || self.owners.contains_key(name)
    }

    /// Names that the user gave to another owner than the table does.
    pub fn owners(&self) -> &BTreeMap<String, Owner> {
        &self.owners
    }

    /// Values that the user gave.
    pub fn set(&self) -> &Own {
        &self.set
    }
}

fn is_setting_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    !name.is_empty() && name.len() <= 200 && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::super::topics::standby_settings;
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> Own {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_table_is_sorted_and_names_each_setting_once() {
        assert!(FIELDS.is_sorted_by(|a, b| a.name < b.name));
        assert!(FIELDS.iter().all(|field| !field.why.is_empty() && field.owner != Owner::Config));
    }

    #[test]
    fn m20_what_is_set_on_a_standby_is_what_the_standby_owns() {
        let set: Vec<_> = [standby_settings(|_| true), standby_settings(|_| false)].concat();
        for field in FIELDS {
            let is_set = set.iter().any(|(name, _)| name == field.name);
            assert_eq!(is_set, field.owner == Owner::Standby, "{}", field.name);
        }
    }

    #[test]
    fn a_policy_goes_before_the_table_and_unknown_names_are_local() {
        let owners =
            [("segment.ms".to_owned(), Owner::Local), ("min.insync.replicas".to_owned(), Owner::Source)];
        let policy = TopicSettingsPolicy::new(own(&[("segment.bytes", "1048576")]), owners.into()).unwrap();
        assert_eq!(policy.owner("segment.bytes"), Owner::Config);
        assert_eq!(policy.owner("segment.ms"), Owner::Local);
        assert_eq!(policy.owner("min.insync.replicas"), Owner::Source);
        assert_eq!(policy.owner("retention.ms"), Owner::Standby);
        assert_eq!(policy.owner("diskless.enable"), Owner::Local);
        assert!(!policy.knows("diskless.enable"));
    }

    #[test]
    fn every_fault_of_a_policy_is_found() {
        let set = own(&[("retention.ms", "1"), ("segment.bytes", ""), ("flush.ms", "1"), ("No Name", "1")]);
        let owners = [
            ("flush.ms".to_owned(), Owner::Local),
            ("cleanup.policy".to_owned(), Owner::Source),
            ("preallocate".to_owned(), Owner::Standby),
        ];
        let faults = TopicSettingsPolicy::new(set, owners.into()).unwrap_err();
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        for key in [
            "topic_settings.No Name",
            "topic_settings.retention.ms",
            "topic_settings.cleanup.policy",
            "topic_settings.segment.bytes",
            "topic_settings.flush.ms",
            "topic_settings.owners.preallocate",
        ] {
            assert!(keys.contains(&key), "{key} is missing: {faults:?}");
        }
        assert_eq!(faults.len(), 6, "{faults:?}");
    }
}
