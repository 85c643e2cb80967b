//! What an entry does to the state. Each handler looks at everything first and changes something last, so that a
//! refused entry has no effect; every entry leaves an event in the audit trail.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Command, Entry, Member, MemberChange};
use super::fit::{fit, resolved};
use super::level::known;
use super::refusal::{NotUnderstood, Refusal};
use super::{Agent, Earlier, Held, Removed, Role, State};
use crate::audit::{AuditEvent, Draft, WallMillis};
use crate::dr::lease::{AgentName, Shares, WEIGHT_MAX};
use crate::spec::dr::{Diff, DrSpec, SiteKind};

/// Bytes of a spec as it is written.
const TEXT_BYTES_MAX: usize = 4 << 20;
const REASON_BYTES_MAX: usize = 1_024;
const AGENTS_MAX: usize = 1_000;
const MEMBERS_MAX: usize = 15;
/// Agents on one link.
const SHARES_MAX: usize = 64;
/// Epochs of one link that somebody may still hold.
const EARLIER_MAX: usize = 16;

/// What came of an entry, and what the audit trail gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub outcome: Result<Outcome, Refusal>,
    /// At least one, in order, chained.
    pub events: Vec<AuditEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It was so already.
    Unchanged,
    /// The spec's new revision.
    Revision(u64),
    /// The work's new epoch.
    Epoch(u64),
    Incarnation(u64),
}

/// What changed, in words.
struct Told {
    outcome: Outcome,
    before: Option<String>,
    after: Option<String>,
}

impl Told {
    fn done(before: Option<String>, after: Option<String>) -> Self {
        Self { outcome: Outcome::Done, before, after }
    }

    fn unchanged(what: String) -> Self {
        Self { outcome: Outcome::Unchanged, before: Some(what.clone()), after: Some(what) }
    }
}

type Decided = Result<Told, Refusal>;

impl State {
    /// The one entrance: every member calls it with the same entries in the same order.
    ///
    /// # Errors
    /// The entry is of a later version: this member must stop.
    pub fn apply(&mut self, entry: &Entry) -> Result<Applied, NotUnderstood> {
        if entry.level > known() {
            let kind = entry.command.kind().to_owned();
            return Err(NotUnderstood::Entry { kind, level: entry.level, known: known() });
        }
        if let Command::Finalize { level } = entry.command
            && level > known()
        {
            return Err(NotUnderstood::Entry { kind: "finalize".to_owned(), level, known: known() });
        }
        let decided = self.decide(entry);
        let (outcome, before, after, words) = match decided {
            Ok(told) => {
                let words = if told.outcome == Outcome::Unchanged { "unchanged" } else { "done" };
                (Ok(told.outcome), told.before, told.after, words.to_owned())
            }
            Err(refusal) => {
                let words = format!("refused: {refusal}");
                (Err(refusal), None, None, words)
            }
        };
        // A call that was refused elsewhere is told as that call.
        let (what, words) = match &entry.command {
            Command::RefusedCall { call, why, .. } => (call.clone(), format!("refused: {why}")),
            command => (command.kind().to_owned(), words),
        };
        let event = self.audit.chain(Draft {
            at: entry.at,
            actor: entry.actor.clone(),
            what,
            subject: entry.command.subject().to_owned(),
            reason: entry.reason.clone(),
            before,
            after,
            outcome: words,
        });
        Ok(Applied { outcome, events: vec![event] })
    }

    fn decide(&mut self, entry: &Entry) -> Decided {
        if entry.reason.as_ref().is_some_and(|reason| reason.len() > REASON_BYTES_MAX) {
            return Err(Refusal::Limit { what: "bytes of a reason", limit: REASON_BYTES_MAX });
        }
        if let Command::Found { cluster_id, level } = &entry.command {
            return self.found(cluster_id, *level);
        }
        if self.cluster_id.is_none() {
            return Err(Refusal::NotFounded);
        }
        if entry.level.max(entry.command.level()) > self.level {
            return Err(Refusal::Level { level: entry.level, finalized: self.level });
        }
        match &entry.command {
            Command::Found { cluster_id, .. } => {
                Err(Refusal::FoundedAlready { cluster_id: cluster_id.clone() })
            }
            Command::ApplySpec { text, spec, expected_revision } => {
                self.apply_spec(text, spec, *expected_revision)
            }
            Command::RegisterAgent { agent, site, version, level } => {
                let given = Agent { site: site.clone(), version: version.clone(), level: *level };
                self.register(agent, given)
            }
            Command::ForgetAgent { agent } => self.forget(agent),
            Command::Share { link, shares } => self.share(link, shares),
            Command::Cleared { link, epoch, agents } => self.cleared(link, *epoch, agents),
            Command::Tidied { link } => self.tidied(link),
            Command::Pause { link } => {
                let held = Held { by: entry.actor.name.clone(), at: entry.at, reason: entry.reason.clone() };
                self.hold(link, Some(held))
            }
            Command::Resume { link } => self.hold(link, None),
            Command::Finalize { level } => self.finalize(*level),
            Command::RaiseIncarnation {} => {
                let before = self.incarnation;
                self.incarnation += 1;
                Ok(Told {
                    outcome: Outcome::Incarnation(self.incarnation),
                    before: Some(before.to_string()),
                    after: Some(self.incarnation.to_string()),
                })
            }
            Command::RefusedCall { .. } => Ok(Told::done(None, None)),
            Command::MemberChanged { member, change } => self.member(member, *change),
            Command::Rehearse {} => Ok(self.rehearse(entry.at)),
        }
    }

    fn rehearse(&mut self, at: WallMillis) -> Told {
        match self.rehearsed {
            Some(_) => Told::unchanged("rehearsed".to_owned()),
            None => {
                self.rehearsed = Some(at);
                Told::done(None, Some("rehearsed".to_owned()))
            }
        }
    }

    fn found(&mut self, cluster_id: &str, level: u32) -> Decided {
        if let Some(there) = &self.cluster_id {
            return Err(Refusal::FoundedAlready { cluster_id: there.clone() });
        }
        fit("cluster id", cluster_id)?;
        if level == 0 || level > known() {
            return Err(Refusal::Level { level, finalized: known() });
        }
        self.cluster_id = Some(cluster_id.to_owned());
        self.incarnation = 1;
        self.level = level;
        Ok(Told::done(None, Some(format!("{cluster_id}, level {level}"))))
    }

    fn apply_spec(&mut self, text: &str, spec: &DrSpec, expected: Option<u64>) -> Decided {
        if let Some(expected) = expected.filter(|expected| *expected != self.revision) {
            return Err(Refusal::Stale { expected, present: self.revision });
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::Limit { what: "bytes of a spec", limit: TEXT_BYTES_MAX });
        }
        resolved(spec)?;
        for (link, role) in &self.roles {
            // A primary is changed by a promotion, never by a file.
            if let Some(new) = spec.links.get(link).filter(|new| new.other(&role.primary).is_none()) {
                let why = format!(
                    "its primary {} is none of {}: remove the link first, then apply it anew",
                    role.primary,
                    new.clusters.join(", ")
                );
                return Err(Refusal::Unfit { what: "link", name: link.clone(), why });
            }
        }
        let present = format!("revision {}", self.revision);
        if *spec == self.spec && text == self.text && self.revision > 0 {
            return Ok(Told::unchanged(present));
        }
        let summary = Diff::between(&self.spec, spec).summary();
        self.revision += 1;
        self.note_removed(spec);
        self.spec = spec.clone();
        text.clone_into(&mut self.text);
        self.follow_spec();
        Ok(Told {
            outcome: Outcome::Revision(self.revision),
            before: Some(present),
            after: Some(format!("revision {}: {summary}", self.revision)),
        })
    }

    /// What the next spec no longer has is to be tidied up, with the clusters as they are known now.
    fn note_removed(&mut self, next: &DrSpec) {
        self.removed.retain(|link, _| !next.links.contains_key(link));
        for (name, link) in &self.spec.links {
            if next.links.contains_key(name) {
                continue;
            }
            let known = |name: &String| Some((name.clone(), self.spec.clusters.get(name)?.clone()));
            let clusters = link.clusters.iter().filter_map(known).collect();
            self.removed.insert(name.clone(), Removed { revision: self.revision, clusters });
        }
    }

    fn tidied(&mut self, link: &str) -> Decided {
        let unknown = || Refusal::Unknown { what: "removed link", name: link.to_owned() };
        let removed = self.removed.remove(link).ok_or_else(unknown)?;
        let clusters = removed.clusters.into_keys().collect::<Vec<_>>().join(" and ");
        Ok(Told::done(None, Some(format!("its entries in the passports of {clusters} are gone"))))
    }

    /// Roles and work for every link of the spec, and for no other.
    fn follow_spec(&mut self) {
        self.roles.retain(|link, _| self.spec.links.contains_key(link));
        for (name, link) in &self.spec.links {
            self.roles.entry(name.clone()).or_insert_with(|| Role {
                primary: link.prefer.clone(),
                generation: 0,
                held: None,
            });
            self.work.entry(name.clone()).or_default();
        }
        let removed: Vec<_> =
            self.work.keys().filter(|link| !self.spec.links.contains_key(*link)).cloned().collect();
        for link in removed {
            self.set_shares(&link, Shares::new());
        }
        self.drop_finished();
    }

    /// Work of removed links goes when nobody can be at it any more.
    fn drop_finished(&mut self) {
        self.work.retain(|link, work| self.spec.links.contains_key(link) || !work.earlier.is_empty());
    }

    fn register(&mut self, called: &AgentName, agent: Agent) -> Decided {
        fit("agent", called)?;
        fit("site", &agent.site)?;
        let words = |agent: &Agent| format!("{}, {}, level {}", agent.site, agent.version, agent.level);
        if agent.version.len() > 200 {
            return Err(Refusal::Limit { what: "bytes of a version", limit: 200 });
        }
        let before = match self.agents.get(called) {
            Some(there) if *there == agent => return Ok(Told::unchanged(words(there))),
            // Names are the keys of shares: two agents of one name would both believe themselves the owner.
            Some(there) if there.site != agent.site => {
                let why = format!("an agent of {} has this name: give each its own", there.site);
                return Err(Refusal::Unfit { what: "agent", name: called.clone(), why });
            }
            Some(there) => Some(words(there)),
            None if self.agents.len() >= AGENTS_MAX => {
                return Err(Refusal::Limit { what: "agents", limit: AGENTS_MAX });
            }
            None => None,
        };
        let after = words(&agent);
        self.agents.insert(called.clone(), agent);
        Ok(Told::done(before, Some(after)))
    }

    /// Its shares go to the others, and nobody waits for what it may hold: the operator says that it is gone.
    fn forget(&mut self, called: &AgentName) -> Decided {
        let Some(agent) = self.agents.remove(called) else {
            return Err(Refusal::Unknown { what: "agent", name: called.clone() });
        };
        let links: Vec<_> = self.work.keys().cloned().collect();
        for link in links {
            let shares = self.work.get(&link).map(|work| work.shares.clone()).unwrap_or_default();
            if shares.contains_key(called) {
                let mut rest = shares;
                rest.remove(called);
                self.set_shares(&link, rest);
            }
            self.clear(&link, u64::MAX, &BTreeSet::from([called.clone()]));
        }
        self.drop_finished();
        Ok(Told::done(Some(format!("{}, {}", agent.site, agent.version)), None))
    }

    fn share(&mut self, link: &str, shares: &Shares) -> Decided {
        let unfit = |why: String| Refusal::Unfit { what: "link", name: link.to_owned(), why };
        let Some(work) = self.work.get(link).filter(|_| self.spec.links.contains_key(link)) else {
            return Err(Refusal::Unknown { what: "link", name: link.to_owned() });
        };
        if shares.len() > SHARES_MAX {
            return Err(Refusal::Limit { what: "agents on one link", limit: SHARES_MAX });
        }
        for (agent, weight) in shares {
            let Some(known) = self.agents.get(agent) else {
                return Err(Refusal::Unknown { what: "agent", name: agent.clone() });
            };
            if self.spec.sites.get(&known.site) != Some(&SiteKind::Data) {
                return Err(unfit(format!("{agent} is in {}, which holds no data", known.site)));
            }
            if !(1..=WEIGHT_MAX).contains(weight) {
                return Err(unfit(format!("{agent} weighs {weight}: from 1 to {WEIGHT_MAX}")));
            }
        }
        let before = share_words(work.epoch, &work.shares);
        if work.shares == *shares {
            return Ok(Told::unchanged(before));
        }
        if work.earlier.len() >= EARLIER_MAX {
            return Err(Refusal::Limit {
                what: "earlier epochs that agents may still hold",
                limit: EARLIER_MAX,
            });
        }
        let epoch = self.set_shares(link, shares.clone());
        Ok(Told {
            outcome: Outcome::Epoch(epoch),
            before: Some(before),
            after: Some(share_words(epoch, shares)),
        })
    }

    /// A new epoch; those who had shares until now may still be at it.
    fn set_shares(&mut self, link: &str, shares: Shares) -> u64 {
        let work = self.work.entry(link.to_owned()).or_default();
        if work.shares == shares {
            return work.epoch;
        }
        self.epoch += 1;
        let had = std::mem::replace(&mut work.shares, shares);
        if !had.is_empty() {
            let waits = had.keys().cloned().collect();
            work.earlier.insert(work.epoch, Earlier { shares: had, waits });
        }
        work.epoch = self.epoch;
        self.epoch
    }

    fn cleared(&mut self, link: &str, epoch: u64, agents: &BTreeSet<AgentName>) -> Decided {
        if !self.work.contains_key(link) {
            return Err(Refusal::Unknown { what: "link", name: link.to_owned() });
        }
        let names = agents.iter().cloned().collect::<Vec<_>>().join(", ");
        if self.clear(link, epoch, agents) == 0 {
            return Ok(Told::unchanged(format!("{names} hold nothing from before epoch {epoch}")));
        }
        self.drop_finished();
        Ok(Told::done(None, Some(format!("{names} hold nothing from before epoch {epoch}"))))
    }

    /// How many waits ended.
    fn clear(&mut self, link: &str, epoch: u64, agents: &BTreeSet<AgentName>) -> usize {
        let Some(work) = self.work.get_mut(link) else { return 0 };
        let mut ended = 0;
        for (_, earlier) in work.earlier.range_mut(..epoch) {
            let waited = earlier.waits.len();
            earlier.waits.retain(|agent| !agents.contains(agent));
            ended += waited - earlier.waits.len();
        }
        work.earlier.retain(|_, earlier| !earlier.waits.is_empty());
        ended
    }

    fn hold(&mut self, link: &str, held: Option<Held>) -> Decided {
        let Some(role) = self.roles.get_mut(link) else {
            return Err(Refusal::Unknown { what: "link", name: link.to_owned() });
        };
        let words = |held: &Option<Held>| match held {
            Some(held) => format!("paused by {}", held.by),
            None => "as the spec says".to_owned(),
        };
        // Who paused it first stays the one who did.
        if role.held.is_some() == held.is_some() {
            return Ok(Told::unchanged(words(&role.held)));
        }
        let before = words(&role.held);
        role.held = held;
        Ok(Told::done(Some(before), Some(words(&role.held))))
    }

    fn finalize(&mut self, level: u32) -> Decided {
        let before = self.level;
        if level < before {
            let why = format!("entries of level {before} may be in the log already");
            return Err(Refusal::Unfit { what: "level", name: level.to_string(), why });
        }
        if level == before {
            return Ok(Told::unchanged(before.to_string()));
        }
        self.level = level;
        Ok(Told::done(Some(before.to_string()), Some(level.to_string())))
    }

    fn member(&mut self, member: &Member, change: MemberChange) -> Decided {
        let words = |member: &Member| format!("{} in {} at {}", member.name, member.site, member.address);
        let before = self.members.get(&member.id).cloned();
        match change {
            MemberChange::Joined => {
                fit("member", &member.name)?;
                fit("site", &member.site)?;
                if before.as_ref() == Some(member) {
                    return Ok(Told::unchanged(words(member)));
                }
                if before.is_none() && self.members.len() >= MEMBERS_MAX {
                    return Err(Refusal::Limit { what: "coordinators", limit: MEMBERS_MAX });
                }
                self.members.insert(member.id, member.clone());
                Ok(Told::done(before.as_ref().map(words), Some(words(member))))
            }
            MemberChange::Left => match self.members.remove(&member.id) {
                Some(gone) => Ok(Told::done(Some(words(&gone)), None)),
                None => Err(Refusal::Unknown { what: "member", name: member.name.clone() }),
            },
        }
    }
}

fn share_words(epoch: u64, shares: &BTreeMap<AgentName, u32>) -> String {
    let shares: Vec<_> = shares.iter().map(|(agent, weight)| format!("{agent} {weight}")).collect();
    let shares = if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") };
    format!("epoch {epoch}: {shares}")
}
