//! The source of the simulated world: a log with everything that takes an offset, growing batch by batch up to what
//! the script says, and its answers to read_committed fetches. Tests only.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use lockstep_batch::header::Codec;
use lockstep_batch::records::Record;
use lockstep_batch::view::FetchedBatch;

use super::super::script::{Age, Item, Outcome};
use crate::mirror::testing::{packed, record};
use crate::transactions::AbortedTransaction;
use crate::verify::testing::{Ends, Plain, marker};

const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
/// Writes transactions, one at a time.
const WRITER: i64 = 4;

/// The next thing to be written into the source.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Data { records: i32, packed: bool, age: Age },
    InTransaction { records: i32, age: Age, outcome: Outcome },
    Marker { outcome: Outcome },
    Gap { offsets: i32 },
    Thinned { age: Age },
    Emptied { offsets: i32 },
    EmptiedMarker,
}

/// What the source shows its consumers at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    /// In both isolation levels.
    Record(Record),
    /// To read_uncommitted ones only.
    RolledBack(Record),
    /// A control record.
    Control,
    /// Nothing any more.
    Hole,
}

#[derive(Debug)]
struct Entry {
    base: i64,
    next: i64,
    bytes: Bytes,
}

#[derive(Debug)]
pub(super) struct Source {
    /// In reverse order.
    coming: Vec<Step>,
    entries: Vec<Entry>,
    /// By offset, as far as the log reaches.
    pub(super) log: Vec<Truth>,
    /// By offset, to the end of the script: whether a consumer will see a record there.
    shape: Vec<Shape>,
    open_since: Option<i64>,
    /// With the offset of the marker that ended each.
    aborted: Vec<(AbortedTransaction, i64)>,
}

/// What may stand at an offset of the destination in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Record,
    Void,
    Hole,
}

impl Step {
    fn shape(self) -> Vec<Shape> {
        let so_many = |n: i32, shape| vec![shape; n as usize];
        match self {
            Self::Data { records, .. } => so_many(records, Shape::Record),
            Self::InTransaction { records, outcome: Outcome::Committed, .. } => {
                so_many(records, Shape::Record)
            }
            Self::InTransaction { records, .. } => so_many(records, Shape::Void),
            Self::Marker { .. } | Self::EmptiedMarker => so_many(1, Shape::Void),
            Self::Gap { offsets } | Self::Emptied { offsets } => so_many(offsets, Shape::Hole),
            Self::Thinned { .. } => vec![Shape::Record, Shape::Hole, Shape::Record, Shape::Hole],
        }
    }
}

fn steps(item: Item) -> Vec<Step> {
    match item {
        Item::Data { records, packed, age } => vec![Step::Data { records, packed, age }],
        Item::Transaction { records, age, outcome, interleaved } => {
            let mut steps = vec![Step::InTransaction { records, age, outcome }];
            if interleaved {
                steps.push(Step::Data { records: 1, packed: false, age });
                steps.push(Step::InTransaction { records: 1, age, outcome });
            }
            steps.push(Step::Marker { outcome });
            steps
        }
        Item::Gap { offsets } => vec![Step::Gap { offsets }],
        Item::Thinned { age } => vec![Step::Thinned { age }],
        Item::Emptied { offsets } => vec![Step::Emptied { offsets }],
        Item::EmptiedMarker => vec![Step::EmptiedMarker],
    }
}

impl Source {
    /// Ends with a record of age `last`: what lies before it is proven then.
    pub(super) fn new(items: Vec<Item>, last: Age) -> Self {
        let last = Step::Data { records: 1, packed: false, age: last };
        let mut coming: Vec<_> = items.into_iter().flat_map(steps).chain([last]).collect();
        let shape = coming.iter().flat_map(|step| step.shape()).collect();
        coming.reverse();
        let (entries, log, aborted) = (Vec::new(), Vec::new(), Vec::new());
        Self { coming, entries, log, shape, open_since: None, aborted }
    }

    pub(super) fn coming(&self) -> usize {
        self.coming.len()
    }

    pub(super) fn end(&self) -> i64 {
        self.log.len() as i64
    }

    pub(super) fn last_stable(&self) -> i64 {
        self.open_since.unwrap_or(self.end())
    }

    /// What will be at `offset`; `None` behind the end of the script.
    pub(super) fn shape_at(&self, offset: i64) -> Option<Shape> {
        self.shape.get(offset as usize).copied()
    }

    pub(super) fn has_all(&self) -> bool {
        self.coming.is_empty()
    }

    pub(super) fn grow(&mut self, timestamp: impl FnOnce(Age) -> i64) {
        let Some(step) = self.coming.pop() else { return };
        let base = self.end();
        match step {
            Step::Data { records, packed: is_packed, age } => {
                let codec = if is_packed { Codec::Snappy } else { Codec::None };
                let timestamp = timestamp(age);
                self.push(&packed(base, records, timestamp, codec));
                self.log.extend((0..records).map(|i| Truth::Record(record(base + i64::from(i), timestamp))));
            }
            Step::InTransaction { records, age, outcome } => {
                let timestamp = timestamp(age);
                let records: Vec<_> = (0..records).map(|i| record(base + i64::from(i), timestamp)).collect();
                let plain = Plain::of(records.clone());
                self.push(&Plain { attributes: TRANSACTIONAL, producer_id: WRITER, ..plain }.fetched());
                self.log.extend(records.into_iter().map(|record| match outcome {
                    Outcome::Committed => Truth::Record(record),
                    Outcome::RolledBack => Truth::RolledBack(record),
                }));
                self.open_since.get_or_insert(base);
            }
            Step::Marker { outcome } => {
                let first_offset = self.open_since.take().unwrap_or(base);
                let ends = match outcome {
                    Outcome::Committed => Ends::Commit,
                    Outcome::RolledBack => {
                        let transaction = AbortedTransaction { producer_id: WRITER, first_offset };
                        self.aborted.push((transaction, base));
                        Ends::Abort
                    }
                };
                self.push(&marker(WRITER, base, ends));
                self.log.push(Truth::Control);
            }
            Step::EmptiedMarker => {
                let emptied = Plain { records: Vec::new(), ..Plain::of(vec![record(base, 0)]) };
                self.push(&Plain { attributes: TRANSACTIONAL | CONTROL, ..emptied }.fetched());
                self.log.push(Truth::Control);
            }
            Step::Gap { offsets } => self.log.extend((0..offsets).map(|_| Truth::Hole)),
            Step::Emptied { offsets } => {
                let last_offset = base + i64::from(offsets) - 1;
                let emptied = Plain::of(vec![record(base, 0)]);
                self.push(&Plain { records: Vec::new(), last_offset, ..emptied }.fetched());
                self.log.extend((0..offsets).map(|_| Truth::Hole));
            }
            Step::Thinned { age } => {
                let timestamp = timestamp(age);
                let left = [record(base, timestamp), record(base + 2, timestamp)];
                self.push(&Plain { last_offset: base + 3, ..Plain::of(left.to_vec()) }.fetched());
                let [first, third] = left.map(Truth::Record);
                self.log.extend([first, Truth::Hole, third, Truth::Hole]);
            }
        }
    }

    fn push(&mut self, batch: &FetchedBatch) {
        let header = *batch.header();
        let (base, next) = (header.base_offset(), header.next_offset());
        self.entries.push(Entry { base, next, bytes: batch.bytes().clone() });
    }

    /// A read_committed answer of at most `batches` batches from `at` on, and where the last of them begins.
    pub(super) fn answer(
        &self,
        at: i64,
        batches: usize,
    ) -> (BytesMut, Vec<AbortedTransaction>, BTreeMap<i64, usize>) {
        let mut records = BytesMut::new();
        let mut starts = BTreeMap::new();
        let mut upper = at;
        let readable = self.entries.iter().filter(|e| e.next > at && e.base < self.last_stable());
        for entry in readable.take(batches) {
            starts.insert(entry.base, records.len());
            records.extend_from_slice(&entry.bytes);
            upper = entry.next;
        }
        let concerned = self.aborted.iter().filter(|(t, marker)| *marker >= at && t.first_offset < upper);
        (records, concerned.map(|(transaction, _)| *transaction).collect(), starts)
    }

    /// The next record that consumers see at `offset` or behind it.
    pub(super) fn next_record(&self, offset: i64) -> Option<&Record> {
        self.log.iter().skip(offset as usize).find_map(|truth| match truth {
            Truth::Record(record) => Some(record),
            _ => None,
        })
    }
}
