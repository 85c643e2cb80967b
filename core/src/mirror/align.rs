//! A fetch answer as what has to be written so that every offset holds the same on both sides (M11, M12, M17).
//! Flow: records of one partition → [`Piece`]s without a gap between them → `queue`. Promises: an offset is left to
//! markers only where the source shows that no consumer sees a record there: a control batch, a rolled-back record,
//! or a hole proven by the next base offset in the same answer. Never guesses at the end of an answer. On failure:
//! the pieces before it, and what could not be read.

use bytes::Bytes;
use lockstep_batch::header::{BatchHeader, Codec};
use lockstep_batch::legacy::OldEntry;
use lockstep_batch::records::control::{self, ControlKind};
use lockstep_batch::records::{Limits, Record, decode};
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
    let decoded = decode(&batch.view(), Limits::default()).map_err(unreadable)?;
    let records: Vec<_> = decoded.collect::<Result<_, _>>().map_err(unreadable)?;
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
