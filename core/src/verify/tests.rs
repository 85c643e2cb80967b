//! The comparer against logs built by hand, fed in every portion size.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use lockstep_batch::records::Record;
use lockstep_batch::view::FetchedBatch;
use proptest::prelude::*;

use super::testing::{Ends, Plain, answered, batch, emptied, in_transaction, keyed, marker, record};
use super::{Cleanup, Comparer, Findings, Side, Step, Unseen, Verdict};

/// Feeds both logs `portion` batches at a time; a log that has no more is read to `range.end`, and empty behind.
pub(super) fn compare_in(
    portion: usize,
    mut comparer: Comparer,
    end: i64,
    logs: [&[FetchedBatch]; 2],
) -> Findings {
    let mut left = logs.map(|log| VecDeque::from(log.to_vec()));
    for _ in 0..1_000_000 {
        match comparer.step() {
            Step::Moved => {}
            Step::Done => {
                let mut second = comparer.finish();
                for side in [Side::Source, Side::Dest] {
                    if second.wanted(side).is_some() {
                        let log = logs[side as usize];
                        second.offer(side, answered(log, log.to_vec()));
                    }
                }
                return second.finish();
            }
            Step::Need(side) => {
                let log = &mut left[side as usize];
                // A batch behind the range is what proves the rest of it empty (M11).
                let next = |_| log.pop_front().unwrap_or_else(|| batch(end..end + 1));
                let batches = (0..portion).map(next).collect();
                comparer.offer(side, answered(logs[side as usize], batches));
            }
        }
    }
    panic!("the comparison does not come to an end");
}

fn compare(range: Range<i64>, here: &[FetchedBatch], there: &[FetchedBatch]) -> Findings {
    compare_as(Cleanup::Delete, range, here, there)
}

pub(super) fn compare_as(
    cleanup: Cleanup,
    range: Range<i64>,
    here: &[FetchedBatch],
    there: &[FetchedBatch],
) -> Findings {
    let all = [1, 2, 100]
        .map(|portion| compare_in(portion, Comparer::new(range.clone(), cleanup), range.end, [here, there]));
    // Bytes offered depend on the portion, findings do not.
    let bare = |f: &Findings| Findings { source_bytes: 0, ..f.clone() };
    assert_eq!(bare(&all[0]), bare(&all[1]));
    assert_eq!(bare(&all[0]), bare(&all[2]));
    let [findings, ..] = all;
    let counted = findings.records_compared()
        + findings.records_compacted
        + findings.records_undecided()
        + findings.offsets_without_record
        + findings.offsets_expired
        + findings.offsets_unread;
    if !findings.is_full() {
        assert_eq!(counted, range.end.abs_diff(range.start), "every offset in one count: {findings:?}");
    }
    findings
}

pub(super) fn words(findings: &Findings) -> Vec<(i64, &str)> {
    findings.differences.iter().map(|d| (d.offset, d.what.as_str())).collect()
}

pub(super) fn with_value(offset: i64, value: &'static str) -> Record {
    Record { value: Some(Bytes::from_static(value.as_bytes())), ..record(offset) }
}

#[test]
fn the_same_bytes_are_identical() {
    let log = [batch(0..10), batch(10..11), batch(11..30)];
    let findings = compare(0..30, &log, &log);
    assert_eq!(findings.verdict(), Verdict::Identical);
    assert_eq!((findings.records_equal, findings.offsets_without_record), (30, 0));
}

#[test]
fn what_a_mirror_rewrites_is_no_difference() {
    let other = Plain { producer_id: 99, ..Plain::of((0..10).map(record).collect()) }.fetched();
    assert_eq!(compare(0..10, &[batch(0..10)], &[other]).verdict(), Verdict::Identical);
}

#[test]
fn batches_may_be_cut_differently() {
    let here = [batch(0..10), batch(10..20), batch(20..30)];
    let there = [batch(0..3), batch(3..17), batch(17..20), batch(20..30)];
    let findings = compare(0..30, &here, &there);
    assert_eq!((findings.verdict(), findings.records_equal), (Verdict::Identical, 30));
    let one = [batch(0..30)];
    assert_eq!(compare(0..30, &here, &one).verdict(), Verdict::Identical);
    assert_eq!(compare(0..30, &one, &there).verdict(), Verdict::Identical);
}

#[test]
fn a_range_may_start_and_end_inside_batches() {
    let findings = compare(5..25, &[batch(0..10), batch(10..30)], &[batch(4..7), batch(7..26)]);
    assert_eq!((findings.verdict(), findings.records_equal), (Verdict::Identical, 20));
    assert_eq!(compare(5..5, &[], &[]).verdict(), Verdict::Identical);
}

#[test]
fn one_differing_record_is_found_at_its_offset() {
    let mut records: Vec<_> = (10..20).map(record).collect();
    records[7] = with_value(17, "value oF 17");
    let there = [batch(0..10), Plain::of(records).fetched(), batch(20..30)];
    let findings = compare(0..30, &[batch(0..10), batch(10..20), batch(20..30)], &there);
    assert_eq!(findings.verdict(), Verdict::Different);
    assert_eq!((findings.records_equal, findings.records_different), (29, 1));
    assert_eq!(words(&findings), [(17, "value 11 bytes here, 11 bytes there, first difference at byte 7")]);
}

#[test]
fn a_timestamp_alone_is_a_difference() {
    let late = Plain { base_timestamp: 5, ..Plain::of(vec![Record { timestamp: 6, ..record(0) }]) };
    let findings = compare(0..1, &[batch(0..1)], &[late.fetched()]);
    assert_eq!(words(&findings), [(0, "timestamp 1700000000000 here, 6 there")]);
}

#[test]
fn a_record_on_one_side_only_is_a_difference() {
    let thinned = Plain::of([0, 1, 3, 4].map(record).to_vec()).fetched();
    let findings = compare(0..5, &[batch(0..5)], std::slice::from_ref(&thinned));
    assert_eq!(words(&findings), [(2, "missing on the destination")]);
    let findings = compare(0..5, &[thinned], &[batch(0..5)]);
    assert_eq!(words(&findings), [(2, "on the destination only")]);
    let findings = compare(0..8, &[batch(0..5), batch(5..8)], &[batch(0..5)]);
    assert_eq!(words(&findings).len(), 3);
    assert_eq!((findings.records_equal, findings.records_different), (5, 3));
}

#[test]
fn a_shifted_log_is_different_not_equal() {
    let shifted: Vec<_> = (0..5).map(|o| Record { offset: o + 1, ..record(o) }).collect();
    let findings = compare(0..6, &[batch(0..5)], &[Plain::of(shifted).fetched()]);
    assert_eq!(findings.verdict(), Verdict::Different);
    assert_eq!((findings.records_equal, findings.records_different), (0, 6));
}

#[test]
fn holes_on_both_sides_are_counted_not_compared() {
    let here = [batch(2..5), emptied(5..9), batch(12..20)];
    let there =
        [batch(2..4), batch(4..5), marker(5, 5, Ends::Commit), marker(5, 6, Ends::Commit), batch(12..20)];
    let findings = compare(0..20, &here, &there);
    assert_eq!(findings.verdict(), Verdict::Identical);
    assert_eq!((findings.records_equal, findings.offsets_without_record), (11, 9));
    assert_eq!((findings.source_unseen.markers, findings.dest_unseen.markers), (0, 2));
}

#[test]
fn an_unreadable_batch_is_unknown_and_never_identical() {
    let broken = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        FetchedBatch::parse(Bytes::from(bytes)).unwrap()
    };
    let damaged = broken(Plain::of((10..20).map(record).collect()).bytes());
    let good = [batch(0..10), batch(10..20), batch(20..30)];
    let bad = [batch(0..10), damaged, batch(20..30)];
    for (here, there, side) in
        [(&good, &bad, Some(Side::Dest)), (&bad, &good, Some(Side::Source)), (&bad, &bad, None)]
    {
        let findings = compare(0..30, here, there);
        assert_eq!(findings.verdict(), Verdict::Unknown);
        assert_eq!((findings.records_equal, findings.offsets_unread), (20, 10));
        let unread = &findings.unread[0];
        assert_eq!((unread.from, unread.until), (10, 20));
        assert!(side.is_none_or(|side| side == unread.side) && unread.why.contains("checksum"), "{unread:?}");
    }
}

#[test]
fn a_difference_is_proven_even_beside_something_unreadable() {
    let mut bytes = Plain::of((0..10).map(record).collect()).bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = FetchedBatch::parse(Bytes::from(bytes)).unwrap();
    let findings = compare(
        0..11,
        &[batch(0..10), batch(10..11)],
        &[damaged, Plain::of(vec![with_value(10, "x")]).fetched()],
    );
    assert_eq!(findings.verdict(), Verdict::Different);
    assert_eq!((findings.records_different, findings.offsets_unread), (1, 10));
}

#[test]
fn bytes_behind_the_last_record_are_unreadable_even_at_the_very_end() {
    let odd = Plain { trailing: 3, ..Plain::of((0..10).map(record).collect()) }.fetched();
    let findings = compare(0..10, &[batch(0..10)], &[odd]);
    assert_eq!((findings.verdict(), findings.offsets_unread), (Verdict::Unknown, 1));
}

#[test]
fn a_side_that_cannot_be_read_on_leaves_the_rest_unknown() {
    let mut comparer = Comparer::new(0..30, Cleanup::Delete);
    comparer.offer(Side::Source, answered(&[], vec![batch(0..30)]));
    comparer.offer(Side::Dest, answered(&[], vec![batch(0..10)]));
    comparer.unreadable(Side::Dest, "no leader for 30 s".to_owned());
    while comparer.step() == Step::Moved {}
    assert_eq!(comparer.step(), Step::Done);
    let findings = comparer.finish().finish();
    assert_eq!(findings.verdict(), Verdict::Unknown);
    assert_eq!((findings.records_equal, findings.offsets_unread), (10, 20));
}

#[test]
fn what_was_never_offered_is_unread() {
    let mut comparer = Comparer::new(0..30, Cleanup::Delete);
    comparer.offer(Side::Source, answered(&[], vec![batch(0..10)]));
    comparer.offer(Side::Dest, answered(&[], vec![batch(0..10)]));
    assert_eq!(comparer.step(), Step::Moved);
    assert_eq!(comparer.step(), Step::Need(Side::Source));
    assert_eq!((comparer.position(), comparer.read_to(Side::Dest)), (10, 10));
    let findings = comparer.finish().finish();
    assert_eq!((findings.verdict(), findings.offsets_unread), (Verdict::Unknown, 20));
}

#[test]
fn what_retention_took_meanwhile_is_counted_apart() {
    for side in [Side::Source, Side::Dest] {
        let mut comparer = Comparer::new(0..30, Cleanup::Delete);
        let other = if side == Side::Source { Side::Dest } else { Side::Source };
        comparer.offer(side, answered(&[], vec![batch(0..10)]));
        comparer.expired(side, 20);
        comparer.offer(side, answered(&[], vec![batch(20..30)]));
        comparer.offer(other, answered(&[], vec![batch(0..15)]));
        comparer.offer(other, answered(&[], vec![batch(15..30)]));
        while comparer.step() == Step::Moved {}
        let findings = comparer.finish().finish();
        assert_eq!(findings.verdict(), Verdict::Identical);
        assert_eq!((findings.records_equal, findings.offsets_expired), (20, 10));
    }
}

#[test]
fn counting_ends_soon_after_the_limit() {
    let other = Plain::of((0..5_000).map(|o| with_value(o, "other")).collect()).fetched();
    let findings = compare(0..5_000, &[batch(0..5_000)], &[other]);
    assert_eq!((findings.verdict(), findings.records_different), (Verdict::Different, 100));
    assert_eq!(findings.differences.len(), 10);
    assert_eq!(findings.differences[9].offset, 9);
}

#[test]
fn rolled_back_records_are_no_records() {
    let here = [
        in_transaction(4, 0..5),
        in_transaction(5, 5..8),
        marker(4, 8, Ends::Abort),
        marker(5, 9, Ends::Commit),
    ];
    let unseen = |markers, rolled_back| Unseen { markers, rolled_back };
    // As the mirror writes it: a marker for each offset that no consumer sees (M12).
    let marked: Vec<_> = [0, 1, 2, 3, 4, 8, 9].map(|offset| marker(99, offset, Ends::Abort)).into();
    let there = [&marked[..5], &[batch(5..8)], &marked[5..]].concat();
    let findings = compare(0..10, &here, &there);
    assert_eq!(findings.verdict(), Verdict::Identical);
    assert_eq!((findings.records_equal, findings.offsets_without_record), (3, 7));
    assert_eq!((findings.source_unseen, findings.dest_unseen), (unseen(2, 5), unseen(7, 0)));
    let findings = compare(0..10, &here, &[batch(5..8)]);
    assert_eq!((findings.verdict(), findings.dest_unseen), (Verdict::Identical, unseen(0, 0)));
}

#[test]
fn a_rolled_back_record_that_is_visible_on_the_destination_is_a_difference() {
    let here = [in_transaction(4, 0..5), marker(4, 5, Ends::Abort)];
    for cleanup in [Cleanup::Delete, Cleanup::Compact, Cleanup::Unknown] {
        // Not even the later record of its key explains it: the offset is known not to be a hole.
        let later = [&here[..], &[keyed(6, "key-0", "x")]].concat();
        let findings = compare_as(cleanup, 0..7, &later, &[batch(0..5), keyed(6, "key-0", "x")]);
        assert_eq!((findings.verdict(), findings.records_different), (Verdict::Different, 5));
        assert_eq!(words(&findings)[0], (0, "rolled back here, visible there"));
    }
    let findings = compare(0..6, &[batch(0..5)], &here);
    assert_eq!(words(&findings)[0], (0, "committed here, rolled back there"));
}

#[test]
fn a_marker_is_no_record_and_a_record_no_marker() {
    let marked = [marker(99, 0, Ends::Abort), batch(1..3)];
    for cleanup in [Cleanup::Delete, Cleanup::Compact, Cleanup::Unknown] {
        let findings = compare_as(cleanup, 0..3, &[batch(0..3)], &marked);
        assert_eq!(words(&findings), [(0, "committed here, a marker there")]);
        let findings = compare_as(cleanup, 0..3, &marked, &[batch(0..3)]);
        assert_eq!(words(&findings), [(0, "a marker here, visible there")]);
    }
}

/// M27: a former primary holds what its own clients rolled back, where the mirror that became the primary has markers.
#[test]
fn a_rolled_back_record_of_a_former_primary_is_no_difference() {
    let rolled_back = [in_transaction(4, 0..2), marker(4, 2, Ends::Abort)];
    let markers = [marker(9, 0, Ends::Abort), marker(9, 1, Ends::Abort), marker(9, 2, Ends::Abort)];
    let of = |cut| {
        let comparer = Comparer::new(0..3, Cleanup::Delete).agreed_below(cut);
        compare_in(1, comparer, 3, [&markers, &rolled_back])
    };
    assert_eq!(of(2).verdict(), Verdict::Identical);
    assert!(words(&of(1))[0].1.starts_with("a marker here, rolled back there"), "above the cut it is one");
}

#[test]
fn a_rolled_back_record_on_the_destination_needs_the_same_at_the_source() {
    let rolled_back = [in_transaction(4, 0..2), marker(4, 2, Ends::Abort)];
    let markers = [0, 1, 2].map(|offset| marker(99, offset, Ends::Abort));
    for here in [&markers[..], &[]] {
        let findings = compare(0..3, here, &rolled_back);
        assert_eq!(findings.records_different, 2);
        assert!(words(&findings)[0].1.contains("visible to read_uncommitted"), "{findings:?}");
    }
    // What the source's cleaner has taken.
    assert_eq!(compare_as(Cleanup::Compact, 0..3, &[], &rolled_back).verdict(), Verdict::Identical);
    let other = Plain { attributes: 0x10, producer_id: 4, ..Plain::of(vec![record(0), with_value(1, "x")]) };
    let findings = compare(0..3, &rolled_back, &[other.fetched(), marker(4, 2, Ends::Abort)]);
    assert!(words(&findings)[0].1.starts_with("rolled back on both sides, but value"), "{findings:?}");
}

#[test]
fn a_committed_record_that_is_missing_is_found() {
    let here = [in_transaction(4, 0..5), batch(5..6), marker(4, 6, Ends::Commit)];
    let findings = compare(0..7, &here, &[batch(0..2), batch(3..6)]);
    assert_eq!(findings.verdict(), Verdict::Different);
    assert_eq!(words(&findings), [(2, "missing on the destination")]);
    assert_eq!((findings.records_equal, findings.offsets_without_record), (5, 1));
}

#[test]
fn a_commit_marker_that_the_cleaner_took_leaves_its_records_committed() {
    let here = [in_transaction(4, 0..5), emptied(5..6)];
    let findings = compare(0..6, &here, &[batch(0..5), marker(99, 5, Ends::Commit)]);
    assert_eq!((findings.verdict(), findings.records_equal), (Verdict::Identical, 5));
}

#[test]
fn transactions_on_both_sides_must_end_alike() {
    let ended = |ends| [in_transaction(4, 0..5), marker(4, 5, ends)];
    let verdict = |a, b| compare(0..6, &ended(a), &ended(b)).verdict();
    assert_eq!(verdict(Ends::Commit, Ends::Commit), Verdict::Identical);
    assert_eq!(verdict(Ends::Abort, Ends::Abort), Verdict::Identical);
    assert_eq!(verdict(Ends::Commit, Ends::Abort), Verdict::Different);
    assert_eq!(verdict(Ends::Abort, Ends::Commit), Verdict::Different);
}

#[test]
fn what_follows_an_unreadable_marker_in_the_same_answer_is_unknown() {
    let mut broken = marker(4, 5, Ends::Abort).bytes().to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let broken = FetchedBatch::parse(Bytes::from(broken)).unwrap();
    // The list names the first transaction; whether the second is void depends on the marker between them.
    let here = [in_transaction(4, 0..5), broken, in_transaction(4, 6..8), marker(4, 8, Ends::Commit)];
    let there = [batch(6..8)];
    let mut comparer = Comparer::new(0..9, Cleanup::Delete);
    let aborted = vec![crate::transactions::AbortedTransaction { producer_id: 4, first_offset: 0 }];
    comparer.offer(Side::Source, super::Portion { batches: here.to_vec(), aborted });
    comparer.offer(Side::Dest, answered(&there, vec![there[0].clone(), batch(9..10)]));
    while comparer.step() == Step::Moved {}
    let findings = comparer.finish().finish();
    assert_eq!((findings.verdict(), findings.offsets_unread), (Verdict::Unknown, 3), "{findings:?}");
}

#[test]
fn batches_that_lie_before_are_no_news_but_their_markers_count() {
    // A fetch from 6 answers with the batch before: it ends the transaction that the list still names.
    let log = [in_transaction(4, 0..5), marker(4, 5, Ends::Abort), in_transaction(4, 6..8)];
    let mut comparer = Comparer::new(6..8, Cleanup::Delete);
    let aborted = vec![crate::transactions::AbortedTransaction { producer_id: 4, first_offset: 0 }];
    comparer.offer(Side::Source, super::Portion { batches: log[1..].to_vec(), aborted });
    comparer.offer(Side::Dest, answered(&[], vec![batch(6..8)]));
    while comparer.step() == Step::Moved {}
    let findings = comparer.finish().finish();
    assert_eq!((findings.verdict(), findings.records_equal), (Verdict::Identical, 2), "{findings:?}");
}

/// A log with holes, cut into batches at random.
fn cut(present: &[bool], cuts: &[bool]) -> Vec<FetchedBatch> {
    let mut batches = Vec::new();
    let mut records = Vec::new();
    for (i, (there, cut)) in present.iter().zip(cuts).enumerate() {
        if *there {
            records.push(record(i as i64));
        }
        if *cut && !records.is_empty() {
            batches.push(Plain::of(std::mem::take(&mut records)).fetched());
        }
    }
    if !records.is_empty() {
        batches.push(Plain::of(records).fetched());
    }
    batches
}

proptest! {
    #[test]
    fn any_two_logs_are_judged_as_by_a_list(
        offsets in prop::collection::vec((any::<bool>(), any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.1)), 1..80)
    ) {
        let end = offsets.len() as i64;
        let present: Vec<bool> = offsets.iter().map(|o| o.2).collect();
        let changed: Vec<bool> = offsets.iter().map(|o| o.2 != o.3).collect();
        let (cuts_a, cuts_b): (Vec<bool>, Vec<bool>) = offsets.iter().map(|o| (o.0, o.1)).unzip();
        let same = compare(0..end, &cut(&present, &cuts_a), &cut(&present, &cuts_b));
        prop_assert_eq!(same.verdict(), Verdict::Identical);
        prop_assert_eq!(same.records_equal, present.iter().filter(|p| **p).count() as u64);
        let other = compare(0..end, &cut(&present, &cuts_a), &cut(&changed, &cuts_b));
        let different = present.iter().zip(&changed).filter(|(a, b)| a != b).count() as u64;
        prop_assert_eq!(other.records_different, different);
    }
}
