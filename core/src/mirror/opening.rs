//! From what was read on both sides to a place to go on from, or to a verdict (M8, M9).
//! The order of the reads is the shell's duty (`agent/pipeline/open.rs`); this file only judges.
//! The one order that matters: the producer's state before the log end. The other way round, a fresh
//! sequence could meet a stale end and the next append would land at a wrong offset.

use super::guard::Guard;
use super::markers::COORDINATOR_EPOCH_JUMP;
use super::signals::Licence;
use super::verdict::{Divergence, Verdict};
use super::{Millis, Now};
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicId};

/// How long an unguarded log end must stand still before a new owner appends (M8).
/// 20,000 markers of a dead connection kept landing for 0.6 s on a real broker.
pub const STANDSTILL_MS: u64 = 2_000;

/// Everything read while opening a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The link's producer on the destination partition, read *before* the end.
    pub producer: Option<ProducerOnPartition>,
    pub dest_start: DestOffset,
    /// The log end, by OffsetForLeaderEpoch under the current epoch: not the high watermark.
    pub dest_end: DestOffset,
    pub dest_high_watermark: DestOffset,
    pub source_id: TopicId,
    pub source_epoch: LeaderEpoch,
    pub source_start: SourceOffset,
    /// The source's log end under its current leader epoch, read after the destination's.
    pub source_end: SourceOffset,
    /// The source's last stable offset, read with its end: nothing from there on can have been copied yet.
    pub source_stable: SourceOffset,
    pub tail: Tail,
}

/// One producer's entry in DescribeProducers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerOnPartition {
    pub epoch: i16,
    /// −1: the producer has written no data in this epoch.
    pub last_sequence: i32,
    pub last_timestamp_ms: i64,
    /// Of the last marker; −1: none (M13).
    pub coordinator_epoch: i32,
}

/// What the last record below our end looks like on both sides (M8, step 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// The destination holds nothing.
    Empty,
    /// The last record is the same on both sides; the source wrote it under this leader epoch.
    Equal { source_epoch: LeaderEpoch },
    /// The last record differs.
    Different { at: SourceOffset, difference: String },
    /// The source no longer holds that offset: topic id and ends alone speak (shown as weaker).
    NotComparable,
    /// The destination's log holds a batch that the link's producer did not write.
    Foreign { at: DestOffset, producer_id: i64 },
    /// Our own: records where an append belonged, or a marker too many, `shift` in all (M18).
    OwnRepeat { at: DestOffset, shift: i64 },
    /// The last record is a filler: nothing of the source was copied yet (M14).
    Filler,
}

/// The log end that is being watched for standing still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standstill {
    end: DestOffset,
    /// When the first answer with this end was here.
    since: Millis,
    moving_since: Millis,
}

/// What this process knows about who else may be writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Another owner, or a dead connection of our own, may still be landing appends.
    Unknown,
    /// As [`Ownership::Unknown`], and what comes next is not protected by the broker's memory of us: old data, which
    /// make it forget us, or markers, which carry no sequence. Even a guarded end has to stand still.
    UnknownUnguarded,
    /// This very process has just created the topic: nobody else has had the time.
    JustCreated,
    /// We appended last and the end was at this offset; only its freshness is in doubt.
    Ours { end: DestOffset },
}

/// Something of ours did not land at its place: an append, or an end that is too far behind markers (M5, M18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Where the unexpected may stand, from here on: the place of the append, or of the first marker.
    pub from: DestOffset,
    pub at: DestOffset,
    pub landed: DestOffset,
}

/// What to do with the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    GoOn(Position),
    /// Ask again after so many milliseconds.
    Wait {
        milliseconds: u64,
        why: String,
        watching: Option<Standstill>,
    },
    Stop(Verdict),
}

/// What the end rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// The broker remembers our producer: appends that are still on their way meet its sequence check. That
    /// holds only as long as nothing old is written.
    Remembered,
    /// It stood still, or nobody else can move it: nothing is on its way any more.
    StoodStill,
    /// We wrote last and it is where we left it: on whatever it rested before. A second may have passed since then,
    /// which is no standstill.
    AsBefore,
}

/// Where and how to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub end: DestOffset,
    pub next_sequence: i32,
    /// The timestamp that keeps our producer remembered; `None`: the broker does not know us here (M7).
    pub known: Option<i64>,
    pub footing: Footing,
    /// The source's leader epoch at the last offset before `end` (M10).
    pub last_epoch: LeaderEpoch,
    /// Our markers' coordinator epochs are above this one (M13).
    pub coordinator_epoch: i32,
    /// The source's log starts only behind `end`.
    pub starts_late: Option<StartsLate>,
}

impl Position {
    /// Whether one who has only this leave may go on here: what does not rest on the broker's memory of us rests on
    /// nobody else's writing.
    pub(super) fn may_be_begun(&self, licence: Licence) -> bool {
        match licence {
            Licence::Nothing => false,
            Licence::Guarded => self.footing == Footing::Remembered,
            Licence::Everything => true,
        }
    }
}

/// Between our end and the source's log start there is nothing left to copy (M9, M14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartsLate {
    pub start: SourceOffset,
    pub dest_is_empty: bool,
    /// The mirror had begun: what stood there was not copied in time.
    pub is_loss: bool,
}

/// Judges the facts. `watching`: the standstill of the previous look, if there was one. `asked_at`: the facts
/// were not read before; a look can take seconds, and what landed since then is not in it.
pub fn judge(
    facts: &Facts,
    ours: ProducerIdentity,
    guard: Guard,
    ownership: Ownership,
    watching: Option<Standstill>,
    asked_at: Millis,
    now: Now,
) -> Judgement {
    if let Some(verdict) = verdict_of(facts, ours) {
        return Judgement::Stop(verdict);
    }
    // Known by markers alone: what an earlier owner has on its way may carry any sequence, even the one that comes
    // behind our first append.
    let remembered =
        facts.producer.is_some_and(|p| p.last_sequence >= 0 && guard.is_young(p.last_timestamp_ms, now.wall));
    let footing = match ownership {
        Ownership::UnknownUnguarded => Footing::StoodStill,
        Ownership::Ours { end } if end == facts.dest_end => Footing::AsBefore,
        _ if remembered => Footing::Remembered,
        _ => Footing::StoodStill,
    };
    if footing == Footing::StoodStill
        && let Some(wait) = stand_still(facts.dest_end, ownership, watching, asked_at, now.mono)
    {
        return wait;
    }
    if facts.source_stable < facts.dest_end.origin() {
        return Judgement::Wait {
            milliseconds: 500,
            why: format!(
                "the destination's log ends at {}, the source is stable up to {} only: what stands above cannot be judged yet",
                facts.dest_end, facts.source_stable
            ),
            watching,
        };
    }
    if facts.dest_high_watermark < facts.dest_end {
        return Judgement::Wait {
            milliseconds: 100,
            why: format!(
                "the destination's high watermark {} has not reached its log end {}: replication there lags",
                facts.dest_high_watermark, facts.dest_end
            ),
            watching: None,
        };
    }
    Judgement::GoOn(Position {
        end: facts.dest_end,
        next_sequence: next_sequence(facts, ours),
        known: facts.producer.filter(|p| p.epoch == ours.epoch).map(|p| p.last_timestamp_ms),
        footing,
        last_epoch: match facts.tail {
            Tail::Equal { source_epoch } => source_epoch,
            _ => LeaderEpoch::UNKNOWN,
        },
        coordinator_epoch: facts
            .producer
            .map_or(-1, |p| p.coordinator_epoch)
            .saturating_add(COORDINATOR_EPOCH_JUMP),
        starts_late: starts_late(facts),
    })
}

fn starts_late(facts: &Facts) -> Option<StartsLate> {
    let has_begun = facts.dest_end > DestOffset(0) && facts.tail != Tail::Filler;
    (facts.source_start > facts.dest_end.origin()).then(|| StartsLate {
        start: facts.source_start,
        dest_is_empty: facts.dest_start >= facts.dest_end || facts.tail == Tail::Filler,
        is_loss: has_begun,
    })
}

fn verdict_of(facts: &Facts, ours: ProducerIdentity) -> Option<Verdict> {
    if let Some(producer) = facts.producer
        && producer.epoch > ours.epoch
    {
        return Some(Verdict::Fenced { ours, found_epoch: producer.epoch });
    }
    match &facts.tail {
        Tail::Foreign { at, producer_id } => {
            return Some(Verdict::Contaminated { at: *at, producer_id: *producer_id });
        }
        Tail::OwnRepeat { at, shift } => return Some(Verdict::Slipped { at: *at, shift: *shift }),
        _ => {}
    }
    let position = facts.dest_end.origin();
    if facts.source_end < position {
        return Some(Verdict::Diverged(Divergence::SourceEndsEarlier {
            source_end: facts.source_end,
            source_epoch: facts.source_epoch,
            dest_end: facts.dest_end,
            copied_epoch: LeaderEpoch::UNKNOWN,
        }));
    }
    if let Tail::Different { at, difference } = &facts.tail {
        return Some(Verdict::Diverged(Divergence::TailDiffers {
            at: *at,
            difference: difference.clone(),
            source_epoch: facts.source_epoch,
            copied_epoch: LeaderEpoch::UNKNOWN,
        }));
    }
    None
}

/// M8 step 4: an unguarded end has to stand still, unless nobody else can have moved it.
fn stand_still(
    end: DestOffset,
    ownership: Ownership,
    watching: Option<Standstill>,
    asked_at: Millis,
    now: Millis,
) -> Option<Judgement> {
    if ownership == Ownership::JustCreated && end == DestOffset(0) {
        return None;
    }
    let watching = match watching {
        Some(seen) if seen.end == end && asked_at.since(seen.since) >= STANDSTILL_MS => return None,
        Some(seen) if seen.end == end => seen,
        Some(seen) => Standstill { end, since: now, ..seen },
        None => Standstill { end, since: now, moving_since: now },
    };
    let why = if watching.since == watching.moving_since {
        format!(
            "waiting until the destination's end {end} has stood still for two seconds (data too old to be guarded)"
        )
    } else {
        format!(
            "another mirror of this link is copying this partition (its end moves, now {end}): waiting until it stops"
        )
    };
    let left = STANDSTILL_MS.saturating_sub(now.since(watching.since));
    Some(Judgement::Wait { milliseconds: left.clamp(50, 500), why, watching: Some(watching) })
}

/// The sequence continues the last one of our producer; a new epoch starts at 0 (KIP-360); where the broker
/// does not know us any sequence is taken, and the offset itself makes two owners of one link agree.
fn next_sequence(facts: &Facts, ours: ProducerIdentity) -> i32 {
    match facts.producer {
        Some(p) if p.epoch == ours.epoch && p.last_sequence >= 0 => {
            lockstep_batch::rewrite::next_sequence(p.last_sequence, 1)
        }
        Some(_) => 0,
        // The mask keeps 31 bits, so the conversion cannot fail.
        None => i32::try_from(facts.dest_end.0 & i64::from(i32::MAX)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::WallMillis;
    use crate::mirror::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;

    const OURS: ProducerIdentity = ProducerIdentity { id: 7, epoch: 3 };
    const WALL: i64 = 1_700_000_000_000;

    fn now(mono: u64) -> Now {
        Now { mono: Millis(mono), wall: WallMillis(WALL) }
    }

    fn facts(end: i64) -> Facts {
        Facts {
            producer: Some(ProducerOnPartition {
                epoch: 3,
                last_sequence: 41,
                last_timestamp_ms: WALL - 1000,
                coordinator_epoch: 8,
            }),
            dest_start: DestOffset(0),
            dest_end: DestOffset(end),
            dest_high_watermark: DestOffset(end),
            source_id: TopicId([1; 16]),
            source_epoch: LeaderEpoch(5),
            source_start: SourceOffset(0),
            source_end: SourceOffset(end + 10),
            source_stable: SourceOffset(end + 10),
            tail: Tail::Equal { source_epoch: LeaderEpoch(4) },
        }
    }

    /// A look that took no time.
    fn look(facts: &Facts, ownership: Ownership, watching: Option<Standstill>, at: u64) -> Judgement {
        let guard = Guard::new(PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        judge(facts, OURS, guard, ownership, watching, Millis(at), now(at))
    }

    fn judged(facts: &Facts) -> Judgement {
        look(facts, Ownership::Unknown, None, 0)
    }

    #[test]
    fn a_guarded_partition_goes_on_at_once_behind_the_last_sequence() {
        let Judgement::GoOn(position) = judged(&facts(100)) else { panic!("should go on") };
        assert_eq!(position.next_sequence, 42);
        assert_eq!((position.end, position.last_epoch), (DestOffset(100), LeaderEpoch(4)));
        assert_eq!(position.known, Some(WALL - 1000));
    }

    #[test]
    fn an_unguarded_end_has_to_stand_still_for_two_seconds() {
        let mut old = facts(100);
        old.producer = None;
        let look = |f: &Facts, w, t| look(f, Ownership::Unknown, w, t);
        let Judgement::Wait { watching, .. } = look(&old, None, 1_000) else { panic!("should wait") };
        let Judgement::Wait { watching, .. } = look(&old, watching, 2_900) else { panic!("still too soon") };
        old.dest_end = DestOffset(120);
        old.dest_high_watermark = DestOffset(120);
        old.source_end = SourceOffset(200);
        old.source_stable = SourceOffset(200);
        let Judgement::Wait { watching, why, .. } = look(&old, watching, 3_000) else { panic!("it moved") };
        assert!(why.contains("another mirror"), "{why}");
        assert!(matches!(look(&old, watching, 4_999), Judgement::Wait { .. }));
        let Judgement::GoOn(position) = look(&old, watching, 5_000) else { panic!("stood still") };
        assert_eq!(
            (position.next_sequence, position.known),
            (120, None),
            "unknown: the offset is the sequence"
        );
    }

    /// Story: the second look was asked for after half a second, read at once, and took two seconds to come
    /// back. A request of a dead connection landed in between, and the append behind the old end slipped.
    #[test]
    fn a_look_that_took_long_proves_no_standstill() {
        let mut old = facts(100);
        old.producer = None;
        let guard = Guard::new(PRODUCER_ID_EXPIRATION_MS_DEFAULT);
        let look = |watching, asked, here| {
            judge(&old, OURS, guard, Ownership::Unknown, watching, Millis(asked), now(here))
        };
        let Judgement::Wait { watching, .. } = look(None, 0, 100) else { panic!("should wait") };
        let Judgement::Wait { watching, .. } = look(watching, 600, 2_600) else { panic!("read at 600") };
        assert!(matches!(look(watching, 2_650, 2_700), Judgement::GoOn(_)));
    }

    #[test]
    fn a_remembered_end_has_to_stand_still_before_old_data() {
        let Judgement::Wait { watching, .. } = look(&facts(100), Ownership::UnknownUnguarded, None, 0) else {
            panic!("should wait")
        };
        let Judgement::GoOn(position) = look(&facts(100), Ownership::UnknownUnguarded, watching, 2_000)
        else {
            panic!("stood still")
        };
        assert_eq!((position.footing, position.next_sequence), (Footing::StoodStill, 42));
        let Judgement::GoOn(position) = judged(&facts(100)) else { panic!("should go on") };
        assert_eq!(position.footing, Footing::Remembered);
    }

    /// Story: three old records were written and the broker forgot the producer; a marker made it known again, but no
    /// longer its sequence. The owner's next append, with sequence 3, was on its way when it was killed. The next
    /// owner found a young producer and went on at once, with 0 to 2: then the late one was just what came next.
    #[test]
    fn an_end_whose_producer_is_known_by_markers_alone_has_to_stand_still() {
        let mut f = facts(100);
        f.producer = f.producer.map(|p| ProducerOnPartition { last_sequence: -1, ..p });
        let Judgement::Wait { watching, .. } = look(&f, Ownership::Unknown, None, 0) else {
            panic!("should wait")
        };
        let Judgement::GoOn(position) = look(&f, Ownership::Unknown, watching, 2_000) else {
            panic!("stood still")
        };
        assert_eq!((position.footing, position.next_sequence), (Footing::StoodStill, 0));
        assert_eq!(position.known, Some(WALL - 1000));
    }

    #[test]
    fn nobody_waits_for_a_topic_it_has_just_created() {
        let mut new = facts(0);
        new.producer = None;
        new.tail = Tail::Empty;
        assert!(matches!(look(&new, Ownership::JustCreated, None, 0), Judgement::GoOn(_)));
        assert!(matches!(look(&new, Ownership::Unknown, None, 0), Judgement::Wait { .. }));
    }

    #[test]
    fn a_new_epoch_starts_at_sequence_zero_and_a_newer_one_fences_us() {
        let mut f = facts(100);
        f.producer = Some(ProducerOnPartition {
            epoch: 2,
            last_sequence: 41,
            last_timestamp_ms: WALL,
            coordinator_epoch: -1,
        });
        let Judgement::GoOn(position) = judged(&f) else { panic!("should go on") };
        assert_eq!((position.next_sequence, position.known), (0, None));
        f.producer = Some(ProducerOnPartition {
            epoch: 4,
            last_sequence: 0,
            last_timestamp_ms: WALL,
            coordinator_epoch: -1,
        });
        assert_eq!(judged(&f), Judgement::Stop(Verdict::Fenced { ours: OURS, found_epoch: 4 }));
    }

    #[test]
    fn nothing_counts_before_the_high_watermark_has_passed_it() {
        let mut f = facts(100);
        f.dest_high_watermark = DestOffset(90);
        assert!(matches!(judged(&f), Judgement::Wait { watching: None, .. }));
    }

    /// Story: two owners wrote one marker too many above an open transaction. Its record was not to be seen yet, so
    /// nothing spoke against that end; then it was committed, and the mirror counted on a marker in its place.
    #[test]
    fn an_end_above_what_is_stable_on_the_source_cannot_be_judged_yet() {
        let mut f = facts(100);
        f.source_stable = SourceOffset(99);
        assert!(matches!(judged(&f), Judgement::Wait { .. }));
        f.source_stable = SourceOffset(100);
        assert!(matches!(judged(&f), Judgement::GoOn(_)));
    }

    #[test]
    fn verdicts_carry_their_evidence() {
        let mut f = facts(100);
        f.source_end = SourceOffset(80);
        assert!(matches!(
            judged(&f),
            Judgement::Stop(Verdict::Diverged(Divergence::SourceEndsEarlier { .. }))
        ));
        let mut f = facts(100);
        f.tail = Tail::Foreign { at: DestOffset(90), producer_id: -1 };
        assert_eq!(
            judged(&f),
            Judgement::Stop(Verdict::Contaminated { at: DestOffset(90), producer_id: -1 })
        );
    }

    #[test]
    fn a_source_that_starts_later_is_a_loss_once_the_mirror_has_begun() {
        let late = |f: &Facts| match judged(f) {
            Judgement::GoOn(position) => position.starts_late,
            other => panic!("{other:?}"),
        };
        let mut f = facts(100);
        assert_eq!(late(&f), None);
        f.source_start = SourceOffset(150);
        f.source_end = SourceOffset(200);
        f.source_stable = SourceOffset(200);
        f.tail = Tail::NotComparable;
        let start = SourceOffset(150);
        assert_eq!(late(&f), Some(StartsLate { start, dest_is_empty: false, is_loss: true }));
        f.tail = Tail::Filler;
        assert_eq!(late(&f), Some(StartsLate { start, dest_is_empty: true, is_loss: false }));
        f.dest_start = f.dest_end;
        f.tail = Tail::Empty;
        assert_eq!(late(&f), Some(StartsLate { start, dest_is_empty: true, is_loss: true }));
    }

    #[test]
    fn markers_go_on_above_everything_an_earlier_owner_may_have_on_its_way() {
        let Judgement::GoOn(position) = judged(&facts(100)) else { panic!("should go on") };
        assert_eq!(position.coordinator_epoch, 8 + COORDINATOR_EPOCH_JUMP);
        let mut f = facts(100);
        f.producer = f.producer.map(|p| ProducerOnPartition { coordinator_epoch: i32::MAX - 1, ..p });
        let Judgement::GoOn(position) = judged(&f) else { panic!("should go on") };
        assert_eq!(position.coordinator_epoch, i32::MAX);
    }

    #[test]
    fn sequences_wrap_as_the_broker_expects() {
        let mut f = facts(100);
        f.producer = Some(ProducerOnPartition {
            epoch: 3,
            last_sequence: i32::MAX,
            last_timestamp_ms: WALL,
            coordinator_epoch: -1,
        });
        let Judgement::GoOn(position) = judged(&f) else { panic!("should go on") };
        assert_eq!(position.next_sequence, 0);
    }
}
