//! The last record below the destination's end, on both sides (M8, step 5), and who wrote it.
//! Reads one batch per side; memory is reserved for it. Only what both sides still hold is compared.

use std::time::Duration;

use lockstep_batch::header::BatchHeader;
use lockstep_batch::records::{self, Limits, Record};
use lockstep_batch::split::split;
use lockstep_batch::view::FetchedBatch;
use lockstep_core::compare::difference;
use lockstep_core::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::opening::{Displaced, Tail};
use lockstep_kafka::Cluster;
use lockstep_kafka::fetch::{FetchLimits, FetchTarget, Isolation, fetch_once};

use super::budget::Budget;

/// What a tail check usually takes: one batch of a producer's default maximum on each side.
const TAIL_BYTES: usize = 2 << 20;

/// Where to look, and what is known of both logs.
#[derive(Clone, Debug)]
pub struct TailQuestion {
    pub tp: TopicPartition,
    pub dest_start: DestOffset,
    pub dest_end: DestOffset,
    pub source_start: SourceOffset,
    pub source_end: SourceOffset,
    /// An append meant for `at` landed at `landed`: see who stands at `at`.
    pub displaced: Option<Displaced>,
}

/// Looks at the tail of one partition.
pub async fn look(
    source: &Cluster,
    dest: &Cluster,
    ours: ProducerIdentity,
    budget: &Budget,
    question: TailQuestion,
) -> Result<Tail, Trouble> {
    // A quarter at most: in a small budget under load the whole of it is never free.
    let _permit = budget.reserve(TAIL_BYTES.min(budget.capacity_bytes() / 4)).await;
    let TailQuestion { tp, dest_start, dest_end, .. } = &question;
    if let Some(displaced) = question.displaced
        && let Some(batch) = batch_at(dest, tp, displaced.at.0, Isolation::ReadUncommitted).await?
    {
        let shift = displaced.landed.0 - displaced.at.0;
        let foreign = foreign(batch.header(), ours);
        return Ok(foreign.unwrap_or(Tail::OwnRepeat { at: displaced.at, shift }));
    }
    if dest_end <= dest_start {
        return Ok(Tail::Empty);
    }
    let last = dest_end.0 - 1;
    let Some(copy) = batch_at(dest, tp, last, Isolation::ReadUncommitted).await? else {
        return Ok(Tail::NotComparable);
    };
    if let Some(foreign) = foreign(copy.header(), ours) {
        return Ok(foreign);
    }
    if last < question.source_start.0 || last >= question.source_end.0 {
        return Ok(Tail::NotComparable);
    }
    let Some(original) = batch_at(source, tp, last, Isolation::ReadUncommitted).await? else {
        return Ok(Tail::NotComparable);
    };
    compare(&original, &copy, last)
}

/// A batch that the link's producer did not write.
fn foreign(header: &BatchHeader, ours: ProducerIdentity) -> Option<Tail> {
    let producer_id = header.producer_id();
    (producer_id != ours.id).then(|| Tail::Foreign { at: DestOffset(header.base_offset()), producer_id })
}

fn compare(original: &FetchedBatch, copy: &FetchedBatch, offset: i64) -> Result<Tail, Trouble> {
    let equal = Tail::Equal { source_epoch: LeaderEpoch(original.header().leader_epoch()) };
    let (a, b) = (original.header(), copy.header());
    let same_shape = a.base_offset() == b.base_offset()
        && a.record_count() == b.record_count()
        && a.base_timestamp() == b.base_timestamp();
    if same_shape && original.payload() == copy.payload() {
        return Ok(equal);
    }
    Ok(match (record_at(original, offset)?, record_at(copy, offset)?) {
        (Some(here), Some(there)) => match difference(&here, &there) {
            None => equal,
            Some(difference) => Tail::Different { at: SourceOffset(offset), difference },
        },
        _ => Tail::NotComparable,
    })
}

fn record_at(batch: &FetchedBatch, offset: i64) -> Result<Option<Record>, Trouble> {
    let all = records::decode(&batch.view(), Limits::default())
        .map_err(|error| Trouble::soon(format!("the batch at offset {offset} cannot be read: {error}")))?;
    for record in all {
        let record =
            record.map_err(|error| Trouble::soon(format!("the record at offset {offset}: {error}")))?;
        if record.offset == offset {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The batch that holds `offset`, or the next one after it; `None` if the answer is empty.
pub async fn batch_at(
    cluster: &Cluster,
    tp: &TopicPartition,
    offset: i64,
    isolation: Isolation,
) -> Result<Option<FetchedBatch>, Trouble> {
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
        // One byte: the broker answers the first batch whole, whatever its size (KIP-74).
        partition_bytes_max: 1,
    };
    let limits = FetchLimits { max_wait: Duration::ZERO, min_bytes: 0, bytes_max: 1 };
    let trouble =
        |error: lockstep_kafka::Error| Trouble::soon(format!("reading {tp} at offset {offset}: {error}"));
    let connection = cluster.connection(node).await.map_err(trouble)?;
    let answer = fetch_once(&connection, &[target], limits, isolation).await.map_err(trouble)?;
    let Some(partition) = answer.partitions.into_iter().find(|p| p.tp == *tp) else { return Ok(None) };
    if let Some(code) = partition.error {
        return Err(Trouble::soon(format!("reading {tp} at offset {offset}: {code}")));
    }
    match split(partition.records).next() {
        None => Ok(None),
        Some(Ok(batch)) => Ok(Some(batch)),
        Some(Err(error)) => Err(Trouble::soon(format!("reading {tp} at offset {offset}: {error}"))),
    }
}
