//! What becomes of one offset, given what stands on the standby: written, kept, or left alone.
//! Promises: a record that the group has not read is never skipped (the offset written is the source's, or the first one
//! there is, M32); what a consumer committed on the standby is never moved, neither back nor forth.

use super::{SourceCommit, StandbyCommit};
use crate::ids::{DestOffset, LeaderEpoch};
use crate::mirror::Millis;

/// What the standby's log holds, durable. Half-open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandbyRange {
    pub start: DestOffset,
    pub end: DestOffset,
}

/// What we know to be our own doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ours {
    /// Acknowledged, and when.
    pub written: Option<(StandbyCommit, Millis)>,
    /// Sent last; its answer may have been lost.
    pub tried: Option<StandbyCommit>,
    /// The group was seen with members on the standby since.
    pub visited: bool,
}

impl Ours {
    fn is(&self, stands: &StandbyCommit) -> bool {
        self.written.as_ref().is_some_and(|(written, _)| written == stands)
            || self.tried.as_ref() == Some(stands)
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is missing, out of date, or old enough to be renewed (M33).
    Write(StandbyCommit),
    /// It stands as it should.
    Keep,
    /// The standby does not hold the record before it yet.
    Wait,
    /// Somebody else's offset stands there.
    LeaveAlone,
}

/// The offset as it is to stand on the standby: clamped to its log start (M32), without a leader epoch (M30).
pub fn clamped(wanted: &SourceCommit, range: StandbyRange) -> StandbyCommit {
    StandbyCommit {
        offset: wanted.offset.mirrored().max(range.start),
        leader_epoch: LeaderEpoch::UNKNOWN,
        metadata: wanted.metadata.clone(),
    }
}

/// `stands`: as just read, in a group without members. `renew_ms`: ours is written again when it is so old (M33).
///
/// Whose it is: a leader epoch is a consumer's of the standby, we never write one (M30). Without one it is ours if it is
/// what we wrote last; else, in a group that nobody was seen in, another mirror's or our own of an earlier life where it is
/// behind (the copy only ever moved forward), and somebody's where it is ahead.
pub fn judge(
    wanted: &SourceCommit,
    range: Option<StandbyRange>,
    stands: Option<&StandbyCommit>,
    ours: &Ours,
    (now, renew_ms): (Millis, u64),
) -> Judgement {
    let Some(range) = range.filter(|range| wanted.offset.mirrored() <= range.end) else {
        return Judgement::Wait;
    };
    let target = clamped(wanted, range);
    let Some(stands) = stands else { return Judgement::Write(target) };
    if stands.leader_epoch.is_known() {
        return if stands.offset == target.offset { Judgement::Keep } else { Judgement::LeaveAlone };
    }
    if *stands == target {
        let fresh = ours
            .written
            .as_ref()
            .is_some_and(|(written, at)| *written == target && now.since(*at) < renew_ms);
        return if fresh { Judgement::Keep } else { Judgement::Write(target) };
    }
    let unknown_and_behind = !ours.visited && stands.offset <= target.offset;
    if ours.is(stands) || unknown_and_behind { Judgement::Write(target) } else { Judgement::LeaveAlone }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SourceOffset;
    use proptest::prelude::*;

    const RENEW: u64 = 1_000;
    const ALL: StandbyRange = StandbyRange { start: DestOffset(0), end: DestOffset(100) };

    fn source(offset: i64) -> SourceCommit {
        SourceCommit { offset: SourceOffset(offset), metadata: "m".into() }
    }

    fn standby(offset: i64, epoch: i32) -> StandbyCommit {
        StandbyCommit { offset: DestOffset(offset), leader_epoch: LeaderEpoch(epoch), metadata: "m".into() }
    }

    fn wrote(offset: i64, at: u64) -> Ours {
        Ours { written: Some((standby(offset, -1), Millis(at))), ..Ours::default() }
    }

    fn judged(wanted: i64, stands: Option<(i64, i32)>, ours: &Ours) -> Judgement {
        let stands = stands.map(|(offset, epoch)| standby(offset, epoch));
        judge(&source(wanted), Some(ALL), stands.as_ref(), ours, (Millis(500), RENEW))
    }

    #[test]
    fn m30_metadata_is_kept_and_the_leader_epoch_is_not() {
        assert_eq!(judged(7, None, &Ours::default()), Judgement::Write(standby(7, -1)));
    }

    #[test]
    fn m32_an_offset_below_the_standby_s_start_is_clamped_and_one_beyond_its_end_waits() {
        let range = Some(StandbyRange { start: DestOffset(20), end: DestOffset(30) });
        let told = |offset| judge(&source(offset), range, None, &Ours::default(), (Millis(0), RENEW));
        assert_eq!(told(5), Judgement::Write(standby(20, -1)));
        assert_eq!(told(30), Judgement::Write(standby(30, -1)));
        assert_eq!(told(31), Judgement::Wait);
        assert_eq!(judge(&source(1), None, None, &Ours::default(), (Millis(0), RENEW)), Judgement::Wait);
    }

    #[test]
    fn m33_an_unchanged_offset_is_written_again_in_time() {
        assert_eq!(judged(7, Some((7, -1)), &wrote(7, 0)), Judgement::Keep);
        let old = judge(&source(7), Some(ALL), Some(&standby(7, -1)), &wrote(7, 0), (Millis(RENEW), RENEW));
        assert_eq!(old, Judgement::Write(standby(7, -1)));
        assert_eq!(judged(7, None, &wrote(7, 0)), Judgement::Write(standby(7, -1)), "expired nevertheless");
        let adopted = judged(7, Some((7, -1)), &Ours::default());
        assert_eq!(adopted, Judgement::Write(standby(7, -1)), "of unknown age");
    }

    #[test]
    fn our_own_offset_follows_the_source_even_backwards() {
        assert_eq!(judged(3, Some((7, -1)), &wrote(7, 0)), Judgement::Write(standby(3, -1)));
        let lost_answer = Ours { tried: Some(standby(7, -1)), ..wrote(2, 0) };
        assert_eq!(judged(3, Some((7, -1)), &lost_answer), Judgement::Write(standby(3, -1)));
    }

    #[test]
    fn what_a_consumer_committed_there_stays() {
        for ours in [Ours::default(), wrote(7, 0)] {
            assert_eq!(judged(9, Some((7, 0)), &ours), Judgement::LeaveAlone, "behind the source");
            assert_eq!(judged(9, Some((12, 3)), &ours), Judgement::LeaveAlone, "ahead of it");
            assert_eq!(judged(9, Some((9, 0)), &ours), Judgement::Keep, "they agree");
        }
    }

    #[test]
    fn an_unknown_offset_without_an_epoch_is_moved_forward_only_and_not_where_members_were_seen() {
        assert_eq!(judged(9, Some((7, -1)), &Ours::default()), Judgement::Write(standby(9, -1)));
        assert_eq!(judged(9, Some((12, -1)), &Ours::default()), Judgement::LeaveAlone);
        let visited = Ours { visited: true, ..wrote(5, 0) };
        assert_eq!(judged(9, Some((7, -1)), &visited), Judgement::LeaveAlone);
        assert_eq!(judged(9, Some((5, -1)), &visited), Judgement::Write(standby(9, -1)), "still ours");
    }

    proptest! {
        /// Whatever is written lies inside the standby's log and skips no record there that the group has not read.
        #[test]
        fn no_unread_record_is_skipped(
            wanted in 0i64..40, start in 0i64..30, length in 0i64..30,
            stands in prop::option::of((0i64..40, -1i32..2)), known in prop::option::of(0i64..40), visited in any::<bool>(),
        ) {
            let range = StandbyRange { start: DestOffset(start), end: DestOffset(start + length) };
            let ours = Ours { visited, ..known.map_or_else(Ours::default, |offset| wrote(offset, 0)) };
            let stands = stands.map(|(offset, epoch)| standby(offset, epoch));
            let told = judge(&source(wanted), Some(range), stands.as_ref(), &ours, (Millis(9), RENEW));
            if let Judgement::Write(commit) = told {
                prop_assert!(range.start <= commit.offset && commit.offset <= range.end);
                let first_unread = wanted.max(start);
                prop_assert_eq!(commit.offset.0, first_unread);
                prop_assert!(!commit.leader_epoch.is_known());
                prop_assert!(stands.is_none_or(|stands| !stands.leader_epoch.is_known()), "a consumer's own");
            }
        }
    }
}
