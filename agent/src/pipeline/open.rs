//! Reads the facts a partition is opened with, many partitions per request, in the one safe order (M8):
//! (1) leader and epoch from metadata, (2) DescribeProducers, (3) the log end by OffsetForLeaderEpoch under the
//! current epoch, and the producers again, which must not have moved; then the high watermark and the source's ends,
//! (5) the tail. What the facts mean is decided in `core::mirror::opening`. A read that fails fails its partitions only.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use lockstep_core::dr::denied::Side;
use lockstep_core::ids::{
    DestOffset, LeaderEpoch, NodeId, ProducerIdentity, SourceOffset, TopicId, TopicPartition,
};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::opening::{Displaced, Facts, ProducerOnPartition};
use lockstep_kafka::admin::{
    At, EpochEnd, EpochQuestion, ProducerState, describe_producers, list_offsets, offset_for_leader_epoch,
};
use lockstep_kafka::{Api, Class, Cluster, Connection, Error, ErrorCode, Settings};

use super::budget::Budget;
use super::denied::{by_code, by_error};
use super::names::Twin;
use super::tail::{TailQuestion, TailReader, Writers};

/// Tails looked at side by side.
const TAILS_AT_ONCE: usize = 8;

/// Reads facts for one link. Cheap to clone.
#[derive(Clone)]
pub struct Opener {
    pub source: Cluster,
    pub dest: Cluster,
    pub writers: Writers,
    pub budget: Budget,
}

/// One partition to open.
#[derive(Clone, Debug)]
pub struct Ask {
    pub twin: Twin,
    pub displaced: Option<Displaced>,
}

/// What one side answered so far, or why nothing came.
type Reads<T> = BTreeMap<TopicPartition, Result<T, Trouble>>;

#[derive(Clone, Copy, Debug)]
struct DestReads {
    producer: Option<ProducerOnPartition>,
    end: DestOffset,
    start: DestOffset,
    high_watermark: DestOffset,
}

#[derive(Clone, Copy, Debug)]
struct SourceReads {
    epoch: LeaderEpoch,
    start: SourceOffset,
    end: SourceOffset,
    /// Nothing above it is decided yet (M16).
    stable: SourceOffset,
}

impl Opener {
    /// Facts for every partition asked for.
    pub async fn gather(&self, asks: Vec<Ask>) -> Vec<(TopicPartition, Result<Facts, Trouble>)> {
        let (here, there): (Vec<_>, Vec<_>) =
            asks.iter().map(|ask| (ask.twin.source.clone(), ask.twin.dest.there().clone())).unzip();
        let mut dest = each_leader(&self.dest, Side::Dest, &there, |connection, group| {
            Box::pin(read_dest(connection, group, self.writers.link, self.dest.settings()))
        })
        .await;
        // After the destination: a source end read before it could look too early.
        let mut source = each_leader(&self.source, Side::Source, &here, |connection, group| {
            Box::pin(read_source(connection, group, self.source.settings()))
        })
        .await;
        let drafts: Vec<_> = asks
            .into_iter()
            .map(|ask| {
                let dest =
                    dest.remove(ask.twin.dest.there()).unwrap_or_else(|| Err(no_answer("destination")));
                let source = source.remove(&ask.twin.source).unwrap_or_else(|| Err(no_answer("source")));
                (ask, dest, source)
            })
            .collect();
        futures_util::stream::iter(drafts)
            .map(|(ask, dest, source)| async move {
                let tp = ask.twin.source.clone();
                (tp, self.complete(ask, dest, source).await)
            })
            .buffer_unordered(TAILS_AT_ONCE)
            .collect()
            .await
    }

    async fn complete(
        &self,
        ask: Ask,
        dest: Result<DestReads, Trouble>,
        source: Result<SourceReads, Trouble>,
    ) -> Result<Facts, Trouble> {
        let (dest, source) = (dest?, source?);
        let question = TailQuestion {
            twin: ask.twin.clone(),
            dest_start: dest.start,
            // Consumers read below the high watermark only; above it there is nothing to look at yet.
            dest_end: dest.end.min(dest.high_watermark),
            source_start: source.start,
            source_end: source.end,
            displaced: ask.displaced,
        };
        let reader = TailReader {
            source: &self.source,
            dest: &self.dest,
            writers: self.writers.clone(),
            budget: &self.budget,
        };
        let tail = reader.look(&question).await?;
        let source_id =
            self.source.metadata().topics.get(&ask.twin.source.topic).map_or(TopicId::ZERO, |topic| topic.id);
        Ok(Facts {
            producer: dest.producer,
            dest_start: dest.start,
            dest_end: dest.end,
            dest_high_watermark: dest.high_watermark,
            source_id,
            source_epoch: source.epoch,
            source_start: source.start,
            source_end: source.end,
            source_stable: source.stable,
            tail,
        })
    }
}

fn no_answer(side: &str) -> Trouble {
    Trouble::soon(format!("the {side} did not answer for this partition"))
}

type Group = Vec<(TopicPartition, LeaderEpoch)>;
type Reading<'a, T> =
    std::pin::Pin<Box<dyn std::future::Future<Output = Result<Reads<T>, Error>> + Send + 'a>>;

/// Performs `read` once per leader of the given partitions.
async fn each_leader<'a, T>(
    cluster: &Cluster,
    side: Side,
    partitions: &[TopicPartition],
    read: impl Fn(Connection, Group) -> Reading<'a, T>,
) -> Reads<T> {
    let metadata = cluster.metadata();
    let mut groups: BTreeMap<NodeId, Group> = BTreeMap::new();
    let mut reads = Reads::new();
    for tp in partitions {
        match metadata.leader(tp) {
            Some((node, epoch)) => groups.entry(node).or_default().push((tp.clone(), epoch)),
            None => {
                let trouble = Trouble::soon(format!("no leader on the {side} at the moment"));
                reads.insert(tp.clone(), Err(trouble));
            }
        }
    }
    for (node, group) in groups {
        let names: Vec<_> = group.iter().map(|(tp, _)| tp.clone()).collect();
        let answer = match cluster.connection(node).await {
            Ok(connection) => read(connection, group).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => reads.extend(answer),
            Err(error) => {
                let denied = by_error(side, cluster.settings(), &error);
                let trouble = Trouble::soon(format!("{side} broker {node}: {error}")).because(denied);
                reads.extend(names.into_iter().map(|tp| (tp, Err(trouble.clone()))));
            }
        }
    }
    reads
}

async fn read_dest(
    connection: Connection,
    group: Group,
    ours: ProducerIdentity,
    settings: &Settings,
) -> Result<Reads<DestReads>, Error> {
    let asked = |api| Asked { side: Side::Dest, api, settings };
    let names: Vec<_> = group.iter().map(|(tp, _)| tp.clone()).collect();
    // The order of these two is the one that matters: see core::mirror::opening.
    let producers = index(describe_producers(&connection, &names).await?);
    let ends = index(log_ends(&connection, &group).await?);
    // And once more: a producer that has moved meanwhile belongs to another end than the one just read.
    let producers_after = index(describe_producers(&connection, &names).await?);
    let starts = index(list_offsets(&connection, &group, At::Earliest).await?);
    let marks = index(list_offsets(&connection, &group, At::Latest).await?);
    let reads = group.into_iter().map(|(tp, epoch)| {
        let read = (|| {
            let producer = of_link(entry(&producers, &tp, asked(Api::DescribeProducers))?, ours);
            let after = of_link(entry(&producers_after, &tp, asked(Api::DescribeProducers))?, ours);
            if producer != after {
                return Err(Trouble::soon(
                    "another mirror of this link is copying this partition (its appends landed while the end was read): waiting until it stops",
                ));
            }
            let end =
                end_under(entry(&ends, &tp, asked(Api::OffsetForLeaderEpoch))?, epoch, "destination")?;
            Ok(DestReads {
                producer,
                end: DestOffset(end),
                start: DestOffset(*entry(&starts, &tp, asked(Api::ListOffsets))?),
                high_watermark: DestOffset(*entry(&marks, &tp, asked(Api::ListOffsets))?),
            })
        })();
        (tp, read)
    });
    Ok(reads.collect())
}

/// The link's own entry among a partition's producers.
fn of_link(producers: &[ProducerState], ours: ProducerIdentity) -> Option<ProducerOnPartition> {
    producers.iter().find(|p| p.producer_id == ours.id).map(|p| ProducerOnPartition {
        epoch: p.epoch,
        last_sequence: p.last_sequence,
        last_timestamp_ms: p.last_timestamp,
        coordinator_epoch: p.coordinator_epoch,
    })
}

async fn read_source(
    connection: Connection,
    group: Group,
    settings: &Settings,
) -> Result<Reads<SourceReads>, Error> {
    let asked = |api| Asked { side: Side::Source, api, settings };
    let ends = index(log_ends(&connection, &group).await?);
    let starts = index(list_offsets(&connection, &group, At::Earliest).await?);
    let stable = index(list_offsets(&connection, &group, At::LastStable).await?);
    let without_epochs: Group = group
        .iter()
        .filter(|(tp, _)| matches!(ends.get(tp), Some(Ok(answer)) if is_without_epochs(answer)))
        .cloned()
        .collect();
    let marks = match without_epochs.is_empty() {
        true => BTreeMap::new(),
        false => index(list_offsets(&connection, &without_epochs, At::Latest).await?),
    };
    let reads = group.into_iter().map(|(tp, epoch)| {
        let read = (|| {
            let answer = entry(&ends, &tp, asked(Api::OffsetForLeaderEpoch))?;
            let end = match is_without_epochs(answer) {
                true => *entry(&marks, &tp, asked(Api::ListOffsets))?,
                false => end_under(answer, epoch, "source")?,
            };
            let start = *entry(&starts, &tp, asked(Api::ListOffsets))?;
            let stable = *entry(&stable, &tp, asked(Api::ListOffsets))?;
            Ok(SourceReads {
                epoch,
                start: SourceOffset(start),
                end: SourceOffset(end),
                stable: SourceOffset(stable),
            })
        })();
        (tp, read)
    });
    Ok(reads.collect())
}

/// The log *end*: the epoch asked for is the current one, and says so, or a broker two elections on would
/// answer a stale end without an error (M8).
async fn log_ends(
    connection: &Connection,
    group: &Group,
) -> Result<Vec<(TopicPartition, Result<EpochEnd, ErrorCode>)>, Error> {
    let questions: Vec<_> = group
        .iter()
        .map(|(tp, epoch)| EpochQuestion { tp: tp.clone(), current: *epoch, asked: *epoch })
        .collect();
    offset_for_leader_epoch(connection, &questions).await
}

/// A log in message format 0 or 1 knows no epochs (Kafka: `LeaderEpochFileCache` is not kept for it). Of a source the high
/// watermark then has to do: we have copied nothing above it.
fn is_without_epochs(answer: &EpochEnd) -> bool {
    !answer.epoch.is_known() && answer.end_offset < 0
}

fn end_under(answer: &EpochEnd, asked: LeaderEpoch, side: &str) -> Result<i64, Trouble> {
    if answer.epoch == asked && answer.end_offset >= 0 {
        return Ok(answer.end_offset);
    }
    Err(Trouble::soon(format!(
        "{side}: asked for leader epoch {asked}, answered for {}: leadership has moved",
        answer.epoch
    )))
}

fn index<T>(answers: Vec<(TopicPartition, T)>) -> BTreeMap<TopicPartition, T> {
    answers.into_iter().collect()
}

/// A question, and to whom.
#[derive(Clone, Copy)]
struct Asked<'s> {
    side: Side,
    api: Api,
    settings: &'s Settings,
}

fn entry<'a, T>(
    answers: &'a BTreeMap<TopicPartition, Result<T, ErrorCode>>,
    tp: &TopicPartition,
    asked: Asked<'_>,
) -> Result<&'a T, Trouble> {
    let Asked { side, api, settings } = asked;
    match answers.get(tp) {
        Some(Ok(value)) => Ok(value),
        Some(Err(code)) => {
            let text = format!("{side}: {api}: {code}");
            let trouble =
                if code.class() == Class::Fatal { Trouble::slow(text) } else { Trouble::soon(text) };
            Err(trouble.because(by_code(side, settings, api, *code, &tp.topic)))
        }
        None => Err(Trouble::soon(format!("{side}: {api}: no answer for this partition"))),
    }
}
