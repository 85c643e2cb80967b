//! The coordinators as one, seen from this member: [`Agreement`] over the consensus. A change of the membership is told to the
//! audit trail by whoever asked for it; the leader's loop makes good what was left out by a crash in between.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::audit::{Actor, ActorKind, WallMillis};
use lockstep_core::state::{Applied, Command, Entry, Member, MemberChange, Refusal, State, known};

use tokio::time::{Instant, sleep};

use super::figures::Proposals;
use super::trail::Trail;
use crate::agreed::{Shared, encode};
use crate::agreement::{Agreement, AuditPage, NotDone, Position, Reseat, Seat, SeatKind};
use crate::consensus::{Change, Handle, Refused};
use crate::dispatch::{Lead, Leadership};

/// How long the leader waits for another one to take over before it is removed itself.
const HANDOVER: Duration = Duration::from_secs(10);

/// How long the first entry may take.
const FOUNDING: Duration = Duration::from_secs(5);
const FOUNDING_LOOK: Duration = Duration::from_millis(20);

/// A handle.
#[derive(Clone)]
pub struct Council {
    node: Handle<Applied>,
    state: Shared,
    trail: Trail,
    proposals: Arc<Proposals>,
}

impl Council {
    pub(super) fn new(node: Handle<Applied>, state: Shared, trail: Trail) -> Self {
        Self { node, state, trail, proposals: Arc::default() }
    }

    pub(super) fn node(&self) -> &Handle<Applied> {
        &self.node
    }

    /// What became of everything that was proposed here.
    #[must_use]
    pub(super) fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Another member's message for the consensus.
    ///
    /// # Errors
    /// This member has stopped.
    pub async fn step(&self, message: Vec<u8>) -> Result<(), NotDone> {
        self.node.step(message).await.map_err(not_done)
    }

    /// A coordinator that asks to join, with its own certificate.
    ///
    /// # Errors
    /// As [`Agreement::reseat`].
    pub async fn let_in(&self, comes: Member, from: Option<String>) -> Result<Member, NotDone> {
        let actor = Actor { name: comes.name.clone(), kind: ActorKind::Coordinator, from };
        self.learn(actor, None, comes).await
    }

    /// A new system is led a moment before its first entry is agreed on, and for another one by nobody: nothing may come
    /// before that entry, so it is waited for.
    async fn founded(&self) -> Result<(), NotDone> {
        let end = Instant::now() + FOUNDING;
        while self.state().cluster_id().is_none() {
            let position = self.position();
            let is_over = Instant::now() >= end;
            if let Some(why) = position.stopped {
                return Err(NotDone::Stopped(why));
            }
            match position.leader {
                Some(leader) if leader == position.id && is_over => return Err(NotDone::Busy),
                Some(leader) if leader == position.id => {}
                None if !is_over => {}
                leader => return Err(NotDone::NotLeader { leader }),
            }
            sleep(FOUNDING_LOOK).await;
        }
        Ok(())
    }

    /// One member more, without a vote: the leader's loop gives it one once it has everything. The member as it is known
    /// from then on.
    ///
    /// # Errors
    /// [`NotDone`]; refused where the name has a vote already.
    async fn learn(&self, actor: Actor, reason: Option<String>, comes: Member) -> Result<Member, NotDone> {
        self.founded().await?;
        let position = self.position();
        let known = position.seats.iter().find(|seat| seat.member.name == comes.name);
        let id = match known {
            Some(seat) if seat.kind == SeatKind::Voter => {
                let why = format!(
                    "{} is a member already, at {}: remove it first if it lost its folder (lockstep coordinator remove {})",
                    comes.name, seat.member.address, comes.name
                );
                return Err(NotDone::Refused(why));
            }
            Some(seat) => seat.member.id,
            None => position.next_id,
        };
        let member = Member { id, ..comes };
        self.change(vec![Change::Learn(member.clone())]).await?;
        let told = Command::MemberChanged { member: member.clone(), change: MemberChange::Joined };
        self.propose(actor, reason, told).await?;
        Ok(member)
    }

    async fn leave(&self, actor: Actor, reason: Option<String>, name: &str) -> Result<(), NotDone> {
        let position = self.position();
        let seat = position.seats.iter().find(|seat| seat.member.name == name);
        let Some(member) = seat.map(|seat| seat.member.clone()) else {
            let names: Vec<_> = position.seats.iter().map(|seat| seat.member.name.as_str()).collect();
            return Err(NotDone::Refused(format!(
                "there is no coordinator {name:?}, only {}",
                names.join(", ")
            )));
        };
        if member.id == position.id {
            return Err(self.hand_over(&position).await);
        }
        self.change(vec![Change::Remove(member.id)]).await?;
        let told = Command::MemberChanged { member, change: MemberChange::Left };
        self.propose(actor, reason, told).await?;
        Ok(())
    }

    /// A leader does not remove itself: another one does, once it leads.
    async fn hand_over(&self, position: &Position) -> NotDone {
        let voter = |seat: &&Seat| seat.kind == SeatKind::Voter && seat.member.id != position.id;
        let Some(to) = position.seats.iter().find(voter) else {
            return NotDone::Refused("it is the only one that votes: nobody would be left".to_owned());
        };
        if let Err(refused) = self.node.transfer(to.member.id).await {
            return not_done(refused);
        }
        let mut seen = self.node.position();
        let another = seen.wait_for(|now| now.leader.is_some_and(|leader| leader != now.id));
        let leader = match tokio::time::timeout(HANDOVER, another).await {
            Ok(Ok(now)) => now.leader,
            Ok(Err(_)) | Err(_) => None,
        };
        NotDone::NotLeader { leader }
    }

    /// Every member that does not know an entry's level would have to stop: it is refused here, before it is one.
    fn may_propose(&self, command: &Command) -> Result<(), NotDone> {
        let (level, finalized) = (command.level(), self.state().level());
        match command {
            Command::Found { .. } => Ok(()),
            Command::Finalize { level } if *level > known() => {
                let known = known();
                let why = format!(
                    "this coordinator knows entries up to level {known}, not {level}: upgrade it first"
                );
                Err(NotDone::Refused(why))
            }
            _ if level > finalized => Err(NotDone::Refused(Refusal::Level { level, finalized }.to_string())),
            _ => Ok(()),
        }
    }

    async fn agree(
        &self,
        actor: Actor,
        reason: Option<String>,
        command: Command,
    ) -> Result<Applied, NotDone> {
        if !matches!(command, Command::Found { .. }) {
            self.founded().await?;
        }
        self.may_propose(&command)?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = WallMillis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
        let entry = Entry::new(at, actor, reason, command);
        let data = encode(&entry).map_err(|error| NotDone::Refused(error.to_string()))?;
        self.node.propose(data).await.map_err(not_done)
    }

    async fn change(&self, changes: Vec<Change>) -> Result<(), NotDone> {
        self.node.change(changes).await.map(drop).map_err(not_done)
    }
}

#[tonic::async_trait]
impl Agreement for Council {
    fn state(&self) -> Arc<State> {
        self.state.get()
    }

    fn position(&self) -> Position {
        self.node.position().borrow().clone()
    }

    async fn read(&self) -> Result<Arc<State>, NotDone> {
        self.node.read().await.map_err(not_done)?;
        Ok(self.state())
    }

    async fn propose(
        &self,
        actor: Actor,
        reason: Option<String>,
        command: Command,
    ) -> Result<Applied, NotDone> {
        let outcome = self.agree(actor, reason, command).await;
        self.proposals.count(&outcome);
        outcome
    }

    async fn reseat(
        &self,
        actor: Actor,
        reason: Option<String>,
        change: Reseat,
    ) -> Result<Vec<Seat>, NotDone> {
        match change {
            Reseat::Join(member) => drop(self.learn(actor, reason, member).await?),
            Reseat::Leave(name) => self.leave(actor, reason, &name).await?,
        }
        Ok(self.position().seats)
    }

    async fn snapshot(&self) -> Result<(u64, PathBuf), NotDone> {
        let made = self.node.snapshot().await.map_err(not_done)?;
        Ok((made.index, made.path))
    }

    async fn audit(&self, from_seq: u64) -> Result<AuditPage, NotDone> {
        let trail = self.trail.clone();
        // Files are read beside the runtime: a page may take its time.
        let page = tokio::task::spawn_blocking(move || trail.page(from_seq)).await;
        let events = match page {
            Ok(events) => events.map_err(|fault| NotDone::Refused(fault.to_string()))?,
            Err(error) => return Err(NotDone::Refused(error.to_string())),
        };
        let (head, here) = (self.state().audit(), self.trail.head());
        if events.is_empty() && from_seq <= head.seq {
            let why = format!(
                "this coordinator has the trail up to event {}, events up to {} are still on their way to it: try again",
                here.seq, head.seq
            );
            return Err(NotDone::Refused(why));
        }
        Ok(AuditPage { events, head })
    }
}

#[tonic::async_trait]
impl Leadership for Council {
    async fn confirm(&self) -> Result<(), Lead> {
        let read = self.node.read().await;
        let position = self.position();
        if read.is_ok() && position.leads() { Ok(()) } else { Err(lead(&position)) }
    }
}

/// Who leads, as agents are told.
pub(super) fn lead(position: &Position) -> Lead {
    if position.leads() {
        return Lead::Here;
    }
    let leader = position.leader.filter(|leader| *leader != position.id);
    match leader.and_then(|leader| position.seat(leader)) {
        Some(seat) => Lead::At(seat.member.address.clone()),
        None => Lead::Nobody,
    }
}

fn not_done(refused: Refused) -> NotDone {
    match refused {
        Refused::NotLeader { leader } => NotDone::NotLeader { leader },
        Refused::Busy => NotDone::Busy,
        Refused::Rule(why) => NotDone::Refused(why),
        Refused::Unknown => NotDone::Unknown,
        Refused::Stopped(why) => NotDone::Stopped(why),
    }
}
