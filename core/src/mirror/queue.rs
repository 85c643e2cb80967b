//! What was fetched and waits to be written: pieces in the order of the log, handed out as the next append or the
//! next run of markers. Merges small batches that wait behind each other (M17) and fills the cleaner's holes with
//! repeats where the destination's cleaner will remove them again (M14). Never changes a record; never looks
//! further than what is there. On failure: the offset that cannot be written, and why.

use std::collections::VecDeque;

use lockstep_batch::build::{self, BuildError, Merger};
use lockstep_batch::header::Codec;
use lockstep_batch::records::{Limits, Record, decode};
use lockstep_batch::view::FetchedBatch;

use super::align::{Piece, Rebuilt, Span, Unreadable, unpack};
use super::cost::{Cost, Method};
use super::sizes::{BUILT_BYTES_MAX, can_be_repeated, follows, is_large, is_small, record_bytes, size};
use super::{Now, WallMillis};
use crate::ids::{LeaderEpoch, SourceOffset};

/// Repeats of one record in one batch.
const REPEATS_MAX: i64 = 100_000;
/// Records in a filler batch: 80 kB at most, since every partition may be at it at once.
const FILLER_SIZES: [u32; 6] = [100_000, 10_000, 1_000, 100, 10, 1];

/// What may stand where the cleaner left a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// Markers: no consumer sees anything.
    Markers,
    /// The source compacts this topic and so will the destination: repeats of the next record go faster.
    Repeats,
}

#[derive(Debug)]
enum Item {
    Piece(Piece),
    /// A hole that is filled by the record behind it.
    Repeats {
        span: Span,
        of: Rebuilt,
    },
}

#[derive(Debug)]
struct Queued<P> {
    item: Item,
    /// `None`: no fetched memory is behind it.
    permit: Option<P>,
    /// Which fetch answer it came in: its permit is kept once.
    answer: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Queue<P> {
    items: VecDeque<Queued<P>>,
    bytes: usize,
    holes: Holes,
    answers: u64,
    /// So many batches at the head are not merged.
    as_they_are: usize,
    /// One of each size, while fillers are being written.
    fillers: Vec<FetchedBatch>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Nothing,
    /// A batch whose newest record has at least this timestamp.
    Batch {
        timestamp_ms: i64,
    },
    Markers,
}

/// A batch on its way out.
#[derive(Debug)]
pub(super) struct Outgoing<P> {
    pub(super) batch: FetchedBatch,
    /// Records of the source in it: repeats and fillers are none.
    pub(super) records: u64,
    /// Whether it fills offsets below the source's log start.
    pub(super) is_filler: bool,
    pub(super) permits: Vec<P>,
}

impl<P> Outgoing<P> {
    fn whole(batch: FetchedBatch, permits: Vec<P>) -> Self {
        let records = batch.header().record_count().unsigned_abs().into();
        Self { batch, records, is_filler: false, permits }
    }
}

impl<P: Clone> Queue<P> {
    pub(super) fn new(holes: Holes) -> Self {
        Self { items: VecDeque::new(), bytes: 0, holes, answers: 0, as_they_are: 0, fillers: Vec::new() }
    }

    /// Holes from now on. Repeats that wait become a hole again: where no cleaner comes, nothing removes them.
    pub(super) fn fill_holes_by(&mut self, holes: Holes) {
        self.holes = holes;
        if let Some(queued) = self.items.front_mut()
            && let Item::Repeats { span, .. } = &queued.item
        {
            queued.item = Item::Piece(Piece::Hole(*span));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the pieces of one fetch answer in.
    pub(super) fn extend(&mut self, pieces: Vec<Piece>, permit: Option<&P>) {
        self.answers += 1;
        for piece in pieces {
            self.bytes += size(&piece);
            // A batch that the cleaner has thinned out ends in a hole and the next one begins with one: taken as one,
            // it has a record behind it.
            if let Some(Queued { item: Item::Piece(last), .. }) = self.items.back_mut()
                && let (Piece::Void(last), Piece::Void(span)) | (Piece::Hole(last), Piece::Hole(span)) =
                    (last, &piece)
                && last.next == span.from
            {
                last.next = span.next;
                continue;
            }
            let (permit, answer) = (permit.cloned(), self.answers);
            self.items.push_back(Queued { item: Item::Piece(piece), permit, answer });
        }
    }

    /// Puts back what is left of a run of markers.
    pub(super) fn put_back(&mut self, span: Span) {
        self.items.push_front(Queued { item: Item::Piece(Piece::Void(span)), permit: None, answer: 0 });
    }

    /// What comes next; takes it apart if it is packed, and decides how a hole at the head is filled.
    pub(super) fn head(&mut self, now: Now) -> Head {
        self.unpack(0);
        self.settle_hole();
        match self.items.front().map(|queued| &queued.item) {
            None => Head::Nothing,
            // Packed: it cannot be unpacked, which `take_batch` will say.
            Some(Item::Piece(Piece::Whole(batch) | Piece::Packed { batch, .. })) => {
                Head::Batch { timestamp_ms: batch.header().max_timestamp() }
            }
            Some(Item::Piece(Piece::Records(of)) | Item::Repeats { of, .. }) => {
                Head::Batch { timestamp_ms: of.records.iter().map(|r| r.timestamp).max().unwrap_or(-1) }
            }
            Some(Item::Piece(Piece::Fillers(_))) => Head::Batch { timestamp_ms: now.wall.0 },
            Some(Item::Piece(Piece::Void(_) | Piece::Hole(_))) => Head::Markers,
        }
    }

    /// What filling the hole at the head costs, if one stands there whose size nobody has agreed to yet.
    pub(super) fn cost_of_head(&self) -> Option<(Span, Cost)> {
        match &self.items.front()?.item {
            Item::Piece(Piece::Hole(span)) => Some((*span, Cost::of(*span, Method::Markers))),
            Item::Piece(Piece::Fillers(span)) => Some((*span, Cost::of(*span, Method::Fillers))),
            Item::Repeats { span, of } => {
                let record_bytes = of.records.first().map_or(0, record_bytes) as u64;
                Some((*span, Cost::of(*span, Method::Repeats { record_bytes })))
            }
            Item::Piece(Piece::Whole(_) | Piece::Packed { .. } | Piece::Records(_) | Piece::Void(_)) => None,
        }
    }

    /// Replaces a packed piece, at the head or right behind it, by what is in it. One that cannot be unpacked stays.
    fn unpack(&mut self, index: usize) {
        let Some(Queued { item: Item::Piece(Piece::Packed { batch, from }), permit, answer }) =
            self.items.get(index)
        else {
            return;
        };
        let Ok(pieces) = unpack(batch, *from) else { return };
        let (permit, answer) = (permit.clone(), *answer);
        let before: Vec<_> = self.items.drain(..=index).collect();
        for piece in pieces.into_iter().rev() {
            self.bytes += size(&piece);
            let permit = permit.clone();
            self.items.push_front(Queued { item: Item::Piece(piece), permit, answer });
        }
        for queued in before.into_iter().rev() {
            match queued.item {
                Item::Piece(Piece::Packed { batch, .. }) => self.bytes -= batch.header().len(),
                Item::Piece(Piece::Hole(hole)) if self.begin_earlier(hole) => {}
                item => self.items.push_front(Queued { item, ..queued }),
            }
        }
    }

    /// Joins a hole with the one at the head, if it ends where that begins.
    fn begin_earlier(&mut self, hole: Span) -> bool {
        match self.items.front_mut() {
            Some(Queued { item: Item::Piece(Piece::Hole(first)), .. }) if first.from == hole.next => {
                first.from = hole.from;
                true
            }
            _ => false,
        }
    }

    /// A hole at the head becomes repeats of the record behind it, or an affair of markers.
    fn settle_hole(&mut self) {
        let is_hole = matches!(self.items.front(), Some(Queued { item: Item::Piece(Piece::Hole(_)), .. }));
        if !is_hole || self.holes == Holes::Markers {
            return;
        }
        self.unpack(1);
        let Some(Queued { item: Item::Piece(Piece::Hole(span)), .. }) = self.items.front() else { return };
        let span = *span;
        let behind = self.items.get(1).and_then(|queued| match &queued.item {
            Item::Piece(Piece::Records(of)) => {
                Some(Rebuilt { records: vec![of.records.first()?.clone()], ..*of })
            }
            Item::Piece(Piece::Whole(batch)) => first_of(batch),
            _ => None,
        });
        let Some(of) = behind.filter(|of| of.records.first().is_some_and(can_be_repeated)) else { return };
        if let Some(queued) = self.items.front_mut() {
            queued.item = Item::Repeats { span, of };
        }
    }

    /// The run of markers at the head: at most `count` of them.
    pub(super) fn take_markers(&mut self, count: u32) -> Option<Span> {
        let mut taken: Option<Span> = None;
        while let Some(Queued { item: Item::Piece(Piece::Void(span) | Piece::Hole(span)), .. }) =
            self.items.front_mut()
        {
            let from = taken.map_or(span.from, |taken| taken.from);
            let next = span.next.min(from.plus(i64::from(count)));
            taken = Some(Span { from, next });
            span.from = next;
            if span.from < span.next {
                break;
            }
            self.items.pop_front();
            self.settle_hole();
        }
        taken
    }

    /// The batch at the head, with whatever is merged into it.
    pub(super) fn take_batch(&mut self, now: Now) -> Option<Result<Outgoing<P>, (SourceOffset, Unreadable)>> {
        let front = self.items.front()?;
        let permits = front.permit.iter().cloned().collect();
        let (at, built) = match &front.item {
            Item::Piece(Piece::Whole(batch)) => {
                let at = SourceOffset(batch.header().base_offset());
                (at, self.take_whole(permits))
            }
            Item::Piece(Piece::Fillers(span)) => (span.from, self.take_fillers(permits, now.wall)),
            Item::Piece(Piece::Records(of)) => {
                let at = SourceOffset(of.records.first()?.offset);
                (at, self.take_records(permits))
            }
            Item::Repeats { span, .. } => (span.from, self.take_records(permits)),
            Item::Piece(Piece::Packed { batch, from }) => {
                let fault = unpack(batch, *from).err();
                return Some(Err((
                    *from,
                    fault.unwrap_or_else(|| Unreadable("it cannot be unpacked".into())),
                )));
            }
            Item::Piece(Piece::Void(_) | Piece::Hole(_)) => return None,
        };
        Some(built.map_err(|error| (at, Unreadable(error.to_string()))))
    }

    /// M17: a small batch takes those behind it along.
    fn take_whole(&mut self, mut permits: Vec<P>) -> Result<Outgoing<P>, BuildError> {
        let Some(first) = self.pop_whole(&mut permits, |_| true) else { return Err(BuildError::NoRecord) };
        let may_merge = self.as_they_are == 0;
        self.as_they_are = self.as_they_are.saturating_sub(1);
        if !may_merge || !is_small(&first) || !self.next_whole().is_some_and(|next| follows(&first, next)) {
            return Ok(Outgoing::whole(first, permits));
        }
        let mut merger = match Merger::start(first, BUILT_BYTES_MAX) {
            Ok(merger) => merger,
            Err(alone) => return Ok(Outgoing::whole(alone, permits)),
        };
        let wanted = |merger: &Merger, next: &FetchedBatch| is_small(next) && merger.accepts(next.header());
        while let Some(next) = self.pop_whole(&mut permits, |next| wanted(&merger, next)) {
            if merger.push(next).is_err() {
                break; // `accepts` has said that it fits
            }
        }
        match merger.merge() {
            Ok(batch) => Ok(Outgoing::whole(batch, permits)),
            Err(_) => self.send_as_they_are(merger.into_batches(), permits),
        }
    }

    /// One of them is damaged: the destination has to see that for itself, then they are fetched anew (M7).
    fn send_as_they_are(
        &mut self,
        batches: Vec<FetchedBatch>,
        permits: Vec<P>,
    ) -> Result<Outgoing<P>, BuildError> {
        let mut batches = batches.into_iter();
        let first = batches.next().ok_or(BuildError::NoRecord)?;
        self.as_they_are = batches.len();
        for batch in batches.rev() {
            let piece = Piece::Whole(batch);
            self.bytes += size(&piece);
            let permit = permits.first().cloned();
            self.items.push_front(Queued { item: Item::Piece(piece), permit, answer: 0 });
        }
        Ok(Outgoing::whole(first, permits))
    }

    fn next_whole(&self) -> Option<&FetchedBatch> {
        match &self.items.front()?.item {
            Item::Piece(Piece::Whole(batch)) => Some(batch),
            _ => None,
        }
    }

    fn pop_whole(
        &mut self,
        permits: &mut Vec<P>,
        wanted: impl Fn(&FetchedBatch) -> bool,
    ) -> Option<FetchedBatch> {
        self.next_whole().filter(|batch| wanted(batch))?;
        match self.pop(permits)? {
            Item::Piece(Piece::Whole(batch)) => Some(batch),
            _ => None,
        }
    }

    /// Takes the item at the head out; keeps the permit of each fetch answer once.
    fn pop(&mut self, permits: &mut Vec<P>) -> Option<Item> {
        let Queued { item, permit, answer } = self.items.pop_front()?;
        if let Item::Piece(piece) = &item {
            self.bytes -= size(piece);
        }
        // The first permit is there already; from then on only an answer's last piece brings its own.
        if self.items.front().is_none_or(|next| next.answer != answer) {
            permits.extend(permit);
        }
        Some(item)
    }

    /// A batch of the largest size that fits; made once for each size, so that a long row of them costs no memory.
    fn take_fillers(&mut self, permits: Vec<P>, now: WallMillis) -> Result<Outgoing<P>, BuildError> {
        let Some(Queued { item: Item::Piece(Piece::Fillers(span)), .. }) = self.items.front_mut() else {
            return Err(BuildError::NoRecord);
        };
        let left = span.offsets();
        let size = FILLER_SIZES.into_iter().find(|size| u64::from(*size) <= left).unwrap_or(1);
        let batch = match self.fillers.iter().find(|batch| batch.header().record_count() == size as i32) {
            Some(made) => made.clone(),
            None => {
                // Where they stand is said by the append: a filler names no offset of its own.
                let made = build::filler(0, size, now.0)?;
                self.fillers.push(made.clone());
                made
            }
        };
        span.from = span.from.plus(i64::from(size));
        if span.from >= span.next {
            self.items.pop_front();
            self.fillers.clear();
        }
        Ok(Outgoing { batch, records: 0, is_filler: true, permits })
    }

    /// Records that need a batch of their own, with repeats before and between them, up to about
    /// [`BUILT_BYTES_MAX`] as plain bytes.
    fn take_records(&mut self, mut permits: Vec<P>) -> Result<Outgoing<P>, BuildError> {
        if let Some(large) = self.take_large_repeats(&permits)? {
            return Ok(large);
        }
        let (mut dense, mut bytes, mut own) = (Vec::<Record>::new(), 0, 0u64);
        let (mut codec, mut epoch, mut repeats) = (Codec::None, LeaderEpoch::UNKNOWN, false);
        while let Some(Queued { item, .. }) = self.items.front() {
            let (of, more) = match item {
                Item::Repeats { span, of } if !is_large(*span, of) => {
                    (of, span.offsets() as usize * of.records.first().map_or(0, record_bytes))
                }
                Item::Piece(Piece::Records(of)) => (of, of.records.iter().map(record_bytes).sum()),
                _ => break,
            };
            let fits = dense.is_empty() || (bytes + more <= BUILT_BYTES_MAX && of.codec == codec);
            if !fits {
                break;
            }
            (codec, epoch, bytes) = (of.codec, of.epoch, bytes + more);
            match self.pop(&mut permits) {
                Some(Item::Repeats { span, of }) => {
                    let Some(record) = of.records.first() else { continue };
                    repeats = true;
                    dense
                        .extend((span.from.0..span.next.0).map(|offset| Record { offset, ..record.clone() }));
                }
                Some(Item::Piece(Piece::Records(of))) => {
                    own += of.records.len() as u64;
                    dense.extend(of.records);
                }
                _ => break,
            }
            self.unpack(0);
            self.settle_hole();
        }
        if repeats && codec == Codec::None {
            // Repeats of what is not packed would take their full size in memory and on disk.
            codec = Codec::Lz4;
        }
        let batch = build::batch(&dense, codec, epoch.0)?;
        Ok(Outgoing { batch, records: own, is_filler: false, permits })
    }

    /// A long row of repeats goes out by itself, packed as tightly as there is.
    fn take_large_repeats(&mut self, permits: &[P]) -> Result<Option<Outgoing<P>>, BuildError> {
        let Some(Queued { item: Item::Repeats { span, of }, .. }) = self.items.front_mut() else {
            return Ok(None);
        };
        let Some(record) = of.records.first().filter(|_| is_large(*span, of)) else { return Ok(None) };
        let room = (16 * BUILT_BYTES_MAX / record_bytes(record)).max(1);
        let count =
            i64::try_from(room).unwrap_or(REPEATS_MAX).min(REPEATS_MAX).min(span.next.0 - span.from.0);
        let batch = build::repeat(record, span.from.0, count as u32, Codec::Zstd)?;
        span.from = span.from.plus(count);
        if span.from >= span.next {
            self.items.pop_front();
        }
        Ok(Some(Outgoing { batch, records: 0, is_filler: false, permits: permits.to_vec() }))
    }
}

/// The first record of a batch; `None` if it cannot be trusted or read: the destination will say so in its turn.
fn first_of(batch: &FetchedBatch) -> Option<Rebuilt> {
    if !batch.view().checksum_holds() {
        return None;
    }
    let record = decode(&batch.view(), Limits::default()).ok()?.next()?.ok()?;
    let codec = batch.header().codec().ok()?;
    Some(Rebuilt { records: vec![record], codec, epoch: LeaderEpoch(batch.header().leader_epoch()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Millis;
    use crate::mirror::sizes::REPEATED_RECORD_BYTES_MAX;
    use crate::mirror::testing::{large, packed, record, small};
    use std::rc::Rc;

    const WALL: i64 = 1_700_000_000_000;
    const NOW: Now = Now { mono: Millis(0), wall: WallMillis(WALL) };

    /// M21: a topic that is no longer compacted has nobody who removes repeats.
    #[test]
    fn repeats_that_wait_become_markers_when_the_cleaner_ceases() {
        let pieces = vec![Piece::Hole(span(0, 3)), Piece::Whole(small(3, 2, WALL))];
        let mut queue = queue(Holes::Repeats, pieces);
        assert!(matches!(queue.head(NOW), Head::Batch { .. }), "repeats of the record behind");
        queue.fill_holes_by(Holes::Markers);
        assert_eq!(queue.head(NOW), Head::Markers);
        assert_eq!(queue.take_markers(10), Some(span(0, 3)));
        let batch = queue.take_batch(NOW).unwrap().unwrap();
        assert_eq!((batch.batch.header().base_offset(), batch.records), (3, 2));
    }

    fn span(from: i64, next: i64) -> Span {
        Span { from: SourceOffset(from), next: SourceOffset(next) }
    }

    fn queue(holes: Holes, pieces: Vec<Piece>) -> Queue<Rc<()>> {
        let mut queue = Queue::new(holes);
        queue.extend(pieces, Some(&Rc::new(())));
        queue
    }

    fn wholes(batches: Vec<FetchedBatch>) -> Vec<Piece> {
        batches.into_iter().map(Piece::Whole).collect()
    }

    fn rebuilt(records: Vec<Record>) -> Piece {
        Piece::Records(Rebuilt { records, codec: Codec::None, epoch: LeaderEpoch(3) })
    }

    fn next(queue: &mut Queue<Rc<()>>) -> Outgoing<Rc<()>> {
        assert!(matches!(queue.head(NOW), Head::Batch { .. }), "{:?}", queue.head(NOW));
        queue.take_batch(NOW).unwrap().unwrap()
    }

    fn records(out: &Outgoing<Rc<()>>) -> Vec<Record> {
        assert!(out.batch.view().checksum_holds());
        decode(&out.batch.view(), Limits::default()).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn offsets(out: &Outgoing<Rc<()>>) -> (i64, i64) {
        (out.batch.header().base_offset(), out.batch.header().next_offset())
    }

    // ── runs of markers ──

    #[test]
    fn markers_behind_each_other_are_one_run_whatever_they_stand_for() {
        let pieces = vec![
            Piece::Void(span(0, 2)),
            Piece::Void(span(2, 3)),
            Piece::Hole(span(3, 7)),
            Piece::Void(span(7, 8)),
            Piece::Whole(small(8, 1, WALL)),
        ];
        let mut queue = queue(Holes::Markers, pieces);
        assert_eq!(queue.len(), 4, "voids are joined as they come");
        assert_eq!(queue.head(NOW), Head::Markers);
        assert_eq!(queue.take_markers(5), Some(span(0, 5)));
        assert_eq!(queue.take_markers(5), Some(span(5, 8)));
        assert_eq!(queue.take_markers(5), None, "data");
        assert_eq!(offsets(&next(&mut queue)), (8, 9));
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn voids_of_two_answers_are_joined_only_if_they_touch() {
        let mut queue = queue(Holes::Markers, vec![Piece::Void(span(0, 2))]);
        queue.extend(vec![Piece::Void(span(2, 5))], Some(&Rc::new(())));
        assert_eq!((queue.len(), queue.take_markers(100)), (1, Some(span(0, 5))));
        queue.put_back(span(3, 5));
        assert_eq!((queue.head(NOW), queue.take_markers(100)), (Head::Markers, Some(span(3, 5))));
    }

    /// Two thinned batches: without joining the hole between them, its first part would become markers, which stay on
    /// the mirror's disk longer than repeats do.
    #[test]
    fn a_hole_over_two_batches_is_filled_by_the_record_behind_it() {
        let first = vec![rebuilt(vec![record(0, WALL)]), Piece::Hole(span(1, 10)), Piece::Hole(span(10, 13))];
        let mut queue = queue(Holes::Repeats, first);
        queue.extend(vec![Piece::Hole(span(13, 14)), rebuilt(vec![record(14, WALL)])], Some(&Rc::new(())));
        let out = next(&mut queue);
        assert_eq!((offsets(&out), out.records), ((0, 15), 2));
        assert!(queue.is_empty());
    }

    // ── merging ──

    #[test]
    fn small_batches_that_follow_each_other_become_one() {
        let mut queue = queue(Holes::Markers, wholes((0..5).map(|at| small(at * 2, 2, WALL + at)).collect()));
        let out = next(&mut queue);
        let expected: Vec<_> = (0..10).map(|at| record(at, WALL + at / 2)).collect();
        assert_eq!((records(&out), out.records), (expected, 10));
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    #[test]
    fn large_ones_gaps_markers_and_other_codecs_end_a_merge() {
        let pieces = vec![
            Piece::Whole(small(0, 1, WALL)),
            Piece::Whole(small(1, 1, WALL)),
            Piece::Whole(large(2, 1, WALL)),
            Piece::Whole(small(3, 1, WALL)),
            Piece::Whole(packed(4, 1, WALL, Codec::Gzip)),
            Piece::Void(span(5, 6)),
            Piece::Whole(packed(6, 1, WALL, Codec::Gzip)),
        ];
        let mut queue = queue(Holes::Markers, pieces);
        let taken: Vec<_> = (0..4).map(|_| offsets(&next(&mut queue))).collect();
        assert_eq!(taken, [(0, 2), (2, 3), (3, 4), (4, 5)]);
        assert_eq!(queue.take_markers(9), Some(span(5, 6)));
        assert_eq!(offsets(&next(&mut queue)), (6, 7));
    }

    #[test]
    fn a_merged_batch_stays_bounded() {
        let mut queue = queue(Holes::Markers, wholes((0..30).map(middling).collect()));
        let one = middling(0).header().len();
        let out = next(&mut queue);
        assert!(out.batch.header().len() <= BUILT_BYTES_MAX, "{}", out.batch.header().len());
        assert_eq!(out.records, (BUILT_BYTES_MAX / one) as u64, "as many as fit");
        assert!(!queue.is_empty());
    }

    /// A record of 30 kB: still small.
    fn middling(at: i64) -> FetchedBatch {
        let value = Some(bytes::Bytes::from(vec![7; 30 << 10]));
        build::batch(&[Record { value, ..record(at, WALL) }], Codec::None, 6).unwrap()
    }

    #[test]
    fn permits_stay_until_the_last_batch_of_their_answer_is_out() {
        let permits = [Rc::new(()), Rc::new(()), Rc::new(())];
        let mut queue = Queue::new(Holes::Markers);
        queue.extend(wholes(vec![small(0, 1, WALL), small(1, 1, WALL)]), Some(&permits[0]));
        queue.extend(wholes(vec![small(2, 1, WALL)]), Some(&permits[1]));
        queue.extend(wholes(vec![small(3, 1, WALL), large(4, 1, WALL)]), Some(&permits[2]));
        let merged = next(&mut queue);
        assert_eq!(offsets(&merged), (0, 4));
        let held = |permit: &Rc<()>| Rc::strong_count(permit) > 1;
        assert!(permits.iter().all(held));
        drop(merged);
        assert_eq!(permits.each_ref().map(held), [false, false, true], "one batch of the third still waits");
        drop(next(&mut queue));
        assert!(!permits.iter().any(held));
    }

    #[test]
    fn batches_one_of_which_is_damaged_go_out_as_they_came() {
        let mut bytes = bytes::BytesMut::from(&small(1, 1, WALL).bytes()[..]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let damaged = FetchedBatch::parse(bytes.freeze()).unwrap();
        let batches = vec![small(0, 1, WALL), damaged.clone(), small(2, 1, WALL), small(3, 1, WALL)];
        let mut queue = queue(Holes::Markers, wholes(batches.clone()));
        for batch in &batches {
            assert_eq!(next(&mut queue).batch.bytes(), batch.bytes(), "untouched");
        }
        assert!(queue.is_empty() && queue.bytes() == 0);
    }

    // ── holes on compacted topics ──

    #[test]
    fn a_hole_is_filled_with_the_record_behind_it() {
        let batch = small(3, 2, WALL);
        let pieces = vec![Piece::Hole(span(0, 3)), Piece::Whole(batch.clone())];
        let mut filled = queue(Holes::Repeats, pieces.clone());
        assert!(matches!(filled.head(NOW), Head::Batch { timestamp_ms: WALL }));
        let (hole, cost) = filled.cost_of_head().unwrap();
        assert!(hole == span(0, 3) && matches!(cost.method, Method::Repeats { .. }), "{cost}");
        let out = next(&mut filled);
        let repeats: Vec<_> = (0..3).map(|offset| Record { offset, ..record(3, WALL) }).collect();
        assert_eq!((records(&out), out.records), (repeats, 0), "repeats are none of the source's records");
        assert_eq!(next(&mut filled).batch.bytes(), batch.bytes());
        assert_eq!(queue(Holes::Markers, pieces).head(NOW), Head::Markers);
    }

    #[test]
    fn holes_between_records_are_filled_in_the_same_batch() {
        let pieces = vec![
            rebuilt(vec![record(0, WALL)]),
            Piece::Hole(span(1, 3)),
            rebuilt(vec![record(3, WALL), record(4, WALL)]),
            Piece::Hole(span(5, 6)),
        ];
        let mut queue = queue(Holes::Repeats, pieces);
        let out = next(&mut queue);
        let keys: Vec<_> =
            records(&out).into_iter().map(|record| (record.offset, record.key.unwrap())).collect();
        let expected = [(0, "k0"), (1, "k3"), (2, "k3"), (3, "k3"), (4, "k4")];
        assert_eq!(keys, expected.map(|(at, key)| (at, bytes::Bytes::from(key))));
        assert_eq!(out.records, 3);
        assert_eq!(queue.head(NOW), Head::Markers, "nothing is behind the last hole yet");
    }

    #[test]
    fn what_cannot_be_repeated_leaves_the_hole_to_markers() {
        let keyless = Record { key: None, ..record(3, WALL) };
        let value = Some(bytes::Bytes::from(vec![0; REPEATED_RECORD_BYTES_MAX]));
        let big = Record { value, ..record(3, WALL) };
        for record in [keyless, big] {
            let hole = Piece::Hole(span(0, 3));
            let behind = build::batch(std::slice::from_ref(&record), Codec::None, 6).unwrap();
            for behind in [rebuilt(vec![record.clone()]), Piece::Whole(behind)] {
                let mut queue = queue(Holes::Repeats, vec![hole.clone(), behind]);
                assert_eq!(
                    queue.head(NOW),
                    Head::Markers,
                    "a null key is refused there (87), a big one too dear"
                );
            }
        }
        let mut queue = queue(Holes::Repeats, vec![Piece::Hole(span(0, 3)), Piece::Void(span(3, 4))]);
        assert_eq!(queue.head(NOW), Head::Markers);
    }

    #[test]
    fn many_repeats_go_out_in_pieces_without_a_gap() {
        let count = 250_000;
        let pieces = vec![Piece::Hole(span(0, count)), Piece::Whole(small(count, 1, WALL))];
        let mut queue = queue(Holes::Repeats, pieces);
        let mut at = 0;
        while at < count {
            let out = next(&mut queue);
            let (base, next) = offsets(&out);
            assert!(base == at && next - base <= REPEATS_MAX, "{base}..{next} at {at}");
            assert_eq!((out.records, out.batch.header().missing_records()), (0, 0));
            let first = decode(&out.batch.view(), Limits::default()).unwrap().next().unwrap().unwrap();
            assert_eq!(first, Record { offset: at, ..record(count, WALL) });
            at = next;
        }
        assert_eq!((at, offsets(&next(&mut queue))), (count, (count, count + 1)));
        assert!(queue.is_empty());
    }

    // ── late log starts ──

    #[test]
    fn fillers_are_told_from_data_and_reach_exactly_to_the_start() {
        let count = 200_011;
        let mut queue = queue(Holes::Markers, vec![Piece::Fillers(span(5, 5 + count))]);
        assert!(matches!(queue.cost_of_head(), Some((_, Cost { method: Method::Fillers, .. }))));
        let mut counts = Vec::new();
        while !queue.is_empty() {
            let out = next(&mut queue);
            assert!(out.is_filler && out.records == 0 && build::is_filler(&out.batch));
            counts.push(out.batch.header().record_count());
        }
        assert_eq!(counts, [100_000, 100_000, 10, 1]);
        assert!(queue.is_empty());
    }
}
