//! A few batches of a log, read by themselves: the one at an offset, what stands in a stretch, the last with records.
//! For looks at both sides (M8, M20): small answers on a shared connection, no session. Old formats are seen, too.
//! Never proves a hole (M11). On failure: why, with partition and offset.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use lockstep_batch::records::{self, Limits, Record};
use lockstep_batch::split::{Entry, entries};
use lockstep_batch::view::FetchedBatch;
use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_kafka::fetch::{FetchLimits, FetchTarget, FetchedPartition, Isolation, fetch_once};
use lockstep_kafka::{Cluster, ErrorCode};

/// How far back the last record is looked for behind markers, step by step: two full requests of them.
const BACK: [i64; 6] = [1, 8, 64, 512, 4_096, 16_384];
/// Records of one side in memory while a common one is looked for.
const COMMON_RECORDS_MAX: usize = 10_000;
/// One answer of a walk along the log.
pub(super) const WALK_BYTES: usize = 1 << 20;

/// Why a log was not read: worth another look, unless `code` says that somebody has to act first.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) text: String,
    /// The broker's answer, if there was one.
    pub(crate) code: Option<ErrorCode>,
}

impl From<Unread> for Trouble {
    fn from(unread: Unread) -> Self {
        Self::soon(unread.text)
    }
}

/// The last batch with records on the destination, and where the markers behind it begin.
pub(super) struct Last {
    pub(super) data: Option<FetchedBatch>,
    pub(super) markers_from: i64,
}

/// The last batch of a log that holds records, looked for a few steps back behind control batches.
pub(super) async fn last_data(
    cluster: &Cluster,
    tp: &TopicPartition,
    start: i64,
    end: i64,
) -> Result<Last, Trouble> {
    let mut last = Last { data: None, markers_from: end };
    for back in BACK {
        let from = (end - back).max(start);
        last = Last { data: None, markers_from: from };
        walk(cluster, tp, from, end, |entry| {
            let Entry::Batch(batch) = entry else { return ControlFlow::Continue(()) };
            if !batch.header().is_control() && batch.header().record_count() > 0 {
                last.markers_from = batch.header().next_offset().min(end);
                last.data = Some(batch);
            }
            ControlFlow::Continue(())
        })
        .await?;
        if last.data.is_some() || from == start {
            break;
        }
    }
    Ok(last)
}

/// The last batch with records between two offsets, if there is one near the end.
pub async fn last_batch(
    cluster: &Cluster,
    tp: &TopicPartition,
    start: i64,
    end: i64,
) -> Result<Option<FetchedBatch>, Trouble> {
    Ok(last_data(cluster, tp, start, end).await?.data)
}

/// What stands between two offsets of a log.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    pub(super) records: BTreeMap<i64, Record>,
    pub(super) markers: BTreeSet<i64>,
}

pub(super) async fn stretch(
    cluster: &Cluster,
    tp: &TopicPartition,
    from: i64,
    end: i64,
) -> Result<Stretch, Trouble> {
    let mut found = Stretch::default();
    let mut fault = None;
    walk(cluster, tp, from, end, |entry| {
        let decoded = match entry {
            Entry::Batch(batch) if batch.header().is_control() => {
                let next = batch.header().next_offset().min(end);
                found.markers.extend(batch.header().base_offset().max(from)..next);
                Ok(Vec::new())
            }
            Entry::Batch(batch) => records::decode(&batch.view(), Limits::default())
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| error.to_string()),
            Entry::Old(old) => old.records(Limits::default()).map_err(|error| error.to_string()),
        };
        match decoded {
            Ok(records) => {
                let wanted = records.into_iter().filter(|record| (from..end).contains(&record.offset));
                found.records.extend(wanted.map(|record| (record.offset, record)));
                while found.records.len() > COMMON_RECORDS_MAX {
                    found.records.pop_first();
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                fault = Some(Trouble::soon(format!("{tp} cannot be read between {from} and {end}: {error}")));
                ControlFlow::Break(())
            }
        }
    })
    .await?;
    match fault {
        None => Ok(found),
        Some(fault) => Err(fault),
    }
}

/// Shows every batch between two offsets in order. Ends early where the log has nothing more.
pub(crate) async fn walk(
    cluster: &Cluster,
    tp: &TopicPartition,
    from: i64,
    end: i64,
    mut see: impl FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), Unread> {
    let mut at = from;
    while at < end {
        let bytes = if end - at == 1 { 1 } else { WALK_BYTES };
        let Some(answer) = fetch_at(cluster, tp, at, bytes, Isolation::ReadUncommitted).await? else { break };
        let before = at;
        for entry in entries(answer.records) {
            let entry = entry.map_err(|error| Unread {
                text: format!("reading {tp} at offset {at}: {error}"),
                code: None,
            })?;
            let (first, next) = match &entry {
                Entry::Batch(batch) => (Some(batch.header().base_offset()), batch.header().next_offset()),
                Entry::Old(old) => (old.first_offset(), old.next_offset()),
            };
            if first.is_some_and(|first| first >= end) {
                return Ok(());
            }
            at = at.max(next);
            if see(entry).is_break() {
                return Ok(());
            }
        }
        if at == before {
            break;
        }
    }
    Ok(())
}

/// The batch that holds `offset`, or the next one after it; `None` if the answer is empty, or older than batches.
pub async fn batch_at(
    cluster: &Cluster,
    tp: &TopicPartition,
    offset: i64,
    isolation: Isolation,
) -> Result<Option<FetchedBatch>, Trouble> {
    Ok(match entry_at(cluster, tp, offset, isolation).await? {
        Some(Entry::Batch(batch)) => Some(batch),
        Some(Entry::Old(_)) | None => None,
    })
}

pub(super) async fn entry_at(
    cluster: &Cluster,
    tp: &TopicPartition,
    offset: i64,
    isolation: Isolation,
) -> Result<Option<Entry>, Trouble> {
    // One byte: the broker answers the first batch whole, whatever its size (KIP-74).
    let Some(answer) = fetch_at(cluster, tp, offset, 1, isolation).await? else { return Ok(None) };
    match entries(answer.records).next() {
        None => Ok(None),
        Some(Ok(entry)) => Ok(Some(entry)),
        Some(Err(error)) => Err(Trouble::soon(format!("reading {tp} at offset {offset}: {error}"))),
    }
}

pub(super) async fn fetch_at(
    cluster: &Cluster,
    tp: &TopicPartition,
    offset: i64,
    bytes_max: usize,
    isolation: Isolation,
) -> Result<Option<FetchedPartition>, Unread> {
    let metadata = cluster.metadata();
    let (Some((node, epoch)), Some(topic)) = (metadata.leader(tp), metadata.topics.get(&tp.topic)) else {
        return Err(Unread { text: format!("{tp} has no leader at the moment"), code: None });
    };
    let target = FetchTarget {
        tp: tp.clone(),
        topic_id: topic.id,
        offset: SourceOffset(offset),
        current_leader_epoch: epoch,
        last_fetched_epoch: LeaderEpoch::UNKNOWN,
        partition_bytes_max: bytes_max as i32,
    };
    let limits = FetchLimits { max_wait: Duration::ZERO, min_bytes: 0, bytes_max: bytes_max as i32 };
    let unread = |error: lockstep_kafka::Error| Unread {
        text: format!("reading {tp} at offset {offset}: {error}"),
        code: error.code(),
    };
    let connection = cluster.connection(node).await.map_err(unread)?;
    let answer = fetch_once(&connection, &[target], limits, isolation).await.map_err(unread)?;
    let Some(partition) = answer.partitions.into_iter().find(|p| p.tp == *tp) else { return Ok(None) };
    match partition.error {
        None => Ok(Some(partition)),
        Some(code) => {
            Err(Unread { text: format!("reading {tp} at offset {offset}: {code}"), code: Some(code) })
        }
    }
}
