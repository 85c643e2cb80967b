//! Which topics cannot have the name that a link's rule gives them. Pure: looks at names only, never at a cluster.
//! Promises: what is refused here would have been refused by the destination, or would have written two logs into one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::spec::rename::{Rename, is_topic_name};
use crate::spec::select::is_own;

/// Topics that Kafka's brokers write themselves (Kafka: `Topic.INTERNAL_TOPICS`, and the metadata log).
const INTERNAL: &[&str] =
    &["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];

/// Why a topic cannot be mirrored under its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRefusal {
    /// Kafka takes no such name.
    Illegal { name: String },
    /// Brokers, or Lockstep itself, write a topic of this name.
    Reserved { name: String },
    /// Another topic of the link gets this name, or one that Kafka cannot tell from it.
    Taken { name: String, by: Arc<str> },
    /// It is itself a copy, made by this link of a topic that the destination has.
    Circle { link: String },
}

/// The refused ones of a link's topics. Of topics that get one name, each is refused and names another.
pub fn refused<'a>(
    rename: &Rename,
    topics: impl Iterator<Item = &'a Arc<str>>,
) -> BTreeMap<Arc<str>, NameRefusal> {
    let mut refused = BTreeMap::new();
    if matches!(rename, Rename::Keep) {
        return refused;
    }
    let mut takers: BTreeMap<String, Vec<(Arc<str>, String)>> = BTreeMap::new();
    for topic in topics {
        let name = rename.dest_name(topic).into_owned();
        if !is_topic_name(&name) {
            refused.insert(Arc::clone(topic), NameRefusal::Illegal { name });
        } else if is_own(&name) || INTERNAL.contains(&name.as_str()) {
            refused.insert(Arc::clone(topic), NameRefusal::Reserved { name });
        } else {
            // Brokers refuse a topic whose name differs only so: metrics write both alike (Kafka: `Topic.unifyCollisionChars`).
            takers.entry(name.replace('.', "_")).or_default().push((Arc::clone(topic), name));
        }
    }
    for takers in takers.into_values().filter(|takers| takers.len() > 1) {
        for (at, (topic, name)) in takers.iter().enumerate() {
            let by = Arc::clone(&takers[usize::from(at == 0)].0);
            refused.insert(Arc::clone(topic), NameRefusal::Taken { name: name.clone(), by });
        }
    }
    refused
}

impl NameRefusal {
    /// What the operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Illegal { .. } => {
                "change the rule: a topic's name has 1 to 249 letters, digits, '.', '_' or '-'; or leave the topic out with --exclude"
            }
            Self::Reserved { .. } => "change the rule, or leave the topic out with --exclude",
            Self::Taken { .. } => {
                "change the rule so that every topic gets a name of its own (use a group: '(.*)=>east.$1'), or leave one of them out with --exclude"
            }
            Self::Circle { .. } => {
                "leave copies out with --exclude (for a prefix: --exclude 'east\\..*'); if the copy has become the original, take its standby settings off first"
            }
        }
    }
}

impl fmt::Display for NameRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Illegal { name } => {
                write!(f, "it would be called {name:?} on the destination, which is no name for a topic")
            }
            Self::Reserved { name } => {
                write!(f, "it would be called {name:?} on the destination, which is reserved")
            }
            Self::Taken { name, by } => {
                write!(f, "it would be called {name:?} on the destination, where {by} goes as well")
            }
            Self::Circle { link } => {
                write!(
                    f,
                    "it is itself a copy, made by link {link} of a topic that the destination has: mirrored back it would go round in circles"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rule: &str, topics: &[&str]) -> BTreeMap<Arc<str>, NameRefusal> {
        let topics: Vec<Arc<str>> = topics.iter().map(|topic| Arc::from(*topic)).collect();
        refused(&Rename::parse(rule).unwrap(), topics.iter())
    }

    #[test]
    fn topics_that_would_get_one_name_are_all_refused() {
        let refused = of("(orders|bills)-.*=>$1", &["orders-a", "orders-b", "bills-a", "other"]);
        assert_eq!(refused.keys().map(|topic| &**topic).collect::<Vec<_>>(), ["orders-a", "orders-b"]);
        let words = refused["orders-a"].to_string();
        assert!(words.contains("\"orders\"") && words.contains("orders-b goes as well"), "{words}");
        assert!(refused["orders-b"].to_string().contains("orders-a goes as well"));
    }

    #[test]
    fn a_name_that_another_topic_keeps_is_taken() {
        assert_eq!(of("raw=>orders", &["raw", "orders"]).len(), 2);
        assert_eq!(of("raw=>my_orders", &["raw", "my.orders"]).len(), 2, "Kafka cannot tell them apart");
        assert!(of("east.", &["orders", "bills"]).is_empty());
    }

    #[test]
    fn names_that_no_topic_can_have_are_refused() {
        let long = "a".repeat(249);
        let refused = of("east.", &["orders", &long]);
        assert!(matches!(&refused[&*long], NameRefusal::Illegal { name } if name.len() == 254));
        assert!(matches!(of("orders=>a/b", &["orders"])["orders"], NameRefusal::Illegal { .. }));
        for reserved in ["__consumer_offsets", "lockstep.x", "__lockstep"] {
            let refused = of(&format!("orders=>{reserved}"), &["orders"]);
            assert!(matches!(refused["orders"], NameRefusal::Reserved { .. }), "{reserved}");
        }
    }
}
