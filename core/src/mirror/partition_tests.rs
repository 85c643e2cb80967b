//! The state machine of one partition, behaviour by behaviour, against a destination that acts as a broker does.
//! Each test says what is fetched, what lands, what is answered, and looks at what comes out. Data are here, what
//! takes an offset without being data in `filling_tests`.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use lockstep_batch::view::FetchedBatch;

use super::copying::{Append, AppendAnswer, Filling};
use super::cost::{AlignmentBudget, Cost};
use super::guard::{Guard, PRODUCER_ID_EXPIRATION_MS_DEFAULT};
use super::markers::MarkerRun;
use super::opening::{Displaced, Facts, Ownership, Tail};
use super::partition::{Action, FetchPosition, Input, Partition, Phase, Settings, SourceEnds};
use super::queue::Holes;
use super::testing::{Answer, DestLog, large};
use super::verdict::{Divergence, Verdict};
use super::window::Ticket;
use super::{Millis, Now, Trouble, WallMillis};
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicId};
use crate::transactions::AbortedTransaction;
use crate::verify::testing::{Ends, marker};

pub(super) const OURS: ProducerIdentity = ProducerIdentity { id: 7, epoch: 3 };
pub(super) const WALL: i64 = 1_700_000_000_000;
pub(super) const YOUNG: i64 = WALL - 1_000;
pub(super) const OLD: i64 = WALL - 2 * PRODUCER_ID_EXPIRATION_MS_DEFAULT;
const SOURCE_ID: TopicId = TopicId([1; 16]);
const BUFFER_BYTES_MAX: usize = 500_000;

/// One partition, the destination it writes to, and what it has asked for.
pub(super) struct Stage {
    pub(super) machine: Partition<Rc<()>>,
    pub(super) dest: DestLog,
    pub(super) clock: u64,
    pub(super) permit: Rc<()>,
    pub(super) appends: VecDeque<Append>,
    pub(super) runs: VecDeque<MarkerRun>,
    pub(super) announced: Vec<(SourceOffset, Cost)>,
    /// From, next.
    pub(super) lost: Vec<(i64, i64)>,
    /// From, next.
    pub(super) receipts: Vec<(i64, i64)>,
    pub(super) opens: Vec<(Millis, Option<Displaced>)>,
    pub(super) opened: Vec<i64>,
    pub(super) stopped: Option<Verdict>,
}

impl Stage {
    pub(super) fn unopened(ownership: Ownership) -> Self {
        Self::filling(ownership, Filling { holes: Holes::Markers, budget: AlignmentBudget::default() })
    }

    pub(super) fn filling(ownership: Ownership, filling: Filling) -> Self {
        let guard = Guard::new(PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        let settings = Settings { identity: OURS, guard, filling, buffered_bytes_max: BUFFER_BYTES_MAX };
        Self {
            machine: Partition::new(settings, SOURCE_ID, ownership),
            dest: DestLog::default(),
            clock: 0,
            permit: Rc::new(()),
            appends: VecDeque::new(),
            runs: VecDeque::new(),
            announced: Vec::new(),
            lost: Vec::new(),
            receipts: Vec::new(),
            opens: Vec::new(),
            opened: Vec::new(),
            stopped: None,
        }
    }

    /// Copying from offset 0 into a topic that was just created.
    pub(super) fn new() -> Self {
        let mut stage = Self::unopened(Ownership::JustCreated);
        stage.look();
        stage
    }

    /// Copying behind five batches of one record, pipelining allowed.
    pub(super) fn in_full_swing() -> Self {
        let mut stage = Self::new();
        stage.fetch(0, &(0..5).map(|base| data(base, 1, YOUNG)).collect::<Vec<_>>());
        while !stage.appends.is_empty() {
            stage.land();
        }
        assert_eq!(stage.receipts, (0..5).map(|i| (i, i + 1)).collect::<Vec<_>>());
        stage
    }

    pub(super) fn handle(&mut self, input: Input<Rc<()>>) {
        let wall = WallMillis(WALL + i64::try_from(self.clock).unwrap());
        let mut actions = Vec::new();
        self.machine.handle(input, Now { mono: Millis(self.clock), wall }, &mut actions);
        for action in actions {
            match action {
                Action::Open { at, displaced } => self.opens.push((at, displaced)),
                Action::Append(append) => self.appends.push_back(append),
                Action::Receipt(receipt) => self.receipts.push((receipt.from.0, receipt.next.0)),
                Action::Mark(run) => self.runs.push_back(run),
                Action::Announce { from, cost } => self.announced.push((from, cost)),
                Action::Lost(span) => self.lost.push((span.from.0, span.next.0)),
                Action::Opened { end } => self.opened.push(end.0),
                Action::Stopped(verdict) => assert_eq!(self.stopped.replace(verdict), None, "stops once"),
            }
        }
    }

    pub(super) fn facts(&self) -> Facts {
        let end = self.dest.end();
        Facts {
            producer: self.dest.producer(OURS.epoch),
            dest_start: DestOffset(0),
            dest_end: DestOffset(end),
            dest_high_watermark: DestOffset(end),
            source_id: SOURCE_ID,
            source_epoch: LeaderEpoch(6),
            source_start: SourceOffset(0),
            source_end: SourceOffset(end.max(1_000)),
            source_stable: SourceOffset(end.max(1_000)),
            tail: if end == 0 { Tail::Empty } else { Tail::Equal { source_epoch: LeaderEpoch(6) } },
        }
    }

    /// Answers what was asked for, at the moment it was asked for, from the destination as it is.
    pub(super) fn look(&mut self) {
        let facts = self.facts();
        self.look_and_see(facts);
    }

    pub(super) fn look_and_see(&mut self, facts: Facts) {
        if let Some((at, _)) = self.opens.pop() {
            self.clock = self.clock.max(at.0);
        }
        self.handle(Input::Facts(Box::new(facts)));
    }

    pub(super) fn fetch(&mut self, at: i64, batches: &[FetchedBatch]) {
        let mut records = BytesMut::new();
        batches.iter().for_each(|batch| records.extend_from_slice(batch.bytes()));
        self.fetch_raw(at, records.freeze());
    }

    pub(super) fn fetch_raw(&mut self, at: i64, records: Bytes) {
        self.fetch_with(at, records, Vec::new());
    }

    pub(super) fn fetch_with(&mut self, at: i64, records: Bytes, aborted: Vec<AbortedTransaction>) {
        let end = SourceOffset(1_000);
        let ends = SourceEnds { log_start: SourceOffset(0), high_watermark: end, last_stable: end };
        let permit = Rc::clone(&self.permit);
        self.handle(Input::Fetched { at: SourceOffset(at), records, aborted, ends, permit });
    }

    /// The oldest append lands and is answered.
    pub(super) fn land(&mut self) {
        let append = self.appends.pop_front().expect("an append is out");
        let answer = match self.dest.append(&append.batch) {
            Answer::Base(base) => AppendAnswer::Acknowledged { base: DestOffset(base) },
            Answer::Refused => refused(),
        };
        self.handle(Input::Appended { ticket: append.ticket, answer });
    }

    /// The oldest append is answered so, whatever became of it.
    pub(super) fn answer(&mut self, answer: AppendAnswer) -> Append {
        let append = self.appends.pop_front().expect("an append is out");
        self.handle(Input::Appended { ticket: append.ticket, answer });
        append
    }

    pub(super) fn expected(&self) -> Vec<i64> {
        self.appends.iter().map(|append| append.expect.0).collect()
    }

    pub(super) fn wanted(&self) -> Option<i64> {
        self.machine.wants().map(|FetchPosition { offset, .. }| offset.0)
    }

    /// Nothing is held back once the machine is gone.
    pub(super) fn permits_come_back(self) {
        let Self { machine, permit, .. } = self;
        drop(machine);
        assert_eq!(Rc::strong_count(&permit), 1);
    }
}

pub(super) fn data(base: i64, records: i32, timestamp: i64) -> FetchedBatch {
    large(base, records, timestamp)
}

pub(super) fn at(base: i64) -> AppendAnswer {
    AppendAnswer::Acknowledged { base: DestOffset(base) }
}

pub(super) fn refused() -> AppendAnswer {
    AppendAnswer::Failed(Trouble::soon("refused"))
}

/// A commit marker whose checksum does not hold: nobody can say what it commits.
fn unreadable(offset: i64) -> FetchedBatch {
    let mut bytes = BytesMut::from(&marker(4, offset, Ends::Commit).bytes()[..]);
    bytes[17] ^= 1;
    FetchedBatch::parse(bytes.freeze()).unwrap()
}

/// Format numbers other than 2: nobody can read that batch.
fn damaged(batch: &FetchedBatch, magic: u8) -> Bytes {
    let mut bytes = BytesMut::from(&batch.bytes()[..]);
    bytes[16] = magic;
    bytes.freeze()
}

// ── copying ──

#[test]
fn batches_are_copied_to_their_offsets_and_receipts_come_in_order() {
    let mut stage = Stage::new();
    stage.fetch(0, &[data(0, 3, YOUNG), data(3, 2, YOUNG), data(5, 1, YOUNG)]);
    assert_eq!(stage.wanted(), Some(6));
    while !stage.appends.is_empty() {
        stage.land();
    }
    assert_eq!(stage.dest.bases, [0, 3, 5]);
    assert_eq!(stage.receipts, [(0, 3), (3, 5), (5, 6)]);
    assert_eq!(stage.machine.durable(), Some(DestOffset(6)));
    assert_eq!(Rc::strong_count(&stage.permit), 1, "every receipt gave its permit back");
}

#[test]
fn the_first_write_goes_alone_and_then_five_at_a_time() {
    let mut stage = Stage::new();
    stage.fetch(0, &(0..8).map(|base| data(base, 1, YOUNG)).collect::<Vec<_>>());
    assert_eq!(stage.expected(), [0], "M7: the broker does not know us yet");
    stage.land();
    assert_eq!(stage.expected(), [1, 2, 3, 4, 5], "M6: guarded");
    stage.land();
    assert_eq!(stage.expected(), [2, 3, 4, 5, 6]);
}

/// Story: the producer was read, an append of a dead process landed, the end was read. Of a pipeline begun with
/// that pair the first ones were refused; a later one had just the sequence that came next, and slipped.
#[test]
fn the_first_write_after_every_opening_goes_alone_even_if_the_broker_knows_us() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    let producer = stage.facts().producer;
    let _ = stage.dest.append(&late(5, 2));
    stage.look_and_see(Facts { producer, ..stage.facts() });
    stage.fetch(7, &[data(7, 1, YOUNG), data(8, 1, YOUNG), data(9, 1, YOUNG)]);
    assert_eq!(stage.expected(), [7]);
    assert_eq!(stage.appends[0].batch.stamp().base_sequence, 5, "a stale sequence");
    stage.land();
    assert!(stage.expected().is_empty());
    stage.look();
    stage.fetch(7, &[data(7, 1, YOUNG), data(8, 1, YOUNG), data(9, 1, YOUNG)]);
    while !stage.appends.is_empty() {
        stage.land();
    }
    assert_eq!(stage.dest.end(), 10);
    assert_eq!(stage.dest.bases.last(), Some(&9));
}

/// A batch as another process of the link would send it.
fn late(base: i64, records: i32) -> lockstep_batch::rewrite::MirroredBatch {
    let sequence = i32::try_from(base).unwrap();
    let stamp = lockstep_batch::rewrite::Stamp {
        producer_id: OURS.id,
        producer_epoch: OURS.epoch,
        base_sequence: sequence,
    };
    lockstep_batch::rewrite::rewrite(&data(base, records, YOUNG), stamp)
}

#[test]
fn old_data_go_one_at_a_time() {
    let mut stage = Stage::new();
    stage.fetch(0, &(0..4).map(|base| data(base, 1, OLD)).collect::<Vec<_>>());
    for base in 0..4 {
        assert_eq!(stage.expected(), [base], "M6: unguarded");
        stage.land();
        stage.dest.forget_producer();
    }
    assert_eq!(stage.dest.end(), 4);
}

/// Story: three new batches and an old one were on their way when the process was killed. They all landed, the
/// broker forgot the producer by the old one, and the next process's append of the same data was taken again.
#[test]
fn an_old_batch_is_never_pipelined_behind_new_ones() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, OLD), data(7, 1, YOUNG)]);
    assert_eq!(stage.expected(), [5]);
    stage.land();
    assert_eq!(stage.expected(), [6], "alone");
    stage.land();
    assert_eq!(stage.expected(), [7], "behind old data nothing is guarded");
}

/// The same story from the other side: what a dead process had under way may land behind the end just read, and
/// only the broker's memory would recognise our repeat of it. Old data erase that memory.
#[test]
fn before_the_first_old_batch_a_remembered_end_has_to_stand_still() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::OutOfRange { at: SourceOffset(5) });
    stage.look();
    let before = stage.clock;
    stage.fetch(5, &[data(5, 1, OLD)]);
    assert!(stage.appends.is_empty());
    while stage.machine.phase() == Phase::Opening {
        stage.look();
    }
    assert!(stage.clock >= before + 2_000, "{}", stage.clock);
    assert_eq!(stage.wanted(), Some(5));
    stage.fetch(5, &[data(5, 1, OLD), data(6, 1, OLD)]);
    assert_eq!(stage.expected(), [5]);
    stage.land();
    assert_eq!(stage.expected(), [6], "once it stood still, the rest follows at once");
}

/// Story: the answers of two batches came in the other order, and the partition went by the last answer while the
/// broker went by the last batch.
#[test]
fn the_newest_batch_decides_what_is_guarded_whatever_order_answers_come_in() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, WALL)]);
    let first = stage.appends.pop_front().unwrap();
    stage.answer(at(6));
    assert_eq!(stage.receipts.len(), 5, "no receipt before the one in front");
    stage.handle(Input::Appended { ticket: first.ticket, answer: at(5) });
    assert_eq!(stage.receipts[5..], [(5, 6), (6, 7)]);
    // The first of the two has just become old, the second has not.
    stage.clock = u64::try_from(PRODUCER_ID_EXPIRATION_MS_DEFAULT - 3_600_000 - 500).unwrap();
    stage.fetch(7, &[data(7, 1, WALL + 80_000_000)]);
    assert_eq!(stage.expected(), [7], "still guarded: no second look");
}

#[test]
fn fetching_pauses_while_too_much_waits_for_receipts() {
    let mut stage = Stage::new();
    let batches: Vec<_> = (0..20).map(|base| data(base, 1, OLD)).collect();
    stage.fetch(0, &batches);
    assert_eq!(stage.wanted(), None);
    while stage.wanted().is_none() {
        stage.land();
    }
    assert!(stage.receipts.len() < 20, "it resumes before everything is copied");
    assert_eq!(stage.wanted(), Some(20));
}

// ── doubt ──

#[test]
fn a_repeat_answered_from_further_back_leads_to_a_new_look_and_skips_nothing() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, YOUNG)]);
    stage.answer(at(4));
    assert_eq!(stage.machine.phase(), Phase::Draining);
    assert!(stage.opens.is_empty(), "one append has no answer yet");
    stage.answer(refused());
    assert_eq!(stage.opens.len(), 1);
    stage.look();
    assert_eq!((stage.wanted(), stage.receipts.len()), (Some(5), 5));
    stage.permits_come_back();
}

#[test]
fn nothing_behind_a_failure_gets_a_receipt_and_the_end_is_asked_only_once_all_have_answered() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &(5..9).map(|base| data(base, 1, YOUNG)).collect::<Vec<_>>());
    let tickets: Vec<Ticket> = stage.appends.drain(..).map(|append| append.ticket).collect();
    stage.handle(Input::Appended { ticket: tickets[3], answer: at(8) });
    stage.handle(Input::Appended { ticket: tickets[1], answer: refused() });
    stage.handle(Input::Appended { ticket: tickets[0], answer: at(5) });
    assert_eq!(stage.receipts[5..], [(5, 6)], "before the failure yes, behind it no");
    assert!(stage.opens.is_empty() && stage.machine.has_in_flight());
    stage.handle(Input::Appended { ticket: tickets[2], answer: at(7) });
    assert_eq!((stage.receipts.len(), stage.opens.len()), (6, 1));
    assert_eq!(Rc::strong_count(&stage.permit), 1, "what was given up gave its permit back");
}

#[test]
fn an_append_that_landed_too_far_asks_who_stands_in_its_place() {
    let displaced = Displaced { from: DestOffset(5), at: DestOffset(5), landed: DestOffset(6) };
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    stage.answer(at(6));
    assert_eq!(stage.opens[0].1, Some(displaced));
    let foreign = Facts { tail: Tail::Foreign { at: DestOffset(5), producer_id: 99 }, ..stage.facts() };
    stage.look_and_see(foreign.clone());
    assert_eq!((&stage.stopped, stage.opens[0].1), (&None, Some(displaced)), "one look stops nothing");
    stage.look_and_see(foreign);
    assert_eq!(stage.stopped, Some(Verdict::Contaminated { at: DestOffset(5), producer_id: 99 }));
    stage.permits_come_back();
}

#[test]
fn our_own_records_in_the_place_of_an_append_are_a_slip() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    stage.answer(at(6));
    let slip = Facts { tail: Tail::OwnRepeat { at: DestOffset(5), shift: 1 }, ..stage.facts() };
    stage.look_and_see(slip.clone());
    assert_eq!(stage.stopped, None);
    stage.look_and_see(slip);
    assert_eq!(stage.stopped, Some(Verdict::Slipped { at: DestOffset(5), shift: 1 }));
}

#[test]
fn an_append_that_landed_too_far_is_noticed_while_draining_too() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, YOUNG)]);
    stage.answer(refused());
    stage.answer(at(9));
    assert_eq!(
        stage.opens[0].1,
        Some(Displaced { from: DestOffset(6), at: DestOffset(6), landed: DestOffset(9) })
    );
}

#[test]
fn an_answer_from_before_a_reopening_names_no_append_of_today() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    let yesterday = stage.answer(refused()).ticket;
    stage.look();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    let today = stage.appends[0].ticket;
    assert!(today > yesterday);
    stage.handle(Input::Appended { ticket: yesterday, answer: at(5) });
    assert_eq!((stage.receipts.len(), stage.machine.has_in_flight()), (5, true));
}

#[test]
fn fetch_answers_from_before_a_rewind_are_ignored() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    stage.answer(refused());
    stage.look();
    stage.fetch(6, &[data(6, 1, YOUNG)]);
    assert!(stage.appends.is_empty(), "that was the answer to a fetch behind the batch that failed");
    assert_eq!(stage.wanted(), Some(5));
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    assert_eq!(stage.expected(), [5]);
}

// ── an end nobody has confirmed for a second ──

#[test]
fn an_idle_unguarded_partition_reads_its_end_again_and_goes_on_without_a_standstill() {
    let mut stage = Stage::new();
    stage.fetch(0, &[data(0, 1, OLD)]);
    stage.land();
    stage.dest.forget_producer();
    stage.clock += 1_500;
    stage.fetch(1, &[data(1, 1, OLD)]);
    assert!(stage.appends.is_empty());
    assert_eq!(stage.opens, [(Millis(stage.clock), None)], "asked at once");
    stage.look();
    assert_eq!(stage.expected(), [1], "what was fetched is still there");
    stage.land();
    assert_eq!(stage.receipts, [(0, 1), (1, 2)]);
    stage.permits_come_back();
}

/// Story: the queue was dropped before the second look, the source took longer than a second to send it again, and
/// by then the end was stale once more: an old topic behind a slow line was never copied.
#[test]
fn a_source_slower_than_an_end_stays_fresh_is_copied_all_the_same() {
    let mut stage = Stage::new();
    for base in 0..3 {
        stage.clock += 1_500;
        stage.fetch(base, &[data(base, 1, OLD)]);
        stage.look();
        assert_eq!(stage.expected(), [base]);
        stage.land();
        stage.dest.forget_producer();
    }
    assert_eq!(stage.dest.end(), 3);
}

#[test]
fn an_end_that_moved_meanwhile_has_to_stand_still() {
    let mut stage = Stage::new();
    stage.clock += 1_500;
    stage.fetch(0, &[data(0, 1, OLD)]);
    let _ = stage.dest.append(&late(0, 1));
    stage.dest.forget_producer();
    stage.look();
    assert_eq!((stage.machine.phase(), stage.appends.len()), (Phase::Opening, 0));
    assert_eq!(Rc::strong_count(&stage.permit), 1, "what was fetched for the old end is gone");
    while stage.machine.phase() == Phase::Opening {
        stage.look();
    }
    assert!(stage.clock >= 3_500);
    assert_eq!(stage.wanted(), Some(1));
}

// ── what cannot be copied ──

#[test]
fn everything_before_an_unreadable_batch_is_copied_and_the_verdict_needs_a_second_fetch() {
    let mut stage = Stage::new();
    let broken = unreadable(2);
    stage.fetch(0, &[data(0, 1, OLD), data(1, 1, OLD), broken.clone()]);
    assert_eq!(stage.wanted(), Some(2), "one look stops nothing");
    stage.fetch(2, &[broken]);
    assert_eq!((stage.wanted(), &stage.stopped), (None, &None), "two batches are still to be written");
    stage.land();
    stage.land();
    assert_eq!(stage.receipts, [(0, 1), (1, 2)]);
    let reason = "the checksum of the batch at 2 is wrong".into();
    assert_eq!(stage.stopped, Some(Verdict::Unreadable { at: SourceOffset(2), reason }));
    assert_eq!(stage.wanted(), None);
    stage.permits_come_back();
}

#[test]
fn a_header_damaged_once_stops_nothing() {
    let mut stage = Stage::new();
    let batch = data(0, 2, YOUNG);
    stage.fetch_raw(0, damaged(&batch, 9));
    assert_eq!(stage.wanted(), Some(0));
    stage.fetch(0, &[batch]);
    stage.land();
    // Long forgotten when the next one comes.
    stage.fetch_raw(2, damaged(&data(2, 1, YOUNG), 9));
    assert_eq!((&stage.stopped, stage.wanted()), (&None, Some(2)));
}

#[test]
fn an_empty_answer_neither_proves_nor_refutes_an_unreadable_batch() {
    let mut stage = Stage::new();
    let broken = unreadable(0);
    stage.fetch(0, std::slice::from_ref(&broken));
    stage.fetch(0, &[]);
    assert_eq!(stage.stopped, None);
    stage.fetch(0, &[broken]);
    assert!(matches!(stage.stopped, Some(Verdict::Unreadable { .. })));
}

// ── the source's own story ──

#[test]
fn a_source_that_is_gone_orphans_the_mirror_once_every_answer_is_in() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, YOUNG)]);
    stage.handle(Input::SourceGone);
    assert_eq!((stage.machine.phase(), &stage.stopped), (Phase::Draining, &None));
    stage.land();
    stage.land();
    assert_eq!(stage.receipts[5..], [(5, 6), (6, 7)], "what was on its way still counts");
    assert_eq!(stage.stopped, Some(Verdict::Orphaned));
    stage.permits_come_back();
}

#[test]
fn a_topic_created_again_diverges_whoever_notices_it() {
    let is = TopicId([2; 16]);
    let recreated = Verdict::Diverged(Divergence::TopicRecreated { was: SOURCE_ID, is });
    let mut told = Stage::in_full_swing();
    told.handle(Input::SourceRecreated { is });
    assert_eq!(told.stopped, Some(recreated.clone()));
    let mut read = Stage::unopened(Ownership::Unknown);
    read.look_and_see(Facts { source_id: is, ..read.facts() });
    assert_eq!(read.stopped, Some(recreated));
}

#[test]
fn a_diverging_answer_counts_only_twice_in_a_row() {
    let diverging =
        || Input::SourceDiverges { at: SourceOffset(5), epoch: LeaderEpoch(6), end: SourceOffset(3) };
    let mut stage = Stage::in_full_swing();
    stage.handle(diverging());
    stage.look();
    assert_eq!(stage.stopped, None, "once is not");
    stage.fetch(5, &[]);
    stage.handle(diverging());
    stage.look();
    assert_eq!(stage.stopped, None, "the source had agreed in between");
    stage.handle(diverging());
    assert_eq!(
        stage.stopped,
        Some(Verdict::Diverged(Divergence::EpochEndsEarlier {
            epoch: LeaderEpoch(6),
            end: SourceOffset(3),
            position: SourceOffset(5),
        }))
    );
}

#[test]
fn facts_that_were_bad_once_and_then_good_are_forgotten() {
    let mut stage = Stage::in_full_swing();
    for _ in 0..2 {
        stage.handle(Input::OutOfRange { at: SourceOffset(5) });
        let short = Facts { source_end: SourceOffset(3), ..stage.facts() };
        stage.look_and_see(short);
        stage.look();
        assert_eq!((&stage.stopped, stage.wanted()), (&None, Some(5)));
    }
}

#[test]
fn after_a_verdict_nothing_is_asked_for_any_more() {
    let mut stage = Stage::in_full_swing();
    stage.handle(Input::SourceGone);
    let before = stage.opens.len();
    stage.handle(Input::Tick);
    stage.look();
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    stage.handle(Input::OpenFailed(Trouble::soon("late")));
    assert_eq!((stage.wanted(), stage.appends.len(), stage.opens.len()), (None, 0, before));
    stage.permits_come_back();
}
