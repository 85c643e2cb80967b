//! `status`: what the leader knows of every link, cluster, agent and coordinator, with the age of that knowledge.
//! Promises: who may see some links sees those, their clusters and agents, and nothing else. Reports are looked at one link
//! at a time, so that agents' sessions never wait for somebody's table.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::dr::posture::{Posture, Role, WriteProtection};
use lockstep_core::spec::dr::SiteKind;
use lockstep_core::state::State;
use lockstep_core::status::{
    About, AgentSeat, ClusterStatus, CoordinatorStatus, HasSide, LinkStatus, RemovedStatus, Scope,
    SeenStatus, SiteStatus, SystemStatus,
};
use lockstep_proto::admin::{StatusAnswer, StatusRequest};
use lockstep_proto::agent::Reach;
use tokio::time::Instant;

use super::failure::json;
use super::{Admin, Caller, Failure};
use crate::access::Act;
use crate::agreement::{Position, SeatKind};
use crate::intake::Seen;

const CALL: &str = "status";

impl Admin {
    /// # Errors
    /// [`Failure`].
    pub async fn status(&self, caller: &Caller, asked: StatusRequest) -> Result<StatusAnswer, Failure> {
        let one = (!asked.link.is_empty()).then_some(asked.link.as_str());
        let may = |act: Act<'_>| self.access.borrow().may(&caller.holder, act).is_ok();
        let scope = if may(Act::SeeSystem) { Scope::System } else { Scope::Links };
        if let Some(link) = one {
            self.allow(caller, CALL, Act::See { link }).await?;
        }
        let state = self.read().await?;
        let names: Vec<&str> = match one {
            Some(link) if state.spec().links.contains_key(link) => vec![link],
            Some(link) => return Err(Failure::NoLink(link.to_owned())),
            None => {
                state.spec().links.keys().map(String::as_str).filter(|link| may(Act::See { link })).collect()
            }
        };
        if names.is_empty() && scope == Scope::Links {
            // Nothing to see: said as such.
            self.allow(caller, CALL, Act::SeeSystem).await?;
        }
        let mut links: Vec<LinkStatus> =
            names.iter().filter_map(|link| self.link_status(&state, link)).collect();
        if one.is_none() {
            // A thousand links with all their topics would be more than a message takes.
            links.iter_mut().for_each(|link| link.topics = Vec::new());
        }
        let sites = match (scope, one) {
            (Scope::System, None) => sites(&state, &links),
            _ => BTreeMap::new(),
        };
        let document = SystemStatus { sites, ..self.system(&state, scope, &names, links) };
        Ok(StatusAnswer { document: json(&document)? })
    }

    /// How a link stands now, by the reports of those that have a share in it.
    pub(super) fn link_status(&self, state: &State, name: &str) -> Option<LinkStatus> {
        let (spec, role) = (state.spec().links.get(name)?, state.role(name)?);
        let about = About {
            link: name.to_owned(),
            from: role.primary.clone(),
            to: spec.other(&role.primary)?.to_owned(),
            rpo_ms: spec.rules.rpo_ms,
            role: Role::Standby,
            write_protection: WriteProtection::NotLooked,
            groups: None,
            drift: None,
        };
        let agents: Vec<String> =
            state.work(name).map(|work| work.shares.keys().cloned().collect()).unwrap_or_default();
        Some(self.desk.with_intake(|intake| intake.status(&about, &agents, Instant::now())))
    }

    /// How many agents have a session here.
    pub(crate) fn agents_here(&self) -> usize {
        self.desk.seats.heard().len()
    }

    /// How many reports of links came here.
    pub(crate) fn reports_taken(&self) -> u64 {
        self.desk.with_intake(|intake| intake.taken())
    }

    /// How many links there are of every posture.
    pub(crate) fn postures(&self, state: &State) -> BTreeMap<&'static str, usize> {
        let mut counts: BTreeMap<_, _> = Posture::ALL.iter().map(|posture| (posture.word(), 0)).collect();
        for link in state.spec().links.keys() {
            let Some(status) = self.link_status(state, link) else { continue };
            *counts.entry(Posture::of_word(&status.posture).word()).or_default() += 1;
        }
        counts
    }

    fn system(&self, state: &State, scope: Scope, names: &[&str], links: Vec<LinkStatus>) -> SystemStatus {
        let now = Instant::now();
        let clusters = match scope {
            Scope::System => state.spec().clusters.keys().map(String::as_str).collect(),
            Scope::Links => ends(state, names),
        };
        let agents = match scope {
            Scope::System => state.agents().keys().map(String::as_str).collect(),
            Scope::Links => sharers(state, names),
        };
        let coordinators = match scope {
            Scope::System => coordinators(&self.position()),
            Scope::Links => Vec::new(),
        };
        let listened = self.desk.with_intake(|intake| now.saturating_duration_since(intake.since()));
        SystemStatus {
            cluster_id: state.cluster_id().unwrap_or_default().to_owned(),
            incarnation: state.incarnation(),
            revision: state.revision(),
            as_of_timestamp_seconds: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
            age_ms: milliseconds(listened),
            scope,
            links,
            sites: BTreeMap::new(),
            clusters: clusters
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), self.cluster(state, name, now)?)))
                .collect(),
            agents: self.seats(state, &agents, now),
            coordinators,
            removed: match scope {
                Scope::System => self.removed(state),
                Scope::Links => BTreeMap::new(),
            },
        }
    }

    fn removed(&self, state: &State) -> BTreeMap<String, RemovedStatus> {
        let whys = self.desk.with_untidy(|untidy| untidy.clone());
        let told = state.removed().iter().map(|(link, removed)| {
            let clusters = removed.clusters.keys().cloned().collect();
            let why = whys.get(link).cloned();
            (link.clone(), RemovedStatus { revision: removed.revision, clusters, why })
        });
        told.collect()
    }

    /// How a cluster looks from every site that has told of it.
    pub(super) fn cluster(&self, state: &State, name: &str, now: Instant) -> Option<ClusterStatus> {
        let site = state.spec().clusters.get(name)?.site.clone();
        let seen = self.desk.with_intake(|intake| intake.seen(name, now));
        Some(ClusterStatus {
            site,
            seen: seen.into_iter().map(|(agent, seen)| (agent, told(seen))).collect(),
        })
    }

    pub(super) fn seats(
        &self,
        state: &State,
        agents: &BTreeSet<&str>,
        now: Instant,
    ) -> BTreeMap<String, AgentSeat> {
        let heard = self.desk.seats.heard();
        let mut links: BTreeMap<&str, u64> = BTreeMap::new();
        for agent in state.works().values().flat_map(|work| work.shares.keys()) {
            *links.entry(agent).or_default() += 1;
        }
        let seat = |name: &&str| {
            let agent = state.agents().get(*name)?;
            let heard_age_ms =
                heard.get(*name).map(|heard| milliseconds(now.saturating_duration_since(*heard)));
            let seat = AgentSeat {
                site: agent.site.clone(),
                version: agent.version.clone(),
                level: agent.level,
                heard_age_ms,
                links: links.get(*name).copied().unwrap_or(0),
            };
            Some(((*name).to_owned(), seat))
        };
        agents.iter().filter_map(seat).collect()
    }
}

/// The clusters of links.
fn ends<'a>(state: &'a State, names: &[&str]) -> BTreeSet<&'a str> {
    let links = names.iter().filter_map(|name| state.spec().links.get(*name));
    links.flat_map(|link| link.clusters.iter().map(String::as_str)).collect()
}

/// What would be lost with each site.
fn sites(state: &State, links: &[LinkStatus]) -> BTreeMap<String, SiteStatus> {
    let spec = state.spec();
    let has_side = |site: &str, link: &str| {
        let is_here = |cluster: &str| spec.clusters.get(cluster).is_some_and(|known| known.site == site);
        let Some((link, role)) = spec.links.get(link).zip(state.role(link)) else {
            return HasSide::default();
        };
        let standby = link.other(&role.primary).is_some_and(is_here);
        HasSide { primary: is_here(&role.primary), standby }
    };
    let of = |(name, kind): (&String, &SiteKind)| {
        let is_witness = *kind == SiteKind::Witness;
        (name.clone(), SiteStatus::of(is_witness, links, |link| has_side(name, link)))
    };
    spec.sites.iter().map(of).collect()
}

/// Agents with a share in links.
fn sharers<'a>(state: &'a State, names: &[&str]) -> BTreeSet<&'a str> {
    let works = names.iter().filter_map(|name| state.work(name));
    works.flat_map(|work| work.shares.keys().map(String::as_str)).collect()
}

fn coordinators(position: &Position) -> Vec<CoordinatorStatus> {
    let of = |seat: &crate::agreement::Seat| CoordinatorStatus {
        id: seat.member.id,
        name: seat.member.name.clone(),
        site: seat.member.site.clone(),
        address: seat.member.address.clone(),
        kind: match seat.kind {
            SeatKind::Voter => "voter".to_owned(),
            SeatKind::Learner => "learner".to_owned(),
        },
        is_leader: position.leader == Some(seat.member.id),
    };
    position.seats.iter().map(of).collect()
}

fn told(Seen { probe, age }: Seen) -> SeenStatus {
    let reach = match probe.reach() {
        Reach::Unspecified => "unknown",
        Reach::All => "all",
        Reach::Some => "some",
        Reach::None => "none",
        Reach::Refused => "refused",
    };
    let age_ms = milliseconds(age);
    SeenStatus {
        reach: reach.to_owned(),
        answered_age_ms: probe.answered_age_ms.map(|answered| answered.saturating_add(age_ms)),
        brokers_seen: probe.brokers_seen,
        brokers_answering: probe.brokers_answering,
        fault: probe.fault,
        age_ms,
    }
}

fn milliseconds(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
