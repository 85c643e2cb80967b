//! The comparer on compacted topics: what two cleaners that work at different times may leave, and what they may not.

use bytes::Bytes;
use lockstep_batch::records::Record;
use lockstep_batch::view::FetchedBatch;
use proptest::prelude::*;

use super::testing::{Ends, Plain, batch, keyed, marker, record, tombstone};
use super::tests::{compare_as, compare_in, words};
use super::{Cleanup, Comparer, Findings, Side, Step, Undecided, Verdict};

fn compact(end: i64, here: &[FetchedBatch], there: &[FetchedBatch]) -> Findings {
    compare_as(Cleanup::Compact, 0..end, here, there)
}

/// Both ways round: which side was cleaned makes no difference to the verdict.
fn both_ways(end: i64, a: &[FetchedBatch], b: &[FetchedBatch]) -> (Verdict, u64, u64) {
    let (here, there) = (compact(end, a, b), compact(end, b, a));
    let told = |f: &Findings| (f.verdict(), f.records_compacted, f.records_different);
    assert_eq!(told(&here), told(&there), "{here:?} {there:?}");
    told(&here)
}

#[test]
fn a_later_record_of_the_key_on_the_other_side_explains() {
    let all = [keyed(0, "a", "1"), keyed(1, "b", "1"), keyed(2, "a", "2"), keyed(3, "a", "3")];
    assert_eq!(both_ways(4, &all, &all[1..]), (Verdict::Identical, 1, 0));
    assert_eq!(both_ways(4, &all, &[all[1].clone(), all[3].clone()]), (Verdict::Identical, 2, 0));
    // Each side has lost another one.
    let (here, there) = ([&all[..1], &all[1..2], &all[3..]].concat(), &all[1..]);
    assert_eq!(both_ways(4, &here, there), (Verdict::Identical, 2, 0));
}

#[test]
fn only_compacted_topics_are_excused() {
    let (here, there) = ([keyed(0, "a", "1"), keyed(1, "a", "2")], [keyed(1, "a", "2")]);
    let findings = compare_as(Cleanup::Delete, 0..2, &here, &there);
    assert_eq!(words(&findings), [(0, "missing on the destination")]);
    let findings = compare_as(Cleanup::Unknown, 0..2, &here, &there);
    assert_eq!(findings.verdict(), Verdict::Unknown);
    assert_eq!(findings.undecided.get(&Undecided::PolicyUnknown), Some(&1));
}

#[test]
fn a_missing_last_record_of_a_key_is_a_difference() {
    let all = [keyed(0, "a", "1"), keyed(1, "b", "1"), keyed(2, "a", "2")];
    for left in [&all[..2], &all[1..2], &all[..1]] {
        assert_eq!(both_ways(3, &all, left).0, Verdict::Different, "{left:?}");
    }
    let findings = compact(3, &all, &all[..2]);
    let what = "missing on the destination, and no later record of its key is on the other side";
    assert_eq!(words(&findings), [(2, what)]);
    assert_eq!((findings.records_equal, findings.records_different), (2, 1));
}

#[test]
fn a_record_without_a_key_is_never_explained() {
    let bare = Plain::of(vec![Record { key: None, ..record(0) }]).fetched();
    let later = Plain::of(vec![Record { key: None, ..record(1) }]).fetched();
    let findings = compact(2, &[bare, later.clone()], &[later]);
    assert_eq!(findings.records_different, 1);
    assert!(words(&findings)[0].1.contains("without a key"), "{findings:?}");
}

#[test]
fn another_value_at_the_same_offset_is_never_explained() {
    let findings =
        compact(2, &[keyed(0, "a", "1"), keyed(1, "a", "2")], &[keyed(0, "a", "X"), keyed(1, "a", "2")]);
    assert_eq!((findings.verdict(), findings.records_different), (Verdict::Different, 1));
}

#[test]
fn a_dropped_tombstone_is_explained_when_nothing_of_its_key_is_left() {
    let all = [keyed(0, "a", "1"), keyed(1, "b", "1"), tombstone(2, "a")];
    assert_eq!(both_ways(3, &all, &all[1..2]), (Verdict::Identical, 2, 0));
    assert_eq!(both_ways(3, &all[1..], &all[1..2]), (Verdict::Identical, 1, 0));
    // The value it deleted would rise again (M19).
    assert_eq!(both_ways(3, &all, &all[..2]), (Verdict::Different, 0, 1));
    let findings = compact(3, &all, &all[..2]);
    assert!(words(&findings)[0].1.contains("an older value of its key"), "{findings:?}");
    assert_eq!(words(&findings)[0].0, 2);
    // A value behind the tombstone is not deleted by it.
    let revived = [&all[..], &[keyed(3, "a", "2")]].concat();
    assert_eq!(both_ways(4, &revived, &all[1..2]).0, Verdict::Different);
    assert_eq!(both_ways(4, &revived, &[all[1].clone(), revived[3].clone()]), (Verdict::Identical, 2, 0));
}

#[test]
fn repeats_of_the_next_surviving_record_are_explained() {
    // M14: the hole 1..5 is filled with the record at 5.
    let here = [keyed(0, "a", "1"), keyed(5, "b", "1"), keyed(6, "c", "1")];
    let repeats = (1..5).map(|offset| {
        let at_5 = Record { offset, ..record(5) };
        let (key, value) = (Some(Bytes::from_static(b"b")), Some(Bytes::from_static(b"1")));
        Plain::of(vec![Record { key, value, ..at_5 }]).fetched()
    });
    let there: Vec<_> = here[..1].iter().cloned().chain(repeats).chain(here[1..].iter().cloned()).collect();
    let findings = compact(7, &here, &there);
    assert_eq!(
        (findings.verdict(), findings.records_compacted, findings.records_equal),
        (Verdict::Identical, 4, 3)
    );
    // Since then the source's cleaner has taken the repeated record for a later one, or a tombstone has come and gone.
    let later = [here[0].clone(), here[2].clone(), keyed(7, "b", "2")];
    let mirrored = [&there[..], &later[2..]].concat();
    let findings = compact(8, &later, &mirrored);
    assert_eq!((findings.verdict(), findings.records_compacted), (Verdict::Identical, 5));
    let mirrored = [&there[..], &[tombstone(7, "b")]].concat();
    assert_eq!(compact(8, &later[..2], &mirrored).verdict(), Verdict::Identical);
    // A record that nobody ever wrote at the source is no repeat of anything.
    let invented = [here[0].clone(), keyed(3, "z", "1"), here[1].clone(), here[2].clone()];
    let findings = compact(7, &here, &invented);
    assert_eq!(findings.verdict(), Verdict::Different);
    assert!(words(&findings)[0].1.starts_with("on the destination only"), "{findings:?}");
}

#[test]
fn holes_may_be_markers_on_the_other_side() {
    let here = [keyed(0, "a", "1"), keyed(3, "b", "1")];
    let there = [here[0].clone(), marker(9, 1, Ends::Abort), marker(9, 2, Ends::Abort), here[1].clone()];
    let findings = compact(4, &here, &there);
    assert_eq!((findings.verdict(), findings.offsets_without_record), (Verdict::Identical, 2));
    assert_eq!((findings.source_unseen.markers, findings.dest_unseen.markers), (0, 2));
}

#[test]
fn the_record_that_explains_may_lie_behind_the_range() {
    let here = [keyed(0, "a", "1"), batch(1..2)];
    let mut comparer = Comparer::new(0..2, Cleanup::Compact);
    comparer.offer(Side::Source, super::Portion { batches: here.to_vec(), aborted: Vec::new() });
    comparer.offer(Side::Dest, super::Portion { batches: vec![batch(1..2)], aborted: Vec::new() });
    while comparer.step() == Step::Moved {}
    let second = comparer.finish();
    assert_eq!((second.wanted(Side::Source), second.wanted(Side::Dest)), (None, Some(0)));
    let looked = |batches| {
        let mut second = second.clone();
        second.offer(Side::Dest, super::Portion { batches, aborted: Vec::new() });
        (second.wanted(Side::Dest), second.finish().verdict())
    };
    assert_eq!(looked(vec![batch(1..2), keyed(7, "a", "2")]), (None, Verdict::Identical));
    assert_eq!(looked(vec![batch(1..2), keyed(7, "c", "2")]), (Some(0), Verdict::Different));
    let mut broken = second.clone();
    broken.unreadable(Side::Dest, "no leader".to_owned());
    let findings = broken.finish();
    assert_eq!((findings.verdict(), findings.records_undecided()), (Verdict::Unknown, 1));
}

#[test]
fn what_could_not_be_read_on_the_other_side_could_explain() {
    let mut bytes = keyed(1, "a", "2").bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = FetchedBatch::parse(Bytes::from(bytes)).unwrap();
    let findings = compact(3, &[keyed(0, "a", "1"), keyed(2, "b", "1")], &[damaged, keyed(2, "b", "1")]);
    assert_eq!(
        (findings.verdict(), findings.records_undecided(), findings.offsets_unread),
        (Verdict::Unknown, 1, 1)
    );
}

#[test]
fn keys_beyond_the_room_are_undecided_never_explained() {
    let here: Vec<_> = (0..6).map(|o| keyed(o, ["a", "b", "c"][o as usize % 3], "1")).collect();
    let compare = |room| {
        let comparer = Comparer::with_room(0..6, Cleanup::Compact, room);
        compare_in(100, comparer, 6, [&here, &here[3..]])
    };
    assert_eq!((compare(3).verdict(), compare(3).records_compacted), (Verdict::Identical, 3));
    let findings = compare(2);
    assert_eq!((findings.verdict(), findings.records_compacted), (Verdict::Unknown, 2));
    assert_eq!(findings.undecided.get(&Undecided::TooManyKeys), Some(&1));
    // A difference is still one.
    let comparer = Comparer::with_room(0..6, Cleanup::Compact, 1);
    let findings = compare_in(100, comparer, 6, [&here, &here[4..]]);
    assert_eq!(findings.verdict(), Verdict::Different, "{findings:?}");
}

/// What a cleaner that has come to `to` leaves: of each key the last record below, and no tombstone that is the last.
fn cleaned(log: &[(u8, bool)], to: usize, drops_tombstones: bool) -> Vec<FetchedBatch> {
    let left = |at: usize| {
        let (key, is_tombstone) = log[at];
        at >= to
            || !(log[at + 1..to].iter().any(|later| later.0 == key) || (is_tombstone && drops_tombstones))
    };
    let at = |offset: usize| {
        let (key, is_tombstone) = log[offset];
        let value = (!is_tombstone).then(|| Bytes::from(format!("value {offset}")));
        Record { key: Some(Bytes::from(vec![key])), value, ..record(offset as i64) }
    };
    (0..log.len()).filter(|o| left(*o)).map(|o| Plain::of(vec![at(o)]).fetched()).collect()
}

proptest! {
    #[test]
    fn whatever_two_cleaners_leave_of_one_log_is_identical(
        log in prop::collection::vec((0u8..6, prop::bool::weighted(0.3)), 1..40),
        to in (0usize..41, 0usize..41),
        drops in any::<(bool, bool)>(),
    ) {
        let end = log.len();
        let here = cleaned(&log, to.0.min(end), drops.0);
        let there = cleaned(&log, to.1.min(end), drops.1);
        let findings = compact(end as i64, &here, &there);
        prop_assert_eq!(findings.verdict(), Verdict::Identical, "{:?}", findings);
    }

    #[test]
    fn the_loss_of_a_last_value_is_always_found(
        log in prop::collection::vec((0u8..6, prop::bool::weighted(0.3)), 1..40),
        to in 0usize..41,
        lost in 0u8..6,
    ) {
        let Some(last) = log.iter().rposition(|(key, _)| *key == lost).filter(|at| !log[*at].1) else {
            return Ok(());
        };
        let end = log.len();
        let here = cleaned(&log, to.min(end), false);
        let there: Vec<_> =
            here.iter().filter(|batch| batch.header().base_offset() != last as i64).cloned().collect();
        prop_assert_eq!(both_ways(end as i64, &here, &there).0, Verdict::Different);
    }
}
