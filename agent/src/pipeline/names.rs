//! One partition, two names: what the source calls `orders` may be `east.orders` on the destination (`Rename`). Offsets
//! do not depend on it. Everything that decides and reports goes by the source's name; whatever is said to the
//! destination takes a [`DestPartition`], so that a name of the wrong side does not compile. Names are made in one
//! place, from the topic that stands ready; no task looks them up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use lockstep_core::ids::TopicPartition;

/// A partition as the destination calls it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestPartition(TopicPartition);

impl DestPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self(TopicPartition::new(topic, partition))
    }

    /// For requests to the destination, and to find it in its answers.
    pub fn there(&self) -> &TopicPartition {
        &self.0
    }

    pub fn topic(&self) -> &Arc<str> {
        &self.0.topic
    }
}

impl fmt::Display for DestPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One partition of a link by both its names. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    pub source: TopicPartition,
    pub dest: DestPartition,
}

impl Twin {
    /// `dest_topic`: what the destination calls the topic of `source`.
    pub fn new(source: TopicPartition, dest_topic: &Arc<str>) -> Self {
        let dest = DestPartition::new(Arc::clone(dest_topic), source.partition);
        Self { source, dest }
    }

    /// Whether both sides call it the same.
    pub fn is_same(&self) -> bool {
        self.source == self.dest.0
    }
}

impl fmt::Display for Twin {
    /// `orders:3`, or `orders:3 → east.orders:3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_same() {
            true => write!(f, "{}", self.source),
            false => write!(f, "{} → {}", self.source, self.dest),
        }
    }
}

/// A topic by both its names: `orders`, or `orders → east.orders`.
pub fn topic_names(source: &str, dest: &str) -> String {
    if source == dest { source.to_owned() } else { format!("{source} → {dest}") }
}

/// Finds the partition that an answer of the destination is about.
pub fn by_dest<'a>(
    twins: impl IntoIterator<Item = &'a Twin>,
) -> HashMap<&'a TopicPartition, &'a TopicPartition> {
    twins.into_iter().map(|twin| (twin.dest.there(), &twin.source)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_keeps_its_number_under_both_names() {
        let renamed = Twin::new(TopicPartition::new("orders", 3), &Arc::from("east.orders"));
        let kept = Twin::new(TopicPartition::new("bills", 1), &Arc::from("bills"));
        assert_eq!(
            (renamed.to_string(), kept.to_string()),
            ("orders:3 → east.orders:3".into(), "bills:1".into())
        );
        let twins = [renamed.clone(), kept];
        let found = by_dest(&twins);
        assert_eq!(found.get(renamed.dest.there()), Some(&&renamed.source));
        assert_eq!(found.get(&renamed.source), None, "the source's name means nothing on the destination");
    }
}
