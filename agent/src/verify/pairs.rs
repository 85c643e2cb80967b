//! Which topics are compared, and what stands against comparing one before any offset is asked for.

use std::sync::Arc;

use lockstep_core::ids::TopicPartition;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::TopicSelection;
use lockstep_kafka::Metadata;

use super::VerifyError;
use crate::pipeline::names::Twin;

/// Names shown when nothing matches.
const EXAMPLES_MAX: usize = 5;

/// A topic of the source, and how the destination answers to it.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) topic: Arc<str>,
    /// What the destination calls it.
    pub(super) dest_topic: Arc<str>,
    /// On the source.
    pub(super) count: usize,
    pub(super) standing: Standing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Comparable,
    /// Different before any record is read; in words.
    Different(String),
    /// The metadata do not say enough.
    Unknown(String),
}

impl Pair {
    /// The partitions to compare; none where the topics as such do not fit.
    pub(super) fn partitions(&self) -> impl Iterator<Item = Twin> + '_ {
        let count = if self.standing == Standing::Comparable { self.count } else { 0 };
        (0..i32::try_from(count).unwrap_or(i32::MAX))
            .map(|n| Twin::new(TopicPartition::new(Arc::clone(&self.topic), n), &self.dest_topic))
    }
}

/// The topics of both clusters that the selection takes, by name.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Those of the source.
    pub(super) pairs: Vec<Pair>,
    /// A destination may have topics of its own: to be named, no difference.
    pub(super) dest_only: Vec<Arc<str>>,
}

/// What is to be compared.
pub(super) fn find(
    source: &Metadata,
    dest: &Metadata,
    selection: &TopicSelection,
    rename: &Rename,
) -> Result<Found, VerifyError> {
    let taken = source.topics.iter().filter(|(name, topic)| selection.takes(name, topic.internal));
    let pairs: Vec<_> = taken
        .map(|(name, topic)| {
            let dest_topic: Arc<str> = rename.dest_name(name).into();
            let standing = standing((source, name), (dest, &dest_topic));
            Pair { topic: Arc::clone(name), dest_topic, count: topic.partitions.len(), standing }
        })
        .collect();
    if pairs.is_empty() {
        return Err(VerifyError::NothingMatches { seen: seen(source) });
    }
    let is_alone = |name: &str, internal| {
        source_name(rename, name)
            .is_some_and(|here| selection.takes(here, internal) && !source.topics.contains_key(here))
    };
    let alone = dest.topics.iter().filter(|(name, topic)| is_alone(name, topic.internal));
    let dest_only = alone.map(|(name, _)| Arc::clone(name)).collect();
    Ok(Found { pairs, dest_only })
}

/// What a topic of the destination would be called on the source; `None` where the rule does not tell.
fn source_name<'a>(rename: &Rename, name: &'a str) -> Option<&'a str> {
    match rename {
        Rename::Keep => Some(name),
        Rename::Prefix(prefix) => name.strip_prefix(prefix.as_str()),
        Rename::Pattern { .. } => None,
    }
}

/// Both sides with the topic's name there.
fn standing(source: (&Metadata, &str), dest: (&Metadata, &str)) -> Standing {
    let topic = |(metadata, name): (&Metadata, &str)| {
        let topic = metadata.topics.get(name)?;
        // A topic that is being created or deleted has an error and no partitions.
        Some(match topic.error {
            Some(code) if topic.partitions.is_empty() => Err(code),
            _ => Ok(topic.partitions.len()),
        })
    };
    match (topic(source), topic(dest)) {
        (_, None) => Standing::Different("the topic does not exist on the destination".to_owned()),
        (None, _) => Standing::Unknown("the topic is gone from the source".to_owned()),
        (Some(Err(code)), _) => Standing::Unknown(format!("the source does not describe the topic: {code}")),
        (_, Some(Err(code))) => {
            Standing::Unknown(format!("the destination does not describe the topic: {code}"))
        }
        (Some(Ok(here)), Some(Ok(there))) if here != there => {
            Standing::Different(format!("{here} partitions here, {there} there"))
        }
        (Some(Ok(_)), Some(Ok(_))) => Standing::Comparable,
    }
}

/// What the source has instead.
fn seen(source: &Metadata) -> String {
    let names: Vec<_> =
        source.topics.iter().filter(|(_, t)| !t.internal).map(|(name, _)| name.to_string()).collect();
    match names.len() {
        0 => "no topics at all that can be seen".to_owned(),
        count if count <= EXAMPLES_MAX => names.join(", "),
        count => format!("{} and {} more", names[..EXAMPLES_MAX].join(", "), count - EXAMPLES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::ids::{LeaderEpoch, NodeId, TopicId};
    use lockstep_core::spec::select::Patterns;
    use lockstep_kafka::{ErrorCode, PartitionMeta, Topic};

    fn taking(pattern: &str) -> TopicSelection {
        TopicSelection { include: Patterns::new([pattern]).unwrap(), ..TopicSelection::default() }
    }

    fn cluster(topics: &[(&str, i32)]) -> Metadata {
        let partition = |partition| PartitionMeta {
            partition,
            leader: Some(NodeId(1)),
            leader_epoch: LeaderEpoch(0),
            replicas: Vec::new(),
            isr: Vec::new(),
            error: None,
        };
        let topic = |count| Topic {
            id: TopicId::ZERO,
            internal: false,
            error: (count == 0).then_some(ErrorCode::LEADER_NOT_AVAILABLE),
            partitions: (0..count).map(partition).collect(),
        };
        let topics = topics.iter().map(|(name, count)| (Arc::from(*name), topic(*count))).collect();
        Metadata { topics, ..Metadata::default() }
    }

    #[test]
    fn topics_that_do_not_fit_are_different_in_words() {
        let source = cluster(&[("a", 2), ("b", 3), ("c", 1), ("d", 0), ("other", 1)]);
        let dest = cluster(&[("a", 2), ("b", 2), ("d", 1), ("z", 1)]);
        let selection = taking("[a-z]");
        let Found { pairs, dest_only } = find(&source, &dest, &selection, &Rename::Keep).unwrap();
        assert_eq!(dest_only, [Arc::from("z")]);
        let names: Vec<_> = pairs.iter().map(|p| &*p.topic).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(pairs[0].standing, Standing::Comparable);
        assert_eq!(pairs[0].partitions().count(), 2);
        assert_eq!(pairs[1].standing, Standing::Different("3 partitions here, 2 there".to_owned()));
        assert_eq!(pairs[1].partitions().count(), 0);
        assert!(matches!(&pairs[2].standing, Standing::Different(what) if what.contains("does not exist")));
        assert!(matches!(&pairs[3].standing, Standing::Unknown(why) if why.contains("LEADER_NOT_AVAILABLE")));
    }

    #[test]
    fn renamed_topics_are_looked_for_under_their_new_name() {
        let source = cluster(&[("a", 2), ("b", 1)]);
        let dest = cluster(&[("east.a", 2), ("b", 1), ("east.z", 1), ("west.a", 1)]);
        let rename = Rename::parse("east.").unwrap();
        let Found { pairs, dest_only } = find(&source, &dest, &taking("[a-z]"), &rename).unwrap();
        assert_eq!(pairs[0].standing, Standing::Comparable);
        let first = pairs[0].partitions().next().unwrap();
        assert_eq!(first.to_string(), "a:0 → east.a:0");
        assert!(
            matches!(pairs[1].standing, Standing::Different(_)),
            "another topic of the old name is none of it"
        );
        assert_eq!(dest_only, [Arc::from("east.z")]);
    }

    #[test]
    fn nothing_that_matches_is_an_error_that_says_what_is_there() {
        let source = cluster(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1), ("g", 1)]);
        let error = find(&source, &source, &taking("x"), &Rename::Keep).unwrap_err().to_string();
        assert!(error.contains("a, b, c, d, e and 2 more") && error.contains("remedy"), "{error}");
    }
}
