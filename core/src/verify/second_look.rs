//! After the walk: records of a compacted topic that one side holds alone are looked for once more on the other, up to
//! its present end. The record that explains one may lie behind the compared range, or have come while it was read.
//! Promises: judges only what was read to the end; otherwise it stays undecided. Memory: one decompressed batch.

use std::ops::Range;

use lockstep_batch::view::FetchedBatch;

use super::Side;
use super::compaction::Orphans;
use super::findings::Findings;
use super::portion::{Kind, Portion, Sorter, decode};

/// What is left to be decided once both logs have been walked along.
#[derive(Clone, Debug)]
pub struct SecondLook {
    /// What the walk has come along.
    judged: Range<i64>,
    findings: Findings,
    orphans: Orphans,
    unread: [Option<String>; 2],
}

impl SecondLook {
    /// `unread`: per side, why parts of it were not read.
    pub(super) fn new(
        judged: Range<i64>,
        findings: Findings,
        orphans: Orphans,
        unread: [Option<String>; 2],
    ) -> Self {
        Self { judged, findings, orphans, unread }
    }

    /// Where `side` has to be read from, up to its present last stable offset, and [`Self::offer`]ed; `None`: it need
    /// not, or not further.
    pub fn wanted(&self, side: Side) -> Option<i64> {
        if self.findings.is_full() || self.unread[side as usize].is_some() {
            return None;
        }
        self.orphans.look_from(side, self.judged.start)
    }

    /// What `side` holds next.
    pub fn offer(&mut self, side: Side, portion: Portion) {
        let mut sorter = Sorter::new(portion.aborted);
        for batch in &portion.batches {
            let read = match sorter.kind(batch) {
                Kind::Committed => self.look_into(side, batch),
                Kind::Unreadable(why) => Err(why),
                Kind::RolledBack | Kind::Marker(_) | Kind::Empty => Ok(()),
            };
            if let Err(why) = read {
                self.unreadable(side, why);
            }
        }
    }

    fn look_into(&mut self, side: Side, batch: &FetchedBatch) -> Result<(), String> {
        for record in decode(batch)? {
            let record = record.map_err(|error| error.to_string())?;
            // Below, a side may keep what the other's retention removed.
            if record.offset >= self.judged.start {
                self.orphans.found(&mut self.findings, side, &record);
            }
        }
        Ok(())
    }

    /// Some of `side` was not read.
    pub fn unreadable(&mut self, side: Side, why: String) {
        self.unread[side as usize].get_or_insert(why);
    }

    /// What was found, of both looks.
    pub fn finish(mut self) -> Findings {
        if !self.findings.is_full() {
            let unread = self.unread;
            self.orphans.finish(&mut self.findings, |side| unread[side as usize].clone());
        }
        self.findings.close(self.judged.end.abs_diff(self.judged.start));
        self.findings
    }
}
