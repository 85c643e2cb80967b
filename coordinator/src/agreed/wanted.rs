//! The work of the system as agents are told it, out of the agreed state. Roles come from there and not from the spec:
//! a link goes from whichever cluster is primary now to the other.
//! A link that nobody has a share in is no agent's work; it is still in the spec, and its status says that nobody tells.

use lockstep_core::spec::link::Wanted;
use lockstep_core::state::{Earlier, State, Work};
use lockstep_proto::agent::{Cluster, Link, Share};
use tokio::time::Instant;

use crate::dispatch::{Formerly, WantedLink};

/// Every link of the spec. `until`: from when on an agent certainly holds nothing of an earlier epoch (link, agent,
/// epoch); `None`: only when it says so itself.
#[must_use]
pub fn links(state: &State, until: impl Fn(&str, &str, u64) -> Option<Instant>) -> Vec<WantedLink> {
    let names = state.spec().links.keys();
    names.filter_map(|name| link(state, name, &until)).collect()
}

/// Every cluster of the spec: all sites probe all of them.
#[must_use]
pub fn clusters(state: &State) -> Vec<Cluster> {
    let clusters = state.spec().clusters.iter();
    clusters
        .map(|(name, cluster)| Cluster {
            name: name.clone(),
            bootstrap: cluster.bootstrap.join(","),
            security: cluster.security.clone(),
            site: cluster.site.clone(),
        })
        .collect()
}

fn link(
    state: &State,
    name: &str,
    until: &impl Fn(&str, &str, u64) -> Option<Instant>,
) -> Option<WantedLink> {
    let (spec, role) = (state.spec().links.get(name)?, state.role(name)?);
    let nobody = Work::default();
    let work = state.work(name).unwrap_or(&nobody);
    let mut rules = spec.rules.clone();
    rules.wanted = state.wanted(name).unwrap_or(Wanted::Paused);
    let spec_json = match serde_json::to_string(&rules) {
        Ok(json) => json,
        Err(error) => {
            // Texts and numbers only: it does not happen; a link that cannot be told is nobody's work.
            tracing::error!(link = name, "the link's rules cannot be written: {error}");
            return None;
        }
    };
    let link = Link {
        name: name.to_owned(),
        generation: role.generation,
        from: role.primary.clone(),
        to: spec.other(&role.primary)?.to_owned(),
        spec_json,
        epoch: work.epoch,
        shares: shares(&work.shares),
        formers: Vec::new(),
    };
    let formerly = work.earlier.iter().flat_map(|(epoch, earlier)| formers(name, *epoch, earlier, until));
    Some(WantedLink { link, formerly: formerly.collect() })
}

fn formers<'a>(
    link: &'a str,
    epoch: u64,
    earlier: &'a Earlier,
    until: &'a impl Fn(&str, &str, u64) -> Option<Instant>,
) -> impl Iterator<Item = Formerly> + 'a {
    earlier.waits.iter().map(move |agent| Formerly {
        agent: agent.clone(),
        epoch,
        shares: shares(&earlier.shares),
        until: until(link, agent, epoch),
    })
}

fn shares(shares: &lockstep_core::dr::lease::Shares) -> Vec<Share> {
    shares.iter().map(|(agent, weight)| Share { agent: agent.clone(), weight: *weight }).collect()
}
