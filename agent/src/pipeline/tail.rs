//! The end of the destination's log beside the source's (M8, step 5), and who wrote it: the last record that both
//! sides hold is equal, and the markers behind it cover nothing that the source shows its consumers.
//! Reads a few batches per side; memory is reserved for them. Only what both sides still hold is compared.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use lockstep_batch::build::is_filler;
use lockstep_batch::header::BatchHeader;
use lockstep_batch::split::Entry;
use lockstep_batch::view::FetchedBatch;
use lockstep_core::compare::difference;
use lockstep_core::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicPartition};
use lockstep_core::mirror::Trouble;
use lockstep_core::mirror::align::{Piece, align, unpack};
use lockstep_core::mirror::opening::{Displaced, Tail};
use lockstep_kafka::Cluster;
use lockstep_kafka::fetch::Isolation;

use super::budget::Budget;
use super::names::{DestPartition, Twin};
use super::peek::{Last, Stretch, WALK_BYTES, entry_at, fetch_at, last_data, stretch, walk};

/// What a tail check usually takes: one batch of a producer's default maximum on each side.
const TAIL_BYTES: usize = 2 << 20;
/// How far back a record is looked for that both sides hold: compaction leaves different ones for a while.
const COMMON_BACK: [i64; 3] = [64, 1_024, 8_192];

/// Where to look, and what is known of both logs.
#[derive(Clone, Debug)]
pub struct TailQuestion {
    pub twin: Twin,
    pub dest_start: DestOffset,
    pub dest_end: DestOffset,
    pub source_start: SourceOffset,
    pub source_end: SourceOffset,
    /// Something of ours did not land at its place: see who stands there.
    pub displaced: Option<Displaced>,
}

/// What stands on a former primary below these offsets was agreed upon at its last promotion, whoever wrote it (M27).
/// By the destination's own names.
pub type Inherited = BTreeMap<TopicPartition, DestOffset>;

/// Whose batches belong on a mirror.
#[derive(Clone, Debug)]
pub struct Writers {
    pub inherited: Arc<Inherited>,
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

impl TailReader<'_> {
    /// Looks at the tail of one partition.
    pub async fn look(&self, question: &TailQuestion) -> Result<Tail, Trouble> {
        // A quarter at most: in a small budget under load the whole of it is never free.
        let _permit = self.budget.reserve(TAIL_BYTES.min(self.budget.capacity_bytes() / 4)).await;
        let TailQuestion { twin, dest_start, dest_end, .. } = question;
        if let Some(displaced) = question.displaced {
            let landed = displaced.landed.0.min(dest_end.0);
            if landed > displaced.at.0 {
                let foreign = self.foreign_between(&twin.dest, displaced.from.0, landed).await?;
                let shift = displaced.landed.0 - displaced.at.0;
                return Ok(foreign.unwrap_or(Tail::OwnRepeat { at: displaced.at, shift }));
            }
        }
        if dest_end <= dest_start {
            return Ok(Tail::Empty);
        }
        let Last { data, markers_from } =
            last_data(self.dest, twin.dest.there(), dest_start.0, dest_end.0).await?;
        if let Some(data) = &data {
            if let Some(foreign) = foreign_data(data.header(), twin.dest.there(), &self.writers) {
                return Ok(foreign);
            }
            if markers_from == dest_end.0 && is_filler(data) {
                return Ok(Tail::Filler);
            }
        }
        if let Some(at) = self.source_record_under(question, markers_from).await? {
            return Ok(Tail::OwnRepeat { at: DestOffset(at), shift: dest_end.0 - at });
        }
        // Nothing but markers stands behind the source's end: it has lost no record, there are markers too many.
        let source_end = question.source_end.0;
        if (markers_from..dest_end.0).contains(&source_end) {
            return Ok(Tail::OwnRepeat { at: DestOffset(source_end), shift: dest_end.0 - source_end });
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
        let from = markers_from.max(question.source_start.0);
        self.first_of_source(&question.twin.source, from, end, |piece| {
            Ok(first_record(piece)?.filter(|first| *first < end))
        })
        .await
    }

    /// Goes through what consumers of the source see between two offsets, until something is found. `None` also
    /// where the source has nothing more to say.
    async fn first_of_source<T>(
        &self,
        tp: &TopicPartition,
        from: i64,
        end: i64,
        find: impl Fn(&Piece) -> Result<Option<T>, Trouble>,
    ) -> Result<Option<T>, Trouble> {
        let mut at = from;
        while at < end {
            let Some(answer) = fetch_at(self.source, tp, at, WALK_BYTES, Isolation::ReadCommitted).await?
            else {
                return Ok(None);
            };
            let aligned = align(answer.records, SourceOffset(at), answer.aborted);
            for piece in &aligned.pieces {
                if let Some(found) = find(piece)? {
                    return Ok(Some(found));
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
        let TailQuestion { twin, dest_start, dest_end, source_start, source_end, .. } = question;
        let tp = &twin.source;
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
            let there = stretch(self.dest, twin.dest.there(), from, dest_end.0).await?;
            let common =
                there.records.iter().rev().find_map(|(at, copied)| Some((*at, here.get(at)?, copied)));
            if let Some((at, original, copied)) = common {
                if let Some(difference) = difference(original, copied) {
                    return Ok(Tail::Different { at: SourceOffset(at), difference });
                }
                let odd = self.odd_above(twin, at + 1, dest_end.0, &there).await?;
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
        twin: &Twin,
        from: i64,
        end: i64,
        there: &Stretch,
    ) -> Result<Option<Tail>, Trouble> {
        // A former primary holds what its clients rolled back, where the other side holds markers (M27): what stands
        // below the cut was agreed upon as a whole.
        let cut = self.writers.inherited.get(twin.dest.there());
        let from = cut.map_or(from, |cut| from.max(cut.0));
        self.first_of_source(&twin.source, from, end, |piece| odd_beside(piece, there, end)).await
    }

    /// Anything between two offsets of the destination that is not the link's.
    async fn foreign_between(
        &self,
        partition: &DestPartition,
        from: i64,
        end: i64,
    ) -> Result<Option<Tail>, Trouble> {
        let mut foreign = None;
        walk(self.dest, partition.there(), from, end, |entry| {
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
            // What the source says of offsets behind our end is of no interest (and no range).
            let until = span.next.0.min(end).max(span.from.0);
            let record = there.records.range(span.from.0..until).next();
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
fn foreign_data(header: &BatchHeader, tp: &TopicPartition, writers: &Writers) -> Option<Tail> {
    let producer_id = header.producer_id();
    let is_inherited = writers.inherited.get(tp).is_some_and(|cut| DestOffset(header.next_offset()) <= *cut);
    (producer_id != writers.link.id && !is_inherited)
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
