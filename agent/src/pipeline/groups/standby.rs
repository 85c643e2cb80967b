//! The standby's side of the groups: who is in them, what stands there, what is written and removed.
//! Promises: first who is in a group, then what stands there, then the write, which the standby refuses while the group
//! has members: so what a consumer commits there is never overwritten. Many groups' commits are on their way at once.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::groups::StandbyCommit;
use lockstep_core::groups::copies::{Cause, Refusal, Written};
use lockstep_core::groups::judge::Ours;
use lockstep_core::groups::kind::Membership;
use lockstep_core::ids::{DestOffset, NodeId, TopicPartition};
use lockstep_core::spec::rename::Rename;
use lockstep_kafka::admin::{
    Committed, PendingCommit, PerPartition, delete_groups, list_groups, offset_delete, submit_offset_commit,
};
use lockstep_kafka::{Api, Class, Cluster, Connection, Error, ErrorCode, MissingPermission};
use tokio::time::Instant;

use super::coordinators::{Coordinators, Unanswered};

/// Commits on their way over one connection.
const COMMITS_MAX: usize = 64;
/// So many groups go over the connection that everything else goes over, too; more of them get connections of their own.
const LANE_GROUPS: usize = 64;
/// Such connections to one broker.
const LANES_MAX: usize = 8;
/// They stay open so long after they were used.
const LANES_KEPT: Duration = Duration::from_secs(30);

/// What stands on the standby in one group, by the partitions' names at the source.
pub(super) struct Stands {
    pub(super) membership: Membership,
    pub(super) offsets: HashMap<TopicPartition, StandbyCommit>,
    /// Offsets of partitions that nobody asked about.
    pub(super) others: usize,
}

/// Offsets to be written in one group, by the partitions' names at the source.
pub(super) type Writes = (Arc<str>, Vec<(TopicPartition, StandbyCommit)>);

/// What became of them.
pub(super) type Outcome = (Arc<str>, TopicPartition, Written);

/// The standby of a link, as its groups see it.
pub(super) struct StandbyGroups {
    coordinators: Coordinators,
    rename: Rename,
    /// Connections for many commits at once.
    lanes: HashMap<NodeId, Vec<Connection>>,
    /// When they were used last.
    burst_at: Option<Instant>,
}

/// What the standby said to the offsets of one group.
struct Answered {
    group: Arc<str>,
    offsets: Vec<(TopicPartition, StandbyCommit)>,
    answer: Result<PerPartition<()>, Error>,
}

impl StandbyGroups {
    pub(super) fn new(cluster: Cluster, rename: Rename) -> Self {
        Self { coordinators: Coordinators::new(cluster), rename, lanes: HashMap::new(), burst_at: None }
    }

    /// Who is in these groups, and what stands there of these partitions.
    ///
    /// # Errors
    /// Not even the groups could be listed.
    pub(super) async fn read(
        &mut self,
        groups: &BTreeMap<Arc<str>, Vec<TopicPartition>>,
    ) -> Result<Vec<(Arc<str>, Result<Stands, Written>)>, Error> {
        let listed = list_groups(&self.coordinators.cluster).await?;
        let states: HashMap<_, _> =
            listed.into_iter().map(|found| (found.group, found.state.unwrap_or_default())).collect();
        let names: Vec<_> = groups.keys().cloned().collect();
        let answers = self.coordinators.offsets(&names).await;
        let stands = answers.into_iter().map(|(group, answer)| {
            let stands = match answer {
                Ok(offsets) => {
                    let membership =
                        states.get(&*group).map_or(Membership::Nobody, |state| Membership::of(state));
                    Ok(self.sorted(membership, groups.get(&group), offsets))
                }
                Err(Unanswered::Retry(why)) => {
                    tracing::debug!(%group, why, "the standby's offsets could not be read");
                    Err(Written::Retry)
                }
                Err(Unanswered::Refused(code)) => Err(self.refused(Api::OffsetFetch, code, &group)),
            };
            (group, stands)
        });
        Ok(stands.collect())
    }

    fn sorted(
        &self,
        membership: Membership,
        wanted: Option<&Vec<TopicPartition>>,
        found: Vec<(TopicPartition, Result<Committed, ErrorCode>)>,
    ) -> Stands {
        let by_dest: HashMap<TopicPartition, &TopicPartition> =
            wanted.into_iter().flatten().map(|tp| (self.dest(tp), tp)).collect();
        let mut stands = Stands { membership, offsets: HashMap::new(), others: 0 };
        for (tp, answer) in found {
            match (by_dest.get(&tp), answer) {
                (Some(source), Ok(committed)) => {
                    stands.offsets.insert(
                        (*source).clone(),
                        StandbyCommit {
                            offset: DestOffset(committed.offset),
                            leader_epoch: committed.leader_epoch,
                            metadata: committed.metadata.into(),
                        },
                    );
                }
                _ => stands.others += 1,
            }
        }
        stands
    }

    fn dest(&self, tp: &TopicPartition) -> TopicPartition {
        TopicPartition::new(&*self.rename.dest_name(&tp.topic), tp.partition)
    }

    /// Commits; one outcome for each offset.
    pub(super) async fn write(&mut self, writes: Vec<Writes>) -> Vec<Outcome> {
        let names: Vec<_> = writes.iter().map(|(group, _)| Arc::clone(group)).collect();
        let (nodes, refused) = self.coordinators.by_node(&names).await;
        let mut writes: HashMap<_, _> = writes.into_iter().collect();
        let mut outcomes = Vec::new();
        for (group, _) in refused {
            let offsets = writes.remove(&group).unwrap_or_default();
            outcomes.extend(offsets.into_iter().map(|(tp, _)| (Arc::clone(&group), tp, Written::Retry)));
        }
        if self.burst_at.is_some_and(|at| at.elapsed() > LANES_KEPT) {
            self.lanes.clear();
        }
        for (node, groups) in nodes {
            let mine: Vec<Writes> = groups
                .into_iter()
                .filter_map(|group| Some((Arc::clone(&group), writes.remove(&group)?)))
                .collect();
            let answers = self.write_at(node, mine).await;
            outcomes.extend(answers.into_iter().flat_map(|answered| self.outcomes(answered)));
        }
        outcomes
    }

    /// A broker takes up a connection's next request when it has answered the one before, and a commit waits there for its
    /// disk or its followers: many of them go out side by side, each part over a connection of its own.
    async fn write_at(&mut self, node: NodeId, writes: Vec<Writes>) -> Vec<Answered> {
        if writes.len() <= LANE_GROUPS {
            let connection = self.coordinators.cluster.connection(node).await;
            return self.commit(connection, writes).await;
        }
        self.burst_at = Some(Instant::now());
        let each = writes.len().div_ceil(LANES_MAX).max(LANE_GROUPS);
        let mut rest = writes.into_iter();
        let parts = std::iter::from_fn(|| Some(rest.by_ref().take(each).collect::<Vec<_>>()))
            .take_while(|part| !part.is_empty());
        let kept = self.lanes.remove(&node).unwrap_or_default();
        let lanes = kept.into_iter().map(Some).chain(std::iter::repeat(None));
        let parts = parts.zip(lanes).map(|(part, lane)| self.lane(node, lane, part));
        let mut answers = Vec::new();
        let mut lanes = Vec::new();
        for (lane, answered) in futures_util::future::join_all(parts).await {
            lanes.extend(lane);
            answers.extend(answered);
        }
        self.lanes.insert(node, lanes);
        answers
    }

    /// One part; the connection comes back if it is still open.
    async fn lane(
        &self,
        node: NodeId,
        kept: Option<Connection>,
        part: Vec<Writes>,
    ) -> (Option<Connection>, Vec<Answered>) {
        let connection = match kept {
            Some(connection) if connection.is_open() => Ok(connection),
            _ => self.coordinators.cluster.dedicated(node).await,
        };
        let answers = self.commit(connection.clone(), part).await;
        (connection.ok().filter(Connection::is_open), answers)
    }

    async fn commit(&self, connection: Result<Connection, Error>, writes: Vec<Writes>) -> Vec<Answered> {
        let mut answers = Vec::with_capacity(writes.len());
        let mut pending = VecDeque::new();
        for (group, offsets) in writes {
            let sent = match &connection {
                Ok(connection) => self.submit(connection, &group, &offsets).await,
                Err(error) => Err(error.clone()),
            };
            pending.push_back((group, offsets, sent));
            if pending.len() >= COMMITS_MAX {
                answers.extend(answered(pending.pop_front()).await);
            }
        }
        while let Some(first) = pending.pop_front() {
            answers.extend(answered(Some(first)).await);
        }
        answers
    }

    fn outcomes(&mut self, answered: Answered) -> Vec<Outcome> {
        let Answered { group, offsets, answer } = answered;
        match answer {
            Ok(answers) => offsets
                .into_iter()
                .zip(answers)
                .map(|((tp, _), (_, answer))| {
                    let written =
                        answer.map_or_else(|code| self.outcome(code, &group, &tp), |()| Written::Done);
                    (Arc::clone(&group), tp, written)
                })
                .collect(),
            Err(error) => {
                tracing::debug!(%group, %error, "offsets could not be written");
                self.coordinators.forget(&group);
                offsets.into_iter().map(|(tp, _)| (Arc::clone(&group), tp, Written::Retry)).collect()
            }
        }
    }

    async fn submit(
        &self,
        connection: &Connection,
        group: &str,
        offsets: &[(TopicPartition, StandbyCommit)],
    ) -> Result<PendingCommit, Error> {
        let on_the_wire = |(tp, commit): &(TopicPartition, StandbyCommit)| {
            let committed = Committed {
                offset: commit.offset.0,
                leader_epoch: commit.leader_epoch,
                metadata: commit.metadata.to_string(),
            };
            (self.dest(tp), committed)
        };
        let offsets: Vec<_> = offsets.iter().map(on_the_wire).collect();
        submit_offset_commit(connection, group, &offsets).await
    }

    fn outcome(&mut self, code: ErrorCode, group: &str, tp: &TopicPartition) -> Written {
        match code.class() {
            // Somebody has joined: generation and member are theirs.
            Class::Fence => Written::Members,
            Class::Retry => {
                self.coordinators.forget(group);
                Written::Retry
            }
            Class::Rewind | Class::Fatal => {
                let about =
                    if code == ErrorCode::TOPIC_AUTHORIZATION_FAILED { &self.dest(tp).topic } else { group };
                self.refused(Api::OffsetCommit, code, about)
            }
        }
    }

    fn refused(&self, api: Api, code: ErrorCode, about: &str) -> Written {
        let aside = MissingPermission::aside(self.coordinators.cluster.settings(), api, code, about);
        let cause = if code.is_missing_permission() { Cause::MissingRight } else { Cause::Other };
        Written::Refused(Refusal { why: format!("the standby refuses it: {code}{aside}"), cause })
    }

    /// Removes offsets that are still as we wrote them. `true`: nothing of ours is left, or nothing can be done about it.
    pub(super) async fn remove(&mut self, group: &Arc<str>, ours: &BTreeMap<TopicPartition, Ours>) -> bool {
        let asked = BTreeMap::from([(Arc::clone(group), ours.keys().cloned().collect())]);
        let Ok(read) = self.read(&asked).await else { return false };
        let Some((_, Ok(stands))) = read.into_iter().next() else { return false };
        if stands.membership == Membership::Members {
            tracing::info!(%group, "gone at the source; it has members on the standby and stays");
            return true;
        }
        let mine: BTreeSet<_> = ours
            .iter()
            .filter(|(tp, ours)| stands.offsets.get(*tp).is_some_and(|stands| ours.wrote(stands)))
            .map(|(tp, _)| self.dest(tp))
            .collect();
        if mine.is_empty() {
            return true;
        }
        // The whole group only when nothing else stands in it: another link may copy offsets of its own there.
        let whole = stands.others == 0 && mine.len() == stands.offsets.len();
        match self.remove_at(group, &mine.into_iter().collect::<Vec<_>>(), whole).await {
            Ok(()) => {
                tracing::info!(%group, "gone at the source: its copied offsets are removed on the standby");
                true
            }
            Err(error) => {
                tracing::warn!(%group, %error, "offsets that are gone at the source could not be removed");
                error.class() != Class::Retry
            }
        }
    }

    async fn remove_at(
        &mut self,
        group: &Arc<str>,
        mine: &[TopicPartition],
        whole: bool,
    ) -> Result<(), Error> {
        let (nodes, _) = self.coordinators.by_node(std::slice::from_ref(group)).await;
        let refused = |api, code| Err(Error::Refused { api, code, detail: None, about: group.to_string() });
        let Some(node) = nodes.keys().next() else {
            return refused(Api::FindCoordinator, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        };
        let connection = self.coordinators.cluster.connection(*node).await?;
        if whole {
            return match delete_groups(&connection, &[group]).await?.into_iter().next() {
                Some((_, Err((code, _)))) if code != ErrorCode::GROUP_ID_NOT_FOUND => {
                    refused(Api::DeleteGroups, code)
                }
                _ => Ok(()),
            };
        }
        for (_, answer) in offset_delete(&connection, group, mine).await? {
            if let Err(code) = answer {
                return refused(Api::OffsetDelete, code);
            }
        }
        Ok(())
    }
}

type Sent = (Arc<str>, Vec<(TopicPartition, StandbyCommit)>, Result<PendingCommit, Error>);

async fn answered(sent: Option<Sent>) -> Option<Answered> {
    let (group, offsets, sent) = sent?;
    let answer = match sent {
        Ok(commit) => commit.answer().await,
        Err(error) => Err(error),
    };
    Some(Answered { group, offsets, answer })
}
