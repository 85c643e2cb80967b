//! What a comparison proved, by topic, and what stands behind it.
//! Promises: every partition of every matching topic has its share in a verdict; one that was never looked at is
//! unknown, not identical. Lists are bounded per partition.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::TopicPartition;
use lockstep_core::verify::{Bounds, Difference, Note, Unseen, Verdict};

use super::ends::{self, PerPartition};
use super::groups::GroupFinding;
use super::pairs::{Pair, Standing};
use super::partition::Outcome;
use crate::pipeline::names::topic_names;

/// The whole result.
#[derive(Clone, Debug)]
pub struct Report {
    pub source_cluster: String,
    pub dest_cluster: String,
    /// By name. Never empty.
    pub topics: Vec<TopicReport>,
    /// By name: groups whose copied offsets were compared.
    pub groups: Vec<GroupFinding>,
    /// Matching topics of the destination that the source does not have: not compared, not part of the verdict.
    pub dest_only: Vec<Arc<str>>,
    pub duration: Duration,
}

/// The result for one topic.
#[derive(Clone, Debug)]
pub struct TopicReport {
    pub topic: Arc<str>,
    /// What the destination calls it.
    pub dest_topic: Arc<str>,
    /// On the source.
    pub partitions: usize,
    pub records_compared: u64,
    /// Bytes of the source's batches, as they lie in its log.
    pub bytes_compared: u64,
    pub verdict: Verdict,
    /// Records that differ or are missing on one side. Counting ends early in partitions with very many.
    pub records_different: u64,
    /// By partition and offset, the first few of each partition.
    pub differences: Vec<Differing>,
    /// What could not be told; possible beside any verdict but identical.
    pub doubts: Vec<Doubt>,
    /// Partitions that were not compared to their end because so much differed.
    pub partitions_cut_short: usize,
    /// With the offsets concerned, all partitions together.
    pub notes: BTreeMap<Note, u64>,
    /// What stands at offsets that no read_committed consumer sees, in the compared range.
    pub source_unseen: Unseen,
    pub dest_unseen: Unseen,
    /// The first partition that was compared only up to the source's last stable offset (M16), and that offset.
    pub stable_to: Option<(i32, i64)>,
}

/// A difference and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    /// `None`: about the topic as a whole.
    pub at: Option<(i32, i64)>,
    /// "here" is the source, "there" the destination.
    pub what: String,
}

/// Something that could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// `None`: about the topic as a whole.
    pub partition: Option<i32>,
    pub why: String,
}

impl Report {
    /// The greatest of all: one difference makes all different, one doubt all unknown.
    pub fn verdict(&self) -> Verdict {
        let groups = self.groups.iter().filter_map(GroupFinding::verdict);
        self.topics.iter().map(|topic| topic.verdict).chain(groups).max().unwrap_or(Verdict::Unknown)
    }

    pub fn records_compared(&self) -> u64 {
        self.topics.iter().map(|topic| topic.records_compared).sum()
    }

    pub fn bytes_compared(&self) -> u64 {
        self.topics.iter().map(|topic| topic.bytes_compared).sum()
    }
}

/// Everything that was learnt about the partitions.
pub(super) struct Evidence {
    pub(super) bounds: PerPartition<Bounds>,
    pub(super) findings: HashMap<TopicPartition, Outcome>,
    pub(super) beyond: PerPartition<Option<Difference>>,
}

pub(super) fn assemble(pairs: Vec<Pair>, evidence: &Evidence) -> Vec<TopicReport> {
    pairs.into_iter().map(|pair| topic(&pair, evidence)).collect()
}

fn topic(pair: &Pair, evidence: &Evidence) -> TopicReport {
    let mut report = TopicReport {
        topic: Arc::clone(&pair.topic),
        dest_topic: Arc::clone(&pair.dest_topic),
        partitions: pair.count,
        records_compared: 0,
        bytes_compared: 0,
        verdict: Verdict::Identical,
        records_different: 0,
        differences: Vec::new(),
        doubts: Vec::new(),
        partitions_cut_short: 0,
        notes: BTreeMap::new(),
        source_unseen: Unseen::default(),
        dest_unseen: Unseen::default(),
        stable_to: None,
    };
    match &pair.standing {
        Standing::Comparable => {
            for twin in pair.partitions() {
                report.add(&twin.source, evidence);
            }
        }
        Standing::Different(what) => report.differences.push(Differing { at: None, what: what.clone() }),
        Standing::Unknown(why) => report.doubts.push(Doubt { partition: None, why: why.clone() }),
    }
    report.verdict = if !report.differences.is_empty() {
        Verdict::Different
    } else if !report.doubts.is_empty() {
        Verdict::Unknown
    } else {
        Verdict::Identical
    };
    report
}

impl TopicReport {
    /// `orders`, or `orders → east.orders`.
    pub fn names(&self) -> String {
        topic_names(&self.topic, &self.dest_topic)
    }

    fn add(&mut self, tp: &TopicPartition, evidence: &Evidence) {
        let doubt = |why: String| Doubt { partition: Some(tp.partition), why };
        let bounds = match ends::of(&evidence.bounds, tp) {
            Ok(bounds) => bounds,
            Err(why) => return self.doubts.push(doubt(why)),
        };
        let mut differences = bounds.differences();
        self.note(Note::HeldBack, bounds.held_back());
        if bounds.held_back() > 0 {
            self.stable_to.get_or_insert((tp.partition, bounds.source_end));
        }
        self.doubts.extend(bounds.doubt().map(doubt));
        match evidence.findings.get(tp) {
            None => self.doubts.push(doubt("the comparison ended by itself".to_owned())),
            Some(outcome) => {
                differences.extend(outcome.differences.iter().cloned());
                differences.extend(outcome.findings.differences.iter().cloned());
                self.add_findings(tp.partition, outcome);
                let older = bounds.older();
                self.note(Note::NotYetDeleted, outcome.offsets_filled);
                self.note(
                    Note::OlderOnDestination,
                    older.end.abs_diff(older.start).saturating_sub(outcome.offsets_filled),
                );
            }
        }
        match ends::of(&evidence.beyond, tp) {
            Ok(beyond) => differences.extend(beyond),
            // Once is enough: a cluster that fell silent leaves this behind every partition.
            Err(_) if self.doubts.last().is_some_and(|last| last.partition == Some(tp.partition)) => {}
            Err(why) => self.doubts.push(doubt(format!("its end could not be read again: {why}"))),
        }
        differences.sort_by_key(|difference| difference.offset);
        let partition = tp.partition;
        self.differences.extend(
            differences.into_iter().map(|d| Differing { at: Some((partition, d.offset)), what: d.what }),
        );
    }

    fn add_findings(&mut self, partition: i32, outcome: &Outcome) {
        let findings = &outcome.findings;
        self.records_compared += findings.records_compared();
        self.records_different += findings.records_different;
        self.bytes_compared += findings.source_bytes;
        self.partitions_cut_short += usize::from(findings.is_full());
        self.note(Note::WithoutRecord, findings.offsets_without_record);
        self.note(Note::Compacted, findings.records_compacted);
        self.note(Note::Expired, findings.offsets_expired);
        add(&mut self.source_unseen, findings.source_unseen);
        add(&mut self.dest_unseen, findings.dest_unseen);
        let mut doubt = |why| self.doubts.push(Doubt { partition: Some(partition), why });
        for unread in &findings.unread {
            let (from, last) = (unread.from, unread.until - 1);
            doubt(format!("offsets {from} to {last} cannot be read on the {}: {}", unread.side, unread.why));
        }
        // Where comparing ended early, so did looking for explanations.
        if !findings.is_full() {
            for (why, count) in &findings.undecided {
                doubt(format!("{count} records are on one side only: {why}"));
            }
        }
    }

    fn note(&mut self, note: Note, offsets: u64) {
        if offsets > 0 {
            *self.notes.entry(note).or_default() += offsets;
        }
    }
}

fn add(sum: &mut Unseen, unseen: Unseen) {
    sum.markers += unseen.markers;
    sum.rolled_back += unseen.rolled_back;
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::verify::{Findings, Side, Undecided, Unread};

    const BOUNDS: Bounds = Bounds {
        source_high: 10,
        source_end: 10,
        dest_end: 10,
        dest_stable: 10,
        dest_start: 0,
        source_start: 0,
    };

    fn equal() -> Findings {
        Findings { records_equal: 8, offsets_without_record: 2, source_bytes: 100, ..Findings::default() }
    }

    /// A topic of two partitions; the first has what `change` makes of an equal one, the second is equal.
    fn judged(change: impl Fn(&TopicPartition, &mut Evidence)) -> TopicReport {
        let pair = Pair {
            topic: Arc::from("t"),
            dest_topic: Arc::from("t"),
            count: 2,
            standing: Standing::Comparable,
        };
        let mut evidence =
            Evidence { bounds: PerPartition::new(), findings: HashMap::new(), beyond: PerPartition::new() };
        for tp in pair.partitions().map(|twin| twin.source) {
            evidence.bounds.insert(tp.clone(), Ok(BOUNDS));
            evidence.beyond.insert(tp.clone(), Ok(None));
            evidence.findings.insert(tp, Outcome { findings: equal(), ..Outcome::default() });
        }
        change(&TopicPartition::new("t", 0), &mut evidence);
        topic(&pair, &evidence)
    }

    #[test]
    fn identical_needs_every_partition() {
        let report = judged(|_, _| {});
        assert_eq!(
            (report.verdict, report.records_compared, report.bytes_compared),
            (Verdict::Identical, 16, 200)
        );
        assert_eq!(report.notes, BTreeMap::from([(Note::WithoutRecord, 4)]));
    }

    #[test]
    fn whatever_is_missing_from_the_evidence_is_a_doubt() {
        let verdicts = [
            judged(|tp, e| drop(e.findings.remove(tp))),
            judged(|tp, e| drop(e.bounds.insert(tp.clone(), Err("no leader".to_owned())))),
            judged(|tp, e| drop(e.bounds.remove(tp))),
            judged(|tp, e| drop(e.beyond.remove(tp))),
        ];
        for report in verdicts {
            assert_eq!(report.verdict, Verdict::Unknown);
            assert_eq!((report.doubts.len(), report.doubts[0].partition), (1, Some(0)));
        }
    }

    #[test]
    fn a_difference_outweighs_a_doubt_and_both_are_said() {
        let report = judged(|tp, evidence| {
            let unread = Unread { side: Side::Dest, from: 4, until: 6, why: "torn".to_owned() };
            let findings = Findings {
                records_different: 1,
                differences: vec![Difference { offset: 3, what: "missing".to_owned() }],
                offsets_unread: 2,
                unread: vec![unread],
                ..equal()
            };
            evidence.findings.insert(tp.clone(), Outcome { findings, ..Outcome::default() });
        });
        assert_eq!(report.verdict, Verdict::Different);
        assert_eq!(report.differences, [Differing { at: Some((0, 3)), what: "missing".to_owned() }]);
        assert_eq!(report.doubts[0].why, "offsets 4 to 5 cannot be read on the destination: torn");
    }

    #[test]
    fn an_open_transaction_is_said_with_the_offset_and_leaves_the_rest_identical() {
        let held = judged(|tp, e| {
            e.bounds.insert(tp.clone(), Ok(Bounds { source_end: 7, dest_end: 7, dest_stable: 7, ..BOUNDS }));
        });
        assert_eq!((held.verdict, held.stable_to), (Verdict::Identical, Some((0, 7))));
        assert_eq!(held.notes[&Note::HeldBack], 3);
        let there =
            judged(|tp, e| drop(e.bounds.insert(tp.clone(), Ok(Bounds { dest_stable: 7, ..BOUNDS }))));
        assert_eq!((there.verdict, there.doubts.len()), (Verdict::Unknown, 1));
    }

    #[test]
    fn fillers_are_named_apart_from_what_is_older() {
        let older = Bounds { source_start: 6, ..BOUNDS };
        let report = judged(|tp, e| {
            e.bounds.insert(tp.clone(), Ok(older));
            e.findings.insert(tp.clone(), Outcome { offsets_filled: 4, ..Outcome::default() });
        });
        assert_eq!(report.verdict, Verdict::Identical);
        assert_eq!((report.notes[&Note::NotYetDeleted], report.notes[&Note::OlderOnDestination]), (4, 2));
    }

    #[test]
    fn what_compaction_leaves_open_is_a_doubt_with_its_reason() {
        let report = judged(|tp, e| {
            let undecided = BTreeMap::from([(Undecided::TooManyKeys, 5)]);
            let findings = Findings { undecided, ..equal() };
            e.findings.insert(tp.clone(), Outcome { findings, ..Outcome::default() });
        });
        assert_eq!(report.verdict, Verdict::Unknown);
        assert!(
            report.doubts[0].why.starts_with("5 records are on one side only: more than"),
            "{:?}",
            report.doubts
        );
    }

    #[test]
    fn logs_of_different_length_are_different() {
        let behind = judged(|tp, e| drop(e.bounds.insert(tp.clone(), Ok(Bounds { dest_end: 7, ..BOUNDS }))));
        assert_eq!((behind.verdict, behind.differences[0].at), (Verdict::Different, Some((0, 7))));
        let more = Difference { offset: 10, what: "2 offsets".to_owned() };
        let beyond = judged(|tp, e| drop(e.beyond.insert(tp.clone(), Ok(Some(more.clone())))));
        assert_eq!((beyond.verdict, beyond.differences[0].at), (Verdict::Different, Some((0, 10))));
    }
}
