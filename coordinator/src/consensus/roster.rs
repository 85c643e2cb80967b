//! Who the members are: id, name, site, address, and whether they vote. Changes travel in the log beside raft's own, so that
//! every member has the same roster at the same index; ids are never given twice.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::state::Member;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};
use serde::{Deserialize, Serialize};

use crate::agreement::{Seat, SeatKind};

/// All members at one index of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The highest id that was ever given.
    last_id: u64,
    members: BTreeMap<u64, Member>,
    learners: BTreeSet<u64>,
}

/// One change of the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Receives the log, has no vote. A known member gets its new address.
    Learn(Member),
    Vote(Member),
    Remove(u64),
}

impl Roster {
    /// Of a system with one member.
    #[must_use]
    pub fn of_one(member: Member) -> Self {
        Self { last_id: member.id, members: BTreeMap::from([(member.id, member)]), learners: BTreeSet::new() }
    }

    /// After a forced recovery: everybody else has to join anew, under another id.
    pub(super) fn alone(self, member: Member) -> Self {
        Self { last_id: self.last_id.max(member.id), ..Self::of_one(member) }
    }

    /// The id for a member that comes.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    #[must_use]
    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.get(&id)
    }

    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| member.name == name)
    }

    #[must_use]
    pub fn is_learner(&self, id: u64) -> bool {
        self.learners.contains(&id)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    #[must_use]
    pub fn voters(&self) -> Vec<u64> {
        self.members.keys().copied().filter(|id| !self.is_learner(*id)).collect()
    }

    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        let kind = |id: u64| if self.is_learner(id) { SeatKind::Learner } else { SeatKind::Voter };
        self.members.values().map(|member| Seat { member: member.clone(), kind: kind(member.id) }).collect()
    }

    pub(super) fn take(&mut self, change: &Change) {
        match change {
            Change::Learn(member) => {
                self.last_id = self.last_id.max(member.id);
                self.learners.insert(member.id);
                self.members.insert(member.id, member.clone());
            }
            Change::Vote(member) => {
                self.last_id = self.last_id.max(member.id);
                self.learners.remove(&member.id);
                self.members.insert(member.id, member.clone());
            }
            Change::Remove(id) => {
                self.members.remove(id);
                self.learners.remove(id);
            }
        }
    }

    /// What raft has to know of it. Never a joint one: a roster is what a change leads to.
    pub(super) fn conf_state(&self) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(self.voters());
        state.set_learners(self.learners.iter().copied().collect());
        state
    }
}

/// Changes as raft carries them: several at once go through a joint configuration, which raft leaves by itself.
///
/// # Errors
/// They cannot be written as JSON; none of ours is such.
pub(super) fn conf_change(changes: &[Change]) -> Result<ConfChangeV2, serde_json::Error> {
    let mut conf = ConfChangeV2::default();
    conf.set_transition(ConfChangeTransition::Auto);
    conf.set_context(serde_json::to_vec(changes)?.into());
    let single = |id, kind| {
        let mut single = ConfChangeSingle::default();
        single.set_node_id(id);
        single.set_change_type(kind);
        single
    };
    let singles = changes.iter().map(|change| match change {
        Change::Learn(member) => single(member.id, ConfChangeType::AddLearnerNode),
        Change::Vote(member) => single(member.id, ConfChangeType::AddNode),
        Change::Remove(id) => single(*id, ConfChangeType::RemoveNode),
    });
    conf.set_changes(singles.collect::<Vec<_>>().into());
    Ok(conf)
}

/// The changes that an entry of raft's carries; none where it leaves a joint configuration.
///
/// # Errors
/// The context is of another version, or damaged.
pub(super) fn changes(conf: &ConfChangeV2) -> Result<Vec<Change>, serde_json::Error> {
    if conf.get_context().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(conf.get_context())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        let name = format!("c{id}");
        Member { id, address: format!("{name}:9470"), site: "east".to_owned(), name }
    }

    #[test]
    fn ids_are_never_given_twice() {
        let mut roster = Roster::of_one(member(1));
        assert_eq!(roster.next_id(), 2);
        roster.take(&Change::Learn(member(2)));
        roster.take(&Change::Remove(2));
        assert_eq!((roster.next_id(), roster.voters()), (3, vec![1]));
    }

    #[test]
    fn who_learns_has_no_vote_until_it_is_given_one() {
        let mut roster = Roster::of_one(member(1));
        roster.take(&Change::Learn(member(2)));
        assert_eq!(roster.seats()[1].kind, SeatKind::Learner);
        assert_eq!(
            (roster.conf_state().get_voters(), roster.conf_state().get_learners()),
            (&[1][..], &[2][..])
        );
        let moved = Member { address: "elsewhere:1".to_owned(), ..member(2) };
        roster.take(&Change::Vote(moved.clone()));
        assert_eq!((roster.voters(), roster.member(2)), (vec![1, 2], Some(&moved)));
        assert_eq!(roster.named("c2").map(|member| member.id), Some(2));
    }

    #[test]
    fn changes_come_back_from_what_raft_carries() {
        let all = vec![Change::Vote(member(4)), Change::Remove(2)];
        let conf = conf_change(&all).unwrap();
        assert_eq!(changes(&conf).unwrap(), all);
        let leaving = ConfChangeV2::default();
        assert_eq!(changes(&leaving).unwrap(), []);
    }
}
