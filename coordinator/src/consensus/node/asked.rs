//! What callers ask, taken together as far as they came together.

use raft::eraftpb::ConfChangeV2;

use super::super::calls::{Answer, Call};
use super::super::roster::{Change, Roster, conf_change};
use super::super::{Fault, Machine, Refused, Transport};
use super::{BATCH, Next, Node};

/// How far a learner may be behind to get a vote: an entry or two are always on their way.
const BEHIND_MAX: u64 = 256;

impl<M: Machine, T: Transport> Node<M, T> {
    pub(super) fn answer(&mut self, first: Call<M::Answer>) -> Result<Next, Fault> {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(call) = next {
            match call {
                Call::Stop => return Ok(Next::Stop),
                Call::Propose { data, answer } => self.propose(data, answer),
                Call::Change { changes, answer } => self.change(&changes, answer),
                Call::Read { answer } => self.read(answer),
                Call::Transfer { to, answer } => self.transfer(to, answer),
                Call::Snapshot { answer } => {
                    let made = self.asked_snapshot()?;
                    let _ = answer.send(made);
                }
            }
            taken += 1;
            next = if taken < BATCH { self.calls.try_recv().ok() } else { None };
        }
        Ok(Next::Go)
    }

    fn propose(&mut self, data: Vec<u8>, answer: Answer<M::Answer>) {
        if let Some(refused) = self.cannot_propose() {
            let _ = answer.send(Err(refused));
            return;
        }
        let ticket = self.waiting.next_ticket();
        match self.raft.propose(ticket.to_be_bytes().to_vec(), data) {
            Ok(()) => self.waiting.proposed(ticket, answer),
            Err(_) => drop(answer.send(Err(Refused::Busy))),
        }
    }

    fn cannot_propose(&mut self) -> Option<Refused> {
        if !self.leads() {
            return Some(Refused::NotLeader { leader: self.leader() });
        }
        (!self.waiting.has_room()).then_some(Refused::Busy)
    }

    fn read(&mut self, answer: Answer<()>) {
        if self.leader().is_none() {
            let _ = answer.send(Err(Refused::NotLeader { leader: None }));
            return;
        }
        self.waiting.read(answer);
    }

    fn transfer(&mut self, to: u64, answer: Answer<()>) {
        let said = if !self.leads() {
            Err(Refused::NotLeader { leader: self.leader() })
        } else if self.roster.member(to).is_none() || self.roster.is_learner(to) {
            Err(Refused::Rule(format!("member {to} has no vote: it cannot lead")))
        } else {
            self.raft.transfer_leader(to);
            Ok(())
        };
        let _ = answer.send(said);
    }

    fn asked_snapshot(&mut self) -> Result<Result<super::super::Snapshotted, Refused>, Fault> {
        if self.is_joint {
            return Ok(Err(Refused::Rule("the members are just being changed: try again".to_owned())));
        }
        self.snapshot().map(Ok)
    }

    fn change(&mut self, changes: &[Change], answer: Answer<Roster>) {
        let proposed = self.changeable(changes).and_then(|conf| {
            let ticket = self.waiting.next_ticket();
            let context = ticket.to_be_bytes().to_vec();
            self.raft.propose_conf_change(context, conf).map_err(|_| Refused::Busy)?;
            Ok(ticket)
        });
        match proposed {
            Ok(ticket) => self.waiting.change_proposed(ticket, answer),
            Err(refused) => drop(answer.send(Err(refused))),
        }
    }

    /// Raft takes an ill-timed change for nothing at all without a word: it is refused here.
    fn changeable(&mut self, changes: &[Change]) -> Result<ConfChangeV2, Refused> {
        if let Some(refused) = self.cannot_propose() {
            return Err(refused);
        }
        if self.is_joint || self.raft.raft.has_pending_conf() {
            return Err(Refused::Rule("another change of the members is under way: try again".to_owned()));
        }
        let mut after = self.roster.clone();
        for change in changes {
            self.ready_for(change)?;
            after.take(change);
        }
        if after.voters().is_empty() {
            return Err(Refused::Rule("nobody would be left to agree on anything".to_owned()));
        }
        conf_change(changes).map_err(|error| Refused::Rule(error.to_string()))
    }

    fn ready_for(&self, change: &Change) -> Result<(), Refused> {
        let Change::Vote(member) = change else { return Ok(()) };
        let known = self.roster.member(member.id).is_some();
        if known && !self.roster.is_learner(member.id) {
            return Ok(());
        }
        let last = self.raft.raft.raft_log.last_index();
        let matched = self.raft.raft.prs().get(member.id).map_or(0, |progress| progress.matched);
        let behind = last.saturating_sub(matched);
        if !known || matched == 0 || behind > BEHIND_MAX {
            let why =
                format!("{} is {behind} entries behind: it gets its vote once it has them", member.name);
            return Err(Refused::Rule(why));
        }
        Ok(())
    }
}
