//! What takes an offset without being data, behaviour by behaviour: runs of markers (M12, M13), repeats and fillers
//! (M14), and what must stand still before them. The stage is that of `partition_tests`.

use std::collections::VecDeque;

use super::copying::Filling;
use super::cost::{AlignmentBudget, Method};
use super::markers::{COORDINATOR_EPOCH_JUMP, MARKERS_MAX, MarkerAnswer, MarkerRun, SequenceBehind};
use super::opening::{Displaced, Facts, Ownership, Tail};
use super::partition::{Input, Phase};
use super::partition_tests::{OLD, OURS, Stage, WALL, YOUNG, data, refused};
use super::queue::Holes;
use super::testing::{Answer, Slot, small};
use super::verdict::Verdict;
use super::{Trouble, WallMillis};
use crate::ids::{DestOffset, SourceOffset};
use crate::transactions::AbortedTransaction;
use crate::verify::testing::{Ends, in_transaction, marker};
use lockstep_batch::view::FetchedBatch;

impl Stage {
    /// `count` of the oldest run land and are answered with the end behind them.
    fn mark(&mut self, count: u32) -> MarkerRun {
        let run = self.runs.pop_front().expect("a run is out");
        let clock = WallMillis(WALL + i64::try_from(self.clock).unwrap());
        let mut epoch = run.above_coordinator_epoch;
        for _ in 0..count {
            epoch += 1;
            assert_ne!(self.dest.mark(epoch, clock), Answer::Refused);
        }
        let end = DestOffset(self.dest.end());
        let answer =
            MarkerAnswer::Written { count, end, coordinator_epoch: epoch, sequence: self.sequence() };
        self.handle(Input::Marked { ticket: run.ticket, answer });
        run
    }

    /// Where our data go on, as the destination tells it.
    fn sequence(&self) -> SequenceBehind {
        SequenceBehind::After(self.dest.producer(OURS.epoch).map_or(-1, |p| p.last_sequence))
    }

    fn runs(&self) -> Vec<(i64, u32)> {
        self.runs.iter().map(|run| (run.from.0, run.count)).collect()
    }

    /// Looks until the machine goes on; milliseconds that took.
    fn look_until_copying(&mut self) -> u64 {
        let before = self.clock;
        while self.machine.phase() == Phase::Opening {
            self.look();
        }
        self.clock - before
    }

    fn is_marker(&self, offset: usize) -> bool {
        self.dest.slots[offset] == Slot::Marker
    }
}

fn commit(offset: i64) -> FetchedBatch {
    marker(4, offset, Ends::Commit)
}

fn budget(bytes: u64) -> AlignmentBudget {
    AlignmentBudget { bytes, ..AlignmentBudget::default() }
}

fn compacted(ownership: Ownership) -> Stage {
    Stage::filling(ownership, Filling { holes: Holes::Repeats, budget: AlignmentBudget::default() })
}

// ── runs of markers ──

#[test]
fn markers_go_alone_and_nothing_follows_before_their_answer() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), commit(6), commit(7), data(8, 1, YOUNG), data(9, 1, YOUNG)]);
    assert_eq!((stage.expected(), stage.runs()), (vec![5], vec![]), "a batch is in flight");
    stage.land();
    assert_eq!((stage.expected(), stage.runs()), (vec![], vec![(6, 2)]));
    stage.mark(2);
    assert_eq!(stage.receipts[5..], [(5, 6), (6, 8)]);
    assert_eq!(stage.expected(), [8, 9], "pipelined again: the broker knows us, and the end was read");
    stage.land();
    stage.land();
    assert!(stage.dest.end() == 10 && stage.is_marker(6) && stage.is_marker(7) && !stage.is_marker(8));
    assert!(stage.announced.is_empty());
    stage.permits_come_back();
}

#[test]
fn rolled_back_records_and_holes_become_markers() {
    let mut stage = Stage::new();
    let batches = [in_transaction(4, 0..2), marker(4, 2, Ends::Abort), data(5, 1, YOUNG)];
    let records: Vec<u8> = batches.iter().flat_map(|batch| batch.bytes().to_vec()).collect();
    let aborted = vec![AbortedTransaction { producer_id: 4, first_offset: 0 }];
    stage.fetch_with(0, records.into(), aborted);
    assert_eq!(stage.runs(), [(0, 5)], "in one run");
    stage.mark(5);
    stage.land();
    assert_eq!((stage.dest.end(), stage.receipts.last()), (6, Some(&(5, 6))));
}

#[test]
fn a_long_run_goes_out_in_pieces_and_each_is_above_the_one_before() {
    let mut stage = Stage::new();
    let hole = i64::from(MARKERS_MAX) * 2 + 1;
    stage.fetch(0, &[data(hole, 1, YOUNG)]);
    let runs = [stage.mark(MARKERS_MAX), stage.mark(MARKERS_MAX), stage.mark(1)];
    assert_eq!(stage.expected(), [hole]);
    let above = runs.map(|run| run.above_coordinator_epoch);
    let steps = i32::try_from(MARKERS_MAX).unwrap();
    assert_eq!([above[1] - above[0], above[2] - above[1]], [steps, steps]);
    assert_eq!(above[0], COORDINATOR_EPOCH_JUMP - 1, "none was known");
    let (from, cost) = stage.announced[0];
    assert_eq!((stage.announced.len(), from, cost.offsets), (1, SourceOffset(0), hole.unsigned_abs()));
    // A new opening begins above whatever the one before may have had on its way.
    stage.handle(Input::OutOfRange { at: SourceOffset(hole + 1) });
    stage.land();
    stage.look_until_copying();
    stage.fetch(hole + 1, &[commit(hole + 1)]);
    stage.look_until_copying();
    stage.fetch(hole + 1, &[commit(hole + 1)]);
    let known = stage.dest.producer(OURS.epoch).unwrap().coordinator_epoch;
    assert_eq!(stage.runs[0].above_coordinator_epoch, known + COORDINATOR_EPOCH_JUMP);
}

#[test]
fn what_was_not_written_of_a_run_goes_out_next() {
    let mut stage = Stage::new();
    stage.fetch(0, &[data(7, 1, YOUNG)]);
    let first = stage.mark(3);
    assert_eq!((stage.receipts.clone(), stage.runs()), (vec![(0, 3)], vec![(3, 4)]));
    assert_eq!(stage.runs[0].above_coordinator_epoch, first.above_coordinator_epoch + 3);
    stage.mark(4);
    assert_eq!((stage.receipts.clone(), stage.expected()), (vec![(0, 3), (3, 7)], vec![7]));
}

#[test]
fn a_lost_answer_is_no_reason_to_write_markers_again() {
    let mut stage = Stage::new();
    stage.fetch(0, &[data(3, 1, YOUNG)]);
    let run = stage.runs.pop_front().unwrap();
    for epoch in 1..=3 {
        stage.dest.mark(run.above_coordinator_epoch + epoch, WallMillis(WALL));
    }
    let lost = MarkerAnswer::Failed(Trouble::soon("lost"));
    stage.handle(Input::Marked { ticket: run.ticket, answer: lost });
    assert_eq!((stage.machine.phase(), stage.receipts.len()), (Phase::Opening, 0));
    stage.look_until_copying();
    assert_eq!((stage.wanted(), stage.runs.len()), (Some(3), 0));
}

#[test]
fn an_end_too_far_behind_markers_asks_who_stands_there() {
    let mut stage = Stage::new();
    stage.fetch(0, &[commit(0), commit(1), data(2, 1, YOUNG)]);
    stage.dest.mark(0, WallMillis(WALL));
    stage.mark(2);
    let displaced = Displaced { from: DestOffset(0), at: DestOffset(2), landed: DestOffset(3) };
    assert_eq!(stage.opens[0].1, Some(displaced));
    assert!(stage.receipts.is_empty() && stage.expected().is_empty());
    for _ in 0..2 {
        let slip = Facts { tail: Tail::OwnRepeat { at: DestOffset(2), shift: 1 }, ..stage.facts() };
        stage.look_and_see(slip);
    }
    assert_eq!(stage.stopped, Some(Verdict::Slipped { at: DestOffset(2), shift: 1 }));
}

#[test]
fn a_producer_known_by_markers_alone_begins_at_sequence_zero() {
    let mut stage = Stage::new();
    stage.fetch(0, &[commit(0), data(1, 1, YOUNG), commit(2), data(3, 1, YOUNG)]);
    stage.mark(1);
    assert_eq!(stage.appends[0].batch.stamp().base_sequence, 0, "not the offset: that would be refused (45)");
    stage.land();
    stage.mark(1);
    assert_eq!(stage.appends[0].batch.stamp().base_sequence, 1, "markers do not disturb it");
    stage.land();
    assert_eq!(stage.dest.end(), 4);
}

/// Story: the end behind a run was read late, and the partition took the producer for younger than the broker did.
#[test]
fn markers_are_as_old_as_their_sending() {
    let mut stage = Stage::new();
    stage.fetch(0, &[commit(0), data(1, 1, WALL + 100_000_000), data(2, 1, WALL + 100_000_000)]);
    stage.clock += 22 * 3_600_000;
    let run = stage.runs[0];
    stage.dest.mark(run.above_coordinator_epoch + 1, WallMillis(WALL));
    stage.clock += 3_600_000;
    let sequence = stage.sequence();
    let answer = MarkerAnswer::Written { count: 1, end: DestOffset(1), coordinator_epoch: 1, sequence };
    stage.handle(Input::Marked { ticket: run.ticket, answer });
    assert_eq!(stage.expected(), [1], "alone: 23 hours after the marker the broker may have forgotten us");
}

// ── what must stand still first ──

#[test]
fn before_the_first_markers_a_remembered_end_has_to_stand_still() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    stage.look();
    stage.fetch(5, &[commit(5), data(6, 1, YOUNG), commit(7)]);
    assert!(stage.runs.is_empty() && stage.machine.phase() == Phase::Opening);
    let waited = stage.look_until_copying();
    assert!(waited >= 2_000, "{waited}");
    stage.fetch(5, &[commit(5), data(6, 1, YOUNG), commit(7)]);
    assert_eq!(stage.runs(), [(5, 1)]);
    stage.mark(1);
    stage.land();
    assert_eq!(stage.runs(), [(7, 1)], "nothing of a dead owner can be on its way any more");
}

#[test]
fn once_data_are_acknowledged_markers_need_no_standstill() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    stage.look();
    stage.fetch(5, &[data(5, 1, YOUNG), commit(6)]);
    stage.land();
    assert_eq!(stage.runs(), [(6, 1)]);
}

/// Story: an owner had begun to fill a hole with markers, since nothing behind it had been fetched yet, and was
/// killed. The next owner saw the record behind it and filled the hole with repeats, at once, as its producer was
/// remembered. The dead owner's markers carry no sequence: they landed behind the repeats.
#[test]
fn before_repeats_in_a_hole_a_remembered_end_has_to_stand_still_too() {
    let mut stage = compacted(Ownership::JustCreated);
    stage.look();
    stage.fetch(0, &[data(0, 1, YOUNG)]);
    stage.land();
    stage.handle(Input::OutOfRange { at: SourceOffset(1) });
    stage.look();
    stage.fetch(1, &[small(3, 1, YOUNG)]);
    assert!(stage.expected().is_empty());
    assert!(stage.look_until_copying() >= 2_000);
    stage.fetch(1, &[small(3, 1, YOUNG)]);
    assert_eq!(stage.expected(), [1]);
    stage.land();
    stage.land();
    assert_eq!((stage.dest.end(), stage.dest.bases.clone()), (4, vec![0, 1, 3]));
}

/// Story: a second after an opening that rested on the broker's memory the end was read again, it had not moved, and
/// that was taken for a standstill, though it had lasted half as long.
#[test]
fn an_end_read_again_after_a_second_is_no_standstill() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    stage.look();
    // Old by now: what comes next is unguarded, and the end is to be read again.
    stage.clock += 90_000_000;
    stage.fetch(5, &[data(5, 1, WALL + 90_000_000), data(6, 1, OLD)]);
    assert_eq!(stage.look_until_copying(), 0);
    assert_eq!(stage.expected(), [5]);
    stage.land();
    assert_eq!((stage.expected(), stage.machine.phase()), (vec![], Phase::Opening), "old data come next");
    assert!(stage.look_until_copying() >= 2_000);
}

#[test]
fn an_end_older_than_a_second_is_read_again_before_markers() {
    let mut stage = Stage::in_full_swing();
    stage.clock += 1_500;
    stage.fetch(5, &[commit(5)]);
    assert!(stage.runs.is_empty());
    assert_eq!(stage.look_until_copying(), 0, "no standstill: we were the last to write");
    assert_eq!(stage.runs(), [(5, 1)]);
}

// ── what it costs ──

#[test]
fn above_the_budget_everything_before_the_hole_is_written_and_then_it_is_said() {
    let filling = Filling { holes: Holes::Markers, budget: budget(10_000) };
    let mut stage = Stage::filling(Ownership::JustCreated, filling);
    stage.look();
    stage.fetch(0, &[data(0, 1, YOUNG), data(5, 1, YOUNG), data(500, 1, YOUNG)]);
    stage.land();
    assert_eq!(stage.runs(), [(1, 4)], "a small hole is within it");
    stage.mark(4);
    assert_eq!((&stage.stopped, stage.wanted()), (&None, Some(501)));
    stage.land();
    let Some(Verdict::NeedsDecision { at, next, cost }) = &stage.stopped else {
        panic!("{:?}", stage.stopped)
    };
    assert_eq!((*at, *next, cost.method), (SourceOffset(6), SourceOffset(500), Method::Markers));
    assert_eq!((stage.receipts.last(), stage.wanted()), (Some(&(5, 6)), None));
    stage.permits_come_back();
}

#[test]
fn control_records_need_no_budget() {
    let mut stage =
        Stage::filling(Ownership::JustCreated, Filling { holes: Holes::Markers, budget: budget(0) });
    stage.look();
    stage.fetch(0, &[commit(0), commit(1)]);
    assert_eq!(stage.runs(), [(0, 2)]);
}

// ── late log starts ──

fn late_start(stage: &Stage, start: i64) -> Facts {
    Facts { source_start: SourceOffset(start), ..stage.facts() }
}

#[test]
fn an_empty_mirror_of_a_log_that_starts_late_is_filled_up_to_it() {
    let mut stage = Stage::unopened(Ownership::JustCreated);
    stage.look_and_see(late_start(&stage, 50));
    assert_eq!(stage.machine.phase(), Phase::Opening, "looked at a second time");
    stage.look_and_see(late_start(&stage, 50));
    assert_eq!((stage.wanted(), stage.expected()), (Some(50), vec![0]));
    assert!(stage.lost.is_empty(), "nothing was there to be copied");
    stage.land();
    while stage.dest.end() < 50 {
        assert_eq!(stage.appends[0].batch.record_count(), 10);
        stage.land();
    }
    stage.fetch(50, &[data(50, 1, YOUNG)]);
    stage.land();
    assert_eq!(stage.dest.bases, [0, 10, 20, 30, 40, 50]);
    assert_eq!(stage.receipts.last(), Some(&(50, 51)));
}

#[test]
fn what_expired_before_it_was_copied_is_lost_aloud_and_left_to_markers() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    stage.look_and_see(late_start(&stage, 9));
    stage.look_and_see(late_start(&stage, 9));
    assert_eq!(stage.lost, [(5, 9)]);
    while stage.machine.phase() == Phase::Opening {
        stage.look_and_see(late_start(&stage, 9));
    }
    assert_eq!((stage.runs(), stage.wanted()), (vec![(5, 4)], Some(9)));
    assert_eq!(stage.lost.len(), 1, "said once, although the end had to be looked at again");
}

/// Story: the mirror's own retention had emptied the destination, so fillers were the way up to the source's start,
/// while markers of a dead owner for the same offsets could still be on their way.
#[test]
fn before_fillers_a_remembered_end_has_to_stand_still_too() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    let emptied =
        |stage: &Stage| Facts { dest_start: DestOffset(5), tail: Tail::Empty, ..late_start(stage, 9) };
    stage.look_and_see(emptied(&stage));
    let before = stage.clock;
    stage.look_and_see(emptied(&stage));
    while stage.machine.phase() == Phase::Opening {
        stage.look_and_see(emptied(&stage));
    }
    assert!(stage.clock >= before + 2_000);
    assert_eq!(stage.expected(), [5]);
}

// ── old data between markers ──

/// A backfill of old transactions: the broker may forget us at any moment, and a marker makes it remember again,
/// but not the sequence. Story: begun anew at once, an append of another owner that was still on its way fitted behind.
#[test]
fn a_sequence_lost_between_markers_is_asked_for_again() {
    let mut stage = Stage::new();
    stage.fetch(0, &[data(0, 3, OLD), commit(3), data(4, 1, OLD), commit(5)]);
    stage.land();
    stage.dest.forget_producer();
    stage.mark(1);
    assert_eq!((stage.dest.end(), stage.machine.phase()), (4, Phase::Opening), "it has to be 0");
    assert!(stage.look_until_copying() >= 2_000, "known by a marker alone is not remembered");
    stage.fetch(4, &[data(4, 1, OLD), commit(5)]);
    assert_eq!(stage.appends[0].batch.stamp().base_sequence, 0);
    stage.land();
    stage.mark(1);
    assert_eq!(stage.dest.end(), 6);
}

#[test]
fn a_refused_append_behind_markers_drains_as_any_other() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[commit(5), data(6, 1, YOUNG), data(7, 1, YOUNG)]);
    stage.mark(1);
    stage.answer(refused());
    assert_eq!((stage.machine.phase(), stage.appends.len()), (Phase::Draining, 1));
    stage.answer(refused());
    stage.look_until_copying();
    assert_eq!((stage.wanted(), stage.appends.len()), (Some(6), 0));
    let nothing: VecDeque<MarkerRun> = VecDeque::new();
    assert_eq!(stage.runs, nothing);
}
