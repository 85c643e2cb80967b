//! Asks both sides for their ends every second. Two answers are the link's heartbeat: they separate idle from
//! broken, and nothing is written to the source for it (docs/GUARANTEES.md, Exposure).
//! Source: the log *end* under the current leader epoch. Destination: the high watermark. Topics that a side does not
//! list are asked for by name: gone and forbidden look alike in a list, and only one of them means loss of a topic.
//! A broker that does not answer is reported in words, a refusal as what it is; their partitions keep an ageing datum.

mod roster;

use std::collections::BTreeSet;
use std::sync::Arc;

use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::ids::{DestOffset, NodeId, SourceOffset, TopicPartition};
use lockstep_kafka::admin::{At, EpochQuestion, list_offsets, offset_for_leader_epoch};
use lockstep_kafka::{Api, Cluster, Error, ErrorCode};

use super::denied::{by_code, by_error};
use super::names::{Twin, by_dest};
use super::routes::by_leader;
pub use roster::Roster;
use roster::{AtDest, Unlisted};

/// Names asked for in one request.
const NAMES_MAX: usize = 1_000;

/// What is probed.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Ends of both sides.
    pub roster: Arc<Roster>,
    /// Of these the source's log start, too.
    pub starts: Vec<TopicPartition>,
    /// Of these the destination's log start.
    pub dest_starts: Arc<[Twin]>,
}

/// What one round brought.
#[derive(Debug, Default)]
pub struct ProbeAnswer {
    /// Log ends under the current leader epoch.
    pub source_ends: Vec<(TopicPartition, SourceOffset)>,
    /// Log starts of those asked for.
    pub source_starts: Vec<(TopicPartition, SourceOffset)>,
    pub dest_starts: Vec<(TopicPartition, DestOffset)>,
    /// High watermarks.
    pub dest_high_watermarks: Vec<(TopicPartition, DestOffset)>,
    /// Partitions for which a side refuses to answer.
    pub refused: Vec<(TopicPartition, Arc<Denied>)>,
    /// Topics that the source, asked by name, does not know.
    pub gone: BTreeSet<Arc<str>>,
    /// A cluster or broker that did not answer, in words.
    pub troubles: Vec<String>,
}

/// One round over both clusters.
pub async fn probe(source: &Cluster, dest: &Cluster, questions: Questions) -> ProbeAnswer {
    let mut answer = ProbeAnswer::default();
    let Questions { roster, starts, dest_starts } = questions;
    answer.of_source(source, &roster).await;
    answer.starts_of_source(source, &starts).await;
    answer.of_dest(dest, &roster).await;
    answer.starts_of_dest(dest, &dest_starts).await;
    answer.of_unlisted(source, Side::Source, &roster.source_unlisted).await;
    answer.of_unlisted(dest, Side::Dest, &roster.dest_unlisted).await;
    answer
}

impl ProbeAnswer {
    async fn of_source(&mut self, source: &Cluster, roster: &Roster) {
        for (node, questions) in &roster.source_ends {
            match source_ends(source, *node, questions).await {
                Ok(ends) => {
                    self.source_ends.reserve(ends.len());
                    for (tp, end) in ends {
                        match end {
                            Ok(Some(end)) => self.source_ends.push((tp, SourceOffset(end))),
                            // Leadership has moved: the next round asks the right one.
                            Ok(None) => {}
                            Err(code) => {
                                let api = Api::OffsetForLeaderEpoch;
                                self.refusal(Side::Source, source, api, code, (&tp.topic, &tp));
                            }
                        }
                    }
                }
                Err(error) => {
                    self.failed(Side::Source, source, *node, questions.iter().map(|q| &q.tp), &error);
                }
            }
        }
    }

    async fn starts_of_source(&mut self, source: &Cluster, partitions: &[TopicPartition]) {
        for (node, group) in by_leader(source, partitions.iter()) {
            // What does not answer is asked for again in the next round, and said by its end.
            if let Ok(connection) = source.connection(node).await
                && let Ok(starts) = list_offsets(&connection, &group, At::Earliest).await
            {
                let known =
                    starts.into_iter().filter_map(|(tp, start)| Some((tp, SourceOffset(start.ok()?))));
                self.source_starts.extend(known);
            }
        }
    }

    async fn starts_of_dest(&mut self, dest: &Cluster, partitions: &[Twin]) {
        let ours = by_dest(partitions);
        for (node, group) in by_leader(dest, partitions.iter().map(|twin| twin.dest.there())) {
            // What does not answer is asked for again in the next round.
            if let Ok(connection) = dest.connection(node).await
                && let Ok(starts) = list_offsets(&connection, &group, At::Earliest).await
            {
                let known = starts.into_iter().filter_map(|(there, start)| {
                    Some(((*ours.get(&there)?).clone(), DestOffset(start.ok()?)))
                });
                self.dest_starts.extend(known);
            }
        }
    }

    async fn of_dest(&mut self, dest: &Cluster, roster: &Roster) {
        for (node, AtDest { asked, ours }) in &roster.dest_ends {
            let answered = match dest.connection(*node).await {
                Ok(connection) => list_offsets(&connection, asked, At::Latest).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(marks) => {
                    self.dest_high_watermarks.reserve(marks.len());
                    for ((there, mark), tp) in marks.into_iter().zip(ours) {
                        match mark {
                            Ok(mark) => self.dest_high_watermarks.push((tp.clone(), DestOffset(mark))),
                            Err(code) => {
                                self.refusal(Side::Dest, dest, Api::ListOffsets, code, (&there.topic, tp));
                            }
                        }
                    }
                }
                Err(error) => self.failed(Side::Dest, dest, *node, ours.iter(), &error),
            }
        }
    }

    /// Topics that the metadata do not list.
    async fn of_unlisted(&mut self, cluster: &Cluster, side: Side, unlisted: &Unlisted) {
        let names: Vec<_> = unlisted.keys().cloned().collect();
        for names in names.chunks(NAMES_MAX) {
            let said = match cluster.named_topics(names).await {
                Ok(said) => said,
                Err(error) => {
                    self.troubles.push(format!("{side}: {error}"));
                    return;
                }
            };
            for (name, code) in said {
                match code {
                    Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) if side == Side::Source => {
                        self.gone.insert(name);
                    }
                    Some(code) => {
                        for tp in unlisted.get(&name).into_iter().flatten() {
                            self.refusal(side, cluster, Api::Metadata, code, (&name, tp));
                        }
                    }
                    None => {}
                }
            }
        }
    }

    /// Codes that are about anything else pass, or show as a datum that gets old. `concerned`: the topic as that side
    /// calls it, and the partition.
    fn refusal(
        &mut self,
        side: Side,
        cluster: &Cluster,
        api: Api,
        code: ErrorCode,
        concerned: (&str, &TopicPartition),
    ) {
        if let Some(denied) = by_code(side, cluster.settings(), api, code, concerned.0) {
            self.refused.push((concerned.1.clone(), Arc::new(denied)));
        }
    }

    fn failed<'a>(
        &mut self,
        side: Side,
        cluster: &Cluster,
        node: NodeId,
        concerned: impl Iterator<Item = &'a TopicPartition>,
        error: &Error,
    ) {
        self.troubles.push(format!("{side} broker {node}: {error}"));
        if let Some(denied) = by_error(side, cluster.settings(), error).map(Arc::new) {
            self.refused.extend(concerned.map(|tp| (tp.clone(), Arc::clone(&denied))));
        }
    }
}

/// Per partition its end; `None` when the broker answered for another leadership.
type Ends = Vec<(TopicPartition, Result<Option<i64>, ErrorCode>)>;

/// The log *end* (M8). A log in message format 0 or 1 knows no epochs: of it the high watermark has to do.
async fn source_ends(cluster: &Cluster, node: NodeId, questions: &[EpochQuestion]) -> Result<Ends, Error> {
    let connection = cluster.connection(node).await?;
    let answers = offset_for_leader_epoch(&connection, questions).await?;
    let mut ends = Ends::with_capacity(answers.len());
    let mut without_epochs = Vec::new();
    for ((tp, end), EpochQuestion { asked, .. }) in answers.into_iter().zip(questions) {
        match end {
            Ok(end) if !end.epoch.is_known() && end.end_offset < 0 => without_epochs.push((tp, *asked)),
            Ok(end) => {
                let ours = end.epoch == *asked && end.end_offset >= 0;
                ends.push((tp, Ok(ours.then_some(end.end_offset))));
            }
            Err(code) => ends.push((tp, Err(code))),
        }
    }
    if !without_epochs.is_empty() {
        let marks = list_offsets(&connection, &without_epochs, At::Latest).await?;
        ends.extend(marks.into_iter().map(|(tp, mark)| (tp, mark.map(Some))));
    }
    Ok(ends)
}
