//! What has to happen to one destination topic before it can be a mirror: create, adopt, grow, or refuse.
//! A refusal changes nothing and names the remedy. Standby settings: M20.

use std::collections::BTreeMap;
use std::fmt;

use super::names::NameRefusal;

/// Settings of a standby topic (M20): nothing is rejected, recompressed, restamped or expired by the mirror's
/// own broker. Names as in Kafka's `TopicConfig`.
const STANDBY_SETTINGS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("compression.type", "producer"),
    ("max.message.bytes", "2147483647"),
    ("message.timestamp.type", "CreateTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

/// Timestamp bounds by generation of broker: KIP-937 (3.6) replaced one setting by two.
const TIMESTAMP_BOUNDS_SINCE_3_6: &[(&str, &str)] = &[
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
];
const TIMESTAMP_BOUNDS_BEFORE_3_6: &[(&str, &str)] =
    &[("message.timestamp.difference.max.ms", "9223372036854775807")];

/// The standby settings that a destination knows.
/// `knows`: whether its topics have a setting of this name.
pub fn standby_settings(knows: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let bounds = if knows("message.timestamp.before.max.ms") {
        TIMESTAMP_BOUNDS_SINCE_3_6
    } else {
        TIMESTAMP_BOUNDS_BEFORE_3_6
    };
    let all = STANDBY_SETTINGS.iter().chain(bounds);
    all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A topic as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTopic {
    pub name: String,
    pub partitions: usize,
    pub compaction: SourceCompaction,
}

/// Whether the source's cleaner works on a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceCompaction {
    #[default]
    Off,
    /// With the `delete.retention.ms` that holds there.
    On { delete_retention_ms: i64 },
}

/// Whether the mirror's cleaner works, or will (M21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compaction {
    Off,
    /// Once the mirror is past everything that may have a null key.
    Later,
    On,
}

/// `delete` beside it, because a broker refuses DeleteRecords on a topic that is only compacted (POLICY_VIOLATION, 44),
/// and the mirror follows the source's log start with it. Retention is off while standby: nothing expires.
pub const COMPACTED_POLICY: &str = "compact,delete";

/// Whether a standby topic carries what it should. A compacted one may be there already, or still be on its way.
pub fn is_set(name: &str, wanted: &str, overrides: &BTreeMap<String, String>) -> bool {
    let found = overrides.get(name).map(String::as_str);
    found == Some(wanted) || (name == "cleanup.policy" && found == Some(COMPACTED_POLICY))
}

/// What becomes of the mirror's cleaning. `policy`: its `cleanup.policy`; `None`: it is yet to be created.
pub fn compaction(source: SourceCompaction, policy: Option<&str>) -> Compaction {
    match (source, policy) {
        (SourceCompaction::Off, _) => Compaction::Off,
        (SourceCompaction::On { .. }, Some(COMPACTED_POLICY)) => Compaction::On,
        (SourceCompaction::On { .. }, _) => Compaction::Later,
    }
}

/// The topic of that name on the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestTopic {
    pub partitions: usize,
    /// Set on the topic itself, not inherited from broker defaults.
    pub overrides: BTreeMap<String, String>,
    pub data: DataOwner,
}

/// Who wrote what the destination topic holds, told by the producer ids in its last batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataOwner {
    Nobody,
    ThisLink,
    Foreign { partition: i32, offset: i64, producer_id: i64 },
}

/// What to do with one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicPlan {
    /// Already a standby topic of the right size.
    Ready,
    Create {
        partitions: usize,
        settings: Vec<(String, String)>,
    },
    /// Exists: set these settings and add partitions up to this number.
    Adopt {
        grow_to: Option<usize>,
        settings: Vec<(String, String)>,
        /// What the source or the user owns: set, or (`None`) removed.
        followed: Vec<(String, Option<String>)>,
    },
    Refuse(Refusal),
}

/// Why a topic cannot be mirrored into what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// For its name alone.
    Name(NameRefusal),
    ForeignData {
        partition: i32,
        offset: i64,
        producer_id: i64,
    },
    MorePartitions {
        source: usize,
        dest: usize,
    },
    FewerPartitions {
        source: usize,
        dest: usize,
    },
}

/// Plans one topic. Pure: nothing is changed by planning. `settings`: what a standby carries (M20); `followed`: what else is
/// to be set or (`None`) removed, of what the source and the user own.
pub fn plan_topic(
    source: &SourceTopic,
    dest: Option<&DestTopic>,
    settings: &[(String, String)],
    followed: &[(String, Option<String>)],
) -> TopicPlan {
    let Some(dest) = dest else {
        let followed = followed.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        let settings = settings.iter().cloned().chain(followed).collect();
        return TopicPlan::Create { partitions: source.partitions, settings };
    };
    if let DataOwner::Foreign { partition, offset, producer_id } = dest.data {
        return TopicPlan::Refuse(Refusal::ForeignData { partition, offset, producer_id });
    }
    if dest.partitions > source.partitions {
        let refusal = Refusal::MorePartitions { source: source.partitions, dest: dest.partitions };
        return TopicPlan::Refuse(refusal);
    }
    let stands = |name: &str, wanted: &str| match source.compaction {
        SourceCompaction::On { .. } => is_set(name, wanted, &dest.overrides),
        SourceCompaction::Off => dest.overrides.get(name).is_some_and(|found| found == wanted),
    };
    let missing: Vec<_> = settings.iter().filter(|(name, value)| !stands(name, value)).cloned().collect();
    let grow_to = (dest.partitions < source.partitions).then_some(source.partitions);
    // Growing is right only for a mirror: one that carries our data or every standby setting.
    let is_mirror = dest.data == DataOwner::ThisLink || missing.is_empty();
    if grow_to.is_some() && !is_mirror {
        let refusal = Refusal::FewerPartitions { source: source.partitions, dest: dest.partitions };
        return TopicPlan::Refuse(refusal);
    }
    if grow_to.is_none() && missing.is_empty() && followed.is_empty() {
        return TopicPlan::Ready;
    }
    TopicPlan::Adopt { grow_to, settings: missing, followed: followed.to_vec() }
}

impl Refusal {
    /// What the operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Name(refusal) => refusal.remedy(),
            Self::ForeignData { .. } => {
                "mirror under the link that wrote these records (--link), or delete the topic on the destination, or leave it out with --exclude"
            }
            Self::MorePartitions { .. } | Self::FewerPartitions { .. } => {
                "delete the topic on the destination (the mirror creates it), or leave it out with --exclude"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(refusal) => write!(f, "{refusal}"),
            Self::ForeignData { partition, offset, producer_id } => {
                write!(
                    f,
                    "the destination holds records that this link did not write: partition {partition}, offset {offset}, "
                )?;
                if *producer_id >= 0 {
                    write!(f, "producer id {producer_id}")
                } else {
                    write!(f, "a producer without id")
                }
            }
            Self::MorePartitions { source, dest } | Self::FewerPartitions { source, dest } => {
                write!(f, "the destination topic has {dest} partitions, the source {source}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Vec<(String, String)> {
        standby_settings(|name| name == "message.timestamp.before.max.ms")
    }

    fn source(partitions: usize) -> SourceTopic {
        SourceTopic { name: "orders".to_owned(), partitions, compaction: SourceCompaction::Off }
    }

    fn standby(partitions: usize, data: DataOwner) -> DestTopic {
        DestTopic { partitions, overrides: settings().into_iter().collect(), data }
    }

    #[test]
    fn a_missing_topic_is_created_with_the_sources_partition_count() {
        let TopicPlan::Create { partitions, settings } = plan_topic(&source(8), None, &settings(), &[])
        else {
            panic!("should create")
        };
        assert_eq!(partitions, 8);
        assert!(settings.contains(&("compression.type".to_owned(), "producer".to_owned())));
    }

    #[test]
    fn an_empty_topic_of_the_right_size_is_adopted_and_a_standby_left_alone() {
        let plain = DestTopic { partitions: 8, overrides: BTreeMap::new(), data: DataOwner::Nobody };
        let TopicPlan::Adopt { grow_to: None, settings: missing, .. } =
            plan_topic(&source(8), Some(&plain), &settings(), &[])
        else {
            panic!("should adopt")
        };
        assert_eq!(missing, settings());
        let ours = standby(8, DataOwner::ThisLink);
        assert_eq!(plan_topic(&source(8), Some(&ours), &settings(), &[]), TopicPlan::Ready);
    }

    #[test]
    fn only_a_mirror_grows() {
        let ours = standby(4, DataOwner::Nobody);
        assert_eq!(
            plan_topic(&source(6), Some(&ours), &settings(), &[]),
            TopicPlan::Adopt { grow_to: Some(6), settings: vec![], followed: vec![] }
        );
        let plain = DestTopic { partitions: 4, overrides: BTreeMap::new(), data: DataOwner::Nobody };
        assert_eq!(
            plan_topic(&source(6), Some(&plain), &settings(), &[]),
            TopicPlan::Refuse(Refusal::FewerPartitions { source: 6, dest: 4 })
        );
        assert_eq!(
            plan_topic(&source(2), Some(&ours), &settings(), &[]),
            TopicPlan::Refuse(Refusal::MorePartitions { source: 2, dest: 4 })
        );
    }

    #[test]
    fn foreign_data_is_refused_whatever_else_fits() {
        let foreign = DataOwner::Foreign { partition: 3, offset: 17, producer_id: -1 };
        let TopicPlan::Refuse(refusal) = plan_topic(&source(8), Some(&standby(8, foreign)), &settings(), &[])
        else {
            panic!("should refuse")
        };
        assert!(refusal.to_string().contains("partition 3, offset 17"), "{refusal}");
    }

    /// M21: null keys may still come, and a compacted topic refuses them.
    #[test]
    fn a_compacted_topic_is_mirrored_uncompacted_until_it_has_caught_up() {
        let on = SourceCompaction::On { delete_retention_ms: 86_400_000 };
        let compacted = SourceTopic { compaction: on, ..source(8) };
        let own = [("segment.ms".to_owned(), Some("1000".to_owned()))];
        let TopicPlan::Create { settings: created, .. } = plan_topic(&compacted, None, &settings(), &own)
        else {
            panic!("should create")
        };
        assert!(created.contains(&("cleanup.policy".to_owned(), "delete".to_owned())));
        assert!(created.contains(&("segment.ms".to_owned(), "1000".to_owned())));
        assert_eq!(compaction(on, None), Compaction::Later);
        assert_eq!(compaction(on, Some("delete")), Compaction::Later);
        let mut there = standby(8, DataOwner::ThisLink);
        there.overrides.insert("cleanup.policy".to_owned(), COMPACTED_POLICY.to_owned());
        assert_eq!(plan_topic(&compacted, Some(&there), &settings(), &[]), TopicPlan::Ready);
        assert_eq!(compaction(on, Some(COMPACTED_POLICY)), Compaction::On);
        assert_eq!(compaction(SourceCompaction::Off, Some(COMPACTED_POLICY)), Compaction::Off);
        let TopicPlan::Adopt { settings: missing, .. } =
            plan_topic(&source(8), Some(&there), &settings(), &[])
        else {
            panic!("the source no longer compacts it")
        };
        assert_eq!(missing, [("cleanup.policy".to_owned(), "delete".to_owned())]);
    }

    #[test]
    fn a_standby_whose_source_changed_its_settings_meanwhile_is_adopted_anew() {
        let ours = standby(8, DataOwner::ThisLink);
        let followed = [("segment.ms".to_owned(), Some("1000".to_owned()))];
        let TopicPlan::Adopt { grow_to: None, settings: missing, followed: set } =
            plan_topic(&source(8), Some(&ours), &settings(), &followed)
        else {
            panic!("should adopt")
        };
        assert!(missing.is_empty());
        assert_eq!(set, followed);
    }

    #[test]
    fn old_destinations_get_the_old_timestamp_bound() {
        let old = standby_settings(|_| false);
        assert!(old.iter().any(|(name, _)| name == "message.timestamp.difference.max.ms"));
        assert!(!old.iter().any(|(name, _)| name.contains("before")));
    }
}
