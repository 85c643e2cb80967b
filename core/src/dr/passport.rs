//! What each cluster says of itself about a link (M27): role, generation, where the last promotion cut, and what was
//! changed on it. Kept in the compacted topic `__lockstep` of the cluster itself, as JSON that a console consumer shows.
//! Promises: written before the act; the latest record of a key counts; a newer version than ours is refused, never
//! guessed. Pure: others read and write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::acl::AclBinding;
use super::fence::Previous;
use crate::ids::{DestOffset, ProducerIdentity, TopicPartition};

/// The topic, on every cluster of a link.
pub const TOPIC: &str = "__lockstep";

/// The version of the records this build writes, and the highest it reads.
pub const VERSION: u32 = 1;

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    Link { link: String },
    Cut { link: String, topic: String, partition: i32 },
    Changes { link: String },
}

/// What this cluster is to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its topics are a mirror's.
    Standby,
    /// A promotion has begun: the old direction is being refused.
    Promoting,
    /// Promoted, and still closed to clients.
    Promoted,
    /// Open to clients.
    Primary,
}

/// A link as one of its clusters has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Counts the promotions of the link, both clusters together.
    pub generation: u64,
    pub role: Role,
    /// The cluster id of the other side.
    pub peer: String,
    /// While promoting: who the old direction wrote as, before its epoch was raised.
    pub was: Option<Writer>,
}

/// A producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    pub producer_id: i64,
    pub epoch: i16,
    pub known_by: KnownBy,
}

/// Where a producer's identity is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// The link's transactional id.
    TransactionalId,
    /// The log alone: the cluster has forgotten the transactional id (M2).
    Log,
}

impl Writer {
    pub fn identity(self) -> ProducerIdentity {
        ProducerIdentity { id: self.producer_id, epoch: self.epoch }
    }
}

/// Where a partition was cut at a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutRecord {
    /// Of the promotion.
    pub generation: u64,
    /// The end of the log at the promotion: below it, whoever wrote it, is what both sides hold.
    pub cut: i64,
    /// The highest offset that any generation may have given out; nothing new may stand below it (M28).
    pub floor: i64,
}

/// What was changed on a cluster on behalf of a link and is to be put back. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesRecord {
    pub generation: u64,
    /// Previous values by topic and setting.
    pub settings: BTreeMap<String, BTreeMap<String, Previous>>,
    /// Entries that were added.
    pub acls: Vec<AclBinding>,
}

/// One record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Link(LinkRecord),
    Cut(CutRecord),
    Changes(ChangesRecord),
}

/// A record that this build must not act upon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    #[error(
        "record {key} of the passport has version {found}, this build reads up to {VERSION}\n  remedy  use the newer version of lockstep that wrote it"
    )]
    Newer { key: String, found: u32 },
    #[error("record {key} of the passport cannot be read: {why}")]
    Malformed { key: String, why: String },
}

/// Refuses what a later version has written.
///
/// # Errors
/// [`Unreadable::Newer`], [`Unreadable::Malformed`] for a version that never was.
pub fn check_version(key: &str, found: u32) -> Result<(), Unreadable> {
    match found {
        VERSION => Ok(()),
        0 => Err(Unreadable::Malformed { key: key.to_owned(), why: "version 0 never was".to_owned() }),
        found => Err(Unreadable::Newer { key: key.to_owned(), found }),
    }
}

/// What a cluster says about one link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passport {
    pub link: Option<LinkRecord>,
    pub cuts: BTreeMap<TopicPartition, CutRecord>,
    pub changes: ChangesRecord,
}

impl Passport {
    /// Takes a later record in. `None`: the key was deleted.
    pub fn take(&mut self, key: &Key, entry: Option<Entry>) {
        match (key, entry) {
            (Key::Link { .. }, Some(Entry::Link(record))) => self.link = Some(record),
            (Key::Link { .. }, _) => self.link = None,
            (Key::Cut { topic, partition, .. }, Some(Entry::Cut(record))) => {
                self.cuts.insert(TopicPartition::new(topic.as_str(), *partition), record);
            }
            (Key::Cut { topic, partition, .. }, _) => {
                self.cuts.remove(&TopicPartition::new(topic.as_str(), *partition));
            }
            (Key::Changes { .. }, Some(Entry::Changes(record))) => self.changes = record,
            (Key::Changes { .. }, _) => self.changes = ChangesRecord::default(),
        }
    }

    /// 0 before the first promotion.
    pub fn generation(&self) -> u64 {
        self.link.as_ref().map_or(0, |link| link.generation)
    }

    pub fn role(&self) -> Option<Role> {
        self.link.as_ref().map(|link| link.role)
    }
}

/// What a link may write into on its destination, as both passports tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither was ever promoted: only what the link itself wrote is a mirror's.
    Fresh,
    /// A former primary: below these offsets stands what both sides hold, whoever wrote it.
    FormerPrimary { generation: u64, inherited: BTreeMap<TopicPartition, DestOffset> },
}

/// Why a link must not run in this direction.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WrongWay {
    #[error(
        "the destination was promoted for this link (generation {generation}): it is no standby\n  remedy  mirror the other way round"
    )]
    DestinationIsPrimary { generation: u64 },
    #[error(
        "the passports do not agree: the source says generation {source_generation}, the destination {dest_generation}\n  remedy  make the former primary a standby first (reinstate)"
    )]
    GenerationsDiffer { source_generation: u64, dest_generation: u64 },
}

/// Which way a link may run. `None` as the source's: it cannot be read, so that the destination's word alone counts.
///
/// # Errors
/// [`WrongWay`]: nothing may be written to the destination.
pub fn standing(source: Option<&Passport>, dest: &Passport) -> Result<Standing, WrongWay> {
    let generation = dest.generation();
    match dest.role() {
        None => {
            let elsewhere = source.map_or(0, Passport::generation);
            match elsewhere {
                0 => Ok(Standing::Fresh),
                // A promoted source whose old primary was never made a standby.
                _ => Err(WrongWay::GenerationsDiffer { source_generation: elsewhere, dest_generation: 0 }),
            }
        }
        Some(Role::Promoting | Role::Promoted | Role::Primary) => {
            Err(WrongWay::DestinationIsPrimary { generation })
        }
        Some(Role::Standby) => {
            if let Some(source) = source
                && source.generation() != generation
            {
                let source_generation = source.generation();
                return Err(WrongWay::GenerationsDiffer { source_generation, dest_generation: generation });
            }
            let of_it = dest.cuts.iter().filter(|(_, record)| record.generation == generation);
            let inherited = of_it.map(|(tp, record)| (tp.clone(), DestOffset(record.cut))).collect();
            Ok(Standing::FormerPrimary { generation, inherited })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(role: Role, generation: u64) -> Passport {
        let peer = "peer".to_owned();
        Passport { link: Some(LinkRecord { generation, role, peer, was: None }), ..Passport::default() }
    }

    #[test]
    fn records_survive_json() {
        let key = Key::Cut { link: "a/b".to_owned(), topic: "orders".to_owned(), partition: 3 };
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(text, r#"{"cut":{"link":"a/b","topic":"orders","partition":3}}"#);
        assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), key);
        let settings = BTreeMap::from([(
            "orders".to_owned(),
            BTreeMap::from([("max.message.bytes".to_owned(), Previous::Unset)]),
        )]);
        let acls = vec![AclBinding::deny_write("User:a", "orders")];
        let record = ChangesRecord { generation: 7, settings, acls };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ChangesRecord>(&text).unwrap(), record);
        assert!(text.contains(r#""max.message.bytes":"unset""#), "{text}");
    }

    #[test]
    fn a_newer_version_is_refused_with_the_remedy() {
        assert_eq!(check_version("k", VERSION), Ok(()));
        let newer = check_version("k", VERSION + 1).unwrap_err();
        assert!(newer.to_string().contains("remedy"), "{newer}");
        assert!(matches!(check_version("k", 0), Err(Unreadable::Malformed { .. })));
    }

    #[test]
    fn the_latest_record_of_a_key_counts_and_a_tombstone_ends_it() {
        let mut passport = Passport::default();
        let key = Key::Cut { link: "l".to_owned(), topic: "t".to_owned(), partition: 0 };
        let cut = |cut| Some(Entry::Cut(CutRecord { generation: 1, cut, floor: cut }));
        passport.take(&key, cut(5));
        passport.take(&key, cut(9));
        assert_eq!(passport.cuts[&TopicPartition::new("t", 0)].cut, 9);
        passport.take(&key, None);
        assert!(passport.cuts.is_empty());
    }

    #[test]
    fn a_link_runs_towards_a_standby_only() {
        assert_eq!(standing(Some(&Passport::default()), &Passport::default()), Ok(Standing::Fresh));
        for role in [Role::Promoting, Role::Promoted, Role::Primary] {
            let refused = standing(Some(&Passport::default()), &of(role, 1));
            assert_eq!(refused, Err(WrongWay::DestinationIsPrimary { generation: 1 }), "{role:?}");
        }
        // The old primary of a promotion that was never reversed.
        assert!(matches!(
            standing(Some(&of(Role::Primary, 1)), &Passport::default()),
            Err(WrongWay::GenerationsDiffer { .. })
        ));
        assert!(matches!(
            standing(Some(&of(Role::Primary, 2)), &of(Role::Standby, 1)),
            Err(WrongWay::GenerationsDiffer { source_generation: 2, dest_generation: 1 })
        ));
    }

    #[test]
    fn a_former_primary_inherits_what_stands_below_the_last_cut() {
        let mut dest = of(Role::Standby, 2);
        let tp = |n| TopicPartition::new("t", n);
        dest.cuts.insert(tp(0), CutRecord { generation: 2, cut: 70, floor: 70 });
        dest.cuts.insert(tp(1), CutRecord { generation: 1, cut: 30, floor: 30 });
        let Ok(Standing::FormerPrimary { generation: 2, inherited }) =
            standing(Some(&of(Role::Primary, 2)), &dest)
        else {
            panic!("the passports agree")
        };
        assert_eq!(inherited, BTreeMap::from([(tp(0), DestOffset(70))]), "an earlier cut says nothing now");
    }
}
