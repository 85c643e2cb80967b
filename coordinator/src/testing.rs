//! What tests play with: certificates, of an authority of its own for each so that a stranger's can be shown; and
//! coordinators that agree in memory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_core::audit::{Actor, ActorKind, AuditEvent, WallMillis};
use lockstep_core::state::{Applied, Command, Entry, LEVEL, Member, MemberChange, State};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use tokio::time::Instant;

use crate::agreed::{Replica, encode};
use crate::agreement::{Agreement, AuditPage, NotDone, PAGE_EVENTS_MAX, Position, Reseat, Seat, SeatKind};

/// A certificate authority.
#[derive(Clone)]
pub(crate) struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    pub(crate) pem: String,
}

/// A certificate with its key.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Arc::new(Issuer::new(params, key)), pem }
    }

    /// For 127.0.0.1, both ends of a connection, and these URIs.
    pub(crate) fn issue(&self, uris: &[&str]) -> Issued {
        self.issue_with(uris, |_| {})
    }

    pub(crate) fn issue_with(&self, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(names);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

/// Coordinators that agree in memory: one state and one trail for all of them, each with a position of its own.
#[derive(Clone)]
pub(crate) struct Together {
    id: u64,
    mode: Arc<Mutex<Mode>>,
    shared: Arc<Mutex<Shared>>,
}

/// How a member answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As the one that leads, if it does.
    Well,
    Busy,
    /// Proposals are agreed on, and their answer is lost.
    AnswersLost,
    /// As one behind a network that was cut.
    Silent,
    Stopped(String),
}

#[derive(Default)]
struct Shared {
    replica: Replica,
    index: u64,
    leader: Option<u64>,
    leaderless: Option<Instant>,
    seats: Vec<Seat>,
    trail: Vec<AuditEvent>,
    /// Entries that were agreed on.
    entries: u64,
}

impl Together {
    /// The first of a system that is founded; it leads.
    pub(crate) fn found(member: Member) -> Self {
        let shared = Shared { leader: Some(member.id), ..Shared::default() };
        let first = Self {
            id: member.id,
            mode: Arc::new(Mutex::new(Mode::Well)),
            shared: Arc::new(Mutex::new(shared)),
        };
        first.agree(Command::Found { cluster_id: "0b6f".to_owned(), level: LEVEL });
        first.seat(member);
        first
    }

    /// Another member's view of the same.
    pub(crate) fn joined(&self, member: Member) -> Self {
        let id = member.id;
        self.seat(member);
        Self { id, mode: Arc::new(Mutex::new(Mode::Well)), shared: Arc::clone(&self.shared) }
    }

    fn seat(&self, member: Member) {
        self.agree(Command::MemberChanged { member: member.clone(), change: MemberChange::Joined });
        self.shared.lock().unwrap().seats.push(Seat { member, kind: SeatKind::Voter });
    }

    pub(crate) fn unseat(&self, name: &str) {
        self.shared.lock().unwrap().seats.retain(|seat| seat.member.name != name);
    }

    pub(crate) fn lead(&self, leader: Option<u64>) {
        let mut shared = self.shared.lock().unwrap();
        shared.leader = leader;
        shared.leaderless = leader.is_none().then(Instant::now);
    }

    /// Nobody has led for so long.
    pub(crate) fn nobody_leads_for(&self, time: Duration) {
        self.lead(None);
        self.shared.lock().unwrap().leaderless = Instant::now().checked_sub(time);
    }

    pub(crate) fn play(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// As some coordinator by itself.
    pub(crate) fn agree(&self, command: Command) -> Applied {
        self.enter(Actor { name: "c1".to_owned(), kind: ActorKind::Coordinator, from: None }, None, command)
    }

    pub(crate) fn trail(&self) -> Vec<AuditEvent> {
        self.shared.lock().unwrap().trail.clone()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.shared.lock().unwrap().entries
    }

    fn enter(&self, actor: Actor, reason: Option<String>, command: Command) -> Applied {
        let mut shared = self.shared.lock().unwrap();
        shared.index += 1;
        shared.entries += 1;
        let entry = encode(&Entry::new(WallMillis(1_700_000_000_000), actor, reason, command)).unwrap();
        let index = shared.index;
        let applied = shared.replica.apply(index, &entry).unwrap();
        shared.trail.extend(applied.events.clone());
        applied
    }

    fn may_lead(&self) -> Result<(), NotDone> {
        let mode = self.mode.lock().unwrap().clone();
        if let Mode::Stopped(why) = mode {
            return Err(NotDone::Stopped(why));
        }
        let leader = self.shared.lock().unwrap().leader;
        if leader == Some(self.id) { Ok(()) } else { Err(NotDone::NotLeader { leader }) }
    }
}

#[tonic::async_trait]
impl Agreement for Together {
    fn state(&self) -> Arc<State> {
        self.shared.lock().unwrap().replica.state()
    }

    fn position(&self) -> Position {
        let shared = self.shared.lock().unwrap();
        let stopped = match &*self.mode.lock().unwrap() {
            Mode::Stopped(why) => Some(why.clone()),
            _ => None,
        };
        Position {
            id: self.id,
            term: 1,
            leader: shared.leader,
            leaderless: shared.leaderless,
            committed: shared.index,
            applied: shared.index,
            seats: shared.seats.clone(),
            next_id: shared.seats.len() as u64 + 1,
            stopped,
            ..Position::default()
        }
    }

    async fn read(&self) -> Result<Arc<State>, NotDone> {
        self.may_lead()?;
        let mode = self.mode.lock().unwrap().clone();
        if mode == Mode::Silent {
            std::future::pending::<()>().await;
        }
        Ok(self.state())
    }

    async fn propose(
        &self,
        actor: Actor,
        reason: Option<String>,
        command: Command,
    ) -> Result<Applied, NotDone> {
        self.may_lead()?;
        let mode = self.mode.lock().unwrap().clone();
        match mode {
            Mode::Busy => Err(NotDone::Busy),
            Mode::AnswersLost => {
                self.enter(actor, reason, command);
                Err(NotDone::Unknown)
            }
            Mode::Silent => std::future::pending().await,
            Mode::Well | Mode::Stopped(_) => Ok(self.enter(actor, reason, command)),
        }
    }

    async fn reseat(
        &self,
        actor: Actor,
        reason: Option<String>,
        change: Reseat,
    ) -> Result<Vec<Seat>, NotDone> {
        self.may_lead()?;
        match change {
            Reseat::Join(member) => {
                let change = MemberChange::Joined;
                self.enter(actor, reason, Command::MemberChanged { member: member.clone(), change });
                self.shared.lock().unwrap().seats.push(Seat { member, kind: SeatKind::Learner });
            }
            Reseat::Leave(name) => {
                let found = self.position().seats.into_iter().find(|seat| seat.member.name == name);
                let seat =
                    found.ok_or_else(|| NotDone::Refused(format!("no coordinator is called {name:?}")))?;
                let change = MemberChange::Left;
                self.enter(actor, reason, Command::MemberChanged { member: seat.member, change });
                self.unseat(&name);
            }
        }
        Ok(self.position().seats)
    }

    async fn snapshot(&self) -> Result<(u64, PathBuf), NotDone> {
        Ok((self.position().applied, PathBuf::from(format!("snapshots/{}", self.id))))
    }

    async fn audit(&self, from_seq: u64) -> Result<AuditPage, NotDone> {
        let shared = self.shared.lock().unwrap();
        let events = shared.trail.iter().filter(|event| event.seq >= from_seq).take(PAGE_EVENTS_MAX);
        Ok(AuditPage { events: events.cloned().collect(), head: shared.replica.state().audit() })
    }
}
