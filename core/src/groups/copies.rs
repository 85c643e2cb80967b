//! Every copied offset: what is wanted, what we wrote and when, what stood when the standby was read last.
//! Promises: only what changed, is missing or must be renewed is written (M33); a group with members is left alone until
//! they are gone; only what we wrote ourselves is ever removed. Never does anything itself: the agent asks, writes, tells.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::judge::{Judgement, Ours, StandbyRange, judge};
use super::kind::Membership;
use super::{GroupPartition, SourceCommit, StandbyCommit};
use crate::ids::{DestOffset, TopicPartition};
use crate::mirror::Millis;

/// The standby is read back at least this often, and in a third of the time after which an offset is renewed.
const LOOK_MS_MAX: u64 = 30_000;
/// A group with members is looked at again after this long, one that was refused after this long.
const MEMBERS_PAUSE_MS: u64 = 3_000;
const REFUSED_PAUSE_MS: u64 = 10_000;
/// The same after something that passes by itself.
const RETRY_PAUSE_MS: u64 = 300;

/// How one copied offset stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not read or not written yet.
    Due,
    /// As at the source.
    InStep,
    /// The standby does not hold the record before it yet.
    Waits,
    /// Somebody else's offset stands there.
    LeftAlone,
}

/// One copied offset.
#[derive(Clone, Debug)]
pub struct OffsetCopy {
    pub wanted: SourceCommit,
    /// As last read or written.
    pub stands: Option<StandbyCommit>,
    pub standing: Standing,
    ours: Ours,
}

/// Why a group as a whole is not written at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It has members on the standby.
    Members,
    Refused(Refusal),
}

/// The standby refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In its words.
    pub why: String,
    pub cause: Cause,
}

/// What a refusal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A right is missing; the words say which.
    MissingRight,
    Other,
}

/// One group.
#[derive(Clone, Debug, Default)]
pub struct GroupCopy {
    pub offsets: BTreeMap<TopicPartition, OffsetCopy>,
    pub held: Option<Held>,
    look_at: Millis,
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Done,
    /// The group has members after all: whoever joined meanwhile owns it.
    Members,
    /// Passes by itself, or is not known: the standby is read before anything else.
    Retry,
    Refused(Refusal),
}

/// All groups of a link.
#[derive(Clone, Debug)]
pub struct Copies {
    renew_ms: u64,
    groups: BTreeMap<Arc<str>, GroupCopy>,
}

impl Copies {
    /// `retention_ms`: the standby's `offsets.retention.minutes`; a third of it is the age at which an unchanged offset is
    /// written again (M33).
    pub fn new(retention_ms: u64) -> Self {
        Self { renew_ms: (retention_ms / 3).max(1), groups: BTreeMap::new() }
    }

    /// An offset that may reach the standby.
    pub fn want(&mut self, place: GroupPartition, wanted: SourceCommit) {
        let group = self.groups.entry(place.group).or_default();
        match group.offsets.get_mut(&place.tp) {
            Some(copy) if copy.wanted == wanted => return,
            Some(copy) => (copy.wanted, copy.standing) = (wanted, Standing::Due),
            None => {
                let copy =
                    OffsetCopy { wanted, stands: None, standing: Standing::Due, ours: Ours::default() };
                group.offsets.insert(place.tp, copy);
            }
        }
        // A change does not wait for the next look; what holds the group does.
        if group.held.is_none() {
            group.look_at = Millis(0);
        }
    }

    /// Groups whose standby has to be read now: something changed, must be renewed, or a look is due.
    pub fn due(&self, now: Millis) -> Vec<Arc<str>> {
        self.groups.iter().filter(|(_, g)| g.look_at <= now).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The standby's logs are so long now: an offset below a start that moved is clamped anew (M32).
    pub fn starts(&mut self, range: impl Fn(&TopicPartition) -> Option<StandbyRange>) {
        for group in self.groups.values_mut().filter(|group| group.held.is_none()) {
            for (tp, copy) in &mut group.offsets {
                let start = range(tp).map(|range| range.start);
                let below = copy.stands.as_ref().is_some_and(|stands| Some(stands.offset) < start);
                if below && copy.standing == Standing::InStep {
                    (copy.standing, group.look_at) = (Standing::Due, Millis(0));
                }
            }
        }
    }

    /// Partitions whose range [`look`](Self::look) wants to know.
    pub fn partitions_of(&self, group: &str) -> impl Iterator<Item = &TopicPartition> {
        self.groups.get(group).into_iter().flat_map(|group| group.offsets.keys())
    }

    /// The standby was read: first who is in the group, then its offsets (in this order, or a consumer's last commit
    /// before it leaves would be taken for what stood there all the time). Answers what to write.
    pub fn look(
        &mut self,
        group: &str,
        membership: Membership,
        stands: &HashMap<TopicPartition, StandbyCommit>,
        range: impl Fn(&TopicPartition) -> Option<StandbyRange>,
        now: Millis,
    ) -> Vec<(TopicPartition, StandbyCommit)> {
        let renew_ms = self.renew_ms;
        let Some(group) = self.groups.get_mut(group) else { return Vec::new() };
        let members = membership == Membership::Members;
        group.held = members.then_some(Held::Members);
        group.look_at = now.plus(if members { MEMBERS_PAUSE_MS } else { LOOK_MS_MAX.min(renew_ms / 3) });
        let mut writes = Vec::new();
        for (tp, copy) in &mut group.offsets {
            copy.stands = stands.get(tp).cloned();
            if members {
                copy.ours.visited = true;
                copy.standing = Standing::Due;
                continue;
            }
            let judgement = judge(&copy.wanted, range(tp), copy.stands.as_ref(), &copy.ours, (now, renew_ms));
            copy.standing = match judgement {
                Judgement::Write(commit) => {
                    copy.ours.tried = Some(commit.clone());
                    writes.push((tp.clone(), commit));
                    Standing::Due
                }
                Judgement::Keep => Standing::InStep,
                Judgement::Wait => {
                    group.look_at = now.plus(RETRY_PAUSE_MS).min(group.look_at);
                    Standing::Waits
                }
                Judgement::LeaveAlone => Standing::LeftAlone,
            };
        }
        writes
    }

    /// What became of a write that [`look`](Self::look) asked for.
    pub fn written(&mut self, group: &str, tp: &TopicPartition, outcome: Written, now: Millis) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let Some(copy) = group.offsets.get_mut(tp) else { return };
        match outcome {
            Written::Done => {
                if let Some(commit) = copy.ours.tried.take() {
                    copy.ours = Ours { written: Some((commit.clone(), now)), tried: None, visited: false };
                    copy.stands = Some(commit);
                }
                copy.standing = Standing::InStep;
            }
            Written::Members => {
                copy.ours.visited = true;
                group.held = Some(Held::Members);
                group.look_at = now.plus(MEMBERS_PAUSE_MS);
            }
            Written::Retry => group.look_at = now.plus(RETRY_PAUSE_MS).min(group.look_at),
            Written::Refused(refusal) => {
                group.held = Some(Held::Refused(refusal));
                group.look_at = now.plus(REFUSED_PAUSE_MS);
            }
        }
    }

    /// The standby could not be read for this group.
    pub fn unread(&mut self, group: &str, outcome: Written, now: Millis) {
        let Some(group) = self.groups.get_mut(group) else { return };
        match outcome {
            Written::Refused(refusal) => {
                group.held = Some(Held::Refused(refusal));
                group.look_at = now.plus(REFUSED_PAUSE_MS);
            }
            _ => group.look_at = now.plus(RETRY_PAUSE_MS),
        }
    }

    /// Whether nothing more is to be done for this offset now: it is as wanted, or somebody holds it.
    pub fn is_settled(&self, place: &GroupPartition) -> bool {
        let group = self.groups.get(&place.group);
        group.and_then(|group| Some((group, group.offsets.get(&place.tp)?))).is_some_and(|(group, copy)| {
            group.held.is_some() || matches!(copy.standing, Standing::InStep | Standing::LeftAlone)
        })
    }

    /// The offset is gone at the source: whether we wrote what may still stand there. Nothing more is kept alive.
    pub fn forget(&mut self, place: &GroupPartition) -> Option<Ours> {
        let group = self.groups.get_mut(&place.group)?;
        let copy = group.offsets.remove(&place.tp)?;
        if group.offsets.is_empty() {
            self.groups.remove(&place.group);
        }
        Some(copy.ours)
    }

    pub fn get(&self, group: &str) -> Option<&GroupCopy> {
        self.groups.get(group)
    }
}

impl Ours {
    /// Whether what stands is ours to remove: as we wrote it, or as we tried to.
    pub fn wrote(&self, stands: &StandbyCommit) -> bool {
        self.written.as_ref().is_some_and(|(written, _)| written == stands)
            || self.tried.as_ref() == Some(stands)
    }
}

impl OffsetCopy {
    /// Where a consumer would resume on the standby if it took over now; `None`: by its `auto.offset.reset`.
    pub fn resumes_at(&self, range: Option<StandbyRange>) -> Option<DestOffset> {
        let stands = self.stands.as_ref()?;
        Some(range.map_or(stands.offset, |range| stands.offset.max(range.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaderEpoch, SourceOffset};

    const RETENTION: u64 = 60_000;

    fn tp() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn place() -> GroupPartition {
        GroupPartition { group: "g".into(), tp: tp() }
    }

    fn source(offset: i64) -> SourceCommit {
        SourceCommit { offset: SourceOffset(offset), metadata: "".into() }
    }

    fn standby(offset: i64, epoch: i32) -> StandbyCommit {
        StandbyCommit { offset: DestOffset(offset), leader_epoch: LeaderEpoch(epoch), metadata: "".into() }
    }

    fn look(copies: &mut Copies, stands: Option<StandbyCommit>, who: Membership, now: u64) -> Vec<i64> {
        let stands = stands.into_iter().map(|stands| (tp(), stands)).collect();
        let range = |_: &TopicPartition| Some(StandbyRange { start: DestOffset(0), end: DestOffset(100) });
        let writes = copies.look("g", who, &stands, range, Millis(now));
        writes.into_iter().map(|(_, commit)| commit.offset.0).collect()
    }

    /// A group whose offset 5 was written at 0.
    fn copied() -> Copies {
        let mut copies = Copies::new(RETENTION);
        copies.want(place(), source(5));
        assert_eq!(copies.due(Millis(0)).len(), 1);
        assert_eq!(look(&mut copies, None, Membership::Nobody, 0), [5]);
        copies.written("g", &tp(), Written::Done, Millis(0));
        copies
    }

    #[test]
    fn only_changes_and_renewals_are_written() {
        let mut copies = copied();
        assert!(copies.due(Millis(1)).is_empty());
        copies.want(place(), source(5));
        assert!(copies.due(Millis(1)).is_empty(), "the same again is no change");
        assert!(copies.is_settled(&place()));
        copies.want(place(), source(6));
        assert!(!copies.is_settled(&place()));
        assert_eq!(copies.due(Millis(1)).len(), 1);
        assert_eq!(look(&mut copies, Some(standby(5, -1)), Membership::Nobody, 1), [6]);
        copies.written("g", &tp(), Written::Done, Millis(1));
        assert!(look(&mut copies, Some(standby(6, -1)), Membership::Nobody, 10_000).is_empty());
        assert_eq!(
            look(&mut copies, Some(standby(6, -1)), Membership::Nobody, 20_001),
            [6],
            "a third is over"
        );
    }

    #[test]
    fn what_expired_or_was_deleted_there_is_noticed_by_reading_back() {
        let mut copies = copied();
        let next = (1..RETENTION).find(|now| !copies.due(Millis(*now)).is_empty()).unwrap();
        assert!(next <= RETENTION / 9 + 1, "{next}");
        assert_eq!(look(&mut copies, None, Membership::Nobody, next), [5]);
    }

    #[test]
    fn a_group_with_members_is_left_alone_and_what_they_leave_stays() {
        let mut copies = copied();
        copies.want(place(), source(9));
        assert!(look(&mut copies, Some(standby(5, -1)), Membership::Members, 10).is_empty());
        assert_eq!(copies.get("g").unwrap().held, Some(Held::Members));
        copies.want(place(), source(10));
        assert!(copies.due(Millis(11)).is_empty(), "it is not asked at every change");
        assert_eq!(copies.due(Millis(4_000)).len(), 1);
        // An old client that commits without an epoch has gone on to 7.
        assert!(look(&mut copies, Some(standby(7, -1)), Membership::Nobody, 4_000).is_empty());
        assert_eq!(copies.get("g").unwrap().offsets[&tp()].standing, Standing::LeftAlone);
        // Where they left our own offset, it is ours.
        let mut copies = copied();
        copies.want(place(), source(9));
        assert!(look(&mut copies, Some(standby(5, -1)), Membership::Members, 10).is_empty());
        assert_eq!(look(&mut copies, Some(standby(5, -1)), Membership::Nobody, 4_000), [9]);
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_known_again() {
        let mut copies = copied();
        copies.want(place(), source(9));
        assert_eq!(look(&mut copies, Some(standby(5, -1)), Membership::Nobody, 1), [9]);
        copies.written("g", &tp(), Written::Retry, Millis(2));
        copies.want(place(), source(8));
        assert_eq!(look(&mut copies, Some(standby(9, -1)), Membership::Nobody, 400), [8]);
    }

    #[test]
    fn m32_a_start_that_moves_past_an_offset_has_it_clamped_anew() {
        let mut copies = copied();
        let range = |start| {
            move |_: &TopicPartition| Some(StandbyRange { start: DestOffset(start), end: DestOffset(100) })
        };
        copies.starts(range(5));
        assert!(copies.due(Millis(1)).is_empty() && copies.is_settled(&place()));
        copies.starts(range(6));
        assert!(!copies.is_settled(&place()) && copies.due(Millis(1)).len() == 1);
        let stands = HashMap::from([(tp(), standby(5, -1))]);
        let writes = copies.look("g", Membership::Nobody, &stands, range(6), Millis(1));
        assert_eq!(writes, [(tp(), standby(6, -1))]);
    }

    #[test]
    fn only_what_we_wrote_is_ours_to_remove() {
        let mut copies = copied();
        let ours = copies.forget(&place()).unwrap();
        assert!(ours.wrote(&standby(5, -1)) && !ours.wrote(&standby(5, 0)) && !ours.wrote(&standby(6, -1)));
        assert!(copies.get("g").is_none() && copies.forget(&place()).is_none());
    }

    #[test]
    fn a_consumer_resumes_at_the_first_record_there_is() {
        let copies = copied();
        let copy = &copies.get("g").unwrap().offsets[&tp()];
        let range = |start| Some(StandbyRange { start: DestOffset(start), end: DestOffset(100) });
        assert_eq!(copy.resumes_at(range(7)), Some(DestOffset(7)));
        assert_eq!(
            (copy.resumes_at(range(0)), copy.resumes_at(None)),
            (Some(DestOffset(5)), Some(DestOffset(5)))
        );
    }
}
