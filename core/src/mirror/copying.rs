//! A partition while it copies: what was fetched and not sent, what was sent and not answered.
//! Promises: a batch is sent only where it is known to fit (M5), pipelined only while the broker is sure to
//! remember us (M6, M7), and a receipt leaves only when everything before it is durable.
//! Never retries: the first answer that is not the expected one ends this state.

use std::collections::VecDeque;

use bytes::Bytes;
use lockstep_batch::rewrite::{MirroredBatch, Stamp, next_sequence, rewrite};
use lockstep_batch::split::split;
use lockstep_batch::view::FetchedBatch;

use super::admit::{Admission, admit, refuse_unreadable};
use super::guard::Guard;
use super::opening::{Displaced, Footing, Ownership, Position};
use super::verdict::Unsupported;
use super::window::{Ticket, Window};
use super::{Millis, Now, Trouble};
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset};

/// The broker remembers the last five batches of a producer (Kafka: `ProducerStateEntry`).
pub const IN_FLIGHT_MAX: usize = 5;

/// An unguarded append rests on an end read or acknowledged at most this long ago (M6): shorter than a new
/// owner's standstill, so that two owners do not both believe in the same end.
pub const UNGUARDED_END_FRESH_MS: u64 = 1_000;

/// One append to perform: the batch must land exactly at `expect`.
#[derive(Debug)]
pub struct Append {
    pub ticket: Ticket,
    pub expect: DestOffset,
    pub batch: MirroredBatch,
}

/// Proof that a batch is durable on the destination, everything before it included. Hands the permit back.
#[must_use = "a receipt moves the checkpoint and releases its permit"]
#[derive(Debug)]
pub struct AppendReceipt<P> {
    pub from: DestOffset,
    /// The offset behind the last record: the destination is complete up to here.
    pub next: DestOffset,
    pub bytes: usize,
    pub max_timestamp_ms: i64,
    pub permit: P,
}

/// What the destination answered to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendAnswer {
    /// Success; the records stand at this offset.
    Acknowledged { base: DestOffset },
    /// Anything else: refused, timed out, connection lost.
    Failed(Trouble),
}

/// What an answer means for the state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    AsExpected,
    /// Drain and ask the destination.
    Doubt {
        trouble: Trouble,
        displaced: Option<Displaced>,
    },
    /// Nothing of ours.
    Stale,
}

#[derive(Debug)]
struct Queued<P> {
    batch: FetchedBatch,
    permit: P,
}

#[derive(Debug)]
pub(super) struct Sent<P> {
    expect: DestOffset,
    next: DestOffset,
    bytes: usize,
    last_timestamp_ms: i64,
    permit: P,
}

/// Whether the sequence we count from belongs to the offset we write at. They were read one after the other,
/// and somebody's append may have landed in between: the first append then is refused, but one pipelined behind
/// it could carry just the sequence that comes next and land at a wrong offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    Assumed,
    /// An append of ours was acknowledged at its place.
    Proven,
}

/// Everything known while copying.
#[derive(Debug)]
pub(super) struct Copying<P> {
    queue: VecDeque<Queued<P>>,
    queue_bytes: usize,
    /// Where the next fetch starts.
    pub(super) fetch_at: SourceOffset,
    /// The source's leader epoch of the last fetched batch (M10).
    pub(super) last_epoch: LeaderEpoch,
    send_at: DestOffset,
    next_sequence: i32,
    /// Timestamp of the newest batch with a receipt; `None` until the broker knows us here (M7). Not of the
    /// newest answer: answers may come out of order, and the broker goes by the newest batch.
    known: Option<i64>,
    alignment: Alignment,
    footing: Footing,
    end_known_at: Millis,
    pub(super) window: Window<Sent<P>>,
    /// The offset that cannot be copied: everything before it still is.
    pub(super) wall: Option<(SourceOffset, Unsupported)>,
}

impl<P: Clone> Copying<P> {
    /// `first`: the name of the first append.
    pub(super) fn new(position: Position, first: Ticket, now: Now) -> Self {
        Self {
            queue: VecDeque::new(),
            queue_bytes: 0,
            fetch_at: position.end.origin(),
            last_epoch: position.last_epoch,
            send_at: position.end,
            next_sequence: position.next_sequence,
            known: position.known,
            alignment: Alignment::Assumed,
            footing: position.footing,
            end_known_at: now.mono,
            window: Window::starting_at(first),
            wall: None,
        }
    }

    /// Goes on behind an end that was read once more: what was fetched is kept, or a source that takes longer
    /// to answer than an end stays fresh would never be copied. `None`: the end is another one.
    pub(super) fn resume(self, position: Position, now: Now) -> Option<Self> {
        if position.end != self.send_at {
            return None;
        }
        let fresh = Self::new(position, self.window.next_ticket(), now);
        let Self { queue, queue_bytes, fetch_at, last_epoch, wall, .. } = self;
        Some(Self { queue, queue_bytes, fetch_at, last_epoch, wall, ..fresh })
    }

    /// Bytes fetched that have no receipt yet.
    pub(super) fn buffered_bytes(&self) -> usize {
        self.queue_bytes + self.window.bytes()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.window.is_empty()
    }

    /// Where the next append belongs.
    pub(super) fn next_to_send(&self) -> DestOffset {
        self.send_at
    }

    /// Takes the records of one fetch answer in. Returns what cannot be copied, if something cannot.
    pub(super) fn take(&mut self, records: Bytes, permit: &P) -> Option<(SourceOffset, Unsupported)> {
        for item in split(records) {
            let (batch, admission) = match item {
                Ok(batch) => {
                    let admission = admit(batch.header(), self.fetch_at);
                    (Some(batch), admission)
                }
                Err(error) => (None, refuse_unreadable(&error, self.fetch_at)),
            };
            match (admission, batch) {
                (Admission::Copy, Some(batch)) => self.enqueue(batch, permit.clone()),
                (Admission::Refuse { at, what }, _) => return Some((at, what)),
                (Admission::Skip | Admission::Copy, _) => {}
            }
        }
        None
    }

    fn enqueue(&mut self, batch: FetchedBatch, permit: P) {
        self.fetch_at = SourceOffset(batch.header().next_offset());
        self.last_epoch = LeaderEpoch(batch.header().leader_epoch());
        self.queue_bytes += batch.header().len();
        self.queue.push_back(Queued { batch, permit });
    }

    /// The next append that may go out now.
    pub(super) fn next_append(&mut self, ours: ProducerIdentity, guard: Guard, now: Now) -> Option<Append> {
        if self.queue.is_empty() || !self.may_send(guard, now) {
            return None;
        }
        let Queued { batch, permit } = self.queue.pop_front()?;
        self.queue_bytes -= batch.header().len();
        let stamp =
            Stamp { producer_id: ours.id, producer_epoch: ours.epoch, base_sequence: self.next_sequence };
        let header = batch.header();
        let count = header.record_count();
        let expect = self.send_at;
        let next = expect.plus(i64::from(count));
        let sent = Sent {
            expect,
            next,
            bytes: batch.header().len(),
            last_timestamp_ms: header.max_timestamp(),
            permit,
        };
        let mirrored = rewrite(&batch, stamp);
        self.next_sequence = next_sequence(self.next_sequence, count);
        self.send_at = next;
        let ticket = self.window.push(sent.bytes, sent);
        Some(Append { ticket, expect, batch: mirrored })
    }

    /// Why the end has to be read once more before the head of the queue may be sent: who may have moved it.
    /// `None` while anything of ours is in flight, or if it may be sent.
    pub(super) fn doubts_end(&self, guard: Guard, now: Now) -> Option<Ownership> {
        if self.queue.is_empty() || !self.window.is_empty() {
            None
        } else if self.head_needs_standstill(guard, now) {
            Some(Ownership::UnknownBeforeOld)
        } else if self.end_is_stale(guard, now) {
            Some(Ownership::Ours { end: self.send_at })
        } else {
            None
        }
    }

    /// M6: unguarded, and the last word of the destination about its end is a second old.
    fn end_is_stale(&self, guard: Guard, now: Now) -> bool {
        !self.is_guarded(guard, now) && now.mono.since(self.end_known_at) > UNGUARDED_END_FRESH_MS
    }

    /// Whether the head of the queue would make the broker forget us while somebody's earlier requests may
    /// still land: they would not be recognised as repeats (M6). Before it is sent the end has to stand still.
    fn head_needs_standstill(&self, guard: Guard, now: Now) -> bool {
        self.footing == Footing::Remembered && self.head_is_old(guard, now)
    }

    fn head_is_old(&self, guard: Guard, now: Now) -> bool {
        self.queue.front().is_some_and(|q| !guard.is_young(q.batch.header().max_timestamp(), now.wall))
    }

    fn may_send(&self, guard: Guard, now: Now) -> bool {
        if self.window.is_empty() {
            return self.doubts_end(guard, now).is_none();
        }
        self.window.len() < IN_FLIGHT_MAX
            && self.alignment == Alignment::Proven
            // Old data go alone: behind a pipeline that ends in them, all of it could be written once more.
            && !self.head_is_old(guard, now)
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
        self.known = Some(receipt.max_timestamp_ms);
        Some(receipt)
    }

    /// M5: what an answer says about where our records stand.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: AppendAnswer, now: Now) -> Meaning {
        let meaning = settle(&mut self.window, ticket, answer);
        if meaning == Meaning::AsExpected {
            self.alignment = Alignment::Proven;
            self.end_known_at = now.mono;
        }
        meaning
    }
}

/// M5: notes an answer, copying or draining. Only one at its place is a success.
pub(super) fn settle<P>(window: &mut Window<Sent<P>>, ticket: Ticket, answer: AppendAnswer) -> Meaning {
    let Some(sent) = window.in_flight(ticket) else { return Meaning::Stale };
    let expect = sent.expect;
    let base = match answer {
        AppendAnswer::Acknowledged { base } if base == expect => {
            window.acknowledge(ticket);
            return Meaning::AsExpected;
        }
        AppendAnswer::Acknowledged { base } => base,
        AppendAnswer::Failed(trouble) => {
            window.fail(ticket);
            return Meaning::Doubt { trouble, displaced: None };
        }
    };
    window.fail(ticket);
    let displaced = (base > expect).then_some(Displaced { at: expect, landed: base });
    let trouble = Trouble::soon(if base < expect {
        format!("an append for offset {expect} was answered as a repeat of the one at {base}")
    } else {
        format!("an append for offset {expect} landed at {base}")
    });
    Meaning::Doubt { trouble, displaced }
}

/// The next receipt of a window, copying or draining.
pub(super) fn next_receipt<P>(window: &mut Window<Sent<P>>) -> Option<AppendReceipt<P>> {
    window.release().map(|sent| AppendReceipt {
        from: sent.expect,
        next: sent.next,
        bytes: sent.bytes,
        max_timestamp_ms: sent.last_timestamp_ms,
        permit: sent.permit,
    })
}
