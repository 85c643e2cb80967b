//! Which broker keeps which group, remembered until it says otherwise. Questions about many groups go out per broker.
//! Promises: what a coordinator refuses as moved is asked for anew; one that is still loading is tried again next time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lockstep_core::ids::NodeId;
use lockstep_kafka::admin::{CoordinatorKind, GroupOffsets, Unstable, find_coordinators, offset_fetch};
use lockstep_kafka::{Class, Cluster, Error, ErrorCode};

/// Groups in one request.
const GROUPS_PER_REQUEST: usize = 500;

/// What could not be answered for a group.
#[derive(Clone, Debug)]
pub(super) enum Unanswered {
    /// Passes by itself.
    Retry(String),
    Refused(ErrorCode),
}

/// The coordinators of one cluster.
#[derive(Debug)]
pub(super) struct Coordinators {
    pub(super) cluster: Cluster,
    known: HashMap<Arc<str>, NodeId>,
}

/// What a group has committed, as its coordinator answers.
pub(super) type Answer = Result<
    Vec<(lockstep_core::ids::TopicPartition, Result<lockstep_kafka::admin::Committed, ErrorCode>)>,
    Unanswered,
>;

impl Coordinators {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, known: HashMap::new() }
    }

    /// Groups by their coordinator; the rest with the reason.
    pub(super) async fn by_node(
        &mut self,
        groups: &[Arc<str>],
    ) -> (BTreeMap<NodeId, Vec<Arc<str>>>, Vec<(Arc<str>, Unanswered)>) {
        let unknown: Vec<_> =
            groups.iter().filter(|group| !self.known.contains_key(*group)).cloned().collect();
        let mut refused = Vec::new();
        for chunk in unknown.chunks(GROUPS_PER_REQUEST) {
            let keys: Vec<&str> = chunk.iter().map(|group| &**group).collect();
            match find_coordinators(&self.cluster, CoordinatorKind::Group, &keys).await {
                Ok(found) => {
                    for (group, (_, answer)) in chunk.iter().zip(found) {
                        match answer {
                            Ok(node) => drop(self.known.insert(Arc::clone(group), node)),
                            Err((code, words)) => refused.push((Arc::clone(group), unanswered(code, words))),
                        }
                    }
                }
                Err(error) => {
                    let all =
                        chunk.iter().map(|group| (Arc::clone(group), Unanswered::Retry(error.to_string())));
                    refused.extend(all);
                }
            }
        }
        let mut nodes: BTreeMap<NodeId, Vec<Arc<str>>> = BTreeMap::new();
        for group in groups {
            if let Some(node) = self.known.get(group) {
                nodes.entry(*node).or_default().push(Arc::clone(group));
            }
        }
        (nodes, refused)
    }

    /// Everything these groups have committed.
    ///
    /// The offset before a transaction that is under way counts: a new one becomes visible only when the transaction is
    /// decided, and its output is then below the source's end, which the barrier waits for (M31).
    pub(super) async fn offsets(&mut self, groups: &[Arc<str>]) -> Vec<(Arc<str>, Answer)> {
        let (nodes, refused) = self.by_node(groups).await;
        let mut answers: Vec<(Arc<str>, Answer)> =
            refused.into_iter().map(|(group, why)| (group, Err(why))).collect();
        let cluster = &self.cluster;
        let asked = nodes.iter().flat_map(|(node, groups)| {
            groups
                .chunks(GROUPS_PER_REQUEST)
                .map(move |chunk| async move { (chunk, ask(cluster, *node, chunk).await) })
        });
        let asked = futures_util::future::join_all(asked).await;
        for (chunk, answer) in asked {
            match answer {
                Ok(found) => {
                    let each = chunk.iter().zip(found).map(|(group, (_, offsets))| {
                        (Arc::clone(group), offsets.map_err(|code| unanswered(code, code.to_string())))
                    });
                    answers.extend(each);
                }
                Err(error) => {
                    let each = chunk
                        .iter()
                        .map(|group| (Arc::clone(group), Err(Unanswered::Retry(error.to_string()))));
                    answers.extend(each);
                }
            }
        }
        for (group, answer) in &answers {
            if matches!(answer, Err(Unanswered::Retry(_))) {
                self.forget(group);
            }
        }
        answers
    }

    /// Its coordinator moved, or cannot be reached.
    pub(super) fn forget(&mut self, group: &str) {
        self.known.remove(group);
    }

    /// Groups that are gone need no memory.
    pub(super) fn keep(&mut self, still: impl Fn(&str) -> bool) {
        self.known.retain(|group, _| still(group));
    }
}

async fn ask(cluster: &Cluster, node: NodeId, groups: &[Arc<str>]) -> Result<GroupOffsets, Error> {
    let connection = cluster.connection(node).await?;
    let names: Vec<&str> = groups.iter().map(|group| &**group).collect();
    offset_fetch(&connection, &names, Unstable::Before).await
}

fn unanswered(code: ErrorCode, words: String) -> Unanswered {
    match code.class() {
        Class::Retry => Unanswered::Retry(words),
        _ => Unanswered::Refused(code),
    }
}
