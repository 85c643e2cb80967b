//! The judgement on one offset: what either side holds there, and whether consumers see the same.
//! Promises: equal means equal in both isolation levels. What the mirror shows to read_uncommitted is what the source
//! shows to read_committed; a rolled-back record is allowed there only where the source holds the same one.
//! Never calls two records with different content the same, whatever compaction does.

use lockstep_batch::records::Record;

use super::Side;
use super::compaction::Orphans;
use super::findings::Findings;
use crate::compare::difference;

/// What a side holds at an offset.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Never written, removed by the cleaner, or an emptied batch.
    Nothing,
    Marker,
    Visible(Record),
    RolledBack(Record),
}

impl Held {
    /// For sentences with "here" and "there".
    fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Marker => "a marker",
            Self::Visible(_) => "committed",
            Self::RolledBack(_) => "rolled back",
        }
    }

    fn count(&self, findings: &mut Findings, side: Side) {
        let unseen = findings.unseen(side);
        match self {
            Self::Marker => unseen.markers += 1,
            Self::RolledBack(_) => unseen.rolled_back += 1,
            Self::Nothing | Self::Visible(_) => {}
        }
    }
}

/// Whether the destination was a primary itself when it got an offset (M27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreed {
    No,
    /// Its own clients wrote there, before a promotion at which both sides held the same.
    AtAPromotion,
}

/// Judges offset `at`. An offset without a visible record on either side is counted when the comparison is finished.
pub(super) fn judge(
    findings: &mut Findings,
    orphans: &mut Orphans,
    at: i64,
    here: &Held,
    there: &Held,
    agreed: Agreed,
) {
    use Held::{Marker, Nothing, RolledBack, Visible};
    here.count(findings, Side::Source);
    there.count(findings, Side::Dest);
    match (here, there) {
        (Visible(a), Visible(b)) => {
            orphans.on_both(findings, a);
            orphans.on_both(findings, b);
            match difference(a, b) {
                None => findings.records_equal += 1,
                Some(what) => findings.different(1, at, what),
            }
        }
        (Visible(record), Nothing) => orphans.alone(findings, Side::Source, record),
        (Nothing, Visible(record)) => orphans.alone(findings, Side::Dest, record),
        // The offset is known not to be a hole: no cleaner explains it.
        (Visible(_), Marker | RolledBack(_)) | (Marker | RolledBack(_), Visible(_)) => {
            let there = if matches!(there, Visible(_)) { "visible" } else { there.name() };
            findings.different(1, at, format!("{} here, {there} there", here.name()));
        }
        (RolledBack(a), RolledBack(b)) => {
            if let Some(what) = difference(a, b) {
                findings.different(1, at, format!("rolled back on both sides, but {what}"));
            }
        }
        // Rolled-back records that the source's cleaner has taken.
        (Nothing, RolledBack(_)) if orphans.may_be_compacted() => {}
        // The other side has mirrored a former primary, whose own rolled-back records stay where they are.
        (Nothing | Marker, RolledBack(_)) if agreed == Agreed::AtAPromotion => {}
        (Nothing | Marker, RolledBack(_)) => {
            let what =
                format!("{} here, rolled back there: visible to read_uncommitted consumers", here.name());
            findings.different(1, at, what);
        }
        (Nothing | Marker | RolledBack(_), Nothing | Marker) => {}
    }
}
