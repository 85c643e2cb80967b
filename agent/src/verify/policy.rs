//! Which topics are compacted, on either side: there, two cleaners that work at different times are no difference.
//! Promises: one answer per topic; where a side does not say and the other is not compacted, it is unknown.
//! Reads only. On failure: unknown, with the reason in the log; nothing is explained by it then.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockstep_core::verify::Cleanup;
use lockstep_kafka::Cluster;
use lockstep_kafka::admin::{ConfigTarget, describe_configs};

/// Topics per request: an answer takes a few kilobytes for each.
const TOPICS_PER_REQUEST: usize = 200;

/// Topics by name.
type Policies = BTreeMap<Arc<str>, Cleanup>;

/// How the cleaners of both sides treat `topics`: by the source's name the destination's.
pub(super) async fn cleanups(
    source: &Cluster,
    dest: &Cluster,
    topics: &BTreeMap<Arc<str>, Arc<str>>,
) -> Policies {
    let (here, there) = tokio::join!(of(source, topics.keys()), of(dest, topics.values()));
    let both = |(topic, there_called): (&Arc<str>, &Arc<str>)| {
        let side = |policies: &Policies, name| policies.get(name).copied().unwrap_or(Cleanup::Unknown);
        (Arc::clone(topic), joined(side(&here, topic), side(&there, there_called)))
    };
    topics.iter().map(both).collect()
}

fn joined(here: Cleanup, there: Cleanup) -> Cleanup {
    match (here, there) {
        (Cleanup::Compact, _) | (_, Cleanup::Compact) => Cleanup::Compact,
        (Cleanup::Unknown, _) | (_, Cleanup::Unknown) => Cleanup::Unknown,
        (Cleanup::Delete, Cleanup::Delete) => Cleanup::Delete,
    }
}

async fn of(cluster: &Cluster, topics: impl Iterator<Item = &Arc<str>>) -> Policies {
    let targets: Vec<_> = topics.map(|topic| ConfigTarget::Topic(topic.to_string())).collect();
    let mut policies = Policies::new();
    for some in targets.chunks(TOPICS_PER_REQUEST) {
        let described = match describe_configs(cluster, some).await {
            Ok(described) => described,
            Err(error) => {
                tracing::warn!(%error, "the settings of topics could not be read");
                continue;
            }
        };
        for (target, entries) in described {
            let ConfigTarget::Topic(topic) = target else { continue };
            match entries {
                Ok(entries) => {
                    let policy = entries.iter().find(|entry| entry.name == "cleanup.policy");
                    let value = policy.and_then(|entry| entry.value.as_deref());
                    policies.insert(Arc::from(topic), parsed(value));
                }
                Err((code, words)) => {
                    tracing::warn!(topic, %code, words, "the settings of the topic could not be read");
                }
            }
        }
    }
    policies
}

/// A list of `compact` and `delete`, in any order.
fn parsed(value: Option<&str>) -> Cleanup {
    match value {
        Some(list) if list.split(',').any(|policy| policy.trim() == "compact") => Cleanup::Compact,
        Some(_) => Cleanup::Delete,
        None => Cleanup::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_compacted_side_is_enough_and_silence_is_not_delete() {
        assert_eq!(parsed(Some("delete,compact")), Cleanup::Compact);
        assert_eq!(parsed(Some("delete")), Cleanup::Delete);
        assert_eq!(parsed(None), Cleanup::Unknown);
        assert_eq!(joined(Cleanup::Delete, Cleanup::Compact), Cleanup::Compact);
        assert_eq!(joined(Cleanup::Unknown, Cleanup::Compact), Cleanup::Compact);
        assert_eq!(joined(Cleanup::Delete, Cleanup::Unknown), Cleanup::Unknown);
        assert_eq!(joined(Cleanup::Delete, Cleanup::Delete), Cleanup::Delete);
    }
}
