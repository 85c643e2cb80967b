//! A partition while it copies: what was fetched and not sent, what was sent and not answered.
//! Promises: a batch is sent only where it is known to fit (M5), pipelined only while the broker is sure to
//! remember us (M6, M7); markers go alone, and what follows them only behind an end that was read (M13); a receipt
//! leaves only when everything before it is durable. Never retries: the first answer that is not the expected one
//! ends this state.

use bytes::Bytes;
use lockstep_batch::rewrite::{MirroredBatch, Stamp, next_sequence, rewrite};

use super::align::{Piece, Span, align};
use super::answers::{Meaning, settle_append, settle_markers};
use super::cost::{AlignmentBudget, Cost};
use super::guard::Guard;
use super::markers::{MARKERS_MAX, MarkerAnswer, MarkerRun, SequenceBehind};
use super::opening::{Footing, Ownership, Position};
use super::queue::{Head, Holes, Outgoing, Queue};
use super::signals::Licence;
use super::verdict::Verdict;
use super::window::{Ticket, Window};
use super::{Millis, Now, Trouble};
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset};
use crate::transactions::AbortedTransaction;

/// The broker remembers the last five batches of a producer (Kafka: `ProducerStateEntry`).
pub const IN_FLIGHT_MAX: usize = 5;

/// An unguarded append rests on an end read or acknowledged at most this long ago (M6): shorter than a new
/// owner's standstill, so that two owners do not both believe in the same end.
pub const UNGUARDED_END_FRESH_MS: u64 = 1_000;

/// Pieces that may wait: they can be small, and the queue's own memory is not in the budget.
const PIECES_MAX: usize = 20_000;

/// A hole of at least this many offsets is announced before it is filled.
const ANNOUNCED_OFFSETS_MIN: u64 = 10_000;

/// One append to perform: the batch must land exactly at `expect`.
#[derive(Debug)]
pub struct Append {
    pub ticket: Ticket,
    pub expect: DestOffset,
    pub batch: MirroredBatch,
}

/// Proof that offsets are durable on the destination, everything before them included. Hands the permits back.
#[must_use = "a receipt moves the checkpoint and releases its permits"]
#[derive(Debug)]
pub struct AppendReceipt<P> {
    pub from: DestOffset,
    /// The offset behind the last one: the destination is complete up to here.
    pub next: DestOffset,
    pub content: Content,
    pub bytes: usize,
    /// Of the newest record: what the broker remembers our producer by.
    pub max_timestamp_ms: i64,
    pub permits: Vec<P>,
}

/// What offsets on their way hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many records of the source, and for the rest of the offsets repeats.
    Records(u64),
    Markers(MarkersBy),
    /// Empty records below the source's log start: to be deleted (M14).
    Fillers,
}

/// Whose producer the broker remembers by markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkersBy {
    Link,
    /// Empty transactions (M15): of the link's own producer the broker learns nothing.
    Filler,
}

/// What the destination answered to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendAnswer {
    /// Success; the records stand at this offset.
    Acknowledged { base: DestOffset },
    /// Anything else: refused, timed out, connection lost.
    Failed(Trouble),
}

/// What may go out now.
#[derive(Debug)]
pub(super) enum Step {
    Append(Append),
    Mark(MarkerRun),
    /// A large hole is about to be filled.
    Announce {
        from: SourceOffset,
        cost: Cost,
    },
}

#[derive(Debug)]
pub(super) struct Sent<P> {
    pub(super) expect: DestOffset,
    pub(super) next: DestOffset,
    pub(super) content: Content,
    pub(super) bytes: usize,
    pub(super) last_timestamp_ms: i64,
    pub(super) permits: Vec<P>,
}

/// Whether the sequence we count from belongs to the offset we write at. They were read one after the other,
/// and somebody's append may have landed in between: the first append then is refused, but one pipelined behind
/// it could carry just the sequence that comes next and land at a wrong offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    Assumed,
    /// Something of ours was acknowledged at its place.
    Proven,
}

/// How holes are filled, as told at birth.
#[derive(Clone, Copy, Debug)]
pub struct Filling {
    pub holes: Holes,
    pub budget: AlignmentBudget,
}

/// Everything known while copying.
#[derive(Debug)]
pub(super) struct Copying<P> {
    queue: Queue<P>,
    filling: Filling,
    /// Where the next fetch starts.
    pub(super) fetch_at: SourceOffset,
    /// The source's leader epoch of the last fetched batch (M10).
    pub(super) last_epoch: LeaderEpoch,
    send_at: DestOffset,
    next_sequence: i32,
    /// Of the last marker on this partition: the next ones are above it (M13).
    coordinator_epoch: i32,
    /// Timestamp of the newest batch with a receipt; `None` until the broker knows us here (M7). Not of the
    /// newest answer: answers may come out of order, and the broker goes by the newest batch.
    known: Option<i64>,
    alignment: Alignment,
    footing: Footing,
    /// No marker of a dead owner can be on its way: the end stood still, or something of ours has been acknowledged
    /// since. Such markers go only to the very place where its log ended (M8, M13).
    markers_are_safe: bool,
    end_known_at: Millis,
    /// The large hole announced last ends here.
    announced: SourceOffset,
    pub(super) window: Window<Sent<P>>,
    /// What cannot be copied: everything before it still is.
    pub(super) wall: Option<Verdict>,
}

impl<P: Clone> Copying<P> {
    /// `first`: the name of the first append.
    pub(super) fn new(position: Position, filling: Filling, first: Ticket, now: Now) -> Self {
        Self {
            queue: Queue::new(filling.holes),
            filling,
            fetch_at: position.end.origin(),
            last_epoch: position.last_epoch,
            send_at: position.end,
            next_sequence: position.next_sequence,
            coordinator_epoch: position.coordinator_epoch,
            known: position.known,
            alignment: Alignment::Assumed,
            footing: match position.footing {
                // Nothing is known of before.
                Footing::AsBefore => Footing::Remembered,
                footing => footing,
            },
            markers_are_safe: position.footing == Footing::StoodStill,
            end_known_at: now.mono,
            announced: position.end.origin(),
            window: Window::starting_at(first),
            wall: None,
        }
    }

    /// The source's log starts later than ours ends: those offsets are filled first (M9, M14).
    pub(super) fn fill_up_to(&mut self, start: SourceOffset, dest_is_empty: bool) {
        let span = Span { from: self.fetch_at, next: start };
        let piece = if dest_is_empty { Piece::Fillers(span) } else { Piece::Hole(span) };
        self.queue.extend(vec![piece], None);
        self.fetch_at = start;
        self.last_epoch = LeaderEpoch::UNKNOWN;
    }

    /// Goes on behind an end that was read once more: what was fetched is kept, or a source that takes longer
    /// to answer than an end stays fresh would never be copied. `None`: the end is another one.
    pub(super) fn resume(self, position: Position, now: Now) -> Option<Self> {
        if position.end != self.send_at {
            return None;
        }
        let fresh = Self::new(position, self.filling, self.window.next_ticket(), now);
        let markers_are_safe = self.markers_are_safe || fresh.markers_are_safe;
        let footing = if position.footing == Footing::AsBefore { self.footing } else { fresh.footing };
        let Self { queue, fetch_at, last_epoch, announced, wall, .. } = self;
        Some(Self { queue, fetch_at, last_epoch, announced, wall, footing, markers_are_safe, ..fresh })
    }

    /// M21: holes that are not on their way yet are filled so.
    pub(super) fn fill_holes_by(&mut self, holes: Holes) {
        self.filling.holes = holes;
        self.queue.fill_holes_by(holes);
    }

    /// Whether there is room for another fetch answer: bytes that have no receipt yet, and pieces.
    pub(super) fn has_room(&self, bytes_max: usize) -> bool {
        self.queue.bytes() + self.window.bytes() < bytes_max && self.queue.len() < PIECES_MAX
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.window.is_empty()
    }

    /// Where the next append belongs.
    pub(super) fn next_to_send(&self) -> DestOffset {
        self.send_at
    }

    /// Takes the records of one fetch answer in. Returns what cannot be read, if something cannot.
    pub(super) fn take(
        &mut self,
        records: Bytes,
        aborted: Vec<AbortedTransaction>,
        permit: &P,
    ) -> Option<Verdict> {
        let aligned = align(records, self.fetch_at, aborted);
        if aligned.next > self.fetch_at {
            self.last_epoch = aligned.last_epoch;
            self.fetch_at = aligned.next;
        }
        self.queue.extend(aligned.pieces, Some(permit));
        let at = self.fetch_at;
        aligned.refused.map(|what| Verdict::Unreadable { at, reason: what.0 })
    }

    /// What may go out now.
    pub(super) fn next_step(&mut self, ours: ProducerIdentity, guard: Guard, now: Now) -> Option<Step> {
        let head = self.queue.head(now);
        if head == Head::Nothing || !self.may_send(head, guard, now) {
            return None;
        }
        if let Some((span, cost)) = self.queue.cost_of_head()
            && span.next > self.announced
        {
            self.announced = span.next;
            if !self.filling.budget.covers(&cost) {
                self.end_at(Verdict::NeedsDecision { at: span.from, next: span.next, cost });
                return None;
            }
            if cost.offsets >= ANNOUNCED_OFFSETS_MIN {
                return Some(Step::Announce { from: span.from, cost });
            }
        }
        if head == Head::Markers {
            return self.next_run(now).map(Step::Mark);
        }
        match self.queue.take_batch(now)? {
            Ok(outgoing) => Some(Step::Append(self.append(outgoing, ours))),
            Err((at, what)) => {
                self.end_at(Verdict::Unreadable { at, reason: what.0 });
                None
            }
        }
    }

    /// Nothing from here on can be written; what is in flight still counts.
    fn end_at(&mut self, verdict: Verdict) {
        self.queue = Queue::new(self.filling.holes);
        self.wall = Some(verdict);
    }

    fn append(&mut self, outgoing: Outgoing<P>, ours: ProducerIdentity) -> Append {
        let Outgoing { batch, records, is_filler, permits } = outgoing;
        let stamp =
            Stamp { producer_id: ours.id, producer_epoch: ours.epoch, base_sequence: self.next_sequence };
        let header = batch.header();
        let count = header.record_count();
        let expect = self.send_at;
        let next = expect.plus(i64::from(count));
        let sent = Sent {
            expect,
            next,
            content: if is_filler { Content::Fillers } else { Content::Records(records) },
            bytes: header.len(),
            last_timestamp_ms: header.max_timestamp(),
            permits,
        };
        let mirrored = rewrite(&batch, stamp);
        self.next_sequence = next_sequence(self.next_sequence, count);
        self.send_at = next;
        let ticket = self.window.push(sent.bytes, sent);
        Append { ticket, expect, batch: mirrored }
    }

    /// M12: the offsets at the head, as far as one request reaches.
    fn next_run(&mut self, now: Now) -> Option<MarkerRun> {
        let span = self.queue.take_markers(MARKERS_MAX)?;
        // A request holds MARKERS_MAX at most.
        let count = u32::try_from(span.offsets()).ok()?;
        let from = self.send_at;
        let next = from.plus(i64::from(count));
        let sent = Sent {
            expect: from,
            next,
            content: Content::Markers(MarkersBy::Link),
            bytes: 0,
            // They carry the broker's clock of when they are written: not before now. An answer can be late.
            last_timestamp_ms: now.wall.0,
            // What stood there is not written: its memory is free.
            permits: Vec::new(),
        };
        let ticket = self.window.push(0, sent);
        self.send_at = next;
        Some(MarkerRun { ticket, from, count, above_coordinator_epoch: self.coordinator_epoch })
    }

    /// Whether the head of the queue may go out with this leave. Where others may write too, only what the broker would
    /// refuse from two (M5, M6): not the first batch it learns us by (M7), nothing old, no markers and nothing in place
    /// of them (M13).
    pub(super) fn is_licensed(&mut self, licence: Licence, guard: Guard, now: Now) -> bool {
        match (licence, self.queue.head(now)) {
            (Licence::Everything, _) | (_, Head::Nothing) => true,
            (Licence::Nothing, _) | (Licence::Guarded, Head::Markers) => false,
            (Licence::Guarded, head @ Head::Batch { .. }) => {
                self.is_guarded(guard, now)
                    && !is_old(head, guard, now)
                    && self.queue.cost_of_head().is_none()
            }
        }
    }

    /// Others may have written since. Guarded, we would hear of it: from here on the end rests on the broker's memory of
    /// us. Else true: it has to be looked at anew.
    pub(super) fn doubt_others(&mut self, guard: Guard, now: Now) -> bool {
        self.markers_are_safe = false;
        self.footing = Footing::Remembered;
        !self.is_guarded(guard, now)
    }

    /// Why the end has to be read once more before the head of the queue may be sent: who may have moved it.
    /// `None` while anything of ours is in flight, or if it may be sent.
    pub(super) fn doubts_end(&mut self, guard: Guard, now: Now) -> Option<Ownership> {
        let head = self.queue.head(now);
        self.doubts_end_before(head, guard, now)
    }

    fn doubts_end_before(&self, head: Head, guard: Guard, now: Now) -> Option<Ownership> {
        if head == Head::Nothing || !self.window.is_empty() {
            None
        } else if self.needs_standstill(head, guard, now) {
            Some(Ownership::UnknownUnguarded)
        } else if self.end_is_stale(head, guard, now) {
            Some(Ownership::Ours { end: self.send_at })
        } else {
            None
        }
    }

    /// The last word of the destination about its end is a second old, and no memory of us stands in for it:
    /// unguarded data (M6), or markers, which carry no sequence at all (M13).
    fn end_is_stale(&self, head: Head, guard: Guard, now: Now) -> bool {
        (head == Head::Markers || !self.is_guarded(guard, now))
            && now.mono.since(self.end_known_at) > UNGUARDED_END_FRESH_MS
    }

    /// Whether somebody's earlier requests may still land where the head of the queue belongs, and the broker's
    /// memory of us would not tell: before old data, which make the broker forget us (M6), before markers, and before
    /// records that fill a hole, which a dead owner may have begun to fill with markers.
    fn needs_standstill(&self, head: Head, guard: Guard, now: Now) -> bool {
        match head {
            Head::Nothing => false,
            Head::Markers => !self.markers_are_safe,
            Head::Batch { .. } => {
                let fills = self.queue.cost_of_head().is_some();
                (fills && !self.markers_are_safe)
                    || (self.footing == Footing::Remembered && is_old(head, guard, now))
            }
        }
    }

    fn may_send(&self, head: Head, guard: Guard, now: Now) -> bool {
        if self.window.is_empty() {
            return self.doubts_end_before(head, guard, now).is_none();
        }
        self.window.len() < IN_FLIGHT_MAX
            && head != Head::Markers
            && self.window.iter().all(|sent| !matches!(sent.content, Content::Markers(_)))
            && self.alignment == Alignment::Proven
            // Old data go alone: behind a pipeline that ends in them, all of it could be written once more.
            && !is_old(head, guard, now)
            && self.is_guarded(guard, now)
    }

    /// M6, M7: the broker has acknowledged us here, and neither what it holds nor what is in flight is old.
    pub(super) fn is_guarded(&self, guard: Guard, now: Now) -> bool {
        self.known.is_some_and(|t| guard.is_young(t, now.wall))
            && self.window.iter().all(|sent| guard.is_young(sent.last_timestamp_ms, now.wall))
    }

    /// The next receipt; the broker knows us by the batch it is for.
    pub(super) fn next_receipt(&mut self) -> Option<AppendReceipt<P>> {
        let receipt = next_receipt(&mut self.window)?;
        if receipt.content != Content::Markers(MarkersBy::Filler) {
            self.known = Some(receipt.max_timestamp_ms);
        }
        Some(receipt)
    }

    /// M5: what an answer says about where our records stand.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: AppendAnswer, now: Now) -> Meaning {
        let meaning = settle_append(&mut self.window, ticket, answer);
        self.note(meaning, now)
    }

    /// M13: what the end behind a run of markers says about it.
    pub(super) fn marked(&mut self, ticket: Ticket, answer: MarkerAnswer, now: Now) -> Meaning {
        let answer = match answer {
            MarkerAnswer::Written { coordinator_epoch, sequence, .. } => {
                self.coordinator_epoch = self.coordinator_epoch.max(coordinator_epoch);
                self.check_sequence(sequence).map_or(answer, MarkerAnswer::Failed)
            }
            failed @ MarkerAnswer::Failed(_) => failed,
        };
        let meaning = settle_markers(&mut self.window, ticket, answer);
        if let Meaning::PartlyWritten { left } = &meaning {
            self.send_at = left.from.mirrored();
            self.queue.put_back(*left);
        }
        self.note(meaning, now)
    }

    /// A marker introduces a producer that was not known without a sequence: then data begin at 0. Any other surprise,
    /// a broker that has forgotten us too, is a doubt: what was read behind the end must not be paired with it (M8), and
    /// an append that is still on its way could fit behind a sequence that begins anew.
    fn check_sequence(&mut self, sequence: SequenceBehind) -> Option<Trouble> {
        match sequence {
            SequenceBehind::AsBefore => None,
            SequenceBehind::After(-1) if self.known.is_none() => {
                self.next_sequence = 0;
                None
            }
            SequenceBehind::After(last) if next_sequence(last, 1) == self.next_sequence => None,
            SequenceBehind::After(last) => {
                Some(Trouble::soon(format!("behind markers the broker knows our sequence {last}, not ours")))
            }
        }
    }

    fn note(&mut self, meaning: Meaning, now: Now) -> Meaning {
        if matches!(meaning, Meaning::AsExpected | Meaning::PartlyWritten { .. }) {
            self.alignment = Alignment::Proven;
            self.markers_are_safe = true;
            self.end_known_at = now.mono;
        }
        meaning
    }
}

fn is_old(head: Head, guard: Guard, now: Now) -> bool {
    matches!(head, Head::Batch { timestamp_ms } if !guard.is_young(timestamp_ms, now.wall))
}

/// The next receipt of a window, copying or draining.
pub(super) fn next_receipt<P>(window: &mut Window<Sent<P>>) -> Option<AppendReceipt<P>> {
    window.release().map(|sent| AppendReceipt {
        from: sent.expect,
        next: sent.next,
        content: sent.content,
        bytes: sent.bytes,
        max_timestamp_ms: sent.last_timestamp_ms,
        permits: sent.permits,
    })
}
