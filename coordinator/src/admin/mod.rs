//! What operators ask of the coordinators, from whoever asks to what is answered. The door (`grpc::admin`) finds out who
//! asks and brings the call to the leader; here it is decided and done.
//!
//! ```text
//! call ─ access (may) ─► read (state, at least as new as anything answered before) ─► propose │ intake │ ask agents ─► answer
//!            └ no ─► refused (audit trail)
//! ```
//!
//! | file | does |
//! |---|---|
//! | `weigh` | from the files of a spec to what they would change, or to every fault |
//! | `plan`, `lines` | what an apply would change; what agents say to it |
//! | `apply`, `once` | a spec becomes what is wanted, once for every request |
//! | `status`, `asked` | what the leader knows; what only agents know |
//! | `members`, `level` | who the coordinators are; which kinds of entries may be used |
//! | `forget` | agents that are gone for good |
//! | `trail` | the audit trail in pages |
//! | `ready` | every check of a link |
//! | `refused` | calls that were not done, in the audit trail, bounded |
//!
//! Promises: nothing is done for who may not; what changes the system names in the audit trail who asked, and from where;
//! what is answered rests on a state that a majority has confirmed after the call came, except where it says otherwise.

mod apply;
mod asked;
mod failure;
mod forget;
mod level;
mod lines;
mod members;
mod once;
mod plan;
mod ready;
mod refused;
mod status;
mod trail;
mod weigh;

use std::sync::Arc;

use lockstep_core::audit::{Actor, ActorKind};
use lockstep_core::state::State;
use tokio::sync::watch;

use crate::access::{Access, Act};
use crate::agreement::{Agreement, Position, Seat, SeatKind};
use crate::dispatch::Desk;
use crate::holder::Holder;
use crate::peers::Peers;

pub use failure::Failure;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub holder: Holder,
    /// The address the call came from.
    pub from: Option<String>,
    pub way: Way,
}

/// How a call came to this coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Direct,
    /// Another coordinator passed it on: it is not passed on again.
    PassedOn,
}

impl Caller {
    /// As the audit trail names it.
    fn actor(&self) -> Actor {
        let (name, kind) = match &self.holder {
            Holder::Operator { name } => (name, ActorKind::Operator),
            Holder::Agent { name, .. } => (name, ActorKind::Agent),
            Holder::Coordinator { name } => (name, ActorKind::Coordinator),
        };
        Actor { name: name.clone(), kind, from: self.from.clone() }
    }
}

/// Everything that answers operators.
pub struct Admin {
    agreement: Arc<dyn Agreement>,
    desk: Desk,
    access: watch::Receiver<Arc<Access>>,
    peers: Arc<Peers>,
    once: once::Once,
    refused: refused::Refused,
}

impl Admin {
    /// `access`: what operators may do, as the file says it now.
    #[must_use]
    pub fn new(
        agreement: Arc<dyn Agreement>,
        desk: Desk,
        access: watch::Receiver<Arc<Access>>,
        peers: Arc<Peers>,
    ) -> Self {
        Self {
            agreement,
            desk,
            access,
            peers,
            once: once::Once::default(),
            refused: refused::Refused::default(),
        }
    }

    /// Where this member stands.
    #[must_use]
    pub fn position(&self) -> Position {
        self.agreement.position()
    }

    /// The other coordinators.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Whether a coordinator of this name is one of ours now: one that was removed keeps its certificate.
    #[must_use]
    pub fn is_seated(&self, coordinator: &str) -> bool {
        self.agreement.position().seats.iter().any(|seat| seat.member.name == coordinator)
    }

    /// Whether the caller may; a refusal is told to the audit trail.
    async fn allow(&self, caller: &Caller, call: &'static str, act: Act<'_>) -> Result<(), Failure> {
        let outcome = self.access.borrow().may(&caller.holder, act);
        let Err(denied) = outcome else { return Ok(()) };
        self.tell_refused(caller, call, act.link().unwrap_or_default(), None, &denied.to_string()).await;
        Err(Failure::Denied(denied))
    }

    async fn read(&self) -> Result<Arc<State>, Failure> {
        Ok(self.agreement.read().await?)
    }
}

/// The sites of those that vote.
fn voting_sites(position: &Position) -> impl Iterator<Item = &str> {
    voters(position).map(|seat| seat.member.site.as_str())
}

fn voters(position: &Position) -> impl Iterator<Item = &Seat> {
    position.seats.iter().filter(|seat| seat.kind == SeatKind::Voter)
}
