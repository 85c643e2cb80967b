//! The loop of one member: time, then what peers say, then what callers ask, and after each whatever raft makes of it. One task,
//! so that nothing happens between two steps. Ends with the reason when a disk fails or the machine must not go on.

mod asked;
mod ready;

use std::collections::BTreeSet;
use std::time::Duration;

use protobuf::Message as _;
use raft::eraftpb::Message;
use raft::{Config, RawNode, SnapshotStatus, StateRole};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use lockstep_core::state::Member;

use super::calls::{Call, Delivery, Inward, Waiting};
use super::handle::Handle;
use super::log_store::{LogStore, Place};
use super::roster::Roster;
use super::snapshots::Snapshots;
use super::storage::Storage;
use super::{Fault, Machine, Transport, words};
use crate::agreement::Position;

/// Messages of peers that wait; their streams wait with them.
const INWARD_MAX: usize = 1_024;
const CALLS_MAX: usize = 1_024;
/// Taken at once before anything is written: what comes together is synced together.
const BATCH: usize = 128;
const MESSAGE_BYTES: u64 = 1 << 20;
const IN_FLIGHT: usize = 128;
/// Proposed and not agreed on yet; more is answered as busy.
const UNCOMMITTED_BYTES: u64 = 64 << 20;

/// How fast time goes, and how much of the log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    pub tick: Duration,
    /// Ticks without a leader's word before an election; at most twice as many.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// A snapshot is written after so many entries, or so many bytes of them.
    pub snapshot_entries: u64,
    pub snapshot_bytes: u64,
    /// Entries that stay in the log behind a snapshot, for members that are only a little behind.
    pub kept_entries: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            election_ticks: 10,
            heartbeat_ticks: 2,
            snapshot_entries: 10_000,
            snapshot_bytes: 32 << 20,
            kept_entries: 1_000,
        }
    }
}

/// One member, before and while it runs.
pub struct Node<M: Machine, T: Transport> {
    id: u64,
    pace: Pace,
    raft: RawNode<Storage>,
    machine: M,
    transport: T,
    roster: Roster,
    /// How a member that has no roster yet reaches those that let it join.
    contacts: Vec<Member>,
    /// The last entry that is in the machine.
    applied: Place,
    /// Voters of the old and the new configuration have to agree: raft leaves that state by itself.
    is_joint: bool,
    /// Since the last snapshot. One without the members of now is of no use to a member that comes: raft refuses a snapshot
    /// whose members do not include the receiver.
    has_new_members: bool,
    entries_since_snapshot: u64,
    bytes_since_snapshot: u64,
    waiting: Waiting<M>,
    calls: mpsc::Receiver<Call<M::Answer>>,
    inward: mpsc::Receiver<Inward>,
    position: watch::Sender<Position>,
    ticks: u64,
}

/// What the loop does after a call.
enum Next {
    Go,
    Stop,
}

impl<M: Machine, T: Transport> Node<M, T> {
    /// A member of a folder that [`super::found`] or nobody has filled: in the latter case it waits for one of its `contacts` to
    /// send it everything.
    ///
    /// # Errors
    /// [`Fault`]: it must not run.
    pub fn open(
        id: u64,
        pace: Pace,
        stores: (LogStore, Snapshots),
        mut machine: M,
        mut transport: T,
        contacts: Vec<Member>,
    ) -> Result<(Self, Handle<M::Answer>), Fault> {
        let (storage, data) = Storage::open(stores.0, stores.1)?;
        if let Some(data) = data {
            machine.restore(&data).map_err(Fault::Machine)?;
        }
        let applied = storage.newest().map(|header| header.place()).unwrap_or_default();
        let roster = storage.newest().map(|header| header.roster.clone()).unwrap_or_default();
        transport.roster(&roster);
        let config = Config {
            id,
            election_tick: pace.election_ticks,
            heartbeat_tick: pace.heartbeat_ticks,
            applied: applied.index,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            max_committed_size_per_ready: MESSAGE_BYTES,
            ..Config::default()
        };
        let refused = |error: raft::Error| Fault::Configuration(error.to_string());
        let raft = RawNode::new(&config, storage, &words::logger()).map_err(refused)?;
        let (calls_in, calls) = mpsc::channel(CALLS_MAX);
        let (inward_in, inward) = mpsc::channel(INWARD_MAX);
        let (position, seen) = watch::channel(Position {
            id,
            seats: roster.seats(),
            next_id: roster.next_id(),
            ..Position::default()
        });
        let node = Self {
            id,
            pace,
            raft,
            machine,
            transport,
            roster,
            contacts,
            applied,
            is_joint: false,
            has_new_members: false,
            entries_since_snapshot: 0,
            bytes_since_snapshot: 0,
            waiting: Waiting::new(),
            calls,
            inward,
            position,
            ticks: 0,
        };
        Ok((node, Handle { calls: calls_in, inward: inward_in, position: seen }))
    }

    /// Runs until it is stopped, or every handle is gone.
    ///
    /// # Errors
    /// Why this member must not go on; everybody who waits has been told.
    pub async fn run(mut self) -> Result<(), Fault> {
        let end = self.turn().await;
        let why = match &end {
            Ok(()) => "it was stopped".to_owned(),
            Err(fault) => fault.to_string(),
        };
        self.waiting.stopped(&why);
        self.position.send_modify(|position| {
            position.leader = None;
            position.stopped = Some(why);
        });
        end
    }

    async fn turn(&mut self) -> Result<(), Fault> {
        let mut clock = interval(self.pace.tick);
        // After a pause nothing is made up for: this member simply was not there.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was agreed on before is applied before anybody is answered.
        self.settle()?;
        if self.roster.voters() == [self.id] {
            // Nobody else to wait for.
            self.raft.campaign().map_err(|error| Fault::Configuration(error.to_string()))?;
            self.settle()?;
        }
        loop {
            self.publish();
            tokio::select! {
                biased;
                _ = clock.tick() => self.tick(),
                Some(inward) = self.inward.recv() => self.listen(inward),
                call = self.calls.recv() => {
                    let Some(call) = call else { return Ok(()) };
                    if let Next::Stop = self.answer(call)? {
                        return Ok(());
                    }
                }
            }
            self.settle()?;
        }
    }

    fn tick(&mut self) {
        self.raft.tick();
        self.ticks += 1;
        if self.ticks.is_multiple_of(self.pace.heartbeat_ticks as u64 + 1) {
            self.waiting.reads_again();
        }
    }

    /// What came together is taken together, up to a batch.
    fn listen(&mut self, first: Inward) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(inward) = next {
            match inward {
                Inward::Step(bytes) => self.step(&bytes),
                Inward::Unreachable(id) => self.raft.report_unreachable(id),
                Inward::SnapshotSent(id, delivery) => {
                    let status = match delivery {
                        Delivery::Arrived => SnapshotStatus::Finish,
                        Delivery::Lost => SnapshotStatus::Failure,
                    };
                    self.raft.report_snapshot(id, status);
                }
            }
            taken += 1;
            next = if taken < BATCH { self.inward.try_recv().ok() } else { None };
        }
    }

    fn step(&mut self, bytes: &[u8]) {
        let stepped = Message::parse_from_bytes(bytes).map_err(raft::Error::CodecError).and_then(|message| {
            // A stream of somebody else's, or of an earlier life of a member.
            if message.to == self.id { self.raft.step(message) } else { Err(raft::Error::StepPeerNotFound) }
        });
        if let Err(error) = stepped {
            tracing::debug!("a message of another member is passed over: {error}");
        }
    }

    fn leads(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<u64> {
        Some(self.raft.raft.leader_id).filter(|id| *id != raft::INVALID_ID)
    }

    fn publish(&self) {
        let raft = &self.raft.raft;
        let (term, leader, committed) = (raft.term, self.leader(), raft.raft_log.committed);
        let applied = self.applied.index;
        let storage = raft.raft_log.store();
        let (log_entries, log_bytes, snapshot) = storage.sizes();
        self.position.send_if_modified(|position| {
            let before = (position.term, position.leader, position.committed, position.applied);
            let seats = self.roster.seats();
            let is_new = before != (term, leader, committed, applied) || position.seats != seats;
            (position.term, position.leader) = (term, leader);
            position.leaderless = match leader {
                Some(_) => None,
                None => position.leaderless.or_else(|| Some(Instant::now())),
            };
            (position.committed, position.applied) = (committed, applied);
            (position.seats, position.next_id) = (seats, self.roster.next_id());
            (position.log_entries, position.log_bytes, position.snapshot) =
                (log_entries, log_bytes, snapshot);
            position.turned = Some(Instant::now());
            is_new
        });
    }

    fn reach(&self, id: u64) -> Option<&Member> {
        self.roster.member(id).or_else(|| self.contacts.iter().find(|contact| contact.id == id))
    }

    /// What raft and we make of the same changes has to be the same.
    fn agrees(&self, conf: &raft::eraftpb::ConfState) -> bool {
        let set = |ids: &[u64]| ids.iter().copied().collect::<BTreeSet<_>>();
        let ours = self.roster.conf_state();
        set(ours.get_voters()) == set(conf.get_voters())
            && set(ours.get_learners()) == set(conf.get_learners())
    }
}
