//! One side of a comparison: batches in the order of the log, taken apart only when they have to be.
//! Promises: every batch that is looked into has its checksum verified first (M4: it is end to end); what cannot
//! be read becomes a blank with its reason. Never decodes a batch that the fast path can do without.

use std::collections::VecDeque;
use std::iter::Peekable;

use lockstep_batch::records::{Record, RecordError, RecordIter};
use lockstep_batch::view::FetchedBatch;

use super::judge::Held;
use super::portion::{Kind, Portion, Sorter, decode};

/// Offsets nothing can be said about on this side. Half-open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blank {
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) cause: Cause,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Retention was faster than the comparison.
    Expired,
    Unreadable(String),
}

/// Whether read_committed shows the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Committed,
    RolledBack,
}

/// What comes next on one side.
#[derive(Clone, Debug)]
enum Head {
    Record(Record, Shown),
    Marker(i64),
    Blank(Blank),
}

/// Where the next thing of one side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frontier {
    /// A record or a marker.
    Held(i64),
    Blank(i64),
    /// Nothing below this offset; what follows is not known yet.
    ReadTo(i64),
}

impl Frontier {
    pub(super) fn offset(self) -> i64 {
        match self {
            Self::Held(offset) | Self::Blank(offset) | Self::ReadTo(offset) => offset,
        }
    }
}

#[derive(Clone, Debug)]
enum Item {
    Batch(FetchedBatch, Shown),
    Marker(i64),
    Blank(Blank),
}

/// A batch being walked record by record.
#[derive(Clone, Debug)]
struct Open {
    records: Peekable<RecordIter>,
    shown: Shown,
    /// Behind the last record that was read.
    next: i64,
    until: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    queue: VecDeque<Item>,
    open: Option<Open>,
    head: Option<Head>,
    read_to: i64,
}

impl Stream {
    pub(super) fn new(start: i64) -> Self {
        Self { queue: VecDeque::new(), open: None, head: None, read_to: start }
    }

    /// What the log holds next: between one batch's end and the next one's base offset there is nothing (M11).
    /// A batch that starts at or above `end` only says so.
    pub(super) fn offer(&mut self, portion: Portion, end: i64) {
        let mut sorter = Sorter::new(portion.aborted);
        for batch in portion.batches {
            let (from, until) = (batch.header().base_offset(), batch.header().next_offset());
            if from >= end {
                self.read_to = self.read_to.max(end);
                return;
            }
            // Also where the batch is known already: what follows may hang on its marker.
            let kind = sorter.kind(&batch);
            if until <= self.read_to {
                continue;
            }
            self.read_to = until;
            self.queue.extend(match kind {
                Kind::Committed => Some(Item::Batch(batch, Shown::Committed)),
                Kind::RolledBack => Some(Item::Batch(batch, Shown::RolledBack)),
                Kind::Marker(offset) => Some(Item::Marker(offset)),
                Kind::Empty => None,
                Kind::Unreadable(why) => {
                    Some(Item::Blank(Blank { from, until, cause: Cause::Unreadable(why) }))
                }
            });
        }
    }

    pub(super) fn blank(&mut self, until: i64, cause: Cause) {
        if until > self.read_to {
            self.queue.push_back(Item::Blank(Blank { from: self.read_to, until, cause }));
            self.read_to = until;
        }
    }

    pub(super) fn read_to(&self) -> i64 {
        self.read_to
    }

    /// Between two batches: none is being walked.
    pub(super) fn is_between(&self) -> bool {
        self.open.is_none() && self.head.is_none()
    }

    pub(super) fn is_dry(&self) -> bool {
        self.is_between() && self.queue.is_empty()
    }

    /// The next batch, if it has not been taken apart yet.
    pub(super) fn whole(&self) -> Option<(&FetchedBatch, Shown)> {
        match self.queue.front() {
            Some(Item::Batch(batch, shown)) if self.is_between() => Some((batch, *shown)),
            _ => None,
        }
    }

    pub(super) fn drop_whole(&mut self) {
        self.queue.pop_front();
    }

    /// Between batches: takes away what lies below `position`.
    pub(super) fn settle(&mut self, position: i64) {
        while self.is_between() {
            match self.queue.front() {
                Some(Item::Batch(batch, _)) if batch.header().next_offset() <= position => {}
                Some(Item::Marker(offset)) if *offset < position => {}
                _ => return,
            }
            self.queue.pop_front();
        }
    }

    /// Looks into the front until something at or above `position` comes up, or nothing is left.
    pub(super) fn pull(&mut self, position: i64) {
        loop {
            let passed = match &self.head {
                Some(Head::Record(record, _)) => record.offset < position,
                Some(Head::Marker(offset)) => *offset < position,
                Some(Head::Blank(blank)) => blank.until <= position,
                None => true,
            };
            if !passed {
                return;
            }
            self.head = None;
            if self.open.is_some() {
                self.read_record();
                continue;
            }
            self.settle(position);
            match self.queue.pop_front() {
                None => return,
                Some(Item::Blank(blank)) => self.head = Some(Head::Blank(blank)),
                Some(Item::Marker(offset)) => self.head = Some(Head::Marker(offset)),
                Some(Item::Batch(batch, shown)) => self.open(&batch, shown),
            }
        }
    }

    /// Where the head stands, within `position..end`.
    pub(super) fn frontier(&self, position: i64, end: i64) -> Frontier {
        let frontier = match &self.head {
            Some(Head::Record(record, _)) => Frontier::Held(record.offset),
            Some(Head::Marker(offset)) => Frontier::Held(*offset),
            Some(Head::Blank(blank)) => Frontier::Blank(blank.from.max(position)),
            None => Frontier::ReadTo(self.read_to),
        };
        if frontier.offset() >= end { Frontier::ReadTo(end) } else { frontier }
    }

    /// What stands at `at`, the lowest offset to be judged.
    pub(super) fn take_held(&mut self, at: i64) -> Held {
        match self.head.take() {
            Some(Head::Record(record, Shown::Committed)) if record.offset == at => Held::Visible(record),
            Some(Head::Record(record, Shown::RolledBack)) if record.offset == at => Held::RolledBack(record),
            Some(Head::Marker(offset)) if offset == at => Held::Marker,
            other => {
                self.head = other;
                Held::Nothing
            }
        }
    }

    pub(super) fn take_blank(&mut self) -> Option<Blank> {
        match self.head.take() {
            Some(Head::Blank(blank)) => Some(blank),
            other => {
                self.head = other;
                None
            }
        }
    }

    fn open(&mut self, batch: &FetchedBatch, shown: Shown) {
        let (from, until) = (batch.header().base_offset(), batch.header().next_offset());
        match decode(batch) {
            Ok(records) => self.open = Some(Open { records: records.peekable(), shown, next: from, until }),
            Err(why) => self.head = Some(Head::Blank(Blank { from, until, cause: Cause::Unreadable(why) })),
        }
    }

    fn read_record(&mut self) {
        let Some(open) = &mut self.open else { return };
        let until = open.until;
        let (from, error) = match open.records.next() {
            None => {
                self.open = None;
                return;
            }
            Some(Ok(record)) => {
                // Bytes behind the last record: no client reads that record, and its offset may be the range's last.
                match open.records.next_if(|next| matches!(next, Err(RecordError::TrailingBytes { .. }))) {
                    Some(Err(error)) => (record.offset, error),
                    _ => {
                        open.next = record.offset + 1;
                        self.head = Some(Head::Record(record, open.shown));
                        return;
                    }
                }
            }
            Some(Err(error)) => (open.next, error),
        };
        self.open = None;
        self.head = Some(Head::Blank(Blank { from, until, cause: Cause::Unreadable(error.to_string()) }));
    }
}
