//! The source's side of the groups: which there are, what they have committed, and where the source's logs end then.
//! Promises: the ends are read after the offsets (M31), of every partition that the link takes, whether it is mirrored yet
//! or not; a reading without all of them is not used. An offset counts as gone only when its coordinator itself says so
//! several times, while its topic can be seen: a broker that is away or a right that is missing removes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::groups::kind::GroupKind;
use lockstep_core::groups::{GroupPartition, SourceCommit};
use lockstep_core::ids::{LeaderEpoch, NodeId, SourceOffset, TopicPartition};
use lockstep_core::spec::select::{GroupSelection, TopicSelection};
use lockstep_kafka::admin::{At, EpochQuestion, list_groups, list_offsets, offset_for_leader_epoch};
use lockstep_kafka::{Api, Cluster, Error, Metadata, MissingPermission};

use super::coordinators::{Coordinators, Unanswered};
use crate::pipeline::routes::by_leader;

/// Looks in a row that have to miss what is taken for gone.
const MISSED_LOOKS: u8 = 3;

/// A group of the source.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) kind: GroupKind,
    pub(super) offsets: BTreeMap<TopicPartition, Seen>,
    /// Why it could not be read last time.
    pub(super) refused: Option<String>,
    missed: u8,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) commit: SourceCommit,
    missed: u8,
}

/// What one look brought.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) changed: Vec<(GroupPartition, SourceCommit)>,
    pub(super) gone: Vec<GroupPartition>,
    pub(super) troubles: BTreeSet<String>,
    pub(super) missing_right: Option<String>,
}

/// What is known of the source's groups.
pub(super) struct SourceGroups {
    coordinators: Coordinators,
    selection: GroupSelection,
    topics: TopicSelection,
    pub(super) groups: BTreeMap<Arc<str>, Known>,
}

impl SourceGroups {
    pub(super) fn new(cluster: Cluster, selection: GroupSelection, topics: TopicSelection) -> Self {
        Self { coordinators: Coordinators::new(cluster), selection, topics, groups: BTreeMap::new() }
    }

    /// Reads every group. What changed counts as read only once [`accept`](Self::accept) has taken it.
    ///
    /// # Errors
    /// The groups could not be listed.
    pub(super) async fn look(&mut self) -> Result<Look, Error> {
        let mut look = Look::default();
        self.list().await?;
        let copied: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, known)| known.kind.not_copied().is_none())
            .map(|(group, _)| Arc::clone(group))
            .collect();
        let answers = self.coordinators.offsets(&copied).await;
        let cluster = &self.coordinators.cluster;
        // A broker leaves out topics that we may not see any more: what is missing is held against new metadata.
        let suspect =
            self.groups.values().flat_map(|known| known.offsets.values()).any(|seen| seen.missed > 0);
        let metadata = if suspect { cluster.refresh().await? } else { cluster.metadata() };
        let settings = cluster.settings().clone();
        for (group, answer) in answers {
            let Some(known) = self.groups.get_mut(&group) else { continue };
            known.refused = None;
            match answer {
                Ok(offsets) => {
                    let taken = |tp: &TopicPartition| {
                        metadata
                            .topics
                            .get(&tp.topic)
                            .is_some_and(|t| self.topics.takes(&tp.topic, t.internal))
                    };
                    let (mut found, mut refused) = (BTreeMap::new(), BTreeSet::new());
                    for (tp, answer) in offsets.into_iter().filter(|(tp, _)| taken(tp)) {
                        match answer {
                            Ok(committed) => {
                                let metadata = committed.metadata.into();
                                let offset = SourceOffset(committed.offset);
                                found.insert(tp, SourceCommit { offset, metadata });
                            }
                            Err(code) => {
                                look.troubles.insert(format!("source: {group} on {tp}: {code}"));
                                refused.insert(tp);
                            }
                        }
                    }
                    let unseen = |tp: &TopicPartition| refused.contains(tp) || !taken(tp);
                    known.compare(&group, found, unseen, &mut look);
                }
                Err(Unanswered::Retry(why)) => {
                    look.troubles.insert(format!("source: {why}"));
                }
                Err(Unanswered::Refused(code)) => {
                    let aside = MissingPermission::aside(&settings, Api::OffsetFetch, code, &group);
                    let words = format!("the source refuses its offsets: {code}{aside}");
                    if code.is_missing_permission() {
                        look.missing_right.get_or_insert(format!("{group}: {words}"));
                    }
                    known.refused = Some(words);
                }
            }
        }
        Ok(look)
    }

    async fn list(&mut self) -> Result<(), Error> {
        let listed = list_groups(&self.coordinators.cluster).await?;
        for known in self.groups.values_mut() {
            known.missed = known.missed.saturating_add(1);
        }
        for found in listed.into_iter().filter(|found| self.selection.takes(&found.group)) {
            let kind = GroupKind::of(&found.protocol_type, found.kind.as_deref());
            match self.groups.get_mut(found.group.as_str()) {
                Some(known) => (known.kind, known.missed) = (kind, 0),
                None => {
                    let known = Known { kind, offsets: BTreeMap::new(), refused: None, missed: 0 };
                    self.groups.insert(found.group.into(), known);
                }
            }
        }
        // One whose offsets are gone, or that never had any.
        self.groups.retain(|_, known| known.missed < MISSED_LOOKS || !known.offsets.is_empty());
        self.coordinators.keep(|group| self.groups.contains_key(group));
        Ok(())
    }

    /// These offsets are on their way: they change again only when the source says something else.
    pub(super) fn accept(&mut self, changed: &[(GroupPartition, SourceCommit)]) {
        for (place, commit) in changed {
            if let Some(known) = self.groups.get_mut(&place.group) {
                known.offsets.insert(place.tp.clone(), Seen { commit: commit.clone(), missed: 0 });
            }
        }
    }

    /// Where every partition that the link takes ends now; the topics are asked for anew, because one that the group's
    /// output goes to may be younger than what we know.
    ///
    /// # Errors
    /// In words, which end could not be read: without it nothing may pass.
    pub(super) async fn ends(&self) -> Result<Vec<(TopicPartition, SourceOffset)>, String> {
        let cluster = &self.coordinators.cluster;
        let metadata = cluster.refresh().await.map_err(|error| error.to_string())?;
        let wanted = self.wanted(&metadata);
        let groups = by_leader(cluster, wanted.iter());
        let asked = groups.iter().map(|(node, group)| ends_at(cluster, *node, group));
        let answers = futures_util::future::try_join_all(asked).await.map_err(|error| error.to_string())?;
        let mut ends = Vec::with_capacity(wanted.len());
        for (tp, end) in answers.into_iter().flatten() {
            ends.push((
                tp.clone(),
                end.map_err(|why| format!("the source's end of {tp} is not known: {why}"))?,
            ));
        }
        match wanted.len().checked_sub(ends.len()) {
            Some(0) => Ok(ends),
            _ => Err("the source's end of some partitions is not known: they have no leader".to_owned()),
        }
    }

    fn wanted(&self, metadata: &Metadata) -> Vec<TopicPartition> {
        let taken = metadata.topics.iter().filter(|(name, topic)| self.topics.takes(name, topic.internal));
        taken
            .flat_map(|(name, topic)| {
                topic.partitions.iter().map(|p| TopicPartition::new(Arc::clone(name), p.partition))
            })
            .collect()
    }
}

impl Known {
    /// `unseen`: partitions of which nothing can be said now; they count as there.
    fn compare(
        &mut self,
        group: &Arc<str>,
        found: BTreeMap<TopicPartition, SourceCommit>,
        unseen: impl Fn(&TopicPartition) -> bool,
        look: &mut Look,
    ) {
        let place = |tp: &TopicPartition| GroupPartition { group: Arc::clone(group), tp: tp.clone() };
        self.offsets.retain(|tp, seen| {
            seen.missed = if found.contains_key(tp) || unseen(tp) { 0 } else { seen.missed + 1 };
            let gone = seen.missed >= MISSED_LOOKS;
            if gone {
                look.gone.push(place(tp));
            }
            !gone
        });
        for (tp, commit) in found {
            if self.offsets.get(&tp).is_none_or(|seen| seen.commit != commit) {
                look.changed.push((place(&tp), commit));
            }
        }
    }
}

type End = (TopicPartition, Result<SourceOffset, String>);

/// Log ends under the current leader epoch. Where the log knows no epochs (message formats before v2), the high watermark.
async fn ends_at(
    cluster: &Cluster,
    node: NodeId,
    group: &[(TopicPartition, LeaderEpoch)],
) -> Result<Vec<End>, Error> {
    let connection = cluster.connection(node).await?;
    let question = |(tp, epoch): &(TopicPartition, LeaderEpoch)| EpochQuestion {
        tp: tp.clone(),
        current: *epoch,
        asked: *epoch,
    };
    let questions: Vec<_> = group.iter().map(question).collect();
    let mut ends: Vec<End> = Vec::with_capacity(group.len());
    let mut epochless = Vec::new();
    for ((tp, epoch), (_, answer)) in
        group.iter().zip(offset_for_leader_epoch(&connection, &questions).await?)
    {
        match answer {
            Ok(end) if end.end_offset >= 0 && end.epoch == *epoch => {
                ends.push((tp.clone(), Ok(SourceOffset(end.end_offset))));
            }
            Ok(end) if end.end_offset < 0 => epochless.push((tp.clone(), *epoch)),
            Ok(end) => ends.push((tp.clone(), Err(format!("it answers for epoch {}", end.epoch)))),
            Err(code) => ends.push((tp.clone(), Err(code.to_string()))),
        }
    }
    if !epochless.is_empty() {
        let marks = list_offsets(&connection, &epochless, At::Latest).await?;
        ends.extend(
            marks.into_iter().map(|(tp, mark)| (tp, mark.map(SourceOffset).map_err(|c| c.to_string()))),
        );
    }
    Ok(ends)
}
