//! The end of the destination's log beside the source's (M8, step 5), and who wrote it: the last record that both
//! sides hold is equal, and the markers behind it cover nothing that the source shows its consumers.
//! Reads a few batches per side; memory is reserved for them. Only what both sides still hold is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::Duration;

use lockstep_batch::build::is_filler;
use lockstep_batch::header::BatchHeader;
use lockstep_batch::records::{self, Limits, Record};
use lockstep_batch::split::{Entry, entries};
use lockstep_batch::view::FetchedBatch;
use lockstep_core::compare::difference;
use lockstep_core::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::align::{Piece, align, unpack};
use lockstep_core::mirror::opening::{Displaced, Tail};
use lockstep_kafka::Cluster;
use lockstep_kafka::fetch::{FetchLimits, FetchTarget, FetchedPartition, Isolation, fetch_once};

use super::budget::Budget;

/// What a tail check usually takes: one batch of a producer's default maximum on each side.
const TAIL_BYTES: usize = 2 << 20;
/// How far back the last record is looked for behind markers, step by step: two full requests of them.
const BACK: [i64; 6] = [1, 8, 64, 512, 4_096, 16_384];
/// How far back a record is looked for that both sides hold: compaction leaves different ones for a while.
const COMMON_BACK: [i64; 3] = [64, 1_024, 8_192];
/// Records of one side in memory while a common one is looked for.
const COMMON_RECORDS_MAX: usize = 10_000;
/// One answer of a walk along the log.
const WALK_BYTES: usize = 1 << 20;

/// Where to look, and what is known of both logs.
#[derive(Clone, Debug)]
pub struct TailQuestion {
    pub tp: TopicPartition,
    pub dest_start: DestOffset,
    pub dest_end: DestOffset,
    pub source_start: SourceOffset,
    pub source_end: SourceOffset,
    /// Something of ours did not land at its place: see who stands there.
    pub displaced: Option<Displaced>,
}

/// Whose batches belong on a mirror.
#[derive(Clone, Copy, Debug)]
pub struct Writers {
    pub link: ProducerIdentity,
    /// Markers of empty transactions are its (M15).
    pub filler: Option<ProducerIdentity>,
}

/// Looks at tails of one link.
pub struct TailReader<'a> {
    pub source: &'a Cluster,
    pub dest: &'a Cluster,
    pub writers: Writers,
    pub budget: &'a Budget,
}

/// The last batch with records on the destination, and where the markers behind it begin.
struct Last {
    data: Option<FetchedBatch>,
    markers_from: i64,
}

impl TailReader<'_> {
    /// Looks at the tail of one partition.
    pub async fn look(&self, question: &TailQuestion) -> Result<Tail, Trouble> {
        // A quarter at most: in a small budget under load the whole of it is never free.
        let _permit = self.budget.reserve(TAIL_BYTES.min(self.budget.capacity_bytes() / 4)).await;
        let TailQuestion { tp, dest_start, dest_end, .. } = question;
        if let Some(displaced) = question.displaced {
            let landed = displaced.landed.0.min(dest_end.0);
            if landed > displaced.at.0 {
                let foreign = self.foreign_between(tp, displaced.from.0, landed).await?;
                let shift = displaced.landed.0 - displaced.at.0;
                return Ok(foreign.unwrap_or(Tail::OwnRepeat { at: displaced.at, shift }));
            }
        }
        if dest_end <= dest_start {
            return Ok(Tail::Empty);
        }
        let Last { data, markers_from } = last_data(self.dest, tp, dest_start.0, dest_end.0).await?;
        if let Some(data) = &data {
            if let Some(foreign) = foreign_data(data.header(), self.writers) {
                return Ok(foreign);
            }
            if markers_from == dest_end.0 && is_filler(data) {
                return Ok(Tail::Filler);
            }
        }
        if let Some(at) = self.source_record_under(question, markers_from).await? {
            return Ok(Tail::OwnRepeat { at: DestOffset(at), shift: dest_end.0 - at });
        }
        match data {
            Some(data) => self.compare(question, &data).await,
            None => Ok(Tail::NotComparable),
        }
    }

    /// The first record of the source, visible to its consumers, that a run of markers on the destination covers:
    /// we have written one too many (M18).
    async fn source_record_under(
        &self,
        question: &TailQuestion,
        markers_from: i64,
    ) -> Result<Option<i64>, Trouble> {
        let end = question.dest_end.0.min(question.source_end.0);
        let mut at = markers_from.max(question.source_start.0);
        while at < end {
            let Some(answer) =
                fetch_at(self.source, &question.tp, at, WALK_BYTES, Isolation::ReadCommitted).await?
            else {
                return Ok(None);
            };
            let aligned = align(answer.records, SourceOffset(at), answer.aborted);
            for piece in aligned.pieces {
                if let Some(first) = first_record(&piece)? {
                    return Ok((first < end).then_some(first));
                }
            }
            if aligned.next.0 <= at {
                return Ok(None);
            }
            at = aligned.next.0;
        }
        Ok(None)
    }

    /// Compares the last record that both sides hold.
    async fn compare(&self, question: &TailQuestion, copy: &FetchedBatch) -> Result<Tail, Trouble> {
        let TailQuestion { tp, dest_start, dest_end, source_start, source_end, .. } = question;
        let last = dest_end.0 - 1;
        if last < source_start.0 || last >= source_end.0 {
            return Ok(Tail::NotComparable);
        }
        let source_epoch = match entry_at(self.source, tp, last, Isolation::ReadUncommitted).await? {
            None => return Ok(Tail::NotComparable),
            // The epoch of what stands right before our end: an earlier one would seem to end too early (M10).
            Some(Entry::Batch(original)) if original.header().base_offset() <= last => {
                let source_epoch = LeaderEpoch(original.header().leader_epoch());
                if same_bytes(&original, copy) {
                    return Ok(Tail::Equal { source_epoch });
                }
                source_epoch
            }
            Some(Entry::Batch(_) | Entry::Old(_)) => LeaderEpoch::UNKNOWN,
        };
        for back in COMMON_BACK {
            let from = (dest_end.0 - back).max(dest_start.0).max(source_start.0);
            let here = stretch(self.source, tp, from, dest_end.0).await?.records;
            let there = stretch(self.dest, tp, from, dest_end.0).await?;
            let common =
                there.records.iter().rev().find_map(|(at, copied)| Some((*at, here.get(at)?, copied)));
            if let Some((at, original, copied)) = common {
                if let Some(difference) = difference(original, copied) {
                    return Ok(Tail::Different { at: SourceOffset(at), difference });
                }
                let odd = self.odd_above(tp, at + 1, dest_end.0, &there).await?;
                return Ok(odd.unwrap_or(Tail::Equal { source_epoch }));
            }
            if from == dest_start.0.max(source_start.0) {
                break;
            }
        }
        Ok(Tail::NotComparable)
    }

    /// Above the last record that both sides hold, what one side shows the other must not deny: a marker of ours over
    /// a record that consumers of the source see is one too many, a record over a marker of the source is none of it.
    async fn odd_above(
        &self,
        tp: &TopicPartition,
        from: i64,
        end: i64,
        there: &Stretch,
    ) -> Result<Option<Tail>, Trouble> {
        let mut at = from;
        while at < end {
            let Some(answer) = fetch_at(self.source, tp, at, WALK_BYTES, Isolation::ReadCommitted).await?
            else {
                return Ok(None);
            };
            let aligned = align(answer.records, SourceOffset(at), answer.aborted);
            for piece in aligned.pieces {
                if let Some(odd) = odd_beside(&piece, there, end)? {
                    return Ok(Some(odd));
                }
            }
            if aligned.next.0 <= at {
                return Ok(None);
            }
            at = aligned.next.0;
        }
        Ok(None)
    }

    /// Anything between two offsets of the destination that is not the link's.
    async fn foreign_between(
        &self,
        tp: &TopicPartition,
        from: i64,
        end: i64,
    ) -> Result<Option<Tail>, Trouble> {
        let mut foreign = None;
        walk(self.dest, tp, from, end, |entry| {
            // The destination writes format 2 only.
            let Entry::Batch(batch) = entry else { return ControlFlow::Continue(()) };
            let header = batch.header();
            let ids = [Some(self.writers.link), self.writers.filler];
            let is_ours = ids.iter().flatten().any(|writer| writer.id == header.producer_id());
            if is_ours {
                return ControlFlow::Continue(());
            }
            let at = DestOffset(header.base_offset());
            foreign = Some(Tail::Foreign { at, producer_id: header.producer_id() });
            ControlFlow::Break(())
        })
        .await?;
        Ok(foreign)
    }
}

/// What of the destination cannot stand beside a piece of the source.
fn odd_beside(piece: &Piece, there: &Stretch, end: i64) -> Result<Option<Tail>, Trouble> {
    let marker_over = |mut offsets: std::ops::Range<i64>| offsets.find(|at| there.markers.contains(at));
    let covered = match piece {
        Piece::Whole(batch) => marker_over(batch.header().base_offset()..batch.header().next_offset()),
        Piece::Records(of) => {
            of.records.iter().map(|record| record.offset).find(|at| there.markers.contains(at))
        }
        Piece::Packed { batch, from } => {
            for piece in unpack(batch, *from).map_err(|unreadable| Trouble::soon(unreadable.0))? {
                if let Some(odd) = odd_beside(&piece, there, end)? {
                    return Ok(Some(odd));
                }
            }
            None
        }
        Piece::Void(span) => {
            let record = there.records.range(span.from.0..span.next.0.min(end)).next();
            return Ok(record.map(|(at, _)| Tail::Different {
                at: SourceOffset(*at),
                difference: "a marker or a rolled-back record here, a record there".to_owned(),
            }));
        }
        // A record over a hole is a repeat, or one that the source has compacted away since.
        Piece::Hole(_) | Piece::Fillers(_) => None,
    };
    Ok(covered.filter(|at| *at < end).map(|at| Tail::OwnRepeat { at: DestOffset(at), shift: end - at }))
}

/// The offset of the first record that consumers see.
fn first_record(piece: &Piece) -> Result<Option<i64>, Trouble> {
    Ok(match piece {
        Piece::Whole(batch) => Some(batch.header().base_offset()),
        Piece::Records(of) => of.records.first().map(|record| record.offset),
        Piece::Packed { batch, from } => {
            let pieces = unpack(batch, *from).map_err(|unreadable| Trouble::soon(unreadable.0))?;
            let records = pieces.iter().filter_map(|piece| match piece {
                Piece::Records(of) => of.records.first(),
                _ => None,
            });
            records.map(|record| record.offset).next()
        }
        Piece::Void(_) | Piece::Hole(_) | Piece::Fillers(_) => None,
    })
}

/// Records that the link's producer did not write. Foreign markers alone prove nothing: they are found by the offsets
/// they take.
fn foreign_data(header: &BatchHeader, writers: Writers) -> Option<Tail> {
    let producer_id = header.producer_id();
    (producer_id != writers.link.id)
        .then(|| Tail::Foreign { at: DestOffset(header.base_offset()), producer_id })
}

fn same_bytes(original: &FetchedBatch, copy: &FetchedBatch) -> bool {
    let (a, b) = (original.header(), copy.header());
    a.base_offset() == b.base_offset()
        && a.record_count() == b.record_count()
        && a.base_timestamp() == b.base_timestamp()
        && a.timestamp_type() == b.timestamp_type()
        && original.payload() == copy.payload()
}

/// The last batch of a log that holds records, looked for a few steps back behind control batches.
async fn last_data(cluster: &Cluster, tp: &TopicPartition, start: i64, end: i64) -> Result<Last, Trouble> {
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
struct Stretch {
    records: BTreeMap<i64, Record>,
    markers: BTreeSet<i64>,
}

async fn stretch(cluster: &Cluster, tp: &TopicPartition, from: i64, end: i64) -> Result<Stretch, Trouble> {
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
async fn walk(
    cluster: &Cluster,
    tp: &TopicPartition,
    from: i64,
    end: i64,
    mut see: impl FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), Trouble> {
    let mut at = from;
    while at < end {
        let bytes = if end - at == 1 { 1 } else { WALK_BYTES };
        let Some(answer) = fetch_at(cluster, tp, at, bytes, Isolation::ReadUncommitted).await? else { break };
        let before = at;
        for entry in entries(answer.records) {
            let entry =
                entry.map_err(|error| Trouble::soon(format!("reading {tp} at offset {at}: {error}")))?;
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

async fn entry_at(
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

async fn fetch_at(
    cluster: &Cluster,
    tp: &TopicPartition,
    offset: i64,
    bytes_max: usize,
    isolation: Isolation,
) -> Result<Option<FetchedPartition>, Trouble> {
    let metadata = cluster.metadata();
    let (Some((node, epoch)), Some(topic)) = (metadata.leader(tp), metadata.topics.get(&tp.topic)) else {
        return Err(Trouble::soon(format!("{tp} has no leader at the moment")));
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
    let trouble =
        |error: lockstep_kafka::Error| Trouble::soon(format!("reading {tp} at offset {offset}: {error}"));
    let connection = cluster.connection(node).await.map_err(trouble)?;
    let answer = fetch_once(&connection, &[target], limits, isolation).await.map_err(trouble)?;
    let Some(partition) = answer.partitions.into_iter().find(|p| p.tp == *tp) else { return Ok(None) };
    match partition.error {
        None => Ok(Some(partition)),
        Some(code) => Err(Trouble::soon(format!("reading {tp} at offset {offset}: {code}"))),
    }
}
