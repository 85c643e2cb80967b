//! One task per destination broker: takes offsets by markers (M12), or by empty transactions where the right to write
//! markers is missing (M15). One request at a time; partitions that come meanwhile join the next one.
//! Promises: every run gets exactly one answer; right behind the markers, on the same connection, the log's end is
//! asked under the current leader epoch (M8, M13). Never repeats what may have been written: after any doubt a run has
//! failed, and its partition asks the destination where it stands.

mod filler;
mod plan;
mod right;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lockstep_core::dr::denied::Side;
use lockstep_core::ids::{DestOffset, LeaderEpoch, NodeId, ProducerIdentity};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::markers::{MarkerAnswer, SequenceBehind};
use lockstep_kafka::admin::{
    EpochEnd, EpochQuestion, MarkerKind, PerPartition, ProducerState, submit_describe_producers,
    submit_offset_for_leader_epoch, submit_write_txn_markers,
};
use lockstep_kafka::{Class, Cluster, Connection, Error, ErrorCode, Settings};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use filler::Filler;
use plan::Plan;
pub use plan::{REQUEST_MARKERS_MAX, WantedRun};
pub use right::MarkerRight;

use super::denied::by_error;
use super::event::{Event, MarkerOutcome};
use super::source::backoff;

/// Jobs that may wait in front of a task: what comes while a request is under way.
pub const JOBS_WAITING_MAX: usize = 4;

/// Beyond the broker's own deadline for its replicas (`request.timeout.ms`, 30 s).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(35);

/// Runs for partitions that one broker leads: at most one per partition until it is answered.
#[derive(Debug)]
pub struct MarkerJob {
    pub runs: Vec<WantedRun>,
}

pub struct Markers {
    pub node: NodeId,
    pub cluster: Cluster,
    /// The link's producer.
    pub ours: ProducerIdentity,
    pub right: MarkerRight,
    pub filler: Filler,
    pub jobs: mpsc::Receiver<MarkerJob>,
    pub events: mpsc::Sender<Event>,
}

/// What the broker said about the markers, the ends behind them and its memory of us, partition by partition.
struct Written {
    markers: PerPartition<()>,
    ends: PerPartition<EpochEnd>,
    producers: PerPartition<Vec<ProducerState>>,
}

impl Markers {
    /// Runs until the engine drops its end of `jobs` and every run has its answer.
    pub async fn run(mut self) {
        let mut connection: Option<Connection> = None;
        let mut failures = 0u32;
        // At most one run per partition waits here: a partition asks again only after its answer.
        let mut waiting: VecDeque<WantedRun> = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.jobs.recv().await {
                    Some(job) => waiting.extend(job.runs),
                    None => return,
                }
            }
            while let Ok(job) = self.jobs.try_recv() {
                waiting.extend(job.runs);
            }
            let Some(plan) = Plan::take(&mut waiting) else { continue };
            let answers = self.perform(&plan, &mut connection).await;
            if connection.is_some() {
                failures = 0;
            } else {
                tokio::time::sleep(backoff(failures)).await;
                failures = failures.saturating_add(1);
            }
            if self.events.send(Event::Marked { answers }).await.is_err() {
                return;
            }
        }
    }

    async fn perform(&self, plan: &Plan, connection: &mut Option<Connection>) -> Vec<MarkerOutcome> {
        match self.attempt(plan, connection).await {
            Ok(answers) => answers,
            Err(error) => {
                *connection = None;
                all_failed(&plan.wanted, self.node, &error, self.cluster.settings())
            }
        }
    }

    async fn attempt(
        &self,
        plan: &Plan,
        connection: &mut Option<Connection>,
    ) -> Result<Vec<MarkerOutcome>, Error> {
        let connection = match connection {
            Some(open) if open.is_open() => open,
            slot => slot.insert(self.cluster.dedicated(self.node).await?),
        };
        if self.right.is_worth_trying(Instant::now()) {
            let written = self.write(plan, connection).await?;
            if !is_unprivileged(&written.markers) {
                self.right.held();
                return Ok(join(plan, written, self.ours));
            }
            self.right.refused(Instant::now());
        }
        Ok(self.filler.take(connection, &plan.wanted).await)
    }

    /// Markers, and right behind them the questions for the ends and for what the broker now remembers of us (a marker
    /// may have introduced us anew, without a sequence): a broker works through a connection in order.
    async fn write(&self, plan: &Plan, connection: &Connection) -> Result<Written, Error> {
        let markers = submit_write_txn_markers(
            connection,
            self.ours,
            MarkerKind::Abort,
            &plan.entries(),
            ANSWER_TIMEOUT,
        )
        .await?;
        let ends =
            submit_offset_for_leader_epoch(connection, &questions(&plan.wanted), ANSWER_TIMEOUT).await?;
        let names: Vec<_> = plan.wanted.iter().map(|each| each.twin.dest.there().clone()).collect();
        let producers = submit_describe_producers(connection, &names, ANSWER_TIMEOUT).await?;
        Ok(Written {
            markers: markers.answer().await?,
            ends: ends.answer().await?,
            producers: producers.answer().await?,
        })
    }
}

/// Asks for the log's *end*: the current epoch's (M8).
fn questions(wanted: &[WantedRun]) -> Vec<EpochQuestion> {
    let question = |each: &WantedRun| EpochQuestion {
        tp: each.twin.dest.there().clone(),
        current: each.epoch,
        asked: each.epoch,
    };
    wanted.iter().map(question).collect()
}

/// Whether nothing was written for want of the right: the broker decides it once for the whole request.
fn is_unprivileged(markers: &PerPartition<()>) -> bool {
    !markers.is_empty()
        && markers.iter().all(|(_, outcome)| *outcome == Err(ErrorCode::CLUSTER_AUTHORIZATION_FAILED))
}

/// Joins the answers to the runs. A partition without a code and with an end is written; whether the end is the right
/// one, it judges itself.
fn join(plan: &Plan, written: Written, ours: ProducerIdentity) -> Vec<MarkerOutcome> {
    let markers: HashMap<_, _> = written.markers.into_iter().collect();
    let ends: HashMap<_, _> = written.ends.into_iter().collect();
    let producers: HashMap<_, _> = written.producers.into_iter().collect();
    let outcome = |each: &WantedRun| {
        let tp = each.twin.dest.there();
        let read = match (markers.get(tp), ends.get(tp), producers.get(tp)) {
            (Some(Err(code)), ..) => Err(refusal("the destination refused markers", *code)),
            (Some(Ok(())), Some(end), Some(producers)) => {
                end_under(end, each.epoch).and_then(|end| Ok((end, sequence_of(producers, ours)?)))
            }
            _ => Err((Trouble::soon("the destination did not answer for this partition"), false)),
        };
        match read {
            Ok((end, sequence)) => {
                let coordinator_epoch = plan.last_epoch(&each.run);
                written_outcome(each, each.run.count, end, coordinator_epoch, sequence)
            }
            Err((trouble, metadata_stale)) => failed(each, trouble, metadata_stale),
        }
    };
    plan.wanted.iter().map(outcome).collect()
}

/// Where our data go on behind markers of ours; else what is wrong, and whether the metadata are out of date.
fn sequence_of(
    producers: &Result<Vec<ProducerState>, ErrorCode>,
    ours: ProducerIdentity,
) -> Result<SequenceBehind, (Trouble, bool)> {
    let producers = producers.as_ref().map_err(|code| refusal("destination: DescribeProducers", *code))?;
    let us = producers.iter().find(|state| state.producer_id == ours.id && state.epoch == ours.epoch);
    let unknown = || (Trouble::soon("the destination does not know who wrote its markers"), false);
    us.map(|state| SequenceBehind::After(state.last_sequence)).ok_or_else(unknown)
}

/// The end under the epoch asked for; else what is wrong, and whether the metadata are out of date.
fn end_under(
    answer: &Result<EpochEnd, ErrorCode>,
    asked: LeaderEpoch,
) -> Result<DestOffset, (Trouble, bool)> {
    match answer {
        Ok(end) if end.epoch == asked && end.end_offset >= 0 => Ok(DestOffset(end.end_offset)),
        Ok(end) => {
            let text = format!(
                "destination: asked for leader epoch {asked}, answered for {}: leadership has moved",
                end.epoch
            );
            Err((Trouble::soon(text), true))
        }
        Err(code) => Err(refusal("the destination does not tell its end", *code)),
    }
}

fn refusal(what: &str, code: ErrorCode) -> (Trouble, bool) {
    let text = format!("{what}: {code}");
    let trouble = match code.class() {
        Class::Fatal => Trouble::slow(text),
        Class::Retry | Class::Rewind | Class::Fence => Trouble::soon(text),
    };
    (trouble, code.refreshes_metadata())
}

fn written_outcome(
    each: &WantedRun,
    count: u32,
    end: DestOffset,
    coordinator_epoch: i32,
    sequence: SequenceBehind,
) -> MarkerOutcome {
    MarkerOutcome {
        partition: each.twin.source.clone(),
        ticket: each.run.ticket,
        answer: MarkerAnswer::Written { count, end, coordinator_epoch, sequence },
        metadata_stale: false,
    }
}

fn failed(each: &WantedRun, trouble: Trouble, metadata_stale: bool) -> MarkerOutcome {
    MarkerOutcome {
        partition: each.twin.source.clone(),
        ticket: each.run.ticket,
        answer: MarkerAnswer::Failed(trouble),
        metadata_stale,
    }
}

fn all_failed(wanted: &[WantedRun], node: NodeId, error: &Error, dest: &Settings) -> Vec<MarkerOutcome> {
    let text = format!("destination broker {node}: {error}");
    let trouble = if error.class() == Class::Fatal { Trouble::slow(text) } else { Trouble::soon(text) };
    let trouble = trouble.because(by_error(Side::Dest, dest, error));
    wanted.iter().map(|each| failed(each, trouble.clone(), error.refreshes_metadata())).collect()
}

#[cfg(test)]
mod tests {
    use lockstep_core::ids::TopicPartition;

    use super::plan::testing::wanted;
    use super::*;

    fn plan(runs: impl IntoIterator<Item = WantedRun>) -> Plan {
        Plan::take(&mut runs.into_iter().collect()).expect("something waits")
    }

    /// As the destination calls it.
    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("east.t", partition)
    }

    fn end(epoch: i32, end_offset: i64) -> Result<EpochEnd, ErrorCode> {
        Ok(EpochEnd { epoch: LeaderEpoch(epoch), end_offset })
    }

    fn known(producer: ProducerIdentity, last_sequence: i32) -> Result<Vec<ProducerState>, ErrorCode> {
        Ok(vec![ProducerState {
            producer_id: producer.id,
            epoch: producer.epoch,
            last_sequence,
            last_timestamp: 1,
            coordinator_epoch: 12,
            current_txn_start: -1,
        }])
    }

    #[test]
    fn every_run_gets_its_own_answer() {
        let ours = ProducerIdentity { id: 9, epoch: 1 };
        let plan = plan((0..9).map(|n| wanted(n, 2, 10)));
        let lower = ErrorCode::TRANSACTION_COORDINATOR_FENCED;
        let moved = ErrorCode::FENCED_LEADER_EPOCH;
        // Partition 8 is left out of the answer about markers.
        let markers = (0..8).map(|n| (tp(n), if n == 1 { Err(lower) } else { Ok(()) })).collect();
        let end_of = |n| match n {
            2 => end(6, 102),
            3 => Err(moved),
            4 => end(7, -1),
            _ => end(7, 102),
        };
        let newer = ProducerIdentity { epoch: 2, ..ours };
        let known_of = |n| match n {
            5 => Ok(Vec::new()),
            6 => known(newer, 0),
            7 => known(ours, -1),
            _ => known(ours, 41),
        };
        let ends = (0..9).rev().map(|n| (tp(n), end_of(n))).collect();
        let producers = (0..9).map(|n| (tp(n), known_of(n))).collect();
        let mut answers = join(&plan, Written { markers, ends, producers }, ours);
        answers.sort_by(|a, b| a.partition.cmp(&b.partition));
        for (partition, last) in [(0, 41), (7, -1)] {
            let sequence = SequenceBehind::After(last);
            let written =
                MarkerAnswer::Written { count: 2, end: DestOffset(102), coordinator_epoch: 12, sequence };
            assert_eq!(answers[partition].answer, written);
        }
        for (partition, words, stale) in [
            (1, "TRANSACTION_COORDINATOR_FENCED", false),
            (2, "asked for leader epoch 7, answered for 6", true),
            (3, "FENCED_LEADER_EPOCH", true),
            (4, "leadership has moved", true),
            (5, "does not know who wrote", false),
            (6, "does not know who wrote", false),
            (8, "did not answer", false),
        ] {
            let MarkerAnswer::Failed(trouble) = &answers[partition].answer else { panic!("{partition}") };
            assert!(trouble.text.contains(words), "{partition}: {}", trouble.text);
            assert_eq!(answers[partition].metadata_stale, stale, "{partition}");
        }
        assert_eq!(answers.len(), 9);
        assert!(answers.iter().all(|a| &*a.partition.topic == "t"), "answers go by the source's name");
        assert!(answers.iter().all(|a| i64::from(a.partition.partition) == a.ticket.0.cast_signed()));
    }

    #[test]
    fn only_a_request_refused_as_a_whole_is_unprivileged() {
        let unprivileged = ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        assert!(is_unprivileged(&vec![(tp(0), Err(unprivileged)), (tp(1), Err(unprivileged))]));
        assert!(!is_unprivileged(&vec![(tp(0), Err(unprivileged)), (tp(1), Ok(()))]));
        assert!(!is_unprivileged(&vec![]));
    }
}
