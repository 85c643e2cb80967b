//! The walk along both logs at once. Batches with equal bytes pass without being decompressed; all others are
//! decoded and compared record by record, whatever the boundaries of the batches on either side.
//! Promises: memory is what was offered and one decompressed batch per side; it asks for more only when nothing
//! of a side is left. Never reads on by itself. Offsets are plain numbers: that both sides count alike is what
//! is being verified.

use std::ops::Range;

use lockstep_batch::view::FetchedBatch;

use super::Side;
use super::compaction::{Cleanup, KEYS_MAX, Orphans};
use super::findings::{Findings, Unread};
use super::judge::{Agreed, judge};
use super::portion::Portion;
use super::second_look::SecondLook;
use super::stream::{Cause, Frontier, Shown, Stream};

/// Records compared before [`Comparer::step`] returns, so that a single thread can do other things in between.
const RECORDS_PER_STEP: usize = 1_000;

/// What the comparison needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Everything of this side that was offered is used up and freed: [`Comparer::offer`] what follows.
    Need(Side),
    /// Call again.
    Moved,
    /// [`Comparer::finish`] says what was found.
    Done,
}

/// Compares one range of one partition.
#[derive(Clone, Debug)]
pub struct Comparer {
    range: Range<i64>,
    /// Everything below has been judged, or is an orphan.
    position: i64,
    source: Stream,
    dest: Stream,
    orphans: Orphans,
    /// Below it the destination was a primary itself (M27): what its clients rolled back may stand there.
    agreed_below: i64,
    /// Per side, why parts of it were not read.
    unread: [Option<String>; 2],
    findings: Findings,
}

impl Comparer {
    /// `range` is half-open and ends at the last stable offset of both sides, or below; an empty one is identical.
    pub fn new(range: Range<i64>, cleanup: Cleanup) -> Self {
        Self::with_room(range, cleanup, KEYS_MAX)
    }

    pub(super) fn with_room(range: Range<i64>, cleanup: Cleanup, keys_max: usize) -> Self {
        let start = range.start;
        Self {
            range,
            position: start,
            source: Stream::new(start),
            dest: Stream::new(start),
            orphans: Orphans::new(cleanup, keys_max),
            agreed_below: i64::MIN,
            unread: [None, None],
            findings: Findings::default(),
        }
    }

    /// The destination was a primary itself up to this offset, by its passport (M27): there a rolled-back record of its own
    /// clients may stand where the source has a marker. Committed records are compared as everywhere.
    #[must_use]
    pub fn agreed_below(mut self, cut: i64) -> Self {
        self.agreed_below = cut;
        self
    }

    /// What `side` holds next, as answered to a read_committed fetch from [`Comparer::read_to`].
    pub fn offer(&mut self, side: Side, portion: Portion) {
        if side == Side::Source {
            let bytes = |batch: &FetchedBatch| batch.header().len() as u64;
            self.findings.source_bytes += portion.batches.iter().map(bytes).sum::<u64>();
        }
        let end = self.range.end;
        self.stream(side).offer(portion, end);
    }

    /// Retention took everything of `side` below `until`: neither side is compared there.
    pub fn expired(&mut self, side: Side, until: i64) {
        let until = until.min(self.range.end);
        self.stream(side).blank(until, Cause::Expired);
    }

    /// The rest of `side` cannot be read.
    pub fn unreadable(&mut self, side: Side, why: String) {
        let end = self.range.end;
        self.stream(side).blank(end, Cause::Unreadable(why));
    }

    /// Where the next fetch of `side` starts.
    pub fn read_to(&self, side: Side) -> i64 {
        match side {
            Side::Source => self.source.read_to(),
            Side::Dest => self.dest.read_to(),
        }
    }

    /// The first offset of the range.
    pub fn start(&self) -> i64 {
        self.range.start
    }

    /// Offsets below are done with.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Goes on as far as one batch, or [`RECORDS_PER_STEP`] records.
    pub fn step(&mut self) -> Step {
        if self.position >= self.range.end || self.findings.is_full() {
            return Step::Done;
        }
        for side in [Side::Source, Side::Dest] {
            let position = self.position;
            self.stream(side).settle(position);
            // Before anything is taken apart: the other side's batch may turn out to be the same bytes.
            if self.stream(side).is_dry() && self.read_to(side) < self.range.end {
                return Step::Need(side);
            }
        }
        if self.pass_equal_bytes() {
            return Step::Moved;
        }
        for _ in 0..RECORDS_PER_STEP {
            for side in [Side::Source, Side::Dest] {
                let position = self.position;
                self.stream(side).pull(position);
            }
            if let Some(step) = self.judge_next() {
                return step;
            }
            if self.findings.is_full() || (self.source.is_between() && self.dest.is_between()) {
                break;
            }
        }
        Step::Moved
    }

    /// Ends the walk. Offsets that no step has come to are unread.
    pub fn finish(mut self) -> SecondLook {
        if self.position < self.range.end && !self.findings.is_full() {
            let (from, until) = (self.position, self.range.end);
            let why = "the comparison ended before".to_owned();
            self.unread = [Some(why.clone()), Some(why.clone())];
            self.findings.unread(Unread { side: Side::Source, from, until, why });
            self.position = until;
        }
        let judged = self.range.start..self.position;
        SecondLook::new(judged, self.findings, self.orphans, self.unread)
    }

    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Source => &mut self.source,
            Side::Dest => &mut self.dest,
        }
    }

    /// The fast path: both sides are between batches and the next ones say the same in the same bytes.
    fn pass_equal_bytes(&mut self) -> bool {
        // Orphans wait for the keys inside.
        if !self.orphans.is_empty() {
            return false;
        }
        let (Some((here, shown)), Some((there, also))) = (self.source.whole(), self.dest.whole()) else {
            return false;
        };
        let header = *here.header();
        let inside = header.base_offset() >= self.position && header.next_offset() <= self.range.end;
        if !inside || shown != also || !same_bytes(here, there) {
            return false;
        }
        // A checked header's count is not negative.
        let count = u64::from(header.record_count().unsigned_abs());
        match shown {
            Shown::Committed => self.findings.records_equal += count,
            Shown::RolledBack => {
                for side in [Side::Source, Side::Dest] {
                    self.findings.unseen(side).rolled_back += count;
                }
            }
        }
        self.position = header.next_offset();
        self.source.drop_whole();
        self.dest.drop_whole();
        true
    }

    /// Judges the lowest offset at which either side holds something.
    fn judge_next(&mut self) -> Option<Step> {
        let (position, end) = (self.position, self.range.end);
        let (here, there) = (self.source.frontier(position, end), self.dest.frontier(position, end));
        let at = here.offset().min(there.offset());
        self.position = position.max(at);
        if at >= end {
            return Some(Step::Done);
        }
        match (here, there) {
            (Frontier::Blank(offset), _) if offset == at => self.pass_over(Side::Source),
            (_, Frontier::Blank(offset)) if offset == at => self.pass_over(Side::Dest),
            (Frontier::ReadTo(offset), _) if offset == at => return Some(Step::Need(Side::Source)),
            (_, Frontier::ReadTo(offset)) if offset == at => return Some(Step::Need(Side::Dest)),
            _ => {
                let (here, there) = (self.source.take_held(at), self.dest.take_held(at));
                let agreed = if at < self.agreed_below { Agreed::AtAPromotion } else { Agreed::No };
                judge(&mut self.findings, &mut self.orphans, at, &here, &there, agreed);
                self.position = at + 1;
            }
        }
        None
    }

    fn pass_over(&mut self, side: Side) {
        let Some(blank) = self.stream(side).take_blank() else { return };
        let (from, until) = (self.position, blank.until.min(self.range.end));
        let why = match blank.cause {
            Cause::Expired => {
                self.findings.offsets_expired += until.abs_diff(from);
                format!("retention removed everything below {until}")
            }
            Cause::Unreadable(why) => {
                self.findings.unread(Unread { side, from, until, why: why.clone() });
                why
            }
        };
        self.unread[side as usize].get_or_insert(why);
        self.position = until;
    }
}

/// Equal batches but for what a mirror rewrites (M4): producer, sequence, leader epoch and the checksum over them.
fn same_bytes(a: &FetchedBatch, b: &FetchedBatch) -> bool {
    let (x, y) = (a.header(), b.header());
    x.base_offset() == y.base_offset()
        && x.last_offset_delta() == y.last_offset_delta()
        && x.record_count() == y.record_count()
        && x.base_timestamp() == y.base_timestamp()
        && x.max_timestamp() == y.max_timestamp()
        && x.timestamp_type() == y.timestamp_type()
        && x.codec().is_ok()
        && x.codec() == y.codec()
        && a.view().payload() == b.view().payload()
        && a.view().checksum_holds()
        && b.view().checksum_holds()
}
