//! Who waits for what: proposals until they are applied here, reads until this member has everything that was agreed on when
//! they were asked. Promises: everybody gets one answer; what was proposed and not seen again is answered as unknown.

use std::collections::HashMap;
use std::path::PathBuf;

use tokio::sync::oneshot;

use super::roster::{Change, Roster};
use super::{Machine, Refused};

/// Proposals whose fate is open.
pub(super) const PROPOSALS_MAX: usize = 1_024;
/// Reads that wait.
const READS_MAX: usize = 4_096;

pub(super) type Answer<T> = oneshot::Sender<Result<T, Refused>>;

/// Where a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshotted {
    pub index: u64,
    pub path: PathBuf,
}

/// What the node is asked by those beside it.
pub(super) enum Call<A> {
    Propose { data: Vec<u8>, answer: Answer<A> },
    Change { changes: Vec<Change>, answer: Answer<Roster> },
    Read { answer: Answer<()> },
    Transfer { to: u64, answer: Answer<()> },
    Snapshot { answer: Answer<Snapshotted> },
    Stop,
}

/// What other members, and the way to them, have to say.
pub(super) enum Inward {
    Step(Vec<u8>),
    Unreachable(u64),
    SnapshotSent(u64, Delivery),
}

/// What became of a snapshot on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Arrived,
    Lost,
}

/// Everybody who waits.
pub(super) struct Waiting<M: Machine> {
    /// The next proposal's ticket. Starts anywhere: an entry of an earlier life must not answer a new call.
    ticket: u64,
    proposals: HashMap<u64, Answer<M::Answer>>,
    changes: HashMap<u64, Answer<Roster>>,
    /// Not asked of raft yet.
    new_reads: Vec<Answer<()>>,
    /// Under one ticket, asked of raft, until it says an index.
    asked_reads: Option<(u64, Vec<Answer<()>>)>,
    /// Until this index is applied.
    due_reads: Vec<(u64, Vec<Answer<()>>)>,
}

impl<M: Machine> Waiting<M> {
    pub(super) fn new() -> Self {
        Self {
            ticket: fastrand::u64(..),
            proposals: HashMap::new(),
            changes: HashMap::new(),
            new_reads: Vec::new(),
            asked_reads: None,
            due_reads: Vec::new(),
        }
    }

    pub(super) fn next_ticket(&mut self) -> u64 {
        self.ticket = self.ticket.wrapping_add(1);
        self.ticket
    }

    /// Whether one more proposal fits; callers that went away hold no place.
    pub(super) fn has_room(&mut self) -> bool {
        if self.proposals.len() >= PROPOSALS_MAX {
            self.proposals.retain(|_, answer| !answer.is_closed());
        }
        self.proposals.len() < PROPOSALS_MAX
    }

    pub(super) fn proposed(&mut self, ticket: u64, answer: Answer<M::Answer>) {
        self.proposals.insert(ticket, answer);
    }

    pub(super) fn change_proposed(&mut self, ticket: u64, answer: Answer<Roster>) {
        self.changes.insert(ticket, answer);
    }

    pub(super) fn applied(&mut self, ticket: Option<u64>, answer: M::Answer) {
        if let Some(waiter) = ticket.and_then(|ticket| self.proposals.remove(&ticket)) {
            // It may have stopped to wait.
            let _ = waiter.send(Ok(answer));
        }
    }

    pub(super) fn changed(&mut self, ticket: Option<u64>, roster: &Roster) {
        if let Some(waiter) = ticket.and_then(|ticket| self.changes.remove(&ticket)) {
            let _ = waiter.send(Ok(roster.clone()));
        }
    }

    pub(super) fn read(&mut self, answer: Answer<()>) {
        self.new_reads.retain(|answer| !answer.is_closed());
        if self.new_reads.len() >= READS_MAX {
            let _ = answer.send(Err(Refused::Busy));
            return;
        }
        self.new_reads.push(answer);
    }

    /// The ticket under which raft is to be asked now, once for all who came since it was asked last.
    pub(super) fn ask_reads(&mut self) -> Option<u64> {
        if self.asked_reads.is_some() || self.new_reads.is_empty() {
            return None;
        }
        let ticket = self.next_ticket();
        self.asked_reads = Some((ticket, std::mem::take(&mut self.new_reads)));
        Some(ticket)
    }

    /// Raft forgets questions (no leader, a new one, a lost message): they are asked anew. Who stopped to wait is left out.
    pub(super) fn reads_again(&mut self) {
        if let Some((_, mut reads)) = self.asked_reads.take() {
            reads.retain(|answer| !answer.is_closed());
            self.new_reads.append(&mut reads);
        }
    }

    pub(super) fn read_at(&mut self, ticket: u64, index: u64) {
        if let Some((_, reads)) = self.asked_reads.take_if(|(asked, _)| *asked == ticket) {
            self.due_reads.push((index, reads));
        }
    }

    pub(super) fn settle_reads(&mut self, applied: u64) {
        for (_, reads) in self.due_reads.extract_if(.., |(index, _)| *index <= applied) {
            for answer in reads {
                let _ = answer.send(Ok(()));
            }
        }
    }

    /// This member no longer leads: what it proposed may be agreed on all the same.
    pub(super) fn deposed(&mut self) {
        for (_, answer) in self.proposals.drain() {
            let _ = answer.send(Err(Refused::Unknown));
        }
        for (_, answer) in self.changes.drain() {
            let _ = answer.send(Err(Refused::Unknown));
        }
    }

    pub(super) fn stopped(&mut self, why: &str) {
        self.deposed();
        self.reads_again();
        let due = self.due_reads.drain(..).flat_map(|(_, reads)| reads);
        for answer in self.new_reads.drain(..).chain(due) {
            let _ = answer.send(Err(Refused::Stopped(why.to_owned())));
        }
    }
}
