//! A fetch answer as what has to be written so that every offset holds the same on both sides (M11, M12, M17).
//! Flow: records of one partition → [`Piece`]s without a gap between them → `queue`. Promises: an offset is left to
//! markers only where the source shows that no consumer sees a record there: a control batch, a rolled-back record,
//! or a hole proven by the next base offset in the same answer. Never guesses at the end of an answer. On failure:
//! the pieces before it, and what could not be read.

use bytes::Bytes;
use lockstep_batch::build;
use lockstep_batch::header::{BatchHeader, Codec};
use lockstep_batch::legacy::OldEntry;
use lockstep_batch::records::control::{self, ControlKind};
use lockstep_batch::records::{Limits, Record};
use lockstep_batch::rewrite::{Obstacle, obstacle};
use lockstep_batch::split::{Entry, entries};
use lockstep_batch::view::FetchedBatch;

use crate::ids::{LeaderEpoch, SourceOffset};
use crate::transactions::{AbortedFilter, AbortedTransaction, Fate};

/// Source offsets from `from` up to, not including, `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: SourceOffset,
    pub next: SourceOffset,
}

impl Span {
    pub fn offsets(&self) -> u64 {
        (self.next.0 - self.from.0).max(0).unsigned_abs()
    }
}

/// Something to be written, in the order of the log.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A batch that goes out as it was fetched, under a new header (M4).
    Whole(FetchedBatch),
    /// A batch that has to be taken apart (thinned by the cleaner, broker time, our end inside it): done when its turn
    /// comes, since its records take more memory than was fetched. Its checksum was found right.
    Packed { batch: FetchedBatch, from: SourceOffset },
    /// Records that need a batch of their own (M17).
    Records(Rebuilt),
    /// Offsets that never held a record for consumers: commit and abort markers, rolled-back records (M12).
    Void(Span),
    /// Offsets that hold nothing any more: the cleaner was there.
    Hole(Span),
    /// Offsets below the source's log start, on a destination that holds nothing yet (M14).
    Fillers(Span),
}

/// Records at consecutive offsets, one at least, that cannot go out in the batch they came in.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    pub records: Vec<Record>,
    pub codec: Codec,
    pub epoch: LeaderEpoch,
}

/// Why the batch at an offset cannot be taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

/// What a fetch answer holds from the expected offset on.
#[derive(Debug)]
pub struct Aligned {
    /// Without a gap between them, from the expected offset up to `next`.
    pub pieces: Vec<Piece>,
    /// Where the next fetch starts.
    pub next: SourceOffset,
    /// The source's leader epoch of the last batch; unknown if there was none (M10).
    pub last_epoch: LeaderEpoch,
    /// What could not be read, at `next`.
    pub refused: Option<Unreadable>,
}

/// Takes the answer to a read_committed fetch from `expected` apart. `aborted`: what the same answer says of
/// transactions that were rolled back.
pub fn align(records: Bytes, expected: SourceOffset, aborted: Vec<AbortedTransaction>) -> Aligned {
    let mut filter = AbortedFilter::new(aborted);
    let mut aligned = Aligned::from(expected);
    for entry in entries(records) {
        let taken = match entry {
            Ok(Entry::Batch(batch)) => aligned.take(batch, &mut filter),
            Ok(Entry::Old(old)) => aligned.take_old(&old),
            Err(error) => Err(unreadable(error)),
        };
        if let Err(what) = taken {
            aligned.refused = Some(what);
            break;
        }
    }
    aligned
}

/// Takes a [`Piece::Packed`] apart: its records from `from` on, as runs of consecutive offsets, and the holes.
pub fn unpack(batch: &FetchedBatch, from: SourceOffset) -> Result<Vec<Piece>, Unreadable> {
    let header = batch.header();
    let codec = header.codec().map_err(unreadable)?;
    let records = build::records(batch, from.0).map_err(unreadable)?;
    let mut aligned = Aligned::from(from);
    aligned.take_records(records, codec, LeaderEpoch(header.leader_epoch()));
    // Offsets behind the last surviving record are the batch's too.
    aligned.hole_up_to(SourceOffset(header.next_offset()));
    Ok(aligned.pieces)
}

impl Aligned {
    fn from(expected: SourceOffset) -> Self {
        Self { pieces: Vec::new(), next: expected, last_epoch: LeaderEpoch::UNKNOWN, refused: None }
    }

    fn take(&mut self, batch: FetchedBatch, filter: &mut AbortedFilter) -> Result<(), Unreadable> {
        let header = *batch.header();
        let control = control_kind(&batch)?;
        let fate = filter.fate(&header, control);
        let next = SourceOffset(header.next_offset());
        // A fetch answers from the start of a batch; the filter has seen it all the same.
        if next <= self.next {
            return Ok(());
        }
        match fate {
            Fate::Control => self.void_up_to(&header, next),
            Fate::Aborted => {
                // Dropped, so no broker will look at its checksum: a damaged header must not decide.
                trust(&batch)?;
                self.void_up_to(&header, next);
            }
            Fate::Committed => self.take_committed(batch, &header)?,
        }
        self.last_epoch = LeaderEpoch(header.leader_epoch());
        Ok(())
    }

    fn take_committed(&mut self, batch: FetchedBatch, header: &BatchHeader) -> Result<(), Unreadable> {
        let base = SourceOffset(header.base_offset());
        let next = SourceOffset(header.next_offset());
        match obstacle(header) {
            None if base >= self.next => {
                self.hole_up_to(base);
                self.pieces.push(Piece::Whole(batch));
                self.next = next;
            }
            Some(Obstacle::Empty { .. }) => {
                trust(&batch)?;
                self.hole_up_to(next);
            }
            Some(Obstacle::UnknownCodec { code }) => {
                return Err(unreadable(format!("compression codec {code} is not known")));
            }
            _ => {
                trust(&batch)?;
                self.hole_up_to(base);
                self.pieces.push(Piece::Packed { batch, from: self.next });
                self.next = next;
            }
        }
        Ok(())
    }

    /// Message formats 0 and 1: no transactions, no epochs, records with offsets of their own (M17).
    fn take_old(&mut self, old: &OldEntry) -> Result<(), Unreadable> {
        if SourceOffset(old.last_offset()) < self.next {
            return Ok(());
        }
        let records = old.records(Limits::default()).map_err(unreadable)?;
        let codec = old.codec().map_err(unreadable)?;
        self.take_records(records, codec, LeaderEpoch::UNKNOWN);
        self.last_epoch = LeaderEpoch::UNKNOWN;
        Ok(())
    }

    /// The records from `next` on, as runs of consecutive offsets with the holes between them.
    fn take_records(&mut self, records: Vec<Record>, codec: Codec, epoch: LeaderEpoch) {
        let mut run: Vec<Record> = Vec::new();
        for record in records {
            let at = SourceOffset(record.offset);
            if at < self.next {
                continue;
            }
            if at > self.next {
                self.end_run(&mut run, codec, epoch);
                self.hole_up_to(at);
            }
            self.next = at.plus(1);
            run.push(record);
        }
        self.end_run(&mut run, codec, epoch);
    }

    fn end_run(&mut self, run: &mut Vec<Record>, codec: Codec, epoch: LeaderEpoch) {
        if !run.is_empty() {
            self.pieces.push(Piece::Records(Rebuilt { records: std::mem::take(run), codec, epoch }));
        }
    }

    fn hole_up_to(&mut self, next: SourceOffset) {
        if next > self.next {
            self.pieces.push(Piece::Hole(Span { from: self.next, next }));
            self.next = next;
        }
    }

    /// A batch without anything for consumers, and the hole before it if there is one.
    fn void_up_to(&mut self, header: &BatchHeader, next: SourceOffset) {
        self.hole_up_to(SourceOffset(header.base_offset()));
        self.pieces.push(Piece::Void(Span { from: self.next, next }));
        self.next = next;
    }
}

/// What a control batch says: it decides on other batches' records, so its checksum is looked at first.
fn control_kind(batch: &FetchedBatch) -> Result<Option<ControlKind>, Unreadable> {
    if !batch.header().is_control() {
        return Ok(None);
    }
    trust(batch)?;
    control::kind(&batch.view()).map_err(unreadable)
}

fn trust(batch: &FetchedBatch) -> Result<(), Unreadable> {
    if batch.view().checksum_holds() {
        Ok(())
    } else {
        Err(unreadable(format!("the checksum of the batch at {} is wrong", batch.header().base_offset())))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "so that it serves map_err as it is")]
fn unreadable(reason: impl std::fmt::Display) -> Unreadable {
    Unreadable(format!("{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::testing::{Ends, Plain, batch, emptied, in_transaction, marker, record};
    use bytes::BytesMut;

    const LOG_APPEND_TIME: i16 = 0x08;
    const CONTROL: i16 = 0x20;

    fn answer(batches: &[FetchedBatch]) -> Bytes {
        let mut bytes = BytesMut::new();
        batches.iter().for_each(|batch| bytes.extend_from_slice(batch.bytes()));
        bytes.freeze()
    }

    fn aborted(list: &[(i64, i64)]) -> Vec<AbortedTransaction> {
        let of = |(producer_id, first_offset): &(i64, i64)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        };
        list.iter().map(of).collect()
    }

    /// The pieces, what is packed taken apart.
    fn flat(aligned: &Aligned) -> Vec<Piece> {
        let apart = |piece: &Piece| match piece {
            Piece::Packed { batch, from } => unpack(batch, *from).unwrap(),
            other => vec![other.clone()],
        };
        aligned.pieces.iter().flat_map(apart).collect()
    }

    /// Each piece as a word and its offsets; without a gap between them, or it fails.
    fn told(aligned: &Aligned, expected: i64) -> Vec<String> {
        let mut at = expected;
        let mut words = Vec::new();
        for piece in &flat(aligned) {
            let (word, from, next) = match piece {
                Piece::Whole(batch) => ("whole", batch.header().base_offset(), batch.header().next_offset()),
                Piece::Records(of) => {
                    let offsets: Vec<_> = of.records.iter().map(|record| record.offset).collect();
                    assert!(offsets.windows(2).all(|two| two[1] == two[0] + 1), "{offsets:?}");
                    ("records", offsets[0], offsets[offsets.len() - 1] + 1)
                }
                Piece::Void(span) => ("void", span.from.0, span.next.0),
                Piece::Hole(span) => ("hole", span.from.0, span.next.0),
                Piece::Packed { .. } => unreachable!("taken apart"),
                Piece::Fillers(span) => ("fillers", span.from.0, span.next.0),
            };
            assert!(from == at && next > from, "{word} {from}..{next} at {at}");
            words.push(format!("{word} {from}..{next}"));
            at = next;
        }
        assert_eq!(aligned.next, SourceOffset(at));
        words
    }

    fn taken(batches: &[FetchedBatch], expected: i64, list: &[(i64, i64)]) -> (Vec<String>, Aligned) {
        let aligned = align(answer(batches), SourceOffset(expected), aborted(list));
        (told(&aligned, expected), aligned)
    }

    fn thinned(kept: &[i64], last_offset: i64) -> FetchedBatch {
        Plain { last_offset, ..Plain::of(kept.iter().map(|at| record(*at)).collect()) }.fetched()
    }

    #[test]
    fn an_empty_answer_proves_nothing() {
        let aligned = align(Bytes::new(), SourceOffset(5), Vec::new());
        assert!(aligned.pieces.is_empty() && aligned.refused.is_none());
        assert_eq!((aligned.next, aligned.last_epoch), (SourceOffset(5), LeaderEpoch::UNKNOWN));
    }

    #[test]
    fn holes_before_inside_and_behind_a_thinned_batch_are_told_from_its_records() {
        let mut late = Plain::of(vec![record(14), record(15), record(18)]);
        (late.base_offset, late.last_offset) = (12, 20);
        let (told, aligned) = taken(&[late.fetched(), batch(25..27)], 10, &[]);
        assert_eq!(
            told,
            [
                "hole 10..12",
                "hole 12..14",
                "records 14..16",
                "hole 16..18",
                "records 18..19",
                "hole 19..21",
                "hole 21..25",
                "whole 25..27"
            ]
        );
        let Piece::Records(first) = &flat(&aligned)[2] else { panic!("records") };
        assert_eq!(first.records, [record(14), record(15)]);
    }

    #[test]
    fn a_hole_is_proven_by_the_next_batch_only() {
        assert_eq!(taken(&[batch(5..7)], 0, &[]).0, ["hole 0..5", "whole 5..7"]);
        assert_eq!(taken(&[emptied(3..9)], 0, &[]).0, ["hole 0..9"]);
    }

    #[test]
    fn markers_emptied_ones_too_and_rolled_back_records_are_void() {
        let emptied_marker = Plain { attributes: CONTROL, records: Vec::new(), ..Plain::of(vec![record(6)]) };
        let log = [
            in_transaction(4, 0..2),
            batch(2..3),
            in_transaction(4, 3..5),
            marker(4, 5, Ends::Abort),
            emptied_marker.fetched(),
            in_transaction(4, 7..8),
            marker(4, 8, Ends::Commit),
        ];
        let (told, _) = taken(&log, 0, &[(4, 0)]);
        let expected =
            ["void 0..2", "whole 2..3", "void 3..5", "void 5..6", "void 6..7", "whole 7..8", "void 8..9"];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_transaction_begun_before_the_position_is_void_from_there_on() {
        let log = [in_transaction(4, 50..53), marker(4, 53, Ends::Abort), in_transaction(4, 54..55)];
        assert_eq!(taken(&log, 51, &[(4, 10)]).0, ["void 51..53", "void 53..54", "whole 54..55"]);
    }

    /// Story: the batch before the position is skipped, and with it the marker that ends a rolled-back transaction.
    #[test]
    fn what_lies_before_the_position_still_decides_fates() {
        let log = [marker(4, 9, Ends::Abort), in_transaction(4, 10..12)];
        assert_eq!(taken(&log, 10, &[(4, 5)]).0, ["whole 10..12"]);
    }

    #[test]
    fn inside_a_batch_the_rest_of_its_records_is_taken() {
        let (told, aligned) = taken(&[batch(0..5), batch(5..6)], 3, &[]);
        assert_eq!(told, ["records 3..5", "whole 5..6"]);
        let Piece::Records(rest) = &flat(&aligned)[0] else { panic!("records") };
        assert_eq!(rest.records, [record(3), record(4)]);
        assert!(taken(&[batch(0..5)], 5, &[]).0.is_empty(), "all of it lies before the position");
    }

    #[test]
    fn the_brokers_time_becomes_the_records_own() {
        let mut plain = Plain::of(vec![record(0), record(1)]);
        plain.attributes = LOG_APPEND_TIME;
        let (told, aligned) = taken(&[plain.fetched()], 0, &[]);
        assert_eq!(told, ["records 0..2"]);
        let Piece::Records(of) = &flat(&aligned)[0] else { panic!("records") };
        let appended = record(1).timestamp;
        assert!(of.records.iter().all(|record| record.timestamp == appended), "{:?}", of.records);
    }

    #[test]
    fn what_decides_or_is_dropped_is_not_trusted_damaged() {
        let damage = |batch: &FetchedBatch| {
            let mut bytes = BytesMut::from(&batch.bytes()[..]);
            let last = bytes.len() - 1;
            bytes[last] ^= 0x40;
            FetchedBatch::parse(bytes.freeze()).unwrap()
        };
        let refused = [
            (damage(&marker(4, 2, Ends::Commit)), &[][..]),
            (damage(&in_transaction(4, 2..4)), &[(4, 2)][..]),
            (damage(&thinned(&[2, 4], 4)), &[][..]),
        ];
        for (damaged, list) in refused {
            let (told, aligned) = taken(&[batch(0..2), damaged], 0, list);
            assert_eq!(told, ["whole 0..2"], "what lies before it is taken");
            assert_eq!(aligned.refused, Some(unreadable("the checksum of the batch at 2 is wrong")));
        }
        // The destination looks at this one's checksum itself (M4).
        assert_eq!(taken(&[damage(&batch(0..2))], 0, &[]).0, ["whole 0..2"]);
    }

    #[test]
    fn the_epoch_is_the_last_batchs_and_a_codec_of_the_future_is_refused() {
        let (_, aligned) = taken(&[batch(0..2)], 0, &[]);
        assert_eq!(aligned.last_epoch, LeaderEpoch(3));
        let mut plain = Plain::of(vec![record(2)]);
        plain.attributes = 7;
        let (told, aligned) = taken(&[batch(0..2), plain.fetched()], 0, &[]);
        assert_eq!(told, ["whole 0..2"]);
        assert!(aligned.refused.is_some_and(|what| what.0.contains("codec 7")));
    }
}
