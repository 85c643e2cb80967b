//! One side of a comparison: batches in the order of the log, taken apart only when they have to be.
//! Promises: every batch that is looked into has its checksum verified first (M4: it is end to end); what cannot
//! be read becomes a blank with its reason. Never decodes a batch that the fast path can do without.

use std::collections::VecDeque;
use std::iter::Peekable;

use lockstep_batch::records::{self, Limits, Record, RecordError, RecordIter};
use lockstep_batch::view::FetchedBatch;

use super::fates::{Outcome, Presence};

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

/// What comes next on one side.
#[derive(Clone, Debug)]
pub(super) enum Head {
    Record(Record, Presence),
    Blank(Blank),
}

/// Where the next thing of one side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frontier {
    Record(i64),
    Blank(i64),
    /// No record below this offset; what follows is not known yet.
    ReadTo(i64),
}

impl Frontier {
    pub(super) fn offset(self) -> i64 {
        match self {
            Self::Record(offset) | Self::Blank(offset) | Self::ReadTo(offset) => offset,
        }
    }
}

/// A marker that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) producer_id: i64,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug)]
enum Item {
    Batch(FetchedBatch),
    Blank(Blank),
}

/// A batch being walked record by record.
#[derive(Clone, Debug)]
struct Open {
    records: Peekable<RecordIter>,
    presence: Presence,
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

    /// The batch that the log holds next: between the last one's end and its base offset there is nothing (M11).
    /// One that starts at or above `end` only says so.
    pub(super) fn offer(&mut self, batch: FetchedBatch, end: i64) {
        if batch.header().base_offset() >= end {
            self.read_to = self.read_to.max(end);
        } else {
            self.read_to = self.read_to.max(batch.header().next_offset());
            self.queue.push_back(Item::Batch(batch));
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
    pub(super) fn whole(&self) -> Option<&FetchedBatch> {
        match self.queue.front() {
            Some(Item::Batch(batch)) if self.is_between() => Some(batch),
            _ => None,
        }
    }

    pub(super) fn drop_whole(&mut self) {
        self.queue.pop_front();
    }

    /// Between batches: takes away what holds no record to compare; stops at a marker and returns it.
    pub(super) fn settle(&mut self, position: i64) -> Option<Marker> {
        while let Some(batch) = self.whole() {
            let header = *batch.header();
            if header.is_control() {
                match read_marker(batch) {
                    Ok(marker) => {
                        self.queue.pop_front();
                        if marker.is_some() {
                            return marker;
                        }
                    }
                    Err(why) => self.replace_front(header.base_offset(), header.next_offset(), why),
                }
            } else if header.record_count() == 0 || header.next_offset() <= position {
                self.queue.pop_front();
            } else {
                return None;
            }
        }
        None
    }

    /// Looks into the front until a record at or above `position`, a blank or a marker comes up, or nothing is left.
    pub(super) fn pull(&mut self, position: i64) -> Option<Marker> {
        loop {
            match &self.head {
                Some(Head::Record(record, _)) if record.offset < position => self.head = None,
                Some(Head::Blank(blank)) if blank.until <= position => self.head = None,
                Some(_) => return None,
                None => {}
            }
            if self.open.is_some() {
                self.read_record();
                continue;
            }
            if let Some(marker) = self.settle(position) {
                return Some(marker);
            }
            match self.queue.pop_front()? {
                Item::Blank(blank) => self.head = Some(Head::Blank(blank)),
                Item::Batch(batch) => self.open(&batch),
            }
        }
    }

    /// Where the head stands, within `position..end`.
    pub(super) fn frontier(&self, position: i64, end: i64) -> Frontier {
        let frontier = match &self.head {
            Some(Head::Record(record, _)) => Frontier::Record(record.offset),
            Some(Head::Blank(blank)) => Frontier::Blank(blank.from.max(position)),
            None => Frontier::ReadTo(self.read_to),
        };
        if frontier.offset() >= end { Frontier::ReadTo(end) } else { frontier }
    }

    pub(super) fn take_head(&mut self) -> Option<Head> {
        self.head.take()
    }

    fn open(&mut self, batch: &FetchedBatch) {
        let header = batch.header();
        let (from, until) = (header.base_offset(), header.next_offset());
        let presence = presence(batch);
        let records = if batch.view().checksum_holds() {
            records::decode(&batch.view(), Limits::default()).map_err(|error| error.to_string())
        } else {
            Err(CHECKSUM.to_owned())
        };
        match records {
            Ok(records) => {
                self.open = Some(Open { records: records.peekable(), presence, next: from, until });
            }
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
                        self.head = Some(Head::Record(record, open.presence));
                        return;
                    }
                }
            }
            Some(Err(error)) => (open.next, error),
        };
        self.open = None;
        self.head = Some(Head::Blank(Blank { from, until, cause: Cause::Unreadable(error.to_string()) }));
    }

    fn replace_front(&mut self, from: i64, until: i64, why: String) {
        self.queue.pop_front();
        self.queue.push_front(Item::Blank(Blank { from, until, cause: Cause::Unreadable(why) }));
    }
}

const CHECKSUM: &str = "its checksum does not hold";

/// What a record of this batch is until a marker says more.
pub(super) fn presence(batch: &FetchedBatch) -> Presence {
    let header = batch.header();
    if header.is_transactional() {
        Presence::Undecided { producer_id: header.producer_id() }
    } else {
        Presence::Visible
    }
}

fn read_marker(batch: &FetchedBatch) -> Result<Option<Marker>, String> {
    if !batch.view().checksum_holds() {
        return Err(CHECKSUM.to_owned());
    }
    let producer_id = batch.header().producer_id();
    let mut records = records::decode(&batch.view(), Limits::default()).map_err(|error| error.to_string())?;
    // A control batch holds one record; the cleaner may have taken it.
    let Some(record) = records.next() else { return Ok(None) };
    let record = record.map_err(|error| error.to_string())?;
    let outcome = record.key.as_deref().and_then(Outcome::from_key);
    Ok(outcome.map(|outcome| Marker { producer_id, outcome }))
}
