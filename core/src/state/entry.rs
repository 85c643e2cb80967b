//! What can be asked of the coordinators: one entry of the log, its kinds, and the level each kind came with.
//! Promises: fields that a version does not know are passed over; a kind that it does not know is an error that stops it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::level::{REHEARSAL_LEVEL, known};
use super::refusal::NotUnderstood;
use crate::audit::{Actor, WallMillis};
use crate::dr::lease::{AgentName, Shares};
use crate::spec::dr::DrSpec;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The level that its kind came with.
    pub level: u32,
    /// As the leader's clock had it when it was proposed.
    pub at: WallMillis,
    pub actor: Actor,
    #[serde(default)]
    pub reason: Option<String>,
    pub command: Command,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Command {
    /// The first entry of a system. `level`: the founder's own.
    Found {
        cluster_id: String,
        level: u32,
    },
    /// What is wanted from now on. `spec` is what `text` means, checked by whoever proposes it.
    ApplySpec {
        text: String,
        spec: DrSpec,
        /// The revision that the plan was made for; `None`: whatever there is.
        #[serde(default)]
        expected_revision: Option<u64>,
    },
    /// An agent that is new, or that came back otherwise than it was.
    RegisterAgent {
        agent: AgentName,
        site: String,
        version: String,
        level: u32,
    },
    /// The operator's word that an agent is gone for good: nobody waits for it any more.
    ForgetAgent {
        agent: AgentName,
    },
    /// Who works on a link from now on.
    Share {
        link: String,
        shares: Shares,
    },
    /// Agents that hold nothing any more that an epoch before this one gave them: they said so, or their lease is over.
    Cleared {
        link: String,
        epoch: u64,
        agents: BTreeSet<AgentName>,
    },
    /// Nothing is left of a removed link on its clusters but mirrored topics, their data and group offsets.
    Tidied {
        link: String,
    },
    Pause {
        link: String,
    },
    Resume {
        link: String,
    },
    /// From now on entries up to this level may be proposed: every member understands them.
    Finalize {
        level: u32,
    },
    /// After a forced recovery.
    RaiseIncarnation {},
    /// A call that was refused before it became an entry.
    RefusedCall {
        call: String,
        subject: String,
        why: String,
    },
    /// A coordinator that joined or left.
    MemberChanged {
        member: Member,
        change: MemberChange,
    },
    /// The one kind that the next version's rehearsal knows more: it notes that it came.
    Rehearse {},
}

/// A coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: u64,
    pub name: String,
    pub site: String,
    /// `host:port`.
    pub address: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberChange {
    /// It votes from now on; also one that is known already and was changed.
    Joined,
    Left,
}

impl Command {
    /// One stable word, as it is stored.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Found { .. } => "found",
            Self::ApplySpec { .. } => "apply_spec",
            Self::RegisterAgent { .. } => "register_agent",
            Self::ForgetAgent { .. } => "forget_agent",
            Self::Share { .. } => "share",
            Self::Cleared { .. } => "cleared",
            Self::Tidied { .. } => "tidied",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Finalize { .. } => "finalize",
            Self::RaiseIncarnation {} => "raise_incarnation",
            Self::RefusedCall { .. } => "refused_call",
            Self::MemberChanged { .. } => "member_changed",
            Self::Rehearse {} => "rehearse",
        }
    }

    /// The level that this kind came with.
    #[must_use]
    pub fn level(&self) -> u32 {
        match self {
            Self::Rehearse {} => REHEARSAL_LEVEL,
            _ => 1,
        }
    }

    /// What it is about: a link, an agent, a member; empty for the whole system.
    #[must_use]
    pub fn subject(&self) -> &str {
        match self {
            Self::RegisterAgent { agent, .. } | Self::ForgetAgent { agent } => agent,
            Self::Share { link, .. }
            | Self::Cleared { link, .. }
            | Self::Tidied { link }
            | Self::Pause { link }
            | Self::Resume { link } => link,
            Self::RefusedCall { subject, .. } => subject,
            Self::MemberChanged { member, .. } => &member.name,
            Self::Found { .. }
            | Self::ApplySpec { .. }
            | Self::Finalize { .. }
            | Self::RaiseIncarnation {}
            | Self::Rehearse {} => "",
        }
    }
}

impl Entry {
    /// An entry with the level of its kind.
    #[must_use]
    pub fn new(at: WallMillis, actor: Actor, reason: Option<String>, command: Command) -> Self {
        Self { level: command.level(), at, actor, reason, command }
    }
}

/// As much of an entry as every version can read: where reading the whole of it fails, this says why in words.
#[derive(Clone, Debug, Deserialize)]
pub struct EntryHead {
    pub level: u32,
    pub command: KindHead,
}

#[derive(Clone, Debug, Deserialize)]
pub struct KindHead {
    pub kind: String,
}

impl EntryHead {
    /// # Errors
    /// This version is older than the entry.
    pub fn understood(&self) -> Result<(), NotUnderstood> {
        if self.level > known() {
            return Err(NotUnderstood::Entry {
                kind: self.command.kind.clone(),
                level: self.level,
                known: known(),
            });
        }
        Ok(())
    }
}
